/* SPDX-License-Identifier: MIT */
/*
 * test_short_copy.c - writes from memory that is not all there.
 *
 * The user's memory is a row of pages.  A page that is absent stops a copy; a prefault brings in
 * the page it meets first, no more, and pages that are gone for good stop it.
 */
#include "unit/read_table.h"

#define PAGE 4096u
#define NR_PAGES 32u

struct memory {
	uint8_t bytes[NR_PAGES * PAGE];
	bool present[NR_PAGES], gone[NR_PAGES];
	bool shy;			/* a prefault makes present what the copy finds absent */
	bool tight;			/* a page that comes takes the place of all others */
	size_t next;			/* where the copy stands */
	unsigned copies, prefaults;
	size_t largest;			/* copy asked for, since the last short one */
	struct m_file *file;
};

static size_t mem_copy(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	struct memory *u = data->owner;
	size_t at = data->total - data->left, done = 0;

	ck_assert(!to_user);
	u->copies++;
	u->largest = len;
	while (done < len && u->present[(at + done) / PAGE]) {
		size_t n = PAGE - (at + done) % PAGE;

		n = n < len - done ? n : len - done;
		memcpy((char *)mem + done, u->bytes + at + done, n);
		done += n;
	}
	return done;
}

/* How much can be touched; the first absent page of it is brought in. */
static size_t mem_prefault(struct iomap_data *data, size_t len, bool write)
{
	struct memory *u = data->owner;
	size_t at = data->total - data->left, done = 0;
	struct iomap_folio *folio = iomapi_mapping_find(&u->file->inode, 0);

	ck_assert(!write);
	u->prefaults++;
	if (folio) {		/* no folio is locked while memory is brought in (I41) */
		ck_assert(iomap_folio_trylock(folio));
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	ck_assert_uint_eq(iomapi_self(u->file->m->env)->nr_folio_locks, 0);
	while (done < len) {
		size_t page = (at + done) / PAGE, n = PAGE - (at + done) % PAGE;

		if (u->gone[page])
			break;
		if (!u->present[page]) {
			if (u->tight)
				memset(u->present, false, sizeof(u->present));
			u->present[page] = true;
			return u->shy ? len : done + n < len ? done + n : len;
		}
		done += n;
	}
	return done < len ? done : len;
}

static const struct iomap_data_ops mem_ops = {
	.struct_size = sizeof(mem_ops), .copy = mem_copy, .prefault = mem_prefault,
};
static const struct iomap_data_ops no_prefault = {
	.struct_size = sizeof(no_prefault), .copy = mem_copy,
};

static struct memory *new_memory(struct m_file *f)
{
	struct memory *u = calloc(1, sizeof(*u));
	uint64_t state = 5;

	ck_assert_ptr_nonnull(u);
	for (size_t i = 0; i < sizeof(u->bytes); i++)
		u->bytes[i] = (uint8_t)t_rand(&state);
	u->file = f;
	return u;
}

static int64_t write_from(struct memory *u, const struct iomap_data_ops *ops, int64_t pos,
			  size_t len, size_t *left)
{
	struct iovec iov = { u->bytes, len };
	struct iomap_req req = { .file = &u->file->file, .pos = pos };
	struct m_model *m = u->file->m;
	struct iomap_data data;
	int64_t n;

	iomap_data_init(&data, &iov, 1);
	data.ops = ops;
	data.owner = u;
	n = iomap_file_buffered_write(&req, &data, &m->ops, &m->write_ops, NULL);
	if (n > 0) {
		memcpy(u->file->ref + pos, u->bytes, (size_t)n);
		if (pos + n > u->file->ref_size)
			u->file->ref_size = pos + n;
	}
	*left = data.left;
	return n;
}

static void start_large(struct table *s)
{
	start(s, &(struct m_opts){ .delalloc = true, .max_folio = 64 << 10 });
}

CASE(short_copy_into_a_fresh_folio_is_nothing, "I38",
     "Its blocks are neither uptodate nor dirty, the user's cursor goes back; then less counts")
{
	struct iomap_folio *folio;
	struct memory *u;
	struct table s;
	size_t left;

	start_large(&s);
	make_file(&s, 64 << 10);
	u = new_memory(s.f);
	/* the first pages are there, one is gone, and nobody can say so before the copy */
	memset(u->present, true, 4);
	u->gone[4] = true;
	ck_assert_int_eq(write_from(u, &no_prefault, 0, 64 << 10, &left), 4 * PAGE);
	ck_assert_uint_eq(u->copies, 3);	/* all: short; what came; the rest: nothing */
	ck_assert_uint_eq(left, 12 * PAGE);
	folio = iomapi_mapping_find(&s.f->inode, 0);
	for (unsigned b = 0; b < 64; b++) {
		size_t off = b * BLOCK, len;

		ck_assert_int_eq(iomapi_folio_block_uptodate(folio, off), b < 16);
		ck_assert_int_eq(iomapi_folio_next_dirty(folio, &off, off + BLOCK, &len), b < 16);
	}
	iomap_folio_put(folio);
	ck_assert(m_content_ok(s.f));	/* what follows is still the old content */
	free(u);
	stop(&s);
}

CASE(nothing_at_all_is_a_fault, "I38",
     "The first byte cannot be had: -EFAULT, nothing changed, nothing kept")
{
	struct memory *u;
	struct table s;
	size_t left;

	start_large(&s);
	u = new_memory(s.f);
	memset(u->gone, true, sizeof(u->gone));
	ck_assert_int_eq(write_from(u, &mem_ops, 100, 5000, &left), -EFAULT);
	ck_assert_int_eq(write_from(u, &no_prefault, 100, 5000, &left), -EFAULT);
	ck_assert_uint_eq(left, 5000);
	ck_assert_int_eq(iomap_inode_size(&s.f->inode), 0);
	ck_assert(m_balanced(s.m));
	ck_assert_int_eq(s.m->nr_reserved, 0);
	free(u);
	stop(&s);
}

CASE(short_copy_into_an_uptodate_folio_counts, "I38",
     "Where every block has a content the bytes that came are kept")
{
	struct memory *u;
	struct table s;
	size_t left;

	start_large(&s);
	make_file(&s, 64 << 10);
	ck_assert(m_content_ok(s.f));
	u = new_memory(s.f);
	memset(u->present, true, 2);
	ck_assert_int_eq(write_from(u, &no_prefault, 50, 64 << 10, &left), 2 * PAGE);
	ck_assert_uint_eq(u->copies, 2);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	free(u);
	stop(&s);
}

/* 50 bytes, then nothing any more. */
static size_t copy_once(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	bool *again = data->owner;

	(void)to_user;
	if (*again)
		return 0;
	*again = true;
	memset(mem, 0xee, len < 50 ? len : 50);
	return len < 50 ? len : 50;
}

CASE(bytes_in_a_block_with_a_content_count, "I38 I40",
     "The block they came into was read before: they are in the file, so they are dirty")
{
	static const struct iomap_data_ops once = {
		.struct_size = sizeof(once), .copy = copy_once,
	};
	uint8_t before[PAGE], after[PAGE];
	bool again = false;
	struct iomap_req req;
	struct iomap_data data;
	struct table s;
	struct iovec iov = { before, 2000 };

	start(&s, &(struct m_opts){ .delalloc = true });
	make_file(&s, PAGE);
	req = (struct iomap_req){ .file = &s.f->file, .pos = 100 };
	iomap_data_init(&data, &iov, 1);
	data.ops = &once;
	data.owner = &again;
	ck_assert_int_eq(iomap_file_buffered_write(&req, &data, &s.m->ops, &s.m->write_ops, NULL),
			 50);
	for (unsigned i = 0; i < 2; i++) {	/* from the cache, then from the device */
		iov = (struct iovec){ i ? after : before, PAGE };
		req = (struct iomap_req){ .file = &s.f->file };
		iomap_data_init(&data, &iov, 1);
		ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &s.m->ops, NULL, NULL),
				 PAGE);
		ck_assert_int_eq(m_drop_cache(s.f), 0);
	}
	ck_assert_mem_eq(before, after, PAGE);
	ck_assert_uint_eq(before[149], 0xee);
	ck_assert_uint_ne(before[150], 0xee);
	stop(&s);
}

