/* SPDX-License-Identifier: MIT */
/*
 * test_file_sync.c - what a sync does in which order, and who hears of an error.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#include "inode/inode.h"

#define BLOCK 4096u

static struct m_model *open_model(struct t_env *t, const struct m_opts *opts, struct m_file **f)
{
	struct m_model *m;

	t_env_start(t, NULL);
	m = m_open(t, opts);
	*f = m_file_new(m);
	return m;
}

static void close_model(struct t_env *t, struct m_model *m, struct m_file *f)
{
	m_file_free(&f);
	m_close(&m);
	t_env_stop(t);
}

/* Index of the first request with that op and flags at or after from; nr: none. */
static unsigned find_req(struct t_mem *dev, unsigned from, enum iomap_bio_op op, unsigned flags)
{
	const struct t_mem_req *log;
	unsigned nr, i;

	log = t_mem_log(dev, &nr);
	for (i = from; i < nr; i++)
		if (log[i].op == op && (log[i].flags & flags) == flags)
			break;
	return i;
}

static unsigned nr_reqs(struct t_mem *dev)
{
	unsigned nr;

	t_mem_log(dev, &nr);
	return nr;
}

static unsigned nr_ops(struct t_mem *dev, enum iomap_bio_op op)
{
	const struct t_mem_req *log;
	unsigned nr, found = 0;

	log = t_mem_log(dev, &nr);
	for (unsigned i = 0; i < nr; i++)
		found += log[i].op == op;
	return found;
}

CASE(data_then_log, "H10",
     "Data are written and waited for, recorded, then the commit with preflush and FUA")
{
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	struct t_env t;
	unsigned data, flush, commit, nr;
	const struct t_mem_req *log;

	m = open_model(&t, &(struct m_opts){ .delalloc = true, .unwritten = true }, &f);
	dev = t_mem_find("model");
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	t_mem_log_reset(dev);
	m_log_start(m);
	ck_assert_int_eq(m_sync(f), 0);
	log = t_mem_log(dev, &nr);
	data = find_req(dev, 0, IOMAP_BIO_WRITE, 0);
	ck_assert_uint_ge(log[data].addr, 65536);
	flush = find_req(dev, 0, IOMAP_BIO_FLUSH, 0);	/* the preflush, a request of its own */
	commit = find_req(dev, data + 1, IOMAP_BIO_WRITE, 0);
	ck_assert_uint_lt(commit, nr);
	ck_assert_uint_lt(log[commit].addr, 65536);
	ck_assert(flush < commit ? data < flush :
				   !!(log[commit].flags & IOMAP_BIO_PREFLUSH));
	ck_assert(log[commit].flags & IOMAP_BIO_FUA);
	ck_assert_uint_lt(m_log_find(m, M_FINISH, 0), m_log_find(m, M_SYNC_METADATA, 0));
	/* the client flushed: the library does not do it again */
	ck_assert_uint_eq(find_req(dev, commit + 1, IOMAP_BIO_FLUSH, 0), nr);
	close_model(&t, m, f);
}

CASE(separate_data_device_is_flushed_first, "H10",
     "The data device is flushed before the record elsewhere that promises its blocks")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;
	unsigned flushed = 0, committed = 0;

	m = open_model(&t, &(struct m_opts){ .delalloc = true, .log_dev = "mem:log" }, &f);
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	t_env_trace(&t);
	ck_assert_int_eq(m_sync(f), 0);
	for (unsigned i = 0; i < t.nr_trace; i++) {
		const struct iomap_trace_record *r = &t.trace[i];

		if (r->event == IOMAP_TRACE_FLUSH && r->bdev == m->bdev && !flushed)
			flushed = i + 1;
		if (r->event == IOMAP_TRACE_BIO_SUBMIT && r->bdev == m->log_bdev && !committed)
			committed = i + 1;
	}
	ck_assert_uint_gt(flushed, 0);
	ck_assert_uint_gt(committed, flushed);
	ck_assert_uint_eq(t_env_count(&t, IOMAP_TRACE_FILE_SYNC), 1);
	close_model(&t, m, f);
}

