/* SPDX-License-Identifier: MIT */
/*
 * base/sync.c - the public locks, and what they stand on when the client brings nothing.
 *
 * Every lock is one word and a sleep "while the word is still this"; wakes are spared when nobody
 * can be asleep.  Bytes of zero are an unlocked lock.
 *
 *   mutex    0 free, 1 held, 2 held and perhaps waited for.  Who had to wait takes it as 2, for it
 *            does not know whether others still sleep.
 *   rwlock   RW_READERS readers inside, RW_WAITING writers waiting, RW_SLEEP somebody may be
 *            asleep, RW_WRITER a writer inside.  A waiting writer keeps new readers out.  All
 *            sleepers are woken when the lock becomes free (or is downgraded) and sort it out.
 *   cond     seq is bumped by each broadcast; waiters spares the wake.
 *
 * Ranks are kept per thread in debug builds only.  Threads: any.
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/env_state.h"

#define MUTEX_HELD	IOMAPI_MUTEX_HELD
#define MUTEX_WAITED	2u

#define RW_READER	1u
#define RW_READERS	0xffffu
#define RW_WAITER	(1u << 16)
#define RW_WAITING	(0x3fffu << 16)
#define RW_SLEEP	(1u << 30)
#define RW_WRITER	(1u << 31)

#define WAKE_ALL	((unsigned)INT_MAX)

/* ---- ranks ---- */

#ifdef IOMAPI_SANITY
void iomapi_rank_take(struct iomap_env *env, unsigned rank, bool checked)
{
	struct iomapi_self *self;

	if (rank == IOMAP_RANK_NONE)
		return;
	iomapi_assert(rank <= UINT8_MAX);
	self = iomapi_self(env);
	for (uint32_t i = 0; checked && i < self->nr_ranks; i++)
		iomapi_assert(self->ranks[i] < rank ||
			      (self->ranks[i] == rank && rank == IOMAP_RANK_FOLIO));
	/* Whoever holds dozens of folios learns nothing from the last of them. */
	if (rank == IOMAP_RANK_FOLIO && self->nr_ranks > IOMAPI_MAX_RANKS / 2)
		return;
	iomapi_assert(self->nr_ranks < IOMAPI_MAX_RANKS);
	self->ranks[self->nr_ranks++] = (uint8_t)rank;
}

void iomapi_rank_drop(struct iomap_env *env, unsigned rank)
{
	struct iomapi_self *self;
	uint32_t i;

	if (rank == IOMAP_RANK_NONE)
		return;
	self = iomapi_self(env);
	for (i = self->nr_ranks; i && self->ranks[i - 1] != rank; i--)
		;
	/* A folio's may not have been recorded, or another thread locked it for its I/O. */
	iomapi_assert(i || rank == IOMAP_RANK_FOLIO);
	if (!i)
		return;
	for (self->nr_ranks--; i <= self->nr_ranks; i++)
		self->ranks[i - 1] = self->ranks[i];
}
#endif

/* Locks that nobody waits for ask nothing of the environment but this. */
void iomapi_lock_hook(struct iomap_env *env, const char *site, unsigned rank)
{
	env->sync.lock(env->opts.sync_arg, site, rank);
}

void iomapi_unlock_hook(struct iomap_env *env, unsigned rank)
{
	if (env->sync.unlock)
		env->sync.unlock(env->opts.sync_arg, rank);
}

/* ---- mutex ---- */

IOMAP_API void iomap_mutex_init(struct iomap_mutex *m, unsigned rank)
{
	m->word = 0;
	m->rank = rank;
}

void iomapi_mutex_wait(struct iomap_env *env, struct iomap_mutex *m)
{
	while (__atomic_exchange_n(&m->word, MUTEX_WAITED, __ATOMIC_ACQ_REL))
		iomapi_sleep(env, &m->word, MUTEX_WAITED, IOMAP_FOREVER);
}

/* It is free by now, and perhaps gone: the word is but an address. */
void iomapi_mutex_wake(struct iomap_env *env, struct iomap_mutex *m)
{
	iomapi_wake(env, &m->word, 1);
}

IOMAP_API void iomap_mutex_lock(struct iomap_env *env, struct iomap_mutex *m)
{
	iomapi_mutex_lock(env, m);
}

IOMAP_API bool iomap_mutex_trylock(struct iomap_env *env, struct iomap_mutex *m)
{
	uint32_t old = 0;

	iomapi_lock_ahead(env, "mutex", m->rank);
	if (!iomapi_cas(&m->word, &old, MUTEX_HELD)) {
		iomapi_unlock_ahead(env, m->rank);
		return false;
	}
	iomapi_rank_take(env, m->rank, false);
	return true;
}

IOMAP_API void iomap_mutex_unlock(struct iomap_env *env, struct iomap_mutex *m)
{
	iomapi_mutex_unlock(env, m);
}

/* ---- rwlock ---- */

