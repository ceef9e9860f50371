/* SPDX-License-Identifier: MIT */
/*
 * pages_table.c - tables and extents: create, drop.
 *
 * The pages of a new table are written before the log says that it is there, so that none can be
 * found with what another table left.  Until the drop of that one is durable a crash brings it
 * back, and its pages must be as they were.
 */
#include <errno.h>
#include <string.h>

#include "pages_parts.h"

int pages_space_open(struct pages *db, uint32_t table, const struct table *what)
{
	struct space *space = &db->spaces[table];
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &space_ops, .env = db->env, .bdev = db->data,
		.owner = space, .flags = IOMAP_INODE_FRAMES, .block_bits = 14,
	};
	int rc;

	*space = (struct space){ .db = db };
	rc = iomap_inode_init(&space->inode, &opts);
	if (rc)
		return rc;
	space->table = *what;
	return iomap_file_open(&space->cursor, &space->inode, 0);
}

/* Pages on their way arrive, or are called back. */
void pages_space_close(struct pages *db, uint32_t table)
{
	struct space *space = &db->spaces[table];

	if (!space->table.id)
		return;
	iomap_file_close(&space->cursor);
	iomap_inode_kill(&space->inode, IOMAP_FOREVER);
	iomap_inode_fini(&space->inode);
	pages_pool_forget(db, table);
	space->table.id = 0;
}

/* ---- create ---- */

static bool is_free(const struct pages *db, uint32_t extent)
{
	for (uint32_t t = 0; t < PAGES_TABLES; t++)
		for (uint32_t i = 0; i < TABLE_EXTENTS; i++)
			if (db->spaces[t].table.id && db->spaces[t].table.extents[i] == extent)
				return false;
	return true;
}

/* The first ones that are free; there are enough of them. */
static uint64_t take_extents(const struct pages *db, struct table *table)
{
	uint64_t dropped = 0;

	for (uint32_t e = 0, nr = 0; nr < TABLE_EXTENTS; e++) {
		if (!is_free(db, e))
			continue;
		table->extents[nr++] = e;
		dropped = dropped > db->free_lsn[e] ? dropped : db->free_lsn[e];
	}
	return dropped;
}

/* Newer than any page that was there before, for that one may have a copy. */
static int write_empty(struct pages *db, const struct table *table, uint32_t page)
{
	struct page *p = &db->scratch[0];

	memset(p, 0, sizeof(*p));
	p->lsn = db->log.durable < db->last_lsn ? db->log.durable : db->last_lsn;
	p->number = pages_home(table, page);
	p->words[WORD_TABLE] = table->id;
	p->sum = page_sum(p);
	return pages_io(db, db->data, IOMAP_BIO_WRITE, p, FRAME, p->number * FRAME, 0);
}

int pages_table_make(struct pages *db, struct table *table)
{
	uint64_t dropped;
	int rc = 0;

	table->id = db->next_id;
	dropped = take_extents(db, table);
	db->counts.reused += dropped != 0;
	if (dropped > db->log.durable && db->opts.bug != PAGES_BUG_DROP)
		rc = log_wait(&db->log, dropped);
	for (uint32_t page = 0; !rc && page < PAGES_TABLE_PAGES; page++)
		rc = write_empty(db, table, page);
	return rc ? rc : pages_flush(db);
}
