/* SPDX-License-Identifier: MIT */
/*
 * bad_input.h - work during which one call of something fails.
 *
 * What it leaves is judged: each byte is what it was, or what was asked for; the other handle hears
 * once of what could not be written; and when nobody stands in the way any more, all that is in
 * memory comes to the device and no space is lost.
 */
#ifndef BAD_INPUT_H
#define BAD_INPUT_H

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
	struct m_fault folio;		/* folios for what changes the file */
	bool any;			/* a call that failed may leave any content */
	bool had_failed;		/* there were failed folios before, and all know */
};

static inline struct t_mem *device(void)
{
	return t_mem_find("model");
}

static inline int get_folio(struct iomap_iter *iter, int64_t pos, uint64_t len,
			    struct iomap_folio **folio)
{
	struct m_model *m = M_FILE(iter->inode)->m;
	struct work *w = m->hook_arg;

	if (w->folio.nth && !--w->folio.nth)
		return w->folio.error;
	return iomap_mapping_get_folio(iter->inode, pos, len, IOMAP_WRITE, folio);
}

static inline void put_folio(struct iomap_inode *inode, int64_t pos, uint64_t copied,
			     struct iomap_folio *folio)
{
	(void)inode, (void)pos, (void)copied;
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

static inline void start(struct work *w, const struct m_opts *opts)
{
	memset(w, 0, sizeof(*w));
	t_env_start(&w->t, NULL);
	w->m = m_open(&w->t, opts);
	w->m->hook_arg = w;
	w->m->write_ops.get_folio = get_folio;
	w->m->write_ops.put_folio = put_folio;
	w->f = m_file_new(w->m);
	ck_assert_int_eq(iomap_file_open(&w->other, &w->f->inode, 0), 0);
}

static inline void stop(struct work *w)
{
	iomap_file_close(&w->other);
	m_file_free(&w->f);
	ck_assert_int_eq(w->m->nr_reserved, 0);
	ck_assert_int_eq(w->m->nr_allocated, w->m->nr_snapshot);
	m_close(&w->m);
	t_env_stop(&w->t);
}

static inline int64_t read_raw(struct m_file *f, uint8_t *buf)
{
	struct iovec iov = { .iov_base = buf, .iov_len = M_MAX_FILE };
	struct iomap_req req = { .file = &f->file };
	struct iomap_data data;

	iomap_data_init(&data, &iov, 1);
	return iomap_file_buffered_read(&req, &data, &f->m->ops, NULL, NULL);
}

/* What a call that failed has left: each byte is what it was or a zero, if some were asked for. */
static inline void adopt(struct work *w)
{
	static uint8_t buf[M_MAX_FILE];
	struct m_file *f = w->f;
	int64_t n = read_raw(f, buf);

	ck_assert_int_eq(n, iomap_inode_size(&f->inode));
	for (int64_t i = 0; i < n && !w->any; i++)
		if (buf[i] && buf[i] != f->ref[i])
			ck_abort_msg("byte %lld is %02x", (long long)i, buf[i]);
	memset(f->ref, 0, (size_t)f->ref_size);
	memcpy(f->ref, buf, (size_t)n);
	f->ref_size = n;
}

/* Done, or failed in the one way that is due. */
static inline bool failed(struct work *w, int64_t rc)
{
	ck_assert_msg(rc >= 0 || rc == w->error, "%lld", (long long)rc);
	w->nr_errors += rc < 0;
	return rc < 0;
}

static inline void change(struct work *w, int64_t rc)
{
	if (failed(w, rc))
		adopt(w);
}

/* Short is as good as an error. */
static inline void fill(struct work *w, int64_t pos, int64_t len, unsigned seed)
{
	int64_t n = m_fill(w->f, pos, (size_t)len, seed);

	change(w, n);
	w->nr_errors += n >= 0 && n < len;
}

/* Shared blocks, so that unshare and copy-on-write have something to do. */
static inline void prepare(struct work *w)
{
	ck_assert_int_eq(m_fill(w->f, 0, 6 * PAGE + 10, 9), 6 * PAGE + 10);
	if (w->m->opts.cow)
		m_share(w->f);
	ck_assert_int_eq(m_drop_cache(w->f), 0);
	ck_assert_int_eq(iomap_file_check_error(&w->other), 0);
	t_mem_log_reset(device());
	t_env_trace(&w->t);
}

static inline uint64_t nr_failed_bytes(struct work *w)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(w->m->cache, &stats);
	return stats.failed;
}

