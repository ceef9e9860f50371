/* SPDX-License-Identifier: MIT */
/*
 * page_writer.h - the parts of a toy database: a buffer pool, a log, page cleaners.
 *
 * Threads  The user (main) changes frames and asks for checkpoints; two cleaners write dirty
 *          frames; the log's thread makes records durable and sends the ioends that waited.
 */
#ifndef PAGE_WRITER_H
#define PAGE_WRITER_H

#include <pthread.h>

#include <iomap/iomap.h>

#define FRAME		16384u
#define NR_SPACES	2u
#define SPACE_FRAMES	512u
#define NR_CLEANERS	2u
#define STRIPE		64u		/* frames in a row that belong to one cleaner */
#define BATCH		128u		/* frames that one cleaner has under way */

/* ---- log.c: records, durable up to a number; the number is a byte in the log ---- */

#define LOG_BYTES	(4u << 20)
struct log {
	struct iomap_env *env;
	struct iomap_ioq *ioq;		/* its own ring */
	struct iomap_bdev *bdev;
	pthread_t thread;
	struct iomap_mutex lock;	/* LEAF: end, wanted, held, stop, error */
	struct iomap_cond work;		/* the log's thread sleeps here */
	struct iomap_list held;		/* ioends that wait for durable */
	uint64_t end, wanted;
	uint64_t durable;		/* atomic; only the log's thread moves it */
	iomap_word moved;		/* counts its moves, woken */
	int error;
	bool stop, started;
	uint64_t nr_flushes, nr_held;
	char *records;			/* all of the log */
	char *staged;			/* what is being written */
};
int log_open(struct log *log, struct iomap_env *env, const char *device);
void log_close(struct log *log);
/* Append: the number up to which the log must be durable before the change may be. 0: full. */
uint64_t log_append(struct log *log, uint32_t space, uint32_t frame, uint64_t version);
uint64_t log_durable(const struct log *log);
/* Send the ioend as soon as the log is durable up to its client_max.  Never waits. */
void log_hold(struct log *log, struct iomap_ioend *ioend);

/* ---- pool.c: frames, what is in them, where they live ---- */

struct page {			/* the first bytes of a frame; the rest follows from them */
	uint64_t sum;		/* of all that follows, as it was sent */
	uint32_t space, number;
	uint64_t lsn, version;
};
struct frame {
	struct iomap_mutex latch;	/* EXTENT: guards mem; the log's lock comes after it */
	struct space *space;
	uint32_t number;
	iomap_word busy;		/* being written: set by a cleaner, cleared at completion */
	iomap_word failures;
	void *mem;
	uint64_t newest_lsn;		/* atomic; dirty while it differs from written: the */
	uint64_t written_lsn;		/* pool's truth, for the library never touches it */
	uint64_t sent_lsn;		/* of the bytes on their way */
};
struct space {
	struct iomap_inode inode;
	struct iomap_file checkpointer;	/* the cursor that must see each error */
	struct iomap_bdev *bdev;
	struct frame frames[SPACE_FRAMES];
};
struct pool {
	struct iomap_env *env;
	struct log log;
	struct space spaces[NR_SPACES];
	void *memory;
	size_t bytes;
	iomap_word nr_written, nr_ioends, nr_bios, nr_checked, nr_early;
};
int pool_init(struct pool *pool);
void pool_fini(struct pool *pool);
int space_open(struct pool *pool, unsigned nr, struct iomap_ioq *ioqs[NR_CLEANERS],
	       const char *device);
void space_close(struct space *space);
bool frame_is_dirty(const struct frame *frame);
uint64_t page_sum(const struct page *page);
int frame_change(struct pool *pool, struct frame *frame);	/* what a transaction does */
int space_verify(struct space *space);		/* the device equals the pool */
extern const struct iomap_inode_ops space_ops;			/* cleaner.c */

/* ---- cleaner.c ---- */

struct slot {			/* a transient folio around a frame, and its stable copy */
	struct iomap_folio folio;
	struct frame *frame;
	struct cleaner *cleaner;
	void *copy;
	struct iomap_list node;
};
struct cleaner {
	struct pool *pool;
	struct iomap_ioq *ioq;
	pthread_t thread;
	unsigned index;
	struct iomap_mutex lock;	/* LEAF: free */
	struct iomap_list free;
	iomap_word freed;
	void *copies;			/* of all slots, one piece */
	struct slot slots[BATCH];
	iomap_word asked, done;		/* rounds: asked by main, done by the cleaner */
	iomap_word must, stop;
	int result;			/* of the last round */
};
int cleaner_start(struct cleaner *cl, struct pool *pool, unsigned index);	/* ioq is set */
void cleaner_stop(struct cleaner *cl);		/* its ioends may be under way still */
void cleaner_free(struct cleaner *cl);
void cleaner_ask(struct cleaner *cl, bool must);
int cleaner_wait(struct cleaner *cl);		/* the result of the round that was asked */

#endif
