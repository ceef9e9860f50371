/* SPDX-License-Identifier: MIT */
/*
 * test_open_errors.c - what cannot be opened, may not be written or has no room: one clear error
 * each, whichever way the kernel is asked, and nothing half open.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/mount.h"

#define KB 1024u

static const enum t_device_kind kinds[] = { T_FILE, T_FILE_BUFFERED, T_THREAD, T_AIO, T_URING,
					    T_AUTO };
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static unsigned nr_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static void make_file(char *path, size_t size, const char *dir, const char *name, uint64_t bytes)
{
	int fd;

	snprintf(path, size, "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

/* The kind, with its queue open and a good device closed again; false: it is not here. */
static bool start(struct t_device *d, enum t_device_kind kind)
{
	char path[128];
	int rc;

	make_file(path, sizeof(path), t_temp_dir(), "good", 64 * KB);
	rc = t_device_try(d, kind, path, 0);
	if (rc) {
		ck_assert_int_eq(rc, -ENOTSUP);
		t_device_stop(d);
		return false;
	}
	iomap_bdev_close(&d->bdev);
	return true;
}

static int open_again(struct t_device *d, enum t_device_kind kind, const char *rest, unsigned flags)
{
	const struct iomap_bdev_opts opts = {
		.struct_size = sizeof(opts),
		.flags = flags | (kind == T_FILE_BUFFERED ? IOMAP_BDEV_BUFFERED : 0),
	};
	char spec[256];

	snprintf(spec, sizeof(spec), "%s:%s", t_device_scheme(kind), rest);
	return iomap_bdev_open(d->ioq, spec, &opts, &d->bdev);
}

/* It fails so, says so once, and leaves nothing; then a good device still opens. */
static void refuses(struct t_device *d, enum t_device_kind kind, const char *rest, unsigned flags,
		    int error, const char *field)
{
	unsigned fds = nr_open(), reports = d->t.nr_reports;
	uint64_t live = d->t.nr_live;
	char good[128];

	ck_assert_msg(open_again(d, kind, rest, flags) == error, "%s:%s", t_device_scheme(kind),
		      rest);
	ck_assert_ptr_null(d->bdev);
	ck_assert_msg(d->t.nr_reports == reports + 1, "%s:%s: %u reports", t_device_scheme(kind),
		      rest, d->t.nr_reports - reports);
	ck_assert_str_eq(d->t.last_rule, "device");
	ck_assert_msg(!strcmp(d->t.last_field, field), "%s:%s: %s", t_device_scheme(kind), rest,
		      d->t.last_field);
	ck_assert_uint_eq(nr_open(), fds);
	ck_assert_uint_eq(d->t.nr_live, live);
	t_temp_path(good, sizeof(good), "good");
	ck_assert_int_eq(open_again(d, kind, good, 0), 0);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB, 0), 0);
	iomap_bdev_close(&d->bdev);
}

CASE(what_is_no_device_is_refused, "O28", "By name and once, with nothing left open")
{
	char fifo[128], odd[128], odd_size[160];
	struct t_device d;

	make_file(odd, sizeof(odd), t_temp_dir(), "odd", 10000);
	snprintf(odd_size, sizeof(odd_size), "%s,size=10000", odd);
	t_temp_path(fifo, sizeof(fifo), "fifo");
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	for (unsigned k = 0; k < NR_KINDS; k++) {
		if (!start(&d, kinds[k]))
			continue;
		refuses(&d, kinds[k], "/nowhere/at/all", 0, -ENOENT, "path");
		refuses(&d, kinds[k], "/nowhere/at/all,create", 0, -ENOENT, "path");
		refuses(&d, kinds[k], "", 0, -EINVAL, "path");
		refuses(&d, kinds[k], t_temp_dir(), 0, -EISDIR, "path");
		refuses(&d, kinds[k], fifo, 0, -EINVAL, "path");
		refuses(&d, kinds[k], "/dev/null", 0, -EINVAL, "path");
		refuses(&d, kinds[k], "/dev/null", IOMAP_BDEV_RDONLY, -EINVAL, "path");
		refuses(&d, kinds[k], odd, 0, -EINVAL, "size");
		refuses(&d, kinds[k], odd_size, 0, -EINVAL, "size");
		t_device_stop(&d);
	}
	t_temp_remove();
}

