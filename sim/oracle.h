/* SPDX-License-Identifier: MIT */
/*
 * sim/oracle.h - what watches while a simulation runs.
 *
 *	oracle.c	how often each was looked at, what was found, which are watched
 *	oracle_dev.c	commands, at their device	oracle_env.c	an environment's memory
 *	oracle_trace.c	what it tells of folios and maps	oracle_ioend.c	and of ioends
 *
 * An oracle is named by its number.  What was found is a failure of the case that runs; without one
 * it is counted, and the first text is kept.
 *
 * Threads: as sim.h.
 */
#ifndef IOMAPI_ORACLE_H
#define IOMAPI_ORACLE_H

#include "sim.h"

#include <iomap/trace.h>

struct iomapi_sim_oracles {
	uint64_t evaluated[IOMAP_SIM_ORACLES], violated[IOMAP_SIM_ORACLES];
	char first[256];		/* found without a case */
	struct iomapi_sim_host *idle, *open;	/* open: and their level is gone */
	const struct iomap_bio *last_bio;	/* that a device took, and which */
	const struct iomapi_sim_dev *last_dev;
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

void iomapi_sim_read_in_check(const struct iomapi_sim_cmd *cmd);	/* again.c */

/* ---- oracle_env.c ---- */

struct iomapi_sim_host {
	struct iomap_sim *sim;
	struct iomapi_sim_host *next;
	void *env;			/* the first block it took; NULL: it is not open */
	uint64_t nr_live, bytes;	/* blocks besides that */
	struct iomap_list live;
	struct iomap_list kept;		/* freed, and looked at */
	size_t kept_bytes;
	struct iomapi_sim_heard *heard;	/* NULL: nobody listens to its trace */
};
struct iomapi_sim_host *iomapi_sim_host_new(struct iomap_sim *sim);
void *iomapi_sim_host_alloc(struct iomapi_sim_host *host, size_t size, size_t align);
void iomapi_sim_host_free(struct iomapi_sim_host *host, void *mem, size_t size);
void iomapi_sim_hosts_drop(struct iomap_sim *sim);	/* this level is over */
void iomapi_sim_hosts_delete(struct iomap_sim *sim);

/* ---- oracle_trace.c ---- */

#define IOMAPI_SIM_HEARD	((uint64_t)1 << 21 | (uint64_t)1 << 22 | (uint64_t)1 << 23 | \
				 (uint64_t)1 << 24 | (uint64_t)1 << 31 | \
				 (uint64_t)1 << 33)	/* oracles */
#define IOMAPI_SIM_MAX_NESTED	2	/* a folio_written in an end_io */
#define IOMAPI_SIM_HEARD_BUCKETS 256u
#define IOMAPI_SIM_OPEN_MAPS	64u
#define IOMAPI_SIM_BDEVS	8u
/* 64 blocks of a file. */
struct iomapi_sim_blocks {
	struct iomapi_sim_blocks *next;
	const struct iomap_inode *inode;
	uint64_t index, dirty, writeback, added;
};
/* An ioend, from its first range until long after its end. */
struct iomapi_sim_group {
	struct iomapi_sim_group *next;
	struct iomap_list node;		/* of those that ended */
	const struct iomap_inode *inode;
	const struct iomapi_sim_dev *dev;	/* where it goes, once that is known */
	uint64_t id, len, sent, addr, merged;	/* merged: bytes, with what it has absorbed */
	int64_t pos;
	uint32_t flags, nr_submits, nr_ends;
	int error;			/* the first that a device gave */
	int result;			/* the first that it ended with */
	bool again, absorbed;		/* again: some of it was sent once more after an error */
};
struct iomapi_sim_heard {
	struct iomapi_sim_blocks *blocks[IOMAPI_SIM_HEARD_BUCKETS];
	struct iomapi_sim_group *groups[IOMAPI_SIM_HEARD_BUCKETS];
	struct iomap_list ended;
	unsigned nr_ended, nr_failed, nr_maps, nr_bdevs;
	struct {
		const struct iomap_inode *inode;
		int64_t pos;
		uint64_t len;
		uint32_t flags;
	} maps[IOMAPI_SIM_OPEN_MAPS];
	struct {
		const struct iomap_bdev *bdev;
		const struct iomapi_sim_dev *dev;
	} bdevs[IOMAPI_SIM_BDEVS];
	const struct iomap_inode *offered;	/* the range that was offered last */
	int64_t offered_pos;
	uint64_t offered_len, taken;
	struct iomap_trace_record map;		/* the last */
};
/* Listen to an environment.  false: no memory. */
bool iomapi_sim_listen(struct iomapi_sim_host *host);
void iomapi_sim_trace(void *host, const struct iomap_trace_record *record);
/* Forget all; closed: judge what is left before. */
void iomapi_sim_unheard(struct iomapi_sim_host *host, bool closed);

/* ---- oracle_ioend.c ---- */
void iomapi_sim_hear_ioend(struct iomapi_sim_host *host, const struct iomap_trace_record *r);
unsigned iomapi_sim_groups_left(const struct iomapi_sim_heard *heard);	/* not ended */
/* A write was taken, or given back. */
void iomapi_sim_hear_write(const struct iomapi_sim_cmd *cmd, bool reaped);

#endif
