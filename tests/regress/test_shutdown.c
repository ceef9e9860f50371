/* SPDX-License-Identifier: MIT */
/*
 * test_shutdown.c - a client declares its volume dead: what fails, what goes on, what is kept.
 */
#include "harness/memdev.h"
#include "model/flat.h"
#include "model/model.h"

#define PAGE	4096
#define FILE_BYTES (16 * PAGE)
#define DEAD	(-ENOTCONN)	/* what no device and no callback of the model says */

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct iomap_file other;
};
static struct iomap_ioend *held;

static struct t_mem *device(void)
{
	return t_mem_find("model");
}

static void start(struct story *s, const struct m_opts *opts)
{
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, opts);
	s->f = m_file_new(s->m);
	ck_assert_int_eq(iomap_file_open(&s->other, &s->f->inode, 0), 0);
	held = NULL;
}

static const struct m_opts promises = {
	.delalloc = true, .unwritten = true, .cow = true, .max_folio = PAGE,
};

/* What is left can be thrown away; that it needs no I/O is seen by the model's balance. */
static void stop(struct story *s)
{
	iomap_file_close(&s->other);
	m_file_free(&s->f);
	ck_assert_int_eq(s->m->nr_allocated, s->m->nr_snapshot);
	m_close(&s->m);
	t_env_stop(&s->t);
}

static struct iomap_cache_stats stats_of(struct story *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats;
}

static unsigned nr_requests(void)
{
	unsigned nr;

	t_mem_log(device(), &nr);
	return nr;
}

static void poll(struct m_model *m)
{
	iomap_ioq_poll(m->ioq, 0, UINT32_MAX, 0);
	iomap_env_run_work(m->env, IOMAP_WORK_IOEND | IOMAP_WORK_DIO, UINT32_MAX);
}

/* Each of the handles hears of it once, and the whole volume; nobody of anything else. */
static void told_once(struct story *s)
{
	ck_assert_int_eq(iomap_file_check_error(&s->f->file), DEAD);
	ck_assert_int_eq(iomap_file_check_error(&s->f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&s->other), DEAD);
	ck_assert_int_eq(iomap_file_check_error(&s->other), 0);
}

/* ---- what fails ---- */

static void all_fail(struct story *s)
{
	struct m_file *f = s->f;
	struct m_extents all = { .max = 0 };
	char buf[16];
	unsigned walks;
	bool did;

	ck_assert_int_eq(m_fill(f, 100, 100, 1), DEAD);
	ck_assert_int_eq(m_fill(f, FILE_BYTES, PAGE, 1), DEAD);
	ck_assert_int_eq(m_zero(f, 10, 2 * PAGE, &did), DEAD);
	ck_assert_int_eq(m_unshare(f, 0, FILE_BYTES), DEAD);
	ck_assert_int_eq(m_truncate(f, 10), DEAD);
	ck_assert_int_eq(m_read(f, 8 * PAGE, buf, 16), DEAD);
	ck_assert_int_eq(m_seek_data(f, 0), DEAD);
	ck_assert_int_eq(m_seek_hole(f, 0), DEAD);
	ck_assert_int_eq(m_fiemap(f, 0, FILE_BYTES, false, &all), DEAD);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_NONE, 0, 0), DEAD);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), DEAD);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&f->inode, 0, IOMAP_MAX_POS), DEAD);
	ck_assert_int_eq(iomap_inode_evict(&f->inode, IOMAP_EVICT_WRITE, NULL), DEAD);
	walks = s->m->nr_writepages;
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(m_sync(f), DEAD);
		ck_assert_int_eq(iomap_file_sync(&s->other, 0, PAGE, true), DEAD);
		ck_assert_int_eq(iomap_volume_sync(s->m->volume), DEAD);
	}
	ck_assert_uint_eq(s->m->nr_writepages, walks);
}

