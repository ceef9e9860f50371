/* SPDX-License-Identifier: MIT */
/*
 * json.c - the same facts for a program.  Everything in it is a number or one of our own words.
 */
#include "merge.h"

#define LL(x) ((unsigned long long)(x))

static const char *sep(unsigned i)
{
	return i ? ",\n  " : "\n  ";
}

static void one_page(struct demo *d, const struct facts *f, unsigned i)
{
	static const char *const states[] = { "absent", "clean", "dirty" };
	const struct page_fact *p = &f->pages[i];

	fprintf(d->out, "{\"page\":%u,\"state\":\"%s\",\"folio\":%d,\"range\":%d,\"map\":%d,"
		"\"ioend\":%d,\"bio\":%d}", i, states[p->state], p->folio, p->range, p->map,
		p->ioend, p->bio);
}

static void one_folio(struct demo *d, const struct facts *f, unsigned i)
{
	const struct folio_fact *x = &f->folios[i];

	fprintf(d->out, "{\"folio\":%u,\"pos\":%llu,\"len\":%llu,\"written\":%s,\"result\":%d}", i,
		LL(x->pos), LL(x->len), x->written ? "true" : "false", x->result);
}

static void one_range(struct demo *d, const struct facts *f, unsigned i)
{
	fprintf(d->out, "{\"range\":%u,\"pos\":%llu,\"len\":%llu}", i, LL(f->ranges[i].pos),
		LL(f->ranges[i].len));
}

static void one_map(struct demo *d, const struct facts *f, unsigned i)
{
	const struct map_fact *m = &f->maps[i];
	char kind[48];

	fprintf(d->out, "{\"map\":%u,\"pos\":%llu,\"len\":%llu,", i, LL(m->pos), LL(m->len));
	if (m->addr == IOMAP_NULL_ADDR)
		fprintf(d->out, "\"addr\":null");
	else
		fprintf(d->out, "\"addr\":%llu", LL(m->addr));
	fprintf(d->out, ",\"kind\":\"%s\"}", map_kind(m, kind));
}

static void one_ioend(struct demo *d, const struct facts *f, unsigned i)
{
	const struct ioend_fact *e = &f->ioends[i];

	fprintf(d->out, "{\"ioend\":%u,\"pos\":%llu,\"len\":%llu,\"addr\":%llu,\"ranges\":%u,"
		"\"bios\":%u,\"began\":\"%s\",\"closed\":\"%s\",\"result\":%d}", i, LL(e->pos),
		LL(e->len), LL(e->addr), e->nr_ranges, e->nr_bios, why_name(e->why),
		ioend_closed(f, i), e->result);
}

static void one_bio(struct demo *d, const struct facts *f, unsigned i)
{
	const struct bio_fact *b = &f->bios[i];

	fprintf(d->out, "{\"bio\":%u,\"addr\":%llu,\"len\":%llu,\"ioend\":%d,\"result\":%d}", i,
		LL(b->addr), LL(b->len), b->ioend, b->result);
}

static void list(struct demo *d, const struct facts *f, const char *name, unsigned nr,
		 void (*one)(struct demo *d, const struct facts *f, unsigned i))
{
	fprintf(d->out, " \"%s\":[", name);
	for (unsigned i = 0; i < nr; i++) {
		fputs(sep(i), d->out);
		one(d, f, i);
	}
	fprintf(d->out, "],\n");
}

void json(struct demo *d, const struct facts *f, int64_t why)
{
	fprintf(d->out, "{\"seed\":%llu,\"size\":%llu,\"max_ioend_bytes\":%llu,\n", LL(f->seed),
		LL(f->size), LL(f->max_ioend_bytes));
	if (why >= 0) {
		fprintf(d->out, " \"why\":");
		one_page(d, f, (unsigned)why);
		fprintf(d->out, ",\n");
	}
	list(d, f, "pages", MERGE_PAGES, one_page);
	list(d, f, "folios", f->nr_folios, one_folio);
	list(d, f, "ranges", f->nr_ranges, one_range);
	list(d, f, "maps", f->nr_maps, one_map);
	list(d, f, "ioends", f->nr_ioends, one_ioend);
	list(d, f, "bios", f->nr_bios, one_bio);
	fprintf(d->out, " \"digest\":\"%016llx\"}\n", LL(f->digest));
}
