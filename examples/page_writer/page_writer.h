/* SPDX-License-Identifier: MIT */
/*
 * page_writer.h - the parts of a toy database: frames in table spaces, a log, page cleaners.
 *
 * Threads  main is the user, who changes frames; a cleaner is a thread for as long as it cleans.
 *          The log has none: whoever waits in the library drives it.
 */
#ifndef PAGE_WRITER_H
#define PAGE_WRITER_H

#include <pthread.h>

#include <iomap/iomap.h>

#include "flaky.h"

#define FRAME		16384u
#define WORDS		(FRAME / 8 - 3)
#define NR_SPACES	2u
#define SPACE_FRAMES	512u
#define SPACE_BYTES	((uint64_t)SPACE_FRAMES * FRAME)
#define NR_FRAMES	(NR_SPACES * SPACE_FRAMES)
#define NR_CLEANERS	2u
#define STRIPE		64u		/* frames in a row that a cleaner has under way */
#define LOG_BYTES	(8u << 20)

struct page {				/* what is in a frame, and on the device */
	_Alignas(4096) uint64_t sum;	/* of all that follows; set in what is sent */
	uint64_t lsn;			/* of its last change */
	uint64_t number, words[WORDS];
};
struct frame {
	struct iomap_mutex latch;	/* EXTENT: page; the log's lock comes after it */
	struct page *page;
	uint64_t written_lsn;		/* dirty while it is not the page's: the pool's truth */
};
struct log {				/* an LSN is the byte after a record */
	struct iomap_env *env;
	struct iomap_bdev *bdev;
	struct iomap_mutex lock;	/* LEAF: what follows */
	struct iomap_list held;		/* ioends that wait for durable */
	struct iomap_bio bio;		/* the one write under way */
	struct iomap_bvec seg;
	bool writing;
	int error;			/* of a write: nothing becomes durable any more */
	uint64_t end, durable;		/* durable may be read without the lock */
	unsigned nr_held;
	_Alignas(4096) char records[LOG_BYTES];
};
struct slot {				/* a transient folio around a frame, and its stable copy */
	struct iomap_folio folio;
	struct frame *frame;
	struct page copy;
};
struct cleaner {
	struct db *db;
	struct slot slots[STRIPE];
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
	struct log log;
	struct iomap_inode spaces[NR_SPACES];		/* i is the device from i * SPACE_BYTES */
	struct iomap_file checkpointers[NR_SPACES];	/* cursors that see each error once */
	struct frame frames[NR_FRAMES];
	struct page pages[NR_FRAMES];
	struct cleaner cleaners[NR_CLEANERS];
	/* Atomic: frames written or not, ioends submitted, requests that came to the device */
	iomap_word nr_frames, nr_failed, nr_ioends, nr_bios;
	iomap_word nr_early, nr_torn;	/* of the pages there: ahead of the log, wrong sum */
	unsigned nr_errors;			/* seen by checkpoints */
};

int log_open(struct log *log, struct iomap_env *env, struct iomap_ioq *ioq, const char *device);
int log_append(struct log *log, const void *record, size_t len, uint64_t *lsn);	/* -ENOSPC */
/* Send the ioend as soon as the log is durable up to its client_max.  Never waits. */
void log_submit(struct log *log, struct iomap_ioend *ioend);
uint64_t page_sum(const struct page *page);
bool frame_is_dirty(const struct frame *frame);		/* latched, or nobody else is there */
int frame_change(struct db *db, struct frame *frame);	/* what a transaction does */
extern const struct iomap_inode_ops space_ops;
/* A thread: write all frames of this cleaner that are dirty; at its end none is under way. */
void *cleaner_run(void *cleaner);

#endif
