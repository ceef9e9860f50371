/* SPDX-License-Identifier: MIT */
/*
 * backend/file.c - "file:PATH[,size=N,create]": a file or block device by plain system calls.
 *
 * Inline: queue takes a request and reap carries it out, so that submit never blocks and nothing
 * runs on a thread of ours.  Slow, plain, and there wherever a file system is.
 *
 *	write	pwritev2, with RWF_DSYNC for FUA	flush	fdatasync
 *	read	preadv					discard	a hole, or BLKDISCARD
 *	zeroes	fallocate or BLKZEROOUT; where the file system has neither, zeros are written
 *
 * How it is opened stands in file_open.c.
 *
 * Threads: calls on a queue are serialised; a device is only read after it was opened.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/file.h"
#include "base/log.h"

#define ZEROS		65536

struct file_queue {
	struct iomap_env *env;
	struct iomapi_fifo fifo;
	uint32_t depth;
	struct iovec iov[IOMAPI_FILE_SEGS];	/* of the request that is being carried out */
};

/* Never written to; one for all. */
static _Alignas(4096) char zeros[ZEROS];

/* ---- devices ---- */

static int file_dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
			 void **result)
{
	struct file_queue *q = queue;
	struct iomapi_file_dev *dev;
	int rc = iomapi_file_open(q->env, path, fd, opts->flags, q->depth, &dev);

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

/* ---- carrying out ---- */

/* Skip what was transferred; the first that is left is *iov. */
static void advance(struct iovec **iov, unsigned *nr, size_t done)
{
	while (*nr && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		++*iov;
		--*nr;
	}
	if (*nr) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

/* All of it or an error: interrupted and short calls go on from where they stopped. */
static int transfer(int fd, struct iovec *iov, unsigned nr, uint64_t addr, bool write, int flags)
{
	advance(&iov, &nr, 0);
	while (nr) {
		ssize_t n = write ? pwritev2(fd, iov, (int)nr, (off_t)addr, flags)
				  : preadv(fd, iov, (int)nr, (off_t)addr);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;	/* the file ends here, or the device takes nothing */
		addr += (uint64_t)n;
		advance(&iov, &nr, (size_t)n);
	}
	return 0;
}

static int read_or_write(struct file_queue *q, struct iomapi_file_dev *dev, struct iomap_bio *bio)
{
	bool write = bio->op == IOMAP_BIO_WRITE;
	int flags = write && bio->flags & IOMAP_BIO_FUA ? RWF_DSYNC : 0;

	for (uint32_t i = 0; i < bio->nr_segs; i++)
		q->iov[i] = (struct iovec){ bio->segs[i].mem, bio->segs[i].len };
	return transfer(dev->fd, q->iov, bio->nr_segs, bio->addr, write, flags);
}

static int sync_data(int fd)
{
	int rc;

	do
		rc = fdatasync(fd);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int allocate(int fd, int mode, uint64_t addr, uint64_t len)
{
	int rc;

	do
		rc = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)addr, (off_t)len);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int range_ioctl(int fd, unsigned long what, uint64_t addr, uint64_t len)
{
	uint64_t range[2] = { addr, len };

	return ioctl(fd, what, range) ? -errno : 0;
}

static bool not_there(int rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOTTY || rc == -ENOSYS;
}

static int write_zeros(struct file_queue *q, int fd, uint64_t addr, uint64_t len)
{
	int rc = 0;

	while (len && !rc) {
		uint64_t part = 0, n;
		unsigned nr = 0;

		for (; nr < IOMAPI_FILE_SEGS && part < len; nr++, part += n) {
			n = iomapi_min(len - part, (uint64_t)ZEROS);
			q->iov[nr] = (struct iovec){ zeros, n };
		}
		rc = transfer(fd, q->iov, nr, addr, true, 0);
		addr += part;
		len -= part;
	}
	return rc;
}

static int make_zero(struct file_queue *q, struct iomapi_file_dev *dev, const struct iomap_bio *bio)
{
	int rc;

	if (dev->block_device) {
		rc = range_ioctl(dev->fd, BLKZEROOUT, bio->addr, bio->len);
	} else {
		rc = allocate(dev->fd, FALLOC_FL_ZERO_RANGE, bio->addr, bio->len);
		if (not_there(rc))
			rc = allocate(dev->fd, FALLOC_FL_PUNCH_HOLE, bio->addr, bio->len);
	}
	return not_there(rc) ? write_zeros(q, dev->fd, bio->addr, bio->len) : rc;
}

static int discard(struct iomapi_file_dev *dev, const struct iomap_bio *bio)
{
	if (dev->block_device)
		return range_ioctl(dev->fd, BLKDISCARD, bio->addr, bio->len);
	return allocate(dev->fd, FALLOC_FL_PUNCH_HOLE, bio->addr, bio->len);
}

static int carry_out(struct file_queue *q, struct iomapi_file_dev *dev, struct iomap_bio *bio)
{
	switch (bio->op) {
	case IOMAP_BIO_READ:
	case IOMAP_BIO_WRITE:
		return read_or_write(q, dev, bio);
	case IOMAP_BIO_FLUSH:
		return sync_data(dev->fd);
	case IOMAP_BIO_DISCARD:
		return discard(dev, bio);
	case IOMAP_BIO_WRITE_ZEROES:
		return make_zero(q, dev, bio);
	}
	return -EOPNOTSUPP;
}

/* A full disk and the like name themselves; the bio has the error too. */
static void report_failure(struct iomapi_file_dev *dev, const struct iomap_bio *bio)
{
	static const char *const fields[] = { "read", "write", "flush", "discard", "write_zeroes" };

	iomapi_report(dev->env, .rule = "device", .callback = "file", .field = fields[bio->op],
		      .value = bio->addr, .bound = bio->len, .text = strerror(-bio->status));
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

		bio->status = carry_out(q, dev, bio);
		if (bio->status)
			report_failure(dev, bio);
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
