/* SPDX-License-Identifier: MIT */
/*
 * svg.c - the rows of draw.c as a picture: standalone, for light and dark, for all eyes.
 *
 * Colours are of the palette of Okabe and Ito, and nothing is told by a colour alone: holes are
 * dashed, clean pages hatched, boundaries have a thick edge, and bars have names where they fit;
 * what a bar is in full is shown where the pointer rests on it.
 */
#include <string.h>

#include "merge.h"

#define BAND	24u			/* pages */
#define PAGE_X	36u			/* pixels of a page */
#define LEFT	70u
#define TOP	84u
#define ROW	25u
#define BAR	19u
#define ROWS	6u
#define BAND_Y	(ROWS * ROW + 16u)
#define LETTER	7u			/* pixels of one */
#define WIDTH	(LEFT + BAND * PAGE_X + 16u)
#define BANDS	(MERGE_PAGES / BAND)
#define LEGEND	(TOP + BANDS * BAND_Y + 8u)
#define HEIGHT	(LEGEND + 60u)

enum row { PAGES = 1, FOLIOS, MAPS, IOENDS, BIOS };	/* 0 is the axis */

static const char style[] =
	"<style>\n"
	"text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2328}\n"
	".head{font-size:17px;font-weight:bold}\n"
	".bg{fill:#ffffff}\n"
	".in{fill:#111111}\n"
	".small{fill:#57606a}\n"
	".line{stroke:#8c959f;stroke-width:1}\n"
	".dirty{fill:#e69f00}\n"
	".clean{fill:url(#hatch);stroke:#8c959f}\n"
	".folio{fill:#8c959f;fill-opacity:.35}\n"
	".hole{fill:none;stroke:#8c959f;stroke-dasharray:4 3}\n"
	".mapped{fill:#56b4e9}\n"
	".unwritten{fill:#f0e442}\n"
	".shared{fill:#cc79a7}\n"
	".odd{fill:#e69f00}\n"
	".even{fill:#009e73}\n"
	".failed{fill:#d55e00}\n"
	".edge{fill:#d55e00}\n"
	"@media (prefers-color-scheme:dark){text{fill:#e6edf3}.bg{fill:#0d1117}.in{fill:#111111}"
	".small{fill:#9ea7b3}}\n"
	"</style>\n"
	"<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
	"patternTransform=\"rotate(45)\"><path d=\"M0 0V6\" class=\"line\"/></pattern></defs>\n";

static unsigned x_of(unsigned page)
{
	return LEFT + page % BAND * PAGE_X;
}

static unsigned y_of(unsigned page, enum row row)
{
	return TOP + page / BAND * BAND_Y + (unsigned)row * ROW;
}

/* ---- bars ---- */

struct bar {
	enum row row;
	const char *group, *class;
	int64_t pos;
	uint64_t len;
	char label[2][48];		/* long and short: the first that fits */
	char what[160];			/* in full */
	bool edge;			/* at its front: nothing before it may be one with it */
};

static void label_of(FILE *out, const struct bar *b, unsigned x, unsigned y, unsigned width)
{
	for (unsigned i = 0; i < 2; i++)
		if (*b->label[i] && strlen(b->label[i]) * LETTER + 6 <= width) {
			fprintf(out, "<text class=\"%s\" x=\"%u\" y=\"%u\">%s</text>",
				strcmp(b->class, "hole") ? "in" : "small", x + 4, y + 14,
				b->label[i]);
			return;
		}
}

/* A group, of one box for each band that it is in. */
static void draw_bar(FILE *out, const struct bar *b)
{
	unsigned page = (unsigned)(b->pos / PAGE_BYTES);
	unsigned end = (unsigned)((b->pos + (int64_t)b->len + PAGE_BYTES - 1) / PAGE_BYTES);
	bool first = true;

	fprintf(out, "<g class=\"%s\"><title>%s</title>", b->group, b->what);
	while (page < end) {
		unsigned stop = (page / BAND + 1) * BAND < end ? (page / BAND + 1) * BAND : end;
		unsigned x = x_of(page), y = y_of(page, b->row), width = (stop - page) * PAGE_X;

		fprintf(out, "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" "
			"rx=\"3\"/>", b->class, x + 1, y, width - 2, BAR);
		if (b->edge && first)
			fprintf(out, "<rect class=\"edge\" x=\"%u\" y=\"%u\" width=\"4\" "
				"height=\"%u\"/>", x - 1, y - 2, BAR + 4);
		label_of(out, b, x, y, width);
		page = stop;
		first = false;
	}
	fprintf(out, "</g>\n");
}

