/* SPDX-License-Identifier: MIT */
/*
 * pages_model.h - what was done to the database, and what it has to be like after any part of it.
 */
#ifndef PAGES_MODEL_H
#define PAGES_MODEL_H

#include "pages.h"

#define MODEL_STEPS	64u

enum model_what { MODEL_CHANGE, MODEL_DROP, MODEL_CREATE };
struct model_step {
	enum model_what what;
	uint32_t table, nr;
	struct pages_change changes[PAGES_CHANGES];
};
struct model {				/* zero: as format leaves it */
	uint32_t nr_values;		/* made so far: each is another */
	uint64_t nr;			/* steps; the database has numbered them alike, from 1 */
	struct model_step steps[MODEL_STEPS];
};
struct model_state {
	bool has[PAGES_TABLES];
	uint64_t rows[PAGES_TABLES][PAGES_TABLE_ROWS];
};

/* After the first nr steps. */
struct model_state model_state(const struct model *m, uint64_t nr);
/*
 * A database that has recovered: at least what was acknowledged is there (number 0: the last step
 * that was promised), nothing that was not done, and all of it as after that step.  0; 1, and the
 * simulation has failed; or the error of a device.
 */
int model_compare(struct iomap_sim *sim, const struct model *m, struct pages *db);
/* A page was bad: fails with the oracle for that. */
int model_say_damage(struct iomap_sim *sim, const struct pages *db, uint32_t table);

#endif
