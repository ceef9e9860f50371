/* SPDX-License-Identifier: MIT */
/*
 * survive.c - what is there when power comes back.
 *
 * When power goes an image stays as it is, and another one is put above it.  Nothing is decided
 * until a unit is asked for: then its versions are gone through, newest first, and each is there or
 * gone; below the last is what was durable.  So a unit ends with any of its versions, or with that.
 *
 * A write within the power-fail atomic unit has one fate, else each of its units has one.  With an
 * order what is there is a prefix, of the device or of each queue, and its length is one choice;
 * what fails has no place in it.  Only what was in flight can be shorn (garbage, or not readable
 * until it is written; so can what failed), or damage neighbours in its physical block.
 *
 * Writes that overlap and had no effect yet have no order: one is chosen at once, where it matters.
 *
 * Fates stand in the writes of the image below; the level remembers which, and takes them back.
 */
#include <errno.h>
#include <string.h>

#include "mutant.h"
#include "zone.h"

static bool has_failed(const struct iomapi_sim_write *write)
{
	return write->hidden && !iomapi_sim_is_in_flight(write);
}

/* In an order; what fails has none from when it took effect, for reads may not see it. */
static bool has_place(const struct iomapi_sim_write *write)
{
	return write->completed != IOMAPI_SIM_NEVER &&
	       !(write->hidden && write->stage != IOMAPI_SIM_ACCEPTED);
}

static uint32_t nr_groups(const struct iomapi_sim_write *write)
{
	return write->whole ? 1 : write->nr_units;
}

/* ---- frozen and thawed ---- */

static struct iomapi_sim_write *write_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_write, node);
}

static struct iomapi_sim_version **top_in(const struct iomapi_sim_image *image, uint64_t unit)
{
	return &iomapi_sim_chunk(image, unit)->top[unit % IOMAPI_SIM_CHUNK];
}

static struct iomapi_sim_version **top_of(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	return top_in(&dev->image, unit);
}

static uint32_t length(const struct iomap_list *list)
{
	uint32_t nr = 0;

	for (const struct iomap_list *l = list->next; l != list; l = l->next)
		nr++;
	return nr;
}

static uint32_t gather(struct iomap_list *list, struct iomapi_sim_write **to)
{
	uint32_t nr = 0;

	for (struct iomap_list *l = list->next; l != list; l = l->next)
		to[nr++] = write_of(l);
	return nr;
}

/* What has had no effect yet counts as if it had, the later over the earlier. */
static void link_accepted(const struct iomapi_sim_image *image, struct iomapi_sim_write **doubt,
			  uint32_t nr)
{
	for (uint32_t k = 0; k < nr; k++)
		for (uint32_t i = 0; i < doubt[k]->nr_units; i++) {
			struct iomapi_sim_version *v = &doubt[k]->versions[i];

			v->below = *top_in(image, doubt[k]->unit + i);
			*top_in(image, doubt[k]->unit + i) = v;
		}
}

static void unlink_accepted(const struct iomapi_sim_image *image, struct iomapi_sim_write **doubt,
			    uint32_t nr)
{
	while (nr--)
		for (uint32_t i = 0; i < doubt[nr]->nr_units; i++)
			*top_in(image, doubt[nr]->unit + i) = doubt[nr]->versions[i].below;
}

static uint32_t nr_not_accepted(struct iomapi_sim_write *const *doubt, uint32_t nr)
{
	while (nr && doubt[nr - 1]->stage == IOMAPI_SIM_ACCEPTED)
		nr--;
	return nr;
}

int iomapi_sim_freeze(struct iomapi_sim_dev *dev, struct iomapi_sim_write ***doubt, uint32_t *nr)
{
	struct iomapi_sim_image *image = &dev->image;
	uint32_t nr_writes = length(&image->writes);

	*nr = nr_writes + length(&image->accepted);
	*doubt = iomapi_sim_level_alloc(dev->sim, (*nr + 1) * sizeof(**doubt));
	if (!*doubt)
		return -ENOMEM;
	gather(&image->writes, *doubt);
	gather(&image->accepted, *doubt + nr_writes);
	link_accepted(image, *doubt + nr_writes, *nr - nr_writes);
	return 0;
}

