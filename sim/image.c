/* SPDX-License-Identifier: MIT */
/*
 * image.c - what a device holds: durable bytes, and above them what has been written since.
 *
 *	chunk			512 units that are looked up together, made at the first write
 *	 bytes[]		durable content; a unit that never was reads as noise of its own
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
 */
#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sim.h"

enum { STREAM_NEVER_WRITTEN = 1, STREAM_DISCARDED, STREAM_SHORN, STREAM_DAMAGED };

/* ---- lists and chunks ---- */

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

static void free_all(struct iomap_list *writes)
{
	struct iomap_list *l;

	while ((l = iomap_list_pop(writes)))
		iomapi_sim_free(write_of(l));
}

void iomapi_sim_image_delete(struct iomapi_sim_dev *dev)
{
	uint64_t nr = (dev->nr_units + IOMAPI_SIM_CHUNK - 1) / IOMAPI_SIM_CHUNK;

	if (!dev->chunks)
		return;
	free_all(&dev->accepted);
	free_all(&dev->writes);
	for (uint64_t i = 0; i < nr; i++) {
		if (dev->chunks[i])
			iomapi_sim_free(dev->chunks[i]->bytes);
		iomapi_sim_free(dev->chunks[i]);
	}
	iomapi_sim_free(dev->chunks);
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
		chunk->bytes = iomapi_sim_alloc((size_t)dev->profile.logical_block *
						IOMAPI_SIM_CHUNK);
		if (!chunk->bytes) {
			iomapi_sim_free(chunk);
			return -ENOMEM;
		}
		dev->chunks[i] = chunk;
	}
	return 0;
}

static uint8_t *durable_bytes(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	return chunk_of(dev, unit)->bytes + unit % IOMAPI_SIM_CHUNK * dev->profile.logical_block;
}

static bool is_known(const struct iomapi_sim_chunk *chunk, uint64_t unit)
{
	unsigned i = unit % IOMAPI_SIM_CHUNK;

	return chunk && chunk->known[i / 64] >> (i % 64) & 1;
}

static void set_known(struct iomapi_sim_chunk *chunk, uint64_t unit)
{
	unsigned i = unit % IOMAPI_SIM_CHUNK;

	chunk->known[i / 64] |= (uint64_t)1 << (i % 64);
}

static void noise(const struct iomapi_sim_dev *dev, uint64_t unit, uint64_t stream, uint8_t *mem)
{
	iomapi_sim_noise(mem, dev->profile.logical_block, dev->sim->choice.seed,
			 stream | (uint64_t)dev->index << 32, unit);
}

/* ---- writes ---- */

static uint8_t fill_of(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	if (bio->op == IOMAP_BIO_WRITE)
		return IOMAPI_SIM_DATA;
	if (bio->op == IOMAP_BIO_WRITE_ZEROES || dev->profile.discard == IOMAP_SIM_DISCARD_ZEROS)
		return IOMAPI_SIM_ZEROS;
	return dev->profile.discard == IOMAP_SIM_DISCARD_ONES ? IOMAPI_SIM_ONES : IOMAPI_SIM_NOISE;
}

/* Bytes of a command's memory from off on. */
static void gather(const struct iomap_bio *bio, size_t off, uint8_t *mem, size_t len)
{
	const struct iomap_bvec *seg = bio->segs;

	for (; off && off >= seg->len; seg++)
		off -= seg->len;
	for (; len; seg++, off = 0) {
		size_t n = seg->len - off < len ? seg->len - off : len;

		memcpy(mem, (const uint8_t *)seg->mem + off, n);
		mem += n;
		len -= n;
	}
}

