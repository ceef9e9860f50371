/* SPDX-License-Identifier: MIT */
/*
 * test_story.c - what a sync acknowledged survives a power failure, whenever it comes.
 *
 * One run is one seed: the model client writes a file, syncs it, then overwrites pieces of it and
 * syncs now and then, half the runs with a cache that is smaller than the file, until power goes at
 * an event that the seed chose.  Host and model are thrown away, and the device is read past
 * everything.  Each logical block of it must be as it was at the last successful sync, or as one of
 * the writes since then left it: older content, or a mixture, is a failure.  So says the story, and
 * byte by byte the judge of the simulation, which is told the same.
 */
#include "model/model.h"
#include "sim/world.h"

#define FILE_BYTES	(NR_PAGES * PAGE)
#define DEVICE_BYTES	(1u << 20)
#define MAX_SINCE	32u
#define MAX_EVENTS	300u

/* On each preset: 20,000 in a release build, about half a minute; the first of them in others. */
#ifdef NDEBUG
#define CUTS		20000u
#else
#define CUTS		(t_sanitized() ? 100u : 500u)
#endif

struct run {
	struct world w;
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	const char *preset;
	uint64_t seed, random;
	/* As of the last sync, and the writes since, each of one letter. */
	uint8_t acked[FILE_BYTES], now[FILE_BYTES];
	uint64_t addr[NR_PAGES];
	struct {
		uint32_t pos, len;
		uint8_t letter;
	} since[MAX_SINCE];
	unsigned nr_since, nr_writes, nr_syncs;
};

/* Of all runs; old, newer, torn: pages that were written since the last sync. */
struct sums {
	uint64_t syncs, cut_syncs, old, newer, torn, shorn;
};

static uint32_t draw(struct run *r, uint32_t n)
{
	return (uint32_t)(t_rand(&r->random) % n);
}

/* ---- until power goes ---- */

static void acknowledge(struct run *r)
{
	memcpy(r->acked, r->now, FILE_BYTES);
	iomap_sim_model_sync(r->w.sim, 0);
	for (unsigned p = 0; p < NR_PAGES; p++)
		r->addr[p] = r->f->data[p].addr;
	r->nr_since = 0;
	r->nr_syncs++;
}

static void open_file(struct run *r)
{
	uint32_t kind = draw(r, 5);
	const struct m_opts opts = {
		.dev = "sim:disk", .cache_bytes = 128u << 10 << 3 * draw(r, 2),
		.max_folio = 4096u << draw(r, 3),
		.delalloc = kind & 1, .unwritten = kind & 2, .gap = draw(r, 2),
		.no_complete = kind == 4,	/* who converts nothing needs to hear nothing */
	};
	struct iomap_env_opts env = { .struct_size = sizeof(env) };

	iomap_sim_env_opts(r->w.sim, &env);
	t_env_start(&r->t, &env);
	r->m = m_open(&r->t, &opts);
	r->f = m_file_new(r->m);
	for (uint32_t i = 0; i < FILE_BYTES; i++)
		r->now[i] = (uint8_t)(i >> 9 ^ r->seed);
	ck_assert_int_eq(iomap_sim_model_write(r->w.sim, 0, r->now, FILE_BYTES, 0), 0);
	ck_assert_int_eq(m_write(r->f, 0, r->now, FILE_BYTES), FILE_BYTES);
	ck_assert_int_eq(m_sync(r->f), 0);
	acknowledge(r);
}

/* What the library did not take, for power went, counts as a version as well: of a page that it
 * took in part nobody knows how much. */
