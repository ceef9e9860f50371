/* SPDX-License-Identifier: MIT */
/*
 * test_inode.c - life, locks, size, the sticky error, the order of ioends.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#include "inode/inode.h"

static void written(struct iomap_folio *folio, int error)
{
	(void)folio;
	(void)error;
}

static const struct iomap_inode_ops frame_ops = {
	.struct_size = sizeof(frame_ops), .folio_written = written,
};

static struct iomap_inode_opts frame_opts(struct t_env *t)
{
	return (struct iomap_inode_opts){
		.struct_size = sizeof(struct iomap_inode_opts), .ops = &frame_ops, .env = t->env,
		.flags = IOMAP_INODE_FRAMES, .block_bits = 12,
	};
}

CASE(nonsense_is_refused, "", "What an inode cannot be made from is -EINVAL, and nothing is held")
{
	struct iomap_inode_ops none = { .struct_size = sizeof(none) };
	struct iomap_inode_opts o;
	struct iomap_inode inode;
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_inode_init(&inode, NULL), -EINVAL);
#define REFUSED(change, error) \
	do { \
		o = frame_opts(&t); \
		change; \
		ck_assert_int_eq(iomap_inode_init(&inode, &o), error); \
	} while (0)
	REFUSED(o.struct_size = 8, -EINVAL);
	REFUSED(o.env = NULL, -EINVAL);
	REFUSED(o.ops = NULL, -EINVAL);
	REFUSED(o.ops = &none, -EINVAL);
	REFUSED(o.flags = 0, -EINVAL);			/* cached, and no cache */
	REFUSED(o.flags |= 1u << 20, -EINVAL);
	REFUSED(o.flags |= IOMAP_INODE_DAX, -ENOTSUP);
	REFUSED(o.block_bits = 8, -EINVAL);
	REFUSED(o.block_bits = 22, -EINVAL);
	REFUSED(o.size = -1, -EINVAL);
#undef REFUSED
	o = frame_opts(&t);
	ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
	iomap_inode_fini(&inode);
	t_env_stop(&t);
}

static int no_writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	(void)inode, (void)wbc;
	return 0;
}

static int no_metadata(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
		       bool *flushed)
{
	(void)inode, (void)start, (void)end, (void)datasync, (void)flushed;
	return 0;
}

static int volume_metadata(struct iomap_volume *volume, bool *flushed)
{
	(void)volume, (void)flushed;
	return 0;
}

static bool no_tryget(struct iomap_inode *inode)
{
	(void)inode;
	return false;
}

static void no_put(struct iomap_inode *inode)
{
	(void)inode;
}

CASE(cache_must_hold_a_block, "", "Blocks larger than the cache's folios: -EINVAL, named")
{
	const struct iomap_inode_ops ops = {
		.struct_size = sizeof(ops), .writepages = no_writepages,
		.sync_metadata = no_metadata, .tryget = no_tryget, .put = no_put,
	};
	const struct iomap_cache_opts small = {
		.struct_size = sizeof(small), .bytes = 1 << 20, .max_folio = 8192,
	};
	const struct iomap_volume_ops vops = {
		.struct_size = sizeof(vops), .sync_metadata = volume_metadata,
	};
	struct iomap_inode_opts o = { .struct_size = sizeof(o), .ops = &ops };
	struct iomap_inode inode;
	struct iomap_cache *cache;
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_cache_new(t.env, &small, &cache), 0);
	ck_assert_int_eq(iomap_volume_new(t.env, cache, &vops, NULL, &o.volume), 0);
	o.block_bits = 14;
	ck_assert_int_eq(iomap_inode_init(&inode, &o), -EINVAL);
	ck_assert_uint_eq(t.nr_reports, 1);
	ck_assert_str_eq(t.last_field, "block_bits");
	ck_assert_uint_eq(t.last_value, 16384);
	ck_assert_uint_eq(t.last_bound, 8192);
	o.block_bits = 13;
	ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
	iomap_inode_fini(&inode);
	iomap_volume_delete(&o.volume);
	iomap_cache_delete(&cache);
	t_env_stop(&t);
}

CASE(device_block_must_fit, "", "A device whose blocks are larger than the file's: -EINVAL, named")
{
	struct iomap_inode_opts o;
	struct iomap_inode inode;
	struct iomap_bdev *bdev;
	struct iomap_ioq *ioq;
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(ioq, "mem:big,block=4096", NULL, &bdev), 0);
	o = frame_opts(&t);
	o.bdev = bdev;
	o.block_bits = 9;
	ck_assert_int_eq(iomap_inode_init(&inode, &o), -EINVAL);
	ck_assert_uint_eq(t.nr_reports, 1);
	ck_assert_str_eq(t.last_field, "block_bits");
	ck_assert_uint_eq(t.last_value, 512);
	ck_assert_uint_eq(t.last_bound, 4096);
	o.block_bits = 12;
	ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
	iomap_inode_fini(&inode);
	iomap_bdev_close(&bdev);
	iomap_ioq_delete(&ioq);
	t_env_stop(&t);
}