IOMAP_API void iomap_rwlock_init(struct iomap_rwlock *l, unsigned rank)
{
	l->word = 0;
	l->rank = rank;
}

static bool rw_read_allowed(uint32_t word)
{
	return !(word & (RW_WRITER | RW_WAITING));
}

static bool rw_write_allowed(uint32_t word)
{
	return !(word & (RW_WRITER | RW_READERS));
}

/* Sleep until the word is no longer *word; the flag goes up first, so that the change wakes us. */
static void rw_sleep(struct iomap_env *env, struct iomap_rwlock *l, uint32_t word)
{
	if ((word & RW_SLEEP) || iomapi_cas(&l->word, &word, word | RW_SLEEP))
		iomapi_sleep(env, &l->word, word | RW_SLEEP, IOMAP_FOREVER);
}

IOMAP_API void iomap_rwlock_rdlock(struct iomap_env *env, struct iomap_rwlock *l)
{
	uint32_t word;

	iomapi_lock_ahead(env, "rwlock", l->rank);
	word = iomapi_load(&l->word);
	iomapi_rank_take(env, l->rank, true);
	for (;;) {
		if (!rw_read_allowed(word)) {
			rw_sleep(env, l, word);
			word = iomapi_load(&l->word);
			continue;
		}
		iomapi_assert((word & RW_READERS) < RW_READERS);
		if (iomapi_cas(&l->word, &word, word + RW_READER))
			return;
	}
}

IOMAP_API void iomap_rwlock_wrlock(struct iomap_env *env, struct iomap_rwlock *l)
{
	uint32_t word, counted = 0;

	iomapi_lock_ahead(env, "rwlock", l->rank);
	word = iomapi_load(&l->word);
	iomapi_rank_take(env, l->rank, true);
	for (;;) {
		if (rw_write_allowed(word)) {
			if (iomapi_cas(&l->word, &word, (word - counted) | RW_WRITER))
				return;
		} else if (!counted) {
			iomapi_assert((word & RW_WAITING) != RW_WAITING);
			if (iomapi_cas(&l->word, &word, word + RW_WAITER)) {
				counted = RW_WAITER;
				word += RW_WAITER;
			}
		} else {
			rw_sleep(env, l, word);
			word = iomapi_load(&l->word);
		}
	}
}

IOMAP_API bool iomap_rwlock_tryrdlock(struct iomap_env *env, struct iomap_rwlock *l)
{
	uint32_t word;

	iomapi_lock_ahead(env, "rwlock", l->rank);
	word = iomapi_load(&l->word);
	while (rw_read_allowed(word)) {
		iomapi_assert((word & RW_READERS) < RW_READERS);
		if (iomapi_cas(&l->word, &word, word + RW_READER)) {
			iomapi_rank_take(env, l->rank, false);
			return true;
		}
	}
	iomapi_unlock_ahead(env, l->rank);
	return false;
}

IOMAP_API bool iomap_rwlock_trywrlock(struct iomap_env *env, struct iomap_rwlock *l)
{
	uint32_t word;

	iomapi_lock_ahead(env, "rwlock", l->rank);
	word = iomapi_load(&l->word);
	while (rw_write_allowed(word)) {
		if (iomapi_cas(&l->word, &word, word | RW_WRITER)) {
			iomapi_rank_take(env, l->rank, false);
			return true;
		}
	}
	iomapi_unlock_ahead(env, l->rank);
	return false;
}

IOMAP_API void iomap_rwlock_downgrade(struct iomap_env *env, struct iomap_rwlock *l)
{
	uint32_t word = iomapi_load(&l->word);

	iomapi_assert(word & RW_WRITER);
	while (!iomapi_cas(&l->word, &word, (word & RW_WAITING) + RW_READER))
		;
	if (word & RW_SLEEP)
		iomapi_wake(env, &l->word, WAKE_ALL);
}

IOMAP_API void iomap_rwlock_unlock(struct iomap_env *env, struct iomap_rwlock *l)
{
	uint32_t word = iomapi_load(&l->word), left;

	iomapi_unlock_ahead(env, l->rank);
	iomapi_rank_drop(env, l->rank);
	iomapi_assert(word & (RW_WRITER | RW_READERS));
	do {
		left = word & RW_WRITER ? word - RW_WRITER : word - RW_READER;
		if (rw_write_allowed(left))
			left &= ~RW_SLEEP;
	} while (!iomapi_cas(&l->word, &word, left));
	if ((word & RW_SLEEP) && !(left & RW_SLEEP))
		iomapi_wake(env, &l->word, WAKE_ALL);
}

/* ---- condition ---- */

/*
 *	waiter				broadcast
 *	waiters + 1			seq + 1
 *	seen = seq			waiters?
 *	sleep while seq == seen		wake if not 0
 *
 * Both touch waiters with a read-modify-write: if the broadcast finds 0, the waiter's addition came
 * later, and it sees the new seq - with all that was written before the broadcast.
 */
