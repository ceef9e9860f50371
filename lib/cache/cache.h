/* SPDX-License-Identifier: MIT */
/*
 * cache/cache.h - cached folios, their block bits, the tagged tree, the mapping of an inode.
 *
 * Locks, outermost first: folio lock (a bit, object wait) > mapping->lock > folio state lock (a
 * bit) > cache->lock.  A cached folio lives while it is in the tree (one reference) or referenced;
 * LOCKED and WRITEBACK pin it too: nobody takes a folio out of the tree that carries one of them,
 * its owner excepted.  Whoever clears the bit needs no reference, and clears it last.
 * Frames (client's folios) use folio.c alone: no tree, no state, no cache.
 */
#ifndef IOMAPI_CACHE_H
#define IOMAPI_CACHE_H

#include <iomap/cache.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/bitmap.h"
#include "base/env.h"
#include "base/pool.h"

#define IOMAPI_PAGE_BITS	12
#define IOMAPI_PAGE		(1u << IOMAPI_PAGE_BITS)	/* smallest cached folio */
#define IOMAPI_MAX_FOLIO	(2u << 20)

/* Folio flags beyond the public ones. */
enum {
	IOMAPI_FOLIO_WAITERS	= 1u << 31,	/* somebody watches the flags word */
	IOMAPI_FOLIO_STATE_LOCK	= 1u << 30,	/* spin: bits, pending reads, uptodate decision */
	IOMAPI_FOLIO_READING	= 1u << 29,	/* a read has begun; the lock goes over to it */
	IOMAPI_FOLIO_REFERENCED	= 1u << 28,	/* found again: a second chance in reclaim */
	IOMAPI_FOLIO_LISTED	= 1u << 27,	/* stands in cache->lru, whose lock it needs */
};
/* Reclaim, invalidation and DONTCACHE keep their hands off. */
#define IOMAPI_FOLIO_KEEP \
	(IOMAP_FOLIO_LOCKED | IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_FAILED)

/* ---- arena.c: memory for folios in runs of pages; cache->lock held ---- */
struct iomapi_arena {
	char *mem;
	size_t bytes;
	uint64_t *free;			/* a bit per page that is free */
	uint64_t *some;			/* a bit per word of free that is not 0 */
	uint32_t nr_pages, nr_free;
	uint32_t rotor, stream;		/* where the next search starts: single ones, streams */
};
int iomapi_arena_init(struct iomapi_arena *arena, struct iomap_env *env, size_t bytes);
/* Asserts that all of it is free. */
void iomapi_arena_fini(struct iomapi_arena *arena, struct iomap_env *env);
/* nr: a power of two, up to 512.  next: memory that this run should follow, or NULL.  NULL: no such
 * run (found). */
void *iomapi_arena_alloc(struct iomapi_arena *arena, unsigned nr, void *next);
void iomapi_arena_free(struct iomapi_arena *arena, void *mem, unsigned nr);

/* ---- tree.c: folios of one mapping by position; mapping->lock held ---- */
enum iomapi_tag { IOMAPI_TAG_DIRTY, IOMAPI_TAG_WRITEBACK, IOMAPI_TAG_TOWRITE, IOMAPI_TAG_FAILED,
		  IOMAPI_NR_TAGS };
#define IOMAPI_TAG_BIT(tag)	(1u << (tag))
#define IOMAPI_SLOT_BITS	6
#define IOMAPI_NR_SLOTS		64u
struct iomapi_tree_node {
	uint64_t bits[IOMAPI_NR_TAGS + 1];	/* a bit per slot that has the tag; the last: all */
	struct iomapi_tree_node *parent;
	uint64_t prefix;		/* page numbers in it, less the bits below its width */
	uint32_t shift;			/* a slot is 2^shift pages wide */
	uint32_t offset;		/* slot of the parent */
	void *slots[IOMAPI_NR_SLOTS];
};
struct iomapi_tree {
	struct iomapi_tree_node *root, *finger;	/* finger: where a folio was tagged last */
	uint32_t tags;			/* a bit per tag that is set anywhere */
};
/* Where nodes come from: a pool, and the environment when it is empty.  Any tree, any thread. */
struct iomapi_nodes {
	struct iomapi_pool pool;
	struct iomap_env *env;
};
int iomapi_nodes_init(struct iomapi_nodes *nodes, struct iomap_env *env, uint32_t nr);
void iomapi_nodes_fini(struct iomapi_nodes *nodes);
/* -ENOMEM, -EEXIST: overlaps another.  The folio's size is a power of two of pages, pos a multiple
 * of it. */
