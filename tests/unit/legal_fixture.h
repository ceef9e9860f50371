/* SPDX-License-Identifier: MIT */
/*
 * legal_fixture.h - a simulated device, and the checker of tests/harness/legal.h that hears of
 * everything that happens to it.
 *
 * Commands go to the backend of the simulator directly, so that several flushes can be under way,
 * on two queues.  Every unit of a write holds its token, so that an image can be told from another.
 * Right before each event of the work power goes, and what is found is held to the checker.
 */
#ifndef T_LEGAL_FIXTURE_H
#define T_LEGAL_FIXTURE_H

#include "harness/harness.h"
#include "harness/legal.h"

#include "sim/explore.h"
#include "sim/zone.h"

/* Who runs the cases elsewhere may count: of a new world, after each trace, before a world goes. */
#ifndef world_ran
#define world_starts(w)	((void)(w))
#define world_ran(w)	((void)(w))
#define world_ends(w)	((void)(w))
#endif

#define LEGAL_ZEROS	253u		/* tokens of what has no number of its own */
#define LEGAL_ONES	252u
#define LEGAL_SLOTS	8u		/* commands in flight */
#define LEGAL_BLOCKS	4u		/* of a write at most */
#define LEGAL_CODES	(1u << 24)	/* of images of at most four units and two zones */

struct slot {
	struct iomap_bio bio;
	struct iomap_bvec seg;
	struct iomapi_sim_queue *queue;
	bool busy;
	uint64_t mem[LEGAL_BLOCKS * IOMAPI_SIM_MAX_BLOCK / 8];
};
struct heard {				/* an event that is about to be */
	enum iomapi_sim_what what;
	uint64_t id, second;		/* 0: the command is one write */
	bool go;			/* which of two parts */
	int status;
	bool drops;
	bool in_zone, removed;		/* it is no read or flush; its device is away */
	uint32_t zone;
};
struct world {
	struct iomap_sim_profile profile;
	struct iomap_sim_dev disk;
	struct iomap_sim_case c;
	struct iomapi_sim_run *run;
	int (*work)(struct world *w);
	struct legal_device dev;
	struct legal legal;
	struct heard next;
	uint64_t event;			/* before which power goes */
	struct iomapi_sim_queue queues[2];
	struct slot slots[LEGAL_SLOTS];
	uint8_t token;
	/* Of all, or drawn. */
	bool collects, found_any;
	uint32_t *codes;		/* found after this crash */
	uint32_t nr_codes, nr_listed;
	bool *is_found;			/* by code */
	uint64_t nr_traces, nr_crashes, nr_images, nr_generated, nr_accepted;
	char wrong[600];
};

/* ---- content ---- */

static inline uint64_t word_of(uint8_t token, uint64_t unit)
{
	if (token == LEGAL_ZEROS || token == LEGAL_ONES)
		return token == LEGAL_ZEROS ? 0 : UINT64_MAX;
	if (token == LEGAL_BLANK)
		return 0;
	return 0x1e6a1000000000 + unit * 256 + token;
}

static inline void fill(const struct world *w, uint64_t *mem, uint8_t token, uint64_t unit,
			uint64_t nr)
{
	size_t words = w->profile.logical_block / 8;

	for (; nr--; unit += !w->dev.zone)
		for (size_t i = 0; i < words; i++)
			*mem++ = word_of(token, unit);
}

static inline uint8_t token_of(const struct world *w, const uint64_t *mem, uint64_t unit)
{
	uint8_t token = (uint8_t)mem[0];

	if (!mem[0] || mem[0] == UINT64_MAX)
		token = mem[0] ? LEGAL_ONES : w->dev.zone ? LEGAL_BLANK : LEGAL_ZEROS;
	if (w->dev.zone)
		unit = 0;		/* nobody knows where an append will be */
	for (size_t i = 0; i < w->profile.logical_block / 8; i++)
		if (mem[i] != word_of(token, unit))
			return LEGAL_GARBAGE;
	return token;
}

