/* SPDX-License-Identifier: MIT */
/*
 * measure.h - what the measuring programs share: clocks, medians, two runners in turn, devices.
 *
 * Threads: one.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEASURE_MAX	1000u		/* passes */

/* One that is measured: prepare is not timed, pass is.  0 or a negative errno. */
struct runner {
	int (*prepare)(void *arg);
	int (*pass)(void *arg);
	void *arg;
	uint64_t allocs;		/* in the last pass: malloc and its kin, of this program */
	double wall, cpu;		/* ns of a pass, the median */
};

/* Ours and, if there is one, the peer: a pass of each in turn, so that what disturbs one disturbs
 * the other.  With warmup the first of each does not count. */
int measure(struct runner *ours, struct runner *peer, unsigned repeat, bool warmup);

/* What was compared, as one line of JSON's members, from "ns_per_UNIT" on: ours, the peer's, the
 * ratio of their CPU.  peer may be NULL. */
void measure_json(const struct runner *ours, const struct runner *peer, const char *name,
		  const char *unit, uint64_t nr);
/* The same for people. */
void measure_text(const struct runner *ours, const struct runner *peer, const char *name,
		  const char *how, const char *unit, uint64_t nr);

uint64_t next_random(uint64_t *state);
/* Aligned to huge pages and made of them where the kernel has any; NULL.  To be freed. */
char *measure_memory(size_t len);
/* Sorts them. */
double median(double *values, unsigned nr);

/* What stands behind "scheme:" up to the first comma; false: there is no such thing. */
bool device_path(const char *spec, char *path, size_t size);
/* How many requests it takes at once.  More in flight than that, and the kernel's workers block. */
uint32_t device_depth(const char *spec);
/* A block device is somebody's disk: only when its name is said twice.  -EPERM, and says why. */
int check_destroy(const char *spec, const char *destroy);

#endif
