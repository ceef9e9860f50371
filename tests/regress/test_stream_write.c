/* SPDX-License-Identifier: MIT */
/*
 * test_stream_write.c - a client without a device writes back: its contexts, its errors, write
 * through, and what becomes of requests that are out when inode or volume come to their end.
 */
#include "model/stream.h"

#define BLOCK	1024u
#define PAGE	4096u
#define NR	40u		/* folios: three requests of at most 16 ranges */

static struct stream *start(unsigned block_bits)
{
	return stream_new(&(struct stream_opts){ .block_bits = block_bits });
}

/* NR folios, dirty. */
static struct stream *start_dirty(void)
{
	struct stream *s = start(12);

	ck_assert_int_eq(stream_fill(s, 0, NR * PAGE, 1, 0), NR * PAGE);
	return s;
}

/* How many folios have all of these flags. */
static unsigned nr_with(struct stream *s, uint32_t flags)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < NR; i++)
		nr += (stream_flags(s, i * PAGE) & flags) == flags;
	return nr;
}

static struct stream_req *kept[4];
static unsigned nr_kept;

/* The client takes what it is given, and says of the second that it failed. */
static int keep(struct stream *s, struct stream_req *req, int error)
{
	(void)s;
	ck_assert_int_eq(error, 0);
	kept[nr_kept++] = req;
	return nr_kept == 2 ? -EREMOTEIO : 0;
}

static void finish_kept(struct stream *s, unsigned i, int error)
{
	struct stream_req *req = kept[i];

	for (unsigned k = 0; k < req->nr; k++)
		iomap_finish_folio_write(&s->inode, req->ranges[k].folio, req->ranges[k].len,
					 error);
	free(req);
}

/* ---- contexts ---- */

CASE(dirty_folios_are_merged_by_the_client, "I78 I95",
     "One request for what lies together; the last one ends with the file, not with its block")
{
	struct stream *s = start(10);

	ck_assert_int_eq(stream_fill(s, 0, 3 * PAGE + 100, 1, 0), 3 * PAGE + 100);
	ck_assert_int_eq(stream_fill(s, 20 * PAGE, 50, 2, 0), 50);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert_uint_eq(s->nr_writes, 2);
	ck_assert(stream_server_ok(s));
	ck_assert_int_eq(stream_fill(s, PAGE + BLOCK, BLOCK, 3, 0), BLOCK);
	ck_assert_int_eq(stream_fill(s, PAGE + 3 * BLOCK, BLOCK, 4, 0), BLOCK);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert_uint_eq(s->nr_writes, 4);
	ck_assert(stream_server_ok(s));
	stream_delete(&s);
}

CASE(contexts_are_taken_and_one_is_refused, "H1 I87",
     "The hook owns what it was given, also where it says that it failed; each ends once")
{
	struct stream *s = start_dirty();

	nr_kept = 0;
	s->hook_submit = keep;
	ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_ALL), -EREMOTEIO);
	ck_assert_uint_eq(nr_kept, 3);
	ck_assert_uint_eq(stream_stats(s).writeback, NR * PAGE);
	for (unsigned i = 3; i--; )
		finish_kept(s, i, i == 1 ? -EREMOTEIO : 0);
	ck_assert_uint_eq(stream_stats(s).writeback, 0);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_FAILED), 16);
	ck_assert_int_eq(iomap_file_check_error(&s->file), -EREMOTEIO);
	stream_delete(&s);
}

static int64_t refuse(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		      uint64_t len, int64_t end_pos)
{
	if (pos == PAGE)
		return -ENOSPC;
	return STREAM(wpc->inode)->wb_ops.writeback_range(wpc, folio, pos, len, end_pos);
}

