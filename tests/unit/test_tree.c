/* SPDX-License-Identifier: MIT */
/*
 * test_tree.c - the tagged tree against a plain array of pages.
 *
 * The model is an array that says for each page which folio covers it, and for each folio which
 * tags it has.  Positions are spread over several far windows, so that paths are high and sparse.
 */
#include "harness/harness.h"

#include "cache/cache.h"

#define PAGE	4096ll
#define WINDOW	2048		/* pages */
#define TAGS	((1u << IOMAPI_NR_TAGS) - 1)

/* Two windows touch; the last one ends with the last page there is. */
static const int64_t windows[] = {
	0, WINDOW, 64ll << 18, 1ll << 33, (1ll << 51) - WINDOW,
};
#define NR_WINDOWS	(sizeof(windows) / sizeof(windows[0]))
#define NR_PAGES	(NR_WINDOWS * WINDOW)

struct model {
	struct t_env t;
	struct iomapi_nodes nodes;
	struct iomapi_tree tree;
	struct iomap_folio *at[NR_PAGES];	/* who covers it */
	unsigned nr;
	uint64_t seed;
};

/* Tags of a folio are kept in its spare word. */
static void model_start(struct model *m, uint32_t pool)
{
	memset(m, 0, sizeof(*m));
	m->seed = 7;
	t_env_start(&m->t, NULL);
	ck_assert_int_eq(iomapi_nodes_init(&m->nodes, m->t.env, pool), 0);
}

static int64_t pos_of(unsigned page)
{
	return (windows[page / WINDOW] + page % WINDOW) * PAGE;
}

static int model_insert(struct model *m, unsigned page, unsigned order)
{
	struct iomap_folio *folio = calloc(1, sizeof(*folio));
	unsigned nr = 1u << order;
	bool free_range = true;
	int rc;

	ck_assert_ptr_nonnull(folio);
	page -= page % nr;
	folio->pos = pos_of(page);
	folio->size = (uint32_t)(PAGE << order);
	for (unsigned i = 0; i < nr; i++)
		free_range &= !m->at[page + i];
	rc = iomapi_tree_insert(&m->tree, &m->nodes, folio);
	if (rc != -ENOMEM)
		ck_assert_int_eq(rc, free_range ? 0 : -EEXIST);
	if (rc) {
		free(folio);
		return rc;
	}
	for (unsigned i = 0; i < nr; i++)
		m->at[page + i] = folio;
	m->nr++;
	return 0;
}

static unsigned page_of(const struct iomap_folio *folio)
{
	int64_t page = folio->pos / PAGE;
	unsigned w = NR_WINDOWS - 1;

	while (windows[w] > page)
		w--;
	return w * WINDOW + (unsigned)(page - windows[w]);
}

static void model_remove(struct model *m, struct iomap_folio *folio)
{
	unsigned page = page_of(folio);

	iomapi_tree_remove(&m->tree, &m->nodes, folio);
	for (unsigned i = 0; i < folio->size / PAGE; i++)
		m->at[page + i] = NULL;
	m->nr--;
	free(folio);
}

static void model_stop(struct model *m)
{
	for (unsigned i = 0; i < NR_PAGES; i++)
		if (m->at[i])
			model_remove(m, m->at[i]);
	ck_assert_ptr_null(m->tree.root);
	ck_assert_uint_eq(m->tree.tags, 0);
	ck_assert_uint_eq(m->nodes.pool.nr_free, m->nodes.pool.nr);
	iomapi_nodes_fini(&m->nodes);
	t_env_stop(&m->t);
}

/* The next folio with a tag of mask (0: any) that touches [page, end); NULL: none. */
static struct iomap_folio *model_next(struct model *m, unsigned page, int64_t end, unsigned mask)
{
	for (; page < NR_PAGES; page++) {
		struct iomap_folio *folio = m->at[page];

		if (folio && folio->pos >= end)
			return NULL;
		if (folio && (!mask || folio->spare & mask))
			return folio;
	}
	return NULL;
}

static void compare_gang(struct model *m, unsigned page, int64_t end, unsigned mask, unsigned nr)
{
	struct iomap_folio *found[32], *folio = NULL;
	int64_t pos = pos_of(page);
	unsigned got = iomapi_tree_gang(&m->tree, &pos, end, mask, found, nr);

	for (unsigned i = 0; i < got; i++) {
		folio = model_next(m, page, end, mask);
		ck_assert_ptr_eq(found[i], folio);
		page = page_of(folio) + folio->size / (uint32_t)PAGE;
	}
	if (got == nr) {
		int64_t last = folio->pos + (folio->size - 1);

		ck_assert_int_eq(pos, last == INT64_MAX ? INT64_MAX : last + 1);
	} else {
		if (page < NR_PAGES && pos_of(page) < end)
			ck_assert_ptr_null(model_next(m, page, end, mask));
		ck_assert_int_eq(pos, iomapi_max(pos, end));
	}
}

static void compare_all(struct model *m)
{
	unsigned tags = 0;

	iomapi_tree_sanity(&m->tree);
	for (unsigned i = 0; i < NR_PAGES; i++) {
		struct iomap_folio *folio = m->at[i];

		ck_assert_ptr_eq(iomapi_tree_find(&m->tree, pos_of(i)), folio);
		ck_assert_ptr_eq(iomapi_tree_find(&m->tree, pos_of(i) + PAGE - 1), folio);
		if (!folio)
			continue;
		ck_assert_uint_eq(iomapi_tree_tags(&m->tree, folio), folio->spare);
		tags |= folio->spare;
	}
	ck_assert_uint_eq(m->tree.tags, tags);
}

