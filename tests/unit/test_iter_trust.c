/* SPDX-License-Identifier: MIT */
/*
 * The loop of begin, body and end: what it does not trust (V11 to V14), its arithmetic, its trace,
 * and random maps against a model.
 */
#include "map/map.h"
#include "map_fixture.h"

/* ---- distrust ---- */

static void random_cookies(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
			   struct iomap *src)
{
	static const uint64_t cookies[] = { 9, 3, UINT64_MAX, 0, UINT64_MAX, 1, 1ull << 63, 7 };

	chunks(f, pos, len, map, src);
	map->validity_cookie = cookies[f->nr_begin % 8];
}

CASE(cookies_have_no_order, "V11", "Smaller, wrapped or equal cookies: the loop does not look")
{
	struct fix *f = fix_open(1 << 24);
	struct iomap_iter it = fix_iter(f, 0, 16 * CHUNK, 0);

	f->fill = random_cookies;
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }), 16 * CHUNK);
	ck_assert_uint_eq(f->nr_begin, 16);
	ck_assert_uint_eq(f->t.nr_reports, 0);
	fix_close(f);
}

/* Which byte, counted from the start of the first map, begin scribbles on. */
static void scribble(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
		     struct iomap *src)
{
	ptrdiff_t at = *(ptrdiff_t *)f->arg;

	chunks(f, pos, len, map, src);
	((unsigned char *)map)[at] ^= 0x40;
}

static void scribbled(ptrdiff_t at, const char *field)
{
	struct fix *f = fix_open(1 << 24);
	struct iomap_iter it = fix_iter(f, BLK, BLK, 0);

	f->fill = scribble;
	f->arg = &at;
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }), -EIO);
	ck_assert_uint_eq(nr_bodies, 0);
	ck_assert_str_eq(f->t.last_rule, "V12");
	ck_assert_str_eq(f->t.last_field, field);
	/* the loop stands all the same: one end, at the right place, with nothing written */
	ck_assert_uint_eq(f->nr_end, 1);
	ck_assert_int_eq(fix_last_end(f)->pos, BLK);
	ck_assert_int_eq(fix_last_end(f)->written, 0);
	ck_assert_int_eq(it.pos, BLK);
	fix_close(f);
}

CASE(nobody_writes_outside_a_map, "V12", "Spare words, and the bytes around the maps, are watched")
{
	const ptrdiff_t map = (ptrdiff_t)sizeof(struct iomap);

	scribbled(offsetof(struct iomap, spare32), "spare");
	scribbled(offsetof(struct iomap, spare), "spare");
	scribbled(map - 1, "spare");			/* the last byte */
	scribbled(map + (ptrdiff_t)offsetof(struct iomap, spare32), "srcmap.spare");
	scribbled(2 * map - 1, "srcmap.spare");
	scribbled(2 * map, "behind srcmap");		/* and the first behind it */
	scribbled(2 * map + 16, "behind srcmap");
	scribbled(-1, "before map");
}

CASE(private_data_is_never_followed, "V13", "A poisoned pointer in both maps comes back untouched")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 2 * CHUNK, IOMAP_WRITE);
	void *poison = (void *)(uintptr_t)0xdead000000000100ull;

	f->map.private_data = poison;
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	ck_assert_ptr_eq(it.iomap.private_data, poison);
	ck_assert_int_eq(iomap_iter_advance_full(&it), 0);
	ck_assert_ptr_eq(it.iomap.private_data, poison);
	ck_assert_int_eq(iomap_iter(&it, &f->ops), 1);
	it.status = -EIO;
	ck_assert_int_eq(iomap_iter(&it, &f->ops), -EIO);
	ck_assert_uint_eq(f->t.nr_reports, 0);
	ck_assert_int_eq(iomapi_map_check_writeback(&f->inode, &f->map, 0, BLK, f->size, &made_up),
			 0);
	fix_close(f);
}

