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
#define LEGAL_CMDS	96u

/* What a unit holds: a token that the caller gave to a write, or one of these. */
enum { LEGAL_INITIAL = 0, LEGAL_GARBAGE = 254, LEGAL_UNREADABLE = 255 };

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
};

enum legal_op { LEGAL_READ, LEGAL_WRITE, LEGAL_FLUSH, LEGAL_DISCARD, LEGAL_ZEROES };
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
};
struct legal {
	struct legal_device dev;
	struct legal_cmd cmds[LEGAL_CMDS];
	uint32_t nr, now;
};

void legal_start(struct legal *l, const struct legal_device *dev);
/* A command is in flight from here on; false: there is no room. */
bool legal_accept(struct legal *l, const struct legal_cmd *cmd);
/* false: there is no such command, or its line does not allow that it is its turn. */
bool legal_linearise(struct legal *l, uint64_t id);
/* drops: a flush that failed, and no later one covers what it should have. */
bool legal_complete(struct legal *l, uint64_t id, int status, bool drops);

/* If power goes now: may the units be found so? */
bool legal_image(const struct legal *l, const uint8_t *image);
/* All that may be found, each once: how many.  fn may be NULL. */
size_t legal_each(const struct legal *l, void (*fn)(void *arg, const uint8_t *image), void *arg);

#endif
