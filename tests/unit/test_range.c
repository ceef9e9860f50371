/* SPDX-License-Identifier: MIT */
/*
 * The dirty ranges of one folio: what is offered, what is not, and how writeback begins and ends.
 */
#include "cache/cache.h"
#include "model/flat.h"

/* Folios of four blocks of 4 KiB; the first is cached, clean, and full of 'z'. */
static struct flat *four_blocks(int64_t size)
{
	struct flat *f = flat_new(&(struct flat_opts){ .max_folio = 16384, .size = size });

	flat_dirty(f, 0, 16384, 'z');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	flat_forget(f);
	return f;
}

/* ---- which ranges ---- */

CASE(each_dirty_run_is_offered, "I74", "Every folio that is written is offered, once per dirty run")
{
	struct flat *f = four_blocks(0);

	flat_dirty(f, 0, 16384, 'a');
	flat_dirty(f, 16384, 16384, 'b');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 2);
	ck_assert_uint_eq(f->ranges[0].len, 16384);
	flat_forget(f);
	flat_dirty(f, 0, 4096, 'c');
	flat_dirty(f, 8192, 8192, 'd');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 2);
	ck_assert_int_eq(f->ranges[0].pos, 0);
	ck_assert_uint_eq(f->ranges[0].len, 4096);
	ck_assert_int_eq(f->ranges[1].pos, 8192);
	ck_assert_uint_eq(f->ranges[1].len, 8192);
	ck_assert_int_eq(t_mem_data(f->mem)[0], 'c');
	ck_assert_int_eq(t_mem_data(f->mem)[4096], 'a');
	ck_assert_int_eq(t_mem_data(f->mem)[12288], 'd');
	flat_delete(&f);
}

static int64_t take_one_block(struct flat *f, struct iomap_writeback_ctx *wpc,
			      struct iomap_folio *folio, int64_t pos, uint64_t len,
			      int64_t end_pos)
{
	return flat_range_default(f, wpc, folio, pos, len > 4096 ? 4096 : len, end_pos);
}

CASE(the_rest_is_offered_again, "I74 I75", "What the client did not take is offered again")
{
	struct flat *f = four_blocks(0);

	f->range = take_one_block;
	flat_dirty(f, 0, 16384, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(f->ranges[i].pos, 4096 * i);
		ck_assert_uint_eq(f->ranges[i].len, (uint64_t)(16384 - 4096 * i));
	}
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	flat_delete(&f);
}

/* ---- answers ---- */

static int64_t answer_of(struct flat *f, struct iomap_writeback_ctx *wpc,
			 struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	int64_t answer = *(int64_t *)f->arg;

	(void)wpc, (void)folio, (void)pos, (void)len, (void)end_pos;
	return answer;
}

static void judge_answer(int64_t answer)
{
	struct flat *f = four_blocks(0);

	f->range = answer_of;
	f->arg = &answer;
	flat_dirty(f, 0, 16384, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EIO);
	ck_assert_uint_eq(f->t.nr_reports, 1);
	ck_assert_str_eq(f->t.last_rule, "I75");
	ck_assert_str_eq(f->t.last_callback, "writeback_range");
	ck_assert_uint_eq(f->t.last_value, (uint64_t)answer);
	ck_assert_uint_eq(f->nr_submits, 0);
	ck_assert_uint_eq(f->nr_ranges, 1);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
	flat_delete(&f);
}

CASE(nothing_handled_is_nonsense, "I75", "A result of 0 is -EIO and a report")
{
	judge_answer(0);
}

CASE(too_much_handled_is_nonsense, "I75", "More than was offered is -EIO and a report")
{
	judge_answer(16385);
}

CASE(no_errno_is_nonsense, "I75", "A negative number that is no errno is -EIO and a report")
{
	judge_answer(INT64_MIN);
}

static int64_t add_half_claim_all(struct flat *f, struct iomap_writeback_ctx *wpc,
				  struct iomap_folio *folio, int64_t pos, uint64_t len,
				  int64_t end_pos)
{
	int64_t done = flat_range_default(f, wpc, folio, pos, len / 2, end_pos);

	return done < 0 ? done : (int64_t)len;
}

CASE(bytes_claimed_and_not_queued, "I75",
     "A client that claims more than it put into an ioend is not believed, and nothing hangs")
{
	struct flat *f = four_blocks(0);

	f->range = add_half_claim_all;
	flat_dirty(f, 0, 16384, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EIO);
	ck_assert_str_eq(f->t.last_rule, "I75");
	flat_settle(f);
	ck_assert_uint_eq(f->submits[0].len, 8192);
	ck_assert_uint_eq(flat_flags(f, 0) & IOMAP_FOLIO_WRITEBACK, 0);
	ck_assert_uint_ne(flat_flags(f, 0) & IOMAP_FOLIO_FAILED, 0);
	flat_delete(&f);
}

