/* SPDX-License-Identifier: MIT */
/*
 * check.c - seeds of a case, in one process or several; failures again.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

#define DEFAULT_SEEDS	1000u
#define BUG_SEEDS	200u		/* in which each bug must be found */

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

struct progress {
	uint64_t seeds;
	double start, last;
};

/* A line on terminals, a few times a second. */
static int progress(void *arg, const struct iomap_sim_report *r)
{
	struct progress *p = arg;
	double now = tool_seconds(), spent = now - p->start;

	if (now - p->last < 0.2 || !isatty(STDERR_FILENO))
		return stopped;
	p->last = now;
	fprintf(stderr, "\r%3u %%  %" PRIu64 " seeds, %.0f images a second, %.0f s left ",
		(unsigned)(100 * r->seeds / p->seeds), r->seeds, (double)r->images / spent,
		spent * (double)(p->seeds - r->seeds) / (double)r->seeds);
	return stopped;
}

static void progress_end(const struct progress *p)
{
	if (p->last > p->start)
		fprintf(stderr, "\r%60s\r", "");
}

static int check(const struct tool_opts *o, unsigned bug, uint64_t seed, uint64_t seeds,
		 struct iomap_sim_report *report)
{
	struct progress p = { seeds, tool_seconds(), 0 };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .seed = seed, .nr_seeds = seeds, .images = o->images,
		.faults = o->c->faults(bug), .progress = progress, .progress_arg = &p,
	};
	int rc;

	p.last = p.start;
	report->struct_size = sizeof(*report);
	rc = iomap_sim_check(o->c->get(bug), &cfg, report);
	progress_end(&p);
	if (rc < 0)
		fprintf(stderr, "iomap-sim: %s\n", report->text ? report->text : strerror(-rc));
	return rc;
}

/* ---- several processes ---- */

/* What a child has to say: its report, and the text behind it. */
static void tell(int fd, int rc, const struct iomap_sim_report *r)
{
	size_t len = r->text ? strlen(r->text) : 0;
	FILE *f = fdopen(fd, "w");

	if (!f)
		return;
	fwrite(&rc, sizeof(rc), 1, f);
	fwrite(r, sizeof(*r), 1, f);
	fwrite(&len, sizeof(len), 1, f);
	fwrite(r->text, 1, len, f);
	fclose(f);
}

static int hear(int fd, struct iomap_sim_report *r)
{
	size_t len = 0;
	int rc = -EPIPE;
	FILE *f = fdopen(fd, "r");

	if (!f)
		return -errno;
	if (fread(&rc, sizeof(rc), 1, f) != 1 || fread(r, sizeof(*r), 1, f) != 1 ||
	    fread(&len, sizeof(len), 1, f) != 1)
		rc = -EPIPE;
	r->text = rc == 1 ? calloc(1, len + 1) : NULL;
	if (r->text && fread(r->text, 1, len, f) != len)
		rc = -EPIPE;
	fclose(f);
	return rc;
}

static int start_job(const struct tool_opts *o, uint64_t seed, uint64_t seeds)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		struct iomap_sim_report r;
		int rc;

		close(fds[0]);
		rc = check(o, o->bug, seed, seeds, &r);
		tell(fds[1], rc, &r);
		_exit(0);
	}
	close(fds[1]);
	return fds[0];
}

/* Each process has its share of the seeds; the first failure by number is the one that is told. */
static int check_in_jobs(const struct tool_opts *o, uint64_t seeds, struct iomap_sim_report *all)
{
	uint64_t share = (seeds + o->jobs - 1) / o->jobs;
	unsigned nr = 0;
	int fds[64], rc = 0;

	memset(all, 0, sizeof(*all));
	for (uint64_t from = 0; from < seeds && nr < o->jobs; from += share, nr++) {
		fds[nr] = start_job(o, o->seed + from, from + share < seeds ? share : seeds - from);
		if (fds[nr] < 0)
			return fds[nr];
	}
	for (unsigned i = 0; i < nr; i++) {
		struct iomap_sim_report r;
		int one = hear(fds[i], &r);

		all->seeds += one >= 0 ? r.seeds : 0;
		all->images += one >= 0 ? r.images : 0;
		all->crash_points += one >= 0 ? r.crash_points : 0;
		if (one && !rc) {
			r.seeds = all->seeds;
			r.images = all->images;
			r.crash_points = all->crash_points;
			*all = r;
			rc = one;
		} else if (one == 1) {
			free(r.text);
		}
	}
	while (wait(NULL) > 0)
		;
	return rc;
}

/* ---- check ---- */

static void say_stopped(const struct tool_opts *o, const struct iomap_sim_report *r, uint64_t seeds)
{
	if (stopped)
		fprintf(stderr, "stopped; go on with --seed %" PRIu64 " --seeds %" PRIu64 "\n",
			o->seed + r->seeds, seeds - r->seeds);
}

