/* SPDX-License-Identifier: MIT */
/*
 * test_buffered_read.c - requests to the device, read-ahead, and what a reader gets.
 */
#include "unit/read_table.h"

/* ---- requests ---- */

CASE(contiguous_ranges_are_one_request, "I32",
     "What follows on the device is one request, what does not is not")
{
	struct table s;
	uint64_t bytes;
	unsigned nr;
	const struct t_mem_req *log;

	start(&s, NULL);
	make_file(&s, 16 * FOLIO);
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(nr_reads(&s, &bytes), 1);
	ck_assert_uint_eq(bytes, 16 * FOLIO);
	stop(&s);
	start(&s, &(struct m_opts){ .chunk = 2 * BLOCK, .gap = 1 });
	make_file(&s, 2 * FOLIO);
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(nr_reads(&s, &bytes), 4);
	ck_assert_uint_eq(bytes, 2 * FOLIO);
	log = t_mem_log(s.dev, &nr);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_uint_eq(log[i].addr, s.f->data[2 * i].addr);
	stop(&s);
}

CASE(requests_have_a_limit, "I32", "A request ends at 1 MiB however contiguous the file is")
{
	struct table s;
	int64_t pos = 0;
	uint64_t len = 3u << 20;
	const struct t_mem_req *log;
	unsigned nr;

	start(&s, &(struct m_opts){ .block_bits = 12, .max_folio = 65536,
				    .cache_bytes = 16 << 20 });
	make_file(&s, 3u << 20);
	iomap_readahead(&s.f->inode, &pos, &len, &s.m->ops, NULL, NULL);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(pos, 3 << 20);
	ck_assert(m_content_ok(s.f));
	log = t_mem_log(s.dev, &nr);
	ck_assert_uint_eq(nr, 3);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_uint_eq(log[i].len, 1 << 20);
	stop(&s);
}

static struct iomap_bdev *other;

/* The second folio lies on another device, where the first would go on. */
static void two_devices(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			struct iomap *map, struct iomap *srcmap)
{
	(void)f, (void)len, (void)flags, (void)srcmap;
	if (pos < FOLIO)
		map->length = (uint64_t)(FOLIO - map->offset);
	else
		map->bdev = other;
}

CASE(neighbours_on_two_devices_are_two_requests, "I32",
     "What follows by its address, on another device, is a request of its own")
{
	struct table s;
	char buf[2 * FOLIO];
	uint64_t addr;

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	addr = s.f->data[FOLIO / BLOCK].addr;
	ck_assert_uint_eq(addr, s.f->data[0].addr + FOLIO);
	ck_assert_int_eq(iomap_bdev_open(s.m->ioq, "mem:other", NULL, &other), 0);
	memset(t_mem_data(t_mem_find("other")) + addr, 'o', FOLIO);
	s.m->hook_map = two_devices;
	memset(s.f->ref + FOLIO, 'o', FOLIO);	/* m_read compares */
	ck_assert_int_eq(m_read(s.f, 0, buf, sizeof(buf)), sizeof(buf));
	ck_assert_uint_eq(nr_reads(&s, NULL), 1);
	s.m->hook_map = NULL;
	m_file_free(&s.f);
	s.f = m_file_new(s.m);
	iomap_bdev_close(&other);
	stop(&s);
}

CASE(no_request_left_falls_back, "I33",
     "With more ranges than bios each goes alone and is waited for; no folio is left in part")
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts), .nr_bios = 8 };
	struct table s;
	int64_t pos = 0;
	uint64_t len = 8 * FOLIO;

	t_env_start(&s.t, &opts);
	s.m = m_open(&s.t, &(struct m_opts){
		.block_bits = 10, .max_folio = FOLIO, .chunk = BLOCK, .gap = 1 });
	s.f = m_file_new(s.m);
	s.dev = t_mem_find("model");
	make_file(&s, 8 * FOLIO);
	iomap_readahead(&s.f->inode, &pos, &len, &s.m->ops, NULL, NULL);
	ck_assert_uint_eq(len, 0);
	for (int64_t at = 0; at < 8 * FOLIO; at += FOLIO) {
		struct iomap_folio *folio = iomapi_mapping_find(&s.f->inode, at);

		ck_assert_ptr_nonnull(folio);
		wait_read(folio);
		ck_assert(uptodate(folio));
		iomap_folio_put(folio);
	}
	ck_assert_uint_eq(nr_reads(&s, NULL), 32);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(error_reaches_the_reader, "I13",
     "Bytes before the bad block are a result; at the block it is -EIO")
{
	struct table s;
	char buf[4 * FOLIO];

	start(&s, NULL);
	make_file(&s, 4 * FOLIO);
	t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1000, -EIO, s.f->data[9].addr);
	ck_assert_int_eq(m_read(s.f, 0, buf, sizeof(buf)), 2 * FOLIO);
	ck_assert_int_eq(m_read(s.f, 2 * FOLIO, buf, sizeof(buf)), -EIO);
	ck_assert_int_eq(m_read(s.f, 3 * FOLIO, buf, sizeof(buf)), FOLIO);
	stop(&s);
}