CASE(locks_say_again_instead_of_waiting, "", "A try that fails is -EAGAIN; shared goes with shared")
{
	struct iomap_inode_opts o;
	struct iomap_inode inode;
	struct t_env t;

	t_env_start(&t, NULL);
	o = frame_opts(&t);
	ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
	ck_assert_int_eq(iomap_inode_lock(&inode, 0), 0);
	ck_assert_int_eq(iomap_inode_lock(&inode, IOMAP_LOCK_NOWAIT), -EAGAIN);
	ck_assert_int_eq(iomap_inode_lock(&inode, IOMAP_LOCK_NOWAIT | IOMAP_LOCK_SHARED), -EAGAIN);
	iomap_inode_downgrade(&inode);
	ck_assert_int_eq(iomap_inode_lock(&inode, IOMAP_LOCK_NOWAIT | IOMAP_LOCK_SHARED), 0);
	ck_assert_int_eq(iomap_inode_lock(&inode, IOMAP_LOCK_NOWAIT), -EAGAIN);
	iomap_inode_unlock(&inode);
	iomap_inode_unlock(&inode);
	ck_assert_int_eq(iomap_inode_invalidate_lock(&inode, IOMAP_LOCK_SHARED), 0);
	ck_assert_int_eq(iomap_inode_invalidate_lock(&inode, IOMAP_LOCK_NOWAIT), -EAGAIN);
	iomap_inode_invalidate_unlock(&inode);
	ck_assert_int_eq(iomap_inode_invalidate_lock(&inode, IOMAP_LOCK_NOWAIT), 0);
	iomap_inode_invalidate_unlock(&inode);
	iomap_inode_fini(&inode);
	t_env_stop(&t);
}

CASE(older_ioends_are_waited_for, "",
     "wait_wb looks at ioends at or before its number, in any order")
{
	struct iomap_inode_opts o;
	struct iomap_ioend a, b, c;
	struct iomap_inode inode;
	struct t_env t;

	t_env_start(&t, NULL);
	o = frame_opts(&t);
	ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
	ck_assert_uint_eq(iomap_inode_wb_seq(&inode), 0);
	ck_assert_int_eq(iomapi_inode_ioend_start(&inode, &a), 0);
	ck_assert_int_eq(iomapi_inode_ioend_start(&inode, &b), 0);
	ck_assert_uint_eq(iomap_inode_wb_seq(&inode), 2);
	ck_assert_int_eq(iomapi_inode_ioend_start(&inode, &c), 0);
	ck_assert_int_eq(iomap_inode_wait_wb(&inode, 0, 0), 0);
	ck_assert_int_eq(iomap_inode_wait_wb(&inode, 1, 0), -ETIMEDOUT);
	iomapi_inode_ioend_end(&inode, &b);	/* younger ones first: a still counts */
	ck_assert_int_eq(iomap_inode_wait_wb(&inode, 2, 1000), -ETIMEDOUT);
	iomapi_inode_ioend_end(&inode, &a);
	ck_assert_int_eq(iomap_inode_wait_wb(&inode, 2, 0), 0);
	ck_assert_int_eq(iomap_inode_wait_wb(&inode, 3, 0), -ETIMEDOUT);
	iomapi_inode_ioend_end(&inode, &c);
	ck_assert_int_eq(iomap_inode_wait_wb(&inode, UINT64_MAX, IOMAP_FOREVER), 0);
	iomap_inode_fini(&inode);
	t_env_stop(&t);
}

