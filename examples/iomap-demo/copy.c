/* SPDX-License-Identifier: MIT */
/*
 * copy.c - a real file through cache and writeback onto a device, and back.
 *
 * The source is read piece by piece, in file order or shuffled, and written into the cache; the
 * cache sends what is dirty when it has too much of it, the final sync sends the rest.  Then the
 * cache is dropped, so that reading goes to the device, and each byte is compared with the source.
 * Layout flat puts byte n of the file at byte n of the device; scattered deals extents over it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define PIECE		(64u * KIB)
#define EXTENT		(256u * KIB)	/* of the scattered layout */
#define WINDOW		(1u * MIB)	/* read ahead while comparing */
#define ORDER_SEED	11u
#define LAYOUT_SEED	5u

struct copy {
	struct demo *demo;
	const struct copy_opts *opts;
	struct device dev;
	struct client client;
	int fd;
	uint64_t size, wanted;		/* of the source; of the device */
	char *mem;			/* two pieces */
	uint64_t nr_bios, bio_bytes;	/* writes that left for the device */
	char backend[512];		/* which one, and why no better */
	double write_seconds, read_seconds;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Under the library's leaf locks: count and return. */
static void on_trace(void *arg, const struct iomap_trace_record *record)
{
	struct copy *copy = arg;

	if (record->event != IOMAP_TRACE_BIO_QUEUE || record->type != IOMAP_BIO_WRITE)
		return;
	copy->nr_bios++;
	copy->bio_bytes += record->len;
}

/* ---- the source ---- */

static int open_source(struct copy *copy)
{
	const char *path = copy->opts->source;
	struct stat st;

	/* a pipe without a writer would keep us here */
	copy->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (copy->fd < 0)
		return demo_error(copy->demo, -errno, "source '%s'", path);
	if (fstat(copy->fd, &st))
		return demo_error(copy->demo, -errno, "source '%s'", path);
	if (S_ISDIR(st.st_mode))
		return demo_error(copy->demo, -EISDIR, "source '%s'", path);
	if (!S_ISREG(st.st_mode)) {
		demo_error(copy->demo, 0, "source '%s': not a regular file", path);
		return -EINVAL;
	}
	copy->size = (uint64_t)st.st_size;
	copy->wanted = (copy->size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	return 0;
}

static int read_source(struct copy *copy, uint64_t pos, char *mem, size_t len)
{
	while (len) {
		ssize_t got = pread(copy->fd, mem, len, (off_t)pos);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return demo_error(copy->demo, -errno, "reading source '%s'",
					  copy->opts->source);
		if (!got) {
			demo_error(copy->demo, 0, "source '%s' became shorter meanwhile",
				   copy->opts->source);
			return -EIO;
		}
		pos += (uint64_t)got;
		mem += got;
		len -= (size_t)got;
	}
	return 0;
}

/* ---- the device ---- */

static int device_error(struct copy *copy, int rc, const char *doing)
{
	return demo_error(copy->demo, rc, "%s %s", doing, copy->dev.given);
}

static void lay_out(struct copy *copy)
{
	struct client *c = &copy->client;
	uint64_t piece = copy->opts->scattered ? EXTENT : copy->wanted;
	uint64_t nr_whole = copy->wanted ? (copy->wanted - 1) / piece : 0;

	for (uint64_t pos = 0; pos < copy->wanted; pos += piece) {
		struct extent *x = &c->extents[c->nr_extents];
		uint64_t place = c->nr_extents++;

		if (place < nr_whole)	/* the last one may be short: it stays last */
			place = demo_shuffle(place, nr_whole, LAYOUT_SEED);
		x->type = IOMAP_MAPPED;
		x->pos = (int64_t)pos;
		x->len = copy->wanted - pos < piece ? copy->wanted - pos : piece;
		x->addr = place * piece;
	}
}

static int open_device(struct copy *copy)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	struct client_opts opts = {
		.max_extents = copy->opts->scattered ? (unsigned)(copy->wanted / EXTENT + 2) : 2,
		.trace = on_trace, .trace_arg = copy,
	};
	int rc = device_parse(copy->demo, copy->opts->device, copy->opts->destroy, &copy->dev);

	if (!rc && device_is_source(&copy->dev, copy->fd)) {
		demo_error(copy->demo, 0, "source and device are the same file");
		rc = -EINVAL;
	}
	if (!rc && copy->opts->image)
		rc = sim_image_check(copy->demo, &copy->dev, copy->opts->image, copy->fd);
	if (rc)
		return rc;
	rc = device_start(copy->demo, &copy->dev, copy->wanted);
	if (rc)
		return rc;
	opts.device = &copy->dev;
	opts.cache_bytes = copy->size < 16 * MIB ? 4 * copy->wanted + 4 * MIB : 64 * MIB;
	rc = client_open(&copy->client, copy->demo, &opts);
	if (rc)
		return rc;
	snprintf(copy->backend, sizeof(copy->backend), "%s", iomap_ioq_reason(copy->client.ioq));
	iomap_bdev_limits(copy->client.bdev, &limits);
	if (limits.size < copy->wanted) {
		demo_error(copy->demo, 0, "device %s is too small: %llu bytes, %llu are needed",
			   copy->dev.given, (unsigned long long)limits.size,
			   (unsigned long long)copy->wanted);
		return -ENOSPC;
	}
	lay_out(copy);
	return 0;
}

/* ---- there ---- */

static int write_all(struct copy *copy)
{
	uint64_t nr = (copy->size + PIECE - 1) / PIECE;
	double start = now();
	int rc;

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t k = copy->opts->random ? demo_shuffle(i, nr, ORDER_SEED) : i;
		uint64_t left = copy->size - k * PIECE;
		size_t len = left < PIECE ? (size_t)left : PIECE;

		rc = read_source(copy, k * PIECE, copy->mem, len);
		if (rc)
			return rc;
		rc = client_write(&copy->client, (int64_t)(k * PIECE), copy->mem, len);
		if (rc)
			return device_error(copy, rc, "writing");
		demo_progress(copy->demo, "writing", i, nr);
	}
	rc = iomap_file_sync(&copy->client.file, 0, IOMAP_MAX_POS, false);
	if (rc)
		return device_error(copy, rc, "writing");
	demo_progress_end(copy->demo);
	copy->write_seconds = now() - start;
	return 0;
}

