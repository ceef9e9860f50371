/* SPDX-License-Identifier: MIT */
/*
 * inode/volume.c - all inodes of one engine, and the sync of everything.
 *
 * The sync walks the list three times: start writeback of every inode, wait for it, flush the
 * devices; the client's metadata are committed between the last two.  An inode that is being looked
 * at is pinned (fini waits) and, where the client counts references, got and put around it; the
 * list's lock is not held meanwhile.  Whoever joins during the walk may be missed: it was dirtied
 * after the call.
 *
 * Every error of every inode is in the volume's own errseq too, so that the whole-sync cursor
 * and the handles' cursors do not clear each other (O15).
 *
 * A dead volume is one atomic word that whoever is about to map, to send or to wait looks at.  The
 * inodes' errors come after the word, and no other comes after them:
 *
 *	shutdown				end of an ioend, say
 *	dead = error
 *						set_error: dead, nothing is added
 *	each inode is told
 *	who waits for room or ioends wakes
 *
 * A device is flushed as long as an inode names it or has written to it; ops->bdev names the
 * others, those whose inodes have all been evicted among them.
 *
 * Threads: any; two syncs of one volume walk side by side, and one of them reports an error.
 */
#include "inode/inode.h"

#include <limits.h>

#include <iomap/bdev.h>

#include "base/log.h"
#include "block/block.h"

#define NR_FLUSHED 16	/* devices remembered as flushed by this sync; more are asked again */

IOMAP_API int iomap_volume_new(struct iomap_env *env, struct iomap_cache *cache,
			       const struct iomap_volume_ops *ops, void *owner,
			       struct iomap_volume **volume)
{
	struct iomap_volume *v;

	if (!env || !volume || !ops || ops->struct_size < sizeof(*ops) || !ops->sync_metadata ||
	    (cache && cache->env != env))
		return -EINVAL;
	if (iomapi_forked(env))
		return -ECHILD;
	v = iomapi_zalloc(env, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->env = env;
	v->cache = cache;
	v->ops = ops;
	v->owner = owner;
	iomap_mutex_init(&v->lock, IOMAPI_RANK_INODES);
	iomap_list_init(&v->inodes);
	iomapi_env_hold(env);
	*volume = v;
	return 0;
}

IOMAP_API void iomap_volume_delete(struct iomap_volume **volume)
{
	struct iomap_volume *v = *volume;

	if (!v)
		return;
	iomapi_assert(iomap_list_empty(&v->inodes));
	iomapi_earlier_volume_gone(v);
	iomapi_env_release(v->env);
	iomapi_free(v->env, v, sizeof(*v));
	*volume = NULL;
}

IOMAP_API void *iomap_volume_owner(const struct iomap_volume *volume)
{
	return volume->owner;
}

void iomapi_volume_join(struct iomap_volume *volume, struct iomap_inode *inode)
{
	iomap_mutex_lock(volume->env, &volume->lock);
	iomap_list_add_tail(&volume->inodes, &iomapi_inode(inode)->in_volume);
	iomap_mutex_unlock(volume->env, &volume->lock);
}

void iomapi_volume_leave(struct iomap_volume *volume, struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	iomap_word pins;

	/* A pinned inode is where a walk stands: it leaves the list when the walk has moved on. */
	iomap_mutex_lock(volume->env, &volume->lock);
	while ((pins = iomapi_load(&in->pins))) {
		iomap_mutex_unlock(volume->env, &volume->lock);
		iomap_env_wait(volume->env, &in->pins, pins, IOMAP_FOREVER);
		iomap_mutex_lock(volume->env, &volume->lock);
	}
	iomap_list_del(&in->in_volume);
	iomap_mutex_unlock(volume->env, &volume->lock);
}

/* The next one that can be had, pinned; NULL at the end.  The last one (NULL: begin) is let go. */
static struct iomap_inode *next_inode(struct iomap_volume *v, struct iomap_inode *last)
{
	struct iomap_list *l = last ? &iomapi_inode(last)->in_volume : &v->inodes;
	void (*put)(struct iomap_inode *inode) = NULL;
	struct iomap_inode *next = NULL;

