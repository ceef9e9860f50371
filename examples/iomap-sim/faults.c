/* SPDX-License-Identifier: MIT */
/*
 * faults.c - every kind of fault happens, is heard of, and does to correct engines what it may.
 *
 * Engines are the store of sim_unit_test, on several devices, and the two files of libiomap, whose
 * environment has memory that is not there and copies that stop.  Each seed has some faults of one
 * kind somewhere; a kind of which nothing came then has a rule for each of many commands.  What was
 * counted is asked for in the callbacks of the case, around the engine's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim_unit_test/kv_case.h"
#include "tool.h"
#include "two_files/alphabet.h"

#define SEEDS		200u		/* of each kind, engine and device */
#define LENGTH		8u		/* of a word */
#define MAX_FAULTS	3u

#define MANY		24u		/* commands */

/* What nobody can survive who does not keep all twice: the device breaks its word, or has lost what
 * was durable and says so.  And who lies to the library is told by what it reports. */
static const struct {
	const char *kind, *why;
} too_much[] = {
	{ "flush_lies", "breaks its word" }, { "fua_ignored", "breaks its word" },
	{ "duplicate", "breaks its word" }, { "misdirected_write", "breaks its word" },
	{ "misdirected_read", "breaks its word" }, { "bit_rot", "breaks its word" },
	{ "stale_read", "breaks its word" }, { "phantom_write", "breaks its word" },
	{ "eio_read_until_written", "has lost it" }, { "hostile_map", "is a lie" },
};
static const struct engine {
	const char *name, *preset;
} engines[] = {
	{ "kv", "sata512e" }, { "kv", "consumer" }, { "kv", "cruel" }, { "files", "consumer" },
};
#define NR_ENGINES	(sizeof(engines) / sizeof(*engines))

struct watched {
	const struct iomap_sim_case *engine;
	const char *kind;
	struct iomap_sim_counter counter;	/* of this simulation, until it failed */
	bool failed;
};
/* What a kind did to one engine, or to all devices of it. */
struct sum {
	uint64_t armed, fired, observed, failures, errors;
	char oracle[16];
};

/* ---- around a case ---- */

static int note(struct iomap_sim *sim, struct watched *w, int rc)
{
	if (w->failed)
		return rc;		/* once more, to be shown */
	w->counter.struct_size = sizeof(w->counter);
	iomap_sim_fault_counters(sim, w->kind, &w->counter);
	w->failed = rc;
	return rc;
}

static int format(struct iomap_sim *sim, void *arg)
{
	const struct watched *w = arg;

	return w->engine->format(sim, w->engine->arg);
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct watched *w = arg;

	return note(sim, w, w->engine->work(sim, w->engine->arg));
}

static int recover(struct iomap_sim *sim, void *arg)
{
	struct watched *w = arg;

	return note(sim, w, w->engine->recover(sim, w->engine->arg));
}

static int check(struct iomap_sim *sim, void *arg)
{
	struct watched *w = arg;

	return note(sim, w, w->engine->check(sim, w->engine->arg));
}

/* ---- one kind ---- */

/* A rule for each of the first commands that the kind can happen to. */
static void many_rules(const char *kind, char *script, size_t size)
{
	size_t len = 0;

	for (unsigned nth = 1; nth <= MANY && len < size; nth++)
		len += (size_t)snprintf(script + len, size - len, "at nth=%u kind=%s; ", nth, kind);
}

/* All seeds; those behind one that fails too. */
static int run_seeds(const struct iomap_sim_case *engine, const char *kind, const char *script,
		     uint64_t seed, struct sum *sum)
{
	struct watched w = { .engine = engine, .kind = kind };
	struct iomap_sim_case c = *engine;
	uint64_t end = seed + SEEDS;
	int rc = 0;

	c.format = format;
	c.work = work;
	c.recover = recover;
	c.check = check;
	c.arg = &w;
	while (seed < end && rc >= 0) {
		const struct iomap_sim_cfg cfg = {
			.struct_size = sizeof(cfg), .seed = seed, .nr_seeds = end - seed,
			.crash_points = 4, .faults = script, .no_shrink = true,
			.fault_kinds = script ? NULL : kind, .max_faults = MAX_FAULTS,
		};
		struct iomap_sim_report r = { .struct_size = sizeof(r) };

		w.failed = false;
		memset(&w.counter, 0, sizeof(w.counter));
		rc = iomap_sim_check(&c, &cfg, &r);
		seed = rc == 1 ? r.seed + 1 : end;
		sum->armed += w.counter.armed;
		sum->fired += w.counter.fired;
		sum->observed += w.counter.observed;
		if (rc == 1 && !sum->failures++)
			memcpy(sum->oracle, r.oracle, sizeof(sum->oracle));
		iomap_sim_report_fini(&r);
	}
	return rc < 0 ? rc : 0;
}

static int run_kv(const char *kind, const char *script, const char *preset, uint64_t seed,
		  struct sum *sum)
{
	const struct iomap_sim_case *c = kv_case_correct_on(preset);
	uint64_t before = kv_case_errors(c);
	int rc = run_seeds(c, kind, script, seed, sum);

	sum->errors += kv_case_errors(c) - before;
	return rc;
}

