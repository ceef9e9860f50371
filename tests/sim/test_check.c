/* SPDX-License-Identifier: MIT */
/*
 * test_check.c - the explorer, on engines of a few lines.
 */
#include "harness/harness.h"

#include <iomap/sim.h>

#define BLOCK	4096u
#define CELLS	4u

/* Cells with numbers: a put writes the next number, a sync promises all of them. */
struct engine {
	bool no_flush;
	unsigned nr_ops, kinds;		/* 0: 30 and 64 */
	/* The test's own: of the run under way. */
	uint64_t put[CELLS];
};

static int put(struct iomap_sim *sim, unsigned cell, uint64_t number)
{
	uint8_t block[BLOCK] = { 0 };
	int64_t n;

	memcpy(block, &number, sizeof(number));
	n = iomap_sim_pwrite(sim, "disk", block, BLOCK, cell * BLOCK, 0);
	return n == BLOCK ? 0 : (int)n;
}

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < CELLS; i++)
		if (put(sim, i, 0))
			return -EIO;
	return iomap_sim_flush(sim, "disk");
}

static int sync_all(struct iomap_sim *sim, struct engine *e)
{
	int rc = e->no_flush ? 0 : iomap_sim_flush(sim, "disk");

	for (unsigned i = 0; !rc && i < CELLS; i++)
		iomap_sim_ack(sim, i, e->put[i]);
	return rc;
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	uint64_t number = 0;
	int rc = 0;

	memset(e->put, 0, sizeof(e->put));
	for (unsigned i = 0; !rc && i < (e->nr_ops ? e->nr_ops : 30); i++) {
		unsigned op = iomap_sim_choose(sim, "op", e->kinds ? e->kinds : 64);

		if (!op)
			break;
		if (op % 4 == 1) {
			rc = sync_all(sim, e);
		} else {
			unsigned cell = iomap_sim_choose(sim, "cell", CELLS);

			e->put[cell] = ++number;
			rc = put(sim, cell, number);
		}
		iomap_sim_note(sim, "operation %u: %llu numbers", i, (unsigned long long)number);
	}
	return rc;
}

static int check(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;

	for (unsigned i = 0; i < CELLS; i++) {
		uint64_t acked = 0, number;
		uint8_t block[BLOCK];

		if (iomap_sim_pread(sim, "disk", block, BLOCK, i * BLOCK) != BLOCK)
			return iomap_sim_fail(sim, "read", "cell %u", i);
		memcpy(&number, block, sizeof(number));
		iomap_sim_acked(sim, i, &acked);
		if (number < acked)
			return iomap_sim_fail(sim, "O1", "cell %u has %u, promised %u", i,
					      (unsigned)number, (unsigned)acked);
		if (number > e->put[i])
			return iomap_sim_fail(sim, "O2", "cell %u has %llu", i,
					      (unsigned long long)number);
	}
	return 0;
}

static struct engine engine;
static const struct iomap_sim_dev disk = { .name = "disk", .preset = "consumer", .size = 65536 };
static const struct iomap_sim_case cells = {
	.struct_size = sizeof(cells), .name = "cells", .devs = &disk, .nr_devs = 1,
	.format = format, .work = work, .check = check, .arg = &engine,
};

CASE(a_sound_engine_passes, "", "A thousand seeds, crashes in each, nothing is wrong")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 1000 };

	ck_assert_msg(iomap_sim_check(&cells, &cfg, &r) == 0, "%s", r.text);
	ck_assert_uint_eq(r.seeds, 1000);
	ck_assert_uint_gt(r.crash_points, 10 * r.seeds);
	ck_assert_uint_gt(r.images, r.crash_points);
	ck_assert_str_eq(r.oracle, "");
	ck_assert_str_eq(r.token, "");
	ck_assert_ptr_null(r.text);
}

