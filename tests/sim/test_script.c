/* SPDX-License-Identifier: MIT */
/*
 * test_script.c - fault scripts with and without mistakes.
 */
#include "sim/world.h"

CASE(mistakes_are_told, "", "Line, column and what was expected; nothing is armed")
{
	static const struct { const char *script, *error; } mistakes[] = {
		{ "on read kind=eio_read", "line 1, column 1: expected at, or stay alone" },
		{ "at read", "line 1, column 8: expected kind=" },
		{ "at kind=eio_read;\n at read;", "line 2, column 9: expected kind=" },
		{ "at read kind=eio_raed", "line 1, column 14: expected one of eio_read " },
		{ "at read kind=", "line 1, column 14: expected one of" },
		{ "at raed kind=eio_read", "line 1, column 4: expected read, write," },
		{ "at speed=3 kind=eio_read", "line 1, column 4: expected read, write," },
		{ "at read=3 kind=eio_read", "line 1, column 4: expected read, write," },
		{ "at nth kind=eio_read", "line 1, column 4: expected read, write," },
		{ "at read nth=0 kind=eio_read", "line 1, column 13: expected a number from 1" },
		{ "at read nth=1x kind=eio_read", "line 1, column 13: expected a number" },
		{ "at read nth=18446744073709551616 kind=eio_read", "line 1, column 13: expected" },
		{ "at op=-1 kind=eio_read", "line 1, column 7: expected a number" },
		{ "at op=1 nth=1 kind=eio_read", "line 1, column 9: expected op= or nth=" },
		{ "at nth=1 op=1 kind=eio_read", "line 1, column 10: expected op= or nth=" },
		{ "at read\n\tnth=1\n  nth=2 kind=slow", "line 3, column 3: expected this once" },
		{ "at read write kind=busy", "line 1, column 9: expected this once" },
		{ "at addr=5..4 kind=eio_read", "line 1, column 9: expected FIRST..LAST" },
		{ "at addr=5. kind=eio_read", "line 1, column 9: expected FIRST..LAST" },
		{ "at addr=262144 kind=eio_read", "line 1, column 4: expected bytes inside" },
		{ "at flush addr=0 kind=slow", "line 1, column 10: expected no addr=" },
		{ "at dev=tape kind=slow", "line 1, column 8: expected a device" },
		{ "at flush kind=eio_read", "line 1, column 4: expected an operation" },
		{ "at kind=eio_write units=3", "line 1, column 19: expected units= only" },
		{ "at kind=zero_length units=3", "line 1, column 21: expected units= only" },
		{ "at kind=short_write discard", "line 1, column 21: expected an operation that" },
		{ "at kind=partial_batch ns=3", "line 1, column 23: expected ns= only" },
		{ "at kind=eio_write ns=3", "line 1, column 19: expected ns= only" },
		{ "at op=3 kind=alloc_fails", "line 1, column 4: expected nth= only" },
		{ "at kind=short_copy write", "line 1, column 20: expected nth= only" },
		{ "at nth=3 addr=5 kind=short_copy", "line 1, column 10: expected nth= only" },
		{ "at kind=slow ns=1000000000000001", "line 1, column 17: expected nanoseconds" },
	};
	struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };
	struct world w;

	world_new(&w, "consumer", 1);
	ck_assert_str_eq(iomap_sim_fault_error(w.sim), "");
	for (unsigned i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		const char *got;

		ck_assert_int_eq(iomap_sim_fault(w.sim, mistakes[i].script), -EINVAL);
		got = iomap_sim_fault_error(w.sim);
		ck_assert_msg(!strncmp(got, mistakes[i].error, strlen(mistakes[i].error)),
			      "\"%s\": %s", mistakes[i].script, got);
	}
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "eio_read", &counter), 0);
	ck_assert_uint_eq(counter.armed, 0);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "eio", &counter), -ENOENT);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "", &counter), -ENOENT);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, NULL, &counter), -ENOENT);
	ck_assert_int_eq(iomap_sim_fault(w.sim, " ;; \n"), 0);
	ck_assert_str_eq(iomap_sim_fault_error(w.sim), "");
	ck_assert_int_eq(iomap_sim_fault(w.sim, "at addr=262143 kind=eio_read ;\n"
						"\tat\tkind=slow\tns=1000000000000000;"), 0);
	ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "eio_read", &counter), 0);
	ck_assert_uint_eq(counter.armed, 1);
	world_delete(&w);
}

CASE(each_kind_has_a_name, "",
     "A script takes it, and it is counted; there are as many as are told")
{
	unsigned nr = 0;
	struct world w;

	world_new(&w, "consumer", 1);
	for (const char *kind; (kind = iomap_sim_fault_kind(nr)); nr++) {
		struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };
		char script[64];

		snprintf(script, sizeof(script), "at kind=%s", kind);
		ck_assert_int_eq(iomap_sim_fault(w.sim, script), 0);
		ck_assert_int_eq(iomap_sim_fault_counters(w.sim, kind, &counter), 0);
		ck_assert_uint_eq(counter.armed, 1);	/* no name twice */
	}
	ck_assert_uint_ge(nr, 30);
	ck_assert_ptr_null(iomap_sim_fault_kind(nr + 1));
	ck_assert_ptr_null(iomap_sim_fault_kind(UINT32_MAX));
	world_delete(&w);
}

MAIN()
