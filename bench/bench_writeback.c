/* SPDX-License-Identifier: MIT */
/*
 * bench_writeback - what does it cost to write a dirty page back?
 *
 * Cached folios of one page each (or frames with --frames) are made dirty in a pattern, then
 * written by one pass: from the call of iomap_writepages (the first iomap_writeback_folio) until
 * everything is clean.  Making them dirty is not measured.  The client maps a file to itself:
 * address equals position.  Prints nanoseconds per page, the median of all passes, of the wall
 * clock and of this process's CPUs; allocations and device requests of one pass.
 *
 * bench/instructions runs one pass of it under callgrind, which collects inside measured_pass only.
 *
 * Threads: one.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <iomap/iomap.h>

#include "flat.h"

#define PAGE		4096u
#define SHARED_PAGES	1024u		/* of memory that frames share */
#define MAX_REPEAT	1000u

enum pattern { SEQ, DENSE90, DENSE50, STRIDE2, RANDOM };
static const char *const pattern_names[] = { "seq", "dense90", "dense50", "stride2", "random" };

struct options {
	const char *device, *destroy;
	enum pattern pattern;
	uint64_t pages;
	unsigned repeat;
	bool frames, warmup, json;
};

struct bench {
	struct options opts;
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct iomap_inode inode;
	int64_t *pos;			/* of the pages, ascending */
	struct iomap_folio *folios;	/* frames */
	char *memory;
	uint64_t allocs;
	uint64_t nr_written;
	int error;
};
#define BENCH(i) iomap_container_of(i, struct bench, inode)

struct result {
	double wall, cpu;		/* ns per page */
	uint64_t allocs, bios;
};

/* ---- the environment ---- */

static void *counting_alloc(void *arg, size_t size, size_t align)
{
	struct bench *b = arg;
	void *mem;

	b->allocs++;
	return posix_memalign(&mem, align < sizeof(void *) ? sizeof(void *) : align, size) ? NULL
											   : mem;
}

static void plain_free(void *arg, void *mem, size_t size)
{
	(void)arg;
	(void)size;
	free(mem);
}

/* ---- the client: a file is where its device is ---- */

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)pos, (void)len, (void)flags, (void)srcmap, (void)priv;
	*map = (struct iomap){
		/* new: what a write does not cover need not be read first */
		.type = IOMAP_MAPPED, .flags = flags & IOMAP_WRITE ? IOMAP_F_NEW : 0,
		.bdev = inode->bdev, .length = (uint64_t)iomap_inode_size(inode),
	};
	return 0;
}

static const struct iomap_ops ops = { .struct_size = sizeof(ops), .iomap_begin = begin };

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	if (!wpc->iomap.length)
		wpc->iomap = (struct iomap){
			.type = IOMAP_MAPPED, .bdev = wpc->inode->bdev,
			.length = (uint64_t)iomap_inode_size(wpc->inode),
		};
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = range,
	.writeback_submit = iomap_ioend_writeback_submit,
};

static int writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &wb_ops };

	return iomap_writepages(&wpc);
}

static void folio_written(struct iomap_folio *folio, int error)
{
	struct bench *b = BENCH(folio->inode);

	b->nr_written++;
	if (error)
		b->error = error;
}

static const struct iomap_inode_ops inode_ops = {
	.struct_size = sizeof(inode_ops), .writepages = writepages,
	.sync_metadata = flat_metadata, .tryget = flat_tryget, .put = flat_put,
	.folio_written = folio_written,
};
static const struct iomap_volume_ops volume_ops = {
	.struct_size = sizeof(volume_ops), .sync_metadata = flat_volume_metadata,
};

/* ---- which pages ---- */

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;	/* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* Ascending positions; what is skipped between two of them makes the pattern. */
static void choose(struct bench *b)
{
	static const unsigned percent[] = { [DENSE90] = 90, [DENSE50] = 50 };
	uint64_t seed = 42;
	int64_t page = 0;

	for (uint64_t i = 0; i < b->opts.pages; i++) {
		switch (b->opts.pattern) {
		case SEQ:
			break;
		case DENSE90:
		case DENSE50:
			while (next_random(&seed) % 100 >= percent[b->opts.pattern])
				page++;
			break;
		case STRIDE2:
			page += i > 0;
			break;
		case RANDOM:
			page += (int64_t)(next_random(&seed) % 31);	/* one of sixteen */
			break;
		}
		b->pos[i] = page++ * (int64_t)PAGE;
	}
}

