/* SPDX-License-Identifier: MIT */
/*
 * test_seek.c - where the next data and the next hole are.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#include "cache/cache.h"

#define BLOCK	1024
#define K	1024
#define SIZE	(96 * K)

struct seek {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
};

static void start(struct seek *s, const struct m_opts *opts)
{
	struct m_opts o = { .delalloc = true, .unwritten = true };

	if (opts)
		o = *opts;
	o.block_bits = 10;
	o.max_folio = 16 * K;
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, &o);
	s->f = m_file_new(s->m);
}

static void prealloc(struct seek *s, int64_t pos, uint64_t len, bool grow)
{
	int64_t end = pos + (int64_t)len;

	m_preallocate(s->f, pos, len, false);
	if (grow && end > iomap_inode_size(&s->f->inode))
		ck_assert_int_eq(m_truncate(s->f, end), 0);
}

static void stop(struct seek *s)
{
	ck_assert(m_balanced(s->m));
	m_file_free(&s->f);
	m_close(&s->m);
	t_env_stop(&s->t);
}

CASE(cached_blocks_of_unwritten_space_are_data, "I138",
     "Dirty or clean, an uptodate block is data; one that is not cached or not uptodate is a hole")
{
	struct seek s;
	char buf[100];

	start(&s, NULL);
	prealloc(&s, 0, SIZE, true);
	ck_assert_int_eq(m_seek_data(s.f, 0), -ENXIO);
	ck_assert_int_eq(m_seek_hole(s.f, 0), 0);
	ck_assert_int_eq(m_fill(s.f, 21 * K + 100, 100, 1), 100);
	ck_assert_int_eq(m_seek_data(s.f, 0), 21 * K);		/* dirty, one block of a page */
	ck_assert_int_eq(m_seek_data(s.f, 21 * K + 5), 21 * K + 5);
	ck_assert_int_eq(m_seek_hole(s.f, 21 * K + 5), 22 * K);
	ck_assert_int_eq(m_read(s.f, 40 * K, buf, sizeof(buf)), sizeof(buf));
	ck_assert_int_eq(m_seek_data(s.f, 22 * K), 40 * K);	/* clean zeros */
	ck_assert_int_eq(m_seek_hole(s.f, 40 * K), 44 * K);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	ck_assert_int_eq(m_seek_data(s.f, 0), 21 * K);		/* converted */
	ck_assert_int_eq(m_seek_data(s.f, 22 * K), -ENXIO);
	ck_assert_int_eq(m_seek_hole(s.f, 21 * K), 22 * K);
	stop(&s);
}

CASE(many_folios_are_one_stretch, "I138",
     "Data in the cache goes on over folios, and a hole over those that are not there")
{
	struct seek s;

	start(&s, NULL);
	prealloc(&s, 0, 4 * SIZE, true);
	for (int64_t pos = 0; pos < 2 * SIZE; pos += 4 * K)	/* more than one look finds */
		ck_assert_int_eq(m_fill(s.f, pos, 4 * K, 1), 4 * K);
	ck_assert_int_eq(m_seek_hole(s.f, 0), 2 * SIZE);
	ck_assert_int_eq(m_fill(s.f, 4 * SIZE - 1, 1, 1), 1);
	ck_assert_int_eq(m_seek_data(s.f, 2 * SIZE), 4 * SIZE - BLOCK);
	ck_assert_int_eq(m_seek_hole(s.f, 4 * SIZE - BLOCK), 4 * SIZE);
	stop(&s);
}

CASE(no_answer_lies_behind_the_end, "I139",
     "The end is a hole; at and behind it, and before the start, there is nothing to ask")
{
	struct seek s;

	start(&s, NULL);
	ck_assert_int_eq(m_seek_hole(s.f, 0), -ENXIO);		/* an empty file */
	ck_assert_int_eq(m_seek_data(s.f, 0), -ENXIO);
	ck_assert_int_eq(m_fill(s.f, 0, 5000, 1), 5000);
	ck_assert_int_eq(m_seek_hole(s.f, 0), 5000);		/* promised: inside a block */
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_int_eq(m_seek_hole(s.f, 0), 5000);		/* mapped */
	prealloc(&s, 5 * K, SIZE, false);
	ck_assert_int_eq(m_seek_hole(s.f, 4999), 5000);
	ck_assert_int_eq(m_seek_data(s.f, 4999), 4999);
	ck_assert_int_eq(m_seek_data(s.f, 5000), -ENXIO);
	ck_assert_int_eq(m_seek_hole(s.f, 5000), -ENXIO);
	ck_assert_int_eq(m_seek_hole(s.f, -1), -ENXIO);
	ck_assert_int_eq(m_seek_data(s.f, INT64_MIN), -ENXIO);
	ck_assert_int_eq(m_seek_data(s.f, IOMAP_MAX_POS), -ENXIO);
	iomap_inode_set_size(&s.f->inode, 20 * K);		/* the rest is a hole */
	ck_assert_int_eq(m_seek_data(s.f, 5 * K), -ENXIO);
	ck_assert_int_eq(m_seek_hole(s.f, 5 * K), 5 * K);
	ck_assert_int_eq(m_seek_hole(s.f, 20 * K - 1), 20 * K - 1);
	stop(&s);
}

