/* SPDX-License-Identifier: MIT */
/*
 * test_zones.c - commands to the zones of a simulated device: pointers, appends, resets, limits,
 * and what faults do to them.
 */
#include "sim/zones.h"

#define SEEDS	64u

/* ---- the device ---- */

static int try_profile(const struct iomap_sim_profile *p, uint64_t size)
{
	const struct iomap_sim_dev disk = { .name = "disk", .profile = p, .size = size };
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .devs = &disk, .nr_devs = 1,
	};
	struct iomap_sim *sim;
	int rc = iomap_sim_new(&opts, &sim);

	iomap_sim_delete(&sim);
	return rc;
}

#define refused(field, value) do { \
	struct iomap_sim_profile bad = zones_profile(); \
	bad.field = (value); \
	ck_assert_int_eq(try_profile(&bad, NR_ZONES * ZONE), -EINVAL); \
} while (0)

CASE(what_a_profile_may_say, "", "Sizes of zones that cannot be are refused")
{
	struct iomap_sim_profile p = zones_profile();

	ck_assert_int_eq(try_profile(&p, NR_ZONES * ZONE), 0);
	ck_assert_int_eq(try_profile(&p, NR_ZONES * ZONE + PAGE), -EINVAL);
	refused(zone_size, ZONE + PAGE);
	refused(zone_size, 0);
	refused(zone_size, 2048);
	refused(zone_size, (uint64_t)2 << 30);
	refused(zone_capacity, 0);
	refused(zone_capacity, ZONE + PAGE);
	refused(zone_capacity, PAGE / 2);
	refused(max_append, 0);
	refused(max_append, 7 * PAGE);
	refused(max_append, 512);
	refused(order, IOMAP_SIM_ORDER_FIFO);
	refused(shorn_sectors, true);
	refused(power_safe_overwrite, false);
	p = *iomap_sim_preset("consumer");
	p.max_append = PAGE;
	ck_assert_int_eq(try_profile(&p, NR_ZONES * ZONE), -EINVAL);
}

CASE(what_the_library_is_told, "", "Limits and zones of the preset, as any device has them")
{
	const struct iomap_sim_profile *p = iomap_sim_preset("zoned");
	struct iomap_bdev_limits l = { .struct_size = sizeof(l) };
	struct iomap_zone zones[3] = { { 0 } };
	struct world w;

	world_new_of(&w, p, 1);
	iomap_bdev_limits(w.bdev, &l);
	ck_assert_uint_eq(l.caps & (IOMAP_CAP_ZONED | IOMAP_CAP_ZONE_APPEND),
			  IOMAP_CAP_ZONED | IOMAP_CAP_ZONE_APPEND);
	ck_assert_uint_eq(l.caps & (IOMAP_CAP_DISCARD | IOMAP_CAP_WRITE_ZEROES), 0);
	ck_assert_uint_eq(l.zone_size, p->zone_size);
	ck_assert_uint_eq(l.zone_capacity, p->zone_capacity);
	ck_assert_uint_eq(l.max_append, p->max_append);
	ck_assert_uint_eq(l.max_open_zones, p->max_open_zones);
	ck_assert_int_eq(iomap_bdev_report_zones(w.bdev, 0, zones, 3), 1);
	ck_assert_uint_eq(zones[0].len, p->zone_size);
	ck_assert_uint_eq(zones[0].capacity, p->zone_capacity);
	ck_assert_uint_eq(zones[0].write_pointer, 0);
	ck_assert_uint_eq(zones[0].state, IOMAP_ZONE_EMPTY);
	world_delete(&w);
}

