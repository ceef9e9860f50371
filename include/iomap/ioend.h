/* SPDX-License-Identifier: MIT */
/*
 * iomap/ioend.h - a group of dirty ranges that is written and completed as one unit.
 *
 * For clients whose writeback goes to a block device: the optional layer above writeback.h.  An
 * ioend is one contiguous range of one file and of one device, or anonymous.  The library makes
 * and frees them; a submit hook owns what it is given until it passes it on.
 *   end_io   of ioend->bio is the client's to replace in the submit hook; it must end in
 *            iomap_ioend_defer or iomap_finish_ioends.  The first error wins, atomically.
 *   threads  an ioend belongs to one thread at a time; iomap_ioend_submit may be any.
 */
#ifndef IOMAP_IOEND_H
#define IOMAP_IOEND_H

#include "bio.h"
#include "writeback.h"

IOMAP_BEGIN_DECLS

enum {				/* ioend flags, the library's */
	IOMAP_IOEND_SHARED	= 1 << 0,	/* these first four must be equal on both sides, */
	IOMAP_IOEND_UNWRITTEN	= 1 << 1,	/* or there is no merge */
	IOMAP_IOEND_DIRECT	= 1 << 2,
	IOMAP_IOEND_DONTCACHE	= 1 << 3,
	IOMAP_IOEND_BOUNDARY	= 1 << 4,	/* never absorbed, may absorb */
	IOMAP_IOEND_ANON	= 1 << 5,	/* no address yet: the submit hook sets bio.addr */
};
struct iomap_ioend {			/* made by the library, fields are public */
	struct iomap_list list;		/* of whoever owns it now; first, see wpc->ready */
	struct iomap_inode *inode;
	struct iomap_ioend *parent;	/* of a split piece */
	int64_t offset;
	uint64_t size;			/* clipped to the end of the file, byte exact */
	uint64_t addr;			/* start, kept: bio.addr moves */
	uint32_t flags, nr_folios;
	iomap_word remaining;
	int32_t error;
	/* Equal on both sides, or no merge: a zone, a transaction */
	uint64_t client_key;
	uint64_t client_max;		/* the larger one survives a merge: a log position */
	uint64_t wb_seq;
	struct iomap_list inflight;	/* of the inode, in wb_seq order */
	struct iomap_list merged;	/* absorbed successors, finished with it */
	uint64_t opaque[2], spare[2];
	struct iomap_bio bio;		/* last: its segments follow */
};
IOMAP_API struct iomap_ioend *iomap_ioend_from_bio(struct iomap_bio *bio);

/* ---- in writeback_range ---- */

/*
 * Append the range to the pending ioend or start another.  Returns the bytes taken, all of them in
 * the ioend that is then pending.  pos: where the offered range begins, or where what was taken of
 * it ends; anything else, more than is left of it, and what is not whole blocks is -EINVAL.  mem:
 * NULL sends the folio's own memory, else a stable copy of the range that lives until
 * folio_written.  HOLE: len, nothing queued (FRAMES: -EIO); answer that at once, for what is queued
 * and what is not cannot be said in one number.  A type that cannot be written, a bad map: -EIO and
 * a report.  -ESTALE: the inode is killed.  -EAGAIN: no ioend is left; one call per writeback_range
 * never sees that, and who calls it again must answer with what was taken before.
 */
IOMAP_API int64_t iomap_add_to_ioend(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
				     int64_t pos, uint64_t len, int64_t end_pos, const void *mem);
/* What the last call added to, to set its client words; NULL: nothing is pending.  With another
 * client_key iomap_writeback_close comes first. */
IOMAP_API struct iomap_ioend *iomap_ioend_pending(struct iomap_writeback_ctx *wpc);

/* ---- in writeback_submit ---- */

/* The default hook.  Keeps an end_io that is set; an anonymous ioend is -EIO. */
IOMAP_API int iomap_ioend_writeback_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx,
					   int error);
/* Keep it: from now on it is held and counted by wb_seq; its holder ends it.  Never fails. */
IOMAP_API struct iomap_ioend *iomap_ioend_take(struct iomap_writeback_ctx *wpc, void *wb_ctx);
/* Send a taken one as its bio stands, or end it with error, unsent, from the next poll. */
IOMAP_API void iomap_ioend_submit(struct iomap_ioend *ioend, int error);
/* Cut off a front of at most max bytes.  *front NULL: none needed.  is_append: the address stays.
 * Both parts are the caller's to submit, in any order.  Each piece's end_io runs once; the folios
 * end with the last, with the first error of any.  Negative: ioend is as before.  -ENOMEM: no ioend
 * is free; reap, and try again.  -EINVAL: no write, or max is less than a block or atomic chunk. */
IOMAP_API int iomap_split_ioend(struct iomap_ioend *ioend, uint64_t max, bool is_append,
				struct iomap_ioend **front);
/* Walk the folios, one range each; seg gets the memory that is sent for it.  The first range lies
 * at ioend->offset, each of the others behind the one before; all are whole blocks, zeros behind
 * the end of the file (in a stable copy the client's).  Where the map says F_INTEGRITY, or the
 * inode is STABLE, they do not change until the ioend is finished.  Ranges that are adjacent in
 * memory are put together only when the bio goes to the device. */
IOMAP_API struct iomap_folio *iomap_ioend_first(struct iomap_ioend *ioend, struct iomap_bvec *seg);
IOMAP_API struct iomap_folio *iomap_ioend_next(struct iomap_ioend *ioend, struct iomap_folio *folio,
					       struct iomap_bvec *seg);
/* A built request becomes an ioend, held until it is submitted; its bio is from
 * iomap_ioend_bio_pool, flags are DIRECT and what else there is to say. */
IOMAP_API struct iomap_ioend *iomap_init_ioend(struct iomap_inode *inode, struct iomap_bio *bio,
					       int64_t offset, unsigned ioend_flags);
IOMAP_API struct iomap_bio_pool *iomap_ioend_bio_pool(struct iomap_env *env);

/* ---- at completion ---- */

/* To complete_ioends; from end_io only, and once: it is no longer the caller's. */
IOMAP_API void iomap_ioend_defer(struct iomap_ioend *ioend);
IOMAP_API void iomap_sort_ioends(struct iomap_list *ioends);	/* by offset, stable */
/* Absorb from the head of a sorted list what follows it in file and device and is of its kind. */
IOMAP_API void iomap_ioend_try_merge(struct iomap_ioend *ioend, struct iomap_list *ioends);
/* End it and all merged into it, free them.  error: the client's own, or 0; an error that the ioend
 * has already is kept.  A failed one only in deferred work: in end_io it is deferred first. */
IOMAP_API void iomap_finish_ioends(struct iomap_ioend *ioend, int error);

IOMAP_END_DECLS
#endif
