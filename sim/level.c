/* SPDX-License-Identifier: MIT */
/*
 * level.c - worlds that are undone.
 *
 * The simulation itself is put aside as it stands and goes on above: no commands, no events, no
 * rules, devices that show what is below them.  Nothing of what was put aside is touched but fates,
 * which are remembered.  To undo is to take it back.
 *
 * Memory of a level comes from blocks that it keeps; nothing is given back before its end.
 */
#include <errno.h>
#include <string.h>

#include "oracle.h"
#include "task.h"

#define BLOCK	((size_t)256 << 10)
#define ALIGN	((size_t)16)

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(16) uint8_t mem[];
};
struct remembered {
	uint8_t **fates;
	size_t nr, max;
};
struct iomapi_sim_level {
	struct iomap_sim sim;			/* put aside */
	struct iomapi_sim_dev *devs;
	unsigned nr_above;			/* devices that have one above them */
	struct block *first, *now;
	struct remembered remembered;
	bool out_of_memory;
};

/* ---- memory ---- */

static struct block *add_block(struct iomapi_sim_level *level, size_t size)
{
	struct block *b = iomapi_sim_alloc(sizeof(*b) + (size > BLOCK ? size : BLOCK));

	if (!b)
		return NULL;
	b->size = size > BLOCK ? size : BLOCK;
	b->used = 0;
	if (level->now) {
		b->next = level->now->next;
		level->now->next = b;
	} else {
		b->next = NULL;
		level->first = b;
	}
	level->now = b;
	return b;
}

void *iomapi_sim_level_alloc(struct iomap_sim *sim, size_t size)
{
	struct iomapi_sim_level *level = sim->level;
	struct block *b;

	if (!level)
		return iomapi_sim_alloc(size);
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	while ((b = level->now) && b->size - b->used < size && b->next) {
		level->now = b->next;
		level->now->used = 0;
	}
	if (!b || b->size - b->used < size)
		b = add_block(level, size);
	if (!b)
		return NULL;
	b->used += size;
	return b->mem + b->used - size;
}

void *iomapi_sim_level_zalloc(struct iomap_sim *sim, size_t size)
{
	void *mem = sim->level ? iomapi_sim_level_alloc(sim, size) : iomapi_sim_zalloc(size);

	return mem && sim->level ? memset(mem, 0, size) : mem;
}

void iomapi_sim_level_free(struct iomap_sim *sim, void *mem)
{
	if (!sim->level)
		iomapi_sim_free(mem);
}

static void rewind_blocks(struct iomapi_sim_level *level)
{
	for (struct block *b = level->first; b; b = b == level->now ? NULL : b->next)
		iomapi_sim_poison(b->mem, b->used);
	level->now = level->first;
	if (level->now)
		level->now->used = 0;
}

void iomapi_sim_no_memory(struct iomap_sim *sim)
{
	if (sim->level)
		sim->level->out_of_memory = true;
}

bool iomapi_sim_out_of_memory(const struct iomap_sim *sim)
{
	return sim->level && sim->level->out_of_memory;
}

/* ---- fates ---- */

void iomapi_sim_remember(struct iomap_sim *sim, uint8_t *fate)
{
	struct remembered *r = sim->level ? &sim->level->remembered : NULL;

	if (!r)
		return;
	if (r->nr == r->max) {
		size_t max = r->max ? 2 * r->max : 256;
		uint8_t **more = iomapi_sim_grow(r->fates, max * sizeof(*more));

		if (!more) {
			*fate = 0;
			iomapi_sim_no_memory(sim);
			return;
		}
		r->fates = more;
		r->max = max;
	}
	r->fates[r->nr++] = fate;
}

static void forget_fates(struct remembered *r)
{
	while (r->nr)
		*r->fates[--r->nr] = IOMAPI_SIM_OPEN;
}

/* ---- above and back ---- */

int iomapi_sim_level_new(struct iomap_sim *sim, struct iomapi_sim_level **level)
{
	struct iomapi_sim_level *l = iomapi_sim_zalloc(sizeof(*l));

	*level = l;
	if (!l)
		return -ENOMEM;
	l->devs = iomapi_sim_zalloc(sim->nr_devs * sizeof(*l->devs));
	if (l->devs)
		return 0;
	iomapi_sim_level_delete(level);
	return -ENOMEM;
}

void iomapi_sim_level_delete(struct iomapi_sim_level **level)
{
	struct iomapi_sim_level *l = *level;
	struct block *next;

	if (!l)
		return;
	for (struct block *b = l->first; b; b = next) {
		next = b->next;
		iomapi_sim_free(b);
	}
	iomapi_sim_free(l->remembered.fates);
	iomapi_sim_free(l->devs);
	iomapi_sim_free(l);
	*level = NULL;
}

