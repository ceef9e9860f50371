/* SPDX-License-Identifier: MIT */
/*
 * inode/inode.c - the life of an inode, its locks, its size, its error, its ioends.
 *
 * The private part lies in the client's struct.  Who may touch what:
 *
 *	size			atomic; grows under the I/O lock (and the folio lock of the data)
 *	errseq, killed		atomic; any thread, end_io too
 *	inflight, wb_seq,	wb_lock, which end_io takes: a leaf
 *	deferred, written
 *	in_env, in_volume	the lock of that list
 *
 * An ioend is in inflight from its first range until iomapi_inode_ioend_end, in the order of the
 * numbers it got: everything at or before seq is over when the first one left is younger.  The end
 * of the last ioend may be the end of the inode: whoever waits looks under wb_lock, and whoever
 * leaves uses nothing but the address of the word it wakes after giving up that lock.
 *
 * Each environment keeps a list of all its inodes, so that a failed flush of a device finds those
 * who wrote to it since the last good one (H9).
 */
#include "inode/inode.h"

#include <limits.h>
#include <string.h>

#include <iomap/bdev.h>

#include "base/log.h"
#include "block/block.h"

#define MIN_BLOCK_BITS	9
#define MAX_BLOCK_BITS	21	/* the largest folio */
#define EVICT_TRIES	8

/* ---- time ---- */

int64_t iomapi_deadline(struct iomap_env *env, int64_t timeout_ns)
{
	int64_t now;

	if (timeout_ns <= 0)
		return timeout_ns;
	now = iomapi_now(env);
	return timeout_ns > INT64_MAX - now ? IOMAP_FOREVER : now + timeout_ns;
}

int64_t iomapi_time_left(struct iomap_env *env, int64_t deadline_ns)
{
	int64_t now;

	if (deadline_ns <= 0)
		return deadline_ns;
	now = iomapi_now(env);
	return now < deadline_ns ? deadline_ns - now : 0;
}

/* ---- all inodes of an environment ---- */

static int room_init(struct iomap_env *env, void **state)
{
	struct iomapi_inodes *all = iomapi_zalloc(env, sizeof(*all));

	if (!all)
		return -ENOMEM;
	iomap_mutex_init(&all->lock, IOMAPI_RANK_INODES);
	iomapi_list_init(&all->list);
	iomapi_list_init(&all->earlier);
	*state = all;
	return 0;
}

static void room_fini(struct iomap_env *env, void *state)
{
	struct iomapi_inodes *all = state;

	iomapi_assert(iomapi_list_empty(&all->list));
	iomapi_earlier_fini(env, all);
	iomapi_free(env, all, sizeof(*all));
}

bool iomapi_writes_since(const struct iomapi_writes *w, const struct iomap_bdev *bdev,
			 uint64_t since)
{
	bool yes = w->elsewhere;

	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++)
		yes |= w->to[i].bdev == bdev && w->to[i].seq > since;
	return yes;
}

static bool wrote_since(struct iomapi_inode *in, struct iomap_env *env,
			const struct iomap_bdev *bdev, uint64_t since)
{
	bool yes;

	iomapi_mutex_lock(env, &in->wb_lock);
	yes = iomapi_writes_since(&in->written, bdev, since);
	iomapi_mutex_unlock(env, &in->wb_lock);
	return yes;
}

static void room_flush_failed(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t since,
			      int error)
{
	struct iomapi_inodes *all = iomapi_room(env, IOMAPI_ROOM_INODE);
	struct iomap_list *l;

	iomap_mutex_lock(env, &all->lock);
	iomapi_list_for_each(l, &all->list) {
		struct iomapi_inode *in = iomap_container_of(l, struct iomapi_inode, in_env);

		if (wrote_since(in, env, bdev, since))
			iomap_inode_set_error(iomapi_inode_public(in), error);
	}
	iomapi_earlier_flush_failed(all, bdev, since, error);
	iomap_mutex_unlock(env, &all->lock);
}

