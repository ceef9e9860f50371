/* SPDX-License-Identifier: MIT */
/*
 * backends.c - which backends work here, why the others do not, what auto: makes of that.
 *
 * Each scheme is asked the same way: an environment and a queue of its own, the device opened for
 * reading, its first block read.  What is said about it is the library's word, from
 * iomap_ioq_reason() or the report of the failed open.  Nothing is written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "demo.h"

#define THREADS		4u
#define TEMP_BYTES	MIB
#define INDENT		19u		/* of what is said about a scheme */
#define MAX_WORDS	512u		/* as many as the library keeps */
#define NO_BYTES	UINT64_MAX
#define LL(x)		((unsigned long long)(x))

struct probe {
	const char *name, *scheme, *rest;	/* rest NULL: the path */
	unsigned threads;
	int rc;
	char words[MAX_WORDS];			/* how, or why not */
	struct iomap_bdev_limits limits;
};
#define NR_PROBES 7u
#define AUTO (NR_PROBES - 1)

static const struct probe probes[NR_PROBES] = {
	{ .name = "uring", .scheme = "uring" },
	{ .name = "aio", .scheme = "aio" },
	{ .name = "file, threads", .scheme = "file", .threads = THREADS },
	{ .name = "file, inline", .scheme = "file" },
	{ .name = "null", .scheme = "null", .rest = "1m" },
	{ .name = "sim", .scheme = "sim", .rest = "plp" },
	[AUTO] = { .name = "auto", .scheme = "auto" },
};

struct backends {
	struct demo *demo;
	const char *path;
	char temp[64];			/* ours, or "" */
	struct probe probes[NR_PROBES];
	char picked[16];		/* by auto: */
	unsigned nr_works;
};

/* ---- one scheme ---- */

/* The queue's words begin with the scheme, which stands to the left of them already. */
static void take_reason(struct probe *p, const char *reason)
{
	size_t len = strlen(p->scheme);

	if (!strncmp(reason, p->scheme, len))
		reason += len + strspn(reason + len, ": ");
	snprintf(p->words, sizeof(p->words), "%s", reason);
}

static int read_block(struct demo *d, struct iomap_bdev *bdev, struct probe *p)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;
	void *mem;
	int rc;

	p->limits.struct_size = sizeof(p->limits);
	iomap_bdev_limits(bdev, &p->limits);
	if (!p->limits.size)
		return 0;
	mem = demo_alloc(d, p->limits.logical_block);
	if (!mem)
		return -ENOMEM;
	iomap_bio_init(&bio, bdev, IOMAP_BIO_READ, 0, &seg, 1);
	rc = iomap_bio_add(&bio, mem, p->limits.logical_block, NULL);
	if (!rc) {
		iomap_bio_submit(&bio);
		rc = iomap_bio_wait(&bio);
	}
	demo_free(d, mem, p->limits.logical_block);
	return rc;
}

static int try_device(struct demo *d, struct probe *p, const struct device *dev)
{
	const struct iomap_bdev_opts rdonly = {
		.struct_size = sizeof(rdonly), .flags = IOMAP_BDEV_RDONLY,
	};
	const struct iomap_ioq_opts ioq_opts = {
		.struct_size = sizeof(ioq_opts), .threads = p->threads,
	};
	struct iomap_env_opts opts = d->env;
	struct iomap_bdev *bdev = NULL;
	struct iomap_env *env = NULL;
	struct iomap_ioq *ioq = NULL;
	int rc;

	opts.log = demo_log;
	opts.log_arg = d;
	device_env(dev, &opts);
	*d->report = 0;
	rc = iomap_env_new(&opts, &env);
	if (!rc)
		rc = iomap_ioq_new(env, &ioq_opts, &ioq);
	if (!rc)
		rc = iomap_bdev_open(ioq, dev->spec, &rdonly, &bdev);
	if (!rc)
		rc = read_block(d, bdev, p);
	if (!rc)
		take_reason(p, iomap_ioq_reason(ioq));
	else
		snprintf(p->words, sizeof(p->words), "%s", *d->report ? d->report : strerror(-rc));
	if (bdev)
		iomap_bdev_close(&bdev);
	if (ioq)
		iomap_ioq_delete(&ioq);
	if (env)
		iomap_env_delete(&env);
	return rc;
}

