/* SPDX-License-Identifier: MIT */
/*
 * writeback/ioend.c - ioends: how they are built.
 *
 * iomap_add_to_ioend takes from those that the wpc has reserved and falls back to the pool, never
 * waiting.
 *
 * Building is an append at the end or a fresh start.  Under a map that was looked at before both
 * are short: next to nothing is left to check.  A range that does not fit whole is cut, at a
 * multiple of the largest of block, grain and atomic chunk.  A chunk of several ranges is not begun
 * where it might not end: limits of bytes are whole chunks, and of segments there are enough for
 * one.  The number of segments that counts against the device is that of runs of memory, since the
 * transport joins what is adjacent.
 *
 * Once submitted, the bio's end_io is ours (finish.c) and the client's is kept beside it, so that
 * an ioend comes to the client once and with its last word, resent pieces included.
 *
 * Threads: an ioend belongs to one thread at a time; the pool and the counts to all.
 */
#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "block/block.h"
#include "inode/inode.h"
#include "map/map.h"
#include "writeback/writeback.h"

/* ---- building ---- */

/* One range on its way into an ioend. */
struct adding {
	struct iomap_writeback_ctx *wpc;
	struct iomap_folio *folio;
	char *mem;
	int64_t pos, end_pos;
	uint64_t len;			/* of it, what the map covers */
	const struct iomap_bdev_limits *limits;
	struct iomapi_span span;
	bool integrity;
};

/* A client without one has contexts of its own. */
static int no_device(const struct adding *a)
{
	iomapi_report(a->wpc->inode->env, .rule = "V10", .callback = "writeback_range",
		      .field = "bdev", .inode = a->wpc->inode, .pos = a->pos,
		      .text = "an ioend needs a device");
	return -EIO;
}

/* Of what is offered the front that is not taken yet, or less; nothing else, nothing twice: each
 * byte that is added is counted down when it is written. */
static int check_range(const struct adding *a)
{
	const struct iomapi_wpc *st = iomapi_wpc(a->wpc);
	const struct iomap_folio *folio = a->folio;
	uint64_t mask = (1ull << a->wpc->inode->block_bits) - 1;

	if (!a->len || (a->len & mask) || ((uint64_t)a->pos & mask) || a->end_pos <= a->pos)
		return -EINVAL;
	if (a->pos < folio->pos || a->len > folio->size ||
	    (uint64_t)(a->pos - folio->pos) > folio->size - a->len)
		return -EINVAL;
	return a->pos != st->offered_pos || a->len > st->offered_len ? -EINVAL : 0;
}

static uint32_t flags_of(const struct iomap_writeback_ctx *wpc, const struct iomap_folio *folio,
			 int64_t pos)
{
	const struct iomap *map = &wpc->iomap;
	uint32_t flags = 0;

	if (map->type == IOMAP_UNWRITTEN)
		flags |= IOMAP_IOEND_UNWRITTEN;
	if (map->flags & IOMAP_F_SHARED)
		flags |= IOMAP_IOEND_SHARED;
	if (map->flags & IOMAP_F_ANON_WRITE)
		flags |= IOMAP_IOEND_ANON;
	if ((map->flags & IOMAP_F_BOUNDARY) && pos == map->offset)
		flags |= IOMAP_IOEND_BOUNDARY;
	if ((iomapi_load_relaxed(&folio->flags) & IOMAP_FOLIO_DONTCACHE) ||
	    (wpc->wbc->flags & IOMAP_WB_DONTCACHE))
		flags |= IOMAP_IOEND_DONTCACHE;
	return flags;
}

static void trace_map(const struct iomap_writeback_ctx *wpc, int rc)
{
	const struct iomap *map = &wpc->iomap;

	iomapi_trace(wpc->inode->env, .event = IOMAP_TRACE_MAP, .inode = wpc->inode,
		     .bdev = map->bdev, .pos = map->offset, .len = map->length, .addr = map->addr,
		     .type = map->type, .flags = map->flags, .writeback = 1, .result = rc);
}

