/* SPDX-License-Identifier: MIT */
/*
 * test_power.c - what survives a power cut, and what must.
 *
 * Each story runs with many seeds.  What must survive does so with every one; what may be lost is
 * lost with some and kept with others, or the simulator would be milder than a disk.
 */
#include "sim/world.h"

#define SEEDS 200u

struct seen { unsigned old, new, torn; };

static void see(struct seen *seen, char letter, char old, char new)
{
	if (letter == old)
		seen->old++;
	else if (letter == new)
		seen->new++;
	else if (!letter)
		seen->torn++;
	else
		ck_abort_msg("'%c' was never written", letter);
}

CASE(without_a_cache_it_is_durable, "O1", "What completed survives on a device without a cache")
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		world_new(&w, "plp", seed);
		ck_assert_int_eq(world_write(&w, 3, 8, 'a', 0), 0);
		world_cut_now(&w);
		for (unsigned i = 3; i < 11; i++)
			ck_assert_int_eq(world_letter(&w, i), 'a');
		world_delete(&w);
	}
}

CASE(a_cache_forgets, "", "What completed and was not flushed is kept or lost, page by page")
{
	struct seen seen = { 0 };
	unsigned mixed = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		char first, second;
		struct world w;

		world_new(&w, "consumer", seed);
		ck_assert_int_eq(world_write(&w, 0, 2, 'a', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		ck_assert_int_eq(world_write(&w, 0, 2, 'b', 0), 0);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		world_cut_now(&w);
		first = world_letter(&w, 0);
		second = world_letter(&w, 1);
		see(&seen, first, 'a', 'b');
		see(&seen, second, 'a', 'b');
		mixed += first != second;
		world_delete(&w);
	}
	ck_assert_uint_eq(seen.torn, 0);
	ck_assert_uint_gt(seen.old, 0);
	ck_assert_uint_gt(seen.new, 0);
	ck_assert_uint_gt(mixed, 0);
}

CASE(a_flush_is_kept, "O1", "What completed before a flush was submitted survives it, newest first")
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct seen seen = { 0 };
		struct world w;

		world_new(&w, seed % 2 ? "consumer" : "cruel", seed);
		ck_assert_int_eq(world_write(&w, 8, 1, 'a', 0), 0);
		ck_assert_int_eq(world_write(&w, 8, 1, 'b', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		ck_assert_int_eq(world_write(&w, 8, 1, 'c', 0), 0);
		world_cut_now(&w);
		see(&seen, world_letter(&w, 8), 'b', 'c');
		ck_assert(seed % 2 ? !seen.torn : true);
		world_delete(&w);
	}
}

CASE(fua_covers_itself, "O7 R5", "A FUA write survives; one before it that completed may be lost")
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		world_new(&w, "consumer", seed);
		ck_assert_int_eq(world_write(&w, 0, 2, 'a', IOMAP_BIO_FUA), 0);
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		ck_assert_int_eq(world_write(&w, 1, 1, 'b', IOMAP_BIO_FUA), 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 1), 'b');
		see(&seen, world_letter(&w, 0), 'a', 'b');
		world_delete(&w);
	}
	ck_assert_uint_gt(seen.old, 0);
	ck_assert_uint_gt(seen.new, 0);
}

CASE(fua_on_every_preset, "O7", "Native, emulated by the device or by the library: it survives")
{
	static const char *const presets[] = {
		"plp", "consumer", "atomic16k", "sata512e", "multiqueue", "cruel", "fifo",
	};

	for (unsigned p = 0; p < 7; p++)
		for (uint64_t seed = 0; seed < 20; seed++) {
			struct world w;

			world_new(&w, presets[p], seed);
			ck_assert_int_eq(world_write(&w, 5, 3, 'a', 0), 0);
			ck_assert_int_eq(world_write(&w, 5, 3, 'f', IOMAP_BIO_FUA), 0);
			world_cut_now(&w);
			for (unsigned i = 5; i < 8; i++)
				ck_assert_int_eq(world_letter(&w, i), 'f');
			world_delete(&w);
		}
}