CASE(range_without_a_place, "I83",
     "What was queued before the failing range goes out with no error; the caller is told")
{
	const struct iomap_writeback_ops ops = {
		.struct_size = sizeof(ops), .writeback_range = refuse,
		.writeback_submit = stream_submit,
	};
	struct stream *s = start_dirty();
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL,
	};
	struct iomap_writeback_ctx wpc = { .inode = &s->inode, .wbc = &wbc, .ops = &ops };
	struct iomap_folio *folio;

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(iomap_mapping_get_folio(&s->inode, i * PAGE, 1, 0, &folio), 0);
		ck_assert_int_eq(iomap_writeback_folio(&wpc, folio), i ? -ENOSPC : 0);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ck_assert_uint_eq(s->nr_submit_errors, 0);
	ck_assert_uint_eq(s->nr_writes, 1);
	ck_assert_int_eq(memcmp(s->disk, s->ref, PAGE), 0);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_FAILED), 1);
	ck_assert_int_eq(stream_sync(s), -ENOSPC);
	ck_assert_int_eq(stream_sync(s), 0);
	stream_delete(&s);
}

CASE(hook_is_called_with_an_error, "I83 I80",
     "Finished with an error, the context goes to the hook all the same, and writeback ends")
{
	struct stream *s = start_dirty();
	struct iomap_writeback_control wbc = { .struct_size = sizeof(wbc) };
	struct iomap_writeback_ctx wpc = { .inode = &s->inode, .wbc = &wbc, .ops = &s->wb_ops };
	struct iomap_folio *folio;

	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(iomap_mapping_get_folio(&s->inode, i * PAGE, 1, 0, &folio), 0);
		ck_assert_int_eq(iomap_writeback_folio(&wpc, folio), 0);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_WRITEBACK), 3);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, -EUCLEAN), -EUCLEAN);
	ck_assert_uint_eq(s->nr_submit_errors, 1);
	ck_assert_int_eq(s->last_submit_error, -EUCLEAN);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_WRITEBACK), 0);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_FAILED), 3);
	ck_assert_uint_eq(s->nr_writes, 0);
	stream_delete(&s);
}

/* The simplest of all: no context, no request. */
static int64_t write_now(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
			 uint64_t len, int64_t end_pos)
{
	struct stream *s = STREAM(wpc->inode);
	size_t off = (size_t)(pos - folio->pos);

	memcpy(s->disk + pos, (char *)folio->mem + off, (size_t)len);
	s->disk_size = end_pos;
	iomap_finish_folio_write(&s->inode, folio, len, 0);
	return (int64_t)len;
}

CASE(writes_that_end_inside_the_call, "I23 I80",
     "A client that writes in writeback_range and is done: no hook is called, all becomes clean")
{
	struct stream *s = start(10);

	s->wb_ops.writeback_range = write_now;
	ck_assert_int_eq(stream_fill(s, 0, NR * PAGE, 1, 0), NR * PAGE);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert(stream_server_ok(s));
	ck_assert_int_eq(stream_fill(s, BLOCK, BLOCK, 2, 0), BLOCK);
	ck_assert_int_eq(stream_fill(s, 3 * BLOCK, 3 * BLOCK, 3, 0), 3 * BLOCK);
	ck_assert_int_eq(stream_fill(s, NR * PAGE, 3 * PAGE, 4, IOMAP_REQ_DONTCACHE), 3 * PAGE);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert(stream_server_ok(s));
	ck_assert_uint_eq(stream_stats(s).bytes, NR * PAGE);
	ck_assert_uint_eq(stream_stats(s).dirty + stream_stats(s).writeback, 0);
	stream_delete(&s);
}

/* ---- errors ---- */

