/* SPDX-License-Identifier: MIT */
/*
 * block/block.h - devices and queues: what upper rooms need beyond the public calls, and below the
 * line what the files of this room share.
 */
#ifndef IOMAPI_BLOCK_H
#define IOMAPI_BLOCK_H

#include <iomap/backend.h>

#include "base/env.h"

/* The limits as they are now, without a copy; size alone may change (refresh). */
const struct iomap_bdev_limits *iomapi_bdev_limits(const struct iomap_bdev *bdev);
struct iomap_env *iomapi_bdev_env(const struct iomap_bdev *bdev);
/* Are the writes up to this number durable? */
bool iomapi_bdev_flushed(const struct iomap_bdev *bdev, uint64_t upto);
/* In end_io of a write: its number, 0 if it never got to the device. */
uint64_t iomapi_bio_write_seq(struct iomap_bio *bio);
/* A flush that failed leaves the write of that number in doubt: its error, or 0. */
int iomapi_bdev_doubt(const struct iomap_bdev *bdev, uint64_t seq);
/* End a bio that was never sent, with its status, from the next poll of its ioq. */
void iomapi_bio_end_later(struct iomap_bio *bio);

/* A pool of bios that a room keeps: it lives as long as the environment, and holds nothing open.
 * reserve: bios that only a get with may_use_reserve may take. */
int iomapi_bio_pool_new(struct iomap_env *env, size_t front_pad, unsigned nr_bios,
			unsigned max_segs, unsigned reserve, struct iomap_bio_pool **pool);
struct iomap_bio *iomapi_bio_pool_get(struct iomap_bio_pool *pool, bool may_use_reserve);
/* Bumped and woken with each bio that comes back: an object wait may watch it. */
const iomap_word *iomapi_bio_pool_freed(const struct iomap_bio_pool *pool);
/* Who watches it goes round once more, though nothing came back. */
void iomapi_bio_pool_look_again(struct iomap_bio_pool *pool);
uint32_t iomapi_bio_pool_nr_free(struct iomap_bio_pool *pool);	/* a moment ago */

extern const struct iomapi_room iomapi_room_block;

/* ---- inside the room ---- */

#define IOMAPI_MAX_QUEUES	8	/* backends in use on one ioq */
#define IOMAPI_MAX_ATTACHED	16	/* ioqs of one device */
#define IOMAPI_MAX_DEPTH	32768
#define IOMAPI_MAX_THREADS	64
#define IOMAPI_MAX_SCHEME	16
#define IOMAPI_SMALL_SEGS	16	/* in a small piece; there are depth of them */
#define IOMAPI_BIG_SEGS		256	/* in a big one */
#define IOMAPI_NR_BIG		32
#define IOMAPI_REAP_BATCH	64
#define IOMAPI_PLUG_MAX		256	/* a plug that holds so many flushes itself */

/* bio->state */
#define IOMAPI_BIO_SUBMITTED	1u	/* ours, until its end */
#define IOMAPI_BIO_CANCEL	2u	/* asked to end early */
#define IOMAPI_BIO_DONE		4u	/* ended without an end_io: iomap_bio_wait may return */

/* First in, first out; linked through bio->backend[0], ours while no backend has the bio. */
struct iomapi_bioq {
	struct iomap_bio *head, *tail;
};

static inline struct iomap_bio *iomapi_bio_next(const struct iomap_bio *bio)
{
	return (struct iomap_bio *)(uintptr_t)bio->backend[0];
}

static inline void iomapi_bioq_push(struct iomapi_bioq *q, struct iomap_bio *bio)
{
	bio->backend[0] = 0;
	if (q->head)
		q->tail->backend[0] = (uintptr_t)bio;
	else
		q->head = bio;
	q->tail = bio;
}

static inline void iomapi_bioq_push_front(struct iomapi_bioq *q, struct iomap_bio *bio)
{
	bio->backend[0] = (uintptr_t)q->head;
	if (!q->head)
		q->tail = bio;
	q->head = bio;
}

static inline struct iomap_bio *iomapi_bioq_pop(struct iomapi_bioq *q)
{
	struct iomap_bio *bio = q->head;

	if (bio)
		q->head = iomapi_bio_next(bio);
	return bio;
}

/* Append all of src, which is empty afterwards. */
static inline void iomapi_bioq_splice(struct iomapi_bioq *q, struct iomapi_bioq *src)
{
	if (!src->head)
		return;
	if (q->head)
		q->tail->backend[0] = (uintptr_t)src->head;
	else
		q->head = src->head;
	q->tail = src->tail;
	src->head = NULL;
}

/*
 * What the room remembers of a bio, in bio->opaque.  Written by the submitter before the bio is in
 * a list, then by whoever leads its ioq, then by the thread that ends it.
 */
