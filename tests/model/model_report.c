/* SPDX-License-Identifier: MIT */
/*
 * model_report.c - the model asked where its data and its holes are.
 */
#include "model/model_priv.h"

int64_t m_seek_data(struct m_file *f, int64_t pos)
{
	int64_t at;

	iomap_inode_lock(&f->inode, IOMAP_LOCK_SHARED);
	at = iomap_seek_data(&f->inode, pos, &f->m->ops, NULL);
	iomap_inode_unlock(&f->inode);
	return at;
}

int64_t m_seek_hole(struct m_file *f, int64_t pos)
{
	int64_t at;

	iomap_inode_lock(&f->inode, IOMAP_LOCK_SHARED);
	at = iomap_seek_hole(&f->inode, pos, &f->m->ops, NULL);
	iomap_inode_unlock(&f->inode);
	return at;
}

static int keep_extent(void *arg, const struct iomap_extent *extent)
{
	struct m_extents *all = arg;
	unsigned max = all->max ? all->max : sizeof(all->e) / sizeof(*all->e);

	ck_assert_uint_lt(all->nr, max);	/* full is full */
	all->e[all->nr++] = *extent;
	return all->nr == max;
}

int m_fiemap(struct m_file *f, int64_t pos, uint64_t len, bool sync_first, struct m_extents *all)
{
	int rc;

	all->nr = 0;
	iomap_inode_lock(&f->inode, IOMAP_LOCK_SHARED);
	rc = iomap_fiemap(&f->inode, pos, len, sync_first, &f->m->ops, NULL, keep_extent, all);
	iomap_inode_unlock(&f->inode);
	return rc;
}
