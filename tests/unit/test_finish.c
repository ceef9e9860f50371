/* SPDX-License-Identifier: MIT */
/*
 * From the end of a request to the end of writeback: who is told, in what order, with which error.
 */
#include "model/flat.h"
#include "unit/one_thread.h"

#define BLOCK 4096

/* n folios, each an ioend of its own in one submission order. */
static struct flat *one_each(unsigned n, bool hold)
{
	struct flat *f = flat_new(NULL);

	f->wbc.max_ioend_bytes = BLOCK;
	for (unsigned i = 0; i < n; i++)
		flat_dirty(f, (int64_t)i * BLOCK, BLOCK, (int)('a' + i % 26));
	t_mem_hold(f->mem, hold);
	return f;
}

static bool any_flag(struct flat *f, unsigned n, uint32_t flag)
{
	for (unsigned i = 0; i < n; i++)
		if (flat_flags(f, (int64_t)i * BLOCK) & flag)
			return true;
	return false;
}

static void defer(struct iomap_bio *bio)
{
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);

	FLAT(ioend->inode)->nr_ended++;
	iomap_ioend_defer(ioend);
}

/* ---- errors ---- */

CASE(a_good_ioend_ends_where_it_is_reaped, "", "No error, no hook: clean without deferred work")
{
	struct flat *f = one_each(4, false);

	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	while (iomap_ioq_poll(f->ioq, 0, 64, 0) > 0)
		;
	ck_assert(!any_flag(f, 4, IOMAP_FOLIO_WRITEBACK));
	ck_assert_uint_eq(f->nr_completes, 0);
	flat_delete(&f);
}

CASE(a_failed_one_is_deferred, "I104",
     "An error is not completed in the reaper but in deferred work")
{
	struct flat *f = one_each(1, false);

	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	while (iomap_ioq_poll(f->ioq, 0, 64, 0) > 0)
		;
	ck_assert(any_flag(f, 1, IOMAP_FOLIO_WRITEBACK));
	ck_assert_uint_eq(f->nr_completes, 0);
	ck_assert_int_eq(iomap_env_run_work(f->t.env, IOMAP_WORK_IOEND, 1), 1);
	ck_assert_uint_eq(f->nr_completed, 1);
	ck_assert(!any_flag(f, 1, IOMAP_FOLIO_WRITEBACK));
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
	flat_delete(&f);
}

static void finish_in_end_io(struct iomap_bio *bio)
{
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);

	FLAT(ioend->inode)->nr_ended++;
	iomap_finish_ioends(ioend, bio->status);
}

CASE(finishing_a_failed_one_in_end_io, "I104",
     "Even then it waits for deferred work, and ends once")
{
	struct flat *f = one_each(1, false);

	f->end_io = finish_in_end_io;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	while (iomap_ioq_poll(f->ioq, 0, 64, 0) > 0)
		;
	ck_assert_uint_eq(f->nr_ended, 1);
	ck_assert(any_flag(f, 1, IOMAP_FOLIO_WRITEBACK));
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ended, 1);
	ck_assert_uint_eq(f->nr_completed, 1);
	flat_delete(&f);
}

CASE(without_complete_ioends, "I104", "A client without complete_ioends has it done for it")
{
	struct flat *f = flat_new(&(struct flat_opts){ .no_complete = true });

	flat_dirty(f, 0, BLOCK, 'a');
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_int_eq(flat_sync(f), 0);
	flat_delete(&f);
}

static void ignore_the_error(struct flat *f, struct iomap_list *ioends)
{
	struct iomap_list *l;

	(void)f;
	while ((l = iomap_list_pop(ioends)))
		iomap_finish_ioends(iomap_container_of(l, struct iomap_ioend, list), 0);
}

CASE(an_error_cannot_be_lost, "H6 R36",
     "A client that finishes a failed ioend with 0 does not heal it")
{
	struct flat *f = one_each(1, false);

	f->complete = ignore_the_error;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert(any_flag(f, 1, IOMAP_FOLIO_FAILED));
	flat_delete(&f);
}

static void another_error(struct flat *f, struct iomap_list *ioends)
{
	struct iomap_list *l;

	(void)f;
	while ((l = iomap_list_pop(ioends)))
		iomap_finish_ioends(iomap_container_of(l, struct iomap_ioend, list), -ENOSPC);
}

CASE(the_first_error_is_kept, "H6",
     "The device's error came first: the client's does not replace it")
{
	struct flat *f = one_each(1, false);

	f->complete = another_error;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_sync(f), -EIO);
	flat_delete(&f);
}

CASE(a_failed_conversion_is_a_failed_write, "I106",
     "The client's error is the ioend's: reported, not swallowed")
{
	struct flat *f = one_each(1, false);

	f->end_io = defer;
	f->complete = another_error;
	ck_assert_int_eq(flat_sync(f), -ENOSPC);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert(any_flag(f, 1, IOMAP_FOLIO_FAILED));
	flat_delete(&f);
}

/* ---- order ---- */

struct at_work {
	bool under_writeback, sync_returned, seen;
	int64_t size_at_finish;
};

