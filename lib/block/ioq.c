/* SPDX-License-Identifier: MIT */
/*
 * block/ioq.c - a queue: its life, its leadership, the way in.
 *
 * Backends want their calls one at a time.  Instead of a lock around each call there is a leader:
 * one thread that may call the backends until it gives leadership up.
 *
 *	submitter			leader
 *	bio -> inbox (lock)		inbox -> incoming (lock)
 *	nobody leads: lead		queue(), commit()
 *	leader sleeps: wakeup		reap(), ends -> ended
 *					lock: inbox empty? no: once more
 *					      yes: lead no more, wake followers
 *					run end_io, without lock or leadership
 *
 * Whoever submits leads just long enough to hand its requests to the backend; a reaper (reap.c)
 * leads while it waits.  A thread that wants the backends for itself (open, close) claims: from
 * then on nobody else becomes leader.
 *
 * Threads: any.  What the lock guards and what is the leader's says block.h.
 */
#include <string.h>

#include "block/block.h"

#define WAKE_ALL 0x7fffffffu

int iomapi_opts_copy(void *dst, size_t size, const void *src)
{
	size_t given;

	memset(dst, 0, size);
	if (!src)
		return 0;
	memcpy(&given, src, sizeof(given));
	if (given < sizeof(given))
		return -EINVAL;
	memcpy(dst, src, iomapi_min(given, size));
	return 0;
}

int iomapi_may_wait(struct iomap_env *env)
{
	struct iomapi_self *self;

	if (iomapi_forked(env))
		return -ECHILD;
	self = iomapi_self(env);
	if (self->in_callback)
		return -EDEADLK;
	if (iomapi_unlikely(self->plug))
		iomap_plug_flush(self->plug);
	return 0;
}

bool iomapi_ioq_is_owner(const struct iomap_ioq *ioq)
{
	return !ioq->owner || ioq->owner == iomapi_self(ioq->env);
}

/* ---- leadership ---- */

void iomapi_ioq_wake_followers(struct iomap_ioq *ioq)
{
	if (!ioq->followers)
		return;
	iomapi_add(&ioq->turn, 1);
	iomapi_wake(ioq->env, &ioq->turn, WAKE_ALL);
}

static void wake_leader(struct iomap_ioq *ioq)
{
	struct iomapi_queue *q = ioq->sleeping;

	if (!q)
		return;
	ioq->sleeping = NULL;		/* once is enough: the backend remembers it */
	q->ops->wakeup(q->queue);
}

void iomapi_ioq_take_inbox(struct iomap_ioq *ioq)
{
	iomapi_bioq_splice(&ioq->incoming, &ioq->inbox);
	while (ioq->resumed.head) {
		struct iomap_bio *bio = iomapi_bioq_pop(&ioq->resumed);
		struct iomapi_queue *q = bio->bdev->attached[iomapi_track(bio)->dev].queue;

		iomapi_bioq_push_front(&q->parked[iomapi_bio_class(bio)], bio);
		iomapi_count(&ioq->nr_parked, 1);
	}
	while (ioq->returned.head)
		iomapi_piece_free(ioq, iomapi_piece(iomapi_bioq_pop(&ioq->returned)));
	ioq->sweep |= ioq->cancels;
	ioq->cancels = false;
	if (iomapi_unlikely(ioq->errands)) {
		ioq->taken = ioq->errands;
		iomapi_store(&ioq->errands, NULL);
	}
}

bool iomapi_ioq_inbox_empty(const struct iomap_ioq *ioq)
{
	return !ioq->inbox.head && !ioq->resumed.head && !ioq->returned.head && !ioq->cancels &&
	       !ioq->errands;
}

static void ioq_sanity(const struct iomap_ioq *ioq)
{
	uint64_t in_flight = 0;

	iomapi_assert(ioq->leading);
	iomapi_assert(!ioq->sleeping);
	iomapi_assert(!ioq->incoming.head);
	iomapi_assert(ioq->nr_pending <= ioq->nr_active);
	iomapi_assert(ioq->nr_parked <= ioq->nr_pending);
	for (uint32_t i = 0; i < ioq->nr_queues; i++) {
		iomapi_assert(ioq->queues[i].in_flight <= ioq->opts.depth);
		iomapi_assert(ioq->queues[i].in_flight_background <= ioq->queues[i].in_flight);
		iomapi_assert(!ioq->queues[i].uncommitted);
		in_flight += ioq->queues[i].in_flight;
	}
	iomapi_assert(in_flight == ioq->in_flight);
}