/* ---- against what the tables and the cache say, block by block ---- */

static bool is_data(struct m_file *f, int64_t pos)
{
	struct m_block *b = &f->data[pos / BLOCK];
	struct iomap_folio *folio;
	bool data;

	if (b->type != IOMAP_UNWRITTEN)
		return b->type != IOMAP_HOLE || f->cow[pos / BLOCK].type != IOMAP_HOLE;
	folio = iomapi_mapping_find(&f->inode, pos);
	if (!folio)
		return false;
	data = iomapi_folio_block_uptodate(folio, (size_t)(pos - folio->pos));
	iomap_folio_put(folio);
	return data;
}

static int64_t expect(struct m_file *f, int64_t pos, bool data)
{
	int64_t size = iomap_inode_size(&f->inode);

	while (pos < size && is_data(f, pos) != data)
		pos = (pos / BLOCK + 1) * BLOCK;
	if (pos >= size)
		return data ? -ENXIO : size;
	return pos;
}

static void compare_all(struct m_file *f)
{
	for (int64_t pos = 0; pos < iomap_inode_size(&f->inode); pos += 300) {
		ck_assert_int_eq(m_seek_data(f, pos), expect(f, pos, true));
		ck_assert_int_eq(m_seek_hole(f, pos), expect(f, pos, false));
	}
}

CASE(seek_agrees_with_the_tables, "I138 I139",
     "After any mixture of writes, preallocations, reads, syncs and drops")
{
	uint64_t state = 42;
	struct seek s;
	char buf[5000];

	start(&s, NULL);
	for (unsigned i = 0; i < 60; i++) {
		int64_t pos = (int64_t)(t_rand(&state) % SIZE);
		uint64_t len = 1 + t_rand(&state) % sizeof(buf);

		switch (t_rand(&state) % 8) {
		case 0: case 1:
			prealloc(&s, pos, len, i & 1);
			break;
		case 2: case 3: case 4:
			ck_assert_int_eq(m_fill(s.f, pos, len, i), (int64_t)len);
			break;
		case 5:
			ck_assert_int_ge(m_read(s.f, pos, buf, len), 0);
			break;
		case 6:
			ck_assert_int_eq(m_sync(s.f), 0);
			break;
		default:
			ck_assert_int_eq(m_drop_cache(s.f), 0);
		}
		compare_all(s.f);
	}
	stop(&s);
}

CASE(promises_of_the_cow_fork_are_data, "I138",
     "Out-of-place writes: between write and completion the data fork knows nothing yet")
{
	struct seek s;

	start(&s, &(struct m_opts){ .anon = true });
	ck_assert_int_eq(m_fill(s.f, 8 * K, 2 * K, 1), 2 * K);
	ck_assert_int_eq(m_seek_data(s.f, 0), 8 * K);
	compare_all(s.f);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_int_eq(m_seek_data(s.f, 0), 8 * K);
	stop(&s);
}

CASE(what_is_in_flight_is_data, "I138 R21",
     "Out-of-place writes between submission and completion are in no fork, and yet data")
{
	struct t_mem *dev;
	struct seek s;

	start(&s, &(struct m_opts){ .anon = true });
	dev = t_mem_find("model");
	ck_assert_int_eq(m_truncate(s.f, SIZE), 0);
	ck_assert_int_eq(m_fill(s.f, 20 * K, 8 * K, 1), 8 * K);
	t_mem_hold(dev, true);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_uint_eq(s.f->data[20].type, IOMAP_HOLE);
	ck_assert_uint_eq(s.f->cow[20].type, IOMAP_HOLE);
	ck_assert_int_eq(m_seek_data(s.f, 0), 20 * K);
	ck_assert_int_eq(m_seek_hole(s.f, 20 * K), 28 * K);
	ck_assert_int_eq(m_seek_data(s.f, 28 * K), -ENXIO);
	t_mem_hold(dev, false);
	t_mem_release_all(dev);
	ck_assert_int_eq(m_sync(s.f), 0);
	compare_all(s.f);
	stop(&s);
}

CASE(what_failed_is_data, "I138 H8",
     "Its promise is given back and the tables say hole; the cache has the bytes")
{
	struct seek s;

	start(&s, NULL);
	ck_assert_int_eq(m_truncate(s.f, SIZE), 0);
	ck_assert_int_eq(m_fill(s.f, 4 * K, 4 * K, 1), 4 * K);
	s.m->fail_map = (struct m_fault){ .nth = 1, .count = 99, .error = -EIO };
	ck_assert_int_eq(m_sync(s.f), -EIO);
	s.m->fail_map = (struct m_fault){ 0 };
	ck_assert_uint_eq(s.f->data[4].type, IOMAP_HOLE);
	ck_assert_int_eq(m_seek_data(s.f, 0), 4 * K);
	ck_assert_int_eq(m_seek_hole(s.f, 4 * K), 8 * K);
	stop(&s);
}

