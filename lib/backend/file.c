/* SPDX-License-Identifier: MIT */
/*
 * backend/file.c - "file:PATH[,size=N,create]": a file or block device by plain system calls.
 *
 * Inline: queue takes a request and reap carries it out, so that submit never blocks and nothing
 * runs on a thread of ours.  Slow, plain, and there wherever a file system is.
 *
 * How it is opened stands in file_open.c, which system calls it makes in file_io.c.
 *
 * Threads: calls on a queue are serialised; a device is only read after it was opened.
 */
#include "backend/file.h"

struct file_queue {
	struct iomap_env *env;
	struct iomapi_fifo fifo;
	uint32_t depth;
	struct iovec iov[IOMAPI_FILE_SEGS];	/* of the request that is being carried out */
};

/* ---- devices ---- */

static int file_dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
			 void **result)
{
	struct file_queue *q = queue;
	struct iomapi_file_dev *dev;
	int rc = iomapi_file_open(q->env, "file", path, fd, opts->flags, q->depth,
				  &dev);

	if (!rc)
		*result = dev;
	return rc;
}

static void file_dev_close(void *dev)
{
	iomapi_file_close(dev);
}

static void file_limits(void *arg, struct iomap_bdev_limits *limits)
{
	struct iomapi_file_dev *dev = arg;

	*limits = dev->limits;
	limits->size = iomapi_file_size(dev);
}

static int file_dev_attach(void *dev, void *queue)
{
	(void)dev;
	(void)queue;
	return 0;
}

/* ---- the way of a bio ---- */

static int file_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			   void **queue, const char **reason)
{
	struct file_queue *q = iomapi_zalloc(env, sizeof(*q));

	(void)arg;
	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	q->env = env;
	q->depth = opts->depth;
	*reason = "inline";
	*queue = q;
	return 0;
}

static void file_queue_close(void *queue)
{
	struct file_queue *q = queue;

	iomapi_free(q->env, q, sizeof(*q));
}

static enum iomap_queued file_queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct file_queue *q = queue;

	if (q->fifo.nr == q->depth)
		return IOMAP_QUEUE_BUSY;
	bio->backend[1] = (uintptr_t)dev;
	iomapi_fifo_push(&q->fifo, bio);
	return IOMAP_QUEUE_QUEUED;
}

static int file_commit(void *queue)
{
	(void)queue;		/* reap does the work */
	return 0;
}

static int file_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		     int64_t timeout_ns)
{
	struct file_queue *q = queue;
	unsigned n = 0;

	(void)min;
	(void)timeout_ns;	/* what is queued is done here and now, in order */
	for (; n < max && q->fifo.nr; n++) {
		struct iomap_bio *bio = done[n] = iomapi_fifo_pop(&q->fifo);
		struct iomapi_file_dev *dev = (struct iomapi_file_dev *)(uintptr_t)bio->backend[1];

		iomapi_file_carry_out(dev, bio, q->iov);
	}
	return (int)n;
}

static void file_wakeup(void *queue)
{
	(void)queue;		/* reap never sleeps */
}

const struct iomap_backend_ops iomapi_file_backend = {
	.struct_size = sizeof(iomapi_file_backend),
	.scheme = "file",
	.queue_open = file_queue_open,
	.queue_close = file_queue_close,
	.queue_abandon = file_queue_close,
	.dev_open = file_dev_open,
	.dev_close = file_dev_close,
	.limits = file_limits,
	.dev_attach = file_dev_attach,
	.queue = file_queue_bio,
	.commit = file_commit,
	.reap = file_reap,
	.wakeup = file_wakeup,
};
