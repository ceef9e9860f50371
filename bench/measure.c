/* SPDX-License-Identifier: MIT */
/*
 * measure.c - clocks, medians, two runners in turn, devices.
 *
 * Allocations are counted where this program calls malloc and its kin, the library in it included:
 * the linker puts the counting ones below in their place (--wrap).  What libc allocates for itself
 * is not seen.
 *
 * Threads: one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "measure.h"

#define HUGE_PAGE	((size_t)2 << 20)
#define MAX_DEPTH	256u

/* ---- allocations ---- */

static uint64_t nr_allocs;

void *__real_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__real_realloc(void *mem, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **mem, size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_realloc(void *mem, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __wrap_posix_memalign(void **mem, size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
	nr_allocs++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t nr, size_t size)
{
	nr_allocs++;
	return __real_calloc(nr, size);
}

void *__wrap_realloc(void *mem, size_t size)
{
	nr_allocs++;
	return __real_realloc(mem, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	nr_allocs++;
	return __real_aligned_alloc(align, size);
}

int __wrap_posix_memalign(void **mem, size_t align, size_t size)
{
	nr_allocs++;
	return __real_posix_memalign(mem, align, size);
}

char *measure_memory(size_t len)
{
	void *mem;

	len = (len + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	if (posix_memalign(&mem, HUGE_PAGE, len))
		return NULL;
	madvise(mem, len, MADV_HUGEPAGE);
	memset(mem, 'm', len);
	return mem;
}

/* ---- passes ---- */

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, unsigned nr)
{
	qsort(values, nr, sizeof(*values), compare);
	return nr % 2 ? values[nr / 2] : (values[nr / 2 - 1] + values[nr / 2]) / 2;
}

static int pass(struct runner *r, double *wall, double *cpu)
{
	double wall_start, cpu_start;
	uint64_t allocs;
	int rc = r->prepare ? r->prepare(r->arg) : 0;

	if (rc)
		return rc;
	allocs = nr_allocs;
	wall_start = now(CLOCK_MONOTONIC);
	cpu_start = now(CLOCK_PROCESS_CPUTIME_ID);
	rc = r->pass(r->arg);
	*cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
	*wall = now(CLOCK_MONOTONIC) - wall_start;
	r->allocs = nr_allocs - allocs;
	return rc;
}

int measure(struct runner *ours, struct runner *peer, unsigned repeat, bool warmup)
{
	static double wall[2][MEASURE_MAX], cpu[2][MEASURE_MAX];
	struct runner *const both[2] = { ours, peer };
	unsigned nr = peer ? 2 : 1;
	int rc = 0;

	for (unsigned k = 0; k < nr && !rc && warmup; k++)
		rc = pass(both[k], &wall[k][0], &cpu[k][0]);
	for (unsigned i = 0; i < repeat && !rc; i++)
		for (unsigned k = 0; k < nr && !rc; k++)
			rc = pass(both[k], &wall[k][i], &cpu[k][i]);
	for (unsigned k = 0; k < nr && !rc; k++) {
		both[k]->wall = median(wall[k], repeat);
		both[k]->cpu = median(cpu[k], repeat);
	}
	return rc;
}

/* ---- results ---- */

void measure_json(const struct runner *ours, const struct runner *peer, const char *name,
		  const char *unit, uint64_t nr)
{
	double n = (double)nr;

	printf("\"ns_per_%s\":%.1f,\"cpu_ns_per_%s\":%.1f,\"mallocs\":%" PRIu64, unit,
	       ours->wall / n, unit, ours->cpu / n, ours->allocs);
	if (peer)
		printf(",\"peer\":\"%s\",\"peer_ns_per_%s\":%.1f,\"peer_cpu_ns_per_%s\":%.1f,"
		       "\"ratio\":%.3f", name, unit, peer->wall / n, unit, peer->cpu / n,
		       ours->cpu / peer->cpu);
}

void measure_text(const struct runner *ours, const struct runner *peer, const char *name,
		  const char *how, const char *unit, uint64_t nr)
{
	double n = (double)nr;

	printf("  %.1f ns per %s, %.1f ns of CPU, %" PRIu64 " mallocs in a pass\n", ours->wall / n,
	       unit, ours->cpu / n, ours->allocs);
	if (peer)
		printf("  %s: %.1f ns per %s, %.1f ns of CPU\n    %s\n  ratio %.3f of CPU\n", name,
		       peer->wall / n, unit, peer->cpu / n, how, ours->cpu / peer->cpu);
}

/* ---- devices ---- */

uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;	/* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

bool device_path(const char *spec, char *path, size_t size)
{
	const char *colon = strchr(spec, ':');
	struct stat st;

	if (!colon)
		return false;
	snprintf(path, size, "%.*s", (int)strcspn(colon + 1, ","), colon + 1);
	return !stat(path, &st);
}

uint32_t device_depth(const char *spec)
{
	char path[4096];
	unsigned depth = 0;
	struct stat st;
	FILE *file;

	if (!device_path(spec, path, sizeof(path)) || stat(path, &st) || !S_ISBLK(st.st_mode))
		return MAX_DEPTH;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/nr_requests", major(st.st_rdev),
		 minor(st.st_rdev));
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%u", &depth) != 1)
			depth = 0;
		fclose(file);
	}
	return depth && depth < MAX_DEPTH ? depth : MAX_DEPTH;
}

int check_destroy(const char *spec, const char *destroy)
{
	char path[4096];
	struct stat st;

	if (!device_path(spec, path, sizeof(path)) || stat(path, &st) || !S_ISBLK(st.st_mode))
		return 0;		/* opening it says more */
	if (destroy && !strcmp(destroy, path))
		return 0;
	fprintf(stderr, "refused: %s is a block device and would be overwritten; "
		"if you mean that, add --destroy %s\n", path, path);
	return -EPERM;
}
