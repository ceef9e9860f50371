/* SPDX-License-Identifier: MIT */
/*
 * writeback/writepages.c - walks the dirty folios of an inode.
 *
 * Folios come in batches by tag, in the order of the file.  For integrity (SYNC_ALL) those dirty at
 * the call are tagged TOWRITE first and only they are visited, so that a busy writer cannot keep
 * the walk going; it waits for earlier writeback of a folio, and goes on after an error.  Otherwise
 * (SYNC_NONE) folios under writeback are skipped, the first error ends the walk, and so does
 * bytes_to_write.
 *
 * Nothing that may block is done with a folio locked or with anything kept back: before a wait for
 * a lock, for writeback or for a free ioend, what is pending goes to the submit hook.
 *
 * Threads: any number may walk one inode; each folio is written by whoever locks it first.
 */
#include <iomap/bdev.h>

#include "cache/cache.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

#define BATCH 64
#define PLUG_BYTES (1u << 20)	/* small ioends go out together, large ones at once */

struct walk {
	struct iomap_writeback_ctx *wpc;
	uint64_t limit;		/* stop when wbc->bytes_queued is there; 0: stop now */
	uint64_t sent;		/* of bytes_queued: not in the plug any more */
	int error;		/* the first */
	bool sync_all;
	struct iomap_plug plug;
};

static void note(struct walk *w, int error)
{
	if (iomapi_likely(!error))
		return;
	w->error = w->error ? w->error : error;
	if (!w->sync_all)
		w->limit = 0;
}

/* What is not done for most folios is kept out of line: submitting, waiting, reserving. */
#define ASIDE static __attribute__((noinline))

ASIDE void submit_ready(struct walk *w)
{
	uint64_t queued = w->wpc->wbc->bytes_queued;

	note(w, iomapi_submit_ready(w->wpc, 0));
	if (queued - w->sent < PLUG_BYTES)
		return;
	iomap_plug_flush(&w->plug);
	w->sent = queued;
}

/* What others might wait for goes out before we do. */
static void kick(struct walk *w)
{
	note(w, iomap_writeback_kick(w->wpc));
}

static bool may_wait(struct walk *w)
{
	if (!(w->wpc->wbc->flags & IOMAP_WB_NOWAIT))
		return true;
	if (w->sync_all)
		note(w, -EAGAIN);	/* a folio that should be written is not */
	return false;
}

ASIDE bool wait_lock(struct walk *w, struct iomap_folio *folio)
{
	if (!may_wait(w))
		return false;
	kick(w);
	iomap_folio_lock(folio);
	return true;
}

/* Not locked: wait for the writeback that is going on.  False: this walk does not. */
ASIDE bool wait_writeback(struct walk *w, struct iomap_folio *folio)
{
	int rc;

	if (!may_wait(w))
		return false;
	kick(w);
	rc = iomap_folio_wait_writeback(folio, IOMAP_FOREVER);
	note(w, rc);
	return !rc && w->limit;
}

/* Before a folio is locked: one ioend at least that is ours. */
ASIDE bool reserve_ioend(struct walk *w)
{
	int hook_error = 0, rc;

	if (!iomap_volume_error(w->wpc->inode->volume) && iomapi_ioend_reserve_one(w->wpc))
		return true;
	rc = iomapi_reserve(w->wpc, 1, true, &hook_error);
	note(w, hook_error);
	note(w, rc);
	if (rc)
		w->limit = 0;
	return !rc;
}

/* One folio that was tagged when we looked; whatever it has become since.  True: again, when its
 * writeback is over. */
static inline bool visit(struct walk *w, struct iomap_folio *folio)
{
	struct iomap_writeback_ctx *wpc = w->wpc;
	struct iomap_env *env = wpc->inode->env;
	bool again = false;
	uint32_t flags;
	int rc = 0;

	if (iomapi_unlikely(!iomapi_wpc(wpc)->reserved) && !reserve_ioend(w))
		return false;
	if (iomapi_unlikely(!iomapi_folio_trylock(env, folio)) && !wait_lock(w, folio))
		return false;
	flags = iomapi_load_relaxed(&folio->flags);
	if ((flags & IOMAP_FOLIO_DIRTY) && iomapi_folio_attached(folio)) {
		if (flags & IOMAP_FOLIO_WRITEBACK)
			again = w->sync_all;
		else
			rc = iomapi_writeback_cached(wpc, folio);
	}
	iomapi_folio_unlock(env, folio);
	if (iomapi_unlikely(rc > 0))
		again = true;
	else
		note(w, rc);
	if (iomapi_unlikely(wpc->ready.next != &wpc->ready))
		submit_ready(w);
	return again;
}

