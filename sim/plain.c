/* SPDX-License-Identifier: MIT */
/*
 * plain.c - devices by name, one call after the other, for engines that have no queues.
 *
 * A queue of the simulation's own goes the way of any other; a call steps from event to event until
 * its command has been heard of.  Only short transfers differ: here the caller is told.
 */
#include <errno.h>
#include <string.h>

#include "task.h"
#include "zone.h"

struct plain {
	struct iomap_bio bio;
	struct iomap_bvec seg;
	uint64_t *addr;			/* where an append is told its place; NULL */
	struct iomapi_sim_started *owner;	/* it goes with its end; NULL: the caller has it */
	bool done;
	uint8_t mem[];
};

static struct plain *plain_of(struct iomap_bio *bio)
{
	return iomap_container_of(bio, struct plain, bio);
}

/* The next one that has an end, or until something happens.  Who hears it may not be who waits for
 * it: those look again. */
static void hear(struct iomap_sim *sim)
{
	struct iomapi_sim_started *owner;
	struct iomap_bio *bio;

	if (!sim->plain.nr_done) {
		iomapi_sim_pause(sim, &sim->plain, INT64_MAX);
		return;
	}
	iomapi_sim_backend.reap(&sim->plain, &bio, 0, 1, 0);
	iomapi_sim_wake(sim, &sim->plain, UINT32_MAX);
	plain_of(bio)->done = true;
	if (plain_of(bio)->addr && !bio->status)
		*plain_of(bio)->addr = bio->addr;
	owner = plain_of(bio)->owner;
	if (!owner)
		return;
	if (!owner->error)
		owner->error = bio->status;
	owner->nr--;
	iomapi_sim_level_free(sim, plain_of(bio));
}

/* 0: it is on its way; else its status. */
static int send(struct iomap_sim *sim, struct iomapi_sim_dev *dev, struct plain *p)
{
	if (!sim->plain.sim) {
		iomap_list_init(&sim->plain.done);
		sim->plain.sim = sim;
		sim->plain.index = sim->nr_queues++;
	}
	p->bio.backend[0] = p->bio.len;
	for (;;) {
		switch (iomapi_sim_backend.queue(&sim->plain, dev, &p->bio)) {
		case IOMAP_QUEUE_QUEUED:
			return 0;
		case IOMAP_QUEUE_DONE:
			p->done = true;
			return p->bio.status;
		case IOMAP_QUEUE_BUSY:
			if (sim->plain.in_flight)
				hear(sim);
		}
	}
}

static void init(struct plain *p, struct iomapi_sim_dev *dev, enum iomap_bio_op op, uint64_t addr,
		 size_t len, void *mem)
{
	memset(p, 0, sizeof(*p));
	p->bio = (struct iomap_bio){
		.op = (uint8_t)op, .addr = addr, .len = len, .segs = &p->seg,
		.nr_segs = mem ? 1 : 0, .max_segs = 1, .owner = dev,
	};
	p->seg = (struct iomap_bvec){ mem, len, NULL };
}

/* One command: bytes, or an error. */
static int64_t call(struct iomap_sim *sim, struct iomapi_sim_dev *dev, enum iomap_bio_op op,
		    uint64_t addr, size_t len, void *mem, unsigned flags, uint64_t *place)
{
	struct plain p;
	int rc;

	init(&p, dev, op, addr, len, mem);
	p.addr = place;
	p.bio.flags = (uint16_t)flags;
	p.bio.backend[1] = 1;		/* tell a short transfer */
	rc = send(sim, dev, &p);
	while (!rc && !p.done)
		hear(sim);
	rc = p.bio.status;
	return rc ? rc : (int64_t)p.bio.backend[0];
}

