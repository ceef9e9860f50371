/* SPDX-License-Identifier: MIT */
/*
 * backend/file_none.c - "file:" in a library that was built without it: it says so.
 *
 * Threads: any; it keeps nothing.
 */
#include "backend/backend.h"

static int none_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			   void **queue, const char **reason)
{
	(void)arg, (void)env, (void)opts, (void)queue;
	*reason = "left out when this library was built (IOMAP_FILE=OFF)";
	return -ENOTSUP;
}

const struct iomap_backend_ops iomapi_file_backend = {
	.struct_size = sizeof(iomapi_file_backend),
	.scheme = "file",
	.queue_open = none_queue_open,
};