CASE(library_flushes_what_the_client_did_not, "H10",
     "Nothing to commit: the flush is the library's, and once")
{
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true }, &f);
	dev = t_mem_find("model");
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_int_eq(m_fill(f, BLOCK, BLOCK, 2), BLOCK);	/* in place: no metadata */
	t_mem_log_reset(dev);
	ck_assert_int_eq(iomap_file_sync(&f->file, BLOCK, 2 * BLOCK, true), 0);
	ck_assert_uint_eq(nr_reqs(dev), 2);
	ck_assert_uint_eq(find_req(dev, 0, IOMAP_BIO_WRITE, 0), 0);
	ck_assert_uint_eq(find_req(dev, 0, IOMAP_BIO_FLUSH, 0), 1);
	t_mem_log_reset(dev);
	ck_assert_int_eq(m_sync(f), 0);		/* a ticket that is paid */
	ck_assert_uint_eq(nr_reqs(dev), 0);
	close_model(&t, m, f);
}

CASE(fdatasync_leaves_a_time_alone, "H10",
     "Written in place: fsync commits the time; a new size is committed by either")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true, .times = true }, &f);
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_uint_eq(m->nr_commits, 1);
	ck_assert_int_eq(m_fill(f, BLOCK, BLOCK, 2), BLOCK);
	ck_assert_int_eq(iomap_file_sync(&f->file, 0, IOMAP_MAX_POS, true), 0);
	ck_assert_uint_eq(m->nr_commits, 1);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_uint_eq(m->nr_commits, 2);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_uint_eq(m->nr_commits, 2);
	ck_assert_int_eq(m_fill(f, 5 * BLOCK, 9, 3), 9);
	ck_assert_int_eq(iomap_file_sync(&f->file, 0, IOMAP_MAX_POS, true), 0);
	ck_assert_uint_eq(m->nr_commits, 3);
	ck_assert_int_eq(m_fill(f, 0, BLOCK, 4), BLOCK);
	ck_assert_int_eq(iomap_volume_sync(m->volume), 0);
	ck_assert_uint_eq(m->nr_commits, 4);
	close_model(&t, m, f);
}

CASE(only_the_range_is_written, "",
     "A sync of a range leaves the rest dirty; an empty one writes nothing")
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true, .max_folio = BLOCK }, &f);
	ck_assert_int_eq(m_fill(f, 0, 8 * BLOCK, 1), 8 * BLOCK);
	ck_assert_int_eq(iomap_file_sync(&f->file, 0, 0, false), 0);
	iomap_cache_stats(m->cache, &stats);
	ck_assert_uint_eq(stats.dirty, 8 * BLOCK);
	ck_assert_int_eq(iomap_file_sync(&f->file, 2 * BLOCK, 4 * BLOCK, false), 0);
	iomap_cache_stats(m->cache, &stats);
	ck_assert_uint_eq(stats.dirty, 6 * BLOCK);
	ck_assert_int_eq(iomap_file_sync(&f->file, -1, 0, false), -EINVAL);
	ck_assert_int_eq(iomap_file_sync(&f->file, 2, 1, false), -EINVAL);
	ck_assert_int_eq(iomap_file_sync(NULL, 0, 1, false), -EINVAL);
	close_model(&t, m, f);
}

CASE(sync_takes_no_lock_of_the_inode, "H10",
     "It runs while the caller holds I/O and invalidate lock")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true, .unwritten = true }, &f);
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	ck_assert_int_eq(iomap_inode_lock(&f->inode, 0), 0);
	ck_assert_int_eq(iomap_inode_invalidate_lock(&f->inode, 0), 0);
	ck_assert_int_eq(m_sync(f), 0);
	iomap_inode_invalidate_unlock(&f->inode);
	iomap_inode_unlock(&f->inode);
	ck_assert(m_device_equals_model(f));
	close_model(&t, m, f);
}

