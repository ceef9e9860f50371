/* SPDX-License-Identifier: MIT */
/*
 * How large an ioend may become: bytes, folios, segments, and where it is cut.
 */
#include "unit/ioend_fixture.h"

CASE(four_mebibytes_by_default, "I97 I98", "An ioend takes 4 MiB, checked before the append")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.trace = true, .cache_bytes = 16 << 20, .env.nr_segs = 4096,
	});

	flat_dirty(f, 0, (4 << 20) + BLOCK, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].size, 4 << 20);
	ck_assert_uint_eq(f->submits[1].size, BLOCK);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_SIZE);
	flat_delete(&f);
}

CASE(a_range_is_cut_at_the_limit, "I97 I98",
     "A folio that does not fit whole is cut between blocks")
{
	struct flat *f = flat_new(&(struct flat_opts){ .max_folio = 65536 });

	f->wbc.max_ioend_bytes = 5 * BLOCK + 17;
	flat_dirty(f, 0, 65536, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(f->submits[i].size, i < 3 ? 5 * BLOCK : BLOCK);
	ck_assert_uint_eq(flat_flags(f, 0) & IOMAP_FOLIO_WRITEBACK, 0);
	flat_delete(&f);
}

CASE(never_less_than_a_block, "I97", "A limit below the block still moves block by block")
{
	struct flat *f = dirty_blocks(NULL, 3);

	f->wbc.max_ioend_bytes = 1;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 3);
	flat_delete(&f);
}

CASE(cuts_respect_grain_and_atomic_chunks, "I97", "Neither a grain nor an atomic chunk is cut")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.dev = "mem:flat,size=64m,atomic=65536", .max_folio = 65536,
	});

	f->wbc.max_ioend_bytes = 20000;
	f->wbc.grain = 16384;
	flat_dirty(f, 0, 65536, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 4);
	ck_assert_uint_eq(f->submits[3].size, 16384);
	flat_forget(f);
	f->wbc.grain = 0;
	f->wbc.atomic_bytes = 32768;
	f->wbc.max_ioend_bytes = 40000;
	flat_dirty(f, 0, 65536, 'b');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].size, 32768);
	f->wbc.atomic_bytes = 12288;
	flat_dirty(f, 0, 65536, 'b');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EINVAL);
	f->wbc.atomic_bytes = 8192;
	f->wbc.grain = 12288;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), -EINVAL);
	flat_delete(&f);
}

/* A cached file whose memory is not adjacent: every other page belongs to another file. */
static void dirty_scattered(struct flat *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		flat_dirty(f, (int64_t)(n - 1 - i) * BLOCK, BLOCK, 'a');
}

CASE(segments_of_the_device, "I98",
     "Runs of memory count against the device's segments, ranges do not")
{
	struct flat *f = flat_new(&(struct flat_opts){ .dev = "mem:flat,size=64m,segs=4" });

	/* one after the other, as the arena gives them out: one run */
	for (int64_t i = 0; i < 16; i++)
		flat_dirty(f, i * BLOCK, BLOCK, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_uint_eq(f->submits[0].nr_segs, 16);
	flat_delete(&f);
	f = flat_new(&(struct flat_opts){ .dev = "mem:flat,size=64m,segs=4", .trace = true });
	dirty_scattered(f, 16);
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 4);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_SIZE);
	flat_delete(&f);
}

static void whole_chunks(const struct flat_opts *opts, uint32_t chunk, uint64_t max_bytes)
{
	struct flat *f = flat_new(opts);
	int64_t end = 0;

	f->wbc.atomic_bytes = chunk;
	f->wbc.max_ioend_bytes = max_bytes;
	dirty_scattered(f, 64);
	write_all(f, 0);
	ck_assert_uint_gt(f->nr_submits, 1);
	for (unsigned i = 0; i < f->nr_submits; i++) {
		ck_assert_int_eq(f->submits[i].offset, end);
		ck_assert_uint_eq(f->submits[i].len % chunk, 0);
		end += (int64_t)f->submits[i].len;
	}
	ck_assert_int_eq(end, 64 * BLOCK);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(t_mem_data(f->mem)[i * BLOCK], 'a');
	flat_delete(&f);
}

CASE(chunks_of_several_folios_are_not_cut, "I97 I98",
     "Bytes, the device's segments or the environment's run out: an ioend ends between chunks")
{
	whole_chunks(&(struct flat_opts){ .dev = "mem:flat,size=64m,atomic=65536" },
		     4 * BLOCK, 10 * BLOCK);
	whole_chunks(&(struct flat_opts){ .dev = "mem:flat,size=64m,atomic=65536,segs=6" },
		     4 * BLOCK, 0);
	whole_chunks(&(struct flat_opts){ .dev = "mem:flat,size=64m,atomic=65536",
					  .env.nr_segs = 20 }, 8 * BLOCK, 0);
}

CASE(a_chunk_that_begins_where_memory_goes_on, "I98",
     "Its first folio needs no segment more, the others do: they count before it is begun")
{
	static const int64_t order[] = { 7, 6, 5, 3, 4, 2, 1, 0 };	/* 4 behind 3 in memory */
	struct flat *f = flat_new(&(struct flat_opts){
		.dev = "mem:flat,size=64m,atomic=65536,segs=6",
	});

	f->wbc.atomic_bytes = 4 * BLOCK;
	for (unsigned i = 0; i < 8; i++)
		flat_dirty(f, order[i] * BLOCK, BLOCK, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].len, 4 * BLOCK);
	flat_delete(&f);
}

CASE(ranges_of_the_environment, "I98", "nr_segs of the environment bounds the ranges of an ioend")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){ .env.nr_segs = 16 }, 40);

	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 3);
	ck_assert_uint_eq(f->submits[0].nr_segs, 16);
	flat_delete(&f);
}

CASE(never_more_than_4096_folios, "I98 R13",
     "Small blocks, a large limit, more segments asked for: 4096 folios at most")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.frames = 4200, .frame_size = 512, .block_bits = 9, .env.nr_segs = 8192,
		.dev = "mem:flat,size=64m,segs=8192",
	});
	struct iomap_writeback_ctx wpc;

	f->wbc.max_ioend_bytes = 16 << 20;
	flat_wpc(f, &wpc);
	for (unsigned i = 0; i < 4200; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	}
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].nr_folios, 4096);
	ck_assert_uint_eq(f->submits[1].nr_folios, 104);
	flat_delete(&f);
}

static void with_integrity(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)pos, (void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .length = 48 << 20,
		.flags = IOMAP_F_INTEGRITY,
	};
}

CASE(integrity_limits_the_size, "I97", "With protection information an ioend is one device request")
{
	struct flat *f = flat_new(&(struct flat_opts){ .dev = "mem:flat,size=64m,max=65536" });

	flat_dirty(f, 0, 4 * 65536, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	flat_forget(f);
	f->map = with_integrity;
	f->inode.flags |= IOMAP_INODE_STABLE;
	flat_dirty(f, 0, 4 * 65536, 'b');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(f->submits[i].size, 65536);
	flat_delete(&f);
}

MAIN()
