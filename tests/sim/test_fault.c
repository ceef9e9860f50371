/* SPDX-License-Identifier: MIT */
/*
 * test_fault.c - faults by script: what the host hears, what reads see, what a power cut leaves.
 *
 * Where a fault leaves something open, each way is seen with some seed, and no other with any.
 */
#include "sim/fault.h"

#define SEEDS 100u

CASE(a_read_fails_once, "", "-EIO for the second read of a page, and only for that one")
{
	struct world w;

	start(&w, "consumer", 1, 4);
	arm(&w, "at read addr=4096..8191 nth=2 kind=eio_read");
	ck_assert_int_eq(read_page(&w, 1), 0);
	ck_assert_int_eq(read_page(&w, 0), 0);
	check_counter(&w, "eio_read", 1, 0);
	ck_assert_int_eq(read_page(&w, 1), -EIO);
	check_counter(&w, "eio_read", 1, 1);
	ck_assert_int_eq(world_letter(&w, 1), 'a');
	check_counter(&w, "eio_read", 1, 1);
	world_delete(&w);
}

CASE(unreadable_until_written, "", "Blocks stay so, over a power cut too, until each is written")
{
	struct world w;

	start(&w, "sata512e", 1, 4);
	arm(&w, "at read addr=4608..8703 kind=eio_read_until_written");
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, 0, t_buffer(4 * PAGE, 0), 4 * PAGE, 0), -EIO);
	ck_assert_int_eq(read_page(&w, 0), 0);
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, PAGE, t_buffer(512, 0), 512, 0), 0);
	ck_assert_int_eq(read_page(&w, 1), -EIO);
	ck_assert_int_eq(read_page(&w, 2), -EIO);
	ck_assert_int_eq(read_page(&w, 3), 0);
	check_counter(&w, "eio_read_until_written", 1, 3);
	world_cut_now(&w);
	ck_assert_int_eq(read_page(&w, 1), -EIO);
	ck_assert_int_eq(world_write(&w, 1, 1, 'b', 0), 0);
	ck_assert_int_eq(world_letter(&w, 1), 'b');
	ck_assert_int_eq(read_page(&w, 2), -EIO);
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE_ZEROES, 2 * PAGE, NULL, 512, 0), 0);
	ck_assert_int_eq(read_page(&w, 2), 0);
	world_delete(&w);
}

CASE(a_write_that_fails_does_not_mend, "", "What cannot be read needs a write that succeeds")
{
	struct world w;

	start(&w, "consumer", 1, 4);
	arm(&w, "at read kind=eio_read_until_written; at write kind=landed");
	ck_assert_int_eq(read_page(&w, 1), -EIO);
	ck_assert_int_eq(world_write(&w, 1, 1, 'b', 0), -EIO);
	ck_assert_int_eq(read_page(&w, 1), -EIO);
	ck_assert_int_eq(world_write(&w, 1, 1, 'b', 0), 0);
	ck_assert_int_eq(world_letter(&w, 1), 'b');
	world_delete(&w);
}

