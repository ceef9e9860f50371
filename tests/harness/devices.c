/* SPDX-License-Identifier: MIT */
/*
 * devices.c - devices of every kind for one story, and bios that count.
 *
 * Threads: t_bio ends may run anywhere; all else is the test's main thread.
 */
#include "harness/devices.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char temp_dir[64];
static int temp_watch = -1;		/* closed with this process: a cleaner waits for that */

static void remove_all(void)
{
	struct dirent *entry;
	char path[512];
	DIR *dir = opendir(temp_dir);

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", temp_dir, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	if (dir)
		closedir(dir);
	rmdir(temp_dir);
}

/* A failing case leaves without a word, so somebody else has to clean up after it. */
static void start_cleaner(void)
{
	int ends[2];
	char byte;

	ck_assert_int_eq(pipe(ends), 0);
	if (!fork()) {			/* and again: nobody waits for the cleaner */
		if (fork())
			_exit(0);
		setsid();
		close(ends[1]);
		while (read(ends[0], &byte, 1) > 0)
			;
		remove_all();
		_exit(0);
	}
	wait(NULL);
	close(ends[0]);
	temp_watch = ends[1];
}

const char *t_temp_dir(void)
{
	if (!temp_dir[0]) {
		snprintf(temp_dir, sizeof(temp_dir), "/tmp/iomap-test.XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(temp_dir));
		start_cleaner();
	}
	return temp_dir;
}

void t_temp_path(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", t_temp_dir(), name);
}

void t_temp_remove(void)
{
	if (!temp_dir[0])
		return;
	remove_all();
	close(temp_watch);
	temp_dir[0] = '\0';
}

static int try_start(struct t_device *d, const char *spec, unsigned flags,
		     const struct iomap_ioq_opts *opts)
{
	struct iomap_bdev_opts bdev_opts = { .struct_size = sizeof(bdev_opts), .flags = flags };
	struct iomap_env_opts env_opts = { .struct_size = sizeof(env_opts) };
	struct iomap_sim *sim = d->sim;
	int rc;

	memset(d, 0, sizeof(*d));
	d->sim = sim;
	d->keeps = strncmp(spec, "null:", 5) != 0;
	if (sim)
		iomap_sim_env_opts(sim, &env_opts);
	t_env_start(&d->t, &env_opts);
	rc = iomap_ioq_new(d->t.env, opts, &d->ioq);
	if (!rc)
		rc = iomap_bdev_open(d->ioq, spec, &bdev_opts, &d->bdev);
	if (rc)
		return rc;
	d->limits.struct_size = sizeof(d->limits);
	iomap_bdev_limits(d->bdev, &d->limits);
	return 0;
}

static void start(struct t_device *d, const char *spec, unsigned flags,
		  const struct iomap_ioq_opts *opts)
{
	ck_assert_int_eq(try_start(d, spec, flags, opts), 0);
}

/* Whose discards read as zeros: the stories of all devices ask for that. */
static void start_sim(struct t_device *d)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "atomic16k", .size = T_DEVICE_BYTES,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = 1, .devs = &disk, .nr_devs = 1,
	};

	ck_assert_int_eq(iomap_sim_new(&opts, &d->sim), 0);
	start(d, "sim:disk", 0, NULL);
}

/* The kinds that are files of the kernel's. */
static const struct {
	const char *scheme;
	unsigned flags;
	struct iomap_ioq_opts opts;
} files[T_NR_DEVICES] = {
	[T_FILE] = { .scheme = "file" },
	[T_FILE_BUFFERED] = { .scheme = "file", .flags = IOMAP_BDEV_BUFFERED },
	[T_THREAD] = { .scheme = "file", .opts.threads = 3 },
	[T_AIO] = { .scheme = "aio" },
	[T_URING] = { .scheme = "uring" },
	[T_URING_SINGLE] = { .scheme = "uring", .opts.flags = IOMAP_IOQ_SINGLE_ISSUER },
	[T_AUTO] = { .scheme = "auto" },
	[T_LOOP_FILE] = { .scheme = "file" },
	[T_LOOP_AIO] = { .scheme = "aio" },
	[T_LOOP_URING] = { .scheme = "uring" },
};

const char *t_device_scheme(enum t_device_kind kind)
{
	switch (kind) {
	case T_MEM:
		return "mem";
	case T_NULL:
		return "null";
	case T_SIM:
		return "sim";
	case T_NEW:
		return "ram";
	default:
		return files[kind].scheme;
	}
}

static int try_kind(struct t_device *d, enum t_device_kind kind, const char *rest, unsigned flags,
		    const struct iomap_ioq_opts *given)
{
	struct iomap_ioq_opts opts = given ? *given : files[kind].opts;
	char spec[256];

	d->sim = NULL;
	opts.struct_size = sizeof(opts);
	snprintf(spec, sizeof(spec), "%s:%s", files[kind].scheme, rest);
	return try_start(d, spec, files[kind].flags | flags, &opts);
}

int t_device_try(struct t_device *d, enum t_device_kind kind, const char *rest, unsigned flags)
{
	return try_kind(d, kind, rest, flags, NULL);
}

static void file_rest(char *rest, size_t size)
{
	char path[128];

	t_temp_path(path, sizeof(path), "device");
	snprintf(rest, size, "%s,size=16m,create", path);
}

static int start_file(struct t_device *d, enum t_device_kind kind,
		      const struct iomap_ioq_opts *given)
{
	char rest[192];
	int rc;

	file_rest(rest, sizeof(rest));
	rc = try_kind(d, kind, rest, 0, given);
	t_temp_remove();		/* open or not: what is open lives on */
	return rc;
}

