/* SPDX-License-Identifier: MIT */
/*
 * test_tasks_lib.c - libiomap's own locks and waits, and clients of it, in any order of threads.
 */
#include "model/flat.h"
#include "model/model.h"
#include "sim/tasks.h"

#define SCHEDULES	(t_sanitized() ? 150u : 1500u)

/* ---- locks ---- */

struct shared {
	struct iomap_env *env;
	struct iomap_mutex mutex;
	struct iomap_rwlock rwlock;
	struct iomap_cond cond;
	unsigned nr_tasks, rounds;
	unsigned counter, half[2], taken;
	bool two_conds;
};

static int open_env(struct iomap_sim *sim, struct shared *s)
{
	struct iomap_env_opts opts = {
		.struct_size = sizeof(opts), .nr_ioends = 8, .nr_bios = 8, .nr_segs = 16,
	};

	memset(&s->mutex, 0, sizeof(s->mutex));
	memset(&s->rwlock, 0, sizeof(s->rwlock));
	memset(&s->cond, 0, sizeof(s->cond));
	s->counter = s->half[0] = s->half[1] = s->taken = 0;
	iomap_sim_env_opts(sim, &opts);
	return iomap_env_new(&opts, &s->env);
}

static int add(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->rounds; i++) {
		unsigned value;

		iomap_mutex_lock(s->env, &s->mutex);
		value = s->counter;
		iomap_sim_yield(sim, "between");
		s->counter = value + 1;
		iomap_mutex_unlock(s->env, &s->mutex);
	}
	return 0;
}

static int add_all(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;
	int rc = open_env(sim, s);

	if (!rc)
		rc = tasks_spawn(sim, s->nr_tasks, add, s);
	iomap_env_delete(&s->env);
	if (rc)
		return rc;
	if (s->counter != s->nr_tasks * s->rounds)
		return iomap_sim_fail(sim, "mutex", "%u", s->counter);
	return 0;
}

/* All of it, in every order. */
static void exhaust(const struct iomap_sim_case *c, uint32_t depth, uint64_t least)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .schedule = IOMAP_SIM_DEPTH_FIRST, .depth = depth,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	int rc = iomap_sim_check(c, &cfg, &r);

	ck_assert_msg(!rc, "%s: %d %s\n%s", c->name, rc, r.oracle, r.text ? r.text : "");
	ck_assert(r.exhaustive || depth < UINT32_MAX);
	ck_assert_uint_ge(r.runs, least);
}

CASE(a_mutex_in_every_order, "O44", "Nothing is lost, and nobody sleeps for ever")
{
	struct shared s = { .nr_tasks = 2, .rounds = 1 };
	const struct iomap_sim_case c = tasks_case("mutex", add_all, &s);

	exhaust(&c, UINT32_MAX, 20);
	s.nr_tasks = 3;
	exhaust(&c, 2, 50);
	s.rounds = 3;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SCHEDULES);
}

static int look(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;
	unsigned half;

	iomap_rwlock_rdlock(s->env, &s->rwlock);
	half = s->half[0];
	iomap_sim_yield(sim, "between");
	if (half != s->half[1])
		iomap_sim_fail(sim, "rwlock", "a reader saw %u and %u", half, s->half[1]);
	iomap_rwlock_unlock(s->env, &s->rwlock);
	return 0;
}

static int change(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	iomap_rwlock_wrlock(s->env, &s->rwlock);
	s->half[0]++;
	iomap_sim_yield(sim, "between");
	s->half[1]++;
	if (s->nr_tasks > 1) {
		iomap_rwlock_downgrade(s->env, &s->rwlock);
		iomap_sim_yield(sim, "between");
		if (s->half[0] != s->half[1])
			iomap_sim_fail(sim, "rwlock", "a writer came in");
	}
	iomap_rwlock_unlock(s->env, &s->rwlock);
	return 0;
}

static int look_and_change(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;
	int rc = open_env(sim, s);

	for (unsigned i = 0; !rc && i < s->nr_tasks; i++)
		rc = iomap_sim_spawn(sim, change, s);
	for (unsigned i = 0; !rc && i < s->rounds; i++)
		rc = iomap_sim_spawn(sim, look, s);
	if (!rc)
		rc = iomap_sim_join(sim);
	iomap_env_delete(&s->env);
	return rc ? rc : s->half[0] != s->nr_tasks;
}

