/* SPDX-License-Identifier: MIT */
/*
 * test_demo_backends.c - iomap-demo over every backend: what it says of them, and copies on each.
 *
 * Which of them have to work says conform/test_backends.c; here each of them works or is explained.
 */
#include "test_demo.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "harness/loop.h"

static void ask(struct run *r, const char *path, bool json)
{
	run_start(r);
	run_end(r, demo_backends(&r->demo, &(struct backends_opts){ .path = path, .json = json }));
}

/* ---- what is said ---- */

CASE(backends_gives_each_scheme_a_line, "", "Yes, or no and why; the last line names the choice")
{
	static const char *const names[] = { "\nuring ", "\naio ", "\nfile, threads ",
					     "\nfile, inline ", "\nnull ", "\nsim ", "\nauto " };
	char picked[16];
	struct run r;
	unsigned works;

	ask(&r, NULL, false);
	ck_assert_msg(r.status == 0, "%s", r.err);
	for (unsigned i = 0; i < 7; i++) {
		char *line = strstr(r.out, names[i]);

		ck_assert_msg(line != NULL, "no line%s", names[i]);
		line += 1 + strlen("file, threads ");
		ck_assert_msg(!strncmp(line, "yes", 3) || !strncmp(line, "no   ", 5), "%s", line);
	}
	ck_assert_int_eq(sscanf(strstr(r.out, "\nbackends: ok"),
				"\nbackends: ok auto=%15s works=%u/7", picked, &works), 2);
	ck_assert_uint_ge(works, 5);
	ck_assert_uint_le(works, 7);
	ck_assert(!strncmp(strstr(r.out, "\nauto ") + 20, picked, strlen(picked)));
	ck_assert(!strstr(r.out, "size"));	/* of a file of its own: nobody's business */
	run_free(&r);
}

CASE(backends_shows_the_limits_of_a_file, "", "Of a path that was given, which stays as it is")
{
	struct stat before, after;
	struct place p;
	struct run r;

	place_start(&p, 65536);
	ck_assert_int_eq(chmod(p.source, 0400), 0);
	ck_assert_int_eq(stat(p.source, &before), 0);
	ask(&r, p.source, false);
	ck_assert_msg(r.status == 0, "%s", r.err);
	ck_assert(strstr(r.out, p.source));
	ck_assert(strstr(r.out, "size             64 KiB\n"));
	ck_assert(strstr(r.out, "logical block") && strstr(r.out, "memory align"));
	ck_assert(strstr(r.out, "max transfer") && strstr(r.out, "max segments"));
	ck_assert(strstr(r.out, "volatile-cache") && strstr(r.out, " grows"));
	ck_assert_int_eq(stat(p.source, &after), 0);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	ck_assert_int_eq(before.st_size, after.st_size);
	run_free(&r);
	place_end(&p);
}

CASE(backends_shows_the_limits_of_a_block_device, "", "Needs no --destroy: it only looks")
{
	struct t_loop loop;
	struct run r;

	if (t_loop_start(&loop, 4 << 20, 4096))
		t_skip("needs root and loop devices");
	ask(&r, loop.path, false);
	t_loop_stop(&loop);
	ck_assert_msg(r.status == 0, "%s", r.err);
	ck_assert(strstr(r.out, "size             4 MiB\n"));
	ck_assert(strstr(r.out, "logical block    4 KiB\n"));
	ck_assert(strstr(r.out, "atomic writes "));
	ck_assert(!strstr(r.out, " grows"));
	run_free(&r);
}

CASE(backends_names_a_path_that_cannot_be, "", "One line, status 1, and no table")
{
	static const char *const paths[][2] = {
		{ "/nonexistent/x", "/nonexistent/x" }, { "/tmp", "directory" },
		{ "/dev/null", "neither a file nor" }, { "", "No such file" },
	};

	for (unsigned i = 0; i < 4; i++) {
		struct run r;

		ask(&r, paths[i][0], i % 2);
		ck_assert_int_eq(r.status, 1);
		ck_assert_uint_eq(nr_lines(r.err), 1);
		ck_assert_msg(strstr(r.err, paths[i][1]) != NULL, "%s", r.err);
		ck_assert_str_eq(r.out, "");
		run_free(&r);
	}
}

CASE(backends_says_when_auto_has_nothing, "", "A file that nobody may read: the table, then why")
{
	struct place p;
	struct run r;

	place_start(&p, 4096);
	ck_assert_int_eq(chmod(p.source, 0) | chmod(p.dir, 0755), 0);
	if (!getuid())			/* who may read everything */
		ck_assert_int_eq(seteuid(65534), 0);
	ask(&r, p.source, false);
	ck_assert_int_eq(seteuid(getuid()), 0);
	ck_assert_int_eq(r.status, 1);
	ck_assert_uint_eq(nr_lines(r.err), 1);
	ck_assert(strstr(r.err, "Permission denied"));
	ck_assert(strstr(r.out, "\nauto "));
	ck_assert(!strstr(r.out, "backends: ok"));
	run_free(&r);
	place_end(&p);
}

/* ---- for a program ---- */

