/* SPDX-License-Identifier: MIT */
/*
 * base/pool.h - objects of one size, all made when the pool is.
 *
 * Nothing on the I/O path allocates but from here.  A share is kept in reserve: only callers that
 * free memory by making progress (writeback) may take it.
 */
#ifndef IOMAPI_POOL_H
#define IOMAPI_POOL_H

#include "base/env.h"

struct iomapi_pool {
	struct iomap_env *env;
	struct iomap_mutex lock;	/* IOMAP_RANK_POOL */
	void *slab, *free;		/* free objects are linked through their first word */
	size_t size, slab_bytes;
	uint32_t nr, nr_free, reserve;
	iomap_word freed;		/* bumped by put and woken: an object wait may watch it */
};
int iomapi_pool_init(struct iomapi_pool *pool, struct iomap_env *env, size_t size, size_t align,
		     uint32_t nr, uint32_t reserve);	/* -ENOMEM, -EINVAL */
/* Asserts that all are back; a zeroed pool is fine. */
void iomapi_pool_fini(struct iomapi_pool *pool);
/* Not zeroed; NULL: empty. */
void *iomapi_pool_get(struct iomapi_pool *pool, bool may_use_reserve);
void iomapi_pool_put(struct iomapi_pool *pool, void *object);

#endif
