/* SPDX-License-Identifier: MIT */
/*
 * one_thread.h - lock operations for a test with one thread, but for yield, which is the test's.
 */
#ifndef ONE_THREAD_H
#define ONE_THREAD_H

#include <errno.h>

#include <iomap/sync.h>

static inline int no_wait(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	(void)arg, (void)word, (void)seen, (void)timeout_ns;
	return 0;
}

static inline void no_wake(void *arg, const iomap_word *word, unsigned nr)
{
	(void)arg, (void)word, (void)nr;
}

static inline void *only_self(void *arg)
{
	static uint64_t words[32];

	(void)arg;
	return words;
}

static inline int no_spawn(void *arg, void (*fn)(void *), void *fn_arg, void **handle)
{
	(void)arg, (void)fn, (void)fn_arg, (void)handle;
	return -ENOTSUP;
}

static inline void no_join(void *arg, void *handle)
{
	(void)arg, (void)handle;
}

#endif
