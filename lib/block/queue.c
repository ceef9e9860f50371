/* SPDX-License-Identifier: MIT */
/*
 * block/queue.c - bios go to the backend and come back: parking, stages, pieces.
 *
 * A bio that the device takes as it stands goes to the backend itself.  Any other passes through
 * stages, in each of which it is made of pieces:
 *
 *	NEW -> PREFLUSH -> DATA -> FLUSH -> complete
 *	       (a flush)   (pieces) (a flush, for FUA that the device does not have)
 *
 * bio->pieces counts the pieces under way and, while DATA is being handed out, one for that.  What
 * ends a stage is its last piece; the bio then stands at the front of the parked list again, or is
 * complete.  A stage that does not apply is skipped; after an error the next is not begun.
 *
 * What the backend does not take parks: per backend, the background apart from the rest, in order.
 *
 * Threads: the leader of the ioq only, except iomapi_bio_stage_over and iomapi_bio_fail.
 */
#include "base/log.h"
#include "base/trace.h"
#include "block/block.h"

static struct iomapi_queue *queue_of(struct iomap_bio *bio)
{
	return bio->bdev->attached[iomapi_track(bio)->dev].queue;
}

void iomapi_bio_fail(struct iomap_bio *bio, int error)
{
	int32_t none = 0;

	iomapi_cas(&bio->status, &none, error);
}

/* ---- complete: end_io is somebody else's business ---- */

static void complete(struct iomap_ioq *ioq, struct iomap_bio *bio)
{
	iomapi_bioq_push(&ioq->ended, bio);
}

static void park(struct iomap_ioq *ioq, struct iomap_bio *bio, bool front)
{
	struct iomapi_bioq *parked = &queue_of(bio)->parked[iomapi_bio_class(bio)];

	if (front)
		iomapi_bioq_push_front(parked, bio);
	else
		iomapi_bioq_push(parked, bio);
	iomapi_count(&ioq->nr_parked, 1);
}

static bool fua_is_emulated(const struct iomap_bio *bio)
{
	return (bio->flags & IOMAP_BIO_FUA) && iomapi_has_cache(bio->bdev) &&
	       !(bio->bdev->limits.caps & IOMAP_CAP_FUA);
}

bool iomapi_bio_stage_over(struct iomap_bio *bio)
{
	struct iomapi_track *t = iomapi_track(bio);

	switch (t->stage) {
	case IOMAPI_STAGE_PREFLUSH:
		if (iomapi_load(&bio->status))
			return true;
		t->stage = IOMAPI_STAGE_DATA;
		iomapi_store(&bio->pieces, 1);
		return false;
	case IOMAPI_STAGE_DATA:
		/* Before the flush goes out, so that it covers this write. */
		if (iomapi_op_writes(bio->op))
			iomapi_write_ended(bio);
		if (iomapi_load(&bio->status) || !fua_is_emulated(bio))
			return true;
		t->stage = IOMAPI_STAGE_FLUSH;
		return false;
	}
	return true;
}

/* One piece less; the last ends the stage. */
static void drop(struct iomap_ioq *ioq, struct iomap_bio *bio)
{
	if (iomapi_sub(&bio->pieces, 1))
		return;
	if (iomapi_bio_stage_over(bio))
		complete(ioq, bio);
	else
		park(ioq, bio, true);
}

static void piece_complete(struct iomap_ioq *ioq, struct iomap_bio *req)
{
	struct iomapi_piece *piece = iomapi_piece(req);
	struct iomap_bio *bio = piece->parent;

	if (req->status)
		iomapi_bio_fail(bio, req->status);
	if (req->op == IOMAP_BIO_ZONE_APPEND)
		bio->addr = req->addr;
	if (bio->piece_end && req->op != IOMAP_BIO_FLUSH) {
		complete(ioq, req);	/* its callback first; then it is dropped there */
		return;
	}
	iomapi_piece_free(ioq, piece);
	drop(ioq, bio);
}

void iomapi_req_complete(struct iomap_ioq *ioq, struct iomap_bio *req)
{
	if (req->op == IOMAP_BIO_FLUSH)
		iomapi_flush_end(req);
	if (iomapi_track(req)->how & IOMAPI_HOW_PIECE) {
		piece_complete(ioq, req);
		return;
	}
	if (iomapi_op_writes(req->op))
		iomapi_write_ended(req);
	complete(ioq, req);
}

