/* SPDX-License-Identifier: MIT */
/*
 * flat.h - a client without metadata: its answers where a real one has a journal and references.
 */
#ifndef BENCH_FLAT_H
#define BENCH_FLAT_H

#include <iomap/iomap.h>

static inline int flat_metadata(struct iomap_inode *inode, int64_t start, int64_t end,
				bool datasync, bool *flushed)
{
	(void)inode, (void)start, (void)end, (void)datasync;
	*flushed = false;
	return 0;
}

static inline int flat_volume_metadata(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	*flushed = false;
	return 0;
}

static inline bool flat_tryget(struct iomap_inode *inode)
{
	(void)inode;
	return true;
}

static inline void flat_put(struct iomap_inode *inode)
{
	(void)inode;
}

#endif
