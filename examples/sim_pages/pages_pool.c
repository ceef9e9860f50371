/* SPDX-License-Identifier: MIT */
/*
 * pages_pool.c - frames: pages that are read, changed, cleaned and evicted.
 *
 * A frame may be given away when it is clean: when what was sent was written.  Until then its home
 * has an older page, and who reads that again changes the past.  A frame that is under way is not
 * sent a second time, for two writes to one place have no order.
 */
#include <errno.h>
#include <string.h>

#include "pages_parts.h"

uint64_t pages_home(const struct table *table, uint32_t page)
{
	return 1 + (uint64_t)table->extents[page / EXTENT_PAGES] * EXTENT_PAGES +
	       page % EXTENT_PAGES;
}

static bool is_under_way(const struct frame *frame)
{
	return frame->slot->frame;
}

static bool is_dirty(const struct pages *db, unsigned i)
{
	return db->table_of[i] != NO_TABLE && frame_is_dirty(&db->frames[i]);
}

/* ---- for cleaner.c ---- */

/* A table is some extents, one map each. */
static void map(struct iomap_writeback_ctx *wpc, const struct page *page)
{
	const struct space *space = wpc->inode->owner;
	uint32_t extent = (uint32_t)(page->number - 1) / EXTENT_PAGES, i = 0;

	while (space->table.extents[i] != extent)
		i++;
	wpc->iomap = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = wpc->inode->bdev,
		.offset = (int64_t)i * EXTENT_PAGES * FRAME, .length = EXTENT_PAGES * FRAME,
		.addr = (1 + (uint64_t)extent * EXTENT_PAGES) * FRAME,
	};
}

static void hand_over(struct cleaner *cl, struct iomap_ioend *ioend)
{
	struct pages *db = cl->owner;

	if (db->opts.bug == PAGES_BUG_LOG_RULE)
		pages_dw_submit(&db->dw, ioend, 0);
	else
		log_submit(&db->log, ioend);
}

static void log_lets_go(struct log *log, struct iomap_ioend *ioend, int error)
{
	struct pages *db = log->owner;

	pages_dw_submit(&db->dw, ioend, error);
}

void pages_pool_init(struct pages *db)
{
	db->log.send = log_lets_go;
	db->log.owner = db;
	db->cleaner = (struct cleaner){
		.env = db->env, .map = map, .hand_over = hand_over, .owner = db,
	};
	for (unsigned i = 0; i < POOL_FRAMES; i++) {
		iomap_mutex_init(&db->frames[i].latch, IOMAP_RANK_EXTENT);
		db->frames[i].page = &db->pages[i];
		db->frames[i].slot = &db->slots[i];
		db->table_of[i] = NO_TABLE;
	}
}

/* ---- clean ---- */

/* Those of a table that are dirty and not under way, by their place in it. */
static unsigned collect(struct pages *db, uint32_t table, struct frame **frames, unsigned max)
{
	unsigned nr = 0;

	for (uint32_t page = 0; page < PAGES_TABLE_PAGES; page++)
		for (unsigned i = 0; i < POOL_FRAMES && nr < max; i++)
			if (db->table_of[i] == table && is_dirty(db, i) &&
			    db->frames[i].pos == (int64_t)page * FRAME &&
			    !is_under_way(&db->frames[i]))
				frames[nr++] = &db->frames[i];
	return nr;
}

int pages_pool_clean(struct pages *db, unsigned nr)
{
	struct frame *frames[POOL_FRAMES];
	int rc = db->error;

	for (uint32_t t = 0; !rc && t < PAGES_TABLES; t++) {
		unsigned here = collect(db, t, frames, nr);

		if (!here)
			continue;
		rc = pages_dw_room(db, here);
		if (!rc)
			rc = cleaner_clean(&db->cleaner, &db->spaces[t].inode, frames, here);
		nr -= here;
	}
	if (rc)
		db->error = rc;
	return rc;
}

