/* SPDX-License-Identifier: MIT */
/*
 * test_cache.c - one cache under many inodes: memory, reclaim, back pressure.
 */
#include "unit/cache_fixture.h"
#include "harness/thread.h"

#include <unistd.h>

#define PAGES(n) ((uint64_t)(n) * PAGE)

/* ---- life ---- */

static int try_new(struct t_env *t, struct iomap_cache_opts opts)
{
	struct iomap_cache *cache = (struct iomap_cache *)(void *)t;
	int rc;

	opts.struct_size = opts.struct_size ? opts.struct_size : sizeof(opts);
	rc = iomap_cache_new(t->env, &opts, &cache);
	if (rc)
		ck_assert_ptr_null(cache);
	iomap_cache_delete(&cache);
	ck_assert_ptr_null(cache);
	return rc;
}

CASE(options_are_checked, "", "Options that make no sense are -EINVAL; zeros are defaults")
{
	struct iomap_cache *cache;
	struct t_env t;
	size_t len;
	void *base;

	t_env_start(&t, NULL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .bytes = 0 }), 0);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .bytes = 4095 }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .bytes = UINT64_MAX }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .max_folio = 2048 }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .max_folio = 12288 }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .max_folio = 4 << 20 }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .max_folio = 2 << 20 }), 0);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .flags = 1 }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .struct_size = 8 }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .bytes = 1 << 20,
				 .dirty_limit = 2 << 20 }), -EINVAL);
	ck_assert_int_eq(try_new(&t, (struct iomap_cache_opts){ .bytes = 1 << 20,
				 .dirty_limit = 8192, .background_limit = 16384 }), -EINVAL);
	ck_assert_int_eq(iomap_cache_new(NULL, NULL, &cache), -EINVAL);
	ck_assert_int_eq(iomap_cache_new(t.env, NULL, &cache), 0);
	iomap_cache_arena(cache, &base, &len);
	ck_assert_uint_eq(len, 64 << 20);
	ck_assert_uint_eq((uintptr_t)base % (2 << 20), 0);
	ck_assert_uint_eq(cache->dirty_limit, 16 << 20);
	ck_assert_uint_eq(cache->background_limit, 8 << 20);
	ck_assert_uint_eq(cache->max_folio, 65536);
	iomap_cache_delete(&cache);
	t_env_stop(&t);
}

CASE(no_memory_no_cache, "",
     "Each allocation of iomap_cache_new can fail: -ENOMEM and nothing is left")
{
	struct iomap_cache_opts opts = { .struct_size = sizeof(opts), .bytes = 1 << 20 };
	struct iomap_cache *cache;
	unsigned failed = 0;
	struct t_env t;
	int rc;

	t_env_start(&t, NULL);
	do {
		uint64_t live = t.nr_live;

		t.fail_at = failed + 1;
		rc = iomap_cache_new(t.env, &opts, &cache);
		if (!rc)
			break;
		ck_assert_int_eq(rc, -ENOMEM);
		ck_assert_ptr_null(cache);
		ck_assert_uint_eq(t.nr_live, live);
	} while (++failed < 50);
	t.fail_at = 0;
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_eq(failed, 7);
	iomap_cache_delete(&cache);
	t_env_stop(&t);
}

CASE(steady_use_allocates_nothing, "",
     "Making, dirtying, writing and dropping folios takes no memory from outside")
{
	uint64_t allocs;
	struct cf c;

	cf_open(&c, 9);
	allocs = c.t.nr_allocs;
	for (int round = 0; round < 3; round++) {
		for (int64_t pos = 0; pos < 1 << 20; pos += 2 * PAGE) {
			struct iomap_folio *folio = cf_get(&c, pos, 2 * PAGE);

			iomapi_folio_set_uptodate(folio, 0, 1024);
			iomap_folio_mark_dirty(folio, 512, 512);
			cf_release(folio);
		}
		ck_assert_int_eq(iomap_mapping_write_and_wait_range(&c.inode, 0, IOMAP_MAX_POS), 0);
		iomap_mapping_truncate(&c.inode, 0);
	}
	ck_assert_uint_eq(c.t.nr_allocs, allocs);
	cf_close(&c);
}

