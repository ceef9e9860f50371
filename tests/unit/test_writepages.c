/* SPDX-License-Identifier: MIT */
/*
 * The walk over dirty folios: which, in what order, how often, and what it does before it waits.
 */
#include <pthread.h>

#include "cache/cache.h"
#include "model/flat.h"

#define BLOCK 4096

static struct flat *dirty_blocks(const struct flat_opts *opts, unsigned n)
{
	struct flat *f = flat_new(opts);

	for (unsigned i = 0; i < n; i++)
		flat_dirty(f, (int64_t)i * BLOCK, BLOCK, 'a');
	return f;
}

static unsigned nr_dirty(struct flat *f, unsigned n)
{
	unsigned dirty = 0;

	for (unsigned i = 0; i < n; i++)
		dirty += (flat_flags(f, (int64_t)i * BLOCK) & IOMAP_FOLIO_DIRTY) != 0;
	return dirty;
}

/* ---- which folios ---- */

CASE(every_folio_dirty_at_the_call, "I89",
     "SYNC_ALL writes all that is dirty, in the order of the file")
{
	struct flat *f = flat_new(NULL);

	for (int64_t i = 199; i >= 0; i--)
		flat_dirty(f, i * BLOCK, BLOCK, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 200);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(f->ranges[i].pos, i * BLOCK);
	flat_settle(f);
	ck_assert_uint_eq(nr_dirty(f, 200), 0);
	flat_delete(&f);
}

#define BUSY 128	/* more folios than are looked up at once */

static int64_t dirty_the_next(struct flat *f, struct iomap_writeback_ctx *wpc,
			      struct iomap_folio *folio, int64_t pos, uint64_t len,
			      int64_t end_pos)
{
	int64_t done = flat_range_default(f, wpc, folio, pos, len, end_pos);

	/* a busy writer: what was just taken, and one further on that was clean at the call */
	iomap_folio_mark_dirty(folio, 0, BLOCK);
	if (pos < 2 * BUSY * BLOCK)
		flat_dirty_locked(f, pos + BUSY * BLOCK, BLOCK, 'n');
	return done;
}

CASE(a_busy_writer_does_not_keep_it_going, "I89 R47",
     "Folios made dirty during the pass are left for the next one")
{
	struct flat *f = dirty_blocks(NULL, BUSY);

	f->range = dirty_the_next;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, BUSY);
	flat_settle(f);
	ck_assert_uint_eq(nr_dirty(f, 2 * BUSY), 2 * BUSY);
	f->range = NULL;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(nr_dirty(f, 2 * BUSY), 0);
	flat_delete(&f);
}

CASE(only_the_range, "I89", "Folios that do not touch [range_start, range_end) are left alone")
{
	struct flat *f = dirty_blocks(NULL, 10);

	f->wbc.range_start = 3 * BLOCK + 1;
	f->wbc.range_end = 6 * BLOCK + 1;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 4);
	ck_assert_int_eq(f->ranges[0].pos, 3 * BLOCK);
	ck_assert_int_eq(f->ranges[3].pos, 6 * BLOCK);
	flat_settle(f);
	flat_forget(f);
	f->wbc.range_start = 8 * BLOCK;
	f->wbc.range_end = 0;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_uint_eq(f->nr_ranges, 2);
	flat_settle(f);
	f->wbc.range_start = -1;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EINVAL);
	flat_delete(&f);
}

CASE(bytes_to_write, "",
     "SYNC_NONE stops after so many bytes and counts them; SYNC_ALL does not stop")
{
	struct flat *f = dirty_blocks(NULL, 20);

	f->wbc.bytes_to_write = 5 * BLOCK;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_uint_eq(f->nr_ranges, 5);
	ck_assert_uint_eq(f->wbc.bytes_queued, 5 * BLOCK);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 20);
	flat_settle(f);
	flat_delete(&f);
}

