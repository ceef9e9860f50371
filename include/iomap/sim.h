/* SPDX-License-Identifier: MIT */
/*
 * iomap/sim.h - simulated devices.
 *
 * For whoever tests a storage engine; link libiomap-sim, a library of its own that sits on
 * libiomap's public headers like any other outside backend.  Named devices live under one clock,
 * one power supply and one choice stream: the same seed and the same calls give the same run, bit
 * for bit, everywhere.
 *   threads  a simulation, and every environment in it, belong to one thread, which tasks share.
 *   time     passes only while something waits for a device, from event to event.
 *   errors   after a power cut every bio ends with -ENODEV until power is back; others only by
 *            iomap_sim_fault.
 */
#ifndef IOMAP_SIM_H
#define IOMAP_SIM_H

#include "bdev.h"
#include "env.h"
#include "sim_file.h"

IOMAP_BEGIN_DECLS

struct iomap;
struct iomap_sim;
struct iomap_sim_report;

IOMAP_API unsigned iomap_sim_version(void);	/* major << 16 | minor, of the library that runs */

/* ---- devices ---- */

/* In which order writes take effect, and so what can have survived without what: with an order,
 * nothing without all that took effect before it, on the device or on this queue of it. */
enum iomap_sim_order { IOMAP_SIM_ORDER_ANY, IOMAP_SIM_ORDER_PER_QUEUE, IOMAP_SIM_ORDER_FIFO };
/* NONE: the library flushes behind such a write.  EMULATED: the device does. */
enum iomap_sim_fua { IOMAP_SIM_FUA_NONE, IOMAP_SIM_FUA_EMULATED, IOMAP_SIM_FUA_NATIVE };
/* What is read where something was discarded; ANY: that, or zeros, or what was there. */
enum iomap_sim_discard { IOMAP_SIM_DISCARD_ANY, IOMAP_SIM_DISCARD_ZEROS, IOMAP_SIM_DISCARD_ONES };

/* Sizes in bytes, powers of two.  atomic_*: a write that is no larger, and crosses no multiple of
 * the boundary (0: there is none), never tears, while power is on or when it goes; larger ones tear
 * at logical blocks. */
struct iomap_sim_profile {
	size_t struct_size;
	uint32_t logical_block, physical_block;		/* logical: 512 or 4096 */
	uint32_t atomic_normal, atomic_power_fail, atomic_boundary;
	uint8_t order, fua, discard;			/* the enums above */
	bool volatile_cache;		/* what completed may be lost until it is flushed */
	bool power_safe_overwrite;	/* else neighbours in the physical block may be hurt */
	bool shorn_sectors;	/* what was being written may hold anything, or be unreadable */
	uint64_t max_bytes;
	uint32_t max_segs, memory_align, queue_depth, nr_queues;	/* queues: 1..16 */
	/* zone_size 0: no zones.  Else the device is nothing but zones, its size a multiple of
	 * theirs; order any, power-safe overwrite, no shorn sectors.  zone_size: a power of two,
	 * at most 1 GiB; capacity: whole physical blocks of it; max_append: logical blocks, not
	 * above capacity and max_bytes; max_open_zones 0: no limit. */
	uint64_t zone_size, zone_capacity, max_append;
	uint32_t max_open_zones, spare32;
};
/* plp consumer atomic16k sata512e multiqueue zoned cruel fifo; NULL for another name. */
IOMAP_API const struct iomap_sim_profile *iomap_sim_preset(const char *name);

struct iomap_sim_dev {
	const char *name;	/* opened as "sim:name"; at most 31 letters, none of " ,:;=+@" */
	const char *preset;
	const struct iomap_sim_profile *profile;	/* overrides preset */
	uint64_t size;			/* a multiple of the physical block */
};

