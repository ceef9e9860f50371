/* SPDX-License-Identifier: MIT */
/*
 * test_tasks_buffered.c - what may happen to one cached file at once, in any order of tasks.
 *
 * Whoever changes the file takes its I/O lock, under which the model keeps the bytes that it must
 * have: so there is a serial order, and in the end cache, device and space must agree with it.
 */
#include "sim/tasks_file.h"

#define PAGE		4096u
#define PAGES		6u
#define SEEDS		(t_sanitized() ? 40u : 600u)

struct files {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	uint64_t random;
	unsigned nr_ops;		/* of each task */
	unsigned variant;		/* bits of m_opts; > 31: drawn */
	uint64_t dirty_limit;
	uint64_t nr_cut, nr_dropped;	/* how often there was something to do, in all runs */
};

static uint32_t draw(struct files *x, uint32_t n)
{
	return (uint32_t)(t_rand(&x->random) % n);
}

static const struct iomap_sim_dev disk = {
	.name = "disk", .preset = "consumer", .size = 1 << 20,
};

static void open_files(struct iomap_sim *sim, struct files *x)
{
	struct iomap_env_opts env = {
		.struct_size = sizeof(env), .nr_ioends = 8, .nr_bios = 16, .nr_segs = 16,
	};
	struct m_opts opts = {
		.dev = "sim:disk", .cache_bytes = 1 << 20, .dirty_limit = x->dirty_limit,
	};
	unsigned v;

	x->random = iomap_sim_choose(sim, "work", 1000);
	v = x->variant > 31 ? draw(x, 32) : x->variant;
	opts.delalloc = v & 1;
	opts.unwritten = v & 2;
	opts.batch = v & 2;
	opts.anon = (v & 12) == 12;
	opts.cow = (v & 12) == 4;
	opts.max_folio = v & 16 ? 4 * PAGE : PAGE;
	iomap_sim_env_opts(sim, &env);
	t_env_start(&x->t, &env);
	x->m = m_open(&x->t, &opts);
	x->f = m_file_new(x->m);
}

static void close_files(struct files *x)
{
	m_file_free(&x->f);
	m_close(&x->m);
	t_env_stop(&x->t);
}

/* ---- tasks ---- */

static int write_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	for (unsigned i = 0; i < x->nr_ops; i++) {
		uint32_t pos = draw(x, PAGES * PAGE), len = 1 + draw(x, 2 * PAGE);

		if (m_fill(x->f, pos, len, i) != len)
			return iomap_sim_fail(sim, "write", "short");
	}
	return 0;
}

static int cut_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	for (unsigned i = 0; i < x->nr_ops; i++) {
		x->nr_cut += x->f->ref_size > PAGE;
		if (m_truncate(x->f, draw(x, PAGES * PAGE)))
			return iomap_sim_fail(sim, "truncate", "failed");
	}
	return 0;
}

static int punch_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	for (unsigned i = 0; i < x->nr_ops; i++)
		if (m_hole(x->f, draw(x, PAGES * PAGE), 1 + draw(x, 3 * PAGE)))
			return iomap_sim_fail(sim, "punch", "failed");
	return 0;
}

static int write_back(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	int rc = 0;

	for (unsigned i = 0; !rc && i < x->nr_ops; i++)
		rc = i & 1 ? m_writeback(x->f, IOMAP_WB_SYNC_NONE, 0, 0) : m_sync(x->f);
	return rc ? iomap_sim_fail(sim, "writeback", "%d", rc) : 0;
}

static int drop_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	for (unsigned i = 0; i < x->nr_ops; i++) {
		x->nr_dropped += iomap_cache_reclaim(x->m->cache, 2 * PAGE);
		iomap_sim_yield(sim, "reclaim");
	}
	return 0;
}

static int read_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	uint8_t mem[PAGE];

	for (unsigned i = 0; i < x->nr_ops; i++)
		if (m_read(x->f, draw(x, PAGES * PAGE), mem, 1 + draw(x, PAGE)) < 0)
			return iomap_sim_fail(sim, "read", "failed");
	return 0;
}

/* ---- all of them ---- */

typedef int (*task)(struct iomap_sim *sim, void *arg);

static int race(struct iomap_sim *sim, struct files *x, const task *tasks, unsigned nr)
{
	int rc = 0;

	open_files(sim, x);
	if (m_fill(x->f, 0, 3 * PAGE + 500, 99) < 0)
		rc = 1;
	for (unsigned i = 0; !rc && i < nr; i++)
		rc = iomap_sim_spawn(sim, tasks[i], x);
	if (!rc)
		rc = iomap_sim_join(sim);
	if (!rc)
		rc = tasks_judge_file(sim, x->f);
	close_files(x);
	return rc;
}

static int all_at_once(struct iomap_sim *sim, void *arg)
{
	static const task tasks[] = {
		write_some, cut_some, punch_some, write_back, drop_some, read_some,
	};

	return race(sim, arg, tasks, 6);
}

static int cut_and_write_back(struct iomap_sim *sim, void *arg)
{
	static const task tasks[] = { cut_some, write_back };

	return race(sim, arg, tasks, 2);
}

