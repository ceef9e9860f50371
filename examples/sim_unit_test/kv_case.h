/* SPDX-License-Identifier: MIT */
/*
 * kv_case.h - the store as a case for iomap_sim_check, with a bug of enum kv_bug or none.
 */
#ifndef KV_CASE_H
#define KV_CASE_H

#include "kv.h"

/* On devices on which that bug matters; NULL: no such bug. */
const struct iomap_sim_case *kv_case(unsigned bug);
/* The correct store on the devices of that bug. */
const struct iomap_sim_case *kv_case_correct_like(unsigned bug);
/* And on three devices of a preset; valid until the next call.  NULL: no such preset. */
const struct iomap_sim_case *kv_case_correct_on(const char *preset);
/* Operations of all works so far that the store said had failed. */
uint64_t kv_case_errors(const struct iomap_sim_case *c);
/* The faults without which that bug does nothing; NULL: none. */
const char *kv_case_faults(unsigned bug);
const char *kv_bug_name(unsigned bug);

#endif
