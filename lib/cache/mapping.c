/* SPDX-License-Identifier: MIT */
/*
 * cache/mapping.c - the cached folios of one inode: find, make, wait for, drop.
 *
 * The tree is under mapping->lock, which nobody holds while waiting.  Who walks takes a few folios
 * with references, drops the lock, and looks again at each after locking it: truncate may have
 * taken it out meanwhile (attached).  A folio leaves the tree by the hand of somebody who holds its
 * lock, or when nobody has a reference besides the tree; new references come from the tree only,
 * under mapping->lock, so "nobody" cannot change there.
 *
 * Waiting for writeback happens with the folio locked where the folio is to be dropped, so that
 * nobody starts another; completions never need that lock.
 *
 * Errors: writeback tells the inode, and this room does not see the inode.  A wait compares the
 * mapping's count of failures before and after, and looks for a failed folio in its range.
 */
#include <string.h>

#include <iomap/map.h>
#include <iomap/writeback.h>

#include "base/log.h"
#include "base/trace.h"
#include "cache/cache.h"

#define BATCH 16
/* In one turn of the lock: */
#define TAG_STEP 4096		/* folios tagged */
#define OFFERED_STEP 64		/* batches looked at */

static struct iomap_env *env_of(const struct iomapi_mapping *mapping)
{
	return mapping->cache->env;
}

static void lock(struct iomapi_mapping *mapping)
{
	iomapi_mutex_lock(env_of(mapping), &mapping->lock);
}

static void unlock(struct iomapi_mapping *mapping)
{
	iomapi_mutex_unlock(env_of(mapping), &mapping->lock);
}

struct iomap_cache *iomapi_cache_of(struct iomap_inode *inode)
{
	return iomapi_mapping(inode)->cache;
}

void iomapi_mapping_init(struct iomap_inode *inode, struct iomap_cache *cache)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);

	*mapping = (struct iomapi_mapping){ .cache = cache };
	iomap_mutex_init(&mapping->lock, IOMAP_RANK_MAPPING);
	iomap_list_init(&mapping->dirty_node);
	if (cache)
		iomapi_add(&cache->nr_mappings, 1);
}

void iomapi_mapping_fini(struct iomap_inode *inode)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);

	iomapi_assert(!mapping->nr_folios && !mapping->tree.root);
	if (mapping->cache)
		iomapi_sub(&mapping->cache->nr_mappings, 1);
	mapping->cache = NULL;
}

/* ---- the tree and what goes with it ---- */

void iomapi_mapping_note_dirty(struct iomapi_mapping *mapping)
{
	bool dirty = mapping->tree.tags & IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY);
	struct iomap_cache *cache = mapping->cache;

	iomapi_mutex_lock(cache->env, &cache->lock);
	if (dirty)
		iomap_list_add_tail(&cache->dirty_inodes, &mapping->dirty_node);
	else
		iomap_list_del(&mapping->dirty_node);
	iomapi_add(&cache->nr_dirty_inodes, dirty ? 1 : -1u);
	iomapi_mutex_unlock(cache->env, &cache->lock);
}

void iomapi_mapping_detach(struct iomapi_mapping *mapping, struct iomap_folio *folio, bool last)
{
	iomapi_trace(env_of(mapping), .event = IOMAP_TRACE_FOLIO_INVALIDATE,
		     .inode = folio->inode, .pos = folio->pos, .len = folio->size);
	iomapi_assert(!iomapi_tree_tags(&mapping->tree, folio));
	iomapi_tree_remove(&mapping->tree, &mapping->cache->nodes, folio);
	mapping->nr_folios--;
	iomapi_cache_forget(folio, last);
}

static unsigned gang(struct iomap_inode *inode, int64_t *pos, int64_t end, unsigned mask,
		     struct iomap_folio **folios, unsigned nr)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	unsigned found;

	lock(mapping);
	found = iomapi_tree_gang(&mapping->tree, pos, end, mask, folios, nr);
	for (unsigned i = 0; i < found; i++)
		iomapi_folio_get(folios[i]);
	unlock(mapping);
	return found;
}