static int punch_and_write_back(struct iomap_sim *sim, void *arg)
{
	static const task tasks[] = { punch_some, write_back, drop_some };

	return race(sim, arg, tasks, 3);
}

CASE_TIMEOUT(all_changes_of_a_file_race, "O42 O43 O36 I108",
	     "Write, truncate, punch, sync, reclaim, read: as if one came at a time", 90)
{
	static struct files x = { .nr_ops = 4, .variant = 99 };
	struct iomap_sim_case c = tasks_case("all", all_at_once, &x);

	c.devs = &disk;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SEEDS);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SEEDS / 2);
	ck_assert_uint_gt(x.nr_cut, SEEDS);
	ck_assert_uint_gt(x.nr_dropped, SEEDS * PAGE);
}

/* Each order of the tasks with at most two switches that were not needed, for several clients. */
static void in_each_order(int (*work)(struct iomap_sim *sim, void *arg), const char *name,
			  uint64_t least)
{
	static const unsigned variants[] = { 0, 3, 12, 19 };
	uint64_t runs = 0;

	for (unsigned i = 0; i < (t_sanitized() ? 2u : 4u); i++) {
		struct files x = { .nr_ops = 1, .variant = variants[i] };
		struct iomap_sim_case c = tasks_case(name, work, &x);
		const struct iomap_sim_cfg cfg = {
			.struct_size = sizeof(cfg), .schedule = IOMAP_SIM_DEPTH_FIRST,
			.depth = 2, .nr_seeds = t_sanitized() ? 300 : 3000,
		};
		struct iomap_sim_report r = { .struct_size = sizeof(r) };
		int rc;

		c.devs = &disk;
		rc = iomap_sim_check(&c, &cfg, &r);
		ck_assert_msg(!rc, "%s %u: %d %s\n%s", name, variants[i], rc, r.oracle,
			      r.text ? r.text : "");
		runs += r.runs;
		iomap_sim_report_fini(&r);
	}
	ck_assert_uint_ge(runs, least);
}

CASE_TIMEOUT(truncate_in_each_order, "O43",
	     "A truncate against writeback, interrupted at each place in turn", 60)
{
	in_each_order(cut_and_write_back, "cut", 50);
}

CASE_TIMEOUT(punch_in_each_order, "O43",
	     "A punch against writeback and reclaim, interrupted at each place in turn", 60)
{
	in_each_order(punch_and_write_back, "punch", 50);
}

/* ---- a read that fails (R10) ---- */

struct reading {
	struct files x;
	unsigned nr_failed;		/* in all runs */
};

/* Four pages that lie apart are one folio: four requests, one of which fails. */
static int read_ahead(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	uint64_t len = 4 * PAGE;
	int64_t pos = 0;

	(void)sim;
	iomap_readahead(&x->f->inode, &pos, &len, &x->m->ops, NULL, NULL);
	return 0;
}

static int reap(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	for (unsigned i = 0; i < 4; i++) {
		iomap_ioq_poll(x->m->ioq, 0, 1, 0);
		iomap_sim_yield(sim, "reaped");
	}
	return 0;
}

static int cut_all(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	return m_truncate(x->f, 0) ? iomap_sim_fail(sim, "truncate", "failed") : 0;
}

/* Who tells of a range still has the folio: it is the file's. */
static int look_at_reads(struct iomap_sim *sim, struct reading *r)
{
	const struct t_env *t = &r->x.t;

	for (unsigned i = 0; i < t->nr_trace; i++) {
		const struct iomap_trace_record *record = &t->trace[i];

		if (record->event != IOMAP_TRACE_FOLIO_READ)
			continue;
		if (record->inode != &r->x.f->inode)
			return iomap_sim_fail(sim, "R10", "told of a folio that was gone");
		r->nr_failed += record->result != 0;
	}
	return 0;
}

static int read_and_cut(struct iomap_sim *sim, void *arg)
{
	struct reading *r = arg;
	struct files *x = &r->x;
	char script[64];
	int rc;

	open_files(sim, x);
	x->m->opts.gap = 1;
	x->m->opts.chunk = PAGE;
	rc = m_fill(x->f, 0, 4 * PAGE, 1) != 4 * PAGE || m_drop_cache(x->f);
	snprintf(script, sizeof(script), "at read nth=%u kind=eio_read", 1 + draw(x, 4));
	if (!rc)
		rc = iomap_sim_fault(sim, script);
	t_env_trace(&x->t);
	if (!rc)
		rc = iomap_sim_spawn(sim, read_ahead, x) || iomap_sim_spawn(sim, reap, x) ||
		     iomap_sim_spawn(sim, cut_all, x) || iomap_sim_spawn(sim, reap, x) ||
		     iomap_sim_join(sim);
	if (!rc)
		rc = look_at_reads(sim, r);
	if (!rc)
		rc = tasks_judge_file(sim, x->f);
	close_files(x);
	return rc;
}

