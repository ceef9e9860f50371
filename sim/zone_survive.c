/* SPDX-License-Identifier: MIT */
/*
 * zone_survive.c - what of a zone is there when power comes back.
 *
 * The log of the zone until somewhere: so there are no holes, the pointer is at the end of what is
 * there, and a reset or finish happened as a whole or not at all.  What comes behind a reset is
 * there only with it.  The last command of it may be there in part, its first units, unless it is
 * atomic; of one that failed any number may be there where nothing comes behind it.
 *
 * What was in flight may have come behind the log, in any order, appends wherever that puts them.
 * The order is chosen when the zone is first asked for; then how far it came.  Until then nothing
 * is decided, so a zone that nobody looks at costs nothing.
 *
 * All of this stands in the image above; the one below stays as it was when power went.
 */
#include <errno.h>
#include <string.h>

#include "mutant.h"
#include "zone.h"

static struct iomapi_sim_write *write_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_write, node);
}

static uint32_t zone_units(const struct iomapi_sim_dev *dev)
{
	return (uint32_t)(dev->profile.zone_size / dev->profile.logical_block);
}

/* ---- in which order ---- */

static uint32_t gather(struct iomap_list *list, struct iomapi_sim_step *steps)
{
	uint32_t nr = 0;

	for (struct iomap_list *l = list->next; l != list; l = l->next, nr++)
		if (steps)
			steps[nr] = (struct iomapi_sim_step){ .write = write_of(l) };
	return nr;
}

/* The next of those in flight, to the front of them; false: none fits. */
static bool take_next(struct iomapi_sim_dev *dev, const struct iomapi_sim_pointer *now,
		      struct iomapi_sim_step *rest, uint32_t nr)
{
	uint32_t fit = 0, pick, i = 0, at;
	struct iomapi_sim_step s;

	for (uint32_t k = 0; k < nr; k++)
		fit += iomapi_sim_zone_fits(dev, rest[k].write, now, &at);
	if (!fit)
		return false;
	pick = fit > 1 ? iomap_sim_choose(dev->sim, "next", fit) : 0;
	while (!iomapi_sim_zone_fits(dev, rest[i].write, now, &at) || pick--)
		i++;
	s = rest[i];
	memmove(rest + 1, rest, i * sizeof(*rest));
	rest[0] = s;
	return true;
}

static void place(const struct iomapi_sim_dev *dev, struct iomapi_sim_step *s,
		  struct iomapi_sim_pointer *now, bool logged)
{
	uint32_t all = iomapi_sim_zone_all(s->write);

	if (logged)
		s->at = (uint32_t)(s->write->unit % zone_units(dev));
	else
		iomapi_sim_zone_fits(dev, s->write, now, &s->at);
	s->seen = logged ? s->write->seen : all;
	s->whole = iomapi_sim_zone_is_whole(dev, s->write, s->at);
	s->ends = s->whole ? 1 : all;
	iomapi_sim_zone_advance(dev, now, s->write, s->at, s->seen);
}

/* Of the log alone where power stayed on: nr_ends is then all of it, as reads saw it. */
static int set_order(struct iomapi_sim_dev *dev, struct iomapi_sim_zone *from, bool cut,
		     struct iomapi_sim_steps *steps)
{
	uint32_t logged = gather(&from->log, NULL);
	uint32_t nr = logged + (cut ? gather(&from->accepted, NULL) : 0);
	struct iomapi_sim_step *s = iomapi_sim_level_alloc(dev->sim, (nr + 1) * sizeof(*s));
	struct iomapi_sim_pointer now = from->durable;

	if (!s)
		return -ENOMEM;
	gather(&from->log, s);
	if (cut)
		gather(&from->accepted, s + logged);
	*steps = (struct iomapi_sim_steps){ .step = s, .nr_ends = 1 };
	for (uint32_t i = 0; i < nr; i++) {
		if (i >= logged && !take_next(dev, &now, s + i, nr - i))
			break;
		place(dev, &s[i], &now, i < logged);
		steps->nr_ends += s[i].ends;
		steps->nr++;
	}
	return 0;
}

