/* SPDX-License-Identifier: MIT */
/*
 * bench_writeback - what does it cost to write a dirty page back?
 *
 * Cached folios of one page each (or frames with --frames) are made dirty in a pattern, then
 * written by one pass: from the call of iomap_writepages (the first iomap_writeback_folio) until
 * everything is clean.  Making them dirty is not measured.  Prints nanoseconds per page, the median
 * of all passes, of the wall clock and of this process's CPUs; allocations and device requests of
 * one pass, and how many bytes these wrote for each dirty one.
 *
 * With --peer somebody else writes the same pages to the same device in turn (peer.h), and the
 * ratio of CPU is printed.  Of a device that the kernel's file system shares, ours is the second
 * half.
 *
 * bench/instructions runs one pass of it under callgrind, which collects inside measured_pass only.
 *
 * Threads: one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "measure.h"
#include "options.h"
#include "peer.h"

#define PAGE		4096u
#define SHARED_PAGES	1024u		/* of memory that frames share */

enum pattern { SEQ, DENSE90, DENSE50, STRIDE2, RANDOM };
static const char *const pattern_names[] = { "seq", "dense90", "dense50", "stride2", "random" };

struct options {
	const char *device, *destroy;
	const struct peer_ops *peer;
	enum pattern pattern;
	uint64_t pages, at;		/* at: page of the file where the first one lies */
	unsigned repeat;
	bool large_folios, frames, warmup, json;
};

struct bench {
	struct options opts;
	struct client client;
	struct iomap_cache *cache;
	int64_t *pos;			/* of the pages, ascending */
	struct iomap_folio *folios;	/* frames */
	char *memory;
	uint64_t bios, sent;		/* of the last pass: requests, bytes */
	struct peer *peer;
	char *peer_memory;
};

/* ---- which pages ---- */

/* Ascending positions; what is skipped between two of them makes the pattern. */
static void choose(struct bench *b)
{
	static const unsigned percent[] = { [DENSE90] = 90, [DENSE50] = 50 };
	uint64_t seed = 42;
	int64_t page = (int64_t)b->opts.at;

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

static int64_t file_end(const struct bench *b)
{
	return b->pos[b->opts.pages - 1] + (int64_t)PAGE;
}

/* ---- making pages dirty ---- */

static int dirty_cached(struct bench *b, int64_t pos)
{
	static char zeros[PAGE];
	struct iomap_inode *inode = &b->client.inode;
	struct iomap_folio *folio;
	int rc = iomap_mapping_get_folio(inode, pos, PAGE, 0, &folio);

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
		iomap_file_open(&file, inode, 0);
		iomap_inode_lock(inode, 0);
		rc = iomap_file_buffered_write(&req, &data, &client_ops, NULL, NULL) == PAGE
			     ? 0 : -EIO;
		iomap_inode_unlock(inode);
		iomap_file_close(&file);
	}
	return rc;
}

static int make_dirty(void *arg)
{
	struct bench *b = arg;
	int rc = 0;

	for (uint64_t i = 0; i < b->opts.pages && !rc; i++) {
		if (!b->opts.frames) {
			rc = dirty_cached(b, b->pos[i]);
			continue;
		}
		iomap_folio_init(&b->folios[i], &b->client.inode, b->pos[i],
				 b->memory + i % SHARED_PAGES * PAGE, PAGE, NULL);
		iomap_folio_mark_dirty(&b->folios[i], 0, PAGE);
	}
	b->bios = client_nr_bios(&b->client);
	b->sent = b->client.sent;
	return rc;
}

/* ---- one pass ---- */

/* callgrind collects in here; nothing else may call it, and nothing may inline it */
int measured_pass(void *arg);
__attribute__((noinline)) int measured_pass(void *arg)
{
	struct bench *b = arg;

	if (b->opts.frames)
		return client_write_frames(&b->client, b->folios, b->opts.pages);
	return client_writepages(&b->client);
}

/* ---- life ---- */

static int open_cache(struct bench *b)
{
	struct iomap_cache_opts opts = {
		.struct_size = sizeof(opts), .bytes = (b->opts.pages + 4096) * PAGE,
		.max_folio = PAGE,
	};
	void *arena;
	size_t len;
	int rc;

	opts.dirty_limit = opts.background_limit = opts.bytes;
	rc = iomap_cache_new(b->client.env, &opts, &b->cache);
	if (rc)
		return rc;
	iomap_cache_arena(b->cache, &arena, &len);
	client_register(&b->client, arena, len);
	return iomap_volume_new(b->client.env, b->cache, &client_volume_ops, b,
				&b->client.volume);
}

static int open_frames(struct bench *b)
{
	b->folios = calloc(b->opts.pages, sizeof(*b->folios));
	b->memory = measure_memory(SHARED_PAGES * PAGE);
	if (!b->folios || !b->memory)
		return -ENOMEM;
	client_register(&b->client, b->memory, SHARED_PAGES * PAGE);
	return 0;
}

/* The peer's pages lie in memory as in the file, the ones without the holes. */
static int open_peer(struct bench *b)
{
	const uint32_t depth = device_depth(b->opts.device);
	char path[4096];
	struct peer_job job = {
		.path = path, .pos = b->pos, .nr = b->opts.pages, .size = PAGE,
		.memory_len = b->opts.pages * PAGE, .depth = depth, .wait = depth / 2,
		.large_folios = b->opts.large_folios,
	};

	if (!device_path(b->opts.device, path, sizeof(path)))
		return -ENOENT;
	job.memory = b->peer_memory = measure_memory(job.memory_len);
	if (!job.memory)
		return -ENOMEM;
	return b->opts.peer->open(&job, &b->peer);
}

