/* SPDX-License-Identifier: MIT */
/*
 * test_fiemap.c - the list of extents, the place of a block, the pages of a swap file.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#include <stdlib.h>

#define BLOCK	4096
#define ALL	((uint64_t)INT64_MAX)

/* A client that reads its maps from a table. */
struct entry {
	int64_t offset;
	uint64_t length;
	unsigned type, flags;
	uint64_t addr, src;	/* src: a source of that many bytes comes with it */
};
struct told {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct iomap_ops ops;
	const struct entry *e;
	unsigned nr;
	struct iomap_bdev *bdev;
	int error;		/* of begin, when the table is at its end */
	unsigned nr_begin, nr_end, flags;
	char data[BLOCK];
};

static int told_begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		      struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct told *t = priv;
	const struct entry *e = NULL;

	(void)inode;
	(void)len;
	for (unsigned i = 0; i < t->nr && !e; i++)
		if (pos < t->e[i].offset + (int64_t)t->e[i].length)
			e = &t->e[i];
	if (!e && t->error)
		return t->error;
	t->nr_begin++;
	t->flags |= flags;
	map->type = IOMAP_HOLE;
	map->addr = IOMAP_NULL_ADDR;
	map->offset = pos;
	map->length = (uint64_t)(IOMAP_MAX_POS - pos);
	if (e && pos < e->offset)
		map->length = (uint64_t)(e->offset - pos);
	if (!e || pos < e->offset)
		return 0;
	*map = (struct iomap){
		.type = (uint16_t)e->type, .flags = (uint16_t)e->flags, .offset = e->offset,
		.length = e->length, .bdev = t->bdev, .inline_data = t->data,
		.inline_len = sizeof(t->data), .addr = e->addr,
	};
	if (e->type == IOMAP_DELALLOC)
		map->addr = IOMAP_NULL_ADDR;
	if (e->src)
		*srcmap = (struct iomap){
			.type = IOMAP_MAPPED, .offset = pos / BLOCK * BLOCK, .addr = 1 << 20,
			.length = e->src, .bdev = t->bdev,
		};
	return 0;
}

static int told_end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
		    unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct told *t = priv;

	(void)inode;
	(void)pos;
	(void)len;
	(void)written;
	(void)flags;
	(void)map;
	(void)srcmap;
	t->nr_end++;
	return 0;
}

static void start(struct told *t, const struct m_opts *opts)
{
	memset(t, 0, sizeof(*t));
	t_env_start(&t->t, NULL);
	t->m = m_open(&t->t, opts ? opts : &(struct m_opts){ .delalloc = true,
							     .unwritten = true });
	t->f = m_file_new(t->m);
	t->bdev = t->m->bdev;
	t->ops = (struct iomap_ops){ .struct_size = sizeof(t->ops), .iomap_begin = told_begin,
				     .iomap_end = told_end };
}

static void stop(struct told *t)
{
	ck_assert_uint_eq(t->nr_begin, t->nr_end);
	ck_assert(m_balanced(t->m));
	m_file_free(&t->f);
	m_close(&t->m);
	t_env_stop(&t->t);
}
#define TABLE(t, ...) do { \
	static const struct entry e_[] = { __VA_ARGS__ }; \
	(t)->e = e_; \
	(t)->nr = sizeof(e_) / sizeof(*e_); \
} while (0)

/* ---- the list ---- */

static int fill(void *arg, const struct iomap_extent *extent)
{
	struct m_extents *all = arg;

	ck_assert_uint_lt(all->nr, all->max);
	all->e[all->nr++] = *extent;
	return all->nr == all->max;
}

static int list(struct told *t, int64_t pos, uint64_t len, struct m_extents *all, unsigned max)
{
	*all = (struct m_extents){ .max = max };
	return iomap_fiemap(&t->f->inode, pos, len, false, &t->ops, t, fill, all);
}

static unsigned nr_last(const struct m_extents *all)
{
	unsigned n = 0;

	for (unsigned i = 0; i < all->nr; i++)
		n += !!(all->e[i].flags & IOMAP_EXTENT_LAST);
	return n;
}

static void five_kinds(struct told *t)
{
	TABLE(t, { 0, BLOCK, IOMAP_INLINE, 0, 77, 0 },
	      { 2 * BLOCK, BLOCK, IOMAP_DELALLOC, 0, 0, 0 },
	      { 3 * BLOCK, 2 * BLOCK, IOMAP_UNWRITTEN, IOMAP_F_MERGED, 5 * BLOCK, 0 },
	      { 5 * BLOCK, BLOCK, IOMAP_MAPPED, IOMAP_F_SHARED, 9 * BLOCK, 0 },
	      { 7 * BLOCK, BLOCK, IOMAP_MAPPED, 0, 0, 0 });
}

