/* SPDX-License-Identifier: MIT */
/*
 * test_verify.c - what a client says about the blocks that come from its device, and what becomes
 * of those that are not what was written.
 */
#include "unit/read_table.h"

#define NR 8u			/* blocks of the file, but where a case says otherwise */
#define LEN (NR * BLOCK)

static void start_sums(struct table *s, struct m_opts opts)
{
	opts.checksums = true;
	start(s, &opts);
}

static uint8_t *on_device(struct table *s, unsigned b)
{
	return t_mem_data(s->dev) + s->f->data[b].addr;
}

/* Behind everybody's back; the same again mends it. */
static void corrupt(struct table *s, unsigned b)
{
	on_device(s, b)[s->m->block_size / 2] ^= 0x10;
}

static char mem[1 << 18];

static int64_t read_block(struct table *s, unsigned b)
{
	size_t size = s->m->block_size;

	return m_read(s->f, (int64_t)(b * size), mem, size);
}

/* Each block alone: its bytes, or that error if it is bad. */
static void check_blocks_but(struct table *s, unsigned nr, unsigned bad, int error)
{
	for (unsigned b = 0; b < nr; b++)
		ck_assert_int_eq(read_block(s, b), b == bad ? error : (int)s->m->block_size);
}

/* The bad one does not pass. */
static void check_blocks(struct table *s, unsigned nr, unsigned bad)
{
	check_blocks_but(s, nr, bad, -EILSEQ);
}

static void drop(struct table *s)
{
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	t_mem_log_reset(s->dev);
}

static bool there(struct iomap_folio *folio, unsigned b)
{
	return iomap_folio_is_partially_uptodate(folio, b * BLOCK, BLOCK);
}

/* ---- reading ---- */

CASE(what_was_written_passes, "R39",
     "Each block is asked about once, when it is read from the device, and never again")
{
	struct table s;

	start_sums(&s, (struct m_opts){ .delalloc = true, .unwritten = true });
	make_file(&s, LEN + 100);
	ck_assert_uint_eq(s.m->nr_verified, 0);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(s.m->nr_verified, NR + 1);
	stop(&s);
}

CASE(a_bad_block_fails_alone, "I30 R32",
     "Wherever it lies in its folio: its neighbours are right, and it is too when it is mended")
{
	for (unsigned bad = 0; bad < NR; bad++) {
		struct table s;

		start_sums(&s, (struct m_opts){ 0 });
		make_file(&s, LEN);
		corrupt(&s, bad);
		check_blocks(&s, NR, bad);
		check_blocks(&s, NR, bad);
		corrupt(&s, bad);
		check_blocks(&s, NR, NR);
		ck_assert(m_content_ok(s.f));
		stop(&s);
	}
}

CASE(any_set_of_bad_blocks, "I30", "Of a folio: exactly these are not there; the answer is theirs")
{
	for (unsigned set = 0; set < 16; set++) {
		struct iomap_folio *folio;
		struct table s;

		start_sums(&s, (struct m_opts){ 0 });
		make_file(&s, FOLIO);
		for (unsigned b = 0; b < 4; b++)
			if (set & 1u << b)
				corrupt(&s, b);
		folio = new_folio(&s, 0);
		iomap_read_folio(folio, &s.m->ops, NULL, NULL);
		wait_read(folio);
		ck_assert_int_eq(uptodate(folio), !set);
		for (unsigned b = 0; b < 4; b++)
			ck_assert_int_eq(there(folio, b), !(set & 1u << b));
		iomap_folio_put(folio);
		stop(&s);
	}
}

