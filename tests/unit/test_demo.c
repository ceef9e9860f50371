/* SPDX-License-Identifier: MIT */
/*
 * test_demo.c - the work of examples/iomap-demo, without its main(): what it refuses and how, that
 * what it copied is there, and that no allocation of it can fail without a clean word.
 *
 * Each case has a folder of its own in /tmp, which is gone afterwards.
 */
#include "test_demo.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "crash.h"

int demo_main(int argc, char **argv);	/* main.c is built under this name */

static void copy(struct run *r, const struct copy_opts *opts)
{
	run_start(r);
	run_end(r, demo_copy(&r->demo, opts));
}

/* Status 1, one line, and the line names what is wrong. */
static void copy_refuses(const struct copy_opts *opts, const char *names)
{
	struct run r;

	copy(&r, opts);
	ck_assert_int_eq(r.status, 1);
	ck_assert_msg(nr_lines(r.err) == 1, "not one line: %s", r.err);
	ck_assert_msg(strstr(r.err, names) != NULL, "'%s' is not in: %s", names, r.err);
	ck_assert(!strstr(r.out, "copy: ok"));
	run_free(&r);
}

/* ---- what works ---- */

static void copies(bool random, bool scattered, size_t bytes)
{
	struct place p;
	struct run r;

	place_start(&p, bytes);
	copy(&r, &(struct copy_opts){ .source = p.source, .device = p.device, .random = random,
				      .scattered = scattered });
	ck_assert_msg(r.status == 0, "%s", r.err);
	ck_assert(strstr(r.out, "copy: ok bytes="));
	ck_assert(scattered || same_files(p.source, p.image));
	run_free(&r);
	place_end(&p);
}

CASE(copy_flat_gives_an_image_that_equals_the_source, "", "Layout flat, every order and odd sizes")
{
	copies(false, false, 1234567);
	copies(true, false, 1234567);
	copies(false, false, 65536);
	copies(true, false, 1);
	copies(false, false, 0);
}

CASE(copy_scattered_reads_back_what_it_wrote, "", "Extents dealt over the device, every order")
{
	copies(false, true, 1500000);
	copies(true, true, 1500000);
	copies(true, true, 1048576);
}

CASE(copy_replaces_a_longer_image, "", "What stood in an image file before is gone, like with cp")
{
	struct copy_opts opts;
	struct place p;
	struct run r;

	place_start(&p, 300000);
	opts = (struct copy_opts){ .source = p.source, .device = p.device };
	copy(&r, &opts);
	ck_assert_int_eq(r.status, 0);
	run_free(&r);
	ck_assert_int_eq(truncate(p.source, 5000), 0);
	copy(&r, &opts);
	ck_assert_int_eq(r.status, 0);
	ck_assert(same_files(p.source, p.image));
	run_free(&r);
	place_end(&p);
}

static const char *const presets[] = {
	"sim:plp", "sim:consumer", "sim:atomic16k", "sim:sata512e", "sim:multiqueue", "sim:cruel",
	"sim:fifo",
};
#define NR_PRESETS (sizeof(presets) / sizeof(presets[0]))

CASE(copy_onto_every_simulated_device_is_there, "", "Image equals source, twice the same digest")
{
	for (unsigned i = 0; i < NR_PRESETS; i++) {
		struct copy_opts opts = { .device = presets[i], .random = i % 2 };
		struct run r, again;
		struct place p;

		place_start(&p, i % 3 ? 700001 : i);
		opts.source = p.source;
		opts.image = p.image;
		copy(&r, &opts);
		ck_assert_msg(r.status == 0, "%s", r.err);
		ck_assert(same_files(p.source, p.image));
		copy(&again, &opts);
		ck_assert(strstr(r.out, "digest="));
		ck_assert_str_eq(strstr(r.out, "copy: ok"), strstr(again.out, "copy: ok"));
		run_free(&again);
		run_free(&r);
		place_end(&p);
	}
}

CASE(copy_to_null_says_that_it_only_counts, "", "null: keeps nothing, so nothing is compared")
{
	struct place p;
	struct run r;

	place_start(&p, 200000);
	copy(&r, &(struct copy_opts){ .source = p.source, .device = "null:" });
	ck_assert_int_eq(r.status, 0);
	ck_assert(strstr(r.out, "only counts"));
	run_free(&r);
	place_end(&p);
}

