/* SPDX-License-Identifier: MIT */
/*
 * block/reap.c - the way out: reaping, following, running callbacks, the transport waits.
 *
 * A reaper becomes leader, takes what the backends have done, gives leadership up and then runs the
 * callbacks.  When another thread leads it follows: it sleeps on ioq->turn, which is bumped when a
 * leader leaves and after each batch of callbacks, and takes over if need be.
 *
 * No wake-up is lost: a leader says under the lock that it is going to sleep in a backend
 * (ioq->sleeping) after looking once more at all it could be woken for; whoever changes one of
 * these does so under the lock, or takes the lock afterwards, and wakes a sleeping leader.
 *
 * Threads: any.  Callbacks run without lock and leadership, so that they may submit.
 */
#include <limits.h>

#include "base/log.h"
#include "base/trace.h"
#include "block/block.h"

#define SLICE_NS	1000000		/* of a sleep in one of several busy backends */

/* ---- callbacks ---- */

/* The last touch of a bio: its end_io gets it, or the thread in iomap_bio_wait. */
static void end_bio(struct iomap_ioq *ioq, struct iomap_bio *bio)
{
	struct iomap_bdev *bdev = bio->bdev;
	bool wake = iomapi_track(bio)->how & IOMAPI_HOW_WAKE;

	iomapi_trace(ioq->env, .event = IOMAP_TRACE_BIO_END, .bdev = bdev, .result = bio->status,
		     .addr = bio->addr, .len = bio->len, .type = bio->op, .flags = bio->flags,
		     .id = (uintptr_t)bio);
	/* The pieces cover the bio: what was not sent in pieces is one of them. */
	if (bio->piece_end && iomapi_track(bio)->off < bio->len)
		bio->piece_end(bio, iomapi_track(bio)->off, bio->len - iomapi_track(bio)->off,
			       bio->status);
	if (bio->end_io) {
		iomapi_store(&bio->state, 0);
		bio->end_io(bio);
	} else {
		iomapi_store(&bio->state, IOMAPI_BIO_DONE);
		if (wake)
			iomap_env_wake(ioq->env, &bio->state, 1);
	}
	if (bdev)
		iomapi_sub(&bdev->active, 1);
}

struct ends {				/* what running a batch brings about */
	struct iomapi_bioq pieces, resumed;
	unsigned nr_late;		/* bios whose last piece ended here */
};

/* True: it was the last piece of a bio that is now complete. */
static bool end_piece(struct iomap_bio *req, struct ends *ends)
{
	struct iomapi_piece *piece = iomapi_piece(req);
	struct iomap_bio *bio = piece->parent;

	bio->piece_end(bio, piece->off, req->len, req->status);
	iomapi_bioq_push(&ends->pieces, req);
	if (iomapi_sub(&bio->pieces, 1))
		return false;
	if (iomapi_bio_stage_over(bio))
		return true;
	iomapi_bioq_push(&ends->resumed, bio);
	return false;
}

/* The leader sleeps, and what it waits for may have come; lock held. */
static void wake_watcher(struct iomap_ioq *ioq)
{
	if (!ioq->sleeping || !ioq->watched)
		return;
	ioq->sleeping->ops->wakeup(ioq->sleeping->queue);
	ioq->sleeping = NULL;
}

/* Run callbacks outside of leadership, then settle what they leave, all at once.  nr bios and some
 * pieces; returns how many bios ended. */
static unsigned run_batch(struct iomap_ioq *ioq, struct iomapi_bioq *batch, unsigned nr)
{
	struct iomap_bio *bio;
	struct ends ends = { 0 };

	if (!batch->head)
		return 0;
	iomapi_callback_start(ioq->env);
	while ((bio = iomapi_bioq_pop(batch))) {
		if (iomapi_track(bio)->how & IOMAPI_HOW_PIECE) {
			struct iomap_bio *parent = iomapi_piece(bio)->parent;

			if (!end_piece(bio, &ends))
				continue;
			ends.nr_late++;
			bio = parent;
		}
		end_bio(ioq, bio);
	}
	iomapi_callback_end(ioq->env);
	nr += ends.nr_late;
	iomap_mutex_lock(ioq->env, &ioq->lock);
	iomapi_count(&ioq->nr_active, -nr);
	iomapi_count(&ioq->nr_pending, -ends.nr_late);
	iomapi_count(&ioq->completed, nr);
	wake_watcher(ioq);
	iomapi_ioq_wake_followers(ioq);
	if (ends.pieces.head || ends.resumed.head) {
		iomapi_bioq_splice(&ioq->returned, &ends.pieces);
		iomapi_bioq_splice(&ioq->resumed, &ends.resumed);
		iomapi_ioq_nudge(ioq);
		return nr;
	}
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return nr;
}

