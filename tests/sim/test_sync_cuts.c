/* SPDX-License-Identifier: MIT */
/*
 * test_sync_cuts.c - each way to make a file durable, each kind of sync, each sort of change, on
 * each preset, and power that goes at an event drawn by lot, or one of the two devices alone.
 */
#include "sim/durable.h"

#define PART	(PAGE + 700)		/* where a file ends inside a block */
#define EVENTS	90u			/* power goes before so many */

/* Of each combination; 250 a seed.  More in a release build. */
#ifdef NDEBUG
#define SEEDS	20u
#else
#define SEEDS	(t_sanitized() ? 1u : 4u)
#endif

static const char *const presets[] = { "consumer", "plp", "sata512e", "cruel", "multiqueue" };
#define PRESETS	5u

static const struct work {
	const char *name;
	struct m_opts opts;
	struct durable_step before[5];		/* synced, and only then power may go */
	struct durable_step steps[10];
} works[] = {
	{ "overwrite", { .times = true },
	  { { D_WRITE, 0, 4 * PAGE } },
	  { { D_WRITE, 100, PAGE }, { D_SYNC, 0, 0 }, { D_WRITE, 3 * PAGE, 9 },
	    { D_SYNC, 0, 0 }, { D_WRITE, 5, 3 * PAGE }, { D_SYNC, 0, 0 } } },
	{ "append", { 0 },
	  { { D_WRITE, 0, PART } },
	  { { D_WRITE, PART, PAGE }, { D_SYNC, 0, 0 }, { D_WRITE, PART + PAGE, 3 * PAGE },
	    { D_BACK, 0, 0 }, { D_WRITE, PART + 4 * PAGE, 50 }, { D_SYNC, 0, 0 } } },
	{ "over a hole", { 0 },
	  { { D_WRITE, 0, 700 } },
	  { { D_WRITE, 3 * PAGE + 9, PAGE }, { D_SYNC, 0, 0 }, { D_WRITE, PAGE + 1, 50 },
	    { D_BACK, 0, 0 }, { D_WRITE, 6 * PAGE, 50 }, { D_SYNC, 0, 0 } } },
	{ "cut, then grown", { 0 },
	  { { D_WRITE, 0, 5 * PAGE } },
	  { { D_SIZE, PART, 0 }, { D_SIZE, 4 * PAGE + 9, 0 }, { D_SYNC, 0, 0 },
	    { D_SIZE, 9, 0 }, { D_SYNC, 0, 0 }, { D_WRITE, 2 * PAGE, 100 }, { D_SYNC, 0, 0 } } },
	{ "grown over garbage", { 0 },
	  { { D_WRITE, 0, PART }, { D_SYNC, 0, 0 }, { D_GARBAGE, 0, 0 } },
	  { { D_SIZE, 5 * PAGE + 9, 0 }, { D_SYNC, 0, 0 }, { D_WRITE, 4 * PAGE, 2 * PAGE },
	    { D_SYNC, 0, 0 } } },
	{ "written over garbage", { 0 },
	  { { D_WRITE, 0, PART }, { D_SYNC, 0, 0 }, { D_GARBAGE, 0, 0 } },
	  { { D_SIZE, PART + 1, 0 }, { D_WRITE, 5 * PAGE, 100 }, { D_SYNC, 0, 0 } } },
	{ "converted", { .unwritten = true },
	  { { D_WRITE, 0, 10 } },
	  { { D_SPACE, 0, 7 * PAGE }, { D_WRITE, 10, 2 * PAGE }, { D_SYNC, 0, 0 },
	    { D_WRITE, 4 * PAGE, 9 }, { D_BACK, 0, 0 }, { D_WRITE, PAGE, 3 * PAGE },
	    { D_SYNC, 0, 0 } } },
	{ "shared", { .cow = true },
	  { { D_WRITE, 0, 4 * PAGE }, { D_SHARE, 0, 0 } },
	  { { D_WRITE, 100, PAGE }, { D_SYNC, 0, 0 }, { D_HOLE, 3 * PAGE, 90 },
	    { D_WRITE, 0, 4 * PAGE }, { D_SYNC, 0, 0 } } },
	{ "zeroed", { 0 },
	  { { D_WRITE, 0, 5 * PAGE } },
	  { { D_ZERO, 700, 2 * PAGE }, { D_SYNC, 0, 0 }, { D_WRITE, PAGE, 100 },
	    { D_ZERO, PAGE, 50 }, { D_SYNC, 0, 0 } } },
	{ "punched", { 0 },
	  { { D_WRITE, 0, 5 * PAGE } },
	  { { D_HOLE, 700, 3 * PAGE }, { D_SYNC, 0, 0 }, { D_WRITE, 2 * PAGE, 10 },
	    { D_SYNC, 0, 0 } } },
};
#define WORKS	(sizeof(works) / sizeof(*works))

