/* SPDX-License-Identifier: MIT */
/*
 * block/open.c - devices come and go: on a backend that scheme.c has found.
 *
 * What a backend says about its device is checked once, here.
 *
 * Threads: any.  Open, attach and close claim the ioq: backends see their calls one at a time.  A
 * SINGLE_ISSUER ioq is its owner's to claim; who closes elsewhere leaves that to it, and waits.
 */
#include "base/log.h"
#include "block/block.h"

#define SLICE_NS	1000000		/* a close that waits on several queues in turn */
#define OPEN_FLAGS	(IOMAP_BDEV_RDONLY | IOMAP_BDEV_BUFFERED | IOMAP_BDEV_EXCLUSIVE)

static int report(struct iomap_env *env, int error, const char *callback, const char *field,
		  uint64_t value, uint64_t bound, const char *text)
{
	iomapi_report(env, .rule = "device", .callback = callback, .field = field, .value = value,
		      .bound = bound, .text = text);
	return error;
}

/* ---- what the backend says of its device ---- */

/* Zero means the default; nonsense is the backend's fault. */
static int take_limits(struct iomap_bdev *bdev)
{
	struct iomap_bdev_limits *l = &bdev->limits;
	const char *scheme = bdev->ops->scheme;

	l->struct_size = sizeof(*l);
	bdev->ops->limits(bdev->dev, l);
	l->logical_block = l->logical_block ? l->logical_block : 512;
	l->memory_align = l->memory_align ? l->memory_align : 1;
	l->physical_block = iomapi_max(l->physical_block, l->logical_block);
	/* More than a piece has would be cut in two after all, and an atomic write torn. */
	l->max_segs = l->max_segs ? iomapi_min(l->max_segs, IOMAPI_BIG_SEGS) : IOMAPI_BIG_SEGS;
	if (!iomapi_is_pow2(l->logical_block) || l->logical_block > 65536)
		return report(bdev->env, -EIO, scheme, "logical_block", l->logical_block, 65536,
			      "not a power of two up to the bound");
	if (!iomapi_is_pow2(l->memory_align) || l->memory_align > 65536)
		return report(bdev->env, -EIO, scheme, "memory_align", l->memory_align, 65536,
			      "not a power of two up to the bound");
	if (l->caps & IOMAP_CAP_DAX && !(bdev->ops->direct_access && bdev->ops->copy &&
					 bdev->ops->zero && bdev->ops->persist && bdev->ops->fence))
		return report(bdev->env, -EIO, scheme, "caps", l->caps, 0,
			      "DAX without all of its calls");
	bdev->unit = iomapi_max(l->logical_block, l->memory_align);
	l->max_bytes = l->max_bytes ? l->max_bytes : UINT64_MAX;
	l->max_bytes = iomapi_round_down(l->max_bytes, (uint64_t)bdev->unit);
	if (!l->max_bytes)
		return report(bdev->env, -EIO, scheme, "max_bytes", l->max_bytes, bdev->unit,
			      "less than one block");
	l->max_zeroes = iomapi_round_down(l->max_zeroes, (uint64_t)bdev->unit);
	l->max_zeroes = l->max_zeroes ? l->max_zeroes : l->max_bytes;
	l->size = iomapi_round_down(l->size, (uint64_t)l->logical_block);
	if (l->size > INT64_MAX)
		return report(bdev->env, -EIO, scheme, "size", l->size, INT64_MAX,
			      "larger than an address may be");
	return 0;
}

/* ---- open, attach, close ---- */

static int open_on(struct iomap_bdev *bdev, struct iomap_ioq *ioq, struct iomapi_queue *q,
		   const struct iomapi_found *found, const char *path, int fd,
		   const struct iomap_bdev_opts *opts)
{
	int rc = found->ops->dev_open(q->queue, path, fd, opts, &bdev->dev);

	if (rc)
		return rc;
	bdev->ops = found->ops;
	bdev->found = *found;
	bdev->found.passed_over = false;	/* an attach has no other to go to */
	rc = take_limits(bdev);
	if (rc) {
		if (found->ops->dev_detach)
			found->ops->dev_detach(bdev->dev, q->queue);
		found->ops->dev_close(bdev->dev);
		return rc;
	}
	bdev->attached[0] = (struct iomapi_attached){ ioq, q };
	bdev->nr_attached = 1;
	return 0;
}

