/* SPDX-License-Identifier: MIT */
/*
 * sim/sim.h - what the files of the simulator share.
 *
 *	choose.c	the choice stream, and draws that are no choices
 *	profile.c	the presets
 *	image.c		the content of a device: durable bytes, versions above them
 *	carry.c		what a restart leaves in a cache
 *	survive.c	what of that is left when power comes back
 *	candidate.c	all that it may be, unit by unit
 *	device.c	commands: accepted, linearised, completed
 *	backend.c	how they come, and go again
 *	fault.c		what armed rules do to commands	script.c	rules, as text
 *	sim.c		the clock, the events, the power
 *	env.c		what an environment needs to live in simulated time
 *	answer.c	what a client's callbacks answer
 *	level.c		worlds that are undone
 *	plain.c		devices by name, for engines without queues
 *	task.c		tasks, and who goes on: see task.h
 *	memory.c	where memory comes from; memory_sanity.c: and how mistakes show
 *	file*.c		files on a device: see file.h
 *	hash.c		of bytes
 *	model.c		what may be found of a file
 *	oracle*.c	what watches all this: see oracle.h
 *	dump.c		a device's content in a file
 *	misuse.c	calls that cannot be, runs that do not end
 *
 * Cases, and what is done with them, are in explore.h; zones in zone.h.
 *
 * Threads: a simulation belongs to one thread; only wakeup may come from another.
 */
#ifndef IOMAPI_SIM_H
#define IOMAPI_SIM_H

#include <iomap/backend.h>
#include <iomap/env.h>
#include <iomap/sim.h>
#include <iomap/sync.h>

#define IOMAPI_SIM_CHUNK	64u	/* units that are looked up together */
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

/* ---- level.c ---- */

/*
 * A level is a world that will be undone: a run of a seed, above that a crash in it, above that a
 * crash in recovery.  What a level needs is given back all at once.
 */
struct iomapi_sim_level;
struct iomapi_sim_dev;
int iomapi_sim_level_new(struct iomap_sim *sim, struct iomapi_sim_level **level);
void iomapi_sim_level_delete(struct iomapi_sim_level **level);
/* What is left of a device: what reads saw, for good; what a loss of power leaves; or what it has
 * in its cache, too, to be carried by iomapi_sim_carry. */
enum iomapi_sim_left { IOMAPI_SIM_ALL, IOMAPI_SIM_SURVIVED, IOMAPI_SIM_CACHED };
/* Work has stopped: only the devices are left, one of them (or none) as when its power went.
 * -ENOMEM. */
int iomapi_sim_enter(struct iomap_sim *sim, struct iomapi_sim_level *level,
		     enum iomapi_sim_left left, const struct iomapi_sim_dev *off);
void iomapi_sim_leave(struct iomap_sim *sim);	/* as if nothing had been */
/* The level's; without one, of the heap. */
void *iomapi_sim_level_alloc(struct iomap_sim *sim, size_t size);
void *iomapi_sim_level_zalloc(struct iomap_sim *sim, size_t size);
void iomapi_sim_level_free(struct iomap_sim *sim, void *mem);
void iomapi_sim_remember(struct iomap_sim *sim, uint8_t *fate);	/* to be reset */
void iomapi_sim_no_memory(struct iomap_sim *sim);	/* the run is not worth anything */
bool iomapi_sim_out_of_memory(const struct iomap_sim *sim);

/* ---- hash.c ---- */
uint64_t iomapi_sim_hash(const void *mem, size_t len);

/* ---- choose.c ---- */

struct iomapi_sim_made {		/* a choice */
	const char *site;
	uint32_t value, n;
};
/* A seeded generator, or a record that is played back; when it is used up every choice is 0. */
struct iomapi_sim_choice {
	uint64_t seed, state[4];
	const struct iomapi_sim_made *replay;
	bool still;			/* devices are as fast as they can be: no latencies */
	size_t nr_replay, next;
	bool replays;
	struct iomapi_sim_made *record;	/* NULL: not recorded */
	size_t nr_record, max_record;
	bool lost;			/* the record is not whole: no memory */
};
void iomapi_sim_choice_init(struct iomapi_sim_choice *c, uint64_t seed);
/* 0..n-1 for n > 0, evenly. */
uint32_t iomapi_sim_draw(struct iomapi_sim_choice *c, const char *site, uint32_t n);
/* A choice that has been made elsewhere, for the record. */
uint32_t iomapi_sim_made(struct iomapi_sim_choice *c, const char *site, uint32_t n,
			 uint32_t value);
