/* SPDX-License-Identifier: MIT */
/*
 * test_last_folio.c - the end of the largest file: its last folio ends at 2^63, a position that no
 * file has.
 *
 * The file's last MiB lies at the start of the device.
 */
#include "cache/cache.h"
#include "model/flat.h"

#define MIB	(1 << 20)
#define BASE	(IOMAP_MAX_POS - MIB + 1)
#define FOLIO	16384
#define LAST	(IOMAP_MAX_POS - FOLIO + 1)	/* of the last folio */

static void last_mib(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)pos, (void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = BASE, .length = MIB - 1,
	};
}

static int begin_rc;

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)flags, (void)srcmap, (void)priv;
	last_mib(FLAT(inode), pos, len, map);
	return begin_rc;
}

static uint8_t byte_at(int64_t pos)
{
	return (uint8_t)(1 + (pos - BASE) % 251);
}

static struct flat *largest_file(void)
{
	struct flat *f = flat_new(&(struct flat_opts){
		.max_folio = FOLIO, .size = IOMAP_MAX_POS,
	});

	begin_rc = 0;
	f->ops.iomap_begin = begin;
	f->map = last_mib;
	for (int i = 0; i < MIB; i++)
		t_mem_data(f->mem)[i] = byte_at(BASE + i);
	return f;
}

/* Up to len bytes, compared with what is there. */
static int64_t read_at(struct flat *f, int64_t pos, size_t len)
{
	struct iomap_req req = { .file = &f->file, .pos = pos };
	static uint8_t buf[MIB];
	struct iovec iov = { buf, len };
	struct iomap_data data;
	int64_t n;

	iomap_data_init(&data, &iov, 1);
	n = iomap_file_buffered_read(&req, &data, &f->ops, NULL, NULL);
	for (int64_t i = 0; i < n; i++)
		ck_assert_msg(buf[i] == byte_at(pos + i), "byte %lld of %lld", (long long)i,
			      (long long)n);
	return n;
}

static struct iomap_folio *last_folio(struct flat *f, unsigned op_flags)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&f->inode, LAST, FOLIO, op_flags, &folio), 0);
	ck_assert_int_eq(folio->pos, LAST);
	ck_assert_uint_eq(folio->size, FOLIO);
	return folio;
}

CASE(it_is_filled, "", "Read as one folio: all bytes of the file come")
{
	struct flat *f = largest_file();
	struct iomap_folio *folio = last_folio(f, IOMAP_WRITE);
	uint8_t *mem = folio->mem;

	iomap_read_folio(folio, &f->ops, NULL, NULL);
	iomap_folio_lock(folio);
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE);
	ck_assert_uint_eq(mem[0], byte_at(LAST));
	ck_assert_uint_eq(mem[FOLIO - 2], byte_at(IOMAP_MAX_POS - 1));
	flat_unlock(folio);
	flat_delete(&f);
}

CASE(it_is_read, "", "A read up to the end, and one that asks for more: the bytes that are there")
{
	struct flat *f = largest_file();

	ck_assert_int_eq(read_at(f, IOMAP_MAX_POS - 1, 1), 1);
	ck_assert_int_eq(read_at(f, IOMAP_MAX_POS - 5000, 5000), 5000);
	ck_assert_int_eq(read_at(f, IOMAP_MAX_POS, 1), 0);
	ck_assert_int_eq(iomap_inode_evict(&f->inode, IOMAP_EVICT_DISCARD, NULL), 0);
	ck_assert_int_eq(read_at(f, IOMAP_MAX_POS - 100000, 100000), 100000);
	flat_delete(&f);
}