/* The first that works here.  What is wrong with the path or the device itself ends the search,
 * also where that is the same number as of a backend that is not here: a zoned one. */
static int open_first(struct iomap_bdev *bdev, struct iomap_ioq *ioq,
		      const struct iomapi_choice *choice, const char *path, int fd,
		      const struct iomap_bdev_opts *opts)
{
	struct iomapi_queue *q;
	int rc = -ENOTSUP;

	for (unsigned i = 0; i < choice->nr && rc == -ENOTSUP; i++) {
		rc = iomapi_queue_open(ioq, &choice->found[i], &q);
		if (!rc)
			return open_on(bdev, ioq, q, &choice->found[i], path, fd, opts);
	}
	if (rc == -ENOTSUP && choice->nr > 1)
		return report(ioq->env, rc, "iomap_bdev_open", "scheme", 0, 0, ioq->reason);
	return rc;
}

static int may_open(struct iomap_ioq *ioq)
{
	int rc = iomapi_may_wait(ioq->env);

	if (rc)
		return rc;
	return iomapi_ioq_is_owner(ioq) ? 0 : -EPERM;
}

static int open_device(struct iomap_ioq *ioq, const char *scheme, const char *path, int fd,
		       const struct iomap_bdev_opts *given, struct iomap_bdev **result)
{
	struct iomap_env *env = ioq->env;
	struct iomap_bdev_opts opts;
	struct iomapi_choice choice;
	struct iomap_bdev *bdev;
	int rc = iomapi_opts_copy(&opts, sizeof(opts), given);

	if (rc)
		return rc;
	opts.struct_size = sizeof(opts);
	if (opts.flags & ~(uint32_t)OPEN_FLAGS)
		return report(env, -EINVAL, "iomap_bdev_open", "flags", opts.flags, OPEN_FLAGS,
			      "unknown flag");
	rc = iomapi_choose(ioq, scheme, &choice);
	if (rc)
		return rc;
	bdev = iomapi_zalloc(env, sizeof(*bdev));
	if (!bdev)
		return -ENOMEM;
	bdev->env = env;
	bdev->flags = opts.flags;
	iomapi_ioq_claim(ioq);
	rc = open_first(bdev, ioq, &choice, path, fd, &opts);
	iomapi_ioq_unclaim(ioq);
	if (rc) {
		iomapi_free(env, bdev, sizeof(*bdev));
		return rc;
	}
	iomapi_ioq_get(ioq);
	iomapi_env_hold(env);
	*result = bdev;
	return 0;
}

IOMAP_API int iomap_bdev_open(struct iomap_ioq *ioq, const char *spec,
			      const struct iomap_bdev_opts *opts, struct iomap_bdev **bdev)
{
	char scheme[IOMAPI_MAX_SCHEME];
	const char *rest;
	int rc = may_open(ioq);

	*bdev = NULL;
	if (rc)
		return rc;
	rc = iomapi_parse_spec(ioq->env, spec, scheme, &rest);
	return rc ? rc : open_device(ioq, scheme, rest, -1, opts, bdev);
}

IOMAP_API int iomap_bdev_open_fd(struct iomap_ioq *ioq, int fd, const struct iomap_bdev_opts *opts,
				 struct iomap_bdev **bdev)
{
	int rc = may_open(ioq);

	*bdev = NULL;
	if (rc)
		return rc;
	if (fd < 0)
		return report(ioq->env, -EINVAL, "iomap_bdev_open_fd", "fd", (uint64_t)fd, 0,
			      "not a descriptor");
	return open_device(ioq, "auto", NULL, fd, opts, bdev);
}

