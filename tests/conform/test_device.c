/* SPDX-License-Identifier: MIT */
/*
 * test_device.c - what a device does with one request, whatever kind it is: data, checks, pieces.
 */
#include "harness/devices.h"

#define KB 1024u

/* ---- data ---- */

CASE(what_was_written_is_read, "", "Data of many lengths come back from where they were put")
{
	static const unsigned lens[] = { 4 * KB, 8 * KB, 64 * KB, 1024 * KB };
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		for (unsigned i = 0; i < 4; i++) {
			uint64_t addr = i * 2048ull * KB;
			uint8_t *in = t_buffer(lens[i], (uint8_t)(40 + i));
			uint8_t *out = t_buffer(lens[i], 1);

			ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, addr, in, lens[i], 0), 0);
			ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, addr, out, lens[i], 0), 0);
			if (d.keeps)
				ck_assert(t_is_filled(out, lens[i], (uint8_t)(40 + i)));
			else
				ck_assert(t_is_zero(out, lens[i]));
		}
		t_device_stop(&d);
	}
}

CASE(segments_are_scattered_and_gathered, "",
     "Segments of different lengths, apart and adjacent, carry their own bytes")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		uint8_t *in = t_buffer(64 * KB, 5), *out = t_buffer(64 * KB, 9);
		static const unsigned at[] = { 16, 20, 0, 40 }, len[] = { 4, 8, 12, 24 };
		struct t_bio w, r;
		uint8_t *back = t_buffer(48 * KB, 0);
		unsigned off = 0;

		t_bio_init(&w, d.bdev, IOMAP_BIO_WRITE, 128 * KB, NULL, 0);
		t_bio_init(&r, d.bdev, IOMAP_BIO_READ, 128 * KB, NULL, 0);
		for (unsigned i = 0; i < 4; i++) {
			iomap_bio_add(&w.bio, in + at[i] * KB, len[i] * KB, NULL);
			iomap_bio_add(&r.bio, out + at[3 - i] * KB, len[3 - i] * KB, NULL);
		}
		iomap_bio_submit(&w.bio);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
		iomap_bio_submit(&r.bio);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
		ck_assert_int_eq(w.status, 0);
		ck_assert_int_eq(r.status, 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 128 * KB, back, 48 * KB, 0), 0);
		for (unsigned i = 0; i < 4 && d.keeps; off += len[i++] * KB)
			ck_assert_mem_eq(back + off, in + at[i] * KB, len[i] * KB);
		for (unsigned i = 0, o = 0; i < 4 && d.keeps; o += len[3 - i++] * KB)
			ck_assert_mem_eq(out + at[3 - i] * KB, back + o, len[3 - i] * KB);
		t_device_stop(&d);
	}
}

CASE(zeroed_and_discarded_ranges_read_zero, "",
     "WRITE_ZEROES clears its range and nothing beside it; so does a discard here")
{
	static const enum iomap_bio_op ops[] = { IOMAP_BIO_WRITE_ZEROES, IOMAP_BIO_DISCARD };
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		for (unsigned i = 0; i < 2; i++) {
			uint8_t *mem = t_buffer(64 * KB, 3);

			ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 64 * KB, 0), 0);
			ck_assert_int_eq(t_io(d.bdev, ops[i], 16 * KB, NULL, 32 * KB, 0), 0);
			ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 0, mem, 64 * KB, 0), 0);
			ck_assert(t_is_zero(mem + 16 * KB, 32 * KB));
			if (!d.keeps)
				continue;
			ck_assert(t_is_filled(mem, 16 * KB, 3));
			ck_assert(!t_is_zero(mem + 48 * KB, 16));
		}
		t_device_stop(&d);
	}
}

/* ---- what is refused ---- */

