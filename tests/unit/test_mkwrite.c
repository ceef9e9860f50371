/* SPDX-License-Identifier: MIT */
/*
 * test_mkwrite.c - a fault wants to store into a cached folio: what is reserved, what becomes
 * dirty, who waits.
 */
#include "unit/one_thread.h"
#include "unit/read_table.h"

/* A file of size bytes that is one hole, and cached. */
static void holes(struct table *s, const struct m_opts *opts, int64_t size)
{
	start(s, opts ? opts : &(struct m_opts){ .delalloc = true });
	iomap_inode_set_size(&s->f->inode, size);
	s->f->ref_size = s->f->disk_size = size;
	ck_assert(m_content_ok(s->f));
}

static void all_is_well(struct table *s)
{
	ck_assert(m_content_ok(s->f));
	ck_assert_int_eq(m_sync(s->f), 0);
	ck_assert_int_eq(s->m->nr_reserved, 0);
	ck_assert(m_device_equals_model(s->f));
	ck_assert(m_balanced(s->m));
	stop(s);
}

static uint32_t flags_at(struct table *s, int64_t pos)
{
	struct iomap_folio *folio = iomapi_mapping_find(&s->f->inode, pos);
	uint32_t flags;

	ck_assert_ptr_nonnull(folio);
	flags = iomap_folio_flags(folio);
	iomap_folio_put(folio);
	return flags;
}

static size_t dirty_bytes(struct table *s, int64_t pos)
{
	struct iomap_folio *folio = iomapi_mapping_find(&s->f->inode, pos);
	size_t sum = 0, len;

	ck_assert_ptr_nonnull(folio);
	for (size_t off = 0; iomapi_folio_next_dirty(folio, &off, folio->size, &len); off += len)
		sum += len;
	iomap_folio_put(folio);
	return sum;
}

static int mkwrite(struct table *s, int64_t pos, struct iomap_folio **folio)
{
	int rc;

	iomap_inode_invalidate_lock(&s->f->inode, IOMAP_LOCK_SHARED);
	rc = iomap_page_mkwrite(&s->f->inode, pos, &s->m->ops, &s->m->write_ops, NULL, folio);
	iomap_inode_invalidate_unlock(&s->f->inode);
	return rc;
}

static void done(struct iomap_folio *folio)
{
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

CASE(inside_the_file_is_reserved, "I71",
     "begin is asked up to the end of the file, all of the folio is dirty, no more is written")
{
	struct iomap_folio *folio;
	struct table s;

	holes(&s, NULL, FOLIO + BLOCK + 500);
	m_log_start(s.m);
	ck_assert_int_eq(mkwrite(&s, FOLIO + 1200, &folio), 0);
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_LOCKED);
	ck_assert_int_eq(s.m->log[0].pos, FOLIO);
	ck_assert_uint_eq(s.m->log[0].len, BLOCK + 500);
	ck_assert_uint_eq(s.m->log[0].flags, IOMAP_WRITE | IOMAP_FAULT);
	ck_assert_int_eq(s.m->nr_reserved, 2);
	memset(folio->mem, 'x', FOLIO);
	memset(s.f->ref + FOLIO, 'x', BLOCK + 500);
	done(folio);
	ck_assert_uint_eq(dirty_bytes(&s, FOLIO), FOLIO);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_uint_eq(dirty_bytes(&s, FOLIO), 0);	/* behind the end too */
	ck_assert(!(flags_at(&s, FOLIO) & IOMAP_FOLIO_DIRTY));
	ck_assert_int_eq(s.m->nr_allocated, 2);
	/* what was stored behind the end does not come to light */
	ck_assert_int_eq(m_fill(s.f, 3 * FOLIO, 10, 1), 10);
	all_is_well(&s);
}