int iomapi_tree_insert(struct iomapi_tree *tree, struct iomapi_nodes *nodes,
		       struct iomap_folio *folio);
/* Its tags go too.  Never allocates. */
void iomapi_tree_remove(struct iomapi_tree *tree, struct iomapi_nodes *nodes,
			struct iomap_folio *folio);
struct iomap_folio *iomapi_tree_find(const struct iomapi_tree *tree, int64_t pos);
unsigned iomapi_tree_tags(struct iomapi_tree *tree, const struct iomap_folio *folio);
/* Up to nr folios that touch [*pos, end) and have a tag of mask (0: all), in order.  *pos moves
 * behind the last one; to end when there are no more. */
unsigned iomapi_tree_gang(const struct iomapi_tree *tree, int64_t *pos, int64_t end, unsigned mask,
			  struct iomap_folio **folios, unsigned nr);
/* Copy tag from to tag to, in at most nr folios that touch [*pos, end); *pos moves as above. */
void iomapi_tree_copy_tag(struct iomapi_tree *tree, int64_t *pos, int64_t end,
			  enum iomapi_tag from, enum iomapi_tag to, unsigned nr);
void iomapi_tree_sanity(const struct iomapi_tree *tree);	/* debug only */

/* The rest of tree.c is inline, for each step of a folio's writeback changes tags. */

/* The slot of a node that a folio is found by, if it stands there. */
static inline unsigned iomapi_tree_slot(const struct iomapi_tree_node *node,
					const struct iomap_folio *folio)
{
	uint64_t page = (uint64_t)folio->pos >> IOMAPI_PAGE_BITS;

	return page >> node->shift & (IOMAPI_NR_SLOTS - 1);
}

static inline bool iomapi_tree_stands_in(const struct iomapi_tree_node *node,
					 const struct iomap_folio *folio)
{
	return node->slots[iomapi_tree_slot(node, folio)] == folio;
}

struct iomapi_tree_node *iomapi_tree_walk_down(struct iomapi_tree *tree,
					       const struct iomap_folio *folio);
/* The node that a folio of the tree stands in.  Those who tag go from neighbour to neighbour, so
 * the last one is remembered. */
static inline struct iomapi_tree_node *iomapi_tree_node_of(struct iomapi_tree *tree,
							   const struct iomap_folio *folio)
{
	struct iomapi_tree_node *node = tree->finger;

	if (iomapi_likely(node && iomapi_tree_stands_in(node, folio)))
		return node;
	return iomapi_tree_walk_down(tree, folio);
}

/* A node got its first bit of a tag, or lost the last: the nodes above follow, and the tree. */
void iomapi_tree_tell_parents(struct iomapi_tree *tree, struct iomapi_tree_node *node,
			      unsigned tag, bool set);
static inline void iomapi_tree_set_bits(struct iomapi_tree *tree, struct iomapi_tree_node *node,
					uint64_t bits, unsigned tag)
{
	uint64_t before = node->bits[tag];

	node->bits[tag] = before | bits;
	if (iomapi_unlikely(!before))
		iomapi_tree_tell_parents(tree, node, tag, true);
}

static inline void iomapi_tree_clear_bits(struct iomapi_tree *tree, struct iomapi_tree_node *node,
					  uint64_t bits, unsigned tag)
{
	if (!(node->bits[tag] & bits))
		return;
	node->bits[tag] &= ~bits;
	if (iomapi_unlikely(!node->bits[tag]))
		iomapi_tree_tell_parents(tree, node, tag, false);
}