/* ---- to the backend ---- */

static bool has_slot(const struct iomap_ioq *ioq, const struct iomapi_queue *q,
		     const struct iomap_bio *bio)
{
	return q->in_flight < ioq->opts.depth &&
	       (iomapi_bio_class(bio) || q->in_flight_background < ioq->opts.max_background);
}

static void count_queued(struct iomap_ioq *ioq, struct iomapi_queue *q, unsigned class,
			 uint64_t len)
{
	q->in_flight++;
	iomapi_count(&ioq->in_flight, 1);
	if (class)
		return;
	q->in_flight_background++;
	iomapi_count(&ioq->background_bytes, len);
}

/* False: it has to park. */
static bool issue(struct iomap_ioq *ioq, struct iomapi_queue *q, struct iomap_bio *req)
{
	struct iomap_bdev *bdev = req->bdev;
	enum iomap_queued answer;

	if (!has_slot(ioq, q, req))
		return false;
	if (req->op == IOMAP_BIO_FLUSH)
		iomapi_flush_start(req);
	req->status = 0;
	answer = q->ops->queue(q->queue, bdev->dev, req);
	if (answer == IOMAP_QUEUE_QUEUED)
		iomapi_track(req)->how |= IOMAPI_HOW_AT_BACKEND;
	if (answer == IOMAP_QUEUE_BUSY) {
		iomapi_count(&ioq->full, 1);
		return false;
	}
	iomapi_trace(ioq->env, .event = IOMAP_TRACE_BIO_QUEUE, .bdev = bdev, .addr = req->addr,
		     .len = req->len, .type = req->op, .flags = req->flags, .id = (uintptr_t)req);
	q->uncommitted = true;
	if (answer == IOMAP_QUEUE_DONE)
		iomapi_req_complete(ioq, req);
	else
		count_queued(ioq, q, iomapi_bio_class(req), req->len);
	return true;
}

static bool send_flush(struct iomap_ioq *ioq, struct iomapi_queue *q, struct iomap_bio *bio)
{
	struct iomapi_piece *piece = iomapi_piece_flush(ioq, bio);

	if (!piece)
		return false;
	iomapi_store(&bio->pieces, 1);
	if (issue(ioq, q, &piece->bio))
		return true;
	iomapi_piece_free(ioq, piece);
	return false;
}

static bool send_data(struct iomap_ioq *ioq, struct iomapi_queue *q, struct iomap_bio *bio)
{
	while (iomapi_track(bio)->off < bio->len) {
		struct iomapi_piece *piece;
		uint64_t len;

		if (!has_slot(ioq, q, bio))
			return false;
		piece = iomapi_piece_next(ioq, bio);
		if (!piece)
			return false;
		len = piece->bio.len;
		iomapi_add(&bio->pieces, 1);
		if (piece->bio.status) {
			iomapi_req_complete(ioq, &piece->bio);
		} else if (!issue(ioq, q, &piece->bio)) {
			iomapi_sub(&bio->pieces, 1);
			iomapi_piece_free(ioq, piece);
			return false;
		}
		iomapi_piece_sent(bio, len);
	}
	drop(ioq, bio);
	return true;
}

static bool start_pieces(struct iomap_ioq *ioq, struct iomapi_queue *q, struct iomap_bio *bio)
{
	struct iomapi_track *t = iomapi_track(bio);
	bool fresh = t->stage == IOMAPI_STAGE_NEW, sent;

	if (fresh) {
		t->stage = (bio->flags & IOMAP_BIO_PREFLUSH) && iomapi_has_cache(bio->bdev)
				   ? IOMAPI_STAGE_PREFLUSH : IOMAPI_STAGE_DATA;
		iomapi_store(&bio->pieces, 1);
	}
	sent = t->stage == IOMAPI_STAGE_DATA ? send_data(ioq, q, bio) : send_flush(ioq, q, bio);
	if (!sent && fresh && !t->off)
		t->stage = IOMAPI_STAGE_NEW;	/* nothing has left: it can still be cancelled */
	return sent;
}

