/* SPDX-License-Identifier: MIT */
/*
 * fault.c - what armed rules do to commands.
 *
 * A rule looks at each command before a device accepts it, and decides then and there, so that
 * nothing later needs memory: the command carries the hit with it.  Only units that cannot be read
 * are looked for when a read takes effect, since a write before it may have mended them.
 */
#include <errno.h>
#include <string.h>

#include "sim.h"

#define SECOND INT64_C(1000000000)
#define ALL (IOMAPI_SIM_READS | IOMAPI_SIM_WRITES | IOMAPI_SIM_FLUSHES)
#define DATA (1 << IOMAP_BIO_READ | 1 << IOMAP_BIO_WRITE)

#define KIND(kind, text, can, error, ...) \
	[IOMAPI_SIM_##kind] = { .name = text, .ops = can, .status = error, __VA_ARGS__ }

const struct iomapi_sim_kind_info iomapi_sim_kinds[IOMAPI_SIM_NR_KINDS] = {
	KIND(EIO_READ, "eio_read", IOMAPI_SIM_READS, -EIO),
	KIND(EIO_READ_UNTIL_WRITTEN, "eio_read_until_written", IOMAPI_SIM_READS, 0, .medium = true),
	KIND(EIO_WRITE, "eio_write", IOMAPI_SIM_WRITES, -EIO),
	KIND(EIO_WRITE_PERSISTENT, "eio_write_persistent", IOMAPI_SIM_WRITES, -EIO, .stays = true,
	     .medium = true),
	KIND(LANDED, "landed", IOMAPI_SIM_WRITES, -EIO),
	KIND(TORN, "torn", IOMAPI_SIM_WRITES, -EIO, .units = true),
	KIND(FLUSH_ERROR, "flush_error", IOMAPI_SIM_FLUSHES, -EIO),
	KIND(FLUSH_ERROR_DROPS, "flush_error_drops", IOMAPI_SIM_FLUSHES, -EIO),
	KIND(ENOSPC, "enospc", IOMAPI_SIM_WRITES, -ENOSPC),
	KIND(SHORT_READ, "short_read", IOMAPI_SIM_READS, 0, .units = true),
	KIND(SHORT_WRITE, "short_write", 1 << IOMAP_BIO_WRITE, 0, .units = true),
	KIND(ZERO_LENGTH, "zero_length", DATA, 0),
	KIND(BUSY, "busy", ALL, 0),
	KIND(PARTIAL_BATCH, "partial_batch", ALL, 0),
	KIND(TIMEOUT, "timeout", ALL, 0, .ns = 30 * SECOND),
	KIND(LOST, "lost", ALL, -ETIMEDOUT, .ns = 30 * SECOND),
	KIND(REORDERED, "reordered", ALL, 0, .ns = SECOND / 1000),
	KIND(SLOW, "slow", ALL, 0, .ns = SECOND / 10),
	KIND(REMOVED, "removed", ALL, -ENODEV),
	KIND(READ_ONLY, "read_only", ALL, 0, .medium = true),
	KIND(CQ_OVERFLOW, "cq_overflow", ALL, 0, .ns = SECOND / 1000),
	KIND(ALLOC_FAILS, "alloc_fails", 0, 0),
	KIND(SHORT_COPY, "short_copy", 0, 0),
	KIND(CALLBACK_FAILS, "callback_fails", 0, -EIO),
	KIND(HOSTILE_MAP, "hostile_map", 0, 0),
	KIND(FLUSH_LIES, "flush_lies", IOMAPI_SIM_FLUSHES, 0),
	KIND(FUA_IGNORED, "fua_ignored", IOMAPI_SIM_WRITES, 0),
	KIND(DUPLICATE, "duplicate", ALL, 0),
	KIND(MISDIRECTED_WRITE, "misdirected_write", 1 << IOMAP_BIO_WRITE, 0),
	KIND(MISDIRECTED_READ, "misdirected_read", IOMAPI_SIM_READS, 0),
	KIND(BIT_ROT, "bit_rot", IOMAPI_SIM_READS, 0, .medium = true),
	KIND(STALE_READ, "stale_read", IOMAPI_SIM_READS, 0),
	KIND(PHANTOM_WRITE, "phantom_write", 1 << IOMAP_BIO_WRITE, 0),
};

enum iomapi_sim_kind iomapi_sim_kind_of(const char *name, size_t len)
{
	for (enum iomapi_sim_kind k = 1; k < IOMAPI_SIM_NR_KINDS; k++)
		if (strlen(iomapi_sim_kinds[k].name) == len &&
		    !memcmp(iomapi_sim_kinds[k].name, name, len))
			return k;
	return IOMAPI_SIM_NO_FAULT;
}

/* ---- which command ---- */

static bool touches(const struct iomapi_sim_rule *r, const struct iomapi_sim_dev *dev,
		    const struct iomap_bio *bio)
{
	uint64_t zone = dev->profile.zone_size;

	if (bio->op == IOMAP_BIO_ZONE_APPEND || bio->op == IOMAP_BIO_ZONE_RESET ||
	    bio->op == IOMAP_BIO_ZONE_FINISH)	/* somewhere in it */
		return bio->addr / zone >= r->first / zone && bio->addr / zone <= r->last / zone;
	return bio->op == IOMAP_BIO_FLUSH ||
	       (bio->addr <= r->last && r->first < bio->addr + bio->len);
}

/* So many units of it can be done without the others. */
static bool can_be_short(const struct iomapi_sim_rule *r, const struct iomapi_sim_dev *dev,
			 const struct iomap_bio *bio)
{
	uint64_t nr = bio->len / dev->profile.logical_block;

	if (iomapi_sim_is_atomic(dev, bio))
		return false;
	if (r->kind == IOMAPI_SIM_SHORT_WRITE && iomapi_sim_is_one_group(dev, bio))
		return false;		/* power could go between its parts */
	return nr > 1 && nr > r->units;
}

/* A write to a zone has no parts that come later, and no other place. */
static bool leaves_the_pointer(const struct iomapi_sim_rule *r)
{
	return r->kind == IOMAPI_SIM_SHORT_WRITE || r->kind == IOMAPI_SIM_ZERO_LENGTH ||
	       r->kind == IOMAPI_SIM_MISDIRECTED_WRITE;
}

static bool means(const struct iomapi_sim_rule *r, const struct iomapi_sim_dev *dev,
		  const struct iomap_bio *bio)
{
	if (!(r->ops >> bio->op & 1))
		return false;
	if (r->dev && r->dev != dev)
		return false;
	if (r->kind == IOMAPI_SIM_FUA_IGNORED &&
	    (!(bio->flags & IOMAP_BIO_FUA) || !dev->profile.volatile_cache))
		return false;
	if (dev->image.zones && bio->op == IOMAP_BIO_WRITE && leaves_the_pointer(r))
		return false;
	return touches(r, dev, bio) &&
	       (!iomapi_sim_kinds[r->kind].units || can_be_short(r, dev, bio));
}

/* The next command is the one, if the rule means it. */
static bool is_due(const struct iomapi_sim_rule *r)
{
	uint64_t is = r->op ? r->offered + 1 : r->met + 1, want = r->op ? r->op : r->nth;

	if (r->spent)
		return false;
	return iomapi_sim_kinds[r->kind].stays ? is >= want : is == want;
}

static bool refuses(const struct iomapi_sim_rule *r)
{
	return r->kind == IOMAPI_SIM_BUSY || r->kind == IOMAPI_SIM_PARTIAL_BATCH;
}

/* The rule for this command; everything but a refused offer counts. */
static struct iomapi_sim_rule *look(struct iomapi_sim_dev *dev, const struct iomap_bio *bio,
				    bool busy)
{
	struct iomap_sim *sim = dev->sim;
	struct iomapi_sim_rule *found = NULL;

	for (size_t i = 0; i < sim->nr_rules; i++) {
		struct iomapi_sim_rule *r = &sim->rules[i];
		bool met = means(r, dev, bio), due = met && is_due(r);

		if (busy) {
			if (due && refuses(r))
				return r;
			continue;
		}
		r->offered++;
		if (due && found)
			continue;	/* with nth it is due again */
		r->met += met;
		if (due)
			found = r;
	}
	return found;
}

/* ---- what it does ---- */

_Static_assert(IOMAPI_SIM_NR_KINDS <= 64, "a bit for each kind");

/* A command can meet two: late, and not readable. */
void iomapi_sim_count(struct iomap_sim *sim, unsigned kind, struct iomapi_sim_hit *hit)
{
	sim->counters[kind].fired++;
	hit->kinds |= (uint64_t)1 << kind;
}

void iomapi_sim_observe(struct iomap_sim *sim, const struct iomapi_sim_hit *hit)
{
	for (unsigned kind = 0; hit->kinds && kind < IOMAPI_SIM_NR_KINDS; kind++)
		sim->counters[kind].observed += hit->kinds >> kind & 1;
}

/* Those of the command that the rule means cannot be read from now on. */
static int spoil(struct iomapi_sim_rule *r, const struct iomapi_sim_dev *dev,
		 const struct iomap_bio *bio)
{
	uint64_t block = dev->profile.logical_block, last = bio->addr + bio->len - 1;
	uint64_t first = r->first > bio->addr ? r->first / block : bio->addr / block;

	if (r->last < last)
		last = r->last;
	r->nr_bad = last / block - first + 1;
	r->bad = iomapi_sim_zalloc((r->nr_bad + 63) / 64 * 8);
	if (!r->bad)
		return -ENOMEM;
	for (uint64_t i = 0; i < r->nr_bad; i++)
		r->bad[i / 64] |= (uint64_t)1 << (i % 64);
	r->bad_unit = first;
	r->bad_dev = dev;
	return 0;
}

/* Of a write that fails: see iomapi_sim_tear; a reset or finish is one.  Of a command in two goes:
 * in the first. */
static uint32_t units_of(const struct iomapi_sim_rule *r, const struct iomapi_sim_dev *dev,
			 const struct iomap_bio *bio)
{
	uint32_t nr = bio->len ? (uint32_t)(bio->len / dev->profile.logical_block) : 1;

	switch (r->kind) {
	case IOMAPI_SIM_LANDED:
		return nr;
	case IOMAPI_SIM_LOST:
		return iomap_sim_choose(dev->sim, "lost", 2) ? nr : 0;
	case IOMAPI_SIM_ZERO_LENGTH:
		return 0;
	case IOMAPI_SIM_TORN:
	case IOMAPI_SIM_SHORT_READ:
	case IOMAPI_SIM_SHORT_WRITE:
		return r->units ? r->units : 1 + iomap_sim_choose(dev->sim, "short", nr - 1);
	}
	return IOMAPI_SIM_CHOSEN;
}

/* Units away, to be added, around the end of the device: not far, for mistakes of an address are
 * mostly of one bit or one block. */
static uint64_t elsewhere(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio)
{
	uint64_t block = dev->profile.logical_block, places;

	places = dev->nr_units - bio->len / block + 1;
	return places > 1 ? 1 + iomap_sim_choose(dev->sim, "away",
						 (uint32_t)(places < 64 ? places - 1 : 63)) : 0;
}

/* 0, or -ENOMEM: the command ends with it at once. */
static int fire(struct iomapi_sim_rule *r, struct iomapi_sim_dev *dev, const struct iomap_bio *bio,
		struct iomapi_sim_hit *hit)
{
	const struct iomapi_sim_kind_info *info = &iomapi_sim_kinds[r->kind];

	r->spent = !info->stays;
	hit->kind = r->kind;
	hit->status = info->status;
	hit->units = units_of(r, dev, bio);
	switch (r->kind) {
	case IOMAPI_SIM_EIO_READ_UNTIL_WRITTEN:
	case IOMAPI_SIM_BIT_ROT:
		return spoil(r, dev, bio);	/* counted when it is read */
	case IOMAPI_SIM_CQ_OVERFLOW:
		hit->late_ns = r->ns;
		return 0;			/* counted with all that it holds back */
	case IOMAPI_SIM_STALE_READ:
	case IOMAPI_SIM_DUPLICATE:
		return 0;			/* counted when there is something to do */
	case IOMAPI_SIM_MISDIRECTED_WRITE:
	case IOMAPI_SIM_MISDIRECTED_READ:
		hit->away = elsewhere(dev, bio);
		if (!hit->away)
			return 0;		/* it takes up the whole device */
		break;
	case IOMAPI_SIM_READ_ONLY:
		dev->read_only = true;
		return 0;			/* counted with each write */
	case IOMAPI_SIM_REMOVED:
		dev->removed = true;
		break;
	case IOMAPI_SIM_TIMEOUT:
		if (iomap_sim_choose(dev->sim, "late", 2))
			hit->before_ns = r->ns;
		else
			hit->after_ns = r->ns;
		break;
	case IOMAPI_SIM_SLOW:
		hit->before_ns = r->ns;
		break;
	case IOMAPI_SIM_LOST:
	case IOMAPI_SIM_REORDERED:
		hit->late_ns = r->ns;
		break;
	case IOMAPI_SIM_SHORT_READ:
	case IOMAPI_SIM_SHORT_WRITE:
	case IOMAPI_SIM_ZERO_LENGTH:
		hit->in_two = true;
		break;
	}
	iomapi_sim_count(dev->sim, r->kind, hit);
	return 0;
}

enum iomap_queued iomapi_sim_offer(struct iomapi_sim_dev *dev, struct iomap_bio *bio,
				   struct iomapi_sim_hit *hit)
{
	struct iomapi_sim_rule *r;

	if (dev->removed) {
		hit->status = -ENODEV;
		return IOMAP_QUEUE_QUEUED;
	}
	r = look(dev, bio, true);
	if (r) {
		r->spent = true;
		iomapi_sim_count(dev->sim, r->kind, hit);
		iomapi_sim_observe(dev->sim, hit);	/* at once */
		hit->kind = r->kind;
		return IOMAP_QUEUE_BUSY;
	}
	r = look(dev, bio, false);
	if (r)
		bio->status = fire(r, dev, bio, hit);
	if (bio->status)
		return IOMAP_QUEUE_DONE;
	if (dev->read_only && IOMAPI_SIM_WRITES >> bio->op & 1) {
		hit->status = -EROFS;
		iomapi_sim_count(dev->sim, IOMAPI_SIM_READ_ONLY, hit);
	}
	return IOMAP_QUEUE_QUEUED;
}

/* ---- what happens to the host ---- */

size_t iomapi_sim_host(struct iomap_sim *sim, enum iomapi_sim_kind kind, size_t nr)
{
	struct iomapi_sim_rule *first = NULL;
	uint64_t left = nr;

	for (size_t i = 0; i < sim->nr_rules; i++) {
		struct iomapi_sim_rule *r = &sim->rules[i];

		if (r->kind != kind || r->spent || r->nth - r->met > left)
			continue;
		left = r->nth - r->met - 1;
		first = r;
	}
	for (size_t i = 0; i < sim->nr_rules; i++) {
		struct iomapi_sim_rule *r = &sim->rules[i];

		if (r->kind != kind || r->spent)
			continue;
		r->met += left;
		if (first && r->nth > r->met + 1)	/* else it waits for its next */
			r->met++;
	}
	if (first) {
		first->spent = true;
		sim->counters[kind].fired++;
		sim->counters[kind].observed++;
	}
	return (size_t)left;
}

/* ---- units that cannot be read ---- */

/* The first unit, and the end, that rule and range share; false: none. */
static bool overlap(const struct iomapi_sim_rule *r, const struct iomapi_sim_dev *dev,
		    uint64_t *unit, uint64_t *end)
{
	if (!r->bad || r->bad_dev != dev)
		return false;
	if (*unit < r->bad_unit)
		*unit = r->bad_unit;
	if (*end > r->bad_unit + r->nr_bad)
		*end = r->bad_unit + r->nr_bad;
	return *unit < *end;
}

static bool is_bad(const struct iomapi_sim_rule *r, uint64_t unit)
{
	uint64_t i = unit - r->bad_unit;

	return r->bad[i / 64] >> (i % 64) & 1;
}

int iomapi_sim_check_read(struct iomapi_sim_dev *dev, const struct iomap_bio *bio,
			  struct iomapi_sim_hit *hit)
{
	struct iomap_sim *sim = dev->sim;

	for (size_t i = 0; i < sim->nr_rules; i++) {
		const struct iomapi_sim_rule *r = &sim->rules[i];
		uint64_t unit = bio->addr / dev->profile.logical_block;
		uint64_t end = (bio->addr + bio->len) / dev->profile.logical_block;

		if (r->kind == IOMAPI_SIM_BIT_ROT || !overlap(r, dev, &unit, &end))
			continue;
		while (unit < end && !is_bad(r, unit))
			unit++;
		if (unit == end)
			continue;
		iomapi_sim_count(sim, r->kind, hit);
		return -EIO;
	}
	return 0;
}

void iomapi_sim_rot(struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem, uint64_t *hash,
		    struct iomapi_sim_hit *hit)
{
	struct iomap_sim *sim = dev->sim;

	for (size_t i = 0; i < sim->nr_rules; i++) {
		const struct iomapi_sim_rule *r = &sim->rules[i];
		uint64_t first = unit, end = unit + 1, bit;

		if (r->kind != IOMAPI_SIM_BIT_ROT || !overlap(r, dev, &first, &end) ||
		    !is_bad(r, unit))
			continue;
		bit = iomapi_sim_mix(sim->noise_seed, r->number, unit, 2) %
		      (dev->profile.logical_block * 8u);
		mem[bit / 8] ^= (uint8_t)(1u << bit % 8);
		*hash = iomapi_sim_fold(*hash, bit);
		iomapi_sim_count(sim, r->kind, hit);
	}
}

void iomapi_sim_mend(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write)
{
	struct iomap_sim *sim = dev->sim;

	for (size_t i = 0; i < sim->nr_rules; i++) {
		struct iomapi_sim_rule *r = &sim->rules[i];
		uint64_t unit = write->unit, end = write->unit + write->nr_units;

		if (!overlap(r, dev, &unit, &end))
			continue;
		for (unit -= r->bad_unit, end -= r->bad_unit; unit < end; unit++)
			r->bad[unit / 64] &= ~((uint64_t)1 << (unit % 64));
	}
}

/* ---- armed, disarmed ---- */

void iomapi_sim_disarm(struct iomap_sim *sim)
{
	for (size_t i = 0; i < sim->nr_rules; i++)
		iomapi_sim_free(sim->rules[i].bad);
	iomapi_sim_free(sim->rules);
	sim->rules = NULL;
	sim->nr_rules = 0;
	sim->damage_stays = false;
	for (unsigned i = 0; i < sim->nr_devs; i++)
		sim->devs[i].read_only = false;
}

int iomapi_sim_keep_damage(struct iomap_sim *sim, const struct iomapi_sim_rule *rules, size_t nr)
{
	if (!nr)
		return 0;
	sim->rules = iomapi_sim_zalloc(nr * sizeof(*sim->rules));
	if (!sim->rules)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		struct iomapi_sim_rule *r = &sim->rules[sim->nr_rules];
		size_t size = (rules[i].nr_bad + 63) / 64 * 8;

		if (!iomapi_sim_kinds[rules[i].kind].medium)
			continue;
		*r = rules[i];
		if (r->bad) {
			r->bad = iomapi_sim_alloc(size);
			if (!r->bad)
				return -ENOMEM;
			memcpy(r->bad, rules[i].bad, size);
		}
		sim->nr_rules++;
	}
	return 0;
}

