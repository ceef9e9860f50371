/* SPDX-License-Identifier: MIT */
/*
 * buffered/write.c - copying the user's bytes into the cache.
 *
 * A request goes in steps of at most STEP bytes, each a begin-end loop of its own: the room for its
 * dirty bytes is waited for before begin, so that nothing between begin and end waits for writeback
 * (I47).  Inside a map one folio is written at a time:
 *
 *	prefault the user's memory		no lock (I41)
 *	get_folio				locked, referenced
 *	is the map still true?			no: put, stale, ask again (I37)
 *	blocks written in part: read or zero	from the source map (I35)
 *	copy					short: perhaps nothing counts (I38)
 *	blocks uptodate, copied ones dirty
 *	size up					before the folio is unlocked (I42)
 *	put_folio				unlocks, drops: once, whatever happened (I46)
 *
 * A block that is zeroed for its rest is zeroed whole: if the copy then fails, no byte of it is
 * anything else.  After a copy that does not count the next try asks for what could be copied, or
 * for half; a user's memory that stays away ends the request (I39).
 *
 * Durability is the caller's: it holds the I/O lock, under which a sync must not wait for others.
 *
 * Threads: the caller's, I/O lock exclusive.
 */
#include "buffered/buffered.h"

#include <string.h>

#include <iomap/cache.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/log.h"
#include "cache/cache.h"
#include "inode/inode.h"

#define MIN_CHUNK	4096u		/* a copy is not asked for less, unless less can come */
#define MAX_STUCK	16		/* tries of one place without a byte */

struct writer {
	struct iomapi_edit edit;
	struct iomap_inode *inode;
	struct iomap_env *env;
	struct iomap_data *data;
	const struct iomap_ops *ops;
	void *priv;
	size_t chunk;			/* bytes to try at once */
	unsigned stuck;
};

/* ---- one folio ---- */

/*
 * A short copy into a folio that is not all there.  In fresh blocks it is as nothing (I38).  But
 * bytes that came into a block with a content are in the file already, for whoever reads it: they
 * count, and with them all before, up to a block that had no content and did not get all of it.
 */
static size_t short_copied(struct iomap_folio *folio, size_t off, size_t copied, size_t mask)
{
	size_t end = off + copied, last = (end - 1) & ~mask;
	bool any = false;

	for (size_t at = off & ~mask; at < end && !any; at += mask + 1)
		any = iomapi_folio_block_uptodate(folio, at);
	if (!any)
		return 0;
	if (!(end & mask) || iomapi_folio_block_uptodate(folio, last))
		return copied;
	return last - off;
}

/* How many of the copied bytes count. */
static size_t copied_into(struct writer *w, struct iomap_iter *iter, struct iomap_folio *folio,
			  size_t off, size_t len, size_t copied)
{
	size_t mask = ((size_t)1 << w->inode->block_bits) - 1;

	/* somewhere behind the last byte may be a block that nobody filled */
	if (copied && copied < len && iter->iomap.type != IOMAP_INLINE &&
	    !(iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE))
		copied = short_copied(folio, off, copied, mask);
	iomapi_edit_commit(iter, folio, off, copied);
	return copied;
}

static void raise_size(struct writer *w, struct iomap_iter *iter, size_t copied)
{
	int64_t end = iter->pos + (int64_t)copied;

	if (!copied || end <= iomap_inode_size(w->inode))
		return;
	iomap_inode_set_size(w->inode, end);
	iter->iomap.flags |= IOMAP_F_SIZE_CHANGED;
	if (w->inode->ops->dirty_inode)
		w->inode->ops->dirty_inode(w->inode, IOMAP_DIRTY_SIZE);
}

/* Nothing counted: the next try is smaller, or there is none. */
static int shrink(struct writer *w, size_t copied)
{
	if (!copied && !iomapi_data_can_prefault(w->env, w->data))
		return -EFAULT;
	if (++w->stuck > MAX_STUCK)
		return -EFAULT;
	w->chunk = copied ? copied : iomapi_max(w->chunk / 2, (size_t)MIN_CHUNK);
	return 0;
}

