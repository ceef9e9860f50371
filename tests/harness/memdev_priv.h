/* SPDX-License-Identifier: MIT */
/*
 * memdev_priv.h - the memory device from inside: what its backend and the test's hand share.
 */
#ifndef T_MEMDEV_PRIV_H
#define T_MEMDEV_PRIV_H

#include <pthread.h>

#include "harness/memdev.h"

#define MAX_FAULTS	32
#define MAX_NAME	32

struct list {				/* of bios, linked through backend[0] */
	struct iomap_bio *head, *tail;
	unsigned nr;
};

struct mem_queue {
	struct list ready;
	pthread_cond_t cond;
	bool woken;
	bool single;			/* all calls come from one thread.. */
	pthread_t owner;		/* ..this one */
	int fd;				/* an eventfd, when asked for; -1: not */
};

struct fault {
	uint8_t op;
	unsigned skip, count;		/* matches to let pass, then to fail */
	int error;
	uint64_t addr;			/* UINT64_MAX: any */
};

struct t_mem {
	struct t_mem *next;
	struct mem_queue *home;		/* it was opened there */
	char name[MAX_NAME];
	struct iomap_bdev_limits limits;
	uint8_t *data;
	bool hold, repeat;
	unsigned busy, outstanding;
	struct list held;
	struct fault faults[MAX_FAULTS];
	unsigned nr_faults;
	struct t_mem_req *log;
	unsigned nr_log, epoch;		/* epoch: a reset makes older log indices void */
	uint64_t *write_pointers;	/* zoned: of each zone, relative to its start */
};

extern pthread_mutex_t t_mem_lock;
extern struct t_mem *t_mem_devices;	/* newest first */
extern struct t_mem_calls t_mem_seen;

void t_mem_make_ready(struct mem_queue *q, struct iomap_bio *bio);
struct iomap_bio *t_mem_take(struct list *list, unsigned i);

#endif
