/* SPDX-License-Identifier: MIT */
/*
 * Mistakes that others made in writeback: each is a small story that goes wrong when it is made
 * again.
 */
#include "harness/memdev.h"
#include "model/flat.h"
#include "model/model.h"

#define BLOCK 4096

static struct t_mem *device(void)
{
	return t_mem_find("model");
}

static void poll(struct m_model *m)
{
	iomap_ioq_poll(m->ioq, 0, UINT32_MAX, 0);
	iomap_env_run_work(m->env, IOMAP_WORK_IOEND | IOMAP_WORK_DIO, UINT32_MAX);
}

static void settle(struct m_model *m, struct m_file *f)
{
	t_mem_hold(device(), false);
	t_mem_release_all(device());
	poll(m);
	ck_assert_int_eq(iomap_inode_wait_wb(&f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
}

/* ---- R11: whose error ---- */

CASE(an_error_lands_on_its_own_file, "",
     "A map error, then the same memory is another file's: only the first file has the error")
{
	struct t_env t;
	struct m_model *m;
	struct m_file *a, *b;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .cache_bytes = 1 << 20 });
	a = m_file_new(m);
	b = m_file_new(m);
	ck_assert_int_eq(m_fill(a, 0, 128 * 1024, 1), 128 * 1024);
	m->fail_map = (struct m_fault){ .nth = 1, .count = 1000, .error = -ENOSPC };
	ck_assert_int_eq(m_writeback(a, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), -ENOSPC);
	m->fail_map = (struct m_fault){ .nth = 0 };
	ck_assert_int_ge(iomap_mapping_forget_failed(&a->inode, 0, IOMAP_MAX_POS), 128 * 1024);
	ck_assert_int_eq(m_fill(b, 0, 512 * 1024, 2), 512 * 1024);
	ck_assert_int_eq(m_sync(b), 0);
	ck_assert_int_eq(iomap_file_check_error(&b->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&a->file), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&a->file), 0);
	m_file_free(&a);
	m_file_free(&b);
	m_close(&m);
	t_env_stop(&t);
}

/* ---- R14, R15: the end of the file ---- */

CASE(size_never_passes_the_data, "R14 I96",
     "An append races completion: the size on disk is what was written, not the end of its block")
{
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	const int64_t written = 5000;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .unwritten = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, (size_t)written, 1), written);
	t_mem_hold(device(), true);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), 0);
	poll(m);
	ck_assert_uint_eq(t_mem_nr_held(device()), 1);
	/* another writer; what it wrote is in memory only */
	ck_assert_int_eq(m_fill(f, written, 100, 2), 100);
	settle(m, f);
	/* a crash now: the file ends at what the first writeback carried */
	ck_assert_int_eq(f->disk_size, written);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_int_eq(f->disk_size, written + 100);
	ck_assert(m_device_equals_model(f));
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

static int64_t grown_at_submit;

