/* SPDX-License-Identifier: MIT */
/*
 * test_inline.c - a file that is so small that it lies in its inode, and what becomes of it: read,
 * written, cut, reported, and moved into blocks when it grows.
 */
#include "harness/memdev.h"
#include "model/model.h"

#define PAGE	4096
#define ROOM	300		/* bytes of an inode's memory */

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
};
static char inode_mem[ROOM];
static unsigned map_flags;
static bool is_inline;

/* Behind the room there is nothing, in the same block; who wants to write there has to come with
 * blocks. */
static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct m_file *f = M_FILE(inode);

	if (!is_inline)
		return m_begin(inode, pos, len, flags, map, srcmap, priv);
	if (pos >= ROOM && (flags & IOMAP_WRITE))
		return -E2BIG;
	*map = (struct iomap){
		.type = IOMAP_HOLE, .addr = IOMAP_NULL_ADDR, .length = M_MAX_FILE,
		.bdev = f->m->bdev, .validity_cookie = f->seq,
	};
	if (pos >= ROOM)
		return 0;
	map->type = IOMAP_INLINE;
	map->flags = (uint16_t)map_flags;
	map->length = map->inline_len = ROOM;
	map->inline_data = inode_mem;
	return 0;
}

static int end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
	       unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	return is_inline ? 0 : m_end(inode, pos, len, written, flags, map, srcmap, priv);
}

/* 250 bytes in the inode, delayed allocation or not, blocks of 1 KiB or of a page. */
static void start(struct story *s, bool delalloc, unsigned block_bits)
{
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, &(struct m_opts){ .delalloc = delalloc, .unwritten = delalloc,
					       .block_bits = block_bits, .max_folio = PAGE });
	s->f = m_file_new(s->m);
	s->m->ops.iomap_begin = begin;
	s->m->ops.iomap_end = end;
	is_inline = true;
	map_flags = 0;
	memset(inode_mem, 0x77, ROOM);
	ck_assert_int_eq(m_fill(s->f, 0, 250, 1), 250);
}

static uint64_t dirty(struct story *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats.dirty;
}

/* In memory, in the inode, and out of it again. */
static void all_inline(struct story *s)
{
	ck_assert_uint_eq(dirty(s), 0);
	ck_assert(m_content_ok(s->f));
	ck_assert_mem_eq(inode_mem, s->f->ref, (size_t)s->f->ref_size);
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	ck_assert(m_content_ok(s->f));
	ck_assert_int_eq(s->m->nr_allocated, 0);
	ck_assert_int_eq(s->m->nr_reserved, 0);
	ck_assert_uint_eq(s->t.nr_reports, 0);
}

static void stop(struct story *s)
{
	ck_assert(m_balanced(s->m));
	m_file_free(&s->f);
	m_close(&s->m);
	t_env_stop(&s->t);
}

CASE(small_file_lives_in_its_inode, "I48 I31",
     "Written, written over, extended inside its room: the inode has it, no block and no request")
{
	struct story s;
	unsigned nr;

	start(&s, true, 10);
	all_inline(&s);
	ck_assert_int_eq(m_fill(s.f, 100, 20, 2), 20);	/* into what is not cached */
	all_inline(&s);
	ck_assert_int_eq(m_fill(s.f, 250, 50, 3), 50);
	ck_assert_int_eq(m_sync(s.f), 0);
	all_inline(&s);
	t_mem_log(t_mem_find("model"), &nr);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_uint_lt(t_mem_log(t_mem_find("model"), &nr)[i].addr, 64 << 10);
	stop(&s);
}

CASE(small_file_is_cut_and_grows, "I48 I66",
     "Cut inside its room and grown again: zeros between, in the inode as well")
{
	struct story s;

	start(&s, true, 12);
	ck_assert_int_eq(m_truncate(s.f, 70), 0);
	all_inline(&s);
	for (unsigned i = 70; i < ROOM; i++)
		ck_assert_int_eq(inode_mem[i], 0);
	ck_assert_int_eq(m_truncate(s.f, 200), 0);
	all_inline(&s);
	ck_assert_int_eq(m_zero(s.f, 10, 20, NULL), 0);
	all_inline(&s);
	ck_assert_int_eq(m_truncate(s.f, 0), 0);
	ck_assert_int_eq(m_fill(s.f, 10, 20, 4), 20);
	all_inline(&s);
	stop(&s);
}

