/* SPDX-License-Identifier: MIT */
/*
 * base/trace.h - hand one event to the trace hook; one predicted branch when there is none.
 *
 * With IOMAPI_USDT there is a second listener: probes that somebody outside attaches to.  All of
 * them share one semaphore, a count that the one who attaches raises in our memory; so an event
 * asks both questions with one branch.
 */
#ifndef IOMAPI_TRACE_H
#define IOMAPI_TRACE_H

#include "base/env.h"

void iomapi_trace_emit(struct iomap_env *env, struct iomap_trace_record *record);

#ifdef IOMAPI_USDT
extern unsigned short iomapi_probes;	/* attached; written from outside the process only */
void iomapi_probe(const struct iomap_trace_record *record);
static inline uint32_t iomapi_probed(void)
{
	return __atomic_load_n(&iomapi_probes, __ATOMIC_RELAXED);
}
#else
static inline void iomapi_probe(const struct iomap_trace_record *record)
{
	(void)record;
}
static inline uint32_t iomapi_probed(void)
{
	return 0;
}
#endif

/* Is there a hook?  The first word of struct iomap_env says so. */
static inline bool iomapi_hooked(const struct iomap_env *env)
{
	return *(const iomap_word *)(const void *)env;
}

/* Does anybody listen? */
#define iomapi_traced(env) \
	iomapi_unlikely((*(const iomap_word *)(const void *)(env) | iomapi_probed()) != 0)

/* iomapi_trace(env, .event = IOMAP_TRACE_MAP, .inode = inode, ..); time and size are filled in */
#define iomapi_trace(env, ...) \
	do { \
		if (iomapi_traced(env)) \
			iomapi_trace_emit((env), &(struct iomap_trace_record){ __VA_ARGS__ }); \
	} while (0)

#endif
