/* SPDX-License-Identifier: MIT */
/*
 * device.c - the way of a command through a simulated device; those to zones are in zone.c.
 *
 *	queue	accepted: in flight, its bytes are copied	choice: how long
 *	event	linearised: reads get their bytes, writes are seen by later reads
 *	event	completed: a write with FUA, or without a cache, is durable; a flush makes durable
 *		what had completed when it was accepted
 *	reap	the host hears of it
 *
 * Each of the four is an event of the run, before which power may go.  Then every bio ends with
 * -ENODEV, and what its write left behind is for power-on to choose from.
 *
 * Two commands in flight that overlap, one of them a write, have no order: the run picks one, and
 * counts a hazard.
 */
#include <errno.h>
#include <string.h>

#include "mutant.h"
#include "oracle.h"
#include "task.h"
#include "zone.h"

#define LATENCY_NS	1000
#define LATENCIES	16u
#define BUCKET		4096u

static struct iomapi_sim_cmd *cmd_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_cmd, node);
}

/* ---- a command's memory ---- */

struct iomapi_sim_cursor iomapi_sim_cursor(const struct iomap_bio *bio, size_t off)
{
	return (struct iomapi_sim_cursor){ bio->segs, off };
}

/* On to the segment it is in; how much of that is left. */
static size_t room(struct iomapi_sim_cursor *c)
{
	for (; c->off >= c->seg->len; c->seg++)
		c->off -= c->seg->len;
	return c->seg->len - c->off;
}

void iomapi_sim_gather(struct iomapi_sim_cursor *from, uint8_t *mem, size_t len)
{
	while (len) {
		size_t left = room(from), n = left < len ? left : len;

		memcpy(mem, (const uint8_t *)from->seg->mem + from->off, n);
		from->off += n;
		mem += n;
		len -= n;
	}
}

static void spread(struct iomapi_sim_cursor *to, const uint8_t *mem, size_t len)
{
	while (len) {
		size_t left = room(to), n = left < len ? left : len;

		memcpy((uint8_t *)to->seg->mem + to->off, mem, n);
		to->off += n;
		mem += n;
		len -= n;
	}
}

/* ---- accepted ---- */

uint64_t iomapi_sim_first_unit(const struct iomapi_sim_cmd *cmd)
{
	uint64_t block = cmd->dev->profile.logical_block;
	uint64_t places = cmd->dev->nr_units - cmd->bio->len / block + 1;

	return (cmd->bio->addr / block + cmd->hit.away) % places;
}

static bool writes(const struct iomap_bio *bio)
{
	return bio->op == IOMAP_BIO_WRITE || bio->op == IOMAP_BIO_DISCARD ||
	       bio->op == IOMAP_BIO_WRITE_ZEROES;
}

static bool changes_zone(const struct iomapi_sim_cmd *cmd)
{
	return cmd->dev->image.zones && cmd->bio->op != IOMAP_BIO_READ &&
	       cmd->bio->op != IOMAP_BIO_FLUSH;
}

static uint32_t units_of(const struct iomapi_sim_cmd *cmd)
{
	return (uint32_t)(cmd->bio->len / cmd->dev->profile.logical_block);
}

static uint32_t line_of(const struct iomapi_sim_cmd *cmd)
{
	return cmd->queue->index % cmd->dev->profile.nr_queues;
}

/* Add to the buckets of a range of the device; false: something else may be there.  Nobody knows
 * where an append will be. */
static bool mark(struct iomapi_sim_dev *dev, const struct iomap_bio *bio, int n)
{
	uint64_t bucket = bio->addr / BUCKET, last = (bio->addr + bio->len - 1) / BUCKET;
	bool alone = true;

	if (bio->op == IOMAP_BIO_ZONE_APPEND)
		return true;
	if (last - bucket >= IOMAPI_SIM_BUCKETS)
		last = bucket + IOMAPI_SIM_BUCKETS - 1;		/* all of them */
	for (; bio->len && bucket <= last; bucket++) {
		uint32_t *busy = &dev->busy[bucket % IOMAPI_SIM_BUCKETS];

		alone &= !*busy;
		*busy += (uint32_t)n;
	}
	return alone;
}

static bool is_hazard(const struct iomap_bio *bio, const struct iomap_bio *other)
{
	if (other->op == IOMAP_BIO_ZONE_APPEND)
		return false;		/* nobody knows yet where it goes */
	return other->addr < bio->addr + bio->len && bio->addr < other->addr + other->len &&
	       (writes(bio) || writes(other));
}

