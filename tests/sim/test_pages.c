/* SPDX-License-Identifier: MIT */
/*
 * test_pages.c - the explorer finds the bugs of the example database, and none in the correct one.
 *
 * Six mistakes that page writers make, each found by the oracle that is about it, on the devices on
 * which the correct database runs, with the same faults.
 */
#include "harness/harness.h"
#include "sim_pages/pages_case.h"

#define MAX_SEEDS	200u
#define MEDIAN_SEEDS	5u

#ifdef NDEBUG
#define SEEDS		2000u
#else
#define SEEDS		(t_sanitized() ? 30u : 300u)
#endif

/* 0 or 1; the report is the caller's to give back. */
static int run(const struct iomap_sim_case *c, const struct iomap_sim_cfg *cfg,
	       struct iomap_sim_report *report)
{
	int rc;

	*report = (struct iomap_sim_report){ .struct_size = sizeof(*report) };
	rc = iomap_sim_check(c, cfg, report);
	if (rc)
		printf("%s", report->text ? report->text : "no report\n");
	ck_assert_int_ge(rc, 0);
	return rc;
}

static void passes(const struct iomap_sim_case *c, const char *faults, const char *kinds,
		   uint64_t nr_seeds)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = nr_seeds, .faults = faults,
		.fault_kinds = kinds, .max_faults = 3,
	};
	struct iomap_sim_report report;

	ck_assert_int_eq(run(c, &cfg, &report), 0);
	ck_assert_uint_eq(report.seeds, nr_seeds);
	if (nr_seeds >= 300) {		/* all that is worth a crash was met, and each fault */
		ck_assert_str_eq(report.never, "");
		ck_assert_str_eq(report.unfired, "");
	}
	iomap_sim_report_fini(&report);
}

/* By its oracle; and its token shows it again. */
static uint64_t find(unsigned bug)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = MAX_SEEDS,
		.faults = pages_case_faults(bug), .no_shrink = t_sanitized(),
	};
	struct iomap_sim_report report, again = { .struct_size = sizeof(again) };
	int rc = run(pages_case(bug), &cfg, &report);

	ck_assert_msg(rc == 1, "bug %u is not found", bug);
	ck_assert_str_eq(report.oracle, pages_bug_oracle(bug));
	ck_assert_uint_le(report.ops, report.ops_found);
	ck_assert_str_ne(report.token, "");
	ck_assert_int_eq(iomap_sim_replay(pages_case(bug), report.token, &again), 1);
	ck_assert_str_eq(again.oracle, report.oracle);
	iomap_sim_report_fini(&again);
	iomap_sim_report_fini(&report);
	return report.seeds;
}

CASE_TIMEOUT(each_bug_is_found, "", "Each of the six is found by its oracle within a few seeds",
	     250)
{
	unsigned nr_quick = 0;

	for (unsigned bug = 1; bug < PAGES_NR_BUGS; bug++) {
		uint64_t seeds = find(bug);

		printf("bug %u, %s: %llu seeds\n", bug, pages_bug_name(bug),
		       (unsigned long long)seeds);
		nr_quick += seeds <= MEDIAN_SEEDS;
	}
	ck_assert_uint_ge(2 * nr_quick, PAGES_NR_BUGS - 1);
}

CASE_TIMEOUT(the_correct_one_passes, "", "No alarm where there is no bug, and all of it was met",
	     250)
{
	passes(pages_case(PAGES_CORRECT), NULL, NULL, SEEDS);
}

CASE_TIMEOUT(faults_do_not_matter, "", "Up to three faults of any kind, and nothing is lost", 250)
{
	passes(pages_case(PAGES_CORRECT), NULL, pages_fault_kinds, SEEDS);
}

CASE_TIMEOUT(no_bug_no_failure, "", "The correct database passes with each bug's faults", 250)
{
	for (unsigned bug = 1; bug < PAGES_NR_BUGS; bug++)
		passes(pages_case(PAGES_CORRECT), pages_case_faults(bug), NULL, SEEDS / 10);
}

CASE_TIMEOUT(any_device_that_does_not_shear, "", "The correct database passes on each preset", 250)
{
	static const char *const presets[] = {
		"plp", "consumer", "atomic16k", "sata512e", "multiqueue", "fifo",
	};

	for (unsigned i = 0; i < sizeof(presets) / sizeof(*presets); i++)
		passes(pages_case_correct_on(presets[i]), NULL, pages_fault_kinds, SEEDS / 10);
}

CASE(a_copy_of_a_page_that_is_dropped, "",
     "A flush of the double-write area failed, the table is dropped: the database is broken still")
{
	struct iomap_sim_report report = { .struct_size = sizeof(report) };

	ck_assert_int_eq(iomap_sim_replay(pages_case_correct_on("atomic16k"),
		"pages:18de1:0:0:0:TU3D0U61F1214E1c0U550U3X10121JU4R1EU2N:::"
		"at+nth=3+kind=flush_error;+at+nth=8+kind=eio_read:7e976f", &report), 0);
	iomap_sim_report_fini(&report);
}

CASE(a_seed_is_a_run, "", "The same seed twice is the same run, bit for bit")
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 10, .twice = true,
		.fault_kinds = pages_fault_kinds,
	};
	struct iomap_sim_report report;

	ck_assert_int_eq(run(pages_case(PAGES_CORRECT), &cfg, &report), 0);
	ck_assert_uint_ne(report.digest, 0);
	iomap_sim_report_fini(&report);
}

CASE(there_are_six, "", "Each bug has a name, an oracle and a case; what is no bug has none")
{
	for (unsigned bug = 0; bug < PAGES_NR_BUGS; bug++) {
		ck_assert_ptr_nonnull(pages_case(bug));
		ck_assert_ptr_nonnull(pages_bug_name(bug));
		ck_assert((pages_bug_oracle(bug) == NULL) == (bug == PAGES_CORRECT));
	}
	ck_assert_uint_eq(PAGES_NR_BUGS, 7);
	ck_assert_ptr_null(pages_case(PAGES_NR_BUGS));
	ck_assert_ptr_null(pages_bug_name(PAGES_NR_BUGS));
	ck_assert_ptr_null(pages_case_faults(PAGES_NR_BUGS));
	ck_assert_ptr_null(pages_case_correct_on("no such preset"));
	ck_assert_ptr_null(pages_case_correct_on("cruel"));
}

MAIN()
