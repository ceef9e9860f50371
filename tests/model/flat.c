/* SPDX-License-Identifier: MIT */
/*
 * flat.c - the smallest client of writeback; see flat.h.
 */
#include "model/flat.h"

/* ---- mapping ---- */

static void identity(struct flat *f, struct iomap *map)
{
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = 0, .addr = 0, .length = 48 << 20,
	};
}

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)pos, (void)len, (void)flags, (void)srcmap, (void)priv;
	identity(FLAT(inode), map);
	return 0;
}

int64_t flat_range_default(struct flat *f, struct iomap_writeback_ctx *wpc,
			   struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	if (f->map) {
		memset(&wpc->iomap, 0, sizeof(wpc->iomap));
		f->map(f, pos, len, &wpc->iomap);
	} else if (!wpc->iomap.length) {
		identity(f, &wpc->iomap);
	}
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

/* ---- hooks ---- */

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	struct flat *f = FLAT(wpc->inode);
	struct flat_range r = {
		.pos = pos, .len = len, .end_pos = end_pos, .folio = folio,
		.write_pending = __atomic_load_n(&folio->write_pending, __ATOMIC_ACQUIRE),
		.folio_flags = iomap_folio_flags(folio),
	};

	r.result = (f->range ? f->range : flat_range_default)(f, wpc, folio, pos, len, end_pos);
	if (f->nr_ranges < FLAT_MAX_LOG)
		f->ranges[f->nr_ranges] = r;
	f->nr_ranges++;
	return r.result;
}

static int submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct flat *f = FLAT(wpc->inode);
	struct iomap_ioend *ioend = wb_ctx;

	if (f->nr_submits < FLAT_MAX_LOG)
		f->submits[f->nr_submits] = (struct flat_submit){
			.offset = ioend->offset, .size = ioend->size, .len = ioend->bio.len,
			.addr = ioend->addr, .wb_seq = ioend->wb_seq, .flags = ioend->flags,
			.client_max = ioend->client_max, .nr_folios = ioend->nr_folios,
			.nr_segs = ioend->bio.nr_segs, .error = error,
			.in_wpc = wpc->wb_ctx == wb_ctx, .ioend = ioend,
		};
	f->nr_submits++;
	if (f->end_io)
		ioend->bio.end_io = f->end_io;
	if (f->submit)
		return f->submit(f, wpc, wb_ctx, error);
	if (!f->take)
		return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
	ioend = iomap_ioend_take(wpc, wb_ctx);
	iomap_list_add_tail(&f->held, &ioend->list);
	f->nr_held++;
	return 0;
}

static int writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct flat *f = FLAT(inode);
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &f->wb_ops };

	return iomap_writepages(&wpc);
}

static int sync_metadata(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
			 bool *flushed)
{
	(void)inode, (void)start, (void)end, (void)datasync;
	*flushed = false;
	return 0;
}

static bool tryget(struct iomap_inode *inode)
{
	(void)inode;
	return true;
}

static void put(struct iomap_inode *inode)
{
	(void)inode;
}

static void complete_ioends(struct iomap_inode *inode, struct iomap_list *ioends)
{
	struct flat *f = FLAT(inode);
	struct iomap_list *l;

	f->nr_completes++;
	if (f->complete) {
		f->complete(f, ioends);
		return;
	}
	while ((l = iomap_list_pop(ioends))) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		f->nr_completed++;
		iomap_finish_ioends(ioend, ioend->error);
	}
}

static void folio_written(struct iomap_folio *folio, int error)
{
	struct flat *f = FLAT(folio->inode);

	if (f->nr_written < FLAT_MAX_LOG)
		f->written[f->nr_written] = (struct flat_written){
			.folio = folio, .error = error, .after_end_io = f->nr_ended,
		};
	f->nr_written++;
	if (f->on_written)
		f->on_written(f, folio, error);
}

static int volume_sync_metadata(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	*flushed = false;
	return 0;
}

/* ---- life ---- */

static const struct iomap_volume_ops volume_ops = {
	.struct_size = sizeof(volume_ops), .sync_metadata = volume_sync_metadata,
};

