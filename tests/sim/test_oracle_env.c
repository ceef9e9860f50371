/* SPDX-License-Identifier: MIT */
/*
 * test_oracle_env.c - what an environment's memory shows.
 */
#include "sim/oracle.h"

/* The allocator of an environment, in the hands of the test. */
struct hands {
	struct iomap_sim *sim;
	struct iomap_env_opts opts;
	void *env;
};

static void open_hands(struct hands *h)
{
	h->opts = (struct iomap_env_opts){ .struct_size = sizeof(h->opts) };
	iomap_sim_env_opts(h->sim, &h->opts);
	h->env = h->opts.alloc(h->opts.alloc_arg, 100, 8);
	ck_assert_ptr_nonnull(h->env);
}

static void hands_new(struct hands *h)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = NR_PAGES * PAGE,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = 1, .devs = &disk, .nr_devs = 1,
	};

	ck_assert_int_eq(iomap_sim_new(&opts, &h->sim), 0);
	open_hands(h);
}

static uint8_t *take(struct hands *h, size_t size)
{
	uint8_t *mem = h->opts.alloc(h->opts.alloc_arg, size, 64);

	ck_assert_ptr_nonnull(mem);
	ck_assert_uint_eq((uintptr_t)mem % 64, 0);
	memset(mem, 1, size);
	return mem;
}

static void give(struct hands *h, void *mem, size_t size)
{
	h->opts.dealloc(h->opts.alloc_arg, mem, size);
}

static void close_hands(struct hands *h)
{
	give(h, h->env, 100);
}

/* ---- O28 ---- */

CASE(what_is_left_is_seen, "O28", "A block that is not given back until the environment closes")
{
	uint8_t *mem, *other;
	struct hands h;

	hands_new(&h);
	mem = take(&h, 1000);
	give(&h, mem, 1000);
	close_hands(&h);
	ck_assert_violated(h.sim, "O28", 0);
	for (unsigned i = 1; i <= 2; i++) {
		open_hands(&h);
		mem = take(&h, 1000);
		other = take(&h, 24);
		give(&h, other, 24);
		close_hands(&h);
		ck_assert_violated(h.sim, "O28", i);
		give(&h, mem, 1000);		/* too late, but not lost */
	}
	ck_assert_str_eq(iomap_sim_violation(h.sim), "O28: an environment was closed, and 1000 "
			 "bytes of it in 1 blocks are left");
	iomap_sim_delete(&h.sim);
}

CASE(environments_are_told_apart, "O28", "Of two the one that leaves something is found")
{
	struct hands h, other;
	uint8_t *mem;

	hands_new(&h);
	other.sim = h.sim;
	open_hands(&other);
	mem = take(&h, 50);
	close_hands(&other);
	ck_assert_violated(h.sim, "O28", 0);
	give(&h, mem, 50);
	close_hands(&h);
	ck_assert_violated(h.sim, "O28", 0);
	iomap_sim_delete(&h.sim);
}

CASE(the_library_gives_all_back, "O28 O29", "After power cuts, too")
{
	struct world w;

	world_new(&w, "consumer", 1);
	for (unsigned i = 1; i <= 5; i++) {
		ck_assert_int_eq(world_write(&w, i, 3, 'a', 0), 0);
		world_cut_now(&w);
		ck_assert_violated(w.sim, "O28", 0);
		ck_assert_violated(w.sim, "O29", 0);
		ck_assert_uint_eq(verdict(w.sim, "O28").evaluated, i);
	}
	world_delete(&w);
}

static int leak(struct iomap_sim *sim, void *arg)
{
	struct hands h = { .sim = sim };
	uint8_t *mem;

	(void)arg;
	open_hands(&h);
	mem = take(&h, 8);
	close_hands(&h);
	give(&h, mem, 8);
	return 0;
}

CASE(a_case_that_leaves_memory_fails, "O28", "Its recovery opens an environment and loses a block")
{
	static const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = NR_PAGES * PAGE,
	};
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "leak", .devs = &disk, .nr_devs = 1,
		.work = leak, .recover = leak,
	};
	struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 1 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O28");
	ck_assert_uint_gt(r.evaluated[28], 0);
	ck_assert_ptr_nonnull(strstr(r.text, "8 bytes of it in 1 blocks"));
	iomap_sim_report_fini(&r);
}

/* ---- O29 ---- */

CASE(freed_memory_is_not_written_to, "O29", "It is found when it is let go, at close at the latest")
{
	uint8_t *mem, *more;
	struct hands h;

	hands_new(&h);
	mem = take(&h, 200);
	give(&h, mem, 200);
	mem[199] = 1;
	close_hands(&h);
	ck_assert_violated(h.sim, "O29", 1);
	open_hands(&h);
	mem = take(&h, 200);
	give(&h, mem, 200);
	mem[0] = 1;
	for (unsigned i = 0; i < 100; i++) {
		more = take(&h, 1000);
		give(&h, more, 1000);
	}
	ck_assert_violated(h.sim, "O29", 2);
	close_hands(&h);
	ck_assert_violated(h.sim, "O29", 2);
	ck_assert_str_eq(iomap_sim_violation(h.sim),
			 "O29: a block of 200 bytes was written to after it was freed");
	iomap_sim_delete(&h.sim);
}

CASE(memory_is_freed_once_as_it_was, "O29", "Twice; as another size; after a write behind its end")
{
	uint8_t *mem;
	struct hands h;

	hands_new(&h);
	mem = take(&h, 200);
	give(&h, mem, 200);
	ck_assert_violated(h.sim, "O29", 0);
	give(&h, mem, 200);
	ck_assert_violated(h.sim, "O29", 1);
	mem = take(&h, 200);
	give(&h, mem, 195);
	ck_assert_violated(h.sim, "O29", 2);
	mem[200]++;
	give(&h, mem, 200);
	ck_assert_violated(h.sim, "O29", 3);
	close_hands(&h);
	ck_assert_violated(h.sim, "O28", 0);
	ck_assert_violated(h.sim, "O29", 3);
	iomap_sim_delete(&h.sim);
}

CASE(a_closed_device_is_not_touched, "O29", "A device that is closed, and its queue after that")
{
	struct world w;

	world_new(&w, "consumer", 1);
	ck_assert_int_eq(world_write(&w, 0, 1, 'a', 0), 0);
	world_unplug(&w);
	ck_assert_violated(w.sim, "O29", 0);
	ck_assert_violated(w.sim, "O28", 0);
	iomap_sim_delete(&w.sim);
}

MAIN()
