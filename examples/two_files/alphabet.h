/* SPDX-License-Identifier: MIT */
/*
 * alphabet.h - two files as a case: works spelled with twelve letters, each a fixed operation.
 *
 * A work is a word of at most that many letters, and then all is synced.  What is judged:
 *	O1	what was synced is there, byte for byte
 *	O2	what was not is, block by block, as one of the writes since left it, or as before
 *	O3	no byte is found that nobody wrote to this file
 *	O4	nothing is read behind the end, and on the device there are zeros or the file's
 *	O5	the size is between the one that was synced and the largest there was
 */
#ifndef ALPHABET_H
#define ALPHABET_H

#include "pair.h"

#define ALPHABET	12u
#define ALPHABET_MAX	12u		/* letters of a word at most */

struct alphabet {
	/* Zero, then set by the caller. */
	unsigned bug, length;
	const char *preset;		/* of a device with blocks of 4096; NULL: consumer */
	uint64_t from;			/* words before this one are left out, see next */
	bool retry;			/* errors end a word, those of writes after some tries */
	/* Optional, before each word: non-zero leaves out this one and the rest. */
	int (*progress)(void *arg, const struct alphabet *a);
	void *progress_arg;
	/* Of all runs. */
	uint64_t nr_words;		/* that were done, of all letters */
	uint64_t nr_works, next;	/* and shorter ones; the number of the word after that */
	uint64_t nr_images;		/* that were judged */
	uint64_t nr_errors;		/* that the client has told */
	/* What belongs to one. */
	struct iomap_sim_dev dev;
	struct iomap_sim_case c;
	struct alphabet_state *state;
};
/* Until alphabet_fini; NULL: no such length, bug or preset, or no memory. */
const struct iomap_sim_case *alphabet_init(struct alphabet *a);
void alphabet_fini(struct alphabet *a);
const char *alphabet_letter(unsigned letter);	/* from 1; what it does */
uint64_t alphabet_words(unsigned length);	/* of all letters */
const char *pair_bug_name(unsigned bug);

#endif
