/* SPDX-License-Identifier: MIT */
/*
 * tool.h - what the commands of iomap-sim share.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stdint.h>

struct tool_opts {
	uint64_t seed, seeds;		/* seeds 0: the command's own number */
	unsigned jobs, bug, images;
	bool all_bugs, json;
};
/* Exit codes: 0 fine; 1 a failure was found; 2 what was asked for cannot be. */
int tool_check(const struct tool_opts *o);
int tool_replay(const char *token);
int tool_digest(const struct tool_opts *o);
int tool_bench(const struct tool_opts *o);
double tool_seconds(void);	/* since some moment */

#endif