CASE(clean_neighbours_of_dirty_blocks_are_holes, "I138",
     "Zeros of a hole that lie in one folio with dirty blocks: hole, where they are not dirty")
{
	struct seek s;

	start(&s, NULL);
	ck_assert_int_eq(m_truncate(s.f, SIZE), 0);
	ck_assert(m_content_ok(s.f));				/* folios of several blocks */
	ck_assert_int_eq(m_fill(s.f, 5 * K, K, 1), K);
	compare_all(s.f);
	ck_assert_int_eq(m_seek_data(s.f, 0), 5 * K);
	ck_assert_int_eq(m_seek_hole(s.f, 5 * K), 6 * K);
	stop(&s);
}

/* The map is out, and the device has the blocks before the look, in a place of their own. */
static void complete(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
		     struct iomap *map, struct iomap *srcmap)
{
	(void)pos, (void)len, (void)srcmap;
	if (!(flags & IOMAP_REPORT) || map->type != IOMAP_HOLE)
		return;
	f->m->hook_map = NULL;
	t_mem_hold(t_mem_find("model"), false);
	t_mem_release_all(t_mem_find("model"));
	ck_assert_int_eq(m_drop_cache(f), 0);
}

CASE(in_flight_is_not_lost_between_map_and_cache, "I138 R21",
     "Completed, mapped and evicted after begin said hole: the seek still finds it")
{
	struct seek s;

	start(&s, &(struct m_opts){ .anon = true });
	ck_assert_int_eq(m_fill(s.f, 0, 8 * K, 1), 8 * K);
	t_mem_hold(t_mem_find("model"), true);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	s.m->hook_map = complete;
	ck_assert_int_eq(m_seek_data(s.f, 0), 0);
	ck_assert_ptr_null(s.m->hook_map);
	compare_all(s.f);
	stop(&s);
}

/* ---- races ---- */

/* The map is out; before anybody looks into the cache the data are written, converted, evicted. */
static void overtake(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
		     struct iomap *map, struct iomap *srcmap)
{
	(void)pos;
	(void)len;
	(void)map;
	(void)srcmap;
	if (!(flags & IOMAP_REPORT))
		return;
	f->m->hook_map = NULL;
	ck_assert_int_eq(m_drop_cache(f), 0);
}

CASE(data_is_not_lost_between_map_and_cache, "I138 O34",
     "Written back and evicted after begin said unwritten: the seek still finds it")
{
	struct seek s;

	start(&s, NULL);
	prealloc(&s, 0, SIZE, true);
	ck_assert_int_eq(m_fill(s.f, 32 * K, 8 * K, 1), 8 * K);
	s.m->hook_map = overtake;
	ck_assert_int_eq(m_seek_data(s.f, 0), 32 * K);
	ck_assert_int_eq(m_fill(s.f, 0, 32 * K, 1), 32 * K);
	s.m->hook_map = overtake;
	ck_assert_int_eq(m_seek_hole(s.f, 0), 40 * K);
	stop(&s);
}

/* ---- what the client says ---- */

static void make_inline(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			struct iomap *map, struct iomap *srcmap)
{
	(void)pos;
	(void)len;
	(void)flags;
	(void)srcmap;
	map->type = IOMAP_INLINE;
	map->inline_data = f->ref;
	map->inline_len = map->length;
}

CASE(inline_data_are_data, "I139", "Up to the end of the file, however large their buffer is")
{
	struct seek s;

	start(&s, NULL);
	ck_assert_int_eq(m_fill(s.f, 0, 700, 1), 700);
	s.m->hook_map = make_inline;
	ck_assert_int_eq(m_seek_data(s.f, 10), 10);
	ck_assert_int_eq(m_seek_hole(s.f, 10), 700);
	s.m->hook_map = NULL;
	stop(&s);
}

CASE(seek_passes_errors_on, "I141",
     "What begin or end said is the answer; a killed file and a bad table are refused")
{
	const struct iomap_ops none = { .struct_size = sizeof(none) };
	struct seek s;

	start(&s, NULL);
	ck_assert_int_eq(m_fill(s.f, 0, SIZE, 1), SIZE);
	s.m->fail_begin = (struct m_fault){ .nth = 1, .error = -EIO };
	ck_assert_int_eq(m_seek_data(s.f, 0), -EIO);
	s.m->fail_end = (struct m_fault){ .nth = 1, .error = -ENOMEM };
	ck_assert_int_eq(m_seek_hole(s.f, 0), -ENOMEM);
	ck_assert_int_eq(m_seek_hole(s.f, 0), SIZE);
	ck_assert_int_eq(iomap_seek_data(&s.f->inode, 0, &none, NULL), -EINVAL);
	ck_assert_int_eq(iomap_inode_kill(&s.f->inode, IOMAP_FOREVER), 0);
	ck_assert_int_eq(m_seek_hole(s.f, 0), -ESTALE);
	stop(&s);
}
MAIN()
