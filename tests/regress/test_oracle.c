/* SPDX-License-Identifier: MIT */
/*
 * test_oracle.c - what a kernel did, done again on the model client.
 *
 * oracle/README.md says how the lists of operations were recorded on XFS, oracle/differences where
 * the library decides otherwise and why.  oracle/records.py makes a table of both.  Each operation
 * is done here on a model that lays its blocks out as XFS did; what came of it is written down as
 * text in the table's form and compared: the result, the ioends and why each began, the requests,
 * what completions recorded, whether all was made durable, and the map.
 *
 * What XFS calls the library for in each is model/model_xfs.h; the space it promises and allocates
 * behind the end of a file is taken over after each operation.  Of a direct write, which the
 * library does not have yet, only the map is compared.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"
#include "model/model_xfs.h"

#include <stdarg.h>

enum o_kind {
	O_WRITE, O_READ, O_FSYNC, O_DROP, O_SEEK_DATA, O_SEEK_HOLE, O_FIEMAP, O_STAT, O_PREALLOC,
	O_REFLINK, O_DWRITE, O_TRUNCATE, O_ZERO, O_PUNCH, O_UNSHARE, O_MWRITE,
};
enum o_part { P_RESULT, P_IOENDS, P_BIOS, P_DONE, P_DURABLE, P_MAP, NR_PARTS };
struct o_run {				/* the list ends with length 0; letter '0': zeros */
	int64_t pos, len;
	char letter;
};
struct o_extent {			/* the same */
	int64_t pos, len;
	enum iomap_type type;
	unsigned region;
	uint64_t off;
	bool shared;
};
struct o_op {
	const char *text;
	enum o_kind kind;
	unsigned file;			/* 1: clone */
	int64_t a, b, c, chunk;
	char letter;
	bool keep, sync;
	const struct o_run *runs;	/* of a read */
	const struct o_extent *map[2];	/* afterwards */
	const char *expect[NR_PARTS];
};
struct o_record {
	const char *name;
	unsigned block, nr;
	const struct o_op *ops;
	const struct o_run *final[2];
	int64_t size[2];
};
#include <oracle_records.h>

/* ---- the files ---- */

#define REGION	(1u << 20)	/* where the regions of the records lie, one after the other */
#define LOG	REGION		/* before them: the journal */
#define BUF	(1u << 20)

struct text {
	char s[4096];
	size_t len;
};
struct replay {
	struct t_env t;
	struct m_model *m;
	struct m_file *f[2];
	struct t_mem *dev;
	struct text parts[NR_PARTS];
	unsigned nr_wrong;
	/* The ioend before this one, if the same walk made it. */
	unsigned nr_writepages;
	struct m_file *file;
	int64_t end;
	uint64_t addr;
	uint32_t flags;
};

static __attribute__((format(printf, 2, 3))) void add(struct text *text, const char *form, ...)
{
	va_list ap;

	va_start(ap, form);
	if (text->len)
		text->len += (size_t)snprintf(text->s + text->len, sizeof(text->s) - text->len,
					      "; ");
	text->len += (size_t)vsnprintf(text->s + text->len, sizeof(text->s) - text->len, form, ap);
	va_end(ap);
	ck_assert_uint_lt(text->len, sizeof(text->s));
}

static const char *place(uint64_t addr)
{
	static char s[32];

	snprintf(s, sizeof(s), "%u+%u", (unsigned)(addr / REGION - 1), (unsigned)(addr % REGION));
	return s;
}

/* The byte of a pattern at a position of the file: see README.md. */
static uint8_t pattern(char letter, int64_t pos)
{
	int64_t i = pos % 4099;

	return letter == '0' ? 0 : (uint8_t)(1 + (31 * letter + 7 * i + i / 251) % 255);
}

