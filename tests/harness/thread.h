/* SPDX-License-Identifier: MIT */
/*
 * harness/thread.h - threads of a test that must end.
 *
 * A lost wake-up leaves a thread asleep for ever; joined here it fails an assertion after some
 * seconds, before the case's own time-out makes an error of it.  Let such threads wait without a
 * time-out of their own: an expired wait looks at its word again and would pass for a wake-up.
 */
#ifndef T_THREAD_H
#define T_THREAD_H

#include <pthread.h>
#include <time.h>

#include "harness/harness.h"

static inline pthread_t t_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	return thread;
}

/* The default case has 4 seconds (scaled), so give up after 3. */
static inline void t_join_within(pthread_t thread, unsigned seconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += (time_t)(seconds * t_scale());
	ck_assert_msg(!pthread_timedjoin_np(thread, NULL, &ts), "a thread sleeps for ever");
}

static inline void t_join(pthread_t thread)
{
	t_join_within(thread, 3);
}

/* Let the others run until they most likely sleep: makes a bad order likely, and no order wrong. */
static inline void t_settle(void)
{
	struct timespec ts = { .tv_nsec = 2000000 };

	nanosleep(&ts, NULL);
}

#endif
