/* SPDX-License-Identifier: MIT */
/*
 * backend/aio_none.c - "aio:" in a library that was built without it: it says so.
 *
 * Threads: any; it keeps nothing.
 */
#include "backend/backend.h"

static int none_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			   void **queue, const char **reason)
{
	(void)arg, (void)env, (void)opts, (void)queue;
	*reason = "left out when this library was built (IOMAP_AIO=OFF)";
	return -ENOTSUP;
}

const struct iomap_backend_ops iomapi_aio_backend = {
	.struct_size = sizeof(iomapi_aio_backend),
	.scheme = "aio",
	.queue_open = none_queue_open,
};