struct iomap_folio *iomapi_mapping_find(struct iomap_inode *inode, int64_t pos)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	struct iomap_folio *folio;

	lock(mapping);
	folio = iomapi_tree_find(&mapping->tree, pos);
	if (folio)
		iomap_folio_get(folio);
	unlock(mapping);
	return folio;
}

unsigned iomapi_mapping_tagged(struct iomap_inode *inode, int64_t *pos, int64_t end,
			       enum iomapi_tag tag, struct iomap_folio **folios, unsigned nr)
{
	return gang(inode, pos, end, IOMAPI_TAG_BIT(tag), folios, nr);
}

unsigned iomapi_mapping_tagged_any(struct iomap_inode *inode, int64_t *pos, int64_t end,
				   unsigned mask, struct iomap_folio **folios, unsigned nr)
{
	return gang(inode, pos, end, mask, folios, nr);
}

unsigned iomapi_mapping_folios(struct iomap_inode *inode, int64_t *pos, int64_t end,
			       struct iomap_folio **folios, unsigned nr)
{
	return gang(inode, pos, end, 0, folios, nr);
}

bool iomapi_mapping_has(struct iomap_inode *inode, enum iomapi_tag tag)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	bool has;

	if (!mapping->cache)
		return false;
	lock(mapping);
	has = mapping->tree.tags & IOMAPI_TAG_BIT(tag);
	unlock(mapping);
	return has;
}

/* Under the lock, one batch: folios that a walk has started on and holds.  Should it give up, they
 * are dirty again, and were dirty all the time for whoever syncs now. */
static void tag_offered(struct iomapi_mapping *mapping, int64_t *pos, int64_t end)
{
	const unsigned dirty = IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY);
	struct iomap_folio *folios[BATCH];
	unsigned nr = iomapi_tree_gang(&mapping->tree, pos, end,
				       IOMAPI_TAG_BIT(IOMAPI_TAG_WRITEBACK), folios, BATCH);

	for (unsigned i = 0; i < nr; i++)
		if (iomapi_load(&folios[i]->flags) & (IOMAP_FOLIO_LOCKED | IOMAP_FOLIO_DIRTY) &&
		    !(iomapi_tree_tags(&mapping->tree, folios[i]) & dirty))
			iomapi_mapping_retag(mapping, folios[i],
					     IOMAPI_TAG_BIT(IOMAPI_TAG_TOWRITE), 0);
}

void iomapi_mapping_tag_towrite(struct iomap_inode *inode, int64_t start, int64_t end)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);

	for (int64_t pos = start; pos < end; ) {
		int64_t to = pos;

		/* Both in one turn: a folio that goes from dirty to offered or back is met once. */
		lock(mapping);
		iomapi_tree_copy_tag(&mapping->tree, &to, end, IOMAPI_TAG_DIRTY,
				     IOMAPI_TAG_TOWRITE, TAG_STEP);
		for (unsigned i = 0; i < OFFERED_STEP && pos < to; i++)
			tag_offered(mapping, &pos, to);
		unlock(mapping);
	}
}

/* ---- look up or make ---- */

/* The largest folio for the request: aligned, no further than the request, over nobody else. */
static uint32_t pick_size(const struct iomapi_mapping *mapping, uint64_t base, uint64_t end,
			  uint32_t min)
{
	int64_t pos = (int64_t)base;
	uint32_t size = mapping->cache->max_folio;
	struct iomap_folio *next;

	if (base + min >= end)
		return min;
	if (iomapi_tree_gang(&mapping->tree, &pos, IOMAP_MAX_POS, 0, &next, 1))
		end = iomapi_min(end, (uint64_t)next->pos);
	while (size > min && ((base & (size - 1)) || base + size > end))
		size /= 2;
	return size;
}

struct want {
	struct iomap_inode *inode;
	int64_t pos;
	uint64_t len;
	uint32_t min;
	unsigned op_flags;
	bool less;		/* smaller folios will do */
};

