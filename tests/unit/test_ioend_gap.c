/* SPDX-License-Identifier: MIT */
/*
 * What lies behind a gap in the file, under the map of what lies in front of it.
 */
#include "unit/ioend_fixture.h"

#define START (1 << 20)		/* of the extent, on the device */

static void one_extent(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)pos, (void)len;
	*map = (struct iomap){
		.type = IOMAP_UNWRITTEN, .flags = IOMAP_F_BOUNDARY, .bdev = f->bdev,
		.addr = START, .length = 64 * BLOCK,
	};
}

static void dirty(struct flat *f, const unsigned *blocks, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		flat_dirty(f, (int64_t)blocks[i] * BLOCK, BLOCK, 'a');
}

CASE(where_the_map_says, "I91 I92 I93",
     "Behind a gap an ioend begins: at its own address, of the same kind, without the boundary")
{
	static const unsigned blocks[] = { 0, 1, 3, 4, 9 };
	static const unsigned first[] = { 0, 3, 9 };
	struct flat *f = flat_new(&(struct flat_opts){ .trace = true });

	dirty(f, blocks, 5);
	f->map = one_extent;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(f->submits[i].offset, (int64_t)first[i] * BLOCK);
		ck_assert_uint_eq(f->submits[i].addr, START + first[i] * BLOCK);
		ck_assert_uint_eq(f->submits[i].size, i < 2 ? 2 * BLOCK : BLOCK);
		ck_assert_uint_eq(f->submits[i].flags, i ? IOMAP_IOEND_UNWRITTEN :
				  IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_BOUNDARY);
		ck_assert_uint_eq(why_of(f, i), i ? IOMAP_WHY_FILE : IOMAP_WHY_FIRST);
	}
	ck_assert_int_eq(t_mem_data(f->mem)[START + 9 * BLOCK], 'a');
	ck_assert_int_ne(t_mem_data(f->mem)[START + 2 * BLOCK], 'a');
	flat_delete(&f);
}

CASE(with_the_same_limits, "I97 I98", "The limit of bytes holds behind a gap as well")
{
	static const unsigned blocks[] = { 0, 2, 3, 4, 5, 6 };
	struct flat *f = flat_new(NULL);

	dirty(f, blocks, 6);
	f->map = one_extent;
	f->wbc.max_ioend_bytes = 2 * BLOCK;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 4);
	ck_assert_uint_eq(f->submits[1].size, 2 * BLOCK);
	ck_assert_int_eq(f->submits[3].offset, 6 * BLOCK);
	flat_delete(&f);
}
MAIN()