/* The status, having seen that it came from a poll, was reported, and sent nothing. */
static int refused(struct t_device *d, struct t_bio *b)
{
	unsigned reports = d->t.nr_reports, sent = 0;

	if (d->mem)
		t_mem_log_reset(d->mem);
	iomap_bio_submit(&b->bio);
	ck_assert_uint_eq(b->nr_ends, 0);		/* submit never calls back */
	ck_assert_int_eq(iomap_ioq_poll(d->ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_uint_eq(b->nr_ends, 1);
	ck_assert_uint_eq(d->t.nr_reports, reports + 1);
	ck_assert_str_eq(d->t.last_callback, "iomap_bio_submit");
	if (d->mem)
		t_mem_log(d->mem, &sent);
	ck_assert_uint_eq(sent, 0);
	return b->status;
}

CASE(misaligned_requests_are_refused, "",
     "Address and length that are no multiple of the block, each named in the report")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		uint32_t block = d.limits.logical_block;
		uint8_t *mem = t_buffer(4 * block, 1);
		struct t_bio b;

		t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, block / 2, mem, block);
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		ck_assert_str_eq(d.t.last_field, "addr");
		t_bio_init(&b, d.bdev, IOMAP_BIO_READ, block, mem, block + 1);
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		ck_assert_str_eq(d.t.last_field, d.limits.memory_align > 1 ? "len" : "len");
		t_bio_init(&b, d.bdev, IOMAP_BIO_DISCARD, 1, NULL, block);
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, block);
		b.bio.grain = block + 1;
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		ck_assert_str_eq(d.t.last_field, "grain");
		t_device_stop(&d);
	}
}

CASE(misaligned_memory_is_refused, "", "Memory that the device cannot reach is named in the report")
{
	uint8_t *mem = t_buffer(16 * KB, 1);
	struct t_device d;
	struct t_bio b;

	t_device_start_mem(&d, "align=4k", NULL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem + 512, 4 * KB);
	ck_assert_int_eq(refused(&d, &b), -EINVAL);
	ck_assert_str_eq(d.t.last_field, "segs");
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, 512);
	iomap_bio_add(&b.bio, mem + 4096, 4096 - 512, NULL);
	ck_assert_int_eq(refused(&d, &b), -EINVAL);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 512, mem, 4 * KB, 0), 0);
	t_device_stop(&d);
}

CASE(outside_the_device_is_refused, "",
     "At the end, across the end, near 2^63 and where the sum wraps: refused, and nothing is sent")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		uint64_t size = d.limits.size, block = d.limits.logical_block;
		const uint64_t addrs[] = { size, size - block, size + block, INT64_MAX - block + 1,
					   1ull << 63, UINT64_MAX - block + 1,
					   UINT64_MAX - 2 * block + 1 };
		uint8_t *mem = t_buffer(2 * block, 7);
		struct t_bio b;

		ck_assert_uint_eq(size, T_DEVICE_BYTES);
		for (unsigned i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
			t_bio_init(&b, d.bdev, i & 1 ? IOMAP_BIO_WRITE : IOMAP_BIO_READ, addrs[i],
				   mem, 2 * block);
			ck_assert_int_eq(refused(&d, &b), -EINVAL);
		}
		for (unsigned i = 0; i < 3; i++) {	/* the sum wraps to 0 or little more */
			t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE_ZEROES, i * block, NULL,
				   UINT64_MAX - block + 1);
			ck_assert_int_eq(refused(&d, &b), -EINVAL);
			ck_assert_str_eq(d.t.last_field, "len");
		}
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, size - block, mem, block, 0), 0);
		t_device_stop(&d);
	}
}

CASE(length_zero_does_nothing, "", "A request for no bytes succeeds without asking the device")
{
	static const enum iomap_bio_op ops[] = { IOMAP_BIO_READ, IOMAP_BIO_WRITE, IOMAP_BIO_DISCARD,
						 IOMAP_BIO_WRITE_ZEROES };
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		for (unsigned i = 0; i < 4; i++) {
			unsigned sent = 0;

			ck_assert_int_eq(t_io(d.bdev, ops[i], 4096, NULL, 0, 0), 0);
			if (d.mem)
				t_mem_log(d.mem, &sent);
			ck_assert_uint_eq(sent, 0);
		}
		t_device_stop(&d);
	}
}

