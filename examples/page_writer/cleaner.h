/* SPDX-License-Identifier: MIT */
/*
 * cleaner.h - frames, and how dirty ones become ioends.
 */
#ifndef CLEANER_H
#define CLEANER_H

#include <iomap/iomap.h>

#define FRAME		16384u
#define WORDS		(FRAME / 8 - 3)

struct page {				/* what is in a frame, and on the device */
	_Alignas(4096) uint64_t sum;	/* of all that follows; set in what is sent */
	uint64_t lsn;			/* of its last change */
	uint64_t number, words[WORDS];	/* number: its place on the device, in frames */
};
struct frame {
	struct iomap_mutex latch;	/* EXTENT: page; the log's lock comes after it */
	struct page *page;
	int64_t pos;			/* in its space */
	uint64_t written_lsn;		/* dirty while it is not the page's: the pool's truth */
	struct slot *slot;
};
struct slot {				/* a transient folio around a frame, and its stable copy */
	struct iomap_folio folio;
	struct frame *frame;		/* that is under way; NULL: none is */
	struct cleaner *cleaner;
	struct page copy;
};
struct cleaner {
	struct iomap_env *env;
	/* Where a space lies around this page: wpc->iomap.  Latched. */
	void (*map)(struct iomap_writeback_ctx *wpc, const struct page *page);
	/* Gets each ioend, whose client_max is the newest LSN in it.  Not latched, may not wait. */
	void (*hand_over)(struct cleaner *cl, struct iomap_ioend *ioend);
	void *owner;
	/* Atomic: frames written or not, ioends handed over */
	iomap_word nr_frames, nr_failed, nr_ioends;
};

uint64_t page_sum(const struct page *page);
bool frame_is_dirty(const struct frame *frame);		/* latched, or nobody else is there */
extern const struct iomap_inode_ops space_ops;		/* of all inodes here */
/*
 * Frames of one space, by pos, whose slots are free.  When it returns the dirty ones are on their
 * way, and those after an error untouched.  What comes of each frame tells its written_lsn; wait
 * for all with iomap_inode_wait_wb.
 */
int cleaner_clean(struct cleaner *cl, struct iomap_inode *space, struct frame *const *frames,
		  unsigned nr);

#endif