static int check(struct iomap_sim *sim, const char *what, const char *name, uint64_t addr,
		 uint64_t len, unsigned flags, struct iomapi_sim_dev **dev)
{
	struct iomapi_sim_dev *d = iomapi_sim_find(sim, name);
	unsigned long long at = addr, bytes = len;

	*dev = d;
	if (!d)
		return iomapi_sim_refuse(sim, -ENOENT, "%s of %s: there is no such device", what,
					 name);
	if (addr % d->profile.logical_block || len % d->profile.logical_block)
		return iomapi_sim_refuse(sim, -EINVAL, "%s of %s, %llu bytes at %llu: not in blocks"
					 " of %u", what, name, bytes, at,
					 (unsigned)d->profile.logical_block);
	if (len > d->size || addr > d->size - len)
		return iomapi_sim_refuse(sim, -EINVAL, "%s of %s, %llu bytes at %llu: it has only"
					 " %llu bytes", what, name, bytes, at,
					 (unsigned long long)d->size);
	if (flags & ~(unsigned)IOMAP_BIO_FUA)
		return iomapi_sim_refuse(sim, -EINVAL, "%s of %s, %llu bytes at %llu: flags %#x",
					 what, name, bytes, at, flags);
	if (flags && d->profile.volatile_cache && d->profile.fua == IOMAP_SIM_FUA_NONE)
		return iomapi_sim_refuse(sim, -EOPNOTSUPP, "%s of %s, %llu bytes at %llu: it has a"
					 " cache but no FUA", what, name, bytes, at);
	return 0;
}

static size_t piece_of(const struct iomapi_sim_dev *dev, size_t len)
{
	return len < dev->profile.max_bytes ? len : (size_t)dev->profile.max_bytes;
}

/* As many commands as it takes; a short one ends it. */
static int64_t transfer(struct iomap_sim *sim, const char *name, enum iomap_bio_op op,
			uint64_t addr, size_t len, uint8_t *mem, unsigned flags)
{
	static const char *const calls[] = {
		[IOMAP_BIO_READ] = "pread", [IOMAP_BIO_WRITE] = "pwrite",
		[IOMAP_BIO_DISCARD] = "discard",
	};
	struct iomapi_sim_dev *dev;
	int64_t rc = check(sim, calls[op], name, addr, len, flags, &dev);
	size_t done = 0;

	while (!rc && done < len) {
		size_t n = piece_of(dev, len - done);

		rc = call(sim, dev, op, addr + done, n, mem ? mem + done : NULL, flags,
			  NULL);
		if (rc < 0)
			break;
		done += (size_t)rc;
		if ((size_t)rc < n)
			break;
		rc = 0;
	}
	return rc < 0 ? rc : (int64_t)done;
}

IOMAP_API int64_t iomap_sim_pread(struct iomap_sim *sim, const char *dev, void *mem, size_t len,
				  uint64_t addr)
{
	return transfer(sim, dev, IOMAP_BIO_READ, addr, len, mem, 0);
}

IOMAP_API int64_t iomap_sim_pwrite(struct iomap_sim *sim, const char *dev, const void *mem,
				   size_t len, uint64_t addr, unsigned flags)
{
	return transfer(sim, dev, IOMAP_BIO_WRITE, addr, len, (uint8_t *)(uintptr_t)mem, flags);
}

IOMAP_API int iomap_sim_discard(struct iomap_sim *sim, const char *dev, uint64_t len,
				uint64_t addr)
{
	const struct iomapi_sim_dev *d = iomapi_sim_find(sim, dev);
	int64_t rc = d && d->profile.zone_size
			     ? -EOPNOTSUPP
			     : transfer(sim, dev, IOMAP_BIO_DISCARD, addr, len, NULL, 0);

	return rc < 0 ? (int)rc : 0;
}

IOMAP_API int iomap_sim_flush(struct iomap_sim *sim, const char *name)
{
	struct iomapi_sim_dev *dev;
	int rc = check(sim, "flush", name, 0, 0, 0, &dev);

	return rc ? rc : (int)call(sim, dev, IOMAP_BIO_FLUSH, 0, 0, NULL, 0, NULL);
}

/* ---- several at once ---- */

static int start_one(struct iomap_sim *sim, struct iomapi_sim_dev *dev, enum iomap_bio_op op,
		     const uint8_t *mem, size_t len, uint64_t addr, unsigned flags,
		     uint64_t *place)
{
	struct plain *p = iomapi_sim_level_alloc(sim, sizeof(*p) + len);
	int rc;

	if (!p)
		return -ENOMEM;
	init(p, dev, op, addr, len, p->mem);
	p->addr = place;
	p->bio.flags = (uint16_t)flags;
	memcpy(p->mem, mem, len);
	p->owner = iomapi_sim_started(sim);
	p->owner->nr++;
	rc = send(sim, dev, p);
	if (rc) {
		p->owner->nr--;
		iomapi_sim_level_free(sim, p);
	}
	return rc;
}

