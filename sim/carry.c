/* SPDX-License-Identifier: MIT */
/*
 * carry.c - what is in a cache: carried over a restart that is no loss of power, or lost in the
 * middle of a run.
 *
 * Carried, the image above shows what was durable, and what was in doubt lies on it as writes of
 * its own: they are read, a flush covers them, and a loss of power may take them.
 */
#include <errno.h>
#include <string.h>

#include "sim.h"

static bool carry_unit(struct iomapi_sim_dev *dev, struct iomapi_sim_version *to,
		       const struct iomapi_sim_version *from)
{
	to->content = from->content;
	if (!from->content.bytes)
		return true;
	to->content.bytes = iomapi_sim_new_unit(dev);
	if (to->content.bytes)
		memcpy(to->content.bytes, from->content.bytes, dev->profile.logical_block);
	return to->content.bytes;
}

/* Those units that are there, of one write; NULL: no memory. */
static struct iomapi_sim_write *carry_units(struct iomapi_sim_dev *dev,
					    const struct iomapi_sim_write *w, bool aborts)
{
	size_t size = offsetof(struct iomapi_sim_write, versions) +
		      w->nr_units * sizeof(struct iomapi_sim_version);
	struct iomapi_sim_write *to = iomapi_sim_level_zalloc(dev->sim, size + 2 * w->nr_units);
	bool there = true;

	if (!to || iomapi_sim_make_chunks(dev, w->unit, w->nr_units))
		return NULL;
	*to = *w;
	to->fates = (uint8_t *)to + size;
	to->hidden = w->hidden ? to->fates + w->nr_units : NULL;
	to->damage = 0;
	to->nr_left = 0;
	for (uint32_t i = 0; i < w->nr_units; i++) {
		if (aborts && (!i || !w->whole))
			there = iomap_sim_choose(dev->sim, "aborted", 2) == 0;
		if (!there || !w->versions[i].write)
			continue;
		if (!carry_unit(dev, &to->versions[i], &w->versions[i]))
			return NULL;
		to->versions[i].write = to;
		to->nr_left++;
		if (w->hidden)
			to->hidden[i] = w->stage != IOMAPI_SIM_ACCEPTED && w->hidden[i];
	}
	return to;
}

static void carry_one(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w, bool aborts)
{
	bool in_flight = w->stage != IOMAPI_SIM_COMPLETED;
	struct iomapi_sim_write *to = carry_units(dev, w, aborts && in_flight);

	if (!to) {
		iomapi_sim_no_memory(dev->sim);
		return;
	}
	iomap_list_add_tail(&dev->image.writes, &to->node);
	for (uint32_t i = 0; i < to->nr_units; i++) {
		uint64_t unit = to->unit + i;
		struct iomapi_sim_version **top;

		if (!to->versions[i].write)
			continue;
		top = &iomapi_sim_chunk(&dev->image, unit)->top[unit % IOMAPI_SIM_CHUNK];
		to->versions[i].below = *top;
		*top = &to->versions[i];
	}
	if (w->hidden || w->completed == IOMAPI_SIM_NEVER)
		iomapi_sim_fail(dev, to);
	else
		iomapi_sim_complete(dev, to, !dev->profile.volatile_cache ||
						     (w->fua && in_flight && !aborts));
}

void iomapi_sim_carry(struct iomapi_sim_dev *dev, bool aborts)
{
	struct iomapi_sim_image *image = &dev->image;

	for (uint32_t k = 0; image->carried && k < image->nr_doubt; k++)
		carry_one(dev, image->doubt[k], aborts);
}

/* ---- lost ---- */

/* What they would have written is for the choice of what survived. */
static void fail_all(struct iomapi_sim_dev *dev)
{
	for (struct iomap_list *l = dev->in_flight.next; l != &dev->in_flight; l = l->next) {
		struct iomapi_sim_cmd *cmd = iomap_container_of(l, struct iomapi_sim_cmd, node);

		cmd->writes[0] = cmd->writes[1] = NULL;
		cmd->hit.status = -ENODEV;
	}
}

/* Units that a write in doubt touches, or may have hurt: first and how many. */
static uint64_t touched(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			uint64_t *first)
{
	uint32_t per = dev->profile.physical_block / dev->profile.logical_block;
	uint64_t end = (w->last / per + 1) * per;

	*first = w->first / per * per;
	return (end < dev->nr_units ? end : dev->nr_units) - *first;
}

/* One after the other, as reads will see them; NULL: no memory. */
static struct iomapi_sim_content *find_all(struct iomapi_sim_dev *dev,
					   struct iomapi_sim_image *above, size_t nr)
{
	struct iomapi_sim_content *found =
		iomapi_sim_level_alloc(dev->sim, (nr + 1) * sizeof(*found));
	uint64_t first, units;
	size_t n = 0;

	for (uint32_t k = 0; found && k < above->nr_doubt; k++) {
		units = touched(dev, above->doubt[k], &first);
		for (uint64_t i = 0; i < units; i++, n++) {
			const struct iomapi_sim_content c =
				iomapi_sim_resolve(dev, above, first + i);

			found[n] = c;
			if (!c.bytes)
				continue;
			found[n].bytes = iomapi_sim_new_unit(dev);
			if (!found[n].bytes || iomapi_sim_make_chunks(dev, first + i, 1))
				return NULL;
			memcpy(found[n].bytes, c.bytes, dev->profile.logical_block);
		}
	}
	return found;
}

int iomapi_sim_lose_cache(struct iomapi_sim_dev *dev)
{
	struct iomapi_sim_image *above = iomapi_sim_level_zalloc(dev->sim, sizeof(*above));
	struct iomapi_sim_content *found;
	uint64_t first, units;
	size_t nr = 0;
	int rc;

	if (!above)
		return -ENOMEM;
	above->below = &dev->image;
	above->cut = true;
	rc = iomapi_sim_freeze(dev, &above->doubt, &above->nr_doubt);
	if (rc)
		return rc;
	iomapi_sim_overtake(dev, above);
	for (uint32_t k = 0; k < above->nr_doubt; k++)
		nr += touched(dev, above->doubt[k], &first);
	found = find_all(dev, above, nr);
	if (!found)
		return -ENOMEM;
	fail_all(dev);
	for (uint32_t k = 0, n = 0; k < above->nr_doubt; k++) {
		units = touched(dev, above->doubt[k], &first);
		for (uint64_t unit = first; unit < first + units; unit++, n++) {
			struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(&dev->image, unit);

			if (!chunk)
				continue;	/* nobody has written there */
			chunk->top[unit % IOMAPI_SIM_CHUNK] = NULL;
			iomapi_sim_move(dev, unit, &found[n]);
		}
	}
	iomapi_sim_free_writes(dev);
	memset(dev->last, 0, sizeof(dev->last));
	return 0;
}
