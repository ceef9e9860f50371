/* SPDX-License-Identifier: MIT */
/*
 * seeds.c - seeds of a case, in one process or several.
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

/* What one process has done, for the one that draws; and stop, which that one has heard. */
struct done {
	uint64_t seeds, images;
	bool stop;
};
struct watch {
	struct tool_progress progress;
	struct done *done;		/* of a child; NULL: draw */
};
/* A child, and its share. */
struct job {
	uint64_t seed, seeds;
	int fd;
};

static int progress(void *arg, const struct iomap_sim_report *r)
{
	struct watch *w = arg;

	if (!w->done)
		return tool_progress(&w->progress, r->seeds, r->images);
	__atomic_store_n(&w->done->seeds, r->seeds, __ATOMIC_RELAXED);
	__atomic_store_n(&w->done->images, r->images, __ATOMIC_RELAXED);
	return tool_stopped() || __atomic_load_n(&w->done->stop, __ATOMIC_RELAXED);
}

static int run_seeds(const struct tool_opts *o, uint64_t seed, uint64_t seeds, struct done *done,
		     struct iomap_sim_report *report)
{
	unsigned bug = (unsigned)o->bug;
	struct watch w = { .progress.what = "images", .done = done };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .seed = seed, .nr_seeds = seeds,
		.images = (uint32_t)o->images, .all_images = (uint32_t)o->all_images,
		.faults = o->c->faults(bug), .fault_kinds = bug ? NULL : o->c->fault_kinds,
		.progress = progress, .progress_arg = &w, .twice = o->twice,
	};
	int rc;

	tool_progress_start(&w.progress, seeds);
	memset(report, 0, sizeof(*report));
	report->struct_size = sizeof(*report);
	rc = iomap_sim_check(o->c->get(bug), &cfg, report);
	tool_progress_end(&w.progress);
	if (rc < 0)
		fprintf(stderr, "iomap-sim: %s\n", report->text ? report->text : strerror(-rc));
	return rc;
}

static void say_rest(const struct tool_opts *o, uint64_t seed, uint64_t seeds,
		     const struct iomap_sim_report *r)
{
	struct tool_opts rest = *o;

	rest.seed = seed + r->seeds;
	rest.seeds = seeds - r->seeds;
	if (rest.seeds)
		tool_say_rest(&rest, "go on with");
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
	FILE *f = fdopen(fd, "r");
	size_t len = 0;
	char *text = NULL;
	int rc;

	if (!f || fread(&rc, sizeof(rc), 1, f) != 1 || fread(r, sizeof(*r), 1, f) != 1 ||
	    fread(&len, sizeof(len), 1, f) != 1 || !(text = calloc(1, len + 1)) ||
	    fread(text, 1, len, f) != len) {
		fputs("iomap-sim: a process ended without a report\n", stderr);
		memset(r, 0, sizeof(*r));
		free(text);
		text = NULL;
		rc = -EPIPE;
	}
	r->text = text;
	if (f)
		fclose(f);
	return rc;
}

static int start_job(const struct tool_opts *o, struct job *job, struct done *done)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds))
		return -errno;
	pid = fork();
	if (pid < 0) {
		int error = -errno;

		close(fds[0]);
		close(fds[1]);
		return error;
	}
	if (!pid) {
		struct iomap_sim_report r;
		int rc;

		close(fds[0]);
		rc = run_seeds(o, job->seed, job->seeds, done, &r);
		tell(fds[1], rc, &r);
		_exit(0);
	}
	close(fds[1]);
	job->fd = fds[0];
	return 0;
}

/* Their shares: negative when one of them cannot be started. */
static int start_jobs(const struct tool_opts *o, uint64_t seeds, struct job *jobs,
		      struct done *done, unsigned *nr)
{
	uint64_t share = seeds / o->jobs + !!(seeds % o->jobs), left = seeds;
	int rc = 0;

