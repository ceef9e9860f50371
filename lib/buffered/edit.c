/* SPDX-License-Identifier: MIT */
/*
 * buffered/edit.c - changing folios of the cache: what write, zero and unshare have in common.
 *
 * One folio at a time, inside a map:
 *
 *	get		locked, referenced; the client's own way if it has one
 *	allowed		is the map still true, may the folio change just now?
 *	prepare		blocks that change in part: read or zeroed, from the source map
 *	(change it)
 *	commit		blocks uptodate and dirty; inline data go back to the inode
 *	put		unlocks and drops: once, whatever happened (I46)
 *
 * Nothing between begin and end waits for writeback.  Who has to wait (for room, for a folio of a
 * STABLE inode, for memory) says so in the edit, ends its map and waits before the next begin.
 *
 * A pass takes a range that way from end to end, for those who bring no bytes of a user.  Its steps
 * are begin-end loops of their own, and end early, at a pause: when enough has become dirty, when
 * the body has to wait.
 *
 * Threads: an edit belongs to the operation that it is part of.
 */
#include "buffered/buffered.h"

#include <string.h>

#include <iomap/cache.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/log.h"
#include "cache/cache.h"
#include "inode/inode.h"
#include "map/map.h"

#define STEP		(256u << 10)	/* dirty bytes between two looks at the limit, at most */
#define MIN_STEP	(16u << 10)

bool iomapi_write_ops_ok(const struct iomap_write_ops *ops)
{
	/* a folio of the client's own comes and goes by its hands */
	return !ops ||
	       (ops->struct_size >= sizeof(*ops) && (!ops->get_folio || ops->put_folio));
}

void iomapi_edit_init(struct iomapi_edit *e, struct iomap_inode *inode,
		      const struct iomap_write_ops *wops, unsigned op_flags)
{
	static const struct iomap_write_ops none = { .struct_size = sizeof(none) };

	*e = (struct iomapi_edit){
		.inode = inode, .wops = wops ? wops : &none, .op_flags = op_flags,
	};
}

/* ---- one folio ---- */

static int clients_folio(struct iomapi_edit *e, struct iomap_iter *iter, size_t len,
			 struct iomap_folio **folio)
{
	struct iomap_folio *f = NULL;
	int rc = e->wops->get_folio(iter, iter->pos, len, &f);

	if (rc < 0)
		return rc;
	*folio = f;
	if (!rc && f && f->inode == e->inode && (iomap_folio_flags(f) & IOMAP_FOLIO_LOCKED) &&
	    f->pos <= iter->pos && iter->pos - f->pos < (int64_t)f->size)
		return 0;
	iomapi_report(e->inode->env, .rule = "I46", .callback = "get_folio", .field = "folio",
		      .value = f ? (uint64_t)f->pos : 0, .bound = (uint64_t)iter->pos,
		      .inode = e->inode, .pos = iter->pos,
		      .text = "0 and a locked folio of the file that contains the position");
	if (!rc && f)
		e->wops->put_folio(e->inode, iter->pos, 0, f);
	return -EIO;
}

int iomapi_edit_get(struct iomapi_edit *e, struct iomap_iter *iter, size_t len, bool make,
		    struct iomap_folio **folio)
{
	unsigned op_flags = e->op_flags & ~(unsigned)IOMAP_WRITE;
	int rc;

	if (e->wops->get_folio)
		rc = clients_folio(e, iter, len, folio);
	else
		rc = iomap_mapping_get_folio(e->inode, iter->pos, len,
					     op_flags | (make ? IOMAP_WRITE : 0), folio);
	e->no_folio = rc == -ENOMEM;
	return rc;
}

void iomapi_edit_put(struct iomapi_edit *e, int64_t pos, uint64_t copied,
		     struct iomap_folio *folio)
{
	if (e->wops->put_folio) {
		e->wops->put_folio(e->inode, pos, copied, folio);
		return;
	}
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

bool iomapi_edit_allowed(struct iomapi_edit *e, struct iomap_iter *iter, struct iomap_folio *folio)
{
	if (e->wops->iomap_valid && !e->wops->iomap_valid(e->inode, &iter->iomap)) {
		iter->iomap.flags |= IOMAP_F_STALE;
		return false;
	}
	if ((e->inode->flags & IOMAP_INODE_STABLE) &&
	    (iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK)) {
		e->unstable = true;
		e->unstable_pos = iter->pos;
		return false;
	}
	return true;
}

int iomapi_edit_read(struct iomapi_edit *e, const struct iomap_iter *iter,
		     struct iomap_folio *folio, size_t off, size_t len)
{
	int64_t pos = folio->pos + (int64_t)off;
	int rc;

