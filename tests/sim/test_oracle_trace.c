/* SPDX-License-Identifier: MIT */
/*
 * test_oracle_trace.c - what an environment's trace shows: a client's life on a simulated device.
 */
#include "model/flat.h"
#include "model/model.h"
#include "sim/fault.h"
#include "sim/oracle.h"

static const char *const heard[] = { "O21", "O22", "O23", "O24", "O31", "O33" };

/* The model client, in an environment that the simulation listens to. */
struct client {
	struct iomap_sim *sim;
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	uint64_t random;
};

static void client_open(struct client *c, const char *watched, const struct m_opts *m_opts)
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };

	ck_assert_int_eq(iomap_sim_watch(c->sim, watched), 0);
	iomap_sim_env_opts(c->sim, &opts);
	memset(&c->t, 0, sizeof(c->t));
	ck_assert_int_eq(iomap_env_new(&opts, &c->t.env), 0);
	c->m = m_open(&c->t, m_opts);
	c->f = m_file_new(c->m);
}

static void client_new(struct client *c, const struct iomap_sim_profile *profile,
		       const char *watched, const struct m_opts *m_opts)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .profile = profile, .size = 4 << 20,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = 1, .devs = &disk, .nr_devs = 1,
	};

	ck_assert_int_eq(iomap_sim_new(&opts, &c->sim), 0);
	client_open(c, watched, m_opts);
}

static void client_close(struct client *c)
{
	m_file_free(&c->f);
	m_close(&c->m);
	iomap_env_delete(&c->t.env);
}

static void client_delete(struct client *c)
{
	client_close(c);
	iomap_sim_delete(&c->sim);
}

