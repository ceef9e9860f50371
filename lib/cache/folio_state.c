/* SPDX-License-Identifier: MIT */
/*
 * cache/folio_state.c - which blocks of a cached folio are uptodate, and which are dirty.
 *
 * A folio of one block, and one whose blocks are all alike, says it with its flags alone.  State is
 * attached when blocks begin to differ: two bitmaps, uptodate and dirty, in words that lie beside
 * the folio since the cache was made (two words a page, enough for blocks of 512 bytes).  They
 * start as the flags are (I15), so attaching changes no meaning, and it cannot fail.
 *
 * Uptodate bits, the bytes of a read that are pending, and the decision that the folio is uptodate
 * change under one lock, a bit in the flags (I19):
 *
 *	completion of blocks 0-1		completion of blocks 2-3
 *	lock, set bits 0-1, pending - 2		lock (waits)
 *	pending not 0, unlock			set bits 2-3, pending 0
 *						all bits: UPTODATE; unlock; the caller ends it
 *
 * While bytes are pending nobody else decides: zeroing the blocks behind EOF sets their bits and
 * leaves the flag to the last completion (I18).
 *
 * A client may answer a read in parts that are no whole blocks.  A block of which only a part has
 * come must not be seen by a reader, who holds no lock of the folio: two more bitmaps remember it
 * until the last completion, and which blocks had a part that failed.  They have their place behind
 * those of all pages, where nobody else comes by.
 *
 * Threads: the folio lock's holder changes dirty bits and attaches or frees state; completions of a
 * read, which owns the folio lock, change uptodate bits and the counter.
 */
#include <string.h>

#include "cache/cache.h"

#define SPINS 128

struct blocks {			/* first .. end - 1 */
	unsigned first, end;
};

static unsigned nr_blocks(const struct iomap_folio *folio)
{
	return folio->size >> iomapi_cached(folio)->block_bits;
}

/* Those that the range touches. */
static struct blocks touched(const struct iomap_folio *folio, size_t off, size_t len)
{
	unsigned bits = iomapi_cached(folio)->block_bits;

	iomapi_assert(len && off + len <= folio->size);
	return (struct blocks){ (unsigned)(off >> bits), (unsigned)((off + len - 1) >> bits) + 1 };
}

/* A look without a lock; it may change at once. */
static bool has_state(const struct iomap_folio *folio)
{
	return __atomic_load_n(&folio->state, __ATOMIC_RELAXED);
}

static void set_state(struct iomap_folio *folio, void *state)
{
	__atomic_store_n(&folio->state, state, __ATOMIC_RELAXED);
}

static uint64_t *uptodate_bits(const struct iomap_folio *folio)
{
	return folio->state;
}

static uint64_t *dirty_bits(const struct iomap_folio *folio)
{
	return uptodate_bits(folio) + IOMAPI_BITMAP_WORDS(nr_blocks(folio));
}

static void state_lock(struct iomap_folio *folio)
{
	struct iomap_env *env = iomapi_cached(folio)->cache->env;
	unsigned spins = 0;

	iomapi_rank_take(env, IOMAP_RANK_FOLIO_STATE, true);
	while (iomapi_or(&folio->flags, IOMAPI_FOLIO_STATE_LOCK) & IOMAPI_FOLIO_STATE_LOCK)
		if (++spins % SPINS == 0)
			iomapi_yield(env, "folio_state");
}

static void state_unlock(struct iomap_folio *folio)
{
	iomapi_folio_sanity(folio);
	iomapi_rank_drop(iomapi_cached(folio)->cache->env, IOMAP_RANK_FOLIO_STATE);
	iomapi_and(&folio->flags, ~IOMAPI_FOLIO_STATE_LOCK);
}

/* Of blocks that are read in parts: some bytes came; some did not and never will. */
static uint64_t *came_bits(const struct iomap_folio *folio)
{
	const struct iomap_cache *cache = iomapi_cached(folio)->cache;

	return uptodate_bits(folio) + 2 * (cache->arena.bytes >> IOMAPI_PAGE_BITS);
}

