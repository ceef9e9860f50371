/* SPDX-License-Identifier: MIT */
/*
 * stream.c - a client without a device; see stream.h.
 */
#include "model/stream.h"

static void count(unsigned *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Lock held. */
static int fault(struct stream_fault *f)
{
	if (!f->nth || --f->nth)
		return 0;
	if (f->count > 1) {
		f->count--;
		f->nth = 1;
	}
	return f->error;
}

static bool is_bad(const struct stream *s, int64_t pos, size_t len)
{
	return pos < s->bad_to && pos + (int64_t)len > s->bad_from;
}

/* ---- mapping ---- */

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	uint64_t mask = (1ull << inode->block_bits) - 1;
	int64_t from = pos & ~(int64_t)mask;

	(void)flags, (void)srcmap, (void)priv;
	count(&STREAM(inode)->nr_begin);
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .addr = IOMAP_NULL_ADDR, .offset = from,
		.length = ((uint64_t)(pos - from) + len + mask) & ~mask,
	};
	return 0;
}

static int end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
	       unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)pos, (void)len, (void)written, (void)flags, (void)map, (void)srcmap, (void)priv;
	count(&STREAM(inode)->nr_end);
	return 0;
}

/* ---- the server ---- */

struct part {
	const struct stream_range *range;
	size_t at, len;
};

static int serve_part(struct stream *s, const struct stream_req *req, const struct part *p)
{
	const struct stream_range *r = p->range;
	int error = req->error;

	pthread_mutex_lock(&s->lock);
	if (!error && is_bad(s, r->pos + (int64_t)p->at, p->len))
		error = -EIO;
	if (!error && req->write) {
		memcpy(s->disk + r->pos, r->mem, r->bytes);
		if (r->pos + (int64_t)r->bytes > s->disk_size)
			s->disk_size = r->pos + (int64_t)r->bytes;
	} else if (!error) {
		memcpy(r->mem + p->at, s->disk + r->pos + p->at, p->len);
	}
	pthread_mutex_unlock(&s->lock);
	return error;
}

static unsigned cut(const struct stream_req *req, struct part **parts)
{
	const struct stream *s = req->s;
	unsigned nr = 0, max = 0;

	for (unsigned i = 0; i < req->nr; i++)
		max += 1 + (s->part ? (unsigned)(req->ranges[i].len / s->part) : 0);
	*parts = calloc(max, sizeof(**parts));
	ck_assert_ptr_nonnull(*parts);
	for (unsigned i = 0; i < req->nr; i++) {
		const struct stream_range *r = &req->ranges[i];
		size_t step = s->part && !req->write ? s->part : r->len;

		for (size_t at = 0; at < r->len; at += step)
			(*parts)[nr++] = (struct part){
				r, at, r->len - at < step ? r->len - at : step,
			};
	}
	return nr;
}

/* What was answered last may be gone with its folio: nothing of it is looked at again. */
static void answer(struct stream_req *req)
{
	struct stream *s = req->s;
	struct part *parts;
	unsigned nr = cut(req, &parts);
	uint64_t seed = s->shuffle + (uint64_t)req->ranges[0].pos;

	for (unsigned i = 0; i < nr; i++) {
		unsigned k = i + (s->shuffle ? (unsigned)(t_rand(&seed) % (nr - i)) : 0);
		struct part p = parts[k];
		int error = serve_part(s, req, &p);

		parts[k] = parts[i];
		if (req->write)
			iomap_finish_folio_write(&s->inode, p.range->folio, p.range->len, error);
		else
			iomap_finish_folio_read(p.range->folio, p.range->off + p.at, p.len, error);
	}
	free(parts);
	free(req);
}