CASE(first_error_ends_the_way, "H10 O17",
     "A step that fails keeps the next ones from promising anything")
{
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true }, &f);
	dev = t_mem_find("model");
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	t_mem_fail(dev, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_uint_eq(m->nr_sync_metadata, 0);
	ck_assert_int_gt(iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &m->ops, NULL),
			 0);
	m->fail_sync_metadata = (struct m_fault){ .nth = 1, .error = -EROFS };
	t_mem_log_reset(dev);
	ck_assert_int_eq(m_sync(f), -EROFS);
	ck_assert_uint_eq(nr_ops(dev, IOMAP_BIO_FLUSH), 0);
	ck_assert_int_eq(m_sync(f), 0);		/* not sticky: nothing was lost */
	ck_assert_int_eq(m_fill(f, 0, BLOCK, 2), BLOCK);
	t_mem_fail(dev, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(f), -EIO);
	close_model(&t, m, f);
}

CASE(error_once_per_handle, "O12 O13 O14",
     "After a failed write each open handle's sync fails once, a later one's only if nobody saw it")
{
	struct iomap_file other, late, later;
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true }, &f);
	ck_assert_int_eq(iomap_file_open(&other, &f->inode, 0), 0);
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_ALL, 0, 0), 0);
	iomap_mapping_wait_range(&f->inode, 0, IOMAP_MAX_POS);
	ck_assert_int_eq(iomap_file_open(&late, &f->inode, 0), 0);
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_int_eq(iomap_file_open(&later, &f->inode, 0), 0);
	ck_assert_int_eq(iomap_file_sync(&later, 0, IOMAP_MAX_POS, false), 0);
	ck_assert_int_eq(iomap_file_sync(&other, 0, IOMAP_MAX_POS, false), -EIO);
	ck_assert_int_eq(iomap_file_sync(&other, 0, IOMAP_MAX_POS, false), 0);
	ck_assert_int_eq(iomap_file_sync(&late, 0, IOMAP_MAX_POS, false), -EIO);
	ck_assert_int_eq(iomap_file_sync(&late, 0, IOMAP_MAX_POS, false), 0);
	close_model(&t, m, f);
}

CASE(volume_has_a_cursor_of_its_own, "O15",
     "An error that every handle has seen is new to the volume's sync, and the other way round")
{
	struct m_model *m;
	struct m_file *f, *g;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true }, &f);
	g = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 5 * BLOCK, 1), 5 * BLOCK);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_int_eq(m_sync(g), 0);
	ck_assert_int_eq(iomap_volume_sync(m->volume), -EIO);
	ck_assert_int_eq(iomap_volume_sync(m->volume), 0);
	ck_assert_int_eq(m_fill(g, 0, 5 * BLOCK, 2), 5 * BLOCK);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -ENOSPC, UINT64_MAX);
	ck_assert_int_eq(iomap_volume_sync(m->volume), -ENOSPC);
	ck_assert_int_eq(iomap_volume_sync(m->volume), 0);
	ck_assert_int_eq(m_sync(g), -ENOSPC);
	ck_assert_int_eq(m_sync(f), 0);
	m_file_free(&g);
	close_model(&t, m, f);
}

CASE(volume_sync_writes_every_inode, "", "All inodes are written and waited for, then one commit")
{
	struct m_file *f, *files[5];
	struct m_model *m;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true, .unwritten = true }, &f);
	for (unsigned i = 0; i < 5; i++) {
		files[i] = m_file_new(m);
		ck_assert_int_eq(m_fill(files[i], i * 100, 9 * BLOCK, i), 9 * BLOCK);
	}
	m_log_start(m);
	ck_assert_int_eq(iomap_volume_sync(m->volume), 0);
	ck_assert_uint_eq(m->nr_commits, 1);
	ck_assert_uint_eq(m_log_find(m, M_FINISH, m_log_find(m, M_COMMIT, 0)), M_MAX_LOG);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert(m_device_equals_model(files[i]));
		ck_assert_uint_eq(files[i]->refs, 0);
		m_file_free(&files[i]);
	}
	close_model(&t, m, f);
}

