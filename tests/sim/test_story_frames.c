/* SPDX-License-Identifier: MIT */
/*
 * test_story_frames.c - a page cleaner and its log, and power that goes at any event.
 *
 * A file of frames on one device, a log on another, both without power at the same moment.  Each
 * change of a frame has a number; the log promises numbers, and a write of frames is held until the
 * log is that far (page_writer's rule).  Each sector of a frame bears the frame's index and number,
 * so that after a cut the devices tell what is there: nothing older than the last successful sync,
 * and nothing newer than the log.
 */
#include "model/flat.h"
#include "model/model.h"
#include "sim/world.h"

#define FRAME		16384u
#define NR_FRAMES	16u
#define SECTOR		512u
#define MAX_LSN		4096u
#define LOG_BLOCKS	256u
#define MAX_EVENTS	300u
#define MAGIC		0x7374616d706564u

/* As in test_story.c. */
#ifdef NDEBUG
#define CUTS		20000u
#else
#define CUTS		(t_sanitized() ? 100u : 500u)
#endif

struct stamp {				/* at the start of each sector */
	uint64_t magic, number, lsn;	/* number: of a frame's sector; the log's are 0 */
};
struct wal {
	struct iomap_bdev *bdev;
	struct iomap_bio bio;
	struct iomap_bvec seg;
	struct iomap_list held;		/* ioends ahead of the log */
	uint64_t promised, writing, durable;	/* numbers; writing 0: no write is on its way */
	unsigned nr_blocks;
	int error;
	_Alignas(4096) uint8_t block[PAGE];
};
struct run {
	struct world w;
	struct flat *f;
	struct wal wal;
	const char *preset;
	uint64_t seed, random;
	uint64_t lsn[NR_FRAMES], acked[NR_FRAMES];	/* in memory; at the last sync */
	uint8_t frame_of[MAX_LSN];
	bool busy[NR_FRAMES];
	unsigned nr_syncs, nr_held;
};
struct sums {				/* of all runs; old, newer: sectors of frames not synced */
	uint64_t syncs, cut_syncs, held, old, newer, shorn;
};
static struct run run;

static uint32_t draw(uint32_t n)
{
	return (uint32_t)(t_rand(&run.random) % n);
}

/* ---- the log ---- */

static void stamp(uint8_t *mem, uint64_t number, uint64_t lsn)
{
	const struct stamp s = { MAGIC, number, lsn };

	memcpy(mem, &s, sizeof(s));
}

static struct stamp stamp_of(const uint8_t *mem)
{
	struct stamp s;

	memcpy(&s, mem, sizeof(s));
	return s;
}

/* The rule, at every submit: no page goes out before what it was changed by. */
static void send(struct iomap_ioend *ioend)
{
	uint64_t newest = 0;

	for (uint32_t i = 0; i < ioend->bio.nr_segs; i++)
		for (size_t at = 0; at < ioend->bio.segs[i].len; at += SECTOR) {
			uint64_t lsn = stamp_of((uint8_t *)ioend->bio.segs[i].mem + at).lsn;

			newest = lsn > newest ? lsn : newest;
		}
	ck_assert(newest <= run.wal.durable || run.wal.error);
	iomap_ioend_submit(ioend, run.wal.error);
}

static void log_written(struct iomap_bio *bio);

static void log_go_on(void)
{
	struct wal *wal = &run.wal;
	struct iomap_list *l = wal->held.next, *next;

	for (; l != &wal->held; l = next) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		next = l->next;
		if (!wal->error && ioend->client_max > wal->durable)
			continue;
		iomap_list_del(l);
		send(ioend);
	}
	if (wal->writing || iomap_list_empty(&wal->held))
		return;
	wal->writing = wal->promised;
	for (unsigned at = 0; at < PAGE; at += SECTOR)
		stamp(wal->block + at, 0, wal->writing);
	iomap_bio_init(&wal->bio, wal->bdev, IOMAP_BIO_WRITE, (uint64_t)wal->nr_blocks++ * PAGE,
		       &wal->seg, 1);
	ck_assert_int_eq(iomap_bio_add(&wal->bio, wal->block, PAGE, NULL), 0);
	wal->bio.flags = IOMAP_BIO_FUA;
	wal->bio.end_io = log_written;
	iomap_bio_submit(&wal->bio);
}

static void log_written(struct iomap_bio *bio)
{
	run.wal.error = bio->status;
	if (!bio->status)
		run.wal.durable = run.wal.writing;
	run.wal.writing = 0;
	log_go_on();
}

/* ---- the cleaner ---- */

static int64_t range(struct flat *f, struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
		     int64_t pos, uint64_t len, int64_t end_pos)
{
	uint64_t lsn = run.lsn[folio->pos / FRAME];
	int64_t done = flat_range_default(f, wpc, folio, pos, len, end_pos);
	struct iomap_ioend *ioend = done > 0 ? iomap_ioend_pending(wpc) : NULL;

	if (ioend && ioend->client_max < lsn)
		ioend->client_max = lsn;
	return done;
}

