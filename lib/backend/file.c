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
 * Opened with O_DIRECT unless asked for BUFFERED; where that is refused it goes on buffered and
 * says so.  size=N makes a shorter file that long, and never cuts one; create makes a missing file.
 * The path ends at the first comma.
 *
 * Threads: calls on a queue are serialised; a device is only read after it was opened.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/log.h"

#define MAX_BYTES	((uint64_t)1 << 30)
#define MAX_SEGS	1024
#define ZEROS		65536
#define MAX_BLOCK	65536

struct file_queue {
	struct iomap_env *env;
	struct iomapi_fifo fifo;
	uint32_t depth;
	struct iovec iov[MAX_SEGS];	/* of the request that is being carried out */
};

struct file_dev {
	struct iomap_env *env;
	int fd;
	bool owned, direct, rdonly, block_device;
	bool locked;			/* EXCLUSIVE, on a file */
	struct iomap_bdev_limits limits;
};

struct file_opts {
	char path[PATH_MAX];
	uint64_t size;
	bool has_size, create;
	uint32_t flags;			/* IOMAP_BDEV_* */
};

/* Never written to; one for all. */
static _Alignas(4096) char zeros[ZEROS];

static int report(struct iomap_env *env, int error, const char *field, uint64_t value,
		  uint64_t bound, const char *what, const char *path)
{
	char text[256];

	snprintf(text, sizeof(text), "file:%.150s: %s", path ? path : "", what);
	iomapi_report(env, .rule = "device", .callback = "file", .field = field, .value = value,
		      .bound = bound, .text = text);
	return error;
}

/* ---- options ---- */

static int parse_option(struct iomap_env *env, struct file_opts *o, const char *word)
{
	char what[96];

	if (!strcmp(word, "create")) {
		o->create = true;
		return 0;
	}
	if (!strncmp(word, "size=", 5)) {
		o->has_size = true;
		if (!iomapi_parse_size(word + 5, &o->size))
			return 0;
		snprintf(what, sizeof(what), "size=%.40s is not a size", word + 5);
		return report(env, -EINVAL, "size", 0, 0, what, o->path);
	}
	snprintf(what, sizeof(what), "unknown option \"%.40s\"", word);
	return report(env, -EINVAL, "option", 0, 0, what, o->path);
}

static int parse(struct iomap_env *env, struct file_opts *o, const char *spec)
{
	char *word, *save;
	int rc = 0;

	if (!*spec || strlen(spec) >= sizeof(o->path))
		return report(env, -EINVAL, "path", strlen(spec), sizeof(o->path) - 1,
			      "path empty or too long", spec);
	strcpy(o->path, spec);
	strtok_r(o->path, ",", &save);
	while (!rc && (word = strtok_r(NULL, ",", &save)))
		rc = parse_option(env, o, word);
	if (!rc && o->create && o->flags & IOMAP_BDEV_RDONLY)
		rc = report(env, -EINVAL, "create", 0, 0, "create and read-only exclude each other",
			    o->path);
	return rc;
}

/* ---- what kind of file ---- */

static int check_kind(struct iomap_env *env, const struct stat *st, const char *path)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return report(env, -EISDIR, "path", 0, 0, "is a directory", path);
	return report(env, -EINVAL, "path", st->st_mode & S_IFMT, S_IFREG,
		      "neither a file nor a block device", path);
}

static uint64_t size_of(const struct file_dev *dev)
{
	struct stat st;
	uint64_t size;

	if (dev->block_device)
		return ioctl(dev->fd, BLKGETSIZE64, &size) ? 0 : size;
	return fstat(dev->fd, &st) ? 0 : (uint64_t)st.st_size;
}