IOMAP_API int iomap_sim_start_write(struct iomap_sim *sim, const char *name, const void *mem,
				    size_t len, uint64_t addr, unsigned flags)
{
	struct iomapi_sim_dev *dev;
	int rc = check(sim, "start_write", name, addr, len, flags, &dev);

	for (size_t done = 0, n; !rc && done < len; done += n) {
		n = piece_of(dev, len - done);
		rc = start_one(sim, dev, IOMAP_BIO_WRITE, (const uint8_t *)mem + done, n,
			       addr + done, flags, NULL);
	}
	return rc;
}

IOMAP_API int iomap_sim_wait_writes(struct iomap_sim *sim)
{
	struct iomapi_sim_started *own = iomapi_sim_started(sim);
	int rc;

	while (own->nr)
		hear(sim);
	rc = own->error;
	own->error = 0;
	return rc;
}

/* ---- zones ---- */

static int check_zone(struct iomap_sim *sim, const char *what, const char *name, uint64_t zone,
		      size_t len, unsigned flags, struct iomapi_sim_dev **dev)
{
	int rc = check(sim, what, name, zone, len, flags, dev);
	const struct iomap_sim_profile *p = rc ? NULL : &(*dev)->profile;

	if (rc)
		return rc;
	if (!p->zone_size)
		return iomapi_sim_refuse(sim, -EOPNOTSUPP, "%s of %s: it has no zones", what, name);
	if (zone % p->zone_size || zone == (*dev)->size)
		return iomapi_sim_refuse(sim, -EINVAL, "%s of %s at %llu: no zone begins there",
					 what, name, (unsigned long long)zone);
	if (len > p->max_append)
		return iomapi_sim_refuse(sim, -EINVAL, "%s of %s, %llu bytes: it takes %llu", what,
					 name, (unsigned long long)len,
					 (unsigned long long)p->max_append);
	return 0;
}

static int check_append(struct iomap_sim *sim, const char *what, const char *name, uint64_t zone,
			size_t len, unsigned flags, struct iomapi_sim_dev **dev)
{
	int rc = check_zone(sim, what, name, zone, len, flags, dev);

	if (!rc && !len)
		rc = iomapi_sim_refuse(sim, -EINVAL, "%s of %s: no bytes", what, name);
	return rc;
}

IOMAP_API int iomap_sim_zone_append(struct iomap_sim *sim, const char *name, const void *mem,
				    size_t len, uint64_t zone, unsigned flags, uint64_t *addr)
{
	struct iomapi_sim_dev *dev;
	int64_t rc = check_append(sim, "zone_append", name, zone, len, flags, &dev);

	if (!rc)
		rc = call(sim, dev, IOMAP_BIO_ZONE_APPEND, zone, len, (void *)(uintptr_t)mem, flags,
			  addr);
	return rc < 0 ? (int)rc : 0;
}

IOMAP_API int iomap_sim_start_append(struct iomap_sim *sim, const char *name, const void *mem,
				     size_t len, uint64_t zone, unsigned flags, uint64_t *addr)
{
	struct iomapi_sim_dev *dev;
	int rc = check_append(sim, "start_append", name, zone, len, flags, &dev);

	return rc ? rc : start_one(sim, dev, IOMAP_BIO_ZONE_APPEND, mem, len, zone, flags, addr);
}

static int change_zone(struct iomap_sim *sim, const char *name, enum iomap_bio_op op,
		       uint64_t zone)
{
	struct iomapi_sim_dev *dev;
	int rc = check_zone(sim, op == IOMAP_BIO_ZONE_RESET ? "zone_reset" : "zone_finish", name,
			    zone, 0, 0, &dev);

	return rc ? rc : (int)call(sim, dev, op, zone, 0, NULL, 0, NULL);
}

IOMAP_API int iomap_sim_zone_reset(struct iomap_sim *sim, const char *dev, uint64_t zone)
{
	return change_zone(sim, dev, IOMAP_BIO_ZONE_RESET, zone);
}

IOMAP_API int iomap_sim_zone_finish(struct iomap_sim *sim, const char *dev, uint64_t zone)
{
	return change_zone(sim, dev, IOMAP_BIO_ZONE_FINISH, zone);
}

IOMAP_API int iomap_sim_report_zones(struct iomap_sim *sim, const char *name, uint64_t from,
				     struct iomap_zone *zones, unsigned nr_zones)
{
	struct iomapi_sim_dev *dev;
	int rc = check(sim, "report_zones", name, 0, 0, 0, &dev);

	if (!rc && sim->off)
		rc = -ENODEV;
	return rc ? rc : iomapi_sim_zone_report(dev, from, zones, nr_zones);
}