static int submit(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx);

	(void)f;
	if (error) {
		iomap_ioend_submit(ioend, error);
		return error;
	}
	run.nr_held += ioend->client_max > run.wal.durable;
	iomap_list_add_tail(&run.wal.held, &ioend->list);
	log_go_on();
	return 0;
}

static void on_written(struct flat *f, struct iomap_folio *folio, int error)
{
	(void)f;
	ck_assert(!error || iomap_sim_is_off(run.w.sim));
	run.busy[folio->pos / FRAME] = false;
	iomap_folio_fini(folio);
}

static void change(unsigned i)
{
	uint8_t *mem = run.f->frame_mem + (size_t)i * FRAME;

	run.lsn[i] = ++run.wal.promised;
	ck_assert_uint_lt(run.lsn[i], MAX_LSN);
	run.frame_of[run.lsn[i]] = (uint8_t)i;
	for (unsigned at = 0; at < FRAME; at += SECTOR)
		stamp(mem + at, i * (FRAME / SECTOR) + at / SECTOR, run.lsn[i]);
}

/* A frame stays as it is until it was written: there are no copies. */
static void clean(unsigned first, unsigned nr)
{
	struct iomap_writeback_ctx wpc;
	int rc = 0;

	flat_wpc(run.f, &wpc);
	for (unsigned i = first; !rc && i < first + nr && i < NR_FRAMES; i++) {
		while ((rc = iomap_writeback_reserve(&wpc, 2)) == -EAGAIN)
			iomap_ioq_poll(run.f->ioq, 1, 64, IOMAP_FOREVER);
		if (rc || run.busy[i])
			continue;
		change(i);
		run.busy[i] = true;
		rc = flat_frame(run.f, &wpc, i);
		if (rc) {
			run.busy[i] = false;
			iomap_folio_fini(&run.f->frames[i]);
		}
	}
	if (!rc)
		rc = iomap_writeback_finish(&wpc, 0);
	else
		iomap_writeback_finish(&wpc, rc);
	ck_assert(!rc || iomap_sim_is_off(run.w.sim));
}

static int sync_all(void)
{
	int rc = flat_sync(run.f);

	ck_assert(!rc || iomap_sim_is_off(run.w.sim));
	if (rc)
		return rc;
	memcpy(run.acked, run.lsn, sizeof(run.acked));
	run.nr_syncs++;
	return 0;
}

/* ---- until power goes ---- */

static void start(void)
{
	struct flat_opts opts = {
		.dev = "sim:disk", .frames = NR_FRAMES, .frame_size = FRAME,
	};

	opts.env.struct_size = sizeof(opts.env);
	iomap_sim_env_opts(run.w.sim, &opts.env);
	run.f = flat_new(&opts);
	run.f->wbc.grain = FRAME;
	run.f->range = range;
	run.f->submit = submit;
	run.f->on_written = on_written;
	iomap_list_init(&run.wal.held);
	ck_assert_int_eq(iomap_bdev_open(run.f->ioq, "sim:log", NULL, &run.wal.bdev), 0);
	clean(0, NR_FRAMES);
	ck_assert_int_eq(sync_all(), 0);
}

static bool work(void)
{
	while (!iomap_sim_is_off(run.w.sim))
		switch (draw(8)) {
		case 0:
			if (sync_all())
				return true;
			break;
		case 1:
			iomap_ioq_poll(run.f->ioq, 0, 1 + draw(4), 0);
			break;
		default:
			clean(draw(NR_FRAMES), 1 + draw(6));
		}
	return false;
}

static void throw_away(void)
{
	flat_settle(run.f);
	while (run.wal.writing)
		iomap_ioq_poll(run.f->ioq, 1, 64, IOMAP_FOREVER);
	iomap_bdev_close(&run.wal.bdev);
	flat_delete(&run.f);
}

/* ---- after it ---- */

/* The number up to which the log promises; a record counts when it is whole. */
static uint64_t recovered(struct iomap_bdev *log, uint8_t *mem)
{
	uint64_t last = 0;

	for (unsigned b = 0; b < run.wal.nr_blocks; b++) {
		uint64_t lsn;
		bool whole = true;

		world_read_what_is_left(log, (uint64_t)b * PAGE, mem, PAGE,
					iomap_sim_preset(run.preset));
		lsn = stamp_of(mem).lsn;
		for (unsigned at = 0; at < PAGE; at += SECTOR)
			whole &= stamp_of(mem + at).magic == MAGIC && stamp_of(mem + at).lsn == lsn;
		if (whole && lsn > last)
			last = lsn;
	}
	return last;
}