static int run_files(const char *kind, const char *script, const char *preset, uint64_t seed,
		     struct sum *sum)
{
	struct alphabet a = { .length = LENGTH, .preset = preset, .retry = true };
	const struct iomap_sim_case *c = alphabet_init(&a);
	int rc = c ? run_seeds(c, kind, script, seed, sum) : -ENOMEM;

	sum->errors += a.nr_errors;
	alphabet_fini(&a);
	return rc;
}

static const char *too_much_of(const char *kind)
{
	for (size_t i = 0; i < sizeof(too_much) / sizeof(*too_much); i++)
		if (!strcmp(kind, too_much[i].kind))
			return too_much[i].why;
	return "";
}

static const char *verdict(const struct sum *s)
{
	static char text[32];

	if (!s->failures)
		return s->errors ? "is told" : s->fired ? "survives" : "-";
	snprintf(text, sizeof(text), "fails: %s", s->oracle);
	return text;
}

static void print_row(const struct tool_opts *o, const char *kind, const struct sum *all,
		      const struct sum *kv, const struct sum *files)
{
	if (o->json) {
		printf("{\"kind\":\"%s\",\"armed\":%" PRIu64 ",\"fired\":%" PRIu64 ",\"observed\":%"
		       PRIu64 ",\"device\":\"%s\",\"kv\":\"%s\",", kind, all->armed, all->fired,
		       all->observed, too_much_of(kind), verdict(kv));
		printf("\"files\":\"%s\"}\n", verdict(files));
		return;
	}
	printf("%-24s %6" PRIu64 " %6" PRIu64 " %8" PRIu64 "  %-13s", kind, all->armed, all->fired,
	       all->observed, verdict(kv));
	printf(" %-13s %s\n", verdict(files), too_much_of(kind));
}

static void add(struct sum *all, const struct sum *s)
{
	all->armed += s->armed;
	all->fired += s->fired;
	all->observed += s->observed;
	all->failures += s->failures;
}

static int run_engines(const char *kind, const char *script, uint64_t seed, struct sum *kv,
		       struct sum *files)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < NR_ENGINES; i++) {
		const struct engine *e = &engines[i];

		rc = !strcmp(e->name, "kv") ? run_kv(kind, script, e->preset, seed, kv)
					    : run_files(kind, script, e->preset, seed, files);
	}
	return rc;
}

/* Negative: it cannot be run; 1: it failed where nobody has to. */
static int run_kind(const struct tool_opts *o, const char *kind, struct sum *total)
{
	struct sum kv = { .armed = 0 }, files = kv, all = kv;
	int rc = run_engines(kind, NULL, o->seed, &kv, &files);

	if (rc >= 0 && !(kv.observed + files.observed)) {
		char script[64 * MANY];

		many_rules(kind, script, sizeof(script));
		rc = run_engines(kind, script, o->seed, &kv, &files);
	}
	if (rc < 0) {
		fprintf(stderr, "iomap-sim: %s cannot be run: %s\n", kind, strerror(-rc));
		return rc;
	}
	add(&all, &kv);
	add(&all, &files);
	add(total, &all);
	print_row(o, kind, &all, &kv, &files);
	rc = all.failures && !*too_much_of(kind);
	if (rc)
		fprintf(stderr, "iomap-sim: %s: a correct engine fails\n", kind);
	if (o->require_coverage && (!all.fired || !all.observed)) {
		fprintf(stderr, "iomap-sim: %s: %s\n", kind,
			all.fired ? "was never observed" : "never fired");
		rc = 1;
	}
	return rc;
}

static void say_end(const struct tool_opts *o, int code, unsigned kinds, const struct sum *total,
		    double seconds)
{
	printf(o->json ? "{\"faults\":\"all\",%s,\"kinds\":%u,\"fired\":%" PRIu64
			 ",\"observed\":%" PRIu64 ",\"seconds\":%.1f}\n"
		       : "faults: %s kinds=%u fired=%" PRIu64 " observed=%" PRIu64
			 " seconds=%.1f\n",
	       tool_verdict(o, code), kinds, total->fired, total->observed, seconds);
}

static int run_kinds(const struct tool_opts *o, unsigned nr, unsigned from)
{
	struct tool_progress p = { .what = "kinds" };
	struct tool_opts rest = *o;
	struct sum total = { .armed = 0 };
	unsigned done;
	int code = 0, rc = 0;

	tool_progress_start(&p, nr);
	for (done = from; done < nr && rc >= 0; done++) {
		if (tool_progress(&p, done, done))
			break;
		tool_progress_end(&p);
		rc = run_kind(o, iomap_sim_fault_kind(done), &total);
		code |= rc;
	}
	tool_progress_end(&p);
	if (rc < 0)
		return 2;
	rest.from = done;
	if (done < nr) {
		tool_say_rest(&rest, "go on with");
		code = code ? code : 2;
	}
	say_end(o, code, done - from, &total, tool_seconds() - p.start);
	return code;
}

int tool_faults(struct tool_opts *o)
{
	unsigned nr = 0;

	while (iomap_sim_fault_kind(nr))
		nr++;
	if (o->from >= nr)
		return tool_mistake("--from is behind", "the last kind");
	if (!o->json)
		printf("%-24s %6s %6s %8s  %-13s %s\n", "kind", "armed", "fired", "observed",
		       "store", "files");
	return run_kinds(o, nr, (unsigned)o->from);
}
