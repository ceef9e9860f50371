/* SPDX-License-Identifier: MIT */
/*
 * test_oracle_again.c - engines that are recovered more than once.
 *
 * Block 0 has a number that work has promised, block 1 what recovery has made of it, block 2 how
 * often it has run.
 */
#include "harness/harness.h"

#include <iomap/sim.h>

#define BLOCK	4096u

struct engine {
	bool counts;			/* block 2 is counted */
	bool doubles;			/* the number is one more each time */
	bool stamps;			/* it has a number that the first recovery draws */
	bool asks, tells, fails;
	bool trusts;			/* a log that it clears before it has done what it says */
	unsigned nr_recovered;
};

static int put(struct iomap_sim *sim, unsigned block, uint64_t number)
{
	uint8_t mem[BLOCK] = { 0 };
	int64_t n;

	memcpy(mem, &number, sizeof(number));
	n = iomap_sim_pwrite(sim, "disk", mem, BLOCK, block * BLOCK, 0);
	return n == BLOCK ? 0 : (int)n;
}

static uint64_t get(struct iomap_sim *sim, unsigned block)
{
	uint8_t mem[BLOCK] = { 0 };
	uint64_t number;

	iomap_sim_pread(sim, "disk", mem, BLOCK, block * BLOCK);
	memcpy(&number, mem, sizeof(number));
	return number;
}

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return put(sim, 0, 1) || put(sim, 1, 0) || put(sim, 2, 0);
}

static int work(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	int rc = e->asks ? iomap_sim_watch(sim, "O8") : 0;

	for (unsigned i = 2; !rc && i < 6; i++) {
		rc = put(sim, 0, i);
		if (!rc)
			rc = iomap_sim_flush(sim, "disk");
		iomap_sim_ack(sim, 0, i);
	}
	return rc;
}

/* Not flushed: power does not go before it is recovered again. */
static int recover(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	uint64_t number = get(sim, 0), done = get(sim, 1);
	int rc = 0;

	e->nr_recovered++;
	if (e->fails && done)
		return iomap_sim_fail(sim, "log", "it was recovered before");
	if (!rc && e->trusts && number + 100 != done) {
		rc = put(sim, 0, 0);		/* it knows what it is doing.. */
		if (!rc)
			rc = iomap_sim_flush(sim, "disk");
		if (!rc)
			rc = put(sim, 0, number);	/* ..unless power goes here */
	}
	if (e->doubles && done)
		rc = put(sim, 0, ++number);
	if (!rc)
		rc = put(sim, 1, 100 + number);
	if (!rc && e->counts)
		rc = put(sim, 2, get(sim, 2) + 1);
	if (!rc && e->stamps && !get(sim, 2))
		rc = put(sim, 2, 1 + iomap_sim_choose(sim, "stamp", 1000));
	return rc;
}

static int check(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	uint64_t acked = 1, number = get(sim, 0);

	iomap_sim_acked(sim, 0, &acked);
	if (number < acked || get(sim, 1) != 100 + number)
		return iomap_sim_fail(sim, "O1", "%u, promised %u", (unsigned)number,
				      (unsigned)acked);
	if (e->counts)
		get(sim, 2);
	if (e->stamps)
		iomap_sim_content(sim, 2, get(sim, 2));
	if (e->tells)
		iomap_sim_content(sim, 0, number);
	return 0;
}

static int run(struct engine engine, const char *oracle, struct iomap_sim_report *r)
{
	static const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = 65536,
	};
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "again", .devs = &disk, .nr_devs = 1,
		.format = format, .work = work, .recover = recover, .check = check,
		.arg = &engine,
	};
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 50 };
	int rc;

	*r = (struct iomap_sim_report){ .struct_size = sizeof(*r) };
	rc = iomap_sim_check(&c, &cfg, r);
	ck_assert_msg(!strcmp(r->oracle, oracle), "%s: %s", r->oracle, r->text ? r->text : "");
	ck_assert_int_eq(rc, *oracle != 0);
	if (rc && r->token[0]) {
		struct iomap_sim_report again = { .struct_size = sizeof(again) };

		ck_assert_int_eq(iomap_sim_replay(&c, r->token, &again), 1);
		ck_assert_str_eq(again.oracle, oracle);
		iomap_sim_report_fini(&again);
	}
	iomap_sim_report_fini(r);
	return (int)engine.nr_recovered;
}

CASE(what_is_recovered_stays, "O8", "Recovered twice, the same is found; by what is read or told")
{
	struct iomap_sim_report r;
	int once, twice;

	once = run((struct engine){ 0 }, "", &r);
	ck_assert_uint_eq(r.evaluated[8], 0);
	twice = run((struct engine){ .asks = true }, "", &r);
	ck_assert_uint_gt(r.evaluated[8], 200);
	ck_assert_int_gt(twice, once + once / 2);
	run((struct engine){ .asks = true, .tells = true }, "", &r);
	ck_assert_uint_gt(r.evaluated[8], 200);
	run((struct engine){ .asks = true, .stamps = true }, "", &r);
	ck_assert_uint_gt(r.evaluated[8], 200);
}

CASE(what_changes_is_seen, "O8", "A recovery that changes what is found; one that fails")
{
	struct iomap_sim_report r;

	run((struct engine){ .doubles = true }, "", &r);	/* nobody looks twice */
	run((struct engine){ .asks = true, .doubles = true }, "O8", &r);
	run((struct engine){ .asks = true, .doubles = true, .tells = true }, "O8", &r);
	run((struct engine){ .asks = true, .fails = true }, "O8", &r);
}

CASE(power_goes_in_recovery_too, "O9", "Recovery that is not safe is found, and only so")
{
	struct iomap_sim_report r;

	run((struct engine){ 0 }, "", &r);
	ck_assert_uint_gt(r.evaluated[9], 20);
	run((struct engine){ .trusts = true }, "O1", &r);
	ck_assert_uint_gt(r.evaluated[9], 0);
}

CASE(what_nobody_is_told_of_may_change, "O8", "Of one that counts its lives only what it tells")
{
	struct iomap_sim_report r;

	run((struct engine){ .asks = true, .counts = true }, "O8", &r);
	run((struct engine){ .asks = true, .counts = true, .tells = true }, "", &r);
}

MAIN()
