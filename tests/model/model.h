/* SPDX-License-Identifier: MIT */
/*
 * model.h - a client of the library in memory: a small "file system" under a test's control.
 *
 *	struct m_model *m = m_open(&t, &(struct m_opts){ .delalloc = true, .unwritten = true });
 *	struct m_file *f = m_file_new(m);
 *
 *	ck_assert_int_eq(m_write(f, 100, buf, 5000), 5000);
 *	ck_assert_int_eq(m_sync(f), 0);
 *	ck_assert(m_device_equals_model(f));
 *	m_file_free(&f);
 *	m_close(&m);
 *
 * Each file is two tables of blocks, the data fork and the CoW fork; space comes from a bitmap over
 * one device, whose first 64 KiB hold a toy journal.  The switches of m_opts choose whom it plays:
 *
 *	delalloc   begin promises space (DELALLOC), writeback allocates; without it begin allocates
 *		   and end gives back what was not written
 *	unwritten  what is allocated is UNWRITTEN until its completion converts it
 *	cow	   a snapshot may share the blocks of a file (m_share): a write to a shared block
 *		   promises one in the CoW fork, its completion moves it over
 *	no_journal a sync writes the table of the file and its size in place
 *	striped	   odd blocks of a file lie on log_dev
 *	times	   a write changes a time too, which fdatasync leaves as it is
 *	anon	   nothing is overwritten in place: maps are ANON_WRITE, the submit hook picks the
 *		   address, the completion remaps (implies promises in the CoW fork)
 *	checksums  of each block that is written, made when it is sent, stored with its extent when
 *		   it has arrived, and asked for when it is read (model_sum.c)
 *
 * Next to it every file has a plain array of bytes, the content it must have: m_write and m_read
 * keep and compare it.
 *
 * Locks: m_write and m_read take the inode's I/O lock, which also protects the array of bytes; the
 * tables of a file have a lock of rank EXTENT, space and journal one of rank LEAF.  Any thread.
 */
#ifndef T_MODEL_H
#define T_MODEL_H

#include "harness/harness.h"

struct m_model;
struct m_file;

/* The nth call from now (1: the next; 0: none) and those after it, count in all, fail. */
struct m_fault {
	unsigned nth, count;	/* count 0: one */
	int error;		/* negative */
};

struct m_opts {
	const char *dev;	/* default "mem:model,size=16m" */
	const char *log_dev;	/* NULL: the journal lies on dev */
	unsigned block_bits;	/* default 12 */
	bool delalloc, unwritten, cow, anon;
	bool checksums;		/* the inode is STABLE; not with no_complete */
	bool no_journal;	/* not more than one file */
	bool striped, times;
	bool batch;		/* begin collects dirty folios when zeroing over unwritten */
	bool no_valid;		/* leave iomap_valid out of write_ops */
	bool no_complete;	/* leave complete_ioends out: nothing is deferred by the model */
	uint64_t chunk;		/* no map is longer; 0: no limit */
	unsigned gap;		/* blocks left free behind each allocation: device ranges break */
	uint32_t inode_flags;	/* STABLE */
	uint64_t cache_bytes;	/* default 4 MiB */
	uint64_t dirty_limit;
	uint32_t max_folio;
	const struct iomap_ioq_opts *ioq;
};

/* What happened, in order, when the model was told to remember it (m_log_start). */
enum m_event {
	M_BEGIN, M_END, M_RANGE, M_SUBMIT, M_END_IO, M_COMPLETE, M_CONVERT, M_REMAP, M_SIZE,
	M_FINISH, M_SYNC_METADATA, M_COMMIT, M_DIRTY_INODE, M_WRITEPAGES, M_PUNCH,
};
struct m_log {
	enum m_event event;
	int64_t pos;
	uint64_t len;
	int64_t arg;		/* END: written; FINISH, SUBMIT: error; SIZE: the new one;
				 * PUNCH: promises given back */
	unsigned flags;		/* BEGIN, END: operation flags; PUNCH: of the map */
};
#define M_MAX_LOG 65536

struct m_model {
	struct t_env *t;
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev, *log_bdev;	/* log_bdev may be bdev */
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct m_opts opts;
	unsigned block_size;

	/* Tables, to be called or changed by a test. */
	struct iomap_ops ops;
	struct iomap_write_ops write_ops;
	struct iomap_writeback_ops wb_ops;
	struct iomap_inode_ops inode_ops;
	const struct iomap_read_ops *read_ops;	/* NULL: the library's */

	/* Fault switches. */
	struct m_fault fail_begin, fail_end, fail_map, fail_convert, fail_sync_metadata;
	struct m_fault fail_alloc;		/* space: in begin or in writeback */
	struct m_fault fail_submit;		/* the submit hook ends the ioend with the error */