static void ask(struct backends *b, struct probe *p)
{
	struct device dev;
	char given[64];

	if (!p->rest) {
		memset(&dev, 0, sizeof(dev));
		snprintf(dev.spec, sizeof(dev.spec), "%s:%s", p->scheme, b->path);
		p->rc = try_device(b->demo, p, &dev);
	} else {
		snprintf(given, sizeof(given), "%s:%s", p->scheme, p->rest);
		p->rc = device_parse(b->demo, given, NULL, &dev);
		if (!p->rc)
			p->rc = device_start(b->demo, &dev, TEMP_BYTES);
		if (!p->rc)
			p->rc = try_device(b->demo, p, &dev);
		device_end(&dev);
	}
	b->nr_works += !p->rc;
}

/* "aio; not uring: .." */
static void ask_all(struct backends *b)
{
	struct probe *p = &b->probes[AUTO];
	size_t len;

	memcpy(b->probes, probes, sizeof(probes));
	for (unsigned i = 0; i < NR_PROBES; i++)
		ask(b, &b->probes[i]);
	len = strcspn(p->words, ":;");
	if (!p->rc && len < sizeof(b->picked))
		memcpy(b->picked, p->words, len);
}

/* ---- the path ---- */

static int make_temp(struct backends *b)
{
	struct demo *d = b->demo;
	int fd, rc;

	strcpy(b->temp, "/tmp/iomap-demo-XXXXXX");
	fd = mkstemp(b->temp);
	if (fd < 0) {
		b->temp[0] = 0;
		return demo_error(d, -errno, "no file in /tmp");
	}
	b->path = b->temp;
	rc = ftruncate(fd, TEMP_BYTES) ? demo_error(d, -errno, "'%s'", b->temp) : 0;
	close(fd);
	return rc;
}

static int check_path(struct demo *d, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return demo_error(d, -errno, "device '%s'", path);
	if (S_ISDIR(st.st_mode))
		return demo_error(d, -EISDIR, "device '%s'", path);
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return 0;
	demo_error(d, 0, "device '%s': neither a file nor a block device", path);
	return -EINVAL;
}

/* ---- for a person ---- */

static void print_probe(struct demo *d, const struct probe *p)
{
	fprintf(d->out, "%-14s%s%-3s%s", p->name, demo_paint(d, p->rc ? RED : GREEN),
		p->rc ? "no" : "yes", demo_paint(d, PLAIN));
	if (*p->words)
		fprintf(d->out, "  ");
	demo_wrap(d, p->words, INDENT);
}

static const char *const cap_names[] = {
	"volatile-cache", "fua", "discard", "write-zeroes", "zoned", "zone-append", "dax",
	"dax-sync", "grows",
};
#define NR_CAPS (sizeof(cap_names) / sizeof(cap_names[0]))

static void print_limit(struct demo *d, const char *name, uint64_t bytes)
{
	char text[32];

	fprintf(d->out, "  %-15s  %s\n", name, bytes == NO_BYTES ? "no limit"
								 : demo_bytes(bytes, text));
}

static void print_limits(struct demo *d, const char *path, const struct iomap_bdev_limits *l)
{
	fprintf(d->out, "\n%s%s%s\n", demo_paint(d, BOLD), path, demo_paint(d, PLAIN));
	print_limit(d, "size", l->size);
	print_limit(d, "logical block", l->logical_block);
	print_limit(d, "physical block", l->physical_block);
	print_limit(d, "memory align", l->memory_align);
	print_limit(d, "max transfer", l->max_bytes);
	fprintf(d->out, "  %-15s  %u\n", "max segments", l->max_segs);
	fprintf(d->out, "  %-15s  %u\n", "queue depth", l->queue_depth);
	fprintf(d->out, "  %-15s ", "can");
	for (unsigned i = 0; i < NR_CAPS; i++)
		if (l->caps & 1u << i)
			fprintf(d->out, " %s", cap_names[i]);
	fprintf(d->out, "\n  %-15s ", "atomic writes");
	if (l->atomic_max)
		fprintf(d->out, " from %u to %u bytes, boundary %u\n", l->atomic_min,
			l->atomic_max, l->atomic_boundary);
	else
		fprintf(d->out, " none\n");
	if (l->caps & IOMAP_CAP_ZONED) {
		print_limit(d, "zone", l->zone_size);
		print_limit(d, "max append", l->max_append);
	}
}

