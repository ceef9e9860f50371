/* SPDX-License-Identifier: MIT */
/*
 * How ioends are built: what joins, what is cut, where the end of the file is, and why one began.
 */
#include "unit/ioend_fixture.h"

/* ---- joining ---- */

CASE(a_run_is_one_ioend, "I91", "Contiguous dirty blocks make one ioend and one request")
{
	struct flat *f = dirty_blocks(NULL, 64);

	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_uint_eq(f->submits[0].nr_folios, 64);
	ck_assert_uint_eq(f->submits[0].nr_segs, 64);
	ck_assert_uint_eq(f->submits[0].size, 64 * BLOCK);
	ck_assert_int_eq(t_mem_data(f->mem)[63 * BLOCK], 'a');
	flat_delete(&f);
}

static void hole_at_2(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = pos, .addr = (uint64_t)pos,
		.length = BLOCK,
	};
	if (pos == 2 * BLOCK) {
		map->type = IOMAP_HOLE;
		map->addr = IOMAP_NULL_ADDR;
		map->bdev = NULL;
	}
}

CASE(a_hole_breaks_the_run, "I91 I80",
     "A hole returns its length, queues nothing, and the run breaks")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){ .trace = true }, 5);

	f->map = hole_at_2;
	write_all(f, 0);
	ck_assert_int_eq(f->ranges[2].result, BLOCK);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_int_eq(f->submits[1].offset, 3 * BLOCK);
	ck_assert_uint_eq(why_of(f, 0), IOMAP_WHY_FIRST);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_FILE);
	flat_delete(&f);
}

static void two_extents(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = pos < 2 * BLOCK ? 0 : 2 * BLOCK,
		.addr = pos < 2 * BLOCK ? 0 : 1 << 20, .length = 2 * BLOCK,
	};
}

CASE(apart_on_the_device, "I91", "Contiguous in the file but not on the device: two ioends")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){ .trace = true }, 4);

	f->map = two_extents;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[1].addr, 1 << 20);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_DEVICE);
	flat_delete(&f);
}

static void other_device(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = pos < 2 * BLOCK ? f->bdev : f->arg, .offset = pos,
		.addr = (uint64_t)pos, .length = BLOCK,
	};
}

CASE(another_device, "I91", "A map on another device starts an ioend, which goes there")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){ .trace = true }, 4);
	struct iomap_bdev *other = NULL;

	ck_assert_int_eq(iomap_bdev_open(f->ioq, "mem:other", NULL, &other), 0);
	f->map = other_device;
	f->arg = other;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_DEVICE);
	ck_assert_int_eq(t_mem_data(f->mem)[2 * BLOCK], 0);
	ck_assert_int_eq(t_mem_data(t_mem_find("other"))[2 * BLOCK], 'a');
	ck_assert_int_eq(flat_sync(f), 0);
	iomap_bdev_close(&other);
	flat_delete(&f);
}

struct kind {
	uint16_t type, flags;
};

static void kind_from_2(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	const struct kind *kind = f->arg;

	(void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = pos, .addr = (uint64_t)pos,
		.length = BLOCK,
	};
	if (pos >= 2 * BLOCK) {
		map->type = kind->type;
		map->flags = kind->flags;
	}
	if (map->flags & IOMAP_F_ANON_WRITE)
		map->addr = IOMAP_NULL_ADDR;
}

CASE(kinds_do_not_join, "I92", "SHARED, UNWRITTEN, anonymous and plain ranges never share an ioend")
{
	static const struct kind kinds[] = {
		{ IOMAP_MAPPED, IOMAP_F_SHARED }, { IOMAP_UNWRITTEN, 0 },
	};
	static const uint32_t flags[] = { IOMAP_IOEND_SHARED, IOMAP_IOEND_UNWRITTEN };

	for (unsigned i = 0; i < 2; i++) {
		struct flat *f = dirty_blocks(&(struct flat_opts){ .trace = true }, 4);

		f->map = kind_from_2;
		f->arg = (void *)&kinds[i];
		write_all(f, 0);
		ck_assert_uint_eq(f->nr_submits, 2);
		ck_assert_uint_eq(f->submits[0].flags, 0);
		ck_assert_uint_eq(f->submits[1].flags, flags[i]);
		ck_assert_uint_eq(f->submits[1].nr_folios, 2);
		ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_KIND);
		flat_delete(&f);
	}
}

