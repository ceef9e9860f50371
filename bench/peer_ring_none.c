/* SPDX-License-Identifier: MIT */
/*
 * peer_ring_none.c - built without liburing: there is no ring to compare with.
 *
 * Threads: one.
 */
#include <errno.h>
#include <stdio.h>

#include "peer.h"

static int ring_open(const struct peer_job *job, struct peer **peer)
{
	(void)job, (void)peer;
	fputs("built without IOMAP_URING: there is no ring to compare with\n", stderr);
	return -ENOTSUP;
}

const struct peer_ops peer_sqe = { .name = "sqe-per-page", .open = ring_open };
const struct peer_ops peer_writev = { .name = "writev", .open = ring_open };
