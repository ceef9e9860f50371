/* SPDX-License-Identifier: MIT */
/*
 * buffered/zero.c - zeros for a range of a file, through the cache.
 *
 * Where data are, zeros are written to the cache like any bytes.  Over a hole or unwritten blocks
 * the device reads as zeros already, and nothing is done, unless the cache knows better: a folio
 * that is dirty, or on its way to the device, will fill these blocks sooner or later.
 *
 *	zero			background writeback
 *				(a folio is dirty over unwritten blocks)
 *	begin: unwritten
 *				write it, convert the blocks, end writeback: it is clean
 *	nothing is dirty, skip
 *	(the old bytes are back)
 *
 * So the look for such folios comes before begin, or from inside it: the client that calls
 * iomap_fill_dirty_folios while the extents cannot change gets exactly the folios that count, and
 * they are visited in place of the range (a batch).  Without that, where a map has something that
 * was dirty before begin, the rest of the range is written and waited for, once, and begin asked
 * again.  Nobody makes more of it dirty: the caller has both locks of the inode.
 *
 * A folio whose writeback failed is clean and holds the only copy of its bytes, which a writing
 * cannot bring to the device: over holes it is zeroed in memory, where it reads like the device.
 *
 * Threads: the caller's, I/O and invalidate lock exclusive.
 */
#include "buffered/buffered.h"

#include <string.h>

#include <iomap/cache.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/trace.h"
#include "cache/cache.h"
#include "map/map.h"

#define BATCH 32
#define TO_BE_WRITTEN \
	(IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY) | IOMAPI_TAG_BIT(IOMAPI_TAG_WRITEBACK))

struct folio_batch {
	struct iomapi_batch batch;
	int64_t end;			/* how far it was looked */
	unsigned nr, next;
	struct iomap_folio *folios[BATCH];	/* referenced, in order */
};

struct zero {
	struct iomapi_pass pass;
	struct folio_batch batch;
	bool *did_zero;
	bool to_be_written;		/* folios were, before the first begin.. */
	int64_t first;			/* ..or later, from there on; behind the body: who knows */
	bool look, flush;		/* before the next begin: look again, write them */
};

static struct zero *zero_of(struct iomapi_pass *p)
{
	return iomap_container_of(p, struct zero, pass);
}

static void note_zeroed(struct zero *z)
{
	if (z->did_zero)
		*z->did_zero = true;
}

/* ---- the batch ---- */

static void release(struct iomapi_batch *batch)
{
	struct folio_batch *b = iomap_container_of(batch, struct folio_batch, batch);

	while (b->nr)
		iomap_folio_put(b->folios[--b->nr]);
}

IOMAP_API unsigned iomap_fill_dirty_folios(struct iomap *map, int64_t *start, int64_t end)
{
	struct iomap_iter *iter = iomap_container_of(map, struct iomap_iter, iomap);
	struct iomapi_batch *room = iomapi_iter_batch_room(iter);
	int64_t pos = iter->pos;
	struct folio_batch *b;

	end = iomapi_min(end, iomapi_end(pos, iter->len));
	if (!room || end <= pos)
		return 0;
	b = iomap_container_of(room, struct folio_batch, batch);
	release(room);			/* it may be the second call */
	b->next = 0;
	b->nr = iomapi_mapping_tagged_any(iter->inode, &pos, end,
					  TO_BE_WRITTEN | IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED),
					  b->folios, BATCH);
	b->end = iomapi_min(pos, end);
	*start = b->end;
	iter->batch = room;
	map->flags |= IOMAP_F_FOLIO_BATCH;
	return b->nr;
}

/* The first of those not yet behind pos, or NULL. */
static struct iomap_folio *next_of(struct folio_batch *b, int64_t pos)
{
	while (b->next < b->nr && iomapi_end(b->folios[b->next]->pos,
					     b->folios[b->next]->size) <= pos)
		b->next++;
	return b->next < b->nr ? b->folios[b->next] : NULL;
}

/* Between the folios of the batch all is clean, up to where it was looked. */
static int visit_batch(struct zero *z, struct iomap_iter *iter)
{
	int64_t end = iomapi_min(iomapi_end(iter->pos, iomap_length(iter)), z->batch.end);
	int rc = 0;

	while (!rc && iter->len && iter->pos < end && !(iter->iomap.flags & IOMAP_F_STALE)) {
		struct iomap_folio *folio = next_of(&z->batch, iter->pos);
		int64_t to = folio ? iomapi_min(folio->pos, end) : end;

		if (to > iter->pos)
			rc = iomap_iter_advance(iter, (uint64_t)(to - iter->pos));
		else
			rc = iomapi_pass_folio(&z->pass, iter, folio);
	}
	return rc;
}

/* ---- a map ---- */

static int zero_bytes(struct iomapi_pass *p, const struct iomap_iter *iter,
		      struct iomap_folio *folio, size_t off, size_t len)
{
	int rc = iomapi_edit_prepare(&p->edit, iter, folio, off, len);

