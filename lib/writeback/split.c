/* SPDX-License-Identifier: MIT */
/*
 * writeback/split.c - cuts a front piece off an ioend that is too large for where it goes.
 *
 * The front piece is an ioend of its own on the way out: it gets a copy of the segments and of
 * everything the client put into the ioend.  Its folios stay the affair of the ioend it was cut
 * from, which keeps all segments in its table and finishes them when the last piece is over, with
 * the first error of any (finish.c).  So a piece returns to the pool as soon as it ends, and a long
 * ioend can be sent in more pieces than there are ioends.
 *
 * Segments 0..first-1 of the table have gone to front pieces, and cut bytes of segment first, which
 * is shortened in place while it is the first of the rest.
 *
 * Threads: whoever holds the ioend; pieces already sent end on others and touch remaining and error
 * of their parent only.
 */
#include <string.h>

#include "inode/inode.h"
#include "writeback/writeback.h"

/* The segment that was shortened gets its bytes back. */
void iomapi_ioend_restore(struct iomapi_ioend *px)
{
	struct iomap_bvec *seg = px->ioend.bio.segs;

	if (!px->cut)
		return;
	seg->mem = (char *)seg->mem - px->cut;
	seg->len += px->cut;
	px->cut = 0;
}

/* Move len bytes of segments from the rest to the front. */
static void move_segments(struct iomapi_ioend *px, struct iomapi_ioend *front, uint64_t len)
{
	struct iomap_bio *rest = &px->ioend.bio, *bio = &front->ioend.bio;

	rest->len -= len;
	bio->len = len;
	while (len) {
		struct iomap_bvec *seg = rest->segs, *copy = &bio->segs[bio->nr_segs++];
		uint64_t n = iomapi_min(len, seg->len);

		*copy = *seg;
		copy->len = n;
		if (bio->nr_segs == 1 || copy->owner != copy[-1].owner)
			front->ioend.nr_folios++;
		len -= n;
		if (n < seg->len) {
			seg->mem = (char *)seg->mem + n;
			seg->len -= n;
			px->cut += n;
			return;
		}
		iomapi_ioend_restore(px);
		rest->segs++;
		rest->nr_segs--;
		rest->max_segs--;
		px->first++;
	}
}

void iomapi_ioend_part_sent(struct iomapi_ioend *px, bool held)
{
	if (!iomapi_ioend_last_part(&px->unsent))
		return;
	iomapi_add(&px->room->nr_sent, 1);
	if (held)
		iomapi_sub(&px->room->nr_held, 1);
}

IOMAP_API int iomap_split_ioend(struct iomap_ioend *ioend, uint64_t max, bool is_append,
				struct iomap_ioend **front)
{
	struct iomapi_ioend *px = iomapi_ioend(ioend), *piece;
	uint64_t block = 1ull << ioend->inode->block_bits;
	/* what may not tear is never cut; grain is given up where not even one fits */
	uint64_t least = iomapi_max(block, (uint64_t)ioend->bio.atomic_bytes);
	uint64_t unit = max >= px->unit ? px->unit : least;

	*front = NULL;
	if (ioend->bio.op != IOMAP_BIO_WRITE && ioend->bio.op != IOMAP_BIO_ZONE_APPEND)
		return -EINVAL;
	if (ioend->bio.len <= max)
		return 0;
	max -= max % unit;
	if (!max)
		return -EINVAL;
	piece = iomapi_ioend_new_piece(px);
	if (!piece)
		return -ENOMEM;
	move_segments(px, piece, max);
	piece->ioend.size = max;
	piece->ioend.parent = ioend;
	iomapi_add(&ioend->remaining, 1);
	iomapi_add(&px->unsent, 1);
	ioend->flags &= ~(uint32_t)IOMAP_IOEND_BOUNDARY;
	ioend->offset += (int64_t)max;
	ioend->size -= max;
	if (!is_append && ioend->addr != IOMAP_NULL_ADDR)
		ioend->addr += max;
	if (!is_append && ioend->bio.addr != IOMAP_NULL_ADDR)
		ioend->bio.addr += max;
	px->mem_end = NULL;
	*front = &piece->ioend;
	return 0;
}
