/* SPDX-License-Identifier: MIT */
/*
 * test_folio_state.c - which blocks of a folio are uptodate and dirty, and the end of a read.
 *
 * Folios of 16 KiB with blocks of 1 KiB, unless a case says otherwise.
 */
#include "unit/cache_fixture.h"
#include "harness/thread.h"

#include <sched.h>

#define BLOCK	1024u
#define NR	16u
#define SIZE	(NR * BLOCK)

static struct iomap_folio *start(struct cf *c)
{
	struct iomap_folio *folio;

	cf_open(c, 10);
	folio = cf_get(c, 0, SIZE);
	ck_assert_uint_eq(folio->size, SIZE);
	return folio;
}

static void stop(struct cf *c, struct iomap_folio *folio)
{
	cf_release(folio);
	cf_close(c);
}

static bool is_uptodate(const struct iomap_folio *folio)
{
	return iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE;
}

static bool is_dirty(const struct iomap_folio *folio)
{
	return iomap_folio_flags(folio) & IOMAP_FOLIO_DIRTY;
}

/* The dirty blocks as bits. */
static uint64_t dirty_blocks(struct iomap_folio *folio)
{
	uint64_t map = 0;
	size_t off = 0, len;

	for (; iomapi_folio_next_dirty(folio, &off, folio->size, &len); off += len) {
		ck_assert_uint_eq(off % BLOCK, 0);
		ck_assert_uint_eq(len % BLOCK, 0);
		for (size_t at = off; at < off + len; at += BLOCK)
			map |= 1ull << at / BLOCK;
	}
	return map;
}

static uint64_t uptodate_blocks(struct iomap_folio *folio)
{
	uint64_t map = 0;

	for (unsigned i = 0; i < NR; i++)
		map |= (uint64_t)iomapi_folio_block_uptodate(folio, i * BLOCK) << i;
	return map;
}

/* ---- when there is state ---- */

CASE(one_block_has_no_state, "I14", "A folio of one block says everything with its flags")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, 1);
	ck_assert_int_eq(iomapi_folio_state_attach(folio), 0);
	iomapi_folio_set_uptodate(folio, 100, 1);
	iomap_folio_mark_dirty(folio, 7, 9);
	ck_assert_ptr_null(folio->state);
	ck_assert(is_uptodate(folio) && is_dirty(folio));
	ck_assert(!iomap_folio_is_partially_uptodate(folio, 0, 1));
	stop(&c, folio);
}

CASE(uniform_folio_has_no_state, "I14", "Uptodate and dirty as a whole: many blocks, no state")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);
	size_t off = 0, len;

	iomapi_folio_set_uptodate(folio, 0, SIZE);
	iomap_folio_mark_dirty(folio, 0, SIZE);
	ck_assert_ptr_null(folio->state);
	ck_assert(iomapi_folio_next_dirty(folio, &off, SIZE, &len));
	ck_assert_uint_eq(off, 0);
	ck_assert_uint_eq(len, SIZE);
	/* More of the same changes nothing. */
	iomap_folio_mark_dirty(folio, BLOCK, 1);
	ck_assert_ptr_null(folio->state);
	stop(&c, folio);
}

CASE(blocks_that_differ_have_state, "I14",
     "As soon as some block differs in uptodate or dirty, state is there")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	iomapi_folio_set_uptodate(folio, 3 * BLOCK, 2 * BLOCK);
	ck_assert_ptr_nonnull(folio->state);
	ck_assert_uint_eq(uptodate_blocks(folio), 0x18);
	ck_assert(!is_uptodate(folio));
	cf_release(folio);

	folio = cf_get(&c, SIZE, SIZE);
	iomapi_folio_set_uptodate(folio, 0, SIZE);
	ck_assert_ptr_null(folio->state);
	iomap_folio_mark_dirty(folio, 5 * BLOCK + 1, 1);
	ck_assert_ptr_nonnull(folio->state);
	ck_assert_uint_eq(dirty_blocks(folio), 0x20);
	stop(&c, folio);
}