static void folios(FILE *out, const struct facts *f)
{
	for (unsigned i = 0; i < f->nr_folios; i++) {
		struct bar b = {
			.row = FOLIOS, .group = "folios", .class = "folio",
			.pos = f->folios[i].pos, .len = f->folios[i].len,
		};

		snprintf(b.what, sizeof(b.what), "a folio of %u KiB",
			 (unsigned)(b.len / KIB));
		draw_bar(out, &b);
	}
}

static void maps(FILE *out, const struct facts *f)
{
	for (unsigned i = 0; i < f->nr_maps; i++) {
		const struct map_fact *m = &f->maps[i];
		struct bar b = {
			.row = MAPS, .group = "map", .pos = m->pos, .len = m->len,
			.edge = m->flags & IOMAP_F_BOUNDARY,
			.class = m->type == IOMAP_HOLE ? "hole" :
				 m->type == IOMAP_UNWRITTEN ? "unwritten" :
				 m->flags & IOMAP_F_SHARED ? "shared" : "mapped",
		};
		char kind[48], name[4];

		map_name(i, name);
		map_kind(m, kind);
		snprintf(b.label[0], sizeof(b.label[0]), "%s %.27s", name, kind);
		strcpy(b.label[1], name);
		if (m->type == IOMAP_HOLE)
			snprintf(b.what, sizeof(b.what), "map %s: hole, nothing to write", name);
		else
			snprintf(b.what, sizeof(b.what), "map %s: %s, at 0x%llx", name, kind,
				 (unsigned long long)m->addr);
		draw_bar(out, &b);
	}
}

static void ioends(FILE *out, const struct facts *f)
{
	for (unsigned i = 0; i < f->nr_ioends; i++) {
		const struct ioend_fact *e = &f->ioends[i];
		struct bar b = {
			.row = IOENDS, .group = "ioend", .class = i % 2 ? "even" : "odd",
			.pos = e->pos, .len = e->len,
		};

		snprintf(b.label[0], sizeof(b.label[0]), "%u: %llu KiB", i + 1,
			 (unsigned long long)(e->len / KIB));
		snprintf(b.label[1], sizeof(b.label[1]), "%u", i + 1);
		snprintf(b.what, sizeof(b.what), "ioend %u: %llu bytes at 0x%llx; %s", i + 1,
			 (unsigned long long)e->len, (unsigned long long)e->addr,
			 ioend_closed(f, i));
		draw_bar(out, &b);
	}
}

static void bios(FILE *out, const struct facts *f)
{
	for (unsigned i = 0; i < f->nr_bios; i++) {
		const struct bio_fact *bio = &f->bios[i];
		const struct ioend_fact *e = &f->ioends[bio->ioend];
		struct bar b = {
			.row = BIOS, .group = "bio",
			.class = bio->result ? "failed" : i % 2 ? "even" : "odd",
			.pos = e->pos + (int64_t)(bio->addr - e->addr), .len = bio->len,
		};

		snprintf(b.label[0], sizeof(b.label[0]), "0x%llx", (unsigned long long)bio->addr);
		snprintf(b.label[1], sizeof(b.label[1]), "%u", i + 1);
		snprintf(b.what, sizeof(b.what), "bio %u: %llu bytes to 0x%llx, result %d", i + 1,
			 (unsigned long long)bio->len, (unsigned long long)bio->addr,
			 (int)bio->result);
		draw_bar(out, &b);
	}
}

/* ---- what is around them ---- */