/* A write that is on its way when power goes, at each event of it. */
static void cut_in_flight(const char *preset, unsigned nr, unsigned seeds, struct seen *whole,
			  struct seen *pages)
{
	for (uint64_t seed = 0; seed < seeds; seed++) {
		struct world w;
		unsigned old = 0, new = 0;
		int rc;

		world_new(&w, preset, seed);
		ck_assert_int_eq(world_write(&w, 4, nr, 'a', IOMAP_BIO_FUA), 0);
		ck_assert_int_eq(iomap_sim_cut_at(w.sim, 2 + seed % 3), 0);
		rc = world_write(&w, 4, nr, 'b', 0);
		ck_assert_int_eq(rc, -ENODEV);
		world_power_cycle(&w);
		for (unsigned i = 4; i < 4 + nr; i++) {
			char letter = world_letter(&w, i);

			old += letter == 'a';
			new += letter == 'b';
			see(pages, letter, 'a', 'b');
		}
		whole->old += old == nr;
		whole->new += new == nr;
		whole->torn += old != nr && new != nr;
		world_delete(&w);
	}
}

CASE(what_is_in_flight_tears, "", "There, not there, or torn between blocks; never inside one")
{
	struct seen whole = { 0 }, pages = { 0 };

	cut_in_flight("consumer", 4, SEEDS, &whole, &pages);
	ck_assert_uint_eq(pages.torn, 0);
	ck_assert_uint_gt(whole.old, 0);
	ck_assert_uint_gt(whole.new, 0);
	ck_assert_uint_gt(whole.torn, 0);
}

CASE(an_atomic_unit_does_not_tear, "O6", "Within the atomic unit it is all there or not at all")
{
	struct seen whole = { 0 }, pages = { 0 };

	cut_in_flight("atomic16k", 4, SEEDS, &whole, &pages);
	ck_assert_uint_eq(whole.torn, 0);
	ck_assert_uint_gt(whole.old, 0);
	ck_assert_uint_gt(whole.new, 0);
}

CASE(small_blocks_tear_pages, "", "A page of eight blocks may be half old and half new")
{
	struct seen whole = { 0 }, pages = { 0 };

	cut_in_flight("sata512e", 1, SEEDS, &whole, &pages);
	ck_assert_uint_gt(pages.torn, 0);
}

/* A flush that was submitted while a write was in flight, and completed after it. */
CASE(a_flush_misses_what_is_in_flight, "O1",
     "It covers what had completed when it was submitted, and not what completed meanwhile")
{
	struct seen seen = { 0 }, meanwhile = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct t_bio write, flush;
		uint8_t *mem = t_buffer(PAGE, 0);
		struct world w;

		world_new(&w, "consumer", seed);
		ck_assert_int_eq(world_write(&w, 0, 1, 'a', IOMAP_BIO_FUA), 0);
		memset(mem, 'b', PAGE);
		t_bio_init(&write, w.bdev, IOMAP_BIO_WRITE, 0, mem, PAGE);
		t_bio_init(&flush, w.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
		iomap_bio_submit(&write.bio);
		iomap_bio_submit(&flush.bio);
		ck_assert_int_eq(iomap_ioq_poll(w.ioq, 2, 2, IOMAP_FOREVER), 2);
		ck_assert_int_eq(write.status | flush.status, 0);
		world_cut_now(&w);
		see(write.order < flush.order ? &meanwhile : &seen, world_letter(&w, 0), 'a', 'b');
		world_delete(&w);
	}
	ck_assert_uint_gt(seen.old, 0);
	ck_assert_uint_gt(seen.new, 0);
	ck_assert_uint_gt(meanwhile.old, 0);
	ck_assert_uint_gt(meanwhile.new, 0);
}

CASE(fifo_keeps_prefixes, "", "On an ordered device nothing survives without all before it")
{
	unsigned lengths[9] = { 0 };

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		unsigned nr = 0;
		struct world w;

		world_new(&w, "fifo", seed);
		ck_assert_int_eq(world_write(&w, 0, 8, 'a', IOMAP_BIO_FUA), 0);
		for (unsigned i = 0; i < 8; i++)
			ck_assert_int_eq(world_write(&w, i, 1, 'b', 0), 0);
		world_cut_now(&w);
		for (unsigned i = 0; i < 8; i++) {
			bool new = world_letter(&w, i) == 'b';

			ck_assert_msg(!new || nr == i, "page %u without page %u", i, nr);
			nr += new;
		}
		lengths[nr]++;
		world_delete(&w);
	}
	for (unsigned i = 0; i <= 8; i++)
		ck_assert_uint_gt(lengths[i], 0);
}