void iomapi_sim_thaw(struct iomapi_sim_dev *dev, struct iomapi_sim_write **doubt, uint32_t nr)
{
	uint32_t first = nr_not_accepted(doubt, nr);

	unlink_accepted(&dev->image, doubt + first, nr - first);
}

/* ---- overtaken ---- */

/* It stays where it is, for its line has an order. */
static bool is_behind(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *later,
		      const struct iomapi_sim_write *earlier)
{
	return dev->profile.order == IOMAP_SIM_ORDER_FIFO ||
	       (dev->profile.order == IOMAP_SIM_ORDER_PER_QUEUE && later->queue == earlier->queue);
}

/* Does it matter which comes first?  Units that stand for themselves are there or gone, whatever
 * the order is. */
static bool is_hazard(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *a,
		      const struct iomapi_sim_write *b)
{
	if (a->unit >= b->unit + b->nr_units || b->unit >= a->unit + a->nr_units)
		return false;
	return dev->profile.order != IOMAP_SIM_ORDER_ANY || (a->whole && a->nr_units > 1) ||
	       (b->whole && b->nr_units > 1);
}

/* They keep the order that they have, and the other has gone to that side. */
static bool holds(const struct iomapi_sim_dev *dev, struct iomapi_sim_write *const *list,
		  uint32_t k, uint32_t other, enum iomapi_sim_side side)
{
	const struct iomapi_sim_write *a = list[k], *b = list[other];

	return b->side == side && (is_hazard(dev, a, b) || is_behind(dev, a, b));
}

/* Which of the others come before the last one of the list, and which behind it: no two of them
 * change places that have an order already. */
static void choose_sides(struct iomapi_sim_dev *dev, struct iomapi_sim_write **list, uint32_t last)
{
	for (uint32_t k = last; k--;) {
		bool before = is_behind(dev, list[last], list[k]);

		for (uint32_t i = k + 1; !before && i < last; i++)
			before = holds(dev, list, k, i, IOMAPI_SIM_BEFORE);
		list[k]->side = IOMAPI_SIM_EITHER;
		if (before)
			list[k]->side = IOMAPI_SIM_BEFORE;
		else if (is_hazard(dev, list[last], list[k]))
			list[k]->side = iomap_sim_choose(dev->sim, "overtakes", 2)
						? IOMAPI_SIM_BEHIND : IOMAPI_SIM_BEFORE;
	}
	for (uint32_t k = 1; k < last; k++)
		for (uint32_t i = 0; list[k]->side == IOMAPI_SIM_EITHER && i < k; i++)
			if (holds(dev, list, k, i, IOMAPI_SIM_BEHIND))
				list[k]->side = IOMAPI_SIM_BEHIND;
}

static void overtake(struct iomapi_sim_dev *dev, struct iomapi_sim_write **list, uint32_t last)
{
	uint32_t end = last, k = 0;

	while (k < last && !is_hazard(dev, list[last], list[k]))
		k++;
	if (k == last)
		return;			/* as nearly always */
	choose_sides(dev, list, last);
	for (k = last; k--;) {
		struct iomapi_sim_write *w = list[k];

		if (w->side != IOMAPI_SIM_BEHIND)
			continue;
		memmove(list + k, list + k + 1, (end - k) * sizeof(*list));
		list[end--] = w;
	}
}

