/* SPDX-License-Identifier: MIT */
/*
 * writeback/range.c - the dirty ranges of one folio go to the client.
 *
 * A run of dirty blocks is cleared, then offered, as often as the client takes less than all of it.
 * The end of the file is looked at once per folio, under the folio lock: what lies beyond it is not
 * written, and in a folio that straddles it the rest of the memory is zeroed first, each time.
 *
 * Bytes in flight are counted down from the folio's size (I23): those nobody queued are taken off
 * when all is offered, so a range that completes at once does not end writeback under our feet.
 * The folio's dirty state is settled before the last range is offered, for after that the folio may
 * be nobody's of ours.
 *
 * After an error the rest of the folio is not offered and counts as failed: clean, content kept.
 * When there is no ioend left for the rest, it stays dirty and the folio has to be visited again.
 *
 * Threads: that of the wpc, which holds the folio lock (or the frame's latch).
 */
#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "cache/cache.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

#define MAX_ERRNO 4095

/* ---- one range ---- */

static bool is_hole(const struct iomap *map, int64_t pos)
{
	if (map->type != IOMAP_HOLE || !map->length)
		return false;
	return pos >= map->offset && (uint64_t)(pos - map->offset) < map->length;
}

static int bad_answer(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t answer)
{
	iomapi_report(inode->env, .rule = "I75", .callback = "writeback_range", .field = "result",
		      .value = (uint64_t)answer, .bound = len, .inode = inode, .pos = pos,
		      .text = "bytes handled must be 1..len, and be those that were queued");
	return -EIO;
}

/*
 * Who calls iomap_add_to_ioend is believed only what that took: bytes said to be handled and never
 * queued would be lost, and bytes queued and not said would be counted twice.
 */
static int judge(struct iomap_writeback_ctx *wpc, int64_t pos, uint64_t len, int64_t answer,
		 bool used_ioends, uint64_t added, uint64_t *queued)
{
	bool hole = is_hole(&wpc->iomap, pos);

	*queued = added;
	if (answer < 0 && answer >= -MAX_ERRNO)
		return (int)answer;
	if (answer <= 0 || (uint64_t)answer > len)
		return bad_answer(wpc->inode, pos, len, answer);
	if (!used_ioends && !hole)
		*queued = (uint64_t)answer;
	if (used_ioends && added != (uint64_t)answer && !(hole && !added))
		return bad_answer(wpc->inode, pos, len, answer);
	return 0;
}

/* It took less than all, or did something else; how much, 0 ends it, offer says why. */
static __attribute__((noinline)) uint64_t judge_offer(struct iomap_writeback_ctx *wpc, int64_t pos,
						      uint64_t len, int64_t answer,
						      bool used_ioends, uint64_t added,
						      struct iomapi_offer *offer)
{
	uint64_t queued;

	offer->error = judge(wpc, pos, len, answer, used_ioends, added, &queued);
	offer->queued += queued;
	return offer->error ? 0 : (uint64_t)answer;
}

/* Once: how much the client took; 0 ends it, offer says why. */
IOMAPI_INLINE uint64_t offer_once(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
				  size_t off, size_t len, int64_t end_pos,
				  struct iomapi_offer *offer)
{
	struct iomapi_wpc *st = iomapi_wpc(wpc);
	int64_t pos = folio->pos + (int64_t)off, answer;
	uint32_t adds = st->adds, added = st->added;

	if (iomapi_unlikely(!st->reserved) && !iomapi_ioend_reserve_one(wpc)) {
		offer->stopped = true;
		return 0;
	}
	iomapi_trace(wpc->inode->env, .event = IOMAP_TRACE_WRITEBACK_RANGE, .inode = wpc->inode,
		     .pos = pos, .len = len);
	st->offered_pos = pos;
	st->offered_len = (uint32_t)len;
	st->offered_end = end_pos;
	answer = wpc->ops->writeback_range(wpc, folio, pos, len, end_pos);
	added = st->added - added;
	if (iomapi_unlikely(!added || added != (uint64_t)answer || added > len))
		return judge_offer(wpc, pos, len, answer, added || st->adds != adds, added, offer);
	offer->queued += added;
	return added;
}

/* Until all of it is taken.  */
static void offer_run(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, size_t off,
		      size_t len, int64_t end_pos, struct iomapi_offer *offer)
{
	uint64_t took;

	do {
		took = offer_once(wpc, folio, off, len, end_pos, offer);
		off += took;
		len -= took;
	} while (took && len);
	offer->off = off;
}

void iomapi_offer_range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, size_t off,
			size_t len, int64_t end_pos, struct iomapi_offer *offer)
{
	offer_run(wpc, folio, off, len, end_pos, offer);
}

/* ---- one cached folio ---- */

