/* SPDX-License-Identifier: MIT */
/*
 * cases.c - the engines that iomap-sim knows.
 */
#include <stddef.h>

#include "sim_pages/pages_case.h"
#include "sim_unit_test/kv_case.h"
#include "tool.h"

static const struct tool_case kv = {
	.name = "kv", .nr_bugs = KV_NR_BUGS - 1, .about =
	"      kv: a key-value store with a write-ahead log, by plain calls; 12 classic bugs\n",
	.get = kv_case, .bug_name = kv_bug_name, .faults = kv_case_faults,
};
static const struct tool_case pages = {
	.name = "pages", .nr_bugs = PAGES_NR_BUGS - 1, .about =
	"      pages: a database's page writer on libiomap, with a log, a double-write area and\n"
	"             checkpoints, and some fault or other in every second seed; 6 bugs\n",
	.fault_kinds = pages_fault_kinds,
	.get = pages_case, .bug_name = pages_bug_name, .faults = pages_case_faults,
};
_Static_assert(KV_NR_BUGS <= TOOL_MAX_BUGS && PAGES_NR_BUGS <= TOOL_MAX_BUGS,
	       "what --all-bugs has room for");

const struct tool_case *const tool_cases[] = { &kv, &pages, NULL };
