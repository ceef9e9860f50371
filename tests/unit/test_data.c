/* SPDX-License-Identifier: MIT */
/*
 * test_data.c - the cursor over the user's memory.
 */
#include "harness/harness.h"

#include "buffered/buffered.h"

#define NR 4

static char bytes[64];

static void fill(struct iovec *iov, struct iomap_data *data)
{
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)('0' + i);
	iov[0] = (struct iovec){ bytes, 10 };
	iov[1] = (struct iovec){ NULL, 0 };
	iov[2] = (struct iovec){ bytes + 20, 5 };
	iov[3] = (struct iovec){ bytes + 40, 7 };
	iomap_data_init(data, iov, NR);
}

CASE(copy_walks_over_segments, "", "Segments are copied in order, empty ones stepped over")
{
	struct iovec iov[NR];
	struct iomap_data data;
	char got[32] = { 0 };
	struct t_env t;

	t_env_start(&t, NULL);
	fill(iov, &data);
	ck_assert_uint_eq(data.total, 22);
	ck_assert_uint_eq(iomap_data_copy(t.env, &data, got, 4, false), 4);
	ck_assert_uint_eq(iomap_data_copy(t.env, &data, got + 4, 100, false), 18);
	ck_assert_uint_eq(data.left, 0);
	ck_assert_mem_eq(got, bytes, 10);
	ck_assert_mem_eq(got + 10, bytes + 20, 5);
	ck_assert_mem_eq(got + 15, bytes + 40, 7);
	ck_assert_uint_eq(iomap_data_copy(t.env, &data, got, 1, false), 0);
	t_env_stop(&t);
}

CASE(copy_to_user_scatters, "", "The other way bytes land where the segments are, and only there")
{
	struct iovec iov[NR];
	struct iomap_data data;
	struct t_env t;

	t_env_start(&t, NULL);
	fill(iov, &data);
	ck_assert_uint_eq(iomap_data_copy(t.env, &data, "abcdefghijklmnop", 13, true), 13);
	ck_assert_mem_eq(bytes, "abcdefghij", 10);
	ck_assert_int_eq(bytes[10], '0' + 10);
	ck_assert_mem_eq(bytes + 20, "klm", 3);
	ck_assert_int_eq(bytes[23], '0' + 23);
	ck_assert_uint_eq(data.left, 9);
	t_env_stop(&t);
}

CASE(rewind_is_the_opposite_of_advance, "", "Any step back and forth leads to the same byte")
{
	struct iovec iov[NR];
	struct iomap_data data;
	struct t_env t;

	t_env_start(&t, NULL);
	for (unsigned at = 0; at <= 22; at++) {
		for (unsigned back = 0; back <= at; back++) {
			char want, got;

			fill(iov, &data);
			iomap_data_advance(&data, at - back);
			want = (char)iomap_data_copy(t.env, &data, &got, 1, false);
			ck_assert_int_eq(want, at - back < 22);
			want = got;
			fill(iov, &data);
			iomap_data_advance(&data, at);
			iomap_data_rewind(&data, back);
			ck_assert_uint_eq(data.left, 22 - at + back);
			if (iomap_data_copy(t.env, &data, &got, 1, false))
				ck_assert_int_eq(got, want);
		}
	}
	fill(iov, &data);
	iomap_data_advance(&data, 1000);
	ck_assert_uint_eq(data.left, 0);
	iomap_data_rewind(&data, 1000);
	ck_assert_uint_eq(data.left, 22);
	t_env_stop(&t);
}

/* Memory of which only the first bytes can be reached. */
struct fence {
	const char *end;
	unsigned calls;
};

static size_t reach(struct fence *f, const void *user, size_t len)
{
	size_t left = (const char *)user < f->end ? (size_t)(f->end - (const char *)user) : 0;

	f->calls++;
	return len < left ? len : left;
}

static size_t fence_in(void *arg, void *dst, const void *user, size_t len)
{
	size_t n = reach(arg, user, len);

	memcpy(dst, user, n);
	return n;
}

static size_t fence_out(void *arg, void *user, const void *src, size_t len)
{
	size_t n = reach(arg, user, len);

	memcpy(user, src, n);
	return n;
}

static size_t fence_prefault(void *arg, const void *user, size_t len, bool write)
{
	(void)write;
	return reach(arg, user, len);
}

static const struct iomap_copy_ops fence_ops = {
	.struct_size = sizeof(fence_ops), .copy_in = fence_in, .copy_out = fence_out,
	.prefault = fence_prefault,
};

CASE(short_copy_stops_where_memory_ends, "",
     "A short copy ends the copy and leaves the cursor there")
{
	struct fence f = { .end = bytes + 22 };
	struct iomap_env_opts opts = {
		.struct_size = sizeof(opts), .copy = &fence_ops, .copy_arg = &f,
	};
	struct iovec iov[NR];
	struct iomap_data data;
	char got[32];
	struct t_env t;

	t_env_start(&t, &opts);
	fill(iov, &data);
	ck_assert_uint_eq(iomapi_data_prefault(t.env, &data, 22, false), 12);
	ck_assert_uint_eq(data.left, 22);	/* looking does not move the cursor */
	ck_assert_uint_eq(iomap_data_copy(t.env, &data, got, 22, false), 12);
	ck_assert_uint_eq(data.left, 10);
	f.end = bytes + sizeof(bytes);
	ck_assert_uint_eq(iomap_data_copy(t.env, &data, got + 12, 22, false), 10);
	ck_assert_mem_eq(got + 10, bytes + 20, 5);
	ck_assert_mem_eq(got + 15, bytes + 40, 7);
	t_env_stop(&t);
}

static size_t own_copy(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	ck_assert(!to_user);
	memset(mem, 'x', len);
	*(unsigned *)data->owner += 1;
	return len > 3 ? 3 : len;
}

static size_t own_prefault(struct iomap_data *data, size_t len, bool write)
{
	ck_assert(!write);
	*(unsigned *)data->owner += 100;
	return len / 2;
}

CASE(request_may_bring_its_own_copy, "",
     "The operations of a request replace those of the environment")
{
	static const struct iomap_data_ops ops = {
		.struct_size = sizeof(ops), .copy = own_copy, .prefault = own_prefault,
	};
	struct fence f = { .end = bytes };
	struct iomap_env_opts opts = {
		.struct_size = sizeof(opts), .copy = &fence_ops, .copy_arg = &f,
	};
	struct iomap_data data;
	struct iovec iov[NR];
	unsigned calls = 0;
	char got[9] = { 0 };
	struct t_env t;

	t_env_start(&t, &opts);
	fill(iov, &data);
	data.ops = &ops;
	data.owner = &calls;
	ck_assert_uint_eq(iomap_data_copy(t.env, &data, got, 8, false), 3);
	ck_assert_str_eq(got, "xxxxxxxx");
	ck_assert_uint_eq(data.left, 19);
	ck_assert_uint_eq(iomapi_data_prefault(t.env, &data, 10, false), 5);
	ck_assert_uint_eq(calls, 101);
	ck_assert_uint_eq(f.calls, 0);
	t_env_stop(&t);
}

MAIN()
