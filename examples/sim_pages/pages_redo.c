/* SPDX-License-Identifier: MIT */
/*
 * pages_redo.c - records of the log, and recovery.
 *
 * A record belongs to the log if it is whole, in its place, of the root's generation, and names the
 * one before it.  Where none is, the next may begin with the next block, for each write pads the
 * log; where none is either, the log ends.  What lies behind was never promised: each recovery
 * begins a new generation, so that it does not come back.
 */
#include <errno.h>
#include <string.h>

#include "pages_parts.h"

static uint64_t sum_of(const struct record *r)
{
	return iomap_sim_digest(&r->lsn, sizeof(*r) - sizeof(r->sum), 0);
}

int pages_redo_append(struct pages *db, struct record *r)
{
	int rc;

	r->lsn = db->log.end + sizeof(*r);
	r->prev = db->last_lsn;
	r->generation = db->generation;
	r->number = db->number + 1;
	r->sum = sum_of(r);
	rc = log_append(&db->log, r, sizeof(*r), &r->lsn);
	if (rc)
		return rc;
	db->last_lsn = r->lsn;
	db->number++;
	return 0;
}

/*
 * Nothing is done twice, for a page tells how far it is.  Each change has an LSN of its own, for
 * two may be in one page, and that may be cleaned in between.
 */
int pages_redo_apply(struct pages *db, const struct record *r, unsigned i)
{
	const struct pages_change *change = &r->changes[i];
	uint64_t lsn = r->lsn - r->nr + 1 + i;
	struct frame *frame;
	int rc = pages_pool_get(db, change->table, change->row / PAGES_ROWS, &frame);

	if (rc || frame->page->lsn >= lsn)
		return rc;
	frame->page->words[WORD_ROW(change->row % PAGES_ROWS)] = change->value;
	frame->page->lsn = lsn;
	return 0;
}

/* ---- recovery ---- */

/* The record behind that one, or NULL: there is none. */
static const struct record *next(struct pages *db, uint64_t prev)
{
	uint64_t at = prev;

	for (unsigned tries = 0; tries < 2; tries++) {
		const struct record *r = (void *)(db->ring + at % PAGES_LOG_SIZE);

		if (r->lsn == at + sizeof(*r) && r->prev == prev &&
		    r->generation == db->root.generation && r->sum == sum_of(r))
			return r;
		if (at % LOG_BLOCK == 0)
			return NULL;
		at = (at + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
	}
	return NULL;
}

static void change_tables(struct table *tables, const struct record *r)
{
	if (r->type == RECORD_DROP)
		tables[r->table].id = 0;
	if (r->type == RECORD_CREATE)
		tables[r->table] = r->created;
}

/* How far the log goes, and which tables there are then. */
static int scan(struct pages *db, struct table *tables)
{
	int rc = pages_read_pieces(db, db->log.bdev, db->ring, PAGES_LOG_SIZE, LOG_BLOCK, 0);

	if (rc)
		return rc;
	db->last_lsn = db->root.redo;
	for (const struct record *r; (r = next(db, db->last_lsn)); db->last_lsn = r->lsn) {
		change_tables(tables, r);
		db->number = r->number;
		if (r->type == RECORD_CREATE)
			db->next_id = r->created.id + 1;
	}
	db->log.start = db->root.redo;
	db->log.end = (db->last_lsn + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
	db->log.durable = db->log.end;
	return 0;
}

/*
 * What was read need not be durable: power may have stayed on after a write that failed.  Pages
 * must not go out before it is, so it is written again, the same bytes to the same place.
 */
static int make_durable(struct pages *db)
{
	if (db->last_lsn == db->root.redo)
		return 0;
	db->log.durable = db->root.redo / LOG_BLOCK * LOG_BLOCK;
	return log_wait(&db->log, db->last_lsn);
}

/* Tables that were dropped later are left out: their pages may be another's. */
static int replay(struct pages *db)
{
	struct table tables[PAGES_TABLES];
	uint64_t at = db->root.redo;
	int rc = 0;

	memcpy(tables, db->root.tables, sizeof(tables));
	for (const struct record *r; !rc && (r = next(db, at)); at = r->lsn) {
		change_tables(tables, r);
		for (uint32_t i = 0; !rc && r->type == RECORD_CHANGE && i < r->nr; i++) {
			uint32_t t = r->changes[i].table;

			if (tables[t].id == db->spaces[t].table.id)
				rc = pages_redo_apply(db, r, i);
		}
		db->counts.replayed++;
	}
	return rc;
}

/* The root at the end makes all of it valid at once; until then another recovery does the same. */
int pages_recover(struct pages *db)
{
	struct table tables[PAGES_TABLES];
	int rc = pages_root_load(db);

	if (rc)
		return rc;
	memcpy(tables, db->root.tables, sizeof(tables));
	rc = scan(db, tables);
	if (!rc)
		rc = make_durable(db);
	if (!rc)
		rc = pages_dw_repair(db);
	for (uint32_t t = 0; !rc && t < PAGES_TABLES; t++)
		if (tables[t].id)
			rc = pages_space_open(db, t, &tables[t]);
	if (!rc)
		rc = replay(db);
	db->generation = db->root.generation + 1;
	return rc ? rc : pages_checkpoint(db);
}
