/* SPDX-License-Identifier: MIT */
/*
 * zones.h - a simulated device of four small zones, and what of it was found.
 *
 * Every block holds one letter, so that what is in a zone can be told as a word.
 */
#ifndef ZONES_H
#define ZONES_H

#include "sim/world.h"

#define ZONE		(8 * PAGE)
#define CAPACITY	6u			/* pages */
#define NR_ZONES	4u

static inline struct iomap_sim_profile zones_profile(void)
{
	struct iomap_sim_profile p = *iomap_sim_preset("zoned");

	p.zone_size = ZONE;
	p.zone_capacity = CAPACITY * PAGE;
	p.max_append = 4 * PAGE;
	p.max_open_zones = 0;
	return p;
}

static inline struct iomap_sim *zones_sim(const struct iomap_sim_profile *profile, uint64_t seed)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .profile = profile, .size = NR_ZONES * ZONE,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = seed, .devs = &disk, .nr_devs = 1,
	};
	struct iomap_sim *sim;

	ck_assert_int_eq(iomap_sim_new(&opts, &sim), 0);
	return sim;
}

static inline struct iomap_sim *zones_new(uint64_t seed)
{
	const struct iomap_sim_profile p = zones_profile();

	return zones_sim(&p, seed);
}

/* Each letter of the word in a page. */
static inline const uint8_t *zones_pages(const char *word)
{
	static uint8_t *mem;

	if (!mem)
		mem = t_buffer(2 * ZONE, 0);
	for (size_t i = 0; word[i]; i++)
		memset(mem + i * PAGE, word[i], PAGE);
	return mem;
}

static inline int zones_append(struct iomap_sim *sim, unsigned zone, const char *word,
			       int64_t *page)
{
	uint64_t addr = 0;
	int rc = iomap_sim_zone_append(sim, "disk", zones_pages(word), strlen(word) * PAGE,
				       zone * ZONE, 0, &addr);

	if (page)
		*page = rc ? -1 : (int64_t)(addr / PAGE);
	return rc;
}

static inline int64_t zones_write(struct iomap_sim *sim, unsigned page, const char *word)
{
	int64_t n = iomap_sim_pwrite(sim, "disk", zones_pages(word), strlen(word) * PAGE,
				     page * PAGE, 0);

	return n < 0 ? n : n / PAGE;
}

static inline struct iomap_zone zones_report(struct iomap_sim *sim, unsigned zone)
{
	struct iomap_zone z;

	ck_assert_int_eq(iomap_sim_report_zones(sim, "disk", zone * ZONE, &z, 1), 1);
	ck_assert_uint_eq(z.start, zone * ZONE);
	return z;
}

/* The letters up to the pointer, '.' for zeros; beyond it there is nothing. */
static inline const char *zones_word(struct iomap_sim *sim, unsigned zone)
{
	char *word = iomap_sim_alloc(sim, CAPACITY + 1);	/* each crash has its own */
	uint8_t *mem = iomap_sim_alloc(sim, ZONE);
	unsigned nr = (unsigned)((zones_report(sim, zone).write_pointer - zone * ZONE) / PAGE);

	ck_assert_ptr_nonnull(word);
	ck_assert_ptr_nonnull(mem);
	ck_assert_uint_le(nr, CAPACITY);
	ck_assert_int_eq(iomap_sim_pread(sim, "disk", mem, ZONE, zone * ZONE), ZONE);
	for (unsigned i = 0; i < ZONE / PAGE; i++) {
		uint8_t letter = mem[i * PAGE];

		ck_assert(i < nr || !letter);
		if (i < nr)
			word[i] = letter ? (char)letter : '.';
		ck_assert(!memcmp(mem + i * PAGE, mem + i * PAGE + 1, PAGE - 1));
	}
	word[nr] = 0;
	return word;
}

/* Power goes right before the n-th event from here on, or now. */
static inline void zones_cut(struct iomap_sim *sim)
{
	if (!iomap_sim_is_off(sim)) {
		iomap_sim_cut_at(sim, 1);
		ck_assert_int_eq(iomap_sim_flush(sim, "disk"), -ENODEV);
	}
	iomap_sim_wait_writes(sim);
	ck_assert_int_eq(iomap_sim_power_on(sim), 0);
}

#endif