CASE(what_it_does_not_do, "", "No discard, no files; and no zones on a device without them")
{
	struct iomap_sim *sim = zones_new(1);
	struct iomap_zone zone;
	uint64_t addr;

	ck_assert_int_eq(iomap_sim_discard(sim, "disk", PAGE, 0), -EOPNOTSUPP);
	ck_assert_int_eq(iomap_sim_file_format(sim, "disk"), -EOPNOTSUPP);
	ck_assert_int_eq(iomap_sim_zone_append(sim, "disk", zones_pages("a"), PAGE, PAGE, 0, &addr),
			 -EINVAL);
	ck_assert_int_eq(iomap_sim_zone_append(sim, "disk", zones_pages("abcde"), 5 * PAGE, 0, 0,
					       &addr), -EINVAL);
	ck_assert_int_eq(iomap_sim_zone_append(sim, "disk", zones_pages("a"), 0, 0, 0, &addr),
			 -EINVAL);
	ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", NR_ZONES * ZONE), -EINVAL);
	ck_assert_int_eq(iomap_sim_zone_reset(sim, "none", 0), -ENOENT);
	ck_assert_int_eq(iomap_sim_report_zones(sim, "disk", NR_ZONES * ZONE, &zone, 1), 0);
	iomap_sim_delete(&sim);
	sim = zones_sim(iomap_sim_preset("consumer"), 1);
	ck_assert_int_eq(zones_append(sim, 0, "a", NULL), -EOPNOTSUPP);
	ck_assert_int_eq(iomap_sim_zone_finish(sim, "disk", 0), -EOPNOTSUPP);
	ck_assert_int_eq(iomap_sim_report_zones(sim, "disk", 0, &zone, 1), -EOPNOTSUPP);
	iomap_sim_delete(&sim);
}

/* ---- writes and appends ---- */

CASE(only_at_the_pointer, "", "A write elsewhere, too long or across zones is EIO without effect")
{
	struct iomap_sim *sim = zones_new(1);

	ck_assert_int_eq(zones_write(sim, 0, "ab"), 2);
	ck_assert_int_eq(zones_write(sim, 0, "x"), -EIO);
	ck_assert_int_eq(zones_write(sim, 1, "x"), -EIO);
	ck_assert_int_eq(zones_write(sim, 3, "x"), -EIO);
	ck_assert_int_eq(zones_write(sim, 2, "xxxxx"), -EIO);		/* above the capacity */
	ck_assert_int_eq(zones_write(sim, 2, "xxxxxxx"), -EIO);	/* into the next zone */
	ck_assert_str_eq(zones_word(sim, 0), "ab");
	ck_assert_int_eq(zones_write(sim, 2, "cdef"), 4);
	ck_assert_str_eq(zones_word(sim, 0), "abcdef");
	ck_assert_uint_eq(zones_report(sim, 0).state, IOMAP_ZONE_FULL);
	ck_assert_int_eq(zones_write(sim, 6, "x"), -EIO);
	ck_assert_int_eq(zones_append(sim, 0, "x", NULL), -EIO);
	ck_assert_str_eq(zones_word(sim, 0), "abcdef");
	ck_assert_str_eq(zones_word(sim, 1), "");
	iomap_sim_delete(&sim);
}

CASE(writes_in_flight_overtake, "", "Two at once: both, or only the first; never the second alone")
{
	unsigned both = 0, first = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim = zones_new(seed);
		const char *found;
		int rc;

		ck_assert_int_eq(iomap_sim_start_write(sim, "disk", zones_pages("a"), PAGE, 0, 0),
				 0);
		ck_assert_int_eq(iomap_sim_start_write(sim, "disk", zones_pages("b"), PAGE, PAGE,
						       0), 0);
		rc = iomap_sim_wait_writes(sim);
		found = zones_word(sim, 0);
		ck_assert_str_eq(found, rc ? "a" : "ab");
		ck_assert(!rc || rc == -EIO);
		both += !rc;
		first += !!rc;
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(both, 0);
	ck_assert_uint_gt(first, 0);
}