CASE(a_rwlock_in_every_order, "O44", "Readers see no half; writers and readers all come through")
{
	struct shared s = { .nr_tasks = 1, .rounds = 1 };
	const struct iomap_sim_case c = tasks_case("rwlock", look_and_change, &s);

	exhaust(&c, UINT32_MAX, 20);
	s.nr_tasks = s.rounds = 2;
	exhaust(&c, 2, 200);
	s.rounds = 3;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SCHEDULES);
}

static int take(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	(void)sim;
	iomap_mutex_lock(s->env, &s->mutex);
	while (!s->counter)
		iomap_cond_wait(s->env, &s->cond, &s->mutex, IOMAP_FOREVER);
	s->counter--;
	s->taken++;
	iomap_mutex_unlock(s->env, &s->mutex);
	return 0;
}

static int give(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	(void)sim;
	iomap_mutex_lock(s->env, &s->mutex);
	s->counter++;
	iomap_mutex_unlock(s->env, &s->mutex);
	iomap_cond_broadcast(s->env, &s->cond);
	return 0;
}

static int give_and_take(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;
	int rc = open_env(sim, s);

	for (unsigned i = 0; !rc && i < s->nr_tasks; i++) {
		rc = iomap_sim_spawn(sim, take, s);
		if (!rc)
			rc = iomap_sim_spawn(sim, give, s);
	}
	if (!rc)
		rc = iomap_sim_join(sim);
	iomap_env_delete(&s->env);
	return rc ? rc : s->taken != s->nr_tasks;
}

CASE(a_condition_in_every_order, "O44", "Each that is given is taken, whoever comes first")
{
	struct shared s = { .nr_tasks = 1 };
	const struct iomap_sim_case c = tasks_case("cond", give_and_take, &s);

	exhaust(&c, UINT32_MAX, 20);
	s.nr_tasks = 2;
	exhaust(&c, 2, 200);
	s.nr_tasks = 4;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SCHEDULES);
}

/* ---- threads of the environment ---- */

struct thread {
	struct iomap_env *env;
	const struct iomap_sync_ops *sync;
	void *sync_arg;
	void *handles[3], *selves[3];
	unsigned nr_started, nr_ended, nr_strange;
};

static void thread_main(void *arg)
{
	struct thread *t = arg;
	uint64_t *self = t->sync->self(t->sync_arg);

	for (unsigned i = 0; i < 32; i++)
		t->nr_strange += self[i] != 0;
	for (unsigned i = 0; i < t->nr_started; i++)
		t->nr_strange += t->selves[i] == self;
	t->selves[t->nr_started++] = self;
	self[3] = (uintptr_t)t;
	t->sync->yield(t->sync_arg, "test");
	t->nr_strange += t->sync->self(t->sync_arg) != self || self[3] != (uintptr_t)t;
	t->nr_ended++;
}

static int run_threads(struct iomap_sim *sim, void *arg)
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	struct thread *t = arg;
	int rc = 0;

	memset(t, 0, sizeof(*t));
	iomap_sim_env_opts(sim, &opts);
	t->sync = opts.sync;
	t->sync_arg = opts.sync_arg;
	for (unsigned i = 0; !rc && i < 3; i++)
		rc = t->sync->spawn(t->sync_arg, thread_main, t, &t->handles[i]);
	for (unsigned i = 3; !rc && i--;)
		t->sync->join(t->sync_arg, t->handles[i]);
	return rc || t->nr_ended != 3 || t->nr_strange;
}

CASE(threads_of_an_environment, "", "Each has 256 zeroed bytes of its own for life, and is joined")
{
	struct thread t;
	const struct iomap_sim_case c = tasks_case("threads", run_threads, &t);

	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES);
	exhaust(&c, 2, 50);
}

/* ---- a buffered writer against writeback ---- */

#define PAGE		4096u
#define WRITES		8u

struct files {
	struct m_model *m;
	struct m_file *f;
	uint64_t random;
	unsigned nr_synced;
};

static uint32_t draw(struct files *x, uint32_t n)
{
	return (uint32_t)(t_rand(&x->random) % n);
}

