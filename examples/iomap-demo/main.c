/* SPDX-License-Identifier: MIT */
/*
 * iomap-demo - the journey of a dirty page, to look at.
 *
 * Only what has to do with the command line is here.  0: it worked.  1: it did not, and one line
 * says what.  2: the command line is wrong.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"

static const char usage_text[] =
	"usage: iomap-demo COMMAND [OPTION..]\n"
	"\n"
	"  roundtrip [DEVICE] [--destroy DEVICE]\n"
	"      one request, written and read back (default: null:, then a file of its own)\n"
	"  merge [--seed N] [--why PAGE] [--svg FILE] [--json]\n"
	"      a few dirty pages, and the large requests that writeback makes of them\n"
	"        --seed N     another workload\n"
	"        --why PAGE   the journey of this page, step by step\n"
	"        --svg FILE   the rows as a picture\n"
	"        --json       all of it for a program; the last line goes to stderr\n"
	"  copy SOURCE --device DEVICE [--order seq|random] [--layout flat|scattered]\n"
	"       [--destroy DEVICE] [--image FILE]\n"
	"      a file through cache and writeback onto a device, read back and compared\n"
	"        --image FILE gets the content of a simulated device\n"
	"  backends [--device PATH] [--json]\n"
	"      which backends work here, why the others do not, what auto: picks\n"
	"        --device PATH  a file or block device: its limits too; it is only read\n"
	"        --json         for a program; the last line goes to stderr\n"
	"  crash [--seed N] [--device sim:PRESET[,seed=N]]\n"
	"      a file is written, power goes in the middle: what survived (default: sim:sata512e)\n"
	"        --seed N     another workload, cut and fate; seed=N: only of the device\n"
	"\n"
	"DEVICE is auto:PATH (the best backend that works here), uring:PATH, aio:PATH, file:PATH,\n"
	"null: (keeps nothing) or sim:PRESET[,size=N][,seed=N].  A file is made or replaced.\n"
	"Block devices are refused unless --destroy repeats their name.\n"
	"PRESET is plp, consumer, atomic16k, sata512e, multiqueue, cruel or fifo.\n";

/* ---- one line, then 2 ---- */

static int wrong(const char *command, const char *what, const char *which)
{
	fprintf(stderr, "iomap-demo: %s%s%s%s%s; see iomap-demo --help\n", command,
		*command ? ": " : "", what, *which ? " " : "", which);
	return 2;
}

static int wrong_option(const char *command, int c, char **argv)
{
	if (c == ':')
		return wrong(command, "a value is missing after", argv[optind - 1]);
	return wrong(command, "unknown option", argv[optind - 1]);
}

/* "--" ends the options; none of the commands has anything to say behind it. */
static int rest(const char *command, int argc, char **argv)
{
	return optind < argc ? wrong(command, "what is", argv[optind]) : 0;
}

static bool number(const char *text, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 0);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* ---- the commands ---- */

static int do_roundtrip(struct demo *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "destroy", required_argument, NULL, 'd' }, { NULL, 0, NULL, 0 },
	};
	struct roundtrip_opts opts = { .device = NULL };
	int c;

	while ((c = getopt_long(argc, argv, "-:", options, NULL)) != -1) {
		if (c == 'd')
			opts.destroy = optarg;
		else if (c == 1 && !opts.device)
			opts.device = optarg;
		else if (c == 1)
			return wrong("roundtrip", "one device is enough, what is", optarg);
		else
			return wrong_option("roundtrip", c, argv);
	}
	return rest("roundtrip", argc, argv) ? 2 : demo_roundtrip(d, &opts);
}

static int do_merge(struct demo *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' }, { "why", required_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' }, { "svg", required_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	struct merge_opts opts = { .seed = MERGE_SEED, .why = -1 };
	uint64_t n;
	int c;

	while ((c = getopt_long(argc, argv, "-:", options, NULL)) != -1) {
		if (c == 's' && number(optarg, &n))
			opts.seed = n;
		else if (c == 's')
			return wrong("merge", "--seed wants a number, not", optarg);
		else if (c == 'w' && number(optarg, &n) && n < MERGE_PAGES)
			opts.why = (int64_t)n;
		else if (c == 'w')
			return wrong("merge", "--why wants a page from 0 to 95, not", optarg);
		else if (c == 'j')
			opts.json = true;
		else if (c == 'v')
			opts.svg = optarg;
		else if (c == 1)
			return wrong("merge", "what is", optarg);
		else
			return wrong_option("merge", c, argv);
	}
	return rest("merge", argc, argv) ? 2 : demo_merge(d, &opts);
}

