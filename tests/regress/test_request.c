/* SPDX-License-Identifier: MIT */
/*
 * test_request.c - what a user's request can ask of the cache: NOWAIT, and DSYNC or SYNC.
 */
#include "harness/memdev.h"
#include "model/model.h"
#include "model/stream.h"

#define BLOCK	1024u
#define PAGE	4096u
#define NOWAIT	IOMAP_REQ_NOWAIT

/* ---- NOWAIT ---- */

/* Four folios of four blocks, on the server only. */
static struct stream *start(const struct stream_opts *more)
{
	struct stream_opts opts = more ? *more : (struct stream_opts){ .block_bits = 10 };
	struct stream *s = stream_new(&opts);

	ck_assert_int_eq(stream_fill(s, 0, 4 * PAGE, 1, 0), 4 * PAGE);
	ck_assert_int_eq(stream_drop_cache(s), 0);
	s->nr_reads = s->nr_writes = s->nr_begin = s->nr_end = 0;
	return s;
}

/* What was refused has left no byte anywhere. */
static void stop(struct stream *s)
{
	stream_answer_all(s);
	s->answers = STREAM_AT_ONCE;
	ck_assert(stream_content_ok(s));
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert(stream_server_ok(s));
	stream_delete(&s);
}

/* The folio at pos, made if need be, and locked. */
static struct iomap_folio *lock_folio(struct stream *s, int64_t pos)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&s->inode, pos, 1, IOMAP_WRITE, &folio), 0);
	return folio;
}

