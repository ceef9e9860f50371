/* SPDX-License-Identifier: MIT */
/*
 * test_dontcache.c - what a request with DONTCACHE leaves in the cache: nothing that was not there
 * before, unless somebody else came for it or it could not be written.
 */
#include "harness/memdev.h"
#include "model/model.h"
#include "model/stream.h"

#define PAGE	4096u
#define NR	100u		/* folios of the file: more than one look at the tree takes */
#define DONT	IOMAP_REQ_DONTCACHE

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
	char *buf;
};

/* A file of NR pages on the device, and nothing in the cache. */
static void start(struct story *s)
{
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, &(struct m_opts){ .max_folio = PAGE });
	s->f = m_file_new(s->m);
	s->dev = t_mem_find("model");
	s->buf = malloc(NR * PAGE);
	ck_assert_ptr_nonnull(s->buf);
	ck_assert_int_eq(m_fill(s->f, 0, NR * PAGE, 1), NR * PAGE);
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	memset(s->buf, 'd', NR * PAGE);
}

static void stop(struct story *s)
{
	ck_assert(m_content_ok(s->f));
	free(s->buf);
	m_file_free(&s->f);
	m_close(&s->m);
	t_env_stop(&s->t);
}

static struct iomap_cache_stats stats_of(struct iomap_cache *cache)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(cache, &stats);
	return stats;
}

static uint64_t cached(struct story *s)
{
	return stats_of(s->m->cache).bytes;
}

/* Is there a folio at pos?  Asked in a way that changes nothing about it. */
static bool is_cached(struct story *s, int64_t pos)
{
	struct iomap_folio *folio;

	if (iomap_mapping_get_folio(&s->f->inode, pos, 1, IOMAP_DONTCACHE, &folio))
		return false;
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	return true;
}

/* ---- writes ---- */

