/* SPDX-License-Identifier: MIT */
/*
 * flaky.c - a backend on backend.h alone, small enough to be copied and grown.
 *
 * Design   The library has checked every bio already: inside the device, aligned, within the
 *          limits below, of an operation that the capabilities allow.  So queue only appends to a
 *          list, and reap does the work when somebody waits for it.  Nothing here can block, hence
 *          nothing has to be woken; a device that works by itself (a ring, a thread) sleeps in reap
 *          instead, at most timeout_ns, and leaves it at once when wakeup was called.
 * Threads  The library serialises the calls on one queue, but a device may be attached to several
 *          queues: what a device holds is shared.  Here that is its memory, where two writers of
 *          the same bytes are the client's mistake, and struct flaky, whose words are atomic.
 * Errors   They go into bio->status, never out of queue; the library tells the client once.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flaky.h"

struct queue {			/* the backend's half of an ioq */
	struct flaky *flaky;
	struct iomap_bio *first, **last;
};
struct dev {			/* one open device */
	struct flaky *flaky;
	uint64_t size;
	char *mem;
};

/* From queue to reap the eight words in bio->backend are ours: a link, and the device. */
static struct iomap_bio **next_of(struct iomap_bio *bio)
{
	return (struct iomap_bio **)(void *)&bio->backend[0];
}

static struct dev **dev_of(struct iomap_bio *bio)
{
	return (struct dev **)(void *)&bio->backend[1];
}

/* arg is what the program put into backend_args for us. */
static int queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
		      void **queue, const char **reason)
{
	struct queue *q = calloc(1, sizeof(*q));

	(void)env, (void)opts, (void)reason;	/* reason goes with -ENOTSUP */
	if (!q)
		return -ENOMEM;
	q->flaky = arg;
	q->last = &q->first;
	*queue = q;
	return 0;
}

static void queue_close(void *queue)
{
	free(queue);
}

/* path is what stands behind "flaky:"; it is NULL for iomap_bdev_open_fd, which we cannot serve. */
static int dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
		    void **dev)
{
	struct queue *q = queue;
	struct dev *d;
	char *end;

	(void)fd, (void)opts;
	if (!path)
		return -ENOTSUP;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->flaky = q->flaky;
	d->size = strtoull(path, &end, 10);
	if (!d->size || d->size % 512 || *end) {
		free(d);
		return -EINVAL;
	}
	d->mem = calloc(1, d->size);
	if (!d->mem) {
		free(d);
		return -ENOMEM;
	}
	*dev = d;
	return 0;
}

static void dev_close(void *dev)
{
	struct dev *d = dev;

	free(d->mem);
	free(d);
}

/* One more queue for the device.  Nothing to prepare: queue is told which one it is on. */
static int dev_attach(void *dev, void *queue)
{
	(void)dev, (void)queue;
	return 0;
}

/* The library never asks for more than this; what is larger it splits. */
static void limits(void *dev, struct iomap_bdev_limits *l)
{
	struct dev *d = dev;

	l->size = d->size;
	l->caps = IOMAP_CAP_VOLATILE_CACHE;	/* so that flushes arrive here */
	l->logical_block = l->physical_block = 512;
	l->memory_align = 8;
	l->max_segs = 64;
	l->max_bytes = 256 << 10;
	l->queue_depth = 64;
}

static enum iomap_queued queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct queue *q = queue;

	if (bio->op == IOMAP_BIO_WRITE && q->flaky->on_write)
		q->flaky->on_write(q->flaky->arg, bio);
	*dev_of(bio) = dev;
	*next_of(bio) = NULL;
	*q->last = bio;
	q->last = next_of(bio);
	return IOMAP_QUEUE_QUEUED;	/* BUSY would be: I am full, ask me again after a reap */
}

/* For devices that collect requests and ring a bell once. */
static int commit(void *queue)
{
	(void)queue;
	return 0;
}

static bool is_bad(struct flaky *flaky, const struct iomap_bio *bio)
{
	if (bio->op != IOMAP_BIO_WRITE || !__atomic_load_n(&flaky->broken, __ATOMIC_ACQUIRE))
		return false;
	return bio->addr <= flaky->bad_addr && flaky->bad_addr < bio->addr + bio->len;
}

static int carry_out(struct dev *d, const struct iomap_bio *bio)
{
	char *at = d->mem + bio->addr;

	if (is_bad(d->flaky, bio)) {
		__atomic_add_fetch(&d->flaky->nr_failed, 1, __ATOMIC_RELAXED);
		return -EIO;
	}
	if (bio->op != IOMAP_BIO_READ && bio->op != IOMAP_BIO_WRITE)
		return 0;		/* a flush: memory has nothing to flush */
	for (uint32_t i = 0; i < bio->nr_segs; i++) {
		const struct iomap_bvec *seg = &bio->segs[i];

		if (bio->op == IOMAP_BIO_WRITE)
			memcpy(at, seg->mem, seg->len);
		else
			memcpy(seg->mem, at, seg->len);
		at += seg->len;
	}
	return 0;
}

static int reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		int64_t timeout_ns)
{
	struct queue *q = queue;
	unsigned nr = 0;

	(void)min, (void)timeout_ns;	/* whatever was queued is ready */
	while (q->first && nr < max) {
		struct iomap_bio *bio = q->first;

		q->first = *next_of(bio);
		if (!q->first)
			q->last = &q->first;
		bio->status = carry_out(*dev_of(bio), bio);
		done[nr++] = bio;
	}
	return (int)nr;
}

static void wakeup(void *queue)
{
	(void)queue;
}

const struct iomap_backend_ops flaky_backend = {
	.struct_size = sizeof(flaky_backend), .scheme = "flaky",
	.queue_open = queue_open, .queue_close = queue_close, .queue_abandon = queue_close,
	.dev_open = dev_open, .dev_close = dev_close, .limits = limits, .dev_attach = dev_attach,
	.queue = queue_bio, .commit = commit, .reap = reap, .wakeup = wakeup,
};