void iomapi_sim_overtake(struct iomapi_sim_dev *dev, struct iomapi_sim_image *image)
{
	uint32_t first = nr_not_accepted(image->doubt, image->nr_doubt);
	struct iomapi_sim_write **accepted = image->doubt + first;
	uint32_t nr = image->nr_doubt - first;

	unlink_accepted(image->below, accepted, nr);
	for (uint32_t k = 1; k < nr; k++)
		overtake(dev, accepted, k);
	link_accepted(image->below, accepted, nr);
}

/* ---- fates ---- */

static void decide(struct iomapi_sim_dev *dev, uint8_t *fate, enum iomapi_sim_fate what)
{
	*fate = (uint8_t)what;
	iomapi_sim_remember(dev->sim, fate);
}

/* Which prefix a write belongs to. */
static uint32_t line_of(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write)
{
	return dev->profile.order == IOMAP_SIM_ORDER_FIFO ? 0 : write->queue;
}

bool iomapi_sim_may_be_shorn(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w)
{
	return dev->profile.shorn_sectors &&
	       (iomapi_sim_is_in_flight(w) || has_failed(w) ||
		iomapi_sim_is(IOMAPI_SIM_SHEARS_COMPLETED)) &&
	       (!w->whole || w->nr_units == 1);
}

/* It is there; perhaps not all of it. */
static enum iomapi_sim_fate there(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w)
{
	bool shorn = iomapi_sim_may_be_shorn(dev, w) && iomapi_sim_rarely(dev->sim, "shorn");

	return shorn ? IOMAPI_SIM_SHORN : IOMAPI_SIM_THERE;
}

/* With so many that are there on its line from here on: the last one may be shorn. */
static enum iomapi_sim_fate in_line(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
				    uint32_t left)
{
	if (left == 1)
		return there(dev, w);
	return left ? IOMAPI_SIM_THERE : IOMAPI_SIM_GONE;
}

/* What is below it is the same, and it decides about nothing else. */
static bool makes_no_difference(struct iomapi_sim_dev *dev, const struct iomapi_sim_image *image,
				const struct iomapi_sim_version *v)
{
	uint64_t unit = v->write->unit + (uint64_t)(v - v->write->versions);
	const struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(image->below, unit);
	struct iomapi_sim_content c;

	if ((v->write->whole && v->write->nr_units > 1) || iomapi_sim_may_be_shorn(dev, v->write))
		return false;
	if (v->below)
		c = v->below->content;
	else if (chunk->known >> unit % IOMAPI_SIM_CHUNK & 1)
		c = chunk->durable[unit % IOMAPI_SIM_CHUNK];
	else if (image->below->below && !image->below->cut)
		c = iomapi_sim_resolve(dev, image->below, unit);
	else
		return false;		/* it may be open */
	return c.key == v->content.key && !c.bytes == !v->content.bytes;
}

static void choose_lines(struct iomapi_sim_dev *dev, struct iomapi_sim_image *image)
{
	uint32_t left[IOMAPI_SIM_QUEUES] = { 0 }, in[IOMAPI_SIM_QUEUES] = { 0 };

	decide(dev, &image->lines, IOMAPI_SIM_THERE);
	for (uint32_t k = 0; k < image->nr_doubt; k++) {
		struct iomapi_sim_write *w = image->doubt[k];

		if (!has_place(w))
			continue;
		left[line_of(dev, w)] += nr_groups(w);
		in[line_of(dev, w)] += iomapi_sim_nr_in(dev->sim, w, 0, nr_groups(w));
	}
	for (unsigned i = 0; i < IOMAPI_SIM_QUEUES; i++)
		left[i] = iomapi_sim_choose_as(dev->sim, "prefix", left[i] + 1, in[i]);
	for (uint32_t k = 0; k < image->nr_doubt; k++) {
		struct iomapi_sim_write *w = image->doubt[k];
		uint32_t *mine = &left[line_of(dev, w)];

		for (uint32_t g = 0; has_place(w) && g < nr_groups(w); g++) {
			decide(dev, &w->fates[g], in_line(dev, w, *mine));
			*mine -= *mine != 0;
		}
	}
}