static void count_hazards(struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_dev *dev = cmd->dev;

	if (mark(dev, cmd->bio, 1))
		return;
	for (struct iomap_list *l = dev->in_flight.next; l != &dev->in_flight; l = l->next) {
		if (!is_hazard(cmd->bio, cmd_of(l)->bio))
			continue;
		dev->nr_hazards++;
		iomapi_sim_judge_hazard(cmd, cmd_of(l));
	}
}

static struct iomapi_sim_cmd *new_cmd(struct iomap_sim *sim)
{
	struct iomap_list *l = iomap_list_pop(&sim->free_cmds);

	return l ? cmd_of(l) : iomapi_sim_level_alloc(sim, sizeof(struct iomapi_sim_cmd));
}

/* When it takes effect, and when it completes.  With an order both are one moment, not before what
 * the device, or this queue of it, took earlier; but it may be heard of later. */
static int64_t set_times(struct iomapi_sim_cmd *cmd, uint32_t n)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	const struct iomapi_sim_hit *hit = &cmd->hit;
	int64_t effect = dev->sim->now + (1 + n % LATENCIES) * LATENCY_NS + hit->before_ns;
	int64_t done = effect + (1 + n / LATENCIES) * LATENCY_NS + hit->after_ns;
	int64_t *last = &dev->last[dev->profile.order == IOMAP_SIM_ORDER_FIFO ? 0 : line_of(cmd)];

	if (dev->profile.order != IOMAP_SIM_ORDER_ANY) {
		done = done < *last ? *last : done;
		effect = *last = done;
	}
	cmd->completes = done + hit->late_ns;
	if (hit->kind == IOMAPI_SIM_CQ_OVERFLOW && cmd->queue->held_until < cmd->completes)
		cmd->queue->held_until = cmd->completes;
	return effect;
}

/* What it writes: in two parts, if they take effect one after the other. */
static int accept_writes(struct iomapi_sim_cmd *cmd)
{
	const struct iomapi_sim_hit *hit = &cmd->hit;
	uint32_t all = units_of(cmd);

	if (!changes_zone(cmd) && !writes(cmd->bio))
		return 0;
	if (hit->status == -EROFS || hit->status == -ENODEV ||
	    hit->kind == IOMAPI_SIM_PHANTOM_WRITE)
		return 0;
	if (changes_zone(cmd))
		return iomapi_sim_zone_accept(cmd);
	for (unsigned go = 0; go <= hit->in_two; go++) {
		uint32_t first = go ? hit->units : 0;
		uint32_t nr = go || !hit->in_two ? all - first : hit->units;

		if (!nr)
			continue;
		cmd->writes[go] = iomapi_sim_accept(cmd->dev, cmd, first, nr);
		if (!cmd->writes[go]) {
			iomapi_sim_reject(cmd->dev, cmd->writes[0]);
			return -ENOMEM;
		}
	}
	return 0;
}

static int start(struct iomapi_sim_queue *q, struct iomapi_sim_dev *dev, struct iomapi_sim_cmd *cmd,
		 struct iomap_bio *bio, const struct iomapi_sim_hit *hit)
{
	struct iomap_sim *sim = q->sim;
	uint32_t n;
	int rc;

	*cmd = (struct iomapi_sim_cmd){
		.bio = bio, .dev = dev, .queue = q, .id = ++sim->next_id,
		.covers = dev->image.nr_completed, .hit = *hit,
	};
	rc = accept_writes(cmd);
	if (rc)
		return rc;
	n = iomap_sim_choose(sim, "latency", LATENCIES * LATENCIES);
	iomapi_sim_judge_accepted(cmd);
	count_hazards(cmd);
	iomap_list_add_tail(&dev->in_flight, &cmd->node);
	q->in_flight++;
	sim->nr_unreaped++;
	iomapi_sim_schedule(sim, cmd, IOMAPI_SIM_AT_LINEARISE, set_times(cmd, n));
	return 0;
}