/* A value that is chosen already, unless a record says another. */
uint32_t iomapi_sim_take(struct iomapi_sim_choice *c, const char *site, uint32_t value,
			 uint32_t n);
/* One time in four; when all is gone through, it is one way of two. */
bool iomapi_sim_rarely(struct iomap_sim *sim, const char *site);
/* No choice, for it depends on nothing but its key: another draw elsewhere does not shift it. */
uint64_t iomapi_sim_mix(uint64_t seed, uint64_t stream, uint64_t entity, uint64_t counter);
/* A hash of both, in this order. */
uint64_t iomapi_sim_fold(uint64_t hash, uint64_t value);
void iomapi_sim_noise(uint8_t *mem, size_t len, uint64_t seed, uint64_t stream, uint64_t entity);

/* ---- image.c ---- */

/* Keys of content without bytes: noise of that stream and write, or another constant. */
enum iomapi_sim_stream {
	IOMAPI_SIM_NEVER_WRITTEN = 1, IOMAPI_SIM_DISCARDED, IOMAPI_SIM_SHORN_NOISE,
	IOMAPI_SIM_DAMAGED, IOMAPI_SIM_NR_STREAMS,
};
#define IOMAPI_SIM_UNREADABLE	(UINT64_MAX - 2)

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
enum iomapi_sim_side { IOMAPI_SIM_EITHER, IOMAPI_SIM_BEFORE, IOMAPI_SIM_BEHIND };
enum iomapi_sim_stage { IOMAPI_SIM_ACCEPTED, IOMAPI_SIM_LINEARISED, IOMAPI_SIM_COMPLETED };
struct iomapi_sim_write {
	struct iomap_list node;		/* in dev->accepted, then dev->writes */
	uint64_t id, unit;
	uint64_t first, last;		/* units of its whole command */
	uint64_t completed;		/* how many of the device had, with it; or NEVER */
	uint32_t nr_units, nr_left;	/* left: versions that count */
	uint32_t queue, rank;		/* rank: how many in doubt are older, for patterns */
	uint8_t stage;
	bool whole;			/* it never tears at a power cut */
	bool fua;
	uint8_t side;			/* of one that overtakes it, while that is chosen */
	uint8_t damage;			/* enum iomapi_sim_fate, of its neighbours */
	uint8_t *fates;			/* the same, per unit; a group has that of its first */
	uint8_t *hidden;		/* of one that fails, per unit: reads look below it */
	struct iomapi_sim_zone *zone;	/* NULL: of no zone */
	uint32_t seen;			/* in a zone: how many of its units reads see */
	uint8_t op;			/* in a zone */
	struct iomapi_sim_version versions[];
};
/* After a power cut, until they are undone again. */
enum iomapi_sim_fate { IOMAPI_SIM_OPEN, IOMAPI_SIM_GONE, IOMAPI_SIM_THERE, IOMAPI_SIM_SHORN };
struct iomapi_sim_chunk {
	struct iomapi_sim_content durable[IOMAPI_SIM_CHUNK];
	struct iomapi_sim_version *top[IOMAPI_SIM_CHUNK];
	uint64_t known;			/* durable[i] counts; else the image below decides */
	uint64_t own;			/* its bytes are ours, not of an image below */
};
/* What a device holds.  Above another one that a power cut has left, it is empty at first, and
 * what is asked for is decided then. */
struct iomapi_sim_image {
	struct iomapi_sim_chunk **chunks;
	struct iomap_list accepted, writes;
	uint64_t nr_completed;
	struct iomapi_sim_image *below;
	struct iomapi_sim_write **doubt;	/* of below: what the cut left open */
	uint32_t nr_doubt;
	bool cut;			/* else what reads saw is there */
	bool carried;			/* of below what was durable; the rest is above it */
	uint8_t lines;			/* prefixes are chosen */
	struct iomapi_sim_zone *zones;	/* NULL: there are none */
	uint64_t hash;			/* of what was made durable here */
};
int iomapi_sim_image_new(struct iomapi_sim_dev *dev);
void iomapi_sim_image_delete(struct iomapi_sim_dev *dev);
struct iomapi_sim_chunk *iomapi_sim_chunk(const struct iomapi_sim_image *image, uint64_t unit);
/* That many units of a command, from first: in flight from here on; NULL: no memory. */
struct iomapi_sim_write *iomapi_sim_accept(struct iomapi_sim_dev *dev,
					   struct iomapi_sim_cmd *cmd, uint32_t first, uint32_t nr);
