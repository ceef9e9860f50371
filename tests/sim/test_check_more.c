/* SPDX-License-Identifier: MIT */
/*
 * test_check_more.c - the explorer: what it is given, what it gives back, and engines on libiomap.
 */
#include "sim/world.h"

static const struct iomap_sim_dev disk = {
	.name = "disk", .preset = "consumer", .size = 16 * PAGE,
};

static int nothing(struct iomap_sim *sim, void *arg)
{
	(void)sim;
	(void)arg;
	return 0;
}

static struct iomap_sim_case case_of(int (*work)(struct iomap_sim *sim, void *arg), void *arg)
{
	return (struct iomap_sim_case){
		.struct_size = sizeof(struct iomap_sim_case), .name = "some", .devs = &disk,
		.nr_devs = 1, .work = work, .arg = arg,
	};
}

static int check(const struct iomap_sim_case *c, uint64_t seeds, struct iomap_sim_report *r)
{
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = seeds };

	memset(r, 0, sizeof(*r));
	r->struct_size = sizeof(*r);
	return iomap_sim_check(c, &cfg, r);
}

/* ---- what it is given ---- */

/* And the report says why. */
static void is_refused(int rc, struct iomap_sim_report *r, const char *why)
{
	ck_assert_int_eq(rc, -EINVAL);
	ck_assert_ptr_nonnull(r->text);
	ck_assert_msg(strstr(r->text, why) != NULL, "%s", r->text);
	iomap_sim_report_fini(r);
}

CASE(cases_that_cannot_be, "", "-EINVAL, and nothing is run")
{
	struct iomap_sim_case good = case_of(nothing, NULL), c = good;
	struct iomap_sim_report r;

	ck_assert_int_eq(check(&good, 1, &r), 0);
	is_refused(check(NULL, 1, &r), &r, "the case cannot be");
	c.work = NULL;
	is_refused(check(&c, 1, &r), &r, "the case cannot be");
	c = good;
	c.name = "a:b";
	is_refused(check(&c, 1, &r), &r, "the case cannot be");
	c.name = "";
	is_refused(check(&c, 1, &r), &r, "the case cannot be");
	c.name = "a_name_of_more_than_31_letters_is_one_too_many";
	is_refused(check(&c, 1, &r), &r, "the case cannot be");
	c = good;
	c.nr_devs = 0;
	is_refused(check(&c, 1, &r), &r, "the case cannot be");
	r.struct_size = 4;
	ck_assert_int_eq(iomap_sim_check(&good, NULL, &r), -EINVAL);
}

static int add_one(struct iomap_sim *sim, void *arg);
static int write_and_read(struct iomap_sim *sim, void *arg)
{
	uint8_t *page = t_buffer(PAGE, 1), *back = t_buffer(PAGE, 2);

	(void)arg;
	for (unsigned i = 0; i < 30 && iomap_sim_choose(sim, "op", 64); i++) {
		if (iomap_sim_pwrite(sim, "disk", page, PAGE, i % 4 * PAGE, 0) != PAGE ||
		    iomap_sim_flush(sim, "disk") ||
		    iomap_sim_pread(sim, "disk", back, PAGE, i % 4 * PAGE) != PAGE)
			return 0;
		if (memcmp(page, back, PAGE))
			return iomap_sim_fail(sim, "read", "it is not what was written");
	}
	return 0;
}

CASE(faults_are_drawn, "", "An engine that sees them fails; those that it need not are dropped")
{
	struct iomap_sim_case c = case_of(write_and_read, NULL);
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };
	struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 200, .max_faults = 5,
		.fault_kinds = "busy eio_write slow  flush_error timeout",
	};

	ck_assert_msg(iomap_sim_check(&c, &cfg, &r) == 0, "%s", r.text);
	ck_assert_str_eq(r.unfired, "");
	cfg.fault_kinds = "busy slow timeout bit_rot reordered";
	cfg.faults = "at nth=2 kind=busy";
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "read");
	ck_assert_ptr_nonnull(strstr(r.text, "kind=bit_rot"));
	ck_assert_ptr_null(strstr(r.text, "busy"));
	ck_assert_ptr_null(strstr(r.text, "slow"));
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "read");
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
	cfg.fault_kinds = "busy slew";
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), -EINVAL);
	iomap_sim_report_fini(&r);
	cfg.fault_kinds = " ";
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), -EINVAL);
	iomap_sim_report_fini(&r);
}

