/* SPDX-License-Identifier: MIT */
/*
 * test_fault_model.c - each kind of fault below a client with a cache.
 *
 * What the device refused is reported, once to each handle, and kept; what was only late, or in
 * pieces, is not noticed.  In the end all is well again, and a power cut shows that the last sync
 * said the truth.  Flushes that fail, and ioends that fail in part: test_fault_story.c.
 */
#include "sim/host.h"

/* ---- writes that fail ---- */

static void fail_writes(const char *kind, int error)
{
	unsigned missing = 0;

	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_new(seed);

		change(h);
		failing_arm(&h->d, "at write addr=%u..%u nth=%u kind=%s", LOG, DISK - 1,
			   1 + failing_draw(&h->d, RUNS), kind);
		ck_assert_int_eq(m_sync(h->f), error);
		ck_assert_uint_gt(failing_fired(&h->d, kind), 0);
		told_once(h, error);
		missing += nr_missing(h);
		keeps_what_failed(h);
		if (strstr(kind, "persistent")) {
			try_again(h, error);
			told_once(h, error);
			keeps_what_failed(h);
		}
		failing_disarm(&h->d);
		try_again(h, 0);
		host_survives(h);
	}
	ck_assert_uint_gt(missing, 0);
}

CASE(a_write_fails, "H8 O11 O12 O16 O19",
     "-EIO once to each handle; the bytes are kept, a second try brings them to the device")
{
	fail_writes("eio_write", -EIO);
}

CASE(writes_go_on_failing, "H8 O11 O12 O16 O19",
     "As long as the device refuses each try is told, and nothing is lost")
{
	fail_writes("eio_write_persistent", -EIO);
}

CASE(a_write_fails_and_lands, "H8 O11 O12 O16 O19", "-EIO, though reads see it: tried again")
{
	fail_writes("landed", -EIO);
}

CASE(a_write_fails_and_tears, "H8 O11 O12 O16 O19", "-EIO, a part of it there: all is written")
{
	fail_writes("torn", -EIO);
}

CASE(a_write_is_lost, "H8 O11 O12 O16 O18 O19",
     "The device never answers: -ETIMEDOUT, and nobody knows what is there until it is written")
{
	fail_writes("lost", -ETIMEDOUT);
}

CASE(a_device_is_full, "H8 O11 O12 O16 O18 O19", "-ENOSPC stays -ENOSPC on its way up")
{
	fail_writes("enospc", -ENOSPC);
}

/* ---- devices that refuse all ---- */

CASE(a_device_turns_read_only, "H8 O11 O12 O19",
     "-EROFS; reads go on, the bytes are kept, and once it takes writes again all is well")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_new(seed);

		change(h);
		failing_arm(&h->d, "at write nth=%u kind=read_only", 1 + failing_draw(&h->d, RUNS));
		ck_assert_int_eq(m_sync(h->f), -EROFS);
		ck_assert_uint_gt(failing_fired(&h->d, "read_only"), 0);
		told_once_by_check(h, -EROFS);
		keeps_what_failed(h);
		try_again(h, -EROFS);
		told_once_by_check(h, -EROFS);
		keeps_what_failed(h);
		failing_disarm(&h->d);
		try_again(h, 0);
		host_survives(h);
	}
}

/* The host stays up while its device is pulled out and comes back.  What a cache had and no sync
 * has promised is gone: that is written anew, not only what failed. */
static void comes_back(struct host *h)
{
	static uint8_t all[ALL * PAGE];

	failing_cut(&h->d, h->m->bdev);
	ck_assert_int_eq(iomap_sim_power_on(h->d.w.sim), 0);
	memcpy(all, h->f->ref, sizeof(all));
	ck_assert_int_gt(redirty(h), 0);
	if (h->d.profile.volatile_cache)
		ck_assert_int_eq(m_write(h->f, 0, all, sizeof(all)), sizeof(all));
	ck_assert_int_eq(m_sync(h->f), 0);
}

CASE(a_device_is_removed, "H8 O11 O12 O19",
     "-ENODEV to whoever waits; dirty and failed bytes are kept until it is back")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_new(seed);

		change(h);
		failing_arm(&h->d, "at write nth=%u kind=removed", 1 + failing_draw(&h->d, RUNS));
		ck_assert_int_eq(m_sync(h->f), -ENODEV);
		ck_assert_uint_eq(failing_fired(&h->d, "removed"), 1);
		told_once_by_check(h, -ENODEV);
		ck_assert_uint_gt(stats_of(h).failed, 0);
		ck_assert(m_content_ok(h->f));
		ck_assert_int_eq(m_fill(h->f, 0, PAGE, 2000), PAGE);
		ck_assert_int_eq(m_sync(h->f), -ENODEV);
		ck_assert(m_content_ok(h->f));
		comes_back(h);
		host_survives(h);
	}
}