static void unlock_folio(struct iomap_folio *folio)
{
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

CASE(nowait_reads_what_is_there, "I36",
     "A NOWAIT read takes what is cached up to the first byte that is not, and asks nobody")
{
	struct stream *s = start(NULL);
	char buf[4 * PAGE];

	ck_assert_int_eq(stream_read(s, 0, buf, 4 * PAGE, NOWAIT), -EAGAIN);
	ck_assert_int_eq(stream_read(s, PAGE, buf, 10, 0), 10);
	s->nr_reads = s->nr_begin = s->nr_end = 0;
	ck_assert_int_eq(stream_read(s, 0, buf, 4 * PAGE, NOWAIT), -EAGAIN);
	ck_assert_int_eq(stream_read(s, PAGE + 100, buf, 2 * PAGE, NOWAIT), PAGE - 100);
	ck_assert_int_eq(stream_read(s, 4 * PAGE, buf, 10, NOWAIT), 0);
	ck_assert_uint_eq(s->nr_reads, 0);
	ck_assert_uint_eq(s->nr_begin, 0);
	stop(s);
}

CASE(nowait_read_of_what_is_being_read, "I36",
     "Blocks that came are taken though the folio is locked by the read; the others are -EAGAIN")
{
	struct stream *s = start(NULL);
	struct iomap_folio *folio;
	char buf[PAGE];

	ck_assert_int_eq(stream_fill(s, BLOCK, BLOCK, 2, 0), BLOCK);
	s->answers = STREAM_LATER;
	folio = lock_folio(s, 0);
	iomap_read_folio(folio, &s->ops, &s->read_ops, NULL);
	ck_assert_uint_eq(s->nr_out, 2);
	ck_assert_int_eq(stream_read(s, BLOCK, buf, BLOCK, NOWAIT), BLOCK);
	ck_assert_int_eq(stream_read(s, BLOCK, buf, BLOCK + 1, NOWAIT), -EAGAIN);
	stream_answer(s, 1);
	ck_assert_int_eq(stream_read(s, BLOCK, buf, 3 * BLOCK, NOWAIT), 3 * BLOCK);
	ck_assert_int_eq(stream_read(s, BLOCK - 1, buf, 2, NOWAIT), -EAGAIN);
	stream_answer(s, 0);
	iomap_folio_put(folio);
	stop(s);
}

CASE(nowait_write_and_a_locked_folio, "I36",
     "Somebody has the folio's lock: -EAGAIN if it is the first one, else a short count")
{
	struct stream *s = start(NULL);
	struct iomap_folio *folio = lock_folio(s, 2 * PAGE);

	ck_assert_int_eq(stream_fill(s, 2 * PAGE, PAGE, 2, NOWAIT), -EAGAIN);
	ck_assert_int_eq(stream_fill(s, 0, 4 * PAGE, 3, NOWAIT), 2 * PAGE);
	unlock_folio(folio);
	ck_assert_int_eq(stream_fill(s, 2 * PAGE, PAGE, 4, NOWAIT), PAGE);
	stop(s);
}

CASE(nowait_write_and_the_old_end, "I36 I44",
     "The folio in which the file ended is locked: a write behind it changes nothing")
{
	struct stream *s = start(NULL);
	struct iomap_folio *folio;

	ck_assert_int_eq(stream_fill(s, 4 * PAGE, 100, 2, 0), 100);
	folio = lock_folio(s, 4 * PAGE);
	ck_assert_int_eq(stream_fill(s, 6 * PAGE, PAGE, 3, NOWAIT), -EAGAIN);
	ck_assert_int_eq(iomap_inode_size(&s->inode), 4 * PAGE + 100);
	unlock_folio(folio);
	ck_assert_int_eq(stream_fill(s, 6 * PAGE, PAGE, 3, NOWAIT), PAGE);
	stop(s);
}

CASE(nowait_write_needs_no_read, "I36",
     "A block to be read first: -EAGAIN, or what lies before it; nobody is asked for it")
{
	struct stream *s = start(NULL);

	ck_assert_int_eq(stream_fill(s, 100, 10, 2, NOWAIT), -EAGAIN);
	ck_assert_int_eq(stream_fill(s, 0, PAGE + BLOCK + 10, 3, NOWAIT), PAGE);
	ck_assert_int_eq(stream_fill(s, 2 * PAGE + BLOCK, 2 * BLOCK, 4, NOWAIT), 2 * BLOCK);
	ck_assert_uint_eq(s->nr_rmw, 0);
	stop(s);
}

CASE(nowait_write_of_what_is_stable, "I47",
     "Under writeback a STABLE folio may not change: -EAGAIN, or a short count before it")
{
	struct stream *s = start(&(struct stream_opts){ .inode_flags = IOMAP_INODE_STABLE });

	ck_assert_int_eq(stream_fill(s, PAGE, PAGE, 2, 0), PAGE);
	s->answers = STREAM_LATER;
	ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_int_eq(stream_fill(s, PAGE, 10, 3, NOWAIT), -EAGAIN);
	ck_assert_int_eq(stream_fill(s, 0, 3 * PAGE, 4, NOWAIT), PAGE);
	stream_answer(s, 0);
	ck_assert_int_eq(stream_fill(s, PAGE, 10, 5, NOWAIT), 10);
	stop(s);
}

CASE(nowait_write_without_memory, "I47",
     "Memory that reclaim would have to find, and room that writeback would: -EAGAIN at once")
{
	struct stream *s = start(&(struct stream_opts){ .cache_bytes = 16 * PAGE,
							.dirty_limit = 8 * PAGE });
	char buf[16 * PAGE];
	uint64_t reclaimed;
	unsigned writes;

	ck_assert_int_eq(stream_fill(s, 0, 20 * PAGE, 2, 0), 20 * PAGE);
	ck_assert_int_eq(stream_drop_cache(s), 0);
	ck_assert_int_eq(stream_read(s, 0, buf, 16 * PAGE, 0), 16 * PAGE);
	ck_assert_uint_eq(stream_stats(s).bytes, 16 * PAGE);
	reclaimed = stream_stats(s).reclaimed;
	writes = s->nr_writes;
	ck_assert_int_eq(stream_fill(s, 17 * PAGE, PAGE, 3, NOWAIT), -EAGAIN);
	ck_assert_int_eq(stream_fill(s, 0, 9 * PAGE, 4, NOWAIT), 9 * PAGE);
	ck_assert_int_eq(stream_fill(s, 10 * PAGE, 1, 5, NOWAIT), -EAGAIN);
	ck_assert_uint_eq(stream_stats(s).reclaimed, reclaimed);
	ck_assert_uint_eq(s->nr_writes, writes);
	stop(s);
}

/* One page at a time; a second map would have to wait for something. */
static struct iomap_ops real;
static uint64_t seen_len;
static unsigned seen_flags, nr_maps;

static int short_maps(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		      struct iomap *map, struct iomap *srcmap, void *priv)
{
	if (!nr_maps) {
		seen_len = len;
		seen_flags = flags;
	} else if (flags & IOMAP_NOWAIT) {
		return -EAGAIN;
	}
	nr_maps++;
	return real.iomap_begin(inode, pos, len < PAGE ? len : PAGE, flags, map, srcmap, priv);
}

CASE(nowait_and_maps_that_end_early, "I36",
     "begin sees NOWAIT and all of the request; the map covers less: a short count, no -EAGAIN")
{
	struct stream *s = start(NULL);

	real = s->ops;
	s->ops.iomap_begin = short_maps;
	nr_maps = 0;
	ck_assert_int_eq(stream_fill(s, 0, 3 * PAGE, 2, NOWAIT), PAGE);
	ck_assert_uint_eq(seen_len, 3 * PAGE);
	ck_assert(seen_flags & IOMAP_NOWAIT);
	ck_assert_int_eq(stream_fill(s, PAGE, PAGE, 3, NOWAIT), -EAGAIN);
	ck_assert_int_eq(stream_fill(s, PAGE, 2 * PAGE, 4, 0), 2 * PAGE);
	ck_assert_uint_eq(s->nr_begin, s->nr_end);
	s->ops = real;
	stop(s);
}

/* ---- DSYNC and SYNC ---- */

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct iomap_file durable, whole;	/* handles opened so */
};
static unsigned nr_syncs, last_datasync;
static int64_t last_start, last_end;
static int sync_error;
static int (*model_sync)(struct iomap_inode *, int64_t, int64_t, bool, bool *);

