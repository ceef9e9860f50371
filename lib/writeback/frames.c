/* SPDX-License-Identifier: MIT */
/*
 * writeback/frames.c - writing a client's own frames, and the calls that submit.
 *
 * A frame is dirty as a whole, has no end of file and is never written to by the library.  Handing
 * one over is all or nothing: either some of it is queued, then its error comes once through
 * folio_written, or the frame is as it was.  The latch is held meanwhile, so nothing here may wait
 * or call the submit hook: ioends are reserved before, without a latch, and contexts that are full
 * stand in wpc->ready until the next call that may submit.
 *
 * Whoever waits for ioends has submitted all of its own first and gives back those it holds and has
 * no use for yet, so two cleaners never wait for each other's.  Held ioends are not waited for; the
 * few that other contexts keep reserved or pending get some yields to come out.
 *
 * Threads: one at a time per wpc; the counts of the room are atomic.
 */
#include "base/log.h"
#include "base/trace.h"
#include "block/block.h"
#include "cache/cache.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

/* ---- the context ---- */

static int check_wbc(const struct iomap_inode *inode, const struct iomap_writeback_control *wbc,
		     uint32_t *result)
{
	uint64_t block = 1ull << inode->block_bits;
	uint64_t grain = wbc->grain ? wbc->grain : 1;
	uint64_t atomic = wbc->atomic_bytes ? wbc->atomic_bytes : 1, unit;

	if (!iomapi_is_pow2(atomic))
		return -EINVAL;
	/* The largest is a multiple of the others, or no place to cut satisfies all three. */
	unit = iomapi_max(block, iomapi_max(grain, atomic));
	if (unit % block || unit % grain || unit % atomic || unit > IOMAPI_IOEND_BYTES_MAX)
		return -EINVAL;
	*result = (uint32_t)unit;
	if (wbc->range_start < 0 || wbc->range_end < 0)
		return -EINVAL;
	return 0;
}

int iomapi_wpc_start(struct iomap_writeback_ctx *wpc)
{
	struct iomapi_wpc *st = iomapi_wpc(wpc);
	int rc;

	if (iomapi_likely(st->state & IOMAPI_WPC_STARTED))
		return 0;
	if (!wpc->inode || !wpc->wbc || !wpc->ops)
		return -EINVAL;
	if (wpc->wbc->struct_size < sizeof(*wpc->wbc) ||
	    wpc->ops->struct_size < sizeof(*wpc->ops))
		return -EINVAL;
	if (!wpc->ops->writeback_range || !wpc->ops->writeback_submit)
		return -EINVAL;
	rc = check_wbc(wpc->inode, wpc->wbc, &st->unit);
	if (rc)
		return rc;
	iomapi_list_init(&wpc->ready);
	st->state |= IOMAPI_WPC_STARTED;
	st->why = IOMAP_WHY_FIRST;
	return 0;
}

void iomapi_close(struct iomap_writeback_ctx *wpc, enum iomap_trace_why why)
{
	struct iomap_list *node = wpc->wb_ctx;	/* whatever it is, it begins with one */

	if (!node)
		return;
	wpc->wb_ctx = NULL;
	iomapi_list_add_tail(&wpc->ready, node);
	iomapi_wpc(wpc)->why = (uint16_t)why;
}

IOMAP_API void iomap_writeback_close(struct iomap_writeback_ctx *wpc)
{
	if (!iomapi_wpc_start(wpc))
		iomapi_close(wpc, IOMAP_WHY_KEY);
}

/* Out of the wpc first, then to the hook: whatever the hook says, nobody submits it again (H1). */
int iomapi_submit_ready(struct iomap_writeback_ctx *wpc, int error)
{
	struct iomap_list *node;
	int first = 0;

	while ((node = iomapi_list_pop(&wpc->ready))) {
		int rc;

		if (!error)	/* the hook may be who finds out */
			error = iomapi_inode_cancelled(wpc->inode);
		rc = wpc->ops->writeback_submit(wpc, node, error);
		rc = iomapi_answer(wpc->inode->env, rc, .rule = "H1", .inode = wpc->inode,
				   .callback = "writeback_submit");
		first = first ? first : rc;
	}
	return first;
}

IOMAP_API int iomap_writeback_kick(struct iomap_writeback_ctx *wpc)
{
	int rc = iomapi_wpc_start(wpc);

	if (rc)
		return rc;
	iomapi_close(wpc, IOMAP_WHY_FIRST);
	return iomapi_submit_ready(wpc, 0);
}

IOMAP_API int iomap_writeback_finish(struct iomap_writeback_ctx *wpc, int error)
{
	int rc = iomapi_wpc_start(wpc);

	if (rc)
		return rc;
	iomapi_close(wpc, IOMAP_WHY_FIRST);
	rc = iomapi_submit_ready(wpc, error);
	iomapi_ioend_unreserve(wpc);
	iomapi_wpc(wpc)->state = 0;
	return error ? error : rc;
}

/* ---- reserving ---- */

/* 0: something was freed since seen, or will be; -EAGAIN: only holders can free any. */
static int wait_for_ioend(struct iomapi_writeback *room, uint32_t seen, bool held_too,
			  unsigned *yields)
{
	const iomap_word *freed = iomapi_bio_pool_freed(room->pool);

	if (held_too || iomapi_load(&room->nr_sent))
		return iomap_env_wait(room->env, freed, seen, IOMAP_FOREVER);
	if (iomapi_load(freed) != seen)
		return 0;
	if (iomapi_load(&room->nr_held) >= room->nr_ioends || *yields >= IOMAPI_RESERVE_YIELDS)
		return -EAGAIN;
	++*yields;
	iomapi_yield(room->env, "writeback_reserve");
	return 0;
}