/* Up to *max bios and pieces, any of which may be the last of its bio.  Returns the bios. */
static unsigned take_ends(struct iomapi_bioq *from, struct iomapi_bioq *batch, unsigned *max)
{
	unsigned nr = 0;

	for (; from->head && *max; --*max) {
		struct iomap_bio *bio = iomapi_bioq_pop(from);

		nr += !(iomapi_track(bio)->how & IOMAPI_HOW_PIECE);
		iomapi_bioq_push(batch, bio);
	}
	return nr;
}

/* MANUAL: keep all but those that nobody has a callback for.  They count as ended all the same. */
static unsigned queue_manual(struct iomap_ioq *ioq, struct iomapi_bioq *batch, unsigned nr)
{
	struct iomapi_bioq now = { 0 }, later = { 0 };
	struct iomap_bio *bio;
	unsigned nr_now = 0;

	while ((bio = iomapi_bioq_pop(batch))) {
		if (bio->end_io || iomapi_track(bio)->how & IOMAPI_HOW_PIECE) {
			iomapi_bioq_push(&later, bio);
			continue;
		}
		iomapi_bioq_push(&now, bio);
		nr_now++;
	}
	if (later.head) {
		iomap_mutex_lock(ioq->env, &ioq->lock);
		iomapi_bioq_splice(&ioq->manual, &later);
		iomapi_event_update(ioq);
		wake_watcher(ioq);
		iomapi_ioq_wake_followers(ioq);
		iomap_mutex_unlock(ioq->env, &ioq->lock);
		iomapi_env_event(ioq->env);
	}
	run_batch(ioq, &now, nr_now);
	return nr;
}

int iomapi_ioq_run_manual(struct iomap_ioq *ioq, unsigned max)
{
	struct iomapi_bioq batch = { 0 };
	unsigned nr;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	nr = take_ends(&ioq->manual, &batch, &max);
	iomapi_event_update(ioq);
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return (int)run_batch(ioq, &batch, nr);
}

/* ---- as leader ---- */

/* What the backend gave back is its own: it does so once (O20).  A bio that has ended may be gone;
 * then nothing helps but the sanitizers. */
static bool take_back(struct iomap_ioq *ioq, struct iomapi_queue *q, struct iomap_bio *bio)
{
	struct iomapi_track *t = iomapi_track(bio);

	if (iomapi_unlikely(!(t->how & IOMAPI_HOW_AT_BACKEND))) {
		iomapi_report(ioq->env, .rule = "O20", .callback = q->ops->scheme,
			      .field = "reap", .value = bio->addr,
			      .text = "a bio that the backend has given back already");
		return false;
	}
	t->how &= (uint16_t)~IOMAPI_HOW_AT_BACKEND;
	iomapi_assert(q->in_flight);
	q->in_flight--;
	iomapi_count(&ioq->in_flight, -1ull);
	if (!iomapi_bio_class(bio)) {
		q->in_flight_background--;
		iomapi_count(&ioq->background_bytes, -bio->len);
	}
	return true;
}

static unsigned reap_queue(struct iomap_ioq *ioq, struct iomapi_queue *q, unsigned min,
			   unsigned max, int64_t timeout_ns)
{
	struct iomap_bio *done[IOMAPI_REAP_BATCH];
	int n = q->ops->reap(q->queue, done, min, iomapi_min(max, IOMAPI_REAP_BATCH), timeout_ns);

	iomapi_assert(n <= IOMAPI_REAP_BATCH);
	if (iomapi_unlikely(n < 0)) {
		iomapi_report(ioq->env, .rule = "backend", .callback = q->ops->scheme,
			      .field = "reap", .value = (uint64_t)-n, .text = "reap failed");
		iomapi_yield(ioq->env, "ioq-reap");
		return 0;
	}
	for (int i = 0; i < n; i++)
		if (take_back(ioq, q, done[i]))
			iomapi_req_complete(ioq, done[i]);
	return (unsigned)n;
}

static bool met(const struct iomap_ioq *ioq, const struct iomapi_watch *watch)
{
	switch (watch->kind) {
	case IOMAPI_WATCH_POLL:
		return false;
	case IOMAPI_WATCH_DRIVE:
		return iomapi_wait_over(ioq->env);
	case IOMAPI_WATCH_ZERO:
		return iomapi_load(watch->word) == 0;
	case IOMAPI_WATCH_DONE:
		return iomapi_load(watch->word) & IOMAPI_BIO_DONE;
	}
	return false;
}

