/* SPDX-License-Identifier: MIT */
/*
 * test_twice.c - two runs of a seed that are not the same: the first event that differs is named.
 */
#include "harness/harness.h"

#include <iomap/sim.h>

#include <time.h>

#define BLOCK	4096u

/* What an engine must not depend on. */
enum stranger { CLOCK, RANDOM, ADDRESS, ADDR, LENGTH, FEWER };
struct engine {
	enum stranger stranger;
	unsigned at;			/* the write that depends on it; from 0 */
	bool in_recovery;
	unsigned runs;
	void *kept[4096];		/* so that no two are in the same place */
};

static uint64_t ask(struct engine *e)
{
	struct timespec now;

	switch (e->stranger) {
	case CLOCK:
		clock_gettime(CLOCK_MONOTONIC, &now);
		return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	case RANDOM:
		return (uint64_t)rand();
	default:
		ck_assert_uint_lt(e->runs, 4096);
		e->kept[e->runs] = malloc(64);
		return (uint64_t)(uintptr_t)e->kept[e->runs];
	}
}

static void forget(struct engine *e)
{
	for (unsigned i = 0; i < 4096; i++)
		free(e->kept[i]);
}

static int put(struct iomap_sim *sim, struct engine *e, unsigned i, bool depends)
{
	static _Alignas(4096) uint8_t blocks[2 * BLOCK];
	uint64_t value = i, addr = i * BLOCK, len = BLOCK, odd = e->runs % 2;

	if (depends && e->stranger < ADDR)
		value = ask(e);
	if (depends && e->stranger == ADDR)
		addr += odd * BLOCK;
	if (depends && e->stranger == LENGTH)
		len += odd * BLOCK;
	if (depends && e->stranger == FEWER && odd)
		return 0;
	memcpy(blocks, &value, sizeof(value));
	return iomap_sim_pwrite(sim, "disk", blocks, len, addr, 0) == (int64_t)len ? 0 : -EIO;
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	int rc = 0;

	e->runs++;
	for (unsigned i = 0; !rc && i < 4; i++)
		rc = put(sim, e, i, i == e->at && !e->in_recovery);
	return rc;
}

static int recover(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;

	return e->in_recovery ? put(sim, e, 0, true) : 0;
}

static const struct iomap_sim_dev disk = { .name = "disk", .preset = "plp", .size = 65536 };

static struct iomap_sim_case case_of(struct engine *e)
{
	return (struct iomap_sim_case){
		.struct_size = sizeof(struct iomap_sim_case), .name = "twice", .devs = &disk,
		.nr_devs = 1, .work = work, .recover = recover, .arg = e,
	};
}

/* "first" is the text of the event that differs, for a first run and for a second one. */
static void differs(struct engine e, const char *event, const char *what)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 1, .twice = true,
	};
	struct iomap_sim_case c = case_of(&e);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	char place[80];

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O46");
	ck_assert_str_eq(r.token, "");
	snprintf(place, sizeof(place), "first run: %s", event);
	ck_assert_msg(strstr(r.text, place) != NULL, "%s is not in %s", place, r.text);
	ck_assert_msg(strstr(r.text, what) != NULL, "%s is not in %s", what, r.text);
	iomap_sim_report_fini(&r);
	forget(&e);
}

/* A write alone is four events: accepted, takes effect, completes, is heard of. */
CASE(what_no_run_may_depend_on, "O46", "A clock, rand, an address: the write that shows it is told")
{
	differs((struct engine){ CLOCK, 2, .runs = 0 }, "event 9 of work:",
		"behind 8 that do not");
	differs((struct engine){ CLOCK, 2, .runs = 0 }, "event 9 of work:",
		"what differs: data\n");
	differs((struct engine){ RANDOM, 0, .runs = 0 }, "event 1 of work:",
		"what differs: data\n");
	differs((struct engine){ ADDRESS, 3, .runs = 0 }, "event 13 of work:",
		"disk #5 write 12288..16383 is accepted");
}

CASE(what_differs, "O46", "Another place, another length, an event less, and both are shown")
{
	differs((struct engine){ ADDR, 1, .runs = 0 }, "event 5 of work:",
		"what differs: address\n");
	differs((struct engine){ ADDR, 1, .runs = 0 }, "event 5 of work:",
		"disk #3 write 8192..12287 is accepted");
	differs((struct engine){ ADDR, 1, .runs = 0 }, "event 5 of work:",
		"disk #3 write 4096..8191 is accepted");
	differs((struct engine){ LENGTH, 1, .runs = 0 }, "event 5 of work:",
		"what differs: length, data\n");
	differs((struct engine){ FEWER, 3, .runs = 1 }, "it has ended",
		"second run: event 13 of work:");
	differs((struct engine){ FEWER, 3, .runs = 0 }, "event 13 of work:",
		"second run: it has ended\n");
}

CASE(a_recovery_that_differs, "O46", "The cut before it is told, too")
{
	differs((struct engine){ CLOCK, .in_recovery = true }, "event 1 after the cut before event",
		"what differs: data\n");
}

static int fail_once(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	int rc = put(sim, e, 1, false);

	if (++e->runs == 3)
		return iomap_sim_fail(sim, "mine", "once");
	return rc ? rc : put(sim, e, 2, e->in_recovery && e->runs > 3);
}

CASE(a_failure_that_does_not_come_again, "O46", "Two more runs are compared, and told when equal")
{
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 9 };
	struct engine e = { .stranger = CLOCK };
	struct iomap_sim_case c = case_of(&e);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	c.work = fail_once;
	c.recover = NULL;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O46");
	ck_assert_ptr_nonnull(strstr(r.text, "the failure did not come again"));
	ck_assert_ptr_nonnull(strstr(r.text, "no event differs"));
	iomap_sim_report_fini(&r);
	e = (struct engine){ .stranger = CLOCK, .in_recovery = true };
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O46");
	ck_assert_ptr_nonnull(strstr(r.text, "first run: event 5 of work:"));
	ck_assert_ptr_nonnull(strstr(r.text, "what differs: data\n"));
	ck_assert_uint_eq(r.seed, 1);
	iomap_sim_report_fini(&r);
}

MAIN()
