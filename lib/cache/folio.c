/* SPDX-License-Identifier: MIT */
/*
 * cache/folio.c - one folio: references, its lock, dirty, writeback, failed.
 *
 * The flags word is the folio's lock, and what others wait for.  Who wants to sleep sets WAITERS
 * and watches the word; who clears a bit that may be waited for clears WAITERS with it and wakes
 * all.  WAITERS does not say what for: those woken look again.
 *
 * A cached folio that is DIRTY has the tag DIRTY in its mapping, but for the time between start and
 * settle of writeback, when only the walk that holds the folio lock knows how dirty it is.  Tag
 * WRITEBACK comes after the flag and goes before it: who found the tag and then sees no flag may
 * believe it.  The flag pins the folio, its mapping and its cache, so it is cleared last:
 *
 *	end_writeback				truncate, evict, delete of inode and cache
 *	tags, failure, accounting, wakes	wait for WRITEBACK
 *	clear WRITEBACK				go on; all of it may be gone
 *	wake by the word's address
 *
 * A dropped-behind folio (DONTCACHE) leaves the tree in the first step, if nobody holds it; else
 * whoever gives the last other reference back takes it out: a walk, a wait, a read.
 *
 * A frame is flags, write_pending and error; a client's latch stands for its lock.
 *
 * Threads: any, as folio.h says.  end_writeback runs in completions and takes the mapping lock and
 * what is below it.
 */
#include "base/trace.h"
#include "cache/cache.h"

static bool is_frame(const struct iomap_folio *folio)
{
	return iomapi_load_relaxed(&folio->flags) & IOMAP_FOLIO_FRAME;
}

static struct iomap_env *cached_env(const struct iomap_folio *folio)
{
	return iomapi_cached(folio)->cache->env;
}

static struct iomap_env *env_of(const struct iomap_folio *folio)
{
	return is_frame(folio) ? folio->inode->env : cached_env(folio);
}

/* ---- frames ---- */

IOMAP_API void iomap_folio_init(struct iomap_folio *folio, struct iomap_inode *inode, int64_t pos,
				void *mem, uint32_t size, void *owner)
{
	*folio = (struct iomap_folio){
		.inode = inode, .pos = pos, .mem = mem, .size = size, .owner = owner,
		.flags = IOMAP_FOLIO_FRAME | IOMAP_FOLIO_UPTODATE,
	};
}

IOMAP_API void iomap_folio_fini(struct iomap_folio *folio)
{
	iomapi_assert(is_frame(folio));
	iomapi_assert(!(iomapi_load(&folio->flags) & IOMAP_FOLIO_WRITEBACK));
	folio->inode = NULL;
}

/* ---- waiting for a flag to go ---- */

/* Once: sleep while the flag is set.  0: look again. */
static int wait_flag(struct iomap_env *env, struct iomap_folio *folio, uint32_t flag,
		     int64_t timeout_ns)
{
	uint32_t seen = iomapi_load(&folio->flags);

	if (!(seen & flag))
		return 0;
	if (!(seen & IOMAPI_FOLIO_WAITERS)) {
		if (!iomapi_cas(&folio->flags, &seen, seen | IOMAPI_FOLIO_WAITERS))
			return 0;
		seen |= IOMAPI_FOLIO_WAITERS;
	}
	return iomap_env_wait(env, &folio->flags, seen, timeout_ns);
}

/* Until it (all of them) is seen clear. */
static int wait_clear(struct iomap_folio *folio, uint32_t flag, int64_t timeout_ns)
{
	struct iomap_env *env = env_of(folio);
	int64_t deadline = 0, left = timeout_ns;
	int rc = 0;

	if (!(iomapi_load(&folio->flags) & flag))
		return 0;
	if (timeout_ns > 0)
		deadline = iomapi_end(iomapi_now(env), (uint64_t)timeout_ns);
	while (!rc && iomapi_load(&folio->flags) & flag) {
		rc = wait_flag(env, folio, flag, left);
		if (!rc && timeout_ns > 0)
			left = iomapi_max(deadline - iomapi_now(env), 0);
	}
	return iomapi_load(&folio->flags) & flag ? rc : 0;
}

