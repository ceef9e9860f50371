/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of a measuring program.
 *
 * A table names each option and what it sets, by one of its pointers; the last entry has no name.
 *
 * Threads: one.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct bench_option {
	const char *name;
	bool *yes, *no;			/* takes nothing; becomes true, false */
	const char **text;
	uint64_t *number;		/* 1..max */
	unsigned *small;		/* the same */
	uint64_t max;
	bool (*parse)(const char *text, void *arg);	/* anything else; false: not that */
	void *arg;
};

/* False, and usage on stderr: something is not as the table says. */
bool options_parse(int argc, char **argv, const struct bench_option *table, const char *usage);

#endif
