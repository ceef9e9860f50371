/* SPDX-License-Identifier: MIT */
/*
 * test_sums_sent.c - who walks an ioend before it goes sees each byte that arrives, and where.
 *
 * The hook of each case copies what the walk gives it, as a client makes checksums; what it copied
 * must be on the device when all has ended, and nothing else.
 */
#include "unit/ioend_fixture.h"

#define MAX_LEN (64u << 10)

static uint8_t seen[MAX_LEN];
static bool walked[MAX_LEN / 512];
static uint64_t from;			/* what lies on the device there */

/* As inode.h says: from ioend->offset on, one range behind the other. */
static void walk(struct iomap_ioend *ioend)
{
	int64_t pos = ioend->offset;
	struct iomap_folio *folio;
	struct iomap_bvec seg;

	for (folio = iomap_ioend_first(ioend, &seg); folio;
	     folio = iomap_ioend_next(ioend, folio, &seg)) {
		ck_assert_int_ge(pos, folio->pos);
		ck_assert_int_le(pos + (int64_t)seg.len, folio->pos + folio->size);
		memcpy(seen + pos, seg.mem, seg.len);
		for (uint64_t at = 0; at < seg.len; at += 512) {
			ck_assert(!walked[(uint64_t)pos / 512]);
			walked[(uint64_t)pos / 512] = true;
			pos += 512;
		}
	}
	ck_assert_int_eq(pos, ioend->offset + (int64_t)ioend->bio.len);
	ck_assert_uint_le(ioend->size, ioend->bio.len);
}

static int walk_and_send(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)f;
	walk(wb_ctx);
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

static void forget(void)
{
	memset(seen, 0, sizeof(seen));
	memset(walked, 0, sizeof(walked));
	from = 0;
}

/* [0, len) was walked, and is on the device as it was then. */
static void arrived(struct flat *f, uint64_t len)
{
	flat_settle(f);
	for (uint64_t i = 0; i < MAX_LEN / 512; i++)
		ck_assert_int_eq(walked[i], i * 512 < len);
	ck_assert_mem_eq(t_mem_data(f->mem) + from, seen, len);
}

static void with_integrity(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)pos, (void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .length = 48 << 20,
		.flags = IOMAP_F_INTEGRITY,
	};
}

static struct flat *open_stable(struct flat_opts opts)
{
	struct flat *f = flat_new(&opts);

	forget();
	f->map = with_integrity;
	f->submit = walk_and_send;
	if (!opts.frames)
		f->inode.flags |= IOMAP_INODE_STABLE;
	return f;
}

CASE(the_walk_is_what_arrives, "I97 R39",
     "Folios of several sizes, requests of one size: each byte is walked once, where it lies")
{
	for (unsigned bits = 9; bits <= 12; bits++) {
		struct flat *f = open_stable((struct flat_opts){
			.block_bits = bits, .max_folio = 16384,
			.dev = "mem:flat,size=64m,max=12288,segs=3",
		});

		for (unsigned i = 0; i < 11; i++)
			flat_dirty(f, i * 4096, 4096, 'a' + (int)i);
		flat_dirty(f, 5000, 3000, 'z');
		ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
		arrived(f, 11 * 4096);
		flat_delete(&f);
	}
}

CASE(the_end_of_the_file, "I78 R39",
     "The last block is walked whole, zeros behind the end, though the ioend's size is exact")
{
	struct flat *f = open_stable((struct flat_opts){ .block_bits = 9, .size = 9000 });
	struct iomap_folio *folio;

	flat_dirty(f, 0, 9000, 'a');
	folio = flat_lock(f, 8192);
	memset((char *)folio->mem + 9000 - 8192, 'x', 100);	/* a store through a mapping */
	flat_unlock(folio);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	arrived(f, 9216);
	ck_assert_uint_eq(seen[8999], 'a');
	for (unsigned i = 9000; i < 9216; i++)
		ck_assert_uint_eq(seen[i], 0);
	flat_delete(&f);
}

/* Pieces of three blocks, each walked when it is cut. */
static int cut_and_walk(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx), *front;

	(void)f;
	for (;;) {
		ck_assert_int_eq(iomap_split_ioend(ioend, 3 * 512 + 100, false, &front), 0);
		walk(front ? front : ioend);
		iomap_ioend_submit(front ? front : ioend, error);
		if (!front)
			return 0;
	}
}