CASE(folio_behind_the_end_is_left_alone, "I72",
     "Cut off by size, dropped, or never cached: -EAGAIN, begin is not asked, nothing is dirty")
{
	struct iomap_folio *folio = NULL;
	struct table s;

	holes(&s, NULL, 4 * FOLIO);
	m_log_start(s.m);
	iomap_inode_set_size(&s.f->inode, FOLIO);
	ck_assert_int_eq(mkwrite(&s, FOLIO, &folio), -EAGAIN);
	ck_assert_ptr_null(folio);
	ck_assert(!(flags_at(&s, FOLIO) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_LOCKED)));
	iomap_mapping_truncate(&s.f->inode, FOLIO);
	iomap_inode_set_size(&s.f->inode, 4 * FOLIO);
	ck_assert_int_eq(mkwrite(&s, FOLIO, &folio), -EAGAIN);
	ck_assert_uint_eq(s.m->nr_log, 0);
	ck_assert_int_eq(mkwrite(&s, 0, &folio), 0);
	done(folio);
	all_is_well(&s);
}

/* What begin and the caller see of the folio's writeback. */
static uint32_t seen_in_begin;

static void look(struct m_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map,
		 struct iomap *srcmap)
{
	struct iomap_folio *folio = iomapi_mapping_find(&f->inode, pos);

	(void)len, (void)flags, (void)map, (void)srcmap;
	seen_in_begin = iomap_folio_flags(folio);
	iomap_folio_put(folio);
}

static uint32_t mkwrite_under_writeback(uint32_t inode_flags, int error)
{
	struct iomap_folio *folio;
	struct table s;
	uint32_t flags;

	holes(&s, &(struct m_opts){ .delalloc = true, .inode_flags = inode_flags }, FOLIO);
	ck_assert_int_eq(m_fill(s.f, 0, FOLIO, 1), FOLIO);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	s.m->hook_map = look;
	s.m->fail_end = (struct m_fault){ .nth = error != 0, .error = error };
	seen_in_begin = 0;
	ck_assert_int_eq(mkwrite(&s, 0, &folio), error);
	ck_assert(seen_in_begin & IOMAP_FOLIO_WRITEBACK);
	ck_assert(seen_in_begin & IOMAP_FOLIO_LOCKED);
	flags = flags_at(&s, 0);
	ck_assert(flags & IOMAP_FOLIO_DIRTY);
	s.m->hook_map = NULL;
	if (!error)
		done(folio);
	all_is_well(&s);
	return flags;
}

CASE(stable_pages_are_waited_for_last, "I73",
     "Writeback of the folio is waited for if it must be stable, after the map, not if that failed")
{
	const uint32_t stable = IOMAP_INODE_STABLE;

	ck_assert(!(mkwrite_under_writeback(stable, 0) & IOMAP_FOLIO_WRITEBACK));
	ck_assert(mkwrite_under_writeback(stable, -ENOSPC) & IOMAP_FOLIO_WRITEBACK);
	ck_assert(mkwrite_under_writeback(0, 0) & IOMAP_FOLIO_WRITEBACK);
}

CASE(fault_that_fails_half_way, "I164 O36",
     "No room for the third block: what was promised is under dirty blocks, and is written")
{
	struct iomap_folio *folio;
	struct table s;

	for (unsigned i = 0; i < 2; i++) {
		holes(&s, &(struct m_opts){ .delalloc = true, .chunk = BLOCK, .unwritten = i },
		      FOLIO);
		s.m->fail_alloc = (struct m_fault){ .nth = 3, .error = -ENOSPC };
		ck_assert_int_eq(mkwrite(&s, 0, &folio), -ENOSPC);
		ck_assert_int_eq(s.m->nr_reserved, 2);
		ck_assert_uint_eq(dirty_bytes(&s, 0), 2 * BLOCK);
		ck_assert(!(flags_at(&s, 0) & IOMAP_FOLIO_LOCKED));
		ck_assert_int_eq(m_sync(s.f), 0);
		ck_assert_int_eq(s.m->nr_allocated, 2);
		all_is_well(&s);
	}
}

CASE(missing_blocks_are_there_before, "I35",
     "Of a folio that is partly there the rest is read; over the end of the file it is zeros")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, &(struct m_opts){ .cow = true });
	make_file(&s, 2 * BLOCK);
	ck_assert_int_eq(m_fill(s.f, 0, BLOCK, 1), BLOCK);	/* the only block there is */
	ck_assert(!(flags_at(&s, 0) & IOMAP_FOLIO_UPTODATE));
	ck_assert_int_eq(mkwrite(&s, 10, &folio), 0);
	ck_assert_uint_eq(nr_reads(&s, NULL), 1);
	ck_assert(uptodate(folio));
	ck_assert(zeros(folio, 2 * BLOCK));
	done(folio);
	all_is_well(&s);
}