static int start(struct bench *b)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	int rc = check_destroy(b->opts.device, b->opts.destroy);

	if (rc)
		return rc;
	b->pos = calloc(b->opts.pages, sizeof(*b->pos));
	if (!b->pos)
		return -ENOMEM;
	choose(b);
	rc = client_open(&b->client, b->opts.device);
	if (!rc && b->opts.peer)
		rc = open_peer(b);
	if (!rc)
		rc = b->opts.frames ? open_frames(b) : open_cache(b);
	if (rc)
		return rc;
	iomap_bdev_limits(b->client.bdev, &limits);
	if (b->opts.peer == &peer_kernel)
		b->client.base = limits.size / 2 / PAGE * PAGE;
	return client_file(&b->client, b->opts.frames ? IOMAP_INODE_FRAMES : 0, file_end(b));
}

static void stop(struct bench *b)
{
	client_close_file(&b->client);
	if (b->client.volume)
		iomap_volume_delete(&b->client.volume);
	if (b->cache)
		iomap_cache_delete(&b->cache);
	client_close(&b->client);
	if (b->peer)
		b->opts.peer->close(b->peer);
	free(b->folios);
	free(b->memory);
	free(b->peer_memory);
	free(b->pos);
}

/* ---- results ---- */

static void print(const struct bench *b, const struct runner *ours, const struct runner *peer)
{
	const struct options *o = &b->opts;
	const char *what = o->frames ? "frames" : "cached", *name = peer ? o->peer->name : NULL;
	const double per_dirty = (double)b->sent / (double)(o->pages * PAGE);

	if (o->json) {
		printf("{\"bench\":\"writeback\",\"device\":\"%s\",\"pattern\":\"%s\","
		       "\"kind\":\"%s\",\"shared_memory\":%s,\"pages\":%" PRIu64 ",\"repeat\":%u,"
		       "\"bios\":%" PRIu64 ",\"written_per_dirty\":%.4f,\"large_folios\":%s,",
		       o->device, pattern_names[o->pattern], what, o->frames ? "true" : "false",
		       o->pages, o->repeat, b->bios, per_dirty, o->large_folios ? "true" : "false");
		measure_json(ours, peer, name, "page", o->pages);
		puts("}");
		return;
	}
	printf("%s %s, %" PRIu64 " pages of %u bytes on %s, median of %u\n", what,
	       pattern_names[o->pattern], o->pages, PAGE, o->device, o->repeat);
	printf("  %s; %" PRIu64 " bios in a pass, %.4f bytes written for each dirty one\n",
	       iomap_ioq_reason(b->client.ioq), b->bios, per_dirty);
	if (o->frames)
		printf("  frames share %u pages of memory; until all are told they are written\n",
		       SHARED_PAGES);
	measure_text(ours, peer, name, peer ? o->peer->how(b->peer) : NULL, "page", o->pages);
}

static int run(struct bench *b)
{
	const struct options *o = &b->opts;
	struct runner ours = { .prepare = make_dirty, .pass = measured_pass, .arg = b };
	struct runner other = { 0 }, *peer = NULL;
	int rc = start(b);

	if (o->peer) {
		other = (struct runner){ o->peer->prepare, o->peer->pass, b->peer, 0, 0, 0 };
		peer = &other;
	}
	if (!rc)
		rc = measure(&ours, peer, o->repeat, o->warmup);
	if (rc) {
		fprintf(stderr, "bench_writeback: %s: %s\n", o->device, strerror(-rc));
		return 1;
	}
	b->bios = client_nr_bios(&b->client) - b->bios;
	b->sent = b->client.sent - b->sent;
	print(b, &ours, peer);
	return 0;
}

/* ---- options ---- */

static const char usage[] =
	"usage: bench_writeback [--device SPEC] [--pages N] [--at PAGE] [--frames]\n"
	"                       [--pattern seq|dense90|dense50|stride2|random] [--repeat K]\n"
	"                       [--peer sqe-per-page|writev|kernel] [--large-folios]\n"
	"                       [--no-warmup] [--json] [--destroy DEVICE]\n"
	"--large-folios: for --peer kernel and --pattern seq\n";

static bool parse_pattern(const char *text, void *pattern)
{
	for (unsigned i = 0; i < sizeof(pattern_names) / sizeof(pattern_names[0]); i++)
		if (!strcmp(text, pattern_names[i])) {
			*(enum pattern *)pattern = (enum pattern)i;
			return true;
		}
	return false;
}

static bool parse_peer(const char *text, void *peer)
{
	const struct peer_ops *found = peer_find(text);

	*(const struct peer_ops **)peer = found;
	return found;
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.opts = { .device = "null:", .pages = 65536, .repeat = 7, .warmup = true },
	};
	static const struct bench_option table[] = {
		{ "device", .text = &b.opts.device },
		{ "destroy", .text = &b.opts.destroy },
		{ "pattern", .parse = parse_pattern, .arg = &b.opts.pattern },
		{ "peer", .parse = parse_peer, .arg = &b.opts.peer },
		{ "large-folios", .yes = &b.opts.large_folios },
		{ "pages", .number = &b.opts.pages, .max = 1u << 28 },
		{ "at", .number = &b.opts.at, .max = 1ull << 40 },
		{ "repeat", .small = &b.opts.repeat, .max = MEASURE_MAX },
		{ "frames", .yes = &b.opts.frames },
		{ "no-warmup", .no = &b.opts.warmup },
		{ "json", .yes = &b.opts.json },
		{ 0 },
	};
	int rc;

	if (!options_parse(argc, argv, table, usage))
		return 2;
	if (b.opts.large_folios && (b.opts.peer != &peer_kernel || b.opts.pattern != SEQ)) {
		fputs(usage, stderr);
		return 2;
	}
	rc = run(&b);
	stop(&b);
	return rc;
}