/* What it does does not matter, so long as all of the library has to do with it. */
static void live(struct client *c, unsigned nr, uint64_t seed)
{
	static uint8_t got[64 * PAGE];

	c->random = seed;
	for (unsigned i = 0; i < nr; i++) {
		uint32_t pos = (uint32_t)(t_rand(&c->random) % (60 * PAGE));
		uint32_t len = 1 + (uint32_t)(t_rand(&c->random) % (4 * PAGE));

		switch (t_rand(&c->random) % 8) {
		case 0:
			ck_assert_int_eq(m_sync(c->f), 0);
			break;
		case 1:
			ck_assert_int_ge(m_read(c->f, pos, got, len), 0);
			break;
		case 2:
			ck_assert_int_eq(m_writeback(c->f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
			break;
		case 3:
			iomap_cache_reclaim(c->m->cache, 8 * PAGE);
			break;
		default:
			ck_assert_int_eq(m_fill(c->f, pos, len, i), len);
		}
	}
	ck_assert_int_eq(m_sync(c->f), 0);
}

static void check_all(struct client *c, bool merges)
{
	for (size_t i = 0; i < sizeof(heard) / sizeof(*heard); i++) {
		struct iomap_sim_verdict v = verdict(c->sim, heard[i]);

		ck_assert_msg(v.violated == 0, "%s: %s", heard[i], iomap_sim_violation(c->sim));
		ck_assert(v.evaluated || !merges);
	}
}

static struct m_opts opts_of(unsigned kind)
{
	return (struct m_opts){
		.dev = "sim:disk", .cache_bytes = 128u << 10 << (kind & 1) * 3,
		.max_folio = 4096u << kind % 3, .delalloc = kind & 1, .unwritten = kind & 2,
		.gap = kind >> 2 & 1, .no_complete = kind == 8, .anon = kind == 9,
	};
}

CASE(a_sound_client_is_heard, "O21 O22 O23 O24 O31 O33",
     "All kinds of clients, on drives of all kinds: nothing is found")
{
	static const char *const presets[] = { "consumer", "sata512e", "cruel" };

	for (unsigned kind = 0; kind < 10; kind++) {
		struct m_opts opts = opts_of(kind);
		struct client c;

		client_new(&c, iomap_sim_preset(presets[kind % 3]), "O21 O22 O23 O24 O31 O33",
			   &opts);
		live(&c, 300, kind);
		check_all(&c, true);
		client_close(&c);
		check_all(&c, true);
		iomap_sim_delete(&c.sim);
	}
}

CASE(who_does_not_ask_is_not_heard, "", "Without a watch there is no trace, and nothing is counted")
{
	struct m_opts opts = opts_of(3);
	struct client c;

	client_new(&c, iomap_sim_preset("consumer"), "", &opts);
	live(&c, 30, 1);
	for (size_t i = 0; i < sizeof(heard) / sizeof(*heard); i++)
		ck_assert_uint_eq(verdict(c.sim, heard[i]).evaluated, 0);
	client_delete(&c);
}

/* Commands fail, then power goes, whatever the client is doing. */
static void suffer(struct client *c, uint64_t seed)
{
	static const char *const kinds[] = {
		"eio_write", "landed", "torn", "enospc", "lost", "flush_error", "short_write",
		"busy", "timeout", "reordered", "eio_write", "enospc",
	};
	char script[64];

	c->random = seed;
	for (unsigned i = 0; i < 6; i++) {
		snprintf(script, sizeof(script), "at nth=%u kind=%s",
			 1 + (unsigned)(t_rand(&c->random) % 60), kinds[t_rand(&c->random) % 12]);
		ck_assert_int_eq(iomap_sim_fault(c->sim, script), 0);
	}
	ck_assert_int_eq(iomap_sim_cut_at(c->sim, 200 + t_rand(&c->random) % 600), 0);
	for (unsigned i = 0; i < 400; i++) {
		uint32_t pos = (uint32_t)(t_rand(&c->random) % (60 * PAGE));
		uint32_t len = 1 + (uint32_t)(t_rand(&c->random) % (4 * PAGE));

		switch (t_rand(&c->random) % 8) {
		case 0:
			m_sync(c->f);
			break;
		case 1:
			m_writeback(c->f, IOMAP_WB_SYNC_NONE, 0, 0);
			break;
		case 2:
			iomap_cache_reclaim(c->m->cache, 8 * PAGE);
			break;
		default:
			m_fill(c->f, pos, len, i);
		}
	}
}

CASE(a_client_that_suffers_is_heard, "O21 O22 O23 O24 O31 O33",
     "Commands that fail and power that goes: the library goes its way all the same")
{
	static const char *const presets[] = { "consumer", "sata512e", "cruel", "fifo" };

	for (unsigned seed = 0; seed < 60; seed++) {
		struct iomap_sim_profile profile = *iomap_sim_preset(presets[seed % 4]);
		struct m_opts opts = opts_of(seed % 10);
		struct client c;

		profile.max_bytes = seed % 3 ? profile.max_bytes : 4 * PAGE;
		client_new(&c, &profile, "O21 O22 O23 O24 O31 O33", &opts);
		suffer(&c, seed);
		client_close(&c);
		check_all(&c, true);
		ck_assert_violated(c.sim, "O20", 0);
		ck_assert_violated(c.sim, "O26", 0);
		ck_assert_violated(c.sim, "O27", 0);
		ck_assert_violated(c.sim, "O28", 0);
		ck_assert_violated(c.sim, "O29", 0);
		iomap_sim_delete(&c.sim);
	}
}

/* ---- frames: what was recorded is heard afterwards ---- */

static int64_t some_fail(struct flat *f, struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
			 int64_t pos, uint64_t len, int64_t end_pos)
{
	if (folio == &f->frames[3])
		return -EIO;
	return flat_range_default(f, wpc, folio, pos, len, end_pos);
}

CASE(frames_are_heard, "O21 O22 O23 O24 O31",
     "Frames that are written, changed meanwhile, not mapped; each goes its way")
{
	struct flat_opts opts = {
		.dev = "sim:disk", .frames = 8, .frame_size = 4 * PAGE, .trace = true,
	};
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = 64 << 20,
	};
	const struct iomap_sim_opts sim_opts = {
		.struct_size = sizeof(sim_opts), .seed = 1, .devs = &disk, .nr_devs = 1,
	};
	struct iomap_sim *sim;
	struct flat *f;

	ck_assert_int_eq(iomap_sim_new(&sim_opts, &sim), 0);
	ck_assert_int_eq(iomap_sim_watch(sim, "O21 O22 O23 O24 O31"), 0);
	opts.env.struct_size = sizeof(opts.env);
	iomap_sim_env_opts(sim, &opts.env);
	f = flat_new(&opts);
	f->range = some_fail;
	for (unsigned round = 0; round < 4; round++) {
		struct iomap_writeback_ctx wpc;

		flat_wpc(f, &wpc);
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 4), 0);
		for (unsigned i = round; i < 8; i++)
			ck_assert_int_eq(flat_frame(f, &wpc, i), i == 3 ? -EIO : 0);
		iomap_folio_mark_dirty(&f->frames[5], 0, PAGE);
		ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
		flat_settle(f);
	}
	for (unsigned i = 0; i < f->t.nr_trace; i++)
		opts.env.trace(opts.env.trace_arg, &f->t.trace[i]);
	for (size_t i = 0; i < 4; i++)
		ck_assert_violated(sim, heard[i], 0);
	flat_delete(&f);
	iomap_sim_delete(&sim);
}

/* ---- each of them ---- */

