/* SPDX-License-Identifier: MIT */
/*
 * cache/cache.c - the memory of all mappings: budget, reclaim, back pressure.
 *
 * Everything is made by iomap_cache_new: the arena, a private struct per page (a folio uses that of
 * its first page), four words of block bits per page, tree nodes.  The structs are typed memory for
 * as long as the cache lives, so a pointer to one may be stale but never wild.
 *
 * The lru holds folios that may be clean, oldest first.  A dirty, failed or written one falls out
 * when reclaim meets it, and is listed again when it has become clean; so writing costs the list
 * nothing while there is memory.  LISTED says which, and the order of two atomics sees to it that
 * none is forgotten:
 *
 *	reclaim, under cache->lock		writer or completion
 *	clear LISTED				clear DIRTY, FAILED, or write_pending to 0
 *	still dirty, failed, pending?		LISTED?
 *	no: set it again			no: lock, list
 *
 * Reclaim isolates under the cache's lock: it holds the inode by tryget and remembers folio and
 * position.  Then it drops the lock, takes the mapping's, and looks whether this is still the
 * folio there, clean and unreferenced.  A folio found again since the last turn gets a second
 * chance.
 *
 * Back pressure: writers come to iomap_cache_balance before begin, where they hold nothing that
 * writeback needs.  Bytes are dirty, under writeback or failed; a folio may be several of these and
 * counts for each, so there is never less room than it seems.
 *
 * Threads: any.  Counters are atomic; lists and arena are under cache->lock.
 */
#include <iomap/map.h>
#include <iomap/volume.h>
#include <iomap/writeback.h>

#include "base/trace.h"
#include "cache/cache.h"

#define DEFAULT_BYTES		(64ull << 20)
#define DEFAULT_MAX_FOLIO	(64u << 10)
#define VICTIMS			16
#define SCAN_STEP		256u	/* folios looked at in one turn of the lock */
#define ENDING_YIELDS		64

/* ---- life ---- */

static int check_opts(struct iomap_cache *cache, const struct iomap_cache_opts *given)
{
	struct iomap_cache_opts o = { .struct_size = sizeof(o) };
	uint64_t bytes;

	if (given && given->struct_size < offsetof(struct iomap_cache_opts, dirty_limit))
		return -EINVAL;
	if (given)
		__builtin_memcpy(&o, given, iomapi_min(given->struct_size, sizeof(o)));
	bytes = iomapi_round_down(o.bytes ? o.bytes : DEFAULT_BYTES, (uint64_t)IOMAPI_PAGE);
	cache->max_folio = o.max_folio ? o.max_folio : DEFAULT_MAX_FOLIO;
	cache->dirty_limit = o.dirty_limit ? o.dirty_limit : bytes / 4;
	cache->background_limit = o.background_limit ? o.background_limit : cache->dirty_limit / 2;
	if (!bytes || bytes > SIZE_MAX / 2 || bytes >> IOMAPI_PAGE_BITS > INT32_MAX)
		return -EINVAL;
	if (!iomapi_is_pow2(cache->max_folio) || cache->max_folio < IOMAPI_PAGE ||
	    cache->max_folio > IOMAPI_MAX_FOLIO || o.flags)
		return -EINVAL;
	if (cache->dirty_limit > bytes || cache->background_limit > cache->dirty_limit)
		return -EINVAL;
	cache->arena.bytes = (size_t)bytes;
	return 0;
}

static size_t cached_bytes(const struct iomap_cache *cache)
{
	return (cache->arena.bytes >> IOMAPI_PAGE_BITS) * sizeof(*cache->cached);
}

static size_t bits_bytes(const struct iomap_cache *cache)
{
	return (cache->arena.bytes >> IOMAPI_PAGE_BITS) * 4 * sizeof(*cache->bits);
}