struct iomapi_track {
	uint64_t off;		/* data: bytes handed out so far.  Flush: the writes it covers */
	uint64_t seg_off;	/* data: into segs[seg].  Flush: the last good one before it */
	union {
		struct {
			uint32_t seg;		/* next segment to hand out */
			uint32_t nr_runs;	/* segments, adjacent ones counted once */
		};
		uint64_t upto;			/* flush with a ticket */
		uint64_t seq;			/* COUNTED: its number among the device's writes */
	};
	uint8_t stage;		/* enum iomapi_stage */
	uint8_t dev;		/* index into bdev->attached */
	uint16_t how;
	uint32_t spare;
} __attribute__((may_alias));
_Static_assert(sizeof(struct iomapi_track) <= sizeof(((struct iomap_bio *)0)->opaque),
	       "fits the room's words of a bio");

enum iomapi_stage {
	IOMAPI_STAGE_NEW, IOMAPI_STAGE_PREFLUSH, IOMAPI_STAGE_DATA, IOMAPI_STAGE_FLUSH,
};
enum {				/* track->how */
	IOMAPI_HOW_PIECES	= 1 << 0,	/* cannot go to the backend as it stands */
	IOMAPI_HOW_PIECE	= 1 << 1,	/* is a piece: embedded in struct iomapi_piece */
	IOMAPI_HOW_TICKET	= 1 << 2,	/* a flush that is free once upto is covered */
	IOMAPI_HOW_AT_BACKEND	= 1 << 3,	/* a backend has it, and may give it back once */
	IOMAPI_HOW_WAKE		= 1 << 4,	/* an object wait watches bio->state */
	IOMAPI_HOW_COUNTED	= 1 << 5,	/* a write that has completed */
};

static inline struct iomapi_track *iomapi_track(struct iomap_bio *bio)
{
	return (struct iomapi_track *)bio->opaque;
}

/* A part of a bio, or a flush before or after it: its own request to the backend. */
struct iomapi_piece {
	struct iomap_bio bio;
	struct iomap_bio *parent;
	struct iomapi_piece *next;	/* free list; the leader's */
	uint64_t off;			/* in the parent */
	bool big;
	struct iomap_bvec segs[];
};

static inline struct iomapi_piece *iomapi_piece(struct iomap_bio *bio)
{
	return iomap_container_of(bio, struct iomapi_piece, bio);
}

/* What a thread that may not call the backends asks of the one that may; on the asker's stack. */
struct iomapi_errand {
	void (*fn)(void *arg);
	void *arg;
	struct iomapi_errand *next;
	bool done;			/* the last touch */
};

/* One backend's queue on an ioq.  The leader's, but for being looked up. */
struct iomapi_queue {
	const struct iomap_backend_ops *ops;
	void *queue;
	struct iomapi_bioq parked[2];	/* 0 background, 1 the rest */
	uint32_t in_flight, in_flight_background;
	bool uncommitted;
	bool at_once;			/* with an event fd: has none, completes at the next reap */
};

struct iomap_ioq {
	struct iomapi_driver driver;
	struct iomap_env *env;
	struct iomap_ioq_opts opts;	/* resolved */
	char backend[IOMAPI_MAX_SCHEME]; /* opts.backend: the caller's string may go */
	const void *owner;		/* SINGLE_ISSUER: iomapi_self of the opener */
	iomap_word refs;		/* the opener's and one per attached device */

	struct iomap_mutex lock;	/* IOMAP_RANK_IOQ; guards from here */
	struct iomapi_bioq inbox;	/* submitted, not seen by a leader */
	struct iomapi_bioq resumed;	/* between two stages, to go first */
	struct iomapi_bioq returned;	/* pieces whose piece_end has run */
	struct iomapi_bioq done;	/* to be ended by the next reaper */
	struct iomapi_bioq manual;	/* to be ended by iomap_env_run_callbacks */
	struct iomapi_errand *errands;	/* for the next leader; read without lock */
	uint32_t nr_pending;		/* bios that a reaper has to see */
	uint32_t nr_active;		/* bios whose end has not returned */
	uint32_t followers, claims;
	bool leading, cancels;
	bool watched;			/* the sleeping leader has a watch: wake it after ends */
	struct iomapi_queue *sleeping;	/* the leader blocks, or will, in its reap */
	uint64_t submitted, completed;
	bool has_event;			/* somebody asked for the event fd */
	bool event_up;			/* our eventfd in it is readable */
	iomap_word turn;		/* bumped when followers should look again */