CASE(a_missing_flush_is_found, "", "In the first seeds; shrunk to one put and one sync")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };

	engine.no_flush = true;
	ck_assert_int_eq(iomap_sim_check(&cells, NULL, &r), 1);
	ck_assert_str_eq(r.oracle, "O1");
	ck_assert_uint_le(r.seeds, 3);
	ck_assert_uint_eq(r.ops, 2);
	ck_assert_uint_gt(r.ops_found, r.ops);
	ck_assert_ptr_nonnull(strstr(r.text, r.token));
	ck_assert_ptr_nonnull(strstr(r.text, "cell 0 has 0, promised 1"));
	ck_assert_int_eq(iomap_sim_replay(&cells, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "O1");
	ck_assert_str_eq(s.token, r.token);
	ck_assert_uint_eq(s.ops, r.ops);
	iomap_sim_report_fini(&s);
	engine.no_flush = false;
	ck_assert_int_eq(iomap_sim_replay(&cells, r.token, &s), 0);
	iomap_sim_report_fini(&r);
}

CASE(all_of_a_small_work, "", "Three operations, each crash, each image: the flush is missed")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };

	engine.nr_ops = 3;
	engine.kinds = 3;
	ck_assert_msg(iomap_sim_exhaust(&cells, 0, &r) == 0, "%s", r.text);
	ck_assert(r.exhaustive);
	ck_assert_uint_gt(r.images, 1000);
	ck_assert_int_eq(iomap_sim_exhaust(&cells, 100, &r), 0);
	ck_assert(!r.exhaustive);
	engine.no_flush = true;
	ck_assert_int_eq(iomap_sim_exhaust(&cells, 0, &r), 1);
	ck_assert_str_eq(r.oracle, "O1");
	ck_assert_int_eq(iomap_sim_replay(&cells, r.token, &s), 1);
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

/* ---- a log with forty sectors in flight ---- */

#define SECTORS	40u

static int write_log(struct iomap_sim *sim, void *arg)
{
	uint8_t sector[512];
	int rc = 0;

	(void)arg;
	for (unsigned i = 0; !rc && i < SECTORS; i++) {
		memset(sector, (int)i + 1, sizeof(sector));
		rc = iomap_sim_start_write(sim, "log", sector, sizeof(sector), i * 512, 0);
	}
	return rc;
}

static unsigned lengths[SECTORS + 1];

static int read_log(struct iomap_sim *sim, void *arg)
{
	uint8_t sector[512];
	unsigned n = 0;

	(void)arg;
	for (; n < SECTORS; n++) {
		if (iomap_sim_pread(sim, "log", sector, sizeof(sector), n * 512) != 512)
			return -EIO;
		if (sector[0] != n + 1 || sector[511] != n + 1)
			break;
	}
	lengths[n]++;
	return 0;
}

CASE(a_log_with_forty_sectors_in_flight, "", "Each length is found once; 2^40 images need not be")
{
	static struct iomap_sim_profile profile;
	static const struct iomap_sim_dev log = {
		.name = "log", .profile = &profile, .size = 65536,
	};
	static const struct iomap_sim_case forty = {
		.struct_size = sizeof(forty), .name = "forty", .devs = &log, .nr_devs = 1,
		.work = write_log, .check = read_log,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	unsigned before;

	profile = *iomap_sim_preset("consumer");
	profile.logical_block = profile.physical_block = 512;
	profile.atomic_normal = profile.atomic_power_fail = 512;
	ck_assert_int_eq(iomap_sim_exhaust(&forty, 0, &r), 0);
	ck_assert(r.exhaustive);
	before = (unsigned)r.crash_points;
	/* With n in flight there are n + 1 lengths, all of them once more behind the last event;
	 * and a last look without a crash. */
	ck_assert_uint_eq(r.images, SECTORS * (SECTORS + 1) / 2 + SECTORS + before + 1);
	for (unsigned n = 0; n < SECTORS; n++)
		ck_assert_uint_ge(lengths[n], SECTORS - n);
	ck_assert_uint_eq(lengths[SECTORS], 2);
}

MAIN()
