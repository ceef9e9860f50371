/* SPDX-License-Identifier: MIT */
/*
 * task.c - tasks: the threads of an engine, one at a time.
 *
 * A task that waits says for what: an address that nobody follows, of a word, a queue or a task.
 * Who changes that makes it ready; it runs when it is its turn.  Nothing but a wake ends a wait
 * early, so that one which does not come is missed.
 *
 * Before the first is spawned there are none, not even task 0, and waits let events pass as if
 * there were no such thing.
 *
 * Threads: see task.h.
 */
#include <errno.h>
#include <string.h>

#include "task.h"

/* ---- life ---- */

static struct iomapi_sim_task *take_idle(struct iomap_sim *sim)
{
	struct iomapi_sim_task *task = sim->idle;

	if (task) {
		sim->idle = task->next;
		return task;
	}
	task = iomapi_sim_align(sizeof(*task), 64);
	if (task && iomapi_sim_fiber_init(&task->fiber)) {
		iomapi_sim_free(task);
		task = NULL;
	}
	return task;
}

static struct iomapi_sim_tasks *tasks_of(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (t)
		return t;
	t = iomapi_sim_level_zalloc(sim, sizeof(*t));
	if (!t)
		return NULL;
	t->sim = sim;
	t->now = t->slots[0] = &t->main;
	t->main.tasks = t;
	t->alive = t->runnable = 1;
	iomapi_sim_give_priority(t, &t->main);
	sim->tasks = t;
	iomapi_sim_watch(sim);
	return t;
}

/* Another task may run on its stack. */
static void put_idle(struct iomapi_sim_task *task)
{
	struct iomapi_sim_tasks *t = task->tasks;

	iomapi_sim_fiber_stop(&task->fiber);
	task->next = t->sim->idle;
	t->sim->idle = task;
	t->slots[task->id] = NULL;
}

/* Who has ended may come to an errand still, on its own stack. */
static void collect(struct iomapi_sim_tasks *t)
{
	struct iomapi_sim_task *ended = t->ended;

	if (ended && ended != t->now) {		/* else it only sent an errand */
		t->ended = NULL;
		if (!ended->thread)		/* else who joins it does */
			put_idle(ended);
	}
}

void iomapi_sim_arrive(struct iomapi_sim_tasks *t)
{
	collect(t);
	while (t->errand) {		/* only the main stack is switched to with one */
		void (*errand)(struct iomap_sim *) = t->errand;

		t->errand = NULL;
		errand(t->sim);
		iomapi_sim_fiber_switch(&t->main.fiber, &t->now->fiber);
		collect(t);
	}
	if (t->over)
		longjmp(t->sim->exit->at, 1);
}

static uint64_t bit(const struct iomapi_sim_task *task)
{
	return (uint64_t)1 << task->id;
}

static void end(struct iomapi_sim_task *task)
{
	struct iomapi_sim_tasks *t = task->tasks;

	t->alive &= ~bit(task);
	t->runnable &= ~bit(task);
	t->ended = task;
	iomapi_sim_wake(t->sim, task, UINT32_MAX);
	if (t->alive == 1)
		iomapi_sim_wake(t->sim, &t->alive, UINT32_MAX);
	iomapi_sim_next_task(t, IOMAPI_SIM_CANNOT);
}

static void run(struct iomapi_sim_fiber *fiber)
{
	struct iomapi_sim_task *task = iomap_container_of(fiber, struct iomapi_sim_task, fiber);
	struct iomap_sim *sim = task->tasks->sim;
	int rc = 0;

	iomapi_sim_arrive(task->tasks);
	if (task->thread)
		task->thread(task->arg);
	else
		rc = task->fn(sim, task->arg);
	if (rc == -ENODEV && sim->run && sim->run->removal)
		rc = 0;			/* as work may say */
	if (rc)
		iomap_sim_fail(sim, "task", "task %u returned %d", task->id, rc);
	iomap_sim_wait_writes(sim);	/* they are told to nobody, but they are its */
	end(task);
}

