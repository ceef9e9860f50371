/* SPDX-License-Identifier: MIT */
/*
 * backend/file_limits.c - what a file or block device takes, asked of the kernel.
 *
 * Alignment and atomic writes come from statx, which knows about file systems, block devices and
 * partitions.  The rest of what a block device says of itself stands in its queue's directory in
 * /sys; a container may not have that, and then the defaults do: the kernel splits and emulates
 * what the device lacks, only less well than we could.
 *
 * Through the kernel's cache a device has no limits of its own: the kernel takes any request, keeps
 * it in memory that is volatile, and writes it later in pieces of its own.
 *
 * Threads: the one that opens the device.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend/file.h"

#define MAX_BYTES	(1u << 30)
#define MAX_BLOCK	65536
#define KB		1024u

uint64_t iomapi_file_size(const struct iomapi_file_dev *dev)
{
	struct stat st;
	uint64_t size;

	if (dev->block_device)
		return ioctl(dev->fd, BLKGETSIZE64, &size) ? 0 : size;
	return fstat(dev->fd, &st) ? 0 : (uint64_t)st.st_size;
}

/* ---- /sys ---- */

/* The first line of an attribute of the device's queue. */
static bool read_text(const struct iomapi_file_dev *dev, const char *name, char *text, size_t size)
{
	static const char *const dirs[] = { "", "/.." };	/* a partition has its disk's */
	char path[128];
	struct stat st;
	ssize_t n;
	int fd = -1;

	if (!dev->block_device || fstat(dev->fd, &st))
		return false;
	for (unsigned i = 0; i < 2 && fd < 0; i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u%s/queue/%s", major(st.st_rdev),
			 minor(st.st_rdev), dirs[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return n > 0;
}

/* At most; that also where nothing is said, or no number. */
static uint32_t read_number(const struct iomapi_file_dev *dev, const char *name, uint32_t most)
{
	char text[32], *end;
	uint64_t n;

	if (!read_text(dev, name, text, sizeof(text)))
		return most;
	n = strtoull(text, &end, 10);
	return end == text || *end || n > most ? most : (uint32_t)n;
}

/* No machine of ours has had one: this has never said yes. */
bool iomapi_file_is_zoned(const struct iomapi_file_dev *dev)
{
	char text[32];

	return read_text(dev, "zoned", text, sizeof(text)) && !strcmp(text, "host-managed");
}

/* ---- alignment ---- */

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
	if (dev->block_device && !ioctl(dev->fd, BLKSSZGET, &sector) && sector > 0) {
		*block = (uint32_t)sector;
		*memory = read_number(dev, "dma_alignment", *block - 1) + 1;
	}
	return true;
}

bool iomapi_file_takes_direct(const struct iomapi_file_dev *dev)
{
	uint32_t block, memory;

	return direct_alignment(dev, &block, &memory);
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

/* ---- writes that are not torn ---- */

/*
 * Where statx has put them since Linux 6.11; headers may be older than the kernel.  It counts in
 * where a partition starts, and a write within them never crosses the device's boundary.  No block
 * device of ours has had them: there these have only been seen as 0.  Files of xfs have (6.18).
 */
#define STATX_ATOMIC		0x10000u
#define STATX_ATOMIC_AT		0xa8

static void find_atomic_limits(const struct iomapi_file_dev *dev, struct iomap_bdev_limits *l)
{
	struct { uint32_t min, max, segs; } unit;
	struct statx stx;

	_Static_assert(sizeof(stx) >= STATX_ATOMIC_AT + sizeof(unit), "the kernel's layout");
	if (statx(dev->fd, "", AT_EMPTY_PATH, STATX_ATOMIC, &stx) || !(stx.stx_mask & STATX_ATOMIC))
		return;
	memcpy(&unit, (const char *)&stx + STATX_ATOMIC_AT, sizeof(unit));
	l->atomic_min = unit.min;
	l->atomic_max = unit.max;
	l->atomic_segs = unit.segs;
}

/* ---- the queue ---- */

static void find_queue_limits(const struct iomapi_file_dev *dev, struct iomap_bdev_limits *l)
{
	char cache[32];

	if (!read_number(dev, "discard_max_bytes", 1))
		l->caps &= ~IOMAP_CAP_DISCARD;
	/* zeroes: BLKZEROOUT writes them where the device has no operation for it */
	if (!dev->direct)
		return;
	if (!read_number(dev, "fua", 1))
		l->caps &= ~IOMAP_CAP_FUA;	/* a write and one flush for many, instead */
	if (read_text(dev, "write_cache", cache, sizeof(cache)) && !strcmp(cache, "write through"))
		l->caps &= ~IOMAP_CAP_VOLATILE_CACHE;
	l->max_bytes = (uint64_t)KB * read_number(dev, "max_sectors_kb", MAX_BYTES / KB);
	l->max_segs = read_number(dev, "max_segments", IOMAPI_FILE_SEGS);
	l->queue_depth = read_number(dev, "nr_requests", l->queue_depth);
}

void iomapi_file_find_limits(struct iomapi_file_dev *dev, uint32_t depth)
{
	struct iomap_bdev_limits *l = &dev->limits;

	*l = (struct iomap_bdev_limits){
		.struct_size = sizeof(*l), .logical_block = 512, .memory_align = 1,
		.caps = IOMAP_CAP_VOLATILE_CACHE | IOMAP_CAP_FUA | IOMAP_CAP_DISCARD |
			IOMAP_CAP_WRITE_ZEROES,
		.max_segs = IOMAPI_FILE_SEGS, .max_bytes = MAX_BYTES, .queue_depth = depth,
		.max_zeroes = MAX_BYTES,	/* the kernel cuts these as the device wants them */
	};
	if (dev->direct) {
		direct_alignment(dev, &l->logical_block, &l->memory_align);
		find_atomic_limits(dev, l);
	}
	l->physical_block = physical_block(dev, l->logical_block);
	if (dev->block_device)
		find_queue_limits(dev, l);
	else
		l->caps |= IOMAP_CAP_GROWS;
}
