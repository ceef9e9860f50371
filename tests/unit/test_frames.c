/* SPDX-License-Identifier: MIT */
/*
 * A client's own frames: handed over, written as they are, told once.
 */
#include <iomap/trace.h>

#include "cache/cache.h"
#include "unit/frame_fixture.h"

/* ---- the way out ---- */

CASE(neighbours_go_as_one, "H12",
     "Adjacent frames are one ioend and one request; each is told once")
{
	struct flat *f = frames(8);
	struct iomap_writeback_ctx wpc;

	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 8);
	ck_assert_uint_eq(f->nr_submits, 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_uint_eq(f->submits[0].nr_folios, 8);
	flat_settle(f);
	for (unsigned i = 0; i < 8; i++) {
		written_once(f, i, 0);
		ck_assert_int_eq(t_mem_data(f->mem)[i * FRAME], 'a' + (int)i);
		ck_assert_uint_eq(iomap_folio_flags(&f->frames[i]) &
				  (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
		iomap_folio_fini(&f->frames[i]);
	}
	flat_delete(&f);
}

static void count_end(struct iomap_bio *bio)
{
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);

	FLAT(ioend->inode)->nr_ended++;
	iomap_finish_ioends(ioend, 0);
}

CASE(told_after_end_io, "H12", "folio_written comes after the ioend's end_io")
{
	struct flat *f = frames(3);
	struct iomap_writeback_ctx wpc;

	f->end_io = count_end;
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 3);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_written, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(f->written[i].after_end_io, 1);
	flat_delete(&f);
}

/* The client may do what it likes with the folio as soon as it is told. */
static void poison(struct flat *f, struct iomap_folio *folio, int error)
{
	(void)f, (void)error;
	memset(folio, 0xa5, sizeof(*folio));
}

CASE(told_is_the_last_touch, "H12", "After folio_written the library does not look at the folio")
{
	struct flat *f = frames(40);
	struct iomap_writeback_ctx wpc;

	f->on_written = poison;
	flat_wpc(f, &wpc);
	f->wbc.max_ioend_bytes = 3 * 4096;	/* each frame in two ioends */
	hand_over(f, &wpc, 0, 40);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_written, 40);
	for (unsigned i = 0; i < 40; i++) {
		const unsigned char *p = (const void *)&f->frames[i];

		for (unsigned k = 0; k < sizeof(struct iomap_folio); k++)
			ck_assert_uint_eq(p[k], 0xa5);
	}
	flat_delete(&f);
}

static unsigned nr_told;

static void told_and_gone(struct iomap_folio *folio, int error)
{
	struct iomap_inode *inode = folio->inode;

	nr_told++;
	ck_assert_int_eq(error, 0);
	iomap_folio_fini(folio);
	iomap_inode_fini(inode);
	memset(inode, 0xff, sizeof(*inode));
}

CASE(the_inode_may_go_when_told, "H12",
     "Whose own context ends the last frame has folio_written to know that the file may go")
{
	const struct iomap_inode_ops ops = {
		.struct_size = sizeof(ops), .folio_written = told_and_gone,
	};
	struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &ops, .flags = IOMAP_INODE_FRAMES,
		.block_bits = 12,
	};
	static char mem[FRAME];
	struct iomap_inode inode;
	struct iomap_folio frame;
	struct t_env t;

	t_env_start(&t, NULL);
	opts.env = t.env;
	ck_assert_int_eq(iomap_inode_init(&inode, &opts), 0);
	iomap_folio_init(&frame, &inode, 0, mem, FRAME, NULL);
	iomap_folio_mark_dirty(&frame, 0, FRAME);
	iomapi_frame_start_writeback(&frame);
	iomapi_folio_clear_dirty(&frame, 0, FRAME);
	iomap_finish_folio_write(&inode, &frame, FRAME, 0);
	ck_assert_uint_eq(nr_told, 1);
	t_env_stop(&t);
}