void iomapi_writes_forget(struct iomapi_writes *w, struct iomap_bdev *bdev)
{
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++) {
		if (w->to[i].bdev != bdev)
			continue;
		w->elsewhere |= !iomapi_bdev_flushed(bdev, w->to[i].seq);
		w->to[i] = (struct iomapi_written){ 0 };
	}
}

static void room_bdev_gone(struct iomap_env *env, struct iomap_bdev *bdev)
{
	struct iomapi_inodes *all = iomapi_room(env, IOMAPI_ROOM_INODE);
	struct iomap_list *l;

	iomap_mutex_lock(env, &all->lock);
	iomapi_list_for_each(l, &all->list) {
		struct iomapi_inode *in = iomap_container_of(l, struct iomapi_inode, in_env);

		iomapi_mutex_lock(env, &in->wb_lock);
		iomapi_writes_forget(&in->written, bdev);
		iomapi_mutex_unlock(env, &in->wb_lock);
	}
	iomapi_earlier_bdev_gone(all, bdev);
	iomap_mutex_unlock(env, &all->lock);
}

const struct iomapi_room iomapi_room_inode = {
	.init = room_init, .fini = room_fini, .flush_failed = room_flush_failed,
	.bdev_gone = room_bdev_gone,
};

/* ---- life ---- */

static bool ops_ok(const struct iomap_inode_ops *ops, uint32_t flags)
{
	/* what was appended since the first release is asked for where it is needed */
	if (!ops || ops->struct_size < offsetof(struct iomap_inode_ops, verify_read))
		return false;
	if (flags & IOMAP_INODE_FRAMES)
		return ops->folio_written;
	return ops->writepages && ops->sync_metadata && ops->tryget && ops->put;
}

/* No block of the device may be written in part. */
static bool blocks_fit(const struct iomap_inode_opts *opts, struct iomap_env *env)
{
	uint32_t block = 1u << opts->block_bits;
	uint32_t device = iomapi_bdev_limits(opts->bdev)->logical_block;

	if (device <= block)
		return true;
	iomapi_report(env, .rule = "device", .callback = "iomap_inode_init",
		      .field = "block_bits", .value = block, .bound = device,
		      .text = "the device's logical blocks are larger than the file's");
	return false;
}

/* A block lies in one folio. */
static bool blocks_cacheable(const struct iomap_inode_opts *opts, struct iomap_env *env)
{
	uint32_t block = 1u << opts->block_bits, folio = opts->volume->cache->max_folio;

	if (block <= folio)
		return true;
	iomapi_report(env, .rule = "cache", .callback = "iomap_inode_init",
		      .field = "block_bits", .value = block, .bound = folio,
		      .text = "the file's blocks are larger than the cache's folios");
	return false;
}

static int check_opts(const struct iomap_inode_opts *opts, struct iomap_env *env)
{
	const uint32_t known = IOMAP_INODE_FRAMES | IOMAP_INODE_DAX | IOMAP_INODE_STABLE;

	if (!env || (opts->volume && opts->env && opts->env != opts->volume->env))
		return -EINVAL;
	if (opts->flags & ~known)
		return -EINVAL;
	if (opts->flags & IOMAP_INODE_DAX)
		return -ENOTSUP;
	if (!ops_ok(opts->ops, opts->flags) || opts->size < 0)
		return -EINVAL;
	if (opts->block_bits < MIN_BLOCK_BITS || opts->block_bits > MAX_BLOCK_BITS)
		return -EINVAL;
	if (!(opts->flags & IOMAP_INODE_FRAMES) && (!opts->volume || !opts->volume->cache))
		return -EINVAL;
	if (opts->bdev && iomapi_bdev_env(opts->bdev) != env)
		return -EINVAL;
	if (opts->bdev && !blocks_fit(opts, env))
		return -EINVAL;
	if (!(opts->flags & IOMAP_INODE_FRAMES) && !blocks_cacheable(opts, env))
		return -EINVAL;
	return iomapi_forked(env) ? -ECHILD : 0;
}

