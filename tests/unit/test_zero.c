/* SPDX-License-Identifier: MIT */
/*
 * test_zero.c - zeros for a range: what is left alone, what is zeroed in the cache, and what a
 * dirty cache over unwritten blocks needs.
 */
#include "unit/read_table.h"

static uint64_t dirty_bytes(struct table *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats.dirty;
}

static uint64_t beyond_eof(struct table *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats.zeroed_beyond_eof;
}

static unsigned nr_requests(struct table *s)
{
	unsigned nr;

	t_mem_log(s->dev, &nr);
	return nr;
}

/* The cache, then the device, then the cache anew. */
static void zeros_stay(struct table *s)
{
	ck_assert(m_content_ok(s->f));
	ck_assert_int_eq(m_sync(s->f), 0);
	ck_assert(m_device_equals_model(s->f));
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	ck_assert(m_content_ok(s->f));
	ck_assert(m_balanced(s->m));
}

/* A file of len bytes that is all hole. */
static void make_holes(struct table *s, int64_t len)
{
	ck_assert_int_eq(m_truncate(s->f, len), 0);
	t_mem_log_reset(s->dev);
}

/* ---- what there is ---- */

CASE(clean_holes_are_left_alone, "I59",
     "Over holes and unwritten blocks nothing is read, written, cached, or reported as zeroed")
{
	for (unsigned batch = 0; batch < 2; batch++) {
		struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };
		bool did_zero = false;
		struct table s;

		start(&s, &(struct m_opts){ .unwritten = true, .batch = batch });
		make_holes(&s, 8 * FOLIO);
		m_preallocate(s.f, 2 * FOLIO, 3 * FOLIO);
		ck_assert_int_eq(m_zero(s.f, 100, 7 * FOLIO, &did_zero), 0);
		ck_assert(!did_zero);
		ck_assert_uint_eq(nr_requests(&s), 0);
		iomap_cache_stats(s.m->cache, &stats);
		ck_assert_uint_eq(stats.bytes, 0);
		zeros_stay(&s);
		stop(&s);
	}
}

CASE(data_are_zeroed, "",
     "Mapped blocks become zeros in the cache; only those at the edges are read")
{
	bool did_zero = false;
	struct table s;
	uint64_t bytes;

	start(&s, NULL);
	make_file(&s, 8 * FOLIO);
	ck_assert_int_eq(m_zero(s.f, 100, 5 * FOLIO, &did_zero), 0);
	ck_assert(did_zero);
	ck_assert_uint_eq(nr_reads(&s, &bytes), 2);
	ck_assert_uint_eq(bytes, 2 * BLOCK);
	ck_assert_uint_eq(nr_requests(&s), 2);
	ck_assert_uint_gt(dirty_bytes(&s), 0);
	zeros_stay(&s);
	stop(&s);
}

CASE(promised_blocks_are_zeroed, "", "Delayed blocks hold data in the cache; those are zeroed")
{
	bool did_zero = false;
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true, .unwritten = true });
	ck_assert_int_eq(m_fill(s.f, 0, 4 * FOLIO, 1), 4 * FOLIO);
	ck_assert_int_eq(m_zero(s.f, BLOCK + 1, FOLIO, &did_zero), 0);
	ck_assert(did_zero);
	ck_assert_uint_eq(s.m->nr_writepages, 0);
	zeros_stay(&s);
	stop(&s);
}

CASE(shared_blocks_are_zeroed_elsewhere, "O3",
     "Under copy-on-write the rest of a block comes from its source, which keeps its bytes")
{
	uint8_t before[BLOCK], after[BLOCK];
	struct table s;
	uint64_t source;

	start(&s, &(struct m_opts){ .cow = true });
	make_file(&s, 2 * FOLIO);
	m_share(s.f);
	source = s.f->data[1].addr;
	ck_assert_int_eq(m_dev_read(s.m->bdev, source, before, BLOCK), 0);
	ck_assert_int_eq(m_zero(s.f, BLOCK + 100, 200, NULL), 0);
	zeros_stay(&s);
	ck_assert_uint_ne(s.f->data[1].addr, source);
	ck_assert_int_eq(m_dev_read(s.m->bdev, source, after, BLOCK), 0);
	ck_assert_mem_eq(before, after, BLOCK);
	stop(&s);
}

/* ---- a dirty cache over unwritten blocks ---- */

static unsigned nr_stale;

static int count_stale(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
		       unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	nr_stale += !!(map->flags & IOMAP_F_STALE);
	return m_end(inode, pos, len, written, flags, map, srcmap, priv);
}

