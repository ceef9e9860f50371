/* SPDX-License-Identifier: MIT */
/*
 * test_file_threads.c - "file:" on a pool of threads: who sleeps, who is woken, who is left.
 *
 * fdatasync stands here once more: a gate that holds the pool's threads in the middle of a flush.
 */
#include <dlfcn.h>
#include <poll.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/thread.h"
#include "wakeup.h"

#define KB 1024u
#define MS ((int64_t)1000000)

static bool gate_shut;			/* atomic */
static unsigned nr_at_gate;		/* atomic: all that came so far */

int fdatasync(int fd)
{
	int (*fn)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

	__atomic_add_fetch(&nr_at_gate, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&gate_shut, __ATOMIC_ACQUIRE))
		t_settle();
	return fn(fd);
}

static void shut_gate(bool shut)
{
	__atomic_store_n(&gate_shut, shut, __ATOMIC_RELEASE);
}

/* Until so many flushes have come to the gate. */
static void expect_at_gate(unsigned nr)
{
	for (unsigned i = 0; i < 1000 * t_scale(); i++) {
		if (__atomic_load_n(&nr_at_gate, __ATOMIC_ACQUIRE) >= nr)
			return;
		t_settle();
	}
	ck_abort_msg("%u of %u flushes are under way", nr_at_gate, nr);
}

static int open_file(struct t_env *t, unsigned threads, struct iomap_ioq **ioq,
		     struct iomap_bdev **bdev)
{
	struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .threads = threads };
	char path[128], spec[192];
	int rc = iomap_ioq_new(t->env, &opts, ioq);

	*bdev = NULL;
	if (rc)
		return rc;
	t_temp_path(path, sizeof(path), "device");
	snprintf(spec, sizeof(spec), "file:%s,size=1m,create", path);
	rc = iomap_bdev_open(*ioq, spec, NULL, bdev);
	t_temp_remove();
	return rc;
}

static void start(struct t_device *d, unsigned threads)
{
	memset(d, 0, sizeof(*d));
	t_env_start(&d->t, NULL);
	ck_assert_int_eq(open_file(&d->t, threads, &d->ioq, &d->bdev), 0);
}

static void submit_flushes(struct t_device *d, struct t_bio *b, unsigned nr)
{
	struct iomap_plug plug;

	iomap_plug_start(&plug, d->t.env);
	for (unsigned i = 0; i < nr; i++) {
		t_bio_init(&b[i], d->bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
		iomap_bio_submit(&b[i].bio);
	}
	iomap_plug_end(&plug);
}

CASE(the_reason_counts_the_threads, "", "\"inline\", \"1 thread\", \"4 threads\"")
{
	static const char *const words[] = { "file: inline", "file: 1 thread", NULL, NULL,
					     "file: 4 threads" };

	for (unsigned nr = 0; nr < 5; nr++) {
		struct t_device d;

		if (!words[nr])
			continue;
		start(&d, nr);
		ck_assert_str_eq(iomap_ioq_reason(d.ioq), words[nr]);
		t_device_stop(&d);
	}
}

CASE(threads_work_side_by_side, "O44",
     "As many requests are under way as there are threads, no more")
{
	struct t_device d;
	struct t_bio b[5];

	start(&d, 3);
	for (unsigned i = 0; i < 10; i++)
		t_settle();			/* the pool sleeps */
	shut_gate(true);
	submit_flushes(&d, b, 5);
	expect_at_gate(3);
	for (unsigned i = 0; i < 10; i++)
		t_settle();
	ck_assert_uint_eq(nr_at_gate, 3);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 5, 2 * MS), 0);
	shut_gate(false);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 5, 5, IOMAP_FOREVER), 5);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_eq(b[i].nr_ends, 1);
		ck_assert_int_eq(b[i].status, 0);
	}
	t_device_stop(&d);
}

static void *poll_for_one(void *arg)
{
	struct t_device *d = arg;

	ck_assert_int_eq(iomap_ioq_poll(d->ioq, 1, 1, IOMAP_FOREVER), 1);
	return NULL;
}

CASE(sleepers_are_woken, "O44",
     "An idle thread by a request, the reaper by its end, again and again")
{
	struct t_device d;
	struct t_bio b;

	start(&d, 1);
	for (unsigned i = 1; i <= 3; i++) {
		pthread_t reaper;

		for (unsigned k = 0; k < 5; k++)
			t_settle();		/* the pool's thread sleeps */
		shut_gate(true);
		submit_flushes(&d, &b, 1);
		expect_at_gate(i);
		reaper = t_thread(poll_for_one, &d);
		for (unsigned k = 0; k < 5; k++)
			t_settle();		/* and so does the reaper */
		shut_gate(false);
		t_join(reaper);
		ck_assert_uint_eq(b.nr_ends, 1);
	}
	t_device_stop(&d);
}

CASE(a_sleeping_reaper_sends_for_others, "O44",
     "What another thread submits wakes it; nothing has ended")
{
	struct t_device d;
	struct t_bio b[2];
	pthread_t reaper;

	start(&d, 2);
	shut_gate(true);
	submit_flushes(&d, b, 1);
	expect_at_gate(1);
	reaper = t_thread(poll_for_one, &d);
	for (unsigned k = 0; k < 5; k++)
		t_settle();
	submit_flushes(&d, b + 1, 1);		/* through the reaper */
	expect_at_gate(2);
	shut_gate(false);
	t_join(reaper);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
	t_device_stop(&d);
}