IOMAP_API int iomap_folio_wait_writeback(struct iomap_folio *folio, int64_t timeout_ns)
{
	return wait_clear(folio, IOMAP_FOLIO_WRITEBACK, timeout_ns);
}

int iomapi_folio_wait_io(struct iomap_folio *folio, int64_t timeout_ns)
{
	return wait_clear(folio, IOMAPI_FOLIO_READING | IOMAP_FOLIO_WRITEBACK, timeout_ns);
}

IOMAP_API void iomap_folio_wait_stable(struct iomap_folio *folio)
{
	if (folio->inode->flags & IOMAP_INODE_STABLE)
		iomap_folio_wait_writeback(folio, IOMAP_FOREVER);
}

/* ---- reference and lock ---- */

IOMAP_API void iomap_folio_get(struct iomap_folio *folio)
{
	iomapi_assert(!is_frame(folio));
	iomapi_folio_get(folio);
}

IOMAP_API void iomap_folio_put(struct iomap_folio *folio)
{
	iomapi_assert(!is_frame(folio));
	iomapi_folio_put(folio);
}

IOMAP_API void iomap_folio_lock(struct iomap_folio *folio)
{
	struct iomap_env *env = cached_env(folio);

	iomapi_assert(!is_frame(folio));
	iomapi_lock_ahead(env, "folio", IOMAP_RANK_FOLIO);
	iomapi_rank_take(env, IOMAP_RANK_FOLIO, true);
	while (!iomapi_folio_set_locked(folio)) {
		int rc = wait_flag(env, folio, IOMAP_FOLIO_LOCKED, IOMAP_FOREVER);

		/* In a callback, or after a fork: forbidden, and nothing better is left. */
		iomapi_assert(!rc);
		if (rc)
			iomapi_yield(env, "folio_lock");
	}
	iomapi_self(env)->nr_folio_locks++;
}

IOMAP_API bool iomap_folio_trylock(struct iomap_folio *folio)
{
	iomapi_assert(!is_frame(folio));
	return iomapi_folio_trylock(cached_env(folio), folio);
}

IOMAP_API void iomap_folio_unlock(struct iomap_folio *folio)
{
	struct iomap_env *env = cached_env(folio);

	/* A read's lock is nobody's: the thread that took it has given it away. */
	if (iomapi_unlikely(iomapi_load(&folio->flags) & IOMAPI_FOLIO_READING))
		iomapi_folio_clear_flags(env, folio, IOMAP_FOLIO_LOCKED | IOMAPI_FOLIO_READING);
	else
		iomapi_folio_unlock(env, folio);
}

IOMAP_API uint32_t iomap_folio_flags(const struct iomap_folio *folio)
{
	return iomapi_load(&folio->flags) & (2 * IOMAP_FOLIO_FRAME - 1);
}

/* ---- dirty ---- */

static bool has_tag_dirty(struct iomapi_mapping *mapping, const struct iomap_folio *folio)
{
	return iomapi_tree_tags(&mapping->tree, folio) & IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY);
}

/* The folio has become dirty: tell its mapping, and the client if it is the first.  unsure: the tag
 * may be there. */
static void tag_dirty(struct iomap_folio *folio, bool unsure)
{
	struct iomap_cache *cache = iomapi_cached(folio)->cache;
	struct iomap_inode *inode = folio->inode;
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	bool first;

	iomapi_mutex_lock(cache->env, &mapping->lock);
	first = !(mapping->tree.tags & IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY));
	iomapi_assert(unsure || !has_tag_dirty(mapping, folio));
	if (!unsure || !has_tag_dirty(mapping, folio)) {
		iomapi_folio_account(folio, &cache->dirty, 1);
		iomapi_mapping_retag(mapping, folio, IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY), 0);
	}
	iomapi_mutex_unlock(cache->env, &mapping->lock);
	if (first && inode->ops && inode->ops->dirty_inode)
		inode->ops->dirty_inode(inode, IOMAP_DIRTY_PAGES);
}

