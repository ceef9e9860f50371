/* SPDX-License-Identifier: MIT */
/*
 * The loop of begin, body and end: I1 to I13 and H7.
 */
#include "map/map.h"
#include "map_fixture.h"

/* ---- one end for each begin ---- */

struct way_out {
	const char *name;
	unsigned nr;			/* steps */
	struct step steps[2];
	int begin_rc;
	int64_t result;
	unsigned nr_begin, nr_end;
};

static const struct way_out ways_out[] = {
	{ "everything is done", 1, { { .take = FULL } }, 0, 3 * CHUNK, 3, 3 },
	{ "begin fails", 1, { { .take = FULL } }, -ENOSPC, -ENOSPC, 1, 0 },
	{ "the body fails at once", 1, { { .status = -EFAULT } }, 0, -EFAULT, 1, 1 },
	{ "the body fails after some bytes", 1, { { .take = 100, .status = -EFAULT } }, 0, 100,
	  1, 1 },
	{ "a signal in the second map", 2,
	  { { .take = FULL }, { .take = 10, .status = -EINTR } }, 0, CHUNK + 10, 2, 2 },
	{ "no progress", 2, { { .take = FULL }, { .take = 0 } }, 0, CHUNK, 2, 2 },
	{ "a short step", 2, { { .take = 5 }, { .take = FULL } }, 0, 3 * CHUNK, 4, 4 },
	{ "stale before any byte", 2, { { .stale = true }, { .take = FULL } }, 0, 3 * CHUNK, 4,
	  4 },
	{ "stale after some bytes", 2, { { .take = 7, .stale = true }, { .take = FULL } }, 0,
	  3 * CHUNK, 4, 4 },
	{ "stale for ever", 1, { { .stale = true } }, 0, -EIO, IOMAPI_MAX_STALE,
	  IOMAPI_MAX_STALE },
	{ "end fails", 2, { { .take = FULL }, { .take = FULL, .end_rc = -ENOMEM } }, 0, CHUNK, 2,
	  2 },
	{ "body and end fail", 1, { { .take = 9, .status = -EIO, .end_rc = -ENOMEM } }, 0,
	  -ENOMEM, 1, 1 },
};

CASE(every_begin_has_one_end, "I1 I13", "On each way out of the loop, each begin has one end")
{
	for (unsigned i = 0; i < sizeof(ways_out) / sizeof(ways_out[0]); i++) {
		const struct way_out *way = &ways_out[i];
		struct fix *f = open_chunks();
		struct iomap_iter it = fix_iter(f, 0, 3 * CHUNK, 0);
		int64_t result;

		f->begin_rc = way->begin_rc;
		result = run(f, &it, way->steps, way->nr);
		ck_assert_msg(result == way->result, "%s: result %lld", way->name,
			      (long long)result);
		ck_assert_msg(f->nr_begin == way->nr_begin && f->nr_end == way->nr_end,
			      "%s: %u begins, %u ends", way->name, f->nr_begin, f->nr_end);
		ck_assert_msg(!f->out_of_turn, "%s: out of turn", way->name);
		fix_close(f);
	}
}

CASE(end_is_optional, "", "A client without iomap_end loops as well")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, CHUNK, 0);

	f->ops.iomap_end = NULL;
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }), CHUNK);
	ck_assert_uint_eq(f->nr_begin, 1);
	f->nr_end = f->nr_begun;
	fix_close(f);
}

/* ---- what begin may answer ---- */

CASE(a_map_contains_the_position, "I2", "A map beside the position is -EIO, and no body runs")
{
	static const struct { int64_t offset; uint64_t length; } beside[] = {
		{ 3 * BLK, 4 * BLK }, { 0, 2 * BLK }, { BLK, BLK }, { 2 * BLK, 0 }, { 0, 0 },
		{ INT64_MIN, 4 * BLK }, { 0, UINT64_MAX }, { BLK, UINT64_MAX - BLK + 1 },
	};

	for (unsigned i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		struct fix *f = fix_open(1 << 24);
		struct iomap_iter it = fix_iter(f, 2 * BLK, BLK, 0);

		f->map.offset = beside[i].offset;
		f->map.length = beside[i].length;
		ck_assert_int_eq(RUN(f, &it, { .take = FULL }), -EIO);
		ck_assert_uint_eq(nr_bodies, 0);
		ck_assert_uint_eq(f->t.nr_reports, 1);
		ck_assert_str_eq(f->t.last_callback, "iomap_begin");
		ck_assert_int_eq(fix_last_end(f)->written, 0);
		ck_assert_int_eq(fix_last_end(f)->pos, 2 * BLK);
		ck_assert_uint_eq(fix_last_end(f)->len, BLK);
		fix_close(f);
	}
}

