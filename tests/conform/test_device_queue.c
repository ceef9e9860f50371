/* SPDX-License-Identifier: MIT */
/*
 * test_device_queue.c - many requests at once: full queues, polls, plugs, cancelling, ends.
 */
#include "harness/devices.h"

#define KB 1024u
#define MS ((int64_t)1000000)

static struct iomap_ioq_opts depth(uint32_t n)
{
	return (struct iomap_ioq_opts){ .struct_size = sizeof(struct iomap_ioq_opts), .depth = n };
}

static struct iomap_ioq_stats stats_of(struct iomap_ioq *ioq)
{
	struct iomap_ioq_stats stats = { .struct_size = sizeof(stats) };

	iomap_ioq_stats(ioq, &stats);
	return stats;
}

/* ---- parking ---- */

CASE(a_full_queue_parks, "", "A hundred requests on two slots, of the queue or of the device")
{
	static const struct {
		const char *options;
		uint32_t depth;
	} table[] = { { "", 2 }, { "depth=2", 256 }, { "depth=2", 2 }, { "depth=1", 1 } };

	for (unsigned k = 0; k < 4; k++) {
		struct iomap_ioq_opts opts = depth(table[k].depth);
		unsigned most = table[k].depth == 1 ? 1 : 2, nr;
		const struct t_mem_req *log;
		struct t_device d;
		struct t_bio *b;

		opts.max_background = most;
		t_device_start_mem(&d, table[k].options, &opts);
		t_mem_hold(d.mem, true);
		b = t_writes(&d, 100);
		t_submit(b, 100);
		for (unsigned i = 0; i < 100; i++) {
			ck_assert_uint_le(t_mem_nr_held(d.mem), most);
			ck_assert_uint_eq(stats_of(d.ioq).in_flight, i < 99 ? most : 1);
			t_mem_release(d.mem, 0);
			ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
			ck_assert_uint_eq(b[i].nr_ends, 1);
		}
		log = t_mem_log(d.mem, &nr);
		ck_assert_uint_eq(nr, 100);
		for (unsigned i = 0; i < nr; i++)	/* in order */
			ck_assert_uint_eq(log[i].addr, i * 4ull * KB);
		free(b);
		t_device_stop(&d);
	}
}

CASE(full_queues_of_every_device, "", "A hundred requests on a depth of two all end well, once")
{
	struct iomap_ioq_opts opts = depth(2);
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct iomap_bdev *null;
		struct iomap_ioq *ioq;
		struct t_bio *b = t_writes(&d, 100);

		ck_assert_int_eq(iomap_ioq_new(d.t.env, &opts, &ioq), 0);
		ck_assert_int_eq(iomap_bdev_attach(d.bdev, ioq), 0);
		ck_assert_int_eq(iomap_bdev_open(ioq, "null:", NULL, &null), 0);
		for (unsigned i = 0; i < 100; i++) {
			b[i].bio.ioq = ioq;
			if (i % 10 == 9) {
				b[i].bio.bdev = null;
				b[i].bio.ioq = NULL;
			}
		}
		t_submit(b, 100);
		ck_assert_uint_ge(stats_of(ioq).parked, 1);
		ck_assert_int_eq(iomap_ioq_poll(ioq, 100, 200, IOMAP_FOREVER), 100);
		for (unsigned i = 0; i < 100; i++) {
			ck_assert_uint_eq(b[i].nr_ends, 1);
			ck_assert_int_eq(b[i].status, 0);
		}
		ck_assert_uint_eq(stats_of(ioq).completed, 100);
		iomap_bdev_close(&null);
		iomap_ioq_delete(&ioq);
		t_device_stop(&d);
		free(b);
	}
}

CASE(the_background_leaves_room, "",
     "Priority 0 takes its share of the slots, the rest may have all")
{
	struct iomap_ioq_opts opts = depth(8);
	struct t_device d;
	struct t_bio *b;

	opts.max_background = 3;
	t_device_start_mem(&d, "", &opts);
	t_mem_hold(d.mem, true);
	b = t_writes(&d, 20);
	for (unsigned i = 10; i < 20; i++)
		b[i].bio.priority = 4;
	t_submit(b, 10);
	ck_assert_uint_eq(t_mem_nr_held(d.mem), 3);
	ck_assert_uint_eq(stats_of(d.ioq).background_bytes, 3 * 4 * KB);
	t_submit(b + 10, 10);
	ck_assert_uint_eq(t_mem_nr_held(d.mem), 8);
	ck_assert_uint_eq(stats_of(d.ioq).parked, 12);
	t_mem_release(d.mem, 0);		/* of the background; the slot goes to who waits */
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
	ck_assert_uint_eq(stats_of(d.ioq).background_bytes, 2 * 4 * KB);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 19, 19, IOMAP_FOREVER), 19);
	free(b);
	t_device_stop(&d);
}

