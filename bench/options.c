/* SPDX-License-Identifier: MIT */
/*
 * options.c - the command line of a measuring program.
 *
 * Threads: one.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"

#define MAX_OPTIONS	16

static bool parse_number(const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && *text >= '0' && *text <= '9' && !*end && *value && *value <= max;
}

static bool set(const struct bench_option *o, const char *text)
{
	uint64_t value;

	if (o->yes)
		return *o->yes = true;
	if (o->no) {
		*o->no = false;
		return true;
	}
	if (o->text) {
		*o->text = text;
		return true;
	}
	if (o->parse)
		return o->parse(text, o->arg);
	if (!parse_number(text, o->max, &value))
		return false;
	if (o->number)
		*o->number = value;
	else
		*o->small = (unsigned)value;
	return true;
}

static bool parse(int argc, char **argv, const struct bench_option *table)
{
	struct option names[MAX_OPTIONS + 1] = { 0 };
	int c;

	for (int i = 0; i < MAX_OPTIONS && table[i].name; i++) {
		bool alone = table[i].yes || table[i].no;

		names[i] = (struct option){ .name = table[i].name, .val = i,
					    .has_arg = alone ? no_argument : required_argument };
	}
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
		if (c == '?' || !set(&table[c], optarg))
			return false;
	return optind == argc;
}

bool options_parse(int argc, char **argv, const struct bench_option *table, const char *usage)
{
	bool good = parse(argc, argv, table);

	if (!good)
		fputs(usage, stderr);
	return good;
}
