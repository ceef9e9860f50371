/* SPDX-License-Identifier: MIT */
/*
 * test_sim_choice.c - the choice stream: even, repeatable, recorded and played back.
 */
#include "harness/harness.h"

#include "sim/sim.h"

#define DRAWS 60000u

CASE(draws_are_even, "", "Each of n values comes as often as the others, within what chance allows")
{
	static const uint32_t sizes[] = { 2, 3, 7, 10, 100 };

	for (unsigned s = 0; s < 5; s++) {
		unsigned count[100] = { 0 }, n = sizes[s];
		struct iomapi_sim_choice c;
		double off = 0;

		iomapi_sim_choice_init(&c, s);
		for (unsigned i = 0; i < DRAWS; i++)
			count[iomapi_sim_draw(&c, "x", n)]++;
		for (unsigned i = 0; i < n; i++) {
			double d = count[i] - (double)DRAWS / n;

			off += d * d * n / DRAWS;
		}
		/* chi-square with n - 1 degrees of freedom: far beyond any quantile of use */
		ck_assert_double_lt(off, 2.0 * n + 30);
	}
}

CASE(a_seed_is_a_stream, "", "The same seed gives the same draws, another one others")
{
	struct iomapi_sim_choice a, b, c;
	unsigned same = 0;

	iomapi_sim_choice_init(&a, 1);
	iomapi_sim_choice_init(&b, 1);
	iomapi_sim_choice_init(&c, 2);
	for (unsigned i = 0; i < 1000; i++) {
		uint32_t value = iomapi_sim_draw(&a, "x", 1000);

		ck_assert_uint_eq(value, iomapi_sim_draw(&b, "x", 1000));
		same += value == iomapi_sim_draw(&c, "x", 1000);
	}
	ck_assert_uint_lt(same, 20);
}

CASE(a_record_is_played_back, "", "What was recorded decides again; when it is used up, 0 does")
{
	struct iomapi_sim_choice a, b;

	iomapi_sim_choice_init(&a, 3);
	a.max_record = 4;
	a.record = iomapi_sim_alloc(a.max_record * sizeof(*a.record));
	for (unsigned i = 0; i < 100; i++)
		iomapi_sim_draw(&a, "x", i + 1);
	ck_assert_uint_eq(a.nr_record, 100);
	ck_assert(!a.lost);
	iomapi_sim_choice_init(&b, 4);
	b.replays = true;
	b.replay = a.record;
	b.nr_replay = a.nr_record;
	for (unsigned i = 0; i < 100; i++)
		ck_assert_uint_eq(iomapi_sim_draw(&b, "x", i + 1), a.record[i].value);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(iomapi_sim_draw(&b, "x", 100), 0);
	b.next = 99;		/* a value too large for where it is used is brought into range */
	ck_assert_uint_lt(iomapi_sim_draw(&b, "x", 3), 3);
	iomapi_sim_free(a.record);
}

CASE(keyed_draws_do_not_shift, "", "Noise depends on its key alone, byte by byte the same")
{
	uint8_t a[24], b[16];

	iomapi_sim_noise(a, sizeof(a), 1, 2, 3);
	iomapi_sim_noise(b, sizeof(b), 1, 2, 3);
	ck_assert_mem_eq(a, b, sizeof(b));
	iomapi_sim_noise(b, sizeof(b), 1, 3, 2);
	ck_assert_mem_ne(a, b, sizeof(b));
	ck_assert_mem_ne(a, a + 8, 8);
	ck_assert_uint_ne(iomapi_sim_mix(1, 2, 3, 4), iomapi_sim_mix(1, 2, 4, 3));
	ck_assert_uint_ne(iomapi_sim_mix(1, 2, 3, 4), iomapi_sim_mix(2, 1, 3, 4));
}

MAIN()
