/* SPDX-License-Identifier: MIT */
/*
 * flat.h - the smallest client of writeback: one file that lies flat on one device, address equals
 * position.  For tests that want to see each range, each ioend and each end, and to answer in the
 * library's place; a client with a mind of its own is model.h.
 *
 *	struct flat *f = flat_new(&(struct flat_opts){ .max_folio = 16384 });
 *
 *	flat_dirty(f, 0, 100, 'a');
 *	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
 *	flat_settle(f);
 *	ck_assert_uint_eq(f->nr_submits, 1);
 *	flat_delete(&f);
 *
 * With .frames the file has no cache but nr_frames frames of frame_size bytes, side by side in one
 * piece of memory and in the file.
 *
 * Threads: the hooks note what they see without a lock, so one thread only; tests with more bring
 * their own hooks.
 */
#ifndef T_FLAT_H
#define T_FLAT_H

#include "harness/harness.h"
#include "harness/memdev.h"

#define FLAT_MAX_LOG 8192
#define FLAT_FILE (16 << 20)

struct flat_opts {
	const char *dev;		/* default "mem:flat,size=64m" */
	unsigned block_bits;		/* default 12 */
	uint32_t max_folio;		/* default 4096 */
	uint64_t cache_bytes;		/* default 8 MiB */
	int64_t size;			/* of the file; default FLAT_FILE */
	unsigned frames;		/* how many; 0: a cached file */
	uint32_t frame_size;		/* default 4096 */
	bool in_volume;			/* frames too: a volume without a cache */
	bool no_complete;		/* no complete_ioends: the library does it */
	bool trace;
	struct iomap_env_opts env;
};
struct flat_range {			/* one call of writeback_range */
	int64_t pos, end_pos, result;
	uint64_t len;
	struct iomap_folio *folio;
	uint32_t write_pending, folio_flags;	/* as they were at the call */
};
struct flat_submit {			/* one call of writeback_submit */
	int64_t offset;
	uint64_t size, len, addr, wb_seq, client_max;
	uint32_t flags, nr_folios, nr_segs;
	int error;
	bool in_wpc;			/* the wpc still had it: H1 broken */
	struct iomap_ioend *ioend;	/* perhaps gone by now */
};
struct flat_written {
	struct iomap_folio *folio;
	int error;
	unsigned after_end_io;		/* nr_ended when it came */
};
struct flat {
	struct t_env t;
	struct flat_opts opts;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct t_mem *mem;		/* NULL: not a mem: device */
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct iomap_inode inode;
	struct iomap_file file;
	struct iomap_folio *frames;
	uint8_t *frame_mem;
	struct iomap_writeback_control wbc;	/* of flat_write and of the inode's writepages */

	struct iomap_ops ops;
	struct iomap_writeback_ops wb_ops;
	struct iomap_inode_ops inode_ops;

	/* Where the client speaks for itself; each may be NULL. */
	void (*map)(struct flat *f, int64_t pos, uint64_t len, struct iomap *map);
	int64_t (*range)(struct flat *f, struct iomap_writeback_ctx *wpc,
			 struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos);
	int (*submit)(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error);
	void (*end_io)(struct iomap_bio *bio);	/* put into each ioend */
	void (*complete)(struct flat *f, struct iomap_list *ioends);
	void (*on_written)(struct flat *f, struct iomap_folio *folio, int error);
	bool take;			/* the hook keeps what it is given, in held */
	struct iomap_list held;
	unsigned nr_held;
	void *arg;

	struct flat_range ranges[FLAT_MAX_LOG];
	struct flat_submit submits[FLAT_MAX_LOG];
	struct flat_written written[FLAT_MAX_LOG];
	unsigned nr_ranges, nr_submits, nr_written, nr_completes, nr_completed, nr_ended;
};
#define FLAT(i) iomap_container_of(i, struct flat, inode)

struct flat *flat_new(const struct flat_opts *opts);
void flat_delete(struct flat **f);	/* DISCARDs what is cached; asserts that all is back */
void flat_forget(struct flat *f);	/* the logs */

/* Cached files. */
void flat_dirty(struct flat *f, int64_t pos, size_t len, int byte);
void flat_dirty_locked(struct flat *f, int64_t pos, size_t len, int byte); /* from a callback */
/* iomap_writepages with f->wbc in that mode, over the whole file. */
int flat_write(struct flat *f, enum iomap_sync_mode mode);
int flat_sync(struct flat *f);
struct iomap_folio *flat_lock(struct flat *f, int64_t pos);	/* cached already; locked, held */
void flat_unlock(struct iomap_folio *folio);
uint32_t flat_flags(struct flat *f, int64_t pos);		/* of the folio there */

/* Frames: the wpc of a cleaner, one frame handed over. */
void flat_wpc(struct flat *f, struct iomap_writeback_ctx *wpc);
int flat_frame(struct flat *f, struct iomap_writeback_ctx *wpc, unsigned i);
const struct flat_written *flat_written_of(struct flat *f, unsigned i);	/* NULL: not yet */

/* Reap until everything that was sent has ended. */
void flat_settle(struct flat *f);
/* One round of whatever is ready, deferred work included. */
void flat_poll(struct flat *f);
void flat_submit_held(struct flat *f, int error);	/* the oldest */

/* What the defaults do. */
int64_t flat_range_default(struct flat *f, struct iomap_writeback_ctx *wpc,
			   struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos);

#endif
