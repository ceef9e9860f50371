/* SPDX-License-Identifier: MIT */
/*
 * test_folio.c - one folio: its lock, dirty, writeback, failed; cached ones and frames.
 */
#include "unit/cache_fixture.h"
#include "harness/thread.h"

#include <unistd.h>

/* ---- the lock ---- */

struct locker {
	struct iomap_folio *folio;
	unsigned *count;		/* under the folio lock */
	unsigned rounds;
};

static void *lock_and_count(void *arg)
{
	struct locker *l = arg;

	for (unsigned i = 0; i < l->rounds; i++) {
		iomap_folio_lock(l->folio);
		++*l->count;
		iomap_folio_unlock(l->folio);
	}
	return NULL;
}

CASE(lock_excludes_and_wakes, "", "Four threads count under one folio lock; none is left asleep")
{
	struct iomap_folio *folio;
	pthread_t threads[4];
	unsigned count = 0;
	struct locker l;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, PAGE);
	l = (struct locker){ folio, &count, 5000 };
	for (int i = 0; i < 4; i++)
		threads[i] = t_thread(lock_and_count, &l);
	usleep(2000);		/* so that they find it locked */
	count++;
	iomap_folio_unlock(folio);
	for (int i = 0; i < 4; i++)
		t_join(threads[i]);
	ck_assert_uint_eq(count, 4 * 5000 + 1);
	ck_assert_uint_eq(iomapi_load(&folio->flags) & IOMAP_FOLIO_LOCKED, 0);
	iomap_folio_put(folio);
	cf_close(&c);
}

CASE(trylock_does_not_wait, "",
     "trylock says whether it has the lock, and the thread's locks are counted")
{
	struct iomap_folio *folio;
	struct iomapi_self *self;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, PAGE);
	self = iomapi_self(c.t.env);
	ck_assert_uint_eq(self->nr_folio_locks, 1);
	ck_assert(!iomap_folio_trylock(folio));
	ck_assert_uint_eq(self->nr_folio_locks, 1);
	iomap_folio_unlock(folio);
	ck_assert_uint_eq(self->nr_folio_locks, 0);
	ck_assert(iomap_folio_trylock(folio));
	ck_assert_uint_eq(self->nr_folio_locks, 1);
	cf_release(folio);
	cf_close(&c);
}

static void *finish_read(void *arg)
{
	struct iomap_folio *folio = arg;

	usleep(2000);
	if (iomapi_folio_sub_read_pending(folio, 0, folio->size, 0))
		iomap_folio_unlock(folio);
	return NULL;
}

CASE(a_read_unlocks_for_its_reader, "",
     "The lock goes over to the read; its last completion, on another thread, lets the next one in")
{
	struct iomap_folio *folio;
	pthread_t thread;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, PAGE);
	ck_assert_int_eq(iomapi_folio_start_read(folio), 0);
	thread = t_thread(finish_read, folio);
	ck_assert(!iomapi_folio_read_queued(c.t.env, folio, 0));
	ck_assert_uint_eq(iomapi_self(c.t.env)->nr_folio_locks, 0);
	iomap_folio_lock(folio);
	ck_assert_uint_eq(iomap_folio_flags(folio), IOMAP_FOLIO_LOCKED | IOMAP_FOLIO_UPTODATE);
	t_join(thread);
	cf_release(folio);
	cf_close(&c);
}

/* ---- dirty and writeback of cached folios ---- */

CASE(dirty_reaches_mapping_and_client, "",
     "The first dirty folio is told to the client; flag, tag and bytes agree")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	t_env_trace(&c.t);
	folio = cf_get(&c, 8 * PAGE, 4 * PAGE);
	ck_assert_uint_eq(folio->size, 4 * PAGE);
	iomapi_folio_set_uptodate(folio, 0, folio->size);
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	iomap_folio_mark_dirty(folio, 100, 0);
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	iomap_folio_mark_dirty(folio, 100, 50);
	ck_assert(iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	ck_assert_uint_eq(cf_stats(&c).dirty, 4 * PAGE);
	ck_assert_uint_eq(c.nr_dirty_inode, 1);
	iomap_folio_mark_dirty(folio, 3 * PAGE, PAGE);
	ck_assert_uint_eq(cf_stats(&c).dirty, 4 * PAGE);
	cf_release(folio);
	cf_dirty(&c, 0, PAGE);
	ck_assert_uint_eq(c.nr_dirty_inode, 1);
	ck_assert_uint_eq(cf_stats(&c).dirty, 5 * PAGE);
	ck_assert_uint_eq(t_env_count(&c.t, IOMAP_TRACE_FOLIO_DIRTY), 3);
	ck_assert_int_eq(c.t.trace[0].pos, 8 * PAGE + 100);
	ck_assert_uint_eq(c.t.trace[0].len, 50);
	/* Written out and dirtied again: it is news again. */
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&c.inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_uint_eq(cf_stats(&c).dirty, 0);
	cf_dirty(&c, 0, PAGE);
	ck_assert_uint_eq(c.nr_dirty_inode, 2);
	cf_close(&c);
}

