/* SPDX-License-Identifier: MIT */
/*
 * test_edits.c - random changes of files by every call that changes one, compared byte for byte
 * with a plain array.
 *
 * test_model.c writes and reads; here files are also cut and grown, zeroed, punched, moved apart,
 * unshared, stored to through a mapping, and written from memory that is not all there.  Every
 * combination of the model's switches, with blocks from 512 bytes to 64 KiB.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#define FILE_BYTES	(300u << 10)
#define NR_OPS		200

struct run {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	uint64_t seed;
	uint8_t buf[FILE_BYTES];
};

static size_t comes;		/* of the user's memory */

static uint64_t pick(struct run *r, uint64_t n)
{
	return t_rand(&r->seed) % n;
}

/* A range of a file of the largest size, small or large, on odd places and on even ones. */
static int64_t pick_range(struct run *r, size_t *len)
{
	const uint64_t most[4] = { 700, 5000, 40000, FILE_BYTES / 2 };
	uint64_t unit = pick(r, 2) ? 1 : 512u << pick(r, 8), pos;

	*len = 1 + (size_t)pick(r, most[pick(r, 4)]);
	*len = (*len + unit - 1) / unit * unit;
	pos = pick(r, FILE_BYTES - *len + 1);
	return (int64_t)(pos / unit * unit);
}

static void settle(struct run *r)
{
	ck_assert_int_eq(m_sync(r->f), 0);
	ck_assert(m_device_equals_model(r->f));
	ck_assert_int_eq(r->m->nr_reserved, 0);
}

/* ---- what changes a file ---- */

static void write_all(struct run *r, int64_t pos, size_t len)
{
	ck_assert_int_eq(m_fill(r->f, pos, len, (unsigned)r->seed), (int64_t)len);
}

static size_t some_come(struct m_file *f, size_t at, size_t len)
{
	(void)f;
	return at >= comes ? 0 : comes - at < len ? comes - at : len;
}

/* Each byte that there is arrives, and no other. */
static void write_short(struct run *r, int64_t pos, size_t len)
{
	int64_t n;

	comes = (size_t)pick(r, len);
	r->m->hook_copy = some_come;
	n = m_fill(r->f, pos, len, (unsigned)r->seed);
	r->m->hook_copy = NULL;
	ck_assert_int_eq(n, comes ? (int64_t)comes : -EFAULT);
}

static void write_nowait(struct run *r, int64_t pos, size_t len)
{
	int64_t n;

	for (size_t i = 0; i < len; i++)
		r->buf[i] = (uint8_t)t_rand(&r->seed);
	n = m_write_flags(r->f, pos, r->buf, len, IOMAP_REQ_NOWAIT);
	ck_assert(n == -EAGAIN || (n > 0 && n <= (int64_t)len));
}

static void store(struct run *r, int64_t pos, size_t len)
{
	char byte;
	int rc;

	len = 1 + len % 64;
	if (pos % 4096 + (int64_t)len > 4096 || pos >= r->f->ref_size)
		return;
	do {
		ck_assert_int_eq(m_read(r->f, pos, &byte, 1), 1);
		rc = m_store(r->f, pos, memset(r->buf, (int)pick(r, 256), len), len);
	} while (rc == -EAGAIN);
	ck_assert_int_eq(rc, 0);
}

static void zero(struct run *r, int64_t pos, size_t len)
{
	if (pos >= r->f->ref_size)
		return;
	if (pos + (int64_t)len > r->f->ref_size)
		len = (size_t)(r->f->ref_size - pos);
	ck_assert_int_eq(m_zero(r->f, pos, len, NULL), 0);
}

/* Whole folios move. */
static void insert(struct run *r, int64_t pos)
{
	int64_t unit = r->m->opts.max_folio;

	pos = pos / unit * unit;
	if (pos >= r->f->ref_size || r->f->ref_size + unit > FILE_BYTES)
		return;
	ck_assert_int_eq(m_insert(r->f, pos, unit), 0);
}

static void preallocate(struct run *r, int64_t pos, size_t len)
{
	if (!r->m->opts.unwritten || r->m->opts.anon || pos + (int64_t)len > r->f->ref_size)
		return;			/* the model moves what is inside a file only */
	m_preallocate(r->f, pos, len, false);
}

static void change(struct run *r)
{
	size_t len;
	int64_t pos = pick_range(r, &len);

	switch (pick(r, 16)) {
	case 0: case 1:
		zero(r, pos, len);
		break;
	case 2:
		ck_assert_int_eq(m_hole(r->f, pos, (int64_t)len), 0);
		break;
	case 3: case 4:
		ck_assert_int_eq(m_truncate(r->f, pos), 0);
		break;
	case 5:
		insert(r, pos);
		break;
	case 6:
		ck_assert_int_eq(m_unshare(r->f, pos, len), 0);
		break;
	case 7: case 8:
		store(r, pos, len);
		break;
	case 9: case 10:
		write_short(r, pos, len);
		break;
	case 11:
		write_nowait(r, pos, len);
		break;
	case 12:
		preallocate(r, pos, len);
		break;
	default:
		write_all(r, pos, len);
		break;
	}
}

