/* SPDX-License-Identifier: MIT */
/*
 * test_sync_tasks.c - syncs of one file side by side, in any order of tasks, and power that goes.
 *
 * Each task has a page of the file, writes the next number into all of it and syncs.  Afterwards a
 * block of the page holds a number that was promised, or a later one that was written.
 */
#include "sim/durable.h"

#define TASKS	3u
#define ROUNDS	4u
#define EVENTS	160u
#ifdef NDEBUG
#define SEEDS	2000u
#else
#define SEEDS	(t_sanitized() ? 60u : 300u)
#endif

static const char *const presets[] = { "consumer", "plp", "sata512e", "multiqueue" };
#define PRESETS	4u

struct syncer {
	struct durable *u;
	enum durable_kind kind;
	unsigned page;
	uint8_t promised, written;
};

static int work(struct iomap_sim *sim, void *arg)
{
	struct syncer *s = arg;
	int64_t pos = (int64_t)s->page * PAGE;
	uint8_t mem[PAGE];

	(void)sim;
	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct durable_step step = { D_WRITE, pos, PAGE };

		s->written++;
		memset(mem, s->written, PAGE);
		if (m_write(s->u->f, pos, mem, PAGE) != PAGE)
			break;
		if (durable_sync(s->u, s->kind, &step))
			break;
		s->promised = s->written;
	}
	return 0;
}

static void check(const struct syncer *s, const struct durable_image *image)
{
	for (unsigned at = 0; at < PAGE; at += 512) {
		int64_t pos = (int64_t)s->page * PAGE + at;
		unsigned n = pos < image->r.size ? image->bytes[pos] : 0;

		ck_assert_msg(n >= s->promised && n <= s->written,
			      "%s: byte %lld is %u, promised %u, written %u", s->u->what,
			      (long long)pos, n, s->promised, s->written);
	}
}

/* How many promises there were. */
static unsigned run(const struct durable_way *way, uint64_t seed)
{
	static const enum durable_kind kinds[] = { D_FSYNC, D_FDATASYNC, D_VOLUME, D_EACH };
	/* A sync commits blocks of others whose data are still on their way: they are UNWRITTEN. */
	const struct m_opts opts = {
		.delalloc = seed & 1, .unwritten = true, .max_folio = PAGE << seed % 3,
		.times = seed & 2,
	};
	static const struct durable_step format[] = { { D_SIZE, 0, 0 }, { D_SYNC, 0, 0 }, { 0 } };
	static struct durable_image image;
	struct syncer syncers[TASKS];
	static struct durable u;
	unsigned promises = 0;

	image.bytes = image.bytes ? image.bytes : t_buffer(DURABLE_BYTES, 0);
	durable_start(&u, way, seed, presets[seed % PRESETS], presets[(seed + 1) % PRESETS],
		      &opts);
	snprintf(u.what, sizeof(u.what), "%s, seed %u", way->name, (unsigned)seed);
	durable_steps(&u, format, D_FSYNC);
	ck_assert_int_eq(iomap_sim_cut_at(u.d.w.sim, 1 + failing_draw(&u.d, EVENTS)), 0);
	for (unsigned i = 0; i < TASKS; i++) {
		syncers[i] = (struct syncer){
			.u = &u, .page = i, .kind = kinds[failing_draw(&u.d, 4)],
		};
		ck_assert_int_eq(iomap_sim_spawn(u.d.w.sim, work, &syncers[i]), 0);
	}
	ck_assert_int_eq(iomap_sim_join(u.d.w.sim), 0);
	durable_cut(&u);
	durable_image_of(&u, &image);
	for (unsigned i = 0; i < TASKS; i++) {
		check(&syncers[i], &image);
		promises += syncers[i].promised;
	}
	durable_delete(&u);
	return promises;
}

static void side_by_side(const struct durable_way *way)
{
	unsigned promises = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++)
		promises += run(way, seed);
	ck_assert_uint_gt(promises, 2 * SEEDS);
}

CASE_TIMEOUT(journal_on_the_device, "H10 I166 O1",
     "No sync takes the commit or the flush of another for its own before that is over", 90)
{
	side_by_side(&durable_one);
}

CASE_TIMEOUT(journal_on_another_device, "H10 I166 O1", "The same with the journal elsewhere", 90)
{
	side_by_side(&durable_log);
}

CASE_TIMEOUT(no_journal, "H10 I166 O1 O26", "The same with a table in place", 90)
{
	side_by_side(&durable_table);
}

CASE_TIMEOUT(data_on_two_devices, "H10 I166 O1", "The same with data on both", 90)
{
	side_by_side(&durable_striped);
}

MAIN()
