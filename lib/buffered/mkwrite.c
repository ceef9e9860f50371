/* SPDX-License-Identifier: MIT */
/*
 * buffered/mkwrite.c - a fault wants to store into a cached folio.
 *
 *	room for dirty bytes		no lock of a folio, before begin
 *	lock the folio			is it still there, and inside the file? (I72)
 *	begin .. end, as often as needed
 *		blocks that are not there: read or zero
 *		the blocks of this map: dirty
 *	the rest of the folio: dirty	behind the end of the file, without a reservation (I71)
 *	a STABLE inode: wait		for the writeback that is under way (I73)
 *
 * Each map's blocks become dirty before its end: should a later one fail, what was reserved is
 * under dirty cache and will be written, unchanged.  What lies behind the end of the file is never
 * written; writeback clears its dirty bits.
 *
 * The wait comes last, with the folio locked: completions do not need that lock, and who fails has
 * not waited.  Nothing was stored until then.
 *
 * The folio is noted in the thread, so that an end which gives back stays inside of it (I57).
 *
 * Threads: that of the fault; invalidate lock shared.
 */
#include "buffered/buffered.h"

#include <string.h>

#include <iomap/cache.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/log.h"
#include "cache/cache.h"
#include "inode/inode.h"

/* A store does not come back to the memory that inline data live in. */
static int refuse_inline(const struct iomap_iter *iter)
{
	iomapi_report(iter->inode->env, .rule = "V8", .callback = "iomap_begin", .field = "type",
		      .value = IOMAP_INLINE, .bound = IOMAP_MAPPED, .inode = iter->inode,
		      .pos = iter->pos, .text = "inline data cannot be mapped for stores");
	return -EIO;
}

static int mkwrite_map(struct iomapi_edit *e, struct iomap_iter *iter, struct iomap_folio *folio)
{
	size_t block = (size_t)1 << e->inode->block_bits;
	size_t off = (size_t)(iter->pos - folio->pos), len = (size_t)iomap_length(iter);
	int rc = 0;

	if (iter->iomap.type == IOMAP_INLINE)
		return refuse_inline(iter);
	if (e->wops->iomap_valid && !e->wops->iomap_valid(e->inode, &iter->iomap)) {
		iter->iomap.flags |= IOMAP_F_STALE;
		return 0;
	}
	for (size_t at = off; !rc && at < off + len; at += block)
		rc = iomapi_edit_fill(e, iter, folio, at);
	if (rc)
		return rc;
	iomap_folio_mark_dirty(folio, off, len);
	return iomap_iter_advance(iter, len);
}

/* Behind the last block of the file: zeros where nothing is. */
static void dirty_rest(struct iomap_folio *folio, uint64_t inside)
{
	size_t off = iomapi_round_up(inside, 1ull << folio->inode->block_bits), len;

	for (; iomapi_folio_next_not_uptodate(folio, &off, folio->size, &len); off += len) {
		memset((char *)folio->mem + off, 0, len);
		iomapi_folio_set_uptodate(folio, off, len);
	}
	iomap_folio_mark_dirty(folio, 0, folio->size);
}

/* Folio locked. */
static int mkwrite(struct iomap_folio *folio, uint64_t inside, const struct iomap_ops *ops,
		   struct iomapi_edit *e, void *priv)
{
	struct iomap_iter iter = {
		.inode = e->inode, .pos = folio->pos, .len = inside, .flags = e->op_flags,
		.private_data = priv,
	};
	int rc;

	while ((rc = iomap_iter(&iter, ops)) > 0)
		iter.status = mkwrite_map(e, &iter, folio);
	if (rc)
		return rc;
	dirty_rest(folio, inside);
	if (!(e->inode->flags & IOMAP_INODE_STABLE))
		return 0;
	return iomap_folio_wait_writeback(folio, IOMAP_FOREVER);
}

/* Locked and referenced; -EAGAIN: not in the cache, or not inside the file any more. */
static int find_folio(struct iomap_inode *inode, int64_t pos, struct iomap_folio **folio)
{
	int rc = iomap_mapping_get_folio(inode, pos, 1, 0, folio);

	if (rc)
		return rc == -ENOENT ? -EAGAIN : rc;
	if (pos < iomap_inode_size(inode))
		return 0;
	iomap_folio_unlock(*folio);
	iomap_folio_put(*folio);
	return -EAGAIN;
}

IOMAP_API int iomap_page_mkwrite(struct iomap_inode *inode, int64_t pos,
				 const struct iomap_ops *ops,
				 const struct iomap_write_ops *write_ops, void *priv,
				 struct iomap_folio **folio)
{
	struct iomapi_self *self = iomapi_self(inode->env);
	struct iomap_folio *f, *outer = self->fault;
	struct iomapi_edit edit;
	int rc;

	*folio = NULL;
	if (pos < 0 || !iomapi_cache_of(inode) || !iomapi_write_ops_ok(write_ops))
		return -EINVAL;
	if (iomapi_inode_killed(inode))
		return -ESTALE;
	rc = iomapi_balance(inode, 0, 0);
	if (!rc)
		rc = find_folio(inode, pos, &f);
	if (rc)
		return rc;
	iomapi_edit_init(&edit, inode, write_ops, IOMAP_WRITE | IOMAP_FAULT);
	self->fault = f;
	rc = mkwrite(f, iomapi_min((uint64_t)(iomap_inode_size(inode) - f->pos), (uint64_t)f->size),
		     ops, &edit, priv);
	self->fault = outer;
	if (!rc) {
		*folio = f;
		return 0;
	}
	iomap_folio_unlock(f);
	iomap_folio_put(f);
	return rc;
}
