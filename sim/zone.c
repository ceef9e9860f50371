/* SPDX-License-Identifier: MIT */
/*
 * zone.c - zones, which are written from the front: what commands do to them.
 *
 *	zone->accepted	commands that have had no effect yet
 *	zone->log	writes, appends, resets and finishes that have, oldest first, not durable
 *	zone->carried	durable with a later one, and not completed
 *	zone->now	the pointer that commands and reads see
 *	zone->durable	the one below the log
 *
 * All of a zone is in one order: what is durable of it is the log until somewhere, so a flush, or
 * FUA, that covers a command carries those before it.  What fails has a place in the log as well,
 * with as many units as reads see of it: nothing can come behind it without them.
 *
 * Versions of a write lie in the chunks like any others.  A reset needs none, for nothing is read
 * from behind the pointer; what was there stays until the reset is durable.
 */
#include <errno.h>
#include <string.h>

#include "zone.h"

static struct iomapi_sim_write *write_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_write, node);
}

static uint32_t zone_units(const struct iomapi_sim_dev *dev)
{
	return (uint32_t)(dev->profile.zone_size / dev->profile.logical_block);
}

static uint32_t capacity(const struct iomapi_sim_dev *dev)
{
	return (uint32_t)(dev->profile.zone_capacity / dev->profile.logical_block);
}

static bool is_write(const struct iomapi_sim_write *w)
{
	return w->op == IOMAP_BIO_WRITE || w->op == IOMAP_BIO_ZONE_APPEND;
}

/* ---- life ---- */

bool iomapi_sim_has_zones(const struct iomap_sim *sim)
{
	for (unsigned i = 0; i < sim->nr_devs; i++)
		if (sim->devs[i].image.zones)
			return true;
	return false;
}

int iomapi_sim_zones_new(struct iomapi_sim_dev *dev)
{
	uint64_t nr = iomapi_sim_nr_zones(dev);

	if (!nr)
		return 0;
	dev->image.zones = iomapi_sim_level_zalloc(dev->sim, nr * sizeof(*dev->image.zones));
	if (!dev->image.zones)
		return -ENOMEM;
	for (uint64_t i = 0; i < nr; i++) {
		struct iomapi_sim_zone *z = &dev->image.zones[i];

		iomap_list_init(&z->accepted);
		iomap_list_init(&z->log);
		iomap_list_init(&z->carried);
		z->state = IOMAPI_SIM_ZONE_EMPTY;
		z->known = !dev->sim->level;	/* else an image below decides */
	}
	return 0;
}

void iomapi_sim_zones_free_writes(struct iomapi_sim_dev *dev)
{
	uint64_t nr = dev->image.zones ? iomapi_sim_nr_zones(dev) : 0;

	for (uint64_t i = 0; i < nr; i++) {
		struct iomapi_sim_zone *z = &dev->image.zones[i];
		struct iomap_list *lists[] = { &z->accepted, &z->log, &z->carried };

		for (unsigned k = 0; k < 3; k++)
			while (!iomap_list_empty(lists[k]))
				iomapi_sim_reject(dev, write_of(lists[k]->next));
	}
}

uint64_t iomapi_sim_nr_zones(const struct iomapi_sim_dev *dev)
{
	return dev->profile.zone_size ? dev->size / dev->profile.zone_size : 0;
}

/* ---- accepted ---- */

static struct iomapi_sim_write *accept_change(struct iomapi_sim_dev *dev,
					      struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_write *w = iomapi_sim_level_zalloc(dev->sim, sizeof(*w));

	if (!w)
		return NULL;
	w->id = cmd->id;
	w->unit = cmd->bio->addr / dev->profile.zone_size * zone_units(dev);
	w->nr_left = 1;
	iomap_list_init(&w->node);
	dev->sim->nr_changes++;
	return w;
}

static int check(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	if (bio->op == IOMAP_BIO_DISCARD || bio->op == IOMAP_BIO_WRITE_ZEROES)
		return -EOPNOTSUPP;
	if (bio->op != IOMAP_BIO_WRITE && bio->addr % dev->profile.zone_size)
		return -EINVAL;
	return bio->op == IOMAP_BIO_ZONE_APPEND && bio->len > dev->profile.max_append ? -EINVAL : 0;
}

