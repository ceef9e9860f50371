/* SPDX-License-Identifier: MIT */
/*
 * test_zones_writeback.c - writeback of a file whose blocks are appended to a simulated zone.
 *
 * Sixteen dirty blocks go out as four appends that are in flight together; where each went is known
 * when it ends.
 */
#include "sim/zones.h"

#include "model/flat.h"

#define SEEDS	40u
#define BLOCKS	16u
#define PART	4u		/* blocks of an append */

struct appender {
	struct iomap_sim *sim;
	unsigned sent, good;
	uint64_t addr[BLOCKS / PART];	/* of each part, by its place in the file */
};
static struct appender appender;

static void anonymous(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)f;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .flags = IOMAP_F_ANON_WRITE | IOMAP_F_SHARED,
		.addr = IOMAP_NULL_ADDR, .offset = pos, .length = len,
	};
}

static void append_end(struct iomap_bio *bio)
{
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);

	if (!bio->status) {
		appender.addr[ioend->offset / (PART * PAGE)] = bio->addr;
		appender.good++;
	}
	iomap_ioend_defer(ioend);
}

static int append(struct flat *f, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx), *front;

	(void)f;
	ioend->bio.end_io = append_end;
	ioend->bio.op = IOMAP_BIO_ZONE_APPEND;
	ioend->bio.addr = 0;
	while (!error) {
		error = iomap_split_ioend(ioend, PART * PAGE, true, &front);
		if (error)
			break;
		appender.sent++;
		iomap_ioend_submit(front ? front : ioend, 0);
		if (!front)
			return 0;
	}
	iomap_ioend_submit(ioend, error);
	return error;
}

static struct flat *start(uint64_t seed)
{
	struct iomap_sim_profile p = zones_profile();
	struct flat_opts opts = { .dev = "sim:disk", .size = BLOCKS * PAGE };
	struct flat *f;

	p.zone_size = NR_ZONES * ZONE;
	p.zone_capacity = NR_ZONES * CAPACITY * PAGE;
	memset(&appender, 0, sizeof(appender));
	appender.sim = zones_sim(&p, seed);
	iomap_sim_env_opts(appender.sim, &opts.env);
	f = flat_new(&opts);
	f->map = anonymous;
	f->submit = append;
	for (int64_t i = 0; i < BLOCKS; i++)
		flat_dirty(f, i * PAGE, PAGE, 'a' + (int)i);
	return f;
}

/* Sent, and waited for: not longer than the slowest fault takes. */
static void write_all(struct flat *f, int64_t max_ns)
{
	int64_t start = iomap_sim_now_ns(appender.sim);

	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	ck_assert_int_eq(iomap_inode_wait_wb(&f->inode, UINT64_MAX, max_ns), 0);
	ck_assert_int_le(iomap_sim_now_ns(appender.sim) - start, max_ns);
	ck_assert_uint_eq(appender.sent, BLOCKS / PART);
	for (int64_t i = 0; i < BLOCKS; i++)
		ck_assert_uint_eq(flat_flags(f, i * PAGE) & IOMAP_FOLIO_WRITEBACK, 0);
}

/* Where it ended well its bytes are where it was told. */
static void look(struct flat *f)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	for (unsigned part = 0; part < BLOCKS / PART; part++)
		for (unsigned i = 0; appender.good == BLOCKS / PART && i < PART; i++) {
			ck_assert_int_eq(t_io(f->bdev, IOMAP_BIO_READ,
					      appender.addr[part] + i * PAGE, mem, PAGE, 0), 0);
			ck_assert_uint_eq(mem[0], 'a' + part * PART + i);
		}
}

static void stop(struct flat *f)
{
	flat_delete(&f);
	ck_assert_int_eq(iomap_sim_hazards(appender.sim, "disk"), 0);
	iomap_sim_delete(&appender.sim);
}

CASE(appends_of_writeback, "", "Each part of a file is where its append was told, in any order")
{
	unsigned turned = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct flat *f = start(seed);

		write_all(f, 1000000);
		ck_assert_int_eq(flat_sync(f), 0);
		ck_assert_uint_eq(appender.good, BLOCKS / PART);
		look(f);
		for (unsigned i = 1; i < BLOCKS / PART; i++)
			turned += appender.addr[i] < appender.addr[i - 1];
		stop(f);
	}
	ck_assert_uint_gt(turned, 0);
}

CASE(a_failed_append, "R22",
     "A zone append fails: every waiter hears of it in bounded time, nothing stays under writeback")
{
	static const struct { const char *kind; int error; int64_t max_ns; } kinds[] = {
		{ "eio_write", -EIO, 1000000 }, { "torn", -EIO, 1000000 },
		{ "landed", -EIO, 1000000 }, { "enospc", -ENOSPC, 1000000 },
		{ "lost", -ETIMEDOUT, 31000000000 },
	};
	char script[64];

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		size_t k = seed % (sizeof(kinds) / sizeof(*kinds));
		struct flat *f = start(seed);

		snprintf(script, sizeof(script), "at append nth=%u kind=%s",
			 (unsigned)(1 + seed % (BLOCKS / PART)), kinds[k].kind);
		ck_assert_int_eq(iomap_sim_fault(appender.sim, script), 0);
		write_all(f, kinds[k].max_ns);
		ck_assert_uint_eq(appender.good, BLOCKS / PART - 1);
		ck_assert_int_eq(flat_sync(f), kinds[k].error);
		ck_assert_int_eq(flat_sync(f), 0);
		stop(f);
	}
}

MAIN()
