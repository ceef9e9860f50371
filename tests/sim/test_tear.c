/* SPDX-License-Identifier: MIT */
/*
 * test_tear.c - what is one unit and what is several: while power is on, and when it goes.
 *
 * Four pages of 'a' become 'b', or zeros; atomic units are of four pages.
 */
#include "sim/fault.h"

#define SEEDS	200u
#define NR	4u

/* Over all seeds: none, all, or some of the pages were new. */
struct whole { unsigned old, new, torn; };

/* How many of the pages are new (new 0: zeros), and whether that is all, none, or some. */
static unsigned count(struct world *w, unsigned first, unsigned nr, char new, struct whole *whole)
{
	uint8_t *mem = t_buffer(PAGE, 0);
	unsigned n = 0;

	for (unsigned i = first; i < first + nr; i++) {
		ck_assert_int_eq(t_io(w->bdev, IOMAP_BIO_READ, i * PAGE, mem, PAGE, 0), 0);
		ck_assert(mem[0] == 'a' || mem[0] == (uint8_t)new);
		ck_assert(!memcmp(mem, mem + 1, PAGE - 1));
		n += mem[0] != 'a';
	}
	whole->old += !n;
	whole->new += n == nr;
	whole->torn += n && n != nr;
	return n;
}

#define ck_assert_atomic(w) do { \
	ck_assert_uint_gt((w).old, 0); \
	ck_assert_uint_gt((w).new, 0); \
	ck_assert_uint_eq((w).torn, 0); \
} while (0)

#define ck_assert_tears(w) do { \
	ck_assert_uint_gt((w).old, 0); \
	ck_assert_uint_gt((w).new, 0); \
	ck_assert_uint_gt((w).torn, 0); \
} while (0)

/* ---- zeroes, discards ---- */

/* In flight at an event of its own, or (cut 0) completed and not flushed. */
static void cut_op(enum iomap_bio_op op, unsigned cut, struct whole *whole)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;
		int rc;

		start(&w, "atomic16k", seed, NR);
		if (cut)
			ck_assert_int_eq(iomap_sim_cut_at(w.sim, cut), 0);
		if (op == IOMAP_BIO_WRITE)
			rc = world_write(&w, 0, NR, 'b', 0);
		else
			rc = t_io(w.bdev, op, 0, NULL, NR * PAGE, 0);
		ck_assert_int_eq(rc, cut ? -ENODEV : 0);
		if (cut)
			world_power_cycle(&w);
		else
			world_cut_now(&w);
		count(&w, 0, NR, op == IOMAP_BIO_WRITE ? 'b' : 0, whole);
		world_delete(&w);
	}
}

CASE(only_writes_are_atomic, "O6",
     "Write zeroes and discards tear at a power cut within the atomic unit; a write does not")
{
	static const unsigned cuts[] = { 0, 2, 3, 4 };

	for (unsigned i = 0; i < 4; i++) {
		struct whole write = { 0 }, zeroes = { 0 }, discard = { 0 };

		cut_op(IOMAP_BIO_WRITE, cuts[i], &write);
		ck_assert_atomic(write);
		cut_op(IOMAP_BIO_WRITE_ZEROES, cuts[i], &zeroes);
		ck_assert_tears(zeroes);
		cut_op(IOMAP_BIO_DISCARD, cuts[i], &discard);
		ck_assert_tears(discard);
	}
}

CASE(zeroes_that_fail_tear, "O6", "A write that fails is all there or not at all; zeroes are not")
{
	struct whole write = { 0 }, zeroes = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "atomic16k", seed, 2 * NR);
		arm(&w, "at write kind=eio_write; at zeroes kind=eio_write");
		ck_assert_int_eq(world_write(&w, 0, NR, 'b', 0), -EIO);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE_ZEROES, NR * PAGE, NULL, NR * PAGE,
				      0), -EIO);
		count(&w, 0, NR, 'b', &write);
		count(&w, NR, NR, 0, &zeroes);
		world_delete(&w);
	}
	ck_assert_atomic(write);
	ck_assert_tears(zeroes);
}

/* ---- one size while power is on, another one when it goes ---- */

/* Of preset atomic16k, which has a boundary of 16384 too. */
static struct iomap_sim_profile sized(uint32_t normal, uint32_t power_fail)
{
	struct iomap_sim_profile profile = *iomap_sim_preset("atomic16k");

	profile.atomic_normal = normal;
	profile.atomic_power_fail = power_fail;
	return profile;
}

CASE(atomic_until_power_goes, "O6",
     "16384 while power is on, 4096 when it goes: never torn before the cut, perhaps by it")
{
	const struct iomap_sim_profile profile = sized(16384, 4096);
	struct whole failed = { 0 }, after = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start_of(&w, &profile, seed, NR);
		arm(&w, "at write kind=torn; at write kind=short_write; at write nth=2 "
			"kind=eio_write");
		ck_assert_int_eq(world_write(&w, 0, NR, 'a', IOMAP_BIO_FUA), 0);
		check_counter(&w, "torn", 1, 0);
		check_counter(&w, "short_write", 1, 0);
		ck_assert_int_eq(world_write(&w, 0, NR, 'b', 0), -EIO);
		count(&w, 0, NR, 'b', &failed);
		world_cut_now(&w);
		count(&w, 0, NR, 'b', &after);
		world_delete(&w);
	}
	ck_assert_atomic(failed);
	ck_assert_tears(after);
}