/* ---- what it says ---- */

/* The cheapest there is: it is millions of them before they are too many. */
static int flush_forever(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	while (!iomap_sim_flush(sim, "disk"))
		;
	return 0;
}

CASE_TIMEOUT(work_that_does_not_end, "O44", "It is stopped, and that is the failure", 60)
{
	struct iomap_sim_case c = case_of(flush_forever, NULL);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 1, .no_shrink = true,
	};

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O44");
	iomap_sim_report_fini(&r);
}

static int refuse(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	iomap_sim_choose(sim, "op", 8);
	return -ENOSPC;
}

CASE(work_that_fails, "", "Its result is told")
{
	struct iomap_sim_case c = case_of(refuse, NULL);
	struct iomap_sim_report r;

	ck_assert_int_eq(check(&c, 1, &r), 1);
	ck_assert_str_eq(r.oracle, "work");
	ck_assert_ptr_nonnull(strstr(r.text, "work returned -28"));
	iomap_sim_report_fini(&r);
}

/* One write more in each run: what a clock, an address or a global can do. */
static int depends(struct iomap_sim *sim, void *arg)
{
	unsigned *runs = arg;
	uint8_t *page = t_buffer(PAGE, (uint8_t)*runs);

	++*runs;
	return iomap_sim_pwrite(sim, "disk", page, PAGE, 0, 0) != PAGE;
}

CASE(work_that_is_not_the_same_twice, "O46", "With twice the digests are compared")
{
	unsigned runs = 0;
	struct iomap_sim_case c = case_of(depends, &runs);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 3, .twice = true };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O46");
	iomap_sim_report_fini(&r);
	c = case_of(nothing, NULL);
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
}

static int format_zero(struct iomap_sim *sim, void *arg);

CASE(scripts, "", "Line and column of a mistake, or a kind that did nothing, are in the report")
{
	struct iomap_sim_case c = case_of(nothing, NULL);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .faults = "at write kind=torm" };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), -EINVAL);
	ck_assert_ptr_nonnull(strstr(r.text, "line 1, column 15: expected one of"));
	iomap_sim_report_fini(&r);
	cfg.faults = "at write kind=torn; at op=1 kind=busy";
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_str_eq(r.unfired, "busy");
	c = case_of(add_one, NULL);
	cfg.faults = "at op=1 kind=busy";
	c.format = format_zero;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_str_eq(r.unfired, "");
}

/* Recovery writes as often as work did, so where power may go in it differs from seed to seed. */
static int write_some(struct iomap_sim *sim, void *arg)
{
	uint8_t *page = t_buffer(PAGE, 0);
	int64_t n = PAGE;

	(void)arg;
	for (unsigned i = iomap_sim_choose(sim, "writes", 8); i && n == PAGE; i--) {
		memset(page, (int)i, PAGE);
		n = iomap_sim_pwrite(sim, "disk", page, PAGE, 0, IOMAP_BIO_FUA);
	}
	return n != PAGE;
}

static int write_as_many(struct iomap_sim *sim, void *arg)
{
	uint8_t page[PAGE];
	int64_t n = iomap_sim_pread(sim, "disk", page, PAGE, 0);

	(void)arg;
	for (unsigned i = page[0] % 8; i && n == PAGE; i--)
		n = iomap_sim_pwrite(sim, "disk", page, PAGE, PAGE, 0);
	return n != PAGE;
}

CASE(recoveries_of_any_length, "O46", "A seed is the same run twice, whatever the one before did")
{
	struct iomap_sim_case c = case_of(write_some, NULL);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 50, .twice = true };

	c.format = format_zero;
	c.recover = write_as_many;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_str_eq(r.oracle, "");
	ck_assert_uint_eq(r.seeds, 50);
}

/* ---- tokens ---- */

