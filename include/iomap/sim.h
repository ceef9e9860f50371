/* SPDX-License-Identifier: MIT */
/*
 * iomap/sim.h - simulated devices.
 *
 * For whoever tests a storage engine; link libiomap-sim, a library of its own that sits on
 * libiomap's public headers like any other outside backend.  Named devices live under one clock,
 * one power supply and one choice stream: the same seed and the same calls give the same run, bit
 * for bit, everywhere.
 *   threads  a simulation, and every environment in it, belong to one thread.
 *   time     passes only while something waits for a device, from event to event.
 *   errors   after a power cut every bio ends with -ENODEV until power is back; others only by
 *            iomap_sim_fault.
 */
#ifndef IOMAP_SIM_H
#define IOMAP_SIM_H

#include "env.h"

IOMAP_BEGIN_DECLS

struct iomap_sim;

IOMAP_API unsigned iomap_sim_version(void);	/* major << 16 | minor, of the library that runs */

/* ---- devices ---- */

/* In which order writes take effect, and so what can have survived without what. */
enum iomap_sim_order { IOMAP_SIM_ORDER_ANY, IOMAP_SIM_ORDER_PER_QUEUE, IOMAP_SIM_ORDER_FIFO };
/* NONE: the library flushes behind such a write.  EMULATED: the device does. */
enum iomap_sim_fua { IOMAP_SIM_FUA_NONE, IOMAP_SIM_FUA_EMULATED, IOMAP_SIM_FUA_NATIVE };
/* What is read where something was discarded. */
enum iomap_sim_discard { IOMAP_SIM_DISCARD_ANY, IOMAP_SIM_DISCARD_ZEROS, IOMAP_SIM_DISCARD_ONES };

/* Sizes in bytes.  atomic_*: a write that is no larger, and crosses no multiple of the boundary
 * (0: there is none), never tears; larger ones tear at logical blocks. */
struct iomap_sim_profile {
	size_t struct_size;
	uint32_t logical_block, physical_block;		/* logical: 512 or 4096 */
	uint32_t atomic_normal, atomic_power_fail, atomic_boundary;
	uint8_t order, fua, discard;			/* the enums above */
	bool volatile_cache;		/* what completed may be lost until it is flushed */
	bool power_safe_overwrite;	/* else neighbours in the physical block may be hurt */
	bool shorn_sectors;		/* a block that was being written may hold anything */
	uint64_t max_bytes;
	uint32_t max_segs, memory_align, queue_depth, nr_queues;	/* queues: 1..16 */
};
/* plp consumer atomic16k sata512e multiqueue cruel fifo; NULL for another name. */
IOMAP_API const struct iomap_sim_profile *iomap_sim_preset(const char *name);

struct iomap_sim_dev {
	const char *name;	/* opened as "sim:name"; at most 31 letters, no ',' or ':' */
	const char *preset;
	const struct iomap_sim_profile *profile;	/* overrides preset */
	uint64_t size;			/* a multiple of the physical block */
};

/* ---- a simulation ---- */

struct iomap_sim_opts {
	size_t struct_size;
	uint64_t seed;
	const struct iomap_sim_dev *devs;
	unsigned nr_devs, spare32;
};
/* -EINVAL: a profile, name or size that cannot be; -EEXIST: a name twice; -ENOMEM. */
IOMAP_API int iomap_sim_new(const struct iomap_sim_opts *opts, struct iomap_sim **sim);
/* After every environment in it. */
IOMAP_API void iomap_sim_delete(struct iomap_sim **sim);

/*
 * Fill in the clock, the waits, the backend and no executor, for deferred work runs in whoever
 * waits; where the caller has none of his own also the allocator and the copy functions, to which
 * alloc_fails and short_copy happen.  The rest of the options stays the caller's.
 */
IOMAP_API void iomap_sim_env_opts(struct iomap_sim *sim, struct iomap_env_opts *opts);

/* The only source of what may go one way or another: 0..n-1.  site names the choice. */
IOMAP_API uint32_t iomap_sim_choose(struct iomap_sim *sim, const char *site, uint32_t n);

/* ---- power ---- */

/* Power goes right before that event, counted from now: 1 is the next.  An event is a command
 * accepted, taking effect, completed, or heard of by the host.  -EINVAL: 0, or power is off. */
IOMAP_API int iomap_sim_cut_at(struct iomap_sim *sim, uint64_t event);
IOMAP_API bool iomap_sim_is_off(const struct iomap_sim *sim);
/*
 * What survived is chosen from what the devices promised.  -EINVAL: power is on, perhaps because
 * the run ended before the cut; -EBUSY: the host has bios to hear of (close its queues first).
 */
