/* SPDX-License-Identifier: MIT */
/*
 * iomap-sim - the explorer at work: on example engines, on two files of libiomap, on itself.
 *
 * Results go to stdout, the last line is for machines; progress and mistakes to stderr.
 */
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

static const char usage[] =
	"usage: iomap-sim COMMAND [OPTION..]\n"
	"\n"
	"  check CASE [--bug N | --all-bugs] [--seed N] [--seeds N] [--images N] [--jobs N]\n"
	"             [--twice]\n"
	"      30 operations a seed, power that goes at 16 events of each; the engine is correct,\n"
	"      or has a bug\n"
	"        --images N   what survived is drawn N times for each power failure (1)\n"
	"        --jobs N     processes\n"
	"        --twice      run each seed again: it must be the same, event by event\n",
	more_usage[] =
	"  exhaust [--length N] [--bound N] [--from N] [--bug N] [--list]\n"
	"      all words of N letters (2) of an alphabet of 12 operations on two files of\n"
	"      libiomap, power that goes before every event, and all that may be found then\n"
	"        --bound N    images at most; that is a sample, not all\n"
	"        --from N     go on where Ctrl-C stopped it\n"
	"        --bug N      with one of 3 mistakes\n"
	"        --list       print the alphabet, and do nothing\n"
	"  faults [--seed N] [--from N] [--require-coverage]\n"
	"      each kind of fault, on the store and on the two files: does it happen, is it heard\n"
	"      of, do they survive, say so, or fail\n"
	"        --require-coverage   exit code 1 when one did not happen, or was not heard of\n"
	"  legal [--traces N] [--seed N] [--length N] [--from N]\n"
	"      crash images of N random traces (2000) on all kinds of devices, held to a second\n"
	"      implementation of the fault model; and of all works of a few letters: none may be\n"
	"      illegal, none missing\n"
	"        --length N   letters of a work (4)\n"
	"  replay TOKEN\n"
	"      a failure again; exit code 1: it fails, 0: it does no longer, 2: a bad token\n"
	"  digest [CASE] [--seeds N]\n"
	"      one number of all that happens in N seeds: the same with every compiler (kv)\n"
	"  bench\n"
	"      what an image, a seed, a log of 40 sectors in flight and a switch of tasks cost\n"
	"\n"
	"With --json the last line is for a program.  Progress is shown on terminals; Ctrl-C ends\n"
	"a command early and says how to go on.  Exit code 0: fine, 1: a failure was found, 2: it\n"
	"cannot be done.\n";

static int help(FILE *f)
{
	fputs(usage, f);
	for (const struct tool_case *const *c = tool_cases; *c; c++)
		fputs((*c)->about, f);
	fputs(more_usage, f);
	return f == stdout ? 0 : 2;
}

double tool_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool number(const char *text, uint64_t max, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	return !errno && end != text && !*end && text[0] != '-' && *n <= max;
}

static int mistake(const char *what, const char *name)
{
	fprintf(stderr, "iomap-sim: %s %s; see iomap-sim --help\n", what, name);
	return 2;
}

/* A number up to max; or a flag, where max is 0. */
static const struct value {
	const char *name;
	size_t at;
	uint64_t max;
} values[] = {
#define VALUE(name, field, max) { name, offsetof(struct tool_opts, field), max }
	VALUE("seed", seed, UINT64_MAX), VALUE("seeds", seeds, UINT64_MAX),
	VALUE("traces", traces, UINT64_MAX), VALUE("bound", bound, UINT64_MAX),
	VALUE("from", from, UINT64_MAX), VALUE("bug", bug, 12), VALUE("images", images, 64),
	VALUE("jobs", jobs, 64), VALUE("length", length, 12),
	VALUE("all-bugs", all_bugs, 0), VALUE("json", json, 0), VALUE("list", list, 0),
	VALUE("require-coverage", require_coverage, 0), VALUE("twice", twice, 0),
};
#define NR_VALUES	(sizeof(values) / sizeof(*values))

static int parse(int argc, char **argv, struct tool_opts *o)
{
	struct option table[NR_VALUES + 1] = { 0 };
	int c;

	for (size_t i = 0; i < NR_VALUES; i++)
		table[i] = (struct option){
			values[i].name, values[i].max ? required_argument : no_argument, NULL,
			(int)i + 256,
		};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		const struct value *v = c < 256 ? NULL : &values[c - 256];
		uint64_t n = 1;

		if (!v)
			return mistake(c == ':' ? "no value for" : "unknown option",
				       argv[optind - 1]);
		if (v->max && !number(optarg, v->max, &n))
			return mistake("not a number that can be:", optarg);
		if (v->max)
			*(uint64_t *)((char *)o + v->at) = n;
		else
			*(bool *)((char *)o + v->at) = true;
	}
	return 0;
}

static int on_case(struct tool_opts *o, const char *name, int (*run)(const struct tool_opts *o))
{
	const struct tool_case *const *c = tool_cases;

	while (*c && strcmp((*c)->name, name))
		c++;
	if (!*c)
		return mistake("there is no case", name);
	o->c = *c;
	if (o->bug > o->c->nr_bugs)
		return mistake("there is no such bug in", name);
	return run(o);
}

int main(int argc, char **argv)
{
	struct tool_opts o = { .c = tool_cases[0], .jobs = 1 };
	const char *command = argc > 1 ? argv[1] : "--help";
	int rc;

	if (!strcmp(command, "--help") || !strcmp(command, "help"))
		return help(argc > 1 ? stdout : stderr);
	rc = parse(argc - 1, argv + 1, &o);
	if (rc)
		return rc;
	argv += optind + 1;
	argc -= optind + 1;
	if (!strcmp(command, "check"))
		return argc == 1 ? on_case(&o, argv[0], tool_check)
				 : mistake("check wants", "one case");
	if (!strcmp(command, "digest") && argc < 2)
		return on_case(&o, argc ? argv[0] : tool_cases[0]->name, tool_digest);
	if (!strcmp(command, "replay"))
		return argc == 1 ? tool_replay(&o, argv[0]) : mistake("replay wants", "one token");
	if (argc)
		return mistake("what is", argv[0]);
	if (!strcmp(command, "faults"))
		return tool_faults(&o);
	if (!strcmp(command, "legal"))
		return tool_legal(&o);
	if (!strcmp(command, "exhaust"))
		return tool_exhaust(&o);
	if (!strcmp(command, "bench"))
		return tool_bench(&o);
	return mistake("unknown command", command);
}
