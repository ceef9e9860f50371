/* SPDX-License-Identifier: MIT */
/*
 * sim/sanitizer.h - what sanitizers have to be told when the stack changes; nothing without one.
 *
 * AddressSanitizer knows where the stack of the thread is, so it must hear that there is another;
 * what a task that was left where it stands has poisoned there is whole again.  ThreadSanitizer
 * takes a fiber for a thread; a switch orders what was before it and what is behind it.
 */
#ifndef IOMAPI_SANITIZER_H
#define IOMAPI_SANITIZER_H

#include "task.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)

#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

static inline void iomapi_sim_sanitizer_new(struct iomapi_sim_fiber *fiber)
{
	fiber->fake = NULL;
}

static inline void iomapi_sim_sanitizer_stop(struct iomapi_sim_fiber *fiber)
{
	__asan_unpoison_memory_region(fiber->bottom, fiber->size);
}

static inline void iomapi_sim_sanitizer_delete(struct iomapi_sim_fiber *fiber)
{
	(void)fiber;
}

static inline void iomapi_sim_sanitizer_leaving(struct iomapi_sim_fiber *from,
						struct iomapi_sim_fiber *to)
{
	__sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
}

static inline void iomapi_sim_sanitizer_arrived(struct iomapi_sim_fiber *fiber)
{
	const void *bottom;
	size_t size;

	__sanitizer_finish_switch_fiber(fiber->fake, &bottom, &size);
	fiber->from->bottom = bottom;		/* of the main stack only it knows where that is */
	fiber->from->size = size;
}

#elif defined(__SANITIZE_THREAD__)

#include <sanitizer/tsan_interface.h>

/* One costs a millisecond, so it is used again; but calls that never returned stay in its books. */
static inline void iomapi_sim_sanitizer_new(struct iomapi_sim_fiber *fiber)
{
	if (fiber->tsan && ++fiber->uses < 256)
		return;
	if (fiber->tsan)
		__tsan_destroy_fiber(fiber->tsan);
	fiber->tsan = __tsan_create_fiber(0);
	fiber->uses = 0;
}

static inline void iomapi_sim_sanitizer_stop(struct iomapi_sim_fiber *fiber)
{
	(void)fiber;
}

static inline void iomapi_sim_sanitizer_delete(struct iomapi_sim_fiber *fiber)
{
	if (fiber->tsan)
		__tsan_destroy_fiber(fiber->tsan);
}

static inline void iomapi_sim_sanitizer_leaving(struct iomapi_sim_fiber *from,
						struct iomapi_sim_fiber *to)
{
	from->tsan = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(to->tsan, 0);
}

static inline void iomapi_sim_sanitizer_arrived(struct iomapi_sim_fiber *fiber)
{
	(void)fiber;
}

#else

static inline void iomapi_sim_sanitizer_new(struct iomapi_sim_fiber *fiber)
{
	(void)fiber;
}

static inline void iomapi_sim_sanitizer_stop(struct iomapi_sim_fiber *fiber)
{
	(void)fiber;
}

static inline void iomapi_sim_sanitizer_delete(struct iomapi_sim_fiber *fiber)
{
	(void)fiber;
}

static inline void iomapi_sim_sanitizer_leaving(struct iomapi_sim_fiber *from,
						struct iomapi_sim_fiber *to)
{
	(void)from;
	(void)to;
}

static inline void iomapi_sim_sanitizer_arrived(struct iomapi_sim_fiber *fiber)
{
	(void)fiber;
}

#endif
#endif
