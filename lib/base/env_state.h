/* SPDX-License-Identifier: MIT */
/*
 * base/env_state.h - what an environment is made of; for env.c, wait.c, work.c, sync.c only.
 */
#ifndef IOMAPI_ENV_STATE_H
#define IOMAPI_ENV_STATE_H

#include "base/env.h"

/* Base's own locks come after everybody's: an event may be reported under any lock. */
#define IOMAPI_RANK_WORK 200
#define IOMAPI_RANK_WAIT 250

/* A thread in an object wait that is about to block or does; on its stack. */
struct iomapi_sleeper {
	struct iomap_list node;
	struct iomap_env *env;
	struct iomapi_self *self;		/* whose it is */
	const iomap_word *word;			/* what it watches; read as an address only */
	struct iomapi_driver *driver;		/* it blocks, or is about to, in this one */
	iomap_word flag;			/* its private word: 1 get up */
	bool woken;				/* by a wake on its word: counted once */
};

struct iomap_env {
	iomap_word trace_on;			/* first: base/trace.h looks here */
	iomap_word lock_on;			/* second: iomapi_lock_ahead does */
	iomap_word plain_self;			/* third: iomapi_self does */
	struct iomap_env_opts opts;		/* resolved; tables below */
	struct iomap_sync_ops sync;
	struct iomap_copy_ops copy;
	struct iomap_executor_ops executor;	/* queue NULL: waits run the work */

	const uint32_t *alive;			/* wiped by fork; NULL: compare pids */
	int64_t pid;
	iomap_word held;
	void *room_state[IOMAPI_NR_ROOMS];

	/* Deferred work, under work_lock */
	struct iomap_mutex work_lock;
	struct iomap_list work[2];		/* by class, oldest first */
	struct iomap_list work_runs;		/* struct work_run: in fn now */
	uint64_t work_seq;			/* number of the last one queued */
	iomap_word work_queued[2];		/* lengths; read without the lock */
	iomap_word work_done;			/* bumped after each fn, and woken */

	/* Waits and drivers, under wait_lock */
	struct iomap_mutex wait_lock;
	struct iomap_list sleepers;
	struct iomap_list drivers;
	iomap_word driver_gone;			/* bumped when the last user of one leaves */

	/* Every wake looks here, so it has its cache line for itself. */
	_Alignas(64) iomap_word nr_sleepers;
	char line_end[60];
};

/* What may this thread run?  Bits of enum iomap_work_class; 0 in a callback, txn scope or work. */
unsigned iomapi_work_allowed(const struct iomapi_self *self);
bool iomapi_work_waiting(struct iomap_env *env, unsigned classes);
int iomapi_work_run(struct iomap_env *env, unsigned classes, unsigned max);
void iomapi_work_init(struct iomap_env *env);

void iomapi_sync_defaults(struct iomap_env *env);	/* futexes and pthreads */

#endif