static int check_at_submit(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx,
			   int error)
{
	struct iomap_ioend *ioend = wb_ctx;
	int64_t end = ioend->offset + (int64_t)ioend->size;

	ck_assert_int_le(end, iomap_inode_size(&f->inode));
	grown_at_submit = end > grown_at_submit ? end : grown_at_submit;
	ioend->bio.end_io = m_end_io;
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

CASE(no_ioend_passes_the_size, "R15",
     "For every ioend that is queued, offset and size end at or before the file")
{
	static const unsigned bits[] = { 9, 10, 12 };
	uint64_t seed = 15;

	for (unsigned b = 0; b < 3; b++) {
		struct t_env t;
		struct m_model *m;
		struct m_file *f;

		t_env_start(&t, NULL);
		m = m_open(&t, &(struct m_opts){
			.delalloc = true, .unwritten = b & 1, .block_bits = bits[b],
			.max_folio = 16384,
		});
		m->hook_submit = check_at_submit;
		f = m_file_new(m);
		for (int i = 0; i < 40; i++) {
			int64_t pos = (int64_t)(t_rand(&seed) % 200000);
			size_t len = 1 + t_rand(&seed) % 20000;

			ck_assert_int_eq(m_fill(f, pos, len, (unsigned)i), (int64_t)len);
			grown_at_submit = 0;
			if (i % 3 == 0)
				ck_assert_int_eq(m_sync(f), 0);
			/* whoever carried the end carried it to the byte */
			if (i % 3 == 0 && grown_at_submit == iomap_inode_size(&f->inode))
				ck_assert_int_eq(f->disk_size, grown_at_submit);
		}
		ck_assert_int_eq(m_sync(f), 0);
		ck_assert_int_eq(f->disk_size, iomap_inode_size(&f->inode));
		ck_assert(m_device_equals_model(f));
		m_file_free(&f);
		m_close(&m);
		t_env_stop(&t);
	}
}

CASE(a_truncate_meanwhile, "I108 I96",
     "The file is cut while its writeback is under way: completion does not bring the old size "
     "back")
{
	struct t_env t;
	struct m_model *m;
	struct m_file *f;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 3 * BLOCK, 1), 3 * BLOCK);
	t_mem_hold(device(), true);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_ALL, 0, IOMAP_MAX_POS), 0);
	poll(m);
	ck_assert_uint_ge(t_mem_nr_held(device()), 1);
	iomap_inode_lock(&f->inode, 0);
	iomap_inode_set_size(&f->inode, 1000);
	iomap_inode_unlock(&f->inode);
	settle(m, f);
	ck_assert_int_eq(f->disk_size, 1000);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

/* ---- R22: a failed append ---- */

struct zoned {
	unsigned sent;
};

static void anonymous(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)f;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .flags = IOMAP_F_ANON_WRITE | IOMAP_F_SHARED,
		.addr = IOMAP_NULL_ADDR, .offset = pos, .length = len,
	};
}

static void append_end(struct iomap_bio *bio)
{
	iomap_ioend_defer(iomap_ioend_from_bio(bio));
}

static int append(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx), *front;
	struct zoned *z = f->arg;

	ioend->bio.end_io = append_end;
	ioend->bio.op = IOMAP_BIO_ZONE_APPEND;
	ioend->bio.addr = 0;
	while (!error) {
		error = iomap_split_ioend(ioend, 4 * BLOCK, true, &front);
		if (error)
			break;
		z->sent++;
		iomap_ioend_submit(front ? front : ioend, 0);
		if (!front)
			return 0;
	}
	iomap_ioend_submit(ioend, error);
	return error;
}

CASE(a_failed_append, "R22",
     "A zone append fails: every waiter hears EIO, nothing stays under writeback")
{
	struct flat *f = flat_new(&(struct flat_opts){ .dev = "mem:flat,size=16m,zoned" });
	struct zoned z = { 0 };

	f->map = anonymous;
	f->submit = append;
	f->arg = &z;
	for (int64_t i = 0; i < 16; i++)
		flat_dirty(f, i * BLOCK, BLOCK, 'a');
	t_mem_fail(f->mem, IOMAP_BIO_ZONE_APPEND, 2, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	for (unsigned i = 0; i < 8; i++)	/* four appends and the work they leave */
		flat_poll(f);
	/* who waits now has nothing to wait for */
	ck_assert_int_eq(iomap_inode_wait_wb(&f->inode, UINT64_MAX, 0), 0);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_uint_eq(z.sent, 4);
	for (int64_t i = 0; i < 16; i++)
		ck_assert_uint_eq(flat_flags(f, i * BLOCK) & IOMAP_FOLIO_WRITEBACK, 0);
	ck_assert_int_eq(flat_sync(f), 0);
	flat_delete(&f);
}

/* ---- R36: content after a failed write ---- */

CASE(a_failed_write_loses_nothing, "R36",
     "EIO on writeback: the memory still has it, fsync says so once")
{
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	char buf[BLOCK];

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .max_folio = 65536 });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 256 * 1024, 3), 256 * 1024);
	t_mem_fail(device(), IOMAP_BIO_WRITE, 1, 1000, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(f), -EIO);
	t_mem_fail(device(), IOMAP_BIO_WRITE, 0, 0, 0, UINT64_MAX);
	iomap_cache_reclaim(m->cache, 1 << 20);
	ck_assert(m_content_ok(f));
	/* m_read compares with what must be there */
	ck_assert_int_eq(m_read(f, 100 * 1024, buf, sizeof(buf)), (int64_t)sizeof(buf));
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

