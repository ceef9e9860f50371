/* SPDX-License-Identifier: MIT */
/*
 * pair.h - two small files on one simulated device, through libiomap's cache and writeback.
 *
 * A client that is as small as it can be: each block of a file has its own place on the device, and
 * a root says how much of that counts.  What a crash must not do to it is what the library promises
 * to any client, so that it is the library that is tested.
 *   memory   an open pair has an environment of its own, and must be closed.
 *   errors   negative; -EBADMSG: there is no root.
 */
#ifndef PAIR_H
#define PAIR_H

#include <iomap/iomap.h>
#include <iomap/sim.h>

#define PAIR_FILES	2u
#define PAIR_BLOCK	4096u
#define PAIR_BLOCKS	8u		/* of a file */
#define PAIR_BYTES	(PAIR_BLOCK * PAIR_BLOCKS)
#define PAIR_DEVICE	(24u * PAIR_BLOCK)
#define PAIR_DEV	"disk"
#define PAIR_FIRST	(2 * PAIR_BLOCK + 3796u)	/* bytes of file 0, as formatted */

/* Mistakes of a client, each of a line or two. */
enum pair_bug {
	PAIR_CORRECT,
	PAIR_BUG_EARLY,			/* blocks count as written when they are allocated */
	PAIR_BUG_NO_FLUSH,		/* none before the root */
	PAIR_BUG_SIZE,			/* a datasync does without the root */
	PAIR_NR_BUGS,
};
struct pair;

/* Every block of the device is somebody else's; file 0 has PAIR_FIRST bytes of pair_byte(0, 0),
 * file 1 is empty. */
int pair_format(struct iomap_sim *sim);
uint8_t pair_byte(unsigned file, unsigned version, int64_t pos);
int pair_open(struct iomap_sim *sim, unsigned bug, struct pair **pair);
void pair_close(struct pair **pair);	/* what is not synced is dropped */

int pair_write(struct pair *pair, unsigned file, int64_t pos, const void *mem, size_t len);
int64_t pair_read(struct pair *pair, unsigned file, int64_t pos, void *mem, size_t len);
int64_t pair_size(const struct pair *pair, unsigned file);
int pair_sync(struct pair *pair, unsigned file, bool datasync);
int pair_sync_all(struct pair *pair);
int pair_write_out(struct pair *pair, unsigned file);	/* waits for nothing, promises nothing */
int pair_drop_cache(struct pair *pair, unsigned file);	/* -EBUSY: some is dirty */
/* Where a block of a file is on the device; 0: what is there does not count. */
uint64_t pair_addr(const struct pair *pair, unsigned file, unsigned block);

#endif
