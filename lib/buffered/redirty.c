/* SPDX-License-Identifier: MIT */
/*
 * buffered/redirty.c - a second try for folios whose writeback failed.
 *
 * Such a folio is clean but failed: its content is the only copy, the space promised for it is
 * given back (I90).  To write it again is a write of what is there already: begin reserves, the
 * blocks become dirty, and with the last of them the folio is no longer failed (H8).  Only blocks
 * that are uptodate can have been written; which of them failed nobody knows any more, so all of
 * them go out again.
 *
 * Threads: the caller's, I/O lock exclusive.  Who holds the invalidate lock may drop folios
 * meanwhile: the inode of one is its own only while it is locked.
 */
#include "buffered/buffered.h"

#include <iomap/cache.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "cache/cache.h"
#include "inode/inode.h"

#define BATCH 16
#define TRIES 16	/* passes over a folio while others fail */

/* Still in its mapping, still failed; then it is locked. */
static bool lock_failed(struct iomap_folio *folio)
{
	iomap_folio_lock(folio);
	if (iomapi_folio_attached(folio) && (iomap_folio_flags(folio) & IOMAP_FOLIO_FAILED))
		return true;
	iomap_folio_unlock(folio);
	return false;
}

/* The next run of uptodate blocks in [*off, end); false: none.  Folio locked. */
static bool next_uptodate(const struct iomap_folio *folio, size_t *off, size_t end, size_t *len)
{
	size_t block = (size_t)1 << folio->inode->block_bits, to;

	while (*off < end && !iomapi_folio_block_uptodate(folio, *off))
		*off += block;
	for (to = *off; to < end && iomapi_folio_block_uptodate(folio, to); to += block)
		;
	*len = to - *off;
	return *len > 0;
}

/* The body: no reading, no copying, just the marks. */
static int mark_map(struct iomap_iter *iter, struct iomap_folio *folio, bool *gone)
{
	uint64_t len = iomap_length(iter);

	*gone = !lock_failed(folio);
	if (*gone)
		return 0;		/* no progress: the loop ends */
	iomap_folio_mark_dirty(folio, (size_t)(iter->pos - folio->pos), (size_t)len);
	iomap_folio_unlock(folio);
	return iomap_iter_advance(iter, len);
}

/* One run of blocks, to the end of the file at most.  gone: the folio is not failed any more, or
 * not the file's. */
static int redirty_run(struct iomap_inode *inode, struct iomap_folio *folio, size_t off,
		       size_t len, const struct iomap_ops *ops, void *priv, bool *gone)
{
	int64_t size = iomap_inode_size(inode);
	struct iomap_iter iter = {
		.inode = inode, .pos = folio->pos + (int64_t)off, .len = len,
		.flags = IOMAP_WRITE, .private_data = priv,
	};
	int rc;

	*gone = false;
	if (iter.pos >= size)
		return 0;
	iter.len = iomapi_min(iter.len, (uint64_t)(size - iter.pos));
	while ((rc = iomap_iter(&iter, ops)) > 0)
		iter.status = mark_map(&iter, folio, gone);
	if (rc || *gone)
		return rc;
	return iter.len ? -EIO : 0;
}

/* Bytes of the file that will be written again; 0: it went away, or failed no more. */
static int64_t redirty_folio(struct iomap_inode *inode, struct iomap_folio *folio,
			     const struct iomap_ops *ops, void *priv)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	iomap_word failures = iomapi_load(&mapping->failures);
	size_t off = 0, len, done = 0;
	unsigned tries = 0;
	int rc = iomapi_balance(inode, 0, 0);

	if (rc)
		return rc;
	while (lock_failed(folio)) {
		bool more = next_uptodate(folio, &off, folio->size, &len), gone, clear = false;

		if (!more)
			clear = iomapi_folio_clear_failed_since(folio, failures);
		iomap_folio_unlock(folio);
		if (clear)
			return (int64_t)done;
		if (!more) {	/* a run may have gone out meanwhile and failed again */
			if (++tries == TRIES)
				return -EIO;
			failures = iomapi_load(&mapping->failures);
			off = done = 0;
			continue;
		}
		rc = redirty_run(inode, folio, off, len, ops, priv, &gone);
		if (rc || gone)
			return rc;
		off += len;
		done += len;
	}
	return 0;
}

IOMAP_API int64_t iomap_mapping_redirty_failed(struct iomap_inode *inode, int64_t start,
					       int64_t end, const struct iomap_ops *ops,
					       void *priv)
{
	struct iomap_folio *folios[BATCH];
	int64_t pos = start, done = 0, rc = 0;
	unsigned nr;

	if (start < 0 || end < start || !iomapi_cache_of(inode))
		return -EINVAL;
	if (iomapi_inode_killed(inode))
		return -ESTALE;
	while (rc >= 0 && (nr = iomapi_mapping_tagged(inode, &pos, end, IOMAPI_TAG_FAILED, folios,
						      BATCH))) {
		for (unsigned i = 0; i < nr; i++) {
			if (rc >= 0)
				rc = redirty_folio(inode, folios[i], ops, priv);
			if (rc > 0)
				done += rc;
			iomap_folio_put(folios[i]);
		}
	}
	return rc < 0 ? rc : done;
}
