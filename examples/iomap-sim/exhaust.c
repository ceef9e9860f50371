/* SPDX-License-Identifier: MIT */
/*
 * exhaust.c - all short works on two files of libiomap, with every crash and all that it may leave.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"
#include "two_files/alphabet.h"

#define LENGTH	2u
#define DIGITS	(ALPHABET + 1)		/* a letter, or the end of the word */

static void list_json(const struct tool_opts *o)
{
	printf("{\"exhaust\":\"files\",\"bug\":%" PRIu64 ",\"blocks\":%u,\"block\":%u,"
	       "\"alphabet\":[", o->bug, PAIR_BLOCKS, PAIR_BLOCK);
	for (unsigned letter = 1; letter <= ALPHABET; letter++)
		printf("%s\"%s\"", letter > 1 ? "," : "", alphabet_letter(letter));
	puts("]}");
}

static void list(const struct tool_opts *o)
{
	printf("two files of at most %u blocks of %u bytes; each word ends with a sync of both\n",
	       PAIR_BLOCKS, PAIR_BLOCK);
	for (unsigned letter = 1; letter <= ALPHABET; letter++)
		printf("  %2u  %s\n", letter, alphabet_letter(letter));
	if (o->bug)
		printf("with a mistake: %s\n", pair_bug_name((unsigned)o->bug));
}

/* Numbers of words have a digit for each letter. */
static uint64_t numbers(unsigned length)
{
	uint64_t nr = 1;

	while (length--)
		nr *= DIGITS;
	return nr;
}

static int progress(void *arg, const struct alphabet *a)
{
	struct tool_progress *p = arg;

	return tool_progress(p, a->nr_words, a->nr_images);
}

static void say_end(const struct tool_opts *o, const struct alphabet *a,
		    const struct iomap_sim_report *r, int code, double seconds)
{
	bool all = r->exhaustive && code != 2 && !a->from;

	if (o->json)
		printf("{\"exhaust\":\"files\",\"bug\":%" PRIu64 ",\"length\":%u,%s,"
		       "\"workloads\":%" PRIu64 ",\"crashes\":%" PRIu64 ",\"images\":%" PRIu64
		       ",\"executions\":%"
		       PRIu64 ",\"exhaustive\":%s,\"oracle\":\"%s\",\"token\":\"%s\","
		       "\"seconds\":%.1f}\n", o->bug, a->length, tool_verdict(o, code),
		       a->nr_words, r->crash_points, r->images, r->runs,
		       all ? "true" : "false", r->oracle, r->token, seconds);
	else
		printf("exhaust: %s workloads=%" PRIu64 " crashes=%" PRIu64 " images=%" PRIu64
		       " executions=%" PRIu64 " exhaustive=%s seconds=%.1f%s%s\n",
		       tool_verdict(o, code), a->nr_words, r->crash_points, r->images, r->runs,
		       all ? "yes" : "no", seconds, code == 1 ? " token=" : "", r->token);
}

/* Were there words left, and images to be had of them? */
static bool was_stopped(const struct tool_opts *o, const struct alphabet *a,
			const struct iomap_sim_report *r)
{
	return tool_stopped() && a->next < numbers(a->length) &&
	       (!o->bound || r->images < o->bound);
}

static void say_rest(const struct tool_opts *o, const struct alphabet *a,
		     const struct iomap_sim_report *r)
{
	struct tool_opts rest = *o;

	rest.from = a->next > a->from ? a->next : a->from;
	rest.bound -= o->bound ? r->images : 0;
	tool_say_rest(&rest, "go on with");
}

static int exhaust(const struct tool_opts *o, struct alphabet *a, const struct iomap_sim_case *c)
{
	struct tool_progress *p = a->progress_arg;
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	int rc, code;

	tool_progress_start(p, alphabet_words(a->length));
	rc = iomap_sim_exhaust(c, o->bound, &r);
	tool_progress_end(p);
	code = rc < 0 || (!rc && was_stopped(o, a, &r)) ? 2 : rc;
	if (rc < 0)
		fprintf(stderr, "iomap-sim: %s\n", strerror(-rc));
	else if (rc && !o->json)
		printf("%s", r.text);
	else if (code == 2)
		say_rest(o, a, &r);
	if (rc >= 0)
		say_end(o, a, &r, code, tool_seconds() - p->start);
	iomap_sim_report_fini(&r);
	return code;
}

int tool_exhaust(struct tool_opts *o)
{
	struct tool_progress p = { .what = "images" };
	struct alphabet a = {
		.bug = (unsigned)o->bug, .length = o->length ? (unsigned)o->length : LENGTH,
		.from = o->from, .progress = progress, .progress_arg = &p,
	};
	const struct iomap_sim_case *c;
	int code = 0;

	if (o->from >= numbers(a.length))
		return tool_mistake("--from is behind the last word of", "that length");
	c = alphabet_init(&a);
	if (!c) {
		fputs("iomap-sim: no such length or bug\n", stderr);
		return 2;
	}
	if (o->list && o->json)
		list_json(o);
	else if (o->list || !o->json)
		list(o);
	fflush(stdout);
	if (!o->list)
		code = exhaust(o, &a, c);
	alphabet_fini(&a);
	return code;
}
