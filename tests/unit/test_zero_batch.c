/* SPDX-License-Identifier: MIT */
/*
 * test_zero_batch.c - zeroing that fails or is overtaken, and who holds which folio of a batch.
 */
#include "unit/read_table.h"

static bool armed;		/* what a hook does it does once */
static unsigned nr_stale;

static void start_batch(struct table *s, unsigned folios, const struct m_opts *more)
{
	struct m_opts opts = *more;

	opts.unwritten = opts.batch = true;
	start(s, &opts);
	ck_assert_int_eq(m_fill(s->f, 0, folios * FOLIO, 1), folios * FOLIO);
	armed = true;
	nr_stale = 0;
}

static unsigned refs(struct iomap_inode *inode, int64_t pos)
{
	struct iomap_folio *folio = iomapi_mapping_find(inode, pos);
	unsigned nr;

	ck_assert_ptr_nonnull(folio);
	nr = __atomic_load_n(&folio->refs, __ATOMIC_ACQUIRE) - 1;
	iomap_folio_put(folio);
	return nr;
}

static void only_the_tree_holds(struct table *s, unsigned folios)
{
	for (unsigned i = 0; i < folios; i++)
		ck_assert_uint_eq(refs(&s->f->inode, i * FOLIO), 1);
}

static void zeros_stay(struct table *s)
{
	ck_assert(m_content_ok(s->f));
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	ck_assert(m_device_equals_model(s->f));
	ck_assert(m_content_ok(s->f));
}

/* ---- references ---- */

static unsigned held;

static int fail_after_begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
			    struct iomap *map, struct iomap *srcmap, void *priv)
{
	int rc = m_begin(inode, pos, len, flags, map, srcmap, priv);

	if (rc || !(flags & IOMAP_ZERO))
		return rc;
	held = refs(inode, 0);
	return -ENOSPC;
}

CASE(failed_begin_holds_nothing, "I12 R38", "begin collects folios and fails: all are let go")
{
	bool did_zero = false;
	struct table s;

	start_batch(&s, 6, &(struct m_opts){ 0 });
	s.m->ops.iomap_begin = fail_after_begin;
	ck_assert_int_eq(m_zero(s.f, 0, 6 * FOLIO, &did_zero), -ENOSPC);
	ck_assert(!did_zero);
	ck_assert_uint_eq(held, 2);		/* the batch did have it */
	only_the_tree_holds(&s, 6);
	s.m->ops.iomap_begin = m_begin;
	zeros_stay(&s);
	stop(&s);
}

static int fail_get_folio(struct iomap_iter *iter, int64_t pos, uint64_t len,
			  struct iomap_folio **folio)
{
	if (pos == 3 * FOLIO && armed)
		return -EIO;
	return iomap_mapping_get_folio(iter->inode, pos, len, IOMAP_WRITE, folio);
}

static void put_folio(struct iomap_inode *inode, int64_t pos, uint64_t copied,
		      struct iomap_folio *folio)
{
	(void)inode, (void)pos, (void)copied;
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

CASE(failed_steps_hold_nothing, "I12 R38",
     "get_folio fails in the middle of a batch, end fails: all are let go, the first error counts")
{
	bool did_zero = false;
	struct table s;

	start_batch(&s, 6, &(struct m_opts){ 0 });
	s.m->write_ops.get_folio = fail_get_folio;
	s.m->write_ops.put_folio = put_folio;
	ck_assert_int_eq(m_zero(s.f, 0, 6 * FOLIO, &did_zero), -EIO);
	ck_assert(did_zero);			/* those before it */
	only_the_tree_holds(&s, 6);
	armed = false;
	s.m->fail_end = (struct m_fault){ .nth = 1, .error = -ENOSPC };
	ck_assert_int_eq(m_zero(s.f, 0, 6 * FOLIO, &did_zero), -ENOSPC);
	only_the_tree_holds(&s, 6);
	ck_assert_int_eq(m_zero(s.f, 0, 6 * FOLIO, &did_zero), 0);
	only_the_tree_holds(&s, 6);
	zeros_stay(&s);
	ck_assert(m_balanced(s.m));
	stop(&s);
}

static void fill_twice(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
		       struct iomap *map, struct iomap *srcmap)
{
	int64_t at = pos;