IOMAP_API int iomap_sim_fault(struct iomap_sim *sim, const char *script)
{
	struct iomapi_sim_rule *rules = NULL, *all = NULL;
	bool stays = false;
	int nr;

	sim->fault_error[0] = 0;
	if (!script) {
		iomapi_sim_disarm(sim);
		return 0;
	}
	nr = iomapi_sim_parse(sim, script, &rules, &stays);
	if (nr > 0) {
		all = iomapi_sim_grow(sim->rules, (sim->nr_rules + (size_t)nr) * sizeof(*all));
		if (!all)
			nr = -ENOMEM;
	}
	if (all)
		sim->rules = all;
	sim->damage_stays |= nr >= 0 && stays;
	for (int i = 0; i < nr; i++) {
		rules[i].number = (uint32_t)sim->nr_rules;
		all[sim->nr_rules++] = rules[i];
		sim->counters[rules[i].kind].armed++;
	}
	iomapi_sim_free(rules);
	return nr < 0 ? nr : 0;
}

IOMAP_API const char *iomap_sim_fault_error(const struct iomap_sim *sim)
{
	return sim->fault_error;
}

IOMAP_API const char *iomap_sim_fault_kind(unsigned n)
{
	return n < IOMAPI_SIM_NR_KINDS - 1 ? iomapi_sim_kinds[n + 1].name : NULL;
}

IOMAP_API int iomap_sim_fault_counters(const struct iomap_sim *sim, const char *name,
				       struct iomap_sim_counter *counter)
{
	enum iomapi_sim_kind kind = name ? iomapi_sim_kind_of(name, strlen(name)) : 0;

	if (!kind)
		return -ENOENT;
	if (!counter || counter->struct_size < sizeof(*counter))
		return -EINVAL;
	*counter = sim->counters[kind];
	counter->struct_size = sizeof(*counter);
	return 0;
}
