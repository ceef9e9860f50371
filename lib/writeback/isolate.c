/* SPDX-License-Identifier: MIT */
/*
 * writeback/isolate.c - one bad sector does not fail its neighbours.
 *
 * Where folios are told their own error (frames) or failed ranges are to be tried again alone
 * (IOMAP_WB_ISOLATE), the transport is asked for the status of each piece of the bio, and the
 * segments that a failed piece touches are marked.  A marked range that is sent again goes in the
 * ioend's own bio, one range after the other, once each; what fails then has failed for good.  The
 * ioend ends after that, with the first error that is left, or with none.
 *
 * Threads: piece_end and end_io of one bio are called in order, by whoever reaps; between two
 * resends the ioend is the transport's.
 */
#include "block/block.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

static struct iomapi_ioend *of_bio(struct iomap_bio *bio)
{
	return iomapi_ioend(iomap_ioend_from_bio(bio));
}

static void mark(struct iomap_bvec *seg)
{
	seg->owner = (void *)((uintptr_t)seg->owner | 1);
}

static void unmark(struct iomap_bvec *seg)
{
	seg->owner = iomapi_seg_folio(seg);
}

/* A frame's own error, where no later try can change it. */
static void frame_error(struct iomapi_ioend *px, const struct iomap_bvec *seg, int status)
{
	int32_t none = 0;

	if (px->ioend.inode->flags & IOMAP_INODE_FRAMES)
		(void)iomapi_cas(&iomapi_seg_folio(seg)->error, &none, status);
}

static void piece_ended(struct iomap_bio *bio, uint64_t off, uint64_t len, int status)
{
	struct iomapi_ioend *px = of_bio(bio);
	struct iomap_bvec *seg = bio->segs, *end = seg + bio->nr_segs;
	uint64_t pos = 0;

	if (px->piece_end)
		px->piece_end(bio, off, len, status);
	if (!status)
		return;
	px->state |= IOMAPI_IOEND_PIECES;
	for (; seg < end && pos < off + len; pos += seg->len, seg++) {
		if (pos + seg->len <= off)
			continue;
		mark(seg);
		if (!(px->state & IOMAPI_IOEND_ISOLATE))
			frame_error(px, seg, status);
	}
}

/* May each segment be sent alone?  Not if it is only a part of what may not tear. */
static bool may_go_alone(const struct iomap_bio *bio)
{
	for (uint32_t i = 0; bio->atomic_bytes && i < bio->nr_segs; i++)
		if (bio->segs[i].len % bio->atomic_bytes)
			return false;
	return true;
}

void iomapi_isolate_start(struct iomapi_ioend *px)
{
	struct iomap_ioend *ioend = &px->ioend;

	if (px->state & IOMAPI_IOEND_ISOLATE && !may_go_alone(&ioend->bio))
		px->state &= ~(uint32_t)IOMAPI_IOEND_ISOLATE;
	/* What was cut off, and what lands where the device likes, fails or succeeds as a whole. */
	if (ioend->parent || px->first || px->cut || ioend->bio.op != IOMAP_BIO_WRITE ||
	    (ioend->flags & IOMAP_IOEND_DIRECT))
		px->state &= ~(uint32_t)IOMAPI_IOEND_ISOLATE;
	else if ((px->state & IOMAPI_IOEND_ISOLATE) ||
		 (ioend->inode->flags & IOMAP_INODE_FRAMES)) {
		px->piece_end = ioend->bio.piece_end;
		ioend->bio.piece_end = piece_ended;
	}
}

/* ---- sending failed ranges again ---- */

static struct iomap_bvec *next_marked(struct iomapi_ioend *px, uint32_t from)
{
	struct iomap_bvec *segs = iomapi_ioend_segs(px);

	while (from < px->nr_resend && !iomapi_seg_failed(&segs[from]))
		from++;
	px->resend = from;
	return from < px->nr_resend ? &segs[from] : NULL;
}

static void send_alone(struct iomapi_ioend *px, struct iomap_bvec *seg)
{
	struct iomap_bio *bio = &px->ioend.bio;

	bio->addr = px->ioend.addr;
	for (const struct iomap_bvec *s = iomapi_ioend_segs(px); s < seg; s++)
		bio->addr += s->len;
	bio->segs = seg;
	bio->nr_segs = 1;
	bio->len = seg->len;
	bio->piece_end = NULL;
	iomap_bio_submit(bio);
}

/* The bio tells of the whole ioend again. */
static void tell(struct iomapi_ioend *px)
{
	struct iomap_bio *bio = &px->ioend.bio;
	const struct iomap_bvec *segs = iomapi_ioend_segs(px);

	bio->addr = px->ioend.addr;
	bio->segs = iomapi_ioend_segs(px);
	bio->nr_segs = px->nr_resend;
	bio->len = 0;
	for (uint32_t i = 0; i < px->nr_resend; i++)
		bio->len += segs[i].len;
	bio->status = px->resend_status;
	px->state &= ~(uint32_t)IOMAPI_IOEND_ISOLATE;
}

/* What the caller or a death brought about does not get better. */
static bool worth_trying(const struct iomapi_ioend *px)
{
	int status = px->ioend.bio.status;

	return (px->state & IOMAPI_IOEND_PIECES) && status && status != -EINVAL &&
	       status != -ECANCELED && !iomapi_inode_gone(px->ioend.inode);
}

bool iomapi_isolate_again(struct iomapi_ioend *px)
{
	struct iomap_bio *bio = &px->ioend.bio;
	struct iomap_bvec *seg;
	uint32_t from = 0;

	if (iomapi_likely(!(px->state & IOMAPI_IOEND_ISOLATE)))
		return false;
	if (!px->nr_resend) {
		if (!worth_trying(px))
			return false;
		px->nr_resend = bio->nr_segs;
	} else {
		seg = iomapi_ioend_segs(px) + px->resend;
		from = px->resend + 1;
		if (bio->status) {
			frame_error(px, seg, bio->status);
			px->resend_status = px->resend_status ? px->resend_status : bio->status;
		} else {
			unmark(seg);
		}
	}
	seg = next_marked(px, from);
	if (seg && iomapi_inode_gone(px->ioend.inode)) {
		/* what is marked still has failed for good */
		px->resend_status = px->resend_status ? px->resend_status :
							iomapi_inode_cancelled(px->ioend.inode);
		seg = NULL;
	}
	if (!seg) {
		tell(px);
		return false;
	}
	send_alone(px, seg);
	return true;
}
