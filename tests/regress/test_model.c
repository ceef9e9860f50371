/* SPDX-License-Identifier: MIT */
/*
 * test_model.c - random work through the cache, compared byte for byte with a plain array.
 *
 * Every combination of the model's switches, three block sizes, whole and fragmented extents.
 * After each sync the device has what the array has; at the end all that was taken is given back.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#define FILE_BYTES (300u << 10)
#define NR_FILES 2

static const unsigned block_bits[] = { 9, 12, 14 };

struct run {
	struct t_env t;
	struct m_model *m;
	struct m_file *files[NR_FILES];
	uint64_t seed;
	bool faults;
	uint8_t buf[FILE_BYTES];
};

static uint64_t pick(struct run *r, uint64_t n)
{
	return t_rand(&r->seed) % n;
}

/* Small and large, aligned and odd. */
static size_t pick_len(struct run *r)
{
	switch (pick(r, 4)) {
	case 0:
		return 1 + pick(r, 700);
	case 1:
		return 4096 * (1 + pick(r, 8));
	case 2:
		return 1 + pick(r, 40000);
	default:
		return 1 + pick(r, FILE_BYTES / 2);
	}
}

static int64_t pick_pos(struct run *r, size_t len)
{
	int64_t pos = (int64_t)pick(r, FILE_BYTES - len + 1);

	return pick(r, 3) ? pos : pos & ~(int64_t)4095;
}

/* What failed is tried again, as a user would. */
static void mend(struct run *r, struct m_file *f)
{
	int64_t n;

	if (!r->faults)
		return;
	iomap_inode_lock(&f->inode, 0);
	n = iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &r->m->ops, NULL);
	iomap_inode_unlock(&f->inode);
	ck_assert(n >= 0 || n == -ENOSPC);	/* begin's, as ordered */
}

static void settle(struct run *r, struct m_file *f)
{
	int rc = 0;

	for (unsigned i = 0; i < 20; i++) {
		rc = m_sync(f);
		if (!rc && !r->faults)
			break;
		ck_assert(!rc || r->faults);
		mend(r, f);
	}
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert(m_device_equals_model(f));
}

static void maybe_fault(struct run *r)
{
	struct m_model *m = r->m;
	struct m_fault fault = { .nth = 1 + (unsigned)pick(r, 6), .error = -EIO };

	if (!r->faults || pick(r, 4))
		return;
	switch (pick(r, 5)) {
	case 0:
		t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, fault.nth, 1, -EIO, UINT64_MAX);
		break;
	case 1:
		m->fail_map = fault;
		break;
	case 2:
		m->fail_convert = fault;
		break;
	case 3:
		m->fail_submit = fault;
		break;
	default:
		fault.error = -ENOSPC;
		m->fail_begin = fault;
		break;
	}
}

static void write_some(struct run *r, struct m_file *f)
{
	size_t len = pick_len(r);
	int64_t pos = pick_pos(r, len), n;

	n = m_fill(f, pos, len, (unsigned)r->seed);
	if (r->faults)
		ck_assert(n == (int64_t)len || n == -ENOSPC || (n > 0 && n < (int64_t)len));
	else
		ck_assert_int_eq(n, (int64_t)len);
}

static void read_some(struct run *r, struct m_file *f)
{
	size_t len = pick_len(r);
	int64_t pos = pick_pos(r, len), n = m_read(f, pos, r->buf, len);
	int64_t want = pos < f->ref_size ? f->ref_size - pos : 0;

	want = want < (int64_t)len ? want : (int64_t)len;
	if (r->faults && n != want)
		ck_assert_int_eq(n, -ENOSPC);	/* begin's */
	else
		ck_assert_int_eq(n, want);
}

static void drop(struct run *r, struct m_file *f)
{
	int rc = m_drop_cache(f);

	if (!r->faults)
		ck_assert_int_eq(rc, 0);
}

static void evict(struct run *r, struct m_file *f)
{
	int rc = m_evict(f);

	if (!r->faults)
		ck_assert_int_eq(rc, 0);
}

static void one_op(struct run *r)
{
	struct m_file *f = r->files[pick(r, NR_FILES)];

	maybe_fault(r);
	switch (pick(r, 16)) {
	case 0:
		settle(r, f);
		break;
	case 1:
		drop(r, f);
		break;
	case 2:
		evict(r, f);
		break;
	case 3:
		m_writeback(f, IOMAP_WB_SYNC_NONE, (int64_t)pick(r, FILE_BYTES), 0);
		break;
	case 4:
		iomap_cache_reclaim(r->m->cache, 1 + pick(r, 256 << 10));
		break;
	case 5:
		if (r->m->opts.cow && !r->faults)
			m_share(f);
		break;
	case 6: case 7: case 8: case 9:
		read_some(r, f);
		break;
	default:
		write_some(r, f);
		break;
	}
}

