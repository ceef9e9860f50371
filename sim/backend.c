/* SPDX-License-Identifier: MIT */
/*
 * backend.c - how commands come to the simulated devices, and go again: the backend "sim:".
 *
 * Plain calls use its queues, too.  What it takes is carried out by device.c.
 */
#include <errno.h>
#include <string.h>

#include "oracle.h"
#include "task.h"
#include "zone.h"

static struct iomapi_sim_cmd *cmd_of(struct iomap_list *node)
{
	return iomap_container_of(node, struct iomapi_sim_cmd, node);
}

/* ---- queues and devices ---- */

static int queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
		      void **queue, const char **reason)
{
	struct iomap_sim *sim = arg;
	struct iomapi_sim_queue *q = iomapi_sim_level_zalloc(sim, sizeof(*q));

	(void)env;
	(void)opts;
	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	iomap_list_init(&q->done);
	q->sim = sim;
	q->index = sim->nr_queues++;
	q->opened = true;
	q->heap = !sim->level;
	*reason = "simulated";
	*queue = q;
	return 0;
}

static void queue_abandon(void *queue)
{
	struct iomapi_sim_queue *q = queue;

	if (q->heap)
		iomapi_sim_free(q);	/* else it goes with its level */
}

static void queue_close(void *queue)
{
	iomapi_sim_judge_closed(queue);
	queue_abandon(queue);
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
		if (q->sim->off || q->sim->devs[i].removed)
			return -ENODEV;
		q->sim->devs[i].nr_open++;
		return 0;
	}
	return -ENOENT;
}

static void dev_close(void *dev)
{
	struct iomapi_sim_dev *d = dev;		/* the simulation's */

	d->nr_open--;
	iomapi_sim_judge_dev_closed(d);
}

static void limits(void *dev, struct iomap_bdev_limits *l)
{
	const struct iomapi_sim_dev *d = dev;
	const struct iomap_sim_profile *p = &d->profile;

	*l = (struct iomap_bdev_limits){
		.struct_size = sizeof(*l), .size = d->size,
		.caps = p->zone_size ? IOMAP_CAP_ZONED | IOMAP_CAP_ZONE_APPEND
				     : IOMAP_CAP_DISCARD | IOMAP_CAP_WRITE_ZEROES,
		.logical_block = p->logical_block, .physical_block = p->physical_block,
		.memory_align = p->memory_align, .max_segs = p->max_segs,
		.queue_depth = p->queue_depth, .max_bytes = p->max_bytes,
		.atomic_min = p->logical_block,
		.atomic_max = p->atomic_normal < p->atomic_power_fail ? p->atomic_normal
								      : p->atomic_power_fail,
		.atomic_boundary = p->atomic_boundary,
		.zone_size = p->zone_size, .zone_capacity = p->zone_capacity,
		.max_append = p->max_append, .max_open_zones = p->max_open_zones,
	};
	if (p->volatile_cache)
		l->caps |= IOMAP_CAP_VOLATILE_CACHE;
	if (p->volatile_cache && p->fua != IOMAP_SIM_FUA_NONE)
		l->caps |= IOMAP_CAP_FUA;
}

static int report_zones(void *dev, uint64_t from, struct iomap_zone *zones, unsigned nr_zones)
{
	return ((struct iomapi_sim_dev *)dev)->sim->off
		? -ENODEV : iomapi_sim_zone_report(dev, from, zones, nr_zones);
}

static int dev_attach(void *dev, void *queue)
{
	(void)dev;
	(void)queue;
	return 0;
}

/* ---- reaped ---- */

/* What was held back comes all at once. */
static bool brings_more(const struct iomapi_sim_queue *q)
{
	return q->nr_done && q->held_until == q->sim->now && q->sim->nr_events &&
	       q->sim->events[0].time == q->sim->now;
}

static int reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		int64_t timeout_ns)
{
	struct iomapi_sim_queue *q = queue;
	struct iomap_sim *sim = q->sim;
	int64_t until = iomapi_sim_until(sim, timeout_ns);
	unsigned n = 0;
	bool paused = false;

	q->refuses = false;
	while ((q->nr_done < min || (!iomapi_sim_has_tasks(sim) && brings_more(q))) &&
	       !__atomic_exchange_n(&q->woken, 0, __ATOMIC_ACQ_REL)) {
		if (!iomapi_sim_pause(sim, q, until))
			break;
		paused = true;
	}
	while (n < max && q->nr_done) {
		struct iomapi_sim_cmd *cmd = cmd_of(iomap_list_pop(&q->done));
		bool heard;

		q->nr_done--;
		q->in_flight--;
		sim->nr_unreaped--;
		heard = iomapi_sim_pass(sim, IOMAPI_SIM_PASS_REAP, cmd);
		if (!heard)
			cmd->bio->status = -ENODEV;
		sim->nr_changes++;	/* the engine goes on, and may remember it */
		iomapi_sim_judge_reaped(cmd);
		done[n++] = cmd->bio;
		if (cmd->hit.kind == IOMAPI_SIM_DUPLICATE && n < max) {
			iomapi_sim_count(sim, IOMAPI_SIM_DUPLICATE, &cmd->hit);
			done[n++] = cmd->bio;
		}
		if (heard)
			iomapi_sim_observe(sim, &cmd->hit);
		iomap_list_add_tail(&sim->free_cmds, &cmd->node);
	}
	if (n && !paused)
		iomapi_sim_point(sim, "reap");
	return (int)n;
}

static void wakeup(void *queue)
{
	struct iomapi_sim_queue *q = queue;

	__atomic_store_n(&q->woken, 1, __ATOMIC_RELEASE);
	iomapi_sim_wake(q->sim, q, UINT32_MAX);
}

/* Virtual time stands still while a program sleeps on a descriptor. */
static int event_fd(void *queue)
{
	(void)queue;
	return -ENOSYS;
}

const struct iomap_backend_ops iomapi_sim_backend = {
	.struct_size = sizeof(iomapi_sim_backend),
	.scheme = "sim",
	.queue_open = queue_open,
	.queue_close = queue_close,
	.queue_abandon = queue_abandon,
	.dev_open = dev_open,
	.dev_close = dev_close,
	.limits = limits,
	.dev_attach = dev_attach,
	.queue = iomapi_sim_queue_bio,
	.commit = iomapi_sim_commit,
	.reap = reap,
	.wakeup = wakeup,
	.event_fd = event_fd,
	.report_zones = report_zones,
};
