/* SPDX-License-Identifier: MIT */
/*
 * fake_driver.h - a driver of the test's own, and threads that wait over it.
 *
 * A fake driver leads like an ioq: one thread at a time is inside, completions are bumps of words
 * that happen only when somebody reaps, a kick is eaten by whoever comes out first.
 */
#ifndef T_FAKE_DRIVER_H
#define T_FAKE_DRIVER_H

#include "harness/harness.h"
#include "harness/thread.h"

#include "base/work.h"

#define MAX_DONE 16

struct fake {
	struct iomapi_driver driver;
	struct iomap_env *env;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool leading, kicked, manual;
	const void *owner;		/* iomapi_self of the only thread that may lead; NULL any */
	unsigned in_flight, nr_done, nr_manual;
	iomap_word *done[MAX_DONE], *manuals[MAX_DONE];	/* completed; their words not yet bumped */
	unsigned drives, blocked, flushes;		/* counts */
	void (*before_blocking)(struct fake *f);	/* by the leader, f->lock held */
};

static inline struct fake *fake_of(struct iomapi_driver *driver)
{
	return iomap_container_of(driver, struct fake, driver);
}

/* The callback: what an end_io does. */
static inline void end_one(struct fake *f, iomap_word *word)
{
	iomapi_callback_start(f->env);
	iomapi_add(word, 1);
	iomap_env_wake(f->env, word, UINT32_MAX);
	iomapi_callback_end(f->env);
}