CASE(state_starts_uptodate, "I15 R31",
     "State attached to an uptodate folio begins with all blocks uptodate")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	/* Uptodate block by block, so with state; the state is evicted; then a partial write. */
	for (unsigned i = 0; i < NR; i++)
		iomapi_folio_set_uptodate(folio, i * BLOCK, BLOCK);
	ck_assert(is_uptodate(folio));
	ck_assert(iomap_folio_release(folio));
	ck_assert_ptr_null(folio->state);
	iomap_folio_mark_dirty(folio, 2 * BLOCK, BLOCK);
	ck_assert_ptr_nonnull(folio->state);
	ck_assert(iomap_folio_is_partially_uptodate(folio, 0, SIZE));
	ck_assert_uint_eq(uptodate_blocks(folio), 0xffff);
	ck_assert_uint_eq(dirty_blocks(folio), 0x4);
	stop(&c, folio);
}

CASE(state_starts_dirty, "I15 R31", "State attached to a dirty folio begins with all blocks dirty")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	iomapi_folio_set_uptodate(folio, 0, SIZE);
	iomap_folio_mark_dirty(folio, 0, SIZE);
	ck_assert_ptr_null(folio->state);
	ck_assert_int_eq(iomapi_folio_state_attach(folio), 0);
	ck_assert_ptr_nonnull(folio->state);
	ck_assert_uint_eq(dirty_blocks(folio), 0xffff);
	ck_assert_uint_eq(uptodate_blocks(folio), 0xffff);
	/* The same when a part of it is cleaned. */
	iomapi_folio_clear_dirty(folio, 0, BLOCK);
	ck_assert_uint_eq(dirty_blocks(folio), 0xfffe);
	stop(&c, folio);
}

CASE(cleaning_a_part_keeps_the_rest, "I15 I17",
     "Clearing some blocks of a uniformly dirty folio leaves the others dirty")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	iomapi_folio_set_uptodate(folio, 0, SIZE);
	iomap_folio_mark_dirty(folio, 0, SIZE);
	iomapi_folio_clear_dirty(folio, 4 * BLOCK, 2 * BLOCK);
	ck_assert_uint_eq(dirty_blocks(folio), 0xffff & ~0x30u);
	ck_assert(is_dirty(folio));
	stop(&c, folio);
}

CASE(freed_state_agrees_with_the_flag, "I16",
     "When state is freed the folio is uptodate if and only if all its blocks were")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);
	size_t off = 0, len;

	iomapi_folio_set_uptodate(folio, 0, SIZE - BLOCK);
	ck_assert(!is_uptodate(folio));
	ck_assert(iomap_folio_release(folio));
	ck_assert(!is_uptodate(folio));
	/* What was known of the blocks is forgotten: all of it must be read. */
	ck_assert(iomapi_folio_next_not_uptodate(folio, &off, SIZE, &len));
	ck_assert_uint_eq(off, 0);
	ck_assert_uint_eq(len, SIZE);

	iomapi_folio_set_uptodate(folio, 0, SIZE - BLOCK);
	iomapi_folio_set_uptodate(folio, SIZE - 1, 1);
	ck_assert(is_uptodate(folio));
	ck_assert(iomap_folio_release(folio));
	ck_assert(is_uptodate(folio));
	off = 0;
	ck_assert(!iomapi_folio_next_not_uptodate(folio, &off, SIZE, &len));
	stop(&c, folio);
}

CASE(folio_is_dirty_while_a_block_is, "I17",
     "The flag comes with the first dirty block and goes with the last")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	iomapi_folio_set_uptodate(folio, 0, SIZE);
	ck_assert(!is_dirty(folio));
	iomap_folio_mark_dirty(folio, 9 * BLOCK, BLOCK);
	iomap_folio_mark_dirty(folio, 2 * BLOCK, BLOCK);
	ck_assert(is_dirty(folio));
	iomapi_folio_start_writeback(folio->inode, folio);
	iomapi_folio_clear_dirty(folio, 2 * BLOCK, BLOCK);
	iomapi_folio_settle_dirty(folio);
	ck_assert(is_dirty(folio));
	ck_assert(iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	cf_end(folio, 0);
	ck_assert(is_dirty(folio));
	iomapi_folio_start_writeback(folio->inode, folio);
	iomapi_folio_clear_dirty(folio, 9 * BLOCK, BLOCK);
	iomapi_folio_settle_dirty(folio);
	ck_assert(!is_dirty(folio));
	cf_end(folio, 0);
	ck_assert(!is_dirty(folio));
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	stop(&c, folio);
}