struct sums {
	unsigned runs, cut, promises;
};

/* Power, or now and then one of two devices, which ends with the other when all is over. */
static void choose_cut(struct durable *u)
{
	unsigned nth = 1 + failing_draw(&u->d, EVENTS);

	u->hurt = u->way->log && !failing_draw(&u->d, 4);
	if (u->hurt)
		failing_arm(&u->d, "at dev=%s nth=%u kind=removed",
			    failing_draw(&u->d, 2) ? "log" : "disk", 1 + nth / 8);
	else
		ck_assert_int_eq(iomap_sim_cut_at(u->d.w.sim, nth), 0);
}

static void run(const struct durable_way *way, const struct work *work, enum durable_kind kind,
		unsigned preset, uint64_t seed, struct sums *sums)
{
	struct m_opts opts = work->opts;
	static struct durable u;

	opts.delalloc |= seed & 1;
	opts.unwritten |= seed & 2;
	opts.max_folio = PAGE << seed % 3;
	durable_start(&u, way, seed, presets[preset], presets[(preset + seed) % PRESETS], &opts);
	snprintf(u.what, sizeof(u.what), "%s, kind %d, %s, seed %u", work->name, kind,
		 presets[preset], (unsigned)seed);
	durable_steps(&u, work->before, D_FSYNC);
	ck_assert_int_eq(m_sync(u.f), 0);
	durable_promise(&u);
	choose_cut(&u);
	durable_steps(&u, work->steps, kind);
	sums->runs++;
	sums->cut += durable_off(&u);
	sums->promises += u.nr_promises - 1;
	durable_end(&u);
}

static void matrix(const struct durable_way *way)
{
	struct sums sums = { 0 };
	uint64_t seed = 0;

	for (unsigned w = 0; w < WORKS; w++)
		for (unsigned kind = 0; kind < D_KINDS; kind++)
			for (unsigned i = 0; i < PRESETS * SEEDS; i++)
				run(way, &works[w], kind, i % PRESETS, seed++, &sums);
	/* It went where it hurts: in the middle, and before and behind a promise. */
	ck_assert_uint_gt(sums.cut, sums.runs / 4);
	ck_assert_uint_lt(sums.cut, sums.runs);
	ck_assert_uint_gt(sums.promises, sums.runs / 2);
}

CASE_TIMEOUT(journal_on_the_device, "H10 I165 I166 R23 I66 O1 O2 O3 O4 O5",
	     "One device has data and journal: what a sync promised is there, nothing foreign", 90)
{
	matrix(&durable_one);
}

CASE_TIMEOUT(journal_on_another_device, "H10 I165 I166 R23 I66 O1 O2 O3 O4 O5",
	     "The data's device is flushed before the record; either may go alone", 90)
{
	matrix(&durable_log);
}

CASE_TIMEOUT(no_journal, "H10 I165 I166 R23 I66 O1 O2 O3 O4 O5",
	     "Table and size in place: data, wait, flush, table, and a flush of the library", 90)
{
	matrix(&durable_table);
}

CASE_TIMEOUT(data_on_two_devices, "H10 I165 I166 R23 I66 O1 O2 O3 O4 O5",
	     "Both are flushed, whether anything is committed or not", 90)
{
	matrix(&durable_striped);
}

CASE_TIMEOUT(data_on_two_devices_without_a_journal, "H10 I165 I166 R23 I66 O1 O2 O3 O4 O5",
	     "The same with a table in place: what it names is durable before it", 90)
{
	matrix(&durable_striped_table);
}

MAIN()