	/* the leader's */
	struct iomapi_queue queues[IOMAPI_MAX_QUEUES];
	uint32_t nr_queues, next_queue;
	struct iomapi_bioq incoming;	/* taken from the inbox */
	struct iomapi_bioq ended;	/* complete, end_io not run */
	struct iomapi_errand *taken;	/* from the errands */
	bool sweep;			/* cancelled bios may be parked */
	bool nowait;			/* bios that must not park have come in */
	struct iomapi_piece *free_small, *free_big;
	void *small_slab, *big_slab;
	uint64_t nr_parked, in_flight, background_bytes, batches, full;	/* read by stats */
	int event_fd, event_own;	/* with has_event: the epoll, our eventfd in it */
	const struct iomap_backend_ops *denied[IOMAPI_MAX_QUEUES];	/* said -ENOTSUP */
	uint32_t nr_denied;
	uint32_t used_len;		/* of reason: what is in use; then what is not, and why */
	char reason[512];
};

/* A backend by its name, and how its queue is opened. */
struct iomapi_found {
	const struct iomap_backend_ops *ops;
	void *arg;
	uint32_t threads;	/* where the ioq's options say nothing */
	bool passed_over;	/* if it is denied there is another one: no report */
};

struct iomapi_attached {
	struct iomap_ioq *ioq;
	struct iomapi_queue *queue;
};

struct iomap_bdev {
	struct iomap_env *env;
	const struct iomap_backend_ops *ops;
	struct iomapi_found found;	/* to attach it as it was opened */
	void *dev;
	struct iomap_bdev_limits limits;
	uint32_t flags;			/* the opener's */
	uint32_t unit;			/* splits fall on it: block and memory alignment */
	uint32_t nr_attached;		/* published with release */
	struct iomapi_attached attached[IOMAPI_MAX_ATTACHED];	/* [0] is home */
	uint32_t active;		/* bios whose end has not returned */
	uint64_t write_seq, flushed_seq;
	uint64_t doubt_seq;		/* writes up to here completed before a flush failed.. */
	int32_t doubt_error;		/* ..with this; raised before the inodes are looked at */
};

static inline bool iomapi_op_writes(unsigned op)
{
	return op == IOMAP_BIO_WRITE || op == IOMAP_BIO_ZONE_APPEND || op == IOMAP_BIO_DISCARD ||
	       op == IOMAP_BIO_WRITE_ZEROES;
}

/* The longest request: one without data is not bound by what a transfer is. */
static inline uint64_t iomapi_max_bytes(const struct iomap_bdev *bdev, unsigned op)
{
	return op == IOMAP_BIO_DISCARD || op == IOMAP_BIO_WRITE_ZEROES ? bdev->limits.max_zeroes
								       : bdev->limits.max_bytes;
}

/* Runs of memory in one atomic request. */
static inline uint32_t iomapi_atomic_segs(const struct iomap_bdev *bdev)
{
	const struct iomap_bdev_limits *l = &bdev->limits;

	return l->atomic_segs ? iomapi_min(l->atomic_segs, l->max_segs) : l->max_segs;
}

static inline unsigned iomapi_bio_class(const struct iomap_bio *bio)
{
	return bio->priority != 0;
}

/* Without one, PREFLUSH, FUA and FLUSH are free and no backend sees them. */
static inline bool iomapi_has_cache(const struct iomap_bdev *bdev)
{
	return bdev->limits.caps & IOMAP_CAP_VOLATILE_CACHE;
}

static inline struct iomap_ioq *iomapi_bio_ioq(struct iomap_bio *bio)
{
	return bio->bdev->attached[iomapi_track(bio)->dev].ioq;
}

/* A counter with one writer at a time that stats may read at any moment. */
#define iomapi_count(p, n) __atomic_store_n((p), *(p) + (n), __ATOMIC_RELAXED)

/* Options of a caller whose struct may be shorter or longer than ours; dst is zeroed first. */
int iomapi_opts_copy(void *dst, size_t size, const void *src);

/* scheme.c: which backend a device string means, and its queue on an ioq; the claim is held. */
struct iomapi_choice {
	struct iomapi_found found[3];	/* best first */
	unsigned nr;
};
/* Cut "scheme:rest"; scheme has room for IOMAPI_MAX_SCHEME. */
int iomapi_parse_spec(struct iomap_env *env, const char *spec, char *scheme, const char **rest);
int iomapi_choose(const struct iomap_ioq *ioq, const char *scheme, struct iomapi_choice *choice);
int iomapi_queue_open(struct iomap_ioq *ioq, const struct iomapi_found *found,
		      struct iomapi_queue **queue);

/* event.c.  With the lock held: what the library's part of the event fd says may have changed. */
void iomapi_event_refresh(struct iomap_ioq *ioq);
static inline void iomapi_event_update(struct iomap_ioq *ioq)
{
	if (iomapi_unlikely(ioq->has_event))
		iomapi_event_refresh(ioq);
}
int iomapi_event_add(struct iomap_ioq *ioq, struct iomapi_queue *queue);	/* a new queue */
void iomapi_event_close(struct iomap_ioq *ioq);