static void merge(struct run *r, const struct merge_opts *opts)
{
	run_start(r);
	run_end(r, demo_merge(&r->demo, opts));
	ck_assert_msg(r->status == 0, "%s", r->err);
}

CASE(merge_shows_the_same_every_time, "", "A seed gives the same bytes twice, another seed others")
{
	struct run a, b, c;

	merge(&a, &(struct merge_opts){ .seed = 5, .why = -1 });
	merge(&b, &(struct merge_opts){ .seed = 5, .why = -1 });
	merge(&c, &(struct merge_opts){ .seed = 6, .why = -1 });
	ck_assert_str_eq(a.out, b.out);
	ck_assert_str_ne(a.out, c.out);
	run_free(&a);
	run_free(&b);
	run_free(&c);
}

/* A dirty page is told about up to its end; the digest does not depend on how it is shown. */
CASE(merge_paints_a_picture, "", "Well-formed, with a group for each ioend and each bio")
{
	struct place p;

	place_start(&p, 0);
	for (uint64_t seed = 1; seed < 40; seed++) {
		struct merge_opts opts = { .seed = seed, .why = -1, .svg = p.image };
		unsigned ioends, bios;
		struct run r;
		char *text;

		merge(&r, &opts);
		ck_assert_int_eq(sscanf(r.out, "merge: ok pages=%*u ioends=%u bios=%u", &ioends,
					&bios), 2);
		text = content_of(p.image);
		ck_assert(!strncmp(text, "<svg xmlns=\"http://www.w3.org/2000/svg\"", 39));
		ck_assert_uint_eq(check_xml(text, "ioend"), ioends);
		ck_assert_uint_eq(check_xml(text, "bio"), bios);
		free(text);
		run_free(&r);
	}
	place_end(&p);
}

CASE(merge_names_a_picture_that_cannot_be, "", "One line, and no word that all is well")
{
	struct merge_opts opts = { .seed = 1, .why = -1, .svg = "/tmp" };
	struct run r;

	for (unsigned i = 0; i < 2; i++, opts.svg = "/dev/full") {
		run_start(&r);
		run_end(&r, demo_merge(&r.demo, &opts));
		ck_assert_int_eq(r.status, 1);
		ck_assert_uint_eq(nr_lines(r.err), 1);
		ck_assert(strstr(r.err, opts.svg) && !strstr(r.out, "merge: ok"));
		run_free(&r);
	}
}

CASE(merge_tells_the_journey_of_every_page, "", "--why of each page, --json and the drawing agree")
{
	struct run drawn, r;
	char *digest;

	merge(&drawn, &(struct merge_opts){ .seed = MERGE_SEED, .why = -1 });
	digest = strstr(drawn.out, "digest=");
	ck_assert(digest);
	for (int64_t page = 0; page < MERGE_PAGES; page++) {
		merge(&r, &(struct merge_opts){ .seed = MERGE_SEED, .why = page });
		ck_assert(strstr(r.out, digest));
		ck_assert(strstr(r.out, " end ") || strstr(r.out, " clean "));
		run_free(&r);
	}
	merge(&r, &(struct merge_opts){ .seed = MERGE_SEED, .why = -1, .json = true });
	ck_assert(strstr(r.err, digest));
	ck_assert_int_eq(r.out[0], '{');
	run_free(&r);
	run_free(&drawn);
}

/* ---- a power cut ---- */

static void crash(struct run *r, const char *device, uint64_t seed)
{
	run_start(r);
	run_end(r, demo_crash(&r->demo, &(struct crash_opts){ .seed = seed, .device = device }));
}

CASE_TIMEOUT(crash_never_loses_what_was_synced, "", "200 seeds on each preset", 60)
{
	for (unsigned i = 0; i < NR_PRESETS * 200; i++) {
		struct run r;

		crash(&r, presets[i % NR_PRESETS], i);
		ck_assert_msg(r.status == 0 && strstr(r.out, "crash: ok cut="),
			      "seed %u on %s: %s%s", i, presets[i % NR_PRESETS], r.err, r.out);
		run_free(&r);
	}
}

