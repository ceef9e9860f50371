/* SPDX-License-Identifier: MIT */
/*
 * test_device_open.c - device strings, files that are not there or not right, sizes, full disks.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/loop.h"

#define KB 1024u

struct fixture {
	struct t_env t;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
};

static void start(struct fixture *f)
{
	t_env_start(&f->t, NULL);
	ck_assert_int_eq(iomap_ioq_new(f->t.env, NULL, &f->ioq), 0);
	f->bdev = NULL;
}

static void stop(struct fixture *f)
{
	iomap_bdev_close(&f->bdev);
	iomap_ioq_delete(&f->ioq);
	t_env_stop(&f->t);
	t_temp_remove();
}

static int try_open(struct fixture *f, const char *spec, unsigned flags)
{
	struct iomap_bdev_opts opts = { .struct_size = sizeof(opts), .flags = flags };

	return iomap_bdev_open(f->ioq, spec, &opts, &f->bdev);
}

/* auto:<temp>/name<options> */
static int try_file(struct fixture *f, const char *name, const char *options, unsigned flags)
{
	char path[128], spec[256];

	t_temp_path(path, sizeof(path), name);
	snprintf(spec, sizeof(spec), "auto:%s%s", path, options);
	return try_open(f, spec, flags);
}

static uint64_t size_of(struct iomap_bdev *bdev)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };

	iomap_bdev_limits(bdev, &limits);
	return limits.size;
}

CASE(unknown_device_strings, "", "Each says what is wrong with it and opens nothing")
{
	static const struct {
		const char *spec;
		int error;
		const char *field;
	} table[] = {
		{ "", -EINVAL, "spec" },
		{ "nocolon", -EINVAL, "spec" },
		{ ":x", -EINVAL, "spec" },
		{ "a-scheme-much-too-long-to-be-one:x", -EINVAL, "spec" },
		{ "floppy:a", -ENOTSUP, "scheme" },
		{ "NULL:", -ENOTSUP, "scheme" },
		{ "null:12q", -EINVAL, "size" },
		{ "null:-1", -EINVAL, "size" },
		{ "null:k", -EINVAL, "size" },
		{ "null:99999999999999999999", -EINVAL, "size" },
		{ "null:16777216t", -EINVAL, "size" },
		{ "auto:", -EINVAL, "path" },
		{ "auto:/nowhere/at/all", -ENOENT, "path" },
		{ "auto:/tmp", -EISDIR, "path" },
		{ "auto:/dev/null", -EINVAL, "path" },
		{ "auto:/tmp/x,frobnicate", -EINVAL, "option" },
		{ "auto:/tmp/x,frobnicate=1", -EINVAL, "option" },
		{ "auto:/tmp/x,size=", -EINVAL, "size" },
		{ "auto:/tmp/x,size=1x", -EINVAL, "size" },
		{ "auto:/tmp/x,create,size=m", -EINVAL, "size" },
	};
	struct fixture f;

	start(&f);
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		unsigned reports = f.t.nr_reports;

		ck_assert_msg(try_open(&f, table[i].spec, 0) == table[i].error, "%s",
			      table[i].spec);
		ck_assert_ptr_null(f.bdev);
		ck_assert_msg(f.t.nr_reports == reports + 1, "%s", table[i].spec);
		ck_assert_msg(!strcmp(f.t.last_field, table[i].field), "%s: %s", table[i].spec,
			      f.t.last_field);
	}
	ck_assert_int_eq(iomap_bdev_open(f.ioq, NULL, NULL, &f.bdev), -EINVAL);
	ck_assert_int_eq(try_open(&f, "null:", 1 << 9), -EINVAL);
	ck_assert_str_eq(f.t.last_field, "flags");
	stop(&f);
}

CASE(sizes_have_suffixes, "", "null: takes them all, and is huge without")
{
	static const struct {
		const char *spec;
		uint64_t size;
	} table[] = {
		{ "null:4096", 4096 }, { "null:64k", 65536 }, { "null:3M", 3u << 20 },
		{ "null:1g", 1u << 30 }, { "null:2t", 2ull << 40 }, { "null:", 1ull << 62 },
		{ "null:1000", 512 },
	};
	struct fixture f;

	start(&f);
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ck_assert_int_eq(try_open(&f, table[i].spec, 0), 0);
		ck_assert_uint_eq(size_of(f.bdev), table[i].size);
		iomap_bdev_close(&f.bdev);
	}
	stop(&f);
}