enum iomap_queued iomapi_sim_queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct iomapi_sim_queue *q = queue;
	struct iomapi_sim_dev *d = dev;
	struct iomap_sim *sim = q->sim;
	struct iomapi_sim_hit hit = { 0 };
	enum iomap_queued answer;
	struct iomapi_sim_cmd *cmd;

	if (sim->off)
		iomapi_sim_idle(sim);	/* nothing happens any more */
	bio->status = sim->off ? -ENODEV : 0;
	if (bio->status)
		return IOMAP_QUEUE_DONE;
	if (q->refuses || q->in_flight >= d->profile.queue_depth)
		return IOMAP_QUEUE_BUSY;
	if (!iomapi_sim_judge_bio(q, d, bio)) {
		bio->status = -EIO;
		return IOMAP_QUEUE_DONE;
	}
	if (sim->on_submit &&
	    (bio->op == IOMAP_BIO_WRITE || bio->op == IOMAP_BIO_ZONE_APPEND))
		iomapi_sim_judge_order(d, bio);
	answer = iomapi_sim_offer(d, bio, &hit);
	q->refuses = answer == IOMAP_QUEUE_BUSY && hit.kind == IOMAPI_SIM_PARTIAL_BATCH &&
		     q->in_flight;	/* so that it will be asked again */
	if (answer != IOMAP_QUEUE_QUEUED)
		return answer;
	cmd = new_cmd(sim);
	bio->status = cmd ? iomapi_sim_events_reserve(sim, 1) : -ENOMEM;
	if (!bio->status)
		bio->status = start(q, d, cmd, bio, &hit);
	if (bio->status) {
		iomapi_sim_level_free(sim, cmd);
		return IOMAP_QUEUE_DONE;
	}
	sim->nr_changes++;		/* of what the engine remembers, at least */
	iomapi_sim_pass(sim, IOMAPI_SIM_PASS_ACCEPT, cmd);	/* power may go right behind it */
	iomapi_sim_point(sim, "command");
	return IOMAP_QUEUE_QUEUED;
}

int iomapi_sim_commit(void *queue)
{
	struct iomapi_sim_queue *q = queue;

	q->refuses = false;
	return (int)q->in_flight;	/* on their way already */
}

/* ---- linearised, completed ---- */

static int read_unit(struct iomapi_sim_cmd *cmd, uint64_t unit, uint8_t *mem, uint64_t *hash)
{
	int rc = iomapi_sim_read_unit(cmd->dev, unit, mem, hash);

	if (rc)
		return rc;
	if (cmd->hit.kind == IOMAPI_SIM_STALE_READ &&
	    iomapi_sim_read_stale(cmd->dev, unit, mem, hash))
		iomapi_sim_count(cmd->dev->sim, IOMAPI_SIM_STALE_READ, &cmd->hit);
	iomapi_sim_rot(cmd->dev, unit, mem, hash, &cmd->hit);
	return 0;
}

/* Units of a command, from first on, to where its segments want them. */
static int read_data(struct iomapi_sim_cmd *cmd, uint32_t first, uint32_t nr)
{
	size_t block = cmd->dev->profile.logical_block;
	uint64_t unit = iomapi_sim_first_unit(cmd) + first;
	struct iomapi_sim_cursor at = iomapi_sim_cursor(cmd->bio, first * block);
	uint8_t bounce[IOMAPI_SIM_MAX_BLOCK];
	uint64_t hash;

	for (; nr; nr--, unit++) {
		uint8_t *mem = room(&at) < block ? bounce : (uint8_t *)at.seg->mem + at.off;
		int rc = read_unit(cmd, unit, mem, &hash);

		if (rc)
			return rc;
		cmd->hash = iomapi_sim_fold(cmd->hash, hash);
		if (mem == bounce)
			spread(&at, bounce, block);
		else
			at.off += block;
	}
	return 0;
}

static void take_effect(struct iomapi_sim_cmd *cmd, uint32_t first, uint32_t nr)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	struct iomapi_sim_hit *hit = &cmd->hit;
	struct iomapi_sim_write *write = cmd->writes[cmd->go];

	if (changes_zone(cmd)) {
		iomapi_sim_zone_linearise(cmd);
	} else if (write) {
		cmd->covers = dev->image.nr_completed;	/* by a flush behind it */
		if (hit->status)
			iomapi_sim_tear(dev, write, hit->units,
					iomapi_sim_is_atomic(dev, cmd->bio));
		else
			iomapi_sim_mend(dev, write);
		iomapi_sim_linearise(dev, write);
	} else if (cmd->bio->op == IOMAP_BIO_READ) {
		if (!hit->status)
			hit->status = iomapi_sim_check_read(dev, cmd->bio, hit);
		if (!hit->status)
			hit->status = read_data(cmd, first, nr);
	}
}

/* There is no room to tell of its completion. */
static bool is_held(const struct iomapi_sim_cmd *cmd)
{
	int64_t until = cmd->queue->held_until;

	return cmd->completes < until ||
	       (cmd->completes == until && cmd->hit.kind == IOMAPI_SIM_CQ_OVERFLOW);
}