static int write_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;

	(void)sim;
	for (unsigned i = 0; i < WRITES; i++) {
		uint32_t pos = draw(x, 6 * PAGE), len = 1 + draw(x, 2 * PAGE);

		if (m_fill(x->f, pos, len, i) != len)
			return 1;
	}
	return 0;
}

static int sync_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	int rc = 0;

	(void)sim;
	for (unsigned i = 0; !rc && i < 3; i++) {
		if (i == 1)
			rc = m_writeback(x->f, IOMAP_WB_SYNC_NONE, 0, 0);
		else
			rc = m_sync(x->f);
		x->nr_synced++;
	}
	return rc;
}

static int read_some(struct iomap_sim *sim, void *arg)
{
	struct files *x = arg;
	uint8_t mem[PAGE];

	(void)sim;
	for (unsigned i = 0; i < WRITES; i++)
		if (m_read(x->f, draw(x, 4 * PAGE), mem, 1 + draw(x, PAGE)) < 0)
			return 1;
	return 0;
}

static int write_and_sync(struct iomap_sim *sim, void *arg)
{
	struct m_opts opts = { .dev = "sim:disk", .max_folio = 2 * PAGE };
	struct iomap_env_opts env = {
		.struct_size = sizeof(env), .nr_ioends = 8, .nr_bios = 16, .nr_segs = 16,
	};
	struct files *x = arg;
	struct t_env t;
	int rc;

	x->random = iomap_sim_choose(sim, "work", 1000);
	opts.delalloc = x->random & 1;
	opts.unwritten = x->random & 2;
	iomap_sim_env_opts(sim, &env);
	t_env_start(&t, &env);
	x->m = m_open(&t, &opts);
	x->f = m_file_new(x->m);
	rc = iomap_sim_spawn(sim, write_some, x) || iomap_sim_spawn(sim, sync_some, x) ||
	     iomap_sim_spawn(sim, write_some, x) || iomap_sim_spawn(sim, read_some, x) ||
	     iomap_sim_join(sim);
	if (!rc && m_sync(x->f))
		rc = iomap_sim_fail(sim, "sync", "the last one failed");
	if (!rc && !m_device_equals_model(x->f))
		rc = iomap_sim_fail(sim, "O42", "the device has something else");
	if (!rc && !m_balanced(x->m))
		rc = iomap_sim_fail(sim, "O36", "space is lost");
	m_file_free(&x->f);
	m_close(&x->m);
	t_env_stop(&t);
	return rc;
}

static const struct iomap_sim_dev big_disk = {
	.name = "disk", .preset = "consumer", .size = 1 << 20,
};

CASE_TIMEOUT(a_writer_against_writeback, "O42",
	     "Writers, a reader and syncs on one file: the device has what was written last", 60)
{
	struct files x = { 0 };
	struct iomap_sim_case c = tasks_case("files", write_and_sync, &x);

	c.devs = &big_disk;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES / 3);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SCHEDULES / 6);
	ck_assert_uint_gt(x.nr_synced, SCHEDULES);
}

/* ---- page cleaners ---- */

#define NR_FRAMES	6u

struct pool {
	struct flat *f;
	struct iomap_mutex lock;	/* dirty, and the right to make busy */
	bool dirty[NR_FRAMES];
	iomap_word busy[NR_FRAMES];
	uint64_t number[NR_FRAMES];
	uint64_t random, nr_cleaned;
};

static void fill(struct pool *p, unsigned i)
{
	uint64_t *mem = (uint64_t *)(void *)(p->f->frame_mem + i * PAGE);

	for (unsigned n = 0; n < PAGE / 8; n++)
		mem[n] = p->number[i] << 8 | i;
}

static void on_written(struct flat *f, struct iomap_folio *folio, int error)
{
	struct pool *p = f->arg;
	unsigned i = (unsigned)(folio->pos / PAGE);

	p->dirty[i] |= error != 0;
	iomap_folio_fini(folio);
	__atomic_store_n(&p->busy[i], 0, __ATOMIC_RELEASE);
	iomap_env_wake(f->t.env, &p->busy[i], UINT32_MAX);
}

static bool make_busy(struct pool *p, unsigned i)
{
	bool mine;

	iomap_mutex_lock(p->f->t.env, &p->lock);
	mine = p->dirty[i] && !p->busy[i];
	if (mine)
		p->dirty[i] = false, p->busy[i] = 1;
	iomap_mutex_unlock(p->f->t.env, &p->lock);
	return mine;
}

