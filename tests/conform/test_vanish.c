/* SPDX-License-Identifier: MIT */
/*
 * test_vanish.c - a device goes away while requests are on their way to it.
 *
 * The file system below is shut down: from then on each of its files fails, and so does a loop
 * device over one.  To the kernel that is a disk that was pulled out.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/mount.h"
#include "model/flat.h"

#define KB		1024u
#define SIZE		(4096 * KB)
#define DEPTH		32
#define BEFORE		256		/* requests that went well */
#define AFTER		512		/* that failed: more than the queue holds */
#define MAX_ENDS	200000		/* far more than it takes for a device to be found gone */

static const enum t_device_kind kinds[] = { T_FILE, T_THREAD, T_AIO, T_URING, T_AUTO };
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* ---- requests that do not stop ---- */

struct slot {
	struct t_bio b;
	uint8_t *mem;
	unsigned nr_sent, nr_seen;	/* ends that were looked at */
};
struct load {
	struct slot slots[DEPTH];
	struct t_device *d;
	uint64_t random;
	unsigned nr_good, nr_bad;
};

/* Far more than it takes, and less than the case has: who never comes back fails an assertion. */
static int64_t patience(void)
{
	return (int64_t)(10 * t_scale()) * 1000000000;
}

static struct load *load_new(struct t_device *d)
{
	struct load *l = calloc(1, sizeof(*l));

	l->d = d;
	l->random = 1;
	for (unsigned i = 0; i < DEPTH; i++)
		l->slots[i].mem = t_buffer(16 * KB, (uint8_t)i);
	return l;
}

static void send(struct load *l, struct slot *s)
{
	uint64_t r = t_rand(&l->random), addr = r % (SIZE / (16 * KB)) * 16 * KB;
	enum iomap_bio_op op = r >> 32 & 1 ? IOMAP_BIO_WRITE : IOMAP_BIO_READ;
	unsigned nr_ends = s->b.nr_ends;

	t_bio_init(&s->b, l->d->bdev, op, addr, s->mem, 16 * KB);
	s->b.nr_ends = nr_ends;
	if (op == IOMAP_BIO_WRITE && (r >> 33) % 8 == 0)
		s->b.bio.flags = IOMAP_BIO_FUA;
	s->nr_sent++;
	iomap_bio_submit(&s->b.bio);
}

/* What has ended is counted and goes out again. */
static void turn(struct load *l)
{
	for (unsigned i = 0; i < DEPTH; i++) {
		struct slot *s = &l->slots[i];
		unsigned nr_ends = __atomic_load_n(&s->b.nr_ends, __ATOMIC_ACQUIRE);

		ck_assert_uint_le(nr_ends, s->nr_sent);
		if (nr_ends != s->nr_sent)
			continue;
		if (s->nr_sent) {
			ck_assert_int_le(s->b.status, 0);
			*(s->b.status ? &l->nr_bad : &l->nr_good) += 1;
		}
		send(l, s);
	}
	ck_assert_int_gt(iomap_ioq_poll(l->d->ioq, 1, DEPTH, patience()), 0);
}

static void run_until_good(struct load *l, unsigned nr)
{
	while (l->nr_good < nr) {
		turn(l);
		ck_assert_uint_eq(l->nr_bad, 0);
	}
}

static void run_until_bad(struct load *l, unsigned nr)
{
	while (l->nr_bad < nr) {
		turn(l);
		ck_assert_uint_lt(l->nr_good, MAX_ENDS);
	}
}

/* Each request that was sent has come back, once. */
static void load_delete(struct load *l)
{
	ck_assert_int_eq(iomap_ioq_drain(l->d->ioq, patience()), 0);
	for (unsigned i = 0; i < DEPTH; i++)
		ck_assert_uint_eq(l->slots[i].b.nr_ends, l->slots[i].nr_sent);
	free(l);
}

/* ---- what goes away ---- */

static int make_file(const struct t_mount *m, char *path, size_t size)
{
	int fd;

	snprintf(path, size, "%s/a", m->dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(posix_fallocate(fd, 0, SIZE), 0);
	return fd;
}

/* False: the kind is not here. */
static bool start(struct t_device *d, enum t_device_kind kind, const char *path)
{
	int rc = t_device_try(d, kind, path, 0);

	if (!rc)
		return true;
	ck_assert_int_eq(rc, -ENOTSUP);
	t_device_stop(d);
	return false;
}

static void vanishes(struct t_device *d, struct t_mount *m)
{
	struct load *l = load_new(d);
	uint8_t *mem = t_buffer(4 * KB, 1);

	run_until_good(l, BEFORE);
	ck_assert_int_eq(t_mount_shut_down(m), 0);
	run_until_bad(l, AFTER);
	load_delete(l);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), -EIO);
	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_READ, 0, mem, 4 * KB, 0), -EIO);
	ck_assert_int_eq(iomap_bdev_flush(d->bdev, UINT64_MAX), -EIO);
	t_device_stop(d);
}

