/* SPDX-License-Identifier: MIT */
/*
 * backend/thread.c - a pool of threads that do blocking I/O for one queue.
 *
 *	queue -> staged		commit -> todo -> a thread carries it out -> done -> reap
 *
 * Threads are those of the environment (sync->spawn) and live as long as the queue.  One that finds
 * nothing to do sleeps on a word which commit bumps; commit wakes no more of them than there are
 * new requests.  The reaper sleeps on another word, bumped by completions and by wakeup.
 *
 * An event fd, once asked for, is readable while something is done: it is written when that list
 * gets its first bio and read when it has lost its last, under the lock, so it is never wrong.
 *
 * Threads: staged is the caller's of the queue's calls; the rest is under the lock.
 */
#include <limits.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/thread.h"

#define RANK_THREADS	140		/* wakeup comes with IOMAP_RANK_IOQ held */

struct thread {
	struct iomapi_threads *pool;
	void *handle;
	struct iovec iov[IOMAPI_FILE_SEGS];
};

struct iomapi_threads {
	struct iomap_env *env;
	struct iomapi_fifo staged;

	struct iomap_mutex lock;	/* guards from here */
	struct iomapi_fifo todo, done;
	uint32_t nr_idle;		/* asleep, or about to */
	bool stop;
	bool reaper_sleeps;
	bool woken;			/* wakeup came, and no reap has returned for it */
	int event;			/* -1: nobody asked */
	iomap_word work, news;		/* slept on; bumped under the lock */

	uint32_t nr;
	char reason[24];
	struct thread threads[];
};

static size_t bytes_of(unsigned nr)
{
	return sizeof(struct iomapi_threads) + nr * sizeof(struct thread);
}

/* ---- what a thread does ---- */

/* Lock held: something to do, or NULL to stop. */
static struct iomap_bio *next_bio(struct iomapi_threads *t)
{
	while (!t->todo.nr && !t->stop) {
		uint32_t seen = iomapi_load_relaxed(&t->work);

		t->nr_idle++;
		iomap_mutex_unlock(t->env, &t->lock);
		iomapi_sleep(t->env, &t->work, seen, IOMAP_FOREVER);
		iomap_mutex_lock(t->env, &t->lock);
		t->nr_idle--;
	}
	return t->todo.nr ? iomapi_fifo_pop(&t->todo) : NULL;
}

/* Lock held. */
static void tell_reaper(struct iomapi_threads *t)
{
	iomapi_add(&t->news, 1);
	if (!t->reaper_sleeps)
		return;
	t->reaper_sleeps = false;
	iomapi_wake(t->env, &t->news, 1);
}

static void serve(void *arg)
{
	struct thread *self = arg;
	struct iomapi_threads *t = self->pool;
	struct iomap_bio *bio;

	iomap_mutex_lock(t->env, &t->lock);
	while ((bio = next_bio(t))) {
		struct iomapi_file_dev *dev = (struct iomapi_file_dev *)(uintptr_t)bio->backend[1];

		iomap_mutex_unlock(t->env, &t->lock);
		iomapi_file_carry_out(dev, bio, self->iov);
		iomap_mutex_lock(t->env, &t->lock);
		iomapi_fifo_push(&t->done, bio);
		if (t->event >= 0 && t->done.nr == 1)
			(void)eventfd_write(t->event, 1);
		tell_reaper(t);
	}
	iomap_mutex_unlock(t->env, &t->lock);
}

/* ---- life ---- */

static void stop(struct iomapi_threads *t)
{
	iomap_mutex_lock(t->env, &t->lock);
	t->stop = true;
	iomapi_add(&t->work, 1);
	iomap_mutex_unlock(t->env, &t->lock);
	iomapi_wake(t->env, &t->work, INT_MAX);
}

static void take_down(struct iomapi_threads *t, unsigned nr)
{
	for (unsigned i = 0; i < t->nr; i++)
		iomapi_join(t->env, t->threads[i].handle);
	if (t->event >= 0)
		close(t->event);
	iomapi_free(t->env, t, bytes_of(nr));
}

