/* SPDX-License-Identifier: MIT */
/*
 * test_tasks_pairs.c - any two operations of a cached file at once, in every order of their steps.
 *
 * Two tasks, one operation each, on one folio or on neighbours, over clean cache or dirty: all
 * schedules with at most two switches away from a task that could have gone on, one where an
 * operation waits for the device.  The search has no other bound: that it comes back says that
 * there are no more.
 *
 * The bytes of a store are nobody else's, for it has not the I/O lock under which the model keeps
 * what the file must contain; who takes them away has the invalidate lock.
 */
#include "sim/tasks_file.h"

#define PAGE	4096

struct pair {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	int (*ops[2])(struct m_file *f, int64_t pos);
	int64_t pos[2];			/* of the page that each works on */
	bool dirty;
};
static struct pair pair;

/* ---- operations; pos: of a page ---- */

static int op_truncate(struct m_file *f, int64_t pos)
{
	return m_truncate(f, pos + 1000);
}

static int op_punch(struct m_file *f, int64_t pos)
{
	return m_hole(f, pos, PAGE);
}

static int op_writeback(struct m_file *f, int64_t pos)
{
	return m_writeback(f, IOMAP_WB_SYNC_NONE, pos, pos + PAGE);
}

static int op_reclaim(struct m_file *f, int64_t pos)
{
	(void)pos;
	iomap_cache_reclaim(f->m->cache, UINT64_MAX);
	return 0;
}

static int op_mkwrite(struct m_file *f, int64_t pos)
{
	uint8_t byte;
	int rc;

	while ((rc = m_store(f, pos + 3000, "somebody stores", 16)) == -EAGAIN)
		if (m_read(f, pos + 2999, &byte, 1) != 1)
			return 0;	/* cut off */
	return rc;
}

static int op_write(struct m_file *f, int64_t pos)
{
	return m_fill(f, pos + 100, 500, 3) == 500 ? 0 : -EIO;
}

static int op_read(struct m_file *f, int64_t pos)
{
	uint8_t buf[2000];

	return m_read(f, pos, buf, sizeof(buf)) < 0 ? -EIO : 0;
}

static int op_zero(struct m_file *f, int64_t pos)
{
	return m_zero(f, pos + 50, 1500, NULL);
}

static int op_unshare(struct m_file *f, int64_t pos)
{
	return m_unshare(f, pos, PAGE);
}

static int op_fsync(struct m_file *f, int64_t pos)
{
	return iomap_file_sync(&f->file, pos, pos + PAGE, false);
}

static const struct {
	int (*run)(struct m_file *f, int64_t pos);
	unsigned switches;		/* those who wait for the device have many places for one */
} ops[] = {
	{ op_truncate, 1 }, { op_punch, 1 }, { op_fsync, 1 }, { op_writeback, 2 },
	{ op_reclaim, 2 }, { op_mkwrite, 2 }, { op_write, 2 }, { op_read, 2 }, { op_zero, 2 },
	{ op_unshare, 2 },
};
#define NR_OPS (sizeof(ops) / sizeof(ops[0]))

/* ---- two of them ---- */

static const struct iomap_sim_dev disk = {
	.name = "disk", .preset = "consumer", .size = 512 << 10,
};

static int first(struct iomap_sim *sim, void *arg)
{
	int rc = pair.ops[0](pair.f, pair.pos[0]);

	(void)arg;
	return rc ? iomap_sim_fail(sim, "first", "%d", rc) : 0;
}

static int second(struct iomap_sim *sim, void *arg)
{
	int rc = pair.ops[1](pair.f, pair.pos[1]);

	(void)arg;
	return rc ? iomap_sim_fail(sim, "second", "%d", rc) : 0;
}

/* Shared pages, promises over them if they are dirty: there is something to do for each. */
static void open_file(struct iomap_sim *sim)
{
	struct iomap_env_opts env = {
		.struct_size = sizeof(env), .nr_ioends = 4, .nr_bios = 8, .nr_segs = 8,
	};
	const struct m_opts opts = {
		.dev = "sim:disk", .cache_bytes = 256 << 10, .max_folio = PAGE, .delalloc = true,
		.unwritten = true, .cow = true,
	};

	iomap_sim_env_opts(sim, &env);
	t_env_start(&pair.t, &env);
	pair.m = m_open(&pair.t, &opts);
	pair.f = m_file_new(pair.m);
	ck_assert_int_eq(m_fill(pair.f, 0, 4 * PAGE, 1), 4 * PAGE);
	m_share(pair.f);
	if (pair.dirty)
		ck_assert_int_eq(m_fill(pair.f, PAGE, 2 * PAGE, 2), 2 * PAGE);
}

static int race(struct iomap_sim *sim, void *arg)
{
	int rc;

	open_file(sim);
	rc = iomap_sim_spawn(sim, first, arg) || iomap_sim_spawn(sim, second, arg) ||
	     iomap_sim_join(sim);
	if (!rc)
		rc = tasks_judge_file(sim, pair.f);
	m_file_free(&pair.f);
	m_close(&pair.m);
	t_env_stop(&pair.t);
	return rc;
}

/* How many schedules there are. */
static uint64_t every_order(unsigned a, unsigned b)
{
	struct iomap_sim_case c = tasks_case("pair", race, NULL);
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .schedule = IOMAP_SIM_DEPTH_FIRST,
		.depth = t_sanitized() ? 1 : ops[a].switches,	/* the first has fewer */
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	uint64_t runs;
	int rc;

	c.devs = &disk;
	pair.ops[0] = ops[a].run;
	pair.ops[1] = ops[b].run;
	rc = iomap_sim_check(&c, &cfg, &r);
	ck_assert_msg(!rc, "%u and %u: %d %s\n%s", a, b, rc, r.oracle, r.text ? r.text : "");
	runs = r.runs;
	iomap_sim_report_fini(&r);
	return runs;
}

static void all_pairs(int64_t apart, bool dirty)
{
	uint64_t total = 0;

	pair = (struct pair){ .pos = { PAGE, PAGE + apart }, .dirty = dirty };
	for (unsigned a = 0; a < NR_OPS; a++) {
		for (unsigned b = a; b < NR_OPS; b++) {
			uint64_t nr = every_order(a, b);

			ck_assert_msg(nr >= 8, "%u and %u: %u schedules", a, b, (unsigned)nr);
			total += nr;
		}
	}
	ck_assert_uint_ge(total, t_sanitized() ? 2000 : 8000);
}

CASE_TIMEOUT(on_one_dirty_folio, "O43 O36",
	     "All pairs of ten operations, both on one dirty page: as if one came first", 90)
{
	all_pairs(0, true);
}

CASE_TIMEOUT(on_one_clean_folio, "O43 O36", "The same on one page that is clean", 90)
{
	all_pairs(0, false);
}

CASE_TIMEOUT(on_dirty_neighbours, "O43 O36", "The same on two pages side by side, dirty", 90)
{
	all_pairs(PAGE, true);
}

CASE_TIMEOUT(on_clean_neighbours, "O43 O36", "The same on two pages side by side, clean", 90)
{
	all_pairs(PAGE, false);
}

MAIN()