#define IOMAPI_INLINE static inline __attribute__((always_inline))
IOMAPI_INLINE void iomapi_tree_retag_one(struct iomapi_tree *tree, struct iomapi_tree_node *node,
					 uint64_t bit, unsigned set, unsigned clear, unsigned tag)
{
	if (clear & IOMAPI_TAG_BIT(tag))
		iomapi_tree_clear_bits(tree, node, bit, tag);
	if (set & IOMAPI_TAG_BIT(tag))
		iomapi_tree_set_bits(tree, node, bit, tag);
}

/* Set and clear tags of a folio in the tree: bits of IOMAPI_TAG_BIT.  Never allocates.  Returns the
 * tags that came into tree->tags or went.  With constant masks little remains of it. */
IOMAPI_INLINE unsigned iomapi_tree_retag(struct iomapi_tree *tree, const struct iomap_folio *folio,
					 unsigned set, unsigned clear)
{
	struct iomapi_tree_node *node = iomapi_tree_node_of(tree, folio);
	uint64_t bit = 1ull << iomapi_tree_slot(node, folio);
	unsigned before = tree->tags;

	iomapi_tree_retag_one(tree, node, bit, set, clear, IOMAPI_TAG_DIRTY);
	iomapi_tree_retag_one(tree, node, bit, set, clear, IOMAPI_TAG_WRITEBACK);
	iomapi_tree_retag_one(tree, node, bit, set, clear, IOMAPI_TAG_TOWRITE);
	iomapi_tree_retag_one(tree, node, bit, set, clear, IOMAPI_TAG_FAILED);
	return before ^ tree->tags;
}

/* ---- mapping.c: first member of the inode's private part ---- */
struct iomapi_mapping {
	struct iomap_mutex lock;	/* IOMAP_RANK_MAPPING */
	struct iomapi_tree tree;
	struct iomap_cache *cache;	/* NULL: FRAMES or DAX */
	struct iomap_list dirty_node;	/* in cache->dirty_inodes while anything is dirty */
	uint64_t nr_folios;
	uint64_t next_pos;		/* sequential: memory follows memory */
	void *next_mem;
	int64_t writeback_index;	/* where a CYCLIC pass goes on */
	iomap_word failures;		/* bumped when a folio fails */
	iomap_word spare;
};
static inline struct iomapi_mapping *iomapi_mapping(struct iomap_inode *inode)
{
	return (struct iomapi_mapping *)(void *)inode->opaque;
}
void iomapi_mapping_init(struct iomap_inode *inode, struct iomap_cache *cache);
void iomapi_mapping_fini(struct iomap_inode *inode);		/* asserts empty */
/* A referenced folio that covers pos, or NULL. */
struct iomap_folio *iomapi_mapping_find(struct iomap_inode *inode, int64_t pos);
/* Up to nr referenced folios with the tag that touch [*pos, end), in order; *pos moves behind the
 * last one looked at. */
unsigned iomapi_mapping_tagged(struct iomap_inode *inode, int64_t *pos, int64_t end,
			       enum iomapi_tag tag, struct iomap_folio **folios, unsigned nr);
/* The same for those with any tag of a mask of IOMAPI_TAG_BIT, seen in one turn of the lock:
 * a folio that goes from one to the other is not missed. */
unsigned iomapi_mapping_tagged_any(struct iomap_inode *inode, int64_t *pos, int64_t end,
				   unsigned mask, struct iomap_folio **folios, unsigned nr);
/* The same for all folios in the range. */
unsigned iomapi_mapping_folios(struct iomap_inode *inode, int64_t *pos, int64_t end,
			       struct iomap_folio **folios, unsigned nr);
bool iomapi_mapping_has(struct iomap_inode *inode, enum iomapi_tag tag);
/* Wait for writeback of the range; what failed since the count of failures was that is an error,
 * over by now or not. */
int iomapi_mapping_wait_since(struct iomap_inode *inode, int64_t start, int64_t end,
			      iomap_word failures);
