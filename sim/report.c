/* SPDX-License-Identifier: MIT */
/*
 * report.c - a failure on one screen.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"

#define MAX_OPS	16u

void iomapi_say(struct iomapi_page *p, const char *format, ...)
{
	size_t room = IOMAPI_SIM_SCREEN - p->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(p->text + p->len, room, format, args);
	va_end(args);
	if (n > 0)
		p->len += (size_t)n < room ? (size_t)n : room - 1;
}

static bool is_own(const char *site)	/* the simulator's */
{
	static const char *const own[] = {
		"latency", "failed", "hostile", "short", "lost", "late", "away", "discard",
		"writeback", "task",
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (!strcmp(site, own[i]))
			return true;
	return false;
}

/* What work has drawn, an operation a line. */
static void operations(struct iomapi_page *p, const struct iomapi_sim_trace *t)
{
	size_t nr = 0, all = iomapi_sim_nr_ops(t);

	iomapi_say(p, "work:");
	for (size_t i = 0; i < t->nr; i++) {
		const struct iomapi_sim_made *m = &t->made[i];

		if (!m->site || is_own(m->site))
			continue;
		if (!strcmp(m->site, "op")) {
			if (++nr + MAX_OPS <= all && nr > 1)
				continue;
			iomapi_say(p, "\n  %zu.", nr);
		} else if (nr && nr + MAX_OPS <= all && nr > 1) {
			continue;
		}
		iomapi_say(p, " %s=%u", m->site, m->value);
	}
	iomapi_say(p, "\n");
}

static const char *op_name(unsigned op)
{
	static const char *const names[] = {
		"read", "write", "flush", "discard", "zeroes", "append", "reset", "finish", "open",
		"close",
	};

	return op < sizeof(names) / sizeof(*names) ? names[op] : "?";
}

size_t iomapi_sim_print_seen(const struct iomapi_sim_run *run, const struct iomapi_sim_seen *s,
			     char *text, size_t size)
{
	static const char *const what[] = {
		"?", "is accepted", "takes effect", "completes", "is heard of",
	};
	char range[48] = "", error[24] = "";
	int n;

	if (s->len)
		snprintf(range, sizeof(range), " %llu..%llu", (unsigned long long)s->addr,
			 (unsigned long long)(s->addr + s->len - 1));
	if (s->status)
		snprintf(error, sizeof(error), ", error %d", s->status);
	if (s->site)
		n = snprintf(text, size, "  %8lld ns  task %u has to stop at %s, task %llu goes on"
			     "\n", (long long)s->time, s->dev, s->site, (unsigned long long)s->id);
	else
		n = snprintf(text, size, "  %8lld ns  %s #%llu %s%s %s%s\n", (long long)s->time,
			     run->sim->devs[s->dev].name, (unsigned long long)s->id,
			     op_name(s->op), range, s->what < 5 ? what[s->what] : "?", error);
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void timeline(struct iomapi_page *p, const struct iomapi_sim_run *run, uint64_t end)
{
	if (end)
		iomapi_say(p, "devices, until then:\n");
	for (uint64_t i = end > 12 ? end - 12 : 0; i < end; i++)
		p->len += iomapi_sim_print_seen(run, &run->seen[i % IOMAPI_SIM_SEEN],
						p->text + p->len, IOMAPI_SIM_SCREEN - p->len);
}

static void survivors(struct iomapi_page *p, const char *when, const struct iomapi_sim_trace *t)
{
	if (!t->nr)
		return;
	iomapi_say(p, "%s:", when);
	for (size_t i = 0; i < t->nr; i++)
		if (t->made[i].site && !is_own(t->made[i].site))
			iomapi_say(p, " %s=%u", t->made[i].site, t->made[i].value);
	iomapi_say(p, "\n");
}

static const char *stopped_by(const struct iomapi_sim_failure *f)
{
	switch (f->restart) {
	case IOMAP_SIM_DEVICE_RESET:
		return "the devices are reset";
	case IOMAP_SIM_PROCESS_KILL:
		return "the process is killed";
	case IOMAP_SIM_REMOVAL:
		return "a device is removed";
	case IOMAP_SIM_RETURN:
		return "a device is removed, to come back later,";
	}
	return "power goes";
}

int iomapi_sim_describe(const struct iomapi_sim_run *run, const struct iomapi_sim_failure *f,
			struct iomap_sim_report *r)
{
	struct iomapi_page p = { iomapi_sim_alloc(IOMAPI_SIM_SCREEN), 0 };

	if (!p.text)
		return -ENOMEM;
	p.text[0] = 0;
	iomapi_say(&p, "%s failed in %s: %s\n", f->oracle, run->c->name, f->text);
	iomapi_say(&p, "seed %llu", (unsigned long long)f->seed);
	if (f->event)
		iomapi_say(&p, ", %s before event %llu", stopped_by(f),
		      (unsigned long long)f->event);
	if (f->event2)
		iomapi_say(&p, ", and%s before event %llu of recovery",
		      f->restart > IOMAP_SIM_POWER_LOSS ? " power goes" : " again",
		      (unsigned long long)f->event2);
	iomapi_say(&p, "; %u operations, %u choices", r->ops, r->choices);
	if (r->choices_found)
		iomapi_say(&p, ", of %u and %u", r->ops_found, r->choices_found);
	iomapi_say(&p, "\n");
	operations(&p, &f->work);
	if (run->nr_notes)
		iomapi_say(&p, "notes:\n%s", run->notes);
	timeline(&p, run, f->event ? run->seen_at_crash : run->nr_seen);
	survivors(&p, "after the cut", &f->recover);
	survivors(&p, "after the second", &f->recover2);
	if (f->restart >= IOMAP_SIM_REMOVAL)
		iomapi_say(&p, "removed: %s\n", run->sim->devs[f->removed].name);
	if (f->faults)
		iomapi_say(&p, "faults: %s\n", f->faults);
	if (r->token[0])
		iomapi_say(&p, "replay %s\n"
			  "as a test:\n"
			  "\tck_assert_int_eq(iomap_sim_replay(the_case,\n"
			  "\t\t\"%s\", &report), 0);\n", r->token, r->token);
	r->text = p.text;
	return 0;
}

IOMAP_API void iomap_sim_report_fini(struct iomap_sim_report *report)
{
	iomapi_sim_free(report->text);
	report->text = NULL;
}