CASE(files_are_made_and_grown_never_cut, "", "create and size=N, and what the device then has")
{
	struct fixture f;
	struct stat st;
	char path[128];

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	ck_assert_int_eq(try_file(&f, "a", "", 0), -ENOENT);
	ck_assert_int_eq(stat(path, &st), -1);
	ck_assert_int_eq(try_file(&f, "a", ",size=1m", 0), -ENOENT);
	ck_assert_int_eq(try_file(&f, "a", ",create,size=1000", 0), -EINVAL);
	ck_assert_str_eq(f.t.last_field, "size");
	ck_assert_uint_eq(f.t.last_value, 1000);
	ck_assert_int_eq(try_file(&f, "a", ",create,size=1m", 0), 0);
	ck_assert_uint_eq(size_of(f.bdev), 1u << 20);
	iomap_bdev_close(&f.bdev);
	ck_assert_int_eq(try_file(&f, "a", ",size=64k", 0), 0);
	ck_assert_uint_eq(size_of(f.bdev), 1u << 20);
	iomap_bdev_close(&f.bdev);
	ck_assert_int_eq(try_file(&f, "a", ",size=2m", IOMAP_BDEV_RDONLY), -EROFS);
	ck_assert_int_eq(try_file(&f, "a", ",create", IOMAP_BDEV_RDONLY), -EINVAL);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 1 << 20);
	stop(&f);
}

CASE(a_failed_create_leaves_nothing, "", "The file it made goes again; one that was there stays")
{
	struct fixture f;
	struct stat st;
	char path[128];

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	ck_assert_int_eq(try_file(&f, "a", ",create,size=1000", 0), -EINVAL);
	ck_assert_int_eq(stat(path, &st), -1);
	close(open(path, O_CREAT | O_RDWR, 0600));
	ck_assert_int_eq(try_file(&f, "a", ",create,size=1000", 0), -EINVAL);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	stop(&f);
}

CASE(a_file_that_grew_is_refreshed, "", "The new size counts from the refresh on")
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	uint8_t *mem = t_buffer(4 * KB, 2);
	struct fixture f;
	char path[128];

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	ck_assert_int_eq(try_file(&f, "a", ",create,size=64k", 0), 0);
	iomap_bdev_limits(f.bdev, &limits);
	ck_assert(limits.caps & IOMAP_CAP_GROWS);
	ck_assert_int_eq(truncate(path, 128 * KB), 0);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_WRITE, 64 * KB, mem, 4 * KB, 0), -EINVAL);
	ck_assert_int_eq(iomap_bdev_refresh_size(f.bdev), 0);
	ck_assert_uint_eq(size_of(f.bdev), 128 * KB);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_WRITE, 64 * KB, mem, 4 * KB, 0), 0);
	stop(&f);
}

CASE(a_file_that_shrank_fails_reads, "", "The missing end is -EIO, not zeros")
{
	uint8_t *mem = t_buffer(8 * KB, 2);
	struct fixture f;
	char path[128];

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	ck_assert_int_eq(try_file(&f, "a", ",create,size=64k", 0), 0);
	ck_assert_int_eq(truncate(path, 4 * KB), 0);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_READ, 0, mem, 8 * KB, 0), -EIO);
	ck_assert_str_eq(f.t.last_field, "read");
	stop(&f);
}

CASE(read_only_devices_refuse_writes, "", "Every kind of writing is -EROFS, and reads go on")
{
	static const enum iomap_bio_op ops[] = { IOMAP_BIO_WRITE, IOMAP_BIO_DISCARD,
						 IOMAP_BIO_WRITE_ZEROES };
	static const char *const specs[] = { "null:1m", "mem:r,size=1m", NULL };
	uint8_t *mem = t_buffer(4 * KB, 2);
	struct fixture f;

	start(&f);
	ck_assert_int_eq(try_file(&f, "a", ",create,size=1m", 0), 0);
	iomap_bdev_close(&f.bdev);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(specs[i] ? try_open(&f, specs[i], IOMAP_BDEV_RDONLY)
					  : try_file(&f, "a", "", IOMAP_BDEV_RDONLY), 0);
		for (unsigned o = 0; o < 3; o++)
			ck_assert_int_eq(t_io(f.bdev, ops[o], 0, o ? NULL : mem, 4 * KB, 0),
					 -EROFS);
		ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_READ, 0, mem, 4 * KB, 0), 0);
		ck_assert_int_eq(iomap_bdev_flush(f.bdev, UINT64_MAX), 0);
		iomap_bdev_close(&f.bdev);
	}
	stop(&f);
}

