/* SPDX-License-Identifier: MIT */
/*
 * sim/oracle.h - what watches while a simulation runs.
 *
 *	oracle.c	how often each was looked at, what was found, which are watched
 *	oracle_dev.c	commands, at their device	oracle_env.c	an environment's memory
 *
 * An oracle is named by its number.  What was found is a failure of the case that runs; without one
 * it is counted, and the first text is kept.
 *
 * Threads: as sim.h.
 */
#ifndef IOMAPI_ORACLE_H
#define IOMAPI_ORACLE_H

#include "sim.h"

struct iomapi_sim_oracles {
	uint64_t evaluated[IOMAP_SIM_ORACLES], violated[IOMAP_SIM_ORACLES];
	char first[256];		/* found without a case */
	struct iomapi_sim_host *idle, *open;	/* open: and their level is gone */
};
/* ---- oracle.c ---- */
bool iomapi_sim_watches(const struct iomap_sim *sim, unsigned oracle);
static inline void iomapi_sim_looked(struct iomap_sim *sim, unsigned oracle)
{
	sim->oracles->evaluated[oracle]++;
}
void iomapi_sim_found(struct iomap_sim *sim, unsigned oracle, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- oracle_dev.c ---- */

/* May it be queued at all?  false: it is not safe to go on with it. */
bool iomapi_sim_judge_bio(const struct iomapi_sim_queue *queue, const struct iomapi_sim_dev *dev,
			  const struct iomap_bio *bio);
void iomapi_sim_judge_order(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio);
void iomapi_sim_judge_accepted(struct iomapi_sim_cmd *cmd);
/* Two in flight that overlap, and one of them writes. */
void iomapi_sim_judge_hazard(const struct iomapi_sim_cmd *cmd, const struct iomapi_sim_cmd *other);
void iomapi_sim_judge_completed(const struct iomapi_sim_cmd *cmd);
void iomapi_sim_judge_reaped(const struct iomapi_sim_cmd *cmd);
void iomapi_sim_judge_closed(const struct iomapi_sim_queue *queue);
void iomapi_sim_judge_dev_closed(const struct iomapi_sim_dev *dev);
/* Work or check of a case is over. */
void iomapi_sim_judge_end(struct iomap_sim *sim, const char *what);

/* ---- oracle_env.c ---- */

struct iomapi_sim_host {
	struct iomap_sim *sim;
	struct iomapi_sim_host *next;
	void *env;			/* the first block it took; NULL: it is not open */
	uint64_t nr_live, bytes;	/* blocks besides that */
	struct iomap_list kept;		/* freed, and looked at */
	size_t kept_bytes;
};
struct iomapi_sim_host *iomapi_sim_host_new(struct iomap_sim *sim);
void *iomapi_sim_host_alloc(struct iomapi_sim_host *host, size_t size, size_t align);
void iomapi_sim_host_free(struct iomapi_sim_host *host, void *mem, size_t size);
void iomapi_sim_hosts_drop(struct iomap_sim *sim);	/* this level is over */
void iomapi_sim_hosts_delete(struct iomap_sim *sim);

#endif
