/* SPDX-License-Identifier: MIT */
/*
 * backend/file_io.c - one request to a file or block device, carried out by plain system calls.
 *
 *	write	pwritev2, RWF_DSYNC and RWF_ATOMIC	flush	fdatasync
 *	read	preadv					discard	a hole, or BLKDISCARD
 *	zeroes	fallocate or BLKZEROOUT; where the file system has neither, zeros are written
 *
 * Threads: any, each with an iov of its own.
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
#ifndef RWF_ATOMIC			/* headers older than the kernel */
#define RWF_ATOMIC	0x40
#endif

/* Never written to; one for all. */
static _Alignas(4096) char zeros[ZEROS];

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
		if (nr && flags & RWF_ATOMIC)
			return -EIO;	/* torn already: the rest would not mend it */
	}
	return 0;
}

unsigned iomapi_file_rest(const struct iomap_bio *bio, uint64_t skip, struct iovec *iov)
{
	unsigned nr = 0;

	for (uint32_t i = 0; i < bio->nr_segs; i++) {
		const struct iomap_bvec *seg = &bio->segs[i];

		if (skip >= seg->len) {
			skip -= seg->len;
			continue;
		}
		iov[nr++] = (struct iovec){ (char *)seg->mem + skip, seg->len - skip };
		skip = 0;
	}
	return nr;
}

int iomapi_file_rw_flags(const struct iomap_bio *bio)
{
	return (bio->flags & IOMAP_BIO_FUA ? RWF_DSYNC : 0) |
	       (bio->flags & IOMAP_BIO_ATOMIC ? RWF_ATOMIC : 0);
}

static int read_or_write(struct iomapi_file_dev *dev, struct iomap_bio *bio, struct iovec *iov)
{
	unsigned nr = iomapi_file_rest(bio, 0, iov);

	return transfer(dev->fd, iov, nr, bio->addr, bio->op == IOMAP_BIO_WRITE,
			iomapi_file_rw_flags(bio));
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

static int write_zeros(int fd, uint64_t addr, uint64_t len, struct iovec *iov)
{
	int rc = 0;

	while (len && !rc) {
		uint64_t part = 0, n;
		unsigned nr = 0;

		for (; nr < IOMAPI_FILE_SEGS && part < len; nr++, part += n) {
			n = iomapi_min(len - part, (uint64_t)ZEROS);
			iov[nr] = (struct iovec){ zeros, n };
		}
		rc = transfer(fd, iov, nr, addr, true, 0);
		addr += part;
		len -= part;
	}
	return rc;
}

static int make_zero(struct iomapi_file_dev *dev, const struct iomap_bio *bio,
		     struct iovec *iov)
{
	int rc;

	if (dev->block_device) {
		rc = range_ioctl(dev->fd, BLKZEROOUT, bio->addr, bio->len);
	} else {
		rc = allocate(dev->fd, FALLOC_FL_ZERO_RANGE, bio->addr, bio->len);
		if (not_there(rc))
			rc = allocate(dev->fd, FALLOC_FL_PUNCH_HOLE, bio->addr, bio->len);
	}
	return not_there(rc) ? write_zeros(dev->fd, bio->addr, bio->len, iov) : rc;
}

static int discard(struct iomapi_file_dev *dev, const struct iomap_bio *bio)
{
	if (dev->block_device)
		return range_ioctl(dev->fd, BLKDISCARD, bio->addr, bio->len);
	return allocate(dev->fd, FALLOC_FL_PUNCH_HOLE, bio->addr, bio->len);
}

static int carry_out(struct iomapi_file_dev *dev, struct iomap_bio *bio, struct iovec *iov)
{
	switch (bio->op) {
	case IOMAP_BIO_READ:
	case IOMAP_BIO_WRITE:
		return read_or_write(dev, bio, iov);
	case IOMAP_BIO_FLUSH:
		return sync_data(dev->fd);
	case IOMAP_BIO_DISCARD:
		return discard(dev, bio);
	case IOMAP_BIO_WRITE_ZEROES:
		return make_zero(dev, bio, iov);
	}
	return -EOPNOTSUPP;
}

/* A full disk and the like name themselves; the bio has the error too. */
void iomapi_file_report(const struct iomapi_file_dev *dev, const struct iomap_bio *bio)
{
	static const char *const fields[] = { "read", "write", "flush", "discard", "write_zeroes" };

	iomapi_report(dev->env, .rule = "device", .callback = dev->scheme, .field = fields[bio->op],
		      .value = bio->addr, .bound = bio->len, .text = strerror(-bio->status));
}

void iomapi_file_carry_out(struct iomapi_file_dev *dev, struct iomap_bio *bio, struct iovec *iov)
{
	bio->status = carry_out(dev, bio, iov);
	if (bio->status)
		iomapi_file_report(dev, bio);
}