/* The second quarter is cached and clean, the last one dirty, the others are on the device only. */
static void fill_quarters(struct story *s)
{
	char buf[4 * PAGE];

	ck_assert_int_eq(m_fill(s->f, 0, FILE_BYTES, 7), FILE_BYTES);
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	ck_assert_int_eq(m_fill(s->f, 12 * PAGE, 4 * PAGE, 8), 4 * PAGE);
	ck_assert_int_eq(m_read(s->f, 4 * PAGE, buf, 16), 16);
}

CASE(all_that_maps_or_writes_fails, "O12 O14 O15",
     "A dead volume: each call fails with its error, no callback and no request is made for it")
{
	struct iomap_cache_stats before;
	unsigned begins, ranges, commits, requests;
	struct story s;
	char buf[16];

	start(&s, &promises);
	fill_quarters(&s);
	begins = s.m->nr_begin;
	ranges = s.m->nr_ranges;
	commits = s.m->nr_sync_metadata;
	requests = nr_requests();
	before = stats_of(&s);
	ck_assert_int_eq(iomap_volume_error(s.m->volume), 0);
	iomap_volume_shutdown(s.m->volume, DEAD);
	iomap_volume_shutdown(s.m->volume, -EIO);
	ck_assert_int_eq(iomap_volume_error(s.m->volume), DEAD);
	told_once(&s);
	iomap_inode_invalidate_lock(&s.f->inode, 0);
	iomap_mapping_truncate(&s.f->inode, 12 * PAGE + 4 * PAGE);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&s.f->inode, 8 * PAGE, 12 * PAGE), 0);
	iomap_inode_invalidate_unlock(&s.f->inode);
	all_fail(&s);
	ck_assert_uint_eq(s.m->nr_begin, begins);
	ck_assert_uint_eq(s.m->nr_ranges, ranges);
	ck_assert_uint_eq(s.m->nr_sync_metadata, commits);
	ck_assert_uint_eq(nr_requests(), requests);
	ck_assert_int_eq(iomap_file_check_error(&s.f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&s.other), 0);
	/* what is in memory can be read */
	ck_assert_uint_eq(stats_of(&s).dirty, before.dirty);
	ck_assert_int_eq(m_read(s.f, 4 * PAGE, buf, 16), 16);
	ck_assert_int_eq(m_read(s.f, 15 * PAGE, buf, 16), 16);
	stop(&s);
}

CASE(an_older_error_is_told_first, "O18",
     "A failed write before the shutdown is not hidden by it; 0 stands for -EIO")
{
	struct story s;

	start(&s, &promises);
	ck_assert_int_eq(m_fill(s.f, 0, PAGE, 1), PAGE);
	s.m->fail_map = (struct m_fault){ .nth = 1, .error = -ENOSPC };
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&s.other), -ENOSPC);
	iomap_volume_shutdown(s.m->volume, 0);
	ck_assert_int_eq(iomap_volume_error(s.m->volume), -EIO);
	ck_assert_int_eq(iomap_file_check_error(&s.other), -EIO);
	ck_assert_int_eq(iomap_file_check_error(&s.other), 0);
	stop(&s);
}

/* ---- what was on its way ---- */

static int keep(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)f;
	ck_assert_int_eq(error, 0);
	held = iomap_ioend_take(wpc, wb_ctx);
	held->bio.end_io = m_end_io;
	return 0;
}

/* In memory, and nowhere else: nothing was converted, reclaim finds nothing to drop. */
static void is_kept(struct story *s)
{
	struct iomap_cache_stats stats;

	ck_assert_uint_eq(s->m->nr_converts, 0);
	iomap_cache_reclaim(s->m->cache, UINT64_MAX);
	stats = stats_of(s);
	ck_assert_uint_eq(stats.writeback, 0);
	ck_assert_uint_eq(stats.failed + stats.dirty, FILE_BYTES);
	ck_assert(m_content_ok(s->f));
}