static uint64_t *lost_bits(const struct iomap_folio *folio)
{
	return came_bits(folio) + IOMAPI_BITMAP_WORDS(nr_blocks(folio));
}

/* Looking changes the lock's bit only. */
static void state_lock_const(const struct iomap_folio *folio)
{
	state_lock((struct iomap_folio *)(uintptr_t)folio);
}

static void state_unlock_const(const struct iomap_folio *folio)
{
	state_unlock((struct iomap_folio *)(uintptr_t)folio);
}

/* ---- life ---- */

static void attach_locked(struct iomap_folio *folio)
{
	struct iomap_cache *cache = iomapi_cached(folio)->cache;
	size_t page = (size_t)((char *)folio->mem - cache->arena.mem) >> IOMAPI_PAGE_BITS;
	unsigned nr = nr_blocks(folio);
	uint32_t flags = iomapi_load(&folio->flags);

	set_state(folio, cache->bits + 2 * page);
	memset(folio->state, 0, 2 * IOMAPI_BITMAP_WORDS(nr) * sizeof(uint64_t));
	if (flags & IOMAP_FOLIO_UPTODATE)
		iomapi_bits_set(uptodate_bits(folio), 0, nr);
	if (flags & IOMAP_FOLIO_DIRTY)
		iomapi_bits_set(dirty_bits(folio), 0, nr);
}

int iomapi_folio_state_attach(struct iomap_folio *folio)
{
	if (folio->state || nr_blocks(folio) == 1)
		return 0;
	state_lock(folio);
	attach_locked(folio);
	state_unlock(folio);
	return 0;
}

bool iomapi_folio_state_free(struct iomap_folio *folio)
{
	bool idle;

	state_lock(folio);
	idle = !(iomapi_load(&folio->flags) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK)) &&
	       !iomapi_load(&folio->write_pending) && !iomapi_cached(folio)->read_pending;
	if (idle)
		set_state(folio, NULL);
	state_unlock(folio);
	return idle;
}

void iomapi_folio_sanity(const struct iomap_folio *folio)
{
#ifdef IOMAPI_SANITY
	uint32_t flags = iomapi_load(&folio->flags);
	unsigned nr;

	if (flags & IOMAP_FOLIO_FRAME || !folio->state)
		return;		/* uniform: nothing to disagree with (I14) */
	nr = nr_blocks(folio);
	iomapi_assert(nr > 1);
	/* I16, and I18: while a read is pending the flag waits for its last completion. */
	if (!iomapi_cached(folio)->read_pending)
		iomapi_assert(!!(flags & IOMAP_FOLIO_UPTODATE) ==
			      iomapi_bits_all(uptodate_bits(folio), 0, nr));
	if (!(flags & IOMAP_FOLIO_DIRTY))	/* I17 */
		iomapi_assert(iomapi_bits_next(dirty_bits(folio), 0, nr, true) == nr);
	for (unsigned i = 0; i < nr; i++)	/* what goes to the device has a content */
		iomapi_assert(!iomapi_bit_test(dirty_bits(folio), i) ||
			      iomapi_bit_test(uptodate_bits(folio), i));
#else
	(void)folio;
#endif
}

/* ---- uptodate ---- */

/* State lock held.  The bits of a range, and the flag if nothing is pending and nothing misses. */
static void set_uptodate_locked(struct iomap_folio *folio, size_t off, size_t len)
{
	struct iomapi_cached *cached = iomapi_cached(folio);
	struct blocks b = touched(folio, off, len);
	unsigned nr = nr_blocks(folio);

	if (!folio->state && b.end - b.first < nr) {
		if (iomapi_load(&folio->flags) & IOMAP_FOLIO_UPTODATE)
			return;
		attach_locked(folio);
	}
	if (folio->state)
		iomapi_bits_set(uptodate_bits(folio), b.first, b.end - b.first);
	if (cached->read_pending)
		cached->read_valid += (uint32_t)len;
	else if (!folio->state || iomapi_bits_all(uptodate_bits(folio), 0, nr))
		iomapi_or(&folio->flags, IOMAP_FOLIO_UPTODATE);
}