CASE(no_map_is_born_stale, "I3", "STALE from begin is refused, whatever else is right")
{
	struct fix *f = fix_open(1 << 24);
	struct iomap_iter it = fix_iter(f, BLK, 100 * BLK, 0);

	f->map.flags = IOMAP_F_STALE;
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }), -EIO);
	ck_assert_uint_eq(nr_bodies, 0);
	ck_assert_str_eq(f->t.last_rule, "I3");
	ck_assert_str_eq(f->t.last_field, "flags");
	ck_assert_uint_eq(f->t.last_value, IOMAP_F_STALE);
	ck_assert_uint_eq(fix_last_end(f)->len, 15 * BLK);	/* all that it described */
	fix_close(f);
}

CASE(callbacks_answer_zero_or_less, "", "A positive answer of begin or end is a report and -EIO")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, CHUNK, 0);

	f->begin_rc = 1;
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }), -EIO);
	ck_assert_uint_eq(nr_bodies, 0);
	ck_assert_uint_eq(f->nr_end, 0);
	ck_assert_str_eq(f->t.last_callback, "iomap_begin");
	ck_assert_str_eq(f->t.last_field, "return");
	ck_assert_uint_eq(f->t.last_value, 1);

	f->begin_rc = 0;
	it = fix_iter(f, 0, 2 * CHUNK, 0);
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }, { .take = FULL, .end_rc = 7 }), CHUNK);
	ck_assert_uint_eq(f->nr_end, 2);
	ck_assert_str_eq(f->t.last_callback, "iomap_end");
	ck_assert_uint_eq(f->t.last_value, 7);
	ck_assert_uint_eq(f->t.nr_reports, 2);
	fix_close(f);
}

CASE(maps_are_zero_at_each_begin, "I11", "Nothing leaks from the map before, nor from the caller")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 2 * CHUNK, IOMAP_WRITE);

	/* fix_begin looks; the caller left something, then begin and the body do */
	memset(&it.iomap, 0xa5, sizeof(it.iomap));
	memset(&it.srcmap, 0xa5, sizeof(it.srcmap));
	f->map.private_data = f;
	f->map.validity_cookie = 77;
	f->map.inline_data = f;
	f->map.inline_len = 3;
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	it.iomap.flags |= IOMAP_F_STALE | IOMAP_F_SIZE_CHANGED;
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	ck_assert_int_eq(iomap_iter_advance_full(&it), 0);
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	ck_assert_int_eq(iomap_iter_advance_full(&it), 0);
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 0);
	ck_assert_uint_eq(f->nr_begin, 3);
	ck_assert(!f->not_zero);
	fix_close(f);
}

/* ---- how much work there is ---- */

static uint64_t first_length(struct fix *f, uint64_t len)
{
	struct iomap_iter it = fix_iter(f, BLK, len, 0);
	uint64_t length;

	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	length = iomap_length(&it);
	ck_assert_int_eq(iomap_iter_advance(&it, length + 1), -EIO);
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 0);
	ck_assert_uint_eq(fix_last_end(f)->len, length);
	return length;
}

