/* SPDX-License-Identifier: MIT */
/*
 * test_write_map.c - writes whose map does not hold, or whose end fails: what is used, what is
 * kept, what is put back.
 */
#include "unit/read_table.h"

static uint64_t dirty_bytes(struct table *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats.dirty;
}

/* ---- maps that change ---- */

static unsigned puts_nothing, puts_all, lies;

static void count_puts(struct iomap_inode *inode, int64_t pos, uint64_t copied,
		       struct iomap_folio *folio)
{
	(void)inode;
	(void)pos;
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_LOCKED);
	if (copied)
		puts_all++;
	else
		puts_nothing++;
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

static bool invalid_at_first(struct iomap_inode *inode, const struct iomap *map)
{
	struct iomap_folio *folio = iomapi_mapping_find(inode, map->offset);

	/* V11: asked under the folio lock */
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_LOCKED);
	iomap_folio_put(folio);
	return lies++ >= 3;
}

CASE(map_is_checked_under_the_folio_lock, "I37",
     "A map found invalid: the folio goes, nothing is dirty, begin is asked again, end heard stale")
{
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	s.m->write_ops.iomap_valid = invalid_at_first;
	s.m->write_ops.put_folio = count_puts;
	puts_nothing = puts_all = lies = 0;
	m_log_start(s.m);
	ck_assert_int_eq(m_fill(s.f, 100, 100, 2), 100);
	ck_assert_uint_eq(puts_nothing, 3);
	ck_assert_uint_eq(puts_all, 1);
	ck_assert_uint_eq(nr_reads(&s, NULL), 1);	/* only for the map that held */
	ck_assert_uint_eq(m_log_find(s.m, M_BEGIN, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(s.m->log[2 * i + 1].arg, 0);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

static bool never_valid(struct iomap_inode *inode, const struct iomap *map)
{
	(void)inode;
	(void)map;
	return false;
}

CASE(map_that_never_holds_is_an_error, "I37 V14",
     "Stale for ever is -EIO; nothing was read, zeroed or dirtied")
{
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	s.m->write_ops.iomap_valid = never_valid;
	ck_assert_int_eq(m_fill(s.f, 100, 100, 2), -EIO);
	ck_assert_str_eq(s.t.last_rule, "V14");
	ck_assert_uint_eq(dirty_bytes(&s), 0);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

static unsigned folios_put;

/* After the first folio: what else is dirty is written, converted and evicted. */
static void race_after_first(struct iomap_inode *inode, int64_t pos, uint64_t copied,
			     struct iomap_folio *folio)
{
	struct m_file *f = M_FILE(inode);

	(void)pos;
	(void)copied;
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	if (folios_put++)
		return;
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_int_eq(iomap_inode_invalidate_lock(inode, 0), 0);
	ck_assert_int_eq(iomap_mapping_invalidate_range(inode, 0, IOMAP_MAX_POS), 0);
	iomap_inode_invalidate_unlock(inode);
	ck_assert_uint_gt(f->m->nr_converts, 0);
}

/* Old bytes lie dirty over unwritten blocks; a new write begins over all of them and is overtaken
 * by their writeback between two folios.  True: the old bytes around it survived. */
static bool overtaken_write_keeps_old_bytes(bool no_valid)
{
	struct table s;
	uint8_t got[2 * FOLIO];
	struct iovec iov = { got, sizeof(got) };
	struct iomap_req req;
	struct iomap_data data;
	bool same;

	start(&s, &(struct m_opts){ .unwritten = true, .no_valid = no_valid });
	s.m->write_ops.put_folio = race_after_first;
	folios_put = 1;
	ck_assert_int_eq(m_fill(s.f, 0, 2 * FOLIO, 1), 2 * FOLIO);
	folios_put = 0;
	/* both folios, and only a part of the last block */
	ck_assert_int_eq(m_fill(s.f, FOLIO / 2 + 100, FOLIO, 2), FOLIO);
	ck_assert_uint_ge(folios_put, 2);
	req = (struct iomap_req){ .file = &s.f->file };
	iomap_data_init(&data, &iov, 1);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL),
			 2 * FOLIO);
	same = !memcmp(got, s.f->ref, sizeof(got));
	stop(&s);
	return same;
}

CASE(overtaken_map_loses_no_bytes, "R1 I37 O34",
     "Converted and evicted under a write, old bytes survive; without the check they do not")
{
	ck_assert(overtaken_write_keeps_old_bytes(false));
	ck_assert(!overtaken_write_keeps_old_bytes(true));
}

/* ---- failures ---- */

static int end_fails(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
		     unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	int rc = m_end(inode, pos, len, written, flags, map, srcmap, priv);

	return pos >= 2 * FOLIO && (flags & IOMAP_WRITE) ? -EROFS : rc;
}

CASE(failed_end_takes_its_bytes_back, "I9 I13 H7",
     "Bytes of earlier maps are the result, those of the failed not")
{
	char buf[4 * FOLIO];
	struct iovec iov = { buf, sizeof(buf) };
	struct iomap_data data;
	struct iomap_req req;
	struct table s;

	start(&s, &(struct m_opts){ .chunk = FOLIO });
	s.m->ops.iomap_end = end_fails;
	memset(buf, 'e', sizeof(buf));
	iomap_data_init(&data, &iov, 1);
	req = (struct iomap_req){ .file = &s.f->file };
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &s.m->ops, &s.m->write_ops, NULL),
			 2 * FOLIO);
	ck_assert_int_eq(req.pos, 2 * FOLIO);
	ck_assert_uint_eq(data.left, 2 * FOLIO);	/* the user's cursor, too */
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &s.m->ops, &s.m->write_ops, NULL),
			 -EROFS);
	ck_assert_int_eq(req.pos, 2 * FOLIO);
	ck_assert_uint_eq(data.left, 2 * FOLIO);
	stop(&s);
}