static int attach_claimed(struct iomap_bdev *bdev, struct iomap_ioq *ioq)
{
	uint32_t nr = bdev->nr_attached;
	struct iomapi_queue *q;
	int rc;

	if (nr == IOMAPI_MAX_ATTACHED)
		return report(bdev->env, -ENOSPC, "iomap_bdev_attach", "ioqs", nr,
			      IOMAPI_MAX_ATTACHED, "attached to too many queues");
	rc = iomapi_queue_open(ioq, &bdev->found, &q);
	if (!rc)
		rc = bdev->ops->dev_attach(bdev->dev, q->queue);
	if (rc)
		return rc;
	bdev->attached[nr] = (struct iomapi_attached){ ioq, q };
	iomapi_store(&bdev->nr_attached, nr + 1);
	return 0;
}

/* Only the queue that is added is claimed.  Two attaches of one device at a time, or an attach
 * during its close, are the caller's to serialise. */
IOMAP_API int iomap_bdev_attach(struct iomap_bdev *bdev, struct iomap_ioq *ioq)
{
	int rc = may_open(ioq);

	if (rc)
		return rc;
	if (ioq->env != bdev->env)
		return -EINVAL;
	for (uint32_t i = 0; i < bdev->nr_attached; i++)
		if (bdev->attached[i].ioq == ioq)
			return 0;
	if (!bdev->ops->dev_attach)
		return -ENOTSUP;
	iomapi_ioq_claim(ioq);
	rc = attach_claimed(bdev, ioq);
	iomapi_ioq_unclaim(ioq);
	if (!rc)
		iomapi_ioq_get(ioq);
	return rc;
}

static void drain(struct iomap_bdev *bdev)
{
	struct iomapi_watch gone = { IOMAPI_WATCH_ZERO, &bdev->active, true };
	uint32_t i = 0;

	iomapi_assert(!iomapi_self(bdev->env)->in_callback);
	iomapi_plug_flush_self(bdev->env);
	while (iomapi_load(&bdev->active)) {
		int64_t slice = bdev->nr_attached > 1 ? SLICE_NS : IOMAP_FOREVER;

		iomapi_ioq_wait(bdev->attached[i++ % bdev->nr_attached].ioq, &gone, slice);
	}
}

struct leave {
	struct iomap_bdev *bdev;
	uint32_t i;			/* of attached[] */
};

static void leave_queue(void *arg)
{
	const struct leave *l = arg;
	struct iomap_bdev *bdev = l->bdev;

	if (bdev->ops->dev_detach)
		bdev->ops->dev_detach(bdev->dev, bdev->attached[l->i].queue->queue);
	if (!l->i)
		bdev->ops->dev_close(bdev->dev);
}

IOMAP_API void iomap_bdev_close(struct iomap_bdev **result)
{
	struct iomap_bdev *bdev = *result;
	struct iomap_env *env;

	if (!bdev)
		return;
	*result = NULL;
	env = bdev->env;
	if (iomapi_forked(env)) {	/* no lock: its holder may not exist here */
		bdev->ops->dev_close(bdev->dev);
	} else {
		drain(bdev);
		iomapi_bdev_gone(env, bdev);
		for (uint32_t i = bdev->nr_attached; i--; )
			iomapi_ioq_do(bdev->attached[i].ioq, leave_queue,
				      &(struct leave){ bdev, i });
	}
	for (uint32_t i = 0; i < bdev->nr_attached; i++)
		iomapi_ioq_put(bdev->attached[i].ioq);
	iomapi_free(env, bdev, sizeof(*bdev));
	iomapi_env_release(env);
}

/* ---- the room ---- */

static int room_init(struct iomap_env *env, void **state)
{
	(void)env;
	*state = NULL;
	return 0;
}

static void room_fini(struct iomap_env *env, void *state)
{
	(void)env;
	(void)state;
}

const struct iomapi_room iomapi_room_block = { .init = room_init, .fini = room_fini };
