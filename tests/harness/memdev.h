/* SPDX-License-Identifier: MIT */
/*
 * memdev.h - "mem:NAME[,opt=value..]", a device in memory that a test holds in its hand.
 *
 * An outside backend over backend.h.  Requests are carried out when they complete.  The test may
 * hold completions, let them go one by one in any order, make the next ones fail, and look at what
 * was asked.  Options: size=N (default 16m), block=N (512), align=N of memory (1), segs=N, max=N
 * bytes, depth=N, atomic=N (largest atomic write), nocache (no volatile cache), nofua, nozeroes,
 * zoned (zones of 1m).  Devices of one NAME in one process share nothing.
 */
#ifndef T_MEMDEV_H
#define T_MEMDEV_H

#include <iomap/backend.h>

extern const struct iomap_backend_ops t_mem_backend;

struct t_mem;			/* one open device */
struct t_mem_req {		/* a request as it arrived, in order of arrival */
	uint8_t op;
	uint16_t flags;
	uint64_t addr, len;
	uint32_t nr_segs;
	int32_t status;
	bool done;
	struct iomap_bio *bio;	/* while it is held */
};
/* The device opened last under that name; NULL: none. */
struct t_mem *t_mem_find(const char *name);
uint8_t *t_mem_data(struct t_mem *mem);
void t_mem_hold(struct t_mem *mem, bool hold);	/* while held, requests wait for release */
unsigned t_mem_nr_held(struct t_mem *mem);
/* Let the i-th held one go (0: the oldest); it comes out of the next reap. */
void t_mem_release(struct t_mem *mem, unsigned i);
void t_mem_release_all(struct t_mem *mem);
/* The nth request of that op from now on (1: the next) fails with error; then count-1 more.
 * A failing write leaves the data alone.  addr != UINT64_MAX: only requests that touch addr.
 * nth 0: no more of that op fail. */
void t_mem_fail(struct t_mem *mem, enum iomap_bio_op op, unsigned nth, unsigned count, int error,
		uint64_t addr);
void t_mem_heal(struct t_mem *mem);		/* no failure is planned any more */
void t_mem_repeat(struct t_mem *mem);		/* the next one comes out of reap twice */
void t_mem_busy(struct t_mem *mem, unsigned n);	/* the next n queue() calls say BUSY */
/* The log of requests since open or the last reset. */
const struct t_mem_req *t_mem_log(struct t_mem *mem, unsigned *nr);
void t_mem_log_reset(struct t_mem *mem);

/* Calls of all devices of this process so far. */
struct t_mem_calls {
	unsigned attached, detached;
	unsigned strange;	/* to a SINGLE_ISSUER queue, from a thread that does not own it */
};
struct t_mem_calls t_mem_calls(void);

/* The device's own: name and limits from what follows "mem:". */
#define T_MEM_ZONE (1u << 20)
int t_mem_parse(const char *path, char *name, size_t name_size, struct iomap_bdev_limits *limits);

#endif
