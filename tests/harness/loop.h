/* SPDX-License-Identifier: MIT */
/*
 * loop.h - a block device for a story: a loop device over memory.
 *
 *	struct t_loop loop;
 *
 *	if (t_loop_start(&loop, 16 << 20, 4096))
 *		t_skip("no loop device to be had");
 *	..  "uring:" and loop.path  ..
 *	t_loop_stop(&loop);
 *
 * Close what uses it first.  It holds itself open and goes with its last closer, so that a story
 * that fails or crashes leaves none behind.
 */
#ifndef T_LOOP_H
#define T_LOOP_H

#include "harness/harness.h"

struct t_loop {
	char path[32];			/* "/dev/loop7" */
	int fd;				/* on it, opened for reading and writing */
	unsigned nr;
	uint64_t device, inode;		/* of its backing file */
};
/* Direct I/O on a file without a name in /dev/shm, all holes; discards read as zeros.  -errno: not
 * root, no loop devices (a container). */
int t_loop_start(struct t_loop *l, uint64_t size, uint32_t block);
/* The same over a file that the caller has open, and may close. */
int t_loop_start_on(struct t_loop *l, int backing, uint32_t block);
/* Returns once it is gone. */
void t_loop_stop(struct t_loop *l);

/* Change "max_sectors_kb" or "write_cache" of the device's queue, until stop: 0 or -errno.  No
 * other: start and stop set back these and BLKROSET, and discards turned off stay off for ever. */
int t_loop_set(const struct t_loop *l, const char *name, const char *value);

#endif