static inline void read_image(struct world *w, struct iomap_sim *sim, uint8_t *image)
{
	uint64_t mem[IOMAPI_SIM_MAX_BLOCK / 8], hash;

	for (uint32_t u = 0; u < w->dev.nr_units; u++) {
		int rc = iomapi_sim_read_unit(&sim->devs[0], u, (uint8_t *)mem, &hash);

		image[u] = rc ? LEGAL_UNREADABLE : token_of(w, mem, u);
	}
	for (uint32_t z = 0; z < legal_nr_zones(&w->legal); z++)
		image[w->dev.nr_units + z] =
			(uint8_t)iomapi_sim_zone_know(&sim->devs[0], z)->now.at;
}

static inline uint32_t image_len(const struct world *w)
{
	return w->dev.nr_units + legal_nr_zones(&w->legal);
}

/* ---- what the checker is told ---- */

static inline void tell(struct world *w, const char *what, const uint8_t *image)
{
	const struct legal *l = &w->legal;
	int n;

	if (w->wrong[0])
		return;
	n = snprintf(w->wrong, sizeof(w->wrong), "seed %llu event %llu: %s;",
		     (unsigned long long)w->run->plan->seed, (unsigned long long)w->event, what);
	for (uint32_t i = 0; image && i < image_len(w); i++)
		n += snprintf(w->wrong + n, sizeof(w->wrong) - (size_t)n, " %u", image[i]);
	for (uint32_t i = 0; i < l->nr && n < (int)sizeof(w->wrong) - 80; i++) {
		const struct legal_cmd *c = &l->cmds[i];

		n += snprintf(w->wrong + n, sizeof(w->wrong) - (size_t)n,
			      "; op %d%s %u+%u=%u q%u at %u %u %u status %d", c->op,
			      c->fua ? " fua" : "", c->first, c->nr, c->token, c->queue,
			      c->accepted, c->linearised, c->completed, c->status);
	}
}

/* Of one that takes effect in two parts, which are writes of their own. */
static inline struct legal_cmd cmd_of(const struct world *w, const struct iomapi_sim_cmd *cmd,
				      bool go)
{
	static const enum legal_op ops[] = {
		[IOMAP_BIO_READ] = LEGAL_READ, [IOMAP_BIO_WRITE] = LEGAL_WRITE,
		[IOMAP_BIO_FLUSH] = LEGAL_FLUSH, [IOMAP_BIO_DISCARD] = LEGAL_DISCARD,
		[IOMAP_BIO_WRITE_ZEROES] = LEGAL_ZEROES,
		[IOMAP_BIO_ZONE_APPEND] = LEGAL_APPEND, [IOMAP_BIO_ZONE_RESET] = LEGAL_RESET,
		[IOMAP_BIO_ZONE_FINISH] = LEGAL_FINISH,
	};
	const struct iomap_bio *bio = cmd->bio;
	uint32_t block = w->profile.logical_block, all = (uint32_t)(bio->len / block);
	uint32_t first = go ? cmd->hit.units : 0;
	struct legal_cmd c = {
		.id = 2 * cmd->id + go, .op = ops[bio->op], .fua = bio->flags & IOMAP_BIO_FUA,
		.part = cmd->hit.in_two, .fails = cmd->hit.status,
		.queue = cmd->queue->index % w->profile.nr_queues,
		.first = (uint32_t)(bio->addr / block) + first,
		.nr = go || !cmd->hit.in_two ? all - first : cmd->hit.units,
	};

	if (c.op == LEGAL_RESET || c.op == LEGAL_FINISH)
		return c;
	if (c.op == LEGAL_WRITE || c.op == LEGAL_APPEND)
		c.token = (uint8_t)*(const uint64_t *)bio->segs->mem;
	else
		c.token = w->profile.discard == IOMAP_SIM_DISCARD_ONES && c.op == LEGAL_DISCARD ?
				  LEGAL_ONES : LEGAL_ZEROS;
	return c;
}

