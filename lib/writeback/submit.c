/* SPDX-License-Identifier: MIT */
/*
 * writeback/submit.c - what a submit hook does with an ioend: looks at its folios, sends it, keeps
 * it, or ends it with an error.
 *
 * Each ioend goes through send() once.  There our end_io takes the place of the client's (it is
 * called by ours, finish.c), so that an error found here, one of the device and one of the client
 * arrive by the same way: from the next poll.  The ioends of a killed inode end here, whoever held
 * them (H13), and those of a dead volume.
 *
 * Threads: any; the ioend is the caller's until send() and nobody's of ours after.
 */
#include "base/log.h"
#include "base/trace.h"
#include "block/block.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

static void bio_ended(struct iomap_bio *bio)
{
	struct iomapi_ioend *px = iomapi_ioend(iomap_ioend_from_bio(bio));

	/* Some of it may be on the device even if the whole failed; before parts go out again. */
	iomapi_inode_note_written(px->ioend.inode, bio->bdev, iomapi_bio_write_seq(bio));
	if (!iomapi_isolate_again(px))
		iomapi_ioend_ended(px);
}

static int no_address(const struct iomap_ioend *ioend)
{
	iomapi_report(ioend->inode->env, .rule = "V4", .callback = "writeback_submit",
		      .field = "addr", .value = ioend->bio.addr, .inode = ioend->inode,
		      .pos = ioend->offset, .text = "an anonymous write was given no address");
	return -EIO;
}

/*
 * From held to sent.  What was cut comes back only when all of its parts were sent: until then it
 * counts as held, for a wait would not bring it (H14).
 */
static void count_sent(struct iomapi_ioend *px)
{
	bool held = px->state & IOMAPI_IOEND_HELD;

	if (!held && (px->first || px->cut)) {
		iomapi_add(&px->room->nr_held, 1);
		held = true;
	}
	px->state = (px->state | IOMAPI_IOEND_SENT) & ~(uint32_t)IOMAPI_IOEND_HELD;
	iomapi_ioend_part_sent(px, held);
	if (px->ioend.parent)
		iomapi_ioend_part_sent(iomapi_ioend(px->ioend.parent), true);
}

static void send(struct iomapi_ioend *px, int error)
{
	struct iomap_ioend *ioend = &px->ioend;
	struct iomap_bio *bio = &ioend->bio;

	if (!error || iomapi_inode_killed(ioend->inode))
		error = iomapi_inode_cancelled(ioend->inode);
	if (!error && bio->addr == IOMAP_NULL_ADDR)
		error = no_address(ioend);
	iomapi_trace(ioend->inode->env, .event = IOMAP_TRACE_IOEND_SUBMIT, .inode = ioend->inode,
		     .bdev = bio->bdev, .pos = ioend->offset, .len = ioend->size,
		     .addr = bio->addr, .flags = ioend->flags, .id = ioend->wb_seq,
		     .why = px->why, .result = error);
	if (ioend->addr == IOMAP_NULL_ADDR)
		ioend->addr = bio->addr;	/* the hook's choice: now it has a place */
	px->end_io = bio->end_io;
	bio->end_io = bio_ended;
	count_sent(px);
	if (error) {
		bio->status = error;
		iomapi_bio_end_later(bio);
		return;
	}
	iomapi_isolate_start(px);
	iomap_bio_submit(bio);
}

IOMAP_API int iomap_ioend_writeback_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx,
					   int error)
{
	struct iomap_ioend *ioend = wb_ctx;

	(void)wpc;
	if (!error && (ioend->flags & IOMAP_IOEND_ANON))
		error = no_address(ioend);
	send(iomapi_ioend(ioend), error);
	return error;
}

IOMAP_API struct iomap_ioend *iomap_ioend_take(struct iomap_writeback_ctx *wpc, void *wb_ctx)
{
	struct iomap_ioend *ioend = wb_ctx;
	struct iomapi_ioend *px = iomapi_ioend(ioend);

	(void)wpc;
	px->state |= IOMAPI_IOEND_HELD;
	iomapi_add(&px->room->nr_held, 1);
	iomap_list_init(&ioend->list);
	return ioend;
}

IOMAP_API void iomap_ioend_submit(struct iomap_ioend *ioend, int error)
{
	send(iomapi_ioend(ioend), error);
}

/* ---- walking ---- */

static struct iomap_folio *walk_to(struct iomapi_ioend *px, uint32_t i, struct iomap_bvec *seg)
{
	const struct iomap_bio *bio = &px->ioend.bio;

	if (i >= bio->nr_segs)
		return NULL;
	px->walk = i;
	*seg = bio->segs[i];
	seg->owner = iomapi_seg_folio(&bio->segs[i]);
	return seg->owner;
}

IOMAP_API struct iomap_folio *iomap_ioend_first(struct iomap_ioend *ioend, struct iomap_bvec *seg)
{
	return walk_to(iomapi_ioend(ioend), 0, seg);
}

IOMAP_API struct iomap_folio *iomap_ioend_next(struct iomap_ioend *ioend, struct iomap_folio *folio,
					       struct iomap_bvec *seg)
{
	struct iomapi_ioend *px = iomapi_ioend(ioend);
	const struct iomap_bio *bio = &ioend->bio;
	uint32_t i = px->walk;

	/* Usually the walk goes on where it was; else look for the folio. */
	if (i >= bio->nr_segs || iomapi_seg_folio(&bio->segs[i]) != folio)
		for (i = 0; i < bio->nr_segs && iomapi_seg_folio(&bio->segs[i]) != folio; i++)
			;
	return walk_to(px, i + 1, seg);
}
