/* SPDX-License-Identifier: MIT */
/*
 * test_sim_memo.c - crashes that are left out because they were explored lose nothing.
 *
 * All works of a few operations, with and without: what check was given to judge, which is what is
 * promised, what is known to work and what is found, must be the same set.
 */
#include "harness/harness.h"

#include "sim/explore.h"

#define BLOCK	4096u
#define CELLS	2u
#define MAX_SET	(1u << 16)

struct world {
	unsigned nr_ops;
	uint64_t put[CELLS];
	bool tells_state;
	uint64_t set[MAX_SET], nr;	/* hashes of what was judged */
	struct iomap_sim_profile profile;
	struct iomap_sim_dev disk;
};

static int put(struct iomap_sim *sim, struct world *w, unsigned cell, uint64_t number)
{
	static uint64_t block[BLOCK / 8];

	w->put[cell] = block[0] = number;
	return iomap_sim_start_write(sim, "disk", block, BLOCK, cell * BLOCK, 0);
}

static int format(struct iomap_sim *sim, void *arg)
{
	for (unsigned i = 0; i < CELLS; i++)
		if (put(sim, arg, i, 0))
			return -EIO;
	return iomap_sim_wait_writes(sim);
}

static int sync_all(struct iomap_sim *sim, struct world *w)
{
	int rc = iomap_sim_wait_writes(sim);

	rc = rc ? rc : iomap_sim_flush(sim, "disk");
	for (unsigned i = 0; !rc && i < CELLS; i++)
		iomap_sim_ack(sim, i, w->put[i]);
	return rc;
}

/* 1: sync; 2, 3: a number into a cell; 4: wait. */
static int work(struct iomap_sim *sim, void *arg)
{
	struct world *w = arg;
	int rc = 0;

	memset(w->put, 0, sizeof(w->put));
	for (unsigned i = 0; !rc && i < w->nr_ops; i++) {
		unsigned op = iomap_sim_choose(sim, "op", 5);

		if (!op)
			break;
		if (op == 1)
			rc = sync_all(sim, w);
		else if (op == 4)
			rc = iomap_sim_wait_writes(sim);
		else
			rc = put(sim, w, op - 2, 1 + w->put[op - 2] % 2);
	}
	return rc ? rc : iomap_sim_wait_writes(sim);
}

static uint64_t state(struct iomap_sim *sim, void *arg)
{
	const struct world *w = arg;

	(void)sim;
	return iomap_sim_digest(w->put, sizeof(w->put), 0);
}

static void add(struct world *w, uint64_t hash)
{
	uint64_t i = hash % MAX_SET;

	while (w->set[i] && w->set[i] != hash)
		i = (i + 1) % MAX_SET;
	w->nr += !w->set[i];
	ck_assert_uint_lt(w->nr, MAX_SET / 2);
	w->set[i] = hash;
}

static int check(struct iomap_sim *sim, void *arg)
{
	struct world *w = arg;
	uint64_t judged[3 * CELLS] = { 0 }, block[BLOCK / 8];

	for (unsigned i = 0; i < CELLS; i++) {
		if (iomap_sim_pread(sim, "disk", block, BLOCK, i * BLOCK) != BLOCK)
			block[0] = 4;		/* shorn */
		judged[3 * i] = block[0] < 5 ? block[0] : 5;	/* noise */
		judged[3 * i + 1] = w->put[i];
		judged[3 * i + 2] = 99;
		iomap_sim_acked(sim, i, &judged[3 * i + 2]);
	}
	add(w, iomap_sim_digest(judged, sizeof(judged), 0));
	return 0;
}

/* As iomap_sim_exhaust does, but it can be told to forget. */
static void explore(struct world *w, bool skip, uint64_t *images, uint64_t *skipped)
{
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "memo", .devs = &w->disk, .nr_devs = 1,
		.format = format, .work = work, .check = check, .arg = w,
		.state = w->tells_state ? state : NULL,
	};
	struct iomapi_sim_trace path = { 0 };
	struct iomapi_sim_plan plan = { .path = &path, .stride = 1, .max_images = 1 << 30 };
	struct iomapi_sim_run *run;

	memset(w->set, 0, sizeof(w->set));
	w->nr = 0;
	ck_assert_int_eq(iomapi_sim_run_new(&c, 0, &run), 0);
	do {
		plan.known = skip ? path.nr : 0;
		ck_assert_int_eq(iomapi_sim_execute(run, &plan), 0);
	} while (iomapi_sim_next_path(&path, &run->records[1]) == 1);
	*images = run->nr_images;
	*skipped = run->nr_skipped;
	iomapi_sim_trace_free(&path);
	iomapi_sim_run_delete(&run);
}

static void loses_nothing(const char *preset, unsigned nr_ops)
{
	static struct world all, some;
	uint64_t images[3], skipped[3];

	memset(&all, 0, sizeof(all));
	all.nr_ops = nr_ops;
	all.profile = *iomap_sim_preset(preset);
	all.profile.logical_block = all.profile.physical_block = BLOCK;
	all.profile.atomic_normal = all.profile.atomic_power_fail = BLOCK;
	if (!all.profile.power_safe_overwrite)
		all.profile.physical_block = 2 * BLOCK;
	all.disk = (struct iomap_sim_dev){
		.name = "disk", .profile = &all.profile, .size = 2 * BLOCK,
	};
	some = all;
	some.disk.profile = &some.profile;
	explore(&all, false, &images[0], &skipped[0]);
	ck_assert_uint_eq(skipped[0], 0);
	for (unsigned i = 1; i < 3; i++) {
		some.tells_state = i == 2;
		explore(&some, true, &images[i], &skipped[i]);
		printf("%s: %u operations, %u images instead of %u, %u judged\n", preset, nr_ops,
		       (unsigned)images[i], (unsigned)images[0], (unsigned)all.nr);
		ck_assert_uint_eq(some.nr, all.nr);
		for (unsigned k = 0; k < MAX_SET; k++)
			if (all.set[k])
				add(&some, all.set[k]);
		ck_assert_uint_eq(some.nr, all.nr);
		ck_assert_uint_gt(skipped[i], 0);
		ck_assert_uint_lt(images[i], images[i - 1]);
	}
}

CASE_TIMEOUT(nothing_is_lost, "O1", "With a cache, without one, with an order: all that was judged",
	     100)
{
	loses_nothing("consumer", 4);
	loses_nothing("plp", 4);
	loses_nothing("fifo", 4);
	loses_nothing("multiqueue", 4);
}

CASE_TIMEOUT(nor_is_garbage, "O1", "Where sectors may be shorn, or neighbours hurt", 100)
{
	loses_nothing("cruel", 3);
	loses_nothing("sata512e", 4);
}

MAIN()
