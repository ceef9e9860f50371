/* SPDX-License-Identifier: MIT */
/*
 * test_ioq.c - threads that come and go on one and two queues: every bio ends once, no wait hangs.
 *
 * Waits have no time-out: a lost wake-up shows as a thread that is not joined.
 */
#include <stdio.h>
#include <time.h>

#include "harness/devices.h"
#include "harness/thread.h"

#define NR_THREADS	8
#define NR_BIOS		6
#define KB		1024u

struct arena {
	struct t_env t;
	struct iomap_ioq *ioqs[2];
	unsigned nr_ioqs;
	struct iomap_bdev *bdevs[3], *file;
	uint64_t submitted, ended;
};

struct visitor {
	struct arena *a;
	uint64_t seed;
	unsigned rounds;
	uint8_t *mem;
	struct visit {
		struct iomap_bio bio;
		struct iomap_bvec segs[2];
		unsigned nr_ends;
		struct visitor *v;
	} visits[NR_BIOS];
	iomap_word nr_left;
};

static void visit_end(struct iomap_bio *bio)
{
	struct visit *visit = iomap_container_of(bio, struct visit, bio);
	struct visitor *v = visit->v;

	visit->nr_ends++;
	__atomic_add_fetch(&v->a->ended, 1, __ATOMIC_RELAXED);
	/* The last touch of the visitor, who may leave at once. */
	{
		struct iomap_env *env = v->a->t.env;
		iomap_word *word = &v->nr_left;

		__atomic_sub_fetch(word, 1, __ATOMIC_ACQ_REL);
		iomap_env_wake(env, word, 1);
	}
}

static void submit_one(struct visitor *v, struct visit *visit, unsigned i, bool with_end_io)
{
	static const unsigned flags[] = { 0, 0, IOMAP_BIO_FUA, IOMAP_BIO_PREFLUSH };
	struct arena *a = v->a;
	uint64_t r = t_rand(&v->seed);
	struct iomap_bdev *bdev = a->bdevs[r % 3];
	bool write = r >> 8 & 1;

	memset(visit, 0, sizeof(*visit));
	visit->v = v;
	iomap_bio_init(&visit->bio, bdev, write ? IOMAP_BIO_WRITE : IOMAP_BIO_READ,
		       (r >> 16 & 255) * 4 * KB, visit->segs, 2);
	if (write)
		visit->bio.flags = (uint16_t)flags[r >> 32 & 3];
	visit->bio.priority = r >> 40 & 1;
	visit->bio.ioq = a->ioqs[(r >> 48) % a->nr_ioqs];
	visit->bio.end_io = with_end_io ? visit_end : NULL;
	iomap_bio_add(&visit->bio, v->mem + i * 8 * KB, 4 * KB, NULL);
	iomap_bio_add(&visit->bio, v->mem + i * 8 * KB + 4 * KB, 4 * KB, NULL);
	__atomic_add_fetch(&a->submitted, 1, __ATOMIC_RELAXED);
	iomap_bio_submit(&visit->bio);
}

static void wait_each(struct visitor *v)
{
	for (unsigned i = 0; i < NR_BIOS; i++)
		submit_one(v, &v->visits[i], i, false);
	for (unsigned i = 0; i < NR_BIOS; i++) {
		ck_assert_int_eq(iomap_bio_wait(&v->visits[i].bio), 0);
		__atomic_add_fetch(&v->a->ended, 1, __ATOMIC_RELAXED);
	}
}

static void submit_all(struct visitor *v)
{
	__atomic_store_n(&v->nr_left, NR_BIOS, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < NR_BIOS; i++)
		submit_one(v, &v->visits[i], i, true);
}

static void check_all(struct visitor *v)
{
	for (unsigned i = 0; i < NR_BIOS; i++) {
		ck_assert_uint_eq(v->visits[i].nr_ends, 1);
		ck_assert_int_eq(v->visits[i].bio.status, 0);
	}
}