int iomapi_sim_zone_accept(struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	const struct iomap_bio *bio = cmd->bio;
	uint64_t index = bio->addr / dev->profile.zone_size;
	int rc = check(dev, bio);
	struct iomapi_sim_zone *z = rc ? NULL : iomapi_sim_zone_know(dev, index);
	struct iomapi_sim_write *w;

	if (rc)
		return rc;
	/* Wherever an append goes, there is room. */
	if (!z || iomapi_sim_make_chunks(dev, index * zone_units(dev), zone_units(dev)))
		return -ENOMEM;
	if (bio->op == IOMAP_BIO_ZONE_OPEN || bio->op == IOMAP_BIO_ZONE_CLOSE)
		return 0;
	if (bio->op == IOMAP_BIO_ZONE_RESET || bio->op == IOMAP_BIO_ZONE_FINISH)
		w = accept_change(dev, cmd);
	else
		w = iomapi_sim_accept(dev, cmd, 0,
				      (uint32_t)(bio->len / dev->profile.logical_block));
	if (!w)
		return -ENOMEM;
	w->zone = z;
	w->op = bio->op;
	iomap_list_del(&w->node);
	iomap_list_add_tail(&z->accepted, &w->node);
	cmd->writes[0] = w;
	return 0;
}

/* ---- which zones are open ---- */

static bool is_open(uint8_t state)
{
	return state == IOMAPI_SIM_ZONE_IMPLICIT || state == IOMAPI_SIM_ZONE_EXPLICIT;
}

uint8_t iomapi_sim_zone_rest(const struct iomapi_sim_dev *dev, const struct iomapi_sim_zone *z)
{
	if (!z->now.at)
		return IOMAPI_SIM_ZONE_EMPTY;
	return z->now.at == capacity(dev) ? IOMAPI_SIM_ZONE_FULL : IOMAPI_SIM_ZONE_CLOSED;
}

/* Without deciding anything: a power cut closes all. */
static uint8_t state_of(const struct iomapi_sim_dev *dev, uint64_t index)
{
	const struct iomapi_sim_image *image = &dev->image;

	for (; !image->zones[index].known; image = image->below)
		if (image->cut)
			return IOMAPI_SIM_ZONE_CLOSED;
	return image->zones[index].state;
}

/* Room for one more: the one that was opened first, and that nobody has asked to be open, is
 * closed for it. */
static int make_room(struct iomapi_sim_dev *dev)
{
	struct iomapi_sim_zone *first = NULL;
	uint32_t nr = 0;

	for (uint64_t i = 0; i < iomapi_sim_nr_zones(dev); i++) {
		struct iomapi_sim_zone *z;

		if (!is_open(state_of(dev, i)))
			continue;
		z = iomapi_sim_zone_know(dev, i);
		nr++;
		if (z && z->state == IOMAPI_SIM_ZONE_IMPLICIT &&
		    (!first || z->opened < first->opened))
			first = z;
	}
	if (!dev->profile.max_open_zones || nr < dev->profile.max_open_zones)
		return 0;
	if (!first)
		return -EOVERFLOW;
	first->state = iomapi_sim_zone_rest(dev, first);
	return 0;
}

static int open_zone(const struct iomapi_sim_cmd *cmd, struct iomapi_sim_zone *z, uint8_t how)
{
	int rc = is_open(z->state) ? 0 : make_room(cmd->dev);

	if (rc)
		return rc;
	if (!is_open(z->state))
		z->opened = cmd->id;
	if (z->state != IOMAPI_SIM_ZONE_EXPLICIT)
		z->state = how;
	return 0;
}

static int open_or_close(const struct iomapi_sim_cmd *cmd, struct iomapi_sim_zone *z)
{
	if (z->state == IOMAPI_SIM_ZONE_FULL)
		return -EIO;
	if (cmd->bio->op == IOMAP_BIO_ZONE_OPEN)
		return open_zone(cmd, z, IOMAPI_SIM_ZONE_EXPLICIT);
	if (z->state == IOMAPI_SIM_ZONE_EMPTY)
		return -EIO;
	z->state = iomapi_sim_zone_rest(cmd->dev, z);
	return 0;
}

/* ---- linearised ---- */

bool iomapi_sim_zone_fits(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			  const struct iomapi_sim_pointer *now, uint32_t *at)
{
	*at = 0;
	if (!is_write(w))
		return true;
	*at = now->at;
	if (w->op == IOMAP_BIO_WRITE && w->unit % zone_units(dev) != now->at)
		return false;
	return w->nr_units <= capacity(dev) - now->at;
}

void iomapi_sim_zone_advance(const struct iomapi_sim_dev *dev, struct iomapi_sim_pointer *now,
			     const struct iomapi_sim_write *w, uint32_t at, uint32_t units)
{
	if (is_write(w))
		now->at = now->filled = at + units;
	else if (units && w->op == IOMAP_BIO_ZONE_RESET)
		now->at = now->filled = 0;
	else if (units)
		now->at = capacity(dev);
}

