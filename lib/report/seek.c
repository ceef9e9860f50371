/* SPDX-License-Identifier: MIT */
/*
 * report/seek.c - the next data, the next hole.
 *
 * Maps say it for all but UNWRITTEN, where data may wait in the cache for their writeback: there a
 * block is data if it is cached and uptodate, clean ones too (I138).  A HOLE is one, unless the
 * cache has something for it that the device has not: who writes out of place says what was written
 * when that is over, and until then it looks like a hole (R21); so does what failed.  Which blocks
 * of a folio are on their way nobody knows: all that are uptodate are data then.
 *
 * That nothing is cached proves a hole only if the map is younger than the look.  The other way
 * round written data could be overlooked:
 *
 *	seek					writeback, reclaim
 *	begin: unwritten			(the folio is cached and dirty)
 *						write it, convert; it is clean: evict it
 *	look: nothing is cached, a hole
 *
 * So what a look found empty is remembered, the map is declared stale, and begin is asked again: if
 * it says the same once more, there was nothing.
 *
 * Threads: any; no lock is taken here but the mapping's and the folios', one after the other, to
 * look.
 */
#include <iomap/inode.h>
#include <iomap/report.h>

#include "cache/cache.h"
#include "inode/inode.h"

#define BATCH 16
#define NOT_THERE_YET \
	(IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY) | IOMAPI_TAG_BIT(IOMAPI_TAG_WRITEBACK) | \
	 IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED))

/* ---- the cache ---- */

/* From where the look began to end all is data, or nothing is. */
struct stretch {
	int64_t start, end;
	bool data;
	bool hole;		/* it was for a hole: what is clean was not looked at */
};

/* All up to to is of that kind.  false: the stretch ends where another kind begins. */
static bool extend(struct stretch *s, int64_t to, bool data)
{
	if (to <= s->end)
		return true;
	if (s->end == s->start)
		s->data = data;
	if (s->data != data)
		return false;
	s->end = to;
	return true;
}

static size_t run(const struct stretch *s, const struct iomap_folio *folio, size_t off, bool *data)
{
	const uint32_t unsure = IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_FAILED;

	if (s->hole && !(iomap_folio_flags(folio) & unsure))
		return iomapi_folio_dirty_run(folio, off, data);
	return iomapi_folio_uptodate_run(folio, off, data);
}

static bool extend_by_folio(struct stretch *s, const struct iomap_folio *folio, int64_t end)
{
	int64_t stop = iomapi_min(iomapi_end(folio->pos, folio->size), end);
	bool data;

	if (!extend(s, folio->pos, false))
		return false;
	while (s->end < stop) {
		size_t off = (size_t)(s->end - folio->pos);
		int64_t len = (int64_t)run(s, folio, off, &data);

		if (!extend(s, iomapi_min(s->end + len, stop), data))
			return false;
	}
	return true;
}

static struct stretch look(struct iomap_inode *inode, int64_t pos, int64_t end, bool hole)
{
	struct stretch s = { .start = pos, .end = pos, .hole = hole };
	struct iomap_folio *folios[BATCH];
	bool more = true;
	unsigned nr;

	while (more && iomapi_cache_of(inode)) {
		nr = iomapi_mapping_tagged_any(inode, &pos, end, hole ? NOT_THERE_YET : 0, folios,
					       BATCH);
		if (!nr)
			break;
		for (unsigned i = 0; i < nr; i++) {
			if (more)
				more = extend_by_folio(&s, folios[i], end);
			iomap_folio_put(folios[i]);
		}
	}
	if (more)
		extend(&s, end, false);
	return s;
}

/* ---- the maps ---- */

struct seek {
	bool data;		/* what is looked for */
	int64_t found;		/* -1: nothing yet */
	int64_t first;		/* before it all that is cached was on the device at the start */
	struct stretch empty;	/* what was not cached before begin was asked */
};

static int seek_cached(struct seek *seek, struct iomap_iter *iter)
{
	int64_t end = iter->pos + (int64_t)iomap_length(iter);
	bool hole = iter->iomap.type == IOMAP_HOLE;
	struct stretch s = seek->empty;

	if (iter->pos < s.start || iter->pos >= s.end || s.hole > hole) {
		s = look(iter->inode, iter->pos, end, hole);
		if (!s.data) {
			seek->empty = s;
			iter->iomap.flags |= IOMAP_F_STALE;
			return 0;
		}
	}
	if (s.data == seek->data) {
		seek->found = iter->pos;
		return 0;
	}
	return iomap_iter_advance(iter, (uint64_t)(iomapi_min(s.end, end) - iter->pos));
}

static bool asks_the_cache(const struct seek *seek, const struct iomap_iter *iter)
{
	if (iter->iomap.type == IOMAP_UNWRITTEN)
		return true;
	return iter->iomap.type == IOMAP_HOLE &&
	       seek->first < iter->pos + (int64_t)iomap_length(iter);
}

static int seek_map(struct seek *seek, struct iomap_iter *iter)
{
	if (asks_the_cache(seek, iter))
		return seek_cached(seek, iter);
	if ((iter->iomap.type != IOMAP_HOLE) != seek->data)
		return iomap_iter_advance_full(iter);
	seek->found = iter->pos;	/* no progress: the loop ends */
	return 0;
}

/* Where the first folio is that the device has not; end: all is there. */
static int64_t not_there_yet(struct iomap_inode *inode, int64_t pos, int64_t end)
{
	struct iomap_folio *folio;
	int64_t at = pos;

	if (!iomapi_cache_of(inode) ||
	    !iomapi_mapping_tagged_any(inode, &at, end, NOT_THERE_YET, &folio, 1))
		return end;
	pos = iomapi_max(pos, folio->pos);
	iomap_folio_put(folio);
	return pos;
}

static int64_t seek(struct iomap_inode *inode, int64_t pos, bool data,
		    const struct iomap_ops *ops, void *priv)
{
	struct iomap_iter iter = { .inode = inode, .flags = IOMAP_REPORT, .private_data = priv };
	struct seek s = { .data = data, .found = -1 };
	int64_t size = iomap_inode_size(inode);
	int rc;

	if (iomapi_inode_killed(inode))
		return -ESTALE;
	if (pos < 0 || pos >= size)
		return -ENXIO;
	s.first = not_there_yet(inode, pos, size);
	iter.pos = pos;
	iter.len = (uint64_t)(size - pos);
	while ((rc = iomap_iter(&iter, ops)) > 0)
		iter.status = seek_map(&s, &iter);
	if (rc)
		return rc;
	if (s.found >= 0)
		return s.found;
	return data ? -ENXIO : size;
}

IOMAP_API int64_t iomap_seek_hole(struct iomap_inode *inode, int64_t pos,
				  const struct iomap_ops *ops, void *priv)
{
	return seek(inode, pos, false, ops, priv);
}

IOMAP_API int64_t iomap_seek_data(struct iomap_inode *inode, int64_t pos,
				  const struct iomap_ops *ops, void *priv)
{
	return seek(inode, pos, true, ops, priv);
}
