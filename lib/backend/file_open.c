/* SPDX-License-Identifier: MIT */
/*
 * backend/file_open.c - from the words behind a scheme to an open file: options, kind, size.
 *
 * Opened with O_DIRECT unless asked for BUFFERED; where that is refused it goes on buffered and
 * says so.  size=N makes a shorter file that long, and never cuts one; create makes a missing file,
 * which goes again if the open fails later.  Its name is durable when the open returns: no flush of
 * the device could make it so.  The path ends at the first comma.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/file_spec.h"
#include "base/log.h"

/* ---- what kind of file ---- */

static int check_kind(const struct iomapi_file_dev *dev, const struct iomapi_file_opts *o,
		      const struct stat *st)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return iomapi_file_refuse(dev, o, -EISDIR, "path", 0, 0, "is a directory");
	return iomapi_file_refuse(dev, o, -EINVAL, "path", st->st_mode & S_IFMT, S_IFREG,
				  "neither a file nor a block device");
}

/* ---- open ---- */

/* O_EXCL on a block device: not while it is mounted or held.  On a file a lock says the same. */
static int hold_exclusively(struct iomapi_file_dev *dev, const struct iomapi_file_opts *o)
{
	int rc = 0;

	if (dev->block_device)
		rc = dev->owned ? 0 : -ENOTSUP;		/* O_EXCL is for an open */
	else if (flock(dev->fd, LOCK_EX | LOCK_NB))
		rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else
		dev->locked = true;
	if (rc)
		iomapi_file_refuse(dev, o, rc, "path", 0, 0,
				   rc == -EBUSY ? "held by somebody else" : "cannot be held");
	return rc;
}

static int open_flags(const struct iomapi_file_opts *o, bool block_device)
{
	int flags = O_CLOEXEC | (o->flags & IOMAP_BDEV_RDONLY ? O_RDONLY : O_RDWR);

	if (block_device)
		return flags | (o->flags & IOMAP_BDEV_EXCLUSIVE ? O_EXCL : 0);
	return flags | (o->create ? O_CREAT : 0);
}

/* What the kernel said, and what to do about it. */
static int report_errno(const struct iomapi_file_dev *dev, const struct iomapi_file_opts *o)
{
	int error = errno;
	char what[96];
	const char *hint = "";

	if (error == ENOENT)
		hint = "; \"create,size=N\" makes a file";
	else if ((error == EACCES || error == EROFS) && !(o->flags & IOMAP_BDEV_RDONLY))
		hint = "; IOMAP_BDEV_RDONLY asks for less";
	else if (error == EBUSY)
		hint = "; it is mounted or held by somebody else";
	snprintf(what, sizeof(what), "%s%s", strerror(error), hint);
	return iomapi_file_refuse(dev, o, -error, "path", (uint64_t)error, 0, what);
}

/* The descriptor or -errno.  Without O_DIRECT where the file system refuses it. */
static int open_path(struct iomapi_file_dev *dev, struct iomapi_file_opts *o)
{
	struct stat st = { 0 };
	bool exists = !stat(o->path, &st);
	int flags = open_flags(o, S_ISBLK(st.st_mode)), fd = -1, rc;

	if (!exists && (errno != ENOENT || !o->create))
		return report_errno(dev, o);
	rc = exists ? check_kind(dev, o, &st) : 0;	/* first: a pipe's open may block */
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
		return report_errno(dev, o);
	o->made = !exists;
	return fd;
}