/* ---- how far ---- */

/* Units of a step with so many ends left; the last one may be there in part. */
static uint32_t units_of(const struct iomapi_sim_step *s, uint32_t left)
{
	if (left > s->ends)
		return s->seen;
	return s->whole ? iomapi_sim_zone_all(s->write) : left;
}

/* Steps that are there, one after the other, and how many units of each. */
struct walk {
	const struct iomapi_sim_steps *steps;
	uint32_t left, next, units;
};

static const struct iomapi_sim_step *next_step(struct walk *w)
{
	const struct iomapi_sim_step *s = &w->steps->step[w->next];

	if (!w->left || w->next == w->steps->nr)
		return NULL;
	w->next++;
	w->units = units_of(s, w->left);
	w->left -= w->left < s->ends ? w->left : s->ends;
	return s;
}

static const struct iomapi_sim_content *durable_of(const struct iomapi_sim_image *image,
						   uint64_t unit)
{
	return &iomapi_sim_chunk(image, unit)->durable[unit % IOMAPI_SIM_CHUNK];
}

/* ---- known ---- */

static struct iomapi_sim_image *knower(struct iomapi_sim_dev *dev, uint64_t index, bool *cut,
				       bool *closed)
{
	struct iomapi_sim_image *image = &dev->image;

	*closed = false;
	for (; !image->zones[index].known; image = image->below) {
		*cut = image->cut;	/* the lowest one counts: nothing was done above it */
		*closed |= image->cut;
	}
	return image;
}

static void show_unit(struct iomapi_sim_dev *dev, uint64_t unit,
		      const struct iomapi_sim_content *content)
{
	struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(&dev->image, unit);
	uint64_t bit = (uint64_t)1 << unit % IOMAPI_SIM_CHUNK;

	chunk->durable[unit % IOMAPI_SIM_CHUNK] = *content;
	chunk->known |= bit;
	chunk->own &= ~bit;
}

static const struct iomapi_sim_content nothing = { NULL, IOMAPI_SIM_NEVER_WRITTEN };

/* What the zone holds is that of the image below from now on. */
static void show(struct iomapi_sim_dev *dev, const struct iomapi_sim_image *below, uint64_t index,
		 const struct iomapi_sim_steps *steps, uint32_t end)
{
	struct iomapi_sim_pointer now = below->zones[index].durable;
	struct walk w = { .steps = steps, .left = end };
	const struct iomapi_sim_step *s;
	uint64_t start = index * zone_units(dev);

	for (uint32_t rel = 0; rel < now.filled; rel++)
		show_unit(dev, start + rel, durable_of(below, start + rel));
	while ((s = next_step(&w))) {
		bool hole = iomapi_sim_is(IOMAPI_SIM_LEAVES_HOLES) && w.left;

		for (uint32_t i = 0; i < w.units && i < s->write->nr_units; i++)
			show_unit(dev, start + s->at + i,
				  hole ? &nothing : &s->write->versions[i].content);
		iomapi_sim_zone_advance(dev, &now, s->write, s->at, w.units);
	}
	dev->image.zones[index].now = now;
}

struct iomapi_sim_zone *iomapi_sim_zone_know(struct iomapi_sim_dev *dev, uint64_t index)
{
	struct iomapi_sim_zone *z = &dev->image.zones[index];
	bool cut = false, closed;
	struct iomapi_sim_image *below = knower(dev, index, &cut, &closed);
	uint32_t end;

