/* SPDX-License-Identifier: MIT */
/*
 * sim/sim.h - what the files of the simulator share.
 *
 *	choose.c	the choice stream, and draws that are no choices
 *	profile.c	the presets
 *	image.c		the content of a device: durable bytes, versions above them, survivors
 *	device.c	commands: accepted, linearised, completed, reaped; the backend
 *	fault.c		what armed rules do to commands	script.c	rules, as text
 *	sim.c		the clock, the events, the power
 *	env.c		what an environment needs to live in simulated time
 *	memory.c	where memory comes from; memory_sanity.c: and how mistakes show
 *	hash.c		of bytes
 *	dump.c		a device's content in a file
 *
 * Threads: a simulation belongs to one thread; only wakeup may come from another.
 */
#ifndef IOMAPI_SIM_H
#define IOMAPI_SIM_H

#include <iomap/backend.h>
#include <iomap/env.h>
#include <iomap/sim.h>
#include <iomap/sync.h>

#define IOMAPI_SIM_CHUNK	512u	/* units that are looked up together */
#define IOMAPI_SIM_MAX_BLOCK	4096u
#define IOMAPI_SIM_BUCKETS	1024u
#define IOMAPI_SIM_QUEUES	16u	/* of a device at most; more ioqs share them */

/* ---- memory.c ---- */
void *iomapi_sim_alloc(size_t size);
void *iomapi_sim_zalloc(size_t size);
void *iomapi_sim_grow(void *mem, size_t size);
void *iomapi_sim_align(size_t size, size_t align);	/* a power of two */
void iomapi_sim_free(void *mem);
void iomapi_sim_poison(void *mem, size_t size);	/* it is kept, but nobody's */

/* ---- hash.c ---- */
uint64_t iomapi_sim_hash(const void *mem, size_t len);

/* ---- choose.c ---- */

/* A seeded generator, or a record that is played back; when it is used up every choice is 0. */
struct iomapi_sim_choice {
	uint64_t seed, state[4];
	const uint32_t *replay;
	size_t nr_replay, next;
	uint32_t *record;		/* NULL: not recorded */
	size_t nr_record, max_record;
	bool lost;			/* the record is not whole: no memory */
};
void iomapi_sim_choice_init(struct iomapi_sim_choice *c, uint64_t seed);
/* 0..n-1 for n > 0, evenly. */
uint32_t iomapi_sim_draw(struct iomapi_sim_choice *c, uint32_t n);
/* No choice, for it depends on nothing but its key: another draw elsewhere does not shift it. */
uint64_t iomapi_sim_mix(uint64_t seed, uint64_t stream, uint64_t entity, uint64_t counter);
/* A hash of both, in this order. */
uint64_t iomapi_sim_fold(uint64_t hash, uint64_t value);
void iomapi_sim_noise(uint8_t *mem, size_t len, uint64_t seed, uint64_t stream, uint64_t entity);

/* ---- image.c ---- */

struct iomapi_sim_dev;
struct iomapi_sim_cmd;
struct iomapi_sim_write;

/* It failed, or a flush that dropped it did: no flush covers it. */
#define IOMAPI_SIM_NEVER	UINT64_MAX

/* Of one unit. */
struct iomapi_sim_content {
	uint8_t *bytes;		/* NULL: made when they are read */
	uint64_t key;		/* their hash; without bytes, what they are made from */
};
/* What a write leaves in one unit; above older ones. */
struct iomapi_sim_version {
	struct iomapi_sim_content content;
	struct iomapi_sim_version *below;
	struct iomapi_sim_write *write;		/* NULL: durable or superseded by what is */
};
enum iomapi_sim_stage { IOMAPI_SIM_ACCEPTED, IOMAPI_SIM_LINEARISED, IOMAPI_SIM_COMPLETED };
struct iomapi_sim_write {
	struct iomap_list node;		/* in dev->accepted, then dev->writes */
	uint64_t id, unit;
	uint64_t completed;		/* how many of the device had, with it; or NEVER */
	uint32_t nr_units, nr_left;	/* left: versions that count */
	uint32_t queue;
	uint8_t stage;
	uint8_t *hidden;		/* of one that fails, per unit: reads look below it */
	struct iomapi_sim_version versions[];
};
struct iomapi_sim_chunk {
	struct iomapi_sim_content durable[IOMAPI_SIM_CHUNK];
	struct iomapi_sim_version *top[IOMAPI_SIM_CHUNK];
};
int iomapi_sim_image_new(struct iomapi_sim_dev *dev);
void iomapi_sim_image_delete(struct iomapi_sim_dev *dev);
/* That many units of a command, from first: in flight from here on; NULL: no memory. */
struct iomapi_sim_write *iomapi_sim_accept(struct iomapi_sim_dev *dev,
					   struct iomapi_sim_cmd *cmd, uint32_t first, uint32_t nr);
