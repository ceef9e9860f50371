/* SPDX-License-Identifier: MIT */
/*
 * iomap/trace.h - what happens, in the order it happens.
 *
 * For whoever looks for a fault or draws a timeline.  The events are the steps of a dirty page's
 * journey, of reading and zeroing, plus the begin-end loop.  The hook is set in the environment's
 * options; without one an event costs one predicted branch.  doc/trace.md says when each event
 * comes and which fields it fills in; where the library was built with probes (USDT), the same
 * events are to be had from outside the process, under the kernel's names where it has such.
 *   hook     any thread, leaf locks held: copy the record and return.
 */
#ifndef IOMAP_TRACE_H
#define IOMAP_TRACE_H

#include "types.h"

IOMAP_BEGIN_DECLS

enum iomap_trace_event {
	IOMAP_TRACE_ITER_BEGIN, IOMAP_TRACE_ITER_END, IOMAP_TRACE_MAP,
	IOMAP_TRACE_FOLIO_DIRTY, IOMAP_TRACE_FOLIO_READ, IOMAP_TRACE_FOLIO_INVALIDATE,
	IOMAP_TRACE_WRITEBACK_FOLIO, IOMAP_TRACE_WRITEBACK_RANGE, IOMAP_TRACE_ADD_TO_IOEND,
	IOMAP_TRACE_IOEND_SUBMIT, IOMAP_TRACE_BIO_SUBMIT, IOMAP_TRACE_BIO_QUEUE,
	IOMAP_TRACE_BIO_END, IOMAP_TRACE_IOEND_END, IOMAP_TRACE_FOLIO_WRITTEN,
	IOMAP_TRACE_DIO_START, IOMAP_TRACE_DIO_END, IOMAP_TRACE_DAX_FAULT, IOMAP_TRACE_DAX_SYNC,
	IOMAP_TRACE_FILE_SYNC, IOMAP_TRACE_FLUSH,
	IOMAP_TRACE_IOEND_MERGE,	/* one that has ended joins the one named by into */
	IOMAP_TRACE_CALLBACK,		/* end_io or folio_written: result is how deep, from 1 */
	IOMAP_TRACE_SRCMAP,		/* the second map that begin gave, where data come from */
	IOMAP_TRACE_READ_FOLIO, IOMAP_TRACE_READAHEAD,	/* start of it; FOLIO_READ is an end */
	IOMAP_TRACE_FOLIO_RELEASE,	/* per-block state freed: result 1; 0: it is needed */
	IOMAP_TRACE_ZERO,		/* a part of a folio was overwritten with zeros */
};
enum iomap_trace_why {		/* why a range could not join the ioend before it */
	IOMAP_WHY_FIRST,	/* none was pending: of the context, or since it was kicked */
	IOMAP_WHY_KIND,		/* SHARED, UNWRITTEN, DONTCACHE, anonymous, integrity: not equal */
	IOMAP_WHY_FILE,		/* not contiguous in the file */
	IOMAP_WHY_DEVICE,	/* nor on the device, or another device */
	IOMAP_WHY_SIZE,		/* bytes, folios or segments; also a front piece that was split */
	IOMAP_WHY_BOUNDARY,	/* the map says so */
	IOMAP_WHY_KEY,		/* the client has closed it */
	IOMAP_WHY_EOF,		/* it ended at the end of the file, inside a block */
};
struct iomap_trace_record {
	size_t struct_size;
	uint32_t event;
	int32_t result;
	int64_t time_ns;
	struct iomap_inode *inode;
	struct iomap_bdev *bdev;
	int64_t pos;
	uint64_t len, addr;
	uint32_t type, flags;
	uint64_t id;			/* of the ioend, bio or direct I/O */
	/* Why the ioend began: enum iomap_trace_why.  ADD_TO_IOEND has result 1 where it did. */
	uint32_t why;
	uint32_t writeback;		/* MAP: 1 set for writeback, 0 by begin */
	uint64_t into;			/* IOEND_MERGE: the id of the ioend that absorbs it */
};
IOMAP_API const char *iomap_trace_name(enum iomap_trace_event event);

IOMAP_END_DECLS
#endif