/* One of two words. */
static bool choice(const char *text, const char *no, const char *yes, bool *is_yes)
{
	*is_yes = !strcmp(text, yes);
	return *is_yes || !strcmp(text, no);
}

static int do_copy(struct demo *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'D' },
		{ "order", required_argument, NULL, 'o' },
		{ "layout", required_argument, NULL, 'l' },
		{ "destroy", required_argument, NULL, 'd' },
		{ "image", required_argument, NULL, 'i' }, { NULL, 0, NULL, 0 },
	};
	struct copy_opts opts = { .source = NULL };
	int c;

	while ((c = getopt_long(argc, argv, "-:", options, NULL)) != -1) {
		if (c == 'D')
			opts.device = optarg;
		else if (c == 'd')
			opts.destroy = optarg;
		else if (c == 'i')
			opts.image = optarg;
		else if (c == 'o' && !choice(optarg, "seq", "random", &opts.random))
			return wrong("copy", "--order is seq or random, not", optarg);
		else if (c == 'l' && !choice(optarg, "flat", "scattered", &opts.scattered))
			return wrong("copy", "--layout is flat or scattered, not", optarg);
		else if (c == 1 && !opts.source)
			opts.source = optarg;
		else if (c == 1)
			return wrong("copy", "one source is enough, what is", optarg);
		else if (c == '?' || c == ':')
			return wrong_option("copy", c, argv);
	}
	if (rest("copy", argc, argv))
		return 2;
	if (!opts.source)
		return wrong("copy", "which file? SOURCE is missing", "");
	if (!opts.device)
		return wrong("copy", "where to? --device is missing", "");
	return demo_copy(d, &opts);
}

static int do_backends(struct demo *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'D' }, { "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct backends_opts opts = { .path = NULL };
	int c;

	while ((c = getopt_long(argc, argv, "-:", options, NULL)) != -1) {
		if (c == 'D')
			opts.path = optarg;
		else if (c == 'j')
			opts.json = true;
		else if (c == 1)
			return wrong("backends", "what is", optarg);
		else
			return wrong_option("backends", c, argv);
	}
	return rest("backends", argc, argv) ? 2 : demo_backends(d, &opts);
}

static int do_crash(struct demo *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "device", required_argument, NULL, 'D' }, { NULL, 0, NULL, 0 },
	};
	struct crash_opts opts = { .seed = CRASH_SEED, .device = CRASH_DEVICE };
	int c;

	while ((c = getopt_long(argc, argv, "-:", options, NULL)) != -1) {
		if (c == 's' && !number(optarg, &opts.seed))
			return wrong("crash", "--seed wants a number, not", optarg);
		else if (c == 'D')
			opts.device = optarg;
		else if (c == 1)
			return wrong("crash", "what is", optarg);
		else if (c == '?' || c == ':')
			return wrong_option("crash", c, argv);
	}
	return rest("crash", argc, argv) ? 2 : demo_crash(d, &opts);
}

static const struct command {
	const char *name;
	int (*run)(struct demo *d, int argc, char **argv);
} commands[] = {
	{ "roundtrip", do_roundtrip }, { "merge", do_merge }, { "copy", do_copy },
	{ "backends", do_backends }, { "crash", do_crash },
};

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	struct demo demo;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return fputs(usage_text, stdout) < 0;
	}
	demo_init(&demo);
	opterr = 0;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(name, commands[i].name)) {
			int status = commands[i].run(&demo, argc - 1, argv + 1);

			if (fflush(stdout) && !status)
				status = demo_error(&demo, -errno, "stdout") ? 1 : 0;
			return status;
		}
	}
	if (!*name)
		fputs(usage_text, stderr);
	else
		wrong("", *name == '-' ? "unknown option" : "unknown command", name);
	return 2;
}
