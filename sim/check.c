/* SPDX-License-Identifier: MIT */
/*
 * check.c - seeds of a case, until one fails; and one failure again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"
#include "oracle.h"
#include "zone.h"

#define NOTES	2000u

static int start_report(struct iomap_sim_report *report)
{
	if (!report || report->struct_size < sizeof(*report))
		return -EINVAL;
	memset(report, 0, sizeof(*report));
	report->struct_size = sizeof(*report);
	return 0;
}

/* What cannot be, and why: -EINVAL. */
static int refuse(struct iomap_sim_report *report, const char *text)
{
	report->text = iomapi_sim_alloc(strlen(text) + 1);
	if (report->text)
		strcpy(report->text, text);
	return -EINVAL;
}

static int new_run(const struct iomap_sim_case *c, uint64_t seed, struct iomapi_sim_run **run,
		   struct iomap_sim_report *report)
{
	int rc = iomapi_sim_run_new(c, seed, run);

	if (rc == -EINVAL)
		refuse(report, "the case cannot be: its size, its name, a callback that is "
		       "missing, the name, preset, profile or size of a device; or format failed");
	return rc;
}

static void count(struct iomap_sim_report *report, const struct iomapi_sim_run *run)
{
	report->runs++;
	report->crash_points = run->nr_crashes;
	report->images = run->nr_images;
	report->digest = run->digest;
	memcpy(report->evaluated, run->sim->oracles->evaluated, sizeof(report->evaluated));
	report->skipped = run->nr_skipped;
	report->level = run->level;
}

static int set_faults(struct iomapi_sim_failure *f, const char *script)
{
	f->faults = NULL;
	if (!script)
		return 0;
	f->faults = iomapi_sim_zalloc(strlen(script) + 1);
	if (!f->faults)
		return -ENOMEM;
	strcpy(f->faults, script);
	return 0;
}

/* What this seed has to bear. */
static int draw_faults(const struct iomap_sim_cfg *cfg, uint64_t seed, struct iomapi_sim_plan *plan,
		       char **drawn)
{
	int rc;

	iomapi_sim_free(*drawn);
	*drawn = NULL;
	plan->faults = cfg->faults;
	if (!cfg->fault_kinds)
		return 0;
	rc = iomapi_sim_draw_faults(seed, cfg, drawn);
	plan->faults = *drawn;
	return rc;
}

/* A failure did not come again, so it depends on what the simulation does not know: two runs that
 * were told to do the same.  1, or negative. */
static int not_again(struct iomapi_sim_run *run, const struct iomapi_sim_plan *plan,
		     struct iomap_sim_report *report)
{
	int rc;

	iomapi_sim_log_compare(run->log);
	rc = iomapi_sim_execute(run, plan);
	report->runs++;
	if (rc >= 0)
		rc = iomapi_sim_tell_first(run, plan->seed, "the failure did not come again",
					   report);
	return rc < 0 ? rc : 1;
}

/* Once more, to be looked at: it must fail as it did, or the engine does not do what it did. */
static int show(struct iomapi_sim_run *run, struct iomapi_sim_failure *f, bool traces, bool must,
		struct iomap_sim_report *report)
{
	const struct iomapi_sim_plan plan = {
		.seed = f->seed, .faults = f->faults, .like = f, .traces = traces,
		.images = !traces, .policy = f->policy,
	};
	struct iomapi_sim_log log = { 0 };
	int rc;

	run->notes = iomapi_sim_alloc(NOTES);
	run->max_notes = NOTES;
	run->log = &log;
	rc = run->notes ? iomapi_sim_execute(run, &plan) : -ENOMEM;
	report->runs++;
	if (rc == 1) {
		report->seed = f->seed;
		memcpy(report->oracle, run->failure.oracle, sizeof(report->oracle));
		report->ops = (uint32_t)iomapi_sim_nr_ops(&run->failure.work);
		report->choices = (uint32_t)run->failure.work.nr;
		run->failure.faults = f->faults;
		rc = iomapi_sim_describe(run, &run->failure, report);
		run->failure.faults = NULL;
		rc = rc ? rc : 1;
	} else if (!rc && must) {
		rc = not_again(run, &plan, report);
	}
	iomapi_sim_log_fini(&log);
	run->log = NULL;
	iomapi_sim_free(run->notes);
	run->notes = NULL;
	return rc;
}

