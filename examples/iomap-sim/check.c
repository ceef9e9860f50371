/* SPDX-License-Identifier: MIT */
/*
 * check.c - seeds of a case, or all its bugs; a digest; failures again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"
#include "two_files/alphabet.h"

#define DEFAULT_SEEDS	1000u

static uint64_t seeds_of(const struct tool_opts *o)
{
	return o->seeds ? o->seeds : DEFAULT_SEEDS;
}

/* 0, 1; 2: it was stopped. */
static int code_of(const struct tool_opts *o, int rc, const struct iomap_sim_report *r)
{
	return !rc && r->seeds < seeds_of(o) ? 2 : rc;
}

/* ---- check ---- */

static const char *level_name(uint32_t level)
{
	static const char *const names[] = {
		[IOMAP_SIM_LEVEL_DRAWN] = "drawn", [IOMAP_SIM_LEVEL_ENDS] = "ends",
		[IOMAP_SIM_LEVEL_LINES] = "lines", [IOMAP_SIM_LEVEL_PAIRS] = "pairs",
		[IOMAP_SIM_LEVEL_TEARS] = "tears", [IOMAP_SIM_LEVEL_ALL] = "all",
	};

	return names[level];
}

static void say_end(const struct tool_opts *o, int code, const struct iomap_sim_report *r,
		    double seconds)
{
	if (o->json)
		printf("{\"check\":\"%s\",\"bug\":%" PRIu64 ",%s,\"seeds\":%" PRIu64
		       ",\"crashes\":%" PRIu64 ",\"images\":%" PRIu64 ",\"skipped\":%" PRIu64
		       ",\"level\":\"%s\",\"oracle\":\"%s\",\"token\":\"%s\","
		       "\"seconds\":%.1f}\n", o->c->name, o->bug, tool_verdict(o, code), r->seeds,
		       r->crash_points, r->images, r->skipped, level_name(r->level), r->oracle,
		       r->token, seconds);
	else
		printf("check: %s seeds=%" PRIu64 " crashes=%" PRIu64 " images=%" PRIu64
		       " skipped=%" PRIu64 " level=%s seconds=%.1f%s%s\n", tool_verdict(o, code),
		       r->seeds, r->crash_points, r->images, r->skipped, level_name(r->level),
		       seconds, code == 1 ? " token=" : "", r->token);
}

static int check_one(const struct tool_opts *o)
{
	struct iomap_sim_report r;
	double start = tool_seconds();
	int rc = tool_seeds(o, seeds_of(o), true, &r), code = code_of(o, rc, &r);

	if (rc == 1 && !o->json && r.text)
		printf("%s", r.text);
	if (rc >= 0)
		say_end(o, code, &r, tool_seconds() - start);
	tool_seeds_end(o, &r);
	return rc < 0 ? 2 : code;
}

static int check_all_bugs(const struct tool_opts *o)
{
	struct tool_opts rest = *o;
	struct tool_bugs b;
	int code;

	if (tool_find_bugs(o, o->json ? stderr : stdout, &b) < 0)
		return 2;
	rest.from = b.stopped_at;
	if (b.stopped_at)
		tool_say_rest(&rest, "go on with");
	code = b.found < b.nr ? 1 : b.stopped_at ? 2 : 0;
	if (o->json)
		printf("{\"check\":\"%s\",%s,\"bugs\":%u,\"of\":%u,\"seeds_median\":%" PRIu64
		       ",\"ops_median\":%" PRIu64 ",\"seconds\":%.1f}\n", o->c->name,
		       tool_verdict(o, code), b.found, b.nr, b.seeds, b.ops, b.seconds);
	else
		printf("check: %s bugs=%u/%u seeds_median=%" PRIu64 " ops_median=%" PRIu64
		       " seconds=%.1f\n", tool_verdict(o, code), b.found, b.nr, b.seeds, b.ops,
		       b.seconds);
	return code;
}

