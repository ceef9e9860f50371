/* SPDX-License-Identifier: MIT */
/*
 * test_event_fd.c - the one descriptor of an ioq: who sleeps on it misses nothing, and it is quiet
 * when there is nothing to do.
 *
 * The loops here call nothing but iomap_ioq_poll with min 0, and that only when the descriptor is
 * readable.
 */
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/thread.h"

#define KB 1024u

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, timeout_ms) == 1;
}

static void await(int fd)
{
	ck_assert_msg(is_readable(fd, 3000 * (int)t_scale()), "the descriptor says nothing");
}

/* A ring may have had news for the library alone: once or twice. */
static void check_quiet(struct iomap_ioq *ioq, int fd)
{
	for (unsigned i = 0; is_readable(fd, 0); i++) {
		ck_assert_msg(i < 8, "readable with nothing to do");
		ck_assert_int_eq(iomap_ioq_poll(ioq, 0, 16, 0), 0);
	}
}

/* Until that many have ended. */
static void loop(struct iomap_ioq *ioq, int fd, unsigned nr, unsigned max)
{
	while (nr) {
		int n;

		await(fd);
		n = iomap_ioq_poll(ioq, 0, max, 0);
		ck_assert_int_ge(n, 0);
		ck_assert_uint_le((unsigned)n, nr);
		nr -= (unsigned)n;
	}
	check_quiet(ioq, fd);
}

/* nr writes of one block each, to blocks 0.. */
static struct t_bio *writes(struct iomap_bdev *bdev, unsigned nr)
{
	struct t_bio *b = calloc(nr, sizeof(*b));
	uint8_t *mem = t_buffer(4 * KB, 1);

	for (unsigned i = 0; i < nr; i++)
		t_bio_init(&b[i], bdev, IOMAP_BIO_WRITE, i * 4ull * KB, mem, 4 * KB);
	return b;
}

static void submit(struct t_bio *b, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		iomap_bio_submit(&b[i].bio);
}

static void check_ends(const struct t_bio *b, unsigned nr, int status)
{
	for (unsigned i = 0; i < nr; i++) {
		ck_assert_uint_eq(b[i].nr_ends, 1);
		ck_assert_int_eq(b[i].status, status);
	}
}

/* The simulator has none: its time does not pass while this process sleeps. */
static int event_fd_of(struct t_device *d, int kind)
{
	int fd = iomap_ioq_event_fd(d->ioq);

	if (kind == T_SIM)
		ck_assert_int_eq(fd, -ENOSYS);
	else
		ck_assert_int_ge(fd, 0);
	return fd;
}

#define each_event_fd(d, kind, fd) \
	each_device((d), (kind)) \
		if (((fd) = event_fd_of((d), (kind))) < 0) \
			t_device_stop(d); \
		else

CASE(an_event_loop_misses_nothing, "O44", "More than fit, of all kinds, a few at a time, all end")
{
	struct t_device d;
	int kind, fd;

	each_event_fd(&d, kind, fd) {
		struct t_bio *b = writes(d.bdev, 600);

		check_quiet(d.ioq, fd);
		for (unsigned i = 0; i < 600; i++) {
			if (i % 7 == 3)
				b[i].bio.flags = IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA;
			b[i].bio.priority = i & 1;
		}
		submit(b, 600);
		loop(d.ioq, fd, 600, 3);
		check_ends(b, 600, 0);
		ck_assert_int_eq(iomap_ioq_event_fd(d.ioq), fd);
		free(b);
		t_device_stop(&d);
	}
}

CASE(refused_bios_are_events, "O44", "No backend knows of them; one that ends early, neither")
{
	struct t_device d;
	int kind, fd;

	each_event_fd(&d, kind, fd) {
		struct t_bio *b = writes(d.bdev, 3);

		for (unsigned i = 0; i < 3; i++)
			b[i].bio.addr = 1;
		submit(b, 3);
		loop(d.ioq, fd, 3, 2);
		check_ends(b, 3, -EINVAL);
		t_bio_init(&b[0], d.bdev, IOMAP_BIO_WRITE, 0, NULL, 0);
		submit(b, 1);
		loop(d.ioq, fd, 1, 2);
		check_ends(b, 1, 0);
		free(b);
		t_device_stop(&d);
	}
}

