/* SPDX-License-Identifier: MIT */
/*
 * log.h - an asynchronous log, a ring on a device and the same in memory.
 *
 * An LSN counts bytes since the log was new; it is that of the byte after a record.  All records
 * have one length, which divides a block.
 */
#ifndef LOG_H
#define LOG_H

#include <iomap/iomap.h>

#define LOG_BLOCK	4096u		/* is written once in each round of the ring */

struct log {
	struct iomap_env *env;
	struct iomap_bdev *bdev;
	char *records;			/* the caller's, aligned for the device */
	uint64_t size;			/* of the ring, in blocks */
	/* Takes what may go, or with an error may not any more; log_open: iomap_ioend_submit. */
	void (*send)(struct log *log, struct iomap_ioend *ioend, int error);
	void *owner;

	struct iomap_mutex lock;	/* LEAF: what follows */
	struct iomap_list held;		/* ioends that wait for durable */
	struct iomap_bio bio;		/* the one write under way */
	struct iomap_bvec seg;
	bool writing;
	int error;			/* of a write: nothing becomes durable any more */
	uint64_t start;			/* who reads the log again begins here or later */
	uint64_t end, durable;		/* durable may be read without the lock */
	uint64_t wanted;		/* somebody waits until durable is there */
	iomap_word nr_writes;		/* that have ended */
	unsigned nr_held;
};

/* records and size are set by the caller, and the rest is zero; send and owner may be, later. */
int log_open(struct log *log, struct iomap_env *env, struct iomap_ioq *ioq, const char *device);
/* -ENOSPC: the ring is full from start on. */
int log_append(struct log *log, const void *record, size_t len, uint64_t *lsn);
/* Send the ioend as soon as the log is durable up to its client_max.  Never waits. */
void log_submit(struct log *log, struct iomap_ioend *ioend);
/* An object wait, until the log is durable up to there; or its error. */
int log_wait(struct log *log, uint64_t lsn);

#endif
