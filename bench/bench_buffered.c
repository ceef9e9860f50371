/* SPDX-License-Identifier: MIT */
/*
 * bench_buffered - what does it cost to overwrite a page in the cache?
 *
 * All pages of a file are cached; a pass overwrites each of them, 4 KiB a call: a request, the
 * inode's lock, iomap_file_buffered_write.  Before each pass everything was written back, so that
 * the pass makes each page dirty again; with --dirty they stay dirty.  The peer does the same with
 * pwrite, on the page cache of the file system that --peer names, by default one in memory, which
 * has no dirty pages and is the cheapest there is.  Prints nanoseconds per page, the median of all
 * passes, of the wall clock and of this process's CPUs.
 *
 * bench/instructions runs one pass of it under callgrind, which collects inside measured_pass only.
 *
 * Threads: one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "client.h"
#include "measure.h"
#include "options.h"

#define PAGE 4096u

struct options {
	const char *device, *destroy, *peer;
	uint64_t pages, max_folio;
	unsigned repeat;
	bool random, dirty, warmup, json;
};
struct bench {
	struct options opts;
	struct client client;
	struct iomap_cache *cache;
	struct iomap_file file;
	int64_t *pos;			/* of the pages, in the order they are written */
	char *user;
	int fd;				/* the peer's */
	const char *peer_fs;
};

/* ---- passes ---- */

static int overwrite_all(struct bench *b)
{
	int64_t n = PAGE;

	for (uint64_t i = 0; i < b->opts.pages && n == PAGE; i++) {
		struct iovec iov = { b->user, PAGE };
		struct iomap_req req = { .file = &b->file, .pos = b->pos[i] };
		struct iomap_data data;

		iomap_data_init(&data, &iov, 1);
		iomap_inode_lock(&b->client.inode, 0);
		n = iomap_file_buffered_write(&req, &data, &client_ops, NULL, NULL);
		iomap_inode_unlock(&b->client.inode);
	}
	return n == PAGE ? 0 : n < 0 ? (int)n : -EIO;
}

static int clean(void *arg)
{
	struct bench *b = arg;

	return b->opts.dirty ? 0 : client_writepages(&b->client);
}

/* callgrind collects in here; nothing else may call it, and nothing may inline it */
int measured_pass(void *arg);
__attribute__((noinline)) int measured_pass(void *arg)
{
	return overwrite_all(arg);
}