CASE(cyclic, "", "CYCLIC goes on where the last pass stopped, around the end")
{
	struct flat *f = dirty_blocks(NULL, 10);

	f->wbc.flags = IOMAP_WB_CYCLIC;
	f->wbc.bytes_to_write = 4 * BLOCK;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	flat_settle(f);
	flat_dirty(f, 0, BLOCK, 'b');
	flat_dirty(f, BLOCK, BLOCK, 'b');
	flat_forget(f);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	flat_settle(f);
	ck_assert_int_eq(f->ranges[0].pos, 4 * BLOCK);
	ck_assert_int_eq(f->ranges[3].pos, 7 * BLOCK);
	flat_forget(f);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 4);
	ck_assert_int_eq(f->ranges[0].pos, 8 * BLOCK);
	ck_assert_int_eq(f->ranges[1].pos, 9 * BLOCK);
	ck_assert_int_eq(f->ranges[2].pos, 0);
	ck_assert_int_eq(f->ranges[3].pos, BLOCK);
	flat_delete(&f);
}

/* ---- folios that are busy ---- */

CASE(under_writeback_already, "I89",
     "SYNC_NONE skips a folio under writeback; SYNC_ALL waits and writes it again")
{
	struct flat *f = dirty_blocks(NULL, 1);

	t_mem_hold(f->mem, true);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_poll(f);
	flat_dirty(f, 0, BLOCK, 'b');
	flat_forget(f);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_uint_eq(f->nr_ranges, 0);
	ck_assert_uint_eq(nr_dirty(f, 1), 1);
	t_mem_hold(f->mem, false);
	t_mem_release(f->mem, 0);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 1);
	flat_settle(f);
	ck_assert_int_eq(t_mem_data(f->mem)[0], 'b');
	flat_delete(&f);
}

CASE(nowait_does_not_wait, "", "NOWAIT: a busy folio is skipped, for integrity that is -EAGAIN")
{
	struct flat *f = dirty_blocks(NULL, 2);
	struct iomap_folio *folio;

	f->wbc.flags = IOMAP_WB_NOWAIT;
	folio = flat_lock(f, 0);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_uint_eq(f->nr_ranges, 1);
	ck_assert_int_eq(f->ranges[0].pos, BLOCK);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EAGAIN);
	flat_unlock(folio);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	flat_delete(&f);
}

/* ---- refusals ---- */

CASE(reclaim_is_refused, "I88", "writepages in reclaim's name is -EIO and does nothing")
{
	struct flat *f = dirty_blocks(NULL, 3);

	f->wbc.flags = IOMAP_WB_RECLAIM;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), -EIO);
	ck_assert_uint_eq(f->nr_ranges, 0);
	ck_assert_uint_eq(nr_dirty(f, 3), 3);
	flat_delete(&f);
}

CASE(a_context_that_is_not_filled, "", "-EINVAL for what the caller forgot, and for a FRAMES inode")
{
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 1 });
	struct iomap_writeback_ctx wpc = { .inode = &f->inode };

	ck_assert_int_eq(iomap_writepages(&wpc), -EINVAL);
	wpc.wbc = &f->wbc;
	ck_assert_int_eq(iomap_writepages(&wpc), -EINVAL);
	wpc.ops = &f->wb_ops;
	ck_assert_int_eq(iomap_writepages(&wpc), -EINVAL);	/* frames are handed over */
	f->wb_ops.writeback_submit = NULL;
	memset(&wpc.opaque, 0, sizeof(wpc.opaque));
	ck_assert_int_eq(iomap_writepages(&wpc), -EINVAL);
	flat_delete(&f);
}

CASE(sizes_of_an_unknown_caller, "", "A control or a table that does not say its size is -EINVAL")
{
	struct flat *f = flat_new(NULL);

	flat_dirty(f, 0, 8192, 'a');
	f->wb_ops.struct_size = 0;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EINVAL);
	f->wb_ops.struct_size = sizeof(f->wb_ops);
	f->wbc.struct_size = 1;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EINVAL);
	f->wbc.struct_size = sizeof(f->wbc);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	flat_delete(&f);
}

