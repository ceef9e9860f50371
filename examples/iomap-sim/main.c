/* SPDX-License-Identifier: MIT */
/*
 * iomap-sim - the explorer at work: on example engines, on two files of libiomap, on itself.
 *
 * Results go to stdout, the last line is for machines; progress and mistakes to stderr.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tool.h"

static const char usage[] =
	"usage: iomap-sim COMMAND [OPTION..]\n"
	"\n"
	"  check CASE [--bug N | --all-bugs [--from N]] [--seed N] [--seeds N]\n"
	"             [--images N | --all-images N] [--jobs N] [--twice]\n"
	"      30 operations a seed (1000), power that goes at 16 events of each; the engine is\n"
	"      correct, or has a bug; level= says which images of each crash were judged\n"
	"        --images N   what survived is drawn N times for each power failure (1)\n"
	"        --all-images N   all that may have survived, if that is no more than N; else as\n"
	"                     many of the levels ends, lines, pairs, tears, and drawn ones\n"
	"        --jobs N     processes\n"
	"        --twice      run each seed again: it must be the same, event by event\n"
	"        --from N     of all bugs those from this one on\n",
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
	"  digest [CASE] [--bug N] [--seed N] [--seeds N] [--images N]\n"
	"      one number of all that happens in N seeds: the same with every compiler (kv)\n"
	"  bench\n"
	"      what an image, a seed, a log of 40 sectors in flight and a switch of tasks cost;\n"
	"      how long 50000 seeds of kv take in two processes, and finding each of its bugs\n"
	"\n"
	"With --json the last line is for a program.  Progress is shown on terminals; Ctrl-C ends\n"
	"a command early and says how to go on.  Exit code 0: fine, 1: a failure was found, 2: it\n"
	"cannot be done, or was stopped before one was found.\n";

static const struct command {
	const char *name, *options;
	int (*run)(struct tool_opts *o);
	const char *argument;		/* NULL: none */
	bool optional;
} commands[] = {
	{ "check", "bug all-bugs from seed seeds images all-images jobs twice json", tool_check,
	  "one case", false },
	{ "exhaust", "length bound from bug list json", tool_exhaust, NULL, false },
	{ "faults", "seed from require-coverage json", tool_faults, NULL, false },
	{ "legal", "traces seed length from json", tool_legal, NULL, false },
	{ "replay", "json", tool_replay, "one token", false },
	{ "digest", "bug seed seeds images json", tool_digest, "one case", true },
	{ "bench", "json", tool_bench, NULL, false },
};
#define NR_COMMANDS	(sizeof(commands) / sizeof(*commands))

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

int tool_find_case(struct tool_opts *o)
{
	const struct tool_case *const *c = tool_cases;

	while (o->argument && *c && strcmp((*c)->name, o->argument))
		c++;
	if (!*c)
		return tool_mistake("there is no case", o->argument);
	o->c = *c;
	return o->bug > o->c->nr_bugs ? tool_mistake("there is no such bug in", o->c->name) : 0;
}

static int run(const struct command *c, int argc, char **argv)
{
	struct tool_opts o = { .command = c->name };
	int rc = tool_parse(argc, argv, &o), nr = argc - optind;

	if (o.help)
		return help(stdout);
	if (!rc)
		rc = tool_only(&o, c->options);
	if (rc)
		return rc;
	if (nr > !!c->argument)
		return tool_mistake("what is", argv[argc - 1]);
	if (!nr && c->argument && !c->optional) {
		fprintf(stderr, "iomap-sim: %s wants %s; see iomap-sim --help\n", c->name,
			c->argument);
		return 2;
	}
	o.argument = nr ? argv[optind] : NULL;
	return c->run(&o);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";

	if (!strcmp(name, "--help") || !strcmp(name, "help"))
		return help(argc > 1 ? stdout : stderr);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return run(&commands[i], argc - 1, argv + 1);
	return tool_mistake("unknown command", name);
}