	(void)f, (void)srcmap;
	if (flags & IOMAP_ZERO)
		ck_assert_uint_eq(iomap_fill_dirty_folios(map, &at, pos + (int64_t)len), 6);
}

CASE(second_look_replaces_the_first, "I12", "begin collects twice: each folio is held once")
{
	struct table s;

	start_batch(&s, 6, &(struct m_opts){ 0 });
	s.m->hook_map = fill_twice;
	ck_assert_int_eq(m_zero(s.f, 0, 6 * FOLIO, NULL), 0);
	only_the_tree_holds(&s, 6);
	zeros_stay(&s);
	stop(&s);
}

/* ---- where it is not for ---- */

static unsigned found;
static int64_t looked_to;

static void fill_here(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
		      struct iomap *map, struct iomap *srcmap)
{
	(void)f, (void)flags, (void)srcmap;
	looked_to = pos;
	found = iomap_fill_dirty_folios(map, &looked_to, pos + (int64_t)len);
}

CASE(batch_over_data_is_refused, "I63 V8", "A batch over MAPPED is -EIO, and its folios are let go")
{
	struct table s;

	start(&s, NULL);
	ck_assert_int_eq(m_fill(s.f, 0, 2 * FOLIO, 1), 2 * FOLIO);
	s.m->hook_map = fill_here;
	ck_assert_int_eq(m_zero(s.f, 0, FOLIO, NULL), -EIO);
	ck_assert_uint_eq(found, 1);
	ck_assert_int_eq(looked_to, FOLIO);
	ck_assert_str_eq(s.t.last_rule, "I63");
	only_the_tree_holds(&s, 2);
	s.m->hook_map = NULL;
	zeros_stay(&s);
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(others_have_no_batch, "", "Under a read or a write nothing is collected and no flag is set")
{
	struct table s;
	char byte;

	start_batch(&s, 2, &(struct m_opts){ 0 });
	s.m->hook_map = fill_here;
	found = 99;
	ck_assert_int_eq(m_fill(s.f, 100, 1, 2), 1);
	ck_assert_uint_eq(found, 0);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	found = 99;
	ck_assert_int_eq(m_read(s.f, 0, &byte, 1), 1);
	ck_assert_uint_eq(found, 0);
	ck_assert_uint_eq(s.t.nr_reports, 0);
	stop(&s);
}

/* ---- overtaken ---- */

static int count_stale(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
		       unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	nr_stale += !!(map->flags & IOMAP_F_STALE);
	return m_end(inode, pos, len, written, flags, map, srcmap, priv);
}

/* The folio is written, its blocks are converted, and it leaves the cache. */
static void leave(struct m_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map,
		  struct iomap *srcmap)
{
	(void)pos, (void)len, (void)map, (void)srcmap;
	if (!(flags & IOMAP_ZERO) || !armed)
		return;
	armed = false;
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&f->inode, 0, M_MAX_FILE), 0);
	iomap_mapping_punch(&f->inode, 0, M_MAX_FILE);
}

/* And comes back: another one, read from the device. */
static void come_back(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
		      struct iomap *map, struct iomap *srcmap)
{
	struct iomap_folio *folio;
	bool first = armed;

	leave(f, pos, len, flags, map, srcmap);
	if (!(flags & IOMAP_ZERO) || !first)
		return;
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(iomap_mapping_get_folio(&f->inode, i * FOLIO, 1, IOMAP_WRITE,
							 &folio), 0);
		iomap_read_folio(folio, &f->m->ops, NULL, NULL);
		wait_read(folio);
		iomap_folio_put(folio);
	}
}

static void overtake(void (*hook)(struct m_file *, int64_t, uint64_t, unsigned, struct iomap *,
				  struct iomap *), bool no_valid)
{
	bool did_zero = false;
	struct table s;