static int fail_at_three(struct iomap_sim *sim, void *arg)
{
	uint8_t *page = t_buffer(PAGE, 7);

	(void)arg;
	while (iomap_sim_choose(sim, "op", 16)) {
		if (iomap_sim_choose(sim, "number", 100000) == 77777)
			return iomap_sim_fail(sim, "three", "that number");
		if (iomap_sim_choose(sim, "kind", 3) == 2)
			return iomap_sim_fail(sim, "kind", "the last kind");
		if (iomap_sim_pwrite(sim, "disk", page, PAGE, 0, 0) != PAGE)
			return 1;
	}
	return 0;
}

CASE(tokens_that_are_bad, "", "A letter more, less or another: -EINVAL, never another run")
{
	struct iomap_sim_case c = case_of(fail_at_three, NULL), other = c;
	struct iomap_sim_report r, s = { .struct_size = sizeof(s) };
	char token[257];
	size_t len;

	ck_assert_int_eq(check(&c, 100, &r), 1);
	len = strlen(r.token);
	ck_assert_uint_gt(len, 10);
	for (size_t i = 0; i < len; i++)
		for (const char *x = "0az:-+_.A~"; *x; x++) {
			strcpy(token, r.token);
			token[i] = *x;
			if (strcmp(token, r.token))
				is_refused(iomap_sim_replay(&c, token, &s), &s, "the token ");
		}
	for (size_t i = 0; i < len; i++) {
		memcpy(token, r.token, i);
		token[i] = 0;
		is_refused(iomap_sim_replay(&c, token, &s), &s, "the token ");
	}
	strcpy(token, r.token);
	strcat(token, "0");
	is_refused(iomap_sim_replay(&c, token, &s), &s, "cut or changed");
	other.name = "others";
	is_refused(iomap_sim_replay(&other, r.token, &s), &s, "of another case");
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "kind");
	ck_assert_uint_eq(s.ops, 1);
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

CASE(a_token_is_one_word, "",
     "With another kind of space in its script it is none, though its sum is right")
{
	struct iomap_sim_case c = case_of(fail_at_three, NULL);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	int rc = iomap_sim_replay(&c, "some:0:0:0:0:-:at+kind=slow:d93258", &r);

	ck_assert_int_ge(rc, 0);
	iomap_sim_report_fini(&r);
	is_refused(iomap_sim_replay(&c, "some:0:0:0:0:-:at\rkind=slow:5d0e44", &r), &r,
		   "cut or changed");
}

CASE(bytes_of_a_fuzzer, "", "Any bytes are choices; those that fail are told")
{
	struct iomap_sim_case c = case_of(fail_at_three, NULL);
	const uint8_t fails[] = { 1, 0, 0, 0, 2, 0 }, ends[] = { 0, 0 }, odd[] = { 1 };
	uint8_t bytes[64];
	uint64_t random = 1;

	ck_assert_int_eq(iomap_sim_fuzz_one(&c, fails, sizeof(fails)), 1);
	ck_assert_int_eq(iomap_sim_fuzz_one(&c, ends, sizeof(ends)), 0);
	ck_assert_int_eq(iomap_sim_fuzz_one(&c, odd, sizeof(odd)), 0);
	ck_assert_int_eq(iomap_sim_fuzz_one(&c, NULL, 0), 0);
	for (unsigned i = 0; i < 200; i++) {
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)t_rand(&random);
		ck_assert_int_ge(iomap_sim_fuzz_one(&c, bytes, sizeof(bytes)), 0);
	}
}

/* ---- what is undone ---- */

static int add_one(struct iomap_sim *sim, void *arg)
{
	uint8_t page[PAGE];
	int64_t n = iomap_sim_pread(sim, "disk", page, PAGE, 0);

	(void)arg;
	if (n != PAGE || page[0] > 3)
		return iomap_sim_fail(sim, "undone", "%u", page[0]);
	page[0]++;
	n = iomap_sim_pwrite(sim, "disk", page, PAGE, 0, IOMAP_BIO_FUA);
	return n != PAGE;
}

static int format_zero(struct iomap_sim *sim, void *arg)
{
	uint8_t *page = t_buffer(PAGE, 0);

	(void)arg;
	memset(page, 0, PAGE);
	return iomap_sim_pwrite(sim, "disk", page, PAGE, 0, 0) != PAGE;
}