CASE(work_ends_with_request_map_and_source, "I4", "The body gets the smallest of the three")
{
	struct fix *f = fix_open(1 << 24);

	f->map.length = 5 * BLK;
	ck_assert_uint_eq(first_length(f, 100), 100);
	ck_assert_uint_eq(first_length(f, 64 * BLK), 4 * BLK);
	f->src = (struct iomap){ .type = IOMAP_MAPPED, .length = 3 * BLK, .addr = 32 * BLK,
				 .bdev = f->bdev };
	ck_assert_uint_eq(first_length(f, 64 * BLK), 2 * BLK);
	f->src = (struct iomap){ .type = IOMAP_UNWRITTEN, .offset = BLK, .length = BLK,
				 .addr = 32 * BLK, .bdev = f->bdev };
	ck_assert_uint_eq(first_length(f, 64 * BLK), BLK);
	/* a hole as source is no source, however short */
	f->src = (struct iomap){ .type = IOMAP_HOLE, .length = 2 * BLK, .addr = IOMAP_NULL_ADDR };
	ck_assert_uint_eq(first_length(f, 64 * BLK), 4 * BLK);
	fix_close(f);
}

CASE(trim_looks_at_any_position, "I4", "iomap_length_trim and the source map of an iterator")
{
	struct iomap_iter it = {
		.pos = 0, .len = 100 * BLK,
		.iomap = { .type = IOMAP_MAPPED, .offset = 2 * BLK, .length = 6 * BLK },
	};

	ck_assert_ptr_eq(iomap_iter_srcmap(&it), &it.iomap);
	ck_assert_uint_eq(iomap_length_trim(&it, 2 * BLK, BLK), BLK);
	ck_assert_uint_eq(iomap_length_trim(&it, 3 * BLK, 100 * BLK), 5 * BLK);
	ck_assert_uint_eq(iomap_length_trim(&it, 8 * BLK - 1, 100 * BLK), 1);
	ck_assert_uint_eq(iomap_length_trim(&it, 8 * BLK, BLK), 0);
	ck_assert_uint_eq(iomap_length_trim(&it, BLK, BLK), 0);
	it.srcmap = (struct iomap){ .type = IOMAP_MAPPED, .offset = 0, .length = 4 * BLK };
	ck_assert_ptr_eq(iomap_iter_srcmap(&it), &it.srcmap);
	ck_assert_uint_eq(iomap_length_trim(&it, 3 * BLK, 100 * BLK), BLK);
	ck_assert_uint_eq(iomap_length_trim(&it, 4 * BLK, BLK), 0);
	/* the largest file, and maps that no check has seen */
	it.srcmap.type = IOMAP_HOLE;
	it.iomap = (struct iomap){ .offset = 0, .length = IOMAP_MAX_POS };
	ck_assert_uint_eq(iomap_length_trim(&it, IOMAP_MAX_POS - 1, 5), 1);
	it.iomap = (struct iomap){ .offset = INT64_MIN, .length = UINT64_MAX };
	ck_assert_uint_eq(iomap_length_trim(&it, 5, 5), 0);
}

CASE(advance_stays_in_the_map, "I5", "One byte too far is -EIO and moves nothing")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, BLK, 5 * BLK, 0);

	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	ck_assert_int_eq(iomap_iter_advance(&it, 3 * BLK + 1), -EIO);
	ck_assert_int_eq(it.pos, BLK);
	ck_assert_uint_eq(it.len, 5 * BLK);
	ck_assert_str_eq(f->t.last_rule, "I5");
	ck_assert_uint_eq(f->t.last_value, 3 * BLK + 1);
	ck_assert_uint_eq(f->t.last_bound, 3 * BLK);
	ck_assert_int_eq(iomap_iter_advance(&it, UINT64_MAX), -EIO);
	ck_assert_int_eq(it.pos, BLK);
	ck_assert_int_eq(iomap_iter_advance(&it, BLK), 0);
	ck_assert_int_eq(iomap_iter_advance(&it, 2 * BLK + 1), -EIO);
	ck_assert_int_eq(it.pos, 2 * BLK);
	ck_assert_int_eq(iomap_iter_advance_full(&it), 0);
	ck_assert_int_eq(it.pos, 4 * BLK);
	ck_assert_uint_eq(it.len, 2 * BLK);
	ck_assert_int_eq(iomap_iter_advance_full(&it), 0);	/* nothing is left: no error */
	ck_assert_int_eq(it.pos, 4 * BLK);
	ck_assert_uint_eq(f->t.nr_reports, 3);
	/* the next map gives the rest */
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	ck_assert_int_eq(iomap_iter_advance_full(&it), 0);
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 0);
	ck_assert_int_eq(it.pos, 6 * BLK);
	fix_close(f);
}

