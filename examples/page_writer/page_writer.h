/* SPDX-License-Identifier: MIT */
/*
 * page_writer.h - a toy database: frames in table spaces, a log, page cleaners.
 *
 * Threads  main is the user, who changes frames; a worker is a thread for as long as it cleans.
 *          The log has none: whoever waits in the library drives it.
 */
#ifndef PAGE_WRITER_H
#define PAGE_WRITER_H

#include <pthread.h>

#include "cleaner.h"
#include "flaky.h"
#include "log.h"

#define NR_SPACES	2u
#define SPACE_FRAMES	512u
#define SPACE_BYTES	((uint64_t)SPACE_FRAMES * FRAME)
#define NR_FRAMES	(NR_SPACES * SPACE_FRAMES)
#define NR_CLEANERS	2u
#define STRIPE		64u		/* frames in a row that a cleaner has under way */
#define LOG_BYTES	(8u << 20)

struct worker {
	struct db *db;
	struct cleaner cleaner;
	pthread_t thread;
	int result;
};
struct db {
	struct iomap_env *env;
	struct flaky flaky;
	char disk[NR_FRAMES * FRAME];	/* its memory */
	void *backend_args[1];		/* the environment keeps a pointer to it */
	struct iomap_ioq *ioq;		/* one ring for all; it could be one for each cleaner */
	struct iomap_bdev *bdev;
	struct log log;			/* never read again: a ring without a second round */
	_Alignas(4096) char log_records[LOG_BYTES];
	struct iomap_inode spaces[NR_SPACES];		/* i is the device from i * SPACE_BYTES */
	struct iomap_file checkpointers[NR_SPACES];	/* cursors that see each error once */
	struct frame frames[NR_FRAMES];
	struct page pages[NR_FRAMES];
	struct worker workers[NR_CLEANERS];
	struct slot slots[NR_CLEANERS][STRIPE];
	iomap_word nr_bios;		/* atomic: requests that came to the device */
	iomap_word nr_early, nr_torn;	/* of the pages there: ahead of the log, wrong sum */
	unsigned nr_errors;			/* seen by checkpoints */
};

void pool_init(struct db *db);				/* there is an environment */
int frame_change(struct db *db, struct frame *frame);	/* what a transaction does */
/* A thread: write all frames of this worker that are dirty; at its end none is under way. */
void *worker_run(void *worker);

#endif
