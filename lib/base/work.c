/* SPDX-License-Identifier: MIT */
/*
 * base/work.c - deferred work.
 *
 * Without an executor each class has a list, and object waits run what their thread may run: no
 * work inside a callback, a transaction scope or other work, no DIO work with a folio lock held.
 * With one the work is passed on, through a trampoline, because the executor calls work->fn itself
 * and its state must change before that.
 *
 *   state    IDLE -> QUEUED by whoever queues, back to IDLE just before fn, which may therefore
 *            queue it again or free it.
 *   spare    in a list: [0] the number by which drain knows older from younger.
 *            with an executor: [0] the real fn, [1] the environment.
 *
 * Threads: any, under work_lock; fn is called without it.
 */
#include "base/work.h"

#include "base/env_state.h"

enum { WORK_IDLE, WORK_QUEUED };

#define WORK_ALL (IOMAP_WORK_IOEND | IOMAP_WORK_DIO)

/* A fn that runs now; on the stack of its thread. */
struct work_run {
	struct iomap_list node;
	struct iomapi_self *self;
	uint64_t seq;
};

static unsigned class_index(uint32_t work_class)
{
	return work_class == IOMAP_WORK_IOEND ? 0 : 1;
}

void iomapi_work_init(struct iomap_env *env)
{
	iomap_mutex_init(&env->work_lock, IOMAPI_RANK_WORK);
	iomap_list_init(&env->work[0]);
	iomap_list_init(&env->work[1]);
	iomap_list_init(&env->work_runs);
}

static void work_call(struct iomapi_self *self, void (*fn)(struct iomap_work *),
		      struct iomap_work *work)
{
	self->in_work++;
	fn(work);
	self->in_work--;
}

/* ---- executor ---- */

static void work_trampoline(struct iomap_work *work)
{
	void (*fn)(struct iomap_work *) = (void (*)(struct iomap_work *))(uintptr_t)work->spare[0];
	struct iomap_env *env = (struct iomap_env *)(uintptr_t)work->spare[1];

	work->fn = fn;
	work->spare[0] = work->spare[1] = 0;
	iomapi_store(&work->state, WORK_IDLE);
	work_call(iomapi_self(env), fn, work);
}

static void work_hand_over(struct iomap_env *env, struct iomap_work *work)
{
	work->spare[0] = (uintptr_t)work->fn;
	work->spare[1] = (uintptr_t)env;
	work->fn = work_trampoline;
	env->executor.queue(env->opts.executor_arg, work);
}

/* ---- lists ---- */

bool iomapi_work_queue(struct iomap_env *env, struct iomap_work *work)
{
	uint32_t old = WORK_IDLE;
	unsigned i = class_index(work->work_class);

	iomapi_assert(work->work_class == IOMAP_WORK_IOEND || work->work_class == IOMAP_WORK_DIO);
	if (!iomapi_cas(&work->state, &old, WORK_QUEUED))
		return false;
	if (env->executor.queue) {
		work_hand_over(env, work);
		return true;
	}
	iomap_mutex_lock(env, &env->work_lock);
	work->spare[0] = ++env->work_seq;
	iomap_list_add_tail(&env->work[i], &work->node);
	iomapi_add(&env->work_queued[i], 1);
	iomap_mutex_unlock(env, &env->work_lock);
	iomapi_env_event(env);
	return true;
}

unsigned iomapi_work_allowed(const struct iomapi_self *self)
{
	if (self->in_callback || self->in_txn || self->in_work)
		return 0;
	return self->nr_folio_locks ? IOMAP_WORK_IOEND : WORK_ALL;
}

bool iomapi_work_waiting(struct iomap_env *env, unsigned classes)
{
	return ((classes & IOMAP_WORK_IOEND) && iomapi_load(&env->work_queued[0])) ||
	       ((classes & IOMAP_WORK_DIO) && iomapi_load(&env->work_queued[1]));
}

bool iomapi_work_pending(struct iomap_env *env)
{
	return iomapi_work_waiting(env, WORK_ALL);
}

static struct iomap_work *list_first(struct iomap_list *head)
{
	return iomap_list_empty(head) ? NULL
				      : iomap_container_of(head->next, struct iomap_work, node);
}