/*
 * What can be done before blocking.  What is ready goes out, then whatever has arrived is taken in;
 * what is pending goes out only if that did not help, for it would be a small ioend.  Positive:
 * nothing is left but to wait; else 0 or the error of a hook.
 */
static int make_progress(struct iomap_writeback_ctx *wpc, uint32_t seen)
{
	const iomap_word *freed = iomapi_bio_pool_freed(iomapi_writeback(wpc->inode->env)->pool);

	if (!iomapi_list_empty(&wpc->ready))
		return iomapi_submit_ready(wpc, 0);
	if (!wpc->wb_ctx)
		return 1;
	if (!iomap_env_wait(wpc->inode->env, freed, seen, 0))
		return 0;
	return iomap_writeback_kick(wpc);
}

/*
 * One that came back would go out again with a few pages in it.  While more are on their way it
 * pays to wait for some of them; never for long, for who else might finish them is not known.
 */
static void wait_for_more(struct iomapi_writeback *room)
{
	const iomap_word *freed = iomapi_bio_pool_freed(room->pool);
	uint32_t seen;

	do {
		seen = iomapi_load(freed);
		if (iomapi_bio_pool_nr_free(room->pool) >= room->nr_ioends / 4)
			return;
	} while (iomapi_load(&room->nr_sent) &&
		 !iomap_env_wait(room->env, freed, seen, IOMAPI_RESERVE_MORE_NS));
}

int iomapi_reserve(struct iomap_writeback_ctx *wpc, unsigned nr, bool held_too, int *hook_error)
{
	struct iomapi_wpc *st = iomapi_wpc(wpc);
	struct iomapi_writeback *room = iomapi_writeback(wpc->inode->env);
	unsigned yields = 0;
	int rc;

	if (nr > room->nr_ioends)
		return -EINVAL;
	while (st->nr_reserved < nr) {
		uint32_t seen = iomapi_load(iomapi_bio_pool_freed(room->pool));

		rc = iomap_volume_error(wpc->inode->volume);
		if (rc)
			return rc;
		/* All or none: two that each take a part would hand it to and fro. */
		if (st->nr_reserved + 1 == nr ||
		    st->nr_reserved + iomapi_bio_pool_nr_free(room->pool) >= nr) {
			if (iomapi_ioend_reserve_one(wpc))
				continue;
		}
		if (wpc->wbc->flags & IOMAP_WB_NOWAIT)
			return -EAGAIN;
		rc = make_progress(wpc, seen);
		if (rc <= 0) {
			*hook_error = *hook_error ? *hook_error : rc;
			continue;
		}
		seen += st->nr_reserved;	/* our own putting back is no news */
		iomapi_ioend_unreserve(wpc);
		rc = wait_for_ioend(room, seen, held_too, &yields);
		if (rc)
			return rc;
		wait_for_more(room);
	}
	return 0;
}

IOMAP_API int iomap_writeback_reserve(struct iomap_writeback_ctx *wpc, unsigned nr_ioends)
{
	int rc = iomapi_wpc_start(wpc), error;

	if (rc)
		return rc;
	error = iomapi_submit_ready(wpc, 0);
	rc = iomapi_reserve(wpc, nr_ioends, false, &error);
	return error ? error : rc;
}

/* ---- one frame ---- */

/* These say "not now" or "never again", not that a write failed. */
static bool is_sticky(int error)
{
	return error && error != -EAGAIN && error != -ESTALE;
}

static int give_back(struct iomap_inode *inode, struct iomap_folio *folio, int error)
{
	iomapi_folio_sub_write_pending(folio, folio->size, 0);
	iomapi_folio_set_dirty(folio, 0, folio->size);
	iomapi_folio_clear_flags(inode->env, folio, IOMAP_FOLIO_WRITEBACK);
	return error;
}

/* The client has no place for part of it, and did not say so. */
static int no_place(struct iomap_inode *inode, const struct iomap_folio *folio)
{
	iomapi_report(inode->env, .rule = "H12", .callback = "writeback_range", .field = "type",
		      .value = IOMAP_HOLE, .inode = inode, .pos = folio->pos,
		      .text = "a frame has no holes");
	return -EIO;
}

int iomapi_writeback_frame(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio)
{
	struct iomap_inode *inode = wpc->inode;
	struct iomapi_offer offer = { .queued = 0 };
	uint32_t size = folio->size;

	iomapi_trace(inode->env, .event = IOMAP_TRACE_WRITEBACK_FOLIO, .inode = inode,
		     .pos = folio->pos, .len = size);
	iomapi_frame_start_writeback(folio);
	iomapi_folio_clear_dirty(folio, 0, size);
	iomapi_folio_settle_dirty(folio);
	iomapi_offer_range(wpc, folio, 0, size, IOMAP_MAX_POS, &offer);
	if (offer.stopped)
		offer.error = -EAGAIN;
	else if (!offer.error && offer.queued < size)
		offer.error = no_place(inode, folio);
	wpc->wbc->bytes_queued += offer.queued;
	if (is_sticky(offer.error))
		iomap_inode_set_error(inode, offer.error);
	if (!offer.queued)
		return give_back(inode, folio, offer.error);
	if (offer.queued < size)
		iomapi_range_written(inode, folio, size - offer.queued, offer.error);
	return 0;
}