bool t_device_spec(enum t_device_kind kind, char *spec, size_t size)
{
	struct t_device d;
	char rest[192];
	int rc;

	file_rest(rest, sizeof(rest));
	rc = t_device_try(&d, kind, rest, 0);
	t_device_stop(&d);
	ck_assert(!rc || rc == -ENOTSUP);
	snprintf(spec, size, "%s:%s", t_device_scheme(kind), rest);
	return !rc;
}

static int start_loop(struct t_device *d, enum t_device_kind kind)
{
	struct t_loop loop;
	int rc;

	memset(d, 0, sizeof(*d));
	if (t_loop_start(&loop, T_DEVICE_BYTES, 4096))
		return -ENOTSUP;
	rc = t_device_try(d, kind, loop.path, 0);
	d->loop = loop;
	return rc;
}

static int start_kind(struct t_device *d, enum t_device_kind kind)
{
	d->sim = NULL;
	switch (kind) {
	case T_SIM:
		start_sim(d);
		return 0;
	case T_MEM:
		t_device_start_mem(d, "", NULL);
		return 0;
	case T_NULL:
		return try_start(d, "null:16m", 0, NULL);
	case T_NEW:
		return try_start(d, "ram:16m", 0, NULL);
	case T_LOOP_FILE:
	case T_LOOP_AIO:
	case T_LOOP_URING:
		return start_loop(d, kind);
	default:
		return start_file(d, kind, NULL);
	}
}

void t_device_start(struct t_device *d, enum t_device_kind kind)
{
	ck_assert_int_eq(start_kind(d, kind), 0);
}

void t_device_start_with(struct t_device *d, enum t_device_kind kind,
			 const struct iomap_ioq_opts *opts)
{
	d->sim = NULL;
	ck_assert_int_eq(start_file(d, kind, opts), 0);
}

int t_device_next(struct t_device *d, int kind)
{
	for (; kind < T_NR_DEVICES; kind++) {
		int rc = start_kind(d, (enum t_device_kind)kind);

		if (!rc)
			break;
		ck_assert_int_eq(rc, -ENOTSUP);
		t_device_stop(d);
	}
	return kind;
}

void t_device_start_mem(struct t_device *d, const char *options, const struct iomap_ioq_opts *opts)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "mem:m%s%s", *options ? "," : "", options);
	d->sim = NULL;
	start(d, spec, 0, opts);
	d->mem = t_mem_find("m");
	ck_assert_ptr_nonnull(d->mem);
}

void t_device_stop(struct t_device *d)
{
	iomap_bdev_close(&d->bdev);
	ck_assert_ptr_null(d->bdev);
	iomap_ioq_delete(&d->ioq);
	ck_assert_ptr_null(d->ioq);
	t_env_stop(&d->t);
	iomap_sim_delete(&d->sim);
	if (d->loop.path[0])
		t_loop_stop(&d->loop);
}

/* ---- memory ---- */

static uint8_t pattern(size_t i, uint8_t seed)
{
	return (uint8_t)(seed + i + (i >> 8) * 7 + (i >> 16) * 13);
}

/* All that were given: they live as long as the process and are not lost. */
struct buffer {
	struct buffer *next;
	void *mem;
};
static struct buffer *buffers;

uint8_t *t_buffer(size_t len, uint8_t seed)
{
	struct buffer *buffer = malloc(sizeof(*buffer));
	void *mem;

	ck_assert_int_eq(posix_memalign(&mem, 4096, len ? len : 1), 0);
	*buffer = (struct buffer){ buffers, mem };
	buffers = buffer;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)mem)[i] = pattern(i, seed);
	return mem;
}

bool t_is_filled(const uint8_t *mem, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		if (mem[i] != pattern(i, seed))
			return false;
	return true;
}

bool t_is_zero(const uint8_t *mem, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (mem[i])
			return false;
	return true;
}

/* ---- bios ---- */

int t_io(struct iomap_bdev *bdev, enum iomap_bio_op op, uint64_t addr, void *mem, uint64_t len,
	 unsigned flags)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;

	iomap_bio_init(&bio, bdev, op, addr, &seg, 1);
	bio.flags = (uint16_t)flags;
	if (mem)
		ck_assert_int_eq(iomap_bio_add(&bio, mem, len, NULL), 0);
	else
		bio.len = len;
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

static void count_end(struct iomap_bio *bio)
{
	struct t_bio *b = iomap_container_of(bio, struct t_bio, bio);
	static unsigned nr_all;

	b->status = bio->status;
	b->order = __atomic_add_fetch(&nr_all, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&b->nr_ends, 1, __ATOMIC_RELEASE);
}

void t_bio_init(struct t_bio *b, struct iomap_bdev *bdev, enum iomap_bio_op op, uint64_t addr,
		void *mem, uint64_t len)
{
	memset(b, 0, sizeof(*b));
	iomap_bio_init(&b->bio, bdev, op, addr, b->segs, 8);
	b->bio.end_io = count_end;
	if (mem)
		ck_assert_int_eq(iomap_bio_add(&b->bio, mem, len, NULL), 0);
	else
		b->bio.len = len;
}

struct t_bio *t_writes(struct t_device *d, unsigned nr)
{
	const size_t block = 4096;
	struct t_bio *b = calloc(nr, sizeof(*b));
	uint8_t *mem = t_buffer(block, 1);

	for (unsigned i = 0; i < nr; i++)
		t_bio_init(&b[i], d->bdev, IOMAP_BIO_WRITE, i * block, mem, block);
	return b;
}

void t_submit(struct t_bio *b, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		iomap_bio_submit(&b[i].bio);
}