CASE(an_odd_file_is_made_even_or_used_in_part, "", "size=N says what is needed, and nothing is cut")
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	struct t_device d;
	struct stat st;

	for (unsigned k = 0; k < NR_KINDS; k++) {
		char odd[128], rest[192];

		if (!start(&d, kinds[k]))
			continue;
		make_file(odd, sizeof(odd), t_temp_dir(), "odd", 10000);
		snprintf(rest, sizeof(rest), "%s,size=8k", odd);
		ck_assert_int_eq(open_again(&d, kinds[k], rest, 0), 0);
		iomap_bdev_limits(d.bdev, &limits);
		ck_assert_uint_eq(limits.size, 10000 - 10000 % limits.logical_block);
		iomap_bdev_close(&d.bdev);
		ck_assert_int_eq(stat(odd, &st), 0);
		ck_assert_int_eq(st.st_size, 10000);
		snprintf(rest, sizeof(rest), "%s,size=12k", odd);
		ck_assert_int_eq(open_again(&d, kinds[k], rest, 0), 0);
		iomap_bdev_limits(d.bdev, &limits);
		ck_assert_uint_eq(limits.size, 12 * KB);
		t_device_stop(&d);
	}
	t_temp_remove();
}

/* ---- read-only ---- */

static void only_reads(struct t_device *d, enum t_device_kind kind, const char *rest)
{
	uint8_t *mem = t_buffer(4 * KB, 1);

	ck_assert_int_eq(open_again(d, kind, rest, IOMAP_BDEV_RDONLY), 0);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), -EROFS);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_WRITE_ZEROES, 0, NULL, 4 * KB, 0), -EROFS);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_DISCARD, 0, NULL, 4 * KB, 0), -EROFS);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_READ, 0, mem, 4 * KB, 0), 0);
	ck_assert(t_is_zero(mem, 4 * KB));
	iomap_bdev_close(&d->bdev);
}

CASE(a_file_one_may_only_read, "O28", "-EACCES, until it is asked for no more than that")
{
	struct t_device d;
	char path[128];

	for (unsigned k = 0; k < NR_KINDS; k++) {
		if (!start(&d, kinds[k]))
			continue;
		make_file(path, sizeof(path), t_temp_dir(), "read", 64 * KB);
		ck_assert_int_eq(chmod(path, 0444), 0);
		ck_assert_int_eq(chmod(t_temp_dir(), 0755), 0);
		t_temp_path(path, sizeof(path), "good");
		ck_assert_int_eq(chmod(path, 0666), 0);
		t_temp_path(path, sizeof(path), "read");
		if (!getuid())
			ck_assert_int_eq(seteuid(65534), 0);
		refuses(&d, kinds[k], path, 0, -EACCES, "path");
		only_reads(&d, kinds[k], path);
		if (!getuid())
			ck_assert_int_eq(seteuid(0), 0);
		t_device_stop(&d);
		t_temp_remove();
	}
}

CASE(a_device_one_may_only_read, "O28", "-EROFS at the open, not at the first write")
{
	struct t_device d;
	struct t_loop loop;
	int yes = 1;

	if (t_loop_start(&loop, 64 * KB, 4096))
		t_skip("no loop device to be had");
	ck_assert_int_eq(ioctl(loop.fd, BLKROSET, &yes), 0);
	for (unsigned k = 0; k < NR_KINDS; k++) {
		if (!start(&d, kinds[k]))
			continue;
		refuses(&d, kinds[k], loop.path, 0, -EROFS, "path");
		only_reads(&d, kinds[k], loop.path);
		ck_assert_int_eq(iomap_bdev_open_fd(d.ioq, loop.fd, NULL, &d.bdev), -EROFS);
		t_device_stop(&d);
	}
	t_temp_remove();
	t_loop_stop(&loop);
}

