/* SPDX-License-Identifier: MIT */
/*
 * memory.c - where the simulator's memory comes from, and that of environments in it.
 *
 * A simulation is made before any environment, so it cannot ask one.  Builds for debugging have
 * memory_sanity.c instead.
 */
#include <stdlib.h>

#include "sim.h"

void *iomapi_sim_alloc(size_t size)
{
	return malloc(size);
}

void *iomapi_sim_zalloc(size_t size)
{
	return calloc(1, size);
}

void *iomapi_sim_align(size_t size, size_t align)
{
	void *mem;

	if (align < sizeof(void *))
		align = sizeof(void *);
	return posix_memalign(&mem, align, size) ? NULL : mem;
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
	(void)mem;
	(void)size;
}