/* A write of two pages that fails: what is read, then what is there after a flush and a cut. */
static void fail_write(const char *preset, const char *kind, int status)
{
	struct seen before = { 0 }, after = { 0 }, first = { 0 };
	unsigned mixed = 0, changed = 0;
	char script[64];

	snprintf(script, sizeof(script), "at write kind=%s", kind);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		char letters[2];
		struct world w;

		start(&w, preset, seed, 4);
		arm(&w, script);
		ck_assert_int_eq(world_write(&w, 0, 2, 'b', 0), status);
		check_counter(&w, kind, 1, 1);
		arm(&w, NULL);
		for (unsigned i = 0; i < 2; i++) {
			letters[i] = world_letter(&w, i);
			see(&before, letters[i], 'a', 'b');
			ck_assert_int_eq(world_letter(&w, i), letters[i]);
		}
		see(&first, letters[0], 'a', 'b');
		mixed += letters[0] != letters[1];
		ck_assert_int_eq(world_write(&w, 2, 1, 'c', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		for (unsigned i = 0; i < 2; i++) {
			see(&after, world_letter(&w, i), 'a', 'b');
			changed += world_letter(&w, i) != letters[i];
		}
		ck_assert_int_eq(world_letter(&w, 2), 'c');
		world_delete(&w);
	}
	ck_assert_both(after);
	ck_assert_uint_gt(changed, 0);
	if (!strcmp(kind, "landed")) {
		ck_assert_uint_eq(before.old, 0);
	} else if (!strcmp(kind, "torn")) {	/* the first of two */
		ck_assert_uint_eq(first.old, 0);
		ck_assert_uint_eq(mixed, SEEDS);
	} else {
		ck_assert_both(before);
		ck_assert_uint_gt(mixed, 0);
	}
}

CASE(a_failed_write_is_undecided, "",
     "Each page old or new; reads agree until a power cut, no flush decides it, the cut may again")
{
	fail_write("consumer", "eio_write", -EIO);
	fail_write("plp", "eio_write", -EIO);
	fail_write("fifo", "eio_write", -EIO);
	fail_write("multiqueue", "eio_write_persistent", -EIO);
}

CASE(no_space_is_no_eio, "", "-ENOSPC, and the pages are undecided as well")
{
	fail_write("consumer", "enospc", -ENOSPC);
}

CASE(it_failed_but_landed, "", "-EIO, and reads see all of it; a power cut may take it away")
{
	fail_write("consumer", "landed", -EIO);
	fail_write("plp", "landed", -EIO);
}

CASE(it_failed_and_tore, "", "-EIO, and reads see the first page of two; the cut decides again")
{
	fail_write("consumer", "torn", -EIO);
}

CASE(a_tear_where_the_script_says, "", "Three units of eight; an atomic write is not meant")
{
	struct world w;

	start(&w, "consumer", 3, 8);
	arm(&w, "at write addr=4096..8191 nth=2 kind=torn units=3");
	ck_assert_int_eq(world_write(&w, 0, 8, 'b', 0), 0);
	ck_assert_int_eq(world_write(&w, 1, 1, 'b', 0), 0);
	ck_assert_int_eq(world_write(&w, 0, 3, 'b', 0), 0);
	ck_assert_int_eq(world_write(&w, 0, 8, 'c', 0), -EIO);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(world_letter(&w, i), i < 3 ? 'c' : 'b');
	check_counter(&w, "torn", 1, 1);
	world_delete(&w);

	start(&w, "atomic16k", 3, 8);
	arm(&w, "at write kind=torn");
	ck_assert_int_eq(world_write(&w, 0, 4, 'b', 0), 0);
	check_counter(&w, "torn", 1, 0);
	ck_assert_int_eq(world_write(&w, 2, 4, 'c', 0), -EIO);
	world_delete(&w);
}

CASE(an_atomic_write_fails_whole, "O6", "Four pages of one atomic unit are all old or all new")
{
	struct seen before = { 0 }, after = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;
		char letter;

		start(&w, "atomic16k", seed, 4);
		arm(&w, "at write kind=eio_write");
		ck_assert_int_eq(world_write(&w, 0, 4, 'b', 0), -EIO);
		letter = world_letter(&w, 0);
		see(&before, letter, 'a', 'b');
		for (unsigned i = 1; i < 4; i++)
			ck_assert_int_eq(world_letter(&w, i), letter);
		world_cut_now(&w);
		letter = world_letter(&w, 0);
		see(&after, letter, 'a', 'b');
		for (unsigned i = 1; i < 4; i++)
			ck_assert_int_eq(world_letter(&w, i), letter);
		world_delete(&w);
	}
	ck_assert_both(before);
	ck_assert_both(after);
}

CASE(a_retry_decides, "", "Written again and flushed, a failed page cannot come back")
{
	static const char *const presets[] = { "plp", "consumer", "cruel", "fifo" };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, presets[seed % 4], seed, 2);
		arm(&w, "at write kind=eio_write; at write nth=2 kind=torn units=1");
		ck_assert_int_eq(world_write(&w, 0, 2, 'b', 0), -EIO);
		ck_assert_int_eq(world_write(&w, 0, 2, 'c', 0), -EIO);
		ck_assert_int_eq(world_write(&w, 0, 2, 'd', 0), 0);
		ck_assert_int_eq(world_letter(&w, 0), 'd');
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 0), 'd');
		ck_assert_int_eq(world_letter(&w, 1), 'd');
		world_delete(&w);
	}
}

