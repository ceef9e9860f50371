/* SPDX-License-Identifier: MIT */
/*
 * test_file_threads.c - threads that come and go on one queue whose requests end elsewhere: in a
 * pool of threads, in the kernel.
 *
 * Waits have no time-out: a lost wake-up shows as a thread that is not joined.
 */
#include "harness/devices.h"
#include "harness/thread.h"

#define NR_VISITORS	4
#define NR_BIOS		6
#define KB		1024u
#define BYTES		(16 * KB)	/* of one bio */

struct visitor {
	struct t_device *d;
	uint64_t seed;
	uint64_t addr;			/* where nobody else reads and writes */
	unsigned rounds;
	uint8_t *in, *out;
	struct visit {
		struct iomap_bio bio;
		struct iomap_bvec seg;
		struct visitor *v;
	} visits[NR_BIOS];
	iomap_word nr_left;
};

static void visit_end(struct iomap_bio *bio)
{
	struct visitor *v = iomap_container_of(bio, struct visit, bio)->v;
	struct iomap_env *env = v->d->t.env;
	iomap_word *word = &v->nr_left;

	__atomic_sub_fetch(word, 1, __ATOMIC_ACQ_REL);	/* the visitor may leave now */
	iomap_env_wake(env, word, 1);
}

static void submit_all(struct visitor *v, enum iomap_bio_op op, uint8_t *mem, bool with_end_io)
{
	__atomic_store_n(&v->nr_left, NR_BIOS, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < NR_BIOS; i++) {
		struct visit *visit = &v->visits[i];

		iomap_bio_init(&visit->bio, v->d->bdev, op, v->addr + i * BYTES, &visit->seg, 1);
		iomap_bio_add(&visit->bio, mem + i * BYTES, BYTES, NULL);
		if (op == IOMAP_BIO_WRITE && t_rand(&v->seed) % 4 == 0)
			visit->bio.flags = IOMAP_BIO_FUA;
		visit->bio.priority = t_rand(&v->seed) & 1;
		visit->bio.end_io = with_end_io ? visit_end : NULL;
		visit->v = v;
		iomap_bio_submit(&visit->bio);
	}
}

static void wait_for_all(struct visitor *v, bool with_end_io)
{
	bool polls = t_rand(&v->seed) & 1;
	uint32_t left;

	for (unsigned i = 0; i < NR_BIOS && !with_end_io; i++)
		ck_assert_int_eq(iomap_bio_wait(&v->visits[i].bio), 0);
	while (with_end_io && (left = __atomic_load_n(&v->nr_left, __ATOMIC_ACQUIRE)))
		if (polls)
			ck_assert_int_ge(iomap_ioq_poll(v->d->ioq, 1, 4, IOMAP_FOREVER), 0);
		else
			ck_assert_int_eq(iomap_env_wait(v->d->t.env, &v->nr_left, left,
							IOMAP_FOREVER), 0);
	for (unsigned i = 0; i < NR_BIOS; i++)
		ck_assert_int_eq(v->visits[i].bio.status, 0);
}

static void *visit(void *arg)
{
	struct visitor *v = arg;

	for (unsigned i = 0; i < v->rounds; i++) {
		bool with_end_io = t_rand(&v->seed) & 1;

		memset(v->in, (int)(t_rand(&v->seed) & 0xff), NR_BIOS * BYTES);
		submit_all(v, IOMAP_BIO_WRITE, v->in, with_end_io);
		wait_for_all(v, with_end_io);
		submit_all(v, IOMAP_BIO_READ, v->out, !with_end_io);
		wait_for_all(v, !with_end_io);
		ck_assert_mem_eq(v->in, v->out, NR_BIOS * BYTES);
		if (i % 4 == 3)
			ck_assert_int_eq(iomap_bdev_flush(v->d->bdev, UINT64_MAX), 0);
	}
	return NULL;
}

/* Each seat is taken again as soon as its visitor has left. */
static void run(struct t_device *d, unsigned nr_visits)
{
	struct visitor *v = calloc(NR_VISITORS, sizeof(*v));
	struct iomap_ioq_stats stats = { .struct_size = sizeof(stats) };
	pthread_t threads[NR_VISITORS];
	uint64_t seed = 3;

	for (unsigned i = 0; i < nr_visits + NR_VISITORS; i++) {
		struct visitor *seat = &v[i % NR_VISITORS];

		if (i >= NR_VISITORS)
			t_join_within(threads[i % NR_VISITORS], 30);
		if (i >= nr_visits)
			continue;
		if (!seat->in) {
			seat->in = t_buffer(NR_BIOS * BYTES, 0);
			seat->out = t_buffer(NR_BIOS * BYTES, 0);
		}
		seat->d = d;
		seat->seed = i;
		seat->addr = i % NR_VISITORS * 128ull * KB;
		seat->rounds = 1 + (unsigned)(t_rand(&seed) % 6);
		threads[i % NR_VISITORS] = t_thread(visit, seat);
	}
	iomap_ioq_stats(d->ioq, &stats);
	ck_assert_uint_eq(stats.submitted, stats.completed);
	ck_assert_uint_eq(stats.in_flight, 0);
	free(v);
}

CASE_TIMEOUT(four_visitors_of_three_threads, "O20 O44",
	     "Each bio ends once with its data, and nobody sleeps for ever", 120)
{
	struct t_device d;

	t_device_start(&d, T_THREAD);
	run(&d, 60);
	t_device_stop(&d);
}

CASE_TIMEOUT(four_visitors_of_libaio, "O20 O44", "The same with requests that end in the kernel",
	     120)
{
	struct t_device d;

	if (t_device_next(&d, T_AIO) != T_AIO) {
		t_device_stop(&d);
		t_skip("asynchronous I/O is denied here, or left out");
	}
	run(&d, 60);
	t_device_stop(&d);
}

MAIN()
