/* SPDX-License-Identifier: MIT */
/*
 * device.c - the way of a command through a simulated device, as a backend of the library.
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
 * Two writes in flight that overlap have no order: the run picks one, and counts a hazard.
 */
#include <errno.h>
#include <string.h>

#include "sim.h"

#define LATENCY_NS	1000
#define LATENCIES	16u

static struct iomapi_sim_cmd *cmd_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_cmd, node);
}

/* ---- queues and devices ---- */

static int queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
		      void **queue, const char **reason)
{
	struct iomap_sim *sim = arg;
	struct iomapi_sim_queue *q = iomapi_sim_zalloc(sizeof(*q));

	(void)env;
	(void)opts;
	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	iomap_list_init(&q->done);
	q->sim = sim;
	q->index = sim->nr_queues++;
	*reason = "simulated";
	*queue = q;
	return 0;
}

static void queue_close(void *queue)
{
	iomapi_sim_free(queue);
}

static int dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
		    void **dev)
{
	struct iomapi_sim_queue *q = queue;

	(void)fd;
	(void)opts;
	for (unsigned i = 0; path && i < q->sim->nr_devs; i++) {
		if (strcmp(path, q->sim->devs[i].name))
			continue;
		*dev = &q->sim->devs[i];
		return q->sim->off || q->sim->devs[i].removed ? -ENODEV : 0;
	}
	return -ENOENT;
}

static void dev_close(void *dev)
{
	(void)dev;		/* the simulation's */
}

static void limits(void *dev, struct iomap_bdev_limits *l)
{
	const struct iomapi_sim_dev *d = dev;
	const struct iomap_sim_profile *p = &d->profile;

	*l = (struct iomap_bdev_limits){
		.struct_size = sizeof(*l), .size = d->size,
		.caps = IOMAP_CAP_DISCARD | IOMAP_CAP_WRITE_ZEROES,
		.logical_block = p->logical_block, .physical_block = p->physical_block,
		.memory_align = p->memory_align, .max_segs = p->max_segs,
		.queue_depth = p->queue_depth, .max_bytes = p->max_bytes,
		.atomic_min = p->logical_block,
		.atomic_max = p->atomic_normal < p->atomic_power_fail ? p->atomic_normal
								      : p->atomic_power_fail,
		.atomic_boundary = p->atomic_boundary,
	};
	if (p->volatile_cache)
		l->caps |= IOMAP_CAP_VOLATILE_CACHE;
	if (p->volatile_cache && p->fua != IOMAP_SIM_FUA_NONE)
		l->caps |= IOMAP_CAP_FUA;
}

static int dev_attach(void *dev, void *queue)
{
	(void)dev;
	(void)queue;
	return 0;
}

/* ---- accepted ---- */

static bool writes(const struct iomap_bio *bio)
{
	return bio->op == IOMAP_BIO_WRITE || bio->op == IOMAP_BIO_DISCARD ||
	       bio->op == IOMAP_BIO_WRITE_ZEROES;
}

static void count_hazards(struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	for (struct iomap_list *l = dev->in_flight.next; l != &dev->in_flight; l = l->next) {
		const struct iomap_bio *other = cmd_of(l)->bio;

		if (other->addr < bio->addr + bio->len && bio->addr < other->addr + other->len &&
		    (writes(bio) || writes(other)))
			dev->nr_hazards++;
	}
}

static struct iomapi_sim_cmd *new_cmd(struct iomap_sim *sim)
{
	struct iomap_list *l = iomap_list_pop(&sim->free_cmds);

	return l ? cmd_of(l) : iomapi_sim_alloc(sizeof(struct iomapi_sim_cmd));
}

/* When it takes effect, and when it completes.  With an order both are one moment, not before what
 * the device, or this queue of it, took earlier. */
