/* SPDX-License-Identifier: MIT */
/*
 * test_sim_mutants.c - a simulator that makes mistakes is noticed by the second model.
 *
 * The cases of test_sim_legal.c, and the simulator itself, are built once more for this program,
 * with the switches of sim/mutant.h.
 */
#include "harness/harness.h"
#include "sim/mutant.h"
#include "unit/legal_cases.h"

enum iomapi_sim_mutant iomapi_sim_mutant;

static const struct {
	enum iomapi_sim_mutant mutant;
	const char *what, *noticed_by;		/* a case of test_sim_legal.c */
} mutants[] = {
	{ IOMAPI_SIM_COVERS_FLIGHT, "a flush that covers what is in flight", "all_with_a_cache" },
	{ IOMAPI_SIM_LEAVES_TO_OTHER, "two flushes, and the later one does nothing",
	  "drawn_consumer" },
	{ IOMAPI_SIM_FUA_LEAKS, "FUA that leaks to others", "all_with_a_cache" },
	{ IOMAPI_SIM_FUA_LOST, "FUA that is lost", "drawn_consumer" },
	{ IOMAPI_SIM_CACHES_ALL, "a cache where there is none", "drawn_plp" },
	{ IOMAPI_SIM_NEVER_TEARS, "writes that never tear", "all_with_a_cache" },
	{ IOMAPI_SIM_TEARS_GROUPS, "a tear inside an atomic group", "drawn_atomic16k" },
	{ IOMAPI_SIM_BRINGS_BACK, "a version older than the durable one", "drawn_consumer" },
	{ IOMAPI_SIM_SHEARS_COMPLETED, "shorn sectors that were complete", "drawn_cruel" },
	{ IOMAPI_SIM_HURTS_ALWAYS, "neighbours hurt in spite of the promise", "drawn_mixtures" },
	{ IOMAPI_SIM_NO_ORDER, "no prefix where there is an order", "drawn_fifo" },
	{ IOMAPI_SIM_FAILED_IS_ABSENT, "failed writes that are never there", "all_failed" },
	{ IOMAPI_SIM_LEAVES_HOLES, "a hole behind a write pointer", "drawn_zones" },
};
#define NR_MUTANTS	(sizeof(mutants) / sizeof(*mutants))
#define TRACES		600u			/* enough to notice each */

static int run(const char *name, unsigned traces, const char **text)
{
	struct legal_cases c = { .traces = traces, .letters = 4, .seed = 1 };

	for (unsigned n = 0; n < legal_cases_nr(); n++)
		if (!strcmp(legal_cases_name(n), name))
			return legal_cases_run(&c, n, text);
	ck_abort_msg("there is no case %s", name);
	return -1;
}

/* Another one is noticed by the same case. */
static bool seen_before(unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (!strcmp(mutants[k].noticed_by, mutants[i].noticed_by))
			return true;
	return false;
}

CASE_TIMEOUT(without_a_mistake, "O1", "Each of these cases passes while no switch is on", 200)
{
	unsigned traces = t_sanitized() ? TRACES / 6 : TRACES;
	const char *text;

	for (unsigned i = 0; i < NR_MUTANTS; i++)
		if (!seen_before(i))
			ck_assert_msg(!run(mutants[i].noticed_by, traces, &text), "%s", text);
}

CASE_TIMEOUT(each_is_noticed, "O1", "Each mistake of the simulator fails a case", 200)
{
	const char *text;

	ck_assert_uint_eq(NR_MUTANTS + 1, IOMAPI_SIM_NR_MUTANTS);
	for (unsigned i = 0; i < NR_MUTANTS; i++) {
		iomapi_sim_mutant = mutants[i].mutant;
		ck_assert_msg(run(mutants[i].noticed_by, TRACES, &text) == 1,
			      "%s: not noticed by %s", mutants[i].what, mutants[i].noticed_by);
		printf("%-44s %s\n", mutants[i].what, text);
	}
}

MAIN()
