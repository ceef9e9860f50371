/* SPDX-License-Identifier: MIT */
/*
 * backend/file.h - a file or block device that is open, for all backends that go through the
 * kernel: file_open.c makes it, file_limits.c asks what it takes, file_io.c carries requests out on
 * it.
 *
 * Threads: only read after it was opened.
 */
#ifndef IOMAPI_FILE_H
#define IOMAPI_FILE_H

#include <sys/uio.h>

#include "backend/backend.h"

#define IOMAPI_FILE_SEGS 1024		/* of a request */

struct iomapi_file_dev {
	struct iomap_env *env;
	const char *scheme;		/* of the backend, for reports */
	int fd;
	bool owned, direct, rdonly, block_device;
	bool locked;			/* EXCLUSIVE, on a file */
	struct iomap_bdev_limits limits;
};

/* spec is "PATH[,size=N,create]", or NULL: fd is used and stays the caller's.  flags are
 * IOMAP_BDEV_*; what is wrong is reported too. */
int iomapi_file_open(struct iomap_env *env, const char *scheme, const char *spec, int fd,
		     unsigned flags, uint32_t depth, struct iomapi_file_dev **result);
void iomapi_file_close(struct iomapi_file_dev *dev);

uint64_t iomapi_file_size(const struct iomapi_file_dev *dev);	/* now */
bool iomapi_file_takes_direct(const struct iomapi_file_dev *dev);
/* Zones that have to be written in order: the kernel's answer to any other write is an error. */
bool iomapi_file_is_zoned(const struct iomapi_file_dev *dev);
/* Fills dev->limits; of what cannot be asked it takes the least that any kernel has. */
void iomapi_file_find_limits(struct iomapi_file_dev *dev, uint32_t depth);

/* What is left of a bio's memory behind the first skip bytes, as a vector.  How many. */
unsigned iomapi_file_rest(const struct iomap_bio *bio, uint64_t skip, struct iovec *iov);
/* RWF_*: how a bio's flags are said to the kernel, by whichever call carries it out. */
int iomapi_file_rw_flags(const struct iomap_bio *bio);
/* Blocks; sets the status, and reports an error.  iov: IOMAPI_FILE_SEGS, scratch. */
void iomapi_file_carry_out(struct iomapi_file_dev *dev, struct iomap_bio *bio, struct iovec *iov);
void iomapi_file_report(const struct iomapi_file_dev *dev, const struct iomap_bio *bio);

#endif