CASE(appends_are_told_where, "", "Several at once, each somewhere, in any order, no hazard")
{
	unsigned orders[6] = { 0 };

	for (uint64_t seed = 0; seed < 2 * SEEDS; seed++) {
		static const char *const words[] = { "a", "bb", "ccc" };
		struct iomap_sim *sim = zones_new(seed);
		uint64_t addr[3];
		const char *found;

		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(iomap_sim_start_append(sim, "disk", zones_pages(words[i]),
								(i + 1) * PAGE, ZONE, 0, &addr[i]),
					 0);
		ck_assert_int_eq(iomap_sim_wait_writes(sim), 0);
		found = zones_word(sim, 1);
		ck_assert_uint_eq(strlen(found), CAPACITY);
		for (unsigned i = 0; i < 3; i++)
			ck_assert(!memcmp(found + (addr[i] - ZONE) / PAGE, words[i], i + 1));
		orders[(addr[0] > addr[1]) + 2 * (addr[0] > addr[2]) +
		       (addr[1] > addr[2] && addr[0] < addr[2])]++;
		ck_assert_int_eq(iomap_sim_hazards(sim, "disk"), 0);
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(orders[0], 0);
	ck_assert_uint_gt(orders[1], 0);
	ck_assert_uint_gt(orders[3], 0);
}

CASE(beyond_the_pointer, "", "What the profile says of discarded blocks is read there")
{
	static const struct { uint8_t discard, byte; } kinds[] = {
		{ IOMAP_SIM_DISCARD_ZEROS, 0 }, { IOMAP_SIM_DISCARD_ONES, 0xff },
		{ IOMAP_SIM_DISCARD_ANY, 0 },
	};
	uint8_t mem[PAGE], again[PAGE];

	for (unsigned i = 0; i < 3; i++) {
		struct iomap_sim_profile p = zones_profile();
		struct iomap_sim *sim;

		p.discard = kinds[i].discard;
		sim = zones_sim(&p, 3);
		ck_assert_int_eq(zones_append(sim, 0, "ab", NULL), 0);
		ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", 0), 0);
		ck_assert_int_eq(zones_append(sim, 0, "c", NULL), 0);
		ck_assert_int_eq(iomap_sim_zone_finish(sim, "disk", 0), 0);
		for (unsigned page = 1; page < ZONE / PAGE; page++) {
			ck_assert_int_eq(iomap_sim_pread(sim, "disk", mem, PAGE, page * PAGE),
					 PAGE);
			for (unsigned k = 0; k < PAGE && i < 2; k++)
				ck_assert_uint_eq(mem[k], kinds[i].byte);
			ck_assert_int_ne(memcmp(mem, zones_pages("b"), PAGE), 0);
			iomap_sim_pread(sim, "disk", again, PAGE, page * PAGE);
			ck_assert_int_eq(memcmp(mem, again, PAGE), 0);
		}
		iomap_sim_delete(&sim);
	}
}

/* ---- states ---- */

static int change(struct world *w, enum iomap_bio_op op, unsigned zone)
{
	return t_io(w->bdev, op, zone * ZONE, NULL, 0, 0);
}

static uint32_t state(struct world *w, unsigned zone)
{
	struct iomap_zone z;

	ck_assert_int_eq(iomap_bdev_report_zones(w->bdev, zone * ZONE, &z, 1), 1);
	return z.state;
}

CASE(reset_and_finish, "", "Empty again, or full at once; the next write begins there")
{
	struct iomap_sim *sim = zones_new(1);
	int64_t page;

	ck_assert_int_eq(zones_append(sim, 2, "abc", &page), 0);
	ck_assert_int_eq(page, 16);
	ck_assert_uint_eq(zones_report(sim, 2).state, IOMAP_ZONE_OPEN);
	ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", 2 * ZONE), 0);
	ck_assert_str_eq(zones_word(sim, 2), "");
	ck_assert_uint_eq(zones_report(sim, 2).state, IOMAP_ZONE_EMPTY);
	ck_assert_int_eq(zones_append(sim, 2, "d", &page), 0);
	ck_assert_int_eq(page, 16);
	ck_assert_int_eq(iomap_sim_zone_finish(sim, "disk", 2 * ZONE), 0);
	ck_assert_str_eq(zones_word(sim, 2), "d.....");
	ck_assert_uint_eq(zones_report(sim, 2).state, IOMAP_ZONE_FULL);
	ck_assert_int_eq(zones_append(sim, 2, "x", NULL), -EIO);
	ck_assert_int_eq(iomap_sim_zone_finish(sim, "disk", 2 * ZONE), 0);
	ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", 2 * ZONE), 0);
	ck_assert_int_eq(zones_write(sim, 16, "e"), 1);
	ck_assert_str_eq(zones_word(sim, 2), "e");
	iomap_sim_delete(&sim);
}

CASE(open_zones_are_few, "", "The one that was opened first is closed, unless it was asked for")
{
	struct iomap_sim_profile p = zones_profile();
	struct world w;

	p.max_open_zones = 2;
	world_new_of(&w, &p, 1);
	for (unsigned zone = 0; zone < 3; zone++)
		ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE, zone * ZONE, t_buffer(PAGE, 0),
				      PAGE, 0), 0);
	ck_assert_uint_eq(state(&w, 0), IOMAP_ZONE_CLOSED);
	ck_assert_uint_eq(state(&w, 1), IOMAP_ZONE_OPEN);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_OPEN, 3), 0);
	ck_assert_uint_eq(state(&w, 1), IOMAP_ZONE_CLOSED);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_OPEN, 2), 0);	/* was open by a write */
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE, PAGE, t_buffer(PAGE, 0), PAGE, 0),
			 -EOVERFLOW);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_OPEN, 1), -EOVERFLOW);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_CLOSE, 3), 0);	/* nothing is in it */
	ck_assert_uint_eq(state(&w, 3), IOMAP_ZONE_EMPTY);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_CLOSE, 3), -EIO);
	ck_assert_int_eq(t_io(w.bdev, IOMAP_BIO_WRITE, PAGE, t_buffer(PAGE, 0), PAGE, 0), 0);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_FINISH, 2), 0);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_OPEN, 2), -EIO);
	ck_assert_int_eq(change(&w, IOMAP_BIO_ZONE_OPEN, 1), 0);
	world_cut_now(&w);
	for (unsigned zone = 0; zone < NR_ZONES; zone++)
		ck_assert_uint_ne(state(&w, zone), IOMAP_ZONE_OPEN);
	world_delete(&w);
}

