/* SPDX-License-Identifier: MIT */
/*
 * pages_parts.h - what the files of the database share.
 *
 *	pages.c		transactions, and a life from new to close
 *	pages_pool.c	frames: pages that are read, changed, cleaned and evicted
 *	pages_table.c	tables and extents: create, drop
 *	pages_dw.c	the double-write area: each page goes there first
 *	pages_redo.c	records of the log, and recovery
 *	pages_root.c	checkpoints, and the roots that make them valid
 *	pages_io.c	requests that are waited for
 *	../page_writer	cleaner.c, log.c
 *
 *	data	page 0: three roots; extents of two pages each, from page 1 on
 *	log	a ring of records, from the root's redo on
 *	dw	copies of pages
 *
 * The way of a page to its home: cleaner.c copies it and makes ioends; log.c holds them until their
 * records are durable; pages_dw.c writes and flushes a copy; then it is written.
 */
#ifndef PAGES_PARTS_H
#define PAGES_PARTS_H

#include "page_writer/cleaner.h"
#include "page_writer/log.h"
#include "pages.h"

#define POOL_FRAMES	6u		/* half of the pages */
#define NR_EXTENTS	7u		/* one more than there are in use */
#define EXTENT_PAGES	2u
#define TABLE_EXTENTS	(PAGES_TABLE_PAGES / EXTENT_PAGES)
#define NR_PAGES	(1 + NR_EXTENTS * EXTENT_PAGES)
#define DW_SLOTS	(PAGES_DW_SIZE / FRAME)
#define NO_TABLE	PAGES_TABLES

/* Words of a page: whose it is, and a row in each block of it. */
#define WORD_TABLE	0u
#define WORD_ROW(row)	((row) * (FRAME / 8 / PAGES_ROWS) + 8)

struct table {				/* as it is on devices */
	uint64_t id;			/* never used twice; 0: there is no such table */
	uint32_t extents[TABLE_EXTENTS];
};
struct space {				/* a table that is open */
	struct iomap_inode inode;
	struct iomap_file cursor;	/* sees each error once */
	struct pages *db;
	struct table table;
};
enum record_type { RECORD_CHANGE = 1, RECORD_DROP, RECORD_CREATE };
struct record {				/* of the log */
	uint64_t sum;			/* of all that follows */
	uint64_t lsn, prev;		/* its own, and that of the one before */
	uint64_t generation;		/* of the root; each recovery begins a new one */
	uint64_t number;
	uint32_t type, nr;
	struct pages_change changes[PAGES_CHANGES];
	struct table created;
	uint32_t table, spare[3];
};
_Static_assert(sizeof(struct record) == 128, "divides a block");
struct root {				/* a block of 4096 bytes on the device */
	uint64_t sum;			/* of all that follows */
	uint64_t magic;
	uint64_t count;			/* the largest is the one in use */
	uint64_t before;		/* the slot of one that was durable when this was written */
	uint64_t generation, redo;	/* replay begins behind this record */
	uint64_t number, next_id;
	struct table tables[PAGES_TABLES];
};
struct dw {
	struct pages *db;
	struct iomap_bdev *bdev;
	struct iomap_list waiting, going;	/* ioends; going: their copies are being written */
	struct iomap_bio bio;
	struct iomap_bvec segs[DW_SLOTS];
	unsigned claimed, used;		/* slots, by frames that were sent, by copies */
	int error;			/* nothing goes home any more */
};
struct pages {
	struct iomap_sim *sim;
	struct pages_opts opts;
	int error;			/* it is broken */
	enum pages_damage damage;
	struct pages_counts counts;
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *data;
	struct log log;
	struct dw dw;
	struct cleaner cleaner;
	struct space spaces[PAGES_TABLES];
	struct root root;		/* the one in use */
	unsigned root_slot;
	bool root_durable;		/* written by this engine; else it was found */
	uint64_t last_lsn;		/* of a record */
	uint64_t number, generation, next_id;
	uint64_t free_lsn[NR_EXTENTS];	/* of the record that dropped its table */
	struct frame frames[POOL_FRAMES];
	uint32_t table_of[POOL_FRAMES];	/* NO_TABLE: the frame is empty */
	unsigned hand;			/* of the clock that chooses who is evicted */
	struct page pages[POOL_FRAMES];
	struct slot slots[POOL_FRAMES];
	struct page scratch[DW_SLOTS];
	_Alignas(4096) char ring[PAGES_LOG_SIZE];
};

/* ---- pages_io.c ---- */
int pages_io(struct pages *db, struct iomap_bdev *bdev, enum iomap_bio_op op, void *mem,
	     size_t len, uint64_t addr, unsigned flags);
/* Pieces that cannot be read are zeros: what was being written when power went may be so. */
int pages_read_pieces(struct pages *db, struct iomap_bdev *bdev, void *mem, size_t len,
		      size_t piece, uint64_t addr);
int pages_flush(struct pages *db);		/* the data device */

/* ---- pages_pool.c ---- */
void pages_pool_init(struct pages *db);
int pages_pool_get(struct pages *db, uint32_t table, uint32_t page, struct frame **frame);
int pages_pool_clean(struct pages *db, unsigned nr);
int pages_pool_settle(struct pages *db);	/* nothing is under way, nothing has failed */
int pages_pool_write(struct pages *db);		/* nor is any frame dirty */
void pages_pool_forget(struct pages *db, uint32_t table);
uint64_t pages_home(const struct table *table, uint32_t page);	/* in pages of the device */

/* ---- pages_table.c ---- */
int pages_space_open(struct pages *db, uint32_t table, const struct table *what);
void pages_space_close(struct pages *db, uint32_t table);
int pages_table_make(struct pages *db, struct table *table);	/* extents, with empty pages */

/* ---- pages_dw.c ---- */
int pages_dw_open(struct pages *db);
void pages_dw_submit(struct dw *dw, struct iomap_ioend *ioend, int error);
int pages_dw_room(struct pages *db, unsigned nr);	/* for so many more; may wait */
int pages_dw_repair(struct pages *db);			/* torn pages become whole */

/* ---- pages_redo.c ---- */
/* Numbers the record, and fills in all but type, nr, and what it is about.  -ENOSPC. */
int pages_redo_append(struct pages *db, struct record *r);
int pages_redo_apply(struct pages *db, const struct record *r, unsigned i);	/* a change */

/* ---- pages_root.c ---- */
int pages_root_load(struct pages *db);
int pages_root_publish(struct pages *db);

#endif
