/* SPDX-License-Identifier: MIT */
/*
 * test_redirty.c - folios whose writeback failed: they stay, and a second try really writes them.
 */
#include "unit/read_table.h"

static uint64_t failed_bytes(struct table *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats.failed;
}

/* A file in the cache that the device refused; its handle has heard of it. */
static void fail_file(struct table *s, size_t len)
{
	ck_assert_int_eq(m_fill(s->f, 0, len, 1), len);
	t_mem_fail(s->dev, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(s->f), -EIO);
	ck_assert_uint_ge(failed_bytes(s), len);	/* all of it is one ioend */
	t_mem_log_reset(s->dev);
}

static int64_t redirty(struct table *s, int64_t start, int64_t end)
{
	return iomap_mapping_redirty_failed(&s->f->inode, start, end, &s->m->ops, NULL);
}

static unsigned nr_writes(struct table *s)
{
	const struct t_mem_req *log;
	unsigned nr, found = 0;

	log = t_mem_log(s->dev, &nr);
	for (unsigned i = 0; i < nr; i++)
		found += log[i].op == IOMAP_BIO_WRITE && log[i].addr >= 65536;
	return found;
}

CASE(failed_folios_stay, "H8 R36",
     "Neither reclaim nor invalidation drops them, and they are read from memory")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true, .unwritten = true });
	fail_file(&s, 4 * FOLIO);
	ck_assert_uint_eq(failed_bytes(&s), 4 * FOLIO);
	ck_assert_uint_eq(iomap_cache_reclaim(s.m->cache, 64 << 20), 0);
	ck_assert_int_eq(m_drop_cache(s.f), -EBUSY);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_sync(s.f), 0);	/* the error was seen; nothing is dirty */
	ck_assert_uint_eq(nr_writes(&s), 0);
	stop(&s);
}

CASE(second_try_writes_the_bytes, "H8 O19",
     "Redirty reserves, the next sync writes, and the device has every byte")
{
	for (unsigned i = 0; i < 8; i++) {
		struct table s;

		start(&s, &(struct m_opts){ .delalloc = i & 1, .unwritten = i & 2, .anon = i & 4 });
		fail_file(&s, 4 * FOLIO + 100);
		ck_assert_int_gt(redirty(&s, 0, IOMAP_MAX_POS), 4 * FOLIO);
		ck_assert_uint_eq(failed_bytes(&s), 0);
		ck_assert_int_eq(m_sync(s.f), 0);
		ck_assert_uint_gt(nr_writes(&s), 0);
		ck_assert(m_device_equals_model(s.f));
		ck_assert_int_eq(m_drop_cache(s.f), 0);
		ck_assert(m_content_ok(s.f));
		ck_assert(m_balanced(s.m));
		ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 0);
		stop(&s);
	}
}

CASE(second_try_reserves_again, "H8 I90",
     "Space promised for what failed was given back: begin is asked, and may refuse")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true });
	ck_assert_int_eq(m_fill(s.f, 0, 4 * FOLIO, 1), 4 * FOLIO);
	s.m->fail_map = (struct m_fault){ .nth = 1, .count = 100, .error = -EIO };
	ck_assert_int_eq(m_sync(s.f), -EIO);
	ck_assert_int_eq(s.m->nr_reserved, 0);
	s.m->fail_map.nth = 0;
	m_log_start(s.m);
	s.m->fail_begin = (struct m_fault){ .nth = 3, .error = -ENOSPC };
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), -ENOSPC);
	ck_assert_int_eq(s.m->nr_reserved, 2 * FOLIO / BLOCK);
	ck_assert_uint_eq(s.m->log[0].flags, IOMAP_WRITE);
	ck_assert_uint_eq(failed_bytes(&s), 2 * FOLIO);		/* those that were not reached */
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 2 * FOLIO);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(range_limits_the_second_try, "H8", "Only folios of the range are tried again")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true });
	fail_file(&s, 4 * FOLIO);
	ck_assert_int_eq(redirty(&s, FOLIO, 2 * FOLIO), FOLIO);
	ck_assert_uint_eq(failed_bytes(&s), 3 * FOLIO);
	ck_assert_int_eq(redirty(&s, -1, FOLIO), -EINVAL);
	ck_assert_int_eq(redirty(&s, 2, 1), -EINVAL);
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 3 * FOLIO);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	stop(&s);
}

CASE(invalidating_one_keeps_its_bytes, "H8 I25",
     "The whole of a failed folio is invalidated: what it has of the file stays readable")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	ck_assert_int_eq(m_fill(s.f, BLOCK, BLOCK, 2), BLOCK);	/* the rest is not there */
	t_mem_fail(s.dev, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(s.f), -EIO);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, 1, 0, &folio), 0);
	iomap_folio_invalidate(folio, 0, FOLIO);
	ck_assert(!iomap_folio_release(folio));
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	ck_assert_uint_eq(failed_bytes(&s), FOLIO);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), FOLIO);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	stop(&s);
}

/* While the first folio is reserved for, the second is punched out. */
static void punch_second(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			 struct iomap *map, struct iomap *srcmap)
{
	(void)len, (void)map, (void)srcmap;
	if (!(flags & IOMAP_WRITE) || pos >= FOLIO)
		return;
	f->m->hook_map = NULL;
	iomap_mapping_punch(&f->inode, FOLIO, 2 * FOLIO);
}