	if (rc)
		return rc;
	memset((char *)folio->mem + off, 0, len);
	iomapi_trace(p->edit.inode->env, .event = IOMAP_TRACE_ZERO, .inode = p->edit.inode,
		     .pos = folio->pos + (int64_t)off, .len = len);
	note_zeroed(zero_of(p));
	if (folio->pos >= iomap_inode_size(p->edit.inode))
		iomapi_cache_note_zeroed_beyond_eof(p->edit.inode);
	return 0;
}

/* Nobody can write what failed; but it can be read.  0, and the iterator may be behind it. */
static int zero_failed(struct zero *z, struct iomap_iter *iter, struct iomap_folio *folio)
{
	int64_t end = iomapi_min(iomapi_end(folio->pos, folio->size),
				 iomapi_end(iter->pos, iomap_length(iter)));
	uint64_t len;
	int rc = 0;

	if (folio->pos > iter->pos)
		rc = iomap_iter_advance(iter, (uint64_t)(folio->pos - iter->pos));
	if (rc)
		return rc;
	len = (uint64_t)(end - iter->pos);
	iomap_folio_lock(folio);
	if (iomapi_edit_allowed(&z->pass.edit, iter, folio)) {
		memset((char *)folio->mem + (iter->pos - folio->pos), 0, (size_t)len);
		note_zeroed(z);
		rc = iomap_iter_advance(iter, len);
	} else if (z->pass.edit.unstable) {
		iomapi_pass_pause(&z->pass, iter);
	}
	iomap_folio_unlock(folio);
	return rc;
}

static int skip_clean(struct zero *z, struct iomap_iter *iter)
{
	int64_t at = iter->pos, end = iomapi_end(at, iomap_length(iter));
	struct iomap_folio *folio;
	int rc = 0;

	while (!rc && iter->len && !(iter->iomap.flags & IOMAP_F_STALE) &&
	       iomapi_mapping_tagged(iter->inode, &at, end, IOMAPI_TAG_FAILED, &folio, 1)) {
		rc = zero_failed(z, iter, folio);
		iomap_folio_put(folio);
	}
	if (rc || (iter->iomap.flags & IOMAP_F_STALE))
		return rc;
	return iomap_iter_advance_full(iter);
}

static int skip(struct zero *z, struct iomap_iter *iter)
{
	if (!z->to_be_written || z->first >= iomapi_end(iter->pos, iomap_length(iter)))
		return skip_clean(z, iter);
	if (z->first < iter->pos) {
		z->look = true;
	} else {
		z->flush = true;
		iter->iomap.flags |= IOMAP_F_STALE;
	}
	iomapi_pass_pause(&z->pass, iter);
	return 0;
}

static int zero_map(struct iomapi_pass *p, struct iomap_iter *iter)
{
	const struct iomap *src = iomap_iter_srcmap(iter);

	if (iter->iomap.flags & IOMAP_F_FOLIO_BATCH)
		return visit_batch(zero_of(p), iter);
	if (src->type == IOMAP_HOLE || src->type == IOMAP_UNWRITTEN)
		return skip(zero_of(p), iter);
	return iomapi_pass_folios(p, iter);
}

/* ---- the range ---- */

/* No map is open in these two. */
static void look(struct zero *z)
{
	struct iomapi_pass *p = &z->pass;
	struct iomap_folio *folio;
	int64_t at = p->pos;

	z->look = false;
	z->to_be_written = iomapi_mapping_tagged_any(p->edit.inode, &at, p->end, TO_BE_WRITTEN,
						     &folio, 1);
	if (!z->to_be_written)
		return;
	z->first = iomapi_max(folio->pos, p->pos);
	iomap_folio_put(folio);
}

/* After this the only dirty folios are those that were zeroed here, and they lie behind. */
static int flush(struct zero *z)
{
	z->flush = z->to_be_written = false;
	return iomap_mapping_write_and_wait_range(z->pass.edit.inode, z->pass.pos, z->pass.end);
}

IOMAP_API int iomap_zero_range(struct iomap_inode *inode, int64_t pos, uint64_t len, bool *did_zero,
			       const struct iomap_ops *ops, const struct iomap_write_ops *write_ops,
			       void *priv)
{
	struct zero z = {
		.pass = { .ops = ops, .priv = priv, .body = zero_map, .change = zero_bytes,
			  .room = &z.batch.batch },
		.batch = { .batch = { release } }, .did_zero = did_zero, .look = true,
	};
	int rc = iomapi_pass_init(&z.pass, inode, pos, len, write_ops, IOMAP_ZERO);

	while (!rc && z.pass.pos < z.pass.end) {
		if (z.look)
			look(&z);
		rc = iomapi_pass_step(&z.pass);
		if (!rc && z.flush)
			rc = flush(&z);
	}
	return rc;
}

IOMAP_API int iomap_truncate_page(struct iomap_inode *inode, int64_t pos, bool *did_zero,
				  const struct iomap_ops *ops,
				  const struct iomap_write_ops *write_ops, void *priv)
{
	uint64_t block = 1ull << inode->block_bits;
	uint64_t off = (uint64_t)pos & (block - 1);

	if (pos < 0)
		return -EINVAL;
	if (!off)
		return 0;
	/* the last block of the largest file lacks a byte */
	return iomap_zero_range(inode, pos, (uint64_t)(iomapi_end(pos, block - off) - pos),
				did_zero, ops, write_ops, priv);
}