/* ---- making pages dirty ---- */

static int dirty_cached(struct bench *b, int64_t pos)
{
	static char zeros[PAGE];
	struct iomap_folio *folio;
	int rc = iomap_mapping_get_folio(&b->inode, pos, PAGE, 0, &folio);

	if (!rc) {
		iomap_folio_mark_dirty(folio, 0, PAGE);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	} else if (rc == -ENOENT) {
		struct iovec iov = { zeros, PAGE };
		struct iomap_file file;
		struct iomap_req req = { .file = &file, .pos = pos };
		struct iomap_data data;

		iomap_data_init(&data, &iov, 1);
		iomap_file_open(&file, &b->inode, 0);
		iomap_inode_lock(&b->inode, 0);
		rc = iomap_file_buffered_write(&req, &data, &ops, NULL, NULL) == PAGE ? 0 : -EIO;
		iomap_inode_unlock(&b->inode);
		iomap_file_close(&file);
	}
	return rc;
}

static int make_dirty(struct bench *b)
{
	int rc = 0;

	for (uint64_t i = 0; i < b->opts.pages && !rc; i++) {
		if (!b->opts.frames) {
			rc = dirty_cached(b, b->pos[i]);
			continue;
		}
		iomap_folio_init(&b->folios[i], &b->inode, b->pos[i],
				 b->memory + i % SHARED_PAGES * PAGE, PAGE, NULL);
		iomap_folio_mark_dirty(&b->folios[i], 0, PAGE);
	}
	return rc;
}

/* ---- one pass ---- */

static int write_cached(struct bench *b)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL,
	};

	return writepages(&b->inode, &wbc);
}

static int write_frames(struct bench *b)
{
	struct iomap_writeback_control wbc = { .struct_size = sizeof(wbc) };
	struct iomap_writeback_ctx wpc = { .inode = &b->inode, .wbc = &wbc, .ops = &wb_ops };
	int rc = 0, last;

	for (uint64_t i = 0; i < b->opts.pages && !rc; i++) {
		rc = iomap_writeback_reserve(&wpc, 1);
		if (!rc)
			rc = iomap_writeback_folio(&wpc, &b->folios[i]);
	}
	last = iomap_writeback_finish(&wpc, 0);
	return rc ? rc : last;
}

/* callgrind collects in here; nothing else may call it, and nothing may inline it */
__attribute__((noinline)) int measured_pass(struct bench *b);
__attribute__((noinline)) int measured_pass(struct bench *b)
{
	int rc = b->opts.frames ? write_frames(b) : write_cached(b);

	return rc ? rc : iomap_inode_wait_wb(&b->inode, UINT64_MAX, IOMAP_FOREVER);
}

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint64_t bios(const struct bench *b)
{
	struct iomap_ioq_stats stats = { .struct_size = sizeof(stats) };

	iomap_ioq_stats(b->ioq, &stats);
	return stats.completed;
}

static int pass(struct bench *b, struct result *r)
{
	uint64_t allocs, before = bios(b);
	double wall, cpu;
	int rc = make_dirty(b);

	if (rc)
		return rc;
	b->nr_written = 0;
	allocs = b->allocs;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	wall = now(CLOCK_MONOTONIC);
	rc = measured_pass(b);
	r->wall = (now(CLOCK_MONOTONIC) - wall) / (double)b->opts.pages;
	r->cpu = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)b->opts.pages;
	r->allocs = b->allocs - allocs;
	r->bios = bios(b) - before;
	if (!rc)
		rc = b->error;
	if (!rc && b->opts.frames && b->nr_written != b->opts.pages)
		rc = -EIO;
	return rc;
}

/* ---- life ---- */

