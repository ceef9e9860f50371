/* SPDX-License-Identifier: MIT */
/*
 * image.c - what a device holds: durable bytes, and above them what has been written since.
 *
 *	chunk			64 units that are looked up together, made at the first write
 *	 durable[unit]		content; of a unit that was never written noise of its own
 *	 top[unit] -> version -> version -> ..	newest first, each of a linearised write
 *	image->accepted		writes that have had no effect yet
 *	image->writes		writes with a version that counts, as they were linearised
 *
 * A write that fails leaves versions that no flush covers.  Reads see some of them and look below
 * the others, which a power failure may bring up all the same: until it is overwritten such a unit
 * is old or new.
 *
 * A version becomes durable when its write completes on a device without a cache, or with FUA, or
 * when a flush covers it; then it and all below it go: the unit cannot become older again.
 *
 * Content is copied once, when a write is accepted, and hashed then.  From there on it moves: from
 * a version to what is durable, or back to the device's spare units.  A unit of an image above
 * another one may show the content of that: it is not its own then.
 */
#include <errno.h>
#include <string.h>

#include "mutant.h"
#include "zone.h"

#define KEY_ZEROS	UINT64_MAX
#define KEY_ONES	(UINT64_MAX - 1)

static struct iomapi_sim_write *write_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_write, node);
}

#define for_each_write(w, dev) \
	for ((w) = write_of((dev)->image.writes.next); &(w)->node != &(dev)->image.writes; \
	     (w) = write_of((w)->node.next))

static uint64_t nr_chunks(const struct iomapi_sim_dev *dev)
{
	return (dev->nr_units + IOMAPI_SIM_CHUNK - 1) / IOMAPI_SIM_CHUNK;
}

int iomapi_sim_image_new(struct iomapi_sim_dev *dev)
{
	struct iomapi_sim_image *image = &dev->image;

	memset(image, 0, sizeof(*image));
	iomap_list_init(&image->accepted);
	iomap_list_init(&image->writes);
	image->chunks = iomapi_sim_level_zalloc(dev->sim,
						nr_chunks(dev) * sizeof(*image->chunks));
	return image->chunks ? iomapi_sim_zones_new(dev) : -ENOMEM;
}

/* ---- content ---- */