/* What the client does instead: adds a range again, from the middle, of another folio. */
enum wrong_add { TWICE, NOT_THE_FIRST, TOO_MUCH };

static int64_t add_wrongly(struct flat *f, struct iomap_writeback_ctx *wpc,
			   struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	switch (*(enum wrong_add *)f->arg) {
	case TWICE:
		ck_assert_int_eq(flat_range_default(f, wpc, folio, pos, len, end_pos),
				 (int64_t)len);
		return flat_range_default(f, wpc, folio, pos, len, end_pos);
	case NOT_THE_FIRST:
		return flat_range_default(f, wpc, folio, pos + 4096, len - 4096, end_pos);
	default:
		return flat_range_default(f, wpc, folio, pos, len + 4096, end_pos);
	}
}

static void judge_add(enum wrong_add what, uint64_t written)
{
	struct flat *f = four_blocks(0);
	struct iomap_folio *folio;

	f->range = add_wrongly;
	f->arg = &what;
	flat_dirty(f, 0, 8192, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EINVAL);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, written ? 1 : 0);
	if (written)
		ck_assert_uint_eq(f->submits[0].len, written);
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	folio = flat_lock(f, 0);
	ck_assert_int_eq(((char *)folio->mem)[8191], 'a');
	ck_assert_int_eq(((char *)folio->mem)[8192], 'z');
	flat_unlock(folio);
	flat_delete(&f);
}

CASE(only_what_is_offered_can_be_added, "I75 I23",
     "A range added twice, from its middle, beyond its end: -EINVAL, and nothing is counted twice")
{
	judge_add(TWICE, 8192);
	judge_add(NOT_THE_FIRST, 0);
	judge_add(TOO_MUCH, 0);
}

static int64_t block_by_block(struct flat *f, struct iomap_writeback_ctx *wpc,
			      struct iomap_folio *folio, int64_t pos, uint64_t len,
			      int64_t end_pos)
{
	int64_t done = 0;

	while (done < (int64_t)len)
		done += flat_range_default(f, wpc, folio, pos + done, 4096, end_pos);
	return done;
}

CASE(a_range_in_several_adds, "I75", "A client may add what is offered piece after piece")
{
	struct flat *f = four_blocks(0);

	f->range = block_by_block;
	flat_dirty(f, 0, 16384, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 1);
	ck_assert_uint_eq(f->submits[0].len, 16384);
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	ck_assert_int_eq(t_mem_data(f->mem)[16383], 'a');
	flat_delete(&f);
}

/* ---- the end of the file ---- */

CASE(folio_beyond_the_end, "I76",
     "A folio that begins at or after the end is neither written nor an error")
{
	struct flat *f = four_blocks(65536);

	flat_dirty(f, 0, 16384, 'a');
	flat_dirty(f, 16384, 16384, 'b');
	flat_dirty(f, 32768, 16384, 'c');
	iomap_inode_set_size(&f->inode, 16384);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 1);
	ck_assert_int_eq(f->ranges[0].pos, 0);
	ck_assert_int_eq(t_mem_data(f->mem)[16384], 0);
	ck_assert_int_eq(t_mem_data(f->mem)[32768], 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	/* and it is over: a second sync finds nothing */
	ck_assert_uint_eq(flat_flags(f, 16384) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	ck_assert_uint_eq(flat_flags(f, 32768) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK), 0);
	flat_delete(&f);
}

CASE(tail_is_zeroed_each_time, "I77 I78",
     "Bytes behind the end are zero in memory and on the device, on every writeback")
{
	struct flat *f = four_blocks(16384);
	struct iomap_folio *folio;

	flat_dirty(f, 0, 16384, 'a');
	iomap_inode_set_size(&f->inode, 5000);
	for (int round = 0; round < 2; round++) {
		folio = flat_lock(f, 0);
		/* what a store through a mapping of the page leaves */
		memset((char *)folio->mem + 5000, 'x', 16384 - 5000);
		iomap_folio_mark_dirty(folio, 0, 16384);
		flat_unlock(folio);
		flat_forget(f);
		ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
		flat_settle(f);
		for (int i = 0; i < 16384; i++)
			ck_assert_int_eq(((char *)folio->mem)[i], i < 5000 ? 'a' : 0);
		for (int i = 0; i < 8192; i++)
			ck_assert_int_eq(t_mem_data(f->mem)[i], i < 5000 ? 'a' : 0);
		/* two blocks hold the end; those behind them are not queued */
		ck_assert_uint_eq(f->nr_ranges, 1);
		ck_assert_uint_eq(f->ranges[0].len, 8192);
		ck_assert_int_eq(f->ranges[0].end_pos, 5000);
		ck_assert_uint_eq(flat_flags(f, 0) & IOMAP_FOLIO_DIRTY, 0);
	}
	flat_delete(&f);
}

