/* SPDX-License-Identifier: MIT */
/*
 * flaky.c - a backend on backend.h alone, small enough to be copied and grown.
 *
 * Design   The library has checked each bio already: inside the device, aligned, within the limits.
 *          Memory needs no waiting, so a bio is carried out where it arrives: DONE.  A device that
 *          works by itself says QUEUED and gives the bio back in reap, where it may sleep until
 *          something is ready or wakeup is called.
 * Threads  The library serialises the calls on one queue.  A device that may be on several has a
 *          dev_attach too, and what it holds is shared.
 * Errors   They go into bio->status; the library tells the client once.
 */
#include <errno.h>
#include <string.h>

#include "flaky.h"

/* A queue has nothing of its own.  arg is what the program put into backend_args. */
static int queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
		      void **queue, const char **reason)
{
	(void)env, (void)opts, (void)reason;	/* reason goes with -ENOTSUP */
	*queue = arg;
	return 0;
}

/* path is what stands behind "flaky:"; it is NULL for iomap_bdev_open_fd, which we cannot serve. */
static int dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
		    void **dev)
{
	(void)fd, (void)opts;
	*dev = queue;
	return path ? 0 : -ENOTSUP;
}

/* What is to be closed was not allocated; a wakeup finds nobody asleep. */
static void nothing(void *queue_or_dev)
{
	(void)queue_or_dev;
}

/* The library never asks for more than this; what is larger it splits. */
static void limits(void *dev, struct iomap_bdev_limits *l)
{
	struct flaky *flaky = dev;

	l->size = flaky->size;
	l->caps = IOMAP_CAP_VOLATILE_CACHE;	/* so that flushes arrive here */
	l->logical_block = l->physical_block = 512;
	l->memory_align = 8;
	l->max_segs = 64;
	l->max_bytes = 256 << 10;
	l->queue_depth = 64;
}

static enum iomap_queued queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	bool write = bio->op == IOMAP_BIO_WRITE;
	struct flaky *flaky = dev;
	char *at = flaky->mem + bio->addr;
	bool bad = bio->addr <= flaky->bad && flaky->bad < bio->addr + bio->len;

	(void)queue;
	if (write)
		flaky->on_write(flaky->arg, bio);
	bad &= write && __atomic_load_n(&flaky->broken, __ATOMIC_ACQUIRE);
	bio->status = bad ? -EIO : 0;
	for (uint32_t i = 0; !bad && i < bio->nr_segs; i++) {	/* a flush has none */
		const struct iomap_bvec *seg = &bio->segs[i];

		if (write)
			memcpy(at, seg->mem, seg->len);
		else
			memcpy(seg->mem, at, seg->len);
		at += seg->len;
	}
	return IOMAP_QUEUE_DONE;
}

/* For devices that collect requests and ring a bell once. */
static int commit(void *queue)
{
	(void)queue;
	return 0;
}

/* Nothing was ever QUEUED. */
static int reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		int64_t timeout_ns)
{
	(void)queue, (void)done, (void)min, (void)max, (void)timeout_ns;
	return 0;
}

const struct iomap_backend_ops flaky_backend = {
	.struct_size = sizeof(flaky_backend), .scheme = "flaky",
	.queue_open = queue_open, .queue_close = nothing, .queue_abandon = nothing,
	.dev_open = dev_open, .dev_close = nothing, .limits = limits,
	.queue = queue_bio, .commit = commit, .reap = reap, .wakeup = nothing,
};