int tool_check(struct tool_opts *o)
{
	static const char *const never[][2] = {
		{ "all-bugs", "bug" }, { "all-bugs", "jobs" }, { "images", "all-images" },
	};

	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
		if (tool_given(o, never[i][0]) && tool_given(o, never[i][1])) {
			fprintf(stderr, "iomap-sim: --%s and --%s exclude each other\n",
				never[i][0], never[i][1]);
			return 2;
		}
	if (tool_find_case(o))
		return 2;
	if (tool_given(o, "from") && !o->all_bugs)
		return tool_mistake("--from is for", "--all-bugs");
	if (o->from > o->c->nr_bugs)
		return tool_mistake("--from is behind the last bug of", o->c->name);
	return o->all_bugs ? check_all_bugs(o) : check_one(o);
}

/* ---- replay ---- */

static bool is_of(const char *token, const struct iomap_sim_case *c)
{
	size_t len = strcspn(token, ":");

	return strlen(c->name) == len && !strncmp(c->name, token, len);
}

/* A token begins with the name of its case, and each bug is a case of its own. */
static const struct iomap_sim_case *case_of(const char *token, struct alphabet *a)
{
	for (const struct tool_case *const *c = tool_cases; *c; c++)
		for (unsigned bug = 0; bug <= (*c)->nr_bugs; bug++)
			if (is_of(token, (*c)->get(bug)))
				return (*c)->get(bug);
	for (; a->bug < PAIR_NR_BUGS; a->bug++) {
		const struct iomap_sim_case *c = alphabet_init(a);

		if (c && is_of(token, c))
			return c;
		alphabet_fini(a);
	}
	return NULL;
}

int tool_replay(struct tool_opts *o)
{
	struct alphabet a = { .length = ALPHABET_MAX };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const char *token = o->argument;
	const struct iomap_sim_case *c = case_of(token, &a);
	int rc = c ? iomap_sim_replay(c, token, &r) : -EINVAL;

	if (rc < 0) {
		fprintf(stderr, "iomap-sim: '%s' is no token, or was cut or changed on its way\n",
			token);
	} else {
		printf("%s", rc && !o->json ? r.text : "");
		printf(o->json ? "{\"replay\":\"%s\",\"oracle\":\"%s\"}\n"
			       : "replay: %s oracle=%s\n", rc ? "fails" : "ok",
		       rc ? r.oracle : "none");
	}
	iomap_sim_report_fini(&r);
	alphabet_fini(&a);
	return rc < 0 ? 2 : rc;
}

/* ---- digest ---- */

static void say_digest(const struct tool_opts *o, int code, const struct iomap_sim_report *r)
{
	if (o->json)
		printf("{\"digest\":\"%s\",%s,\"seeds\":%" PRIu64 ",\"images\":%" PRIu64
		       ",\"value\":\"%016" PRIx64 "\",\"oracle\":\"%s\",\"token\":\"%s\"}\n",
		       o->c->name, tool_verdict(o, code), r->seeds, r->images, r->digest,
		       r->oracle, r->token);
	else
		printf("digest: %s seeds=%" PRIu64 " images=%" PRIu64 " digest=%016" PRIx64
		       "%s%s\n", tool_verdict(o, code), r->seeds, r->images, r->digest,
		       code == 1 ? " token=" : "", r->token);
}

/* A digest of some seeds is no part of that of all: who was stopped begins again. */
int tool_digest(struct tool_opts *o)
{
	struct iomap_sim_report r;
	int rc, code;

	if (tool_find_case(o))
		return 2;
	rc = tool_seeds(o, seeds_of(o), false, &r);
	code = code_of(o, rc, &r);
	if (rc == 1 && r.text)
		fputs(r.text, o->json ? stderr : stdout);
	if (!rc && code)
		tool_say_rest(o, "begin again with");
	if (rc >= 0)
		say_digest(o, code, &r);
	tool_seeds_end(o, &r);
	return rc < 0 ? 2 : code;
}