static bool has_runs(const uint8_t *buf, int64_t pos, int64_t len, const struct o_run *run)
{
	for (; run->len; run++) {
		ck_assert(run->pos >= pos && run->pos + run->len <= pos + len);
		for (int64_t i = run->pos; i < run->pos + run->len; i++)
			if (buf[i - pos] != pattern(run->letter, i))
				return false;
	}
	return true;
}

/* ---- writing down ---- */

static const char *why(const struct replay *r, const struct m_file *f,
		       const struct iomap_ioend *ioend)
{
	if (r->nr_writepages != r->m->nr_writepages)
		return "first";
	if (r->flags != ioend->flags)
		return "kind";
	if (r->file != f || r->end != ioend->offset)
		return "file";
	if (r->addr != ioend->addr)
		return "device";
	return "size";
}

static int submit(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct replay *r = f->m->hook_arg;
	struct iomap_ioend *ioend = wb_ctx;
	uint64_t len = (ioend->size + f->m->block_size - 1) / f->m->block_size * f->m->block_size;

	add(&r->parts[P_IOENDS], "%s %lld+%llu %s%s %s", f == r->f[0] ? "f" : "clone",
	    (long long)ioend->offset, (unsigned long long)len,
	    ioend->flags & IOMAP_IOEND_UNWRITTEN ? "unwritten" : "mapped",
	    ioend->flags & IOMAP_IOEND_SHARED ? " shared" : "", why(r, f, ioend));
	r->nr_writepages = f->m->nr_writepages;
	r->file = f;
	r->end = ioend->offset + (int64_t)len;
	r->addr = ioend->addr + len;
	r->flags = ioend->flags;
	ioend->bio.end_io = m_end_io;
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

/* Data requests in order of arrival, and whether something made them durable. */
static void note_requests(struct replay *r)
{
	const struct t_mem_req *log;
	bool durable = false;
	unsigned nr;

	log = t_mem_log(r->dev, &nr);
	for (unsigned i = 0; i < nr; i++) {
		if (log[i].op == IOMAP_BIO_FLUSH || (log[i].flags & IOMAP_BIO_PREFLUSH))
			durable = true;
		if (log[i].op == IOMAP_BIO_FLUSH || log[i].addr < LOG)
			continue;
		if (log[i].op == IOMAP_BIO_WRITE)
			durable = false;
		add(&r->parts[P_BIOS], "%s %llu at %s", log[i].op == IOMAP_BIO_WRITE ? "W" : "R",
		    (unsigned long long)log[i].len, place(log[i].addr));
	}
	if (durable)
		add(&r->parts[P_DURABLE], "durable");
	t_mem_log_reset(r->dev);
}

static void note_completions(struct replay *r)
{
	for (unsigned i = 0; i < r->m->nr_log; i++) {
		const struct m_log *l = &r->m->log[i];
		const char *what = NULL;

		if (l->event == M_CONVERT)
			what = "convert";
		if (l->event == M_REMAP)
			what = "cow";
		if (l->event == M_SIZE &&
		    !(l->flags & (IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_SHARED)))
			what = "size";
		if (what)
			add(&r->parts[P_DONE], "%s %lld+%llu", what, (long long)l->pos,
			    (unsigned long long)l->len);
	}
	m_log_start(r->m);
}

/* ---- the map ---- */

static struct m_block wanted(const struct o_extent *e, int64_t pos)
{
	struct m_block block = { .type = IOMAP_HOLE };

	for (; e->len; e++) {
		if (pos < e->pos || pos >= e->pos + e->len)
			continue;
		block.type = (uint8_t)e->type;
		block.shared = e->shared;
		if (e->type != IOMAP_DELALLOC)
			block.addr = (e->region + 1) * (uint64_t)REGION + e->off +
				     (uint64_t)(pos - e->pos);
	}
	return block;
}

static const char *type_name(const struct m_block *block)
{
	static const char *const names[] = { "hole", "delalloc", "mapped", "unwritten" };

	return names[block->type];
}

/* The first block inside the file that differs; what lies behind is taken over. */
static void compare_map(struct replay *r, struct m_file *f, const struct o_extent *map)
{
	unsigned size = r->m->block_size;
	int64_t end = (iomap_inode_size(&f->inode) + size - 1) / size * size;

	for (int64_t pos = 0; pos < end; pos += size) {
		const struct m_block *is = &f->data[pos / size];
		struct m_block want = wanted(map, pos);

		if (is->type == want.type && is->shared == want.shared && is->addr == want.addr)
			continue;
		add(&r->parts[P_MAP], "%lld %s%s %s", (long long)pos, type_name(is),
		    is->shared ? " shared" : "", is->addr ? place(is->addr) : "-");
		break;
	}
	for (int64_t pos = end; pos < BUF; pos += size) {
		struct m_block want = wanted(map, pos);

		m_set_block(f, (unsigned)(pos / size), want.type, want.addr);
	}
}

static void lay_out(struct m_file *f, const struct o_extent *e)
{
	for (; e->len; e++)
		if (e->type != IOMAP_DELALLOC)
			m_place(f, e->pos, (uint64_t)e->len,
				(e->region + 1) * (uint64_t)REGION + e->off);
}

/* ---- the operations ---- */

static int64_t do_write(struct m_file *f, const struct o_op *op)
{
	int64_t step = op->chunk ? op->chunk : op->b, done = 0;
	uint8_t *buf = aligned_alloc(4096, BUF);

	ck_assert_ptr_nonnull(buf);
	for (int64_t i = 0; i < op->b; i++)
		buf[i] = pattern(op->letter, op->a + i);
	if (op->kind == O_DWRITE && op->b % f->m->block_size == 0) {
		m_xfs_write_directly(f, op->a, buf, op->b);
		done = op->b;
	}
	while (done < op->b) {
		int64_t n = op->b - done < step ? op->b - done : step;

		ck_assert_int_eq(m_xfs_write(f, op->a + done, buf + done, (size_t)n), n);
		done += n;
	}
	free(buf);
	return done;
}

static void do_read(struct replay *r, struct m_file *f, const struct o_op *op)
{
	uint8_t *buf = malloc(BUF);
	int64_t n;

	ck_assert_ptr_nonnull(buf);
	n = m_read(f, op->a, buf, (size_t)op->b);
	add(&r->parts[P_RESULT], "bytes=%lld %s", (long long)n,
	    has_runs(buf, op->a, n, op->runs) ? "content" : "wrong");
	free(buf);
}

static void do_drop(struct m_file *f)
{
	iomap_inode_invalidate_lock(&f->inode, 0);
	(void)iomap_mapping_invalidate_range(&f->inode, 0, IOMAP_MAX_POS);
	iomap_inode_invalidate_unlock(&f->inode);
}

static void note_offset(struct replay *r, int64_t at)
{
	if (at == -ENXIO)
		add(&r->parts[P_RESULT], "ENXIO");
	else
		add(&r->parts[P_RESULT], "offset=%lld", (long long)at);
}

static void do_fiemap(struct replay *r, struct m_file *f, const struct o_op *op)
{
	struct m_extents all = { .max = 0 };
	struct text *text = &r->parts[P_RESULT];

	ck_assert_int_eq(m_fiemap(f, 0, (uint64_t)INT64_MAX, op->sync, &all), 0);
	for (unsigned i = 0; i < all.nr; i++) {
		const struct iomap_extent *e = &all.e[i];

		text->len += (size_t)snprintf(
			text->s + text->len, sizeof(text->s) - text->len,
			"%s%lld+%llu@%s%s%s%s%s%s", i ? " " : "", (long long)e->pos,
			(unsigned long long)e->len,
			e->addr == IOMAP_NULL_ADDR ? "-" : place(e->addr),
			e->flags & IOMAP_EXTENT_LAST ? ":last" : "",
			e->flags & IOMAP_EXTENT_UNKNOWN ? ":unknown" : "",
			e->flags & IOMAP_EXTENT_DELALLOC ? ":delalloc" : "",
			e->flags & IOMAP_EXTENT_UNWRITTEN ? ":unwritten" : "",
			e->flags & IOMAP_EXTENT_SHARED ? ":shared" : "");
	}
}

static void do_op(struct replay *r, const struct o_op *op)
{
	struct m_file *f = r->f[op->file];

	switch (op->kind) {
	case O_WRITE: case O_DWRITE:
		add(&r->parts[P_RESULT], "bytes=%lld", (long long)do_write(f, op));
		break;
	case O_READ:
		do_read(r, f, op);
		break;
	case O_FSYNC:
		ck_assert_int_eq(m_sync(f), 0);
		break;
	case O_DROP:
		do_drop(f);
		break;
	case O_SEEK_DATA:
		note_offset(r, m_seek_data(f, op->a));
		break;
	case O_SEEK_HOLE:
		note_offset(r, m_seek_hole(f, op->a));
		break;
	case O_FIEMAP:
		do_fiemap(r, f, op);
		break;
	case O_STAT:
		add(&r->parts[P_RESULT], "size=%lld", (long long)iomap_inode_size(&f->inode));
		break;
	case O_PREALLOC:
		m_preallocate(f, op->a, (uint64_t)op->b, false);
		if (!op->keep && op->a + op->b > iomap_inode_size(&f->inode))
			m_xfs_truncate(f, op->a + op->b);
		break;
	case O_TRUNCATE:
		m_xfs_truncate(f, op->a);
		break;
	case O_PUNCH:
		m_xfs_punch(f, op->a, op->a + op->b);
		break;
	case O_UNSHARE:
		m_xfs_unshare(f, op->a, op->b);
		break;
	case O_REFLINK:
		m_reflink(f, r->f[1]);
		break;
	case O_ZERO:
		m_xfs_zero(f, op->a, op->a + op->b);
		break;
	case O_MWRITE:
		for (int64_t i = 0; i < op->b; i++)
			m_xfs_store(f, op->a + i, pattern(op->letter, op->a + i));
		add(&r->parts[P_RESULT], "bytes=%lld", (long long)op->b);
		break;
	}
}

/* ---- one record ---- */

static void check_op(struct replay *r, const struct o_record *rec, unsigned i)
{
	static const char *const names[] = { "result", "ioends", "bios", "done", "durable", "map" };
	const struct o_op *op = &rec->ops[i];

	memset(r->parts, 0, sizeof(r->parts));
	for (unsigned k = 0; k < 2; k++)
		lay_out(r->f[k], op->map[k]);
	do_op(r, op);
	note_requests(r);
	note_completions(r);
	for (unsigned k = 0; k < 2; k++)
		compare_map(r, r->f[k], op->map[k]);
	for (unsigned p = op->kind == O_DWRITE ? P_MAP : 0; p < NR_PARTS; p++) {
		if (!strcmp(r->parts[p].s, op->expect[p]))
			continue;
		fprintf(stderr, "%s %u `%s` %s\n  expected %s\n  is       %s\n", rec->name, i,
			op->text, names[p], op->expect[p], r->parts[p].s);
		r->nr_wrong++;
	}
}

/* Through the cache, and once more from the device alone. */
static void check_final(struct replay *r, const struct o_record *rec)
{
	uint8_t *buf = malloc(BUF);

	ck_assert_ptr_nonnull(buf);
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned again = 0; again < 2; again++) {
			ck_assert_int_eq(m_read(r->f[k], 0, buf, BUF), rec->size[k]);
			ck_assert(has_runs(buf, 0, rec->size[k], rec->final[k]));
			ck_assert_int_eq(m_evict(r->f[k]), 0);
		}
		ck_assert(m_device_equals_model(r->f[k]));
	}
	free(buf);
}