CASE(failure_drops_nothing_inside, "I45 R17",
     "After a failed write up to the start of a dirty folio that folio is there, to the last byte")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true, .chunk = FOLIO });
	ck_assert_int_eq(m_fill(s.f, 2 * FOLIO, FOLIO, 1), FOLIO);	/* dirty, behind */
	s.m->fail_begin = (struct m_fault){ .nth = 2, .error = -ENOSPC };
	ck_assert_int_eq(m_fill(s.f, 0, 2 * FOLIO, 2), FOLIO);
	s.m->fail_begin = (struct m_fault){ .nth = 1, .error = -ENOSPC };
	ck_assert_int_eq(m_fill(s.f, FOLIO, FOLIO, 2), -ENOSPC);
	folio = iomapi_mapping_find(&s.f->inode, 2 * FOLIO);
	ck_assert_ptr_nonnull(folio);
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_DIRTY);
	iomap_folio_put(folio);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

static int refuse_to_read(const struct iomap_iter *iter, struct iomap_folio *folio, int64_t pos,
			  size_t len)
{
	(void)iter;
	(void)folio;
	(void)pos;
	(void)len;
	return -ENXIO;
}

CASE(folio_behind_the_end_goes_with_the_failure, "I45",
     "A folio made for a write that failed does not stay behind the end")
{
	struct iomap_folio *folio;
	char buf[2 * FOLIO] = { 1 };
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	s.m->write_ops.read_folio_range = refuse_to_read;
	ck_assert_int_eq(m_fill(s.f, 100, 10, 2), -ENXIO);
	folio = iomapi_mapping_find(&s.f->inode, 0);
	ck_assert_ptr_nonnull(folio);		/* inside: it may stay */
	iomap_folio_put(folio);
	s.m->fail_end = (struct m_fault){ .nth = 1, .error = -EIO };
	s.m->hook_map = NULL;
	s.m->write_ops.iomap_valid = never_valid;
	ck_assert_int_eq(m_write(s.f, 2 * FOLIO, buf, 10), -EIO);
	ck_assert_ptr_null(iomapi_mapping_find(&s.f->inode, 2 * FOLIO));
	stop(&s);
}

static unsigned nr_gets, nr_puts;
static int get_error;

static int get_counted(struct iomap_iter *iter, int64_t pos, uint64_t len,
		       struct iomap_folio **folio)
{
	int rc = get_error ? get_error
			   : iomap_mapping_get_folio(iter->inode, pos, len, IOMAP_WRITE, folio);

	nr_gets += !rc;
	return rc;
}

static void put_counted(struct iomap_inode *inode, int64_t pos, uint64_t copied,
			struct iomap_folio *folio)
{
	(void)inode;
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_LOCKED);
	ck_assert(!copied || (iomap_folio_flags(folio) & IOMAP_FOLIO_DIRTY));
	ck_assert_int_ge(pos, folio->pos);
	nr_puts++;
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

static int read_too_well(const struct iomap_iter *iter, struct iomap_folio *folio, int64_t pos,
			 size_t len)
{
	(void)iter, (void)folio, (void)pos;
	return (int)len;
}