/*
 * A zone is a log.  A write starts at its pointer when it takes effect: writes that are in flight
 * together may overtake each other, and then fail; appends go wherever the pointer is then, and the
 * bio says where at its end.  A write that is not at the pointer, or would not fit in the capacity,
 * is -EIO and has no effect; there is no discard.  From the pointer on, and where a zone was
 * finished early, reads find what the profile says of discarded blocks (ANY: noise).
 * A write opens its zone.  Above max_open_zones the zone that was opened first is closed for it;
 * -EOVERFLOW where IOMAP_BIO_ZONE_OPEN opened them all.  Opening a full zone is -EIO, and closing a
 * full or empty one.
 *
 * After a power cut a zone holds what was done to it until some moment, writes and resets and
 * finishes in the order in which they took effect, the last write perhaps its first blocks only; so
 * it has no holes, and is reset or finished wholly or not at all, and what was written behind a
 * reset is there only if the reset is.  What is in flight then takes effect in any order, or not;
 * the order is chosen when the zone is first looked at, by iomap_sim_each_candidate too.
 * What a flush, or FUA, makes durable carries all that came before it in that zone.  No zone is
 * open.  A write that failed may be there in part: its first blocks, as many as reads find; after a
 * power cut with nothing behind it, any number.  So may a reset that failed have happened.
 */

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
 * alloc_fails and short_copy happen, and the log hook, whose last record the report of a failure
 * has.  The rest of the options stays the caller's.  Once for each environment: its memory is
 * watched (O28, O29).
 */
IOMAP_API void iomap_sim_env_opts(struct iomap_sim *sim, struct iomap_env_opts *opts);

/* The only source of what may go one way or another: 0..n-1.  site names the choice. */
IOMAP_API uint32_t iomap_sim_choose(struct iomap_sim *sim, const char *site, uint32_t n);

/* ---- power ---- */

/* Power goes right before that event, counted from now: 1 is the next.  An event is a command
 * accepted, taking effect, completed, or heard of by the host.  -EINVAL: 0, or power is off; or in
 * a case, whose crashes come by themselves. */
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
 *	read write discard zeroes flush append reset finish
 *			only that; else whatever the kind can happen to
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
 *				between; no writes that cannot tear, or to zones; no appends
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
 *	cq_overflow		no room to tell that it is done: it, and all that completes on its
 *				queue in the meantime, is heard of ns= later than usual (1 ms), at
 *				once
 *	removed			-ENODEV for this and all after it, and all on their way; the device
 *				is back after power-on
 *	read_only		-EROFS for writes from then on, this one too
 * The next ones break what the device has promised; only checksums of the engine's own can tell:
 *	flush_lies		0, and nothing is covered; a later flush does
 *	fua_ignored		0, and it is in the cache like any other
 *	phantom_write		0, and nothing was written
 *	misdirected_write	to some blocks next to where it belongs
 *	misdirected_read	from there
 *	stale_read		what was there before the newest write, while that is in the cache
 *	bit_rot			+ a bit of each of those units (within addr) is wrong, until written
 *	duplicate		completes twice, where the host reaps several at once
 * And to the host itself happen:
 *	alloc_fails		the nth= allocation of an environment
 *	short_copy		its copy from or to user memory stops before the nth= byte of all
 *	callback_fails		the nth= callback that asks iomap_sim_answer says -EIO
 *	hostile_map		the nth= map shown to iomap_sim_answer is made to lie
 * What a write that failed left is open again after a power cut: each block (or atomic unit) old or
 * new, or unreadable where sectors may be shorn, whatever was read before.  A write counts as one
 * when it succeeds, discards and zeroes too.
 *
 * In zones what can happen to a write can happen to appends, resets and finishes as well; addr= is
 * then a byte of the zone.
 *
 * The word stay in place of a rule is for cases, whose rules are disarmed at a crash: what is a
 * state of the medium (eio_read_until_written, eio_write_persistent, read_only, bit_rot) is not
 * then, and recovery meets it.
 *
 * NULL disarms: no rules, no unreadable units, no read-only devices; removed ones stay away.
 * -EINVAL: a mistake, then nothing was armed; -ENOMEM.
 */