/* The wpc's map as it stands now: validated, then how much of the range it covers and where. */
static int look_at_map(struct adding *a)
{
	const struct iomap *map = &a->wpc->iomap;
	struct iomap_inode *inode = a->wpc->inode;
	bool anon = map->flags & IOMAP_F_ANON_WRITE;
	uint64_t block = 1ull << inode->block_bits, covered;
	int rc;

	a->span.bdev = map->bdev ? map->bdev : anon ? inode->bdev : NULL;
	a->limits = a->span.bdev ? iomapi_bdev_limits(a->span.bdev) : NULL;
	rc = iomapi_map_check_writeback(inode, map, a->pos, a->len, a->end_pos,
					 a->limits);
	trace_map(a->wpc, rc);
	if (rc)
		return rc;
	/* A map may end at the end of the file, inside the last block. */
	covered = iomapi_round_up((uint64_t)map->offset + map->length - (uint64_t)a->pos, block);
	a->len = iomapi_min(a->len, covered);
	if (map->type == IOMAP_HOLE)
		return 0;
	if (!a->span.bdev)
		return no_device(a);
	a->span.offset = a->pos;
	a->span.addr = anon ? IOMAP_NULL_ADDR : map->addr + (uint64_t)(a->pos - map->offset);
	a->span.flags = flags_of(a->wpc, a->folio, a->pos);
	a->integrity = map->flags & IOMAP_F_INTEGRITY;
	return 0;
}

/* How many of len bytes the ioend has room for; 0: none.  Segments are no more than folios may be
 * in it, so these need no check of their own. */
static uint64_t room_left(const struct iomapi_ioend *px, const struct iomap_folio *folio,
				 const char *mem, uint64_t len)
{
	const struct iomap_bio *bio = &px->ioend.bio;
	bool same = px->last == folio;
	bool follows = mem == px->mem_end;
	uint64_t need = 1;

	if (bio->len && len < px->unit && !(bio->len % px->unit))
		need = px->unit >> px->ioend.inode->block_bits;
	if (bio->max_segs - bio->nr_segs < need - (same && follows))
		return 0;
	if (px->max_runs - px->nr_runs < need - follows)
		return 0;
	return iomapi_min(len, px->max_bytes - bio->len);
}

static void append(struct iomapi_ioend *px, struct iomap_folio *folio, char *mem,
			  int64_t pos, uint64_t len, int64_t end_pos)
{
	struct iomap_ioend *ioend = &px->ioend;
	struct iomap_bio *bio = &ioend->bio;
	struct iomap_bvec *seg = iomapi_ioend_segs(px) + bio->nr_segs;
	bool same = px->last == folio, follows = mem == px->mem_end;

	if (iomapi_unlikely(same && follows)) {
		seg[-1].len += len;
	} else {
		seg->mem = mem;
		seg->len = len;
		seg->owner = folio;
		bio->nr_segs++;
		ioend->nr_folios += !same;
		px->nr_runs += !follows;
	}
	px->last = folio;
	px->mem_end = mem + len;
	px->next_pos = iomapi_end(pos, len);
	bio->len += len;
	ioend->size += len;
	if (iomapi_unlikely(end_pos - pos < (int64_t)len)) {
		ioend->size -= len - (uint64_t)(end_pos - pos);
		px->state |= IOMAPI_IOEND_CLIPPED;
		px->map_end = px->next_pos;	/* nothing follows at once */
	}
}

static void set_limits(struct iomapi_ioend *px, const struct adding *a)
{
	const struct iomap_writeback_control *wbc = a->wpc->wbc;
	uint64_t max = wbc->max_ioend_bytes ? wbc->max_ioend_bytes : IOMAPI_IOEND_BYTES;

	px->max_runs = a->limits->max_segs ? a->limits->max_segs : UINT32_MAX;
	if (a->integrity) {
		/* protection information belongs to one request: it is never split below us */
		px->state |= IOMAPI_IOEND_INTEGRITY;
		if (a->limits->max_bytes)
			max = iomapi_min(max, a->limits->max_bytes);
	}
	px->unit = iomapi_wpc(a->wpc)->unit;
	max = iomapi_min(max, IOMAPI_IOEND_BYTES_MAX);
	px->max_bytes = iomapi_max(px->unit, max - max % px->unit);
}

