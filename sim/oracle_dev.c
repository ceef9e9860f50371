/* SPDX-License-Identifier: MIT */
/*
 * oracle_dev.c - what a device can say of the commands that it is given.
 *
 * backend[2] of a bio has the number of the command that it is in flight as, from queue to reap.
 */
#include "oracle.h"

typedef unsigned long long ull;

/* ---- O27: inside the device, aligned, within its limits ---- */

static bool has_memory(const struct iomap_bio *bio)
{
	return bio->op == IOMAP_BIO_READ || bio->op == IOMAP_BIO_WRITE ||
	       bio->op == IOMAP_BIO_ZONE_APPEND;
}

static const char *wrong_segs(const struct iomap_sim_profile *p, const struct iomap_bio *bio)
{
	uint64_t sum = 0;

	if (bio->nr_segs > p->max_segs)
		return "has more segments than the device takes";
	for (uint32_t i = 0; i < bio->nr_segs; i++)
		sum += bio->segs[i].len;
	if (sum != bio->len)
		return "is not as long as its segments";
	for (uint32_t i = 0; i < bio->nr_segs; i++)
		if (((uintptr_t)bio->segs[i].mem | bio->segs[i].len) & (p->memory_align - 1))
			return "has memory that is not aligned";
	return NULL;
}

static const char *wrong_flags(const struct iomap_sim_profile *p, const struct iomap_bio *bio)
{
	if (bio->flags & IOMAP_BIO_PREFLUSH)
		return "wants a flush before it";
	if (bio->flags & IOMAP_BIO_FUA && p->volatile_cache && p->fua == IOMAP_SIM_FUA_NONE)
		return "wants FUA, which the device has not";
	if (!(bio->flags & IOMAP_BIO_ATOMIC))
		return NULL;
	if (bio->len > p->atomic_normal || bio->len > p->atomic_power_fail)
		return "is longer than what is written atomically";
	if (p->atomic_boundary && bio->addr / p->atomic_boundary !=
				  (bio->addr + bio->len - 1) / p->atomic_boundary)
		return "crosses the boundary of atomic writes";
	return NULL;
}

/* A column: what is wrong with it, or NULL.  mine: plain calls pass memory of any alignment. */
static const char *wrong(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio, bool mine)
{
	const struct iomap_sim_profile *p = &dev->profile;

	if (bio->op > (p->zone_size ? IOMAP_BIO_ZONE_CLOSE : IOMAP_BIO_WRITE_ZEROES))
		return "is no operation of the device";
	if (bio->op == IOMAP_BIO_FLUSH)
		return bio->len ? "has a range and is a flush" : NULL;
	if (bio->addr % p->logical_block || bio->len % p->logical_block)
		return "is not in blocks";
	if (bio->addr > dev->size || bio->len > dev->size - bio->addr)
		return "is not in the device";
	if (bio->op >= IOMAP_BIO_ZONE_APPEND && bio->addr % p->zone_size)
		return "does not name a zone";
	if (bio->op == IOMAP_BIO_ZONE_APPEND && bio->len > p->max_append)
		return "is longer than an append may be";
	if (!has_memory(bio))
		return bio->nr_segs ? "has memory, and its operation none" : NULL;
	if (bio->len > p->max_bytes)
		return "is longer than the device takes";
	if (mine)
		return NULL;
	return bio->flags && wrong_flags(p, bio) ? wrong_flags(p, bio) : wrong_segs(p, bio);
}

/* Of no environment. */
static bool is_plain(const struct iomapi_sim_queue *queue)
{
	return !queue->opened;
}

bool iomapi_sim_judge_bio(const struct iomapi_sim_queue *queue, const struct iomapi_sim_dev *dev,
			  const struct iomap_bio *bio)
{
	const char *text = wrong(dev, bio, is_plain(queue));

	iomapi_sim_looked(dev->sim, 27);
	if (!text)
		return true;
	iomapi_sim_found(dev->sim, 27, "a bio of %llu bytes at %llu of %s %s", (ull)bio->len,
			 (ull)bio->addr, dev->name, text);
	return false;
}

/* ---- O20: each bio completes exactly once ---- */

void iomapi_sim_judge_accepted(struct iomapi_sim_cmd *cmd)
{
	struct iomap_sim *sim = cmd->dev->sim;
	struct iomap_bio *bio = cmd->bio;

	iomapi_sim_looked(sim, 20);
	iomapi_sim_looked(sim, 26);
	if (bio->backend[2])
		iomapi_sim_found(sim, 20, "a bio at %llu of %s was submitted while in flight",
				 (ull)bio->addr, cmd->dev->name);
	bio->backend[2] = cmd->id;
	sim->oracles->last_bio = bio;
	sim->oracles->last_dev = cmd->dev;
	iomapi_sim_hear_write(cmd, false);
}

