/* SPDX-License-Identifier: MIT */
/*
 * test_tasks_crash.c - power that goes while tasks are at work, and tasks that recover.
 */
#include "sim/tasks.h"

#define CELLS		3u
#define PUTS		4u
#define DEEP		(1u << 20)	/* more stack than a task has */

/* Each task puts numbers into a cell of its own and promises them. */
struct engine {
	bool shared_flush;	/* it takes the flush of another task for its own */
	bool leaves;		/* recover leaves a task behind */
	bool stuck;		/* recovery waits for what does not come */
	bool parallel;		/* recovery has tasks */
	bool deep;
	unsigned cells, puts;	/* 0: CELLS and PUTS */
	/* The test's: of the run under way. */
	uint64_t put[CELLS];
	iomap_word flushing, flushed;
	/* Of all runs. */
	uint64_t nr_looks, nr_left, nr_in_tasks;
	bool in_task;
};
struct part {
	struct engine *e;
	unsigned cell;
};
struct found {			/* by recover */
	struct part parts[CELLS];
	uint64_t number[CELLS];
	unsigned nr_ticks;
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
			return 1;
	return 0;
}

/* A group commit: one flushes, and those that come meanwhile wait for the next one; or, if that is
 * broken, for the one that is under way. */
static int sync_cell(struct iomap_sim *sim, struct engine *e)
{
	uint32_t seen = e->flushed;
	int rc;

	if (e->flushing && e->shared_flush)
		return iomap_sim_wait(sim, &e->flushed, seen, IOMAP_FOREVER);
	while (e->flushing)
		if (iomap_sim_wait(sim, &e->flushed, e->flushed, IOMAP_FOREVER))
			return 1;
	e->flushing = 1;
	rc = iomap_sim_flush(sim, "disk");
	e->flushing = 0;
	e->flushed++;
	iomap_sim_wake(sim, &e->flushed, UINT32_MAX);
	return rc;
}

static int put_some(struct iomap_sim *sim, void *arg)
{
	struct part *p = arg;
	struct engine *e = p->e;
	int rc = 0;

	for (uint64_t i = 1; !rc && i <= (e->puts ? e->puts : PUTS); i++) {
		e->put[p->cell] = i;
		e->in_task = true;
		rc = put(sim, p->cell, i);
		if (!rc)
			rc = sync_cell(sim, e);
		if (!rc)
			iomap_sim_ack(sim, p->cell, i);
		e->in_task = false;
	}
	return rc;
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	struct part parts[CELLS];

	memset(e->put, 0, sizeof(e->put));
	e->flushing = e->flushed = 0;
	for (unsigned i = 0; i < (e->cells ? e->cells : CELLS); i++) {
		parts[i] = (struct part){ e, i };
		if (iomap_sim_spawn(sim, put_some, &parts[i]))
			return 1;
	}
	return iomap_sim_join(sim);
}

/* ---- after a crash ---- */

static int read_cell(struct iomap_sim *sim, void *arg)
{
	struct part *p = arg;
	struct found *f = iomap_sim_engine(sim);
	uint8_t block[BLOCK];

	if (iomap_sim_pread(sim, "disk", block, BLOCK, p->cell * BLOCK) != BLOCK)
		return 1;
	memcpy(&f->number[p->cell], block, sizeof(f->number[0]));
	/* Recovery writes, so that power may go again in the middle of it. */
	return put(sim, p->cell, f->number[p->cell]) || iomap_sim_flush(sim, "disk");
}

static int tick(struct iomap_sim *sim, void *arg)
{
	struct found *f = arg;

	for (;;) {
		iomap_sim_yield(sim, "tick");
		f->nr_ticks++;
	}
	return 0;
}

static int use_stack(unsigned n)
{
	volatile uint8_t deep[DEEP];

	for (unsigned i = 0; i < DEEP; i += 1024)
		deep[i] = (uint8_t)(n + i / 1024);
	return deep[1024] == (uint8_t)(n + 1) ? 0 : 1;
}