	for (*nr = 0; left && !rc; *nr += !rc) {
		struct job *job = &jobs[*nr];

		job->seed = o->seed + (seeds - left);
		job->seeds = share < left ? share : left;
		left -= job->seeds;
		rc = start_job(o, job, &done[*nr]);
	}
	if (rc)
		fprintf(stderr, "iomap-sim: no process could be started: %s\n", strerror(-rc));
	return rc;
}

/* Only this one may have been asked to stop. */
static void watch_jobs(struct tool_progress *p, struct done *done, unsigned nr)
{
	unsigned left = nr;

	while (left) {
		struct done sum = { 0 };

		for (unsigned i = 0; i < nr; i++) {
			sum.seeds += __atomic_load_n(&done[i].seeds, __ATOMIC_RELAXED);
			sum.images += __atomic_load_n(&done[i].images, __ATOMIC_RELAXED);
			__atomic_store_n(&done[i].stop, tool_stopped(), __ATOMIC_RELAXED);
		}
		tool_progress(p, sum.seeds, sum.images);
		if (waitpid(-1, NULL, WNOHANG) > 0)
			left--;
		else
			usleep(20000);
	}
	tool_progress_end(p);
}

static void add(struct iomap_sim_report *sum, const struct iomap_sim_report *r)
{
	sum->seeds += r->seeds;
	sum->images += r->images;
	sum->crash_points += r->crash_points;
	sum->skipped += r->skipped;
	if (r->level < sum->level)
		sum->level = r->level;
}

/* The first failure by number is the one that is told; behind it nothing is said of the rest. */
static int hear_jobs(const struct tool_opts *o, const struct job *jobs, unsigned nr, bool says,
		     struct iomap_sim_report *all)
{
	struct iomap_sim_report sum = { .level = IOMAP_SIM_LEVEL_ALL };
	int rc = 0;

	for (unsigned i = 0; i < nr; i++) {
		struct iomap_sim_report r;
		int one = hear(jobs[i].fd, &r);

		if (one >= 0)
			add(&sum, &r);
		if (!one && says && tool_stopped())
			say_rest(o, jobs[i].seed, jobs[i].seeds, &r);
		if (one == 1 && rc != 1)
			*all = r;
		else
			free(r.text);
		if (one && rc != 1)
			rc = one;
	}
	all->seeds = sum.seeds;
	all->images = sum.images;
	all->crash_points = sum.crash_points;
	all->skipped = sum.skipped;
	all->level = sum.level;
	return rc;
}

static int in_jobs(const struct tool_opts *o, uint64_t seeds, bool says,
		   struct iomap_sim_report *r)
{
	struct tool_progress p = { .what = "images" };
	struct done *done = mmap(NULL, o->jobs * sizeof(*done), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct job jobs[TOOL_MAX_JOBS];
	unsigned nr;
	int rc, heard;

	memset(r, 0, sizeof(*r));
	if (done == MAP_FAILED) {
		fprintf(stderr, "iomap-sim: %s\n", strerror(errno));
		return -ENOMEM;
	}
	tool_progress_start(&p, seeds);
	rc = start_jobs(o, seeds, jobs, done, &nr);
	watch_jobs(&p, done, nr);
	heard = hear_jobs(o, jobs, nr, says, r);
	munmap(done, o->jobs * sizeof(*done));
	return rc && heard != 1 ? rc : heard;
}

int tool_seeds(const struct tool_opts *o, uint64_t seeds, bool says, struct iomap_sim_report *r)
{
	int rc;

	if (o->jobs > 1)
		return in_jobs(o, seeds, says, r);
	rc = run_seeds(o, o->seed, seeds, NULL, r);
	if (!rc && says && tool_stopped())
		say_rest(o, o->seed, seeds, r);
	return rc;
}

void tool_seeds_end(const struct tool_opts *o, struct iomap_sim_report *r)
{
	if (o->jobs > 1)
		free(r->text);		/* what hear has read */
	else
		iomap_sim_report_fini(r);
}