static void send(struct stream_req *req)
{
	struct stream *s = req->s;

	count(req->write ? &s->nr_writes : &s->nr_reads);
	pthread_mutex_lock(&s->lock);
	if (!req->error)
		req->error = fault(req->write ? &s->fail_write : &s->fail_read);
	if (s->answers == STREAM_LATER) {
		iomap_list_add_tail(&s->out, &req->node);
		s->nr_out++;
		pthread_cond_signal(&s->more);
		req = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (req)
		answer(req);
}

/* Lock held. */
static struct stream_req *take(struct stream *s, unsigned i)
{
	struct iomap_list *l = s->out.next;

	if (i >= s->nr_out)
		return NULL;
	while (i--)
		l = l->next;
	iomap_list_del(l);
	s->nr_out--;
	return iomap_container_of(l, struct stream_req, node);
}

static void *serve(void *arg)
{
	struct stream *s = arg;
	uint64_t seed = s->shuffle + 1;

	for (;;) {
		struct stream_req *req;

		pthread_mutex_lock(&s->lock);
		while (!s->nr_out && !s->stop)
			pthread_cond_wait(&s->more, &s->lock);
		req = take(s, s->nr_out ? (unsigned)(t_rand(&seed) % s->nr_out) : 0);
		pthread_mutex_unlock(&s->lock);
		if (!req)
			return NULL;
		answer(req);
	}
}

void stream_serve(struct stream *s, unsigned nr)
{
	ck_assert_uint_le(nr, STREAM_SERVERS);
	s->answers = STREAM_LATER;
	s->stop = false;
	for (s->nr_servers = 0; s->nr_servers < nr; s->nr_servers++)
		ck_assert_int_eq(pthread_create(&s->servers[s->nr_servers], NULL, serve, s), 0);
}

void stream_serve_stop(struct stream *s)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	while (s->nr_servers)
		pthread_join(s->servers[--s->nr_servers], NULL);
	s->answers = STREAM_AT_ONCE;
}

struct stream_req *stream_out(struct stream *s, unsigned i)
{
	struct iomap_list *l = s->out.next;

	ck_assert_uint_lt(i, s->nr_out);
	while (i--)
		l = l->next;
	return iomap_container_of(l, struct stream_req, node);
}

void stream_answer(struct stream *s, unsigned i)
{
	struct stream_req *req;

	pthread_mutex_lock(&s->lock);
	req = take(s, i);
	pthread_mutex_unlock(&s->lock);
	ck_assert_ptr_nonnull(req);
	answer(req);
}

void stream_answer_all(struct stream *s)
{
	while (s->nr_out)
		stream_answer(s, 0);
}

/* ---- requests ---- */

static struct stream_req *new_req(struct stream *s, bool write)
{
	struct stream_req *req = calloc(1, sizeof(*req));

	ck_assert_ptr_nonnull(req);
	iomap_list_init(&req->node);
	req->s = s;
	req->write = write;
	return req;
}

/* Merges of its own: whatever follows in the file, be it in the same folio or the next one. */
static bool follows(const struct stream_req *req, int64_t pos)
{
	const struct stream_range *last = &req->ranges[req->nr - 1];

	return req->nr < STREAM_RANGES && last->pos + (int64_t)last->len == pos;
}

static void add(struct stream_req *req, struct iomap_folio *folio, int64_t pos, size_t len)
{
	size_t off = (size_t)(pos - folio->pos);

	req->ranges[req->nr++] = (struct stream_range){
		.folio = folio, .mem = (char *)folio->mem + off, .pos = pos, .off = off,
		.len = len, .bytes = len,
	};
}

static int read_range(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	struct stream *s = STREAM(iter->inode);
	struct stream_req *req = ctx->read_ctx;

	if (req && !follows(req, iter->pos)) {
		send(req);
		req = NULL;
	}
	if (!req)
		req = new_req(s, false);
	add(req, ctx->cur_folio, iter->pos, len);
	ctx->read_ctx = req;
	if (s->answers == STREAM_INSIDE) {
		ctx->read_ctx = NULL;
		send(req);
	}
	return 0;
}

static void submit_read(const struct iomap_iter *iter, struct iomap_read_ctx *ctx)
{
	(void)iter;
	if (ctx->read_ctx)
		send(ctx->read_ctx);
	ctx->read_ctx = NULL;
}

static int read_now(const struct iomap_iter *iter, struct iomap_folio *folio, int64_t pos,
		    size_t len)
{
	struct stream *s = STREAM(iter->inode);
	int rc;

	count(&s->nr_rmw);
	pthread_mutex_lock(&s->lock);
	rc = fault(&s->fail_rmw);
	if (!rc)
		memcpy((char *)folio->mem + (pos - folio->pos), s->disk + pos, len);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int64_t writeback_range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
			       int64_t pos, uint64_t len, int64_t end_pos)
{
	struct stream_req *req = wpc->wb_ctx;

	if (req && !follows(req, pos)) {
		iomap_writeback_close(wpc);
		req = NULL;
	}
	if (!req)
		wpc->wb_ctx = req = new_req(STREAM(wpc->inode), true);
	add(req, folio, pos, (size_t)len);
	if (pos + (int64_t)len > end_pos)
		req->ranges[req->nr - 1].bytes = (size_t)(end_pos - pos);
	return (int64_t)len;
}

