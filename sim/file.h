/* SPDX-License-Identifier: MIT */
/*
 * sim/file.h - files on a device.
 *
 *	file.c		the calls
 *	file_cache.c	what of them is not durable yet
 *	file_disk.c	how they lie on the device
 *
 * Threads: as sim.h; of several tasks one at a time is in here.
 */
#ifndef IOMAPI_SIM_FILE_H
#define IOMAPI_SIM_FILE_H

#include "sim.h"

#define IOMAPI_SIM_NAME_BYTES	48u
#define IOMAPI_SIM_FDS		256u

/* Something cached that has a place on the device. */
struct iomapi_sim_item {
	bool dirty;		/* what is cached was not written */
	bool sent;		/* it is being written */
	bool written;		/* since the last flush, and that went well */
};
/* A record in two copies; the one that is known to be durable is never written. */
struct iomapi_sim_slot {
	struct iomapi_sim_item item;
	uint64_t seq;		/* the newer copy counts */
	uint32_t place;		/* block of the first copy */
	uint32_t durable;	/* which one is */
};
struct iomapi_sim_block {
	struct iomapi_sim_item item;
	bool ready;		/* holds durable bytes of this file, so a record may lead to it */
	bool cleared;		/* a larger size must not be durable before it */
	uint16_t at;		/* 0: a hole */
	uint8_t *mem;		/* NULL: as on the device */
};
struct iomapi_sim_inode {
	struct iomapi_sim_slot slot;
	uint64_t gen;		/* one for each file that ever was; 0: free */
	uint64_t size, size_sent;
	struct iomapi_sim_block *blocks;
	uint32_t nr_blocks, nr_cached;	/* room; how many have mem */
	uint32_t nr_names, nr_fds;
	uint32_t index;
	bool trimmed;		/* it owns blocks that only older records lead to */
};
struct iomapi_sim_name {
	struct iomapi_sim_slot slot;
	char text[IOMAPI_SIM_NAME_BYTES];	/* "": free */
	struct iomapi_sim_inode *inode;		/* NULL: removed */
};
struct iomapi_sim_layout {
	uint32_t block;		/* bytes */
	uint32_t nr_blocks, first_data;
	uint32_t nr_files, max_file_blocks;
};
/* A device that is in use. */
struct iomapi_sim_fs {
	struct iomap_sim *sim;
	struct iomapi_sim_dev *dev;
	struct iomapi_sim_layout layout;
	struct iomapi_sim_name *names;
	struct iomapi_sim_inode *inodes;
	uint16_t *owners;	/* of blocks: inode + 1; 0: free */
	uint32_t lowest;	/* no free block below */
	uint64_t next_gen;
	int error, theirs;	/* while things are sent; the caller's own writes' */
};
struct iomapi_sim_fd {
	struct iomapi_sim_fs *fs;	/* NULL: not open */
	struct iomapi_sim_inode *inode;
};
struct iomapi_sim_files {
	struct iomapi_sim_fd fds[IOMAPI_SIM_FDS];
	struct iomapi_sim_fs *fs[];	/* by device */
};

/* file_disk.c; -ENOSPC: the device is too small. */
int iomapi_sim_fs_layout(const struct iomapi_sim_dev *dev, struct iomapi_sim_layout *layout);
int iomapi_sim_fs_format(struct iomap_sim *sim, const struct iomapi_sim_dev *dev,
			 const struct iomapi_sim_layout *layout);
int iomapi_sim_fs_read(const struct iomapi_sim_fs *fs, uint32_t block, uint32_t nr, void *mem);
int iomapi_sim_fs_load(struct iomapi_sim_fs *fs);	/* -EINVAL: not formatted */
void *iomapi_sim_fs_alloc(struct iomap_sim *sim, size_t size);	/* zeros */
/* Begin, send some, end: all were written, or the first error and all are dirty as before. */
void iomapi_sim_fs_begin(struct iomapi_sim_fs *fs);
void iomapi_sim_fs_send_block(struct iomapi_sim_fs *fs, struct iomapi_sim_block *block);
void iomapi_sim_fs_send_inode(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode,
			      uint64_t size);
void iomapi_sim_fs_send_name(struct iomapi_sim_fs *fs, struct iomapi_sim_name *name);

/* file_cache.c */
int iomapi_sim_fs_grow(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t nr);
/* Into the cache, to be changed; a hole gets a place. */
int iomapi_sim_fs_cache(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t index);
/* Nothing but zeros beyond that size in the block that it ends in. */
int iomapi_sim_fs_clear_tail(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode,
			     uint64_t size);
void iomapi_sim_fs_trim(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t first);
/* Perhaps write things back that nobody has asked for yet. */
void iomapi_sim_fs_early(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint64_t pos,
			 uint64_t until);
void iomapi_sim_fs_early_name(struct iomapi_sim_fs *fs, struct iomapi_sim_name *name);
int iomapi_sim_fs_sync_inode(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode);
int iomapi_sim_fs_sync_dir(struct iomapi_sim_fs *fs);
/* Make room of what is only to be forgotten.  -ENOSPC: there is nothing of that kind. */
int iomapi_sim_fs_reclaim(struct iomapi_sim_fs *fs);
void iomapi_sim_fs_reap(struct iomapi_sim_fs *fs);	/* what nothing durable leads to is free */
void iomapi_sim_fs_delete(struct iomapi_sim_fs *fs);

#endif
