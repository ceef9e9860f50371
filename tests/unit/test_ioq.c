/* SPDX-License-Identifier: MIT */
/*
 * test_ioq.c - a queue from inside: what parks, what pieces are made of.
 */
#include "block/block.h"
#include "harness/devices.h"

#define KB 1024u

static struct iomap_ioq_opts depth(uint32_t n)
{
	return (struct iomap_ioq_opts){ .struct_size = sizeof(struct iomap_ioq_opts), .depth = n,
					.max_background = n };
}

static void start_write(struct t_device *d, struct t_bio *b, unsigned block, bool has_end_io)
{
	t_bio_init(b, d->bdev, IOMAP_BIO_WRITE, block * 4ull * KB, t_buffer(4 * KB, 1), 4 * KB);
	if (!has_end_io)
		b->bio.end_io = NULL;
	iomap_bio_submit(&b->bio);
}

/* ---- several devices, several queues ---- */

CASE(a_close_ignores_other_devices, "",
     "It returns when its own requests are gone, not all of them")
{
	struct iomap_bdev *held;
	struct t_device d;
	struct t_bio b[2];

	t_device_start_mem(&d, "", NULL);
	ck_assert_int_eq(iomap_bdev_open(d.ioq, "mem:held", NULL, &held), 0);
	t_mem_hold(t_mem_find("held"), true);
	t_bio_init(&b[0], held, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB);
	iomap_bio_submit(&b[0].bio);
	start_write(&d, &b[1], 0, true);
	iomap_bdev_close(&d.bdev);
	ck_assert_uint_eq(b[1].nr_ends, 1);
	ck_assert_uint_eq(b[0].nr_ends, 0);
	t_mem_release_all(t_mem_find("held"));
	iomap_bdev_close(&held);
	ck_assert_uint_eq(b[0].nr_ends, 1);
	t_device_stop(&d);
}

CASE(an_object_wait_drives_every_queue, "",
     "iomap_env_wait reaps what two queues have, and is told")
{
	struct iomap_ioq *second;
	struct t_device d;
	struct t_bio b[2];

	t_device_start_mem(&d, "", NULL);
	ck_assert_int_eq(iomap_ioq_new(d.t.env, NULL, &second), 0);
	ck_assert_int_eq(iomap_bdev_attach(d.bdev, second), 0);
	for (unsigned i = 0; i < 2; i++) {
		t_bio_init(&b[i], d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB);
		b[i].bio.ioq = i ? second : NULL;
		iomap_bio_submit(&b[i].bio);
	}
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(iomap_env_wait(d.t.env, &b[i].nr_ends, 0, IOMAP_FOREVER), 0);
		ck_assert_uint_eq(b[i].nr_ends, 1);
	}
	iomap_bdev_close(&d.bdev);
	iomap_ioq_delete(&second);
	t_device_stop(&d);
}

/* ---- backends that are wrong ---- */

CASE(a_backend_that_answers_twice, "O20", "Each bio ends once, and the backend is named")
{
	struct t_device d;
	struct t_bio b[3];

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	for (unsigned i = 0; i < 3; i++)
		start_write(&d, &b[i], i, true);
	t_mem_repeat(d.mem);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_drain(d.ioq, IOMAP_FOREVER), 0);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(b[i].nr_ends, 1);
	ck_assert_uint_eq(d.t.nr_reports, 1);
	ck_assert_str_eq(d.t.last_rule, "O20");
	ck_assert_str_eq(d.t.last_callback, "mem");
	ck_assert_uint_eq(d.ioq->in_flight, 0);
	t_device_stop(&d);
}

/* ---- parking ---- */

static unsigned nr_queues;

static int count_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			    void **queue, const char **reason)
{
	nr_queues++;
	return t_mem_backend.queue_open(arg, env, opts, queue, reason);
}

static void count_queue_close(void *queue)
{
	nr_queues--;
	t_mem_backend.queue_close(queue);
}

