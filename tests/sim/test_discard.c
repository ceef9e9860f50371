/* SPDX-License-Identifier: MIT */
/*
 * test_discard.c - what is read where something was discarded, above all on devices that promise
 * nothing.
 */
#include "sim/fault.h"

#define SEEDS	100u
#define NR	4u

enum found { OLD, ZEROS, NOISE, NR_FOUND };

static enum found look(struct world *w, unsigned page, char old, uint8_t *mem)
{
	unsigned nr_old = 0;

	ck_assert_int_eq(t_io(w->bdev, IOMAP_BIO_READ, page * PAGE, mem, PAGE, 0), 0);
	for (unsigned i = 0; i < PAGE; i++)
		nr_old += mem[i] == (uint8_t)old;
	if (nr_old == PAGE)
		return OLD;
	return t_is_zero(mem, PAGE) ? ZEROS : NOISE;
}

static void discard(struct world *w, unsigned page, unsigned nr)
{
	ck_assert_int_eq(t_io(w->bdev, IOMAP_BIO_DISCARD, page * PAGE, NULL, nr * PAGE, 0), 0);
}

CASE(a_discard_promises_nothing, "O1",
     "Old, zeros or noise, block by block; it stays so for reads, and after a flush and a cut")
{
	uint8_t *first = t_buffer(NR * PAGE, 0), *again = t_buffer(PAGE, 0);
	unsigned found[NR_FOUND] = { 0 }, mixed = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		enum found was[NR];
		struct world w;

		start(&w, seed % 2 ? "consumer" : "multiqueue", seed, NR + 1);
		ck_assert_int_eq(world_write(&w, 0, NR, 'b', seed % 4 < 2 ? IOMAP_BIO_FUA : 0), 0);
		discard(&w, 0, NR);
		for (unsigned i = 0; i < NR; i++) {
			was[i] = look(&w, i, 'b', first + i * PAGE);
			found[was[i]]++;
			mixed += was[i] != was[0];
		}
		for (unsigned go = 0; go < 3; go++) {
			for (unsigned i = 0; i < NR; i++) {
				ck_assert_int_eq(look(&w, i, 'b', again), was[i]);
				ck_assert_mem_eq(again, first + i * PAGE, PAGE);
			}
			ck_assert_int_eq(world_flush(&w), 0);
			world_cut_now(&w);
		}
		ck_assert_int_eq(world_letter(&w, NR), 'a');
		world_delete(&w);
	}
	for (unsigned i = 0; i < NR_FOUND; i++)
		ck_assert_msg(found[i], "never %u", i);
	ck_assert_uint_gt(mixed, 0);
}

CASE(a_discard_is_as_durable_as_a_write, "O1",
     "Without a flush what reads saw may be gone, and what was there before it is back")
{
	uint8_t *saw = t_buffer(PAGE, 0), *after = t_buffer(PAGE, 0);
	unsigned same = 0, back = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;
		enum found f;

		start(&w, "consumer", seed, 1);
		discard(&w, 0, 1);
		f = look(&w, 0, 'a', saw);
		world_cut_now(&w);
		if (look(&w, 0, 'a', after) == OLD) {
			back += f != OLD;
		} else {
			ck_assert_mem_eq(after, saw, PAGE);
			same++;
		}
		world_delete(&w);
	}
	ck_assert_uint_gt(same, 0);
	ck_assert_uint_gt(back, 0);
}

CASE(two_discards_are_two, "", "Noise of one is not that of the other, nor what was never written")
{
	uint8_t *mem = t_buffer(3 * PAGE, 0);
	unsigned both = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;
		bool noise;

		world_new(&w, "consumer", seed);
		look(&w, 0, 'a', mem);
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		discard(&w, 0, 1);
		noise = look(&w, 0, 'b', mem + PAGE) == NOISE;
		ck_assert_int_eq(world_write(&w, 0, 1, 'b', 0), 0);
		discard(&w, 0, 1);
		noise &= look(&w, 0, 'b', mem + 2 * PAGE) == NOISE;
		if (noise) {
			ck_assert_mem_ne(mem, mem + PAGE, PAGE);
			ck_assert_mem_ne(mem + PAGE, mem + 2 * PAGE, PAGE);
			both++;
		}
		world_delete(&w);
	}
	ck_assert_uint_gt(both, 0);
}

CASE(ones_are_ones, "O1", "A device that promises ones has them, flushed also after a cut")
{
	struct iomap_sim_profile profile = *iomap_sim_preset("consumer");
	struct world w;

	profile.discard = IOMAP_SIM_DISCARD_ONES;
	start_of(&w, &profile, 1, NR);
	discard(&w, 1, 2);
	for (unsigned go = 0; go < 2; go++) {
		for (unsigned i = 0; i < NR; i++)
			ck_assert_uint_eq((uint8_t)world_letter(&w, i),
					  i == 1 || i == 2 ? 0xff : 'a');
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
	}
	world_delete(&w);
}

CASE(what_was_discarded_can_be_written, "O1", "And is then what was written, also after a cut")
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct world w;

		start(&w, seed % 2 ? "cruel" : "sata512e", seed, NR);
		discard(&w, 0, NR);
		ck_assert_int_eq(world_write(&w, 1, 2, 'c', 0), 0);
		discard(&w, 2, 2);
		ck_assert_int_eq(world_letter(&w, 1), 'c');
		ck_assert_int_eq(world_write(&w, 2, 1, 'd', 0), 0);
		ck_assert_int_eq(world_flush(&w), 0);
		world_cut_now(&w);
		ck_assert_int_eq(world_letter(&w, 1), 'c');
		ck_assert_int_eq(world_letter(&w, 2), 'd');
		world_delete(&w);
	}
}

MAIN()