CASE(what_is_under_way_is_no_event, "", "A device that takes its time leaves the loop asleep")
{
	struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .depth = 2 };
	struct t_device d;
	struct t_bio *b;
	int fd;

	t_device_start_mem(&d, "", &opts);
	fd = iomap_ioq_event_fd(d.ioq);
	ck_assert_int_ge(fd, 0);
	t_mem_hold(d.mem, true);
	b = writes(d.bdev, 3);
	submit(b, 3);				/* one of them is parked */
	ck_assert(!is_readable(fd, 20));
	iomap_bio_cancel(&b[2].bio);
	loop(d.ioq, fd, 1, 8);
	ck_assert_int_eq(b[2].status, -ECANCELED);
	ck_assert(!is_readable(fd, 20));
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	loop(d.ioq, fd, 2, 8);
	free(b);
	t_device_stop(&d);
}

CASE(busy_devices_are_events, "O44", "Nothing is under way that could end: it is asked again")
{
	struct t_device d;
	struct t_bio *b;
	int fd;

	t_device_start_mem(&d, "", NULL);
	fd = iomap_ioq_event_fd(d.ioq);
	ck_assert_int_ge(fd, 0);
	t_mem_busy(d.mem, 5);
	b = writes(d.bdev, 2);
	submit(b, 2);
	loop(d.ioq, fd, 2, 8);
	check_ends(b, 2, 0);
	free(b);
	t_device_stop(&d);
}

/* ---- who runs callbacks ---- */

CASE(manual_callbacks_are_events, "O44", "As long as some wait to be run, and no longer")
{
	const struct iomap_env_opts opts = { .struct_size = sizeof(opts),
					     .callbacks = IOMAP_CALLBACKS_MANUAL };
	static const char *const specs[] = { "null:16m", "mem:m", "mem:m,max=1k" };

	for (unsigned k = 0; k < 3; k++) {
		struct t_device d = { .mem = NULL };
		struct t_bio *b;
		int fd;

		t_env_start(&d.t, &opts);
		ck_assert_int_eq(iomap_ioq_new(d.t.env, NULL, &d.ioq), 0);
		ck_assert_int_eq(iomap_bdev_open(d.ioq, specs[k], NULL, &d.bdev), 0);
		fd = iomap_ioq_event_fd(d.ioq);
		ck_assert_int_ge(fd, 0);
		b = writes(d.bdev, 6);
		submit(b, 6);
		while (iomap_ioq_poll(d.ioq, 0, 8, 0) > 0)
			;
		for (unsigned i = 0; i < 6; i++) {
			await(fd);
			ck_assert_int_eq(iomap_env_run_callbacks(d.t.env, 1), 1);
		}
		check_quiet(d.ioq, fd);
		check_ends(b, 6, 0);
		free(b);
		t_device_stop(&d);
	}
}

/* ---- many ---- */

CASE(several_backends_have_one_event_fd, "O44", "Those that come after it was asked for, too")
{
	static const char *const specs[] = { "null:16m", "mem:a", "auto:", "mem:b" };
	struct iomap_bdev *bdevs[4];
	struct iomap_ioq *ioq;
	struct t_bio *b[4];
	char path[128], spec[192];
	struct t_env t;
	int fd = -1;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
	t_temp_path(path, sizeof(path), "a");
	snprintf(spec, sizeof(spec), "auto:%s,create,size=16m", path);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 1)
			fd = iomap_ioq_event_fd(ioq);
		ck_assert_int_eq(iomap_bdev_open(ioq, i == 2 ? spec : specs[i], NULL, &bdevs[i]),
				 0);
	}
	t_temp_remove();
	ck_assert_int_ge(fd, 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 4; i++) {
			b[i] = writes(bdevs[i], 20);
			submit(b[i], 20);
		}
		loop(ioq, fd, 80, 7);
		for (unsigned i = 0; i < 4; i++) {
			check_ends(b[i], 20, 0);
			free(b[i]);
		}
	}
	for (unsigned i = 0; i < 4; i++)
		iomap_bdev_close(&bdevs[i]);
	iomap_ioq_delete(&ioq);
	t_env_stop(&t);
}

#define NR_DEVICES 1000

static struct iomap_bdev *open_many(struct iomap_ioq *ioq, const char *scheme,
				    struct iomap_bdev **bdevs)
{
	char path[128], spec[192];

