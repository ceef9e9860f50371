/* SPDX-License-Identifier: MIT */
/*
 * Frames under real threads: cleaners that share a pool of ioends, a log that holds some of them,
 * threads that come, reap for a while and go.  Every queued frame is told exactly once, with the
 * content that was sent, and nobody sleeps for ever.
 */
#include "harness/devices.h"
#include "harness/thread.h"
#include "model/flat.h"

#define NR_FRAMES	256u
#define FRAME		4096u
#define NR_CLEANERS	2u
#define ROUNDS		30u
#define BAD		77u

/* One per frame; busy is the cleaners' agreement, the rest belongs to whoever made it busy. */
struct state {
	iomap_word busy;
	uint32_t queued, told, failed;
};
struct house {
	struct flat *f;
	struct state frames[NR_FRAMES];
	struct iomap_ioq *ioqs[NR_CLEANERS];
	/* ioends that wait for the log */
	pthread_mutex_t lock;
	struct iomap_list held;
	iomap_word moved;		/* bumped when the log lets one go */
	iomap_word stop;
	unsigned nr_hooks;
	bool with_log, isolate;
};
static struct house house;

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	if (!wpc->iomap.length)
		wpc->iomap = (struct iomap){
			.type = IOMAP_MAPPED, .bdev = wpc->inode->bdev, .length = 32 << 20,
		};
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

/* Every third waits for the log, the others go at once. */
static int submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend;

	if (!house.with_log || __atomic_add_fetch(&house.nr_hooks, 1, __ATOMIC_RELAXED) % 3)
		return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
	ioend = iomap_ioend_take(wpc, wb_ctx);
	pthread_mutex_lock(&house.lock);
	iomap_list_add_tail(&house.held, &ioend->list);
	pthread_mutex_unlock(&house.lock);
	return 0;
}

static void folio_written(struct iomap_folio *folio, int error)
{
	struct state *s = folio->owner;

	s->told++;
	s->failed += error != 0;
	iomap_folio_fini(folio);
	__atomic_store_n(&s->busy, 0, __ATOMIC_RELEASE);
}

static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = range, .writeback_submit = submit,
};

/* ---- threads ---- */

static bool log_step(void)
{
	struct iomap_list *l;

	pthread_mutex_lock(&house.lock);
	l = iomap_list_pop(&house.held);
	pthread_mutex_unlock(&house.lock);
	if (!l)
		return false;
	iomap_ioend_submit(iomap_container_of(l, struct iomap_ioend, list), 0);
	__atomic_add_fetch(&house.moved, 1, __ATOMIC_RELEASE);
	iomap_env_wake(house.f->t.env, &house.moved, UINT32_MAX);
	return true;
}

static void *log_thread(void *arg)
{
	struct timespec pause = { .tv_nsec = 50000 };

	(void)arg;
	while (!__atomic_load_n(&house.stop, __ATOMIC_ACQUIRE))
		if (!log_step())
			nanosleep(&pause, NULL);
	while (log_step())
		;
	return NULL;
}

static void *guest(void *arg)
{
	struct iomap_env *env = house.f->t.env;
	unsigned i = (unsigned)(uintptr_t)arg;

	for (unsigned n = 0; n < 20; n++) {
		iomap_ioq_poll(house.ioqs[(i + n) % NR_CLEANERS], 0, 4, 0);
		iomap_env_run_work(env, IOMAP_WORK_IOEND, 1);
		iomap_inode_wait_wb(&house.f->inode, iomap_inode_wb_seq(&house.f->inode), 100000);
	}
	return NULL;
}

static void *guests_thread(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&house.stop, __ATOMIC_ACQUIRE)) {
		pthread_t some[3];

		for (unsigned i = 0; i < 3; i++)
			some[i] = t_thread(guest, (void *)(uintptr_t)i);
		for (unsigned i = 0; i < 3; i++)
			pthread_join(some[i], NULL);
	}
	return NULL;
}

static int reserve(struct iomap_writeback_ctx *wpc)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&house.moved, __ATOMIC_ACQUIRE);
		int rc = iomap_writeback_reserve(wpc, 2);

		if (rc != -EAGAIN)
			return rc;
		/* all are held: the log has to move */
		rc = iomap_env_wait(house.f->t.env, &house.moved, seen, IOMAP_FOREVER);
		if (rc)
			return rc;
	}
}

