/* SPDX-License-Identifier: MIT */
/*
 * memory_sanity.c - memory.c for builds that look for mistakes.
 *
 * No two runs in a process get their memory in the same places, or in the same order of places: a
 * run that depends on that has another digest the second time.  What is freed is overwritten.
 *
 *	malloc'ed: [ padding, another each time | struct head | the caller's ]
 *
 * Threads: any.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define POISON 0xdb

struct head {
	void *start;
	size_t size;
};
_Static_assert(sizeof(struct head) % _Alignof(max_align_t) == 0, "what follows is aligned");

static struct head *head_of(void *mem)
{
	return (struct head *)mem - 1;
}

void *iomapi_sim_align(size_t size, size_t align)
{
	static uint64_t turn;
	uint64_t n = __atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED);
	size_t least = _Alignof(max_align_t);
	size_t padding = iomapi_sim_mix(0, 0, 0, n) % 64 * least;
	uint8_t *start;
	uintptr_t mem;

	if (align < least)
		align = least;
	if (size > SIZE_MAX - align - padding - sizeof(struct head))
		return NULL;
	start = malloc(padding + sizeof(struct head) + align + size);
	if (!start)
		return NULL;
	mem = ((uintptr_t)start + padding + sizeof(struct head) + align - 1) & ~(align - 1);
	*head_of((void *)mem) = (struct head){ start, size };
	return (void *)mem;
}

void *iomapi_sim_alloc(size_t size)
{
	void *mem = iomapi_sim_align(size, 1);

	if (mem)
		iomapi_sim_poison(mem, size);
	return mem;
}

void *iomapi_sim_zalloc(size_t size)
{
	void *mem = iomapi_sim_align(size, 1);

	return mem ? memset(mem, 0, size) : NULL;
}

void *iomapi_sim_grow(void *mem, size_t size)
{
	void *more = iomapi_sim_alloc(size);

	if (!more || !mem)
		return more;
	memcpy(more, mem, size < head_of(mem)->size ? size : head_of(mem)->size);
	iomapi_sim_free(mem);
	return more;
}

void iomapi_sim_free(void *mem)
{
	if (!mem)
		return;
	iomapi_sim_poison(mem, head_of(mem)->size);
	free(head_of(mem)->start);
}

void iomapi_sim_poison(void *mem, size_t size)
{
	memset(mem, POISON, size);
}
