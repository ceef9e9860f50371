/* SPDX-License-Identifier: MIT */
/*
 * words.c - the facts in plain words: why each ioend was closed, and the journey of one page.
 */
#include <string.h>

#include "merge.h"

#define LL(x) ((unsigned long long)(x))

void map_name(unsigned i, char name[4])
{
	name[0] = (char)('A' + i % 26);
	name[1] = i < 26 ? 0 : (char)('0' + i / 26 % 10);
	name[2] = 0;
}

const char *map_kind(const struct map_fact *map, char text[48])
{
	static const char *const types[] = { "hole", "delalloc", "mapped", "unwritten", "inline" };

	snprintf(text, 48, "%s%s%s", map->type < 5 ? types[map->type] : "?",
		 map->flags & IOMAP_F_SHARED ? ", shared" : "",
		 map->flags & IOMAP_F_BOUNDARY ? ", boundary" : "");
	return text;
}

static unsigned first_page(int64_t pos)
{
	return (unsigned)(pos / PAGE_BYTES);
}

static unsigned last_page(int64_t pos, uint64_t len)
{
	return (unsigned)((pos + (int64_t)len - 1) / PAGE_BYTES);
}

static const char *numbers(int64_t pos, uint64_t len, char text[32])
{
	unsigned first = first_page(pos), last = last_page(pos, len);

	if (first == last)
		snprintf(text, 32, "%u", first);
	else
		snprintf(text, 32, "%u-%u", first, last);
	return text;
}

static const char *pages(int64_t pos, uint64_t len, char text[32])
{
	char range[32];

	snprintf(text, 32, "page%s %.23s", first_page(pos) == last_page(pos, len) ? "" : "s",
		 numbers(pos, len, range));
	return text;
}

/* ---- why ---- */

static const struct {
	const char *name;
	const char *closed;	/* of the ioend before */
	const char *began;	/* of the ioend that begins */
} whys[] = {
	[IOMAP_WHY_FIRST] = { "first", "nothing came after it", "nothing was pending" },
	[IOMAP_WHY_KIND] = { "kind", "another kind follows, which ends differently",
			     "of another kind than what comes before" },
	[IOMAP_WHY_FILE] = { "file", "a gap follows: no neighbour in the file",
			     "not the neighbour, in the file, of what comes before" },
	[IOMAP_WHY_DEVICE] = { "device", "what follows lies elsewhere on the device",
			       "elsewhere on the device than what comes before" },
	[IOMAP_WHY_SIZE] = { "size", "it is as large as an ioend may be",
			     "the ioend before is as large as one may be" },
	[IOMAP_WHY_BOUNDARY] = { "boundary", "a boundary follows",
				 "a boundary: never merged with what precedes" },
	[IOMAP_WHY_KEY] = { "key", "another client key follows",
			    "of another client key than what comes before" },
	[IOMAP_WHY_EOF] = { "eof", "it ended at the end of the file",
			    "the ioend before ended at the end of the file" },
};
#define NR_WHYS (sizeof(whys) / sizeof(whys[0]))

const char *why_name(uint32_t why)
{
	return why < NR_WHYS ? whys[why].name : "?";
}

static bool at_eof(const struct facts *f, const struct ioend_fact *ioend)
{
	return ioend->pos + (int64_t)ioend->len == f->size;
}

const char *ioend_closed(const struct facts *f, unsigned i)
{
	uint32_t why;

	if (i + 1 == f->nr_ioends)
		return at_eof(f, &f->ioends[i]) ? "the file ends here, to the byte"
						: "nothing else was dirty";
	why = f->ioends[i + 1].why;
	return why < NR_WHYS ? whys[why].closed : "?";
}

static const char *ioend_began(const struct ioend_fact *ioend)
{
	return ioend->why < NR_WHYS ? whys[ioend->why].began : "?";
}

/* ---- the table ---- */

static void table_maps(struct demo *d, const struct facts *f)
{
	char range[32], kind[48], name[4];

	fprintf(d->out, "%smap  pages   device      kind%s\n", demo_paint(d, BOLD),
		demo_paint(d, PLAIN));
	for (unsigned i = 0; i < f->nr_maps; i++) {
		const struct map_fact *map = &f->maps[i];

		map_name(i, name);
		fprintf(d->out, "%3s  %-7s ", name, numbers(map->pos, map->len, range));
		if (map->addr == IOMAP_NULL_ADDR)
			fprintf(d->out, "%-11s ", "nowhere");
		else
			fprintf(d->out, "0x%08llx  ", LL(map->addr));
		fprintf(d->out, "%s%s\n", map_kind(map, kind),
			map->type == IOMAP_HOLE ? ": punched meanwhile, nothing to write" : "");
	}
}