CASE(all_of_it_is_undone, "", "Work, recovery and a recovery of that each add one, and 0 is back")
{
	struct iomap_sim_case c = case_of(add_one, NULL);
	struct iomap_sim_report r;
	uint64_t digest;

	c.format = format_zero;
	c.recover = add_one;
	ck_assert_msg(check(&c, 200, &r) == 0, "%s", r.text);
	digest = r.digest;
	ck_assert_int_eq(check(&c, 200, &r), 0);
	ck_assert_uint_eq(r.digest, digest);
}

/* Each recovery adds one to a counter that must not be above what work left: not idempotent. */
static int recover_by_adding(struct iomap_sim *sim, void *arg)
{
	uint8_t page[PAGE];

	(void)arg;
	if (iomap_sim_pread(sim, "disk", page, PAGE, 0) != PAGE)
		return 1;
	if (page[0] > 1)
		return iomap_sim_fail(sim, "O8", "%u", page[0]);
	if (page[0])		/* redo, and mark it as done: in two steps */
		return 0;
	page[0] = 1;
	page[1]++;
	if (iomap_sim_pwrite(sim, "disk", page, PAGE, PAGE, IOMAP_BIO_FUA) != PAGE)
		return 1;
	if (iomap_sim_pread(sim, "disk", page, PAGE, PAGE) != PAGE || page[1] > 1)
		return iomap_sim_fail(sim, "O8", "redone %u times", page[1]);
	page[0] = 0;
	return iomap_sim_pwrite(sim, "disk", page, PAGE, 0, IOMAP_BIO_FUA) != PAGE;
}

CASE(power_goes_in_recovery, "O9", "A recovery that redoes what it did is found by a second crash")
{
	struct iomap_sim_case c = case_of(fail_at_three, NULL);
	struct iomap_sim_report r, s = { .struct_size = sizeof(s) };

	c.work = format_zero;
	c.format = format_zero;
	c.recover = recover_by_adding;
	ck_assert_int_eq(check(&c, 200, &r), 1);
	ck_assert_str_eq(r.oracle, "O8");
	ck_assert_ptr_nonnull(strstr(r.text, "and again before event"));
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "O8");
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

/* ---- engines on libiomap ---- */

struct on_env {
	bool no_flush;
};

static void plug_in(struct world *w, struct iomap_sim *sim)
{
	*w = (struct world){ .sim = sim };
	world_plug_in(w);
}

static int write_by_bios(struct iomap_sim *sim, void *arg)
{
	struct on_env *e = arg;
	struct world w;

	plug_in(&w, sim);
	for (unsigned i = 0; i < 6; i++) {
		iomap_sim_choose(sim, "op", 2);
		ck_assert_int_eq(world_write(&w, 2 * i, 2, (char)('a' + i), 0), 0);
		if (!e->no_flush)
			ck_assert_int_eq(world_flush(&w), 0);
		iomap_sim_ack(sim, i, 'a' + i);
	}
	world_unplug(&w);
	return 0;
}

static int read_by_bios(struct iomap_sim *sim, void *arg)
{
	struct world w;
	int rc = 0;

	(void)arg;
	plug_in(&w, sim);
	for (unsigned i = 0; !rc && i < 6; i++) {
		uint64_t acked = 0;

		if (iomap_sim_acked(sim, i, &acked) &&
		    (world_letter(&w, 2 * i) != (char)acked ||
		     world_letter(&w, 2 * i + 1) != (char)acked))
			rc = iomap_sim_fail(sim, "O1", "page %u is not as promised", 2 * i);
	}
	world_unplug(&w);
	return rc;
}

CASE(an_engine_on_libiomap, "", "A crash in a wait; another environment looks; it goes on")
{
	struct on_env e = { false };
	struct iomap_sim_case c = case_of(write_by_bios, &e);
	struct iomap_sim_report r;

	c.check = read_by_bios;
	ck_assert_msg(check(&c, 100, &r) == 0, "%s", r.text);
	ck_assert_uint_gt(r.crash_points, 500);
	e.no_flush = true;
	ck_assert_int_eq(check(&c, 100, &r), 1);
	ck_assert_str_eq(r.oracle, "O1");
	iomap_sim_report_fini(&r);
}

MAIN()
