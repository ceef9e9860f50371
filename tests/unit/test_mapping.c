/* SPDX-License-Identifier: MIT */
/*
 * test_mapping.c - the cached folios of an inode: found, made, waited for, dropped.
 */
#include "unit/cache_fixture.h"
#include "harness/thread.h"

#include <sched.h>
#include <unistd.h>

static int get(struct cf *c, int64_t pos, uint64_t len, unsigned op_flags,
	       struct iomap_folio **folio)
{
	return iomap_mapping_get_folio(&c->inode, pos, len, op_flags, folio);
}

static uint32_t size_at(struct cf *c, int64_t pos, uint64_t len)
{
	struct iomap_folio *folio = cf_get(c, pos, len);
	uint32_t size = folio->size;

	ck_assert_int_le(folio->pos, pos);
	ck_assert_int_gt(folio->pos + size, pos);
	ck_assert_int_eq(folio->pos % size, 0);
	cf_release(folio);
	return size;
}

/* ---- look up or make ---- */

CASE(folio_is_as_large_as_fits, "",
     "The largest power of two that is aligned, fits the request and covers nobody else")
{
	struct cf c;

	cf_open(&c, 12);
	ck_assert_uint_eq(size_at(&c, 0, 1 << 20), 65536);	/* the default limit */
	ck_assert_uint_eq(size_at(&c, 65536, 65535), 65536);	/* the last page is touched */
	ck_assert_uint_eq(size_at(&c, 131072, 61440), 32768);
	ck_assert_uint_eq(size_at(&c, 163840 + 5, 4096), 8192);	/* touches two pages */
	ck_assert_uint_eq(size_at(&c, 200704, 1 << 20), 4096);	/* 49 pages: odd */
	ck_assert_uint_eq(size_at(&c, 204800, 1 << 20), 8192);
	ck_assert_uint_eq(size_at(&c, 1 << 20, 0), 4096);
	/* Somebody is behind. */
	ck_assert_uint_eq(size_at(&c, 5 * 65536 + 5 * PAGE, 1), 4096);
	ck_assert_uint_eq(size_at(&c, 5 * 65536, 65536), 16384);
	/* From inside of one: that one. */
	ck_assert_uint_eq(size_at(&c, 65536 + 1234, 1), 65536);
	cf_close(&c);
}

CASE(folio_is_no_smaller_than_a_block, "",
     "With blocks of 16 KiB no folio is smaller, wherever the request begins")
{
	struct cf c;

	cf_open(&c, 14);
	ck_assert_uint_eq(size_at(&c, 5000, 1), 16384);
	ck_assert_uint_eq(size_at(&c, 16384 + 16383, 2), 16384);
	ck_assert_uint_eq(size_at(&c, 65536 + 1, 32768), 32768);
	cf_close(&c);
}

CASE(the_last_folio_of_the_largest_file, "",
     "A folio at the very end of all positions can be made, found and dropped")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	ck_assert_int_eq(get(&c, -1, 1, IOMAP_WRITE, &folio), -EINVAL);
	ck_assert_int_eq(get(&c, IOMAP_MAX_POS, 1, IOMAP_WRITE, &folio), -EINVAL);
	ck_assert_ptr_null(folio);
	cf_dirty(&c, IOMAP_MAX_POS - 1, UINT64_MAX);
	ck_assert_uint_eq(cf_stats(&c).bytes, PAGE);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&c.inode, IOMAP_MAX_POS - PAGE,
							    IOMAP_MAX_POS), 0);
	ck_assert_uint_eq(cf_stats(&c).dirty, 0);
	iomap_mapping_truncate(&c.inode, IOMAP_MAX_POS - PAGE + 1);
	ck_assert_uint_eq(cf_stats(&c).bytes, 0);
	cf_close(&c);
}

CASE(looking_makes_nothing, "",
     "Without WRITE what is not cached is -ENOENT; what is cached comes locked")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	ck_assert_int_eq(get(&c, 0, PAGE, 0, &folio), -ENOENT);
	ck_assert_ptr_null(folio);
	ck_assert_uint_eq(cf_stats(&c).misses, 0);
	cf_fill(&c, 0, PAGE);
	ck_assert_int_eq(get(&c, 100, 1, 0, &folio), 0);
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_LOCKED);
	ck_assert_uint_eq(cf_stats(&c).misses, 1);
	ck_assert_uint_eq(cf_stats(&c).hits, 1);
	cf_release(folio);
	cf_close(&c);
}