/* ---- memory and reclaim ---- */

CASE(budget_is_kept, "",
     "A file four times the cache can be read through it; it never holds more than its bytes")
{
	struct cf c;

	cf_open(&c, 12);
	for (int64_t pos = 0; pos < 4 << 20; pos += 4 * PAGE) {
		cf_fill(&c, pos, 4 * PAGE);
		ck_assert_uint_le(cf_stats(&c).bytes, 1 << 20);
	}
	ck_assert_uint_ge(cf_stats(&c).reclaimed, 3 << 20);
	ck_assert_uint_eq(cf_stats(&c).reserved, 1 << 20);
	ck_assert(cf_cached(&c, (4 << 20) - PAGE));
	ck_assert(!cf_cached(&c, 0));
	cf_close(&c);
}

CASE(oldest_goes_first, "",
     "Reclaim takes the oldest; one that was found again gets a second chance, once")
{
	struct cf c;

	cf_open(&c, 12);
	for (int i = 0; i < 8; i++)
		cf_fill(&c, i * PAGE, PAGE);
	cf_fill(&c, 0, PAGE);
	cf_fill(&c, 2 * PAGE, PAGE);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, PAGES(2)), PAGES(2));
	ck_assert(!cf_cached(&c, 1 * PAGE) && !cf_cached(&c, 3 * PAGE));
	ck_assert(cf_cached(&c, 0) && cf_cached(&c, 2 * PAGE));
	/* Now 0 and 2 stand behind all others. */
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, PAGES(4)), PAGES(4));
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(cf_cached(&c, i * PAGE), i == 0 || i == 2);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), PAGES(2));
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), 0);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, 0), 0);
	ck_assert_uint_eq(cf_stats(&c).reclaimed, PAGES(8));
	cf_close(&c);
}

CASE(reclaim_keeps_what_is_needed, "H8",
     "Reclaim never drops a failed, dirty, written, locked or held folio")
{
	struct iomap_folio *locked, *held;
	struct cf c;

	cf_open(&c, 12);
	for (int i = 0; i < 10; i++)
		cf_fill(&c, i * PAGE, PAGE);
	c.hold = true;
	cf_dirty(&c, 1 * PAGE, PAGE);
	cf_writepages(&c.inode, &(struct iomap_writeback_control){ 0 });
	c.hold = false;
	cf_fail(&c, 3 * PAGE, PAGE);
	cf_dirty(&c, 5 * PAGE, PAGE);
	locked = cf_get(&c, 7 * PAGE, PAGE);
	held = iomapi_mapping_find(&c.inode, 9 * PAGE);
	for (int round = 0; round < 3; round++) {
		ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), round ? 0 : PAGES(5));
		for (int i = 0; i < 10; i++)
			ck_assert_int_eq(cf_cached(&c, i * PAGE), i & 1);
	}
	ck_assert(cf_flags(&c, 3 * PAGE) & IOMAP_FOLIO_FAILED);
	ck_assert_uint_eq(cf_stats(&c).failed, PAGE);

	/* Each comes back to reclaim when it has become clean and nobody's. */
	cf_release(locked);
	iomap_folio_put(held);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), PAGES(2));
	cf_end_held(&c, 0);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), PAGES(1));
	ck_assert(!cf_cached(&c, 1 * PAGE));
	cf_writepages(&c.inode, &(struct iomap_writeback_control){ 0 });
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), PAGES(1));
	ck_assert(!cf_cached(&c, 5 * PAGE));
	locked = cf_get(&c, 3 * PAGE, PAGE);
	iomapi_folio_clear_failed(locked);
	cf_release(locked);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), PAGES(1));
	ck_assert_uint_eq(cf_stats(&c).bytes, 0);
	cf_close(&c);
}

