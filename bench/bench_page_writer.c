/* SPDX-License-Identifier: MIT */
/*
 * bench_page_writer - what does it cost a database to write its own dirty frames?
 *
 * Frames of 16 KiB lie in a pool in no order and belong to ascending places of a file, all of them
 * or as many in a hundred as --dense says.  A pass: each is reserved for, handed over, until the
 * client was told of all that they are written.  The pool is registered, for ours as for a peer
 * that can use it.  Prints nanoseconds per frame, the median of all passes, of the wall clock and
 * of this process's CPUs.
 *
 * With --peer somebody else writes the same frames to the same places in turn (peer.h).
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

#define FRAME		16384u

struct options {
	const char *device, *destroy;
	const struct peer_ops *peer;
	uint64_t frames;
	unsigned dense, repeat;
	bool json;
};
struct bench {
	struct options opts;
	struct client client;
	int64_t *pos;			/* of the frames, ascending */
	uint32_t *slot;			/* where in the pool they lie */
	struct iomap_folio *folios;
	char *pool;
	uint64_t bios;			/* of the last pass */
	struct peer *peer;
};

/* ---- which frames ---- */

static void choose(struct bench *b)
{
	uint64_t seed = 42, nr = b->opts.frames;
	int64_t place = 0;

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t j = next_random(&seed) % (i + 1);

		while (next_random(&seed) % 100 >= b->opts.dense)
			place++;
		b->pos[i] = place++ * (int64_t)FRAME;
		b->slot[i] = b->slot[j];	/* shuffle from the inside out */
		b->slot[j] = (uint32_t)i;
	}
}

static int make_dirty(void *arg)
{
	struct bench *b = arg;

	for (uint64_t i = 0; i < b->opts.frames; i++) {
		iomap_folio_init(&b->folios[i], &b->client.inode, b->pos[i],
				 b->pool + (size_t)b->slot[i] * FRAME, FRAME, NULL);
		iomap_folio_mark_dirty(&b->folios[i], 0, FRAME);
	}
	b->bios = client_nr_bios(&b->client);
	return 0;
}

static int write_frames(void *arg)
{
	struct bench *b = arg;

	return client_write_frames(&b->client, b->folios, b->opts.frames);
}

/* ---- life ---- */

static int open_peer(struct bench *b)
{
	const uint32_t depth = device_depth(b->opts.device);
	char path[4096];
	const struct peer_job job = {
		.path = path, .pos = b->pos, .slot = b->slot, .nr = b->opts.frames, .size = FRAME,
		.memory = b->pool, .memory_len = b->opts.frames * FRAME, .depth = depth,
		.wait = depth / 2,
	};

	if (!device_path(b->opts.device, path, sizeof(path)))
		return -ENOENT;
	return b->opts.peer->open(&job, &b->peer);
}

static int start(struct bench *b)
{
	uint64_t nr = b->opts.frames;
	int rc = check_destroy(b->opts.device, b->opts.destroy);

	if (rc)
		return rc;
	b->pos = calloc(nr, sizeof(*b->pos));
	b->slot = calloc(nr, sizeof(*b->slot));
	b->folios = calloc(nr, sizeof(*b->folios));
	b->pool = measure_memory(nr * FRAME);
	if (!b->pos || !b->slot || !b->folios || !b->pool)
		return -ENOMEM;
	choose(b);
	rc = client_open(&b->client, b->opts.device);
	if (!rc && b->opts.peer)
		rc = open_peer(b);
	if (rc)
		return rc;
	client_register(&b->client, b->pool, nr * FRAME);
	return client_file(&b->client, IOMAP_INODE_FRAMES, b->pos[nr - 1] + (int64_t)FRAME);
}

static void stop(struct bench *b)
{
	client_close_file(&b->client);
	client_close(&b->client);
	if (b->peer)
		b->opts.peer->close(b->peer);
	free(b->folios);
	free(b->pool);
	free(b->slot);
	free(b->pos);
}

/* ---- results ---- */

static void print(const struct bench *b, const struct runner *ours, const struct runner *peer)
{
	const struct options *o = &b->opts;
	const char *name = !peer ? NULL : o->peer == &peer_sqe ? "sqe-per-frame" : o->peer->name;

	if (o->json) {
		printf("{\"bench\":\"page_writer\",\"device\":\"%s\",\"dense\":%u,"
		       "\"frames\":%" PRIu64 ",\"repeat\":%u,\"bios\":%" PRIu64 ",", o->device,
		       o->dense, o->frames, o->repeat, b->bios);
		measure_json(ours, peer, name, "frame", o->frames);
		puts("}");
		return;
	}
	printf("%" PRIu64 " frames of %u bytes, %u %% dense, on %s, median of %u\n", o->frames,
	       FRAME, o->dense, o->device, o->repeat);
	printf("  %s; %" PRIu64 " bios in a pass\n", iomap_ioq_reason(b->client.ioq), b->bios);
	measure_text(ours, peer, name, peer ? o->peer->how(b->peer) : NULL, "frame", o->frames);
}

static int run(struct bench *b)
{
	const struct options *o = &b->opts;
	struct runner ours = { .prepare = make_dirty, .pass = write_frames, .arg = b };
	struct runner other = { 0 }, *peer = NULL;
	int rc = start(b);

	if (o->peer) {
		other = (struct runner){ .pass = o->peer->pass, .arg = b->peer };
		peer = &other;
	}
	if (!rc)
		rc = measure(&ours, peer, o->repeat, true);
	if (rc) {
		fprintf(stderr, "bench_page_writer: %s: %s\n", o->device, strerror(-rc));
		return 1;
	}
	b->bios = client_nr_bios(&b->client) - b->bios;
	print(b, &ours, peer);
	return 0;
}

/* ---- options ---- */

static const char usage[] =
	"usage: bench_page_writer [--device SPEC] [--frames N] [--dense PERCENT]\n"
	"                         [--peer sqe-per-frame|writev] [--repeat K] [--json]\n"
	"                         [--destroy DEVICE]\n";

static bool parse_peer(const char *text, void *peer)
{
	const struct peer_ops *found = peer_find(text);

	*(const struct peer_ops **)peer = found;
	return found && found != &peer_kernel;
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.opts = { .device = "null:", .frames = 8192, .dense = 100, .repeat = 7 },
	};
	static const struct bench_option table[] = {
		{ "device", .text = &b.opts.device },
		{ "destroy", .text = &b.opts.destroy },
		{ "dense", .small = &b.opts.dense, .max = 100 },
		{ "peer", .parse = parse_peer, .arg = &b.opts.peer },
		{ "frames", .number = &b.opts.frames, .max = 1u << 24 },
		{ "repeat", .small = &b.opts.repeat, .max = MEASURE_MAX },
		{ "json", .yes = &b.opts.json },
		{ 0 },
	};
	int rc;

	if (!options_parse(argc, argv, table, usage))
		return 2;
	rc = run(&b);
	stop(&b);
	return rc;
}
