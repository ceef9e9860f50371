/* SPDX-License-Identifier: MIT */
/*
 * test_nonsense.c - clients and users that give the library something it cannot use.
 *
 * A callback's nonsense is -EIO and a report that names it; what it would have led to is not done.
 * A user's memory may end anywhere: what came before counts, and nothing else has changed.
 */
#include "harness/memdev.h"
#include "model/model.h"

#define PAGE	4096

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
};

static struct t_mem *device(void)
{
	return t_mem_find("model");
}

static void start(struct story *s, const struct m_opts *opts)
{
	memset(s, 0, sizeof(*s));
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, opts);
	s->f = m_file_new(s->m);
}

static void stop(struct story *s)
{
	m_file_free(&s->f);
	ck_assert_int_eq(s->m->nr_allocated, s->m->nr_snapshot);
	m_close(&s->m);
	t_env_stop(&s->t);
}

static const struct m_opts promises = { .delalloc = true, .unwritten = true, .cow = true };

static unsigned nr_requests(void)
{
	unsigned nr;

	t_mem_log(device(), &nr);
	return nr;
}

/* ---- maps ---- */

static void no_length(struct iomap *map)
{
	map->length = 0;
}

static void begins_behind(struct iomap *map)
{
	map->offset += (int64_t)map->length;
}

static void without_end(struct iomap *map)
{
	map->length = UINT64_MAX;
}

static void no_such_type(struct iomap *map)
{
	map->type = 77;
}

static void born_stale(struct iomap *map)
{
	map->flags |= IOMAP_F_STALE;
}

static void no_such_flag(struct iomap *map)
{
	map->flags |= 1u << 15 | 1u << 11;
}

static void nowhere(struct iomap *map)
{
	map->type = IOMAP_MAPPED;
	map->addr = IOMAP_NULL_ADDR;
}

static void behind_the_device(struct iomap *map)
{
	map->type = IOMAP_MAPPED;
	map->addr = 1ull << 60;
}

static void hole_with_address(struct iomap *map)
{
	map->type = IOMAP_HOLE;
	map->addr = PAGE;
}

static void inline_nowhere(struct iomap *map)
{
	map->type = IOMAP_INLINE;
	map->inline_data = NULL;
}

static void spare_word(struct iomap *map)
{
	map->spare[2] = 1;
}

static void (*const wrongs[])(struct iomap *map) = {
	no_length, begins_behind, without_end, no_such_type, born_stale, no_such_flag, nowhere,
	behind_the_device, hole_with_address, inline_nowhere, spare_word,
};
#define NR_WRONGS (sizeof(wrongs) / sizeof(wrongs[0]))

static void (*wrong)(struct iomap *map);

static void spoil(struct m_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map,
		  struct iomap *srcmap)
{
	(void)f;
	(void)pos;
	(void)len;
	(void)flags;
	(void)srcmap;
	wrong(map);
}

static void spoil_wb(struct m_file *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)f;
	(void)pos;
	(void)len;
	wrong(map);
}

static int64_t op_write(struct m_file *f)
{
	return m_fill(f, 10, 3 * PAGE, 5);
}

static int64_t op_extend(struct m_file *f)
{
	return m_fill(f, 20 * PAGE, PAGE, 5);
}

static int64_t op_read(struct m_file *f)
{
	uint8_t byte;

	return m_read(f, PAGE, &byte, 1);
}

static int64_t op_zero(struct m_file *f)
{
	return m_zero(f, 10, PAGE, NULL);
}

static int64_t op_unshare(struct m_file *f)
{
	return m_unshare(f, 0, 2 * PAGE);
}

static int64_t op_truncate(struct m_file *f)
{
	return m_truncate(f, PAGE + 1);
}

static int64_t op_seek(struct m_file *f)
{
	return m_seek_data(f, 0);
}

static int64_t op_fiemap(struct m_file *f)
{
	struct m_extents all = { .max = 0 };

	return m_fiemap(f, 0, 8 * PAGE, false, &all);
}

static int64_t (*const ops[])(struct m_file *f) = {
	op_write, op_extend, op_read, op_zero, op_unshare, op_truncate, op_seek, op_fiemap,
};
#define NR_OPS (sizeof(ops) / sizeof(ops[0]))

CASE(each_wrong_map_in_each_operation, "O32 O33 I2",
     "-EIO and a report for each, no request, an end for each begin, the content as it was")
{
	for (unsigned i = 0; i < NR_WRONGS * NR_OPS; i++) {
		unsigned requests;
		struct story s;
		int64_t rc;

		start(&s, &promises);
		ck_assert_int_eq(m_fill(s.f, 0, 8 * PAGE, 1), 8 * PAGE);
		m_share(s.f);
		ck_assert_int_eq(m_drop_cache(s.f), 0);
		requests = nr_requests();
		wrong = wrongs[i / NR_OPS];
		s.m->hook_map = spoil;
		rc = ops[i % NR_OPS](s.f);
		ck_assert_msg(rc == -EIO, "map %u, operation %u: %lld", i / (unsigned)NR_OPS,
			      i % (unsigned)NR_OPS, (long long)rc);
		ck_assert_uint_ge(s.t.nr_reports, 1);
		ck_assert_str_eq(s.t.last_callback, "iomap_begin");
		ck_assert_uint_eq(nr_requests(), requests);
		ck_assert_uint_eq(s.m->nr_begin, s.m->nr_end);
		s.m->hook_map = NULL;
		ck_assert(m_content_ok(s.f));
		stop(&s);
	}
}

