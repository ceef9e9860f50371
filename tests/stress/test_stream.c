/* SPDX-License-Identifier: MIT */
/*
 * test_stream.c - a client without a device: no queue that a waiter could drive, so whoever waits
 * sleeps until a thread of the server answers.
 */
#include "harness/thread.h"
#include "model/stream.h"

#define PAGE	4096u
#define BYTES	(256u << 10)

/* ---- one wait each ---- */

struct waiter {
	struct stream *s;
	void (*fn)(struct stream *s);
};

static void *wait_for_it(void *arg)
{
	struct waiter *w = arg;

	w->fn(w->s);
	return NULL;
}

static void wait_read(struct stream *s)
{
	char buf[100];

	ck_assert_int_eq(stream_read(s, 3 * PAGE, buf, 100, 0), 100);
}

static void wait_sync(struct stream *s)
{
	ck_assert_int_eq(stream_sync(s), 0);
}

static void wait_volume(struct stream *s)
{
	ck_assert_int_eq(iomap_volume_sync(s->volume), 0);
}

static void wait_evict(struct stream *s)
{
	ck_assert_int_eq(iomap_inode_evict(&s->inode, IOMAP_EVICT_WRITE, NULL), 0);
}

static void wait_kill(struct stream *s)
{
	ck_assert_int_eq(iomap_inode_kill(&s->inode, IOMAP_FOREVER), 0);
}

static void wait_truncate(struct stream *s)
{
	iomap_inode_invalidate_lock(&s->inode, 0);
	iomap_mapping_truncate(&s->inode, 0);
	iomap_inode_invalidate_unlock(&s->inode);
}

/* A folio of a STABLE inode that is under writeback. */
static void wait_stable(struct stream *s)
{
	ck_assert_int_eq(stream_fill(s, 0, 10, 2, 0), 10);
}

static unsigned nr_out(struct stream *s)
{
	unsigned nr;

	pthread_mutex_lock(&s->lock);
	nr = s->nr_out;
	pthread_mutex_unlock(&s->lock);
	return nr;
}

/* The wait begins, or is about to, when the answers come, one folio's after the other's. */
static void answered(void (*fn)(struct stream *s), bool reads)
{
	struct stream *s = stream_new(&(struct stream_opts){
		.inode_flags = IOMAP_INODE_STABLE });
	struct waiter w = { s, fn };
	pthread_t thread;

	ck_assert_int_eq(stream_fill(s, 0, 8 * PAGE, 1, 0), 8 * PAGE);
	if (reads)
		ck_assert_int_eq(stream_drop_cache(s), 0);
	s->answers = STREAM_LATER;
	if (!reads)
		ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_NONE), 0);
	thread = t_thread(wait_for_it, &w);
	while (!nr_out(s))
		t_settle();
	t_settle();
	while (nr_out(s))
		stream_answer(s, 0);
	t_join(thread);
	s->answers = STREAM_AT_ONCE;
	stream_delete(&s);
}

CASE(waits_end_with_foreign_answers, "O44",
     "Reader, syncs, evict, kill, truncate and a writer of a stable folio sleep until the answer")
{
	for (unsigned i = 0; i < 20; i++) {
		answered(wait_read, true);
		answered(wait_sync, false);
		answered(wait_volume, false);
		answered(wait_evict, false);
		answered(wait_kill, false);
		answered(wait_truncate, false);
		answered(wait_stable, false);
	}
}

/* ---- all together ---- */

struct worker {
	struct stream *s;
	unsigned rounds;
	uint64_t seed;
	void (*fn)(struct worker *w);
	char buf[BYTES];
};

static unsigned some_flags(struct worker *w)
{
	return t_rand(&w->seed) % 3 ? 0 : IOMAP_REQ_DONTCACHE;
}

static void write_some(struct worker *w)
{
	size_t len = 1 + t_rand(&w->seed) % 20000;
	int64_t pos = (int64_t)(t_rand(&w->seed) % (BYTES - len));

	ck_assert_int_eq(stream_fill(w->s, pos, len, (unsigned)w->seed, some_flags(w)),
			 (int64_t)len);
}

static void read_some(struct worker *w)
{
	int64_t pos = (int64_t)(t_rand(&w->seed) % BYTES);

	ck_assert_int_ge(stream_read(w->s, pos, w->buf, 1 + t_rand(&w->seed) % BYTES,
				     some_flags(w)), 0);
}

static void disturb(struct worker *w)
{
	struct stream *s = w->s;
	int rc;

	switch (t_rand(&w->seed) % 5) {
	case 0:
		ck_assert_int_eq(stream_sync(s), 0);
		break;
	case 1:
		ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_NONE), 0);
		break;
	case 2:
		rc = stream_drop_cache(s);
		ck_assert(!rc || rc == -EBUSY);
		break;
	case 3:
		iomap_cache_reclaim(s->cache, 64 << 10);
		break;
	default:
		ck_assert_int_eq(iomap_volume_sync(s->volume), 0);
		break;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->rounds; i++)
		w->fn(w);
	return NULL;
}

static void run_together(const struct stream_opts *opts, size_t part)
{
	void (*const fns[4])(struct worker *w) = { write_some, read_some, read_some, disturb };
	struct worker *workers = calloc(4, sizeof(*workers));
	struct stream_opts o = *opts;
	pthread_t threads[4];
	struct stream *s;

	/* Else the server copies what a writer changes: a race that the library allows. */
#ifdef __SANITIZE_THREAD__
	o.inode_flags |= IOMAP_INODE_STABLE;
#endif
	ck_assert_ptr_nonnull(workers);
	s = stream_new(&o);
	s->part = part;
	s->shuffle = 1;
	stream_serve(s, 2);
	for (unsigned i = 0; i < 4; i++) {
		workers[i].s = s;
		workers[i].rounds = t_sanitized() ? 60 : 300;
		workers[i].seed = i + 1;
		workers[i].fn = fns[i];
		threads[i] = t_thread(work, &workers[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		t_join_within(threads[i], 15);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert(stream_server_ok(s));
	stream_serve_stop(s);
	ck_assert_int_eq(stream_drop_cache(s), 0);
	ck_assert(stream_content_ok(s));
	stream_delete(&s);
	free(workers);
}

CASE_TIMEOUT(threads_and_a_server, "I19 I30",
	     "A writer, two readers, a disturber; two threads answer in parts, in any order", 20)
{
	for (unsigned i = 0; i < 6; i++) {
		const struct stream_opts opts = {
			.block_bits = i & 1 ? 10 : 12, .max_folio = 16384,
			.cache_bytes = i < 4 ? 512 << 10 : 128 << 10,
			.dirty_limit = i < 4 ? 0 : 64 << 10,
			.inode_flags = i & 2 ? IOMAP_INODE_STABLE : 0,
		};

		run_together(&opts, i % 3 ? 700 : 0);
	}
}

MAIN()