CASE(nonsense_is_refused, "", "Unknown operation and flags, flags of writes on reads, wrong sums")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		uint8_t *mem = t_buffer(8 * KB, 1);
		struct t_bio b;

		t_bio_init(&b, d.bdev, IOMAP_BIO_READ, 0, mem, 4 * KB);
		b.bio.op = 99;
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		ck_assert_str_eq(d.t.last_field, "op");
		t_bio_init(&b, d.bdev, IOMAP_BIO_READ, 0, mem, 4 * KB);
		b.bio.flags = 1 << 12;
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		ck_assert_str_eq(d.t.last_field, "flags");
		t_bio_init(&b, d.bdev, IOMAP_BIO_READ, 0, mem, 4 * KB);
		b.bio.flags = IOMAP_BIO_FUA;
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB);
		b.bio.len = 8 * KB;
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		ck_assert_str_eq(d.t.last_field, "len");
		t_bio_init(&b, d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 4 * KB);
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		t_bio_init(&b, d.bdev, IOMAP_BIO_DISCARD, 0, mem, 4 * KB);
		ck_assert_int_eq(refused(&d, &b), -EINVAL);
		t_bio_init(&b, d.bdev, IOMAP_BIO_ZONE_RESET, 0, NULL, 4 * KB);
		ck_assert_int_eq(refused(&d, &b), -EOPNOTSUPP);
		t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB);
		b.bio.flags = IOMAP_BIO_ATOMIC;
		if (!d.limits.atomic_max)
			ck_assert_int_eq(refused(&d, &b), -EINVAL);
		t_device_stop(&d);
	}
	t_device_start_mem(&d, "nozeroes", NULL);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_DISCARD, 0, NULL, 4 * KB, 0), -EOPNOTSUPP);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE_ZEROES, 0, NULL, 4 * KB, 0), -EOPNOTSUPP);
	t_device_stop(&d);
}

CASE(a_bio_without_a_device_fails, "", "There is no queue to end it on: the wait says so")
{
	struct iomap_bio bio;

	iomap_bio_init(&bio, NULL, IOMAP_BIO_FLUSH, 0, NULL, 0);
	iomap_bio_submit(&bio);
	ck_assert_int_eq(iomap_bio_wait(&bio), -EINVAL);
}