CASE(ranges_in_blocks, "",
     "Dirty and missing ranges come in whole blocks, in order, inside the limits")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);
	size_t off = 0, len;

	iomapi_folio_set_uptodate(folio, 2 * BLOCK, BLOCK);
	iomapi_folio_set_uptodate(folio, 5 * BLOCK, 3 * BLOCK);
	ck_assert(iomapi_folio_next_not_uptodate(folio, &off, SIZE, &len));
	ck_assert(off == 0 && len == 2 * BLOCK);
	off += len;
	ck_assert(iomapi_folio_next_not_uptodate(folio, &off, SIZE, &len));
	ck_assert(off == 3 * BLOCK && len == 2 * BLOCK);
	off += len;
	ck_assert(iomapi_folio_next_not_uptodate(folio, &off, SIZE - 1, &len));
	ck_assert(off == 8 * BLOCK && len == 8 * BLOCK);
	off = 5 * BLOCK;
	ck_assert(!iomapi_folio_next_not_uptodate(folio, &off, 8 * BLOCK, &len));

	iomap_folio_mark_dirty(folio, 5 * BLOCK + 10, 2 * BLOCK);
	off = 0;
	ck_assert(iomapi_folio_next_dirty(folio, &off, SIZE, &len));
	ck_assert(off == 5 * BLOCK && len == 3 * BLOCK);
	off = 6 * BLOCK;
	ck_assert(iomapi_folio_next_dirty(folio, &off, 7 * BLOCK, &len));
	ck_assert(off == 6 * BLOCK && len == BLOCK);
	off = 0;
	ck_assert(!iomapi_folio_next_dirty(folio, &off, 5 * BLOCK, &len));
	stop(&c, folio);
}

CASE(two_megabytes_of_small_blocks, "",
     "4096 blocks of 512 bytes have their bits, and neighbours keep theirs")
{
	struct cf c;
	struct iomap_folio *big, *next;
	size_t off = 0, len;

	cf_start_env(&c, &(struct iomap_cache_opts){
		.struct_size = sizeof(struct iomap_cache_opts), .bytes = 6 << 20,
		.max_folio = 2 << 20 }, 9);
	big = cf_get(&c, 0, 2 << 20);
	ck_assert_uint_eq(big->size, 2 << 20);
	next = cf_get(&c, 2 << 20, 4096);
	iomapi_folio_set_uptodate(big, 0, big->size);
	iomapi_folio_set_uptodate(next, 512, 512);
	for (unsigned i = 0; i < 4096; i += 2)
		iomap_folio_mark_dirty(big, i * 512, 512);
	for (unsigned i = 0; i < 4096; i += 2) {
		ck_assert(iomapi_folio_next_dirty(big, &off, big->size, &len));
		ck_assert_uint_eq(off, i * 512);
		ck_assert_uint_eq(len, 512);
		off += len;
	}
	ck_assert(!iomapi_folio_block_uptodate(next, 0));
	ck_assert(iomapi_folio_block_uptodate(next, 512));
	ck_assert(!iomapi_folio_block_uptodate(next, 1024));
	cf_release(next);
	stop(&c, big);
}

/* ---- reading ---- */