int stream_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct stream_req *req = wb_ctx;
	struct stream *s = req->s;

	if (wpc->wb_ctx == wb_ctx)
		count(&s->nr_held_contexts);
	if (error) {
		count(&s->nr_submit_errors);
		s->last_submit_error = error;
	}
	if (s->hook_submit)
		return s->hook_submit(s, req, error);
	req->error = error;
	if (error)
		answer(req);
	else
		send(req);
	return error;
}

/* ---- the inode's operations ---- */

static int writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct iomap_writeback_ctx wpc = {
		.inode = inode, .wbc = wbc, .ops = &STREAM(inode)->wb_ops,
	};

	return iomap_writepages(&wpc);
}

static int sync_metadata(struct iomap_inode *inode, int64_t from, int64_t to, bool datasync,
			 bool *flushed)
{
	struct stream *s = STREAM(inode);
	int rc;

	(void)from, (void)to, (void)datasync;
	*flushed = false;
	count(&s->nr_syncs);
	pthread_mutex_lock(&s->lock);
	rc = fault(&s->fail_sync);
	pthread_mutex_unlock(&s->lock);
	return rc;
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

static int volume_sync_metadata(struct iomap_volume *volume, bool *flushed)
{
	struct stream *s = iomap_volume_owner(volume);

	count(&s->nr_volume_syncs);
	*flushed = false;
	return 0;
}

static const struct iomap_inode_ops inode_ops = {
	.struct_size = sizeof(inode_ops), .writepages = writepages,
	.sync_metadata = sync_metadata, .tryget = tryget, .put = put,
};
static const struct iomap_volume_ops volume_ops = {
	.struct_size = sizeof(volume_ops), .sync_metadata = volume_sync_metadata,
};

/* ---- life ---- */

static void set_tables(struct stream *s)
{
	s->ops = (struct iomap_ops){
		.struct_size = sizeof(s->ops), .iomap_begin = begin, .iomap_end = end,
	};
	s->read_ops = (struct iomap_read_ops){
		.struct_size = sizeof(s->read_ops), .read_folio_range = read_range,
		.submit_read = submit_read,
	};
	s->write_ops = (struct iomap_write_ops){
		.struct_size = sizeof(s->write_ops), .read_folio_range = read_now,
	};
	s->wb_ops = (struct iomap_writeback_ops){
		.struct_size = sizeof(s->wb_ops), .writeback_range = writeback_range,
		.writeback_submit = stream_submit,
	};
}

struct stream *stream_new(const struct stream_opts *opts)
{
	struct stream *s = calloc(1, sizeof(*s));
	struct iomap_inode_opts inode;
	struct iomap_cache_opts cache;

	ck_assert_ptr_nonnull(s);
	if (opts)
		s->opts = *opts;
	s->opts.block_bits = s->opts.block_bits ? s->opts.block_bits : 12;
	set_tables(s);
	iomap_list_init(&s->out);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	t_env_start(&s->t, NULL);
	cache = (struct iomap_cache_opts){
		.struct_size = sizeof(cache),
		.bytes = s->opts.cache_bytes ? s->opts.cache_bytes : STREAM_MAX,
		.max_folio = s->opts.max_folio ? s->opts.max_folio : 4096,
	};
	cache.dirty_limit = s->opts.dirty_limit ? s->opts.dirty_limit : cache.bytes;
	cache.background_limit = cache.dirty_limit;
	ck_assert_int_eq(iomap_cache_new(s->t.env, &cache, &s->cache), 0);
	ck_assert_int_eq(iomap_volume_new(s->t.env, s->cache, &volume_ops, s, &s->volume), 0);
	inode = (struct iomap_inode_opts){
		.struct_size = sizeof(inode), .ops = &inode_ops, .volume = s->volume,
		.flags = s->opts.inode_flags, .block_bits = s->opts.block_bits,
	};
	ck_assert_int_eq(iomap_inode_init(&s->inode, &inode), 0);
	ck_assert_int_eq(iomap_file_open(&s->file, &s->inode, s->opts.file_flags), 0);
	return s;
}

void stream_delete(struct stream **sp)
{
	struct stream *s = *sp;

	*sp = NULL;
	stream_answer_all(s);
	ck_assert_int_eq(iomap_inode_evict(&s->inode, IOMAP_EVICT_DISCARD, NULL), 0);
	ck_assert_uint_eq(stream_stats(s).bytes, 0);
	ck_assert_uint_eq(s->nr_begin, s->nr_end);
	ck_assert_uint_eq(s->nr_held_contexts, 0);
	iomap_file_close(&s->file);
	iomap_inode_fini(&s->inode);
	iomap_volume_delete(&s->volume);
	iomap_cache_delete(&s->cache);
	t_env_stop(&s->t);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- the user ---- */

int64_t stream_write(struct stream *s, int64_t pos, const void *buf, size_t len, unsigned flags)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct iomap_req req = { .file = &s->file, .pos = pos, .flags = flags };
	struct iomap_data data;
	int64_t n;

	ck_assert_uint_le((uint64_t)pos + len, STREAM_MAX);
	iomap_data_init(&data, &iov, 1);
	n = iomap_inode_lock(&s->inode, flags & IOMAP_REQ_NOWAIT ? IOMAP_LOCK_NOWAIT : 0);
	if (n)
		return n;
	n = iomap_file_buffered_write(&req, &data, &s->ops, &s->write_ops, NULL);
	if (n > 0)
		memcpy(s->ref + pos, buf, (size_t)n);
	if (n > 0 && pos + n > s->ref_size)
		s->ref_size = pos + n;
	iomap_inode_unlock(&s->inode);
	return iomap_req_sync(&req, n);
}

int64_t stream_fill(struct stream *s, int64_t pos, size_t len, unsigned seed, unsigned flags)
{
	uint64_t state = seed + 1;
	uint8_t *buf = malloc(len);
	int64_t n;

	ck_assert_ptr_nonnull(buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)t_rand(&state);
	n = stream_write(s, pos, buf, len, flags);
	free(buf);
	return n;
}

int64_t stream_read(struct stream *s, int64_t pos, void *buf, size_t len, unsigned flags)
{
	struct iomap_req req = { .file = &s->file, .pos = pos, .flags = flags };
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct iomap_data data;
	int64_t n;

	iomap_data_init(&data, &iov, 1);
	n = iomap_inode_lock(&s->inode, IOMAP_LOCK_SHARED |
			     (flags & IOMAP_REQ_NOWAIT ? IOMAP_LOCK_NOWAIT : 0));
	if (n)
		return n;
	n = iomap_file_buffered_read(&req, &data, &s->ops, &s->read_ops, NULL);
	if (n > 0)
		ck_assert_mem_eq(buf, s->ref + pos, (size_t)n);
	iomap_inode_unlock(&s->inode);
	return n;
}

bool stream_content_ok(struct stream *s)
{
	size_t size = (size_t)s->ref_size;
	char *buf = malloc(size + 1);
	int64_t n = stream_read(s, 0, buf, size + 1, 0);

	free(buf);
	return n == s->ref_size && iomap_inode_size(&s->inode) == s->ref_size;
}

bool stream_server_ok(struct stream *s)
{
	return s->disk_size == s->ref_size && !memcmp(s->disk, s->ref, STREAM_MAX);
}

int stream_writepages(struct stream *s, enum iomap_sync_mode mode)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = (uint8_t)mode,
	};

	return writepages(&s->inode, &wbc);
}

int stream_sync(struct stream *s)
{
	return iomap_file_sync(&s->file, 0, IOMAP_MAX_POS, false);
}

int stream_drop_cache(struct stream *s)
{
	int rc = stream_sync(s);

	if (rc)
		return rc;
	iomap_inode_invalidate_lock(&s->inode, 0);
	rc = iomap_mapping_invalidate_range(&s->inode, 0, IOMAP_MAX_POS);
	iomap_inode_invalidate_unlock(&s->inode);
	return rc;
}

uint32_t stream_flags(struct stream *s, int64_t pos)
{
	struct iomap_folio *folio;
	uint32_t flags;

	if (iomap_mapping_get_folio(&s->inode, pos, 1, IOMAP_NOWAIT | IOMAP_DONTCACHE, &folio))
		return 0;
	flags = iomap_folio_flags(folio);
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	return flags & ~(uint32_t)IOMAP_FOLIO_LOCKED;
}

struct iomap_cache_stats stream_stats(struct stream *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(s->cache, &stats);
	return stats;
}
