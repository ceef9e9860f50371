/* SPDX-License-Identifier: MIT */
/*
 * test_levels.c - where a crash leaves too many images to look at all of them.
 */
#include "harness/harness.h"

#include <iomap/sim.h>

#define BLOCK		4096u
#define MAX_WRITES	40u

/* So many writes in flight, of so many blocks each; check sees which blocks are there. */
struct engine {
	unsigned writes, blocks;
	bool (*is_wrong)(const struct engine *e, const bool *there);
};

static int format(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	static uint8_t zeros[BLOCK];
	int64_t n = BLOCK;

	for (unsigned i = 0; n == BLOCK && i < e->writes * e->blocks; i++)
		n = iomap_sim_pwrite(sim, "disk", zeros, BLOCK, i * BLOCK, 0);
	return n == BLOCK ? 0 : -EIO;
}

static int work(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	static uint8_t mem[8 * BLOCK];
	int rc = 0;

	memset(mem, 1, sizeof(mem));
	for (unsigned i = 0; !rc && i < e->writes; i++)
		rc = iomap_sim_start_write(sim, "disk", mem, e->blocks * BLOCK,
					   i * e->blocks * BLOCK, 0);
	return rc ? rc : iomap_sim_wait_writes(sim);
}

static int check(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	bool there[MAX_WRITES * 8] = { false };

	for (unsigned i = 0; i < e->writes * e->blocks; i++) {
		uint8_t mem[BLOCK];

		if (iomap_sim_pread(sim, "disk", mem, BLOCK, i * BLOCK) != BLOCK)
			return -EIO;
		there[i] = mem[0];
	}
	if (e->is_wrong && e->is_wrong(e, there))
		return iomap_sim_fail(sim, "O1", "this combination");
	return 0;
}

static const struct iomap_sim_dev disk = { .name = "disk", .preset = "consumer", .size = 4 << 20 };

static int run(struct engine *e, struct iomap_sim_cfg cfg, struct iomap_sim_report *r)
{
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "levels", .devs = &disk, .nr_devs = 1,
		.format = format, .work = work, .check = check, .arg = e,
	};

	cfg.struct_size = sizeof(cfg);
	memset(r, 0, sizeof(*r));
	r->struct_size = sizeof(*r);
	return iomap_sim_check(&c, &cfg, r);
}

static unsigned level_of(unsigned writes, unsigned blocks, unsigned all_images)
{
	struct engine e = { .writes = writes, .blocks = blocks };
	struct iomap_sim_report r;

	ck_assert_msg(!run(&e, (struct iomap_sim_cfg){ .nr_seeds = 1, .all_images = all_images },
			   &r), "%s", r.text);
	return r.level;
}

CASE(levels_that_are_complete, "", "All of few; of many as far as the bound goes, and that is told")
{
	ck_assert_uint_eq(level_of(5, 1, 0), IOMAP_SIM_LEVEL_DRAWN);
	ck_assert_uint_eq(level_of(5, 1, 32), IOMAP_SIM_LEVEL_ALL);
	ck_assert_uint_eq(level_of(5, 1, 1), IOMAP_SIM_LEVEL_DRAWN);
	/* 2, 29, 90 images, and no write that could be torn */
	ck_assert_uint_eq(level_of(10, 1, 30), IOMAP_SIM_LEVEL_ENDS);
	ck_assert_uint_eq(level_of(10, 1, 31), IOMAP_SIM_LEVEL_LINES);
	ck_assert_uint_eq(level_of(10, 1, 120), IOMAP_SIM_LEVEL_LINES);
	ck_assert_uint_eq(level_of(10, 1, 121), IOMAP_SIM_LEVEL_TEARS);
	/* and 3 more of each that can */
	ck_assert_uint_eq(level_of(10, 4, 121 + 29), IOMAP_SIM_LEVEL_PAIRS);
	ck_assert_uint_eq(level_of(10, 4, 121 + 30), IOMAP_SIM_LEVEL_TEARS);
}

/* ---- what only such an image shows ---- */

static unsigned nr_there(const struct engine *e, const bool *there)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < e->writes * e->blocks; i++)
		nr += there[i];
	return nr;
}

static bool one_is_missing(const struct engine *e, const bool *there)
{
	return !there[7] && nr_there(e, there) == e->writes - 1;
}

static bool only_one(const struct engine *e, const bool *there)
{
	return there[7] && nr_there(e, there) == 1;
}

static bool two_are_missing(const struct engine *e, const bool *there)
{
	return !there[7] && !there[3] && nr_there(e, there) == e->writes - 2;
}

static bool the_first_half(const struct engine *e, const bool *there)
{
	for (unsigned i = 0; i < e->writes * e->blocks; i++)
		if (there[i] != (i < e->writes / 2))
			return false;
	return true;
}

/* The last write but one has some of its blocks, those before it have all. */
static bool is_torn(const struct engine *e, const bool *there)
{
	unsigned torn = (e->writes - 2) * e->blocks;

	return there[torn] && !there[torn + e->blocks - 2] &&
	       nr_there(e, there) == torn + e->blocks / 2;
}

static void found(unsigned blocks, unsigned all_images,
		  bool (*is_wrong)(const struct engine *e, const bool *there))
{
	struct engine e = { .writes = 20, .blocks = blocks, .is_wrong = is_wrong };
	struct iomap_sim_cfg cfg = { .nr_seeds = 3, .images = 30 };
	struct iomap_sim_report r, s = { .struct_size = sizeof(s) };
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "levels", .devs = &disk, .nr_devs = 1,
		.format = format, .work = work, .check = check, .arg = &e,
	};

	ck_assert_int_eq(run(&e, cfg, &r), 0);		/* drawn ones miss it */
	cfg.all_images = all_images;
	for (unsigned i = 0; i < 2; i++) {
		cfg.no_shrink = i;
		ck_assert_int_eq(run(&e, cfg, &r), 1);
		ck_assert_str_eq(r.oracle, "O1");
		ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
		ck_assert_str_eq(s.oracle, "O1");
		iomap_sim_report_fini(&s);
		iomap_sim_report_fini(&r);
	}
}

CASE(lines, "O1", "One is missing, only one is there, the first half is: drawn images miss it")
{
	found(1, 61, one_is_missing);
	found(1, 61, only_one);
	found(1, 61, the_first_half);
}

CASE(pairs, "O1", "Two of twenty are missing")
{
	found(1, 441, two_are_missing);
}

CASE(tears, "O1", "One of twenty writes is there by half, those behind it are not")
{
	found(4, 501, is_torn);
}

static unsigned nr_looks;

static bool count_looks(const struct engine *e, const bool *there)
{
	(void)e;
	(void)there;
	nr_looks++;
	return false;
}

CASE(equal_candidates, "O1", "What is written over itself does not make twice the images")
{
	struct engine e = { .writes = 6, .blocks = 1, .is_wrong = count_looks };
	struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "levels", .devs = &disk, .nr_devs = 1,
		.format = work, .work = work, .check = check, .arg = &e,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 2, .all_images = 1,
	};

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_uint_eq(r.level, IOMAP_SIM_LEVEL_ALL);
	c.format = format;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_uint_eq(r.level, IOMAP_SIM_LEVEL_DRAWN);
	ck_assert_uint_gt(nr_looks, 0);
}

MAIN()
