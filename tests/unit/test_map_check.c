/* SPDX-License-Identifier: MIT */
/*
 * The map validator: range, flags, place and source (V1 to V7, V12).
 */
#include "map_judge.h"

/* ---- range and flags ---- */

CASE(v1_covers_the_position, "V1 I2", "Beside the position, negative, or beyond the largest file")
{
	struct fix *f = fix_open(SIZE);

	accepted(f, 0);
	WITH(f, f->map.offset = 5 * BLK, refused(f, 0, "V1", "offset", 5 * BLK));
	WITH(f, f->map.offset = -BLK, refused(f, 0, "V1", "offset", (uint64_t)-BLK));
	WITH(f, f->map.length = POS, refused(f, 0, "V1", "length", POS));
	WITH(f, f->map.length = 1ull << 63, refused(f, 0, "V1", "length", 1ull << 63));
	WITH(f, (f->map.offset = BLK, f->map.length = UINT64_MAX - BLK + 1),
	     refused(f, 0, "V1", "length", UINT64_MAX - BLK + 1));
	fix_close(f);
}

CASE(v1_in_writeback, "V1", "The map in a writeback context covers the position")
{
	struct fix *f = fix_open(SIZE);

	wb_accepted(f);
	WITH(f, f->map.offset = 5 * BLK, wb_refused(f, "V1", "offset", 5 * BLK));
	WITH(f, f->map.offset = -BLK, wb_refused(f, "V1", "offset", (uint64_t)-BLK));
	WITH(f, f->map.length = POS, wb_refused(f, "V1", "length", POS));
	WITH(f, f->map.length = 1ull << 63, wb_refused(f, "V1", "length", 1ull << 63));
	fix_close(f);
}

CASE(v2_is_not_empty, "V2 I2", "A length of 0: mapped, a hole, never filled, in writeback")
{
	struct fix *f = fix_open(SIZE);

	WITH(f, (f->map.offset = POS, f->map.length = 0), refused(f, 0, "V2", "length", 0));
	WITH(f, (f->map.type = IOMAP_DELALLOC, f->map.addr = IOMAP_NULL_ADDR, f->map.length = 0),
	     refused(f, IOMAP_WRITE, "V2", "length", 0));
	WITH(f, memset(&f->map, 0, sizeof(f->map)), refused(f, 0, "V2", "length", 0));
	WITH(f, f->map.length = 0, wb_refused(f, "V2", "length", 0));
	fix_close(f);
}

CASE(v3_knows_types_and_flags, "V3", "Types behind the last, bits of nobody, bits of the library")
{
	struct fix *f = fix_open(SIZE);
	const uint16_t mine = IOMAP_F_PRIVATE | IOMAP_F_DIRTY | IOMAP_F_MERGED | IOMAP_F_XATTR |
			      IOMAP_F_BOUNDARY | IOMAP_F_INTEGRITY | IOMAP_F_SHARED;

	WITH(f, f->map.flags = mine, accepted(f, 0));
	WITH(f, f->map.type = 5, refused(f, 0, "V3", "type", 5));
	WITH(f, f->map.type = 65535, refused(f, 0, "V3", "type", 65535));
	for (unsigned bit = 9; bit < 16; bit++) {
		uint16_t flags = (uint16_t)(1u << bit);

		if (flags == IOMAP_F_PRIVATE || flags == IOMAP_F_STALE)
			continue;
		WITH(f, f->map.flags = flags, refused(f, IOMAP_ZERO, "V3", "flags", flags));
		WITH(f, f->map.flags = flags, wb_refused(f, "V3", "flags", flags));
	}
	WITH(f, f->map.type = 5, wb_refused(f, "V3", "type", 5));
	WITH(f, f->map.flags = IOMAP_F_STALE, wb_refused(f, "I3", "flags", IOMAP_F_STALE));
	WITH(f, f->map.flags = mine & ~IOMAP_F_INTEGRITY, wb_accepted(f));
	f->src = f->map;
	f->src.addr = 32 * BLK;
	accepted(f, IOMAP_WRITE);
	WITH(f, f->src.type = 6, refused(f, IOMAP_WRITE, "V3", "srcmap.type", 6));
	WITH(f, f->src.flags = 1 << 10, refused(f, IOMAP_WRITE, "V3", "srcmap.flags", 1 << 10));
	WITH(f, f->src.flags = IOMAP_F_FOLIO_BATCH,
	     refused(f, IOMAP_ZERO, "V3", "srcmap.flags", IOMAP_F_FOLIO_BATCH));
	WITH(f, f->src.flags = IOMAP_F_STALE,
	     refused(f, IOMAP_WRITE, "I3", "srcmap.flags", IOMAP_F_STALE));
	fix_close(f);
}

