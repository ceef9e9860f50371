/* SPDX-License-Identifier: MIT */
/*
 * test_base_sync.c - the public locks: who keeps whom out, who wakes whom, ranks in debug builds.
 */
#include "harness/harness.h"
#include "harness/thread.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"

#define NR_THREADS 4

/* ---- mutex ---- */

struct counter {
	struct iomap_env *env;
	struct iomap_mutex mutex;
	struct iomap_rwlock rwlock;
	unsigned rounds, value, value2, torn;
};

static void *count_under_mutex(void *arg)
{
	struct counter *c = arg;

	for (unsigned i = 0; i < c->rounds; i++) {
		if (i % 4 || !iomap_mutex_trylock(c->env, &c->mutex))
			iomap_mutex_lock(c->env, &c->mutex);
		c->value++;		/* plain: a second thread in here would lose one */
		iomap_mutex_unlock(c->env, &c->mutex);
	}
	return NULL;
}

CASE(mutex_keeps_others_out, "", "Increments of several threads under a mutex all arrive")
{
	struct counter c = { .rounds = 20000 };
	pthread_t threads[NR_THREADS];
	struct t_env t;

	t_env_start(&t, NULL);
	c.env = t.env;
	iomap_mutex_init(&c.mutex, IOMAP_RANK_LEAF);
	for (int i = 0; i < NR_THREADS; i++)
		threads[i] = t_thread(count_under_mutex, &c);
	for (int i = 0; i < NR_THREADS; i++)
		t_join(threads[i]);
	ck_assert_uint_eq(c.value, NR_THREADS * c.rounds);
	ck_assert_uint_eq(c.mutex.word, 0);
	t_env_stop(&t);
}

CASE(zero_bytes_are_an_unlocked_lock, "", "Locks need no init; tries say whether they got it")
{
	struct iomap_mutex m = { 0 };
	struct iomap_rwlock l = { 0 };
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert(iomap_mutex_trylock(t.env, &m));
	ck_assert(!iomap_mutex_trylock(t.env, &m));
	iomap_mutex_unlock(t.env, &m);
	iomap_mutex_lock(t.env, &m);
	iomap_mutex_unlock(t.env, &m);

	ck_assert(iomap_rwlock_tryrdlock(t.env, &l));
	ck_assert(iomap_rwlock_tryrdlock(t.env, &l));
	ck_assert(!iomap_rwlock_trywrlock(t.env, &l));
	iomap_rwlock_unlock(t.env, &l);
	ck_assert(!iomap_rwlock_trywrlock(t.env, &l));
	iomap_rwlock_unlock(t.env, &l);
	ck_assert(iomap_rwlock_trywrlock(t.env, &l));
	ck_assert(!iomap_rwlock_tryrdlock(t.env, &l));
	ck_assert(!iomap_rwlock_trywrlock(t.env, &l));
	iomap_rwlock_unlock(t.env, &l);
	ck_assert_uint_eq(l.word, 0);
	t_env_stop(&t);
}

static void *lock_and_leave(void *arg)
{
	struct counter *c = arg;

	iomap_mutex_lock(c->env, &c->mutex);
	return NULL;
}

/* Until somebody changes the word, as one who is about to sleep does. */
static void until_word_differs(struct iomap_env *env, const iomap_word *word, uint32_t seen)
{
	int64_t deadline = iomapi_now(env) + (int64_t)t_scale() * 2000000000;

	while (iomapi_load(word) == seen && iomapi_now(env) < deadline)
		iomapi_yield(env, "test");
	ck_assert_uint_ne(iomapi_load(word), seen);
	t_settle();
}