static void write_some(struct run *r)
{
	uint32_t pos = draw(r, FILE_BYTES), len = 1 + draw(r, draw(r, 4) ? 700 : 3 * PAGE);
	uint8_t letter = (uint8_t)++r->nr_writes;
	int64_t n;

	if (len > FILE_BYTES - pos)
		len = FILE_BYTES - pos;
	memset(r->now + pos, letter, len);
	r->since[r->nr_since].pos = pos;
	r->since[r->nr_since].len = len;
	r->since[r->nr_since++].letter = letter;
	ck_assert_int_eq(iomap_sim_model_write(r->w.sim, 0, r->now + pos, len, pos), 0);
	n = m_write(r->f, pos, r->now + pos, len);
	ck_assert(n == len || iomap_sim_is_off(r->w.sim));
}

static void read_some(struct run *r)
{
	uint32_t pos = draw(r, FILE_BYTES - PAGE);
	uint8_t buf[PAGE];
	int64_t n = m_read(r->f, pos, buf, PAGE);

	ck_assert(n == PAGE || iomap_sim_is_off(r->w.sim));
}

/* Did power go in the middle of a sync? */
static bool work(struct run *r)
{
	while (!iomap_sim_is_off(r->w.sim)) {
		uint32_t what = draw(r, 8);
		int rc;

		if (what < 6 && r->nr_since < MAX_SINCE) {
			write_some(r);
			continue;
		}
		if (what == 6) {
			read_some(r);
			continue;
		}
		rc = m_sync(r->f);
		if (rc) {
			ck_assert(iomap_sim_is_off(r->w.sim));
			return true;
		}
		acknowledge(r);
	}
	return false;
}

static void throw_away(struct run *r)
{
	m_file_free(&r->f);
	m_close(&r->m);
	t_env_stop(&r->t);
}

/* ---- after it ---- */

static bool is_touched(const struct run *r, uint32_t pos, uint32_t len)
{
	for (unsigned i = 0; i < r->nr_since; i++)
		if (r->since[i].pos < pos + len && pos < r->since[i].pos + r->since[i].len)
			return true;
	return false;
}

/* 0: as acknowledged; n: as the n-th write since left it; -1: neither. */
static int version_of(const struct run *r, uint32_t pos, uint32_t len, const uint8_t *got)
{
	uint8_t unit[PAGE];

	memcpy(unit, r->acked + pos, len);
	if (!memcmp(unit, got, len))
		return 0;
	for (unsigned i = 0; i < r->nr_since; i++) {
		uint32_t from = r->since[i].pos, to = from + r->since[i].len;

		from = from < pos ? pos : from;
		to = to > pos + len ? pos + len : to;
		if (from >= to)
			continue;
		memset(unit + from - pos, r->since[i].letter, to - from);
		if (!memcmp(unit, got, len))
			return (int)i + 1;
	}
	return -1;
}

static void check_page(struct run *r, uint32_t page, const uint8_t *got, struct sums *sums)
{
	const struct iomap_sim_profile *profile = iomap_sim_preset(r->preset);
	uint32_t len = profile->logical_block;
	bool touched = is_touched(r, page * PAGE, PAGE), old = false, newer = false;

	for (uint32_t at = 0; at < PAGE; at += len) {
		int version = version_of(r, page * PAGE + at, len, got + at);

		/* The whole page was perhaps being written: any of its blocks may be garbage. */
		if (version < 0 && touched && profile->shorn_sectors) {
			sums->shorn++;
			continue;
		}
		if (version < 0)	/* an assertion for each unit would take most of the time */
			ck_abort_msg("%s, seed %llu: the %u bytes at %u are older than synced, or "
				     "nobody's", r->preset, (unsigned long long)r->seed, len,
				     page * PAGE + at);
		old |= !version && is_touched(r, page * PAGE + at, len);
		newer |= version > 0;
	}
	sums->old += old;
	sums->newer += newer;
	sums->torn += old && newer;
}

static int64_t read_got(void *arg, void *mem, size_t len, uint64_t pos)
{
	if (pos >= FILE_BYTES)
		return 0;
	memcpy(mem, (uint8_t *)arg + pos, len);
	return (int64_t)len;
}

