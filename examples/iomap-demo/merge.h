/* SPDX-License-Identifier: MIT */
/*
 * merge.h - what a merge showed: facts out of the trace, and the ways to tell them.
 *
 * Nothing here is computed a second time: a fact is a trace record that was kept and linked with
 * its neighbours by position and id.
 */
#ifndef MERGE_H
#define MERGE_H

#include "demo.h"

#define MERGE_BYTES	((int64_t)MERGE_PAGES * PAGE_BYTES)
#define NOWHERE		(-1)		/* an index: there is none */

enum page_state { PAGE_ABSENT, PAGE_CLEAN, PAGE_DIRTY };
struct page_fact {
	uint8_t state;
	int folio, range, map, ioend, bio;	/* indexes below */
};
struct folio_fact {
	int64_t pos;
	uint64_t len;
	bool written;			/* its writeback ended */
	int32_t result;
};
struct range_fact {			/* what writeback_range was offered */
	int64_t pos;
	uint64_t len;
};
struct map_fact {
	int64_t pos;
	uint64_t len, addr;
	uint32_t type, flags;
};
struct ioend_fact {
	uint64_t id;
	int64_t pos;
	uint64_t len, addr;
	uint32_t type, flags;		/* of the map; of the ioend */
	uint32_t why;			/* it began */
	uint32_t nr_ranges, nr_bios;
	int bio;			/* the first one */
	bool ended;
	int32_t result;
};
struct bio_fact {
	uint64_t addr, len;
	int ioend;
	bool ended;
	int32_t result;
};
#define MAX_FACTS	(2 * MERGE_PAGES)
#define MAX_RECORDS	4096u
struct facts {
	uint64_t seed, max_ioend_bytes, digest;
	int64_t size;			/* of the file */
	struct page_fact pages[MERGE_PAGES];
	struct folio_fact folios[MAX_FACTS];
	struct range_fact ranges[MAX_FACTS];
	struct map_fact maps[MAX_FACTS];
	struct ioend_fact ioends[MAX_FACTS];
	struct bio_fact bios[MAX_FACTS];
	unsigned nr_dirty, nr_folios, nr_ranges, nr_maps, nr_ioends, nr_bios;
	unsigned nr_records, nr_lost;	/* lost: more came than fit */
	struct iomap_trace_record records[MAX_RECORDS];
};

/* ---- facts.c; the pages' state is set before, by whoever can ask the cache ---- */
void facts_trace(void *arg, const struct iomap_trace_record *record);	/* the hook */
int facts_link(struct facts *f);	/* -EIO: the trace does not fit together */
uint64_t facts_digest(const struct facts *f);	/* of every decision, the same everywhere */

/* ---- words.c ---- */
void map_name(unsigned i, char name[4]);			/* A .. Z, A1 .. */
const char *map_kind(const struct map_fact *map, char text[48]);	/* "unwritten, boundary" */
/* Why this ioend took no more: what the one after it says about its own beginning. */
const char *ioend_closed(const struct facts *f, unsigned i);
const char *why_name(uint32_t why);				/* "device", one word */
void words_table(struct demo *d, const struct facts *f);
void words_journey(struct demo *d, const struct facts *f, unsigned page);

/* ---- draw.c, svg.c, json.c ---- */
void draw(struct demo *d, const struct facts *f);
void svg(FILE *out, const struct facts *f);
void json(struct demo *d, const struct facts *f, int64_t why);	/* one page, or < 0: all of it */

#endif
