/* SPDX-License-Identifier: MIT */
/*
 * Front pieces cut off an ioend: what each part is, and when the whole is over.
 */
#include "model/flat.h"

#define BLOCK 4096

/* One held ioend of n single-block folios. */
static struct iomap_ioend *held(struct flat *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		flat_dirty(f, (int64_t)i * BLOCK, BLOCK, (int)('a' + i % 26));
	f->take = true;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_uint_eq(f->nr_held, 1);
	f->nr_held = 0;
	return iomap_container_of(iomap_list_pop(&f->held), struct iomap_ioend, list);
}

static bool under_writeback(struct flat *f, int64_t block)
{
	return flat_flags(f, block * BLOCK) & IOMAP_FOLIO_WRITEBACK;
}

CASE(none_needed, "I102", "What fits is not cut")
{
	struct flat *f = flat_new(NULL);
	struct iomap_ioend *ioend = held(f, 4), *front = ioend;

	ck_assert_int_eq(iomap_split_ioend(ioend, 4 * BLOCK, false, &front), 0);
	ck_assert_ptr_null(front);
	ck_assert_uint_eq(ioend->size, 4 * BLOCK);
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	flat_delete(&f);
}

static unsigned nr_ends;

static void count_end(struct iomap_bio *bio)
{
	nr_ends++;
	iomap_finish_ioends(iomap_ioend_from_bio(bio), 0);
}

CASE(front_and_rest_make_the_whole, "I102",
     "The front has the old offset and all the client put in; each part ends once")
{
	struct flat *f = flat_new(NULL);
	struct iomap_ioend *ioend = held(f, 8), *front;

	nr_ends = 0;
	ioend->bio.end_io = count_end;
	ioend->client_key = 11;
	ioend->client_max = 22;
	ioend->bio.owner = f;
	ck_assert_int_eq(iomap_split_ioend(ioend, 3 * BLOCK + 100, false, &front), 0);
	ck_assert_int_eq(front->offset, 0);
	ck_assert_uint_eq(front->size, 3 * BLOCK);
	ck_assert_uint_eq(front->bio.len, 3 * BLOCK);
	ck_assert_uint_eq(front->addr, 0);
	ck_assert_uint_eq(front->client_key, 11);
	ck_assert_uint_eq(front->client_max, 22);
	ck_assert_ptr_eq(front->bio.owner, f);
	ck_assert_ptr_eq(front->bio.bdev, f->bdev);
	ck_assert_ptr_eq(front->parent, ioend);
	ck_assert_int_eq(ioend->offset, 3 * BLOCK);
	ck_assert_uint_eq(ioend->size, 5 * BLOCK);
	ck_assert_uint_eq(ioend->bio.len, 5 * BLOCK);
	ck_assert_uint_eq(ioend->addr, 3 * BLOCK);
	ck_assert_uint_eq(ioend->bio.addr, 3 * BLOCK);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	ck_assert_uint_eq(nr_ends, 2);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(t_mem_data(f->mem)[i * BLOCK], 'a' + i);
	flat_delete(&f);
}

CASE(an_append_keeps_its_start, "I103",
     "Where the device assigns addresses the rest starts where the front did")
{
	struct flat *f = flat_new(NULL);
	struct iomap_ioend *ioend = held(f, 4), *front;

	ioend->addr = ioend->bio.addr = 1 << 20;
	ck_assert_int_eq(iomap_split_ioend(ioend, BLOCK, true, &front), 0);
	ck_assert_uint_eq(front->bio.addr, 1 << 20);
	ck_assert_uint_eq(ioend->bio.addr, 1 << 20);
	ck_assert_uint_eq(ioend->addr, 1 << 20);
	ck_assert_int_eq(ioend->offset, BLOCK);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	flat_delete(&f);
}