/* Mapping lock held; nothing covers pos. */
static int make(struct iomapi_mapping *mapping, const struct want *want, struct iomap_folio **folio)
{
	uint64_t base = (uint64_t)want->pos & ~(uint64_t)(want->min - 1);
	uint64_t len = iomapi_min(want->len, (uint64_t)IOMAP_MAX_POS);
	uint64_t end = iomapi_round_up((uint64_t)want->pos + len, want->min);
	uint32_t size = pick_size(mapping, base, iomapi_min(end, 1ull << 63), want->min);
	int rc;

	rc = iomapi_cache_get(want->inode, (int64_t)base, size, want->min, want->less, folio);
	if (rc)
		return rc;
	if (want->op_flags & IOMAP_DONTCACHE)
		iomapi_or(&(*folio)->flags, IOMAP_FOLIO_DONTCACHE);
	rc = iomapi_tree_insert(&mapping->tree, &mapping->cache->nodes, *folio);
	if (rc) {
		iomapi_assert(rc == -ENOMEM);
		iomapi_cache_forget(*folio, true);
		return rc;
	}
	mapping->nr_folios++;
	mapping->next_pos = base + (*folio)->size;
	mapping->next_mem = (char *)(*folio)->mem + (*folio)->size;
	return 0;
}

/* 0: *folio is referenced, and locked if *made. */
static int find_or_make(const struct want *want, struct iomap_folio **folio, bool *made)
{
	struct iomapi_mapping *mapping = iomapi_mapping(want->inode);
	int rc = 0;

	*made = false;
	lock(mapping);
	*folio = iomapi_tree_find(&mapping->tree, want->pos);
	if (*folio) {
		iomap_folio_get(*folio);
	} else if (want->op_flags & IOMAP_WRITE) {
		rc = make(mapping, want, folio);
		*made = !rc;
	} else {
		rc = -ENOENT;
	}
	unlock(mapping);
	if (!*made)
		return rc;
	iomapi_rank_take(env_of(mapping), IOMAP_RANK_FOLIO, true);
	iomapi_self(env_of(mapping))->nr_folio_locks++;
	return 0;
}

/* A folio that was there before.  -EAGAIN under NOWAIT; -ESTALE: it left the mapping. */
static int lock_found(struct iomap_folio *folio, unsigned op_flags)
{
	uint32_t flags;

	if (!(op_flags & IOMAP_NOWAIT))
		iomap_folio_lock(folio);
	else if (!iomap_folio_trylock(folio))
		return -EAGAIN;
	if (!iomapi_folio_attached(folio)) {
		iomap_folio_unlock(folio);
		return -ESTALE;
	}
	flags = iomapi_load(&folio->flags);
	if (!(flags & IOMAPI_FOLIO_REFERENCED))
		iomapi_or(&folio->flags, IOMAPI_FOLIO_REFERENCED);
	if (!(op_flags & IOMAP_DONTCACHE))
		iomapi_folio_wanted(folio);
	__atomic_fetch_add(&iomapi_cached(folio)->cache->hits, 1, __ATOMIC_RELAXED);
	return 0;
}

/* No memory: get some, if that is allowed.  0: try again. */
static int make_room(struct want *want)
{
	struct iomap_cache *cache = iomapi_cache_of(want->inode);

	if (want->op_flags & IOMAP_NOWAIT)
		return -EAGAIN;
	if (iomap_cache_reclaim(cache, iomapi_max(cache->max_folio, 32 * IOMAPI_PAGE)))
		return 0;
	if (want->less)
		return -ENOMEM;
	want->less = true;
	return 0;
}