	/* Hooks: run last, may change what the model was going to answer. */
	void (*hook_map)(struct m_file *file, int64_t pos, uint64_t len, unsigned flags,
			 struct iomap *map, struct iomap *srcmap);
	void (*hook_wb_map)(struct m_file *file, int64_t pos, uint64_t len, struct iomap *map);
	int64_t (*hook_range)(struct m_file *file, int64_t pos, uint64_t len, int64_t result);
	/* Just before the record of a commit is written: what a crash after it must find. */
	void (*hook_commit)(struct m_model *m, unsigned seq);
	/* Runs instead of the model's own submit hook. */
	int (*hook_submit)(struct m_file *file, struct iomap_writeback_ctx *wpc, void *wb_ctx,
			   int error);
	/* Between the client's work and iomap_finish_ioends. */
	void (*hook_complete)(struct m_file *file, struct iomap_ioend *ioend);
	/* In iomap_valid, before it answers; the folio is locked. */
	void (*hook_valid)(struct m_file *file, const struct iomap *map);
	/* In m_write, for each copy: how many of the next len bytes of the user come, at of them
	 * having come before; the folio is locked. */
	size_t (*hook_copy)(struct m_file *file, size_t at, size_t len);
	/* In verify_read, before it answers: may put its own in the place of result. */
	int (*hook_verify)(struct m_file *file, int64_t pos, int result);
	/* checksums: blocks of a file that go without, asked when they are sent. */
	bool (*hook_no_sum)(struct m_file *file, int64_t pos);
	void *hook_arg;

	/* Counters, atomic. */
	unsigned nr_begin, nr_end, nr_writepages, nr_ranges, nr_submits, nr_converts, nr_remaps;
	unsigned nr_sizes, nr_commits, nr_sync_metadata, nr_finished, nr_dirty_inode, nr_deferred;
	unsigned nr_verified;		/* blocks */
	int64_t nr_reserved;		/* blocks promised and not yet allocated: 0 after a sync */
	int64_t nr_allocated;		/* blocks in use, journal not counted */

	/* Private. */
	struct iomap_mutex lock;	/* space, journal, log */
	uint8_t *used;			/* per block of the device: how many files have it */
	uint64_t nr_blocks, nr_free, cursor;
	int64_t nr_snapshot;		/* blocks that only a snapshot has */
	unsigned commit_seq;
	struct m_file *files;
	struct m_log *log;
	unsigned nr_log;
	bool log_on;
};

struct m_block {
	uint64_t addr;
	uint8_t type;		/* enum iomap_type */
	bool shared;		/* a snapshot has it too */
	bool summed;		/* sum is that of what was written */
	uint32_t sum;
};

struct m_sent {
	bool summed;
	uint32_t sum;
};

struct m_file {
	struct iomap_inode inode;
	struct iomap_file file;		/* a handle; tests may open more */
	struct m_model *m;
	struct iomap_mutex extents;
	struct m_block *data, *cow;	/* M_MAX_FILE / block_size entries each */
	struct m_sent *sent;		/* as many: what writeback is sending; NULL: no checksums */
	int64_t disk_size;		/* under extents */
	uint64_t seq;			/* of both tables; the validity cookie */
	bool dirty_meta;		/* something for the journal; under extents */
	bool dirty_times;		/* the same, but for fdatasync */
	bool syncing;			/* a sync has what is dirty; under extents */
	iomap_word syncs;		/* that have ended */
	iomap_word refs;		/* tryget and put */
	iomap_word going;
	uint64_t *place;		/* per block: where it is to lie; NULL, 0: anywhere */
	uint8_t *ref;			/* what the file must contain; I/O lock */
	int64_t ref_size;
	struct m_file *next;
};
#define M_MAX_FILE (4u << 20)
#define M_FILE(i) iomap_container_of(i, struct m_file, inode)

/* Life.  try_open returns an error instead of failing the test. */
struct m_model *m_open(struct t_env *t, const struct m_opts *opts);
int m_try_open(struct t_env *t, const struct m_opts *opts, struct m_model **m);
void m_close(struct m_model **m);
struct m_file *m_file_new(struct m_model *m);
int m_try_file_new(struct m_model *m, struct m_file **file);
void m_file_free(struct m_file **file);		/* DISCARDs what is cached */