CASE(crash_shows_the_same_every_time, "", "Same seed, same bytes; either seed changes them")
{
	struct run a, b, c, d;

	crash(&a, "sim:cruel", 5);
	crash(&b, "sim:cruel,seed=5", 5);
	crash(&c, "sim:cruel", 6);
	crash(&d, "sim:cruel,seed=6", 5);
	ck_assert_str_eq(a.out, b.out);
	ck_assert_str_ne(a.out, c.out);
	ck_assert_str_ne(a.out, d.out);
	run_free(&a);
	run_free(&b);
	run_free(&c);
	run_free(&d);
}

/* Written in steps 3, 5 and 7, of which 5 was synced; all sectors are of one step. */
static enum fate fate_of(unsigned step, unsigned last_sector, bool tears, bool shorn)
{
	struct crash c = { .tears = tears, .shorn = shorn };
	struct page *p = &c.pages[9];

	*p = (struct page){ .steps = 1 << 3 | 1 << 5 | 1 << 7, .newest = 7, .synced = 5 };
	memset(p->found, (int)step, sizeof(p->found));
	p->found[PAGE_SECTORS - 1] = (uint8_t)last_sector;
	crash_judge(&c);
	ck_assert_uint_eq(c.nr[p->fate], 1);
	return p->fate;
}

CASE(crash_tells_what_no_device_may_do, "", "Older than synced, garbage, torn where none tears")
{
	ck_assert_int_eq(fate_of(7, 7, false, false), KEPT);
	ck_assert_int_eq(fate_of(5, 5, false, false), LOST);
	ck_assert_int_eq(fate_of(7, 5, true, false), TORN);
	ck_assert_int_eq(fate_of(7, NO_STEP, true, true), TORN);
	ck_assert_int_eq(fate_of(3, 3, true, true), BROKEN);
	ck_assert_int_eq(fate_of(7, 0, true, true), BROKEN);
	ck_assert_int_eq(fate_of(7, 5, false, false), BROKEN);
	ck_assert_int_eq(fate_of(7, NO_STEP, true, false), BROKEN);
}

/* ---- what is refused ---- */

CASE(copy_names_a_source_that_cannot_be_read, "", "Missing, a folder, a device: one line each")
{
	struct place p;

	place_start(&p, 1);
	copy_refuses(&(struct copy_opts){ .source = "/nonexistent/x", .device = "null:" },
		     "/nonexistent/x");
	copy_refuses(&(struct copy_opts){ .source = p.dir, .device = "null:" }, "directory");
	copy_refuses(&(struct copy_opts){ .source = "/dev/null", .device = "null:" },
		     "not a regular file");
	ck_assert_int_eq(chmod(p.source, 0), 0);
	if (!getuid())			/* who may read everything */
		ck_assert_int_eq(seteuid(65534), 0);
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "null:" },
		     "Permission denied");
	ck_assert_int_eq(seteuid(getuid()), 0);
	place_end(&p);
}

CASE(copy_names_a_device_that_does_not_do, "", "No scheme, an unknown one, no path, a folder")
{
	struct place p;
	char device[160];

	place_start(&p, 1);
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "image" }, "'image'");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "" }, "device ''");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "tape:x" }, "tape:x");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "null:x" }, "not a size");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "file:x,bogus" },
		     "unknown option \"bogus\"");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "file:" }, "no path");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "file:/nonexistent/x" },
		     "/nonexistent/x");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "file:/dev/null" },
		     "/dev/null");
	snprintf(device, sizeof(device), "file:%s", p.dir);
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = device }, "directory");
	snprintf(device, sizeof(device), "file:%s", p.source);
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = device }, "same file");
	place_end(&p);
}

static void crash_refuses(const char *device, const char *names)
{
	struct run r;

	crash(&r, device, 1);
	ck_assert_int_eq(r.status, 1);
	ck_assert_msg(nr_lines(r.err) == 1 && strstr(r.err, names), "'%s': %s", names, r.err);
	ck_assert(!*r.out);
	run_free(&r);
}