uint8_t *iomapi_sim_new_unit(struct iomapi_sim_dev *dev);
/* After a restart without a loss of power: what was in doubt is in the cache above, those in flight
 * with aborts perhaps, or in part. */
void iomapi_sim_carry(struct iomapi_sim_dev *dev, bool aborts);
/* It was without power for a while, and is there again: commands on their way have failed.
 * -ENOMEM. */
int iomapi_sim_lose_cache(struct iomapi_sim_dev *dev);
/* It never was. */
void iomapi_sim_reject(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write);
/* Of one that fails, before it takes effect: reads see its first units, or chosen ones. */
#define IOMAPI_SIM_CHOSEN	UINT32_MAX
void iomapi_sim_tear(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, uint32_t units,
		     bool whole);
void iomapi_sim_linearise(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write);
/* durable: a cache does not keep it. */
void iomapi_sim_complete(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write, bool durable);
/* Completed with an error: what it left is never known to be durable. */
void iomapi_sim_fail(struct iomapi_sim_dev *dev, struct iomapi_sim_write *write);
/* A flush: what completed up to that count. */
void iomapi_sim_persist(struct iomapi_sim_dev *dev, uint64_t completed);
/* The same, but no flush shall cover it any more. */
void iomapi_sim_forget(struct iomapi_sim_dev *dev, uint64_t completed);
/* It never tears while power is on; and when it goes. */
bool iomapi_sim_is_atomic(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio);
bool iomapi_sim_is_one_group(const struct iomapi_sim_dev *dev, const struct iomap_bio *bio);
/* What reads see, and its hash; -EIO. */
int iomapi_sim_read_unit(struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem, uint64_t *hash);
/* What they would see without the newest write; false: there is none that counts. */
bool iomapi_sim_read_stale(struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem,
			   uint64_t *hash);
/* Content moves; what was there is given back. */
void iomapi_sim_move(struct iomapi_sim_dev *dev, uint64_t unit, struct iomapi_sim_content *from);
void iomapi_sim_free_writes(struct iomapi_sim_dev *dev);
/* Copy content out: 0 or -EIO. */
int iomapi_sim_show(const struct iomapi_sim_dev *dev, const struct iomapi_sim_content *c,
		    uint64_t unit, uint8_t *mem, uint64_t *hash);
struct iomapi_sim_content iomapi_sim_noise_of(uint64_t stream, uint64_t write_id);
/* In a zone, from the pointer on. */
struct iomapi_sim_content iomapi_sim_unwritten(const struct iomapi_sim_dev *dev);
int iomapi_sim_make_chunks(struct iomapi_sim_dev *dev, uint64_t unit, uint32_t nr); /* -ENOMEM */
bool iomapi_sim_never_tears(const struct iomapi_sim_dev *dev, uint64_t addr, uint64_t len,
			    uint32_t atomic);

/* ---- survive.c ---- */

static inline bool iomapi_sim_is_in_flight(const struct iomapi_sim_write *write)
{
	return write->stage != IOMAPI_SIM_COMPLETED;
}
bool iomapi_sim_may_be_shorn(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w);
/* Does the command of the write share a physical block with the unit, and not write it? */
bool iomapi_sim_is_neighbour(const struct iomapi_sim_dev *dev, const struct iomapi_sim_write *w,
			     uint64_t unit);
/* Which of the writes in doubt are there, by their rank; others than these are chosen. */
enum iomapi_sim_shape {
	IOMAPI_SIM_FIRST,		/* those before a */
	IOMAPI_SIM_ONLY,		/* a and b, which may be the same */
	IOMAPI_SIM_BUT,			/* all but them */
	IOMAPI_SIM_CUT,			/* those before a, and its first b units */
};
struct iomapi_sim_pattern {
	enum iomapi_sim_shape shape;
	uint32_t a, b;
};
/* Of so many groups of a write, from that one on, how many are in the pattern; 0 without one. */
uint32_t iomapi_sim_nr_in(const struct iomap_sim *sim, const struct iomapi_sim_write *w,
			  uint32_t group, uint32_t nr);
/* The value that the pattern says; chosen without one. */
uint32_t iomapi_sim_choose_as(struct iomap_sim *sim, const char *site, uint32_t n, uint32_t value);

