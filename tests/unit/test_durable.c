/* SPDX-License-Identifier: MIT */
/*
 * test_durable.c - what may be called durable: no more than flushes have covered, on every device
 * that was written to, in every life of an inode.
 */
#include "harness/devices.h"
#include "harness/thread.h"
#include "model/flat.h"

#include "inode/inode.h"

#define BLOCK 4096

/* ---- a second device ---- */

static struct iomap_bdev *other;
static struct t_mem *other_mem;
static bool to_other;

static void choose_device(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)pos, (void)len;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = to_other ? other : f->bdev, .length = 48 << 20,
	};
}

/* The inode's own device is the usual one; what is written from now on goes to the other. */
static struct flat *new_with_other(void)
{
	struct flat *f = flat_new(NULL);

	ck_assert_int_eq(iomap_bdev_open(f->ioq, "mem:other,size=64m", NULL, &other), 0);
	other_mem = t_mem_find("other");
	f->map = choose_device;
	to_other = true;
	return f;
}

static unsigned nr_ops(struct t_mem *mem, enum iomap_bio_op op)
{
	const struct t_mem_req *log;
	unsigned nr, found = 0;

	log = t_mem_log(mem, &nr);
	for (unsigned i = 0; i < nr; i++)
		found += log[i].op == op;
	return found;
}

/* Writes that came after the last flush. */
static unsigned nr_unflushed(struct t_mem *mem)
{
	const struct t_mem_req *log;
	unsigned nr, found = 0;

	log = t_mem_log(mem, &nr);
	for (unsigned i = 0; i < nr; i++)
		found = log[i].op == IOMAP_BIO_FLUSH ? 0 : found + (log[i].op == IOMAP_BIO_WRITE);
	return found;
}

/* Another inode in the volume of f, with the same hooks. */
static struct flat *twin_new(struct flat *f)
{
	struct flat *g = calloc(1, sizeof(*g));
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &f->inode_ops, .volume = f->volume,
		.bdev = f->bdev, .block_bits = 12, .size = FLAT_FILE,
	};

	ck_assert_ptr_nonnull(g);
	g->bdev = f->bdev;
	g->ops = f->ops;
	g->wb_ops = f->wb_ops;
	g->wbc = f->wbc;
	g->map = f->map;
	ck_assert_int_eq(iomap_inode_init(&g->inode, &opts), 0);
	ck_assert_int_eq(iomap_file_open(&g->file, &g->inode, 0), 0);
	return g;
}

static void twin_delete(struct flat *g)
{
	ck_assert_int_eq(iomap_inode_evict(&g->inode, IOMAP_EVICT_DISCARD, NULL), 0);
	iomap_file_close(&g->file);
	iomap_inode_fini(&g->inode);
	free(g);
}

CASE(a_volume_flushes_its_last_write, "H10",
     "Two inodes share a device; that the first one's write is covered says nothing of the second")
{
	struct flat *f = new_with_other(), *g = twin_new(f);

	flat_dirty(f, 0, BLOCK, 'a');
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_uint_eq(nr_unflushed(other_mem), 0);
	flat_dirty(g, BLOCK, BLOCK, 'b');
	ck_assert_int_eq(iomap_volume_sync(f->volume), 0);
	ck_assert_uint_eq(nr_ops(other_mem, IOMAP_BIO_WRITE), 2);
	ck_assert_uint_eq(nr_unflushed(other_mem), 0);
	twin_delete(g);
	iomap_bdev_close(&other);
	flat_delete(&f);
}

static int nothing_to_commit(struct iomap_volume *volume, bool *flushed)
{
	(void)volume, (void)flushed;
	return 0;
}

static struct iomap_bdev *name_other(struct iomap_volume *volume, unsigned i)
{
	(void)volume;
	return i ? NULL : other;
}

CASE(a_volume_flushes_for_who_is_gone, "H10",
     "A device that no inode in memory has to do with: the volume names it, and it is flushed")
{
	const struct iomap_volume_ops ops = {
		.struct_size = sizeof(ops), .sync_metadata = nothing_to_commit, .bdev = name_other,
	};
	struct flat *f = new_with_other(), *g;
	struct iomap_volume *own = f->volume;

	ck_assert_int_eq(iomap_volume_new(f->t.env, f->cache, &ops, NULL, &f->volume), 0);
	g = twin_new(f);
	flat_dirty(g, 0, BLOCK, 'a');
	ck_assert_int_eq(iomap_inode_evict(&g->inode, IOMAP_EVICT_WRITE, NULL), 0);
	twin_delete(g);
	ck_assert_uint_eq(nr_unflushed(other_mem), 1);
	ck_assert_int_eq(iomap_volume_sync(f->volume), 0);
	ck_assert_uint_eq(nr_unflushed(other_mem), 0);
	iomap_volume_delete(&f->volume);
	f->volume = own;
	iomap_bdev_close(&other);
	flat_delete(&f);
}

