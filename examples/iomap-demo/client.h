/* SPDX-License-Identifier: MIT */
/*
 * client.h - a small client of the library: one file whose extents lie in memory.
 *
 * It shows what a client with a cache has to bring: a pair of mapping callbacks, a writeback hook
 * that maps ranges, a submit hook, the inode's table.  One thread, so nothing here is locked.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "demo.h"

struct extent {
	int64_t pos;			/* in the file; extents are sorted and leave no gap */
	uint64_t len, addr;
	uint16_t type, flags;		/* as in struct iomap */
};
struct client {
	struct demo *demo;
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct iomap_inode inode;
	struct iomap_file file;
	bool inode_open, file_open;
	struct extent *extents;
	unsigned nr_extents, max_extents;
	bool delalloc;			/* writes only reserve; writeback finds the place */
	uint64_t max_ioend_bytes;	/* 0: the library's default */
	uint64_t nr_ioends, converted;
};
struct client_opts {
	const struct device *device;	/* it has started */
	uint64_t cache_bytes;		/* three quarters of it may be dirty */
	uint32_t max_folio;
	unsigned max_extents;
	void (*trace)(void *arg, const struct iomap_trace_record *record);
	void *trace_arg;
};
/* An error has its line printed; close is right after a failed open too. */
int client_open(struct client *c, struct demo *d, const struct client_opts *opts);
void client_close(struct client *c);
/* Bytes, all of them or an error. */
int client_write(struct client *c, int64_t pos, const void *mem, size_t len);
int client_read(struct client *c, int64_t pos, void *mem, size_t len);
int client_write_out(struct client *c);		/* send what is dirty, wait for nothing */
int client_drop_cache(struct client *c);
extern const struct iomap_ops client_iomap_ops;

#endif