CASE(extents_say_what_they_are, "I140",
     "Holes are left out, each of the other types has its flags, the last of all is LAST")
{
	const uint32_t flags[] = {
		IOMAP_EXTENT_INLINE, IOMAP_EXTENT_DELALLOC | IOMAP_EXTENT_UNKNOWN,
		IOMAP_EXTENT_UNWRITTEN | IOMAP_EXTENT_MERGED, IOMAP_EXTENT_SHARED,
		IOMAP_EXTENT_LAST,
	};
	const uint64_t addr[] = { 77, IOMAP_NULL_ADDR, 5 * BLOCK, 9 * BLOCK, 0 };
	struct m_extents all;
	struct told t;

	start(&t, NULL);
	five_kinds(&t);
	ck_assert_int_eq(list(&t, 0, ALL, &all, 64), 0);
	ck_assert_uint_eq(all.nr, 5);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_eq(all.e[i].flags, flags[i]);
		ck_assert_uint_eq(all.e[i].addr, addr[i]);
		ck_assert_int_eq(all.e[i].pos, t.e[i].offset);
		ck_assert_uint_eq(all.e[i].len, t.e[i].length);
	}
	ck_assert_ptr_eq(all.e[4].bdev, t.bdev);
	ck_assert_uint_eq(t.flags, IOMAP_REPORT);
	stop(&t);
}

CASE(last_comes_once_or_not_at_all, "I140",
     "LAST exactly when the range was walked through: not when the list is full, not on an error")
{
	struct m_extents all;
	struct told t;

	start(&t, NULL);
	ck_assert_int_eq(list(&t, 0, ALL, &all, 64), 0);	/* nothing there */
	ck_assert_uint_eq(all.nr, 0);
	five_kinds(&t);
	for (unsigned max = 1; max < 8; max++) {
		ck_assert_int_eq(list(&t, 0, ALL, &all, max), 0);
		ck_assert_uint_eq(all.nr, max < 5 ? max : 5);
		ck_assert_uint_eq(nr_last(&all), max >= 5);
	}
	ck_assert_int_eq(list(&t, 0, 6 * BLOCK, &all, 64), 0);	/* the end of what was asked */
	ck_assert_uint_eq(all.nr, 4);
	ck_assert_uint_eq(nr_last(&all), 1);
	ck_assert(all.e[3].flags & IOMAP_EXTENT_LAST);
	t.error = -EIO;
	ck_assert_int_eq(list(&t, 0, ALL, &all, 64), -EIO);
	ck_assert_uint_eq(nr_last(&all), 0);
	stop(&t);
}

CASE(no_mapping_is_a_success, "I140", "-ENOENT from begin ends the list, at the start or later")
{
	struct m_extents all;
	struct told t;

	start(&t, NULL);
	t.error = -ENOENT;
	ck_assert_int_eq(list(&t, 0, ALL, &all, 64), 0);
	ck_assert_uint_eq(all.nr, 0);
	five_kinds(&t);
	ck_assert_int_eq(list(&t, 0, ALL, &all, 64), 0);
	ck_assert_uint_eq(all.nr, 5);
	ck_assert_uint_eq(nr_last(&all), 1);
	stop(&t);
}

CASE(extents_come_whole_and_once, "I140",
     "One that begins before the range is not cut; one that a source cuts is not told twice")
{
	struct m_extents all;
	struct told t;

	start(&t, NULL);
	TABLE(&t, { 0, 4 * BLOCK, IOMAP_MAPPED, IOMAP_F_SHARED, 16 * BLOCK, BLOCK },
	      { 2 * BLOCK, 6 * BLOCK, IOMAP_UNWRITTEN, 0, 32 * BLOCK, 0 });
	iomap_inode_set_size(&t.f->inode, 8 * BLOCK);
	ck_assert_int_eq(list(&t, BLOCK + 1, ALL, &all, 64), 0);
	ck_assert_uint_eq(all.nr, 2);
	ck_assert_int_eq(all.e[0].pos, 0);
	ck_assert_uint_eq(all.e[0].len, 4 * BLOCK);
	ck_assert_int_eq(all.e[1].pos, 4 * BLOCK);	/* overlaps: only what is new of it */
	ck_assert_uint_eq(all.e[1].len, 4 * BLOCK);
	ck_assert_uint_eq(all.e[1].addr, 34 * BLOCK);
	ck_assert_int_eq(list(&t, 0, 0, &all, 64), 0);	/* nothing asked */
	ck_assert_uint_eq(all.nr, 0);
	ck_assert_int_eq(list(&t, -1, 1, &all, 64), -EINVAL);
	ck_assert_int_eq(iomap_fiemap(&t.f->inode, 0, 1, false, &t.ops, &t, NULL, NULL), -EINVAL);
	stop(&t);
}