CASE(writes_fail_until_disarmed, "", "Each write of those bytes from the second on, and no other")
{
	struct world w;

	start(&w, "consumer", 1, 4);
	arm(&w, "at write addr=0 nth=2 kind=eio_write_persistent dev=disk");
	ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(world_write(&w, 0, 1, 'c', 0), -EIO);
	ck_assert_int_eq(world_write(&w, 1, 1, 'c', 0), 0);
	check_counter(&w, "eio_write_persistent", 1, 3);
	arm(&w, NULL);
	ck_assert_int_eq(world_write(&w, 0, 1, 'd', 0), 0);
	ck_assert_int_eq(world_letter(&w, 0), 'd');
	check_counter(&w, "eio_write_persistent", 1, 3);
	world_delete(&w);
}

/* A write, a flush that fails, perhaps a rewrite; a flush that succeeds, and a cut. */
static void fail_flush(const char *preset, const char *kind, bool rewrite, struct seen *seen)
{
	char script[64];

	snprintf(script, sizeof(script), "at flush nth=1 kind=%s dev=disk", kind);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, preset, seed, 2);
		arm(&w, script);
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		ck_assert_int_eq(world_flush(&w), -EIO);
		check_counter(&w, kind, 1, 1);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		if (rewrite)
			ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		ck_assert_int_eq(world_write(&w, 1, 1, 'c', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		world_cut_now(&w);
		see(seen, world_letter(&w, 0), 'a', 'b');
		ck_assert_int_eq(world_letter(&w, 1), 'c');
		world_delete(&w);
	}
}

CASE(a_flush_fails, "", "-EIO; the next one covers what it should have")
{
	struct seen seen = { 0 };

	fail_flush("consumer", "flush_error", false, &seen);
	ck_assert_uint_eq(seen.old, 0);
}

CASE(a_failed_flush_promises_nothing, "", "What it should have covered is kept or lost")
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "consumer", seed, 1);
		arm(&w, "at flush kind=flush_error");
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		ck_assert_int_eq(world_flush(&w), -EIO);
		world_cut_now(&w);
		see(&seen, world_letter(&w, 0), 'a', 'b');
		world_delete(&w);
	}
	ck_assert_both(seen);
}

CASE(a_flush_drops_the_cache, "",
     "Reads still see it, a later flush succeeds, and it may be lost; written again it is kept")
{
	static const char *const presets[] = { "consumer", "atomic16k", "multiqueue", "fifo" };

	for (unsigned i = 0; i < 4; i++) {
		struct seen lost = { 0 }, kept = { 0 };

		fail_flush(presets[i], "flush_error_drops", false, &lost);
		ck_assert_both(lost);
		fail_flush(presets[i], "flush_error_drops", true, &kept);
		ck_assert_uint_eq(kept.old, 0);
	}
}

CASE(busy_is_not_an_error, "", "The queue refuses once; the command comes again, and counts once")
{
	struct world w;

	start(&w, "consumer", 1, 1);
	arm(&w, "at op=2 kind=busy; at op=3 kind=eio_write; at write nth=1 kind=busy");
	ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
	check_counter(&w, "busy", 2, 1);
	ck_assert_int_eq(world_write(&w, 1, 1, 'c', 0), 0);
	check_counter(&w, "busy", 2, 2);
	ck_assert_int_eq(world_write(&w, 2, 1, 'd', 0), -EIO);
	ck_assert_int_eq(world_letter(&w, 0), 'b');
	ck_assert_int_eq(world_letter(&w, 1), 'c');
	world_delete(&w);
}

