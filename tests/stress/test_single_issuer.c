/* SPDX-License-Identifier: MIT */
/*
 * test_single_issuer.c - guests come and go on a queue that one thread owns: it alone is seen by
 * the backends, each bio ends once, and no wait hangs.
 *
 * The owner opens a device for each guest, which works with it and with one that all share, and
 * closes its own.  Waits have no time-out: a lost wake-up shows as a thread that is not joined.
 */
#include "harness/devices.h"
#include "harness/thread.h"

#define NR_GUESTS	6
#define NR_BIOS		6
#define KB		1024u

struct hall {
	struct t_env t;
	struct iomap_ioq *ioq;
	struct iomap_bdev *shared[2];	/* mem: and file: */
	unsigned submitted, ended;
	iomap_word left;		/* guests who have */
};

struct guest {
	struct hall *hall;
	struct iomap_bdev *own;
	uint64_t seed;
	uint8_t *mem;
	struct t_bio bios[NR_BIOS];
	iomap_word nr_left;
};

static void bio_end(struct iomap_bio *bio)
{
	struct guest *g = bio->owner;
	struct iomap_env *env = g->hall->t.env;
	iomap_word *word = &g->nr_left;

	__atomic_add_fetch(&g->hall->ended, 1, __ATOMIC_RELAXED);
	/* The last touch of the guest, who may leave at once. */
	__atomic_sub_fetch(word, 1, __ATOMIC_ACQ_REL);
	iomap_env_wake(env, word, 1);
}

static void submit(struct guest *g, unsigned i, bool with_end_io)
{
	uint64_t r = t_rand(&g->seed);
	struct iomap_bdev *bdev = r % 3 == 2 ? g->own : g->hall->shared[r % 3];
	struct t_bio *b = &g->bios[i];

	t_bio_init(b, bdev, r >> 8 & 1 ? IOMAP_BIO_WRITE : IOMAP_BIO_READ,
		   (r >> 16 & 63) * 4 * KB, g->mem + i * 4 * KB, 4 * KB);
	b->bio.end_io = with_end_io ? bio_end : NULL;
	b->bio.owner = g;
	b->bio.priority = r >> 40 & 1;
	__atomic_add_fetch(&g->hall->submitted, 1, __ATOMIC_RELAXED);
	iomap_bio_submit(&b->bio);
}

static void wait_each(struct guest *g)
{
	for (unsigned i = 0; i < NR_BIOS; i++)
		submit(g, i, false);
	for (unsigned i = 0; i < NR_BIOS; i++) {
		ck_assert_int_eq(iomap_bio_wait(&g->bios[i].bio), 0);
		__atomic_add_fetch(&g->hall->ended, 1, __ATOMIC_RELAXED);
	}
}

static void wait_object(struct guest *g)
{
	struct iomap_plug plug;
	uint32_t left;

	__atomic_store_n(&g->nr_left, NR_BIOS, __ATOMIC_RELEASE);
	iomap_plug_start(&plug, g->hall->t.env);
	for (unsigned i = 0; i < NR_BIOS; i++)
		submit(g, i, true);
	iomap_bio_cancel(&g->bios[0].bio);
	while ((left = __atomic_load_n(&g->nr_left, __ATOMIC_ACQUIRE)))
		ck_assert_int_eq(iomap_env_wait(g->hall->t.env, &g->nr_left, left, IOMAP_FOREVER),
				 0);
	iomap_plug_end(&plug);
}

static void flush(struct guest *g)
{
	ck_assert_int_eq(iomap_bdev_flush(g->own, UINT64_MAX), 0);
	ck_assert_int_eq(iomap_bdev_refresh_size(g->hall->shared[1]), 0);
}