CASE(v12_in_writeback, "V12", "Spare words of a context's map stay zero")
{
	struct fix *f = fix_open(SIZE);

	WITH(f, f->map.spare32 = 1, wb_refused(f, "V12", "spare", 1));
	WITH(f, f->map.spare[0] = 2, wb_refused(f, "V12", "spare", 2));
	WITH(f, f->map.spare[3] = 4, wb_refused(f, "V12", "spare", 4));
	fix_close(f);
}

/* ---- place ---- */

CASE(v4_has_a_place_on_the_device, "V4", "No address, an odd one, behind the end, one for a hole")
{
	struct fix *f = fix_open(SIZE);
	const uint64_t none = IOMAP_NULL_ADDR;

	WITH(f, f->map.addr = none, refused(f, 0, "V4", "addr", none));
	WITH(f, f->map.addr = 100, refused(f, 0, "V4", "addr", 100));
	WITH(f, f->map.addr = DEV_SIZE + 512, refused(f, 0, "V4", "addr", DEV_SIZE + 512));
	/* block 4 is the first behind the end; block 3 of the same map is fine */
	WITH(f, f->map.addr = DEV_SIZE - POS, refused(f, 0, "V4", "length", POS + BLK));
	WITH(f, f->map.addr = DEV_SIZE - POS, accepted_at(f, POS - BLK, BLK, 0));
	WITH(f, f->map.addr = UINT64_MAX - 511, refused(f, 0, "V4", "addr", UINT64_MAX - 511));
	f->map.type = IOMAP_UNWRITTEN;
	WITH(f, f->map.addr = 511, refused(f, IOMAP_WRITE, "V4", "addr", 511));
	WITH(f, f->map.type = IOMAP_HOLE, refused(f, 0, "V4", "addr", 0));
	WITH(f, f->map.type = IOMAP_DELALLOC, refused(f, IOMAP_WRITE, "V4", "addr", 0));
	WITH(f, (f->map.type = IOMAP_HOLE, f->map.addr = none), accepted(f, 0));
	f->src = f->map;
	WITH(f, f->src.addr = DEV_SIZE, refused(f, IOMAP_WRITE, "V4", "srcmap.length", POS + BLK));
	WITH(f, f->src.addr = 1, refused(f, IOMAP_WRITE, "V4", "srcmap.addr", 1));
	fix_close(f);
}

CASE(v4_in_writeback, "V4", "Addresses in a writeback context, and maps that need none")
{
	struct fix *f = fix_open(SIZE);
	const uint64_t none = IOMAP_NULL_ADDR;

	WITH(f, f->map.addr = none, wb_refused(f, "V4", "addr", none));
	WITH(f, f->map.addr = 100, wb_refused(f, "V4", "addr", 100));
	WITH(f, f->map.addr = DEV_SIZE + 512, wb_refused(f, "V4", "addr", DEV_SIZE + 512));
	WITH(f, f->map.addr = DEV_SIZE - POS, wb_refused(f, "V4", "length", POS + BLK));
	WITH(f, f->map.addr = DEV_SIZE - POS - BLK, wb_accepted(f));
	/* only what is offered counts, not the rest of the map */
	WITH(f, f->map.length = (uint64_t)IOMAP_MAX_POS & ~(BLK - 1ull), wb_accepted(f));
	WITH(f, f->map.addr = DEV_SIZE - POS - BLK,
	     ck_assert_int_eq(wb(f, POS, 2 * BLK), -EIO));
	f->t.nr_reports = 0;
	/* and no more than the map has, if the offer is longer */
	WITH(f, (f->map.addr = DEV_SIZE - POS - BLK, f->map.length = POS + BLK),
	     ck_assert_int_eq(wb(f, POS, 2 * BLK), 0));
	WITH(f, f->map.type = IOMAP_HOLE, wb_refused(f, "V4", "addr", 0));
	WITH(f, (f->map.type = IOMAP_HOLE, f->map.addr = none), wb_accepted(f));
	fix_close(f);
}

CASE(v4_anonymous_maps_need_no_address, "V4", "ANON_WRITE, and clients without a device")
{
	struct fix *f = fix_open(SIZE);

	f->map.addr = IOMAP_NULL_ADDR;
	f->map.flags = IOMAP_F_ANON_WRITE;
	accepted(f, IOMAP_WRITE);
	wb_accepted(f);
	f->map.bdev = NULL;
	accepted(f, IOMAP_WRITE);
	wb_accepted(f);
	f->map.flags = 0;
	f->inode.bdev = NULL;
	accepted(f, 0);
	wb_accepted(f);
	f->inode.bdev = f->bdev;
	fix_close(f);
}

