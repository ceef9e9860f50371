/* SPDX-License-Identifier: MIT */
/*
 * model.c - the model's life, and what a test calls.
 *
 * The device is filled with a canary when the test holds it in its hand (a mem: device), so that a
 * byte which nobody wrote and nobody zeroed is seen.
 */
#include "model/model_priv.h"

#include "harness/memdev.h"

#include <sched.h>
#include <stdio.h>

#define CANARY		0xa5

/* ---- events and faults ---- */

void m_event(struct m_model *m, enum m_event event, int64_t pos, uint64_t len, int64_t arg,
	     unsigned flags)
{
	if (!m->log_on)
		return;
	iomap_mutex_lock(m->env, &m->lock);
	if (m->nr_log < M_MAX_LOG)
		m->log[m->nr_log++] = (struct m_log){
			.event = event, .pos = pos, .len = len, .arg = arg, .flags = flags,
		};
	iomap_mutex_unlock(m->env, &m->lock);
}

void m_log_start(struct m_model *m)
{
	if (!m->log)
		m->log = calloc(M_MAX_LOG, sizeof(*m->log));
	ck_assert_ptr_nonnull(m->log);
	m->nr_log = 0;
	m->log_on = true;
}

unsigned m_log_find(struct m_model *m, enum m_event event, unsigned from)
{
	for (unsigned i = from; i < m->nr_log; i++)
		if (m->log[i].event == event)
			return i;
	return M_MAX_LOG;
}

int m_fault(struct m_model *m, struct m_fault *fault)
{
	int rc = 0;

	if (!__atomic_load_n(&fault->nth, __ATOMIC_RELAXED))
		return 0;
	iomap_mutex_lock(m->env, &m->lock);
	if (fault->nth > 1) {
		__atomic_store_n(&fault->nth, fault->nth - 1, __ATOMIC_RELAXED);
	} else if (fault->nth == 1) {
		rc = fault->error;
		if (fault->count > 1)
			fault->count--;
		else
			__atomic_store_n(&fault->nth, 0, __ATOMIC_RELAXED);
	}
	iomap_mutex_unlock(m->env, &m->lock);
	return rc;
}

/* ---- the device ---- */

static void canary(struct iomap_bdev *bdev, const char *spec)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	char name[64];
	struct t_mem *mem;

	if (strncmp(spec, "mem:", 4))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(spec + 4, ","), spec + 4);
	mem = t_mem_find(name);
	iomap_bdev_limits(bdev, &limits);
	if (mem)
		memset(t_mem_data(mem), CANARY, limits.size);
}

/* ---- inode operations ---- */

int m_writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct m_file *f = M_FILE(inode);
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &f->m->wb_ops };

	m_event(f->m, M_WRITEPAGES, wbc->range_start,
		(uint64_t)(wbc->range_end - wbc->range_start), wbc->sync_mode, wbc->flags);
	m_count(f->m->nr_writepages, 1u);
	return iomap_writepages(&wpc);
}

static void dirty_inode(struct iomap_inode *inode, unsigned what)
{
	struct m_file *f = M_FILE(inode);

	m_event(f->m, M_DIRTY_INODE, 0, 0, what, what);
	m_count(f->m->nr_dirty_inode, 1u);
}

static bool tryget(struct iomap_inode *inode)
{
	struct m_file *f = M_FILE(inode);

	m_count(f->refs, 1u);
	if (!__atomic_load_n(&f->going, __ATOMIC_SEQ_CST))
		return true;
	m_count(f->refs, -1u);
	return false;
}

static void put(struct iomap_inode *inode)
{
	__atomic_sub_fetch(&M_FILE(inode)->refs, 1, __ATOMIC_RELEASE);
}

/* ---- life ---- */

static void set_tables(struct m_model *m)
{
	m->ops = (struct iomap_ops){
		.struct_size = sizeof(m->ops), .iomap_begin = m_begin, .iomap_end = m_end,
	};
	m->write_ops = (struct iomap_write_ops){
		.struct_size = sizeof(m->write_ops),
		.iomap_valid = m->opts.no_valid ? NULL : m_valid,
	};
	m->wb_ops = (struct iomap_writeback_ops){
		.struct_size = sizeof(m->wb_ops), .writeback_range = m_range,
		.writeback_submit = m_submit,
	};
	m->inode_ops = (struct iomap_inode_ops){
		.struct_size = sizeof(m->inode_ops), .writepages = m_writepages,
		.sync_metadata = m_sync_metadata, .dirty_inode = dirty_inode,
		.tryget = tryget, .put = put,
		.complete_ioends = m->opts.no_complete ? NULL : m_complete_ioends,
		.verify_read = m->opts.checksums ? m_verify : NULL,
	};
}

static void set_defaults(struct m_opts *o)
{
	o->dev = o->dev ? o->dev : "mem:model,size=16m";
	o->block_bits = o->block_bits ? o->block_bits : 12;
	o->cache_bytes = o->cache_bytes ? o->cache_bytes : 4u << 20;
	ck_assert(!o->checksums || !o->no_complete);
	if (o->checksums)
		o->inode_flags |= IOMAP_INODE_STABLE;
	if (o->striped)
		o->chunk = 1ull << o->block_bits;
}