static void init_private(struct iomapi_inode *in, const struct iomap_inode_opts *opts)
{
	iomap_rwlock_init(&in->io_lock, IOMAP_RANK_IO);
	iomap_rwlock_init(&in->invalidate_lock, IOMAP_RANK_INVALIDATE);
	iomap_mutex_init(&in->wb_lock, IOMAP_RANK_FOLIO_STATE);
	iomapi_list_init(&in->in_env);
	iomapi_list_init(&in->in_volume);
	iomapi_list_init(&in->inflight);
	iomapi_list_init(&in->deferred);
	in->size = opts->size;
	in->errseq = (iomap_word)opts->errseq;
	in->work.fn = iomapi_inode_run_deferred;
	in->work.work_class = IOMAP_WORK_IOEND;
}

IOMAP_API int iomap_inode_init(struct iomap_inode *inode, const struct iomap_inode_opts *opts)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomap_env *env;
	struct iomapi_inodes *all;
	int rc;

	if (!opts || opts->struct_size < sizeof(*opts))
		return -EINVAL;
	env = opts->volume ? opts->volume->env : opts->env;
	rc = check_opts(opts, env);
	if (rc)
		return rc;
	memset(inode, 0, sizeof(*inode));
	inode->ops = opts->ops;
	inode->env = env;
	inode->volume = opts->volume;
	inode->bdev = opts->bdev;
	inode->owner = opts->owner;
	inode->flags = opts->flags;
	inode->block_bits = opts->block_bits;
	iomapi_mapping_init(inode, opts->flags & IOMAP_INODE_FRAMES ? NULL : opts->volume->cache);
	init_private(in, opts);
	iomapi_env_hold(env);
	all = iomapi_room(env, IOMAPI_ROOM_INODE);
	iomap_mutex_lock(env, &all->lock);
	iomapi_list_add_tail(&all->list, &in->in_env);
	iomap_mutex_unlock(env, &all->lock);
	if (opts->volume)
		iomapi_volume_join(opts->volume, inode);
	iomapi_earlier_take(inode, opts->errseq);
	return 0;
}

/* What is dirty goes out; then every folio is clean or failed.  A failed one is not dropped behind
 * the user's back (H8): redirty, forget, or DISCARD. */
static int evict_write(struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	int rc = 0;

	for (unsigned i = 0; i < EVICT_TRIES; i++) {
		int waited;

		rc = iomapi_inode_write_range(inode, 0, IOMAP_MAX_POS);
		waited = iomap_mapping_wait_range(inode, 0, IOMAP_MAX_POS);
		if (!rc)
			rc = waited;
		if (iomapi_mapping_has(inode, IOMAPI_TAG_FAILED)) {
			int first = iomapi_errseq_check(&in->errseq, 0);

			return first ? first : rc ? rc : -EIO;
		}
		if (rc)
			return rc;
		rc = iomap_mapping_invalidate_range(inode, 0, IOMAP_MAX_POS);
		if (rc != -EBUSY)	/* reclaim may be looking at one just now */
			return rc;
		iomapi_yield(inode->env, "evict");
	}
	return rc;
}

IOMAP_API int iomap_inode_evict(struct iomap_inode *inode, enum iomap_evict how, uint64_t *errseq)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	int rc = 0;

	if (how != IOMAP_EVICT_WRITE && how != IOMAP_EVICT_DISCARD)
		return -EINVAL;
	if (in->mapping.cache) {
		if (how == IOMAP_EVICT_WRITE)
			rc = evict_write(inode);
		else
			iomap_mapping_truncate(inode, 0);
	}
	iomap_inode_dio_wait(inode);
	if (!rc)
		rc = iomap_inode_wait_wb(inode, UINT64_MAX, IOMAP_FOREVER);
	if (!rc && errseq) {	/* in this order: a flush that fails in between is told by either */
		*errseq = iomapi_earlier_keep(inode);
		*errseq |= iomapi_load(&in->errseq);
	}
	return rc;
}

IOMAP_API void iomap_inode_fini(struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomap_env *env = inode->env;
	struct iomapi_inodes *all = iomapi_room(env, IOMAPI_ROOM_INODE);

	if (inode->volume)
		iomapi_volume_leave(inode->volume, inode);
	iomapi_assert(iomapi_list_empty(&in->inflight) && iomapi_list_empty(&in->deferred));
	iomapi_assert(!iomapi_load(&in->dio_count));
	iomapi_mapping_fini(inode);
	iomap_mutex_lock(env, &all->lock);
	iomapi_list_del(&in->in_env);
	iomap_mutex_unlock(env, &all->lock);
	iomapi_env_release(env);
}