CASE(a_closed_device_is_forgotten, "",
     "Flushed and closed by the client: later syncs leave it alone")
{
	struct iomapi_written written[IOMAPI_INODE_DEVICES + 1];
	struct flat *f = new_with_other();

	flat_dirty(f, 0, BLOCK, 'a');
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_uint_eq(iomapi_inode_written(&f->inode, written), 2);
	iomap_bdev_close(&other);
	ck_assert_uint_eq(iomapi_inode_written(&f->inode, written), 1);
	ck_assert_ptr_eq(written[0].bdev, f->bdev);
	to_other = false;
	flat_dirty(f, BLOCK, BLOCK, 'b');
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_uint_eq(f->t.nr_reports, 0);
	flat_delete(&f);
}

CASE(what_no_flush_can_cover_is_not_durable, "H10",
     "A device closed with a write in its cache: each sync says so, -EIO with a report")
{
	struct flat *f = new_with_other();

	flat_dirty(f, 0, BLOCK, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	iomap_bdev_close(&other);
	to_other = false;
	for (unsigned i = 1; i <= 2; i++) {
		ck_assert_int_eq(flat_sync(f), -EIO);
		ck_assert_uint_eq(f->t.nr_reports, i);
	}
	flat_delete(&f);
}

/* ---- data that failed ---- */

#define NR_SCATTERED 40

/* Each block in an ioend of its own. */
static void scatter(struct flat *f, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)len;
	pos &= ~(int64_t)(BLOCK - 1);
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = f->bdev, .offset = pos, .length = BLOCK,
		.addr = (uint64_t)pos * 2,
	};
}

static unsigned nr_commits;

static int count_commit(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
			bool *flushed)
{
	(void)inode, (void)start, (void)end, (void)datasync;
	nr_commits++;
	*flushed = true;
	return 0;
}

/* More ioends are needed than there are: the first write has ended, and failed, long before the
 * walk is through and the sync begins to wait. */
static struct flat *new_with_early_failure(void)
{
	struct flat *f = flat_new(&(struct flat_opts){ .env = { .nr_ioends = 8 } });

	f->map = scatter;
	f->inode_ops.sync_metadata = count_commit;
	for (int i = 0; i < NR_SCATTERED; i++)
		flat_dirty(f, i * BLOCK, BLOCK, 'a');
	t_mem_log_reset(f->mem);
	t_mem_fail(f->mem, IOMAP_BIO_WRITE, 1, 1, -EIO, UINT64_MAX);
	return f;
}

CASE(failed_data_is_not_committed, "H10",
     "A write fails before the sync waits for any: nothing is committed")
{
	struct flat *f = new_with_early_failure();

	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_uint_eq(nr_ops(f->mem, IOMAP_BIO_WRITE), NR_SCATTERED);
	ck_assert_uint_eq(nr_commits, 0);
	ck_assert_int_eq(flat_sync(f), 0);		/* told once; the rest is on its way */
	ck_assert_uint_eq(nr_commits, 1);
	flat_delete(&f);
}

CASE(failed_data_ends_the_sync_of_a_volume, "H10",
     "The same for all inodes: neither metadata nor a flush after a failed write")
{
	struct flat *f = new_with_early_failure();

	ck_assert_int_eq(iomap_volume_sync(f->volume), -EIO);
	ck_assert_uint_eq(nr_ops(f->mem, IOMAP_BIO_WRITE), NR_SCATTERED);
	ck_assert_uint_eq(nr_ops(f->mem, IOMAP_BIO_FLUSH), 0);
	flat_delete(&f);
}

/* ---- flushes that failed ---- */

static unsigned stage;		/* atomic; 1: the slow callback is in, 2: it may leave */

static void await_stage(unsigned wanted)
{
	for (unsigned i = 0; __atomic_load_n(&stage, __ATOMIC_ACQUIRE) != wanted; i++) {
		ck_assert_uint_lt(i, 1000 * t_scale());
		t_settle();
	}
}

static void slow_end(struct iomap_bio *bio)
{
	(void)bio;
	__atomic_store_n(&stage, 1, __ATOMIC_RELEASE);
	await_stage(2);
}

static void *poll_two(void *arg)
{
	iomap_ioq_poll(arg, 2, 2, IOMAP_FOREVER);
	return NULL;
}