CASE(each_wrong_map_in_writeback, "O32 O11",
     "-EIO and a report, no request of it, told once; the pages are kept and can be tried again")
{
	for (unsigned i = 0; i < NR_WRONGS; i++) {
		unsigned requests;
		struct story s;

		if (wrongs[i] == born_stale)
			continue;		/* a wpc's map is the client's to keep or drop */
		start(&s, &promises);
		ck_assert_int_eq(m_fill(s.f, 0, 8 * PAGE, 1), 8 * PAGE);
		requests = nr_requests();
		wrong = wrongs[i];
		s.m->hook_wb_map = spoil_wb;
		ck_assert_msg(m_sync(s.f) == -EIO, "map %u", i);
		ck_assert_uint_ge(s.t.nr_reports, 1);
		ck_assert_str_eq(s.t.last_callback, "writeback_range");
		ck_assert_uint_eq(nr_requests(), requests);
		s.m->hook_wb_map = NULL;
		ck_assert(m_content_ok(s.f));
		iomap_inode_lock(&s.f->inode, 0);
		ck_assert_int_gt(iomap_mapping_redirty_failed(&s.f->inode, 0, IOMAP_MAX_POS,
							      &s.m->ops, NULL), 0);
		iomap_inode_unlock(&s.f->inode);
		ck_assert_int_eq(m_sync(s.f), 0);
		ck_assert(m_device_equals_model(s.f));
		stop(&s);
	}
}

/* ---- answers ---- */

static int answer;

static int say_begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		     struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)inode;
	(void)pos;
	(void)len;
	(void)flags;
	(void)map;
	(void)srcmap;
	(void)priv;
	return answer;
}

static int say_end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
		   unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	int rc = m_end(inode, pos, len, written, flags, map, srcmap, priv);

	return rc ? rc : answer;
}

static int say_sync(struct iomap_inode *inode, int64_t from, int64_t end, bool datasync,
		    bool *flushed)
{
	(void)inode;
	(void)from;
	(void)end;
	(void)datasync;
	(void)flushed;
	return answer;
}

static int say_writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	(void)inode;
	(void)wbc;
	return answer;
}

static int say_volume_sync(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	(void)flushed;
	return answer;
}

static int say_submit(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	int rc;

	(void)f;
	rc = iomap_ioend_writeback_submit(wpc, wb_ctx, error);
	return rc ? rc : answer;
}

static int64_t say_range(struct m_file *f, int64_t pos, uint64_t len, int64_t result)
{
	(void)f;
	(void)pos;
	(void)result;
	return answer > 0 ? (int64_t)len + answer : 0;
}

CASE(answers_that_mean_nothing, "I75 O32",
     "Positive numbers from begin, end, sync_metadata, writepages; more or nothing from a range")
{
	static const int answers[] = { 1, PAGE, INT32_MAX };

	for (unsigned i = 0; i < 3; i++) {
		struct iomap_inode_ops own;
		struct story s;

		start(&s, &promises);
		own = s.m->inode_ops;
		answer = answers[i];
		ck_assert_int_eq(m_fill(s.f, 0, 4 * PAGE, 1), 4 * PAGE);
		s.m->ops.iomap_begin = say_begin;
		ck_assert_int_eq(m_fill(s.f, 0, 2 * PAGE, 2), -EIO);
		ck_assert_int_eq(m_seek_hole(s.f, 0), -EIO);
		s.m->ops.iomap_begin = m_begin;
		s.m->ops.iomap_end = say_end;
		ck_assert_int_eq(m_seek_hole(s.f, 0), -EIO);
		s.m->ops.iomap_end = m_end;
		ck_assert_uint_eq(s.t.nr_reports, 3);
		s.m->inode_ops.writepages = say_writepages;
		ck_assert_int_eq(m_sync(s.f), -EIO);
		s.m->inode_ops.writepages = own.writepages;
		s.m->inode_ops.sync_metadata = say_sync;
		ck_assert_int_eq(m_sync(s.f), -EIO);
		s.m->inode_ops.sync_metadata = own.sync_metadata;
		ck_assert_uint_eq(s.t.nr_reports, 5);
		ck_assert_int_eq(m_sync(s.f), 0);
		ck_assert(m_device_equals_model(s.f));
		ck_assert_int_eq(m_fill(s.f, 0, 4 * PAGE, 3), 4 * PAGE);
		s.m->hook_range = say_range;
		answer = i ? answers[i] : 0;
		ck_assert_int_eq(m_sync(s.f), -EIO);
		ck_assert_uint_gt(s.t.nr_reports, 5);
		ck_assert(m_content_ok(s.f));
		stop(&s);
	}
}