static int check_size(struct bench *b)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	int64_t end = b->pos[b->opts.pages - 1] + (int64_t)PAGE;

	iomap_bdev_limits(b->bdev, &limits);
	if (limits.size >= (uint64_t)end)
		return 0;
	fprintf(stderr, "bench_writeback: %s has %" PRIu64 " bytes, the pattern needs %" PRId64
		"\n", b->opts.device, limits.size, end);
	return -ENOSPC;
}

/* A block device is somebody's disk: only when its name is said twice. */
static int check_destroy(const struct options *o)
{
	const char *colon = strchr(o->device, ':');
	char path[4096];
	struct stat st;

	if (!colon)
		return 0;		/* opening it fails */
	snprintf(path, sizeof(path), "%.*s", (int)strcspn(colon + 1, ","), colon + 1);
	if (stat(path, &st) || !S_ISBLK(st.st_mode))
		return 0;
	if (o->destroy && !strcmp(o->destroy, path))
		return 0;
	fprintf(stderr, "bench_writeback: refused: %s is a block device and would be overwritten; "
		"if you mean that, add --destroy %s\n", path, path);
	return -EPERM;
}

static int open_cache(struct bench *b)
{
	struct iomap_cache_opts opts = {
		.struct_size = sizeof(opts), .bytes = (b->opts.pages + 4096) * PAGE,
		.max_folio = PAGE,
	};
	int rc;

	opts.dirty_limit = opts.background_limit = opts.bytes;
	rc = iomap_cache_new(b->env, &opts, &b->cache);
	return rc ? rc : iomap_volume_new(b->env, b->cache, &volume_ops, b, &b->volume);
}

static int open_frames(struct bench *b)
{
	b->folios = calloc(b->opts.pages, sizeof(*b->folios));
	if (!b->folios || posix_memalign((void **)&b->memory, PAGE, SHARED_PAGES * PAGE))
		return -ENOMEM;
	memset(b->memory, 'f', SHARED_PAGES * PAGE);
	return 0;
}

static int start(struct bench *b)
{
	struct iomap_env_opts env_opts = {
		.struct_size = sizeof(env_opts), .alloc = counting_alloc, .dealloc = plain_free,
		.alloc_arg = b,
	};
	struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &inode_ops,
		.flags = b->opts.frames ? IOMAP_INODE_FRAMES : 0, .block_bits = 12, .owner = b,
	};
	int rc = check_destroy(&b->opts);

	if (rc)
		return rc;
	b->pos = calloc(b->opts.pages, sizeof(*b->pos));
	if (!b->pos)
		return -ENOMEM;
	choose(b);
	rc = iomap_env_new(&env_opts, &b->env);
	if (!rc)
		rc = iomap_ioq_new(b->env, NULL, &b->ioq);
	if (!rc)
		rc = iomap_bdev_open(b->ioq, b->opts.device, NULL, &b->bdev);
	if (!rc)
		rc = check_size(b);
	if (!rc)
		rc = b->opts.frames ? open_frames(b) : open_cache(b);
	if (rc)
		return rc;
	opts.env = b->env;
	opts.volume = b->volume;
	opts.bdev = b->bdev;
	opts.size = b->pos[b->opts.pages - 1] + (int64_t)PAGE;
	return iomap_inode_init(&b->inode, &opts);
}

static void stop(struct bench *b)
{
	if (b->inode.env) {
		iomap_inode_evict(&b->inode, IOMAP_EVICT_DISCARD, NULL);
		iomap_inode_fini(&b->inode);
	}
	if (b->volume)
		iomap_volume_delete(&b->volume);
	if (b->cache)
		iomap_cache_delete(&b->cache);
	if (b->bdev)
		iomap_bdev_close(&b->bdev);
	if (b->ioq)
		iomap_ioq_delete(&b->ioq);
	if (b->env)
		iomap_env_delete(&b->env);
	free(b->folios);
	free(b->memory);
	free(b->pos);
}

