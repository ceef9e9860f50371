/* SPDX-License-Identifier: MIT */
/*
 * shrink.c - a failure made small.
 *
 * The choices of work are what is made smaller: whole operations are left out, pieces become 0, the
 * ones left become lower.  Each try is run with a crash at every event, for what was left out moves
 * the place; it counts when the same oracle fails, and then the choices that were really made are
 * the next start.  Last come the choices after the crash.
 */
#include <errno.h>
#include <string.h>

#include "explore.h"

#define MAX_TRIES	2000u
#define MAX_LONG_TRIES	16u		/* of runs that do not end */
#define IMAGES		2u		/* drawn, besides the one that is known */

struct shrink {
	struct iomapi_sim_run *run;
	struct iomapi_sim_failure *best, trial;
	const char *faults;
	unsigned tries, max_tries;
	int error;
};

static int copy(struct iomapi_sim_failure *to, const struct iomapi_sim_failure *from)
{
	int rc = iomapi_sim_trace_copy(&to->work, from->work.made, from->work.nr);

	if (!rc)
		rc = iomapi_sim_trace_copy(&to->recover, from->recover.made, from->recover.nr);
	if (!rc)
		rc = iomapi_sim_trace_copy(&to->recover2, from->recover2.made, from->recover2.nr);
	memcpy(to->oracle, from->oracle, sizeof(to->oracle));
	memcpy(to->text, from->text, sizeof(to->text));
	to->seed = from->seed;
	to->event = from->event;
	to->event2 = from->event2;
	to->image = from->image;
	to->restart = from->restart;
	to->removed = from->removed;
	return rc;
}

static uint64_t value_sum(const struct iomapi_sim_trace *t)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < t->nr; i++)
		sum += t->made[i].value;
	return sum;
}

/* Fewer operations, then fewer choices, then lower ones. */
static bool is_smaller(const struct iomapi_sim_failure *a, const struct iomapi_sim_failure *b)
{
	size_t ops_a = iomapi_sim_nr_ops(&a->work), ops_b = iomapi_sim_nr_ops(&b->work);
	uint64_t sum_a = value_sum(&a->work), sum_b = value_sum(&b->work);

	if (ops_a != ops_b)
		return ops_a < ops_b;
	if (sum_a != sum_b)
		return sum_a < sum_b;
	if (a->work.nr != b->work.nr)
		return a->work.nr < b->work.nr;
	if (a->event != b->event)
		return a->event < b->event;
	return value_sum(&a->recover) + value_sum(&a->recover2) <
	       value_sum(&b->recover) + value_sum(&b->recover2);
}

/* Run the trial; true: it fails as well. */
static bool fails(struct shrink *s, bool everywhere)
{
	const struct iomapi_sim_plan plan = {
		.seed = s->best->seed, .faults = s->faults, .like = &s->trial, .traces = true,
		.stride = everywhere && s->best->event && s->trial.restart < IOMAP_SIM_REMOVAL,
		.images = everywhere ? IMAGES : 0,
	};
	int rc;

	if (s->tries >= s->max_tries || s->error)
		return false;
	s->tries++;
	rc = iomapi_sim_execute(s->run, &plan);
	if (rc < 0)
		s->error = rc;
	return rc == 1 && !strcmp(s->run->failure.oracle, s->best->oracle);
}

/* True: it is smaller, too, and the best now. */
static bool attempt(struct shrink *s, bool everywhere)
{
	if (!fails(s, everywhere) || !is_smaller(&s->run->failure, s->best))
		return false;
	s->error = copy(s->best, &s->run->failure);
	return !s->error;
}

/* The trial is the best one again; false: it is enough. */
static bool again(struct shrink *s)
{
	if (s->error || s->tries >= s->max_tries)
		return false;
	s->error = copy(&s->trial, s->best);
	return !s->error;
}

/* Faults that it fails without. */
static void leave_out_faults(struct shrink *s)
{
	size_t size = s->best->faults ? strlen(s->best->faults) + 1 : 0;
	char *fewer = size ? iomapi_sim_alloc(size) : NULL;

	if (size && !fewer)
		s->error = -ENOMEM;
	for (size_t n = 0; fewer && again(s); n++) {
		memcpy(fewer, s->best->faults, size);
		if (!iomapi_sim_drop_fault(fewer, n))
			break;
		s->faults = fewer;
		if (fails(s, true)) {
			s->error = copy(s->best, &s->run->failure);
			strcpy(s->best->faults, fewer);
			n--;
		}
		s->faults = s->best->faults;
	}
	iomapi_sim_free(fewer);
}