CASE(a_backend_that_lacks_a_call, "", "It is refused by name, and its queue is not left open")
{
	static struct iomap_backend_ops ops;
	static const struct iomap_backend_ops *const backends[] = { &ops, NULL };
	const struct iomap_env_opts opts = { .struct_size = sizeof(opts), .backends = backends };
	struct iomap_bdev *bdev;
	struct iomap_ioq *ioq;
	struct t_env t = { 0 };

	t_env_start(&t, &opts);
	ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
	for (unsigned i = 0; i < 2; i++) {
		ops = t_mem_backend;
		ops.scheme = "half";
		ops.queue_open = i ? NULL : count_queue_open;
		ops.queue_close = count_queue_close;
		ops.reap = NULL;
		ck_assert_int_eq(iomap_bdev_open(ioq, "half:m", NULL, &bdev), -EINVAL);
		ck_assert_uint_eq(t.nr_reports, i + 1);
		ck_assert_str_eq(t.last_callback, "half");
		ck_assert_uint_eq(nr_queues, 0);
	}
	iomap_ioq_delete(&ioq);
	t_env_stop(&t);
}

CASE(busy_parks_in_front, "", "What the backend refused goes first, and the order stays")
{
	const struct t_mem_req *log;
	struct t_device d;
	struct t_bio b[8];
	unsigned nr;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	for (unsigned i = 0; i < 8; i++) {
		if (i == 2)
			t_mem_busy(d.mem, 3);
		start_write(&d, &b[i], i, true);
	}
	/* Two went, the third was refused by its own submit and by those of two after it. */
	log = t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 8);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_uint_eq(log[i].addr, i * 4ull * KB);
	ck_assert_uint_eq(d.ioq->full, 3);
	ck_assert_uint_eq(d.ioq->nr_parked, 0);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	iomap_ioq_drain(d.ioq, IOMAP_FOREVER);
	t_device_stop(&d);
}

static void send_again(struct iomap_bio *bio)
{
	iomap_bio_submit(bio);
}

CASE(one_quick_backend_does_not_starve_another, "",
     "Each has its turn, also where one always has as many as a poll takes")
{
	struct iomap_bdev *quick;
	struct t_device d;
	struct t_bio b[2];

	for (unsigned slow_first = 0; slow_first < 2; slow_first++) {
		t_device_start_mem(&d, "", NULL);
		ck_assert_int_eq(iomap_bdev_open(d.ioq, "null:", NULL, &quick), 0);
		t_bio_init(&b[0], slow_first ? quick : d.bdev, IOMAP_BIO_WRITE, 0,
			   t_buffer(4 * KB, 1), 4 * KB);
		b[0].bio.end_io = send_again;
		t_bio_init(&b[1], slow_first ? d.bdev : quick, IOMAP_BIO_WRITE, 0,
			   t_buffer(4 * KB, 1), 4 * KB);
		iomap_bio_submit(&b[0].bio);
		iomap_bio_submit(&b[1].bio);
		for (unsigned i = 0; i < 8 && !b[1].nr_ends; i++)
			ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
		ck_assert_uint_eq(b[1].nr_ends, 1);
		b[0].bio.end_io = NULL;
		iomap_bdev_close(&quick);
		t_device_stop(&d);
	}
}

CASE(one_busy_backend_does_not_park_another, "", "Each backend of a queue parks for itself")
{
	struct iomap_ioq_opts opts = depth(1);
	struct iomap_bdev *null;
	struct t_device d;
	struct t_bio b[3];

	t_device_start_mem(&d, "", &opts);
	ck_assert_int_eq(iomap_bdev_open(d.ioq, "null:", NULL, &null), 0);
	t_mem_hold(d.mem, true);
	start_write(&d, &b[0], 0, true);
	start_write(&d, &b[1], 1, true);
	t_bio_init(&b[2], null, IOMAP_BIO_WRITE, 0, t_buffer(512, 1), 512);
	iomap_bio_submit(&b[2].bio);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_uint_eq(b[2].nr_ends, 1);
	ck_assert_uint_eq(d.ioq->nr_parked, 1);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 2, 8, IOMAP_FOREVER), 2);
	iomap_bdev_close(&null);
	t_device_stop(&d);
}