static void clean(struct iomap_writeback_ctx *wpc, struct iomap_folio *folios, unsigned i)
{
	struct state *s = &house.frames[i];
	uint32_t idle = 0;

	ck_assert_int_eq(reserve(wpc), 0);
	if (!__atomic_compare_exchange_n(&s->busy, &idle, 1, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;			/* the other cleaner has it */
	iomap_folio_init(&folios[i], &house.f->inode, (int64_t)i * FRAME,
			 house.f->frame_mem + (size_t)i * FRAME, FRAME, s);
	iomap_folio_mark_dirty(&folios[i], 0, FRAME);
	s->queued++;
	ck_assert_int_eq(iomap_writeback_folio(wpc, &folios[i]), 0);
}

static void *cleaner(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct iomap_folio *folios = calloc(NR_FRAMES, sizeof(*folios));
	uint64_t seed = me;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct iomap_writeback_control wbc = {
			.struct_size = sizeof(wbc), .ioq = house.ioqs[me],
			.flags = house.isolate ? IOMAP_WB_ISOLATE : 0,
			.max_ioend_bytes = FRAME << t_rand(&seed) % 4,
		};
		struct iomap_writeback_ctx wpc = {
			.inode = &house.f->inode, .wbc = &wbc, .ops = &wb_ops,
		};
		struct iomap_plug plug;

		iomap_plug_start(&plug, house.f->t.env);
		for (unsigned i = 0; i < NR_FRAMES; i++)
			if (t_rand(&seed) % 3)
				clean(&wpc, folios, i);
		ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
		iomap_plug_end(&plug);
		/* what this round queued is told before the folios are used again */
		ck_assert_int_eq(iomap_inode_wait_wb(&house.f->inode,
						     iomap_inode_wb_seq(&house.f->inode),
						     IOMAP_FOREVER), 0);
	}
	free(folios);
	return NULL;
}

static void open_house(const char *dev, bool with_log, bool isolate)
{
	memset(&house, 0, sizeof(house));
	pthread_mutex_init(&house.lock, NULL);
	iomap_list_init(&house.held);
	house.with_log = with_log;
	house.isolate = isolate;
	house.f = flat_new(&(struct flat_opts){
		.dev = dev, .frames = NR_FRAMES, .frame_size = FRAME, .no_complete = true,
		.env.nr_ioends = 16,
	});
	house.f->inode_ops.folio_written = folio_written;
	house.ioqs[0] = house.f->ioq;
	ck_assert_int_eq(iomap_ioq_new(house.f->t.env, NULL, &house.ioqs[1]), 0);
	ck_assert_int_eq(iomap_bdev_attach(house.f->bdev, house.ioqs[1]), 0);
}

static void run(void)
{
	pthread_t cleaners[NR_CLEANERS], guests, logger;

	guests = t_thread(guests_thread, NULL);
	logger = t_thread(log_thread, NULL);
	for (unsigned i = 0; i < NR_CLEANERS; i++)
		cleaners[i] = t_thread(cleaner, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < NR_CLEANERS; i++)
		t_join_within(cleaners[i], 20);
	__atomic_store_n(&house.stop, 1, __ATOMIC_RELEASE);
	t_join_within(guests, 20);
	t_join_within(logger, 20);
	flat_settle(house.f);
}

static void stop(void)
{
	struct iomap_bdev *bdev = house.f->bdev;

	/* the second queue serves the device until it is closed */
	ck_assert_int_eq(iomap_inode_evict(&house.f->inode, IOMAP_EVICT_DISCARD, NULL), 0);
	iomap_file_close(&house.f->file);
	iomap_inode_fini(&house.f->inode);
	iomap_bdev_close(&bdev);
	iomap_ioq_delete(&house.ioqs[1]);
	iomap_ioq_delete(&house.f->ioq);
	t_env_stop(&house.f->t);
	free(house.f->frames);
	free(house.f->frame_mem);
	free(house.f);
}

static void all_told_once(void)
{
	uint64_t queued = 0;

	for (unsigned i = 0; i < NR_FRAMES; i++) {
		const struct state *s = &house.frames[i];

		ck_assert_msg(s->queued == s->told, "frame %u: queued %u times, told %u", i,
			      s->queued, s->told);
		queued += s->queued;
	}
	ck_assert_uint_ge(queued, NR_FRAMES);
}

static void none_failed(void)
{
	for (unsigned i = 0; i < NR_FRAMES; i++)
		ck_assert_uint_eq(house.frames[i].failed, 0);
}

CASE_TIMEOUT(two_cleaners, "H12 H14",
     "Two cleaners on two rings, guests that reap: each frame is told once", 60)
{
	open_house("mem:flat,size=64m", false, false);
	run();
	all_told_once();
	none_failed();
	for (unsigned i = 0; i < NR_FRAMES; i++)
		ck_assert_int_eq(t_mem_data(house.f->mem)[i * FRAME], 'a' + (int)(i % 26));
	stop();
}

CASE_TIMEOUT(a_log_holds_some, "H12 H13 H14",
     "Every third ioend is held by the log for a while", 60)
{
	open_house("mem:flat,size=64m", true, false);
	run();
	all_told_once();
	none_failed();
	stop();
}

/* Each frame lies where it belongs. */
static void frames_are_there(void)
{
	uint8_t *mem = t_buffer(FRAME, 0);

	for (unsigned i = 0; i < NR_FRAMES; i++) {
		ck_assert_int_eq(t_io(house.f->bdev, IOMAP_BIO_READ, (uint64_t)i * FRAME, mem,
				      FRAME, 0), 0);
		ck_assert_int_eq(mem[0], 'a' + (int)(i % 26));
		ck_assert(!memcmp(mem, mem + 1, FRAME - 1));
	}
}

CASE_TIMEOUT(over_real_devices, "H12 H14",
	     "The same with files: in place, by asynchronous I/O, by rings", 90)
{
	static const enum t_device_kind kinds[] = { T_FILE, T_AIO, T_URING };
	char spec[256];

	for (unsigned i = 0; i < 3; i++) {
		if (t_device_spec(kinds[i], spec, sizeof(spec))) {
			open_house(spec, true, i == 1);
			t_temp_remove();
			run();
			all_told_once();
			none_failed();
			frames_are_there();
			stop();
		}
		t_temp_remove();
	}
}

CASE_TIMEOUT(a_bad_sector, "H12",
     "One sector is bad for good: only its frame fails, each time it is sent", 60)
{
	open_house("mem:flat,size=64m,max=16384", true, true);
	t_mem_fail(house.f->mem, IOMAP_BIO_WRITE, 1, 1000000, -EIO, BAD * FRAME);
	run();
	all_told_once();
	for (unsigned i = 0; i < NR_FRAMES; i++)
		ck_assert_uint_eq(house.frames[i].failed, i == BAD ? house.frames[i].told : 0);
	ck_assert_int_eq(iomap_file_check_error(&house.f->file), -EIO);
	stop();
}

MAIN()
