/* SPDX-License-Identifier: MIT */
/*
 * test_limits.c - what a device says of itself is what the kernel says, and requests keep to it.
 *
 * Loop devices, whose queues can be told to be other than they are.
 */
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/mount.h"

#define KB 1024u
#define SIZE (8192 * KB)

static const enum t_device_kind kinds[] = { T_FILE, T_THREAD, T_AIO, T_URING, T_AUTO };
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* False: the kind is not here. */
static bool start(struct t_device *d, enum t_device_kind kind, const char *path, unsigned flags)
{
	int rc = t_device_try(d, kind, path, flags);

	if (!rc)
		return true;
	ck_assert_int_eq(rc, -ENOTSUP);
	t_device_stop(d);
	return false;
}

#define each_kind(d, path) \
	for (unsigned k_ = 0; k_ < NR_KINDS; k_++) \
		if (start((d), kinds[k_], (path), 0))

CASE(limits_are_the_devices, "", "Size, blocks, alignment and what it can do, of each block size")
{
	static const uint32_t blocks[] = { 512, 1024, 4096 };

	if (access("/sys/dev/block", F_OK))
		t_skip("no /sys to learn limits from");
	for (unsigned i = 0; i < 3; i++) {
		struct t_loop loop;
		struct t_device d;

		if (t_loop_start(&loop, SIZE, blocks[i]))
			t_skip("no loop device to be had");
		each_kind(&d, loop.path) {
			ck_assert_uint_eq(d.limits.size, SIZE);
			ck_assert_uint_eq(d.limits.logical_block, blocks[i]);
			ck_assert_uint_eq(d.limits.physical_block, blocks[i]);
			ck_assert_uint_le(d.limits.memory_align, blocks[i]);
			ck_assert_uint_eq(d.limits.caps, IOMAP_CAP_VOLATILE_CACHE |
					  IOMAP_CAP_DISCARD | IOMAP_CAP_WRITE_ZEROES);
			ck_assert_uint_eq(d.limits.atomic_max, 0);
			t_device_stop(&d);
		}
		t_loop_stop(&loop);
	}
}

CASE(a_changed_queue_is_seen, "", "Its largest transfer, and that its cache is not volatile")
{
	struct t_loop loop;
	struct t_device d;

	if (t_loop_start(&loop, SIZE, 4096) || t_loop_set(&loop, "max_sectors_kb", "64"))
		t_skip("no loop device to be had");
	each_kind(&d, loop.path) {
		ck_assert_uint_eq(d.limits.max_bytes, 64 * KB);
		ck_assert_uint_lt(d.limits.max_segs, 1024);
		ck_assert(d.limits.caps & IOMAP_CAP_VOLATILE_CACHE);
		t_device_stop(&d);
	}
	ck_assert_int_eq(t_loop_set(&loop, "max_sectors_kb", "128"), 0);
	ck_assert_int_eq(t_loop_set(&loop, "write_cache", "write through"), 0);
	each_kind(&d, loop.path) {
		ck_assert_uint_eq(d.limits.max_bytes, 128 * KB);
		ck_assert(!(d.limits.caps & IOMAP_CAP_VOLATILE_CACHE));
		t_device_stop(&d);
	}
	/* The kernel's cache is volatile whatever is below it, and takes any length. */
	ck_assert(start(&d, T_AUTO, loop.path, IOMAP_BDEV_BUFFERED));
	ck_assert(d.limits.caps & IOMAP_CAP_VOLATILE_CACHE);
	ck_assert_uint_gt(d.limits.max_bytes, 1 << 20);
	t_device_stop(&d);
	t_loop_stop(&loop);
}

/* Requests of that type that went out since the trace began. */
static unsigned nr_queued(const struct t_device *d, enum iomap_bio_op op)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < d->t.nr_trace; i++)
		nr += d->t.trace[i].event == IOMAP_TRACE_BIO_QUEUE && d->t.trace[i].type == op;
	return nr;
}