/* It fails with power that goes, too. */
static void lose_power(struct shrink *s)
{
	if (s->best->restart == IOMAP_SIM_POWER_LOSS || !s->best->event || !again(s))
		return;
	s->trial.restart = IOMAP_SIM_POWER_LOSS;
	if (fails(s, true))
		s->error = copy(s->best, &s->run->failure);
}

static void cut_out(struct iomapi_sim_trace *t, size_t from, size_t to)
{
	memmove(t->made + from, t->made + to, (t->nr - to) * sizeof(*t->made));
	t->nr -= to - from;
}

/* Where the n-th operation begins; the end, if there are not so many. */
static size_t place_of(const struct iomapi_sim_trace *t, size_t n)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->made[i].site && !strcmp(t->made[i].site, "op") && !n--)
			return i;
	return t->nr;
}

static bool leave_out_operations(struct shrink *s)
{
	bool any = false;

	for (size_t size = iomapi_sim_nr_ops(&s->best->work); size; size /= 2)
		for (size_t n = 0; n < iomapi_sim_nr_ops(&s->best->work) && again(s);) {
			size_t from = place_of(&s->best->work, n);

			cut_out(&s->trial.work, from, place_of(&s->best->work, n + size));
			if (attempt(s, true))
				any = true;
			else
				n += size;
		}
	return any;
}

static bool leave_out_choices(struct shrink *s)
{
	bool any = false;

	for (size_t size = s->best->work.nr / 2; size; size /= 2)
		for (size_t i = 0; i < s->best->work.nr && again(s);) {
			size_t end = i + size < s->best->work.nr ? i + size : s->best->work.nr;

			cut_out(&s->trial.work, i, end);
			if (attempt(s, true))
				any = true;
			else
				i += size;
		}
	return any;
}

static bool is_zero(const struct iomapi_sim_trace *t, size_t from, size_t to)
{
	for (; from < to; from++)
		if (t->made[from].value)
			return false;
	return true;
}

static void clear(struct iomapi_sim_trace *t, size_t from, size_t to)
{
	for (; from < to && from < t->nr; from++)
		t->made[from].value = 0;
}

/* One of its choices: the least that there are, then by halves. */
static bool lower_one(struct shrink *s, const struct iomapi_sim_trace *t,
		      struct iomapi_sim_trace *trial, size_t i, bool everywhere)
{
	bool any = false;

	if (!t->made[i].value)
		return false;
	for (uint32_t value = 1; value < 4 && i < t->nr && again(s); value++) {
		if (t->made[i].value <= value)
			break;
		trial->made[i].value = value;
		any |= attempt(s, everywhere);
	}
	for (uint32_t step = i < t->nr ? t->made[i].value / 2 : 0; step; step /= 2) {
		if (i >= t->nr || step > t->made[i].value || !again(s))
			continue;
		trial->made[i].value -= step;
		any |= attempt(s, everywhere);
	}
	return any;
}

/* t is one of the best's traces, trial the same of the trial. */
static bool lower(struct shrink *s, const struct iomapi_sim_trace *t,
		  struct iomapi_sim_trace *trial, bool everywhere)
{
	bool any = false;

	for (size_t size = t->nr; size; size /= 2)
		for (size_t i = 0; i < t->nr; i += size) {
			if (is_zero(t, i, i + size < t->nr ? i + size : t->nr))
				continue;
			if (!again(s))
				return any;
			clear(trial, i, i + size);
			any |= attempt(s, everywhere);
		}
	for (size_t i = 0; i < t->nr; i++)
		any |= lower_one(s, t, trial, i, everywhere);
	return any;
}

int iomapi_sim_shrink(struct iomapi_sim_run *run, struct iomapi_sim_failure *failure)
{
	struct shrink s = { .run = run, .best = failure, .faults = failure->faults };
	bool any = true;

	s.max_tries = run->endless ? MAX_LONG_TRIES : MAX_TRIES;
	leave_out_faults(&s);
	lose_power(&s);
	while (any && !s.error && s.tries < s.max_tries) {
		any = leave_out_operations(&s);
		any |= lower(&s, &failure->work, &s.trial.work, true);
		any |= leave_out_choices(&s);
	}
	lower(&s, &failure->recover, &s.trial.recover, false);
	lower(&s, &failure->recover2, &s.trial.recover2, false);
	iomapi_sim_failure_fini(&s.trial);
	return s.error;
}