	start_batch(&s, 4, &(struct m_opts){ .no_valid = no_valid });
	s.m->hook_map = hook;
	s.m->ops.iomap_end = count_stale;
	ck_assert_int_eq(m_zero(s.f, 100, 2 * FOLIO, &did_zero), 0);
	ck_assert(did_zero);
	ck_assert_uint_eq(nr_stale, 1);
	s.m->hook_map = NULL;
	zeros_stay(&s);
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(batch_folios_are_looked_at_again, "I62",
     "One that has left the mapping, or was replaced, makes the map stale; so does the client")
{
	overtake(leave, true);
	overtake(come_back, true);
	overtake(come_back, false);
}

/* ---- errors and limits ---- */

CASE(first_error_ends_it, "I13", "Zeros before the error stay; the error is the answer")
{
	bool did_zero = false;
	struct table s;

	start(&s, &(struct m_opts){ .chunk = FOLIO });
	make_file(&s, 4 * FOLIO);
	s.m->fail_begin = (struct m_fault){ .nth = 3, .error = -ENOSPC };
	ck_assert_int_eq(m_zero(s.f, 0, 4 * FOLIO, &did_zero), -ENOSPC);
	ck_assert(did_zero);
	memset(s.f->ref, 0, 2 * FOLIO);
	zeros_stay(&s);
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(failed_flush_is_the_answer, "I60", "What was dirty cannot be written: the zeroing fails")
{
	bool did_zero = false;
	struct table s;

	start(&s, &(struct m_opts){ .unwritten = true });
	ck_assert_int_eq(m_fill(s.f, 0, FOLIO, 1), FOLIO);
	t_mem_fail(s.dev, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_zero(s.f, 0, FOLIO, &did_zero), -EIO);
	ck_assert(!did_zero);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(failed_read_is_the_answer, "I35", "The rest of a block cannot be read: it stays as it is")
{
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_zero(s.f, 100, 100, NULL), -EIO);
	zeros_stay(&s);
	stop(&s);
}

static int nothing_is_open(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct m_model *m = M_FILE(inode)->m;
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &m->wb_ops };

	ck_assert_uint_eq(m->nr_begin, m->nr_end);
	ck_assert_uint_eq(iomapi_self(m->env)->nr_folio_locks, 0);
	m->nr_writepages++;
	return iomap_writepages(&wpc);
}

CASE(zeros_wait_for_room, "I47", "A long range of data keeps to the dirty limit, with no map open")
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };
	struct table s;

	start(&s, &(struct m_opts){ .cache_bytes = 1 << 20, .dirty_limit = 64 << 10 });
	make_file(&s, 2 << 20);
	s.m->inode_ops.writepages = nothing_is_open;
	ck_assert_int_eq(m_zero(s.f, 100, (2 << 20) - 200, NULL), 0);
	iomap_cache_stats(s.m->cache, &stats);
	ck_assert_uint_gt(s.m->nr_writepages, 0);
	ck_assert_uint_le(stats.dirty, 128 << 10);
	zeros_stay(&s);
	stop(&s);
}

CASE(odd_ranges, "", "Nothing, too far, negative, tables of another release")
{
	struct iomap_write_ops old = { .struct_size = 8 };
	struct table s;

	start(&s, NULL);
	ck_assert_int_eq(m_zero(s.f, 100, 0, NULL), 0);
	ck_assert_int_eq(iomap_zero_range(&s.f->inode, -1, 1, NULL, &s.m->ops, NULL, NULL),
			 -EINVAL);
	ck_assert_int_eq(iomap_truncate_page(&s.f->inode, -(int64_t)BLOCK, NULL, &s.m->ops, NULL,
					     NULL), -EINVAL);
	ck_assert_int_eq(iomap_zero_range(&s.f->inode, IOMAP_MAX_POS, 1, NULL, &s.m->ops, NULL,
					  NULL), -EFBIG);
	ck_assert_int_eq(iomap_zero_range(&s.f->inode, 0, 1, NULL, &s.m->ops, &old, NULL),
			 -EINVAL);
	ck_assert_int_eq(iomap_zero_range(&s.f->inode, 0, 1, NULL, NULL, NULL, NULL), -EINVAL);
	ck_assert_uint_eq(s.m->nr_begin, 0);
	ck_assert_int_eq(iomap_inode_kill(&s.f->inode, IOMAP_FOREVER), 0);
	ck_assert_int_eq(m_zero(s.f, 0, 1, NULL), -ESTALE);
	stop(&s);
}

MAIN()
