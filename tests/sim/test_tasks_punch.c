/* SPDX-License-Identifier: MIT */
/*
 * test_tasks_punch.c - writes that fail, faults, a cleaner and reclaim on one file, in any order.
 *
 * The file is one hole.  The writers ask for the whole of it and their memory ends in its first two
 * pages; the stores go to those behind, so that what must be in the file is known.
 */
#include "model/model.h"
#include "sim/tasks.h"

#define SCHEDULES	(t_sanitized() ? 150u : 1000u)
#define PAGE		4096u
#define NR_PAGES	8u
#define OWN		2u	/* pages of the writers */
#define ROUNDS		4u

struct files {
	struct iomap_sim *sim;
	struct m_model *m;
	struct m_file *f;
	uint64_t random;
	uint64_t nr_punched, nr_stored;	/* of all runs */
};

static uint32_t draw(struct files *x, uint32_t n)
{
	return (uint32_t)(t_rand(&x->random) % n);
}

static size_t some_come(struct m_file *f, size_t at, size_t len)
{
	struct files *x = f->m->hook_arg;
	size_t n = draw(x, 2 * PAGE), left = at < PAGE ? PAGE - at : 0;

	iomap_sim_yield(x->sim, "copy");
	n = n < left ? n : left;
	return n < len ? n : len;
}

static int write_short(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	(void)sim;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t pos = draw(x, PAGE);
		int64_t n = m_fill(x->f, pos, NR_PAGES * PAGE - pos, i);

		if (n > (int64_t)(OWN * PAGE - pos) || (n < 0 && n != -EFAULT))
			return iomap_sim_fail(sim, "write", "%d came", (int)n);
	}
	return 0;
}

static int store(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	uint8_t mem[PAGE];

	(void)sim;
	for (unsigned i = 0; i < 2 * ROUNDS; i++) {
		int64_t pos = OWN * PAGE + draw(x, (NR_PAGES - OWN) * PAGE / 16) * 16;
		int rc;

		while ((rc = m_store(x->f, pos, "somebody stores", 16)) == -EAGAIN)
			if (m_read(x->f, pos / PAGE * PAGE, mem, PAGE) != PAGE)
				return 1;
		if (rc)
			return iomap_sim_fail(sim, "store", "%d", rc);
		x->nr_stored++;
	}
	return 0;
}

static int clean(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		int rc = i & 1 ? m_writeback(x->f, IOMAP_WB_SYNC_NONE, 0, 0) : m_sync(x->f);

		if (rc)
			return rc;
		iomap_sim_yield(sim, "reclaim");
		iomap_cache_reclaim(x->m->cache, draw(x, NR_PAGES) * PAGE);
	}
	return 0;
}

static void count_punches(struct files *x)
{
	for (unsigned i = 0; i < x->m->nr_log; i++)
		if (x->m->log[i].event == M_PUNCH)
			x->nr_punched += (uint64_t)x->m->log[i].arg;
}

static void open_file(struct iomap_sim *sim, struct files *x, struct t_env *t)
{
	struct m_opts opts = { .dev = "sim:disk", .delalloc = true };
	struct iomap_env_opts env = {
		.struct_size = sizeof(env), .nr_ioends = 8, .nr_bios = 16, .nr_segs = 16,
	};

	x->sim = sim;
	x->random = iomap_sim_choose(sim, "work", 1000);
	opts.unwritten = x->random & 1;
	opts.inode_flags = x->random & 2 ? IOMAP_INODE_STABLE : 0;
	opts.max_folio = x->random & 4 ? PAGE : 4 * PAGE;
	opts.cow = x->random & 8;
	iomap_sim_env_opts(sim, &env);
	t_env_start(t, &env);
	x->m = m_open(t, &opts);
	x->m->hook_arg = x;
	x->f = m_file_new(x->m);
	iomap_inode_set_size(&x->f->inode, NR_PAGES * PAGE);
	x->f->ref_size = x->f->disk_size = NR_PAGES * PAGE;
	if (opts.cow) {
		ck_assert_int_eq(m_fill(x->f, 0, NR_PAGES * PAGE, 7), NR_PAGES * PAGE);
		m_share(x->f);
	}
	m_log_start(x->m);
	x->m->hook_copy = some_come;
}

