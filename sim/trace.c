/* SPDX-License-Identifier: MIT */
/*
 * trace.c - choices that were made, or are to be made again.
 */
#include <errno.h>
#include <string.h>

#include "explore.h"

int iomapi_sim_trace_copy(struct iomapi_sim_trace *to, const struct iomapi_sim_made *made,
			  size_t nr)
{
	if (to->max < nr) {
		struct iomapi_sim_made *more = iomapi_sim_grow(to->made, nr * sizeof(*more));

		if (!more)
			return -ENOMEM;
		to->made = more;
		to->max = nr;
	}
	if (nr)
		memmove(to->made, made, nr * sizeof(*made));
	to->nr = nr;
	return 0;
}

void iomapi_sim_trace_free(struct iomapi_sim_trace *trace)
{
	iomapi_sim_free(trace->made);
	memset(trace, 0, sizeof(*trace));
}

size_t iomapi_sim_nr_ops(const struct iomapi_sim_trace *trace)
{
	size_t nr = 0;

	for (size_t i = 0; i < trace->nr; i++)
		nr += trace->made[i].site && !strcmp(trace->made[i].site, "op") &&
		      trace->made[i].value;
	return nr;
}

void iomapi_sim_failure_fini(struct iomapi_sim_failure *failure)
{
	iomapi_sim_trace_free(&failure->work);
	iomapi_sim_trace_free(&failure->recover);
	iomapi_sim_trace_free(&failure->recover2);
	iomapi_sim_free(failure->faults);
	failure->faults = NULL;
}

int iomapi_sim_next_path(struct iomapi_sim_trace *path, const struct iomapi_sim_trace *made)
{
	size_t nr = made->nr;
	int rc;

	while (nr && made->made[nr - 1].value + 1 >= made->made[nr - 1].n)
		nr--;
	rc = iomapi_sim_trace_copy(path, made->made, nr);
	if (rc || !nr)
		return rc;
	path->made[nr - 1].value++;
	return 1;
}
