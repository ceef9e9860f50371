/* SPDX-License-Identifier: MIT */
/*
 * wakeup.h - a story of backends that sleep: a wake-up that comes when nobody is in reap.
 */
#ifndef WAKEUP_H
#define WAKEUP_H

#include "backend/backend.h"
#include "harness/thread.h"

struct sleeper {
	const struct iomap_backend_ops *ops;
	void *queue;
};

static inline void *reap_nothing(void *arg)
{
	struct sleeper *s = arg;
	struct iomap_bio *done[1];

	ck_assert_int_eq(s->ops->reap(s->queue, done, 1, 1, IOMAP_FOREVER), 0);
	return NULL;
}

/* Again and again, and also when a reap that does not sleep has been there between. */
static inline void wake_before_reap(const struct iomap_backend_ops *ops, struct iomap_env *env,
				    unsigned threads)
{
	const struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .depth = 4,
					     .threads = threads };
	struct sleeper s = { .ops = ops };
	struct iomap_bio *done[1];
	const char *reason;

	ck_assert_int_eq(ops->queue_open(NULL, env, &opts, &s.queue, &reason), 0);
	for (unsigned i = 0; i < 6; i++) {
		ops->wakeup(s.queue);
		if (i & 1)
			ck_assert_int_eq(ops->reap(s.queue, done, 0, 1, 0), 0);
		t_join(t_thread(reap_nothing, &s));
	}
	ck_assert_int_eq(ops->reap(s.queue, done, 1, 1, 1000000), 0);
	ops->queue_close(s.queue);
}

#endif