/* What is wrong with it, or NULL: an assertion for each sector would take most of the time. */
static const char *check_sector(unsigned i, uint64_t number, uint64_t logged, const uint8_t *got,
				struct sums *sums)
{
	bool shorn = iomap_sim_preset(run.preset)->shorn_sectors, sent = run.lsn[i] > run.acked[i];
	struct stamp s = stamp_of(got);

	if (s.magic != MAGIC && shorn && sent) {	/* it was perhaps being written */
		sums->shorn++;
		return NULL;
	}
	if (s.magic != MAGIC || s.number != number)
		return "what nobody wrote there";
	if (s.lsn < run.acked[i])
		return "older than the last sync";
	if (s.lsn > logged)
		return "ahead of the log";
	if (s.lsn >= MAX_LSN || run.frame_of[s.lsn] != i)
		return "of a number that is another frame's";
	sums->old += sent && s.lsn == run.acked[i];
	sums->newer += s.lsn > run.acked[i];
	return NULL;
}

static void check_frame(unsigned i, uint64_t logged, const uint8_t *got, struct sums *sums)
{
	for (unsigned k = 0; k < FRAME / SECTOR; k++) {
		const char *wrong = check_sector(i, i * (FRAME / SECTOR) + k, logged,
						 got + k * SECTOR, sums);

		if (wrong)
			ck_abort_msg("%s, seed %llu: frame %u, sector %u is %s", run.preset,
				     (unsigned long long)run.seed, i, k, wrong);
	}
}

static void check(struct sums *sums)
{
	static uint8_t *mem;
	struct iomap_bdev *log;
	uint64_t logged;

	if (!mem)
		mem = t_buffer(FRAME, 0);
	ck_assert_int_eq(iomap_sim_power_on(run.w.sim), 0);
	world_plug_in(&run.w);
	ck_assert_int_eq(iomap_bdev_open(run.w.ioq, "sim:log", NULL, &log), 0);
	logged = recovered(log, mem);
	ck_assert_uint_ge(logged, run.wal.durable);
	for (unsigned i = 0; i < NR_FRAMES; i++) {
		world_read_what_is_left(run.w.bdev, (uint64_t)i * FRAME, mem, FRAME,
					iomap_sim_preset(run.preset));
		check_frame(i, logged, mem, sums);
	}
	iomap_bdev_close(&log);
	world_unplug(&run.w);
}

static void one_run(const char *preset, uint64_t seed, struct sums *sums)
{
	const struct iomap_sim_dev devs[2] = {
		{ .name = "disk", .preset = preset, .size = 64 << 20 },
		{ .name = "log", .preset = preset, .size = LOG_BLOCKS * PAGE },
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = seed, .devs = devs, .nr_devs = 2,
	};

	run = (struct run){ .preset = preset, .seed = seed, .random = seed };
	ck_assert_int_eq(iomap_sim_new(&opts, &run.w.sim), 0);
	start();
	ck_assert_int_eq(iomap_sim_cut_at(run.w.sim, 1 + draw(MAX_EVENTS)), 0);
	sums->cut_syncs += work();
	throw_away();
	check(sums);
	sums->syncs += run.nr_syncs;
	sums->held += run.nr_held;
	ck_assert_int_eq(iomap_sim_hazards(run.w.sim, "disk"), 0);
	iomap_sim_delete(&run.w.sim);
}

static void story(const char *preset)
{
	struct sums sums = { 0 };

	for (uint64_t seed = 1; seed <= CUTS; seed++)
		one_run(preset, seed, &sums);
	/* Nothing of this is worth anything if power never goes where it hurts. */
	ck_assert_uint_gt(sums.syncs, 2 * CUTS);
	ck_assert_uint_gt(sums.cut_syncs, CUTS / 8);
	ck_assert_uint_gt(sums.held, CUTS);
	ck_assert_uint_gt(sums.old, CUTS);
	ck_assert_uint_gt(sums.newer, CUTS);
	ck_assert((sums.shorn != 0) == iomap_sim_preset(preset)->shorn_sectors);
}

CASE_TIMEOUT(plp, "O1 O47", "Frames where completed writes are durable", 100)
{
	story("plp");
}

CASE_TIMEOUT(consumer, "O1 O47", "Frames on a drive with a cache", 100)
{
	story("consumer");
}

CASE_TIMEOUT(atomic16k, "O1 O47", "Frames where 16 KiB do not tear", 100)
{
	story("atomic16k");
}

CASE_TIMEOUT(sata512e, "O1 O47", "Frames that tear at sectors, a device without FUA", 100)
{
	story("sata512e");
}

CASE_TIMEOUT(multiqueue, "O1 O47", "Frames on a drive with many queues", 100)
{
	story("multiqueue");
}

CASE_TIMEOUT(cruel, "O1 O47", "Frames where all that is allowed happens", 100)
{
	story("cruel");
}

CASE_TIMEOUT(fifo, "O1 O47", "Frames on a drive that keeps the order", 100)
{
	story("fifo");
}

MAIN()
