/* SPDX-License-Identifier: MIT */
/*
 * test_fault_answer.c - callbacks that fail, maps that lie, and completions that are held back.
 */
#include "sim/host.h"

/* ---- a client whose callbacks ask first ---- */

static struct iomap_sim *sim_of_client;
static struct iomap_ops real;

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	int rc = (int)iomap_sim_answer(sim_of_client, NULL, 0);

	if (!rc)
		rc = real.iomap_begin(inode, pos, len, flags, map, srcmap, priv);
	return (int)iomap_sim_answer(sim_of_client, map, rc);
}

static int end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
	       unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	return real.iomap_end(inode, pos, len, written, flags, map, srcmap, priv);
}

static struct host *client_new(uint64_t seed)
{
	struct host *h = host_new(seed);

	sim_of_client = h->d.w.sim;
	real = h->m->ops;
	h->m->ops.iomap_begin = begin;
	h->m->ops.iomap_end = end;
	return h;
}

CASE(a_callback_fails, "V4 R1", "Its error is the call's; what was there before is not lost")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = client_new(seed);

		failing_arm(&h->d, "at nth=1 kind=callback_fails");
		ck_assert_int_eq(m_fill(h->f, 0, PAGE, 7), -EIO);
		ck_assert_uint_eq(failing_fired(&h->d, "callback_fails"), 1);
		ck_assert_uint_eq(h->t.nr_reports, 0);
		ck_assert_int_eq(m_fill(h->f, 0, PAGE, 7), PAGE);
		ck_assert_int_eq(m_sync(h->f), 0);
		host_survives(h);
	}
}

CASE(a_map_lies, "V4 R1", "-EIO with a report, no byte is written by it, and nothing is lost")
{
	bool rules[16] = { false };
	unsigned nr_rules = 0;

	for (uint64_t seed = 0; seed < 4 * FAILING_SEEDS; seed++) {
		struct host *h = client_new(seed);

		failing_arm(&h->d, "at nth=1 kind=hostile_map");
		ck_assert_int_eq(m_fill(h->f, 3 * PAGE, PAGE, 7), -EIO);
		ck_assert_uint_eq(failing_fired(&h->d, "hostile_map"), 1);
		ck_assert_uint_eq(h->t.nr_reports, 1);
		ck_assert_int_eq(h->t.last_rule[0], 'V');
		rules[atoi(h->t.last_rule + 1) % 16] = true;
		ck_assert(m_content_ok(h->f));
		ck_assert_int_eq(m_fill(h->f, 3 * PAGE, PAGE, 7), PAGE);
		ck_assert_int_eq(m_sync(h->f), 0);
		host_survives(h);
	}
	for (unsigned i = 0; i < 16; i++)
		nr_rules += rules[i];
	ck_assert_uint_ge(nr_rules, 4);		/* V1 V2 V3 V4 */
}

CASE(every_lie_is_told, "V4", "The nine ways, asked for one after the other, differ from the truth")
{
	const struct iomap truth = {
		.addr = 8 * PAGE, .offset = 4 * PAGE, .length = 2 * PAGE, .type = IOMAP_MAPPED,
	};
	unsigned kinds[9] = { 0 }, nr = 0;
	struct world w;

	world_new(&w, "plp", 1);
	for (unsigned i = 0; i < 300; i++) {
		struct iomap map = truth;
		unsigned kind = 8;

		arm(&w, "at nth=2 kind=hostile_map");
		ck_assert_int_eq(iomap_sim_answer(w.sim, &map, 5), 5);
		ck_assert_mem_eq(&map, &truth, sizeof(map));
		ck_assert_int_eq(iomap_sim_answer(w.sim, &map, -ENOSPC), -ENOSPC);
		ck_assert_int_eq(iomap_sim_answer(w.sim, &map, 6), 6);
		ck_assert_mem_ne(&map, &truth, sizeof(map));
		if (!map.length)
			kind = 0;
		else if (map.offset != truth.offset)
			kind = 1;
		else if (map.length > (uint64_t)1 << 62)
			kind = 2;
		else if (map.type > IOMAP_INLINE)
			kind = 3;
		else if (map.flags)
			kind = 4;
		else if (map.type == IOMAP_HOLE)
			kind = 5;
		else if (map.addr == IOMAP_NULL_ADDR)
			kind = 6;
		else if (map.addr % 512)
			kind = 7;
		kinds[kind]++;
	}
	for (unsigned i = 0; i < 9; i++)
		nr += kinds[i] > 0;
	ck_assert_uint_eq(nr, 9);
	check_counter(&w, "hostile_map", 300, 300);
	check_observed(&w, "hostile_map", 300);
	world_delete(&w);
}

/* ---- completions that are held back ---- */

CASE(no_room_for_completions, "O20 O44", "All on the queue come late, together, each once; counted")
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct iomap_sim_counter c = { .struct_size = sizeof(c) };
		struct t_bio bios[8];
		struct world w;
		int64_t before;
		unsigned n = 0;

		start(&w, seed % 2 ? "consumer" : "fifo", seed, 8);
		arm(&w, "at write nth=3 kind=cq_overflow");
		before = iomap_sim_now_ns(w.sim);
		for (unsigned i = 0; i < 8; i++)
			world_send(&bios[i], w.bdev, i, 1, (char)('b' + i), 0);
		while (n < 8) {
			int got = iomap_ioq_poll(w.ioq, 1, 8, IOMAP_FOREVER);
			int64_t late = iomap_sim_now_ns(w.sim) - before;

			ck_assert_int_gt(got, 0);
			n += (unsigned)got;
			/* By then, or with all the others. */
			ck_assert(late < 1000000 || n == 8);
		}
		ck_assert_int_ge(iomap_sim_now_ns(w.sim) - before, 1000000);
		for (unsigned i = 0; i < 8; i++) {
			ck_assert_int_eq(bios[i].bio.status, 0);
			ck_assert_int_eq(world_letter(&w, i), 'b' + (char)i);
		}
		ck_assert_int_eq(world_flush(&w), 0);
		ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "cq_overflow", &c), 0);
		ck_assert_uint_eq(c.armed, 1);
		ck_assert_uint_ge(c.fired, 6);	/* the third, and all behind it */
		ck_assert_uint_eq(c.observed, c.fired);
		world_delete(&w);
	}
}

CASE(an_overflow_below_a_client, "O20", "Nobody but the clock notices, and nothing is lost")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_new(seed);

		change(h);
		failing_arm(&h->d, "at write nth=%u kind=cq_overflow ns=5000000",
			    1 + failing_draw(&h->d, RUNS));
		ck_assert_int_eq(m_sync(h->f), 0);
		ck_assert_uint_gt(failing_fired(&h->d, "cq_overflow"), 0);
		host_survives(h);
	}
}

MAIN()
