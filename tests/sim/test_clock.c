/* SPDX-License-Identifier: MIT */
/*
 * test_clock.c - simulated time: waits of any length, and what comes after them.
 */
#include "sim/fault.h"

/* Around the largest that there are, and around half of that. */
static const int64_t long_waits[] = {
	IOMAP_FOREVER, INT64_MAX, INT64_MAX - 1, INT64_MAX / 2 + 2, INT64_MAX / 2 + 1,
	INT64_MAX / 2, INT64_MAX / 2 - 1,
};
#define NR_WAITS (sizeof(long_waits) / sizeof(*long_waits))

#define SECOND INT64_C(1000000000)

static void still_works(struct world *w, unsigned page, int64_t since)
{
	ck_assert_int_ge(iomap_sim_now_ns(w->sim), since);
	ck_assert_int_lt(iomap_sim_now_ns(w->sim) - since, SECOND);
	ck_assert_int_eq(world_write(w, page, 1, 'z', 0), 0);
	ck_assert_int_eq(world_letter(w, page), 'z');
	ck_assert_int_lt(iomap_sim_now_ns(w->sim) - since, SECOND);
}

CASE(waits_as_long_as_can_be, "O44",
     "They end with what they wait for; the clock has moved by what that took, and no more")
{
	for (unsigned i = 0; i < 3 * NR_WAITS; i++) {
		int64_t wait = long_waits[i / 3], since;
		struct t_bio b;
		struct world w;

		start(&w, i % 2 ? "consumer" : "fifo", i, 3);
		since = iomap_sim_now_ns(w.sim);
		world_send(&b, w.bdev, 1, 1, 'b', 0);
		switch (i % 3) {
		case 0:
			ck_assert_int_eq(iomap_ioq_poll(w.ioq, 1, 1, wait), 1);
			break;
		case 1:
			ck_assert_int_eq(iomap_ioq_drain(w.ioq, wait), 0);
			break;
		case 2:
			ck_assert_int_eq(iomap_env_wait(w.env, &b.nr_ends, 0, wait), 0);
		}
		ck_assert_uint_eq(b.nr_ends, 1);
		ck_assert_int_eq(b.status, 0);
		still_works(&w, 2, since);
		world_delete(&w);
	}
}

CASE(waits_for_nothing, "O44", "With nothing on its way there is nothing to wait for")
{
	struct world w;
	int64_t since;

	start(&w, "consumer", 1, 3);
	since = iomap_sim_now_ns(w.sim);
	for (unsigned i = 0; i < NR_WAITS; i++) {
		ck_assert_int_eq(iomap_ioq_poll(w.ioq, 1, 1, long_waits[i]), 0);
		ck_assert_int_eq(iomap_ioq_drain(w.ioq, long_waits[i]), 0);
	}
	ck_assert_int_eq(iomap_sim_now_ns(w.sim), since);
	still_works(&w, 1, since);
	world_delete(&w);
}

CASE(time_outs_are_exact, "O44", "A wait for a word that nobody changes ends then, not before")
{
	static const int64_t waits[] = { 1, 1000, SECOND, 1000000 * SECOND };
	iomap_word word = 7;
	struct world w;

	start(&w, "consumer", 1, 3);
	for (unsigned i = 0; i < 4; i++) {
		int64_t since = iomap_sim_now_ns(w.sim);

		ck_assert_int_eq(iomap_env_wait(w.env, &word, 7, waits[i]), -ETIMEDOUT);
		ck_assert_int_eq(iomap_sim_now_ns(w.sim) - since, waits[i]);
		still_works(&w, 1, since + waits[i]);
	}
	world_delete(&w);
}

CASE(the_hook_itself, "O44",
     "Nothing will happen: -ETIMEDOUT, without a time-out -EDEADLK, and it is no later")
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	iomap_word word = 7;
	struct world w;
	int64_t since;

	start(&w, "consumer", 1, 3);
	since = iomap_sim_now_ns(w.sim);
	iomap_sim_env_opts(w.sim, &opts);
	for (unsigned i = 0; i < NR_WAITS - 2; i++)	/* those that end beyond the end of time */
		ck_assert_int_eq(opts.sync->wait(opts.sync_arg, &word, 7, long_waits[i]),
				 i ? -ETIMEDOUT : -EDEADLK);
	ck_assert_int_eq(iomap_sim_now_ns(w.sim), since);
	still_works(&w, 1, since);
	world_delete(&w);
}

CASE(a_wait_that_nobody_can_end, "O44",
     "Outside of a case it is refused when all that was under way has ended, and not before")
{
	iomap_word word = 7;
	struct t_bio b;
	struct world w;
	int64_t since;

	start(&w, "consumer", 1, 3);
	since = iomap_sim_now_ns(w.sim);
	world_send(&b, w.bdev, 1, 1, 'b', 0);
	ck_assert_int_eq(iomap_env_wait(w.env, &word, 7, IOMAP_FOREVER), -EDEADLK);
	ck_assert_uint_eq(b.nr_ends, 1);
	still_works(&w, 2, since);
	world_delete(&w);
}

/* 2^62 is as far as a wait moves it; devices go on behind it. */
CASE(the_end_of_time, "O44", "After 146 years commands and faults still take the time they take")
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	iomap_word word = 7;
	struct t_bio b;
	struct world w;
	int64_t since;

	start(&w, "fifo", 1, 3);
	since = iomap_sim_now_ns(w.sim);
	ck_assert_int_eq(iomap_env_wait(w.env, &word, 7, INT64_MAX / 2 - since), -ETIMEDOUT);
	since = INT64_MAX / 2;
	iomap_sim_env_opts(w.sim, &opts);
	world_send(&b, w.bdev, 0, 1, 'b', 0);
	/* one event, before anybody waits for more */
	ck_assert_int_eq(opts.sync->wait(opts.sync_arg, &word, 7, IOMAP_FOREVER), 0);
	still_works(&w, 1, since);
	ck_assert_int_eq(b.status, 0);
	arm(&w, "at write kind=slow ns=1000000000000000");
	world_send(&b, w.bdev, 1, 1, 'b', 0);
	ck_assert_int_eq(iomap_ioq_poll(w.ioq, 1, 1, 0), 0);
	ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
	ck_assert_int_ge(iomap_sim_now_ns(w.sim) - since, 1000000 * SECOND);
	since = iomap_sim_now_ns(w.sim);
	ck_assert_int_eq(iomap_ioq_drain(w.ioq, INT64_MAX), 0);
	still_works(&w, 2, since);
	world_delete(&w);
}

MAIN()
