/* SPDX-License-Identifier: MIT */
/*
 * test_buffered.c - one file and many threads: writers, readers, syncs, reclaim; completions of one
 * folio that come from two threads.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#include <pthread.h>
#include <sched.h>

#define FILE_BYTES (256u << 10)
#define NR_THREADS 4

struct shared {
	struct m_model *m;
	struct m_file *f;
	unsigned rounds;
	iomap_word stop;
};

struct worker {
	struct shared *s;
	pthread_t thread;
	uint64_t seed;
	void (*fn)(struct worker *w);
	uint8_t buf[FILE_BYTES];
};

static void write_or_read(struct worker *w)
{
	size_t len = 1 + t_rand(&w->seed) % 20000;
	int64_t pos = (int64_t)(t_rand(&w->seed) % (FILE_BYTES - len));
	struct m_file *f = w->s->f;

	if (t_rand(&w->seed) % 3)
		ck_assert_int_eq(m_fill(f, pos, len, (unsigned)w->seed), (int64_t)len);
	else
		ck_assert_int_ge(m_read(f, pos, w->buf, len), 0);
}

/* With both locks: what the others have cached, dirtied, or on its way. */
static void cut_or_zero(struct worker *w)
{
	uint64_t len = t_rand(&w->seed) % 60000;
	int64_t pos = (int64_t)(t_rand(&w->seed) % FILE_BYTES);

	if (t_rand(&w->seed) % 4)
		ck_assert_int_eq(m_zero(w->s->f, pos, len, NULL), 0);
	else
		ck_assert_int_eq(m_truncate(w->s->f, pos), 0);
}

static void read_all(struct worker *w)
{
	int64_t n = m_read(w->s->f, 0, w->buf, FILE_BYTES);

	ck_assert_int_ge(n, 0);
}