/* Order of completion: bit i of late says whether piece i comes back last. */
static void in_order(bool rest_first)
{
	struct flat *f = flat_new(NULL);
	struct iomap_ioend *ioend = held(f, 4), *front;

	t_mem_hold(f->mem, true);
	ck_assert_int_eq(iomap_split_ioend(ioend, 2 * BLOCK, false, &front), 0);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	flat_poll(f);
	ck_assert_uint_eq(t_mem_nr_held(f->mem), 2);
	t_mem_release(f->mem, rest_first ? 1 : 0);
	flat_poll(f);
	ck_assert_uint_eq(t_mem_nr_held(f->mem), 1);
	for (int i = 0; i < 4; i++)
		ck_assert(under_writeback(f, i));
	t_mem_release(f->mem, 0);
	flat_poll(f);
	for (int i = 0; i < 4; i++)
		ck_assert(!under_writeback(f, i));
	ck_assert_int_eq(iomap_inode_wait_wb(&f->inode, UINT64_MAX, 0), 0);
	flat_delete(&f);
}

CASE(the_whole_ends_with_its_last_part, "I102", "No folio is written before all parts are")
{
	in_order(false);
	in_order(true);
}

CASE(an_error_of_the_front, "I102 H6",
     "The first error of any part is the error of the whole, once")
{
	struct flat *f = flat_new(NULL);
	struct iomap_ioend *ioend = held(f, 4), *front;

	t_mem_hold(f->mem, true);
	ck_assert_int_eq(iomap_split_ioend(ioend, 2 * BLOCK, false, &front), 0);
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -ENOSPC, 0);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_ne(flat_flags(f, i * BLOCK) & IOMAP_FOLIO_FAILED, 0);
	flat_delete(&f);
}

CASE(the_first_of_two_errors, "H6", "Parts that fail differently: the one that ends first is kept")
{
	struct flat *f = flat_new(NULL);
	struct iomap_ioend *ioend = held(f, 4), *front;

	t_mem_hold(f->mem, true);
	ck_assert_int_eq(iomap_split_ioend(ioend, 2 * BLOCK, false, &front), 0);
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 0);
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -ENOSPC, 2 * BLOCK);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	flat_poll(f);
	t_mem_release(f->mem, 1);
	flat_poll(f);
	t_mem_release(f->mem, 0);
	flat_poll(f);
	flat_settle(f);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -ENOSPC);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	flat_delete(&f);
}

CASE(a_folio_cut_in_two, "I102",
     "A cut inside a folio: each part sends its half, the folio ends with both")
{
	struct flat *f = flat_new(&(struct flat_opts){ .max_folio = 65536 });
	struct iomap_ioend *ioend, *front[6];
	struct iomap_bvec seg;
	unsigned n = 0;

	flat_dirty(f, 0, 65536, 'x');
	flat_dirty(f, 65536, 65536, 'y');
	f->take = true;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ioend = iomap_container_of(iomap_list_pop(&f->held), struct iomap_ioend, list);
	f->nr_held = 0;
	t_mem_hold(f->mem, true);
	for (;;) {
		ck_assert_int_eq(iomap_split_ioend(ioend, 24576, false, &front[n]), 0);
		if (!front[n])
			break;
		ck_assert_int_eq(front[n]->offset, 24576 * (int64_t)n);
		iomap_ioend_submit(front[n++], 0);
	}
	ck_assert_uint_eq(n, 5);
	ck_assert_uint_eq(ioend->size, 131072 - 5 * 24576);
	ck_assert_ptr_nonnull(iomap_ioend_first(ioend, &seg));
	ck_assert_uint_eq(seg.len, ioend->size);
	iomap_ioend_submit(ioend, 0);
	flat_poll(f);
	while (t_mem_nr_held(f->mem)) {
		ck_assert(flat_flags(f, 0) & IOMAP_FOLIO_WRITEBACK);
		ck_assert(flat_flags(f, 65536) & IOMAP_FOLIO_WRITEBACK);
		t_mem_release(f->mem, t_mem_nr_held(f->mem) / 2);
		flat_poll(f);
	}
	ck_assert(!(flat_flags(f, 0) & IOMAP_FOLIO_WRITEBACK));
	ck_assert(!(flat_flags(f, 65536) & IOMAP_FOLIO_WRITEBACK));
	for (int i = 0; i < 131072; i++)
		ck_assert_int_eq(t_mem_data(f->mem)[i], i < 65536 ? 'x' : 'y');
	flat_delete(&f);
}