static int say(void *arg, const struct iomap_extent *extent)
{
	(void)extent;
	return *(int *)arg;
}

CASE(the_callers_function_is_heard, "I140",
     "Its error stops the list, -ENOENT too; an answer that does not exist is reported")
{
	const int answers[] = { -EFAULT, -ENOENT, 1, 2 };
	const int results[] = { -EFAULT, -ENOENT, 0, -EIO };
	struct told t;

	start(&t, NULL);
	five_kinds(&t);
	for (unsigned i = 0; i < 4; i++) {
		int answer = answers[i];

		for (uint64_t len = BLOCK; len < 7 * BLOCK; len += 5 * BLOCK)
			ck_assert_int_eq(iomap_fiemap(&t.f->inode, 0, len, false, &t.ops, &t, say,
						      &answer), results[i]);
	}
	ck_assert_uint_eq(t.t.nr_reports, 2);
	ck_assert_str_eq(t.t.last_callback, "fill");
	ck_assert_uint_eq(t.t.last_value, 2);
	stop(&t);
}

CASE(written_first_where_asked, "I140",
     "With sync_first promises have become extents; what cannot be written is the answer")
{
	struct m_extents all = { .max = 0 };
	struct told t;

	start(&t, NULL);
	ck_assert_int_eq(m_fill(t.f, 0, 2 * BLOCK, 1), 2 * BLOCK);
	ck_assert_int_eq(m_fiemap(t.f, 0, ALL, false, &all), 0);
	ck_assert_uint_eq(all.nr, 1);
	ck_assert(all.e[0].flags & IOMAP_EXTENT_DELALLOC);
	ck_assert_int_eq(m_fiemap(t.f, 0, ALL, true, &all), 0);
	ck_assert_uint_eq(all.nr, 1);
	ck_assert_uint_eq(all.e[0].flags, IOMAP_EXTENT_LAST);
	ck_assert_uint_eq(all.e[0].addr, t.f->data[0].addr);
	ck_assert_int_eq(m_fill(t.f, 0, BLOCK, 2), BLOCK);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_fiemap(t.f, 0, ALL, true, &all), -EIO);
	stop(&t);
}

CASE(shared_blocks_are_told, "I140", "A snapshot has them too, until they are written again")
{
	struct m_extents all = { .max = 0 };
	struct told t;

	start(&t, &(struct m_opts){ .delalloc = true, .unwritten = true, .cow = true });
	ck_assert_int_eq(m_fill(t.f, 0, 4 * BLOCK, 1), 4 * BLOCK);
	m_share(t.f);
	ck_assert_int_eq(m_fill(t.f, BLOCK, BLOCK, 2), BLOCK);
	ck_assert_int_eq(m_fiemap(t.f, 0, ALL, true, &all), 0);
	ck_assert_uint_eq(all.nr, 3);
	ck_assert_uint_eq(all.e[0].flags, IOMAP_EXTENT_SHARED);
	ck_assert_uint_eq(all.e[1].flags, 0);
	ck_assert_uint_eq(all.e[2].flags, IOMAP_EXTENT_SHARED | IOMAP_EXTENT_LAST);
	stop(&t);
}

/* ---- nothing changes ---- */

struct state {
	struct iomap_cache_stats stats;
	struct m_block *data, *cow;
	uint64_t seq;
	int64_t size, disk_size, reserved, allocated;
	unsigned nr_requests, nr_writepages, nr_dirty_inode;
	bool dirty_meta;
	uint32_t flags[64];	/* of each page that is cached */
};

