/* SPDX-License-Identifier: MIT */
/*
 * pages_dw.c - the double-write area: a page that tears at home is whole here.
 *
 * Ioends come from the log, which holds them no longer.  Their pages are written here one behind
 * the other and flushed, and then the ioends go home; those that come meanwhile wait for the next
 * round.  Nobody waits: a step begins where the one before ends.
 *
 * A copy is needed until its page is durable at home.  So the area is used again from its start
 * only when nothing is under way and the data device was flushed.
 */
#include <errno.h>

#include "pages_parts.h"

static void start(struct dw *dw);

/* Home, or nowhere. */
static void send(struct dw *dw, int error)
{
	struct iomap_list *l;

	dw->error = dw->error ? dw->error : error;
	while ((l = iomap_list_pop(&dw->going)))
		iomap_ioend_submit(iomap_container_of(l, struct iomap_ioend, list), dw->error);
	start(dw);
}

static void flushed(struct iomap_bio *bio)
{
	send(bio->owner, bio->status);
}

static void copied(struct iomap_bio *bio)
{
	struct dw *dw = bio->owner;

	if (bio->status || dw->db->opts.bug == PAGES_BUG_DOUBLE_WRITE) {
		send(dw, bio->status);
		return;
	}
	iomap_bio_init(bio, dw->bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	bio->end_io = flushed;
	bio->owner = dw;
	iomap_bdev_flush_submit(dw->bdev, iomap_bdev_write_seq(dw->bdev), bio);
}

static void add_copies(struct dw *dw, struct iomap_ioend *ioend)
{
	struct iomap_folio *folio;
	struct iomap_bvec seg;

	for (folio = iomap_ioend_first(ioend, &seg); folio;
	     folio = iomap_ioend_next(ioend, folio, &seg)) {
		iomap_bio_add(&dw->bio, seg.mem, seg.len, NULL);
		dw->used++;
	}
}

static void start(struct dw *dw)
{
	struct iomap_list *l;

	if (iomap_list_empty(&dw->waiting))
		return;
	iomap_bio_init(&dw->bio, dw->bdev, IOMAP_BIO_WRITE, (uint64_t)dw->used * FRAME, dw->segs,
		       DW_SLOTS);
	while ((l = iomap_list_pop(&dw->waiting))) {
		iomap_list_add_tail(&dw->going, l);
		add_copies(dw, iomap_container_of(l, struct iomap_ioend, list));
	}
	dw->bio.grain = FRAME;
	dw->bio.end_io = copied;
	dw->bio.owner = dw;
	iomap_bio_submit(&dw->bio);
}

void pages_dw_submit(struct dw *dw, struct iomap_ioend *ioend, int error)
{
	bool idle = iomap_list_empty(&dw->going);

	if (error || dw->error) {
		iomap_ioend_submit(ioend, error ? error : dw->error);
		return;
	}
	iomap_list_add_tail(&dw->waiting, &ioend->list);
	if (idle)
		start(dw);
}

int pages_dw_room(struct pages *db, unsigned nr)
{
	struct dw *dw = &db->dw;
	int rc = 0;

	if (dw->claimed + nr > DW_SLOTS) {
		rc = pages_pool_settle(db);
		if (!rc)
			rc = pages_flush(db);
		if (!rc)
			dw->claimed = dw->used = 0;
	}
	if (!rc)
		dw->claimed += nr;
	return rc;
}

int pages_dw_open(struct pages *db)
{
	db->dw.db = db;
	iomap_list_init(&db->dw.waiting);
	iomap_list_init(&db->dw.going);
	return iomap_bdev_open(db->ioq, "sim:dw", NULL, &db->dw.bdev);
}

/* ---- recovery ---- */

static bool is_page(const struct page *page)
{
	return page->number && page->number < NR_PAGES && page->sum == page_sum(page);
}

/* Older ones are there as well, from rounds before. */
static bool is_newest(const struct page *copies, unsigned i)
{
	for (unsigned k = 0; k < DW_SLOTS; k++)
		if (copies[k].number == copies[i].number && copies[k].lsn > copies[i].lsn &&
		    is_page(&copies[k]))
			return false;
	return true;
}

/*
 * What was read need not be durable, for power may have stayed on after a flush that failed.  So a
 * page that is whole is written again if it is this copy: no page goes home before its copy is
 * durable, so that can be relied on.  A copy that is newer need not be durable itself.
 */
static int repair(struct pages *db, struct page *copies, unsigned i)
{
	struct page *home = &db->pages[0];	/* the pool is empty */
	uint64_t addr = copies[i].number * FRAME;
	int rc = pages_read_pieces(db, db->data, home, FRAME, FRAME, addr);
	bool whole = is_page(home);

	if (rc || (whole ? home->lsn != copies[i].lsn : !is_newest(copies, i)))
		return rc;
	db->counts.restored += !whole;
	return pages_io(db, db->data, IOMAP_BIO_WRITE, &copies[i], FRAME, addr, 0);
}

int pages_dw_repair(struct pages *db)
{
	struct page *copies = db->scratch;
	int rc = pages_read_pieces(db, db->dw.bdev, copies, PAGES_DW_SIZE, FRAME, 0);

	for (unsigned i = 0; !rc && i < DW_SLOTS; i++)
		if (is_page(&copies[i]))
			rc = repair(db, copies, i);
	return rc ? rc : pages_flush(db);
}