static void boundaries(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = pos / (2 * BLOCK) * (2 * BLOCK),
		.addr = (uint64_t)pos / (2 * BLOCK) * (2 * BLOCK), .length = 2 * BLOCK,
		.flags = IOMAP_F_BOUNDARY,
	};
}

CASE(boundary_only_at_the_map_start, "I93",
     "A boundary starts an ioend where its map starts, and is no hindrance inside it")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){ .trace = true }, 5);

	f->map = boundaries;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(f->submits[i].offset, (int64_t)i * 2 * BLOCK);
		ck_assert_uint_eq(f->submits[i].flags, IOMAP_IOEND_BOUNDARY);
		ck_assert_uint_eq(f->submits[i].nr_folios, i < 2 ? 2 : 1);
	}
	ck_assert_uint_eq(why_of(f, 2), IOMAP_WHY_BOUNDARY);
	flat_delete(&f);
}

CASE(boundary_in_the_middle_of_a_map, "I93", "A range that starts inside such a map joins")
{
	struct flat *f = flat_new(NULL);

	f->map = boundaries;
	flat_dirty(f, BLOCK, BLOCK, 'a');
	flat_dirty(f, 2 * BLOCK, BLOCK, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].flags, 0);
	ck_assert_uint_eq(f->submits[1].flags, IOMAP_IOEND_BOUNDARY);
	flat_delete(&f);
}

CASE(dontcache_stays_apart, "I94",
     "Folios that leave the cache never share an ioend with those that stay")
{
	struct flat *f = flat_new(&(struct flat_opts){ .trace = true });

	for (int64_t pos = 0; pos < 4 * BLOCK; pos += BLOCK) {
		struct iomap_req req = { .file = &f->file, .pos = pos };
		char buf[BLOCK] = { 0 };
		struct iovec iov = { buf, BLOCK };
		struct iomap_data data;

		if (pos >= 2 * BLOCK)
			req.flags = IOMAP_REQ_DONTCACHE;
		iomap_data_init(&data, &iov, 1);
		ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &f->ops, NULL, NULL),
				 BLOCK);
	}
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].flags, 0);
	ck_assert_uint_eq(f->submits[1].flags, IOMAP_IOEND_DONTCACHE);
	ck_assert_uint_eq(f->submits[1].nr_folios, 2);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_KIND);
	flat_delete(&f);
}

static int64_t close_before(struct flat *f, struct iomap_writeback_ctx *wpc,
			    struct iomap_folio *folio, int64_t pos, uint64_t len, int64_t end_pos)
{
	int64_t done;

	if (pos == 2 * BLOCK)
		iomap_writeback_close(wpc);
	done = flat_range_default(f, wpc, folio, pos, len, end_pos);
	ck_assert_ptr_eq(iomap_ioend_pending(wpc), wpc->wb_ctx);
	iomap_ioend_pending(wpc)->client_key = pos < 2 * BLOCK ? 1 : 2;
	return done;
}

CASE(the_client_closes, "I91",
     "A client with another key closes the pending ioend; the trace says so")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){ .trace = true }, 4);

	f->range = close_before;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].nr_folios, 2);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_KEY);
	flat_delete(&f);
}

/* ---- the end of the file ---- */

CASE(size_is_clipped_to_the_byte, "I95 I96 I78 R15",
     "The last ioend ends at the end of the file, its request at the end of the block")
{
	struct flat *f = flat_new(&(struct flat_opts){ .size = 3 * BLOCK - 100 });

	flat_dirty(f, 0, 3 * BLOCK - 100, 'a');
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_uint_eq(f->submits[0].size, 3 * BLOCK - 100);
	ck_assert_uint_eq(f->submits[0].len, 3 * BLOCK);
	flat_delete(&f);
}

