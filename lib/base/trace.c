/* SPDX-License-Identifier: MIT */
/*
 * base/trace.c - names of the events, and the way of one to who listens.
 *
 * Threads: any; the hook is set when the environment is made and never changes.
 */
#include "base/trace.h"

static const char *const trace_names[] = {
	[IOMAP_TRACE_ITER_BEGIN] = "iter_begin",
	[IOMAP_TRACE_ITER_END] = "iter_end",
	[IOMAP_TRACE_MAP] = "map",
	[IOMAP_TRACE_FOLIO_DIRTY] = "folio_dirty",
	[IOMAP_TRACE_FOLIO_READ] = "folio_read",
	[IOMAP_TRACE_FOLIO_INVALIDATE] = "folio_invalidate",
	[IOMAP_TRACE_WRITEBACK_FOLIO] = "writeback_folio",
	[IOMAP_TRACE_WRITEBACK_RANGE] = "writeback_range",
	[IOMAP_TRACE_ADD_TO_IOEND] = "add_to_ioend",
	[IOMAP_TRACE_IOEND_SUBMIT] = "ioend_submit",
	[IOMAP_TRACE_BIO_SUBMIT] = "bio_submit",
	[IOMAP_TRACE_BIO_QUEUE] = "bio_queue",
	[IOMAP_TRACE_BIO_END] = "bio_end",
	[IOMAP_TRACE_IOEND_END] = "ioend_end",
	[IOMAP_TRACE_FOLIO_WRITTEN] = "folio_written",
	[IOMAP_TRACE_DIO_START] = "dio_start",
	[IOMAP_TRACE_DIO_END] = "dio_end",
	[IOMAP_TRACE_DAX_FAULT] = "dax_fault",
	[IOMAP_TRACE_DAX_SYNC] = "dax_sync",
	[IOMAP_TRACE_FILE_SYNC] = "file_sync",
	[IOMAP_TRACE_FLUSH] = "flush",
	[IOMAP_TRACE_IOEND_MERGE] = "ioend_merge",
	[IOMAP_TRACE_CALLBACK] = "callback",
	[IOMAP_TRACE_SRCMAP] = "srcmap",
	[IOMAP_TRACE_READ_FOLIO] = "read_folio",
	[IOMAP_TRACE_READAHEAD] = "readahead",
	[IOMAP_TRACE_FOLIO_RELEASE] = "folio_release",
	[IOMAP_TRACE_ZERO] = "zero",
};

IOMAP_API const char *iomap_trace_name(enum iomap_trace_event event)
{
	unsigned i = (unsigned)event;

	return i < sizeof(trace_names) / sizeof(trace_names[0]) ? trace_names[i] : "unknown";
}

void iomapi_trace_emit(struct iomap_env *env, struct iomap_trace_record *record)
{
	const struct iomap_env_opts *opts = iomapi_env_opts(env);

	if (iomapi_probed())
		iomapi_probe(record);
	if (!iomapi_hooked(env))
		return;
	record->struct_size = sizeof(*record);
	record->time_ns = iomapi_now(env);
	opts->trace(opts->trace_arg, record);
}