	iomap_mutex_lock(v->env, &v->lock);
	while (!next && (l = l->next) != &v->inodes) {
		struct iomapi_inode *in = iomap_container_of(l, struct iomapi_inode, in_volume);

		next = iomapi_inode_public(in);
		if (next->ops->tryget && !next->ops->tryget(next))
			next = NULL;
		else
			iomapi_add(&in->pins, 1);
	}
	if (last) {
		put = last->ops->tryget ? last->ops->put : NULL;
		iomapi_sub(&iomapi_inode(last)->pins, 1);
	}
	iomap_mutex_unlock(v->env, &v->lock);
	if (last)	/* without a reference it may be gone: only the word's address is used */
		iomap_env_wake(v->env, &iomapi_inode(last)->pins, UINT_MAX);
	if (put)
		put(last);
	return next;
}

void iomapi_volume_tell(struct iomap_volume *volume, int error)
{
	if (!volume)
		return;
	iomapi_errseq_set(&volume->errseq, error);
	iomapi_add(&volume->errors, 1);
}

IOMAP_API int iomap_volume_error(const struct iomap_volume *volume)
{
	return volume ? iomapi_load(&volume->dead) : 0;
}

/* Whose wait looks at the volume's word looks again. */
static void wake_waiters(struct iomap_volume *v)
{
	if (v->cache)
		iomapi_cache_wake_for_room(v->cache);
	iomapi_bio_pool_look_again(iomap_ioend_bio_pool(v->env));
}

IOMAP_API void iomap_volume_shutdown(struct iomap_volume *volume, int error)
{
	int32_t none = 0;
	struct iomap_list *l;

	if (!iomapi_cas(&volume->dead, &none, error < 0 ? error : -EIO))
		return;
	error = volume->dead;
	iomap_mutex_lock(volume->env, &volume->lock);
	iomapi_errseq_set(&volume->errseq, error);
	iomapi_list_for_each(l, &volume->inodes)
		iomapi_inode_tell(iomapi_inode_public(iomap_container_of(l, struct iomapi_inode,
									 in_volume)), error);
	iomap_mutex_unlock(volume->env, &volume->lock);
	wake_waiters(volume);
}

static int start_writeback(struct iomap_inode *inode)
{
	if ((inode->flags & IOMAP_INODE_FRAMES) || iomapi_inode_killed(inode))
		return 0;
	return iomapi_inode_write_range(inode, 0, IOMAP_MAX_POS);
}

static int wait_writeback(struct iomap_inode *inode)
{
	if (inode->flags & IOMAP_INODE_FRAMES)
		return iomap_inode_wait_wb(inode, iomap_inode_wb_seq(inode), IOMAP_FOREVER);
	return iomap_mapping_wait_range(inode, 0, IOMAP_MAX_POS);
}

static int for_each_inode(struct iomap_volume *v, int (*fn)(struct iomap_inode *inode))
{
	struct iomap_inode *inode = NULL;
	int first = 0;

	while ((inode = next_inode(v, inode))) {
		int rc = fn(inode);

		if (!first)
			first = rc;
	}
	return first;
}

struct flushed {
	struct iomap_bdev *bdevs[NR_FLUSHED];
	unsigned nr;
};

/* All writes that count have completed: once per device is enough, with a ticket for all of them,
 * for the next inode may have written later than this one. */
static int flush_once(struct flushed *f, struct iomap_bdev *bdev)
{
	for (unsigned i = 0; i < iomapi_min(f->nr, NR_FLUSHED); i++)
		if (f->bdevs[i] == bdev)
			return 0;
	f->bdevs[f->nr++ % NR_FLUSHED] = bdev;
	return iomap_bdev_flush(bdev, iomap_bdev_write_seq(bdev));
}

static int flush_devices(struct iomap_volume *v)
{
	struct flushed f = { .nr = 0 };
	struct iomap_inode *inode = NULL;
	struct iomap_bdev *bdev;
	int first = 0, rc;

	while ((inode = next_inode(v, inode))) {
		struct iomapi_written written[IOMAPI_INODE_DEVICES + 1];
		unsigned nr = iomapi_inode_written(inode, written);

		rc = iomapi_inode_all_known(inode);
		first = first ? first : rc;
		for (unsigned i = 0; i < nr; i++) {
			rc = flush_once(&f, written[i].bdev);
			first = first ? first : rc;
		}
	}
	for (unsigned i = 0; v->ops->bdev && (bdev = v->ops->bdev(v, i)); i++) {
		rc = flush_once(&f, bdev);
		first = first ? first : rc;
	}
	return first;
}

static int check_error(struct iomap_volume *v)
{
	iomap_word old, new;
	int rc;

	do {
		old = new = iomapi_load(&v->error_seen);
		rc = iomapi_errseq_check_and_advance(&v->errseq, &new);
	} while (new != old && !iomapi_cas(&v->error_seen, &old, new));
	return rc;
}

IOMAP_API int iomap_volume_sync(struct iomap_volume *volume)
{
	/* before the first write: it may be over, and have failed, before anybody waits for it */
	iomap_word errors = iomapi_load(&volume->errors);
	bool flushed = false;
	int rc, waited, seen;

	rc = iomap_volume_error(volume);
	if (!rc) {
		rc = for_each_inode(volume, start_writeback);
		waited = for_each_inode(volume, wait_writeback);
		rc = rc ? rc : waited;
	}
	if (!rc && iomapi_load(&volume->errors) != errors)
		rc = -EIO;		/* its number is in the cursor */
	if (!rc)
		rc = iomap_volume_error(volume);
	if (!rc) {
		rc = volume->ops->sync_metadata(volume, &flushed);
		rc = iomapi_answer(volume->env, rc, .rule = "H10", .callback = "sync_metadata");
	}
	if (!rc && !flushed)
		rc = flush_devices(volume);
	seen = check_error(volume);
	return seen ? seen : rc;
}