IOMAP_API int iomap_sim_fault(struct iomap_sim *sim, const char *script);
/* "line 1, column 4: expected .." of the last script, columns from 1; "" when it was right. */
IOMAP_API const char *iomap_sim_fault_error(const struct iomap_sim *sim);
/* The names of the kinds, from 0 on; NULL: there are no more. */
IOMAP_API const char *iomap_sim_fault_kind(unsigned n);

/*
 * For callbacks of a client, iomap_begin and writeback_range say, that libiomap must not trust;
 * map is NULL before anything was done, and later the map that they made:
 *	rc = iomap_sim_answer(sim, NULL, 0);		-EIO by callback_fails, else 0
 *	return iomap_sim_answer(sim, map, rc);		rc, with a map that lies by hostile_map
 * It lies in one of nine ways: it is empty, elsewhere in the file, or wraps; type, flags or address
 * cannot be, or the address is not aligned, or beyond any device; a hole has one.
 */
IOMAP_API int64_t iomap_sim_answer(struct iomap_sim *sim, struct iomap *map, int64_t rc);

struct iomap_sim_counter {
	size_t struct_size;	/* set by the caller */
	uint64_t armed;		/* rules */
	uint64_t fired;		/* commands that they did something to */
	uint64_t observed;	/* of which the host has heard */
};
/* Of one kind since iomap_sim_new, all devices.  -ENOENT: there is no such kind; -EINVAL. */
IOMAP_API int iomap_sim_fault_counters(const struct iomap_sim *sim, const char *kind,
				       struct iomap_sim_counter *counter);

/* ---- oracles: what must hold whatever an engine does ---- */

/*
 * Watched by themselves; in a case what they find is its failure.
 *	O20	each bio completes once: none is submitted while it is in flight, and none is in
 *		flight when its queue is closed, or work or check is over
 *	O26	commands in flight overlap only if both read; for plain calls where it is asked for
 *	O27	commands are in the device, in blocks, within its limits; one that is not ends
 *		with -EIO
 *	O28	an environment that closes has given back all of its memory
 *	O29	no memory of one is freed twice, or written to behind its end or after it was freed
 *	O30	none of its bios is in flight when a device is closed for the last time
 *	O9	power goes once more, in recover: counted here, check says what is wrong
 *	O44 O46 O47	a run ends; it is the same again; writes are in the client's order
 * Only where iomap_sim_watch asks for them, for they cost more or not every engine keeps to them:
 *	O25	what a write brings does not change in flight: for frames, and for files of
 *		IOMAP_INODE_STABLE, others may change while they are written
 *	O8	recover and check once more, after each image: the same is found, by what check
 *		says to iomap_sim_content, or where it says nothing, by what it reads
 * Likewise, of environments whose options are filled in after that, and have no trace hook:
 *	O21	each ioend ends once, after its last bio, with the first error of its bios
 *	O22	what joins an ioend, or is merged into one, follows it in the file and on the
 *		device, and is of its kind; nothing is merged twice
 *	O23	what is written was dirty, was offered, and goes out once in a pass
 *	O24	folios: dirty, chosen, offered, written; none is dropped or chosen in between
 *	O31	no lock of the library is held when a map is begun, or in end_io and folio_written,
 *		which are at most two deep in each other
 *	O33	each map that was begun is ended once, with no more done than was asked for
 */
#define IOMAP_SIM_ORACLES	48u
/* Also these from now on, "O25 O26", until the end of a case's callback, and in what comes after a
 * crash in it.  -EINVAL: there is no such one. */
IOMAP_API int iomap_sim_watch(struct iomap_sim *sim, const char *oracles);

struct iomap_sim_verdict {
	size_t struct_size;	/* set by the caller */
	uint64_t evaluated, violated;
};
/* "O25", since iomap_sim_new.  -ENOENT: there is no such one; -EINVAL. */
IOMAP_API int iomap_sim_oracle(const struct iomap_sim *sim, const char *oracle,
			       struct iomap_sim_verdict *verdict);
