/* SPDX-License-Identifier: MIT */
/*
 * candidate.c - all that a unit may be after a crash, without deciding for one of them.
 *
 * From the newest version down: what may be there, until one must be; of one that is open also what
 * it leaves when it is shorn; and what its neighbours may have done to it.
 */
#include <errno.h>

#include "zone.h"

struct each {
	struct iomapi_sim_dev *dev;
	uint64_t unit;
	int (*fn)(void *arg, const void *mem, size_t len);
	void *arg;
	uint8_t *mem;
};

static int judge(const struct each *e, const struct iomapi_sim_content *c)
{
	uint64_t hash;
	int rc = iomapi_sim_show(e->dev, c, e->unit, e->mem, &hash);

	return e->fn(e->arg, rc ? NULL : e->mem, e->dev->profile.logical_block);
}

static int judge_shorn(const struct each *e, const struct iomapi_sim_write *w)
{
	struct iomapi_sim_content c = { NULL, IOMAPI_SIM_UNREADABLE };
	int rc = judge(e, &c);

	c = iomapi_sim_noise_of(IOMAPI_SIM_SHORN_NOISE, w->id);
	return rc ? rc : judge(e, &c);
}

static enum iomapi_sim_fate known_fate(const struct iomapi_sim_version *v)
{
	const struct iomapi_sim_write *w = v->write;

	return w->fates[w->whole ? 0 : v - w->versions];
}

/* One version; *last: what is below it cannot be. */
static int judge_version(const struct each *e, const struct iomapi_sim_version *v, bool *last)
{
	const struct iomapi_sim_write *w = v->write;
	enum iomapi_sim_fate fate = known_fate(v);
	int rc = 0;

	*last = fate == IOMAPI_SIM_THERE || fate == IOMAPI_SIM_SHORN;
	if (fate != IOMAPI_SIM_GONE && fate != IOMAPI_SIM_SHORN)
		rc = judge(e, &v->content);
	if (rc || (fate != IOMAPI_SIM_SHORN && fate != IOMAPI_SIM_OPEN))
		return rc;
	return fate == IOMAPI_SIM_SHORN || iomapi_sim_may_be_shorn(e->dev, w) ? judge_shorn(e, w)
									     : 0;
}

static int judge_damage(const struct each *e, const struct iomapi_sim_image *image)
{
	int rc = 0;

	if (e->dev->profile.power_safe_overwrite ||
	    e->dev->profile.physical_block == e->dev->profile.logical_block)
		return 0;
	for (uint32_t k = 0; !rc && k < image->nr_doubt; k++) {
		const struct iomapi_sim_write *w = image->doubt[k];
		struct iomapi_sim_content c = iomapi_sim_noise_of(IOMAPI_SIM_DAMAGED, w->id);

		if (iomapi_sim_is_in_flight(w) && iomapi_sim_is_neighbour(e->dev, w, e->unit) &&
		    w->damage != IOMAPI_SIM_THERE)
			rc = judge(e, &c);
	}
	return rc;
}

/* What a unit of image->below may be found to be. */
static int judge_below(const struct each *e, const struct iomapi_sim_image *image)
{
	struct iomapi_sim_image *below = image->below;
	struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(below, e->unit);
	unsigned i = e->unit % IOMAPI_SIM_CHUNK;
	struct iomapi_sim_content c = iomapi_sim_noise_of(IOMAPI_SIM_NEVER_WRITTEN, 0);
	bool last = false;
	int rc = image->cut ? judge_damage(e, image) : 0;

	for (const struct iomapi_sim_version *v = chunk && !image->carried ? chunk->top[i] : NULL;
	     v && !rc && !last; v = v->below) {
		if (image->cut) {
			rc = judge_version(e, v, &last);
		} else if (v->write->stage != IOMAPI_SIM_ACCEPTED &&
			   !(v->write->hidden && v->write->hidden[v - v->write->versions])) {
			rc = judge(e, &v->content);
			last = true;
		}
	}
	if (rc || last)
		return rc;
	if (chunk && chunk->known >> i & 1)
		return judge(e, &chunk->durable[i]);
	return below->below ? judge_below(e, below) : judge(e, &c);
}

/* Each end that the zone of the unit may have come to. */
static int judge_zone(const struct each *e)
{
	uint32_t nr = iomapi_sim_zone_ends(e->dev, e->unit);
	struct iomapi_sim_content unwritten = iomapi_sim_unwritten(e->dev);
	const struct iomapi_sim_content *last = NULL;
	uint64_t hash;
	int rc = 0;

	if (!nr) {
		rc = iomapi_sim_read_unit(e->dev, e->unit, e->mem, &hash);
		return e->fn(e->arg, rc ? NULL : e->mem, e->dev->profile.logical_block);
	}
	for (uint32_t end = 0; !rc && end < nr; end++) {
		const struct iomapi_sim_content *c = iomapi_sim_zone_content(e->dev, e->unit, end);

		if (!end || c != last)
			rc = judge(e, c ? c : &unwritten);
		last = c;
	}
	return rc;
}

IOMAP_API int iomap_sim_each_candidate(struct iomap_sim *sim, const char *name, uint64_t addr,
				       int (*fn)(void *arg, const void *mem, size_t len),
				       void *arg)
{
	struct iomapi_sim_dev *dev = iomapi_sim_find(sim, name);
	uint8_t mem[IOMAPI_SIM_MAX_BLOCK];
	struct each e = { dev, 0, fn, arg, mem };
	struct iomapi_sim_chunk *chunk;
	uint64_t hash;

	if (!dev)
		return -ENOENT;
	if (addr % dev->profile.logical_block || addr >= dev->size)
		return -EINVAL;
	e.unit = addr / dev->profile.logical_block;
	if (dev->image.zones)
		return judge_zone(&e);
	chunk = iomapi_sim_chunk(&dev->image, e.unit);
	if (dev->image.below && !(chunk && (chunk->top[e.unit % IOMAPI_SIM_CHUNK] ||
					    chunk->known >> e.unit % IOMAPI_SIM_CHUNK & 1)))
		return judge_below(&e, &dev->image);
	if (iomapi_sim_read_unit(dev, e.unit, mem, &hash))
		return fn(arg, NULL, dev->profile.logical_block);
	return fn(arg, mem, dev->profile.logical_block);
}
