/* SPDX-License-Identifier: MIT */
/*
 * model_xfs.c - the order of XFS's calls, as records of it show: see regress/oracle/README.md.
 */
#include "model/model_xfs.h"

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

static void write_and_wait(struct m_file *f, int64_t pos, int64_t end)
{
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&f->inode, pos, end), 0);
}

/*
 * A hook of begin.  To zero, no promise behind the block of the end is given: that space is
 * allocated, unwritten.
 */
void m_xfs_map(struct m_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map,
	       struct iomap *srcmap)
{
	unsigned size = f->m->block_size, first = (unsigned)(map->offset / size), b;
	int64_t eof = (iomap_inode_size(&f->inode) + size - 1) / size * size;

	(void)len;
	(void)srcmap;
	if (!(flags & IOMAP_ZERO) || map->type != IOMAP_DELALLOC)
		return;
	if (pos < eof) {
		if (map->offset + (int64_t)map->length > eof)
			map->length = (uint64_t)(eof - map->offset);
		return;
	}
	for (b = first; f->data[b].type == IOMAP_DELALLOC; b++)
		m_set_block(f, b, IOMAP_UNWRITTEN, f->place[b]);
	map->type = IOMAP_UNWRITTEN;
	map->addr = f->place[first];
	map->validity_cookie = f->seq;
}

static bool zero(struct m_file *f, int64_t pos, int64_t end)
{
	struct m_model *m = f->m;
	bool did = false;

	if (pos < end)
		ck_assert_int_eq(iomap_zero_range(&f->inode, pos, (uint64_t)(end - pos), &did,
						  &m->ops, &m->write_ops, NULL), 0);
	return did;
}

int64_t m_xfs_write(struct m_file *f, int64_t pos, const void *buf, size_t len)
{
	lock(f);
	zero(f, iomap_inode_size(&f->inode), pos);
	unlock(f);
	return m_write(f, pos, buf, len);
}

void m_xfs_zero(struct m_file *f, int64_t pos, int64_t end)
{
	lock(f);
	zero(f, pos, end);
	memset(f->ref + pos, 0, (size_t)(end - pos));
	unlock(f);
}

void m_xfs_truncate(struct m_file *f, int64_t size)
{
	int64_t old = iomap_inode_size(&f->inode);
	struct m_model *m = f->m;
	bool did = false;

	lock(f);
	if (size > old)
		did = zero(f, old, size);
	else
		ck_assert_int_eq(iomap_truncate_page(&f->inode, size, &did, &m->ops,
						     &m->write_ops, NULL), 0);
	iomap_inode_set_size(&f->inode, size);
	iomap_mapping_truncate(&f->inode, size);
	if (size < old)
		memset(f->ref + size, 0, (size_t)(old - size));
	f->ref_size = size;
	/* what lies before the new end is on the device before a size can say so */
	if (size > f->disk_size && (did || old != f->disk_size))
		write_and_wait(f, f->disk_size, size);
	f->disk_size = size;
	f->dirty_meta = true;
	unlock(f);
}

void m_xfs_punch(struct m_file *f, int64_t pos, int64_t end)
{
	unsigned size = f->m->block_size;
	int64_t from = (pos + size - 1) / size * size, to = end / size * size;

	lock(f);
	write_and_wait(f, pos, end);
	zero(f, pos, from < end ? from : end);
	if (to >= from)
		zero(f, to, end);
	iomap_mapping_punch(&f->inode, from, to);
	for (int64_t at = from; at < to; at += size)
		m_set_block(f, (unsigned)(at / size), IOMAP_HOLE, 0);
	memset(f->ref + pos, 0, (size_t)(end - pos));
	unlock(f);
}

void m_xfs_unshare(struct m_file *f, int64_t pos, int64_t len)
{
	struct m_model *m = f->m;

	lock(f);
	ck_assert_int_eq(iomap_file_unshare(&f->inode, pos, (uint64_t)len, &m->ops, &m->write_ops,
					    NULL), 0);
	write_and_wait(f, pos, pos + len);
	unlock(f);
}

void m_xfs_write_directly(struct m_file *f, int64_t pos, const void *buf, int64_t len)
{
	unsigned size = f->m->block_size;

	lock(f);
	write_and_wait(f, pos, pos + len);
	iomap_mapping_punch(&f->inode, pos, pos + len);
	for (int64_t at = 0; at < len; at += size) {
		unsigned b = m_block_nr(f->m, pos + at);

		m_set_block(f, b, IOMAP_MAPPED, f->place[b]);
		ck_assert_int_eq(m_dev_write(f->m->bdev, f->place[b], (const char *)buf + at,
					     size), 0);
	}
	memcpy(f->ref + pos, buf, (size_t)len);
	unlock(f);
}

/* As a user's store: the page is read, if need be, and made writable. */
void m_xfs_store(struct m_file *f, int64_t pos, uint8_t byte)
{
	uint8_t was;

	ck_assert_int_eq(m_read(f, pos, &was, 1), 1);
	ck_assert_int_eq(m_store(f, pos, &byte, 1), 0);
}
