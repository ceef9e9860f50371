/* SPDX-License-Identifier: MIT */
/*
 * test_fault_frames.c - each kind of fault below a page cleaner that owns its memory.
 *
 * Runs of frames are handed over, and a command is hit that the seed chose.  Each frame is told
 * once, with its own error; who failed is handed over again.  In the end all is well, and a power
 * cut shows that the last sync said the truth.
 */
#include "model/flat.h"
#include "model/model.h"
#include "sim/failing.h"

#define FRAME		16384u
#define NR_FRAMES	16u
#define RUN		3u		/* frames in an ioend; the one between two stays as it is */
#define RUNS		4u
#define PIECE		2u		/* frames in a request */
#define DISK		(64u << 20)

struct cleaner {
	struct failing d;
	struct flat *f;
	struct iomap_file other;	/* another handle */
	uint8_t old[NR_FRAMES], letter[NR_FRAMES];	/* at the last good sync; in memory */
	uint8_t next;
	unsigned handed[NR_FRAMES], told[NR_FRAMES];
	int error[NR_FRAMES];		/* that it was told last */
};

/* ---- the cleaner ---- */

static void on_written(struct flat *f, struct iomap_folio *folio, int error)
{
	struct cleaner *c = f->arg;
	unsigned i = (unsigned)(folio->pos / FRAME);

	c->told[i]++;
	c->error[i] = error;
	iomap_folio_fini(folio);
}

static void change(struct cleaner *c, unsigned i)
{
	c->letter[i] = ++c->next;
	memset(c->f->frame_mem + i * FRAME, c->letter[i], FRAME);
}

static void hand_over(struct cleaner *c, struct iomap_writeback_ctx *wpc, unsigned i)
{
	ck_assert_int_eq(iomap_writeback_reserve(wpc, 2), 0);
	c->handed[i]++;
	ck_assert_int_eq(flat_frame(c->f, wpc, i), 0);
}

/* Whatever came of it: everything that was handed over was told, and told once. */
static void settle(struct cleaner *c, struct iomap_writeback_ctx *wpc)
{
	ck_assert_int_eq(iomap_writeback_finish(wpc, 0), 0);
	flat_settle(c->f);
	for (unsigned i = 0; i < NR_FRAMES; i++)
		ck_assert_uint_eq(c->told[i], c->handed[i]);
}

static void clean_all(struct cleaner *c)
{
	struct iomap_writeback_ctx wpc;

	flat_wpc(c->f, &wpc);
	for (unsigned i = 0; i < NR_FRAMES; i++)
		hand_over(c, &wpc, i);
	settle(c, &wpc);
}

static bool is_in_run(unsigned i)
{
	return i % (RUN + 1) < RUN;
}

static void clean_runs(struct cleaner *c)
{
	struct iomap_writeback_ctx wpc;

	flat_wpc(c->f, &wpc);
	for (unsigned i = 0; i < NR_FRAMES; i++) {
		if (!is_in_run(i))
			continue;
		change(c, i);
		hand_over(c, &wpc, i);
	}
	settle(c, &wpc);
}

static unsigned nr_failed(const struct cleaner *c)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < NR_FRAMES; i++)
		nr += !!c->error[i];
	return nr;
}

/* As it is in memory: the cleaner has kept it. */
static void clean_failed(struct cleaner *c)
{
	struct iomap_writeback_ctx wpc;

	flat_wpc(c->f, &wpc);
	for (unsigned i = 0; i < NR_FRAMES; i++)
		if (c->error[i])
			hand_over(c, &wpc, i);
	settle(c, &wpc);
}

/* ---- life ---- */

static struct cleaner *cleaner_new(uint64_t seed, unsigned nr_presets)
{
	static struct cleaner cleaner;
	struct cleaner *c = &cleaner;
	struct flat_opts opts = {
		.dev = "sim:disk", .frames = NR_FRAMES, .frame_size = FRAME, .no_complete = true,
	};