CASE(the_devices_error_is_the_answer, "I13",
     "What the device or the client's operation says reaches the reader as it is")
{
	static const int errors[] = { -ETIMEDOUT, -ENODATA, -EILSEQ };
	struct table s;
	char buf[FOLIO];

	for (unsigned i = 0; i < 3; i++) {
		start(&s, NULL);
		make_file(&s, FOLIO);
		t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1000, errors[i], s.f->data[0].addr);
		ck_assert_int_eq(m_read(s.f, 0, buf, sizeof(buf)), errors[i]);
		stop(&s);
	}
}

CASE(failed_begin_is_the_answer, "I13",
     "What begin said is what the reader gets, and nothing stays locked")
{
	struct table s;
	char buf[FOLIO];

	start(&s, NULL);
	make_file(&s, FOLIO);
	s.m->fail_begin = (struct m_fault){ .nth = 1, .count = 2, .error = -ENOMEM };
	ck_assert_int_eq(m_read(s.f, 0, buf, FOLIO), -ENOMEM);
	ck_assert_int_eq(m_read(s.f, 0, buf, FOLIO), FOLIO);
	stop(&s);
}

/* ---- read(2) ---- */

CASE(reading_stops_at_the_end, "",
     "A read is clipped at the end of the file and moves the position")
{
	struct iomap_data data;
	struct iovec iov;
	struct iomap_req req;
	char buf[2 * FOLIO];
	struct table s;

	start(&s, NULL);
	make_file(&s, 5000);
	iov = (struct iovec){ buf, sizeof(buf) };
	req = (struct iomap_req){ .file = &s.f->file, .pos = 1000 };
	iomap_data_init(&data, &iov, 1);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), 4000);
	ck_assert_int_eq(req.pos, 5000);
	ck_assert_mem_eq(buf, s.f->ref + 1000, 4000);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), 0);
	ck_assert_int_eq(req.pos, 5000);
	req.pos = -1;
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), -EINVAL);
	req.pos = IOMAP_MAX_POS;
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), 0);
	req = (struct iomap_req){ .file = &s.f->file, .flags = IOMAP_REQ_ATOMIC };
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), -EINVAL);
	ck_assert_int_eq(iomap_file_buffered_read(NULL, &data, &s.m->ops, NULL, NULL), -EINVAL);
	stop(&s);
}

/* The read-ahead is refused, and while it was asked the file has grown. */
static void grow_and_fail(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
			  struct iomap *map, struct iomap *srcmap)
{
	(void)pos, (void)len, (void)flags, (void)srcmap;
	f->m->hook_map = NULL;
	iomap_inode_set_size(&f->inode, f->ref_size);
	map->length = 0;
}

CASE(a_file_that_grows_is_read_as_it_was, "I13 I30",
     "Blocks that became the file's meanwhile and cannot be read are not handed out")
{
	struct iomap_req req;
	struct iomap_data data;
	char buf[FOLIO];
	struct iovec iov = { buf, sizeof(buf) };
	struct table s;

	start(&s, &(struct m_opts){ .chunk = BLOCK, .gap = 1 });
	make_file(&s, FOLIO);
	iomap_inode_set_size(&s.f->inode, BLOCK);
	s.m->hook_map = grow_and_fail;
	t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1000, -EIO, s.f->data[1].addr);
	memset(buf, 'u', sizeof(buf));
	req = (struct iomap_req){ .file = &s.f->file };
	iomap_data_init(&data, &iov, 1);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), BLOCK);
	ck_assert_mem_eq(buf, s.f->ref, BLOCK);
	for (unsigned i = BLOCK; i < FOLIO; i++)
		ck_assert_int_eq(buf[i], 'u');
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), -EIO);
	stop(&s);
}

CASE(nowait_reads_what_is_there, "", "NOWAIT gives what is cached, then -EAGAIN without a request")
{
	struct iomap_data data;
	struct iomap_req req;
	char buf[2 * FOLIO];
	struct iovec iov = { buf, sizeof(buf) };
	struct table s;

	start(&s, NULL);
	make_file(&s, 2 * FOLIO);
	req = (struct iomap_req){ .file = &s.f->file, .flags = IOMAP_REQ_NOWAIT };
	iomap_data_init(&data, &iov, 1);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), -EAGAIN);
	ck_assert_uint_eq(data.left, sizeof(buf));
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_int_eq(m_fill(s.f, 0, FOLIO, 2), FOLIO);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), FOLIO);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL), -EAGAIN);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_mem_eq(buf, s.f->ref, FOLIO);
	stop(&s);
}

