/* SPDX-License-Identifier: MIT */
/*
 * test_truncate.c - the end of a file is cut or grown inside a block, and power goes at any time.
 *
 * After the cut somebody reads the journal: the last record that is there says how long the file
 * is and where its blocks are.  Behind EDGE, where the file once ended, or was cut, nothing but
 * zeros and what was written there later may then be found, on any device, in whatever order it
 * took the writes.
 */
#include "model/model.h"
#include "sim/failing.h"

#define DISK		(2u << 20)
#define BLOCKS		8u
#define EDGE		(PAGE + 700)
#define LOG_SLOTS	16u
#define MAX_STATES	64u
#define NEW		0x11		/* bytes written behind EDGE; no others are */
#define SEEDS		14u

struct state {				/* what a commit promised */
	int64_t size;
	struct m_block data[BLOCKS];
};
struct run {
	struct failing d;
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct state states[MAX_STATES];
};
static struct run run;

static void remember(struct m_model *m, unsigned seq)
{
	struct m_file *f = m->files;

	ck_assert_uint_lt(seq, MAX_STATES);
	run.states[seq].size = f->disk_size;
	memcpy(run.states[seq].data, f->data, sizeof(run.states[seq].data));
}

static void open_run(uint64_t seed)
{
	const struct m_opts opts = {
		.dev = "sim:disk", .delalloc = seed & 1, .unwritten = seed & 2,
		.batch = seed & 4, .max_folio = PAGE << seed % 3,
	};
	struct iomap_env_opts env = { 0 };

	memset(&run, 0, sizeof(run));
	failing_new(&run.d, seed, FAILING_PRESETS, DISK, DISK);
	failing_env(&run.d, &env);
	t_env_start(&run.t, &env);
	run.m = m_open(&run.t, &opts);
	run.m->hook_commit = remember;
	run.f = m_file_new(run.m);
}

static void close_run(void)
{
	m_file_free(&run.f);
	m_close(&run.m);
	t_env_stop(&run.t);
	failing_power_on(&run.d);
}

/* ---- what is found ---- */

static unsigned last_commit(struct iomap_bdev *bdev)
{
	char *mem = (char *)t_buffer(PAGE, 0);
	unsigned last = 0, seq;

	for (unsigned i = 0; i < LOG_SLOTS; i++) {
		if (m_dev_read(bdev, (uint64_t)i * PAGE, mem, PAGE))
			continue;	/* it was being written */
		if (sscanf(mem, "commit %u", &seq) == 1 && seq > last)
			last = seq;
	}
	return last;
}

static bool may_be(int64_t pos, uint8_t byte)
{
	return pos < EDGE || !byte || byte == NEW;
}

static void look(unsigned after)
{
	struct iomap_bdev *bdev = run.d.w.bdev;
	unsigned seq = last_commit(bdev);
	const struct state *s = &run.states[seq];
	uint8_t *mem = t_buffer(PAGE, 0);

	if (seq < after)		/* the file is as it was: longer, perhaps */
		return;
	for (int64_t pos = 0; pos < s->size; pos += PAGE) {
		if (s->data[pos / PAGE].type != IOMAP_MAPPED)
			continue;
		if (m_dev_read(bdev, s->data[pos / PAGE].addr, mem, PAGE))
			continue;	/* the same: nobody reads what it was */
		for (unsigned i = 0; i < PAGE && pos + i < s->size; i++)
			ck_assert_msg(may_be(pos + i, mem[i]), "commit %u: byte %lld of %lld: %02x",
				      seq, (long long)(pos + i), (long long)s->size, mem[i]);
	}
}

/* ---- stories; each call may fail when power is gone ---- */

static void grow_by_truncate(void)
{
	(void)m_truncate(run.f, 5 * PAGE + 9);
	(void)m_sync(run.f);
}

static void grow_by_a_write(void)
{
	uint8_t bytes[100];

	memset(bytes, NEW, sizeof(bytes));
	if (m_truncate(run.f, EDGE + 1) || m_write(run.f, 5 * PAGE, bytes, sizeof(bytes)) < 0)
		return;
	(void)m_sync(run.f);
}

static void cut_then_grow(void)
{
	if (!m_truncate(run.f, EDGE))
		grow_by_truncate();
}

static void cut_then_write(void)
{
	uint8_t bytes[100];

	memset(bytes, NEW, sizeof(bytes));
	if (m_truncate(run.f, EDGE) || m_write(run.f, 3 * PAGE, bytes, sizeof(bytes)) < 0)
		return;
	(void)m_sync(run.f);
	(void)m_truncate(run.f, 5 * PAGE);
	(void)m_sync(run.f);
}

/* Behind the end, in its block: whoever had the block before. */
static void leave_garbage(void)
{
	uint8_t *mem = t_buffer(PAGE, 0);
	uint64_t addr = run.f->data[EDGE / PAGE].addr;

	ck_assert_int_eq(m_drop_cache(run.f), 0);
	ck_assert_int_eq(m_dev_read(run.m->bdev, addr, mem, PAGE), 0);
	memset(mem + EDGE % PAGE, 0xee, PAGE - EDGE % PAGE);
	ck_assert_int_eq(m_dev_write(run.m->bdev, addr, mem, PAGE), 0);
	ck_assert_int_eq(iomap_bdev_flush(run.m->bdev, iomap_bdev_write_seq(run.m->bdev)), 0);
}

static void fill(size_t len)
{
	uint8_t *bytes = malloc(len);

	ck_assert_ptr_nonnull(bytes);
	memset(bytes, 0xdd, len);
	ck_assert_int_eq(m_write(run.f, 0, bytes, len), (int64_t)len);
	free(bytes);
	ck_assert_int_eq(m_sync(run.f), 0);
}

/* Power goes at the nth event; false: the story was over before. */
static bool cut_at(uint64_t seed, unsigned nth, size_t len, void (*story)(void))
{
	unsigned after;
	bool off;

	open_run(seed);
	fill(len);
	if (len == EDGE)
		leave_garbage();
	after = run.m->commit_seq + 1;
	ck_assert_int_eq(iomap_sim_cut_at(run.d.w.sim, nth), 0);
	story();
	off = iomap_sim_is_off(run.d.w.sim);
	if (!off)
		failing_cut(&run.d, run.m->bdev);
	close_run();
	look(after);
	failing_delete(&run.d);
	return off;
}

static void sweep(size_t len, void (*story)(void))
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		unsigned nth = 1;

		while (cut_at(seed, nth, len, story))
			nth++;
		ck_assert_uint_gt(nth, 5);	/* there was something to cut */
	}
}

CASE_TIMEOUT(garbage_behind_the_end_stays_hidden, "R23 O3 O4",
	     "A file grows over its last block, which holds foreign bytes: never seen", 60)
{
	sweep(EDGE, grow_by_truncate);
	sweep(EDGE, grow_by_a_write);
}

CASE_TIMEOUT(what_was_cut_off_stays_away, "I66 O4",
	     "Cut inside a block, then grown: no old byte comes back, whenever power goes", 60)
{
	sweep(5 * PAGE, cut_then_grow);
	sweep(5 * PAGE, cut_then_write);
}

MAIN()