static int adopt_fd(struct iomapi_file_dev *dev, const struct iomapi_file_opts *o)
{
	int flags = fcntl(dev->fd, F_GETFL);

	if (flags < 0)
		return iomapi_file_refuse(dev, o, -errno, "fd", (uint64_t)dev->fd, 0,
					  strerror(errno));
	if ((flags & O_ACCMODE) == O_WRONLY ||
	    ((flags & O_ACCMODE) == O_RDONLY && !(o->flags & IOMAP_BDEV_RDONLY)))
		return iomapi_file_refuse(dev, o, -EACCES, "fd", (uint64_t)dev->fd, 0,
					  "the descriptor was opened for less");
	if (flags & O_APPEND)
		return iomapi_file_refuse(dev, o, -EINVAL, "fd", (uint64_t)dev->fd, 0,
					  "the descriptor appends: it writes at no address");
	dev->direct = flags & O_DIRECT;
	return 0;
}

/* The end of a file that is no whole block would be out of reach, and nobody would know; who gives
 * a size=N has said how much he needs. */
static int check_size(const struct iomapi_file_dev *dev, const struct iomapi_file_opts *o,
		      uint64_t size)
{
	uint32_t block = dev->limits.logical_block;
	char what[128];

	if (dev->block_device || size % block == 0)
		return 0;
	snprintf(what, sizeof(what),
		 "%llu bytes are not a multiple of the block of %u; size=%llu makes it longer",
		 (unsigned long long)size, block,
		 (unsigned long long)iomapi_round_up(size, (uint64_t)block));
	return iomapi_file_refuse(dev, o, -EINVAL, "size", size, block, what);
}

/* Grow to size=N; what is there stays. */
static int make_size(struct iomapi_file_dev *dev, const struct iomapi_file_opts *o)
{
	uint64_t have = iomapi_file_size(dev);
	char what[96];

	if (!o->has_size)
		return check_size(dev, o, have);
	if (o->size % dev->limits.logical_block) {
		snprintf(what, sizeof(what), "size=%llu is not a multiple of the block of %u",
			 (unsigned long long)o->size, dev->limits.logical_block);
		return iomapi_file_refuse(dev, o, -EINVAL, "size", o->size,
					  dev->limits.logical_block, what);
	}
	if (have >= o->size)
		return 0;
	if (dev->block_device || dev->rdonly) {
		snprintf(what, sizeof(what), "size=%llu, but the device has %llu bytes",
			 (unsigned long long)o->size, (unsigned long long)have);
		return iomapi_file_refuse(dev, o, dev->rdonly ? -EROFS : -EINVAL, "size", o->size,
					  have, what);
	}
	if (!ftruncate(dev->fd, (off_t)o->size))
		return 0;
	return iomapi_file_refuse(dev, o, -errno, "size", o->size, have, strerror(errno));
}

/* Is that the directory in which the file has its name?  A path may end in a link to elsewhere. */
static bool holds_name(int dir, const char *name, const struct iomapi_file_dev *dev)
{
	struct stat entry, file;

	return !fstatat(dir, name, &entry, AT_SYMLINK_NOFOLLOW) && !fstat(dev->fd, &file) &&
	       entry.st_ino == file.st_ino && entry.st_dev == file.st_dev;
}