CASE(dirty_cache_is_written_first, "I60 I61 R18",
     "Without a batch: one flush, the map is stale, and begin says MAPPED now")
{
	bool did_zero = false;
	struct table s;

	start(&s, &(struct m_opts){ .unwritten = true, .chunk = FOLIO });
	s.m->ops.iomap_end = count_stale;
	make_holes(&s, 16 * FOLIO);
	for (unsigned i = 0; i < 16; i += 3)
		ck_assert_int_eq(m_fill(s.f, i * FOLIO, FOLIO, i), FOLIO);
	nr_stale = s.m->nr_writepages = 0;
	ck_assert_int_eq(m_zero(s.f, 100, 14 * FOLIO, &did_zero), 0);
	ck_assert(did_zero);
	ck_assert_uint_eq(nr_stale, 1);
	ck_assert_uint_eq(s.m->nr_writepages, 1);
	zeros_stay(&s);
	stop(&s);
}

static void batch_is_exact(unsigned nr, unsigned each)
{
	bool did_zero = false;
	struct table s;
	uint64_t dirty;

	start(&s, &(struct m_opts){ .unwritten = true, .batch = true });
	make_holes(&s, (int64_t)nr * each * FOLIO + FOLIO);
	m_preallocate(s.f, 0, (uint64_t)nr * each * FOLIO + FOLIO);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_int_eq(m_fill(s.f, (int64_t)i * each * FOLIO + 10, BLOCK, i), BLOCK);
	dirty = dirty_bytes(&s);
	ck_assert_uint_eq(dirty, nr * FOLIO);
	s.m->nr_writepages = 0;
	ck_assert_int_eq(m_zero(s.f, 20, (uint64_t)nr * each * FOLIO, &did_zero), 0);
	ck_assert(did_zero);
	ck_assert_uint_eq(s.m->nr_writepages, 0);
	ck_assert_uint_eq(nr_requests(&s), 0);
	ck_assert_uint_eq(dirty_bytes(&s), dirty);
	zeros_stay(&s);
	stop(&s);
}

CASE(batch_visits_what_is_dirty, "I60 R18",
     "With a batch exactly the dirty folios are zeroed, and nothing is written for it")
{
	batch_is_exact(1, 1);
	batch_is_exact(5, 3);
	batch_is_exact(100, 2);		/* several batches */
}

static void lose_the_flag(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			  struct iomap *map, struct iomap *srcmap)
{
	(void)f, (void)pos, (void)len, (void)flags, (void)srcmap;
	map->flags &= (uint16_t)~IOMAP_F_FOLIO_BATCH;
}

CASE(batch_without_its_flag_is_none, "I60",
     "A client that fills its map in after the batch gets the flush, and the right bytes")
{
	struct table s;

	start(&s, &(struct m_opts){ .unwritten = true, .batch = true });
	s.m->hook_map = lose_the_flag;
	make_holes(&s, 4 * FOLIO);
	ck_assert_int_eq(m_fill(s.f, 0, 4 * FOLIO, 1), 4 * FOLIO);
	s.m->nr_writepages = 0;
	ck_assert_int_eq(m_zero(s.f, 5, 3 * FOLIO, NULL), 0);
	ck_assert_uint_eq(s.m->nr_writepages, 1);
	zeros_stay(&s);
	stop(&s);
}

static unsigned types_seen;

/* Once begin has looked, and seen what it should, the device may go on. */
static void let_go(struct m_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map,
		   struct iomap *srcmap)
{
	struct t_mem *dev = t_mem_find("model");

	(void)f, (void)pos, (void)len, (void)srcmap;
	if (!(flags & IOMAP_ZERO))
		return;
	types_seen |= 1u << map->type;
	t_mem_hold(dev, false);
	t_mem_release_all(dev);
}

static void zero_in_flight(const struct m_opts *opts, enum iomap_type seen)
{
	bool did_zero = false;
	struct table s;

	start(&s, opts);
	s.m->hook_map = let_go;
	types_seen = 0;
	ck_assert_int_eq(m_fill(s.f, 0, 4 * FOLIO, 1), 4 * FOLIO);
	t_mem_hold(s.dev, true);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(m_zero(s.f, 100, 2 * FOLIO, &did_zero), 0);
	ck_assert_uint_ne(types_seen & 1u << seen, 0);
	ck_assert(did_zero);
	zeros_stay(&s);
	stop(&s);
}

CASE(what_is_in_flight_counts, "R18 R21",
     "Between submission and completion blocks look unwritten, or like a hole: zeroed all the same")
{
	zero_in_flight(&(struct m_opts){ .anon = true }, IOMAP_HOLE);
	zero_in_flight(&(struct m_opts){ .delalloc = true, .unwritten = true }, IOMAP_UNWRITTEN);
	zero_in_flight(&(struct m_opts){ .delalloc = true, .unwritten = true, .batch = true },
		       IOMAP_UNWRITTEN);
	zero_in_flight(&(struct m_opts){ .unwritten = true, .batch = true,
					 .inode_flags = IOMAP_INODE_STABLE }, IOMAP_UNWRITTEN);
}

