/* SPDX-License-Identifier: MIT */
/*
 * iomap/bio.h - one request to a device.
 *
 * For those who use a device directly: journals, double-write buffers, custom submit hooks.  Memory
 * and segments are the caller's until end_io.  A request larger than the device takes is split by
 * the library; the error is per piece.
 *   submit   never blocks, never calls back; errors arrive through end_io, from a later poll.
 *   end_io   in the thread that reaps, after it gave up leadership; leaf locks only; polling there
 *            is -EDEADLK.  The bio belongs to end_io.
 */
#ifndef IOMAP_BIO_H
#define IOMAP_BIO_H

#include "types.h"

IOMAP_BEGIN_DECLS

enum iomap_bio_op {
	IOMAP_BIO_READ, IOMAP_BIO_WRITE, IOMAP_BIO_FLUSH, IOMAP_BIO_DISCARD, IOMAP_BIO_WRITE_ZEROES,
	IOMAP_BIO_ZONE_APPEND,		/* addr: zone start; the address given, at completion */
	IOMAP_BIO_ZONE_RESET, IOMAP_BIO_ZONE_FINISH, IOMAP_BIO_ZONE_OPEN, IOMAP_BIO_ZONE_CLOSE,
};
enum {				/* bio flags, the submitter's */
	IOMAP_BIO_PREFLUSH	= 1 << 0,	/* what completed before is durable first */
	IOMAP_BIO_FUA		= 1 << 1,	/* these bytes are durable at completion */
	IOMAP_BIO_ATOMIC	= 1 << 2,	/* never torn; -EINVAL if the device cannot */
	IOMAP_BIO_NOWAIT	= 1 << 3,	/* -EAGAIN instead of parking */
	IOMAP_BIO_POLLED	= 1 << 4,
};
struct iomap_bvec {
	void *mem;
	size_t len;
	void *owner;		/* whose memory; the library never looks */
};
struct iomap_bio {		/* embeddable; iomap_bio_init first */
	uint8_t op, priority;
	uint16_t flags;
	int32_t status;		/* the first error of all pieces */
	struct iomap_bdev *bdev;
	struct iomap_ioq *ioq;	/* NULL: the device's own */
	uint64_t addr;
	uint64_t len;		/* sum of the segments, or the range of an op without memory */
	struct iomap_bvec *segs;
	uint32_t nr_segs, max_segs;
	uint32_t grain;		/* splits fall on multiples of it from addr */
	uint32_t atomic_bytes;	/* each natural chunk goes as one atomic request */
	void (*end_io)(struct iomap_bio *bio);		/* may be NULL for iomap_bio_wait */
	/* optional; before end_io, once per split piece, once for what was not split or never
	 * sent; any order; together they cover the bio */
	void (*piece_end)(struct iomap_bio *bio, uint64_t off, uint64_t len, int status);
	void *owner;
	iomap_word state, pieces;
	uint64_t backend[8];	/* the backend's, from queue to reap */
	uint64_t opaque[4], spare[4];
};
IOMAP_API void iomap_bio_init(struct iomap_bio *bio, struct iomap_bdev *bdev, enum iomap_bio_op op,
			      uint64_t addr, struct iomap_bvec *segs, unsigned max_segs);
IOMAP_API int iomap_bio_add(struct iomap_bio *bio, void *mem, size_t len, void *own); /* -ENOSPC */
IOMAP_API void iomap_bio_submit(struct iomap_bio *bio);
IOMAP_API int iomap_bio_wait(struct iomap_bio *bio);	/* transport wait; the status */
/* A request: the bio still completes exactly once, with its result or -ECANCELED. */
IOMAP_API void iomap_bio_cancel(struct iomap_bio *bio);

/* A pool of bios inside larger objects: front_pad bytes before each, for iomap_container_of. */
struct iomap_bio_pool;
IOMAP_API int iomap_bio_pool_new(struct iomap_env *env, size_t front_pad, unsigned nr_bios,
				 unsigned max_segs, struct iomap_bio_pool **pool);
IOMAP_API void iomap_bio_pool_delete(struct iomap_bio_pool **pool);
IOMAP_API struct iomap_bio *iomap_bio_pool_get(struct iomap_bio_pool *pool);	/* NULL: empty */
IOMAP_API void iomap_bio_pool_put(struct iomap_bio_pool *pool, struct iomap_bio *bio);

IOMAP_END_DECLS
#endif