static inline void accepted(struct world *w, const struct iomapi_sim_cmd *cmd)
{
	for (unsigned go = 0; go <= cmd->hit.in_two; go++) {
		struct legal_cmd c = cmd_of(w, cmd, go);

		if ((c.nr || c.op == LEGAL_FLUSH || w->dev.zone) && !legal_accept(&w->legal, &c))
			tell(w, "too many commands", NULL);
	}
}

/* As commands see it: below what was found after a crash. */
static inline uint32_t pointer_of(const struct world *w, uint32_t zone)
{
	const struct iomapi_sim_image *image = &w->run->sim->devs[0].image;

	if (w->run->depth > 1)
		image = image->below;
	return image->zones[zone].now.at;
}

/* The event has happened. */
static inline void happened(struct world *w)
{
	struct heard *h = &w->next;
	struct legal *l = &w->legal;
	bool ok = true;

	if (h->what == IOMAPI_SIM_PASS_LINEARISE && h->in_zone)
		ok = h->removed || legal_zone(l, 2 * h->id, pointer_of(w, h->zone));
	else if (h->what == IOMAPI_SIM_PASS_LINEARISE)
		ok = h->removed || legal_linearise(l, 2 * h->id + h->go) || h->second;
	/* What is in flight when a device goes stays so. */
	if (h->what == IOMAPI_SIM_PASS_COMPLETE && h->status != -ENODEV) {
		ok = legal_complete(l, 2 * h->id, h->status, h->drops) || h->second;
		if (h->second)
			ok &= legal_complete(l, 2 * h->id + 1, h->status, false);
	}
	h->what = 0;
	if (!ok)
		tell(w, "an event that cannot be", NULL);
}

/* ---- images ---- */

static inline uint32_t code_of(const struct world *w, const uint8_t *image)
{
	uint32_t code = 0;

	for (uint32_t u = 0; u < image_len(w); u++)
		code = code << 4 | (image[u] & 15);	/* garbage is 14 */
	return code;
}

static inline void forget_found(struct world *w)
{
	while (w->nr_codes)
		w->is_found[w->codes[--w->nr_codes]] = false;
}

static inline void list_one(void *arg, const uint8_t *image)
{
	struct world *w = arg;

	w->nr_listed++;
	if (!w->is_found[code_of(w, image)])
		tell(w, "legal, but never generated", image);
}

/* All that may be found after this crash was found; where the simulator saw no need to crash again,
 * it is what was found before. */
static inline void compare(struct world *w)
{
	if (!w->collects || !w->event || w->wrong[0])
		return;
	w->nr_listed = 0;
	legal_each(&w->legal, list_one, w);
	if (!w->found_any && w->nr_listed != w->nr_codes)
		tell(w, "a crash that was left out", NULL);
	if (w->nr_listed != w->nr_codes)
		tell(w, "the counts differ", NULL);
	w->nr_crashes++;
	w->nr_generated += w->nr_codes;
	w->nr_accepted += w->nr_listed;
}

static inline void next_crash(struct world *w, uint64_t event)
{
	compare(w);
	happened(w);
	w->event = event;
	w->found_any = false;
}

static inline int look_at_image(struct iomap_sim *sim, void *arg)
{
	struct world *w = arg;
	uint8_t image[LEGAL_IMAGE];
	uint32_t code;

	if (!sim->run->event[1])
		return 0;		/* the end of work: no crash */
	if (sim->run->event[1] != w->event)
		next_crash(w, sim->run->event[1]);
	read_image(w, sim, image);
	w->nr_images++;
	if (!legal_image(&w->legal, image))
		tell(w, "not legal", image);
	if (!w->collects)
		return 0;
	if (!w->found_any)
		forget_found(w);
	w->found_any = true;
	code = code_of(w, image);
	if (!w->is_found[code])
		w->codes[w->nr_codes++] = code;
	w->is_found[code] = true;
	return 0;
}

