/* SPDX-License-Identifier: MIT */
/*
 * test_env.c - an environment in a simulation: memory that is not there, copies that stop.
 */
#include "model/model.h"
#include "sim/fault.h"

/* ---- allocations ---- */

struct counted {			/* around the simulation's own allocator */
	struct iomap_env_opts sim;
	uint64_t nr_live;
};

static void *counted_alloc(void *arg, size_t size, size_t align)
{
	struct counted *c = arg;
	void *mem = c->sim.alloc(c->sim.alloc_arg, size, align);

	c->nr_live += mem != NULL;
	return mem;
}

static void counted_dealloc(void *arg, void *mem, size_t size)
{
	struct counted *c = arg;

	c->nr_live -= mem != NULL;
	c->sim.dealloc(c->sim.alloc_arg, mem, size);
}

struct host {
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
};

static int no_metadata(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	(void)flushed;
	return 0;
}

static int open_all(struct host *h, struct counted *c)
{
	static const struct iomap_volume_ops volume_ops = {
		.struct_size = sizeof(volume_ops), .sync_metadata = no_metadata,
	};
	const struct iomap_cache_opts cache = {
		.struct_size = sizeof(cache), .bytes = 1 << 20,
	};
	struct iomap_env_opts opts = c->sim;
	int rc;

	opts.alloc = counted_alloc;
	opts.dealloc = counted_dealloc;
	opts.alloc_arg = c;
	rc = iomap_env_new(&opts, &h->env);
	if (!rc)
		rc = iomap_ioq_new(h->env, NULL, &h->ioq);
	if (!rc)
		rc = iomap_bdev_open(h->ioq, "sim:disk", NULL, &h->bdev);
	if (!rc)
		rc = iomap_cache_new(h->env, &cache, &h->cache);
	return rc ? rc : iomap_volume_new(h->env, h->cache, &volume_ops, NULL, &h->volume);
}

static void close_all(struct host *h)
{
	if (h->volume)
		iomap_volume_delete(&h->volume);
	if (h->cache)
		iomap_cache_delete(&h->cache);
	if (h->bdev)
		iomap_bdev_close(&h->bdev);
	if (h->ioq)
		iomap_ioq_delete(&h->ioq);
	if (h->env)
		iomap_env_delete(&h->env);
}

CASE(each_allocation_fails_once, "O28",
     "-ENOMEM, nothing half open, all memory given back; without the fault all is well")
{
	struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };
	uint64_t nth = 0, fired;
	struct world w;

	start(&w, "consumer", 1, 1);
	do {
		struct counted c = { .sim.struct_size = sizeof(c.sim) };
		struct host h = { 0 };
		char script[64];
		int rc;

		fired = counter.fired;
		snprintf(script, sizeof(script), "at nth=%llu kind=alloc_fails",
			 (unsigned long long)++nth);
		arm(&w, NULL);
		arm(&w, script);
		iomap_sim_env_opts(w.sim, &c.sim);
		rc = open_all(&h, &c);
		ck_assert_int_eq(iomap_sim_fault_counters(w.sim, "alloc_fails", &counter), 0);
		ck_assert_int_eq(rc, counter.fired > fired ? -ENOMEM : 0);
		close_all(&h);
		ck_assert_uint_eq(c.nr_live, 0);
	} while (counter.fired > fired);
	ck_assert_uint_gt(nth, 10);
	ck_assert_uint_eq(counter.armed, nth);
	world_delete(&w);
}

/* ---- copies ---- */

#define FILE_BYTES	(6 * PAGE)

static uint64_t fired(struct iomap_sim *sim)
{
	struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };

	ck_assert_int_eq(iomap_sim_fault_counters(sim, "short_copy", &counter), 0);
	return counter.fired;
}

static void stop_copies(struct iomap_sim *sim, struct m_file *f, uint64_t nth)
{
	uint64_t before = fired(sim);
	uint8_t got[FILE_BYTES];
	char script[128];

	snprintf(script, sizeof(script),
		 "at nth=%llu kind=short_copy; at nth=%llu kind=short_copy",
		 (unsigned long long)nth, (unsigned long long)nth + PAGE);
	ck_assert_int_eq(iomap_sim_fault(sim, script), 0);
	ck_assert_int_eq(m_fill(f, 300, FILE_BYTES - 300, (unsigned)nth), FILE_BYTES - 300);
	ck_assert_int_eq(m_read(f, 0, got, FILE_BYTES), FILE_BYTES);
	ck_assert_uint_ge(fired(sim), before + 1);
	ck_assert_int_eq(iomap_sim_fault(sim, NULL), 0);
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert(m_device_equals_model(f));
}

CASE(a_copy_stops_at_each_byte, "I38 H11",
     "The rest is copied at the next try: nothing is left out and nothing is there twice")
{
	static const uint32_t places[] = {
		1, 2, 511, 512, 513, 3795, 3796, 3797, PAGE, 2 * PAGE, 5 * PAGE + 1, FILE_BYTES,
		FILE_BYTES + 1, 2 * FILE_BYTES - 300,
	};
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	struct world w;

	start(&w, "consumer", 1, 1);
	iomap_sim_env_opts(w.sim, &opts);
	for (unsigned large = 0; large < 2; large++) {
		const struct m_opts m_opts = {
			.max_folio = PAGE << 2 * large, .delalloc = true,
			.unwritten = large, .dev = "sim:disk",
		};
		struct m_model *m;
		struct m_file *f;
		struct t_env t;

		t_env_start(&t, &opts);
		m = m_open(&t, &m_opts);
		f = m_file_new(m);
		for (unsigned i = 0; i < sizeof(places) / sizeof(*places); i++)
			stop_copies(w.sim, f, places[i]);
		m_file_free(&f);
		m_close(&m);
		t_env_stop(&t);
	}
	world_delete(&w);
}

MAIN()