CASE(more_pieces_than_ioends, "I102",
     "Pieces go back to the pool as they end, so a long ioend can always be sent")
{
	struct flat *f = flat_new(&(struct flat_opts){ .env.nr_ioends = 8 });
	struct iomap_ioend *ioend = held(f, 100), *front;

	for (;;) {
		int rc = iomap_split_ioend(ioend, BLOCK, false, &front);

		if (rc == -ENOMEM) {		/* the rest is as before, and still ours */
			flat_poll(f);
			continue;
		}
		ck_assert_int_eq(rc, 0);
		if (!front)
			break;
		iomap_ioend_submit(front, 0);
	}
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	for (int i = 0; i < 100; i++) {
		ck_assert(!under_writeback(f, i));
		ck_assert_int_eq(t_mem_data(f->mem)[i * BLOCK], 'a' + i % 26);
	}
	flat_delete(&f);
}

CASE(errors_leave_the_ioend_alone, "I102",
     "Less than a block, or not a write: an error, and nothing changed")
{
	struct flat *f = flat_new(NULL);
	struct iomap_ioend *ioend = held(f, 4), *front = ioend;

	ck_assert_int_eq(iomap_split_ioend(ioend, BLOCK - 1, false, &front), -EINVAL);
	ck_assert_ptr_null(front);
	ioend->bio.op = IOMAP_BIO_READ;
	ck_assert_int_eq(iomap_split_ioend(ioend, BLOCK, false, &front), -EINVAL);
	ioend->bio.op = IOMAP_BIO_WRITE;
	ck_assert_int_eq(ioend->offset, 0);
	ck_assert_uint_eq(ioend->size, 4 * BLOCK);
	ck_assert_uint_eq(ioend->remaining, 1);
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	flat_delete(&f);
}

CASE(the_clipped_end_stays_with_the_rest, "I102 I95", "Only the last part ends inside a block")
{
	struct flat *f = flat_new(&(struct flat_opts){ .size = 3 * BLOCK + 50 });
	struct iomap_ioend *ioend, *front;

	flat_dirty(f, 0, 3 * BLOCK + 50, 'a');
	f->take = true;
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ioend = iomap_container_of(iomap_list_pop(&f->held), struct iomap_ioend, list);
	ck_assert_int_eq(iomap_split_ioend(ioend, 2 * BLOCK, false, &front), 0);
	ck_assert_uint_eq(front->size, 2 * BLOCK);
	ck_assert_uint_eq(ioend->size, BLOCK + 50);
	ck_assert_uint_eq(ioend->bio.len, 2 * BLOCK);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	flat_delete(&f);
}

CASE(what_may_not_tear_is_not_cut, "I102 I103",
     "Below an atomic chunk a split is refused, and the ioend goes out whole")
{
	struct flat *f = flat_new(&(struct flat_opts){
		.frames = 2, .frame_size = 4 * BLOCK, .dev = "mem:flat,size=64m,atomic=64k",
	});
	struct iomap_writeback_ctx wpc;
	struct iomap_ioend *ioend, *front;

	f->take = true;
	f->wbc.atomic_bytes = 4 * BLOCK;
	flat_wpc(f, &wpc);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(iomap_writeback_reserve(&wpc, 1), 0);
		ck_assert_int_eq(flat_frame(f, &wpc, i), 0);
	}
	ck_assert_int_eq(iomap_writeback_finish(&wpc, 0), 0);
	ioend = iomap_container_of(iomap_list_pop(&f->held), struct iomap_ioend, list);
	ck_assert_int_eq(iomap_split_ioend(ioend, 2 * BLOCK, false, &front), -EINVAL);
	ck_assert_int_eq(iomap_split_ioend(ioend, 4 * BLOCK, false, &front), 0);
	ck_assert_uint_eq(front->size, 4 * BLOCK);
	iomap_ioend_submit(front, 0);
	iomap_ioend_submit(ioend, 0);
	flat_settle(f);
	ck_assert_uint_eq(f->nr_written, 2);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(f->written[i].error, 0);
	flat_delete(&f);
}

MAIN()
