/* SPDX-License-Identifier: MIT */
/*
 * failing.h - a device that fails by script, below a client that is not told beforehand.
 *
 * A run is one seed, which chooses the device and the command that is hit.  Then power goes, the
 * client with it, and somebody else looks at what is there.
 */
#ifndef FAILING_H
#define FAILING_H

#include "sim/fault.h"

#include <stdarg.h>

#define FAILING_SEEDS	70u		/* ten of each preset */

struct failing {
	struct world w;			/* with an environment only between client and check */
	struct iomap_sim_profile profile;
	uint64_t random;
};

/* Those with a cache that power takes away come first. */
static const char *const failing_presets[] = {
	"consumer", "atomic16k", "sata512e", "multiqueue", "cruel", "fifo", "plp",
};
#define FAILING_FIFO	5u		/* of a seed too: the one that keeps the order */
#define FAILING_CACHED	6u
#define FAILING_PRESETS	7u

static inline uint32_t failing_draw(struct failing *d, uint32_t n)
{
	return (uint32_t)(t_rand(&d->random) % n);
}

/* "sim:disk", and "sim:log" too if there is such a profile. */
static inline void failing_new_of(struct failing *d, uint64_t seed, uint64_t size,
				  const struct iomap_sim_profile *disk,
				  const struct iomap_sim_profile *log)
{
	const struct iomap_sim_dev devs[] = {
		{ .name = "disk", .profile = disk, .size = size },
		{ .name = "log", .profile = log, .size = size },
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = seed, .devs = devs, .nr_devs = log ? 2 : 1,
	};

	memset(d, 0, sizeof(*d));
	d->random = seed;
	d->profile = *disk;
	ck_assert_int_eq(iomap_sim_new(&opts, &d->w.sim), 0);
}

/* One of the first nr presets; no request is larger than max_bytes. */
static inline void failing_new(struct failing *d, uint64_t seed, unsigned nr, uint64_t size,
			      uint64_t max_bytes)
{
	struct iomap_sim_profile profile = *iomap_sim_preset(failing_presets[seed % nr]);

	profile.max_bytes = max_bytes;
	failing_new_of(d, seed, size, &profile, NULL);
}

/* The environment of a client that lives in it. */
static inline void failing_env(struct failing *d, struct iomap_env_opts *opts)
{
	opts->struct_size = sizeof(*opts);
	iomap_sim_env_opts(d->w.sim, opts);
}

__attribute__((format(printf, 2, 3)))
static inline void failing_arm(struct failing *d, const char *format, ...)
{
	char script[256];
	va_list args;

	va_start(args, format);
	ck_assert_int_lt(vsnprintf(script, sizeof(script), format, args), sizeof(script));
	va_end(args);
	arm(&d->w, script);
}

static inline void failing_disarm(struct failing *d)
{
	ck_assert_int_eq(iomap_sim_fault(d->w.sim, NULL), 0);
}

static inline uint64_t failing_fired(struct failing *d, const char *kind)
{
	struct iomap_sim_counter counter = { .struct_size = sizeof(counter) };

	ck_assert_int_eq(iomap_sim_fault_counters(d->w.sim, kind, &counter), 0);
	return counter.fired;
}

/* Power goes now. */
static inline void failing_cut(struct failing *d, struct iomap_bdev *bdev)
{
	ck_assert_int_eq(iomap_sim_cut_at(d->w.sim, 1), 0);
	ck_assert_int_eq(t_io(bdev, IOMAP_BIO_READ, 0, t_buffer(PAGE, 0), PAGE, 0), -ENODEV);
	ck_assert(iomap_sim_is_off(d->w.sim));
}

/* The client is gone with the power; now somebody looks at what is there. */
static inline void failing_power_on(struct failing *d)
{
	ck_assert_int_eq(iomap_sim_power_on(d->w.sim), 0);
	world_plug_in(&d->w);
}

static inline void failing_delete(struct failing *d)
{
	world_unplug(&d->w);
	ck_assert_int_eq(iomap_sim_hazards(d->w.sim, "disk"), 0);
	iomap_sim_delete(&d->w.sim);
}

/* ---- kinds that nobody hears of ---- */

struct quiet {
	const char *kind, *ops[3];
	int64_t ns;			/* that it takes at least */
};
static const struct quiet
	quiet_busy = { "busy", { "write", "read", "flush" }, 0 },
	quiet_batch = { "partial_batch", { "write", "read", "flush" }, 0 },
	quiet_slow = { "slow", { "write", "read", "flush" }, 100000000 },
	quiet_timeout = { "timeout", { "write", "read", "flush" }, 30000000000 },
	quiet_reordered = { "reordered", { "write", "read", "flush" }, 1000000 },
	quiet_short_read = { "short_read", { "read" }, 0 },
	quiet_short_write = { "short_write", { "write" }, 0 },
	quiet_zero_length = { "zero_length", { "write", "read" }, 0 };

/* One of its operations, but a flush only where there are any; the first few of a sort are hit. */
static inline void quiet_arm(struct failing *d, const struct quiet *q, unsigned few)
{
	unsigned nr = 0;
	const char *op;

	while (nr < 3 && q->ops[nr])
		nr++;
	do {
		op = q->ops[failing_draw(d, nr)];
	} while (!strcmp(op, "flush") && !d->profile.volatile_cache);
	failing_arm(d, "at %s nth=%u kind=%s", op,
		    strcmp(op, "flush") ? 1 + failing_draw(d, few) : 1, q->kind);
}

#endif
