/* SPDX-License-Identifier: MIT */
/*
 * base/errseq.c - an error that many watchers each see once.
 *
 * The word: bits 0..11 the error number, bit 12 "somebody saw it", bits 13..31 a count of errors.
 * A cursor is a copy of the word taken at some time; the watcher has something new to see when the
 * word, seen bit aside, is not what the cursor says.
 *
 *   set      while the bit is clear the error in the word is unseen: it stays, the new one is
 *            dropped (every watcher that has not looked yet learns of the first).  Else the new
 *            error takes its place and the count moves on.
 *   sample   an unseen error gives cursor 0, so that a late opener still learns of it.
 *   check    who looks sets the bit: the next error must not hide behind this one.
 *
 * The count wraps after 2^19 errors that were each seen; a watcher that looked away for exactly so
 * many with the same error number misses one.  Threads: any, no lock; one cursor belongs to one
 * watcher.
 */
#include "base/errseq.h"

#define ERRSEQ_ERROR	0xfffu
#define ERRSEQ_SEEN	(1u << 12)
#define ERRSEQ_COUNT	(1u << 13)

static int errseq_error(iomap_word value)
{
	return -(int)(value & ERRSEQ_ERROR);
}

void iomapi_errseq_set(iomap_word *word, int error)
{
	uint32_t code = error < 0 ? (uint32_t)-error : 0;
	iomap_word old = iomapi_load(word), new;

	if (!error)
		return;
	if (!code || code > ERRSEQ_ERROR)
		code = EIO;
	do {
		if ((old & ERRSEQ_ERROR) && !(old & ERRSEQ_SEEN))
			return;
		new = (old & ~(ERRSEQ_ERROR | ERRSEQ_SEEN)) + ERRSEQ_COUNT;
		new |= code;
	} while (!iomapi_cas(word, &old, new));
}

iomap_word iomapi_errseq_sample(const iomap_word *word)
{
	iomap_word value = iomapi_load(word);

	return value & ERRSEQ_SEEN ? value : 0;
}

int iomapi_errseq_check(const iomap_word *word, iomap_word cursor)
{
	iomap_word value = iomapi_load(word);

	if ((value | ERRSEQ_SEEN) == (cursor | ERRSEQ_SEEN))
		return 0;
	return errseq_error(value);
}

int iomapi_errseq_check_and_advance(iomap_word *word, iomap_word *cursor)
{
	iomap_word value = iomapi_load(word);

	if (value == *cursor)
		return 0;
	/* If set took the place of the error meanwhile, that one is reported: once, and it is the
	 * one that the cursor then stands on. */
	while (value && !iomapi_cas(word, &value, value | ERRSEQ_SEEN))
		;
	value = value ? value | ERRSEQ_SEEN : 0;
	if (value == *cursor)
		return 0;
	*cursor = value;
	return errseq_error(value);
}
