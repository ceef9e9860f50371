/* SPDX-License-Identifier: MIT */
/*
 * test_fault_checksum.c - devices that break what they have promised, below a client that makes
 * checksums when it sends and asks for them when it reads.
 *
 * A page is right, or it is an error: never anything else.  The same stories without checksums give
 * wrong bytes with some seed, so there was something to be noticed.
 */
#include "sim/host.h"

/* What came of reading each page. */
struct reads {
	unsigned right, wrong, failed;
};

static int64_t read_page_of(struct host *h, unsigned page, uint8_t *mem)
{
	struct iovec iov = { .iov_base = mem, .iov_len = PAGE };
	struct iomap_req req = { .file = &h->f->file, .pos = (int64_t)page * PAGE };
	struct iomap_data data;

	iomap_data_init(&data, &iov, 1);
	return iomap_file_buffered_read(&req, &data, &h->m->ops, NULL, NULL);
}

static void read_all(struct host *h, struct reads *r)
{
	static uint8_t mem[PAGE];

	for (unsigned page = 0; page < ALL; page++) {
		int64_t n = read_page_of(h, page, mem);

		ck_assert_msg(n == PAGE || n == -EILSEQ, "page %u: %d", page, (int)n);
		if (n < 0)
			r->failed++;
		else if (memcmp(mem, h->f->ref + (size_t)page * PAGE, PAGE))
			r->wrong++;
		else
			r->right++;
	}
}

/* Clean pages only; what is on the device is what there is. */
static void drop_all(struct host *h)
{
	iomap_inode_invalidate_lock(&h->f->inode, 0);
	ck_assert_int_eq(iomap_mapping_invalidate_range(&h->f->inode, 0, IOMAP_MAX_POS), 0);
	iomap_inode_invalidate_unlock(&h->f->inode);
}

/* A write of the whole file is good again, whatever it was. */
static void mend(struct host *h)
{
	static uint8_t all[ALL * PAGE];
	struct reads r = { 0 };

	failing_disarm(&h->d);
	memcpy(all, h->f->ref, sizeof(all));
	ck_assert_int_eq(m_write(h->f, 0, all, sizeof(all)), sizeof(all));
	ck_assert_int_eq(m_drop_cache(h->f), 0);
	read_all(h, &r);
	ck_assert_uint_eq(r.right, ALL);
	host_survives(h);
}

/* Bytes in the middle of each page, which is read before; who is refused has changed nothing. */
static void write_parts(struct host *h)
{
	for (unsigned page = 0; page < ALL; page++) {
		int64_t n = m_fill(h->f, (int64_t)page * PAGE + 1000, 500, 3000 + page);

		ck_assert_msg(n == 500 || n == -EILSEQ || n == -EIO, "page %u: %d", page, (int)n);
	}
	ck_assert_int_eq(m_sync(h->f), 0);
	drop_all(h);
}

/* ---- stories ---- */

struct lie {
	const char *kind;
	unsigned nr_presets;
	unsigned wb_flags;
	void (*arm)(struct host *h, const struct lie *lie);
	bool of_reads;		/* else of what is written */
	bool sync;		/* with a flush */
	bool cut;		/* then power goes, and comes back; the host stays up */
};

static void arm_some(struct host *h, const char *op, const char *kind)
{
	for (unsigned i = 0; i < 3; i++)
		failing_arm(&h->d, "at %s nth=%u addr=%u..%u kind=%s", op,
			    1 + failing_draw(&h->d, 4), LOG, DISK - 1, kind);
}

static void some_writes(struct host *h, const struct lie *lie)
{
	arm_some(h, "write", lie->kind);
}

static void some_reads(struct host *h, const struct lie *lie)
{
	arm_some(h, "read", lie->kind);
}

static void all_writes(struct host *h, const struct lie *lie)
{
	for (unsigned nth = 1; nth <= 8 * RUNS; nth++)
		failing_arm(&h->d, "at write nth=%u kind=%s", nth, lie->kind);
}

static void the_flush(struct host *h, const struct lie *lie)
{
	failing_arm(&h->d, "at flush kind=%s", lie->kind);
}

