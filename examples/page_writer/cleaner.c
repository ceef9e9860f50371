/* SPDX-License-Identifier: MIT */
/*
 * cleaner.c - a page cleaner: dirty frames become few large writes, never ahead of the log.
 *
 * The way of a frame: take a slot, copy the frame into it under the latch, put the checksum into
 * the copy, hand a transient folio to iomap_writeback_folio.  writeback_range says where the frame
 * lives and raises the ioend's client_max to the page's log position; writeback_submit sends the
 * ioend if the log is that far, else leaves it to the log.  folio_written is the end: the frame is
 * clean up to the bytes that were sent, or it stays dirty.
 *
 * Threads  A cleaner runs in its own thread; range, submit and the whole of clean() run there.
 *          folio_written runs in whoever reaps.  Stripes of frames belong to one cleaner, so nobody
 *          else writes a frame that this cleaner looks at.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "page_writer.h"

/* ---- slots ---- */

static struct page *copy_of(const struct slot *slot)
{
	return slot->copy;
}

static struct slot *slot_get(struct cleaner *cl)
{
	struct iomap_list *node;

	iomap_mutex_lock(cl->pool->env, &cl->lock);
	node = iomap_list_pop(&cl->free);
	iomap_mutex_unlock(cl->pool->env, &cl->lock);
	return node ? iomap_container_of(node, struct slot, node) : NULL;
}

static void slot_put(struct slot *slot)
{
	struct cleaner *cl = slot->cleaner;

	iomap_mutex_lock(cl->pool->env, &cl->lock);
	iomap_list_add_tail(&cl->free, &slot->node);
	iomap_mutex_unlock(cl->pool->env, &cl->lock);
	__atomic_add_fetch(&cl->freed, 1, __ATOMIC_RELEASE);
	iomap_env_wake(cl->pool->env, &cl->freed, 1);
}

/* The client's dirty flag is the truth: only success clears it, up to what was sent. */
static void slot_done(struct slot *slot, int error)
{
	struct pool *pool = slot->cleaner->pool;
	struct frame *frame = slot->frame;

	if (error) {
		__atomic_add_fetch(&frame->failures, 1, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(&frame->written_lsn, copy_of(slot)->lsn, __ATOMIC_RELEASE);
		__atomic_add_fetch(&pool->nr_written, 1, __ATOMIC_RELAXED);
	}
	iomap_folio_fini(&slot->folio);
	slot_put(slot);
	__atomic_store_n(&frame->busy, 0, __ATOMIC_RELEASE);
	iomap_env_wake(pool->env, &frame->busy, 1);
}

/* ---- what the library calls ---- */

/* Once per queued folio, its last touch by the library; any reaping thread, leaf locks only. */
static void folio_written(struct iomap_folio *folio, int error)
{
	slot_done(folio->owner, error);
}

/* A space is its device from byte 0, so one map holds for all of it. */
static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	struct slot *slot = folio->owner;
	struct iomap_ioend *ioend;
	int64_t done;

	if (!wpc->iomap.length)
		wpc->iomap = (struct iomap){ .type = IOMAP_MAPPED, .bdev = wpc->inode->bdev,
					     .length = (uint64_t)SPACE_FRAMES * FRAME };
	done = iomap_add_to_ioend(wpc, folio, pos, len, end_pos,
				  (const char *)slot->copy + (pos - folio->pos));
	ioend = done > 0 ? iomap_ioend_pending(wpc) : NULL;	/* holds all of the range */
	if (ioend && ioend->client_max < copy_of(slot)->lsn)
		ioend->client_max = copy_of(slot)->lsn;		/* log before data, per ioend */
	return done;
}

/* No latch is held here, and nothing here waits: the log's thread sends what is ahead of it. */
static int submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct cleaner *cl = wpc->owner;
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx);

	__atomic_add_fetch(&cl->pool->nr_ioends, 1, __ATOMIC_RELAXED);
	if (error || ioend->client_max <= log_durable(&cl->pool->log))
		iomap_ioend_submit(ioend, error);	/* ends in folio_written */
	else
		log_hold(&cl->pool->log, ioend);
	return error;
}