static inline void fake_sleep(struct fake *f, int64_t timeout_ns)
{
	struct timespec ts;

	if (timeout_ns < 0) {
		pthread_cond_wait(&f->cond, &f->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &ts);
	timeout_ns += ts.tv_nsec;
	ts.tv_sec += timeout_ns / 1000000000;
	ts.tv_nsec = timeout_ns % 1000000000;
	if (pthread_cond_clockwait(&f->cond, &f->lock, CLOCK_MONOTONIC, &ts))
		f->kicked = true;
}

static inline int fake_drive(struct iomapi_driver *driver, unsigned max, int64_t timeout_ns)
{
	struct fake *f = fake_of(driver);
	iomap_word *done[MAX_DONE];
	unsigned n;

	pthread_mutex_lock(&f->lock);
	f->drives++;
	if (f->leading || (f->owner && f->owner != iomapi_self(f->env))) {
		int err = f->leading ? -EBUSY : -EPERM;

		pthread_mutex_unlock(&f->lock);
		return err;
	}
	f->leading = true;
	if (timeout_ns && f->before_blocking)
		f->before_blocking(f);
	while (!f->nr_done && timeout_ns && f->in_flight && !f->kicked &&
	       !iomapi_wait_over(f->env)) {
		f->blocked++;
		fake_sleep(f, timeout_ns);
	}
	n = f->nr_done < max ? f->nr_done : max;
	for (unsigned i = 0; i < n; i++)
		done[i] = f->done[--f->nr_done];
	if (f->manual)
		for (unsigned i = 0; i < n; i++)
			f->manuals[f->nr_manual++] = done[i];
	f->in_flight -= n;
	f->kicked = false;
	f->leading = false;
	pthread_mutex_unlock(&f->lock);
	iomapi_env_handover(f->env);
	for (unsigned i = 0; i < n && !f->manual; i++)
		end_one(f, done[i]);
	return (int)n;
}

static inline bool fake_busy(struct iomapi_driver *driver)
{
	struct fake *f = fake_of(driver);
	bool busy;

	pthread_mutex_lock(&f->lock);
	busy = f->in_flight != 0;
	pthread_mutex_unlock(&f->lock);
	return busy;
}

static inline void fake_kick(struct iomapi_driver *driver)
{
	struct fake *f = fake_of(driver);

	pthread_mutex_lock(&f->lock);
	f->kicked = true;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

static inline int fake_callbacks(struct iomapi_driver *driver, unsigned max)
{
	struct fake *f = fake_of(driver);
	unsigned n = 0;

	for (;;) {
		iomap_word *word = NULL;

		pthread_mutex_lock(&f->lock);
		if (f->nr_manual && n < max)
			word = f->manuals[--f->nr_manual];
		pthread_mutex_unlock(&f->lock);
		if (!word)
			return (int)n;
		end_one(f, word);
		n++;
	}
}

static unsigned flushed_plugs;

static inline void fake_flush_plug(struct iomap_plug *plug)
{
	(void)plug;
	flushed_plugs++;
}

static inline void fake_add(struct fake *f, struct t_env *t)
{
	memset(f, 0, sizeof(*f));
	f->env = t->env;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->cond, NULL);
	f->driver.drive = fake_drive;
	f->driver.busy = fake_busy;
	f->driver.kick = fake_kick;
	f->driver.callbacks = fake_callbacks;
	f->driver.flush_plug = fake_flush_plug;
	iomapi_driver_add(t->env, &f->driver);
}

static inline void fake_del(struct fake *f)
{
	iomapi_driver_del(f->env, &f->driver);
	pthread_cond_destroy(&f->cond);
	pthread_mutex_destroy(&f->lock);
}

static inline void fake_submit(struct fake *f)
{
	bool was_idle;

	pthread_mutex_lock(&f->lock);
	was_idle = !f->in_flight++;
	pthread_mutex_unlock(&f->lock);
	if (was_idle)
		iomapi_env_event(f->env);
}

/* The device is done with what was submitted; the word is bumped when somebody reaps. */
static inline void fake_complete(struct fake *f, iomap_word *word)
{
	pthread_mutex_lock(&f->lock);
	ck_assert_uint_lt(f->nr_done, MAX_DONE);
	f->done[f->nr_done++] = word;
	pthread_cond_broadcast(&f->cond);
	pthread_mutex_unlock(&f->lock);
}

/* ---- waiters in threads ---- */

struct waiter {
	struct iomap_env *env;
	iomap_word word;
	int result;
	bool in_txn;
	struct fake *owns;
	pthread_t thread;
};

static inline void *wait_main(void *arg)
{
	struct waiter *w = arg;
	unsigned saved = 0;

	if (w->owns) {
		pthread_mutex_lock(&w->owns->lock);
		w->owns->owner = iomapi_self(w->env);
		pthread_mutex_unlock(&w->owns->lock);
	}
	if (w->in_txn)
		saved = iomap_txn_scope_begin(w->env);
	w->result = iomap_env_wait(w->env, &w->word, 0, IOMAP_FOREVER);
	if (w->in_txn)
		iomap_txn_scope_end(w->env, saved);
	return NULL;
}

static inline void waiter_start(struct waiter *w, struct t_env *t)
{
	w->env = t->env;
	w->result = 1;
	w->thread = t_thread(wait_main, w);
}

static inline void waiter_join(struct waiter *w)
{
	t_join(w->thread);
	ck_assert_int_eq(w->result, 0);
}

static inline unsigned fake_read(struct fake *f, const unsigned *count)
{
	unsigned value;

	pthread_mutex_lock(&f->lock);
	value = *count;
	pthread_mutex_unlock(&f->lock);
	return value;
}

static inline void until(struct fake *f, const unsigned *count, unsigned times)
{
	int64_t deadline = iomapi_now(f->env) + (int64_t)t_scale() * 3000000000;

	while (fake_read(f, count) < times && iomapi_now(f->env) < deadline)
		iomapi_yield(f->env, "test");
	ck_assert_msg(fake_read(f, count) >= times, "nobody leads");
}

/* Until somebody blocks in the driver. */
static inline void until_blocked(struct fake *f, unsigned times)
{
	until(f, &f->blocked, times);
}

/* ---- deferred work that bumps a word ---- */

struct late_job {
	struct iomap_work work;
	struct iomap_env *env;
	iomap_word *word;
};

static inline void bump(struct iomap_work *work)
{
	struct late_job *job = iomap_container_of(work, struct late_job, work);

	iomapi_add(job->word, 1);
	iomap_env_wake(job->env, job->word, 1);
}

#endif
