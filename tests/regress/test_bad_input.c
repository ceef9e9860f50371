/* SPDX-License-Identifier: MIT */
/*
 * test_bad_input.c - whatever a device, a client or a user gets wrong, at each place in turn.
 *
 * One small piece of work with every kind of operation is done again and again; each time the next
 * call of something fails.  It may be told where it happened, or by the sync that comes after, once
 * to each handle; what was accepted stays in memory, a second try brings it to the device, and all
 * space is accounted for.
 */
#include "harness/memdev.h"
#include "model/model.h"

#define PAGE	4096
#define ERROR	(-EREMOTEIO)

struct work {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct iomap_file other;
	int error;			/* what is going to happen */
	unsigned nr_errors;		/* how often a call said so */
	unsigned nr_sync_errors;	/* of them a sync */
	bool any;			/* a call that failed may leave any content */
};

static struct t_mem *device(void)
{
	return t_mem_find("model");
}

static void start(struct work *w, const struct m_opts *opts)
{
	memset(w, 0, sizeof(*w));
	t_env_start(&w->t, NULL);
	w->m = m_open(&w->t, opts);
	w->f = m_file_new(w->m);
	ck_assert_int_eq(iomap_file_open(&w->other, &w->f->inode, 0), 0);
}

static void stop(struct work *w)
{
	iomap_file_close(&w->other);
	m_file_free(&w->f);
	ck_assert_int_eq(w->m->nr_reserved, 0);
	ck_assert_int_eq(w->m->nr_allocated, w->m->nr_snapshot);
	m_close(&w->m);
	t_env_stop(&w->t);
}

/* ---- all operations ---- */

static int64_t read_raw(struct m_file *f, uint8_t *buf)
{
	struct iovec iov = { .iov_base = buf, .iov_len = M_MAX_FILE };
	struct iomap_req req = { .file = &f->file };
	struct iomap_data data;

	iomap_data_init(&data, &iov, 1);
	return iomap_file_buffered_read(&req, &data, &f->m->ops, NULL, NULL);
}

/* What a call that failed has left: each byte is what it was or a zero, if some were asked for. */
static void adopt(struct work *w)
{
	static uint8_t buf[M_MAX_FILE];
	struct m_file *f = w->f;
	int64_t n = read_raw(f, buf);

	ck_assert_int_eq(n, iomap_inode_size(&f->inode));
	for (int64_t i = 0; i < n && !w->any; i++)
		ck_assert_msg(!buf[i] || buf[i] == f->ref[i], "byte %lld is %02x", (long long)i,
			      buf[i]);
	memset(f->ref, 0, M_MAX_FILE);
	memcpy(f->ref, buf, (size_t)n);
	f->ref_size = n;
}

/* Done, or failed in the one way that is due. */
static bool failed(struct work *w, int64_t rc)
{
	ck_assert_msg(rc >= 0 || rc == w->error, "%lld", (long long)rc);
	w->nr_errors += rc < 0;
	return rc < 0;
}

static void change(struct work *w, int64_t rc)
{
	if (failed(w, rc))
		adopt(w);
}

/* Short is as good as an error. */
static void fill(struct work *w, int64_t pos, int64_t len, unsigned seed)
{
	int64_t n = m_fill(w->f, pos, (size_t)len, seed);

	change(w, n);
	w->nr_errors += n >= 0 && n < len;
}

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

/* Shared blocks, so that unshare and copy-on-write have something to do. */
static void prepare(struct work *w)
{
	ck_assert_int_eq(m_fill(w->f, 0, 6 * PAGE + 10, 9), 6 * PAGE + 10);
	if (w->m->opts.cow)
		m_share(w->f);
	ck_assert_int_eq(m_drop_cache(w->f), 0);
	ck_assert_int_eq(iomap_file_check_error(&w->other), 0);
	t_mem_log_reset(device());
	t_env_trace(&w->t);
}

static uint64_t nr_failed_bytes(struct work *w)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(w->m->cache, &stats);
	return stats.failed;
}

