/* SPDX-License-Identifier: MIT */
/*
 * test_uring_memory.c - memory that a ring has registered, and what is presented as such.
 */
#include "uring_fixture.h"

#define MB (1024u * KB)
#define WRITEV_FIXED 61

static char *map_memory(size_t len)
{
	void *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	ck_assert_ptr_ne(mem, MAP_FAILED);
	return mem;
}

static void write_runs(struct t_device *d, char *mem, size_t apart, unsigned nr)
{
	struct t_bio b;

	t_bio_init(&b, d->bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB);
	for (unsigned i = 1; i < nr; i++)
		iomap_bio_add(&b.bio, mem + i * apart, 4 * KB, NULL);
	iomap_bio_submit(&b.bio);
	all_end(d, &b, 1, 0);
}

CASE(how_registered_memory_is_presented, "",
     "One run is a fixed write, several a vectored fixed one; what is not registered is neither")
{
	char *mem = map_memory(4 * MB);
	struct t_device d;

	START(&d);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, 2 * MB), 0);
	write_runs(&d, mem + 4 * KB, 0, 1);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE_FIXED], 1);
	write_runs(&d, mem, 8 * KB, 4);
	ck_assert_uint_eq(seen.ops[WRITEV_FIXED] + seen.ops[IORING_OP_WRITEV], 1);
	write_runs(&d, mem + 3 * MB, 0, 1);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE], 1);
	write_runs(&d, mem + 2 * MB - 4 * KB, 8 * KB, 2);	/* one in, one out */
	ck_assert_uint_eq(seen.ops[WRITEV_FIXED] + seen.ops[IORING_OP_WRITEV], 2);
	ck_assert_uint_ge(seen.ops[IORING_OP_WRITEV], 1);
	t_device_stop(&d);
}

CASE(vectored_fixed_where_the_kernel_has_it, "", "Opcode 61 if the ring knows it, else writev")
{
	char *mem = map_memory(2 * MB);
	struct io_uring_probe *probe = io_uring_get_probe();
	bool knows = probe && io_uring_opcode_supported(probe, WRITEV_FIXED);
	struct t_device d;

	io_uring_free_probe(probe);
	START(&d);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, 2 * MB), 0);
	write_runs(&d, mem, 8 * KB, 4);
	ck_assert_uint_eq(seen.ops[WRITEV_FIXED], knows);
	t_device_stop(&d);
	fault.op_missing = WRITEV_FIXED;
	t_device_start(&d, T_URING);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, 2 * MB), 0);
	write_runs(&d, mem, 8 * KB, 4);
	ck_assert_uint_eq(seen.ops[WRITEV_FIXED], knows);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITEV], 2 - knows);
	t_device_stop(&d);
}

CASE(data_through_registered_memory, "O45",
     "Fixed and vectored fixed requests carry the bytes of their own places, also when short")
{
	uint8_t *in = (uint8_t *)map_memory(1 * MB), *out = (uint8_t *)map_memory(1 * MB);
	struct t_device d;

	START(&d);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, out, 1 * MB), 0);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, in, 1 * MB), 0);
	for (unsigned i = 0; i < 1 * MB; i++)
		in[i] = (uint8_t)(i * 7 + (i >> 12));
	for (unsigned round = 0; round < 2; round++) {
		struct t_bio w, r;

		memset(out, 0, 1 * MB);
		t_bio_init(&w, d.bdev, IOMAP_BIO_WRITE, 0, in + 64 * KB, 64 * KB);
		t_bio_init(&r, d.bdev, IOMAP_BIO_READ, 0, out + 16 * KB, 16 * KB);
		iomap_bio_add(&r.bio, out + 64 * KB, 48 * KB, NULL);
		iomap_bio_submit(&w.bio);
		all_end(&d, &w, 1, 0);
		iomap_bio_submit(&r.bio);
		all_end(&d, &r, 1, 0);
		ck_assert_mem_eq(out + 16 * KB, in + 64 * KB, 16 * KB);
		ck_assert_mem_eq(out + 64 * KB, in + 80 * KB, 48 * KB);
		fault.cut = 8 * KB;
	}
	ck_assert_uint_ge(seen.ops[IORING_OP_WRITE_FIXED], 9);
	t_device_stop(&d);
}