struct iomapi_sim_write *iomapi_sim_accept(struct iomapi_sim_dev *dev,
					   const struct iomapi_sim_cmd *cmd, uint32_t first,
					   uint32_t nr)
{
	const struct iomap_bio *bio = cmd->bio;
	size_t block = dev->profile.logical_block;
	uint8_t fill = fill_of(dev, bio);
	size_t size = offsetof(struct iomapi_sim_write, versions) +
		      nr * sizeof(struct iomapi_sim_version);
	size_t bytes = fill == IOMAPI_SIM_DATA ? nr * block : 0;
	uint64_t unit = bio->addr / block + first;
	bool fails = cmd->hit.status;
	struct iomapi_sim_write *write;

	write = iomapi_sim_alloc(size + bytes + (fails ? nr : 0));
	if (!write)
		return NULL;
	if (make_chunks(dev, unit, nr)) {
		iomapi_sim_free(write);
		return NULL;
	}
	memset(write, 0, size);
	write->id = cmd->id;
	write->unit = unit;
	write->nr_units = write->nr_left = nr;
	write->queue = cmd->queue->index % dev->profile.nr_queues;
	write->fill = fill;
	if (fill == IOMAPI_SIM_DATA) {
		write->data = (uint8_t *)write + size;
		gather(bio, first * block, write->data, bytes);
		write->hash = XXH64(write->data, bytes, 0);
	}
	if (fails) {
		write->hidden = (uint8_t *)write + size + bytes;
		memset(write->hidden, 0, nr);
	}
	for (uint32_t i = 0; i < nr; i++)
		write->versions[i].write = write;
	iomap_list_add_tail(&dev->accepted, &write->node);
	return write;
}

void iomapi_sim_reject(struct iomapi_sim_write *write)
{
	if (!write)
		return;
	iomap_list_del(&write->node);
	iomapi_sim_free(write);
}

static uint64_t unit_of(const struct iomapi_sim_version *v)
{
	return v->write->unit + (uint64_t)(v - v->write->versions);
}

static void content(const struct iomapi_sim_dev *dev, const struct iomapi_sim_version *v,
		    uint8_t *mem)
{
	size_t len = dev->profile.logical_block;

	switch (v->write->fill) {
	case IOMAPI_SIM_DATA:
		memcpy(mem, v->write->data + (size_t)(v - v->write->versions) * len, len);
		return;
	case IOMAPI_SIM_NOISE:
		noise(dev, unit_of(v), STREAM_DISCARDED | v->write->id << 40, mem);
		return;
	}
	memset(mem, v->write->fill == IOMAPI_SIM_ONES ? 0xff : 0, len);
}

/* Freed with its last version, but not before it has completed. */
static void release(struct iomapi_sim_write *write)
{
	if (write->nr_left || write->stage != IOMAPI_SIM_COMPLETED)
		return;
	iomap_list_del(&write->node);
	iomapi_sim_free(write);
}

static void drop(struct iomapi_sim_version *v)
{
	struct iomapi_sim_write *write = v->write;

	v->write = NULL;
	write->nr_left--;
	release(write);
}

/* v is durable from now on: what lies below it can never come back. */
static void persist_unit(struct iomapi_sim_dev *dev, struct iomapi_sim_version *v)
{
	uint64_t unit = unit_of(v);
	struct iomapi_sim_chunk *chunk = chunk_of(dev, unit);
	struct iomapi_sim_version **link = &chunk->top[unit % IOMAPI_SIM_CHUNK];

	content(dev, v, durable_bytes(dev, unit));
	set_known(chunk, unit);
	while (*link != v)
		link = &(*link)->below;
	*link = NULL;
	while (v) {
		struct iomapi_sim_version *below = v->below;

		drop(v);
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
		uint64_t unit = write->unit + i;
		struct iomapi_sim_version **top =
			&chunk_of(dev, unit)->top[unit % IOMAPI_SIM_CHUNK];

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

void iomapi_sim_read_unit(const struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem)
{
	const struct iomapi_sim_chunk *chunk = chunk_of(dev, unit);
	const struct iomapi_sim_version *top = chunk ? chunk->top[unit % IOMAPI_SIM_CHUNK] : NULL;

	while (top && top->write->hidden && top->write->hidden[top - top->write->versions])
		top = top->below;
	if (top)
		content(dev, top, mem);
	else if (is_known(chunk, unit))
		memcpy(mem, durable_bytes(dev, unit), dev->profile.logical_block);
	else
		noise(dev, unit, STREAM_NEVER_WRITTEN, mem);
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
			noise(dev, unit, STREAM_SHORN | write->id << 40, durable_bytes(dev, unit));
		else
			content(dev, v, durable_bytes(dev, unit));
		set_known(chunk_of(dev, unit), unit);
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
		if (unit - write->unit < write->nr_units || !is_known(chunk_of(dev, unit), unit))
			continue;
		if (iomap_sim_choose(dev->sim, "neighbour", 2))
			noise(dev, unit, STREAM_DAMAGED | write->id << 40,
			      durable_bytes(dev, unit));
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
			chunk_of(dev, unit)->top[unit % IOMAPI_SIM_CHUNK] = NULL;
	}
	free_all(&dev->writes);
}
