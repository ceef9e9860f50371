/* SPDX-License-Identifier: MIT */
/*
 * tool.h - what the commands of iomap-sim share.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <iomap/sim.h>

#define TOOL_MAX_BUGS	16u
#define TOOL_MAX_JOBS	64u
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
	const char *command, *argument;	/* argument: a case, a token, or NULL */
	const struct tool_case *c;
	uint64_t seed, seeds, traces;	/* 0: the command's own number */
	uint64_t bound, from, jobs, bug, images, all_images, length;
	bool all_bugs, json, list, require_coverage, twice, help;
	uint32_t given;			/* which of them, by tool_parse */
};
/* Exit codes: 0 fine; 1 a failure was found; 2 what was asked for cannot be, or was stopped. */
int tool_check(struct tool_opts *o);
int tool_replay(struct tool_opts *o);
int tool_digest(struct tool_opts *o);
int tool_bench(struct tool_opts *o);
int tool_exhaust(struct tool_opts *o);
int tool_faults(struct tool_opts *o);
int tool_legal(struct tool_opts *o);
double tool_seconds(void);	/* since some moment */
/* The case that is the argument, or the first: 0, or 2 when there is none, or no such bug of it. */
int tool_find_case(struct tool_opts *o);

/* ---- options.c ---- */

int tool_parse(int argc, char **argv, struct tool_opts *o);	/* 0 or 2 */
int tool_only(const struct tool_opts *o, const char *options);	/* 2: there is another one */
bool tool_given(const struct tool_opts *o, const char *name);
int tool_mistake(const char *what, const char *name);		/* 2 */
/* "stopped; go on with", say, and the command with those options. */
void tool_say_rest(const struct tool_opts *rest, const char *how);
/* What the last line says of an exit code, 2 for stopped: a word, or fields of JSON. */
const char *tool_verdict(const struct tool_opts *o, int rc);

/* ---- seeds.c: seeds of a case, in one process or in o->jobs of them ---- */

/*
 * From o->seed on, with that bug: 0, 1, or negative, of which it has told.  A run that was stopped
 * has done fewer seeds, and says how to go on.
 */
int tool_seeds(const struct tool_opts *o, uint64_t seeds, bool says, struct iomap_sim_report *r);
void tool_seeds_end(const struct tool_opts *o, struct iomap_sim_report *r);

/* ---- bugs.c ---- */

struct tool_bugs {
	unsigned nr, found, stopped_at;		/* stopped_at: a bug; 0: it was not stopped */
	uint64_t seeds, ops, faults;		/* medians */
	double seconds, slowest;		/* slowest: of finding one and shrinking it */
};
/* All from o->from on, told in rows if that is not NULL: 0 or negative. */
int tool_find_bugs(const struct tool_opts *o, FILE *rows, struct tool_bugs *b);

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