/* "O25: ..", the first that was found without a case; "". */
IOMAP_API const char *iomap_sim_violation(const struct iomap_sim *sim);

/* ---- a case ---- */

/*
 * What is to be tested: an engine on some devices, all of which lose power at the same moment.
 * The callbacks return 0, or anything else when something is wrong (iomap_sim_fail says what).
 * work draws what it does from iomap_sim_choose; the choice "op" begins an operation.  Failures
 * are made small by lower choices, so let 0 be the least that there is: an "op" of 0 ends work.
 *
 * A crash strikes while work is in a call of the simulator.  Then and there the devices are what
 * may have survived, and recover and check run on a fresh engine; when they are through all that
 * they did is undone, and work goes on to the next crash; power may go again in recover.  So they
 * must not change what is shared: what an engine needs is its own, in memory of iomap_sim_alloc,
 * and recover hands it to check by iomap_sim_set_engine.  work may keep in arg what check reads.
 *
 * When a callback only returns an error the report has the last call that was refused: which, of
 * what device, where, how much, and why.  A callback that does not end is stopped (O44) after four
 * million events, or as many choices, looks at the clock, waits and refused calls without an
 * event: from then on there is no power, the clock has run out, and choices have all their values
 * in turn.  If it goes on all the same it is left where it stands, inside a call of the simulator.
 */
struct iomap_sim_case {
	size_t struct_size;
	const char *name;		/* in tokens; letters, digits, '_' and '-', at most 31 */
	const struct iomap_sim_dev *devs;
	unsigned nr_devs, spare32;
	int (*format)(struct iomap_sim *sim, void *arg);	/* without faults and crashes */
	int (*work)(struct iomap_sim *sim, void *arg);		/* drive the engine, ack promises */
	/* Both optional, in this order: a fresh engine, only the devices; what was acknowledged
	 * is there, what was not may be, nothing else.  They run at the end of work, too. */
	int (*recover)(struct iomap_sim *sim, void *arg);
	int (*check)(struct iomap_sim *sim, void *arg);
	void *arg;
	/* Optional: a digest of all else that recover and check depend on, what work keeps in arg
	 * say, besides the devices and what was acknowledged; then iomap_sim_exhaust judges crashes
	 * once that find the same.  Without it only those that were judged in an earlier run. */
	uint64_t (*state)(struct iomap_sim *sim, void *arg);
};
/*
 * Which images of each crash were judged: some that were drawn; besides, of all that is in doubt,
 *	ENDS	nothing, and all of it
 *	LINES	what was before some write; all but one write; only one
 *	PAIRS	only two writes; all but two
 *	TEARS	what was before some write, and of that its first block, half of it, all but its
 *		last
 * each with those before it; or ALL that there are.  Any but ALL is sampling.
 */
enum iomap_sim_level {
	IOMAP_SIM_LEVEL_DRAWN, IOMAP_SIM_LEVEL_ENDS, IOMAP_SIM_LEVEL_LINES, IOMAP_SIM_LEVEL_PAIRS,
	IOMAP_SIM_LEVEL_TEARS, IOMAP_SIM_LEVEL_ALL,
};
/*
 * What stops work, so that a fresh engine is started; a set of them.  Power goes a second time, in
 * recovery, after each of the first three.
 *	POWER_LOSS	of all devices
 *	DEVICE_RESET	commands in flight are aborted: each has happened, or not, or in part; what
 *			completed is still in the caches: it is read, and not durable
 *	PROCESS_KILL	what the devices have accepted happens as usual; caches stay, too
 *	REMOVAL		one device goes away, -ENODEV from then on, and work runs to its end (which
 *			may say -ENODEV); recovery finds on it what a loss of its power leaves, and
 *			the others as after PROCESS_KILL
 *	RETURN		so, but it is back after a while, without what only its cache had, and work
 *			goes on with it; then all are as after PROCESS_KILL
 */
