/* SPDX-License-Identifier: MIT */
/*
 * buffered/read.c - filling folios, and reading through them.
 *
 * One folio is filled at a time.  Its blocks are taken in order: those that are uptodate are left
 * alone (I27), those that can only be zeros are zeroed here (I28), the rest is handed to the read
 * operations.  The first block handed over makes the read pending by the whole folio, so that it
 * cannot end before everything was asked for; when that is done the lock of the folio goes over to
 * the read, less what was not queued, and the last completion unlocks it.
 *
 *	this thread				completion
 *	start: pending = size
 *	queue a range				its blocks uptodate, pending - len
 *	zero another: blocks uptodate		(who marks the last block decides about the folio)
 *	queued: pending - rest			0: unlock
 *
 * When nothing is left over the folio is not touched after its last range was queued: the read may
 * be over, the folio gone (I22).  So the fill keeps its own copies of position and size.
 *
 * A folio is in the cache, locked, before begin is asked what lies there.  The other way round a
 * map could be overtaken, and old zeros take the place of data:
 *
 *	read-ahead				writeback, reclaim
 *	begin: a hole, or unwritten		(the folio is cached and dirty)
 *						write it, convert; it is clean: evict it
 *	make the folio, zero it by that map
 *
 * Threads: a fill belongs to the thread that locked the folio; completions come from anywhere.
 */
#include "buffered/buffered.h"

#include <string.h>

#include <iomap/cache.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/log.h"
#include "base/trace.h"
#include "cache/cache.h"
#include "inode/inode.h"

#define READAHEAD	(128u << 10)	/* for who reads one folio after the other */
#define MAX_READAHEAD	(512u << 10)	/* for who asks for much at once */
#define BATCH		64		/* folios locked before begin is asked about them */
#define MEMORY_WAIT_NS	1000000		/* for others to let go of a folio */

struct fill {
	struct iomap_env *env;
	const struct iomap_read_ops *ops;
	struct iomap_read_ctx ctx;	/* cur_folio: NULL between two */
	int64_t pos;			/* of the current folio */
	size_t size;
	size_t next;			/* blocks before this were looked at */
	size_t queued;			/* bytes handed over */
	int64_t file_size;
	bool started;
};

/* ---- arguments ---- */

int iomapi_req_check(const struct iomap_req *req, const struct iomap_data *data)
{
	const uint32_t known = IOMAP_REQ_NOWAIT | IOMAP_REQ_DSYNC | IOMAP_REQ_SYNC |
			       IOMAP_REQ_APPEND | IOMAP_REQ_DONTCACHE;
	struct iomap_inode *inode;

	if (!req || !data || !req->file || !req->file->inode || req->pos < 0)
		return -EINVAL;
	inode = req->file->inode;
	if ((req->flags & ~known) || !iomapi_cache_of(inode))
		return -EINVAL;
	return iomapi_inode_killed(inode) ? -ESTALE : 0;
}

static bool read_ops_ok(const struct iomap_read_ops *ops)
{
	return ops->struct_size >= sizeof(*ops) && ops->read_folio_range;
}

/* ---- one folio ---- */

bool iomapi_block_is_zeros(const struct iomap *src, int64_t pos, int64_t size)
{
	if (src->type != IOMAP_MAPPED)
		return true;
	if (src->flags & IOMAP_F_NEW)
		return true;
	return pos >= size;
}

static int bad_inline(const struct iomap *map, struct iomap_folio *folio, int64_t size)
{
	iomapi_report(folio->inode->env, .rule = "I31", .callback = "iomap_begin",
		      .field = "length", .value = map->length,
		      .bound = (uint64_t)(size - map->offset), .inode = folio->inode,
		      .pos = map->offset, .text = "the file is longer than its inline data");
	return -EIO;
}

int iomapi_read_inline(const struct iomap *map, struct iomap_folio *folio, int64_t size)
{
	int64_t from = iomapi_max(map->offset, folio->pos);
	size_t off = (size_t)(from - folio->pos), len = 0;

	if (size > map->offset) {
		if ((uint64_t)(size - map->offset) > map->length)
			return bad_inline(map, folio, size);
		if (size > from)
			len = (size_t)iomapi_min((uint64_t)(size - from),
						 (uint64_t)folio->size - off);
	}
	memcpy((char *)folio->mem + off, (const char *)map->inline_data + (from - map->offset),
	       len);
	memset((char *)folio->mem + off + len, 0, folio->size - off - len);
	iomapi_folio_set_uptodate(folio, off, folio->size - off);
	return 0;
}