CASE(nowait_does_not_park, "", "-EAGAIN for what finds no slot, and only for that")
{
	struct iomap_ioq_opts opts = depth(2);
	struct t_device d;
	struct t_bio *b;
	unsigned nr;

	opts.max_background = 2;
	t_device_start_mem(&d, "", &opts);
	t_mem_hold(d.mem, true);
	b = t_writes(&d, 6);
	for (unsigned i = 0; i < 6; i++)
		b[i].bio.flags = i == 3 ? 0 : IOMAP_BIO_NOWAIT;
	t_submit(b, 6);
	ck_assert_uint_eq(b[2].nr_ends, 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 3, 8, IOMAP_FOREVER), 3);
	ck_assert_int_eq(b[2].status, -EAGAIN);
	ck_assert_int_eq(b[4].status, -EAGAIN);
	ck_assert_int_eq(b[5].status, -EAGAIN);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 3, 8, IOMAP_FOREVER), 3);
	ck_assert_int_eq(b[0].status | b[1].status | b[3].status, 0);
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 3);
	free(b);
	t_device_stop(&d);
}

CASE(busy_devices_are_asked_again, "", "BUSY with nothing under way does not hang a wait")
{
	struct t_device d;
	struct t_bio *b;

	t_device_start_mem(&d, "", NULL);
	b = t_writes(&d, 3);
	t_mem_busy(d.mem, 5);
	t_submit(b, 3);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 3, 3, IOMAP_FOREVER), 3);
	ck_assert_uint_ge(stats_of(d.ioq).full, 5);
	free(b);
	t_device_stop(&d);
}

/* ---- poll ---- */

CASE(poll_keeps_its_bounds, "", "At least min, at most max, and no longer than asked")
{
	struct t_device d;
	struct t_bio *b;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	b = t_writes(&d, 10);
	t_submit(b, 10);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, 0), 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, 2 * MS), 0);
	for (unsigned i = 0; i < 6; i++)
		t_mem_release(d.mem, 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 0, IOMAP_FOREVER), 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 4, IOMAP_FOREVER), 4);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 4, 8, 2 * MS), 2);	/* what there was */
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 9, 2, 0), 0);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 100, 200, IOMAP_FOREVER), 4);	/* all there are */
	free(b);
	t_device_stop(&d);
}

CASE(poll_of_nothing_returns, "H14", "With nothing in flight a poll returns 0 at once")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, IOMAP_FOREVER), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, IOMAP_FOREVER), 0);
		ck_assert_int_eq(iomap_ioq_drain(d.ioq, 0), 0);
		t_device_stop(&d);
	}
}

static struct iomap_ioq *callback_ioq;
static struct iomap_bio *other_bio;
static int callback_rc[6];

static void wait_in_callback(struct iomap_bio *bio)
{
	iomap_word word = 0;

	iomap_bio_submit(other_bio);		/* here, so that it has not ended before */
	callback_rc[0] = iomap_ioq_poll(callback_ioq, 0, 1, 0);
	callback_rc[1] = iomap_bio_wait(other_bio);
	callback_rc[2] = iomap_ioq_drain(callback_ioq, 0);
	callback_rc[3] = iomap_env_wait(bio->owner, &word, 0, 0);
	callback_rc[4] = iomap_env_run_callbacks(bio->owner, 1);
	callback_rc[5] = bio->status;
}

CASE(no_wait_in_a_callback, "", "poll, bio wait, drain and object waits from end_io are -EDEADLK")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct t_bio *b = t_writes(&d, 2);

		memset(callback_rc, 0, sizeof(callback_rc));
		callback_ioq = d.ioq;
		other_bio = &b[1].bio;
		b[0].bio.end_io = wait_in_callback;
		b[0].bio.owner = d.t.env;
		b[1].bio.end_io = NULL;
		if (d.mem)
			t_mem_hold(d.mem, true);
		t_submit(b, 1);
		if (d.mem)
			t_mem_release(d.mem, 0);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
		for (unsigned i = 0; i < 5; i++)
			ck_assert_int_eq(callback_rc[i], -EDEADLK);
		ck_assert_int_eq(callback_rc[5], 0);
		if (d.mem)
			t_mem_release_all(d.mem);
		ck_assert_int_eq(iomap_bio_wait(&b[1].bio), 0);
		free(b);
		t_device_stop(&d);
	}
}

static void resubmit(struct iomap_bio *bio)
{
	struct t_bio *b = iomap_container_of(bio, struct t_bio, bio);

	if (++b->nr_ends < 50)
		iomap_bio_submit(bio);
}