CASE(read_that_fails, "I35", "The block that cannot be read is not dirty, and the folio unlocked")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	ck_assert_int_eq(m_fill(s.f, 0, BLOCK, 1), BLOCK);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 2, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(mkwrite(&s, 10, &folio), -EIO);
	ck_assert_uint_eq(dirty_bytes(&s, 0), BLOCK);
	ck_assert(!(flags_at(&s, 0) & IOMAP_FOLIO_LOCKED));
	ck_assert_int_eq(mkwrite(&s, 10, &folio), 0);
	done(folio);
	all_is_well(&s);
}

CASE(shared_blocks_go_elsewhere, "I71 I58",
     "A store into shared blocks is promised others; the snapshot keeps the old bytes")
{
	uint8_t before[BLOCK], after[BLOCK];
	struct table s;
	uint64_t addr;

	start(&s, &(struct m_opts){ .delalloc = true, .cow = true });
	make_file(&s, FOLIO);
	m_share(s.f);
	addr = s.f->data[1].addr;
	ck_assert_int_eq(m_dev_read(s.m->bdev, addr, before, BLOCK), 0);
	ck_assert_int_eq(m_store(s.f, BLOCK, "x", 1), -EAGAIN);	/* to be read first */
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_store(s.f, BLOCK, "store", 5), 0);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_uint_ne(s.f->data[1].addr, addr);
	ck_assert_int_eq(m_dev_read(s.m->bdev, addr, after, BLOCK), 0);
	ck_assert_mem_eq(before, after, BLOCK);
	all_is_well(&s);
}

static bool invalid_at_first(struct iomap_inode *inode, const struct iomap *map)
{
	static unsigned asked;

	(void)inode, (void)map;
	return asked++ >= 3;
}

CASE(stale_map_of_a_fault, "I37",
     "A map found invalid makes nothing dirty; begin is asked again and its promise is kept")
{
	struct iomap_folio *folio;
	struct table s;

	holes(&s, NULL, FOLIO);
	s.m->write_ops.iomap_valid = invalid_at_first;
	ck_assert_int_eq(mkwrite(&s, 0, &folio), 0);
	done(folio);
	ck_assert_uint_eq(s.m->nr_begin, 5);	/* one of a read */
	ck_assert_int_eq(s.m->nr_reserved, 4);
	all_is_well(&s);
}

/* An address that looks like one. */
static void anonymous(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
		      struct iomap *map, struct iomap *srcmap)
{
	(void)f, (void)pos, (void)len, (void)srcmap;
	if (flags & IOMAP_WRITE)
		map->flags |= IOMAP_F_ANON_WRITE;
}

CASE(nowhere_to_read_from, "V8",
     "Missing blocks under an anonymous map: -EIO and a report, nothing is read or dirty for it")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	ck_assert_int_eq(m_fill(s.f, 0, BLOCK, 1), BLOCK);	/* the only block there is */
	s.m->hook_map = anonymous;
	t_mem_log_reset(s.dev);
	ck_assert_int_eq(mkwrite(&s, 10, &folio), -EIO);
	ck_assert_str_eq(s.t.last_rule, "V8");
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_uint_eq(dirty_bytes(&s, 0), BLOCK);
	s.m->hook_map = NULL;
	ck_assert(m_content_ok(s.f));		/* all is there now */
	s.m->hook_map = anonymous;
	ck_assert_int_eq(mkwrite(&s, 10, &folio), 0);
	done(folio);
	s.m->hook_map = NULL;
	all_is_well(&s);
}

/* ---- room ---- */

static struct iomap_ioend *held[8];
static unsigned nr_held, nr_sleeps;