/* It never was. */
void iomapi_sim_reject(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write);
/* Of one that fails, before it takes effect: reads see its first units, or chosen ones. */
#define IOMAPI_SIM_CHOSEN	UINT32_MAX
void iomapi_sim_tear(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, uint32_t units);
void iomapi_sim_linearise(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write);
/* durable: a cache does not keep it. */
void iomapi_sim_complete(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, bool durable);
/* Completed with an error: what it left is never known to be durable. */
void iomapi_sim_fail(struct iomapi_sim_write *write);
/* A flush: what completed up to that count. */
void iomapi_sim_persist(struct iomapi_sim_dev *dev, uint64_t completed);
/* The same, but no flush shall cover it any more. */
void iomapi_sim_forget(struct iomapi_sim_dev *dev, uint64_t completed);
/* It never tears. */
bool iomapi_sim_is_atomic(const struct iomapi_sim_dev *dev, uint64_t addr, uint64_t len);
/* What reads see; returns its hash. */
uint64_t iomapi_sim_read_unit(const struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem);
/* Power is back: choose what survived, forget the rest. */
void iomapi_sim_settle(struct iomapi_sim_dev *dev);

/* ---- script.c, fault.c ---- */

enum iomapi_sim_kind {
	IOMAPI_SIM_NO_FAULT, IOMAPI_SIM_EIO_READ, IOMAPI_SIM_EIO_READ_UNTIL_WRITTEN,
	IOMAPI_SIM_EIO_WRITE, IOMAPI_SIM_EIO_WRITE_PERSISTENT, IOMAPI_SIM_LANDED, IOMAPI_SIM_TORN,
	IOMAPI_SIM_FLUSH_ERROR, IOMAPI_SIM_FLUSH_ERROR_DROPS, IOMAPI_SIM_ENOSPC, IOMAPI_SIM_BUSY,
	IOMAPI_SIM_TIMEOUT, IOMAPI_SIM_REMOVED, IOMAPI_SIM_READ_ONLY, IOMAPI_SIM_SLOW,
	IOMAPI_SIM_SHORT_READ, IOMAPI_SIM_SHORT_WRITE, IOMAPI_SIM_ZERO_LENGTH,
	IOMAPI_SIM_PARTIAL_BATCH, IOMAPI_SIM_LOST, IOMAPI_SIM_REORDERED,
	IOMAPI_SIM_ALLOC_FAILS, IOMAPI_SIM_SHORT_COPY,
	IOMAPI_SIM_NR_KINDS,
};
enum {				/* sets of operations */
	IOMAPI_SIM_READS	= 1 << IOMAP_BIO_READ,
	IOMAPI_SIM_WRITES	= 1 << IOMAP_BIO_WRITE | 1 << IOMAP_BIO_DISCARD |
				  1 << IOMAP_BIO_WRITE_ZEROES,
	IOMAPI_SIM_FLUSHES	= 1 << IOMAP_BIO_FLUSH,
};
struct iomapi_sim_rule {
	uint8_t kind;
	bool spent;
	uint32_t ops;
	const struct iomapi_sim_dev *dev;	/* NULL: any */
	uint64_t op, nth;		/* 0: not given; at most one is */
	uint64_t first, last;		/* bytes */
	uint32_t units;			/* 0: chosen */
	int64_t ns;
	uint64_t offered, met;		/* since it was armed: commands, and those that it means */
	uint64_t *bad;			/* a bit for each unit that cannot be read */
	const struct iomapi_sim_dev *bad_dev;
	uint64_t bad_unit, nr_bad;
};
/* What a rule does to a command. */
struct iomapi_sim_hit {
	uint8_t kind;
	int status;
	uint32_t units;			/* of a write that fails: see iomapi_sim_tear */
	bool in_two;			/* the first units take effect, the others later */
	int64_t before_ns, after_ns;	/* later, before it takes effect and behind that */
	int64_t late_ns;		/* completes later, and nothing behind it waits for that */
};
struct iomapi_sim_kind_info {
	const char *name;
	uint32_t ops;			/* 0: it happens to the host */
	int status;
	int64_t ns;			/* without ns=; 0: it takes none */
	bool stays;			/* from the first time on */
	bool units;			/* takes units= */
};
extern const struct iomapi_sim_kind_info iomapi_sim_kinds[IOMAPI_SIM_NR_KINDS];
enum iomapi_sim_kind iomapi_sim_kind_of(const char *name, size_t len);	/* NO_FAULT: none */
/* Rules for all of a script: how many, or -EINVAL and the text in the simulation, or -ENOMEM. */
int iomapi_sim_parse(struct iomap_sim *sim, const char *script, struct iomapi_sim_rule **rules);
/* QUEUED: it goes on, with the hit. */
enum iomap_queued iomapi_sim_offer(struct iomapi_sim_dev *dev, struct iomap_bio *bio,
				   struct iomapi_sim_hit *hit);
