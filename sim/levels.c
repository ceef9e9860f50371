/* SPDX-License-Identifier: MIT */
/*
 * levels.c - all that a crash may leave, or what stands for it.
 *
 * All of it is gone through depth first: what recovery and check read is decided when they read it.
 * Where that is too much there are levels, each begun when the one before it is complete:
 *
 *	ends	nothing in doubt is there, or all of it
 *	lines	all that was written before some write; all but one; only one
 *	pairs	only two; all but two
 *	tears	all before a write, and of that the first unit, or half of them, or all but one
 *
 * and behind them images that are drawn.  That is sampling, and the report says so.  Zones are
 * prefixes in themselves, and what is in doubt in them has no such levels: there all are drawn.
 */
#include <errno.h>
#include <string.h>

#include "explore.h"
#include "zone.h"

/* ---- patterns ---- */

static bool is_in(const struct iomapi_sim_pattern *p, const struct iomapi_sim_write *w,
		  uint32_t group)
{
	bool named = w->rank == p->a || w->rank == p->b;

	switch (p->shape) {
	case IOMAPI_SIM_ONLY:
		return named;
	case IOMAPI_SIM_BUT:
		return !named;
	case IOMAPI_SIM_CUT:
		return w->rank < p->a || (w->rank == p->a && group < p->b);
	default:
		return w->rank < p->a;
	}
}

uint32_t iomapi_sim_nr_in(const struct iomap_sim *sim, const struct iomapi_sim_write *w,
			  uint32_t group, uint32_t nr)
{
	uint32_t nr_in = 0;

	for (; sim->pattern && nr; nr--, group++)
		nr_in += is_in(sim->pattern, w, group);
	return nr_in;
}

uint32_t iomapi_sim_choose_as(struct iomap_sim *sim, const char *site, uint32_t n, uint32_t value)
{
	if (!sim->pattern || n < 2)
		return iomap_sim_choose(sim, site, n);
	return iomapi_sim_made(&sim->choice, site, n, value);
}

/* ---- all ---- */

/* So many images at most: 1 if there are more, 0, or negative. */
static int depth_first(struct iomapi_sim_run *run, uint64_t max)
{
	struct iomapi_sim_trace path = { 0 };
	int more;

	do {
		iomapi_sim_look_below(run, true, &path);
		more = iomapi_sim_next_path(&path, &run->records[run->depth + 1]);
	} while (more == 1 && --max && !run->failed && !run->error);
	iomapi_sim_trace_free(&path);
	if (more < 0)
		run->error = more;
	return run->failed ? 0 : more;
}

void iomapi_sim_look_at_all(struct iomapi_sim_run *run)
{
	run->cut_short |= depth_first(run, run->plan->max_images) == 1;
}

/* ---- levels ---- */

struct walk {
	struct iomapi_sim_run *run;
	struct iomapi_sim_write **doubt;	/* by rank */
	uint32_t nr, left;			/* left: images that may be looked at */
};

static void take(struct walk *w, struct iomap_list *list)
{
	for (struct iomap_list *l = list->next; l != list; l = l->next) {
		struct iomapi_sim_write *write =
			iomap_container_of(l, struct iomapi_sim_write, node);
		uint32_t at = w->nr++;

		for (; at && w->doubt[at - 1]->id > write->id; at--)
			w->doubt[at] = w->doubt[at - 1];
		w->doubt[at] = write;
	}
}

static uint32_t length(const struct iomap_list *list)
{
	uint32_t nr = 0;

	for (const struct iomap_list *l = list->next; l != list; l = l->next)
		nr++;
	return nr;
}