static bool never_tears(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			uint32_t at, uint32_t atomic)
{
	uint64_t block = dev->profile.logical_block;
	uint64_t unit = w->unit / zone_units(dev) * zone_units(dev) + at;

	return !is_write(w) ||
	       iomapi_sim_never_tears(dev, unit * block, w->nr_units * block, atomic);
}

bool iomapi_sim_zone_is_whole(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			      uint32_t at)
{
	return never_tears(dev, w, at, dev->profile.atomic_power_fail);
}

uint32_t iomapi_sim_zone_all(const struct iomapi_sim_write *w)
{
	return is_write(w) ? w->nr_units : 1;
}

/* How many of its units reads see; a reset or finish is one, done or not. */
static uint32_t seen_of(const struct iomapi_sim_cmd *cmd, const struct iomapi_sim_write *w,
			uint32_t at)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	uint32_t all = iomapi_sim_zone_all(w), units = cmd->hit.units;
	bool whole = never_tears(dev, w, at, dev->profile.atomic_normal);

	if (!cmd->hit.status || (units != IOMAPI_SIM_CHOSEN && units >= all))
		return all;
	if (units == IOMAPI_SIM_CHOSEN)
		return whole ? all * iomap_sim_choose(dev->sim, "failed", 2)
			     : iomap_sim_choose(dev->sim, "failed", all + 1);
	return whole ? 0 : units;
}

static struct iomapi_sim_version **top_of(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	return &iomapi_sim_chunk(&dev->image, unit)->top[unit % IOMAPI_SIM_CHUNK];
}

static void take_effect(struct iomapi_sim_cmd *cmd, struct iomapi_sim_write *w, uint32_t at)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	struct iomapi_sim_zone *z = w->zone;

	dev->sim->nr_changes++;
	w->seen = seen_of(cmd, w, at);
	w->whole = iomapi_sim_zone_is_whole(dev, w, at);
	w->unit = w->unit / zone_units(dev) * zone_units(dev) + at;
	if (!cmd->hit.status)
		iomapi_sim_mend(dev, w);
	for (uint32_t i = 0; is_write(w) && i < w->seen; i++) {
		w->versions[i].below = *top_of(dev, w->unit + i);
		*top_of(dev, w->unit + i) = &w->versions[i];
	}
	iomapi_sim_zone_advance(dev, &z->now, w, at, w->seen);
	if (z->now.at == capacity(dev) || (w->op == IOMAP_BIO_ZONE_RESET && w->seen))
		z->state = iomapi_sim_zone_rest(dev, z);
	w->stage = IOMAPI_SIM_LINEARISED;
	iomap_list_del(&w->node);
	iomap_list_add_tail(&z->log, &w->node);
}

void iomapi_sim_zone_linearise(struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	struct iomapi_sim_write *w = cmd->writes[0];
	struct iomapi_sim_hit *hit = &cmd->hit;
	bool open = cmd->bio->op == IOMAP_BIO_ZONE_OPEN || cmd->bio->op == IOMAP_BIO_ZONE_CLOSE;
	uint32_t at;
	int rc = 0;

	if (open && !hit->status)
		hit->status = open_or_close(cmd, iomapi_sim_zone_know(dev, cmd->bio->addr /
							dev->profile.zone_size));
	if (!w)
		return;
	cmd->covers = dev->image.nr_completed;	/* by a flush behind it */
	if (!iomapi_sim_zone_fits(dev, w, &w->zone->now, &at))
		rc = -EIO;
	else if (is_write(w))
		rc = open_zone(cmd, w->zone, IOMAPI_SIM_ZONE_IMPLICIT);
	if (!rc) {
		take_effect(cmd, w, at);
		return;
	}
	dev->sim->nr_changes++;
	iomapi_sim_reject(dev, w);
	cmd->writes[0] = NULL;
	hit->status = hit->status ? hit->status : rc;
}

/* ---- durable ---- */

/* What lies below it can never come back. */
static void persist_unit(struct iomapi_sim_dev *dev, struct iomapi_sim_version *v, uint64_t unit)
{
	struct iomapi_sim_version **link = top_of(dev, unit);

	iomapi_sim_move(dev, unit, &v->content);
	while (*link && *link != v)
		link = &(*link)->below;
	*link = NULL;
}