CASE(a_late_completion_comes, "", "Nothing for 30 seconds, then success; the effect may be early")
{
	struct seen effect = { 0 };	/* old: the write had none before the time-out */

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct t_bio write;
		struct world w;

		start(&w, "consumer", seed, 1);
		arm(&w, "at write kind=timeout");
		t_bio_init(&write, w.bdev, IOMAP_BIO_WRITE, 0, t_buffer(PAGE, 0), PAGE);
		memset(write.segs[0].mem, 'b', PAGE);
		iomap_bio_submit(&write.bio);
		ck_assert_int_eq(iomap_ioq_poll(w.ioq, 1, 1, 29000000000), 0);
		ck_assert_uint_eq(write.nr_ends, 0);
		see(&effect, world_letter(&w, 0), 'a', 'b');
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert_uint_eq(write.nr_ends, 1);
		ck_assert_int_eq(write.status, 0);
		ck_assert_int_gt(iomap_sim_now_ns(w.sim), 30000000000);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		check_counter(&w, "timeout", 1, 1);
		world_delete(&w);
	}
	ck_assert_both(effect);
}

CASE(a_slow_command, "", "ns= later than usual; overtaken, unless the device keeps an order")
{
	static const char *const presets[] = { "consumer", "fifo" };

	for (unsigned p = 0; p < 2; p++) {
		struct t_bio slow, next;
		uint8_t *mem = t_buffer(PAGE, 1);
		struct world w;
		int64_t before;

		start(&w, presets[p], 1, 1);
		arm(&w, "at op=1 kind=slow ns=5000000");
		before = iomap_sim_now_ns(w.sim);
		t_bio_init(&slow, w.bdev, IOMAP_BIO_WRITE, 0, mem, PAGE);
		t_bio_init(&next, w.bdev, IOMAP_BIO_WRITE, PAGE, mem, PAGE);
		iomap_bio_submit(&slow.bio);
		iomap_bio_submit(&next.bio);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert((slow.order < next.order) == (p == 1));
		ck_assert_int_gt(iomap_sim_now_ns(w.sim), before + 5000000);
		ck_assert_int_lt(iomap_sim_now_ns(w.sim), before + 6000000);
		check_counter(&w, "slow", 1, 1);
		world_delete(&w);
	}
}

CASE(a_device_goes, "", "-ENODEV for what is on its way and all after it; back after power-on")
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct t_bio bios[4];
		uint8_t *mem = t_buffer(PAGE, 0);
		struct iomap_bdev *again;
		struct world w;

		memset(mem, 'b', PAGE);
		start(&w, "consumer", seed, 4);
		arm(&w, "at op=4 kind=removed");
		for (unsigned i = 0; i < 4; i++) {
			t_bio_init(&bios[i], w.bdev, IOMAP_BIO_WRITE, i * PAGE, mem, PAGE);
			iomap_bio_submit(&bios[i].bio);
		}
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		for (unsigned i = 0; i < 4; i++) {
			ck_assert_uint_eq(bios[i].nr_ends, 1);
			ck_assert_int_eq(bios[i].status, -ENODEV);
		}
		ck_assert_int_eq(read_page(&w, 0), -ENODEV);
		ck_assert_int_eq(world_flush(&w), -ENODEV);
		arm(&w, NULL);
		ck_assert_int_eq(iomap_bdev_open(w.ioq, "sim:disk", NULL, &again), -ENODEV);
		check_counter(&w, "removed", 1, 1);
		world_cut_now(&w);
		for (unsigned i = 0; i < 3; i++)
			see(&seen, world_letter(&w, i), 'a', 'b');
		ck_assert_int_eq(world_letter(&w, 3), 'a');
		ck_assert_int_eq(world_write(&w, 0, 4, 'c', 0), 0);
		world_delete(&w);
	}
	ck_assert_both(seen);
}

CASE(what_took_effect_is_not_acknowledged, "", "A device that is gone completes no write")
{
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct t_bio write;
		struct world w;

		start(&w, seed % 2 ? "plp" : "consumer", seed, 2);
		arm(&w, "at op=1 kind=timeout; at op=2 kind=removed");
		t_bio_init(&write, w.bdev, IOMAP_BIO_WRITE, 0, t_buffer(PAGE, 1), PAGE);
		iomap_bio_submit(&write.bio);
		ck_assert_int_eq(iomap_ioq_poll(w.ioq, 1, 1, 1000000000), 0);
		ck_assert_int_eq(read_page(&w, 1), -ENODEV);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert_int_eq(write.status, -ENODEV);
		world_delete(&w);
	}
}