enum iomap_sim_restart {
	IOMAP_SIM_POWER_LOSS = 1 << 0, IOMAP_SIM_DEVICE_RESET = 1 << 1,
	IOMAP_SIM_PROCESS_KILL = 1 << 2, IOMAP_SIM_REMOVAL = 1 << 3,
	IOMAP_SIM_RETURN = 1 << 4,
};
/*
 * Which task goes on where one may lose the processor, and how many switches that were not needed
 * a bug may take: cfg.depth.
 *	RANDOM		by chance, some runs at each place and others rarely
 *	PCT		by random priorities, that change depth - 1 times: 1..3, default 3
 *	DEPTH_FIRST	every one, with at most so many switches away from a task that could have
 *			gone on (default 2): as iomap_sim_exhaust, with nr_seeds as its bound (0:
 *			none) and without faults
 */
enum iomap_sim_schedule { IOMAP_SIM_RANDOM, IOMAP_SIM_PCT, IOMAP_SIM_DEPTH_FIRST };
struct iomap_sim_cfg {
	size_t struct_size;
	uint64_t seed, nr_seeds;	/* the first; default 1000 */
	uint32_t crash_points, images;	/* of a seed, of a crash: default 16 and 1 */
	const char *faults;		/* a script, disarmed at a crash, but see stay; NULL */
	/*
	 * Which faults a design can survive, and where: kinds, separated by spaces, anywhere, of a
	 * device, or of bytes of it:
	 *	busy eio_write@log eio_read@data:0..4095
	 * Each seed has up to max_faults of them (default 1) besides those of the script; of those
	 * that break the device's promises up to max_broken (default 1).  NULL: none.  A mistake
	 * is -EINVAL, and the report's text has its column.
	 */
	const char *fault_kinds;
	uint32_t max_faults;
	uint32_t depth;			/* of schedule */
	/* Run each seed again: with another digest the report (O46) has the first event that
	 * differs.  So it has when a failure does not come again, with or without this. */
	bool twice;
	bool no_shrink;			/* report the first failure as it was found */
	/* Between seeds: non-zero ends the run, as if there were no more.  NULL: no progress. */
	int (*progress)(void *arg, const struct iomap_sim_report *report);
	void *progress_arg;
	/* 0: images are drawn.  Else of each crash all, if they are no more than this; where they
	 * are more, besides as many of the levels, and drawn ones for what is left of that. */
	uint32_t all_images, max_broken;
	/* enum iomap_sim_restart; default POWER_LOSS.  One of the first three is drawn for each
	 * image; with REMOVAL and RETURN each seed is run once more.  With all_images:
	 * POWER_LOSS.  Devices with zones know POWER_LOSS alone. */
	uint32_t restarts;
	uint32_t schedule;		/* enum iomap_sim_schedule */
};
struct iomap_sim_report {
	size_t struct_size;
	uint64_t seeds, runs, crash_points, images;
	uint64_t digest;		/* of all runs */
	uint64_t seed;			/* of the failure */
	uint32_t ops, choices;		/* until then, shrunk; ops are choices called "op" */
	uint32_t ops_found, choices_found;	/* as it was found */
	char oracle[16];		/* "": there was no failure */
	bool exhaustive;		/* by iomap_sim_exhaust: nothing was left out */
	char unfired[32];		/* a kind of the script that did nothing in any seed; "" */
	char never[64];			/* what iomap_sim_sometimes never saw; "" */
	char token[256];		/* for iomap_sim_replay; "": it is too long */
	char *text;			/* one screen; freed by iomap_sim_report_fini */
	uint64_t evaluated[IOMAP_SIM_ORACLES];	/* [20]: how often O20 was looked at */
	uint64_t skipped;		/* crash points that had been explored already */
	uint32_t level;			/* enum iomap_sim_level: complete at each crash */
	uint32_t spare32;
};
/*
 * Run seeds until one fails.  0: none did; 1: the report has the failure, shrunk; negative: the
 * case or the configuration cannot be (-EINVAL, and text says why; also when format fails
 * otherwise; -ENOMEM; or what format said).
 */