static int open_devices(struct m_model *m)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	int rc = iomap_ioq_new(m->env, m->opts.ioq, &m->ioq);

	if (!rc)
		rc = iomap_bdev_open(m->ioq, m->opts.dev, NULL, &m->bdev);
	if (rc)
		return rc;
	canary(m->bdev, m->opts.dev);
	m->log_bdev = m->bdev;
	if (m->opts.log_dev)
		rc = iomap_bdev_open(m->ioq, m->opts.log_dev, NULL, &m->log_bdev);
	if (rc) {
		m->log_bdev = NULL;
		return rc;
	}
	iomap_bdev_limits(m->bdev, &limits);
	m->nr_blocks = limits.size / m->block_size;
	m->used = calloc(m->nr_blocks, 1);
	ck_assert_ptr_nonnull(m->used);
	memset(m->used, 1, M_LOG_BYTES / m->block_size);
	m->nr_free = m->nr_blocks - M_LOG_BYTES / m->block_size;
	m->cursor = M_LOG_BYTES / m->block_size;
	return 0;
}

static int open_cache(struct m_model *m)
{
	struct iomap_cache_opts opts = {
		.struct_size = sizeof(opts), .bytes = m->opts.cache_bytes,
		.dirty_limit = m->opts.dirty_limit, .max_folio = m->opts.max_folio,
	};
	int rc = iomap_cache_new(m->env, &opts, &m->cache);

	return rc ? rc : iomap_volume_new(m->env, m->cache, &m_volume_ops, m, &m->volume);
}

int m_try_open(struct t_env *t, const struct m_opts *opts, struct m_model **model)
{
	struct m_model *m = calloc(1, sizeof(*m));
	int rc;

	ck_assert_ptr_nonnull(m);
	m->t = t;
	m->env = t->env;
	if (opts)
		m->opts = *opts;
	set_defaults(&m->opts);
	m->block_size = 1u << m->opts.block_bits;
	set_tables(m);
	iomap_mutex_init(&m->lock, IOMAP_RANK_LEAF);
	rc = open_devices(m);
	if (!rc)
		rc = open_cache(m);
	*model = m;
	if (rc)
		m_close(model);
	return rc;
}

struct m_model *m_open(struct t_env *t, const struct m_opts *opts)
{
	struct m_model *m;

	ck_assert_int_eq(m_try_open(t, opts, &m), 0);
	return m;
}

void m_close(struct m_model **model)
{
	struct m_model *m = *model;

	iomap_volume_delete(&m->volume);
	iomap_cache_delete(&m->cache);
	if (m->log_bdev != m->bdev)
		iomap_bdev_close(&m->log_bdev);
	iomap_bdev_close(&m->bdev);
	iomap_ioq_delete(&m->ioq);
	free(m->used);
	free(m->log);
	free(m);
	*model = NULL;
}

static int init_inode(struct m_file *f, int64_t size, uint64_t errseq)
{
	struct m_model *m = f->m;
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &m->inode_ops, .volume = m->volume,
		.bdev = m->bdev, .owner = f, .flags = m->opts.inode_flags,
		.block_bits = m->opts.block_bits, .size = size, .errseq = errseq,
	};

	return iomap_inode_init(&f->inode, &opts);
}

static void free_tables(struct m_file *f)
{
	free(f->data);
	free(f->cow);
	free(f->sent);
	free(f->place);
	free(f->ref);
	free(f);
}

int m_try_file_new(struct m_model *m, struct m_file **file)
{
	struct m_file *f = calloc(1, sizeof(*f));
	int rc;

	ck_assert_ptr_nonnull(f);
	f->m = m;
	iomap_mutex_init(&f->extents, IOMAP_RANK_EXTENT);
	f->data = calloc(M_MAX_FILE / m->block_size, sizeof(*f->data));
	f->cow = calloc(M_MAX_FILE / m->block_size, sizeof(*f->cow));
	f->ref = calloc(1, M_MAX_FILE);
	ck_assert(f->data && f->cow && f->ref);
	if (m->opts.checksums) {
		f->sent = calloc(M_MAX_FILE / m->block_size, sizeof(*f->sent));
		ck_assert_ptr_nonnull(f->sent);
	}
	rc = init_inode(f, 0, 0);
	if (!rc) {
		rc = iomap_file_open(&f->file, &f->inode, 0);
		if (rc)
			iomap_inode_fini(&f->inode);
	}
	if (rc) {
		free_tables(f);
		return rc;
	}
	f->next = m->files;
	m->files = f;
	*file = f;
	return 0;
}

struct m_file *m_file_new(struct m_model *m)
{
	struct m_file *f = NULL;

	ck_assert_int_eq(m_try_file_new(m, &f), 0);
	return f;
}