const struct iomap_inode_ops space_ops = {
	.struct_size = sizeof(space_ops), .folio_written = folio_written,
};
static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = range, .writeback_submit = submit,
};

/* ---- one round ---- */

/* May wait, but not for ioends that are held: -EAGAIN, then the log has to move first. */
static int reserve(struct iomap_writeback_ctx *wpc)
{
	struct cleaner *cl = wpc->owner;

	for (;;) {
		uint32_t seen = __atomic_load_n(&cl->pool->log.moved, __ATOMIC_ACQUIRE);
		int rc = iomap_writeback_reserve(wpc, 2);

		if (rc != -EAGAIN)
			return rc;
		rc = iomap_env_wait(cl->pool->env, &cl->pool->log.moved, seen, IOMAP_FOREVER);
		if (rc)
			return rc;
	}
}

/* Before anything blocks: somebody may wait for what we keep pending. */
static int wait_for(struct iomap_writeback_ctx *wpc, const iomap_word *word, uint32_t seen)
{
	struct cleaner *cl = wpc->owner;
	int rc = iomap_writeback_kick(wpc);

	return rc ? rc : iomap_env_wait(cl->pool->env, word, seen, IOMAP_FOREVER);
}

static int get_slot(struct iomap_writeback_ctx *wpc, struct slot **slot)
{
	struct cleaner *cl = wpc->owner;

	for (;;) {
		uint32_t seen = __atomic_load_n(&cl->freed, __ATOMIC_ACQUIRE);
		int rc;

		*slot = slot_get(cl);
		if (*slot)
			return 0;
		rc = wait_for(wpc, &cl->freed, seen);
		if (rc)
			return rc;
	}
}

/* The copy is what is sent, so the frame may change again as soon as the latch is free. */
static void copy_frame(struct slot *slot, struct frame *frame)
{
	struct iomap_env *env = slot->cleaner->pool->env;
	struct page *copy = copy_of(slot);

	iomap_mutex_lock(env, &frame->latch);
	memcpy(copy, frame->mem, FRAME);
	iomap_mutex_unlock(env, &frame->latch);
	copy->sum = page_sum(copy);
	slot->frame = frame;
	__atomic_store_n(&frame->sent_lsn, copy->lsn, __ATOMIC_RELEASE);
}

/* One dirty frame.  When this returns it is on its way, or untouched; never in between. */
static int send(struct iomap_writeback_ctx *wpc, struct frame *frame, bool must)
{
	struct slot *slot;
	int rc = 0;

	/* an older copy is on its way: a checkpoint needs what was changed since */
	while (!rc && __atomic_load_n(&frame->busy, __ATOMIC_ACQUIRE)) {
		if (!must)
			return 0;
		rc = wait_for(wpc, &frame->busy, 1);
	}
	if (!rc)
		rc = reserve(wpc);		/* may wait; no latch is held */
	if (!rc)
		rc = get_slot(wpc, &slot);
	if (rc)
		return rc;
	__atomic_store_n(&frame->busy, 1, __ATOMIC_RELEASE);
	copy_frame(slot, frame);
	iomap_folio_init(&slot->folio, wpc->inode, (int64_t)frame->number * FRAME, frame->mem,
			 FRAME, slot);
	iomap_folio_mark_dirty(&slot->folio, 0, FRAME);
	rc = iomap_writeback_folio(wpc, &slot->folio);
	if (rc)
		slot_done(slot, rc);		/* nothing was queued, so nobody calls back */
	return rc;
}