/* ---- reads that fail ---- */

/* Nothing is cached; one page of all is drawn. */
static struct host *uncached(uint64_t seed, unsigned *page)
{
	struct host *h = host_new(seed);

	change(h);
	ck_assert_int_eq(m_drop_cache(h->f), 0);
	*page = failing_draw(&h->d, ALL);
	return h;
}

static int64_t read_one(struct host *h, unsigned page)
{
	uint8_t mem[PAGE];

	return m_read(h->f, (int64_t)page * PAGE, mem, PAGE);
}

CASE(a_read_fails, "",
     "What was read ahead is read once more; failing again it is an error, and later it is right")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		unsigned page, times = 1 + seed / FAILING_PRESETS % 2;
		const char *kind = seed % 4 < 2 ? "eio_read" : "lost";
		int error = seed % 4 < 2 ? -EIO : -ETIMEDOUT;
		struct host *h = uncached(seed, &page);
		uint64_t addr = h->f->data[page].addr;

		for (unsigned i = 1; i <= times; i++)
			failing_arm(&h->d, "at read addr=%llu nth=%u kind=%s",
				    (unsigned long long)addr, i, kind);
		ck_assert_int_eq(read_one(h, page), times > 1 ? error : (int)PAGE);
		ck_assert_uint_eq(failing_fired(&h->d, kind), times);
		ck_assert_int_eq(read_one(h, page), PAGE);
		ck_assert(m_content_ok(h->f));
		ck_assert_int_eq(m_sync(h->f), 0);
		host_survives(h);
	}
}

CASE(a_page_cannot_be_read, "",
     "-EIO each time, for who would write a part of it too; a whole new page mends it")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		unsigned page, per;
		struct host *h = uncached(seed, &page);
		uint64_t addr = h->f->data[page].addr;

		per = h->m->opts.max_folio / PAGE;	/* of one folio: read together */
		failing_arm(&h->d, "at read addr=%llu..%llu kind=eio_read_until_written",
			   (unsigned long long)addr, (unsigned long long)addr + PAGE - 1);
		for (unsigned i = 0; i < 2; i++)
			ck_assert_int_eq(read_one(h, page), -EIO);
		for (unsigned p = 0; p < ALL; p++)
			ck_assert(p / per == page / per || read_one(h, p) == PAGE);
		ck_assert_int_eq(m_fill(h->f, (int64_t)page * PAGE + 100, 50, 1), -EIO);
		ck_assert_uint_gt(failing_fired(&h->d, "eio_read_until_written"), 2);
		ck_assert_int_eq(m_fill(h->f, (int64_t)page * PAGE, PAGE, 2), PAGE);
		ck_assert(m_content_ok(h->f));
		ck_assert_int_eq(m_drop_cache(h->f), 0);
		ck_assert(m_content_ok(h->f));
		host_survives(h);
	}
}

/* ---- nothing to be heard of ---- */

static void unnoticed(const struct quiet *q)
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_start(seed, FAILING_PRESETS, 8 * PAGE, 0);
		int64_t before = iomap_sim_now_ns(h->d.w.sim);

		change(h);
		quiet_arm(&h->d, q, 5);
		ck_assert_int_eq(m_drop_cache(h->f), 0);
		ck_assert(m_content_ok(h->f));
		ck_assert_uint_gt(failing_fired(&h->d, q->kind), 0);
		ck_assert_int_ge(iomap_sim_now_ns(h->d.w.sim) - before, q->ns);
		ck_assert_int_eq(iomap_file_check_error(&h->other), 0);
		ck_assert_uint_eq(stats_of(h).failed, 0);
		host_survives(h);
	}
}

CASE(a_queue_is_busy, "O1", "The command comes again: no error, and all of it is durable")
{
	unnoticed(&quiet_busy);
}

CASE(a_batch_is_taken_in_part, "O1", "What was refused comes again")
{
	unnoticed(&quiet_batch);
}

CASE(a_command_is_slow, "O1", "Who needs it waits for it")
{
	unnoticed(&quiet_slow);
}

CASE(a_command_times_out_and_completes, "O1",
     "Late by 30 seconds: it is waited for, and its end is an end like any other")
{
	unnoticed(&quiet_timeout);
}

CASE(an_end_is_heard_of_late, "O1", "After those behind it, on an ordered device too")
{
	unnoticed(&quiet_reordered);
}

CASE(a_read_is_short, "O1", "The rest comes a moment later")
{
	unnoticed(&quiet_short_read);
}

CASE(a_write_is_short, "O1", "The rest goes a moment later, and is as durable")
{
	unnoticed(&quiet_short_write);
}

CASE(a_command_moves_nothing_at_first, "O1", "All of it goes a moment later")
{
	unnoticed(&quiet_zero_length);
}

MAIN()