/* The mapping has dirty folios now, or none any more; mapping->lock held. */
void iomapi_mapping_note_dirty(struct iomapi_mapping *mapping);
/* Set and clear tags of a folio in the tree, dirty_inodes follows; mapping->lock held. */
IOMAPI_INLINE void iomapi_mapping_retag(struct iomapi_mapping *mapping,
					const struct iomap_folio *folio, unsigned set,
					unsigned clear)
{
	unsigned changed = iomapi_tree_retag(&mapping->tree, folio, set, clear);

	if (iomapi_unlikely(changed & IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY)))
		iomapi_mapping_note_dirty(mapping);
}
/* Take out of the tree a folio that has no tag; mapping->lock held.  last: nobody has a reference,
 * it is freed; else the caller puts the tree's. */
void iomapi_mapping_detach(struct iomapi_mapping *mapping, struct iomap_folio *folio, bool last);
/* Copy DIRTY to TOWRITE in [start, end): those dirty now, and those that another walk is offering
 * and may give up.  In steps: the lock is dropped. */
void iomapi_mapping_tag_towrite(struct iomap_inode *inode, int64_t start, int64_t end);

/* ---- folio.c ---- */
/* A cached folio: one per page of the arena, made with the cache; a folio of several pages uses
 * that of its first. */
struct iomapi_cached {
	struct iomap_folio folio;	/* first */
	struct iomap_cache *cache;
	struct iomap_list lru;		/* cache->lock */
	uint32_t read_pending;		/* state lock: bytes of a read that are on their way.. */
	uint32_t read_valid;		/* ..bytes that came; for the folio of one block */
	int32_t read_error;		/* ..the first that something did not come for */
	bool read_parts;		/* ..some in parts of a block */
	uint8_t block_bits;		/* of its inode, which may be gone */
};
static inline struct iomapi_cached *iomapi_cached(const struct iomap_folio *folio)
{
	return (struct iomapi_cached *)(void *)folio;
}
/* Folio lock held; blocks and flag DIRTY, tag DIRTY, accounting.  Public mark_dirty ends here. */
void iomapi_folio_set_dirty(struct iomap_folio *folio, size_t off, size_t len);
/* Clear the dirty bits of a range just before it is offered (I81).  Whole blocks: those it
 * touches. */
void iomapi_folio_clear_dirty(struct iomap_folio *folio, size_t off, size_t len);
/* The same for the whole of a folio of one block, which has no state. */
static inline void iomapi_folio_clear_dirty_flag(struct iomap_folio *folio)
{
	(void)iomapi_and(&folio->flags, ~(uint32_t)IOMAP_FOLIO_DIRTY);
}
/* The next dirty range at or after *off and before end, in blocks of the inode: false when there is
 * none.  A folio without state that is DIRTY is dirty all over. */
bool iomapi_folio_next_dirty(struct iomap_folio *folio, size_t *off, size_t end, size_t *len);
/* All dirty bits are cleared, those of the last range just now: the DIRTY flag stays exactly if a
 * block is dirty still, and then the tag comes back.  Before the last sub_write_pending. */
void iomapi_folio_settle_dirty(struct iomap_folio *folio);
/* len bytes of write_pending are over; the first error stays in folio->error.  true: that was the
 * last; then the caller ends writeback. */
static inline bool iomapi_folio_sub_write_pending(struct iomap_folio *folio, uint64_t len,
						  int error)
{
	int32_t none = 0;
	uint32_t left;

	if (iomapi_unlikely(error))
		iomapi_cas(&folio->error, &none, error);
	left = iomapi_sub(&folio->write_pending, (uint32_t)len);
	/* Unless this was the last, the folio may be gone now. */
	iomapi_assert(left <= UINT32_MAX - len);
	return !left;
}
/* WRITEBACK off (flag, tag), accounting, FAILED if folio->error, wake watchers.  The last touch: of
 * inode and cache before the flag goes, of the folio with it.
 * Cached folios only; a frame's end is in writeback/frames.c. */
