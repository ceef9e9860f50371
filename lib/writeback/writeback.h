/* SPDX-License-Identifier: MIT */
/*
 * writeback/writeback.h - what the files of this room share.
 *
 * Two layers.  The upper one (writepages, range, frames) walks folios and offers dirty ranges; it
 * knows contexts only as list nodes.  The lower one (stock, ioend, submit, merge, split, finish,
 * isolate) is what a client with a block device uses from its two hooks: ioends out of one pool per
 * environment.
 *
 *	free -> reserved (of a wpc) -> pending (wpc->wb_ctx) -> ready (wpc->ready) -> hook
 *	     hook -> held (taken) -> sent -> ended -> deferred, perhaps -> free
 *
 * Up to the hook an ioend belongs to the thread of its wpc, then to whoever the hook gave it.
 */
#ifndef IOMAPI_WRITEBACK_H
#define IOMAPI_WRITEBACK_H

#include <iomap/ioend.h>
#include <iomap/trace.h>

#include "base/env.h"

/* Limits.  How many ioends there are, and ranges in each, the environment's options say. */
#define IOMAPI_IOEND_FOLIOS	4096u		/* I98 */
#define IOMAPI_IOEND_BYTES	(4u << 20)	/* default of wbc->max_ioend_bytes */
#define IOMAPI_IOEND_BYTES_MAX	(1u << 30)
#define IOMAPI_YIELD_FOLIOS	(8 * IOMAPI_IOEND_FOLIOS)	/* completed between two (R13) */
#define IOMAPI_RESERVE_MORE_NS	1000000	/* for each of those worth waiting for */
#define IOMAPI_RESERVE_YIELDS	64u

/* The room's state in an environment. */
struct iomapi_writeback {
	struct iomap_env *env;
	struct iomap_bio_pool *pool;	/* bios inside struct iomapi_ioend */
	uint32_t nr_ioends;
	iomap_word nr_held;		/* taken by a hook, not submitted, in whole or in part */
	iomap_word nr_sent;		/* submitted and not yet free: waiting brings them back */
	iomap_word since_yield;		/* folios completed */
};

/* What of a map decides where bytes go, and as what. */
struct iomapi_place {
	uint64_t addr;
	int64_t offset;
	uint64_t length;
	struct iomap_bdev *bdev;
	uint16_t type, flags;
};

/* The private half of an ioend stands before the public one. */
struct iomapi_ioend {
	struct iomapi_ioend *next;	/* reserved by a wpc */
	struct iomapi_writeback *room;
	uint32_t state;			/* below */
	uint32_t why;			/* it began: enum iomap_trace_why */
	uint32_t nr_runs;		/* segments, counting memory that follows memory once */
	uint32_t max_runs;		/* the device's */
	const struct iomap_folio *last;	/* of the last segment.. */
	char *mem_end;			/* ..and where its memory ends */
	int64_t next_pos;		/* where the last range ended, in the file */
	uint32_t dontcache_mask;	/* flags of a folio that must be.. */
	uint32_t dontcache;		/* ..as these are */
	int64_t map_end;		/* up to here map is known to be good.. */
	uint64_t max_bytes;
	uint64_t unit;			/* cuts fall on multiples of it, from the start */
	iomap_word unsent;		/* parts not submitted: itself, its front pieces */
	uint32_t walk;			/* segment that iomap_ioend_first/next gave last */
	uint32_t first;			/* segments gone to front pieces.. */
	uint64_t cut;			/* ..and bytes of the next one */
	uint32_t resend;		/* segment being sent alone (ISOLATE).. */
	uint32_t nr_resend;		/* ..of so many; 0: not begun */
	int32_t resend_status;		/* first of those that failed again */
	void (*end_io)(struct iomap_bio *bio);	/* the client's, while ours is in the bio */
	void (*piece_end)(struct iomap_bio *bio, uint64_t off, uint64_t len, int status);
	struct iomapi_place map;	/* ..of the last range that was looked at */
	struct iomap_ioend ioend;	/* its bio is last, segments follow */
};
enum {				/* iomapi_ioend.state */
	IOMAPI_IOEND_HELD	= 1 << 0,
	IOMAPI_IOEND_SENT	= 1 << 1,
	IOMAPI_IOEND_COUNTED	= 1 << 2,	/* in the inode's list of those in flight */
	IOMAPI_IOEND_INTEGRITY	= 1 << 3,	/* one request of the device */
	IOMAPI_IOEND_ISOLATE	= 1 << 4,
	IOMAPI_IOEND_PIECES	= 1 << 5,	/* failed ranges are marked one by one */
	IOMAPI_IOEND_CLIPPED	= 1 << 6,	/* ends at the end of the file: nothing follows */
};
static inline struct iomapi_ioend *iomapi_ioend(struct iomap_ioend *ioend)
{
	return iomap_container_of(ioend, struct iomapi_ioend, ioend);
}

/* One part less; true: it was the last.  Who has the last one is alone with the count. */
static inline bool iomapi_ioend_last_part(iomap_word *parts)
{
	return iomapi_load(parts) == 1 || !iomapi_sub(parts, 1);
}

/* Segments of a range whose piece failed carry a mark in their owner, a pointer to a folio. */
static inline struct iomap_folio *iomapi_seg_folio(const struct iomap_bvec *seg)
{
	return (struct iomap_folio *)((uintptr_t)seg->owner & ~(uintptr_t)1);
}
static inline bool iomapi_seg_failed(const struct iomap_bvec *seg)
{
	return (uintptr_t)seg->owner & 1;
}