CASE(cancelled_dirty_is_reclaimable, "",
     "A folio that reclaim met dirty is reclaimable after its dirty was cancelled")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	cf_dirty(&c, 0, PAGE);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, PAGE), 0);
	folio = cf_get(&c, 0, PAGE);
	iomap_folio_invalidate(folio, 0, PAGE);
	cf_release(folio);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, PAGE), PAGE);
	cf_close(&c);
}

CASE(an_inode_that_goes_is_left_alone, "",
     "Between tryget and put only: no folio of an inode that says no is touched")
{
	struct cf c, d;

	cf_open(&c, 12);
	cf_add_inode(&d, &c, 12);
	for (int i = 0; i < 4; i++) {
		cf_fill(&c, i * PAGE, PAGE);
		cf_fill(&d, i * PAGE, PAGE);
	}
	cf_dirty(&c, 8 * PAGE, PAGE);
	cf_dirty(&d, 8 * PAGE, PAGE);
	c.going = true;
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, UINT64_MAX), PAGES(4));
	for (int i = 0; i < 4; i++)
		ck_assert(cf_cached(&c, i * PAGE) && !cf_cached(&d, i * PAGE));
	c.cache->dirty_limit = c.cache->background_limit = 0;
	ck_assert_int_eq(iomap_cache_balance(c.cache, 0, 0), 0);
	ck_assert_uint_eq(c.nr_writepages, 0);
	ck_assert_uint_gt(d.nr_writepages, 0);
	ck_assert_int_eq(c.refs, 0);
	ck_assert_int_eq(d.refs, 0);
	c.going = false;
	cf_drop_inode(&d);
	cf_close(&c);
}

CASE(full_of_dirty_is_enomem, "",
     "With nothing clean get_folio is -ENOMEM and does not wait; one clean page is enough")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	for (int64_t pos = 0; pos < 1 << 20; pos += 65536)
		cf_dirty(&c, pos, 65536);
	ck_assert_int_eq(iomap_mapping_get_folio(&c.inode, 1 << 20, 65536, IOMAP_WRITE, &folio),
			 -ENOMEM);
	ck_assert_ptr_null(folio);
	ck_assert_uint_eq(c.nr_writepages, 0);
	iomap_mapping_truncate(&c.inode, (1 << 20) - 65536);
	cf_dirty(&c, (1 << 20) - 65536, 32768);
	cf_dirty(&c, (1 << 20) - 32768, 16384);
	cf_dirty(&c, (1 << 20) - 16384, 8192);
	cf_dirty(&c, (1 << 20) - 8192, 4096);
	cf_fill(&c, (1 << 20) - 4096, 4096);
	/* 64 KiB are asked for; the one page there is will do. */
	folio = cf_get(&c, 1 << 20, 65536);
	ck_assert_uint_eq(folio->size, PAGE);
	ck_assert(!cf_cached(&c, (1 << 20) - 4096));
	cf_release(folio);
	cf_close(&c);
}

CASE(large_folios_from_a_full_cache, "",
     "Reading on through a full cache goes on with large folios")
{
	struct iomap_folio *folio;
	unsigned nr_small = 0;
	struct cf c;

	cf_open(&c, 12);
	for (int64_t pos = 0; pos < 1 << 20; pos += PAGE)
		cf_fill(&c, pos, PAGE);
	for (int64_t pos = 1 << 20; pos < 4 << 20; pos += 65536) {
		folio = cf_get(&c, pos, 65536);
		nr_small += folio->size < 65536;
		cf_release(folio);
	}
	ck_assert_uint_eq(nr_small, 0);
	cf_close(&c);
}

/* ---- dropped behind ---- */

static struct iomap_folio *get_dontcache(struct cf *c, int64_t pos)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&c->inode, pos, PAGE,
						 IOMAP_WRITE | IOMAP_DONTCACHE, &folio), 0);
	iomapi_folio_set_uptodate(folio, 0, PAGE);
	iomap_folio_mark_dirty(folio, 0, PAGE);
	return folio;
}