static inline void on_event(void *arg, enum iomapi_sim_what what, const struct iomapi_sim_cmd *cmd)
{
	struct world *w = arg;

	next_crash(w, w->run->sim->nr_passed);
	w->next = (struct heard){
		.what = what, .id = cmd->id, .second = cmd->hit.in_two, .go = cmd->go,
		.status = cmd->dev->removed ? -ENODEV : cmd->hit.status,
		.drops = cmd->hit.kind == IOMAPI_SIM_FLUSH_ERROR_DROPS,
		.in_zone = w->dev.zone && cmd->bio->op != IOMAP_BIO_READ &&
			   cmd->bio->op != IOMAP_BIO_FLUSH,
		.removed = cmd->dev->removed,
		.zone = w->dev.zone ? (uint32_t)(cmd->bio->addr / w->profile.zone_size) : 0,
	};
	if (what == IOMAPI_SIM_PASS_ACCEPT)	/* it has been */
		accepted(w, cmd);
}

/* ---- the host ---- */

static inline void reap_some(struct world *w, unsigned queue, unsigned min)
{
	struct iomap_bio *done[LEGAL_SLOTS];
	int n = iomapi_sim_backend.reap(&w->queues[queue], done, min, LEGAL_SLOTS, -1);

	for (int i = 0; i < n; i++)
		iomap_container_of(done[i], struct slot, bio)->busy = false;
}

static inline void wait_all(struct world *w)
{
	for (unsigned q = 0; q < 2; q++)
		while (w->queues[q].in_flight)
			reap_some(w, q, 1);
}

static inline struct slot *free_slot(struct world *w)
{
	for (;;) {
		for (unsigned i = 0; i < LEGAL_SLOTS; i++)
			if (!w->slots[i].busy)
				return &w->slots[i];
		reap_some(w, w->queues[0].in_flight ? 0 : 1, 1);
	}
}

/* On its way, and not waited for. */
static inline void send(struct world *w, unsigned queue, enum iomap_bio_op op, uint32_t first,
			uint32_t nr, unsigned flags)
{
	struct iomapi_sim_dev *dev = &w->run->sim->devs[0];
	uint32_t block = w->profile.logical_block;
	struct slot *s = free_slot(w);
	enum iomap_queued answer;

	if (w->profile.volatile_cache && w->profile.fua == IOMAP_SIM_FUA_NONE)
		flags = 0;
	s->bio = (struct iomap_bio){
		.op = (uint8_t)op, .flags = (uint16_t)flags, .addr = (uint64_t)first * block,
		.len = (uint64_t)nr * block, .segs = &s->seg, .max_segs = 1, .owner = dev,
		.nr_segs = op == IOMAP_BIO_READ || op == IOMAP_BIO_WRITE ||
			   op == IOMAP_BIO_ZONE_APPEND,
	};
	s->seg = (struct iomap_bvec){ s->mem, nr * block, NULL };
	if (op == IOMAP_BIO_WRITE || op == IOMAP_BIO_ZONE_APPEND)
		fill(w, s->mem, ++w->token, w->dev.zone ? 0 : first, nr);
	while ((answer = iomapi_sim_backend.queue(&w->queues[queue], dev, &s->bio)) ==
	       IOMAP_QUEUE_BUSY)
		reap_some(w, queue, w->queues[queue].in_flight ? 1 : 0);
	s->busy = answer == IOMAP_QUEUE_QUEUED;
}

/* ---- a world ---- */

