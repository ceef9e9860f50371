/* SPDX-License-Identifier: MIT */
/*
 * test_run.c - the same seed and the same calls give the same run; devices while power is on.
 */
#include "sim/world.h"

#include <fcntl.h>
#include <unistd.h>

static const char *const presets[] = {
	"plp", "consumer", "atomic16k", "sata512e", "multiqueue", "cruel", "fifo",
};
#define NR_PRESETS 7u

/* Random work against an array; what reads saw is in the digest. */
static uint64_t work(struct world *w, uint64_t seed)
{
	static char model[NR_PAGES];
	uint64_t random = seed;

	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < 200; i++) {
		unsigned page = (unsigned)(t_rand(&random) % NR_PAGES);
		char letter = (char)('a' + t_rand(&random) % 26);

		switch (t_rand(&random) % 4) {
		case 0:
			ck_assert_int_eq(world_flush(w), 0);
			break;
		case 1:
			if (model[page])
				ck_assert_int_eq(world_letter(w, page), model[page]);
			break;
		default:
			ck_assert_int_eq(world_write(w, page, 1, letter, 0), 0);
			model[page] = letter;
		}
	}
	for (unsigned i = 0; i < NR_PAGES; i++)
		if (model[i])
			ck_assert_int_eq(world_letter(w, i), model[i]);
	return iomap_sim_run_digest(w->sim);
}

CASE(reads_see_what_was_written, "", "On every preset, in random order, with flushes in between")
{
	for (unsigned p = 0; p < NR_PRESETS; p++)
		for (uint64_t seed = 1; seed <= 5; seed++) {
			struct world w;

			world_new(&w, presets[p], seed);
			work(&w, seed);
			ck_assert_int_eq(iomap_sim_hazards(w.sim, "disk"), 0);
			world_delete(&w);
		}
}

CASE(the_same_seed_is_the_same_run, "O46",
     "Digest, time and number of events; another seed differs")
{
	for (unsigned p = 0; p < NR_PRESETS; p++) {
		uint64_t digest[3], events[3];
		int64_t now[3];

		for (unsigned i = 0; i < 3; i++) {
			void *shift = malloc(4096 * (i + 1));	/* addresses do not matter */
			struct world w;

			world_new(&w, presets[p], i == 2 ? 8 : 7);
			digest[i] = work(&w, 7);
			now[i] = iomap_sim_now_ns(w.sim);
			events[i] = iomap_sim_nr_events(w.sim);
			world_delete(&w);
			free(shift);
		}
		ck_assert_uint_eq(digest[0], digest[1]);
		ck_assert_int_eq(now[0], now[1]);
		ck_assert_uint_eq(events[0], events[1]);
		ck_assert_uint_ne(digest[0], digest[2]);
		ck_assert_uint_eq(events[0], events[2]);
	}
}

CASE(a_digest_for_all_builds, "O46", "One run whose digest is the same with every compiler")
{
	struct world w;

	world_new(&w, "cruel", 42);
	ck_assert_uint_eq(work(&w, 42), 13230728333697135017u);
	world_delete(&w);
}

CASE(completions_come_in_any_order, "", "Unless the device keeps one; time only grows")
{
	for (unsigned p = 0; p < NR_PRESETS; p++) {
		struct t_bio bios[16];
		uint8_t *mem = t_buffer(PAGE, 'o');
		unsigned turned = 0;
		struct world w;
		int64_t before;

		world_new(&w, presets[p], 3);
		before = iomap_sim_now_ns(w.sim);
		for (unsigned i = 0; i < 16; i++) {
			t_bio_init(&bios[i], w.bdev, IOMAP_BIO_WRITE, i * PAGE, mem, PAGE);
			iomap_bio_submit(&bios[i].bio);
		}
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert_int_gt(iomap_sim_now_ns(w.sim), before);
		for (unsigned i = 1; i < 16; i++)
			turned += bios[i].order < bios[i - 1].order;
		if (!strcmp(presets[p], "fifo") || !strcmp(presets[p], "multiqueue"))
			ck_assert_uint_eq(turned, 0);
		else
			ck_assert_uint_gt(turned, 0);
		world_delete(&w);
	}
}