CASE(no_end_of_file, "H12 I76 I77 I78",
     "Frames beyond the inode's size are written whole, and their memory is not touched")
{
	struct flat *f = frames(4);
	struct iomap_writeback_ctx wpc;

	iomap_inode_set_size(&f->inode, FRAME + 100);
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 4);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 4);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(f->ranges[i].end_pos, IOMAP_MAX_POS);
		ck_assert_uint_eq(f->ranges[i].len, FRAME);
		for (int k = 0; k < FRAME; k++) {
			ck_assert_int_eq(f->frame_mem[i * FRAME + (unsigned)k], 'a' + (int)i);
			ck_assert_int_eq(t_mem_data(f->mem)[i * FRAME + (unsigned)k], 'a' + (int)i);
		}
		written_once(f, i, 0);
	}
	flat_delete(&f);
}

static void hole(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)f;
	*map = (struct iomap){
		.type = IOMAP_HOLE, .addr = IOMAP_NULL_ADDR, .offset = pos, .length = len,
	};
}

CASE(a_frame_has_a_place, "H12", "HOLE is -EIO: nothing queued, no callback, the frame as it was")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	f->map = hole;
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), -EIO);
	ck_assert_str_eq(f->t.last_rule, "V8");
	ck_assert_uint_eq(iomap_folio_flags(&f->frames[0]) &
			  (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), IOMAP_FOLIO_DIRTY);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(f->nr_submits, 0);
	ck_assert_uint_eq(f->nr_written, 0);
	flat_delete(&f);
}

static int64_t claim_hole(struct flat *f, struct iomap_writeback_ctx *wpc,
			  struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	(void)folio, (void)end_pos;
	hole(f, pos, len, &wpc->iomap);
	return (int64_t)len;
}

CASE(a_hole_without_ioends, "H12", "A client with a context of its own cannot skip a frame either")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	f->range = claim_hole;
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), -EIO);
	ck_assert_str_eq(f->t.last_rule, "H12");
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(f->nr_written, 0);
	flat_delete(&f);
}

static int64_t second_block_fails(struct flat *f, struct iomap_writeback_ctx *wpc,
				  struct iomap_folio *folio, int64_t pos, uint64_t len,
				  int64_t end_pos)
{
	if (pos % FRAME)
		return -ENOSPC;
	return flat_range_default(f, wpc, folio, pos, len > 4096 ? 4096 : len, end_pos);
}

CASE(partly_queued_is_queued, "H12 I82",
     "Some of it queued: 0, and the error comes once through folio_written")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	f->range = second_block_fails;
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), 0);
	ck_assert_uint_eq(f->nr_written, 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_int_eq(f->submits[0].error, 0);
	flat_settle(f);
	written_once(f, 0, -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

CASE(one_frame_in_two_places, "H12",
     "A frame that spans two extents is told once, when both are written")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	f->wbc.max_ioend_bytes = 8192;
	t_mem_hold(f->mem, true);
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 2), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	flat_poll(f);
	t_mem_release(f->mem, 1);
	flat_poll(f);
	ck_assert_uint_eq(f->nr_written, 0);
	ck_assert_uint_ne(iomap_folio_flags(&f->frames[0]) & IOMAP_FOLIO_WRITEBACK, 0);
	t_mem_release(f->mem, 0);
	flat_poll(f);
	written_once(f, 0, 0);
	flat_delete(&f);
}

CASE(dirty_again_in_flight, "I81 H12", "A mark made after the range was taken survives completion")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	t_mem_hold(f->mem, true);
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 1);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(iomap_folio_flags(&f->frames[0]) & IOMAP_FOLIO_DIRTY, 0);
	iomap_folio_mark_dirty(&f->frames[0], 0, FRAME);
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(iomap_writeback_folio(&wpc, &f->frames[0]), -EBUSY);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(iomap_folio_flags(&f->frames[0]) &
			  (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), IOMAP_FOLIO_DIRTY);
	flat_delete(&f);
}

static int64_t send_copy(struct flat *f, struct iomap_writeback_ctx *wpc,
			 struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	if (!wpc->iomap.length)
		wpc->iomap = (struct iomap){
			.type = IOMAP_MAPPED, .bdev = f->bdev, .length = 1 << 20,
		};
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos,
				  (char *)f->arg + (pos - folio->pos));
}