CASE(waiting_for_what_was_not_submitted, "", "A wait that nobody would end is refused")
{
	struct t_device d;
	struct t_bio b;

	t_device_start(&d, T_NULL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	ck_assert_int_eq(iomap_bio_wait(&b.bio), -EINVAL);
	t_device_stop(&d);
}

/* ---- pieces ---- */

struct covered {
	struct t_bio b;
	unsigned nr, nr_failed;
	uint64_t bytes, failed_off, failed_len;
	uint8_t seen[256];		/* by 4 KiB */
};

static void count_piece(struct iomap_bio *bio, uint64_t off, uint64_t len, int status)
{
	struct covered *c = iomap_container_of(bio, struct covered, b.bio);

	ck_assert_uint_eq(c->b.nr_ends, 0);		/* before end_io */
	c->nr++;
	c->bytes += len;
	if (status) {
		c->nr_failed++;
		c->failed_off = off;
		c->failed_len = len;
	}
	for (uint64_t i = off / 4096; i < (off + len) / 4096; i++)
		c->seen[i]++;
}

static void start_covered(struct covered *c, struct t_device *d, enum iomap_bio_op op, uint8_t *mem,
			  uint64_t len)
{
	memset(c, 0, sizeof(*c));
	t_bio_init(&c->b, d->bdev, op, 64 * KB, mem, len);
	c->b.bio.piece_end = count_piece;
}

static void finish_covered(struct covered *c, struct t_device *d)
{
	iomap_bio_submit(&c->b.bio);
	while (!c->b.nr_ends)
		ck_assert_int_ge(iomap_ioq_poll(d->ioq, 1, 1, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(c->bytes, c->b.bio.len);
	for (uint64_t i = 0; i < c->b.bio.len / 4096; i++)
		ck_assert_uint_eq(c->seen[i], 1);
}

CASE(large_requests_are_split, "", "Pieces of what the device takes, on multiples of the grain")
{
	uint8_t *mem = t_buffer(256 * KB, 2), *out = t_buffer(256 * KB, 0);
	const struct t_mem_req *log;
	struct t_device d;
	struct covered c;
	unsigned nr;

	t_device_start_mem(&d, "max=40k", NULL);
	start_covered(&c, &d, IOMAP_BIO_WRITE, mem, 256 * KB);
	c.b.bio.grain = 16 * KB;
	finish_covered(&c, &d);
	ck_assert_int_eq(c.b.status, 0);
	log = t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 8);
	ck_assert_uint_eq(c.nr, 8);
	for (unsigned i = 0; i < nr; i++) {
		ck_assert_uint_eq(log[i].len, 32 * KB);
		ck_assert_uint_eq(log[i].addr, 64 * KB + i * 32 * KB);
	}
	start_covered(&c, &d, IOMAP_BIO_READ, out, 256 * KB);
	finish_covered(&c, &d);
	ck_assert(t_is_filled(out, 256 * KB, 2));
	start_covered(&c, &d, IOMAP_BIO_WRITE_ZEROES, NULL, 256 * KB);
	finish_covered(&c, &d);
	ck_assert_uint_eq(c.nr, 7);
	ck_assert(t_is_zero(t_mem_data(d.mem) + 64 * KB, 256 * KB));
	t_device_stop(&d);
}

CASE(what_is_not_split_is_one_piece, "", "The pieces cover the bio also when there is only one")
{
	struct covered c;
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		start_covered(&c, &d, IOMAP_BIO_WRITE, t_buffer(8 * KB, 1), 8 * KB);
		finish_covered(&c, &d);
		ck_assert_uint_eq(c.nr, 1);
		t_device_stop(&d);
	}
}

CASE(many_scattered_segments_are_split, "", "More segments than the device has make more requests")
{
	enum { NR = 64 };
	uint8_t *mem = t_buffer(NR * 8 * KB, 4);
	struct iomap_bvec segs[NR];
	struct iomap_bio bio;
	const struct t_mem_req *log;
	struct t_device d;
	unsigned nr;

	t_device_start_mem(&d, "segs=5,block=4k", NULL);
	iomap_bio_init(&bio, d.bdev, IOMAP_BIO_WRITE, 0, segs, NR);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_int_eq(iomap_bio_add(&bio, mem + i * 8 * KB, 4 * KB, NULL), 0);
	ck_assert_int_eq(iomap_bio_add(&bio, mem, 4 * KB, NULL), -ENOSPC);
	bio.grain = 8 * KB;
	iomap_bio_submit(&bio);
	ck_assert_int_eq(iomap_bio_wait(&bio), 0);
	log = t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, NR / 4);		/* five segments hold two grains */
	for (unsigned i = 0; i < nr; i++)
		ck_assert_uint_eq(log[i].nr_segs, 4);
	for (unsigned i = 0; i < NR; i++)
		ck_assert_mem_eq(t_mem_data(d.mem) + i * 4 * KB, mem + i * 8 * KB, 4 * KB);
	t_device_stop(&d);
}

CASE(grain_larger_than_a_request, "", "Where no grain fits, cuts fall on blocks")
{
	const struct t_mem_req *log;
	struct t_device d;
	struct covered c;
	unsigned nr;

	t_device_start_mem(&d, "max=12k", NULL);
	start_covered(&c, &d, IOMAP_BIO_WRITE, t_buffer(32 * KB, 2), 32 * KB);
	c.b.bio.grain = 16 * KB;
	finish_covered(&c, &d);
	ck_assert_int_eq(c.b.status, 0);
	log = t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 3);
	ck_assert_uint_eq(log[0].len, 12 * KB);
	t_device_stop(&d);
}

