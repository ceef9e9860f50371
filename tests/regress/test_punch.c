/* SPDX-License-Identifier: MIT */
/*
 * test_punch.c - reservations that were given back where they should not, or not where they should.
 */
#include "harness/harness.h"
#include "model/model.h"

#define BLOCK	1024u
#define FOLIO	4096u
#define NR	4u		/* folios of a file */

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	size_t there;		/* bytes of the user's memory that can be copied */
	int64_t store_at;	/* where the fault comes in between */
	unsigned nr_stores;
};

static size_t some_come(struct m_file *f, size_t at, size_t len)
{
	const struct story *s = f->m->hook_arg;

	return at >= s->there ? 0 : s->there - at < len ? s->there - at : len;
}

static void start(struct story *s, bool cow, bool unwritten)
{
	const struct m_opts opts = {
		.block_bits = 10, .max_folio = FOLIO, .delalloc = true, .cow = cow,
		.unwritten = unwritten,
	};

	memset(s, 0, sizeof(*s));
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, &opts);
	s->f = m_file_new(s->m);
	s->m->hook_arg = s;
}

/* One hole, in the cache. */
static void make_holes(struct story *s)
{
	iomap_inode_set_size(&s->f->inode, NR * FOLIO);
	s->f->ref_size = s->f->disk_size = NR * FOLIO;
	ck_assert(m_content_ok(s->f));
}

static void make_shared(struct story *s)
{
	ck_assert_int_eq(m_fill(s->f, 0, NR * FOLIO, 1), NR * FOLIO);
	m_share(s->f);
}

static int64_t write_short(struct story *s, int64_t pos, size_t len, size_t there)
{
	int64_t n;

	s->there = there;
	s->m->hook_copy = some_come;
	n = m_fill(s->f, pos, len, 99);
	s->m->hook_copy = NULL;
	return n;
}

static void stop(struct story *s)
{
	ck_assert(m_content_ok(s->f));
	ck_assert_int_eq(m_sync(s->f), 0);
	ck_assert_int_eq(s->m->nr_reserved, 0);
	ck_assert(m_device_equals_model(s->f));
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	ck_assert(m_content_ok(s->f));
	ck_assert(m_balanced(s->m));
	m_file_free(&s->f);
	ck_assert_int_eq(s->m->nr_reserved, 0);
	m_close(&s->m);
	t_env_stop(&s->t);
}

/* The copy came to an end, and before end is called somebody stores through a mapping. */
static int end_after_a_fault(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
			     unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct m_file *f = M_FILE(inode);
	struct story *s = f->m->hook_arg;

	if (!(flags & IOMAP_FAULT) && flags & IOMAP_WRITE) {
		ck_assert_int_eq(m_store(f, s->store_at, "a fault", 7), 0);
		s->nr_stores++;
	}
	return m_end(inode, pos, len, written, flags, map, srcmap, priv);
}

CASE(a_fault_in_a_failing_write, "R2 I164",
     "What a fault made dirty behind a short copy keeps its space and reaches the device")
{
	for (unsigned i = 0; i < 4 * NR; i++) {
		struct story s;

		start(&s, i & 1, i & 2);
		if (i & 1)
			make_shared(&s);
		else
			make_holes(&s);
		s.m->ops.iomap_end = end_after_a_fault;
		s.store_at = FOLIO + 300 + i / 4 * BLOCK / 2;
		write_short(&s, 100, 3 * FOLIO, i / 4 * BLOCK / 2);
		ck_assert_uint_ge(s.nr_stores, 1);
		s.m->ops.iomap_end = m_end;
		stop(&s);
	}
}

CASE(failed_copy_on_write, "R3",
     "A write elsewhere that fails returns what it reserved there; the data fork is as it was")
{
	struct m_block before[NR * FOLIO / BLOCK];
	struct story s;

	for (unsigned i = 0; i < 2; i++) {
		start(&s, true, i);
		make_shared(&s);
		memcpy(before, s.f->data, sizeof(before));
		ck_assert_int_eq(write_short(&s, 100, 2 * FOLIO, 0), -EFAULT);
		ck_assert_int_eq(s.m->nr_reserved, 0);
		ck_assert_int_eq(write_short(&s, 100, 2 * FOLIO, 50), 50);
		ck_assert_int_eq(s.m->nr_reserved, 1);
		for (unsigned b = 0; b < NR * FOLIO / BLOCK; b++) {
			ck_assert_uint_eq(s.f->data[b].addr, before[b].addr);
			ck_assert_uint_eq(s.f->data[b].type, before[b].type);
			ck_assert_uint_eq(s.f->cow[b].type, b ? IOMAP_HOLE : IOMAP_DELALLOC);
		}
		stop(&s);
	}
}

CASE(second_write_into_a_block_fails, "R4",
     "A hundred bytes were written; another hundred that fail in that block do not cost the first")
{
	struct story s;

	for (unsigned i = 0; i < 2; i++) {
		start(&s, i, false);
		if (i)
			make_shared(&s);
		ck_assert_int_eq(m_fill(s.f, 0, 100, 2), 100);
		ck_assert_int_eq(write_short(&s, 100, 100, 0), -EFAULT);
		ck_assert(m_content_ok(s.f));
		ck_assert_int_eq(s.m->nr_reserved, 1);
		ck_assert_int_eq(write_short(&s, 50, BLOCK, 0), -EFAULT);
		ck_assert_int_eq(s.m->nr_reserved, 1);
		stop(&s);
	}
}

MAIN()
