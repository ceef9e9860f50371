/* SPDX-License-Identifier: MIT */
/*
 * test_base_pool.c - objects of one size, a share of them in reserve.
 */
#include "harness/harness.h"
#include "harness/thread.h"

#include "base/pool.h"

#define NR 16

CASE(reserve_is_for_writeback, "",
     "Ordinary callers stop at the reserve, writeback may empty the pool")
{
	struct iomapi_pool pool;
	void *objects[NR];
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 40, 64, NR, 4), 0);
	for (int i = 0; i < NR - 4; i++) {
		objects[i] = iomapi_pool_get(&pool, false);
		ck_assert_ptr_nonnull(objects[i]);
	}
	ck_assert_ptr_null(iomapi_pool_get(&pool, false));
	for (int i = NR - 4; i < NR; i++) {
		objects[i] = iomapi_pool_get(&pool, true);
		ck_assert_ptr_nonnull(objects[i]);
	}
	ck_assert_ptr_null(iomapi_pool_get(&pool, true));
	/* One that comes back refills the reserve first. */
	iomapi_pool_put(&pool, objects[0]);
	ck_assert_ptr_null(iomapi_pool_get(&pool, false));
	for (int i = 1; i < NR; i++)
		iomapi_pool_put(&pool, objects[i]);
	iomapi_pool_fini(&pool);
	t_env_stop(&t);
}

CASE(objects_are_aligned_and_apart, "", "Objects do not overlap and keep the alignment asked for")
{
	struct iomapi_pool pool;
	unsigned char *objects[NR];
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 100, 64, NR, 0), 0);
	for (int i = 0; i < NR; i++) {
		objects[i] = iomapi_pool_get(&pool, false);
		ck_assert_ptr_nonnull(objects[i]);
		ck_assert_uint_eq((uintptr_t)objects[i] % 64, 0);
		memset(objects[i], i, 100);
	}
	for (int i = 0; i < NR; i++) {
		for (int j = 0; j < 100; j++)
			ck_assert_int_eq(objects[i][j], i);
		iomapi_pool_put(&pool, objects[i]);
	}
	iomapi_pool_fini(&pool);
	t_env_stop(&t);
}

CASE(pool_does_not_allocate_later, "", "Getting and putting leaves the allocator alone")
{
	struct iomapi_pool pool;
	struct t_env t;
	uint64_t before;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 1, 1, NR, 2), 0);
	before = t.nr_allocs;
	for (int i = 0; i < 1000; i++) {
		void *object = iomapi_pool_get(&pool, false);

		ck_assert_ptr_nonnull(object);
		iomapi_pool_put(&pool, object);
	}
	ck_assert_uint_eq(t.nr_allocs, before);
	iomapi_pool_fini(&pool);
	t_env_stop(&t);
}

CASE(pool_refuses_nonsense, "",
     "No objects, all in reserve, odd alignment, overflow: -EINVAL; no memory")
{
	struct iomapi_pool pool = { 0 };
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 8, 8, 0, 0), -EINVAL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 8, 8, 4, 4), -EINVAL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 0, 8, 4, 0), -EINVAL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 8, 24, 4, 0), -EINVAL);
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, SIZE_MAX / 2, 8, 4, 0), -EINVAL);
	t.fail_at = 1;
	ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 8, 8, 4, 0), -ENOMEM);
	iomapi_pool_fini(&pool);
	t_env_stop(&t);
}

struct user {
	struct iomapi_pool *pool;
	struct iomap_env *env;
	void *object;
	int err;
};

static void *put_later(void *arg)
{
	struct user *u = arg;

	iomapi_pool_put(u->pool, u->object);
	return NULL;
}

static void *wait_for_one(void *arg)
{
	struct user *u = arg;

	for (;;) {
		uint32_t seen = iomapi_load(&u->pool->freed);

		u->object = iomapi_pool_get(u->pool, false);
		if (u->object || u->err)
			break;
		u->err = iomap_env_wait(u->env, &u->pool->freed, seen,
					IOMAP_FOREVER);
	}
	return NULL;
}

CASE(put_wakes_who_waits_for_one, "", "An object wait on an empty pool ends when one is put")
{
	struct iomapi_pool pool;
	struct user getter, putter;
	pthread_t waiter, other;
	struct t_env t;

	t_env_start(&t, NULL);
	for (int i = 0; i < 200; i++) {
		ck_assert_int_eq(iomapi_pool_init(&pool, t.env, 64, 64, 1, 0), 0);
		getter = (struct user){ .pool = &pool, .env = t.env };
		putter = getter;
		putter.object = iomapi_pool_get(&pool, false);
		waiter = t_thread(wait_for_one, &getter);
		other = t_thread(put_later, &putter);
		t_join(waiter);
		t_join(other);
		ck_assert_int_eq(getter.err, 0);
		ck_assert_ptr_nonnull(getter.object);
		iomapi_pool_put(&pool, getter.object);
		iomapi_pool_fini(&pool);
	}
	t_env_stop(&t);
}

MAIN()
