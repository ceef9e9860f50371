/* SPDX-License-Identifier: MIT */
/*
 * test_read_folio.c - filling one folio: what is read, what is zeroed, what is left alone, and who
 * unlocks it.
 */
#include "unit/read_table.h"

CASE(uptodate_blocks_are_not_read_again, "I27",
     "What is newer in memory is not read over from the device")
{
	struct table s;
	uint64_t bytes;

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	ck_assert_int_eq(m_fill(s.f, BLOCK, BLOCK, 9), BLOCK);	/* a whole block: nothing is read */
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert(m_content_ok(s.f));
	nr_reads(&s, &bytes);
	ck_assert_uint_eq(bytes, 2 * FOLIO - BLOCK);
	stop(&s);
}

CASE(what_has_no_data_is_zeroed, "I28",
     "Holes, promises and unwritten blocks are zeros, not requests")
{
	struct table s;

	start(&s, &(struct m_opts){ .unwritten = true });
	/* a block at the end makes the rest a hole; one written and not converted is unwritten */
	ck_assert_int_eq(m_fill(s.f, 3 * FOLIO, BLOCK, 1), BLOCK);
	ck_assert_int_eq(m_fill(s.f, FOLIO, BLOCK, 1), BLOCK);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	for (unsigned b = 4; b < 8; b++)	/* the blocks of the second folio */
		if (s.f->data[b].type == IOMAP_MAPPED)
			s.f->data[b].type = IOMAP_UNWRITTEN;
	memset(s.f->ref + FOLIO, 0, BLOCK);
	t_mem_log_reset(s.dev);
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(nr_reads(&s, NULL), 1);	/* the one block at the end */
	stop(&s);
}

static int64_t odd_size;

/* One map over all of it, as if there was space far behind the end of the file. */
static void endless(struct m_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map,
		    struct iomap *srcmap)
{
	(void)f;
	(void)len;
	(void)srcmap;
	if (!(flags & IOMAP_WRITE) && pos < odd_size)
		map->length = 1 << 20;
}

CASE(blocks_behind_the_end_are_zeroed, "I28 I29",
     "The read is cut at the block in which the file ends; whole blocks behind it are zeros")
{
	struct iomap_folio *folio;
	struct table s;
	uint64_t bytes;

	for (odd_size = FOLIO + 1; odd_size < 2 * FOLIO; odd_size += 500) {
		size_t inside = ((size_t)odd_size - FOLIO + BLOCK - 1) / BLOCK * BLOCK;

		start(&s, NULL);
		make_file(&s, (size_t)odd_size);
		s.m->hook_map = endless;
		folio = new_folio(&s, FOLIO);
		memset(folio->mem, 0x77, folio->size);
		iomap_read_folio(folio, &s.m->ops, NULL, NULL);
		wait_read(folio);
		ck_assert(uptodate(folio));
		nr_reads(&s, &bytes);
		ck_assert_uint_eq(bytes, inside);
		ck_assert_mem_eq(folio->mem, s.f->ref + FOLIO, (size_t)odd_size - FOLIO);
		ck_assert(zeros(folio, inside));
		iomap_folio_put(folio);
		stop(&s);
	}
}

CASE(folio_behind_the_end_asks_nobody, "I28",
     "A folio wholly behind the end is zeros without a begin")
{
	struct iomap_folio *folio;
	struct table s;
	unsigned begins;

	start(&s, NULL);
	make_file(&s, FOLIO);
	begins = s.m->nr_begin;
	folio = new_folio(&s, 4 * FOLIO);
	memset(folio->mem, 0x77, folio->size);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	ck_assert(uptodate(folio));
	ck_assert(iomap_folio_trylock(folio));
	iomap_folio_unlock(folio);
	ck_assert(zeros(folio, 0));
	ck_assert_uint_eq(s.m->nr_begin, begins);
	iomap_folio_put(folio);
	stop(&s);
}

