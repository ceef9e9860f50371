/* SPDX-License-Identifier: MIT */
/*
 * base/pool.c - objects of one size, all made when the pool is.
 *
 * One slab, cut into equal objects; free ones are linked through their first word, the one freed
 * last is given first, for its memory is still in the CPU's cache.  Threads: any, under the pool's
 * own lock, which is a leaf but for the ioq's.
 */
#include "base/pool.h"

#include <string.h>

static void **pool_link(void *object)
{
	return object;
}

int iomapi_pool_init(struct iomapi_pool *pool, struct iomap_env *env, size_t size, size_t align,
		     uint32_t nr, uint32_t reserve)
{
	char *object;

	if (!nr || reserve >= nr || !size || !iomapi_is_pow2(align))
		return -EINVAL;
	align = iomapi_max(align, sizeof(void *));
	if (size > SIZE_MAX / 2 / nr || align > SIZE_MAX / 2 / nr)
		return -EINVAL;
	memset(pool, 0, sizeof(*pool));
	pool->env = env;
	pool->size = iomapi_round_up(size, align);
	pool->slab_bytes = pool->size * nr;
	pool->slab = iomapi_alloc(env, pool->slab_bytes, align);
	if (!pool->slab)
		return -ENOMEM;
	iomap_mutex_init(&pool->lock, IOMAP_RANK_POOL);
	pool->nr = pool->nr_free = nr;
	pool->reserve = reserve;
	for (object = (char *)pool->slab + pool->slab_bytes; nr--; ) {
		object -= pool->size;
		*pool_link(object) = pool->free;
		pool->free = object;
	}
	return 0;
}

void iomapi_pool_fini(struct iomapi_pool *pool)
{
	if (!pool->slab)
		return;
	iomapi_assert(pool->nr_free == pool->nr);
	iomapi_free(pool->env, pool->slab, pool->slab_bytes);
	memset(pool, 0, sizeof(*pool));
}

void *iomapi_pool_get(struct iomapi_pool *pool, bool may_use_reserve)
{
	void *object = NULL;

	iomapi_mutex_lock(pool->env, &pool->lock);
	if (pool->nr_free > (may_use_reserve ? 0 : pool->reserve)) {
		object = pool->free;
		pool->free = *pool_link(object);
		pool->nr_free--;
	}
	iomapi_mutex_unlock(pool->env, &pool->lock);
	return object;
}

void iomapi_pool_put(struct iomapi_pool *pool, void *object)
{
	struct iomap_env *env = pool->env;

	iomapi_assert((char *)object >= (char *)pool->slab);
	iomapi_assert((size_t)((char *)object - (char *)pool->slab) < pool->slab_bytes);
	iomapi_assert((size_t)((char *)object - (char *)pool->slab) % pool->size == 0);
	iomapi_mutex_lock(env, &pool->lock);
	*pool_link(object) = pool->free;
	pool->free = object;
	pool->nr_free++;
	iomapi_assert(pool->nr_free <= pool->nr);
	iomapi_add(&pool->freed, 1);
	iomapi_mutex_unlock(env, &pool->lock);
	iomapi_wake_after(env, &pool->freed);
}