CASE(no_request_is_longer_than_the_device_takes, "O27",
     "A megabyte goes out in parts that end on multiples of its grain")
{
	uint8_t *mem = t_buffer(1024 * KB, 6), *out = t_buffer(1024 * KB, 1);
	struct t_loop loop;
	struct t_device d;

	if (t_loop_start(&loop, SIZE, 4096) || t_loop_set(&loop, "max_sectors_kb", "64"))
		t_skip("no loop device to be had");
	each_kind(&d, loop.path) {
		struct t_bio b;

		t_env_trace(&d.t);
		t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 128 * KB, mem, 960 * KB);
		b.bio.grain = 24 * KB;
		iomap_bio_submit(&b.bio);
		ck_assert_int_eq(iomap_ioq_drain(d.ioq, IOMAP_FOREVER), 0);
		ck_assert_int_eq(b.status, 0);
		ck_assert_uint_eq(nr_queued(&d, IOMAP_BIO_WRITE), 20);
		for (unsigned i = 0; i < d.t.nr_trace; i++) {
			const struct iomap_trace_record *r = &d.t.trace[i];

			if (r->event != IOMAP_TRACE_BIO_QUEUE)
				continue;
			ck_assert_uint_eq(r->len, 48 * KB);
			ck_assert_uint_eq((r->addr - 128 * KB) % (24 * KB), 0);
		}
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 128 * KB, out, 960 * KB, 0), 0);
		ck_assert_mem_eq(out, mem, 960 * KB);
		t_device_stop(&d);
	}
	t_loop_stop(&loop);
}

CASE(zeroes_are_longer_than_transfers, "",
     "A discard and a write of zeroes go out whole, however short a transfer has to be")
{
	uint8_t *mem = t_buffer(1024 * KB, 6);
	struct t_loop loop;
	struct t_device d;

	if (t_loop_start(&loop, SIZE, 4096) || t_loop_set(&loop, "max_sectors_kb", "64"))
		t_skip("no loop device to be had");
	each_kind(&d, loop.path) {
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 1024 * KB, 0), 0);
		t_env_trace(&d.t);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_DISCARD, 0, NULL, 512 * KB, 0), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE_ZEROES, 512 * KB, NULL,
				      SIZE - 512 * KB, 0), 0);
		ck_assert_uint_eq(t_env_count(&d.t, IOMAP_TRACE_BIO_QUEUE), 2);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 0, mem, 1024 * KB, 0), 0);
		ck_assert(t_is_zero(mem, 1024 * KB));
		t_device_stop(&d);
	}
	t_loop_stop(&loop);
}

CASE(fua_is_what_the_device_has, "",
     "Without it a write and a flush; where nothing is volatile a write, and a flush is free")
{
	uint8_t *mem = t_buffer(4 * KB, 6);
	struct t_loop loop;
	struct t_device d;

	if (access("/sys/dev/block", F_OK))
		t_skip("no /sys to learn limits from");
	if (t_loop_start(&loop, SIZE, 4096))
		t_skip("no loop device to be had");
	each_kind(&d, loop.path) {
		t_env_trace(&d.t);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, IOMAP_BIO_FUA), 0);
		ck_assert_uint_eq(nr_queued(&d, IOMAP_BIO_WRITE), 1);
		ck_assert_uint_eq(nr_queued(&d, IOMAP_BIO_FLUSH), 1);
		t_device_stop(&d);
	}
	if (t_loop_set(&loop, "write_cache", "write through"))
		t_skip("the write cache of a loop device cannot be changed");
	each_kind(&d, loop.path) {
		t_env_trace(&d.t);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, IOMAP_BIO_FUA), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
		ck_assert_uint_eq(nr_queued(&d, IOMAP_BIO_WRITE), 1);
		ck_assert_uint_eq(nr_queued(&d, IOMAP_BIO_FLUSH), 0);
		t_device_stop(&d);
	}
	t_loop_stop(&loop);
}

/* Over a file that can have no holes. */
static int start_without_discards(struct t_loop *loop, struct t_mount *mount)
{
	char path[128];
	int fd, rc = t_mount_start(mount, "ramfs", SIZE);

	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/a", mount->dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	rc = t_loop_start_on(loop, fd, 4096);
	close(fd);
	if (rc)
		t_mount_stop(mount);
	return rc;
}

CASE(a_device_without_discards_refuses_them, "", "By name; zeros are written all the same")
{
	uint8_t *mem = t_buffer(64 * KB, 6);
	struct t_mount mount;
	struct t_loop loop;
	struct t_device d;

	if (start_without_discards(&loop, &mount))
		t_skip("no loop device or no ramfs to be had");
	each_kind(&d, loop.path) {
		ck_assert(!(d.limits.caps & IOMAP_CAP_DISCARD));
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 64 * KB, 0), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_DISCARD, 0, NULL, 64 * KB, 0),
				 -EOPNOTSUPP);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE_ZEROES, 0, NULL, 64 * KB, 0), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 0, mem, 64 * KB, 0), 0);
		ck_assert(t_is_zero(mem, 64 * KB));
		t_device_stop(&d);
	}
	t_loop_stop(&loop);
	t_mount_stop(&mount);
}