CASE(stale_rounds_are_counted, "V14", "1,000 stale rounds without progress are an error")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, CHUNK, 0);

	ck_assert_int_eq(RUN(f, &it, { .stale = true }), -EIO);
	ck_assert_uint_eq(f->nr_begin, 1000);
	ck_assert_str_eq(f->t.last_rule, "V14");
	ck_assert_str_eq(f->t.last_callback, "iomap_begin");
	ck_assert_uint_eq(f->t.last_value, 1000);
	ck_assert_uint_eq(f->t.nr_reports, 1);
	fix_close(f);
}

CASE(progress_forgives_stale_rounds, "V14", "Only rounds in a row count")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, 3 * BLK, 0);
	int rc;

	while ((rc = iomap_iter(&it, &f->ops)) > 0)
		body(f, &it, &(struct step){ .take = f->nr_begin % 900 ? 0 : BLK, .stale = true });
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(it.pos, 3 * BLK);
	ck_assert_uint_eq(f->nr_begin, 2700);
	ck_assert_uint_eq(f->t.nr_reports, 0);
	fix_close(f);
}

/* ---- arithmetic and mistakes of the caller ---- */

static int first_step(struct fix *f, int64_t pos, uint64_t len)
{
	struct iomap_iter it = fix_iter(f, pos, len, 0);
	int rc = iomap_iter(&it, &f->ops);

	if (rc > 0)
		ck_assert_int_eq(iomap_iter(&it, &f->ops), 0);
	return rc;
}

CASE(ranges_are_checked_before_begin, "", "Length 0 does nothing; beyond 2^63-1 is -EFBIG")
{
	struct fix *f = fix_open(1 << 24);

	ck_assert_int_eq(first_step(f, 0, 0), 0);
	ck_assert_int_eq(first_step(f, IOMAP_MAX_POS, 0), 0);
	ck_assert_int_eq(first_step(f, IOMAP_MAX_POS, 1), -EFBIG);
	ck_assert_int_eq(first_step(f, IOMAP_MAX_POS - 1, 2), -EFBIG);
	ck_assert_int_eq(first_step(f, 1, IOMAP_MAX_POS), -EFBIG);
	ck_assert_int_eq(first_step(f, 0, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(first_step(f, -1, 1), -EINVAL);
	ck_assert_int_eq(first_step(f, INT64_MIN, 1), -EINVAL);
	ck_assert_uint_eq(f->nr_calls, 0);
	ck_assert_uint_eq(f->t.nr_reports, 0);
	f->map = (struct iomap){ .type = IOMAP_HOLE, .length = IOMAP_MAX_POS,
				 .addr = IOMAP_NULL_ADDR };
	ck_assert_int_eq(first_step(f, IOMAP_MAX_POS - 1, 1), 1);
	ck_assert_int_eq(first_step(f, 0, IOMAP_MAX_POS), 1);
	fix_close(f);
}

CASE(tables_are_checked_before_begin, "", "No table, no begin, a table of another age: -EINVAL")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, 0, BLK, 0);

	ck_assert_int_eq(iomap_iter(&it, NULL), -EINVAL);
	f->ops.struct_size = 0;
	ck_assert_int_eq(iomap_iter(&it, &f->ops), -EINVAL);
	f->ops.struct_size = sizeof(f->ops);
	f->ops.iomap_begin = NULL;
	ck_assert_int_eq(iomap_iter(&it, &f->ops), -EINVAL);
	ck_assert_uint_eq(f->nr_calls, 0);
	f->ops.iomap_begin = fix_begin;
	f->ops.struct_size = sizeof(f->ops) + 64;	/* a younger client */
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }), BLK);
	fix_close(f);
}

