/* SPDX-License-Identifier: MIT */
/*
 * sim/mutant.h - mistakes that a simulator could make, for the proof that they would be noticed.
 *
 * The tests build these sources a second time, with IOMAPI_SIM_MUTANTS, and switch on one after
 * the other.  In the library itself each question is the constant false.
 */
#ifndef IOMAPI_SIM_MUTANT_H
#define IOMAPI_SIM_MUTANT_H

#include <stdbool.h>

enum iomapi_sim_mutant {
	IOMAPI_SIM_NO_MUTANT,
	IOMAPI_SIM_COVERS_FLIGHT,	/* a flush covers what has not completed */
	IOMAPI_SIM_LEAVES_TO_OTHER,	/* nor what an earlier flush carries, still under way */
	IOMAPI_SIM_FUA_LEAKS,		/* FUA covers what completed before it */
	IOMAPI_SIM_FUA_LOST,		/* nor even its own units */
	IOMAPI_SIM_CACHES_ALL,		/* without a cache what completed may be lost */
	IOMAPI_SIM_NEVER_TEARS,
	IOMAPI_SIM_TEARS_GROUPS,	/* what is written as a whole, too */
	IOMAPI_SIM_BRINGS_BACK,		/* what lies below a durable version */
	IOMAPI_SIM_SHEARS_COMPLETED,
	IOMAPI_SIM_HURTS_ALWAYS,	/* neighbours, where overwriting is power-safe */
	IOMAPI_SIM_NO_ORDER,		/* anything without what is before it */
	IOMAPI_SIM_FAILED_IS_ABSENT,
	IOMAPI_SIM_LEAVES_HOLES,	/* behind the write pointer of a zone */
	IOMAPI_SIM_NR_MUTANTS,
};

#ifdef IOMAPI_SIM_MUTANTS
extern enum iomapi_sim_mutant iomapi_sim_mutant;
#define iomapi_sim_is(what)	(iomapi_sim_mutant == (what))
#else
#define iomapi_sim_is(what)	((void)(what), false)
#endif

#endif
