/* SPDX-License-Identifier: MIT */
/*
 * Sorting and merging of ioends that are through, by hand-made ones without folios.
 */
#include "model/flat.h"

#define BLOCK 4096

/* Written: offset and size in blocks, the address follows the file. */
static struct iomap_ioend *make(struct flat *f, int64_t first, uint64_t nr)
{
	struct iomap_bio *bio = iomap_bio_pool_get(iomap_ioend_bio_pool(f->t.env));

	ck_assert_ptr_nonnull(bio);
	bio->op = IOMAP_BIO_WRITE;
	bio->bdev = f->bdev;
	bio->addr = (uint64_t)first * BLOCK;
	bio->len = nr * BLOCK;
	return iomap_init_ioend(&f->inode, bio, first * BLOCK, 0);
}

struct pair {
	struct flat *f;
	struct iomap_ioend *a, *b;
	struct iomap_list list;
};

/* Two neighbours that would merge. */
static void pair_start(struct pair *p)
{
	p->f = flat_new(&(struct flat_opts){ .frames = 1 });
	p->a = make(p->f, 0, 2);
	p->b = make(p->f, 2, 1);
	iomap_list_init(&p->list);
	iomap_list_add_tail(&p->list, &p->b->list);
}

/* Whether b was absorbed; all is given back. */
static bool merged(struct pair *p)
{
	bool yes;

	iomap_ioend_try_merge(p->a, &p->list);
	yes = iomap_list_empty(&p->list);
	ck_assert_uint_eq(p->a->size, yes ? 3 * BLOCK : 2 * BLOCK);
	if (!yes)
		iomap_finish_ioends(p->b, 0);
	iomap_finish_ioends(p->a, 0);
	flat_delete(&p->f);
	return yes;
}

CASE(neighbours_merge, "I99 I101", "Contiguous, of one kind: absorbed, and the size is the sum")
{
	struct pair p;

	pair_start(&p);
	ck_assert(merged(&p));
}

CASE(start_addresses_count, "I99",
     "Contiguity on the device is that of the start addresses, wherever the cursors stand")
{
	struct pair p;

	pair_start(&p);
	p.a->bio.addr += 2 * BLOCK;	/* a transport has moved them */
	p.b->bio.addr += BLOCK;
	ck_assert(merged(&p));
}

CASE(moved_cursors_do_not_make_neighbours, "I99 I91",
     "Apart on the device: cursors that happen to touch do not merge them")
{
	struct pair p;

	pair_start(&p);
	p.b->addr = 8 * BLOCK;
	p.b->bio.addr = 2 * BLOCK;
	ck_assert(!merged(&p));
}

CASE(a_gap_in_the_file, "I99 I91", "Not contiguous in the file: no merge")
{
	struct pair p;

	pair_start(&p);
	p.b->offset += BLOCK;
	ck_assert(!merged(&p));
}

CASE(only_writes_merge, "I99", "A read is never absorbed, nor absorbs")
{
	struct pair p;

	pair_start(&p);
	p.a->bio.op = p.b->bio.op = IOMAP_BIO_READ;
	ck_assert(!merged(&p));
	pair_start(&p);
	p.b->bio.op = IOMAP_BIO_ZONE_APPEND;
	ck_assert(!merged(&p));
}

CASE(one_status, "I99", "A failed one and a good one stay apart; two with the same error merge")
{
	struct pair p;

	pair_start(&p);
	p.b->error = -EIO;
	ck_assert(!merged(&p));
	pair_start(&p);
	p.a->error = p.b->error = -EIO;
	ck_assert(merged(&p));
}

CASE(boundary_is_one_way, "I93 I99", "A boundary refuses to be absorbed but absorbs")
{
	struct pair p;

	pair_start(&p);
	p.b->flags = IOMAP_IOEND_BOUNDARY;
	ck_assert(!merged(&p));
	pair_start(&p);
	p.a->flags = IOMAP_IOEND_BOUNDARY;
	ck_assert(merged(&p));
}

CASE(kinds_must_be_equal, "I92 I99", "Each no-merge flag must be the same on both sides")
{
	static const uint32_t kinds[] = {
		IOMAP_IOEND_SHARED, IOMAP_IOEND_UNWRITTEN, IOMAP_IOEND_DIRECT,
		IOMAP_IOEND_DONTCACHE,
	};
	struct pair p;

	for (unsigned i = 0; i < 4; i++) {
		pair_start(&p);
		p.a->flags = kinds[i];
		ck_assert_msg(!merged(&p), "kind %u on the left", i);
		pair_start(&p);
		p.b->flags = kinds[i];
		ck_assert_msg(!merged(&p), "kind %u on the right", i);
		pair_start(&p);
		p.a->flags = p.b->flags = kinds[i];
		ck_assert_msg(merged(&p), "kind %u on both", i);
	}
}

