/* SPDX-License-Identifier: MIT */
/*
 * block/bdev.c - a device in use: the checking membrane every bio passes, limits, DAX calls.
 *
 * What passes here is inside the device, aligned, within what the device has; behind it nobody
 * checks again.  A bio that does not pass takes no other way than one that fails: its status is set
 * and its end_io runs from the next poll; the log hook hears what was wrong.
 *
 * Threads: any.  Limits do not change but for the size, which is read and written atomically; the
 * list of attached queues only grows.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "block/block.h"

#define ALL_FLAGS (IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA | IOMAP_BIO_ATOMIC | IOMAP_BIO_NOWAIT | \
		   IOMAP_BIO_POLLED)
#define WRITE_FLAGS (IOMAP_BIO_PREFLUSH | IOMAP_BIO_FUA | IOMAP_BIO_ATOMIC)

/* ---- the membrane ---- */

struct refusal {
	int error;
	const char *field, *text;
	uint64_t value, bound;
};
#define refuse(r, err, what, val, limit, why) \
	(*(r) = (struct refusal){ (err), (what), (why), (val), (limit) }, false)

static bool has_memory(unsigned op)
{
	return op == IOMAP_BIO_READ || op == IOMAP_BIO_WRITE || op == IOMAP_BIO_ZONE_APPEND;
}

/* The capability an operation needs; 0: every device has it. */
static uint32_t cap_of(unsigned op)
{
	switch (op) {
	case IOMAP_BIO_DISCARD:
		return IOMAP_CAP_DISCARD;
	case IOMAP_BIO_WRITE_ZEROES:
		return IOMAP_CAP_WRITE_ZEROES;
	case IOMAP_BIO_ZONE_APPEND:
		return IOMAP_CAP_ZONE_APPEND;
	case IOMAP_BIO_ZONE_RESET:
	case IOMAP_BIO_ZONE_FINISH:
	case IOMAP_BIO_ZONE_OPEN:
	case IOMAP_BIO_ZONE_CLOSE:
		return IOMAP_CAP_ZONED;
	}
	return 0;
}

/* Without a length.  Zone operations name a zone by its address. */
static bool nothing_to_do(unsigned op)
{
	return has_memory(op) || op == IOMAP_BIO_DISCARD || op == IOMAP_BIO_WRITE_ZEROES;
}

static bool check_op(const struct iomap_bdev *bdev, const struct iomap_bio *bio, struct refusal *r)
{
	unsigned flags = bio->flags;

	if (iomapi_likely(bio->op <= IOMAP_BIO_WRITE && !flags && !bdev->flags))
		return true;		/* nothing below could apply */
	if (bio->op > IOMAP_BIO_ZONE_CLOSE)
		return refuse(r, -EINVAL, "op", bio->op, IOMAP_BIO_ZONE_CLOSE, "unknown operation");
	if (flags & ~(unsigned)ALL_FLAGS)
		return refuse(r, -EINVAL, "flags", flags, ALL_FLAGS, "unknown flag");
	if (cap_of(bio->op) & ~bdev->limits.caps)
		return refuse(r, -EOPNOTSUPP, "op", bio->op, bdev->limits.caps,
			      "the device has no such operation");
	if (flags & WRITE_FLAGS && bio->op != IOMAP_BIO_WRITE && bio->op != IOMAP_BIO_ZONE_APPEND)
		return refuse(r, -EINVAL, "flags", flags, WRITE_FLAGS, "a flag of writes only");
	if (flags & IOMAP_BIO_ATOMIC && bio->op != IOMAP_BIO_WRITE)
		return refuse(r, -EINVAL, "op", bio->op, IOMAP_BIO_WRITE, "only writes are atomic");
	if (bdev->flags & IOMAP_BDEV_RDONLY && bio->op != IOMAP_BIO_READ &&
	    bio->op != IOMAP_BIO_FLUSH)
		return refuse(r, -EROFS, "op", bio->op, IOMAP_BIO_READ,
			      "the device was opened read-only");
	return true;
}

static bool check_range(const struct iomap_bdev *bdev, const struct iomap_bio *bio,
			struct refusal *r)
{
	uint64_t size = iomapi_load_relaxed(&bdev->limits.size);
	uint32_t block = bdev->limits.logical_block;