/* Made anew and submitted while in flight, it is another command's by now. */
void iomapi_sim_judge_reaped(const struct iomapi_sim_cmd *cmd)
{
	struct iomap_bio *bio = cmd->bio;

	if (bio->backend[2] != cmd->id)
		iomapi_sim_found(cmd->dev->sim, 20, "a bio at %llu of %s completes twice",
				 (ull)bio->addr, cmd->dev->name);
	bio->backend[2] = 0;
	if (iomapi_sim_watches(cmd->dev->sim, 8))
		iomapi_sim_read_in_check(cmd);
	if (bio->status)
		iomapi_sim_hear_write(cmd, true);
}

void iomapi_sim_judge_closed(const struct iomapi_sim_queue *queue)
{
	iomapi_sim_looked(queue->sim, 20);
	if (queue->in_flight)
		iomapi_sim_found(queue->sim, 20, "a queue was closed with %u bios in flight",
				 queue->in_flight);
}

/* What plain calls have started may be left: nobody has memory in it. */
void iomapi_sim_judge_end(struct iomap_sim *sim, const char *what)
{
	uint64_t left = sim->nr_unreaped - sim->plain.in_flight;

	iomapi_sim_looked(sim, 20);
	if (left)
		iomapi_sim_found(sim, 20, "%llu bios were never heard of until the end of %s",
				 (ull)left, what);
}

/* ---- O30: nothing comes after close ---- */

void iomapi_sim_judge_dev_closed(const struct iomapi_sim_dev *dev)
{
	unsigned left = 0;

	iomapi_sim_looked(dev->sim, 30);
	for (struct iomap_list *l = dev->in_flight.next; !dev->nr_open && l != &dev->in_flight;
	     l = l->next)
		left += !is_plain(iomap_container_of(l, struct iomapi_sim_cmd, node)->queue);
	if (left)
		iomapi_sim_found(dev->sim, 30, "%s was closed with %u bios in flight", dev->name,
				 left);
}

/* ---- O25: buffers in flight do not change ---- */

/* The hash of what it brought, made again as it was made when the device took it. */
static uint64_t hash_now(const struct iomapi_sim_cmd *cmd)
{
	size_t block = cmd->dev->profile.logical_block;
	struct iomapi_sim_cursor at = iomapi_sim_cursor(cmd->bio, 0);
	uint8_t unit[IOMAPI_SIM_MAX_BLOCK];
	uint64_t hash = 0;

	for (uint64_t left = cmd->bio->len; left; left -= block) {
		iomapi_sim_gather(&at, unit, block);
		hash = iomapi_sim_fold(hash, iomapi_sim_hash(unit, block));
	}
	return hash;
}

void iomapi_sim_judge_completed(const struct iomapi_sim_cmd *cmd)
{
	struct iomap_sim *sim = cmd->dev->sim;

	if (!iomapi_sim_watches(sim, 25) || cmd->bio->op != IOMAP_BIO_WRITE || !cmd->hash)
		return;
	iomapi_sim_looked(sim, 25);
	if (hash_now(cmd) != cmd->hash)
		iomapi_sim_found(sim, 25, "the memory of a write of %llu bytes at %llu of %s "
				 "changed in flight", (ull)cmd->bio->len, (ull)cmd->bio->addr,
				 cmd->dev->name);
}

/* ---- O26: no overlapping commands in flight ---- */

/* An engine on plain calls may mean it: its writes have no order then, and that is its business. */
void iomapi_sim_judge_hazard(const struct iomapi_sim_cmd *cmd, const struct iomapi_sim_cmd *other)
{
	struct iomap_sim *sim = cmd->dev->sim;

	if ((is_plain(cmd->queue) || is_plain(other->queue)) && !iomapi_sim_watches(sim, 26))
		return;
	iomapi_sim_found(sim, 26, "%s of %llu bytes at %llu of %s overlaps one in flight, "
			 "%llu at %llu", cmd->bio->op == IOMAP_BIO_READ ? "a read" : "a write",
			 (ull)cmd->bio->len, (ull)cmd->bio->addr, cmd->dev->name,
			 (ull)other->bio->len, (ull)other->bio->addr);
}

/* ---- O47: the client's order ---- */

void iomapi_sim_judge_order(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	struct iomap_sim *sim = dev->sim;

	iomapi_sim_looked(sim, 47);
	if (sim->on_submit(sim->on_submit_arg, dev->name, bio))
		iomapi_sim_found(sim, 47, "a write of %llu bytes at %llu of %s is out of order",
				 (ull)bio->len, (ull)bio->addr, dev->name);
}