/* Power is off: all that is open of the image, in doubt[]; what is in flight counts as written.
 * -ENOMEM.  doubt is the level's, or without one the caller's to free. */
int iomapi_sim_freeze(struct iomapi_sim_dev *dev, struct iomapi_sim_write ***doubt, uint32_t *nr);
/* As if nothing had been. */
void iomapi_sim_thaw(struct iomapi_sim_dev *dev, struct iomapi_sim_write **doubt, uint32_t nr);
/* Which of those in flight that overlap come first, in an image above what was frozen. */
void iomapi_sim_overtake(struct iomapi_sim_dev *dev, struct iomapi_sim_image *image);
/* What a unit of image->below is found to be. */
struct iomapi_sim_content iomapi_sim_resolve(struct iomapi_sim_dev *dev,
					     struct iomapi_sim_image *image, uint64_t unit);
/* Power is back, for good: choose all that survived, forget the rest.  -ENOMEM: nothing is done. */
int iomapi_sim_settle(struct iomapi_sim_dev *dev);

/* ---- script.c, fault.c ---- */

enum iomapi_sim_kind {
	IOMAPI_SIM_NO_FAULT, IOMAPI_SIM_EIO_READ, IOMAPI_SIM_EIO_READ_UNTIL_WRITTEN,
	IOMAPI_SIM_EIO_WRITE, IOMAPI_SIM_EIO_WRITE_PERSISTENT, IOMAPI_SIM_LANDED, IOMAPI_SIM_TORN,
	IOMAPI_SIM_FLUSH_ERROR, IOMAPI_SIM_FLUSH_ERROR_DROPS, IOMAPI_SIM_ENOSPC, IOMAPI_SIM_BUSY,
	IOMAPI_SIM_TIMEOUT, IOMAPI_SIM_REMOVED, IOMAPI_SIM_READ_ONLY, IOMAPI_SIM_SLOW,
	IOMAPI_SIM_SHORT_READ, IOMAPI_SIM_SHORT_WRITE, IOMAPI_SIM_ZERO_LENGTH,
	IOMAPI_SIM_PARTIAL_BATCH, IOMAPI_SIM_LOST, IOMAPI_SIM_REORDERED,
	IOMAPI_SIM_ALLOC_FAILS, IOMAPI_SIM_SHORT_COPY, IOMAPI_SIM_CQ_OVERFLOW,
	IOMAPI_SIM_CALLBACK_FAILS, IOMAPI_SIM_HOSTILE_MAP,
	/* These break what the device has promised. */
	IOMAPI_SIM_FLUSH_LIES, IOMAPI_SIM_FUA_IGNORED, IOMAPI_SIM_DUPLICATE,
	IOMAPI_SIM_MISDIRECTED_WRITE, IOMAPI_SIM_MISDIRECTED_READ, IOMAPI_SIM_BIT_ROT,
	IOMAPI_SIM_STALE_READ, IOMAPI_SIM_PHANTOM_WRITE,
	IOMAPI_SIM_NR_KINDS,
};
enum {				/* sets of operations */
	IOMAPI_SIM_READS	= 1 << IOMAP_BIO_READ,
	IOMAPI_SIM_WRITES	= 1 << IOMAP_BIO_WRITE | 1 << IOMAP_BIO_DISCARD |
				  1 << IOMAP_BIO_WRITE_ZEROES | 1 << IOMAP_BIO_ZONE_APPEND |
				  1 << IOMAP_BIO_ZONE_RESET | 1 << IOMAP_BIO_ZONE_FINISH,
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
	uint64_t *bad;			/* a bit for each unit that is not read as it is */
	const struct iomapi_sim_dev *bad_dev;
	uint64_t bad_unit, nr_bad;
	uint32_t number;		/* of all that were armed with it, for its noise */
};
/* What a rule does to a command. */
struct iomapi_sim_hit {
	uint8_t kind;
	uint64_t kinds;			/* a bit for each that was counted, to be observed */
	int status;
	uint32_t units;			/* of a write that fails: see iomapi_sim_tear */
	bool in_two;			/* the first units take effect, the others later */
	uint64_t away;			/* misdirected: so many units further, or so many less */
	int64_t before_ns, after_ns;	/* later, before it takes effect and behind that */
	int64_t late_ns;		/* completes later, and nothing behind it waits for that */
};
struct iomapi_sim_kind_info {
	const char *name;
	uint32_t ops;			/* 0: it happens to the host */
	int status;
	int64_t ns;			/* without ns=; 0: it takes none */
	bool stays;			/* from the first time on */
	bool medium;			/* a state of the device, not of its power */
	bool units;			/* takes units= */
};
extern const struct iomapi_sim_kind_info iomapi_sim_kinds[IOMAPI_SIM_NR_KINDS];
enum iomapi_sim_kind iomapi_sim_kind_of(const char *name, size_t len);	/* NO_FAULT: none */
/* Rules for all of a script: how many, or -EINVAL and the text in the simulation, or -ENOMEM. */
int iomapi_sim_parse(struct iomap_sim *sim, const char *script, struct iomapi_sim_rule **rules,
		     bool *stays);