CASE(a_simulated_device_that_cannot_be_is_named, "", "Preset, option, size, image: one line each")
{
	struct copy_opts opts = { .device = "sim:plp" };
	struct place p;

	crash_refuses("null:", "null:");
	crash_refuses("sim:", "unknown preset ''");
	crash_refuses("sim:soft", "unknown preset 'soft'");
	crash_refuses("sim:plp,speed=1", "'speed=1'");
	crash_refuses("sim:plp,", "unknown option");
	crash_refuses("sim:plp,size=1x", "'size=1x'");
	crash_refuses("sim:plp,size=0", "size 0 does not fit");
	crash_refuses("sim:sata512e,size=512", "size 512 does not fit");
	crash_refuses("sim:plp,size=99999999g", "does not fit");
	crash_refuses("sim:plp,size=64k", "too small");
	crash_refuses("sim:plp,seed=-1", "'seed=-1'");
	place_start(&p, 100000);
	opts.source = p.source;
	opts.image = p.source;
	copy_refuses(&opts, "same file");
	opts.image = "/nonexistent/x";
	copy_refuses(&opts, "/nonexistent/x");
	opts.image = "/dev/null";
	copy_refuses(&opts, "not a regular file");
	opts.image = p.dir;
	copy_refuses(&opts, "directory");
	opts.image = p.image;
	opts.device = "null:";
	copy_refuses(&opts, "simulated");
	opts.device = "sim:plp,size=64k";
	copy_refuses(&opts, "too small");
	ck_assert_int_ne(access(p.image, F_OK), 0);
	place_end(&p);
}

CASE(copy_names_a_device_that_is_too_small, "", "Refused before anything is written")
{
	struct place p;
	char device[160];

	place_start(&p, 100000);
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = "null:65536" },
		     "too small");
	snprintf(device, sizeof(device), "%s,create,size=65536", p.device);
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = device }, "too small");
	place_end(&p);
}

CASE(copy_on_a_full_disk_fails_once_and_leaves_nothing, "", "One line, and the image is gone")
{
	const struct rlimit limit = { 1 << 20, 1 << 20 };
	struct place p;

	place_start(&p, 3 << 20);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);	/* of this case's process only */
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = p.device }, p.image);
	ck_assert_int_ne(access(p.image, F_OK), 0);
	place_end(&p);
}

CASE(block_devices_are_refused_unless_named_twice, "", "--destroy must repeat the very name")
{
	char path[128], device[160];
	struct place p;
	struct run r;

	place_start(&p, 1);
	snprintf(path, sizeof(path), "%s/disk", p.dir);
	/* a loop device that is never opened; only root can make a node for it */
	if (mknod(path, S_IFBLK | 0600, makedev(7, 255))) {
		place_end(&p);
		t_skip("needs root to make a device node");
	}
	snprintf(device, sizeof(device), "file:%s", path);
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = device }, "--destroy");
	copy_refuses(&(struct copy_opts){ .source = p.source, .device = device,
					  .destroy = "/dev/sdz" }, "--destroy");
	run_start(&r);
	run_end(&r, demo_roundtrip(&r.demo, &(struct roundtrip_opts){ .device = device }));
	ck_assert_int_eq(r.status, 1);
	ck_assert(strstr(r.err, "refused"));
	run_free(&r);
	unlink(path);
	place_end(&p);
}

CASE(roundtrip_keeps_its_hands_off_a_file_that_is_there, "", "Its bytes are the same afterwards")
{
	struct place p;
	struct run r;

	place_start(&p, 100000);
	snprintf(p.device, sizeof(p.device), "file:%s", p.source);
	run_start(&r);
	run_end(&r, demo_roundtrip(&r.demo, &(struct roundtrip_opts){ .device = p.device }));
	ck_assert_int_eq(r.status, 1);
	ck_assert(strstr(r.err, "refused"));
	run_free(&r);
	run_start(&r);
	run_end(&r, demo_roundtrip(&r.demo, &(struct roundtrip_opts){ .device = NULL }));
	ck_assert_msg(r.status == 0, "%s", r.err);
	run_free(&r);
	place_end(&p);
}