static void block_sizes(unsigned bits)
{
	const unsigned nr = 64, bad = 37;
	struct table s;

	start_sums(&s, (struct m_opts){ .block_bits = bits, .max_folio = 16384 });
	make_file(&s, (size_t)nr << bits);
	corrupt(&s, bad);
	/* up to the folio with the bad one, which is asked for again as a whole */
	ck_assert_int_eq(m_read(s.f, 0, mem, (size_t)nr << bits), (bad << bits) / 16384 * 16384);
	ck_assert_uint_eq(nr_reads(&s, NULL), 2);	/* the window, and the bad block again */
	t_mem_log_reset(s.dev);
	for (unsigned b = 0; b < nr; b++)
		ck_assert(b == bad || read_block(&s, b) == 1 << bits);
	ck_assert_uint_eq(nr_reads(&s, NULL), 0);
	ck_assert_int_eq(read_block(&s, bad), -EILSEQ);
	corrupt(&s, bad);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(blocks_of_512, "I30", "Many blocks in each folio of a large request, one of them bad")
{
	block_sizes(9);
}

CASE(blocks_of_1k, "I30", "The same with blocks of 1 KiB")
{
	block_sizes(10);
}

CASE(blocks_of_4k, "I30", "The same with blocks of 4 KiB")
{
	block_sizes(12);
}

CASE(read_ahead_leaves_no_trace, "I30 R32",
     "A window with a bad block in it: the others are there, a partial write of it is refused")
{
	struct iomap_folio *folio;
	uint64_t len = LEN;
	struct table s;
	int64_t pos = 0;

	start_sums(&s, (struct m_opts){ 0 });
	make_file(&s, LEN);
	corrupt(&s, 6);
	iomap_readahead(&s.f->inode, &pos, &len, &s.m->ops, NULL, NULL);
	ck_assert_uint_eq(len, 0);
	folio = iomapi_mapping_find(&s.f->inode, FOLIO);
	ck_assert_ptr_nonnull(folio);
	wait_read(folio);
	for (unsigned b = 0; b < 4; b++)
		ck_assert_int_eq(there(folio, b), b != 2);
	iomap_folio_put(folio);
	ck_assert_int_eq(m_fill(s.f, 6 * BLOCK + 10, 20, 3), -EILSEQ);
	corrupt(&s, 6);
	ck_assert_int_eq(m_fill(s.f, 6 * BLOCK + 10, 20, 3), 20);
	ck_assert(m_content_ok(s.f));
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert(m_device_equals_model(s.f));
	stop(&s);
}

CASE(a_failed_piece_and_a_bad_block, "I30",
     "Of one request a piece fails on the device and a block of another does not pass")
{
	struct iomap_folio *folio;
	struct table s;

	start_sums(&s, (struct m_opts){ .dev = "mem:model,size=16m,max=2048",
					.max_folio = 16384 });
	make_file(&s, 16384);
	for (unsigned bad = 0; bad < 16; bad++) {
		ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, 16384, IOMAP_WRITE,
							 &folio), 0);
		ck_assert_uint_eq(folio->size, 16384);
		corrupt(&s, bad);
		t_mem_fail(s.dev, IOMAP_BIO_READ, 1, 1, -EIO, s.f->data[5].addr);
		iomap_read_folio(folio, &s.m->ops, NULL, NULL);
		wait_read(folio);
		for (unsigned b = 0; b < 16; b++)
			ck_assert_int_eq(there(folio, b), b != bad && b / 2 != 2);
		iomap_folio_put(folio);
		corrupt(&s, bad);
		ck_assert(m_content_ok(s.f));
		drop(&s);
	}
	stop(&s);
}

CASE(without_a_request_left, "I33 R39",
     "With more ranges than bios some are read alone: verified all the same, whichever is bad")
{
	struct iomap_env_opts env = { .struct_size = sizeof(env), .nr_bios = 8 };
	struct iomap_folio *folio;
	struct table s;

	t_env_start(&s.t, &env);
	s.m = m_open(&s.t, &(struct m_opts){
		.block_bits = 10, .max_folio = 16384, .chunk = BLOCK, .gap = 1, .checksums = true,
	});
	s.f = m_file_new(s.m);
	s.dev = t_mem_find("model");
	make_file(&s, 16384);
	for (unsigned bad = 0; bad < 16; bad++) {
		corrupt(&s, bad);
		ck_assert_int_eq(iomap_mapping_get_folio(&s.f->inode, 0, 16384, IOMAP_WRITE,
							 &folio), 0);
		iomap_read_folio(folio, &s.m->ops, NULL, NULL);
		wait_read(folio);
		for (unsigned b = 0; b < 16; b++)
			ck_assert_int_eq(there(folio, b), b != bad);
		iomap_folio_put(folio);
		ck_assert_uint_eq(nr_reads(&s, NULL), 16);
		corrupt(&s, bad);
		ck_assert(m_content_ok(s.f));
		drop(&s);
	}
	stop(&s);
}

/* ---- with and without, in one file ---- */

static bool odd_pairs(struct m_file *f, int64_t pos)
{
	return m_block_nr(f->m, pos) / 2 % 2;
}

