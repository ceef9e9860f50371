/* SPDX-License-Identifier: MIT */
/*
 * test_kill.c - dropping an inode while a client holds some of its ioends.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/flat.h"
#include "model/model.h"

#include "inode/inode.h"

#define FRAME 16384u

static struct iomap_ioend *held;
static int last_error, nr_written;

static void written(struct iomap_folio *folio, int error)
{
	(void)folio;
	last_error = error;
	nr_written++;
}

static const struct iomap_inode_ops inode_ops = {
	.struct_size = sizeof(inode_ops), .folio_written = written,
};

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	wpc->iomap = (struct iomap){
		.type = IOMAP_MAPPED, .offset = 0, .length = 1 << 20, .bdev = wpc->inode->bdev,
	};
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

static int take(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	ck_assert_int_eq(error, 0);
	held = iomap_ioend_take(wpc, wb_ctx);
	return 0;
}

static const struct iomap_writeback_ops taking = {
	.struct_size = sizeof(taking), .writeback_range = range, .writeback_submit = take,
};
static const struct iomap_writeback_ops sending = {
	.struct_size = sizeof(sending), .writeback_range = range,
	.writeback_submit = iomap_ioend_writeback_submit,
};

struct table {
	struct t_env t;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_inode inode;
	struct iomap_file file;
	struct iomap_folio folio[2];
};
static _Alignas(4096) char mem[2 * FRAME];

static void start(struct table *s)
{
	struct iomap_inode_opts o;

	t_env_start(&s->t, NULL);
	ck_assert_int_eq(iomap_ioq_new(s->t.env, NULL, &s->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(s->ioq, "mem:kill", NULL, &s->bdev), 0);
	o = (struct iomap_inode_opts){
		.struct_size = sizeof(o), .ops = &inode_ops, .env = s->t.env, .bdev = s->bdev,
		.flags = IOMAP_INODE_FRAMES, .block_bits = 12,
	};
	ck_assert_int_eq(iomap_inode_init(&s->inode, &o), 0);
	ck_assert_int_eq(iomap_file_open(&s->file, &s->inode, 0), 0);
	held = NULL;
	nr_written = 0;
}

static void stop(struct table *s)
{
	iomap_inode_fini(&s->inode);
	iomap_bdev_close(&s->bdev);
	iomap_ioq_delete(&s->ioq);
	t_env_stop(&s->t);
}

static int hand_over(struct table *s, unsigned i, const struct iomap_writeback_ops *ops)
{
	struct iomap_writeback_control wbc = { .struct_size = sizeof(wbc) };
	struct iomap_writeback_ctx wpc = { .inode = &s->inode, .wbc = &wbc, .ops = ops };
	int rc;

	iomap_folio_init(&s->folio[i], &s->inode, (int64_t)i * FRAME, mem + i * FRAME, FRAME, NULL);
	iomap_folio_mark_dirty(&s->folio[i], 0, FRAME);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	rc = iomap_writeback_folio(&wpc, &s->folio[i]);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	return rc;
}

CASE(kill_waits_for_who_holds, "H13",
     "A held ioend keeps the inode: its holder ends it, with -ECANCELED, and kill waits for that")
{
	struct table s;

	start(&s);
	ck_assert_int_eq(hand_over(&s, 0, &taking), 0);
	ck_assert_ptr_nonnull(held);
	ck_assert_int_eq(iomap_inode_kill(&s.inode, 0), -ETIMEDOUT);
	ck_assert_int_eq(nr_written, 0);
	ck_assert_ptr_eq(held->inode, &s.inode);	/* still the holder's, still alive */
	ck_assert_int_eq(iomap_inode_kill(&s.inode, 1000000), -ETIMEDOUT);
	iomap_ioend_submit(held, 0);
	ck_assert_int_eq(iomap_inode_kill(&s.inode, IOMAP_FOREVER), 0);
	ck_assert_int_eq(nr_written, 1);
	ck_assert_int_eq(last_error, -ECANCELED);
	stop(&s);
}

CASE(killed_inode_takes_nothing_new, "H13",
     "After kill new writeback, handles and syncs are -ESTALE")
{
	struct iomap_file file;
	struct table s;

	start(&s);
	ck_assert_int_eq(iomap_inode_kill(&s.inode, IOMAP_FOREVER), 0);
	ck_assert_int_eq(hand_over(&s, 0, &sending), -ESTALE);
	ck_assert_int_eq(nr_written, 0);
	ck_assert_int_eq(iomap_file_open(&file, &s.inode, 0), -ESTALE);
	ck_assert_int_eq(iomap_file_sync(&s.file, 0, IOMAP_MAX_POS, false), -ESTALE);
	stop(&s);
}