/* ---- going on ---- */

CASE(no_progress_ends_the_loop, "I6", "Nothing done, nothing stale, no error: 0, not for ever")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 2 * CHUNK, 0);

	ck_assert_int_eq(RUN(f, &it, { .take = 0 }), 0);
	ck_assert_uint_eq(nr_bodies, 1);
	ck_assert_uint_eq(it.len, 2 * CHUNK);
	fix_close(f);
}

CASE(stale_map_is_asked_for_again, "I7", "A map found stale before any byte: same position again")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, BLK, 2 * BLK, 0);

	ck_assert_int_eq(RUN(f, &it, { .stale = true }, { .stale = true }, { .take = FULL }),
			 2 * BLK);
	ck_assert_uint_eq(f->nr_begin, 3);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_int_eq(f->calls[i].pos, BLK);
		ck_assert_uint_eq(f->calls[i].len, 2 * BLK);
	}
	ck_assert_int_eq(f->calls[1].written, 0);
	ck_assert(f->calls[1].map_flags & IOMAP_F_STALE);
	ck_assert_int_eq(f->calls[5].written, 2 * BLK);
	fix_close(f);
}

CASE(stale_after_progress_goes_on, "I7", "A map found stale after some bytes: on behind them")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 3 * BLK, 0);

	ck_assert_int_eq(RUN(f, &it, { .take = BLK, .stale = true }, { .take = FULL }), 3 * BLK);
	ck_assert_uint_eq(f->nr_begin, 2);
	ck_assert_int_eq(f->calls[1].written, BLK);
	ck_assert_int_eq(f->calls[2].pos, BLK);
	ck_assert_uint_eq(f->calls[2].len, 2 * BLK);
	fix_close(f);
}

static int end_hides_stale(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
			   unsigned flags, struct iomap *map, struct iomap *src, void *priv)
{
	int rc = fix_end(inode, pos, len, written, flags, map, src, priv);

	memset(map, 0, sizeof(*map));
	return rc;
}

CASE(end_cannot_undo_stale, "I7", "What end does to the map does not change the decision")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, BLK, 0);

	f->ops.iomap_end = end_hides_stale;
	ck_assert_int_eq(RUN(f, &it, { .stale = true }, { .take = FULL }), BLK);
	ck_assert_uint_eq(f->nr_begin, 2);
	fix_close(f);
}

CASE(status_decides, "I8", "A negative status ends the loop with bytes left; a positive is -EIO")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 2 * CHUNK, 0);
	int rc;

	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	body(f, &it, &(struct step){ .take = FULL, .status = -ENODATA });
	rc = iomap_iter(&it, &f->ops);
	ck_assert_int_eq(rc, -ENODATA);
	ck_assert_int_eq(it.pos, CHUNK);	/* the progress stays */
	ck_assert_uint_eq(f->nr_begin, 1);

	it = fix_iter(f, 0, 2 * CHUNK, 0);
	ck_assert_int_eq(RUN(f, &it, { .status = -ENODATA, .stale = true }), -ENODATA);
	ck_assert_uint_eq(f->nr_begin, 2);	/* stale is no reason to go on */
	ck_assert_uint_eq(f->t.nr_reports, 0);

	it = fix_iter(f, 0, 2 * CHUNK, 0);
	ck_assert_int_eq(RUN(f, &it, { .status = 5 }), -EIO);
	ck_assert_str_eq(f->t.last_rule, "I8");
	ck_assert_uint_eq(f->t.last_value, 5);
	ck_assert_uint_eq(f->nr_begin, 3);
	fix_close(f);
}

CASE(status_starts_at_zero, "I8", "The verdict on one map is not that on the next")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, CHUNK, 0);

	it.status = -EIO;			/* from whatever the caller did before */
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	ck_assert_int_eq(it.status, 0);
	ck_assert_int_eq(iomap_iter_advance_full(&it), 0);
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 0);
	fix_close(f);
}

