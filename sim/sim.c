/* SPDX-License-Identifier: MIT */
/*
 * sim.c - a simulation: its clock, its events, its power.
 *
 * Time passes only from event to event.  Events stand in a heap ordered by (time, class, id), so
 * that nothing depends on where things lie in memory.  Every event goes into the digest, with the
 * hash of what was written or read.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "oracle.h"
#include "task.h"

#define MAX_SIZE ((uint64_t)1 << 40)

/* ---- events ---- */

static bool before(const struct iomapi_sim_event *a, const struct iomapi_sim_event *b)
{
	if (a->time != b->time)
		return a->time < b->time;
	if (a->class != b->class)
		return a->class < b->class;
	return a->id < b->id;
}

int iomapi_sim_events_reserve(struct iomap_sim *sim, size_t nr)
{
	struct iomapi_sim_event *more;
	size_t max = sim->max_events ? sim->max_events * 2 : 64;

	if (sim->nr_events + nr <= sim->max_events)
		return 0;
	more = iomapi_sim_level_alloc(sim, max * sizeof(*more));
	if (!more)
		return -ENOMEM;
	if (sim->events)
		memcpy(more, sim->events, sim->nr_events * sizeof(*more));
	iomapi_sim_level_free(sim, sim->events);
	sim->events = more;
	sim->max_events = max;
	return 0;
}

void iomapi_sim_schedule(struct iomap_sim *sim, struct iomapi_sim_cmd *cmd,
			 enum iomapi_sim_class class, int64_t time)
{
	const struct iomapi_sim_event event = { time, cmd->id, class, cmd };
	size_t i = sim->nr_events++;

	for (; i && before(&event, &sim->events[(i - 1) / 2]); i = (i - 1) / 2)
		sim->events[i] = sim->events[(i - 1) / 2];
	sim->events[i] = event;
}

static struct iomapi_sim_event take_first(struct iomap_sim *sim)
{
	struct iomapi_sim_event first = sim->events[0], last = sim->events[--sim->nr_events];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < sim->nr_events) {
		if (child + 1 < sim->nr_events &&
		    before(&sim->events[child + 1], &sim->events[child]))
			child++;
		if (!before(&sim->events[child], &last))
			break;
		sim->events[i] = sim->events[child];
		i = child;
	}
	sim->events[i] = last;
	return first;
}

/* ---- the digest ---- */

/* What it brought, or brings. */
static bool has_data(enum iomapi_sim_what what, const struct iomapi_sim_cmd *cmd)
{
	if (what == IOMAPI_SIM_PASS_ACCEPT)
		return cmd->bio->op == IOMAP_BIO_WRITE ||
		       cmd->bio->op == IOMAP_BIO_ZONE_APPEND;
	return what == IOMAPI_SIM_PASS_REAP && cmd->bio->op == IOMAP_BIO_READ && !cmd->bio->status;
}

static void hash_event(struct iomap_sim *sim, enum iomapi_sim_what what,
		       const struct iomapi_sim_cmd *cmd)
{
	uint64_t words[8] = { sim->digest, what, (uint64_t)sim->now };

	if (cmd) {
		words[1] |= (uint64_t)(uint32_t)cmd->bio->status << 32;
		words[3] = cmd->id;
		words[4] = (uint64_t)cmd->bio->op << 32 | cmd->bio->flags;
		words[5] = cmd->bio->addr;
		words[6] = cmd->bio->len;
		words[7] = has_data(what, cmd) ? cmd->hash : 0;
	}
	for (unsigned i = 0; i < 8; i++)
		words[i] = htole64(words[i]);
	sim->digest = iomapi_sim_hash(words, sizeof(words));
}

/* ---- power ---- */

void iomapi_sim_power_off(struct iomap_sim *sim)
{
	sim->off = true;
	sim->cut_at = 0;
	sim->nr_events = 0;		/* all are of commands, and none goes on */
	hash_event(sim, IOMAPI_SIM_PASS_CUT, NULL);
	for (unsigned i = 0; i < sim->nr_devs; i++)
		iomapi_sim_dev_off(&sim->devs[i]);
}

bool iomapi_sim_pass(struct iomap_sim *sim, enum iomapi_sim_what what,
		     const struct iomapi_sim_cmd *cmd)
{
	if (sim->off)
		return false;
	if (sim->nr_passed++ == sim->cut_at - 1) {
		iomapi_sim_power_off(sim);
		return false;
	}
	if (sim->run && sim->nr_passed > IOMAPI_SIM_MAX_EVENTS) {
		iomapi_sim_give_up(sim, "events", IOMAPI_SIM_MAX_EVENTS);
		return false;
	}
	iomapi_sim_looked(sim, 44);
	if (sim->run) {
		sim->run->idle = 0;
		iomapi_sim_hear(sim, what, cmd);
		if (sim->nr_passed == sim->run->next_crash)
			iomapi_sim_on_main(sim, iomapi_sim_strike);
		iomapi_sim_see(sim, what, cmd);
		if (sim->run->log)
			iomapi_sim_log(sim->run, what, cmd);
	}
	hash_event(sim, what, cmd);
	return true;
}