/* ---- what must not ---- */

static void look(struct run *r)
{
	size_t len;
	int64_t pos = pick_range(r, &len), size = r->f->ref_size, want = size - pos, data, hole;

	want = want < 0 ? 0 : want < (int64_t)len ? want : (int64_t)len;
	ck_assert_int_eq(m_read(r->f, pos, r->buf, len), want);
	if (pos >= size)
		return;
	data = m_seek_data(r->f, pos);
	hole = m_seek_hole(r->f, pos);
	ck_assert_int_le(hole, size);
	ck_assert(data == -ENXIO ? hole == pos : data == pos || hole == pos);
	for (int64_t at = pos; at < (data < 0 ? size : data); at++)
		if (r->f->ref[at])
			ck_abort_msg("seek_data from %d passed %d by", (int)pos, (int)at);
}

static void one_op(struct run *r)
{
	switch (pick(r, 16)) {
	case 0:
		settle(r);
		break;
	case 1:
		ck_assert_int_eq(m_drop_cache(r->f), 0);
		break;
	case 2:
		ck_assert_int_eq(m_evict(r->f), 0);
		break;
	case 3:
		ck_assert_int_eq(m_writeback(r->f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
		break;
	case 4:
		iomap_cache_reclaim(r->m->cache, 1 + pick(r, 256 << 10));
		break;
	case 5:
		if (r->m->opts.cow)
			m_share(r->f);
		break;
	case 6: case 7: case 8:
		look(r);
		break;
	default:
		change(r);
		break;
	}
}

static void run_once(const struct m_opts *opts, uint64_t seed)
{
	struct run *r = calloc(1, sizeof(*r));

	ck_assert_ptr_nonnull(r);
	t_env_start(&r->t, NULL);
	r->m = m_open(&r->t, opts);
	r->seed = seed;
	r->f = m_file_new(r->m);
	for (unsigned i = 0; i < NR_OPS; i++)
		one_op(r);
	settle(r);
	ck_assert(m_content_ok(r->f));
	ck_assert_int_eq(m_drop_cache(r->f), 0);
	ck_assert(m_content_ok(r->f));
	ck_assert(m_balanced(r->m));
	ck_assert_uint_eq(r->t.nr_reports, 0);
	m_file_free(&r->f);
	ck_assert_int_eq(r->m->nr_allocated, r->m->nr_snapshot);
	m_close(&r->m);
	t_env_stop(&r->t);
	free(r);
}

static void run_all(unsigned bits)
{
	uint32_t least = bits > 12 ? 1u << bits : 4096;

	for (unsigned i = 0; i < 36; i++) {
		unsigned kind = i % 9;
		bool pieces = i / 9 & 1, more = i / 18;
		struct m_opts opts = {
			.block_bits = bits, .delalloc = kind & 1, .unwritten = kind & 2,
			.cow = kind & 4, .anon = kind == 8, .batch = more,
			.inode_flags = more ? IOMAP_INODE_STABLE : 0,
			.cache_bytes = pieces ? 512 << 10 : 2 << 20,
			.chunk = pieces ? 3u << bits : 0, .gap = pieces,
			.max_folio = pieces ? least : 65536,
		};

		run_once(&opts, bits * 1000 + i);
	}
}

CASE_TIMEOUT(random_edits_512, "I27 I35 I38 I66 R18 R21",
	     "Blocks of 512 bytes: content and device equal the array, seek finds all data", 30)
{
	run_all(9);
}

CASE_TIMEOUT(random_edits_1024, "I27 I35 I38 I66 I71 R18 R21",
	     "Blocks of 1 KiB: content and device equal the array, seek finds all data", 30)
{
	run_all(10);
}

CASE_TIMEOUT(random_edits_4096, "I27 I35 I38 I66 R18 R21",
	     "Blocks of 4 KiB: content and device equal the array, seek finds all data", 30)
{
	run_all(12);
}

CASE_TIMEOUT(random_edits_16384, "I27 I35 I38 I66 R18 R21",
	     "Blocks of 16 KiB: content and device equal the array, seek finds all data", 30)
{
	run_all(14);
}

CASE_TIMEOUT(random_edits_65536, "I27 I35 I38 I66 R18 R21",
	     "Blocks of 64 KiB: content and device equal the array, seek finds all data", 30)
{
	run_all(16);
}

MAIN()
