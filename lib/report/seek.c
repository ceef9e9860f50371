/* SPDX-License-Identifier: MIT */
/*
 * report/seek.c - the next data, the next hole.
 *
 * Maps say it for all but UNWRITTEN, where data may wait in the cache for their writeback: there a
 * block is data if it is cached and uptodate, clean ones too (I138).
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
 * it says unwritten once more, there was nothing.
 *
 * Threads: any; no lock is taken here but the mapping's and the folios', one after the other, to
 * look.
 */
#include <iomap/inode.h>
#include <iomap/report.h>

#include "cache/cache.h"
#include "inode/inode.h"

#define BATCH 16

/* ---- the cache ---- */

/* From where the look began to end all is data, or nothing is. */
struct stretch {
	int64_t start, end;
	bool data;
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

static bool extend_by_folio(struct stretch *s, const struct iomap_folio *folio, int64_t end)
{
	int64_t stop = iomapi_min(iomapi_end(folio->pos, folio->size), end);
	bool data;

	if (!extend(s, folio->pos, false))
		return false;
	while (s->end < stop) {
		size_t off = (size_t)(s->end - folio->pos);
		int64_t len = (int64_t)iomapi_folio_uptodate_run(folio, off, &data);

		if (!extend(s, iomapi_min(s->end + len, stop), data))
			return false;
	}
	return true;
}

static struct stretch look(struct iomap_inode *inode, int64_t pos, int64_t end)
{
	struct stretch s = { .start = pos, .end = pos };
	struct iomap_folio *folios[BATCH];
	bool more = true;
	unsigned nr;

	while (more && iomapi_cache_of(inode)) {
		nr = iomapi_mapping_folios(inode, &pos, end, folios, BATCH);
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
	struct stretch empty;	/* what was not cached before begin was asked */
};

static int seek_unwritten(struct seek *seek, struct iomap_iter *iter)
{
	int64_t end = iter->pos + (int64_t)iomap_length(iter);
	struct stretch s = seek->empty;

	if (iter->pos < s.start || iter->pos >= s.end) {
		s = look(iter->inode, iter->pos, end);
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

static int seek_map(struct seek *seek, struct iomap_iter *iter)
{
	if (iter->iomap.type == IOMAP_UNWRITTEN)
		return seek_unwritten(seek, iter);
	if ((iter->iomap.type != IOMAP_HOLE) != seek->data)
		return iomap_iter_advance_full(iter);
	seek->found = iter->pos;	/* no progress: the loop ends */
	return 0;
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