static void pages(FILE *out, const struct facts *f)
{
	for (unsigned p = 0; p < MERGE_PAGES; p++) {
		int64_t left = f->size - (int64_t)p * PAGE_BYTES;
		unsigned width = PAGE_X - 2;

		if (f->pages[p].state == PAGE_ABSENT)
			continue;
		if (left < PAGE_BYTES)		/* the file ends in it */
			width = 3 + (unsigned)((left > 0 ? left : 0) * (PAGE_X - 5) / PAGE_BYTES);
		fprintf(out, "<g class=\"page\"><title>page %u: %s</title><rect class=\"%s\" "
			"x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" rx=\"2\"/></g>\n", p,
			f->pages[p].state == PAGE_DIRTY ? "dirty" : "clean in the cache",
			f->pages[p].state == PAGE_DIRTY ? "dirty" : "clean", x_of(p) + 1,
			y_of(p, PAGES), width, BAR);
	}
}

static void axes(FILE *out)
{
	static const char *const names[ROWS] = { "page", "", "folio", "map", "ioend", "bio" };

	for (unsigned from = 0; from < MERGE_PAGES; from += BAND) {
		for (unsigned row = 0; row < ROWS; row++)
			fprintf(out, "<text class=\"small\" x=\"16\" y=\"%u\">%s</text>",
				y_of(from, row) + 14, names[row]);
		for (unsigned p = from; p < from + BAND; p += 4)
			fprintf(out, "<text class=\"small\" x=\"%u\" y=\"%u\">%u</text>"
				"<path class=\"line\" d=\"M%u %uv5\"/>", x_of(p) + 4,
				y_of(from, 0) + 14, p, x_of(p) + 1, y_of(from, 0) + 17);
		fprintf(out, "\n");
	}
}

static void legend(FILE *out)
{
	static const struct { const char *class, *what; unsigned x, y; } items[] = {
		{ "dirty", "dirty page", 0, 0 }, { "clean", "clean page", 150, 0 },
		{ "folio", "folio that holds them", 300, 0 },
		{ "odd", "ioends and bios, in turn", 540, 0 },
		{ "mapped", "mapped", 0, 1 }, { "unwritten", "unwritten", 150, 1 },
		{ "shared", "shared", 300, 1 }, { "hole", "hole", 420, 1 },
		{ "edge", "boundary: no merge across", 540, 1 },
	};

	for (size_t i = 0; i < sizeof(items) / sizeof(*items); i++) {
		unsigned x = LEFT + items[i].x, y = LEGEND + items[i].y * ROW;
		bool thin = !strcmp(items[i].class, "edge");

		fprintf(out, "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"16\" "
			"rx=\"2\"/>", items[i].class, x, y, thin ? 4 : 22);
		if (!strcmp(items[i].class, "odd"))
			fprintf(out, "<rect class=\"even\" x=\"%u\" y=\"%u\" width=\"22\" "
				"height=\"16\" rx=\"2\"/>", x + 24, y);
		fprintf(out, "<text x=\"%u\" y=\"%u\">%s</text>\n",
			x + (strcmp(items[i].class, "odd") ? 28 : 52), y + 13, items[i].what);
	}
}

void svg(FILE *out, const struct facts *f)
{
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %u %u\" width=\"%u\" "
		"height=\"%u\" role=\"img\">\n<title>%u dirty pages become %u requests</title>\n%s"
		"<rect class=\"bg\" width=\"%u\" height=\"%u\" rx=\"8\"/>\n", WIDTH, HEIGHT, WIDTH,
		HEIGHT, f->nr_dirty, f->nr_bios, style, WIDTH, HEIGHT);
	fprintf(out, "<text class=\"head\" x=\"16\" y=\"32\">%u dirty pages become %u requests"
		"</text>\n<text class=\"small\" x=\"16\" y=\"56\">iomap-demo merge --seed %llu: "
		"what is cached, the maps of the file system, ioends of at most %llu KiB; the file "
		"ends at byte %lld</text>\n", f->nr_dirty, f->nr_bios,
		(unsigned long long)f->seed, (unsigned long long)(f->max_ioend_bytes / KIB),
		(long long)f->size);
	axes(out);
	pages(out, f);
	folios(out, f);
	maps(out, f);
	ioends(out, f);
	bios(out, f);
	legend(out);
	fprintf(out, "</svg>\n");
}