CASE(a_loss_nobody_waited_for, "O11",
     "Background writeback fails while nobody waits: the bytes are dirty, or the next sync says so")
{
	struct flat *f = flat_new(NULL);
	const uint32_t lost = IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_FAILED;

	flat_dirty(f, 0, 4 * BLOCK, 'a');
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	flat_settle(f);
	for (int64_t i = 0; i < 4; i++)
		ck_assert_uint_eq(flat_flags(f, i * BLOCK) & lost, IOMAP_FOLIO_FAILED);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_int_eq(flat_sync(f), 0);
	flat_delete(&f);
}

/* ---- R37: garbage addresses ---- */

struct kind {
	uint16_t type, flags;
	bool garbage;			/* an address where there should be none */
};

static void of_kind(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	const struct kind *kind = f->arg;

	*map = (struct iomap){
		.type = kind->type, .flags = kind->flags, .bdev = f->bdev, .offset = pos,
		.length = len, .addr = IOMAP_NULL_ADDR,
	};
	if (kind->garbage || kind->type == IOMAP_MAPPED || kind->type == IOMAP_UNWRITTEN)
		map->addr = (uint64_t)pos;
}

CASE(only_what_has_an_address_goes_out, "R37",
     "Whatever type with whatever flag: only MAPPED and UNWRITTEN reach the device, at their "
     "address")
{
	static const uint16_t flags[] = { 0, IOMAP_F_NEW, IOMAP_F_DIRTY, IOMAP_F_SHARED,
					  IOMAP_F_MERGED, IOMAP_F_BOUNDARY, IOMAP_F_PRIVATE };
	struct kind kind;

	for (kind.type = IOMAP_HOLE; kind.type <= IOMAP_INLINE; kind.type++)
		for (unsigned i = 0; i < 2 * sizeof(flags) / sizeof(flags[0]); i++) {
			struct flat *f = flat_new(NULL);
			bool may_go = kind.type == IOMAP_MAPPED || kind.type == IOMAP_UNWRITTEN;
			const struct t_mem_req *log;
			unsigned nr;
			int rc;

			kind.flags = flags[i / 2];
			kind.garbage = i & 1;
			f->map = of_kind;
			f->arg = &kind;
			flat_dirty(f, 8 * BLOCK, BLOCK, 'a');
			rc = flat_sync(f);
			log = t_mem_log(f->mem, &nr);
			for (unsigned k = 0; k < nr; k++)
				if (log[k].op == IOMAP_BIO_WRITE) {
					ck_assert(may_go && !rc);
					ck_assert_uint_eq(log[k].addr, 8 * BLOCK);
				}
			if (kind.type == IOMAP_DELALLOC || kind.type == IOMAP_INLINE)
				ck_assert_int_eq(rc, -EIO);
			if (may_go && !rc)
				ck_assert_int_eq(t_mem_data(f->mem)[8 * BLOCK], 'a');
			flat_delete(&f);
		}
}

/* ---- R47, R48: maps that fail ---- */

CASE(a_map_that_always_fails, "R47",
     "fsync ends after one pass with EIO; nothing is dirty for ever")
{
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	unsigned ranges;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .max_folio = BLOCK });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 64 * BLOCK, 4), 64 * BLOCK);
	m->fail_map = (struct m_fault){ .nth = 1, .count = 1000000, .error = -EIO };
	ck_assert_int_eq(m_sync(f), -EIO);
	ranges = m->nr_ranges;
	ck_assert_uint_eq(ranges, 64);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_uint_eq(m->nr_ranges, ranges);
	ck_assert(m_content_ok(f));
	ck_assert_int_eq(m->nr_reserved, 0);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

