/* SPDX-License-Identifier: MIT */
/*
 * Frames need ioends: reserved, waited for, held by the client, ended when the inode is killed.
 */
#include "unit/frame_fixture.h"

CASE(nothing_reserved, "H14", "Without a reserved ioend a frame is -EAGAIN and untouched")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	flat_wpc(f, &wpc);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), -EAGAIN);
	ck_assert_uint_eq(f->nr_ranges, 0);
	ck_assert_uint_eq(iomap_folio_flags(&f->frames[0]) & IOMAP_FOLIO_DIRTY, IOMAP_FOLIO_DIRTY);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(iomap_writeback_folio(&wpc, &f->frames[0]), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	written_once(f, 0, 0);
	flat_delete(&f);
}

CASE(more_than_there_are, "", "To reserve more ioends than the environment has is -EINVAL")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 65), -EINVAL);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 64), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_delete(&f);
}

static struct flat *few_ioends(unsigned n)
{
	return flat_new(&(struct flat_opts){
		.frames = n, .frame_size = FRAME, .no_complete = true, .env.nr_ioends = 8,
	});
}

CASE(reserve_waits_for_what_was_sent, "H14",
     "With every ioend on its way reserve submits what is pending and waits")
{
	struct flat *f = few_ioends(64);
	struct iomap_writeback_ctx wpc;

	f->wbc.max_ioend_bytes = FRAME;
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 64);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, 64);
	for (unsigned i = 0; i < 64; i++)
		written_once(f, i, 0);
	flat_delete(&f);
}

CASE(reserve_does_not_wait_for_the_held, "H14",
     "When all that is outstanding is held, reserve says -EAGAIN at once")
{
	struct flat *f = few_ioends(9);
	struct iomap_writeback_ctx wpc;

	f->take = true;
	f->wbc.max_ioend_bytes = FRAME;
	flat_wpc(f, &wpc);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	}
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), -EAGAIN);
	ck_assert_uint_eq(f->nr_held, 8);
	/* the holder lets one go: then it is worth waiting again */
	flat_submit_held(f, 0);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 8), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	while (f->nr_held)
		flat_submit_held(f, 0);
	flat_settle(f);
	for (unsigned i = 0; i < 9; i++)
		written_once(f, i, 0);
	flat_delete(&f);
}

CASE(two_contexts_of_one_thread, "H14",
     "What another context of the same thread keeps does not make reserve wait for ever")
{
	struct flat *f = few_ioends(2);
	struct iomap_writeback_ctx first, second;

	flat_wpc(f, &first);
	flat_wpc(f, &second);
	ck_assert_int_eq(iomap_writeback_reserve(&first, 8), 0);
	ck_assert_int_eq(iomap_writeback_reserve(&second, 1), -EAGAIN);
	ck_assert_int_eq(iomap_writeback_finish(&first, 0), 0);
	ck_assert_int_eq(iomap_writeback_reserve(&second, 8), 0);
	ck_assert_int_eq(iomap_writeback_finish(&second, 0), 0);
	flat_delete(&f);
}

CASE(nowait, "H14", "NOWAIT: -EAGAIN instead of waiting")
{
	struct flat *f = few_ioends(9);
	struct iomap_writeback_ctx wpc;

	t_mem_hold(f->mem, true);
	f->wbc.max_ioend_bytes = FRAME;
	f->wbc.flags = IOMAP_WB_NOWAIT;
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 7);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 2), -EAGAIN);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	flat_delete(&f);
}

CASE(kick_sends_and_keeps_the_reserve, "",
     "kick submits what is pending; what was reserved stays reserved")
{
	struct flat *f = frames(2);
	struct iomap_writeback_ctx wpc;

	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 2), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), 0);
	ck_assert_int_eq(iomap_writeback_kick(&wpc), 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_int_eq(flat_frame(f, &wpc, 1), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	flat_settle(f);
	flat_delete(&f);
}

/* ---- killed ---- */

CASE(a_killed_inode_takes_no_frames, "H13", "-ESTALE, nothing queued, no callback")
{
	struct flat *f = frames(2);
	struct iomap_writeback_ctx wpc;

	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 2), 0);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), -ESTALE);
	ck_assert_uint_eq(f->nr_ranges, 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(f->nr_written, 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

CASE(held_ioends_end_with_their_holder, "H13",
     "kill waits for a held ioend; its submit ends it with -ECANCELED, unsent")
{
	struct flat *f = frames(2);
	struct iomap_writeback_ctx wpc;
	unsigned nr;

	f->take = true;
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 2);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), -ETIMEDOUT);
	ck_assert_uint_eq(f->nr_written, 0);
	flat_submit_held(f, 0);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, IOMAP_FOREVER), 0);
	written_once(f, 0, -ECANCELED);
	written_once(f, 1, -ECANCELED);
	t_mem_log(f->mem, &nr);
	ck_assert_uint_eq(nr, 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

static int told_canceled(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)f;
	ck_assert_int_eq(error, -ECANCELED);
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

CASE(pending_ones_too, "H13 I83",
     "What is pending when the inode is killed goes to the hook, and ends, with -ECANCELED")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 1);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), -ETIMEDOUT);
	f->submit = told_canceled;
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), -ECANCELED);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, IOMAP_FOREVER), 0);
	written_once(f, 0, -ECANCELED);
	flat_delete(&f);
}

/* The first is cut: its rest goes out, its front stays with the client.  All others are held. */
static struct iomap_ioend *held_front;
static int keep_the_front(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx);

	ck_assert_int_eq(error, 0);
	if (held_front) {
		iomap_list_add_tail(&f->held, &ioend->list);
		f->nr_held++;
		return 0;
	}
	ck_assert_int_eq(iomap_split_ioend(ioend, 4096, false, &held_front), 0);
	iomap_ioend_submit(ioend, 0);
	return 0;
}

CASE(a_held_front_holds_the_whole, "H14",
     "An ioend whose rest is over and whose front is held does not come back by waiting")
{
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 64, .env.nr_ioends = 8 });
	struct iomap_writeback_ctx wpc;
	int rc;

	held_front = NULL;
	f->submit = keep_the_front;
	flat_wpc(f, &wpc);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	}
	ck_assert_int_eq(iomap_writeback_kick(&wpc), 0);
	flat_poll(f);
	for (unsigned i = 2; !(rc = iomap_writeback_reserve(&wpc, 1)); i += 2) {
		ck_assert_uint_lt(i, 64);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
		ck_assert_int_eq(iomap_writeback_kick(&wpc), 0);
	}
	ck_assert_int_eq(rc, -EAGAIN);
	iomap_ioend_submit(held_front, 0);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);	/* now it is worth a wait */
	while (f->nr_held)
		flat_submit_held(f, 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	written_once(f, 0, 0);
	flat_delete(&f);
}

MAIN()