/* ---- pieces ---- */

static unsigned nr_free(const struct iomapi_piece *list)
{
	unsigned nr = 0;

	for (; list; list = list->next)
		nr++;
	return nr;
}

/* A write of nr segments of 512 bytes in pairs that are adjacent in memory: nr / 2 runs. */
static void start_pairs(struct t_device *d, struct iomap_bio *bio, struct iomap_bvec *segs,
			uint8_t *mem, unsigned nr)
{
	iomap_bio_init(bio, d->bdev, IOMAP_BIO_WRITE, 0, segs, nr);
	for (unsigned i = 0; i < nr; i++)
		iomap_bio_add(bio, mem + (i / 2) * 2048 + (i % 2) * 512, 512, NULL);
	iomap_bio_submit(bio);
}

CASE(adjacent_segments_become_one, "",
     "A thousand pages of one arena are one segment for the device")
{
	enum { NR = 1024 };
	static struct iomap_bvec segs[NR];
	uint8_t *mem = t_buffer(NR * 4 * KB, 1);
	const struct t_mem_req *log;
	struct iomap_bio bio;
	struct t_device d;
	unsigned nr;

	t_device_start_mem(&d, "segs=4", NULL);
	iomap_bio_init(&bio, d.bdev, IOMAP_BIO_WRITE, 0, segs, NR);
	for (unsigned i = 0; i < NR; i++)
		iomap_bio_add(&bio, mem + i * 4 * KB, 4 * KB, NULL);
	iomap_bio_submit(&bio);
	ck_assert_uint_eq(iomapi_track(&bio)->nr_runs, 1);
	ck_assert_int_eq(iomap_bio_wait(&bio), 0);
	log = t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 1);
	ck_assert_uint_eq(log[0].nr_segs, 1);
	ck_assert_uint_eq(log[0].len, NR * 4 * KB);
	ck_assert(t_is_filled(t_mem_data(d.mem), NR * 4 * KB, 1));
	ck_assert_uint_eq(bio.nr_segs, NR);		/* the caller's are as they were */
	t_device_stop(&d);
}

CASE(small_and_big_pieces, "", "Sixteen runs fit a small piece, one more takes a big one")
{
	static struct iomap_bvec segs[3][2048];
	uint8_t *mem = t_buffer(1024 * 2048, 1);
	static const unsigned runs[] = { 16, 17, IOMAPI_BIG_SEGS }, small[] = { 1, 0, 0 };
	struct iomap_bio bios[3];
	const struct t_mem_req *log;
	struct t_device d;
	unsigned nr;

	t_device_start_mem(&d, "size=32m", NULL);
	ck_assert_uint_eq(nr_free(d.ioq->free_small), 256);
	ck_assert_uint_eq(nr_free(d.ioq->free_big), IOMAPI_NR_BIG);
	t_mem_hold(d.mem, true);
	for (unsigned i = 0; i < 3; i++) {
		start_pairs(&d, &bios[i], segs[i], mem, runs[i] * 2);
		ck_assert_uint_eq(nr_free(d.ioq->free_small), 256 - 1);
		ck_assert_uint_eq(nr_free(d.ioq->free_big), IOMAPI_NR_BIG - i);
		log = t_mem_log(d.mem, &nr);
		ck_assert_uint_eq(nr, i + 1);
		ck_assert_uint_eq(log[i].nr_segs, runs[i]);
		ck_assert_uint_eq(log[i].bio->max_segs,
				  small[i] ? IOMAPI_SMALL_SEGS : IOMAPI_BIG_SEGS);
	}
	t_mem_release_all(d.mem);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(iomap_bio_wait(&bios[i]), 0);
	ck_assert_uint_eq(nr_free(d.ioq->free_small), 256);
	ck_assert_uint_eq(nr_free(d.ioq->free_big), IOMAPI_NR_BIG);
	t_device_stop(&d);
}

