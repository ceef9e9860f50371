/* SPDX-License-Identifier: MIT */
/*
 * test_unshare.c - blocks of its own for a file that shares them.
 */
#include "unit/read_table.h"

/* A file on the device, not in the cache, and a snapshot that has all its blocks too. */
static void make_shared(struct table *s, const struct m_opts *more, size_t len)
{
	struct m_opts opts = *more;

	opts.cow = true;
	start(s, &opts);
	make_file(s, len);
	m_share(s->f);
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	t_mem_log_reset(s->dev);
	s->m->nr_begin = s->m->nr_end = 0;
}

static unsigned nr_shared(struct table *s)
{
	unsigned nr = 0;

	for (unsigned b = 0; b < M_MAX_FILE / BLOCK; b++)
		nr += s->f->data[b].shared;
	return nr;
}

static void content_stays(struct table *s)
{
	ck_assert(m_content_ok(s->f));
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	ck_assert(m_device_equals_model(s->f));
	ck_assert(m_content_ok(s->f));
	ck_assert_int_eq(s->m->nr_reserved, 0);
	ck_assert(m_balanced(s->m));
}

static uint64_t dirty_bytes(struct table *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats.dirty;
}

CASE(touched_blocks_become_its_own, "I70 R41",
     "After writeback no block of the range is shared, the others are, and no byte differs")
{
	for (unsigned i = 0; i < 4; i++) {
		struct table s;

		make_shared(&s, &(struct m_opts){ .delalloc = i & 1, .unwritten = i & 2 },
			    8 * FOLIO);
		ck_assert_int_eq(m_unshare(s.f, BLOCK + 100, 2 * FOLIO), 0);
		content_stays(&s);
		ck_assert_uint_eq(nr_shared(&s), 8 * FOLIO / BLOCK - 9);
		for (unsigned b = 1; b < 10; b++)
			ck_assert(!s.f->data[b].shared);
		ck_assert_int_eq(m_unshare(s.f, 0, 8 * FOLIO), 0);
		content_stays(&s);
		ck_assert_uint_eq(nr_shared(&s), 0);
		stop(&s);
	}
}

CASE(missing_blocks_are_read, "I68 R41",
     "Each block that is not in the cache is read from its source, and only those")
{
	struct table s;
	uint64_t bytes;
	char byte;

	make_shared(&s, &(struct m_opts){ .delalloc = true }, 4 * FOLIO);
	ck_assert_int_eq(m_unshare(s.f, BLOCK + 1, FOLIO), 0);
	nr_reads(&s, &bytes);
	ck_assert_uint_eq(bytes, FOLIO + BLOCK);
	ck_assert_int_eq(m_read(s.f, 3 * FOLIO, &byte, 1), 1);
	t_mem_log_reset(s.dev);
	ck_assert_int_eq(m_unshare(s.f, 3 * FOLIO, FOLIO), 0);
	ck_assert_uint_eq(nr_reads(&s, &bytes), 0);
	content_stays(&s);
	stop(&s);
}

static void fresh_source(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			 struct iomap *map, struct iomap *srcmap)
{
	(void)f, (void)pos, (void)len, (void)map;
	if (flags & IOMAP_UNSHARE)
		srcmap->flags |= IOMAP_F_NEW;
}

CASE(nothing_is_zeroed, "I68", "A source that could only be zeroed is -EIO, and nothing is dirty")
{
	struct table s;

	make_shared(&s, &(struct m_opts){ .delalloc = true }, 4 * FOLIO);
	s.m->hook_map = fresh_source;
	ck_assert_int_eq(m_unshare(s.f, 0, 2 * FOLIO), -EIO);
	ck_assert_str_eq(s.t.last_rule, "I68");
	ck_assert_uint_eq(dirty_bytes(&s), 0);
	s.m->hook_map = NULL;
	content_stays(&s);
	stop(&s);
}

CASE(a_block_that_cannot_be_read_stays_shared, "I68",
     "The device refuses: -EIO, what was promised for it is given back")
{
	struct table s;

	make_shared(&s, &(struct m_opts){ .delalloc = true }, 4 * FOLIO);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 2, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_unshare(s.f, 0, 4 * FOLIO), -EIO);
	ck_assert_uint_eq(dirty_bytes(&s), FOLIO);
	ck_assert_int_eq(s.m->nr_reserved, FOLIO / BLOCK);
	content_stays(&s);
	ck_assert_uint_eq(nr_shared(&s), 3 * FOLIO / BLOCK);
	stop(&s);
}

