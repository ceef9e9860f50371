/* SPDX-License-Identifier: MIT */
/*
 * test_stream.c - a client without a device, whose reads and writes are requests of its own: what
 * is asked for, what comes back, in whatever parts, and what fails.
 */
#include "model/stream.h"

#define BLOCK	1024u
#define PAGE	4096u

/* Blocks of 1 KiB, and len bytes that the server has and the cache has not. */
static struct stream *start(uint32_t max_folio, size_t len)
{
	struct stream *s = stream_new(&(struct stream_opts){ .block_bits = 10,
							     .max_folio = max_folio });

	ck_assert_int_eq(stream_fill(s, 0, len, 1, 0), (int64_t)len);
	ck_assert_int_eq(stream_drop_cache(s), 0);
	ck_assert(stream_server_ok(s));
	s->nr_reads = s->nr_writes = s->nr_rmw = 0;
	return s;
}

/* ---- reading ---- */

CASE(reads_are_requests_of_the_client, "I27",
     "Ranges of several folios go out as one request; the end of the file cuts a read short")
{
	struct stream *s = start(PAGE, 10 * PAGE + 100);
	char buf[200];

	ck_assert(stream_content_ok(s));
	ck_assert_uint_eq(s->nr_reads, 1);
	ck_assert_int_eq(stream_read(s, 10 * PAGE + 50, buf, 200, 0), 50);
	ck_assert_int_eq(stream_read(s, 10 * PAGE + 100, buf, 200, 0), 0);
	ck_assert_int_eq(stream_read(s, 0, buf, 200, 0), 200);
	ck_assert_uint_eq(s->nr_reads, 1);
	stream_delete(&s);
}

CASE(readahead_is_answered_later, "",
     "A window read ahead: nothing is there, all is locked, until the server answers")
{
	struct stream *s = start(PAGE, 8 * PAGE);
	int64_t pos = 0;
	uint64_t len = 8 * PAGE;
	char buf[10];

	s->answers = STREAM_LATER;
	iomap_readahead(&s->inode, &pos, &len, &s->ops, &s->read_ops, NULL);
	ck_assert_int_eq(pos, 8 * PAGE);
	ck_assert_uint_eq(len, 0);
	ck_assert_uint_eq(s->nr_out, 1);
	ck_assert_uint_eq(stream_out(s, 0)->nr, 8);
	ck_assert_int_eq(stream_read(s, 5 * PAGE, buf, 10, IOMAP_REQ_NOWAIT), -EAGAIN);
	stream_answer(s, 0);
	for (int64_t at = 0; at < 8 * PAGE; at += PAGE)
		ck_assert_uint_eq(stream_flags(s, at), IOMAP_FOLIO_UPTODATE);
	ck_assert(stream_content_ok(s));
	ck_assert_uint_eq(s->nr_reads, 1);
	stream_delete(&s);
}

static void read_in_parts(uint32_t max_folio, size_t part, enum stream_answers answers)
{
	struct stream *s = start(max_folio, 5 * PAGE + 300);

	s->part = part;
	s->answers = answers;
	for (s->shuffle = 0; s->shuffle < 4; s->shuffle++) {
		ck_assert(stream_content_ok(s));
		ck_assert_uint_eq(stream_flags(s, 0), IOMAP_FOLIO_UPTODATE);
		ck_assert_int_eq(stream_drop_cache(s), 0);
	}
	stream_delete(&s);
}

CASE(parts_of_any_size, "R9 I21 I22",
     "Answers in parts below, of and above a block, in any order, inside the call or after it")
{
	static const size_t parts[] = { 100, 512, 700, BLOCK, 3 * BLOCK, 0 };

	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (unsigned k = 0; k < 4; k++)
			read_in_parts(k & 1 ? 4 * PAGE : PAGE, parts[i],
				      k & 2 ? STREAM_INSIDE : STREAM_AT_ONCE);
}

static int keep_range(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	(void)iter, (void)ctx, (void)len;
	return 0;
}

