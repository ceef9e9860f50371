/* SPDX-License-Identifier: MIT */
/*
 * inode/inode.h - the private part of an inode, and what writeback needs of it.
 */
#ifndef IOMAPI_INODE_H
#define IOMAPI_INODE_H

#include <iomap/inode.h>
#include <iomap/ioend.h>
#include <iomap/volume.h>

#include "base/env.h"
#include "base/errseq.h"
#include "base/work.h"
#include "cache/cache.h"

/* Devices this inode wrote to: which completed write of the device was its last (H9). */
#define IOMAPI_INODE_DEVICES 3
struct iomapi_written {
	struct iomap_bdev *bdev;
	uint64_t seq;
};
struct iomapi_writes {
	struct iomapi_written to[IOMAPI_INODE_DEVICES];
	bool elsewhere;			/* to more devices than that: any failed flush counts */
};
struct iomapi_inode {			/* lies in iomap_inode.opaque */
	struct iomapi_mapping mapping;	/* first: cache/cache.h finds it there */
	struct iomap_rwlock io_lock, invalidate_lock;
	int64_t size;
	iomap_word errseq;
	iomap_word killed;
	struct iomap_list in_env;	/* all inodes of the environment, for failed flushes */
	struct iomap_list in_volume;
	struct iomap_mutex wb_lock;	/* below; IOMAP_RANK_FOLIO_STATE */
	struct iomap_list inflight;	/* ioends not yet finished, in wb_seq order */
	uint64_t wb_seq;		/* of the youngest ioend */
	iomap_word wb_done;		/* bumped and woken when one leaves inflight */
	iomap_word dio_count;
	struct iomap_list deferred;	/* ioends for complete_ioends, in order of arrival */
	struct iomap_work work;		/* runs them */
	struct iomapi_writes written;
	iomap_word pins;		/* volume_sync looks at it: fini waits */
};
_Static_assert(sizeof(struct iomapi_inode) <= sizeof(((struct iomap_inode *)0)->opaque),
	       "the private part fits");
static inline struct iomapi_inode *iomapi_inode(struct iomap_inode *inode)
{
	return (struct iomapi_inode *)(void *)inode->opaque;
}

/* ---- inode.c ---- */
/* A timeout as an absolute time, or IOMAP_FOREVER; and what is left of it, 0 at least. */
int64_t iomapi_deadline(struct iomap_env *env, int64_t timeout_ns);
int64_t iomapi_time_left(struct iomap_env *env, int64_t deadline_ns);

static inline struct iomap_inode *iomapi_inode_public(struct iomapi_inode *in)
{
	return iomap_container_of((void *)in, struct iomap_inode, opaque);
}

/* An ioend begins (wb_seq is given, it joins inflight) and ends.  -ESTALE: killed. */
int iomapi_inode_ioend_start(struct iomap_inode *inode, struct iomap_ioend *ioend);
void iomapi_inode_ioend_end(struct iomap_inode *inode, struct iomap_ioend *ioend);
bool iomapi_inode_killed(struct iomap_inode *inode);
/* Why it can neither map nor do I/O any more: -ESTALE (killed), its volume's error; or 0. */
int iomapi_inode_gone(struct iomap_inode *inode);
/* With what that ends which is not sent yet: -ECANCELED (killed), its volume's error; or 0. */
int iomapi_inode_cancelled(struct iomap_inode *inode);
/* Its volume has died: the last error it gets. */
void iomapi_inode_tell(struct iomap_inode *inode, int error);
/* Did one of them complete on bdev after the last good flush, the one at since? */
bool iomapi_writes_since(const struct iomapi_writes *w, const struct iomap_bdev *bdev,
			 uint64_t since);
/* What a flush has covered is forgotten with the device; what none has can never be called durable:
 * it counts as written to a device that is not remembered. */
void iomapi_writes_forget(struct iomapi_writes *w, struct iomap_bdev *bdev);
/* A write of this inode has ended: remembered until a later flush. */
void iomapi_inode_note_written(struct iomap_inode *inode, struct iomap_bdev *bdev, uint64_t seq);
/* Queue an ioend for deferred completion; the worker is started on empty -> non-empty (I109).
 * complete is called with the whole backlog. */
void iomapi_inode_defer(struct iomap_inode *inode, struct iomap_ioend *ioend);
void iomapi_inode_run_deferred(struct iomap_work *work);	/* the fn of inode->work */

/* ---- earlier.c ---- */
/* State of the environment, by IOMAPI_ROOM_INODE. */
struct iomapi_inodes {
	struct iomap_mutex lock;	/* IOMAPI_RANK_INODES: all below */
	struct iomap_list list;		/* all inodes */
	struct iomap_list earlier;	/* struct earlier: what those that are gone have written */
	uint32_t nr_earlier, look_at, token;
};
/* An inode goes; what it wrote may still be lost.  The upper half of its errseq; 0: nothing is. */
uint64_t iomapi_earlier_keep(struct iomap_inode *inode);
/* It is back, with that errseq. */
void iomapi_earlier_take(struct iomap_inode *inode, uint64_t errseq);
void iomapi_earlier_volume_gone(struct iomap_volume *volume);
/* Lock of all held. */
void iomapi_earlier_flush_failed(struct iomapi_inodes *all, struct iomap_bdev *bdev,
				 uint64_t since, int error);
void iomapi_earlier_bdev_gone(struct iomapi_inodes *all, struct iomap_bdev *bdev);
void iomapi_earlier_fini(struct iomap_env *env, struct iomapi_inodes *all);

/* ---- sync.c ---- */
/* Flushes all that it wrote to; the first error. */
int iomapi_inode_flush_devices(struct iomap_inode *inode);
/* The devices of this inode, its usual one first, each with the ticket that covers what completed
 * there; how many. */
unsigned iomapi_inode_written(struct iomap_inode *inode,
			      struct iomapi_written written[IOMAPI_INODE_DEVICES + 1]);
/* 0, or -EIO: there are more of them. */
int iomapi_inode_all_known(struct iomap_inode *inode);
/* ops->writepages over a range for a sync, with its answer checked. */
int iomapi_inode_write_range(struct iomap_inode *inode, int64_t start, int64_t end);

/* Appended to the table: older clients have none. */
static inline bool iomapi_inode_verifies(const struct iomap_inode *inode)
{
	const struct iomap_inode_ops *ops = inode->ops;

	return ops->struct_size >= offsetof(struct iomap_inode_ops, verify_read) +
					   sizeof(ops->verify_read) && ops->verify_read;
}

/* ---- volume.c ---- */
struct iomap_volume {
	struct iomap_env *env;
	struct iomap_cache *cache;	/* NULL: frames only */
	const struct iomap_volume_ops *ops;
	void *owner;
	struct iomap_mutex lock;	/* IOMAPI_RANK_INODES: inodes */
	struct iomap_list inodes;
	iomap_word errseq;		/* every error of every inode */
	iomap_word error_seen;		/* the cursor of volume_sync */
	iomap_word errors;		/* how many there were */
	int32_t dead;			/* atomic: 0, or why */
};
/* Lists of inodes: taken with no lock of the library held but the I/O lock. */
#define IOMAPI_RANK_INODES (IOMAP_RANK_MAPPING + 5)
void iomapi_volume_join(struct iomap_volume *volume, struct iomap_inode *inode);
/* An error of one of its inodes, or of one that is gone.  NULL: nobody. */
void iomapi_volume_tell(struct iomap_volume *volume, int error);
void iomapi_volume_leave(struct iomap_volume *volume, struct iomap_inode *inode);

extern const struct iomapi_room iomapi_room_inode;

#endif
