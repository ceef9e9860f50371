/* SPDX-License-Identifier: MIT */
/*
 * ram.c - a backend to start from: "ram:SIZE" is a device in memory, with a queue of its own.
 *
 * A backend has two halves.  A queue is its part of an ioq: a ring, a pool of threads, here a list.
 * A device is what one string opens; any number of devices share a queue.  The library calls the
 * table at the end of this file and nothing else.
 *
 * To make one of your own: copy this folder, change the scheme, then queue_bio and reap; run the
 * stories of tests/conform over it (tests/harness/devices.c has a kind T_NEW).
 *
 * Given    Each bio was checked before it comes here: it lies inside the device, address and
 *          length are multiples of logical_block, memory of memory_align, it has at most max_segs
 *          segments and max_bytes bytes, asks for nothing that caps does not name.  Larger ones
 *          arrive in pieces.  PREFLUSH never arrives (a flush of its own goes before the write),
 *          FUA only with IOMAP_CAP_VOLATILE_CACHE and IOMAP_CAP_FUA.
 * Threads  Calls on one queue come one at a time, from any thread; with IOMAP_IOQ_SINGLE_ISSUER
 *          from one thread only.  So a queue needs no lock.  wakeup alone comes at any time.  A
 *          device attached to several queues gets calls from all of them at once.
 * Waiting  reap may sleep; every other call returns at once, for submitting never blocks.
 * Errors   Of opening: a negative errno.  Of a request: in bio->status, once, and the library
 *          tells whoever waits.  errno is not looked at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ram.h"

#define BLOCK		512u
#define MAX_BYTES	(1u << 20)
#define MAX_SEGS	256u

struct ram_queue {
	struct iomap_bio *head, *tail;	/* first in, first out */
	uint32_t nr, depth;
};

struct ram_dev {
	char *mem;
	uint64_t size;
	uint32_t depth;
};

/* ---- required: the life of a queue ---- */

/*
 * When the first device of this scheme is opened on an ioq.  arg is what stands in
 * iomap_env_opts.backend_args; opts have their defaults filled in.  Where this machine cannot do
 * it, -ENOTSUP with a text in *reason that says what to do about it: it must live as long as the
 * environment, so a string constant is best.  A reason without an error is fine too; both are read
 * with iomap_ioq_reason().
 */
static int queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
		      void **queue, const char **reason)
{
	struct ram_queue *q = calloc(1, sizeof(*q));

	(void)arg, (void)env;
	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	q->depth = opts->depth;
	*queue = q;
	return 0;
}

/* All devices are closed and nothing is under way. */
static void queue_close(void *queue)
{
	free(queue);
}

/* In a forked child, with requests under way in the parent: free memory and close descriptors; join
 * no thread, take no lock, tell the ring nothing.  Here it is the same. */
static void queue_abandon(void *queue)
{
	queue_close(queue);
}

/* ---- required: the life of a device ---- */

/* "4096", "64k", "16m", "1g"; 0 is none of them. */
static uint64_t parse_size(const char *text)
{
	static const char units[] = "kmg";
	char *end;
	uint64_t n = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (*text < '1' || *text > '9' || (*end && (!unit || end[1])) || n > SIZE_MAX >> shift)
		return 0;
	return n << shift;
}

/*
 * path is what follows "ram:", to the end; NULL when a descriptor was borrowed (fd, which stays the
 * caller's).  opts->flags are IOMAP_BDEV_*: that nothing is written to a read-only device is looked
 * after, but a file should be opened accordingly.  -ENOTSUP: not this kind of device.
 */