/* A full node serves 64 folios; twice that, and some for small files. */
static uint32_t nr_nodes(const struct iomap_cache *cache)
{
	return (uint32_t)(cache->arena.bytes >> IOMAPI_PAGE_BITS) / 32 + 64;
}

static void free_parts(struct iomap_cache *cache)
{
	struct iomap_env *env = cache->env;

	iomapi_nodes_fini(&cache->nodes);
	iomapi_free(env, cache->bits, bits_bytes(cache));
	iomapi_free(env, cache->cached, cached_bytes(cache));
	if (cache->arena.mem)
		iomapi_arena_fini(&cache->arena, env);
	iomapi_free(env, cache, sizeof(*cache));
}

static int alloc_parts(struct iomap_cache *cache)
{
	size_t bytes = cache->arena.bytes;
	int rc;

	/* Not zeroed: a struct is filled when its folio is made, bits when state is attached. */
	cache->cached = iomapi_alloc(cache->env, cached_bytes(cache), 64);
	cache->bits = iomapi_alloc(cache->env, bits_bytes(cache), 64);
	if (!cache->cached || !cache->bits)
		return -ENOMEM;
	rc = iomapi_nodes_init(&cache->nodes, cache->env, nr_nodes(cache));
	if (rc)
		return rc;
	rc = iomapi_arena_init(&cache->arena, cache->env, bytes);
	cache->arena.bytes = bytes;
	return rc;
}

IOMAP_API int iomap_cache_new(struct iomap_env *env, const struct iomap_cache_opts *opts,
			      struct iomap_cache **cache)
{
	struct iomap_cache checked = { .env = env }, *c;
	int rc;

	if (!cache)
		return -EINVAL;
	*cache = NULL;
	rc = env ? check_opts(&checked, opts) : -EINVAL;
	if (rc)
		return rc;
	if (iomapi_forked(env))
		return -ECHILD;
	c = iomapi_zalloc(env, sizeof(*c));
	if (!c)
		return -ENOMEM;
	*c = checked;
	iomap_mutex_init(&c->lock, IOMAP_RANK_CACHE);
	iomap_list_init(&c->lru);
	iomap_list_init(&c->dirty_inodes);
	rc = alloc_parts(c);
	if (rc) {
		free_parts(c);
		return rc;
	}
	iomapi_env_hold(env);
	*cache = c;
	return 0;
}

IOMAP_API void iomap_cache_delete(struct iomap_cache **cache)
{
	struct iomap_cache *c = *cache;
	struct iomap_env *env;

	if (!c)
		return;
	*cache = NULL;
	env = c->env;
	iomapi_assert(!iomapi_load(&c->nr_mappings));
	iomapi_assert(!c->dirty && !c->writeback && !c->failed && !c->nr_lru);
	free_parts(c);
	iomapi_env_release(env);
}

IOMAP_API void iomap_cache_arena(struct iomap_cache *cache, void **base, size_t *len)
{
	*base = cache->arena.mem;
	*len = cache->arena.bytes;
}

IOMAP_API void iomap_cache_stats(struct iomap_cache *cache, struct iomap_cache_stats *stats)
{
	struct iomap_cache_stats s = {
		.struct_size = iomapi_min(stats->struct_size, sizeof(s)),
		.dirty = iomapi_load(&cache->dirty),
		.writeback = iomapi_load(&cache->writeback),
		.failed = iomapi_load(&cache->failed),
		.reserved = cache->arena.bytes,
		.hits = iomapi_load(&cache->hits),
		.reclaimed = iomapi_load(&cache->reclaimed),
		.zeroed_beyond_eof = iomapi_load(&cache->zeroed_beyond_eof),
	};

	iomapi_mutex_lock(cache->env, &cache->lock);
	s.misses = cache->misses;
	s.bytes = (uint64_t)(cache->arena.nr_pages - cache->arena.nr_free) << IOMAPI_PAGE_BITS;
	iomapi_mutex_unlock(cache->env, &cache->lock);
	__builtin_memcpy(stats, &s, s.struct_size);
}