/*
 *	poller				syncer
 *	reaps a read and the flush,
 *	which has failed
 *	the read's end_io, slow
 *					flush: good
 *					is anything in doubt?
 *	the flush's end_io
 */
CASE(a_failed_flush_is_known_at_once, "H9",
     "The end of the flush is late behind another; a good flush in between heals nobody")
{
	struct flat *f = flat_new(NULL);
	struct t_bio read, flush;
	pthread_t poller;
	int rc;

	flat_dirty(f, 0, BLOCK, 'a');
	ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	flat_settle(f);
	t_mem_fail(f->mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	t_mem_hold(f->mem, true);
	t_bio_init(&read, f->bdev, IOMAP_BIO_READ, 1 << 20, t_buffer(BLOCK, 1), BLOCK);
	read.bio.end_io = slow_end;
	iomap_bio_submit(&read.bio);
	t_bio_init(&flush, f->bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	iomap_bdev_flush_submit(f->bdev, UINT64_MAX, &flush.bio);
	t_mem_hold(f->mem, false);
	t_mem_release_all(f->mem);
	poller = t_thread(poll_two, f->ioq);
	await_stage(1);
	rc = flat_sync(f);
	__atomic_store_n(&stage, 2, __ATOMIC_RELEASE);
	t_join(poller);
	ck_assert_int_eq(flush.status, -EIO);
	ck_assert_uint_eq(nr_ops(f->mem, IOMAP_BIO_FLUSH), 2);
	ck_assert_int_eq(rc, -EIO);
	flat_delete(&f);
}

/* ---- an earlier life ---- */

static void leave(struct flat *f, uint64_t *errseq)
{
	ck_assert_int_eq(iomap_inode_evict(&f->inode, IOMAP_EVICT_WRITE, errseq), 0);
	iomap_file_close(&f->file);
	iomap_inode_fini(&f->inode);
}

static void come_back(struct flat *f, uint64_t errseq)
{
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &f->inode_ops, .volume = f->volume,
		.bdev = f->bdev, .block_bits = 12, .size = FLAT_FILE, .errseq = errseq,
	};

	ck_assert_int_eq(iomap_inode_init(&f->inode, &opts), 0);
	ck_assert_int_eq(iomap_file_open(&f->file, &f->inode, 0), 0);
}

static int flush(struct iomap_bdev *bdev)
{
	return iomap_bdev_flush(bdev, UINT64_MAX);
}

static void fail_flush(struct iomap_bdev *bdev, struct t_mem *mem)
{
	t_mem_fail(mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flush(bdev), -EIO);
}

CASE(an_earlier_life_is_in_doubt, "H9 O15",
     "Written, evicted, back again when a flush fails: the write may be lost, and the inode knows")
{
	struct flat *f = new_with_other();
	uint64_t errseq;

	flat_dirty(f, 0, BLOCK, 'a');		/* on the device that is not the usual one */
	leave(f, &errseq);
	come_back(f, errseq);
	fail_flush(other, other_mem);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_int_eq(iomap_volume_sync(f->volume), -EIO);
	ck_assert_int_eq(iomap_volume_sync(f->volume), 0);
	leave(f, &errseq);
	come_back(f, errseq);
	ck_assert_int_eq(flat_sync(f), 0);		/* told once in all its lives */
	iomap_bdev_close(&other);
	flat_delete(&f);
}

CASE(a_flush_fails_while_nobody_is_there, "H9 O13 O15",
     "The volume is told at once, the inode when it is back, though a flush was good since")
{
	struct flat *f = new_with_other();
	uint64_t errseq;

	flat_dirty(f, 0, BLOCK, 'a');
	leave(f, &errseq);
	fail_flush(other, other_mem);
	ck_assert_int_eq(flush(other), 0);
	ck_assert_int_eq(iomap_volume_sync(f->volume), -EIO);
	ck_assert_int_eq(iomap_volume_sync(f->volume), 0);
	come_back(f, errseq);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_int_eq(iomap_volume_sync(f->volume), 0);
	iomap_bdev_close(&other);
	flat_delete(&f);
}

CASE(what_was_flushed_is_not_in_doubt, "H9",
     "A good flush, then one that fails: nothing of that inode was in the cache any more")
{
	struct flat *f = new_with_other();
	uint64_t errseq;

	flat_dirty(f, 0, BLOCK, 'a');
	leave(f, &errseq);
	ck_assert_int_eq(flush(other), 0);
	ck_assert_int_eq(t_io(other, IOMAP_BIO_WRITE, 1 << 20, t_buffer(BLOCK, 1), BLOCK, 0), 0);
	fail_flush(other, other_mem);
	ck_assert_int_eq(iomap_volume_sync(f->volume), 0);
	come_back(f, errseq);
	ck_assert_int_eq(flat_sync(f), 0);
	iomap_bdev_close(&other);
	flat_delete(&f);
}

CASE(who_never_wrote_is_not_in_doubt, "H9",
     "A file that is new when a flush fails has lost nothing; an errseq of another time says none")
{
	struct flat *f = new_with_other(), *g;
	uint64_t errseq;

	flat_dirty(f, 0, BLOCK, 'a');
	leave(f, &errseq);
	g = twin_new(f);
	come_back(f, errseq + (1ull << 32));
	fail_flush(other, other_mem);
	ck_assert_int_eq(flat_sync(g), 0);
	ck_assert_int_eq(flat_sync(f), 0);
	twin_delete(g);
	iomap_bdev_close(&other);
	flat_delete(&f);
}

CASE(a_device_goes_with_what_an_evicted_inode_wrote, "H9 H10",
     "Nobody can ever flush it: the next life says so, with a report")
{
	struct flat *f = new_with_other();
	uint64_t errseq;

	flat_dirty(f, 0, BLOCK, 'a');
	leave(f, &errseq);
	iomap_bdev_close(&other);
	to_other = false;
	come_back(f, errseq);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_uint_eq(f->t.nr_reports, 1);
	flat_delete(&f);
}

CASE(no_memory_to_remember_an_evicted_inode, "H9 O28",
     "The evict flushes what it cannot note; a flush that fails is an error of the inode")
{
	struct flat *f = new_with_other();
	uint64_t errseq;

	for (unsigned bad = 0; bad < 2; bad++) {
		flat_dirty(f, 0, BLOCK, 'a');
		ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
		flat_settle(f);
		if (bad)
			t_mem_fail(other_mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
		f->t.fail_at = 1;
		leave(f, &errseq);
		f->t.fail_at = 0;
		ck_assert_uint_eq(nr_unflushed(other_mem), 0);
		come_back(f, errseq);
		ck_assert_int_eq(iomap_file_check_error(&f->file), bad ? -EIO : 0);
	}
	iomap_bdev_close(&other);
	flat_delete(&f);
}

CASE(many_evicted_inodes, "H9 O28",
     "What flushes have covered takes no memory; the one that is in doubt is found among all")
{
	struct flat *f = new_with_other();
	uint64_t errseq, ours = 0, live = 0;

	for (unsigned i = 0; i < 1000; i++) {
		flat_dirty(f, 0, BLOCK, 'a');
		leave(f, &errseq);
		if (i == 900) {
			ours = errseq;
			fail_flush(other, other_mem);
		} else if (i % 10 == 0) {
			ck_assert_int_eq(flush(other), 0);
		}
		if (i == 500)
			live = f->t.nr_live;
		come_back(f, 0);	/* another file, each time */
	}
	ck_assert_uint_le(f->t.nr_live, live + 100);
	leave(f, &errseq);
	come_back(f, ours);
	ck_assert_int_eq(iomap_file_check_error(&f->file), -EIO);
	iomap_bdev_close(&other);
	flat_delete(&f);
}

/* A record that no inode knows of, in the device's cache; the flush is the library's. */
static int write_record(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
			bool *flushed)
{
	(void)start, (void)end, (void)datasync;
	*flushed = false;
	return t_io(inode->bdev, IOMAP_BIO_WRITE, 50 << 20, t_buffer(BLOCK, 1), BLOCK, 0);
}

CASE(a_record_is_as_durable_as_its_flush, "O17 H10",
     "Nothing of the inode is in doubt, so no error sticks: only the flush says that it failed")
{
	struct flat *f = flat_new(NULL);

	flat_dirty(f, 0, BLOCK, 'a');
	ck_assert_int_eq(flat_sync(f), 0);
	f->inode_ops.sync_metadata = write_record;
	t_mem_fail(f->mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(flat_sync(f), -EIO);
	ck_assert_int_eq(iomap_file_check_error(&f->file), 0);
	ck_assert_int_eq(flat_sync(f), 0);
	ck_assert_int_eq(write_record(&f->inode, 0, 0, false, &(bool){ false }), 0);
	t_mem_fail(f->mem, IOMAP_BIO_FLUSH, 1, 1, -EIO, UINT64_MAX);
	ck_assert_int_eq(iomap_volume_sync(f->volume), -EIO);
	ck_assert_int_eq(iomap_volume_sync(f->volume), 0);
	flat_delete(&f);
}

MAIN()