void iomapi_folio_set_uptodate(struct iomap_folio *folio, size_t off, size_t len)
{
	uint32_t flags = iomapi_load(&folio->flags);

	if (!len || flags & IOMAP_FOLIO_UPTODATE)
		return;
	/* No state, no read, all of it: nobody else is there to agree with. */
	if (!folio->state && !off && len == folio->size && !(flags & IOMAPI_FOLIO_READING)) {
		iomapi_or(&folio->flags, IOMAP_FOLIO_UPTODATE);
		return;
	}
	state_lock(folio);
	set_uptodate_locked(folio, off, len);
	state_unlock(folio);
}

static bool range_uptodate(const struct iomap_folio *folio, size_t off, size_t len)
{
	struct blocks b = touched(folio, off, len);
	bool all;

	if (!has_state(folio))
		return iomapi_load(&folio->flags) & IOMAP_FOLIO_UPTODATE;
	state_lock_const(folio);
	/* a reader has no folio lock: whoever drops the folio may have taken the state away */
	all = folio->state ? iomapi_bits_all(uptodate_bits(folio), b.first, b.end - b.first)
			   : (iomapi_load(&folio->flags) & IOMAP_FOLIO_UPTODATE) != 0;
	state_unlock_const(folio);
	return all;
}

bool iomapi_folio_block_uptodate(const struct iomap_folio *folio, size_t off)
{
	return range_uptodate(folio, off, 1);
}

IOMAP_API bool iomap_folio_is_partially_uptodate(const struct iomap_folio *folio, size_t off,
						 size_t len)
{
	if (!has_state(folio) || off >= folio->size || !len)
		return false;
	return range_uptodate(folio, off, iomapi_min(len, folio->size - off));
}

/* The flag is that of the bits. */
static size_t run_of(const struct iomap_folio *folio, size_t off, uint32_t flag,
		     uint64_t *(*bits)(const struct iomap_folio *folio), bool *set)
{
	struct blocks b = touched(folio, off, folio->size - off);

	state_lock_const(folio);
	if (folio->state) {
		*set = iomapi_bit_test(bits(folio), b.first);
		b.end = iomapi_bits_next(bits(folio), b.first, b.end, !*set);
	} else {	/* taken away just now, as in range_uptodate */
		*set = iomapi_load(&folio->flags) & flag;
	}
	state_unlock_const(folio);
	return ((size_t)b.end << iomapi_cached(folio)->block_bits) - off;
}

size_t iomapi_folio_uptodate_run(const struct iomap_folio *folio, size_t off, bool *uptodate)
{
	*uptodate = iomapi_load(&folio->flags) & IOMAP_FOLIO_UPTODATE;
	if (*uptodate || !has_state(folio))
		return folio->size - off;
	return run_of(folio, off, IOMAP_FOLIO_UPTODATE, uptodate_bits, uptodate);
}

size_t iomapi_folio_dirty_run(const struct iomap_folio *folio, size_t off, bool *dirty)
{
	*dirty = iomapi_load(&folio->flags) & IOMAP_FOLIO_DIRTY;
	if (!*dirty || !has_state(folio))
		return folio->size - off;
	return run_of(folio, off, IOMAP_FOLIO_DIRTY, dirty_bits, dirty);
}

bool iomapi_folio_next_not_uptodate(const struct iomap_folio *folio, size_t *off, size_t end,
				    size_t *len)
{
	unsigned bits = iomapi_cached(folio)->block_bits;
	struct blocks b;

	if (*off >= end || iomapi_load(&folio->flags) & IOMAP_FOLIO_UPTODATE)
		return false;
	b = touched(folio, *off, end - *off);
	if (folio->state) {
		state_lock_const(folio);
		b.first = iomapi_bits_next(uptodate_bits(folio), b.first, b.end, false);
		b.end = iomapi_bits_next(uptodate_bits(folio), b.first, b.end, true);
		state_unlock_const(folio);
	}
	*off = (size_t)b.first << bits;
	*len = (size_t)(b.end - b.first) << bits;
	return *len;
}

/* ---- reading ---- */

