/* SPDX-License-Identifier: MIT */
/*
 * test_look.c - readers that look at the blocks of a folio without its lock, while another thread
 * makes the folio's state and takes it away.  TSan watches.
 */
#include "harness/harness.h"
#include "harness/thread.h"
#include "model/flat.h"

#define BLOCK		1024u
#define FOLIO		4096u
#define NR_READERS	2

struct shared {
	struct flat *f;
	struct iomap_folio *folio;
	iomap_word stop;
	unsigned nr_seen, nr_invented, nr_wrong;	/* atomic */
};

static bool stopped(const struct shared *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_ACQUIRE);
}

static void count(unsigned *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_RELAXED);
}

static unsigned seen(const unsigned *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void start(struct shared *s, void *(*fn)(void *), pthread_t threads[NR_READERS])
{
	memset(s, 0, sizeof(*s));
	s->f = flat_new(&(struct flat_opts){ .block_bits = 10, .max_folio = FOLIO });
	memset(t_mem_data(s->f->mem), 'x', FOLIO);
	ck_assert_int_eq(iomap_mapping_get_folio(&s->f->inode, 4 * FOLIO, FOLIO, IOMAP_WRITE,
						 &s->folio), 0);
	ck_assert_uint_eq(s->folio->size, FOLIO);
	iomap_folio_unlock(s->folio);
	for (unsigned i = 0; i < NR_READERS; i++)
		threads[i] = t_thread(fn, s);
}

static void stop(struct shared *s, pthread_t threads[NR_READERS])
{
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < NR_READERS; i++)
		t_join(threads[i]);
	ck_assert_uint_gt(s->nr_seen, 0);
	ck_assert_uint_eq(s->nr_invented, 0);
	ck_assert_uint_eq(s->nr_wrong, 0);
	iomap_folio_put(s->folio);
	flat_delete(&s->f);
}

/* ---- the look itself ---- */

static void *keep_looking(void *arg)
{
	struct shared *s = arg;

	while (!stopped(s)) {
		if (iomap_folio_is_partially_uptodate(s->folio, 0, BLOCK))
			count(&s->nr_seen);
		if (iomap_folio_is_partially_uptodate(s->folio, BLOCK, BLOCK))
			count(&s->nr_invented);
	}
	return NULL;
}

static int keep_pending(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	(void)iter, (void)ctx, (void)len;
	return 0;
}

CASE(the_state_comes_and_goes, "I16",
     "A read of which one block comes, then the state is released: that block is seen, no other")
{
	const struct iomap_read_ops ops = {
		.struct_size = sizeof(ops), .read_folio_range = keep_pending,
	};
	pthread_t threads[NR_READERS];
	struct shared s;

	start(&s, keep_looking, threads);
	for (unsigned i = 0; i < 20000 || (!seen(&s.nr_seen) && i < 10000000); i++) {
		iomap_folio_lock(s.folio);
		iomap_read_folio(s.folio, &s.f->ops, &ops, NULL);
		iomap_finish_folio_read(s.folio, 0, BLOCK, 0);
		iomap_finish_folio_read(s.folio, BLOCK, FOLIO - BLOCK, -EIO);
		iomap_folio_lock(s.folio);
		ck_assert(iomap_folio_release(s.folio));
		iomap_folio_unlock(s.folio);
	}
	stop(&s, threads);
}

/* ---- from above ---- */

/* The I/O lock keeps writes away, not truncates. */
static void *keep_reading(void *arg)
{
	struct shared *s = arg;

	while (!stopped(s)) {
		struct iomap_req req = { .file = &s->f->file };
		char buf[BLOCK] = { 0 };
		struct iovec iov = { buf, sizeof(buf) };
		struct iomap_data data;
		int64_t n;

		iomap_data_init(&data, &iov, 1);
		iomap_inode_lock(&s->f->inode, IOMAP_LOCK_SHARED);
		n = iomap_file_buffered_read(&req, &data, &s->f->ops, NULL, NULL);
		iomap_inode_unlock(&s->f->inode);
		count(n == BLOCK && buf[0] == 'x' && !memcmp(buf, buf + 1, BLOCK - 1)
		      ? &s->nr_seen : &s->nr_wrong);
	}
	return NULL;
}

CASE(a_read_meets_a_truncate, "",
     "One block of a folio is written, the folio is cut away: every read gets its bytes")
{
	pthread_t threads[NR_READERS];
	struct shared s;

	start(&s, keep_reading, threads);
	for (unsigned i = 0; i < 10000; i++) {
		flat_dirty(s.f, 0, BLOCK, 'x');
		iomap_inode_invalidate_lock(&s.f->inode, 0);
		iomap_mapping_punch(&s.f->inode, 0, FOLIO);
		iomap_inode_invalidate_unlock(&s.f->inode);
	}
	stop(&s, threads);
}

MAIN()