/* ---- faults ---- */

static int count_of(struct iomap_sim *sim, const char *kind)
{
	struct iomap_sim_counter c = { .struct_size = sizeof(c) };

	ck_assert_int_eq(iomap_sim_fault_counters(sim, kind, &c), 0);
	return (int)c.fired;
}

/* An append of three fails behind one of one; how much of it was found, and goes on behind that. */
static size_t failed_append(uint64_t seed, const char *script, int error)
{
	struct iomap_sim *sim = zones_new(seed);
	size_t found;
	int64_t page;

	ck_assert_int_eq(zones_append(sim, 0, "a", NULL), 0);
	ck_assert_int_eq(iomap_sim_fault(sim, script), 0);
	ck_assert_int_eq(zones_append(sim, 0, "bcd", NULL), error);
	found = strlen(zones_word(sim, 0)) - 1;
	ck_assert(!strncmp(zones_word(sim, 0), "abcd", found + 1));
	ck_assert_int_eq(zones_append(sim, 0, "e", &page), 0);
	ck_assert_int_eq(page, (int64_t)found + 1);
	ck_assert_int_eq(zones_word(sim, 0)[page], 'e');
	iomap_sim_delete(&sim);
	return found;
}

CASE(a_failed_append_leaves_no_hole, "", "Some of its first blocks, and the next behind them")
{
	unsigned found[4] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		size_t n = failed_append(seed, "at append kind=eio_write", -EIO);

		found[n]++;
		ck_assert_uint_eq(failed_append(seed, "at append kind=landed", -EIO), 3);
		ck_assert_uint_eq(failed_append(seed, "at append kind=torn units=2", -EIO), 2);
		n = failed_append(seed, "at append kind=lost", -ETIMEDOUT);
		ck_assert(n == 0 || n == 3);
		failed_append(seed, "at addr=20480 kind=enospc", -ENOSPC);
		n = failed_append(seed, "at append kind=torn", -EIO);
		ck_assert(n == 1 || n == 2);
	}
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_gt(found[i], 0);
}