int iomapi_folio_start_read(struct iomap_folio *folio)
{
	struct iomapi_cached *cached = iomapi_cached(folio);

	state_lock(folio);
	iomapi_assert(!cached->read_pending);
	if (!folio->state && nr_blocks(folio) > 1)
		attach_locked(folio);
	cached->read_pending = folio->size;
	cached->read_valid = 0;
	cached->read_error = 0;
	cached->read_parts = false;
	iomapi_or(&folio->flags, IOMAPI_FOLIO_READING);
	state_unlock(folio);
	return 0;
}

/* State lock held.  Blocks that came in parts: all of their bytes were asked for, and are here. */
static void join_parts(struct iomap_folio *folio)
{
	unsigned words = (unsigned)IOMAPI_BITMAP_WORDS(nr_blocks(folio));

	for (unsigned i = 0; i < words; i++)
		uptodate_bits(folio)[i] |= came_bits(folio)[i] & ~lost_bits(folio)[i];
	iomapi_cached(folio)->read_parts = false;
}

/* State lock held.  True: that was the last of them, and the folio is uptodate or it is not. */
static bool sub_locked(struct iomap_folio *folio, size_t len)
{
	struct iomapi_cached *cached = iomapi_cached(folio);

	iomapi_assert(cached->read_pending >= len);
	cached->read_pending -= (uint32_t)len;
	if (cached->read_pending)
		return false;
	if (iomapi_unlikely(cached->read_parts))
		join_parts(folio);
	if (folio->state ? iomapi_bits_all(uptodate_bits(folio), 0, nr_blocks(folio))
			 : cached->read_valid >= folio->size)
		iomapi_or(&folio->flags, IOMAP_FOLIO_UPTODATE);
	return true;
}

/* State lock held.  Blocks b of the folio have a part that came, or did not. */
static void note_parts(struct iomap_folio *folio, struct blocks b, int error)
{
	struct iomapi_cached *cached = iomapi_cached(folio);

	if (!cached->read_parts)
		memset(came_bits(folio), 0,
		       2 * IOMAPI_BITMAP_WORDS(nr_blocks(folio)) * sizeof(uint64_t));
	cached->read_parts = true;
	iomapi_bits_set(error ? lost_bits(folio) : came_bits(folio), b.first, b.end - b.first);
}

/* State lock held.  The blocks that lie wholly inside are there at once, those at the edges when
 * the read is over. */
static void arrived_locked(struct iomap_folio *folio, size_t off, size_t len, int error)
{
	struct iomapi_cached *cached = iomapi_cached(folio);
	size_t mask = ((size_t)1 << cached->block_bits) - 1;
	struct blocks b = touched(folio, off, len);

	if (error && !cached->read_error)
		cached->read_error = error < 0 ? error : -EIO;
	cached->read_valid += error ? 0 : (uint32_t)len;
	if (!folio->state)
		return;
	if ((off | len) & mask) {
		if (off & mask)
			note_parts(folio, (struct blocks){ b.first, b.first + 1 }, error);
		if ((off + len) & mask)
			note_parts(folio, (struct blocks){ b.end - 1, b.end }, error);
		b.first += (off & mask) != 0;
		b.end -= ((off + len) & mask) != 0;
	}
	if (b.first >= b.end)
		return;
	if (error)
		iomapi_bits_clear(uptodate_bits(folio), b.first, b.end - b.first);
	else
		iomapi_bits_set(uptodate_bits(folio), b.first, b.end - b.first);
}

bool iomapi_folio_sub_read_pending(struct iomap_folio *folio, size_t off, size_t len, int error)
{
	bool last;

	state_lock(folio);
	arrived_locked(folio, off, len, error);
	last = sub_locked(folio, len);
	state_unlock(folio);
	return last;
}

bool iomapi_folio_read_queued(struct iomap_env *env, struct iomap_folio *folio, size_t rest)
{
	bool last = false;

	if (rest) {
		state_lock(folio);
		last = sub_locked(folio, rest);
		if (last)
			iomapi_and(&folio->flags, ~IOMAPI_FOLIO_READING);
		state_unlock(folio);
	}
	if (!last) {
		iomapi_self(env)->nr_folio_locks--;
		iomapi_rank_drop(env, IOMAP_RANK_FOLIO);
	}
	return last;
}