CASE(writeback_lasts_until_the_last_byte, "I23",
     "Pending write bytes start at the folio's size; writeback lasts until they are 0")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, 4 * PAGE);
	iomapi_folio_set_uptodate(folio, 0, folio->size);
	iomap_folio_mark_dirty(folio, PAGE, 2 * PAGE);
	ck_assert_uint_eq(folio->write_pending, 0);
	cf_start(folio);
	/* Of the whole folio, though only two of its blocks are dirty. */
	ck_assert_uint_eq(folio->write_pending, 4 * PAGE);
	ck_assert_uint_eq(cf_stats(&c).writeback, 4 * PAGE);
	ck_assert_uint_eq(cf_stats(&c).dirty, 0);
	ck_assert(!iomapi_folio_sub_write_pending(folio, PAGE, 0));
	ck_assert(!iomapi_folio_sub_write_pending(folio, PAGE, 0));
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK);
	ck_assert_int_eq(iomap_folio_wait_writeback(folio, 0), -ETIMEDOUT);
	/* What was not queued. */
	ck_assert(iomapi_folio_sub_write_pending(folio, 2 * PAGE, 0));
	iomapi_folio_end_writeback(folio);
	ck_assert(!(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK));
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_WRITEBACK));
	ck_assert_uint_eq(cf_stats(&c).writeback, 0);
	ck_assert_int_eq(iomap_folio_wait_writeback(folio, 0), 0);
	cf_release(folio);
	cf_close(&c);
}

CASE(mark_in_flight_survives, "I81",
     "A block made dirty after it was taken is dirty when its writeback ends")
{
	struct iomap_folio *folio;
	size_t off = 0, len;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, 2 * PAGE);
	iomapi_folio_set_uptodate(folio, 0, folio->size);
	iomap_folio_mark_dirty(folio, 0, 2 * PAGE);
	cf_start(folio);
	ck_assert(!(iomap_folio_flags(folio) & IOMAP_FOLIO_DIRTY));
	iomap_folio_mark_dirty(folio, PAGE, 1);
	cf_end(folio, 0);
	ck_assert_uint_eq(iomap_folio_flags(folio) & (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK),
			  IOMAP_FOLIO_DIRTY);
	ck_assert(iomapi_mapping_has(&c.inode, IOMAPI_TAG_DIRTY));
	ck_assert(iomapi_folio_next_dirty(folio, &off, folio->size, &len));
	ck_assert_uint_eq(off, PAGE);
	ck_assert_uint_eq(len, PAGE);
	ck_assert_uint_eq(cf_stats(&c).dirty, 2 * PAGE);
	ck_assert_uint_eq(cf_stats(&c).writeback, 0);
	cf_release(folio);
	cf_close(&c);
}

CASE(batch_ends_all, "",
     "Several folios end together: a failed one among them, one that is dirty again")
{
	struct iomap_folio *folios[100];
	struct cf c;

	cf_open(&c, 12);
	t_env_trace(&c.t);
	for (int i = 0; i < 100; i++) {
		folios[i] = cf_get(&c, i * PAGE, PAGE);
		iomapi_folio_set_uptodate(folios[i], 0, PAGE);
		iomap_folio_mark_dirty(folios[i], 0, PAGE);
		cf_start(folios[i]);
		ck_assert(iomapi_folio_sub_write_pending(folios[i], PAGE, i == 70 ? -EIO : 0));
	}
	iomap_folio_mark_dirty(folios[3], 0, PAGE);
	iomapi_folios_end_writeback(folios, 100);
	ck_assert_uint_eq(t_env_count(&c.t, IOMAP_TRACE_FOLIO_WRITTEN), 100);
	for (int i = 0; i < 100; i++) {
		uint32_t flags = iomap_folio_flags(folios[i]);

		ck_assert_int_eq(!!(flags & IOMAP_FOLIO_DIRTY), i == 3);
		ck_assert_int_eq(!!(flags & IOMAP_FOLIO_FAILED), i == 70);
		ck_assert(!(flags & IOMAP_FOLIO_WRITEBACK));
		cf_release(folios[i]);
	}
	ck_assert_uint_eq(cf_stats(&c).writeback, 0);
	ck_assert_uint_eq(cf_stats(&c).failed, PAGE);
	ck_assert_uint_eq(cf_stats(&c).dirty, PAGE);
	cf_close(&c);
}