static enum iomapi_sim_fate fate_of(struct iomapi_sim_dev *dev, struct iomapi_sim_image *image,
				    const struct iomapi_sim_version *v)
{
	struct iomapi_sim_write *w = v->write;
	uint8_t *fate = &w->fates[w->whole ? 0 : v - w->versions];
	uint32_t unit;

	if (!image->lines && dev->profile.order != IOMAP_SIM_ORDER_ANY &&
	    !iomapi_sim_is(IOMAPI_SIM_NO_ORDER))
		choose_lines(dev, image);
	if (*fate)
		return *fate;
	unit = w->whole ? 0 : (uint32_t)(v - w->versions);
	if (makes_no_difference(dev, image, v) ||
	    !iomapi_sim_choose_as(dev->sim, "survive", 2, iomapi_sim_nr_in(dev->sim, w, unit, 1)) ||
	    (has_failed(w) && iomapi_sim_is(IOMAPI_SIM_FAILED_IS_ABSENT)))
		decide(dev, fate, IOMAPI_SIM_GONE);
	else
		decide(dev, fate, there(dev, w));
	return *fate;
}

/* ---- units ---- */

bool iomapi_sim_is_neighbour(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			 uint64_t unit)
{
	uint32_t per = dev->profile.physical_block / dev->profile.logical_block;

	if (unit >= w->first && unit <= w->last)
		return false;
	return unit / per >= w->first / per && unit / per <= w->last / per;
}

static bool is_damaged(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w)
{
	if (!w->damage)
		decide(dev, &w->damage, iomapi_sim_rarely(dev->sim, "damage")
						? IOMAPI_SIM_SHORN : IOMAPI_SIM_THERE);
	return w->damage == IOMAPI_SIM_SHORN && iomap_sim_choose(dev->sim, "neighbour", 2);
}

static void damage(struct iomapi_sim_dev *dev, struct iomapi_sim_image *image, uint64_t unit,
		   struct iomapi_sim_content *c)
{
	if ((dev->profile.power_safe_overwrite && !iomapi_sim_is(IOMAPI_SIM_HURTS_ALWAYS)) ||
	    !image->cut ||
	    dev->profile.physical_block == dev->profile.logical_block ||
	    c->key == IOMAPI_SIM_NEVER_WRITTEN)
		return;
	for (uint32_t k = 0; k < image->nr_doubt; k++) {
		struct iomapi_sim_write *w = image->doubt[k];

		if (iomapi_sim_is_in_flight(w) && iomapi_sim_is_neighbour(dev, w, unit) &&
		    is_damaged(dev, w))
			*c = iomapi_sim_noise_of(IOMAPI_SIM_DAMAGED, w->id);
	}
}

/* The newest version that is there; NULL: none. */
static const struct iomapi_sim_version *newest(struct iomapi_sim_dev *dev,
					       struct iomapi_sim_image *image,
					       const struct iomapi_sim_version *v)
{
	for (; v && !image->carried; v = v->below) {
		const struct iomapi_sim_write *w = v->write;

		if (!image->cut) {
			if (w->stage != IOMAPI_SIM_ACCEPTED &&
			    !(w->hidden && w->hidden[v - w->versions]))
				return v;
		} else if (fate_of(dev, image, v) != IOMAPI_SIM_GONE) {
			return v;
		}
	}
	return NULL;
}

static bool is_shorn(const struct iomapi_sim_version *v)
{
	const struct iomapi_sim_write *w = v->write;

	return w->fates[v - w->versions] == IOMAPI_SIM_SHORN;
}

static struct iomapi_sim_content shorn(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w)
{
	if (has_failed(w) || iomapi_sim_rarely(dev->sim, "unreadable"))
		return (struct iomapi_sim_content){ NULL, IOMAPI_SIM_UNREADABLE };
	return iomapi_sim_noise_of(IOMAPI_SIM_SHORN_NOISE, w->id);
}