static const struct iomap_volume_ops says_anything = {
	.struct_size = sizeof(says_anything), .sync_metadata = say_volume_sync,
};

CASE(answers_of_writeback_that_mean_nothing, "O32",
     "Positive numbers from the submit hook, a volume's sync_metadata, writepages for a report")
{
	struct m_extents all = { .max = 0 };
	struct iomap_volume *volume;
	struct iomap_inode_ops own;
	struct story s;

	start(&s, &promises);
	own = s.m->inode_ops;
	answer = 7;
	ck_assert_int_eq(m_fill(s.f, 0, 4 * PAGE, 1), 4 * PAGE);
	s.m->hook_submit = say_submit;
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), -EIO);
	ck_assert_uint_eq(s.t.nr_reports, 1);
	ck_assert_str_eq(s.t.last_callback, "writeback_submit");
	s.m->hook_submit = NULL;
	ck_assert_int_eq(m_fill(s.f, 0, 4 * PAGE, 2), 4 * PAGE);
	s.m->inode_ops.writepages = say_writepages;
	ck_assert_int_eq(m_fiemap(s.f, 0, 4 * PAGE, true, &all), -EIO);
	ck_assert_uint_eq(s.t.nr_reports, 2);
	ck_assert_str_eq(s.t.last_callback, "writepages");
	s.m->inode_ops.writepages = own.writepages;
	ck_assert_int_eq(iomap_volume_new(s.t.env, NULL, &says_anything, NULL, &volume), 0);
	ck_assert_int_eq(iomap_volume_sync(volume), -EIO);
	ck_assert_uint_eq(s.t.nr_reports, 3);
	ck_assert_str_eq(s.t.last_callback, "sync_metadata");
	iomap_volume_delete(&volume);
	stop(&s);
}

/* ---- a user's memory that ends ---- */

static size_t reach;			/* bytes that can still be copied */

static size_t copy(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	size_t n = len < reach ? len : reach;
	char *user = (char *)data->iov[0].iov_base + (data->total - data->left);

	if (to_user)
		memcpy(user, mem, n);
	else
		memcpy(mem, user, n);
	reach -= n;
	return n;
}

static const struct iomap_data_ops ends_somewhere = {
	.struct_size = sizeof(ends_somewhere), .copy = copy,
};

static int64_t write_short(struct m_file *f, int64_t pos, size_t len, size_t good)
{
	static uint8_t bytes[8 * PAGE];
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	struct iomap_req req = { .file = &f->file, .pos = pos };
	struct iomap_data data;
	int64_t n;

	memset(bytes, 'w', sizeof(bytes));
	iomap_data_init(&data, &iov, 1);
	data.ops = &ends_somewhere;
	reach = good;
	iomap_inode_lock(&f->inode, 0);
	n = iomap_file_buffered_write(&req, &data, &f->m->ops, &f->m->write_ops, NULL);
	if (n > 0)
		memcpy(f->ref + pos, bytes, (size_t)n);
	if (n > 0 && pos + n > f->ref_size)
		f->ref_size = pos + n;
	iomap_inode_unlock(&f->inode);
	return n;
}

CASE_TIMEOUT(memory_that_ends_anywhere, "I38 O36 I164",
	     "A write counts no more than was copied, changes nothing else, leaks nothing", 60)
{
	static const size_t goods[] = { 0, 1, 700, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 5 * PAGE };
	static const int64_t at[] = { 0, 100, PAGE, 2 * PAGE + 9, 7 * PAGE, 9 * PAGE + 1 };

	for (unsigned i = 0; i < 8 * 6; i++) {
		size_t good = goods[i / 6];
		struct story s;
		int64_t n;

		start(&s, &(struct m_opts){ .delalloc = i & 1, .unwritten = i & 2,
					    .max_folio = i & 4 ? PAGE : 4 * PAGE });
		ck_assert_int_eq(m_fill(s.f, 0, 8 * PAGE + 50, 1), 8 * PAGE + 50);
		ck_assert_int_eq(m_drop_cache(s.f), 0);
		n = write_short(s.f, at[i % 6], 6 * PAGE, good);
		ck_assert_msg(n == -EFAULT || (n > 0 && n <= (int64_t)good), "%lld of %zu",
			      (long long)n, good);
		ck_assert(m_content_ok(s.f));
		ck_assert_int_eq(m_sync(s.f), 0);
		ck_assert(m_device_equals_model(s.f));
		ck_assert_int_eq(s.m->nr_reserved, 0);
		ck_assert(m_balanced(s.m));
		stop(&s);
	}
}

MAIN()
