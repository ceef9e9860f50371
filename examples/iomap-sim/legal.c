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
	const struct legal_cases *cases;
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

static void say_end(const struct tool_opts *o, const struct legal_cases *c, bool ok, double seconds)
{
	if (o->json)
		printf("{\"legal\":\"all\",\"ok\":%s,\"traces\":%" PRIu64 ",\"images\":%" PRIu64
		       ",\"alphabets\":%u,\"generated\":%" PRIu64 ",\"accepted\":%" PRIu64
		       ",\"seconds\":%.1f}\n", ok ? "true" : "false", c->nr_traces, c->nr_images,
		       c->nr_alphabets, c->nr_generated, c->nr_accepted, seconds);
	else
		printf("legal: %s traces=%" PRIu64 " images=%" PRIu64 " alphabets=%u generated=%"
		       PRIu64 " accepted=%" PRIu64 " seconds=%.1f\n", ok ? "ok" : "failed",
		       c->nr_traces, c->nr_images, c->nr_alphabets, c->nr_generated,
		       c->nr_accepted, seconds);
}

int tool_legal(const struct tool_opts *o)
{
	uint64_t traces = o->traces ? o->traces : TRACES;
	struct watch w = { .progress.what = "traces" };
	struct legal_cases c = {
		.traces = traces < 16 * TRACES_PER ? 16 : (unsigned)(traces / TRACES_PER),
		.letters = o->length ? (unsigned)o->length : LETTERS,
		.seed = o->seed ? o->seed : 1, .stop = stop, .stop_arg = &w,
	};
	unsigned nr = legal_cases_nr();
	int rc = 0;

	w.cases = &c;
	tool_progress_start(&w.progress, nr);
	for (w.done = (unsigned)o->from; !rc && w.done < nr; w.done++) {
		const struct legal_cases before = c;
		const char *text, *name = legal_cases_name(w.done);

		rc = legal_cases_run(&c, w.done, &text);
		tool_progress_end(&w.progress);
		if (rc == 1)
			fprintf(stderr, "iomap-sim: %s: %s\n", name, text);
		else if (rc)
			fprintf(stderr, "stopped in %s; go on with legal --from %u\n", name,
				w.done);
		else if (!o->json)
			print_case(&before, &c, name);
	}
	say_end(o, &c, rc != 1 && c.nr_generated == c.nr_accepted,
		tool_seconds() - w.progress.start);
	return rc == 1 || c.nr_generated != c.nr_accepted;
}