/* Everything that takes folios away under the others. */
static void disturb(struct worker *w)
{
	struct m_file *f = w->s->f;
	int rc;

	switch (t_rand(&w->seed) % 5) {
	case 0:
		ck_assert_int_eq(m_sync(f), 0);
		break;
	case 1:
		ck_assert_int_eq(m_writeback(f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
		break;
	case 2:
		rc = m_drop_cache(f);
		ck_assert(!rc || rc == -EBUSY);
		break;
	case 3:
		iomap_cache_reclaim(w->s->m->cache, 64 << 10);
		break;
	default:
		ck_assert_int_eq(iomap_volume_sync(w->s->m->volume), 0);
		break;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < w->s->rounds; i++)
		w->fn(w);
	return NULL;
}

static void run_together(const struct m_opts *opts, unsigned rounds, void (*one)(struct worker *w))
{
	void (*const fns[NR_THREADS])(struct worker *w) = {
		write_or_read, one, read_all, disturb,
	};
	struct worker *workers = calloc(NR_THREADS, sizeof(*workers));
	struct shared s = { .rounds = rounds };
	struct m_opts o = *opts;
	struct t_env t;

	/* Else the device copies what a writer changes: a race that the library allows. */
#ifdef __SANITIZE_THREAD__
	o.inode_flags |= IOMAP_INODE_STABLE;
#endif
	ck_assert_ptr_nonnull(workers);
	t_env_start(&t, NULL);
	s.m = m_open(&t, &o);
	s.f = m_file_new(s.m);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		workers[i].s = &s;
		workers[i].seed = i + 1;
		workers[i].fn = fns[i];
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_balanced(s.m));
	ck_assert_uint_eq(t.nr_reports, 0);
	m_file_free(&s.f);
	m_close(&s.m);
	t_env_stop(&t);
	free(workers);
}

CASE_TIMEOUT(threads_on_one_file, "",
	     "Writers, a reader and a disturber: every read and the device are right", 20)
{
	for (unsigned i = 0; i < 9; i++) {
		struct m_opts opts = {
			.block_bits = i % 3 ? 12 : 9, .delalloc = i & 1, .unwritten = i & 2,
			.anon = i == 8, .chunk = i & 4 ? 8192 : 0, .gap = i & 4 ? 1 : 0,
			.cache_bytes = 512 << 10, .max_folio = 16384,
			.inode_flags = i % 3 == 1 ? IOMAP_INODE_STABLE : 0,
		};

		run_together(&opts, 60, write_or_read);
	}
}

CASE_TIMEOUT(threads_with_little_memory, "I47",
	     "The same with a cache that is smaller than the file", 20)
{
	for (unsigned i = 0; i < 4; i++) {
		struct m_opts opts = {
			.delalloc = i & 1, .unwritten = i & 2, .cache_bytes = 128 << 10,
			.dirty_limit = 64 << 10, .max_folio = 16384,
		};

		run_together(&opts, 40, write_or_read);
	}
}

CASE_TIMEOUT(threads_that_cut_and_zero, "I60 I66 R18 R21",
	     "Ranges are zeroed and cut off while others write, read, sync, reclaim", 20)
{
	for (unsigned i = 0; i < 9; i++) {
		struct m_opts opts = {
			.block_bits = i % 3 ? 12 : 9, .delalloc = i & 1, .unwritten = i & 2,
			.batch = i & 4, .anon = i == 8, .cache_bytes = 512 << 10,
			.max_folio = 16384, .inode_flags = i % 3 == 1 ? IOMAP_INODE_STABLE : 0,
		};

		run_together(&opts, 60, cut_or_zero);
	}
}

CASE_TIMEOUT(threads_with_checksums, "R39",
	     "What is sent does not change, and no read meets the checksum of other bytes", 20)
{
	for (unsigned i = 0; i < 9; i++) {
		struct m_opts opts = {
			.block_bits = i % 3 ? 12 : 9, .delalloc = i & 1, .unwritten = i & 2,
			.anon = i == 8, .chunk = i & 4 ? 8192 : 0, .gap = i & 4 ? 1 : 0,
			.cache_bytes = 512 << 10, .max_folio = 16384, .checksums = true,
		};

		run_together(&opts, 60, i % 2 ? cut_or_zero : write_or_read);
	}
}

/* ---- one folio, two completions at once ---- */

#define BLOCK	512u
#define FOLIO	65536u
#define NR_COMPLETIONS 2000000u		/* a million by each of two threads */
#define ROUNDS	(NR_COMPLETIONS / (FOLIO / BLOCK))

struct pair {
	struct iomap_folio *folio;
	iomap_word round;		/* bumped to start both */
	iomap_word done;		/* two per round */
};

static int keep_pending(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	(void)iter;
	(void)ctx;
	(void)len;
	return 0;		/* the two threads finish it */
}

struct half {
	struct pair *p;
	size_t off;
};

static void *finish_half(void *arg)
{
	struct half *h = arg;
	struct pair *p = h->p;

	for (uint32_t i = 1; i <= ROUNDS; i++) {
		while (__atomic_load_n(&p->round, __ATOMIC_ACQUIRE) != i)
			sched_yield();
		for (size_t off = h->off; off < FOLIO; off += 2 * BLOCK)
			iomap_finish_folio_read(p->folio, off, BLOCK, 0);
		__atomic_fetch_add(&p->done, 1, __ATOMIC_ACQ_REL);
	}
	return NULL;
}

CASE_TIMEOUT(two_completions_at_once, "R30 I19",
	     "Two million blocks arrive on two threads: each folio is uptodate, each time", 60)
{
	const struct iomap_read_ops ops = {
		.struct_size = sizeof(ops), .read_folio_range = keep_pending,
	};
	struct pair p = { .round = 0 };
	struct half halves[2] = { { &p, 0 }, { &p, BLOCK } };
	pthread_t threads[2];
	struct m_model *m;
	struct m_file *f;
	struct t_env t;

	t_env_start(&t, NULL);
	m = m_open(&t, &(struct m_opts){ .block_bits = 9, .max_folio = FOLIO });
	f = m_file_new(m);
	ck_assert_int_eq(m_fill(f, 0, FOLIO, 1), FOLIO);
	ck_assert_int_eq(m_drop_cache(f), 0);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, finish_half, &halves[i]), 0);
	for (uint32_t i = 1; i <= ROUNDS; i++) {
		uint32_t flags;

		if (iomap_mapping_get_folio(&f->inode, 0, FOLIO, IOMAP_WRITE, &p.folio))
			ck_abort_msg("round %u: no folio", i);
		iomap_read_folio(p.folio, &m->ops, &ops, NULL);
		__atomic_store_n(&p.round, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&p.done, __ATOMIC_ACQUIRE) != 2 * i)
			sched_yield();
		flags = iomap_folio_flags(p.folio);
		if (!(flags & IOMAP_FOLIO_UPTODATE) || (flags & IOMAP_FOLIO_LOCKED))
			ck_abort_msg("round %u: flags %x", i, flags);
		iomap_folio_put(p.folio);
		iomap_inode_invalidate_lock(&f->inode, 0);
		if (iomap_mapping_invalidate_range(&f->inode, 0, IOMAP_MAX_POS))
			ck_abort_msg("round %u: the folio is held", i);
		iomap_inode_invalidate_unlock(&f->inode);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	m_file_free(&f);
	m_close(&m);
	t_env_stop(&t);
}

MAIN()