/* The stripes of this cleaner in one space; must: all that is dirty now, for a checkpoint. */
static int clean_space(struct cleaner *cl, struct space *space, bool must)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .ioq = cl->ioq,
		.sync_mode = must ? IOMAP_WB_SYNC_ALL : IOMAP_WB_SYNC_NONE,
		.max_ioend_bytes = 1 << 20,
		.grain = FRAME,			/* a page is never cut between two requests */
		.flags = IOMAP_WB_ISOLATE,	/* one bad sector does not fail its neighbours */
	};
	struct iomap_writeback_ctx wpc = {
		.inode = &space->inode, .wbc = &wbc, .ops = &wb_ops, .owner = cl,
	};
	int first = 0, rc;

	for (unsigned i = 0; i < SPACE_FRAMES; i++) {
		struct frame *frame = &space->frames[i];

		if (i / STRIPE % NR_CLEANERS != cl->index || !frame_is_dirty(frame))
			continue;
		rc = send(&wpc, frame, must);
		first = first ? first : rc;
	}
	rc = iomap_writeback_finish(&wpc, 0);
	return first ? first : rc;
}

static int clean(struct cleaner *cl, bool must)
{
	struct iomap_plug plug;
	int first = 0;

	iomap_plug_start(&plug, cl->pool->env);		/* spans both spaces */
	for (unsigned i = 0; i < NR_SPACES; i++) {
		int rc = clean_space(cl, &cl->pool->spaces[i], must);

		first = first ? first : rc;
	}
	iomap_plug_end(&plug);
	return first;
}

/* ---- the thread ---- */

static void *cleaner_thread(void *arg)
{
	struct cleaner *cl = arg;
	struct iomap_env *env = cl->pool->env;

	while (!__atomic_load_n(&cl->stop, __ATOMIC_ACQUIRE)) {
		uint32_t asked = __atomic_load_n(&cl->asked, __ATOMIC_ACQUIRE);

		if (asked == cl->done) {	/* an object wait: it drives all rings meanwhile */
			iomap_env_wait(env, &cl->asked, asked, IOMAP_FOREVER);
			continue;
		}
		cl->result = clean(cl, __atomic_load_n(&cl->must, __ATOMIC_RELAXED));
		__atomic_store_n(&cl->done, asked, __ATOMIC_RELEASE);
		iomap_env_wake(env, &cl->done, 1);
	}
	return NULL;
}

void cleaner_ask(struct cleaner *cl, bool must)
{
	__atomic_store_n(&cl->must, must, __ATOMIC_RELAXED);
	__atomic_add_fetch(&cl->asked, 1, __ATOMIC_RELEASE);
	iomap_env_wake(cl->pool->env, &cl->asked, 1);
}

int cleaner_wait(struct cleaner *cl)
{
	uint32_t seen;

	while ((seen = __atomic_load_n(&cl->done, __ATOMIC_ACQUIRE)) != cl->asked)
		iomap_env_wait(cl->pool->env, &cl->done, seen, IOMAP_FOREVER);
	return cl->result;
}

int cleaner_start(struct cleaner *cl, struct pool *pool, unsigned index)
{
	cl->pool = pool;
	cl->index = index;
	cl->copies = aligned_alloc(FRAME, (size_t)BATCH * FRAME);
	if (!cl->copies)
		return -ENOMEM;
	(void)iomap_ioq_register_memory(cl->ioq, cl->copies, (size_t)BATCH * FRAME);
	iomap_mutex_init(&cl->lock, IOMAP_RANK_LEAF);
	iomap_list_init(&cl->free);
	for (unsigned i = 0; i < BATCH; i++) {
		cl->slots[i].cleaner = cl;
		cl->slots[i].copy = (char *)cl->copies + (size_t)i * FRAME;
		iomap_list_add_tail(&cl->free, &cl->slots[i].node);
	}
	return -pthread_create(&cl->thread, NULL, cleaner_thread, cl);
}

void cleaner_stop(struct cleaner *cl)
{
	__atomic_store_n(&cl->stop, 1, __ATOMIC_RELEASE);
	__atomic_add_fetch(&cl->asked, 1, __ATOMIC_RELEASE);	/* wake it out of its wait */
	iomap_env_wake(cl->pool->env, &cl->asked, 1);
	pthread_join(cl->thread, NULL);
}

/* Nothing of it is under way any more. */
void cleaner_free(struct cleaner *cl)
{
	free(cl->copies);
}
