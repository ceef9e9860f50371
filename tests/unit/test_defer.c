/* SPDX-License-Identifier: MIT */
/*
 * test_defer.c - deferred completions: one list, one run, and writeback ends after all of it.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#include "inode/inode.h"

#define BLOCK 4096u
#define NR 12u

static unsigned runs, ioends_seen, longest;

static void count_ioends(struct iomap_inode *inode, struct iomap_list *ioends)
{
	unsigned nr = 0;

	for (struct iomap_list *l = ioends->next; l != ioends; l = l->next)
		nr++;
	runs++;
	ioends_seen += nr;
	longest = nr > longest ? nr : longest;
	m_complete_ioends(inode, ioends);
}

/* NR ioends on the device that each need the client: UNWRITTEN, and not contiguous. */
static struct m_model *open_and_send(struct t_env *t, struct m_file **f)
{
	struct m_model *m;

	t_env_start(t, NULL);
	m = m_open(t, &(struct m_opts){
		.delalloc = true, .unwritten = true, .chunk = BLOCK, .gap = 1,
	});
	m->inode_ops.complete_ioends = count_ioends;
	*f = m_file_new(m);
	runs = ioends_seen = longest = 0;
	ck_assert_int_eq(m_fill(*f, 0, NR * BLOCK, 1), NR * BLOCK);
	t_mem_hold(t_mem_find("model"), true);
	ck_assert_int_eq(m_writeback(*f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_uint_eq(t_mem_nr_held(t_mem_find("model")), NR);
	return m;
}

static void reap(struct m_model *m, unsigned nr)
{
	int got = 0;

	while (got < (int)nr) {		/* a transport wait: no deferred work runs in it */
		int n = iomap_ioq_poll(m->ioq, 1, nr, IOMAP_FOREVER);

		ck_assert_int_gt(n, 0);
		got += n;
	}
}

static void close_all(struct t_env *t, struct m_model *m, struct m_file *f)
{
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert(m_device_equals_model(f));
	ck_assert(m_balanced(m));
	m_file_free(&f);
	m_close(&m);
	t_env_stop(t);
}

CASE(backlog_comes_as_one_list, "I109",
     "What was deferred since the last run is taken at once, in one run")
{
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	struct t_env t;

	m = open_and_send(&t, &f);
	dev = t_mem_find("model");
	t_mem_release_all(dev);
	reap(m, NR);
	ck_assert_uint_eq(runs, 0);
	/* queued on empty -> non-empty only: one piece of work for all of them */
	ck_assert_int_eq(iomap_env_run_work(t.env, IOMAP_WORK_IOEND, 100), 1);
	ck_assert_uint_eq(runs, 1);
	ck_assert_uint_eq(ioends_seen, NR);
	ck_assert_int_eq(iomap_env_run_work(t.env, IOMAP_WORK_IOEND, 100), 0);
	t_mem_hold(dev, false);
	close_all(&t, m, f);
}

CASE(list_that_was_taken_is_not_added_to, "I109", "What comes after a run has a run of its own")
{
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	struct t_env t;

	m = open_and_send(&t, &f);
	dev = t_mem_find("model");
	for (unsigned i = 0; i < NR; i++) {
		t_mem_release(dev, 0);
		reap(m, 1);
		if (i % 4 == 3)
			ck_assert_int_eq(iomap_env_run_work(t.env, IOMAP_WORK_IOEND, 100), 1);
	}
	ck_assert_uint_eq(runs, 3);
	ck_assert_uint_eq(longest, 4);
	ck_assert_uint_eq(ioends_seen, NR);
	t_mem_hold(dev, false);
	close_all(&t, m, f);
}

static unsigned nr_converted, nr_sized;

/* The client has recorded everything: writeback of the folio must be going on still. */
static void still_under_writeback(struct m_file *f, struct iomap_ioend *ioend)
{
	struct iomap_folio *folio = iomapi_mapping_find(&f->inode, ioend->offset);

	ck_assert_ptr_nonnull(folio);
	ck_assert_msg(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK,
		      "writeback ended before the client was done");
	iomap_folio_put(folio);
	nr_converted = f->m->nr_converts;
	nr_sized = f->m->nr_sizes;
}

CASE(conversion_then_size_then_end, "I105",
     "Unwritten blocks are converted and the size raised before writeback ends and a sync returns")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;
	unsigned convert, size, finish, metadata;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .unwritten = true });
	m->hook_complete = still_under_writeback;
	f = m_file_new(m);
	nr_converted = nr_sized = 0;
	ck_assert_int_eq(m_fill(f, 0, 3 * BLOCK + 5, 1), 3 * BLOCK + 5);
	m_log_start(m);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_uint_eq(nr_converted, 1);
	ck_assert_uint_eq(nr_sized, 1);
	convert = m_log_find(m, M_CONVERT, 0);
	size = m_log_find(m, M_SIZE, 0);
	finish = m_log_find(m, M_FINISH, 0);
	metadata = m_log_find(m, M_SYNC_METADATA, 0);
	ck_assert_uint_lt(convert, size);
	ck_assert_uint_lt(size, finish);
	ck_assert_uint_lt(finish, metadata);
	ck_assert_uint_lt(metadata, M_MAX_LOG);
	ck_assert_int_eq(m->log[size].arg, 3 * BLOCK + 5);	/* to the byte */
	close_all(&t, m, f);
}

CASE(bytes_alone_are_not_enough, "I105",
     "Folios stay under writeback from the bytes until the conversion")
{
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	struct t_env t;
	struct iomap_folio *folio;
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	m = open_and_send(&t, &f);
	dev = t_mem_find("model");
	t_mem_release_all(dev);
	reap(m, NR);		/* the bytes are there, the conversion is not */
	folio = iomapi_mapping_find(&f->inode, 0);
	ck_assert_ptr_nonnull(folio);
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK);
	iomap_folio_put(folio);
	iomap_cache_stats(m->cache, &stats);
	ck_assert_uint_eq(stats.writeback, NR * BLOCK);
	ck_assert_int_eq(iomap_inode_wait_wb(&f->inode, 1, 0), 0);
	ck_assert_uint_eq(m->nr_converts, NR);	/* the wait itself ran the work */
	t_mem_hold(dev, false);
	close_all(&t, m, f);
}

CASE(failure_needs_no_client, "I104",
     "Without complete_ioends a failed ioend ends with its own error")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .no_complete = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, NR * BLOCK, 1), NR * BLOCK);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -ENOSPC, UINT64_MAX);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	reap(m, 1);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);	/* not in the reaping thread */
	ck_assert_int_eq(iomap_env_run_work(t.env, IOMAP_WORK_IOEND, 100), 1);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -ENOSPC);
	ck_assert_int_gt(iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &m->ops, NULL),
			 0);
	close_all(&t, m, f);
}

CASE(failed_conversion_is_a_failed_write, "I106",
     "What could not be converted is reported, its folio stays")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .unwritten = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, NR * BLOCK, 1), NR * BLOCK);
	m->fail_convert = (struct m_fault){ .nth = 1, .error = -EROFS };
	ck_assert_int_eq(m_sync(f), -EROFS);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_int_eq(f->disk_size, 0);
	ck_assert(m_content_ok(f));
	ck_assert_int_gt(iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &m->ops, NULL),
			 0);
	close_all(&t, m, f);
}

MAIN()
