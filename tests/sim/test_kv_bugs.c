/* SPDX-License-Identifier: MIT */
/*
 * test_kv_bugs.c - the explorer finds the bugs of the example store, and none in the correct one.
 *
 * A bug is a line or two, and takes a device, sometimes a fault, and a power failure that show it;
 * the correct store runs on the same devices with the same faults.
 */
#include "harness/harness.h"
#include "sim_unit_test/kv_case.h"

#define MAX_SEEDS	200u
#define ENOUGH_SEEDS	20u		/* to find each */

#ifdef NDEBUG
#define SEEDS		2000u
#else
#define SEEDS		(t_sanitized() ? 30u : 300u)
#endif

#define FIRST_SEED	1u

/* How many seeds it took to fail, or 0: none did. */
static uint64_t seeds_to_fail(const struct iomap_sim_case *c, const char *faults, uint64_t nr_seeds)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .seed = FIRST_SEED, .nr_seeds = nr_seeds,
		.faults = faults, .no_shrink = true,
	};
	struct iomap_sim_report report = { .struct_size = sizeof(report) };
	int rc = iomap_sim_check(c, &cfg, &report);
	uint64_t seeds = rc ? report.seed - FIRST_SEED + 1 : 0;

	if (rc)
		printf("%s", report.text ? report.text : "no report\n");
	iomap_sim_report_fini(&report);
	ck_assert_int_ge(rc, 0);
	return seeds;
}

CASE_TIMEOUT(each_bug_is_found, "", "Each of the classic bugs is found within a few seeds", 120)
{
	unsigned nr_quick = 0;

	for (unsigned bug = 1; bug < KV_NR_BUGS; bug++) {
		uint64_t seeds = seeds_to_fail(kv_case(bug), kv_case_faults(bug), MAX_SEEDS);

		printf("bug %2u, %s: %llu seeds\n", bug, kv_bug_name(bug),
		       (unsigned long long)seeds);
		ck_assert_msg(seeds, "bug %u is not found", bug);
		ck_assert_uint_lt(seeds, ENOUGH_SEEDS);
		nr_quick += seeds <= 3;
	}
	ck_assert_uint_ge(2 * nr_quick, KV_NR_BUGS - 1);
}

CASE_TIMEOUT(no_bug_no_failure, "", "The correct store passes with each bug's devices and faults",
	     300)
{
	for (unsigned bug = 0; bug < KV_NR_BUGS; bug++)
		ck_assert_uint_eq(seeds_to_fail(kv_case_correct_like(bug), kv_case_faults(bug),
						SEEDS), 0);
}

CASE_TIMEOUT(any_device_will_do, "", "The correct store passes on each preset, with all faults",
	     300)
{
	static const char *const presets[] = {
		"plp", "consumer", "atomic16k", "sata512e", "multiqueue", "cruel", "fifo",
	};

	for (unsigned i = 0; i < sizeof(presets) / sizeof(*presets); i++)
		for (unsigned bug = 0; bug < KV_NR_BUGS; bug++) {
			const char *faults = kv_case_faults(bug);

			if (bug && !faults)
				continue;
			ck_assert_uint_eq(seeds_to_fail(kv_case_correct_on(presets[i]), faults,
							SEEDS / 3), 0);
		}
}

CASE(there_are_twelve, "", "Each bug has a name and a case; what is no bug has none")
{
	for (unsigned bug = 0; bug < KV_NR_BUGS; bug++) {
		ck_assert_ptr_nonnull(kv_bug_name(bug));
		ck_assert_ptr_nonnull(kv_case(bug));
	}
	ck_assert_uint_eq(KV_NR_BUGS, 13);
	ck_assert_ptr_null(kv_case(KV_NR_BUGS));
	ck_assert_ptr_null(kv_bug_name(KV_NR_BUGS));
	ck_assert_ptr_null(kv_case_faults(KV_NR_BUGS));
	ck_assert_ptr_null(kv_case_correct_like(KV_NR_BUGS));
	ck_assert_ptr_null(kv_case_correct_on("no such preset"));
}

MAIN()
