/* SPDX-License-Identifier: MIT */
/*
 * fault.h - pages of a simulated device, rules that strike, and what was seen of them.
 */
#ifndef FAULT_H
#define FAULT_H

#include "sim/world.h"

struct seen { unsigned old, new; };

static inline void see(struct seen *seen, char letter, char old, char new)
{
	ck_assert_msg(letter == old || letter == new, "'%c' was not there", letter);
	seen->old += letter == old;
	seen->new += letter == new;
}

#define ck_assert_both(seen) do { \
	ck_assert_uint_gt((seen).old, 0); \
	ck_assert_uint_gt((seen).new, 0); \
} while (0)

static inline void arm(struct world *w, const char *script)
{
	ck_assert_msg(!iomap_sim_fault(w->sim, script), "%s", iomap_sim_fault_error(w->sim));
	ck_assert_str_eq(iomap_sim_fault_error(w->sim), "");
}

static inline void check_counter(struct world *w, const char *kind, uint64_t armed, uint64_t fired)
{
	struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };

	ck_assert_int_eq(iomap_sim_fault_counters(w->sim, kind, &counter), 0);
	ck_assert_uint_eq(counter.armed, armed);
	ck_assert_uint_eq(counter.fired, fired);
}

static inline int read_page(struct world *w, unsigned page)
{
	return t_io(w->bdev, IOMAP_BIO_READ, (uint64_t)page * PAGE, t_buffer(PAGE, 0), PAGE, 0);
}

static inline void check_observed(struct world *w, const char *kind, uint64_t observed)
{
	struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };

	ck_assert_int_eq(iomap_sim_fault_counters(w->sim, kind, &counter), 0);
	ck_assert_msg(counter.observed == observed, "%s: %u observed, not %u", kind,
		      (unsigned)counter.observed, (unsigned)observed);
}

/* Pages 0..nr-1 hold 'a', durable. */
static inline void start_of(struct world *w, const struct iomap_sim_profile *profile,
			    uint64_t seed, unsigned nr)
{
	world_new_of(w, profile, seed);
	ck_assert_int_eq(world_write(w, 0, nr, 'a', IOMAP_BIO_FUA), 0);
	ck_assert_int_eq(world_flush(w), 0);
}

static inline void start(struct world *w, const char *preset, uint64_t seed, unsigned nr)
{
	start_of(w, iomap_sim_preset(preset), seed, nr);
}

#endif