int iomapi_sim_check_read(struct iomapi_sim_dev *dev, const struct iomap_bio *bio);
void iomapi_sim_mend(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write);
/* Of nr things that the host is about to do, how many before the one that a rule means. */
size_t iomapi_sim_host(struct iomap_sim *sim, enum iomapi_sim_kind kind, size_t nr);
void iomapi_sim_disarm(struct iomap_sim *sim);

/* ---- device.c ---- */

/* A place in a command's memory. */
struct iomapi_sim_cursor {
	const struct iomap_bvec *seg;
	size_t off;
};
struct iomapi_sim_cursor iomapi_sim_cursor(const struct iomap_bio *bio, size_t off);
void iomapi_sim_gather(struct iomapi_sim_cursor *from, uint8_t *mem, size_t len);

struct iomapi_sim_queue {
	struct iomap_sim *sim;
	uint32_t index, in_flight;
	bool refuses;				/* the rest of this batch */
	struct iomap_list done;			/* commands completed, not reaped */
	uint32_t nr_done;
	iomap_word woken;
};
struct iomapi_sim_cmd {
	struct iomap_list node;		/* in flight on the device, done, or free */
	struct iomap_bio *bio;
	struct iomapi_sim_dev *dev;
	struct iomapi_sim_queue *queue;
	struct iomapi_sim_write *writes[2];	/* of the first and the second go, or NULL */
	bool go;			/* the second is to come */
	uint64_t id, covers;
	uint64_t hash;			/* of the data that it writes, or has read */
	int64_t completes;
	struct iomapi_sim_hit hit;
};
struct iomapi_sim_dev {
	struct iomap_sim *sim;
	char name[32];
	uint32_t index;
	struct iomap_sim_profile profile;
	uint64_t size, nr_units;
	struct iomapi_sim_chunk **chunks;
	uint8_t *spare_units;			/* each holds the address of the next */
	struct iomap_list accepted, writes;	/* of writes; see image.c */
	struct iomap_list in_flight;		/* commands */
	uint32_t busy[IOMAPI_SIM_BUCKETS];	/* commands in flight, by where they are */
	uint64_t nr_completed, nr_hazards;
	int64_t last[IOMAPI_SIM_QUEUES];	/* when a line's latest command takes effect */
	bool removed, read_only;		/* removed: until power comes back */
};
extern const struct iomap_backend_ops iomapi_sim_backend;
void iomapi_sim_cmd_linearise(struct iomapi_sim_cmd *cmd);
void iomapi_sim_cmd_complete(struct iomapi_sim_cmd *cmd);
/* Everything on its way ends with -ENODEV. */
void iomapi_sim_dev_off(struct iomapi_sim_dev *dev);

/* ---- sim.c ---- */

enum iomapi_sim_what {
	IOMAPI_SIM_PASS_ACCEPT = 1, IOMAPI_SIM_PASS_LINEARISE, IOMAPI_SIM_PASS_COMPLETE,
	IOMAPI_SIM_PASS_REAP, IOMAPI_SIM_PASS_CUT, IOMAPI_SIM_PASS_POWER_ON,
};
enum iomapi_sim_class { IOMAPI_SIM_AT_LINEARISE, IOMAPI_SIM_AT_COMPLETE };
struct iomapi_sim_event {
	int64_t time;
	uint64_t id;
	uint32_t class;
	struct iomapi_sim_cmd *cmd;
};
struct iomap_sim {
	struct iomapi_sim_choice choice;
	int64_t now;
	struct iomapi_sim_event *events;	/* a heap: the first one on top */
	size_t nr_events, max_events;
	uint64_t nr_passed, cut_at;		/* events so far; 0: no cut */
	bool off;
	uint64_t next_id, digest, nr_unreaped;
	struct iomapi_sim_dev *devs;
	unsigned nr_devs, nr_queues;
	struct iomap_list free_cmds;
	const struct iomap_backend_ops *backends[2];
	void *backend_args[1];
	struct iomapi_sim_rule *rules;
	size_t nr_rules;
	struct iomap_sim_counter counters[IOMAPI_SIM_NR_KINDS];
	char fault_error[400];
	uint64_t self[32];			/* of the one thread, for the library */
};
/* Room for the event of one more command: 0 or -ENOMEM. */
int iomapi_sim_events_reserve(struct iomap_sim *sim, size_t nr);
void iomapi_sim_schedule(struct iomap_sim *sim, struct iomapi_sim_cmd *cmd,
			 enum iomapi_sim_class class, int64_t time);
/* One event of the run: it is counted and hashed, unless power went just before it; then false. */
bool iomapi_sim_pass(struct iomap_sim *sim, enum iomapi_sim_what what,
		     const struct iomapi_sim_cmd *cmd);
bool iomapi_sim_step(struct iomap_sim *sim);	/* the next event; false: there is none */

struct iomapi_sim_dev *iomapi_sim_find(const struct iomap_sim *sim, const char *name);

/* ---- env.c ---- */
extern const struct iomap_sync_ops iomapi_sim_sync;

#endif