static int64_t set_times(struct iomapi_sim_cmd *cmd, uint32_t n)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	uint32_t line = cmd->queue->index % dev->profile.nr_queues;
	int64_t effect = dev->sim->now + (1 + n % LATENCIES) * LATENCY_NS + cmd->hit.before_ns;

	cmd->completes = effect + (1 + n / LATENCIES) * LATENCY_NS + cmd->hit.after_ns;
	if (dev->profile.order == IOMAP_SIM_ORDER_ANY)
		return effect;
	if (dev->profile.order == IOMAP_SIM_ORDER_FIFO)
		line = 0;
	if (cmd->completes < dev->last[line])
		cmd->completes = dev->last[line];
	dev->last[line] = cmd->completes;
	return cmd->completes;
}

static int start(struct iomapi_sim_queue *q, struct iomapi_sim_dev *dev, struct iomapi_sim_cmd *cmd,
		 struct iomap_bio *bio, const struct iomapi_sim_hit *hit)
{
	struct iomap_sim *sim = q->sim;
	uint32_t n;

	*cmd = (struct iomapi_sim_cmd){
		.bio = bio, .dev = dev, .queue = q, .id = ++sim->next_id,
		.covers = dev->nr_completed, .hit = *hit,
	};
	if (writes(bio) && hit->status != -EROFS && hit->status != -ENODEV) {
		cmd->write = iomapi_sim_accept(dev, bio, cmd->id,
					       q->index % dev->profile.nr_queues, hit->status);
		if (!cmd->write)
			return -ENOMEM;
	}
	n = iomap_sim_choose(sim, "latency", LATENCIES * LATENCIES);
	if (bio->op != IOMAP_BIO_FLUSH)
		count_hazards(dev, bio);
	iomap_list_add_tail(&dev->in_flight, &cmd->node);
	q->in_flight++;
	sim->nr_unreaped++;
	iomapi_sim_schedule(sim, cmd, IOMAPI_SIM_AT_LINEARISE, set_times(cmd, n));
	return 0;
}

static enum iomap_queued queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct iomapi_sim_queue *q = queue;
	struct iomapi_sim_dev *d = dev;
	struct iomap_sim *sim = q->sim;
	struct iomapi_sim_hit hit = { 0 };
	enum iomap_queued answer;
	struct iomapi_sim_cmd *cmd;

	bio->status = sim->off ? -ENODEV : 0;
	if (bio->status)
		return IOMAP_QUEUE_DONE;
	if (q->in_flight >= d->profile.queue_depth)
		return IOMAP_QUEUE_BUSY;
	answer = iomapi_sim_offer(d, bio, &hit);
	if (answer != IOMAP_QUEUE_QUEUED)
		return answer;
	cmd = new_cmd(sim);
	bio->status = cmd ? iomapi_sim_events_reserve(sim, 1) : -ENOMEM;
	if (!bio->status)
		bio->status = start(q, d, cmd, bio, &hit);
	if (bio->status) {
		iomapi_sim_free(cmd);
		return IOMAP_QUEUE_DONE;
	}
	iomapi_sim_pass(sim, IOMAPI_SIM_PASS_ACCEPT, cmd);	/* power may go right behind it */
	return IOMAP_QUEUE_QUEUED;
}

static int commit(void *queue)
{
	return (int)((struct iomapi_sim_queue *)queue)->in_flight;	/* on their way already */
}

/* ---- linearised, completed ---- */

static void read_data(struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	uint32_t block = dev->profile.logical_block;
	uint64_t unit = bio->addr / block;
	uint8_t bounce[IOMAPI_SIM_MAX_BLOCK];
	size_t have = 0;		/* of the unit in bounce */

	for (uint32_t i = 0; i < bio->nr_segs; i++) {
		uint8_t *mem = bio->segs[i].mem;
		size_t left = bio->segs[i].len;

		while (left) {
			size_t n = have ? have : block;

			if (!have && left >= block) {
				iomapi_sim_read_unit(dev, unit++, mem);
			} else {	/* a segment ends inside a unit */
				if (!have) {
					iomapi_sim_read_unit(dev, unit++, bounce);
					have = block;
				}
				n = left < have ? left : have;
				memcpy(mem, bounce + block - have, n);
				have -= n;
			}
			mem += n;
			left -= n;
		}
	}
}