CASE(v4_asks_a_growing_device_once, "V4", "A file may have grown; a block device does not")
{
	struct fix *f;

	for (int grows = 0; grows < 2; grows++) {
		fix_limits();
		made_up.caps |= grows ? IOMAP_CAP_GROWS : 0;
		f = fix_open_limits(0, SIZE);
		f->map.addr = DEV_SIZE;
		refused(f, IOMAP_WRITE, "V4", "length", POS + BLK);
		ck_assert_uint_eq(nr_limits, grows ? 1 : 0);
		made_up.size = DEV_SIZE + POS + BLK;
		nr_limits = 0;
		if (grows) {
			accepted(f, IOMAP_WRITE);
			accepted(f, IOMAP_WRITE);
		} else {
			refused(f, IOMAP_WRITE, "V4", "length", POS + BLK);
		}
		ck_assert_uint_eq(nr_limits, grows ? 1 : 0);
		fix_close(f);
	}
}

CASE(v4_reads_stop_at_the_end_of_the_file, "V4", "What lies behind it is never read from a device")
{
	struct fix *f = fix_open(5000);

	f->map.length = 64 * BLK;
	f->map.addr = DEV_SIZE - 2 * BLK;
	accepted_at(f, 0, 64 * BLK, 0);
	accepted_at(f, 8 * BLK, BLK, 0);
	WITH(f, (f->map.offset = 8 * BLK, f->map.addr = DEV_SIZE), accepted_at(f, 8 * BLK, BLK, 0));
	accepted_at(f, 0, 64 * BLK, IOMAP_REPORT);
	refused_at(f, 0, 64 * BLK, IOMAP_WRITE, "V4", "length", 64 * BLK);
	accepted_at(f, 0, 2 * BLK, IOMAP_WRITE);
	fix_close(f);
}

CASE(v5_inline_has_memory, "V5", "No buffer, one too short, one beyond the address space")
{
	struct fix *f = fix_open(SIZE);
	static char buffer[8 * BLK];

	f->map = (struct iomap){ .type = IOMAP_INLINE, .length = 8 * BLK, .inline_data = buffer,
				 .inline_len = sizeof(buffer) };
	accepted(f, 0);
	WITH(f, f->map.inline_data = NULL, refused(f, 0, "V5", "inline_data", 0));
	WITH(f, f->map.inline_len = 8 * BLK - 1, refused(f, 0, "V5", "length", 8 * BLK));
	WITH(f, f->map.inline_len = 0, refused(f, IOMAP_WRITE, "V5", "length", 8 * BLK));
	WITH(f, f->map.inline_len = UINT64_MAX, refused(f, 0, "V5", "inline_len", UINT64_MAX));
	fix_close(f);
}

static void grow_in_begin(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
			  struct iomap *src)
{
	(void)pos, (void)len, (void)src;
	*map = f->map;			/* to the end of the file, as it is now */
	map->length = (uint64_t)iomap_inode_size(&f->inode);
	iomap_inode_lock(&f->inode, 0);
	iomap_inode_set_size(&f->inode, SIZE);
	iomap_inode_unlock(&f->inode);
}

CASE(v6_is_made_of_blocks, "V6", "Odd starts and ends, but for the end of the file")
{
	struct fix *f = fix_open(SIZE);

	WITH(f, (f->map.offset = 512, f->map.length = SIZE), refused(f, 0, "V6", "offset", 512));
	WITH(f, f->map.length = POS + 512, refused(f, 0, "V6", "length", POS + 512));
	f->src = f->map;
	f->src.addr = 32 * BLK;
	WITH(f, f->src.offset = 1024, refused(f, IOMAP_WRITE, "V6", "srcmap.offset", 1024));
	WITH(f, f->src.length = POS + BLK + 1,
	     refused(f, IOMAP_WRITE, "V6", "srcmap.length", POS + BLK + 1));
	fix_close(f);

	f = fix_open(POS + 904);
	WITH(f, f->map.length = POS + 904, accepted(f, 0));
	WITH(f, f->map.length = POS + 905, accepted(f, 0));
	WITH(f, f->map.length = POS + 903, refused(f, 0, "V6", "length", POS + 903));
	f->fill = grow_in_begin;	/* a race that a reader without a lock may lose */
	accepted(f, 0);
	fix_close(f);

	fix_limits();
	f = fix_open_limits(IOMAP_INODE_FRAMES, 0);	/* no end of file, no odd end */
	WITH(f, f->map.length = POS + 904, refused(f, 0, "V6", "length", POS + 904));
	fix_close(f);
}