static void set_tables(struct flat *f)
{
	f->ops = (struct iomap_ops){ .struct_size = sizeof(f->ops), .iomap_begin = begin };
	f->wb_ops = (struct iomap_writeback_ops){
		.struct_size = sizeof(f->wb_ops), .writeback_range = range,
		.writeback_submit = submit,
	};
	f->inode_ops = (struct iomap_inode_ops){
		.struct_size = sizeof(f->inode_ops), .writepages = writepages,
		.sync_metadata = sync_metadata, .tryget = tryget, .put = put,
		.complete_ioends = f->opts.no_complete ? NULL : complete_ioends,
		.folio_written = folio_written,
	};
}

static void make_frames(struct flat *f)
{
	uint32_t size = f->opts.frame_size;
	int rc = posix_memalign((void **)&f->frame_mem, 4096, (size_t)f->opts.frames * size);

	ck_assert_int_eq(rc, 0);
	f->frames = calloc(f->opts.frames, sizeof(*f->frames));
	ck_assert_ptr_nonnull(f->frames);
	for (unsigned i = 0; i < f->opts.frames; i++)
		memset(f->frame_mem + (size_t)i * size, (int)('a' + i % 26), size);
}

static void make_cache(struct flat *f)
{
	const struct iomap_cache_opts opts = {
		.struct_size = sizeof(opts), .bytes = f->opts.cache_bytes,
		.max_folio = f->opts.max_folio, .dirty_limit = f->opts.cache_bytes,
		.background_limit = f->opts.cache_bytes,
	};

	ck_assert_int_eq(iomap_cache_new(f->t.env, &opts, &f->cache), 0);
}

static void make_inode(struct flat *f)
{
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &f->inode_ops, .env = f->t.env,
		.volume = f->volume, .bdev = f->bdev, .owner = f,
		.flags = f->frames ? IOMAP_INODE_FRAMES : 0, .block_bits = f->opts.block_bits,
		.size = f->opts.size,
	};

	ck_assert_int_eq(iomap_inode_init(&f->inode, &opts), 0);
	ck_assert_int_eq(iomap_file_open(&f->file, &f->inode, 0), 0);
}

struct flat *flat_new(const struct flat_opts *opts)
{
	struct flat *f = calloc(1, sizeof(*f));

	ck_assert_ptr_nonnull(f);
	if (opts)
		f->opts = *opts;
	f->opts.dev = f->opts.dev ? f->opts.dev : "mem:flat,size=64m";
	f->opts.block_bits = f->opts.block_bits ? f->opts.block_bits : 12;
	f->opts.max_folio = f->opts.max_folio ? f->opts.max_folio : 4096;
	f->opts.cache_bytes = f->opts.cache_bytes ? f->opts.cache_bytes : 8 << 20;
	f->opts.size = f->opts.size ? f->opts.size : FLAT_FILE;
	f->opts.frame_size = f->opts.frame_size ? f->opts.frame_size : 4096;
	f->opts.env.struct_size = sizeof(f->opts.env);
	set_tables(f);
	iomap_list_init(&f->held);
	f->wbc.struct_size = sizeof(f->wbc);
	t_env_start(&f->t, &f->opts.env);
	if (f->opts.trace)
		t_env_trace(&f->t);
	ck_assert_int_eq(iomap_ioq_new(f->t.env, NULL, &f->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(f->ioq, f->opts.dev, NULL, &f->bdev), 0);
	f->mem = t_mem_find("flat");
	if (f->opts.frames)
		make_frames(f);
	else
		make_cache(f);
	if (!f->opts.frames || f->opts.in_volume)
		ck_assert_int_eq(iomap_volume_new(f->t.env, f->cache, &volume_ops, f, &f->volume),
				 0);
	make_inode(f);
	return f;
}

void flat_delete(struct flat **fp)
{
	struct flat *f = *fp;

	*fp = NULL;
	ck_assert(iomap_list_empty(&f->held));
	flat_settle(f);
	ck_assert_int_eq(iomap_inode_evict(&f->inode, IOMAP_EVICT_DISCARD, NULL), 0);
	iomap_file_close(&f->file);
	iomap_inode_fini(&f->inode);
	if (f->volume)
		iomap_volume_delete(&f->volume);
	if (f->cache)
		iomap_cache_delete(&f->cache);
	iomap_bdev_close(&f->bdev);
	iomap_ioq_delete(&f->ioq);
	t_env_stop(&f->t);
	free(f->frames);
	free(f->frame_mem);
	free(f);
}

void flat_forget(struct flat *f)
{
	f->nr_ranges = f->nr_submits = f->nr_written = f->nr_completes = f->nr_completed = 0;
	f->nr_ended = 0;
	if (f->mem)
		t_mem_log_reset(f->mem);
}

/* ---- cached ---- */

void flat_dirty(struct flat *f, int64_t pos, size_t len, int byte)
{
	iomap_inode_lock(&f->inode, 0);
	flat_dirty_locked(f, pos, len, byte);
	iomap_inode_unlock(&f->inode);
}

void flat_dirty_locked(struct flat *f, int64_t pos, size_t len, int byte)
{
	struct iomap_req req = { .file = &f->file, .pos = pos };
	struct iomap_data data;
	struct iovec iov = { .iov_len = len };

	iov.iov_base = malloc(len);
	ck_assert_ptr_nonnull(iov.iov_base);
	memset(iov.iov_base, byte, len);
	iomap_data_init(&data, &iov, 1);
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &f->ops, NULL, NULL),
			 (int64_t)len);
	free(iov.iov_base);
}