CASE(failed_request_is_told_once_to_each_handle, "O12 O13 O14 H8 I85",
     "One of three requests fails: its folios keep their content and fail, each handle hears once")
{
	struct stream *s = start_dirty();
	struct iomap_file other, later;

	ck_assert_int_eq(iomap_file_open(&other, &s->inode, 0), 0);
	s->fail_write = (struct stream_fault){ .nth = 2, .error = -ENOTCONN };
	ck_assert_int_eq(stream_sync(s), -ENOTCONN);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert_int_eq(iomap_file_sync(&other, 0, PAGE, true), -ENOTCONN);
	ck_assert_int_eq(iomap_file_sync(&other, 0, PAGE, true), 0);
	ck_assert_int_eq(iomap_file_open(&later, &s->inode, 0), 0);
	ck_assert_int_eq(iomap_file_check_error(&later), 0);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_FAILED | IOMAP_FOLIO_UPTODATE), 16);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_UPTODATE), NR);
	ck_assert_uint_eq(iomap_cache_reclaim(s->cache, STREAM_MAX), (NR - 16) * PAGE);
	ck_assert(!stream_server_ok(s));
	ck_assert(stream_content_ok(s));
	ck_assert_int_eq(iomap_volume_sync(s->volume), -ENOTCONN);
	ck_assert_int_eq(iomap_volume_sync(s->volume), 0);
	iomap_inode_lock(&s->inode, 0);
	ck_assert_int_eq(iomap_mapping_redirty_failed(&s->inode, 0, IOMAP_MAX_POS, &s->ops, NULL),
			 16 * PAGE);
	iomap_inode_unlock(&s->inode);
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert(stream_server_ok(s));
	iomap_file_close(&later);
	iomap_file_close(&other);
	stream_delete(&s);
}

static void same_bits(struct stream *s, unsigned there)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&s->inode, 0, 1, 0, &folio), 0);
	for (unsigned b = 0; b < 4; b++)
		ck_assert_int_eq(iomap_folio_is_partially_uptodate(folio, b * BLOCK, BLOCK),
				 b < there);
	ck_assert_int_eq(!!(iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE), there == 4);
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

static void fail_write_through(unsigned blocks)
{
	struct stream *s = start(10);

	ck_assert_int_eq(stream_fill(s, 0, 2 * PAGE, 1, 0), 2 * PAGE);
	ck_assert_int_eq(stream_drop_cache(s), 0);
	s->nr_reads = 0;
	/* state first: a folio whose blocks are not alike */
	for (unsigned b = 0; b < blocks; b++)
		ck_assert_int_eq(stream_fill(s, b * BLOCK, BLOCK, 9 + b, 0), BLOCK);
	s->fail_write = (struct stream_fault){ .nth = 1, .error = -EIO };
	ck_assert_int_eq(stream_fill(s, 0, BLOCK, 7, IOMAP_REQ_DSYNC), -EIO);
	ck_assert_uint_eq(stream_flags(s, 0) & (IOMAP_FOLIO_FAILED | IOMAP_FOLIO_DIRTY),
			  IOMAP_FOLIO_FAILED);
	same_bits(s, blocks);
	ck_assert(stream_content_ok(s));	/* what is in memory, and the rest of it */
	ck_assert_uint_eq(s->nr_reads, blocks == 4 ? 1 : 2);
	same_bits(s, 4);
	ck_assert_int_eq(stream_fill(s, 0, PAGE, 8, IOMAP_REQ_DSYNC), PAGE);
	same_bits(s, 4);
	ck_assert(stream_server_ok(s));
	stream_delete(&s);
}

CASE(failed_write_through_keeps_what_is_uptodate, "R40 I16 I85",
     "A write-through that fails: blocks and folio stay uptodate, and nothing is read again")
{
	for (unsigned blocks = 1; blocks <= 4; blocks++)
		fail_write_through(blocks);
}