/* A page whose write failed is dirty still, but its home may be torn: only recovery repairs it. */
int pages_pool_settle(struct pages *db)
{
	for (uint32_t t = 0; t < PAGES_TABLES; t++) {
		struct space *space = &db->spaces[t];
		struct iomap_inode *inode = &space->inode;
		int rc;

		if (!space->table.id)
			continue;
		rc = iomap_inode_wait_wb(inode, iomap_inode_wb_seq(inode), IOMAP_FOREVER);
		if (!rc)
			rc = iomap_file_check_error(&space->cursor);
		if (rc)
			db->error = rc;
	}
	if (db->dw.error)		/* perhaps of a table that was dropped, and forgotten */
		db->error = db->dw.error;
	return db->error;
}

/* Once more for those that were changed while they were under way. */
int pages_pool_write(struct pages *db)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < 2; i++) {
		rc = pages_pool_clean(db, POOL_FRAMES);
		if (!rc)
			rc = pages_pool_settle(db);
	}
	return rc;
}

/* ---- read ---- */

static bool may_go(const struct pages *db, unsigned i)
{
	const struct frame *frame = &db->frames[i];

	if (db->table_of[i] == NO_TABLE)
		return true;
	if (is_under_way(frame))
		return db->opts.bug == PAGES_BUG_EVICT &&
		       frame->slot->copy.lsn == frame->page->lsn;
	return !is_dirty(db, i);
}

static int find_victim(struct pages *db, unsigned *victim)
{
	for (unsigned tries = 0; tries < 2; tries++) {
		int rc;

		for (unsigned n = 0; n < POOL_FRAMES; n++) {
			*victim = db->hand++ % POOL_FRAMES;
			if (may_go(db, *victim))
				return 0;
		}
		rc = pages_pool_write(db);
		if (rc)
			return rc;
	}
	return -EBUSY;
}

static int judge(struct pages *db, const struct table *table, uint32_t number,
		 const struct page *page)
{
	db->damage = page->sum != page_sum(page) ? PAGES_TORN :
		     page->number != number || page->words[WORD_TABLE] != table->id ?
		     PAGES_STRANGER : page->lsn > db->last_lsn ? PAGES_AHEAD : PAGES_UNHARMED;
	return db->damage ? -EBADMSG : 0;
}

static int load(struct pages *db, unsigned i, uint32_t table, uint32_t page)
{
	struct frame *frame = &db->frames[i];
	const struct table *t = &db->spaces[table].table;
	uint64_t home = pages_home(t, page);
	int rc;

	db->counts.evicted += db->table_of[i] != NO_TABLE;
	db->table_of[i] = NO_TABLE;
	rc = pages_io(db, db->data, IOMAP_BIO_READ, frame->page, FRAME, home * FRAME, 0);
	if (!rc)
		rc = judge(db, t, (uint32_t)home, frame->page);
	if (rc)
		return rc;
	db->table_of[i] = table;
	frame->pos = (int64_t)page * FRAME;
	frame->written_lsn = frame->page->lsn;
	return 0;
}

int pages_pool_get(struct pages *db, uint32_t table, uint32_t page, struct frame **frame)
{
	unsigned i = 0;
	int rc;

	while (i < POOL_FRAMES &&
	       (db->table_of[i] != table || db->frames[i].pos != (int64_t)page * FRAME))
		i++;
	*frame = &db->frames[i % POOL_FRAMES];
	if (i < POOL_FRAMES)
		return 0;
	rc = find_victim(db, &i);
	*frame = &db->frames[i % POOL_FRAMES];
	return rc ? rc : load(db, i, table, page);
}

void pages_pool_forget(struct pages *db, uint32_t table)
{
	for (unsigned i = 0; i < POOL_FRAMES; i++)
		if (db->table_of[i] == table)
			db->table_of[i] = NO_TABLE;
}
