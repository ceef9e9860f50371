/* SPDX-License-Identifier: MIT */
/*
 * test_fault_story.c - three stories of a client with a cache: a flush fails, a writeback fails and
 * is tried again, a request fails in the middle of an ioend.
 */
#include "sim/host.h"

/* ---- flushes that fail ---- */

/* Written and waited for, not flushed. */
static void write_through(struct m_file *f, unsigned seed)
{
	ck_assert_int_eq(m_fill(f, 0, RUN * PAGE, seed), RUN * PAGE);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&f->inode, 0, IOMAP_MAX_POS), 0);
}

static void write_anew(struct m_file *f)
{
	size_t len = (size_t)f->ref_size;
	uint8_t *all = malloc(len);

	ck_assert_ptr_nonnull(all);
	memcpy(all, f->ref, len);
	ck_assert_int_eq(m_write(f, 0, all, len), (int64_t)len);
	free(all);
	ck_assert_int_eq(m_sync(f), 0);
}

/* f's sync meets it; g was written before and syncs after a good flush; nobody wrote clean. */
static void fail_flush(uint64_t seed, const char *kind, int error)
{
	struct host *h = host_start(seed, FAILING_CACHED, DISK, 0);
	struct m_file *clean = m_file_new(h->m), *g = m_file_new(h->m);

	write_through(clean, 1);
	ck_assert_int_eq(m_sync(clean), 0);
	change(h);
	write_through(g, 2);
	failing_arm(&h->d, "at flush kind=%s", kind);
	ck_assert_int_eq(m_sync(h->f), error);
	ck_assert_uint_eq(failing_fired(&h->d, kind), 1);
	ck_assert_int_eq(iomap_bdev_flush(h->m->bdev, UINT64_MAX), 0);
	told_once(h, error);
	ck_assert_int_eq(m_sync(g), error);
	ck_assert_int_eq(m_sync(g), 0);
	ck_assert_int_eq(m_sync(clean), 0);
	ck_assert_uint_eq(stats_of(h).failed, 0);	/* the writes were good */
	ck_assert_int_eq(redirty(h), 0);
	write_anew(h->f);
	m_file_free(&g);
	m_file_free(&clean);
	host_survives(h);
}

CASE(failed_flush, "H9 O12 O17",
     "All who wrote since the last good flush are told; writing again heals, a flush does not")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++)
		fail_flush(seed, seed % 4 < 2 ? "flush_error" : "flush_error_drops", -EIO);
}

CASE(lost_flush, "H9 O12 O17", "A flush without an answer is a failed one: -ETIMEDOUT")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++)
		fail_flush(seed, "lost", -ETIMEDOUT);
}

static void see_blocks(struct host *h, const struct image *image, struct seen *seen)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	for (unsigned at = 0; at < BASE * PAGE; at += 512) {
		bool old, new;

		if (at % PAGE == 0)
			ck_assert_int_eq(m_dev_read(h->d.w.bdev, image->addr[at / PAGE], mem, PAGE),
					 0);
		old = !memcmp(mem + at % PAGE, h->base + at, 512);
		new = !memcmp(mem + at % PAGE, image->bytes + at, 512);
		if (!old && !new)
			ck_abort_msg("nobody wrote what is at %u", at);
		seen->old += !new;
		seen->new += !old;
	}
}

/* Nobody writes again; a sync, which has told all it had to tell, is good; and a power cut. */
static struct seen flush_again(const char *kind)
{
	static struct image image;
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_start(seed, FAILING_CACHED, DISK, HOST_IN_PLACE);

		change(h);
		failing_arm(&h->d, "at flush kind=%s", kind);
		ck_assert_int_eq(m_sync(h->f), -EIO);
		ck_assert_uint_eq(failing_fired(&h->d, kind), 1);
		ck_assert(m_content_ok(h->f));
		ck_assert_int_eq(m_sync(h->f), 0);
		image_of(h->f, &image);
		host_dies(h);
		see_blocks(h, &image, &seen);
		failing_delete(&h->d);
	}
	return seen;
}

CASE(a_good_flush_heals_nobody, "H9",
     "The device forgot what it had: it was right to tell everybody, for it may be lost")
{
	struct seen seen = flush_again("flush_error_drops");

	ck_assert_both(seen);
}

CASE(the_next_sync_flushes_again, "O17",
     "What a failed flush left in the cache is covered by the next, which is not left out")
{
	struct seen seen = flush_again("flush_error");

	ck_assert_uint_eq(seen.old, 0);
	ck_assert_uint_gt(seen.new, 0);
}

/* ---- a writeback fails ---- */