CASE(small_file_has_nothing_to_unshare, "R33",
     "Unshared, even if its map says shared: no byte and no folio changes, and none after reload")
{
	char before[ROOM];
	struct story s;

	start(&s, true, 10);
	memcpy(before, inode_mem, ROOM);
	for (unsigned i = 0; i < 2; i++) {
		map_flags = i ? IOMAP_F_SHARED : 0;
		ck_assert_int_eq(m_unshare(s.f, 0, 250), 0);
		ck_assert_uint_eq(dirty(&s), 0);
		ck_assert_mem_eq(inode_mem, before, ROOM);
		ck_assert_int_eq(m_drop_cache(s.f), 0);
		ck_assert_int_eq(m_unshare(s.f, 0, 250), 0);
		all_inline(&s);
	}
	stop(&s);
}

CASE(small_file_is_reported, "I139 I140 I142",
     "Data up to the end, one inline extent, no block to name and no page to swap to")
{
	struct m_extents all = { .max = 0 };
	struct story s;

	start(&s, true, 12);
	ck_assert_int_eq(m_seek_data(s.f, 100), 100);
	ck_assert_int_eq(m_seek_hole(s.f, 100), 250);
	ck_assert_int_eq(m_seek_data(s.f, 250), -ENXIO);
	ck_assert_int_eq(m_fiemap(s.f, 0, 250, true, &all), 0);
	ck_assert_uint_eq(all.nr, 1);
	ck_assert_int_eq(all.e[0].pos, 0);
	ck_assert_uint_eq(all.e[0].len, ROOM);
	ck_assert_uint_eq(all.e[0].flags, IOMAP_EXTENT_INLINE | IOMAP_EXTENT_LAST);
	ck_assert_uint_eq(iomap_bmap(&s.f->inode, 0, &s.m->ops, NULL), 0);
	all_inline(&s);
	stop(&s);
}

/* What a client does before a write that has no room: its maps speak of blocks from now on, and its
 * bytes go through the cache like anybody's.  If that fails it is as it was. */
static int64_t grow_out(struct story *s)
{
	size_t len = (size_t)s->f->ref_size;
	char copy[ROOM];
	int64_t n;

	memcpy(copy, inode_mem, len);
	is_inline = false;
	n = m_write(s->f, 0, copy, len);
	if (n != (int64_t)len)
		is_inline = true;
	return n;
}

static void grows_out(bool delalloc, unsigned block_bits, bool cold)
{
	struct m_extents all = { .max = 0 };
	struct story s;

	start(&s, delalloc, block_bits);
	if (cold)
		ck_assert_int_eq(m_drop_cache(s.f), 0);
	s.m->fail_begin = (struct m_fault){ .nth = 1, .error = -ENOSPC };
	ck_assert_int_eq(grow_out(&s), -ENOSPC);
	all_inline(&s);
	if (!cold)
		ck_assert(m_content_ok(s.f));	/* cached again */
	ck_assert_int_eq(grow_out(&s), 250);
	memset(inode_mem, 0x66, ROOM);		/* has other uses now */
	ck_assert_uint_gt(dirty(&s), 0);
	ck_assert_int_eq(m_fill(s.f, 240, 5000, 5), 5000);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_fiemap(s.f, 0, 5240, false, &all), 0);
	ck_assert_uint_eq(all.nr, 1);
	ck_assert_uint_eq(all.e[0].flags, IOMAP_EXTENT_LAST);
	ck_assert_uint_eq(s.t.nr_reports, 0);
	stop(&s);
}

CASE(small_file_grows_out_of_its_inode, "I48 I28",
     "Moved into blocks, its folio cached or not: the bytes are kept, also where there is no space")
{
	for (unsigned i = 0; i < 8; i++)
		grows_out(i & 1, i & 2 ? 12 : 10, i & 4);
}

CASE(write_that_leaves_the_room, "I48",
     "A client that says so when its room is full: a short count, and what fits was written")
{
	struct story s;

	start(&s, true, 12);
	ck_assert_int_eq(m_fill(s.f, 280, 100, 6), 20);
	ck_assert_mem_eq(inode_mem, s.f->ref, ROOM);
	ck_assert_uint_eq(dirty(&s), 0);
	stop(&s);
}

MAIN()