CASE(device_key_and_anonymity, "I91",
     "Another device, another client key or only one anonymous side: no merge")
{
	struct pair p;
	struct iomap_bdev *other = NULL;

	pair_start(&p);
	ck_assert_int_eq(iomap_bdev_open(p.f->ioq, "mem:other", NULL, &other), 0);
	p.b->bio.bdev = other;
	iomap_ioend_try_merge(p.a, &p.list);
	ck_assert(!iomap_list_empty(&p.list));
	p.b->bio.bdev = p.f->bdev;
	p.b->client_key = 1;
	iomap_ioend_try_merge(p.a, &p.list);
	ck_assert(!iomap_list_empty(&p.list));
	p.b->client_key = 0;
	p.b->flags = IOMAP_IOEND_ANON;
	iomap_ioend_try_merge(p.a, &p.list);
	ck_assert(!iomap_list_empty(&p.list));
	p.b->flags = 0;
	iomap_bdev_close(&other);
	ck_assert(merged(&p));
}

CASE(the_larger_client_max_survives, "I91", "The log position of a merged ioend is the largest")
{
	struct pair p;

	pair_start(&p);
	p.a->client_max = 5;
	p.b->client_max = 9;
	iomap_ioend_try_merge(p.a, &p.list);
	ck_assert_uint_eq(p.a->client_max, 9);
	ck_assert(merged(&p));
	pair_start(&p);
	p.a->client_max = 9;
	p.b->client_max = 5;
	iomap_ioend_try_merge(p.a, &p.list);
	ck_assert_uint_eq(p.a->client_max, 9);
	ck_assert(merged(&p));
}

CASE(absorbing_stops_at_the_first_that_does_not_fit, "I99",
     "Successors are taken from the head only, chains come along")
{
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 1 });
	struct iomap_ioend *e[5];
	struct iomap_list list;

	iomap_list_init(&list);
	for (int i = 0; i < 5; i++)
		e[i] = make(f, i < 4 ? i : 9, 1);
	/* 2 absorbs 3 first, then comes as a whole */
	iomap_list_add_tail(&list, &e[3]->list);
	iomap_ioend_try_merge(e[2], &list);
	iomap_list_add_tail(&list, &e[1]->list);
	iomap_list_add_tail(&list, &e[2]->list);
	iomap_list_add_tail(&list, &e[4]->list);
	iomap_ioend_try_merge(e[0], &list);
	ck_assert_uint_eq(e[0]->size, 4 * BLOCK);
	ck_assert_ptr_eq(list.next, &e[4]->list);
	ck_assert_ptr_eq(list.prev, &e[4]->list);
	iomap_finish_ioends(e[0], 0);
	iomap_finish_ioends(e[4], 0);
	flat_delete(&f);
}

CASE(sort_is_by_offset_and_stable, "I100", "Ascending offsets; equal ones keep their order")
{
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 1, .env.nr_ioends = 256 });
	struct iomap_list list, *l;
	uint64_t seed = 1;
	int64_t last_offset = -1;
	uint64_t last_key = 0, seen = 0;

	for (unsigned n = 0; n <= 200; n += 1 + n / 2) {
		iomap_list_init(&list);
		for (uint64_t i = 0; i < n; i++) {
			struct iomap_ioend *ioend = make(f, (int64_t)(t_rand(&seed) % 16), 1);

			ioend->client_key = i;	/* order of arrival */
			iomap_list_add_tail(&list, &ioend->list);
		}
		iomap_sort_ioends(&list);
		last_offset = -1;
		seen = 0;
		while ((l = iomap_list_pop(&list))) {
			struct iomap_ioend *e = iomap_container_of(l, struct iomap_ioend, list);

			ck_assert_int_ge(e->offset, last_offset);
			if (e->offset == last_offset)
				ck_assert_uint_gt(e->client_key, last_key);
			last_offset = e->offset;
			last_key = e->client_key;
			seen++;
			iomap_finish_ioends(e, 0);
		}
		ck_assert_uint_eq(seen, n);
	}
	flat_delete(&f);
}

CASE(sorting_before_merging, "I100 I101", "What arrived in any order becomes one when it is sorted")
{
	static const int order[] = { 3, 0, 2, 1 };
	struct flat *f = flat_new(&(struct flat_opts){ .frames = 1 });
	struct iomap_ioend *first;
	struct iomap_list list;

	iomap_list_init(&list);
	for (int i = 0; i < 4; i++)
		iomap_list_add_tail(&list, &make(f, order[i], 1)->list);
	iomap_sort_ioends(&list);
	first = iomap_container_of(iomap_list_pop(&list), struct iomap_ioend, list);
	iomap_ioend_try_merge(first, &list);
	ck_assert(iomap_list_empty(&list));
	ck_assert_int_eq(first->offset, 0);
	ck_assert_uint_eq(first->size, 4 * BLOCK);
	iomap_finish_ioends(first, 0);
	flat_delete(&f);
}

MAIN()
