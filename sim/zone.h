/* SPDX-License-Identifier: MIT */
/*
 * sim/zone.h - zones of a device.
 *
 *	zone.c		commands to them
 *	zone_survive.c	what of them is left when power comes back
 */
#ifndef IOMAPI_SIM_ZONE_H
#define IOMAPI_SIM_ZONE_H

#include "sim.h"

enum iomapi_sim_zone_state {
	IOMAPI_SIM_ZONE_EMPTY, IOMAPI_SIM_ZONE_IMPLICIT, IOMAPI_SIM_ZONE_EXPLICIT,
	IOMAPI_SIM_ZONE_CLOSED, IOMAPI_SIM_ZONE_FULL,
};
/* Units, from the start of the zone. */
struct iomapi_sim_pointer {
	uint32_t at;			/* the next write goes there */
	uint32_t filled;		/* less than that where it was finished early */
};
/* What may have happened when power went, one after the other. */
struct iomapi_sim_step {
	struct iomapi_sim_write *write;
	uint32_t at, seen;		/* seen: units, where something comes behind it */
	uint32_t ends;			/* ways in which it may be the last: first units of it */
	bool whole;
};
struct iomapi_sim_steps {
	struct iomapi_sim_step *step;
	uint32_t nr, nr_ends;		/* ends of all, and the one before the first */
};
struct iomapi_sim_zone {
	struct iomap_list accepted, log, carried;
	struct iomapi_sim_pointer now, durable;
	uint8_t state;			/* enum iomapi_sim_zone_state */
	bool known;			/* else an image below decides */
	uint64_t opened;		/* by which command */
	struct iomapi_sim_steps steps;	/* of the zone below, once somebody has asked */
};
uint64_t iomapi_sim_nr_zones(const struct iomapi_sim_dev *dev);
bool iomapi_sim_has_zones(const struct iomap_sim *sim);	/* any device */
int iomapi_sim_zones_new(struct iomapi_sim_dev *dev);
void iomapi_sim_zones_free_writes(struct iomapi_sim_dev *dev);
int iomapi_sim_zone_accept(struct iomapi_sim_cmd *cmd);	/* -ENOMEM */
void iomapi_sim_zone_linearise(struct iomapi_sim_cmd *cmd);
void iomapi_sim_zone_complete(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w, bool durable);
void iomapi_sim_zone_fail(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w);
/* The first of the log is durable. */
void iomapi_sim_zone_persist(struct iomapi_sim_dev *dev, struct iomapi_sim_write *w);
void iomapi_sim_zones_persist(struct iomapi_sim_dev *dev, uint64_t completed);
void iomapi_sim_zones_forget(struct iomapi_sim_dev *dev, uint64_t completed);
/* Could it take effect, and where? */
bool iomapi_sim_zone_fits(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			  const struct iomapi_sim_pointer *now, uint32_t *at);
void iomapi_sim_zone_advance(const struct iomapi_sim_dev *dev, struct iomapi_sim_pointer *now,
			     const struct iomapi_sim_write *w, uint32_t at, uint32_t units);
bool iomapi_sim_zone_is_whole(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			      uint32_t at);	/* it never tears at a power cut */
uint32_t iomapi_sim_zone_all(const struct iomapi_sim_write *w);	/* units; a reset is one */
/* The state of a zone that nobody has opened. */
uint8_t iomapi_sim_zone_rest(const struct iomapi_sim_dev *dev, const struct iomapi_sim_zone *z);
bool iomapi_sim_zone_holds(struct iomapi_sim_dev *dev, uint64_t unit);	/* it was written */
int iomapi_sim_zone_report(struct iomapi_sim_dev *dev, uint64_t from, struct iomap_zone *zones,
			   unsigned nr_zones);	/* how many; -EOPNOTSUPP, -ENOMEM */
/* A zone, which is decided now if it was not; NULL: no memory. */
struct iomapi_sim_zone *iomapi_sim_zone_know(struct iomapi_sim_dev *dev, uint64_t index);
/* How many ends there are of the zone of a unit, and what the unit is at one; 0: it is decided.
 * NULL: nothing was written. */
uint32_t iomapi_sim_zone_ends(struct iomapi_sim_dev *dev, uint64_t unit);
const struct iomapi_sim_content *iomapi_sim_zone_content(struct iomapi_sim_dev *dev,
							 uint64_t unit, uint32_t end);
int iomapi_sim_zones_settle(struct iomapi_sim_dev *dev);

#endif