/* After a crash: what the medium has suffered, of the rules of the world below.  -ENOMEM. */
int iomapi_sim_keep_damage(struct iomap_sim *sim, const struct iomapi_sim_rule *rules, size_t nr);
/* QUEUED: it goes on, with the hit. */
enum iomap_queued iomapi_sim_offer(struct iomapi_sim_dev *dev, struct iomap_bio *bio,
				   struct iomapi_sim_hit *hit);
int iomapi_sim_check_read(struct iomapi_sim_dev *dev, const struct iomap_bio *bio,
			  struct iomapi_sim_hit *hit);
/* Flip a bit of a unit that has been read, if a rule says so. */
void iomapi_sim_rot(struct iomapi_sim_dev *dev, uint64_t unit, uint8_t *mem, uint64_t *hash,
		    struct iomapi_sim_hit *hit);
void iomapi_sim_mend(struct iomapi_sim_dev *dev, const struct iomapi_sim_write *write);
/* The host has heard of the command. */
void iomapi_sim_count(struct iomap_sim *sim, unsigned kind, struct iomapi_sim_hit *hit);
void iomapi_sim_observe(struct iomap_sim *sim, const struct iomapi_sim_hit *hit);
/* Of nr things that the host is about to do, how many before the one that a rule means. */
size_t iomapi_sim_host(struct iomap_sim *sim, enum iomapi_sim_kind kind, size_t nr);
void iomapi_sim_disarm(struct iomap_sim *sim);

/* ---- device.c, backend.c ---- */

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
	bool opened, heap;			/* by an environment; outside of levels */
	int64_t held_until;			/* nothing is heard of before; then of all */
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
	struct iomapi_sim_image image;
	uint8_t *spare_units;			/* each holds the address of the next */
	struct iomap_list in_flight;		/* commands */
	uint32_t busy[IOMAPI_SIM_BUCKETS];	/* commands in flight, by where they are */
	uint64_t nr_hazards;
	unsigned nr_open;			/* by environments */
	int64_t last[IOMAPI_SIM_QUEUES];	/* when a line's latest command takes effect */
	bool removed, read_only;		/* removed: until power comes back */
};
extern const struct iomap_backend_ops iomapi_sim_backend;
enum iomap_queued iomapi_sim_queue_bio(void *queue, void *dev, struct iomap_bio *bio);
int iomapi_sim_commit(void *queue);
/* Where it really goes. */
uint64_t iomapi_sim_first_unit(const struct iomapi_sim_cmd *cmd);
void iomapi_sim_cmd_linearise(struct iomapi_sim_cmd *cmd);
void iomapi_sim_cmd_complete(struct iomapi_sim_cmd *cmd);
/* Everything on its way ends with -ENODEV. */
void iomapi_sim_dev_off(struct iomapi_sim_dev *dev);

/* ---- files: the rest is in file.h ---- */

struct iomapi_sim_files;
/* All that was not durable is forgotten, and no descriptor is open. */
void iomapi_sim_files_drop(struct iomap_sim *sim);

/* ---- tasks: the rest is in task.h ---- */

