/* SPDX-License-Identifier: MIT */
/*
 * image.c - what a device holds: durable bytes, and above them what has been written since.
 *
 *	chunk			512 units that are looked up together, made at the first write
 *	 durable[unit]		content; of a unit that was never written noise of its own
 *	 top[unit] -> version -> version -> ..	newest first, each of a linearised write
 *	dev->accepted		writes that have had no effect yet
 *	dev->writes		writes with a version that counts, as they were linearised
 *
 * A write that fails leaves versions that no flush covers.  Reads see some of them and look below
 * the others, which a power failure may bring up all the same: until it is overwritten such a unit
 * is old or new.
 *
 * A version becomes durable when its write completes on a device without a cache, or with FUA, or
 * when a flush covers it; then it and all below it go: the unit cannot become older again.
 *
 * After a power failure each group of units of what is left survives or not: a write within the
 * power-fail atomic unit is one group, else each unit is.  With an order the survivors are a
 * prefix, of the device or of each queue.  Applied oldest first, a unit ends with any of its
 * versions, or with the durable one.
 *
 * Content is copied once, when a write is accepted, and hashed then.  From there on it moves: from
 * a version to what is durable, or back to the device's spare units.
 */
#include <errno.h>
#include <string.h>

#include "sim.h"

/* Keys of content without bytes: noise of that stream and, from bit 40 on, of that write; or: */
enum { STREAM_NEVER_WRITTEN = 1, STREAM_DISCARDED, STREAM_SHORN, STREAM_DAMAGED };
#define KEY_ZEROS	UINT64_MAX
#define KEY_ONES	(UINT64_MAX - 1)

static struct iomapi_sim_write *write_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_write, node);
}

#define for_each_write(w, dev) \
	for ((w) = write_of((dev)->writes.next); &(w)->node != &(dev)->writes; \
	     (w) = write_of((w)->node.next))

int iomapi_sim_image_new(struct iomapi_sim_dev *dev)
{
	uint64_t nr = (dev->nr_units + IOMAPI_SIM_CHUNK - 1) / IOMAPI_SIM_CHUNK;

	iomap_list_init(&dev->accepted);
	iomap_list_init(&dev->writes);
	dev->chunks = iomapi_sim_zalloc(nr * sizeof(struct iomapi_sim_chunk *));
	return dev->chunks ? 0 : -ENOMEM;
}

/* ---- content ---- */

static uint8_t *unit_new(struct iomapi_sim_dev *dev)
{
	uint8_t *unit = dev->spare_units;

	if (!unit)
		return iomapi_sim_alloc(dev->profile.logical_block);
	memcpy(&dev->spare_units, unit, sizeof(void *));
	return unit;
}

static void unit_free(struct iomapi_sim_dev *dev, uint8_t *unit)
{
	if (!unit)
		return;
	iomapi_sim_poison(unit, dev->profile.logical_block);
	memcpy(unit, &dev->spare_units, sizeof(void *));
	dev->spare_units = unit;
}

static void move(struct iomapi_sim_dev *dev, struct iomapi_sim_content *to,
		 struct iomapi_sim_content *from)
{
	unit_free(dev, to->bytes);
	*to = *from;
	from->bytes = NULL;
}

static void make_noise(struct iomapi_sim_dev *dev, struct iomapi_sim_content *to, uint64_t stream,
		       uint64_t write_id)
{
	struct iomapi_sim_content noise = { NULL, stream | write_id << 40 };

	move(dev, to, &noise);
}

/* Copy it out; returns its hash. */
static uint64_t show(const struct iomapi_sim_dev *dev, const struct iomapi_sim_content *c,
		     uint64_t unit, uint8_t *mem)
{
	size_t len = dev->profile.logical_block;
	uint64_t seed = dev->sim->choice.seed, stream = c->key | (uint64_t)dev->index << 32;

	if (c->bytes) {
		memcpy(mem, c->bytes, len);
		return c->key;
	}
	if (c->key == KEY_ZEROS || c->key == KEY_ONES)
		memset(mem, c->key == KEY_ONES ? 0xff : 0, len);
	else
		iomapi_sim_noise(mem, len, seed, stream, unit);
	return iomapi_sim_mix(seed, stream, unit, 1);
}

/* ---- lists and chunks ---- */

static void free_write(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	for (uint32_t i = 0; i < write->nr_units; i++)
		unit_free(dev, write->versions[i].content.bytes);
	iomapi_sim_free(write);
}

static void free_all(struct iomapi_sim_dev *dev, struct iomap_list *writes)
{
	struct iomap_list *l;

	while ((l = iomap_list_pop(writes)))
		free_write(dev, write_of(l));
}

