/* SPDX-License-Identifier: MIT */
/*
 * test_fault_transfer.c - commands that succeed in an unusual way, or end without a word: short,
 * refused, heard of late or never.
 */
#include "sim/fault.h"

#define SEEDS	100u
#define NR	8u		/* pages of a command */
#define SHORT	3u		/* of which the first go has so many */

struct two {
	struct t_bio write, read;
	char letters[NR];	/* that the read brought */
};

/* A write of 'b' over 'a' and a read of the same pages, at once: a hazard, and meant to be one. */
static void write_and_read(struct world *w, struct two *t, unsigned flags)
{
	uint8_t *from = t_buffer(NR * PAGE, 0), *to = t_buffer(NR * PAGE, 0);

	memset(from, 'b', NR * PAGE);
	t_bio_init(&t->write, w->bdev, IOMAP_BIO_WRITE, 0, from, NR * PAGE);
	t->write.bio.flags = (uint16_t)flags;
	t_bio_init(&t->read, w->bdev, IOMAP_BIO_READ, 0, to, NR * PAGE);
	iomap_bio_submit(&t->write.bio);
	iomap_bio_submit(&t->read.bio);
	ck_assert_int_eq(iomap_ioq_drain(w->ioq, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(t->write.nr_ends, 1);
	ck_assert_uint_eq(t->read.nr_ends, 1);
	ck_assert_int_eq(t->write.status, 0);
	ck_assert_int_eq(t->read.status, 0);
	for (unsigned i = 0; i < NR; i++)
		t->letters[i] = (char)to[i * PAGE];
}

/* How many pages are the first letter's before the second's begin; each page is one of the two. */
static unsigned edge(const char *letters, char first, char second)
{
	unsigned nr = 0;

	while (nr < NR && letters[nr] == first)
		nr++;
	for (unsigned i = nr; i < NR; i++)
		ck_assert_int_eq(letters[i], second);
	return nr;
}

CASE(a_short_write_goes_on, "", "Commands may come in between; all of it is written, and durable")
{
	struct seen seen = { 0 };	/* old: reads of the whole; new: reads in between */

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		unsigned flags = seed % 2 ? IOMAP_BIO_FUA : 0;
		struct two t;
		struct world w;
		unsigned nr;

		start(&w, seed % 3 ? "consumer" : "cruel", seed, NR);
		arm(&w, seed % 3 ? "at write kind=short_write units=3"
				 : "at write kind=short_write units=24");	/* of 512 bytes */
		write_and_read(&w, &t, flags);
		check_counter(&w, "short_write", 1, 1);
		nr = t.letters[0] == 'a' ? 0 : edge(t.letters, 'b', 'a');
		ck_assert(nr == 0 || nr == SHORT || nr == NR);
		seen.old += nr != SHORT;
		seen.new += nr == SHORT;
		if (!flags)
			ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		for (unsigned i = 0; i < NR; i++)
			ck_assert_int_eq(world_letter(&w, i), 'b');
		world_delete(&w);
	}
	ck_assert_both(seen);
}

CASE(a_short_write_is_cut, "", "Power goes between its two parts: each page old or new")
{
	struct seen first = { 0 }, second = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "plp", seed, NR);
		arm(&w, "at write kind=short_write units=3");
		ck_assert_int_eq(iomap_sim_cut_at(w.sim, 3), 0);	/* accepted, the first */
		ck_assert_int_eq(world_write(&w, 0, NR, 'b', 0), -ENODEV);
		world_power_cycle(&w);
		for (unsigned i = 0; i < NR; i++)
			see(i < SHORT ? &first : &second, world_letter(&w, i), 'a', 'b');
		world_delete(&w);
	}
	ck_assert_both(first);
	ck_assert_both(second);
}

CASE(a_short_read_goes_on, "", "Its last pages may be newer than its first, never the other way")
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct two t;
		struct world w;
		unsigned nr;

		start(&w, "consumer", seed, NR);
		arm(&w, "at read kind=short_read units=3");
		write_and_read(&w, &t, 0);
		check_counter(&w, "short_read", 1, 1);
		nr = edge(t.letters, 'a', 'b');
		ck_assert(nr == 0 || nr == SHORT || nr == NR);
		seen.old += nr != SHORT;
		seen.new += nr == SHORT;
		world_delete(&w);
	}
	ck_assert_both(seen);
}

CASE(segments_of_a_short_read, "", "The second part lands where the first one stopped")
{
	uint8_t *mem = t_buffer(4 * PAGE, 0);
	struct t_bio read;
	struct world w;

	start(&w, "sata512e", 1, 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(world_write(&w, i, 1, (char)('k' + i), 0), 0);
	arm(&w, "at read kind=short_read units=9");
	t_bio_init(&read, w.bdev, IOMAP_BIO_READ, 0, mem, 100);
	ck_assert_int_eq(iomap_bio_add(&read.bio, mem + 100, PAGE + 700, NULL), 0);
	ck_assert_int_eq(iomap_bio_add(&read.bio, mem + PAGE + 800, 3 * PAGE - 800, NULL), 0);
	iomap_bio_submit(&read.bio);
	ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
	ck_assert_int_eq(read.status, 0);
	for (unsigned i = 0; i < 4 * PAGE; i++)
		ck_assert_int_eq(mem[i], 'k' + i / PAGE);
	check_counter(&w, "short_read", 1, 1);
	world_delete(&w);
}

CASE(nothing_at_first, "", "A command of which nothing is done comes again, and is not told")
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct two t;
		struct world w;

		start(&w, seed % 2 ? "plp" : "fifo", seed, NR);
		arm(&w, seed % 4 < 2 ? "at read kind=zero_length" : "at write kind=zero_length");
		write_and_read(&w, &t, 0);
		edge(t.letters, t.letters[0], t.letters[0]);
		check_counter(&w, "zero_length", 1, 1);
		for (unsigned i = 0; i < NR; i++)
			ck_assert_int_eq(world_letter(&w, i), 'b');
		world_delete(&w);
	}
}

