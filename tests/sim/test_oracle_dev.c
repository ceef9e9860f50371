/* SPDX-License-Identifier: MIT */
/*
 * test_oracle_dev.c - what a device notices of the commands that it is given.
 */
#include "model/flat.h"
#include "model/model.h"
#include "sim/fault.h"
#include "sim/oracle.h"

struct one {				/* a write of a page */
	struct iomap_bio bio;
	struct iomap_bvec seg;
};

static void make(struct one *w, uint64_t addr)
{
	iomap_bio_init(&w->bio, NULL, IOMAP_BIO_WRITE, addr, &w->seg, 1);
	iomap_bio_add(&w->bio, t_buffer(PAGE, 0), PAGE, NULL);
}

static enum iomap_queued put(struct bare *b, struct one *w)
{
	return b->ops->queue(b->queue, b->dev, &w->bio);
}

/* ---- which there are ---- */

CASE(oracles_are_asked_by_name, "", "Known ones have counts, unknown ones are refused")
{
	struct iomap_sim_verdict v = { .struct_size = sizeof(v) };
	struct bare b;
	struct one w;

	bare_new(&b, "consumer");
	ck_assert_int_eq(iomap_sim_oracle(b.sim, "O20", &v), 0);
	ck_assert_uint_eq(v.evaluated, 0);
	ck_assert_int_eq(iomap_sim_oracle(b.sim, "O1000", &v), -ENOENT);
	ck_assert_int_eq(iomap_sim_oracle(b.sim, "", &v), -ENOENT);
	ck_assert_int_eq(iomap_sim_oracle(b.sim, "O20 O25", &v), -ENOENT);
	ck_assert_int_eq(iomap_sim_oracle(b.sim, NULL, &v), -EINVAL);
	v.struct_size = 1;
	ck_assert_int_eq(iomap_sim_oracle(b.sim, "O20", &v), -EINVAL);
	ck_assert_int_eq(iomap_sim_watch(b.sim, " O25  O26 "), 0);
	ck_assert_int_eq(iomap_sim_watch(b.sim, "O25O26"), -EINVAL);
	ck_assert_int_eq(iomap_sim_watch(b.sim, "25"), -EINVAL);
	ck_assert_int_eq(iomap_sim_watch(b.sim, NULL), -EINVAL);
	make(&w, 0);
	ck_assert_int_eq(put(&b, &w), IOMAP_QUEUE_QUEUED);
	bare_reap(&b, 1);
	ck_assert_violated(b.sim, "O20", 0);
	ck_assert_str_eq(iomap_sim_violation(b.sim), "");
	bare_delete(&b);
}

/* ---- O20 ---- */

CASE(a_bio_in_flight_is_not_submitted, "O20", "The same bio twice, and a bio made anew in flight")
{
	struct bare b;
	struct one w;

	for (unsigned anew = 0; anew < 2; anew++) {
		bare_new(&b, "consumer");
		make(&w, 0);
		ck_assert_int_eq(put(&b, &w), IOMAP_QUEUE_QUEUED);
		ck_assert_violated(b.sim, "O20", 0);
		if (anew)
			make(&w, PAGE);
		ck_assert_int_eq(put(&b, &w), IOMAP_QUEUE_QUEUED);
		ck_assert_violated(b.sim, "O20", !anew);
		bare_reap(&b, 2);
		ck_assert_uint_gt(verdict(b.sim, "O20").violated, 0);
		ck_assert_msg(!strncmp(iomap_sim_violation(b.sim), "O20: ", 5), "%s",
			      iomap_sim_violation(b.sim));
		bare_delete(&b);
	}
}

CASE(nothing_is_in_flight_at_close, "O20 O30", "A queue and a device that are closed too early")
{
	struct bare b;
	struct one w;

	bare_new(&b, "consumer");
	make(&w, 0);
	ck_assert_int_eq(put(&b, &w), IOMAP_QUEUE_QUEUED);
	b.ops->dev_close(b.dev);
	ck_assert_violated(b.sim, "O30", 1);
	b.ops->queue_close(b.queue);
	ck_assert_violated(b.sim, "O20", 1);
	ck_assert_str_eq(iomap_sim_violation(b.sim), "O30: disk was closed with 1 bios in flight");
	iomap_sim_delete(&b.sim);
}

static struct bare left;
static struct one left_write;

static int leave(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	bare_open(&left, sim);
	make(&left_write, 0);
	return put(&left, &left_write) == IOMAP_QUEUE_QUEUED ? 0 : -EIO;
}