CASE(a_limit_as_large_as_can_be, "", "A control serves again after it counted what it queued")
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .bytes_to_write = UINT64_MAX,
	};
	struct flat *f = flat_new(NULL);

	for (unsigned i = 1; i <= 2; i++) {
		flat_dirty(f, 0, 8192, 'a');
		ck_assert_int_eq(f->inode_ops.writepages(&f->inode, &wbc), 0);
		flat_settle(f);
		ck_assert(!(flat_flags(f, 0) & IOMAP_FOLIO_DIRTY));
		ck_assert_uint_eq(wbc.bytes_queued, i * 8192u);
	}
	flat_delete(&f);
}

/* ---- errors ---- */

static int64_t fails_at(struct flat *f, struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
			int64_t pos, uint64_t len, int64_t end_pos)
{
	if (pos == *(int64_t *)f->arg)
		return -ENOSPC;
	return flat_range_default(f, wpc, folio, pos, len, end_pos);
}

CASE(what_was_queued_before_an_error, "I83 I82",
     "Submitted with error 0 and completed; the error goes to the caller and sticks")
{
	struct flat *f = dirty_blocks(NULL, 6);
	int64_t bad = 3 * BLOCK;

	f->range = fails_at;
	f->arg = &bad;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -ENOSPC);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_int_eq(f->submits[0].error, 0);
	ck_assert_uint_eq(f->submits[0].nr_folios, 3);
	ck_assert_int_eq(f->submits[1].error, 0);
	ck_assert_int_eq(f->submits[1].offset, 4 * BLOCK);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(t_mem_data(f->mem)[i * BLOCK], i == 3 ? 0 : 'a');
	ck_assert_int_eq(iomap_file_check_error(&f->file), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

CASE(background_stops_at_an_error, "", "SYNC_NONE: what comes after the first error stays dirty")
{
	struct flat *f = dirty_blocks(NULL, 6);
	int64_t bad = 3 * BLOCK;

	f->range = fails_at;
	f->arg = &bad;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), -ENOSPC);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 4);
	ck_assert_uint_eq(nr_dirty(f, 6), 2);
	flat_delete(&f);
}

static int64_t always_fails(struct flat *f, struct iomap_writeback_ctx *wpc,
			    struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	(void)f, (void)wpc, (void)folio, (void)pos, (void)len, (void)end_pos;
	return -EIO;
}

CASE(maps_that_always_fail, "R47 I84", "fsync ends after one pass, with EIO once")
{
	struct flat *f = dirty_blocks(NULL, 100);

	f->range = always_fails;
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_uint_eq(f->nr_ranges, 100);
	ck_assert_uint_eq(nr_dirty(f, 100), 0);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_uint_eq(f->nr_ranges, 100);
	flat_delete(&f);
}

CASE(a_failed_write_keeps_its_content, "R36 I85",
     "EIO on writeback: fsync says so once, the content is still there, the folio failed and "
     "uptodate")
{
	struct flat *f = flat_new(&(struct flat_opts){ .max_folio = 65536 });
	struct iomap_folio *folio;

	flat_dirty(f, 0, 65536, 'k');
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_uint_eq(flat_flags(f, 0) & ~(uint32_t)IOMAP_FOLIO_LOCKED,
			  IOMAP_FOLIO_UPTODATE | IOMAP_FOLIO_FAILED);
	iomap_cache_reclaim(f->cache, 1 << 20);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&f->inode, 0, IOMAP_MAX_POS), -EBUSY);
	folio = flat_lock(f, 0);
	for (int i = 0; i < 65536; i++)
		ck_assert_int_eq(((char *)folio->mem)[i], 'k');
	flat_unlock(folio);
	flat_delete(&f);
}

/* ---- contexts ---- */

static unsigned nr_hook_calls, nr_ends;

