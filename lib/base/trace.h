/* SPDX-License-Identifier: MIT */
/*
 * base/trace.h - hand one event to the trace hook; one predicted branch when there is none.
 */
#ifndef IOMAPI_TRACE_H
#define IOMAPI_TRACE_H

#include "base/env.h"

void iomapi_trace_emit(struct iomap_env *env, struct iomap_trace_record *record);

/* Is there a hook?  The first word of struct iomap_env says so. */
#define iomapi_traced(env) iomapi_unlikely(*(const iomap_word *)(const void *)(env))

/* iomapi_trace(env, .event = IOMAP_TRACE_MAP, .inode = inode, ..); time and size are filled in */
#define iomapi_trace(env, ...) \
	do { \
		if (iomapi_traced(env)) \
			iomapi_trace_emit((env), &(struct iomap_trace_record){ __VA_ARGS__ }); \
	} while (0)

#endif