void iomapi_folio_set_dirty(struct iomap_folio *folio, size_t off, size_t len)
{
	iomapi_assert(off <= folio->size && len <= folio->size - off);
	if (!len)
		return;
	if (is_frame(folio))
		iomapi_or(&folio->flags, IOMAP_FOLIO_DIRTY);
	else if (iomapi_folio_state_set_dirty(folio, off, len))
		tag_dirty(folio, false);
	iomapi_trace(folio->inode->env, .event = IOMAP_TRACE_FOLIO_DIRTY, .inode = folio->inode,
		     .pos = folio->pos + (int64_t)off, .len = len);
}

IOMAP_API void iomap_folio_mark_dirty(struct iomap_folio *folio, size_t off, size_t len)
{
	if (off < folio->size)
		iomapi_folio_set_dirty(folio, off, iomapi_min(len, folio->size - off));
}

void iomapi_folio_settle_dirty(struct iomap_folio *folio)
{
	uint32_t flags = iomapi_load(&folio->flags);

	if (iomapi_likely(!(flags & IOMAP_FOLIO_DIRTY)) || flags & IOMAP_FOLIO_FRAME)
		return;
	if (iomapi_folio_state_settle(folio))
		tag_dirty(folio, true);
}

/* No longer dirty or failed, in flags, tags and accounting. */
static void forget(struct iomap_folio *folio, uint32_t flags, unsigned tags)
{
	struct iomap_cache *cache = iomapi_cached(folio)->cache;
	uint32_t old = iomapi_and(&folio->flags, ~flags) & flags;
	struct iomapi_mapping *mapping;

	if (!old)
		return;
	mapping = iomapi_mapping(folio->inode);
	iomapi_mutex_lock(cache->env, &mapping->lock);
	if (old & IOMAP_FOLIO_DIRTY)
		iomapi_folio_account(folio, &cache->dirty, -1);
	if (old & IOMAP_FOLIO_FAILED)
		iomapi_folio_account(folio, &cache->failed, -1);
	iomapi_mapping_retag(mapping, folio, 0, tags);
	iomapi_mutex_unlock(cache->env, &mapping->lock);
	iomapi_cache_note_room(cache);
	iomapi_cache_relist(folio, iomapi_load(&folio->flags), false);
}

static const unsigned tags_dirty = IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY) |
				   IOMAPI_TAG_BIT(IOMAPI_TAG_TOWRITE);

/* Bits first: dirty blocks in a folio that is not DIRTY must not be seen. */
static void cancel_blocks(struct iomap_folio *folio)
{
	if (folio->state)
		iomapi_folio_clear_dirty(folio, 0, folio->size);
}

void iomapi_folio_cancel(struct iomap_folio *folio)
{
	iomapi_assert(!(iomapi_load(&folio->flags) & IOMAP_FOLIO_WRITEBACK));
	cancel_blocks(folio);
	forget(folio, IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_FAILED,
	       tags_dirty | IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED));
	iomapi_folio_state_free(folio);
}

IOMAP_API bool iomap_folio_release(struct iomap_folio *folio)
{
	/* Of a failed folio the state says which of its content is good. */
	bool freed = !(iomapi_load(&folio->flags) & IOMAP_FOLIO_FAILED) &&
		     iomapi_folio_state_free(folio);

	iomapi_trace(env_of(folio), .event = IOMAP_TRACE_FOLIO_RELEASE, .inode = folio->inode,
		     .pos = folio->pos, .len = folio->size, .result = freed);
	return freed;
}

