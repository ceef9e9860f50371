/* SPDX-License-Identifier: MIT */
/*
 * page_writer - a database's page writer on libiomap, whole but small.
 *
 *	page_writer [DIR]
 *
 * Two table spaces of 16 KiB frames: one in a file in DIR (a fresh folder in /tmp by default,
 * removed afterwards), one on the outside backend of flaky.c.  Two cleaners with a ring each, a log
 * with a thread and a ring of its own.  The story: a user changes frames while the cleaners write;
 * a checkpoint; a sector goes bad, the next checkpoint hears of it once, the frame is still dirty
 * and its neighbours are not; the sector heals, the checkpoint after that succeeds.  In the end
 * every frame on the devices is the pool's, and no page ever went out before its log record.
 * What it leaves out: pages are not kept whole across a power failure (no double-write area), and
 * nothing reads the log again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flaky.h"
#include "page_writer.h"

#define CHANGES		2000u		/* in each of the rounds below */
#define BAD_FRAME	77u		/* of the flaky space */

struct db {
	struct pool pool;
	struct flaky flaky;
	const struct iomap_backend_ops *backends[2];	/* the environment keeps pointers */
	void *backend_args[1];
	struct cleaner cleaners[NR_CLEANERS];
	unsigned nr_started, nr_errors;
	uint64_t random;
	char dir[64], file_path[96], log_path[96];
	bool own_dir;
};

/* ---- log before data, checked where a page leaves for a device ---- */

static void check_page(struct pool *pool, uint64_t lsn)
{
	__atomic_add_fetch(&pool->nr_checked, 1, __ATOMIC_RELAXED);
	if (lsn > log_durable(&pool->log))
		__atomic_add_fetch(&pool->nr_early, 1, __ATOMIC_RELAXED);
}

/* In the flaky backend: the very bytes that it is asked to write. */
static void on_flaky_write(void *arg, const struct iomap_bio *bio)
{
	for (uint32_t i = 0; i < bio->nr_segs; i++) {
		const char *mem = bio->segs[i].mem;

		for (size_t off = 0; off < bio->segs[i].len; off += FRAME)
			check_page(arg, ((const struct page *)(const void *)(mem + off))->lsn);
	}
}

/* The file backend is the library's own: there the trace says what is handed to it. */
static void on_trace(void *arg, const struct iomap_trace_record *record)
{
	struct pool *pool = arg;
	struct space *file = &pool->spaces[0];

	if (record->type != IOMAP_BIO_WRITE)
		return;
	if (record->event == IOMAP_TRACE_BIO_QUEUE &&
	    (record->bdev == file->bdev || record->bdev == pool->spaces[1].bdev))
		__atomic_add_fetch(&pool->nr_bios, 1, __ATOMIC_RELAXED);
	if (record->event != IOMAP_TRACE_BIO_SUBMIT || record->bdev != file->bdev)
		return;
	for (uint64_t off = 0; off < record->len; off += FRAME) {
		struct frame *frame = &file->frames[(record->addr + off) / FRAME];

		check_page(pool, __atomic_load_n(&frame->sent_lsn, __ATOMIC_ACQUIRE));
	}
}

/* ---- the user ---- */

static int change_some(struct db *db, unsigned nr)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < nr; i++) {
		uint64_t x;

		db->random = db->random * 6364136223846793005u + 1442695040888963407u;
		x = db->random >> 33;
		/* runs of neighbours now and then: that is what merging lives on */
		for (unsigned k = 0; !rc && k < 1 + x % 4; k++)
			rc = frame_change(&db->pool, &db->pool.spaces[x % NR_SPACES]
						      .frames[(x / 64 + k) % SPACE_FRAMES]);
	}
	return rc;
}

static int wait_for_cleaners(struct db *db)
{
	int first = 0;

	for (unsigned i = 0; i < NR_CLEANERS; i++) {
		int rc = cleaner_wait(&db->cleaners[i]);

		first = first ? first : rc;
	}
	return first;
}

static int ask_cleaners(struct db *db, bool must)
{
	int rc = wait_for_cleaners(db);		/* of the round before */

	for (unsigned i = 0; i < NR_CLEANERS; i++)
		cleaner_ask(&db->cleaners[i], must);
	return rc;
}