CASE(zeroing_leaves_the_flag_to_the_read, "I18 R8",
     "Blocks zeroed while bytes are pending: the last completion says uptodate, in any order")
{
	/* a: completion of blocks 0-7, b: of 8-11; z: zeroing of 12-15; r: the rest is known.
	 * The reader does z before r. */
	static const char *const orders[] = {
		"zrab", "zrba", "zarb", "zbra", "zabr", "zbar", "azrb", "bzra", "azbr", "bzar",
		"abzr", "bazr",
	};
	struct cf c;

	cf_open(&c, 10);
	for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		struct iomap_folio *folio = cf_get(&c, i * SIZE, SIZE);
		unsigned nr_last = 0;
		bool handed = false;

		ck_assert_int_eq(iomapi_folio_start_read(folio), 0);
		for (const char *step = orders[i]; *step; step++) {
			bool last = false;

			ck_assert(!is_uptodate(folio));
			if (*step == 'z')
				iomapi_folio_set_uptodate(folio, 12 * BLOCK, 4 * BLOCK);
			if (*step == 'a')
				last = iomapi_folio_sub_read_pending(folio, 0, 8 * BLOCK, 0);
			if (*step == 'b')
				last = iomapi_folio_sub_read_pending(folio, 8 * BLOCK,
								     4 * BLOCK, 0);
			if (*step == 'r') {
				last = iomapi_folio_read_queued(c.t.env, folio, 4 * BLOCK);
				handed = !last;
			}
			ck_assert_int_eq(last, !step[1]);
			nr_last += last;
		}
		ck_assert_uint_eq(nr_last, 1);
		ck_assert(is_uptodate(folio));
		ck_assert_uint_eq(iomapi_self(c.t.env)->nr_folio_locks, handed ? 0 : 1);
		cf_release(folio);
		ck_assert_uint_eq(iomapi_self(c.t.env)->nr_folio_locks, 0);
	}
	cf_close(&c);
}

CASE(zeroing_one_block_while_it_is_read, "I18",
     "A folio of one block: zeroing its tail does not end the read of its head")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, PAGE);
	ck_assert_int_eq(iomapi_folio_start_read(folio), 0);
	iomapi_folio_set_uptodate(folio, 1000, PAGE - 1000);
	ck_assert(!is_uptodate(folio));
	ck_assert(!iomapi_folio_read_queued(c.t.env, folio, PAGE - 1000));
	ck_assert(!is_uptodate(folio));
	ck_assert(iomapi_folio_sub_read_pending(folio, 0, 1000, 0));
	ck_assert(is_uptodate(folio));
	stop(&c, folio);
}

CASE(pending_bytes_start_at_the_folio, "I20",
     "Pending read bytes begin with the folio's size, are corrected by what was not queued, "
     "and end at 0")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);
	unsigned left = SIZE;

	ck_assert_int_eq(iomapi_folio_start_read(folio), 0);
	ck_assert_uint_eq(iomapi_cached(folio)->read_pending, SIZE);
	/* Two blocks come before the reader is done with queueing: that is not the end. */
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(!iomapi_folio_sub_read_pending(folio, i * BLOCK, BLOCK, 0));
		left -= BLOCK;
		ck_assert_uint_eq(iomapi_cached(folio)->read_pending, left);
	}
	/* One more is queued, 13 are not. */
	ck_assert(!iomapi_folio_read_queued(c.t.env, folio, 13 * BLOCK));
	ck_assert_uint_eq(iomapi_cached(folio)->read_pending, BLOCK);
	ck_assert(iomapi_folio_sub_read_pending(folio, 2 * BLOCK, BLOCK, 0));
	ck_assert_uint_eq(iomapi_cached(folio)->read_pending, 0);
	ck_assert(!is_uptodate(folio));
	ck_assert_uint_eq(uptodate_blocks(folio), 0x7);
	stop(&c, folio);
}

CASE(nothing_queued_gives_the_lock_back, "I20",
     "A read of which nothing could be queued ends with the reader")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	ck_assert_int_eq(iomapi_folio_start_read(folio), 0);
	ck_assert(iomapi_folio_read_queued(c.t.env, folio, SIZE));
	ck_assert(!is_uptodate(folio));
	ck_assert_uint_eq(uptodate_blocks(folio), 0);
	ck_assert_uint_eq(iomapi_self(c.t.env)->nr_folio_locks, 1);
	stop(&c, folio);
}