CASE(dontcache_goes_when_written, "H8",
     "DONTCACHE folios leave when their writeback ends, unless held, wanted, dirty again or failed")
{
	struct iomap_folio *folio, *held;
	struct cf c;

	cf_open(&c, 12);
	c.hold = true;
	for (int i = 0; i < 5; i++)
		cf_release(get_dontcache(&c, i * PAGE));
	cf_writepages(&c.inode, &(struct iomap_writeback_control){ 0 });
	held = iomapi_mapping_find(&c.inode, PAGE);
	cf_dirty(&c, 2 * PAGE, PAGE);			/* by a writer who wants it cached */
	folio = get_dontcache(&c, 3 * PAGE);		/* dirty again */
	cf_release(folio);
	ck_assert_uint_eq(c.nr_held, 5);
	/* Held last to first: number 4 fails. */
	cf_end(c.held[--c.nr_held], -EIO);
	cf_end_held(&c, 0);
	ck_assert(!cf_cached(&c, 0));
	ck_assert(cf_cached(&c, PAGE));
	ck_assert_uint_eq(cf_flags(&c, 2 * PAGE), IOMAP_FOLIO_UPTODATE | IOMAP_FOLIO_DIRTY);
	ck_assert(cf_flags(&c, 3 * PAGE) & IOMAP_FOLIO_DIRTY);
	ck_assert(cf_flags(&c, 4 * PAGE) & IOMAP_FOLIO_FAILED);
	ck_assert_uint_eq(cf_stats(&c).bytes, 4 * PAGE);
	iomap_folio_put(held);
	c.hold = false;
	cf_writepages(&c.inode, &(struct iomap_writeback_control){ 0 });
	/* cf_writepages holds a reference while it ends them: the first to be reclaimed. */
	cf_fill(&c, 50 * PAGE, PAGE);
	ck_assert_uint_eq(iomap_cache_reclaim(c.cache, 1), PAGE);
	ck_assert(!cf_cached(&c, 3 * PAGE));
	cf_close(&c);
}

/* ---- back pressure ---- */

static void open_limited(struct cf *c, uint64_t dirty_limit, uint64_t background)
{
	cf_start_env(c, &(struct iomap_cache_opts){
		.struct_size = sizeof(struct iomap_cache_opts), .bytes = 1 << 20,
		.dirty_limit = dirty_limit, .background_limit = background }, 12);
}

static void dirty_pages(struct cf *c, int first, int nr)
{
	for (int i = first; i < first + nr; i++)
		cf_dirty(c, i * PAGE, PAGE);
}

CASE(below_the_limits_nothing_happens, "", "Below the background limit balance returns at once")
{
	struct cf c;

	open_limited(&c, PAGES(64), PAGES(32));
	dirty_pages(&c, 0, 32);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGES(100), 0), 0);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGES(100), IOMAP_NOWAIT), 0);
	ck_assert_uint_eq(c.nr_writepages, 0);
	cf_close(&c);
}

CASE(background_starts_and_does_not_wait, "",
     "Above the background limit writeback is started for about half of it; nobody waits")
{
	struct cf c;

	open_limited(&c, PAGES(64), PAGES(32));
	dirty_pages(&c, 0, 40);
	c.hold = true;
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, IOMAP_NOWAIT), 0);
	ck_assert_uint_eq(c.nr_writepages, 0);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, 0), 0);
	ck_assert_uint_eq(c.nr_writepages, 1);
	ck_assert_int_eq(c.last_wbc.sync_mode, IOMAP_WB_SYNC_NONE);
	ck_assert_uint_eq(c.last_wbc.bytes_to_write, PAGES(24));
	ck_assert_uint_eq(cf_stats(&c).dirty, PAGES(16));
	ck_assert_uint_eq(cf_stats(&c).writeback, PAGES(24));
	/* That is still under way: no more is started. */
	dirty_pages(&c, 100, 10);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, 0), 0);
	ck_assert_uint_eq(c.nr_writepages, 1);
	cf_end_held(&c, 0);
	cf_close(&c);
}

struct helper {
	struct cf *c;
	unsigned stop;		/* atomic */
	unsigned nr_ended;
};