CASE(write_and_sync_leave_nothing, "I94",
     "Written with DONTCACHE and synced: on the device, and out of the cache to the last folio")
{
	struct story s;

	start(&s);
	ck_assert_int_eq(m_write_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	ck_assert_uint_eq(stats_of(s.m->cache).dirty, NR * PAGE);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_uint_eq(cached(&s), 0);
	ck_assert(m_device_equals_model(s.f));
	ck_assert_int_eq(m_write_flags(s.f, 100, s.buf, 5 * PAGE, DONT | IOMAP_REQ_DSYNC),
			 5 * PAGE);
	ck_assert_uint_eq(cached(&s), 0);
	stop(&s);
}

CASE(background_writeback_leaves_nothing, "",
     "The same when the writes are over while the walk goes on, and nobody waits for them")
{
	struct story s;

	start(&s);
	ck_assert_int_eq(m_write_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	t_mem_hold(s.dev, true);
	ck_assert_int_eq(m_writeback(s.f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_uint_eq(cached(&s), NR * PAGE);
	t_mem_hold(s.dev, false);
	t_mem_release_all(s.dev);
	ck_assert_int_eq(iomap_inode_wait_wb(&s.f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(cached(&s), 0);
	stop(&s);
}

CASE(answers_inside_the_walk_leave_nothing, "",
     "A client whose writes are over in the submit hook, when the walk still has all its folios")
{
	struct stream *s = stream_new(NULL);

	ck_assert_int_eq(stream_fill(s, 0, NR * PAGE, 1, DONT), NR * PAGE);
	ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_uint_eq(stream_stats(s).bytes, 0);
	ck_assert(stream_server_ok(s));
	ck_assert_int_eq(stream_fill(s, 10, NR * PAGE, 2, DONT), NR * PAGE);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert_uint_eq(stream_stats(s).bytes, 0);
	ck_assert(stream_content_ok(s));
	stream_delete(&s);
}

CASE(what_was_cached_stays_cached, "I94",
     "Folios that were there before a DONTCACHE write stay, those it made go")
{
	struct story s;

	start(&s);
	ck_assert_int_eq(m_read(s.f, 10 * PAGE, s.buf + 10 * PAGE, 4 * PAGE), 4 * PAGE);
	ck_assert_uint_eq(cached(&s), 4 * PAGE);
	memset(s.buf, 'd', NR * PAGE);
	ck_assert_int_eq(m_write_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	ck_assert_int_eq(m_sync(s.f), 0);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_int_eq(is_cached(&s, i * PAGE), i >= 10 && i < 14);
	stop(&s);
}

CASE(who_reads_it_meanwhile_keeps_it, "",
     "Read or written by somebody else before its writeback, a folio stays; by DONTCACHE not")
{
	struct story s;
	char buf[10];

	start(&s);
	ck_assert_int_eq(m_write_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	ck_assert_int_eq(m_read(s.f, 3 * PAGE, buf, 10), 10);
	ck_assert_int_eq(m_read_flags(s.f, 4 * PAGE, buf, 10, DONT), 10);
	ck_assert_int_eq(m_write(s.f, 5 * PAGE, buf, 10), 10);
	ck_assert_uint_eq(stats_of(s.m->cache).dirty, NR * PAGE);
	ck_assert_int_eq(m_sync(s.f), 0);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_int_eq(is_cached(&s, i * PAGE), i == 3 || i == 5);
	stop(&s);
}

CASE(failed_writes_stay, "H8",
     "What could not be written stays, also when it is read with DONTCACHE; rewritten it goes")
{
	struct story s;
	uint64_t failed;

	start(&s);
	ck_assert_int_eq(m_write_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	t_mem_fail(s.dev, IOMAP_BIO_WRITE, 1, 1, -EIO, s.f->data[7].addr);
	ck_assert_int_eq(m_sync(s.f), -EIO);
	failed = stats_of(s.m->cache).failed;
	ck_assert_uint_gt(failed, 0);
	ck_assert_uint_eq(cached(&s), failed);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	ck_assert_uint_eq(cached(&s), failed);
	iomap_cache_reclaim(s.m->cache, UINT64_MAX);
	ck_assert_uint_eq(cached(&s), failed);
	iomap_inode_lock(&s.f->inode, 0);
	ck_assert_int_eq(iomap_mapping_redirty_failed(&s.f->inode, 0, IOMAP_MAX_POS, &s.m->ops,
						      NULL), (int64_t)failed);
	iomap_inode_unlock(&s.f->inode);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	ck_assert_uint_eq(cached(&s), 0);
	stop(&s);
}

/* ---- reads ---- */

static uint64_t bytes_read(struct story *s)
{
	const struct t_mem_req *log;
	uint64_t bytes = 0;
	unsigned nr;

	log = t_mem_log(s->dev, &nr);
	for (unsigned i = 0; i < nr; i++)
		bytes += log[i].op == IOMAP_BIO_READ ? log[i].len : 0;
	return bytes;
}

CASE(read_leaves_nothing, "",
     "Read with DONTCACHE, all of it or a part: no folio stays, and none is read ahead")
{
	struct story s;

	start(&s);
	t_mem_log_reset(s.dev);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	ck_assert_uint_eq(cached(&s), 0);
	ck_assert_uint_eq(bytes_read(&s), NR * PAGE);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, 100, DONT), 100);
	ck_assert_int_eq(m_read_flags(s.f, 5 * PAGE - 10, s.buf, 20, DONT), 20);
	ck_assert_int_eq(m_read_flags(s.f, NR * PAGE - 10, s.buf, 100, DONT), 10);
	ck_assert_uint_eq(cached(&s), 0);
	ck_assert_uint_eq(bytes_read(&s), NR * PAGE + 4 * PAGE);
	stop(&s);
}

CASE(read_keeps_what_others_have, "",
     "Cached before, held, or read by somebody else meanwhile: it stays")
{
	struct iomap_folio *held;
	struct story s;

	start(&s);
	ck_assert_int_eq(m_read(s.f, 40 * PAGE, s.buf, 2 * PAGE), 2 * PAGE);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 50 * PAGE, 1,
						 IOMAP_WRITE | IOMAP_DONTCACHE, &held), 0);
	iomap_folio_unlock(held);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_int_eq(is_cached(&s, i * PAGE), i == 40 || i == 41 || i == 50);
	ck_assert_int_eq(m_read(s.f, 50 * PAGE, s.buf, 10), 10);
	iomap_folio_put(held);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, NR * PAGE, DONT), NR * PAGE);
	ck_assert(is_cached(&s, 50 * PAGE));
	ck_assert_uint_eq(cached(&s), 3 * PAGE);
	stop(&s);
}

CASE(memory_that_is_held_goes_later, "",
     "A folio that somebody held while it was read goes with the next DONTCACHE read")
{
	struct iomap_folio *held;
	struct story s;

	start(&s);
	ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, 1, IOMAP_WRITE | IOMAP_DONTCACHE,
						 &held), 0);
	iomap_folio_unlock(held);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, 10, DONT), 10);
	ck_assert_uint_eq(cached(&s), PAGE);
	iomap_folio_put(held);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, 10, DONT | IOMAP_REQ_NOWAIT), 10);
	ck_assert_uint_eq(cached(&s), 0);
	ck_assert_int_eq(m_read_flags(s.f, 0, s.buf, 10, DONT | IOMAP_REQ_NOWAIT), -EAGAIN);
	stop(&s);
}

MAIN()