CASE(failed_ranges_stay_missing, "",
     "A failed range is not uptodate, the others are, whichever comes last")
{
	struct cf c;

	cf_open(&c, 10);
	for (unsigned bad = 0; bad < 4; bad++) {
		struct iomap_folio *folio = cf_get(&c, bad * SIZE, SIZE);

		ck_assert_int_eq(iomapi_folio_start_read(folio), 0);
		ck_assert(!iomapi_folio_read_queued(c.t.env, folio, 0));
		for (unsigned i = 0; i < 4; i++)
			ck_assert_int_eq(iomapi_folio_sub_read_pending(
				folio, i * 4 * BLOCK, 4 * BLOCK, i == bad ? -EIO : 0), i == 3);
		ck_assert(!is_uptodate(folio));
		ck_assert_uint_eq(uptodate_blocks(folio), 0xffff & ~(0xfu << 4 * bad));
		cf_release(folio);
	}
	cf_close(&c);
}

/* Blocks that come in pieces after a failure may be asked for once more; that is all it costs. */
CASE(ranges_smaller_than_a_block, "",
     "A block that comes in pieces is uptodate only if no piece failed")
{
	struct cf c;
	struct iomap_folio *folio;

	for (unsigned bits = 10; bits <= 12; bits += 2) {
		cf_open(&c, bits);
		for (unsigned bad = 0; bad <= 8; bad++) {
			folio = cf_get(&c, bad * PAGE, PAGE);
			ck_assert_uint_eq(folio->size, PAGE);
			iomapi_folio_start_read(folio);
			iomapi_folio_read_queued(c.t.env, folio, 0);
			for (unsigned i = 0; i < 8; i++)
				iomapi_folio_sub_read_pending(folio, i * 512, 512,
							      i == bad ? -EIO : 0);
			ck_assert_int_eq(is_uptodate(folio), bad == 8);
			for (unsigned i = 0; bad < 8 && i / 2 <= bad / 2; i++)
				ck_assert_int_eq(iomapi_folio_block_uptodate(folio, i * 512),
						 bits == 10 && i / 2 < bad / 2);
			cf_release(folio);
		}
		cf_close(&c);
	}
}

/* A folio of many blocks: each completion of one may meet one of the other thread. */
struct halves {
	struct iomap_folio *folio;
	unsigned round, ready, done, nr_last;	/* atomic */
};
#define ROUNDS	10000u
#define SECONDS	1		/* ..or fewer: a busy machine runs the two in turns */
#define STOP	UINT32_MAX
#define HALF	(32 * BLOCK)