/* Written, waited for and not flushed: only the device's cache has it. */
static void write_unflushed(struct m_file *f, unsigned seed)
{
	ck_assert_int_eq(m_fill(f, 0, 3 * BLOCK, seed), 3 * BLOCK);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&f->inode, 0, IOMAP_MAX_POS), 0);
}

CASE(failed_flush_reaches_every_writer, "H9",
     "A failed flush is an error of each inode written since the last good one, and of no other")
{
	struct m_file *f, *g, *clean;
	struct m_model *m;
	struct t_mem *dev;
	struct t_env t;

	m = open_model(&t, &(struct m_opts){ .delalloc = true }, &f);
	dev = t_mem_find("model");
	g = m_file_new(m);
	clean = m_file_new(m);
	write_unflushed(clean, 1);
	ck_assert_int_eq(iomap_bdev_flush(m->bdev, iomap_bdev_write_seq(m->bdev)), 0);
	write_unflushed(f, 2);
	write_unflushed(g, 3);
	t_mem_fail(dev, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(iomap_bdev_flush(m->bdev, iomap_bdev_write_seq(m->bdev)), -EIO);
	/* the next one is good, and heals nobody: what the device lost is lost */
	ck_assert_int_eq(iomap_bdev_flush(m->bdev, iomap_bdev_write_seq(m->bdev)), 0);
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_int_eq(m_sync(g), -EIO);
	ck_assert_int_eq(m_sync(clean), 0);
	ck_assert_int_eq(iomap_volume_sync(m->volume), -EIO);
	m_file_free(&g);
	m_file_free(&clean);
	close_model(&t, m, f);
}

CASE(flush_of_another_device_is_not_ours, "H9", "An inode has to do with the devices it wrote to")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;
	char buf[512] = { 0 };

	m = open_model(&t, &(struct m_opts){ .delalloc = true, .log_dev = "mem:log" }, &f);
	write_unflushed(f, 1);
	ck_assert_int_eq(m_dev_write(m->log_bdev, 0, buf, sizeof(buf)), 0);
	t_mem_fail(t_mem_find("log"), IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(iomap_bdev_flush(m->log_bdev, iomap_bdev_write_seq(m->log_bdev)), -EIO);
	ck_assert_int_eq(m_sync(f), 0);
	close_model(&t, m, f);
}

CASE(too_many_devices_are_all_suspect, "H9",
     "An inode that lost count of its devices fears each failed flush")
{
	static const char *const names[] = { "mem:a", "mem:b", "mem:c", "mem:d" };
	struct iomap_bdev *bdev[4];
	struct m_model *m;
	struct m_file *f;
	struct t_env t;
	char buf[512] = { 0 };

	m = open_model(&t, &(struct m_opts){ .delalloc = true }, &f);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(iomap_bdev_open(m->ioq, names[i], NULL, &bdev[i]), 0);
		ck_assert_int_eq(m_dev_write(bdev[i], 0, buf, sizeof(buf)), 0);
		iomapi_inode_note_written(&f->inode, bdev[i],
					  iomap_bdev_write_seq(bdev[i]));
	}
	t_mem_fail(t_mem_find("d"), IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(iomap_bdev_flush(bdev[3], iomap_bdev_write_seq(bdev[3])), -EIO);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
	for (unsigned i = 0; i < 4; i++)
		iomap_bdev_close(&bdev[i]);
	close_model(&t, m, f);
}

CASE(a_late_completion_hears_of_a_failed_flush, "H9",
     "A write that is on the device, its end_io still to come, when a flush of another file fails")
{
	const struct iomap_env_opts opts = {
		.struct_size = sizeof(opts), .callbacks = IOMAP_CALLBACKS_MANUAL,
	};
	struct m_file *f, *g, *later;
	struct m_model *m;
	struct t_env t;

	t_env_start(&t, &opts);
	m = m_open(&t, &(struct m_opts){ .delalloc = true });
	f = m_file_new(m);
	g = m_file_new(m);
	later = m_file_new(m);
	write_unflushed(later, 1);
	ck_assert_int_eq(m_sync(later), 0);
	write_unflushed(g, 2);
	ck_assert_int_eq(m_fill(f, 0, 3 * BLOCK, 3), 3 * BLOCK);
	ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(iomap_ioq_poll(m->ioq, 0, 64, 0), 1);
	ck_assert_uint_eq(m->nr_finished, 2);		/* of the other two: nobody called yet */
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_sync(g), -EIO);
	ck_assert_uint_eq(m->nr_finished, 2);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	ck_assert_int_gt(iomap_env_run_callbacks(t.env, 64), 0);
	/* this flush is good; the one that mattered was not */
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_uint_eq(m->nr_finished, 3);
	ck_assert_int_eq(m_sync(f), 0);
	write_unflushed(later, 4);
	ck_assert_int_eq(m_sync(later), 0);		/* neither before nor after is it told */
	m_file_free(&later);
	m_file_free(&g);
	close_model(&t, m, f);
}

