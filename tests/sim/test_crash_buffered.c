/* SPDX-License-Identifier: MIT */
/*
 * test_crash_buffered.c - a cached file of the model, and power that goes at any event.
 *
 * Each operation leaves bytes of its own number.  The test keeps for each byte of the file what it
 * may be: what the last good sync promised, and what was done to it since.  Afterwards somebody
 * reads the journal and looks at the blocks that its last record names.
 */
#include "model/model.h"
#include "sim/failing.h"

#define DISK		(2u << 20)
#define BLOCKS		8u
#define BYTES		(BLOCKS * PAGE)
#define LOG_SLOTS	16u
#define MAX_COMMITS	64u
#define OPS		10u		/* numbers from 1 on; 0 is a zero */
#define SEEDS		(t_sanitized() ? 7u : 21u)

struct record {				/* what a commit says */
	int64_t size;
	struct m_block data[BLOCKS];
};
struct run {
	struct failing d;
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct record records[MAX_COMMITS];
	uint32_t may_be[BYTES];		/* a bit for each number */
	bool durable;			/* writes are DSYNC */
	unsigned promised;		/* the commit that the last good sync made */
	unsigned nr_syncs;		/* good ones, in all runs */
};
static struct run run;

static void remember(struct m_model *m, unsigned seq)
{
	struct m_file *f = m->files;

	ck_assert_uint_lt(seq, MAX_COMMITS);
	run.records[seq].size = f->disk_size;
	memcpy(run.records[seq].data, f->data, sizeof(run.records[seq].data));
}

static void open_run(uint64_t seed, bool durable)
{
	const struct m_opts opts = {
		.dev = "sim:disk", .delalloc = seed & 1, .unwritten = seed & 2,
		.anon = seed % 7 == 6, .max_folio = PAGE << seed % 3,
	};
	struct iomap_env_opts env = { 0 };
	unsigned nr_syncs = run.nr_syncs;

	memset(&run, 0, sizeof(run));
	run.nr_syncs = nr_syncs;
	run.durable = durable;
	failing_new(&run.d, seed, FAILING_PRESETS, DISK, DISK);
	failing_env(&run.d, &env);
	t_env_start(&run.t, &env);
	run.m = m_open(&run.t, &opts);
	run.m->hook_commit = remember;
	run.f = m_file_new(run.m);
	for (unsigned i = 0; i < BYTES; i++)
		run.may_be[i] = 1;
}

static void close_run(void)
{
	m_file_free(&run.f);
	m_close(&run.m);
	t_env_stop(&run.t);
	failing_power_on(&run.d);
}

/* ---- work ---- */

static void may_become(int64_t pos, int64_t end, unsigned number)
{
	for (; pos < end; pos++)
		run.may_be[pos] |= 1u << number;
}

/* All is as it is now, for good. */
static void promise(void)
{
	for (unsigned i = 0; i < BYTES; i++)
		run.may_be[i] = 1u << run.f->ref[i];
	run.promised = run.m->commit_seq;
	run.nr_syncs++;
}

/* A write that came back as durable: these bytes are the new ones, whatever else happens. */
static void promise_written(int64_t pos, int64_t n, unsigned number)
{
	for (int64_t i = pos; i < pos + n; i++)
		run.may_be[i] = 1u << number;
	run.promised = n > 0 ? run.m->commit_seq : run.promised;
	run.nr_syncs += n > 0;
}

static void write_some(int64_t pos, int64_t len, unsigned number)
{
	static uint8_t bytes[2 * PAGE];
	int64_t n;

	memset(bytes, (int)number, sizeof(bytes));
	may_become(pos, pos + len, number);
	n = m_write_flags(run.f, pos, bytes, (size_t)len, run.durable ? IOMAP_REQ_DSYNC : 0);
	if (run.durable)
		promise_written(pos, n, number);
}