CASE(end_io_may_submit, "", "The bio belongs to end_io, which may send it again")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct t_bio *b = t_writes(&d, 1);

		b->bio.end_io = resubmit;
		t_submit(b, 1);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 50, 50, IOMAP_FOREVER), 50);
		ck_assert_uint_eq(b->nr_ends, 50);
		free(b);
		t_device_stop(&d);
	}
}

CASE(completions_in_any_order, "", "Each end is its own request's, whatever the order")
{
	uint64_t seed = 7;
	struct t_device d;
	struct t_bio *b;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	b = t_writes(&d, 40);
	t_mem_fail(d.mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 13 * 4 * KB);
	t_submit(b, 40);
	for (unsigned left = 40; left; left--) {
		t_mem_release(d.mem, (unsigned)(t_rand(&seed) % left));
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
	}
	for (unsigned i = 0; i < 40; i++) {
		ck_assert_uint_eq(b[i].nr_ends, 1);
		ck_assert_int_eq(b[i].status, i == 13 ? -EIO : 0);
	}
	free(b);
	t_device_stop(&d);
}

/* ---- ending early ---- */

CASE(cancelled_bios_end_once, "", "Parked ones with -ECANCELED, those under way with their result")
{
	struct iomap_ioq_opts opts = depth(2);
	struct t_device d;
	struct t_bio *b;
	unsigned nr;

	opts.max_background = 2;
	t_device_start_mem(&d, "", &opts);
	t_mem_hold(d.mem, true);
	b = t_writes(&d, 6);
	iomap_bio_cancel(&b[0].bio);			/* not submitted: nothing happens */
	t_submit(b, 5);
	iomap_bio_cancel(&b[1].bio);			/* at the device */
	iomap_bio_cancel(&b[3].bio);			/* parked, in the middle */
	iomap_bio_cancel(&b[3].bio);
	ck_assert_uint_eq(b[3].nr_ends, 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_int_eq(b[3].status, -ECANCELED);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 4, 8, IOMAP_FOREVER), 4);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_eq(b[i].nr_ends, 1);
		ck_assert_int_eq(b[i].status, i == 3 ? -ECANCELED : 0);
	}
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 4);
	t_submit(b + 5, 1);				/* and a used one can be sent again */
	b[3].nr_ends = 0;
	t_submit(b + 3, 1);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 2, 8, IOMAP_FOREVER), 2);
	ck_assert_int_eq(b[3].status, 0);
	free(b);
	t_device_stop(&d);
}

CASE(a_bio_that_has_begun_is_not_cancelled, "O20",
     "Some of it is at the device: it ends once, when all of it is written")
{
	struct iomap_ioq_opts opts = depth(1);
	struct t_device d;
	struct t_bio b;

	t_device_start_mem(&d, "max=4k", &opts);
	t_mem_hold(d.mem, true);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(12 * KB, 3), 12 * KB);
	iomap_bio_submit(&b.bio);
	iomap_bio_cancel(&b.bio);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 0);
	ck_assert_uint_eq(b.nr_ends, 0);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_uint_eq(b.nr_ends, 1);
	ck_assert_int_eq(b.status, 0);
	ck_assert(t_is_filled(t_mem_data(d.mem), 12 * KB, 3));
	t_device_stop(&d);
}

CASE(cancelled_in_a_plug, "", "It ends when the plug is flushed, unsent")
{
	struct iomap_plug plug;
	struct t_device d;
	struct t_bio *b;
	unsigned nr;

	t_device_start_mem(&d, "", NULL);
	b = t_writes(&d, 2);
	iomap_plug_start(&plug, d.t.env);
	t_submit(b, 2);
	iomap_bio_cancel(&b[1].bio);
	iomap_plug_end(&plug);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 2, 2, IOMAP_FOREVER), 2);
	ck_assert_int_eq(b[0].status, 0);
	ck_assert_int_eq(b[1].status, -ECANCELED);
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 1);
	free(b);
	t_device_stop(&d);
}

CASE(drain_says_when_it_cannot, "", "-ETIMEDOUT leaves everything valid; later it drains")
{
	struct t_device d;
	struct t_bio *b;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	b = t_writes(&d, 3);
	t_submit(b, 3);
	t_mem_release(d.mem, 1);
	ck_assert_int_eq(iomap_ioq_drain(d.ioq, 0), -ETIMEDOUT);
	ck_assert_int_eq(iomap_ioq_drain(d.ioq, 2 * MS), -ETIMEDOUT);
	ck_assert_uint_eq(b[1].nr_ends, 1);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_drain(d.ioq, IOMAP_FOREVER), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(b[i].nr_ends, 1);
	free(b);
	t_device_stop(&d);
}

