/* SPDX-License-Identifier: MIT */
/*
 * peer.h - the others that ours is compared to: they write the same pages in the same order.
 *
 *	sqe-per-page	one request of a bare ring per page (or frame)
 *	writev		the same ring; neighbours go together
 *	kernel		the page cache of the kernel: XFS, and an fdatasync
 *
 * Threads: one.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer_job {
	const char *path;		/* of the device */
	const int64_t *pos;		/* where, in this order */
	const uint32_t *slot;		/* the piece of memory that goes there; NULL: in turn */
	uint64_t nr;
	uint32_t size;			/* of each */
	char *memory;
	size_t memory_len;
	uint32_t depth, wait;		/* rings: in flight; to complete before more go in */
	bool read;
	bool large_folios;		/* kernel: dirtied 1 MiB at a time */
};
struct peer;
struct peer_ops {
	const char *name;
	int (*open)(const struct peer_job *job, struct peer **peer);
	int (*prepare)(void *peer);		/* before a pass; NULL: nothing to do */
	int (*pass)(void *peer);
	const char *(*how)(void *peer);		/* what it does, in words */
	void (*close)(struct peer *peer);
};

extern const struct peer_ops peer_sqe, peer_writev, peer_kernel;

/* NULL: no such name.  "sqe-per-frame" is another name of the first. */
const struct peer_ops *peer_find(const char *name);

#endif