/* Any call may fail when power is gone. */
static void one_op(unsigned number)
{
	int64_t pos = failing_draw(&run.d, BYTES - 2 * PAGE);
	int64_t len = 1 + failing_draw(&run.d, 2 * PAGE);

	switch (failing_draw(&run.d, 6)) {
	case 0:
		may_become(pos, BYTES, 0);
		(void)m_truncate(run.f, pos);
		break;
	case 1:
		may_become(pos, pos + len, 0);
		(void)m_hole(run.f, pos, len);
		break;
	case 2:
		if (!m_sync(run.f))
			promise();
		break;
	case 3:
		(void)m_writeback(run.f, IOMAP_WB_SYNC_NONE, 0, 0);
		break;
	default:
		write_some(pos, len, number);
		break;
	}
}

/* ---- what is found ---- */

static unsigned last_commit(struct iomap_bdev *bdev)
{
	char *mem = (char *)t_buffer(PAGE, 0);
	unsigned last = 0, seq;

	for (unsigned i = 0; i < LOG_SLOTS; i++) {
		if (m_dev_read(bdev, (uint64_t)i * PAGE, mem, PAGE))
			continue;	/* it was being written */
		if (sscanf(mem, "commit %u", &seq) == 1 && seq > last && seq < MAX_COMMITS)
			last = seq;
	}
	return last;
}

static void look(void)
{
	struct iomap_bdev *bdev = run.d.w.bdev;
	unsigned seq = last_commit(bdev);
	const struct record *r = &run.records[seq];
	uint8_t *mem = t_buffer(PAGE, 0);

	ck_assert_uint_ge(seq, run.promised);
	for (int64_t pos = 0; pos < r->size; pos++) {
		const struct m_block *b = &r->data[pos / PAGE];
		unsigned byte = 0;

		if (b->type == IOMAP_MAPPED && pos % PAGE == 0 &&
		    m_dev_read(bdev, b->addr, mem, PAGE)) {
			pos += PAGE - 1;	/* shorn: nobody reads what it was */
			continue;
		}
		if (b->type == IOMAP_MAPPED)
			byte = mem[pos % PAGE];
		ck_assert_msg(byte <= OPS && run.may_be[pos] >> byte & 1,
			      "commit %u: byte %lld of %lld is %u, may be %x", seq,
			      (long long)pos, (long long)r->size, byte, run.may_be[pos]);
	}
}

/* Power goes at the nth event; false: the work was over before. */
static bool cut_at(uint64_t seed, unsigned nth, bool durable)
{
	bool off;

	open_run(seed, durable);
	ck_assert_int_eq(iomap_sim_cut_at(run.d.w.sim, nth), 0);
	for (unsigned i = 1; i <= OPS && !iomap_sim_is_off(run.d.w.sim); i++)
		one_op(i);
	off = iomap_sim_is_off(run.d.w.sim);
	if (!off)
		failing_cut(&run.d, run.m->bdev);
	close_run();
	look();
	failing_delete(&run.d);
	return off;
}

/* Where sectors may be shorn or neighbours hurt, a client that writes in place promises less. */
static bool in_place_is_safe(uint64_t seed)
{
	const struct iomap_sim_profile *p = iomap_sim_preset(failing_presets[seed %
									     FAILING_PRESETS]);

	return p->power_safe_overwrite && !p->shorn_sectors;
}

CASE_TIMEOUT(power_goes_at_any_event, "I165 I166 O1 O2 O3",
	     "Each byte is as the last sync promised, or newer; the size covers no other", 90)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		unsigned nth = 1;

		while (in_place_is_safe(seed) && cut_at(seed, nth, false))
			nth++;
	}
	ck_assert_uint_gt(run.nr_syncs, 10 * SEEDS);
}

CASE_TIMEOUT(power_goes_among_durable_writes, "I166 O7",
	     "A DSYNC write that came back is there, size and all, without any sync after it", 90)
{
	for (uint64_t seed = 0; seed < SEEDS; seed += 2) {
		unsigned nth = 1;

		while (in_place_is_safe(seed) && cut_at(seed, nth, true))
			nth += 1 + nth / 32;
	}
	ck_assert_uint_gt(run.nr_syncs, 10 * SEEDS);
}

MAIN()