	if (bio->addr & (block - 1))
		return refuse(r, -EINVAL, "addr", bio->addr, block, "address not block aligned");
	if (bio->len & (block - 1))
		return refuse(r, -EINVAL, "len", bio->len, block, "length not block aligned");
	if (bio->addr > size)
		return refuse(r, -EINVAL, "addr", bio->addr, size, "address beyond the device");
	if (bio->len > size - bio->addr)
		return refuse(r, -EINVAL, "len", bio->len, size - bio->addr,
			      "reaches beyond the end of the device");
	if (bio->grain & (bdev->unit - 1))
		return refuse(r, -EINVAL, "grain", bio->grain, bdev->unit,
			      "grain not block aligned");
	if (bio->op == IOMAP_BIO_ZONE_APPEND && bio->len > bdev->limits.max_append)
		return refuse(r, -EINVAL, "len", bio->len, bdev->limits.max_append,
			      "longer than one append");
	return true;
}

/* Also counts the runs of adjacent memory. */
static bool check_segs(const struct iomap_bdev *bdev, struct iomap_bio *bio, struct refusal *r)
{
	uint32_t mask = bdev->limits.memory_align - 1, runs = 0;
	const struct iomap_bvec *seg = bio->segs, *last = seg + bio->nr_segs;
	uintptr_t end = UINTPTR_MAX;	/* where no memory begins */
	uint64_t left = bio->len;

	if (bio->nr_segs && !has_memory(bio->op))
		return refuse(r, -EINVAL, "nr_segs", bio->nr_segs, 0,
			      "an operation without memory");
	if (!has_memory(bio->op))
		return true;
	for (; seg < last && seg->len <= left; seg++) {
		uintptr_t mem = (uintptr_t)seg->mem;

		if (iomapi_unlikely((mem | seg->len) & mask))
			return refuse(r, -EINVAL, "segs", mem & mask ? mem : seg->len, mask + 1,
				      "memory not aligned as the device wants it");
		left -= seg->len;
		runs += mem != end;
		end = mem + seg->len;
	}
	if (seg != last || left)
		return refuse(r, -EINVAL, "len", bio->len, bio->len - left,
			      "not the sum of the segments");
	iomapi_track(bio)->nr_runs = runs;
	return true;
}

static bool check_atomic_size(const struct iomap_bdev *bdev, uint64_t addr, uint64_t len,
			      struct refusal *r)
{
	const struct iomap_bdev_limits *l = &bdev->limits;

	if (!l->atomic_max)
		return refuse(r, -EINVAL, "flags", len, 0, "the device has no atomic writes");
	if (len < l->atomic_min || len > l->atomic_max)
		return refuse(r, -EINVAL, "len", len, l->atomic_max,
			      "not a size the device writes atomically");
	if (len > l->max_bytes)
		return refuse(r, -EINVAL, "len", len, l->max_bytes, "longer than one request");
	if (!iomapi_is_pow2(len) || addr & (len - 1))
		return refuse(r, -EINVAL, "addr", addr, len,
			      "an atomic write is a power of two, naturally aligned");
	if (l->atomic_boundary && len > l->atomic_boundary)
		return refuse(r, -EINVAL, "len", len, l->atomic_boundary,
			      "crosses the boundary of atomic writes");
	return true;
}

static bool check_atomic(const struct iomap_bdev *bdev, struct iomap_bio *bio, struct refusal *r)
{
	if (bio->flags & IOMAP_BIO_ATOMIC) {
		if (!check_atomic_size(bdev, bio->addr, bio->len, r))
			return false;
		if (iomapi_track(bio)->nr_runs > iomapi_atomic_segs(bdev))
			return refuse(r, -EINVAL, "nr_segs", bio->nr_segs,
				      iomapi_atomic_segs(bdev),
				      "more segments than one request has");
	}
	if (!bio->atomic_bytes)
		return true;
	if (bio->op != IOMAP_BIO_WRITE)
		return refuse(r, -EINVAL, "op", bio->op, IOMAP_BIO_WRITE, "only writes are atomic");
	if (!check_atomic_size(bdev, 0, bio->atomic_bytes, r))
		return false;
	if ((bio->addr | bio->len) & (bio->atomic_bytes - 1))
		return refuse(r, -EINVAL, "atomic_bytes", bio->addr | bio->len, bio->atomic_bytes,
			      "not made of whole atomic chunks");
	return true;
}