CASE(unwritten_is_noise, "", "What was never written is neither zero nor different the next time")
{
	uint8_t *a = t_buffer(PAGE, 1), *b = t_buffer(PAGE, 2);
	struct world w;

	world_new(&w, "consumer", 9);
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, 0, a, PAGE, 0), 0);
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, 0, b, PAGE, 0), 0);
	ck_assert_mem_eq(a, b, PAGE);
	ck_assert(!t_is_zero(a, PAGE));
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, PAGE, b, PAGE, 0), 0);
	ck_assert_mem_ne(a, b, PAGE);
	world_delete(&w);
}

CASE(zeros_and_discards, "", "Zeros read as zeros; a discard as the profile says")
{
	for (unsigned p = 0; p < NR_PRESETS; p++) {
		const struct iomap_sim_profile *profile = iomap_sim_preset(presets[p]);
		uint8_t *mem = t_buffer(2 * PAGE, 0);
		struct world w;

		world_new(&w, presets[p], 2);
		ck_assert_int_eq(world_write(&w, 0, 2, 'd', 0), 0);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE_ZEROES, 0, NULL, PAGE, 0), 0);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_DISCARD, PAGE, NULL, PAGE, 0), 0);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, 0, mem, 2 * PAGE, 0), 0);
		ck_assert(t_is_zero(mem, PAGE));
		if (profile->discard == IOMAP_SIM_DISCARD_ZEROS)
			ck_assert(t_is_zero(mem + PAGE, PAGE));	/* else: test_discard.c */
		world_delete(&w);
	}
}

CASE(overlaps_are_counted, "O26",
     "Two writes in flight on one page are a hazard; neighbours are not")
{
	uint8_t *mem = t_buffer(2 * PAGE, 'h');
	struct t_bio a, b, c;
	struct world w;

	world_new(&w, "consumer", 1);
	t_bio_init(&a, w.bdev, IOMAP_BIO_WRITE, 0, mem, 2 * PAGE);
	t_bio_init(&b, w.bdev, IOMAP_BIO_WRITE, PAGE, mem, PAGE);
	t_bio_init(&c, w.bdev, IOMAP_BIO_WRITE, 2 * PAGE, mem, PAGE);
	iomap_bio_submit(&a.bio);
	iomap_bio_submit(&c.bio);
	ck_assert_int_eq(iomap_sim_hazards(w.sim, "disk"), 0);
	iomap_bio_submit(&b.bio);
	ck_assert_int_eq(iomap_sim_hazards(w.sim, "disk"), 1);
	ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
	ck_assert_int_eq(iomap_sim_hazards(w.sim, "tape"), -ENOENT);
	world_delete(&w);
}

CASE(a_dump_is_what_reads_see, "", "cmp of what was written and the file")
{
	uint8_t *got = t_buffer(NR_PAGES * PAGE, 0);
	char path[256];
	struct world w;
	int fd;

	t_temp_path(path, sizeof(path), "dump");
	world_new(&w, "consumer", 4);
	for (unsigned i = 0; i < NR_PAGES; i++)
		ck_assert_int_eq(world_write(&w, i, 1, (char)('0' + i), 0), 0);
	ck_assert_int_eq(iomap_sim_dump(w.sim, "disk", path), NR_PAGES * PAGE);
	ck_assert_int_eq(iomap_sim_dump(w.sim, "tape", path), -ENOENT);
	ck_assert_int_eq(iomap_sim_dump(w.sim, "disk", "/nonexistent/x"), -ENOENT);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, got, NR_PAGES * PAGE), NR_PAGES * PAGE);
	close(fd);
	for (unsigned i = 0; i < NR_PAGES * PAGE; i++)
		ck_assert_uint_eq(got[i], '0' + i / PAGE);
	t_temp_remove();
	world_delete(&w);
}

static int new_of(const struct iomap_sim_profile *profile, const char *name, uint64_t size)
{
	const struct iomap_sim_dev devs[2] = {
		{ .name = "a", .preset = "plp", .size = 1 << 20 },
		{ .name = name, .preset = "plp", .profile = profile, .size = size },
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .devs = devs, .nr_devs = 2,
	};
	struct iomap_sim *sim;
	int rc = iomap_sim_new(&opts, &sim);

	ck_assert(rc ? !sim : sim != NULL);
	iomap_sim_delete(&sim);
	return rc;
}