CASE(a_device_with_nothing_in_it, "O28", "-ENXIO, like a reader without its card")
{
	struct t_device d;
	struct t_loop loop;

	if (t_loop_start(&loop, 0, 512))
		t_skip("no loop device to be had");
	for (unsigned k = 0; k < NR_KINDS; k++) {
		if (!start(&d, kinds[k]))
			continue;
		refuses(&d, kinds[k], loop.path, 0, -ENXIO, "size");
		t_device_stop(&d);
	}
	t_temp_remove();
	t_loop_stop(&loop);
}

/* ---- no room ---- */

#define NR_WRITES	16
#define PART		(64 * KB)

/* Takes all the room there is: a file system keeps some back for itself until it is synced. */
static void fill(const char *dir)
{
	char path[128];
	uint64_t at = 0, before;
	int fd;

	make_file(path, sizeof(path), dir, "filler", 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	do {
		before = at;
		for (uint64_t part = 1 << 20; part >= 4 * KB; part /= 2)
			while (!fallocate(fd, 0, (off_t)at, (off_t)part))
				at += part;
		ck_assert_int_eq(syncfs(fd), 0);
	} while (at != before);
	close(fd);
}

/* Writes all parts at once; those that are odd have no room. */
static void write_parts(struct t_device *d, int odd)
{
	struct t_bio *b = calloc(NR_WRITES, sizeof(*b));

	for (unsigned i = 0; i < NR_WRITES; i++) {
		t_bio_init(&b[i], d->bdev, IOMAP_BIO_WRITE, i * (uint64_t)PART,
			   t_buffer(PART, (uint8_t)i), PART);
		iomap_bio_submit(&b[i].bio);
	}
	ck_assert_int_eq(iomap_ioq_drain(d->ioq, (int64_t)(10 * t_scale()) * 1000000000), 0);
	for (unsigned i = 0; i < NR_WRITES; i++) {
		ck_assert_uint_eq(b[i].nr_ends, 1);
		ck_assert_int_eq(b[i].status, i % 2 ? odd : 0);
	}
	free(b);
}

static void check_parts(struct t_device *d)
{
	uint8_t *mem = t_buffer(PART, 0);

	for (unsigned i = 0; i < NR_WRITES; i++) {
		ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_READ, i * (uint64_t)PART, mem, PART, 0),
				 0);
		ck_assert(t_is_filled(mem, PART, (uint8_t)i));
	}
}

/* Half of a file has its room, the other half finds none; later it does. */
static void runs_full(struct t_device *d, enum t_device_kind kind, const char *dir)
{
	char path[128];
	int fd, rc;

	make_file(path, sizeof(path), dir, "a", NR_WRITES * PART);
	fd = open(path, O_RDWR | O_CLOEXEC);
	for (unsigned i = 0; i < NR_WRITES; i += 2)
		ck_assert_int_eq(fallocate(fd, 0, (off_t)i * PART, PART), 0);
	close(fd);
	fill(dir);
	rc = t_device_try(d, kind, path, 0);
	if (!rc) {
		write_parts(d, -ENOSPC);
		snprintf(path, sizeof(path), "%s/filler", dir);
		unlink(path);
		write_parts(d, 0);
		check_parts(d);
	} else {
		ck_assert_int_eq(rc, -ENOTSUP);
	}
	t_device_stop(d);
}

CASE(a_full_file_system_fails_what_has_no_room, "",
     "-ENOSPC for those writes and no others; once there is room they succeed")
{
	static const char *const types[] = { "tmpfs", "ext4" };
	struct t_mount m;
	struct t_device d;

	for (unsigned i = 0; i < 2 * NR_KINDS; i++) {
		enum t_device_kind kind = kinds[i / 2];

		if (kind == T_FILE_BUFFERED)	/* there the kernel finds out later */
			continue;
		if (t_mount_start(&m, types[i % 2], 16384 * KB))
			t_skip("no file system to be had");
		runs_full(&d, kind, m.dir);
		t_mount_stop(&m);
	}
}

MAIN()
