/* SPDX-License-Identifier: MIT */
/*
 * cache_fixture.h - an inode with a cache and a client that writes nowhere, for tests of lib/cache.
 *
 * Its writepages takes dirty folios as the writeback room does, and either ends their writeback at
 * once or, while hold is set, keeps them in flight until cf_end_held.  There is no device.
 */
#ifndef CACHE_FIXTURE_H
#define CACHE_FIXTURE_H

#include "harness/harness.h"

#include <iomap/iomap.h>

#include "cache/cache.h"

#define PAGE 4096
#define CF_MAX_HELD 256

struct cf {
	struct t_env t;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct iomap_inode inode;
	int refs;			/* tryget less put */
	bool going;			/* tryget says no */
	bool hold;
	int error;			/* how writeback ends */
	unsigned nr_writepages, nr_dirty_inode, nr_held;
	struct iomap_writeback_control last_wbc;
	struct iomap_folio *held[CF_MAX_HELD];
};

static inline struct cf *cf_of(struct iomap_inode *inode)
{
	return iomap_container_of(inode, struct cf, inode);
}

/* Take a dirty, locked folio as writeback does: nothing left dirty, all of it in flight. */
static inline void cf_start(struct iomap_folio *folio)
{
	size_t off = 0, len;

	if (iomap_folio_flags(folio) & IOMAP_FOLIO_FRAME)
		iomapi_frame_start_writeback(folio);
	else
		iomapi_folio_start_writeback(folio->inode, folio);
	for (; iomapi_folio_next_dirty(folio, &off, folio->size, &len); off += len)
		iomapi_folio_clear_dirty(folio, off, len);
	iomapi_folio_settle_dirty(folio);
}

static inline void cf_end(struct iomap_folio *folio, int error)
{
	ck_assert(iomapi_folio_sub_write_pending(folio, folio->size, error));
	iomapi_folio_end_writeback(folio);
}

static inline void cf_end_held(struct cf *c, int error)
{
	while (c->nr_held)
		cf_end(c->held[--c->nr_held], error);
}

static inline void cf_write_folio(struct cf *c, struct iomap_folio *folio,
				  struct iomap_writeback_control *wbc)
{
	cf_start(folio);
	wbc->bytes_queued += folio->size;
	if (c->hold && c->nr_held < CF_MAX_HELD) {
		c->held[c->nr_held] = folio;
		__atomic_store_n(&c->nr_held, c->nr_held + 1, __ATOMIC_RELEASE);
	} else {
		cf_end(folio, c->error);
	}
}

static inline int cf_writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	int64_t pos = wbc->range_start, end = wbc->range_end ? wbc->range_end : IOMAP_MAX_POS;
	struct cf *c = cf_of(inode);
	struct iomap_folio *folio;

	c->nr_writepages++;
	c->last_wbc = *wbc;
	while ((!wbc->bytes_to_write || wbc->bytes_queued < wbc->bytes_to_write) &&
	       iomapi_mapping_tagged(inode, &pos, end, IOMAPI_TAG_DIRTY, &folio, 1)) {
		iomap_folio_lock(folio);
		if ((iomap_folio_flags(folio) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK)) ==
		    IOMAP_FOLIO_DIRTY)
			cf_write_folio(c, folio, wbc);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	return 0;
}

static inline int cf_sync_metadata(struct iomap_inode *inode, int64_t start, int64_t end,
				   bool datasync, bool *flushed)
{
	(void)inode;
	(void)start;
	(void)end;
	(void)datasync;
	*flushed = true;
	return 0;
}

static inline int cf_volume_sync(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	*flushed = true;
	return 0;
}

static inline void cf_dirty_inode(struct iomap_inode *inode, unsigned what)
{
	if (what == IOMAP_DIRTY_PAGES)
		__atomic_add_fetch(&cf_of(inode)->nr_dirty_inode, 1, __ATOMIC_RELAXED);
}

static inline bool cf_tryget(struct iomap_inode *inode)
{
	if (cf_of(inode)->going)
		return false;
	__atomic_add_fetch(&cf_of(inode)->refs, 1, __ATOMIC_RELAXED);
	return true;
}

static inline void cf_put(struct iomap_inode *inode)
{
	__atomic_sub_fetch(&cf_of(inode)->refs, 1, __ATOMIC_RELAXED);
}

static const struct iomap_inode_ops cf_inode_ops = {
	.struct_size = sizeof(cf_inode_ops), .writepages = cf_writepages,
	.sync_metadata = cf_sync_metadata, .dirty_inode = cf_dirty_inode, .tryget = cf_tryget,
	.put = cf_put,
};
static const struct iomap_volume_ops cf_volume_ops = {
	.struct_size = sizeof(cf_volume_ops), .sync_metadata = cf_volume_sync,
};

