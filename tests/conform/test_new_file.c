/* SPDX-License-Identifier: MIT */
/*
 * test_new_file.c - a device file that did not exist: its name has to be as durable as what a flush
 * promises of its content.
 *
 * The library's fsync and syncfs are the ones below, which note what they were asked for.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/devices.h"

static unsigned nr_dirs, nr_file_systems;	/* that were synced */
static ino_t last_dir;
static int dir_error;				/* of the next directory */
static char file[128];				/* and whether it is there by then */
static bool was_there;

int fsync(int fd)
{
	struct stat st, made;

	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		nr_dirs++;
		last_dir = st.st_ino;
		was_there = !stat(file, &made);
		if (dir_error) {
			errno = dir_error;
			return -1;
		}
	}
	return (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
	(void)fd;		/* the machine's other files are none of ours */
	nr_file_systems++;
	return 0;
}

static ino_t inode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_ino;
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

/* On a device of each kind that is a file, here. */
static void try_all(void (*story)(struct t_device *d, enum t_device_kind kind))
{
	static const enum t_device_kind kinds[] = {
		T_FILE, T_FILE_BUFFERED, T_AIO, T_URING, T_AUTO,
	};
	unsigned nr = 0;

	t_temp_path(file, sizeof(file), "new");
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		struct t_device d;
		int rc = t_device_try(&d, kinds[k], "/nowhere/at/all", 0);

		if (rc != -ENOTSUP) {	/* it is here, and looked for that file */
			ck_assert_int_eq(rc, -ENOENT);
			nr_dirs = nr_file_systems = 0;
			dir_error = 0;
			was_there = false;
			unlink(file);
			story(&d, kinds[k]);
			nr++;
		}
		t_device_stop(&d);
	}
	t_temp_remove();
	ck_assert_uint_gt(nr, 0);
}

static int open_it(struct t_device *d, enum t_device_kind kind, const char *path)
{
	const struct iomap_bdev_opts opts = {
		.struct_size = sizeof(opts),
		.flags = kind == T_FILE_BUFFERED ? IOMAP_BDEV_BUFFERED : 0,
	};
	char spec[256];

	snprintf(spec, sizeof(spec), "%s:%s,create,size=64k", t_device_scheme(kind), path);
	return iomap_bdev_open(d->ioq, spec, &opts, &d->bdev);
}

static void is_durable(struct t_device *d, enum t_device_kind kind)
{
	ck_assert_int_eq(open_it(d, kind, file), 0);
	ck_assert_uint_eq(nr_dirs, 1);
	ck_assert_uint_eq(last_dir, inode_of(t_temp_dir()));
	ck_assert(was_there);
	iomap_bdev_close(&d->bdev);
	ck_assert_int_eq(open_it(d, kind, file), 0);	/* it has its name already */
	ck_assert_uint_eq(nr_dirs, 1);
	ck_assert_uint_eq(nr_file_systems, 0);
}

CASE(a_new_file_keeps_its_name, "I166", "Its directory is synced before the open returns, once")
{
	try_all(is_durable);
}

static void is_durable_here(struct t_device *d, enum t_device_kind kind)
{
	ck_assert_int_eq(chdir(t_temp_dir()), 0);
	ck_assert_int_eq(open_it(d, kind, "new"), 0);
	ck_assert_uint_eq(nr_dirs, 1);
	ck_assert_uint_eq(last_dir, inode_of(t_temp_dir()));
	ck_assert_int_eq(chdir("/"), 0);
}

CASE(a_path_without_a_directory, "I166", "The file is in the directory where the process is")
{
	try_all(is_durable_here);
}

/* The file is where the link says, in another directory. */
static void is_elsewhere(struct t_device *d, enum t_device_kind kind)
{
	char link[128], dir[128], there[160];

	t_temp_path(link, sizeof(link), "link");
	t_temp_path(dir, sizeof(dir), "there");
	snprintf(there, sizeof(there), "%s/new", dir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(symlink(there, link), 0);
	ck_assert_int_eq(open_it(d, kind, link), 0);
	ck_assert_uint_eq(nr_file_systems, 1);
	iomap_bdev_close(&d->bdev);
	unlink(there);
	rmdir(dir);
	unlink(link);
}

CASE(a_link_to_nothing_is_made_durable_too, "I166",
     "The directory of the link is not the file's: the whole file system is synced")
{
	try_all(is_elsewhere);
}

static void is_refused(struct t_device *d, enum t_device_kind kind)
{
	unsigned reports = d->t.nr_reports;

	dir_error = EIO;
	ck_assert_int_eq(open_it(d, kind, file), -EIO);
	ck_assert_uint_eq(d->t.nr_reports, reports + 1);
	ck_assert_str_eq(d->t.last_field, "path");
	ck_assert(!exists(file));
	dir_error = EINVAL;		/* a file system that has no such thing */
	ck_assert_int_eq(open_it(d, kind, file), 0);
	ck_assert_uint_eq(nr_file_systems, 1);
}

CASE(a_name_that_may_be_lost, "I166", "The open fails, and leaves no file behind")
{
	try_all(is_refused);
}

MAIN()