CASE_TIMEOUT(a_file_vanishes_under_load, "O20",
	     "Each request ends once, with its result or an error; what comes later is -EIO", 40)
{
	for (unsigned k = 0; k < NR_KINDS; k++) {
		struct t_mount m;
		struct t_device d;
		char path[128];

		if (t_mount_start(&m, "ext4", 16384 * KB))
			t_skip("no file system to be had");
		close(make_file(&m, path, sizeof(path)));
		if (start(&d, kinds[k], path))
			vanishes(&d, &m);
		t_mount_stop(&m);
	}
}

CASE_TIMEOUT(a_block_device_vanishes_under_load, "O20",
	     "The same with a device whose disk is gone; it can be closed and removed", 40)
{
	for (unsigned k = 0; k < NR_KINDS; k++) {
		struct t_mount m;
		struct t_loop loop;
		struct t_device d;
		char path[128];
		int fd;

		if (t_mount_start(&m, "ext4", 16384 * KB))
			t_skip("no file system to be had");
		fd = make_file(&m, path, sizeof(path));
		ck_assert_int_eq(t_loop_start_on(&loop, fd, 4096), 0);
		close(fd);
		if (start(&d, kinds[k], loop.path))
			vanishes(&d, &m);
		t_loop_stop(&loop);
		t_mount_stop(&m);
	}
}

CASE(a_device_is_detached_under_load, "O20",
     "The kernel waits until it is closed: nothing fails, and then it is gone")
{
	for (unsigned k = 0; k < NR_KINDS; k++) {
		struct t_loop loop;
		struct t_device d;
		struct load *l;

		if (t_loop_start(&loop, SIZE, 4096))
			t_skip("no loop device to be had");
		if (start(&d, kinds[k], loop.path)) {
			l = load_new(&d);
			run_until_good(l, BEFORE);
			ck_assert_int_eq(ioctl(loop.fd, LOOP_CLR_FD), 0);
			run_until_good(l, 2 * BEFORE);
			load_delete(l);
			t_device_stop(&d);
		}
		t_loop_stop(&loop);
	}
}

/* ---- through the cache ---- */

static void check_cached(struct flat *f, int64_t pos, int byte)
{
	struct iomap_folio *folio = flat_lock(f, pos);
	const uint8_t *mem = folio->mem;

	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE);
	for (unsigned i = 0; i < 4 * KB; i++)
		ck_assert_uint_eq(mem[i], byte);
	flat_unlock(folio);
}

static void cache_survives(struct t_mount *m, const char *dev)
{
	struct flat *f = flat_new(&(struct flat_opts){ .dev = dev, .size = SIZE });

	flat_dirty(f, 0, 64 * KB, 'a');
	ck_assert_int_eq(flat_sync(f), 0);
	flat_dirty(f, 0, 32 * KB, 'b');
	ck_assert_int_eq(t_mount_shut_down(m), 0);
	ck_assert_int_eq(flat_sync(f), -EIO);
	flat_settle(f);
	for (unsigned i = 0; i < 16; i++)
		check_cached(f, i * 4 * KB, i < 8 ? 'b' : 'a');
	for (unsigned i = 0; i < 8; i++)
		ck_assert(flat_flags(f, i * 4 * KB) & IOMAP_FOLIO_FAILED);
	flat_delete(&f);
}

CASE_TIMEOUT(what_was_not_written_stays_in_the_cache, "I85 H8",
	     "Sync says -EIO, and the bytes are as the client left them", 40)
{
	for (unsigned k = 0; k < NR_KINDS; k++) {
		struct t_mount m;
		struct t_device d;
		char path[128], dev[160];

		if (t_mount_start(&m, "ext4", 16384 * KB))
			t_skip("no file system to be had");
		close(make_file(&m, path, sizeof(path)));
		snprintf(dev, sizeof(dev), "%s:%s", t_device_scheme(kinds[k]), path);
		if (start(&d, kinds[k], path)) {
			t_device_stop(&d);
			cache_survives(&m, dev);
		}
		t_mount_stop(&m);
	}
}

MAIN()
