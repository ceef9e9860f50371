/* SPDX-License-Identifier: MIT */
/*
 * cache/arena.c - the memory of all cached folios, handed out in runs of pages.
 *
 * One piece of memory, on huge pages where the system has them.  A bit per page says that it is
 * free, a bit per word of those says that the word is not empty.  What matters is not fit but
 * neighbourhood: file data that follows should have memory that follows, for then many folios are
 * one segment of a request.
 *   stream   the caller names the memory it would like to continue; if that is taken, the stream
 *            gets the start of a word (64 pages) that is free altogether, so that it can run on.
 *   single   next-fit from a rotor, naturally aligned.
 * Searches for more than one page give up after MAX_SEARCH words: the caller takes smaller folios
 * instead.  A search for one page always finds what there is.
 *
 * Threads: the cache's lock is held.
 */
#include <sys/mman.h>

#include "cache/cache.h"

#define HUGE_PAGE	(2u << 20)
#define WORD_PAGES	64u
#define MAX_SEARCH	512u
#define NOT_FOUND	UINT32_MAX

static uint32_t nr_words(const struct iomapi_arena *arena)
{
	return IOMAPI_BITMAP_WORDS(arena->nr_pages);
}

static size_t free_bytes(const struct iomapi_arena *arena)
{
	return nr_words(arena) * sizeof(uint64_t);
}

static size_t some_bytes(const struct iomapi_arena *arena)
{
	return IOMAPI_BITMAP_WORDS(nr_words(arena)) * sizeof(uint64_t);
}

