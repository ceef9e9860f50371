/* SPDX-License-Identifier: MIT */
/*
 * iomap-sim - the explorer at work: on example engines, on two files of libiomap, on itself.
 *
 * Results go to stdout, the last line is for machines; progress and mistakes to stderr.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

static const char usage[] =
	"usage: iomap-sim COMMAND [OPTION..]\n"
	"\n"
	"  check CASE [--bug N | --all-bugs] [--seed N] [--seeds N] [--images N] [--jobs N]\n"
	"      30 operations a seed, power that goes at 16 events of each; the engine is correct,\n"
	"      or has a bug\n"
	"        --images N   what survived is drawn N times for each power failure (1)\n"
	"        --jobs N     processes\n",
	more_usage[] =
	"  exhaust [--length N] [--bound N] [--from N] [--bug N] [--list]\n"
	"      all words of N letters (2) of an alphabet of 12 operations on two files of\n"
	"      libiomap, power that goes before every event, and all that may be found then\n"
	"        --bound N    images at most; that is a sample, not all\n"
	"        --from N     go on where Ctrl-C stopped it\n"
	"        --bug N      with one of 3 mistakes\n"
	"        --list       print the alphabet, and do nothing\n"
	"  faults [--seed N] [--require-coverage]\n"
	"      each kind of fault, on the store and on the two files: does it happen, is it\n"
	"      heard of, do they survive, say so, or fail\n"
	"        --require-coverage   exit code 1 when one did not happen, or was not heard of\n"
	"  replay TOKEN\n"
	"      a failure again; exit code 1: it fails, 0: it does no longer, 2: a bad token\n"
	"  digest [--seeds N]\n"
	"      one number of all that happens in N seeds: the same with every compiler\n"
	"  bench\n"
	"      what an image, a seed and a log of 40 sectors in flight cost\n"
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

static int parse(int argc, char **argv, struct tool_opts *o)
{
	static const struct option table[] = {
		{ "bug", required_argument, NULL, 'b' },
		{ "all-bugs", no_argument, NULL, 'a' },
		{ "seed", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "images", required_argument, NULL, 'i' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "length", required_argument, NULL, 'l' },
		{ "bound", required_argument, NULL, 'B' },
		{ "from", required_argument, NULL, 'f' },
		{ "list", no_argument, NULL, 'L' },
		{ "require-coverage", no_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'o' },
		{ 0 },
	};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		uint64_t n = 0, max = strchr("snBf", c) ? UINT64_MAX : 64;

		if (c == '?' || c == ':')
			return mistake(c == ':' ? "no value for" : "unknown option",
				       argv[optind - 1]);
		if (!strchr("aoLc", c) && (!number(optarg, max, &n) || (c == 'j' && !n)))
			return mistake("not a number that can be:", optarg);
		switch (c) {
		case 'b':
			o->bug = (unsigned)n;
			break;
		case 'a':
			o->all_bugs = true;
			break;
		case 's':
			o->seed = n;
			break;
		case 'n':
			o->seeds = n;
			break;
		case 'i':
			o->images = (unsigned)n;
			break;
		case 'j':
			o->jobs = (unsigned)n;
			break;
		case 'l':
			o->length = (unsigned)n;
			break;
		case 'B':
			o->bound = n;
			break;
		case 'f':
			o->from = n;
			break;
		case 'L':
			o->list = true;
			break;
		case 'c':
			o->require_coverage = true;
			break;
		case 'o':
			o->json = true;
			break;
		}
	}
	return 0;
}

static int check(struct tool_opts *o, const char *name)
{
	const struct tool_case *const *c = tool_cases;

	while (*c && strcmp((*c)->name, name))
		c++;
	if (!*c)
		return mistake("check wants a case, and there is none that is called", name);
	o->c = *c;
	if (o->bug > o->c->nr_bugs)
		return mistake("there is no such bug in", name);
	return tool_check(o);
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
		return argc == 1 ? check(&o, argv[0]) : mistake("check wants", "one case");
	if (!strcmp(command, "replay"))
		return argc == 1 ? tool_replay(argv[0]) : mistake("replay wants", "one token");
	if (argc)
		return mistake("what is", argv[0]);
	if (!strcmp(command, "faults"))
		return tool_faults(&o);
	if (!strcmp(command, "exhaust"))
		return tool_exhaust(&o);
	if (o.bug > o.c->nr_bugs)
		return mistake("there is no such bug in", o.c->name);
	if (!strcmp(command, "digest"))
		return tool_digest(&o);
	if (!strcmp(command, "bench"))
		return tool_bench(&o);
	return mistake("unknown command", command);
}