static void finish(struct run *r)
{
	r->m->fail_map.nth = r->m->fail_convert.nth = 0;
	r->m->fail_submit.nth = r->m->fail_begin.nth = 0;
	for (unsigned i = 0; i < NR_FILES; i++) {
		settle(r, r->files[i]);
		ck_assert(m_content_ok(r->files[i]));
		ck_assert_int_eq(m_drop_cache(r->files[i]), 0);
		ck_assert(m_content_ok(r->files[i]));
	}
	ck_assert_int_eq(r->m->nr_reserved, 0);
	ck_assert(m_balanced(r->m));
	ck_assert_uint_eq(r->t.nr_reports, 0);
	for (unsigned i = 0; i < NR_FILES; i++)
		m_file_free(&r->files[i]);
	ck_assert_int_eq(r->m->nr_allocated, r->m->nr_snapshot);
}

static void run_once(const struct m_opts *opts, uint64_t seed, unsigned nr_ops, bool faults)
{
	struct run *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	t_env_start(&r->t, NULL);
	r->m = m_open(&r->t, opts);
	r->seed = seed;
	r->faults = faults;
	for (unsigned i = 0; i < NR_FILES; i++)
		r->files[i] = m_file_new(r->m);
	for (unsigned i = 0; i < nr_ops; i++)
		one_op(r);
	finish(r);
	m_close(&r->m);
	t_env_stop(&r->t);
	free(r);
}

/* All the switches, the extents in one piece or in many, the cache roomy or tight. */
static void run_all(unsigned bits, unsigned nr_ops, bool faults)
{
	for (unsigned i = 0; i < 9; i++) {
		for (unsigned pieces = 0; pieces < 2; pieces++) {
			struct m_opts opts = {
				.block_bits = bits, .delalloc = i & 1, .unwritten = i & 2,
				.cow = i & 4, .anon = i == 8,
				.cache_bytes = pieces ? 512 << 10 : 2 << 20,
				.chunk = pieces ? 3u << bits : 0, .gap = pieces,
				.max_folio = pieces ? 16384 : 65536,
			};

			run_once(&opts, bits * 1000 + i * 10 + pieces, nr_ops, faults);
		}
	}
}

CASE_TIMEOUT(random_work_512, "I27 I35 I105",
	     "Blocks of 512 bytes: content and device equal the array", 20)
{
	run_all(block_bits[0], 150, false);
}

CASE_TIMEOUT(random_work_4096, "I27 I35 I105",
	     "Blocks of 4 KiB: content and device equal the array", 20)
{
	run_all(block_bits[1], 150, false);
}

CASE_TIMEOUT(random_work_16384, "I27 I35 I105",
	     "Blocks of 16 KiB: content and device equal the array", 20)
{
	run_all(block_bits[2], 150, false);
}

CASE_TIMEOUT(random_work_with_faults, "H8 O11 O19",
	     "Writes, maps, conversions, submits that fail: what was retried is on the device", 20)
{
	run_all(block_bits[0], 80, true);
	run_all(block_bits[1], 80, true);
}

/* ---- no memory ---- */

/* Everything a small client does; the first error, and whatever was opened is closed. */
static int small_work(struct t_env *t)
{
	struct m_file *f = NULL;
	struct m_model *m;
	int64_t n;
	int rc;

	rc = m_try_open(t, &(struct m_opts){ .delalloc = true, .unwritten = true,
					     .cache_bytes = 256 << 10, .chunk = 8192 }, &m);
	if (rc)
		return rc;
	rc = m_try_file_new(m, &f);
	if (!rc) {
		n = m_fill(f, 100, 100000, 1);
		rc = n < 0 ? (int)n : 0;
		if (!rc)
			rc = m_drop_cache(f);
		if (!rc)
			rc = m_content_ok(f) ? 0 : -EBADMSG;
		if (!rc)
			rc = m_evict(f);
		if (!rc)
			ck_assert(m_device_equals_model(f));
		m_file_free(&f);
	}
	m_close(&m);
	return rc;
}

CASE_TIMEOUT(each_allocation_may_fail, "",
	     "Whichever allocation fails: -ENOMEM or no matter, nothing leaks", 20)
{
	unsigned failures = 0;

	for (uint64_t k = 1;; k++) {
		struct t_env t;
		int rc;

		memset(&t, 0, sizeof(t));
		t.fail_at = k;
		rc = t_env_try_start(&t, NULL);
		if (!rc) {
			rc = small_work(&t);
			t_env_stop(&t);
		}
		ck_assert_msg(!rc || rc == -ENOMEM, "allocation %u failed: %d", (unsigned)k, rc);
		failures += rc != 0;
		if (t.fail_at)		/* not reached any more */
			break;
		ck_assert_uint_lt(k, 1000);
	}
	ck_assert_uint_gt(failures, 5);
}

MAIN()
