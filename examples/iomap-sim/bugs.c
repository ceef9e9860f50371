/* SPDX-License-Identifier: MIT */
/*
 * bugs.c - each bug of a case must be found, and be shown again by its token.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define BUG_SEEDS	200u		/* in which each bug must be found */

struct found {
	uint64_t seeds[TOOL_MAX_BUGS], ops[TOOL_MAX_BUGS], faults[TOOL_MAX_BUGS];
	unsigned nr;
};

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t median(uint64_t *numbers, unsigned nr)
{
	qsort(numbers, nr, sizeof(*numbers), compare);
	return nr ? numbers[nr / 2] : 0;
}

/* Rules that the failure needs: those of the token. */
static uint64_t faults_of(const char *token)
{
	uint64_t nr = 0;

	for (; (token = strstr(token, "kind=")); token++)
		nr++;
	return nr;
}

static void note(struct found *found, const struct iomap_sim_report *r)
{
	found->seeds[found->nr] = r->seeds;
	found->ops[found->nr] = r->ops;
	found->faults[found->nr++] = faults_of(r->token);
}

static void say_row(FILE *rows, const struct tool_opts *o, int rc, const struct iomap_sim_report *r,
		    double seconds)
{
	fprintf(rows, "bug %2u  %-32s ", (unsigned)o->bug, o->c->bug_name((unsigned)o->bug));
	if (rc)
		fprintf(rows, "%s after %" PRIu64 " seeds, %u operations of %u, %.2f s\n"
			"replay %s\n", r->oracle, r->seeds, r->ops, r->ops_found, seconds,
			r->token);
	else
		fputs("not found\n", rows);
}

/* 0, or negative; b->stopped_at when it was stopped. */
static int find_bug(const struct tool_opts *o, FILE *rows, struct found *found, struct tool_bugs *b)
{
	uint64_t seeds = o->seeds ? o->seeds : BUG_SEEDS;
	struct iomap_sim_report r;
	double start = tool_seconds(), seconds;
	int rc = tool_seeds(o, seeds, false, &r);

	seconds = tool_seconds() - start;
	if (!rc && r.seeds < seeds) {
		b->stopped_at = (unsigned)o->bug;
	} else if (rc >= 0) {
		b->nr++;
		if (rc)
			note(found, &r);
		if (rc && seconds > b->slowest)
			b->slowest = seconds;
		if (rows)
			say_row(rows, o, rc, &r, seconds);
	}
	tool_seeds_end(o, &r);
	return rc < 0 ? rc : 0;
}

int tool_find_bugs(const struct tool_opts *o, FILE *rows, struct tool_bugs *b)
{
	struct tool_opts one = *o;
	struct found found = { .nr = 0 };
	double start = tool_seconds();
	int rc = 0;

	memset(b, 0, sizeof(*b));
	one.bug = o->from ? o->from : 1;
	for (; !rc && !b->stopped_at && one.bug <= o->c->nr_bugs; one.bug++) {
		if (tool_stopped())
			b->stopped_at = (unsigned)one.bug;
		else
			rc = find_bug(&one, rows, &found, b);
	}
	b->found = found.nr;
	b->seeds = median(found.seeds, found.nr);
	b->ops = median(found.ops, found.nr);
	b->faults = median(found.faults, found.nr);
	b->seconds = tool_seconds() - start;
	return rc;
}