CASE(v6_in_writeback, "V6", "No map ends inside a block but at the end of the file")
{
	struct fix *f = fix_open(SIZE);

	WITH(f, (f->map.offset = 512, f->map.length = SIZE),
	     wb_refused(f, "V6", "offset", 512));
	WITH(f, f->map.length = POS + 512, wb_refused(f, "V6", "length", POS + 512));
	WITH(f, f->map.length = 16 * BLK - 1, wb_refused(f, "V6", "length", 16 * BLK - 1));
	fix_close(f);

	f = fix_open(POS + 904);
	WITH(f, f->map.length = POS + 904, wb_accepted(f));
	WITH(f, f->map.length = POS + 903, wb_refused(f, "V6", "length", POS + 903));
	f->map.length = POS + 904;
	/* an append behind our back: the end that the folio saw still counts */
	iomap_inode_lock(&f->inode, 0);
	iomap_inode_set_size(&f->inode, SIZE);
	wb_accepted(f);
	/* a truncate: so does the new end */
	iomap_inode_set_size(&f->inode, POS + 100);
	f->map.length = POS + 100;
	wb_accepted(f);
	iomap_inode_unlock(&f->inode);
	fix_close(f);

	fix_limits();
	f = fix_open_limits(IOMAP_INODE_FRAMES, 0);
	WITH(f, f->map.length = POS + 904, wb_refused(f, "V6", "length", POS + 904));
	fix_close(f);
}

/* ---- source maps ---- */

CASE(v7_source_is_another_place, "V7", "Types, range, and the same blocks as the target")
{
	struct fix *f = fix_open(SIZE);
	const unsigned op = IOMAP_WRITE;

	f->map.flags = IOMAP_F_SHARED;
	f->src = f->map;
	f->src.addr = 32 * BLK;
	accepted(f, op);
	WITH(f, f->src.type = IOMAP_UNWRITTEN, accepted(f, op));
	WITH(f, (f->src.type = IOMAP_HOLE, f->src.addr = IOMAP_NULL_ADDR), accepted(f, op));
	WITH(f, (f->src = (struct iomap){ .type = IOMAP_HOLE }), accepted(f, op));
	WITH(f, (f->src.type = IOMAP_DELALLOC, f->src.addr = IOMAP_NULL_ADDR),
	     refused(f, op, "V7", "srcmap.type", IOMAP_DELALLOC));
	WITH(f, f->src.type = IOMAP_INLINE,
	     refused(f, op, "V7", "srcmap.type", IOMAP_INLINE));
	WITH(f, f->src.flags = IOMAP_F_ANON_WRITE,
	     refused(f, op, "V7", "srcmap.flags", IOMAP_F_ANON_WRITE));
	WITH(f, f->src.offset = POS + BLK, refused(f, op, "V7", "srcmap.offset", POS + BLK));
	WITH(f, f->src.length = POS, refused(f, op, "V7", "srcmap.length", POS));
	WITH(f, f->src.length = UINT64_MAX, refused(f, op, "V7", "srcmap.length", UINT64_MAX));
	WITH(f, f->src.addr = 0, refused(f, op, "V7", "srcmap.addr", 0));
	/* a part of a block counts as the block */
	f->src.addr = 512;
	refused_at(f, POS, 100, op, "V7", "srcmap.addr", 512);
	f->src.addr = BLK;
	accepted_at(f, POS, 100, op);
	refused_at(f, POS, 2 * BLK, op, "V7", "srcmap.addr", BLK);
	fix_close(f);
}

CASE(v7_differs_by_device, "V7", "The same address on another device is another place")
{
	struct fix *f = fix_open(SIZE);
	struct iomap_bdev *other;

	ck_assert_int_eq(iomap_bdev_open(f->ioq, "madeup:other", NULL, &other), 0);
	f->src = f->map;
	refused(f, IOMAP_WRITE, "V7", "srcmap.addr", 0);
	f->src.bdev = other;
	accepted(f, IOMAP_WRITE);
	WITH(f, f->map.flags = IOMAP_F_ANON_WRITE, accepted(f, IOMAP_WRITE));
	iomap_bdev_close(&other);
	fix_close(f);
}

MAIN()