CASE(part_of_a_block_is_not_there, "I19 I30",
     "Nobody reads a block of which some bytes are still on their way")
{
	const struct iomap_read_ops later = {
		.struct_size = sizeof(later), .read_folio_range = keep_range,
	};
	struct stream *s = start(PAGE, PAGE);
	struct iomap_folio *folio;
	char buf[BLOCK];

	ck_assert_int_eq(iomap_mapping_get_folio(&s->inode, 0, PAGE, IOMAP_WRITE, &folio), 0);
	iomap_read_folio(folio, &s->ops, &later, NULL);
	memcpy(folio->mem, s->disk, BLOCK + 512);
	iomap_finish_folio_read(folio, 0, BLOCK + 512, 0);
	ck_assert(iomap_folio_is_partially_uptodate(folio, 0, BLOCK));
	ck_assert(!iomap_folio_is_partially_uptodate(folio, BLOCK, 512));
	ck_assert_int_eq(stream_read(s, 0, buf, BLOCK, IOMAP_REQ_NOWAIT), BLOCK);
	ck_assert_int_eq(stream_read(s, BLOCK, buf, BLOCK, IOMAP_REQ_NOWAIT), -EAGAIN);
	memcpy(folio->mem, s->disk, PAGE);
	iomap_finish_folio_read(folio, BLOCK + 512, PAGE - BLOCK - 512, 0);
	ck_assert_int_eq(stream_read(s, BLOCK, buf, BLOCK, IOMAP_REQ_NOWAIT), BLOCK);
	iomap_folio_put(folio);
	stream_delete(&s);
}

static void fails_exactly(uint32_t max_folio, size_t part, uint64_t shuffle)
{
	struct stream *s = start(max_folio, 4 * PAGE);
	unsigned bad = 6;
	char buf[2 * PAGE];

	s->part = part;
	s->shuffle = shuffle;
	s->bad_from = bad * BLOCK + 300;
	s->bad_to = s->bad_from + 1;
	ck_assert_int_eq(stream_read(s, 0, buf, PAGE, 0), PAGE);
	ck_assert_int_eq(stream_read(s, PAGE, buf, PAGE, 0), -EIO);
	ck_assert_int_eq(stream_read(s, 2 * PAGE, buf, 2 * PAGE, 0), 2 * PAGE);
	s->bad_to = 0;
	s->nr_reads = 0;
	for (unsigned b = 0; b < 16; b++)
		ck_assert_int_eq(stream_read(s, b * BLOCK, buf, BLOCK, IOMAP_REQ_NOWAIT),
				 b == bad ? -EAGAIN : (int)BLOCK);
	ck_assert_int_eq(stream_read(s, bad * BLOCK, buf, BLOCK, 0), BLOCK);
	ck_assert_uint_eq(s->nr_reads, 1);
	ck_assert(stream_content_ok(s));
	ck_assert_uint_eq(s->nr_reads, 1);
	stream_delete(&s);
}

CASE(one_bad_byte_is_one_bad_block, "I30",
     "Whatever the parts and their order: the block with the byte is missing, no other")
{
	static const size_t parts[] = { 100, 256, 512, BLOCK };

	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (uint64_t shuffle = 0; shuffle < 12; shuffle++)
			fails_exactly(shuffle & 1 ? 4 * PAGE : PAGE, parts[i], shuffle);
}

CASE(failed_request_is_asked_again, "I30",
     "The second of three requests fails: its folios are missing, and are asked for again")
{
	struct stream *s = start(PAGE, 40 * PAGE);
	uint64_t len = 40 * PAGE;
	int64_t pos = 0;

	s->fail_read = (struct stream_fault){ .nth = 2, .error = -ETIMEDOUT };
	iomap_readahead(&s->inode, &pos, &len, &s->ops, &s->read_ops, NULL);
	ck_assert_uint_eq(s->nr_reads, 3);
	for (unsigned i = 0; i < 40; i++)
		ck_assert_uint_eq(stream_flags(s, i * PAGE),
				  i / STREAM_RANGES == 1 ? 0 : IOMAP_FOLIO_UPTODATE);
	ck_assert(stream_content_ok(s));
	ck_assert_uint_eq(s->nr_reads, 3 + STREAM_RANGES);
	stream_delete(&s);
}

/* ---- read-modify-write, tables of a call ---- */

CASE(parts_of_blocks_are_read_by_the_client, "I35 I34",
     "Blocks written in part are read synchronously, whole ones not; a read that fails undoes it")
{
	struct stream *s = start(PAGE, 4 * PAGE);
	char buf[2 * BLOCK];

	memset(buf, 'w', sizeof(buf));
	ck_assert_int_eq(stream_write(s, 300, buf, BLOCK, 0), BLOCK);
	ck_assert_uint_eq(s->nr_rmw, 2);
	ck_assert_int_eq(stream_write(s, PAGE, buf, 2 * BLOCK, 0), 2 * BLOCK);
	ck_assert_uint_eq(s->nr_rmw, 2);
	s->fail_rmw = (struct stream_fault){ .nth = 1, .error = -EREMOTEIO };
	ck_assert_int_eq(stream_write(s, 2 * PAGE + 1, buf, 10, 0), -EREMOTEIO);
	ck_assert_uint_eq(s->nr_reads, 0);
	ck_assert(stream_content_ok(s));
	ck_assert_int_eq(stream_sync(s), 0);
	ck_assert(stream_server_ok(s));
	stream_delete(&s);
}