void iomapi_folio_end_writeback(struct iomap_folio *folio);
/* The same for several folios of one inode, in one turn of its lock; folios are overwritten. */
void iomapi_folios_end_writeback(struct iomap_folio **folios, unsigned nr);
/* Out of the cache, if it is DONTCACHE and clean, and only the tree and the caller have references.
 * No lock held; the reference stays the caller's. */
void iomapi_folio_drop_behind(struct iomap_inode *inode, struct iomap_folio *folio);
/* Somebody uses it who did not say DONTCACHE: it stays. */
static inline void iomapi_folio_wanted(struct iomap_folio *folio)
{
	if (iomapi_unlikely(iomapi_load_relaxed(&folio->flags) & IOMAP_FOLIO_DONTCACHE))
		iomapi_and(&folio->flags, ~(uint32_t)IOMAP_FOLIO_DONTCACHE);
}
/* Until no read of it and no writeback is on its way; not locked by the caller. */
int iomapi_folio_wait_io(struct iomap_folio *folio, int64_t timeout_ns);
/* Clear flags that others wait for and wake them; the folio may be gone when the bits are off.
 * For frames as well. */
static inline void iomapi_folio_clear_flags(struct iomap_env *env, struct iomap_folio *folio,
					    uint32_t flags)
{
	const iomap_word *word = &folio->flags;
	uint32_t old = iomapi_and(&folio->flags, ~(flags | IOMAPI_FOLIO_WAITERS));

	iomapi_assert(old & flags);
	if (iomapi_unlikely(old & IOMAPI_FOLIO_WAITERS))
		iomap_env_wake(env, word, UINT32_MAX);
}
/* iomap_folio_trylock and _unlock for who has the environment at hand; unlock: not a read's. */
static inline bool iomapi_folio_set_locked(struct iomap_folio *folio)
{
	return !(iomapi_or(&folio->flags, IOMAP_FOLIO_LOCKED) & IOMAP_FOLIO_LOCKED);
}
static inline bool iomapi_folio_trylock(struct iomap_env *env, struct iomap_folio *folio)
{
	iomapi_lock_ahead(env, "folio", IOMAP_RANK_FOLIO);
	if (!iomapi_folio_set_locked(folio))
		return false;
	iomapi_rank_take(env, IOMAP_RANK_FOLIO, false);
	iomapi_self(env)->nr_folio_locks++;
	return true;
}
static inline void iomapi_folio_unlock(struct iomap_env *env, struct iomap_folio *folio)
{
	iomapi_self(env)->nr_folio_locks--;
	iomapi_rank_drop(env, IOMAP_RANK_FOLIO);
	iomapi_folio_clear_flags(env, folio, IOMAP_FOLIO_LOCKED);
}
/* Never dropped by the cache; stays until redirty_failed or forget_failed (H8). */
void iomapi_folio_set_failed(struct iomap_folio *folio);
void iomapi_folio_clear_failed(struct iomap_folio *folio);
/* Folio locked.  false: something of the mapping has failed since its count of failures was that,
 * perhaps this folio, and nothing is changed. */
bool iomapi_folio_clear_failed_since(struct iomap_folio *folio, iomap_word failures);
/* Locked and attached: no longer dirty, nor failed; state is dropped.  Not under writeback. */
void iomapi_folio_cancel(struct iomap_folio *folio);
static inline void iomapi_folio_get(struct iomap_folio *folio)
{
	__atomic_fetch_add(&folio->refs, 1, __ATOMIC_RELAXED);
}
void iomapi_cache_free(struct iomap_folio *folio);	/* the last reference is gone */
static inline void iomapi_folio_put(struct iomap_folio *folio)
{
	iomapi_assert(iomapi_load(&folio->refs));
	if (iomapi_unlikely(!iomapi_sub(&folio->refs, 1)))
		iomapi_cache_free(folio);
}
static inline void iomapi_folio_put_behind(struct iomap_inode *inode, struct iomap_folio *folio)
{
	if (iomapi_unlikely(iomapi_load_relaxed(&folio->flags) & IOMAP_FOLIO_DONTCACHE))
		iomapi_folio_drop_behind(inode, folio);
	iomapi_folio_put(folio);
}
/* Locked and still in its mapping?  After a lock: truncate may have taken it out. */
static inline bool iomapi_folio_attached(const struct iomap_folio *folio)
{
	return folio->inode;
}