CASE(held_ioends_end_with_the_error, "H8 O12 O21",
     "One that a client holds over the shutdown never reaches the device; no handle hears twice")
{
	struct story s;

	start(&s, &promises);
	s.m->hook_submit = keep;
	ck_assert_int_eq(m_fill(s.f, 0, FILE_BYTES, 1), FILE_BYTES);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), 0);
	ck_assert_ptr_nonnull(held);
	iomap_volume_shutdown(s.m->volume, DEAD);
	told_once(&s);
	ck_assert_int_eq(iomap_inode_wait_wb(&s.f->inode, UINT64_MAX, 0), -ETIMEDOUT);
	iomap_ioend_submit(held, 0);
	ck_assert_int_eq(iomap_inode_wait_wb(&s.f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(nr_requests(), 0);
	ck_assert_uint_eq(s.m->nr_finished, 1);
	ck_assert_uint_eq(stats_of(&s).failed, FILE_BYTES);
	is_kept(&s);
	ck_assert_int_eq(iomap_file_check_error(&s.f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&s.other), 0);
	stop(&s);
}

CASE(what_the_device_has_is_not_clean, "H8 O11",
     "A write that succeeds after the shutdown can be noted by nobody: its pages are failed")
{
	struct story s;

	start(&s, &promises);
	ck_assert_int_eq(m_fill(s.f, 0, FILE_BYTES, 1), FILE_BYTES);
	t_mem_hold(device(), true);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), 0);
	poll(s.m);
	ck_assert_uint_gt(t_mem_nr_held(device()), 0);
	iomap_volume_shutdown(s.m->volume, DEAD);
	t_mem_hold(device(), false);
	t_mem_release_all(device());
	ck_assert_int_eq(iomap_inode_wait_wb(&s.f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(stats_of(&s).failed, FILE_BYTES);
	is_kept(&s);
	told_once(&s);
	stop(&s);
}

/* ---- from inside ---- */

static int64_t die_at_third(struct m_file *f, int64_t pos, uint64_t len, int64_t result)
{
	(void)pos;
	(void)len;
	if (f->m->nr_ranges == 3)
		iomap_volume_shutdown(f->m->volume, DEAD);
	return result;
}

CASE(declared_in_the_middle_of_a_walk, "H1 O11",
     "From writeback_range: what is queued reaches the hook with the error, no folio is clean")
{
	struct story s;
	unsigned at;

	start(&s, &promises);
	ck_assert_int_eq(m_fill(s.f, 0, FILE_BYTES, 1), FILE_BYTES);
	m_log_start(s.m);
	s.m->hook_range = die_at_third;
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), DEAD);
	at = m_log_find(s.m, M_SUBMIT, 0);
	ck_assert_uint_ne(at, M_MAX_LOG);
	ck_assert_int_eq(s.m->log[at].arg, DEAD);
	ck_assert_uint_eq(m_log_find(s.m, M_SUBMIT, at + 1), M_MAX_LOG);
	ck_assert_int_eq(iomap_inode_wait_wb(&s.f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(nr_requests(), 0);
	is_kept(&s);
	told_once(&s);
	stop(&s);
}

static void die_at_end(struct iomap_bio *bio)
{
	struct m_file *f = M_FILE(iomap_ioend_from_bio(bio)->inode);

	iomap_volume_shutdown(f->m->volume, DEAD);
	m_end_io(bio);
}

static int end_in_death(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = wb_ctx;

	(void)f;
	ioend->bio.end_io = die_at_end;
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

CASE(declared_in_end_io, "O31",
     "From a callback of a completion, where no lock is free but leaf locks; the sync says why")
{
	struct story s;

	start(&s, &promises);
	s.m->hook_submit = end_in_death;
	ck_assert_int_eq(m_fill(s.f, 0, FILE_BYTES, 1), FILE_BYTES);
	t_mem_fail(device(), IOMAP_BIO_WRITE, 1, 1, -EREMOTEIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(s.f), DEAD);
	ck_assert_int_eq(iomap_file_check_error(&s.f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&s.other), DEAD);
	ck_assert_int_eq(iomap_file_check_error(&s.other), 0);
	ck_assert_uint_eq(stats_of(&s).failed + stats_of(&s).dirty, FILE_BYTES);
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(s.m->nr_sync_metadata, 0);
	stop(&s);
}

static int sync_and_die(struct iomap_inode *inode, int64_t from, int64_t end, bool datasync,
			bool *flushed)
{
	(void)from;
	(void)end;
	(void)datasync;
	(void)flushed;
	iomap_volume_shutdown(inode->volume, DEAD);
	return -EIO;
}

CASE(declared_by_the_log, "O12",
     "A client whose log is gone says so in sync_metadata: that sync has its error, and each other")
{
	struct story s;

	start(&s, &promises);
	s.m->inode_ops.sync_metadata = sync_and_die;
	ck_assert_int_eq(m_fill(s.f, 0, FILE_BYTES, 1), FILE_BYTES);
	ck_assert_int_eq(m_sync(s.f), DEAD);
	ck_assert_int_eq(iomap_file_check_error(&s.f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&s.other), DEAD);
	ck_assert_int_eq(iomap_volume_sync(s.m->volume), DEAD);
	stop(&s);
}

/* ---- frames ---- */

static unsigned nr_told(const struct flat *f, unsigned i, int error)
{
	unsigned n = 0;

	for (unsigned k = 0; k < f->nr_written; k++)
		if (f->written[k].folio == &f->frames[i]) {
			ck_assert_int_eq(f->written[k].error, error);
			n++;
		}
	return n;
}

/* Frames 0 and 1 are with the client, 2 and 3 with the device, 4 and 5 not yet sent. */
static void spread_frames(struct flat *f, struct iomap_writeback_ctx *wpc)
{
	flat_wpc(f, wpc);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(wpc, 2), 0);
		ck_assert_int_eq(flat_frame(f, wpc, i), 0);
		if (i % 2 == 0)
			continue;
		f->take = i == 1;
		t_mem_hold(f->mem, true);
		if (i < 5)
			ck_assert_int_eq(iomap_writeback_kick(wpc), 0);
	}
	flat_poll(f);
	ck_assert_uint_eq(f->nr_held, 1);
	ck_assert_uint_eq(t_mem_nr_held(f->mem), 1);
	f->take = false;
}

