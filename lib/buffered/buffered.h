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

/* ---- edit.c: folios that are changed ---- */
struct iomapi_edit {
	struct iomap_inode *inode;
	const struct iomap_write_ops *wops;	/* never NULL */
	unsigned op_flags;
	bool no_folio;			/* the cache had no memory; unlike a begin that had none */
	bool unstable;			/* a folio under writeback must not change: wait.. */
	int64_t unstable_pos;		/* ..for this one, outside of begin and end */
};
bool iomapi_write_ops_ok(const struct iomap_write_ops *ops);	/* NULL is */
void iomapi_edit_init(struct iomapi_edit *e, struct iomap_inode *inode,
		      const struct iomap_write_ops *wops, unsigned op_flags);
/* The folio at iter->pos, locked and referenced; len: a hint of its size.  make: if there is none;
 * else -ENOENT, but a client that gives folios itself may make one all the same. */
int iomapi_edit_get(struct iomapi_edit *e, struct iomap_iter *iter, size_t len, bool make,
		    struct iomap_folio **folio);
/* copied: bytes at pos that changed and count.  The folio is unlocked and may be gone. */
void iomapi_edit_put(struct iomapi_edit *e, int64_t pos, uint64_t copied,
		     struct iomap_folio *folio);
/* The folio is locked: is the map still true, may the folio change?  false: come back later; the
 * map is STALE, or the folio unstable. */
bool iomapi_edit_allowed(struct iomapi_edit *e, struct iomap_iter *iter,
			 struct iomap_folio *folio);
/* Whole blocks from the source map, waited for; no bit changes. */
int iomapi_edit_read(struct iomapi_edit *e, const struct iomap_iter *iter,
		     struct iomap_folio *folio, size_t off, size_t len);
/* The block at off is zeroed or read whole, if it is not there. */
int iomapi_edit_fill(struct iomapi_edit *e, const struct iomap_iter *iter,
		     struct iomap_folio *folio, size_t off);
/* [off, off + len) is about to change: what its first and last block hold besides is there now. */
int iomapi_edit_prepare(struct iomapi_edit *e, const struct iomap_iter *iter,
			struct iomap_folio *folio, size_t off, size_t len);
/* The range, which lies at iter->pos, has its new content. */
void iomapi_edit_commit(struct iomap_iter *iter, struct iomap_folio *folio, size_t off,
			size_t len);
/* No map open, no lock of a folio: wait for what was unstable. */
int iomapi_edit_wait(struct iomapi_edit *e);
/* Bytes that may become dirty before the limit is looked at again. */
size_t iomapi_edit_bytes(struct iomap_inode *inode);

/* A range that is changed in steps.  Set the first block, init, then step while pos < end. */
struct iomapi_batch;
struct iomapi_pass {
	const struct iomap_ops *ops;
	void *priv;
	/* One map: 0, or a negative errno.  It advances, or pauses, or finds the map STALE. */
	int (*body)(struct iomapi_pass *p, struct iomap_iter *iter);
	/* [off, off + len) of a locked folio gets its new content: 0, or a negative errno. */
	int (*change)(struct iomapi_pass *p, const struct iomap_iter *iter,
		      struct iomap_folio *folio, size_t off, size_t len);
	struct iomapi_batch *room;	/* NULL: uses no batch of folios */

	struct iomapi_edit edit;
	int64_t pos, end;		/* pos moves */
	size_t budget;			/* bytes that may become dirty in this step */
	unsigned tries;			/* steps in a row that came to nothing */
	bool paused;
};
/* -EINVAL, -EFBIG, -ESTALE. */
int iomapi_pass_init(struct iomapi_pass *p, struct iomap_inode *inode, int64_t pos, uint64_t len,
		     const struct iomap_write_ops *wops, unsigned op_flags);
/* 0: pos moved, or the body has paused for a reason that is gone now, or that it knows. */
int iomapi_pass_step(struct iomapi_pass *p);
/* For the body: end this map here, and the step with it. */
void iomapi_pass_pause(struct iomapi_pass *p, struct iomap_iter *iter);
/* For the body: change the folio at iter->pos, as far as the map goes, and advance.  only: if it is
 * still this one, else the map is STALE. */
int iomapi_pass_folio(struct iomapi_pass *p, struct iomap_iter *iter,
		      const struct iomap_folio *only);
int iomapi_pass_folios(struct iomapi_pass *p, struct iomap_iter *iter);	/* all of the map */

/* ---- bio_read.c ---- */
/* Read a range of a folio from its source map and wait for it.  Folio locked, no state changed. */
int iomapi_bio_read_sync(const struct iomap *src, struct iomap_folio *folio, int64_t pos,
			 size_t len);

extern const struct iomapi_room iomapi_room_buffered;

#endif