CASE(one_that_leaves_is_left_alone, "H8",
     "A folio that was found and has left the mapping since is not tried again")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true });
	fail_file(&s, 3 * FOLIO);
	s.m->hook_map = punch_second;
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 2 * FOLIO);
	ck_assert_uint_eq(failed_bytes(&s), 0);
	ck_assert_int_eq(m_sync(s.f), 0);
	/* of the second the device has what it had */
	ck_assert_int_eq(m_dev_read(s.m->bdev, s.f->data[FOLIO / BLOCK].addr, s.f->ref + FOLIO,
				    FOLIO), 0);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_device_equals_model(s.f));
	stop(&s);
}

CASE(missing_blocks_are_not_invented, "H8",
     "Blocks of a failed folio that have no content are not written")
{
	const struct t_mem_req *log;
	struct table s;
	uint64_t bytes = 0;
	unsigned nr;

	start(&s, NULL);
	make_file(&s, FOLIO);
	ck_assert_int_eq(m_fill(s.f, BLOCK, BLOCK, 2), BLOCK);	/* of four blocks one is there */
	t_mem_fail(s.dev, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(s.f), -EIO);
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), BLOCK);
	t_mem_log_reset(s.dev);
	ck_assert_int_eq(m_sync(s.f), 0);
	log = t_mem_log(s.dev, &nr);
	for (unsigned i = 0; i < nr; i++)
		bytes += log[i].op == IOMAP_BIO_WRITE && log[i].addr >= 65536 ? log[i].len : 0;
	ck_assert_uint_eq(bytes, BLOCK);
	ck_assert(m_device_equals_model(s.f));
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(failing_again_is_failed_again, "H8 O11",
     "A second try that fails is reported anew and may be tried a third time")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true, .unwritten = true });
	fail_file(&s, 2 * FOLIO);
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 2 * FOLIO);
	t_mem_fail(s.dev, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(s.f), -EIO);
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 2 * FOLIO);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	stop(&s);
}

/* Blocks 1 and 3 of one folio failed.  Before the pass asks for block 3 a cleaner writes what it
 * made dirty, and the device fails that as well. */
static unsigned nr_cleaned, max_cleaned;

static int clean_in_between(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
			    struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct m_file *f = M_FILE(inode);

	if (flags & IOMAP_WRITE && pos == 3 * BLOCK && nr_cleaned < max_cleaned) {
		nr_cleaned++;
		t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
		ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_ALL, 0, 0), 0);
		iomap_mapping_wait_range(inode, 0, IOMAP_MAX_POS);
	}
	return m_begin(inode, pos, len, flags, map, srcmap, priv);
}

static void fail_two_blocks(struct table *s)
{
	start(s, NULL);
	make_file(s, FOLIO);
	ck_assert_int_eq(m_fill(s->f, BLOCK, BLOCK, 2), BLOCK);
	ck_assert_int_eq(m_fill(s->f, 3 * BLOCK, BLOCK, 3), BLOCK);
	t_mem_fail(s->dev, IOMAP_BIO_WRITE, 1, 2, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(s->f), -EIO);
	ck_assert_uint_eq(failed_bytes(s), FOLIO);
	s->m->ops.iomap_begin = clean_in_between;
	nr_cleaned = 0;
}

CASE(failing_meanwhile_is_tried_again, "H8",
     "Blocks of a pass that are written and fail before it ends are dirty again after it")
{
	struct table s;

	fail_two_blocks(&s);
	max_cleaned = 2;
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 2 * BLOCK);
	ck_assert_uint_eq(failed_bytes(&s), 0);
	ck_assert_int_eq(m_sync(s.f), -EIO);	/* heard of now; and the blocks are written */
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	ck_assert_uint_eq(nr_cleaned, 2);
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(failing_each_time_stays_failed, "H8",
     "A folio that fails as often as it is tried is given up: -EIO, and it is failed still")
{
	struct table s;

	fail_two_blocks(&s);
	max_cleaned = UINT32_MAX;
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), -EIO);
	ck_assert_uint_eq(failed_bytes(&s), FOLIO);
	max_cleaned = 0;
	ck_assert_int_eq(redirty(&s, 0, IOMAP_MAX_POS), 2 * BLOCK);
	ck_assert_uint_eq(failed_bytes(&s), 0);
	ck_assert_int_eq(m_sync(s.f), -EIO);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	stop(&s);
}

CASE(forgetting_is_the_users_word, "H8",
     "forget_failed drops the folios; what is read then is what the device has")
{
	struct table s;

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	memcpy(s.f->ref + M_MAX_FILE / 2, s.f->ref, 2 * FOLIO);
	fail_file(&s, 2 * FOLIO);
	memcpy(s.f->ref, s.f->ref + M_MAX_FILE / 2, 2 * FOLIO);
	ck_assert_int_eq(iomap_mapping_forget_failed(&s.f->inode, 0, IOMAP_MAX_POS), 2 * FOLIO);
	ck_assert_uint_eq(failed_bytes(&s), 0);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

MAIN()