CASE(a_wakeup_is_remembered, "O44", "One that came before the reap ends it all the same")
{
	struct t_env t;

	t_env_start(&t, NULL);
	wake_before_reap(&iomapi_file_backend, t.env, 2);
	t_env_stop(&t);
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

CASE(the_event_fd_is_exact, "O44",
     "Readable while something has ended and is not reaped, only then")
{
	int limit = 3000 * (int)t_scale(), fd;
	struct t_device d;
	struct t_bio b[3];

	start(&d, 3);
	shut_gate(true);
	submit_flushes(&d, b, 3);
	expect_at_gate(3);
	fd = iomap_ioq_event_fd(d.ioq);		/* with three under way */
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(iomap_ioq_event_fd(d.ioq), fd);
	ck_assert(!is_readable(fd, 0));
	shut_gate(false);
	for (unsigned i = 0; i < 10; i++)
		t_settle();			/* all three have ended */
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(is_readable(fd, limit));
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 1, 0), 1);
	}
	ck_assert(!is_readable(fd, 0));
	submit_flushes(&d, b, 1);
	ck_assert(is_readable(fd, limit));
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 1, 0), 1);
	ck_assert(!is_readable(fd, 0));
	t_device_stop(&d);
}

/* ---- threads of the client's ---- */

static unsigned nr_spawned, nr_joined, spawn_fails_at;

static int look_again(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	(void)arg, (void)word, (void)seen;
	t_settle();
	return timeout_ns < 0 ? 0 : -ETIMEDOUT;
}

static void wake_nobody(void *arg, const iomap_word *word, unsigned nr)
{
	(void)arg, (void)word, (void)nr;	/* whoever sleeps looks again by itself */
}

static void *own_words(void *arg)
{
	static _Thread_local uint64_t words[32];

	(void)arg;
	return words;
}

struct spawned {
	pthread_t thread;
	void (*fn)(void *arg);
	void *arg;
};

static void *run_spawned(void *arg)
{
	struct spawned *s = arg;

	s->fn(s->arg);
	return NULL;
}

static int count_spawn(void *arg, void (*fn)(void *), void *fn_arg, void **handle)
{
	struct spawned *s;

	(void)arg;
	if (nr_spawned + 1 == spawn_fails_at)
		return -EAGAIN;
	nr_spawned++;
	*handle = s = malloc(sizeof(*s));
	*s = (struct spawned){ .fn = fn, .arg = fn_arg };
	s->thread = t_thread(run_spawned, s);
	return 0;
}

static void count_join(void *arg, void *handle)
{
	struct spawned *s = handle;

	(void)arg;
	nr_joined++;
	t_join(s->thread);
	free(s);
}

static void settle(void *arg, const char *site)
{
	(void)arg, (void)site;
	t_settle();
}

static const struct iomap_sync_ops counting_sync = {
	.struct_size = sizeof(counting_sync), .wait = look_again, .wake = wake_nobody,
	.self = own_words, .spawn = count_spawn, .join = count_join, .yield = settle,
};

CASE(threads_are_the_environments, "", "Started by its hook, joined when the queue goes")
{
	const struct iomap_env_opts opts = { .struct_size = sizeof(opts), .sync = &counting_sync };
	struct t_device d;
	struct t_bio b[4];

	memset(&d, 0, sizeof(d));
	t_env_start(&d.t, &opts);
	ck_assert_int_eq(open_file(&d.t, 4, &d.ioq, &d.bdev), 0);
	ck_assert_uint_eq(nr_spawned, 4);
	submit_flushes(&d, b, 4);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 4, 4, IOMAP_FOREVER), 4);
	iomap_bdev_close(&d.bdev);
	ck_assert_uint_eq(nr_joined, 0);
	t_device_stop(&d);
	ck_assert_uint_eq(nr_joined, 4);
}

CASE(threads_that_do_not_start, "",
     "The error of the hook, with a report; those that ran are joined")
{
	const struct iomap_env_opts opts = { .struct_size = sizeof(opts), .sync = &counting_sync };

	for (spawn_fails_at = 1; spawn_fails_at <= 4; spawn_fails_at++) {
		struct iomap_bdev *bdev;
		struct iomap_ioq *ioq;
		struct t_env t;

		nr_spawned = nr_joined = 0;
		t_env_start(&t, &opts);
		ck_assert_int_eq(open_file(&t, 4, &ioq, &bdev), -EAGAIN);
		ck_assert_uint_eq(t.nr_reports, 1);
		ck_assert_uint_eq(nr_spawned, spawn_fails_at - 1);
		ck_assert_uint_eq(nr_joined, spawn_fails_at - 1);
		iomap_ioq_delete(&ioq);
		t_env_stop(&t);
	}
}

CASE(every_allocation_may_fail, "",
     "-ENOMEM at each ordinal of a queue with threads; nothing leaks")
{
	unsigned failures = 0;
	int rc;

	do {
		struct iomap_bdev *bdev = NULL;
		struct iomap_ioq *ioq = NULL;
		struct t_env t;

		t_env_start(&t, NULL);
		t.fail_at = failures + 1;
		rc = open_file(&t, 3, &ioq, &bdev);
		iomap_bdev_close(&bdev);
		iomap_ioq_delete(&ioq);
		t_env_stop(&t);
		if (rc)
			ck_assert_int_eq(rc, -ENOMEM);
		failures += rc != 0;
	} while (rc);
	ck_assert_uint_ge(failures, 8);
}

MAIN()