void iomapi_cache_note_zeroed_beyond_eof(struct iomap_inode *inode)
{
	iomapi_add(&iomapi_cache_of(inode)->zeroed_beyond_eof, 1);
}

/* ---- folios and the lru ---- */

static struct iomapi_cached *cached_at(struct iomap_cache *cache, const void *mem)
{
	return &cache->cached[(size_t)((const char *)mem - cache->arena.mem) >> IOMAPI_PAGE_BITS];
}

static unsigned pages_of(uint32_t size)
{
	return size >> IOMAPI_PAGE_BITS;
}

/* Cache lock held from here to the next heading. */

static void list(struct iomap_cache *cache, struct iomapi_cached *cached, bool first)
{
	/* the head's next neighbour is the oldest: in front of it */
	iomap_list_add_tail(first ? cache->lru.next : &cache->lru, &cached->lru);
	cache->nr_lru++;
	iomapi_or(&cached->folio.flags, IOMAPI_FOLIO_LISTED);
}

static void unlist(struct iomap_cache *cache, struct iomapi_cached *cached)
{
	if (!(iomapi_and(&cached->folio.flags, ~IOMAPI_FOLIO_LISTED) & IOMAPI_FOLIO_LISTED))
		return;
	iomap_list_del(&cached->lru);
	cache->nr_lru--;
}

/* The largest run of at most size that there is; down to min if less will do. */
static void *get_memory(struct iomap_cache *cache, uint32_t *size, uint32_t min, bool less,
			void *next)
{
	/* With plenty free the arena is only in pieces, and reclaim would not help soon. */
	less |= cache->arena.nr_free >= 2 * pages_of(*size);
	for (;;) {
		void *mem = iomapi_arena_alloc(&cache->arena, pages_of(*size), next);

		if (mem || !less || *size <= min)
			return mem;
		*size /= 2;
	}
}

/* ---- no lock of the cache held ---- */

int iomapi_cache_get(struct iomap_inode *inode, int64_t pos, uint32_t size, uint32_t min, bool less,
		     struct iomap_folio **folio)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	struct iomap_cache *cache = mapping->cache;
	bool next = (uint64_t)pos == mapping->next_pos;
	struct iomapi_cached *cached;
	void *mem;

	iomapi_mutex_lock(cache->env, &cache->lock);
	mem = get_memory(cache, &size, min, less, next ? mapping->next_mem : NULL);
	if (!mem) {
		iomapi_mutex_unlock(cache->env, &cache->lock);
		return -ENOMEM;
	}
	cached = cached_at(cache, mem);
	*cached = (struct iomapi_cached){
		.folio = { .inode = inode, .pos = pos, .mem = mem, .size = size,
			   .flags = IOMAP_FOLIO_LOCKED, .refs = 2 },
		.cache = cache, .block_bits = (uint8_t)inode->block_bits,
	};
	list(cache, cached, false);
	cache->misses++;
	iomapi_mutex_unlock(cache->env, &cache->lock);
	*folio = &cached->folio;
	return 0;
}

void iomapi_cache_forget(struct iomap_folio *folio, bool free)
{
	struct iomapi_cached *cached = iomapi_cached(folio);
	struct iomap_cache *cache = cached->cache;

	iomapi_mutex_lock(cache->env, &cache->lock);
	unlist(cache, cached);
	folio->inode = NULL;
	if (free)
		iomapi_arena_free(&cache->arena, folio->mem, pages_of(folio->size));
	iomapi_mutex_unlock(cache->env, &cache->lock);
}

void iomapi_cache_free(struct iomap_folio *folio)
{
	struct iomap_cache *cache = iomapi_cached(folio)->cache;

	iomapi_assert(!folio->inode && !(iomapi_load(&folio->flags) & IOMAPI_FOLIO_KEEP));
	iomapi_mutex_lock(cache->env, &cache->lock);
	iomapi_arena_free(&cache->arena, folio->mem, pages_of(folio->size));
	iomapi_mutex_unlock(cache->env, &cache->lock);
}