CASE(failed_folios_are_zeroed_in_memory, "H8",
     "Over a hole: what failed cannot be written, and yet it is what is read")
{
	bool did_zero = false;
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true, .unwritten = true });
	ck_assert_int_eq(m_fill(s.f, 0, 2 * FOLIO, 1), 2 * FOLIO);
	s.m->fail_map = (struct m_fault){ .nth = 1, .count = 99, .error = -EIO };
	ck_assert_int_eq(m_sync(s.f), -EIO);
	s.m->fail_map = (struct m_fault){ 0 };
	ck_assert_uint_eq(s.f->data[0].type, IOMAP_HOLE);
	ck_assert_int_eq(m_zero(s.f, 100, FOLIO, &did_zero), 0);
	ck_assert(did_zero);
	ck_assert(m_content_ok(s.f));
	iomap_inode_lock(&s.f->inode, 0);
	ck_assert_int_gt(iomap_mapping_redirty_failed(&s.f->inode, 0, IOMAP_MAX_POS, &s.m->ops,
						      NULL), 0);
	iomap_inode_unlock(&s.f->inode);
	zeros_stay(&s);
	stop(&s);
}

/* ---- the end of the file ---- */

CASE(zeroing_grows_nothing, "I64 R19",
     "Behind the end: the size stays, and folios that begin there are counted; inside none is")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true });
	ck_assert_int_eq(m_fill(s.f, 0, FOLIO + 100, 1), FOLIO + 100);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_int_eq(m_zero(s.f, FOLIO + 50, BLOCK - 50, NULL), 0);
	ck_assert_uint_eq(beyond_eof(&s), 0);
	s.f->data[8] = s.f->data[0];
	s.f->data[9] = s.f->data[1];
	ck_assert_int_eq(m_zero(s.f, 2 * FOLIO + 10, BLOCK, NULL), 0);
	ck_assert_uint_eq(beyond_eof(&s), 1);
	ck_assert_int_eq(iomap_inode_size(&s.f->inode), FOLIO + 100);
	s.f->data[8] = s.f->data[9] = (struct m_block){ .type = IOMAP_HOLE };
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(aligned_truncate_page_asks_nobody, "I65", "At a block's start there is nothing to zero")
{
	bool did_zero = false;
	struct table s;

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	s.m->nr_begin = s.m->nr_end = 0;
	ck_assert_int_eq(iomap_truncate_page(&s.f->inode, FOLIO + BLOCK, &did_zero, &s.m->ops,
					     &s.m->write_ops, NULL), 0);
	ck_assert_int_eq(iomap_truncate_page(&s.f->inode, 0, &did_zero, &s.m->ops, NULL, NULL), 0);
	ck_assert_uint_eq(s.m->nr_begin, 0);
	ck_assert(!did_zero);
	ck_assert_int_eq(iomap_truncate_page(&s.f->inode, FOLIO + BLOCK + 1, &did_zero, &s.m->ops,
					     &s.m->write_ops, NULL), 0);
	ck_assert_uint_eq(s.m->nr_begin, 1);
	ck_assert(did_zero);
	memset(s.f->ref + FOLIO + BLOCK + 1, 0, BLOCK - 1);
	zeros_stay(&s);
	stop(&s);
}

CASE(cut_and_grown_reads_as_zeros, "I66 O4",
     "Truncate into a block, then extend, by truncate or by a write: zeros between")
{
	for (unsigned i = 0; i < 8; i++) {
		struct table s;

		start(&s, &(struct m_opts){ .delalloc = i & 1, .unwritten = i & 2 });
		make_file(&s, 4 * FOLIO);
		ck_assert_int_eq(m_truncate(s.f, FOLIO + 700), 0);
		ck_assert(m_content_ok(s.f));
		if (i & 4)
			ck_assert_int_eq(m_truncate(s.f, 3 * FOLIO + 1), 0);
		else
			ck_assert_int_eq(m_fill(s.f, 3 * FOLIO, 1, 2), 1);
		zeros_stay(&s);
		stop(&s);
	}
}

/* ---- inline data ---- */

static char inline_mem[300];

static void inline_file(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			struct iomap *map, struct iomap *srcmap)
{
	(void)pos, (void)len, (void)flags, (void)srcmap;
	*map = (struct iomap){
		.type = IOMAP_INLINE, .addr = IOMAP_NULL_ADDR, .length = sizeof(inline_mem),
		.inline_data = inline_mem, .inline_len = sizeof(inline_mem), .bdev = f->m->bdev,
		.validity_cookie = f->seq,
	};
}

CASE(inline_data_are_zeroed_in_place, "I48",
     "As written: the inode's memory changes and is dirty, the folio is not")
{
	bool did_zero = false;
	struct table s;

	start(&s, NULL);
	s.m->hook_map = inline_file;
	ck_assert_int_eq(m_fill(s.f, 0, 250, 1), 250);
	m_log_start(s.m);
	ck_assert_int_eq(m_zero(s.f, 10, 100, &did_zero), 0);
	ck_assert(did_zero);
	ck_assert_mem_eq(inline_mem, s.f->ref, 250);
	ck_assert_uint_eq(s.m->log[m_log_find(s.m, M_DIRTY_INODE, 0)].flags, IOMAP_DIRTY_INLINE);
	ck_assert_uint_eq(dirty_bytes(&s), 0);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

MAIN()
