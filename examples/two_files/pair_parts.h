/* SPDX-License-Identifier: MIT */
/*
 * pair_parts.h - what the files of the client share.
 *
 *	pair.c		what a user calls, and the environment
 *	pair_map.c	the callbacks of the library: maps, writeback, completion
 *	pair_root.c	the root on the device
 *
 *	block 0, 1	the root, in turn
 *	block 2 ..	blocks 0..3 of file 0, a gap, 4..7; the same of file 1
 */
#ifndef PAIR_PARTS_H
#define PAIR_PARTS_H

#include "pair.h"

enum pair_state { PAIR_HOLE, PAIR_UNWRITTEN, PAIR_WRITTEN };

struct pair_root {
	uint64_t sum;			/* of all that follows */
	uint64_t magic, number;		/* the largest number counts */
	int64_t size[PAIR_FILES];
	uint8_t state[PAIR_FILES][PAIR_BLOCKS];
	uint8_t spare[PAIR_BLOCK - 56];
};
_Static_assert(sizeof(struct pair_root) == PAIR_BLOCK, "a block");

struct pair_file {
	struct iomap_inode inode;
	struct iomap_file file;
	struct pair *pair;
	unsigned nr;
	bool init, open;
};
struct pair {
	struct iomap_sim *sim;
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct pair_file files[PAIR_FILES];
	unsigned bug;
	bool changed;			/* the root is not what the device has */
	struct pair_root *root;		/* aligned to a block */
};

/* ---- pair_map.c ---- */
extern const struct iomap_ops pair_map_ops;
extern const struct iomap_inode_ops pair_inode_ops;
extern const struct iomap_volume_ops pair_volume_ops;
uint64_t pair_place(unsigned file, unsigned block);

/* ---- pair_root.c ---- */
int pair_root_load(struct pair *pair);
/* *flushed: all data that completed before is durable too. */
int pair_root_commit(struct pair *pair, bool *flushed);

#endif