/* ---- and back ---- */

static int compare_piece(struct copy *copy, uint64_t pos, size_t len)
{
	char *back = copy->mem + PIECE;
	int rc = client_read(&copy->client, (int64_t)pos, back, len);

	if (rc)
		return device_error(copy, rc, "reading back");
	rc = read_source(copy, pos, copy->mem, len);
	if (rc)
		return rc;
	if (!memcmp(copy->mem, back, len))
		return 0;
	while (copy->mem[pos % PIECE] == back[pos % PIECE])
		pos++;
	demo_error(copy->demo, 0, "%s differs from the source at byte %llu", copy->dev.given,
		   (unsigned long long)pos);
	return -EIO;
}

static int compare_all(struct copy *copy)
{
	double start = now();
	int rc = client_drop_cache(&copy->client);

	if (rc)
		return demo_error(copy->demo, rc, "the cache cannot be dropped");
	if (copy->dev.is_null)
		return 0;
	for (uint64_t pos = 0; pos < copy->size; pos += PIECE) {
		uint64_t left = copy->size - pos;

		if (!(pos % WINDOW)) {
			int64_t from = (int64_t)pos;
			uint64_t window = left < WINDOW ? left : WINDOW;

			iomap_readahead(&copy->client.inode, &from, &window, &client_iomap_ops,
					NULL, NULL);
		}
		rc = compare_piece(copy, pos, left < PIECE ? (size_t)left : PIECE);
		if (rc)
			return rc;
		demo_progress(copy->demo, "reading", pos, copy->size);
	}
	demo_progress_end(copy->demo);
	copy->read_seconds = now() - start;
	return 0;
}

