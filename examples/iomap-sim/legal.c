/* SPDX-License-Identifier: MIT */
/*
 * legal.c - crash images of the simulator, held to a second implementation of the fault model.
 *
 * The cases are those of a unit test: random works, of which no image may be illegal, and all works
 * that an alphabet spells, of which none may be missing either.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"
#include "unit/legal_cases.h"

#define TRACES		2000u
#define TRACES_PER	9u		/* of all, in a case that draws */
#define LETTERS		4u

struct watch {
	struct tool_progress progress;
	unsigned done;
};

static bool stop(void *arg)
{
	struct watch *w = arg;

	return tool_progress(&w->progress, w->done, w->progress.states + 1);
}

static void print_case(const struct legal_cases *before, const struct legal_cases *now,
		       const char *name)
{
	uint64_t generated = now->nr_generated - before->nr_generated;
	uint64_t accepted = now->nr_accepted - before->nr_accepted;

	printf("%-24s %8" PRIu64 " traces %9" PRIu64 " images", name,
	       now->nr_traces - before->nr_traces, now->nr_images - before->nr_images);
	if (now->nr_alphabets > before->nr_alphabets)
		printf(", %" PRIu64 " generated %s %" PRIu64 " accepted\n", generated,
		       generated == accepted ? "=" : "!=", accepted);
	else
		printf(", all accepted\n");
}

static void say_end(const struct tool_opts *o, const struct legal_cases *c, int code,
		    double seconds)
{
	if (o->json)
		printf("{\"legal\":\"all\",%s,\"traces\":%" PRIu64 ",\"images\":%" PRIu64
		       ",\"alphabets\":%u,\"generated\":%" PRIu64 ",\"accepted\":%" PRIu64
		       ",\"seconds\":%.1f}\n", tool_verdict(o, code), c->nr_traces,
		       c->nr_images, c->nr_alphabets, c->nr_generated, c->nr_accepted, seconds);
	else
		printf("legal: %s traces=%" PRIu64 " images=%" PRIu64 " alphabets=%u generated=%"
		       PRIu64 " accepted=%" PRIu64 " seconds=%.1f\n", tool_verdict(o, code),
		       c->nr_traces, c->nr_images, c->nr_alphabets, c->nr_generated,
		       c->nr_accepted, seconds);
}

/* 0, 1; 2: it was stopped. */
static int run_case(const struct tool_opts *o, struct watch *w, struct legal_cases *c)
{
	const struct legal_cases before = *c;
	struct tool_opts rest = *o;
	const char *text, *name = legal_cases_name(w->done);
	int rc = legal_cases_run(c, w->done, &text);

	tool_progress_end(&w->progress);
	rest.from = w->done;
	if (rc == 1)
		fprintf(stderr, "iomap-sim: %s: %s\n", name, text);
	else if (rc)
		tool_say_rest(&rest, "go on with");
	else if (!o->json)
		print_case(&before, c, name);
	return rc < 0 ? 2 : rc;
}

int tool_legal(struct tool_opts *o)
{
	uint64_t traces = o->traces ? o->traces : TRACES;
	struct watch w = { .progress.what = "traces" };
	struct legal_cases c = {
		.traces = traces < 16 * TRACES_PER ? 16 : (unsigned)(traces / TRACES_PER),
		.letters = o->length ? (unsigned)o->length : LETTERS,
		.seed = o->seed ? o->seed : 1, .stop = stop, .stop_arg = &w,
	};
	unsigned nr = legal_cases_nr();
	int code = 0;

	if (o->from >= nr)
		return tool_mistake("--from is behind", "the last case");
	tool_progress_start(&w.progress, nr);
	for (w.done = (unsigned)o->from; !code && w.done < nr; w.done++)
		code = run_case(o, &w, &c);
	if (!code && c.nr_generated != c.nr_accepted)
		code = 1;
	say_end(o, &c, code, tool_seconds() - w.progress.start);
	return code;
}
