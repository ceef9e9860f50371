/* SPDX-License-Identifier: MIT */
/*
 * bench_random - what does the library cost over a bare ring?
 *
 * Direct reads or writes of 4 KiB at random places of 1 GiB, 32 in flight: bios that are submitted
 * under a plug and polled for, from registered memory.  Prints nanoseconds per request, the median
 * of all passes, of the wall clock and of this process's CPUs.  With --peer a bare ring of the same
 * depth does the same requests in the same order in turn (peer.h).
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

#define BLOCK		4096u
#define DEPTH		32u
#define SPAN		((uint64_t)1 << 30)

struct options {
	const char *device, *destroy;
	uint64_t requests;
	unsigned repeat;
	bool read, peer, json;
};
struct slot {
	struct iomap_bio bio;
	struct iomap_bvec seg;
	struct bench *bench;
	struct slot *next;		/* idle */
	char *mem;
};
struct bench {
	struct options opts;
	struct client client;
	int64_t *pos;
	uint32_t *mem_slot;		/* the peer's: one of so many as are in flight */
	char *memory;
	struct slot slots[DEPTH], *idle;
	int error;
	struct peer *peer;
};

/* ---- one pass ---- */

static void slot_end(struct iomap_bio *bio)
{
	struct slot *s = iomap_container_of(bio, struct slot, bio);

	if (bio->status)
		s->bench->error = bio->status;
	s->next = s->bench->idle;
	s->bench->idle = s;
}

static void submit(struct bench *b, int64_t pos)
{
	struct slot *s = b->idle;

	b->idle = s->next;
	iomap_bio_init(&s->bio, b->client.bdev, b->opts.read ? IOMAP_BIO_READ : IOMAP_BIO_WRITE,
		       (uint64_t)pos, &s->seg, 1);
	iomap_bio_add(&s->bio, s->mem, BLOCK, NULL);
	s->bio.end_io = slot_end;
	s->bio.priority = 7;		/* somebody waits: all slots are for it */
	iomap_bio_submit(&s->bio);
}

static int random_pass(void *arg)
{
	struct bench *b = arg;
	struct iomap_plug plug;
	uint64_t i = 0;
	int rc = 0;

	while (i < b->opts.requests && rc >= 0) {
		iomap_plug_start(&plug, b->client.env);
		while (b->idle && i < b->opts.requests)
			submit(b, b->pos[i++]);
		iomap_plug_end(&plug);
		rc = iomap_ioq_poll(b->client.ioq, 1, DEPTH, IOMAP_FOREVER);
	}
	if (rc >= 0)
		rc = iomap_ioq_drain(b->client.ioq, IOMAP_FOREVER);
	return rc ? rc : b->error;
}

/* ---- life ---- */

static int open_peer(struct bench *b)
{
	char path[4096];
	const struct peer_job job = {
		.path = path, .pos = b->pos, .slot = b->mem_slot, .nr = b->opts.requests,
		.size = BLOCK, .memory = b->memory, .memory_len = DEPTH * BLOCK, .depth = DEPTH,
		.wait = 1, .read = b->opts.read,
	};

	if (!device_path(b->opts.device, path, sizeof(path)))
		return -ENOENT;
	return peer_sqe.open(&job, &b->peer);
}

static int start(struct bench *b)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	uint64_t seed = 42;
	int rc = b->opts.read ? 0 : check_destroy(b->opts.device, b->opts.destroy);

	if (rc)
		return rc;
	b->pos = calloc(b->opts.requests, sizeof(*b->pos));
	b->mem_slot = calloc(b->opts.requests, sizeof(*b->mem_slot));
	b->memory = measure_memory(DEPTH * BLOCK);
	if (!b->pos || !b->mem_slot || !b->memory)
		return -ENOMEM;
	rc = client_open(&b->client, b->opts.device);
	if (rc)
		return rc;
	iomap_bdev_limits(b->client.bdev, &limits);
	if (limits.size < SPAN) {
		fprintf(stderr, "bench_random: the device has less than 1 GiB\n");
		return -ENOSPC;
	}
	for (uint64_t i = 0; i < b->opts.requests; i++) {
		b->pos[i] = (int64_t)(next_random(&seed) % (SPAN / BLOCK) * BLOCK);
		b->mem_slot[i] = (uint32_t)(i % DEPTH);
	}
	for (unsigned i = 0; i < DEPTH; i++) {
		struct slot *s = &b->slots[i];

		*s = (struct slot){ .bench = b, .mem = b->memory + i * BLOCK, .next = b->idle };
		b->idle = s;
	}
	client_register(&b->client, b->memory, DEPTH * BLOCK);
	return b->opts.peer ? open_peer(b) : 0;
}

static void stop(struct bench *b)
{
	client_close(&b->client);
	if (b->peer)
		peer_sqe.close(b->peer);
	free(b->memory);
	free(b->mem_slot);
	free(b->pos);
}

/* ---- results ---- */

static void print(const struct bench *b, const struct runner *ours, const struct runner *peer)
{
	const struct options *o = &b->opts;
	const char *op = o->read ? "read" : "write";

	if (o->json) {
		printf("{\"bench\":\"random\",\"device\":\"%s\",\"op\":\"%s\",\"depth\":%u,"
		       "\"requests\":%" PRIu64 ",\"repeat\":%u,", o->device, op, DEPTH, o->requests,
		       o->repeat);
		measure_json(ours, peer, "ring", "request", o->requests);
		puts("}");
		return;
	}
	printf("%" PRIu64 " random %ss of %u bytes, %u in flight, on %s, median of %u\n  %s\n",
	       o->requests, op, BLOCK, DEPTH, o->device, o->repeat,
	       iomap_ioq_reason(b->client.ioq));
	measure_text(ours, peer, "ring", peer ? peer_sqe.how(b->peer) : NULL, "request",
		     o->requests);
}

static int run(struct bench *b)
{
	const struct options *o = &b->opts;
	struct runner ours = { .pass = random_pass, .arg = b };
	struct runner other = { 0 }, *peer = NULL;
	int rc = start(b);

	if (o->peer) {
		other = (struct runner){ .pass = peer_sqe.pass, .arg = b->peer };
		peer = &other;
	}
	if (!rc)
		rc = measure(&ours, peer, o->repeat, true);
	if (rc) {
		fprintf(stderr, "bench_random: %s: %s\n", o->device, strerror(-rc));
		return 1;
	}
	print(b, &ours, peer);
	return 0;
}

/* ---- options ---- */

static const char usage[] =
	"usage: bench_random [--device SPEC] [--op read|write] [--requests N] [--repeat K]\n"
	"                    [--peer ring] [--json] [--destroy DEVICE]\n";

static bool parse_op(const char *text, void *read)
{
	*(bool *)read = !strcmp(text, "read");
	return !strcmp(text, "read") || !strcmp(text, "write");
}

static bool parse_peer(const char *text, void *peer)
{
	return *(bool *)peer = !strcmp(text, "ring");
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.opts = { .device = "null:", .requests = 65536, .repeat = 7, .read = true },
	};
	static const struct bench_option table[] = {
		{ "device", .text = &b.opts.device },
		{ "destroy", .text = &b.opts.destroy },
		{ "op", .parse = parse_op, .arg = &b.opts.read },
		{ "peer", .parse = parse_peer, .arg = &b.opts.peer },
		{ "requests", .number = &b.opts.requests, .max = 1u << 28 },
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
