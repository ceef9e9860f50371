/* SPDX-License-Identifier: MIT */
/*
 * backend/thread.h - threads that carry out the requests of one queue of "file:".
 *
 * Threads: as for a backend's queue: calls are serialised, but wakeup, which any thread may make.
 */
#ifndef IOMAPI_THREAD_H
#define IOMAPI_THREAD_H

#include "backend/file.h"

struct iomapi_threads;

/* -ENOMEM, or what starting a thread said. */
int iomapi_threads_open(struct iomap_env *env, unsigned nr, struct iomapi_threads **result);
void iomapi_threads_close(struct iomapi_threads *t);	/* idle; joins them */
void iomapi_threads_abandon(struct iomapi_threads *t);	/* after fork: only frees */
/* "4 threads"; as long as the queue. */
const char *iomapi_threads_reason(const struct iomapi_threads *t);

/* The bio's device stands in backend[1]. */
void iomapi_threads_queue(struct iomapi_threads *t, struct iomap_bio *bio);
int iomapi_threads_commit(struct iomapi_threads *t);
unsigned iomapi_threads_reap(struct iomapi_threads *t, struct iomap_bio **done, unsigned min,
			     unsigned max, int64_t timeout_ns);
void iomapi_threads_wakeup(struct iomapi_threads *t);
int iomapi_threads_event_fd(struct iomapi_threads *t);

#endif
