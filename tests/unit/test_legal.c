/* SPDX-License-Identifier: MIT */
/*
 * test_legal.c - the checker of crash images by itself: the rows of the table, counted by hand.
 */
#include "harness/harness.h"
#include "harness/legal.h"

static const struct legal_device plain = {
	.nr_units = 3, .physical = 1, .atomic = 1, .cache = true, .power_safe = true,
};
static uint64_t last_id;

/* A write of the next token; its id. */
static uint64_t put(struct legal *l, uint32_t first, uint32_t nr, bool fua, uint32_t queue)
{
	const uint64_t id = ++last_id;
	const struct legal_cmd cmd = {
		.id = id, .op = LEGAL_WRITE, .fua = fua, .token = (uint8_t)id, .queue = queue,
		.first = first, .nr = nr,
	};

	ck_assert(legal_accept(l, &cmd));
	return id;
}

static uint64_t flush(struct legal *l)
{
	const struct legal_cmd cmd = { .id = ++last_id, .op = LEGAL_FLUSH };

	ck_assert(legal_accept(l, &cmd));
	return last_id;
}

static void finish(struct legal *l, uint64_t id, int status)
{
	ck_assert(legal_linearise(l, id));
	ck_assert(legal_complete(l, id, status, false));
}

static void start(struct legal *l, const struct legal_device *dev)
{
	legal_start(l, dev);
	last_id = 0;
}

static bool is_legal(const struct legal *l, uint8_t a, uint8_t b, uint8_t c)
{
	const uint8_t image[] = { a, b, c };

	return legal_image(l, image);
}

CASE(a_cache_promises_nothing, "", "Each of two writes is there or not, until a flush")
{
	struct legal l;

	start(&l, &plain);
	finish(&l, put(&l, 0, 1, false, 0), 0);
	finish(&l, put(&l, 0, 2, false, 0), 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 3 * 2);
	ck_assert(is_legal(&l, 1, 2, 0));
	ck_assert(!is_legal(&l, 0, 1, 0));
	finish(&l, flush(&l), 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 1);
	ck_assert(is_legal(&l, 2, 2, 0));
}

CASE(two_flushes, "", "The second carries what the first, still running, carries")
{
	struct legal l;
	uint64_t first, second, late;

	start(&l, &plain);
	finish(&l, put(&l, 0, 1, false, 0), 0);
	late = put(&l, 1, 1, false, 0);
	first = flush(&l);
	second = flush(&l);
	finish(&l, late, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 4);
	finish(&l, second, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 2);
	ck_assert(is_legal(&l, 1, 0, 0) && is_legal(&l, 1, 2, 0));
	finish(&l, first, -EIO);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 2);
}

CASE(dropped_with_its_flush, "", "No later flush covers it; one that was through before has")
{
	struct legal l;
	uint64_t drops;

	start(&l, &plain);
	finish(&l, put(&l, 0, 1, false, 0), 0);
	drops = flush(&l);
	ck_assert(legal_complete(&l, drops, -EIO, true));
	finish(&l, flush(&l), 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 2);
	finish(&l, put(&l, 0, 1, false, 0), 0);
	finish(&l, flush(&l), 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 1);
}

CASE(fua_is_for_itself, "", "Its units are durable and nothing else; emulated, what came before is")
{
	struct legal_device emulated = plain;
	struct legal l;

	emulated.fua_flushes = true;
	for (unsigned i = 0; i < 2; i++) {
		start(&l, i ? &emulated : &plain);
		finish(&l, put(&l, 0, 1, false, 0), 0);
		finish(&l, put(&l, 1, 1, true, 0), 0);
		ck_assert_uint_eq(legal_each(&l, NULL, NULL), i ? 1 : 2);
		ck_assert(!is_legal(&l, 1, 0, 0));
	}
}

CASE(groups_do_not_tear, "", "Two units as one; without an order between two of them in flight")
{
	struct legal_device groups = plain;
	struct legal l;

	groups.atomic = 2;
	start(&l, &groups);
	put(&l, 0, 2, false, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 2);
	put(&l, 1, 2, false, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 5);
	ck_assert(is_legal(&l, 1, 1, 2) && is_legal(&l, 1, 2, 2));
	ck_assert(!is_legal(&l, 0, 1, 2));
	groups.boundary = 2;
	start(&l, &groups);
	put(&l, 1, 2, false, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 4);
}

CASE(orders, "", "Prefixes of the device, or of each queue; FUA takes what is before it along")
{
	struct legal_device ordered = plain;
	struct legal l;

	for (unsigned i = 0; i < 2; i++) {
		ordered.order = i ? LEGAL_PER_QUEUE : LEGAL_FIFO;
		start(&l, &ordered);
		finish(&l, put(&l, 0, 1, false, 0), 0);
		finish(&l, put(&l, 1, 1, false, 1), 0);
		put(&l, 2, 1, false, 1);
		ck_assert_uint_eq(legal_each(&l, NULL, NULL), i ? 2 * 3 : 4);
		ck_assert(!is_legal(&l, 1, 0, 3));
		ck_assert(is_legal(&l, 0, 2, 3) == (i == 1));
		ck_assert(legal_linearise(&l, 3));
		finish(&l, put(&l, 2, 1, true, 1), 0);
		ck_assert_uint_eq(legal_each(&l, NULL, NULL), i ? 2 : 1);
	}
}

CASE(out_of_order, "", "A device with an order that does not keep it is told from one that does")
{
	struct legal_device fifo = plain;
	struct legal l;

	fifo.order = LEGAL_FIFO;
	start(&l, &fifo);
	put(&l, 0, 1, false, 0);
	put(&l, 1, 1, false, 0);
	ck_assert(!legal_linearise(&l, 2));
	ck_assert(legal_linearise(&l, 1) && legal_linearise(&l, 2));
}

CASE(failed_is_open, "", "Old or new until it is overwritten; or unreadable where sectors shear")
{
	struct legal_device shorn = plain;
	struct legal l;

	shorn.shorn = true;
	for (unsigned i = 0; i < 2; i++) {
		start(&l, i ? &shorn : &plain);
		finish(&l, put(&l, 0, 1, false, 0), -EIO);
		finish(&l, flush(&l), 0);
		ck_assert_uint_eq(legal_each(&l, NULL, NULL), i ? 3 : 2);
		finish(&l, put(&l, 0, 1, true, 0), 0);
		ck_assert_uint_eq(legal_each(&l, NULL, NULL), 1);
	}
}

CASE(shorn_and_hurt, "", "Only what is in flight, and only what shares its physical block")
{
	struct legal_device dev = plain;
	struct legal l;
	uint64_t id;

	dev.shorn = true;
	start(&l, &dev);
	id = put(&l, 0, 1, false, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 4);
	finish(&l, id, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 2);
	dev.shorn = dev.power_safe = false;
	dev.physical = 2;
	start(&l, &dev);
	id = put(&l, 0, 1, false, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 2 * 2);
	ck_assert(is_legal(&l, 1, LEGAL_GARBAGE, 0) && !is_legal(&l, LEGAL_GARBAGE, 0, 0));
	finish(&l, id, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 2);
}

CASE(without_a_cache, "", "Completed is durable, in flight is not")
{
	struct legal_device dev = plain;
	struct legal l;

	dev.cache = false;
	start(&l, &dev);
	finish(&l, put(&l, 0, 2, false, 0), 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 1);
	put(&l, 0, 3, false, 0);
	ck_assert_uint_eq(legal_each(&l, NULL, NULL), 8);
}

MAIN()