/* The run has failed: shrink it, and tell. */
static int tell(struct iomapi_sim_run *run, const struct iomap_sim_cfg *cfg,
		struct iomap_sim_report *report)
{
	struct iomapi_sim_failure f = run->failure;
	struct iomapi_sim_plan plan;
	char *drawn = NULL;
	int rc = draw_faults(cfg, f.seed, &plan, &drawn);
	bool traces = f.exact || !cfg->no_shrink;

	f.faults = NULL;
	memset(&run->failure, 0, sizeof(run->failure));
	if (!rc)
		rc = set_faults(&f, plan.faults);
	iomapi_sim_free(drawn);
	report->ops_found = (uint32_t)iomapi_sim_nr_ops(&f.work);
	report->choices_found = (uint32_t)f.work.nr;
	/* As it was found, for a case that does not fit in a word when it is shrunk. */
	iomapi_sim_token(run->c, &f, f.exact, report->token, sizeof(report->token));
	if (!rc && !cfg->no_shrink) {
		char token[sizeof(report->token)];

		rc = iomapi_sim_shrink(run, &f);
		if (!rc && iomapi_sim_token(run->c, &f, true, token, sizeof(token)))
			memcpy(report->token, token, sizeof(token));
	}
	if (!rc)
		rc = show(run, &f, traces, true, report);
	iomapi_sim_failure_fini(&f);
	return rc;
}

/* The same seed again, with its first run in the log: the digests must be the same. */
static int again(struct iomapi_sim_run *run, const struct iomapi_sim_plan *plan,
		 struct iomap_sim_report *report)
{
	uint64_t first = run->digest;
	int rc;

	run->digest = 0;
	iomapi_sim_log_compare(run->log);
	rc = iomapi_sim_execute(run, plan);
	iomapi_sim_looked(run->sim, 46);
	if (rc || run->digest == first)
		return rc;
	rc = iomapi_sim_tell_first(run, plan->seed, "two runs of a seed are not the same", report);
	return rc ? rc : 1;
}

static int one_seed(struct iomapi_sim_run *run, const struct iomap_sim_cfg *cfg,
		    const struct iomapi_sim_plan *plan, struct iomap_sim_report *report)
{
	struct iomapi_sim_plan removal = {
		.seed = plan->seed, .faults = plan->faults, .policy = plan->policy,
	};
	uint64_t all = run->digest, recover_events = run->recover_events;
	struct iomapi_sim_log log = { 0 };
	int rc;

	run->digest = 0;
	run->log = cfg->twice ? &log : NULL;
	rc = iomapi_sim_execute(run, plan);
	if (!rc && cfg->twice) {
		run->recover_events = recover_events;	/* as long as it was thought to be */
		rc = again(run, plan, report);
	}
	run->log = NULL;
	for (uint8_t kind = IOMAP_SIM_REMOVAL; !rc && kind <= IOMAP_SIM_RETURN; kind <<= 1) {
		removal.removal = kind;
		if (cfg->restarts & kind)
			rc = iomapi_sim_execute(run, &removal);
	}
	iomapi_sim_log_fini(&log);
	run->digest = iomapi_sim_fold(all, run->digest);
	report->seeds++;
	count(report, run);
	return rc;
}

static int all_seeds(struct iomapi_sim_run *run, const struct iomap_sim_cfg *cfg,
		     struct iomap_sim_report *report)
{
	struct iomapi_sim_plan plan = {
		.seed = cfg->seed, .policy = { (uint8_t)cfg->schedule, cfg->depth, 0 },
	};
	char *drawn = NULL;
	int rc = draw_faults(cfg, cfg->seed, &plan, &drawn);

	if (!rc)
		rc = iomapi_sim_execute(run, &plan);	/* how long is it? */

	count(report, run);
	report->seeds = rc == 1;
	plan.stride = run->work_events / cfg->crash_points + 1;
	plan.images = cfg->all_images ? 0 : cfg->images;
	plan.levels = cfg->all_images;
	plan.restarts = cfg->all_images ? 0 : cfg->restarts;
	plan.policy.steps = run->work_points;
	run->level = cfg->all_images ? IOMAP_SIM_LEVEL_ALL : IOMAP_SIM_LEVEL_DRAWN;
	for (uint64_t n = 0; !rc && n < cfg->nr_seeds; n++, plan.seed++) {
		rc = draw_faults(cfg, plan.seed, &plan, &drawn);
		if (!rc)
			rc = one_seed(run, cfg, &plan, report);
		if (!rc && cfg->progress && cfg->progress(cfg->progress_arg, report))
			break;
	}
	iomapi_sim_free(drawn);
	return rc;
}