/*
 * 0: the log may be cut.  Else nothing is lost: failed frames are still dirty in the pool.  Only a
 * failed flush is worse, for frames marked written may not be there: then the log is replayed.
 */
static int checkpoint(struct db *db)
{
	int first, rc;

	ask_cleaners(db, true);
	first = wait_for_cleaners(db);
	for (unsigned i = 0; i < NR_SPACES; i++) {
		struct space *space = &db->pool.spaces[i];
		struct iomap_inode *inode = &space->inode;

		rc = iomap_inode_wait_wb(inode, iomap_inode_wb_seq(inode), IOMAP_FOREVER);
		if (!rc)
			rc = iomap_bdev_flush(space->bdev, iomap_bdev_write_seq(space->bdev));
		first = first ? first : rc;
		rc = iomap_file_check_error(&space->checkpointer);
		if (rc)
			db->nr_errors++;
		first = first ? first : rc;
	}
	return first;
}

static unsigned nr_dirty(const struct db *db)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < NR_SPACES * SPACE_FRAMES; i++)
		nr += frame_is_dirty(&db->pool.spaces[i / SPACE_FRAMES].frames[i % SPACE_FRAMES]);
	return nr;
}

static int expect(bool good, const char *what)
{
	if (!good)
		fprintf(stderr, "page_writer: not so: %s\n", what);
	return good ? 0 : -EIO;
}

/* Changes while the cleaners write, then a checkpoint that finds nothing wrong. */
static int quiet_times(struct db *db)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < 4; i++) {
		rc = ask_cleaners(db, false);
		if (!rc)
			rc = change_some(db, CHANGES / 4);
	}
	if (!rc)
		rc = checkpoint(db);
	printf("checkpoint 1: %s, %u frames dirty\n", rc ? strerror(-rc) : "ok", nr_dirty(db));
	return rc ? rc : expect(!nr_dirty(db), "a checkpoint leaves no frame dirty");
}

static int bad_sector(struct db *db)
{
	struct space *space = &db->pool.spaces[1];
	struct frame *bad = &space->frames[BAD_FRAME];
	int rc = change_some(db, CHANGES);

	for (int i = -2; !rc && i <= 2; i++)
		rc = frame_change(&db->pool, bad + i);
	if (rc)
		return rc;
	db->flaky.bad_addr = (uint64_t)BAD_FRAME * FRAME + 4096;
	__atomic_store_n(&db->flaky.broken, 1, __ATOMIC_RELEASE);
	rc = checkpoint(db);
	printf("checkpoint 2: %s, %u frame dirty\n", strerror(-rc), nr_dirty(db));
	rc = expect(rc == -EIO && db->nr_errors == 1, "the checkpoint hears of the error") |
	     expect(frame_is_dirty(bad), "the frame is still dirty") |
	     expect(nr_dirty(db) == 1, "its neighbours are not") |
	     expect(bad->failures == 1, "the failure was reported once") |
	     expect(!iomap_file_check_error(&space->checkpointer), "and is not heard twice");
	return rc ? -EIO : 0;
}

static int healed(struct db *db)
{
	int rc;

	__atomic_store_n(&db->flaky.broken, 0, __ATOMIC_RELEASE);
	rc = checkpoint(db);
	printf("checkpoint 3: %s, %u frames dirty\n", rc ? strerror(-rc) : "ok", nr_dirty(db));
	return rc ? rc : expect(!nr_dirty(db), "the retry wrote it");
}

/* ---- from open to close ---- */

static int open_all(struct db *db)
{
	struct iomap_ioq *ioqs[NR_CLEANERS];
	char device[192];
	int rc;

	snprintf(device, sizeof(device), "file:%s,size=%u,create", db->log_path, LOG_BYTES);
	rc = log_open(&db->pool.log, db->pool.env, device);
	for (unsigned i = 0; !rc && i < NR_CLEANERS; i++) {
		rc = iomap_ioq_new(db->pool.env, NULL, &db->cleaners[i].ioq);
		ioqs[i] = db->cleaners[i].ioq;
	}
	snprintf(device, sizeof(device), "file:%s,size=%u,create", db->file_path,
		 SPACE_FRAMES * FRAME);
	if (!rc)
		rc = space_open(&db->pool, 0, ioqs, device);
	snprintf(device, sizeof(device), "flaky:%u", SPACE_FRAMES * FRAME);
	if (!rc)
		rc = space_open(&db->pool, 1, ioqs, device);
	for (unsigned i = 0; !rc && i < NR_CLEANERS; i++) {
		rc = cleaner_start(&db->cleaners[i], &db->pool, i);
		db->nr_started += !rc;
	}
	return rc;
}