/* ---- the end ---- */

/* The image ends where the source does, so that cmp agrees.  A failed copy of ours goes away. */
static int settle_image(struct copy *copy, int rc)
{
	const struct device *dev = &copy->dev;
	const char *path = dev->is_file ? dev->path : copy->opts->image;

	if (rc && dev->is_file && !dev->was_there)
		unlink(dev->path);
	if (!rc && !dev->is_file && path)
		rc = sim_image(copy->demo, dev, path);
	if (rc || !path || dev->has_size)
		return rc;
	if (!copy->opts->scattered && truncate(path, (off_t)copy->size))
		return demo_error(copy->demo, -errno, "image '%s'", path);
	return 0;
}

static void print_speed(struct copy *copy, const char *what, double seconds)
{
	fprintf(copy->demo->out, "  %-10s %.3f s, %.0f MiB/s\n", what, seconds,
		seconds > 0 ? (double)copy->size / MIB / seconds : 0.0);
}

static void print_summary(struct copy *copy)
{
	FILE *out = copy->demo->out;
	char bytes[32], each[32];

	fprintf(out, "  %-10s %s, %s (%llu bytes)\n", "source", copy->opts->source,
		demo_bytes(copy->size, bytes), (unsigned long long)copy->size);
	fprintf(out, "  %-10s %s, layout %s, order %s\n", "device", copy->dev.given,
		copy->opts->scattered ? "scattered" : "flat",
		copy->opts->random ? "random" : "seq");
	fprintf(out, "  %-10s ", "backend");
	demo_wrap(copy->demo, copy->backend, 13);
	fprintf(out, "  %-10s %llu\n", "pages", (unsigned long long)(copy->wanted / PAGE_BYTES));
	fprintf(out, "  %-10s %llu\n", "ioends", (unsigned long long)copy->client.nr_ioends);
	fprintf(out, "  %-10s %llu, on average %s\n", "bios", (unsigned long long)copy->nr_bios,
		demo_bytes(copy->nr_bios ? copy->bio_bytes / copy->nr_bios : 0, each));
	print_speed(copy, "written", copy->write_seconds);
	if (copy->dev.is_null)
		fprintf(out, "  %-10s no: null: keeps nothing, so this only counts\n", "compared");
	else
		print_speed(copy, "compared", copy->read_seconds);
	fprintf(out, "copy: ok bytes=%llu ioends=%llu bios=%llu", (unsigned long long)copy->size,
		(unsigned long long)copy->client.nr_ioends, (unsigned long long)copy->nr_bios);
	if (copy->dev.sim)
		fprintf(out, " digest=%016llx",
			(unsigned long long)iomap_sim_run_digest(copy->dev.sim));
	fprintf(out, "\n");
}

static int copy_run(struct copy *copy)
{
	int rc = open_source(copy);

	if (rc)
		return rc;
	copy->mem = demo_alloc(copy->demo, 2 * PIECE);
	if (!copy->mem)
		return demo_error(copy->demo, -ENOMEM, "cannot start");
	rc = open_device(copy);
	if (!rc)
		rc = write_all(copy);
	if (!rc)
		rc = compare_all(copy);
	return rc;
}

int demo_copy(struct demo *d, const struct copy_opts *opts)
{
	struct copy copy = { .demo = d, .opts = opts, .fd = -1 };
	int rc = copy_run(&copy);

	if (copy.client.demo)
		client_close(&copy.client);
	rc = settle_image(&copy, rc);
	if (!rc)
		print_summary(&copy);
	device_end(&copy.dev);
	demo_free(d, copy.mem, 2 * PIECE);
	if (copy.fd >= 0)
		close(copy.fd);
	return rc ? 1 : 0;
}
