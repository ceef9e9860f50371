/* SPDX-License-Identifier: MIT */
/*
 * iomap/map.h - the mapping record, the two callbacks that clients write, and the iterator.
 *
 * For every client but a FRAMES page writer, which needs only struct iomap.  A map says where one
 * range of a file lives.  iomap_begin hands one out, the library works inside it, iomap_end hears
 * how far it came: exactly one end for each successful begin, whatever happened in between.
 *   trust    each map is checked (V1-V15) before use; a bad one is -EIO and a log record.
 *   locks    those of the calling operation (listed there); no folio lock, except that filling a
 *            folio for a read and a page fault on the cache hold that folio's, and a DAX fault
 *            holds the entry's.
 *   threads  the caller's.  begin and end may start client transactions.
 */
#ifndef IOMAP_MAP_H
#define IOMAP_MAP_H

#include "types.h"

IOMAP_BEGIN_DECLS

enum iomap_type {
	IOMAP_HOLE,		/* nothing there: reads as zeros */
	IOMAP_DELALLOC,		/* space is promised, no address yet */
	IOMAP_MAPPED,
	IOMAP_UNWRITTEN,	/* has an address, reads as zeros until converted */
	IOMAP_INLINE,		/* the data are in inline_data */
};

/* Set by the client in begin. */
enum {
	IOMAP_F_NEW		= 1 << 0,	/* fresh blocks: zero what is not written */
	IOMAP_F_DIRTY		= 1 << 1,	/* metadata not durable yet; costs FUA */
	IOMAP_F_SHARED		= 1 << 2,	/* copy-on-write; the source is in srcmap */
	IOMAP_F_MERGED		= 1 << 3,	/* report only */
	IOMAP_F_XATTR		= 1 << 4,	/* report only: attribute fork */
	IOMAP_F_BOUNDARY	= 1 << 5,	/* never merged with what precedes it */
	IOMAP_F_ANON_WRITE	= 1 << 6,	/* the submit hook picks the address; without
						 * bdev the inode's device sets limits */
	IOMAP_F_ATOMIC_BIO	= 1 << 7,	/* the whole write is one atomic device request */
	IOMAP_F_INTEGRITY	= 1 << 8,	/* checksums: what is sent stays as it is, as one
						 * device request; what is read is verified.
						 * See doc/checksums.md */
	IOMAP_F_PRIVATE		= 1 << 12,	/* the client's own */
/* Set by the library, for end. */
	IOMAP_F_FOLIO_BATCH	= 1 << 13,	/* visits the folios of fill_dirty_folios */
	IOMAP_F_SIZE_CHANGED	= 1 << 14,	/* the in-memory size grew under this map */
	IOMAP_F_STALE		= 1 << 15,	/* the map was found invalid and is dropped */
};

/* What is being done, for begin and end; none means a read. */
enum {
	IOMAP_WRITE		= 1 << 0,
	IOMAP_ZERO		= 1 << 1,	/* holes and unwritten may be skipped */
	IOMAP_REPORT		= 1 << 2,	/* allocate nothing */
	IOMAP_FAULT		= 1 << 3,
	IOMAP_DIRECT		= 1 << 4,
	IOMAP_NOWAIT		= 1 << 5,	/* -EAGAIN unless one map covers it all */
	IOMAP_OVERWRITE_ONLY	= 1 << 6,	/* one allocated map, else -EAGAIN */
	IOMAP_UNSHARE		= 1 << 7,
	IOMAP_DAX		= 1 << 8,
	IOMAP_ATOMIC		= 1 << 9,
	IOMAP_DONTCACHE		= 1 << 10,
};

struct iomap {				/* embeddable; zeroed by the library before each begin */
	uint64_t addr;			/* on bdev; IOMAP_NULL_ADDR for HOLE and DELALLOC */
	int64_t offset;			/* in the file, <= pos */
	uint64_t length;		/* > 0, reaches beyond pos */
	uint16_t type, flags;
	uint32_t spare32;
	struct iomap_bdev *bdev;	/* may differ per map; NULL for a client without a device */
	void *inline_data;		/* zero what a larger size is going to show */
	uint64_t inline_len;		/* bytes of the buffer, not of the file */
	void *private_data;		/* the client's, valid from begin to end, never followed */
	uint64_t validity_cookie;	/* compared for equality by write_ops->iomap_valid */
	uint64_t spare[4];
};

/*
 * pos, len	what is asked, at end: what begin was asked, trimmed to what the maps allowed
 * priv		the pointer given to the operation: state that begin and end share
 */
struct iomap_ops {
	size_t struct_size;
	/*
	 * Required.  Fill map with one that contains pos and, for copy-on-write, srcmap with the
	 * source at the same position; left alone, no block of the map has a source.  Negative:
	 * fails the operation, end is not called, so undo everything here.  Special: -ENOTBLK,
	 * direct I/O goes through the cache instead; -EAGAIN in a DAX fault, drop the entry lock
	 * and try again.
	 */
	int (*iomap_begin)(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
			   struct iomap *map, struct iomap *srcmap, void *priv);
	/*
	 * Optional.  Commit the first written bytes, undo the rest.  Called also when written is 0
	 * or the body failed.  Negative: the progress made in this map is void (H7).
	 */
	int (*iomap_end)(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
			 unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv);
};

/* Embeddable.  Zero it, set the first block, loop: while ((rc = iomap_iter(&it, ops)) > 0) body. */
struct iomap_iter {
	struct iomap_inode *inode;
	int64_t pos;			/* moves with advance */
	uint64_t len;
	unsigned flags;
	int status;			/* the body's verdict: 0 or negative errno */
	void *private_data;
	struct iomap iomap, srcmap;
	int64_t start_pos;		/* of this map's work; the rest is the library's */
	void *batch;
	uint64_t opaque[6], spare[6];
};
/* > 0 run the body */
IOMAP_API int iomap_iter(struct iomap_iter *iter, const struct iomap_ops *ops);
IOMAP_API int iomap_iter_advance(struct iomap_iter *iter, uint64_t len); /* -EIO beyond the map */
IOMAP_API int iomap_iter_advance_full(struct iomap_iter *iter);
/* > 0 yes, 0 done */
IOMAP_API int iomap_iter_continue(struct iomap_iter *iter, uint64_t advanced);
IOMAP_API uint64_t iomap_length(const struct iomap_iter *iter);		/* min(rest, map, srcmap) */
IOMAP_API uint64_t iomap_length_trim(const struct iomap_iter *iter, int64_t pos, uint64_t len);
IOMAP_API const struct iomap *iomap_iter_srcmap(const struct iomap_iter *iter);
/* First untouched block after a short write: where the client starts to give back. */
IOMAP_API int64_t iomap_last_written_block(const struct iomap_inode *inode, int64_t pos,
					   int64_t written);

IOMAP_END_DECLS
#endif
