/* SPDX-License-Identifier: MIT */
/*
 * test_truncate.c - files that are cut, grown, zeroed, moved and unshared, in any order.
 */
#include "harness/harness.h"
#include "model/model.h"

#define BLOCK		1024
#define FILE_BYTES	(96u << 10)
#define STEPS		400

struct run {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	uint64_t seed;
};

static void start(struct run *r, const struct m_opts *opts, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->seed = seed;
	t_env_start(&r->t, NULL);
	r->m = m_open(&r->t, opts);
	r->f = m_file_new(r->m);
}

static uint64_t beyond_eof(struct run *r)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(r->m->cache, &stats);
	return stats.zeroed_beyond_eof;
}

static void settle(struct run *r)
{
	ck_assert_int_eq(m_drop_cache(r->f), 0);
	ck_assert(m_device_equals_model(r->f));
	ck_assert(m_content_ok(r->f));
}

static void stop(struct run *r)
{
	settle(r);
	ck_assert_int_eq(r->m->nr_reserved, 0);
	ck_assert(m_balanced(r->m));
	ck_assert_uint_eq(r->t.nr_reports, 0);
	m_file_free(&r->f);
	m_close(&r->m);
	t_env_stop(&r->t);
}

/* ---- a folio over the end ---- */

/* As a store through a mapping does: the whole folio. */
static void dirty_folio(struct run *r, int64_t pos)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&r->f->inode, pos, 1, 0, &folio), 0);
	ck_assert_uint_eq(folio->size, 16 * BLOCK);
	iomap_folio_mark_dirty(folio, 0, folio->size);
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

static void nothing_behind(struct run *r, unsigned first)
{
	for (unsigned b = first; b < M_MAX_FILE / BLOCK; b++)
		ck_assert_msg(r->f->data[b].type == IOMAP_HOLE, "block %u was mapped in", b);
}

CASE(nothing_behind_the_end_is_mapped_in, "R20",
     "A large folio lies over the end, with space in the CoW fork behind it; a range is inserted")
{
	const int64_t size = 5 * BLOCK + 80;
	struct run r;

	start(&r, &(struct m_opts){ .block_bits = 10, .max_folio = 16 * BLOCK, .cow = true }, 1);
	ck_assert_int_eq(m_fill(r.f, 0, 16 * BLOCK, 1), 16 * BLOCK);
	ck_assert_int_eq(m_truncate(r.f, size), 0);
	m_share(r.f);
	ck_assert_int_eq(m_fill(r.f, 0, (size_t)size, 2), size);
	m_preallocate(r.f, 6 * BLOCK, 10 * BLOCK, true);
	dirty_folio(&r, 0);
	ck_assert_int_eq(m_sync(r.f), 0);
	nothing_behind(&r, 6);
	dirty_folio(&r, 0);
	ck_assert_int_eq(m_fill(r.f, 0, (size_t)size, 3), size);
	ck_assert_int_eq(m_insert(r.f, 0, 16 * BLOCK), 0);
	nothing_behind(&r, 16 + 6);
	ck_assert(m_content_ok(r.f));
	stop(&r);
}

/* ---- anything ---- */

static int64_t pick(struct run *r, int64_t n)
{
	return n > 0 ? (int64_t)(t_rand(&r->seed) % (uint64_t)n) : 0;
}

static void step(struct run *r)
{
	int64_t size = iomap_inode_size(&r->f->inode), pos = pick(r, size + 5000);
	int64_t len = pick(r, pick(r, 2) ? 2000 : 40000);

	switch (pick(r, 10)) {
	case 0:
		ck_assert_int_eq(m_truncate(r->f, pick(r, FILE_BYTES)), 0);
		return;
	case 1:
		ck_assert_int_eq(m_truncate(r->f, size & ~(int64_t)(BLOCK - 1)), 0);
		return;
	case 2:
	case 3:
		ck_assert_int_eq(m_zero(r->f, pos, (uint64_t)len, NULL), 0);
		return;
	case 4:
		ck_assert_int_eq(m_unshare(r->f, pos, (uint64_t)len), 0);
		return;
	case 5:
		if (r->m->opts.unwritten && pos < size)
			m_preallocate(r->f, pos, 1 + (uint64_t)pick(r, size - pos), false);
		return;
	case 6:
		ck_assert_int_eq(m_writeback(r->f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
		return;
	case 7:
		if (r->m->opts.cow)
			m_share(r->f);
		settle(r);
		return;
	default:
		pos = pick(r, FILE_BYTES - len);
		ck_assert_int_eq(m_fill(r->f, pos, (size_t)len, (unsigned)pos), len);
	}
}

static void any_order(unsigned kind, uint64_t seed)
{
	struct m_opts opts = {
		.dev = "mem:model,size=24m", .block_bits = 10, .max_folio = 4096u << seed % 4,
		.delalloc = kind & 1, .unwritten = kind & 2, .cow = kind & 4, .batch = kind & 8,
		.chunk = seed & 1 ? 8 * BLOCK : 0, .gap = seed & 2,
	};
	struct run r;

	if (kind == 16)
		opts.anon = true;
	start(&r, &opts, seed + 1);
	for (unsigned i = 0; i < STEPS; i++) {
		step(&r);
		ck_assert(m_content_ok(r.f));
	}
	ck_assert_uint_eq(beyond_eof(&r), 0);
	stop(&r);
}

CASE_TIMEOUT(any_order_of_them, "I60 I64 I66 I70 R18 R19 R21 R41 O4",
	     "Zero, truncate, unshare, write: the bytes are right, and nothing is zeroed outside",
	     60)
{
	for (unsigned kind = 0; kind <= 16; kind++)
		for (uint64_t seed = 0; seed < 4; seed++)
			any_order(kind, 17 * seed + kind);
}

MAIN()