CASE(rank_zero_is_anybodys_to_unlock, "", "A latch without rank is released by another thread")
{
	struct counter c = { .rounds = 1 };
	pthread_t second;
	struct t_env t;

	t_env_start(&t, NULL);
	c.env = t.env;
	t_join(t_thread(lock_and_leave, &c));
	ck_assert(!iomap_mutex_trylock(t.env, &c.mutex));
	second = t_thread(lock_and_leave, &c);
	until_word_differs(t.env, &c.mutex.word, 1);
	iomap_mutex_unlock(t.env, &c.mutex);	/* the first one's */
	t_join(second);
	ck_assert(!iomap_mutex_trylock(t.env, &c.mutex));
	iomap_mutex_unlock(t.env, &c.mutex);
	ck_assert(iomap_mutex_trylock(t.env, &c.mutex));
	t_env_stop(&t);
}

/* ---- rwlock ---- */

static void *read_and_write(void *arg)
{
	struct counter *c = arg;

	for (unsigned i = 0; i < c->rounds; i++) {
		unsigned a, b;

		if (i % 4 == 0) {
			iomap_rwlock_wrlock(c->env, &c->rwlock);
			c->value++;
			c->value2++;
			iomap_rwlock_downgrade(c->env, &c->rwlock);
		} else {
			iomap_rwlock_rdlock(c->env, &c->rwlock);
		}
		a = c->value;
		b = c->value2;
		if (a != b)
			__atomic_add_fetch(&c->torn, 1, __ATOMIC_RELAXED);
		iomap_rwlock_unlock(c->env, &c->rwlock);
	}
	return NULL;
}

CASE(readers_never_see_half_a_write, "", "Writers, downgraders and readers: values stay in step")
{
	struct counter c = { .rounds = 10000 };
	pthread_t threads[NR_THREADS];
	struct t_env t;

	t_env_start(&t, NULL);
	c.env = t.env;
	iomap_rwlock_init(&c.rwlock, IOMAP_RANK_LEAF);
	for (int i = 0; i < NR_THREADS; i++)
		threads[i] = t_thread(read_and_write, &c);
	for (int i = 0; i < NR_THREADS; i++)
		t_join(threads[i]);
	ck_assert_uint_eq(c.torn, 0);
	ck_assert_uint_eq(c.value, NR_THREADS * c.rounds / 4);
	ck_assert_uint_eq(c.rwlock.word, 0);
	t_env_stop(&t);
}

static void *write_once(void *arg)
{
	struct counter *c = arg;

	iomap_rwlock_wrlock(c->env, &c->rwlock);
	c->value++;
	iomap_rwlock_unlock(c->env, &c->rwlock);
	return NULL;
}

CASE(waiting_writer_stops_new_readers, "", "With a writer waiting a new reader has to wait too")
{
	struct counter c = { .rounds = 1 };
	struct t_env t;
	pthread_t thread;
	int64_t deadline;

	t_env_start(&t, NULL);
	c.env = t.env;
	iomap_rwlock_rdlock(t.env, &c.rwlock);
	thread = t_thread(write_once, &c);
	deadline = iomapi_now(t.env) + (int64_t)t_scale() * 2000000000;
	while (iomap_rwlock_tryrdlock(t.env, &c.rwlock)) {
		iomap_rwlock_unlock(t.env, &c.rwlock);
		iomapi_yield(t.env, "test");
		ck_assert_msg(iomapi_now(t.env) < deadline, "readers pass a waiting writer");
	}
	ck_assert_uint_eq(c.value, 0);		/* the reader is still inside */
	iomap_rwlock_unlock(t.env, &c.rwlock);
	t_join(thread);
	ck_assert_uint_eq(c.value, 1);
	ck_assert(iomap_rwlock_tryrdlock(t.env, &c.rwlock));
	t_env_stop(&t);
}

CASE(downgrade_lets_readers_in, "", "After a downgrade readers enter, writers do not")
{
	struct iomap_rwlock l;
	struct t_env t;

	t_env_start(&t, NULL);
	iomap_rwlock_init(&l, 0);
	iomap_rwlock_wrlock(t.env, &l);
	ck_assert(!iomap_rwlock_tryrdlock(t.env, &l));
	iomap_rwlock_downgrade(t.env, &l);
	ck_assert(iomap_rwlock_tryrdlock(t.env, &l));
	ck_assert(!iomap_rwlock_trywrlock(t.env, &l));
	iomap_rwlock_unlock(t.env, &l);
	iomap_rwlock_unlock(t.env, &l);
	ck_assert(iomap_rwlock_trywrlock(t.env, &l));
	t_env_stop(&t);
}