/* Nobody waits for it: a cleaner in the background. */
static void clean(struct host *h)
{
	ck_assert_int_eq(m_writeback(h->f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(iomap_inode_wait_wb(&h->f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
}

CASE(failed_writeback_and_redirty, "H8 O11 O12 O19",
     "In the background, again on the second try; nobody can drop it; the third try writes all")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_new(seed);
		uint64_t failed;

		change(h);
		failing_arm(&h->d, "at write nth=%u kind=eio_write", 1 + failing_draw(&h->d, RUNS));
		clean(h);
		failed = stats_of(h).failed;
		keeps_what_failed(h);
		ck_assert_int_eq(m_evict(h->f), -EIO);
		ck_assert_uint_eq(stats_of(h).failed, failed);
		ck_assert_int_eq(m_sync(h->f), -EIO);
		told_once(h, -EIO);
		ck_assert_int_eq(m_drop_cache(h->f), -EBUSY);
		failing_arm(&h->d, "at write kind=eio_write");
		ck_assert_int_gt(redirty(h), 0);
		ck_assert_uint_eq(stats_of(h).failed, 0);
		clean(h);
		keeps_what_failed(h);
		ck_assert_int_eq(m_sync(h->f), -EIO);
		told_once(h, -EIO);
		try_again(h, 0);
		ck_assert_uint_eq(failing_fired(&h->d, "eio_write"), 2);
		ck_assert_int_eq(m_drop_cache(h->f), 0);
		ck_assert(m_content_ok(h->f));
		host_survives(h);
	}
}

/* ---- in the middle of an ioend ---- */

#define MANY		32u		/* pages in one ioend */
#define PIECE		4u		/* pages in one request */

/* MANY pages are dirty that lie in a row, in a file that writes in place. */
static struct host *one_ioend(uint64_t seed)
{
	struct host *h = host_start(seed, FAILING_PRESETS, PIECE * PAGE, HOST_IN_PLACE);

	ck_assert_int_eq(m_fill(h->f, 0, MANY * PAGE, 3), MANY * PAGE);
	return h;
}

/* One byte of a piece that is neither the first nor the last. */
static unsigned arm_middle(struct host *h, const char *kind)
{
	unsigned page = PIECE + failing_draw(&h->d, MANY - 2 * PIECE);

	failing_arm(&h->d, "at write addr=%llu kind=%s",
		   (unsigned long long)h->f->data[page].addr + failing_draw(&h->d, PAGE), kind);
	return page;
}

/* Those of the other pieces are there. */
static void check_others(struct host *h, unsigned page)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	for (unsigned i = 0; i < MANY; i++) {
		if (i / PIECE == page / PIECE)
			continue;
		ck_assert_int_eq(m_dev_read(h->m->bdev, h->f->data[i].addr, mem, PAGE), 0);
		ck_assert(!memcmp(mem, h->f->ref + i * PAGE, PAGE));
	}
}

static void scribble(struct host *h)
{
	uint8_t *mem = t_buffer(PAGE, 77);

	for (unsigned i = 0; i < MANY; i++)
		ck_assert_int_eq(m_dev_write(h->m->bdev, h->f->data[i].addr, mem, PAGE), 0);
}

CASE(eio_in_the_middle_of_an_ioend, "H8 O12 O19 O21",
     "One request of eight fails: the ioend has failed, once, and all of it is written again")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = one_ioend(seed);
		unsigned submits = h->m->nr_submits, finished = h->m->nr_finished, page;

		page = arm_middle(h, "eio_write");
		ck_assert_int_eq(m_sync(h->f), -EIO);
		ck_assert_uint_eq(failing_fired(&h->d, "eio_write"), 1);
		ck_assert_uint_eq(h->m->nr_submits, submits + 1);
		ck_assert_uint_eq(h->m->nr_finished, finished + 1);
		ck_assert_uint_eq(stats_of(h).failed, MANY * PAGE);
		check_others(h, page);
		told_once(h, -EIO);
		keeps_what_failed(h);
		scribble(h);
		ck_assert_int_eq(redirty(h), MANY * PAGE);
		ck_assert_int_eq(m_sync(h->f), 0);
		host_survives(h);
	}
}

CASE(the_first_error_of_an_ioend, "H6 O12 O18",
     "Two requests fail, on a device that keeps the order: the first is reported, once")
{
	for (uint64_t seed = FAILING_FIFO; seed < FAILING_SEEDS; seed += FAILING_PRESETS) {
		struct host *h = one_ioend(seed);
		unsigned first = 1 + failing_draw(&h->d, 4), then = first + 1 + first % 3;
		bool eio_first = seed % 2;
		int error = eio_first ? -EIO : -ENOSPC;

		ck_assert_int_eq(h->d.profile.order, IOMAP_SIM_ORDER_FIFO);
		failing_arm(&h->d, "at write nth=%u kind=eio_write; at write nth=%u kind=enospc",
			    eio_first ? first : then, eio_first ? then : first);
		ck_assert_int_eq(m_sync(h->f), error);
		ck_assert_uint_eq(failing_fired(&h->d, "eio_write"), 1);
		ck_assert_uint_eq(failing_fired(&h->d, "enospc"), 1);
		told_once(h, error);
		try_again(h, 0);
		host_survives(h);
	}
}

CASE(isolate_tries_the_middle_again, "",
     "ISOLATE: the request that failed is sent again folio by folio, and nobody hears of it")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = one_ioend(seed);
		struct iomap_writeback_control wbc = {
			.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL,
			.flags = IOMAP_WB_ISOLATE,
		};

		arm_middle(h, "eio_write");
		ck_assert_int_eq(h->m->inode_ops.writepages(&h->f->inode, &wbc), 0);
		ck_assert_int_eq(iomap_mapping_wait_range(&h->f->inode, 0, IOMAP_MAX_POS), 0);
		ck_assert_uint_eq(failing_fired(&h->d, "eio_write"), 1);
		ck_assert_uint_eq(stats_of(h).failed, 0);
		ck_assert_int_eq(m_sync(h->f), 0);
		host_survives(h);
	}
}

MAIN()