CASE(a_bad_piece_spares_its_neighbours, "", "The first error is the bio's, the others are written")
{
	uint8_t *mem = t_buffer(64 * KB, 6);
	struct t_device d;
	struct covered c;

	t_device_start_mem(&d, "max=16k", NULL);
	t_mem_hold(d.mem, true);
	t_mem_fail(d.mem, IOMAP_BIO_WRITE, 1, 1, -ENOSPC, 64 * KB + 16 * KB);
	t_mem_fail(d.mem, IOMAP_BIO_WRITE, 1, 1, -EIO, 64 * KB + 48 * KB);
	start_covered(&c, &d, IOMAP_BIO_WRITE, mem, 64 * KB);
	iomap_bio_submit(&c.b.bio);
	ck_assert_uint_eq(t_mem_nr_held(d.mem), 4);
	t_mem_release(d.mem, 3);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 0);
	ck_assert_uint_eq(c.nr_failed, 1);
	ck_assert_uint_eq(c.failed_off, 48 * KB);
	ck_assert_uint_eq(c.b.nr_ends, 0);
	t_mem_release_all(d.mem);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, IOMAP_FOREVER), 1);
	ck_assert_int_eq(c.b.status, -EIO);
	ck_assert_uint_eq(c.nr_failed, 2);
	ck_assert_uint_eq(c.nr, 4);
	ck_assert(t_is_filled(t_mem_data(d.mem) + 64 * KB, 16 * KB, 6));
	ck_assert_mem_eq(t_mem_data(d.mem) + 96 * KB, mem + 32 * KB, 16 * KB);
	ck_assert(t_is_zero(t_mem_data(d.mem) + 80 * KB, 16 * KB));
	t_device_stop(&d);
}

CASE(atomic_chunks_go_one_by_one, "", "Each natural chunk is one atomic request, or none is sent")
{
	const struct t_mem_req *log;
	struct t_device d;
	struct covered c;
	struct t_bio b;
	unsigned nr;

	t_device_start_mem(&d, "atomic=16k,segs=2", NULL);
	start_covered(&c, &d, IOMAP_BIO_WRITE, t_buffer(64 * KB, 2), 64 * KB);
	c.b.bio.atomic_bytes = 16 * KB;
	finish_covered(&c, &d);
	log = t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 4);
	for (unsigned i = 0; i < nr; i++) {
		ck_assert_uint_eq(log[i].len, 16 * KB);
		ck_assert_uint_eq(log[i].addr % (16 * KB), 0);
		ck_assert(log[i].flags & IOMAP_BIO_ATOMIC);
	}
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 8 * KB, t_buffer(16 * KB, 1), 16 * KB);
	b.bio.flags = IOMAP_BIO_ATOMIC;
	ck_assert_int_eq(refused(&d, &b), -EINVAL);	/* not naturally aligned */
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(32 * KB, 1), 32 * KB);
	b.bio.flags = IOMAP_BIO_ATOMIC;
	ck_assert_int_eq(refused(&d, &b), -EINVAL);	/* too large */
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(24 * KB, 1), 24 * KB);
	b.bio.atomic_bytes = 16 * KB;
	ck_assert_int_eq(refused(&d, &b), -EINVAL);	/* half a chunk */
	ck_assert_str_eq(d.t.last_field, "atomic_bytes");
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(16 * KB, 1), 16 * KB,
			      IOMAP_BIO_ATOMIC), 0);
	t_device_stop(&d);
}

CASE(an_atomic_chunk_that_cannot_go_whole, "", "It fails as a piece; it is not torn")
{
	uint8_t *mem = t_buffer(32 * KB, 8);
	struct t_device d;
	struct t_bio b;
	unsigned nr;

	t_device_start_mem(&d, "atomic=16k,segs=2", NULL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, NULL, 0);
	for (unsigned i = 0; i < 4; i++)
		iomap_bio_add(&b.bio, mem + i * 8 * KB, 4 * KB, NULL);
	b.bio.atomic_bytes = 16 * KB;
	iomap_bio_submit(&b.bio);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
	ck_assert_int_eq(b.status, -EINVAL);
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 0);
	t_device_stop(&d);
}

