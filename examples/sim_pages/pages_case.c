/* SPDX-License-Identifier: MIT */
/*
 * pages_case.c - what is done to the database, and what must be true of it at any time.
 *
 *	O1	what was committed is there, in whatever survives
 *	O3	no page is found in a table that another one wrote
 *	O6	no page is torn for good
 *	O8	who recovers twice finds the same
 *	O17	a checkpoint succeeds only if the flushes did
 *	O26	two writes to one place are never under way
 *	O42	who reads finds what was changed last
 *	O47	no page goes out before its log record is durable
 */
#include "pages_case.h"
#include "pages_tester.h"

#define NR_OPS		30u

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return pages_format(sim);
}

/* A database that is broken is opened again; when that fails, nobody uses it any more. */
static int work(struct iomap_sim *sim, void *arg)
{
	int64_t before = tester_hazards(sim);
	struct tester *t = arg;
	struct pages *db = NULL;
	bool done = false;
	int rc;

	t->model.nr = t->model.nr_values = 0;
	rc = tester_reopen(sim, t, &db);
	for (unsigned i = 0; !rc && !done && i < NR_OPS; i++) {
		rc = tester_step(sim, t, &db, &done);
		if (rc < 0 && db)
			rc = tester_reopen(sim, t, &db);
	}
	tester_close(sim, &db);
	return rc > 0 ? rc : tester_judge_hazards(sim, before);
}

static int recover(struct iomap_sim *sim, void *arg)
{
	int64_t before = tester_hazards(sim);
	struct pages *db;
	int rc = tester_open(sim, arg, &db);

	iomap_sim_set_engine(sim, db);
	if (rc < 0)
		return iomap_sim_fail(sim, "open", "the database does not open: error %d", rc);
	if (!rc)
		rc = tester_judge_hazards(sim, before);
	if (rc)
		tester_close(sim, &db);
	return rc;
}

/* As the model says; and again after another recovery. */
static int check(struct iomap_sim *sim, void *arg)
{
	const struct tester *t = arg;
	struct pages *db = iomap_sim_engine(sim);
	uint64_t number = pages_number(db);
	int rc = model_compare(sim, &t->model, db);

	tester_close(sim, &db);
	if (!rc)
		rc = tester_open(sim, t, &db);
	if (!rc)
		rc = model_compare(sim, &t->model, db);
	if (!rc && pages_number(db) != number)
		rc = iomap_sim_fail(sim, "O8", "recovery found another step than the one before");
	tester_close(sim, &db);
	return rc;
}

/* ---- bugs, and what shows them ---- */

static const struct {
	const char *name, *oracle, *faults;
} bugs[PAGES_NR_BUGS] = {
	[PAGES_CORRECT] = { "none", NULL, NULL },
	[PAGES_BUG_LOG_RULE] = { "pages before their log", "O47", NULL },
	[PAGES_BUG_DOUBLE_WRITE] = { "double-write without a flush", "O6", NULL },
	[PAGES_BUG_EVICT] = { "frame evicted before written", "O26",
			      "at write dev=data addr=16384..262143 nth=1 kind=slow; "
			      "at write dev=data addr=16384..262143 nth=2 kind=slow; "
			      "at write dev=data addr=16384..262143 nth=3 kind=slow" },
	[PAGES_BUG_CHECKPOINT] = { "checkpoint that does not wait", "O1", NULL },
	[PAGES_BUG_DROP] = { "extents reused before the drop", "O3", NULL },
	[PAGES_BUG_FLUSH_RETRY] = { "flush retried after an error", "O17",
				    "at flush dev=data nth=3 kind=flush_error_drops; "
				    "at flush dev=data nth=6 kind=flush_error_drops" },
};
const char pages_fault_kinds[] =
	"eio_read eio_write landed torn enospc flush_error flush_error_drops short_read "
	"short_write zero_length busy partial_batch timeout lost reordered slow removed read_only";

struct pages_test {
	struct tester tester;
	struct iomap_sim_dev devs[3];
	struct iomap_sim_case c;
};

static const struct iomap_sim_case *make(struct pages_test *p, const char *name,
					 const char *preset, unsigned bug)
{
	p->tester.opts.bug = bug;
	p->devs[0] = (struct iomap_sim_dev){ .name = "data", .size = PAGES_DATA_SIZE };
	p->devs[1] = (struct iomap_sim_dev){ .name = "log", .size = PAGES_LOG_SIZE };
	p->devs[2] = (struct iomap_sim_dev){ .name = "dw", .size = PAGES_DW_SIZE };
	for (unsigned i = 0; i < 3; i++)
		p->devs[i].preset = preset;
	p->c = (struct iomap_sim_case){
		.struct_size = sizeof(p->c), .name = name, .devs = p->devs, .nr_devs = 3,
		.format = format, .work = work, .recover = recover, .check = check,
		.arg = &p->tester,
	};
	return &p->c;
}

const struct iomap_sim_case *pages_case(unsigned bug)
{
	static const char *const names[PAGES_NR_BUGS] = {
		"pages", "pages-1", "pages-2", "pages-3", "pages-4", "pages-5", "pages-6",
	};
	static struct pages_test tests[PAGES_NR_BUGS];

	return bug < PAGES_NR_BUGS ? make(&tests[bug], names[bug], "consumer", bug) : NULL;
}

const struct iomap_sim_case *pages_case_correct_on(const char *preset)
{
	const struct iomap_sim_profile *profile = iomap_sim_preset(preset);
	static struct pages_test test;

	if (!profile || profile->shorn_sectors)
		return NULL;
	return make(&test, "pages", preset, PAGES_CORRECT);
}

const char *pages_case_faults(unsigned bug)
{
	return bug < PAGES_NR_BUGS ? bugs[bug].faults : NULL;
}

const char *pages_bug_name(unsigned bug)
{
	return bug < PAGES_NR_BUGS ? bugs[bug].name : NULL;
}

const char *pages_bug_oracle(unsigned bug)
{
	return bug < PAGES_NR_BUGS ? bugs[bug].oracle : NULL;
}
