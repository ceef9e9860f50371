/* SPDX-License-Identifier: MIT */
/*
 * test_buffered_write.c - writing through the cache: what is read first, what becomes dirty, when
 * the size grows, who waits for room.
 */
#include "unit/read_table.h"

static uint64_t dirty_bytes(struct table *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->m->cache, &stats);
	return stats.dirty;
}

static bool block_dirty(struct iomap_folio *folio, unsigned b)
{
	size_t off = b * BLOCK, len;

	return iomapi_folio_next_dirty(folio, &off, (b + 1) * BLOCK, &len);
}

CASE(whole_folio_needs_nothing, "I34",
     "A write that covers the folio reads nothing and attaches no state")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	ck_assert_int_eq(m_fill(s.f, 0, FOLIO, 2), FOLIO);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	folio = iomapi_mapping_find(&s.f->inode, 0);
	ck_assert_ptr_null(folio->state);
	ck_assert(uptodate(folio));
	iomap_folio_put(folio);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(partial_blocks_are_read_first, "I35",
     "The two blocks at the edges are read, those between are not")
{
	struct table s;
	uint64_t bytes;

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	ck_assert_int_eq(m_fill(s.f, 100, 3 * BLOCK, 2), 3 * BLOCK);
	ck_assert_uint_eq(nr_reads(&s, &bytes), 2);
	ck_assert_uint_eq(bytes, 2 * BLOCK);
	ck_assert_int_eq(m_fill(s.f, FOLIO + 10, 10, 3), 10);	/* one block, both edges */
	ck_assert_uint_eq(nr_reads(&s, &bytes), 3);
	ck_assert_uint_eq(bytes, 3 * BLOCK);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	stop(&s);
}