CASE(failed_ranges_stay_missing, "I30 R32",
     "Exactly the failed ranges are not uptodate; a later read asks for them once, for no others")
{
	struct table s;
	struct iomap_folio *folio;
	char buf[FOLIO];
	uint64_t bytes;

	start(&s, &(struct m_opts){ .chunk = BLOCK, .gap = 1 });
	make_file(&s, FOLIO);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1, -EIO, s.f->data[2].addr);
	folio = new_folio(&s, 0);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	wait_read(folio);
	ck_assert(!uptodate(folio));
	for (unsigned b = 0; b < 4; b++)
		ck_assert_int_eq(iomap_folio_is_partially_uptodate(folio, b * BLOCK, BLOCK),
				 b != 2);
	iomap_folio_put(folio);
	t_mem_log_reset(s.dev);
	ck_assert_int_eq(m_fill(s.f, 10, 50, 3), 50);	/* into block 0, which is there */
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_int_eq(m_read(s.f, 0, buf, 2 * BLOCK), 2 * BLOCK);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_int_eq(m_read(s.f, 2 * BLOCK, buf, BLOCK), BLOCK);
	ck_assert_uint_eq(nr_reads(&s, &bytes), 1);
	ck_assert_uint_eq(bytes, BLOCK);
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(nr_reads(&s, NULL), 1);
	stop(&s);
}

CASE(failed_piece_fails_its_blocks_only, "I30",
     "Of a request that the device takes in pieces the good ones count")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, &(struct m_opts){ .dev = "mem:model,size=16m,max=2048", .max_folio = 16384 });
	make_file(&s, 4 * FOLIO);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, 4 * FOLIO, IOMAP_WRITE, &folio),
			 0);
	ck_assert_uint_eq(folio->size, 4 * FOLIO);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1, -EIO, s.f->data[5].addr);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	wait_read(folio);
	for (unsigned b = 0; b < 16; b++)
		ck_assert_int_eq(iomap_folio_is_partially_uptodate(folio, b * BLOCK, BLOCK),
				 b != 4 && b != 5);
	iomap_folio_put(folio);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(failed_pieces_leave_those_between, "I30", "Two pieces fail, the good ones between them count")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, &(struct m_opts){ .dev = "mem:model,size=16m,max=2048", .max_folio = 16384 });
	make_file(&s, 4 * FOLIO);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, 4 * FOLIO, IOMAP_WRITE, &folio),
			 0);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1, -EIO, s.f->data[2].addr);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1, -EIO, s.f->data[13].addr);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	wait_read(folio);
	for (unsigned b = 0; b < 16; b++)
		ck_assert_int_eq(iomap_folio_is_partially_uptodate(folio, b * BLOCK, BLOCK),
				 b / 2 != 1 && b / 2 != 6);
	iomap_folio_put(folio);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

/* ---- inline ---- */

static char tail[600];
static uint64_t tail_len;

static void give_inline(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			struct iomap *map, struct iomap *srcmap)
{
	(void)pos;
	(void)len;
	(void)srcmap;
	if (flags & IOMAP_WRITE || pos < FOLIO)
		return;
	*map = (struct iomap){
		.type = IOMAP_INLINE, .addr = IOMAP_NULL_ADDR, .offset = FOLIO,
		.length = tail_len, .inline_data = tail, .inline_len = sizeof(tail),
		.bdev = f->m->bdev,
	};
}

CASE(inline_data_are_copied, "I31",
     "Inline data may lie behind other folios; the rest of the folio is zeros")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO + sizeof(tail));
	memcpy(tail, s.f->ref + FOLIO, sizeof(tail));
	tail_len = sizeof(tail);
	s.m->hook_map = give_inline;
	folio = new_folio(&s, FOLIO);
	memset(folio->mem, 0x77, folio->size);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	ck_assert(uptodate(folio));
	ck_assert_mem_eq(folio->mem, tail, sizeof(tail));
	ck_assert(zeros(folio, sizeof(tail)));
	iomap_folio_put(folio);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(inline_data_shorter_than_the_file, "I31",
     "Inline data that do not hold the whole file are -EIO")
{
	struct table s;
	char buf[64];

	start(&s, NULL);
	make_file(&s, FOLIO + sizeof(tail));
	tail_len = BLOCK / 2;
	s.m->hook_map = give_inline;
	ck_assert_int_eq(m_read(s.f, FOLIO, buf, sizeof(buf)), -EIO);
	ck_assert_uint_gt(s.t.nr_reports, 0);
	stop(&s);
}

/* ---- completions in any order ---- */

static void order(unsigned n, unsigned *picks)
{
	for (unsigned i = 0; i < 3; i++) {	/* of 3, 2, 1 that are left */
		picks[i] = n % (3 - i);
		n /= 3 - i;
	}
}

