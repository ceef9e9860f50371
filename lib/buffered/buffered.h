/* SPDX-License-Identifier: MIT */
/*
 * buffered/buffered.h - what the files of this room share.
 */
#ifndef IOMAPI_BUFFERED_H
#define IOMAPI_BUFFERED_H

#include <iomap/buffered.h>

#include "base/env.h"

/* ---- data.c ---- */
/* The next len bytes of the user's memory can be touched now: how many of them.  No lock held.
 * write: the memory is going to be written. */
size_t iomapi_data_prefault(struct iomap_env *env, struct iomap_data *data, size_t len, bool write);
/* Somebody can make memory present: after a short copy another try may go further. */
bool iomapi_data_can_prefault(struct iomap_env *env, const struct iomap_data *data);

/* ---- read.c ---- */
/* Is the request one for the cache of its inode?  0, -EINVAL, -ESTALE (killed). */
int iomapi_req_check(const struct iomap_req *req, const struct iomap_data *data);
/* I28: is a block at pos of this map zeros rather than something to read?  size: of the file. */
bool iomapi_block_is_zeros(const struct iomap *src, int64_t pos, int64_t size);
/* Fill a locked folio from an INLINE map: all of it behind the data is zeros.  -EIO: no room for
 * the file's bytes (I31). */
int iomapi_read_inline(const struct iomap *map, struct iomap_folio *folio, int64_t size);
/* iomap_read_folio, with the error that stopped it: what was queued may still fail. */
int iomapi_read_folio(struct iomap_folio *folio, const struct iomap_ops *ops,
		      const struct iomap_read_ops *read_ops, void *priv);

/* No folio could be had: what is dirty goes out, what is being read or written may end.  Nothing
 * between begin and end, no folio lock.  0: it is worth another try. */
int iomapi_wait_for_memory(struct iomap_inode *inode);
#define IOMAPI_MEMORY_TRIES 64	/* before -ENOMEM is the answer */

/* ---- bio_read.c ---- */
/* Read a range of a folio from its source map and wait for it.  Folio locked, no state changed. */
int iomapi_bio_read_sync(const struct iomap *src, struct iomap_folio *folio, int64_t pos,
			 size_t len);

extern const struct iomapi_room iomapi_room_buffered;

#endif