static void print_all(const struct backends *b)
{
	struct demo *d = b->demo;
	struct utsname os;

	fprintf(d->out, "%s%-14s%-5s%s%s\n", demo_paint(d, BOLD), "backend", "here",
		uname(&os) ? "" : os.release, demo_paint(d, PLAIN));
	for (unsigned i = 0; i < NR_PROBES; i++)
		print_probe(d, &b->probes[i]);
	if (!*b->temp && !b->probes[AUTO].rc)
		print_limits(d, b->path, &b->probes[AUTO].limits);
}

/* ---- for a program ---- */

static void json_text(struct demo *d, const char *text)
{
	fputc('"', d->out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(d->out, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(d->out, "\\u%04x", (unsigned)*text);
		else
			fputc(*text, d->out);
	}
	fputc('"', d->out);
}

static void json_limits(struct demo *d, const char *path, const struct iomap_bdev_limits *l)
{
	const char *sep = "";

	fprintf(d->out, ",\n \"device\":{\"path\":");
	json_text(d, path);
	fprintf(d->out, ",\"size\":%llu,\"logical_block\":%u,\"physical_block\":%u,"
		"\"memory_align\":%u,\n  \"max_bytes\":%llu,\"max_segs\":%u,\"queue_depth\":%u,"
		"\"atomic_min\":%u,\"atomic_max\":%u,\n  \"atomic_boundary\":%u,\"zone_size\":%llu,"
		"\"max_append\":%llu,\"caps\":[", LL(l->size), l->logical_block, l->physical_block,
		l->memory_align, LL(l->max_bytes), l->max_segs, l->queue_depth, l->atomic_min,
		l->atomic_max, l->atomic_boundary, LL(l->zone_size), LL(l->max_append));
	for (unsigned i = 0; i < NR_CAPS; i++)
		if (l->caps & 1u << i) {
			fprintf(d->out, "%s\"%s\"", sep, cap_names[i]);
			sep = ",";
		}
	fprintf(d->out, "]}");
}

static void json_all(const struct backends *b)
{
	struct demo *d = b->demo;

	fprintf(d->out, "{\"backends\":[");
	for (unsigned i = 0; i < NR_PROBES; i++) {
		const struct probe *p = &b->probes[i];

		fprintf(d->out, "%s\n  {\"scheme\":\"%s\",\"threads\":%u,\"works\":%s,"
			"\"error\":%d,\"reason\":", i ? "," : "", p->scheme, p->threads,
			p->rc ? "false" : "true", p->rc);
		json_text(d, p->words);
		fputc('}', d->out);
	}
	fprintf(d->out, "],\n \"auto\":");
	json_text(d, b->picked);
	if (!*b->temp && !b->probes[AUTO].rc)
		json_limits(d, b->path, &b->probes[AUTO].limits);
	fprintf(d->out, "}\n");
}

static int tell(const struct backends *b, bool json)
{
	const struct probe *p = &b->probes[AUTO];

	if (json)
		json_all(b);
	else
		print_all(b);
	if (p->rc) {
		demo_error(b->demo, p->rc, "auto: finds no backend for %s: %s", b->path, p->words);
		return p->rc;
	}
	fprintf(json ? b->demo->err : b->demo->out, "backends: ok auto=%s works=%u/%u\n",
		b->picked, b->nr_works, NR_PROBES);
	return 0;
}

int demo_backends(struct demo *d, const struct backends_opts *opts)
{
	struct backends *b = demo_alloc(d, sizeof(*b));
	int rc;

	if (!b) {
		demo_error(d, -ENOMEM, "cannot start");
		return 1;
	}
	b->demo = d;
	b->path = opts->path;
	rc = opts->path ? check_path(d, opts->path) : make_temp(b);
	if (!rc) {
		ask_all(b);
		rc = tell(b, opts->json);
	}
	if (*b->temp)
		unlink(b->temp);
	demo_free(d, b, sizeof(*b));
	return rc ? 1 : 0;
}