static bool check(const struct iomap_bdev *bdev, struct iomap_bio *bio, int dev,
		  struct refusal *r)
{
	if (dev < 0)
		return refuse(r, -EINVAL, "ioq", 0, 0, "the device is not attached to that queue");
	if (!check_op(bdev, bio, r))
		return false;
	if (bio->op == IOMAP_BIO_FLUSH) {
		if (bio->len || bio->nr_segs)
			return refuse(r, -EINVAL, "len", bio->len, 0, "a flush has no range");
		return true;
	}
	if (!check_range(bdev, bio, r) || !check_segs(bdev, bio, r))
		return false;
	if (iomapi_unlikely(bio->flags & IOMAP_BIO_ATOMIC || bio->atomic_bytes))
		return check_atomic(bdev, bio, r);
	return true;
}

static void report_refusal(struct iomap_env *env, const struct iomap_bio *bio,
			   const struct refusal *r)
{
	iomapi_report(env, .rule = "bio", .callback = "iomap_bio_submit", .field = r->field,
		      .value = r->value, .bound = r->bound, .text = r->text,
		      .pos = (int64_t)bio->addr);
}

/* ---- submit ---- */

/* Does the device take the bio as it stands? */
static bool needs_pieces(const struct iomap_bdev *bdev, struct iomap_bio *bio)
{
	const struct iomap_bdev_limits *l = &bdev->limits;

	if (bio->op == IOMAP_BIO_FLUSH)
		return false;
	if (bio->len > iomapi_max_bytes(bdev, bio->op) || bio->nr_segs > l->max_segs)
		return true;
	if (bio->nr_segs > 1 && iomapi_track(bio)->nr_runs != bio->nr_segs)
		return true;
	if (bio->flags & IOMAP_BIO_PREFLUSH)
		return true;
	if (bio->flags & IOMAP_BIO_FUA && !(l->caps & IOMAP_CAP_FUA && iomapi_has_cache(bdev)))
		return true;
	return bio->atomic_bytes != 0;
}

/* Which of the device's queues; -1: it is not attached there. */
static int find_queue(const struct iomap_bdev *bdev, const struct iomap_ioq *ioq)
{
	uint32_t nr;

	if (!ioq || ioq == bdev->attached[0].ioq)
		return 0;
	nr = iomapi_load(&bdev->nr_attached);
	for (uint32_t i = 1; i < nr; i++)
		if (bdev->attached[i].ioq == ioq)
			return (int)i;
	return -1;
}

/* A bio without a device has no queue it could end on. */
static bool nowhere_to_end(struct iomap_bio *bio)
{
	if (bio->bdev && !iomapi_forked(bio->bdev->env))
		return false;
	bio->status = bio->bdev ? -ECHILD : -EINVAL;
	iomapi_store(&bio->state, IOMAPI_BIO_DONE);
	return true;
}

static void enter(struct iomap_bio *bio, unsigned how, int dev)
{
	struct iomapi_track *t = iomapi_track(bio);

	*t = (struct iomapi_track){ .how = (uint16_t)how, .dev = (uint8_t)iomapi_max(dev, 0) };
	bio->status = 0;
	iomapi_store(&bio->state, IOMAPI_BIO_SUBMITTED);
	iomapi_add(&bio->bdev->active, 1);
}

void iomapi_bio_submit(struct iomap_bio *bio, unsigned how, uint64_t upto)
{
	struct iomap_bdev *bdev = bio->bdev;
	struct iomapi_bioq one = { 0 };
	struct iomap_ioq *ioq;
	struct refusal r;
	int dev;

	if (iomapi_unlikely(nowhere_to_end(bio)))
		return;
	iomapi_assert(!(iomapi_load(&bio->state) & IOMAPI_BIO_SUBMITTED));
	dev = find_queue(bdev, bio->ioq);
	enter(bio, how, dev);
	ioq = iomapi_bio_ioq(bio);
	iomapi_trace(bdev->env, .event = IOMAP_TRACE_BIO_SUBMIT, .bdev = bdev, .addr = bio->addr,
		     .len = bio->len, .type = bio->op, .flags = bio->flags, .id = (uintptr_t)bio);
	if (iomapi_unlikely(!check(bdev, bio, dev, &r))) {
		report_refusal(bdev->env, bio, &r);
		bio->status = r.error;
		iomapi_ioq_end_later(ioq, bio);
		return;
	}
	if (how & IOMAPI_HOW_TICKET)
		iomapi_track(bio)->upto = upto;
	if (needs_pieces(bdev, bio))
		iomapi_track(bio)->how |= IOMAPI_HOW_PIECES;
	else if (!bio->len && nothing_to_do(bio->op)) {
		iomapi_ioq_end_later(ioq, bio);
		return;
	}
	if (iomapi_plug_add(bdev->env, bio))
		return;
	iomapi_bioq_push(&one, bio);
	iomapi_ioq_submit(ioq, &one, 1);
}

