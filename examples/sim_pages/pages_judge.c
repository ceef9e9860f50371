/* SPDX-License-Identifier: MIT */
/*
 * pages_judge.c - what must be true of the database at any time.
 */
#include <errno.h>
#include <string.h>

#include "page_writer/cleaner.h"
#include "pages_tester.h"

/* ---- oracles ---- */

/* O47: each page on its way, to its copy or home. */
static int log_first(void *arg, const char *dev, const struct iomap_bio *bio)
{
	const struct pages *db = arg;

	if (!strcmp(dev, "log"))
		return 0;
	for (uint32_t i = 0; i < bio->nr_segs; i++) {
		const struct page *pages = bio->segs[i].mem;

		/* a root is smaller than a page */
		for (size_t k = 0; k < bio->segs[i].len / FRAME; k++)
			if (pages[k].lsn > pages_durable(db))
				return 1;
	}
	return 0;
}

int64_t tester_hazards(const struct iomap_sim *sim)
{
	return iomap_sim_hazards(sim, "data") + iomap_sim_hazards(sim, "dw") +
	       iomap_sim_hazards(sim, "log");
}

int tester_judge_hazards(struct iomap_sim *sim, int64_t before)
{
	return tester_hazards(sim) == before ? 0 :
	       iomap_sim_fail(sim, "O26", "two writes to one place were under way");
}

uint64_t tester_failed_flushes(const struct iomap_sim *sim)
{
	struct iomap_sim_counter once = { .struct_size = sizeof(once) }, drops = once;

	iomap_sim_fault_counters(sim, "flush_error", &once);
	iomap_sim_fault_counters(sim, "flush_error_drops", &drops);
	return once.observed + drops.observed;
}

/* ---- open ---- */

static void say_sometimes(struct iomap_sim *sim, const struct pages *db)
{
	const struct pages_counts c = pages_counts(db);

	iomap_sim_sometimes(sim, "a torn page is restored", c.restored);
	iomap_sim_sometimes(sim, "records are replayed", c.replayed);
	iomap_sim_sometimes(sim, "a frame is evicted", c.evicted);
	iomap_sim_sometimes(sim, "an ioend waits for the log", c.held);
	iomap_sim_sometimes(sim, "the log is full", c.rounds);
	iomap_sim_sometimes(sim, "a dropped table's extents are used again", c.reused);
}

void tester_close(struct iomap_sim *sim, struct pages **db)
{
	if (*db)
		say_sometimes(sim, *db);
	pages_close(db);
	iomap_sim_on_submit(sim, NULL, NULL);
}

int tester_open(struct iomap_sim *sim, const struct tester *t, struct pages **db)
{
	int rc = pages_new(sim, &t->opts, db);

	if (rc)
		return rc;
	iomap_sim_on_submit(sim, log_first, *db);
	rc = pages_recover(*db);
	if (rc == -EBADMSG)
		model_say_damage(sim, *db, 0);
	if (rc)
		tester_close(sim, db);
	return rc == -EBADMSG ? 1 : rc;
}
