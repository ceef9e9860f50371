/* SPDX-License-Identifier: MIT */
/*
 * pool.c - the frames of the pool: what a transaction does to them, and which cleaner has which.
 *
 * Stripes of frames belong to the cleaners in turn.  A cleaner waits for all that it has sent of a
 * stripe before it uses its slots for the next.
 */
#include "page_writer.h"

/* Log first, then change: nobody may see the change with an older number on it. */
int frame_change(struct db *db, struct frame *frame)
{
	struct page *page = frame->page;
	int rc;

	iomap_mutex_lock(db->env, &frame->latch);
	rc = log_append(&db->log, &page->number, sizeof(page->number), &page->lsn);
	for (size_t i = 0; !rc && i < WORDS; i++)
		page->words[i] = page->lsn * i;
	iomap_mutex_unlock(db->env, &frame->latch);
	return rc;
}

/* A space is one extent. */
static void map(struct iomap_writeback_ctx *wpc, const struct page *page)
{
	wpc->iomap = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = wpc->inode->bdev, .length = SPACE_BYTES,
		.addr = page->number / SPACE_FRAMES * SPACE_BYTES,
	};
}

static void hand_over(struct cleaner *cl, struct iomap_ioend *ioend)
{
	log_submit(cl->owner, ioend);
}

void pool_init(struct db *db)
{
	for (unsigned i = 0; i < NR_CLEANERS; i++)
		db->workers[i] = (struct worker){ .db = db, .cleaner = {
			.env = db->env, .map = map, .hand_over = hand_over, .owner = &db->log,
		} };
	for (unsigned i = 0; i < NR_FRAMES; i++) {
		struct frame *frame = &db->frames[i];

		iomap_mutex_init(&frame->latch, IOMAP_RANK_EXTENT);
		frame->page = &db->pages[i];
		frame->page->number = i;
		frame->pos = (int64_t)(i % SPACE_FRAMES) * FRAME;
		frame->slot = &db->slots[i / STRIPE % NR_CLEANERS][i % STRIPE];
	}
}

static int clean_stripe(struct worker *w, unsigned first)
{
	struct iomap_inode *space = &w->db->spaces[first / SPACE_FRAMES];
	struct frame *frames[STRIPE];
	int rc, waited;

	for (unsigned i = 0; i < STRIPE; i++)
		frames[i] = &w->db->frames[first + i];
	rc = cleaner_clean(&w->cleaner, space, frames, STRIPE);
	/* Held ioends too, and whoever waits drives; after an error no less: slots are in use. */
	waited = iomap_inode_wait_wb(space, iomap_inode_wb_seq(space), IOMAP_FOREVER);
	return rc ? rc : waited;
}

void *worker_run(void *worker)
{
	struct worker *w = worker;
	unsigned index = (unsigned)(w - w->db->workers);

	w->result = 0;
	for (unsigned i = index * STRIPE; !w->result && i < NR_FRAMES; i += NR_CLEANERS * STRIPE)
		w->result = clean_stripe(w, i);
	return NULL;
}