/* The next value of the word. */
static unsigned wait_change(unsigned *word, unsigned old)
{
	unsigned now;

	for (unsigned spins = 1; (now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == old; spins++)
		if (spins % 256 == 0)
			sched_yield();
	return now;
}

static void complete_half(struct halves *h, size_t off)
{
	for (size_t end = off + HALF; off < end; off += BLOCK)
		if (iomapi_folio_sub_read_pending(h->folio, off, BLOCK, 0))
			__atomic_add_fetch(&h->nr_last, 1, __ATOMIC_RELAXED);
}

static void *second_half(void *arg)
{
	struct halves *h = arg;
	unsigned round = 0;

	while ((round = wait_change(&h->round, round)) != STOP) {
		__atomic_store_n(&h->ready, round, __ATOMIC_RELEASE);
		complete_half(h, HALF);
		__atomic_store_n(&h->done, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

CASE_TIMEOUT(two_completions_agree, "I19 R30",
	     "Blocks arrive on two threads, again and again: one of them is last, and the folio is "
	     "uptodate", 60)
{
	struct halves h = { .round = 0 };
	time_t began = time(NULL);
	pthread_t thread;
	struct cf c;

	cf_open(&c, 10);
	h.folio = cf_get(&c, 0, 2 * HALF);
	ck_assert_uint_eq(h.folio->size, 2 * HALF);
	thread = t_thread(second_half, &h);
	for (unsigned round = 1; round <= ROUNDS && time(NULL) <= began + SECONDS; round++) {
		h.nr_last = 0;
		ck_assert_int_eq(iomapi_folio_start_read(h.folio), 0);
		__atomic_store_n(&h.round, round, __ATOMIC_RELEASE);
		wait_change(&h.ready, round - 1);
		complete_half(&h, 0);
		wait_change(&h.done, round - 1);
		ck_assert_uint_eq(h.nr_last, 1);
		ck_assert(is_uptodate(h.folio));
		ck_assert(iomap_folio_is_partially_uptodate(h.folio, 0, 2 * HALF));
		/* Forget it all for the next round. */
		iomapi_and(&h.folio->flags, ~(uint32_t)IOMAP_FOLIO_UPTODATE);
		h.folio->state = NULL;
	}
	__atomic_store_n(&h.round, STOP, __ATOMIC_RELEASE);
	t_join_within(thread, 10);
	iomapi_and(&h.folio->flags, ~IOMAPI_FOLIO_READING);
	stop(&c, h.folio);
}

/* ---- freeing ---- */

CASE(state_stays_while_bytes_are_pending, "I24",
     "Neither a pending read nor a pending write loses its state")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	iomapi_folio_start_read(folio);
	iomapi_folio_read_queued(c.t.env, folio, 0);
	iomapi_folio_sub_read_pending(folio, 0, SIZE - BLOCK, 0);
	ck_assert(!iomap_folio_release(folio));
	ck_assert_ptr_nonnull(folio->state);
	ck_assert(iomapi_folio_sub_read_pending(folio, SIZE - BLOCK, BLOCK, 0));
	ck_assert(is_uptodate(folio));
	iomap_folio_unlock(folio);
	iomap_folio_lock(folio);

	iomap_folio_mark_dirty(folio, BLOCK, BLOCK);
	cf_start(folio);
	ck_assert(!is_dirty(folio));
	ck_assert(!iomap_folio_release(folio));
	ck_assert(!iomapi_folio_sub_write_pending(folio, SIZE - 1, 0));
	ck_assert(!iomap_folio_release(folio));
	ck_assert_ptr_nonnull(folio->state);
	ck_assert(iomapi_folio_sub_write_pending(folio, 1, 0));
	iomapi_folio_end_writeback(folio);
	ck_assert(iomap_folio_release(folio));
	ck_assert_ptr_null(folio->state);
	stop(&c, folio);
}

CASE(release_of_dirty_is_refused, "I25",
     "A dirty folio keeps its state; invalidating all of it cancels dirty")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	iomapi_folio_set_uptodate(folio, 0, SIZE);
	iomap_folio_mark_dirty(folio, 3 * BLOCK, BLOCK);
	ck_assert(!iomap_folio_release(folio));
	ck_assert(is_dirty(folio));
	ck_assert_uint_eq(dirty_blocks(folio), 0x8);

	iomap_folio_invalidate(folio, 0, SIZE);
	ck_assert(!is_dirty(folio));
	ck_assert_uint_eq(dirty_blocks(folio), 0);
	ck_assert_ptr_null(folio->state);
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	ck_assert_uint_eq(cf_stats(&c).dirty, 0);
	ck_assert(iomap_folio_release(folio));
	stop(&c, folio);
}

CASE(partial_invalidation_changes_nothing, "I26", "Invalidating a part clears no bit of any block")
{
	struct cf c;
	struct iomap_folio *folio = start(&c);

	iomapi_folio_set_uptodate(folio, 0, 10 * BLOCK);
	iomap_folio_mark_dirty(folio, 3 * BLOCK, 5 * BLOCK);
	iomap_folio_invalidate(folio, 2 * BLOCK, SIZE - 2 * BLOCK);
	iomap_folio_invalidate(folio, 0, SIZE - 1);
	iomap_folio_invalidate(folio, 4 * BLOCK, BLOCK);
	ck_assert_uint_eq(dirty_blocks(folio), 0xf8);
	ck_assert_uint_eq(uptodate_blocks(folio), 0x3ff);
	ck_assert(is_dirty(folio));
	stop(&c, folio);
}
MAIN()
