/* SPDX-License-Identifier: MIT */
/*
 * iomap/writeback.h - turn dirty folios into few large writes.
 *
 * Two users.  A file system implements writeback_range and calls iomap_writepages from its inode's
 * writepages.  A page writer hands over its own dirty frames one by one: reserve, latch, folio,
 * kick, finish.  Nothing here knows an ioend or a bio: the context is opaque.
 *   wbc      what is wanted; may serve many inodes, one after the other.
 *   wpc      the cursor of one inode, on the stack.
 *   locks    writeback_range: the folio lock (or latch).  writeback_submit: no folio lock.
 *   threads  one thread at a time per wpc.
 *   errors   writepages: the first error of any step; what was lost is in the inode's sticky error
 *            too, what only could not be done now (-EAGAIN) is not.
 */
#ifndef IOMAP_WRITEBACK_H
#define IOMAP_WRITEBACK_H

#include "map.h"

IOMAP_BEGIN_DECLS

enum iomap_sync_mode { IOMAP_WB_SYNC_NONE, IOMAP_WB_SYNC_ALL };
enum {				/* wbc flags, the caller's */
	IOMAP_WB_NOWAIT		= 1 << 0,	/* -EAGAIN instead of waiting for a resource */
	IOMAP_WB_FUA		= 1 << 1,
	/* Resend a failed piece folio by folio, once.  Not what the client has split or appends to
	 * a zone, nor a part of an atomic chunk.  Should one fail again, frames are told each their
	 * own end, the cached folios of an ioend that of the whole. */
	IOMAP_WB_ISOLATE	= 1 << 2,
	IOMAP_WB_CYCLIC		= 1 << 3,	/* go on where the last pass stopped */
	IOMAP_WB_RECLAIM	= 1 << 4,	/* set by reclaim: writepages says -EIO */
	IOMAP_WB_DONTCACHE	= 1 << 5,	/* every folio, as if it were marked so */
};
struct iomap_writeback_control {
	size_t struct_size;
	int64_t range_start, range_end;		/* [start, end); end 0 means to the end */
	uint64_t bytes_to_write;		/* SYNC_NONE: of each writepages; 0: no limit */
	uint64_t bytes_queued;			/* counted by the library, over all calls */
	uint64_t max_ioend_bytes;		/* default 4 MiB; less what is no whole chunk */
	/* Each natural chunk of this size never tears, be it one folio or several; hand them over
	 * whole and in order.  Of it, grain and the inode's block the largest is a multiple of the
	 * others, else -EINVAL. */
	uint32_t atomic_bytes;
	uint32_t grain;				/* device splits fall on multiples of this */
	uint32_t flags;
	uint8_t sync_mode, priority;		/* priority: 0 background .. 7 somebody waits */
	uint16_t spare16;
	struct iomap_ioq *ioq;			/* NULL: the device's own */
};

struct iomap_writeback_ops {
	size_t struct_size;
	/*
	 * Required.  Map pos into wpc->iomap, unless it still holds, and queue up to len bytes;
	 * iomap_add_to_ioend does the second half.  Its dirty bits were just cleared.  Returns the
	 * bytes handled from pos on, 1..len: those that iomap_add_to_ioend took; without that call
	 * those that iomap_finish_folio_write will end, or that lie in a HOLE of wpc->iomap.
	 * Negative: drop your own reservations up to the folio's end; the rest of the folio is not
	 * offered and counts as failed.  May start a transaction; must not wait for writeback.
	 * end_pos: the file's end as seen for this folio; IOMAP_MAX_POS with FRAMES.
	 */
	int64_t (*writeback_range)(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
				   int64_t pos, uint64_t len, int64_t end_pos);
	/*
	 * Required.  wb_ctx is the hook's from this call on and no longer in the wpc.  Send it,
	 * keep it, or end it; with error != 0 end it with that error (only finish, kill and
	 * shutdown pass one: what was queued before a failing range goes out with 0).  May be
	 * called for an older context while wpc->iomap is long past it.  Returns 0 or an error for
	 * the caller of writeback.
	 */
	int (*writeback_submit)(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error);
};

struct iomap_writeback_ctx {	/* embeddable; zero it, set the four first fields after the map */
	struct iomap iomap;
	struct iomap_inode *inode;
	struct iomap_writeback_control *wbc;
	const struct iomap_writeback_ops *ops;
	void *owner;
	void *wb_ctx;			/* pending; begins with a struct iomap_list */
	struct iomap_list ready;	/* closed contexts, to be submitted without folio locks */
	uint64_t opaque[6], spare[4];
};

/*
 * Walk the dirty folios of the range (SYNC_ALL: those dirty at the call) and finish the wpc.  Waits
 * for folio locks and for ioends, also for those that a client holds; SYNC_ALL for earlier
 * writeback.  -EAGAIN: NOWAIT, and out of ioends or, with SYNC_ALL, a folio was busy.  -EINVAL:
 * FRAMES, or a wpc or wbc that is not filled in.  -EIO: RECLAIM.  -ESTALE: the inode is killed.
 * What the two callbacks said, or the volume died of.
 */
IOMAP_API int iomap_writepages(struct iomap_writeback_ctx *wpc);

/*
 * One locked, dirty folio.  FRAMES: 0: queued, and its error comes once through folio_written,
 * which may already have run when this returns; that error is -EAGAIN if the client cut the frame
 * into more ioends than there were.  Negative: nothing queued, no callback.
 * -EBUSY: under writeback already.  -EAGAIN: nothing reserved; of a cached folio also, part of it
 * is queued and the rest still dirty.  -EINVAL: clean, or of another inode.  -ESTALE: the inode is
 * killed.  What writeback_range said, or the volume died of.
 */
IOMAP_API int iomap_writeback_folio(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio);

/* The three calls that submit; no latch or folio lock held.  Each does its work and returns the
 * first error of writeback_submit, which concerns ioends handed over before. */
/* Until the wpc has nr_ioends.  May wait, but never for held ioends: -EAGAIN if nothing else is
 * outstanding, or under NOWAIT.  -EINVAL: more than the environment has.  -EDEADLK: in a callback.
 * Or what the volume died of.  After an error of the hook writeback_folio tells whether there are
 * any. */
IOMAP_API int iomap_writeback_reserve(struct iomap_writeback_ctx *wpc, unsigned nr_ioends);
/* Before blocking on a latch */
IOMAP_API int iomap_writeback_kick(struct iomap_writeback_ctx *wpc);
/* End: the rest goes to the hook, with error, which is then what this returns; what is reserved is
 * given back. */
IOMAP_API int iomap_writeback_finish(struct iomap_writeback_ctx *wpc, int error);

/* ---- for writeback_range of clients with a context of their own ---- */

/* The pending context is full: put it on the ready list. */
IOMAP_API void iomap_writeback_close(struct iomap_writeback_ctx *wpc);
/* A queued range has arrived or failed; the last one ends writeback.  Once per range.  Any
 * thread. */
IOMAP_API void iomap_finish_folio_write(struct iomap_inode *inode, struct iomap_folio *folio,
					uint64_t len, int error);

IOMAP_END_DECLS
#endif