static void some_pages(struct host *h, const struct lie *lie)
{
	for (unsigned i = 0; i < 3; i++) {
		uint64_t addr = h->f->data[failing_draw(&h->d, ALL)].addr;

		failing_arm(&h->d, "at read addr=%llu..%llu kind=%s", (unsigned long long)addr,
			    (unsigned long long)addr + PAGE - 1, lie->kind);
	}
}

static void write_changes(struct host *h, const struct lie *lie)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL, .flags = lie->wb_flags,
	};

	ck_assert_int_eq(h->m->inode_ops.writepages(&h->f->inode, &wbc), 0);
	ck_assert_int_eq(iomap_mapping_write_and_wait_range(&h->f->inode, 0, IOMAP_MAX_POS), 0);
	if (lie->sync)
		ck_assert_int_eq(m_sync(h->f), 0);
}

static void tell(struct host *h, const struct lie *lie, struct reads *r)
{
	change(h);
	if (!lie->of_reads)
		lie->arm(h, lie);
	write_changes(h, lie);
	drop_all(h);
	if (lie->cut) {
		failing_cut(&h->d, h->m->bdev);
		ck_assert_int_eq(iomap_sim_power_on(h->d.w.sim), 0);
	}
	if (lie->of_reads)
		lie->arm(h, lie);
	if (failing_draw(&h->d, 2))
		write_parts(h);
	read_all(h, r);
}

static uint64_t all_seeds(const struct lie *lie, unsigned how, struct reads *r)
{
	uint64_t fired = 0;

	for (uint64_t seed = 0; seed < FAILING_SEEDS; seed++) {
		struct host *h = host_start(seed, lie->nr_presets, 8 * PAGE, how);

		tell(h, lie, r);
		fired += failing_fired(&h->d, lie->kind);
		mend(h);
	}
	return fired;
}

static void noticed(const struct lie *lie)
{
	struct reads with = { 0 }, without = { 0 };

	ck_assert_uint_gt(all_seeds(lie, HOST_CHECKSUMS, &with), 0);
	ck_assert_uint_eq(with.wrong, 0);
	ck_assert_uint_gt(with.failed, 0);
	ck_assert_uint_gt(with.right, with.failed);
	ck_assert_uint_gt(all_seeds(lie, 0, &without), 0);
	ck_assert_uint_gt(without.wrong, 0);
}

CASE(a_write_is_a_phantom, "R39", "What was there before is not taken for what was written")
{
	noticed(&(struct lie){ "phantom_write", FAILING_PRESETS, .arm = some_writes });
}

CASE(a_write_goes_elsewhere, "R39", "Neither where it should be nor where it came is it believed")
{
	noticed(&(struct lie){ "misdirected_write", FAILING_PRESETS, .arm = some_writes });
}

CASE(a_read_comes_from_elsewhere, "R39", "Once: what is read again may be right")
{
	noticed(&(struct lie){ "misdirected_read", FAILING_PRESETS, .arm = some_reads,
			       .of_reads = true });
}

CASE(a_read_is_stale, "R39", "What is still in the device's cache is read as it was before")
{
	noticed(&(struct lie){ "stale_read", FAILING_CACHED, .arm = some_reads,
			       .of_reads = true });
}

CASE(bits_rot, "R39", "A bit of a page is wrong, each time, until the page is written")
{
	noticed(&(struct lie){ "bit_rot", FAILING_PRESETS, .arm = some_pages, .of_reads = true });
}

CASE(a_flush_lies, "R39",
     "What a sync has promised is gone with the power: the old bytes are refused")
{
	noticed(&(struct lie){ "flush_lies", FAILING_CACHED, .arm = the_flush, .sync = true,
			       .cut = true });
}

CASE(fua_is_ignored, "R39", "Writes that were to be durable by themselves are gone with the power")
{
	noticed(&(struct lie){ "fua_ignored", FAILING_CACHED, IOMAP_WB_FUA, .arm = all_writes,
			       .cut = true });
}

MAIN()
