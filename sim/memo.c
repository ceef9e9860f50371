/* SPDX-License-Identifier: MIT */
/*
 * memo.c - crashes that were explored already, in a search that leaves nothing out.
 *
 * Two ways to know.  A path that differs from the last one in its n-th choice is the same until
 * that choice, and so is all that a crash finds there, whatever work keeps in memory.  And where
 * the case can tell what else check depends on (state), a crash that finds the same devices, with
 * the same in doubt, the same acknowledged and the same state, will be judged the same: these are
 * remembered by a hash of 64 bits, so of n crashes two are taken for one once in 2^65 / n^2.
 *
 * What zones hold is not hashed, nor models of files, nor rules: with them there is only the first.
 *
 * Images that are drawn are not all that there are, so there nothing is left out.
 */
#include <errno.h>
#include <stddef.h>

#include "explore.h"
#include "zone.h"

#define MAX_KEYS	((size_t)1 << 24)

/* ---- what was acknowledged ---- */

static bool has_state(const struct iomapi_sim_run *run)
{
	return run->c->struct_size >= offsetof(struct iomap_sim_case, state) +
				      sizeof(run->c->state) && run->c->state;
}

/* The latest of each id, in any order.  Before it is added. */
void iomapi_sim_hash_ack(struct iomapi_sim_run *run, uint64_t id, uint64_t digest)
{
	uint64_t old;

	if (!has_state(run) || !run->plan || !run->plan->max_images)
		return;
	if (iomap_sim_acked(run->sim, id, &old))
		run->acks_hash ^= iomapi_sim_mix(id, old, 1, 0);
	run->acks_hash ^= iomapi_sim_mix(id, digest, 1, 0);
}

/* What recovery or check has acknowledged is undone. */
void iomapi_sim_unack(struct iomapi_sim_run *run, size_t nr_acks)
{
	if (run->nr_acks == nr_acks)
		return;
	run->acks_hash = 0;
	for (size_t all = nr_acks, n = run->nr_acks = 0; n < all; n++) {
		iomapi_sim_hash_ack(run, run->acks[n].id, run->acks[n].digest);
		run->nr_acks = n + 1;
	}
	run->nr_acks = nr_acks;
}

/* ---- what a device holds ---- */

static uint64_t fold(uint64_t hash, uint64_t value)
{
	return iomapi_sim_fold(hash, value);
}

/* Noise of a write that is found shorn or damaged has its number. */
static bool leaves_noise(const struct iomap_sim_profile *p)
{
	return p->shorn_sectors ||
	       (!p->power_safe_overwrite && p->physical_block != p->logical_block);
}

static uint64_t hash_write(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			   uint64_t hash)
{
	hash = fold(hash, w->unit);
	hash = fold(hash, w->first);
	hash = fold(hash, w->last);
	hash = fold(hash, (uint64_t)w->nr_units << 32 | w->queue);
	hash = fold(hash, (uint64_t)w->stage << 2 | w->whole << 1 |
			  (w->completed == IOMAPI_SIM_NEVER));
	if (leaves_noise(&dev->profile))
		hash = fold(hash, w->id);
	for (uint32_t i = 0; i < w->nr_units; i++) {
		const struct iomapi_sim_version *v = &w->versions[i];
		uint64_t flags = (v->content.bytes != NULL) | (v->write != NULL) << 1;

		if (w->hidden)
			flags |= 4 | (uint64_t)(w->hidden[i] != 0) << 3;
		hash = fold(hash, v->write || w->stage == IOMAPI_SIM_ACCEPTED ? v->content.key : 0);
		hash = fold(hash, flags);
	}
	return hash;
}

static uint64_t hash_list(const struct iomapi_sim_dev *dev, const struct iomap_list *list,
			  uint64_t hash)
{
	for (const struct iomap_list *l = list->next; l != list; l = l->next) {
		const struct iomapi_sim_write *w = (const void *)
			((const uint8_t *)l - offsetof(struct iomapi_sim_write, node));

		hash = hash_write(dev, w, hash);
	}
	return fold(hash, 1);
}

/* Zones, models of files and rules are more than is hashed. */
static bool can_hash(const struct iomap_sim *sim)
{
	return !iomapi_sim_has_zones(sim) && !sim->models && !sim->nr_rules;
}

static uint64_t hash_all(struct iomapi_sim_run *run)
{
	uint64_t hash = fold(run->acks_hash, run->sim->noise_seed);

	for (unsigned i = 0; i < run->sim->nr_devs; i++) {
		const struct iomapi_sim_dev *dev = &run->sim->devs[i];

		hash = fold(hash, dev->image.hash);
		hash = hash_list(dev, &dev->image.writes, hash);
		hash = hash_list(dev, &dev->image.accepted, hash);
	}
	return fold(hash, run->c->state(run->sim, run->c->arg));
}

/* ---- a set of hashes ---- */

static size_t slot_of(const struct iomapi_sim_memo *m, uint64_t key)
{
	size_t i = key & (m->size - 1);

	while (m->keys[i] && m->keys[i] != key)
		i = (i + 1) & (m->size - 1);
	return i;
}

/* No memory for more: then it is not remembered, which costs time only. */
static void make_room(struct iomapi_sim_memo *m)
{
	struct iomapi_sim_memo more = { .size = m->size ? 2 * m->size : 1024 };

	if (m->nr < m->size / 2 || more.size > MAX_KEYS)
		return;
	more.keys = iomapi_sim_zalloc(more.size * sizeof(*more.keys));
	if (!more.keys)
		return;
	for (size_t i = 0; i < m->size; i++)
		if (m->keys[i])
			more.keys[slot_of(&more, m->keys[i])] = m->keys[i];
	more.nr = m->nr;
	iomapi_sim_free(m->keys);
	*m = more;
}

/* true: it was there. */
static bool remember(struct iomapi_sim_memo *m, uint64_t key)
{
	size_t i;

	make_room(m);
	if (!m->size)
		return false;
	key |= !key;
	i = slot_of(m, key);
	if (m->keys[i])
		return true;
	if (m->nr < m->size / 4 * 3) {
		m->keys[i] = key;
		m->nr++;
	}
	return false;
}

bool iomapi_sim_explored(struct iomapi_sim_run *run)
{
	const struct iomapi_sim_plan *plan = run->plan;
	bool known;

	if (run->depth != 1 || !plan->max_images || !plan->path)
		return false;
	/* On the first path no recovery has been crashed in: that is no whole judgement. */
	known = run->sim->choice.nr_record < plan->known ||
		(has_state(run) && (!run->c->recover || run->recover_events) &&
		 can_hash(run->sim) &&
		 remember(&run->explored, hash_all(run)));
	run->nr_skipped += known;
	return known;
}
