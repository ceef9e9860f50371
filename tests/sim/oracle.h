/* SPDX-License-Identifier: MIT */
/*
 * oracle.h - what the oracles of a simulation have to say, and a host that keeps to nothing.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "sim/world.h"

#include <iomap/backend.h>

static inline struct iomap_sim_verdict verdict(const struct iomap_sim *sim, const char *oracle)
{
	struct iomap_sim_verdict v = { .struct_size = sizeof(v) };

	ck_assert_int_eq(iomap_sim_oracle(sim, oracle, &v), 0);
	return v;
}

/* It was looked at, and so many times it did not hold. */
#define ck_assert_violated(sim, oracle, nr) do { \
	struct iomap_sim_verdict v_ = verdict(sim, oracle); \
	ck_assert_uint_gt(v_.evaluated, 0); \
	ck_assert_msg(v_.violated == (nr), "%s: %u violations, %s", oracle, \
		      (unsigned)v_.violated, iomap_sim_violation(sim)); \
} while (0)

/* ---- a host on the backend itself, with no library between them ---- */

struct bare {
	struct iomap_sim *sim;
	const struct iomap_backend_ops *ops;
	void *queue, *dev;
};

static inline void bare_open(struct bare *b, struct iomap_sim *sim)
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	const char *reason;

	b->sim = sim;
	iomap_sim_env_opts(sim, &opts);
	b->ops = opts.backends[0];
	ck_assert_int_eq(b->ops->queue_open(opts.backend_args[0], NULL, NULL, &b->queue, &reason),
			 0);
	ck_assert_int_eq(b->ops->dev_open(b->queue, "disk", -1, NULL, &b->dev), 0);
}

static inline void bare_new(struct bare *b, const char *preset)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = preset, .size = NR_PAGES * PAGE,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = 1, .devs = &disk, .nr_devs = 1,
	};
	struct iomap_sim *sim;

	ck_assert_int_eq(iomap_sim_new(&opts, &sim), 0);
	bare_open(b, sim);
}

static inline unsigned bare_reap(struct bare *b, unsigned nr)
{
	struct iomap_bio *done[8];
	unsigned n = 0;

	while (n < nr) {
		int more = b->ops->reap(b->queue, done, 1, 8, IOMAP_FOREVER);

		ck_assert_int_gt(more, 0);
		n += (unsigned)more;
	}
	return n;
}

static inline void bare_close(struct bare *b)
{
	b->ops->dev_close(b->dev);
	b->ops->queue_close(b->queue);
}

static inline void bare_delete(struct bare *b)
{
	bare_close(b);
	iomap_sim_delete(&b->sim);
}

#endif
