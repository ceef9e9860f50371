/* SPDX-License-Identifier: MIT */
/*
 * model_sync.c - the model's half of a sync: what makes a file's table and size durable.
 *
 *	journal on data	record with preflush and FUA
 *	.. on log_dev	flush the data's devices; record with preflush and FUA
 *	no_journal	flush them; table in place; the flush of the library
 *
 * What is made durable is what was so before the flush: a write that ends while that is under way
 * is not covered by it, and its blocks may not be named.  A file of which nothing has changed but
 * data needs none of it, and the library flushes.
 *
 * The table in place is one block: the size in its first sector, the blocks in those behind, so a
 * torn one has either of an old and a new size, and of each sector old or new blocks.  That is as
 * good as either: a block that only one of them has holds zeros or data of this file by then.
 */
#include "model/model_priv.h"

#include <stdio.h>

#define RECORD_BYTES	4096u
#define SECTOR		512u
#define TABLE_BLOCKS	((RECORD_BYTES - SECTOR) / sizeof(struct m_block))

static int flush_data(struct m_model *m)
{
	int rc = iomap_bdev_flush(m->bdev, iomap_bdev_write_seq(m->bdev));

	if (!rc && m->opts.striped)
		rc = iomap_bdev_flush(m->log_bdev, iomap_bdev_write_seq(m->log_bdev));
	return rc;
}

/* ---- with a journal ---- */

/* A record with preflush and FUA: what completed on its device before is durable with it. */
static int commit(struct m_model *m)
{
	static _Thread_local _Alignas(4096) char record[RECORD_BYTES];
	unsigned seq = m_count(m->commit_seq, 1u);
	uint64_t addr = (uint64_t)(seq % (M_LOG_BYTES / RECORD_BYTES)) * RECORD_BYTES;
	int rc = 0;

	m_event(m, M_COMMIT, (int64_t)addr, RECORD_BYTES, seq, 0);
	m_count(m->nr_commits, 1u);
	if (m->hook_commit)
		m->hook_commit(m, seq);
	if (m->log_bdev != m->bdev)	/* before the record that promises these blocks */
		rc = flush_data(m);
	if (rc)
		return rc;
	snprintf(record, sizeof(record), "commit %u", seq);
	return m_dev_io(m->log_bdev, IOMAP_BIO_WRITE, IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA, addr,
			record, sizeof(record));
}

/* ---- without one ---- */

struct table {
	char name[8];
	int64_t size;
	char rest[SECTOR - 16];
	struct m_block data[TABLE_BLOCKS];
};
_Static_assert(sizeof(struct table) == RECORD_BYTES, "one block");

static int write_table(struct m_model *m)
{
	static _Thread_local _Alignas(4096) struct table table;
	struct m_file *f = m->files;
	int rc;

	ck_assert_ptr_null(f->next);
	iomap_mutex_lock(m->env, &f->extents);
	memcpy(table.name, "table", sizeof("table"));
	table.size = f->disk_size;
	memcpy(table.data, f->data, sizeof(table.data));
	iomap_mutex_unlock(m->env, &f->extents);
	m_event(m, M_COMMIT, 0, sizeof(table), 0, 0);
	m_count(m->nr_commits, 1u);
	rc = flush_data(m);
	return rc ? rc : m_dev_write(m->bdev, 0, &table, sizeof(table));
}

int64_t m_table_read(struct iomap_bdev *bdev, struct m_block *data, unsigned nr)
{
	static _Alignas(4096) struct table table;

	ck_assert_uint_le(nr, TABLE_BLOCKS);
	memset(data, 0, nr * sizeof(*data));
	if (m_dev_read(bdev, 0, &table, sizeof(table)) || strncmp(table.name, "table", 6))
		return 0;
	memcpy(data, table.data, nr * sizeof(*data));
	return table.size;
}

/* ---- either ---- */

static int make_durable(struct m_model *m, bool *flushed)
{
	int rc = m->opts.no_journal ? write_table(m) : commit(m);

	*flushed = !rc && !m->opts.no_journal;
	return rc;
}

void m_touch(struct m_file *f)
{
	if (!f->m->opts.times)
		return;
	iomap_mutex_lock(f->m->env, &f->extents);
	f->dirty_times = true;
	iomap_mutex_unlock(f->m->env, &f->extents);
}

/* Is there anything to be made durable?  From now on there is not.  Whoever finds that another sync
 * is at it waits for that one: what it wants may be in there, and it is not durable yet.  hold:
 * sync_over is called in any case. */
static bool take_dirty(struct m_file *f, bool datasync, bool hold)
{
	struct m_model *m = f->m;
	iomap_word seen;
	bool was;

	for (;;) {
		seen = __atomic_load_n(&f->syncs, __ATOMIC_ACQUIRE);
		iomap_mutex_lock(m->env, &f->extents);
		was = f->dirty_meta || (f->dirty_times && !datasync);
		if (!f->syncing)
			break;
		iomap_mutex_unlock(m->env, &f->extents);
		iomap_env_wait(m->env, &f->syncs, seen, IOMAP_FOREVER);
	}
	if (was)
		f->dirty_meta = f->dirty_times = false;
	f->syncing = was || hold;
	iomap_mutex_unlock(m->env, &f->extents);
	return was;
}

static void sync_over(struct m_file *f, int rc)
{
	struct m_model *m = f->m;

	iomap_mutex_lock(m->env, &f->extents);
	f->dirty_meta |= rc != 0;
	f->syncing = false;
	iomap_mutex_unlock(m->env, &f->extents);
	m_count(f->syncs, 1u);
	iomap_env_wake(m->env, &f->syncs, UINT32_MAX);
}

int m_sync_metadata(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
		    bool *flushed)
{
	struct m_file *f = M_FILE(inode);
	struct m_model *m = f->m;
	int rc = m_fault(m, &m->fail_sync_metadata);

	m_event(m, M_SYNC_METADATA, start, (uint64_t)(end - start), rc, datasync);
	m_count(m->nr_sync_metadata, 1u);
	if (rc)
		return rc;
	if (m->opts.no_complete) {	/* nobody told it sizes: that of now will do */
		iomap_mutex_lock(m->env, &f->extents);
		f->disk_size = iomap_inode_size(inode);
		iomap_mutex_unlock(m->env, &f->extents);
	}
	if (!take_dirty(f, datasync, false))
		return 0;		/* nothing to commit, nothing flushed */
	rc = make_durable(m, flushed);
	sync_over(f, rc);
	return rc;
}

static int volume_sync_metadata(struct iomap_volume *volume, bool *flushed)
{
	struct m_model *m = iomap_volume_owner(volume);
	bool dirty = false;
	int rc = 0;

	for (struct m_file *f = m->files; f; f = f->next)
		dirty |= take_dirty(f, false, true);
	if (dirty)
		rc = make_durable(m, flushed);
	for (struct m_file *f = m->files; f; f = f->next)
		sync_over(f, rc);
	return rc;
}

static struct iomap_bdev *volume_bdev(struct iomap_volume *volume, unsigned i)
{
	struct m_model *m = iomap_volume_owner(volume);

	if (i == 1 && m->opts.striped)
		return m->log_bdev;
	return i ? NULL : m->bdev;
}

const struct iomap_volume_ops m_volume_ops = {
	.struct_size = sizeof(m_volume_ops), .sync_metadata = volume_sync_metadata,
	.bdev = volume_bdev,
};
