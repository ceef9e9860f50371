/* SPDX-License-Identifier: MIT */
/*
 * twice.c - two runs that should be the same, event by event.
 *
 * The first run is written down, the second one is compared with it as it goes; the first event
 * that differs is what to look at, for all behind it follow from that.  Digests alone would only
 * say that there is one.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"

#define MAX_LOG		((size_t)1 << 20)	/* events; what comes behind is not compared */

void iomapi_sim_log_fini(struct iomapi_sim_log *log)
{
	iomapi_sim_free(log->made);
	memset(log, 0, sizeof(*log));
}

void iomapi_sim_log_compare(struct iomapi_sim_log *log)
{
	log->compares = true;
	log->next = 0;
}

static bool is_same(const struct iomapi_sim_logged *a, const struct iomapi_sim_logged *b)
{
	const struct iomapi_sim_seen *x = &a->seen, *y = &b->seen;

	if (a->nr != b->nr || a->cut != b->cut || a->depth != b->depth || a->hash != b->hash)
		return false;
	if (x->what != y->what || x->op != y->op || x->dev != y->dev || a->flags != b->flags)
		return false;
	return x->time == y->time && x->id == y->id && x->addr == y->addr && x->len == y->len &&
	       x->status == y->status;
}

static void compare(struct iomapi_sim_log *log, const struct iomapi_sim_logged *now)
{
	if (log->differs || log->full)
		return;
	if (log->next < log->nr && is_same(&log->made[log->next], now)) {
		log->next++;
		return;
	}
	log->differs = true;
	log->other = *now;
}

static void write_down(struct iomapi_sim_log *log, const struct iomapi_sim_logged *now)
{
	if (log->nr == log->max) {
		size_t max = log->max ? 2 * log->max : 1024;
		void *more = max <= MAX_LOG ? iomapi_sim_grow(log->made, max * sizeof(*log->made))
					    : NULL;

		log->full |= !more;
		if (!more)
			return;
		log->made = more;
		log->max = max;
	}
	log->made[log->nr++] = *now;
}

void iomapi_sim_log(struct iomapi_sim_run *run, enum iomapi_sim_what what,
		    const struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_log *log = run->log;
	const struct iomapi_sim_logged now = {
		.seen = { run->sim->now, cmd->id, cmd->bio->addr, cmd->bio->len, cmd->dev->index,
			  what == IOMAPI_SIM_PASS_REAP ? cmd->bio->status : cmd->hit.status,
			  (uint8_t)what, cmd->bio->op, NULL },
		.nr = run->sim->nr_passed, .cut = run->depth > 1 ? run->event[1] : 0,
		.hash = cmd->hash, .flags = cmd->bio->flags, .depth = run->depth,
	};

	if (log->compares)
		compare(log, &now);
	else
		write_down(log, &now);
}

/* ---- what is told ---- */

/* "event 12 of work", "event 3 after the cut before event 7" */
static void print_place(struct iomapi_page *p,
			const struct iomapi_sim_logged *e)
{
	iomapi_say(p, "event %llu ", (unsigned long long)e->nr);
	if (e->depth < 2)
		iomapi_say(p, "of work");
	else if (e->cut)
		iomapi_say(p, "after the %scut before event %llu",
			   e->depth > 2 ? "second cut and the "
									  : "",
			   (unsigned long long)e->cut);
	else
		iomapi_say(p, "after the end of work");
}

static void print_run(struct iomapi_page *p, const struct iomapi_sim_run *run, const char *which,
		      const struct iomapi_sim_logged *e)
{
	iomapi_say(p, "  %s: ", which);
	if (!e) {
		iomapi_say(p, "it has ended\n");
		return;
	}
	print_place(p, e);
	iomapi_say(p, ":");
	p->len += iomapi_sim_print_seen(run, &e->seen, p->text + p->len,
					IOMAPI_SIM_SCREEN - p->len);
}

static void print_what(struct iomapi_page *p,
			const struct iomapi_sim_logged *a,
		       const struct iomapi_sim_logged *b)
{
	const struct iomapi_sim_seen *x = &a->seen, *y = &b->seen;
	const struct { const char *name; bool differs; } parts[] = {
		{ "place", a->nr != b->nr || a->cut != b->cut || a->depth != b->depth },
		{ "time", x->time != y->time }, { "device", x->dev != y->dev },
		{ "command", x->id != y->id }, { "event", x->what != y->what },
		{ "operation", x->op != y->op }, { "flags", a->flags != b->flags },
		{ "address", x->addr != y->addr }, { "length", x->len != y->len },
		{ "status", x->status != y->status }, { "data", a->hash != b->hash },
	};
	const char *sep = " ";

	iomapi_say(p, "what differs:");
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (parts[i].differs) {
			iomapi_say(p, "%s%s", sep, parts[i].name);
			sep = ", ";
		}
	iomapi_say(p, "\n");
}

static void print_difference(struct iomapi_page *p, const struct iomapi_sim_run *run)
{
	const struct iomapi_sim_log *log = run->log;
	const struct iomapi_sim_logged *first = log->next < log->nr ? &log->made[log->next] : NULL;
	const struct iomapi_sim_logged *second = log->differs ? &log->other : NULL;

	if (!first && !second) {
		iomapi_say(p, "no event%s differs: it depends on what was before, or on what never"
			 " reaches a device\n", log->full ? " of those that were compared" : "");
		return;
	}
	iomapi_say(p, "the first event that differs, behind %zu that do not:\n", log->next);
	print_run(p, run, "first run", first);
	print_run(p, run, "second run", second);
	if (first && second)
		print_what(p, first, second);
}

int iomapi_sim_tell_first(const struct iomapi_sim_run *run, uint64_t seed, const char *why,
			  struct iomap_sim_report *report)
{
	struct iomapi_page p = { iomapi_sim_alloc(IOMAPI_SIM_SCREEN), 0 };

	if (!p.text)
		return -ENOMEM;
	p.text[0] = 0;
	memcpy(report->oracle, "O46", 4);
	report->seed = seed;
	report->token[0] = 0;
	iomapi_say(&p, "O46 failed in %s: %s\nseed %llu; ", run->c->name, why,
	      (unsigned long long)seed);
	print_difference(&p, run);
	iomapi_sim_free(report->text);
	report->text = p.text;
	return 0;
}