/* All segments, those gone to front pieces included; bio.segs is what is left to send. */
static inline struct iomap_bvec *iomapi_ioend_segs(struct iomapi_ioend *px)
{
	return (struct iomap_bvec *)(void *)(&px->ioend.bio + 1);
}

/* The library's half of a wpc. */
struct iomapi_wpc {			/* lies in wpc->opaque */
	struct iomapi_ioend *reserved;
	uint32_t nr_reserved;
	uint16_t state;			/* IOMAPI_WPC_* */
	uint16_t why;			/* the next ioend begins, if nothing better is known */
	uint32_t added;			/* bytes taken by iomap_add_to_ioend.. */
	uint32_t adds;			/* ..and how often it did so the long way; both wrap */
	uint32_t unit;			/* wbc->grain and atomic_bytes and the block: the largest */
	uint32_t offered_len;		/* the range that the client has now, less what it took.. */
	int64_t offered_pos, offered_end;	/* ..and the end of the file for it */
} __attribute__((may_alias));
_Static_assert(sizeof(struct iomapi_wpc) <= sizeof(((struct iomap_writeback_ctx *)0)->opaque),
	       "the private part fits");
enum { IOMAPI_WPC_STARTED = 1 << 0 };
static inline struct iomapi_wpc *iomapi_wpc(struct iomap_writeback_ctx *wpc)
{
	return (struct iomapi_wpc *)(void *)wpc->opaque;
}

/* ---- frames.c: contexts ---- */
/* Before anything else with a wpc: 0, or -EINVAL for what the caller forgot. */
int iomapi_wpc_start(struct iomap_writeback_ctx *wpc);
/* The pending context moves to the ready list. */
void iomapi_close(struct iomap_writeback_ctx *wpc, enum iomap_trace_why why);
/* Hand the ready contexts to the hook; no folio lock held.  The first error. */
int iomapi_submit_ready(struct iomap_writeback_ctx *wpc, int error);
/* nr ioends for the wpc; submits and waits where it must, no folio lock held.  held_too: also for
 * those that a client holds; else -EAGAIN where only its holder can free one.  -EAGAIN under
 * NOWAIT, -EINVAL: more than there are, -EDEADLK: in a callback. */
int iomapi_reserve(struct iomap_writeback_ctx *wpc, unsigned nr, bool held_too, int *hook_error);
int iomapi_writeback_frame(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio);

/* ---- range.c ---- */
/* What became of a folio's ranges. */
struct iomapi_offer {
	uint64_t queued;	/* bytes that somebody will finish */
	int error;		/* the rest was not offered, or not taken */
	bool stopped;		/* no ioend left: from here on it stays dirty.. */
	size_t off;		/* ..from here */
};
void iomapi_offer_range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, size_t off,
			size_t len, int64_t end_pos, struct iomapi_offer *offer);
/* A cached folio: locked, dirty, attached, not under writeback, an ioend reserved.  0, or 1: part
 * of it stays dirty for want of ioends; or the error. */
int iomapi_writeback_cached(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio);

/* ---- stock.c ---- */
struct iomapi_writeback *iomapi_writeback(struct iomap_env *env);
/* One more for the wpc, without waiting; false: the pool is empty. */
bool iomapi_ioend_reserve_one(struct iomap_writeback_ctx *wpc);
/* One of those reserved, or else of the pool; NULL: that is empty. */
struct iomapi_ioend *iomapi_ioend_take_reserved(struct iomap_writeback_ctx *wpc);
/* As it begins, but for room, bio and segments. */
void iomapi_ioend_reset(struct iomapi_ioend *px, struct iomap_inode *inode, int64_t offset,
			uint32_t flags);
void iomapi_ioend_unreserve(struct iomap_writeback_ctx *wpc);	/* all of them */
void iomapi_ioend_free(struct iomapi_ioend *px);
/* One to go on with what px begins (a front piece): its inode, flags, keys, device; NULL: none. */
struct iomapi_ioend *iomapi_ioend_new_piece(struct iomapi_ioend *px);

/* ---- merge.c: predicates ---- */
/* What wants to follow an ioend: a range, or another ioend. */
struct iomapi_span {
	int64_t offset;
	uint64_t addr;
	struct iomap_bdev *bdev;
	uint32_t flags;		/* of the ioend it would be */
};
/* IOMAP_WHY_FIRST (0): it may follow. */
enum iomap_trace_why iomapi_cannot_follow(const struct iomap_ioend *ioend,
					  const struct iomapi_span *next);

/* ---- split.c ---- */
/* One part of it less is kept by a holder; with the last it counts as sent. */
void iomapi_ioend_part_sent(struct iomapi_ioend *px, bool held);
void iomapi_ioend_restore(struct iomapi_ioend *px);	/* a segment cut in two is whole again */

/* ---- finish.c ---- */
/* The first error of an ioend wins (H6). */
void iomapi_ioend_error(struct iomap_ioend *ioend, int error);
void iomapi_ioend_ended(struct iomapi_ioend *px);	/* its bio is through, resends included */
/* One more range of a folio is over: frames' and cached folios' end. */
void iomapi_range_written(struct iomap_inode *inode, struct iomap_folio *folio, uint64_t len,
			  int error);

/* ---- isolate.c ---- */
/* Before the bio goes out: ask for the status of its pieces where somebody needs it. */
void iomapi_isolate_start(struct iomapi_ioend *px);
/* The bio ended: true, a range that failed goes out again. */
bool iomapi_isolate_again(struct iomapi_ioend *px);

extern const struct iomapi_room iomapi_room_writeback;

#endif