	if (z->known)
		return z;
	if ((!z->steps.step && set_order(dev, &below->zones[index], cut, &z->steps)) ||
	    iomapi_sim_make_chunks(dev, index * zone_units(dev), zone_units(dev))) {
		iomapi_sim_no_memory(dev->sim);
		return NULL;
	}
	end = z->steps.nr_ends;
	if (cut)
		end = end > 1 ? iomap_sim_choose(dev->sim, "pointer", end) : 0;
	show(dev, below, index, &z->steps, end);
	z->durable = z->now;
	z->opened = below->zones[index].opened;
	z->state = closed ? iomapi_sim_zone_rest(dev, z) : below->zones[index].state;
	z->known = true;
	return z;
}

/* ---- every one of them ---- */

uint32_t iomapi_sim_zone_ends(struct iomapi_sim_dev *dev, uint64_t unit)
{
	uint64_t index = unit / zone_units(dev);
	struct iomapi_sim_zone *z = &dev->image.zones[index];
	bool cut = false, closed;
	struct iomapi_sim_image *below = knower(dev, index, &cut, &closed);

	if (!z->known && !cut)
		iomapi_sim_zone_know(dev, index);
	if (z->known || !cut)
		return 0;
	if (!z->steps.step && set_order(dev, &below->zones[index], true, &z->steps)) {
		iomapi_sim_no_memory(dev->sim);
		return 0;
	}
	return z->steps.nr_ends;
}

const struct iomapi_sim_content *iomapi_sim_zone_content(struct iomapi_sim_dev *dev,
							 uint64_t unit, uint32_t end)
{
	uint64_t index = unit / zone_units(dev);
	uint32_t rel = (uint32_t)(unit % zone_units(dev));
	const struct iomapi_sim_content *c = NULL;
	const struct iomapi_sim_step *s;
	struct walk w = { .steps = &dev->image.zones[index].steps, .left = end };
	bool cut, closed;
	struct iomapi_sim_image *below = knower(dev, index, &cut, &closed);
	struct iomapi_sim_pointer now = below->zones[index].durable;

	if (rel < now.filled)
		c = durable_of(below, unit);
	while ((s = next_step(&w))) {
		if (rel >= s->at && rel - s->at < w.units && s->write->nr_units)
			c = &s->write->versions[rel - s->at].content;
		iomapi_sim_zone_advance(dev, &now, s->write, s->at, w.units);
	}
	return rel < now.filled ? c : NULL;
}

/* ---- for good ---- */

static void forget_versions(struct iomapi_sim_dev *dev, uint64_t index)
{
	uint64_t unit = index * zone_units(dev), end = unit + zone_units(dev);

	for (; unit < end; unit++)
		if (iomapi_sim_chunk(&dev->image, unit))
			iomapi_sim_chunk(&dev->image, unit)->top[unit % IOMAPI_SIM_CHUNK] = NULL;
}

static int settle(struct iomapi_sim_dev *dev, uint64_t index)
{
	struct iomapi_sim_zone *z = &dev->image.zones[index];
	struct iomapi_sim_steps steps;
	struct walk w = { .steps = &steps };
	const struct iomapi_sim_step *s;
	int rc = set_order(dev, z, true, &steps);

	if (rc)
		return rc;
	w.left = steps.nr_ends > 1 ? iomap_sim_choose(dev->sim, "pointer", steps.nr_ends) : 0;
	while ((s = next_step(&w))) {
		s->write->unit = index * zone_units(dev) + s->at;
		s->write->seen = w.units;
		iomapi_sim_zone_persist(dev, s->write);
	}
	forget_versions(dev, index);	/* their writes are freed with all others */
	z->now = z->durable;
	z->state = iomapi_sim_zone_rest(dev, z);
	iomapi_sim_level_free(dev->sim, steps.step);
	return 0;
}

int iomapi_sim_zones_settle(struct iomapi_sim_dev *dev)
{
	uint64_t nr = dev->image.zones ? iomapi_sim_nr_zones(dev) : 0;
	int rc = 0;

	for (uint64_t i = 0; !rc && i < nr; i++)
		if (dev->image.zones[i].known)
			rc = settle(dev, i);
	return rc;
}
