/* SPDX-License-Identifier: MIT */
/*
 * facts.c - from trace records to facts.
 *
 * The hook copies and returns, for it runs under the library's locks.  Afterwards the records are
 * read once, in order, and linked: by position in the file, by the ioend's id, by device address.
 */
#include <errno.h>
#include <string.h>

#include <xxhash.h>

#include "merge.h"

void facts_trace(void *arg, const struct iomap_trace_record *record)
{
	struct facts *f = arg;

	if (f->nr_records < MAX_RECORDS)
		f->records[f->nr_records++] = *record;
	else
		f->nr_lost++;
}

/* ---- which pages ---- */

static unsigned first_page(int64_t pos)
{
	return (unsigned)(pos / PAGE_BYTES);
}

static unsigned end_page(int64_t pos, uint64_t len)
{
	uint64_t end = ((uint64_t)pos + len + PAGE_BYTES - 1) / PAGE_BYTES;

	return end < MERGE_PAGES ? (unsigned)end : MERGE_PAGES;
}

static void on_dirty(struct facts *f, const struct iomap_trace_record *r)
{
	for (unsigned p = first_page(r->pos); p < end_page(r->pos, r->len); p++)
		f->pages[p].state = PAGE_DIRTY;
}

/* ---- one kind of record each ---- */

static void on_folio(struct facts *f, const struct iomap_trace_record *r)
{
	struct folio_fact *folio = &f->folios[f->nr_folios];

	folio->pos = r->pos;
	folio->len = r->len;
	for (unsigned p = first_page(r->pos); p < end_page(r->pos, r->len); p++)
		f->pages[p].folio = (int)f->nr_folios;
	f->nr_folios++;
}

static void on_range(struct facts *f, const struct iomap_trace_record *r)
{
	f->ranges[f->nr_ranges].pos = r->pos;
	f->ranges[f->nr_ranges].len = r->len;
	for (unsigned p = first_page(r->pos); p < end_page(r->pos, r->len); p++)
		f->pages[p].range = (int)f->nr_ranges;
	f->nr_ranges++;
}

/* A map is shown once, however many ranges lie in it. */
static void on_map(struct facts *f, const struct iomap_trace_record *r)
{
	struct map_fact *last = f->nr_maps ? &f->maps[f->nr_maps - 1] : NULL;
	struct map_fact map = {
		.pos = r->pos, .len = r->len, .addr = r->addr, .type = r->type, .flags = r->flags,
	};

	if (last && last->pos == map.pos && last->len == map.len && last->addr == map.addr)
		return;
	f->maps[f->nr_maps] = map;
	for (unsigned p = first_page(r->pos); p < end_page(r->pos, r->len); p++)
		f->pages[p].map = (int)f->nr_maps;
	f->nr_maps++;
}

static int find_ioend(const struct facts *f, uint64_t id)
{
	for (unsigned i = 0; i < f->nr_ioends; i++)
		if (f->ioends[i].id == id)
			return (int)i;
	return NOWHERE;
}

static void on_add(struct facts *f, const struct iomap_trace_record *r)
{
	int i = find_ioend(f, r->id);
	struct ioend_fact *ioend;

	if (i == NOWHERE) {
		i = (int)f->nr_ioends++;
		f->ioends[i] = (struct ioend_fact){
			.id = r->id, .pos = r->pos, .addr = r->addr, .type = r->type,
			.flags = r->flags, .why = r->why, .bio = NOWHERE,
		};
	}
	ioend = &f->ioends[i];
	ioend->len += r->len;
	ioend->nr_ranges++;
	for (unsigned p = first_page(r->pos); p < end_page(r->pos, r->len); p++)
		f->pages[p].ioend = i;
}

/* What is left of it at the end of a file is less than what was added: whole blocks. */
static void on_submit(struct facts *f, const struct iomap_trace_record *r)
{
	int i = find_ioend(f, r->id);

	if (i != NOWHERE)
		f->ioends[i].len = r->len;
}

/* A request as the device gets it: a piece of an ioend, or all of it. */
static void on_bio(struct facts *f, const struct iomap_trace_record *r)
{
	struct ioend_fact *e = f->ioends;
	int64_t pos;

	while (e < f->ioends + f->nr_ioends && (r->addr < e->addr || r->addr >= e->addr + e->len))
		e++;
	if (e == f->ioends + f->nr_ioends)
		return;
	f->bios[f->nr_bios] = (struct bio_fact){
		.addr = r->addr, .len = r->len, .ioend = (int)(e - f->ioends),
	};
	if (!e->nr_bios++)
		e->bio = (int)f->nr_bios;
	pos = e->pos + (int64_t)(r->addr - e->addr);
	for (unsigned p = first_page(pos); p < end_page(pos, r->len); p++)
		f->pages[p].bio = (int)f->nr_bios;
	f->nr_bios++;
}

static void on_bio_end(struct facts *f, const struct iomap_trace_record *r)
{
	for (unsigned i = 0; i < f->nr_bios; i++)
		if (f->bios[i].addr >= r->addr && f->bios[i].addr < r->addr + r->len) {
			f->bios[i].ended = true;
			f->bios[i].result = r->result;
		}
}