/* ---- more devices than an inode remembers ---- */

#define NR_DEVS (IOMAPI_INODE_DEVICES + 1)
static struct iomap_bdev *devs[NR_DEVS];
static unsigned dev_used;

static void to_dev(struct m_file *file, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)file, (void)pos, (void)len;
	map->bdev = devs[dev_used];
}

static struct t_mem *mem_of(unsigned i)
{
	return t_mem_find((const char[]){ (char)('a' + i), 0 });
}

/* Blocks of f that are allocated already: no metadata, so the flushes are the library's. */
static void write_to_dev(struct m_file *f, unsigned i)
{
	dev_used = i;
	ck_assert_int_eq(m_fill(f, (int64_t)i * BLOCK, BLOCK, i), BLOCK);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&f->inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_uint_eq(nr_ops(mem_of(i), IOMAP_BIO_WRITE), 1);
	ck_assert_uint_eq(nr_ops(mem_of(i), IOMAP_BIO_FLUSH), 0);
}

static struct m_model *open_devices(struct t_env *t, struct m_file **f)
{
	struct m_model *m = open_model(t, &(struct m_opts){ .max_folio = BLOCK }, f);

	for (unsigned i = 0; i < NR_DEVS; i++) {
		char name[] = { 'm', 'e', 'm', ':', (char)('a' + i), 0 };

		ck_assert_int_eq(iomap_bdev_open(m->ioq, name, NULL, &devs[i]), 0);
	}
	ck_assert_int_eq(m_fill(*f, 0, NR_DEVS * BLOCK, 1), NR_DEVS * BLOCK);
	ck_assert_int_eq(m_sync(*f), 0);
	m->hook_wb_map = to_dev;
	return m;
}

static void close_devices(struct t_env *t, struct m_model *m, struct m_file *f)
{
	m_file_free(&f);
	for (unsigned i = 0; i < NR_DEVS; i++)
		iomap_bdev_close(&devs[i]);
	m_close(&m);
	t_env_stop(t);
}