void iomapi_sim_cmd_linearise(struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	const struct iomapi_sim_hit *hit = &cmd->hit;
	bool more = hit->in_two && !cmd->go;
	uint32_t first = cmd->go ? hit->units : 0, end = more ? hit->units : units_of(cmd);

	if (dev->removed) {
		cmd->hit.status = -ENODEV;
		more = false;
	} else {
		take_effect(cmd, first, end - first);
	}
	if (more && cmd->bio->backend[1]) {	/* it is told, and nothing else is done */
		cmd->bio->backend[0] = (uint64_t)end * dev->profile.logical_block;
		iomapi_sim_reject(dev, cmd->writes[1]);
		cmd->writes[1] = NULL;
		more = false;
	}
	if (!more && is_held(cmd)) {
		cmd->completes = cmd->queue->held_until;
		iomapi_sim_count(dev->sim, IOMAPI_SIM_CQ_OVERFLOW, &cmd->hit);
	}
	cmd->go = more;
	iomapi_sim_schedule(dev->sim, cmd, more ? IOMAPI_SIM_AT_LINEARISE : IOMAPI_SIM_AT_COMPLETE,
			    cmd->completes);
}

static void finish(struct iomapi_sim_cmd *cmd)
{
	mark(cmd->dev, cmd->bio, -1);
	iomap_list_del(&cmd->node);
	iomap_list_add_tail(&cmd->queue->done, &cmd->node);
	cmd->queue->nr_done++;
	iomapi_sim_wake(cmd->dev->sim, cmd->queue, UINT32_MAX);
}

static void complete_write(struct iomapi_sim_cmd *cmd, struct iomapi_sim_write *write)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	bool fua = (cmd->bio->flags & IOMAP_BIO_FUA) && cmd->hit.kind != IOMAPI_SIM_FUA_IGNORED;

	if (iomapi_sim_is(IOMAPI_SIM_FUA_LOST))
		fua = false;
	iomapi_sim_complete(dev, write, fua || !(dev->profile.volatile_cache ||
						  iomapi_sim_is(IOMAPI_SIM_CACHES_ALL)));
	if (fua && (dev->profile.fua == IOMAP_SIM_FUA_EMULATED ||
		    iomapi_sim_is(IOMAPI_SIM_FUA_LEAKS)))
		iomapi_sim_persist(dev, cmd->covers);	/* a flush of its own */
}

/* The mistake that tools which replay writes have made for years. */
static bool is_left(const struct iomapi_sim_cmd *flush)
{
	const struct iomap_list *all = &flush->dev->in_flight;

	if (!iomapi_sim_is(IOMAPI_SIM_LEAVES_TO_OTHER))
		return false;
	for (struct iomap_list *l = all->next; l != all; l = l->next)
		if (cmd_of(l)->bio->op == IOMAP_BIO_FLUSH && cmd_of(l)->id < flush->id &&
		    cmd_of(l)->covers == flush->covers)
			return true;
	return false;
}

/* Flushes on their way can no more cover it than this one, so they fail with it. */
static void drop_cache(struct iomapi_sim_dev *dev, uint64_t covers)
{
	iomapi_sim_forget(dev, covers);
	for (struct iomap_list *l = dev->in_flight.next; l != &dev->in_flight; l = l->next)
		if (cmd_of(l)->bio->op == IOMAP_BIO_FLUSH && !cmd_of(l)->hit.status)
			cmd_of(l)->hit.status = -EIO;
}

void iomapi_sim_cmd_complete(struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_dev *dev = cmd->dev;

	if (dev->removed)
		cmd->hit.status = -ENODEV;	/* what its write left is for power-on */
	if (cmd->bio->op == IOMAP_BIO_ZONE_APPEND && !cmd->hit.status)
		cmd->bio->addr = cmd->writes[0]->unit * dev->profile.logical_block;
	for (unsigned go = 0; go < 2; go++) {
		if (!cmd->writes[go] || dev->removed)
			continue;
		if (cmd->hit.status)
			iomapi_sim_fail(dev, cmd->writes[go]);
		else
			complete_write(cmd, cmd->writes[go]);
	}
	if (cmd->bio->op == IOMAP_BIO_FLUSH && !cmd->hit.status &&
	    cmd->hit.kind != IOMAPI_SIM_FLUSH_LIES && !is_left(cmd))
		iomapi_sim_persist(dev, cmd->covers);
	else if (cmd->hit.kind == IOMAPI_SIM_FLUSH_ERROR_DROPS && !dev->removed)
		drop_cache(dev, cmd->covers);
	cmd->writes[0] = cmd->writes[1] = NULL;
	iomapi_sim_judge_completed(cmd);
	cmd->bio->status = cmd->hit.status;
	finish(cmd);
}

void iomapi_sim_dev_off(struct iomapi_sim_dev *dev)
{
	struct iomap_list *l;

	while ((l = dev->in_flight.next) != &dev->in_flight)
		finish(cmd_of(l));
}
