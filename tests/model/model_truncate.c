/* SPDX-License-Identifier: MIT */
/*
 * model_truncate.c - what takes both locks of a file: zero, truncate, punch, insert, share; and
 * unshare.
 *
 * A truncate that cuts or grows a block zeroes the rest of it in the cache and waits until that is
 * on the device, before the size on disk can say otherwise: else a crash in between would bring the
 * old bytes back.  Growing it also brings out what the old size did not reach yet, for the new one
 * says that it is there.
 */
#include "model/model_priv.h"

static void lock(struct m_file *f)
{
	iomap_inode_lock(&f->inode, 0);
	iomap_inode_invalidate_lock(&f->inode, 0);
}

static void unlock(struct m_file *f)
{
	iomap_inode_invalidate_unlock(&f->inode);
	iomap_inode_unlock(&f->inode);
}

int m_zero(struct m_file *f, int64_t pos, uint64_t len, bool *did_zero)
{
	struct m_model *m = f->m;
	int64_t end = pos + (int64_t)len;
	int rc;

	lock(f);
	rc = iomap_zero_range(&f->inode, pos, len, did_zero, &m->ops, &m->write_ops, NULL);
	if (end > f->ref_size)
		end = f->ref_size;
	if (!rc && pos < end)
		memset(f->ref + pos, 0, (size_t)(end - pos));
	unlock(f);
	return rc;
}

int m_unshare(struct m_file *f, int64_t pos, uint64_t len)
{
	struct m_model *m = f->m;
	int rc;

	iomap_inode_lock(&f->inode, 0);
	rc = iomap_file_unshare(&f->inode, pos, len, &m->ops, &m->write_ops, NULL);
	iomap_inode_unlock(&f->inode);
	return rc;
}

/* Nobody makes anything dirty in place between the sync and the mark. */
void m_share(struct m_file *f)
{
	struct m_model *m = f->m;

	ck_assert(m->opts.cow);
	lock(f);
	ck_assert_int_eq(m_sync(f), 0);
	iomap_mutex_lock(m->env, &f->extents);
	for (unsigned b = 0; b < M_MAX_FILE / m->block_size; b++)
		if (f->data[b].type == IOMAP_MAPPED)
			f->data[b].shared = true;
	m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
	unlock(f);
}

static void set_disk_size(struct m_file *f, int64_t size)
{
	struct m_model *m = f->m;

	iomap_mutex_lock(m->env, &f->extents);
	__atomic_store_n(&f->disk_size, size, __ATOMIC_RELAXED);
	m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
}

static void change_size(struct m_file *f, int64_t size)
{
	struct m_model *m = f->m;
	int64_t old = f->ref_size;

	iomap_inode_set_size(&f->inode, size);
	if (size < old) {
		iomap_mapping_truncate(&f->inode, size);
		m_drop_blocks(f, m_block_end(m, size), m_block_end(m, M_MAX_FILE));
		memset(f->ref + size, 0, (size_t)(old - size));
	}
	set_disk_size(f, size);
	f->ref_size = size;
}

int m_truncate(struct m_file *f, int64_t size)
{
	struct m_model *m = f->m;
	int64_t edge, from;
	int rc;

	lock(f);
	edge = size < f->ref_size ? size : f->ref_size;
	rc = iomap_truncate_page(&f->inode, edge, NULL, &m->ops, &m->write_ops, NULL);
	from = size > f->ref_size ? 0 : edge;
	if (!rc)
		rc = iomap_mapping_write_and_wait_range(&f->inode, from, edge + m->block_size);
	if (!rc)
		change_size(f, size);
	unlock(f);
	return rc;
}

/* Both locks held.  Folios that lie in it in part stay, so they are zeros already and clean. */
static int punch(struct m_file *f, int64_t pos, int64_t end)
{
	struct m_model *m = f->m;
	unsigned b = m_block_end(m, pos), stop = m_block_nr(m, end);
	int rc = iomap_zero_range(&f->inode, pos, (uint64_t)(end - pos), NULL, &m->ops,
				  &m->write_ops, NULL);

	if (!rc)
		rc = iomap_mapping_write_and_wait_range(&f->inode, pos, end);
	if (rc)
		return rc;
	memset(f->ref + pos, 0, (size_t)(end - pos));
	if (b >= stop)
		return 0;
	iomap_mapping_punch(&f->inode, (int64_t)b * m->block_size, (int64_t)stop * m->block_size);
	m_drop_blocks(f, b, stop);
	return 0;
}

int m_hole(struct m_file *f, int64_t pos, int64_t len)
{
	int64_t end;
	int rc = 0;

	lock(f);
	end = pos + len < f->ref_size ? pos + len : f->ref_size;
	if (pos < end)
		rc = punch(f, pos, end);
	unlock(f);
	return rc;
}

void m_preallocate(struct m_file *f, int64_t pos, uint64_t len, bool in_cow)
{
	struct m_block *fork = in_cow ? f->cow : f->data;
	struct m_model *m = f->m;

	lock(f);
	iomap_mutex_lock(m->env, &f->extents);
	for (unsigned b = m_block_nr(m, pos); b < m_block_end(m, pos + (int64_t)len); b++) {
		if (fork[b].type != IOMAP_HOLE)
			continue;
		ck_assert_uint_eq(m_space_for(f, b, 1, &fork[b].addr), 1);
		fork[b].type = IOMAP_UNWRITTEN;
	}
	m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
	unlock(f);
}

/* Both locks held, nothing is cached or on its way behind pos.  What waits for a write in the CoW
 * fork goes: it would lie elsewhere now. */
static void shift(struct m_file *f, int64_t pos, int64_t len)
{
	struct m_model *m = f->m;
	unsigned b = m_block_nr(m, pos), by = m_block_nr(m, len);
	unsigned end = m_block_end(m, f->ref_size);

	iomap_mutex_lock(m->env, &f->extents);
	for (unsigned i = b; i < m_block_end(m, M_MAX_FILE); i++) {
		if (m_has_space(&f->cow[i]))
			m_space_free(m, f->cow[i].addr, 1);
		f->cow[i] = (struct m_block){ .type = IOMAP_HOLE };
	}
	memmove(f->data + b + by, f->data + b, (end - b) * sizeof(*f->data));
	memset(f->data + b, 0, by * sizeof(*f->data));
	iomap_mutex_unlock(m->env, &f->extents);
	memmove(f->ref + pos + len, f->ref + pos, (size_t)(f->ref_size - pos));
	memset(f->ref + pos, 0, (size_t)len);
}

int m_insert(struct m_file *f, int64_t pos, int64_t len)
{
	int64_t size;
	int rc;

	lock(f);
	/* before the size changes: nothing behind the end is written or mapped in (R20) */
	rc = iomap_mapping_write_and_wait_range(&f->inode, pos, IOMAP_MAX_POS);
	if (!rc) {
		iomap_mapping_truncate(&f->inode, pos);
		shift(f, pos, len);
		size = f->ref_size + len;
		iomap_inode_set_size(&f->inode, size);
		set_disk_size(f, size);
		f->ref_size = size;
	}
	unlock(f);
	return rc;
}