static void wait_object(struct visitor *v)
{
	uint32_t left;

	submit_all(v);
	if (t_rand(&v->seed) & 1)
		iomap_bio_cancel(&v->visits[NR_BIOS - 1].bio);
	while ((left = __atomic_load_n(&v->nr_left, __ATOMIC_ACQUIRE)))
		ck_assert_int_eq(iomap_env_wait(v->a->t.env, &v->nr_left, left, IOMAP_FOREVER), 0);
	if (v->visits[NR_BIOS - 1].bio.status == -ECANCELED)
		v->visits[NR_BIOS - 1].bio.status = 0;
	check_all(v);
}

static void poll_all(struct visitor *v)
{
	struct iomap_plug plug;

	iomap_plug_start(&plug, v->a->t.env);
	submit_all(v);
	iomap_plug_end(&plug);
	while (__atomic_load_n(&v->nr_left, __ATOMIC_ACQUIRE))
		for (unsigned i = 0; i < v->a->nr_ioqs; i++)
			ck_assert_int_ge(iomap_ioq_poll(v->a->ioqs[i], 1, 4, 100000), 0);
	check_all(v);
}

static void flush_one(struct visitor *v)
{
	struct iomap_bdev *bdev = v->a->bdevs[t_rand(&v->seed) % 3];

	wait_each(v);
	ck_assert_int_eq(iomap_bdev_flush(bdev, iomap_bdev_write_seq(bdev)), 0);
}

static void *visit(void *arg)
{
	static void (*const ways[])(struct visitor *) = { wait_each, wait_object, poll_all,
							  flush_one };
	struct visitor *v = arg;

	for (unsigned i = 0; i < v->rounds; i++)
		ways[t_rand(&v->seed) % 4](v);
	return NULL;
}

/* Without a scheme: one device of each kind that needs no kernel but for its file. */
static void arena_specs(char specs[3][160], const char *scheme)
{
	char name[2] = "a", path[128];

	for (unsigned i = 0; i < 3; i++, name[0]++) {
		t_temp_path(path, sizeof(path), name);
		snprintf(specs[i], 160, "%s:%s,create,size=2m", scheme ? scheme : "file", path);
	}
	if (scheme)
		return;
	strcpy(specs[0], "mem:m,nofua,max=4k");
	strcpy(specs[1], "null:");
}

static bool arena_start(struct arena *a, unsigned nr_ioqs, uint32_t depth, const char *scheme)
{
	struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .depth = depth };
	struct iomap_bdev_opts o = {
		.struct_size = sizeof(o), .flags = scheme ? 0 : IOMAP_BDEV_BUFFERED,
	};
	char specs[3][160];
	int rc = 0;

	memset(a, 0, sizeof(*a));
	arena_specs(specs, scheme);
	t_env_start(&a->t, NULL);
	a->nr_ioqs = nr_ioqs;
	for (unsigned i = 0; i < nr_ioqs; i++)
		ck_assert_int_eq(iomap_ioq_new(a->t.env, &opts, &a->ioqs[i]), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct iomap_ioq *home = a->ioqs[i % nr_ioqs];

		rc = iomap_bdev_open(home, specs[i], &o, &a->bdevs[i]);
		if (rc == -ENOTSUP)
			break;
		ck_assert_int_eq(rc, 0);
		for (unsigned q = 0; q < nr_ioqs; q++)
			ck_assert_int_eq(iomap_bdev_attach(a->bdevs[i], a->ioqs[q]), 0);
	}
	a->file = a->bdevs[2];
	t_temp_remove();
	return !rc;
}

static void arena_stop(struct arena *a)
{
	for (unsigned i = 0; i < 3; i++)
		iomap_bdev_close(&a->bdevs[i]);
	for (unsigned i = 0; i < a->nr_ioqs; i++)
		iomap_ioq_delete(&a->ioqs[i]);
	ck_assert_uint_eq(a->submitted, a->ended);
	t_env_stop(&a->t);
}