void iomapi_cache_list_again(struct iomap_folio *folio, bool first)
{
	struct iomapi_cached *cached = iomapi_cached(folio);
	struct iomap_cache *cache = cached->cache;

	iomapi_mutex_lock(cache->env, &cache->lock);
	unlist(cache, cached);
	list(cache, cached, first);
	iomapi_mutex_unlock(cache->env, &cache->lock);
}

/* ---- reclaim ---- */

struct victim {
	struct iomap_inode *inode;
	struct iomap_folio *folio;
	int64_t pos;
};

struct scan {
	struct victim victims[VICTIMS];
	unsigned nr;
	uint64_t bytes;			/* in victims */
	uint64_t budget;		/* folios that may still be looked at */
	bool ending;			/* some will be clean in a moment */
};

static bool is_busy(const struct iomap_folio *folio, uint32_t flags)
{
	return flags & IOMAPI_FOLIO_KEEP || iomapi_load(&folio->refs) != 1;
}

/* Cache lock held.  Not clean for a while: it leaves the list until it is. */
static bool fall_out(struct iomap_cache *cache, struct iomapi_cached *cached)
{
	const uint32_t dirty = IOMAPI_FOLIO_KEEP & ~(uint32_t)(IOMAP_FOLIO_LOCKED |
							       IOMAP_FOLIO_WRITEBACK);
	uint32_t old = iomapi_and(&cached->folio.flags, ~IOMAPI_FOLIO_LISTED);

	/* a read-modify-write: before or after the last subtraction, see the top */
	if (old & dirty || (old & IOMAP_FOLIO_WRITEBACK &&
			    iomapi_add(&cached->folio.write_pending, 0))) {
		iomap_list_del(&cached->lru);
		cache->nr_lru--;
		return true;
	}
	iomapi_or(&cached->folio.flags, IOMAPI_FOLIO_LISTED);
	return false;
}

/* Cache lock held: the oldest folio. */
static void look_at(struct iomap_cache *cache, struct scan *scan)
{
	struct iomapi_cached *cached = iomap_container_of(cache->lru.next, struct iomapi_cached,
							  lru);
	struct iomap_folio *folio = &cached->folio;
	uint32_t flags = iomapi_load(&folio->flags);

	if (flags & IOMAPI_FOLIO_KEEP && fall_out(cache, cached))
		return;
	iomap_list_del(&cached->lru);
	iomap_list_add_tail(&cache->lru, &cached->lru);
	scan->ending |= (flags & IOMAP_FOLIO_WRITEBACK) != 0;
	if (is_busy(folio, flags))
		return;
	if (flags & IOMAPI_FOLIO_REFERENCED && !(flags & IOMAP_FOLIO_DONTCACHE)) {
		iomapi_and(&folio->flags, ~IOMAPI_FOLIO_REFERENCED);
		return;
	}
	if (!folio->inode->ops->tryget(folio->inode))
		return;
	scan->victims[scan->nr++] = (struct victim){ folio->inode, folio, folio->pos };
	scan->bytes += folio->size;
}

/* At most one turn of the list, so that nobody is a victim twice. */
static void isolate(struct iomap_cache *cache, struct scan *scan, uint64_t want)
{
	uint32_t step;

	scan->nr = 0;
	scan->bytes = 0;
	iomapi_mutex_lock(cache->env, &cache->lock);
	step = iomapi_min(cache->nr_lru, SCAN_STEP);
	scan->budget = step ? scan->budget : 0;
	for (; step && scan->budget && scan->nr < VICTIMS && scan->bytes < want; step--) {
		scan->budget--;
		look_at(cache, scan);
	}
	iomapi_mutex_unlock(cache->env, &cache->lock);
}