static void reset_bio(struct iomapi_ioend *px, const struct iomapi_span *span,
		      const struct iomap_writeback_control *wbc)
{
	struct iomap_bio *bio = &px->ioend.bio;	/* as it came from the pool */

	px->ioend.addr = span->addr;
	bio->bdev = span->bdev;
	bio->op = IOMAP_BIO_WRITE;
	bio->addr = span->addr;
	bio->ioq = wbc->ioq;
	bio->priority = wbc->priority;
	bio->grain = wbc->grain;
	bio->atomic_bytes = wbc->atomic_bytes;
	if (wbc->flags & IOMAP_WB_FUA)
		bio->flags |= IOMAP_BIO_FUA;
	if (wbc->flags & IOMAP_WB_ISOLATE)
		px->state |= IOMAPI_IOEND_ISOLATE;
}

/* Start another, from what is reserved: it is pending then. */
static int begin(struct iomap_writeback_ctx *wpc, const struct iomapi_span *span)
{
	struct iomapi_ioend *px = iomapi_ioend_take_reserved(wpc);
	int rc;

	if (!px)
		return -EAGAIN;
	iomapi_ioend_reset(px, wpc->inode, span->offset, span->flags);
	rc = iomapi_inode_ioend_start(wpc->inode, &px->ioend);
	if (rc) {
		iomapi_ioend_free(px);
		return rc;
	}
	px->state |= IOMAPI_IOEND_COUNTED;
	px->why = iomapi_wpc(wpc)->why;
	reset_bio(px, span, wpc->wbc);
	wpc->wb_ctx = &px->ioend;
	return 0;
}

/* What follows under the very same map needs no second look at it, up to here. */
static void remember_map(struct iomapi_ioend *px, const struct adding *a)
{
	const struct iomap *map = &a->wpc->iomap;
	uint64_t len = map->length, size = iomapi_load_relaxed(&a->limits->size);

	px->map = (struct iomapi_place){
		.addr = map->addr, .offset = map->offset, .length = map->length,
		.bdev = map->bdev, .type = map->type, .flags = map->flags,
	};
	px->dontcache_mask = a->wpc->wbc->flags & IOMAP_WB_DONTCACHE ? 0 : IOMAP_FOLIO_DONTCACHE;
	px->dontcache = px->ioend.flags & IOMAP_IOEND_DONTCACHE ? px->dontcache_mask : 0;
	if (map->addr != IOMAP_NULL_ADDR)
		len = iomapi_min(len, size - map->addr);
	px->map_end = iomapi_round_down(iomapi_end(map->offset, len),
					(int64_t)1 << a->wpc->inode->block_bits);
	if (px->state & IOMAPI_IOEND_CLIPPED)
		px->map_end = px->next_pos;
}

/* The room in the pending ioend, or why there is none. */
static uint64_t try_pending(struct adding *a, enum iomap_trace_why *why)
{
	struct iomap_ioend *ioend = a->wpc->wb_ctx;
	struct iomapi_ioend *px = iomapi_ioend(ioend);
	uint64_t room;

	*why = iomapi_cannot_follow(ioend, &a->span);
	if (*why == IOMAP_WHY_FIRST && !(px->state & IOMAPI_IOEND_INTEGRITY) != !a->integrity)
		*why = IOMAP_WHY_KIND;
	if (*why != IOMAP_WHY_FIRST)
		return 0;
	room = room_left(px, a->folio, a->mem, a->len);
	if (!room)
		*why = IOMAP_WHY_SIZE;
	return room;
}

static __attribute__((noinline)) int64_t trace_added(struct iomap_writeback_ctx *wpc,
						     const struct iomapi_ioend *px, int64_t pos,
						     uint64_t len, bool fresh)
{
	iomapi_trace(wpc->inode->env, .event = IOMAP_TRACE_ADD_TO_IOEND, .inode = wpc->inode,
		     .bdev = px->ioend.bio.bdev, .pos = pos, .len = len,
		     .addr = px->ioend.flags & IOMAP_IOEND_ANON ? IOMAP_NULL_ADDR :
			     px->ioend.addr + (uint64_t)(pos - px->ioend.offset),
		     .type = wpc->iomap.type, .flags = px->ioend.flags, .id = px->ioend.wb_seq,
		     .why = px->why, .result = fresh);
	return (int64_t)len;
}