CASE(close_and_delete_drain, "", "What is under way ends before close returns, plugged bios too")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct iomap_plug plug;
		struct t_bio *b = t_writes(&d, 30);

		t_submit(b, 20);
		iomap_plug_start(&plug, d.t.env);
		t_submit(b + 20, 10);
		iomap_bdev_close(&d.bdev);
		for (unsigned i = 0; i < 30; i++)
			ck_assert_uint_eq(b[i].nr_ends, 1);
		iomap_plug_end(&plug);
		t_device_stop(&d);
		free(b);
	}
}

CASE(an_ioq_outlives_its_deletion, "", "A device that is still open keeps its queue until closed")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct t_bio *b = t_writes(&d, 4);

		t_submit(b, 4);
		iomap_ioq_delete(&d.ioq);
		for (unsigned i = 0; i < 4; i++)
			ck_assert_uint_eq(b[i].nr_ends, 1);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
		t_device_stop(&d);
		free(b);
	}
}

/* ---- plugs ---- */

CASE(a_plug_makes_batches, "", "Bios of several devices wait in it and go out together, in order")
{
	struct iomap_plug plug, inner;
	struct iomap_bdev *other;
	struct t_device d;
	struct t_bio *b;
	uint64_t batches;
	unsigned nr;

	t_device_start_mem(&d, "", NULL);
	ck_assert_int_eq(iomap_bdev_open(d.ioq, "mem:other", NULL, &other), 0);
	b = t_writes(&d, 20);
	for (unsigned i = 1; i < 20; i += 2)
		b[i].bio.bdev = other;
	batches = stats_of(d.ioq).batches;
	iomap_plug_start(&plug, d.t.env);
	t_submit(b, 10);
	iomap_plug_start(&inner, d.t.env);
	t_submit(b + 10, 9);
	iomap_plug_end(&inner);
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 0);
	ck_assert_uint_eq(stats_of(d.ioq).submitted, 0);
	iomap_plug_flush(&plug);
	ck_assert_uint_eq(stats_of(d.ioq).submitted, 19);
	ck_assert_uint_eq(stats_of(d.ioq).batches, batches + 1);
	ck_assert_uint_eq(t_mem_log(d.mem, &nr)[9].addr, 18 * 4 * KB);
	ck_assert_uint_eq(nr, 10);
	t_submit(b + 19, 1);
	iomap_plug_end(&plug);
	ck_assert_uint_eq(stats_of(d.ioq).submitted, 20);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 20, 20, IOMAP_FOREVER), 20);
	free(b);
	iomap_bdev_close(&other);
	t_device_stop(&d);
}

CASE(every_wait_flushes_the_plug, "",
     "poll, bio wait, drain, flush and object waits send what it holds")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct t_bio *b = t_writes(&d, 5);
		struct iomap_plug plug;

		iomap_plug_start(&plug, d.t.env);
		t_submit(b, 1);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
		b[1].bio.end_io = NULL;
		t_submit(b + 1, 1);
		ck_assert_int_eq(iomap_bio_wait(&b[1].bio), 0);
		t_submit(b + 2, 1);
		ck_assert_int_eq(iomap_ioq_drain(d.ioq, IOMAP_FOREVER), 0);
		ck_assert_uint_eq(b[2].nr_ends, 1);
		t_submit(b + 3, 1);
		while (!b[3].nr_ends)
			iomap_env_wait(d.t.env, &b[3].nr_ends, 0, 20 * MS);
		t_submit(b + 4, 1);
		ck_assert_int_eq(iomap_bdev_flush(d.bdev, UINT64_MAX), 0);
		iomap_plug_end(&plug);
		iomap_ioq_drain(d.ioq, IOMAP_FOREVER);
		ck_assert_uint_eq(b[4].nr_ends, 1);
		free(b);
		t_device_stop(&d);
	}
}

/* Its end submits another, which is this one's owner. */
static void submit_next(struct iomap_bio *bio)
{
	iomap_bio_submit(&((struct t_bio *)bio->owner)->bio);
}

CASE(callbacks_do_not_fill_the_waiters_plug, "",
     "What an end_io submits while the plug's owner waits is sent at once")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct t_bio *b = t_writes(&d, 2);
		struct iomap_plug plug;

		b[0].bio.end_io = submit_next;
		b[0].bio.owner = &b[1];
		iomap_plug_start(&plug, d.t.env);
		t_submit(b, 1);
		ck_assert_int_eq(iomap_env_wait(d.t.env, &b[1].nr_ends, 0, 1000 * MS), 0);
		iomap_plug_end(&plug);
		ck_assert_uint_eq(b[1].nr_ends, 1);
		free(b);
		t_device_stop(&d);
	}
}

MAIN()