CASE(pieces_of_a_split, "I102 R39",
     "Front and rest walk what is theirs, also when a folio is cut in two")
{
	struct flat *f = open_stable((struct flat_opts){ .block_bits = 9, .max_folio = 8192 });

	f->submit = cut_and_walk;
	for (unsigned i = 0; i < 8; i++)
		flat_dirty(f, i * 2048, 2048, 'a' + (int)i);
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	arrived(f, 8 * 2048);
	flat_delete(&f);
}

CASE(taken_and_sent_later, "I47 R39",
     "While an ioend is held nothing changes what was walked: a writer waits, in vain with NOWAIT")
{
	struct flat *f = open_stable((struct flat_opts){ .block_bits = 9 });
	struct iovec iov = { .iov_base = (char[512]){ "new" }, .iov_len = 512 };
	struct iomap_req req = { .file = &f->file, .pos = 512, .flags = IOMAP_REQ_NOWAIT };
	struct iomap_data data;

	f->take = true;
	f->submit = NULL;
	flat_dirty(f, 0, 8192, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_NONE), 0);
	ck_assert_uint_eq(f->nr_held, 1);
	walk(iomap_container_of(f->held.next, struct iomap_ioend, list));
	iomap_data_init(&data, &iov, 1);
	iomap_inode_lock(&f->inode, 0);
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &f->ops, NULL, NULL), -EAGAIN);
	iomap_inode_unlock(&f->inode);
	flat_submit_held(f, 0);
	arrived(f, 8192);
	iomap_inode_lock(&f->inode, 0);
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &f->ops, NULL, NULL), 512);
	iomap_inode_unlock(&f->inode);
	flat_delete(&f);
}

static void anonymous(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	with_integrity(f, pos, len, map);
	map->flags |= IOMAP_F_ANON_WRITE;
	map->addr = IOMAP_NULL_ADDR;
}

static int place_and_send(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx);

	(void)f;
	walk(ioend);
	from = 1 << 20;
	ioend->bio.addr = from + (uint64_t)ioend->offset;
	iomap_ioend_submit(ioend, error);
	return 0;
}

CASE(before_it_has_a_place, "I97 R39", "An anonymous ioend is walked before its address is known")
{
	struct flat *f = open_stable((struct flat_opts){ .dev = "mem:flat,size=64m,max=8192" });

	f->map = anonymous;
	f->submit = place_and_send;
	flat_dirty(f, 0, 5 * 4096, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_submits, 3);	/* each one request: it has no other limit */
	arrived(f, 5 * 4096);
	flat_delete(&f);
}

/* The copy of a frame is in two places. */
static int64_t send_two_copies(struct flat *f, struct iomap_writeback_ctx *wpc,
			       struct iomap_folio *folio, int64_t pos, uint64_t len,
			       int64_t end_pos)
{
	char *copy = (char *)f->arg + (pos - folio->pos) * 2 + folio->pos * 2;
	uint64_t n = len > 4096 ? 4096 : len;

	with_integrity(f, pos, len, &wpc->iomap);
	memcpy(copy, (char *)folio->mem + (pos - folio->pos), n);
	copy[0] = 'S';			/* a checksum in its header, say */
	return iomap_add_to_ioend(wpc, folio, pos, n, end_pos, copy);
}

CASE(stable_copies, "H12 R39",
     "Of frames that were copied in pieces the walk gives each piece, with the copy's memory")
{
	struct flat *f = open_stable((struct flat_opts){
		.frames = 4, .frame_size = 16384, .block_bits = 12, .no_complete = true,
	});
	struct iomap_writeback_ctx wpc;

	f->range = send_two_copies;
	f->arg = calloc(2, MAX_LEN);
	ck_assert_ptr_nonnull(f->arg);
	flat_wpc(f, &wpc);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 4), 0);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	}
	memset(f->frame_mem, 'n', 4 * 16384);	/* the latches are free */
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	arrived(f, 4 * 16384);
	for (unsigned at = 0; at < MAX_LEN; at += 4096) {
		ck_assert_uint_eq(seen[at], 'S');
		ck_assert_uint_eq(seen[at + 1], 'a' + at / 16384);
	}
	free(f->arg);
	flat_delete(&f);
}

MAIN()