static int run(struct db *db)
{
	struct pool *pool = &db->pool;
	int rc = quiet_times(db);

	if (!rc)
		rc = bad_sector(db);
	if (!rc)
		rc = healed(db);
	for (unsigned i = 0; !rc && i < NR_SPACES; i++)
		rc = space_verify(&pool->spaces[i]);
	if (rc)
		return rc;
	printf("log: %llu flushes, %llu ioends waited for it; %u pages checked, %u too early\n",
	       (unsigned long long)pool->log.nr_flushes, (unsigned long long)pool->log.nr_held,
	       pool->nr_checked, pool->nr_early);
	rc = expect(!pool->nr_early && pool->nr_checked >= pool->nr_written,
		    "no page is on a device before its log record is") |
	     expect(pool->log.nr_held, "some ioends had to wait for the log");
	return rc ? -EIO : 0;
}

static void close_all(struct db *db)
{
	while (db->nr_started)
		cleaner_stop(&db->cleaners[--db->nr_started]);
	/* after an error ioends may be under way or held; the log's thread still sends those */
	for (unsigned i = 0; i < NR_SPACES; i++) {
		struct iomap_inode *inode = &db->pool.spaces[i].inode;

		if (inode->env)
			iomap_inode_wait_wb(inode, UINT64_MAX, IOMAP_FOREVER);
	}
	log_close(&db->pool.log);
	for (unsigned i = 0; i < NR_SPACES; i++)
		space_close(&db->pool.spaces[i]);
	for (unsigned i = 0; i < NR_CLEANERS; i++) {
		if (db->cleaners[i].ioq)
			iomap_ioq_delete(&db->cleaners[i].ioq);
		cleaner_free(&db->cleaners[i]);
	}
	iomap_env_delete(&db->pool.env);
	pool_fini(&db->pool);
	unlink(db->file_path);
	unlink(db->log_path);
	if (db->own_dir)
		rmdir(db->dir);
}

static int start(struct db *db, const char *dir)
{
	struct iomap_env_opts opts = {
		.struct_size = sizeof(opts), .backends = db->backends,
		.backend_args = db->backend_args,
		.trace = on_trace, .trace_arg = &db->pool,
	};

	snprintf(db->dir, sizeof(db->dir), "%s", dir ? dir : "/tmp/page_writer-XXXXXX");
	db->own_dir = !dir;
	if (!dir && !mkdtemp(db->dir))
		return -errno;
	snprintf(db->file_path, sizeof(db->file_path), "%s/space0", db->dir);
	snprintf(db->log_path, sizeof(db->log_path), "%s/log", db->dir);
	db->backends[0] = &flaky_backend;
	db->backend_args[0] = &db->flaky;
	db->flaky.on_write = on_flaky_write;
	db->flaky.arg = &db->pool;
	return iomap_env_new(&opts, &db->pool.env);
}

int main(int argc, char **argv)
{
	static struct db db;
	int rc;

	if (argc > 2 || (argc == 2 && (argv[1][0] == '-' || strlen(argv[1]) > 60))) {
		fprintf(stderr, "usage: page_writer [DIR]\n");
		return 2;
	}
	rc = start(&db, argv[1]);
	if (!rc) {
		rc = pool_init(&db.pool);
		if (!rc)
			rc = open_all(&db);
		if (!rc)
			rc = run(&db);
		close_all(&db);
	}
	if (rc) {
		fprintf(stderr, "page_writer: %s\n", strerror(-rc));
		return 1;
	}
	printf("page_writer: ok frames=%u ioends=%u bios=%u errors=%u\n", db.pool.nr_written,
	       db.pool.nr_ioends, db.pool.nr_bios, db.nr_errors);
	return 0;
}