void iomapi_sim_zone_persist(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w)
{
	struct iomapi_sim_zone *z = w->zone;

	for (uint32_t i = 0; is_write(w) && i < w->seen; i++)
		persist_unit(dev, &w->versions[i], w->unit + i);
	iomapi_sim_zone_advance(dev, &z->durable, w, (uint32_t)(w->unit % zone_units(dev)),
				w->seen);
	if (w->stage == IOMAPI_SIM_COMPLETED) {
		iomapi_sim_reject(dev, w);
		return;
	}
	w->nr_left = 0;		/* it goes when it completes */
	iomap_list_del(&w->node);
	iomap_list_add_tail(&z->carried, &w->node);
}

/* With all that came before it. */
static void persist_until(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *last)
{
	struct iomap_list *log = &last->zone->log;
	struct iomapi_sim_write *w;

	do {
		w = write_of(log->next);
		iomapi_sim_zone_persist(dev, w);
	} while (w != last);
}

void iomapi_sim_zone_complete(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w, bool durable)
{
	w->stage = IOMAPI_SIM_COMPLETED;
	dev->sim->nr_changes++;
	w->completed = ++dev->image.nr_completed;
	if (!w->nr_left)
		iomapi_sim_reject(dev, w);
	else if (durable)
		persist_until(dev, w);
}

void iomapi_sim_zone_fail(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w)
{
	w->stage = IOMAPI_SIM_COMPLETED;
	dev->sim->nr_changes++;
	w->completed = IOMAPI_SIM_NEVER;
	if (!w->nr_left)
		iomapi_sim_reject(dev, w);
}

void iomapi_sim_zones_persist(struct iomapi_sim_dev *dev, uint64_t completed)
{
	uint64_t nr = dev->image.zones ? iomapi_sim_nr_zones(dev) : 0;

	for (uint64_t i = 0; i < nr; i++) {
		struct iomap_list *log = &dev->image.zones[i].log, *l = log->prev;

		for (; l != log; l = l->prev)
			if (write_of(l)->stage == IOMAPI_SIM_COMPLETED &&
			    write_of(l)->completed <= completed)
				break;
		dev->sim->nr_changes += log->next != log;
		if (l != log)
			persist_until(dev, write_of(l));
	}
}

void iomapi_sim_zones_forget(struct iomapi_sim_dev *dev, uint64_t completed)
{
	uint64_t nr = dev->image.zones ? iomapi_sim_nr_zones(dev) : 0;

	for (uint64_t i = 0; i < nr; i++) {
		struct iomap_list *log = &dev->image.zones[i].log;

		for (struct iomap_list *l = log->next; l != log; l = l->next)
			if (write_of(l)->stage == IOMAPI_SIM_COMPLETED &&
			    write_of(l)->completed <= completed)
				write_of(l)->completed = IOMAPI_SIM_NEVER;
	}
}

/* ---- to look at ---- */

bool iomapi_sim_zone_holds(struct iomapi_sim_dev *dev, uint64_t unit)
{
	const struct iomapi_sim_zone *z = iomapi_sim_zone_know(dev, unit / zone_units(dev));

	return z && unit % zone_units(dev) < z->now.filled;
}

int iomapi_sim_zone_report(struct iomapi_sim_dev *dev, uint64_t from, struct iomap_zone *zones,
			   unsigned nr_zones)
{
	static const uint8_t states[] = {
		[IOMAPI_SIM_ZONE_EMPTY] = IOMAP_ZONE_EMPTY,
		[IOMAPI_SIM_ZONE_IMPLICIT] = IOMAP_ZONE_OPEN,
		[IOMAPI_SIM_ZONE_EXPLICIT] = IOMAP_ZONE_OPEN,
		[IOMAPI_SIM_ZONE_CLOSED] = IOMAP_ZONE_CLOSED,
		[IOMAPI_SIM_ZONE_FULL] = IOMAP_ZONE_FULL,
	};
	const struct iomap_sim_profile *p = &dev->profile;
	unsigned n = 0;

	if (!p->zone_size)
		return -EOPNOTSUPP;
	for (uint64_t i = from / p->zone_size; i < iomapi_sim_nr_zones(dev) && n < nr_zones; i++) {
		const struct iomapi_sim_zone *z = iomapi_sim_zone_know(dev, i);

		if (!z)
			return -ENOMEM;
		zones[n++] = (struct iomap_zone){
			.start = i * p->zone_size, .len = p->zone_size,
			.capacity = p->zone_capacity, .state = states[z->state],
			.write_pointer = i * p->zone_size +
					 (uint64_t)z->now.at * p->logical_block,
		};
	}
	return (int)n;
}
