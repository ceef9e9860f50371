/* SPDX-License-Identifier: MIT */
/*
 * sim/task.h - what the files about tasks share.
 *
 *	fiber.c		a stack to run on, and the way from one to another
 *	task.c		tasks: spawned, waiting, woken, ended
 *	schedule.c	which of them goes on
 *	watchdog.c	what if none does, for a reason that is not ours
 *
 * The callback that a level runs is its task 0, on the stack that it was called on: the main stack.
 * The others have a small one each.  When power goes in one of those, recover and check run on the
 * main stack all the same, above where task 0 stands.
 *
 * Threads: one, whose time the tasks share; where they may lose it is said by iomapi_sim_point.
 */
#ifndef IOMAPI_TASK_H
#define IOMAPI_TASK_H

#include <setjmp.h>

#include "explore.h"

/* ---- for the rest of the simulator ---- */

bool iomapi_sim_has_tasks(const struct iomap_sim *sim);
uint64_t iomapi_sim_nr_points(const struct iomap_sim *sim);	/* choices of tasks, so far */
struct iomapi_sim_started *iomapi_sim_started(struct iomap_sim *sim);	/* of this task */
void *iomapi_sim_self(struct iomap_sim *sim);
uint32_t *iomapi_sim_held(struct iomap_sim *sim);	/* locks of the library, by this task */
/* This task may lose the processor; or cannot use it until somebody else did something. */
void iomapi_sim_point(struct iomap_sim *sim, const char *site);
void iomapi_sim_give_way(struct iomap_sim *sim, const char *site);
/* Wait for a wake on the channel: 0, -ETIMEDOUT; -EDEADLK: nobody can, and it is no case. */
int iomapi_sim_park(struct iomap_sim *sim, const void *channel, const char *what, int64_t until);
void iomapi_sim_wake(struct iomap_sim *sim, const void *channel, unsigned nr);
/* The same; without tasks until the next event.  false: it does not come until then. */
bool iomapi_sim_pause(struct iomap_sim *sim, const void *channel, int64_t until);
int iomapi_sim_spawn_thread(struct iomap_sim *sim, void (*fn)(void *arg), void *arg,
			    void **handle);
void iomapi_sim_join_thread(struct iomap_sim *sim, void *handle);
/* A callback of the case, and its tasks, if they are joined; 1: it was left where it stood. */
int iomapi_sim_call(struct iomap_sim *sim, int (*fn)(struct iomap_sim *sim, void *arg), void *arg,
		    bool join);
void iomapi_sim_abandon(struct iomap_sim *sim);		/* leave it */
void iomapi_sim_stuck(struct iomap_sim *sim);		/* nobody can go on, nothing will happen */
void iomapi_sim_on_main(struct iomap_sim *sim, void (*fn)(struct iomap_sim *sim));
void iomapi_sim_tasks_drop(struct iomap_sim *sim);	/* wherever they stand */
void iomapi_sim_tasks_free(struct iomap_sim *sim);

/* ---- fiber.c ---- */

struct iomapi_sim_fiber {
	jmp_buf at;			/* where it stands */
	void (*fn)(struct iomapi_sim_fiber *fiber);	/* never returns; NULL: it has begun */
	void *stack;			/* NULL: the main stack */
	struct iomapi_sim_fiber *from;	/* who switched to it last */
	/* The sanitizer's: where its stack is, and what it keeps about it. */
	const void *bottom;
	size_t size;
	void *fake, *tsan;
	unsigned uses;
};
int iomapi_sim_fiber_init(struct iomapi_sim_fiber *fiber);	/* a stack: 0 or -ENOMEM */
void iomapi_sim_fiber_fini(struct iomapi_sim_fiber *fiber);
void iomapi_sim_fiber_start(struct iomapi_sim_fiber *fiber,
			    void (*fn)(struct iomapi_sim_fiber *fiber));
void iomapi_sim_fiber_stop(struct iomapi_sim_fiber *fiber);	/* wherever it stands */
/* Returns when somebody switches back. */
void iomapi_sim_fiber_switch(struct iomapi_sim_fiber *from, struct iomapi_sim_fiber *to);

/* ---- task.c ---- */

struct iomapi_sim_exit {
	jmp_buf at;
};

struct iomapi_sim_task {
	struct iomapi_sim_fiber fiber;
	struct iomapi_sim_tasks *tasks;
	struct iomapi_sim_task *next;	/* idle */
	unsigned id;
	int (*fn)(struct iomap_sim *sim, void *arg);	/* or */
	void (*thread)(void *arg);			/* of an environment, to be joined */
	void *arg;
	/* While it waits: for what, compared only, and in words; since when; how long. */
	const void *channel;
	const char *what;
	uint64_t ticket;
	int64_t until;
	int result;			/* of the wait */
	const iomap_word *word;		/* NULL: it waits for something else */
	const char *site;		/* where it was last */
	uint64_t priority;
	uint64_t spins, spins_since;	/* yields while nothing else happened */
	struct iomapi_sim_started started;
	uint64_t self[32];
	uint32_t held;
};
/* Of a level, from the first one that is spawned. */
struct iomapi_sim_tasks {
	struct iomap_sim *sim;
	struct iomapi_sim_task main;
	struct iomapi_sim_task *slots[IOMAP_SIM_TASKS];
	struct iomapi_sim_task *now;
	struct iomapi_sim_task *ended;	/* it is on its stack still */
	uint64_t alive, runnable, timed;	/* bits by number */
	uint64_t nr_rounds, nr_points;	/* looks for the next one; with a choice */
	uint64_t nr_moves;		/* switches and events */
	uint64_t tickets, lowest, time_priority;
	uint32_t nr_preempted;
	void (*errand)(struct iomap_sim *sim);	/* for the main stack */
	bool over;			/* task 0 has to leave the callback */
};
/* It can go on. */
void iomapi_sim_ready(struct iomapi_sim_task *task, int result);
/* What a task finds to do when it gets the processor. */
void iomapi_sim_arrive(struct iomapi_sim_tasks *t);

/* ---- schedule.c ---- */

enum iomapi_sim_can { IOMAPI_SIM_GOES_ON, IOMAPI_SIM_YIELDS, IOMAPI_SIM_CANNOT };
/* Another one, or the same, goes on; returns when this one does. */
void iomapi_sim_next_task(struct iomapi_sim_tasks *t, enum iomapi_sim_can can);
void iomapi_sim_give_priority(struct iomapi_sim_tasks *t, struct iomapi_sim_task *task);

/* ---- watchdog.c ---- */

/* Without one nobody says why nothing moves. */
void iomapi_sim_watch(struct iomap_sim *sim);
void iomapi_sim_unwatch(struct iomap_sim *sim);

#endif