/* The last look before sleeping; true: *q is where, and whoever has news will wake it. */
static bool may_sleep(struct iomap_ioq *ioq, struct iomapi_queue *q,
		      const struct iomapi_watch *watch)
{
	bool sleep;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	sleep = iomapi_ioq_inbox_empty(ioq) && !ioq->done.head && !ioq->claims &&
		!(watch->callbacks && ioq->manual.head) && !met(ioq, watch);
	if (sleep) {
		ioq->sleeping = q;
		ioq->watched = watch->kind == IOMAPI_WATCH_ZERO || watch->kind == IOMAPI_WATCH_DONE;
	}
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return sleep;
}

/* Sleep in a backend that has something of ours; with several, a slice in each in turn. */
static unsigned sleep_in_backend(struct iomap_ioq *ioq, unsigned max, int64_t timeout_ns,
				 const struct iomapi_watch *watch)
{
	struct iomapi_queue *q = NULL;
	unsigned nr_busy = 0, n;

	for (uint32_t i = 0; i < ioq->nr_queues; i++) {
		uint32_t at = (ioq->next_queue + i) % ioq->nr_queues;

		if (!ioq->queues[at].in_flight)
			continue;
		if (!nr_busy++)
			q = &ioq->queues[at];
	}
	if (!q) {		/* a backend that is busy with nothing of ours: ask again */
		iomapi_yield(ioq->env, "ioq-busy");
		return 0;
	}
	if (nr_busy > 1) {
		ioq->next_queue = (uint32_t)(q - ioq->queues) + 1;
		if (timeout_ns < 0 || timeout_ns > SLICE_NS)
			timeout_ns = SLICE_NS;
	}
	if (!may_sleep(ioq, q, watch))
		return 0;
	n = reap_queue(ioq, q, 1, max, timeout_ns);
	iomap_mutex_lock(ioq->env, &ioq->lock);
	ioq->sleeping = NULL;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return n;
}

/* What is there, at most max.  Where that leaves out some queues, they are the first next time. */
static unsigned collect_ready(struct iomap_ioq *ioq, unsigned max)
{
	unsigned n = 0;
	uint32_t i;

	for (i = 0; i < ioq->nr_queues && n < max; i++) {
		struct iomapi_queue *q = &ioq->queues[(ioq->next_queue + i) % ioq->nr_queues];

		/* An event fd may be up for what the library has had already: only a reap takes
		 * it down. */
		if (q->in_flight || ioq->has_event)
			n += reap_queue(ioq, q, 0, max - n, 0);
	}
	if (i < ioq->nr_queues)
		ioq->next_queue = (ioq->next_queue + i) % ioq->nr_queues;
	return n;
}

static void collect(struct iomap_ioq *ioq, unsigned max, int64_t timeout_ns,
		    const struct iomapi_watch *watch)
{
	unsigned n = collect_ready(ioq, max);

	if (!n && !ioq->ended.head && timeout_ns)
		n = sleep_in_backend(ioq, max, timeout_ns, watch);
	if (n)
		iomapi_ioq_pump(ioq);
}

static bool has_work(const struct iomap_ioq *ioq)
{
	return ioq->nr_pending || ioq->errands || ioq->has_event;
}

int iomapi_ioq_reap(struct iomap_ioq *ioq, unsigned max, int64_t timeout_ns,
		    const struct iomapi_watch *watch)
{
	struct iomapi_bioq batch = { 0 };
	unsigned nr;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	nr = take_ends(&ioq->done, &batch, &max);
	iomapi_count(&ioq->nr_pending, -nr);
	if (ioq->leading || ioq->claims || !has_work(ioq) || !max) {
		bool follow = !batch.head && ioq->nr_pending;

		iomapi_event_update(ioq);
		iomap_mutex_unlock(ioq->env, &ioq->lock);
		if (follow)
			return -EBUSY;
	} else {
		unsigned more;

		if (batch.head || !ioq->nr_pending)
			timeout_ns = 0;
		ioq->leading = true;
		iomapi_ioq_take_inbox(ioq);
		iomap_mutex_unlock(ioq->env, &ioq->lock);
		iomapi_ioq_pump(ioq);
		collect(ioq, max, timeout_ns, watch);
		iomap_mutex_lock(ioq->env, &ioq->lock);
		more = take_ends(&ioq->ended, &batch, &max);
		iomapi_count(&ioq->nr_pending, -more);
		nr += more;
		iomapi_ioq_leave(ioq);
	}
	if (iomapi_env_opts(ioq->env)->callbacks == IOMAP_CALLBACKS_MANUAL)
		return (int)queue_manual(ioq, &batch, nr);
	return (int)run_batch(ioq, &batch, nr);
}