CASE(nowait_is_eagain, "", "NOWAIT: -EAGAIN where a lock or memory would be waited for")
{
	struct iomap_folio *folio, *other;
	struct cf c;

	cf_open(&c, 12);
	ck_assert_int_eq(get(&c, 0, PAGE, IOMAP_WRITE | IOMAP_NOWAIT, &folio), 0);
	ck_assert_int_eq(get(&c, 0, PAGE, IOMAP_NOWAIT, &other), -EAGAIN);
	ck_assert_ptr_null(other);
	cf_release(folio);
	ck_assert_int_eq(get(&c, 0, PAGE, IOMAP_NOWAIT, &folio), 0);
	cf_release(folio);
	for (int64_t pos = 0; pos < 1 << 20; pos += PAGE)
		cf_fill(&c, pos, PAGE);
	ck_assert_int_eq(get(&c, 2 << 20, PAGE, IOMAP_WRITE | IOMAP_NOWAIT, &folio), -EAGAIN);
	/* All of it is clean: whoever may take the time has room. */
	cf_fill(&c, 2 << 20, PAGE);
	cf_close(&c);
}

CASE(file_data_follows_in_memory, "",
     "Folios of a sequential file lie one behind the other, with another file between them")
{
	struct cf a, b;
	unsigned jumps = 0;
	char *last = NULL;

	cf_open(&a, 12);
	cf_add_inode(&b, &a, 12);
	for (int64_t pos = 0; pos < 100 * PAGE; pos += PAGE) {
		struct iomap_folio *folio = cf_get(&a, pos, PAGE);

		jumps += last && (char *)folio->mem != last + PAGE;
		last = folio->mem;
		cf_release(folio);
		cf_fill(&b, pos, PAGE);
	}
	ck_assert_uint_le(jumps, 3);
	cf_drop_inode(&b);
	cf_close(&a);
}

CASE(no_memory_for_the_tree, "",
     "No node for the tree: -ENOMEM, -EAGAIN under NOWAIT, the memory of the folio is back")
{
	struct iomap_folio *folio;
	unsigned far = 0;
	struct cf c;

	cf_open(&c, 12);
	/* Use up the pool: folios so far apart that each needs a path of its own. */
	while (c.cache->nodes.pool.nr_free)
		cf_fill(&c, (int64_t)++far << 50, PAGE), cf_fill(&c, (int64_t)far << 30, PAGE);
	c.t.fail_at = 1;
	ck_assert_int_eq(get(&c, 77ll << 40, PAGE, IOMAP_WRITE | IOMAP_NOWAIT, &folio), -EAGAIN);
	ck_assert_uint_eq(c.t.fail_at, 0);
	ck_assert_uint_eq(cf_stats(&c).bytes, (uint64_t)iomapi_mapping(&c.inode)->nr_folios * PAGE);
	cf_close(&c);
}

/* ---- walking ---- */

CASE(tagged_walk, "", "Folios with a tag come in order and referenced; position moves behind them")
{
	struct iomap_folio *folios[4];
	int64_t pos = PAGE;
	struct cf c;

	cf_open(&c, 12);
	for (int i = 0; i < 10; i++)
		i % 2 ? cf_dirty(&c, i * PAGE, PAGE) : cf_fill(&c, i * PAGE, PAGE);
	ck_assert_uint_eq(iomapi_mapping_tagged(&c.inode, &pos, IOMAP_MAX_POS, IOMAPI_TAG_DIRTY,
						folios, 4), 4);
	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(folios[i]->pos, (2 * i + 1) * PAGE);
		ck_assert_uint_eq(folios[i]->refs, 2);
		iomap_folio_put(folios[i]);
	}
	ck_assert_int_eq(pos, 8 * PAGE);
	ck_assert_uint_eq(iomapi_mapping_tagged(&c.inode, &pos, 10 * PAGE, IOMAPI_TAG_DIRTY, folios,
						4), 1);
	iomap_folio_put(folios[0]);
	ck_assert_int_eq(pos, 10 * PAGE);
	pos = 0;
	ck_assert_uint_eq(iomapi_mapping_folios(&c.inode, &pos, 3 * PAGE, folios, 4), 3);
	for (int i = 0; i < 3; i++)
		iomap_folio_put(folios[i]);
	cf_close(&c);
}