CASE(shared_blocks_are_read_from_their_source, "I35",
     "Under copy-on-write the old bytes come from the source map")
{
	const struct t_mem_req *log;
	struct table s;
	uint64_t source;
	unsigned nr;

	start(&s, &(struct m_opts){ .cow = true });
	make_file(&s, 2 * FOLIO);
	m_share(s.f);
	source = s.f->data[1].addr;
	t_mem_log_reset(s.dev);
	ck_assert_int_eq(m_fill(s.f, BLOCK + 100, 50, 2), 50);
	log = t_mem_log(s.dev, &nr);
	ck_assert_uint_eq(nr, 1);
	ck_assert_uint_eq(log[0].addr, source);
	ck_assert_uint_eq(log[0].len, BLOCK);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	ck_assert_uint_ne(s.f->data[1].addr, source);
	ck_assert_uint_eq(s.f->data[0].addr, source - BLOCK);
	ck_assert(m_device_equals_model(s.f));
	ck_assert(m_content_ok(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

static struct iomap_bdev *other;

/* The old bytes of all that is written lie at the start of another device. */
static void source_elsewhere(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			     struct iomap *map, struct iomap *srcmap)
{
	(void)f, (void)pos, (void)len;
	if (!(flags & IOMAP_WRITE))
		return;
	*srcmap = *map;
	srcmap->type = IOMAP_MAPPED;
	srcmap->addr = 0;
	srcmap->bdev = other;
	map->flags |= IOMAP_F_SHARED | IOMAP_F_NEW;	/* NEW is about the target */
}

CASE(a_source_on_another_device, "I35", "The old bytes come from the device of the source map")
{
	struct iomap_folio *folio;
	struct table s;
	const char *mem;

	start(&s, NULL);
	make_file(&s, FOLIO);
	ck_assert_int_eq(iomap_bdev_open(s.m->ioq, "mem:other", NULL, &other), 0);
	memset(t_mem_data(t_mem_find("other")), 'o', FOLIO);
	s.m->hook_map = source_elsewhere;
	ck_assert_int_eq(m_write(s.f, 100, "new", 3), 3);
	s.m->hook_map = NULL;
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	folio = iomapi_mapping_find(&s.f->inode, 0);
	mem = folio->mem;
	ck_assert_mem_eq(mem + 99, "onewo", 5);
	ck_assert_int_eq(mem[0], 'o');
	ck_assert_int_eq(mem[BLOCK - 1], 'o');
	iomap_folio_put(folio);
	m_file_free(&s.f);
	s.f = m_file_new(s.m);
	iomap_bdev_close(&other);
	stop(&s);
}

CASE(fresh_blocks_are_zeroed, "I28 I35",
     "Holes, promises, unwritten, NEW: the rest of a partly written block is zeros, unread")
{
	for (unsigned i = 0; i < 4; i++) {
		struct table s;

		start(&s, &(struct m_opts){ .delalloc = i & 1, .unwritten = i & 2 });
		ck_assert_int_eq(m_fill(s.f, 3 * FOLIO + 100, 200, 1), 200);
		ck_assert_int_eq(m_fill(s.f, FOLIO + BLOCK - 1, 2, 2), 2);
		ck_assert_uint_eq(nr_reads(&s, NULL), 0);
		ck_assert(m_content_ok(s.f));
		ck_assert_int_eq(m_sync(s.f), 0);
		ck_assert(m_device_equals_model(s.f));
		ck_assert_int_eq(m_drop_cache(s.f), 0);
		ck_assert(m_content_ok(s.f));
		stop(&s);
	}
}

CASE(block_behind_the_end_is_not_read, "I28",
     "Allocated blocks behind the end of the file hold nothing")
{
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	/* preallocated, written with garbage, and behind the end */
	for (unsigned b = 4; b < 8; b++)
		s.f->data[b] = (struct m_block){ .type = IOMAP_MAPPED, .addr = 1 << 20 };
	ck_assert_int_eq(m_fill(s.f, FOLIO + 500, 10, 1), 10);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert(m_content_ok(s.f));
	for (unsigned b = 4; b < 8; b++)
		s.f->data[b] = (struct m_block){ .type = IOMAP_HOLE };
	stop(&s);
}

CASE(nowait_needs_no_device, "I36",
     "What would need a read is -EAGAIN under NOWAIT, and changes nothing")
{
	struct table s;
	char byte = 'x';

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	ck_assert_int_eq(m_write_flags(s.f, 100, &byte, 1, IOMAP_REQ_NOWAIT), -EAGAIN);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_uint_eq(dirty_bytes(&s), 0);
	ck_assert(m_content_ok(s.f));		/* the block is read: nobody said it was there */
	ck_assert_int_eq(m_write_flags(s.f, 100, &byte, 1, IOMAP_REQ_NOWAIT), 1);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(nowait_does_not_wait_for_a_lock, "I36",
     "A locked folio is -EAGAIN; so is a folio that may not change")
{
	struct iomap_folio *folio;
	struct table s;
	char byte = 'x';

	start(&s, &(struct m_opts){ .inode_flags = IOMAP_INODE_STABLE });
	make_file(&s, FOLIO);
	ck_assert(m_content_ok(s.f));
	folio = iomapi_mapping_find(&s.f->inode, 0);
	iomap_folio_lock(folio);
	ck_assert_int_eq(m_write_flags(s.f, 100, &byte, 1, IOMAP_REQ_NOWAIT), -EAGAIN);
	iomap_folio_unlock(folio);
	ck_assert_int_eq(m_write_flags(s.f, 100, &byte, 1, IOMAP_REQ_NOWAIT), 1);
	t_mem_hold(s.dev, true);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(m_write_flags(s.f, 101, &byte, 1, IOMAP_REQ_NOWAIT), -EAGAIN);
	t_mem_hold(s.dev, false);
	t_mem_release_all(s.dev);
	ck_assert_int_eq(m_write(s.f, 101, &byte, 1), 1);	/* waits, with no map open */
	iomap_folio_put(folio);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

/* ---- dirty and size ---- */

CASE(only_written_blocks_are_dirty, "I40",
     "Of a folio the blocks that bytes were copied to are dirty")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, FOLIO);
	ck_assert_int_eq(m_fill(s.f, BLOCK + 10, BLOCK, 2), BLOCK);	/* blocks 1 and 2 */
	folio = iomapi_mapping_find(&s.f->inode, 0);
	for (unsigned b = 0; b < 4; b++)
		ck_assert_int_eq(block_dirty(folio, b), b == 1 || b == 2);
	iomap_folio_put(folio);
	t_mem_log_reset(s.dev);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_ALL, 0, 0), 0);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

static int64_t size_at_put;
static unsigned end_flags;

static void look_at_size(struct iomap_inode *inode, int64_t pos, uint64_t copied,
			 struct iomap_folio *folio)
{
	(void)pos;
	(void)copied;
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_LOCKED);
	size_at_put = iomap_inode_size(inode);
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

static int look_at_flags(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
			 unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	end_flags = map->flags;
	return m_end(inode, pos, len, written, flags, map, srcmap, priv);
}

CASE(size_grows_before_the_folio_is_unlocked, "I42 I43",
     "put_folio sees the new size, end is told of it, and the size on disk waits for the data")
{
	struct table s;

	start(&s, NULL);
	s.m->write_ops.put_folio = look_at_size;
	s.m->ops.iomap_end = look_at_flags;
	ck_assert_int_eq(m_fill(s.f, 0, 1000, 1), 1000);
	ck_assert_int_eq(size_at_put, 1000);
	ck_assert(end_flags & IOMAP_F_SIZE_CHANGED);
	ck_assert_int_eq(s.f->disk_size, 0);
	ck_assert_uint_eq(s.m->nr_sizes, 0);
	ck_assert_int_eq(m_fill(s.f, 100, 100, 2), 100);	/* inside: nothing grows */
	ck_assert_int_eq(size_at_put, 1000);
	ck_assert(!(end_flags & IOMAP_F_SIZE_CHANGED));
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_int_eq(s.f->disk_size, 1000);
	stop(&s);
}

CASE(old_end_shows_zeros, "I44",
     "Bytes that a mapped store left behind the old end are zeros once inside")
{
	struct iomap_folio *folio;
	struct table s;

	start(&s, NULL);
	make_file(&s, 1500);
	ck_assert(m_content_ok(s.f));
	folio = iomapi_mapping_find(&s.f->inode, 0);
	memset((char *)folio->mem + 1500, 0x77, FOLIO - 1500);
	iomap_folio_put(folio);
	ck_assert_int_eq(m_fill(s.f, 2 * FOLIO, 10, 1), 10);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

/* ---- back pressure ---- */

static int nothing_is_open(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct m_model *m = M_FILE(inode)->m;
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &m->wb_ops };

	ck_assert_uint_eq(m->nr_begin, m->nr_end);
	ck_assert_uint_eq(iomapi_self(m->env)->nr_folio_locks, 0);
	m->nr_writepages++;
	return iomap_writepages(&wpc);
}

CASE(writers_wait_outside_of_begin, "I47",
     "Above the dirty limit a writer starts writeback with no folio locked and no map open")
{
	struct table s;
	char byte = 'x';

	start(&s, &(struct m_opts){ .delalloc = true, .cache_bytes = 1 << 20,
				    .dirty_limit = 64 << 10 });
	s.m->inode_ops.writepages = nothing_is_open;
	ck_assert_int_eq(m_fill(s.f, 0, 2 << 20, 1), 2 << 20);
	ck_assert_uint_gt(s.m->nr_writepages, 0);
	ck_assert_uint_le(dirty_bytes(&s), 128 << 10);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	t_mem_hold(s.dev, true);	/* nothing becomes clean any more */
	while (m_write_flags(s.f, (int64_t)dirty_bytes(&s), &byte, 1, IOMAP_REQ_NOWAIT) == -EAGAIN)
		ck_assert_int_eq(m_fill(s.f, (int64_t)dirty_bytes(&s), FOLIO, 2), FOLIO);
	t_mem_hold(s.dev, false);
	t_mem_release_all(s.dev);
	stop(&s);
}

CASE(steps_do_not_cut_blocks, "I34 I47",
     "However near the limit is, blocks that are overwritten whole are not read")
{
	for (unsigned i = 0; i < 2; i++) {
		struct table s;
		uint64_t bytes;

		start(&s, &(struct m_opts){
			.block_bits = 16, .max_folio = 64 << 10, .cache_bytes = 1 << 20,
			.dirty_limit = 32 << 10 });
		make_file(&s, 512 << 10);
		ck_assert_int_eq(m_fill(s.f, i * 100, 256 << 10, 2), 256 << 10);
		ck_assert_uint_eq(nr_reads(&s, &bytes), 2 * i);	/* the edges */
		ck_assert_uint_eq(bytes, i * (128 << 10));
		ck_assert(m_content_ok(s.f));
		ck_assert_int_eq(m_drop_cache(s.f), 0);
		ck_assert(m_device_equals_model(s.f));
		stop(&s);
	}
}

CASE(nowait_does_not_wait_for_room, "I47", "Over the limit a NOWAIT write is -EAGAIN at once")
{
	struct table s;
	char byte = 'x';

	start(&s, &(struct m_opts){ .delalloc = true, .cache_bytes = 1 << 20,
				    .dirty_limit = 64 << 10 });
	t_mem_hold(s.dev, true);
	ck_assert_int_eq(m_fill(s.f, 0, 64 << 10, 1), 64 << 10);
	ck_assert_int_eq(m_fill(s.f, 64 << 10, 4096, 1), 4096);
	ck_assert_int_eq(m_write_flags(s.f, 0, &byte, 1, IOMAP_REQ_NOWAIT), -EAGAIN);
	t_mem_hold(s.dev, false);
	t_mem_release_all(s.dev);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_int_eq(m_write_flags(s.f, 0, &byte, 1, IOMAP_REQ_NOWAIT), 1);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

/* ---- inline, odd requests ---- */

static char inline_mem[300];

static void inline_file(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			struct iomap *map, struct iomap *srcmap)
{
	(void)pos;
	(void)len;
	(void)flags;
	(void)srcmap;
	*map = (struct iomap){
		.type = IOMAP_INLINE, .addr = IOMAP_NULL_ADDR, .length = sizeof(inline_mem),
		.inline_data = inline_mem, .inline_len = sizeof(inline_mem), .bdev = f->m->bdev,
		.validity_cookie = f->seq,
	};
}

CASE(inline_data_are_written_in_place, "I48",
     "The bytes go to the inode's memory, the inode is dirty, the folio not")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true });
	s.m->hook_map = inline_file;
	m_log_start(s.m);
	ck_assert_int_eq(m_fill(s.f, 10, 200, 1), 200);
	ck_assert_mem_eq(inline_mem, s.f->ref, 210);
	ck_assert_uint_eq(dirty_bytes(&s), 0);
	ck_assert_uint_eq(s.m->log[m_log_find(s.m, M_DIRTY_INODE, 0)].flags, IOMAP_DIRTY_INLINE);
	ck_assert_int_eq(m_fill(s.f, 100, 200, 2), 200);
	ck_assert_mem_eq(inline_mem, s.f->ref, 300);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(interrupted_begin_is_a_short_count, "I49",
     "An interruption is -EINTR, or what was done before it")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true, .chunk = FOLIO });
	s.m->fail_begin = (struct m_fault){ .nth = 1, .error = -EINTR };
	ck_assert_int_eq(m_fill(s.f, 0, 4 * FOLIO, 1), -EINTR);
	s.m->fail_begin = (struct m_fault){ .nth = 3, .error = -EINTR };
	ck_assert_int_eq(m_fill(s.f, 0, 4 * FOLIO, 1), 2 * FOLIO);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(stable_tails_wait_for_their_writeback, "I44 I47",
     "On a STABLE inode the tail behind the old end is not stored to while it is written")
{
	struct iovec iov = { (char[]){ "x" }, 1 };
	struct iomap_folio *folio;
	struct iomap_req req;
	struct iomap_data data;
	struct table s;
	char *tail;

	start(&s, &(struct m_opts){ .delalloc = true, .inode_flags = IOMAP_INODE_STABLE });
	ck_assert_int_eq(m_fill(s.f, 0, 100, 3), 100);
	t_mem_hold(s.dev, true);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, 1, 0, &folio), 0);
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK);
	tail = (char *)folio->mem + 200;
	*tail = 7;			/* a store through a mapping */
	iomap_folio_unlock(folio);
	req = (struct iomap_req){ .file = &s.f->file, .pos = 9000, .flags = IOMAP_REQ_NOWAIT };
	iomap_data_init(&data, &iov, 1);
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &s.m->ops, NULL, NULL), -EAGAIN);
	ck_assert_int_eq(*tail, 7);
	t_mem_hold(s.dev, false);
	t_mem_release_all(s.dev);
	req.flags = 0;
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &s.m->ops, NULL, NULL), 1);
	ck_assert(!(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK));
	ck_assert_int_eq(*tail, 0);
	iomap_folio_put(folio);
	stop(&s);
}

