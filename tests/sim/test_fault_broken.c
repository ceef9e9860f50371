/* SPDX-License-Identifier: MIT */
/*
 * test_fault_broken.c - devices that break what they have promised.
 *
 * None of it can be noticed by an error; each way is seen with some seed, and nothing else changes.
 */
#include "sim/fault.h"

#define SEEDS	100u
#define NR	16u

CASE(a_flush_lies, "", "It says 0 and covers nothing; the next one covers all")
{
	struct seen lied = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "consumer", seed, 1);
		arm(&w, "at flush kind=flush_lies");
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		check_counter(&w, "flush_lies", 1, 1);
		if (seed % 2)
			ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		if (seed % 2)
			ck_assert_int_eq(world_letter(&w, 0), 'b');
		else
			see(&lied, world_letter(&w, 0), 'a', 'b');
		world_delete(&w);
	}
	ck_assert_both(lied);
}

CASE(fua_is_ignored, "", "It is in the cache like any other; without one it cannot be ignored")
{
	struct seen ignored = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, seed % 2 ? "consumer" : "cruel", seed, 1);
		arm(&w, "at write kind=fua_ignored");
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', IOMAP_BIO_FUA), 0);
		check_counter(&w, "fua_ignored", 1, 1);
		world_cut_now(&w);
		if (seed % 2)
			see(&ignored, world_letter(&w, 0), 'a', 'b');
		world_delete(&w);

		start(&w, "plp", seed, 1);
		arm(&w, "at write kind=fua_ignored");
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', IOMAP_BIO_FUA), 0);
		check_counter(&w, "fua_ignored", 1, 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 0), 'b');
		world_delete(&w);
	}
	ck_assert_both(ignored);
}

CASE(a_write_is_a_phantom, "", "It says 0, and the page is as it was")
{
	struct world w;

	start(&w, "consumer", 1, 2);
	arm(&w, "at write nth=2 kind=phantom_write");
	ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
	ck_assert_int_eq(world_write(&w, 1, 1, 'b', IOMAP_BIO_FUA), 0);
	ck_assert_int_eq(world_letter(&w, 0), 'b');
	ck_assert_int_eq(world_letter(&w, 1), 'a');
	check_counter(&w, "phantom_write", 1, 1);
	world_delete(&w);
}

CASE(a_write_goes_elsewhere, "", "Its page is as it was, and another one has what was written")
{
	unsigned places[NR] = { 0 }, nr_places = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		unsigned nr = 0, at = NR;
		struct world w;

		start(&w, "consumer", seed, NR_PAGES);
		arm(&w, "at write kind=misdirected_write");
		ck_assert_int_eq(world_write(&w, 4, 1, 'b', 0), 0);
		check_counter(&w, "misdirected_write", 1, 1);
		for (unsigned i = 0; i < NR_PAGES; i++)
			if (world_letter(&w, i) != 'a') {
				ck_assert_int_eq(world_letter(&w, i), 'b');
				at = i;
				nr++;
			}
		ck_assert_uint_eq(nr, 1);
		ck_assert_uint_ne(at, 4);
		if (at < NR)
			places[at]++;
		world_delete(&w);
	}
	for (unsigned i = 0; i < NR; i++)
		nr_places += places[i] != 0;
	ck_assert_uint_gt(nr_places, 3);
}

CASE(a_read_comes_from_elsewhere, "", "Once; the next one is right")
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "consumer", seed, NR_PAGES);
		ck_assert_int_eq(world_write(&w, 9, 1, 'b', 0), 0);
		arm(&w, "at read kind=misdirected_read");
		ck_assert_int_eq(world_letter(&w, 9), 'a');
		ck_assert_int_eq(world_letter(&w, 9), 'b');
		check_counter(&w, "misdirected_read", 1, 1);
		world_delete(&w);
	}
}

CASE(a_read_is_stale, "", "What was there before the last write, once, while that is in the cache")
{
	struct world w;

	start(&w, "consumer", 1, 2);
	arm(&w, "at read nth=1 kind=stale_read; at read nth=2 kind=stale_read;"
		"at read nth=4 kind=stale_read");
	ck_assert_int_eq(world_letter(&w, 0), 'a');	/* there is nothing older */
	ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
	ck_assert_int_eq(world_letter(&w, 0), 'a');
	ck_assert_int_eq(world_letter(&w, 0), 'b');
	ck_assert_int_eq(world_flush(&w), 0);
	ck_assert_int_eq(world_letter(&w, 0), 'b');	/* no longer */
	check_counter(&w, "stale_read", 3, 1);
	world_delete(&w);
}

