/* SPDX-License-Identifier: MIT */
/*
 * iomap/report.h - where the data and the holes are.
 *
 * For clients that answer lseek, fiemap, bmap and swapon.  Begin is called with REPORT and must
 * change nothing; no report changes a state of its own, but for the writing that some do first.
 *   units    bytes, except where pages or blocks are named.
 *   locks    I/O lock shared, or none if begin takes what it needs; those that write first need
 *            none.  No folio lock held.
 *   threads  any.
 *   errors   -EINVAL a request that cannot be; -ESTALE the inode is killed; what begin, the
 *            writing or the caller's function said.
 */
#ifndef IOMAP_REPORT_H
#define IOMAP_REPORT_H

#include "map.h"

IOMAP_BEGIN_DECLS

/*
 * The first hole, the first data at or after pos.  The end of the file is a hole; space that is
 * promised is data; over UNWRITTEN the cache decides, block by block: what is there is data, clean
 * or dirty; over a HOLE what is dirty, on its way to the device or failed is.  -ENXIO: pos is
 * negative or not before the end; seek_data: no data up to the end.
 */
IOMAP_API int64_t iomap_seek_hole(struct iomap_inode *inode, int64_t pos,
				  const struct iomap_ops *ops, void *priv);
IOMAP_API int64_t iomap_seek_data(struct iomap_inode *inode, int64_t pos,
				  const struct iomap_ops *ops, void *priv);

enum {				/* extent flags */
	IOMAP_EXTENT_LAST	= 1 << 0,	/* none behind it in the range asked for */
	IOMAP_EXTENT_UNKNOWN	= 1 << 1,	/* has no address yet */
	IOMAP_EXTENT_DELALLOC	= 1 << 2,
	IOMAP_EXTENT_UNWRITTEN	= 1 << 3,
	IOMAP_EXTENT_INLINE	= 1 << 4,
	IOMAP_EXTENT_SHARED	= 1 << 5,
	IOMAP_EXTENT_MERGED	= 1 << 6,
};
struct iomap_extent {		/* the library's, for the call */
	int64_t pos;
	uint64_t addr, len;	/* IOMAP_NULL_ADDR: none; INLINE: what the client said */
	uint32_t flags, spare32;
	struct iomap_bdev *bdev;
};
/*
 * Each extent that touches [pos, pos + len), whole, in order, holes left out; also behind the end
 * of the file.  sync_first: the range is written and waited for before.
 * fill: 0 go on, 1 full (a silent success: nothing more is asked, LAST does not come), negative
 * stops with that error; begin's -ENOENT is the end of what there is.
 */
IOMAP_API int iomap_fiemap(struct iomap_inode *inode, int64_t pos, uint64_t len, bool sync_first,
			   const struct iomap_ops *ops, void *priv,
			   int (*fill)(void *arg, const struct iomap_extent *extent), void *arg);

/* The block of its device, in blocks of the inode, that a block of the file lies in; the block is
 * written first.  0: an error, or it is not MAPPED, or no whole number says where. */
IOMAP_API uint64_t iomap_bmap(struct iomap_inode *inode, uint64_t block,
			      const struct iomap_ops *ops, void *priv);

/*
 * The pages of 4096 bytes that a file has whole on its inode's device, in runs: page is their
 * number among all that are usable, addr where the run lies.  Page 0 is the header's.  Syncs the
 * file first.  Returns 0, or what add said if that was negative.
 * -EINVAL: a hole, a promise, dirty, shared or inline data, another device or none, or no usable
 * page behind the header.  Runs already told are void on an error.
 */
IOMAP_API int iomap_swapfile_activate(struct iomap_file *file, const struct iomap_ops *ops,
				      void *priv,
				      int (*add)(void *arg, uint64_t page,
						 uint64_t nr_pages, uint64_t addr),
				      void *arg);

IOMAP_END_DECLS
#endif
