/* SPDX-License-Identifier: MIT */
/*
 * hash.c - of bytes, the same on every machine.
 */
#ifndef NDEBUG
#define XXH_NO_INLINE_HINTS	1	/* builds for debugging cannot do as they are told */
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sim.h"

uint64_t iomapi_sim_hash(const void *mem, size_t len)
{
	return XXH3_64bits(mem, len);
}