static int peer_pass(void *arg)
{
	struct bench *b = arg;

	for (uint64_t i = 0; i < b->opts.pages; i++) {
		ssize_t n = pwrite(b->fd, b->user, PAGE, b->pos[i]);

		if (n != PAGE)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

static int peer_clean(void *arg)
{
	struct bench *b = arg;

	return b->opts.dirty || !fdatasync(b->fd) ? 0 : -errno;
}

/* ---- life ---- */

static void choose(struct bench *b)
{
	uint64_t seed = 42;

	for (uint64_t i = 0; i < b->opts.pages; i++) {
		uint64_t j = b->opts.random ? next_random(&seed) % (i + 1) : i;

		b->pos[i] = b->pos[j];
		b->pos[j] = (int64_t)(i * PAGE);
	}
}

static const char *fs_name(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return "unknown";
	switch ((unsigned long)fs.f_type) {
	case 0x01021994:
		return "tmpfs";
	case 0x58465342:
		return "xfs";
	case 0xef53:
		return "ext4";
	default:
		return "another";
	}
}

static int open_peer(struct bench *b)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/iomap-bench-XXXXXX", b->opts.peer);
	b->fd = mkstemp(path);
	if (b->fd < 0)
		return -errno;
	unlink(path);
	b->peer_fs = fs_name(b->fd);
	return peer_pass(b);
}

static int open_file(struct bench *b)
{
	struct iomap_cache_opts opts = {
		.struct_size = sizeof(opts), .bytes = (b->opts.pages + 4096) * PAGE,
		.max_folio = (uint32_t)b->opts.max_folio,
	};
	int rc;

	opts.dirty_limit = opts.background_limit = opts.bytes;
	rc = iomap_cache_new(b->client.env, &opts, &b->cache);
	if (!rc)
		rc = iomap_volume_new(b->client.env, b->cache, &client_volume_ops, b,
				      &b->client.volume);
	if (!rc)
		rc = client_file(&b->client, 0, (int64_t)(b->opts.pages * PAGE));
	if (rc)
		return rc;
	iomap_file_open(&b->file, &b->client.inode, 0);
	return overwrite_all(b);
}

static int start(struct bench *b)
{
	int rc = check_destroy(b->opts.device, b->opts.destroy);

	if (rc)
		return rc;
	b->pos = calloc(b->opts.pages, sizeof(*b->pos));
	b->user = measure_memory(PAGE);
	if (!b->pos || !b->user)
		return -ENOMEM;
	choose(b);
	rc = client_open(&b->client, b->opts.device);
	if (!rc)
		rc = open_file(b);
	return !rc && b->opts.peer ? open_peer(b) : rc;
}

static void stop(struct bench *b)
{
	if (b->file.inode)
		iomap_file_close(&b->file);
	client_close_file(&b->client);
	if (b->client.volume)
		iomap_volume_delete(&b->client.volume);
	if (b->cache)
		iomap_cache_delete(&b->cache);
	client_close(&b->client);
	if (b->fd >= 0)
		close(b->fd);
	free(b->user);
	free(b->pos);
}

/* ---- results ---- */

static void print(const struct bench *b, const struct runner *ours, const struct runner *peer)
{
	const struct options *o = &b->opts;
	const char *order = o->random ? "random" : "seq", *was = o->dirty ? "dirty" : "clean";
	char how[64];

	if (o->json) {
		printf("{\"bench\":\"buffered\",\"device\":\"%s\",\"order\":\"%s\",\"pages\":%"
		       PRIu64 ",\"before\":\"%s\",\"max_folio\":%" PRIu64 ",\"repeat\":%u,",
		       o->device, order, o->pages, was, o->max_folio, o->repeat);
		if (peer)
			printf("\"peer_fs\":\"%s\",", b->peer_fs);
		measure_json(ours, peer, "pwrite", "page", o->pages);
		puts("}");
		return;
	}
	printf("%s overwrite of %" PRIu64 " cached pages of %u bytes that were %s, median of %u\n"
	       "  folios of up to %" PRIu64 " bytes\n", order, o->pages, PAGE, was, o->repeat,
	       o->max_folio);
	snprintf(how, sizeof(how), "into the page cache of %s", peer ? b->peer_fs : "");
	measure_text(ours, peer, "pwrite", how, "page", o->pages);
}

static int run(struct bench *b)
{
	const struct options *o = &b->opts;
	struct runner ours = { .prepare = clean, .pass = measured_pass, .arg = b };
	struct runner peer = { .prepare = peer_clean, .pass = peer_pass, .arg = b };
	int rc = start(b);

	if (!rc)
		rc = measure(&ours, o->peer ? &peer : NULL, o->repeat, o->warmup);
	if (rc) {
		fprintf(stderr, "bench_buffered: %s\n", strerror(-rc));
		return 1;
	}
	print(b, &ours, o->peer ? &peer : NULL);
	return 0;
}

/* ---- options ---- */

static const char usage[] =
	"usage: bench_buffered [--device SPEC] [--pages N] [--order seq|random] [--dirty]\n"
	"                      [--max-folio BYTES] [--peer DIRECTORY|none] [--repeat K]\n"
	"                      [--no-warmup] [--json] [--destroy DEVICE]\n";

static bool parse_order(const char *text, void *random)
{
	*(bool *)random = !strcmp(text, "random");
	return !strcmp(text, "random") || !strcmp(text, "seq");
}

int main(int argc, char **argv)
{
	static struct bench b = {
		.opts = {
			.device = "null:", .peer = "/dev/shm", .pages = 65536, .repeat = 7,
			.max_folio = 65536, .warmup = true,
		},
		.fd = -1,
	};
	static const struct bench_option table[] = {
		{ "device", .text = &b.opts.device },
		{ "destroy", .text = &b.opts.destroy },
		{ "dirty", .yes = &b.opts.dirty },
		{ "order", .parse = parse_order, .arg = &b.opts.random },
		{ "max-folio", .number = &b.opts.max_folio, .max = 2 << 20 },
		{ "peer", .text = &b.opts.peer },
		{ "pages", .number = &b.opts.pages, .max = 1u << 28 },
		{ "repeat", .small = &b.opts.repeat, .max = MEASURE_MAX },
		{ "no-warmup", .no = &b.opts.warmup },
		{ "json", .yes = &b.opts.json },
		{ 0 },
	};
	int rc;

	if (!options_parse(argc, argv, table, usage))
		return 2;
	if (!strcmp(b.opts.peer, "none"))
		b.opts.peer = NULL;
	rc = run(&b);
	stop(&b);
	return rc;
}