static void look_first(struct flat *f, struct iomap_list *ioends)
{
	struct at_work *a = f->arg;
	struct iomap_list *l;

	a->seen = true;
	a->under_writeback = flat_flags(f, 0) & IOMAP_FOLIO_WRITEBACK;
	a->sync_returned = iomap_inode_wait_wb(&f->inode, UINT64_MAX, 0) == 0;
	while ((l = iomap_list_pop(ioends)))
		iomap_finish_ioends(iomap_container_of(l, struct iomap_ioend, list), 0);
}

CASE(conversion_comes_before_the_end, "I105",
     "While the client converts, the folio is under writeback and no sync has passed")
{
	struct flat *f = one_each(1, false);
	struct at_work a = { 0 };

	f->end_io = defer;
	f->complete = look_first;
	f->arg = &a;
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert(a.seen && a.under_writeback && !a.sync_returned);
	ck_assert(!any_flag(f, 1, IOMAP_FOLIO_WRITEBACK));
	flat_delete(&f);
}

static int64_t disk_size;

/* A client whose size on disk decides whether the completion needs a transaction. */
static void ask_again(struct iomap_bio *bio)
{
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);

	FLAT(ioend->inode)->nr_ended++;
	if (ioend->offset + (int64_t)ioend->size > disk_size)
		iomap_ioend_defer(ioend);
	else
		iomap_finish_ioends(ioend, 0);
}

CASE(asked_again_at_completion, "I107",
     "The hook's end_io decides at completion, with what is true then")
{
	struct flat *f = one_each(2, true);

	disk_size = 0;
	f->end_io = ask_again;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_poll(f);
	t_mem_release(f->mem, 0);
	while (iomap_ioq_poll(f->ioq, 0, 64, 0) > 0)
		;
	disk_size = 2 * BLOCK;		/* meanwhile */
	t_mem_release(f->mem, 0);
	while (iomap_ioq_poll(f->ioq, 0, 64, 0) > 0)
		;
	ck_assert_uint_eq(f->nr_ended, 2);
	ck_assert(flat_flags(f, 0) & IOMAP_FOLIO_WRITEBACK);
	ck_assert(!(flat_flags(f, BLOCK) & IOMAP_FOLIO_WRITEBACK));
	flat_settle(f);
	ck_assert_uint_eq(f->nr_completed, 1);
	flat_delete(&f);
}

/* ---- merged ---- */

static void merge_and_fail(struct flat *f, struct iomap_list *ioends)
{
	struct iomap_list *l;

	iomap_sort_ioends(ioends);
	while ((l = iomap_list_pop(ioends))) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		iomap_ioend_try_merge(ioend, ioends);
		f->nr_completed++;
		iomap_finish_ioends(ioend, f->arg ? -ENOSPC : 0);
	}
}

CASE(merged_ones_end_with_the_first, "I101",
     "Children are finished with the parent's error, all folios")
{
	struct flat *f = one_each(6, true);

	f->end_io = defer;
	f->complete = merge_and_fail;
	f->arg = f;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_poll(f);
	ck_assert_uint_eq(f->nr_submits, 6);
	while (t_mem_nr_held(f->mem))
		t_mem_release(f->mem, t_mem_nr_held(f->mem) - 1);
	flat_poll(f);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_completed, 1);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(flat_flags(f, i * BLOCK) &
				  (IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_FAILED),
				  IOMAP_FOLIO_FAILED);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

CASE(the_backlog_comes_merged, "I100 I101",
     "Out of order on the device, in order for the client, all clean")
{
	struct flat *f = one_each(12, true);

	f->end_io = defer;
	f->complete = merge_and_fail;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_poll(f);
	while (t_mem_nr_held(f->mem))
		t_mem_release(f->mem, t_mem_nr_held(f->mem) / 2);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_completed, 1);
	ck_assert(!any_flag(f, 12, IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_FAILED));
	flat_delete(&f);
}

/* ---- the client's word ---- */

static void fail_in_end_io(struct iomap_bio *bio)
{
	iomap_finish_ioends(iomap_ioend_from_bio(bio), -ENOSPC);
}

/* Eight frames in two ioends, each sent as two requests; the device refuses one request of each. */
static struct flat *frames_in_pieces(bool complete)
{
	struct flat *f = flat_new(&(struct flat_opts){
		.dev = "mem:flat,size=64m,max=8192", .frames = 8, .no_complete = !complete,
	});
	struct iomap_writeback_ctx wpc;

	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 3 * BLOCK);
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 4 * BLOCK);
	t_mem_hold(f->mem, true);
	f->wbc.max_ioend_bytes = 4 * BLOCK;
	f->end_io = complete ? defer : fail_in_end_io;
	f->complete = merge_and_fail;
	f->arg = f;
	flat_wpc(f, &wpc);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	}
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	iomap_ioq_poll(f->ioq, 0, 64, 0);
	ck_assert_uint_eq(t_mem_nr_held(f->mem), 4);
	t_mem_release_all(f->mem);
	while (iomap_ioq_poll(f->ioq, 0, 64, 0) > 0)
		;
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->nr_written, 8);
	return f;
}