IOMAP_API void iomap_folio_invalidate(struct iomap_folio *folio, size_t off, size_t len)
{
	iomapi_assert(!(iomapi_load(&folio->flags) & IOMAP_FOLIO_WRITEBACK));
	if (off || len < folio->size)
		return;
	iomapi_trace(env_of(folio), .event = IOMAP_TRACE_FOLIO_INVALIDATE, .inode = folio->inode,
		     .pos = folio->pos, .len = folio->size);
	cancel_blocks(folio);
	forget(folio, IOMAP_FOLIO_DIRTY, tags_dirty);
	if (!(iomapi_load(&folio->flags) & IOMAP_FOLIO_FAILED))	/* as for release */
		iomapi_folio_state_free(folio);
}

/* ---- failed ---- */

/* Mapping lock held.  The flag first: nobody may drop the folio in between. */
static unsigned fail(struct iomapi_mapping *mapping, struct iomap_folio *folio)
{
	if (!(iomapi_or(&folio->flags, IOMAP_FOLIO_FAILED) & IOMAP_FOLIO_FAILED))
		iomapi_folio_account(folio, &mapping->cache->failed, 1);
	iomapi_add(&mapping->failures, 1);
	return IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED);
}

void iomapi_folio_set_failed(struct iomap_folio *folio)
{
	struct iomapi_mapping *mapping = iomapi_mapping(folio->inode);
	struct iomap_env *env = mapping->cache->env;

	iomapi_mutex_lock(env, &mapping->lock);
	iomapi_mapping_retag(mapping, folio, fail(mapping, folio), 0);
	iomapi_mutex_unlock(env, &mapping->lock);
}

void iomapi_folio_clear_failed(struct iomap_folio *folio)
{
	forget(folio, IOMAP_FOLIO_FAILED, IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED));
}

bool iomapi_folio_clear_failed_since(struct iomap_folio *folio, iomap_word failures)
{
	struct iomapi_mapping *mapping = iomapi_mapping(folio->inode);
	struct iomap_cache *cache = mapping->cache;
	bool same;

	/* fail() is under this lock too */
	iomapi_mutex_lock(cache->env, &mapping->lock);
	same = iomapi_load(&mapping->failures) == failures;
	if (same && iomapi_and(&folio->flags, ~(uint32_t)IOMAP_FOLIO_FAILED) & IOMAP_FOLIO_FAILED) {
		iomapi_folio_account(folio, &cache->failed, -1);
		iomapi_mapping_retag(mapping, folio, 0, IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED));
	}
	iomapi_mutex_unlock(cache->env, &mapping->lock);
	if (same) {
		iomapi_cache_note_room(cache);
		iomapi_cache_relist(folio, iomapi_load(&folio->flags), false);
	}
	return same;
}

/* ---- writeback ---- */

/* DONTCACHE, and nobody looks at it besides those refs: it goes. */
static bool can_drop_behind(const struct iomap_folio *folio, uint32_t flags, uint32_t refs)
{
	if (iomapi_likely(!(flags & IOMAP_FOLIO_DONTCACHE)))
		return false;
	return !(flags & IOMAPI_FOLIO_KEEP) && iomapi_load(&folio->refs) == refs;
}

/* Mapping lock held, no tag but perhaps FAILED any more: those that nobody looks at leave. */
static void drop_behind(struct iomapi_mapping *mapping, struct iomap_folio **folios, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		uint32_t flags = iomapi_load(&folios[i]->flags) & ~(uint32_t)IOMAP_FOLIO_WRITEBACK;

		if (can_drop_behind(folios[i], flags, 1)) {
			iomapi_mapping_detach(mapping, folios[i], true);
			folios[i] = NULL;
		}
	}
}

/*
 * Mapping lock held.  Those who end together stand side by side most of the time: the tags of the
 * first of them, as many as share a node, go at a stroke.  How many; NULL takes the place of those
 * that are gone.
 */