	t_temp_path(path, sizeof(path), "a");
	snprintf(spec, sizeof(spec), "%s:%s,create,size=16m", scheme, path);
	for (unsigned i = 0; i < NR_DEVICES; i++) {
		int rc = iomap_bdev_open(ioq, spec, NULL, &bdevs[i]);

		if (!i && rc == -ENOTSUP)
			return NULL;
		ck_assert_int_eq(rc, 0);
	}
	return bdevs[0];
}

CASE(a_thousand_devices_have_one_event_fd, "", "A write on each, one loop")
{
	static const char *const schemes[] = { "file", "aio", "uring" };
	static struct iomap_bdev *bdevs[NR_DEVICES];
	struct rlimit limit = { 4096, 4096 };

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < NR_DEVICES + 100)
		t_skip("this process may not have a thousand descriptors");
	for (unsigned k = 0; k < 3; k++) {
		struct iomap_ioq *ioq;
		struct t_env t;

		t_env_start(&t, NULL);
		ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
		if (open_many(ioq, schemes[k], bdevs)) {
			struct t_bio *b = writes(bdevs[0], NR_DEVICES);
			int fd = iomap_ioq_event_fd(ioq);

			ck_assert_int_ge(fd, 0);
			for (unsigned i = 0; i < NR_DEVICES; i++)
				b[i].bio.bdev = bdevs[i];
			submit(b, NR_DEVICES);
			loop(ioq, fd, NR_DEVICES, 64);
			check_ends(b, NR_DEVICES, 0);
			free(b);
		}
		t_temp_remove();
		for (unsigned i = 0; i < NR_DEVICES; i++)
			iomap_bdev_close(&bdevs[i]);
		iomap_ioq_delete(&ioq);
		t_env_stop(&t);
	}
}

/* ---- bound to a thread ---- */

struct guest {
	struct t_device *d;
	struct t_bio *b;
	int rc;
};

static void *be_guest(void *arg)
{
	struct guest *g = arg;

	g->rc = iomap_ioq_event_fd(g->d->ioq);
	submit(g->b, 4);
	while (__atomic_load_n(&g->b[3].nr_ends, __ATOMIC_ACQUIRE) == 0)
		t_settle();
	iomap_bdev_close(&g->d->bdev);
	return NULL;
}

static bool is_over(pthread_t thread)
{
	return pthread_tryjoin_np(thread, NULL) == 0;
}

CASE(guests_wake_the_event_loop_of_the_owner, "O44",
     "It sleeps on the descriptor; what they submit and close is done by its next poll")
{
	struct iomap_ioq_opts opts = { .struct_size = sizeof(opts),
				       .flags = IOMAP_IOQ_SINGLE_ISSUER };
	struct guest g = { .d = NULL };
	struct t_device d;
	pthread_t thread;
	unsigned nr = 0;
	int fd;

	t_device_start_mem(&d, "", &opts);
	fd = iomap_ioq_event_fd(d.ioq);
	ck_assert_int_ge(fd, 0);
	g = (struct guest){ .d = &d, .b = writes(d.bdev, 4) };
	thread = t_thread(be_guest, &g);
	while (nr < 4) {
		await(fd);
		nr += (unsigned)iomap_ioq_poll(d.ioq, 0, 8, 0);
	}
	await(fd);			/* the guest closes */
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 0);
	for (unsigned i = 0; !is_over(thread); i++) {
		ck_assert_uint_lt(i, 1000 * t_scale());
		t_settle();
	}
	check_quiet(d.ioq, fd);
	ck_assert_int_eq(g.rc, -EPERM);
	check_ends(g.b, 4, 0);
	ck_assert_uint_eq(t_mem_calls().strange, 0);
	free(g.b);
	t_device_stop(&d);
}

/* ---- no room ---- */

CASE(an_event_fd_that_cannot_be_made, "", "-EMFILE, nothing is left open, and it may be had later")
{
	struct rlimit limit, none;
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		int next = dup(0), fd;

		close(next);
		getrlimit(RLIMIT_NOFILE, &limit);
		for (int room = 0; room < 2; room++) {
			none = limit;
			none.rlim_cur = (rlim_t)(next + room);
			ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
			ck_assert_int_eq(iomap_ioq_event_fd(d.ioq), -EMFILE);
			ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		}
		fd = event_fd_of(&d, kind);
		ck_assert(fd < 0 || fd == next);
		t_device_stop(&d);
	}
}

MAIN()
