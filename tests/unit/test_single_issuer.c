/* SPDX-License-Identifier: MIT */
/*
 * test_single_issuer.c - an ioq bound to one thread: what others ask of it reaches the backend from
 * there, and from nowhere else.
 *
 * The memory device counts the calls that come from another thread.
 */
#include "block/block.h"
#include "harness/devices.h"
#include "harness/thread.h"

#define KB 1024u

#define wait_for(cond) \
	do { \
		for (unsigned i_ = 0; !(cond); i_++) { \
			ck_assert_msg(i_ < 1500 * t_scale(), "%s", #cond); \
			t_settle(); \
		} \
	} while (0)

static const struct iomap_ioq_opts single = { .struct_size = sizeof(single),
					      .flags = IOMAP_IOQ_SINGLE_ISSUER };

static bool is_asleep(struct iomap_ioq *ioq)
{
	bool asleep;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	asleep = ioq->sleeping != NULL;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return asleep;
}

static void init_write(struct t_bio *b, struct iomap_bdev *bdev, unsigned block)
{
	t_bio_init(b, bdev, IOMAP_BIO_WRITE, block * 4ull * KB, t_buffer(4 * KB, 1), 4 * KB);
}

/* A second device of the same ioq, with a request that keeps the owner asleep. */
struct house {
	struct t_device d;
	struct iomap_bdev *other;
	struct t_bio held, own;
	iomap_word left;
};

static void start(struct house *h)
{
	memset(h, 0, sizeof(*h));
	t_device_start_mem(&h->d, "", &single);
	ck_assert_int_eq(iomap_bdev_open(h->d.ioq, "mem:held", NULL, &h->other), 0);
	t_mem_hold(t_mem_find("held"), true);
	init_write(&h->held, h->other, 0);
	h->held.bio.end_io = NULL;
	iomap_bio_submit(&h->held.bio);
}

static void stop(struct house *h)
{
	iomap_bdev_close(&h->other);
	t_device_stop(&h->d);
	ck_assert_uint_eq(t_mem_calls().strange, 0);
}

/* ---- submitting ---- */

static void *submit_and_release(void *arg)
{
	struct house *h = arg;

	wait_for(is_asleep(h->d.ioq));
	t_mem_hold(h->d.mem, true);
	init_write(&h->own, h->d.bdev, 1);
	iomap_bio_submit(&h->own.bio);
	wait_for(t_mem_nr_held(h->d.mem) == 1);	/* the owner has sent it */
	t_mem_hold(h->d.mem, false);
	t_mem_release_all(h->d.mem);
	wait_for(iomapi_load(&h->own.nr_ends) == 1);
	t_mem_release_all(t_mem_find("held"));
	return NULL;
}

CASE(a_guest_wakes_the_owner, "O44", "It sleeps for another request; a guest's is sent at once")
{
	struct house h;
	pthread_t guest;

	start(&h);
	guest = t_thread(submit_and_release, &h);
	ck_assert_int_eq(iomap_bio_wait(&h.held.bio), 0);
	t_join(guest);
	ck_assert_int_eq(h.own.status, 0);
	stop(&h);
}

static void *end_all_ways(void *arg)
{
	struct house *h = arg;
	struct t_bio b[4];

	for (unsigned i = 0; i < 4; i++)
		init_write(&b[i], h->d.bdev, i);
	b[0].bio.end_io = NULL;
	b[1].bio.addr = 1;				/* refused */
	b[1].bio.end_io = NULL;
	for (unsigned i = 0; i < 4; i++)
		iomap_bio_submit(&b[i].bio);
	iomap_bio_cancel(&b[2].bio);
	ck_assert_int_eq(iomap_bio_wait(&b[0].bio), 0);
	ck_assert_int_eq(iomap_bio_wait(&b[1].bio), -EINVAL);
	ck_assert_int_eq(iomap_bdev_flush(h->d.bdev, UINT64_MAX), 0);
	ck_assert_int_eq(iomap_bdev_refresh_size(h->d.bdev), 0);
	t_mem_release_all(t_mem_find("held"));
	ck_assert_int_eq(iomap_ioq_drain(h->d.ioq, IOMAP_FOREVER), 0);
	for (unsigned i = 2; i < 4; i++)
		ck_assert_uint_eq(b[i].nr_ends, 1);
	iomapi_store(&h->left, 1);
	iomap_env_wake(h->d.t.env, &h->left, 1);
	return NULL;
}

CASE(a_guest_waits_and_never_reaps, "", "Its waits of every kind end when the owner has reaped")
{
	struct house h;
	pthread_t guest;

	start(&h);
	guest = t_thread(end_all_ways, &h);
	ck_assert_int_eq(iomap_env_wait(h.d.t.env, &h.left, 0, IOMAP_FOREVER), 0);
	t_join(guest);
	stop(&h);
}

static void *try_all(void *arg)
{
	struct house *h = arg;
	struct iomap_bdev *bdev;
	struct iomap_ioq *own;

	ck_assert_int_eq(iomap_ioq_poll(h->d.ioq, 0, 1, 0), -EPERM);
	ck_assert_int_eq(iomap_bdev_open(h->d.ioq, "null:", NULL, &bdev), -EPERM);
	ck_assert_int_eq(iomap_bdev_open_fd(h->d.ioq, 0, NULL, &bdev), -EPERM);
	ck_assert_int_eq(iomap_bdev_attach(h->d.bdev, h->d.ioq), -EPERM);
	ck_assert_int_eq(iomap_ioq_register_memory(h->d.ioq, h, sizeof(*h)), -EPERM);
	ck_assert_int_eq(iomap_ioq_unregister_memory(h->d.ioq, h, sizeof(*h)), -EPERM);
	/* What it does on a queue of its own is its business. */
	ck_assert_int_eq(iomap_ioq_new(h->d.t.env, &single, &own), 0);
	ck_assert_int_eq(iomap_bdev_open(own, "mem:own", NULL, &bdev), 0);
	ck_assert_int_eq(t_io(bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
	iomap_bdev_close(&bdev);
	iomap_ioq_delete(&own);
	return NULL;
}

CASE(a_guest_is_not_the_owner, "", "What would need the ring is -EPERM")
{
	struct house h;

	start(&h);
	t_join(t_thread(try_all, &h));
	t_mem_release_all(t_mem_find("held"));
	stop(&h);
}

/* ---- closing ---- */

static void *close_device(void *arg)
{
	struct house *h = arg;

	init_write(&h->own, h->d.bdev, 1);
	iomap_bio_submit(&h->own.bio);
	iomap_bdev_close(&h->d.bdev);
	ck_assert_uint_eq(h->own.nr_ends, 1);
	ck_assert_ptr_null(t_mem_find("m"));
	t_mem_release_all(t_mem_find("held"));
	iomapi_store(&h->left, 1);
	iomap_env_wake(h->d.t.env, &h->left, 1);
	return NULL;
}

static void *close_when_asleep(void *arg)
{
	struct house *h = arg;

	wait_for(is_asleep(h->d.ioq));
	return close_device(arg);
}

CASE(a_guest_closes_a_device, "", "The owner, asleep in a wait or in a poll, lets it go at once")
{
	for (unsigned way = 0; way < 2; way++) {
		struct house h;
		pthread_t guest;

		start(&h);
		guest = t_thread(close_when_asleep, &h);
		while (!iomapi_load(&h.left) && way)
			ck_assert_int_ge(iomap_ioq_poll(h.d.ioq, 1, 8, IOMAP_FOREVER), 0);
		ck_assert_int_eq(iomap_bio_wait(&h.held.bio), 0);
		ck_assert_int_eq(iomap_env_wait(h.d.t.env, &h.left, 0, IOMAP_FOREVER), 0);
		t_join(guest);
		stop(&h);
	}
}

CASE(an_idle_owner_lets_go_too, "", "Nothing is under way: a poll of min 0, an object wait")
{
	for (unsigned way = 0; way < 2; way++) {
		struct house h;
		pthread_t guest;

		start(&h);
		t_mem_release_all(t_mem_find("held"));
		ck_assert_int_eq(iomap_bio_wait(&h.held.bio), 0);
		guest = t_thread(close_device, &h);
		if (way)
			ck_assert_int_eq(iomap_env_wait(h.d.t.env, &h.left, 0, IOMAP_FOREVER), 0);
		else
			wait_for(iomap_ioq_poll(h.d.ioq, 0, 8, 0) >= 0 && iomapi_load(&h.left));
		t_join(guest);
		stop(&h);
	}
}

static void *close_unused(void *arg)
{
	struct house *h = arg;

	iomap_bdev_close(&h->d.bdev);
	t_mem_release_all(t_mem_find("held"));
	iomapi_store(&h->left, 1);
	return NULL;
}

static void *expect_left(void *arg)
{
	struct house *h = arg;

	wait_for(iomapi_load(&h->left));
	return NULL;
}

CASE(a_guest_is_told_before_the_owner_sleeps, "O44",
     "The owner lets the device go as it begins a wait, and sleeps then")
{
	pthread_t guest, watcher;
	struct house h;

	start(&h);
	guest = t_thread(close_unused, &h);
	wait_for(iomapi_load(&h.d.ioq->errands));
	watcher = t_thread(expect_left, &h);
	ck_assert_int_eq(iomap_bio_wait(&h.held.bio), 0);
	t_join(watcher);
	t_join(guest);
	stop(&h);
}

static void *delete_queue(void *arg)
{
	iomap_ioq_delete(arg);
	return NULL;
}

CASE(a_guest_deletes_an_idle_queue, "", "The owner has closed its devices and looks on")
{
	struct house h;

	start(&h);
	t_mem_release_all(t_mem_find("held"));
	iomap_bdev_close(&h.other);
	iomap_bdev_close(&h.d.bdev);
	t_join(t_thread(delete_queue, &h.d.ioq));
	stop(&h);
}

MAIN()