static unsigned end_some(struct iomapi_mapping *mapping, struct iomap_folio **folios, unsigned nr,
			 uint64_t *bytes)
{
	struct iomapi_tree_node *node = iomapi_tree_node_of(&mapping->tree, folios[0]);
	uint64_t writeback = 0, dirty = 0;
	uint32_t all_flags = 0;
	unsigned n = 0;

	do {
		struct iomap_folio *folio = folios[n];
		uint64_t bit = 1ull << iomapi_tree_slot(node, folio);
		uint32_t flags;

		if (iomapi_unlikely(iomapi_load_relaxed(&folio->error)))
			iomapi_mapping_retag(mapping, folio, fail(mapping, folio), 0);
		flags = iomapi_load(&folio->flags);
		iomapi_assert(flags & IOMAP_FOLIO_WRITEBACK);
		iomapi_assert(!iomapi_load(&folio->write_pending));
		writeback |= bit;
		if (flags & IOMAP_FOLIO_DIRTY)
			dirty |= bit;
		all_flags |= flags;
		*bytes += folio->size;
	} while (++n < nr && iomapi_tree_stands_in(node, folios[n]));
	iomapi_tree_clear_bits(&mapping->tree, node, writeback, IOMAPI_TAG_WRITEBACK);
	iomapi_tree_clear_bits(&mapping->tree, node, writeback & ~dirty, IOMAPI_TAG_TOWRITE);
	if (iomapi_unlikely(all_flags & IOMAP_FOLIO_DONTCACHE))
		drop_behind(mapping, folios, n);
	return n;
}

void iomapi_folio_drop_behind(struct iomap_inode *inode, struct iomap_folio *folio)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	bool drop;

	iomapi_mutex_lock(inode->env, &mapping->lock);
	/* the tree's reference and ours */
	drop = iomapi_folio_attached(folio) &&
	       can_drop_behind(folio, iomapi_load(&folio->flags), 2);
	if (drop)
		iomapi_mapping_detach(mapping, folio, false);
	iomapi_mutex_unlock(inode->env, &mapping->lock);
	if (drop)
		iomap_folio_put(folio);
}

/* The last step, for a folio that is still there. */
static void let_go(struct iomap_env *env, struct iomap_folio *folio)
{
	uint32_t flags = iomapi_load(&folio->flags);

	iomapi_cache_relist(folio, flags, flags & IOMAP_FOLIO_DONTCACHE);
	iomapi_folio_clear_flags(env, folio, IOMAP_FOLIO_WRITEBACK);
}

static void trace_written(struct iomap_env *env, struct iomap_folio **folios, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		iomapi_trace(env, .event = IOMAP_TRACE_FOLIO_WRITTEN, .inode = folios[i]->inode,
			     .pos = folios[i]->pos, .len = folios[i]->size,
			     .result = iomapi_load_relaxed(&folios[i]->error));
}

void iomapi_folios_end_writeback(struct iomap_folio **folios, unsigned nr)
{
	struct iomapi_mapping *mapping = iomapi_mapping(folios[0]->inode);
	struct iomap_cache *cache = mapping->cache;
	struct iomap_env *env = cache->env;
	uint64_t bytes = 0;

	if (iomapi_traced(env))
		trace_written(env, folios, nr);
	iomapi_mutex_lock(env, &mapping->lock);
	for (unsigned i = 0; i < nr; )
		i += end_some(mapping, folios + i, nr - i, &bytes);
	iomapi_cache_account(&cache->writeback, -(int64_t)bytes);
	iomapi_cache_note_room(cache);
	iomapi_mutex_unlock(env, &mapping->lock);
	for (unsigned i = 0; i < nr; i++)
		if (iomapi_likely(folios[i]))
			let_go(env, folios[i]);
}

void iomapi_folio_end_writeback(struct iomap_folio *folio)
{
	iomapi_folios_end_writeback(&folio, 1);
}