static int keep(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)f, (void)error;
	ck_assert_uint_lt(nr_held, 8);
	held[nr_held] = iomap_ioend_take(wpc, wb_ctx);
	held[nr_held++]->bio.end_io = m_end_io;
	return 0;
}

static void let_go(void)
{
	while (nr_held)
		iomap_ioend_submit(held[--nr_held], 0);
}

/* Whoever would sleep: now it goes on. */
static int count_sleeps(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	nr_sleeps++;
	let_go();
	return no_wait(arg, word, seen, timeout_ns);
}

static void yield(void *arg, const char *site)
{
	(void)arg, (void)site;
}

static unsigned sleeps_of_a_fault(int dead)
{
	const struct iomap_sync_ops sync = {
		.struct_size = sizeof(sync), .wait = count_sleeps, .wake = no_wake,
		.self = only_self, .spawn = no_spawn, .join = no_join, .yield = yield,
	};
	const struct iomap_env_opts env = { .struct_size = sizeof(env), .sync = &sync };
	struct iomap_folio *folio;
	struct table s;
	unsigned nr;

	t_env_start(&s.t, &env);
	s.m = m_open(&s.t, &(struct m_opts){
		.block_bits = 10, .max_folio = FOLIO, .delalloc = true,
		.cache_bytes = 1 << 20, .dirty_limit = 4 * FOLIO });
	s.f = m_file_new(s.m);
	s.dev = t_mem_find("model");
	s.m->hook_submit = keep;
	ck_assert_int_eq(m_fill(s.f, 0, 4 * FOLIO, 1), 4 * FOLIO);
	ck_assert_int_eq(m_fill(s.f, 4 * FOLIO, BLOCK, 1), BLOCK);	/* over the limit */
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), 0);
	ck_assert_uint_gt(nr_held, 0);
	s.m->hook_submit = NULL;
	if (dead)
		iomap_volume_shutdown(s.m->volume, dead);
	nr_sleeps = 0;
	ck_assert_int_eq(mkwrite(&s, 0, &folio), dead);
	nr = nr_sleeps;
	let_go();
	if (!dead)
		done(folio);
	ck_assert_int_eq(iomap_inode_wait_wb(&s.f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
	stop(&s);
	return nr;
}

CASE(room_on_a_dead_volume, "",
     "Over the limit a fault waits for writeback; for that of a dead volume it does not")
{
	ck_assert_uint_gt(sleeps_of_a_fault(0), 0);
	ck_assert_uint_eq(sleeps_of_a_fault(-ENOTCONN), 0);
}

static char inline_mem[FOLIO];

static void make_inline(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			struct iomap *map, struct iomap *srcmap)
{
	(void)f, (void)pos, (void)len, (void)srcmap;
	if (flags & IOMAP_FAULT)
		*map = (struct iomap){
			.type = IOMAP_INLINE, .length = 100, .inline_data = inline_mem,
			.inline_len = sizeof(inline_mem), .bdev = f->m->bdev,
		};
}

CASE(what_cannot_be_made_writable, "",
     "Bad positions and files are refused; inline data are -EIO and a report; killed is -ESTALE")
{
	struct iomap_folio *folio;
	struct table s;

	holes(&s, &(struct m_opts){ .block_bits = 10 }, 100);
	ck_assert_int_eq(mkwrite(&s, -1, &folio), -EINVAL);
	s.m->write_ops.struct_size = 1;
	ck_assert_int_eq(mkwrite(&s, 0, &folio), -EINVAL);
	s.m->write_ops.struct_size = sizeof(s.m->write_ops);
	s.m->hook_map = make_inline;
	ck_assert_int_eq(mkwrite(&s, 0, &folio), -EIO);
	ck_assert_str_eq(s.t.last_rule, "V8");
	ck_assert_ptr_null(folio);
	ck_assert(!(flags_at(&s, 0) & (IOMAP_FOLIO_LOCKED | IOMAP_FOLIO_DIRTY)));
	s.m->hook_map = NULL;
	ck_assert_int_eq(iomap_inode_kill(&s.f->inode, IOMAP_FOREVER), 0);
	ck_assert_int_eq(mkwrite(&s, 0, &folio), -ESTALE);
	stop(&s);
}

MAIN()
