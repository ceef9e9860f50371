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

/* What a callback of the client answered: 0 or a negative errno; else -EIO, and a report, whose
 * rule, callback and so on are the other arguments. */
#define iomapi_answer(env, rc, ...) \
	(iomapi_likely((rc) <= 0) ? (rc) : \
	 iomapi_bad_answer((env), &(struct iomap_log_record){ \
		.struct_size = sizeof(struct iomap_log_record), .level = 3, .field = "return", \
		.value = (uint64_t)(rc), .text = "only 0 or a negative errno", __VA_ARGS__ }))
int iomapi_bad_answer(struct iomap_env *env, const struct iomap_log_record *record);

#endif