CASE(kill_waits_for_what_is_in_flight, "H13",
     "Writes on their way are waited for; errors are forgotten")
{
	struct t_mem *dev;
	struct table s;

	start(&s);
	dev = t_mem_find("kill");
	t_mem_fail(dev, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	t_mem_hold(dev, true);
	ck_assert_int_eq(hand_over(&s, 0, &sending), 0);
	ck_assert_int_eq(iomap_inode_kill(&s.inode, 1000000), -ETIMEDOUT);
	ck_assert_int_eq(nr_written, 0);
	t_mem_hold(dev, false);
	t_mem_release_all(dev);
	ck_assert_int_eq(iomap_inode_kill(&s.inode, IOMAP_FOREVER), 0);
	ck_assert_int_eq(nr_written, 1);
	ck_assert_int_eq(last_error, -EIO);
	ck_assert_int_eq(iomap_file_check_error(&s.file), 0);
	stop(&s);
}

CASE(killed_file_drops_its_cache, "H13", "A cached inode may be dropped with dirty folios in it")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;
	unsigned nr;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 50000, 1), 50000);
	t_mem_log_reset(t_mem_find("model"));
	ck_assert_int_eq(iomap_inode_kill(&f->inode, IOMAP_FOREVER), 0);
	t_mem_log(t_mem_find("model"), &nr);
	ck_assert_uint_eq(nr, 0);
	ck_assert_uint_eq(iomapi_inode(&f->inode)->mapping.nr_folios, 0);
	ck_assert_int_eq(m_fill(f, 0, 100, 1), -ESTALE);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

static int64_t kill_at_first(struct flat *f, struct iomap_writeback_ctx *wpc,
			     struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	int64_t done = flat_range_default(f, wpc, folio, pos, len, end_pos);

	if (!pos)
		ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), -ETIMEDOUT);
	return done;
}

CASE(kill_ends_a_walk, "H13 I83",
     "Killed by another in the middle: the walk goes no further, what is pending gets -ECANCELED")
{
	struct flat *f = flat_new(NULL);
	unsigned nr;

	f->range = kill_at_first;
	for (int64_t i = 0; i < 200; i++)
		flat_dirty(f, i * 4096, 4096, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -ESTALE);
	ck_assert_uint_lt(f->nr_ranges, 100);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_int_eq(f->submits[0].error, -ECANCELED);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, IOMAP_FOREVER), 0);
	t_mem_log(f->mem, &nr);
	ck_assert_uint_eq(nr, 0);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

CASE(a_context_of_the_dead, "H13",
     "writepages for a killed inode ends the context: what it held is free, what it had is ended")
{
	struct flat *f = flat_new(&(struct flat_opts){ .env.nr_ioends = 8 });
	struct iomap_writeback_ctx wpc;
	struct iomap_folio *folio;

	flat_dirty(f, 0, 4096, 'a');
	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 8), 0);
	folio = flat_lock(f, 0);
	ck_assert_int_eq(iomap_writeback_folio(&wpc, folio), 0);
	flat_unlock(folio);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), -ETIMEDOUT);
	ck_assert_int_eq(iomap_writepages(&wpc), -ESTALE);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, IOMAP_FOREVER), 0);
	flat_delete(&f);
}

/* ---- contexts of the client's own ---- */

static struct iomap_list own_context;

static int64_t own_range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
			 uint64_t len, int64_t end_pos)
{
	(void)folio, (void)end_pos;
	wpc->iomap = (struct iomap){ .type = IOMAP_MAPPED, .offset = pos, .length = len };
	wpc->wb_ctx = &own_context;
	return (int64_t)len;
}

static int own_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)wpc, (void)wb_ctx;
	return error;
}

CASE(kill_waits_no_longer_than_it_may, "H13",
     "A client that sends by itself has a folio: -ETIMEDOUT until it ends it, as with ioends")
{
	struct flat *f = flat_new(NULL);
	struct iomap_folio *folio;

	f->wb_ops.writeback_range = own_range;
	f->wb_ops.writeback_submit = own_submit;
	flat_dirty(f, 0, 4096, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	folio = iomapi_mapping_find(&f->inode, 0);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), -ETIMEDOUT);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 1000000), -ETIMEDOUT);
	iomap_finish_folio_write(&f->inode, folio, 4096, 0);
	iomap_folio_put(folio);
	ck_assert_int_eq(iomap_inode_kill(&f->inode, 0), 0);
	ck_assert_uint_eq(iomapi_inode(&f->inode)->mapping.nr_folios, 0);
	flat_delete(&f);
}

MAIN()
