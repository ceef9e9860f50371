/* SPDX-License-Identifier: MIT */
/*
 * pages_root.c - checkpoints, and the roots that make them valid.
 *
 * There are three places for a root.  The next one is written neither over the one in use, nor over
 * the last one that is known to be durable: a root that was found need not be, it may have been
 * written by a publish that failed, and be gone after the next crash.
 */
#include <errno.h>
#include <string.h>

#include "pages_parts.h"

#define MAGIC		0x746f6f722d6770ull	/* "pg-root" */
#define ROOTS		3u
#define ROOT_SIZE	4096u

static uint64_t sum_of(const struct root *root)
{
	return iomap_sim_digest(&root->magic, sizeof(*root) - sizeof(root->sum), 0);
}

int pages_root_load(struct pages *db)
{
	char *mem = (char *)&db->scratch[0];
	int rc = pages_read_pieces(db, db->data, mem, ROOTS * ROOT_SIZE, ROOT_SIZE, 0);

	db->root.count = 0;
	for (unsigned i = 0; !rc && i < ROOTS; i++) {
		const struct root *root = (void *)(mem + i * ROOT_SIZE);

		if (root->magic != MAGIC || root->sum != sum_of(root) ||
		    root->count <= db->root.count)
			continue;
		db->root = *root;
		db->root_slot = i;
	}
	db->root_durable = false;
	db->number = db->root.number;
	db->next_id = db->root.next_id;
	return rc ? rc : db->root.count ? 0 : -EBADMSG;
}

static unsigned next_slot(const struct pages *db)
{
	return db->root.count ? ROOTS - db->root_slot - (unsigned)db->root.before : 0;
}

int pages_root_publish(struct pages *db)
{
	char *mem = (char *)&db->scratch[0];
	unsigned slot = next_slot(db);
	struct root root = {
		.magic = MAGIC, .count = db->root.count + 1, .generation = db->generation,
		.before = db->root_durable ? db->root_slot : db->root.before,
		.redo = db->last_lsn, .number = db->number, .next_id = db->next_id,
	};
	int rc;

	if (!db->root.count)
		root.before = 1;	/* the very first; there is none */
	for (uint32_t t = 0; t < PAGES_TABLES; t++)
		root.tables[t] = db->spaces[t].table;
	root.sum = sum_of(&root);
	memset(mem, 0, ROOT_SIZE);
	memcpy(mem, &root, sizeof(root));
	rc = pages_io(db, db->data, IOMAP_BIO_WRITE, mem, ROOT_SIZE, slot * ROOT_SIZE,
		      IOMAP_BIO_FUA);
	if (rc)
		return rc;
	db->root = root;
	db->root_slot = slot;
	db->root_durable = true;
	db->log.start = root.redo;
	return 0;
}

static int flush(struct pages *db)
{
	int rc = pages_flush(db);

	if (rc && db->opts.bug == PAGES_BUG_FLUSH_RETRY) {
		db->error = 0;
		rc = pages_flush(db);
	}
	return rc;
}

/* Pages first: with this root the log up to here is not read any more. */
int pages_checkpoint(struct pages *db)
{
	int rc = db->error;

	if (!rc)
		rc = log_wait(&db->log, db->last_lsn);
	if (!rc)
		rc = db->opts.bug == PAGES_BUG_CHECKPOINT ? pages_pool_clean(db, POOL_FRAMES)
							  : pages_pool_write(db);
	if (!rc)
		rc = flush(db);
	if (!rc)
		rc = pages_root_publish(db);
	if (rc)
		db->error = rc;
	return rc;
}
