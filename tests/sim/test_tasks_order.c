/* SPDX-License-Identifier: MIT */
/*
 * test_tasks_order.c - which task goes on: by priorities, and in every order that there is.
 */
#include "sim/tasks.h"

#define ROUNDS	5u

struct shared {
	unsigned nr_tasks;
	bool broken;
	unsigned counter, seen[2];
	iomap_word lock;
	unsigned orders;		/* sets of digits, in test_orders */
	unsigned said;
	bool found[1000];
};

static int add_one(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;
	unsigned value;

	if (!s->broken)
		tasks_lock(sim, &s->lock);
	value = s->counter;
	iomap_sim_yield(sim, "between");
	s->counter = value + 1;
	if (!s->broken)
		tasks_unlock(sim, &s->lock);
	return 0;
}

static int add_all(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	s->counter = s->lock = 0;
	if (tasks_spawn(sim, s->nr_tasks, add_one, s))
		return 1;
	if (s->counter != s->nr_tasks)
		return iomap_sim_fail(sim, "lost", "%u", s->counter);
	return 0;
}

CASE(a_lost_update_in_any_way, "",
     "By priorities that change once, and depth first with one switch")
{
	struct shared s = { .nr_tasks = 2, .broken = true };
	const struct iomap_sim_case c = tasks_case("update", add_all, &s);

	ck_assert_uint_le(tasks_find(&c, IOMAP_SIM_PCT, 2, 100, "lost"), 30);
	tasks_find(&c, IOMAP_SIM_DEPTH_FIRST, 1, 0, "lost");
	tasks_pass(&c, IOMAP_SIM_PCT, 1, 300);
}

CASE(a_counter_under_a_lock, "", "Right in every order; with a bound the report says so")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .schedule = IOMAP_SIM_DEPTH_FIRST,
		.depth = UINT32_MAX,
	};
	struct shared s = { .nr_tasks = 2 };
	const struct iomap_sim_case c = tasks_case("counter", add_all, &s);
	uint64_t all, bounded;

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert(r.exhaustive);
	all = r.runs;
	ck_assert_int_eq(iomap_sim_exhaust(&c, 0, &r), 0);
	ck_assert(!r.exhaustive);
	bounded = r.runs;
	ck_assert_uint_gt(bounded, 10);
	ck_assert_uint_gt(all, 2 * bounded);
	cfg.nr_seeds = 5;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert(!r.exhaustive);
	ck_assert_uint_lt(r.runs, 10);
	s.nr_tasks = 3;
	ck_assert_int_eq(iomap_sim_exhaust(&c, 0, &r), 0);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, 300);
}

/* ---- every order ---- */

static int say(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;
	unsigned digit = ++s->counter;

	for (unsigned i = 0; i < 2; i++) {
		s->said = s->said * 10 + digit;
		if (!i)
			iomap_sim_yield(sim, "said");
	}
	return 0;
}

static int say_all(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	s->counter = s->said = 0;
	for (unsigned i = 0; i < 2; i++)
		if (iomap_sim_spawn(sim, say, s))
			return 1;
	if (iomap_sim_join(sim))
		return 1;
	s->orders += !s->found[s->said % 1000];
	s->found[s->said % 1000] = true;
	return 0;
}

CASE(every_order_is_gone_through, "", "Of two tasks with two steps each: three, and no others")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .schedule = IOMAP_SIM_DEPTH_FIRST, .depth = 9,
	};
	static struct shared s;
	const struct iomap_sim_case c = tasks_case("orders", say_all, &s);

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert(r.exhaustive);
	/* Digits are given in the order of starts: 1122 1212 1221, and no others. */
	ck_assert_uint_eq(s.orders, 3);
	ck_assert(s.found[122] && s.found[212] && s.found[221]);
}

/* ---- three things in order ---- */

static int change_twice(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		iomap_sim_yield(sim, "before");
	s->counter = 1;
	for (unsigned i = 0; i < ROUNDS; i++)
		iomap_sim_yield(sim, "half");
	s->counter = 2;
	return 0;
}

static int look_twice(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		iomap_sim_yield(sim, "before");
	s->seen[0] = s->counter;
	for (unsigned i = 0; i < ROUNDS; i++)
		iomap_sim_yield(sim, "half");
	s->seen[1] = s->counter;
	return 0;
}

static int look_and_change(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	s->counter = s->seen[0] = s->seen[1] = 0;
	if (iomap_sim_spawn(sim, change_twice, s) || iomap_sim_spawn(sim, look_twice, s) ||
	    iomap_sim_join(sim))
		return 1;
	if (s->seen[0] == 1 && s->seen[1] == 2)
		return iomap_sim_fail(sim, "torn", "half of it, then all");
	return 0;
}

CASE(three_things_in_order, "", "Found with two changes of priority, never with one")
{
	struct shared s = { .broken = true };
	const struct iomap_sim_case c = tasks_case("three", look_and_change, &s);

	tasks_pass(&c, IOMAP_SIM_PCT, 1, 500);
	tasks_pass(&c, IOMAP_SIM_PCT, 2, 500);
	ck_assert_uint_le(tasks_find(&c, IOMAP_SIM_PCT, 3, 500, "torn"), 200);
	tasks_find(&c, IOMAP_SIM_RANDOM, 0, 500, "torn");
	tasks_find(&c, IOMAP_SIM_DEPTH_FIRST, 2, 0, "torn");
}

CASE(a_token_as_it_was_found, "",
     "Not shrunk it says how it was drawn: by the seed and a form of schedule")
{
	struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 1000, .schedule = IOMAP_SIM_PCT,
		.no_shrink = true, .crash_points = 1,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, again = r;
	struct shared s = { .broken = true };
	const struct iomap_sim_case c = tasks_case("form", look_and_change, &s);

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_ptr_nonnull(strstr(r.token, ":-:3:"));
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &again), 1);
	ck_assert_str_eq(again.oracle, "torn");
	ck_assert_str_eq(again.token, r.token);
	iomap_sim_report_fini(&again);
	iomap_sim_report_fini(&r);
	cfg.schedule = IOMAP_SIM_DEPTH_FIRST + 1;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), -EINVAL);
	ck_assert_ptr_nonnull(strstr(r.text, "schedule"));
	iomap_sim_report_fini(&r);
	cfg.schedule = IOMAP_SIM_PCT;
	cfg.depth = 4;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), -EINVAL);
	ck_assert_ptr_nonnull(strstr(r.text, "depth"));
	iomap_sim_report_fini(&r);
}

MAIN()