static unsigned nr_towrite(struct cf *c)
{
	struct iomap_folio *folio;
	int64_t pos = 0;
	unsigned nr = 0;

	while (iomapi_mapping_tagged(&c->inode, &pos, IOMAP_MAX_POS, IOMAPI_TAG_TOWRITE, &folio,
				     1)) {
		iomap_folio_put(folio);
		nr++;
	}
	return nr;
}

CASE(sync_tags_what_is_dirty_now, "I89",
     "TOWRITE: dirty at the call; it goes when they are written, not to those made dirty later")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	for (int i = 0; i < 8; i++)
		cf_dirty(&c, i * PAGE, PAGE);
	iomapi_mapping_tag_towrite(&c.inode, PAGE, 5 * PAGE);
	ck_assert_uint_eq(nr_towrite(&c), 4);
	cf_dirty(&c, 100 * PAGE, PAGE);
	ck_assert_uint_eq(nr_towrite(&c), 4);
	folio = cf_get(&c, PAGE, 1);
	cf_start(folio);
	cf_end(folio, 0);
	ck_assert_uint_eq(nr_towrite(&c), 3);
	iomap_folio_mark_dirty(folio, 0, 1);
	ck_assert_uint_eq(nr_towrite(&c), 3);
	iomap_folio_invalidate(folio, 0, PAGE);
	cf_release(folio);
	folio = cf_get(&c, 2 * PAGE, 1);
	iomap_folio_invalidate(folio, 0, PAGE);
	ck_assert_uint_eq(nr_towrite(&c), 2);
	cf_release(folio);
	cf_close(&c);
}

CASE(a_walk_that_gives_up_hides_nothing, "I89",
     "A folio that another walk offers, and makes dirty again, is not missed by sync")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	cf_dirty(&c, 0, PAGE);
	/* Tagged while the other walk is offering it. */
	folio = cf_get(&c, 0, 1);
	cf_start(folio);
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	iomapi_mapping_tag_towrite(&c.inode, 0, IOMAP_MAX_POS);
	ck_assert_uint_eq(nr_towrite(&c), 1);
	iomap_folio_mark_dirty(folio, 0, PAGE);
	cf_end(folio, 0);
	ck_assert_uint_eq(nr_towrite(&c), 1);
	/* Tagged before, then started by the other walk. */
	cf_start(folio);
	ck_assert_uint_eq(nr_towrite(&c), 1);
	iomap_folio_mark_dirty(folio, 0, PAGE);
	cf_end(folio, 0);
	ck_assert_uint_eq(nr_towrite(&c), 1);
	/* In flight and let go: it cannot become dirty by that walk any more. */
	cf_start(folio);
	cf_end(folio, 0);
	ck_assert_uint_eq(nr_towrite(&c), 0);
	iomap_folio_mark_dirty(folio, 0, PAGE);
	cf_start(folio);
	iomap_folio_unlock(folio);
	iomapi_mapping_tag_towrite(&c.inode, 0, IOMAP_MAX_POS);
	ck_assert_uint_eq(nr_towrite(&c), 0);
	cf_end(folio, 0);
	iomap_folio_put(folio);
	cf_close(&c);
}

/* ---- waiting ---- */

struct ender {
	struct cf *c;
	int error;
};

/* Only when somebody waits: what is over before a wait begins is no business of that wait. */
static void *end_held_soon(void *arg)
{
	struct ender *e = arg;
	const iomap_word *flags = &e->c->held[0]->flags;

	while (!(__atomic_load_n(flags, __ATOMIC_ACQUIRE) & IOMAPI_FOLIO_WAITERS))
		sched_yield();
	cf_end_held(e->c, e->error);
	return NULL;
}

CASE(wait_range_waits_and_reports, "",
     "wait_range returns when writeback of the range has ended, with its error")
{
	struct ender e = { .error = -ENOSPC };
	pthread_t thread;
	struct cf c;

	cf_open(&c, 12);
	ck_assert_int_eq(iomap_mapping_wait_range(&c.inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_int_eq(iomap_mapping_wait_range(&c.inode, 5, 4), -EINVAL);
	ck_assert_int_eq(iomap_mapping_wait_range(&c.inode, -1, 4), -EINVAL);
	for (int i = 0; i < 40; i++)
		cf_dirty(&c, i * PAGE, PAGE);
	c.hold = true;
	ck_assert_int_eq(cf_writepages(&c.inode, &(struct iomap_writeback_control){ 0 }), 0);
	ck_assert_uint_eq(c.nr_held, 40);
	/* Outside of the range it is not waited for. */
	ck_assert_int_eq(iomap_mapping_wait_range(&c.inode, 40 * PAGE, IOMAP_MAX_POS), 0);
	ck_assert_uint_eq(c.nr_held, 40);
	e.c = &c;
	thread = t_thread(end_held_soon, &e);
	ck_assert_int_eq(iomap_mapping_wait_range(&c.inode, 0, IOMAP_MAX_POS), -ENOSPC);
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_WRITEBACK));
	t_join(thread);
	/* That error is told. */
	ck_assert_int_eq(iomap_mapping_wait_range(&c.inode, 0, IOMAP_MAX_POS), 0);
	cf_close(&c);
}

