/* SPDX-License-Identifier: MIT */
/*
 * crash.h - what is known about the pages of a file after a power cut.
 *
 * Each step of the workload is a number, and what it wrote into a page can be told from that page
 * and that number, sector by sector.  Step 0 is what the device held before.
 */
#ifndef CRASH_H
#define CRASH_H

#include "demo.h"

#define CRASH_PAGES	72u
#define CRASH_BYTES	(CRASH_PAGES * PAGE_BYTES)
#define CRASH_STEPS	60u		/* a page's steps are bits of a word */
#define SECTOR_BYTES	512u
#define PAGE_SECTORS	(PAGE_BYTES / SECTOR_BYTES)
#define NO_STEP		255u		/* a sector with what nobody wrote */

enum fate {
	UNTOUCHED,
	SYNCED,			/* its last write was synced, and is there */
	KEPT,			/* not synced, there all the same */
	EARLY,			/* the same, while something written before it is lost */
	LOST,			/* something older is there instead, as old as its last sync */
	TORN,			/* sectors of several steps, or a sector that was being written */
	BROKEN,			/* no device may do that, or a sync lied */
	NR_FATES
};
struct page {
	uint64_t steps;			/* a bit for each that wrote it */
	uint8_t newest, synced;		/* the last one that did, and of what a sync promised */
	uint8_t found[PAGE_SECTORS];	/* steps, after power came back */
	uint8_t fate;
};
struct crash {
	uint64_t seed, cut, events, digest;
	int64_t cut_ns;
	unsigned nr_steps;		/* the last one met the cut */
	const char *doing;		/* in that step */
	bool shorn, tears;		/* the device may, sector by sector */
	struct page pages[CRASH_PAGES];
	unsigned nr[NR_FATES];		/* pages */
	unsigned oldest_lost;		/* step; 0: none */
};

void crash_fill(uint8_t *mem, unsigned page, unsigned step);	/* a page */
void crash_find(struct crash *c, const uint8_t *before, const uint8_t *after);
void crash_judge(struct crash *c);	/* fates, their numbers, the oldest that is lost */
void crash_draw(struct demo *d, const struct crash *c, const char *device);

#endif
