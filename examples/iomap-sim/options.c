/* SPDX-License-Identifier: MIT */
/*
 * options.c - the options of all commands: read, and written down again for who goes on.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* A number from least to max; or a flag, where max is 0. */
static const struct value {
	const char *name;
	size_t at;
	uint64_t least, max, usual;
} values[] = {
#define NUMBER(name, field, least, max) \
	{ name, offsetof(struct tool_opts, field), least, max, 0 }
#define FLAG(name, field)	{ name, offsetof(struct tool_opts, field), 0, 0, 0 }
	NUMBER("seed", seed, 0, UINT64_MAX), NUMBER("seeds", seeds, 1, UINT64_MAX),
	NUMBER("traces", traces, 1, UINT32_MAX), NUMBER("bound", bound, 1, UINT64_MAX),
	NUMBER("from", from, 0, UINT64_MAX), NUMBER("bug", bug, 0, TOOL_MAX_BUGS),
	NUMBER("images", images, 1, 64), NUMBER("all-images", all_images, 1, UINT32_MAX),
	NUMBER("length", length, 1, 12),
	{ "jobs", offsetof(struct tool_opts, jobs), 1, TOOL_MAX_JOBS, 1 },
	FLAG("all-bugs", all_bugs), FLAG("json", json), FLAG("list", list),
	FLAG("require-coverage", require_coverage), FLAG("twice", twice), FLAG("help", help),
};
#define NR_VALUES	(sizeof(values) / sizeof(*values))

int tool_mistake(const char *what, const char *name)
{
	fprintf(stderr, "iomap-sim: %s %s; see iomap-sim --help\n", what, name);
	return 2;
}

static bool number(const char *text, const struct value *v, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	return !errno && end != text && !*end && text[0] != '-' && *n >= v->least && *n <= v->max;
}

static uint64_t *number_of(struct tool_opts *o, const struct value *v)
{
	return (uint64_t *)((char *)o + v->at);
}

static bool *flag_of(struct tool_opts *o, const struct value *v)
{
	return (bool *)((char *)o + v->at);
}

static int wrong_number(const struct value *v, const char *text)
{
	fprintf(stderr, "iomap-sim: --%s is a number from %" PRIu64 " to %" PRIu64 ", not %s\n",
		v->name, v->least, v->max, text);
	return 2;
}

int tool_parse(int argc, char **argv, struct tool_opts *o)
{
	struct option table[NR_VALUES + 1] = { 0 };
	int c;

	o->jobs = 1;
	for (size_t i = 0; i < NR_VALUES; i++)
		table[i] = (struct option){
			values[i].name, values[i].max ? required_argument : no_argument, NULL,
			(int)i + 256,
		};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		const struct value *v = c < 256 ? NULL : &values[c - 256];

		if (!v)
			return tool_mistake(c == ':' ? "no value for" : "unknown option",
					    argv[optind - 1]);
		if (v->max && !number(optarg, v, number_of(o, v)))
			return wrong_number(v, optarg);
		if (!v->max)
			*flag_of(o, v) = true;
		o->given |= UINT32_C(1) << (c - 256);
	}
	return 0;
}

/* Is name one of those words? */
static bool is_among(const char *words, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = words; (at = strstr(at, name)); at += len)
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

int tool_only(const struct tool_opts *o, const char *options)
{
	for (size_t i = 0; i < NR_VALUES; i++) {
		if (!(o->given >> i & 1) || is_among(options, values[i].name))
			continue;
		fprintf(stderr, "iomap-sim: %s has no --%s; see iomap-sim --help\n", o->command,
			values[i].name);
		return 2;
	}
	return 0;
}

bool tool_given(const struct tool_opts *o, const char *name)
{
	for (size_t i = 0; i < NR_VALUES; i++)
		if (!strcmp(values[i].name, name))
			return o->given >> i & 1;
	return false;
}

void tool_say_rest(const struct tool_opts *rest, const char *how)
{
	struct tool_opts o = *rest;

	fprintf(stderr, "stopped; %s %s", how, o.command);
	if (o.c)
		fprintf(stderr, " %s", o.c->name);
	for (size_t i = 0; i < NR_VALUES; i++) {
		const struct value *v = &values[i];

		if (!v->max && *flag_of(&o, v))
			fprintf(stderr, " --%s", v->name);
		else if (v->max && *number_of(&o, v) != v->usual)
			fprintf(stderr, " --%s %" PRIu64, v->name, *number_of(&o, v));
	}
	fputc('\n', stderr);
}

/* Of an exit code: 2 is only said of what was stopped, mistakes have no last line. */
const char *tool_verdict(const struct tool_opts *o, int rc)
{
	static const char *const words[] = { "ok", "failed", "stopped" };
	static const char *const json[] = {
		"\"ok\":true", "\"ok\":false", "\"ok\":false,\"stopped\":true",
	};

	return o->json ? json[rc] : words[rc];
}
