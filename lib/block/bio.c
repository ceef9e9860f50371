/* SPDX-License-Identifier: MIT */
/*
 * block/bio.c - a request as its submitter sees it: made, filled, waited for, cancelled, pooled.
 *
 * Submitting and its checks are in bdev.c.
 *
 * Threads: a bio belongs to one thread at a time; cancel and wait may come from another one while
 * it is under way.  Pools: any thread.
 */
#include <string.h>

#include "base/pool.h"
#include "block/block.h"

IOMAP_API void iomap_bio_init(struct iomap_bio *bio, struct iomap_bdev *bdev, enum iomap_bio_op op,
			      uint64_t addr, struct iomap_bvec *segs, unsigned max_segs)
{
	/* in parts, each small enough to be cleared without a loop */
	memset(bio, 0, offsetof(struct iomap_bio, backend));
	memset(bio->backend, 0, sizeof(bio->backend));
	memset(bio->opaque, 0, sizeof(bio->opaque));
	memset(bio->spare, 0, sizeof(bio->spare));
	bio->op = (uint8_t)op;
	bio->bdev = bdev;
	bio->addr = addr;
	bio->segs = segs;
	bio->max_segs = max_segs;
}

IOMAP_API int iomap_bio_add(struct iomap_bio *bio, void *mem, size_t len, void *own)
{
	if (bio->nr_segs == bio->max_segs)
		return -ENOSPC;
	bio->segs[bio->nr_segs++] = (struct iomap_bvec){ mem, len, own };
	bio->len += len;
	return 0;
}

IOMAP_API int iomap_bio_wait(struct iomap_bio *bio)
{
	uint32_t state = iomapi_load(&bio->state);
	int rc;

	if (state & IOMAPI_BIO_DONE)
		return bio->status;
	if (!(state & IOMAPI_BIO_SUBMITTED) || bio->end_io)
		return -EINVAL;		/* it would never be told */
	rc = iomapi_may_wait(bio->bdev->env);
	if (rc)
		return rc;
	/* It runs callbacks only if its own are among them: nobody else might. */
	iomapi_ioq_wait(iomapi_bio_ioq(bio),
			&(struct iomapi_watch){ IOMAPI_WATCH_DONE, &bio->state,
						bio->piece_end != NULL }, IOMAP_FOREVER);
	return bio->status;
}

IOMAP_API void iomap_bio_cancel(struct iomap_bio *bio)
{
	struct iomap_ioq *ioq;
	uint32_t state = IOMAPI_BIO_SUBMITTED;

	if (!(iomapi_load(&bio->state) & IOMAPI_BIO_SUBMITTED))
		return;
	if (iomapi_forked(bio->bdev->env))
		return;			/* the lock's holder may not exist here */
	ioq = iomapi_bio_ioq(bio);
	if (!iomapi_cas(&bio->state, &state, IOMAPI_BIO_SUBMITTED | IOMAPI_BIO_CANCEL))
		return;
	iomap_mutex_lock(ioq->env, &ioq->lock);
	ioq->cancels = true;
	iomapi_ioq_nudge(ioq);
}

/* ---- pools ---- */

struct iomap_bio_pool {
	struct iomapi_pool pool;
	size_t front_pad;
	unsigned max_segs;
	bool held;			/* counts as opened from the environment */
};

#define MAX_PAD		65536u
#define MAX_POOL_SEGS	65536u

int iomapi_bio_pool_new(struct iomap_env *env, size_t front_pad, unsigned nr_bios,
			unsigned max_segs, unsigned reserve, struct iomap_bio_pool **result)
{
	struct iomap_bio_pool *pool;
	int rc;

	*result = NULL;
	if (front_pad % _Alignof(struct iomap_bio) || front_pad > MAX_PAD ||
	    max_segs > MAX_POOL_SEGS || !nr_bios)
		return -EINVAL;
	pool = iomapi_zalloc(env, sizeof(*pool));
	if (!pool)
		return -ENOMEM;
	pool->front_pad = front_pad;
	pool->max_segs = max_segs;
	rc = iomapi_pool_init(&pool->pool, env,
			      front_pad + sizeof(struct iomap_bio) +
				      max_segs * sizeof(struct iomap_bvec),
			      64, nr_bios, reserve);
	if (rc) {
		iomapi_free(env, pool, sizeof(*pool));
		return rc;
	}
	*result = pool;
	return 0;
}

IOMAP_API int iomap_bio_pool_new(struct iomap_env *env, size_t front_pad, unsigned nr_bios,
				 unsigned max_segs, struct iomap_bio_pool **result)
{
	int rc = iomapi_bio_pool_new(env, front_pad, nr_bios, max_segs, 0, result);

	if (rc)
		return rc;
	iomapi_env_hold(env);
	(*result)->held = true;
	return 0;
}

IOMAP_API void iomap_bio_pool_delete(struct iomap_bio_pool **result)
{
	struct iomap_bio_pool *pool = *result;
	struct iomap_env *env;

	if (!pool)
		return;
	*result = NULL;
	env = pool->pool.env;
	iomapi_pool_fini(&pool->pool);
	if (pool->held)
		iomapi_env_release(env);
	iomapi_free(env, pool, sizeof(*pool));
}

struct iomap_bio *iomapi_bio_pool_get(struct iomap_bio_pool *pool, bool may_use_reserve)
{
	char *object = iomapi_pool_get(&pool->pool, may_use_reserve);
	struct iomap_bio *bio;

	if (!object)
		return NULL;
	bio = (struct iomap_bio *)(void *)(object + pool->front_pad);
	iomap_bio_init(bio, NULL, IOMAP_BIO_READ, 0, (struct iomap_bvec *)(bio + 1),
		       pool->max_segs);
	return bio;
}

IOMAP_API struct iomap_bio *iomap_bio_pool_get(struct iomap_bio_pool *pool)
{
	return iomapi_bio_pool_get(pool, false);
}

const iomap_word *iomapi_bio_pool_freed(const struct iomap_bio_pool *pool)
{
	return &pool->pool.freed;
}

void iomapi_bio_pool_look_again(struct iomap_bio_pool *pool)
{
	iomapi_add(&pool->pool.freed, 1);
	iomap_env_wake(pool->pool.env, &pool->pool.freed, UINT32_MAX);
}

uint32_t iomapi_bio_pool_nr_free(struct iomap_bio_pool *pool)
{
	uint32_t nr;

	iomap_mutex_lock(pool->pool.env, &pool->pool.lock);
	nr = pool->pool.nr_free;
	iomap_mutex_unlock(pool->pool.env, &pool->pool.lock);
	return nr;
}

IOMAP_API void iomap_bio_pool_put(struct iomap_bio_pool *pool, struct iomap_bio *bio)
{
	iomapi_pool_put(&pool->pool, (char *)bio - pool->front_pad);
}
