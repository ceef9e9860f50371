/* SPDX-License-Identifier: MIT */
/*
 * bench.c - what exploring costs, on one core or two.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim_unit_test/kv_case.h"
#include "tool.h"

/* ---- a recovery that reads 32 KiB and looks at every byte ---- */

#define BLOCK	4096u
#define BLOCKS	8u

static int write_blocks(struct iomap_sim *sim, void *arg)
{
	static uint8_t block[BLOCK];
	int64_t n = 0;

	(void)arg;
	for (unsigned i = 0; n >= 0 && i < 30; i++) {
		memset(block, (int)i, sizeof(block));
		n = iomap_sim_pwrite(sim, "disk", block, BLOCK,
				     iomap_sim_choose(sim, "block", BLOCKS) * BLOCK, 0);
		if (n >= 0 && i % 8 == 7)
			n = iomap_sim_flush(sim, "disk");
	}
	return n < 0;
}

static int read_blocks(struct iomap_sim *sim, void *arg)
{
	static uint8_t mem[BLOCKS * BLOCK];
	uint64_t *sum = arg;

	if (iomap_sim_pread(sim, "disk", mem, sizeof(mem), 0) != sizeof(mem))
		return 1;
	*sum += iomap_sim_digest(mem, sizeof(mem), 0);
	return 0;
}

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int progress(void *arg, const struct iomap_sim_report *r)
{
	return tool_progress(arg, r->seeds, r->images);
}

/* Seconds of the processor; negative: it failed, or was stopped. */
static double seconds_of(const struct iomap_sim_case *c, struct iomap_sim_cfg *cfg,
			 struct iomap_sim_report *r)
{
	struct tool_progress p = { .what = "images" };
	double start = cpu();
	int rc;

	cfg->progress = progress;
	cfg->progress_arg = &p;
	tool_progress_start(&p, cfg->nr_seeds);
	rc = iomap_sim_check(c, cfg, r);
	tool_progress_end(&p);
	iomap_sim_report_fini(r);
	return rc || r->seeds < cfg->nr_seeds ? -1 : cpu() - start;
}

/* Images a second. */
static double images(void)
{
	static const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = 65536,
	};
	uint64_t sum = 0;
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "reference", .devs = &disk, .nr_devs = 1,
		.work = write_blocks, .recover = read_blocks, .arg = &sum,
	};
	struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 500, .images = 16,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	double seconds = seconds_of(&c, &cfg, &r);

	return seconds < 0 ? -1 : (double)r.images / seconds;
}

/* Seeds of the store a second. */
static double seeds(void)
{
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 1000 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	double seconds = seconds_of(kv_case(0), &cfg, &r);

	return seconds < 0 ? -1 : (double)r.seeds / seconds;
}

/* ---- a log with forty sectors in flight ---- */

#define SECTORS	40u
#define SECTOR	512u

static int write_log(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[SECTORS * SECTOR];
	int rc = 0;

	(void)arg;
	for (unsigned i = 0; i < SECTORS; i++)
		memset(mem + i * SECTOR, (int)i + 1, SECTOR);
	for (unsigned i = 0; !rc && i < SECTORS; i++)
		rc = iomap_sim_start_write(sim, "log", mem + i * SECTOR, SECTOR, i * SECTOR, 0);
	return rc;
}

static int read_log(struct iomap_sim *sim, void *arg)
{
	uint8_t sector[SECTOR];
	unsigned n = 0;

	do {
		if (n == SECTORS ||
		    iomap_sim_pread(sim, "log", sector, SECTOR, n * SECTOR) != SECTOR)
			break;
	} while (sector[0] == n + 1 && ++n);
	++*(uint64_t *)arg;
	return 0;
}

/* Executions of recovery for the crash with all forty in flight. */
static double executions(void)
{
	struct iomap_sim_profile p = *iomap_sim_preset("consumer");
	const struct iomap_sim_dev log = { .name = "log", .profile = &p, .size = 65536 };
	uint64_t runs = 0;
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "forty", .devs = &log, .nr_devs = 1,
		.work = write_log, .check = read_log, .arg = &runs,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	p.logical_block = p.physical_block = p.atomic_normal = p.atomic_power_fail = SECTOR;
	if (iomap_sim_exhaust(&c, 0, &r) || !r.exhaustive)
		return -1;
	/* n in flight: n + 1 executions; 2 + .. + 41, 41 more at the end of work, and one. */
	return runs == (SECTORS + 1) * (SECTORS + 2) / 2 + SECTORS + 1 ? SECTORS + 1.0 : -1;
}

