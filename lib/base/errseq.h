/* SPDX-License-Identifier: MIT */
/*
 * base/errseq.h - an error that many watchers each see once.
 *
 * One word: error number, a bit "somebody saw it", a count.  A cursor is an older copy of the word.
 * The first unseen error wins; one that was seen makes room for the next.
 */
#ifndef IOMAPI_ERRSEQ_H
#define IOMAPI_ERRSEQ_H

#include "base/base.h"

void iomapi_errseq_set(iomap_word *word, int error);		/* 0 does nothing */
iomap_word iomapi_errseq_sample(const iomap_word *word);	/* an unseen error will be new */
int iomapi_errseq_check(const iomap_word *word, iomap_word cursor);	/* look, change nothing */
int iomapi_errseq_check_and_advance(iomap_word *word, iomap_word *cursor);

#endif
