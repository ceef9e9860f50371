/* SPDX-License-Identifier: MIT */
/*
 * test_fault_place.c - faults where a design can survive them, and damage that no crash mends.
 */
#include "harness/harness.h"

#include <iomap/sim.h>

#define BLOCK	4096u

static const struct iomap_sim_dev devs[] = {
	{ .name = "data", .preset = "plp", .size = 16 * BLOCK },
	{ .name = "log", .preset = "plp", .size = 16 * BLOCK },
};

static struct iomap_sim_case case_of(int (*work)(struct iomap_sim *, void *),
				     int (*recover)(struct iomap_sim *, void *), void *arg)
{
	return (struct iomap_sim_case){
		.struct_size = sizeof(struct iomap_sim_case), .name = "place", .devs = devs,
		.nr_devs = 2, .work = work, .recover = recover, .arg = arg,
	};
}

static uint8_t *filled(int value)
{
	static uint8_t block[BLOCK];

	return memset(block, value, sizeof(block));
}

static int put(struct iomap_sim *sim, const char *dev, unsigned block, int value)
{
	int64_t n = iomap_sim_pwrite(sim, dev, filled(value), BLOCK, block * BLOCK, 0);

	return n == BLOCK ? 0 : (int)n;
}

/* The value of a block; -EIO: it cannot be read, -EILSEQ: it is not of one value. */
static int get(struct iomap_sim *sim, const char *dev, unsigned block)
{
	uint8_t mem[BLOCK];
	int64_t n = iomap_sim_pread(sim, dev, mem, BLOCK, block * BLOCK);

	for (unsigned i = 1; n == BLOCK && i < BLOCK; i++)
		if (mem[i] != mem[0])
			return -EILSEQ;
	return n == BLOCK ? mem[0] : (int)n;
}

/* ---- places ---- */

/* How often something failed there. */
struct failures {
	unsigned log_writes, log_reads, data_writes, data_reads[4];
};

static int write_and_read(struct iomap_sim *sim, void *arg)
{
	struct failures *f = arg;

	for (unsigned i = 0; i < 12; i++) {
		f->log_writes += put(sim, "log", i % 4, 1) != 0;
		f->data_writes += put(sim, "data", i % 4, 1) != 0;
		f->log_reads += get(sim, "log", i % 4) != 1;
		f->data_reads[i % 4] += get(sim, "data", i % 4) != 1;
	}
	return 0;
}

static struct failures failures_of(const char *kinds)
{
	struct failures f = { 0 };
	struct iomap_sim_case c = case_of(write_and_read, NULL, &f);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 100, .max_faults = 3, .fault_kinds = kinds,
	};

	ck_assert_msg(!iomap_sim_check(&c, &cfg, &r), "%s", r.text);
	ck_assert_str_eq(r.unfired, "");
	return f;
}

CASE(only_where_it_may_be, "O18", "A device, bytes of one, or anywhere: there and nowhere else")
{
	struct failures f = failures_of("eio_write@log");

	ck_assert_uint_gt(f.log_writes, 20);
	ck_assert_uint_eq(f.data_writes + f.data_reads[0] + f.data_reads[3], 0);
	f = failures_of("eio_read@data:4096..8191 eio_write@log");
	ck_assert_uint_gt(f.log_writes, 10);
	ck_assert_uint_gt(f.data_reads[1], 5);
	ck_assert_uint_eq(f.data_writes, 0);
	ck_assert_uint_eq(f.data_reads[0] + f.data_reads[2] + f.data_reads[3], 0);
	f = failures_of(" eio_write  eio_read@log ");
	ck_assert_uint_gt(f.log_writes, 5);
	ck_assert_uint_gt(f.data_writes, 5);
	ck_assert_uint_gt(f.log_reads, 5);
}

static void mistake(const char *kinds, const char *text)
{
	struct failures f = { 0 };
	struct iomap_sim_case c = case_of(write_and_read, NULL, &f);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .fault_kinds = kinds };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), -EINVAL);
	ck_assert_msg(r.text && !strncmp(r.text, text, strlen(text)), "\"%s\" is not %s", text,
		      r.text);
	iomap_sim_report_fini(&r);
}

CASE(mistakes_have_a_column, "", "Kind, device or range: which word it is, and what was expected")
{
	mistake("busy eio_reed@log", "fault_kinds, column 6: expected one of eio_read");
	mistake("eio_read@tape", "fault_kinds, column 1: expected a device of this simulation");
	mistake("busy  eio_read@log:5..2", "fault_kinds, column 7: expected FIRST..LAST, in bytes");
	mistake("eio_read@log:0..99999999", "fault_kinds, column 1: expected bytes inside a");
	mistake("flush_error@log:0..4095", "fault_kinds, column 1: expected no addr=, a flush has");
	mistake("alloc_fails@log", "fault_kinds, column 1: expected nth= only");
	mistake("busy;slow", "fault_kinds, column 1: expected KIND, KIND@DEVICE or");
	mistake("busy@dev=log", "fault_kinds, column 1: expected KIND, KIND@DEVICE or");
	mistake("@log", "fault_kinds, column 1: expected one of");
	mistake("busy@", "fault_kinds, column 1: expected a device");
	mistake(" \t", "fault_kinds: expected a kind");
}