CASE(a_borrowed_descriptor_stays_open, "", "open_fd takes what the descriptor allows, and no more")
{
	struct iomap_bdev_opts rdonly = { .struct_size = sizeof(rdonly),
					  .flags = IOMAP_BDEV_RDONLY };
	uint8_t *mem = t_buffer(4 * KB, 7), *out = t_buffer(4 * KB, 0);
	struct fixture f;
	char path[128];
	int fd;

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	fd = open(path, O_CREAT | O_RDWR, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 64 * KB), 0);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, NULL, &f.bdev), 0);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_WRITE, 4 * KB, mem, 4 * KB, 0), 0);
	iomap_bdev_close(&f.bdev);
	ck_assert_int_eq((int)pread(fd, out, 4 * KB, 4 * KB), 4 * KB);
	ck_assert(t_is_filled(out, 4 * KB, 7));
	close(fd);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, NULL, &f.bdev), -EBADF);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, -1, NULL, &f.bdev), -EINVAL);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, NULL, &f.bdev), -EACCES);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, &rdonly, &f.bdev), 0);
	iomap_bdev_close(&f.bdev);
	close(fd);
	stop(&f);
}

CASE(a_descriptor_that_appends_is_refused, "", "O_APPEND: each write would go to the end instead")
{
	struct fixture f;
	char path[128];
	int fd;

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	fd = open(path, O_CREAT | O_RDWR | O_APPEND, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 64 * KB), 0);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, NULL, &f.bdev), -EINVAL);
	ck_assert_ptr_null(f.bdev);
	ck_assert_str_eq(f.t.last_field, "fd");
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);	/* still open, and now it will do */
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, NULL, &f.bdev), 0);
	stop(&f);
	close(fd);
}

CASE(an_exclusive_file_is_held, "", "A second exclusive open is -EBUSY until the first is closed")
{
	struct fixture f;
	struct iomap_bdev *first;

	start(&f);
	ck_assert_int_eq(try_file(&f, "a", ",create,size=64k", IOMAP_BDEV_EXCLUSIVE), 0);
	first = f.bdev;
	ck_assert_int_eq(try_file(&f, "a", "", IOMAP_BDEV_EXCLUSIVE), -EBUSY);
	iomap_bdev_close(&first);
	ck_assert_int_eq(try_file(&f, "a", "", IOMAP_BDEV_EXCLUSIVE), 0);
	stop(&f);
}

CASE(an_exclusive_descriptor_is_let_go, "", "It stays open, but is held no longer than the device")
{
	struct iomap_bdev_opts opts = { .struct_size = sizeof(opts),
					.flags = IOMAP_BDEV_EXCLUSIVE };
	struct iomap_bdev *first;
	struct fixture f;
	char path[128];
	int fd;

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	fd = open(path, O_CREAT | O_RDWR, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 64 * KB), 0);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, &opts, &first), 0);
	ck_assert_int_eq(try_file(&f, "a", "", IOMAP_BDEV_EXCLUSIVE), -EBUSY);
	iomap_bdev_close(&first);
	ck_assert_int_eq(try_file(&f, "a", "", IOMAP_BDEV_EXCLUSIVE), 0);
	stop(&f);
	close(fd);
}

CASE(a_child_does_not_let_go_of_it, "", "Closed in a forked child, it is still held by the parent")
{
	struct iomap_bdev_opts opts = { .struct_size = sizeof(opts),
					.flags = IOMAP_BDEV_EXCLUSIVE };
	struct iomap_bdev *first;
	struct fixture f;
	char path[128];
	int fd, status;
	pid_t pid;

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	fd = open(path, O_CREAT | O_RDWR, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 64 * KB), 0);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, fd, &opts, &first), 0);
	pid = fork();
	if (!pid) {
		iomap_bdev_close(&first);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(try_file(&f, "a", "", IOMAP_BDEV_EXCLUSIVE), -EBUSY);
	iomap_bdev_close(&first);
	stop(&f);
	close(fd);
}