static unsigned nr_other_reads, nr_other_rmw;

static int other_range(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	struct stream *s = STREAM(iter->inode);
	size_t off = (size_t)(iter->pos - ctx->cur_folio->pos);

	nr_other_reads++;
	memcpy((char *)ctx->cur_folio->mem + off, s->disk + iter->pos, len);
	iomap_finish_folio_read(ctx->cur_folio, off, len, 0);
	return 0;
}

static int other_now(const struct iomap_iter *iter, struct iomap_folio *folio, int64_t pos,
		     size_t len)
{
	nr_other_rmw++;
	memcpy((char *)folio->mem + (pos - folio->pos), STREAM(iter->inode)->disk + pos, len);
	return 0;
}

CASE(tables_are_those_of_the_call, "",
     "Two tables for reading and two for writing on one inode: each call uses its own")
{
	const struct iomap_read_ops other_read = {
		.struct_size = sizeof(other_read), .read_folio_range = other_range,
	};
	const struct iomap_write_ops other_write = {
		.struct_size = sizeof(other_write), .read_folio_range = other_now,
	};
	struct stream *s = start(PAGE, 4 * PAGE);
	struct iomap_read_ops mine = s->read_ops;
	struct iomap_write_ops my_write = s->write_ops;
	char buf[PAGE];

	nr_other_reads = nr_other_rmw = 0;
	ck_assert_int_eq(stream_read(s, 3 * PAGE, buf, PAGE, 0), PAGE);
	s->read_ops = other_read;
	ck_assert_int_eq(stream_read(s, PAGE, buf, PAGE, 0), PAGE);
	ck_assert_uint_eq(s->nr_reads, 1);
	ck_assert_uint_eq(nr_other_reads, 1);
	s->write_ops = other_write;
	ck_assert_int_eq(stream_fill(s, 10, 20, 2, 0), 20);
	s->write_ops = my_write;
	ck_assert_int_eq(stream_fill(s, 2 * PAGE + 10, 20, 3, 0), 20);
	ck_assert_uint_eq(nr_other_rmw, 1);
	ck_assert_uint_eq(s->nr_rmw, 1);
	s->read_ops = mine;
	ck_assert(stream_content_ok(s));
	ck_assert_uint_eq(nr_other_reads, 1);
	stream_delete(&s);
}

/* ---- what a user is told ---- */

struct found {
	struct iomap_extent e[4];
	unsigned nr;
};

static int note(void *arg, const struct iomap_extent *extent)
{
	struct found *f = arg;

	ck_assert_uint_lt(f->nr, 4);
	f->e[f->nr++] = *extent;
	return 0;
}

static int no_run(void *arg, uint64_t page, uint64_t nr_pages, uint64_t addr)
{
	(void)arg, (void)page, (void)nr_pages, (void)addr;
	ck_abort_msg("a run of pages");
	return 0;
}

CASE(reports_without_a_device, "I139 I140 I142",
     "All is data up to the end, one extent without an address, nothing to swap to")
{
	struct stream *s = start(PAGE, 4 * PAGE);
	struct found f = { .nr = 0 };

	ck_assert_int_eq(iomap_seek_data(&s->inode, 5000, &s->ops, NULL), 5000);
	ck_assert_int_eq(iomap_seek_hole(&s->inode, 5000, &s->ops, NULL), 4 * PAGE);
	ck_assert_int_eq(iomap_seek_hole(&s->inode, 4 * PAGE, &s->ops, NULL), -ENXIO);
	ck_assert_int_eq(iomap_fiemap(&s->inode, 0, 4 * PAGE, true, &s->ops, NULL, note, &f), 0);
	ck_assert_uint_eq(f.nr, 1);
	ck_assert_int_eq(f.e[0].pos, 0);
	ck_assert_uint_eq(f.e[0].len, 4 * PAGE);
	ck_assert_uint_eq(f.e[0].addr, IOMAP_NULL_ADDR);
	ck_assert_uint_eq(f.e[0].flags, IOMAP_EXTENT_LAST);
	ck_assert_ptr_null(f.e[0].bdev);
	ck_assert_uint_eq(iomap_bmap(&s->inode, 1, &s->ops, NULL), 0);
	ck_assert_int_eq(iomap_swapfile_activate(&s->file, &s->ops, NULL, no_run, NULL), -EINVAL);
	stream_delete(&s);
}

MAIN()