	if (e->wops->read_folio_range)
		rc = e->wops->read_folio_range(iter, folio, pos, len);
	else
		rc = iomapi_bio_read_sync(iomap_iter_srcmap(iter), folio, pos, len);
	return iomapi_answer(e->inode->env, rc, .rule = "I35", .callback = "read_folio_range",
			     .inode = e->inode, .pos = pos);
}

int iomapi_edit_fill(struct iomapi_edit *e, const struct iomap_iter *iter,
		     struct iomap_folio *folio, size_t off)
{
	const struct iomap *src = iomap_iter_srcmap(iter);
	size_t block = (size_t)1 << e->inode->block_bits;
	int64_t pos = folio->pos + (int64_t)off;
	int rc = 0;

	if (iomapi_folio_block_uptodate(folio, off))
		return 0;
	if (iomapi_block_is_zeros(src, pos, iomap_inode_size(e->inode)))
		memset((char *)folio->mem + off, 0, block);
	else if (e->op_flags & IOMAP_NOWAIT)
		return -EAGAIN;
	else
		rc = iomapi_edit_read(e, iter, folio, off, block);
	if (!rc)
		iomapi_folio_set_uptodate(folio, off, block);
	return rc;
}

int iomapi_edit_prepare(struct iomapi_edit *e, const struct iomap_iter *iter,
			struct iomap_folio *folio, size_t off, size_t len)
{
	size_t mask = ((size_t)1 << e->inode->block_bits) - 1;
	size_t first = off & ~mask, last = (off + len) & ~mask;
	int rc;