CASE(unreadable_files_say_so, "", "Permission denied is -EACCES with the path's report")
{
	struct fixture f;
	char path[128];

	start(&f);
	t_temp_path(path, sizeof(path), "a");
	close(open(path, O_CREAT | O_RDWR, 0600));
	chmod(path, 0);
	chmod(t_temp_dir(), 0755);
	if (!geteuid())
		ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_int_eq(try_file(&f, "a", "", 0), -EACCES);
	ck_assert_str_eq(f.t.last_field, "path");
	if (!getuid())
		ck_assert_int_eq(seteuid(0), 0);
	stop(&f);
}

/* ---- block devices ---- */

CASE(a_block_device_is_a_device, "", "Its size and data, zeroes and discards, and held exclusively")
{
	struct iomap_bdev_opts exclusive = { .struct_size = sizeof(exclusive),
					     .flags = IOMAP_BDEV_EXCLUSIVE };
	uint8_t *in = t_buffer(64 * KB, 5), *out = t_buffer(64 * KB, 0);
	struct iomap_bdev *first;
	struct t_loop loop;
	struct fixture f;
	unsigned reports;
	char spec[64];

	if (t_loop_start(&loop, 8192 * KB, 512))
		t_skip("no loop device to be had");
	start(&f);
	snprintf(spec, sizeof(spec), "auto:%s", loop.path);
	ck_assert_int_eq(try_open(&f, spec, IOMAP_BDEV_EXCLUSIVE), 0);
	ck_assert_uint_eq(size_of(f.bdev), 8192 * KB);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_WRITE, 4096 * KB, in, 64 * KB, IOMAP_BIO_FUA), 0);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_WRITE_ZEROES, 4112 * KB, NULL, 8 * KB, 0), 0);
	ck_assert_int_eq(iomap_bdev_flush(f.bdev, UINT64_MAX), 0);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_READ, 4096 * KB, out, 64 * KB, 0), 0);
	ck_assert_mem_eq(out, in, 16 * KB);
	ck_assert(t_is_zero(out + 16 * KB, 8 * KB));
	ck_assert_mem_eq(out + 24 * KB, in + 24 * KB, 40 * KB);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_DISCARD, 4096 * KB, NULL, 64 * KB, 0), 0);
	first = f.bdev;
	ck_assert_int_eq(try_open(&f, spec, IOMAP_BDEV_EXCLUSIVE), -EBUSY);
	iomap_bdev_close(&first);
	snprintf(spec, sizeof(spec), "auto:%s,size=1g", loop.path);
	ck_assert_int_eq(try_open(&f, spec, 0), -EINVAL);	/* it cannot be made longer */
	ck_assert_str_eq(f.t.last_field, "size");
	/* Only an open can hold it: told once, not by each backend there is. */
	reports = f.t.nr_reports;
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, loop.fd, &exclusive, &f.bdev), -ENOTSUP);
	ck_assert_uint_eq(f.t.nr_reports, reports + 1);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, loop.fd, NULL, &f.bdev), 0);
	ck_assert_uint_eq(size_of(f.bdev), 8192 * KB);
	stop(&f);
	t_loop_stop(&loop);
}

/* ---- no room ---- */

CASE(a_full_disk_is_named, "", "-ENOSPC through end_io and in the report; what fitted is written")
{
	uint8_t *mem = t_buffer(2048 * KB, 9), *out = t_buffer(512 * KB, 0);
	struct fixture f;
	char spec[128];
	int rc, status;

	if (geteuid() || mount("none", t_temp_dir(), "tmpfs", 0, "size=1m")) {
		t_temp_remove();
		t_skip("needs root to mount a small tmpfs");
	}
	start(&f);
	snprintf(spec, sizeof(spec), "auto:%s/a,create,size=4m", t_temp_dir());
	rc = try_open(&f, spec, 0);
	umount2(t_temp_dir(), MNT_DETACH);		/* lives on while the file is open */
	t_temp_remove();
	ck_assert_int_eq(rc, 0);
	status = t_io(f.bdev, IOMAP_BIO_WRITE, 0, mem, 2048 * KB, 0);
	ck_assert_int_eq(status, -ENOSPC);
	ck_assert_ptr_eq(strstr(iomap_ioq_reason(f.ioq), f.t.last_callback),
			 iomap_ioq_reason(f.ioq));
	ck_assert_str_eq(f.t.last_field, "write");
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_READ, 0, out, 512 * KB, 0), 0);
	ck_assert(t_is_filled(out, 512 * KB, 9));
	stop(&f);
}

