/* SPDX-License-Identifier: MIT */
/*
 * test_bad_input.c - whatever a device, a client or a user gets wrong, at each place in turn.
 *
 * One small piece of work with every kind of operation is done again and again; each time the next
 * call of something fails.  It may be told where it happened, or by the sync that comes after, once
 * to each handle; what was accepted stays in memory, a second try brings it to the device, and all
 * space is accounted for.
 */
#include "model/bad_input.h"

/* ---- all operations ---- */

static void sync_all(struct work *w)
{
	w->nr_sync_errors += failed(w, m_sync(w->f));
}

static void do_all(struct work *w)
{
	struct m_file *f = w->f;
	uint8_t buf[2 * PAGE];

	fill(w, 100, 9 * PAGE, 1);
	change(w, m_zero(f, 2 * PAGE + 10, 3 * PAGE, NULL));
	sync_all(w);
	iomap_cache_reclaim(w->m->cache, UINT64_MAX);
	failed(w, m_read(f, 3 * PAGE + 5, buf, sizeof(buf)));
	fill(w, 4 * PAGE + 7, PAGE, 2);
	change(w, m_unshare(f, 0, 5 * PAGE));
	change(w, m_truncate(f, 7 * PAGE + 99));
	change(w, m_hole(f, PAGE + 1, 2 * PAGE));
	failed(w, m_writeback(f, IOMAP_WB_SYNC_NONE, 0, 0));
	change(w, m_truncate(f, 9 * PAGE));
	fill(w, 6 * PAGE, 3 * PAGE + 1, 3);
	sync_all(w);
}

/* The nth call of what fails.  False: there are not so many. */
static bool fails_at(const struct m_opts *opts, enum what what, unsigned nth)
{
	static struct work w;
	bool hit;

	start(&w, opts);
	prepare(&w);
	w.any = what == AT_END;		/* its bytes are in memory, and not said to be */
	arm(&w, what, nth, 1, ERROR);
	do_all(&w);
	hit = fired(&w, what);
	if (hit)
		judge_reports(&w, what);
	disarm(&w, what);
	if (w.any)
		adopt(&w);
	recover(&w);
	stop(&w);
	return hit;
}

static void sweep(enum what what, unsigned least)
{
	unsigned total = 0;

	for (unsigned i = 0; i < NR_CLIENTS; i++) {
		unsigned nth = 1;

		while (fails_at(&clients[i], what, nth))
			nth++;
		total += nth - 1;
	}
	ck_assert_msg(total >= least, "%u", total);
}

CASE_TIMEOUT(each_begin_and_end_may_fail, "O36 I1 I10 H7",
	     "The call says so, nothing stays reserved, and what is in memory can be written", 60)
{
	sweep(AT_BEGIN, 40);
	sweep(AT_END, 40);
}

CASE_TIMEOUT(each_step_of_writeback_may_fail, "O11 O12 O36 I82 I106",
	     "Map, space, submit, conversion, commit: told once to each, nothing is lost", 60)
{
	sweep(AT_MAP, 20);
	sweep(AT_SUBMIT, 10);
	sweep(AT_CONVERT, 10);
	sweep(AT_COMMIT, 4);
	sweep(AT_ALLOC, 10);
}

CASE_TIMEOUT(each_request_may_fail, "O11 O12 O17 O19",
	     "Reads, writes, flushes: told, kept, and written when the device works again", 60)
{
	sweep(AT_READ, 10);
	sweep(AT_WRITE, 20);
	sweep(AT_FLUSH, 1);
}

/* ---- for good ---- */

/* All but so many blocks belong to another file. */
static void full_device(const struct m_opts *opts, unsigned left)
{
	static struct work w;
	struct m_file *hog;
	int64_t len;

	start(&w, opts);
	prepare(&w);
	hog = m_file_new(w.m);
	len = (int64_t)(w.m->nr_free - left) * w.m->block_size;
	ck_assert_int_eq(m_fill(hog, 0, (size_t)len, 4), len);
	ck_assert_int_eq(m_sync(hog), 0);
	w.error = -ENOSPC;
	do_all(&w);
	ck_assert(m_balanced(w.m));
	ck_assert_uint_eq(w.nr_sync_errors, 0);
	ck_assert_int_eq(iomap_file_check_error(&w.other), 0);
	ck_assert_uint_eq(nr_failed_bytes(&w), 0);
	ck_assert(left || w.nr_errors);
	m_file_free(&hog);
	recover(&w);
	stop(&w);
}

CASE_TIMEOUT(a_full_device, "I164 I167 O36 O18",
	     "However little is left: the write says -ENOSPC, never the sync, no space is lost", 60)
{
	for (unsigned i = 0; i < NR_CLIENTS; i++) {
		struct m_opts opts = clients[i];

		opts.gap = 0;
		for (unsigned left = 0; left < 12; left++)
			full_device(&opts, left);
	}
}

/* From the nth write on none succeeds.  The last word is the client's, who throws it away. */
static bool read_only_from(const struct m_opts *opts, unsigned nth)
{
	static struct work w;
	uint64_t kept;

	start(&w, opts);
	prepare(&w);
	arm(&w, AT_WRITE, nth, UINT32_MAX, -EROFS);
	do_all(&w);
	if (!fired(&w, AT_WRITE)) {
		disarm(&w, AT_WRITE);
		stop(&w);
		return false;
	}
	judge_reports(&w, AT_WRITE);
	kept = nr_failed_bytes(&w);
	ck_assert_uint_gt(w.nr_sync_errors, 0);
	iomap_cache_reclaim(w.m->cache, UINT64_MAX);
	ck_assert_uint_eq(nr_failed_bytes(&w), kept);
	ck_assert(m_content_ok(w.f));
	if (kept)
		ck_assert_int_eq(m_evict(w.f), -EROFS);
	stop(&w);
	return true;
}

CASE_TIMEOUT(a_device_turns_read_only, "O11 O12 O16",
	     "From any write on: syncs say so, memory keeps all, it can be thrown away", 60)
{
	unsigned total = 0;

	for (unsigned i = 0; i < NR_CLIENTS; i++) {
		unsigned nth = 1;

		while (read_only_from(&clients[i], nth))
			nth++;
		total += nth;
	}
	ck_assert_uint_gt(total, 20);
}

MAIN()