CASE(reads_end_in_any_order, "I21",
     "Three reads and the zeros behind the end: whoever comes last, uptodate and unlocked")
{
	struct iomap_folio *folio;
	unsigned picks[3];
	struct table s;

	start(&s, &(struct m_opts){ .chunk = BLOCK, .gap = 1 });
	make_file(&s, 2 * BLOCK + 100);		/* blocks 0-2 are read, 3 is zeroed */
	for (unsigned n = 0; n < 6; n++) {
		order(n, picks);
		folio = new_folio(&s, 0);
		memset(folio->mem, 0x77, FOLIO);
		t_mem_hold(s.dev, true);
		iomap_read_folio(folio, &s.m->ops, NULL, NULL);
		ck_assert_uint_eq(t_mem_nr_held(s.dev), 3);
		for (unsigned i = 0; i < 3; i++) {
			ck_assert(!uptodate(folio));
			ck_assert(!iomap_folio_trylock(folio));
			t_mem_release(s.dev, picks[i]);
			ck_assert_int_eq(iomap_ioq_poll(s.m->ioq, 1, 8, IOMAP_FOREVER), 1);
		}
		ck_assert(uptodate(folio));
		ck_assert(iomap_folio_trylock(folio));
		iomap_folio_unlock(folio);
		ck_assert_mem_eq(folio->mem, s.f->ref, FOLIO);
		iomap_folio_put(folio);
		t_mem_hold(s.dev, false);
		ck_assert_int_eq(m_drop_cache(s.f), 0);
	}
	stop(&s);
}

/* Some of the ranges are there at once, the others when the test says so. */
static unsigned nr_at_once, nr_late;
static size_t late[4];

static int read_some_at_once(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	struct iomap_folio *folio = ctx->cur_folio;
	size_t off = (size_t)(iter->pos - folio->pos);

	ck_assert_uint_eq(len, BLOCK);
	memset((char *)folio->mem + off, 'r', len);
	if (!nr_at_once) {
		late[nr_late++] = off;
		return 0;
	}
	nr_at_once--;
	iomap_finish_folio_read(folio, off, len, 0);
	return 0;
}

static void zeros_among_reads(unsigned zeroed, unsigned at_once)
{
	const struct iomap_read_ops ops = {
		.struct_size = sizeof(ops), .read_folio_range = read_some_at_once,
	};
	struct iomap_folio *folio;
	struct table s;

	start(&s, &(struct m_opts){ .chunk = BLOCK, .gap = 1 });
	make_file(&s, FOLIO);
	s.f->data[zeroed].type = IOMAP_UNWRITTEN;
	folio = new_folio(&s, 0);
	memset(folio->mem, 0x77, FOLIO);
	nr_at_once = at_once;
	nr_late = 0;
	iomap_read_folio(folio, &s.m->ops, &ops, NULL);
	ck_assert_uint_eq(nr_late, 3 - at_once);
	while (nr_late) {
		ck_assert(!uptodate(folio));
		ck_assert(!iomap_folio_trylock(folio));
		iomap_finish_folio_read(folio, late[--nr_late], BLOCK, 0);
	}
	ck_assert(uptodate(folio));
	ck_assert(iomap_folio_trylock(folio));
	iomap_folio_unlock(folio);
	for (unsigned i = 0; i < FOLIO; i++)
		ck_assert_int_eq(((char *)folio->mem)[i], i / BLOCK == zeroed ? 0 : 'r');
	iomap_folio_put(folio);
	stop(&s);
}

CASE(zeroing_between_reads, "R8 I21",
     "One block is zeroed before, between or after reads that end early or late: still uptodate")
{
	for (unsigned zeroed = 0; zeroed < 4; zeroed++)
		for (unsigned at_once = 0; at_once < 4; at_once++)
			zeros_among_reads(zeroed, at_once);
}