static void make_zeros(struct iomap_folio *folio, size_t off, size_t len)
{
	memset((char *)folio->mem + off, 0, len);
	iomapi_folio_set_uptodate(folio, off, len);
}

/* The current folio is locked.  Its blocks behind the end of the file are nobody's to describe. */
static void fill_start(struct fill *f, struct iomap_folio *folio)
{
	size_t block = (size_t)1 << folio->inode->block_bits, off = 0, len;

	f->ctx.cur_folio = folio;
	f->pos = folio->pos;
	f->size = folio->size;
	f->next = f->queued = 0;
	f->started = false;
	f->file_size = iomap_inode_size(folio->inode);
	if (f->file_size > f->pos)
		off = (size_t)iomapi_min((uint64_t)(f->file_size - f->pos), (uint64_t)f->size);
	off = iomapi_round_up(off, block);
	for (; off < f->size && iomapi_folio_next_not_uptodate(folio, &off, f->size, &len);
	     off += len)
		make_zeros(folio, off, len);
}

/* The lock goes over to the read, if there is one. */
static void fill_finish(struct fill *f)
{
	struct iomap_folio *folio = f->ctx.cur_folio;

	f->ctx.cur_folio = NULL;
	if (!f->started || iomapi_folio_read_queued(f->env, folio, f->size - f->queued))
		iomap_folio_unlock(folio);
}

static int queue_range(struct fill *f, const struct iomap_iter *iter, size_t len)
{
	int rc;

	if (!f->started) {
		rc = iomapi_folio_start_read(f->ctx.cur_folio);
		if (rc)
			return rc;
		f->started = true;
	}
	rc = f->ops->read_folio_range(iter, &f->ctx, len);
	rc = iomapi_answer(f->env, rc, .rule = "I13", .callback = "read_folio_range",
			   .inode = iter->inode, .pos = iter->pos);
	if (!rc)
		f->queued += len;
	return rc;
}

/* What is missing of the current folio inside this map; the iterator moves along. */
static int fill_map(struct fill *f, struct iomap_iter *iter)
{
	const struct iomap *src = iomap_iter_srcmap(iter);
	size_t block = (size_t)1 << iter->inode->block_bits;
	uint64_t len = iomapi_min(iomap_length(iter), (uint64_t)f->pos + f->size -
							      (uint64_t)iter->pos);
	int64_t end = iter->pos + (int64_t)len;
	int rc = 0;

	if (src->type == IOMAP_INLINE) {
		rc = iomapi_read_inline(src, f->ctx.cur_folio, f->file_size);
		return rc ? rc : iomap_iter_advance(iter, len);
	}
	while (!rc && iter->pos < end) {
		size_t off = iomapi_max((size_t)(iter->pos - f->pos), f->next), n = 0;
		size_t stop = iomapi_round_up((size_t)(end - f->pos), block);

		if (f->queued == f->size || off >= stop ||
		    !iomapi_folio_next_not_uptodate(f->ctx.cur_folio, &off, stop, &n))
			return iomap_iter_advance(iter, (uint64_t)(end - iter->pos));
		f->next = off + n;
		if (f->pos + (int64_t)off > iter->pos)
			rc = iomap_iter_advance(iter, (uint64_t)(f->pos + (int64_t)off -
								  iter->pos));
		if (!rc && iomapi_block_is_zeros(src, iter->pos, f->file_size))
			make_zeros(f->ctx.cur_folio, off, n);
		else if (!rc)
			rc = queue_range(f, iter, n);
		if (!rc)	/* the last block may reach over the end of the file */
			rc = iomap_iter_advance(iter, iomapi_min((uint64_t)n,
								 (uint64_t)(end - iter->pos)));
	}
	return rc;
}

static void kick(struct fill *f, const struct iomap_iter *iter)
{
	if (f->ops->submit_read)
		f->ops->submit_read(iter, &f->ctx);
}