	*c = (struct cleaner){ 0 };
	failing_new(&c->d, seed, nr_presets, DISK, PIECE * FRAME);
	failing_env(&c->d, &opts.env);
	c->f = flat_new(&opts);
	c->f->arg = c;
	c->f->on_written = on_written;
	c->f->wbc.grain = FRAME;
	ck_assert_int_eq(iomap_file_open(&c->other, &c->f->inode, 0), 0);
	for (unsigned i = 0; i < NR_FRAMES; i++)
		change(c, i);
	clean_all(c);
	ck_assert_int_eq(flat_sync(c->f), 0);
	memcpy(c->old, c->letter, sizeof(c->old));
	return c;
}

static void cleaner_dies(struct cleaner *c)
{
	failing_cut(&c->d, c->f->bdev);
	iomap_file_close(&c->other);
	flat_delete(&c->f);
	failing_power_on(&c->d);
}

/* The letters of a frame's sectors. */
static const uint8_t *read_frame(struct iomap_bdev *bdev, unsigned i)
{
	static uint8_t *mem;

	if (!mem)
		mem = t_buffer(FRAME, 0);
	ck_assert_int_eq(m_dev_read(bdev, i * FRAME, mem, FRAME), 0);
	return mem;
}

static void check_frame(struct cleaner *c, struct iomap_bdev *bdev, unsigned i)
{
	const uint8_t *mem = read_frame(bdev, i);

	for (unsigned at = 0; at < FRAME; at++)
		if (mem[at] != c->letter[i])
			ck_abort_msg("byte %u of frame %u is lost", at, i);
}

/* After a sync that was good. */
static void cleaner_survives(struct cleaner *c)
{
	cleaner_dies(c);
	for (unsigned i = 0; i < NR_FRAMES; i++)
		check_frame(c, c->d.w.bdev, i);
	failing_delete(&c->d);
}

/* ---- errors ---- */

static void sync_says_once(struct cleaner *c, int error)
{
	struct iomap_file later;

	ck_assert_int_eq(flat_sync(c->f), error);
	ck_assert_int_eq(flat_sync(c->f), 0);
	ck_assert_int_eq(iomap_file_open(&later, &c->f->inode, 0), 0);
	ck_assert_int_eq(iomap_file_sync(&c->other, 0, IOMAP_MAX_POS, false), error);
	ck_assert_int_eq(iomap_file_sync(&c->other, 0, IOMAP_MAX_POS, false), 0);
	ck_assert_int_eq(iomap_file_sync(&later, 0, IOMAP_MAX_POS, false), 0);
	iomap_file_close(&later);
}

/* Those of one request were told that error, and the others are on the device. */
static void one_request_failed(struct cleaner *c, int error)
{
	unsigned nr = nr_failed(c), first = 0;

	ck_assert(nr > 0 && nr <= PIECE);
	while (!c->error[first])
		first++;
	for (unsigned i = 0; i < NR_FRAMES; i++) {
		bool failed = i - first < nr;

		ck_assert_int_eq(c->error[i], failed ? error : 0);
		if (!failed)
			check_frame(c, c->f->bdev, i);
	}
}

static void fail_writes(const char *kind, int error)
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = cleaner_new(seed, FAILING_PRESETS);

		failing_arm(&c->d, "at write nth=%u kind=%s", 1 + failing_draw(&c->d, RUNS), kind);
		clean_runs(c);
		ck_assert_uint_eq(failing_fired(&c->d, kind), 1);
		one_request_failed(c, error);
		sync_says_once(c, error);
		clean_failed(c);
		ck_assert_uint_eq(nr_failed(c), 0);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_survives(c);
	}
}

CASE(a_write_fails, "H12 O12", "-EIO for the frames of that request; handed over again they go")
{
	fail_writes("eio_write", -EIO);
}

CASE(a_write_fails_and_lands, "H12 O12", "-EIO, though reads see it")
{
	fail_writes("landed", -EIO);
}

CASE(a_write_fails_and_tears, "H12 O12", "-EIO, a part of it there")
{
	fail_writes("torn", -EIO);
}

CASE(a_write_is_lost, "H12 O12 O18", "-ETIMEDOUT, and nobody knows what is there")
{
	fail_writes("lost", -ETIMEDOUT);
}

CASE(a_device_is_full, "H12 O12 O18", "-ENOSPC stays -ENOSPC on its way to the frame")
{
	fail_writes("enospc", -ENOSPC);
}

/* Nothing but this error, where there is one. */
static void all_told(const struct cleaner *c, int error)
{
	for (unsigned i = 0; i < NR_FRAMES; i++)
		ck_assert(!c->error[i] || c->error[i] == error);
}

