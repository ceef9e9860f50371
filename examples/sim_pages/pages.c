/* SPDX-License-Identifier: MIT */
/*
 * pages.c - transactions, and a life from new to close.
 */
#include <errno.h>
#include <string.h>

#include "pages_parts.h"

static int broken(struct pages *db, int rc)
{
	if (rc)
		db->error = rc;
	return rc;
}

/* ---- transactions ---- */

/* The log has no more room than is needed until a checkpoint. */
static int append(struct pages *db, struct record *r)
{
	int rc = pages_redo_append(db, r);

	if (rc != -ENOSPC)
		return rc;
	db->counts.rounds++;
	rc = pages_checkpoint(db);
	return rc ? rc : pages_redo_append(db, r);
}

int pages_change(struct pages *db, const struct pages_change *changes, unsigned nr)
{
	struct record r = { .type = RECORD_CHANGE, .nr = nr };
	int rc = db->error;

	if (!rc && (!nr || nr > PAGES_CHANGES))
		rc = -EINVAL;
	for (unsigned i = 0; !rc && i < nr; i++)
		rc = !pages_has(db, changes[i].table) ? -ENOENT :
		     changes[i].row >= PAGES_TABLE_ROWS ? -EINVAL : 0;
	if (rc)
		return rc;
	memcpy(r.changes, changes, nr * sizeof(*changes));
	rc = append(db, &r);
	for (unsigned i = 0; !rc && i < nr; i++)
		rc = pages_redo_apply(db, &r, i);
	return broken(db, rc);
}

int pages_get(struct pages *db, uint32_t table, uint32_t row, uint64_t *value)
{
	struct frame *frame;
	int rc = db->error;

	if (!rc && (!pages_has(db, table) || row >= PAGES_TABLE_ROWS))
		rc = -ENOENT;
	if (rc)
		return rc;
	rc = pages_pool_get(db, table, row / PAGES_ROWS, &frame);
	if (!rc)
		*value = frame->page->words[WORD_ROW(row % PAGES_ROWS)];
	return broken(db, rc);
}

int pages_drop(struct pages *db, uint32_t table)
{
	struct record r = { .type = RECORD_DROP, .table = table };
	int rc = db->error;

	if (!rc && !pages_has(db, table))
		rc = -ENOENT;
	if (rc)
		return rc;
	rc = append(db, &r);
	if (rc)
		return broken(db, rc);
	for (uint32_t i = 0; i < TABLE_EXTENTS; i++)
		db->free_lsn[db->spaces[table].table.extents[i]] = r.lsn;
	pages_space_close(db, table);
	return 0;
}

int pages_create(struct pages *db, uint32_t table)
{
	struct record r = { .type = RECORD_CREATE, .table = table };
	int rc = db->error;

	if (!rc && (table >= PAGES_TABLES || pages_has(db, table)))
		rc = -EEXIST;
	if (rc)
		return rc;
	rc = pages_table_make(db, &r.created);
	if (!rc)
		rc = append(db, &r);
	if (!rc)
		rc = pages_space_open(db, table, &r.created);
	db->next_id++;
	return broken(db, rc);
}

int pages_commit(struct pages *db)
{
	return db->error ? db->error : broken(db, log_wait(&db->log, db->last_lsn));
}

int pages_clean(struct pages *db, unsigned nr)
{
	return pages_pool_clean(db, nr);
}

/* ---- what is there ---- */

uint64_t pages_number(const struct pages *db)
{
	return db->number;
}

uint64_t pages_durable(const struct pages *db)
{
	return db->log.durable;
}

bool pages_has(const struct pages *db, uint32_t table)
{
	return table < PAGES_TABLES && db->spaces[table].table.id;
}

enum pages_damage pages_damage(const struct pages *db)
{
	return db->damage;
}

struct pages_counts pages_counts(const struct pages *db)
{
	struct pages_counts counts = db->counts;

	counts.held = db->log.nr_held;
	return counts;
}

/* ---- life ---- */

int pages_new(struct iomap_sim *sim, const struct pages_opts *opts, struct pages **db)
{
	const size_t align = _Alignof(struct pages);
	struct iomap_env_opts env = {
		.struct_size = sizeof(env), .nr_ioends = 32, .nr_bios = 64, .nr_segs = 16,
	};
	struct pages *p = iomap_sim_alloc(sim, sizeof(*p) + align);
	int rc;

	*db = NULL;
	if (!p)
		return -ENOMEM;
	p = (void *)(((uintptr_t)p + align - 1) / align * align);
	p->sim = sim;
	p->opts = *opts;
	p->log.records = p->ring;
	p->log.size = PAGES_LOG_SIZE;
	iomap_sim_env_opts(sim, &env);
	rc = iomap_env_new(&env, &p->env);
	if (!rc)
		rc = iomap_ioq_new(p->env, NULL, &p->ioq);
	if (!rc)
		rc = iomap_bdev_open(p->ioq, "sim:data", NULL, &p->data);
	if (!rc)
		rc = log_open(&p->log, p->env, p->ioq, "sim:log");
	if (!rc)
		rc = pages_dw_open(p);
	if (!rc)
		pages_pool_init(p);
	*db = p;
	if (rc)
		pages_close(db);
	return rc;
}

void pages_close(struct pages **db)
{
	struct pages *p = *db;

	if (!p)
		return;
	for (uint32_t t = 0; t < PAGES_TABLES; t++)
		pages_space_close(p, t);
	iomap_bdev_close(&p->dw.bdev);
	iomap_bdev_close(&p->log.bdev);
	iomap_bdev_close(&p->data);
	iomap_ioq_delete(&p->ioq);
	iomap_env_delete(&p->env);
	*db = NULL;
}

int pages_format(struct iomap_sim *sim)
{
	struct pages *db;
	int rc = pages_new(sim, &(struct pages_opts){ PAGES_CORRECT }, &db);

	if (rc)
		return rc;
	db->next_id = 1;
	rc = pages_io(db, db->dw.bdev, IOMAP_BIO_WRITE, db->scratch, PAGES_DW_SIZE, 0, 0);
	for (uint32_t t = 0; !rc && t < PAGES_TABLES; t++) {
		struct table table = { 0 };

		rc = pages_table_make(db, &table);
		if (!rc)
			rc = pages_space_open(db, t, &table);
		db->next_id++;
	}
	if (!rc)
		rc = pages_root_publish(db);
	pages_close(&db);
	return rc;
}