/* A device: ends what is in flight, the oldest first, now and then. */
static void *device(void *arg)
{
	struct helper *h = arg;
	unsigned ended = 0;

	while (!__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE)) {
		if (ended < __atomic_load_n(&h->c->nr_held, __ATOMIC_ACQUIRE)) {
			cf_end(h->c->held[ended++], 0);
			h->nr_ended = ended;
		}
		usleep(50);
	}
	return NULL;
}

CASE(above_the_limit_it_waits, "",
     "Above the dirty limit balance writes and waits until there is room")
{
	struct helper h = { .stop = 0 };
	pthread_t thread;
	struct cf c;

	open_limited(&c, PAGES(64), PAGES(32));
	dirty_pages(&c, 0, 100);
	c.hold = true;
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, IOMAP_NOWAIT), -EAGAIN);
	ck_assert_uint_eq(c.nr_writepages, 0);
	h.c = &c;
	thread = t_thread(device, &h);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, 0), 0);
	ck_assert_uint_le(cf_stats(&c).dirty + cf_stats(&c).writeback, PAGES(64));
	ck_assert_int_eq(c.last_wbc.priority, 7);
	__atomic_store_n(&h.stop, 1, __ATOMIC_RELEASE);
	t_join(thread);
	for (unsigned i = h.nr_ended; i < c.nr_held; i++)
		cf_end(c.held[i], 0);
	c.nr_held = 0;
	cf_close(&c);
}

CASE(room_for_what_is_wanted, "",
     "balance makes sure that so many bytes are free or can be reclaimed")
{
	struct cf c;

	open_limited(&c, 1 << 20, 1 << 20);
	dirty_pages(&c, 0, 256);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, IOMAP_NOWAIT), -EAGAIN);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGES(16), 0), 0);
	ck_assert_uint_gt(c.nr_writepages, 0);
	ck_assert_uint_ge(iomap_cache_reclaim(c.cache, PAGES(16)), PAGES(16));
	/* More than half of the cache at once is not waited for. */
	ck_assert_int_eq(iomap_cache_balance(c.cache, UINT64_MAX, 0), 0);
	ck_assert_uint_le(cf_stats(&c).dirty, PAGES(128));
	cf_close(&c);
}

CASE(failed_bytes_count_and_do_not_block, "H8",
     "The budget counts failed folios; when only they are left balance returns")
{
	struct cf c;

	open_limited(&c, PAGES(16), PAGES(8));
	for (int i = 0; i < 20; i++)
		cf_fail(&c, i * PAGE, PAGE);
	ck_assert_uint_eq(cf_stats(&c).failed, PAGES(20));
	c.nr_writepages = 0;
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, IOMAP_NOWAIT), -EAGAIN);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, 0), 0);
	ck_assert_uint_eq(c.nr_writepages, 0);
	/* With something to write that fails too: it is tried, then it returns. */
	c.error = -EIO;
	dirty_pages(&c, 100, 3);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, 0), 0);
	ck_assert_uint_gt(c.nr_writepages, 0);
	ck_assert_uint_eq(cf_stats(&c).failed, PAGES(23));
	cf_close(&c);
}

CASE(others_are_written_too, "", "All dirty inodes take their turn, those of other files too")
{
	struct cf c, d, e;

	open_limited(&c, PAGES(30), PAGES(30));
	cf_add_inode(&d, &c, 12);
	cf_add_inode(&e, &c, 12);
	dirty_pages(&c, 0, 4);
	dirty_pages(&d, 0, 40);
	dirty_pages(&e, 0, 4);
	ck_assert_uint_eq(c.cache->nr_dirty_inodes, 3);
	ck_assert_int_eq(iomap_cache_balance(c.cache, PAGE, 0), 0);
	ck_assert_uint_eq(c.nr_writepages, 1);
	ck_assert_uint_eq(d.nr_writepages, 1);
	ck_assert_uint_eq(cf_stats(&c).dirty, PAGES(48 - 24));
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&d.inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&e.inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_uint_eq(c.cache->nr_dirty_inodes, 0);
	cf_drop_inode(&d);
	cf_drop_inode(&e);
	cf_close(&c);
}
MAIN()
