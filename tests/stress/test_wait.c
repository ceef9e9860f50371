/* SPDX-License-Identifier: MIT */
/*
 * test_wait.c - object waits and wakes under threads that come and go.
 *
 * A waiter registers, looks and sleeps while wakers change words; every order of these must end
 * with the waiter awake.
 */
#include "harness/harness.h"
#include "harness/thread.h"

#define NR_PAIRS	3
#define GENERATIONS	60
#define ROUNDS		100

struct pair {
	struct iomap_env *env;
	iomap_word ping, pong;
	uint64_t plain;			/* handed to and fro by the words alone */
	int err;
};

static int await(struct pair *p, iomap_word *word, uint32_t seen)
{
	int err = iomap_env_wait(p->env, word, seen, IOMAP_FOREVER);

	if (err)
		__atomic_store_n(&p->err, err, __ATOMIC_RELAXED);
	return err;
}

static void bump(struct pair *p, iomap_word *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_ACQ_REL);
	iomap_env_wake(p->env, word, 1);
}

static void *ping(void *arg)
{
	struct pair *p = arg;
	uint32_t pong = __atomic_load_n(&p->pong, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < ROUNDS; i++) {
		p->plain++;
		bump(p, &p->ping);
		if (await(p, &p->pong, pong + i))
			break;
	}
	return NULL;
}

static void *pong(void *arg)
{
	struct pair *p = arg;
	uint32_t seen = __atomic_load_n(&p->pong, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < ROUNDS; i++) {
		if (await(p, &p->ping, seen + i))
			break;
		p->plain++;
		bump(p, &p->pong);
	}
	return NULL;
}

CASE_TIMEOUT(pairs_play_to_the_end, "",
     "Pairs of short-lived threads wake each other, none is lost", 8)
{
	struct pair pairs[NR_PAIRS] = { { .plain = 0 } };
	struct t_env t;

	t_env_start(&t, NULL);
	for (int g = 0; g < GENERATIONS; g++) {
		pthread_t threads[NR_PAIRS][2];

		for (int i = 0; i < NR_PAIRS; i++) {
			pairs[i].env = t.env;
			threads[i][0] = t_thread(pong, &pairs[i]);
			threads[i][1] = t_thread(ping, &pairs[i]);
		}
		for (int i = 0; i < NR_PAIRS; i++) {
			t_join(threads[i][0]);
			t_join(threads[i][1]);
			ck_assert_int_eq(pairs[i].err, 0);
			ck_assert_uint_eq(pairs[i].plain, (uint64_t)(g + 1) * 2 * ROUNDS);
		}
	}
	t_env_stop(&t);
}

struct crowd {
	struct iomap_env *env;
	iomap_word generation, here;
	int err;
};

static void *join_crowd(void *arg)
{
	struct crowd *c = arg;
	uint32_t seen = __atomic_load_n(&c->generation, __ATOMIC_ACQUIRE);
	int err;

	__atomic_add_fetch(&c->here, 1, __ATOMIC_ACQ_REL);
	iomap_env_wake(c->env, &c->here, 1);
	err = iomap_env_wait(c->env, &c->generation, seen, IOMAP_FOREVER);
	if (err)
		__atomic_store_n(&c->err, err, __ATOMIC_RELAXED);
	return NULL;
}

CASE_TIMEOUT(one_wake_frees_a_crowd, "", "All that wait for one word go on when it changes", 8)
{
	struct crowd c = { .env = NULL };
	struct t_env t;

	t_env_start(&t, NULL);
	c.env = t.env;
	for (int g = 0; g < 200; g++) {
		pthread_t threads[8];

		__atomic_store_n(&c.here, 0, __ATOMIC_RELEASE);
		for (int i = 0; i < 8; i++)
			threads[i] = t_thread(join_crowd, &c);
		for (uint32_t here = 0; here < 8; here = __atomic_load_n(&c.here, __ATOMIC_ACQUIRE))
			ck_assert_int_eq(iomap_env_wait(t.env, &c.here, here, IOMAP_FOREVER), 0);
		__atomic_add_fetch(&c.generation, 1, __ATOMIC_ACQ_REL);
		iomap_env_wake(t.env, &c.generation, UINT32_MAX);
		for (int i = 0; i < 8; i++)
			t_join(threads[i]);
		ck_assert_int_eq(c.err, 0);
	}
	t_env_stop(&t);
}

static void *give_up_early(void *arg)
{
	struct crowd *c = arg;

	for (int i = 0; i < 50; i++) {
		uint32_t seen = __atomic_load_n(&c->generation, __ATOMIC_ACQUIRE);
		int err = iomap_env_wait(c->env, &c->generation, seen, i % 3 * 20000);

		if (err && err != -ETIMEDOUT)
			__atomic_store_n(&c->err, err, __ATOMIC_RELAXED);
	}
	return NULL;
}

CASE_TIMEOUT(waiters_that_give_up_leave_no_trace, "",
     "Wakes race with time-outs and ending threads", 8)
{
	struct crowd c = { .env = NULL };
	struct t_env t;

	t_env_start(&t, NULL);
	c.env = t.env;
	for (int g = 0; g < 40; g++) {
		pthread_t threads[4];

		for (int i = 0; i < 4; i++)
			threads[i] = t_thread(give_up_early, &c);
		for (int i = 0; i < 300; i++) {
			__atomic_add_fetch(&c.generation, 1, __ATOMIC_ACQ_REL);
			iomap_env_wake(t.env, &c.generation, 1);
		}
		for (int i = 0; i < 4; i++)
			t_join(threads[i]);
	}
	ck_assert_int_eq(c.err, 0);
	t_env_stop(&t);
}

MAIN()
