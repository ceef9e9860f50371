/* SPDX-License-Identifier: MIT */
/*
 * test_counter.c - what has been armed, what has struck, and of what the host has heard.
 */
#include "sim/fault.h"

/* Kinds with a command that they strike; letters: Read, Write of two pages, Flush. */
static const struct { const char *kind; char op; } kinds[] = {
	{ "eio_read", 'R' }, { "eio_read_until_written", 'R' }, { "eio_write", 'W' },
	{ "eio_write_persistent", 'W' }, { "landed", 'W' }, { "torn", 'W' }, { "enospc", 'W' },
	{ "flush_error", 'F' }, { "flush_error_drops", 'F' }, { "short_read", 'R' },
	{ "short_write", 'W' }, { "zero_length", 'R' }, { "busy", 'F' }, { "partial_batch", 'F' },
	{ "timeout", 'W' }, { "lost", 'R' }, { "reordered", 'F' }, { "slow", 'R' },
	{ "removed", 'W' }, { "read_only", 'W' },
};
#define NR_KINDS (sizeof(kinds) / sizeof(*kinds))

static void send(struct world *w, struct t_bio *b, char op)
{
	uint8_t *mem = t_buffer(2 * PAGE, 0);

	if (op == 'F')
		t_bio_init(b, w->bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	else
		t_bio_init(b, w->bdev, op == 'R' ? IOMAP_BIO_READ : IOMAP_BIO_WRITE, 0, mem,
			   2 * PAGE);
	iomap_bio_submit(&b->bio);
}

static void arm_kind(struct world *w, unsigned i)
{
	char script[64];

	start(w, "consumer", i, 2);
	snprintf(script, sizeof(script), "at nth=1 kind=%s", kinds[i].kind);
	arm(w, script);
	check_counter(w, kinds[i].kind, 1, 0);
	check_observed(w, kinds[i].kind, 0);
}

CASE(the_host_hears_of_each_kind, "", "Struck is heard of: once the command is back, not before")
{
	for (unsigned i = 0; i < NR_KINDS; i++) {
		bool refused = kinds[i].kind[0] == 'b' || kinds[i].kind[0] == 'p';
		struct t_bio b;
		struct world w;

		arm_kind(&w, i);
		send(&w, &b, kinds[i].op);
		check_observed(&w, kinds[i].kind, refused);	/* which is heard at once */
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		check_counter(&w, kinds[i].kind, 1, 1);
		check_observed(&w, kinds[i].kind, 1);
		world_delete(&w);
	}
}

CASE(power_takes_it_away, "",
     "Cut before the host hears of it, at whichever event: what has struck is not observed")
{
	for (unsigned i = 0; i < NR_KINDS; i++)
		for (unsigned cut = 2; cut < 5; cut++) {
			struct iomap_sim_counter c = { .struct_size = sizeof(c) };
			struct t_bio b;
			struct world w;

			if (kinds[i].kind[0] == 'b' || kinds[i].kind[0] == 'p')
				continue;
			arm_kind(&w, i);
			ck_assert_int_eq(iomap_sim_cut_at(w.sim, cut), 0);
			send(&w, &b, kinds[i].op);
			ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
			ck_assert_int_eq(b.status, -ENODEV);
			ck_assert_int_eq(iomap_sim_fault_counters(w.sim, kinds[i].kind, &c), 0);
			ck_assert_uint_le(c.fired, 1);
			ck_assert(c.fired == 1 || !strcmp(kinds[i].kind, "eio_read_until_written"));
			check_observed(&w, kinds[i].kind, 0);
			world_power_cycle(&w);
			check_observed(&w, kinds[i].kind, 0);
			world_delete(&w);
		}
}

CASE(two_kinds_at_once, "", "A late command that cannot be read, or written, is one of each kind")
{
	struct t_bio b;
	struct world w;

	start(&w, "consumer", 1, 2);
	arm(&w, "at read kind=eio_read_until_written; at read nth=2 kind=slow; "
		"at write kind=read_only; at write nth=2 kind=timeout");
	ck_assert_int_eq(read_page(&w, 0), -EIO);
	ck_assert_int_eq(read_page(&w, 0), -EIO);
	check_counter(&w, "eio_read_until_written", 1, 2);
	check_observed(&w, "eio_read_until_written", 2);
	check_counter(&w, "slow", 1, 1);
	check_observed(&w, "slow", 1);
	for (unsigned i = 0; i < 2; i++) {
		send(&w, &b, 'W');
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
		ck_assert_int_eq(b.status, -EROFS);
	}
	check_counter(&w, "read_only", 1, 2);
	check_observed(&w, "read_only", 2);
	check_counter(&w, "timeout", 1, 1);
	check_observed(&w, "timeout", 1);
	world_delete(&w);
}

CASE(a_counter_says_its_size, "", "-EINVAL for one that is too small; -ENOENT for no kind")
{
	struct iomap_sim_counter c = { .struct_size = sizeof(c) - 1, .fired = 77 };
	struct world w;

	start(&w, "consumer", 1, 1);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "slow", &c), -EINVAL);
	ck_assert_uint_eq(c.fired, 77);
	c.struct_size = 0;
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "slow", &c), -EINVAL);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "slow", NULL), -EINVAL);
	c.struct_size = sizeof(c);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "slower", &c), -ENOENT);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, NULL, &c), -ENOENT);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "slow", &c), 0);
	ck_assert_uint_eq(c.struct_size, sizeof(c));
	ck_assert_uint_eq(c.fired, 0);
	world_delete(&w);
}

MAIN()
