/* SPDX-License-Identifier: MIT */
/*
 * ioend_fixture.h - a run of dirty blocks, written out; why the nth ioend began.
 */
#ifndef IOEND_FIXTURE_H
#define IOEND_FIXTURE_H

#include <iomap/trace.h>

#include "model/flat.h"

#define BLOCK 4096

/* Single-block folios, all of n blocks dirty. */
static inline struct flat *dirty_blocks(const struct flat_opts *opts, unsigned n)
{
	struct flat *f = flat_new(opts);

	for (unsigned i = 0; i < n; i++)
		flat_dirty(f, (int64_t)i * BLOCK, BLOCK, 'a');
	return f;
}

static inline void write_all(struct flat *f, int expected)
{
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), expected);
	flat_settle(f);
}

/* The why of the nth ioend that was submitted. */
static inline enum iomap_trace_why why_of(struct flat *f, unsigned n)
{
	for (unsigned i = 0; i < f->t.nr_trace; i++)
		if (f->t.trace[i].event == IOMAP_TRACE_IOEND_SUBMIT && !n--)
			return f->t.trace[i].why;
	ck_abort_msg("no such ioend");
	return IOMAP_WHY_FIRST;
}

#endif