/* ---- dirty ---- */

/* Blocks only; the flag, the tag and the accounting are folio.c's. */
static void set_dirty_bits(struct iomap_folio *folio, size_t off, size_t len)
{
	struct blocks b = touched(folio, off, len);

	state_lock(folio);
	if (!folio->state)
		attach_locked(folio);
	iomapi_bits_set(dirty_bits(folio), b.first, b.end - b.first);
	iomapi_or(&folio->flags, IOMAP_FOLIO_DIRTY);
	state_unlock(folio);
}

bool iomapi_folio_state_set_dirty(struct iomap_folio *folio, size_t off, size_t len)
{
	uint32_t flags = iomapi_load(&folio->flags);
	struct blocks b = touched(folio, off, len);

	iomapi_assert(range_uptodate(folio, off, len));
	if (folio->state || (b.end - b.first < nr_blocks(folio) && !(flags & IOMAP_FOLIO_DIRTY)))
		set_dirty_bits(folio, off, len);
	else if (!(flags & IOMAP_FOLIO_DIRTY))
		iomapi_or(&folio->flags, IOMAP_FOLIO_DIRTY);
	return !(flags & IOMAP_FOLIO_DIRTY);
}

static __attribute__((noinline)) void clear_dirty_blocks(struct iomap_folio *folio, size_t off,
							 size_t len)
{
	struct blocks b = touched(folio, off, len);

	if (!folio->state && b.end - b.first == nr_blocks(folio)) {
		iomapi_and(&folio->flags, ~(uint32_t)IOMAP_FOLIO_DIRTY);
		return;
	}
	state_lock(folio);
	if (!folio->state)
		attach_locked(folio);
	iomapi_bits_clear(dirty_bits(folio), b.first, b.end - b.first);
	state_unlock(folio);
}

void iomapi_folio_clear_dirty(struct iomap_folio *folio, size_t off, size_t len)
{
	uint32_t flags = iomapi_load(&folio->flags);

	if (!len || !(flags & IOMAP_FOLIO_DIRTY))
		return;
	if (flags & IOMAP_FOLIO_FRAME || (!folio->state && len == folio->size))
		iomapi_and(&folio->flags, ~(uint32_t)IOMAP_FOLIO_DIRTY);
	else
		clear_dirty_blocks(folio, off, len);
}

static __attribute__((noinline)) bool next_dirty_blocks(struct iomap_folio *folio, size_t *off,
							size_t end, size_t *len)
{
	struct blocks b = touched(folio, *off, end - *off);

	if (folio->state) {
		state_lock(folio);
		b.first = iomapi_bits_next(dirty_bits(folio), b.first, b.end, true);
		b.end = iomapi_bits_next(dirty_bits(folio), b.first, b.end, false);
		state_unlock(folio);
	}
	*off = (size_t)b.first << iomapi_cached(folio)->block_bits;
	*len = (size_t)(b.end - b.first) << iomapi_cached(folio)->block_bits;
	return *len;
}

bool iomapi_folio_next_dirty(struct iomap_folio *folio, size_t *off, size_t end, size_t *len)
{
	uint32_t flags = iomapi_load(&folio->flags);

	if (*off >= end || !(flags & IOMAP_FOLIO_DIRTY))
		return false;
	if (!(flags & IOMAP_FOLIO_FRAME) && (folio->state || end != folio->size || *off))
		return next_dirty_blocks(folio, off, end, len);
	*len = folio->size - *off;
	return true;
}

bool iomapi_folio_state_settle(struct iomap_folio *folio)
{
	unsigned nr;
	bool any;

	if (!folio->state)
		return iomapi_load(&folio->flags) & IOMAP_FOLIO_DIRTY;
	nr = nr_blocks(folio);
	state_lock(folio);
	any = iomapi_bits_next(dirty_bits(folio), 0, nr, true) < nr;
	if (!any)
		iomapi_and(&folio->flags, ~(uint32_t)IOMAP_FOLIO_DIRTY);
	state_unlock(folio);
	return any;
}