CASE(it_is_read_ahead, "", "Read-ahead fills the last folios, once, and comes to its end")
{
	struct flat *f = largest_file();
	int64_t pos = LAST - 3 * FOLIO;
	uint64_t len = 8 * FOLIO, bytes = 0;
	const struct t_mem_req *log;
	unsigned nr;

	for (int i = 0; i < 2; i++) {		/* the second time all is there */
		pos = LAST - 3 * FOLIO;
		len = 8 * FOLIO;
		iomap_readahead(&f->inode, &pos, &len, &f->ops, NULL, NULL);
		ck_assert_int_eq(pos, IOMAP_MAX_POS);
		ck_assert_uint_eq(len, 4 * FOLIO + 1);
	}
	ck_assert_int_eq(read_at(f, LAST - 3 * FOLIO, 4 * FOLIO - 1), 4 * FOLIO - 1);
	log = t_mem_log(f->mem, &nr);
	for (unsigned i = 0; i < nr; i++)
		bytes += log[i].len;
	ck_assert_uint_eq(bytes, 4 * FOLIO);
	flat_delete(&f);
}

CASE(it_is_written, "I95", "Its last bytes go to the device, in an ioend that ends with the file")
{
	struct flat *f = largest_file();

	flat_dirty(f, IOMAP_MAX_POS - 5000, 5000, 'x');
	ck_assert_int_eq(iomap_inode_size(&f->inode), IOMAP_MAX_POS);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_int_eq(f->submits[0].offset, IOMAP_MAX_POS - 8191);
	ck_assert_uint_eq(f->submits[0].size, 8191);
	ck_assert_uint_eq(f->submits[0].len, 8192);
	ck_assert_uint_eq(t_mem_data(f->mem)[MIB - 5002], byte_at(IOMAP_MAX_POS - 5001));
	ck_assert_uint_eq(t_mem_data(f->mem)[MIB - 5001], 'x');
	ck_assert_uint_eq(t_mem_data(f->mem)[MIB - 2], 'x');
	flat_delete(&f);
}

CASE(a_failed_write_leaves_it, "I45", "A write in it that fails drops no folio over the end")
{
	struct flat *f = largest_file();
	struct iomap_req req = { .file = &f->file, .pos = IOMAP_MAX_POS - 1000 };
	char buf[1000] = { 0 };
	struct iovec iov = { buf, sizeof(buf) };
	struct iomap_data data;
	struct iomap_folio *folio;

	ck_assert_int_eq(read_at(f, LAST, FOLIO - 1), FOLIO - 1);
	iomap_inode_set_size(&f->inode, IOMAP_MAX_POS - 2000);
	begin_rc = -ENOSPC;
	iomap_data_init(&data, &iov, 1);
	iomap_inode_lock(&f->inode, 0);
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &f->ops, NULL, NULL), -ENOSPC);
	iomap_inode_unlock(&f->inode);
	ck_assert_int_eq(iomap_inode_size(&f->inode), IOMAP_MAX_POS - 2000);
	folio = last_folio(f, 0);
	ck_assert(iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE);
	flat_unlock(folio);
	begin_rc = 0;
	ck_assert_int_eq(read_at(f, LAST, FOLIO - 2001), FOLIO - 2001);
	flat_delete(&f);
}

CASE(its_tail_is_zeroed, "", "truncate_page in the last block stops where a file can end")
{
	struct flat *f = largest_file();
	struct iomap_folio *folio;
	bool did_zero = false;
	const uint8_t *mem;

	ck_assert_int_eq(iomap_truncate_page(&f->inode, IOMAP_MAX_POS, &did_zero, &f->ops, NULL,
					     NULL), 0);
	ck_assert(!did_zero);
	ck_assert_int_eq(iomap_truncate_page(&f->inode, IOMAP_MAX_POS - 10, &did_zero, &f->ops,
					     NULL, NULL), 0);
	ck_assert(did_zero);
	folio = iomapi_mapping_find(&f->inode, IOMAP_MAX_POS - 1);
	ck_assert_ptr_nonnull(folio);
	mem = (const uint8_t *)folio->mem + folio->size - 12;
	ck_assert_uint_eq(mem[0], byte_at(IOMAP_MAX_POS - 11));
	for (unsigned i = 1; i < 11; i++)
		ck_assert_uint_eq(mem[i], 0);
	iomap_folio_put(folio);
	ck_assert_int_eq(iomap_inode_size(&f->inode), IOMAP_MAX_POS);
	flat_delete(&f);
}

MAIN()
