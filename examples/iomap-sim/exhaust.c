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

static void list(const struct tool_opts *o)
{
	printf("two files of at most %u blocks of %u bytes; each word ends with a sync of both\n",
	       PAIR_BLOCKS, PAIR_BLOCK);
	for (unsigned letter = 1; letter <= ALPHABET; letter++)
		printf("  %2u  %s\n", letter, alphabet_letter(letter));
	if (o->bug)
		printf("with a mistake: %s\n", pair_bug_name((unsigned)o->bug));
}

static int progress(void *arg, const struct alphabet *a)
{
	struct tool_progress *p = arg;

	return tool_progress(p, a->nr_words, a->nr_images);
}

static void say_end(const struct tool_opts *o, const struct alphabet *a,
		    const struct iomap_sim_report *r, int rc, double seconds)
{
	const char *verdict = rc ? "failed" : "ok", *all = r->exhaustive && !tool_stopped() &&
							   !a->from ? "yes" : "no";

	if (o->json)
		printf("{\"exhaust\":\"files\",\"bug\":%" PRIu64 ",\"length\":%u,\"ok\":%s,"
		       "\"workloads\":%" PRIu64 ",\"crashes\":%" PRIu64 ",\"images\":%" PRIu64
		       ",\"executions\":%"
		       PRIu64 ",\"exhaustive\":%s,\"oracle\":\"%s\",\"token\":\"%s\","
		       "\"seconds\":%.1f}\n", o->bug, a->length, rc ? "false" : "true",
		       a->nr_words, r->crash_points, r->images, r->runs,
		       *all == 'y' ? "true" : "false", r->oracle, r->token, seconds);
	else
		printf("exhaust: %s workloads=%" PRIu64 " crashes=%" PRIu64 " images=%" PRIu64
		       " executions=%" PRIu64 " exhaustive=%s seconds=%.1f%s%s\n", verdict,
		       a->nr_words, r->crash_points, r->images, r->runs, all, seconds,
		       rc ? " token=" : "", rc ? r->token : "");
}

int tool_exhaust(const struct tool_opts *o)
{
	struct tool_progress p = { .what = "images" };
	struct alphabet a = {
		.bug = (unsigned)o->bug, .length = o->length ? (unsigned)o->length : LENGTH,
		.from = o->from, .progress = progress, .progress_arg = &p,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_case *c = alphabet_init(&a);
	int rc;

	if (!c) {
		fputs("iomap-sim: no such length or bug\n", stderr);
		return 2;
	}
	if (!o->json || o->list)
		list(o);
	if (o->list) {
		alphabet_fini(&a);
		return 0;
	}
	fflush(stdout);
	tool_progress_start(&p, alphabet_words(a.length));
	rc = iomap_sim_exhaust(c, o->bound, &r);
	tool_progress_end(&p);
	if (rc < 0)
		fprintf(stderr, "iomap-sim: %s\n", strerror(-rc));
	else if (rc && !o->json)
		printf("%s", r.text);
	if (!rc && tool_stopped())
		fprintf(stderr, "stopped; go on with exhaust --length %u --from %" PRIu64 "\n",
			a.length, a.next);
	if (rc >= 0)
		say_end(o, &a, &r, rc, tool_seconds() - p.start);
	iomap_sim_report_fini(&r);
	alphabet_fini(&a);
	return rc < 0 ? 2 : rc;
}
