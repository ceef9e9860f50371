/* SPDX-License-Identifier: MIT */
/*
 * draw.c - pages, folios, maps, ioends and bios as rows that stand under each other.
 *
 * 24 pages to a band, three columns to a page.  A thing that covers several pages is a bar; it is
 * open at the side where it goes on in another band.
 */
#include <string.h>

#include "merge.h"

#define BAND	24u
#define COLUMNS	3u

struct bar {			/* one thing in a row */
	unsigned first, end;	/* pages */
	char label[3][24];	/* from long to short: the first that fits */
	enum demo_colour colour;
};

static void label_row(struct demo *d, const char *name)
{
	fprintf(d->out, "%s%-6s%s ", demo_paint(d, DIM), name, demo_paint(d, PLAIN));
}

/* No row ends in spaces: what is empty is printed with the next thing that is not. */
static void draw_axis(struct demo *d, unsigned from)
{
	label_row(d, "page");
	fprintf(d->out, "%u", from);
	for (unsigned p = from + 4; p < from + BAND; p += 4)
		fprintf(d->out, "%*s%u", (int)(4 * COLUMNS) - (p - 4 < 10 ? 1 : 2), "", p);
	fprintf(d->out, "\n");
}

static void draw_pages(struct demo *d, const struct facts *f, unsigned from)
{
	unsigned empty = 0;

	label_row(d, "");
	for (unsigned p = from; p < from + BAND; p++, empty++) {
		uint8_t state = f->pages[p].state;
		bool cut = f->size < (int64_t)(p + 1) * PAGE_BYTES;

		if (state == PAGE_ABSENT) {
			empty += COLUMNS - 1;
			continue;
		}
		fprintf(d->out, "%*s%s", (int)empty, "",
			demo_paint(d, state == PAGE_DIRTY ? YELLOW : DIM));
		if (state == PAGE_CLEAN)
			fputs(demo_glyph(d, "░░", ".."), d->out);
		else
			fputs(cut ? demo_glyph(d, "█▌", "#>") : demo_glyph(d, "██", "##"),
			      d->out);
		fputs(demo_paint(d, PLAIN), d->out);
		empty = 0;
	}
	fprintf(d->out, "\n");
}

static const char *fitting_label(const struct bar *bar, unsigned room)
{
	for (unsigned i = 0; i < 3; i++)
		if (*bar->label[i] && strlen(bar->label[i]) <= room)
			return bar->label[i];
	return "";
}

static void draw_bar(struct demo *d, const struct bar *bar, unsigned from, unsigned to)
{
	bool starts = bar->first >= from, ends = bar->end <= to;
	unsigned first = starts ? bar->first : from, end = ends ? bar->end : to;
	unsigned width = (end - first) * COLUMNS;
	const char *label = fitting_label(bar, width - starts - ends);
	size_t length;

	if (!*label && ends) {		/* a number is worth more than the right edge */
		label = fitting_label(bar, width - starts);
		ends = !*label;
	}
	length = strlen(label);

	fputs(demo_paint(d, bar->colour), d->out);
	for (unsigned i = 0; i < width; i++) {
		if (i == 0 && starts)
			fputs(demo_glyph(d, "├", "["), d->out);
		else if (i == width - 1 && ends)
			fputs(demo_glyph(d, "┤", "]"), d->out);
		else if (i - starts < length)
			fputc(label[i - starts], d->out);
		else
			fputs(demo_glyph(d, "─", "-"), d->out);
	}
	fputs(demo_paint(d, PLAIN), d->out);
}

/* Bars in order of their pages. */
static void draw_row(struct demo *d, const char *name, const struct bar *bars, unsigned nr,
		     unsigned from)
{
	unsigned to = from + BAND, at = from;

	label_row(d, name);
	for (unsigned i = 0; i < nr; i++) {
		const struct bar *bar = &bars[i];
		unsigned first = bar->first > at ? bar->first : at;

		if (bar->end <= at || bar->first >= to)
			continue;
		fprintf(d->out, "%*s", (int)((first - at) * COLUMNS), "");
		draw_bar(d, bar, from, to);
		at = bar->end < to ? bar->end : to;
	}
	fprintf(d->out, "\n");
}

static struct bar bar_over(int64_t pos, uint64_t len, enum demo_colour colour)
{
	struct bar bar = { .colour = colour };

	bar.first = (unsigned)(pos / PAGE_BYTES);
	bar.end = (unsigned)((pos + (int64_t)len + PAGE_BYTES - 1) / PAGE_BYTES);
	return bar;
}

static unsigned folio_bars(const struct facts *f, struct bar *bars)
{
	for (unsigned i = 0; i < f->nr_folios; i++)
		bars[i] = bar_over(f->folios[i].pos, f->folios[i].len, DIM);
	return f->nr_folios;
}

static unsigned map_bars(const struct facts *f, struct bar *bars)
{
	for (unsigned i = 0; i < f->nr_maps; i++) {
		const struct map_fact *map = &f->maps[i];
		char name[4], kind[48];
		struct bar *bar = &bars[i];

		*bar = bar_over(map->pos, map->len, map->type == IOMAP_HOLE ? DIM :
				map->type == IOMAP_UNWRITTEN ? MAGENTA :
				map->flags & IOMAP_F_SHARED ? CYAN : BLUE);
		map_name(i, name);
		snprintf(bar->label[0], sizeof(bar->label[0]), "%s %.19s", name,
			 map_kind(map, kind));
		snprintf(bar->label[1], sizeof(bar->label[1]), "%s %.4s", name, kind);
		strcpy(bar->label[2], name);
	}
	return f->nr_maps;
}

static unsigned ioend_bars(const struct facts *f, struct bar *bars)
{
	for (unsigned i = 0; i < f->nr_ioends; i++) {
		bars[i] = bar_over(f->ioends[i].pos, f->ioends[i].len, i % 2 ? GREEN : YELLOW);
		snprintf(bars[i].label[0], sizeof(bars[i].label[0]), "%u", i + 1);
	}
	return f->nr_ioends;
}

static unsigned bio_bars(const struct facts *f, struct bar *bars)
{
	for (unsigned i = 0; i < f->nr_bios; i++) {
		const struct bio_fact *bio = &f->bios[i];
		const struct ioend_fact *e = &f->ioends[bio->ioend];

		bars[i] = bar_over(e->pos + (int64_t)(bio->addr - e->addr), bio->len,
				   bio->result ? RED : i % 2 ? GREEN : YELLOW);
		snprintf(bars[i].label[0], sizeof(bars[i].label[0]), "0x%llx",
			 (unsigned long long)bio->addr);
		snprintf(bars[i].label[1], sizeof(bars[i].label[1]), "%u", i + 1);
	}
	return f->nr_bios;
}

void draw(struct demo *d, const struct facts *f)
{
	struct bar bars[MAX_FACTS];

	fprintf(d->out, "%s dirty  %s clean in the cache; the file ends at byte %lld\n\n",
		demo_glyph(d, "██", "##"), demo_glyph(d, "░░", ".."), (long long)f->size);
	for (unsigned from = 0; from < MERGE_PAGES; from += BAND) {
		draw_axis(d, from);
		draw_pages(d, f, from);
		draw_row(d, "folio", bars, folio_bars(f, bars), from);
		draw_row(d, "map", bars, map_bars(f, bars), from);
		draw_row(d, "ioend", bars, ioend_bars(f, bars), from);
		draw_row(d, "bio", bars, bio_bars(f, bars), from);
		fprintf(d->out, "\n");
	}
}
