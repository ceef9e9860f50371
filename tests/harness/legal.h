/* SPDX-License-Identifier: MIT */
/*
 * legal.h - which contents of a device are legal after a power cut.
 *
 * A second implementation of what the simulator's fault model promises, written from its text (doc,
 * "fault model": states of a write, meaning of completions, legal crash images), not from sim/.  It
 * is told the instants of all commands, and then says of an image whether it may be found, or
 * lists all that may.
 */
#ifndef T_LEGAL_H
#define T_LEGAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEGAL_UNITS	16u
#define LEGAL_ZONES	4u
#define LEGAL_IMAGE	(LEGAL_UNITS + LEGAL_ZONES)
#define LEGAL_CMDS	96u

/* What a unit holds: a token that the caller gave to a write, or one of these. */
enum { LEGAL_INITIAL = 0, LEGAL_BLANK = 251, LEGAL_GARBAGE = 254, LEGAL_UNREADABLE = 255 };

enum legal_order { LEGAL_ANY, LEGAL_PER_QUEUE, LEGAL_FIFO };
/* Sizes in units. */
struct legal_device {
	uint32_t nr_units;
	uint32_t physical;		/* at least 1 */
	uint32_t atomic, boundary;	/* at a power cut; boundary 0: none */
	enum legal_order order;
	bool cache, power_safe, shorn;
	bool fua_flushes;		/* FUA is emulated: the data, then a flush */
	bool discard_any;		/* what was discarded may hold anything */
	/* Zones, that are empty at first; zone 0: there are none.  An image ends with the write
	 * pointer of each, in units of the zone; from there on, and where nothing was written
	 * before a finish, units are blank. */
	uint32_t zone, capacity;
};

enum legal_op {
	LEGAL_READ, LEGAL_WRITE, LEGAL_FLUSH, LEGAL_DISCARD, LEGAL_ZEROES,
	LEGAL_APPEND, LEGAL_RESET, LEGAL_FINISH,	/* first: the start of the zone */
};
struct legal_cmd {
	uint64_t id;
	enum legal_op op;
	bool fua;
	bool part;			/* of a write that takes effect in parts */
	bool fails;			/* it will, and nobody knows yet */
	uint8_t token;
	uint32_t queue, first, nr;
	/* Set by the calls below: instants, counted from 1; 0: not yet. */
	uint32_t accepted, linearised, completed;
	int status;
	bool drops;
	uint32_t seen;			/* in a zone, once linearised: units that reads see, or 1 */
	bool refused;			/* in a zone: it could not be there, and did nothing */
};
struct legal {
	struct legal_device dev;
	struct legal_cmd cmds[LEGAL_CMDS];
	uint32_t nr, now;
	uint32_t pointers[LEGAL_ZONES];	/* as reads see them */
};

void legal_start(struct legal *l, const struct legal_device *dev);
/* A command is in flight from here on; false: there is no room. */
bool legal_accept(struct legal *l, const struct legal_cmd *cmd);
/* false: there is no such command, or its line does not allow that it is its turn. */
bool legal_linearise(struct legal *l, uint64_t id);
/* The same of a command to a zone, whose pointer is there now. */
bool legal_zone(struct legal *l, uint64_t id, uint32_t pointer);
/* drops: a flush that failed, and no later one covers what it should have. */
bool legal_complete(struct legal *l, uint64_t id, int status, bool drops);

/* If power goes now: may the units be found so? */
bool legal_image(const struct legal *l, const uint8_t *image);
/* All that may be found, each once: how many.  fn may be NULL. */
size_t legal_each(const struct legal *l, void (*fn)(void *arg, const uint8_t *image), void *arg);

/* ---- legal.c and legal_zone.c ---- */

#define LEGAL_NEVER	UINT32_MAX

struct legal_cmd *legal_find(struct legal *l, uint64_t id);
/* From when on it is known to be durable, by what was promised of itself. */
uint32_t legal_durable_at(const struct legal *l, const struct legal_cmd *write);
bool legal_zones_image(const struct legal *l, const uint8_t *image);
uint32_t legal_nr_zones(const struct legal *l);

#endif
