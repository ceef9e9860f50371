/* SPDX-License-Identifier: MIT */
/*
 * test_flush.c - several flushes under way, of which one fails.
 *
 * What one of them dropped no other can cover: who says 0 has to have made it durable.
 */
#include "sim/fault.h"

#define SEEDS 100u

struct flushes {
	struct t_bio first, second;	/* as they were sent; the first one fails */
	bool late;			/* the second was heard of after it */
};

/* Page 0 is 'b', completed; then both at once. */
static void two_flushes(struct world *w, const char *preset, const char *kind, uint64_t seed,
			struct flushes *f)
{
	char script[64];

	snprintf(script, sizeof(script), "at flush kind=%s", kind);
	start(w, preset, seed, 2);
	arm(w, script);
	ck_assert_int_eq(world_write(w, 0, 1, 'b', 0), 0);
	t_bio_init(&f->first, w->bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	t_bio_init(&f->second, w->bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	iomap_bio_submit(&f->first.bio);
	iomap_bio_submit(&f->second.bio);
	ck_assert_int_eq(iomap_ioq_drain(w->ioq, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(f->first.nr_ends, 1);
	ck_assert_uint_eq(f->second.nr_ends, 1);
	ck_assert_int_eq(f->first.status, -EIO);
	check_counter(w, kind, 1, 1);
	check_observed(w, kind, 1);
	ck_assert_int_eq(world_letter(w, 0), 'b');
	f->late = f->second.order > f->first.order;
}

/* Nor does a third one, which has nothing to cover, bring it back. */
static void second_cannot_cover(const char *preset, struct seen *lost, unsigned *nr_early)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct flushes f;
		struct world w;

		two_flushes(&w, preset, "flush_error_drops", seed, &f);
		ck_assert_int_eq(f.second.status, f.late ? -EIO : 0);
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		if (f.second.status)
			see(lost, world_letter(&w, 0), 'a', 'b');
		else
			ck_assert_int_eq(world_letter(&w, 0), 'b');
		*nr_early += !f.late;
		world_delete(&w);
	}
}

CASE(a_dropped_write_is_covered_by_nobody, "O1",
     "The flush behind it fails as well; one that was earlier had made it durable")
{
	struct seen lost = { 0 }, on_fifo = { 0 }, on_queues = { 0 };
	unsigned nr_early = 0, none = 0;

	second_cannot_cover("consumer", &lost, &nr_early);
	ck_assert_both(lost);
	ck_assert_uint_gt(nr_early, 0);
	ck_assert_uint_lt(nr_early, SEEDS);
	second_cannot_cover("fifo", &on_fifo, &none);
	ck_assert_both(on_fifo);
	second_cannot_cover("multiqueue", &on_queues, &none);
	ck_assert_both(on_queues);
	ck_assert_uint_eq(none, 0);
}

CASE(a_flush_that_only_fails_drops_nothing, "O1", "The other one says 0, and has covered all")
{
	static const char *const presets[] = { "consumer", "fifo", "multiqueue", "atomic16k" };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct flushes f;
		struct world w;

		two_flushes(&w, presets[seed % 4], "flush_error", seed, &f);
		ck_assert_int_eq(f.second.status, 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		world_delete(&w);
	}
}

CASE(written_again_it_is_covered, "O1", "A rewrite between the two that fail and the third is kept")
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct flushes f;
		struct world w;

		two_flushes(&w, seed % 2 ? "consumer" : "fifo", "flush_error_drops", seed, &f);
		ck_assert_int_eq(world_write(&w, 0, 1, 'c', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 0), 'c');
		world_delete(&w);
	}
}

CASE(what_it_did_not_cover_is_not_dropped, "O1",
     "A write in flight when the flush was sent is covered by the next one")
{
	struct seen dropped = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct t_bio flush, write;
		struct world w;

		start(&w, "consumer", seed, 2);
		arm(&w, "at flush kind=flush_error_drops");
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		t_bio_init(&flush, w.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
		iomap_bio_submit(&flush.bio);
		world_send(&write, w.bdev, 1, 1, 'c', 0);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert_int_eq(flush.status, -EIO);
		ck_assert_int_eq(write.status, 0);
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		see(&dropped, world_letter(&w, 0), 'a', 'b');
		ck_assert_int_eq(world_letter(&w, 1), 'c');
		world_delete(&w);
	}
	ck_assert_both(dropped);
}

MAIN()