/* ---- flags and counts ---- */

CASE(writeback_begins_before_the_first_range, "I79 I23",
     "At the first range the folio is under writeback, with all its bytes pending")
{
	struct flat *f = four_blocks(0);

	flat_dirty(f, 4096, 4096, 'a');
	flat_dirty(f, 12288, 4096, 'b');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_ne(f->ranges[i].folio_flags & IOMAP_FOLIO_WRITEBACK, 0);
		ck_assert_uint_ne(f->ranges[i].folio_flags & IOMAP_FOLIO_LOCKED, 0);
		ck_assert_uint_eq(f->ranges[i].write_pending, 16384);
	}
	flat_settle(f);
	ck_assert_uint_eq(flat_flags(f, 0) & IOMAP_FOLIO_WRITEBACK, 0);
	flat_delete(&f);
}

static int64_t finish_at_once(struct flat *f, struct iomap_writeback_ctx *wpc,
			      struct iomap_folio *folio, int64_t pos, uint64_t len,
			      int64_t end_pos)
{
	(void)f, (void)end_pos;
	wpc->iomap = (struct iomap){ .type = IOMAP_MAPPED, .offset = pos, .length = len };
	iomap_finish_folio_write(&f->inode, folio, len, 0);
	return (int64_t)len;
}

CASE(early_completion_does_not_end_writeback, "I23",
     "Ranges that complete inside the call: writeback ends after the last range, once")
{
	struct flat *f = four_blocks(0);

	f->range = finish_at_once;
	flat_dirty(f, 4096, 4096, 'a');
	flat_dirty(f, 12288, 4096, 'b');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 2);
	ck_assert_uint_ne(f->ranges[1].folio_flags & IOMAP_FOLIO_WRITEBACK, 0);
	ck_assert_uint_eq(f->ranges[1].write_pending, 12288);
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_DIRTY), 0);
	/* the whole folio at once as well */
	flat_dirty(f, 0, 16384, 'c');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_DIRTY), 0);
	flat_delete(&f);
}

static void hole_map(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)f;
	*map = (struct iomap){
		.type = IOMAP_HOLE, .addr = IOMAP_NULL_ADDR, .offset = pos, .length = len,
	};
}

CASE(nothing_queued_ends_writeback, "I80",
     "Holes only: the flag is cleared before the call returns")
{
	struct flat *f = four_blocks(0);

	f->map = hole_map;
	flat_dirty(f, 0, 16384, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 1);
	ck_assert_uint_eq(f->nr_submits, 0);
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_DIRTY), 0);
	flat_delete(&f);
}

static int64_t refuse(struct flat *f, struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
		      int64_t pos, uint64_t len, int64_t end_pos)
{
	unsigned *left = f->arg;

	if (left && (*left)--)
		return flat_range_default(f, wpc, folio, pos, len, end_pos);
	return -ENOSPC;
}

CASE(an_error_ends_writeback_too, "I80 I82",
     "An error before anything was queued: not under writeback, failed, reported once per handle")
{
	struct flat *f = four_blocks(0);
	struct iomap_file other;

	ck_assert_int_eq(iomap_file_open(&other, &f->inode, 0), 0);
	f->range = refuse;
	flat_dirty(f, 0, 16384, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -ENOSPC);
	ck_assert_uint_eq(flat_flags(f, 0) & (IOMAP_FOLIO_WRITEBACK | IOMAP_FOLIO_DIRTY), 0);
	ck_assert_uint_ne(flat_flags(f, 0) & IOMAP_FOLIO_FAILED, 0);
	ck_assert_int_eq(flat_sync(f), -ENOSPC);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_int_eq(iomap_file_check_error(&other), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&other), 0);
	iomap_file_close(&other);
	flat_delete(&f);
}

/* ---- dirty bits ---- */

static int64_t dirty_again(struct flat *f, struct iomap_writeback_ctx *wpc,
			   struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	int64_t done = flat_range_default(f, wpc, folio, pos, len, end_pos);

	/* the folio is locked here, as mark_dirty asks */
	if (pos == 0)
		iomap_folio_mark_dirty(folio, 0, 4096);
	return done;
}