/* ---- results ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, unsigned nr)
{
	qsort(values, nr, sizeof(*values), compare);
	return nr % 2 ? values[nr / 2] : (values[nr / 2 - 1] + values[nr / 2]) / 2;
}

static void print(const struct options *o, double wall, double cpu, const struct result *last)
{
	const char *what = o->frames ? "frames" : "cached";

	if (o->json) {
		printf("{\"bench\":\"writeback\",\"device\":\"%s\",\"pattern\":\"%s\","
		       "\"kind\":\"%s\",\"shared_memory\":%s,\"pages\":%" PRIu64 ",\"repeat\":%u,"
		       "\"ns_per_page\":%.1f,\"cpu_ns_per_page\":%.1f,\"mallocs\":%" PRIu64
		       ",\"bios\":%" PRIu64 "}\n", o->device, pattern_names[o->pattern], what,
		       o->frames ? "true" : "false", o->pages, o->repeat, wall, cpu,
		       last->allocs, last->bios);
		return;
	}
	printf("%s %s, %" PRIu64 " pages of %u bytes on %s, median of %u\n", what,
	       pattern_names[o->pattern], o->pages, PAGE, o->device, o->repeat);
	if (o->frames)
		printf("  frames share %u pages of memory; until all are told they are written\n",
		       SHARED_PAGES);
	printf("  %.1f ns per page, %.1f ns of CPU\n  %" PRIu64 " mallocs and %" PRIu64
	       " bios in a pass\n", wall, cpu, last->allocs, last->bios);
}

static int run(struct bench *b)
{
	double wall[MAX_REPEAT], cpu[MAX_REPEAT];
	struct result r = { 0 };
	int rc = start(b);

	if (!rc && b->opts.warmup)
		rc = pass(b, &r);
	for (unsigned i = 0; i < b->opts.repeat && !rc; i++) {
		rc = pass(b, &r);
		wall[i] = r.wall;
		cpu[i] = r.cpu;
	}
	if (rc) {
		fprintf(stderr, "bench_writeback: %s: %s\n", b->opts.device, strerror(-rc));
		return 1;
	}
	print(&b->opts, median(wall, b->opts.repeat), median(cpu, b->opts.repeat), &r);
	return 0;
}

/* ---- options ---- */

static int usage(void)
{
	fputs("usage: bench_writeback [--device SPEC] [--pages N] [--frames] [--repeat K]\n"
	      "                       [--pattern seq|dense90|dense50|stride2|random]\n"
	      "                       [--no-warmup] [--json] [--destroy DEVICE]\n",
	      stderr);
	return 2;
}

static bool number(const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && *text >= '0' && *text <= '9' && !*end && *value && *value <= max;
}

static bool parse_pattern(const char *text, enum pattern *pattern)
{
	for (unsigned i = 0; i < sizeof(pattern_names) / sizeof(pattern_names[0]); i++)
		if (!strcmp(text, pattern_names[i])) {
			*pattern = (enum pattern)i;
			return true;
		}
	return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "destroy", required_argument, NULL, 'D' },
		{ "pattern", required_argument, NULL, 'p' },
		{ "pages", required_argument, NULL, 'n' },
		{ "repeat", required_argument, NULL, 'r' },
		{ "frames", no_argument, NULL, 'f' },
		{ "no-warmup", no_argument, NULL, 'w' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t value;
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case 'd':
			o->device = optarg;
			break;
		case 'D':
			o->destroy = optarg;
			break;
		case 'p':
			if (!parse_pattern(optarg, &o->pattern))
				return false;
			break;
		case 'n':
			if (!number(optarg, 1u << 28, &o->pages))
				return false;
			break;
		case 'r':
			if (!number(optarg, MAX_REPEAT, &value))
				return false;
			o->repeat = (unsigned)value;
			break;
		case 'f':
			o->frames = true;
			break;
		case 'w':
			o->warmup = false;
			break;
		case 'j':
			o->json = true;
			break;
		default:
			return false;
		}
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.opts = { .device = "null:", .pages = 65536, .repeat = 7, .warmup = true },
	};
	int rc;

	if (!parse(argc, argv, &b.opts))
		return usage();
	rc = run(&b);
	stop(&b);
	return rc;
}
