/* SPDX-License-Identifier: MIT */
/*
 * buffered/punch.c - giving back the space that begin promised and a short write did not use.
 *
 * A promise is needed where a block is dirty: by the write itself, or by a fault that came while
 * the write was failing.  So the cache is asked, folio by folio, and what lies between the dirty
 * runs is punched (I52):
 *
 *	this thread, in end			a cleaner
 *	invalidate lock: no new faults
 *	lock the folio				(waits)
 *	dirty: keep; clean: punch
 *	unlock					lock, clear the dirty bits, allocate
 *
 * The other way round the block is clean by then, and allocated: the punch finds no promise there.
 * In between nobody can look, for a cleaner holds the folio lock from the one to the other.
 *
 * Behind the end of the file a folio may be dirty too, for a fault dirties all of it, but nothing
 * there is ever written: the look stops at the end, the punching does not (I53).
 *
 * Threads: the one that runs end.  Folios come and go meanwhile, clean ones.
 */
#include "buffered/buffered.h"

#include <iomap/folio.h>
#include <iomap/inode.h>

#include "cache/cache.h"

#define BATCH 16

struct release {
	struct iomap_inode *inode;
	struct iomap *map;
	void (*punch)(struct iomap_inode *inode, int64_t pos, uint64_t len, struct iomap *map);
	int64_t pos;		/* before it all is decided */
};

static void punch_to(struct release *r, int64_t end)
{
	if (r->pos < end)
		r->punch(r->inode, r->pos, (uint64_t)(end - r->pos), r->map);
}

/* Folio locked: its dirty runs before end are kept, what lies before each of them is punched.  One
 * that has left its mapping is not dirty. */
static void keep_dirty(struct release *r, struct iomap_folio *folio, int64_t end)
{
	size_t off = (size_t)(iomapi_max(r->pos, folio->pos) - folio->pos), stop, len;

	stop = iomapi_min((size_t)(end - folio->pos), folio->size);
	while (iomapi_folio_next_dirty(folio, &off, stop, &len)) {
		punch_to(r, folio->pos + (int64_t)off);
		off += len;
		r->pos = folio->pos + (int64_t)off;
	}
}

static void keep_cached(struct release *r, int64_t end)
{
	struct iomap_folio *folios[BATCH];
	unsigned nr = 1;

	for (int64_t pos = r->pos; nr && pos < end; ) {
		nr = iomapi_mapping_folios(r->inode, &pos, end, folios, BATCH);
		for (unsigned i = 0; i < nr; i++) {
			/* clean, and no cleaner is about to put its dirty bits back: it stays so */
			if (iomap_folio_flags(folios[i]) &
			    (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK)) {
				iomap_folio_lock(folios[i]);
				keep_dirty(r, folios[i], end);
				iomap_folio_unlock(folios[i]);
			}
			iomap_folio_put(folios[i]);
		}
	}
}

IOMAP_API void iomap_write_delalloc_release(struct iomap_inode *inode, int64_t start, int64_t end,
					    unsigned op_flags, struct iomap *map,
					    void (*punch)(struct iomap_inode *inode, int64_t pos,
							  uint64_t len, struct iomap *map))
{
	struct iomap_folio *fault = iomapi_self(inode->env)->fault;
	uint64_t size = (uint64_t)iomap_inode_size(inode);
	struct release r = { .inode = inode, .map = map, .punch = punch };
	int64_t eof;

	if (map->type != IOMAP_DELALLOC || !(map->flags & IOMAP_F_NEW))
		return;
	r.pos = iomapi_max(start, map->offset);
	end = iomapi_min(end, map->offset + (int64_t)map->length);
	if (op_flags & IOMAP_FAULT) {
		if (!fault || fault->inode != inode)
			return;
		r.pos = iomapi_max(r.pos, fault->pos);
		end = iomapi_min(end, fault->pos + (int64_t)fault->size);
	}
	if (r.pos >= end)
		return;
	eof = (int64_t)iomapi_min((uint64_t)end, iomapi_round_up(size, 1ull << inode->block_bits));
	if (r.pos < eof && (op_flags & IOMAP_FAULT))
		keep_dirty(&r, fault, eof);
	else if (r.pos < eof)
		keep_cached(&r, eof);
	punch_to(&r, end);
}
