/* SPDX-License-Identifier: MIT */
/*
 * schedule.c - which task goes on.
 *
 * Where the processor may be lost there is a choice among those that can go on, called "task": 0 is
 * the one that has it, or the lowest number when that one cannot, or the next when it yields; the
 * others follow by number, round and round.  Last comes the time: the next event of a device or the
 * next end of a wait happens while somebody could go on.  So a schedule of zeros is the simplest,
 * where tasks run until they wait.
 *
 * With nobody to choose from there is no choice.  What a policy wants is said to the choice stream,
 * which records it, or has a record that says something else.
 *
 *	random		mostly go on, or all are equal: the run has a pace of its own
 *	PCT		the highest priority goes on; at depth - 1 random steps the one that runs
 *			becomes the lowest: a bug that needs so many things in order is found with
 *			probability 1 / (tasks * steps^(depth - 1)) at least
 *	depth first	every choice, but when depth tasks were made to stop where they could have
 *			gone on, the one that runs goes on
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "task.h"

#define MAX_ROUNDS	4000000u	/* of a run that does not end */
#define MAX_SPINS	100u		/* yields in a row: it waits for somebody */

enum { KEY_PRIORITY = 2001, KEY_CHANGE, KEY_PACE, KEY_STEP };

/* ---- what happens by itself ---- */

/* Whose wait ends first; NULL: none does. */
static struct iomapi_sim_task *first_timed(const struct iomapi_sim_tasks *t)
{
	struct iomapi_sim_task *first = NULL;

	for (uint64_t left = t->timed; left; left &= left - 1) {
		struct iomapi_sim_task *task = t->slots[__builtin_ctzll(left)];

		if (!first || task->until < first->until)
			first = task;
	}
	return first;
}

static bool may_happen(const struct iomapi_sim_tasks *t)
{
	return (t->sim->nr_events || t->timed) && t->alive & (t->alive - 1);
}

static bool happen(struct iomapi_sim_tasks *t)
{
	struct iomap_sim *sim = t->sim;
	struct iomapi_sim_task *task = first_timed(t);

	t->nr_moves++;
	t->nr_rounds = 0;
	if (sim->nr_events && (!task || sim->events[0].time <= task->until))
		return iomapi_sim_step(sim);
	if (!task)
		return false;
	iomapi_sim_pass_time(sim, task->until);
	iomapi_sim_ready(task, -ETIMEDOUT);
	return true;
}

/* ---- nothing does ---- */

struct text {
	char mem[200];
	size_t len;
};

static void say_task(struct text *text, const struct iomapi_sim_task *task)
{
	int n = snprintf(text->mem + text->len, sizeof(text->mem) - text->len,
			 "%s task %u waits for %s", text->len ? "," : "", task->id, task->what);

	if (n > 0 && task->word && text->len + (size_t)n < sizeof(text->mem)) {
		text->len += (size_t)n;
		n = snprintf(text->mem + text->len, sizeof(text->mem) - text->len, " (%u)",
			     *task->word);
	}
	if (n > 0 && task->site && text->len + (size_t)n < sizeof(text->mem)) {
		text->len += (size_t)n;
		n = snprintf(text->mem + text->len, sizeof(text->mem) - text->len, " at %s",
			     task->site);
	}
	text->len += n > 0 ? (size_t)n : 0;
	if (text->len >= sizeof(text->mem))
		text->len = sizeof(text->mem) - 1;
}

void iomapi_sim_stuck(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;
	struct text text = { .len = 0 };

	for (uint64_t left = t ? t->alive : 0; left; left &= left - 1)
		if (t->slots[__builtin_ctzll(left)]->channel)
			say_task(&text, t->slots[__builtin_ctzll(left)]);
	if (!text.len)
		strcpy(text.mem, " task 0 waits for a word, and there is nobody else");
	if (sim->exit) {
		iomap_sim_fail(sim, "O44", "deadlock:%s", text.mem);
		iomapi_sim_abandon(sim);
	}
	if (t)
		iomapi_sim_ready(&t->main, -EDEADLK);
}

/* ---- policies ---- */

struct options {
	uint64_t ready;			/* by number, turned so that the first is bit 0 */
	unsigned first;
	uint32_t nr;			/* with time */
	bool time, stays;		/* stays: 0 is no switch */
};

static struct iomapi_sim_task *option(const struct iomapi_sim_tasks *t, const struct options *o,
				      uint32_t n)
{
	uint64_t left = o->ready;

	while (n--)
		left &= left - 1;
	return t->slots[((unsigned)__builtin_ctzll(left) + o->first) % IOMAP_SIM_TASKS];
}

static uint64_t draw(const struct iomapi_sim_tasks *t, uint64_t key, uint64_t n)
{
	return iomapi_sim_mix(t->sim->choice.seed, key, n, 0);
}

void iomapi_sim_give_priority(struct iomapi_sim_tasks *t, struct iomapi_sim_task *task)
{
	uint64_t above = (uint64_t)1 << 63;

	task->priority = above | draw(t, KEY_PRIORITY, ++t->tickets);
	t->time_priority = above | draw(t, KEY_PRIORITY, 0);
	if (!t->lowest)
		t->lowest = above;
}

/* One run changes at each point, another at one of 64. */
static uint32_t by_chance(const struct iomapi_sim_tasks *t, const struct options *o)
{
	uint64_t random = draw(t, KEY_STEP, t->nr_points);
	uint32_t value = (uint32_t)((random >> 32) * o->nr >> 32);

	if (o->stays && (random & 63) % ((uint64_t)1 << draw(t, KEY_PACE, 0) % 4 * 2))
		return 0;
	if (o->time && value == o->nr - 1 && (random >> 8 & 3))
		return 0;
	return value;
}