static bool enough(const struct walk *w)
{
	return w->wpc->wbc->bytes_queued >= w->limit;
}

/* Volume and inode: what was offered goes to the hook with the error; there is no use in offering
 * more. */
static bool is_alive(struct walk *w)
{
	int rc = iomapi_inode_gone(w->wpc->inode);

	note(w, rc);
	return !rc;
}

/* [pos, end) in order; where it stopped. */
static int64_t walk_range(struct walk *w, int64_t pos, int64_t end, enum iomapi_tag tag)
{
	struct iomap_inode *inode = w->wpc->inode;
	struct iomap_folio *folios[BATCH];
	unsigned nr = 1, i;

	while (nr && pos < end && is_alive(w) && !enough(w)) {
		nr = iomapi_mapping_tagged(inode, &pos, end, tag, folios, BATCH);
		for (i = 0; i < nr && !enough(w); i++) {
			while (iomapi_unlikely(visit(w, folios[i])) && wait_writeback(w, folios[i]))
				;
			iomapi_folio_put_behind(inode, folios[i]);
		}
		if (i < nr)
			pos = folios[i]->pos;
		for (; i < nr; i++)
			iomapi_folio_put(folios[i]);
	}
	return pos;
}

/* From where the last pass stopped to the end, then from the start to there. */
static void walk_cyclic(struct walk *w, int64_t start, int64_t end, enum iomapi_tag tag)
{
	struct iomapi_mapping *mapping = iomapi_mapping(w->wpc->inode);
	int64_t from = iomapi_load_relaxed(&mapping->writeback_index), stop;

	if (from <= start || from >= end)
		from = start;
	stop = walk_range(w, from, end, tag);
	if (from > start && !enough(w))
		stop = walk_range(w, start, from, tag);
	__atomic_store_n(&mapping->writeback_index, stop, __ATOMIC_RELAXED);
}

static void walk_inode(struct walk *w, const struct iomap_writeback_control *wbc)
{
	int64_t end = wbc->range_end ? wbc->range_end : IOMAP_MAX_POS;

	if (w->sync_all)
		iomapi_mapping_tag_towrite(w->wpc->inode, wbc->range_start, end);
	if (w->sync_all)
		walk_range(w, wbc->range_start, end, IOMAPI_TAG_TOWRITE);
	else if (wbc->flags & IOMAP_WB_CYCLIC)
		walk_cyclic(w, wbc->range_start, end, IOMAPI_TAG_DIRTY);
	else
		walk_range(w, wbc->range_start, end, IOMAPI_TAG_DIRTY);
}

IOMAP_API int iomap_writepages(struct iomap_writeback_ctx *wpc)
{
	struct walk w = { .wpc = wpc, .limit = UINT64_MAX };
	int rc = iomapi_wpc_start(wpc);

	if (rc)
		return rc;
	if (!iomapi_mapping(wpc->inode)->cache)
		return -EINVAL;
	/* Whoever needs memory at once must not end up in a client's transaction. */
	if (wpc->wbc->flags & IOMAP_WB_RECLAIM)
		return -EIO;
	rc = iomapi_inode_gone(wpc->inode);
	if (rc)
		return iomap_writeback_finish(wpc, rc);
	w.sync_all = wpc->wbc->sync_mode == IOMAP_WB_SYNC_ALL;
	w.sent = wpc->wbc->bytes_queued;
	if (!w.sync_all && wpc->wbc->bytes_to_write)
		w.limit = iomapi_min(wpc->wbc->bytes_to_write,
				     UINT64_MAX - wpc->wbc->bytes_queued) +
			  wpc->wbc->bytes_queued;
	iomap_plug_start(&w.plug, wpc->inode->env);
	walk_inode(&w, wpc->wbc);
	rc = iomap_writeback_finish(wpc, 0);
	iomap_plug_end(&w.plug);
	return w.error ? w.error : rc;
}
