/* SPDX-License-Identifier: MIT */
/*
 * test_each_operation.c - each operation of a cached file by itself, over what it may meet, while
 * each callback, request and allocation of it fails in turn.
 */
#include "model/bad_input.h"

static int64_t do_read(struct work *w)
{
	uint8_t buf[3 * PAGE];

	return m_read(w->f, 2 * PAGE + 5, buf, sizeof(buf));
}

/* It says nothing: who comes to read hears of it. */
static int64_t do_readahead(struct work *w)
{
	struct iomap_inode *inode = &w->f->inode;
	uint64_t len = 4 * PAGE;
	int64_t pos = PAGE;

	iomap_inode_lock(inode, IOMAP_LOCK_SHARED);
	iomap_readahead(inode, &pos, &len, &w->m->ops, NULL, NULL);
	iomap_inode_unlock(inode);
	ck_assert_int_eq(pos + (int64_t)len, 5 * PAGE);
	return 0;
}

static int64_t do_write(struct work *w)
{
	return m_fill(w->f, PAGE + 7, 6 * PAGE, 2);
}

static size_t three_pages(struct m_file *f, size_t at, size_t len)
{
	size_t left = at < 3 * PAGE - 50 ? 3 * PAGE - 50 - at : 0;

	(void)f;
	return len < left ? len : left;
}

static int64_t do_short_write(struct work *w)
{
	int64_t n;

	w->m->hook_copy = three_pages;
	n = m_fill(w->f, PAGE + 7, 9 * PAGE, 2);
	w->m->hook_copy = NULL;
	ck_assert_int_le(n, 3 * PAGE - 50);
	return n;
}

static int64_t do_zero(struct work *w)
{
	return m_zero(w->f, PAGE + 10, 4 * PAGE, NULL);
}

static int64_t do_truncate_page(struct work *w)
{
	struct m_file *f = w->f;
	int64_t end = 3 * PAGE;
	int rc;

	iomap_inode_lock(&f->inode, 0);
	iomap_inode_invalidate_lock(&f->inode, 0);
	rc = iomap_truncate_page(&f->inode, end - 100, NULL, &w->m->ops, &w->m->write_ops, NULL);
	if (!rc)
		memset(f->ref + end - 100, 0, 100);
	iomap_inode_invalidate_unlock(&f->inode);
	iomap_inode_unlock(&f->inode);
	return rc;
}

static int64_t do_cut(struct work *w)
{
	return m_truncate(w->f, 4 * PAGE + 99);
}

static int64_t do_extend(struct work *w)
{
	return m_truncate(w->f, 12 * PAGE);
}

static int64_t do_hole(struct work *w)
{
	return m_hole(w->f, PAGE + 1, 3 * PAGE);
}

static int64_t do_insert(struct work *w)
{
	return m_insert(w->f, 0, PAGE);
}

static int64_t do_unshare(struct work *w)
{
	return m_unshare(w->f, 0, 5 * PAGE);
}

/* It is no failure if there is nothing to store to. */
static int64_t do_store(struct work *w)
{
	int rc = m_store(w->f, 2 * PAGE + 100, "somebody stores", 16);

	return rc == -EAGAIN ? 0 : rc;
}

static int64_t do_write_back(struct work *w)
{
	return iomap_mapping_write_and_wait_range(&w->f->inode, 0, IOMAP_MAX_POS);
}

static int64_t do_sync(struct work *w)
{
	return m_sync(w->f);
}

static int64_t do_volume_sync(struct work *w)
{
	return iomap_volume_sync(w->m->volume);
}

static int64_t do_evict(struct work *w)
{
	return m_evict(w->f);
}

static int64_t do_redirty(struct work *w)
{
	int64_t n;

	iomap_inode_lock(&w->f->inode, 0);
	n = iomap_mapping_redirty_failed(&w->f->inode, 0, IOMAP_MAX_POS, &w->m->ops, NULL);
	iomap_inode_unlock(&w->f->inode);
	return n;
}

static int64_t do_fiemap(struct work *w)
{
	struct m_extents all = { .max = 0 };

	return m_fiemap(w->f, 0, 12 * PAGE, true, &all);
}

static int64_t do_seek(struct work *w)
{
	int64_t at = m_seek_hole(w->f, 0);

	return at < 0 ? at : m_seek_data(w->f, PAGE);
}

/* What there is before: on the device only, dirty over it and beyond, cached, or failed. */
static void be_dirty(struct work *w)
{
	ck_assert_int_eq(m_fill(w->f, 100, 9 * PAGE, 1), 9 * PAGE);
}

static void be_cached(struct work *w)
{
	uint8_t buf[2 * PAGE];

	ck_assert_int_eq(m_read(w->f, 2 * PAGE, buf, sizeof(buf)), 2 * PAGE);
}

static void be_failed(struct work *w)
{
	be_dirty(w);
	t_mem_fail(device(), IOMAP_BIO_WRITE, 1, UINT32_MAX, ERROR, UINT64_MAX);
	ck_assert_int_eq(m_sync(w->f), ERROR);
	t_mem_heal(device());
	ck_assert_int_eq(iomap_file_check_error(&w->other), ERROR);
	ck_assert_uint_gt(nr_failed_bytes(w), 0);
	w->had_failed = true;
}