int iomapi_arena_init(struct iomapi_arena *arena, struct iomap_env *env, size_t bytes)
{
	*arena = (struct iomapi_arena){ .bytes = bytes, .nr_pages = bytes >> IOMAPI_PAGE_BITS };
	arena->mem = iomapi_alloc(env, bytes, bytes < HUGE_PAGE ? IOMAPI_PAGE : HUGE_PAGE);
	arena->free = iomapi_zalloc(env, free_bytes(arena));
	arena->some = iomapi_zalloc(env, some_bytes(arena));
	if (!arena->mem || !arena->free || !arena->some) {
		arena->nr_free = arena->nr_pages;
		iomapi_arena_fini(arena, env);
		return -ENOMEM;
	}
	/* A wish: without huge pages everything works, with more misses of the TLB. */
	if (bytes >= HUGE_PAGE)
		madvise(arena->mem, bytes & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
	iomapi_bits_set(arena->free, 0, arena->nr_pages);
	iomapi_bits_set(arena->some, 0, nr_words(arena));
	arena->nr_free = arena->nr_pages;
	/* Streams begin in the middle, out of the way of single folios. */
	arena->stream = arena->nr_pages / 2 / WORD_PAGES * WORD_PAGES;
	return 0;
}

void iomapi_arena_fini(struct iomapi_arena *arena, struct iomap_env *env)
{
	iomapi_assert(arena->nr_free == arena->nr_pages);
	iomapi_free(env, arena->some, some_bytes(arena));
	iomapi_free(env, arena->free, free_bytes(arena));
	iomapi_free(env, arena->mem, arena->bytes);
	*arena = (struct iomapi_arena){ 0 };
}

/* Bits at which an aligned run of nr (up to 64) set bits begins. */
static uint64_t run_starts(uint64_t free, unsigned nr)
{
	for (unsigned step = 1; step < nr; step *= 2)
		free &= free >> step;
	return free & (nr < 64 ? ~0ull / ((1ull << nr) - 1) : 1);
}

/* A run inside one of the words from .. to - 1; *left words may be looked at. */
static uint32_t scan_words(const struct iomapi_arena *arena, unsigned nr, uint32_t from,
			   uint32_t to, uint32_t *left)
{
	for (uint32_t w = from; *left; w++, --*left) {
		uint64_t starts;

		w = iomapi_bits_next(arena->some, w, to, true);
		if (w >= to)
			return NOT_FOUND;
		starts = run_starts(arena->free[w], nr);
		if (starts)
			return w * WORD_PAGES + (uint32_t)__builtin_ctzll(starts);
	}
	return NOT_FOUND;
}

/* A run inside one word, from page start on and around. */
static uint32_t find_in_words(const struct iomapi_arena *arena, unsigned nr, uint32_t start)
{
	uint32_t first = start / WORD_PAGES, left = nr > 1 ? MAX_SEARCH : UINT32_MAX, page;
	uint64_t starts = run_starts(arena->free[first], nr) & (~0ull << (start % WORD_PAGES));

	if (starts)
		return first * WORD_PAGES + (uint32_t)__builtin_ctzll(starts);
	page = scan_words(arena, nr, first + 1, nr_words(arena), &left);
	return page != NOT_FOUND ? page : scan_words(arena, nr, 0, first + 1, &left);
}

/* A run of several whole words, aligned to itself. */
static uint32_t find_words(const struct iomapi_arena *arena, unsigned nr, uint32_t start)
{
	uint32_t groups = arena->nr_pages / nr, left = MAX_SEARCH;
	uint32_t group = groups ? start / nr % groups : 0;

	for (uint32_t i = 0; i < groups && left; i++) {
		uint32_t clear = iomapi_bits_next(arena->free, group * nr, (group + 1) * nr, false);

		if (clear == (group + 1) * nr)
			return group * nr;
		left -= iomapi_min(left, 1 + (clear - group * nr) / WORD_PAGES);
		group = group + 1 < groups ? group + 1 : 0;
	}
	return NOT_FOUND;
}

static uint32_t find(const struct iomapi_arena *arena, unsigned nr, uint32_t start)
{
	start = start < arena->nr_pages ? start : 0;
	return nr > WORD_PAGES ? find_words(arena, nr, start) : find_in_words(arena, nr, start);
}

static uint32_t page_of(const struct iomapi_arena *arena, const void *mem)
{
	size_t off = (size_t)((const char *)mem - arena->mem);

	iomapi_assert(off <= arena->bytes && !(off & (IOMAPI_PAGE - 1)));
	return (uint32_t)(off >> IOMAPI_PAGE_BITS);
}

static uint32_t find_next(struct iomapi_arena *arena, unsigned nr, const void *next)
{
	uint32_t page = page_of(arena, next);
	unsigned chunk = iomapi_max(nr, WORD_PAGES);

	if (page + nr <= arena->nr_pages && iomapi_bits_all(arena->free, page, nr))
		return page;
	page = find(arena, chunk, arena->stream);
	if (page != NOT_FOUND)
		arena->stream = page + chunk;
	return page;
}

void *iomapi_arena_alloc(struct iomapi_arena *arena, unsigned nr, void *next)
{
	uint32_t page = NOT_FOUND;

	iomapi_assert(iomapi_is_pow2(nr));
	if (nr > arena->nr_free)
		return NULL;
	if (next)
		page = find_next(arena, nr, next);
	if (page == NOT_FOUND) {
		page = find(arena, nr, arena->rotor);
		if (page == NOT_FOUND)
			return NULL;
		arena->rotor = page + nr;
	}
	iomapi_bits_clear(arena->free, page, nr);
	arena->nr_free -= nr;
	for (uint32_t w = page / WORD_PAGES; w * WORD_PAGES < page + nr; w++)
		if (!arena->free[w])
			iomapi_bits_clear(arena->some, w, 1);
	return arena->mem + ((size_t)page << IOMAPI_PAGE_BITS);
}

void iomapi_arena_free(struct iomapi_arena *arena, void *mem, unsigned nr)
{
	uint32_t page = page_of(arena, mem), w = page / WORD_PAGES;

	iomapi_assert(iomapi_bits_next(arena->free, page, page + nr, true) == page + nr);
	iomapi_bits_set(arena->free, page, nr);
	iomapi_bits_set(arena->some, w, (page + nr - 1) / WORD_PAGES - w + 1);
	arena->nr_free += nr;
}