int flat_write(struct flat *f, enum iomap_sync_mode mode)
{
	f->wbc.sync_mode = (uint8_t)mode;
	f->wbc.bytes_queued = 0;
	return writepages(&f->inode, &f->wbc);
}

int flat_sync(struct flat *f)
{
	return iomap_file_sync(&f->file, 0, IOMAP_MAX_POS, false);
}

struct iomap_folio *flat_lock(struct flat *f, int64_t pos)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&f->inode, pos, 1, 0, &folio), 0);
	return folio;
}

void flat_unlock(struct iomap_folio *folio)
{
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

uint32_t flat_flags(struct flat *f, int64_t pos)
{
	struct iomap_folio *folio = flat_lock(f, pos);
	uint32_t flags = iomap_folio_flags(folio);

	flat_unlock(folio);
	return flags & ~(uint32_t)IOMAP_FOLIO_LOCKED;
}

/* ---- frames ---- */

void flat_wpc(struct flat *f, struct iomap_writeback_ctx *wpc)
{
	*wpc = (struct iomap_writeback_ctx){
		.inode = &f->inode, .wbc = &f->wbc, .ops = &f->wb_ops, .owner = f,
	};
}

int flat_frame(struct flat *f, struct iomap_writeback_ctx *wpc, unsigned i)
{
	uint32_t size = f->opts.frame_size;

	iomap_folio_init(&f->frames[i], &f->inode, (int64_t)i * size,
			 f->frame_mem + (size_t)i * size, size, NULL);
	iomap_folio_mark_dirty(&f->frames[i], 0, size);
	return iomap_writeback_folio(wpc, &f->frames[i]);
}

const struct flat_written *flat_written_of(struct flat *f, unsigned i)
{
	for (unsigned k = 0; k < f->nr_written; k++)
		if (f->written[k].folio == &f->frames[i])
			return &f->written[k];
	return NULL;
}

/* ---- driving ---- */

void flat_poll(struct flat *f)
{
	iomap_ioq_poll(f->ioq, 0, UINT32_MAX, 0);
	iomap_env_run_work(f->t.env, IOMAP_WORK_IOEND | IOMAP_WORK_DIO, UINT32_MAX);
}

void flat_settle(struct flat *f)
{
	if (f->mem) {
		t_mem_hold(f->mem, false);
		t_mem_release_all(f->mem);
	}
	ck_assert_int_eq(iomap_inode_wait_wb(&f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
}

void flat_submit_held(struct flat *f, int error)
{
	struct iomap_list *l = iomap_list_pop(&f->held);

	ck_assert_ptr_nonnull(l);
	f->nr_held--;
	iomap_ioend_submit(iomap_container_of(l, struct iomap_ioend, list), error);
}