int iomapi_threads_open(struct iomap_env *env, unsigned nr, struct iomapi_threads **result)
{
	struct iomapi_threads *t = iomapi_zalloc(env, bytes_of(nr));
	int rc = 0;

	if (!t)
		return -ENOMEM;
	t->env = env;
	t->event = -1;
	iomap_mutex_init(&t->lock, RANK_THREADS);
	snprintf(t->reason, sizeof(t->reason), "%u thread%s", nr, nr == 1 ? "" : "s");
	for (; t->nr < nr; t->nr++) {
		struct thread *thread = &t->threads[t->nr];

		thread->pool = t;
		rc = iomapi_spawn(env, serve, thread, &thread->handle);
		if (rc)
			break;
	}
	if (rc) {
		stop(t);
		take_down(t, nr);
		return rc;
	}
	*result = t;
	return 0;
}

void iomapi_threads_close(struct iomapi_threads *t)
{
	stop(t);
	take_down(t, t->nr);
}

void iomapi_threads_abandon(struct iomapi_threads *t)
{
	take_down(t, t->nr);
}

const char *iomapi_threads_reason(const struct iomapi_threads *t)
{
	return t->reason;
}

/* ---- the way of a bio ---- */

void iomapi_threads_queue(struct iomapi_threads *t, struct iomap_bio *bio)
{
	iomapi_fifo_push(&t->staged, bio);
}

int iomapi_threads_commit(struct iomapi_threads *t)
{
	uint32_t nr = t->staged.nr, nr_wake;

	iomap_mutex_lock(t->env, &t->lock);
	while (t->staged.nr)
		iomapi_fifo_push(&t->todo, iomapi_fifo_pop(&t->staged));
	iomapi_add(&t->work, 1);
	nr_wake = iomapi_min(nr, t->nr_idle);
	iomap_mutex_unlock(t->env, &t->lock);
	if (nr_wake)
		iomapi_wake(t->env, &t->work, nr_wake);
	return (int)nr;
}

/* Lock held, and dropped while it sleeps. */
static void wait_for_news(struct iomapi_threads *t, int64_t timeout_ns)
{
	uint32_t seen = iomapi_load_relaxed(&t->news);

	t->reaper_sleeps = true;
	iomap_mutex_unlock(t->env, &t->lock);
	iomapi_sleep(t->env, &t->news, seen, timeout_ns);
	iomap_mutex_lock(t->env, &t->lock);
	t->reaper_sleeps = false;
}

unsigned iomapi_threads_reap(struct iomapi_threads *t, struct iomap_bio **done, unsigned min,
			     unsigned max, int64_t timeout_ns)
{
	unsigned n = 0;

	iomap_mutex_lock(t->env, &t->lock);
	if (min && !t->done.nr && !t->woken)
		wait_for_news(t, timeout_ns);
	if (min)
		t->woken = false;
	while (n < max && t->done.nr)
		done[n++] = iomapi_fifo_pop(&t->done);
	if (t->event >= 0 && n && !t->done.nr) {
		eventfd_t count;

		(void)eventfd_read(t->event, &count);
	}
	iomap_mutex_unlock(t->env, &t->lock);
	return n;
}

void iomapi_threads_wakeup(struct iomapi_threads *t)
{
	iomap_mutex_lock(t->env, &t->lock);
	t->woken = true;
	tell_reaper(t);
	iomap_mutex_unlock(t->env, &t->lock);
}

int iomapi_threads_event_fd(struct iomapi_threads *t)
{
	int fd;

	iomap_mutex_lock(t->env, &t->lock);
	if (t->event < 0)
		t->event = eventfd(t->done.nr != 0, EFD_NONBLOCK | EFD_CLOEXEC);
	fd = t->event < 0 ? -errno : t->event;
	iomap_mutex_unlock(t->env, &t->lock);
	return fd;
}