/* The pages that a run of overwrites may leave, by the table, without the simulator's own code. */
CASE(every_legal_image_and_no_other, "O1",
     "Three writes of one page, a flush after the first: each later version, nothing older")
{
	unsigned found[4] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		world_new(&w, "consumer", seed);
		ck_assert_int_eq(world_write(&w, 9, 1, '0', 0), 0);
		ck_assert_int_eq(world_write(&w, 9, 1, '1', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		ck_assert_int_eq(world_write(&w, 9, 1, '2', 0), 0);
		ck_assert_int_eq(world_write(&w, 9, 1, '3', 0), 0);
		world_cut_now(&w);
		found[(world_letter(&w, 9) - '0') & 3]++;
		world_delete(&w);
	}
	ck_assert_uint_eq(found[0], 0);
	for (unsigned i = 1; i < 4; i++)
		ck_assert_uint_gt(found[i], 0);
}

CASE(each_bio_ends_once, "O20", "Power goes at every event of a run: no bio is lost or told twice")
{
	unsigned cut = 1, failed;

	do {
		struct t_bio bios[12];
		uint8_t *mem = t_buffer(PAGE, 'x');
		struct world w;

		world_new(&w, "cruel", 5);
		ck_assert_int_eq(iomap_sim_cut_at(w.sim, cut++), 0);
		for (unsigned i = 0; i < 12; i++) {
			enum iomap_bio_op op = i % 4 == 3 ? IOMAP_BIO_FLUSH : IOMAP_BIO_WRITE;

			t_bio_init(&bios[i], w.bdev, op, op == IOMAP_BIO_WRITE ? i * PAGE : 0,
				   op == IOMAP_BIO_WRITE ? mem : NULL,
				   op == IOMAP_BIO_WRITE ? PAGE : 0);
			iomap_bio_submit(&bios[i].bio);
		}
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		failed = 0;
		for (unsigned i = 0; i < 12; i++) {
			ck_assert_uint_eq(bios[i].nr_ends, 1);
			ck_assert(!bios[i].status || bios[i].status == -ENODEV);
			failed += bios[i].status != 0;
		}
		ck_assert(iomap_sim_is_off(w.sim) == (failed != 0));
		if (failed)
			world_power_cycle(&w);
		world_delete(&w);
	} while (failed);
	ck_assert_uint_eq(cut - 2, 12 * 4);	/* each command has four events */
}

CASE(power_has_its_order, "", "No cut at 0, none while it is off, no power-on without a cut")
{
	struct t_bio a, b;
	struct world w;

	world_new(&w, "consumer", 1);
	ck_assert_int_eq(iomap_sim_cut_at(w.sim, 0), -EINVAL);
	ck_assert_int_eq(iomap_sim_power_on(w.sim), -EINVAL);
	ck_assert_int_eq(iomap_sim_cut_at(w.sim, 1000), 0);	/* the run ends before */
	ck_assert_int_eq(world_write(&w, 0, 1, 'a', 0), 0);
	ck_assert_int_eq(iomap_sim_power_on(w.sim), -EINVAL);
	ck_assert_int_eq(iomap_sim_cut_at(w.sim, 2), 0);
	t_bio_init(&a, w.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	iomap_bio_submit(&a.bio);
	t_bio_init(&b, w.bdev, IOMAP_BIO_READ, 0, t_buffer(PAGE, 0), PAGE);
	iomap_bio_submit(&b.bio);
	ck_assert(iomap_sim_is_off(w.sim));
	ck_assert_int_eq(iomap_sim_cut_at(w.sim, 1), -EINVAL);
	ck_assert_int_eq(iomap_sim_power_on(w.sim), -EBUSY);	/* the host has not heard of it */
	world_power_cycle(&w);
	world_delete(&w);
}

MAIN()
