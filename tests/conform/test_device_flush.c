/* SPDX-License-Identifier: MIT */
/*
 * test_device_flush.c - what is durable, and what a flush costs: PREFLUSH, FUA, FLUSH, tickets.
 */
#include "harness/devices.h"

#define KB 1024u

/* The operations the device saw, as letters: W, w (with FUA), F. */
static const char *story(struct t_mem *mem)
{
	static char text[64];
	const struct t_mem_req *log;
	unsigned nr, i;

	log = t_mem_log(mem, &nr);
	for (i = 0; i < nr && i < sizeof(text) - 1; i++)
		text[i] = log[i].op == IOMAP_BIO_FLUSH ? 'F'
			  : log[i].flags & IOMAP_BIO_FUA ? 'w' : 'W';
	text[i] = '\0';
	return text;
}

static int write_block(struct t_device *d, unsigned flags)
{
	static uint8_t mem[4 * KB];

	return t_io(d->bdev, IOMAP_BIO_WRITE, 0, mem, sizeof(mem), flags);
}

CASE(preflush_and_fua_in_order, "", "The flush, the write, and a flush after it without FUA")
{
	static const struct {
		const char *options;
		unsigned flags;
		const char *story;
	} table[] = {
		{ "", 0, "W" },
		{ "", IOMAP_BIO_PREFLUSH, "FW" },
		{ "", IOMAP_BIO_FUA, "w" },
		{ "", IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA, "Fw" },
		{ "nofua", IOMAP_BIO_FUA, "WF" },
		{ "nofua", IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA, "FWF" },
		{ "nofua,max=2k", IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA, "FWWF" },
		{ "max=2k", IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA, "Fww" },
		{ "nocache", IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA, "W" },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct t_device d;

		t_device_start_mem(&d, table[i].options, NULL);
		ck_assert_int_eq(write_block(&d, table[i].flags), 0);
		ck_assert_str_eq(story(d.mem), table[i].story);
		t_device_stop(&d);
	}
}

CASE(the_write_waits_for_its_preflush, "", "It is sent when the flush has come back, not before")
{
	struct t_device d;
	struct t_bio b;

	t_device_start_mem(&d, "nofua", NULL);
	t_mem_hold(d.mem, true);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB);
	b.bio.flags = IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA;
	iomap_bio_submit(&b.bio);
	ck_assert_str_eq(story(d.mem), "F");
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 0);
	ck_assert_str_eq(story(d.mem), "FW");
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 0);
	ck_assert_str_eq(story(d.mem), "FWF");
	ck_assert_uint_eq(b.nr_ends, 0);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 1);
	ck_assert_uint_eq(b.nr_ends, 1);
	t_device_stop(&d);
}

CASE(a_failed_preflush_stops_the_write, "", "Nothing is written; the bio has the flush's error")
{
	struct t_device d;

	t_device_start_mem(&d, "nofua", NULL);
	t_mem_fail(d.mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(write_block(&d, IOMAP_BIO_PREFLUSH), -EIO);
	ck_assert_str_eq(story(d.mem), "F");
	t_mem_log_reset(d.mem);
	t_mem_fail(d.mem, IOMAP_BIO_WRITE, 1, 1, -ENOSPC, UINT64_MAX);
	ck_assert_int_eq(write_block(&d, IOMAP_BIO_FUA), -ENOSPC);
	ck_assert_str_eq(story(d.mem), "W");		/* no flush for what was not written */
	t_mem_log_reset(d.mem);
	t_mem_fail(d.mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(write_block(&d, IOMAP_BIO_FUA), -EIO);
	ck_assert_str_eq(story(d.mem), "WF");
	t_device_stop(&d);
}

CASE(durability_on_every_device, "", "Flush, PREFLUSH and FUA succeed wherever a device is sound")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		uint8_t *mem = t_buffer(8 * KB, 1);

		for (unsigned flags = 0; flags < 4; flags++)
			ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 4 * KB * flags, mem, 8 * KB,
					      flags), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, NULL, 0, IOMAP_BIO_PREFLUSH), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
		ck_assert_uint_eq(iomap_bdev_write_seq(d.bdev), 5);
		ck_assert_int_eq(iomap_bdev_flush(d.bdev, iomap_bdev_write_seq(d.bdev)), 0);
		t_device_stop(&d);
	}
}