IOMAP_API int iomap_mapping_get_folio(struct iomap_inode *inode, int64_t pos, uint64_t len,
				      unsigned op_flags, struct iomap_folio **folio)
{
	struct iomap_cache *cache = iomapi_cache_of(inode);
	struct want want = { inode, pos, iomapi_max(len, 1ull), IOMAPI_PAGE, op_flags, false };
	bool made;
	int rc;

	*folio = NULL;
	if (!cache || pos < 0 || pos == IOMAP_MAX_POS || inode->block_bits > 21)
		return -EINVAL;
	want.min = iomapi_max(IOMAPI_PAGE, 1u << inode->block_bits);
	if (want.min > cache->max_folio)
		return -EINVAL;
	want.less = op_flags & IOMAP_NOWAIT;
	for (;;) {
		rc = find_or_make(&want, folio, &made);
		if (!rc && !made) {
			rc = lock_found(*folio, op_flags);
			if (rc)
				iomap_folio_put(*folio);
			if (rc == -ESTALE)
				continue;
		} else if (rc == -ENOMEM) {
			rc = make_room(&want);
			if (!rc)
				continue;
		}
		if (rc)
			*folio = NULL;
		return rc;
	}
}

/* ---- waiting ---- */

static int failed_in_range(struct iomap_inode *inode, int64_t start, int64_t end)
{
	struct iomap_folio *folio;
	int error;

	if (!iomapi_mapping_tagged(inode, &start, end, IOMAPI_TAG_FAILED, &folio, 1))
		return 0;
	error = iomapi_load(&folio->error);
	iomap_folio_put(folio);
	return error ? error : -EIO;
}

int iomapi_mapping_wait_since(struct iomap_inode *inode, int64_t start, int64_t end,
			      iomap_word failures)
{
	struct iomap_folio *folios[BATCH];
	unsigned nr = 1;
	int rc = 0;

	for (int64_t pos = start; nr && pos < end; ) {
		nr = iomapi_mapping_tagged(inode, &pos, end, IOMAPI_TAG_WRITEBACK, folios, BATCH);
		for (unsigned i = 0; i < nr; i++) {
			if (!rc)
				rc = iomap_folio_wait_writeback(folios[i], IOMAP_FOREVER);
			iomapi_folio_put_behind(inode, folios[i]);
		}
	}
	if (rc || iomapi_load(&iomapi_mapping(inode)->failures) == failures)
		return rc;
	return failed_in_range(inode, start, end);
}

IOMAP_API int iomap_mapping_wait_range(struct iomap_inode *inode, int64_t start, int64_t end)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	iomap_word failures = iomapi_load(&mapping->failures);

	if (start < 0 || end < start)
		return -EINVAL;
	if (!mapping->cache)
		return 0;
	return iomapi_mapping_wait_since(inode, start, end, failures);
}

IOMAP_API int iomap_mapping_write_and_wait_range(struct iomap_inode *inode, int64_t start,
						 int64_t end)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .range_start = start, .range_end = end,
		.sync_mode = IOMAP_WB_SYNC_ALL, .priority = 7,
	};
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	int rc = 0, waited;
	iomap_word failures;

	if (start < 0 || end < start)
		return -EINVAL;
	if (start == end || !mapping->cache)
		return 0;
	failures = iomapi_load(&mapping->failures);
	if (iomapi_mapping_has(inode, IOMAPI_TAG_DIRTY) ||
	    iomapi_mapping_has(inode, IOMAPI_TAG_WRITEBACK))
		rc = inode->ops->writepages(inode, &wbc);
	rc = iomapi_answer(inode->env, rc, .rule = "H10", .callback = "writepages",
			   .inode = inode);
	waited = iomapi_mapping_wait_since(inode, start, end, failures);
	return rc ? rc : waited;
}

/* ---- dropping ---- */

/* Call fn for each attached folio that touches the range, locked and not under writeback. */
static void for_each_idle(struct iomap_inode *inode, int64_t start, int64_t end, unsigned mask,
			  void (*fn)(struct iomap_folio *folio, void *arg), void *arg)
{
	struct iomap_folio *folios[BATCH];
	unsigned nr = 1;

	if (!iomapi_mapping(inode)->cache)
		return;
	for (int64_t pos = start; nr && pos < end; ) {
		nr = gang(inode, &pos, end, mask, folios, BATCH);
		for (unsigned i = 0; i < nr; i++) {
			iomap_folio_lock(folios[i]);
			if (iomapi_folio_attached(folios[i]) &&
			    !iomap_folio_wait_writeback(folios[i], IOMAP_FOREVER))
				fn(folios[i], arg);
			iomap_folio_unlock(folios[i]);
			iomap_folio_put(folios[i]);
		}
	}
}