/* ---- locks ---- */

static int lock(struct iomap_env *env, struct iomap_rwlock *l, unsigned how)
{
	bool shared = how & IOMAP_LOCK_SHARED;

	if (how & IOMAP_LOCK_NOWAIT) {
		bool got = shared ? iomap_rwlock_tryrdlock(env, l) : iomap_rwlock_trywrlock(env, l);

		return got ? 0 : -EAGAIN;
	}
	if (shared)
		iomap_rwlock_rdlock(env, l);
	else
		iomap_rwlock_wrlock(env, l);
	return 0;
}

IOMAP_API int iomap_inode_lock(struct iomap_inode *inode, unsigned how)
{
	return lock(inode->env, &iomapi_inode(inode)->io_lock, how);
}

IOMAP_API void iomap_inode_downgrade(struct iomap_inode *inode)
{
	iomap_rwlock_downgrade(inode->env, &iomapi_inode(inode)->io_lock);
}

IOMAP_API void iomap_inode_unlock(struct iomap_inode *inode)
{
	iomap_rwlock_unlock(inode->env, &iomapi_inode(inode)->io_lock);
}

IOMAP_API int iomap_inode_invalidate_lock(struct iomap_inode *inode, unsigned how)
{
	return lock(inode->env, &iomapi_inode(inode)->invalidate_lock, how);
}

IOMAP_API void iomap_inode_invalidate_unlock(struct iomap_inode *inode)
{
	iomap_rwlock_unlock(inode->env, &iomapi_inode(inode)->invalidate_lock);
}

/* ---- size and error ---- */

IOMAP_API int64_t iomap_inode_size(const struct iomap_inode *inode)
{
	const struct iomapi_inode *in = (const void *)inode->opaque;

	return iomapi_load(&in->size);
}

IOMAP_API void iomap_inode_set_size(struct iomap_inode *inode, int64_t size)
{
	iomapi_assert(size >= 0);
	iomapi_store(&iomapi_inode(inode)->size, size);
}

IOMAP_API void iomap_inode_set_error(struct iomap_inode *inode, int error)
{
	/* of the dead all is said */
	if (error && !iomap_volume_error(inode->volume))
		iomapi_inode_tell(inode, error);
}

void iomapi_inode_tell(struct iomap_inode *inode, int error)
{
	if (iomapi_inode_killed(inode))		/* DROP: errors are forgotten */
		return;
	iomapi_errseq_set(&iomapi_inode(inode)->errseq, error);
	iomapi_volume_tell(inode->volume, error);
}

IOMAP_API void iomap_inode_dio_wait(struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	iomap_word seen;

	while ((seen = iomapi_load(&in->dio_count)))
		iomap_env_wait(inode->env, &in->dio_count, seen, IOMAP_FOREVER);
}

/* ---- ioends ---- */

int iomapi_inode_ioend_start(struct iomap_inode *inode, struct iomap_ioend *ioend)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	int rc = 0;

	iomapi_mutex_lock(inode->env, &in->wb_lock);
	if (in->killed) {
		rc = -ESTALE;
	} else {
		ioend->wb_seq = ++in->wb_seq;
		iomapi_list_add_tail(&in->inflight, &ioend->inflight);
	}
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	return rc;
}

/*
 *	end of the last ioend		kill, then fini
 *	lock, leave, bump wb_done
 *	unlock				lock, nothing in flight, unlock
 *	wake by address			the inode is gone
 */
void iomapi_inode_ioend_end(struct iomap_inode *inode, struct iomap_ioend *ioend)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomap_env *env = inode->env;

	iomapi_mutex_lock(env, &in->wb_lock);
	iomapi_list_del(&ioend->inflight);
	iomapi_store(&in->wb_done, in->wb_done + 1);
	iomapi_mutex_unlock(env, &in->wb_lock);
	iomapi_wake_after(env, &in->wb_done);
}

