/* SPDX-License-Identifier: MIT */
/*
 * writeback/finish.c - from the end of a bio to the end of writeback of its folios.
 *
 *	bio ends -> iomapi_ioend_ended -> the client's end_io, or ours
 *	    good: finished where it was reaped     failed: deferred, then finished in deferred work
 *	iomap_finish_ioends -> each merged one -> its folios -> the inode's list -> the pool
 *
 * The error of an ioend is the first that anybody set, by one compare-and-swap: device, front
 * piece, client.  It reaches the inode, found through the ioend, before any folio is let go: a
 * folio whose last range is over may belong to another file a moment later.  The ioend leaves the
 * inode's list after its folios, and after that the inode may be gone.
 *
 * A front piece that was split off only reports to the ioend it was cut from.
 *
 * Folios completed are counted per environment; before there are eight full ioends' worth of them
 * the thread yields, whether they came merged in one list or one by one (R13).
 *
 * Threads: any; a callback may take leaf locks only, so a failed ioend is not finished in one.
 */
#include "base/trace.h"
#include "cache/cache.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

/* ---- folios ---- */

/* The library's last touch of a frame; and of the inode, if it was the last of a client that has
 * contexts of its own. */
static void frame_written(struct iomap_inode *inode, struct iomap_folio *folio)
{
	struct iomap_env *env = inode->env;
	int error = folio->error;

	iomapi_trace(env, .event = IOMAP_TRACE_FOLIO_WRITTEN, .inode = inode,
		     .pos = folio->pos, .len = folio->size, .result = error);
	iomapi_folio_clear_flags(env, folio, IOMAP_FOLIO_WRITEBACK);
	iomapi_callback_start(env);
	inode->ops->folio_written(folio, error);
	iomapi_callback_end(env);
}

void iomapi_range_written(struct iomap_inode *inode, struct iomap_folio *folio, uint64_t len,
			  int error)
{
	if (!iomapi_folio_sub_write_pending(folio, len, error))
		return;
	if (inode->flags & IOMAP_INODE_FRAMES)
		frame_written(inode, folio);
	else
		iomapi_folio_end_writeback(folio);
}

IOMAP_API void iomap_finish_folio_write(struct iomap_inode *inode, struct iomap_folio *folio,
					uint64_t len, int error)
{
	/* of the dead nobody can note that it arrived: as for an ioend, it counts as not written */
	if (!error)
		error = iomap_volume_error(inode->volume);
	if (error)
		iomap_inode_set_error(inode, error);
	iomapi_range_written(inode, folio, len, error);
}

/* ---- the ranges of one ioend ---- */

#define BATCH 64

static void finish_frames(struct iomapi_ioend *px, const struct iomap_bvec *segs, uint32_t nr,
			  int error)
{
	struct iomap_inode *inode = px->ioend.inode;
	/* pieces tell which ranges failed; the client's word, about all, has cleared PIECES */
	bool by_piece = error && (px->state & IOMAPI_IOEND_PIECES);

	for (uint32_t i = 0; i < nr; i++) {
		int mine = by_piece && !iomapi_seg_failed(&segs[i]) ? 0 : error;

		iomapi_range_written(inode, iomapi_seg_folio(&segs[i]), segs[i].len, mine);
	}
}

static void finish_cached(const struct iomap_bvec *segs, uint32_t nr, int error)
{
	struct iomap_folio *ended[BATCH];
	unsigned nr_ended = 0;

	for (uint32_t i = 0; i < nr; i++) {
		struct iomap_folio *folio = iomapi_seg_folio(&segs[i]);

		if (!iomapi_folio_sub_write_pending(folio, segs[i].len, error))
			continue;
		ended[nr_ended++] = folio;
		if (nr_ended == BATCH) {
			iomapi_folios_end_writeback(ended, nr_ended);
			nr_ended = 0;
		}
	}
	if (nr_ended)
		iomapi_folios_end_writeback(ended, nr_ended);
}

static void count_and_yield(struct iomapi_writeback *room, uint32_t nr_folios)
{
	if (iomapi_add(&room->since_yield, nr_folios) < IOMAPI_YIELD_FOLIOS - IOMAPI_IOEND_FOLIOS)
		return;
	__atomic_store_n(&room->since_yield, 0, __ATOMIC_RELAXED);
	iomapi_yield(room->env, "finish_ioends");
}