/* After the unlock the queue may be gone: whoever deletes it waits for leadership to end. */
void iomapi_ioq_leave(struct iomap_ioq *ioq)
{
	struct iomap_env *env = ioq->env;
	bool remains;

	iomapi_bioq_splice(&ioq->done, &ioq->ended);
	while (!iomapi_ioq_inbox_empty(ioq)) {
		iomapi_ioq_take_inbox(ioq);
		iomap_mutex_unlock(ioq->env, &ioq->lock);
		iomapi_ioq_pump(ioq);
		iomap_mutex_lock(ioq->env, &ioq->lock);
		iomapi_bioq_splice(&ioq->done, &ioq->ended);
	}
	ioq_sanity(ioq);
	ioq->leading = false;
	remains = ioq->nr_pending != 0;
	iomapi_event_update(ioq);
	iomapi_ioq_wake_followers(ioq);
	iomap_mutex_unlock(env, &ioq->lock);
	if (remains)
		iomapi_env_handover(env);
}

static bool may_lead(const struct iomap_ioq *ioq)
{
	return !ioq->leading && !ioq->claims && iomapi_ioq_is_owner(ioq);
}

void iomapi_ioq_nudge(struct iomap_ioq *ioq)
{
	struct iomap_env *env = ioq->env;
	bool led = ioq->leading;

	if (may_lead(ioq)) {
		ioq->leading = true;
		iomapi_ioq_leave(ioq);
		return;
	}
	wake_leader(ioq);
	iomapi_event_update(ioq);
	if (!led)
		iomapi_ioq_wake_followers(ioq);
	iomap_mutex_unlock(env, &ioq->lock);
	if (!led)
		iomapi_env_event(env);
}

/* With the lock held, which is dropped meanwhile. */
static void sleep_a_turn(struct iomap_ioq *ioq)
{
	uint32_t seen = iomapi_load(&ioq->turn);

	ioq->followers++;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	iomapi_sleep(ioq->env, &ioq->turn, seen, IOMAP_FOREVER);
	iomap_mutex_lock(ioq->env, &ioq->lock);
	ioq->followers--;
}

/* With the lock held: until nobody leads, and nobody new has begun to. */
static void let_leader_go(struct iomap_ioq *ioq)
{
	ioq->claims++;
	while (ioq->leading) {
		wake_leader(ioq);
		sleep_a_turn(ioq);
	}
	ioq->claims--;
}

void iomapi_ioq_claim(struct iomap_ioq *ioq)
{
	iomapi_assert(iomapi_ioq_is_owner(ioq));
	iomap_mutex_lock(ioq->env, &ioq->lock);
	let_leader_go(ioq);
	ioq->leading = true;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
}

void iomapi_ioq_unclaim(struct iomap_ioq *ioq)
{
	iomap_mutex_lock(ioq->env, &ioq->lock);
	iomapi_ioq_leave(ioq);
}

void iomapi_ioq_do(struct iomap_ioq *ioq, void (*fn)(void *arg), void *arg)
{
	struct iomapi_errand errand = { .fn = fn, .arg = arg };

	if (iomapi_ioq_is_owner(ioq)) {
		iomapi_ioq_claim(ioq);
		fn(arg);
		iomapi_ioq_unclaim(ioq);
		return;
	}
	iomap_mutex_lock(ioq->env, &ioq->lock);
	errand.next = ioq->errands;
	iomapi_store(&ioq->errands, &errand);
	iomapi_ioq_nudge(ioq);
	iomap_mutex_lock(ioq->env, &ioq->lock);
	while (!iomapi_load(&errand.done))
		sleep_a_turn(ioq);
	iomap_mutex_unlock(ioq->env, &ioq->lock);
}

/* ---- the way in ---- */

static void count_in(struct iomap_ioq *ioq, unsigned nr)
{
	iomapi_count(&ioq->nr_pending, nr);
	iomapi_count(&ioq->nr_active, nr);
	iomapi_count(&ioq->submitted, nr);
}

void iomapi_ioq_submit(struct iomap_ioq *ioq, struct iomapi_bioq *bios, unsigned nr)
{
	iomap_mutex_lock(ioq->env, &ioq->lock);
	count_in(ioq, nr);
	if (!may_lead(ioq)) {
		iomapi_bioq_splice(&ioq->inbox, bios);
		iomapi_ioq_nudge(ioq);
		return;
	}
	ioq->leading = true;
	if (iomapi_unlikely(!iomapi_ioq_inbox_empty(ioq)))
		iomapi_ioq_take_inbox(ioq);
	iomapi_bioq_splice(&ioq->incoming, bios);
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	iomapi_ioq_pump(ioq);
	iomap_mutex_lock(ioq->env, &ioq->lock);
	iomapi_ioq_leave(ioq);
}