bool iomapi_inode_killed(struct iomap_inode *inode)
{
	return iomapi_load(&iomapi_inode(inode)->killed);
}

int iomapi_inode_gone(struct iomap_inode *inode)
{
	return iomapi_inode_killed(inode) ? -ESTALE : iomap_volume_error(inode->volume);
}

int iomapi_inode_cancelled(struct iomap_inode *inode)
{
	return iomapi_inode_killed(inode) ? -ECANCELED : iomap_volume_error(inode->volume);
}

/* What a good flush has covered need not be remembered. */
static bool is_free(const struct iomapi_written *w)
{
	return !w->bdev || iomapi_bdev_flushed(w->bdev, w->seq);
}

void iomapi_inode_note_written(struct iomap_inode *inode, struct iomap_bdev *bdev, uint64_t seq)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomapi_written *w = NULL;

	if (!bdev || !seq)
		return;
	iomapi_mutex_lock(inode->env, &in->wb_lock);
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++) {
		struct iomapi_written *to = &in->written.to[i];

		if (to->bdev == bdev || (!w && is_free(to)))
			w = to;
		if (to->bdev == bdev)
			break;
	}
	if (!w) {
		in->written.elsewhere = true;
	} else if (w->bdev != bdev || seq > w->seq) {
		w->bdev = bdev;
		w->seq = seq;
	}
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	/* A flush that failed before this was noted has not found it (H9). */
	iomap_inode_set_error(inode, iomapi_bdev_doubt(bdev, seq));
}

IOMAP_API uint64_t iomap_inode_wb_seq(struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	uint64_t seq;

	iomapi_mutex_lock(inode->env, &in->wb_lock);
	seq = in->wb_seq;
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	return seq;
}

static bool in_flight(struct iomap_inode *inode, uint64_t seq)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	bool yes = false;

	iomapi_mutex_lock(inode->env, &in->wb_lock);
	if (!iomapi_list_empty(&in->inflight)) {
		struct iomap_ioend *oldest = iomap_container_of(in->inflight.next,
								struct iomap_ioend, inflight);

		yes = oldest->wb_seq <= seq;
	}
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	return yes;
}

IOMAP_API int iomap_inode_wait_wb(struct iomap_inode *inode, uint64_t seq, int64_t timeout_ns)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomap_env *env = inode->env;
	int64_t deadline = iomapi_deadline(env, timeout_ns);
	int rc = 0;

	for (;;) {
		iomap_word seen = iomapi_load(&in->wb_done);

		if (!in_flight(inode, seq))
			return 0;
		if (rc)
			return rc;
		rc = iomap_env_wait(env, &in->wb_done, seen, iomapi_time_left(env, deadline));
	}
}

/* Reads, and the writes of a client without ioends, are counted nowhere but in their folios. */
static int wait_folios(struct iomap_inode *inode, int64_t deadline)
{
	struct iomap_folio *folio;
	int rc = 0;

	for (int64_t pos = 0; !rc;) {
		if (!iomapi_mapping_folios(inode, &pos, IOMAP_MAX_POS, &folio, 1))
			return 0;
		rc = iomapi_folio_wait_io(folio, iomapi_time_left(inode->env, deadline));
		iomap_folio_put(folio);
	}
	return rc;
}

/* H13: nothing new begins, what runs is waited for, and a held ioend runs until its holder has
 * submitted it: no pointer dies under anybody. */
IOMAP_API int iomap_inode_kill(struct iomap_inode *inode, int64_t timeout_ns)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	int64_t deadline = iomapi_deadline(inode->env, timeout_ns);
	int rc;

	iomapi_mutex_lock(inode->env, &in->wb_lock);
	iomapi_store(&in->killed, 1);
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	rc = iomap_inode_wait_wb(inode, UINT64_MAX, timeout_ns);
	if (!rc && in->mapping.cache)
		rc = wait_folios(inode, deadline);
	if (rc)
		return rc;
	if (in->mapping.cache)
		iomap_mapping_truncate(inode, 0);
	iomapi_store(&in->errseq, 0);
	return 0;
}
