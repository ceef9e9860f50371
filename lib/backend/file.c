/* SPDX-License-Identifier: MIT */
/*
 * backend/file.c - "file:PATH[,size=N,create]": a file or block device by plain system calls.
 *
 * Inline: queue takes a request and reap carries it out, so that submit never blocks and nothing
 * runs on a thread of ours.  Slow, plain, and there wherever a file system is.  With threads asked
 * for, all calls on the queue go on to those of thread.c.
 *
 * How it is opened stands in file_open.c, which system calls it makes in file_io.c.
 *
 * Threads: calls on a queue are serialised; a device is only read after it was opened.
 */
#include "backend/file.h"
#include "backend/thread.h"

struct file_queue {
	struct iomap_env *env;
	struct iomapi_threads *threads;	/* NULL: inline */
	struct iomapi_fifo fifo;
	uint32_t depth, nr;		/* nr: queued and not reaped */
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

static int start_threads(struct file_queue *q, unsigned nr, const char **reason)
{
	int rc = iomapi_threads_open(q->env, nr, &q->threads);

	*reason = rc ? "its threads cannot be started" : iomapi_threads_reason(q->threads);
	return rc;
}

static int file_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			   void **queue, const char **reason)
{
	struct file_queue *q = iomapi_zalloc(env, sizeof(*q));
	int rc = 0;

	(void)arg;
	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	q->env = env;
	q->depth = opts->depth;
	*reason = "inline";
	if (opts->threads)
		rc = start_threads(q, opts->threads, reason);
	if (rc)
		iomapi_free(env, q, sizeof(*q));
	else
		*queue = q;
	return rc;
}

static void file_queue_close(void *queue)
{
	struct file_queue *q = queue;

	if (q->threads)
		iomapi_threads_close(q->threads);
	iomapi_free(q->env, q, sizeof(*q));
}

static void file_queue_abandon(void *queue)
{
	struct file_queue *q = queue;

	if (q->threads)
		iomapi_threads_abandon(q->threads);
	iomapi_free(q->env, q, sizeof(*q));
}

static enum iomap_queued file_queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct file_queue *q = queue;

	if (q->nr == q->depth)
		return IOMAP_QUEUE_BUSY;
	q->nr++;
	bio->backend[1] = (uintptr_t)dev;
	if (q->threads)
		iomapi_threads_queue(q->threads, bio);
	else
		iomapi_fifo_push(&q->fifo, bio);
	return IOMAP_QUEUE_QUEUED;
}

static int file_commit(void *queue)
{
	struct file_queue *q = queue;

	return q->threads ? iomapi_threads_commit(q->threads) : 0;	/* reap does the work */
}

/* What is queued is done here and now, in order. */
static unsigned carry_out(struct file_queue *q, struct iomap_bio **done, unsigned max)
{
	unsigned n = 0;

	for (; n < max && q->fifo.nr; n++) {
		struct iomap_bio *bio = done[n] = iomapi_fifo_pop(&q->fifo);
		struct iomapi_file_dev *dev = (struct iomapi_file_dev *)(uintptr_t)bio->backend[1];

		iomapi_file_carry_out(dev, bio, q->iov);
	}
	return n;
}

static int file_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		     int64_t timeout_ns)
{
	struct file_queue *q = queue;
	unsigned n;

	if (q->threads)
		n = iomapi_threads_reap(q->threads, done, min, max, timeout_ns);
	else
		n = carry_out(q, done, max);
	q->nr -= n;
	return (int)n;
}

static void file_wakeup(void *queue)
{
	struct file_queue *q = queue;

	if (q->threads)
		iomapi_threads_wakeup(q->threads);	/* inline never sleeps */
}

static int file_event_fd(void *queue)
{
	struct file_queue *q = queue;

	return q->threads ? iomapi_threads_event_fd(q->threads) : -ENOTSUP;
}

const struct iomap_backend_ops iomapi_file_backend = {
	.struct_size = sizeof(iomapi_file_backend),
	.scheme = "file",
	.queue_open = file_queue_open,
	.queue_close = file_queue_close,
	.queue_abandon = file_queue_abandon,
	.dev_open = file_dev_open,
	.dev_close = file_dev_close,
	.limits = file_limits,
	.dev_attach = file_dev_attach,
	.queue = file_queue_bio,
	.commit = file_commit,
	.reap = file_reap,
	.wakeup = file_wakeup,
	.event_fd = file_event_fd,
};
