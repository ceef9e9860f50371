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

struct inodes {
	struct iomap_mutex lock;	/* IOMAPI_RANK_INODES */
	struct iomap_list list;
};

static int room_init(struct iomap_env *env, void **state)
{
	struct inodes *all = iomapi_zalloc(env, sizeof(*all));

	if (!all)
		return -ENOMEM;
	iomap_mutex_init(&all->lock, IOMAPI_RANK_INODES);
	iomapi_list_init(&all->list);
	*state = all;
	return 0;
}

static void room_fini(struct iomap_env *env, void *state)
{
	struct inodes *all = state;

	iomapi_assert(iomapi_list_empty(&all->list));
	iomapi_free(env, all, sizeof(*all));
}

/* Did a write of this inode complete on bdev after the last good flush? */
static bool wrote_since(struct iomapi_inode *in, struct iomap_env *env,
			const struct iomap_bdev *bdev, uint64_t since)
{
	bool yes;

	iomapi_mutex_lock(env, &in->wb_lock);
	yes = in->written_elsewhere;
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++)
		if (in->written[i].bdev == bdev && in->written[i].seq > since)
			yes = true;
	iomapi_mutex_unlock(env, &in->wb_lock);
	return yes;
}

static void room_flush_failed(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t since,
			      int error)
{
	struct inodes *all = iomapi_room(env, IOMAPI_ROOM_INODE);
	struct iomap_list *l;

	iomap_mutex_lock(env, &all->lock);
	iomapi_list_for_each(l, &all->list) {
		struct iomapi_inode *in = iomap_container_of(l, struct iomapi_inode, in_env);

		if (wrote_since(in, env, bdev, since))
			iomap_inode_set_error(iomapi_inode_public(in), error);
	}
	iomap_mutex_unlock(env, &all->lock);
}

/* What a flush has covered is forgotten with the device; what none has can never be called durable:
 * it counts as written to a device that is not remembered. */
static void forget_device(struct iomapi_inode *in, struct iomap_env *env, struct iomap_bdev *bdev)
{
	iomapi_mutex_lock(env, &in->wb_lock);
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++) {
		struct iomapi_written *w = &in->written[i];

		if (w->bdev != bdev)
			continue;
		in->written_elsewhere |= !iomapi_bdev_flushed(bdev, w->seq);
		*w = (struct iomapi_written){ 0 };
	}
	iomapi_mutex_unlock(env, &in->wb_lock);
}

static void room_bdev_gone(struct iomap_env *env, struct iomap_bdev *bdev)
{
	struct inodes *all = iomapi_room(env, IOMAPI_ROOM_INODE);
	struct iomap_list *l;

	iomap_mutex_lock(env, &all->lock);
	iomapi_list_for_each(l, &all->list)
		forget_device(iomap_container_of(l, struct iomapi_inode, in_env), env, bdev);
	iomap_mutex_unlock(env, &all->lock);
}

const struct iomapi_room iomapi_room_inode = {
	.init = room_init, .fini = room_fini, .flush_failed = room_flush_failed,
	.bdev_gone = room_bdev_gone,
};

/* ---- life ---- */

static bool ops_ok(const struct iomap_inode_ops *ops, uint32_t flags)
{
	if (!ops || ops->struct_size < sizeof(*ops))
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

static int check_opts(const struct iomap_inode_opts *opts, struct iomap_env *env)
{
	const uint32_t known = IOMAP_INODE_FRAMES | IOMAP_INODE_DAX | IOMAP_INODE_STABLE;

	if (!env || (opts->volume && opts->env && opts->env != opts->volume->env))
		return -EINVAL;
	if (opts->flags & ~known)
		return -EINVAL;
	if (opts->flags & IOMAP_INODE_DAX)
		return -ENOTSUP;
	if (!ops_ok(opts->ops, opts->flags) || opts->size < 0 || opts->errseq > UINT32_MAX)
		return -EINVAL;
	if (opts->block_bits < MIN_BLOCK_BITS || opts->block_bits > MAX_BLOCK_BITS)
		return -EINVAL;
	if (!(opts->flags & IOMAP_INODE_FRAMES) && (!opts->volume || !opts->volume->cache))
		return -EINVAL;
	if (opts->bdev && iomapi_bdev_env(opts->bdev) != env)
		return -EINVAL;
	if (opts->bdev && !blocks_fit(opts, env))
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

/* An inode that was evicted may have written what no flush has covered yet: should that flush fail,
 * this one has to hear of it (H9).  It may have written nothing; nobody knows any more. */
static void note_earlier_life(struct iomap_inode *inode)
{
	uint64_t seq = inode->bdev ? iomap_bdev_write_seq(inode->bdev) : 0;

	if (seq && !iomapi_bdev_flushed(inode->bdev, seq))
		iomapi_inode_note_written(inode, inode->bdev, seq);
}

IOMAP_API int iomap_inode_init(struct iomap_inode *inode, const struct iomap_inode_opts *opts)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomap_env *env;
	struct inodes *all;
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
	note_earlier_life(inode);
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
	if (!rc && errseq)
		*errseq = iomapi_load(&in->errseq);
	return rc;
}

IOMAP_API void iomap_inode_fini(struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	struct iomap_env *env = inode->env;
	struct inodes *all = iomapi_room(env, IOMAPI_ROOM_INODE);

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
	if (!inode->volume)
		return;
	iomapi_errseq_set(&inode->volume->errseq, error);
	iomapi_add(&inode->volume->errors, 1);
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
		if (in->written[i].bdev == bdev || (!w && is_free(&in->written[i])))
			w = &in->written[i];
		if (in->written[i].bdev == bdev)
			break;
	}
	if (!w) {
		in->written_elsewhere = true;
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

/* H13: nothing new begins, what runs is waited for, and a held ioend runs until its holder has
 * submitted it: no pointer dies under anybody. */
IOMAP_API int iomap_inode_kill(struct iomap_inode *inode, int64_t timeout_ns)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	int rc;

	iomapi_mutex_lock(inode->env, &in->wb_lock);
	iomapi_store(&in->killed, 1);
	iomapi_mutex_unlock(inode->env, &in->wb_lock);
	rc = iomap_inode_wait_wb(inode, UINT64_MAX, timeout_ns);
	if (rc)
		return rc;
	if (in->mapping.cache)
		iomap_mapping_truncate(inode, 0);
	iomapi_store(&in->errseq, 0);
	return 0;
}