IOMAP_API int iomap_sim_check(const struct iomap_sim_case *c, const struct iomap_sim_cfg *cfg,
			      struct iomap_sim_report *report);
/* The same failure again, in any process and build: as above; -EINVAL also for a bad token. */
IOMAP_API int iomap_sim_replay(const struct iomap_sim_case *c, const char *token,
			       struct iomap_sim_report *report);
/*
 * Every choice of work, depth first, a crash before each event, all that may be found after each:
 * for works of a few operations.  Devices take as long as they must and never longer, so how
 * commands overtake each other is not varied.  bound: images at most, 0: no bound; when it was met,
 * exhaustive stays false.  So it does when tasks could have been made to stop, or the time to go
 * on while a task could, more than twice in a run: see IOMAP_SIM_DEPTH_FIRST.  Crashes that must
 * find what was judged before are left out (skipped).
 */
IOMAP_API int iomap_sim_exhaust(const struct iomap_sim_case *c, uint64_t bound,
				struct iomap_sim_report *report);
/* Choices of work from a fuzzer's bytes, two each, a crash before each event: 0, 1 or negative. */
IOMAP_API int iomap_sim_fuzz_one(const struct iomap_sim_case *c, const uint8_t *bytes,
				 size_t nr_bytes);
IOMAP_API void iomap_sim_report_fini(struct iomap_sim_report *report);

/* ---- inside the callbacks ---- */

/* The engine has promised: durable from now on.  The latest digest of an id counts; what was done
 * since is for the test to remember, before it calls the engine, anew in each work. */