void words_table(struct demo *d, const struct facts *f)
{
	char range[32];

	table_maps(d, f);
	fprintf(d->out, "\n%sioend  pages   bytes  device      closed because%s\n",
		demo_paint(d, BOLD), demo_paint(d, PLAIN));
	for (unsigned i = 0; i < f->nr_ioends; i++) {
		const struct ioend_fact *e = &f->ioends[i];

		fprintf(d->out, "%5u  %-7s %5llu  0x%08llx  %s%s", i + 1,
			numbers(e->pos, e->len, range), LL(e->len), LL(e->addr),
			ioend_closed(f, i), e->result ? " (failed)" : "");
		if (e->nr_bios != 1)
			fprintf(d->out, " (%u bios)", e->nr_bios);
		fprintf(d->out, "\n");
	}
}

/* ---- the journey of one page ---- */

static void step(struct demo *d, const char *name)
{
	fprintf(d->out, "  %s%-9s%s ", demo_paint(d, BOLD), name, demo_paint(d, PLAIN));
}

static bool journey_to_map(struct demo *d, const struct facts *f, const struct page_fact *p,
			   unsigned page)
{
	const struct folio_fact *folio = &f->folios[p->folio];
	const struct map_fact *map = p->map == NOWHERE ? NULL : &f->maps[p->map];
	char range[32], kind[48], name[4];

	step(d, "folio");
	fprintf(d->out, "chosen: it is dirty; its folio holds %s\n",
		pages(folio->pos, folio->len, range));
	if (p->range == NOWHERE)
		return false;
	step(d, "range");
	fprintf(d->out, "%s: what is dirty in a row there, offered to the client\n",
		pages(f->ranges[p->range].pos, f->ranges[p->range].len, range));
	if (!map)
		return false;
	map_name((unsigned)p->map, name);
	step(d, "map");
	fprintf(d->out, "%s, %s, %s", name, map_kind(map, kind),
		pages(map->pos, map->len, range));
	if (map->type == IOMAP_HOLE) {
		fprintf(d->out, "\n");
		step(d, "end");
		fprintf(d->out, "nothing to write: its place was punched after it became dirty\n");
		return false;
	}
	fprintf(d->out, "; this page goes to 0x%08llx\n",
		LL(map->addr + (uint64_t)((int64_t)page * PAGE_BYTES - map->pos)));
	return true;
}

static void journey_of_ioend(struct demo *d, const struct facts *f, const struct page_fact *p)
{
	const struct ioend_fact *e = &f->ioends[p->ioend];
	const struct bio_fact *bio = p->bio == NOWHERE ? NULL : &f->bios[p->bio];
	char range[32];

	step(d, "ioend");
	fprintf(d->out, "%d: %s, %llu bytes in %u range%s\n", p->ioend + 1,
		pages(e->pos, e->len, range), LL(e->len), e->nr_ranges,
		e->nr_ranges == 1 ? "" : "s");
	step(d, "began");
	fprintf(d->out, "before page %u: %s\n", first_page(e->pos), ioend_began(e));
	step(d, "closed");
	fprintf(d->out, "after page %u: %s\n", last_page(e->pos, e->len),
		ioend_closed(f, (unsigned)p->ioend));
	if (!bio)
		return;
	step(d, "bio");
	fprintf(d->out, "%d: one write of %llu bytes at 0x%08llx, result %d\n", p->bio + 1,
		LL(bio->len), LL(bio->addr), bio->result);
	step(d, "end");
	if (e->type == IOMAP_UNWRITTEN)
		fprintf(d->out, "deferred: unwritten became written, then the ioend ended");
	else if (e->flags & IOMAP_IOEND_SHARED)
		fprintf(d->out, "deferred: the new place became the file's, then the ioend ended");
	else
		fprintf(d->out, "the ioend ended");
	fprintf(d->out, ", result %d\n", e->result);
}

void words_journey(struct demo *d, const struct facts *f, unsigned page)
{
	const struct page_fact *p = &f->pages[page];

	fprintf(d->out, "page %u, from byte %u of the file\n", page, page * PAGE_BYTES);
	if (p->state != PAGE_DIRTY || p->folio == NOWHERE) {
		step(d, "end");
		fprintf(d->out, "%s\n", p->state == PAGE_CLEAN
			? "it was read and is clean: it stays"
			: "it is not in the cache: nothing to do");
		return;
	}
	if (journey_to_map(d, f, p, page) && p->ioend != NOWHERE)
		journey_of_ioend(d, f, p);
	if (f->folios[p->folio].written) {
		step(d, "clean");
		fprintf(d->out, "all ranges of its folio are over, result %d\n",
			f->folios[p->folio].result);
	}
}
