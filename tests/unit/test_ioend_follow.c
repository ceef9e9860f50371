/* SPDX-License-Identifier: MIT */
/*
 * What goes into an ioend without a second look at its map, and what it takes along to the device.
 */
#include "unit/ioend_fixture.h"

/* ---- the same map, or not ---- */

/* From block 2 on the client's map says something else of the very same range of the file. */
struct change {
	uint16_t type, flags;
	uint64_t addr;
	bool other_device;
	enum iomap_trace_why why;
	uint32_t ioend_flags;
};
static struct iomap_bdev *second;

static void changes_at_2(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	const struct change *c = f->arg;

	(void)len;
	*map = (struct iomap){ .type = IOMAP_MAPPED, .bdev = f->bdev, .length = 32 << 20 };
	if (pos < 2 * BLOCK)
		return;
	map->type = c->type;
	map->flags = c->flags;
	map->addr = c->addr;
	map->bdev = c->other_device ? second : f->bdev;
}

CASE(a_map_that_changes_under_way, "I91 I92",
     "Type, flags, address or device are others for the same range of the file: another ioend")
{
	static const struct change changes[] = {
		{ IOMAP_UNWRITTEN, 0, 0, false, IOMAP_WHY_KIND, IOMAP_IOEND_UNWRITTEN },
		{ IOMAP_MAPPED, IOMAP_F_SHARED, 0, false, IOMAP_WHY_KIND, IOMAP_IOEND_SHARED },
		{ IOMAP_MAPPED, IOMAP_F_INTEGRITY, 0, false, IOMAP_WHY_KIND, 0 },
		{ IOMAP_MAPPED, 0, 1 << 20, false, IOMAP_WHY_DEVICE, 0 },
		{ IOMAP_MAPPED, 0, 0, true, IOMAP_WHY_DEVICE, 0 },
	};

	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct flat *f = dirty_blocks(&(struct flat_opts){ .trace = true }, 4);

		ck_assert_int_eq(iomap_bdev_open(f->ioq, "mem:second,size=64m", NULL, &second), 0);
		f->map = changes_at_2;
		f->inode.flags |= IOMAP_INODE_STABLE;	/* as checksums want */
		f->arg = (void *)&changes[i];
		write_all(f, 0);
		ck_assert_msg(f->nr_submits == 2, "change %u: %u ioends", i, f->nr_submits);
		ck_assert_uint_eq(f->submits[0].nr_folios, 2);
		ck_assert_uint_eq(f->submits[1].nr_folios, 2);
		ck_assert_uint_eq(f->submits[1].flags, changes[i].ioend_flags);
		ck_assert_uint_eq(f->submits[1].addr, changes[i].addr + 2 * BLOCK);
		ck_assert_uint_eq(why_of(f, 1), changes[i].why);
		ck_assert_int_eq(t_mem_data(changes[i].other_device ? t_mem_find("second") :
					    f->mem)[f->submits[1].addr], 'a');
		ck_assert_int_eq(iomap_mapping_wait_range(&f->inode, 0, IOMAP_MAX_POS), 0);
		ck_assert_int_eq(flat_sync(f), 0);
		iomap_bdev_close(&second);
		flat_delete(&f);
	}
}

static void ends_at_2(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)pos, (void)len;
	/* an old map, kept too long: it does not reach what it is used for */
	*map = (struct iomap){ .type = IOMAP_MAPPED, .bdev = f->bdev, .length = 2 * BLOCK };
}

CASE(a_map_that_was_kept_too_long, "I91 O32",
     "The client offers a map that ends before the range: -EIO and a report, nothing is written")
{
	struct flat *f = dirty_blocks(NULL, 3);

	f->map = ends_at_2;
	write_all(f, -EIO);
	ck_assert_uint_eq(f->t.nr_reports, 1);
	ck_assert_uint_eq(f->nr_submits, 1);
	ck_assert_uint_eq(f->submits[0].nr_folios, 2);
	ck_assert_int_eq(t_mem_data(f->mem)[2 * BLOCK], 0);
	flat_delete(&f);
}

/* ---- what the control wants ---- */

static void check_wish(struct flat *f, const struct iomap_ioend *ioend)
{
	const struct iomap_bio *bio = &ioend->bio;

	ck_assert_uint_eq(bio->op, IOMAP_BIO_WRITE);
	ck_assert_uint_eq(bio->priority, 5);
	ck_assert_uint_eq(bio->grain, f->wbc.grain);
	ck_assert_uint_eq(bio->atomic_bytes, f->wbc.atomic_bytes);
	ck_assert_ptr_eq(bio->ioq, f->ioq);
	ck_assert_uint_eq(bio->flags & IOMAP_BIO_FUA, IOMAP_BIO_FUA);
	ck_assert_uint_eq(ioend->flags & IOMAP_IOEND_DONTCACHE, IOMAP_IOEND_DONTCACHE);
}

static int look_and_split(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx), *front;

	ck_assert_int_eq(error, 0);
	check_wish(f, ioend);
	ck_assert_int_eq(iomap_split_ioend(ioend, 4 * BLOCK, false, &front), 0);
	check_wish(f, front);
	check_wish(f, ioend);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	return 0;
}

CASE(the_wishes_of_the_control, "I102",
     "FUA, priority, ring, grain and atomic chunks are in each ioend, its front piece and at the "
     "device")
{
	struct flat *f = dirty_blocks(&(struct flat_opts){
		.dev = "mem:flat,size=64m,atomic=65536" }, 8);
	const struct t_mem_req *log;
	unsigned nr;

	f->wbc.flags = IOMAP_WB_FUA | IOMAP_WB_DONTCACHE;
	f->wbc.priority = 5;
	f->wbc.ioq = f->ioq;	/* NULL would be the same ring */
	f->wbc.grain = 2 * BLOCK;
	f->wbc.atomic_bytes = 4 * BLOCK;
	f->submit = look_and_split;
	write_all(f, 0);
	log = t_mem_log(f->mem, &nr);
	ck_assert_uint_eq(nr, 2);
	for (unsigned i = 0; i < nr; i++) {
		ck_assert_uint_eq(log[i].len, 4 * BLOCK);
		ck_assert_uint_eq(log[i].flags & IOMAP_BIO_FUA, IOMAP_BIO_FUA);
	}
	flat_delete(&f);
}

MAIN()