CASE(it_stops_at_the_end_of_the_file, "I69 R42", "Behind it, or before the start, nobody is asked")
{
	const int64_t size = 2 * FOLIO + BLOCK + 10;
	struct table s;
	unsigned i;

	make_shared(&s, &(struct m_opts){ .delalloc = true }, (size_t)size);
	ck_assert_int_eq(m_unshare(s.f, size, FOLIO), 0);
	ck_assert_int_eq(m_unshare(s.f, 3 * FOLIO, FOLIO), 0);
	ck_assert_int_eq(m_unshare(s.f, -(int64_t)FOLIO, 2 * FOLIO), 0);
	ck_assert_int_eq(m_unshare(s.f, IOMAP_MAX_POS, UINT64_MAX), 0);
	ck_assert_uint_eq(s.m->nr_begin, 0);
	m_log_start(s.m);
	ck_assert_int_eq(m_unshare(s.f, FOLIO, UINT64_MAX), 0);
	i = m_log_find(s.m, M_BEGIN, 0);
	ck_assert_int_eq(s.m->log[i].pos + (int64_t)s.m->log[i].len, size);
	ck_assert_int_eq(iomap_inode_size(&s.f->inode), size);
	content_stays(&s);
	ck_assert_uint_eq(nr_shared(&s), FOLIO / BLOCK);
	stop(&s);
}

/* ---- what has nothing to share ---- */

static struct iomap answer;
static bool with_source;

static void answer_that(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			struct iomap *map, struct iomap *srcmap)
{
	(void)pos, (void)len;
	if (!(flags & IOMAP_UNSHARE))
		return;
	*map = answer;
	map->validity_cookie = f->seq;
	if (!with_source)
		return;
	*srcmap = answer;
	map->type = IOMAP_DELALLOC;
	map->addr = IOMAP_NULL_ADDR;
}

static char inline_mem[4 * FOLIO];

static void skips(unsigned type, unsigned flags, bool source)
{
	struct table s;

	start(&s, NULL);
	make_file(&s, 4 * FOLIO);
	answer = (struct iomap){
		.type = (uint16_t)type, .flags = (uint16_t)flags, .length = 4 * FOLIO,
		.addr = IOMAP_NULL_ADDR,
		.bdev = s.m->bdev, .inline_data = inline_mem, .inline_len = sizeof(inline_mem),
	};
	if (type == IOMAP_MAPPED || type == IOMAP_UNWRITTEN)
		answer.addr = 1 << 20;
	with_source = source;
	s.m->hook_map = answer_that;
	s.m->nr_begin = 0;
	ck_assert_int_eq(m_unshare(s.f, 10, 3 * FOLIO), 0);
	ck_assert_uint_eq(s.m->nr_begin, 1);
	ck_assert_uint_eq(dirty_bytes(&s), 0);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_uint_eq(s.t.nr_reports, 0);
	stop(&s);
}

CASE(the_rest_is_stepped_over, "I67 R42",
     "Holes, promises, unwritten, and data that are not shared: one look, no work")
{
	skips(IOMAP_HOLE, IOMAP_F_SHARED, false);
	skips(IOMAP_DELALLOC, IOMAP_F_SHARED, false);
	skips(IOMAP_UNWRITTEN, IOMAP_F_SHARED, false);
	skips(IOMAP_UNWRITTEN, IOMAP_F_SHARED, true);
	skips(IOMAP_MAPPED, 0, false);
	skips(IOMAP_MAPPED, 0, true);
}

CASE(inline_data_are_stepped_over, "R33",
     "There is no block to share: the bytes stay where they are")
{
	char before[sizeof(inline_mem)];

	for (unsigned i = 0; i < sizeof(inline_mem); i++)
		inline_mem[i] = (char)i;
	memcpy(before, inline_mem, sizeof(before));
	skips(IOMAP_INLINE, IOMAP_F_SHARED, false);
	ck_assert_mem_eq(before, inline_mem, sizeof(before));
}

/* ---- overtaken, limited ---- */

static unsigned nr_valid;

static void overtake(struct m_file *f, const struct iomap *map)
{
	(void)map;
	if (!nr_valid++)
		__atomic_add_fetch(&f->seq, 1, __ATOMIC_RELEASE);
}

CASE(stale_maps_are_asked_for_again, "I37 I70", "The client's map changed: another one is used")
{
	struct table s;

	make_shared(&s, &(struct m_opts){ .delalloc = true }, 2 * FOLIO);
	s.m->hook_valid = overtake;
	ck_assert_int_eq(m_unshare(s.f, 0, 2 * FOLIO), 0);
	ck_assert_uint_eq(s.m->nr_begin, 2);
	content_stays(&s);
	ck_assert_uint_eq(nr_shared(&s), 0);
	stop(&s);
}

CASE(long_ranges_keep_to_the_limit, "I47 I70", "A large file is unshared through a small cache")
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };
	struct table s;

	make_shared(&s, &(struct m_opts){ .delalloc = true, .cache_bytes = 1 << 20,
					  .dirty_limit = 64 << 10 }, 2 << 20);
	ck_assert_int_eq(m_unshare(s.f, 0, 2 << 20), 0);
	iomap_cache_stats(s.m->cache, &stats);
	ck_assert_uint_le(stats.dirty, 128 << 10);
	content_stays(&s);
	ck_assert_uint_eq(nr_shared(&s), 0);
	stop(&s);
}

MAIN()