/* All that is in doubt, on every device, as it was accepted. */
static int rank(struct walk *w)
{
	struct iomap_sim *sim = w->run->sim;
	size_t nr = 1;

	for (unsigned i = 0; i < sim->nr_devs; i++)
		nr += length(&sim->devs[i].image.writes) + length(&sim->devs[i].image.accepted);
	w->doubt = iomapi_sim_alloc(nr * sizeof(*w->doubt));
	if (!w->doubt)
		return -ENOMEM;
	for (unsigned i = 0; i < sim->nr_devs; i++) {
		take(w, &sim->devs[i].image.writes);
		take(w, &sim->devs[i].image.accepted);
	}
	for (uint32_t i = 0; i < w->nr; i++)
		w->doubt[i]->rank = i;
	return 0;
}

/* One of them; false: it is the last that may be looked at, or it failed. */
static bool look(struct walk *w, enum iomapi_sim_shape shape, uint32_t a, uint32_t b)
{
	static const struct iomapi_sim_trace zeros;
	const struct iomapi_sim_pattern pattern = { shape, a, b };

	if (!w->left)
		return false;
	w->left--;
	w->run->pattern = &pattern;
	iomapi_sim_look_below(w->run, true, &zeros);
	w->run->pattern = NULL;
	w->run->image++;
	return !w->run->failed && !w->run->error;
}

static bool ends(struct walk *w)
{
	return look(w, IOMAPI_SIM_FIRST, 0, 0) && look(w, IOMAPI_SIM_FIRST, w->nr, 0);
}

static bool lines(struct walk *w)
{
	for (uint32_t a = 0; a < w->nr; a++)
		if ((a && !look(w, IOMAPI_SIM_FIRST, a, 0)) || !look(w, IOMAPI_SIM_BUT, a, a) ||
		    !look(w, IOMAPI_SIM_ONLY, a, a))
			return false;
	return true;
}

static bool pairs(struct walk *w)
{
	for (uint32_t a = 0; a < w->nr; a++)
		for (uint32_t b = a + 1; b < w->nr; b++)
			if (!look(w, IOMAPI_SIM_ONLY, a, b) || !look(w, IOMAPI_SIM_BUT, a, b))
				return false;
	return true;
}

static bool tears(struct walk *w)
{
	for (uint32_t a = 0; a < w->nr; a++) {
		uint32_t nr = w->doubt[a]->whole ? 1 : w->doubt[a]->nr_units;

		if (nr > 1 && !look(w, IOMAPI_SIM_CUT, a, 1))
			return false;
		if (nr > 3 && !look(w, IOMAPI_SIM_CUT, a, nr / 2))
			return false;
		if (nr > 2 && !look(w, IOMAPI_SIM_CUT, a, nr - 1))
			return false;
	}
	return true;
}

static enum iomap_sim_level walk_levels(struct walk *w)
{
	enum iomap_sim_level level = IOMAP_SIM_LEVEL_DRAWN;
	static bool (*const levels[])(struct walk *w) = { ends, lines, pairs, tears };

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels) && levels[i](w); i++)
		level++;
	return level;
}

static void draw_the_rest(struct walk *w)
{
	struct iomapi_sim_run *run = w->run;

	for (; w->left && !run->failed && !run->error; w->left--) {
		iomapi_sim_look_below(run, true, NULL);
		run->image++;
	}
}

void iomapi_sim_look_at_levels(struct iomapi_sim_run *run)
{
	struct walk w = { .run = run, .left = run->plan->levels };
	enum iomap_sim_level level = IOMAP_SIM_LEVEL_ALL;

	run->image = 0;
	run->exact = true;
	if (depth_first(run, run->plan->levels) == 1 && !run->error) {
		level = IOMAP_SIM_LEVEL_DRAWN;
		run->error = iomapi_sim_has_zones(run->sim) ? 0 : rank(&w);
		if (!run->error && w.doubt)
			level = walk_levels(&w);
		iomapi_sim_free(w.doubt);
	}
	run->exact = false;
	if (level != IOMAP_SIM_LEVEL_ALL)
		draw_the_rest(&w);
	if (level < run->level)
		run->level = (uint8_t)level;
}