static int check_one(const struct tool_opts *o)
{
	uint64_t seeds = o->seeds ? o->seeds : DEFAULT_SEEDS;
	struct iomap_sim_report r;
	double start = tool_seconds();
	int rc = o->jobs > 1 ? check_in_jobs(o, seeds, &r)
			     : check(o, o->bug, o->seed, seeds, &r);

	if (rc < 0)
		return 2;
	if (rc)
		printf("%s", r.text ? r.text : "");
	else
		say_stopped(o, &r, seeds);
	if (o->json)
		printf("{\"check\":\"%s\",\"bug\":%u,\"ok\":%s,\"seeds\":%" PRIu64
		       ",\"crashes\":%" PRIu64 ",\"images\":%" PRIu64
		       ",\"oracle\":\"%s\",\"token\":\"%s\",\"seconds\":%.1f}\n", o->c->name,
		       o->bug, rc ? "false" : "true", r.seeds, r.crash_points, r.images, r.oracle,
		       r.token, tool_seconds() - start);
	else
		printf("check: %s seeds=%" PRIu64 " crashes=%" PRIu64 " images=%" PRIu64
		       " seconds=%.1f%s%s\n", rc ? "failed" : "ok", r.seeds, r.crash_points,
		       r.images, tool_seconds() - start, rc ? " token=" : "", rc ? r.token : "");
	free(rc ? r.text : NULL);
	return rc;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Each must be found, and shown again by its token. */
static int check_all_bugs(const struct tool_opts *o)
{
	uint64_t seeds[TOOL_MAX_BUGS] = { 0 }, ops[TOOL_MAX_BUGS] = { 0 };
	unsigned nr = o->c->nr_bugs, found = 0;
	double start = tool_seconds();

	for (unsigned bug = 1; bug <= nr && !stopped; bug++) {
		struct iomap_sim_report r;
		double before = tool_seconds();
		int rc = check(o, bug, o->seed, o->seeds ? o->seeds : BUG_SEEDS, &r);

		if (rc < 0)
			return 2;
		if (!rc) {
			printf("bug %2u  %-32s not found\n", bug, o->c->bug_name(bug));
			continue;
		}
		printf("bug %2u  %-32s %s after %" PRIu64 " seeds, %u operations of %u, %.2f s\n"
		       "replay %s\n", bug, o->c->bug_name(bug), r.oracle, r.seeds, r.ops,
		       r.ops_found, tool_seconds() - before, r.token);
		seeds[found] = r.seeds;
		ops[found++] = r.ops;
		iomap_sim_report_fini(&r);
	}
	qsort(seeds, found, sizeof(*seeds), compare);
	qsort(ops, found, sizeof(*ops), compare);
	printf("check: %s bugs=%u/%u seeds_median=%" PRIu64 " ops_median=%" PRIu64
	       " seconds=%.1f\n", found == nr ? "ok" : "failed", found, nr, seeds[found / 2],
	       ops[found / 2], tool_seconds() - start);
	return found != nr;
}

int tool_check(const struct tool_opts *o)
{
	signal(SIGINT, stop);
	return o->all_bugs ? check_all_bugs(o) : check_one(o);
}

/* ---- replay ---- */

/* A token begins with the name of its case, and each bug is a case of its own. */
static const struct iomap_sim_case *case_of(const char *token)
{
	size_t len = strcspn(token, ":");

	for (const struct tool_case *const *c = tool_cases; *c; c++)
		for (unsigned bug = 0; bug <= (*c)->nr_bugs; bug++) {
			const struct iomap_sim_case *one = (*c)->get(bug);

			if (strlen(one->name) == len && !strncmp(one->name, token, len))
				return one;
		}
	return NULL;
}

int tool_replay(const char *token)
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_case *c = case_of(token);
	int rc = c ? iomap_sim_replay(c, token, &r) : -EINVAL;

	if (rc < 0) {
		fprintf(stderr, "iomap-sim: '%s' is no token, or was cut or changed on its way\n",
			token);
		return 2;
	}
	printf("%s", rc ? r.text : "");
	printf("replay: %s oracle=%s\n", rc ? "fails" : "ok", rc ? r.oracle : "none");
	iomap_sim_report_fini(&r);
	return rc;
}

int tool_digest(const struct tool_opts *o)
{
	uint64_t seeds = o->seeds ? o->seeds : DEFAULT_SEEDS;
	struct iomap_sim_report r;

	if (check(o, o->bug, o->seed, seeds, &r))
		return 1;
	printf("digest: ok seeds=%" PRIu64 " images=%" PRIu64 " digest=%016" PRIx64 "\n", r.seeds,
	       r.images, r.digest);
	return 0;
}