CASE(a_negative_end_voids_its_map, "I9 H7", "What end could not commit was not done")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 3 * CHUNK, IOMAP_WRITE);

	/* in the first map: nothing was done, so its error is the result */
	ck_assert_int_eq(RUN(f, &it, { .take = FULL, .end_rc = -ENOSPC }), -ENOSPC);
	ck_assert_int_eq(it.pos, 0);
	ck_assert_uint_eq(it.len, 3 * CHUNK);
	ck_assert_int_eq(fix_last_end(f)->written, CHUNK);

	/* later: the bytes of earlier maps remain, and only those */
	it = fix_iter(f, 0, 3 * CHUNK, IOMAP_WRITE);
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }, { .take = BLK },
			     { .take = 5, .end_rc = -EIO }), CHUNK + BLK);
	ck_assert_int_eq(it.pos, CHUNK + BLK);
	ck_assert_uint_eq(it.len, 2 * CHUNK - BLK);

	/* with the last byte done, and without any: never swallowed */
	it = fix_iter(f, 0, CHUNK, IOMAP_WRITE);
	ck_assert_int_eq(RUN(f, &it, { .take = FULL, .end_rc = -EDQUOT }), -EDQUOT);
	it = fix_iter(f, 0, CHUNK, IOMAP_WRITE);
	ck_assert_int_eq(RUN(f, &it, { .stale = true, .end_rc = -EDQUOT }), -EDQUOT);
	it = fix_iter(f, 0, CHUNK, IOMAP_WRITE);
	ck_assert_int_eq(RUN(f, &it, { .take = 1, .status = -EFAULT, .end_rc = -EDQUOT }),
			 -EDQUOT);
	ck_assert_int_eq(it.pos, 0);
	fix_close(f);
}

CASE(end_hears_what_was_done, "I10", "written is what was advanced, never what was asked for")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, BLK, 100 * BLK, IOMAP_WRITE);

	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	ck_assert_int_eq(iomap_iter_advance(&it, 10), 0);
	ck_assert_int_eq(iomap_iter_advance(&it, 1 << 30), -EIO);
	ck_assert_int_eq(iomap_iter_advance(&it, 20), 0);
	it.status = -EFAULT;
	ck_assert_int_eq(iomap_iter(&it, &f->ops), -EFAULT);
	ck_assert_int_eq(fix_last_end(f)->written, 30);
	ck_assert_int_eq(fix_last_end(f)->pos, BLK);
	ck_assert_uint_eq(fix_last_end(f)->len, 3 * BLK);	/* what the map allowed */
	ck_assert_uint_eq(fix_last_end(f)->flags, IOMAP_WRITE);
	fix_close(f);
}

/* ---- batches ---- */

struct batch {
	struct iomapi_batch batch;
	unsigned nr_released, nr_ends_before;
	struct fix *f;
};

static void batch_release(struct iomapi_batch *batch)
{
	struct batch *b = iomap_container_of(batch, struct batch, batch);

	b->nr_released++;
	b->nr_ends_before = b->f->nr_end;
}

/* As a collector of dirty folios does: it finds the iterator around the map. */
static void fill_batch(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
		       struct iomap *src)
{
	struct iomap_iter *it = iomap_container_of(map, struct iomap_iter, iomap);
	struct batch *b = f->arg;

	chunks(f, pos, len, map, src);
	map->type = IOMAP_UNWRITTEN;
	map->flags |= IOMAP_F_FOLIO_BATCH;
	it->batch = &b->batch;
}

static void release_once(int begin_rc, const struct step *step, unsigned map_flags,
			 int64_t result)
{
	struct fix *f = fix_open(1 << 24);
	struct batch b = { .batch.release = batch_release, .f = f };
	struct iomap_iter it = fix_iter(f, 0, BLK, IOMAP_ZERO);

	f->fill = fill_batch;
	f->arg = &b;
	f->begin_rc = begin_rc;
	f->map.flags = (uint16_t)map_flags;
	ck_assert_int_eq(run(f, &it, step, 1), result);
	ck_assert_uint_eq(b.nr_released, 1);
	ck_assert_ptr_null(it.batch);
	ck_assert_uint_eq(b.nr_ends_before, f->nr_begun);	/* end may still look at them */
	fix_close(f);
}