CASE(a_stable_copy_is_sent, "H12", "With mem the copy goes out, whatever happens to the frame")
{
	struct flat *f = frames(2);
	struct iomap_writeback_ctx wpc;
	struct iomap_bvec seg;
	struct iomap_ioend *ioend;
	static char copy[FRAME];

	memset(copy, 'C', sizeof(copy));
	f->range = send_copy;
	f->arg = copy;
	f->take = true;
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 1, 1);
	memset(f->frame_mem, 'n', 2 * FRAME);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ioend = iomap_container_of(f->held.next, struct iomap_ioend, list);
	ck_assert_ptr_eq(iomap_ioend_first(ioend, &seg), &f->frames[1]);
	ck_assert_ptr_eq(seg.mem, copy);
	flat_submit_held(f, 0);
	flat_settle(f);
	ck_assert_int_eq(t_mem_data(f->mem)[FRAME], 'C');
	ck_assert_int_eq(t_mem_data(f->mem)[2 * FRAME - 1], 'C');
	ck_assert_int_eq(t_mem_data(f->mem)[0], 0);
	flat_delete(&f);
}

/* ---- errors ---- */

CASE(an_error_keeps_to_its_piece, "H12",
     "A bio split by the device: frames of good pieces are fine, the others hear their own error")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.dev = "mem:flat,size=64m,max=32768", .frames = 8, .frame_size = FRAME,
		.no_complete = true,
	});
	struct iomap_writeback_ctx wpc;

	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -ENOSPC, 2 * FRAME);
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 6 * FRAME);
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 8);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, 1);
	for (unsigned i = 0; i < 8; i++)
		written_once(f, i, i / 2 == 1 ? -ENOSPC : i / 2 == 3 ? -EIO : 0);
	ck_assert_int_ne(iomap_file_check_error(&f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

static void isolate(const char *dev, int64_t bad_sector, unsigned nr_failing)
{
	struct flat *f = flat_new(&(struct flat_opts){
		.dev = dev, .frames = 8, .frame_size = FRAME, .no_complete = true,
	});
	struct iomap_writeback_ctx wpc;
	unsigned bad = (unsigned)(bad_sector / FRAME), nr;

	f->wbc.flags = IOMAP_WB_ISOLATE;
	f->wbc.grain = FRAME;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, nr_failing, -EIO, (uint64_t)bad_sector);
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 8);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	for (unsigned i = 0; i < 8; i++) {
		written_once(f, i, i == bad && nr_failing > 1 ? -EIO : 0);
		ck_assert_int_eq(t_mem_data(f->mem)[i * FRAME],
				 i == bad && nr_failing > 1 ? 0 : 'a' + (int)i);
	}
	ck_assert_int_eq(iomap_file_check_error(&f->file), nr_failing > 1 ? -EIO : 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	t_mem_log(f->mem, &nr);
	/* one request, or four pieces; then each frame of what failed, once */
	ck_assert_uint_eq(nr, strstr(dev, "max") ? 4 + 2 : 1 + 8);
	flat_delete(&f);
}

CASE(isolate_resends_frame_by_frame, "H12", "ISOLATE: of a failed request only the bad frame fails")
{
	isolate("mem:flat,size=64m", 5 * FRAME + 512, 99);
}

CASE(isolate_resends_only_failed_pieces, "H12", "ISOLATE: what was written is not written again")
{
	isolate("mem:flat,size=64m,max=32768", 5 * FRAME + 512, 99);
}

CASE(isolate_may_heal, "H12", "ISOLATE: a frame that goes through the second time is written")
{
	isolate("mem:flat,size=64m", 5 * FRAME, 1);
	isolate("mem:flat,size=64m,max=32768", 5 * FRAME, 1);
}

CASE(two_bad_frames, "H12 H6", "ISOLATE: each frame has its own error, the inode the first")
{
	struct flat *f = frames(4);
	struct iomap_writeback_ctx wpc;

	f->wbc.flags = IOMAP_WB_ISOLATE;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 99, -ENOSPC, FRAME);
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 99, -EIO, 3 * FRAME);
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 4);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	written_once(f, 0, 0);
	written_once(f, 1, -ENOSPC);
	written_once(f, 2, 0);
	written_once(f, 3, -EIO);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -ENOSPC);
	flat_delete(&f);
}