CASE(odd_requests, "", "Nothing, too far, at the end, with flags that mean nothing here")
{
	struct iomap_data data;
	struct iovec iov;
	struct iomap_req req;
	struct table s;
	char buf[100];

	start(&s, &(struct m_opts){ .delalloc = true });
	memset(buf, 'o', sizeof(buf));
	ck_assert_int_eq(m_write(s.f, 0, buf, 0), 0);
	ck_assert_int_eq(m_write(s.f, IOMAP_MAX_POS, buf, 1), -EFBIG);
	ck_assert_int_eq(m_write(s.f, -1, buf, 1), -EINVAL);
	ck_assert_int_eq(m_write_flags(s.f, 0, buf, 1, IOMAP_REQ_ATOMIC), -EINVAL);
	ck_assert_uint_eq(s.m->nr_begin, 0);
	ck_assert_int_eq(m_write(s.f, 0, buf, 100), 100);
	ck_assert_int_eq(m_write_flags(s.f, 0, buf, 50, IOMAP_REQ_APPEND), 50);
	ck_assert_int_eq(iomap_inode_size(&s.f->inode), 150);
	ck_assert(m_content_ok(s.f));
	iov = (struct iovec){ buf, 10 };
	iomap_data_init(&data, &iov, 1);
	req = (struct iomap_req){ .file = &s.f->file, .pos = IOMAP_MAX_POS - 4 };
	/* the model has no such place; the library asks for no more than there is */
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &s.m->ops, NULL, NULL), -EFBIG);
	ck_assert_uint_eq(data.left, 10);
	ck_assert_int_eq(req.pos, IOMAP_MAX_POS - 4);
	stop(&s);
}

MAIN()