CASE(an_atomic_append_fails_whole, "", "Nothing of it or all; what cannot tear is not torn")
{
	struct iomap_sim_profile p = zones_profile();
	unsigned all = 0;

	p.atomic_normal = p.atomic_power_fail = 4 * PAGE;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim = zones_sim(&p, seed);
		size_t n;

		ck_assert_int_eq(iomap_sim_fault(sim, "at append kind=eio_write"), 0);
		ck_assert_int_eq(iomap_sim_fault(sim, "at append kind=torn"), 0);
		ck_assert_int_eq(zones_append(sim, 0, "abcd", NULL), -EIO);
		n = strlen(zones_word(sim, 0));
		ck_assert(n == 0 || n == 4);
		all += n == 4;
		ck_assert_int_eq(count_of(sim, "torn"), 0);
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(all, 0);
	ck_assert_uint_lt(all, SEEDS);
}

CASE(a_failed_reset, "", "It has happened or not; a finish too")
{
	unsigned resets = 0, finishes = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim = zones_new(seed);
		const char *found;

		ck_assert_int_eq(zones_append(sim, 1, "ab", NULL), 0);
		ck_assert_int_eq(iomap_sim_fault(sim, "at reset kind=eio_write;"
				"at finish dev=disk addr=32768 kind=eio_write"), 0);
		ck_assert_int_eq(iomap_sim_zone_finish(sim, "disk", ZONE), -EIO);
		found = zones_word(sim, 1);
		ck_assert(!strcmp(found, "ab") || !strcmp(found, "ab...."));
		finishes += strlen(found) > 2;
		ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", ZONE), -EIO);
		found = zones_word(sim, 1);
		ck_assert(!*found || !strncmp(found, "ab", 2));
		resets += !*found;
		ck_assert_int_eq(iomap_sim_fault(sim, "at reset kind=landed"), 0);
		ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", ZONE), -EIO);
		ck_assert_str_eq(zones_word(sim, 1), "");
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(resets, 0);
	ck_assert_uint_lt(resets, SEEDS);
	ck_assert_uint_gt(finishes, 0);
	ck_assert_uint_lt(finishes, SEEDS);
}

CASE(faults_that_zones_do_not_know, "", "No short or misdirected writes; read-only is as ever")
{
	struct iomap_sim *sim = zones_new(1);

	ck_assert_int_eq(iomap_sim_fault(sim, "at write kind=short_write;"
					      "at write kind=zero_length;"
					      "at write kind=misdirected_write"), 0);
	ck_assert_int_eq(zones_write(sim, 0, "abc"), 3);
	ck_assert_int_eq(count_of(sim, "short_write") + count_of(sim, "zero_length") +
			 count_of(sim, "misdirected_write"), 0);
	ck_assert_int_eq(iomap_sim_fault(sim, "at append kind=read_only"), 0);
	ck_assert_int_eq(zones_append(sim, 0, "x", NULL), -EROFS);
	ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", 0), -EROFS);
	ck_assert_str_eq(zones_word(sim, 0), "abc");
	iomap_sim_fault(sim, NULL);
	ck_assert_int_eq(iomap_sim_fault(sim, "at write kind=phantom_write"), 0);
	ck_assert_int_eq(zones_write(sim, 3, "d"), 1);
	ck_assert_int_eq(zones_write(sim, 4, "e"), -EIO);
	ck_assert_int_eq(iomap_sim_fault(sim, "at read addr=0 kind=eio_read_until_written"), 0);
	ck_assert_int_eq(iomap_sim_pread(sim, "disk", (void *)(uintptr_t)zones_pages(""), PAGE, 0),
			 -EIO);
	ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", 0), 0);
	ck_assert_int_eq(zones_append(sim, 0, "f", NULL), 0);
	ck_assert_str_eq(zones_word(sim, 0), "f");
	ck_assert_int_eq(iomap_sim_fault(sim, "at finish kind=removed"), 0);
	ck_assert_int_eq(iomap_sim_zone_finish(sim, "disk", 0), -ENODEV);
	ck_assert_int_eq(zones_append(sim, 0, "x", NULL), -ENODEV);
	iomap_sim_delete(&sim);
}

MAIN()