static uint8_t *unit_new(struct iomapi_sim_dev *dev)
{
	uint8_t *unit = dev->spare_units;

	if (!unit)
		return iomapi_sim_level_alloc(dev->sim, dev->profile.logical_block);
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

struct iomapi_sim_content iomapi_sim_noise_of(uint64_t stream, uint64_t write_id)
{
	return (struct iomapi_sim_content){ NULL, stream + write_id * IOMAPI_SIM_NR_STREAMS };
}

/* Copy it out. */
int iomapi_sim_show(const struct iomapi_sim_dev *dev, const struct iomapi_sim_content *c,
		    uint64_t unit, uint8_t *mem, uint64_t *hash)
{
	size_t len = dev->profile.logical_block;
	uint64_t seed = iomapi_sim_fold(dev->sim->noise_seed, dev->index);

	*hash = c->key;
	if (c->bytes) {
		memcpy(mem, c->bytes, len);
		return 0;
	}
	*hash = iomapi_sim_mix(seed, c->key, unit, 1);
	if (c->key == IOMAPI_SIM_UNREADABLE)
		return -EIO;
	if (c->key == KEY_ZEROS || c->key == KEY_ONES)
		memset(mem, c->key == KEY_ONES ? 0xff : 0, len);
	else
		iomapi_sim_noise(mem, len, seed, c->key, unit);
	return 0;
}

/* ---- lists and chunks ---- */

static void free_write(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	for (uint32_t i = 0; i < write->nr_units; i++)
		unit_free(dev, write->versions[i].content.bytes);
	iomapi_sim_level_free(dev->sim, write);
}

void iomapi_sim_free_writes(struct iomapi_sim_dev *dev)
{
	struct iomap_list *l;

	while ((l = iomap_list_pop(&dev->image.accepted)))
		free_write(dev, write_of(l));
	while ((l = iomap_list_pop(&dev->image.writes)))
		free_write(dev, write_of(l));
	iomapi_sim_zones_free_writes(dev);
}

static void free_chunk(struct iomapi_sim_dev *dev, struct iomapi_sim_chunk *chunk)
{
	if (!chunk)
		return;
	for (unsigned i = 0; i < IOMAPI_SIM_CHUNK; i++)
		unit_free(dev, chunk->durable[i].bytes);
	iomapi_sim_level_free(dev->sim, chunk);
}

void iomapi_sim_image_delete(struct iomapi_sim_dev *dev)
{
	if (!dev->image.chunks)
		return;
	iomapi_sim_free_writes(dev);
	for (uint64_t i = 0; i < nr_chunks(dev); i++)
		free_chunk(dev, dev->image.chunks[i]);
	iomapi_sim_level_free(dev->sim, dev->image.chunks);
	iomapi_sim_level_free(dev->sim, dev->image.zones);
	while (dev->spare_units)
		iomapi_sim_level_free(dev->sim, unit_new(dev));
}

struct iomapi_sim_chunk *iomapi_sim_chunk(const struct iomapi_sim_image *image, uint64_t unit)
{
	return image->chunks[unit / IOMAPI_SIM_CHUNK];
}

/* Made when a write is accepted, so that nothing later needs memory. */
int iomapi_sim_make_chunks(struct iomapi_sim_dev *dev, uint64_t unit, uint32_t nr)
{
	for (uint64_t i = unit / IOMAPI_SIM_CHUNK; i <= (unit + nr - 1) / IOMAPI_SIM_CHUNK; i++) {
		struct iomapi_sim_chunk *chunk;

		if (dev->image.chunks[i])
			continue;
		chunk = iomapi_sim_level_zalloc(dev->sim, sizeof(*chunk));
		if (!chunk)
			return -ENOMEM;
		for (unsigned k = 0; k < IOMAPI_SIM_CHUNK; k++)
			chunk->durable[k].key = IOMAPI_SIM_NEVER_WRITTEN;
		chunk->known = dev->image.below ? 0 : UINT64_MAX;
		chunk->own = chunk->known;
		dev->image.chunks[i] = chunk;
	}
	return 0;
}

static struct iomapi_sim_version **top_of(const struct iomapi_sim_dev *dev, uint64_t unit)
{
	return &iomapi_sim_chunk(&dev->image, unit)->top[unit % IOMAPI_SIM_CHUNK];
}

static uint64_t hash_of(uint64_t unit, const struct iomapi_sim_content *c)
{
	return iomapi_sim_mix(unit, c->key, c->bytes != NULL, 0);
}

void iomapi_sim_move(struct iomapi_sim_dev *dev, uint64_t unit, struct iomapi_sim_content *from)
{
	struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(&dev->image, unit);
	unsigned i = unit % IOMAPI_SIM_CHUNK;
	uint64_t bit = (uint64_t)1 << i;

	if (chunk->own & bit) {
		dev->image.hash ^= hash_of(unit, &chunk->durable[i]);
		unit_free(dev, chunk->durable[i].bytes);
	}
	dev->image.hash ^= hash_of(unit, from);
	chunk->durable[i] = *from;
	chunk->known |= bit;
	chunk->own |= bit;
	from->bytes = NULL;
}

/* ---- writes ---- */

bool iomapi_sim_never_tears(const struct iomapi_sim_dev *dev, uint64_t addr, uint64_t len,
			    uint32_t atomic)
{
	uint32_t boundary = dev->profile.atomic_boundary;

	return len <= atomic && (!boundary || addr / boundary == (addr + len - 1) / boundary);
}

/* Nobody knows where an append will be: it counts as if it crossed nothing. */
static bool never_tears(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio,
			uint32_t atomic)
{
	if (bio->op == IOMAP_BIO_ZONE_APPEND)
		return bio->len <= atomic;
	return bio->op == IOMAP_BIO_WRITE &&
	       iomapi_sim_never_tears(dev, bio->addr, bio->len, atomic);
}

bool iomapi_sim_is_one_group(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	return never_tears(dev, bio, dev->profile.atomic_power_fail);
}

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
	return iomapi_sim_noise_of(IOMAPI_SIM_DISCARDED, cmd->id).key;
}