CASE(reads_see_it_whole, "O6", "A read at the same time has all of such a write or nothing")
{
	const struct iomap_sim_profile profile = sized(16384, 4096);
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		uint8_t *mem = t_buffer(NR * PAGE, 0);
		struct t_bio write, read;
		struct world w;

		start_of(&w, &profile, seed, NR);
		arm(&w, "at write kind=short_write; at write kind=timeout ns=20000");
		world_send(&write, w.bdev, 0, NR, 'b', 0);
		t_bio_init(&read, w.bdev, IOMAP_BIO_READ, 0, mem, NR * PAGE);
		iomap_bio_submit(&read.bio);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert_int_eq(write.status | read.status, 0);
		for (unsigned i = 1; i < NR; i++)
			ck_assert_int_eq(mem[i * PAGE], mem[0]);
		see(&seen, (char)mem[0], 'a', 'b');
		world_delete(&w);
	}
	ck_assert_both(seen);
}

CASE(it_tears_in_flight, "", "Cut in flight, or before it was heard of: its pages are four units")
{
	const struct iomap_sim_profile profile = sized(16384, 4096);

	for (unsigned cut = 2; cut < 5; cut++) {
		struct whole whole = { 0 };

		for (uint64_t seed = 0; seed < SEEDS; seed++) {
			struct world w;

			start_of(&w, &profile, seed, NR);
			ck_assert_int_eq(iomap_sim_cut_at(w.sim, cut), 0);
			ck_assert_int_eq(world_write(&w, 0, NR, 'b', 0), -ENODEV);
			world_power_cycle(&w);
			count(&w, 0, NR, 'b', &whole);
			world_delete(&w);
		}
		ck_assert_tears(whole);
	}
}

CASE(across_the_boundary_it_tears, "", "The same size where the rules mean it, two pages further")
{
	const struct iomap_sim_profile profile = sized(16384, 4096);
	struct world w;

	start_of(&w, &profile, 1, 2 * NR);
	arm(&w, "at write kind=torn units=3");
	ck_assert_int_eq(world_write(&w, 2, NR, 'b', 0), -EIO);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_int_eq(world_letter(&w, 2 + i), i < 3 ? 'b' : 'a');
	world_delete(&w);
}

/* The other way round: a device that collects a write before it lets power go. */
static void cut_power_atomic(const char *script, int status, struct whole *on, struct whole *off)
{
	const struct iomap_sim_profile profile = sized(4096, 16384);

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		unsigned cut = status || seed % 2 ? 0 : 3 + seed / 2 % 2;
		struct world w;

		start_of(&w, &profile, seed, NR);
		arm(&w, script);
		if (cut)
			ck_assert_int_eq(iomap_sim_cut_at(w.sim, cut), 0);
		ck_assert_int_eq(world_write(&w, 0, NR, 'b', 0), cut ? -ENODEV : status);
		if (cut) {
			world_power_cycle(&w);
		} else {
			count(&w, 0, NR, 'b', on);
			world_cut_now(&w);
		}
		count(&w, 0, NR, 'b', off);
		world_delete(&w);
	}
}

CASE(atomic_when_power_goes, "O6",
     "4096 while power is on, 16384 when it goes: a failure tears it, the cut makes it whole")
{
	struct whole torn = { 0 }, after = { 0 }, ok = { 0 }, cut = { 0 };

	cut_power_atomic("at write kind=torn units=3", -EIO, &torn, &after);
	ck_assert_uint_eq(torn.torn, SEEDS);
	ck_assert_atomic(after);
	cut_power_atomic("at write kind=short_write units=3", 0, &ok, &cut);
	ck_assert_uint_eq(ok.old + ok.torn, 0);
	ck_assert_atomic(cut);
}

/* ---- in two goes ---- */

CASE(a_short_write_is_no_unit, "O1",
     "The first four pages of five are no atomic unit because they went first")
{
	struct whole whole = { 0 }, first = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		unsigned cut = seed % 5 ? 1 + seed % 5 : 0;	/* in flight, or completed */
		struct world w;

		start(&w, "atomic16k", seed, NR + 1);
		arm(&w, "at write kind=short_write units=4");
		if (cut)
			ck_assert_int_eq(iomap_sim_cut_at(w.sim, cut), 0);
		ck_assert_int_eq(world_write(&w, 0, NR + 1, 'b', 0), cut ? -ENODEV : 0);
		check_counter(&w, "short_write", 1, 1);
		if (cut)
			world_power_cycle(&w);
		else
			world_cut_now(&w);
		count(&w, 0, NR + 1, 'b', &whole);
		count(&w, 0, NR, 'b', &first);
		world_delete(&w);
	}
	ck_assert_tears(whole);
	ck_assert_tears(first);
}

MAIN()
