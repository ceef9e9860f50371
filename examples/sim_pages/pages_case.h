/* SPDX-License-Identifier: MIT */
/*
 * pages_case.h - the database as a case for iomap_sim_check, with a bug of enum pages_bug or none.
 */
#ifndef PAGES_CASE_H
#define PAGES_CASE_H

#include "pages.h"

/* NULL: no such bug. */
const struct iomap_sim_case *pages_case(unsigned bug);
/* The correct one on devices of a preset; valid until the next call.  NULL: no such preset, or one
 * whose sectors shear, which is more than a double-write area survives. */
const struct iomap_sim_case *pages_case_correct_on(const char *preset);
/* The faults without which that bug does nothing; NULL: none. */
const char *pages_case_faults(unsigned bug);
const char *pages_bug_name(unsigned bug);
const char *pages_bug_oracle(unsigned bug);	/* that finds it */
/* Kinds of faults that the correct one survives, for iomap_sim_cfg. */
extern const char pages_fault_kinds[];

#endif