static void no_frame_written(struct iomap_folio *folio, int error)
{
	(void)folio;
	(void)error;
}

CASE(frames_have_no_range_to_wait_for, "",
     "Waiting for a range of an inode of frames finds nothing of the cache's to wait for")
{
	const struct iomap_inode_ops ops = {
		.struct_size = sizeof(ops), .folio_written = no_frame_written,
	};
	struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &ops, .flags = IOMAP_INODE_FRAMES,
		.block_bits = 12,
	};
	struct iomap_inode frames;
	struct cf c;

	cf_open(&c, 12);
	opts.volume = c.volume;
	ck_assert_int_eq(iomap_inode_init(&frames, &opts), 0);
	ck_assert_int_eq(iomap_mapping_wait_range(&frames, 0, IOMAP_MAX_POS), 0);
	ck_assert_int_eq(iomap_mapping_wait_range(&frames, 5, 4), -EINVAL);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&frames, 0, IOMAP_MAX_POS), 0);
	iomap_inode_fini(&frames);
	cf_close(&c);
}

CASE(write_and_wait_sees_its_error, "",
     "write_and_wait writes the range for integrity and returns an error seen meanwhile, once")
{
	struct cf c;

	cf_open(&c, 12);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&c.inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_uint_eq(c.nr_writepages, 0);		/* nothing to do */
	cf_dirty(&c, 0, PAGE);
	cf_dirty(&c, 10 * PAGE, PAGE);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&c.inode, 10 * PAGE, 12 * PAGE), 0);
	ck_assert_uint_eq(c.nr_writepages, 1);
	ck_assert_int_eq(c.last_wbc.sync_mode, IOMAP_WB_SYNC_ALL);
	ck_assert_int_eq(c.last_wbc.range_start, 10 * PAGE);
	ck_assert_int_eq(c.last_wbc.range_end, 12 * PAGE);
	ck_assert_uint_eq(cf_flags(&c, 0) & IOMAP_FOLIO_DIRTY, IOMAP_FOLIO_DIRTY);
	ck_assert_uint_eq(cf_flags(&c, 10 * PAGE) & IOMAP_FOLIO_DIRTY, 0);
	c.error = -EDQUOT;
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&c.inode, 0, PAGE), -EDQUOT);
	c.error = 0;
	cf_dirty(&c, 11 * PAGE, PAGE);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&c.inode, 0, IOMAP_MAX_POS), 0);
	cf_close(&c);
}

/* ---- dropping ---- */

CASE(invalidate_drops_clean_ones_only, "H8",
     "invalidate: -EBUSY for dirty, failed and held folios, which stay; the clean ones go")
{
	struct iomap_folio *held;
	struct cf c;

	cf_open(&c, 12);
	for (int i = 0; i < 10; i++)
		cf_fill(&c, i * PAGE, PAGE);
	cf_dirty(&c, 2 * PAGE, PAGE);
	cf_fail(&c, 4 * PAGE, PAGE);
	held = iomapi_mapping_find(&c.inode, 6 * PAGE);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, 0, 8 * PAGE), -EBUSY);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(cf_cached(&c, i * PAGE), i == 2 || i == 4 || i == 6 || i >= 8);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, 2 * PAGE, 3 * PAGE), -EBUSY);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, 4 * PAGE, 5 * PAGE), -EBUSY);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, 6 * PAGE, 7 * PAGE), -EBUSY);
	iomap_folio_put(held);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, 6 * PAGE, IOMAP_MAX_POS), 0);
	ck_assert_uint_eq(cf_stats(&c).bytes, 2 * PAGE);
	ck_assert(cf_flags(&c, 2 * PAGE) & IOMAP_FOLIO_DIRTY);
	ck_assert(cf_flags(&c, 4 * PAGE) & IOMAP_FOLIO_FAILED);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, 1, 0), -EINVAL);
	cf_close(&c);
}

