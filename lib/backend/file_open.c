/* SPDX-License-Identifier: MIT */
/*
 * backend/file_open.c - from the words behind a scheme to an open file: options, kind, limits,
 * size.
 *
 * Opened with O_DIRECT unless asked for BUFFERED; where that is refused it goes on buffered and
 * says so.  size=N makes a shorter file that long, and never cuts one; create makes a missing file,
 * which goes again if the open fails later.  The path ends at the first comma.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/file.h"
#include "base/log.h"

#define MAX_BYTES	((uint64_t)1 << 30)
#define MAX_BLOCK	65536

struct file_opts {
	char path[PATH_MAX];
	uint64_t size;
	bool has_size, create;
	bool made;			/* it was not there before */
	uint32_t flags;			/* IOMAP_BDEV_* */
};

static int report(const struct iomapi_file_dev *dev, int error, const char *field, uint64_t value,
		  uint64_t bound, const char *what, const char *path)
{
	char text[256];

	snprintf(text, sizeof(text), "%s:%.150s: %s", dev->scheme, path ? path : "", what);
	iomapi_report(dev->env, .rule = "device", .callback = dev->scheme, .field = field,
		      .value = value, .bound = bound, .text = text);
	return error;
}

/* ---- options ---- */

static int parse_option(const struct iomapi_file_dev *dev, struct file_opts *o, const char *word)
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
		return report(dev, -EINVAL, "size", 0, 0, what, o->path);
	}
	snprintf(what, sizeof(what), "unknown option \"%.40s\"", word);
	return report(dev, -EINVAL, "option", 0, 0, what, o->path);
}

static int parse(const struct iomapi_file_dev *dev, struct file_opts *o, const char *spec)
{
	char *word, *save;
	int rc = 0;

	if (!*spec || strlen(spec) >= sizeof(o->path))
		return report(dev, -EINVAL, "path", strlen(spec), sizeof(o->path) - 1,
			      "path empty or too long", spec);
	strcpy(o->path, spec);
	strtok_r(o->path, ",", &save);
	while (!rc && (word = strtok_r(NULL, ",", &save)))
		rc = parse_option(dev, o, word);
	if (!rc && o->create && o->flags & IOMAP_BDEV_RDONLY)
		rc = report(dev, -EINVAL, "create", 0, 0, "create and read-only exclude each other",
			    o->path);
	return rc;
}

/* ---- what kind of file ---- */

static int check_kind(const struct iomapi_file_dev *dev, const struct stat *st, const char *path)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return report(dev, -EISDIR, "path", 0, 0, "is a directory", path);
	return report(dev, -EINVAL, "path", st->st_mode & S_IFMT, S_IFREG,
		      "neither a file nor a block device", path);
}

uint64_t iomapi_file_size(const struct iomapi_file_dev *dev)
{
	struct stat st;
	uint64_t size;

	if (dev->block_device)
		return ioctl(dev->fd, BLKGETSIZE64, &size) ? 0 : size;
	return fstat(dev->fd, &st) ? 0 : (uint64_t)st.st_size;
}

/* What O_DIRECT asks for; false: it is not to be had. */
static bool direct_alignment(const struct iomapi_file_dev *dev, uint32_t *block, uint32_t *memory)
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

static uint32_t physical_block(const struct iomapi_file_dev *dev, uint32_t at_least)
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

static void find_limits(struct iomapi_file_dev *dev, uint32_t depth)
{
	struct iomap_bdev_limits *l = &dev->limits;

	*l = (struct iomap_bdev_limits){
		.struct_size = sizeof(*l), .logical_block = 512, .memory_align = 1,
		.caps = IOMAP_CAP_VOLATILE_CACHE | IOMAP_CAP_FUA | IOMAP_CAP_DISCARD |
			IOMAP_CAP_WRITE_ZEROES,
		.max_segs = IOMAPI_FILE_SEGS, .max_bytes = MAX_BYTES, .queue_depth = depth,
	};
	if (!dev->block_device)
		l->caps |= IOMAP_CAP_GROWS;
	if (dev->direct)
		direct_alignment(dev, &l->logical_block, &l->memory_align);
	l->physical_block = physical_block(dev, l->logical_block);
}

/* ---- open ---- */

/* O_EXCL on a block device: not while it is mounted or held.  On a file a lock says the same. */
static int hold_exclusively(struct iomapi_file_dev *dev)
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
static int open_path(struct iomapi_file_dev *dev, struct file_opts *o)
{
	struct stat st = { 0 };
	bool exists = !stat(o->path, &st);
	int flags = open_flags(o, S_ISBLK(st.st_mode)), fd = -1, rc;

	if (!exists && (errno != ENOENT || !o->create))
		return report(dev, -errno, "path", (uint64_t)errno, 0, strerror(errno),
			      o->path);
	rc = exists ? check_kind(dev, &st, o->path) : 0;	/* first: a pipe's open may block */
	if (rc)
		return rc;
	dev->direct = !(o->flags & IOMAP_BDEV_BUFFERED);
	if (dev->direct)
		fd = open(o->path, flags | O_DIRECT, 0666);
	if (fd < 0 && (!dev->direct || errno == EINVAL)) {
		dev->direct = false;
		fd = open(o->path, flags, 0666);
	}
	if (fd < 0)
		return report(dev, -errno, "path", (uint64_t)errno, 0, strerror(errno),
			      o->path);
	o->made = !exists;
	return fd;
}