CASE(syncs_without_a_device, "H10 O15",
     "Data, then the client's metadata, whose error is told; nothing to flush is no error")
{
	struct stream *s = start_dirty();

	s->fail_sync = (struct stream_fault){ .nth = 1, .error = -ESTALE };
	ck_assert_int_eq(stream_sync(s), -ESTALE);
	ck_assert(stream_server_ok(s));
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert_uint_eq(s->nr_syncs, 2);
	ck_assert_int_eq(stream_fill(s, 0, 10, 2, 0), 10);
	ck_assert_int_eq(iomap_volume_sync(s->volume), 0);
	ck_assert_uint_eq(s->nr_volume_syncs, 1);
	ck_assert(stream_server_ok(s));
	s->fail_write = (struct stream_fault){ .nth = 1, .error = -EIO };
	ck_assert_int_eq(stream_fill(s, 0, 10, 3, 0), 10);
	ck_assert_int_eq(iomap_volume_sync(s->volume), -EIO);
	ck_assert_uint_eq(s->nr_volume_syncs, 1);
	ck_assert_int_eq(stream_sync(s), -EIO);
	stream_delete(&s);
}

/* ---- the end, with requests out ---- */

CASE(kill_waits_for_writes_that_are_out, "H13",
     "No ioend counts them: kill waits for the folios, as long as it was told, and forgets errors")
{
	struct stream *s = start_dirty();

	s->answers = STREAM_LATER;
	ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_uint_eq(s->nr_out, 3);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 0), -ETIMEDOUT);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 1000000), -ETIMEDOUT);
	stream_answer(s, 2);
	stream_out(s, 0)->error = -EIO;
	stream_answer(s, 0);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 0), -ETIMEDOUT);
	stream_answer(s, 0);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 0), 0);
	ck_assert_uint_eq(stream_stats(s).bytes, 0);
	ck_assert_int_eq(iomap_file_check_error(&s->file), 0);
	stream_delete(&s);
}

CASE(kill_waits_for_reads_that_are_out, "H13",
     "A folio that is being read belongs to the server: kill does not drop it under its hands")
{
	struct stream *s = start_dirty();
	uint64_t len = NR * PAGE;
	int64_t pos = 0;

	ck_assert_int_eq(stream_drop_cache(s), 0);
	s->answers = STREAM_LATER;
	iomap_readahead(&s->inode, &pos, &len, &s->ops, &s->read_ops, NULL);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 0), -ETIMEDOUT);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 1000000), -ETIMEDOUT);
	stream_answer_all(s);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 0), 0);
	ck_assert_uint_eq(stream_stats(s).bytes, 0);
	stream_delete(&s);
}

static int64_t kill_at_second(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
			      int64_t pos, uint64_t len, int64_t end_pos)
{
	struct stream *s = STREAM(wpc->inode);

	if (pos == PAGE)
		ck_assert_int_eq(iomap_inode_kill(wpc->inode, 0), -ETIMEDOUT);
	return s->wb_ops.writeback_range(wpc, folio, pos, len, end_pos);
}

CASE(kill_in_the_middle_of_a_walk, "H13 I83",
     "What is pending goes to the hook with -ECANCELED, what was not offered is not")
{
	const struct iomap_writeback_ops ops = {
		.struct_size = sizeof(ops), .writeback_range = kill_at_second,
		.writeback_submit = stream_submit,
	};
	struct stream *s = stream_new(&(struct stream_opts){ .cache_bytes = 1 << 20 });
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL,
	};
	struct iomap_writeback_ctx wpc = { .inode = &s->inode, .wbc = &wbc, .ops = &ops };

	ck_assert_int_eq(stream_fill(s, 0, 100 * PAGE, 1, 0), 100 * PAGE);
	ck_assert_int_eq(iomap_writepages(&wpc), -ECANCELED);
	ck_assert_int_eq(s->last_submit_error, -ECANCELED);
	ck_assert_uint_eq(s->nr_writes, 0);
	ck_assert_uint_eq(stream_stats(s).writeback, 0);
	ck_assert_uint_gt(stream_stats(s).dirty, 0);
	ck_assert_int_eq(iomap_inode_kill(&s->inode, 0), 0);
	ck_assert_uint_eq(stream_stats(s).bytes, 0);
	stream_delete(&s);
}