static void free_chunk(struct iomapi_sim_dev *dev, struct iomapi_sim_chunk *chunk)
{
	if (!chunk)
		return;
	for (unsigned i = 0; i < IOMAPI_SIM_CHUNK; i++)
		unit_free(dev, chunk->durable[i].bytes);
	iomapi_sim_free(chunk);
}

void iomapi_sim_image_delete(struct iomapi_sim_dev *dev)
{
	uint64_t nr = (dev->nr_units + IOMAPI_SIM_CHUNK - 1) / IOMAPI_SIM_CHUNK;

	if (!dev->chunks)
		return;
	free_all(dev, &dev->accepted);
	free_all(dev, &dev->writes);
	for (uint64_t i = 0; i < nr; i++)
		free_chunk(dev, dev->chunks[i]);
	iomapi_sim_free(dev->chunks);
	while (dev->spare_units)
		iomapi_sim_free(unit_new(dev));
}

static struct iomapi_sim_chunk *chunk_of(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	return dev->chunks[unit / IOMAPI_SIM_CHUNK];
}

/* Made when a write is accepted, so that nothing later needs memory. */
static int make_chunks(struct iomapi_sim_dev *dev, uint64_t unit, uint32_t nr)
{
	for (uint64_t i = unit / IOMAPI_SIM_CHUNK; i <= (unit + nr - 1) / IOMAPI_SIM_CHUNK; i++) {
		struct iomapi_sim_chunk *chunk;

		if (dev->chunks[i])
			continue;
		chunk = iomapi_sim_zalloc(sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		for (unsigned k = 0; k < IOMAPI_SIM_CHUNK; k++)
			chunk->durable[k].key = STREAM_NEVER_WRITTEN;
		dev->chunks[i] = chunk;
	}
	return 0;
}

static struct iomapi_sim_content *durable(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	return &chunk_of(dev, unit)->durable[unit % IOMAPI_SIM_CHUNK];
}

static struct iomapi_sim_version **top_of(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	return &chunk_of(dev, unit)->top[unit % IOMAPI_SIM_CHUNK];
}

/* ---- writes ---- */

static uint64_t key_of(const struct iomapi_sim_dev *dev, const struct iomapi_sim_cmd *cmd)
{
	if (cmd->bio->op == IOMAP_BIO_WRITE_ZEROES)
		return KEY_ZEROS;
	switch (dev->profile.discard) {
	case IOMAP_SIM_DISCARD_ZEROS:
		return KEY_ZEROS;
	case IOMAP_SIM_DISCARD_ONES:
		return KEY_ONES;
	}
	return STREAM_DISCARDED | cmd->id << 40;
}

/* Copy what the command brings, from unit first on; false: no memory. */
static bool fill(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write,
		 struct iomapi_sim_cmd *cmd, uint32_t first)
{
	size_t len = dev->profile.logical_block;
	struct iomapi_sim_cursor at = iomapi_sim_cursor(cmd->bio, first * len);

	for (uint32_t i = 0; i < write->nr_units; i++) {
		struct iomapi_sim_content *c = &write->versions[i].content;

		if (cmd->bio->op != IOMAP_BIO_WRITE) {
			c->key = key_of(dev, cmd);
			continue;
		}
		c->bytes = unit_new(dev);
		if (!c->bytes)
			return false;
		iomapi_sim_gather(&at, c->bytes, len);
		c->key = iomapi_sim_hash(c->bytes, len);
		cmd->hash = iomapi_sim_fold(cmd->hash, c->key);
	}
	return true;
}

struct iomapi_sim_write *iomapi_sim_accept(struct iomapi_sim_dev *dev, struct iomapi_sim_cmd *cmd,
					   uint32_t first, uint32_t nr)
{
	uint64_t unit = cmd->bio->addr / dev->profile.logical_block + first;
	bool fails = cmd->hit.status;
	size_t size = offsetof(struct iomapi_sim_write, versions) +
		      nr * sizeof(struct iomapi_sim_version);
	struct iomapi_sim_write *write = iomapi_sim_alloc(size + (fails ? nr : 0));

	if (!write)
		return NULL;
	memset(write, 0, size + (fails ? nr : 0));
	write->id = cmd->id;
	write->unit = unit;
	write->nr_units = write->nr_left = nr;
	write->queue = cmd->queue->index % dev->profile.nr_queues;
	if (fails)
		write->hidden = (uint8_t *)write + size;
	for (uint32_t i = 0; i < nr; i++)
		write->versions[i].write = write;
	if (make_chunks(dev, unit, nr) || !fill(dev, write, cmd, first)) {
		free_write(dev, write);
		return NULL;
	}
	iomap_list_add_tail(&dev->accepted, &write->node);
	return write;
}

void iomapi_sim_reject(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	if (!write)
		return;
	iomap_list_del(&write->node);
	free_write(dev, write);
}

static uint64_t unit_of(const struct iomapi_sim_version *v)
{
	return v->write->unit + (uint64_t)(v - v->write->versions);
}

/* Freed with its last version, but not before it has completed. */
static void release(struct iomapi_sim_write *write)
{
	if (write->nr_left || write->stage != IOMAPI_SIM_COMPLETED)
		return;
	iomap_list_del(&write->node);
	iomapi_sim_free(write);
}

static void drop(struct iomapi_sim_dev *dev, struct iomapi_sim_version *v)
{
	struct iomapi_sim_write *write = v->write;

	unit_free(dev, v->content.bytes);
	v->content.bytes = NULL;
	v->write = NULL;
	write->nr_left--;
	release(write);
}

/* v is durable from now on: what lies below it can never come back. */
static void persist_unit(struct iomapi_sim_dev *dev, struct iomapi_sim_version *v)
{
	uint64_t unit = unit_of(v);
	struct iomapi_sim_version **link = top_of(dev, unit);

	move(dev, durable(dev, unit), &v->content);
	while (*link != v)
		link = &(*link)->below;
	*link = NULL;
	while (v) {
		struct iomapi_sim_version *below = v->below;

		drop(dev, v);
		v = below;
	}
}

static void persist_write(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	uint32_t nr = write->nr_units;

	write->nr_left++;	/* it stays until we are through */
	for (uint32_t i = 0; i < nr; i++)
		if (write->versions[i].write)
			persist_unit(dev, &write->versions[i]);
	write->nr_left--;
	release(write);
}

void iomapi_sim_linearise(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	write->stage = IOMAPI_SIM_LINEARISED;
	iomap_list_del(&write->node);
	iomap_list_add_tail(&dev->writes, &write->node);
	for (uint32_t i = 0; i < write->nr_units; i++) {
		struct iomapi_sim_version **top = top_of(dev, write->unit + i);

		write->versions[i].below = *top;
		*top = &write->versions[i];
	}
}

void iomapi_sim_complete(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, bool durable)
{
	write->stage = IOMAPI_SIM_COMPLETED;
	write->completed = ++dev->nr_completed;
	if (durable)
		persist_write(dev, write);
	else
		release(write);		/* a later write of its units may be durable already */
}

void iomapi_sim_fail(struct iomapi_sim_write *write)
{
	write->stage = IOMAPI_SIM_COMPLETED;
	write->completed = IOMAPI_SIM_NEVER;
	release(write);
}

void iomapi_sim_persist(struct iomapi_sim_dev *dev, uint64_t completed)
{
	struct iomap_list *l = dev->writes.next, *next;

	for (; l != &dev->writes; l = next) {
		struct iomapi_sim_write *write = write_of(l);

		next = l->next;		/* stays: what goes with it stands before it */
		if (write->stage == IOMAPI_SIM_COMPLETED && write->completed <= completed)
			persist_write(dev, write);
	}
}

uint64_t iomapi_sim_read_unit(const struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem)
{
	static const struct iomapi_sim_content never = { NULL, STREAM_NEVER_WRITTEN };
	const struct iomapi_sim_version *top;

	if (!chunk_of(dev, unit))
		return show(dev, &never, unit, mem);
	top = *top_of(dev, unit);
	while (top && top->write->hidden && top->write->hidden[top - top->write->versions])
		top = top->below;
	return show(dev, top ? &top->content : durable(dev, unit), unit, mem);
}

void iomapi_sim_forget(struct iomapi_sim_dev *dev, uint64_t completed)
{
	struct iomapi_sim_write *w;

	for_each_write(w, dev)
		if (w->stage == IOMAPI_SIM_COMPLETED && w->completed <= completed)
			w->completed = IOMAPI_SIM_NEVER;
}

/* ---- groups ---- */

bool iomapi_sim_is_atomic(const struct iomapi_sim_dev *dev, uint64_t addr, uint64_t len)
{
	const struct iomap_sim_profile *p = &dev->profile;

	if (len > p->atomic_power_fail)
		return false;
	return !p->atomic_boundary ||
	       addr / p->atomic_boundary == (addr + len - 1) / p->atomic_boundary;
}

static bool is_one_group(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write)
{
	uint64_t block = dev->profile.logical_block;

	return iomapi_sim_is_atomic(dev, write->unit * block, write->nr_units * block);
}

void iomapi_sim_tear(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, uint32_t units)
{
	bool whole = is_one_group(dev, write), chosen = units == IOMAPI_SIM_CHOSEN;

	for (uint32_t i = 0; i < write->nr_units; i++) {
		if (!chosen)
			write->hidden[i] = i >= units;
		else if (i && whole)
			write->hidden[i] = write->hidden[0];
		else
			write->hidden[i] = (uint8_t)iomap_sim_choose(dev->sim, "failed", 2);
	}
}

/* ---- after a power failure ---- */

static uint32_t nr_groups(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write)
{
	return is_one_group(dev, write) ? 1 : write->nr_units;
}

static bool is_shorn(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write)
{
	return dev->profile.shorn_sectors && write->stage != IOMAPI_SIM_COMPLETED &&
	       !iomap_sim_choose(dev->sim, "shorn", 4);
}

static void survive(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, uint32_t group)
{
	bool whole = is_one_group(dev, write), shorn = !whole && is_shorn(dev, write);

	for (uint32_t i = whole ? 0 : group; i < (whole ? write->nr_units : group + 1); i++) {
		struct iomapi_sim_version *v = &write->versions[i];
		uint64_t unit = write->unit + i;

		if (!v->write)
			continue;	/* a later one is known to be durable */
		if (shorn)
			make_noise(dev, durable(dev, unit), STREAM_SHORN, write->id);
		else
			move(dev, durable(dev, unit), &v->content);
	}
}

/* Bytes that shared a physical block with what was being written. */
static void damage_neighbours(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write)
{
	uint32_t per = dev->profile.physical_block / dev->profile.logical_block;
	uint64_t first = write->unit - write->unit % per;
	uint64_t end = (write->unit + write->nr_units + per - 1) / per * per;

	if (dev->profile.power_safe_overwrite || per == 1 ||
	    write->stage == IOMAPI_SIM_COMPLETED || iomap_sim_choose(dev->sim, "damage", 4))
		return;
	for (uint64_t unit = first; unit < end && unit < dev->nr_units; unit++) {
		if (unit - write->unit < write->nr_units || !chunk_of(dev, unit) ||
		    durable(dev, unit)->key == STREAM_NEVER_WRITTEN)
			continue;
		if (iomap_sim_choose(dev->sim, "neighbour", 2))
			make_noise(dev, durable(dev, unit), STREAM_DAMAGED, write->id);
	}
}

/* Which prefix a write belongs to. */
static uint32_t line_of(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write)
{
	return dev->profile.order == IOMAP_SIM_ORDER_FIFO ? 0 : write->queue;
}

static void survive_each(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w)
{
	for (uint32_t g = 0; g < nr_groups(dev, w); g++)
		if (iomap_sim_choose(dev->sim, "survive", 2))
			survive(dev, w, g);
}

/* A prefix of the device's groups, or of those of each queue; what failed has no place in it. */
static void survive_prefixes(struct iomapi_sim_dev *dev)
{
	uint32_t left[IOMAPI_SIM_QUEUES] = { 0 };
	struct iomapi_sim_write *w;

	for_each_write(w, dev)
		if (w->completed != IOMAPI_SIM_NEVER)
			left[line_of(dev, w)] += nr_groups(dev, w);
	for (unsigned i = 0; i < IOMAPI_SIM_QUEUES; i++)
		left[i] = iomap_sim_choose(dev->sim, "prefix", left[i] + 1);
	for_each_write(w, dev) {
		uint32_t *mine = &left[line_of(dev, w)];

		if (w->completed == IOMAPI_SIM_NEVER) {
			survive_each(dev, w);
			continue;
		}
		for (uint32_t g = 0; *mine && g < nr_groups(dev, w); g++, --*mine)
			survive(dev, w, g);
	}
}

static void survive_any(struct iomapi_sim_dev *dev)
{
	struct iomapi_sim_write *w;

	for_each_write(w, dev)
		survive_each(dev, w);
}

void iomapi_sim_settle(struct iomapi_sim_dev *dev)
{
	struct iomapi_sim_write *w;
	struct iomap_list *l;

	while ((l = iomap_list_pop(&dev->accepted)))	/* in flight: perhaps there */
		iomap_list_add_tail(&dev->writes, l);
	if (dev->profile.order == IOMAP_SIM_ORDER_ANY)
		survive_any(dev);
	else
		survive_prefixes(dev);
	for_each_write(w, dev) {
		damage_neighbours(dev, w);
		for (uint64_t unit = w->unit; unit < w->unit + w->nr_units; unit++)
			*top_of(dev, unit) = NULL;
	}
	free_all(dev, &dev->writes);
}
