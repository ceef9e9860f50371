/* SPDX-License-Identifier: MIT */
/*
 * pages_model.c - what was done to the database, and what it has to be like after any part of it.
 *
 * The log is in order, so what survives a crash is the first so many steps, all of them whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "pages_model.h"

static void do_step(struct model_state *s, const struct model_step *step)
{
	switch (step->what) {
	case MODEL_CHANGE:
		for (uint32_t i = 0; i < step->nr; i++)
			s->rows[step->changes[i].table][step->changes[i].row] =
				step->changes[i].value;
		break;
	case MODEL_DROP:
		s->has[step->table] = false;
		break;
	case MODEL_CREATE:
		s->has[step->table] = true;
		memset(s->rows[step->table], 0, sizeof(s->rows[0]));
		break;
	}
}

struct model_state model_state(const struct model *m, uint64_t nr)
{
	struct model_state s = { .has = { true, true, true } };

	for (uint64_t i = 0; i < nr; i++)
		do_step(&s, &m->steps[i]);
	return s;
}

int model_say_damage(struct iomap_sim *sim, const struct pages *db, uint32_t table)
{
	switch (pages_damage(db)) {
	case PAGES_TORN:
		return iomap_sim_fail(sim, "O6", "a page of table %u is torn, and has no copy",
				      table);
	case PAGES_STRANGER:
		return iomap_sim_fail(sim, "O3", "a page of table %u is another table's", table);
	case PAGES_AHEAD:
		return iomap_sim_fail(sim, "O47", "a page of table %u is ahead of the log", table);
	default:
		return iomap_sim_fail(sim, "open", "table %u cannot be read", table);
	}
}

static int compare_table(struct iomap_sim *sim, const struct model_state *s, struct pages *db,
			 uint32_t table)
{
	if (pages_has(db, table) != s->has[table])
		return iomap_sim_fail(sim, "O1", "table %u is %s", table,
				      s->has[table] ? "lost" : "there again");
	for (uint32_t row = 0; s->has[table] && row < PAGES_TABLE_ROWS; row++) {
		uint64_t value = 0;
		int rc = pages_get(db, table, row, &value);

		if (rc)
			return rc == -EBADMSG ? model_say_damage(sim, db, table) : rc;
		if (value != s->rows[table][row])
			return iomap_sim_fail(sim, "O1", "table %u, row %u: %" PRIu64 ", not %"
					      PRIu64, table, row, value, s->rows[table][row]);
	}
	return 0;
}

int model_compare(struct iomap_sim *sim, const struct model *m, struct pages *db)
{
	uint64_t acked = 0, number = pages_number(db);
	struct model_state s;
	int rc = 0;

	iomap_sim_acked(sim, 0, &acked);
	if (number < acked)
		return iomap_sim_fail(sim, "O1", "step %" PRIu64 " was promised, the last one is %"
				      PRIu64, acked, number);
	if (number > m->nr)
		return iomap_sim_fail(sim, "O2", "step %" PRIu64 " was never done", number);
	s = model_state(m, number);
	for (uint32_t table = 0; !rc && table < PAGES_TABLES; table++)
		rc = compare_table(sim, &s, db, table);
	return rc;
}