/* False: as before, to be parked at the front. */
static bool start(struct iomap_ioq *ioq, struct iomapi_queue *q, struct iomap_bio *bio)
{
	if (iomapi_track(bio)->how & IOMAPI_HOW_PIECES)
		return start_pieces(ioq, q, bio);
	if (bio->op == IOMAP_BIO_FLUSH && iomapi_flush_covered(bio)) {
		complete(ioq, bio);
		return true;
	}
	return issue(ioq, q, bio);
}

/* ---- the parked lists ---- */

/* End what has not begun and may not stay: cancelled bios, or those that must not park. */
static void sweep(struct iomap_ioq *ioq, struct iomapi_bioq *parked, bool nowait)
{
	struct iomapi_bioq keep = { 0 };
	struct iomap_bio *bio;

	while ((bio = iomapi_bioq_pop(parked))) {
		bool out = nowait ? bio->flags & IOMAP_BIO_NOWAIT
				  : iomapi_load(&bio->state) & IOMAPI_BIO_CANCEL;

		if (!out || iomapi_track(bio)->stage != IOMAPI_STAGE_NEW) {
			iomapi_bioq_push(&keep, bio);
			continue;
		}
		bio->status = nowait ? -EAGAIN : -ECANCELED;
		iomapi_count(&ioq->nr_parked, -1ull);
		complete(ioq, bio);
	}
	*parked = keep;
}

static void sweep_all(struct iomap_ioq *ioq, bool nowait)
{
	for (uint32_t i = 0; i < ioq->nr_queues; i++)
		for (unsigned class = 0; class < 2; class++)
			sweep(ioq, &ioq->queues[i].parked[class], nowait);
}

/* The background waits while others do: it would only take the slots they need. */
static void serve(struct iomap_ioq *ioq, struct iomapi_queue *q)
{
	for (int class = 1; class >= 0; class--) {
		struct iomap_bio *bio;

		while ((bio = iomapi_bioq_pop(&q->parked[class]))) {
			iomapi_count(&ioq->nr_parked, -1ull);
			if (!start(ioq, q, bio)) {
				park(ioq, bio, true);
				return;
			}
		}
	}
}

/* It may go without standing in line. */
static bool overtakes_nobody(struct iomap_bio *bio)
{
	const struct iomapi_queue *q = queue_of(bio);

	return !q->parked[0].head && !q->parked[1].head &&
	       !(iomapi_load_relaxed(&bio->state) & IOMAPI_BIO_CANCEL);
}

/* An errand is gone as soon as it is done.  Its asker is told now: this leader may sleep next. */
static void run_errands(struct iomap_ioq *ioq)
{
	while (ioq->taken) {
		struct iomapi_errand *errand = ioq->taken;

		ioq->taken = errand->next;
		errand->fn(errand->arg);
		iomapi_store(&errand->done, true);
	}
	iomap_mutex_lock(ioq->env, &ioq->lock);
	iomapi_ioq_wake_followers(ioq);
	iomap_mutex_unlock(ioq->env, &ioq->lock);
}

void iomapi_ioq_pump(struct iomap_ioq *ioq)
{
	struct iomap_bio *bio;

	if (iomapi_unlikely(ioq->taken))
		run_errands(ioq);
	if (!ioq->incoming.head && !ioq->nr_parked)
		return;
	while ((bio = iomapi_bioq_pop(&ioq->incoming)))
		if (!overtakes_nobody(bio) || !start(ioq, queue_of(bio), bio)) {
			ioq->nowait |= (bio->flags & IOMAP_BIO_NOWAIT) != 0;
			ioq->sweep |= (iomapi_load_relaxed(&bio->state) & IOMAPI_BIO_CANCEL) != 0;
			park(ioq, bio, false);
		}
	if (iomapi_unlikely(ioq->sweep)) {
		ioq->sweep = false;
		sweep_all(ioq, false);
	}
	for (uint32_t i = 0; i < ioq->nr_queues; i++) {
		struct iomapi_queue *q = &ioq->queues[i];

		if (q->parked[0].head || q->parked[1].head)
			serve(ioq, q);
		if (q->uncommitted) {
			q->uncommitted = false;
			iomapi_count(&ioq->batches, 1);
			q->ops->commit(q->queue);
		}
	}
	if (iomapi_unlikely(ioq->nowait)) {
		ioq->nowait = false;
		sweep_all(ioq, true);
	}
}