static unsigned random_page(struct model *m)
{
	return t_rand(&m->seed) % NR_PAGES;
}

static void random_copy(struct model *m)
{
	enum iomapi_tag from = t_rand(&m->seed) % IOMAPI_NR_TAGS;
	enum iomapi_tag to = t_rand(&m->seed) % IOMAPI_NR_TAGS;
	unsigned page = random_page(m), nr = 1 + t_rand(&m->seed) % 300;
	int64_t pos = pos_of(page), end = pos_of(random_page(m));
	struct iomap_folio *folio;

	iomapi_tree_copy_tag(&m->tree, &pos, end, from, to, nr);
	while (pos_of(page) < end && nr--) {
		folio = model_next(m, page, end, IOMAPI_TAG_BIT(from));
		if (!folio)
			break;
		folio->spare |= IOMAPI_TAG_BIT(to);
		page = page_of(folio) + folio->size / (uint32_t)PAGE;
		if (page == NR_PAGES)
			break;
	}
}

static void random_step(struct model *m)
{
	uint64_t r = t_rand(&m->seed);
	unsigned page = random_page(m);
	struct iomap_folio *folio = m->at[page];

	switch (r % 8) {
	case 0: case 1: case 2:
		model_insert(m, page, (r >> 8) % 10);
		break;
	case 3:
		if (folio)
			model_remove(m, folio);
		break;
	case 4: case 5:
		if (folio) {
			unsigned set = (r >> 8) & (r >> 16) & TAGS, clear = (r >> 24) & TAGS;

			iomapi_tree_retag(&m->tree, folio, set, clear);
			folio->spare = (folio->spare & ~clear) | set;
		}
		break;
	case 6:
		compare_gang(m, page, pos_of(random_page(m)), (r >> 8) & TAGS,
			     1 + (r >> 16) % 32);
		break;
	default:
		if (!(r >> 8 & 15))
			random_copy(m);
	}
}

CASE(random_steps_against_an_array, "",
     "Insert, remove, tag, copy tags and gang look-up, all sizes, as an array does it")
{
	static struct model m;

	model_start(&m, 64);
	for (unsigned i = 0; i < 60000; i++) {
		random_step(&m);
		if (i % 2000 == 0)
			compare_all(&m);
	}
	compare_all(&m);
	ck_assert_uint_gt(m.nr, 100);
	model_stop(&m);
}

CASE(each_size_where_it_belongs, "",
     "A folio of any size is found from each of its pages, and from no other")
{
	static struct model m;

	for (unsigned order = 0; order < 10; order++) {
		unsigned nr = 1u << order;

		model_start(&m, 64);
		ck_assert_int_eq(model_insert(&m, 512, order), 0);
		compare_all(&m);
		ck_assert_int_eq(model_insert(&m, 512 + nr - 1, 0), -EEXIST);
		ck_assert_int_eq(model_insert(&m, 512, 9), -EEXIST);
		ck_assert_int_eq(model_insert(&m, 512 + nr, order), 0);
		ck_assert_int_eq(model_insert(&m, 512 - nr, order), 0);
		compare_all(&m);
		model_stop(&m);
	}
}

CASE(gang_starts_inside_a_folio, "",
     "A gang look-up that starts in the middle of a folio finds that folio")
{
	static struct model m;
	const unsigned failed = IOMAPI_TAG_BIT(IOMAPI_TAG_FAILED);
	struct iomap_folio *found;
	int64_t pos;

	model_start(&m, 64);
	for (unsigned order = 1; order < 10; order++) {
		ck_assert_int_eq(model_insert(&m, 512, order), 0);
		iomapi_tree_retag(&m.tree, m.at[512], failed, 0);
		pos = pos_of(512 + (1u << order) - 1) + 1;
		ck_assert_uint_eq(iomapi_tree_gang(&m.tree, &pos, pos + 1, failed, &found, 1), 1);
		ck_assert_ptr_eq(found, m.at[512]);
		model_remove(&m, m.at[512]);
	}
	model_stop(&m);
}

CASE(no_memory_no_insertion, "",
     "Insertion fails with -ENOMEM at each of its allocations and changes nothing")
{
	static struct model m;
	unsigned failures = 0;

	model_start(&m, 1);
	for (unsigned page = 0; page < NR_PAGES; page += 300) {
		int rc = -ENOMEM;

		for (unsigned k = 1; rc; k++) {
			uint64_t live = m.t.nr_live;

			m.t.fail_at = k;
			rc = model_insert(&m, page, 0);
			m.t.fail_at = 0;
			if (rc != -ENOMEM)
				break;
			failures++;
			ck_assert_uint_eq(m.t.nr_live, live);
			compare_all(&m);
		}
		ck_assert_int_eq(rc, 0);
	}
	ck_assert_uint_gt(failures, 20);
	compare_all(&m);
	model_stop(&m);
}

CASE(tagging_and_removal_never_allocate, "", "With no memory left, tags change and folios go")
{
	static struct model m;
	uint64_t allocs;

	model_start(&m, 4);
	for (unsigned page = 0; page < NR_PAGES; page += 37)
		model_insert(&m, page, page % 3);
	allocs = m.t.nr_allocs;
	for (unsigned page = 0; page < NR_PAGES; page++)
		if (m.at[page])
			iomapi_tree_retag(&m.tree, m.at[page], TAGS, 0);
	for (unsigned page = 0; page < NR_PAGES; page++)
		if (m.at[page])
			model_remove(&m, m.at[page]);
	ck_assert_uint_eq(m.t.nr_allocs, allocs);
	model_stop(&m);
}
MAIN()