/* A rule that nothing came of has tested nothing; nor has a place where nobody came. */
static void look_for_gaps(const struct iomapi_sim_run *run, struct iomap_sim_report *report)
{
	for (unsigned i = 0; i < run->nr_sometimes; i++)
		if (!run->sometimes[i].seen)
			snprintf(report->never, sizeof(report->never), "%s",
				 run->sometimes[i].name);

	for (unsigned k = 1; k < IOMAPI_SIM_NR_KINDS; k++)
		if (run->sim->counters[k].armed && !run->sim->counters[k].fired)
			strcpy(report->unfired, iomapi_sim_kinds[k].name);
}

static void defaults(struct iomap_sim_cfg *cfg, const struct iomap_sim_cfg *given)
{
	memset(cfg, 0, sizeof(*cfg));
	if (given)
		memcpy(cfg, given, given->struct_size < sizeof(*cfg) ? given->struct_size
								     : sizeof(*cfg));
	if (!cfg->nr_seeds)
		cfg->nr_seeds = 1000;
	if (!cfg->crash_points)
		cfg->crash_points = 16;
	if (!cfg->images)
		cfg->images = 1;
	if (!cfg->max_faults)
		cfg->max_faults = 1;
	if (!cfg->max_broken)
		cfg->max_broken = 1;
	if (!cfg->depth)
		cfg->depth = cfg->schedule == IOMAP_SIM_PCT ? 3 : 2;
}

/* A script with a mistake is told in the report. */
static int try_script(struct iomapi_sim_run *run, const char *script, const char *kinds,
		      struct iomap_sim_report *report)
{
	int rc = script ? iomap_sim_fault(run->sim, script) : 0;

	if (!rc && kinds)
		rc = iomapi_sim_try_kinds(run->sim, kinds);
	if (rc == -EINVAL) {
		report->text = iomapi_sim_alloc(sizeof(run->sim->fault_error));
		if (report->text)
			strcpy(report->text, iomap_sim_fault_error(run->sim));
	}
	iomapi_sim_disarm(run->sim);
	memset(run->sim->counters, 0, sizeof(run->sim->counters));
	return rc;
}

static int check_zones(const struct iomapi_sim_run *run, const struct iomap_sim_cfg *cfg,
		       struct iomap_sim_report *report)
{
	if (!(cfg->restarts & ~(uint32_t)IOMAP_SIM_POWER_LOSS) || !iomapi_sim_has_zones(run->sim))
		return 0;
	return refuse(report, "restarts: devices with zones know POWER_LOSS alone");
}

static int exhaust(const struct iomap_sim_case *c, uint64_t bound, const struct iomap_sim_cfg *cfg,
		   struct iomap_sim_report *report);

static int check_cfg(const struct iomap_sim_cfg *cfg, const struct iomap_sim_cfg *given,
		     struct iomap_sim_report *report)
{
	if (given && given->struct_size < sizeof(given->struct_size))
		return refuse(report, "struct_size of the configuration is not set");
	if (cfg->schedule > IOMAP_SIM_DEPTH_FIRST)
		return refuse(report, "schedule: there is RANDOM, PCT and DEPTH_FIRST");
	if (cfg->restarts >= 2 * IOMAP_SIM_RETURN)
		return refuse(report, "restarts: it has a bit that means nothing");
	if (cfg->schedule == IOMAP_SIM_PCT && cfg->depth > 3)
		return refuse(report, "depth: 1..3 with PCT");
	return 0;
}

IOMAP_API int iomap_sim_check(const struct iomap_sim_case *c, const struct iomap_sim_cfg *given,
			      struct iomap_sim_report *report)
{
	struct iomap_sim_cfg cfg;
	struct iomapi_sim_run *run = NULL;
	int rc = start_report(report);

	defaults(&cfg, given);
	if (!rc)
		rc = check_cfg(&cfg, given, report);
	if (rc)
		return rc;
	if (cfg.schedule == IOMAP_SIM_DEPTH_FIRST)
		return exhaust(c, given->nr_seeds, &cfg, report);
	rc = new_run(c, cfg.seed, &run, report);
	if (!rc)
		rc = check_zones(run, &cfg, report);
	if (!rc)
		rc = try_script(run, cfg.faults, cfg.fault_kinds, report);
	if (!rc)
		rc = all_seeds(run, &cfg, report);
	if (!rc)
		look_for_gaps(run, report);
	if (rc == 1 && !report->oracle[0])
		rc = tell(run, &cfg, report);
	iomapi_sim_run_delete(&run);
	return rc;
}

/* ---- all of it ---- */