/* One more inode in the same cache; its fixture shares nothing but cache and volume. */
static inline void cf_add_inode(struct cf *c, const struct cf *first, unsigned block_bits)
{
	struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &cf_inode_ops, .volume = first->volume,
		.block_bits = block_bits, .size = IOMAP_MAX_POS,
	};

	if (c != first) {
		memset(c, 0, sizeof(*c));
		c->cache = first->cache;
		c->volume = first->volume;
	}
	ck_assert_int_eq(iomap_inode_init(&c->inode, &opts), 0);
}

static inline void cf_start_env(struct cf *c, const struct iomap_cache_opts *opts,
				unsigned block_bits)
{
	memset(c, 0, sizeof(*c));
	t_env_start(&c->t, NULL);
	ck_assert_int_eq(iomap_cache_new(c->t.env, opts, &c->cache), 0);
	ck_assert_int_eq(iomap_volume_new(c->t.env, c->cache, &cf_volume_ops, NULL, &c->volume), 0);
	cf_add_inode(c, c, block_bits);
}

/* 1 MiB of cache, limits out of the way. */
static inline void cf_open(struct cf *c, unsigned block_bits)
{
	cf_start_env(c, &(struct iomap_cache_opts){
		.struct_size = sizeof(struct iomap_cache_opts), .bytes = 1 << 20,
		.dirty_limit = 1 << 20, .background_limit = 1 << 20 }, block_bits);
}

static inline void cf_drop_inode(struct cf *c)
{
	ck_assert_uint_eq(c->nr_held, 0);
	ck_assert_int_eq(iomap_inode_evict(&c->inode, IOMAP_EVICT_DISCARD, NULL), 0);
	ck_assert_int_eq(c->refs, 0);
	iomap_inode_fini(&c->inode);
}

static inline struct iomap_cache_stats cf_stats(struct cf *c)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(c->cache, &stats);
	return stats;
}

/* Everything came back. */
static inline void cf_close(struct cf *c)
{
	struct iomap_cache_stats stats;

	cf_drop_inode(c);
	stats = cf_stats(c);
	ck_assert_uint_eq(stats.bytes, 0);
	ck_assert_uint_eq(stats.dirty, 0);
	ck_assert_uint_eq(stats.writeback, 0);
	ck_assert_uint_eq(stats.failed, 0);
	iomap_volume_delete(&c->volume);
	iomap_cache_delete(&c->cache);
	t_env_stop(&c->t);
}

/* A locked, referenced folio of the size that len asks for. */
static inline struct iomap_folio *cf_get(struct cf *c, int64_t pos, uint64_t len)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&c->inode, pos, len, IOMAP_WRITE, &folio), 0);
	return folio;
}

static inline void cf_release(struct iomap_folio *folio)
{
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

/* In the cache, uptodate and clean; unlocked. */
static inline void cf_fill(struct cf *c, int64_t pos, uint64_t len)
{
	struct iomap_folio *folio = cf_get(c, pos, len);

	iomapi_folio_set_uptodate(folio, 0, folio->size);
	cf_release(folio);
}

/* The same and dirty all over. */
static inline void cf_dirty(struct cf *c, int64_t pos, uint64_t len)
{
	struct iomap_folio *folio = cf_get(c, pos, len);

	iomapi_folio_set_uptodate(folio, 0, folio->size);
	iomap_folio_mark_dirty(folio, 0, folio->size);
	cf_release(folio);
}

/* Flags of the cached folio at pos; 0: none there. */
static inline uint32_t cf_flags(struct cf *c, int64_t pos)
{
	struct iomap_folio *folio = iomapi_mapping_find(&c->inode, pos);
	uint32_t flags;

	if (!folio)
		return 0;
	flags = iomap_folio_flags(folio);
	iomap_folio_put(folio);
	return flags;
}

static inline bool cf_cached(struct cf *c, int64_t pos)
{
	struct iomap_folio *folio = iomapi_mapping_find(&c->inode, pos);

	if (folio)
		iomap_folio_put(folio);
	return folio;
}

/* A folio of len bytes at pos whose writeback failed. */
static inline void cf_fail(struct cf *c, int64_t pos, uint64_t len)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .range_start = pos, .range_end = pos + (int64_t)len,
	};
	int error = c->error;

	cf_dirty(c, pos, len);
	c->error = -EIO;
	cf_writepages(&c->inode, &wbc);
	c->error = error;
	ck_assert_uint_eq(cf_flags(c, pos) & (IOMAP_FOLIO_FAILED | IOMAP_FOLIO_DIRTY),
			  IOMAP_FOLIO_FAILED);
}

#endif