IOMAP_API int iomap_cond_wait(struct iomap_env *env, struct iomap_cond *c, struct iomap_mutex *m,
			      int64_t timeout_ns)
{
	uint32_t seen;
	int err;

	iomapi_add(&c->waiters, 1);
	seen = iomapi_load(&c->seq);
	iomap_mutex_unlock(env, m);
	err = iomapi_sleep(env, &c->seq, seen, timeout_ns);
	if (iomapi_load(&c->seq) != seen)
		err = 0;
	iomapi_sub(&c->waiters, 1);
	iomap_mutex_lock(env, m);
	return err == -ETIMEDOUT ? err : 0;
}

IOMAP_API void iomap_cond_broadcast(struct iomap_env *env, struct iomap_cond *c)
{
	iomapi_add(&c->seq, 1);
	if (iomapi_add(&c->waiters, 0))
		iomapi_wake(env, &c->seq, WAKE_ALL);
}

/* ---- transaction scope ---- */

IOMAP_API unsigned iomap_txn_scope_begin(struct iomap_env *env)
{
	struct iomapi_self *self = iomapi_self(env);
	unsigned saved = self->in_txn;

	self->in_txn = saved + 1;
	return saved;
}

IOMAP_API void iomap_txn_scope_end(struct iomap_env *env, unsigned saved)
{
	struct iomapi_self *self = iomapi_self(env);

	iomapi_assert(self->in_txn == saved + 1);
	self->in_txn = saved;
}

/* ---- the environment's operations as the rooms see them ---- */

struct iomapi_self *iomapi_self_hook(struct iomap_env *env)
{
	return env->sync.self(env->opts.sync_arg);
}

int iomapi_sleep(struct iomap_env *env, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	if (iomapi_load(word) != seen)
		return 0;
	if (!timeout_ns)
		return -ETIMEDOUT;
	return env->sync.wait(env->opts.sync_arg, word, seen, timeout_ns);
}

void iomapi_wake(struct iomap_env *env, const iomap_word *word, unsigned nr)
{
	env->sync.wake(env->opts.sync_arg, word, nr);
}

void iomapi_yield(struct iomap_env *env, const char *site)
{
	env->sync.yield(env->opts.sync_arg, site);
}

int iomapi_spawn(struct iomap_env *env, void (*fn)(void *arg), void *arg, void **handle)
{
	return env->sync.spawn(env->opts.sync_arg, fn, arg, handle);
}

/* ---- defaults: futexes and pthreads ---- */

static int default_wait(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	struct timespec ts, *timeout = NULL;
	int saved = errno, err = 0;

	(void)arg;
	if (timeout_ns >= 0) {
		ts.tv_sec = (time_t)(timeout_ns / 1000000000);
		ts.tv_nsec = (long)(timeout_ns % 1000000000);
		timeout = &ts;
	}
	if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout, NULL, 0) &&
	    errno == ETIMEDOUT)
		err = -ETIMEDOUT;
	errno = saved;
	return err;
}

static void default_wake(void *arg, const iomap_word *word, unsigned nr)
{
	int saved = errno;

	(void)arg;
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, iomapi_min(nr, WAKE_ALL), NULL, NULL, 0);
	errno = saved;
}

_Thread_local struct iomapi_self iomapi_plain_self;

static void *default_self(void *arg)
{
	(void)arg;
	return &iomapi_plain_self;
}

struct default_thread {
	pthread_t thread;
	void (*fn)(void *arg);
	void *arg;
};

static void *default_main(void *arg)
{
	struct default_thread *t = arg;

	t->fn(t->arg);
	return NULL;
}

static int default_spawn(void *arg, void (*fn)(void *), void *fn_arg, void **handle)
{
	struct default_thread *t = iomapi_zalloc(arg, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = fn_arg;
	err = pthread_create(&t->thread, NULL, default_main, t);
	if (err) {
		iomapi_free(arg, t, sizeof(*t));
		return -err;
	}
	*handle = t;
	return 0;
}

static void default_join(void *arg, void *handle)
{
	struct default_thread *t = handle;

	pthread_join(t->thread, NULL);
	iomapi_free(arg, t, sizeof(*t));
}

/* The client's hook cannot know that a child asks, and would wait for ever: it is not called. */
void iomapi_join(struct iomap_env *env, void *handle)
{
	if (!iomapi_forked(env))
		env->sync.join(env->opts.sync_arg, handle);
	else if (env->sync.join == default_join)
		iomapi_free(env, handle, sizeof(struct default_thread));
}

static void default_yield(void *arg, const char *site)
{
	(void)arg;
	(void)site;
	sched_yield();
}

void iomapi_sync_defaults(struct iomap_env *env)
{
	env->sync = (struct iomap_sync_ops){
		.struct_size = sizeof(env->sync),
		.wait = default_wait, .wake = default_wake, .self = default_self,
		.spawn = default_spawn, .join = default_join, .yield = default_yield,
	};
	env->plain_self = 1;
	env->opts.sync_arg = env;
}