static int64_t grow_after_first(struct flat *f, struct iomap_writeback_ctx *wpc,
				struct iomap_folio *folio, int64_t pos, uint64_t len,
				int64_t end_pos)
{
	int64_t done = flat_range_default(f, wpc, folio, pos, len, end_pos);

	iomap_inode_set_size(&f->inode, 2 * BLOCK);	/* another thread appends meanwhile */
	return done;
}

CASE(a_clipped_ioend_is_not_appended_to, "I95 R14",
     "A range that follows the old end of the file starts an ioend of its own")
{
	struct flat *f = flat_new(&(struct flat_opts){ .size = 2 * BLOCK, .trace = true });

	flat_dirty(f, 0, 2 * BLOCK, 'a');
	iomap_inode_set_size(&f->inode, BLOCK - 96);
	f->range = grow_after_first;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 2);
	ck_assert_uint_eq(f->submits[0].size, BLOCK - 96);
	ck_assert_uint_eq(f->submits[0].len, BLOCK);
	ck_assert_int_eq(f->submits[1].offset, BLOCK);
	ck_assert_uint_eq(why_of(f, 1), IOMAP_WHY_EOF);
	flat_delete(&f);
}

CASE(no_ioend_reaches_beyond_the_size, "R15 I96",
     "Whatever the size and the blocks, offset and size of each ioend end at or before it")
{
	uint64_t seed = 7;

	for (int round = 0; round < 40; round++) {
		unsigned bits = 9 + (unsigned)(t_rand(&seed) % 4);
		int64_t size = 1 + (int64_t)(t_rand(&seed) % 200000);
		struct flat *f = flat_new(&(struct flat_opts){
			.block_bits = bits, .max_folio = 16384, .size = size,
		});
		int64_t end = 0;

		flat_dirty(f, 0, (size_t)size, 'a');
		f->wbc.max_ioend_bytes = 16384 + t_rand(&seed) % 65536;
		write_all(f, 0);
		for (unsigned i = 0; i < f->nr_submits; i++) {
			const struct flat_submit *s = &f->submits[i];

			ck_assert_int_eq(s->offset, end);
			end = s->offset + (int64_t)s->size;
			ck_assert_int_le(end, size);
			ck_assert_uint_eq(s->len % (1u << bits), 0);
		}
		ck_assert_int_eq(end, size);
		flat_delete(&f);
	}
}

/* ---- maps ---- */

static void by_table(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	const struct kind *kind = f->arg;

	(void)len;
	*map = (struct iomap){
		.type = kind->type, .flags = kind->flags, .bdev = f->bdev, .offset = pos,
		.addr = (uint64_t)pos, .length = BLOCK,
	};
	if (kind->type == IOMAP_HOLE || kind->type == IOMAP_DELALLOC)
		map->addr = IOMAP_NULL_ADDR;
	if (kind->type == IOMAP_INLINE) {
		map->inline_data = f->t.last_rule;
		map->inline_len = sizeof(f->t.last_rule);
		map->offset = 0;
	}
}

CASE(every_type_with_every_flag, "R37",
     "MAPPED and UNWRITTEN are written, HOLE is skipped, DELALLOC and INLINE never reach the "
     "device")
{
	static const uint16_t flags[] = { 0, IOMAP_F_SHARED, IOMAP_F_BOUNDARY, IOMAP_F_DIRTY,
					  IOMAP_F_PRIVATE };
	struct kind kind;

	for (kind.type = IOMAP_HOLE; kind.type <= IOMAP_INLINE; kind.type++)
		for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			struct flat *f = dirty_blocks(NULL, 1);
			bool written = kind.type == IOMAP_MAPPED || kind.type == IOMAP_UNWRITTEN;
			bool hole = kind.type == IOMAP_HOLE;
			unsigned nr;
			int rc;

			kind.flags = flags[i];
			/* a hole is not shared, nor is there anything to bound */
			if (hole && (kind.flags & (IOMAP_F_SHARED | IOMAP_F_BOUNDARY)))
				kind.flags = 0;
			f->map = by_table;
			f->arg = &kind;
			rc = flat_write(f, IOMAP_WB_SYNC_ALL);
			flat_settle(f);
			t_mem_log(f->mem, &nr);
			ck_assert_msg(rc == (written || hole ? 0 : -EIO), "type %u flags %x: %d",
				      kind.type, kind.flags, rc);
			ck_assert_uint_eq(nr, written);
			ck_assert_uint_eq(f->t.nr_reports != 0, !written && !hole);
			flat_delete(&f);
		}
}