static void *read_once(void *arg)
{
	struct counter *c = arg;

	iomap_rwlock_rdlock(c->env, &c->rwlock);
	__atomic_add_fetch(&c->value2, 1, __ATOMIC_RELAXED);
	iomap_rwlock_unlock(c->env, &c->rwlock);
	return NULL;
}

CASE(downgrade_wakes_sleeping_readers, "",
     "A reader that slept through the write gets in at downgrade")
{
	struct counter c = { .rounds = 1 };
	uint32_t writer_only;
	struct t_env t;
	pthread_t thread;

	t_env_start(&t, NULL);
	c.env = t.env;
	iomap_rwlock_wrlock(t.env, &c.rwlock);
	writer_only = c.rwlock.word;
	thread = t_thread(read_once, &c);
	until_word_differs(t.env, &c.rwlock.word, writer_only);
	ck_assert_uint_eq(__atomic_load_n(&c.value2, __ATOMIC_RELAXED), 0);
	iomap_rwlock_downgrade(t.env, &c.rwlock);
	t_join(thread);
	ck_assert_uint_eq(c.value2, 1);
	iomap_rwlock_unlock(t.env, &c.rwlock);
	ck_assert_uint_eq(c.rwlock.word, 0);
	t_env_stop(&t);
}

/* ---- condition ---- */

CASE(condition_times_out, "", "Without a broadcast a wait ends with -ETIMEDOUT and the mutex held")
{
	struct iomap_mutex m = { 0 };
	struct iomap_cond c = { 0 };
	struct t_env t;

	t_env_start(&t, NULL);
	iomap_mutex_lock(t.env, &m);
	ck_assert_int_eq(iomap_cond_wait(t.env, &c, &m, 0), -ETIMEDOUT);
	ck_assert_int_eq(iomap_cond_wait(t.env, &c, &m, 1000), -ETIMEDOUT);
	ck_assert(!iomap_mutex_trylock(t.env, &m));
	ck_assert_uint_eq(c.waiters, 0);
	iomap_mutex_unlock(t.env, &m);
	t_env_stop(&t);
}

struct turns {
	struct iomap_env *env;
	struct iomap_mutex mutex;
	struct iomap_cond cond;
	unsigned turn, rounds;
	int err;
};
struct player {
	struct turns *turns;
	unsigned me;
};

static void *take_turns(void *arg)
{
	struct player *p = arg;
	struct turns *s = p->turns;

	for (unsigned i = 0; i < s->rounds; i++) {
		iomap_mutex_lock(s->env, &s->mutex);
		while (s->turn % NR_THREADS != p->me && !s->err)
			s->err = iomap_cond_wait(s->env, &s->cond, &s->mutex, IOMAP_FOREVER);
		s->turn++;
		iomap_mutex_unlock(s->env, &s->mutex);
		iomap_cond_broadcast(s->env, &s->cond);
	}
	return NULL;
}

CASE(no_broadcast_is_lost, "", "Threads that take turns by a condition all finish")
{
	struct turns s = { .rounds = 1000 };
	struct player players[NR_THREADS];
	pthread_t threads[NR_THREADS];
	struct t_env t;

	t_env_start(&t, NULL);
	s.env = t.env;
	iomap_mutex_init(&s.mutex, IOMAP_RANK_TXN);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		players[i] = (struct player){ &s, i };
		threads[i] = t_thread(take_turns, &players[i]);
	}
	for (int i = 0; i < NR_THREADS; i++)
		t_join(threads[i]);
	ck_assert_int_eq(s.err, 0);
	ck_assert_uint_eq(s.turn, NR_THREADS * s.rounds);
	t_env_stop(&t);
}

