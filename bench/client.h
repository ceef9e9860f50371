/* SPDX-License-Identifier: MIT */
/*
 * client.h - a client that writes back: one file that lies on its device as it is.
 *
 * The position in the file plus base is the address.
 *
 * Threads: one.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <iomap/iomap.h>

struct client {
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_volume *volume;
	struct iomap_inode inode;
	uint64_t base;
	uint64_t nr_written;		/* folios told to be */
	uint64_t sent;			/* bytes of all ioends so far */
	int error;			/* of one of them */
};

extern const struct iomap_ops client_ops;
extern const struct iomap_volume_ops client_volume_ops;

/* The environment, a queue of this thread alone, the device. */
int client_open(struct client *c, const char *device);
/* The file; it has to fit the device behind base, or -ENOSPC. */
int client_file(struct client *c, uint32_t flags, int64_t size);
void client_close_file(struct client *c);
void client_close(struct client *c);

/* Memory known to the device; where that is not to be had everything works without. */
void client_register(struct client *c, void *base, size_t len);
int client_writepages(struct client *c);
/* One pass over the client's frames, until all are told to be written. */
int client_write_frames(struct client *c, struct iomap_folio *folios, uint64_t nr);
uint64_t client_nr_bios(const struct client *c);	/* completed so far */

#endif
