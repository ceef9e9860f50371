/* SPDX-License-Identifier: MIT */
/*
 * buffered/unshare.c - blocks of its own for what a file shares.
 *
 * The bytes do not change, so unsharing is a write of what is there: each block that is not in the
 * cache is read from its source, then made dirty, and writeback puts it where begin has promised
 * room.  Only maps that are SHARED over blocks that hold data need it; the rest is stepped over.
 *
 * A block that could only be zeroed is nothing to share: a map that says so is wrong, and believing
 * it would write zeros over data (I68).
 *
 * Threads: the caller's, I/O lock exclusive.
 */
#include "buffered/buffered.h"

#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/log.h"
#include "cache/cache.h"

static int not_data(struct iomap_inode *inode, const struct iomap *src, int64_t pos)
{
	iomapi_report(inode->env, .rule = "I68", .callback = "iomap_begin", .field = "flags",
		      .value = src->flags, .bound = 0, .inode = inode, .pos = pos,
		      .text = "shared, and yet nothing that could be read");
	return -EIO;
}

/* Whole blocks, those that the range touches. */
static int read_missing(struct iomapi_pass *p, const struct iomap_iter *iter,
			struct iomap_folio *folio, size_t off, size_t len)
{
	struct iomap_inode *inode = p->edit.inode;
	const struct iomap *src = iomap_iter_srcmap(iter);
	size_t block = (size_t)1 << inode->block_bits;
	size_t at = iomapi_round_down(off, block), end = iomapi_round_up(off + len, block), n;
	int rc = 0;

	for (; !rc && at < end && iomapi_folio_next_not_uptodate(folio, &at, end, &n); at += n) {
		int64_t pos = folio->pos + (int64_t)at;

		if (iomapi_block_is_zeros(src, pos, iomap_inode_size(inode)))
			return not_data(inode, src, pos);
		rc = iomapi_edit_read(&p->edit, iter, folio, at, n);
		if (!rc)
			iomapi_folio_set_uptodate(folio, at, n);
	}
	return rc;
}

static int unshare_map(struct iomapi_pass *p, struct iomap_iter *iter)
{
	if (!(iter->iomap.flags & IOMAP_F_SHARED))
		return iomap_iter_advance_full(iter);
	if (iomap_iter_srcmap(iter)->type != IOMAP_MAPPED)
		return iomap_iter_advance_full(iter);
	return iomapi_pass_folios(p, iter);
}

IOMAP_API int iomap_file_unshare(struct iomap_inode *inode, int64_t pos, uint64_t len,
				 const struct iomap_ops *ops,
				 const struct iomap_write_ops *write_ops, void *priv)
{
	struct iomapi_pass p = {
		.ops = ops, .priv = priv, .body = unshare_map, .change = read_missing,
	};
	int64_t size = iomap_inode_size(inode);
	int rc;

	if (pos < 0 || pos >= size)
		return 0;
	len = iomapi_min(len, (uint64_t)(size - pos));
	rc = iomapi_pass_init(&p, inode, pos, len, write_ops, IOMAP_WRITE | IOMAP_UNSHARE);
	while (!rc && p.pos < p.end)
		rc = iomapi_pass_step(&p);
	return rc;
}