static uint32_t by_priority(struct iomapi_sim_tasks *t, const struct options *o,
			    const struct iomapi_sim_policy *policy)
{
	uint64_t best = o->time ? t->time_priority : 0;
	uint32_t value = o->nr - 1;

	for (uint32_t i = 1; policy->steps && i < policy->depth; i++)
		if (t->nr_points == 1 + draw(t, KEY_CHANGE, i) % policy->steps)
			t->now->priority = --t->lowest;
	for (uint32_t i = 0; i + o->time < o->nr; i++)
		if (option(t, o, i)->priority > best) {
			best = option(t, o, i)->priority;
			value = i;
		}
	return value;
}

/* Where the bound is met only what is no preemption is left, and a record says so. */
static bool is_bound(struct iomapi_sim_tasks *t, struct options *o,
		     const struct iomapi_sim_policy *policy)
{
	if (policy->schedule != IOMAP_SIM_DEPTH_FIRST || t->nr_preempted < policy->depth ||
	    (!o->stays && !o->time))
		return false;
	o->nr = o->stays ? 1 : o->nr - 1;
	o->time = false;
	return true;
}

static uint32_t decide(struct iomapi_sim_tasks *t, struct options *o)
{
	struct iomap_sim *sim = t->sim;
	const struct iomapi_sim_policy *policy = &sim->policy;
	uint32_t value = 0;

	t->nr_points++;
	if (is_bound(t, o, policy))
		sim->run->cut_short = true;
	else if (policy->schedule == IOMAP_SIM_PCT)
		value = by_priority(t, o, policy);
	else
		value = by_chance(t, o);
	value = iomapi_sim_take(&sim->choice, "task", value, o->nr);
	sim->digest = iomapi_sim_fold(sim->digest, value);
	if ((o->stays && value) || (o->time && value == o->nr - 1))
		t->nr_preempted++;
	return value;
}

/* ---- the next one ---- */

static uint32_t nr_bits(uint64_t bits)
{
	uint32_t nr = 0;

	for (; bits; bits &= bits - 1)
		nr++;
	return nr;
}

static struct options options_of(const struct iomapi_sim_tasks *t, enum iomapi_sim_can can)
{
	unsigned first = can == IOMAPI_SIM_CANNOT ? 0 : t->now->id + (can == IOMAPI_SIM_YIELDS);
	struct options o = {
		.ready = t->runnable, .first = first % IOMAP_SIM_TASKS, .time = may_happen(t),
		.stays = can == IOMAPI_SIM_GOES_ON,
	};

	if (o.first)
		o.ready = o.ready >> o.first | o.ready << (IOMAP_SIM_TASKS - o.first);
	o.nr = nr_bits(o.ready) + o.time;
	return o;
}

static void go_to(struct iomapi_sim_tasks *t, struct iomapi_sim_task *to)
{
	struct iomapi_sim_task *from = t->now;

	if (from == to)
		return;
	t->nr_moves++;
	t->sim->nr_changes++;		/* of what the engine remembers */
	t->now = to;
	iomapi_sim_fiber_switch(&from->fiber, &to->fiber);
	iomapi_sim_arrive(t);
}

/* One that could have gone on, for the report. */
static void see_stop(struct iomapi_sim_tasks *t, const struct iomapi_sim_task *to)
{
	struct iomapi_sim_run *run = t->sim->run;

	if (run && run->depth == 1 && !run->failed && !run->seen_all && t->now->site)
		run->seen[run->nr_seen++ % IOMAPI_SIM_SEEN] = (struct iomapi_sim_seen){
			.time = t->sim->now, .id = to->id, .dev = t->now->id,
			.site = t->now->site,
		};
}

static void look_for_an_end(struct iomapi_sim_tasks *t)
{
	struct iomap_sim *sim = t->sim;

	if (t->nr_rounds++ < MAX_ROUNDS || !sim->exit)
		return;
	iomap_sim_fail(sim, "O44", "no end after %u turns of tasks", MAX_ROUNDS);
	iomapi_sim_abandon(sim);
}

void iomapi_sim_next_task(struct iomapi_sim_tasks *t, enum iomapi_sim_can can)
{
	for (;;) {
		struct options o = options_of(t, can);
		uint32_t value = 0;

		if (!o.ready) {
			if (!happen(t))
				iomapi_sim_stuck(t->sim);
			continue;
		}
		look_for_an_end(t);
		if (o.nr > 1)
			value = decide(t, &o);
		if (!o.time || value < o.nr - 1) {
			if (o.stays && value)
				see_stop(t, option(t, &o, value));
			go_to(t, option(t, &o, value));
			return;
		}
		happen(t);
	}
}

uint64_t iomapi_sim_nr_points(const struct iomap_sim *sim)
{
	return sim->tasks ? sim->tasks->nr_points : 0;
}

void iomapi_sim_point(struct iomap_sim *sim, const char *site)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (!t || t->alive == 1)
		return;
	t->now->site = site;
	iomapi_sim_next_task(t, IOMAPI_SIM_GOES_ON);
}

void iomapi_sim_give_way(struct iomap_sim *sim, const char *site)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (!t || t->alive == 1)
		return;
	t->now->site = site;
	if (sim->policy.schedule == IOMAP_SIM_PCT)
		t->now->priority = --t->lowest;
	iomapi_sim_next_task(t, IOMAPI_SIM_YIELDS);
}

IOMAP_API void iomap_sim_yield(struct iomap_sim *sim, const char *site)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (!t || t->alive == 1)
		return;
	if (t->now->spins_since != t->nr_moves) {
		t->now->spins_since = t->nr_moves;
		t->now->spins = 0;
	}
	if (t->now->spins++ < MAX_SPINS)
		iomapi_sim_point(sim, site);
	else
		iomapi_sim_give_way(sim, site);
}
