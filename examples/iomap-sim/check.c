/* SPDX-License-Identifier: MIT */
/*
 * check.c - seeds of a case, in one process or several; failures again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"
#include "two_files/alphabet.h"

#define DEFAULT_SEEDS	1000u
#define BUG_SEEDS	200u		/* in which each bug must be found */

/* What one process has done, for the one that draws. */
struct done {
	uint64_t seeds, images;
};
struct watch {
	struct tool_progress progress;
	struct done *done;		/* of a child; NULL: draw */
};

static int progress(void *arg, const struct iomap_sim_report *r)
{
	struct watch *w = arg;

	if (!w->done)
		return tool_progress(&w->progress, r->seeds, r->images);
	w->done->seeds = r->seeds;
	w->done->images = r->images;
	return tool_stopped();
}

static int check(const struct tool_opts *o, uint64_t number, uint64_t seed, uint64_t seeds,
		 struct done *done, struct iomap_sim_report *report)
{
	unsigned bug = (unsigned)number;
	struct watch w = { .progress.what = "images", .done = done };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .seed = seed, .nr_seeds = seeds,
		.images = (uint32_t)o->images, .faults = o->c->faults(bug),
		.fault_kinds = bug ? NULL : o->c->fault_kinds,
		.progress = progress, .progress_arg = &w, .twice = o->twice,
	};
	int rc;

	tool_progress_start(&w.progress, seeds);
	report->struct_size = sizeof(*report);
	rc = iomap_sim_check(o->c->get(bug), &cfg, report);
	tool_progress_end(&w.progress);
	if (rc < 0)
		fprintf(stderr, "iomap-sim: %s\n", report->text ? report->text : strerror(-rc));
	return rc;
}

static void say_stopped(const struct tool_opts *o, uint64_t seed, uint64_t seeds,
			const struct iomap_sim_report *r)
{
	if (r->seeds < seeds)
		fprintf(stderr, "stopped; go on with check %s --seed %" PRIu64 " --seeds %" PRIu64
			"\n", o->c->name, seed + r->seeds, seeds - r->seeds);
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

static int start_job(const struct tool_opts *o, uint64_t seed, uint64_t seeds, struct done *done)
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
		rc = check(o, o->bug, seed, seeds, done, &r);
		tell(fds[1], rc, &r);
		_exit(0);
	}
	close(fds[1]);
	return fds[0];
}

static void watch_jobs(const struct done *done, unsigned nr, uint64_t seeds)
{
	struct tool_progress p = { .what = "images" };
	unsigned left = nr;

	tool_progress_start(&p, seeds);
	while (left) {
		struct done sum = { 0 };

		for (unsigned i = 0; i < nr; i++) {
			sum.seeds += __atomic_load_n(&done[i].seeds, __ATOMIC_RELAXED);
			sum.images += __atomic_load_n(&done[i].images, __ATOMIC_RELAXED);
		}
		tool_progress(&p, sum.seeds, sum.images);
		if (waitpid(-1, NULL, WNOHANG) > 0)
			left--;
		else
			usleep(20000);
	}
	tool_progress_end(&p);
}

