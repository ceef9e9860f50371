/* SPDX-License-Identifier: MIT */
/*
 * base/log.c - one report through the log hook.
 *
 * The library prints nothing: without a hook a report goes nowhere.  Threads: any.
 */
#include "base/log.h"

void iomapi_log(struct iomap_env *env, const struct iomap_log_record *record)
{
	const struct iomap_env_opts *opts = iomapi_env_opts(env);

	opts->log(opts->log_arg, record);
}

int iomapi_bad_answer(struct iomap_env *env, const struct iomap_log_record *record)
{
	iomapi_log(env, record);
	return -EIO;
}