/* ---- how many break promises ---- */

static int count_liars(struct iomap_sim *sim, void *arg)
{
	static const char *const kinds[] = { "flush_lies", "phantom_write", "stale_read" };
	static uint64_t before;
	struct iomap_sim_counter c = { .struct_size = sizeof(c) };
	uint64_t armed = 0;
	unsigned *most = arg;

	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(iomap_sim_fault_counters(sim, kinds[i], &c), 0);
		armed += c.armed;
	}
	if (armed >= before && armed - before > *most)
		*most = (unsigned)(armed - before);
	before = armed;
	return 0;
}

CASE(one_lie_a_run, "O18", "Of what breaks a device's promises one by default, more on demand")
{
	unsigned most = 0;
	struct iomap_sim_case c = case_of(count_liars, NULL, &most);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 100, .max_faults = 6,
		.fault_kinds = "flush_lies phantom_write stale_read",
	};

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_uint_eq(most, 1);
	cfg.max_broken = 4;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_uint_eq(most, 4);
}

/* ---- what a crash does not mend ---- */

struct damage {
	int found[3], nr_looks;	/* right, wrong, unreadable */
	bool mends;
};

static int write_then_read(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	if (put(sim, "data", 0, 5) || put(sim, "data", 1, 5))
		return 0;
	get(sim, "data", 0);
	put(sim, "log", 0, 5);
	return 0;
}

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return put(sim, "data", 0, 5);
}

/* As a fresh engine sees it; it may mend what it finds, and that is undone as well. */
static int look(struct iomap_sim *sim, void *arg)
{
	struct damage *d = arg;
	int value = get(sim, "data", 0);

	d->nr_looks++;
	d->found[value == -EIO ? 2 : value == -EILSEQ ? 1 : 0]++;
	if (!d->mends || (value != -EIO && value != -EILSEQ))
		return 0;
	if (put(sim, "data", 0, 6) || get(sim, "data", 0) != 6)
		return iomap_sim_fail(sim, "mended", "a write does not mend it");
	return 0;
}

static struct damage damage_of(const char *script)
{
	struct damage d = { .mends = true };
	struct iomap_sim_case c = case_of(write_then_read, look, &d);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 20, .faults = script,
	};

	c.format = format;
	ck_assert_msg(!iomap_sim_check(&c, &cfg, &r), "%s", r.text);
	return d;
}

CASE(rot_stays, "O1", "Recovery finds it when it is told to stay, and then in each world anew")
{
	struct damage d = damage_of("at read dev=data nth=1 kind=bit_rot");

	ck_assert_int_eq(d.found[1] + d.found[2], 0);
	d = damage_of("stay; at read dev=data nth=1 kind=bit_rot");
	ck_assert_int_gt(d.found[1], 60);		/* 20 seeds, some crashes behind it */
	ck_assert_int_eq(d.found[2], 0);
	d = damage_of("at read dev=data nth=1 kind=eio_read_until_written; stay");
	ck_assert_int_gt(d.found[2], 60);
	/* Nothing but the medium stays. */
	d = damage_of("stay; at read dev=data nth=1 kind=eio_read");
	ck_assert_int_eq(d.found[1] + d.found[2], 0);
	d = damage_of("stay; at read dev=data nth=1 kind=removed");
	ck_assert_int_eq(d.found[1] + d.found[2], 0);
}

static int write_in_recovery(struct iomap_sim *sim, void *arg)
{
	int rc = put(sim, "log", 3, 7);

	if (rc != -EROFS && rc != -EIO)
		return rc;
	++*(unsigned *)arg;
	return iomap_sim_fail(sim, "refused", "%d", rc);
}

static void refuses(const char *script, int fails, const char *what)
{
	unsigned nr = 0;
	struct iomap_sim_case c = case_of(write_then_read, write_in_recovery, &nr);
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 20, .faults = script,
	};

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), fails);
	if (!fails)
		return;
	ck_assert_str_eq(r.oracle, "refused");
	ck_assert_ptr_nonnull(strstr(r.text, what));
	ck_assert_ptr_nonnull(strstr(r.text, "faults: stay; at "));
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "refused");
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

CASE(what_cannot_be_written_stays_so, "O18", "Read-only, or bad for writes; the token knows it")
{
	refuses("at write dev=log nth=1 kind=read_only", 0, "");
	refuses("stay; at write dev=log nth=1 kind=read_only", 1, "refused failed in place: -30");
	refuses("at write dev=log nth=1 kind=eio_write_persistent", 0, "");
	refuses("stay; at write dev=log nth=1 kind=eio_write_persistent", 1, "-5");
}

MAIN()