static int spawn(struct iomap_sim *sim, const struct iomapi_sim_task *what,
		 struct iomapi_sim_task **spawned)
{
	struct iomapi_sim_tasks *t = tasks_of(sim);
	struct iomapi_sim_fiber fiber;
	struct iomapi_sim_task *task;
	unsigned id = 0;

	while (t && id < IOMAP_SIM_TASKS && t->slots[id])
		id++;
	if (id == IOMAP_SIM_TASKS)
		return -EAGAIN;
	task = t ? take_idle(sim) : NULL;
	if (!task)
		return -ENOMEM;
	fiber = task->fiber;
	*task = *what;
	task->fiber = fiber;
	task->tasks = t;
	task->id = id;
	t->slots[id] = task;
	t->alive |= bit(task);
	t->runnable |= bit(task);
	iomapi_sim_give_priority(t, task);
	iomapi_sim_fiber_start(&task->fiber, run);
	if (spawned)
		*spawned = task;
	iomapi_sim_point(sim, "spawn");
	return 0;
}

IOMAP_API int iomap_sim_spawn(struct iomap_sim *sim,
			      int (*fn)(struct iomap_sim *sim, void *arg), void *arg)
{
	const struct iomapi_sim_task what = { .fn = fn, .arg = arg };

	return spawn(sim, &what, NULL);
}

IOMAP_API int iomap_sim_join(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (!t)
		return 0;
	if (t->now != &t->main)
		return -EDEADLK;
	while (t->alive != 1) {
		int rc = iomapi_sim_park(sim, &t->alive, "its tasks", INT64_MAX);

		if (rc)
			return rc;
	}
	return 0;
}

void iomapi_sim_tasks_drop(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (!t)
		return;
	for (unsigned id = 1; id < IOMAP_SIM_TASKS; id++)
		if (t->slots[id])
			put_idle(t->slots[id]);
	sim->tasks = NULL;
	iomapi_sim_level_free(sim, t);
}

void iomapi_sim_tasks_free(struct iomap_sim *sim)
{
	struct iomapi_sim_task *task;

	iomapi_sim_unwatch(sim);
	iomapi_sim_tasks_drop(sim);
	while ((task = sim->idle)) {
		sim->idle = task->next;
		iomapi_sim_fiber_fini(&task->fiber);
		iomapi_sim_free(task);
	}
}

/* ---- callbacks of a case ---- */

static int call(struct iomap_sim *sim, int (*fn)(struct iomap_sim *sim, void *arg), void *arg,
		bool join)
{
	int rc = fn(sim, arg);

	return rc || !join ? rc : iomap_sim_join(sim);
}

int iomapi_sim_call(struct iomap_sim *sim, int (*fn)(struct iomap_sim *sim, void *arg), void *arg,
		    bool join)
{
	struct iomapi_sim_exit leave;
	volatile int rc = 1;

	sim->exit = &leave;
	if (!_setjmp(leave.at))
		rc = call(sim, fn, arg, join);
	else
		sim->abandoned = true;
	sim->exit = NULL;
	if (rc)
		iomapi_sim_tasks_drop(sim);
	return rc;
}

void iomapi_sim_abandon(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (!t || t->now == &t->main)
		longjmp(sim->exit->at, 1);
	t->over = true;
	iomapi_sim_fiber_switch(&t->now->fiber, &t->main.fiber);
}

void iomapi_sim_on_main(struct iomap_sim *sim, void (*fn)(struct iomap_sim *sim))
{
	struct iomapi_sim_tasks *t = sim->tasks;

	if (!t || t->now == &t->main) {
		fn(sim);
		return;
	}
	t->errand = fn;
	iomapi_sim_fiber_switch(&t->now->fiber, &t->main.fiber);
}

/* ---- waits ---- */

bool iomapi_sim_has_tasks(const struct iomap_sim *sim)
{
	return sim->tasks && sim->tasks->alive != 1;
}

struct iomapi_sim_started *iomapi_sim_started(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	return t && t->now != &t->main ? &t->now->started : &sim->started;
}

void *iomapi_sim_self(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	return t && t->now != &t->main ? t->now->self : sim->self;
}

