/* SPDX-License-Identifier: MIT */
/*
 * block/flush.c - what is durable: write numbers, flush requests, tickets.
 *
 * write_seq counts the writes of a device that have completed.  A flush request remembers the count
 * at the moment it goes out; when it comes back well, all writes up to there are durable, and a
 * ticket up to there is free.  Flushes before and after a write (PREFLUSH, emulated FUA) count as
 * well.  When one fails, all writes since the last good one before it are in doubt, and the inodes
 * written since are told (H9).
 *
 * Threads: any; the two numbers only grow.
 */
#include "base/log.h"
#include "base/trace.h"
#include "block/block.h"

void iomapi_flush_start(struct iomap_bio *req)
{
	struct iomapi_track *t = iomapi_track(req);

	/* In this order: a good flush between the two would only make more writes doubtful. */
	t->seg_off = iomapi_load(&req->bdev->flushed_seq);
	t->off = iomapi_load(&req->bdev->write_seq);
}

void iomapi_flush_end(struct iomap_bio *req)
{
	struct iomapi_track *t = iomapi_track(req);
	struct iomap_bdev *bdev = req->bdev;
	uint64_t seq = iomapi_load(&bdev->flushed_seq);

	iomapi_trace(bdev->env, .event = IOMAP_TRACE_FLUSH, .bdev = bdev, .result = req->status,
		     .addr = t->seg_off, .len = t->off, .id = (uintptr_t)req);
	if (req->status) {
		/* Now, not with the end of the bio, which may be late: a good flush that comes in
		 * between must not let anybody believe that the writes are durable. */
		iomapi_flush_doubt(bdev, req->status);
		iomapi_flush_failed(bdev->env, bdev, t->seg_off, req->status);
		return;
	}
	while (seq < t->off && !iomapi_cas(&bdev->flushed_seq, &seq, t->off))
		;
}

void iomapi_write_ended(struct iomap_bio *bio)
{
	struct iomapi_track *t = iomapi_track(bio);

	t->seq = iomapi_add(&bio->bdev->write_seq, 1);
	t->how |= IOMAPI_HOW_COUNTED;
}

uint64_t iomapi_bio_write_seq(struct iomap_bio *bio)
{
	const struct iomapi_track *t = iomapi_track(bio);

	return t->how & IOMAPI_HOW_COUNTED ? t->seq : 0;
}

/*
 *	end_io of a write			a flush has failed
 *						doubt_seq = write_seq
 *	inode notes the number (wb_lock)	each inode (wb_lock): has it noted one?
 *	number <= doubt_seq?
 * Whoever comes second under the lock finds the other.
 */
void iomapi_flush_doubt(struct iomap_bdev *bdev, int error)
{
	uint64_t seq = iomapi_load(&bdev->doubt_seq), now = iomapi_load(&bdev->write_seq);

	iomapi_store(&bdev->doubt_error, error);
	while (seq < now && !iomapi_cas(&bdev->doubt_seq, &seq, now))
		;
}

int iomapi_bdev_doubt(const struct iomap_bdev *bdev, uint64_t seq)
{
	return seq <= iomapi_load(&bdev->doubt_seq) ? iomapi_load(&bdev->doubt_error) : 0;
}

bool iomapi_flush_covered(struct iomap_bio *req)
{
	const struct iomapi_track *t = iomapi_track(req);

	if (!iomapi_has_cache(req->bdev))
		return true;
	return (t->how & IOMAPI_HOW_TICKET) && iomapi_load(&req->bdev->flushed_seq) >= t->upto;
}

bool iomapi_bdev_flushed(const struct iomap_bdev *bdev, uint64_t upto)
{
	return !iomapi_has_cache(bdev) || iomapi_load(&bdev->flushed_seq) >= upto;
}

IOMAP_API uint64_t iomap_bdev_write_seq(const struct iomap_bdev *bdev)
{
	return iomapi_load(&bdev->write_seq);
}

/* Nobody holds a ticket for writes that have not completed. */
static uint64_t ticket(const struct iomap_bdev *bdev, uint64_t upto)
{
	return iomapi_min(upto, iomapi_load(&bdev->write_seq));
}

IOMAP_API void iomap_bdev_flush_submit(struct iomap_bdev *bdev, uint64_t upto,
				       struct iomap_bio *bio)
{
	bio->bdev = bdev;
	bio->op = IOMAP_BIO_FLUSH;
	bio->addr = 0;
	iomapi_bio_submit(bio, IOMAPI_HOW_TICKET, ticket(bdev, upto));
}

IOMAP_API int iomap_bdev_flush(struct iomap_bdev *bdev, uint64_t upto)
{
	struct iomap_bio bio;
	int rc = iomapi_may_wait(bdev->env);

	if (rc)
		return rc;
	upto = ticket(bdev, upto);
	if (!iomapi_has_cache(bdev) || iomapi_load(&bdev->flushed_seq) >= upto)
		return 0;
	iomap_bio_init(&bio, bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	bio.priority = 7;		/* somebody waits */
	iomapi_bio_submit(&bio, IOMAPI_HOW_TICKET | IOMAPI_HOW_WAKE, upto);
	for (;;) {
		uint32_t seen = iomapi_load(&bio.state);

		if (seen & IOMAPI_BIO_DONE)
			return bio.status;
		iomap_env_wait(bdev->env, &bio.state, seen, IOMAP_FOREVER);
	}
}
