/* SPDX-License-Identifier: MIT */
/*
 * base/env.h - the environment from inside: memory, this thread, drivers, waits, rooms.
 *
 * An object wait watches a word.  It drives every ioq through a table of function pointers (a
 * driver), runs deferred work, and sleeps only when there is nothing to drive.  Sleepers stand in
 * one list, each on a private word, so that whoever changes a watched word finds them, and a leader
 * that leaves can hand the reaping to any of them.
 */
#ifndef IOMAPI_ENV_H
#define IOMAPI_ENV_H

#include <iomap/env.h>
#include <iomap/sync.h>
#include <iomap/trace.h>

#include "base/base.h"

struct iomap_plug;
struct iomapi_sleeper;

/* ---- this thread: the 256 bytes of sync->self ---- */
#define IOMAPI_MAX_RANKS 24
#define IOMAPI_MAX_WAKES 4
struct iomapi_self {
	struct iomap_plug *plug;	/* innermost open plug, NULL: none */
	uint32_t in_callback;		/* > 0 inside end_io or folio_written: no wait, no poll */
	uint32_t in_txn;		/* > 0: leave deferred work to others */
	uint32_t nr_folio_locks;	/* > 0: must not run DIO work */
	uint32_t in_work;		/* > 0 inside deferred work: do not nest it */
	struct iomap_folio *fault;	/* locked by the page fault that this thread is in */
	struct iomapi_sleeper *sleeper;	/* base's own: this thread stands in a list of waiters */
	struct iomap_env *wakes_of;	/* base's own: whose outermost callback it is.. */
	const iomap_word *wakes[IOMAPI_MAX_WAKES];	/* ..and its words, woken after that */
	uint32_t nr_wakes;
	uint32_t nr_ranks;		/* debug: ranks held, in the order taken */
	uint8_t ranks[IOMAPI_MAX_RANKS];
};
_Static_assert(sizeof(struct iomapi_self) <= 256, "fits what sync->self promises");
/* No call where the client brings no threads: the third word of struct iomap_env says so. */
extern _Thread_local struct iomapi_self iomapi_plain_self;
struct iomapi_self *iomapi_self_hook(struct iomap_env *env);
static inline struct iomapi_self *iomapi_self(struct iomap_env *env)
{
	if (iomapi_likely(((const iomap_word *)(const void *)env)[2]))
		return &iomapi_plain_self;
	return iomapi_self_hook(env);
}

/*
 * Debug builds: this thread takes or drops a lock of that rank.  sync.c calls them for the public
 * locks; a lock made of other stuff (a bit in a folio) calls them itself.  checked is false for a
 * lock that was only tried: it cannot deadlock, but what comes after it must stand above it.
 */
#ifdef IOMAPI_SANITY
void iomapi_rank_take(struct iomap_env *env, unsigned rank, bool checked);
void iomapi_rank_drop(struct iomap_env *env, unsigned rank);
#else
static inline void iomapi_rank_take(struct iomap_env *env, unsigned rank, bool checked)
{
	(void)env;
	(void)rank;
	(void)checked;
}
static inline void iomapi_rank_drop(struct iomap_env *env, unsigned rank)
{
	(void)env;
	(void)rank;
}
#endif

/* ---- memory, through the environment's allocator ---- */
void *iomapi_alloc(struct iomap_env *env, size_t size, size_t align);	/* NULL: -ENOMEM */
void *iomapi_zalloc(struct iomap_env *env, size_t size);	/* zeroed, 64-byte aligned */
void iomapi_free(struct iomap_env *env, void *mem, size_t size);	/* NULL is fine */

int64_t iomapi_now(struct iomap_env *env);
bool iomapi_forked(struct iomap_env *env);	/* in a child of the process that opened it */
/* Resolved: no hook is NULL, but there may be no executor. */
const struct iomap_env_opts *iomapi_env_opts(struct iomap_env *env);

/* Opened from this environment and not yet closed: delete asserts zero. */
void iomapi_env_hold(struct iomap_env *env);
void iomapi_env_release(struct iomap_env *env);

/* Sleep and wake without driving anything, for locks and for the transport. */
int iomapi_sleep(struct iomap_env *env, const iomap_word *word, uint32_t seen, int64_t timeout_ns);
void iomapi_wake(struct iomap_env *env, const iomap_word *word, unsigned nr);
void iomapi_yield(struct iomap_env *env, const char *site);

/* A thread of the library's own, where the client asked for some: 0, -errno.  Join in a forked
 * child, where it does not exist, waits for nothing and gives back its memory. */
int iomapi_spawn(struct iomap_env *env, void (*fn)(void *arg), void *arg, void **handle);
void iomapi_join(struct iomap_env *env, void *handle);

/* A lock is about to be taken or tried: see sync->lock.  One predicted branch where there is no
 * such hook; the second word of struct iomap_env says so. */
void iomapi_lock_hook(struct iomap_env *env, const char *site, unsigned rank);
void iomapi_unlock_hook(struct iomap_env *env, unsigned rank);
static inline void iomapi_lock_ahead(struct iomap_env *env, const char *site, unsigned rank)
{
	if (iomapi_unlikely(((const iomap_word *)(const void *)env)[1]))
		iomapi_lock_hook(env, site, rank);
}
static inline void iomapi_unlock_ahead(struct iomap_env *env, unsigned rank)
{
	if (iomapi_unlikely(((const iomap_word *)(const void *)env)[1]))
		iomapi_unlock_hook(env, rank);
}