/* 146 years: no sum of it and of what rules may say wraps.  Waits move the clock no further, but
 * commands do, so a wait without an end has a later one. */
#define MAX_TIME ((int64_t)1 << 62)
#define NO_END INT64_MAX

int64_t iomapi_sim_until(const struct iomap_sim *sim, int64_t timeout_ns)
{
	int64_t left = sim->now < MAX_TIME ? MAX_TIME - sim->now : 0;

	if (timeout_ns < 0 || timeout_ns > left)
		return NO_END;
	return sim->now + timeout_ns;
}

void iomapi_sim_pass_time(struct iomap_sim *sim, int64_t until)
{
	iomapi_sim_idle(sim);
	if (until < NO_END)
		sim->now = until;
}

bool iomapi_sim_step(struct iomap_sim *sim)
{
	struct iomapi_sim_event event;

	if (!sim->nr_events)
		return false;
	event = take_first(sim);
	sim->now = event.time;
	if (event.class == IOMAPI_SIM_AT_LINEARISE) {
		if (iomapi_sim_pass(sim, IOMAPI_SIM_PASS_LINEARISE, event.cmd))
			iomapi_sim_cmd_linearise(event.cmd);
	} else if (iomapi_sim_pass(sim, IOMAPI_SIM_PASS_COMPLETE, event.cmd)) {
		iomapi_sim_cmd_complete(event.cmd);
	}
	return true;
}

IOMAP_API int iomap_sim_cut_at(struct iomap_sim *sim, uint64_t event)
{
	if (sim->off || sim->run || !event || event > UINT64_MAX - sim->nr_passed)
		return -EINVAL;
	sim->cut_at = sim->nr_passed + event;
	return 0;
}

IOMAP_API bool iomap_sim_is_off(const struct iomap_sim *sim)
{
	return sim->off;
}

IOMAP_API int iomap_sim_power_on(struct iomap_sim *sim)
{
	if (!sim->off)
		return -EINVAL;
	if (sim->nr_unreaped)
		return -EBUSY;
	iomapi_sim_files_drop(sim);
	for (unsigned i = 0; i < sim->nr_devs; i++) {
		int rc = iomapi_sim_settle(&sim->devs[i]);

		if (rc)
			return rc;	/* those before it have nothing open any more */
		sim->devs[i].removed = false;
		memset(sim->devs[i].last, 0, sizeof(sim->devs[i].last));
	}
	sim->off = false;
	hash_event(sim, IOMAPI_SIM_PASS_POWER_ON, NULL);
	return 0;
}

/* ---- life ---- */

/* A power of two, and not smaller. */
static bool fits(uint32_t n, uint32_t least)
{
	return n >= least && !(n & (n - 1));
}

/* Each is a log, so nothing else orders, shears or hurts what is in it. */
static bool zones_ok(const struct iomap_sim_profile *p)
{
	uint64_t size = p->zone_size;

	if (!size)
		return !p->zone_capacity && !p->max_append && !p->max_open_zones;
	if (size & (size - 1) || size < p->physical_block || size > 1u << 30)
		return false;
	if (!p->zone_capacity || p->zone_capacity > size || p->zone_capacity % p->physical_block)
		return false;
	if (!p->max_append || p->max_append > p->zone_capacity || p->max_append > p->max_bytes ||
	    p->max_append % p->logical_block)
		return false;
	return p->order == IOMAP_SIM_ORDER_ANY && p->power_safe_overwrite && !p->shorn_sectors;
}

static bool profile_ok(const struct iomap_sim_profile *p)
{
	uint32_t block = p->logical_block;

	if (p->struct_size < sizeof(*p) || (block != 512 && block != IOMAPI_SIM_MAX_BLOCK))
		return false;
	if (!fits(p->physical_block, block) || !fits(p->atomic_normal, block) ||
	    !fits(p->atomic_power_fail, block))
		return false;
	if (p->atomic_boundary && (!fits(p->atomic_boundary, p->atomic_normal) ||
				   !fits(p->atomic_boundary, p->atomic_power_fail)))
		return false;
	if (!fits(p->memory_align, 1) || p->memory_align > 65536 || p->max_bytes < p->memory_align)
		return false;
	if (p->order > IOMAP_SIM_ORDER_FIFO || p->fua > IOMAP_SIM_FUA_NATIVE ||
	    p->discard > IOMAP_SIM_DISCARD_ONES)
		return false;
	if (!zones_ok(p))
		return false;
	return p->max_bytes >= block && !(p->max_bytes % block) && p->max_bytes <= 1u << 30 &&
	       p->max_segs && p->queue_depth && p->nr_queues &&
	       p->nr_queues <= IOMAPI_SIM_QUEUES;
}

