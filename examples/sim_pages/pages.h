/* SPDX-License-Identifier: MIT */
/*
 * pages.h - a small database on libiomap: what a page writer has to get right, and how to test it.
 *
 * Three tables of 16 rows in pages of 16 KiB, a pool that holds half of them, a redo log, a
 * double-write area and checkpoints, on three devices: "data", "log" and "dw".  It cleans pages by
 * page_writer's cleaner.c, behind page_writer's log.c.  Pages tear: the blocks of a device are
 * smaller.
 *   threads  one, that of the simulation: who waits drives.
 *   memory   comes from the simulation and goes with its run; what is open must be closed.
 *   errors   negative.  After any of a device the database is broken: every change says so, and
 *            only a new one that recovers tells what is there.  -EBADMSG: what is on the devices
 *            is not what was written, see pages_damage; -ENOENT: there is no such table.
 */
#ifndef PAGES_H
#define PAGES_H

#include <iomap/sim.h>

#define PAGES_TABLES		3u
#define PAGES_TABLE_PAGES	4u
#define PAGES_ROWS		4u		/* of a page */
#define PAGES_TABLE_ROWS	(PAGES_TABLE_PAGES * PAGES_ROWS)
#define PAGES_CHANGES		3u		/* of a transaction, at most */
#define PAGES_DATA_SIZE		(256u << 10)
#define PAGES_LOG_SIZE		(16u << 10)
#define PAGES_DW_SIZE		(192u << 10)

/* Mistakes that databases were shipped with, each of a line or two. */
enum pages_bug {
	PAGES_CORRECT,
	PAGES_BUG_LOG_RULE,		/* pages go out before their log records are durable */
	PAGES_BUG_DOUBLE_WRITE,		/* no flush between the copy of a page and the page */
	PAGES_BUG_EVICT,		/* a frame is given away when it was sent, not written */
	PAGES_BUG_CHECKPOINT,		/* does not wait for pages that are on their way */
	PAGES_BUG_DROP,			/* extents are used again before the drop is durable */
	PAGES_BUG_FLUSH_RETRY,		/* flush again, and believe that */
	PAGES_NR_BUGS,
};
struct pages_opts {
	unsigned bug;
};
struct pages_change {
	uint32_t table, row;
	uint64_t value;
};
struct pages;

int pages_format(struct iomap_sim *sim);
/* Devices are open, nothing was read.  Then recover; then the rest. */
int pages_new(struct iomap_sim *sim, const struct pages_opts *opts, struct pages **db);
/* What it finds is durable when it returns. */
int pages_recover(struct pages *db);
/* As it is: nothing is written, but what is on its way arrives. */
void pages_close(struct pages **db);

/* A transaction: all of it or nothing.  Seen at once, durable with the next commit. */
int pages_change(struct pages *db, const struct pages_change *changes, unsigned nr);
int pages_drop(struct pages *db, uint32_t table);
int pages_create(struct pages *db, uint32_t table);	/* rows are 0; -EEXIST */
int pages_get(struct pages *db, uint32_t table, uint32_t row, uint64_t *value);
int pages_commit(struct pages *db);		/* 0: all transactions so far are durable.. */
int pages_checkpoint(struct pages *db);		/* ..without the log, too */
/* The page cleaner, a step of it: dirty pages, nr at most, are sent and not waited for. */
int pages_clean(struct pages *db, unsigned nr);

uint64_t pages_number(const struct pages *db);	/* of the last transaction, drop or create */
uint64_t pages_durable(const struct pages *db);	/* the LSN up to which the log is */
bool pages_has(const struct pages *db, uint32_t table);
/* Of the last page that was read with -EBADMSG. */
enum pages_damage {
	PAGES_UNHARMED,
	PAGES_TORN,			/* the checksum is wrong, and there is no copy */
	PAGES_STRANGER,			/* another table's */
	PAGES_AHEAD,			/* newer than the log */
};
enum pages_damage pages_damage(const struct pages *db);
struct pages_counts {
	unsigned evicted, restored, replayed, rounds, reused, held;
};
struct pages_counts pages_counts(const struct pages *db);

#endif
