/* SPDX-License-Identifier: MIT */
/*
 * test_sim_memory.c - the simulator's memory, where builds look for mistakes and where not.
 */
#include "harness/harness.h"

#include "sim/sim.h"

#define NR	256u

/* Which of each two neighbours in time lies lower; the pieces are given back. */
static void place(bool lower[NR])
{
	void *mem[NR + 1];

	for (unsigned i = 0; i <= NR; i++)
		mem[i] = iomapi_sim_alloc(40);
	for (unsigned i = 0; i < NR; i++)
		lower[i] = (uintptr_t)mem[i] < (uintptr_t)mem[i + 1];
	for (unsigned i = 0; i <= NR; i++)
		iomapi_sim_free(mem[i]);
}

CASE(no_run_has_the_places_of_another, "", "A build for debugging moves memory each time")
{
	bool first[NR], second[NR];

#ifndef IOMAPI_SANITY
	t_skip("memory is moved about in builds with IOMAP_SANITY");
#endif
	place(first);
	place(second);
	place(second);
	ck_assert(memcmp(first, second, sizeof(first)));
}

static bool is_filled(const uint8_t *mem, size_t size, uint8_t byte)
{
	for (size_t i = 0; i < size; i++)
		if (mem[i] != byte)
			return false;
	return true;
}

CASE(memory_is_as_asked_for, "", "Aligned, zeroed or kept as it grows")
{
	static const size_t aligns[] = { 1, 8, 16, 64, 4096 };

	for (unsigned i = 0; i < 100; i++) {
		size_t align = aligns[i % 5], size = 1 + i * 37;
		uint8_t *mem = iomapi_sim_align(size, align), *zeroed, *more;

		ck_assert_ptr_nonnull(mem);
		ck_assert_uint_eq((uintptr_t)mem % align, 0);
		memset(mem, 7, size);
		zeroed = iomapi_sim_zalloc(size);
		ck_assert(is_filled(zeroed, size, 0));
		memset(zeroed, 5, size);
		more = iomapi_sim_grow(zeroed, 3 * size);
		ck_assert(is_filled(more, size, 5));
		ck_assert(is_filled(mem, size, 7));
		iomapi_sim_free(more);
		iomapi_sim_free(mem);
	}
	iomapi_sim_free(iomapi_sim_grow(NULL, 10));
	iomapi_sim_free(NULL);
}

MAIN()