CASE(a_map_without_a_device, "", "An ioend needs a device: -EIO and a report")
{
	struct flat *f = dirty_blocks(NULL, 1);

	f->map = other_device;		/* arg is NULL: blocks from 2 on have no device */
	flat_dirty(f, 2 * BLOCK, BLOCK, 'a');
	write_all(f, -EIO);
	ck_assert_uint_ge(f->t.nr_reports, 1);
	ck_assert_uint_eq(f->nr_submits, 1);
	flat_delete(&f);
}

static void anonymous(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)f;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .flags = IOMAP_F_ANON_WRITE, .addr = IOMAP_NULL_ADDR,
		.offset = pos, .length = len,
	};
}

static int place(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx);

	(void)f;
	ioend->bio.addr = 1 << 20;
	iomap_ioend_submit(ioend, error);
	return error;
}

CASE(anonymous_writes, "I91",
     "Without an address: grouped by the file, placed by the hook, else -EIO")
{
	struct flat *f = dirty_blocks(NULL, 3);

	f->map = anonymous;
	f->submit = place;
	write_all(f, 0);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_uint_eq(f->submits[0].flags, IOMAP_IOEND_ANON);
	ck_assert_uint_eq(f->submits[0].nr_folios, 3);
	ck_assert_int_eq(t_mem_data(f->mem)[(1 << 20) + 2 * BLOCK], 'a');
	/* the default submitter refuses */
	f->submit = NULL;
	flat_dirty(f, 0, BLOCK, 'b');
	write_all(f, -EIO);
	ck_assert_str_eq(f->t.last_field, "addr");
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
	flat_delete(&f);
}

CASE(anonymous_without_an_address_in_the_end, "", "A hook that sends it unplaced gets -EIO, once")
{
	struct flat *f = dirty_blocks(NULL, 1);

	f->map = anonymous;
	f->take = true;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_submit_held(f, 0);
	flat_settle(f);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_int_eq(flat_sync(f), 0);
	f->take = false;
	flat_delete(&f);
}

/* ---- the address that was chosen ---- */

static uint64_t addrs[4];
static unsigned nr_addrs;

static void note_addr(struct iomap_bio *bio)
{
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);

	ck_assert_uint_lt(nr_addrs, 4);
	addrs[nr_addrs++] = ioend->addr;
	iomap_finish_ioends(ioend, bio->status);
}

static int append(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx);

	(void)f;
	ioend->bio.op = IOMAP_BIO_ZONE_APPEND;
	ioend->bio.addr = 2 * T_MEM_ZONE;
	iomap_ioend_submit(ioend, error);
	return error;
}

CASE(the_hooks_address_is_told, "",
     "At completion the ioend has the address that the hook picked; a second try goes there too")
{
	struct flat *f = dirty_blocks(NULL, 3);

	nr_addrs = 0;
	f->map = anonymous;
	f->submit = place;
	f->end_io = note_addr;
	f->wbc.flags = IOMAP_WB_ISOLATE;
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, (1 << 20) + 2 * BLOCK);
	write_all(f, 0);
	ck_assert_uint_eq(nr_addrs, 1);
	ck_assert_uint_eq(addrs[0], 1 << 20);
	ck_assert_int_eq(t_mem_data(f->mem)[(1 << 20) + 2 * BLOCK], 'a');
	ck_assert_int_eq(flat_sync(f), 0);
	flat_delete(&f);
}

CASE(the_devices_address_is_told, "",
     "At completion of a zone append the ioend has the address where the device put it")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){ .dev = "mem:flat,size=64m,zoned" }, 3);

	nr_addrs = 0;
	f->map = anonymous;
	f->submit = append;
	f->end_io = note_addr;
	f->wbc.max_ioend_bytes = BLOCK;
	write_all(f, 0);
	ck_assert_uint_eq(nr_addrs, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(addrs[i], 2 * T_MEM_ZONE + i * BLOCK);
		ck_assert_int_eq(t_mem_data(f->mem)[addrs[i]], 'a');
	}
	flat_delete(&f);
}