/* Through the cache; the library's answer.  read compares what it got with the bytes it must be. */
int64_t m_write(struct m_file *f, int64_t pos, const void *buf, size_t len);
int64_t m_read(struct m_file *f, int64_t pos, void *buf, size_t len);
/* The same with flags of the request; a write that is DSYNC or SYNC is synced. */
int64_t m_write_flags(struct m_file *f, int64_t pos, const void *buf, size_t len, unsigned flags);
int64_t m_read_flags(struct m_file *f, int64_t pos, void *buf, size_t len, unsigned flags);
/* A pattern of seed instead of a buffer, and the whole content compared. */
int64_t m_fill(struct m_file *f, int64_t pos, size_t len, unsigned seed);
bool m_content_ok(struct m_file *f);

/* A store through a mapping, inside one folio: -EAGAIN while that is not cached.  Neither holds nor
 * wants the I/O lock: for bytes that nobody else writes or compares meanwhile. */
int m_store(struct m_file *f, int64_t pos, const void *buf, size_t len);

int m_sync(struct m_file *f);			/* iomap_file_sync of everything */
int m_writeback(struct m_file *f, enum iomap_sync_mode mode, int64_t start, int64_t end);
int m_drop_cache(struct m_file *f);		/* sync, then invalidate_range of everything */
int m_evict(struct m_file *f);			/* WRITE, fini, init again with its errseq */
void m_share(struct m_file *f);			/* cow: a snapshot now has all its blocks */
/* An empty file gets all that is written of another. */
void m_reflink(struct m_file *f, struct m_file *to);

/* A file laid out by hand.  What is allocated in the range from now on lies there. */
void m_place(struct m_file *f, int64_t pos, uint64_t len, uint64_t addr);
/* One block of the data fork; addr is free, or unused by that type. */
void m_set_block(struct m_file *f, unsigned b, enum iomap_type type, uint64_t addr);

/* Reports, with the I/O lock shared. */
struct m_extents {
	struct iomap_extent e[64];
	unsigned nr, max;		/* max 0: all of e */
};
int64_t m_seek_data(struct m_file *f, int64_t pos);
int64_t m_seek_hole(struct m_file *f, int64_t pos);
int m_fiemap(struct m_file *f, int64_t pos, uint64_t len, bool sync_first, struct m_extents *all);

/* Zeros for a range, up to the end of the file as the user sees it; the library's answer. */
int m_zero(struct m_file *f, int64_t pos, uint64_t len, bool *did_zero);
int m_unshare(struct m_file *f, int64_t pos, uint64_t len);
/* As ftruncate: the tail is zeroed and on the device before a new size can get there. */
int m_truncate(struct m_file *f, int64_t size);
/* A hole of len bytes at pos, up to the end of the file: zeros, whole blocks are given back. */
int m_hole(struct m_file *f, int64_t pos, int64_t len);
/* A hole of len bytes at pos, what was there moves back; whole blocks, the cache's folios too. */
int m_insert(struct m_file *f, int64_t pos, int64_t len);
/* Space for [pos, pos + len) where there is none: UNWRITTEN, in one of the forks. */
void m_preallocate(struct m_file *f, int64_t pos, uint64_t len, bool in_cow);

/* After a sync: each written byte of the file is on the device at the address the data fork says,
 * the rest is a hole or unwritten, the disk size is the size, no promise is left. */
bool m_device_equals_model(struct m_file *f);
/* Blocks in use and promised belong to files or snapshots; begin and end are balanced. */
bool m_balanced(struct m_model *m);
/* What power left of the file that a model with no journal had on that device: its size, and as
 * many as nr blocks.  Not there, or unreadable: empty. */
int64_t m_table_read(struct iomap_bdev *bdev, struct m_block *data, unsigned nr);
/* Read a range of the device past the cache. */
int m_dev_read(struct iomap_bdev *bdev, uint64_t addr, void *buf, size_t len);
int m_dev_write(struct iomap_bdev *bdev, uint64_t addr, const void *buf, size_t len);

void m_log_start(struct m_model *m);
/* Index of the first such event at or after from; M_MAX_LOG: none. */
unsigned m_log_find(struct m_model *m, enum m_event event, unsigned from);

unsigned m_block_nr(const struct m_model *m, int64_t pos);	/* of pos, rounded down */

/* The model's own answers, for tests that put theirs around them. */
int m_begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
	    struct iomap *map, struct iomap *srcmap, void *priv);
int m_end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written, unsigned flags,
	  struct iomap *map, struct iomap *srcmap, void *priv);
int64_t m_range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		uint64_t len, int64_t end_pos);
int m_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error);
void m_complete_ioends(struct iomap_inode *inode, struct iomap_list *ioends);
void m_end_io(struct iomap_bio *bio);
void m_punch(struct iomap_inode *inode, int64_t pos, uint64_t len, struct iomap *map);
int m_verify(struct iomap_inode *inode, int64_t pos, const void *mem, size_t len);

#endif