static void frames_die(unsigned flags)
{
	struct flat *f = flat_new(&(struct flat_opts){
		.frames = 8, .in_volume = true, .no_complete = true, .trace = true,
	});
	struct iomap_writeback_ctx wpc;
	struct iomap_file other;

	f->wbc.flags = flags;
	ck_assert_int_eq(iomap_file_open(&other, &f->inode, 0), 0);
	spread_frames(f, &wpc);
	iomap_volume_shutdown(f->volume, DEAD);
	ck_assert_int_eq(flat_frame(f, &wpc, 6), DEAD);
	ck_assert_uint_eq(iomap_folio_flags(&f->frames[6]) & IOMAP_FOLIO_WRITEBACK, 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), DEAD);
	flat_submit_held(f, 0);
	flat_settle(f);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_msg(nr_told(f, i, DEAD) == 1, "frame %u", i);
	ck_assert_uint_eq(f->nr_written, 6);
	ck_assert_int_eq(iomap_file_check_error(&f->file), DEAD);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&other), DEAD);
	ck_assert_int_eq(iomap_file_check_error(&other), 0);
	ck_assert_int_eq(flat_sync(f), DEAD);
	iomap_file_close(&other);
	flat_delete(&f);
}

CASE(frames_of_a_dead_volume, "H12 O11 O12 O21",
     "Held, in flight, not yet sent: each frame is told once, with the error; a new one is refused")
{
	frames_die(0);
	frames_die(IOMAP_WB_ISOLATE);
}

MAIN()