CASE(what_cannot_be, "", "Names, sizes and presets that make no device are refused")
{
	static const char *const names[] = {
		"", "a,b", "a:b", "a b", " b", "b ", "a;b", "a=b", "a\tb", "a\nb", "a\rb",
		"abcdefghijklmnopqrstuvwxyz123456",
	};
	const struct iomap_sim_dev floppy = { .name = "a", .preset = "floppy", .size = 1 << 20 };
	struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .devs = &floppy, .nr_devs = 1,
	};
	struct iomap_sim *sim;

	ck_assert_ptr_null(iomap_sim_preset("floppy"));
	ck_assert_ptr_null(iomap_sim_preset(NULL));
	ck_assert_int_eq(iomap_sim_new(NULL, &sim), -EINVAL);
	ck_assert_int_eq(iomap_sim_new(&opts, &sim), -EINVAL);
	ck_assert_int_eq(new_of(NULL, "a", 1 << 20), -EEXIST);
	ck_assert_int_eq(new_of(NULL, NULL, 1 << 20), -EINVAL);
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
		ck_assert_int_eq(new_of(NULL, names[i], 1 << 20), -EINVAL);
	ck_assert_int_eq(new_of(NULL, "abcdefghijklmnopqrstuvwxyz12345", 1 << 20), 0);
	ck_assert_int_eq(new_of(NULL, "b", 1000), -EINVAL);
	ck_assert_int_eq(new_of(NULL, "b", 0), -EINVAL);
	ck_assert_int_eq(new_of(NULL, "b", 4096), 0);
}

/* Of a good profile with one value changed. */
#define ck_assert_refused(member, value) do { \
	struct iomap_sim_profile odd = good; \
	odd.member = (value); \
	ck_assert_msg(new_of(&odd, "b", 1 << 20) == -EINVAL, #member " may be " #value); \
} while (0)
#define ck_assert_taken(member, value) do { \
	struct iomap_sim_profile odd = good; \
	odd.member = (value); \
	ck_assert_msg(!new_of(&odd, "b", 1 << 20), #member " may not be " #value); \
} while (0)

CASE(profiles_that_cannot_be, "", "Sizes are powers of two, and hold each other; limits are limits")
{
	struct iomap_sim_profile good = *iomap_sim_preset("sata512e");

	ck_assert_taken(max_bytes, 512);
	ck_assert_refused(struct_size, sizeof(good) - 1);
	ck_assert_refused(logical_block, 1024);
	ck_assert_refused(physical_block, 12288);
	ck_assert_refused(physical_block, 256);
	ck_assert_refused(atomic_normal, 0);
	ck_assert_refused(atomic_normal, 1536);
	ck_assert_refused(atomic_power_fail, 100);
	ck_assert_refused(atomic_power_fail, 1536);
	ck_assert_refused(order, IOMAP_SIM_ORDER_FIFO + 1);
	ck_assert_refused(fua, IOMAP_SIM_FUA_NATIVE + 1);
	ck_assert_refused(discard, IOMAP_SIM_DISCARD_ONES + 1);
	ck_assert_refused(nr_queues, 0);
	ck_assert_refused(nr_queues, 17);
	ck_assert_refused(queue_depth, 0);
	ck_assert_refused(max_segs, 0);
	ck_assert_refused(max_bytes, 700);
	ck_assert_refused(max_bytes, (uint64_t)2 << 30);
	ck_assert_refused(memory_align, 0);
	ck_assert_refused(memory_align, 3);
	ck_assert_refused(memory_align, 1 << 20);
	ck_assert_taken(memory_align, 1);
	ck_assert_taken(memory_align, 65536);
	good.max_bytes = 512;
	ck_assert_taken(memory_align, 512);
	ck_assert_refused(memory_align, 1024);
	good = *iomap_sim_preset("atomic16k");
	ck_assert_refused(atomic_boundary, 8192);
	ck_assert_refused(atomic_boundary, 49152);
	ck_assert_taken(atomic_boundary, 32768);
	ck_assert_taken(atomic_boundary, 0);
	good.atomic_normal = 4096;
	ck_assert_refused(atomic_boundary, 8192);
}

MAIN()