CASE(invalidate_drops_what_it_touches, "",
     "A clean folio that lies in the range in part is dropped too; punch leaves it")
{
	struct cf c;

	cf_open(&c, 12);
	for (int i = 0; i < 4; i++)
		cf_fill(&c, i * PAGE, PAGE);
	iomap_mapping_punch(&c.inode, PAGE + 1, 3 * PAGE - 1);
	ck_assert_uint_eq(cf_stats(&c).bytes, 4 * PAGE);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, PAGE + 1, 2 * PAGE + 1), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(cf_cached(&c, i * PAGE), i == 0 || i == 3);
	cf_close(&c);
}

CASE(invalidate_waits_for_writeback, "",
     "A folio under writeback is waited for and dropped; if that fails it stays: -EBUSY")
{
	struct ender e;
	pthread_t thread;
	struct cf c;

	cf_open(&c, 12);
	for (int fail = 0; fail < 2; fail++) {
		cf_dirty(&c, 0, PAGE);
		c.hold = true;
		cf_writepages(&c.inode, &(struct iomap_writeback_control){ 0 });
		e = (struct ender){ &c, fail ? -EIO : 0 };
		thread = t_thread(end_held_soon, &e);
		ck_assert_int_eq(iomap_mapping_invalidate_range(&c.inode, 0, PAGE),
				 fail ? -EBUSY : 0);
		ck_assert_int_eq(cf_cached(&c, 0), fail);
		t_join(thread);
	}
	cf_close(&c);
}

CASE(truncate_cancels_after_writeback, "",
     "truncate drops dirty and failed folios behind the size, waits for writeback, keeps what "
     "straddles")
{
	struct ender e;
	pthread_t thread;
	struct cf c;

	cf_open(&c, 12);
	cf_fail(&c, 32 * PAGE, 4 * PAGE);
	c.hold = true;
	cf_dirty(&c, 20 * PAGE, PAGE);
	cf_writepages(&c.inode, &(struct iomap_writeback_control){ 0 });
	ck_assert_uint_eq(c.nr_held, 1);
	cf_dirty(&c, 20 * PAGE, PAGE);		/* again, in flight */
	cf_dirty(&c, 8 * PAGE, 8 * PAGE);
	cf_dirty(&c, 16 * PAGE, PAGE);
	e = (struct ender){ &c, 0 };
	thread = t_thread(end_held_soon, &e);
	iomap_mapping_truncate(&c.inode, 10 * PAGE + 1);
	t_join(thread);
	ck_assert_uint_eq(cf_flags(&c, 8 * PAGE), IOMAP_FOLIO_UPTODATE | IOMAP_FOLIO_DIRTY);
	ck_assert_uint_eq(cf_stats(&c).bytes, 8 * PAGE);
	ck_assert_uint_eq(cf_stats(&c).dirty, 8 * PAGE);
	ck_assert_uint_eq(cf_stats(&c).failed, 0);
	ck_assert_uint_eq(cf_stats(&c).writeback, 0);
	cf_close(&c);
}

CASE(punch_takes_whole_folios, "I26",
     "punch drops the folios inside the range; those that stick out keep their blocks")
{
	struct iomap_folio *folio;
	size_t off = 0, len;
	struct cf c;

	cf_open(&c, 12);
	cf_dirty(&c, 0, 4 * PAGE);
	cf_dirty(&c, 4 * PAGE, 4 * PAGE);
	cf_fail(&c, 8 * PAGE, 4 * PAGE);
	cf_dirty(&c, 12 * PAGE, 4 * PAGE);
	cf_dirty(&c, 4 * PAGE, 1);
	t_env_trace(&c.t);
	iomap_mapping_punch(&c.inode, PAGE, 15 * PAGE);
	ck_assert_uint_eq(t_env_count(&c.t, IOMAP_TRACE_FOLIO_INVALIDATE), 2);
	ck_assert(!cf_cached(&c, 4 * PAGE) && !cf_cached(&c, 8 * PAGE));
	folio = cf_get(&c, 0, 1);
	ck_assert(iomapi_folio_next_dirty(folio, &off, folio->size, &len));
	ck_assert(off == 0 && len == 4 * PAGE);
	cf_release(folio);
	folio = cf_get(&c, 12 * PAGE, 1);
	off = 0;
	ck_assert(iomapi_folio_next_dirty(folio, &off, folio->size, &len));
	ck_assert(off == 0 && len == 4 * PAGE);
	cf_release(folio);
	ck_assert_uint_eq(cf_stats(&c).failed, 0);
	cf_close(&c);
}