/* ---- the command line ---- */

static int run_main(const char *a, const char *b, const char *c, const char *d)
{
	char words[4][64] = { "", "", "", "" };
	char *argv[6] = { "iomap-demo", words[0], words[1], words[2], words[3], NULL };
	const char *given[4] = { a, b, c, d };
	int argc = 1;

	for (; argc <= 4 && given[argc - 1]; argc++)
		strcpy(words[argc - 1], given[argc - 1]);
	argv[argc] = NULL;
	optind = 0;
	return demo_main(argc, argv);
}

CASE(a_wrong_command_line_is_status_2, "", "Unknown commands, options, values; help is 0")
{
	ck_assert_int_eq(run_main(NULL, NULL, NULL, NULL), 2);
	ck_assert_int_eq(run_main("mrege", NULL, NULL, NULL), 2);
	ck_assert_int_eq(run_main("--verbose", NULL, NULL, NULL), 2);
	ck_assert_int_eq(run_main("merge", "--loud", NULL, NULL), 2);
	ck_assert_int_eq(run_main("merge", "-x", NULL, NULL), 2);
	ck_assert_int_eq(run_main("merge", "--seed", NULL, NULL), 2);
	ck_assert_int_eq(run_main("merge", "--seed", "seven", NULL), 2);
	ck_assert_int_eq(run_main("merge", "--why", "96", NULL), 2);
	ck_assert_int_eq(run_main("merge", "--why", "-1", NULL), 2);
	ck_assert_int_eq(run_main("merge", "extra", NULL, NULL), 2);
	ck_assert_int_eq(run_main("copy", "/etc/passwd", NULL, NULL), 2);
	ck_assert_int_eq(run_main("copy", "--device", "null:", NULL), 2);
	ck_assert_int_eq(run_main("copy", "/etc/passwd", "--order", "upwards"), 2);
	ck_assert_int_eq(run_main("copy", "/etc/passwd", "--layout", "round"), 2);
	ck_assert_int_eq(run_main("roundtrip", "null:", "null:", NULL), 2);
	ck_assert_int_eq(run_main("crash", "--loud", NULL, NULL), 2);
	ck_assert_int_eq(run_main("crash", "--seed", "x", NULL), 2);
	ck_assert_int_eq(run_main("crash", "--device", NULL, NULL), 2);
	ck_assert_int_eq(run_main("backends", "/etc/passwd", NULL, NULL), 2);
	ck_assert_int_eq(run_main("backends", "--device", NULL, NULL), 2);
	ck_assert_int_eq(run_main("merge", "--help", NULL, NULL), 0);
}

/* ---- allocation failure at every ordinal ---- */

static int merge_work(struct demo *d, const struct place *p)
{
	(void)p;
	return demo_merge(d, &(struct merge_opts){ .seed = MERGE_SEED, .why = -1 });
}

static int copy_work(struct demo *d, const struct place *p)
{
	return demo_copy(d, &(struct copy_opts){ .source = p->source, .device = p->device,
						 .random = true, .scattered = true });
}

static int crash_work(struct demo *d, const struct place *p)
{
	(void)p;
	return demo_crash(d, &(struct crash_opts){ .seed = 5, .device = "sim:cruel" });
}

static int roundtrip_work(struct demo *d, const struct place *p)
{
	(void)p;
	return demo_roundtrip(d, &(struct roundtrip_opts){ .device = "null:" });
}

CASE_TIMEOUT(every_allocation_of_merge_may_fail, "", "One clean line or none needed", 60)
{
	sweep(merge_work, NULL);
}

CASE_TIMEOUT(every_allocation_of_copy_may_fail, "", "One clean line or none needed", 60)
{
	struct place p;

	place_start(&p, 600000);
	sweep(copy_work, &p);
	place_end(&p);
}

CASE_TIMEOUT(every_allocation_of_crash_may_fail, "", "One clean line or none needed", 60)
{
	sweep(crash_work, NULL);
}

CASE_TIMEOUT(every_allocation_of_roundtrip_may_fail, "", "One clean line or none needed", 60)
{
	sweep(roundtrip_work, NULL);
}

MAIN()