static inline int format_units(struct iomap_sim *sim, void *arg)
{
	struct world *w = arg;
	uint64_t mem[IOMAPI_SIM_MAX_BLOCK / 8];
	size_t block = w->profile.logical_block;

	for (uint64_t u = 0; !w->dev.zone && u < w->disk.size / block; u++) {
		fill(w, mem, LEGAL_INITIAL, u, 1);
		if (iomap_sim_pwrite(sim, "disk", mem, block, u * block, 0) != (int64_t)block)
			return -EIO;
	}
	return 0;
}

static inline int work_of(struct iomap_sim *sim, void *arg)
{
	struct world *w = arg;
	int rc;

	for (unsigned q = 0; q < 2; q++) {
		w->queues[q] = (struct iomapi_sim_queue){ .sim = sim, .index = q };
		iomap_list_init(&w->queues[q].done);
	}
	memset(w->slots, 0, sizeof(w->slots));
	w->token = 0;
	rc = w->work(w);
	wait_all(w);
	return rc;
}

static inline void describe(struct world *w, uint32_t units)
{
	const struct iomap_sim_profile *p = &w->profile;
	uint32_t block = p->logical_block;

	w->dev = (struct legal_device){
		.nr_units = units, .physical = p->physical_block / block,
		.atomic = p->atomic_power_fail / block, .boundary = p->atomic_boundary / block,
		.cache = p->volatile_cache, .power_safe = p->power_safe_overwrite,
		.shorn = p->shorn_sectors, .fua_flushes = p->fua == IOMAP_SIM_FUA_EMULATED,
		.discard_any = p->discard == IOMAP_SIM_DISCARD_ANY,
		.zone = (uint32_t)(p->zone_size / block),
		.capacity = (uint32_t)(p->zone_capacity / block),
		.order = p->order == IOMAP_SIM_ORDER_FIFO	     ? LEGAL_FIFO :
			 p->order == IOMAP_SIM_ORDER_PER_QUEUE ? LEGAL_PER_QUEUE : LEGAL_ANY,
	};
}

/* Of that many units; work draws from the choices of the run. */
static inline void world_start(struct world *w, const struct iomap_sim_profile *profile,
			       uint32_t units, int (*work)(struct world *w))
{
	memset(w, 0, sizeof(*w));
	world_starts(w);
	w->profile = *profile;
	w->work = work;
	describe(w, units);
	w->disk = (struct iomap_sim_dev){
		.name = "disk", .profile = &w->profile,
		.size = (uint64_t)units * profile->logical_block,
	};
	w->c = (struct iomap_sim_case){
		.struct_size = sizeof(w->c), .name = "legal", .devs = &w->disk, .nr_devs = 1,
		.format = format_units, .work = work_of, .check = look_at_image, .arg = w,
	};
	w->codes = calloc(LEGAL_CODES, sizeof(*w->codes));
	w->is_found = calloc(LEGAL_CODES, sizeof(*w->is_found));
	ck_assert_ptr_nonnull(w->codes);
	ck_assert_ptr_nonnull(w->is_found);
	ck_assert_int_eq(iomapi_sim_run_new(&w->c, 0, &w->run), 0);
	w->run->on_event = on_event;
	w->run->on_event_arg = w;
}

static inline void world_stop(struct world *w)
{
	world_ends(w);
	iomapi_sim_run_delete(&w->run);
	free(w->codes);
	free(w->is_found);
}

/* One execution, with a crash before each event and behind the last one. */
static inline void world_run(struct world *w, const struct iomapi_sim_plan *plan)
{
	legal_start(&w->legal, &w->dev);
	forget_found(w);
	w->next.what = 0;
	w->event = 0;
	w->found_any = false;
	ck_assert_msg(!iomapi_sim_execute(w->run, plan), "%s: %s", w->run->failure.oracle,
		      w->run->failure.text);
	if (w->next.what)		/* its last crash was left out */
		next_crash(w, w->event + 1);
	compare(w);
	w->nr_traces++;
	ck_assert_msg(!w->wrong[0], "%s", w->wrong);
	world_ran(w);
}

#endif
