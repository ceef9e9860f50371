/* SPDX-License-Identifier: MIT */
/*
 * base/probe.c - events as probes (USDT), for tracers outside the process.
 *
 * Here alone events meet probes.  The provider is iomap.  What the kernel traces of its own files
 * has the kernel's name and order of arguments, so that scripts can be carried over; its device and
 * inode number are one pointer here, the inode.  The other events are called iomap_ and the name of
 * the event.  doc/trace.md has the table; tests/abi looks whether the notes of the library say the
 * same.
 *
 * A probe is a nop and a note.  All name one semaphore under many names, which counts who is
 * attached: base/trace.h asks it before anything is put together.
 *
 * Threads: any; nothing is kept here.
 */
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#include "base/trace.h"

#define HIDDEN __attribute__((visibility("hidden")))

HIDDEN unsigned short iomapi_probes __attribute__((section(".probes")));

#define SHARED(name) \
	extern HIDDEN unsigned short iomap_##name##_semaphore \
		__attribute__((alias("iomapi_probes")))

SHARED(iomap_iter);
SHARED(iomap_iter_end);
SHARED(iomap_iter_dstmap);
SHARED(iomap_iter_srcmap);
SHARED(iomap_readpage);
SHARED(iomap_readahead);
SHARED(iomap_folio_read);
SHARED(iomap_folio_dirty);
SHARED(iomap_zero_iter);
SHARED(iomap_release_folio);
SHARED(iomap_invalidate_folio);
SHARED(iomap_writeback_folio);
SHARED(iomap_writeback_range);
SHARED(iomap_writeback_map);
SHARED(iomap_add_to_ioend);
SHARED(iomap_ioend_submit);
SHARED(iomap_ioend_end);
SHARED(iomap_ioend_merge);
SHARED(iomap_folio_written);
SHARED(iomap_bio_submit);
SHARED(iomap_bio_queue);
SHARED(iomap_bio_end);
SHARED(iomap_flush);
SHARED(iomap_file_sync);
SHARED(iomap_callback);

#define PAGES(r) ((r)->len >> 12)	/* the kernel's unit here */

#define RANGE(name) STAP_PROBE4(iomap, name, r->inode, r->pos, r->len, r->result)
#define READ(name) STAP_PROBE3(iomap, name, r->inode, PAGES(r), r->pos)
#define MAP(name) STAP_PROBE7(iomap, name, r->inode, r->addr, r->pos, r->len, r->type, r->flags, \
			      r->bdev)
#define IOEND(name) STAP_PROBE7(iomap, name, r->inode, r->pos, r->len, r->addr, r->flags, r->id, \
				r->result)
#define BIO(name) STAP_PROBE7(iomap, name, r->bdev, r->type, r->addr, r->len, r->flags, r->id, \
			      r->result)

/* Steps of the loop, of reading and zeroing. */
static bool probe_iter(const struct iomap_trace_record *r)
{
	switch (r->event) {
	case IOMAP_TRACE_ITER_BEGIN:
		STAP_PROBE5(iomap, iomap_iter, r->inode, r->pos, r->len, r->flags, r->result);
		return true;
	case IOMAP_TRACE_ITER_END:
		STAP_PROBE5(iomap, iomap_iter_end, r->inode, r->pos, r->len, r->flags, r->result);
		return true;
	case IOMAP_TRACE_MAP:
		if (r->writeback)
			MAP(iomap_writeback_map);
		else
			MAP(iomap_iter_dstmap);
		return true;
	case IOMAP_TRACE_SRCMAP:
		MAP(iomap_iter_srcmap);
		return true;
	case IOMAP_TRACE_READ_FOLIO:
		READ(iomap_readpage);
		return true;
	case IOMAP_TRACE_READAHEAD:
		READ(iomap_readahead);
		return true;
	case IOMAP_TRACE_ZERO:
		RANGE(iomap_zero_iter);
		return true;
	default:
		return false;
	}
}

/* What happens to a folio. */
static bool probe_folio(const struct iomap_trace_record *r)
{
	switch (r->event) {
	case IOMAP_TRACE_FOLIO_READ:
		RANGE(iomap_folio_read);
		return true;
	case IOMAP_TRACE_FOLIO_DIRTY:
		RANGE(iomap_folio_dirty);
		return true;
	case IOMAP_TRACE_FOLIO_RELEASE:
		RANGE(iomap_release_folio);
		return true;
	case IOMAP_TRACE_FOLIO_INVALIDATE:
		RANGE(iomap_invalidate_folio);
		return true;
	case IOMAP_TRACE_WRITEBACK_FOLIO:
		RANGE(iomap_writeback_folio);
		return true;
	case IOMAP_TRACE_WRITEBACK_RANGE:
		RANGE(iomap_writeback_range);
		return true;
	case IOMAP_TRACE_FOLIO_WRITTEN:
		RANGE(iomap_folio_written);
		return true;
	case IOMAP_TRACE_FILE_SYNC:
		RANGE(iomap_file_sync);
		return true;
	default:
		return false;
	}
}

/* What happens to requests. */
static void probe_request(const struct iomap_trace_record *r)
{
	switch (r->event) {
	case IOMAP_TRACE_ADD_TO_IOEND:
		STAP_PROBE9(iomap, iomap_add_to_ioend, r->inode, r->pos, r->len, r->addr, r->type,
			    r->flags, r->bdev, r->id, r->why);
		break;
	case IOMAP_TRACE_IOEND_SUBMIT:
		IOEND(iomap_ioend_submit);
		break;
	case IOMAP_TRACE_IOEND_END:
		IOEND(iomap_ioend_end);
		break;
	case IOMAP_TRACE_IOEND_MERGE:
		STAP_PROBE3(iomap, iomap_ioend_merge, r->inode, r->id, r->into);
		break;
	case IOMAP_TRACE_BIO_SUBMIT:
		BIO(iomap_bio_submit);
		break;
	case IOMAP_TRACE_BIO_QUEUE:
		BIO(iomap_bio_queue);
		break;
	case IOMAP_TRACE_BIO_END:
		BIO(iomap_bio_end);
		break;
	case IOMAP_TRACE_FLUSH:
		STAP_PROBE3(iomap, iomap_flush, r->bdev, r->id, r->result);
		break;
	case IOMAP_TRACE_CALLBACK:
		STAP_PROBE1(iomap, iomap_callback, r->result);
		break;
	}
}

void iomapi_probe(const struct iomap_trace_record *record)
{
	if (!probe_iter(record) && !probe_folio(record))
		probe_request(record);
}
