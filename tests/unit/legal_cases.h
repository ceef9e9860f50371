/* SPDX-License-Identifier: MIT */
/*
 * legal_cases.h - the cases of test_sim_legal.c, one by one, for a program of their own.
 */
#ifndef T_LEGAL_CASES_H
#define T_LEGAL_CASES_H

#include <stdbool.h>
#include <stdint.h>

struct legal_cases {
	unsigned traces, letters;	/* of each case: works drawn, the length of those spelled */
	uint64_t seed;
	bool (*stop)(void *arg);	/* asked after each trace */
	void *stop_arg;
	/* Of all that were run. */
	uint64_t nr_traces, nr_images, nr_generated, nr_accepted;
	unsigned nr_alphabets;
};
unsigned legal_cases_nr(void);
const char *legal_cases_name(unsigned n);
/* 0; 1: it is wrong, and text says how; -ECANCELED: it was stopped. */
int legal_cases_run(struct legal_cases *c, unsigned n, const char **text);

#endif