CASE(nothing_is_in_flight_at_the_end, "O20", "A work that forgets what it has sent fails")
{
	static const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = NR_PAGES * PAGE,
	};
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "left", .devs = &disk, .nr_devs = 1,
		.work = leave,
	};
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 1, .no_shrink = true };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O20");
	ck_assert_uint_gt(r.evaluated[20], 0);
	iomap_sim_report_fini(&r);	/* the queue has gone with the run */
}

/* The library's queue is longer than the device's: what does not fit is parked. */
CASE(what_was_parked_goes_out_once, "O20", "Many bios, a queue of two, each heard of once")
{
	struct iomap_sim_profile profile = *iomap_sim_preset("consumer");
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	struct t_bio bios[8];
	struct world w;

	profile.queue_depth = 2;
	world_new_of(&w, &profile, 1);
	world_unplug(&w);
	iomap_sim_env_opts(w.sim, &opts);		/* nobody listens to reports */
	ck_assert_int_eq(iomap_env_new(&opts, &w.env), 0);
	ck_assert_int_eq(iomap_ioq_new(w.env, NULL, &w.ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(w.ioq, "sim:disk", NULL, &w.bdev), 0);
	for (unsigned i = 0; i < 8; i++)
		world_send(&bios[i], w.bdev, i, 1, 'a', 0);
	for (unsigned i = 0; i < 8; i++) {
		iomap_ioq_poll(w.ioq, 1, 1, 1000000);
		ck_assert_violated(w.sim, "O20", 0);
	}
	for (unsigned i = 0; i < 8; i++)
		ck_assert_uint_eq(bios[i].nr_ends, 1);
	world_delete(&w);
}

CASE(a_device_may_be_closed_at_once, "O30", "Close waits for what is in flight")
{
	struct t_bio bios[4];
	struct world w;

	world_new(&w, "consumer", 1);
	for (unsigned i = 0; i < 4; i++)
		world_send(&bios[i], w.bdev, i, 1, 'a', 0);
	iomap_bdev_close(&w.bdev);
	ck_assert_violated(w.sim, "O30", 0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(bios[i].nr_ends, 1);
	world_delete(&w);
}

/* ---- O25 ---- */

/* What a file of that kind does to pages that are being written. */
static uint64_t rewrite(uint32_t inode_flags, const char *watched)
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	const struct m_opts m_opts = { .dev = "sim:disk", .inode_flags = inode_flags };
	struct m_model *m;
	struct m_file *f;
	struct world w;
	struct t_env t;
	uint64_t n;

	world_new(&w, "consumer", 1);
	ck_assert_int_eq(iomap_sim_watch(w.sim, watched), 0);
	iomap_sim_env_opts(w.sim, &opts);
	t_env_start(&t, &opts);
	m = m_open(&t, &m_opts);
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 8 * PAGE, 1), 8 * PAGE);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(m_fill(f, 100, 7 * PAGE, 2), 7 * PAGE);
	ck_assert_int_eq(m_sync(f), 0);
	n = verdict(w.sim, "O25").violated;
	ck_assert_uint_eq(verdict(w.sim, "O25").evaluated != 0, *watched != 0);
	ck_assert(m_device_equals_model(f));
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
	world_delete(&w);
	return n;
}

CASE(memory_in_flight_does_not_change, "O25",
     "Where pages are stable a writer waits; where they are not, it is seen that they change")
{
	ck_assert_uint_eq(rewrite(IOMAP_INODE_STABLE, "O25"), 0);
	ck_assert_uint_gt(rewrite(0, "O25"), 0);
	ck_assert_uint_eq(rewrite(0, ""), 0);
}

/* ---- O26 ---- */

static int overlap(struct iomap_sim *sim, void *arg)
{
	uint8_t page[2 * PAGE] = { 1 };
	int rc = arg ? iomap_sim_watch(sim, "O26") : 0;

	if (!rc)
		rc = iomap_sim_start_write(sim, "disk", page, 2 * PAGE, 0, 0);
	if (!rc)
		rc = iomap_sim_start_write(sim, "disk", page, PAGE, PAGE, 0);
	return rc ? rc : iomap_sim_wait_writes(sim);
}

CASE(plain_writes_may_overlap, "O26", "It is a hazard, and a failure only where it was asked for")
{
	static const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = NR_PAGES * PAGE,
	};
	struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "overlap", .devs = &disk, .nr_devs = 1,
		.work = overlap,
	};
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 3 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_uint_gt(r.evaluated[26], 0);
	c.arg = &c;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O26");
	iomap_sim_report_fini(&r);
}