/* ---- four tasks that go on in turns ---- */

#define TASKS	4u
#define TURNS	50000u

struct turns {
	const void *last;
	uint64_t nr_switches;
};

static int turn(struct iomap_sim *sim, void *arg)
{
	struct turns *t = arg;
	const char me = 0;

	for (unsigned i = 0; i < TURNS; i++) {
		t->nr_switches += t->last != &me;
		t->last = &me;
		iomap_sim_yield(sim, "turn");
	}
	return 0;
}

static int take_turns(struct iomap_sim *sim, void *arg)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < TASKS; i++)
		rc = iomap_sim_spawn(sim, turn, arg);
	return rc;
}

/* Switches of tasks a second, each of which is a choice. */
static double switches(void)
{
	static const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = 65536,
	};
	struct turns t = { 0 };
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "turns", .devs = &disk, .nr_devs = 1,
		.work = take_turns, .arg = &t,
	};
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 40 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	double seconds = seconds_of(&c, &cfg, &r);

	return seconds < 0 ? -1 : (double)t.nr_switches / seconds;
}

/* ---- what people wait for ---- */

#define MANY_SEEDS	50000u

/* Seconds of a clock on the wall, in two processes. */
static double many_seeds(void)
{
	const struct tool_opts o = { .c = tool_cases[0], .jobs = 2 };
	struct iomap_sim_report r;
	double start = tool_seconds();
	int rc = tool_seeds(&o, MANY_SEEDS, false, &r);

	tool_seeds_end(&o, &r);
	return rc || r.seeds != MANY_SEEDS ? -1 : tool_seconds() - start;
}

static bool find_bugs(struct tool_bugs *b)
{
	const struct tool_opts o = { .c = tool_cases[0], .jobs = 1 };

	return !tool_find_bugs(&o, NULL, b) && b->nr == o.c->nr_bugs;
}

/* ---- all of them ---- */

static double (*const measures[])(void) = { images, seeds, executions, switches, many_seeds };

#define NR_MEASURES	(sizeof(measures) / sizeof(*measures))

static bool run_all(double *results, struct tool_bugs *b)
{
	for (size_t n = 0; n < NR_MEASURES; n++) {
		results[n] = tool_stopped() ? -1 : measures[n]();
		if (results[n] < 0)
			return false;
	}
	return find_bugs(b);
}

static void say_end(const struct tool_opts *o, int code, const double *results,
		    const struct tool_bugs *b)
{
	printf(o->json ? "{\"bench\":\"explorer\",%s,\"images_per_s\":%.0f,\"seeds_per_s\":%.0f,"
			 "\"executions_40\":%.0f,\"switches_per_s\":%.0f,"
			 "\"seeds_50000_s\":%.1f,"
		       : "bench: %s images_per_s=%.0f seeds_per_s=%.0f executions_40=%.0f"
			 " switches_per_s=%.0f seeds_50000_s=%.1f ",
	       tool_verdict(o, code), results[0], results[1], results[2], results[3], results[4]);
	printf(o->json ? "\"bugs_s\":%.2f,\"bugs_found\":%u,\"seeds_median\":%" PRIu64
			 ",\"ops_median\":%" PRIu64 ",\"faults_median\":%" PRIu64
			 ",\"shrink_max_s\":%.2f}\n"
		       : "bugs_s=%.2f bugs_found=%u seeds_median=%" PRIu64 " ops_median=%" PRIu64
			 " faults_median=%" PRIu64 " shrink_max_s=%.2f\n",
	       b->seconds, b->found, b->seeds, b->ops, b->faults, b->slowest);
}

/* There is nothing to go on from: half a measure is none. */
static int say_why_not(const struct tool_opts *o)
{
	int code = tool_stopped() ? 2 : 1;

	if (code == 2)
		tool_say_rest(o, "begin again with");
	else
		fputs("iomap-sim: a run of the benchmark failed\n", stderr);
	printf(o->json ? "{\"bench\":\"explorer\",%s}\n" : "bench: %s\n", tool_verdict(o, code));
	return code;
}

int tool_bench(struct tool_opts *o)
{
	double results[NR_MEASURES];
	struct tool_bugs b;

	if (!run_all(results, &b))
		return say_why_not(o);
	say_end(o, b.found < b.nr, results, &b);
	return b.found < b.nr;
}