/* Bytes written to one folio; 0: go round again, perhaps with another map. */
static int64_t write_folio(struct writer *w, struct iomap_iter *iter)
{
	size_t len = (size_t)iomapi_min(iomap_length(iter), (uint64_t)w->chunk);
	size_t off, copied, counted;
	struct iomap_folio *folio;
	int rc;

	len = iomapi_data_prefault(w->env, w->data, len, false);
	if (!len)
		return -EFAULT;
	rc = iomapi_edit_get(&w->edit, iter, len, true, &folio);
	if (rc)
		return rc;
	off = (size_t)(iter->pos - folio->pos);
	len = iomapi_min(len, folio->size - off);
	rc = iomapi_edit_allowed(&w->edit, iter, folio) ?
		     iomapi_edit_prepare(&w->edit, iter, folio, off, len) : 1;
	if (rc) {
		iomapi_edit_put(&w->edit, iter->pos, 0, folio);
		return rc > 0 ? 0 : rc;
	}
	copied = iomap_data_copy(w->env, w->data, (char *)folio->mem + off, len, false);
	counted = copied_into(w, iter, folio, off, len, copied);
	iomap_data_rewind(w->data, copied - counted);
	raise_size(w, iter, counted);
	iomapi_edit_put(&w->edit, iter->pos, counted, folio);
	if (!counted)
		return shrink(w, copied);
	w->stuck = 0;
	w->chunk = IOMAPI_MAX_FOLIO;
	return (int64_t)counted;
}