int iomapi_read_folio(struct iomap_folio *folio, const struct iomap_ops *ops,
		      const struct iomap_read_ops *read_ops, void *priv)
{
	struct iomap_inode *inode = folio->inode;
	struct fill f = { .env = inode->env, .ops = read_ops ? read_ops : iomap_bio_read_ops() };
	struct iomap_iter iter = { .inode = inode, .pos = folio->pos, .private_data = priv };
	int64_t end;
	int rc;

	if (!read_ops_ok(f.ops) || iomapi_inode_killed(inode)) {
		iomap_folio_unlock(folio);
		return read_ops_ok(f.ops) ? -ESTALE : -EINVAL;
	}
	fill_start(&f, folio);
	iomapi_trace(f.env, .event = IOMAP_TRACE_READ_FOLIO, .inode = inode, .pos = f.pos,
		     .len = f.size);
	end = iomapi_min(f.file_size, iomapi_end(f.pos, f.size));
	iter.len = end > f.pos ? (uint64_t)(end - f.pos) : 0;
	while ((rc = iomap_iter(&iter, ops)) > 0)
		iter.status = fill_map(&f, &iter);
	fill_finish(&f);
	kick(&f, &iter);
	return rc;
}

IOMAP_API void iomap_read_folio(struct iomap_folio *folio, const struct iomap_ops *ops,
				const struct iomap_read_ops *read_ops, void *priv)
{
	(void)iomapi_read_folio(folio, ops, read_ops, priv);
}

/*
 * The report comes before the subtraction: once the bytes are taken off, another completion may be
 * the last one, unlock the folio, and a truncate take its inode away (R10).
 */
IOMAP_API void iomap_finish_folio_read(struct iomap_folio *folio, size_t off, size_t len,
				       int error)
{
	iomapi_trace(folio->inode->env, .event = IOMAP_TRACE_FOLIO_READ, .result = error,
		     .inode = folio->inode, .pos = folio->pos + (int64_t)off, .len = len);
	if (iomapi_folio_sub_read_pending(folio, off, len, error))
		iomap_folio_unlock(folio);
}

/* ---- a window of folios ---- */

struct window {
	struct iomap_folio *folios[BATCH];	/* in a row, locked and referenced */
	unsigned nr, next;
};

/* Folios that nobody has yet, from *pos on, which moves behind them.  Those in front that somebody
 * has are stepped over. */
static int gather(struct window *w, struct iomap_inode *inode, int64_t *pos, int64_t stop,
		  unsigned op_flags)
{
	w->nr = w->next = 0;
	while (*pos < stop && w->nr < BATCH) {
		struct iomap_folio *folio = iomapi_mapping_find(inode, *pos);
		int rc;

		if (folio) {
			int64_t end = iomapi_end(folio->pos, folio->size);

			iomap_folio_put(folio);
			if (w->nr)
				return 0;
			*pos = end;
			continue;
		}
		rc = iomap_mapping_get_folio(inode, *pos, (uint64_t)(stop - *pos),
					     op_flags | IOMAP_WRITE | IOMAP_NOWAIT, &folio);
		if (rc)
			return w->nr ? 0 : rc;
		w->folios[w->nr++] = folio;
		*pos = iomapi_end(folio->pos, folio->size);
	}
	return 0;
}

static void folio_done(struct fill *f)
{
	struct iomap_folio *folio = f->ctx.cur_folio;

	if (!folio)
		return;
	fill_finish(f);
	iomap_folio_put(folio);
}

/* The folio at the iterator's position becomes the current one. */
static void next_folio(struct fill *f, struct window *w, const struct iomap_iter *iter)
{
	if (f->ctx.cur_folio && iter->pos < iomapi_end(f->pos, f->size))
		return;
	folio_done(f);
	iomapi_assert(w->next < w->nr);
	fill_start(f, w->folios[w->next++]);
}

static int fill_window(struct fill *f, struct window *w, struct iomap_iter *iter,
		       const struct iomap_ops *ops)
{
	int64_t size = iomap_inode_size(iter->inode);
	const struct iomap_folio *last = w->folios[w->nr - 1];
	int64_t end = iomapi_min(iomapi_end(last->pos, last->size), size);
	int rc;

	iter->pos = w->folios[0]->pos;
	iter->len = end > iter->pos ? (uint64_t)(end - iter->pos) : 0;
	while ((rc = iomap_iter(iter, ops)) > 0) {
		while (!iter->status && iomap_length(iter)) {
			next_folio(f, w, iter);
			iter->status = fill_map(f, iter);
		}
	}
	folio_done(f);
	for (; w->next < w->nr; w->next++) {	/* an error, or the file got shorter */
		iomap_folio_unlock(w->folios[w->next]);
		iomap_folio_put(w->folios[w->next]);
	}
	return rc;
}