CASE(a_device_turns_read_only, "", "-EROFS for writes, this one too; reads and flushes go on")
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "consumer", seed, 2);
		ck_assert_int_eq(world_write(&w, 1, 1, 'b', 0), 0);
		arm(&w, "at write kind=read_only");
		ck_assert_int_eq(world_letter(&w, 0), 'a');
		ck_assert_int_eq(world_write(&w, 0, 1, 'c', 0), -EROFS);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_DISCARD, 0, NULL, PAGE, 0), -EROFS);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE_ZEROES, 0, NULL, PAGE, 0), -EROFS);
		check_counter(&w, "read_only", 1, 3);
		ck_assert_int_eq(world_letter(&w, 0), 'a');
		if (seed % 2)
			ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 0), 'a');
		if (seed % 2)
			ck_assert_int_eq(world_letter(&w, 1), 'b');
		else
			see(&seen, world_letter(&w, 1), 'a', 'b');
		ck_assert_int_eq(world_write(&w, 0, 1, 'c', 0), -EROFS);
		arm(&w, NULL);
		ck_assert_int_eq(world_write(&w, 0, 1, 'c', 0), 0);
		world_delete(&w);
	}
	ck_assert_both(seen);
}

CASE(the_nth_command_from_now, "", "op= counts all commands from when it was armed, nth= its own")
{
	struct world w;

	start(&w, "consumer", 1, 4);
	arm(&w, "at op=3 kind=eio_read;at op=4 kind=eio_read;");
	arm(&w, "at read nth=3 kind=eio_read");
	ck_assert_int_eq(read_page(&w, 0), 0);
	ck_assert_int_eq(read_page(&w, 0), 0);
	ck_assert_int_eq(read_page(&w, 0), -EIO);	/* op=3; nth=3 waits */
	ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);	/* op=4 is no read */
	ck_assert_int_eq(read_page(&w, 0), -EIO);	/* now */
	ck_assert_int_eq(read_page(&w, 0), 0);
	check_counter(&w, "eio_read", 3, 2);
	world_delete(&w);
}

static uint64_t faulty_run(uint64_t seed, const char *script)
{
	uint64_t random = seed, digest;
	struct world w;

	start(&w, "cruel", seed, NR_PAGES);
	arm(&w, script);
	for (unsigned i = 0; i < 100; i++) {
		unsigned page = (unsigned)(t_rand(&random) % (NR_PAGES - 2));

		switch (t_rand(&random) % 4) {
		case 0:
			world_flush(&w);
			break;
		case 1:
			read_page(&w, page);
			break;
		default:
			world_write(&w, page, 2, (char)('a' + i % 26), 0);
		}
	}
	world_cut_now(&w);
	for (unsigned i = 0; i < NR_PAGES; i++)
		read_page(&w, i);
	digest = iomap_sim_run_digest(w.sim);
	world_delete(&w);
	return digest;
}

CASE(faults_are_reproducible, "O46", "The same seed and script give the same digest; results count")
{
	static const char script[] = "at write nth=3 kind=eio_write; at write nth=9 kind=torn;"
				     "at flush kind=flush_error_drops; at read nth=5 kind=eio_read;"
				     "at op=50 kind=timeout; at op=60 kind=busy;"
				     "at read nth=8 kind=eio_read_until_written;"
				     "at write nth=12 kind=eio_write_persistent";

	for (uint64_t seed = 0; seed < 10; seed++) {
		uint64_t digest = faulty_run(seed, script);

		ck_assert_uint_eq(faulty_run(seed, script), digest);
		ck_assert_uint_ne(faulty_run(seed + 100, script), digest);
		ck_assert_uint_ne(faulty_run(seed, ""), digest);
	}
	ck_assert_uint_ne(faulty_run(1, "at flush nth=2 kind=flush_error"), faulty_run(1, ""));
	ck_assert_uint_eq(faulty_run(1, "at op=999 kind=eio_read"), faulty_run(1, ""));
}

MAIN()