static void *end_soon(void *arg)
{
	usleep(2000);
	cf_end(arg, 0);
	return NULL;
}

CASE(waiters_of_writeback_wake, "",
     "Who waits for writeback wakes when it ends on another thread; stable pages wait only "
     "where asked")
{
	struct iomap_folio *folio;
	pthread_t thread;
	struct cf c;

	cf_open(&c, 12);
	cf_dirty(&c, 0, PAGE);
	folio = cf_get(&c, 0, PAGE);
	for (int i = 0; i < 3; i++) {
		iomap_folio_mark_dirty(folio, 0, PAGE);
		cf_start(folio);
		c.inode.flags = 0;
		iomap_folio_wait_stable(folio);		/* does not wait: nobody ends it yet */
		ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK);
		thread = t_thread(end_soon, folio);
		c.inode.flags = IOMAP_INODE_STABLE;
		if (i == 0)
			iomap_folio_wait_stable(folio);
		else
			ck_assert_int_eq(iomap_folio_wait_writeback(
				folio, i == 1 ? IOMAP_FOREVER : 60000000000ll), 0);
		ck_assert(!(iomap_folio_flags(folio) & IOMAP_FOLIO_WRITEBACK));
		t_join(thread);
	}
	cf_release(folio);
	cf_close(&c);
}

/* ---- failed ---- */

CASE(failed_writeback_keeps_content, "I85 R36",
     "After a failed write the folio is clean but failed: memory, uptodate and place stay")
{
	struct iomap_folio *folio;
	struct cf c;

	cf_open(&c, 12);
	folio = cf_get(&c, 0, 2 * PAGE);
	memset(folio->mem, 0x5a, 2 * PAGE);
	iomapi_folio_set_uptodate(folio, 0, 2 * PAGE);
	iomap_folio_mark_dirty(folio, 0, 2 * PAGE);
	cf_start(folio);
	ck_assert(!iomapi_folio_sub_write_pending(folio, PAGE, -ENOSPC));
	ck_assert(iomapi_folio_sub_write_pending(folio, PAGE, -EIO));
	iomapi_folio_end_writeback(folio);
	ck_assert_int_eq(folio->error, -ENOSPC);	/* the first */
	cf_release(folio);

	folio = iomapi_mapping_find(&c.inode, PAGE);
	ck_assert_ptr_nonnull(folio);
	ck_assert_uint_eq(iomap_folio_flags(folio), IOMAP_FOLIO_UPTODATE | IOMAP_FOLIO_FAILED);
	for (int i = 0; i < 2 * PAGE; i++)
		ck_assert_int_eq(((char *)folio->mem)[i], 0x5a);
	ck_assert_uint_eq(cf_stats(&c).failed, 2 * PAGE);
	ck_assert(iomapi_mapping_has(&c.inode, IOMAPI_TAG_FAILED));

	iomap_folio_lock(folio);
	ck_assert(!iomap_folio_release(folio));
	iomapi_folio_set_failed(folio);			/* counted once */
	ck_assert_uint_eq(cf_stats(&c).failed, 2 * PAGE);
	iomapi_folio_clear_failed(folio);
	ck_assert_uint_eq(cf_stats(&c).failed, 0);
	ck_assert(!iomapi_mapping_has(&c.inode, IOMAPI_TAG_FAILED));
	ck_assert_uint_eq(iomap_folio_flags(folio) & IOMAP_FOLIO_FAILED, 0);
	cf_release(folio);
	cf_close(&c);
}

/* ---- frames ---- */

static void frame_written(struct iomap_folio *folio, int error)
{
	(void)folio;
	(void)error;
}

static const struct iomap_inode_ops frames_ops = {
	.struct_size = sizeof(frames_ops), .folio_written = frame_written,
};

static void frames_open(struct t_env *t, struct iomap_inode *inode)
{
	struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &frames_ops, .flags = IOMAP_INODE_FRAMES,
		.block_bits = 12,
	};

	t_env_start(t, NULL);
	opts.env = t->env;
	ck_assert_int_eq(iomap_inode_init(inode, &opts), 0);
}