/* The last piece is over. */
static void complete(struct iomapi_ioend *px)
{
	struct iomap_ioend *ioend = &px->ioend;
	struct iomap_inode *inode = ioend->inode;
	struct iomapi_writeback *room = px->room;
	uint32_t nr_folios = ioend->nr_folios, nr = px->first + ioend->bio.nr_segs;
	int error = ioend->error;

	iomapi_ioend_restore(px);
	if (ioend->flags & IOMAP_IOEND_DIRECT)
		nr_folios = 0;
	else if (inode->flags & IOMAP_INODE_FRAMES)
		finish_frames(px, iomapi_ioend_segs(px), nr, error);
	else
		finish_cached(iomapi_ioend_segs(px), nr, error);
	if (px->state & IOMAPI_IOEND_COUNTED)
		iomapi_inode_ioend_end(inode, ioend);
	iomapi_ioend_free(px);
	count_and_yield(room, nr_folios);
}

/* ---- ioends ---- */

void iomapi_ioend_error(struct iomap_ioend *ioend, int error)
{
	int32_t none = 0;

	if (error)
		(void)iomapi_cas(&ioend->error, &none, error);
}

static void finish_one(struct iomap_ioend *ioend, int error)
{
	struct iomap_ioend *parent = ioend->parent;

	if (parent) {
		/* ended by its holder without being sent */
		if (!(iomapi_ioend(ioend)->state & IOMAPI_IOEND_SENT))
			iomapi_ioend_part_sent(iomapi_ioend(parent), true);
		iomapi_ioend_free(iomapi_ioend(ioend));
		ioend = parent;
	}
	iomapi_ioend_error(ioend, error);
	if (iomapi_ioend_last_part(&ioend->remaining))
		complete(iomapi_ioend(ioend));
}

/* An error of the client's own: of all ranges, whatever the device said of its pieces. */
static void whole_error(struct iomap_ioend *ioend, int error)
{
	if (error && error != ioend->bio.status)
		iomapi_ioend(ioend)->state &= ~(uint32_t)IOMAPI_IOEND_PIECES;
}

static bool in_callback_only(struct iomap_env *env)
{
	const struct iomapi_self *self = iomapi_self(env);

	return self->in_callback && !self->in_work;
}

IOMAP_API void iomap_finish_ioends(struct iomap_ioend *ioend, int error)
{
	struct iomap_list merged, *l;
	int told = error;

	whole_error(ioend, told);
	iomapi_ioend_error(ioend, error);
	error = iomapi_load(&ioend->error);
	if (error) {
		if (in_callback_only(ioend->inode->env)) {
			iomap_ioend_defer(ioend);
			return;
		}
		if (!(ioend->flags & IOMAP_IOEND_DIRECT))
			iomap_inode_set_error(ioend->inode, error);
	}
	iomapi_list_init(&merged);
	while ((l = iomapi_list_pop(&ioend->merged)))
		iomapi_list_add_tail(&merged, l);
	finish_one(ioend, error);
	while ((l = iomapi_list_pop(&merged))) {
		ioend = iomap_container_of(l, struct iomap_ioend, list);
		whole_error(ioend, told);
		finish_one(ioend, error);
	}
}

IOMAP_API void iomap_ioend_defer(struct iomap_ioend *ioend)
{
	iomapi_inode_defer(ioend->inode, ioend);
}

static void default_end_io(struct iomap_ioend *ioend)
{
	if (ioend->error)
		iomap_ioend_defer(ioend);
	else
		iomap_finish_ioends(ioend, 0);
}

/* Nobody can note any more where it lies: all of it counts as not written. */
static void dead_error(struct iomapi_ioend *px)
{
	int error = iomap_volume_error(px->ioend.inode->volume);

	if (iomapi_likely(!error))
		return;
	iomapi_ioend_error(&px->ioend, error);
	px->state &= ~(uint32_t)IOMAPI_IOEND_PIECES;
}

void iomapi_ioend_ended(struct iomapi_ioend *px)
{
	struct iomap_ioend *ioend = &px->ioend;
	struct iomap_bio *bio = &ioend->bio;

	iomapi_ioend_error(ioend, bio->status);
	dead_error(px);
	if (bio->op == IOMAP_BIO_ZONE_APPEND)
		ioend->addr = bio->addr;	/* the device's choice */
	iomapi_trace(ioend->inode->env, .event = IOMAP_TRACE_IOEND_END, .inode = ioend->inode,
		     .bdev = bio->bdev, .pos = ioend->offset, .len = ioend->size,
		     .addr = ioend->addr, .flags = ioend->flags, .id = ioend->wb_seq,
		     .why = px->why, .result = bio->status);
	bio->end_io = px->end_io;
	if (px->end_io)
		px->end_io(bio);
	else
		default_end_io(ioend);
}