struct iomapi_sim_content iomapi_sim_resolve(struct iomapi_sim_dev *dev,
					     struct iomapi_sim_image *image, uint64_t unit)
{
	struct iomapi_sim_image *below = image->below;
	struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(below, unit);
	unsigned i = unit % IOMAPI_SIM_CHUNK;
	const struct iomapi_sim_version *v = chunk ? newest(dev, image, chunk->top[i]) : NULL;
	struct iomapi_sim_content c;

	if (v)
		c = is_shorn(v) ? shorn(dev, v->write) : v->content;
	else if (chunk && chunk->known >> i & 1)
		c = chunk->durable[i];
	else if (below->below)
		c = iomapi_sim_resolve(dev, below, unit);
	else
		c = iomapi_sim_noise_of(IOMAPI_SIM_NEVER_WRITTEN, 0);
	damage(dev, image, unit, &c);
	return c;
}

/* ---- for good ---- */

/* It is what was found; the bytes of the version go with it. */
static void settle_unit(struct iomapi_sim_dev *dev, struct iomapi_sim_image *above, uint64_t unit)
{
	struct iomapi_sim_content c = iomapi_sim_resolve(dev, above, unit), *from = &c;
	struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(&dev->image, unit);
	unsigned i = unit % IOMAPI_SIM_CHUNK;

	for (struct iomapi_sim_version *v = chunk->top[i]; v; v = v->below)
		if (c.bytes && v->content.bytes == c.bytes)
			from = &v->content;
	if (from != &c || chunk->durable[i].bytes != c.bytes || !c.bytes)
		iomapi_sim_move(dev, unit, from);
	chunk->top[i] = NULL;
	chunk->known &= ~((uint64_t)1 << i);	/* once is enough */
}

static bool is_open(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	const struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(&dev->image, unit);

	return chunk && chunk->known >> unit % IOMAPI_SIM_CHUNK & 1;
}

/* With all that share a physical block with it. */
static void settle_write(struct iomapi_sim_dev *dev, struct iomapi_sim_image *above,
			 const struct iomapi_sim_write *w)
{
	uint32_t per = dev->profile.physical_block / dev->profile.logical_block;
	uint64_t end = (w->last / per + 1) * per;

	for (uint64_t unit = w->first / per * per; unit < end && unit < dev->nr_units; unit++)
		if (is_open(dev, unit) &&
		    (*top_of(dev, unit) || iomapi_sim_is_neighbour(dev, w, unit)))
			settle_unit(dev, above, unit);
}

static void know_again(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w)
{
	uint32_t per = dev->profile.physical_block / dev->profile.logical_block;
	uint64_t last = w->last / per * per + per - 1;

	if (last >= dev->nr_units)
		last = dev->nr_units - 1;
	for (uint64_t c = w->first / per * per / IOMAPI_SIM_CHUNK; c <= last / IOMAPI_SIM_CHUNK;
	     c++)
		if (dev->image.chunks[c])
			dev->image.chunks[c]->known = UINT64_MAX;
}

int iomapi_sim_settle(struct iomapi_sim_dev *dev)
{
	struct iomapi_sim_image above = { .below = &dev->image, .cut = true };
	int rc = iomapi_sim_freeze(dev, &above.doubt, &above.nr_doubt);

	if (!rc)
		rc = iomapi_sim_zones_settle(dev);
	if (!rc)
		iomapi_sim_overtake(dev, &above);
	for (uint32_t k = 0; !rc && k < above.nr_doubt; k++)
		settle_write(dev, &above, above.doubt[k]);
	for (uint32_t k = 0; !rc && k < above.nr_doubt; k++)
		know_again(dev, above.doubt[k]);
	if (!rc)
		iomapi_sim_free_writes(dev);
	iomapi_sim_level_free(dev->sim, above.doubt);
	return rc;
}