static int no_limit(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct m_model *m = M_FILE(inode)->m;
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &m->wb_ops };

	wbc->max_ioend_bytes = 1u << 30;
	m->nr_writepages++;
	return iomap_writepages(&wpc);
}

/* How much differs. */
static unsigned replay(const struct o_record *rec, bool batch)
{
	struct m_opts opts = {
		.dev = "mem:model,size=16m,segs=4096,max=16m", .delalloc = true,
		.unwritten = true, .cow = true, .batch = batch, .max_folio = 256 << 10,
	};
	struct replay r = { .nr_wrong = 0 };

	for (opts.block_bits = 9; 1u << opts.block_bits < rec->block; opts.block_bits++)
		;
	t_env_start(&r.t, NULL);
	r.m = m_open(&r.t, &opts);
	r.m->hook_submit = submit;
	r.m->hook_map = m_xfs_map;
	r.m->hook_arg = &r;
	r.m->inode_ops.writepages = no_limit;
	r.f[0] = m_file_new(r.m);
	r.f[1] = m_file_new(r.m);
	r.dev = t_mem_find("model");
	m_log_start(r.m);
	for (unsigned i = 0; i < rec->nr; i++)
		check_op(&r, rec, i);
	check_final(&r, rec);
	ck_assert(m_balanced(r.m));
	m_file_free(&r.f[1]);
	m_file_free(&r.f[0]);
	m_close(&r.m);
	t_env_stop(&r.t);
	return r.nr_wrong;
}