/* Nobody stands in the way any more: all that is in memory comes to the device. */
static void recover(struct work *w)
{
	struct m_file *f = w->f;
	int64_t n;

	ck_assert(m_content_ok(f));
	iomap_inode_lock(&f->inode, 0);
	n = iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &w->m->ops, NULL);
	iomap_inode_unlock(&f->inode);
	ck_assert_int_ge(n, 0);
	ck_assert_uint_eq(nr_failed_bytes(w), 0);
	(void)m_sync(f);		/* may tell what nobody asked for yet */
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert(m_device_equals_model(f));
	ck_assert_int_eq(w->m->nr_reserved, 0);
	ck_assert(m_balanced(w->m));
	ck_assert_int_eq(m_drop_cache(f), 0);
	ck_assert(m_content_ok(f));
}

/* ---- one call fails, or all from then on ---- */

enum what { AT_BEGIN, AT_END, AT_MAP, AT_SUBMIT, AT_CONVERT, AT_COMMIT, AT_ALLOC, NR_HOOKS,
	    AT_READ = NR_HOOKS, AT_WRITE, AT_FLUSH };

static struct m_fault *fault_of(struct m_model *m, enum what what)
{
	struct m_fault *const faults[NR_HOOKS] = {
		&m->fail_begin, &m->fail_end, &m->fail_map, &m->fail_submit, &m->fail_convert,
		&m->fail_sync_metadata, &m->fail_alloc,
	};

	return faults[what];
}

static void arm(struct work *w, enum what what, unsigned nth, unsigned count, int error)
{
	static const enum iomap_bio_op ops[] = {
		IOMAP_BIO_READ, IOMAP_BIO_WRITE, IOMAP_BIO_FLUSH,
	};

	w->error = error;
	if (what < NR_HOOKS)
		*fault_of(w->m, what) = (struct m_fault){ nth, count, error };
	else
		t_mem_fail(device(), ops[what - NR_HOOKS], nth, count, error, UINT64_MAX);
}

static bool fired(struct work *w, enum what what)
{
	unsigned nr;
	const struct t_mem_req *log = t_mem_log(device(), &nr);

	if (what < NR_HOOKS)
		return !fault_of(w->m, what)->nth;
	for (unsigned i = 0; i < nr; i++)
		if (log[i].status)
			return true;
	return false;
}

/* A write of the file's: the journal, which lies in front, is only told to who syncs. */
static bool data_failed(void)
{
	unsigned nr;
	const struct t_mem_req *log = t_mem_log(device(), &nr);

	for (unsigned i = 0; i < nr; i++)
		if (log[i].status && (log[i].op == IOMAP_BIO_FLUSH || log[i].addr >= 65536))
			return log[i].op != IOMAP_BIO_READ;
	return false;
}

/* Of what could not be written each handle hears, the other one too, and once. */
static void judge_reports(struct work *w, enum what what)
{
	int error = iomap_file_check_error(&w->other);

	ck_assert(!error || error == w->error);
	ck_assert_int_eq(iomap_file_check_error(&w->other), 0);
	if (what == AT_MAP || what == AT_SUBMIT || what == AT_CONVERT || data_failed()) {
		ck_assert_int_eq(error, w->error);
		ck_assert_uint_gt(w->nr_errors, 0);
	}
	if (nr_failed_bytes(w))
		ck_assert_int_eq(error, w->error);
	ck_assert_uint_eq(w->t.nr_reports, 0);
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
	arm(&w, what, 0, 0, 0);
	if (w.any)
		adopt(&w);
	recover(&w);
	stop(&w);
	return hit;
}

static const struct m_opts clients[] = {
	{ .dev = "mem:model,size=1m", .max_folio = PAGE },
	{ .dev = "mem:model,size=1m", .log_dev = "mem:log,size=1m",
	  .delalloc = true, .unwritten = true, .cow = true, .chunk = 2 * PAGE, .gap = 1 },
	{ .dev = "mem:model,size=1m", .unwritten = true, .batch = true, .block_bits = 9 },
	{ .dev = "mem:model,size=1m", .anon = true, .chunk = 2 * PAGE },
};
#define NR_CLIENTS (sizeof(clients) / sizeof(clients[0]))

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
		arm(&w, AT_WRITE, 0, 0, 0);
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
