/* SPDX-License-Identifier: MIT */
/*
 * crash_page.c - what became of each page: which step is found in it, what that means, a picture.
 */
#include <string.h>

#include "crash.h"

#define BAND	24u
#define SHOWN	6u			/* torn pages that are told about */

/* ---- what is found ---- */

static void fill_sector(uint8_t *mem, unsigned page, unsigned sector, unsigned step)
{
	uint64_t random = (uint64_t)page << 32 | step << 8 | sector;

	for (unsigned i = 0; i < SECTOR_BYTES; i += 8) {
		uint64_t word = demo_random(&random);

		for (unsigned byte = 0; byte < 8; byte++)
			mem[i + byte] = (uint8_t)(word >> (8 * byte));
	}
}

void crash_fill(uint8_t *mem, unsigned page, unsigned step)
{
	for (unsigned s = 0; s < PAGE_SECTORS; s++)
		fill_sector(mem + (size_t)s * SECTOR_BYTES, page, s, step);
}

static uint8_t find_step(const struct page *page, unsigned nr, unsigned sector,
			 const uint8_t *before, const uint8_t *after)
{
	uint8_t mem[SECTOR_BYTES];

	if (!memcmp(before, after, SECTOR_BYTES))
		return 0;
	for (unsigned step = CRASH_STEPS; step; step--) {
		if (!(page->steps >> step & 1))
			continue;
		fill_sector(mem, nr, sector, step);
		if (!memcmp(mem, after, SECTOR_BYTES))
			return (uint8_t)step;
	}
	return NO_STEP;
}

void crash_find(struct crash *c, const uint8_t *before, const uint8_t *after)
{
	for (unsigned p = 0; p < CRASH_PAGES; p++) {
		for (unsigned s = 0; s < PAGE_SECTORS; s++) {
			size_t at = (size_t)p * PAGE_BYTES + s * SECTOR_BYTES;

			c->pages[p].found[s] = find_step(&c->pages[p], p, s, before + at,
							 after + at);
		}
	}
}

/* ---- what it means ---- */

static bool is_mixed(const struct page *p)
{
	for (unsigned s = 1; s < PAGE_SECTORS; s++)
		if (p->found[s] != p->found[0])
			return true;
	return p->found[0] == NO_STEP;
}

static bool is_broken(const struct crash *c, const struct page *p)
{
	for (unsigned s = 0; s < PAGE_SECTORS; s++) {
		if (p->found[s] == NO_STEP) {
			if (!c->shorn || p->newest == p->synced)
				return true;	/* nobody was writing it, or it may not */
		} else if (p->found[s] < p->synced) {
			return true;		/* a sync had promised more */
		}
	}
	return is_mixed(p) && !c->tears;
}

static enum fate fate_of(const struct crash *c, const struct page *p)
{
	if (is_broken(c, p))
		return BROKEN;
	if (!p->newest)
		return UNTOUCHED;
	if (is_mixed(p))
		return TORN;
	if (p->found[0] != p->newest)
		return LOST;
	return p->newest == p->synced ? SYNCED : KEPT;
}

/* The first step of the page that is in none, or not in all of its sectors; 0: all is well. */
static unsigned first_lost(const struct page *p)
{
	unsigned oldest = NO_STEP;

	for (unsigned s = 0; s < PAGE_SECTORS; s++)
		if (oldest > (p->found[s] == NO_STEP ? p->synced : p->found[s]))
			oldest = p->found[s] == NO_STEP ? p->synced : p->found[s];
	for (unsigned step = oldest + 1; step <= CRASH_STEPS; step++)
		if (p->steps >> step & 1)
			return step;
	return 0;
}

void crash_judge(struct crash *c)
{
	memset(c->nr, 0, sizeof(c->nr));
	c->oldest_lost = 0;
	for (unsigned i = 0; i < CRASH_PAGES; i++) {
		struct page *p = &c->pages[i];
		unsigned lost = first_lost(p);

		p->fate = (uint8_t)fate_of(c, p);
		if (lost && (!c->oldest_lost || lost < c->oldest_lost))
			c->oldest_lost = lost;
	}
	for (unsigned i = 0; i < CRASH_PAGES; i++) {
		struct page *p = &c->pages[i];

		if (p->fate == KEPT && c->oldest_lost && p->newest > c->oldest_lost)
			p->fate = EARLY;
		c->nr[p->fate]++;
	}
}

/* ---- how it looks ---- */