static int64_t add(struct adding *a)
{
	struct iomap_writeback_ctx *wpc = a->wpc;
	struct iomapi_wpc *st = iomapi_wpc(wpc);
	struct iomapi_ioend *px;
	enum iomap_trace_why why;
	uint64_t room = 0;
	bool fresh;
	int rc;

	rc = check_range(a);
	if (!rc)
		rc = look_at_map(a);
	if (rc)
		return rc;
	if (wpc->iomap.type == IOMAP_HOLE)
		return (int64_t)a->len;
	if (wpc->wb_ctx) {
		room = try_pending(a, &why);
		if (!room)
			iomapi_close(wpc, why);
	}
	fresh = !room;
	if (fresh) {
		rc = begin(wpc, &a->span);
		if (rc)
			return rc;
		set_limits(iomapi_ioend(wpc->wb_ctx), a);
		room = room_left(iomapi_ioend(wpc->wb_ctx), a->folio, a->mem, a->len);
	}
	px = iomapi_ioend(wpc->wb_ctx);
	append(px, a->folio, a->mem, a->pos, room, a->end_pos);
	remember_map(px, a);
	st->added += room;
	st->offered_pos = iomapi_end(st->offered_pos, room);
	st->offered_len -= (uint32_t)room;
	return trace_added(wpc, px, a->pos, room, fresh);
}

static __attribute__((noinline)) int64_t add_any(struct iomap_writeback_ctx *wpc,
						 struct iomap_folio *folio, int64_t pos,
						 uint64_t len, int64_t end_pos, char *mem)
{
	iomapi_wpc(wpc)->adds++;
	return add(&(struct adding){ .wpc = wpc, .folio = folio, .mem = mem, .pos = pos,
				     .end_pos = end_pos, .len = len });
}

static inline bool same_map(const struct iomap *a, const struct iomapi_place *b)
{
	return a->addr == b->addr && a->offset == b->offset && a->length == b->length &&
	       a->bdev == b->bdev && a->type == b->type && a->flags == b->flags;
}

/*
 * A column: is it a folio, whole as it was offered, under the map of the last one, and inside what
 * that is good for?  Most pages come like this; everything else, and what the caller gets wrong,
 * goes the long way.
 */
static inline bool is_known(const struct iomap_writeback_ctx *wpc, const struct iomapi_ioend *px,
			    const struct iomap_folio *folio, int64_t pos, uint64_t len,
			    int64_t end_pos)
{
	const struct iomapi_wpc *st = (const void *)wpc->opaque;

	if (pos != st->offered_pos || len != st->offered_len || end_pos != st->offered_end)
		return false;
	if ((uint64_t)(pos - folio->pos) >= folio->size)
		return false;
	if ((int64_t)len > px->map_end - pos)
		return false;
	if (len < px->unit)	/* a part of a chunk: room_left counts */
		return false;
	if (!same_map(&wpc->iomap, &px->map))
		return false;
	if ((iomapi_load_relaxed(&folio->flags) & px->dontcache_mask) != px->dontcache)
		return false;
	return folio != px->last && end_pos - pos >= (int64_t)len;
}

/* Another one: is there room right behind the last? */
static inline bool follows(const struct iomapi_ioend *px, int64_t pos, uint64_t len,
			   const char *mem)
{
	const struct iomap_bio *bio = &px->ioend.bio;

	if (pos != px->next_pos || bio->nr_segs >= bio->max_segs)
		return false;
	if (mem != px->mem_end && px->nr_runs >= px->max_runs)
		return false;
	return len <= px->max_bytes - bio->len;
}

/* All that was offered of it. */
static inline void append_folio(struct iomap_writeback_ctx *wpc, struct iomapi_ioend *px,
				struct iomap_folio *folio, char *mem, int64_t pos, uint64_t len)
{
	struct iomapi_wpc *st = iomapi_wpc(wpc);
	struct iomap_bvec *seg = iomapi_ioend_segs(px) + px->ioend.bio.nr_segs++;