CASE(larger_than_one_buffer, "",
     "A pool of more than a GiB is registered in parts; none is overrun")
{
	size_t gib = 1024ul * MB, len = gib + 8 * MB;
	char *mem = map_memory(len);
	struct t_device d;

	START(&d);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, len), 0);
	write_runs(&d, mem + gib - 4 * KB, 0, 1);
	write_runs(&d, mem + gib + 4 * MB, 0, 1);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE_FIXED], 2);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem + gib - 4 * KB, 8 * KB, 0), 0);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE_FIXED], 2);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE], 1);
	ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem, len), 0);
	munmap(mem, len);
	t_device_stop(&d);
}

CASE(regions_come_and_go, "", "Overlaps are refused, any order works, what is gone is not used")
{
	char *mem = map_memory(8 * MB);
	struct t_device d;

	START(&d);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem + 4 * MB, MB), 0);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem + 4 * MB, MB), -EEXIST);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem + 3 * MB, MB + 1), -EEXIST);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem + 5 * MB - 1, MB), -EEXIST);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem + 3 * MB, MB), 0);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem + 5 * MB, MB), 0);
	ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem, MB), -ENOENT);
	ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem + 4 * MB, MB / 2), -ENOENT);
	ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem + 4 * MB, MB), 0);
	write_runs(&d, mem + 4 * MB, 0, 1);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE_FIXED], 0);
	write_runs(&d, mem + 3 * MB, 0, 1);
	write_runs(&d, mem + 5 * MB, 0, 1);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE_FIXED], 2);
	for (unsigned i = 0; i < 1000; i++) {	/* more often than there are places */
		ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, 4 * KB), 0);
		ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem, 4 * KB), 0);
	}
	t_device_stop(&d);
}

CASE(memory_in_use_stays, "O25", "Unregister is -EBUSY from submission until the request is reaped")
{
	char *mem = map_memory(MB);
	struct t_device d;
	struct t_bio b;

	START(&d);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, MB), 0);
	for (unsigned round = 0; round < 2; round++) {
		t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB);
		if (round)
			iomap_bio_add(&b.bio, mem + 64 * KB, 4 * KB, NULL);
		iomap_bio_submit(&b.bio);
		ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem, MB), -EBUSY);
		all_end(&d, &b, 1, 0);
	}
	ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem, MB), 0);
	t_device_stop(&d);
}

CASE(too_little_memory_may_be_locked, "O28",
     "RLIMIT_MEMLOCK refuses: -ENOMEM, a report that names it, and I/O goes on without")
{
	const struct rlimit little = { 64 * KB, 64 * KB };
	char *mem = map_memory(8 * MB);
	struct t_device d;

	ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &little), 0);
	if (!geteuid())			/* root may lock what it likes */
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	START(&d);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, 8 * MB), -ENOMEM);
	ck_assert_uint_eq(d.t.nr_reports, 1);
	ck_assert_str_eq(d.t.last_field, "register_memory");
	write_runs(&d, mem, 8 * KB, 4);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITEV], 1);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, 4 * KB), 0);
	ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, mem, 4 * KB), 0);
	t_device_stop(&d);
}

CASE(half_of_a_region, "O28", "Where the second part is refused, the first is given back")
{
	size_t gib = 1024ul * MB, len = gib + 4 * KB;
	char *mem = map_memory(len);
	struct t_device d;

	START(&d);
	fault.memory_error = -EFAULT;
	fault.memory_after = 1;
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, len), -EFAULT);
	ck_assert_int_eq(seen.nr_buffers, 0);
	fault.memory_error = 0;
	write_runs(&d, mem, 0, 1);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE_FIXED], 0);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, mem, MB), 0);
	write_runs(&d, mem, 0, 1);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE_FIXED], 1);
	t_device_stop(&d);
}

MAIN()