/* ---- folio_state.c: per-block uptodate and dirty bits ---- */
/* Of iomapi_folio_set_dirty: the blocks and the flag.  true: it was not DIRTY before. */
bool iomapi_folio_state_set_dirty(struct iomap_folio *folio, size_t off, size_t len);
/* Of settle: drop the flag if no block is dirty.  true: one is. */
bool iomapi_folio_state_settle(struct iomap_folio *folio);
/* Attach state if the folio has more than one block (I14, I15).  The bits have their place beside
 * the cached folio since cache_new: 0, it cannot fail. */
int iomapi_folio_state_attach(struct iomap_folio *folio);
void iomapi_folio_set_uptodate(struct iomap_folio *folio, size_t off, size_t len);
bool iomapi_folio_block_uptodate(const struct iomap_folio *folio, size_t off);
/* Bytes from off on that are all uptodate, or all are not; *uptodate says which.  The same for
 * dirty.  For who has a reference only: it may change at once. */
size_t iomapi_folio_uptodate_run(const struct iomap_folio *folio, size_t off, bool *uptodate);
size_t iomapi_folio_dirty_run(const struct iomap_folio *folio, size_t off, bool *dirty);
/* The next range in [*off, end) that is not uptodate, rounded to blocks; false: none. */
bool iomapi_folio_next_not_uptodate(const struct iomap_folio *folio, size_t *off, size_t end,
				    size_t *len);
/*
 * Reading, by the thread that locked the folio, right before the first range is queued:
 * read_pending starts at the folio's size (I20), state is attached.  0.
 */
int iomapi_folio_start_read(struct iomap_folio *folio);
/*
 * After the last range is queued; rest: the folio's bytes that were not.  The lock goes over to the
 * read.  true: nothing is pending, the lock came back, the caller unlocks.  With rest 0 only the
 * thread's own records change: the folio is not touched, it may be gone (I22).
 */
bool iomapi_folio_read_queued(struct iomap_env *env, struct iomap_folio *folio, size_t rest);
/* len bytes arrived (error 0: their blocks become uptodate) or failed; one lock for bits, counter
 * and decision (I19).  true: the last one, the caller unlocks the folio (I21). */
bool iomapi_folio_sub_read_pending(struct iomap_folio *folio, size_t off, size_t len, int error);
/* Free the state: neither dirty nor pending (I16, I24); false: it is. */
bool iomapi_folio_state_free(struct iomap_folio *folio);
void iomapi_folio_sanity(const struct iomap_folio *folio);	/* I14-I17, debug only */

/* ---- cache.c ---- */
struct iomap_cache {
	struct iomap_env *env;
	struct iomap_mutex lock;	/* IOMAP_RANK_CACHE: arena, lru, dirty_inodes */
	struct iomapi_arena arena;
	struct iomapi_cached *cached;	/* one per page */
	uint64_t *bits;			/* four words per page, see folio_state.c */
	struct iomapi_nodes nodes;
	struct iomap_list lru;		/* may be clean; oldest first */
	struct iomap_list dirty_inodes;	/* mappings with tag DIRTY */
	uint32_t nr_lru;
	uint64_t dirty_limit, background_limit;
	uint32_t max_folio;
	uint64_t misses;
	/* atomics */
	iomap_word nr_mappings, nr_dirty_inodes;
	iomap_word flushing;		/* somebody starts background writeback */
	iomap_word room, room_waiters;	/* dirty or writeback went down: who waits for that */
	uint64_t dirty, writeback, failed;
	uint64_t hits, reclaimed, zeroed_beyond_eof;
};
struct iomap_cache *iomapi_cache_of(struct iomap_inode *inode);
/* iomap_cache_balance for a change of this inode: the wait ends when its volume dies. */
int iomapi_balance(struct iomap_inode *inode, uint64_t want, unsigned op_flags);
/* Memory and a place in the lru for a new folio of between min and size bytes, both powers of two:
 * locked, with two references, not in any tree.  less: smaller ones will do, else -ENOMEM tells the
 * caller to reclaim first.  Mapping lock held. */
