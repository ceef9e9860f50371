/* SPDX-License-Identifier: MIT */
/*
 * test_base_bitmap.c - ranges of bits against an array of booleans.
 */
#include "harness/harness.h"

#include "base/bitmap.h"

#define BITS 200

CASE(ranges_match_a_plain_array, "", "Random sets and clears leave the bits that an array has")
{
	uint64_t map[IOMAPI_BITMAP_WORDS(BITS)] = { 0 }, seed = 1;
	bool plain[BITS] = { false };

	for (int round = 0; round < 5000; round++) {
		unsigned first = (unsigned)(t_rand(&seed) % BITS);
		unsigned nr = (unsigned)(t_rand(&seed) % (BITS - first + 1));
		bool set = t_rand(&seed) & 1;

		if (set)
			iomapi_bits_set(map, first, nr);
		else
			iomapi_bits_clear(map, first, nr);
		for (unsigned i = first; i < first + nr; i++)
			plain[i] = set;
		for (unsigned i = 0; i < BITS; i++)
			if (iomapi_bit_test(map, i) != plain[i])
				ck_abort_msg("round %d: bit %u", round, i);
	}
}

CASE(next_finds_the_first_of_a_kind, "", "The next set or clear bit, or the end")
{
	uint64_t map[IOMAPI_BITMAP_WORDS(BITS)] = { 0 }, seed = 2;

	for (int round = 0; round < 2000; round++) {
		unsigned first = (unsigned)(t_rand(&seed) % BITS);
		unsigned end = first + (unsigned)(t_rand(&seed) % (BITS - first + 1));
		bool set = t_rand(&seed) & 1;
		unsigned want = first;

		for (unsigned w = 0; w < IOMAPI_BITMAP_WORDS(BITS); w++)
			map[w] = t_rand(&seed) & t_rand(&seed) & t_rand(&seed);
		if (set)
			for (unsigned w = 0; w < IOMAPI_BITMAP_WORDS(BITS); w++)
				map[w] = ~map[w];
		while (want < end && iomapi_bit_test(map, want) != set)
			want++;
		ck_assert_uint_eq(iomapi_bits_next(map, first, end, set), want);
		ck_assert_int_eq(iomapi_bits_all(map, first, end - first),
				 iomapi_bits_next(map, first, end, false) == end);
	}
}

CASE(word_edges_are_exact, "", "A range that ends or begins on a word touches no neighbour")
{
	uint64_t map[4] = { 0 };

	iomapi_bits_set(map, 64, 64);
	ck_assert_uint_eq(map[0], 0);
	ck_assert_uint_eq(map[1], UINT64_MAX);
	ck_assert_uint_eq(map[2], 0);
	iomapi_bits_set(map, 0, 0);
	ck_assert_uint_eq(map[0], 0);
	iomapi_bits_clear(map, 127, 2);
	ck_assert_uint_eq(map[1], UINT64_MAX >> 1);
	ck_assert(iomapi_bits_all(map, 64, 63));
	ck_assert(!iomapi_bits_all(map, 64, 64));
	ck_assert(iomapi_bits_all(map, 3, 0));
}

MAIN()