struct iomapi_sim_task;
struct iomapi_sim_tasks;
struct iomapi_sim_exit;
struct iomapi_sim_watchdog;
struct iomapi_sim_started {		/* writes of a task that it has not waited for */
	unsigned nr;			/* not heard of */
	int error;			/* of the first of them that failed */
};
struct iomapi_sim_policy {
	uint8_t schedule;		/* enum iomap_sim_schedule */
	uint32_t depth;
	uint64_t steps;			/* PCT: choices that a run is expected to have */
};

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
/* What check has found, as sums: in any order. */
struct iomapi_sim_content_sum {
	uint64_t told, read;
	bool any;			/* it was told */
};
struct iomap_sim {
	struct iomapi_sim_choice choice;
	uint64_t noise_seed;			/* of what was never written, and the like */
	struct iomapi_sim_level *level;		/* NULL: nothing will be undone */
	int64_t now;
	struct iomapi_sim_event *events;	/* a heap: the first one on top */
	size_t nr_events, max_events;
	uint64_t nr_passed, cut_at;		/* events so far; 0: no cut */
	bool off;
	uint64_t next_id, digest, nr_unreaped;
	uint64_t nr_changes;			/* of what may survive */
	const struct iomapi_sim_pattern *pattern;	/* what survived; NULL: chosen */
	struct iomapi_sim_dev *devs;
	unsigned nr_devs, nr_queues;
	struct iomap_list free_cmds;
	struct iomap_list blocks;		/* of iomap_sim_alloc, outside of levels */
	struct iomapi_sim_queue plain;		/* of plain calls; sim is NULL before the first */
	struct iomapi_sim_started started;	/* by task 0 */
	struct iomapi_sim_run *run;		/* NULL: without a case */
	void *engine;				/* the user's */
	int (*on_submit)(void *arg, const char *dev, const struct iomap_bio *bio);
	void *on_submit_arg;
	struct iomapi_sim_files *files;		/* NULL: no file was used since power came */
	bool files_busy;			/* a task is in a call of theirs */
	const struct iomap_backend_ops *backends[2];
	void *backend_args[1];
	struct iomapi_sim_rule *rules;
	size_t nr_rules;
	bool damage_stays;			/* after a crash, too */
	struct iomap_sim_counter counters[IOMAPI_SIM_NR_KINDS];
	char fault_error[600];
	uint64_t next_late;			/* choices when the run was stopped */
	char refused[160];			/* the last call that could not be; "": none */
	struct iomapi_sim_oracles *oracles;	/* for life: levels share them */
	struct iomapi_sim_content_sum content;
	struct iomapi_sim_model *models;	/* files that work has told about */
	struct iomapi_sim_host *hosts;		/* of this level: places for environments */
	uint64_t watched;			/* oracles that were asked for, a bit each */
	uint64_t self[32];			/* of task 0, for the library */
	uint32_t held;				/* by it: locks of the library's own */
	struct iomapi_sim_tasks *tasks;		/* NULL: none was spawned */
	struct iomapi_sim_task *idle;		/* stacks to be used again, of all levels */
	struct iomapi_sim_watchdog *watchdog;	/* of all levels; NULL: there were no tasks */
	struct iomapi_sim_policy policy;
	struct iomapi_sim_exit *exit;		/* of the callback; NULL: without a case */
	bool abandoned;				/* a callback was left where it stood */
};
/* When a wait ends that begins now. */
int64_t iomapi_sim_until(const struct iomap_sim *sim, int64_t timeout_ns);
/* Nothing happens until then. */
void iomapi_sim_pass_time(struct iomap_sim *sim, int64_t until);
/* Room for the event of one more command: 0 or -ENOMEM. */
int iomapi_sim_events_reserve(struct iomap_sim *sim, size_t nr);
void iomapi_sim_schedule(struct iomap_sim *sim, struct iomapi_sim_cmd *cmd,
			 enum iomapi_sim_class class, int64_t time);
/* One event of the run: it is counted and hashed, unless power went just before it; then false. */
bool iomapi_sim_pass(struct iomap_sim *sim, enum iomapi_sim_what what,
		     const struct iomapi_sim_cmd *cmd);
bool iomapi_sim_step(struct iomap_sim *sim);	/* the next event; false: there is none */

struct iomapi_sim_dev *iomapi_sim_find(const struct iomap_sim *sim, const char *name);

void iomapi_sim_power_off(struct iomap_sim *sim);

/* ---- misuse.c ---- */

/* A call that cannot be, which the report of a failure will tell: rc. */
int iomapi_sim_refuse(struct iomap_sim *sim, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void iomapi_sim_env_log(void *arg, const struct iomap_log_record *record);
/* A call that is no event: too many of them are no way to anywhere (O44). */
void iomapi_sim_idle(const struct iomap_sim *sim);
bool iomapi_sim_is_late(const struct iomap_sim *sim);	/* they were */
void iomapi_sim_give_up(struct iomap_sim *sim, const char *what, unsigned nr);

/* ---- env.c ---- */
extern const struct iomap_sync_ops iomapi_sim_sync;

#endif