CASE(blocks_before_the_bad_one, "R48 I83 I90",
     "The third block of a folio cannot be mapped: the first two are written, the promises of "
     "the rest given back")
{
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	char buf[4 * BLOCK];

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){
		.delalloc = true, .max_folio = sizeof(buf),
	});
	f = m_file_new(m);
	for (int i = 0; i < 4; i++)
		memset(buf + i * BLOCK, 'a' + i, BLOCK);
	ck_assert_int_eq(m_write(f, 0, buf, sizeof(buf)), (int64_t)sizeof(buf));
	ck_assert_int_eq(m->nr_reserved, 4);
	m->opts.chunk = BLOCK;		/* from here on each block is an extent */
	m->fail_map = (struct m_fault){ .nth = 3, .count = 1, .error = -EIO };
	ck_assert_int_eq(m_sync(f), -EIO);
	for (unsigned i = 0; i < 4; i++) {
		char block[BLOCK];

		if (i >= 2) {
			ck_assert_uint_eq(f->data[i].type, IOMAP_HOLE);
			continue;
		}
		ck_assert_uint_eq(f->data[i].type, IOMAP_MAPPED);
		ck_assert_int_eq(m_dev_read(m->bdev, f->data[i].addr, block, BLOCK), 0);
		ck_assert(!memcmp(block, buf + i * BLOCK, BLOCK));
	}
	ck_assert_int_eq(m->nr_reserved, 0);
	ck_assert(m_content_ok(f));
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

/* ---- R53: what a submit hook may lock ---- */

/* No folio of the file is locked by the walk: neither those of the ioend nor the one that closed
 * it.  A journal that takes a lock here, and folio locks under it elsewhere, would hang. */
static int lock_folios(struct m_file *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_folio *folio;

	for (int64_t pos = 0; pos < 6 * BLOCK; pos += BLOCK) {
		ck_assert_int_eq(iomap_mapping_get_folio(&f->inode, pos, BLOCK, IOMAP_NOWAIT,
							 &folio), 0);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

CASE(the_submit_hook_locks_folios, "R53 O31",
     "No folio is locked when an ioend is handed over, be it full, in the way, or the last")
{
	struct t_env t;
	struct m_model *m;
	struct m_file *f;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .unwritten = true, .chunk = BLOCK,
					 .gap = 1, .max_folio = BLOCK });
	f = m_file_new(m);
	m->hook_submit = lock_folios;
	ck_assert_int_eq(m_fill(f, 0, 6 * BLOCK, 1), 6 * BLOCK);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_uint_eq(m->nr_submits, 6);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

/* ---- O35: what is converted ---- */

CASE(only_what_was_written_is_converted, "O35 I105",
     "Of three neighbours the middle one fails: its block stays unwritten, the others' do not")
{
	static const enum iomap_type types[] = { IOMAP_MAPPED, IOMAP_UNWRITTEN, IOMAP_MAPPED };
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL,
		.max_ioend_bytes = BLOCK,
	};
	struct t_env t;
	struct m_model *m;
	struct m_file *f;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .unwritten = true });
	f = m_file_new(m);
	m_log_start(m);
	ck_assert_int_eq(m_fill(f, 0, 3 * BLOCK, 1), 3 * BLOCK);
	t_mem_hold(device(), true);
	t_mem_fail(device(), IOMAP_BIO_WRITE, 2, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(f->inode.ops->writepages(&f->inode, &wbc), 0);
	poll(m);
	ck_assert_uint_eq(t_mem_nr_held(device()), 3);
	ck_assert_uint_eq(m_log_find(m, M_CONVERT, 0), M_MAX_LOG);
	settle(m, f);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(f->data[i].type, types[i]);
	ck_assert_uint_lt(m_log_find(m, M_END_IO, 0), m_log_find(m, M_CONVERT, 0));
	ck_assert_int_eq(m_sync(f), -EIO);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

MAIN()