CASE(a_covered_ticket_is_free, "",
     "One flush covers all writes that had completed when it went out")
{
	struct t_device d;
	uint64_t first, second;

	t_device_start_mem(&d, "", NULL);
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, UINT64_MAX), 0);
	ck_assert_str_eq(story(d.mem), "");		/* nothing was written yet */
	write_block(&d, 0);
	first = iomap_bdev_write_seq(d.bdev);
	write_block(&d, 0);
	second = iomap_bdev_write_seq(d.bdev);
	ck_assert_uint_gt(second, first);
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, second), 0);
	ck_assert_str_eq(story(d.mem), "WWF");
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, first), 0);
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, second), 0);
	ck_assert_str_eq(story(d.mem), "WWF");
	write_block(&d, 0);
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, second), 0);
	ck_assert_str_eq(story(d.mem), "WWFW");
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, UINT64_MAX), 0);
	ck_assert_str_eq(story(d.mem), "WWFWF");
	write_block(&d, 0);
	write_block(&d, IOMAP_BIO_PREFLUSH);		/* covers the one before it, not itself */
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, iomap_bdev_write_seq(d.bdev) - 1), 0);
	ck_assert_str_eq(story(d.mem), "WWFWFWFW");
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, iomap_bdev_write_seq(d.bdev)), 0);
	ck_assert_str_eq(story(d.mem), "WWFWFWFWF");
	t_device_stop(&d);
}

CASE(a_write_under_way_is_not_covered, "",
     "A flush that goes out before a write ends covers it not")
{
	struct t_device d;
	struct t_bio w, f;

	t_device_start_mem(&d, "", NULL);
	write_block(&d, 0);
	t_mem_hold(d.mem, true);
	t_bio_init(&f, d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	iomap_bio_submit(&f.bio);
	t_bio_init(&w, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB);
	iomap_bio_submit(&w.bio);
	t_mem_release(d.mem, 1);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 1);
	t_mem_hold(d.mem, false);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 1);
	ck_assert_str_eq(story(d.mem), "WFW");
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, 1), 0);
	ck_assert_str_eq(story(d.mem), "WFW");
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, 2), 0);
	ck_assert_str_eq(story(d.mem), "WFWF");
	t_device_stop(&d);
}

CASE(a_failed_flush_covers_nothing, "", "It says its error; the ticket has to be asked for again")
{
	struct t_device d;
	const struct iomap_trace_record *r;

	t_device_start_mem(&d, "", NULL);
	write_block(&d, 0);
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, 1), 0);
	write_block(&d, 0);
	write_block(&d, 0);
	t_env_trace(&d.t);
	t_mem_fail(d.mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, 3), -EIO);
	ck_assert_uint_eq(t_env_count(&d.t, IOMAP_TRACE_FLUSH), 1);
	for (r = d.t.trace; r->event != IOMAP_TRACE_FLUSH; r++)
		;
	ck_assert_int_eq(r->result, -EIO);
	ck_assert_uint_eq(r->addr, 1);		/* the last good one */
	ck_assert_uint_eq(r->len, 3);
	ck_assert_int_eq(iomap_bdev_flush(d.bdev, 3), 0);
	ck_assert_str_eq(story(d.mem), "WFWWFF");
	t_device_stop(&d);
}

CASE(a_flush_submitted_with_a_ticket, "", "Asynchronous tickets: free, or one flush for several")
{
	struct t_device d;
	struct t_bio f[3];

	t_device_start_mem(&d, "", NULL);
	write_block(&d, 0);
	for (unsigned i = 0; i < 3; i++) {
		t_bio_init(&f[i], NULL, IOMAP_BIO_READ, 0, NULL, 0);
		iomap_bdev_flush_submit(d.bdev, 1, &f[i].bio);
		ck_assert_uint_eq(f[i].nr_ends, 0);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
		ck_assert_uint_eq(f[i].nr_ends, 1);
		ck_assert_int_eq(f[i].status, 0);
	}
	ck_assert_str_eq(story(d.mem), "WF");
	t_device_stop(&d);
	t_device_start(&d, T_NULL);		/* no cache: free at once */
	write_block(&d, 0);
	t_bio_init(&f[0], d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	iomap_bdev_flush_submit(d.bdev, 1, &f[0].bio);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
	ck_assert_int_eq(f[0].status, 0);
	t_device_stop(&d);
}

static int flush_rc;
static void flush_in_end_io(struct iomap_bio *bio)
{
	flush_rc = iomap_bdev_flush(bio->bdev, UINT64_MAX);
}

CASE(no_flush_is_waited_for_in_a_callback, "", "iomap_bdev_flush from end_io is -EDEADLK")
{
	struct t_device d;
	struct t_bio b;

	t_device_start_mem(&d, "", NULL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB);
	b.bio.end_io = flush_in_end_io;
	flush_rc = 0;
	iomap_bio_submit(&b.bio);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
	ck_assert_int_eq(flush_rc, -EDEADLK);
	t_device_stop(&d);
}

MAIN()