CASE(some_maps_are_verified, "R39",
     "Blocks with and without in one file: only those are asked about, only those are refused")
{
	struct table s;

	start_sums(&s, (struct m_opts){ 0 });
	s.m->hook_no_sum = odd_pairs;
	make_file(&s, LEN);
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(s.m->nr_verified, NR / 2);
	drop(&s);
	/* one that nobody vouches for is what it is */
	corrupt(&s, 3);
	s.f->ref[3 * BLOCK + BLOCK / 2] ^= 0x10;
	corrupt(&s, 4);
	check_blocks(&s, NR, 4);
	/* and the other way round: written again each is what it was not */
	ck_assert_int_eq(m_fill(s.f, 0, LEN, 8), LEN);
	s.m->hook_no_sum = NULL;
	drop(&s);
	corrupt(&s, 3);
	check_blocks(&s, NR, 3);
	stop(&s);
}

CASE(requests_are_of_one_kind, "I32 R39",
     "Blocks that are verified and others lie side by side: they share no request")
{
	struct table s;

	start_sums(&s, (struct m_opts){ 0 });
	s.m->hook_no_sum = odd_pairs;
	make_file(&s, LEN);
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(nr_reads(&s, NULL), NR / 2);
	stop(&s);
}

/* ---- blocks that are written in part ---- */

static void refused_by_write(struct table *s)
{
	ck_assert_int_eq(m_fill(s->f, 5 * BLOCK + 1, 10, 3), -EILSEQ);
}

static void refused_by_zero(struct table *s)
{
	bool did_zero = false;

	ck_assert_int_eq(m_zero(s->f, 5 * BLOCK + 1, 10, &did_zero), -EILSEQ);
	ck_assert(!did_zero);
}

static void refused_by_fault(struct table *s)
{
	struct iomap_folio *folio = new_folio(s, FOLIO);

	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	ck_assert_int_eq(m_store(s->f, 5 * BLOCK + 1, "x", 1), -EILSEQ);
}

static void refused_by_unshare(struct table *s)
{
	m_share(s->f);
	drop(s);
	ck_assert_int_eq(m_unshare(s->f, 4 * BLOCK, 2 * BLOCK), -EILSEQ);
}

/* Nothing is written, and the bad block is as bad as before. */
static void refused(void (*edit)(struct table *s))
{
	static uint8_t before[LEN];
	struct table s;

	start_sums(&s, (struct m_opts){ .cow = true, .delalloc = true });
	make_file(&s, LEN);
	corrupt(&s, 5);
	for (unsigned b = 0; b < NR; b++)
		memcpy(before + b * BLOCK, on_device(&s, b), BLOCK);
	edit(&s);
	ck_assert_uint_eq(nr_reads(&s, NULL) > 0, 1);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	for (unsigned b = 0; b < NR; b++)
		ck_assert_mem_eq(before + b * BLOCK, on_device(&s, b), BLOCK);
	check_blocks(&s, NR, 5);
	corrupt(&s, 5);
	ck_assert(m_content_ok(s.f));
	ck_assert(m_balanced(s.m));
	stop(&s);
}

CASE(a_write_of_a_part_fails, "R39 I35",
     "Of a bad block: its error is the writer's, nothing changes")
{
	refused(refused_by_write);
}

CASE(zeros_for_a_part_fail, "R39 I35", "Of a bad block, likewise")
{
	refused(refused_by_zero);
}

CASE(a_fault_fails, "R39 I35", "Over a bad block: no store can be made")
{
	refused(refused_by_fault);
}

CASE(unsharing_fails, "R39 I68", "Over a bad block: it gets no copy with a good name")
{
	refused(refused_by_unshare);
}