/* Locked: out of the tree, whatever it holds. */
static void drop(struct iomap_folio *folio)
{
	struct iomapi_mapping *mapping = iomapi_mapping(folio->inode);

	iomapi_folio_cancel(folio);
	lock(mapping);
	iomapi_mapping_detach(mapping, folio, false);
	unlock(mapping);
	iomap_folio_put(folio);
}

struct range {
	int64_t start, end, bytes;
	int rc;
};

static void invalidate_one(struct iomap_folio *folio, void *arg)
{
	const uint32_t keep = IOMAPI_FOLIO_KEEP & ~(uint32_t)IOMAP_FOLIO_LOCKED;
	struct iomapi_mapping *mapping = iomapi_mapping(folio->inode);
	struct range *r = arg;
	bool held;

	lock(mapping);
	/* the tree's reference and ours */
	held = iomapi_load(&folio->flags) & keep || iomapi_load(&folio->refs) > 2;
	if (!held)
		iomapi_mapping_detach(mapping, folio, false);
	unlock(mapping);
	if (held)
		r->rc = -EBUSY;
	else
		iomap_folio_put(folio);
}

IOMAP_API int iomap_mapping_invalidate_range(struct iomap_inode *inode, int64_t start, int64_t end)
{
	struct range r = { .start = start, .end = end };

	if (start < 0 || end < start)
		return -EINVAL;
	for_each_idle(inode, start, end, 0, invalidate_one, &r);
	return r.rc;
}

/* Folios that lie only partly inside stay: zeroing their part is the caller's (I26). */
static void punch_one(struct iomap_folio *folio, void *arg)
{
	const struct range *r = arg;
	uint64_t end = (uint64_t)folio->pos + folio->size;

	if (folio->pos >= r->start && (end <= (uint64_t)r->end || r->end == IOMAP_MAX_POS))
		drop(folio);
}

IOMAP_API void iomap_mapping_punch(struct iomap_inode *inode, int64_t start, int64_t end)
{
	struct range r = { .start = start, .end = end };

	for_each_idle(inode, start, end, 0, punch_one, &r);
}

/* A folio over the new end stays.  Of what lies behind it nobody is told any more: should the file
 * grow again it must be zeros (I66). */
static void truncate_one(struct iomap_folio *folio, void *arg)
{
	const struct range *r = arg;
	size_t inside;

	if (folio->pos >= r->start) {
		drop(folio);
		return;
	}
	inside = (size_t)(r->start - folio->pos);
	memset((char *)folio->mem + inside, 0, folio->size - inside);
}

IOMAP_API void iomap_mapping_truncate(struct iomap_inode *inode, int64_t size)
{
	struct range r = { .start = size };

	for_each_idle(inode, size, IOMAP_MAX_POS, 0, truncate_one, &r);
}

static void forget_one(struct iomap_folio *folio, void *arg)
{
	uint32_t flags = iomapi_load(&folio->flags);
	struct range *r = arg;

	if (!(flags & IOMAP_FOLIO_FAILED))
		return;
	r->bytes += folio->size;
	/* Made dirty since: that is newer than what failed, and on its way. */
	if (flags & IOMAP_FOLIO_DIRTY)
		iomapi_folio_clear_failed(folio);
	else
		drop(folio);
}

IOMAP_API int64_t iomap_mapping_forget_failed(struct iomap_inode *inode, int64_t start,
					      int64_t end)
{
	struct range r = { .start = start, .end = end };

	if (start < 0 || end < start)
		return -EINVAL;
	for_each_idle(inode, start, end, IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED), forget_one, &r);
	return r.bytes;
}