CASE(bios_in_flight_do_not_overlap, "O26", "Through an environment it is always seen")
{
	struct t_bio bios[3];
	struct world w;

	world_new(&w, "consumer", 1);
	world_send(&bios[0], w.bdev, 0, 2, 'a', 0);
	world_send(&bios[1], w.bdev, 2, 2, 'b', 0);
	ck_assert_violated(w.sim, "O26", 0);
	world_send(&bios[2], w.bdev, 3, 2, 'c', 0);
	ck_assert_violated(w.sim, "O26", 1);
	ck_assert_int_eq(iomap_ioq_drain(w.ioq, IOMAP_FOREVER), 0);
	world_delete(&w);
}

/* The cleaner asks twice for the same frame, while it is being written. */
CASE(a_frame_is_in_flight_once, "O26", "A frame that is being written is not sent again")
{
	struct flat_opts opts = { .dev = "sim:disk", .frames = 4, .frame_size = PAGE };
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = 64 << 20,
	};
	const struct iomap_sim_opts sim_opts = {
		.struct_size = sizeof(sim_opts), .seed = 1, .devs = &disk, .nr_devs = 1,
	};
	struct iomap_writeback_ctx wpc;
	struct iomap_sim *sim;
	struct flat *f;
	int again;

	ck_assert_int_eq(iomap_sim_new(&sim_opts, &sim), 0);
	opts.env.struct_size = sizeof(opts.env);
	iomap_sim_env_opts(sim, &opts.env);
	f = flat_new(&opts);
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 2), 0);
	ck_assert_int_eq(flat_frame(f, &wpc, 0), 0);
	ck_assert_int_eq(iomap_writeback_kick(&wpc), 0);
	iomap_folio_mark_dirty(&f->frames[0], 0, PAGE);
	again = iomap_writeback_folio(&wpc, &f->frames[0]);
	ck_assert_int_eq(iomap_writeback_kick(&wpc), 0);
	ck_assert_violated(sim, "O26", 0);
	ck_assert_int_eq(again, -EBUSY);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	flat_delete(&f);
	iomap_sim_delete(&sim);
}

/* ---- O27 ---- */

static unsigned nr_refused;

static void take(struct bare *b, struct one *w)
{
	make(w, 0);
	ck_assert_int_eq(put(b, w), IOMAP_QUEUE_QUEUED);	/* as it was, it is taken */
	bare_reap(b, 1);
	ck_assert_violated(b->sim, "O27", nr_refused);
}

CASE(a_device_checks_again, "O27", "What no device could take ends with -EIO, each for its reason")
{
	struct one w;
	struct bare b;

	bare_new(&b, "sata512e");
#define REFUSED(change) do { \
	take(&b, &w); \
	make(&w, 0); \
	change; \
	ck_assert_msg(put(&b, &w) == IOMAP_QUEUE_DONE, #change); \
	ck_assert_int_eq(w.bio.status, -EIO); \
	ck_assert_violated(b.sim, "O27", ++nr_refused); \
} while (0)
	REFUSED(w.bio.op = IOMAP_BIO_ZONE_RESET);
	REFUSED(w.bio.op = IOMAP_BIO_FLUSH);
	REFUSED(w.bio.op = IOMAP_BIO_DISCARD);
	REFUSED(w.bio.addr = 100);
	REFUSED(w.bio.len = w.seg.len = 100);
	REFUSED(w.bio.addr = NR_PAGES * PAGE);
	REFUSED(w.bio.addr = NR_PAGES * PAGE - 512);
	REFUSED(w.bio.addr = UINT64_MAX - 511);
	REFUSED(w.bio.len = w.seg.len = (1 << 20) + 512);
	REFUSED(w.seg.len = 512);
	REFUSED(w.seg.mem = (char *)w.seg.mem + 1);
	REFUSED(w.bio.nr_segs = 257);
	REFUSED(w.bio.flags = IOMAP_BIO_PREFLUSH);
	REFUSED(w.bio.flags = IOMAP_BIO_FUA);
	REFUSED(w.bio.flags = IOMAP_BIO_ATOMIC);
	bare_delete(&b);
}

CASE(what_is_split_fits, "O27", "Of a bio larger than a request each piece is one that fits")
{
	struct iomap_sim_profile profile = *iomap_sim_preset("consumer");
	struct world w;

	profile.max_bytes = 3 * PAGE;
	world_new_of(&w, &profile, 1);
	ck_assert_int_eq(world_write(&w, 1, 20, 'x', 0), 0);
	ck_assert_violated(w.sim, "O27", 0);
	ck_assert_int_eq(world_letter(&w, 20), 'x');
	world_delete(&w);
}

MAIN()