/* *pos moves behind what was started. */
static int readahead(struct iomap_inode *inode, int64_t *pos, int64_t end,
		     const struct iomap_ops *ops, const struct iomap_read_ops *read_ops,
		     unsigned op_flags, void *priv)
{
	struct fill f = { .env = inode->env, .ops = read_ops ? read_ops : iomap_bio_read_ops() };
	struct iomap_iter iter = { .inode = inode, .flags = op_flags, .private_data = priv };
	uint64_t unit = iomapi_max(1ull << inode->block_bits, (uint64_t)IOMAPI_PAGE);
	int64_t stop = (int64_t)iomapi_min(iomapi_round_up((uint64_t)end, unit),
					   (uint64_t)iomap_inode_size(inode));
	int64_t at = (int64_t)iomapi_round_down((uint64_t)*pos, unit);
	struct window w;
	int rc = 0;

	if (!read_ops_ok(f.ops))
		return -EINVAL;
	if (iomapi_inode_killed(inode))
		return -ESTALE;
	iomapi_trace(f.env, .event = IOMAP_TRACE_READAHEAD, .inode = inode, .pos = *pos,
		     .len = (uint64_t)(end - *pos));
	while (!rc && at < stop) {
		rc = gather(&w, inode, &at, stop, op_flags);
		if (rc || !w.nr)
			continue;
		rc = fill_window(&f, &w, &iter, ops);
		if (rc)
			at = iter.pos;
	}
	kick(&f, &iter);
	if (!rc)			/* the end of the window, or of the file */
		at = end;
	*pos = iomapi_max(*pos, iomapi_min(at, end));
	return rc;
}

IOMAP_API void iomap_readahead(struct iomap_inode *inode, int64_t *pos, uint64_t *len,
			       const struct iomap_ops *ops, const struct iomap_read_ops *read_ops,
			       void *priv)
{
	int64_t start = *pos;

	if (start < 0 || !*len || !iomapi_cache_of(inode))
		return;
	(void)readahead(inode, pos, iomapi_end(start, *len), ops, read_ops, 0, priv);
	*len -= (uint64_t)(*pos - start);
}

/* ---- read(2) ---- */

struct reader {
	struct iomap_inode *inode;
	const struct iomap_ops *ops;
	const struct iomap_read_ops *read_ops;
	void *priv;
	unsigned op_flags;		/* NOWAIT, DONTCACHE */
};

static bool range_uptodate(struct iomap_folio *folio, int64_t pos, uint64_t want)
{
	size_t off = (size_t)(pos - folio->pos);
	size_t len = (size_t)iomapi_min(want, (uint64_t)folio->size - off);

	if (iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE)
		return true;
	return iomap_folio_is_partially_uptodate(folio, off, len);
}

static bool cached(struct iomap_inode *inode, int64_t pos)
{
	struct iomap_folio *folio = iomapi_mapping_find(inode, pos);

	if (folio)
		iomap_folio_put(folio);
	return folio;
}

/* Nothing is cached at pos.  Who reads from the start, or where the block before is cached, is
 * likely to come for the next ones; but nothing is to stay behind a read that is DONTCACHE. */
static void read_window(struct reader *r, int64_t pos, uint64_t want)
{
	uint64_t len = iomapi_min(want, (uint64_t)MAX_READAHEAD);

	if (!(r->op_flags & IOMAP_DONTCACHE) && (!pos || cached(r->inode, pos - 1)))
		len = iomapi_max(len, (uint64_t)READAHEAD);
	(void)readahead(r->inode, &pos, iomapi_end(pos, len), r->ops, r->read_ops, r->op_flags,
			r->priv);
}

/* Folios that are locked by reads are in nobody's count: so wait a little, driving all I/O. */
int iomapi_wait_for_memory(struct iomap_inode *inode)
{
	struct iomap_cache *cache = iomapi_cache_of(inode);
	iomap_word seen = iomapi_load(&cache->room);
	int rc = iomapi_balance(inode, IOMAPI_PAGE, 0);

	if (rc)
		return rc;
	rc = iomap_env_wait(inode->env, &cache->room, seen, MEMORY_WAIT_NS);
	return rc == -ETIMEDOUT ? 0 : rc;
}

/* A locked folio at pos, made if need be. */
static int locked_folio(struct reader *r, int64_t pos, uint64_t want, struct iomap_folio **folio)
{
	unsigned op_flags = IOMAP_WRITE | (r->op_flags & IOMAP_DONTCACHE);

	for (unsigned i = 0;; i++) {
		int rc = iomap_mapping_get_folio(r->inode, pos, want, op_flags, folio);

		if (rc != -ENOMEM || i == IOMAPI_MEMORY_TRIES)
			return rc;
		rc = iomapi_wait_for_memory(r->inode);
		if (rc)
			return rc;
	}
}