/* The inode is held; is the folio still there, and still nobody's?  Bytes. */
static uint64_t drop(struct iomap_cache *cache, const struct victim *victim)
{
	struct iomapi_mapping *mapping = iomapi_mapping(victim->inode);
	struct iomap_folio *folio = victim->folio;
	uint64_t bytes = 0;

	iomapi_mutex_lock(cache->env, &mapping->lock);
	if (iomapi_tree_find(&mapping->tree, victim->pos) == folio &&
	    !is_busy(folio, iomapi_load(&folio->flags))) {
		bytes = folio->size;
		iomapi_mapping_detach(mapping, folio, true);
	}
	iomapi_mutex_unlock(cache->env, &mapping->lock);
	return bytes;
}

static uint64_t scan_lru(struct iomap_cache *cache, uint64_t want, bool *ending)
{
	struct scan scan = { .nr = 0 };
	uint64_t freed = 0;

	iomapi_mutex_lock(cache->env, &cache->lock);
	scan.budget = 2 * (uint64_t)cache->nr_lru;	/* everybody's second chance, too */
	iomapi_mutex_unlock(cache->env, &cache->lock);
	while (freed < want && scan.budget) {
		isolate(cache, &scan, want - freed);
		for (unsigned i = 0; i < scan.nr; i++) {
			struct iomap_inode *inode = scan.victims[i].inode;

			freed += drop(cache, &scan.victims[i]);
			inode->ops->put(inode);
		}
	}
	*ending = scan.ending;
	return freed;
}

IOMAP_API uint64_t iomap_cache_reclaim(struct iomap_cache *cache, uint64_t want)
{
	uint64_t freed = 0;
	bool ending = true;

	for (unsigned i = 0; want && !freed && ending && i < ENDING_YIELDS; i++) {
		if (i)
			iomapi_yield(cache->env, "cache_reclaim");
		freed = scan_lru(cache, want, &ending);
	}
	__atomic_fetch_add(&cache->reclaimed, freed, __ATOMIC_RELAXED);
	return freed;
}

/* ---- back pressure ---- */

void iomapi_cache_wake_for_room(struct iomap_cache *cache)
{
	iomapi_add(&cache->room, 1);
	iomap_env_wake(cache->env, &cache->room, UINT32_MAX);
}

static uint64_t read_counter(const uint64_t *bytes)
{
	return __atomic_load_n(bytes, __ATOMIC_SEQ_CST);
}

static uint64_t unclean(const struct iomap_cache *cache)
{
	return read_counter(&cache->dirty) + read_counter(&cache->writeback) +
	       read_counter(&cache->failed);
}

static bool is_over(const struct iomap_cache *cache, uint64_t want)
{
	uint64_t bytes = unclean(cache);

	return bytes > cache->dirty_limit || bytes + want > cache->arena.bytes;
}

/* The next dirty inode, held, in turn; NULL: the one whose turn it was is going away. */
static struct iomap_inode *next_dirty_inode(struct iomap_cache *cache)
{
	struct iomap_inode *inode = NULL;
	struct iomap_list *node;

	iomapi_mutex_lock(cache->env, &cache->lock);
	node = iomap_list_pop(&cache->dirty_inodes);
	if (node) {
		iomap_list_add_tail(&cache->dirty_inodes, node);
		/* the mapping is the first thing in opaque */
		inode = iomap_container_of(iomap_container_of(node, struct iomapi_mapping,
							      dirty_node),
					   struct iomap_inode, opaque);
		if (!inode->ops->tryget(inode))
			inode = NULL;
	}
	iomapi_mutex_unlock(cache->env, &cache->lock);
	return inode;
}

