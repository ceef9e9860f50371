/* SPDX-License-Identifier: MIT */
/*
 * tasks.h - cases whose bugs are in the order of tasks.
 */
#ifndef TASKS_H
#define TASKS_H

#include "harness/harness.h"

#include <iomap/sim.h>

#define BLOCK	4096u

static const struct iomap_sim_dev tasks_disk = {
	.name = "disk", .preset = "consumer", .size = 65536,
};

static inline struct iomap_sim_case tasks_case(const char *name,
					       int (*work)(struct iomap_sim *sim, void *arg),
					       void *arg)
{
	return (struct iomap_sim_case){
		.struct_size = sizeof(struct iomap_sim_case), .name = name, .devs = &tasks_disk,
		.nr_devs = 1, .work = work, .arg = arg,
	};
}

static inline struct iomap_sim *tasks_sim(uint64_t seed)
{
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = seed, .devs = &tasks_disk, .nr_devs = 1,
	};
	struct iomap_sim *sim;

	ck_assert_int_eq(iomap_sim_new(&opts, &sim), 0);
	return sim;
}

/* So many tasks of one kind, until all have ended. */
static inline int tasks_spawn(struct iomap_sim *sim, unsigned nr,
			      int (*fn)(struct iomap_sim *sim, void *arg), void *arg)
{
	for (unsigned i = 0; i < nr; i++)
		if (iomap_sim_spawn(sim, fn, arg))
			return 1;
	return iomap_sim_join(sim);
}

/* A lock of one word that is right: 0 free, 1 held, 2 held and waited for. */
static inline void tasks_lock(struct iomap_sim *sim, iomap_word *word)
{
	iomap_sim_yield(sim, "lock");
	if (!*word) {
		*word = 1;
		return;
	}
	while (*word) {
		*word = 2;
		iomap_sim_wait(sim, word, 2, IOMAP_FOREVER);
	}
	*word = 2;
}

static inline void tasks_unlock(struct iomap_sim *sim, iomap_word *word)
{
	uint32_t old = *word;

	*word = 0;
	if (old == 2)
		iomap_sim_wake(sim, word, 1);
}

/* Found within so many seeds, as that oracle, and found again by its token; how many it took. */
static inline uint64_t tasks_find(const struct iomap_sim_case *c, enum iomap_sim_schedule schedule,
				  uint32_t depth, uint64_t seeds, const char *oracle)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = seeds, .schedule = schedule,
		.depth = depth, .crash_points = 1,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };
	uint64_t nr;

	ck_assert_msg(iomap_sim_check(c, &cfg, &r) == 1, "%s: not found", c->name);
	ck_assert_msg(!strcmp(r.oracle, oracle), "%s: %s\n%s", c->name, r.oracle, r.text);
	ck_assert_str_ne(r.token, "");
	ck_assert_int_eq(iomap_sim_replay(c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, oracle);
	ck_assert_str_eq(s.token, r.token);
	nr = r.seeds;
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
	return nr;
}

/* Right in so many seeds, and the same when it is run again. */
static inline void tasks_pass(const struct iomap_sim_case *c, enum iomap_sim_schedule schedule,
			      uint32_t depth, uint64_t seeds)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = seeds, .schedule = schedule,
		.depth = depth, .crash_points = 1, .twice = schedule != IOMAP_SIM_DEPTH_FIRST,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	int rc = iomap_sim_check(c, &cfg, &r);

	ck_assert_msg(!rc, "%s: %d %s\n%s", c->name, rc, r.oracle, r.text ? r.text : "");
	iomap_sim_report_fini(&r);
}

#endif