static int write_map(struct writer *w, struct iomap_iter *iter)
{
	while (iomap_length(iter)) {
		int64_t n = write_folio(w, iter);
		int rc;

		if (n < 0)
			return (int)n;
		if (!n && (w->edit.unstable || (iter->iomap.flags & IOMAP_F_STALE)))
			return 0;
		rc = iomap_iter_advance(iter, (uint64_t)n);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- around the maps ---- */

static bool is_zero(const char *mem, size_t len)
{
	return !len || (!*mem && !memcmp(mem, mem + 1, len - 1));
}

/* Folio locked.  What is zero already, as after each writeback, is not stored to again.  -EBUSY: it
 * may not change before its writeback is over. */
static int clear_tail(struct writer *w, struct iomap_folio *folio, int64_t size)
{
	char *tail = (char *)folio->mem + (size - folio->pos);
	size_t len = folio->size - (size_t)(size - folio->pos);

	if (!iomapi_folio_attached(folio) || folio->pos >= size || is_zero(tail, len))
		return 0;
	if ((w->inode->flags & IOMAP_INODE_STABLE) &&
	    (iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK))
		return -EBUSY;
	memset(tail, 0, len);
	return 0;
}

/* The block in which the file ended is about to lie inside it: what a mapped store left behind the
 * old end must not come to light (I44). */
static int zero_old_tail(struct writer *w, int64_t pos)
{
	int64_t size = iomap_inode_size(w->inode);
	bool nowait = w->edit.op_flags & IOMAP_NOWAIT;
	struct iomap_folio *folio;
	int rc = -EBUSY;

	if (pos <= size)
		return 0;
	folio = iomapi_mapping_find(w->inode, size);
	if (!folio)
		return 0;
	while (rc == -EBUSY) {
		if (nowait && !iomap_folio_trylock(folio)) {
			rc = -EAGAIN;
			break;
		}
		if (!nowait)
			iomap_folio_lock(folio);
		rc = clear_tail(w, folio, size);
		iomap_folio_unlock(folio);
		if (rc && nowait)
			rc = -EAGAIN;
		else if (rc && iomap_folio_wait_writeback(folio, IOMAP_FOREVER))
			rc = -EDEADLK;	/* in a callback: a write is no business there */
	}
	iomap_folio_put(folio);
	return rc;
}

/* Folios that a failed write made behind the end of the file.  Inside the file nothing is dropped,
 * and nothing that is dirty anywhere (I45); a folio over the end stays. */
static void drop_beyond_size(struct writer *w, int64_t end)
{
	int64_t start = iomap_inode_size(w->inode);
	struct iomap_folio *folio = iomapi_mapping_find(w->inode, start);

	if (folio) {
		if (folio->pos < start)
			start = iomapi_end(folio->pos, folio->size);
		iomap_folio_put(folio);
	}
	/* it is a courtesy: who must not wait, or cannot have the lock, leaves them to reclaim */
	if (start >= end || (w->edit.op_flags & IOMAP_NOWAIT) ||
	    iomap_inode_invalidate_lock(w->inode, IOMAP_LOCK_NOWAIT))
		return;
	(void)iomap_mapping_invalidate_range(w->inode, start, end);
	iomap_inode_invalidate_unlock(w->inode);
}

/* One begin-end loop; *n: how far it came.  The user's cursor stands where the progress ends, even
 * if a failed end took some of it back (H7). */
static int write_step(struct writer *w, int64_t pos, size_t len, int64_t *n)
{
	struct iomap_iter iter = {
		.inode = w->inode, .pos = pos, .len = len, .flags = w->edit.op_flags,
		.private_data = w->priv,
	};
	size_t left = w->data->left;
	int rc;

	while ((rc = iomap_iter(&iter, w->ops)) > 0)
		iter.status = write_map(w, &iter);
	*n = iter.pos - pos;
	iomap_data_rewind(w->data, left - w->data->left - (size_t)*n);
	return rc;
}

/* Who may not wait gets one map for all or none; others stay close to the limit.  A step does not
 * end inside a block: the next one would have to read what it overwrites. */
static size_t next_step(const struct writer *w, int64_t pos, size_t left)
{
	const struct iomap_cache *cache = iomapi_cache_of(w->inode);
	uint64_t step = iomapi_edit_bytes(w->inode), unit, end;

	if (w->edit.op_flags & IOMAP_NOWAIT)
		return left;
	if (left <= step)
		return left;
	unit = iomapi_max(1ull << w->inode->block_bits, (uint64_t)IOMAPI_PAGE);
	if (step >= 2 * (uint64_t)cache->max_folio)
		unit = cache->max_folio;
	end = iomapi_round_down((uint64_t)pos + step, unit);
	if (end <= (uint64_t)pos)	/* a block is dirty as a whole anyway */
		end = iomapi_round_up((uint64_t)pos + 1, unit);
	return iomapi_min((size_t)(end - (uint64_t)pos), left);
}

static int64_t write_all(struct writer *w, int64_t start, size_t len)
{
	unsigned nowait = w->edit.op_flags & IOMAP_NOWAIT, tries = 0;
	int64_t pos = start, n;
	int rc = zero_old_tail(w, start);

	while (!rc && pos - start < (int64_t)len) {
		size_t step = next_step(w, pos, len - (size_t)(pos - start));

		rc = iomapi_edit_wait(&w->edit);
		if (!rc)
			rc = iomapi_balance(w->inode, step, nowait);
		if (rc)
			break;
		rc = write_step(w, pos, step, &n);
		pos += n;
		tries = n ? 0 : tries + 1;
		if (rc == -ENOMEM && w->edit.no_folio && !nowait && tries < IOMAPI_MEMORY_TRIES)
			rc = iomapi_wait_for_memory(w->inode);
		else if (!n && !rc && !w->edit.unstable)
			break;
		w->edit.no_folio = false;
	}
	if (rc)
		drop_beyond_size(w, start + (int64_t)len);
	return pos > start ? pos - start : rc;
}

IOMAP_API int64_t iomap_file_buffered_write(struct iomap_req *req, struct iomap_data *data,
					    const struct iomap_ops *ops,
					    const struct iomap_write_ops *write_ops, void *priv)
{
	int64_t rc = iomapi_req_check(req, data), pos;
	struct writer w;
	size_t len;

	if (rc)
		return rc;
	if (!iomapi_write_ops_ok(write_ops))
		return -EINVAL;
	len = data->left;
	if (!len)
		return 0;
	w = (struct writer){
		.inode = req->file->inode, .env = req->file->inode->env, .data = data, .ops = ops,
		.priv = priv, .chunk = IOMAPI_MAX_FOLIO,
	};
	iomapi_edit_init(&w.edit, w.inode, write_ops,
			 IOMAP_WRITE | (req->flags & IOMAP_REQ_NOWAIT ? IOMAP_NOWAIT : 0) |
			 (req->flags & IOMAP_REQ_DONTCACHE ? IOMAP_DONTCACHE : 0));
	pos = req->flags & IOMAP_REQ_APPEND ? iomap_inode_size(w.inode) : req->pos;
	if (pos >= IOMAP_MAX_POS)
		return -EFBIG;
	len = (size_t)iomapi_min((uint64_t)len, (uint64_t)(IOMAP_MAX_POS - pos));
	rc = write_all(&w, pos, len);
	if (rc > 0)
		req->pos = pos + rc;
	return rc;
}
