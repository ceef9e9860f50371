/* SPDX-License-Identifier: MIT */
/*
 * memory.c - where the simulator's own memory comes from.
 *
 * A simulation is made before any environment, so it cannot ask one; and the environments in it
 * have allocators that fail on purpose.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

void *iomapi_sim_alloc(size_t size)
{
	return malloc(size);
}

void *iomapi_sim_zalloc(size_t size)
{
	return calloc(1, size);
}

void *iomapi_sim_grow(void *mem, size_t size)
{
	return realloc(mem, size);
}

void iomapi_sim_free(void *mem)
{
	free(mem);
}

void iomapi_sim_poison(void *mem, size_t size)
{
#ifdef IOMAPI_SANITY
	memset(mem, 0xdb, size);
#else
	(void)mem;
	(void)size;
#endif
}