/* The oldest work of these classes; NULL: none.  Under work_lock. */
static struct iomap_work *work_oldest(struct iomap_env *env, unsigned classes)
{
	struct iomap_work *ioend = NULL, *dio = NULL;

	if (classes & IOMAP_WORK_IOEND)
		ioend = list_first(&env->work[0]);
	if (classes & IOMAP_WORK_DIO)
		dio = list_first(&env->work[1]);
	if (!ioend || !dio)
		return ioend ? ioend : dio;
	return ioend->spare[0] < dio->spare[0] ? ioend : dio;
}

static bool work_run_one(struct iomap_env *env, struct iomapi_self *self, unsigned classes)
{
	struct work_run run = { .self = self };
	void (*fn)(struct iomap_work *);
	struct iomap_work *work;

	iomap_mutex_lock(env, &env->work_lock);
	work = work_oldest(env, classes);
	if (!work) {
		iomap_mutex_unlock(env, &env->work_lock);
		return false;
	}
	iomap_list_del(&work->node);
	iomapi_sub(&env->work_queued[class_index(work->work_class)], 1);
	run.seq = work->spare[0];
	iomap_list_add_tail(&env->work_runs, &run.node);
	iomap_mutex_unlock(env, &env->work_lock);

	fn = work->fn;
	work->spare[0] = 0;
	iomapi_store(&work->state, WORK_IDLE);
	work_call(self, fn, work);

	iomap_mutex_lock(env, &env->work_lock);
	iomap_list_del(&run.node);
	iomapi_add(&env->work_done, 1);
	iomap_mutex_unlock(env, &env->work_lock);
	iomap_env_wake(env, &env->work_done, UINT32_MAX);
	return true;
}

int iomapi_work_run(struct iomap_env *env, unsigned classes, unsigned max)
{
	struct iomapi_self *self = iomapi_self(env);
	unsigned nr = 0;

	classes &= iomapi_work_allowed(self);
	max = iomapi_min(max, (unsigned)INT32_MAX);
	while (nr < max && iomapi_work_waiting(env, classes) && work_run_one(env, self, classes))
		nr++;
	return (int)nr;
}

int iomapi_work_run_allowed(struct iomap_env *env)
{
	return iomapi_work_run(env, WORK_ALL, UINT32_MAX);
}

IOMAP_API int iomap_env_run_work(struct iomap_env *env, unsigned work_classes, unsigned max)
{
	struct iomapi_self *self = iomapi_self(env);

	if (!work_classes || (work_classes & ~(unsigned)WORK_ALL))
		return -EINVAL;
	if (self->in_callback || self->in_txn || self->in_work)
		return -EDEADLK;
	return iomapi_work_run(env, work_classes, max);
}

/* ---- drain ---- */

/* Is work numbered upto or less queued, or running in another thread? */
static bool work_older(struct iomap_env *env, const struct iomapi_self *self, uint64_t upto)
{
	struct iomap_work *work;
	struct iomap_list *l;
	bool found;

	iomap_mutex_lock(env, &env->work_lock);
	work = work_oldest(env, WORK_ALL);
	found = work && work->spare[0] <= upto;
	iomapi_list_for_each(l, &env->work_runs) {
		struct work_run *run = iomap_container_of(l, struct work_run, node);

		found |= run->seq <= upto && run->self != self;
	}
	iomap_mutex_unlock(env, &env->work_lock);
	return found;
}

void iomapi_work_drain(struct iomap_env *env)
{
	struct iomapi_self *self = iomapi_self(env);
	uint64_t upto;

	iomapi_assert(!self->in_callback);
	if (env->executor.queue) {
		env->executor.drain(env->opts.executor_arg);
		return;
	}
	iomap_mutex_lock(env, &env->work_lock);
	upto = env->work_seq;
	iomap_mutex_unlock(env, &env->work_lock);
	for (;;) {
		uint32_t done = iomapi_load(&env->work_done);

		iomapi_work_run_allowed(env);
		if (!work_older(env, self, upto))
			return;
		/* What is left runs in another thread or waits for one; or somebody queued more. */
		iomap_env_wait(env, &env->work_done, done, IOMAP_FOREVER);
	}
}