int iomapi_cache_get(struct iomap_inode *inode, int64_t pos, uint32_t size, uint32_t min, bool less,
		     struct iomap_folio **folio);
/* Out of the lru and no longer the inode's; free: give back the memory too.  Mapping lock held. */
void iomapi_cache_forget(struct iomap_folio *folio, bool free);
/* It may have become clean while it was not listed; first: reclaim should take it soon. */
void iomapi_cache_list_again(struct iomap_folio *folio, bool first);
static inline void iomapi_cache_relist(struct iomap_folio *folio, uint32_t flags, bool first)
{
	if (iomapi_likely(flags & IOMAPI_FOLIO_LISTED && !first) || flags & IOMAP_FOLIO_FAILED)
		return;
	iomapi_cache_list_again(folio, first);
}
static inline void iomapi_cache_account(uint64_t *bytes, int64_t change)
{
	__atomic_fetch_add(bytes, (uint64_t)change, __ATOMIC_SEQ_CST);
}
/* After dirty or writeback went down: tell who waits for it.  The changes of the counters and the
 * look at room_waiters are in one total order: the waiter sees the room or it is seen. */
void iomapi_cache_wake_for_room(struct iomap_cache *cache);
static inline void iomapi_cache_note_room(struct iomap_cache *cache)
{
	if (iomapi_unlikely(__atomic_load_n(&cache->room_waiters, __ATOMIC_SEQ_CST)))
		iomapi_cache_wake_for_room(cache);
}
/* Zeroing met a folio that begins beyond EOF: counted, 0 is expected (I64). */
void iomapi_cache_note_zeroed_beyond_eof(struct iomap_inode *inode);

/* ---- folio.c, inline: writeback begins ---- */
static inline void iomapi_folio_account(const struct iomap_folio *folio, uint64_t *bytes, int sign)
{
	iomapi_cache_account(bytes, sign * (int64_t)folio->size);
}
/* A dirty frame: flag WRITEBACK, write_pending = folio size (I23), error = 0. */
static inline void iomapi_frame_start_writeback(struct iomap_folio *folio)
{
	iomapi_assert((iomapi_load(&folio->flags) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK)) ==
		      IOMAP_FOLIO_DIRTY);
	iomapi_store(&folio->error, 0);
	iomapi_store(&folio->write_pending, folio->size);
	iomapi_or(&folio->flags, IOMAP_FOLIO_WRITEBACK);
}
/*
 * A cached folio, locked, besides: tag WRITEBACK instead of DIRTY, accounting moves from dirty to
 * writeback; the folio is pinned until end_writeback.  TOWRITE stays until then, and longer if the
 * folio is dirty again: a walk that gives up between start and end, and makes dirty again what it
 * did not offer, has not hidden the folio from a sync that tagged it.
 */
static inline void iomapi_folio_start_writeback(struct iomap_inode *inode,
						struct iomap_folio *folio)
{
	struct iomapi_mapping *mapping = iomapi_mapping(inode);
	struct iomap_cache *cache = mapping->cache;

	iomapi_assert(iomapi_load(&folio->flags) & IOMAP_FOLIO_LOCKED);
	iomapi_frame_start_writeback(folio);
	iomapi_folio_account(folio, &cache->writeback, 1);
	iomapi_mutex_lock(inode->env, &mapping->lock);
	iomapi_mapping_retag(mapping, folio, IOMAPI_TAG_BIT(IOMAPI_TAG_WRITEBACK),
			     IOMAPI_TAG_BIT(IOMAPI_TAG_DIRTY));
	iomapi_mutex_unlock(inode->env, &mapping->lock);
	iomapi_folio_account(folio, &cache->dirty, -1);
}

#endif