CASE(last_written_block_rounds, "", "Nothing written: down to a block; something: up to one")
{
	struct iomap_inode inode = { .block_bits = 12 };

	ck_assert_int_eq(iomap_last_written_block(&inode, 5000, 0), BLK);
	ck_assert_int_eq(iomap_last_written_block(&inode, 5000, -5), BLK);
	ck_assert_int_eq(iomap_last_written_block(&inode, BLK, 0), BLK);
	ck_assert_int_eq(iomap_last_written_block(&inode, 5000, 1), 2 * BLK);
	ck_assert_int_eq(iomap_last_written_block(&inode, 0, BLK), BLK);
	ck_assert_int_eq(iomap_last_written_block(&inode, 0, BLK + 1), 2 * BLK);
	ck_assert_int_eq(iomap_last_written_block(&inode, IOMAP_MAX_POS - 1, 1), IOMAP_MAX_POS);
	inode.block_bits = 0;
	ck_assert_int_eq(iomap_last_written_block(&inode, 10, 3), 13);
}

CASE(steps_are_traced, "", "begin, map and end are events with their numbers")
{
	struct fix *f = open_chunks();
	struct iomap_iter it = fix_iter(f, BLK, CHUNK, IOMAP_WRITE);
	const struct iomap_trace_record *r;

	t_env_trace(&f->t);
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }, { .take = 8, .end_rc = -EIO }), 3 * BLK);
	r = f->t.trace;
	ck_assert_uint_eq(f->t.nr_trace, 6);
	ck_assert_uint_eq(r[0].event, IOMAP_TRACE_ITER_BEGIN);
	ck_assert_int_eq(r[0].pos, BLK);
	ck_assert_uint_eq(r[0].len, CHUNK);
	ck_assert_uint_eq(r[0].flags, IOMAP_WRITE);
	ck_assert_ptr_eq(r[0].inode, &f->inode);
	ck_assert_uint_eq(r[1].event, IOMAP_TRACE_MAP);
	ck_assert_int_eq(r[1].pos, 0);
	ck_assert_uint_eq(r[1].len, CHUNK);
	ck_assert_uint_eq(r[1].type, IOMAP_MAPPED);
	ck_assert_ptr_eq(r[1].bdev, f->bdev);
	ck_assert_uint_eq(r[4].addr, CHUNK);
	ck_assert_uint_eq(r[2].event, IOMAP_TRACE_ITER_END);
	ck_assert_uint_eq(r[2].len, 3 * BLK);
	ck_assert_int_eq(r[2].result, 0);
	ck_assert_uint_eq(r[5].event, IOMAP_TRACE_ITER_END);
	ck_assert_uint_eq(r[5].len, 8);
	ck_assert_int_eq(r[5].result, -EIO);
	/* a map that is refused is not shown as one */
	f->fill = NULL;
	f->map.length = 0;
	t_env_trace(&f->t);
	it = fix_iter(f, 0, BLK, 0);
	ck_assert_int_eq(RUN(f, &it, { .take = FULL }), -EIO);
	ck_assert_uint_eq(t_env_count(&f->t, IOMAP_TRACE_MAP), 0);
	ck_assert_uint_eq(t_env_count(&f->t, IOMAP_TRACE_ITER_BEGIN), 1);
	ck_assert_uint_eq(t_env_count(&f->t, IOMAP_TRACE_ITER_END), 1);
	fix_close(f);
}

/* ---- random maps against a model of a few lines ---- */

struct model {
	uint64_t seed;
	uint64_t expect;		/* the work of the current map */
};

static void random_map(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
		       struct iomap *src)
{
	struct model *m = f->arg;
	uint64_t block = (uint64_t)pos / BLK, before, blocks;