CASE(sequential_reader_is_read_ahead_for, "",
     "Small reads in a row cost a request per 128 KiB; random ones one each")
{
	struct table s;
	char buf[512];
	uint64_t bytes;

	start(&s, NULL);
	make_file(&s, 512 << 10);
	for (int64_t pos = 0; pos < 512 << 10; pos += (int64_t)sizeof(buf))
		ck_assert_int_eq(m_read(s.f, pos, buf, sizeof(buf)), sizeof(buf));
	ck_assert_uint_eq(nr_reads(&s, &bytes), 4);
	ck_assert_uint_eq(bytes, 512 << 10);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	t_mem_log_reset(s.dev);
	for (int64_t pos = 300 << 10; pos > 0; pos -= 20 << 10)
		ck_assert_int_eq(m_read(s.f, pos, buf, sizeof(buf)), sizeof(buf));
	nr_reads(&s, &bytes);
	ck_assert_uint_eq(bytes, 15 * FOLIO);
	stop(&s);
}

CASE(readahead_leaves_cached_folios_alone, "I27",
     "A window over folios that are there reads the gaps")
{
	struct table s;
	int64_t pos = 0;
	uint64_t len = 8 * FOLIO, bytes;

	start(&s, NULL);
	make_file(&s, 8 * FOLIO);
	ck_assert_int_eq(m_fill(s.f, 2 * FOLIO, FOLIO, 2), FOLIO);
	/* in part: the rest is the reader's business */
	ck_assert_int_eq(m_fill(s.f, 5 * FOLIO, BLOCK, 2), BLOCK);
	iomap_readahead(&s.f->inode, &pos, &len, &s.m->ops, NULL, NULL);
	ck_assert_uint_eq(len, 0);
	nr_reads(&s, &bytes);
	ck_assert_uint_eq(bytes, 6 * FOLIO);
	ck_assert(m_content_ok(s.f));
	nr_reads(&s, &bytes);
	ck_assert_uint_eq(bytes, 7 * FOLIO - BLOCK);
	stop(&s);
}

CASE(readahead_says_what_is_left, "",
     "An error stops the window; what was not started is handed back")
{
	struct table s;
	int64_t pos = 0;
	uint64_t len = 8 * FOLIO;

	start(&s, &(struct m_opts){ .chunk = FOLIO });
	make_file(&s, 8 * FOLIO);
	s.m->fail_begin = (struct m_fault){ .nth = 4, .error = -EIO };
	iomap_readahead(&s.f->inode, &pos, &len, &s.m->ops, NULL, NULL);
	ck_assert_int_eq(pos, 3 * FOLIO);
	ck_assert_uint_eq(len, 5 * FOLIO);
	ck_assert(m_content_ok(s.f));
	pos = 100 * FOLIO;
	len = FOLIO;
	iomap_readahead(&s.f->inode, &pos, &len, &s.m->ops, NULL, NULL);
	ck_assert_uint_eq(len, 0);		/* behind the end there is nothing to start */
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(a_killed_file_is_not_filled, "H13",
     "Read-ahead caches nothing, a folio comes back unlocked and empty, begin is not asked")
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };
	struct iomap_folio *folio;
	struct table s;
	int64_t pos = FOLIO;
	uint64_t len = 4 * FOLIO;
	char byte;

	start(&s, NULL);
	make_file(&s, 8 * FOLIO);
	ck_assert_int_eq(iomap_inode_kill(&s.f->inode, IOMAP_FOREVER), 0);
	folio = new_folio(&s, 0);
	s.m->nr_begin = s.m->nr_end = 0;
	iomap_readahead(&s.f->inode, &pos, &len, &s.m->ops, NULL, NULL);
	ck_assert_int_eq(pos, FOLIO);
	ck_assert_uint_eq(len, 4 * FOLIO);
	iomap_read_folio(folio, &s.m->ops, NULL, NULL);
	ck_assert(!(iomap_folio_flags(folio) & (IOMAP_FOLIO_LOCKED | IOMAP_FOLIO_UPTODATE)));
	iomap_folio_put(folio);
	ck_assert_int_eq(m_read(s.f, 0, &byte, 1), -ESTALE);
	ck_assert_uint_eq(s.m->nr_begin, 0);
	iomap_cache_stats(s.m->cache, &stats);
	ck_assert_uint_eq(stats.bytes, FOLIO);
	stop(&s);
}

MAIN()