static int note_sync(struct iomap_inode *inode, int64_t from, int64_t to, bool datasync,
		     bool *flushed)
{
	/* the I/O lock is given up: somebody else could have it now */
	ck_assert_int_eq(iomap_inode_lock(inode, IOMAP_LOCK_NOWAIT), 0);
	iomap_inode_unlock(inode);
	nr_syncs++;
	last_datasync = datasync;
	last_start = from;
	last_end = to;
	return sync_error ? sync_error : model_sync(inode, from, to, datasync, flushed);
}

static void start_model(struct story *s)
{
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, &(struct m_opts){ .delalloc = true, .max_folio = PAGE });
	model_sync = s->m->inode_ops.sync_metadata;
	s->m->inode_ops.sync_metadata = note_sync;
	s->f = m_file_new(s->m);
	ck_assert_int_eq(iomap_file_open(&s->durable, &s->f->inode, IOMAP_FILE_DSYNC), 0);
	ck_assert_int_eq(iomap_file_open(&s->whole, &s->f->inode, IOMAP_FILE_SYNC), 0);
	nr_syncs = 0;
	sync_error = 0;
}

static void stop_model(struct story *s)
{
	iomap_file_close(&s->durable);
	iomap_file_close(&s->whole);
	m_file_free(&s->f);
	m_close(&s->m);
	t_env_stop(&s->t);
}

/* A write by hand; req->pos is looked at afterwards. */
static int64_t write_by(struct story *s, struct iomap_req *req, size_t len)
{
	static char bytes[4 * PAGE];
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	struct iomap_data data;
	int64_t n;

	iomap_data_init(&data, &iov, 1);
	iomap_inode_lock(&s->f->inode, 0);
	n = iomap_file_buffered_write(req, &data, &s->m->ops, &s->m->write_ops, NULL);
	iomap_inode_unlock(&s->f->inode);
	return iomap_req_sync(req, n);
}

