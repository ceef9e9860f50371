/* SPDX-License-Identifier: MIT */
/*
 * test_order.c - devices that keep an order: nothing is there without all that took effect before
 * it, on the device or on the same queue of it, however it became durable.
 *
 * Pages hold 'a' before each story, and 'b' where it has written.
 */
#include "sim/fault.h"

#define SEEDS	100u
#define LINE	4u		/* pages of a queue: the first ones A's, then B's */

/* How many of nr pages from first on are new; none of them without those before it. */
static unsigned prefix(struct world *w, unsigned first, unsigned nr)
{
	unsigned new = 0;

	for (unsigned i = 0; i < nr; i++) {
		char letter = world_letter(w, first + i);

		ck_assert_msg(letter == 'a' || letter == 'b', "'%c' was not there", letter);
		ck_assert_msg(letter == 'a' || new == i, "page %u without page %u", first + i,
			      first + new);
		new += letter == 'b';
	}
	return new;
}

CASE(fua_takes_all_before_it_along, "O1 O7",
     "On a fifo device plain writes before a FUA write survive with it; those behind are open")
{
	unsigned behind[5] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "fifo", seed, 8);
		for (unsigned i = 0; i < 8; i++)
			ck_assert_int_eq(world_write(&w, i, 1, 'b', i == 3 ? IOMAP_BIO_FUA : 0), 0);
		world_cut_now(&w);
		ck_assert_uint_ge(prefix(&w, 0, 8), 4);
		behind[prefix(&w, 0, 8) - 4]++;
		world_delete(&w);
	}
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_gt(behind[i], 0);
}

CASE(cut_behind_a_fua_write_in_flight, "O1", "At each event of it what is there is a prefix")
{
	unsigned lengths[5] = { 0 };

	for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
		struct t_bio bios[4];
		struct world w;

		start(&w, seed % 4 ? "fifo" : "multiqueue", seed, 4);
		ck_assert_int_eq(iomap_sim_cut_at(w.sim, 5 + seed % 12), 0);
		for (unsigned i = 0; i < 4; i++)
			world_send(&bios[i], w.bdev, i, 1, 'b', i == 2 ? IOMAP_BIO_FUA : 0);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		world_power_cycle(&w);
		lengths[prefix(&w, 0, 4)]++;
		ck_assert(bios[2].status || prefix(&w, 0, 4) >= 3);
		world_delete(&w);
	}
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_gt(lengths[i], 0);
}

/* Page 0 has taken effect and is not heard of; page 1 behind it becomes durable. */
static void overtake(const char *preset, bool flush)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct t_bio late, next;
		struct world w;

		start(&w, preset, seed, 2);
		arm(&w, "at op=1 kind=reordered");
		world_send(&late, w.bdev, 0, 1, 'b', 0);
		world_send(&next, w.bdev, 1, 1, 'b', flush ? 0 : IOMAP_BIO_FUA);
		ck_assert_int_eq(iomap_ioq_poll(w.ioq, 1, 1, IOMAP_FOREVER), 1);
		ck_assert_int_eq(next.nr_ends && !next.status, 1);
		if (flush)
			ck_assert_int_eq(world_flush(&w), 0);
		ck_assert_uint_eq(late.nr_ends, 0);
		world_cut_now(&w);
		ck_assert_int_eq(late.status, -ENODEV);
		ck_assert_uint_eq(prefix(&w, 0, 2), 2);
		world_delete(&w);
	}
}

CASE(what_overtakes_a_write_takes_it_along, "O1",
     "A write heard of late is there with those behind it that were flushed, or FUA")
{
	overtake("fifo", true);
	overtake("fifo", false);
	overtake("multiqueue", true);
	overtake("multiqueue", false);
}

CASE(what_failed_has_no_place, "O1", "A FUA write does not bring a failed write before it along")
{
	struct seen failed = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, seed % 2 ? "fifo" : "multiqueue", seed, 3);
		arm(&w, "at write nth=2 kind=eio_write");
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		ck_assert_int_eq(world_write(&w, 1, 1, 'b', 0), -EIO);
		ck_assert_int_eq(world_write(&w, 2, 1, 'b', IOMAP_BIO_FUA), 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		see(&failed, world_letter(&w, 1), 'a', 'b');
		ck_assert_int_eq(world_letter(&w, 2), 'b');
		world_delete(&w);
	}
	ck_assert_both(failed);
}

/* ---- two queues on one device ---- */

struct pair {
	struct world w;			/* queue A */
	struct iomap_ioq *ioq;		/* and B */
	struct iomap_bdev *bdev;
};