/* Until it is told to stop; the cleaner comes back with what failed, in vain. */
static void refuse_writes(const char *kind, int error)
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = cleaner_new(seed, FAILING_PRESETS);
		unsigned failed;

		failing_arm(&c->d, "at write nth=%u kind=%s", 1 + failing_draw(&c->d, RUNS), kind);
		clean_runs(c);
		failed = nr_failed(c);
		ck_assert_uint_gt(failed, 0);
		sync_says_once(c, error);
		clean_failed(c);
		ck_assert_uint_eq(nr_failed(c), failed);
		all_told(c, error);
		sync_says_once(c, error);
		ck_assert_uint_gt(failing_fired(&c->d, kind), 1);
		failing_disarm(&c->d);
		clean_failed(c);
		ck_assert_uint_eq(nr_failed(c), 0);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_survives(c);
	}
}

CASE(writes_go_on_failing, "H12 O12", "Each try is told anew, until the device takes it")
{
	refuse_writes("eio_write_persistent", -EIO);
}

CASE(a_device_turns_read_only, "H12 O12", "-EROFS; once it takes writes again all is well")
{
	refuse_writes("read_only", -EROFS);
}

CASE(a_device_is_removed, "H12 O12",
     "-ENODEV for each frame that is not there, and for all after; what is in memory is written "
     "when the device is back")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = cleaner_new(seed, FAILING_PRESETS);

		failing_arm(&c->d, "at write nth=%u kind=removed", 1 + failing_draw(&c->d, RUNS));
		clean_runs(c);
		ck_assert_uint_eq(failing_fired(&c->d, "removed"), 1);
		ck_assert_uint_gt(nr_failed(c), 0);
		all_told(c, -ENODEV);
		ck_assert_int_eq(flat_sync(c->f), -ENODEV);
		ck_assert_int_eq(iomap_file_check_error(&c->f->file), 0);
		ck_assert_int_eq(iomap_file_check_error(&c->other), -ENODEV);
		clean_all(c);
		ck_assert_uint_eq(nr_failed(c), NR_FRAMES);
		all_told(c, -ENODEV);
		ck_assert_int_eq(flat_sync(c->f), -ENODEV);
		failing_cut(&c->d, c->f->bdev);		/* the host stays up */
		ck_assert_int_eq(iomap_sim_power_on(c->d.w.sim), 0);
		clean_failed(c);
		ck_assert_uint_eq(nr_failed(c), 0);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_survives(c);
	}
}

/* ---- flushes that fail ---- */

static void fail_flush(uint64_t seed, const char *kind, int error)
{
	struct cleaner *c = cleaner_new(seed, FAILING_CACHED);

	clean_runs(c);
	failing_arm(&c->d, "at flush kind=%s", kind);
	ck_assert_int_eq(flat_sync(c->f), error);
	ck_assert_uint_eq(failing_fired(&c->d, kind), 1);
	ck_assert_uint_eq(nr_failed(c), 0);		/* told before, and not any more */
	ck_assert_int_eq(flat_sync(c->f), 0);
	ck_assert_int_eq(iomap_file_sync(&c->other, 0, IOMAP_MAX_POS, false), error);
	ck_assert_int_eq(iomap_file_sync(&c->other, 0, IOMAP_MAX_POS, false), 0);
	clean_all(c);
	ck_assert_int_eq(flat_sync(c->f), 0);
	cleaner_survives(c);
}

CASE(failed_flush, "H9 O12",
     "The sync says it, not the frames, which were told before; writing all again heals")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++)
		fail_flush(seed, seed % 4 < 2 ? "flush_error" : "flush_error_drops", -EIO);
}

CASE(lost_flush, "H9 O12", "A flush without an answer is a failed one: -ETIMEDOUT")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++)
		fail_flush(seed, "lost", -ETIMEDOUT);
}

/* Nothing is handed over again; a sync, which has told all it had to tell, is good; a power cut. */
static struct seen flush_again(const char *kind)
{
	struct seen seen = { 0 };

	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = cleaner_new(seed, FAILING_CACHED);

