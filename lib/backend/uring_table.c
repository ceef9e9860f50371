/* SPDX-License-Identifier: MIT */
/*
 * backend/uring_table.c - what a ring knows beforehand: descriptors, and memory that the kernel
 * has pinned.
 *
 * The kernel bounds one buffer, so a region of any size is made of chunks, in consecutive places of
 * its table.  A request must lie in one chunk to go out as a fixed one; any other goes the ordinary
 * way.  Regions do not overlap and stand in ascending order.
 *
 * Threads: calls on a queue are serialised.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "backend/uring.h"
#include "base/log.h"

/* ---- files ---- */

int32_t iomapi_uring_file_add(struct iomapi_uring *q, int fd)
{
	int32_t slot;

	if (!q->nr_free_files)
		return -1;
	slot = q->free_files[q->nr_free_files - 1];
	if (io_uring_register_files_update(&q->ring, (unsigned)slot, &fd, 1) != 1)
		return -1;
	q->nr_free_files--;
	return slot;
}

void iomapi_uring_file_del(struct iomapi_uring *q, int32_t slot)
{
	int none = -1;

	if (slot < 0)
		return;
	/* Were it to fail, the kernel would hold the file until the ring goes; the slot is lost. */
	if (io_uring_register_files_update(&q->ring, (unsigned)slot, &none, 1) == 1)
		q->free_files[q->nr_free_files++] = slot;
}

/* ---- memory ---- */

static uint32_t chunks_of(size_t len)
{
	return (uint32_t)((len + IOMAPI_URING_CHUNK - 1) / IOMAPI_URING_CHUNK);
}

/* The first region that ends behind mem. */
static uint32_t lower(const struct iomapi_uring *q, const char *mem)
{
	uint32_t low = 0, high = q->nr_regions;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (q->regions[mid].base + q->regions[mid].len <= mem)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int iomapi_uring_memory_find(struct iomapi_uring *q, const void *mem, size_t len)
{
	const char *start = mem;
	struct iomapi_uring_region *r = q->last;
	size_t off;

	if (!q->nr_regions)
		return -1;
	if (!r || start < r->base || start >= r->base + r->len) {
		uint32_t at = lower(q, start);

		if (at == q->nr_regions || start < q->regions[at].base)
			return -1;
		r = q->last = &q->regions[at];
	}
	off = (size_t)(start - r->base);
	if (len > r->len - off || len > IOMAPI_URING_CHUNK - off % IOMAPI_URING_CHUNK)
		return -1;
	return (int)(r->first + off / IOMAPI_URING_CHUNK);
}

static int set_buffer(struct iomapi_uring *q, uint32_t at, void *mem, size_t len)
{
	struct iovec iov = { mem, len };
	int rc = io_uring_register_buffers_update_tag(&q->ring, at, &iov, NULL, 1);

	return rc < 0 ? rc : rc == 1 ? 0 : -EFAULT;
}

static void drop_chunks(struct iomapi_uring *q, uint32_t first, uint32_t nr)
{
	for (uint32_t i = first; i < first + nr; i++) {
		set_buffer(q, i, NULL, 0);
		q->chunks[i].taken = false;
	}
}

/* nr places one after the other; -1: there are none. */
static int find_places(const struct iomapi_uring *q, uint32_t nr)
{
	uint32_t run = 0;

	for (uint32_t i = 0; i < IOMAPI_URING_CHUNKS; i++) {
		run = q->chunks[i].taken ? 0 : run + 1;
		if (run == nr)
			return (int)(i + 1 - nr);
	}
	return -1;
}

static int add_chunks(struct iomapi_uring *q, const struct iomapi_uring_region *r)
{
	uint32_t nr = chunks_of(r->len);

	for (uint32_t i = 0; i < nr; i++) {
		size_t off = i * IOMAPI_URING_CHUNK;
		int rc = set_buffer(q, r->first + i, r->base + off,
				    iomapi_min(r->len - off, IOMAPI_URING_CHUNK));

		if (rc) {
			drop_chunks(q, r->first, i);
			return rc;
		}
		q->chunks[r->first + i].taken = true;
	}
	return 0;
}

static int report(struct iomapi_uring *q, int error, size_t len)
{
	struct rlimit limit = { 0 };
	char text[160];

	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (error == -ENOMEM)
		snprintf(text, sizeof(text), "memory not registered, I/O goes on without: the "
			 "limit of locked memory (RLIMIT_MEMLOCK, %llu KiB) is too low for it",
			 (unsigned long long)limit.rlim_cur / 1024);
	else
		snprintf(text, sizeof(text), "memory not registered, I/O goes on without: %s",
			 strerror(-error));
	iomapi_report(q->env, .rule = "device", .callback = "uring", .field = "register_memory",
		      .value = len, .bound = limit.rlim_cur, .text = text);
	return error;
}

int iomapi_uring_memory_add(struct iomapi_uring *q, void *base, size_t len)
{
	struct iomapi_uring_region r = { .base = base, .len = len };
	uint32_t at = lower(q, base);
	int first, rc;

	if (len > SIZE_MAX - (uintptr_t)base)
		return -EINVAL;
	if (at < q->nr_regions && r.base + len > q->regions[at].base)
		return -EEXIST;
	if (q->nr_regions == IOMAPI_URING_REGIONS || len > IOMAPI_URING_CHUNKS * IOMAPI_URING_CHUNK)
		return -ENOSPC;
	first = find_places(q, chunks_of(len));
	if (first < 0)
		return -ENOSPC;
	if (!q->has_buffers && io_uring_register_buffers_sparse(&q->ring, IOMAPI_URING_CHUNKS))
		return -ENOTSUP;
	q->has_buffers = true;
	r.first = (uint32_t)first;
	rc = add_chunks(q, &r);
	if (rc)
		return report(q, rc, len);
	memmove(&q->regions[at + 1], &q->regions[at], (q->nr_regions - at) * sizeof(r));
	q->regions[at] = r;
	q->nr_regions++;
	q->last = NULL;
	return 0;
}

int iomapi_uring_memory_del(struct iomapi_uring *q, void *base, size_t len)
{
	uint32_t at = lower(q, base);
	struct iomapi_uring_region *r = &q->regions[at];

	if (at == q->nr_regions || r->base != base || r->len != len)
		return -ENOENT;
	for (uint32_t i = 0; i < chunks_of(len); i++)
		if (q->chunks[r->first + i].in_flight)
			return -EBUSY;
	drop_chunks(q, r->first, chunks_of(len));
	q->nr_regions--;
	memmove(r, r + 1, (q->nr_regions - at) * sizeof(*r));
	q->last = NULL;
	return 0;
}