/* What O_DIRECT asks for; false: it is not to be had. */
static bool direct_alignment(const struct file_dev *dev, uint32_t *block, uint32_t *memory)
{
	int sector = 0;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (!statx(dev->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    stx.stx_mask & STATX_DIOALIGN) {
		*block = stx.stx_dio_offset_align;
		*memory = stx.stx_dio_mem_align;
		return *block && *memory;
	}
#endif
	*block = *memory = 4096;
	if (dev->block_device && !ioctl(dev->fd, BLKSSZGET, &sector) && sector > 0)
		*block = *memory = (uint32_t)sector;
	return true;
}

static uint32_t physical_block(const struct file_dev *dev, uint32_t at_least)
{
	unsigned sector = 0;
	struct stat st;
	uint32_t block = 0;

	if (dev->block_device)
		block = ioctl(dev->fd, BLKPBSZGET, &sector) ? 0 : sector;
	else if (!fstat(dev->fd, &st) && st.st_blksize > 0)
		block = (uint32_t)st.st_blksize;
	if (!iomapi_is_pow2(block) || block < at_least || block > MAX_BLOCK)
		return at_least;
	return block;
}

static void find_limits(struct file_dev *dev, uint32_t depth)
{
	struct iomap_bdev_limits *l = &dev->limits;

	*l = (struct iomap_bdev_limits){
		.struct_size = sizeof(*l), .logical_block = 512, .memory_align = 1,
		.caps = IOMAP_CAP_VOLATILE_CACHE | IOMAP_CAP_FUA | IOMAP_CAP_DISCARD |
			IOMAP_CAP_WRITE_ZEROES,
		.max_segs = MAX_SEGS, .max_bytes = MAX_BYTES, .queue_depth = depth,
	};
	if (!dev->block_device)
		l->caps |= IOMAP_CAP_GROWS;
	if (dev->direct)
		direct_alignment(dev, &l->logical_block, &l->memory_align);
	l->physical_block = physical_block(dev, l->logical_block);
}

/* ---- open ---- */

/* O_EXCL on a block device: not while it is mounted or held.  On a file a lock says the same. */
static int hold_exclusively(struct file_dev *dev)
{
	if (dev->block_device)
		return dev->owned ? 0 : -ENOTSUP;	/* O_EXCL is for an open */
	dev->locked = !flock(dev->fd, LOCK_EX | LOCK_NB);
	if (dev->locked)
		return 0;
	return errno == EWOULDBLOCK ? -EBUSY : -errno;
}

static int open_flags(const struct file_opts *o, bool block_device)
{
	int flags = O_CLOEXEC | (o->flags & IOMAP_BDEV_RDONLY ? O_RDONLY : O_RDWR);

	if (block_device)
		return flags | (o->flags & IOMAP_BDEV_EXCLUSIVE ? O_EXCL : 0);
	return flags | (o->create ? O_CREAT : 0);
}

/* The descriptor or -errno.  Without O_DIRECT where the file system refuses it. */
static int open_path(struct iomap_env *env, const struct file_opts *o, bool *direct)
{
	struct stat st = { 0 };
	bool exists = !stat(o->path, &st);
	int flags = open_flags(o, S_ISBLK(st.st_mode)), fd = -1, rc;

	if (!exists && (errno != ENOENT || !o->create))
		return report(env, -errno, "path", (uint64_t)errno, 0, strerror(errno), o->path);
	rc = exists ? check_kind(env, &st, o->path) : 0;	/* first: a pipe's open may block */
	if (rc)
		return rc;
	*direct = !(o->flags & IOMAP_BDEV_BUFFERED);
	if (*direct)
		fd = open(o->path, flags | O_DIRECT, 0666);
	if (fd < 0 && (!*direct || errno == EINVAL)) {
		*direct = false;
		fd = open(o->path, flags, 0666);
	}
	if (fd < 0)
		return report(env, -errno, "path", (uint64_t)errno, 0, strerror(errno), o->path);
	return fd;
}

static int adopt_fd(struct file_dev *dev, const struct file_opts *o)
{
	int flags = fcntl(dev->fd, F_GETFL);

	if (flags < 0)
		return report(dev->env, -errno, "fd", (uint64_t)dev->fd, 0, strerror(errno), NULL);
	if ((flags & O_ACCMODE) == O_WRONLY ||
	    ((flags & O_ACCMODE) == O_RDONLY && !(o->flags & IOMAP_BDEV_RDONLY)))
		return report(dev->env, -EACCES, "fd", (uint64_t)dev->fd, 0,
			      "the descriptor was opened for less", NULL);
	if (flags & O_APPEND)
		return report(dev->env, -EINVAL, "fd", (uint64_t)dev->fd, 0,
			      "the descriptor appends: it writes at no address", NULL);
	dev->direct = flags & O_DIRECT;
	return 0;
}

/* Grow to size=N; what is there stays. */
static int make_size(struct file_dev *dev, const struct file_opts *o)
{
	uint64_t have = size_of(dev);
	char what[96];

	if (!o->has_size)
		return 0;
	if (o->size % dev->limits.logical_block) {
		snprintf(what, sizeof(what), "size=%llu is not a multiple of the block of %u",
			 (unsigned long long)o->size, dev->limits.logical_block);
		return report(dev->env, -EINVAL, "size", o->size, dev->limits.logical_block, what,
			      o->path);
	}
	if (have >= o->size)
		return 0;
	if (dev->block_device || dev->rdonly) {
		snprintf(what, sizeof(what), "size=%llu, but the device has %llu bytes",
			 (unsigned long long)o->size, (unsigned long long)have);
		return report(dev->env, dev->rdonly ? -EROFS : -EINVAL, "size", o->size, have, what,
			      o->path);
	}
	if (!ftruncate(dev->fd, (off_t)o->size))
		return 0;
	return report(dev->env, -errno, "size", o->size, have, strerror(errno), o->path);
}

static const struct iomap_log_record buffered = {
	.struct_size = sizeof(buffered), .level = 6, .rule = "device", .callback = "file",
	.field = "direct", .text = "no direct I/O on this file: buffered",
};

/* The file is open: learn what it is. */
static int set_up(struct file_queue *q, struct file_dev *dev, const struct file_opts *o)
{
	bool wanted_direct = dev->owned && !(o->flags & IOMAP_BDEV_BUFFERED);
	uint32_t block, memory;
	struct stat st;
	int rc;

	if (fstat(dev->fd, &st))
		return -errno;
	rc = check_kind(dev->env, &st, o->path);
	if (rc)
		return rc;
	dev->block_device = S_ISBLK(st.st_mode);
	dev->rdonly = o->flags & IOMAP_BDEV_RDONLY;
	if (dev->direct && !direct_alignment(dev, &block, &memory)) {
		int flags = fcntl(dev->fd, F_GETFL);

		if (!dev->owned || fcntl(dev->fd, F_SETFL, flags & ~O_DIRECT))
			return report(dev->env, -EINVAL, "path", 0, 0, "no direct I/O here",
				      o->path);
		dev->direct = false;
	}
	if (wanted_direct && !dev->direct)
		iomapi_log(dev->env, &buffered);
	if (o->flags & IOMAP_BDEV_EXCLUSIVE)
		rc = hold_exclusively(dev);
	if (rc)
		return report(dev->env, rc, "path", 0, 0,
			      rc == -EBUSY ? "held by somebody else" : "cannot be held", o->path);
	find_limits(dev, q->depth);
	return make_size(dev, o);
}

static int open_with(struct file_queue *q, const char *spec, int fd, struct file_opts *o,
		     void **result)
{
	struct file_dev *dev;
	int rc = spec ? parse(q->env, o, spec) : 0;

	if (rc)
		return rc;
	dev = iomapi_zalloc(q->env, sizeof(*dev));
	if (!dev)
		return -ENOMEM;
	dev->env = q->env;
	dev->owned = spec != NULL;
	dev->fd = spec ? open_path(q->env, o, &dev->direct) : fd;
	if (dev->fd < 0)
		rc = dev->fd;
	else if (!spec)
		rc = adopt_fd(dev, o);
	if (!rc)
		rc = set_up(q, dev, o);
	if (!rc) {
		*result = dev;
		return 0;
	}
	if (dev->owned && dev->fd >= 0)
		close(dev->fd);
	iomapi_free(q->env, dev, sizeof(*dev));
	return rc;
}

static int file_dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
			 void **result)
{
	struct file_queue *q = queue;
	struct file_opts *o = iomapi_zalloc(q->env, sizeof(*o));	/* large for a stack */
	int rc;

	if (!o)
		return -ENOMEM;
	o->flags = opts->flags;
	rc = open_with(q, path, fd, o, result);
	iomapi_free(q->env, o, sizeof(*o));
	return rc;
}