IOMAP_API void iomap_sim_ack(struct iomap_sim *sim, uint64_t id, uint64_t digest);
IOMAP_API bool iomap_sim_acked(const struct iomap_sim *sim, uint64_t id, uint64_t *digest);
/* Say what is wrong; the first word of a run counts.  oracle: at most 15 letters.  Returns 1. */
IOMAP_API int iomap_sim_fail(struct iomap_sim *sim, const char *oracle, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What recover leaves for check, or work for itself: the engine.  Each crash has its own. */
IOMAP_API void iomap_sim_set_engine(struct iomap_sim *sim, void *engine);
IOMAP_API void *iomap_sim_engine(const struct iomap_sim *sim);	/* NULL: none was set */
/*
 * Each write of an engine, with its bytes, before the device accepts it, until the end of this
 * callback: non-zero fails the run (O47, a log rule say).  fn must not call the simulator.
 */
IOMAP_API void iomap_sim_on_submit(struct iomap_sim *sim,
				   int (*fn)(void *arg, const char *dev,
					     const struct iomap_bio *bio), void *arg);
/*
 * After a crash, what a block may hold, one after the other, without deciding for one of them: for
 * a check that judges block by block.  It stops with the first non-zero result, and returns that;
 * mem is NULL for a block that may be unreadable.  -ENOENT: no such device; -EINVAL: addr is no
 * block of it.
 */
IOMAP_API int iomap_sim_each_candidate(struct iomap_sim *sim, const char *dev, uint64_t addr,
				       int (*fn)(void *arg, const void *mem, size_t len),
				       void *arg);
/* Something that must be true in one seed at least, or the test tests less than it says: the
 * report's never has the name.  name lives as long as the program. */
IOMAP_API void iomap_sim_sometimes(struct iomap_sim *sim, const char *name, bool cond);
/*
 * A file, by a number of the caller's, and what may be found of it after a crash: work tells what
 * it is about to ask of the engine, and what the engine has promised; check has it judged.  Without
 * a case the test does both; in one, what is told elsewhere than in work is ignored.
 *	O1	what was synced, and not touched since, is there to the byte
 *	O2	what was written over since is old or new
 *	O3	what was new since is zero or new; holes are empty
 *	O4	behind an end that the file had since are zeros, or what was written there later;
 *		there is nothing behind the one it has
 *	O5	the size is between the least and the most it was since
 * write: -EFBIG beyond 64 MiB; -ENOMEM.
 */
IOMAP_API int iomap_sim_model_write(struct iomap_sim *sim, uint64_t file, const void *mem,
				    size_t len, uint64_t pos);
IOMAP_API int iomap_sim_model_truncate(struct iomap_sim *sim, uint64_t file, uint64_t size);
/* All so far is durable. */
IOMAP_API void iomap_sim_model_sync(struct iomap_sim *sim, uint64_t file);
struct iomap_sim_found {
	size_t struct_size;
	uint64_t size;		/* of the file */
	/* Bytes that were read; fewer than asked for only at the end, else they are lost. */
	int64_t (*read)(void *arg, void *mem, size_t len, uint64_t pos);
	void *arg;
	/* A piece of that size, of which any byte was touched since, may be anything: of engines
	 * that write whole blocks in place, where sectors may be shorn.  0: not so. */
	uint32_t shorn, spare32;
};
/* NULL: it was not found, which is as if it were empty.  0; 1: it failed, as by iomap_sim_fail;
 * -EINVAL. */
IOMAP_API int iomap_sim_judge_file(struct iomap_sim *sim, uint64_t file,
				   const struct iomap_sim_found *found);
/* In check, for O8: what was found of id, the same each time it is recovered.  Any order. */
IOMAP_API void iomap_sim_content(struct iomap_sim *sim, uint64_t id, uint64_t digest);
/* For the operation list of a report. */
IOMAP_API void iomap_sim_note(struct iomap_sim *sim, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Memory that goes with the run; NULL: none. */
IOMAP_API void *iomap_sim_alloc(struct iomap_sim *sim, size_t size);
IOMAP_API uint64_t iomap_sim_digest(const void *mem, size_t len, uint64_t seed);

/* ---- tasks ---- */

/*
 * Threads of an engine.  They share the thread of the simulation: which one has it, and goes on
 * where it may be lost, is a choice called "task".  It may be lost in every call of a wait, a wake,
 * a spawn or a yield, where a command is given to a device or waited for, and where a lock of
 * <iomap/sync.h> is taken in an environment of the simulation, whose waits and threads are tasks
 * too.  It is never lost between: what tasks share without these needs a yield where another thread
 * could come in.  Nothing else may block, not the locks of pthreads either, for no other task could
 * ever wake it: a process that sleeps so for five seconds says which task it is, and aborts.
 *
 * A callback of a case is task 0, and its tasks are its own, with stacks of 256 KiB.  When work
 * returns 0 those that have not ended are waited for, else they are left where they stand; so are
 * tasks of recover and check when both have returned.  When power goes, recover and check run in
 * between, and tasks go on behind that as if nothing had been.
 *
 * When nobody can go on and nothing will happen any more, the run fails (O44, with what each task
 * waits for), and the callback is left where it stands.  Without a case task 0 gets -EDEADLK.
 */
#define IOMAP_SIM_TASKS 64u		/* at once, task 0 and those that nobody has joined too */

/* A task that calls fn; when that returns something else than 0 the run fails.  -EAGAIN: there are
 * IOMAP_SIM_TASKS; -ENOMEM. */
IOMAP_API int iomap_sim_spawn(struct iomap_sim *sim,
			      int (*fn)(struct iomap_sim *sim, void *arg), void *arg);
/* Until all others have ended.  -EDEADLK: in another task than 0. */
IOMAP_API int iomap_sim_join(struct iomap_sim *sim);
/*
 * Sleep unless the word is another than seen, until a wake.  Nothing else ends it: no change of the
 * word, and it is looked at only once.  0; -ETIMEDOUT; timeout_ns may be IOMAP_FOREVER.
 */
IOMAP_API int iomap_sim_wait(struct iomap_sim *sim, const iomap_word *word, uint32_t seen,
			     int64_t timeout_ns);
/* Those nr that have slept longest on this word. */
IOMAP_API void iomap_sim_wake(struct iomap_sim *sim, const iomap_word *word, unsigned nr);
/* Another task may go on here; site is for reports, and lives as long as the program. */
IOMAP_API void iomap_sim_yield(struct iomap_sim *sim, const char *site);

/* ---- devices without the rest of libiomap ---- */

/*
 * One command, waited for.  addr and len are multiples of the logical block; a larger one than
 * the device takes is several, one after the other.  flags: IOMAP_BIO_FUA.
 * Bytes, fewer after a short transfer (zero_length: 0); -ENOENT: no such device; -EINVAL: not in
 * blocks, or not in the device; -EOPNOTSUPP: FUA where there is a cache but no FUA; or the device's
 * error, -ENODEV after a power cut.
 */
IOMAP_API int64_t iomap_sim_pread(struct iomap_sim *sim, const char *dev, void *mem, size_t len,
				  uint64_t addr);
IOMAP_API int64_t iomap_sim_pwrite(struct iomap_sim *sim, const char *dev, const void *mem,
				   size_t len, uint64_t addr, unsigned flags);
IOMAP_API int iomap_sim_flush(struct iomap_sim *sim, const char *dev);
IOMAP_API int iomap_sim_discard(struct iomap_sim *sim, const char *dev, uint64_t len,
				uint64_t addr);
/*
 * Several at once: a write that is not waited for; mem is copied.  iomap_sim_wait_writes waits for
 * all of this task's, on all devices: 0, or the error of the first that failed, once.
 */
IOMAP_API int iomap_sim_start_write(struct iomap_sim *sim, const char *dev, const void *mem,
				    size_t len, uint64_t addr, unsigned flags);
IOMAP_API int iomap_sim_wait_writes(struct iomap_sim *sim);

/*
 * Zones are named by the address of their start; an append is at most max_append.  addr: where it
 * went; of one that was started, once iomap_sim_wait_writes has waited for it, and unchanged where
 * it failed.  report: how many, from the zone that from lies in.  -EOPNOTSUPP: the device has none;
 * else as above, with the errors of zones.
 */
IOMAP_API int iomap_sim_zone_append(struct iomap_sim *sim, const char *dev, const void *mem,
				    size_t len, uint64_t zone, unsigned flags, uint64_t *addr);
IOMAP_API int iomap_sim_start_append(struct iomap_sim *sim, const char *dev, const void *mem,
				     size_t len, uint64_t zone, unsigned flags, uint64_t *addr);
IOMAP_API int iomap_sim_zone_reset(struct iomap_sim *sim, const char *dev, uint64_t zone);
IOMAP_API int iomap_sim_zone_finish(struct iomap_sim *sim, const char *dev, uint64_t zone);
IOMAP_API int iomap_sim_report_zones(struct iomap_sim *sim, const char *dev, uint64_t from,
				     struct iomap_zone *zones, unsigned nr_zones);

/* ---- to look at ---- */

IOMAP_API int64_t iomap_sim_now_ns(const struct iomap_sim *sim);
IOMAP_API uint64_t iomap_sim_nr_events(const struct iomap_sim *sim);	/* so far */
/* Of all events, with their times, results and data; equal runs have equal ones. */
IOMAP_API uint64_t iomap_sim_run_digest(const struct iomap_sim *sim);
/* How often a command met an overlapping one in flight, and one of them was a write: they have no
 * order. */
IOMAP_API int64_t iomap_sim_hazards(const struct iomap_sim *sim, const char *dev); /* -ENOENT */
/* Write what reads would see to a file, zeros for what cannot be read: bytes, -ENOENT for the
 * device, or an error of the file. */
IOMAP_API int64_t iomap_sim_dump(const struct iomap_sim *sim, const char *dev, const char *path);

IOMAP_END_DECLS
#endif