CASE(no_piece_free_parks, "", "More big requests than big pieces: all are written, a few at a time")
{
	enum { NR = 3 * IOMAPI_NR_BIG };
	static struct iomap_bvec segs[NR][64];
	uint8_t *mem = t_buffer(32 * 2048, 1);
	struct iomap_bio bios[NR];
	struct t_device d;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	for (unsigned i = 0; i < NR; i++)
		start_pairs(&d, &bios[i], segs[i], mem, 64);
	ck_assert_uint_eq(t_mem_nr_held(d.mem), IOMAPI_NR_BIG);
	ck_assert_uint_eq(d.ioq->nr_parked, NR - IOMAPI_NR_BIG);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_int_eq(iomap_bio_wait(&bios[i]), 0);
	t_device_stop(&d);
}

static unsigned nr_piece_ends;
static void count_piece_end(struct iomap_bio *bio, uint64_t off, uint64_t len, int status)
{
	(void)bio;
	ck_assert_uint_eq(off % 512, 0);
	ck_assert_uint_eq(len, 512);
	ck_assert_int_eq(status, 0);
	nr_piece_ends++;
}

CASE(more_pieces_than_there_are, "", "A bio of a thousand pieces goes through a queue of four")
{
	struct iomap_ioq_opts opts = depth(4);
	uint8_t *mem = t_buffer(512 * KB, 1);
	struct t_device d;
	struct t_bio b;

	t_device_start_mem(&d, "max=512", &opts);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, 512 * KB);
	b.bio.piece_end = count_piece_end;
	nr_piece_ends = 0;
	iomap_bio_submit(&b.bio);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
	ck_assert_uint_eq(nr_piece_ends, 1024);
	ck_assert_uint_eq(b.nr_ends, 1);
	ck_assert(t_is_filled(t_mem_data(d.mem), 512 * KB, 1));
	t_device_stop(&d);
}

CASE(only_what_needs_a_piece_gets_one, "", "A plain request goes to the backend itself")
{
	struct t_device d;
	struct t_bio b;
	unsigned nr;

	t_device_start_mem(&d, "", NULL);
	t_mem_hold(d.mem, true);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(8 * KB, 1), 4 * KB);
	iomap_bio_add(&b.bio, t_buffer(4 * KB, 1), 4 * KB, NULL);
	b.bio.flags = IOMAP_BIO_FUA;
	iomap_bio_submit(&b.bio);
	ck_assert_ptr_eq(t_mem_log(d.mem, &nr)->bio, &b.bio);
	ck_assert_uint_eq(nr_free(d.ioq->free_small), 256);
	t_mem_release_all(d.mem);
	iomap_ioq_drain(d.ioq, IOMAP_FOREVER);
	t_device_stop(&d);
}

CASE(ended_later, "", "A bio that was never sent ends with the status it has, from the next poll")
{
	struct t_device d;
	struct t_bio b;
	unsigned nr;

	t_device_start_mem(&d, "", NULL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB);
	b.bio.status = -ECANCELED;
	iomapi_bio_end_later(&b.bio);
	ck_assert_uint_eq(b.nr_ends, 0);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_int_eq(b.status, -ECANCELED);
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 0);
	t_device_stop(&d);
}

/* The steady path takes memory from nobody. */
CASE(no_allocation_on_the_way, "", "Submitting, splitting, flushing and reaping allocate nothing")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		uint8_t *mem = t_buffer(64 * KB, 1);
		uint64_t allocs;

		allocs = d.t.nr_allocs;
		for (unsigned i = 0; i < 50; i++) {
			t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 64 * KB, i & 3);
			t_io(d.bdev, IOMAP_BIO_READ, 0, mem, 64 * KB, 0);
			iomap_bdev_flush(d.bdev, UINT64_MAX);
		}
		ck_assert_uint_eq(d.t.nr_allocs, allocs);
		t_device_stop(&d);
	}
}

MAIN()
