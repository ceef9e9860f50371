/* SPDX-License-Identifier: MIT */
/*
 * pages_tester.h - who uses the database, and what the files of the case share.
 *
 *	pages_case.c	the four callbacks, and devices and faults for each bug
 *	pages_ops.c	what is done
 *	pages_judge.c	what must be true meanwhile
 *	pages_model.c	what must be there
 */
#ifndef PAGES_TESTER_H
#define PAGES_TESTER_H

#include "pages_model.h"

struct tester {
	struct pages_opts opts;
	struct model model;
	uint64_t failed_flushes;	/* when the database was opened */
};

/* ---- pages_ops.c: 0; 1, and the simulation has failed; or an error of the database ---- */

/* Draws an operation and does it; *done: there are no more. */
int tester_step(struct iomap_sim *sim, struct tester *t, struct pages **db, bool *done);
/* Whatever there was is dropped.  What opening finds is a promise. */
int tester_reopen(struct iomap_sim *sim, struct tester *t, struct pages **db);

/* ---- pages_judge.c ---- */

/* One that looks at each of its writes (O47). */
int tester_open(struct iomap_sim *sim, const struct tester *t, struct pages **db);
void tester_close(struct iomap_sim *sim, struct pages **db);
int64_t tester_hazards(const struct iomap_sim *sim);
int tester_judge_hazards(struct iomap_sim *sim, int64_t before);	/* O26 */
uint64_t tester_failed_flushes(const struct iomap_sim *sim);

#endif