CASE(batches_are_let_go, "I12", "Folio references drop after a step and when a callback failed")
{
	release_once(0, &(struct step){ .take = FULL }, 0, BLK);
	release_once(0, &(struct step){ .take = 0 }, 0, 0);
	release_once(0, &(struct step){ .status = -EINTR }, 0, -EINTR);
	release_once(0, &(struct step){ .take = FULL, .end_rc = -EIO }, 0, -EIO);
	release_once(-ENOMEM, &(struct step){ .take = FULL }, 0, -ENOMEM);
	release_once(3, &(struct step){ .take = FULL }, 0, -EIO);
	release_once(0, &(struct step){ .take = FULL }, IOMAP_F_STALE, -EIO);
}

CASE(each_step_has_its_batch, "I12 I7", "Stale and short steps let go before begin asks again")
{
	struct fix *f = fix_open(1 << 24);
	struct batch b = { .batch.release = batch_release, .f = f };
	struct iomap_iter it = fix_iter(f, 0, 2 * CHUNK, IOMAP_ZERO);

	f->fill = fill_batch;
	f->arg = &b;
	ck_assert_int_eq(RUN(f, &it, { .stale = true }, { .take = 3 }, { .take = FULL }),
			 2 * CHUNK);
	ck_assert_uint_eq(f->nr_begin, 4);
	ck_assert_uint_eq(b.nr_released, 4);
	fix_close(f);
}

CASE(bytes_else_the_error, "I13", "A result is what was done, and an error only if that is nothing")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 3 * CHUNK, 0);

	ck_assert_int_eq(RUN(f, &it, { .take = FULL }, { .take = 17, .status = -EFAULT }),
			 CHUNK + 17);
	ck_assert_uint_eq(it.len, 2 * CHUNK - 17);
	it = fix_iter(f, 0, 3 * CHUNK, 0);
	ck_assert_int_eq(RUN(f, &it, { .status = -EFAULT }), -EFAULT);
	it = fix_iter(f, 0, 3 * CHUNK, 0);
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }, { .end_rc = -EFAULT }), CHUNK);
	fix_close(f);
}

/* ---- a loop of the caller's own ---- */

CASE(continue_is_the_same_rule, "I6 I7 I8 I12", "iomap_iter_continue: clears maps, drops batches")
{
	struct fix *f = fix_open(1 << 24);
	struct batch b = { .batch.release = batch_release, .f = f };
	struct iomap_iter it = fix_iter(f, 0, CHUNK, IOMAP_ZERO);

	it.iomap = f->map;
	it.srcmap = f->map;
	it.batch = &b.batch;
	ck_assert_int_eq(iomap_iter_advance(&it, BLK), 0);
	ck_assert_int_eq(iomap_iter_continue(&it, BLK), 1);
	ck_assert(all_zero(&it.iomap, sizeof(it.iomap)));
	ck_assert(all_zero(&it.srcmap, sizeof(it.srcmap)));
	ck_assert_uint_eq(b.nr_released, 1);
	ck_assert_ptr_null(it.batch);

	ck_assert_int_eq(iomap_iter_continue(&it, 0), 0);
	it.iomap.flags = IOMAP_F_STALE;
	ck_assert_int_eq(iomap_iter_continue(&it, 0), 1);
	ck_assert_uint_eq(it.iomap.flags, 0);

	it.batch = &b.batch;
	it.status = -EINTR;
	ck_assert_int_eq(iomap_iter_continue(&it, BLK), -EINTR);
	ck_assert_uint_eq(b.nr_released, 2);
	it.status = 2;
	ck_assert_int_eq(iomap_iter_continue(&it, BLK), -EIO);
	it.status = 0;
	it.len = 0;
	ck_assert_int_eq(iomap_iter_continue(&it, BLK), 0);
	fix_close(f);
}

MAIN()