/* All variants of a case.  batch: to zero, the client names the folios that are dirty. */
static void replay_all(const char *name, bool batch)
{
	unsigned found = 0, wrong = 0;

	for (unsigned i = 0; i < sizeof(o_records) / sizeof(*o_records); i++) {
		if (strncmp(o_records[i].name, name, strlen(name)))
			continue;
		wrong += replay(&o_records[i], batch);
		found++;
	}
	ck_assert_uint_ge(found, 2);
	ck_assert_uint_eq(wrong, 0);
}

CASE(oracle_01_merge_adjacent, "I91", "Adjacent pages, written in any order, are one ioend")
{
	replay_all("01-", false);
}

CASE(oracle_02_holes, "", "Holes in the file end an ioend, though the device goes on")
{
	replay_all("02-", false);
}

CASE(oracle_03_unwritten_boundary, "I92", "Written and unwritten never share an ioend")
{
	replay_all("03-", false);
}

CASE(oracle_05_eof_odd, "I95 I96", "Odd ends, appends, gaps: sizes are byte exact")
{
	replay_all("05-", false);
}

CASE(oracle_06_subpage, "I35", "Of a page only the blocks that are dirty, read or written")
{
	replay_all("06-", false);
}

CASE(oracle_08_append_partial, "", "Small appends that begin inside a block")
{
	replay_all("08-", false);
}

CASE(oracle_09_truncate_extend, "I66",
     "Truncate into a block and back: what is zeroed, and when")
{
	replay_all("09-", false);
}

CASE(oracle_12_cow, "", "Writes to shared extents go elsewhere, then overwrite in place")
{
	replay_all("12-", false);
}

CASE(oracle_15_seek, "I138", "SEEK_DATA and SEEK_HOLE over all kinds of space")
{
	replay_all("15-", false);
}

CASE(oracle_18_mmap_hole, "I78", "Stores into a sparse file whose end is inside a page")
{
	replay_all("18-", false);
}

CASE(oracle_20_read, "", "Reading data, holes, unwritten space and the last page")
{
	replay_all("20-", false);
}

CASE(oracle_22_truncate_dirty, "I60", "Truncate over what is dirty or only promised")
{
	/* The kernel zeroes a dirty block at the edge before it looks at maps; by I60 that takes a
	 * batch, or what is dirty is written first. */
	replay_all("22-", true);
}
MAIN()