/* Bytes of the folio that are written, in whole blocks; the rest of the last one is zeroed. */
static size_t bytes_inside(struct iomap_folio *folio, int64_t end_pos, unsigned block_bits)
{
	uint64_t inside;

	if (end_pos <= folio->pos)
		return 0;
	inside = (uint64_t)(end_pos - folio->pos);
	if (inside >= folio->size)
		return folio->size;
	/* Whoever maps the folio may have stored there since the last time. */
	memset((char *)folio->mem + inside, 0, folio->size - inside);
	return iomapi_min(iomapi_round_up(inside, 1ull << block_bits), folio->size);
}

static void clear_rest(struct iomap_folio *folio, size_t from)
{
	if (from < folio->size)
		iomapi_folio_clear_dirty(folio, from, folio->size - from);
	iomapi_folio_settle_dirty(folio);
}

static __attribute__((noinline)) void offer_dirty(struct iomap_writeback_ctx *wpc,
						  struct iomap_folio *folio, int64_t end_pos,
						  struct iomapi_offer *offer)
{
	size_t end = bytes_inside(folio, end_pos, wpc->inode->block_bits);
	size_t off = 0, next, len = 0, next_len = 0;
	bool more = end && iomapi_folio_next_dirty(folio, &off, end, &len);

	if (!more)
		clear_rest(folio, 0);
	for (; more; off = next, len = next_len) {
		iomapi_folio_clear_dirty(folio, off, len);
		next = off + len;
		more = next < end && iomapi_folio_next_dirty(folio, &next, end, &next_len);
		if (!more)
			clear_rest(folio, end);
		offer_run(wpc, folio, off, len, end_pos, offer);
		if (!offer->error && !offer->stopped)
			continue;
		if (offer->stopped)
			iomapi_folio_set_dirty(folio, offer->off, off + len - offer->off);
		else if (more)
			iomapi_folio_clear_dirty(folio, 0, folio->size);
		if (more)
			iomapi_folio_settle_dirty(folio);
		return;
	}
}

/* A folio of one block, inside the file: its flag is all there is to clear, and nothing to look
 * for. */
IOMAPI_INLINE void offer_block(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
			       size_t size, int64_t end_pos, struct iomapi_offer *offer)
{
	uint64_t took;

	iomapi_folio_clear_dirty_flag(folio);
	took = offer_once(wpc, folio, 0, size, end_pos, offer);
	if (iomapi_unlikely(took && took < size)) {
		offer_run(wpc, folio, took, size - took, end_pos, offer);
		took = offer->off;
	}
	if (iomapi_unlikely(offer->stopped))
		iomapi_folio_set_dirty(folio, took, size - took);
}

/* What nobody queued is over; an error goes through the inode, and before the folio can be anybody
 * else's. */
static __attribute__((noinline)) void end_rest(struct iomap_inode *inode, struct iomap_folio *folio,
					       const struct iomapi_offer *offer)
{
	if (offer->error)
		iomap_inode_set_error(inode, offer->error);
	if (offer->queued < folio->size &&
	    iomapi_folio_sub_write_pending(folio, folio->size - offer->queued, offer->error))
		iomapi_folio_end_writeback(folio);
}

int iomapi_writeback_cached(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio)
{
	struct iomap_inode *inode = wpc->inode;
	struct iomapi_offer offer = { .queued = 0 };
	int64_t end_pos = iomapi_load(&iomapi_inode(inode)->size);
	uint32_t size = folio->size;

	iomapi_trace(inode->env, .event = IOMAP_TRACE_WRITEBACK_FOLIO, .inode = inode,
		     .pos = folio->pos, .len = size);
	iomapi_folio_start_writeback(inode, folio);
	if (size >> inode->block_bits == 1 && end_pos - folio->pos >= (int64_t)size)
		offer_block(wpc, folio, size, end_pos, &offer);
	else
		offer_dirty(wpc, folio, end_pos, &offer);
	wpc->wbc->bytes_queued += offer.queued;
	if (iomapi_unlikely(offer.queued < size || offer.error))
		end_rest(inode, folio, &offer);
	return offer.error ? offer.error : offer.stopped;
}

/* ---- any folio ---- */

IOMAP_API int iomap_writeback_folio(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio)
{
	int rc = iomapi_wpc_start(wpc);
	uint32_t flags;

	if (rc)
		return rc;
	flags = iomapi_load(&folio->flags);
	if (folio->inode != wpc->inode)
		return -EINVAL;
	if (flags & IOMAP_FOLIO_WRITEBACK)
		return -EBUSY;
	if (!(flags & IOMAP_FOLIO_DIRTY))
		return -EINVAL;
	rc = iomapi_inode_gone(wpc->inode);
	if (rc)
		return rc;
	if (flags & IOMAP_FOLIO_FRAME)
		return iomapi_wpc(wpc)->reserved ? iomapi_writeback_frame(wpc, folio) : -EAGAIN;
	if (!iomapi_wpc(wpc)->reserved && !iomapi_ioend_reserve_one(wpc))
		return -EAGAIN;
	rc = iomapi_writeback_cached(wpc, folio);
	return rc > 0 ? -EAGAIN : rc;
}