static int clean(struct iomap_sim *sim, void *arg)
{
	struct pool *p = arg;
	struct iomap_writeback_ctx wpc;
	int rc = 0;

	(void)sim;
	flat_wpc(p->f, &wpc);
	for (unsigned i = 0; !rc && i < NR_FRAMES; i++) {
		rc = iomap_writeback_reserve(&wpc, 2);
		if (rc || !make_busy(p, i))
			continue;
		rc = flat_frame(p->f, &wpc, i);
		p->nr_cleaned++;
	}
	rc = iomap_writeback_finish(&wpc, rc);
	return rc ? rc : iomap_inode_wait_wb(&p->f->inode, iomap_inode_wb_seq(&p->f->inode),
					     IOMAP_FOREVER);
}

static int clean_twice(struct iomap_sim *sim, void *arg)
{
	int rc = clean(sim, arg);

	return rc ? rc : clean(sim, arg);
}

/* Nobody writes to a frame that is being written; the wait drives what it waits for. */
static int change_frames(struct iomap_sim *sim, void *arg)
{
	struct pool *p = arg;
	struct iomap_env *env = p->f->t.env;

	(void)sim;
	for (unsigned n = 1; n <= 12; n++) {
		unsigned i = (unsigned)(t_rand(&p->random) % NR_FRAMES);

		iomap_mutex_lock(env, &p->lock);
		while (p->busy[i]) {
			iomap_mutex_unlock(env, &p->lock);
			if (iomap_env_wait(env, &p->busy[i], 1, IOMAP_FOREVER))
				return 1;
			iomap_mutex_lock(env, &p->lock);
		}
		p->number[i]++;
		fill(p, i);
		p->dirty[i] = true;
		iomap_mutex_unlock(env, &p->lock);
	}
	return 0;
}

static int look_at_disk(struct iomap_sim *sim, struct pool *p)
{
	for (unsigned i = 0; i < NR_FRAMES; i++) {
		uint8_t mem[PAGE];

		if (iomap_sim_pread(sim, "disk", mem, PAGE, i * PAGE) != PAGE)
			return 1;
		if (memcmp(mem, p->f->frame_mem + i * PAGE, PAGE))
			return iomap_sim_fail(sim, "O42", "frame %u is not what it was", i);
	}
	return 0;
}

static int clean_and_change(struct iomap_sim *sim, void *arg)
{
	struct flat_opts opts = { .dev = "sim:disk", .frames = NR_FRAMES, .frame_size = PAGE };
	struct pool *p = arg;
	uint64_t nr_cleaned = p->nr_cleaned;
	int rc;

	memset(p, 0, sizeof(*p));
	p->nr_cleaned = nr_cleaned;
	p->random = iomap_sim_choose(sim, "work", 1000);
	opts.env = (struct iomap_env_opts){
		.struct_size = sizeof(opts.env), .nr_ioends = 8, .nr_bios = 16, .nr_segs = 16,
	};
	iomap_sim_env_opts(sim, &opts.env);
	p->f = flat_new(&opts);
	p->f->arg = p;
	p->f->on_written = on_written;
	for (unsigned i = 0; i < NR_FRAMES; i++) {
		fill(p, i);
		p->dirty[i] = true;
	}
	rc = iomap_sim_spawn(sim, clean_twice, p) || iomap_sim_spawn(sim, change_frames, p) ||
	     iomap_sim_spawn(sim, clean_twice, p) || iomap_sim_join(sim);
	if (!rc)
		rc = clean(sim, p) || flat_sync(p->f);
	if (!rc)
		rc = look_at_disk(sim, p);
	flat_delete(&p->f);
	return rc;
}

CASE_TIMEOUT(two_cleaners_and_a_writer, "O42",
	     "Frames that are cleaned and changed at once are on the device as they are", 60)
{
	static struct pool p;
	struct iomap_sim_case c = tasks_case("cleaners", clean_and_change, &p);

	c.devs = &big_disk;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, SCHEDULES);
	tasks_pass(&c, IOMAP_SIM_PCT, 3, SCHEDULES / 2);
	ck_assert_uint_gt(p.nr_cleaned, 6 * SCHEDULES);
}

MAIN()
