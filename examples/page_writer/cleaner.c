/* SPDX-License-Identifier: MIT */
/*
 * cleaner.c - a page cleaner: dirty frames become few large writes, never ahead of the log.
 *
 * The way of a frame: send copies it into its slot under the latch, puts the checksum into the copy
 * and hands a transient folio to the library.  range has the frame's place mapped and raises the
 * ioend's client_max to the page's LSN; submit gives the ioend to the database, whose log sends it
 * when it is that far.  folio_written is the end: the frame is clean up to what was sent, or stays
 * dirty.
 *
 * Threads  All of it runs in the cleaner's thread but folio_written, which runs in whoever reaps.
 *          A frame belongs to one cleaner, and a slot to one frame at a time: the one that was
 *          sent must have been waited for before the next is.
 */
#include "cleaner.h"

uint64_t page_sum(const struct page *page)
{
	uint64_t sum = page->lsn ^ page->number << 32;

	for (size_t i = 0; i < WORDS; i++)
		sum = (sum ^ page->words[i]) * 0x9e3779b97f4a7c15u;
	return sum;
}

bool frame_is_dirty(const struct frame *frame)
{
	return frame->page->lsn != frame->written_lsn;
}

/* Once per queued folio, its last touch by the library; only success makes the frame clean. */
static void folio_written(struct iomap_folio *folio, int error)
{
	struct slot *slot = folio->owner;
	struct cleaner *cl = slot->cleaner;

	if (!error)
		slot->frame->written_lsn = slot->copy.lsn;
	__atomic_add_fetch(error ? &cl->nr_failed : &cl->nr_frames, 1, __ATOMIC_RELAXED);
	iomap_folio_fini(folio);
	slot->frame = NULL;
}

/* One map holds for a frame at least, hence pos and len are those of the folio. */
static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	struct slot *slot = folio->owner;
	struct iomap_ioend *ioend;
	int64_t done;

	slot->cleaner->map(wpc, &slot->copy);
	done = iomap_add_to_ioend(wpc, folio, pos, len, end_pos, &slot->copy);
	ioend = done > 0 ? iomap_ioend_pending(wpc) : NULL;	/* holds all of the range */
	if (ioend && ioend->client_max < slot->copy.lsn)
		ioend->client_max = slot->copy.lsn;		/* log before data, per ioend */
	return done;
}

/* No latch is held here, and nothing here waits. */
static int submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct cleaner *cl = wpc->owner;
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx);

	__atomic_add_fetch(&cl->nr_ioends, 1, __ATOMIC_RELAXED);
	if (error)
		iomap_ioend_submit(ioend, error);	/* unsent; ends in folio_written too */
	else
		cl->hand_over(cl, ioend);
	return error;
}

const struct iomap_inode_ops space_ops = {
	.struct_size = sizeof(space_ops), .folio_written = folio_written,
};
static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = range, .writeback_submit = submit,
};

/*
 * When this returns the frame is on its way, or untouched; never in between.  The copy is what is
 * sent, so the frame may change again as soon as the latch is free.
 */
static int send(struct iomap_writeback_ctx *wpc, struct frame *frame)
{
	struct cleaner *cl = wpc->owner;
	struct slot *slot = frame->slot;
	int rc = iomap_writeback_reserve(wpc, 2);	/* may wait, so before the latch */
	bool dirty;

	if (rc)
		return rc;
	iomap_mutex_lock(cl->env, &frame->latch);
	dirty = frame_is_dirty(frame);
	if (dirty)
		slot->copy = *frame->page;
	iomap_mutex_unlock(cl->env, &frame->latch);
	if (!dirty)
		return 0;
	slot->copy.sum = page_sum(&slot->copy);
	slot->frame = frame;
	slot->cleaner = cl;
	iomap_folio_init(&slot->folio, wpc->inode, frame->pos, frame->page, FRAME, slot);
	iomap_folio_mark_dirty(&slot->folio, 0, FRAME);
	rc = iomap_writeback_folio(wpc, &slot->folio);
	if (rc)
		folio_written(&slot->folio, rc);	/* nothing was queued: nobody calls us */
	return rc;
}

int cleaner_clean(struct cleaner *cl, struct iomap_inode *space, struct frame *const *frames,
		  unsigned nr)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL,
		.grain = FRAME,			/* a page is never cut between two requests */
		.flags = IOMAP_WB_ISOLATE,	/* one bad sector does not fail its neighbours */
	};
	struct iomap_writeback_ctx wpc = {
		.inode = space, .wbc = &wbc, .ops = &wb_ops, .owner = cl,
	};
	int rc = 0, finished;

	for (unsigned i = 0; !rc && i < nr; i++)
		rc = send(&wpc, frames[i]);
	finished = iomap_writeback_finish(&wpc, 0);
	return rc ? rc : finished;
}