static void look(struct told *t, struct state *s)
{
	size_t bytes = M_MAX_FILE / BLOCK * sizeof(*s->data);

	memset(s, 0, sizeof(*s));
	s->stats.struct_size = sizeof(s->stats);
	iomap_cache_stats(t->m->cache, &s->stats);
	s->data = malloc(bytes);
	s->cow = malloc(bytes);
	ck_assert(s->data && s->cow);
	memcpy(s->data, t->f->data, bytes);
	memcpy(s->cow, t->f->cow, bytes);
	s->seq = t->f->seq;
	s->size = iomap_inode_size(&t->f->inode);
	s->disk_size = t->f->disk_size;
	s->reserved = t->m->nr_reserved;
	s->allocated = t->m->nr_allocated;
	t_mem_log(t_mem_find("model"), &s->nr_requests);
	s->nr_writepages = t->m->nr_writepages;
	s->nr_dirty_inode = t->m->nr_dirty_inode;
	s->dirty_meta = t->f->dirty_meta;
}

static void look_at_folios(struct told *t, struct state *s)
{
	for (unsigned i = 0; i < 64; i++) {
		struct iomap_folio *folio;

		if (iomap_mapping_get_folio(&t->f->inode, (int64_t)i * BLOCK, 1, 0, &folio))
			continue;
		s->flags[i] = iomap_folio_flags(folio) | 1u << 31;
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
}

CASE(reports_change_nothing, "I141",
     "Maps, promises, cache, dirt, requests and sizes are after a report what they were before")
{
	size_t bytes = M_MAX_FILE / BLOCK * sizeof(struct m_block);
	struct m_extents all = { .max = 0 };
	struct state before, after, pages = { .size = 0 }, pages_after = { .size = 0 };
	struct told t;
	char buf[100];

	start(&t, &(struct m_opts){ .delalloc = true, .unwritten = true, .cow = true });
	ck_assert_int_eq(m_fill(t.f, 0, 4 * BLOCK, 1), 4 * BLOCK);
	m_share(t.f);
	ck_assert_int_eq(m_fill(t.f, BLOCK, 100, 2), 100);		/* in the CoW fork */
	m_preallocate(t.f, 8 * BLOCK, 8 * BLOCK, false);
	ck_assert_int_eq(m_truncate(t.f, 16 * BLOCK), 0);
	ck_assert_int_eq(m_fill(t.f, 10 * BLOCK, BLOCK, 3), BLOCK);
	ck_assert_int_eq(m_read(t.f, 12 * BLOCK, buf, sizeof(buf)), sizeof(buf));
	ck_assert_int_eq(m_fill(t.f, 20 * BLOCK, 5, 4), 5);		/* promised */
	look_at_folios(&t, &pages);
	look(&t, &before);
	for (int64_t pos = 0; pos < iomap_inode_size(&t.f->inode); pos += BLOCK / 2) {
		ck_assert_int_ge(m_seek_hole(t.f, pos), pos);
		(void)m_seek_data(t.f, pos);
	}
	ck_assert_int_eq(m_fiemap(t.f, 0, ALL, false, &all), 0);
	look(&t, &after);
	look_at_folios(&t, &pages_after);
	ck_assert_mem_eq(before.data, after.data, bytes);
	ck_assert_mem_eq(before.cow, after.cow, bytes);
	free(before.data);
	free(before.cow);
	free(after.data);
	free(after.cow);
	before.data = before.cow = after.data = after.cow = NULL;
	ck_assert_mem_eq(&before, &after, sizeof(before));
	ck_assert_mem_eq(&pages, &pages_after, sizeof(pages));
	stop(&t);
}

/* ---- one block ---- */

CASE(bmap_knows_mapped_blocks_only, "I141",
     "The block of the device, written first; 0 for all that has no fixed place")
{
	struct told t;

	start(&t, NULL);
	ck_assert_int_eq(m_fill(t.f, 0, 4 * BLOCK, 1), 4 * BLOCK);
	ck_assert_uint_eq(iomap_bmap(&t.f->inode, 2, &t.m->ops, NULL),
			  t.f->data[2].addr / BLOCK);
	ck_assert_uint_eq(t.f->data[2].type, IOMAP_MAPPED);
	five_kinds(&t);
	iomap_inode_set_size(&t.f->inode, 8 * BLOCK);
	for (unsigned i = 0; i < 9; i++)
		ck_assert_uint_eq(iomap_bmap(&t.f->inode, i, &t.ops, &t), i == 5 ? 9 : 0);
	TABLE(&t, { 0, 4 * BLOCK, IOMAP_MAPPED, 0, 8 * BLOCK + 512, 0 });
	ck_assert_uint_eq(iomap_bmap(&t.f->inode, 1, &t.ops, &t), 0);	/* between two blocks */
	ck_assert_uint_eq(iomap_bmap(&t.f->inode, UINT64_MAX, &t.ops, &t), 0);
	stop(&t);
}

CASE(bmap_has_one_answer_for_errors, "I141", "A failed write, begin or end, a killed file: 0")
{
	struct told t;

	start(&t, NULL);
	ck_assert_int_eq(m_fill(t.f, 0, BLOCK, 1), BLOCK);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_uint_eq(iomap_bmap(&t.f->inode, 0, &t.m->ops, NULL), 0);
	ck_assert_int_eq(iomap_mapping_forget_failed(&t.f->inode, 0, IOMAP_MAX_POS), BLOCK);
	ck_assert_int_eq(m_fill(t.f, 0, BLOCK, 1), BLOCK);
	(void)m_sync(t.f);
	t.m->fail_end = (struct m_fault){ .nth = 1, .error = -EIO };
	ck_assert_uint_eq(iomap_bmap(&t.f->inode, 0, &t.m->ops, NULL), 0);
	t.m->fail_begin = (struct m_fault){ .nth = 1, .error = -EIO };
	ck_assert_uint_eq(iomap_bmap(&t.f->inode, 0, &t.m->ops, NULL), 0);
	ck_assert_uint_ne(iomap_bmap(&t.f->inode, 0, &t.m->ops, NULL), 0);
	ck_assert_int_eq(iomap_inode_kill(&t.f->inode, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(iomap_bmap(&t.f->inode, 0, &t.m->ops, NULL), 0);
	stop(&t);
}

/* ---- the pages of a swap file ---- */

struct run {
	uint64_t page, nr, addr;
};
struct runs {
	struct run r[16];
	unsigned nr;
	int answer;
};

static int add(void *arg, uint64_t page, uint64_t nr_pages, uint64_t addr)
{
	struct runs *runs = arg;

	runs->r[runs->nr++] = (struct run){ page, nr_pages, addr };
	return runs->answer;
}

static int swap_on(struct told *t, struct runs *runs)
{
	*runs = (struct runs){ .answer = runs->answer };
	return iomap_swapfile_activate(&t->f->file, &t->ops, t, add, runs);
}

static void check_run(const struct run *r, uint64_t page, uint64_t nr, uint64_t addr)
{
	ck_assert_uint_eq(r->page, page);
	ck_assert_uint_eq(r->nr, nr);
	ck_assert_uint_eq(r->addr, addr);
}

CASE(swap_gets_whole_pages, "I142",
     "Neighbours on the device are one run; what is no whole page there is left out")
{
	struct runs runs = { .answer = 0 };
	struct told t;

	start(&t, &(struct m_opts){ .delalloc = true, .unwritten = true, .block_bits = 10 });
	iomap_inode_set_size(&t.f->inode, 12 * BLOCK + 100);
	TABLE(&t, { 0, 2 * BLOCK, IOMAP_MAPPED, 0, 16 * BLOCK, 0 },
	      { 2 * BLOCK, BLOCK, IOMAP_UNWRITTEN, 0, 18 * BLOCK, 0 },
	      { 3 * BLOCK, 2 * BLOCK, IOMAP_MAPPED, 0, 40 * BLOCK + 1024, 0 },
	      { 5 * BLOCK, BLOCK, IOMAP_MAPPED, 0, 50 * BLOCK + 1024, 0 },
	      { 6 * BLOCK, BLOCK / 2, IOMAP_MAPPED, 0, 60 * BLOCK + 2048, 0 },
	      { 6 * BLOCK + BLOCK / 2, 5 * BLOCK + BLOCK / 2, IOMAP_MAPPED, 0, 61 * BLOCK, 0 },
	      { 12 * BLOCK, BLOCK, IOMAP_DELALLOC, 0, 0, 0 });	/* no whole page of the file */
	ck_assert_int_eq(swap_on(&t, &runs), 0);
	ck_assert_uint_eq(runs.nr, 3);
	check_run(&runs.r[0], 0, 3, 16 * BLOCK);
	check_run(&runs.r[1], 3, 1, 41 * BLOCK);
	check_run(&runs.r[2], 4, 5, 61 * BLOCK);
	ck_assert_uint_eq(t.flags, IOMAP_REPORT);
	stop(&t);
}

CASE(swap_refuses_what_may_move, "I142",
     "Dirty, shared or inline data, a hole, a promise, no page behind the header: -EINVAL")
{
	static const struct entry bad[] = {
		{ BLOCK, BLOCK, IOMAP_MAPPED, IOMAP_F_DIRTY, 17 * BLOCK, 0 },
		{ BLOCK, BLOCK, IOMAP_MAPPED, IOMAP_F_SHARED, 17 * BLOCK, 0 },
		{ BLOCK, BLOCK, IOMAP_INLINE, 0, 0, 0 },
		{ BLOCK, BLOCK, IOMAP_DELALLOC, 0, 0, 0 },
		{ 2 * BLOCK, BLOCK, IOMAP_MAPPED, 0, 18 * BLOCK, 0 },	/* a hole before it */
		{ BLOCK, BLOCK, IOMAP_MAPPED, 0, 17 * BLOCK, 0 },	/* the good one */
	};
	struct entry e[2] = { { 0, BLOCK, IOMAP_MAPPED, 0, 16 * BLOCK, 0 } };
	struct runs runs = { .answer = 0 };
	struct told t;

	start(&t, NULL);
	t.e = e;
	t.nr = 2;
	iomap_inode_set_size(&t.f->inode, 3 * BLOCK - 1);
	for (unsigned i = 0; i < 6; i++) {
		e[1] = bad[i];
		ck_assert_int_eq(swap_on(&t, &runs), i == 5 ? 0 : -EINVAL);
	}
	check_run(&runs.r[0], 0, 2, 16 * BLOCK);
	e[0].addr += 512;		/* one whole page on the device: the header's */
	e[1].addr += 512;
	ck_assert_int_eq(swap_on(&t, &runs), -EINVAL);
	iomap_inode_set_size(&t.f->inode, BLOCK - 1);
	ck_assert_int_eq(swap_on(&t, &runs), -EINVAL);
	ck_assert_uint_eq(runs.nr, 0);
	stop(&t);
}

CASE(swap_wants_one_device, "I142", "Another device than the inode's, from the first or later on")
{
	struct runs runs = { .answer = 0 };
	struct iomap_bdev *other;
	struct told t;

	start(&t, NULL);
	ck_assert_int_eq(iomap_bdev_open(t.m->ioq, "mem:other,size=1m", NULL, &other), 0);
	TABLE(&t, { 0, 4 * BLOCK, IOMAP_MAPPED, 0, 16 * BLOCK, 0 });
	iomap_inode_set_size(&t.f->inode, 4 * BLOCK);
	t.bdev = other;
	ck_assert_int_eq(swap_on(&t, &runs), -EINVAL);
	t.bdev = t.m->bdev;
	ck_assert_int_eq(swap_on(&t, &runs), 0);
	iomap_bdev_close(&other);
	stop(&t);
}

CASE(swap_syncs_first, "I142",
     "A promise and dirty metadata are settled by the sync; its error, begin's and add's are told")
{
	struct runs runs = { .answer = 0 };
	struct told t;

	start(&t, NULL);
	ck_assert_int_eq(m_fill(t.f, 0, 4 * BLOCK, 1), 4 * BLOCK);
	ck_assert_int_eq(iomap_swapfile_activate(&t.f->file, &t.m->ops, NULL, add, &runs), 0);
	ck_assert_uint_eq(runs.nr, 1);
	check_run(&runs.r[0], 0, 4, t.f->data[0].addr);
	ck_assert_int_eq(iomap_swapfile_activate(&t.f->file, &t.m->ops, NULL, NULL, &runs),
			 -EINVAL);
	runs.answer = -ENOSPC;
	ck_assert_int_eq(iomap_swapfile_activate(&t.f->file, &t.m->ops, NULL, add, &runs),
			 -ENOSPC);
	runs.answer = 1;
	ck_assert_int_eq(iomap_swapfile_activate(&t.f->file, &t.m->ops, NULL, add, &runs), -EIO);
	ck_assert_str_eq(t.t.last_callback, "add");
	t.m->fail_begin = (struct m_fault){ .nth = 1, .error = -ENOMEM };
	ck_assert_int_eq(iomap_swapfile_activate(&t.f->file, &t.m->ops, NULL, add, &runs),
			 -ENOMEM);
	t.m->fail_sync_metadata = (struct m_fault){ .nth = 1, .error = -EIO };
	ck_assert_int_eq(iomap_swapfile_activate(&t.f->file, &t.m->ops, NULL, add, &runs), -EIO);
	stop(&t);
}
MAIN()