/* A device that takes its time: completions come from elsewhere, in any order. */
static unsigned device_runs;
static void *slow_device(void *arg)
{
	struct t_mem *mem = arg;
	uint64_t seed = 5;

	while (__atomic_load_n(&device_runs, __ATOMIC_ACQUIRE)) {
		unsigned held = t_mem_nr_held(mem);
		struct timespec ts = { 0, (long)(t_rand(&seed) % 40000) };

		for (unsigned n = held ? (unsigned)(t_rand(&seed) % held) + 1 : 0; n; n--)
			t_mem_release(mem, (unsigned)(t_rand(&seed) % held--));
		nanosleep(&ts, NULL);
	}
	t_mem_hold(mem, false);
	t_mem_release_all(mem);
	return NULL;
}

/* Threads live for a few rounds; whoever is done is followed by a new one. */
static void run_stress(struct arena *a, uint32_t depth, unsigned generations, bool slow)
{
	static struct visitor visitors[NR_THREADS];
	pthread_t threads[NR_THREADS], device = 0;

	if (slow) {
		a->bdevs[2] = a->bdevs[0];	/* the file would only hide it */
		device_runs = 1;
		t_mem_hold(t_mem_find("m"), true);
		device = t_thread(slow_device, t_mem_find("m"));
	}
	for (unsigned n = 0; n < NR_THREADS * generations; n++) {
		struct visitor *v = &visitors[n % NR_THREADS];

		if (n >= NR_THREADS)
			t_join(threads[n % NR_THREADS]);
		v->a = a;
		v->seed = n * 977 + depth;
		v->rounds = 4 + n % 7;
		v->mem = v->mem ? v->mem : t_buffer(NR_BIOS * 8 * KB, 1);
		threads[n % NR_THREADS] = t_thread(visit, v);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		t_join(threads[i]);
	if (slow) {
		__atomic_store_n(&device_runs, 0, __ATOMIC_RELEASE);
		t_join(device);
		a->bdevs[2] = a->file;
	}
	arena_stop(a);
}

static void stress(unsigned nr_ioqs, uint32_t depth, unsigned generations, bool slow)
{
	struct arena a;

	ck_assert(arena_start(&a, nr_ioqs, depth, NULL));
	run_stress(&a, depth, generations, slow);
}

/* On files of the kernel's, by a scheme that may be denied here. */
static void stress_scheme(const char *scheme, unsigned nr_ioqs, uint32_t depth)
{
	struct arena a;

	if (!arena_start(&a, nr_ioqs, depth, scheme)) {
		arena_stop(&a);
		t_skip("this backend is denied here");
	}
	run_stress(&a, depth, 6, false);
}

CASE_TIMEOUT(threads_on_one_queue, "", "Eight threads come and go; each bio ends once", 20)
{
	stress(1, 64, 12, false);
}

CASE_TIMEOUT(threads_on_a_narrow_queue, "", "The same with four slots, where nearly all park", 20)
{
	stress(1, 4, 24, false);
}

CASE_TIMEOUT(threads_on_two_queues, "", "The same on two queues that share their devices", 20)
{
	stress(2, 16, 24, false);
}

CASE_TIMEOUT(threads_and_a_slow_device, "",
     "The same with completions that have to be slept for", 20)
{
	stress(1, 16, 24, true);
}

CASE_TIMEOUT(two_queues_and_a_slow_device, "",
     "And on two queues, where waits lead the one or the other", 20)
{
	stress(2, 8, 24, true);
}

CASE_TIMEOUT(threads_on_a_ring, "", "Eight threads come and go on one io_uring", 30)
{
	stress_scheme("uring", 1, 64);
}

CASE_TIMEOUT(threads_on_a_narrow_ring, "", "The same with three slots, where nearly all park", 30)
{
	stress_scheme("uring", 1, 3);
}

CASE_TIMEOUT(threads_on_two_rings, "", "And on two rings that share their files", 30)
{
	stress_scheme("uring", 2, 16);
}

CASE_TIMEOUT(threads_on_aio, "", "Eight threads come and go on libaio, with three slots", 30)
{
	stress_scheme("aio", 1, 3);
}

/* ---- one object wait, one submitter, one poller: the smallest way to lose a wake-up ---- */

struct ring {
	struct t_device d;
	iomap_word turn;
	unsigned rounds;
};

static void ring_end(struct iomap_bio *bio)
{
	struct ring *r = bio->owner;

	__atomic_add_fetch(&r->turn, 1, __ATOMIC_ACQ_REL);
	iomap_env_wake(r->d.t.env, &r->turn, 8);
}

static void *ring_thread(void *arg)
{
	struct ring *r = arg;
	uint8_t mem[512];
	struct iomap_bvec seg = { mem, sizeof(mem), NULL };
	struct iomap_bio bio;
	uint32_t seen;

	for (;;) {
		seen = __atomic_load_n(&r->turn, __ATOMIC_ACQUIRE);
		if (seen >= r->rounds)
			return NULL;
		iomap_bio_init(&bio, r->d.bdev, IOMAP_BIO_READ, 0, &seg, 1);
		bio.nr_segs = 1;
		bio.len = sizeof(mem);
		bio.end_io = NULL;
		if (seen & 1) {
			iomap_bio_submit(&bio);
			iomap_bio_wait(&bio);
			__atomic_add_fetch(&r->turn, 1, __ATOMIC_ACQ_REL);
			iomap_env_wake(r->d.t.env, &r->turn, 8);
		} else {
			struct t_bio own;

			t_bio_init(&own, r->d.bdev, IOMAP_BIO_READ, 0, mem, sizeof(mem));
			own.bio.end_io = ring_end;
			own.bio.owner = r;
			iomap_bio_submit(&own.bio);
			/* Any turn will do to go on, but the bio must be over before it dies. */
			iomap_env_wait(r->d.t.env, &r->turn, seen, IOMAP_FOREVER);
			iomap_ioq_drain(r->d.ioq, IOMAP_FOREVER);
		}
	}
}

CASE_TIMEOUT(waits_of_all_kinds_hand_over, "",
     "Object waits, bio waits and drains lead in turn", 20)
{
	pthread_t threads[4];
	struct ring r = { .rounds = 20000 };

	t_device_start_mem(&r.d, "", NULL);
	for (unsigned i = 0; i < 4; i++)
		threads[i] = t_thread(ring_thread, &r);
	for (unsigned i = 0; i < 4; i++)
		t_join(threads[i]);
	t_device_stop(&r.d);
}

static void *work_at_home(void *arg)
{
	struct t_device *d = arg;
	uint8_t *mem = t_buffer(4 * KB, 1);

	for (unsigned i = 0; i < 2000; i++)
		ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_READ, i % 64 * 4 * KB, mem, 4 * KB, 0), 0);
	return NULL;
}

CASE_TIMEOUT(a_device_at_work_is_attached, "", "Its own queue goes on while others are added", 20)
{
	struct iomap_ioq *more[8];
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		pthread_t thread;

		if (kind == T_SIM || kind == T_URING_SINGLE) {
			t_device_stop(&d);
			continue;
		}
		thread = t_thread(work_at_home, &d);
		for (unsigned i = 0; i < 8; i++) {
			ck_assert_int_eq(iomap_ioq_new(d.t.env, NULL, &more[i]), 0);
			ck_assert_int_eq(iomap_bdev_attach(d.bdev, more[i]), 0);
		}
		t_join_within(thread, 15);
		for (unsigned i = 0; i < 8; i++)
			iomap_ioq_delete(&more[i]);
		t_device_stop(&d);
	}
}

MAIN()
