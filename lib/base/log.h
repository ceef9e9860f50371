/* SPDX-License-Identifier: MIT */
/*
 * base/log.h - one report through the log hook: which rule was broken by whom.
 */
#ifndef IOMAPI_LOG_H
#define IOMAPI_LOG_H

#include "base/env.h"

void iomapi_log(struct iomap_env *env, const struct iomap_log_record *record);

/* iomapi_report(env, .rule = "V4", .callback = "iomap_begin", .field = "addr", .value = .., ..) */
#define iomapi_report(env, ...) \
	iomapi_log((env), &(struct iomap_log_record){ \
		.struct_size = sizeof(struct iomap_log_record), .level = 3, __VA_ARGS__ })

#endif