/* Where the directory cannot be asked the file system is, which has more to do. */
static int sync_name(const struct iomapi_file_dev *dev, struct iomapi_file_opts *o)
{
	char *slash = strrchr(o->path, '/'), *name = slash ? slash + 1 : o->path, first = *name;
	int dir, rc;

	*name = '\0';
	dir = open(slash ? o->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*name = first;
	rc = dir < 0 || !holds_name(dir, name, dev) ? -EINVAL : fsync(dir) ? -errno : 0;
	if (dir >= 0)
		close(dir);
	if (rc == -EINVAL)
		rc = syncfs(dev->fd) ? -errno : 0;
	return rc ? iomapi_file_refuse(dev, o, rc, "path", 0, 0, "its name may be lost") : 0;
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

/* Is it something that this library can work on? */
static int check_device(const struct iomapi_file_dev *dev, const struct iomapi_file_opts *o)
{
	int read_only = 0;

	if (iomapi_file_is_zoned(dev))
		return iomapi_file_refuse(dev, o, -EOPNOTSUPP, "zoned", 0, 0,
					  "its zones want writes in order: not supported");
	if (!dev->block_device)
		return 0;
	/* The kernel would open it for writing, and refuse each write. */
	if (!dev->rdonly && !ioctl(dev->fd, BLKROGET, &read_only) && read_only)
		return iomapi_file_refuse(dev, o, -EROFS, "path", 0, 0,
					  "a read-only device; IOMAP_BDEV_RDONLY asks for less");
	if (!iomapi_file_size(dev))
		return iomapi_file_refuse(dev, o, -ENXIO, "size", 0, 0,
					  "a device of no bytes: nothing is in it");
	return 0;
}

static int go_buffered(struct iomapi_file_dev *dev, const struct iomapi_file_opts *o)
{
	int flags = fcntl(dev->fd, F_GETFL);

	if (!dev->owned || fcntl(dev->fd, F_SETFL, flags & ~O_DIRECT))
		return iomapi_file_refuse(dev, o, -EINVAL, "path", 0, 0, "no direct I/O here");
	dev->direct = false;
	return 0;
}

/* The file is open: learn what it is. */
static int set_up(struct iomapi_file_dev *dev, struct iomapi_file_opts *o, uint32_t depth)
{
	bool wanted_direct = dev->owned && !(o->flags & IOMAP_BDEV_BUFFERED);
	struct stat st;
	int rc;

	if (fstat(dev->fd, &st))
		return -errno;
	rc = check_kind(dev, o, &st);
	if (rc)
		return rc;
	dev->block_device = S_ISBLK(st.st_mode);
	dev->rdonly = o->flags & IOMAP_BDEV_RDONLY;
	rc = check_device(dev, o);
	if (!rc && dev->direct && !iomapi_file_takes_direct(dev))
		rc = go_buffered(dev, o);
	if (rc)
		return rc;
	if (wanted_direct && !dev->direct)
		log_buffered(dev);
	iomapi_file_find_limits(dev, depth);
	if (o->flags & IOMAP_BDEV_EXCLUSIVE)
		rc = hold_exclusively(dev, o);
	if (!rc && o->made)
		rc = sync_name(dev, o);
	return rc ? rc : make_size(dev, o);
}

/* The lock is the open file's, which a forked child shares: there it is not its to drop. */
static void let_go(const struct iomapi_file_dev *dev)
{
	if (dev->owned)
		close(dev->fd);
	else if (dev->locked && !iomapi_forked(dev->env))
		flock(dev->fd, LOCK_UN);	/* of all that share the descriptor's file */
}

/* An open that fails leaves no file behind that it has made. */
static void take_back(const struct iomapi_file_dev *dev, const struct iomapi_file_opts *o)
{
	struct stat st;

	if (o->made && !fstat(dev->fd, &st) && !st.st_size)
		unlink(o->path);
	let_go(dev);
}

static int open_with(struct iomapi_file_dev *dev, const char *spec, int fd,
		     struct iomapi_file_opts *o, uint32_t depth)
{
	int rc = spec ? iomapi_file_parse(dev, o, spec) : 0;

	if (rc)
		return rc;
	dev->fd = spec ? open_path(dev, o) : fd;
	if (dev->fd < 0)
		return dev->fd;
	if (!spec)
		rc = adopt_fd(dev, o);
	if (!rc)
		rc = set_up(dev, o, depth);
	if (rc)
		take_back(dev, o);
	return rc;
}

int iomapi_file_open(struct iomap_env *env, const char *scheme, const char *spec, int fd,
		     unsigned flags, uint32_t depth, struct iomapi_file_dev **result)
{
	struct iomapi_file_dev *dev = iomapi_zalloc(env, sizeof(*dev));
	struct iomapi_file_opts *o = iomapi_zalloc(env, sizeof(*o));	/* large for a stack */
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
	let_go(dev);
	iomapi_free(dev->env, dev, sizeof(*dev));
}