static int look_and_close(struct iomap_sim *sim, struct files *x, struct t_env *t, int rc)
{
	if (!rc && !m_content_ok(x->f))
		rc = iomap_sim_fail(sim, "O42", "the file has another length");
	if (!rc && m_sync(x->f))
		rc = iomap_sim_fail(sim, "sync", "the last one failed");
	if (!rc && !m_device_equals_model(x->f))
		rc = iomap_sim_fail(sim, "O42", "the device has something else");
	if (!rc && (!m_balanced(x->m) || x->m->nr_reserved))
		rc = iomap_sim_fail(sim, "O36", "space is lost");
	count_punches(x);
	m_file_free(&x->f);
	m_close(&x->m);
	t_env_stop(t);
	return rc;
}

static int fail_and_store(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	struct t_env t;
	int rc;

	open_file(sim, x, &t);
	rc = iomap_sim_spawn(sim, write_short, x) || iomap_sim_spawn(sim, store, x) ||
	     iomap_sim_spawn(sim, clean, x) || iomap_sim_spawn(sim, write_short, x) ||
	     iomap_sim_join(sim);
	return look_and_close(sim, x, &t, rc);
}

/* ---- the narrowest of them: a cleaner in the window ---- */

static int clean_once(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	(void)sim;
	return m_writeback(x->f, IOMAP_WB_SYNC_ALL, 0, 0);
}

static int end_after_store(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
			   unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct m_file *f = M_FILE(inode);
	struct files *x = f->m->hook_arg;

	if (map->flags & IOMAP_F_NEW && flags & IOMAP_WRITE && !(flags & IOMAP_FAULT)) {
		if (m_store(f, 5 * PAGE, "somebody stores", 16) ||
		    iomap_sim_spawn(x->sim, clean_once, x))
			iomap_sim_fail(x->sim, "store", "no folio, or no task");
		x->nr_stored++;
	}
	return m_end(inode, pos, len, written, flags, map, srcmap, priv);
}

static int write_once(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	int64_t n = m_fill(x->f, PAGE, 6 * PAGE, 1);

	if (n > PAGE || (n < 0 && n != -EFAULT))
		return iomap_sim_fail(sim, "write", "%d came", (int)n);
	return 0;
}

static int clean_in_the_window(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	struct t_env t;
	int rc;

	open_file(sim, x, &t);
	rc = !m_content_ok(x->f);
	x->m->ops.iomap_end = end_after_store;
	if (!rc)
		rc = iomap_sim_spawn(sim, write_once, x) || iomap_sim_join(sim);
	return look_and_close(sim, x, &t, rc);
}

static const struct iomap_sim_dev big_disk = {
	.name = "disk", .preset = "consumer", .size = 1 << 20,
};

CASE_TIMEOUT(failing_writes_against_faults, "R2 I164 O36",
	     "What a fault stored is on the device, and every promise is used or given back", 60)
{
	struct files x = { .nr_punched = 0 };
	struct iomap_sim_case c = tasks_case("punch", fail_and_store, &x);

	c.devs = &big_disk;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES / 2);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SCHEDULES / 2);
	ck_assert_uint_gt(x.nr_punched, SCHEDULES);
	ck_assert_uint_gt(x.nr_stored, SCHEDULES);
}

CASE_TIMEOUT(a_cleaner_in_the_window, "R2 I54",
	     "Between the store and the end of the failed write a cleaner takes the block", 60)
{
	struct files x = { .nr_punched = 0 };
	struct iomap_sim_case c = tasks_case("window", clean_in_the_window, &x);

	c.devs = &big_disk;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES / 2);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SCHEDULES / 2);
	ck_assert_uint_gt(x.nr_punched, SCHEDULES);
	ck_assert_uint_ge(x.nr_stored, SCHEDULES);
}

MAIN()