/* Fill the folio at pos and wait for it: 0, referenced, and [pos, pos + want) of it is there. */
static int fill_and_wait(struct reader *r, int64_t pos, uint64_t want, struct iomap_folio **out)
{
	struct iomap_folio *folio;
	int rc = locked_folio(r, pos, want, &folio);

	if (rc)
		return rc;
	if (!range_uptodate(folio, pos, want)) {
		rc = iomapi_read_folio(folio, r->ops, r->read_ops, r->priv);
		iomap_folio_lock(folio);
		rc = rc ? rc : iomapi_cached(folio)->read_error;
	}
	iomap_folio_unlock(folio);
	if (range_uptodate(folio, pos, want)) {
		*out = folio;
		return 0;
	}
	iomap_folio_put(folio);
	return rc ? rc : -EIO;
}

static int ready_folio(struct reader *r, int64_t pos, uint64_t want, struct iomap_folio **out)
{
	struct iomap_folio *folio = iomapi_mapping_find(r->inode, pos);

	if (!folio && !(r->op_flags & IOMAP_NOWAIT)) {
		read_window(r, pos, want);
		folio = iomapi_mapping_find(r->inode, pos);
	}
	if (folio && range_uptodate(folio, pos, want)) {
		*out = folio;
		return 0;
	}
	if (folio)
		iomap_folio_put(folio);
	if (r->op_flags & IOMAP_NOWAIT)
		return -EAGAIN;
	/* the folio's lock is the read's until it is over */
	return fill_and_wait(r, pos, want, out);
}

/* It was read.  What a DONTCACHE read brought in goes, unless somebody else came for it. */
static void release(struct reader *r, struct iomap_folio *folio)
{
	if (r->op_flags & IOMAP_DONTCACHE) {
		iomapi_folio_put_behind(r->inode, folio);
		return;
	}
	iomapi_folio_wanted(folio);
	iomap_folio_put(folio);
}

/* One folio's worth: bytes, 0 at the end of the file or where the user's memory ends. */
static int64_t read_some(struct reader *r, int64_t pos, struct iomap_data *data)
{
	int64_t size = iomap_inode_size(r->inode);
	struct iomap_env *env = r->inode->env;
	struct iomap_folio *folio;
	size_t off, len, done;
	int rc;

	if (pos >= size)
		return 0;
	rc = ready_folio(r, pos, iomapi_min((uint64_t)data->left, (uint64_t)(size - pos)), &folio);
	if (rc)
		return rc;
	/* again: what a truncate has cut off meanwhile is not the file's; but of what came to it
	 * nobody knows yet whether it is there */
	size = iomapi_min(size, iomap_inode_size(r->inode));
	off = (size_t)(pos - folio->pos);
	len = iomapi_min(folio->size - off, data->left);
	len = pos < size ? (size_t)iomapi_min((uint64_t)len, (uint64_t)(size - pos)) : 0;
	done = iomap_data_copy(env, data, (char *)folio->mem + off, len, true);
	if (!done && len && iomapi_data_can_prefault(env, data) &&
	    iomapi_data_prefault(env, data, len, true))
		done = iomap_data_copy(env, data, (char *)folio->mem + off, len, true);
	release(r, folio);
	return done || !len ? (int64_t)done : -EFAULT;
}

IOMAP_API int64_t iomap_file_buffered_read(struct iomap_req *req, struct iomap_data *data,
					   const struct iomap_ops *ops,
					   const struct iomap_read_ops *read_ops, void *priv)
{
	int64_t pos, n = iomapi_req_check(req, data);
	struct reader r;

	if (n)
		return n;
	if (read_ops && !read_ops_ok(read_ops))
		return -EINVAL;
	r = (struct reader){
		.inode = req->file->inode, .ops = ops, .read_ops = read_ops, .priv = priv,
		.op_flags = (req->flags & IOMAP_REQ_NOWAIT ? IOMAP_NOWAIT : 0) |
			    (req->flags & IOMAP_REQ_DONTCACHE ? IOMAP_DONTCACHE : 0),
	};
	pos = req->pos;
	while (data->left) {
		n = read_some(&r, pos, data);
		if (n <= 0)
			break;
		pos += n;
	}
	if (pos == req->pos)
		return n;
	n = pos - req->pos;
	req->pos = pos;
	return n;
}
