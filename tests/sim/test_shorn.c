/* SPDX-License-Identifier: MIT */
/*
 * test_shorn.c - devices whose blocks can be shorn: what an interrupted write leaves in its block.
 *
 * Old, new, garbage, or nothing that can be read until it is written; with each some seed.  What
 * had completed, or lies elsewhere, is never so.
 */
#include "sim/fault.h"

#include <fcntl.h>
#include <unistd.h>

#define SEEDS	400u
#define BLOCK	512u
#define AT	(3 * PAGE + 5 * BLOCK)		/* the block that is written */
#define FAR	(9 * PAGE)			/* one in another physical block */

enum found { OLD, NEW, GARBAGE, UNREADABLE, NR_FOUND };

static int write_block(struct world *w, uint64_t addr, char letter)
{
	uint8_t *mem = t_buffer(BLOCK, 0);

	memset(mem, letter, BLOCK);
	return t_io(w->bdev, IOMAP_BIO_WRITE, addr, mem, BLOCK, 0);
}

static enum found look(struct world *w, uint64_t addr, char new)
{
	uint8_t *mem = t_buffer(BLOCK, 0);
	int rc = t_io(w->bdev, IOMAP_BIO_READ, addr, mem, BLOCK, 0);

	if (rc) {
		ck_assert_int_eq(rc, -EIO);
		return UNREADABLE;
	}
	for (unsigned i = 1; i < BLOCK; i++)
		if (mem[i] != mem[0])
			return GARBAGE;
	ck_assert(mem[0] == 'a' || mem[0] == (uint8_t)new);
	return mem[0] == 'a' ? OLD : NEW;
}

/* A block of 'b' over 'a', cut before it completed: what is there. */
static enum found interrupt(struct world *w, uint64_t seed)
{
	start(w, "cruel", seed, 16);
	ck_assert_int_eq(iomap_sim_cut_at(w->sim, 2 + seed % 2), 0);
	ck_assert_int_eq(write_block(w, AT, 'b'), -ENODEV);
	world_power_cycle(w);
	return look(w, AT, 'b');
}

/* The same, with the first seeds that leave it unreadable. */
static bool interrupt_unreadable(struct world *w, uint64_t *seed)
{
	for (; *seed < SEEDS; ++*seed) {
		if (interrupt(w, *seed) == UNREADABLE)
			return true;
		world_delete(w);
	}
	return false;
}

#define for_each_unreadable(w, seed, nr) \
	for ((seed) = 0; interrupt_unreadable((w), &(seed)); (seed)++, (nr)++, world_delete(w))

CASE(an_interrupted_block, "O1",
     "Old, new, garbage or unreadable; its neighbours are readable, other pages as they were")
{
	unsigned found[NR_FOUND] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;
		enum found f = interrupt(&w, seed);

		found[f]++;
		ck_assert_int_eq(look(&w, AT, 'b'), f);		/* the next time as well */
		for (uint64_t addr = 3 * PAGE; addr < 4 * PAGE; addr += BLOCK)
			if (addr != AT)
				ck_assert_int_ne(look(&w, addr, 'a'), UNREADABLE);
		for (unsigned i = 0; i < 16; i++)
			ck_assert(i == 3 || world_letter(&w, i) == 'a');
		world_delete(&w);
	}
	for (unsigned i = 0; i < NR_FOUND; i++)
		ck_assert_msg(found[i], "never %u", i);
}

CASE(what_completed_is_never_shorn, "O1",
     "A block that completed is old or new, a flushed one is there; so is what lies elsewhere")
{
	unsigned found[NR_FOUND] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, "cruel", seed, 16);
		ck_assert_int_eq(write_block(&w, FAR, 'b'), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		ck_assert_int_eq(write_block(&w, AT, 'b'), 0);
		ck_assert_int_eq(write_block(&w, FAR + PAGE, 'b'), 0);
		ck_assert_int_eq(iomap_sim_cut_at(w.sim, 2 + seed % 3), 0);
		ck_assert_int_eq(write_block(&w, 13 * PAGE, 'b'), -ENODEV);
		world_power_cycle(&w);
		found[look(&w, AT, 'b')]++;
		found[look(&w, FAR + PAGE, 'b')]++;
		ck_assert_int_eq(look(&w, FAR, 'b'), NEW);
		world_delete(&w);
	}
	ck_assert_uint_eq(found[GARBAGE] + found[UNREADABLE], 0);
	ck_assert_uint_gt(found[OLD], 0);
	ck_assert_uint_gt(found[NEW], 0);
}

