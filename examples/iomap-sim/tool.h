/* SPDX-License-Identifier: MIT */
/*
 * tool.h - what the commands of iomap-sim share.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <iomap/sim.h>

#define TOOL_MAX_BUGS	16u
/* An engine, correct (bug 0) or with one of its bugs. */
struct tool_case {
	const char *name;
	unsigned nr_bugs;
	const char *about;		/* lines of the usage */
	const char *fault_kinds;	/* that the correct one has to bear; NULL: none */
	const struct iomap_sim_case *(*get)(unsigned bug);
	const char *(*bug_name)(unsigned bug);
	const char *(*faults)(unsigned bug);	/* NULL: it needs none */
};
extern const struct tool_case *const tool_cases[];	/* NULL ends; kv is the first */

struct tool_opts {
	const struct tool_case *c;
	uint64_t seed, seeds, traces;	/* 0: the command's own number */
	uint64_t bound, from, jobs, bug, images, length;
	bool all_bugs, json, list, require_coverage, twice;
};
/* Exit codes: 0 fine; 1 a failure was found; 2 what was asked for cannot be. */
int tool_check(const struct tool_opts *o);
int tool_replay(const struct tool_opts *o, const char *token);
int tool_digest(const struct tool_opts *o);
int tool_bench(const struct tool_opts *o);
int tool_exhaust(const struct tool_opts *o);
int tool_faults(const struct tool_opts *o);
int tool_legal(const struct tool_opts *o);
double tool_seconds(void);	/* since some moment */

/* ---- progress.c: a bar on terminals, and Ctrl-C ---- */

struct tool_progress {
	const char *what;		/* is counted */
	uint64_t all, states;
	double start, last;
};
void tool_progress_start(struct tool_progress *p, uint64_t all);
/* So many of all, and so many states: non-zero after Ctrl-C. */
int tool_progress(struct tool_progress *p, uint64_t done, uint64_t states);
void tool_progress_end(const struct tool_progress *p);
bool tool_stopped(void);

#endif