static void frames_close(struct t_env *t, struct iomap_inode *inode)
{
	iomap_inode_fini(inode);
	t_env_stop(t);
}

CASE(a_frame_is_64_bytes, "",
     "Frames are made by the million: 64 bytes, no allocation, registered nowhere")
{
	static char mem[4 * PAGE];
	struct iomap_folio frames[8];
	struct iomap_inode inode;
	uint64_t allocs;
	struct t_env t;

	frames_open(&t, &inode);
	ck_assert_uint_eq(sizeof(struct iomap_folio), 64);
	allocs = t.nr_allocs;
	for (int i = 0; i < 8; i++) {
		memset(&frames[i], 0xff, sizeof(frames[i]));
		iomap_folio_init(&frames[i], &inode, i * 4 * PAGE, mem, 4 * PAGE, &frames[7 - i]);
		ck_assert(iomap_folio_flags(&frames[i]) & IOMAP_FOLIO_FRAME);
		ck_assert(!(iomap_folio_flags(&frames[i]) & IOMAP_FOLIO_DIRTY));
		ck_assert_ptr_eq(frames[i].owner, &frames[7 - i]);
		iomap_folio_mark_dirty(&frames[i], 512, 1);
	}
	ck_assert_uint_eq(t.nr_allocs, allocs);
	for (int i = 0; i < 8; i++) {
		size_t off = 0, len;

		/* Dirty as a whole. */
		ck_assert(iomapi_folio_next_dirty(&frames[i], &off, 4 * PAGE, &len));
		ck_assert_uint_eq(off, 0);
		ck_assert_uint_eq(len, 4 * PAGE);
		iomap_folio_fini(&frames[i]);
	}
	/* Nobody knows them: the inode goes without a look at them. */
	memset(frames, 0, sizeof(frames));
	frames_close(&t, &inode);
}

CASE(frame_marked_in_flight_stays_dirty, "I81",
     "A frame marked dirty after it was taken is dirty when its writeback ends")
{
	struct iomap_folio frame;
	struct iomap_inode inode;
	static char mem[PAGE];
	struct t_env t;

	frames_open(&t, &inode);
	iomap_folio_init(&frame, &inode, 0, mem, PAGE, NULL);
	iomap_folio_mark_dirty(&frame, 0, PAGE);
	for (int again = 0; again < 2; again++) {
		cf_start(&frame);
		ck_assert_uint_eq(frame.write_pending, PAGE);
		ck_assert_uint_eq(iomap_folio_flags(&frame) &
				  (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK),
				  IOMAP_FOLIO_WRITEBACK);
		if (!again)
			iomap_folio_mark_dirty(&frame, 0, 1);
		ck_assert(iomapi_folio_sub_write_pending(&frame, PAGE, 0));
		iomapi_folio_clear_flags(t.env, &frame, IOMAP_FOLIO_WRITEBACK);
		ck_assert_uint_eq(iomap_folio_flags(&frame) &
				  (IOMAP_FOLIO_DIRTY | IOMAP_FOLIO_WRITEBACK),
				  again ? 0 : IOMAP_FOLIO_DIRTY);
	}
	iomap_folio_fini(&frame);
	frames_close(&t, &inode);
}

struct frame_end {
	struct iomap_env *env;
	struct iomap_folio *frame;
};

static void *end_frame_soon(void *arg)
{
	struct frame_end *e = arg;

	usleep(2000);
	iomapi_folio_clear_flags(e->env, e->frame, IOMAP_FOLIO_WRITEBACK);
	return NULL;
}

CASE(frame_can_be_waited_for, "", "A waiter for a frame's writeback sleeps on the frame and wakes")
{
	struct iomap_folio frame;
	struct iomap_inode inode;
	static char mem[PAGE];
	struct frame_end e;
	pthread_t thread;
	struct t_env t;

	frames_open(&t, &inode);
	iomap_folio_init(&frame, &inode, 0, mem, PAGE, NULL);
	iomap_folio_mark_dirty(&frame, 0, PAGE);
	cf_start(&frame);
	ck_assert_int_eq(iomap_folio_wait_writeback(&frame, 1000000), -ETIMEDOUT);
	e = (struct frame_end){ t.env, &frame };
	thread = t_thread(end_frame_soon, &e);
	ck_assert_int_eq(iomap_folio_wait_writeback(&frame, IOMAP_FOREVER), 0);
	t_join(thread);
	iomap_folio_fini(&frame);
	frames_close(&t, &inode);
}
MAIN()