static void all_told(struct flat *f)
{
	for (unsigned i = 0; i < 8; i++)	/* the device's error came first (H6) */
		ck_assert_msg(flat_written_of(f, i)->error == -EIO, "frame %u: %d", i,
			      flat_written_of(f, i)->error);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
}

CASE(the_clients_error_is_of_all_ranges, "I106 H12",
     "The device failed one piece, the client the ioend: every frame is told that it failed")
{
	struct flat *f = frames_in_pieces(false);

	all_told(f);
	flat_delete(&f);
}

CASE(the_clients_error_of_merged_ones, "I101 I106",
     "The same for ioends that were merged: good pieces of each are told the error")
{
	struct flat *f = frames_in_pieces(true);

	ck_assert_uint_eq(f->nr_completed, 1);
	all_told(f);
	flat_delete(&f);
}

/* ---- whose error ---- */

/* Its last range over, the frame goes to another file at once; the error must not follow it. */
static struct iomap_inode stranger;

static void move_frame(struct flat *f, struct iomap_folio *folio, int error)
{
	ck_assert_int_eq(error, -EIO);
	/* the error is on the file already when the frame is let go */
	if (f->nr_written == 1)
		ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
	iomap_folio_init(folio, &stranger, 0, f->frame_mem, BLOCK, NULL);
}

CASE(the_error_stays_with_its_file, "I86 R11",
     "The inode has the error before a folio is let go; the folio's next owner never does")
{
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 3, .no_complete = true });
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &f->inode_ops, .env = f->t.env,
		.flags = IOMAP_INODE_FRAMES, .block_bits = 12, .bdev = f->bdev,
	};
	struct iomap_writeback_ctx wpc;
	struct iomap_file other;

	ck_assert_int_eq(iomap_inode_init(&stranger, &opts), 0);
	ck_assert_int_eq(iomap_file_open(&other, &stranger, 0), 0);
	f->on_written = move_frame;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	flat_wpc(f, &wpc);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	}
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_written, 3);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&other), 0);
	iomap_file_close(&other);
	iomap_inode_fini(&stranger);
	flat_delete(&f);
}

/* ---- unsent ---- */

CASE(an_error_from_the_hook, "I87", "A hook that ends what it was given: from the next poll, once")
{
	struct flat *f = one_each(1, false);
	unsigned nr;

	f->take = true;
	f->end_io = defer;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_submit_held(f, -EPROTO);
	ck_assert_uint_eq(f->nr_ended, 0);
	ck_assert(any_flag(f, 1, IOMAP_FOLIO_WRITEBACK));
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ended, 1);
	ck_assert_uint_eq(f->nr_completed, 1);
	t_mem_log(f->mem, &nr);
	ck_assert_uint_eq(nr, 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EPROTO);
	flat_delete(&f);
}

/* ---- yields ---- */

static uint64_t since_yield, most, nr_yields;

static void count_yield(void *arg, const char *site)
{
	(void)arg, (void)site;
	nr_yields++;
	since_yield = 0;
}

static const struct iomap_sync_ops counting_sync = {
	.struct_size = sizeof(counting_sync), .wait = no_wait, .wake = no_wake,
	.self = only_self, .spawn = no_spawn, .join = no_join, .yield = count_yield,
};

static void count_written(struct flat *f, struct iomap_folio *folio, int error)
{
	(void)f, (void)folio;
	ck_assert_int_eq(error, 0);
	since_yield++;
	most = since_yield > most ? since_yield : most;
}

/* 80,000 frames of 512 bytes, contiguous; deferred: completed as one merged list. */
static void write_many(bool deferred)
{
	enum { NR = 80000 };
	struct flat *f = flat_new(&(struct flat_opts){
		.dev = "null:", .frames = NR, .frame_size = 512, .block_bits = 9,
		.no_complete = !deferred,
		.env = { .nr_ioends = 64, .nr_segs = 4096, .sync = &counting_sync },
	});
	struct iomap_writeback_ctx wpc;

	since_yield = most = nr_yields = 0;
	f->on_written = count_written;
	f->complete = merge_and_fail;
	if (deferred)
		f->end_io = defer;
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 60), 0);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_ge(f->nr_submits, NR / 4096);
	for (unsigned i = 0; i < f->nr_submits; i++)
		ck_assert_uint_le(f->submits[i].nr_folios, 4096);
	since_yield = most = nr_yields = 0;
	flat_settle(f);
	ck_assert_uint_eq(f->nr_written, NR);
	if (deferred)
		ck_assert_uint_eq(f->nr_completed, 1);
	ck_assert_uint_le(most, 8 * 4096);
	ck_assert_uint_ge(nr_yields, 1);
	ck_assert_uint_le(nr_yields, NR / 4096);
	flat_delete(&f);
}

CASE(completion_yields_between_batches, "R13 I98",
     "A merged list of many folios: at most 8 * 4096 between two yields")
{
	write_many(true);
}

CASE(inline_completion_yields_too, "R13 I98",
     "Many ioends reaped in one go: at most 8 * 4096 folios between two yields")
{
	write_many(false);
}

MAIN()