CASE(isolate_does_not_tear, "H12 O18",
     "ISOLATE: frames that are part of an atomic chunk are not resent alone, the error is its own")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.dev = "mem:flat,size=64m,atomic=65536", .frames = 8, .frame_size = 4096,
		.no_complete = true,
	});
	struct iomap_writeback_ctx wpc;
	const struct t_mem_req *log;
	unsigned nr;

	f->wbc.flags = IOMAP_WB_ISOLATE;
	f->wbc.atomic_bytes = 16384;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 16384);
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 8);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	for (unsigned i = 0; i < 8; i++)
		written_once(f, i, i < 4 ? 0 : -EIO);
	log = t_mem_log(f->mem, &nr);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_uint_eq(log[i].len, 16384);
	ck_assert_uint_eq(f->t.nr_reports, 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
	flat_delete(&f);
}

CASE(isolate_ends_with_the_file, "H12 H13",
     "ISOLATE: killed while one frame is resent, the others are not, and hear that they failed")
{
	struct flat *f = frames(4);
	struct iomap_writeback_ctx wpc;
	unsigned nr;

	f->wbc.flags = IOMAP_WB_ISOLATE;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 0);
	t_mem_hold(f->mem, true);
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 4);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_poll(f);
	t_mem_release(f->mem, 0);
	flat_poll(f);
	ck_assert_uint_eq(t_mem_nr_held(f->mem), 1);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), -ETIMEDOUT);
	t_mem_hold(f->mem, false);
	t_mem_release_all(f->mem);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, IOMAP_FOREVER), 0);
	for (unsigned i = 0; i < 4; i++)
		written_once(f, i, i ? -ECANCELED : 0);
	t_mem_log(f->mem, &nr);
	ck_assert_uint_eq(nr, 2);
	flat_delete(&f);
}

static void fail_all(struct iomap_bio *bio)
{
	iomap_finish_ioends(iomap_ioend_from_bio(bio), -EPROTO);
}

CASE(the_client_fails_the_ioend, "H12",
     "An error from the client's end_io is the error of every frame")
{
	struct flat *f = frames(3);
	struct iomap_writeback_ctx wpc;

	f->end_io = fail_all;
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 3);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	for (unsigned i = 0; i < 3; i++)
		written_once(f, i, -EPROTO);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EPROTO);
	flat_delete(&f);
}

CASE(finish_with_an_error, "I83 H12", "finish(error) ends what is pending unsent, frame by frame")
{
	struct flat *f = frames(3);
	struct iomap_writeback_ctx wpc;
	unsigned nr;

	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 3);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, -EPROTO), -EPROTO);
	ck_assert_int_eq(f->submits[0].error, -EPROTO);
	flat_settle(f);
	for (unsigned i = 0; i < 3; i++)
		written_once(f, i, -EPROTO);
	t_mem_log(f->mem, &nr);
	ck_assert_uint_eq(nr, 0);
	flat_delete(&f);
}

/* ---- trace and reclaim ---- */

CASE(the_journey_of_a_frame, "", "Its trace events come in the order of the journey")
{
	static const uint32_t journey[] = {
		IOMAP_TRACE_FOLIO_DIRTY, IOMAP_TRACE_WRITEBACK_FOLIO, IOMAP_TRACE_WRITEBACK_RANGE,
		IOMAP_TRACE_MAP, IOMAP_TRACE_ADD_TO_IOEND, IOMAP_TRACE_IOEND_SUBMIT,
		IOMAP_TRACE_BIO_SUBMIT, IOMAP_TRACE_BIO_QUEUE, IOMAP_TRACE_CALLBACK,
		IOMAP_TRACE_BIO_END, IOMAP_TRACE_IOEND_END, IOMAP_TRACE_FOLIO_WRITTEN,
		IOMAP_TRACE_CALLBACK,
	};
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 1, .trace = true });
	struct iomap_writeback_ctx wpc;

	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->t.nr_trace, sizeof(journey) / sizeof(journey[0]));
	for (unsigned i = 0; i < f->t.nr_trace; i++)
		ck_assert_uint_eq(f->t.trace[i].event, journey[i]);
	flat_delete(&f);
}

CASE(one_frame_may_be_flushed_in_reclaim, "I88",
     "RECLAIM refuses writepages, not the flush of a frame")
{
	struct flat *f = frames(1);
	struct iomap_writeback_ctx wpc;

	f->wbc.flags = IOMAP_WB_RECLAIM;
	flat_wpc(f, &wpc);
	hand_over(f, &wpc, 0, 1);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	written_once(f, 0, 0);
	flat_delete(&f);
}

MAIN()