/* Of a page that was touched any byte may be garbage where sectors are shorn. */
static void judge(struct run *r, uint8_t *got)
{
	const struct iomap_sim_found found = {
		.struct_size = sizeof(found), .size = FILE_BYTES, .read = read_got, .arg = got,
		.shorn = iomap_sim_preset(r->preset)->shorn_sectors ? PAGE : 0,
	};

	ck_assert_msg(!iomap_sim_judge_file(r->w.sim, 0, &found), "%s, seed %llu: %s", r->preset,
		      (unsigned long long)r->seed, iomap_sim_violation(r->w.sim));
}

static void check(struct run *r, struct sums *sums)
{
	static uint8_t *got;

	if (!got)
		got = t_buffer(FILE_BYTES, 0);
	ck_assert_int_eq(iomap_sim_power_on(r->w.sim), 0);
	world_plug_in(&r->w);
	for (uint32_t p = 0; p < NR_PAGES; p++) {
		world_read_what_is_left(r->w.bdev, r->addr[p], got + p * PAGE, PAGE,
					iomap_sim_preset(r->preset));
		check_page(r, p, got + p * PAGE, sums);
	}
	world_unplug(&r->w);
	judge(r, got);
}

static void run(const char *preset, uint64_t seed, struct sums *sums)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = preset, .size = DEVICE_BYTES,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = seed, .devs = &disk, .nr_devs = 1,
	};
	static struct run r;

	r = (struct run){ .preset = preset, .seed = seed, .random = seed };
	ck_assert_int_eq(iomap_sim_new(&opts, &r.w.sim), 0);
	open_file(&r);
	ck_assert_int_eq(iomap_sim_cut_at(r.w.sim, 1 + draw(&r, MAX_EVENTS)), 0);
	sums->cut_syncs += work(&r);
	throw_away(&r);
	check(&r, sums);
	sums->syncs += r.nr_syncs;
	ck_assert_int_eq(iomap_sim_hazards(r.w.sim, "disk"), 0);
	iomap_sim_delete(&r.w.sim);
}

static void story(const char *preset)
{
	const struct iomap_sim_profile *profile = iomap_sim_preset(preset);
	struct sums sums = { 0 };

	for (uint64_t seed = 1; seed <= CUTS; seed++)
		run(preset, seed, &sums);
	/* Nothing of this is worth anything if power never goes where it hurts. */
	ck_assert_uint_gt(sums.syncs, 2 * CUTS);
	ck_assert_uint_gt(sums.cut_syncs, CUTS / 8);
	ck_assert_uint_gt(sums.old, CUTS);
	ck_assert_uint_gt(sums.newer, CUTS / 4);
	ck_assert((sums.torn != 0) == (profile->logical_block < PAGE));
	ck_assert((sums.shorn != 0) == profile->shorn_sectors);
}

CASE_TIMEOUT(plp, "O1", "Synced bytes survive each cut where completed writes are durable", 100)
{
	story("plp");
}

CASE_TIMEOUT(consumer, "O1", "Synced bytes survive each cut of a drive with a cache", 100)
{
	story("consumer");
}

CASE_TIMEOUT(atomic16k, "O1", "Synced bytes survive each cut where 16 KiB do not tear", 100)
{
	story("atomic16k");
}

CASE_TIMEOUT(sata512e, "O1 O26", "Synced bytes survive each cut where pages tear at sectors", 100)
{
	story("sata512e");
}

CASE_TIMEOUT(multiqueue, "O1", "Synced bytes survive each cut of a drive with many queues", 100)
{
	story("multiqueue");
}

CASE_TIMEOUT(cruel, "O1", "Synced bytes survive each cut where all that is allowed happens", 100)
{
	story("cruel");
}

CASE_TIMEOUT(fifo, "O1", "Synced bytes survive each cut of a drive that keeps the order", 100)
{
	story("fifo");
}

MAIN()