static void take_back(struct iomapi_sim_dev *dev, const struct iomapi_sim_dev *below)
{
	struct iomapi_sim_write **doubt = dev->image.doubt;
	uint32_t nr = dev->image.nr_doubt;
	uint64_t hazards = dev->nr_hazards;

	*dev = *below;
	dev->nr_hazards = hazards;
	iomapi_sim_thaw(dev, doubt, nr);
}

/* A device that shows what is below it. */
static int put_above(struct iomapi_sim_dev *dev, struct iomapi_sim_dev *below,
		     enum iomapi_sim_left left)
{
	struct iomapi_sim_write **doubt;
	uint32_t nr;
	int rc = iomapi_sim_freeze(dev, &doubt, &nr);

	if (rc)
		return rc;
	*below = *dev;
	memset(dev->busy, 0, sizeof(dev->busy));
	memset(dev->last, 0, sizeof(dev->last));
	iomap_list_init(&dev->in_flight);
	dev->spare_units = NULL;
	dev->nr_open = 0;
	dev->removed = dev->read_only = false;
	rc = iomapi_sim_image_new(dev);
	dev->image.below = &below->image;
	dev->image.doubt = doubt;
	dev->image.nr_doubt = nr;
	dev->image.cut = left == IOMAPI_SIM_SURVIVED;
	dev->image.carried = left == IOMAPI_SIM_CACHED;
	if (rc)
		take_back(dev, below);
	return rc;
}

/* Power does not mend what the medium has suffered. */
static int keep_damage(struct iomap_sim *sim, const struct iomapi_sim_level *level)
{
	for (unsigned i = 0; i < sim->nr_devs; i++)
		sim->devs[i].read_only = level->devs[i].read_only;
	return iomapi_sim_keep_damage(sim, level->sim.rules, level->sim.nr_rules);
}

int iomapi_sim_enter(struct iomap_sim *sim, struct iomapi_sim_level *level,
		     enum iomapi_sim_left left, const struct iomapi_sim_dev *off)
{
	int rc = 0;

	level->sim = *sim;
	level->out_of_memory = false;
	sim->level = level;
	for (level->nr_above = 0; level->nr_above < sim->nr_devs; level->nr_above++) {
		struct iomapi_sim_dev *dev = &sim->devs[level->nr_above];

		rc = put_above(dev, &level->devs[level->nr_above],
			       dev == off ? IOMAPI_SIM_SURVIVED : left);
		if (rc)
			break;
	}
	sim->events = NULL;
	sim->nr_events = sim->max_events = 0;
	sim->nr_passed = sim->cut_at = 0;
	sim->off = false;
	sim->nr_unreaped = 0;
	iomap_list_init(&sim->free_cmds);
	memset(&sim->plain, 0, sizeof(sim->plain));
	memset(&sim->started, 0, sizeof(sim->started));
	sim->tasks = NULL;
	sim->exit = NULL;
	sim->abandoned = false;
	sim->files = NULL;
	sim->hosts = NULL;
	sim->files_busy = false;
	sim->held = 0;
	sim->engine = NULL;
	sim->refused[0] = 0;
	sim->on_submit = NULL;
	sim->rules = NULL;
	sim->nr_rules = 0;
	memset(sim->self, 0, sizeof(sim->self));
	if (!rc && sim->damage_stays)
		rc = keep_damage(sim, level);
	if (rc)
		iomapi_sim_leave(sim);
	return rc;
}

void iomapi_sim_leave(struct iomap_sim *sim)
{
	struct iomapi_sim_level *level = sim->level;
	struct iomap_sim_counter counters[IOMAPI_SIM_NR_KINDS];
	struct iomapi_sim_watchdog *watchdog = sim->watchdog;
	struct iomapi_sim_task *idle;

	iomapi_sim_tasks_drop(sim);
	iomapi_sim_hosts_drop(sim);
	idle = sim->idle;
	iomapi_sim_disarm(sim);
	memcpy(counters, sim->counters, sizeof(counters));
	forget_fates(&level->remembered);
	*sim = level->sim;
	sim->idle = idle;
	sim->watchdog = watchdog;
	memcpy(sim->counters, counters, sizeof(counters));
	while (level->nr_above--)
		take_back(&sim->devs[level->nr_above], &level->devs[level->nr_above]);
	rewind_blocks(level);
}