CASE(forgotten_devices_are_not_durable, "H10",
     "Written to more devices than an inode remembers: each sync says so, -EIO with a report")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	m = open_devices(&t, &f);
	for (unsigned i = 0; i < NR_DEVS; i++)
		write_to_dev(f, i);
	ck_assert_uint_eq(t.nr_reports, 0);
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_uint_eq(t.nr_reports, 1);
	ck_assert_str_eq(t.last_rule, "H10");
	ck_assert_str_eq(t.last_field, "flushed");
	ck_assert_uint_eq(t.last_bound, IOMAPI_INODE_DEVICES);
	/* what is remembered is flushed all the same */
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++)
		ck_assert_uint_eq(nr_ops(mem_of(i), IOMAP_BIO_FLUSH), 1);
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_uint_eq(t.nr_reports, 2);
	close_devices(&t, m, f);
}

CASE(a_flushed_device_may_be_forgotten, "H10",
     "A good flush makes room for another device, and that one is flushed by the next sync")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	m = open_devices(&t, &f);
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++)
		write_to_dev(f, i);
	ck_assert_int_eq(m_sync(f), 0);
	write_to_dev(f, IOMAPI_INODE_DEVICES);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert_uint_eq(nr_ops(mem_of(IOMAPI_INODE_DEVICES), IOMAP_BIO_FLUSH), 1);
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++)
		ck_assert_uint_eq(nr_ops(mem_of(i), IOMAP_BIO_FLUSH), 1);
	ck_assert_uint_eq(t.nr_reports, 0);
	close_devices(&t, m, f);
}

/* ---- frames ---- */

static int nr_written;

static void written(struct iomap_folio *folio, int error)
{
	(void)folio;
	ck_assert_int_eq(error, 0);
	nr_written++;
}

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	wpc->iomap = (struct iomap){
		.type = IOMAP_MAPPED, .offset = 0, .length = 1 << 20, .bdev = wpc->inode->bdev,
	};
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

CASE(frames_are_waited_for_and_flushed, "",
     "Sync of frames: what was handed over before, a flush, the error")
{
	static _Alignas(4096) char mem[16384];
	const struct iomap_inode_ops ops = {
		.struct_size = sizeof(ops), .folio_written = written,
	};
	const struct iomap_writeback_ops wb = {
		.struct_size = sizeof(wb), .writeback_range = range,
		.writeback_submit = iomap_ioend_writeback_submit,
	};
	struct iomap_writeback_control wbc = { .struct_size = sizeof(wbc) };
	struct iomap_inode inode;
	struct iomap_folio folio;
	struct iomap_file file;
	struct iomap_writeback_ctx wpc = { .inode = &inode, .wbc = &wbc, .ops = &wb };
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	struct t_env t;

	m = open_model(&t, NULL, &f);
	dev = t_mem_find("model");
	ck_assert_int_eq(iomap_inode_init(&inode, &(struct iomap_inode_opts){
		.struct_size = sizeof(struct iomap_inode_opts), .ops = &ops, .env = t.env,
		.bdev = m->bdev, .flags = IOMAP_INODE_FRAMES, .block_bits = 12 }), 0);
	ck_assert_int_eq(iomap_file_open(&file, &inode, 0), 0);
	iomap_folio_init(&folio, &inode, 0, mem, sizeof(mem), NULL);
	iomap_folio_mark_dirty(&folio, 0, sizeof(mem));
	t_mem_log_reset(dev);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	ck_assert_int_eq(iomap_writeback_folio(&wpc, &folio), 0);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_int_eq(iomap_file_sync(&file, 0, IOMAP_MAX_POS, false), 0);
	ck_assert_int_eq(nr_written, 1);
	ck_assert_uint_eq(find_req(dev, 0, IOMAP_BIO_WRITE, 0), 0);
	ck_assert_uint_eq(find_req(dev, 0, IOMAP_BIO_FLUSH, 0), 1);
	iomap_inode_set_error(&inode, -EIO);
	ck_assert_int_eq(iomap_file_sync(&file, 0, IOMAP_MAX_POS, false), -EIO);
	ck_assert_int_eq(iomap_file_sync(&file, 0, IOMAP_MAX_POS, false), 0);
	iomap_inode_fini(&inode);
	close_model(&t, m, f);
}

MAIN()