CASE(what_cannot_tear_is_not_short, "", "An atomic write is done in one go, and so is a page")
{
	struct world w;

	start(&w, "atomic16k", 1, NR);
	arm(&w, "at write kind=short_write; at read kind=short_read");
	ck_assert_int_eq(world_write(&w, 4, 4, 'b', 0), 0);
	ck_assert_int_eq(world_letter(&w, 4), 'b');
	check_counter(&w, "short_write", 1, 0);
	check_counter(&w, "short_read", 1, 0);
	ck_assert_int_eq(world_write(&w, 3, 4, 'b', 0), 0);
	check_counter(&w, "short_write", 1, 1);
	world_delete(&w);
}

CASE(part_of_a_batch, "", "Of six at once the device takes two; the others come again, each once")
{
	struct t_bio bios[6];
	struct iomap_plug plug;
	struct world w;

	start(&w, "fifo", 1, 6);
	arm(&w, "at op=3 kind=partial_batch; at op=6 kind=eio_write");
	iomap_plug_start(&plug, w.env);
	for (unsigned i = 0; i < 6; i++) {
		t_bio_init(&bios[i], w.bdev, IOMAP_BIO_WRITE, i * PAGE, t_buffer(PAGE, 1), PAGE);
		memset(bios[i].segs[0].mem, 'b', PAGE);
		iomap_bio_submit(&bios[i].bio);
	}
	iomap_plug_end(&plug);
	ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert_uint_eq(bios[i].nr_ends, 1);
		ck_assert_int_eq(bios[i].status, i < 5 ? 0 : -EIO);
		if (i < 5)
			ck_assert_int_eq(world_letter(&w, i), 'b');
	}
	check_counter(&w, "partial_batch", 1, 1);
	world_delete(&w);
}

CASE(a_device_that_never_answers, "", "-ETIMEDOUT after 30 seconds; others go on; it is undecided")
{
	struct seen before = { 0 }, after = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct t_bio lost;
		struct world w;
		char letter;

		start(&w, seed % 2 ? "consumer" : "fifo", seed, 2);
		arm(&w, "at write kind=lost");
		t_bio_init(&lost, w.bdev, IOMAP_BIO_WRITE, 0, t_buffer(PAGE, 1), PAGE);
		memset(lost.segs[0].mem, 'b', PAGE);
		iomap_bio_submit(&lost.bio);
		ck_assert_int_eq(world_write(&w, 1, 1, 'c', 0), 0);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, 29000000000), -ETIMEDOUT);
		ck_assert_uint_eq(lost.nr_ends, 0);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert_uint_eq(lost.nr_ends, 1);
		ck_assert_int_eq(lost.status, -ETIMEDOUT);
		letter = world_letter(&w, 0);
		see(&before, letter, 'a', 'b');
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		see(&after, world_letter(&w, 0), 'a', 'b');
		ck_assert_int_eq(world_letter(&w, 1), 'c');
		check_counter(&w, "lost", 1, 1);
		world_delete(&w);
	}
	ck_assert_both(before);
	ck_assert_both(after);
}

CASE(a_lost_flush_covers_nothing, "",
     "Nor does a lost read bring anything; the next flush covers all")
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "consumer", seed, 2);
		arm(&w, "at flush kind=lost; at read kind=lost ns=5");
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		ck_assert_int_eq(world_flush(&w), -ETIMEDOUT);
		ck_assert_int_eq(read_page(&w, 0), -ETIMEDOUT);
		if (seed % 2)
			ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		if (seed % 2)
			ck_assert_int_eq(world_letter(&w, 0), 'b');
		else
			see(&seen, world_letter(&w, 0), 'a', 'b');
		check_counter(&w, "lost", 2, 2);
		world_delete(&w);
	}
	ck_assert_both(seen);
}

CASE(heard_of_out_of_order, "",
     "Told after those behind it; it takes effect in its turn")
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct t_bio bios[3];
		struct world w;
		bool gone = false;

		start(&w, "fifo", seed, 3);
		arm(&w, "at op=1 kind=reordered");
		for (unsigned i = 0; i < 3; i++) {
			t_bio_init(&bios[i], w.bdev, IOMAP_BIO_WRITE, i * PAGE, t_buffer(PAGE, 1),
				   PAGE);
			memset(bios[i].segs[0].mem, 'b', PAGE);
			iomap_bio_submit(&bios[i].bio);
		}
		ck_assert_int_eq(iomap_ioq_poll(w.ioq, 2, 2, IOMAP_FOREVER), 2);
		ck_assert_uint_eq(bios[0].nr_ends, 0);
		ck_assert_int_eq(bios[1].status | bios[2].status, 0);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		if (seed % 2) {
			ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
			ck_assert_int_eq(bios[0].status, 0);
		}
		ck_assert_int_eq(iomap_sim_cut_at(w.sim, 1), 0);
		ck_assert_int_eq(world_flush(&w), -ENODEV);
		world_power_cycle(&w);
		for (unsigned i = 0; i < 3; i++) {
			char letter = world_letter(&w, i);

			see(&seen, letter, 'a', 'b');
			ck_assert_msg(!gone || letter == 'a', "page %u without one before it", i);
			gone |= letter == 'a';
		}
		check_counter(&w, "reordered", 1, 1);
		world_delete(&w);
	}
	ck_assert_both(seen);
}

MAIN()
