/* SPDX-License-Identifier: MIT */
/*
 * backend/null.c - "null:[SIZE]": writes vanish, reads give zeros.
 *
 * To measure what the library itself costs, and to count requests.  Requests are queued and reaped
 * like those of a real device, so that the path is the real one; there is no cache, so a flush is
 * free.  Without a size the device is as large as an address may be.
 *
 * Threads: calls on a queue are serialised; nothing is shared between queues.
 */
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/log.h"

#define DEFAULT_SIZE	((uint64_t)1 << 62)
#define MAX_BYTES	((uint64_t)1 << 30)
#define MAX_SEGS	1024

struct null_queue {
	struct iomap_env *env;
	struct iomapi_fifo fifo;
	uint32_t depth;
};

struct null_dev {
	struct iomap_env *env;
	struct iomap_bdev_limits limits;
};

static int null_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			   void **queue, const char **reason)
{
	struct null_queue *q = iomapi_zalloc(env, sizeof(*q));

	(void)arg;
	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	q->env = env;
	q->depth = opts->depth;
	*queue = q;
	return 0;
}

static void null_queue_close(void *queue)
{
	struct null_queue *q = queue;

	iomapi_free(q->env, q, sizeof(*q));
}

static int null_dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
			 void **result)
{
	struct null_queue *q = queue;
	uint64_t size = DEFAULT_SIZE;
	struct null_dev *dev;
	char text[128];

	(void)fd;
	(void)opts;
	if (path && *path && iomapi_parse_size(path, &size)) {
		snprintf(text, sizeof(text), "null:%s: not a size", path);
		iomapi_report(q->env, .rule = "device", .callback = "null", .field = "size",
			      .text = text);
		return -EINVAL;
	}
	dev = iomapi_zalloc(q->env, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->env = q->env;
	dev->limits = (struct iomap_bdev_limits){
		.struct_size = sizeof(dev->limits), .size = size,
		.caps = IOMAP_CAP_DISCARD | IOMAP_CAP_WRITE_ZEROES,
		.logical_block = 512, .physical_block = 512, .memory_align = 1,
		.max_segs = MAX_SEGS, .max_bytes = MAX_BYTES, .queue_depth = q->depth,
	};
	*result = dev;
	return 0;
}

static void null_dev_close(void *dev)
{
	struct null_dev *d = dev;

	iomapi_free(d->env, d, sizeof(*d));
}

static void null_limits(void *dev, struct iomap_bdev_limits *limits)
{
	*limits = ((struct null_dev *)dev)->limits;
}

static int null_dev_attach(void *dev, void *queue)
{
	(void)dev;
	(void)queue;
	return 0;
}

static enum iomap_queued null_queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct null_queue *q = queue;

	(void)dev;
	if (q->fifo.nr == q->depth)
		return IOMAP_QUEUE_BUSY;
	iomapi_fifo_push(&q->fifo, bio);
	return IOMAP_QUEUE_QUEUED;
}

static int null_commit(void *queue)
{
	return (int)((struct null_queue *)queue)->fifo.nr;
}

static int null_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		     int64_t timeout_ns)
{
	struct null_queue *q = queue;
	unsigned n = 0;

	(void)min;
	(void)timeout_ns;
	for (; n < max && q->fifo.nr; n++) {
		struct iomap_bio *bio = done[n] = iomapi_fifo_pop(&q->fifo);

		if (bio->op != IOMAP_BIO_READ)
			continue;
		for (uint32_t i = 0; i < bio->nr_segs; i++)
			memset(bio->segs[i].mem, 0, bio->segs[i].len);
	}
	return (int)n;
}

static void null_wakeup(void *queue)
{
	(void)queue;		/* reap never sleeps */
}

const struct iomap_backend_ops iomapi_null_backend = {
	.struct_size = sizeof(iomapi_null_backend),
	.scheme = "null",
	.queue_open = null_queue_open,
	.queue_close = null_queue_close,
	.queue_abandon = null_queue_close,
	.dev_open = null_dev_open,
	.dev_close = null_dev_close,
	.limits = null_limits,
	.dev_attach = null_dev_attach,
	.queue = null_queue_bio,
	.commit = null_commit,
	.reap = null_reap,
	.wakeup = null_wakeup,
};
