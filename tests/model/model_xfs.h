/* SPDX-License-Identifier: MIT */
/*
 * model_xfs.h - the model as a file system that calls the library for what XFS calls iomap for: to
 * write or to allocate behind the end of a file, to truncate, to punch.
 *
 * Needs delalloc, unwritten and cow, and m_xfs_map as hook_map.  Blocks behind the end stay until
 * somebody takes them away.  All calls assert that nothing fails, and keep the array of bytes.
 *
 * Locks: they take the I/O and the invalidate lock.  One thread.
 */
#ifndef T_MODEL_XFS_H
#define T_MODEL_XFS_H

#include "model/model.h"

void m_xfs_map(struct m_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map,
	       struct iomap *srcmap);
/* What lies between the old end and the write reads as zeros. */
int64_t m_xfs_write(struct m_file *f, int64_t pos, const void *buf, size_t len);
void m_xfs_truncate(struct m_file *f, int64_t size);
void m_xfs_zero(struct m_file *f, int64_t pos, int64_t end);	/* a part of a block */
void m_xfs_punch(struct m_file *f, int64_t pos, int64_t end);
void m_xfs_unshare(struct m_file *f, int64_t pos, int64_t len);

/* Without a call of the library, as far as the map and the cache go. */
/* Whole blocks, to where m_place said. */
void m_xfs_write_directly(struct m_file *f, int64_t pos, const void *buf, int64_t len);
/* One byte through a memory mapping. */
void m_xfs_store(struct m_file *f, int64_t pos, uint8_t byte);

#endif