CASE(dirty_again_after_its_range_was_taken, "I81",
     "A block made dirty after its range was taken is dirty after completion")
{
	struct flat *f = four_blocks(0);
	size_t off = 0, len = 0;

	f->range = dirty_again;
	flat_dirty(f, 0, 16384, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	flat_settle(f);
	ck_assert_uint_ne(flat_flags(f, 0) & IOMAP_FOLIO_DIRTY, 0);
	ck_assert(iomapi_folio_next_dirty(f->ranges[0].folio, &off, 16384, &len));
	ck_assert_uint_eq(off, 0);
	ck_assert_uint_eq(len, 4096);
	/* and it is written by the next pass */
	f->range = NULL;
	flat_forget(f);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_ranges, 1);
	ck_assert_uint_eq(f->ranges[0].len, 4096);
	flat_delete(&f);
}

struct bits {
	bool dirty[4][4];
};

static int64_t note_bits(struct flat *f, struct iomap_writeback_ctx *wpc,
			 struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	struct bits *bits = f->arg;

	for (size_t i = 0; i < 4; i++) {
		size_t off = i * 4096, n;

		bits->dirty[f->nr_ranges][i] =
			iomapi_folio_next_dirty(folio, &off, (i + 1) * 4096, &n);
	}
	return flat_range_default(f, wpc, folio, pos, len, end_pos);
}

CASE(bits_are_cleared_range_by_range, "I81",
     "At each call the bits of its range are clear and those of later ranges are not")
{
	struct flat *f = four_blocks(0);
	struct bits bits = { 0 };

	f->range = note_bits;
	f->arg = &bits;
	flat_dirty(f, 0, 4096, 'a');
	flat_dirty(f, 8192, 4096, 'b');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_ranges, 2);
	ck_assert(!bits.dirty[0][0] && bits.dirty[0][2]);
	ck_assert(!bits.dirty[1][0] && !bits.dirty[1][2]);
	flat_settle(f);
	flat_delete(&f);
}

CASE(the_rest_of_a_failed_folio_is_clean, "I81 I84 I85",
     "After an error nothing more is offered, no bit stays dirty, and the content survives")
{
	struct flat *f = four_blocks(0);
	struct iomap_folio *folio;
	unsigned good = 1;

	f->range = refuse;
	f->arg = &good;
	flat_dirty(f, 0, 4096, 'a');
	flat_dirty(f, 8192, 2048, 'b');
	flat_dirty(f, 12288, 4096, 'c');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -ENOSPC);
	ck_assert_uint_eq(f->nr_ranges, 2);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_int_eq(f->submits[0].error, 0);
	flat_settle(f);
	ck_assert_uint_eq(flat_flags(f, 0) & IOMAP_FOLIO_DIRTY, 0);
	ck_assert_uint_ne(flat_flags(f, 0) & IOMAP_FOLIO_FAILED, 0);
	ck_assert_int_eq(t_mem_data(f->mem)[0], 'a');
	ck_assert_int_eq(t_mem_data(f->mem)[8192], 'z');
	folio = flat_lock(f, 0);
	ck_assert_int_eq(((char *)folio->mem)[8192], 'b');
	ck_assert_int_eq(((char *)folio->mem)[12288], 'c');
	ck_assert(iomap_folio_is_partially_uptodate(folio, 12288, 4096));
	flat_unlock(folio);
	flat_delete(&f);
}

CASE(nothing_is_offered_after_an_error, "I84 I81",
     "The first error of a folio ends its ranges; those not offered are clean too")
{
	struct flat *f = four_blocks(0);

	f->range = refuse;
	flat_dirty(f, 0, 4096, 'a');
	flat_dirty(f, 8192, 4096, 'b');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -ENOSPC);
	ck_assert_uint_eq(f->nr_ranges, 1);
	ck_assert_uint_eq(flat_flags(f, 0) & IOMAP_FOLIO_DIRTY, 0);
	flat_delete(&f);
}

/* ---- the public call ---- */

CASE(writeback_folio_wants_a_dirty_idle_folio, "",
     "-EINVAL for a clean folio or one of another file, -EBUSY under writeback")
{
	struct flat *f = four_blocks(0);
	struct iomap_writeback_ctx wpc;
	struct iomap_folio *folio;

	flat_wpc(f, &wpc);
	flat_dirty(f, 0, 16384, 'a');
	t_mem_hold(f->mem, true);
	folio = flat_lock(f, 0);
	ck_assert_int_eq(iomap_writeback_folio(&wpc, folio), 0);
	ck_assert_int_eq(iomap_writeback_folio(&wpc, folio), -EBUSY);
	flat_unlock(folio);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	folio = flat_lock(f, 0);
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_folio(&wpc, folio), -EINVAL);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_unlock(folio);
	flat_delete(&f);
}

MAIN()