void iomapi_ioq_end_later(struct iomap_ioq *ioq, struct iomap_bio *bio)
{
	struct iomap_env *env = ioq->env;

	iomap_mutex_lock(env, &ioq->lock);
	iomapi_bioq_push(&ioq->done, bio);
	count_in(ioq, 1);
	iomapi_event_update(ioq);
	wake_leader(ioq);
	iomapi_ioq_wake_followers(ioq);
	iomap_mutex_unlock(env, &ioq->lock);
	iomapi_env_event(env);
}

/* ---- as a driver of object waits ---- */

static struct iomap_ioq *from_driver(struct iomapi_driver *driver)
{
	return iomap_container_of(driver, struct iomap_ioq, driver);
}

static int drive(struct iomapi_driver *driver, unsigned max, int64_t timeout_ns)
{
	static const struct iomapi_watch watch = { .kind = IOMAPI_WATCH_DRIVE };
	struct iomap_ioq *ioq = from_driver(driver);

	if (!iomapi_ioq_is_owner(ioq))
		return -EPERM;
	return iomapi_ioq_reap(ioq, max, timeout_ns, &watch);
}

static bool busy(struct iomapi_driver *driver)
{
	const struct iomap_ioq *ioq = from_driver(driver);

	return iomapi_load_relaxed(&ioq->nr_pending) || iomapi_load_relaxed(&ioq->errands);
}

static void kick(struct iomapi_driver *driver)
{
	struct iomap_ioq *ioq = from_driver(driver);

	iomap_mutex_lock(ioq->env, &ioq->lock);
	wake_leader(ioq);	/* who is not asleep yet asks iomapi_wait_over first */
	iomap_mutex_unlock(ioq->env, &ioq->lock);
}

static int callbacks(struct iomapi_driver *driver, unsigned max)
{
	return iomapi_ioq_run_manual(from_driver(driver), max);
}

/* ---- life ---- */

static int resolve_opts(struct iomap_ioq_opts *o, const struct iomap_ioq_opts *opts)
{
	int rc = iomapi_opts_copy(o, sizeof(*o), opts);

	if (rc)
		return rc;
	o->struct_size = sizeof(*o);
	if (!o->depth)
		o->depth = 256;
	if (!o->max_background)
		o->max_background = iomapi_max(o->depth * 3 / 4, 1u);
	if (!o->max_devices)
		o->max_devices = 1024;
	if (o->backend && strlen(o->backend) >= sizeof(((struct iomap_ioq *)0)->backend))
		return -EINVAL;
	if (o->flags & ~(uint32_t)(IOMAP_IOQ_SINGLE_ISSUER | IOMAP_IOQ_SQPOLL) ||
	    o->depth > IOMAPI_MAX_DEPTH || o->threads > IOMAPI_MAX_THREADS)
		return -EINVAL;
	return 0;
}

IOMAP_API int iomap_ioq_new(struct iomap_env *env, const struct iomap_ioq_opts *opts,
			    struct iomap_ioq **result)
{
	struct iomap_ioq_opts resolved;
	struct iomap_ioq *ioq;
	int rc = resolve_opts(&resolved, opts);

	*result = NULL;
	if (rc)
		return rc;
	if (iomapi_forked(env))
		return -ECHILD;
	ioq = iomapi_zalloc(env, sizeof(*ioq));
	if (!ioq)
		return -ENOMEM;
	ioq->env = env;
	ioq->opts = resolved;
	if (resolved.backend)
		ioq->opts.backend = strcpy(ioq->backend, resolved.backend);
	ioq->refs = 1;
	if (resolved.flags & IOMAP_IOQ_SINGLE_ISSUER)
		ioq->owner = iomapi_self(env);
	iomap_mutex_init(&ioq->lock, IOMAP_RANK_IOQ);
	rc = iomapi_pieces_init(ioq);
	if (rc) {
		iomapi_free(env, ioq, sizeof(*ioq));
		return rc;
	}
	ioq->driver = (struct iomapi_driver){
		.drive = drive, .busy = busy, .kick = kick, .callbacks = callbacks,
		.flush_plug = iomap_plug_flush,
	};
	iomapi_driver_add(env, &ioq->driver);
	iomapi_env_hold(env);
	*result = ioq;
	return 0;
}