IOMAP_API void iomap_bio_submit(struct iomap_bio *bio)
{
	iomapi_bio_submit(bio, 0, 0);
}

void iomapi_bio_end_later(struct iomap_bio *bio)
{
	int status = bio->status, dev;

	if (iomapi_unlikely(nowhere_to_end(bio)))
		return;
	dev = find_queue(bio->bdev, bio->ioq);
	enter(bio, 0, dev);
	bio->status = status;
	iomapi_ioq_end_later(iomapi_bio_ioq(bio), bio);
}

/* ---- limits ---- */

const struct iomap_bdev_limits *iomapi_bdev_limits(const struct iomap_bdev *bdev)
{
	return &bdev->limits;
}

struct iomap_env *iomapi_bdev_env(const struct iomap_bdev *bdev)
{
	return bdev->env;
}

IOMAP_API void iomap_bdev_limits(const struct iomap_bdev *bdev, struct iomap_bdev_limits *limits)
{
	const size_t after = offsetof(struct iomap_bdev_limits, caps);
	struct iomap_bdev_limits now = { .struct_size = limits->struct_size };

	now.size = iomapi_load_relaxed(&bdev->limits.size);	/* all else never changes */
	memcpy((char *)&now + after, (const char *)&bdev->limits + after, sizeof(now) - after);
	memcpy(limits, &now, iomapi_min(limits->struct_size, sizeof(now)));
}

IOMAP_API int iomap_bdev_refresh_size(struct iomap_bdev *bdev)
{
	struct iomap_bdev_limits now = { .struct_size = sizeof(now) };

	if (iomapi_forked(bdev->env))
		return -ECHILD;
	bdev->ops->limits(bdev->dev, &now);
	__atomic_store_n(&bdev->limits.size,
			 iomapi_round_down(now.size, (uint64_t)bdev->limits.logical_block),
			 __ATOMIC_RELAXED);
	return 0;
}

/* ---- zones, persistent memory: passed on ---- */

IOMAP_API int iomap_bdev_report_zones(struct iomap_bdev *bdev, uint64_t from,
				      struct iomap_zone *zones, unsigned nr_zones)
{
	if (iomapi_forked(bdev->env))
		return -ECHILD;
	if (!bdev->ops->report_zones || !(bdev->limits.caps & IOMAP_CAP_ZONED))
		return -ENOTSUP;
	return bdev->ops->report_zones(bdev->dev, from, zones, nr_zones);
}

static bool has_dax(const struct iomap_bdev *bdev)
{
	return bdev->limits.caps & IOMAP_CAP_DAX;
}

IOMAP_API int iomap_bdev_direct_access(struct iomap_bdev *bdev, uint64_t addr, uint64_t len,
				       void **mem, uint64_t *got)
{
	uint64_t size = iomapi_load_relaxed(&bdev->limits.size);

	if (!has_dax(bdev))
		return -ENOTSUP;
	if (addr > size || len > size - addr)
		return -EINVAL;
	return bdev->ops->direct_access(bdev->dev, addr, len, mem, got);
}

IOMAP_API int64_t iomap_bdev_copy(struct iomap_bdev *bdev, void *dst, const void *src, size_t len)
{
	return has_dax(bdev) ? bdev->ops->copy(bdev->dev, dst, src, len) : -ENOTSUP;
}

IOMAP_API int iomap_bdev_zero(struct iomap_bdev *bdev, void *dst, size_t len)
{
	return has_dax(bdev) ? bdev->ops->zero(bdev->dev, dst, len) : -ENOTSUP;
}

IOMAP_API int iomap_bdev_persist(struct iomap_bdev *bdev, const void *mem, size_t len)
{
	return has_dax(bdev) ? bdev->ops->persist(bdev->dev, mem, len) : -ENOTSUP;
}

IOMAP_API void iomap_bdev_fence(struct iomap_bdev *bdev)
{
	if (has_dax(bdev))
		bdev->ops->fence(bdev->dev);
}