		clean_runs(c);
		failing_arm(&c->d, "at flush kind=%s", kind);
		ck_assert_int_eq(flat_sync(c->f), -EIO);
		ck_assert_uint_eq(failing_fired(&c->d, kind), 1);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_dies(c);
		for (unsigned i = 0; i < NR_FRAMES; i++) {
			const uint8_t *mem = read_frame(c->d.w.bdev, i);

			for (unsigned at = 0; is_in_run(i) && at < FRAME; at += 512)
				see(&seen, (char)mem[at], (char)c->old[i], (char)c->letter[i]);
		}
		failing_delete(&c->d);
	}
	return seen;
}

CASE(a_good_flush_heals_nobody, "H9",
     "The device forgot what it had: frames that were told well may be lost, and the sync said so")
{
	struct seen seen = flush_again("flush_error_drops");

	ck_assert_both(seen);
}

CASE(the_next_sync_flushes_again, "O17", "What a failed flush left in the cache is covered")
{
	struct seen seen = flush_again("flush_error");

	ck_assert_uint_eq(seen.old, 0);
	ck_assert_uint_gt(seen.new, 0);
}

/* ---- reads that fail ---- */

/* A page writer reads its frames by itself. */
static int read_in(struct cleaner *c, unsigned i)
{
	return t_io(c->f->bdev, IOMAP_BIO_READ, i * FRAME, t_buffer(FRAME, 0), FRAME, 0);
}

static void fail_read(const char *kind, int error)
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = cleaner_new(seed, FAILING_PRESETS);
		unsigned i = failing_draw(&c->d, NR_FRAMES);

		failing_arm(&c->d, "at read addr=%u..%u kind=%s", i * FRAME, (i + 1) * FRAME - 1,
			    kind);
		ck_assert_int_eq(read_in(c, i), error);
		ck_assert_uint_eq(failing_fired(&c->d, kind), 1);
		check_frame(c, c->f->bdev, i);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_survives(c);
	}
}

CASE(a_read_fails, "", "-EIO, and it is right the next time; it is nothing that a sync says")
{
	fail_read("eio_read", -EIO);
}

CASE(a_read_is_lost, "", "-ETIMEDOUT, and it is right the next time")
{
	fail_read("lost", -ETIMEDOUT);
}

CASE(a_frame_cannot_be_read, "", "-EIO each time, and for no other; the cleaner's write mends it")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = cleaner_new(seed, FAILING_PRESETS);
		unsigned bad = failing_draw(&c->d, NR_FRAMES);

		failing_arm(&c->d, "at read addr=%u kind=eio_read_until_written",
			    bad * FRAME + failing_draw(&c->d, FRAME));
		for (unsigned n = 0; n < 2; n++)
			for (unsigned i = 0; i < NR_FRAMES; i++)
				ck_assert_int_eq(read_in(c, i), i == bad ? -EIO : 0);
		ck_assert_uint_eq(failing_fired(&c->d, "eio_read_until_written"), 2);
		change(c, bad);
		clean_all(c);
		ck_assert_uint_eq(nr_failed(c), 0);
		check_frame(c, c->f->bdev, bad);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_survives(c);
	}
}

/* ---- nothing to be heard of ---- */

static void unnoticed(const struct quiet *q)
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = cleaner_new(seed, FAILING_PRESETS);
		int64_t before = iomap_sim_now_ns(c->d.w.sim);

		quiet_arm(&c->d, q, RUNS);
		clean_runs(c);
		ck_assert_uint_eq(nr_failed(c), 0);
		ck_assert_int_eq(flat_sync(c->f), 0);
		for (unsigned i = 0; i < NR_FRAMES; i++)
			check_frame(c, c->f->bdev, i);
		ck_assert_uint_gt(failing_fired(&c->d, q->kind), 0);
		ck_assert_int_ge(iomap_sim_now_ns(c->d.w.sim) - before, q->ns);
		ck_assert_int_eq(iomap_file_check_error(&c->other), 0);
		cleaner_survives(c);
	}
}

CASE(a_queue_is_busy, "H12 O1", "The command comes again: no error, each frame told once")
{
	unnoticed(&quiet_busy);
}

CASE(a_batch_is_taken_in_part, "H12 O1", "What was refused comes again")
{
	unnoticed(&quiet_batch);
}