/* The end of a value; fails at what is none.  Numbers, and the words true, false and null. */
static const char *json_value(const char *at, unsigned *nr_values)
{
	char close = *at == '{' ? '}' : ']';

	++*nr_values;
	if (*at == '"') {
		for (at++; *at != '"'; at += 1 + (*at == '\\'))
			ck_assert_msg((unsigned char)*at >= ' ', "in a string: %s", at);
		return at + 1;
	}
	if (*at != '{' && *at != '[') {
		size_t len = strspn(at, "-0123456789truefalsn");

		ck_assert_msg(len > 0, "no value: %s", at);
		return at + len;
	}
	do {
		at += 1 + strspn(at + 1, " \n");
		if (close == '}') {
			ck_assert_msg(*at == '"', "no name: %s", at);
			at = json_value(at, nr_values);
			ck_assert_msg(*at == ':', "no colon: %s", at);
			at++;
		}
		at = *at == close ? at : json_value(at, nr_values);
	} while (*at == ',');
	ck_assert_msg(*at == close, "no end: %s", at);
	return at + 1;
}

CASE(backends_tells_a_program, "", "Valid JSON, even of a path with quotes and controls in it")
{
	unsigned nr_values = 0;
	char path[160];
	struct place p;
	struct run r;

	place_start(&p, 65536);
	snprintf(path, sizeof(path), "%s/a \"b\\c\n", p.dir);
	ck_assert_int_eq(rename(p.source, path), 0);
	ask(&r, path, true);
	ck_assert_msg(r.status == 0, "%s", r.err);
	ck_assert_str_eq(json_value(r.out, &nr_values), "\n");
	ck_assert_uint_gt(nr_values, 80);
	ck_assert(strstr(r.out, "a \\\"b\\\\c\\u000a\"") && strstr(r.out, "\"size\":65536,"));
	ck_assert(!strncmp(r.err, "backends: ok auto=", 18));
	run_free(&r);
	ck_assert_int_eq(rename(path, p.source), 0);
	place_end(&p);
}

static int backends_work(struct demo *d, const struct place *p)
{
	return demo_backends(d, &(struct backends_opts){ .path = p->source });
}

CASE_TIMEOUT(every_allocation_of_backends_may_fail, "", "One clean line or none needed", 60)
{
	struct place p;

	place_start(&p, 65536);
	sweep(backends_work, &p);
	place_end(&p);
}

/* ---- copies ---- */

static const char *const schemes[] = { "auto", "uring", "aio", "file" };

/* auto: and file: always work.  Did it? */
static bool copy_over(unsigned i, const char *path, const char *source, const char *destroy)
{
	char device[160];
	struct run r;
	bool ok;

	snprintf(device, sizeof(device), "%s:%s", schemes[i], path);
	run_start(&r);
	run_end(&r, demo_copy(&r.demo, &(struct copy_opts){ .source = source, .device = device,
							    .destroy = destroy, .random = true }));
	ok = !r.status;
	ck_assert_msg(ok || (i != 0 && i != 3), "%s", r.err);
	ck_assert_uint_eq(nr_lines(r.err), !ok);
	if (ok)
		ck_assert(strstr(r.out, "\n  backend    ") && strstr(r.out, device));
	else
		ck_assert_msg(strstr(r.err, "Operation not supported") != NULL, "%s", r.err);
	run_free(&r);
	return ok;
}

CASE(copy_over_every_backend_equals_the_source, "", "On a file: what cannot be had leaves nothing")
{
	for (unsigned i = 0; i < 4; i++) {
		struct place p;

		place_start(&p, 700001);
		if (copy_over(i, p.image, p.source, NULL))
			ck_assert(same_files(p.source, p.image));
		else
			ck_assert_int_ne(access(p.image, F_OK), 0);
		place_end(&p);
	}
}

CASE(copy_over_every_backend_onto_a_block_device, "", "Only with --destroy; its bytes are there")
{
	for (unsigned i = 0; i < 4; i++) {
		char *in = malloc(700001), *out = malloc(700001);
		struct t_loop loop;
		struct place p;
		FILE *f;

		ck_assert(in && out);
		if (t_loop_start(&loop, 4 << 20, 512))
			t_skip("needs root and loop devices");
		place_start(&p, 700001);
		if (copy_over(i, loop.path, p.source, loop.path)) {
			f = fopen(p.source, "r");
			ck_assert_uint_eq(fread(in, 1, 700001, f), 700001);
			fclose(f);
			f = fopen(loop.path, "r");
			ck_assert_uint_eq(fread(out, 1, 700001, f), 700001);
			fclose(f);
			ck_assert(!memcmp(in, out, 700001));
		}
		t_loop_stop(&loop);
		place_end(&p);
		free(in);
		free(out);
	}
}

CASE(an_unknown_scheme_hears_which_there_are, "", "Every one that a device string may begin with")
{
	struct run r;

	run_start(&r);
	run_end(&r, demo_roundtrip(&r.demo, &(struct roundtrip_opts){ .device = "tape:/x" }));
	ck_assert_int_eq(r.status, 1);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_msg(strstr(r.err, schemes[i]) != NULL, "%s", r.err);
	ck_assert(strstr(r.err, "tape:/x") && strstr(r.err, "null:") && strstr(r.err, "sim:"));
	run_free(&r);
}

MAIN()
