/* SPDX-License-Identifier: MIT */
/*
 * pages_ops.c - what is done to the database, drawn by the simulator.
 */
#include <errno.h>
#include <inttypes.h>

#include "pages_tester.h"

/* What opening finds is a promise, too; what it does not find was not done. */
int tester_reopen(struct iomap_sim *sim, struct tester *t, struct pages **db)
{
	int rc;

	tester_close(sim, db);
	t->failed_flushes = tester_failed_flushes(sim);
	rc = tester_open(sim, t, db);
	iomap_sim_note(sim, "open: %d", rc);
	if (!rc)
		rc = model_compare(sim, &t->model, *db);
	if (rc)
		return rc;
	t->model.nr = pages_number(*db);
	iomap_sim_ack(sim, 0, t->model.nr);
	return 0;
}

enum op { GET, CHANGE, COMMIT, CLEAN, CHECKPOINT, DROP, CREATE, REOPEN };
static const uint8_t ops[] = {
	CHANGE, CHANGE, CHANGE, CHANGE, CHANGE, CHANGE, CHANGE, CHANGE, GET, GET, GET, GET,
	COMMIT, COMMIT, COMMIT, COMMIT, CLEAN, CLEAN, CLEAN, CLEAN, CHECKPOINT, CHECKPOINT,
	DROP, CREATE, CREATE, REOPEN,
};
#define NR_DRAWS	(16 * sizeof(ops) + 1)	/* 0 ends the work, but not often */

static uint32_t draw_table(struct iomap_sim *sim)
{
	return iomap_sim_choose(sim, "table", PAGES_TABLES);
}

static uint32_t draw_row(struct iomap_sim *sim)
{
	return iomap_sim_choose(sim, "row", PAGES_TABLE_ROWS);
}

/* The model knows before the database hears of it: power may go at any time from then on. */
static struct model_step *add_step(struct model *m, enum model_what what, uint32_t table)
{
	struct model_step *step = &m->steps[m->nr++];

	*step = (struct model_step){ .what = what, .table = table };
	return step;
}

static int change(struct iomap_sim *sim, struct model *m, struct pages *db)
{
	const struct model_state now = model_state(m, m->nr);
	uint32_t nr = 1 + iomap_sim_choose(sim, "changes", PAGES_CHANGES);
	struct model_step step = { .what = MODEL_CHANGE };

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t table = draw_table(sim), row = draw_row(sim);

		if (!now.has[table])
			continue;
		step.changes[step.nr++] = (struct pages_change){ table, row, ++m->nr_values };
		iomap_sim_note(sim, "change table %u, row %u to %u", table, row, m->nr_values);
	}
	if (!step.nr)
		return 0;
	*add_step(m, MODEL_CHANGE, 0) = step;
	return pages_change(db, step.changes, step.nr);
}

static int get(struct iomap_sim *sim, const struct model *m, struct pages *db)
{
	const struct model_state now = model_state(m, m->nr);
	uint32_t table = draw_table(sim), row = draw_row(sim);
	uint64_t value = 0;
	int rc;

	if (!now.has[table])
		return 0;
	iomap_sim_note(sim, "get table %u, row %u", table, row);
	rc = pages_get(db, table, row, &value);
	if (rc == -EBADMSG)
		return model_say_damage(sim, db, table);
	if (!rc && value != now.rows[table][row])
		return iomap_sim_fail(sim, "O42", "table %u, row %u: %" PRIu64 " is read, not %"
				      PRIu64, table, row, value, now.rows[table][row]);
	return rc;
}

static int drop_or_create(struct iomap_sim *sim, struct model *m, struct pages *db, bool drop)
{
	uint32_t table = draw_table(sim);

	if (pages_has(db, table) != drop)
		return 0;
	iomap_sim_note(sim, "%s table %u", drop ? "drop" : "create", table);
	add_step(m, drop ? MODEL_DROP : MODEL_CREATE, table);
	return drop ? pages_drop(db, table) : pages_create(db, table);
}

static int make_durable(struct iomap_sim *sim, const struct tester *t, struct pages *db,
			bool checkpoint)
{
	int rc = checkpoint ? pages_checkpoint(db) : pages_commit(db);

	iomap_sim_note(sim, "%s: %d", checkpoint ? "checkpoint" : "commit", rc);
	if (rc)
		return rc;
	iomap_sim_ack(sim, 0, t->model.nr);
	if (checkpoint && tester_failed_flushes(sim) != t->failed_flushes)
		return iomap_sim_fail(sim, "O17", "a flush failed, and the checkpoint did not");
	return 0;
}

static int clean(struct iomap_sim *sim, struct pages *db)
{
	uint32_t nr = 1 + iomap_sim_choose(sim, "pages", 4);

	iomap_sim_note(sim, "clean %u pages", nr);
	return pages_clean(db, nr);
}

int tester_step(struct iomap_sim *sim, struct tester *t, struct pages **db, bool *done)
{
	uint32_t draw = iomap_sim_choose(sim, "op", NR_DRAWS);
	enum op op = draw ? ops[(draw - 1) % sizeof(ops)] : GET;

	*done = !draw;
	if (*done)
		return 0;
	switch (op) {
	case GET:
		return get(sim, &t->model, *db);
	case CHANGE:
		return change(sim, &t->model, *db);
	case CLEAN:
		return clean(sim, *db);
	case DROP:
	case CREATE:
		return drop_or_create(sim, &t->model, *db, op == DROP);
	case REOPEN:
		return tester_reopen(sim, t, db);
	default:
		return make_durable(sim, t, *db, op == CHECKPOINT);
	}
}