static void pair_start(struct pair *p, uint64_t seed)
{
	start(&p->w, "multiqueue", seed, 2 * LINE);
	ck_assert_int_eq(iomap_ioq_new(p->w.env, NULL, &p->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(p->ioq, "sim:disk", NULL, &p->bdev), 0);
}

static void pair_cut(struct pair *p)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	ck_assert_int_eq(iomap_sim_cut_at(p->w.sim, 1), 0);
	ck_assert_int_eq(t_io(p->bdev, IOMAP_BIO_READ, 0, mem, PAGE, 0), -ENODEV);
	iomap_bdev_close(&p->bdev);
	iomap_ioq_delete(&p->ioq);
	world_power_cycle(&p->w);
}

/* The next page of one of them, waited for. */
static void pair_write(struct pair *p, bool b, unsigned i, unsigned flags)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	memset(mem, 'b', PAGE);
	ck_assert_int_eq(t_io(b ? p->bdev : p->w.bdev, IOMAP_BIO_WRITE, (b * LINE + i) * PAGE, mem,
			      PAGE, flags), 0);
}

CASE(each_queue_has_its_prefix, "O1", "Of two queues on one device any two prefixes can be there")
{
	unsigned found[LINE + 1][LINE + 1] = { 0 };

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		struct pair p;

		pair_start(&p, seed);
		for (unsigned i = 0; i < 2 * LINE; i++)
			pair_write(&p, i % 2, i / 2, 0);
		pair_cut(&p);
		found[prefix(&p.w, 0, LINE)][prefix(&p.w, LINE, LINE)]++;
		world_delete(&p.w);
	}
	for (unsigned a = 0; a <= LINE; a++)
		for (unsigned b = 0; b <= LINE; b++)
			ck_assert_msg(found[a][b], "never %u pages of A and %u of B", a, b);
}

CASE(fua_binds_its_own_queue, "O1 O7",
     "All before it on its queue survives with it; of the other queue any prefix")
{
	unsigned other[2][LINE + 1] = { 0 };

	for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
		bool b = seed % 2;
		struct pair p;
		unsigned bound;

		pair_start(&p, seed);
		for (unsigned i = 0; i < 2 * LINE - 2; i++)
			pair_write(&p, i % 2, i / 2, 0);
		pair_write(&p, !b, LINE - 1, 0);
		pair_write(&p, b, LINE - 1, IOMAP_BIO_FUA);
		pair_cut(&p);
		bound = prefix(&p.w, b * LINE, LINE);
		ck_assert_uint_eq(bound, LINE);
		other[b][prefix(&p.w, !b * LINE, LINE)]++;
		world_delete(&p.w);
	}
	for (unsigned i = 0; i <= LINE; i++) {
		ck_assert_uint_gt(other[0][i], 0);
		ck_assert_uint_gt(other[1][i], 0);
	}
}

CASE(a_flush_overtakes_on_two_queues, "O1",
     "It covers what completed on either; what was not heard of goes with its own queue only")
{
	struct seen free = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		bool same = seed % 2;
		struct t_bio late;
		struct pair p;

		pair_start(&p, seed);
		arm(&p.w, "at op=1 kind=reordered ns=1000000000");
		world_send(&late, p.w.bdev, 0, 1, 'b', 0);
		pair_write(&p, 0, 1, 0);	/* when this is heard of the first has an effect */
		if (!same)
			arm(&p.w, NULL);
		pair_write(&p, 1, 0, 0);
		if (same)
			ck_assert_int_eq(t_io(p.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
		else
			pair_write(&p, 1, 1, IOMAP_BIO_FUA);
		ck_assert_uint_eq(late.nr_ends, 0);
		pair_cut(&p);
		if (same)
			ck_assert_uint_eq(prefix(&p.w, 0, 2), 2);
		else
			see(&free, prefix(&p.w, 0, 2) ? 'b' : 'a', 'a', 'b');
		ck_assert_uint_eq(prefix(&p.w, LINE, 1), 1);
		world_delete(&p.w);
	}
	ck_assert_both(free);
}

/* ---- what power takes away ---- */

CASE(a_dead_command_delays_nobody, "O44",
     "A slow command that power took away does not hold up what comes after power-on")
{
	static const char *const presets[] = { "fifo", "multiqueue", "consumer" };

	for (unsigned i = 0; i < 3 * 8; i++) {
		struct t_bio slow;
		int64_t before;
		struct world w;

		start(&w, presets[i % 3], i, 2);
		arm(&w, "at op=1 kind=slow ns=1000000000000");
		world_send(&slow, w.bdev, 0, 1, 'b', 0);
		ck_assert_uint_eq(slow.nr_ends, 0);
		world_cut_now(&w);
		ck_assert_int_eq(slow.status, -ENODEV);
		before = iomap_sim_now_ns(w.sim);
		for (unsigned n = 0; n < 4; n++)	/* another queue each time */
			ck_assert_int_eq(world_write(&w, 1, 1, 'c', 0), 0);
		ck_assert_int_lt(iomap_sim_now_ns(w.sim) - before, 1000000);
		world_delete(&w);
	}
}

MAIN()