/* bdev.c: submit with the room's flags; upto with IOMAPI_HOW_TICKET. */
void iomapi_bio_submit(struct iomap_bio *bio, unsigned how, uint64_t upto);
/* 0, -ECHILD in a forked child, -EDEADLK in a callback.  Flushes this thread's plug. */
int iomapi_may_wait(struct iomap_env *env);

/* ioq.c: leadership.  Claim waits for it, whoever has it, and serialises with all backend calls. */
void iomapi_ioq_claim(struct iomap_ioq *ioq);
void iomapi_ioq_unclaim(struct iomap_ioq *ioq);
/* Call fn with the ioq claimed.  SINGLE_ISSUER: by its owner, when that next leads, while a thread
 * that is not the owner sleeps. */
void iomapi_ioq_do(struct iomap_ioq *ioq, void (*fn)(void *arg), void *arg);
/* A leader has nothing to take from others; lock held. */
bool iomapi_ioq_inbox_empty(const struct iomap_ioq *ioq);
/* Send what is in the list, all of this ioq; never blocks, never calls back. */
void iomapi_ioq_submit(struct iomap_ioq *ioq, struct iomapi_bioq *bios, unsigned nr);
/* End a bio from the next poll, unsent. */
void iomapi_ioq_end_later(struct iomap_ioq *ioq, struct iomap_bio *bio);
/* With the lock held, and dropping it: the leader has something to see, or become leader for it. */
void iomapi_ioq_nudge(struct iomap_ioq *ioq);
void iomapi_ioq_take_inbox(struct iomap_ioq *ioq);	/* lock held, leader */
void iomapi_ioq_leave(struct iomap_ioq *ioq);		/* lock held, then dropped */
void iomapi_ioq_wake_followers(struct iomap_ioq *ioq);	/* lock held */
void iomapi_ioq_get(struct iomap_ioq *ioq);
void iomapi_ioq_put(struct iomap_ioq *ioq);
bool iomapi_ioq_is_owner(const struct iomap_ioq *ioq);	/* false: SINGLE_ISSUER, another thread */

/* What a reaping thread waits for besides completions. */
struct iomapi_watch {
	enum { IOMAPI_WATCH_POLL, IOMAPI_WATCH_DRIVE, IOMAPI_WATCH_ZERO, IOMAPI_WATCH_DONE } kind;
	const uint32_t *word;	/* ZERO: becomes 0; DONE: a bio's state */
	bool callbacks;		/* MANUAL: it waits for some, and runs them itself */
};
/* reap.c: lead once; how many bios ended, -EBUSY: another thread leads. */
int iomapi_ioq_reap(struct iomap_ioq *ioq, unsigned max, int64_t timeout_ns,
		    const struct iomapi_watch *watch);
int iomapi_ioq_run_manual(struct iomap_ioq *ioq, unsigned max);
/* Reap until the watch is met: 0, -ETIMEDOUT. */
int iomapi_ioq_wait(struct iomap_ioq *ioq, const struct iomapi_watch *watch, int64_t timeout_ns);

/* queue.c: the leader hands bios to backends and takes them back. */
void iomapi_ioq_pump(struct iomap_ioq *ioq);
void iomapi_req_complete(struct iomap_ioq *ioq, struct iomap_bio *req);
/* The last piece of a stage is over: true, the bio is complete; false, it has to be resumed. */
bool iomapi_bio_stage_over(struct iomap_bio *bio);
void iomapi_bio_fail(struct iomap_bio *bio, int error);	/* the first error wins */

/* split.c: pieces. */
int iomapi_pieces_init(struct iomap_ioq *ioq);
void iomapi_pieces_fini(struct iomap_ioq *ioq);
void iomapi_piece_free(struct iomap_ioq *ioq, struct iomapi_piece *piece);
/* The next part of the bio; NULL: none free.  Its status is set if it cannot be sent. */
struct iomapi_piece *iomapi_piece_next(struct iomap_ioq *ioq, struct iomap_bio *bio);
void iomapi_piece_sent(struct iomap_bio *bio, uint64_t len);	/* move the cursor */
struct iomapi_piece *iomapi_piece_flush(struct iomap_ioq *ioq, struct iomap_bio *bio);

/* flush.c: a flush request goes out, comes back. */
void iomapi_flush_start(struct iomap_bio *req);
void iomapi_flush_end(struct iomap_bio *req);
bool iomapi_flush_covered(struct iomap_bio *req);
void iomapi_write_ended(struct iomap_bio *bio);		/* count it */
/* A failed flush is about to be told to the inodes: those whose end_io is late look here. */
void iomapi_flush_doubt(struct iomap_bdev *bdev, int error);

/* plug.c: false: no plug of this thread takes it. */
bool iomapi_plug_add(struct iomap_env *env, struct iomap_bio *bio);
void iomapi_plug_flush_self(struct iomap_env *env);

#endif