CASE(pending_bytes_count_what_was_queued, "I20",
     "A folio of which some blocks are there ends its read with the last block that was asked for")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	ck_assert_int_eq(m_fill(s.f, BLOCK, BLOCK, 9), BLOCK);
	folio = iomapi_mapping_find(&s.f->inode, 0);
	iomap_folio_lock(folio);
	t_mem_hold(s.dev, true);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	ck_assert_uint_eq(t_mem_nr_held(s.dev), 2);	/* blocks 0, and 2-3 */
	ck_assert_uint_eq(iomapi_cached(folio)->read_pending, 3 * BLOCK);
	t_mem_release(s.dev, 1);
	ck_assert_int_eq(iomap_ioq_poll(s.m->ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_uint_eq(iomapi_cached(folio)->read_pending, BLOCK);
	ck_assert(!iomap_folio_trylock(folio));
	t_mem_release(s.dev, 0);
	ck_assert_int_eq(iomap_ioq_poll(s.m->ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_uint_eq(iomapi_cached(folio)->read_pending, 0);
	ck_assert(uptodate(folio));
	iomap_folio_put(folio);
	t_mem_hold(s.dev, false);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

/* A client that answers at once, in read_folio_range itself; when the folio is through it is the
 * test's own again, and whatever the library still does to it shows in the bytes. */
static unsigned slice;			/* bytes completed at a time */
static struct iomap_folio kept;
static size_t completed;
static bool gone;

static int read_at_once(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	struct iomap_folio *folio = ctx->cur_folio;
	size_t off = (size_t)(iter->pos - folio->pos);

	ck_assert_msg(!gone, "a range of a folio that is through");
	memset((char *)folio->mem + off, 'r', len);
	completed += len;
	for (size_t n; len; len -= n, off += n) {
		n = len < slice ? len : slice;
		iomap_finish_folio_read(folio, off, n, 0);
	}
	if (completed < folio->size)
		return 0;
	ck_assert(!(iomap_folio_flags(folio) & IOMAP_FOLIO_LOCKED));
	kept = *folio;
	memset(folio, 0x5a, sizeof(*folio));
	gone = true;
	return 0;
}

CASE(folio_is_not_touched_after_its_last_range, "R9 I22",
     "With completion inside read_folio_range nobody looks at the folio afterwards")
{
	const struct iomap_read_ops ops = {
		.struct_size = sizeof(ops), .read_folio_range = read_at_once,
	};
	struct iomap_folio *folio, poison;
	struct table s;

	memset(&poison, 0x5a, sizeof(poison));
	for (unsigned chunk = BLOCK; chunk <= FOLIO; chunk *= 2) {
		start(&s, &(struct m_opts){ .chunk = chunk, .gap = 1 });
		make_file(&s, FOLIO);
		for (slice = 256; slice <= chunk; slice *= 2) {
			folio = new_folio(&s, 0);
			completed = 0;
			gone = false;
			iomap_read_folio(folio, &s.m->ops, &ops, NULL);
			ck_assert(gone);
			ck_assert_mem_eq(folio, &poison, sizeof(poison));
			*folio = kept;
			ck_assert(uptodate(folio));
			iomap_folio_put(folio);
			ck_assert_int_eq(m_drop_cache(s.f), 0);
		}
		stop(&s);
	}
}

static unsigned refused, asked, kicks;

static int read_refused(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	size_t off = (size_t)(iter->pos - ctx->cur_folio->pos);

	if (asked++ == refused)
		return -ENXIO;
	memset((char *)ctx->cur_folio->mem + off, 'r', len);
	iomap_finish_folio_read(ctx->cur_folio, off, len, 0);
	return 0;
}

static void count_kicks(const struct iomap_iter *iter, struct iomap_read_ctx *ctx)
{
	(void)iter;
	(void)ctx;
	kicks++;
}

CASE(refused_range_leaves_no_lock, "I21 I30",
     "Whichever range is refused, the folio comes back unlocked")
{
	const struct iomap_read_ops ops = {
		.struct_size = sizeof(ops), .read_folio_range = read_refused,
		.submit_read = count_kicks,
	};
	struct iomap_folio *folio;
	struct table s;

	start(&s, &(struct m_opts){ .chunk = BLOCK, .gap = 1 });
	make_file(&s, FOLIO);
	for (refused = 0; refused < 4; refused++) {
		asked = kicks = 0;
		folio = new_folio(&s, 0);
		iomap_read_folio(folio, &s.m->ops, &ops, NULL);
		ck_assert(iomap_folio_trylock(folio));
		ck_assert(!uptodate(folio));
		for (unsigned b = 0; b < 4; b++)
			ck_assert_int_eq(iomap_folio_is_partially_uptodate(folio, b * BLOCK, BLOCK),
					 b < refused);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
		ck_assert_uint_eq(asked, refused + 1);
		ck_assert_uint_eq(kicks, 1);	/* on every exit */
		ck_assert_int_eq(m_drop_cache(s.f), 0);
	}
	ck_assert(m_balanced(s.m));
	stop(&s);
}

MAIN()