CASE(forget_failed_by_the_users_word, "H8",
     "forget_failed drops failed folios of the range and counts them; newer dirty data stay")
{
	struct cf c;

	cf_open(&c, 12);
	cf_fail(&c, 0, PAGE);
	cf_fail(&c, 4 * PAGE, 2 * PAGE);
	cf_fail(&c, 8 * PAGE, PAGE);
	cf_dirty(&c, 8 * PAGE, PAGE);
	cf_fail(&c, 100 * PAGE, PAGE);
	cf_dirty(&c, 8 * PAGE, PAGE);
	ck_assert_int_eq(iomap_mapping_forget_failed(&c.inode, -4, 3), -EINVAL);
	ck_assert_int_eq(iomap_mapping_forget_failed(&c.inode, 0, 50 * PAGE), 4 * PAGE);
	ck_assert(!cf_cached(&c, 0) && !cf_cached(&c, 4 * PAGE));
	ck_assert_uint_eq(cf_flags(&c, 8 * PAGE), IOMAP_FOLIO_UPTODATE | IOMAP_FOLIO_DIRTY);
	ck_assert(cf_flags(&c, 100 * PAGE) & IOMAP_FOLIO_FAILED);
	ck_assert_uint_eq(cf_stats(&c).failed, PAGE);
	ck_assert_int_eq(iomap_mapping_forget_failed(&c.inode, 0, IOMAP_MAX_POS), PAGE);
	ck_assert_int_eq(iomap_mapping_forget_failed(&c.inode, 0, IOMAP_MAX_POS), 0);
	cf_close(&c);
}

struct race {
	struct cf *c;
	struct iomap_folio *folio;
	bool attached;
};

static void *lock_and_look(void *arg)
{
	struct race *r = arg;

	iomap_folio_lock(r->folio);
	r->attached = iomapi_folio_attached(r->folio);
	iomap_folio_unlock(r->folio);
	return NULL;
}

static void *get_again(void *arg)
{
	struct race *r = arg;
	struct iomap_folio *folio = cf_get(r->c, 0, PAGE);

	r->attached = iomapi_folio_attached(folio) && folio != r->folio;
	cf_release(folio);
	return NULL;
}

CASE(who_waited_sees_the_truncate, "",
     "A folio truncated while others wait for its lock: they find it detached, or get a new one")
{
	struct race looker, getter;
	struct iomap_folio *folio;
	pthread_t threads[2];
	struct cf c;

	cf_open(&c, 12);
	cf_fill(&c, 0, PAGE);
	folio = iomapi_mapping_find(&c.inode, 0);
	iomap_folio_lock(folio);
	looker = (struct race){ &c, folio, true };
	getter = (struct race){ &c, folio, false };
	threads[0] = t_thread(lock_and_look, &looker);
	threads[1] = t_thread(get_again, &getter);
	while (iomapi_load(&folio->refs) < 3)		/* get_again has found it */
		usleep(100);
	usleep(2000);
	/* What truncate does, with the lock that it would wait for. */
	iomapi_folio_cancel(folio);
	iomap_mutex_lock(c.t.env, &iomapi_mapping(&c.inode)->lock);
	iomapi_mapping_detach(iomapi_mapping(&c.inode), folio, false);
	iomap_mutex_unlock(c.t.env, &iomapi_mapping(&c.inode)->lock);
	iomap_folio_put(folio);
	iomap_folio_unlock(folio);
	t_join(threads[0]);
	t_join(threads[1]);
	ck_assert(!looker.attached);
	ck_assert(getter.attached);
	ck_assert_uint_eq(folio->refs, 1);
	iomap_folio_put(folio);
	cf_close(&c);
}

CASE(held_memory_is_not_given_away, "",
     "A truncated folio keeps its memory until the last reference goes")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	cf_dirty(&c, 0, PAGE);
	folio = iomapi_mapping_find(&c.inode, 0);
	iomap_mapping_truncate(&c.inode, 0);
	ck_assert(!cf_cached(&c, 0));
	ck_assert_uint_eq(cf_stats(&c).bytes, PAGE);
	iomap_folio_put(folio);
	ck_assert_uint_eq(cf_stats(&c).bytes, 0);
	cf_close(&c);
}
MAIN()