static void *visit(void *arg)
{
	static void (*const ways[])(struct guest *) = { wait_each, wait_object, flush };
	struct guest *g = arg;

	for (unsigned i = 4 + (unsigned)(t_rand(&g->seed) % 8); i; i--)
		ways[t_rand(&g->seed) % 3](g);
	ck_assert_int_eq(iomap_ioq_poll(g->hall->ioq, 0, 1, 0), -EPERM);
	iomap_bdev_close(&g->own);
	__atomic_add_fetch(&g->hall->left, 1, __ATOMIC_ACQ_REL);
	iomap_env_wake(g->hall->t.env, &g->hall->left, 1);
	return NULL;
}

/* Until one more guest has left; in each of the ways in which an owner may serve. */
static void serve(struct hall *hall, uint64_t *seed, uint32_t seen)
{
	while (__atomic_load_n(&hall->left, __ATOMIC_ACQUIRE) <= seen)
		if (t_rand(seed) & 1)
			iomap_ioq_poll(hall->ioq, 1, 4, 1000000);
		else
			iomap_env_wait(hall->t.env, &hall->left, seen, 1000000);
}

static void hall_start(struct hall *hall, uint32_t depth)
{
	const struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .depth = depth,
					     .flags = IOMAP_IOQ_SINGLE_ISSUER };
	struct iomap_bdev_opts o = { .struct_size = sizeof(o), .flags = IOMAP_BDEV_BUFFERED };
	char path[128], spec[160];

	memset(hall, 0, sizeof(*hall));
	t_env_start(&hall->t, NULL);
	ck_assert_int_eq(iomap_ioq_new(hall->t.env, &opts, &hall->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(hall->ioq, "mem:s,max=2k", NULL, &hall->shared[0]), 0);
	t_temp_path(path, sizeof(path), "a");
	snprintf(spec, sizeof(spec), "file:%s,create,size=1m", path);
	ck_assert_int_eq(iomap_bdev_open(hall->ioq, spec, &o, &hall->shared[1]), 0);
	t_temp_remove();
}

static void hall_stop(struct hall *hall)
{
	for (unsigned i = 0; i < 2; i++)
		iomap_bdev_close(&hall->shared[i]);
	iomap_ioq_delete(&hall->ioq);
	ck_assert_uint_eq(hall->submitted, hall->ended);
	ck_assert_uint_eq(t_mem_calls().strange, 0);
	t_env_stop(&hall->t);
}

static void stress(uint32_t depth, unsigned nr_guests)
{
	static struct guest guests[NR_GUESTS];
	pthread_t threads[NR_GUESTS];
	uint64_t seed = depth;
	struct hall hall;

	hall_start(&hall, depth);
	for (unsigned n = 0; n < nr_guests; n++) {
		struct guest *g = &guests[n % NR_GUESTS];

		if (n >= NR_GUESTS) {	/* all leave before the next six come */
			if (n % NR_GUESTS == 0)
				for (uint32_t left = n - NR_GUESTS; left < n; left++)
					serve(&hall, &seed, left);
			t_join(threads[n % NR_GUESTS]);
		}
		g->hall = &hall;
		g->seed = n * 977 + depth;
		g->mem = g->mem ? g->mem : t_buffer(NR_BIOS * 4 * KB, 1);
		ck_assert_int_eq(iomap_bdev_open(hall.ioq, "mem:g,size=256k", NULL, &g->own), 0);
		threads[n % NR_GUESTS] = t_thread(visit, g);
	}
	for (uint32_t left = nr_guests - NR_GUESTS; left < nr_guests; left++)
		serve(&hall, &seed, left);
	for (unsigned i = 0; i < NR_GUESTS; i++)
		t_join(threads[i]);
	hall_stop(&hall);
}

CASE_TIMEOUT(guests_of_one_owner, "", "They submit, wait, cancel and close; the owner does it", 20)
{
	stress(64, 60);
}

CASE_TIMEOUT(guests_of_a_narrow_queue, "", "The same with three slots, where nearly all park", 20)
{
	stress(3, 60);
}

MAIN()
