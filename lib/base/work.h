/* SPDX-License-Identifier: MIT */
/*
 * base/work.h - deferred work: a queue per class, run by object waits or the client's executor.
 */
#ifndef IOMAPI_WORK_H
#define IOMAPI_WORK_H

#include "base/env.h"

/* Queue once: false if it is queued already.  Any thread, leaf locks only.  fn may queue it again;
 * the library does not touch *work after calling fn. */
bool iomapi_work_queue(struct iomap_env *env, struct iomap_work *work);
/* Run what this thread may run now; how many.  Called by object waits. */
int iomapi_work_run_allowed(struct iomap_env *env);
bool iomapi_work_pending(struct iomap_env *env);
/* Returns when all that was queued before has run. */
void iomapi_work_drain(struct iomap_env *env);

#endif