CASE(memory_that_comes_page_by_page, "I39 R16 I41",
     "Each prefault brings one page: the write goes on in smaller pieces, in few tries")
{
	struct memory *u;
	struct table s;
	size_t left;

	for (unsigned i = 0; i < 4; i++) {
		start_large(&s);
		u = new_memory(s.f);
		u->shy = i & 1;
		u->tight = i & 2;	/* never is more than a page there to be copied */
		ck_assert_int_eq(write_from(u, &mem_ops, 100, sizeof(u->bytes) - 200, &left),
				 sizeof(u->bytes) - 200);
		ck_assert_uint_eq(left, 0);
		ck_assert_uint_le(u->copies, 4 * NR_PAGES);
		ck_assert_uint_le(u->prefaults, 4 * NR_PAGES);
		ck_assert(m_content_ok(s.f));
		ck_assert_int_eq(m_sync(s.f), 0);
		ck_assert(m_device_equals_model(s.f));
		free(u);
		stop(&s);
	}
}

static unsigned always_short;

static size_t copies_nothing(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	(void)data;
	(void)mem;
	(void)len;
	(void)to_user;
	ck_assert_uint_lt(++always_short, 1000);
	return 0;
}

static size_t promises_all(struct iomap_data *data, size_t len, bool write)
{
	(void)data;
	(void)write;
	return len;
}

