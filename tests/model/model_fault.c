/* SPDX-License-Identifier: MIT */
/*
 * model_fault.c - the user's memory where it fails, and stores through a mapping of the file.
 */
#include "model/model_priv.h"

/* ---- short copies ---- */

static size_t copy(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	struct m_file *f = data->owner;
	size_t at = data->total - data->left, n = f->m->hook_copy(f, at, len);

	ck_assert(!to_user);
	memcpy(mem, (const char *)data->iov->iov_base + at, n);
	return n;
}

static const struct iomap_data_ops copy_ops = {
	.struct_size = sizeof(copy_ops), .copy = copy,
};

void m_data_init(struct m_file *f, struct iomap_data *data, const struct iovec *iov)
{
	iomap_data_init(data, iov, 1);
	if (!f->m->hook_copy)
		return;
	data->ops = &copy_ops;
	data->owner = f;
}

/* ---- a mapping ---- */

/* Bytes behind the end of the file are the folio's alone. */
int m_store(struct m_file *f, int64_t pos, const void *buf, size_t len)
{
	struct m_model *m = f->m;
	struct iomap_folio *folio;
	int64_t size;
	int rc;

	iomap_inode_invalidate_lock(&f->inode, IOMAP_LOCK_SHARED);
	rc = iomap_page_mkwrite(&f->inode, pos, &m->ops, &m->write_ops, NULL, &folio);
	if (!rc) {
		ck_assert_int_le(pos + (int64_t)len, folio->pos + folio->size);
		memcpy((char *)folio->mem + (pos - folio->pos), buf, len);
		size = iomap_inode_size(&f->inode);
		if (pos + (int64_t)len > size)
			len = size > pos ? (size_t)(size - pos) : 0;
		memcpy(f->ref + pos, buf, len);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	iomap_inode_invalidate_unlock(&f->inode);
	return rc;
}