void iomapi_ioq_get(struct iomap_ioq *ioq)
{
	iomapi_add(&ioq->refs, 1);
}

void iomapi_ioq_put(struct iomap_ioq *ioq)
{
	struct iomap_env *env = ioq->env;
	bool forked = iomapi_forked(env);

	if (iomapi_sub(&ioq->refs, 1))
		return;
	if (!forked)		/* there its lock may be held by a thread that does not exist */
		iomapi_driver_del(env, &ioq->driver);
	iomapi_event_close(ioq);
	for (uint32_t i = 0; i < ioq->nr_queues; i++) {
		struct iomapi_queue *q = &ioq->queues[i];

		if (forked)
			q->ops->queue_abandon(q->queue);
		else
			q->ops->queue_close(q->queue);
	}
	iomapi_pieces_fini(ioq);
	iomapi_free(env, ioq, sizeof(*ioq));
	iomapi_env_release(env);
}

/* Devices that are still open keep the queue alive until they are closed. */
IOMAP_API void iomap_ioq_delete(struct iomap_ioq **result)
{
	struct iomap_ioq *ioq = *result;

	if (!ioq)
		return;
	*result = NULL;
	if (!iomapi_forked(ioq->env)) {
		iomapi_plug_flush_self(ioq->env);
		iomapi_ioq_wait(ioq, &(struct iomapi_watch){ IOMAPI_WATCH_ZERO, &ioq->nr_active,
							     true }, IOMAP_FOREVER);
		iomap_mutex_lock(ioq->env, &ioq->lock);
		let_leader_go(ioq);
		iomap_mutex_unlock(ioq->env, &ioq->lock);
	}
	iomapi_ioq_put(ioq);
}

IOMAP_API void iomap_ioq_abandon(struct iomap_ioq **result)
{
	struct iomap_ioq *ioq = *result;

	if (!ioq)
		return;
	*result = NULL;
	iomapi_assert(iomapi_forked(ioq->env));
	iomapi_ioq_put(ioq);
}

/* ---- what can be asked ---- */

IOMAP_API const char *iomap_ioq_reason(const struct iomap_ioq *ioq)
{
	return ioq->reason;
}

IOMAP_API void iomap_ioq_stats(const struct iomap_ioq *ioq, struct iomap_ioq_stats *stats)
{
	struct iomap_ioq_stats now = { .struct_size = stats->struct_size };
	uint32_t pending = iomapi_load_relaxed(&ioq->nr_pending);

	now.in_flight = iomapi_load_relaxed(&ioq->in_flight);
	now.parked = iomapi_load_relaxed(&ioq->nr_parked);
	now.submitted = iomapi_load_relaxed(&ioq->submitted);
	now.completed = iomapi_load_relaxed(&ioq->completed);
	now.batches = iomapi_load_relaxed(&ioq->batches);
	now.full = iomapi_load_relaxed(&ioq->full);
	now.background_bytes = iomapi_load_relaxed(&ioq->background_bytes);
	if (now.parked > pending)
		now.parked = pending;
	memcpy(stats, &now, iomapi_min(stats->struct_size, sizeof(now)));
}

/* Each backend that can has the memory registered; one success is a success. */
static int each_memory(struct iomap_ioq *ioq, void *base, size_t len, bool add)
{
	int result = -ENOTSUP;

	if (iomapi_forked(ioq->env))
		return -ECHILD;
	if (!base || !len)
		return -EINVAL;
	if (!iomapi_ioq_is_owner(ioq))
		return -EPERM;
	iomapi_ioq_claim(ioq);
	for (uint32_t i = 0; i < ioq->nr_queues; i++) {
		struct iomapi_queue *q = &ioq->queues[i];
		int (*call)(void *, void *, size_t) =
			add ? q->ops->register_memory : q->ops->unregister_memory;
		int rc = call ? call(q->queue, base, len) : -ENOTSUP;

		if (rc != -ENOTSUP && result <= 0 && (result == -ENOTSUP || rc < 0))
			result = rc;
	}
	iomapi_ioq_unclaim(ioq);
	return result;
}

IOMAP_API int iomap_ioq_register_memory(struct iomap_ioq *ioq, void *base, size_t len)
{
	return each_memory(ioq, base, len, true);
}

IOMAP_API int iomap_ioq_unregister_memory(struct iomap_ioq *ioq, void *base, size_t len)
{
	return each_memory(ioq, base, len, false);
}