uint32_t *iomapi_sim_held(struct iomap_sim *sim)
{
	struct iomapi_sim_tasks *t = sim->tasks;

	return t && t->now != &t->main ? &t->now->held : &sim->held;
}

int iomapi_sim_park(struct iomap_sim *sim, const void *channel, const char *what, int64_t until)
{
	struct iomapi_sim_tasks *t = sim->tasks;
	struct iomapi_sim_task *task = t->now;

	task->channel = channel;
	task->what = what;
	task->ticket = ++t->tickets;
	task->until = until;
	t->runnable &= ~bit(task);
	if (until < INT64_MAX)
		t->timed |= bit(task);
	iomapi_sim_next_task(t, IOMAPI_SIM_CANNOT);
	return task->result;
}

void iomapi_sim_ready(struct iomapi_sim_task *task, int result)
{
	task->channel = NULL;
	task->word = NULL;
	task->result = result;
	task->tasks->timed &= ~bit(task);
	task->tasks->runnable |= bit(task);
}

/* Who has waited longest; NULL: nobody does. */
static struct iomapi_sim_task *first_waiter(struct iomapi_sim_tasks *t, const void *channel)
{
	struct iomapi_sim_task *first = NULL;

	for (uint64_t left = t->alive & ~t->runnable; left; left &= left - 1) {
		struct iomapi_sim_task *task = t->slots[__builtin_ctzll(left)];

		if (task->channel == channel && (!first || task->ticket < first->ticket))
			first = task;
	}
	return first;
}

void iomapi_sim_wake(struct iomap_sim *sim, const void *channel, unsigned nr)
{
	struct iomapi_sim_task *task;

	while (sim->tasks && nr && (task = first_waiter(sim->tasks, channel))) {
		iomapi_sim_ready(task, 0);
		nr--;
	}
}

bool iomapi_sim_pause(struct iomap_sim *sim, const void *channel, int64_t until)
{
	if (iomapi_sim_has_tasks(sim))
		return !iomapi_sim_park(sim, channel, "a device", until);
	if (!sim->nr_events || sim->events[0].time > until) {
		iomapi_sim_pass_time(sim, until);
		return false;
	}
	iomapi_sim_step(sim);
	return true;
}

/* Nobody is there who could change it. */
static int wait_alone(struct iomap_sim *sim, const iomap_word *word, uint32_t seen, int64_t until)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == seen) {
		if (!iomapi_sim_pause(sim, word, until)) {
			if (until < INT64_MAX)
				return -ETIMEDOUT;
			iomapi_sim_stuck(sim);
			return -EDEADLK;
		}
	}
	return 0;
}

IOMAP_API int iomap_sim_wait(struct iomap_sim *sim, const iomap_word *word, uint32_t seen,
			     int64_t timeout_ns)
{
	int64_t until = iomapi_sim_until(sim, timeout_ns);

	if (!iomapi_sim_has_tasks(sim))
		return wait_alone(sim, word, seen, until);
	iomapi_sim_point(sim, "wait");
	if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != seen)
		return 0;
	sim->tasks->now->word = word;
	return iomapi_sim_park(sim, word, "a word", until);
}

IOMAP_API void iomap_sim_wake(struct iomap_sim *sim, const iomap_word *word, unsigned nr)
{
	iomapi_sim_wake(sim, word, nr);
	iomapi_sim_point(sim, "wake");
}

/* ---- for an environment ---- */

int iomapi_sim_spawn_thread(struct iomap_sim *sim, void (*fn)(void *arg), void *arg, void **handle)
{
	const struct iomapi_sim_task what = { .thread = fn, .arg = arg };
	struct iomapi_sim_task *task;
	int rc;

	/* It may have ended before spawn returns, so the handle is there first. */
	rc = spawn(sim, &what, &task);
	if (!rc)
		*handle = task;
	return rc;
}

void iomapi_sim_join_thread(struct iomap_sim *sim, void *handle)
{
	struct iomapi_sim_task *task = handle;

	while (task->tasks->alive & bit(task))
		if (iomapi_sim_park(sim, task, "a task to end", INT64_MAX))
			return;
	put_idle(task);
}
