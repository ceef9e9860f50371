/* SPDX-License-Identifier: MIT */
/*
 * test_sync.c - the public locks under threads that come and go.
 *
 * Each generation of threads is short, so that locks are met by threads that did not exist a moment
 * ago and are held by some that are about to end.  Plain members are what the locks protect: TSan
 * reports whoever gets in beside them.
 */
#include "harness/harness.h"
#include "harness/thread.h"

#define NR_THREADS	6
#define GENERATIONS	30
#define ROUNDS		200

struct shared {
	struct iomap_env *env;
	struct iomap_mutex outer, inner;
	struct iomap_rwlock rwlock;
	struct iomap_cond filled;
	uint64_t under_outer, under_inner, under_rwlock, copy;
	unsigned queued, taken, tickets;
	unsigned torn, late;
};

static void generations(struct shared *s, void *(*fn)(void *))
{
	struct t_env t;

	memset(s, 0, sizeof(*s));
	t_env_start(&t, NULL);
	s->env = t.env;
	iomap_mutex_init(&s->outer, IOMAP_RANK_TXN);
	iomap_mutex_init(&s->inner, IOMAP_RANK_LEAF);
	iomap_rwlock_init(&s->rwlock, IOMAP_RANK_EXTENT);
	for (int g = 0; g < GENERATIONS; g++) {
		pthread_t threads[NR_THREADS];

		for (int i = 0; i < NR_THREADS; i++)
			threads[i] = t_thread(fn, s);
		for (int i = 0; i < NR_THREADS; i++)
			t_join(threads[i]);
	}
	t_env_stop(&t);
}

static void *nest(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		iomap_mutex_lock(s->env, &s->outer);
		s->under_outer++;
		if (i & 1 || iomap_mutex_trylock(s->env, &s->inner)) {
			if (i & 1)
				iomap_mutex_lock(s->env, &s->inner);
			s->under_inner++;
			iomap_mutex_unlock(s->env, &s->outer);	/* not the last taken */
			iomap_mutex_unlock(s->env, &s->inner);
			continue;
		}
		__atomic_add_fetch(&s->late, 1, __ATOMIC_RELAXED);
		iomap_mutex_unlock(s->env, &s->outer);
	}
	return NULL;
}

CASE(nested_mutexes_hold, "", "Two mutexes, one within the other, dropped in either order")
{
	struct shared s;

	generations(&s, nest);
	ck_assert_uint_eq(s.under_outer, (uint64_t)GENERATIONS * NR_THREADS * ROUNDS);
	ck_assert_uint_eq(s.under_inner + s.late, s.under_outer);
}

static void *read_or_write(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		bool write = i % 5 == 0;

		if (i % 7 == 0 && !write)
			write = iomap_rwlock_trywrlock(s->env, &s->rwlock);
		if (i % 5 == 0)
			iomap_rwlock_wrlock(s->env, &s->rwlock);
		else if (!write && (i % 3 || !iomap_rwlock_tryrdlock(s->env, &s->rwlock)))
			iomap_rwlock_rdlock(s->env, &s->rwlock);
		if (write) {
			s->under_rwlock++;
			s->copy++;
			if (i % 2)
				iomap_rwlock_downgrade(s->env, &s->rwlock);
		}
		if (s->under_rwlock != s->copy)
			__atomic_add_fetch(&s->torn, 1, __ATOMIC_RELAXED);
		iomap_rwlock_unlock(s->env, &s->rwlock);
	}
	return NULL;
}

CASE(readers_and_writers_come_and_go, "",
     "Writers, tries and downgrades: no reader sees half a write")
{
	struct shared s;

	generations(&s, read_or_write);
	ck_assert_uint_eq(s.torn, 0);
	ck_assert_uint_ge(s.copy, (uint64_t)GENERATIONS * NR_THREADS * ROUNDS / 5);
}

/* The first half of each generation fills a queue of length 4, the second half empties it. */
static void *fill_or_take(void *arg)
{
	struct shared *s = arg;
	bool fill;

	iomap_mutex_lock(s->env, &s->outer);
	fill = s->tickets++ % 2;
	for (int i = 0; i < ROUNDS; i++) {
		while (fill ? s->queued == 4 : s->queued == 0)
			if (iomap_cond_wait(s->env, &s->filled, &s->outer, IOMAP_FOREVER))
				s->late++;
		s->queued += fill ? 1 : -1u;
		s->taken += !fill;
		iomap_mutex_unlock(s->env, &s->outer);
		iomap_cond_broadcast(s->env, &s->filled);
		iomap_mutex_lock(s->env, &s->outer);
	}
	iomap_mutex_unlock(s->env, &s->outer);
	return NULL;
}

CASE_TIMEOUT(conditions_lose_nothing, "", "A short queue filled and emptied by threads in turn", 8)
{
	struct shared s;

	generations(&s, fill_or_take);
	ck_assert_uint_eq(s.late, 0);
	ck_assert_uint_eq(s.queued, 0);
	ck_assert_uint_eq(s.taken, GENERATIONS * NR_THREADS / 2 * ROUNDS);
}

MAIN()
