/* SPDX-License-Identifier: MIT */
/*
 * test_check_look.c - what a case can look at: writes as they go out, candidates of a block, and
 * whether something happened at all.
 */
#include "sim/world.h"

static struct iomap_sim_dev disk = { .name = "disk", .size = 16 * PAGE };

static int put(struct iomap_sim *sim, unsigned page, char letter)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	memset(mem, letter, PAGE);
	return iomap_sim_pwrite(sim, "disk", mem, PAGE, page * PAGE, 0) == PAGE ? 0 : -EIO;
}

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return put(sim, 0, 'a') || put(sim, 1, 'a') ? -EIO : 0;
}

static struct iomap_sim_case case_of(const char *preset, int (*work)(struct iomap_sim *, void *),
				     void *arg)
{
	disk.preset = preset;
	return (struct iomap_sim_case){
		.struct_size = sizeof(struct iomap_sim_case), .name = "look", .devs = &disk,
		.nr_devs = 1, .format = format, .work = work, .arg = arg,
	};
}

/* ---- candidates ---- */

enum { OLD = 1, B = 2, C = 4, GARBAGE = 8, UNREADABLE = 16 };

struct found {
	unsigned each, read;		/* sets of the above, of a whole crash */
	unsigned crashes;
};

static unsigned what(const uint8_t *mem, size_t len)
{
	if (!mem)
		return UNREADABLE;
	for (size_t i = 1; i < len; i++)
		if (mem[i] != mem[0])
			return GARBAGE;
	return mem[0] == 'a' ? OLD : mem[0] == 'b' ? B : mem[0] == 'c' ? C : GARBAGE;
}

static int write_two(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return put(sim, 0, 'b') || put(sim, 0, 'c') ? -EIO : 0;
}

static int collect(void *arg, const void *mem, size_t len)
{
	*(unsigned *)arg |= what(mem, len);
	return 0;
}

static struct found last[64];
static unsigned nr_last;

/* All images of one crash come one after the other; each says the same of all of them. */
static int look(struct iomap_sim *sim, void *arg)
{
	uint32_t block = iomap_sim_preset(disk.preset)->logical_block;
	uint8_t mem[PAGE];
	unsigned each = 0;
	int64_t n;

	(void)arg;
	if (iomap_sim_each_candidate(sim, "disk", 0, collect, &each))
		return 1;
	n = iomap_sim_pread(sim, "disk", mem, block, 0);
	if (!nr_last || last[nr_last - 1].each != each)
		last[nr_last++] = (struct found){ .each = each };
	last[nr_last - 1].read |= what(n < 0 ? NULL : mem, block);
	each = 0;		/* it is decided now */
	iomap_sim_each_candidate(sim, "disk", 0, collect, &each);
	return each != what(n < 0 ? NULL : mem, block);
}

static void compare_candidates(const char *preset, unsigned least)
{
	struct iomap_sim_case c = case_of(preset, write_two, NULL);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	unsigned all = 0;

	nr_last = 0;
	c.check = look;
	ck_assert_msg(iomap_sim_exhaust(&c, 0, &r) == 0, "%s: %s", preset, r.text);
	for (unsigned i = 0; i < nr_last; i++) {
		ck_assert_msg(last[i].each == last[i].read, "%s: each %x, found %x", preset,
			      last[i].each, last[i].read);
		all |= last[i].each;
	}
	ck_assert_uint_eq(all, least);
}

CASE(each_candidate_of_a_block, "", "What can be read after a crash, and nothing else")
{
	compare_candidates("plp", OLD | B | C);
	compare_candidates("consumer", OLD | B | C);
	compare_candidates("fifo", OLD | B | C);
	compare_candidates("sata512e", OLD | B | C);
	compare_candidates("cruel", OLD | B | C | GARBAGE | UNREADABLE);
}

static int stop(void *arg, const void *mem, size_t len)
{
	(void)mem;
	(void)len;
	return ++*(int *)arg == 2 ? 7 : 0;
}

static int look_twice(struct iomap_sim *sim, void *arg)
{
	int n = 0, rc = iomap_sim_each_candidate(sim, "disk", 0, stop, &n);

	*(int *)arg |= rc;
	return n > 2 || iomap_sim_each_candidate(sim, "tape", 0, stop, &n) != -ENOENT ||
	       iomap_sim_each_candidate(sim, "disk", 1, stop, &n) != -EINVAL ||
	       iomap_sim_each_candidate(sim, "disk", disk.size, stop, &n) != -EINVAL;
}

CASE(a_candidate_ends_it, "", "The first result that is not 0 is the answer; places that are none")
{
	int rc = 0;
	struct iomap_sim_case c = case_of("consumer", write_two, &rc);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	c.check = look_twice;
	ck_assert_int_eq(iomap_sim_exhaust(&c, 0, &r), 0);
	ck_assert_int_eq(rc, 7);
}

/* ---- writes as they go out ---- */

static int no_c_before_b(void *arg, const char *dev, const struct iomap_bio *bio)
{
	char *newest = arg;

	if (strcmp(dev, "disk") || bio->len != PAGE)
		return 1;
	if (*(char *)bio->segs[0].mem == 'c' && *newest != 'b')
		return 1;
	*newest = *(char *)bio->segs[0].mem;
	return 0;
}

static int write_in_order(struct iomap_sim *sim, void *arg)
{
	char newest = 'a';
	bool turned = *(bool *)arg;
	int rc;

	iomap_sim_on_submit(sim, no_c_before_b, &newest);
	rc = put(sim, 0, turned ? 'c' : 'b');
	if (!rc)
		rc = put(sim, 1, turned ? 'b' : 'c');
	return rc;
}

CASE(the_order_of_writes, "O47", "Each write is shown before it goes, and may fail the run")
{
	bool turned = false;
	struct iomap_sim_case c = case_of("consumer", write_in_order, &turned);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_msg(iomap_sim_check(&c, NULL, &r) == 0, "%s", r.text);
	turned = true;
	ck_assert_int_eq(iomap_sim_check(&c, NULL, &r), 1);
	ck_assert_str_eq(r.oracle, "O47");
	ck_assert_ptr_nonnull(strstr(r.text, "a write of 4096 bytes at 0 of disk"));
	iomap_sim_report_fini(&r);
}

/* ---- sometimes ---- */

static int throw_dice(struct iomap_sim *sim, void *arg)
{
	unsigned n = iomap_sim_choose(sim, "die", 6);

	iomap_sim_sometimes(sim, "a six", n == 5);
	iomap_sim_sometimes(sim, "a seven", *(bool *)arg && n == 4);
	return 0;
}

CASE(sometimes, "", "What never happened in any seed is named")
{
	bool sevens = false;
	struct iomap_sim_case c = case_of("consumer", throw_dice, &sevens);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_int_eq(iomap_sim_check(&c, NULL, &r), 0);
	ck_assert_str_eq(r.never, "a seven");
	sevens = true;
	ck_assert_int_eq(iomap_sim_check(&c, NULL, &r), 0);
	ck_assert_str_eq(r.never, "");
}

MAIN()