/* Start writeback of about so many bytes.  True: something moved, if only into failure. */
static bool write_inodes(struct iomap_cache *cache, uint64_t bytes, unsigned flags,
			 unsigned priority)
{
	uint32_t turns = iomapi_load(&cache->nr_dirty_inodes);
	uint64_t queued = 0;
	bool moved = false;

	for (; turns && queued < bytes; turns--) {
		struct iomap_writeback_control wbc = {
			.struct_size = sizeof(wbc), .bytes_to_write = bytes - queued,
			.flags = flags, .sync_mode = IOMAP_WB_SYNC_NONE,
			.priority = (uint8_t)priority,
		};
		uint64_t before = read_counter(&cache->dirty);
		struct iomap_inode *inode = next_dirty_inode(cache);

		if (!inode)
			continue;
		/* Its errors stay with the inode, where its users find them. */
		inode->ops->writepages(inode, &wbc);
		queued += wbc.bytes_queued;
		moved |= wbc.bytes_queued || read_counter(&cache->dirty) < before;
		inode->ops->put(inode);
	}
	return moved;
}

/* Above the background limit: bring the dirty bytes down to half of it, one writer at a time, and
 * not while as much is on its way already. */
static void write_in_background(struct iomap_cache *cache)
{
	uint64_t dirty = read_counter(&cache->dirty), half = cache->background_limit / 2;

	if (dirty <= half || read_counter(&cache->writeback) > half)
		return;
	if (__atomic_exchange_n(&cache->flushing, 1, __ATOMIC_ACQ_REL))
		return;
	write_inodes(cache, dirty - half, IOMAP_WB_CYCLIC, 0);
	iomapi_store(&cache->flushing, 0);
}

/* Until there is room, or half of what is under writeback now has ended, or the volume (NULL:
 * any) is dead. */
static int wait_for_room(struct iomap_cache *cache, const struct iomap_volume *volume,
			 uint64_t want)
{
	uint64_t half = read_counter(&cache->writeback) / 2;
	int rc = 0;

	__atomic_fetch_add(&cache->room_waiters, 1, __ATOMIC_SEQ_CST);
	while (!rc) {
		iomap_word seen = iomapi_load(&cache->room);

		if (!is_over(cache, want) || read_counter(&cache->writeback) <= half)
			break;
		rc = iomap_volume_error(volume);
		if (!rc)
			rc = iomap_env_wait(cache->env, &cache->room, seen, IOMAP_FOREVER);
	}
	iomapi_sub(&cache->room_waiters, 1);
	return rc;
}

static int balance(struct iomap_cache *cache, const struct iomap_volume *volume, uint64_t want,
		   unsigned op_flags)
{
	/* One request may not ask for everything: it would wait for its own folios. */
	want = iomapi_min(want, (uint64_t)cache->arena.bytes / 2);
	if (iomapi_likely(unclean(cache) <= cache->background_limit && !is_over(cache, want)))
		return 0;
	if (op_flags & IOMAP_NOWAIT)
		return is_over(cache, want) ? -EAGAIN : 0;
	iomapi_assert(!iomapi_self(cache->env)->nr_folio_locks);
	if (!is_over(cache, want)) {
		write_in_background(cache);
		return 0;
	}
	for (;;) {
		bool moved = write_inodes(cache, iomapi_max(unclean(cache) / 2, want), 0, 7);
		int rc = 0;

		if (!is_over(cache, want))
			return 0;
		if (read_counter(&cache->writeback))
			rc = wait_for_room(cache, volume, want);
		else if (!moved)
			return 0;	/* what is left cannot be written, or is failed */
		if (rc || !is_over(cache, want))
			return rc;
	}
}

IOMAP_API int iomap_cache_balance(struct iomap_cache *cache, uint64_t want, unsigned op_flags)
{
	return balance(cache, NULL, want, op_flags);
}

int iomapi_balance(struct iomap_inode *inode, uint64_t want, unsigned op_flags)
{
	return balance(iomapi_cache_of(inode), inode->volume, want, op_flags);
}