static const struct operation {
	void (*before)(struct work *w);		/* NULL: nothing is cached */
	int64_t (*run)(struct work *w);
	unsigned least;				/* failures, of all clients */
} operations[] = {
	{ NULL, do_read, 15 }, { NULL, do_readahead, 18 }, { NULL, do_write, 35 },
	{ NULL, do_short_write, 20 }, { NULL, do_zero, 24 }, { be_dirty, do_zero, 18 },
	{ NULL, do_truncate_page, 12 }, { be_dirty, do_truncate_page, 8 }, { NULL, do_cut, 24 },
	{ be_dirty, do_cut, 20 }, { NULL, do_extend, 24 }, { be_dirty, do_extend, 60 },
	{ NULL, do_hole, 45 }, { be_dirty, do_hole, 40 }, { be_dirty, do_insert, 50 },
	{ NULL, do_unshare, 18 }, { be_cached, do_store, 9 }, { be_dirty, do_store, 9 },
	{ be_dirty, do_write_back, 50 }, { be_dirty, do_sync, 60 },
	{ be_dirty, do_volume_sync, 60 }, { be_dirty, do_evict, 50 },
	{ be_failed, do_redirty, 60 }, { be_dirty, do_fiemap, 80 }, { NULL, do_seek, 20 },
	{ be_dirty, do_seek, 28 },
};
#define NR_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

/* Neither of an inode's locks is left with anyone; those of folios are seen by who drops them. */
static void nothing_is_locked(struct work *w)
{
	struct iomap_inode *inode = &w->f->inode;

	ck_assert_int_eq(iomap_inode_lock(inode, IOMAP_LOCK_NOWAIT), 0);
	ck_assert_int_eq(iomap_inode_invalidate_lock(inode, IOMAP_LOCK_NOWAIT), 0);
	iomap_inode_invalidate_unlock(inode);
	iomap_inode_unlock(inode);
	ck_assert_uint_eq(w->m->nr_begin, w->m->nr_end);
}

static bool operation_fails_at(const struct operation *op, const struct m_opts *opts,
			       enum what what, unsigned nth)
{
	static struct work w;
	bool hit;

	start(&w, opts);
	prepare(&w);
	if (op->before)
		op->before(&w);
	t_mem_log_reset(device());
	w.any = what == AT_END;
	arm(&w, what, nth, 1, ERROR);
	change(&w, op->run(&w));
	hit = fired(&w, what);
	nothing_is_locked(&w);
	if (hit)
		judge_reports(&w, what);
	disarm(&w, what);
	if (w.any)
		adopt(&w);
	recover(&w);
	stop(&w);
	return hit;
}

CASE_TIMEOUT(each_operation_at_each_place, "I1 O11 O12 O28 O36",
	     "Whatever it calls fails in turn: told once, old or new, nothing locked or lost", 90)
{
	unsigned of_kind[NR_WHATS] = { 0 };

	for (unsigned i = 0; i < NR_OPERATIONS; i++) {
		unsigned total = 0;

		for (unsigned k = 0; k < NR_CLIENTS * NR_WHATS; k++) {
			enum what what = (enum what)(k % NR_WHATS);
			unsigned nth = 1;

			while (operation_fails_at(&operations[i], &clients[k / NR_WHATS], what,
						  nth))
				nth++;
			total += nth - 1;
			of_kind[what] += nth - 1;
		}
		ck_assert_msg(total >= operations[i].least, "operation %u: %u", i, total);
	}
	for (unsigned what = 0; what < NR_WHATS; what++)
		ck_assert_msg(of_kind[what] >= 4, "kind %u: %u", what, of_kind[what]);
}

/* ---- memory ---- */

/* All of a small cache but so many pages is held by another file. */
static unsigned hold_all_but(struct m_file *hog, struct iomap_folio **held, unsigned left)
{
	unsigned nr = 0;

	while (!iomap_mapping_get_folio(&hog->inode, nr * PAGE, PAGE, IOMAP_WRITE, &held[nr]))
		iomap_folio_unlock(held[nr++]);
	ck_assert_uint_gt(nr, left);
	for (unsigned i = 0; i < left; i++)
		iomap_folio_put(held[--nr]);
	return nr;
}

static bool runs_short(const struct operation *op, unsigned left)
{
	const struct m_opts opts = {
		.dev = "mem:model,size=1m", .delalloc = true, .unwritten = true, .cow = true,
		.max_folio = PAGE, .cache_bytes = 128 << 10,
	};
	struct iomap_folio *held[64];
	static struct work w;
	struct m_file *hog;
	unsigned nr;

	start(&w, &opts);
	prepare(&w);
	hog = m_file_new(w.m);
	if (op->before)
		op->before(&w);
	iomap_cache_reclaim(w.m->cache, UINT64_MAX);
	nr = hold_all_but(hog, held, left);
	w.error = -ENOMEM;
	w.any = true;			/* read only when there is room again */
	failed(&w, op->run(&w));
	nothing_is_locked(&w);
	while (nr)
		iomap_folio_put(held[--nr]);
	adopt(&w);
	m_file_free(&hog);
	recover(&w);
	stop(&w);
	return w.nr_errors;
}

CASE_TIMEOUT(each_operation_without_memory, "O28 O36",
	     "No folio can be had, or only a few: -ENOMEM or done, nothing locked or lost", 90)
{
	unsigned nr_short = 0;

	for (unsigned i = 0; i < NR_OPERATIONS; i++)
		for (unsigned left = 0; left < 4; left++)
			nr_short += runs_short(&operations[i], left);
	ck_assert_uint_ge(nr_short, 16);
}

MAIN()
