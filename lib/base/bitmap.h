/* SPDX-License-Identifier: MIT */
/*
 * base/bitmap.h - ranges of bits in an array of 64-bit words.  The caller's lock.
 */
#ifndef IOMAPI_BITMAP_H
#define IOMAPI_BITMAP_H

#include "base/base.h"

#define IOMAPI_BITMAP_WORDS(bits) (((bits) + 63) / 64)

static inline bool iomapi_bit_test(const uint64_t *map, unsigned bit)
{
	return map[bit / 64] >> (bit % 64) & 1;
}

/* Bits first .. first+nr-1 that fall into word w. */
static inline uint64_t iomapi_bit_mask(unsigned w, unsigned first, unsigned nr)
{
	unsigned lo = first > w * 64 ? first - w * 64 : 0;
	unsigned end = first + nr - w * 64;

	return (~0ull << lo) & (end >= 64 ? ~0ull : (1ull << end) - 1);
}

static inline void iomapi_bits_set(uint64_t *map, unsigned first, unsigned nr)
{
	for (unsigned w = first / 64; nr && w * 64 < first + nr; w++)
		map[w] |= iomapi_bit_mask(w, first, nr);
}

static inline void iomapi_bits_clear(uint64_t *map, unsigned first, unsigned nr)
{
	for (unsigned w = first / 64; nr && w * 64 < first + nr; w++)
		map[w] &= ~iomapi_bit_mask(w, first, nr);
}

/* The first bit in [first, end) that is set (or clear); end when there is none. */
static inline unsigned iomapi_bits_next(const uint64_t *map, unsigned first, unsigned end, bool set)
{
	while (first < end) {
		uint64_t word = set ? map[first / 64] : ~map[first / 64];

		word &= ~0ull << (first % 64);
		if (word) {
			unsigned bit = first / 64 * 64 + (unsigned)__builtin_ctzll(word);

			return bit < end ? bit : end;
		}
		first = (first / 64 + 1) * 64;
	}
	return end;
}

static inline bool iomapi_bits_all(const uint64_t *map, unsigned first, unsigned nr)
{
	return iomapi_bits_next(map, first, first + nr, false) == first + nr;
}

#endif