/*
 * The public mutex, for those who lock one for each folio: no call where it is free.  The words of
 * a mutex are sync.c's business; here only that a free one is 0.
 */
#define IOMAPI_MUTEX_HELD	1u
void iomapi_mutex_wait(struct iomap_env *env, struct iomap_mutex *m);
void iomapi_mutex_wake(struct iomap_env *env, struct iomap_mutex *m);
static inline void iomapi_mutex_lock(struct iomap_env *env, struct iomap_mutex *m)
{
	uint32_t old = 0;

	iomapi_rank_take(env, m->rank, true);
	iomapi_lock_ahead(env, "mutex", m->rank);
	if (iomapi_unlikely(!iomapi_cas(&m->word, &old, IOMAPI_MUTEX_HELD)))
		iomapi_mutex_wait(env, m);
}
static inline void iomapi_mutex_unlock(struct iomap_env *env, struct iomap_mutex *m)
{
	uint32_t old;

	iomapi_unlock_ahead(env, m->rank);
	iomapi_rank_drop(env, m->rank);
	old = __atomic_exchange_n(&m->word, 0, __ATOMIC_ACQ_REL);
	iomapi_assert(old);
	if (iomapi_unlikely(old > IOMAPI_MUTEX_HELD))
		iomapi_mutex_wake(env, m);
}

/* ---- drivers: how an object wait makes I/O progress ---- */
struct iomapi_driver {		/* embedded in an ioq */
	struct iomap_list node;
	iomap_word users;	/* waiters inside it now; base's */
	uint32_t going;		/* no new users; base's */
	/* Reap at most max and run their callbacks; may block up to timeout_ns for the first.
	 * How many; 0 nothing came, or kicked; -EBUSY another thread leads it;
	 * -EPERM never this thread's.  Once it leads, and right before each reap that blocks, it
	 * asks iomapi_wait_over: an earlier leader may have eaten the kick that was meant for
	 * this one. */
	int (*drive)(struct iomapi_driver *driver, unsigned max, int64_t timeout_ns);
	bool (*busy)(struct iomapi_driver *driver);	/* something is in flight, parked or done */
	/* Get the leader, or else the next one, out of a blocking reap.  Any thread; called from
	 * iomapi_env_event and iomap_env_wake with whatever lock their caller holds. */
	void (*kick)(struct iomapi_driver *driver);
	/* MANUAL: run queued ones */
	int (*callbacks)(struct iomapi_driver *driver, unsigned max);
	void (*flush_plug)(struct iomap_plug *plug);	/* the block room's */
};
void iomapi_driver_add(struct iomap_env *env, struct iomapi_driver *driver);
void iomapi_driver_del(struct iomap_env *env, struct iomapi_driver *driver); /* waits: users 0 */

/*
 * Something happened that any waiter may have to act on: a driver became busy, work was queued.
 * Wakes sleepers so that one takes over, and kicks those that block in a driver; free when nobody
 * sleeps.  Any thread, any locks but those that kick takes.
 */
void iomapi_env_event(struct iomap_env *env);

/*
 * A driver that is still busy lost its leader: call it after each release of the leadership, with
 * locks as for an event.  It tells one waiter, who passes it on if it leaves at once.  Inside an
 * object wait it is put off until that waiter leaves, for a waiter that stays looks at all drivers
 * again before it blocks: two leaders do not kick each other round and round.
 */
void iomapi_env_handover(struct iomap_env *env);

/* The object wait of this thread, if it is in one, need not block any more. */
bool iomapi_wait_over(struct iomap_env *env);

/* iomap_env_wake of all, for a word that many callbacks of a batch change: in a callback it is put
 * off until the outermost ends, so that each word is woken once.  The word may be gone by then: it
 * is but an address.  In a callback of another environment it is woken at once, for env may be gone
 * as well. */
void iomapi_wake_after(struct iomap_env *env, const iomap_word *word);
void iomapi_wake_put_off(struct iomapi_self *self);

/* Brackets around everything that calls into the client at completion. */
void iomapi_callback_start(struct iomap_env *env);
void iomapi_callback_end(struct iomap_env *env);

/* ---- rooms: what upper floors keep per environment; the table is lib/rooms.c ---- */
enum iomapi_room_id { IOMAPI_ROOM_BLOCK, IOMAPI_ROOM_INODE, IOMAPI_ROOM_WRITEBACK,
		      IOMAPI_ROOM_BUFFERED, IOMAPI_NR_ROOMS };
struct iomapi_room {
	int (*init)(struct iomap_env *env, void **state);
	void (*fini)(struct iomap_env *env, void *state);
	/* Optional: a flush of bdev failed; writes numbered after since are in doubt (H9). */
	void (*flush_failed)(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t since,
			     int error);
	/* Optional: bdev is being closed; nothing is in flight, nobody may name it any more. */
	void (*bdev_gone)(struct iomap_env *env, struct iomap_bdev *bdev);
};
extern const struct iomapi_room *const iomapi_rooms[IOMAPI_NR_ROOMS];	/* NULL: not there */
void *iomapi_room(struct iomap_env *env, enum iomapi_room_id id);
void iomapi_flush_failed(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t since, int error);
void iomapi_bdev_gone(struct iomap_env *env, struct iomap_bdev *bdev);
/* NULL-terminated; also in lib/rooms.c */
extern const struct iomap_backend_ops *const iomapi_backends[];

#endif