static void count_end(struct iomap_bio *bio)
{
	nr_ends++;
	iomap_ioend_defer(iomap_ioend_from_bio(bio));
}

static int second_fails(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)f;
	if (++nr_hook_calls == 2)
		error = -EPROTO;
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

CASE(each_context_is_submitted_once, "H1 I87",
     "Submit fails on the second of three ioends: each goes to the hook once and ends once")
{
	struct flat *f = dirty_blocks(NULL, 3);

	nr_hook_calls = nr_ends = 0;
	f->wbc.max_ioend_bytes = BLOCK;
	f->end_io = count_end;
	f->submit = second_fails;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EPROTO);
	flat_settle(f);
	ck_assert_uint_eq(nr_hook_calls, 3);
	ck_assert_uint_eq(nr_ends, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(!f->submits[i].in_wpc);
	ck_assert_int_eq(t_mem_data(f->mem)[0], 'a');
	ck_assert_int_eq(t_mem_data(f->mem)[BLOCK], 0);
	ck_assert_int_eq(t_mem_data(f->mem)[2 * BLOCK], 'a');
	flat_delete(&f);
}

CASE(out_of_the_wpc_before_the_hook, "H1 I87",
     "In the hook the context is no longer in the wpc, also at an error")
{
	struct flat *f = dirty_blocks(NULL, 1);
	struct iomap_writeback_ctx wpc;
	struct iomap_folio *folio;

	for (int i = 0; i < 2; i++) {
		f->wbc.sync_mode = IOMAP_WB_SYNC_ALL;
		flat_wpc(f, &wpc);
		folio = flat_lock(f, 0);
		ck_assert_int_eq(iomap_writeback_folio(&wpc, folio), 0);
		flat_unlock(folio);
		ck_assert_ptr_nonnull(wpc.wb_ctx);
		flat_forget(f);
		ck_assert_int_eq(iomap_writeback_finish(&wpc, i ? -EPROTO : 0), i ? -EPROTO : 0);
		ck_assert_uint_eq(f->nr_submits, 1);
		ck_assert(!f->submits[0].in_wpc);
		ck_assert_int_eq(f->submits[0].error, i ? -EPROTO : 0);
		ck_assert_ptr_null(wpc.wb_ctx);
		/* a second finish has nothing left to submit */
		ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
		ck_assert_uint_eq(f->nr_submits, 1);
		flat_settle(f);
		flat_dirty(f, 0, BLOCK, 'b');
	}
	flat_delete(&f);
}

static int no_folio_is_locked(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx,
			      int error)
{
	/* every folio of the file, whichever the walk is at */
	for (int64_t pos = 0; pos < 6 * BLOCK; pos += BLOCK) {
		struct iomap_folio *folio = iomapi_mapping_find(&f->inode, pos);

		ck_assert(iomap_folio_trylock(folio));
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

CASE(the_hook_runs_without_folio_locks, "H1",
     "No folio is locked in writeback_submit, early or late")
{
	struct flat *f = dirty_blocks(NULL, 6);

	f->wbc.max_ioend_bytes = BLOCK;
	f->submit = no_folio_is_locked;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_submits, 6);
	flat_settle(f);
	flat_delete(&f);
}

/* A client that knows no ioends: its context is a list node and a count. */
struct stream {
	struct iomap_list node;
	struct iomap_folio *folios[4];
	unsigned nr;
};
static struct stream streams[8];
static unsigned nr_streams, nr_streams_sent;

static int64_t stream_range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
			    int64_t pos, uint64_t len, int64_t end_pos)
{
	struct stream *s = wpc->wb_ctx;

	(void)end_pos;
	wpc->iomap = (struct iomap){ .type = IOMAP_MAPPED, .offset = pos, .length = len };
	if (s && s->nr == 4) {
		iomap_writeback_close(wpc);
		ck_assert_ptr_null(wpc->wb_ctx);
		s = NULL;
	}
	if (!s) {
		s = &streams[nr_streams++];
		*s = (struct stream){ .nr = 0 };
		wpc->wb_ctx = s;
	}
	s->folios[s->nr++] = folio;
	return (int64_t)len;
}