/* ---- walking, limits of the pool ---- */

CASE(walking_the_folios, "", "first and next give each range once, with the memory that is sent")
{
	struct flat *f = dirty_blocks(NULL, 10);
	struct iomap_folio *folio;
	struct iomap_ioend *ioend;
	struct iomap_bvec seg;
	int64_t pos = 0;

	f->take = true;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ioend = iomap_container_of(f->held.next, struct iomap_ioend, list);
	for (folio = iomap_ioend_first(ioend, &seg); folio;
	     folio = iomap_ioend_next(ioend, folio, &seg)) {
		ck_assert_int_eq(folio->pos, pos);
		ck_assert_ptr_eq(seg.mem, folio->mem);
		ck_assert_uint_eq(seg.len, BLOCK);
		pos += BLOCK;
	}
	ck_assert_int_eq(pos, 10 * BLOCK);
	/* from anywhere */
	folio = f->ranges[4].folio;
	ck_assert_ptr_eq(iomap_ioend_next(ioend, folio, &seg), f->ranges[5].folio);
	ck_assert_ptr_null(iomap_ioend_next(ioend, f->ranges[9].folio, &seg));
	flat_submit_held(f, 0);
	flat_settle(f);
	flat_delete(&f);
}

CASE(a_built_bio_becomes_an_ioend, "", "iomap_init_ioend fills the record from the request")
{
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 1 });
	struct iomap_bio *bio = iomap_bio_pool_get(iomap_ioend_bio_pool(f->t.env));
	struct iomap_ioend *ioend;

	bio->op = IOMAP_BIO_WRITE;
	bio->bdev = f->bdev;
	bio->addr = 8192;
	ck_assert_int_eq(iomap_bio_add(bio, f->frame_mem, BLOCK, NULL), 0);
	ioend = iomap_init_ioend(&f->inode, bio, BLOCK, IOMAP_IOEND_DIRECT);
	ck_assert_ptr_eq(ioend, iomap_ioend_from_bio(bio));
	ck_assert_ptr_eq(ioend->inode, &f->inode);
	ck_assert_ptr_null(ioend->parent);
	ck_assert_uint_eq(ioend->remaining, 1);
	ck_assert_int_eq(ioend->error, 0);
	ck_assert_int_eq(ioend->offset, BLOCK);
	ck_assert_uint_eq(ioend->size, BLOCK);
	ck_assert_uint_eq(ioend->addr, 8192);
	ck_assert_uint_eq(ioend->wb_seq, iomap_inode_wb_seq(&f->inode));
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	ck_assert_int_eq(t_mem_data(f->mem)[8192], 'a');
	flat_delete(&f);
}

CASE(ranges_that_make_no_sense, "", "add_to_ioend outside the folio, empty or unaligned: -EINVAL")
{
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 1 });
	struct iomap_writeback_ctx wpc;
	struct iomap_folio *folio = f->frames;

	flat_wpc(f, &wpc);
	ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
	iomap_folio_init(folio, &f->inode, BLOCK, f->frame_mem, BLOCK, NULL);
	wpc.iomap = (struct iomap){ .type = IOMAP_MAPPED, .bdev = f->bdev, .length = 1 << 20 };
	ck_assert_int_eq(iomap_add_to_ioend(&wpc, folio, BLOCK, 0, IOMAP_MAX_POS, NULL), -EINVAL);
	ck_assert_int_eq(iomap_add_to_ioend(&wpc, folio, 0, BLOCK, IOMAP_MAX_POS, NULL), -EINVAL);
	ck_assert_int_eq(iomap_add_to_ioend(&wpc, folio, BLOCK, 2 * BLOCK, IOMAP_MAX_POS, NULL),
			 -EINVAL);
	ck_assert_int_eq(iomap_add_to_ioend(&wpc, folio, BLOCK, 512, IOMAP_MAX_POS, NULL), -EINVAL);
	ck_assert_int_eq(iomap_add_to_ioend(&wpc, folio, BLOCK, BLOCK, BLOCK, NULL), -EINVAL);
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	flat_delete(&f);
}

MAIN()