void iomapi_sim_cmd_linearise(struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	struct iomapi_sim_hit *hit = &cmd->hit;

	if (dev->removed) {
		hit->status = -ENODEV;
	} else if (cmd->write) {
		if (hit->status)
			iomapi_sim_tear(dev, cmd->write, hit->units);
		else
			iomapi_sim_mend(dev, cmd->write);
		iomapi_sim_linearise(dev, cmd->write);
	} else if (cmd->bio->op == IOMAP_BIO_READ) {
		if (!hit->status)
			hit->status = iomapi_sim_check_read(dev, cmd->bio);
		if (!hit->status)
			read_data(dev, cmd->bio);
	}
	iomapi_sim_schedule(dev->sim, cmd, IOMAPI_SIM_AT_COMPLETE, cmd->completes);
}

static void finish(struct iomapi_sim_cmd *cmd)
{
	iomap_list_del(&cmd->node);
	iomap_list_add_tail(&cmd->queue->done, &cmd->node);
	cmd->queue->nr_done++;
}

void iomapi_sim_cmd_complete(struct iomapi_sim_cmd *cmd)
{
	struct iomapi_sim_dev *dev = cmd->dev;
	bool fua = cmd->bio->flags & IOMAP_BIO_FUA;
	bool all = dev->profile.fua == IOMAP_SIM_FUA_EMULATED;

	if (dev->removed) {
		cmd->hit.status = -ENODEV;	/* what its write left is for power-on */
	} else if (cmd->hit.status) {
		if (cmd->write)
			iomapi_sim_fail(cmd->write);
		else if (cmd->hit.kind == IOMAPI_SIM_FLUSH_ERROR_DROPS)
			iomapi_sim_forget(dev, cmd->covers);
	} else if (cmd->write) {
		iomapi_sim_complete(dev, cmd->write,
				    (fua && !all) || !dev->profile.volatile_cache);
		if (fua && all)
			iomapi_sim_persist(dev, dev->nr_completed);	/* a flush of its own */
	} else if (cmd->bio->op == IOMAP_BIO_FLUSH) {
		iomapi_sim_persist(dev, cmd->covers);
	}
	cmd->write = NULL;
	cmd->bio->status = cmd->hit.status;
	finish(cmd);
}

void iomapi_sim_dev_off(struct iomapi_sim_dev *dev)
{
	struct iomap_list *l;

	while ((l = dev->in_flight.next) != &dev->in_flight)
		finish(cmd_of(l));
}

/* ---- reaped ---- */

static int reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		int64_t timeout_ns)
{
	struct iomapi_sim_queue *q = queue;
	struct iomap_sim *sim = q->sim;
	int64_t until = timeout_ns < 0 ? INT64_MAX : sim->now + timeout_ns;
	unsigned n = 0;

	while (q->nr_done < min && !__atomic_exchange_n(&q->woken, 0, __ATOMIC_ACQ_REL)) {
		if (!sim->nr_events || sim->events[0].time > until) {
			if (timeout_ns > 0)
				sim->now = until;
			break;
		}
		iomapi_sim_step(sim);
	}
	while (n < max && q->nr_done) {
		struct iomapi_sim_cmd *cmd = cmd_of(iomap_list_pop(&q->done));

		q->nr_done--;
		q->in_flight--;
		sim->nr_unreaped--;
		if (!iomapi_sim_pass(sim, IOMAPI_SIM_PASS_REAP, cmd))
			cmd->bio->status = -ENODEV;
		done[n++] = cmd->bio;
		iomap_list_add_tail(&sim->free_cmds, &cmd->node);
	}
	return (int)n;
}

static void wakeup(void *queue)
{
	__atomic_store_n(&((struct iomapi_sim_queue *)queue)->woken, 1, __ATOMIC_RELEASE);
}

const struct iomap_backend_ops iomapi_sim_backend = {
	.struct_size = sizeof(iomapi_sim_backend),
	.scheme = "sim",
	.queue_open = queue_open,
	.queue_close = queue_close,
	.queue_abandon = queue_close,
	.dev_open = dev_open,
	.dev_close = dev_close,
	.limits = limits,
	.dev_attach = dev_attach,
	.queue = queue_bio,
	.commit = commit,
	.reap = reap,
	.wakeup = wakeup,
};