static unsigned nr_written(void)
{
	const struct t_mem_req *log;
	unsigned nr, found = 0;

	log = t_mem_log(t_mem_find("model"), &nr);
	for (unsigned i = 0; i < nr; i++)
		found += log[i].op == IOMAP_BIO_WRITE && log[i].addr >= 64 << 10;
	return found;
}

CASE(durable_writes_sync_what_they_wrote, "O7",
     "By the request or by its file: the range that was written is synced, no other, no lock held")
{
	struct iomap_req req;
	struct story s;

	start_model(&s);
	req = (struct iomap_req){ .file = &s.f->file };
	ck_assert_int_eq(write_by(&s, &req, 3 * PAGE), 3 * PAGE);
	ck_assert_uint_eq(nr_syncs, 0);
	ck_assert_uint_eq(nr_written(), 0);
	req = (struct iomap_req){ .file = &s.f->file, .pos = PAGE, .flags = IOMAP_REQ_DSYNC };
	ck_assert_int_eq(write_by(&s, &req, 100), 100);
	ck_assert_int_eq(req.pos, PAGE + 100);
	ck_assert_uint_eq(nr_syncs, 1);
	ck_assert(last_datasync && last_start == PAGE && last_end == PAGE + 100);
	ck_assert_uint_eq(nr_written(), 1);
	req = (struct iomap_req){ .file = &s.durable, .pos = 0 };
	ck_assert_int_eq(write_by(&s, &req, 10), 10);
	ck_assert(nr_syncs == 2 && last_datasync && !last_start && last_end == 10);
	req = (struct iomap_req){ .file = &s.durable, .flags = IOMAP_REQ_SYNC | IOMAP_REQ_APPEND };
	ck_assert_int_eq(write_by(&s, &req, 50), 50);
	ck_assert(nr_syncs == 3 && !last_datasync && last_start == 3 * PAGE);
	ck_assert_int_eq(last_end, 3 * PAGE + 50);
	req = (struct iomap_req){ .file = &s.whole, .pos = 2 * PAGE };
	ck_assert_int_eq(write_by(&s, &req, PAGE), PAGE);
	ck_assert(nr_syncs == 4 && !last_datasync && last_start == 2 * PAGE);
	stop_model(&s);
}

CASE(durable_write_that_wrote_nothing, "",
     "An error or 0 is handed on, and nothing is synced")
{
	struct iomap_req req;
	struct story s;

	start_model(&s);
	req = (struct iomap_req){ .file = &s.durable, .pos = 77 };
	ck_assert_int_eq(write_by(&s, &req, 0), 0);
	s.m->fail_begin = (struct m_fault){ .nth = 1, .error = -ENOSPC };
	ck_assert_int_eq(write_by(&s, &req, 10), -ENOSPC);
	ck_assert_int_eq(req.pos, 77);
	ck_assert_uint_eq(nr_syncs, 0);
	stop_model(&s);
}

CASE(durable_write_whose_sync_fails, "O12 H8",
     "A sync that fails is the write's result, the position is back, the bytes stay in the cache")
{
	struct iomap_req req;
	struct story s;

	start_model(&s);
	req = (struct iomap_req){ .file = &s.durable, .pos = PAGE };
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(write_by(&s, &req, 100), -EIO);
	ck_assert_int_eq(req.pos, PAGE);
	ck_assert_uint_eq(nr_syncs, 0);			/* no commit for what is not there */
	ck_assert_int_eq(iomap_inode_size(&s.f->inode), PAGE + 100);
	ck_assert_int_eq(iomap_file_check_error(&s.durable), 0);
	ck_assert_int_eq(iomap_file_check_error(&s.f->file), -EIO);
	sync_error = -EROFS;
	ck_assert_int_eq(write_by(&s, &req, 100), -EROFS);
	ck_assert_int_eq(req.pos, PAGE);
	sync_error = 0;
	ck_assert_int_eq(write_by(&s, &req, 100), 100);
	ck_assert_int_eq(req.pos, PAGE + 100);
	stop_model(&s);
}

MAIN()