/* ---- transport waits ---- */

static int64_t deadline_of(struct iomap_env *env, int64_t timeout_ns)
{
	return timeout_ns > 0 ? iomapi_end(iomapi_now(env), (uint64_t)timeout_ns) : timeout_ns;
}

static int64_t time_left(struct iomap_env *env, int64_t deadline)
{
	int64_t left;

	if (deadline <= 0)
		return deadline;
	left = deadline - iomapi_now(env);
	return left > 0 ? left : 0;
}

/* Another thread leads, or there is nothing to reap: sleep until that may have changed. */
static void follow(struct iomap_ioq *ioq, const struct iomapi_watch *watch, int64_t timeout_ns)
{
	bool owner = iomapi_ioq_is_owner(ioq), sleep;
	uint32_t seen;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	sleep = !owner || (!ioq->done.head && !ioq->errands &&
			   (ioq->leading || ioq->claims || !ioq->nr_pending));
	if (watch->callbacks && ioq->manual.head)
		sleep = false;
	if (met(ioq, watch) || (watch->kind == IOMAPI_WATCH_POLL && !ioq->nr_pending))
		sleep = false;
	seen = iomapi_load(&ioq->turn);
	ioq->followers += sleep;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	if (!sleep)
		return;
	iomapi_sleep(ioq->env, &ioq->turn, seen, timeout_ns);
	iomap_mutex_lock(ioq->env, &ioq->lock);
	ioq->followers--;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
}

/* MANUAL: everything left may hang on callbacks that only the client can run. */
static bool stuck_on_client(struct iomap_ioq *ioq)
{
	bool stuck;

	iomap_mutex_lock(ioq->env, &ioq->lock);
	stuck = ioq->manual.head && !iomapi_load_relaxed(&ioq->in_flight);
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return stuck;
}

IOMAP_API int iomap_ioq_poll(struct iomap_ioq *ioq, unsigned min, unsigned max, int64_t timeout_ns)
{
	static const struct iomapi_watch watch = { .kind = IOMAPI_WATCH_POLL };
	int64_t deadline = 0;
	unsigned n = 0;
	int rc = iomapi_may_wait(ioq->env);

	if (rc)
		return rc;
	if (!iomapi_ioq_is_owner(ioq))
		return -EPERM;
	max = iomapi_min(max, (unsigned)INT_MAX);
	min = iomapi_min(min, max);
	if (min)
		deadline = deadline_of(ioq->env, timeout_ns);
	do {
		int64_t left = time_left(ioq->env, deadline);

		rc = max ? iomapi_ioq_reap(ioq, max - n, left, &watch) : 0;
		if (rc == -EBUSY && left)
			follow(ioq, &watch, left);
		n += rc > 0 ? (unsigned)rc : 0;
		if (n >= min || !left || !iomapi_load_relaxed(&ioq->nr_pending))
			break;
	} while (rc > 0 || !stuck_on_client(ioq));
	return (int)n;
}

int iomapi_ioq_wait(struct iomap_ioq *ioq, const struct iomapi_watch *watch, int64_t timeout_ns)
{
	int64_t deadline = deadline_of(ioq->env, timeout_ns);

	while (!met(ioq, watch)) {
		int64_t left = time_left(ioq->env, deadline);
		int rc = -EBUSY;

		if (watch->callbacks && iomapi_ioq_run_manual(ioq, UINT_MAX))
			continue;
		if (iomapi_ioq_is_owner(ioq))
			rc = iomapi_ioq_reap(ioq, UINT_MAX, left, watch);
		if (rc > 0 || met(ioq, watch))
			continue;
		if (!left)
			return -ETIMEDOUT;
		if (rc == -EBUSY || !iomapi_load_relaxed(&ioq->nr_pending))
			follow(ioq, watch, left);
	}
	return 0;
}

IOMAP_API int iomap_ioq_drain(struct iomap_ioq *ioq, int64_t timeout_ns)
{
	int rc = iomapi_may_wait(ioq->env);

	if (rc)
		return rc;
	return iomapi_ioq_wait(ioq, &(struct iomapi_watch){ IOMAPI_WATCH_ZERO, &ioq->nr_active,
							    true }, timeout_ns);
}