	if (iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE)
		return 0;
	if (iter->iomap.type == IOMAP_INLINE)
		return iomapi_read_inline(&iter->iomap, folio, iomap_inode_size(e->inode));
	if (len == folio->size)
		return 0;
	rc = iomapi_folio_state_attach(folio);
	if (rc)
		return e->op_flags & IOMAP_NOWAIT ? -EAGAIN : rc;
	if (off & mask)
		rc = iomapi_edit_fill(e, iter, folio, first);
	if (!rc && ((off + len) & mask) && (last != first || !(off & mask)))
		rc = iomapi_edit_fill(e, iter, folio, last);
	return rc;
}

/* The inode's memory behind the end of the file may hold anything; in the folio it is zeros.  What
 * now comes to lie inside the file goes along. */
static void commit_inline(struct iomap_iter *iter, struct iomap_folio *folio, size_t off,
			  size_t len)
{
	int64_t end = iomapi_max(iomap_inode_size(iter->inode), folio->pos), pos = iter->pos;
	const struct iomap *map = &iter->iomap;
	size_t gap = end < pos ? (size_t)(pos - iomapi_max(end, map->offset)) : 0;

	memcpy((char *)map->inline_data + (pos - map->offset) - gap,
	       (char *)folio->mem + off - gap, gap + len);
	if (iter->inode->ops->dirty_inode)
		iter->inode->ops->dirty_inode(iter->inode, IOMAP_DIRTY_INLINE);
}

void iomapi_edit_commit(struct iomap_iter *iter, struct iomap_folio *folio, size_t off, size_t len)
{
	size_t mask = ((size_t)1 << iter->inode->block_bits) - 1;

	if (!len)
		return;
	if (iter->iomap.type == IOMAP_INLINE) {
		commit_inline(iter, folio, off, len);
		return;
	}
	iomapi_folio_set_uptodate(folio, off & ~mask,
				  ((off + len + mask) & ~mask) - (off & ~mask));
	iomap_folio_mark_dirty(folio, off, len);
}

/* ---- between two maps ---- */

int iomapi_edit_wait(struct iomapi_edit *e)
{
	struct iomap_folio *folio;
	int rc = 0;

	if (!e->unstable)
		return 0;
	e->unstable = false;
	if (e->op_flags & IOMAP_NOWAIT)
		return -EAGAIN;
	folio = iomapi_mapping_find(e->inode, e->unstable_pos);
	if (folio) {
		rc = iomap_folio_wait_writeback(folio, IOMAP_FOREVER);
		iomap_folio_put(folio);
	}
	return rc;
}

size_t iomapi_edit_bytes(struct iomap_inode *inode)
{
	uint64_t bytes = iomapi_max(iomapi_cache_of(inode)->dirty_limit / 4, (uint64_t)MIN_STEP);

	return (size_t)iomapi_min(bytes, (uint64_t)STEP);
}

/* ---- a range, in steps ---- */

int iomapi_pass_init(struct iomapi_pass *p, struct iomap_inode *inode, int64_t pos, uint64_t len,
		     const struct iomap_write_ops *wops, unsigned op_flags)
{
	if (pos < 0 || !iomapi_cache_of(inode) || !iomapi_write_ops_ok(wops))
		return -EINVAL;
	if (len > (uint64_t)(IOMAP_MAX_POS - pos))
		return -EFBIG;
	if (iomapi_inode_killed(inode))
		return -ESTALE;
	p->pos = pos;
	p->end = pos + (int64_t)len;
	iomapi_edit_init(&p->edit, inode, wops, op_flags);
	return 0;
}

void iomapi_pass_pause(struct iomapi_pass *p, struct iomap_iter *iter)
{
	p->paused = true;
	iter->len = 0;
}

/* The folio is locked.  > 0: not now. */
static int change(struct iomapi_pass *p, struct iomap_iter *iter, struct iomap_folio *folio,
		  const struct iomap_folio *only, size_t off, size_t len)
{
	if (only && folio != only) {
		iter->iomap.flags |= IOMAP_F_STALE;
		return 1;
	}
	if (!iomapi_edit_allowed(&p->edit, iter, folio))
		return 1;
	return p->change(p, iter, folio, off, len);
}

int iomapi_pass_folio(struct iomapi_pass *p, struct iomap_iter *iter,
		      const struct iomap_folio *only)
{
	uint64_t left = iomap_length(iter);
	struct iomap_folio *folio;
	size_t off, len;
	int rc;

	rc = iomapi_edit_get(&p->edit, iter, (size_t)iomapi_min(left, (uint64_t)p->budget), !only,
			     &folio);
	if (rc == -ENOENT && only) {
		iter->iomap.flags |= IOMAP_F_STALE;
		return 0;
	}
	if (rc)
		return rc;
	off = (size_t)(iter->pos - folio->pos);
	len = (size_t)iomapi_min(left, (uint64_t)folio->size - off);
	rc = change(p, iter, folio, only, off, len);
	if (!rc)
		iomapi_edit_commit(iter, folio, off, len);
	iomapi_edit_put(&p->edit, iter->pos, rc ? 0 : len, folio);
	if (!rc) {
		rc = iomap_iter_advance(iter, len);
		p->budget -= iomapi_min(len, p->budget);
	}
	if (p->edit.unstable || !p->budget)
		iomapi_pass_pause(p, iter);
	return rc < 0 ? rc : 0;
}

int iomapi_pass_folios(struct iomapi_pass *p, struct iomap_iter *iter)
{
	int rc = 0;

	while (!rc && iomap_length(iter) && !(iter->iomap.flags & IOMAP_F_STALE))
		rc = iomapi_pass_folio(p, iter, NULL);
	return rc;
}

int iomapi_pass_step(struct iomapi_pass *p)
{
	struct iomap_inode *inode = p->edit.inode;
	struct iomap_iter iter = {
		.inode = inode, .pos = p->pos, .len = (uint64_t)(p->end - p->pos),
		.flags = p->edit.op_flags, .private_data = p->priv,
	};
	int rc = iomapi_edit_wait(&p->edit);
	bool moved;

	p->budget = iomapi_edit_bytes(inode);
	p->paused = p->edit.no_folio = false;
	if (!rc)
		rc = iomapi_balance(inode, p->budget, 0);
	if (rc)
		return rc;
	iomapi_iter_bring_batch(&iter, p->room);
	while ((rc = iomap_iter(&iter, p->ops)) > 0)
		iter.status = p->body(p, &iter);
	moved = iter.pos > p->pos;
	p->pos = iter.pos;
	p->tries = moved ? 0 : p->tries + 1;
	if (rc == -ENOMEM && p->edit.no_folio && p->tries < IOMAPI_MEMORY_TRIES)
		return iomapi_wait_for_memory(inode);
	iomapi_assert(rc || moved || p->paused);
	return rc;
}
