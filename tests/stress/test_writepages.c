/* SPDX-License-Identifier: MIT */
/*
 * One cached file under real threads: writers, syncs, background passes, a handful of ioends, a
 * device whose size is asked for again and again.  After a last sync the device has what was
 * written last, nobody sleeps for ever, no folio stays behind.
 */
#include "harness/thread.h"
#include "model/flat.h"

#define NR_WRITERS	2u
#define NR_SYNCERS	2u
#define BLOCK		512u
#define BYTES		(128u << 10)	/* of the file, for each writer */
#define WRITES		400u

struct file {
	struct flat *f;
	uint8_t want[NR_WRITERS * BYTES];	/* each writer its part */
	iomap_word writers;			/* still at it */
	iomap_word passes;
};
static struct file file;

/* Extents of 4 KiB, far apart: more ioends than there are. */
static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)len, (void)flags, (void)srcmap, (void)priv;
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = inode->bdev, .offset = pos & ~(int64_t)4095,
		.addr = (uint64_t)pos / 4096 * 8192, .length = 4096,
	};
	return 0;
}

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	begin(wpc->inode, pos, len, 0, &wpc->iomap, NULL, NULL);
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

static int write_back(enum iomap_sync_mode mode, unsigned flags)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = (uint8_t)mode, .flags = flags,
		.bytes_to_write = mode == IOMAP_WB_SYNC_NONE ? 32768 : 0,
	};

	return file.f->inode_ops.writepages(&file.f->inode, &wbc);
}

static void *writer(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	uint64_t seed = 100 + me;

	for (unsigned i = 0; i < WRITES; i++) {
		size_t pos = t_rand(&seed) % (BYTES - 20000), len = 1 + t_rand(&seed) % 20000;
		int byte = (int)(1 + t_rand(&seed) % 255);

		pos += me * BYTES;
		memset(file.want + pos, byte, len);
		flat_dirty(file.f, (int64_t)pos, len, byte);
	}
	__atomic_sub_fetch(&file.writers, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void *syncer(void *arg)
{
	struct iomap_file handle;

	(void)arg;
	ck_assert_int_eq(iomap_file_open(&handle, &file.f->inode, 0), 0);
	do {
		ck_assert_int_eq(iomap_file_sync(&handle, 0, IOMAP_MAX_POS, false), 0);
		__atomic_add_fetch(&file.passes, 1, __ATOMIC_RELAXED);
	} while (__atomic_load_n(&file.writers, __ATOMIC_ACQUIRE));
	iomap_file_close(&handle);
	return NULL;
}

static void *background(void *arg)
{
	(void)arg;
	while (__atomic_load_n(&file.writers, __ATOMIC_ACQUIRE))
		ck_assert_int_eq(write_back(IOMAP_WB_SYNC_NONE, IOMAP_WB_CYCLIC), 0);
	return NULL;
}

/* Content may not change under writeback (STABLE), or the device's copying is a race of its own. */
CASE_TIMEOUT(writers_and_syncs, "I81 I89",
     "What was written before the last sync is on the device", 60)
{
	pthread_t threads[NR_WRITERS + NR_SYNCERS + 1];
	unsigned n = 0;

	memset(&file, 0, sizeof(file));
	file.f = flat_new(&(struct flat_opts){
		.block_bits = 9, .max_folio = 32768, .size = NR_WRITERS * BYTES,
		.no_complete = true, .env.nr_ioends = 8,
	});
	file.f->inode.flags |= IOMAP_INODE_STABLE;
	file.f->ops.iomap_begin = begin;
	file.f->wb_ops.writeback_range = range;
	file.f->wb_ops.writeback_submit = iomap_ioend_writeback_submit;
	file.writers = NR_WRITERS;
	for (unsigned i = 0; i < NR_WRITERS; i++)
		threads[n++] = t_thread(writer, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < NR_SYNCERS; i++)
		threads[n++] = t_thread(syncer, NULL);
	threads[n++] = t_thread(background, NULL);
	while (n)
		t_join_within(threads[--n], 20);
	ck_assert_int_eq(flat_sync(file.f), 0);
	ck_assert_uint_ge(file.passes, 1);
	for (unsigned i = 0; i < sizeof(file.want); i++)
		ck_assert_msg(t_mem_data(file.f->mem)[i / 4096 * 8192 + i % 4096] == file.want[i],
			      "byte %u", i);
	flat_delete(&file.f);
}

/* ---- a size that is refreshed ---- */

#define REFRESHED_WRITES 300u

static iomap_word refresher_stops;

static void *refresher(void *arg)
{
	while (!__atomic_load_n(&refresher_stops, __ATOMIC_ACQUIRE))
		ck_assert_int_eq(iomap_bdev_refresh_size(arg), 0);
	return NULL;
}

/* The hooks of flat.h are called by this thread alone. */
CASE(a_size_is_refreshed_under_writeback, "",
     "Maps are held against the size of the device while it changes hands, and none is refused")
{
	struct flat *f = flat_new(NULL);
	pthread_t thread = t_thread(refresher, f->bdev);

	for (unsigned i = 0; i < REFRESHED_WRITES; i++) {
		flat_dirty(f, i * 4096, 4096, (int)('a' + i % 26));
		ck_assert_int_eq(flat_write(f, IOMAP_WB_SYNC_ALL), 0);
	}
	ck_assert_int_eq(flat_sync(f), 0);
	__atomic_store_n(&refresher_stops, 1, __ATOMIC_RELEASE);
	t_join(thread);
	ck_assert_uint_eq(f->t.nr_reports, 0);
	for (unsigned i = 0; i < REFRESHED_WRITES * 4096; i++)
		ck_assert_msg(t_mem_data(f->mem)[i] == 'a' + i / 4096 % 26, "byte %u", i);
	flat_delete(&f);
}

MAIN()