static int dev_init(struct iomap_sim *sim, unsigned i, const struct iomap_sim_dev *opts)
{
	const struct iomap_sim_profile *profile =
		opts->profile ? opts->profile : iomap_sim_preset(opts->preset);
	struct iomapi_sim_dev *dev = &sim->devs[i];

	iomap_list_init(&dev->in_flight);	/* even of one that cannot be */
	if (!profile || !profile_ok(profile) || !opts->name || !*opts->name ||
	    strlen(opts->name) >= sizeof(dev->name) || strpbrk(opts->name, " ,:;=+@\t\r\n"))
		return -EINVAL;
	for (unsigned other = 0; other < i; other++)
		if (!strcmp(sim->devs[other].name, opts->name))
			return -EEXIST;
	if (!opts->size || opts->size % profile->physical_block || opts->size > MAX_SIZE)
		return -EINVAL;
	if (profile->zone_size && opts->size % profile->zone_size)
		return -EINVAL;
	dev->sim = sim;
	dev->index = i;
	strcpy(dev->name, opts->name);
	dev->profile = *profile;
	dev->size = opts->size;
	dev->nr_units = opts->size / profile->logical_block;
	return iomapi_sim_image_new(dev);
}

IOMAP_API int iomap_sim_new(const struct iomap_sim_opts *opts, struct iomap_sim **result)
{
	struct iomap_sim *sim;
	int rc = 0;

	*result = NULL;
	if (!opts || opts->struct_size < sizeof(*opts) || !opts->devs || !opts->nr_devs)
		return -EINVAL;
	sim = iomapi_sim_zalloc(sizeof(*sim));
	if (!sim)
		return -ENOMEM;
	iomapi_sim_choice_init(&sim->choice, opts->seed);
	sim->noise_seed = opts->seed;
	iomap_list_init(&sim->free_cmds);
	iomap_list_init(&sim->blocks);
	sim->backends[0] = &iomapi_sim_backend;
	sim->backend_args[0] = sim;
	sim->devs = iomapi_sim_zalloc(opts->nr_devs * sizeof(*sim->devs));
	sim->oracles = iomapi_sim_zalloc(sizeof(*sim->oracles));
	if (!sim->devs || !sim->oracles)
		rc = -ENOMEM;
	for (unsigned i = 0; !rc && i < opts->nr_devs; i++, sim->nr_devs++)
		rc = dev_init(sim, i, &opts->devs[i]);
	if (rc)
		iomap_sim_delete(&sim);
	*result = sim;
	return rc;
}

IOMAP_API void iomap_sim_delete(struct iomap_sim **sim)
{
	struct iomap_sim *s = *sim;
	struct iomap_list *l;

	if (!s)
		return;
	iomapi_sim_tasks_free(s);
	iomapi_sim_files_drop(s);
	for (unsigned i = 0; i < s->nr_devs; i++) {
		while ((l = iomap_list_pop(&s->devs[i].in_flight)))
			iomap_list_add_tail(&s->free_cmds, l);	/* an environment left it */
		iomapi_sim_image_delete(&s->devs[i]);
	}
	while ((l = iomap_list_pop(&s->free_cmds)))
		iomapi_sim_free(iomap_container_of(l, struct iomapi_sim_cmd, node));
	while ((l = iomap_list_pop(&s->blocks)))
		iomapi_sim_free(l);
	iomapi_sim_disarm(s);
	iomapi_sim_free(s->devs);
	if (s->oracles)
		iomapi_sim_hosts_delete(s);
	iomapi_sim_free(s->oracles);
	iomapi_sim_free(s->events);
	iomapi_sim_free(s->choice.record);
	iomapi_sim_free(s);
	*sim = NULL;
}

/* ---- to look at ---- */

IOMAP_API uint64_t iomap_sim_run_digest(const struct iomap_sim *sim)
{
	return sim->digest;
}

IOMAP_API int64_t iomap_sim_now_ns(const struct iomap_sim *sim)
{
	iomapi_sim_idle(sim);
	return iomapi_sim_is_late(sim) ? MAX_TIME : sim->now;
}

IOMAP_API uint64_t iomap_sim_nr_events(const struct iomap_sim *sim)
{
	return sim->nr_passed;
}

struct iomapi_sim_dev *iomapi_sim_find(const struct iomap_sim *sim, const char *name)
{
	for (unsigned i = 0; i < sim->nr_devs; i++)
		if (!strcmp(sim->devs[i].name, name))
			return &sim->devs[i];
	return NULL;
}

IOMAP_API int64_t iomap_sim_hazards(const struct iomap_sim *sim, const char *name)
{
	const struct iomapi_sim_dev *dev = iomapi_sim_find(sim, name);

	return dev ? (int64_t)dev->nr_hazards : -ENOENT;
}