/* Nobody stands in the way any more: all that is in memory comes to the device. */
static inline void recover(struct work *w)
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
	    AT_READ = NR_HOOKS, AT_WRITE, AT_FLUSH, AT_FOLIO, NR_WHATS };

static inline struct m_fault *fault_of(struct m_model *m, enum what what)
{
	struct m_fault *const faults[NR_HOOKS] = {
		&m->fail_begin, &m->fail_end, &m->fail_map, &m->fail_submit, &m->fail_convert,
		&m->fail_sync_metadata, &m->fail_alloc,
	};

	return faults[what];
}

static inline void arm(struct work *w, enum what what, unsigned nth, unsigned count, int error)
{
	static const enum iomap_bio_op ops[] = {
		IOMAP_BIO_READ, IOMAP_BIO_WRITE, IOMAP_BIO_FLUSH,
	};

	w->error = error;
	if (what == AT_FOLIO)
		w->folio = (struct m_fault){ nth, count, error };
	else if (what < NR_HOOKS)
		*fault_of(w->m, what) = (struct m_fault){ nth, count, error };
	else
		t_mem_fail(device(), ops[what - NR_HOOKS], nth, count, error, UINT64_MAX);
}

static inline void disarm(struct work *w, enum what what)
{
	t_mem_heal(device());
	w->folio.nth = 0;
	if (what < NR_HOOKS)
		fault_of(w->m, what)->nth = 0;
}

static inline bool fired(struct work *w, enum what what)
{
	unsigned nr;
	const struct t_mem_req *log = t_mem_log(device(), &nr);

	if (what == AT_FOLIO)
		return !w->folio.nth;
	if (what < NR_HOOKS)
		return !fault_of(w->m, what)->nth;
	for (unsigned i = 0; i < nr; i++)
		if (log[i].status)
			return true;
	return false;
}

/* A write of the file's: the journal, which lies in front, is only told to who syncs. */
static inline bool data_failed(void)
{
	unsigned nr;
	const struct t_mem_req *log = t_mem_log(device(), &nr);

	for (unsigned i = 0; i < nr; i++)
		if (log[i].status && (log[i].op == IOMAP_BIO_FLUSH || log[i].addr >= 65536))
			return log[i].op != IOMAP_BIO_READ;
	return false;
}

/* Of what could not be written each handle hears, the other one too, and once. */
static inline void judge_reports(struct work *w, enum what what)
{
	int error = iomap_file_check_error(&w->other);

	ck_assert(!error || error == w->error);
	ck_assert_int_eq(iomap_file_check_error(&w->other), 0);
	if (what == AT_MAP || what == AT_SUBMIT || what == AT_CONVERT || data_failed()) {
		ck_assert_int_eq(error, w->error);
		ck_assert_uint_gt(w->nr_errors, 0);
	}
	if (nr_failed_bytes(w) && !w->had_failed)
		ck_assert_int_eq(error, w->error);
	ck_assert_uint_eq(w->t.nr_reports, 0);
}

static const struct m_opts clients[] = {
	{ .dev = "mem:model,size=1m", .max_folio = PAGE },
	{ .dev = "mem:model,size=1m", .log_dev = "mem:log,size=1m",
	  .delalloc = true, .unwritten = true, .cow = true, .chunk = 2 * PAGE, .gap = 1 },
	{ .dev = "mem:model,size=1m", .unwritten = true, .batch = true, .block_bits = 9 },
	{ .dev = "mem:model,size=1m", .anon = true, .chunk = 2 * PAGE },
};
#define NR_CLIENTS (sizeof(clients) / sizeof(clients[0]))

#endif
