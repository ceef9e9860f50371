/* SPDX-License-Identifier: MIT */
/*
 * map_judge.h - one map, through the real loop or the door of writeback: accepted or refused.
 *
 * A hostile map must be refused with a report of its own, no body may run, nothing may reach the
 * device, and end must hear that nothing was written.  Each differs in one thing from a map that is
 * accepted.
 */
#ifndef T_MAP_JUDGE_H
#define T_MAP_JUDGE_H

#include "map/map.h"
#include "map_fixture.h"

/* A file of 16 MiB on a device of 1 MiB; the map is its first 16 blocks, at address 0. */
#define SIZE (1 << 24)
#define POS (4 * BLK)

static inline int first_step(struct fix *f, int64_t pos, uint64_t len, unsigned op)
{
	struct iomap_iter it = fix_iter(f, pos, len, op);
	int rc = iomap_iter(&it, &f->ops);

	if (rc > 0)
		ck_assert_int_eq(iomap_iter(&it, &f->ops), 0);
	return rc;
}

static inline void accepted_at(struct fix *f, int64_t pos, uint64_t len, unsigned op)
{
	int rc = first_step(f, pos, len, op);

	ck_assert_msg(rc == 1 && !f->t.nr_reports, "refused (%d) by %s: %s %llx, bound %llx", rc,
		      f->t.last_rule, f->t.last_field, (unsigned long long)f->t.last_value,
		      (unsigned long long)f->t.last_bound);
}

static inline void accepted(struct fix *f, unsigned op)
{
	accepted_at(f, POS, BLK, op);
}

static inline void reported(struct fix *f, const char *callback, const char *rule,
			    const char *field, uint64_t value)
{
	ck_assert_uint_eq(f->t.nr_reports, 1);
	ck_assert_str_eq(f->t.last_callback, callback);
	ck_assert_str_eq(f->t.last_rule, rule);
	ck_assert_str_eq(f->t.last_field, field);
	ck_assert_uint_eq(f->t.last_value, value);
	f->t.nr_reports = 0;
}

static inline void refused_at(struct fix *f, int64_t pos, uint64_t len, unsigned op,
			      const char *rule, const char *field, uint64_t value)
{
	unsigned nr_end = f->nr_end;

	ck_assert_int_eq(first_step(f, pos, len, op), -EIO);
	reported(f, "iomap_begin", rule, field, value);
	ck_assert_uint_eq(f->nr_end, nr_end + 1);
	ck_assert_int_eq(fix_last_end(f)->pos, pos);
	ck_assert_int_eq(fix_last_end(f)->written, 0);
}

static inline void refused(struct fix *f, unsigned op, const char *rule, const char *field,
		    uint64_t value)
{
	refused_at(f, POS, BLK, op, rule, field, value);
}

/* The other door.  end_pos is what the size was when the fixture was opened. */
static inline int wb(struct fix *f, int64_t pos, uint64_t len)
{
	const struct iomap_bdev_limits *limits = f->inode.bdev || f->map.bdev ? &made_up : NULL;
	int64_t end_pos = f->inode.flags & IOMAP_INODE_FRAMES ? IOMAP_MAX_POS : f->size;

	return iomapi_map_check_writeback(&f->inode, &f->map, pos, len, end_pos, limits);
}

static inline void wb_accepted(struct fix *f)
{
	ck_assert_int_eq(wb(f, POS, BLK), 0);
	ck_assert_uint_eq(f->t.nr_reports, 0);
}

static inline void wb_refused(struct fix *f, const char *rule, const char *field, uint64_t value)
{
	ck_assert_int_eq(wb(f, POS, BLK), -EIO);
	reported(f, "writeback_range", rule, field, value);
}

/* Change one thing, judge, put it back. */
#define WITH(f, change, judge) \
	do { \
		struct iomap saved_map = (f)->map, saved_src = (f)->src; \
		change; \
		judge; \
		(f)->map = saved_map; \
		(f)->src = saved_src; \
	} while (0)

#endif