/* ---- ranks ---- */

/* Run it in a child: did it die of an assertion? */
static bool dies(void (*fn)(struct iomap_env *env), struct iomap_env *env)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		(void)!freopen("/dev/null", "w", stderr);
		fn(env);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void lock_two(struct iomap_env *env, unsigned first, unsigned second)
{
	struct iomap_mutex a, b;

	iomap_mutex_init(&a, first);
	iomap_mutex_init(&b, second);
	iomap_mutex_lock(env, &a);
	iomap_mutex_lock(env, &b);
}

static void descending(struct iomap_env *env)
{
	lock_two(env, IOMAP_RANK_CACHE, IOMAP_RANK_MAPPING);
}

static void equal(struct iomap_env *env)
{
	lock_two(env, IOMAP_RANK_EXTENT, IOMAP_RANK_EXTENT);
}

static void equal_folios(struct iomap_env *env)
{
	lock_two(env, IOMAP_RANK_FOLIO, IOMAP_RANK_FOLIO);
}

static void ascending(struct iomap_env *env)
{
	lock_two(env, IOMAP_RANK_IO, IOMAP_RANK_INVALIDATE);
}

static void unranked_below(struct iomap_env *env)
{
	lock_two(env, IOMAP_RANK_IOQ, IOMAP_RANK_NONE);
}

static void below_a_reader(struct iomap_env *env)
{
	struct iomap_rwlock io, invalidate;

	iomap_rwlock_init(&io, IOMAP_RANK_IO);
	iomap_rwlock_init(&invalidate, IOMAP_RANK_INVALIDATE);
	iomap_rwlock_rdlock(env, &invalidate);
	iomap_rwlock_rdlock(env, &io);
}

static void not_held(struct iomap_env *env)
{
	struct iomap_mutex m = { .word = 1, .rank = IOMAP_RANK_TXN };

	iomap_mutex_unlock(env, &m);
}

static void tried_then_lower(struct iomap_env *env)
{
	struct iomap_mutex a, b;

	iomap_mutex_init(&a, IOMAP_RANK_MAPPING);
	iomap_mutex_init(&b, IOMAP_RANK_FOLIO);
	if (!iomap_mutex_trylock(env, &a) || !iomap_mutex_trylock(env, &b))
		return;		/* lives: a try may go down */
	iomap_mutex_unlock(env, &b);
	iomap_mutex_lock(env, &b);
}

static void any_order_of_unlock(struct iomap_env *env)
{
	struct iomap_mutex a, b, c;

	iomap_mutex_init(&a, 10);
	iomap_mutex_init(&b, 20);
	iomap_mutex_init(&c, 30);
	for (int i = 0; i < 100; i++) {
		iomap_mutex_lock(env, &a);
		iomap_mutex_lock(env, &b);
		iomap_mutex_unlock(env, &a);
		iomap_mutex_lock(env, &c);
		iomap_mutex_unlock(env, &b);
		iomap_mutex_unlock(env, &c);
	}
}

CASE(wrong_order_of_ranks_is_caught, "", "Debug builds die of locks taken in descending order")
{
#ifdef IOMAPI_SANITY
	const bool caught = true;
#else
	const bool caught = false;	/* release builds must not even notice */
#endif
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(dies(descending, t.env), caught);
	ck_assert_int_eq(dies(equal, t.env), caught);
	ck_assert_int_eq(dies(below_a_reader, t.env), caught);
	ck_assert_int_eq(dies(not_held, t.env), caught);
	ck_assert_int_eq(dies(tried_then_lower, t.env), caught);
	ck_assert(!dies(ascending, t.env));
	ck_assert(!dies(equal_folios, t.env));
	ck_assert(!dies(unranked_below, t.env));
	ck_assert(!dies(any_order_of_unlock, t.env));
	t_env_stop(&t);
}

MAIN()
