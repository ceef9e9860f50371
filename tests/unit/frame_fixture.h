/* SPDX-License-Identifier: MIT */
/*
 * frame_fixture.h - frames of 16 KiB on a flat device, handed over and told once.
 */
#ifndef FRAME_FIXTURE_H
#define FRAME_FIXTURE_H

#include "model/flat.h"

#define FRAME 16384

static inline struct flat *frames(unsigned n)
{
	return flat_new(&(struct flat_opts){
		.frames = n, .frame_size = FRAME, .block_bits = 12, .no_complete = true,
	});
}

/* Reserve and hand over frames [first, first + n). */
static inline void hand_over(struct flat *f, struct iomap_writeback_ctx *wpc, unsigned first,
			     unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(wpc, 2), 0);
		ck_assert_int_eq(flat_frame(f, wpc, i), 0);
	}
}

static inline void written_once(struct flat *f, unsigned i, int error)
{
	unsigned n = 0;

	for (unsigned k = 0; k < f->nr_written; k++)
		n += f->written[k].folio == &f->frames[i];
	ck_assert_msg(n == 1, "frame %u was told %u times", i, n);
	ck_assert_msg(flat_written_of(f, i)->error == error, "frame %u: %d", i,
		      flat_written_of(f, i)->error);
}

#endif