static int stream_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct stream *s = wb_ctx;

	ck_assert_ptr_eq(s, &streams[nr_streams_sent]);
	nr_streams_sent++;
	for (unsigned i = 0; i < s->nr; i++)
		iomap_finish_folio_write(wpc->inode, s->folios[i], BLOCK, error);
	return error;
}

CASE(a_context_of_another_kind, "I87 H1", "Contexts that are no ioends go the same way, in order")
{
	struct flat *f = dirty_blocks(NULL, 10);

	nr_streams = nr_streams_sent = 0;
	f->wb_ops.writeback_range = stream_range;
	f->wb_ops.writeback_submit = stream_submit;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(nr_streams, 3);
	ck_assert_uint_eq(nr_streams_sent, 3);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(flat_flags(f, i * BLOCK) &
				  (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	flat_delete(&f);
}

/* ---- when ioends run out ---- */

CASE(more_fragments_than_ioends, "",
     "Every second block dirty, a handful of ioends: all is written, in several visits")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.block_bits = 9, .max_folio = 65536, .env.nr_ioends = 8,
	});
	unsigned nr = 65536 / 512;

	flat_dirty(f, 0, 65536, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	flat_forget(f);
	for (unsigned i = 0; i < nr; i += 2)
		flat_dirty(f, i * 512, 512, 'b');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, nr / 2);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_int_eq(t_mem_data(f->mem)[i * 512], i % 2 ? 'a' : 'b');
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	flat_delete(&f);
}

static int64_t own_extent(struct flat *f, struct iomap_writeback_ctx *wpc,
			  struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	(void)len;
	/* the device is turned around: no two blocks are neighbours */
	wpc->iomap = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = pos, .length = 512,
		.addr = (uint64_t)(65536 - 512 - pos),
	};
	return iomap_add_to_ioend(wpc, folio, pos, 512, end_pos, NULL);
}

CASE(a_run_with_more_extents_than_ioends, "I81",
     "One dirty run cut into many ioends: what could not be offered stays dirty and is written "
     "later")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.block_bits = 9, .max_folio = 65536, .env.nr_ioends = 8, .size = 65536,
	});

	f->range = own_extent;
	flat_dirty(f, 0, 65536, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, 128);
	for (int i = 0; i < 65536; i++)
		ck_assert_int_eq(t_mem_data(f->mem)[i], 'a');
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	flat_delete(&f);
}

/* ---- other threads ---- */

static pthread_barrier_t is_locked;
static unsigned nr_gone;	/* atomic */

static int count_and_send(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)f;
	__atomic_add_fetch(&nr_gone, 1, __ATOMIC_RELEASE);
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

static void *hold_a_lock(void *arg)
{
	struct iomap_folio *folio = flat_lock(arg, 2 * BLOCK);

	pthread_barrier_wait(&is_locked);
	/* whoever waits for us has handed over all it had, or this would never end */
	while (!__atomic_load_n(&nr_gone, __ATOMIC_ACQUIRE))
		;
	flat_unlock(folio);
	return NULL;
}

CASE(kicks_before_it_waits, "H14",
     "Before it blocks on a folio lock, what is pending goes to the hook")
{
	struct flat *f = dirty_blocks(NULL, 4);
	pthread_t other;

	nr_gone = 0;
	f->submit = count_and_send;
	pthread_barrier_init(&is_locked, NULL, 2);
	ck_assert_int_eq(pthread_create(&other, NULL, hold_a_lock, f), 0);
	pthread_barrier_wait(&is_locked);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	pthread_join(other, NULL);
	flat_settle(f);
	ck_assert_uint_eq(nr_dirty(f, 4), 0);
	flat_delete(&f);
}

MAIN()