/* A large ioend is several requests, one of which fails: not the last one. */
CASE(an_ioend_ends_with_its_first_error, "O21", "Of the requests of an ioend one fails, early")
{
	struct iomap_sim_profile profile = *iomap_sim_preset("fifo");
	const struct m_opts opts = { .dev = "sim:disk" };
	struct client c;

	profile.max_bytes = 4 * PAGE;
	client_new(&c, &profile, "O21", &opts);
	ck_assert_int_eq(m_fill(c.f, 0, 16 * PAGE, 1), 16 * PAGE);
	ck_assert_int_eq(iomap_sim_fault(c.sim, "at write nth=2 kind=enospc"), 0);
	ck_assert_int_ne(m_sync(c.f), 0);
	ck_assert_violated(c.sim, "O21", 0);
	ck_assert_int_eq(iomap_sim_fault(c.sim, NULL), 0);
	m_sync(c.f);
	client_delete(&c);
}

CASE(what_is_merged_belongs_together, "O22", "Completions of neighbours are merged, of others not")
{
	for (unsigned gap = 0; gap < 2; gap++) {
		const struct m_opts opts = {
			.dev = "sim:disk", .unwritten = true, .delalloc = true, .gap = gap,
		};
		struct client c;

		client_new(&c, iomap_sim_preset("consumer"), "O22", &opts);
		for (unsigned i = 0; i < 20; i++) {
			ck_assert_int_eq(m_fill(c.f, i * 3 * PAGE, 2 * PAGE, i), 2 * PAGE);
			ck_assert_int_eq(m_writeback(c.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
			ck_assert_int_eq(m_fill(c.f, (i * 3 + 2) * PAGE, PAGE, i), PAGE);
			ck_assert_int_eq(m_writeback(c.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
		}
		ck_assert_int_eq(m_sync(c.f), 0);
		ck_assert_violated(c.sim, "O22", 0);
		client_delete(&c);
	}
}

CASE(only_dirty_blocks_go_out, "O23", "Of a large folio the blocks that were written to, once each")
{
	const struct m_opts opts = { .dev = "sim:disk", .max_folio = 4 * PAGE };
	struct client c;

	client_new(&c, iomap_sim_preset("consumer"), "O23", &opts);
	ck_assert_int_eq(m_fill(c.f, 0, 16 * PAGE, 1), 16 * PAGE);
	ck_assert_int_eq(m_sync(c.f), 0);
	for (unsigned i = 0; i < 16; i++) {
		ck_assert_int_eq(m_fill(c.f, (i * 5 % 16) * PAGE, PAGE, i), PAGE);
		if (i % 3 == 2)
			ck_assert_int_eq(m_sync(c.f), 0);
		ck_assert_violated(c.sim, "O23", 0);
	}
	client_delete(&c);
}

CASE(folios_go_their_way, "O24", "Written again while they are written, reclaimed, read again")
{
	const struct m_opts opts = { .dev = "sim:disk", .cache_bytes = 128 << 10 };
	struct client c;

	client_new(&c, iomap_sim_preset("consumer"), "O24", &opts);
	ck_assert_int_eq(m_fill(c.f, 0, 8 * PAGE, 1), 8 * PAGE);
	ck_assert_int_eq(m_writeback(c.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(m_fill(c.f, 0, 8 * PAGE, 2), 8 * PAGE);
	ck_assert_int_eq(m_writeback(c.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_violated(c.sim, "O24", 0);
	ck_assert_int_eq(m_sync(c.f), 0);
	iomap_cache_reclaim(c.m->cache, 128 << 10);
	ck_assert(m_content_ok(c.f));
	ck_assert_violated(c.sim, "O24", 0);
	client_delete(&c);
}

CASE(each_begin_has_an_end, "O33", "Of maps that are used, in part, or not at all; read, written")
{
	const struct m_opts opts = {
		.dev = "sim:disk", .chunk = 2 * PAGE, .inode_flags = IOMAP_INODE_STABLE,
	};
	uint8_t byte[PAGE] = { 1 };
	struct client c;

	client_new(&c, iomap_sim_preset("consumer"), "O33", &opts);
	ck_assert_int_eq(m_fill(c.f, 0, 8 * PAGE, 1), 8 * PAGE);
	ck_assert_int_eq(m_sync(c.f), 0);
	iomap_cache_reclaim(c.m->cache, 8 * PAGE);
	c.m->fail_begin = (struct m_fault){ .nth = 2, .error = -EIO };
	m_read(c.f, 0, byte, PAGE);
	m_fill(c.f, 0, 8 * PAGE, 2);
	c.m->fail_end = (struct m_fault){ .nth = 1, .error = -EIO };
	m_fill(c.f, 0, 8 * PAGE, 3);
	ck_assert_int_eq(m_fill(c.f, 0, 8 * PAGE, 4), 8 * PAGE);
	ck_assert_int_eq(m_writeback(c.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(m_write_flags(c.f, 5, byte, 1, IOMAP_REQ_NOWAIT), -EAGAIN);
	ck_assert_violated(c.sim, "O33", 0);
	ck_assert_int_eq(m_sync(c.f), 0);
	client_close(&c);
	ck_assert_violated(c.sim, "O33", 0);
	iomap_sim_delete(&c.sim);
}

MAIN()
