/* SPDX-License-Identifier: MIT */
/*
 * iomap/env.h - the environment: the root from which everything is opened.
 *
 * For whoever starts the library.  There are no globals: two environments, one on real devices and
 * one on simulated ones, may live side by side.  With NULL options it uses malloc, pthreads, the
 * monotonic clock, memcpy, and runs deferred work inline in whoever waits.  The library starts no
 * thread unless a queue asks for some (iomap_ioq_opts.threads), installs no signal handler and
 * prints nothing unless asked here.
 *   hooks    run on any thread, with library leaf locks held: they must not call back or block,
 *            except sync->wait, join, yield and lock, whose purpose is to block.
 */
#ifndef IOMAP_ENV_H
#define IOMAP_ENV_H

#include "types.h"

IOMAP_BEGIN_DECLS

/* What can block.  Required where the table is given, but lock and unlock.  The simulator brings
 * fibers. */
struct iomap_sync_ops {
	size_t struct_size;
	/* sleep while *word == seen; 0, -ETIMEDOUT; -EDEADLK: nobody is left who could wake, a
	 * wait without end is over; a spurious 0 is fine */
	int (*wait)(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns);
	void (*wake)(void *arg, const iomap_word *word, unsigned nr);
	/* 256 zeroed bytes of this thread or fiber, its own for life */
	void *(*self)(void *arg);
	int (*spawn)(void *arg, void (*fn)(void *), void *fn_arg, void **handle);
	void (*join)(void *arg, void *handle);
	void (*yield)(void *arg, const char *site);
	/* optional: this thread is about to take a lock of that rank, or to try it; a scheduler
	 * that runs one thread at a time may let another come first */
	void (*lock)(void *arg, const char *site, unsigned rank);
	/* optional, with lock: it is about to give it back, or could not take it; no folio locks,
	 * which another thread may give back */
	void (*unlock)(void *arg, unsigned rank);
};

/* User memory.  Returns the bytes copied: fewer is a fault, and short I/O follows from it. */
struct iomap_copy_ops {
	size_t struct_size;
	size_t (*copy_in)(void *arg, void *dst, const void *user, size_t len);
	size_t (*copy_out)(void *arg, void *user, const void *src, size_t len);
	size_t (*prefault)(void *arg, const void *user, size_t len, bool write); /* optional */
};
/* By process_vm_readv: bad memory gives a short count.  Where a container denies the system call it
 * is memcpy, and bad memory a signal. */
IOMAP_API const struct iomap_copy_ops *iomap_copy_vm(void);

/* Deferred work.  The class says what it may lock, hence who may run it. */
enum iomap_work_class {
	IOMAP_WORK_IOEND = 1,	/* the client's transaction and below; never inside a txn scope */
	IOMAP_WORK_DIO = 2,	/* folio locks and below; never by a thread that holds one */
};
struct iomap_work {		/* embeddable */
	struct iomap_list node;
	void (*fn)(struct iomap_work *work);
	uint32_t work_class;
	iomap_word state;
	uint64_t spare[2];
};
struct iomap_executor_ops {
	size_t struct_size;
	/* required; any thread, leaf locks only, must not run it here; calls work->fn once,
	 * later */
	void (*queue)(void *arg, struct iomap_work *work);
	/* required; returns when all that was queued before has run; may wait */
	void (*drain)(void *arg);
};

/* One report through the log hook: which rule (V4, I75, ..) was broken by which callback. */
struct iomap_log_record {
	size_t struct_size;
	int level;			/* as in syslog(3) */
	const char *rule, *callback, *field, *text;
	uint64_t value, bound;
	struct iomap_inode *inode;
	int64_t pos;
};

/* Who runs end_io and folio_written. */
enum iomap_callbacks {
	IOMAP_CALLBACKS_REAPER = 0,	/* whichever thread reaps */
	IOMAP_CALLBACKS_MANUAL,		/* reaping queues them; iomap_env_run_callbacks runs them */
};

struct iomap_trace_record;
struct iomap_env_opts {
	size_t struct_size;
	uint32_t callbacks;		/* enum iomap_callbacks */
	/*
	 * Pools, filled at open; 1/8 is kept for writeback.  nr_ioends: ioends that can be under
	 * way at once (default 64), nr_bios: requests or pieces of requests (256), both clamped to
	 * 8 .. 65536.  nr_segs: ranges that one ioend can hold (1024), clamped to 16 .. 4096.
	 */
	uint32_t nr_ioends, nr_bios, nr_segs;
	void *(*alloc)(void *arg, size_t size, size_t align);
	void (*dealloc)(void *arg, void *mem, size_t size);
	void *alloc_arg;
	void (*log)(void *arg, const struct iomap_log_record *record);
	void *log_arg;
	void (*trace)(void *arg, const struct iomap_trace_record *record);
	void *trace_arg;
	int64_t (*now_ns)(void *arg);	/* never goes back; the time that sync->wait counts */
	void *now_arg;
	const struct iomap_sync_ops *sync;
	void *sync_arg;
	const struct iomap_copy_ops *copy;
	void *copy_arg;
	const struct iomap_executor_ops *executor;
	void *executor_arg;
	/* More than the built-in ones, NULL ends; both lists must outlive the environment */
	const struct iomap_backend_ops *const *backends;
	void *const *backend_args;
};

/*
 * -EINVAL: half a table (alloc without dealloc, sync or executor with a hook missing), an unknown
 * value, a struct_size too small for itself; -ENOMEM.  A shorter struct is an older caller's: what
 * it does not have is default.  Of a longer one only the known part is read.  Delete asserts that
 * everything opened from it is closed.
 */
IOMAP_API int iomap_env_new(const struct iomap_env_opts *opts, struct iomap_env **env);
IOMAP_API void iomap_env_delete(struct iomap_env **env);

/*
 * Lend a thread: both return how many ran.  -EDEADLK from a callback; work also in a txn scope and
 * from deferred work; -EINVAL for an unknown class.  DIO work stays where it is while this thread
 * holds a folio lock.
 */
IOMAP_API int iomap_env_run_callbacks(struct iomap_env *env, unsigned max);
IOMAP_API int iomap_env_run_work(struct iomap_env *env, unsigned work_classes, unsigned max);

/*
 * An object wait on a word of the client, until it is no longer seen: flushes the plug, reaps all
 * ioqs, runs deferred work that this thread may run, and sleeps only when there is nothing to
 * drive.  With MANUAL callbacks it runs queued ones too: it lends its thread, or a program of one
 * thread would wait for itself (a poll does not).  Time-out 0 drives once.
 * 0; -ETIMEDOUT; -EDEADLK from a callback, and where nobody is left who could wake, as the
 * simulator knows; -ECHILD in a forked child.
 * wake: after the word was changed; wakes up to nr waiters.  Any thread, callbacks too.
 */
IOMAP_API int iomap_env_wait(struct iomap_env *env, const iomap_word *word, uint32_t seen,
			     int64_t timeout_ns);
IOMAP_API void iomap_env_wake(struct iomap_env *env, const iomap_word *word, unsigned nr);

IOMAP_END_DECLS
#endif