CASE(a_positive_read_is_none, "I35", "read_folio_range answers with bytes: a report, and -EIO")
{
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	s.m->write_ops.read_folio_range = read_too_well;
	ck_assert_int_eq(m_fill(s.f, 100, 10, 2), -EIO);
	ck_assert_uint_eq(s.t.nr_reports, 1);
	ck_assert_str_eq(s.t.last_callback, "read_folio_range");
	ck_assert_uint_eq(s.t.last_value, BLOCK);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(each_folio_is_put_once, "I46 R12",
     "One put for each get, locked still, with the bytes or with 0")
{
	struct table s;

	start(&s, NULL);
	make_file(&s, 4 * FOLIO);
	s.m->write_ops.get_folio = get_counted;
	s.m->write_ops.put_folio = put_counted;
	nr_gets = nr_puts = 0;
	ck_assert_int_eq(m_fill(s.f, 100, 2 * FOLIO, 2), 2 * FOLIO);
	ck_assert_uint_eq(nr_gets, 3);
	ck_assert_uint_eq(nr_puts, 3);
	s.m->write_ops.read_folio_range = refuse_to_read;
	ck_assert_int_eq(m_fill(s.f, 3 * FOLIO + 1, 1, 2), -ENXIO);
	ck_assert_uint_eq(nr_gets, 4);
	ck_assert_uint_eq(nr_puts, 4);
	get_error = -ENOLCK;
	ck_assert_int_eq(m_fill(s.f, 0, 1, 2), -ENOLCK);
	ck_assert_uint_eq(nr_puts, 4);
	get_error = 0;
	s.m->write_ops.put_folio = NULL;	/* get without put makes no sense */
	ck_assert_int_eq(m_fill(s.f, 0, 1, 2), -EINVAL);
	stop(&s);
}

static int get_another(struct iomap_iter *iter, int64_t pos, uint64_t len,
		       struct iomap_folio **folio)
{
	return get_counted(iter, pos + (1 << 20), len, folio);
}

/* put_counted, for a folio that is not at the position. */
static void put_another(struct iomap_inode *inode, int64_t pos, uint64_t copied,
			struct iomap_folio *folio)
{
	ck_assert_uint_eq(copied, 0);
	put_counted(inode, folio->pos, pos < 0, folio);
}

CASE(a_wrong_folio_is_put_too, "I46", "One that does not hold the position is -EIO, and put")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true });
	s.m->write_ops.get_folio = get_another;
	s.m->write_ops.put_folio = put_another;
	nr_gets = nr_puts = 0;
	ck_assert_int_eq(m_write(s.f, 0, "abc", 3), -EIO);
	ck_assert_uint_eq(nr_gets, 1);
	ck_assert_uint_eq(nr_puts, 1);
	stop(&s);
}

/* The folio of another file, or one that is not locked. */
static struct m_file *strange_file;

static int get_strange(struct iomap_iter *iter, int64_t pos, uint64_t len,
		       struct iomap_folio **folio)
{
	struct iomap_inode *inode = strange_file ? &strange_file->inode : iter->inode;
	int rc = iomap_mapping_get_folio(inode, pos, len, IOMAP_WRITE, folio);

	if (!rc && !strange_file)
		iomap_folio_unlock(*folio);
	return rc;
}

static void put_strange(struct iomap_inode *inode, int64_t pos, uint64_t copied,
			struct iomap_folio *folio)
{
	(void)inode, (void)pos;
	ck_assert_uint_eq(copied, 0);
	nr_puts++;
	if (strange_file)
		iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

CASE(a_strange_folio_is_put_too, "I46",
     "One of another file, or not locked: -EIO, a report, no byte of it changes")
{
	struct m_file *other;
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true });
	other = m_file_new(s.m);
	ck_assert_int_eq(m_fill(other, 0, FOLIO, 3), FOLIO);
	s.m->write_ops.get_folio = get_strange;
	s.m->write_ops.put_folio = put_strange;
	for (unsigned i = 0; i < 2; i++) {
		strange_file = i ? other : NULL;
		nr_puts = s.t.nr_reports = 0;
		ck_assert_int_eq(m_write(s.f, 0, "abc", 3), -EIO);
		ck_assert_uint_eq(nr_puts, 1);
		ck_assert_uint_eq(s.t.nr_reports, 1);
		ck_assert_str_eq(s.t.last_rule, "I46");
	}
	s.m->write_ops.get_folio = NULL;
	s.m->write_ops.put_folio = NULL;
	ck_assert(m_content_ok(other));
	ck_assert_uint_eq(s.m->nr_reserved, FOLIO / BLOCK);
	m_file_free(&other);
	stop(&s);
}

MAIN()