	seg->mem = mem;
	seg->len = len;
	seg->owner = folio;
	px->nr_runs += mem != px->mem_end;
	px->last = folio;
	px->mem_end = mem + len;
	px->next_pos = pos + (int64_t)len;
	px->ioend.nr_folios++;
	px->ioend.bio.len += len;
	px->ioend.size += len;
	st->added += (uint32_t)len;
	st->offered_len = 0;
}

/* A gap: what comes behind it lies in the same extent, at an address of its own. */
static inline bool may_leave_gap(const struct iomapi_ioend *px, int64_t pos, uint64_t len)
{
	if (pos <= px->next_pos || len > px->max_bytes)
		return false;
	if (px->map.flags & IOMAP_F_ANON_WRITE)
		return false;
	return px->map.type == IOMAP_MAPPED || px->map.type == IOMAP_UNWRITTEN;
}

/* The pending one is closed and another begun, with the same limits and the same map. */
static int begin_behind_gap(struct iomap_writeback_ctx *wpc, const struct iomap_folio *folio,
			    int64_t pos)
{
	const struct iomapi_ioend *old = iomapi_ioend(wpc->wb_ctx);
	const struct iomapi_span span = {
		.offset = pos, .addr = old->map.addr + (uint64_t)(pos - old->map.offset),
		.bdev = old->map.bdev, .flags = flags_of(wpc, folio, pos),
	};
	struct iomapi_ioend *px;
	int rc;

	trace_map(wpc, 0);
	iomapi_close(wpc, IOMAP_WHY_FILE);
	rc = begin(wpc, &span);
	if (rc)
		return rc;
	px = iomapi_ioend(wpc->wb_ctx);
	px->state |= old->state & IOMAPI_IOEND_INTEGRITY;
	px->max_runs = old->max_runs;
	px->max_bytes = old->max_bytes;
	px->unit = old->unit;
	px->map = old->map;
	px->map_end = old->map_end;
	px->dontcache_mask = old->dontcache_mask;
	px->dontcache = old->dontcache;
	return 0;
}

static __attribute__((noinline)) int64_t add_behind_gap(struct iomap_writeback_ctx *wpc,
							struct iomap_folio *folio, int64_t pos,
							uint64_t len, char *mem)
{
	struct iomapi_ioend *px;
	int rc = begin_behind_gap(wpc, folio, pos);

	if (rc) {
		iomapi_wpc(wpc)->adds++;
		return rc;
	}
	px = iomapi_ioend(wpc->wb_ctx);
	append_folio(wpc, px, folio, mem, pos, len);
	return trace_added(wpc, px, pos, len, true);
}

/* wpc, px and folio are in the cache by now, so that this costs its instructions: few. */
IOMAP_API int64_t iomap_add_to_ioend(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
				     int64_t pos, uint64_t len, int64_t end_pos, const void *mem)
{
	/* the segments of a write are only read */
	char *from = mem ? (char *)(uintptr_t)mem : (char *)folio->mem + (pos - folio->pos);
	struct iomapi_ioend *px;

	if (!wpc->wb_ctx)
		return add_any(wpc, folio, pos, len, end_pos, from);
	px = iomapi_ioend(wpc->wb_ctx);
	if (!is_known(wpc, px, folio, pos, len, end_pos))
		return add_any(wpc, folio, pos, len, end_pos, from);
	if (!follows(px, pos, len, from)) {
		if (may_leave_gap(px, pos, len))
			return add_behind_gap(wpc, folio, pos, len, from);
		return add_any(wpc, folio, pos, len, end_pos, from);
	}
	append_folio(wpc, px, folio, from, pos, len);
	if (iomapi_traced(wpc->inode->env))
		return trace_added(wpc, px, pos, len, false);
	return (int64_t)len;
}

IOMAP_API struct iomap_ioend *iomap_ioend_pending(struct iomap_writeback_ctx *wpc)
{
	return wpc->wb_ctx;
}
