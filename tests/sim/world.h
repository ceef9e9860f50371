/* SPDX-License-Identifier: MIT */
/*
 * world.h - a simulated device of 64 pages, and an environment that uses it.
 *
 * Pages are filled with one letter, so that what survived a power cut can be told from one byte
 * and torn pages are seen.
 */
#ifndef WORLD_H
#define WORLD_H

#include "harness/devices.h"

#include <iomap/sim.h>

#define PAGE		4096u
#define NR_PAGES	64u

struct world {
	struct iomap_sim *sim;
	struct iomap_env *env;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
};

/* The device keeps to its interface (O20 and others). */
static inline void world_report(void *arg, const struct iomap_log_record *record)
{
	(void)arg;
	ck_abort_msg("%s: %s of %s: %s", record->rule, record->field, record->callback,
		     record->text);
}

static inline void world_plug_in(struct world *w)
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts), .log = world_report };

	iomap_sim_env_opts(w->sim, &opts);
	ck_assert_int_eq(iomap_env_new(&opts, &w->env), 0);
	ck_assert_int_eq(iomap_ioq_new(w->env, NULL, &w->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(w->ioq, "sim:disk", NULL, &w->bdev), 0);
}

static inline void world_unplug(struct world *w)
{
	iomap_bdev_close(&w->bdev);
	iomap_ioq_delete(&w->ioq);
	iomap_env_delete(&w->env);
}

static inline void world_new_of(struct world *w, const struct iomap_sim_profile *profile,
				uint64_t seed)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .profile = profile, .size = NR_PAGES * PAGE,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = seed, .devs = &disk, .nr_devs = 1,
	};

	ck_assert_int_eq(iomap_sim_new(&opts, &w->sim), 0);
	world_plug_in(w);
}

static inline void world_new(struct world *w, const char *preset, uint64_t seed)
{
	world_new_of(w, iomap_sim_preset(preset), seed);
}

static inline void world_delete(struct world *w)
{
	world_unplug(w);
	iomap_sim_delete(&w->sim);
}

/* The host goes down with the power, and comes back with it. */
static inline void world_power_cycle(struct world *w)
{
	ck_assert(iomap_sim_is_off(w->sim));
	world_unplug(w);
	ck_assert_int_eq(iomap_sim_power_on(w->sim), 0);
	world_plug_in(w);
}

/* Power goes now: before the next thing that happens. */
static inline void world_cut_now(struct world *w)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	ck_assert_int_eq(iomap_sim_cut_at(w->sim, 1), 0);
	ck_assert_int_eq(t_io(w->bdev, IOMAP_BIO_READ, 0, mem, PAGE, 0), -ENODEV);
	world_power_cycle(w);
}

static inline int world_write(struct world *w, unsigned page, unsigned nr, char letter,
			      unsigned flags)
{
	static uint8_t *mem;

	if (!mem)
		mem = t_buffer(NR_PAGES * PAGE, 0);
	memset(mem, letter, (size_t)nr * PAGE);
	return t_io(w->bdev, IOMAP_BIO_WRITE, (uint64_t)page * PAGE, mem, (uint64_t)nr * PAGE,
		    flags);
}

/* Sent through any handle, and not waited for. */
static inline void world_send(struct t_bio *b, struct iomap_bdev *bdev, unsigned page, unsigned nr,
			      char letter, unsigned flags)
{
	uint8_t *mem = t_buffer(nr * PAGE, 0);

	memset(mem, letter, nr * PAGE);
	t_bio_init(b, bdev, IOMAP_BIO_WRITE, (uint64_t)page * PAGE, mem, nr * PAGE);
	b->bio.flags = (uint16_t)flags;
	iomap_bio_submit(&b->bio);
}

/* Block by block where it cannot be read at once; what a power cut left unreadable is garbage. */
static inline void world_read_what_is_left(struct iomap_bdev *bdev, uint64_t addr, uint8_t *mem,
					   uint32_t len, const struct iomap_sim_profile *profile)
{
	uint32_t block = profile->logical_block;
	int rc = t_io(bdev, IOMAP_BIO_READ, addr, mem, len, 0);

	for (uint32_t at = 0; rc && at < len; at += block)
		if (t_io(bdev, IOMAP_BIO_READ, addr + at, mem + at, block, 0)) {
			ck_assert(profile->shorn_sectors);
			memset(mem + at, 0xee, block);
		}
}

static inline int world_flush(struct world *w)
{
	return t_io(w->bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0);
}

/* The letter of a page; 0: not one letter. */
static inline char world_letter(struct world *w, unsigned page)
{
	static uint8_t *mem;

	if (!mem)
		mem = t_buffer(PAGE, 0);
	ck_assert_int_eq(t_io(w->bdev, IOMAP_BIO_READ, (uint64_t)page * PAGE, mem, PAGE, 0), 0);
	for (unsigned i = 1; i < PAGE; i++)
		if (mem[i] != mem[0])
			return 0;
	return (char)mem[0];
}

#endif
