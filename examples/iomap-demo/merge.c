/* SPDX-License-Identifier: MIT */
/*
 * merge.c - a seed gives a file with dirty and clean pages over a fragmented map; then one sync.
 *
 * The map is drawn so that every reason to begin a new ioend has its chance: extents that are
 * neighbours on the device and such that are not, unwritten, shared, boundaries, holes that were
 * punched after the pages became dirty, an end of file inside a page, a limit of 48 KiB per ioend.
 * Writes only reserve (delayed allocation), so the place of a page is asked for in writeback.
 */
#include <errno.h>
#include <string.h>

#include "client.h"
#include "merge.h"

#define MAX_IOEND	(48u * KIB)
#define MAX_FOLIO	(16u * KIB)
#define DEVICE		"null:64m"

static uint64_t below(uint64_t *random, uint64_t n)
{
	return demo_random(random) % n;
}

/* ---- the file's map ---- */

static void draw_kind(struct extent *x, uint64_t roll)
{
	x->type = IOMAP_MAPPED;
	if (roll < 20)
		x->type = IOMAP_UNWRITTEN;
	else if (roll < 32)
		x->flags = IOMAP_F_SHARED;
	else if (roll < 42)
		x->type = IOMAP_HOLE;
	else if (roll < 52)
		x->flags = IOMAP_F_BOUNDARY;
}

static void draw_map(struct client *c, uint64_t *random)
{
	uint64_t addr = 1 * MIB, page = 0;

	while (page < MERGE_PAGES) {
		struct extent *x = &c->extents[c->nr_extents++];
		uint64_t nr = 2 + below(random, 11);

		if (nr > MERGE_PAGES - page)
			nr = MERGE_PAGES - page;
		draw_kind(x, below(random, 100));
		if (below(random, 100) < 45)	/* else it goes on where the last one ended */
			addr += (1 + below(random, 16)) * 64 * KIB;
		x->pos = (int64_t)(page * PAGE_BYTES);
		x->len = nr * PAGE_BYTES;
		x->addr = x->type == IOMAP_HOLE ? 0 : addr;
		if (x->type != IOMAP_HOLE)
			addr += x->len;
		page += nr;
	}
}

/* ---- the file's pages ---- */

/* Runs of pages are written, read or left out; the last page is written in part. */
static int touch_pages(struct client *c, uint64_t *random, char *mem)
{
	uint64_t page = 0;
	int rc = 0;

	iomap_inode_lock(&c->inode, 0);
	iomap_inode_set_size(&c->inode, MERGE_BYTES - PAGE_BYTES);	/* it is there already */
	iomap_inode_unlock(&c->inode);
	while (!rc && page < MERGE_PAGES) {
		uint64_t nr = 1 + below(random, 12), kind = below(random, 10);
		int64_t pos = (int64_t)(page * PAGE_BYTES);

		if (nr > MERGE_PAGES - page)
			nr = MERGE_PAGES - page;
		page += nr;
		if (page == MERGE_PAGES)
			rc = client_write(c, pos, mem, (nr - 1) * PAGE_BYTES + 1 +
					  below(random, PAGE_BYTES - 1));
		else if (kind < 7)
			rc = client_write(c, pos, mem, nr * PAGE_BYTES);
		else if (kind < 9)
			rc = client_read(c, pos, mem, nr * PAGE_BYTES);
	}
	return rc;
}

/* Which pages are in the cache before the sync; those that are dirty the trace names by itself. */
static int look_at_cache(struct client *c, struct facts *f)
{
	for (unsigned p = 0; p < MERGE_PAGES; p++) {
		int64_t pos = (int64_t)p * PAGE_BYTES;
		struct iomap_folio *folio;
		int rc = iomap_mapping_get_folio(&c->inode, pos, 1, 0, &folio);

		if (rc == -ENOENT)
			continue;
		if (rc)
			return rc;
		if ((iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE) ||
		    iomap_folio_is_partially_uptodate(folio, (size_t)(pos - folio->pos),
						      PAGE_BYTES))
			f->pages[p].state = PAGE_CLEAN;
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	return 0;
}

static int run(struct demo *d, struct facts *f, struct client *c)
{
	const struct device device = { .given = DEVICE, .spec = DEVICE };
	struct client_opts opts = {
		.device = &device, .cache_bytes = 4 * MIB, .max_folio = MAX_FOLIO,
		.max_extents = 3 * MERGE_PAGES, .trace = facts_trace, .trace_arg = f,
	};
	uint64_t random = f->seed;
	char *mem;
	int rc = client_open(c, d, &opts);

	if (rc)
		return rc;
	c->delalloc = true;
	c->max_ioend_bytes = f->max_ioend_bytes = MAX_IOEND;
	mem = demo_alloc(d, MERGE_BYTES);
	if (!mem)
		return demo_error(d, -ENOMEM, "cannot start");
	draw_map(c, &random);
	rc = touch_pages(c, &random, mem);
	if (!rc)
		rc = look_at_cache(c, f);
	if (!rc)
		rc = iomap_file_sync(&c->file, 0, IOMAP_MAX_POS, false);
	f->size = iomap_inode_size(&c->inode);
	demo_free(d, mem, MERGE_BYTES);
	return rc ? demo_error(d, rc, "merge: %s", *d->report ? d->report : DEVICE) : 0;
}

/* In place of what is there. */
static int paint(struct demo *d, const char *name, const struct facts *f)
{
	FILE *out = fopen(name, "w");
	bool failed;

	if (!out)
		return demo_error(d, -errno, "picture '%s'", name);
	svg(out, f);
	failed = ferror(out);
	if (fclose(out) || failed)
		return demo_error(d, errno ? -errno : -EIO, "picture '%s'", name);
	return 0;
}

static int tell(struct demo *d, const struct merge_opts *opts, const struct facts *f)
{
	int rc = opts->svg ? paint(d, opts->svg, f) : 0;

	if (rc)
		return rc;
	if (opts->json)
		json(d, f, opts->why);
	else if (opts->why >= 0)
		words_journey(d, f, (unsigned)opts->why);
	else if (!opts->svg) {
		draw(d, f);
		words_table(d, f);
	}
	fprintf(opts->json ? d->err : d->out,
		"merge: ok pages=%u ioends=%u bios=%u digest=%016llx\n", f->nr_dirty, f->nr_ioends,
		f->nr_bios, (unsigned long long)f->digest);
	return 0;
}

int demo_merge(struct demo *d, const struct merge_opts *opts)
{
	struct facts *f = demo_alloc(d, sizeof(*f));
	struct client client = { .demo = NULL };
	int rc;

	if (!f) {
		demo_error(d, -ENOMEM, "cannot start");
		return 1;
	}
	f->seed = opts->seed;
	rc = run(d, f, &client);
	if (client.demo)
		client_close(&client);
	if (!rc) {
		rc = facts_link(f);
		if (rc)
			demo_error(d, rc, "merge: the trace does not fit together");
	}
	if (!rc) {
		f->digest = facts_digest(f);
		rc = tell(d, opts, f);
	}
	demo_free(d, f, sizeof(*f));
	return rc ? 1 : 0;
}