CASE(errors_are_seen_once_per_handle, "O12 O13 O14",
     "Each handle gets an error once; a late one only if nobody saw it; none clears another's")
{
	struct iomap_file early, other, late, later;
	struct iomap_inode_opts o;
	struct iomap_inode inode;
	struct t_env t;

	t_env_start(&t, NULL);
	o = frame_opts(&t);
	ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
	ck_assert_int_eq(iomap_file_open(&early, &inode, 1u << 30), -EINVAL);
	ck_assert_int_eq(iomap_file_open(&early, &inode, 0), 0);
	ck_assert_int_eq(iomap_file_open(&other, &inode, IOMAP_FILE_DSYNC), 0);
	ck_assert_int_eq(iomap_file_check_error(&early), 0);
	iomap_inode_set_error(&inode, -ENOSPC);
	iomap_inode_set_error(&inode, -EIO);		/* the first one wins */
	ck_assert_int_eq(iomap_file_open(&late, &inode, 0), 0);
	ck_assert_int_eq(iomap_file_check_error(&early), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&early), 0);
	ck_assert_int_eq(iomap_file_open(&later, &inode, 0), 0);
	ck_assert_int_eq(iomap_file_check_error(&later), 0);	/* seen before it came */
	ck_assert_int_eq(iomap_file_check_error(&late), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&late), 0);
	ck_assert_int_eq(iomap_file_check_error(&other), -ENOSPC);
	iomap_inode_set_error(&inode, -EIO);
	ck_assert_int_eq(iomap_file_check_error(&later), -EIO);
	ck_assert_int_eq(iomap_file_check_error(&early), -EIO);
	iomap_file_close(&early);
	iomap_inode_fini(&inode);
	t_env_stop(&t);
}

CASE(errors_outlive_eviction, "O13", "evict hands the error on, seen or not, and init takes it up")
{
	struct iomap_inode_opts o;
	struct iomap_inode inode;
	struct iomap_file file;
	struct t_env t;

	t_env_start(&t, NULL);
	o = frame_opts(&t);
	for (int seen = 0; seen < 2; seen++) {
		uint64_t errseq = 0;

		o.errseq = 0;
		ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
		ck_assert_int_eq(iomap_file_open(&file, &inode, 0), 0);
		iomap_inode_set_error(&inode, -EIO);
		if (seen)
			ck_assert_int_eq(iomap_file_check_error(&file), -EIO);
		ck_assert_int_eq(iomap_inode_evict(&inode, IOMAP_EVICT_WRITE, &errseq), 0);
		iomap_inode_fini(&inode);
		o.errseq = errseq;
		ck_assert_int_eq(iomap_inode_init(&inode, &o), 0);
		ck_assert_int_eq(iomap_file_open(&file, &inode, 0), 0);
		ck_assert_int_eq(iomap_file_check_error(&file), seen ? 0 : -EIO);
		iomap_inode_fini(&inode);
	}
	t_env_stop(&t);
}

CASE(evict_writes_what_is_dirty, "",
     "After evict(WRITE) the bytes are on the device, the cache empty")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true, .unwritten = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 1000, 70000, 1), 70000);
	ck_assert_int_eq(m_evict(f), 0);
	ck_assert(m_device_equals_model(f));
	ck_assert_uint_eq(iomapi_inode(&f->inode)->mapping.nr_folios, 0);
	ck_assert(m_content_ok(f));
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

CASE(evict_keeps_what_failed, "H8",
     "evict(WRITE) fails as long as a folio is failed; DISCARD drops it")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 20000, 1), 20000);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_evict(f), -EIO);
	ck_assert_int_eq(m_evict(f), -EIO);
	ck_assert(m_content_ok(f));		/* from memory: the device has never seen it */
	ck_assert_int_gt(iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &m->ops, NULL),
			 0);
	ck_assert_int_eq(m_evict(f), 0);
	ck_assert(m_device_equals_model(f));
	ck_assert(m_content_ok(f));
	ck_assert_int_eq(m_fill(f, 0, 20000, 2), 20000);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(m_evict(f), -EIO);
	m_file_free(&f);			/* DISCARD */
	m_close(&m);
	t_env_stop(&t);
}

CASE(temporary_trouble_is_an_answer_too, "",
     "evict tells what writepages said and can be called again")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .delalloc = true });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, 20000, 1), 20000);
	m->fail_map = (struct m_fault){ .nth = 1, .error = -ENOSPC };
	ck_assert_int_eq(m_evict(f), -ENOSPC);
	ck_assert(m_content_ok(f));
	ck_assert_int_gt(iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &m->ops, NULL),
			 0);
	ck_assert_int_eq(m_evict(f), 0);
	ck_assert(m_device_equals_model(f));
	ck_assert(m_balanced(m));
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

static int says_one(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	(void)inode;
	(void)wbc;
	return 1;
}

CASE(nonsense_of_a_callback_is_reported, "",
     "writepages answering 1 is -EIO and a report, not success")
{
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	t_env_start(&t, NULL);
	m = m_open(&t, NULL);
	f = m_file_new(m);
	m->inode_ops.writepages = says_one;
	ck_assert_int_eq(m_sync(f), -EIO);
	ck_assert_uint_eq(t.nr_reports, 1);
	ck_assert_str_eq(t.last_callback, "writepages");
	ck_assert_uint_eq(t.last_value, 1);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

MAIN()
