/* SPDX-License-Identifier: MIT */
/*
 * test_kv.c - a unit test: whatever power and devices do, the store keeps what it promised.
 *
 * One seed is 30 operations and 16 power failures among them, each with another choice of what had
 * reached the medium.  The same seed is the same run, everywhere.
 */
#include <check.h>
#include <stdio.h>

#include "kv_case.h"

static void run(const struct iomap_sim_case *c, const char *faults, uint64_t nr_seeds)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = nr_seeds, .faults = faults,
	};
	struct iomap_sim_report report = { .struct_size = sizeof(report) };
	int rc = iomap_sim_check(c, &cfg, &report);

	if (rc)
		fputs(report.text ? report.text : "the case cannot be run\n", stderr);
	iomap_sim_report_fini(&report);
	ck_assert_int_eq(rc, 0);
}

START_TEST(keeps_promises_when_power_fails)
{
	run(kv_case(KV_CORRECT), NULL, 200);
}
END_TEST

START_TEST(keeps_promises_when_a_write_fails_too)
{
	run(kv_case(KV_CORRECT), "at write dev=log nth=3 kind=eio_write", 200);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kv");
	TCase *tcase = tcase_create("power");
	SRunner *runner = srunner_create(suite);
	int nr_failed;

	tcase_add_test(tcase, keeps_promises_when_power_fails);
	tcase_add_test(tcase, keeps_promises_when_a_write_fails_too);
	tcase_set_timeout(tcase, 120);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	nr_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return nr_failed != 0;
}