static int recover(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	struct found *f = iomap_sim_alloc(sim, sizeof(*f));
	iomap_word never = 0;
	int rc = 0;

	if (!f)
		return 1;
	e->nr_looks++;
	e->nr_in_tasks += e->in_task;
	iomap_sim_set_engine(sim, f);
	if (e->deep && use_stack(7))
		return 1;
	if (e->stuck && e->put[0] == 2)
		return iomap_sim_wait(sim, &never, 0, IOMAP_FOREVER);
	if (e->leaves)
		rc = iomap_sim_spawn(sim, tick, f);
	for (unsigned i = 0; !rc && i < CELLS; i++) {
		f->parts[i] = (struct part){ e, i };
		rc = e->parallel ? iomap_sim_spawn(sim, read_cell, &f->parts[i])
				 : read_cell(sim, &f->parts[i]);
	}
	return rc || !e->parallel || e->leaves ? rc : iomap_sim_join(sim);
}

static int check(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	struct found *f = iomap_sim_engine(sim);

	for (unsigned i = 0; i < 200 && e->leaves; i++)
		iomap_sim_yield(sim, "check");
	e->nr_left += f->nr_ticks > 0;
	for (unsigned i = 0; i < CELLS; i++) {
		uint64_t acked = 0;

		iomap_sim_acked(sim, i, &acked);
		if (f->number[i] < acked)
			return iomap_sim_fail(sim, "O1", "cell %u has %u, promised %u", i,
					      (unsigned)f->number[i], (unsigned)acked);
		if (f->number[i] > e->put[i])
			return iomap_sim_fail(sim, "O2", "cell %u has %u", i,
					      (unsigned)f->number[i]);
	}
	return 0;
}

static struct iomap_sim_case cells(struct engine *e)
{
	struct iomap_sim_case c = tasks_case("task-cells", work, e);

	c.format = format;
	c.recover = recover;
	c.check = check;
	return c;
}

static void pass(struct engine *e, uint64_t seeds, struct iomap_sim_report *r)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = t_sanitized() ? seeds / 10 : seeds,
		.twice = true,
	};
	const struct iomap_sim_case c = cells(e);

	ck_assert_msg(!iomap_sim_check(&c, &cfg, r), "%s\n%s", r->oracle, r->text);
	ck_assert_uint_gt(r->crash_points, 10 * r->seeds);
	iomap_sim_report_fini(r);
}

CASE(power_goes_in_a_task, "O1",
     "Recovered on the stack of the callback; then the tasks go on as if nothing had been")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct engine e = { .deep = true };

	pass(&e, 300, &r);
	ck_assert_uint_gt(e.nr_in_tasks, r.crash_points / 4);
	ck_assert_uint_gt(e.nr_looks, r.crash_points);
}

CASE(a_flush_of_another_task, "O1",
     "Began before the write was there: a promise that depends on it is broken by a crash")
{
	struct engine e = { .shared_flush = true };
	const struct iomap_sim_case c = cells(&e);
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 2000 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O1");
	ck_assert_str_ne(r.token, "");
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "O1");
	ck_assert_str_eq(s.token, r.token);
	iomap_sim_report_fini(&s);
	e.shared_flush = false;
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 0);
	iomap_sim_report_fini(&r);
}

CASE(tasks_that_recover, "O9", "Of a crash in a task, of one in such a recovery; some stay behind")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct engine e = { .parallel = true };

	pass(&e, 200, &r);
	e = (struct engine){ .leaves = true };
	pass(&e, 200, &r);
	ck_assert_uint_gt(e.nr_left, r.crash_points / 2);
}

CASE(a_recovery_that_waits_for_ever, "O44", "Is found, though the tasks of work could go on")
{
	struct engine e = { .stuck = true };
	const struct iomap_sim_case c = cells(&e);
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 100 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O44");
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "O44");
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

CASE(all_crashes_of_tasks, "", "Each crash, each image, orders with one preemption")
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .schedule = IOMAP_SIM_DEPTH_FIRST, .depth = 1,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct engine e = { .cells = 2, .puts = 1 };
	const struct iomap_sim_case c = cells(&e);

	ck_assert_msg(!iomap_sim_check(&c, &cfg, &r), "%s\n%s", r.oracle, r.text);
	ck_assert_uint_gt(r.runs, 100);
	ck_assert_uint_gt(r.images, 3000);
	ck_assert_uint_gt(r.skipped, r.crash_points / 4);	/* another order had them before */
	e.shared_flush = true;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O1");
	iomap_sim_report_fini(&r);
}

MAIN()