CASE(an_atomic_write_is_one_request, "", "What one request cannot carry is refused, not cut in two")
{
	enum { NR = 1025 };		/* one more than the library puts into a request */
	struct iomap_bvec *segs = calloc(NR, sizeof(*segs));
	uint8_t *mem = t_buffer(2048 * KB, 3);
	struct t_device d;
	struct t_bio b;
	unsigned nr;

	t_device_start_mem(&d, "atomic=1m,max=32k", NULL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, 64 * KB);
	b.bio.atomic_bytes = 64 * KB;
	ck_assert_int_eq(refused(&d, &b), -EINVAL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, 64 * KB);
	b.bio.flags = IOMAP_BIO_ATOMIC;
	ck_assert_int_eq(refused(&d, &b), -EINVAL);
	t_device_stop(&d);
	t_device_start_mem(&d, "atomic=1m,segs=4096", NULL);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, NULL, 0);
	b.bio.segs = segs;
	b.bio.max_segs = NR;
	for (unsigned i = 0; i < NR - 1; i++)
		iomap_bio_add(&b.bio, mem + i * 2048, 1024 - (i ? 0 : 512), NULL);
	iomap_bio_add(&b.bio, mem + (NR - 1) * 2048 - 512, 512, NULL);
	ck_assert_uint_eq(b.bio.len, 1024 * KB);
	b.bio.flags = IOMAP_BIO_ATOMIC | IOMAP_BIO_PREFLUSH;	/* it goes in pieces */
	ck_assert_int_eq(refused(&d, &b), -EINVAL);
	t_mem_log(d.mem, &nr);
	ck_assert_uint_eq(nr, 0);
	t_device_stop(&d);
	free(segs);
}

CASE(zone_append_says_where, "", "The address given by the device is the bio's at completion")
{
	uint8_t *mem = t_buffer(8 * KB, 3);
	struct iomap_zone zones[2];
	struct t_device d;
	struct t_bio b;

	t_device_start_mem(&d, "zoned", NULL);
	for (unsigned i = 0; i < 3; i++) {
		t_bio_init(&b, d.bdev, IOMAP_BIO_ZONE_APPEND, 1 << 20, mem, 4 * KB);
		b.bio.flags = i == 1 ? IOMAP_BIO_PREFLUSH : 0;	/* also through a piece */
		iomap_bio_submit(&b.bio);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, IOMAP_FOREVER), 1);
		ck_assert_int_eq(b.status, 0);
		ck_assert_uint_eq(b.bio.addr, (1 << 20) + i * 4 * KB);
	}
	ck_assert_int_eq(iomap_bdev_report_zones(d.bdev, 1 << 20, zones, 2), 2);
	ck_assert_uint_eq(zones[0].write_pointer, (1 << 20) + 12 * KB);
	ck_assert_uint_eq(zones[0].state, IOMAP_ZONE_OPEN);
	ck_assert_uint_eq(zones[1].state, IOMAP_ZONE_EMPTY);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_ZONE_RESET, 1 << 20, NULL, 0, 0), 0);
	ck_assert_int_eq(iomap_bdev_report_zones(d.bdev, 1 << 20, zones, 1), 1);
	ck_assert_uint_eq(zones[0].state, IOMAP_ZONE_EMPTY);
	t_device_stop(&d);
}

CASE(pools_give_bios_inside_larger_objects, "", "Each with its segments, until there are no more")
{
	struct outer {
		uint64_t mine;
		struct iomap_bio bio;
	};
	struct iomap_bio_pool *pool;
	struct iomap_bio *bios[3];
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_bio_pool_new(t.env, 3, 3, 4, &pool), -EINVAL);
	ck_assert_int_eq(iomap_bio_pool_new(t.env, offsetof(struct outer, bio), 3, 4, &pool), 0);
	for (unsigned i = 0; i < 3; i++) {
		bios[i] = iomap_bio_pool_get(pool);
		ck_assert_ptr_nonnull(bios[i]);
		ck_assert_uint_eq(bios[i]->max_segs, 4);
		iomap_container_of(bios[i], struct outer, bio)->mine = i;
		for (unsigned s = 0; s < 4; s++)
			ck_assert_int_eq(iomap_bio_add(bios[i], &t, 512, NULL), 0);
		ck_assert_int_eq(iomap_bio_add(bios[i], &t, 512, NULL), -ENOSPC);
	}
	ck_assert_ptr_null(iomap_bio_pool_get(pool));
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(iomap_container_of(bios[i], struct outer, bio)->mine, i);
		iomap_bio_pool_put(pool, bios[i]);
	}
	ck_assert_ptr_nonnull(bios[0] = iomap_bio_pool_get(pool));
	ck_assert_uint_eq(bios[0]->nr_segs, 0);
	iomap_bio_pool_put(pool, bios[0]);
	iomap_bio_pool_delete(&pool);
	ck_assert_ptr_null(pool);
	t_env_stop(&t);
}

MAIN()