static void on_ioend_end(struct facts *f, const struct iomap_trace_record *r)
{
	int i = find_ioend(f, r->id);

	if (i != NOWHERE) {
		f->ioends[i].ended = true;
		f->ioends[i].result = r->result;
	}
}

static void on_written(struct facts *f, const struct iomap_trace_record *r)
{
	for (unsigned i = 0; i < f->nr_folios; i++)
		if (f->folios[i].pos == r->pos) {
			f->folios[i].written = true;
			f->folios[i].result = r->result;
		}
}

static void on_record(struct facts *f, const struct iomap_trace_record *r)
{
	switch (r->event) {
	case IOMAP_TRACE_FOLIO_DIRTY:
		return on_dirty(f, r);
	case IOMAP_TRACE_WRITEBACK_FOLIO:
		return on_folio(f, r);
	case IOMAP_TRACE_WRITEBACK_RANGE:
		return on_range(f, r);
	case IOMAP_TRACE_MAP:
		if (f->nr_folios)		/* else it is of a read or write, from begin */
			on_map(f, r);
		return;
	case IOMAP_TRACE_ADD_TO_IOEND:
		return on_add(f, r);
	case IOMAP_TRACE_IOEND_SUBMIT:
		return on_submit(f, r);
	case IOMAP_TRACE_BIO_QUEUE:
		if (r->type == IOMAP_BIO_WRITE)
			on_bio(f, r);
		return;
	case IOMAP_TRACE_BIO_END:
		if (r->type == IOMAP_BIO_WRITE)
			on_bio_end(f, r);
		return;
	case IOMAP_TRACE_IOEND_END:
		return on_ioend_end(f, r);
	case IOMAP_TRACE_FOLIO_WRITTEN:
		return on_written(f, r);
	default:
		return;
	}
}

static bool is_full(const struct facts *f)
{
	return f->nr_folios == MAX_FACTS || f->nr_ranges == MAX_FACTS || f->nr_maps == MAX_FACTS ||
	       f->nr_ioends == MAX_FACTS || f->nr_bios == MAX_FACTS;
}

int facts_link(struct facts *f)
{
	for (unsigned p = 0; p < MERGE_PAGES; p++) {
		struct page_fact *page = &f->pages[p];

		page->folio = page->range = page->map = page->ioend = page->bio = NOWHERE;
	}
	for (unsigned i = 0; i < f->nr_records && !is_full(f); i++)
		on_record(f, &f->records[i]);
	for (unsigned p = 0; p < MERGE_PAGES; p++)
		f->nr_dirty += f->pages[p].state == PAGE_DIRTY;
	for (unsigned i = 0; i < f->nr_ioends; i++)
		if (!f->ioends[i].ended || !f->ioends[i].nr_bios)
			return -EIO;
	return f->nr_lost || is_full(f) ? -EIO : 0;
}

/* ---- the digest ---- */

/* Numbers go in as eight bytes each, the lowest first, whatever the machine thinks of that. */
struct words {
	uint8_t bytes[1 << 16];
	size_t used;
};

static void word(struct words *w, uint64_t n)
{
	for (unsigned i = 0; i < 8 && w->used < sizeof(w->bytes); i++, n >>= 8)
		w->bytes[w->used++] = (uint8_t)n;
}

#define WORDS(w, ...) \
	do { \
		const int64_t numbers_[] = { __VA_ARGS__ }; \
		for (size_t i_ = 0; i_ < sizeof(numbers_) / sizeof(numbers_[0]); i_++) \
			word((w), (uint64_t)numbers_[i_]); \
	} while (0)

uint64_t facts_digest(const struct facts *f)
{
	struct words w = { .used = 0 };

	WORDS(&w, (int64_t)f->seed, (int64_t)f->max_ioend_bytes, f->size);
	for (unsigned i = 0; i < MERGE_PAGES; i++) {
		const struct page_fact *p = &f->pages[i];

		WORDS(&w, p->state, p->folio, p->range, p->map, p->ioend, p->bio);
	}
	for (unsigned i = 0; i < f->nr_folios; i++) {
		const struct folio_fact *x = &f->folios[i];

		WORDS(&w, x->pos, (int64_t)x->len, x->written, x->result);
	}
	for (unsigned i = 0; i < f->nr_ranges; i++)
		WORDS(&w, f->ranges[i].pos, (int64_t)f->ranges[i].len);
	for (unsigned i = 0; i < f->nr_maps; i++) {
		const struct map_fact *m = &f->maps[i];

		WORDS(&w, m->pos, (int64_t)m->len, (int64_t)m->addr, m->type, m->flags);
	}
	for (unsigned i = 0; i < f->nr_ioends; i++) {
		const struct ioend_fact *e = &f->ioends[i];

		WORDS(&w, e->pos, (int64_t)e->len, (int64_t)e->addr, e->type, e->flags, e->why,
		      e->nr_ranges, e->nr_bios, e->bio, e->result);
	}
	for (unsigned i = 0; i < f->nr_bios; i++) {
		const struct bio_fact *b = &f->bios[i];

		WORDS(&w, (int64_t)b->addr, (int64_t)b->len, b->ioend, b->ended, b->result);
	}
	return XXH64(w.bytes, w.used, 0);
}