/* A partition of the second half, as the kernel names it: "/dev/loop7p1". */
static int add_partition(const struct t_loop *loop, char *path, size_t size)
{
	struct blkpg_partition part = { .start = SIZE / 2, .length = SIZE / 2, .pno = 1 };
	struct blkpg_ioctl_arg arg = { .op = BLKPG_ADD_PARTITION, .datalen = sizeof(part),
				       .data = &part };
	struct loop_info64 info;

	snprintf(path, size, "%sp1", loop->path);
	if (ioctl(loop->fd, LOOP_GET_STATUS64, &info))
		return -errno;
	info.lo_flags |= LO_FLAGS_PARTSCAN;
	if (ioctl(loop->fd, LOOP_SET_STATUS64, &info) || ioctl(loop->fd, BLKPG, &arg))
		return -errno;
	return access(path, F_OK) ? -errno : 0;
}

CASE(a_partition_has_its_disks_limits, "", "Its size is its own, its queue the disk's")
{
	struct t_loop loop;
	struct t_device d;
	char path[64];

	if (t_loop_start(&loop, SIZE, 4096) || t_loop_set(&loop, "max_sectors_kb", "64"))
		t_skip("no loop device to be had");
	if (add_partition(&loop, path, sizeof(path))) {
		t_loop_stop(&loop);
		t_skip("no partitions on loop devices");
	}
	each_kind(&d, path) {
		ck_assert_uint_eq(d.limits.size, SIZE / 2);
		ck_assert_uint_eq(d.limits.logical_block, 4096);
		ck_assert_uint_eq(d.limits.max_bytes, 64 * KB);
		ck_assert(!(d.limits.caps & IOMAP_CAP_FUA));
		t_device_stop(&d);
	}
	t_loop_stop(&loop);
}

/* One atomic write of 16 KiB in that many runs: its status. */
static int write_atomic(struct t_device *d, uint8_t *mem, unsigned nr_runs)
{
	struct t_bio b;

	t_bio_init(&b, d->bdev, IOMAP_BIO_WRITE, 16 * KB, mem, 16 * KB / nr_runs);
	for (unsigned i = 1; i < nr_runs; i++)
		iomap_bio_add(&b.bio, mem + i * 16 * KB, 16 * KB / nr_runs, NULL);
	b.bio.flags = IOMAP_BIO_ATOMIC;
	iomap_bio_submit(&b.bio);
	ck_assert_int_eq(iomap_ioq_drain(d->ioq, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(b.nr_ends, 1);
	return b.status;
}

CASE(atomic_writes_are_what_the_file_takes, "",
     "From any memory, registered or not; of more runs than it takes they are refused by name")
{
	uint8_t *mem = t_buffer(64 * KB, 6), *out = t_buffer(16 * KB, 1);
	struct t_mount mount;
	struct t_device d;
	char path[128];
	unsigned nr = 0;

	if (t_mount_start(&mount, "xfs", 320ull << 20))
		t_skip("no xfs on a loop device to be had");
	snprintf(path, sizeof(path), "%s/a,create,size=64k", mount.dir);
	each_kind(&d, path) {
		if (d.limits.atomic_max >= 16 * KB) {
			for (unsigned round = 0; round < 2; round++, nr++) {
				ck_assert_int_eq(write_atomic(&d, mem, 1), 0);
				ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 16 * KB, out, 16 * KB,
						      0), 0);
				ck_assert_mem_eq(out, mem, 16 * KB);
				iomap_ioq_register_memory(d.ioq, mem, 64 * KB);
			}
			ck_assert_uint_eq(d.limits.atomic_segs, 1);
			ck_assert_uint_eq(d.t.nr_reports, 0);
			ck_assert_int_eq(write_atomic(&d, mem, 4), -EINVAL);
			ck_assert_uint_eq(d.t.nr_reports, 1);
			ck_assert_str_eq(d.t.last_rule, "bio");
			ck_assert_str_eq(d.t.last_field, "nr_segs");
		}
		t_device_stop(&d);
	}
	t_mount_stop(&mount);
	if (!nr)
		t_skip("no atomic writes on this kernel's xfs");
}

CASE(a_file_is_no_block_device, "", "It grows, its cache is the kernel's, and FUA is the kernel's")
{
	char path[128];
	struct t_device d;
	int fd;

	t_temp_path(path, sizeof(path), "a");
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	each_kind(&d, path) {
		ck_assert_uint_eq(d.limits.size, SIZE);
		ck_assert_uint_eq(d.limits.caps, IOMAP_CAP_VOLATILE_CACHE | IOMAP_CAP_FUA |
				  IOMAP_CAP_DISCARD | IOMAP_CAP_WRITE_ZEROES | IOMAP_CAP_GROWS);
		ck_assert_uint_gt(d.limits.max_bytes, 1 << 20);
		t_device_stop(&d);
	}
	close(fd);
	t_temp_remove();
}

MAIN()
