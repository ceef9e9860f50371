/* SPDX-License-Identifier: MIT */
/*
 * memdev_hand.c - the memory device as a test steers it.
 *
 * Threads: any, under the device's one lock.
 */
#include "harness/memdev_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct t_mem *t_mem_find(const char *name)
{
	struct t_mem *mem;

	pthread_mutex_lock(&t_mem_lock);
	for (mem = t_mem_devices; mem && strcmp(mem->name, name); mem = mem->next)
		;
	pthread_mutex_unlock(&t_mem_lock);
	return mem;
}

uint8_t *t_mem_data(struct t_mem *mem)
{
	return mem->data;
}

static void release_locked(struct t_mem *mem, unsigned i)
{
	struct iomap_bio *bio = t_mem_take(&mem->held, i);

	if (bio)
		t_mem_make_ready((struct mem_queue *)(uintptr_t)bio->backend[2], bio);
}

void t_mem_hold(struct t_mem *mem, bool hold)
{
	pthread_mutex_lock(&t_mem_lock);
	mem->hold = hold;
	pthread_mutex_unlock(&t_mem_lock);
}

unsigned t_mem_nr_held(struct t_mem *mem)
{
	unsigned nr;

	pthread_mutex_lock(&t_mem_lock);
	nr = mem->held.nr;
	pthread_mutex_unlock(&t_mem_lock);
	return nr;
}

void t_mem_release(struct t_mem *mem, unsigned i)
{
	pthread_mutex_lock(&t_mem_lock);
	release_locked(mem, i);
	pthread_mutex_unlock(&t_mem_lock);
}

void t_mem_release_all(struct t_mem *mem)
{
	pthread_mutex_lock(&t_mem_lock);
	while (mem->held.nr)
		release_locked(mem, 0);
	pthread_mutex_unlock(&t_mem_lock);
}

/* A fault that has done its work makes room for the next. */
static struct fault *free_fault(struct t_mem *mem)
{
	for (unsigned i = 0; i < mem->nr_faults; i++)
		if (!mem->faults[i].count)
			return &mem->faults[i];
	if (mem->nr_faults == MAX_FAULTS) {
		fprintf(stderr, "memdev: more than %d faults planned\n", MAX_FAULTS);
		abort();
	}
	return &mem->faults[mem->nr_faults++];
}

void t_mem_fail(struct t_mem *mem, enum iomap_bio_op op, unsigned nth, unsigned count, int error,
		uint64_t addr)
{
	pthread_mutex_lock(&t_mem_lock);
	for (unsigned i = 0; i < mem->nr_faults && !nth; i++)
		if (mem->faults[i].op == op)
			mem->faults[i].count = 0;
	if (nth)
		*free_fault(mem) = (struct fault){
			.op = (uint8_t)op, .skip = nth - 1, .count = count, .error = error,
			.addr = addr,
		};
	pthread_mutex_unlock(&t_mem_lock);
}

void t_mem_heal(struct t_mem *mem)
{
	pthread_mutex_lock(&t_mem_lock);
	mem->nr_faults = 0;
	pthread_mutex_unlock(&t_mem_lock);
}

void t_mem_repeat(struct t_mem *mem)
{
	pthread_mutex_lock(&t_mem_lock);
	mem->repeat = true;
	pthread_mutex_unlock(&t_mem_lock);
}

void t_mem_busy(struct t_mem *mem, unsigned n)
{
	pthread_mutex_lock(&t_mem_lock);
	mem->busy = n;
	pthread_mutex_unlock(&t_mem_lock);
}

const struct t_mem_req *t_mem_log(struct t_mem *mem, unsigned *nr)
{
	pthread_mutex_lock(&t_mem_lock);
	*nr = mem->nr_log;
	pthread_mutex_unlock(&t_mem_lock);
	return mem->log;
}

void t_mem_log_reset(struct t_mem *mem)
{
	pthread_mutex_lock(&t_mem_lock);
	mem->nr_log = 0;
	mem->epoch++;
	pthread_mutex_unlock(&t_mem_lock);
}

struct t_mem_calls t_mem_calls(void)
{
	struct t_mem_calls calls;

	pthread_mutex_lock(&t_mem_lock);
	calls = t_mem_seen;
	pthread_mutex_unlock(&t_mem_lock);
	return calls;
}