CASE(a_whole_block_mends, "I34 R39", "Who overwrites all of a bad block need not read it")
{
	struct table s;

	start_sums(&s, (struct m_opts){ 0 });
	make_file(&s, LEN);
	corrupt(&s, 5);
	ck_assert_int_eq(m_fill(s.f, 5 * BLOCK, BLOCK, 9), BLOCK);
	drop(&s);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

CASE(copies_keep_their_sums, "R39",
     "Copied on write, shared by two files, moved away: what was not written again still passes")
{
	struct m_file *to;
	struct table s;

	start_sums(&s, (struct m_opts){ .cow = true, .delalloc = true, .unwritten = true });
	make_file(&s, LEN);
	to = m_file_new(s.m);
	m_reflink(s.f, to);
	ck_assert_int_eq(m_fill(to, BLOCK + 3, 2 * BLOCK, 4), 2 * BLOCK);
	ck_assert_int_eq(m_insert(s.f, FOLIO, FOLIO), 0);
	ck_assert_int_eq(m_drop_cache(to), 0);
	drop(&s);
	s.m->nr_verified = 0;
	ck_assert(m_content_ok(to));
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(s.m->nr_verified, 2 * NR);
	corrupt(&s, 0);		/* in both */
	ck_assert_int_eq(m_drop_cache(to), 0);
	drop(&s);
	check_blocks(&s, 4, 0);
	ck_assert_int_eq(m_read(to, 0, mem, BLOCK), -EILSEQ);
	m_file_free(&to);
	stop(&s);
}

CASE(nowhere_yet, "R39",
     "Addresses are picked by the submit hook, in pieces: sums go with the data")
{
	struct table s;

	start_sums(&s, (struct m_opts){ .anon = true, .chunk = 2 * BLOCK, .gap = 1 });
	make_file(&s, LEN + 1);
	ck_assert_int_eq(m_fill(s.f, 100, LEN - 200, 3), LEN - 200);
	drop(&s);
	s.m->nr_verified = 0;
	ck_assert(m_content_ok(s.f));
	ck_assert_uint_eq(s.m->nr_verified, NR + 1);
	corrupt(&s, 7);
	drop(&s);
	check_blocks(&s, NR, 7);
	stop(&s);
}

/* ---- answers ---- */

static int answers(struct m_file *f, int64_t pos, int result)
{
	ck_assert_int_eq(result, 0);
	return m_block_nr(f->m, pos) == 2 ? *(int *)f->m->hook_arg : 0;
}

CASE(an_answer_that_is_none, "I30", "More than 0 is -EIO for that block, and a report")
{
	int answer = 7;
	struct table s;

	start_sums(&s, (struct m_opts){ 0 });
	make_file(&s, LEN);
	s.m->hook_verify = answers;
	s.m->hook_arg = &answer;
	check_blocks_but(&s, NR, 2, -EIO);
	ck_assert_uint_ge(s.t.nr_reports, 1);
	ck_assert_str_eq(s.t.last_rule, "I30");
	ck_assert_str_eq(s.t.last_callback, "verify_read");
	ck_assert_int_eq(m_fill(s.f, 2 * BLOCK + 1, 5, 1), -EIO);
	answer = -ENOMEM;	/* a client that cannot tell now */
	ck_assert_int_eq(m_fill(s.f, 2 * BLOCK + 1, 5, 1), -ENOMEM);
	answer = 0;
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

static void not_asked(struct table *s)
{
	ck_assert_int_eq(m_read(s->f, 0, mem, BLOCK), -EIO);
	ck_assert_str_eq(s->t.last_rule, "V8");
	ck_assert_str_eq(s->t.last_callback, "iomap_begin");
	ck_assert_str_eq(s->t.last_field, "flags");
	ck_assert_int_eq(m_fill(s->f, 3, 5, 1), -EIO);
	ck_assert_uint_eq(nr_reads(s, NULL), 0);
	ck_assert_uint_eq(s->m->nr_verified, 0);
}

CASE(nobody_to_ask, "V8 R39",
     "F_INTEGRITY of an inode that does not verify: nothing is read, a report and -EIO")
{
	struct iomap_inode_ops *ops;
	struct m_file *other;
	struct table s;

	start_sums(&s, (struct m_opts){ 0 });
	ops = &s.m->inode_ops;
	make_file(&s, LEN);
	ops->verify_read = NULL;
	not_asked(&s);
	/* a table from before there was one ends here: what follows is something else */
	ops->verify_read = m_verify;
	ops->struct_size = offsetof(struct iomap_inode_ops, verify_read);
	ck_assert_int_eq(m_try_file_new(s.m, &other), 0);
	m_file_free(&other);
	not_asked(&s);
	ops->struct_size--;
	ck_assert_int_eq(m_try_file_new(s.m, &other), -EINVAL);
	ops->struct_size = sizeof(*ops);
	ck_assert(m_content_ok(s.f));
	stop(&s);
}

MAIN()