CASE(without_shorn_sectors_a_block_is_whole, "O1", "Old or new, whatever was interrupted")
{
	for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
		struct world w;

		start(&w, "sata512e", seed, 4);
		ck_assert_int_eq(iomap_sim_cut_at(w.sim, 2 + seed % 2), 0);
		ck_assert_int_eq(write_block(&w, AT, 'b'), -ENODEV);
		world_power_cycle(&w);
		ck_assert_int_le(look(&w, AT, 'b'), NEW);
		world_delete(&w);
	}
}

CASE(it_stays_unreadable, "O1",
     "The page is -EIO, its other blocks are not, a dump has zeros; so it is after the next cut")
{
	uint8_t *zeros = t_buffer(BLOCK, 0), *got = t_buffer(BLOCK, 0);
	unsigned nr = 0;
	char path[256];
	uint64_t seed;
	struct world w;

	memset(zeros, 0, BLOCK);
	t_temp_path(path, sizeof(path), "shorn");
	for_each_unreadable(&w, seed, nr) {
		int fd;

		for (unsigned again = 0; again < 3; again++) {
			ck_assert_int_eq(read_page(&w, 3), -EIO);
			ck_assert_int_eq(read_page(&w, 2), 0);
			ck_assert_int_eq(look(&w, AT, 'b'), UNREADABLE);
			ck_assert_int_ne(look(&w, AT - BLOCK, 'a'), UNREADABLE);
			ck_assert_int_ne(look(&w, AT + BLOCK, 'a'), UNREADABLE);
			if (again == 1)
				ck_assert_int_eq(world_flush(&w), 0);
			world_cut_now(&w);
		}
		ck_assert_int_eq(iomap_sim_dump(w.sim, "disk", path), NR_PAGES * PAGE);
		fd = open(path, O_RDONLY);
		ck_assert_int_eq(pread(fd, got, BLOCK, AT), BLOCK);
		close(fd);
		ck_assert_mem_eq(got, zeros, BLOCK);
	}
	t_temp_remove();
	ck_assert_uint_gt(nr, 0);
}

CASE(a_write_mends_it, "O1",
     "It can be read at once, and is kept once it is flushed; before that a cut may undo it")
{
	unsigned nr = 0, undone = 0, kept = 0;
	uint64_t seed;
	struct world w;

	for_each_unreadable(&w, seed, nr) {
		if (nr % 2)
			ck_assert_int_eq(write_block(&w, AT, 'c'), 0);
		else
			ck_assert_int_eq(world_write(&w, 3, 1, 'c', 0), 0);
		ck_assert_int_eq(look(&w, AT, 'c'), NEW);
		world_cut_now(&w);
		if (look(&w, AT, 'c') == UNREADABLE)
			undone++;
		else
			kept++;
		ck_assert_int_eq(write_block(&w, AT, 'd'), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		ck_assert_int_eq(look(&w, AT, 'd'), NEW);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, 3 * PAGE, t_buffer(PAGE, 0), PAGE, 0),
				 0);
	}
	ck_assert_uint_gt(undone, 0);
	ck_assert_uint_gt(kept, 0);
}

CASE(zeros_mend_it_too, "O1", "Write zeroes counts as a write")
{
	unsigned nr = 0;
	uint64_t seed;
	struct world w;

	for_each_unreadable(&w, seed, nr) {
		uint8_t *mem = t_buffer(BLOCK, 0);

		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE_ZEROES, AT, NULL, BLOCK, 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_READ, AT, mem, BLOCK, 0), 0);
		ck_assert(t_is_zero(mem, BLOCK));
	}
	ck_assert_uint_gt(nr, 0);
}

MAIN()