static int dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
		    void **result)
{
	uint64_t size = path ? parse_size(path) : 0;
	struct ram_dev *dev;

	(void)fd, (void)opts;
	if (!path)
		return -ENOTSUP;
	if (!size)
		return -EINVAL;
	dev = calloc(1, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->size = size / BLOCK * BLOCK;
	dev->depth = ((struct ram_queue *)queue)->depth;
	dev->mem = calloc(1, size);
	if (!dev->mem) {
		free(dev);
		return -ENOMEM;
	}
	*result = dev;
	return 0;
}

/* None of its requests is under way.  In a forked child too. */
static void dev_close(void *arg)
{
	struct ram_dev *dev = arg;

	free(dev->mem);
	free(dev);
}

/* At open, and when the size is refreshed; any thread then.  What stays 0 gets a default; nonsense
 * fails the open.  A cap is a promise: with VOLATILE_CACHE flushes come here, without it they are
 * free, for what completed is as durable as it gets. */
static void limits(void *arg, struct iomap_bdev_limits *l)
{
	const struct ram_dev *dev = arg;

	l->size = dev->size;
	l->caps = IOMAP_CAP_DISCARD | IOMAP_CAP_WRITE_ZEROES;
	l->logical_block = l->physical_block = BLOCK;
	l->memory_align = 1;
	l->max_segs = MAX_SEGS;
	l->max_bytes = MAX_BYTES;
	l->queue_depth = dev->depth;
}

/* ---- optional: a device on more queues than the one it was opened on ---- */

/* A ring would register the descriptor here; dev_detach takes it out again.  That one is called for
 * each queue the device is on, the one it was opened on too, before dev_close; not after a fork.
 * The requests of two queues meet in memory without a lock: the order of those that overlap was
 * the client's business on any device. */
static int dev_attach(void *dev, void *queue)
{
	(void)dev, (void)queue;
	return 0;
}

/* ---- required: the way of a bio ---- */

/* The bytes of one request; those that belong to the backend from queue to reap, bio->backend[],
 * are free to use. */
static void carry_out(struct ram_dev *dev, struct iomap_bio *bio)
{
	char *at = dev->mem + bio->addr;

	bio->status = 0;
	switch (bio->op) {
	case IOMAP_BIO_READ:
	case IOMAP_BIO_WRITE:
		for (uint32_t i = 0; i < bio->nr_segs; i++) {
			const struct iomap_bvec *seg = &bio->segs[i];

			if (bio->op == IOMAP_BIO_WRITE)
				memcpy(at, seg->mem, seg->len);
			else
				memcpy(seg->mem, at, seg->len);
			at += seg->len;
		}
		break;
	case IOMAP_BIO_DISCARD:
	case IOMAP_BIO_WRITE_ZEROES:
		memset(at, 0, bio->len);	/* these have a length and no segments */
		break;
	default:
		bio->status = -EOPNOTSUPP;
	}
}

/*
 * Take the bio and return at once: QUEUED, and it comes out of reap.  Or DONE, with its status set,
 * when there is nothing to wait for.  Or BUSY: nothing was taken, and the library tries again when
 * something was reaped; it is no error, so say it whenever there is no room.
 */
static enum iomap_queued queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct ram_queue *q = queue;

	if (q->nr == q->depth)
		return IOMAP_QUEUE_BUSY;
	bio->backend[0] = 0;
	bio->backend[1] = (uintptr_t)dev;
	if (q->nr++)
		q->tail->backend[0] = (uintptr_t)bio;
	else
		q->head = bio;
	q->tail = bio;
	return IOMAP_QUEUE_QUEUED;
}

/* After one or more queue_bio: ring the bell, once for all of them, and say how many went off.  A
 * list has no bell. */
static int commit(void *queue)
{
	(void)queue;
	return 0;
}

/*
 * Give back up to max bios that are done, each exactly once; how many.  With min 0 it never sleeps,
 * and perhaps nothing is here.  With min 1 something is: it sleeps until one is done, for
 * timeout_ns at most (IOMAP_FOREVER: no limit), and returns early, 0 perhaps, when wakeup was
 * called.  The work of this device is done right here, so it never sleeps; one that works by
 * itself sleeps in its completion call, with the wakeup as one more event.
 */
static int reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		int64_t timeout_ns)
{
	struct ram_queue *q = queue;
	unsigned n = 0;

	(void)min, (void)timeout_ns;
	for (; n < max && q->nr; n++, q->nr--) {
		struct iomap_bio *bio = done[n] = q->head;

		q->head = (struct iomap_bio *)(uintptr_t)bio->backend[0];
		carry_out((struct ram_dev *)(uintptr_t)bio->backend[1], bio);
	}
	return (int)n;
}

/* Any thread, at any time, while others are in any call: whoever sleeps in reap returns, and if
 * nobody does, the next reap that would sleep does not.  An eventfd does exactly this.  Here nobody
 * ever sleeps. */
static void wakeup(void *queue)
{
	(void)queue;
}

/*
 * Not here, all optional:  event_fd, a descriptor that is readable when reap would find something,
 * for those whose completions come by themselves.  register_memory and unregister_memory, for
 * hardware that wants to know memory beforehand.  report_zones, with IOMAP_CAP_ZONED.
 * direct_access, copy, zero, persist and fence: all of them, with IOMAP_CAP_DAX.
 */
const struct iomap_backend_ops ram_backend = {
	.struct_size = sizeof(ram_backend), .scheme = "ram",
	.queue_open = queue_open, .queue_close = queue_close, .queue_abandon = queue_abandon,
	.dev_open = dev_open, .dev_close = dev_close, .limits = limits, .dev_attach = dev_attach,
	.queue = queue_bio, .commit = commit, .reap = reap, .wakeup = wakeup,
};