IOMAP_API int iomap_sim_power_on(struct iomap_sim *sim);

/* ---- faults ---- */

/*
 * Rules for commands to come, separated by ';', added to those that are armed:
 *	at op=17 kind=eio_write; at write addr=4096..8191 nth=2 kind=torn units=3
 *
 *	read write discard zeroes flush		only that; else whatever the kind can happen to
 *	op=N		the Nth command that a device is given from now on, of any kind or device
 *	nth=N		the Nth command that the rule means; without both, the first
 *	addr=A..B	only what touches these bytes, B included; addr=A is one byte
 *	dev=NAME	only that device
 *	units=N ns=N	see the kinds; logical blocks; ns at most 10^15
 *
 * A rule fires once, but those marked + each time from then on.  Of several for one command the
 * first one fires, and one with nth waits for its next.  A rule that is never met does nothing:
 * look at the counters.
 *	eio_read		-EIO, once
 *	eio_read_until_written	+ -EIO for those units (within addr), until each is written
 *	eio_write		-EIO; each unit is old or new until it is written again
 *	eio_write_persistent	+ the same
 *	landed			-EIO, but reads see all of it
 *	torn			-EIO, and reads see its first units, some or as many as units=
 *				says; means only writes that can tear so
 *	enospc			-ENOSPC, else as eio_write
 *	flush_error		-EIO; a later flush covers the same
 *	flush_error_drops	-EIO; reads still see what it should have covered, but no later
 *				flush covers that until it is written again
 *	short_read short_write	its first units, some or as many as units= says, take effect when
 *				they would, the others when it completes: commands may come in
 *				between; no writes that cannot tear
 *	zero_length		takes effect only when it completes
 *	busy			the queue takes it only when it is offered again
 *	partial_batch		so, and with it all that is offered in the same batch
 *	timeout			completes ns= later than usual (30 s); its effect then or before
 *	lost			-ETIMEDOUT, ns= later than usual (30 s); a write has then taken
 *				effect or not, and failed as eio_write
 *	reordered		heard of ns= later than usual (1 ms), after those behind it; its
 *				effect is in its turn, on an ordered device too
 *	slow			takes effect, and completes, ns= later than usual (100 ms); on an
 *				ordered device so does what is behind it
 *	removed			-ENODEV for this and all after it, and all on their way; the device
 *				is back after power-on
 *	read_only		-EROFS for writes from then on, this one too
 *	alloc_fails		the nth= allocation of an environment
 *	short_copy		its copy from or to user memory stops before the nth= byte of all
 * What a write that failed left is open again after a power cut: each block (or atomic unit) old or
 * new, whatever was read before.  A write counts as one when it succeeds, discards and zeroes too.
 *
 * NULL disarms: no rules, no unreadable units, no read-only devices; removed ones stay away.
 * -EINVAL: a mistake, then nothing was armed; -ENOMEM.
 */
IOMAP_API int iomap_sim_fault(struct iomap_sim *sim, const char *script);
/* "line 1, column 4: expected .." of the last script, columns from 1; "" when it was right. */
IOMAP_API const char *iomap_sim_fault_error(const struct iomap_sim *sim);

struct iomap_sim_counter {
	uint64_t armed;		/* rules */
	uint64_t fired;		/* commands that they did something to */
};
/* Of one kind since iomap_sim_new, all devices.  -ENOENT: there is no such kind. */
IOMAP_API int iomap_sim_fault_counters(const struct iomap_sim *sim, const char *kind,
				       struct iomap_sim_counter *counter);

/* ---- to look at ---- */

IOMAP_API int64_t iomap_sim_now_ns(const struct iomap_sim *sim);
IOMAP_API uint64_t iomap_sim_nr_events(const struct iomap_sim *sim);	/* so far */
/* Of all events, with their times, results and data; equal runs have equal ones. */
IOMAP_API uint64_t iomap_sim_run_digest(const struct iomap_sim *sim);
/* How often a command met an overlapping write in flight: there is no order between them. */
IOMAP_API int64_t iomap_sim_hazards(const struct iomap_sim *sim, const char *dev); /* -ENOENT */
/* Write what reads would see to a file: bytes, -ENOENT for the device, or an error of the file. */
IOMAP_API int64_t iomap_sim_dump(const struct iomap_sim *sim, const char *dev, const char *path);

IOMAP_END_DECLS
#endif