/* Each process has its share of the seeds; the first failure by number is the one that is told. */
static int check_in_jobs(const struct tool_opts *o, uint64_t seeds, struct iomap_sim_report *all)
{
	uint64_t share = (seeds + o->jobs - 1) / o->jobs;
	struct done *done = mmap(NULL, o->jobs * sizeof(*done), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned nr = 0;
	int fds[64], rc = 0;

	memset(all, 0, sizeof(*all));
	if (done == MAP_FAILED)
		return -errno;
	for (uint64_t from = 0; from < seeds && nr < o->jobs; from += share, nr++) {
		fds[nr] = start_job(o, o->seed + from, from + share < seeds ? share : seeds - from,
				    &done[nr]);
		if (fds[nr] < 0)
			return fds[nr];
	}
	watch_jobs(done, nr, seeds);
	for (unsigned i = 0; i < nr; i++) {
		uint64_t from = o->seed + i * share;
		struct iomap_sim_report r;
		int one = hear(fds[i], &r);

		if (!one && tool_stopped())
			say_stopped(o, from, i + 1 < nr ? share : seeds - i * share, &r);
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
	munmap(done, o->jobs * sizeof(*done));
	return rc;
}

/* ---- check ---- */

static int check_one(const struct tool_opts *o)
{
	uint64_t seeds = o->seeds ? o->seeds : DEFAULT_SEEDS;
	struct iomap_sim_report r;
	double start = tool_seconds();
	int rc = o->jobs > 1 ? check_in_jobs(o, seeds, &r)
			     : check(o, o->bug, o->seed, seeds, NULL, &r);

	if (rc < 0)
		return 2;
	if (rc)
		printf("%s", !o->json && r.text ? r.text : "");
	else if (tool_stopped() && o->jobs <= 1)
		say_stopped(o, o->seed, seeds, &r);
	if (o->json)
		printf("{\"check\":\"%s\",\"bug\":%" PRIu64 ",\"ok\":%s,\"seeds\":%" PRIu64
		       ",\"crashes\":%" PRIu64 ",\"images\":%" PRIu64
		       ",\"oracle\":\"%s\",\"token\":\"%s\",\"seconds\":%.1f}\n", o->c->name,
		       o->bug, rc ? "false" : "true", r.seeds, r.crash_points, r.images, r.oracle,
		       r.token, tool_seconds() - start);
	else
		printf("check: %s seeds=%" PRIu64 " crashes=%" PRIu64 " images=%" PRIu64
		       " seconds=%.1f%s%s\n", rc ? "failed" : "ok", r.seeds, r.crash_points,
		       r.images, tool_seconds() - start, rc ? " token=" : "", rc ? r.token : "");
	if (o->jobs > 1)
		free(rc ? r.text : NULL);	/* what hear has read */
	else
		iomap_sim_report_fini(&r);
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
	FILE *rows = o->json ? stderr : stdout;
	double start = tool_seconds();

	for (unsigned bug = 1; bug <= nr && !tool_stopped(); bug++) {
		struct iomap_sim_report r;
		double before = tool_seconds();
		int rc = check(o, bug, o->seed, o->seeds ? o->seeds : BUG_SEEDS, NULL, &r);

		if (rc < 0)
			return 2;
		if (!rc) {
			fprintf(rows, "bug %2u  %-32s not found\n", bug, o->c->bug_name(bug));
			continue;
		}
		fprintf(rows, "bug %2u  %-32s %s after %" PRIu64 " seeds, %u operations of %u, "
			"%.2f s\nreplay %s\n", bug, o->c->bug_name(bug), r.oracle, r.seeds, r.ops,
			r.ops_found, tool_seconds() - before, r.token);
		seeds[found] = r.seeds;
		ops[found++] = r.ops;
		iomap_sim_report_fini(&r);
	}
	qsort(seeds, found, sizeof(*seeds), compare);
	qsort(ops, found, sizeof(*ops), compare);
	if (o->json)
		printf("{\"check\":\"%s\",\"ok\":%s,\"bugs\":%u,\"of\":%u,\"seeds_median\":%" PRIu64
		       ",\"ops_median\":%" PRIu64 ",\"seconds\":%.1f}\n", o->c->name,
		       found == nr ? "true" : "false", found, nr, seeds[found / 2],
		       ops[found / 2], tool_seconds() - start);
	else
		printf("check: %s bugs=%u/%u seeds_median=%" PRIu64 " ops_median=%" PRIu64
		       " seconds=%.1f\n", found == nr ? "ok" : "failed", found, nr,
		       seeds[found / 2], ops[found / 2], tool_seconds() - start);
	return found != nr;
}

int tool_check(const struct tool_opts *o)
{
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

int tool_replay(const struct tool_opts *o, const char *token)
{
	struct alphabet a = { .length = ALPHABET_MAX };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
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

int tool_digest(const struct tool_opts *o)
{
	uint64_t seeds = o->seeds ? o->seeds : DEFAULT_SEEDS;
	struct iomap_sim_report r;

	if (check(o, o->bug, o->seed, seeds, NULL, &r))
		return 1;
	printf(o->json ? "{\"digest\":\"kv\",\"seeds\":%" PRIu64 ",\"images\":%" PRIu64
			 ",\"value\":\"%016" PRIx64 "\"}\n"
		       : "digest: ok seeds=%" PRIu64 " images=%" PRIu64 " digest=%016" PRIx64 "\n",
	       r.seeds, r.images, r.digest);
	return 0;
}