CASE(evict_fails_with_the_request, "H8",
     "Evicted with a write that fails: the folios stay, the error is the answer, again works")
{
	struct stream *s = start_dirty();
	uint64_t errseq;

	s->fail_write = (struct stream_fault){ .nth = 3, .error = -EDQUOT };
	ck_assert_int_eq(iomap_inode_evict(&s->inode, IOMAP_EVICT_WRITE, &errseq), -EDQUOT);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_FAILED), NR - 32);
	iomap_inode_lock(&s->inode, 0);
	ck_assert_int_eq(iomap_mapping_redirty_failed(&s->inode, 0, IOMAP_MAX_POS, &s->ops, NULL),
			 (NR - 32) * PAGE);
	iomap_inode_unlock(&s->inode);
	ck_assert_int_eq(iomap_inode_evict(&s->inode, IOMAP_EVICT_WRITE, &errseq), 0);
	ck_assert(stream_server_ok(s));
	ck_assert_uint_eq(stream_stats(s).bytes, 0);
	stream_delete(&s);
}

CASE(shutdown_with_requests_out, "H8 O18",
     "A good answer after the volume's end counts as not written: no folio becomes clean")
{
	struct stream *s = start_dirty();
	char buf[PAGE];

	s->answers = STREAM_LATER;
	ck_assert_int_eq(stream_writepages(s, IOMAP_WB_SYNC_NONE), 0);
	stream_answer(s, 0);
	iomap_volume_shutdown(s->volume, -ENOTCONN);
	stream_answer_all(s);
	ck_assert_uint_eq(stream_stats(s).writeback, 0);
	ck_assert_uint_eq(nr_with(s, IOMAP_FOLIO_FAILED), NR - 16);
	ck_assert_int_eq(stream_sync(s), -ENOTCONN);
	ck_assert_int_eq(iomap_volume_sync(s->volume), -ENOTCONN);
	ck_assert_int_eq(stream_read(s, 20 * PAGE, buf, PAGE, 0), PAGE);
	ck_assert_int_eq(stream_fill(s, 0, 10, 2, 0), -ENOTCONN);
	stream_delete(&s);
}

static int64_t shut_at_second(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio,
			      int64_t pos, uint64_t len, int64_t end_pos)
{
	struct stream *s = STREAM(wpc->inode);

	if (pos == PAGE)
		iomap_volume_shutdown(s->volume, -ENOTCONN);
	return s->wb_ops.writeback_range(wpc, folio, pos, len, end_pos);
}

CASE(shutdown_in_the_middle_of_a_walk, "I83 I80",
     "What is pending goes to the hook with the error, and fails; the rest stays dirty")
{
	const struct iomap_writeback_ops ops = {
		.struct_size = sizeof(ops), .writeback_range = shut_at_second,
		.writeback_submit = stream_submit,
	};
	struct stream *s = stream_new(&(struct stream_opts){ .cache_bytes = 1 << 20 });
	struct iomap_writeback_control wbc = { .struct_size = sizeof(wbc) };
	struct iomap_writeback_ctx wpc = { .inode = &s->inode, .wbc = &wbc, .ops = &ops };
	struct iomap_cache_stats stats;

	ck_assert_int_eq(stream_fill(s, 0, 100 * PAGE, 1, 0), 100 * PAGE);
	ck_assert_int_eq(iomap_writepages(&wpc), -ENOTCONN);
	ck_assert_int_eq(s->last_submit_error, -ENOTCONN);
	stats = stream_stats(s);
	ck_assert_uint_eq(s->nr_writes, 0);
	ck_assert_uint_eq(stats.writeback, 0);
	ck_assert_uint_eq(stats.failed + stats.dirty, 100 * PAGE);
	ck_assert_uint_gt(stats.failed, 0);
	stream_delete(&s);
}

MAIN()