static int adopt_fd(struct iomapi_file_dev *dev, const struct file_opts *o)
{
	int flags = fcntl(dev->fd, F_GETFL);

	if (flags < 0)
		return report(dev, -errno, "fd", (uint64_t)dev->fd, 0, strerror(errno), NULL);
	if ((flags & O_ACCMODE) == O_WRONLY ||
	    ((flags & O_ACCMODE) == O_RDONLY && !(o->flags & IOMAP_BDEV_RDONLY)))
		return report(dev, -EACCES, "fd", (uint64_t)dev->fd, 0,
			      "the descriptor was opened for less", NULL);
	if (flags & O_APPEND)
		return report(dev, -EINVAL, "fd", (uint64_t)dev->fd, 0,
			      "the descriptor appends: it writes at no address", NULL);
	dev->direct = flags & O_DIRECT;
	return 0;
}

/* Grow to size=N; what is there stays. */
static int make_size(struct iomapi_file_dev *dev, const struct file_opts *o)
{
	uint64_t have = iomapi_file_size(dev);
	char what[96];

	if (!o->has_size)
		return 0;
	if (o->size % dev->limits.logical_block) {
		snprintf(what, sizeof(what), "size=%llu is not a multiple of the block of %u",
			 (unsigned long long)o->size, dev->limits.logical_block);
		return report(dev, -EINVAL, "size", o->size, dev->limits.logical_block, what,
			      o->path);
	}
	if (have >= o->size)
		return 0;
	if (dev->block_device || dev->rdonly) {
		snprintf(what, sizeof(what), "size=%llu, but the device has %llu bytes",
			 (unsigned long long)o->size, (unsigned long long)have);
		return report(dev, dev->rdonly ? -EROFS : -EINVAL, "size", o->size, have, what,
			      o->path);
	}
	if (!ftruncate(dev->fd, (off_t)o->size))
		return 0;
	return report(dev, -errno, "size", o->size, have, strerror(errno), o->path);
}

static void log_buffered(const struct iomapi_file_dev *dev)
{
	const struct iomap_log_record record = {
		.struct_size = sizeof(record), .level = 6, .rule = "device",
		.callback = dev->scheme, .field = "direct",
		.text = "no direct I/O on this file: buffered",
	};

	iomapi_log(dev->env, &record);
}

/* The file is open: learn what it is. */
static int set_up(struct iomapi_file_dev *dev, const struct file_opts *o, uint32_t depth)
{
	bool wanted_direct = dev->owned && !(o->flags & IOMAP_BDEV_BUFFERED);
	uint32_t block, memory;
	struct stat st;
	int rc;

	if (fstat(dev->fd, &st))
		return -errno;
	rc = check_kind(dev, &st, o->path);
	if (rc)
		return rc;
	dev->block_device = S_ISBLK(st.st_mode);
	dev->rdonly = o->flags & IOMAP_BDEV_RDONLY;
	if (dev->direct && !direct_alignment(dev, &block, &memory)) {
		int flags = fcntl(dev->fd, F_GETFL);

		if (!dev->owned || fcntl(dev->fd, F_SETFL, flags & ~O_DIRECT))
			return report(dev, -EINVAL, "path", 0, 0, "no direct I/O here",
				      o->path);
		dev->direct = false;
	}
	if (wanted_direct && !dev->direct)
		log_buffered(dev);
	if (o->flags & IOMAP_BDEV_EXCLUSIVE)
		rc = hold_exclusively(dev);
	if (rc)
		return report(dev, rc, "path", 0, 0,
			      rc == -EBUSY ? "held by somebody else" : "cannot be held", o->path);
	find_limits(dev, depth);
	return make_size(dev, o);
}

/* An open that fails leaves no file behind that it has made. */
static void take_back(struct iomapi_file_dev *dev, const struct file_opts *o)
{
	struct stat st;

	if (o->made && !fstat(dev->fd, &st) && !st.st_size)
		unlink(o->path);
	close(dev->fd);
}

static int open_with(struct iomapi_file_dev *dev, const char *spec, int fd, struct file_opts *o,
		     uint32_t depth)
{
	int rc = spec ? parse(dev, o, spec) : 0;

	if (rc)
		return rc;
	dev->fd = spec ? open_path(dev, o) : fd;
	if (dev->fd < 0)
		return dev->fd;
	if (!spec)
		rc = adopt_fd(dev, o);
	if (!rc)
		rc = set_up(dev, o, depth);
	if (rc && spec)
		take_back(dev, o);
	return rc;
}

int iomapi_file_open(struct iomap_env *env, const char *scheme, const char *spec, int fd,
		     unsigned flags, uint32_t depth, struct iomapi_file_dev **result)
{
	struct iomapi_file_dev *dev = iomapi_zalloc(env, sizeof(*dev));
	struct file_opts *o = iomapi_zalloc(env, sizeof(*o));	/* large for a stack */
	int rc = -ENOMEM;

	if (dev && o) {
		*dev = (struct iomapi_file_dev){ .env = env, .scheme = scheme, .owned = spec };
		o->flags = flags;
		rc = open_with(dev, spec, fd, o, depth);
	}
	iomapi_free(env, o, sizeof(*o));
	if (rc)
		iomapi_free(env, dev, sizeof(*dev));
	else
		*result = dev;
	return rc;
}

void iomapi_file_close(struct iomapi_file_dev *dev)
{
	if (dev->owned)
		close(dev->fd);
	else if (dev->locked)
		flock(dev->fd, LOCK_UN);
	iomapi_free(dev->env, dev, sizeof(*dev));
}