CASE_TIMEOUT(a_read_fails_while_the_file_is_cut, "R10 I21",
	     "Ranges of one folio arrive in several tasks, one failed, a truncate waits for it", 60)
{
	static struct reading r = { .x = { .variant = 16 } };
	struct iomap_sim_case c = tasks_case("reads", read_and_cut, &r);

	c.devs = &disk;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SEEDS / 2);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SEEDS / 2);
	ck_assert_uint_gt(r.nr_failed, SEEDS / 4);
}

/* ---- a volume dies under those who wait ---- */

#define DEAD	(-ENOTCONN)
#define NR_KEPT	8u

struct dying {
	struct files x;
	struct iomap_ioend *kept[NR_KEPT];
	unsigned nr_kept;
	iomap_word nr_over;		/* tasks that came out of their call */
	unsigned nr_dead;		/* of them with that error, in all runs */
};

static int keep(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct dying *d = f->m->hook_arg;
	struct iomap_ioend *ioend;

	if (error)
		return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
	ioend = iomap_ioend_take(wpc, wb_ctx);
	ioend->bio.end_io = m_end_io;
	d->kept[d->nr_kept++] = ioend;
	return 0;
}

static void over(struct dying *d, int64_t rc)
{
	d->nr_dead += rc == DEAD;
	__atomic_add_fetch(&d->nr_over, 1, __ATOMIC_SEQ_CST);
	iomap_env_wake(d->x.t.env, &d->nr_over, UINT32_MAX);
}

/* More than may be dirty: it waits for room, or for an ioend to make some with. */
static int write_much(struct iomap_sim *sim, void *arg)
{
	struct dying *d = arg;
	int64_t rc = 0;

	(void)sim;
	for (unsigned i = 0; rc >= 0 && i < 64; i++)
		rc = m_fill(d->x.f, (int64_t)i * PAGE, PAGE, i);
	over(d, rc);
	return 0;
}

static int walk_twice(struct iomap_sim *sim, void *arg)
{
	struct dying *d = arg;
	int rc = m_writeback(d->x.f, IOMAP_WB_SYNC_NONE, 0, 0);

	(void)sim;
	if (!rc)
		rc = m_writeback(d->x.f, IOMAP_WB_SYNC_NONE, 0, 0);
	over(d, rc);
	return 0;
}

/* Whoever holds the ioends lets them go only when both are back. */
static int declare_dead(struct iomap_sim *sim, void *arg)
{
	struct dying *d = arg;
	struct iomap_env *env = d->x.t.env;
	iomap_word seen;

	(void)sim;
	(void)iomap_env_wait(env, &d->nr_over, 0, 1000000 * (int64_t)draw(&d->x, 3));
	iomap_volume_shutdown(d->x.m->volume, DEAD);
	while ((seen = __atomic_load_n(&d->nr_over, __ATOMIC_SEQ_CST)) < 2)
		(void)iomap_env_wait(env, &d->nr_over, seen, IOMAP_FOREVER);
	for (unsigned i = 0; i < d->nr_kept; i++)
		iomap_ioend_submit(d->kept[i], 0);
	return 0;
}

static int die_under_waiters(struct iomap_sim *sim, void *arg)
{
	struct dying *d = arg;
	struct files *x = &d->x;
	int rc;

	d->nr_kept = d->nr_over = 0;
	open_files(sim, x);
	x->m->opts.gap = 1;
	x->m->opts.chunk = PAGE;
	x->m->hook_submit = keep;
	x->m->hook_arg = d;
	rc = iomap_sim_spawn(sim, write_much, d) || iomap_sim_spawn(sim, walk_twice, d) ||
	     iomap_sim_spawn(sim, declare_dead, d) || iomap_sim_join(sim);
	if (!rc && iomap_inode_wait_wb(&x->f->inode, UINT64_MAX, IOMAP_FOREVER))
		rc = iomap_sim_fail(sim, "O44", "ioends that do not end");
	if (!rc && !m_content_ok(x->f))
		rc = iomap_sim_fail(sim, "O11", "memory has lost something");
	if (!rc && iomap_file_check_error(&x->f->file) != DEAD)
		rc = iomap_sim_fail(sim, "O12", "the handle was not told");
	if (!rc && iomap_file_check_error(&x->f->file))
		rc = iomap_sim_fail(sim, "O12", "the handle was told twice");
	close_files(x);
	return rc;
}

CASE_TIMEOUT(a_volume_dies_under_those_who_wait, "O44 O11 O12",
	     "Writers who wait for room, walks that wait for ioends come back with the error", 60)
{
	/* room is what runs out first, or ioends */
	static const uint64_t limits[] = { NR_KEPT / 2 * PAGE, 2 * NR_KEPT * PAGE };
	static struct dying d = { .x = { .variant = 3 } };
	struct iomap_sim_case c = tasks_case("dying", die_under_waiters, &d);

	c.devs = &disk;
	for (unsigned i = 0; i < 2; i++) {
		d.x.dirty_limit = limits[i];
		tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SEEDS / 2);
		tasks_pass(&c, IOMAP_SIM_PCT, 3, SEEDS / 2);
	}
	ck_assert_uint_gt(d.nr_dead, SEEDS);
}

MAIN()