static const struct {
	const char *utf8, *ascii, *words;
	enum demo_colour colour;
} looks[NR_FATES] = {
	[UNTOUCHED] = { "  ", "  ", "", PLAIN },
	[SYNCED] = { "██", "##", "synced, and there", GREEN },
	[KEPT] = { "▓▓", "==", "not synced, there all the same", YELLOW },
	[EARLY] = { "▲▲", "^^", "not synced, there without something older", MAGENTA },
	[LOST] = { "░░", "..", "lost: an older content, at least the synced one", DIM },
	[TORN] = { "▚▚", "//", "torn: sectors of several writes, or of none (~~)", RED },
	[BROKEN] = { "XX", "XX", "synced and gone, or never written", RED },
};

static void draw_glyph(struct demo *d, unsigned fate)
{
	fprintf(d->out, "%s%s%s", demo_paint(d, looks[fate].colour),
		demo_glyph(d, looks[fate].utf8, looks[fate].ascii), demo_paint(d, PLAIN));
}

static void draw_step(struct demo *d, unsigned step)
{
	if (step == NO_STEP)
		fprintf(d->out, "~~");
	else if (step)
		fprintf(d->out, "%2u", step);
	else
		fprintf(d->out, " -");
}

enum row { WROTE, FOUND, FATE };
static void draw_row(struct demo *d, const struct crash *c, enum row row, unsigned from)
{
	static const char *const names[] = { "wrote", "found", "" };
	unsigned empty = 0;		/* no row ends in spaces */

	fprintf(d->out, "%s%-6s%s ", demo_paint(d, DIM), names[row], demo_paint(d, PLAIN));
	for (unsigned i = from; i < from + BAND; i++, empty++) {
		const struct page *p = &c->pages[i];

		if (p->fate == UNTOUCHED) {
			empty += 2;
			continue;
		}
		fprintf(d->out, "%*s", (int)empty, "");
		empty = 0;
		if (row == WROTE)
			draw_step(d, p->newest);
		else if (row == FATE)
			draw_glyph(d, p->fate);
		else
			draw_step(d, is_mixed(p) ? NO_STEP : p->found[0]);
	}
	fprintf(d->out, "\n");
}

static void draw_band(struct demo *d, const struct crash *c, unsigned from)
{
	unsigned nr = 0;

	for (unsigned i = from; i < from + BAND; i++)
		nr += c->pages[i].fate != UNTOUCHED;
	if (!nr)
		return;
	fprintf(d->out, "%s%-6s%s %-2u", demo_paint(d, DIM), "page", demo_paint(d, PLAIN), from);
	for (unsigned p = from + 4; p < from + BAND; p += 4)
		fprintf(d->out, "%*s%-2u", 10, "", p);
	fprintf(d->out, "\n");
	for (enum row row = WROTE; row <= FATE; row++)
		draw_row(d, c, row, from);
	fprintf(d->out, "\n");
}

static void draw_torn(struct demo *d, const struct crash *c)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < CRASH_PAGES; i++) {
		const struct page *p = &c->pages[i];

		if (!is_mixed(p) || shown == SHOWN)
			continue;
		if (!shown++)
			fprintf(d->out, "sectors of torn pages, by step%s\n",
				c->nr[TORN] > SHOWN ? ", of the first of them" : "");
		fprintf(d->out, "  page %2u  ", i);
		for (unsigned s = 0; s < PAGE_SECTORS; s++) {
			fprintf(d->out, " ");
			draw_step(d, p->found[s]);
		}
		fprintf(d->out, "\n");
	}
	if (shown)
		fprintf(d->out, "\n");
}

static void draw_order(struct demo *d, const struct crash *c)
{
	for (unsigned i = 0; i < CRASH_PAGES; i++) {
		if (c->pages[i].fate != EARLY)
			continue;
		fprintf(d->out, "reordered: step %u is in page %u, while something of step %u is "
			"lost\n", c->pages[i].newest, i, c->oldest_lost);
		return;
	}
}

void crash_draw(struct demo *d, const struct crash *c, const char *device)
{
	fprintf(d->out, "device %s, seed %llu: power goes before event %llu of %llu, at "
		"%lld us, in step %u (%s)\n\n", device, (unsigned long long)c->seed,
		(unsigned long long)c->cut, (unsigned long long)c->events,
		(long long)(c->cut_ns / 1000), c->nr_steps, c->doing);
	for (unsigned from = 0; from < CRASH_PAGES; from += BAND)
		draw_band(d, c, from);
	draw_torn(d, c);
	fprintf(d->out, "wrote, found: the step of the last write, and the one whose content is "
		"there (- none)\n");
	for (unsigned fate = SYNCED; fate < NR_FATES; fate++) {
		if (!c->nr[fate] && fate == BROKEN)
			continue;
		draw_glyph(d, fate);
		fprintf(d->out, " %2u  %s\n", c->nr[fate], looks[fate].words);
	}
	draw_order(d, c);
}