struct iomapi_sim_content iomapi_sim_unwritten(const struct iomapi_sim_dev *dev)
{
	switch (dev->profile.discard) {
	case IOMAP_SIM_DISCARD_ZEROS:
		return (struct iomapi_sim_content){ NULL, KEY_ZEROS };
	case IOMAP_SIM_DISCARD_ONES:
		return (struct iomapi_sim_content){ NULL, KEY_ONES };
	}
	return iomapi_sim_noise_of(IOMAPI_SIM_DISCARDED, 0);
}

/* Copy what the command brings, from unit first on; false: no memory. */
static bool fill(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write,
		 struct iomapi_sim_cmd *cmd, uint32_t first)
{
	size_t len = dev->profile.logical_block;
	struct iomapi_sim_cursor at = iomapi_sim_cursor(cmd->bio, first * len);

	for (uint32_t i = 0; i < write->nr_units; i++) {
		struct iomapi_sim_content *c = &write->versions[i].content;

		if (cmd->bio->op != IOMAP_BIO_WRITE && cmd->bio->op != IOMAP_BIO_ZONE_APPEND) {
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
	uint64_t unit = iomapi_sim_first_unit(cmd) + first;
	bool fails = cmd->hit.status;
	size_t size = offsetof(struct iomapi_sim_write, versions) +
		      nr * sizeof(struct iomapi_sim_version);
	struct iomapi_sim_write *write;

	write = iomapi_sim_level_zalloc(dev->sim, size + nr + (fails ? nr : 0));
	if (!write)
		return NULL;
	write->id = cmd->id;
	write->unit = unit;
	write->first = iomapi_sim_first_unit(cmd);
	write->last = write->first + cmd->bio->len / dev->profile.logical_block - 1;
	write->nr_units = write->nr_left = nr;
	write->queue = cmd->queue->index % dev->profile.nr_queues;
	write->fates = (uint8_t *)write + size;
	if (fails)
		write->hidden = write->fates + nr;
	write->whole = iomapi_sim_is_one_group(dev, cmd->bio);
	write->fua = cmd->bio->flags & IOMAP_BIO_FUA;
	if (iomapi_sim_is(IOMAPI_SIM_NEVER_TEARS))
		write->whole = true;
	if (iomapi_sim_is(IOMAPI_SIM_TEARS_GROUPS))
		write->whole &= nr == 1;
	for (uint32_t i = 0; i < nr; i++)
		write->versions[i].write = write;
	if (iomapi_sim_make_chunks(dev, unit, nr) || !fill(dev, write, cmd, first)) {
		free_write(dev, write);
		return NULL;
	}
	dev->sim->nr_changes++;
	iomap_list_add_tail(&dev->image.accepted, &write->node);
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
static void release(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	if (write->nr_left || write->stage != IOMAPI_SIM_COMPLETED)
		return;
	iomap_list_del(&write->node);
	iomapi_sim_level_free(dev->sim, write);
}

static void drop(struct iomapi_sim_dev *dev, struct iomapi_sim_version *v)
{
	struct iomapi_sim_write *write = v->write;

	unit_free(dev, v->content.bytes);
	v->content.bytes = NULL;
	v->write = NULL;
	write->nr_left--;
	release(dev, write);
}

/* v is durable from now on: what lies below it can never come back. */
static void persist_unit(struct iomapi_sim_dev *dev, struct iomapi_sim_version *v)
{
	uint64_t unit = unit_of(v);
	struct iomapi_sim_version **link = top_of(dev, unit);

	iomapi_sim_move(dev, unit, &v->content);
	while (*link != v)
		link = &(*link)->below;
	*link = NULL;
	if (iomapi_sim_is(IOMAPI_SIM_BRINGS_BACK)) {
		*link = v->below;
		v->below = NULL;
	}
	while (v) {
		struct iomapi_sim_version *below = v->below;

		drop(dev, v);
		v = below;
	}
}

static void persist_all_units(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	uint32_t nr = write->nr_units;

	write->nr_left++;	/* it stays until we are through */
	for (uint32_t i = 0; i < nr; i++)
		if (write->versions[i].write)
			persist_unit(dev, &write->versions[i]);
	write->nr_left--;
	release(dev, write);
}

static bool discards_any(const struct iomapi_sim_write *write)
{
	return write->versions[0].content.key ==
	       iomapi_sim_noise_of(IOMAPI_SIM_DISCARDED, write->id).key;
}

/* Of a discard that promises nothing: it has not happened, or left zeros, or anything. */
static void discard_any(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	for (uint32_t i = 0; i < write->nr_units; i++)
		switch (iomap_sim_choose(dev->sim, "discard", 3)) {
		case 0:
			drop(dev, &write->versions[i]);
			break;
		case 1:
			write->versions[i].content.key = KEY_ZEROS;
		}
}

void iomapi_sim_linearise(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	dev->sim->nr_changes++;
	write->stage = IOMAPI_SIM_LINEARISED;
	iomap_list_del(&write->node);
	iomap_list_add_tail(&dev->image.writes, &write->node);
	if (discards_any(write))
		discard_any(dev, write);
	for (uint32_t i = 0; i < write->nr_units; i++) {
		struct iomapi_sim_version **top = top_of(dev, write->unit + i);

		if (!write->versions[i].write)
			continue;	/* discarded, which nobody sees */
		write->versions[i].below = *top;
		*top = &write->versions[i];
	}
}

/* What fails has no place in an order; nor has anything on a device without one. */
static bool goes_before(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			const struct iomapi_sim_write *later)
{
	if (dev->profile.order == IOMAP_SIM_ORDER_ANY || w->completed == IOMAPI_SIM_NEVER ||
	    w->hidden)
		return false;
	return dev->profile.order == IOMAP_SIM_ORDER_FIFO || w->queue == later->queue;
}

/* With an order, and all that took effect before it. */
static void persist_write(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	struct iomap_list *l = dev->image.writes.next, *next;

	for (; l != &write->node; l = next) {
		next = l->next;
		if (goes_before(dev, write_of(l), write))
			persist_all_units(dev, write_of(l));
	}
	persist_all_units(dev, write);
}

void iomapi_sim_complete(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, bool durable)
{
	if (write->zone) {
		iomapi_sim_zone_complete(dev, write, durable);
		return;
	}
	write->stage = IOMAPI_SIM_COMPLETED;
	dev->sim->nr_changes++;
	write->completed = ++dev->image.nr_completed;
	if (durable)
		persist_write(dev, write);
	else
		release(dev, write);	/* a later write of its units may be durable already */
}

void iomapi_sim_fail(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write)
{
	if (write->zone) {
		iomapi_sim_zone_fail(dev, write);
		return;
	}
	write->stage = IOMAPI_SIM_COMPLETED;
	dev->sim->nr_changes++;
	write->completed = IOMAPI_SIM_NEVER;
	release(dev, write);
}

void iomapi_sim_persist(struct iomapi_sim_dev *dev, uint64_t completed)
{
	struct iomap_list *l = dev->image.writes.next, *next;

	dev->sim->nr_changes += l != &dev->image.writes;
	for (; l != &dev->image.writes; l = next) {
		struct iomapi_sim_write *write = write_of(l);

		next = l->next;		/* stays: what goes with it stands before it */
		if ((write->stage == IOMAPI_SIM_COMPLETED ||
		     iomapi_sim_is(IOMAPI_SIM_COVERS_FLIGHT)) && write->completed <= completed)
			persist_write(dev, write);
	}
	iomapi_sim_zones_persist(dev, completed);
}

static const struct iomapi_sim_content never = { NULL, IOMAPI_SIM_NEVER_WRITTEN };

/* It has been found on the image below, and stays so. */
static const struct iomapi_sim_content *find(struct iomapi_sim_dev *dev, uint64_t unit)
{
	unsigned i = unit % IOMAPI_SIM_CHUNK;
	struct iomapi_sim_chunk *chunk;

	if (iomapi_sim_make_chunks(dev, unit, 1)) {
		iomapi_sim_no_memory(dev->sim);
		return &never;
	}
	chunk = iomapi_sim_chunk(&dev->image, unit);
	chunk->durable[i] = iomapi_sim_resolve(dev, &dev->image, unit);
	chunk->known |= (uint64_t)1 << i;
	return &chunk->durable[i];
}

static int read_written(struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem, uint64_t *hash)
{
	struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(&dev->image, unit);
	unsigned i = unit % IOMAPI_SIM_CHUNK;
	const struct iomapi_sim_version *top = chunk ? chunk->top[i] : NULL;

	while (top && top->write->hidden && top->write->hidden[top - top->write->versions])
		top = top->below;
	if (top)
		return iomapi_sim_show(dev, &top->content, unit, mem, hash);
	if (chunk && chunk->known >> i & 1)
		return iomapi_sim_show(dev, &chunk->durable[i], unit, mem, hash);
	return iomapi_sim_show(dev, dev->image.below ? find(dev, unit) : &never, unit, mem, hash);
}

int iomapi_sim_read_unit(struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem, uint64_t *hash)
{
	struct iomapi_sim_content c;

	if (!dev->image.zones || iomapi_sim_zone_holds(dev, unit))
		return read_written(dev, unit, mem, hash);
	c = iomapi_sim_unwritten(dev);
	return iomapi_sim_show(dev, &c, unit, mem, hash);
}

bool iomapi_sim_read_stale(struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem, uint64_t *hash)
{
	struct iomapi_sim_chunk *chunk = iomapi_sim_chunk(&dev->image, unit);
	unsigned i = unit % IOMAPI_SIM_CHUNK;
	const struct iomapi_sim_version *top = chunk ? chunk->top[i] : NULL;
	const struct iomapi_sim_content *old;

	if (!top)
		return false;
	if (top->below)
		old = &top->below->content;
	else if (chunk->known >> i & 1)
		old = &chunk->durable[i];
	else if (dev->image.below)
		old = find(dev, unit);
	else
		return false;
	return !iomapi_sim_show(dev, old, unit, mem, hash);
}

void iomapi_sim_forget(struct iomapi_sim_dev *dev, uint64_t completed)
{
	struct iomapi_sim_write *w;

	dev->sim->nr_changes++;		/* it has no place in an order any more */
	for_each_write(w, dev)
		if (w->stage == IOMAPI_SIM_COMPLETED && w->completed <= completed)
			w->completed = IOMAPI_SIM_NEVER;
	iomapi_sim_zones_forget(dev, completed);
}

/* ---- tears ---- */

bool iomapi_sim_is_atomic(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	return never_tears(dev, bio, dev->profile.atomic_normal);
}

void iomapi_sim_tear(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, uint32_t units,
		     bool whole)
{
	bool chosen = units == IOMAPI_SIM_CHOSEN;

	for (uint32_t i = 0; i < write->nr_units; i++) {
		if (!chosen)
			write->hidden[i] = i >= units;
		else if (i && whole)
			write->hidden[i] = write->hidden[0];
		else
			write->hidden[i] = (uint8_t)iomap_sim_choose(dev->sim, "failed", 2);
	}
}

uint8_t *iomapi_sim_new_unit(struct iomapi_sim_dev *dev)
{
	return unit_new(dev);
}