CASE(a_command_is_slow, "H12 O1", "Who needs it waits for it")
{
	unnoticed(&quiet_slow);
}

CASE(a_command_times_out_and_completes, "H12 O1", "Late by 30 seconds, and told then")
{
	unnoticed(&quiet_timeout);
}

CASE(an_end_is_heard_of_late, "H12 O1", "After those behind it, on an ordered device too")
{
	unnoticed(&quiet_reordered);
}

CASE(a_read_is_short, "H12 O1", "The rest comes a moment later")
{
	unnoticed(&quiet_short_read);
}

CASE(a_write_is_short, "H12 O1", "The rest goes a moment later, and is as durable")
{
	unnoticed(&quiet_short_write);
}

CASE(a_command_moves_nothing_at_first, "H12 O1", "All of it goes a moment later")
{
	unnoticed(&quiet_zero_length);
}

/* ---- in the middle of an ioend ---- */

/* All frames are one ioend: eight requests of two. */
static struct cleaner *all_changed(uint64_t seed)
{
	struct cleaner *c = cleaner_new(seed, FAILING_PRESETS);

	for (unsigned i = 0; i < NR_FRAMES; i++)
		change(c, i);
	flat_forget(c->f);
	return c;
}

static uint64_t byte_of(struct cleaner *c, unsigned frame)
{
	return frame * FRAME + failing_draw(&c->d, FRAME);
}

CASE(eio_in_the_middle_of_an_ioend, "H12 O12 O18",
     "Two requests of eight fail: their frames hear their own error, the others are written")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = all_changed(seed);
		unsigned eio = PIECE + failing_draw(&c->d, 6), full = 8 + failing_draw(&c->d, 6);
		int first;

		failing_arm(&c->d, "at write addr=%llu kind=eio_write;"
			    "at write addr=%llu kind=enospc",
			    (unsigned long long)byte_of(c, eio),
			    (unsigned long long)byte_of(c, full));
		clean_all(c);
		ck_assert_uint_eq(c->f->nr_submits, 1);
		ck_assert_uint_eq(failing_fired(&c->d, "eio_write"), 1);
		ck_assert_uint_eq(failing_fired(&c->d, "enospc"), 1);
		for (unsigned i = 0; i < NR_FRAMES; i++) {
			ck_assert_int_eq(c->error[i], i / PIECE == eio / PIECE ? -EIO :
						      i / PIECE == full / PIECE ? -ENOSPC : 0);
			if (!c->error[i])
				check_frame(c, c->f->bdev, i);
		}
		first = flat_sync(c->f);
		if (seed % FAILING_PRESETS == FAILING_FIFO)
			ck_assert_int_eq(first, -EIO);
		ck_assert(first == -EIO || first == -ENOSPC);
		ck_assert_int_eq(flat_sync(c->f), 0);
		ck_assert_int_eq(iomap_file_check_error(&c->other), first);
		ck_assert_int_eq(iomap_file_check_error(&c->other), 0);
		clean_failed(c);
		ck_assert_uint_eq(nr_failed(c), 0);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_survives(c);
	}
}

CASE(one_bad_frame_alone, "H12",
     "ISOLATE: the request is sent again frame by frame, and only the one with the bad page fails")
{
	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct cleaner *c = all_changed(seed);
		unsigned bad = PIECE + failing_draw(&c->d, NR_FRAMES - 2 * PIECE);

		c->f->wbc.flags = IOMAP_WB_ISOLATE;
		failing_arm(&c->d, "at write addr=%llu kind=eio_write_persistent",
			    (unsigned long long)byte_of(c, bad));
		clean_all(c);
		ck_assert_uint_eq(c->f->nr_submits, 1);
		ck_assert_uint_eq(failing_fired(&c->d, "eio_write_persistent"), 2);
		for (unsigned i = 0; i < NR_FRAMES; i++) {
			ck_assert_int_eq(c->error[i], i == bad ? -EIO : 0);
			if (!c->error[i])
				check_frame(c, c->f->bdev, i);
		}
		sync_says_once(c, -EIO);
		failing_disarm(&c->d);
		clean_failed(c);
		ck_assert_uint_eq(nr_failed(c), 0);
		ck_assert_int_eq(flat_sync(c->f), 0);
		cleaner_survives(c);
	}
}

MAIN()