static void file_dev_close(void *arg)
{
	struct file_dev *dev = arg;

	if (dev->owned)
		close(dev->fd);
	else if (dev->locked)
		flock(dev->fd, LOCK_UN);
	iomapi_free(dev->env, dev, sizeof(*dev));
}

static void file_limits(void *arg, struct iomap_bdev_limits *limits)
{
	struct file_dev *dev = arg;

	*limits = dev->limits;
	limits->size = size_of(dev);
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

static int read_or_write(struct file_queue *q, struct file_dev *dev, struct iomap_bio *bio)
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

		for (; nr < MAX_SEGS && part < len; nr++, part += n) {
			n = iomapi_min(len - part, (uint64_t)ZEROS);
			q->iov[nr] = (struct iovec){ zeros, n };
		}
		rc = transfer(fd, q->iov, nr, addr, true, 0);
		addr += part;
		len -= part;
	}
	return rc;
}

static int make_zero(struct file_queue *q, struct file_dev *dev, const struct iomap_bio *bio)
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

static int discard(struct file_dev *dev, const struct iomap_bio *bio)
{
	if (dev->block_device)
		return range_ioctl(dev->fd, BLKDISCARD, bio->addr, bio->len);
	return allocate(dev->fd, FALLOC_FL_PUNCH_HOLE, bio->addr, bio->len);
}

static int carry_out(struct file_queue *q, struct file_dev *dev, struct iomap_bio *bio)
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
static void report_failure(struct file_dev *dev, const struct iomap_bio *bio)
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
		struct file_dev *dev = (struct file_dev *)(uintptr_t)bio->backend[1];

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
