/* SPDX-License-Identifier: MIT */
/*
 * iomap/sync.h - locks of two words on top of the environment's wait and wake.
 *
 * For the library and for engines: an engine that locks with these runs under the simulator's
 * scheduler unchanged.  They only sleep, they never reap: do not hold one across an object wait
 * that another thread needs it to finish.  Zero bytes are a valid unlocked lock of rank 0.
 *   ranks    1 .. 255.  Debug builds assert that ranks are taken in ascending order, equal ones
 *            only where it is FOLIO, and given back by the thread that took them; a try may take
 *            any.  Rank 0 is not checked and any thread may unlock it: a database latch that is
 *            released by a completion.
 *   limits   65535 readers, 16383 writers waiting for one rwlock.
 *   errors   the try calls return false; nothing else can fail.
 */
#ifndef IOMAP_SYNC_H
#define IOMAP_SYNC_H

#include "types.h"

IOMAP_BEGIN_DECLS

/* The order in which locks are taken.  Clients place theirs at or between the client ranks. */
enum iomap_rank {
	IOMAP_RANK_NONE = 0,
	IOMAP_RANK_IO = 10,		/* inode I/O lock */
	IOMAP_RANK_INVALIDATE = 20,
	IOMAP_RANK_TXN_OUTER = 30,	/* client: a transaction opened around library calls */
	IOMAP_RANK_FOLIO = 40,		/* folio lock; DAX entry lock */
	IOMAP_RANK_TXN = 50,		/* client: opened in callbacks and IOEND work */
	IOMAP_RANK_EXTENT = 60,		/* client: extent maps */
	IOMAP_RANK_LEAF = 70,		/* client: what end_io may take */
	IOMAP_RANK_MAPPING = 80,
	IOMAP_RANK_WINDOWS = 90,
	IOMAP_RANK_FOLIO_STATE = 100,
	IOMAP_RANK_CACHE = 110,
	IOMAP_RANK_POOL = 120,
	IOMAP_RANK_IOQ = 130,
};

/* Embeddable; two words for good, so no spare ones. */
struct iomap_mutex	{ iomap_word word; uint32_t rank; };
/* A waiting writer stops new readers */
struct iomap_rwlock	{ iomap_word word; uint32_t rank; };
struct iomap_cond	{ iomap_word seq; iomap_word waiters; };

IOMAP_API void iomap_mutex_init(struct iomap_mutex *m, unsigned rank);
IOMAP_API void iomap_mutex_lock(struct iomap_env *env, struct iomap_mutex *m);
IOMAP_API bool iomap_mutex_trylock(struct iomap_env *env, struct iomap_mutex *m);
IOMAP_API void iomap_mutex_unlock(struct iomap_env *env, struct iomap_mutex *m);

IOMAP_API void iomap_rwlock_init(struct iomap_rwlock *l, unsigned rank);
IOMAP_API void iomap_rwlock_rdlock(struct iomap_env *env, struct iomap_rwlock *l);
IOMAP_API void iomap_rwlock_wrlock(struct iomap_env *env, struct iomap_rwlock *l);
IOMAP_API bool iomap_rwlock_tryrdlock(struct iomap_env *env, struct iomap_rwlock *l);
IOMAP_API bool iomap_rwlock_trywrlock(struct iomap_env *env, struct iomap_rwlock *l);
IOMAP_API void iomap_rwlock_downgrade(struct iomap_env *env, struct iomap_rwlock *l);
IOMAP_API void iomap_rwlock_unlock(struct iomap_env *env, struct iomap_rwlock *l);

IOMAP_API int iomap_cond_wait(struct iomap_env *env, struct iomap_cond *c, struct iomap_mutex *m,
			      int64_t timeout_ns);			/* 0, -ETIMEDOUT */
IOMAP_API void iomap_cond_broadcast(struct iomap_env *env, struct iomap_cond *c);

/*
 * Open this scope with each transaction: until its end, waits of this thread reap completions but
 * leave deferred work to others.  Nests: end takes what begin returned.
 */
IOMAP_API unsigned iomap_txn_scope_begin(struct iomap_env *env);
IOMAP_API void iomap_txn_scope_end(struct iomap_env *env, unsigned saved);

IOMAP_END_DECLS
#endif