CASE(memory_that_lies, "I39 R16",
     "A prefault that promises what no copy finds ends in -EFAULT, soon")
{
	const struct iomap_data_ops ops = {
		.struct_size = sizeof(ops), .copy = copies_nothing, .prefault = promises_all,
	};
	struct memory *u;
	struct table s;
	size_t left;

	start_large(&s);
	u = new_memory(s.f);
	ck_assert_int_eq(write_from(u, &ops, 0, 64 << 10, &left), -EFAULT);
	ck_assert_uint_le(always_short, 32);
	ck_assert_uint_eq(left, 64 << 10);
	ck_assert(m_balanced(s.m));
	free(u);
	stop(&s);
}

CASE(next_try_asks_for_less, "I39",
     "After a short copy the next one asks for what came, or for half")
{
	struct memory *u;
	struct table s;
	size_t left;

	start_large(&s);
	u = new_memory(s.f);
	u->shy = true;		/* says yes to all, brings the first absent page only */
	ck_assert_int_eq(write_from(u, &mem_ops, 0, 2 * PAGE, &left), 2 * PAGE);
	ck_assert_uint_le(u->largest, PAGE);
	ck_assert_uint_eq(u->copies, 3);	/* both: one page came; that page; the other */
	free(u);
	stop(&s);
}

static int64_t read_into(struct m_file *f, void *mem, size_t len, const struct iomap_data_ops *ops,
			 void *owner)
{
	struct iovec iov = { mem, len };
	struct iomap_req req = { .file = &f->file };
	struct iomap_data data;

	iomap_data_init(&data, &iov, 1);
	data.ops = ops;
	data.owner = owner;
	return iomap_file_buffered_read(&req, &data, &f->m->ops, NULL, NULL);
}

static size_t out_limit;

static size_t out_some(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	size_t at = data->total - data->left, n = out_limit > at ? out_limit - at : 0;

	(void)mem;
	ck_assert(to_user);
	return n < len ? n : len;
}

CASE(reader_without_memory, "I13 H11",
     "A read into memory that ends gives the bytes that fit, then -EFAULT")
{
	const struct iomap_data_ops ops = { .struct_size = sizeof(ops), .copy = out_some };
	struct table s;
	char buf[2 * PAGE];

	start_large(&s);
	make_file(&s, 2 * PAGE);
	out_limit = PAGE + 17;
	ck_assert_int_eq(read_into(s.f, buf, sizeof(buf), &ops, NULL), PAGE + 17);
	out_limit = 0;
	ck_assert_int_eq(read_into(s.f, buf, sizeof(buf), &ops, NULL), -EFAULT);
	stop(&s);
}

MAIN()