static int all_paths(struct iomapi_sim_run *run, uint64_t bound, uint32_t depth,
		     struct iomap_sim_report *report)
{
	struct iomapi_sim_trace path = { 0 };
	struct iomapi_sim_plan plan = {
		.path = &path, .stride = 1, .policy = { IOMAP_SIM_DEPTH_FIRST, depth, 0 },
	};
	uint64_t nr = 0;
	int rc, more;

	run->level = IOMAP_SIM_LEVEL_ALL;
	do {
		plan.max_images = bound - run->nr_images;
		/* Crashes in recovery begin when its length is known: behind the first path. */
		plan.known = nr++ > 1 || !run->c->recover ? path.nr : 0;
		rc = iomapi_sim_execute(run, &plan);
		count(report, run);
		more = rc ? 0 : iomapi_sim_next_path(&path, &run->records[1]);
		/* Where it is the only one, once more. */
	} while ((more == 1 || (!rc && !more && nr == 1 && run->c->recover)) &&
		 run->nr_images < bound);
	report->exhaustive = !rc && !more && !run->cut_short;
	if (!report->exhaustive)
		report->level = IOMAP_SIM_LEVEL_DRAWN;
	iomapi_sim_trace_free(&path);
	return more < 0 ? more : rc;
}

static int exhaust(const struct iomap_sim_case *c, uint64_t bound,
		   const struct iomap_sim_cfg *given, struct iomap_sim_report *report)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .no_shrink = given->no_shrink,
	};
	struct iomapi_sim_run *run = NULL;
	int rc = new_run(c, 0, &run, report);

	if (!rc)
		rc = all_paths(run, bound ? bound : UINT64_MAX, given->depth, report);
	if (rc == 1)
		rc = tell(run, &cfg, report);
	iomapi_sim_run_delete(&run);
	return rc;
}

IOMAP_API int iomap_sim_exhaust(const struct iomap_sim_case *c, uint64_t bound,
				struct iomap_sim_report *report)
{
	struct iomap_sim_cfg cfg;
	int rc = start_report(report);

	defaults(&cfg, NULL);
	return rc ? rc : exhaust(c, bound, &cfg, report);
}

IOMAP_API int iomap_sim_fuzz_one(const struct iomap_sim_case *c, const uint8_t *bytes,
				 size_t nr_bytes)
{
	struct iomapi_sim_trace path = { .nr = nr_bytes / 2 };
	const struct iomapi_sim_plan plan = { .path = &path, .stride = 1, .images = 1 };
	struct iomapi_sim_run *run = NULL;
	int rc;

	path.made = iomapi_sim_zalloc((path.nr + 1) * sizeof(*path.made));
	if (!path.made)
		return -ENOMEM;
	for (size_t i = 0; i < path.nr; i++)
		path.made[i].value = bytes[2 * i] | (uint32_t)bytes[2 * i + 1] << 8;
	rc = iomapi_sim_run_new(c, 0, &run);
	if (!rc)
		rc = iomapi_sim_execute(run, &plan);
	iomapi_sim_run_delete(&run);
	iomapi_sim_free(path.made);
	return rc;
}

/* ---- one again ---- */

IOMAP_API int iomap_sim_replay(const struct iomap_sim_case *c, const char *token,
			       struct iomap_sim_report *report)
{
	struct iomapi_sim_failure f = { 0 };
	struct iomapi_sim_run *run = NULL;
	bool traces = false, other;
	int rc;

	if (!c || !c->name || !token)
		return -EINVAL;
	/* Before the report, which it may be in, is used anew. */
	other = strncmp(token, c->name, strlen(c->name)) || token[strlen(c->name)] != ':';
	rc = iomapi_sim_parse_token(c, token, &f, &traces);
	if (rc == -EINVAL && !start_report(report))
		refuse(report, other ? "the token is of another case"
				     : "the token was cut or changed on its way");
	if (!rc)
		rc = start_report(report);
	if (rc) {
		iomapi_sim_failure_fini(&f);
		return rc;
	}
	rc = new_run(c, f.seed, &run, report);
	if (!rc)
		rc = try_script(run, f.faults, NULL, report);
	if (!rc) {
		iomapi_sim_token(c, &f, traces, report->token, sizeof(report->token));
		rc = show(run, &f, traces, false, report);
		count(report, run);
	}
	if (rc == 1)
		report->ops_found = report->ops, report->choices_found = report->choices;
	iomapi_sim_run_delete(&run);
	iomapi_sim_failure_fini(&f);
	return rc;
}
