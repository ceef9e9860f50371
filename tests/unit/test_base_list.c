/* SPDX-License-Identifier: MIT */
/*
 * test_base_list.c - the list, and arithmetic that must not wrap.
 */
#include "harness/harness.h"

#include "base/base.h"

struct item {
	int value;
	struct iomap_list node;
};

CASE(list_is_first_in_first_out, "", "Nodes come out in the order in which they went in")
{
	struct item items[3] = { { .value = 0 }, { .value = 1 }, { .value = 2 } };
	struct iomap_list head;

	iomap_list_init(&head);
	ck_assert(iomap_list_empty(&head));
	ck_assert_ptr_null(iomap_list_pop(&head));
	for (int i = 0; i < 3; i++)
		iomap_list_add_tail(&head, &items[i].node);
	ck_assert(!iomap_list_empty(&head));
	for (int i = 0; i < 3; i++) {
		struct iomap_list *node = iomap_list_pop(&head);

		ck_assert_ptr_nonnull(node);
		ck_assert_int_eq(iomap_container_of(node, struct item, node)->value, i);
	}
	ck_assert(iomap_list_empty(&head));
}

CASE(list_node_leaves_from_the_middle, "", "A node leaves, twice if need be, and the rest stays")
{
	struct item items[3] = { { .value = 0 }, { .value = 1 }, { .value = 2 } };
	struct iomap_list head, *l;
	int sum = 0, nr = 0;

	iomap_list_init(&head);
	for (int i = 0; i < 3; i++)
		iomap_list_add_tail(&head, &items[i].node);
	iomap_list_del(&items[1].node);
	ck_assert(iomap_list_empty(&items[1].node));
	iomap_list_del(&items[1].node);
	iomapi_list_for_each(l, &head) {
		sum += iomap_container_of(l, struct item, node)->value;
		nr++;
	}
	ck_assert_int_eq(nr, 2);
	ck_assert_int_eq(sum, 2);
	ck_assert_ptr_eq(head.next, &items[0].node);
	ck_assert_ptr_eq(head.prev, &items[2].node);
	iomap_list_add_tail(&head, &items[1].node);
	ck_assert_ptr_eq(head.prev, &items[1].node);
}

CASE(end_does_not_wrap, "", "The end of a range is the largest position where the sum would wrap")
{
	ck_assert_int_eq(iomapi_end(0, 0), 0);
	ck_assert_int_eq(iomapi_end(4096, 512), 4608);
	ck_assert_int_eq(iomapi_end(IOMAP_MAX_POS - 1, 1), IOMAP_MAX_POS);
	ck_assert_int_eq(iomapi_end(IOMAP_MAX_POS, 1), IOMAP_MAX_POS);
	ck_assert_int_eq(iomapi_end(1, UINT64_MAX), IOMAP_MAX_POS);
	ck_assert_int_eq(iomapi_end(IOMAP_MAX_POS, 0), IOMAP_MAX_POS);
}

CASE(rounding_keeps_the_type, "",
     "Rounding to a power of two works above 4 GiB and below zero bits")
{
	uint64_t big = (1ull << 40) + 1;

	ck_assert_uint_eq(iomapi_round_down(big, 4096u), 1ull << 40);
	ck_assert_uint_eq(iomapi_round_up(big, 4096u), (1ull << 40) + 4096);
	ck_assert_uint_eq(iomapi_round_up(0u, 512u), 0);
	ck_assert(iomapi_is_pow2(1u));
	ck_assert(!iomapi_is_pow2(0u));
	ck_assert(!iomapi_is_pow2(12u));
}

MAIN()