	before = t_rand(&m->seed) % 4;
	before = before < block ? before : block;
	blocks = before + 1 + t_rand(&m->seed) % 6;
	*map = (struct iomap){ .type = IOMAP_HOLE, .offset = (int64_t)((block - before) * BLK),
			       .length = blocks * BLK, .addr = IOMAP_NULL_ADDR };
	if (t_rand(&m->seed) % 2) {
		map->type = IOMAP_MAPPED;
		map->addr = t_rand(&m->seed) % 8 * BLK;
		map->bdev = f->bdev;
	}
	m->expect = (uint64_t)map->offset + map->length - (uint64_t)pos;
	if (m->expect > len)
		m->expect = len;
	if (t_rand(&m->seed) % 4)
		return;
	blocks = 1 + t_rand(&m->seed) % 3;
	*src = (struct iomap){ .type = IOMAP_UNWRITTEN, .offset = (int64_t)(block * BLK),
			       .length = blocks * BLK, .bdev = f->bdev,
			       .addr = (64 + t_rand(&m->seed) % 8) * BLK };
	if (m->expect > (block + blocks) * BLK - (uint64_t)pos)
		m->expect = (block + blocks) * BLK - (uint64_t)pos;
}

static struct step random_step(struct model *m)
{
	struct step step = { .take = FULL };

	switch (t_rand(&m->seed) % 8) {
	case 0:
		step.take = t_rand(&m->seed) % m->expect;
		break;
	case 1:
		step.take = t_rand(&m->seed) % m->expect;
		step.stale = true;
		break;
	case 2:
		step = (struct step){ .stale = true };
		break;
	case 3:
		if (t_rand(&m->seed) % 4 == 0)
			step.status = -EINTR;
		if (t_rand(&m->seed) % 4 == 0)
			step.end_rc = -ENOSPC;
		break;
	}
	return step;
}

static void one_random_loop(struct fix *f, struct model *m)
{
	int64_t pos = (int64_t)(t_rand(&m->seed) % (8 * BLK)), done;
	uint64_t len = 1 + t_rand(&m->seed) % (64 * BLK);
	struct iomap_iter it = fix_iter(f, pos, len, IOMAP_WRITE);
	int rc, expect_rc = 1;

	f->nr_calls = 0;
	while ((rc = iomap_iter(&it, &f->ops)) > 0) {
		struct step step = random_step(m);

		ck_assert_int_eq(expect_rc, 1);
		ck_assert_int_eq(it.pos, pos);
		ck_assert_uint_eq(it.len, len);
		ck_assert_uint_eq(iomap_length(&it), m->expect);
		ck_assert_int_eq(iomap_iter_advance(&it, m->expect + 1), -EIO);
		body(f, &it, &step);
		done = step.take == FULL ? (int64_t)m->expect : (int64_t)step.take;
		expect_rc = step.end_rc ? step.end_rc : step.status ? step.status :
			    (uint64_t)done == len ? 0 : done || step.stale;
		if (!step.end_rc) {
			pos += done;
			len -= (uint64_t)done;
		}
	}
	ck_assert_int_eq(rc, expect_rc);
	ck_assert_int_eq(it.pos, pos);
	ck_assert_uint_eq(it.len, len);
	/* pairs: begin asks for all the rest, end hears of the part that the map allowed */
	ck_assert_uint_eq(f->nr_calls % 2, 0);
	for (unsigned i = 0; i < f->nr_calls; i += 2) {
		ck_assert(!f->calls[i].end && f->calls[i + 1].end);
		ck_assert_int_eq(f->calls[i].pos, f->calls[i + 1].pos);
		ck_assert_uint_le(f->calls[i + 1].len, f->calls[i].len);
		ck_assert_uint_le((uint64_t)f->calls[i + 1].written, f->calls[i + 1].len);
		if (i)
			ck_assert_int_eq(f->calls[i].pos,
					 f->calls[i - 1].pos + f->calls[i - 1].written);
	}
}

CASE(random_loops_equal_the_model, "I1 I4 I6 I7 I8 I9 I10 I11 I13",
     "Random maps, bodies and failures against a model of a few lines")
{
	struct fix *f = fix_open(1ll << 40);
	struct model m = { .seed = 1 };

	f->fill = random_map;
	f->arg = &m;
	for (unsigned i = 0; i < 3000; i++)
		one_random_loop(f, &m);
	ck_assert_uint_gt(f->nr_begin, 9000);
	fix_close(f);
}

MAIN()