CASE(a_file_size_limit_is_named, "", "-EFBIG where the limit of the process ends the file")
{
	struct rlimit limit = { 64 * KB, 64 * KB };
	uint8_t *mem = t_buffer(64 * KB, 9), *out = t_buffer(16 * KB, 0);
	struct fixture f;

	start(&f);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(try_file(&f, "a", ",create,size=128k", 0), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_WRITE, 48 * KB, mem, 64 * KB, 0), -EFBIG);
	ck_assert_str_eq(f.t.last_field, "write");
	/* The call was short first and went on from the right place: what fitted is there. */
	ck_assert_int_eq(t_io(f.bdev, IOMAP_BIO_READ, 48 * KB, out, 16 * KB, 0), 0);
	ck_assert(t_is_filled(out, 16 * KB, 9));
	iomap_bdev_close(&f.bdev);
	ck_assert_int_eq(try_file(&f, "b", ",create,size=1m", 0), -EFBIG);
	ck_assert_str_eq(f.t.last_field, "size");
	stop(&f);
}

/* ---- no memory ---- */

static int open_all(struct t_env *t, const char *file)
{
	struct iomap_ioq *ioq = NULL;
	struct iomap_bdev *bdevs[3] = { NULL };
	const char *specs[3] = { "null:1m", "mem:a", file };
	int rc = iomap_ioq_new(t->env, NULL, &ioq);

	for (unsigned i = 0; i < 3 && !rc; i++)
		rc = iomap_bdev_open(ioq, specs[i], NULL, &bdevs[i]);
	for (unsigned i = 0; i < 3; i++)
		iomap_bdev_close(&bdevs[i]);
	iomap_ioq_delete(&ioq);
	return rc;
}

CASE(every_allocation_may_fail, "", "-ENOMEM at each ordinal of new and open, and nothing leaks")
{
	unsigned failures = 0;
	char path[128], spec[160];
	struct t_env t;

	t_temp_path(path, sizeof(path), "a");
	snprintf(spec, sizeof(spec), "auto:%s,create,size=64k", path);
	for (unsigned k = 1;; k++) {
		uint64_t live;
		int rc;

		t_env_start(&t, NULL);
		live = t.nr_live;
		t.fail_at = k;
		rc = open_all(&t, spec);
		ck_assert_uint_eq(t.nr_live, live);
		t_env_stop(&t);
		if (!rc)
			break;
		ck_assert_int_eq(rc, -ENOMEM);
		failures++;
	}
	t_temp_remove();
	ck_assert_uint_ge(failures, 8);
}

CASE(a_queue_keeps_the_name_of_its_backend, "", "The string in its options may go at once")
{
	char name[] = "null";
	const struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .backend = name };
	struct fixture f = { .bdev = NULL };

	t_env_start(&f.t, NULL);
	ck_assert_int_eq(iomap_ioq_new(f.t.env, &opts, &f.ioq), 0);
	memset(name, 'x', sizeof(name) - 1);
	ck_assert_int_eq(iomap_bdev_open_fd(f.ioq, 0, NULL, &f.bdev), 0);
	stop(&f);
}

CASE(bad_options_are_refused, "", "An ioq with flags, sizes, depths or names that cannot be")
{
	struct iomap_ioq_opts opts = { .struct_size = 3 };
	struct iomap_ioq *ioq;
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_ioq_new(t.env, &opts, &ioq), -EINVAL);
	opts = (struct iomap_ioq_opts){ .struct_size = sizeof(opts), .flags = 1 << 7 };
	ck_assert_int_eq(iomap_ioq_new(t.env, &opts, &ioq), -EINVAL);
	opts = (struct iomap_ioq_opts){ .struct_size = sizeof(opts), .depth = 1u << 30 };
	ck_assert_int_eq(iomap_ioq_new(t.env, &opts, &ioq), -EINVAL);
	opts = (struct iomap_ioq_opts){ .struct_size = sizeof(opts),
					.backend = "a-scheme-much-too-long-to-be-one" };
	ck_assert_int_eq(iomap_ioq_new(t.env, &opts, &ioq), -EINVAL);
	ck_assert_ptr_null(ioq);
	t_env_stop(&t);
}

MAIN()