/* ---- in a case, whose devices were formatted below ---- */

static int write_page(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[PAGE];

	(void)arg;
	memset(mem, 'a', PAGE);
	return iomap_sim_pwrite(sim, "disk", mem, PAGE, 0, 0) != PAGE;
}

static int read_what_was(struct iomap_sim *sim, void *arg)
{
	struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };
	uint8_t mem[PAGE];

	(void)arg;
	memset(mem, 'b', PAGE);
	if (iomap_sim_pwrite(sim, "disk", mem, PAGE, 0, 0) != PAGE ||
	    iomap_sim_pread(sim, "disk", mem, PAGE, 0) != PAGE || mem[0] != 'a')
		return 1;
	iomap_sim_fault_counters(sim, "stale_read", &counter);
	return !counter.fired || counter.observed != counter.fired;
}

CASE(what_was_formatted_can_be_stale, "",
     "A page that no read has asked for yet is found as it was")
{
	const struct iomap_sim_dev disk = { .name = "disk", .preset = "consumer", .size = PAGE };
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "old", .devs = &disk, .nr_devs = 1,
		.format = write_page, .work = read_what_was,
	};
	struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 1, .faults = "at read kind=stale_read",
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 0);
	ck_assert_str_eq(r.unfired, "");
	cfg.faults = NULL;
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	iomap_sim_report_fini(&r);
}

CASE(bits_rot, "", "One bit of each block, the same each time, until it is written")
{
	uint8_t *mem = t_buffer(2 * PAGE, 0), *again = t_buffer(2 * PAGE, 0);
	unsigned nr = 0;
	struct world w;

	start(&w, "consumer", 1, 4);
	arm(&w, "at read addr=4096..12287 kind=bit_rot");
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, PAGE, mem, 2 * PAGE, 0), 0);
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, PAGE, again, 2 * PAGE, 0), 0);
	ck_assert_mem_eq(mem, again, 2 * PAGE);
	for (unsigned page = 0; page < 2; page++, nr = 0) {
		for (unsigned i = 0; i < PAGE; i++)
			nr += (unsigned)__builtin_popcount(mem[page * PAGE + i] ^ 'a');
		ck_assert_uint_eq(nr, 1);
	}
	ck_assert_int_eq(world_letter(&w, 0), 'a');
	ck_assert_int_eq(world_letter(&w, 3), 'a');
	ck_assert_int_eq(world_write(&w, 1, 1, 'b', 0), 0);
	ck_assert_int_eq(world_letter(&w, 1), 'b');
	ck_assert_int_eq(world_letter(&w, 2), 0);
	world_delete(&w);
}

CASE(a_completion_comes_twice, "O20", "The host hears of it once, and the device is named")
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	struct iomap_bdev *bdev;
	struct iomap_ioq *ioq;
	struct t_bio bios[4];
	struct t_env t;
	struct world w;

	start(&w, "consumer", 1, 4);
	arm(&w, "at write nth=2 kind=duplicate");
	iomap_sim_env_opts(w.sim, &opts);
	t_env_start(&t, &opts);
	ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(ioq, "sim:disk", NULL, &bdev), 0);
	for (unsigned i = 0; i < 4; i++) {
		t_bio_init(&bios[i], bdev, IOMAP_BIO_WRITE, i * PAGE, t_buffer(PAGE, 1), PAGE);
		iomap_bio_submit(&bios[i].bio);
	}
	ck_assert_int_eq(iomap_ioq_drain(ioq, IOMAP_FOREVER), 0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(bios[i].nr_ends, 1);
	ck_assert_uint_eq(t.nr_reports, 1);
	ck_assert_str_eq(t.last_rule, "O20");
	ck_assert_str_eq(t.last_callback, "sim");
	check_counter(&w, "duplicate", 1, 1);
	check_observed(&w, "duplicate", 1);
	iomap_bdev_close(&bdev);
	iomap_ioq_delete(&ioq);
	t_env_stop(&t);
	world_delete(&w);
}

MAIN()