static void wait_unused(struct m_file *f)
{
	__atomic_store_n(&f->going, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&f->refs, __ATOMIC_ACQUIRE))
		sched_yield();
}

void m_file_free(struct m_file **file)
{
	struct m_file *f = *file, **at = &f->m->files;

	wait_unused(f);
	ck_assert_int_eq(iomap_inode_evict(&f->inode, IOMAP_EVICT_DISCARD, NULL), 0);
	iomap_file_close(&f->file);
	iomap_inode_fini(&f->inode);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	m_drop_blocks(f, 0, M_MAX_FILE / f->m->block_size);
	free_tables(f);
	*file = NULL;
}

/* ---- through the cache ---- */

int64_t m_write_flags(struct m_file *f, int64_t pos, const void *buf, size_t len, unsigned flags)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct iomap_req req = { .file = &f->file, .pos = pos, .flags = flags };
	struct iomap_data data;
	int64_t n;

	m_data_init(f, &data, &iov);
	n = iomap_inode_lock(&f->inode, flags & IOMAP_REQ_NOWAIT ? IOMAP_LOCK_NOWAIT : 0);
	if (n)
		return n;
	n = iomap_file_buffered_write(&req, &data, &f->m->ops, &f->m->write_ops, NULL);
	if (n > 0) {
		m_touch(f);
		ck_assert_int_le(req.pos, M_MAX_FILE);
		memcpy(f->ref + req.pos - n, buf, (size_t)n);
		if (req.pos > f->ref_size)
			f->ref_size = req.pos;
	}
	iomap_inode_unlock(&f->inode);
	return iomap_req_sync(&req, n);
}

int64_t m_write(struct m_file *f, int64_t pos, const void *buf, size_t len)
{
	return m_write_flags(f, pos, buf, len, 0);
}

int64_t m_fill(struct m_file *f, int64_t pos, size_t len, unsigned seed)
{
	uint64_t state = seed;
	uint8_t *buf = malloc(len ? len : 1);
	int64_t n;

	ck_assert_ptr_nonnull(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)t_rand(&state);
	n = m_write(f, pos, buf, len);
	free(buf);
	return n;
}

static void compare(struct m_file *f, int64_t pos, const uint8_t *buf, int64_t n)
{
	if (!memcmp(buf, f->ref + pos, (size_t)n))
		return;
	for (int64_t i = 0; i < n; i++)
		if (buf[i] != f->ref[pos + i])
			ck_abort_msg("byte %lld of the file is %02x, must be %02x",
				     (long long)(pos + i), buf[i], f->ref[pos + i]);
}

int64_t m_read_flags(struct m_file *f, int64_t pos, void *buf, size_t len, unsigned flags)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct iomap_req req = { .file = &f->file, .pos = pos, .flags = flags };
	struct iomap_data data;
	int64_t n;

	iomap_data_init(&data, &iov, 1);
	iomap_inode_lock(&f->inode, IOMAP_LOCK_SHARED);
	n = iomap_file_buffered_read(&req, &data, &f->m->ops, f->m->read_ops, NULL);
	if (n > 0)
		compare(f, pos, buf, n);
	iomap_inode_unlock(&f->inode);
	return n;
}

int64_t m_read(struct m_file *f, int64_t pos, void *buf, size_t len)
{
	return m_read_flags(f, pos, buf, len, 0);
}

bool m_content_ok(struct m_file *f)
{
	uint8_t *buf = malloc(M_MAX_FILE);
	int64_t n;

	ck_assert_ptr_nonnull(buf);
	n = m_read(f, 0, buf, M_MAX_FILE);
	free(buf);
	return n == f->ref_size && n == iomap_inode_size(&f->inode);
}

int m_sync(struct m_file *f)
{
	return iomap_file_sync(&f->file, 0, IOMAP_MAX_POS, false);
}

int m_writeback(struct m_file *f, enum iomap_sync_mode mode, int64_t start, int64_t end)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .range_start = start, .range_end = end,
		.sync_mode = (uint8_t)mode,
	};

	return m_writepages(&f->inode, &wbc);
}

int m_drop_cache(struct m_file *f)
{
	int rc = m_sync(f);

	if (rc)
		return rc;
	iomap_inode_invalidate_lock(&f->inode, 0);
	rc = iomap_mapping_invalidate_range(&f->inode, 0, IOMAP_MAX_POS);
	iomap_inode_invalidate_unlock(&f->inode);
	return rc;
}

int m_evict(struct m_file *f)
{
	uint64_t errseq = 0;
	int64_t size;
	int rc;

	wait_unused(f);
	size = iomap_inode_size(&f->inode);
	rc = iomap_inode_evict(&f->inode, IOMAP_EVICT_WRITE, &errseq);
	if (!rc) {
		iomap_inode_fini(&f->inode);
		rc = init_inode(f, size, errseq);
		ck_assert_int_eq(rc, 0);
	}
	__atomic_store_n(&f->going, 0, __ATOMIC_SEQ_CST);
	return rc;
}
