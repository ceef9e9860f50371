/* SPDX-License-Identifier: MIT */
/*
 * page_writer - a database's page writer on libiomap, whole but small.
 *
 * Two table spaces of 16 KiB frames lie on a device of flaky.c, the log in a file in /tmp.  run
 * tells the story: a user changes frames while two cleaners write; a checkpoint; a sector goes bad,
 * the next checkpoint hears of it once, the frame is still dirty and its neighbours are not; the
 * sector heals, the checkpoint after that succeeds.  In the end each frame on the device is the
 * pool's, and no page ever went out before its log record.
 * What it leaves out: pages are not kept whole across a power failure (no double-write area), and
 * nothing reads the log again.  examples/sim_pages has that, around the same cleaner.c and log.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "page_writer.h"

#define BAD_FRAME	(SPACE_FRAMES + 77)

/* The device is asked to write: the last place to see what goes out, and when. */
static void on_write(void *arg, const struct iomap_bio *bio)
{
	struct db *db = arg;

	__atomic_add_fetch(&db->nr_bios, 1, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < bio->nr_segs; i++) {
		const struct page *pages = bio->segs[i].mem;

		for (size_t k = 0; k < bio->segs[i].len / FRAME; k++) {
			if (pages[k].lsn > __atomic_load_n(&db->log.durable, __ATOMIC_ACQUIRE))
				__atomic_add_fetch(&db->nr_early, 1, __ATOMIC_RELAXED);
			if (pages[k].sum != page_sum(&pages[k]))
				__atomic_add_fetch(&db->nr_torn, 1, __ATOMIC_RELAXED);
		}
	}
}

/* What the cleaners have done together. */
static struct count { unsigned frames, failed, ioends; } count(const struct db *db)
{
	struct count c = { 0 };

	for (unsigned i = 0; i < NR_CLEANERS; i++) {
		c.frames += db->workers[i].cleaner.nr_frames;
		c.failed += db->workers[i].cleaner.nr_failed;
		c.ioends += db->workers[i].cleaner.nr_ioends;
	}
	return c;
}

static unsigned nr_dirty(const struct db *db)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < NR_FRAMES; i++)
		nr += frame_is_dirty(&db->frames[i]);
	return nr;
}

/* The cleaners write what is dirty, the user makes nr changes.  Afterwards nothing is under way. */
static int clean_and_change(struct db *db, unsigned nr)
{
	struct worker *w = db->workers;
	unsigned started = 0;
	int rc = 0;

	for (; !rc && started < NR_CLEANERS; started += !rc)
		rc = -pthread_create(&w[started].thread, NULL, worker_run, &w[started]);
	for (unsigned i = 0; !rc && i < nr; i++)
		rc = frame_change(db, &db->frames[(unsigned)rand() % NR_FRAMES]);
	while (started--) {
		pthread_join(w[started].thread, NULL);
		rc = rc ? rc : w[started].result;
	}
	return rc;
}

/*
 * 0: the log may be cut.  Else nothing is lost: failed frames are still dirty in the pool.  Only a
 * failed flush is worse, for frames marked written may not be there: then the log is replayed.
 */
static int checkpoint(struct db *db)
{
	int rc = clean_and_change(db, 0);

	if (!rc)
		rc = iomap_bdev_flush(db->bdev, iomap_bdev_write_seq(db->bdev));
	for (unsigned i = 0; i < NR_SPACES; i++) {
		int seen = iomap_file_check_error(&db->checkpointers[i]);

		db->nr_errors += seen != 0;
		rc = rc ? rc : seen;
	}
	printf("checkpoint: %s, %u dirty\n", rc ? strerror(-rc) : "ok", nr_dirty(db));
	return rc;
}

static int expect(bool good, const char *what)
{
	if (!good)
		fprintf(stderr, "page_writer: not so: %s\n", what);
	return good ? 0 : -EIO;
}

static int bad_sector(struct db *db)
{
	struct frame *bad = &db->frames[BAD_FRAME];
	int rc = 0;

	for (int i = -2; !rc && i <= 2; i++)	/* they go into one ioend */
		rc = frame_change(db, bad + i);
	if (rc)
		return rc;
	__atomic_store_n(&db->flaky.broken, 1, __ATOMIC_RELEASE);
	rc = checkpoint(db);
	__atomic_store_n(&db->flaky.broken, 0, __ATOMIC_RELEASE);
	return expect(rc == -EIO && db->nr_errors == 1, "the checkpoint hears of the error") |
	       expect(frame_is_dirty(bad), "the frame is still dirty") |
	       expect(nr_dirty(db) == 1 && count(db).failed == 1, "its neighbours are not");
}

/* One request for all: the library cuts it into what the device takes. */
static int read_back(struct db *db)
{
	static struct page read[NR_FRAMES];
	struct iomap_bvec seg;
	struct iomap_bio bio;
	int rc;

	iomap_bio_init(&bio, db->bdev, IOMAP_BIO_READ, 0, &seg, 1);
	iomap_bio_add(&bio, read, sizeof(read), NULL);
	iomap_bio_submit(&bio);
	rc = iomap_bio_wait(&bio);
	for (unsigned i = 0; !rc && i < NR_FRAMES; i++) {
		db->pages[i].sum = page_sum(&db->pages[i]);
		rc = expect(!memcmp(&read[i], &db->pages[i], FRAME), "the device equals the pool");
	}
	return rc;
}

static int run(struct db *db)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < NR_FRAMES; i++)
		rc = frame_change(db, &db->frames[i]);
	for (unsigned i = 0; !rc && i < 4; i++)
		rc = clean_and_change(db, 2000);
	if (!rc)
		rc = checkpoint(db);
	if (!rc)
		rc = bad_sector(db);
	if (!rc)
		rc = checkpoint(db);		/* the sector has healed */
	if (!rc)
		rc = read_back(db);
	if (rc)
		return rc;
	return expect(!nr_dirty(db), "a good checkpoint leaves no frame dirty") |
	       expect(db->nr_errors == 1, "the error is heard once") |
	       expect(!db->nr_early, "no page is on the device before its log record is") |
	       expect(!db->nr_torn, "each page arrives as its checksum says") |
	       expect(db->log.nr_held, "some ioends had to wait for the log");
}

static int db_open(struct db *db, const char *log_device)
{
	static const struct iomap_backend_ops *const backends[] = { &flaky_backend, NULL };
	struct iomap_env_opts opts = {
		.struct_size = sizeof(opts), .backends = backends, .backend_args = db->backend_args,
		/* each frame under way may be an ioend that the log holds, and more are reserved */
		.nr_ioends = 2 * NR_CLEANERS * STRIPE,
	};
	struct iomap_inode_opts inode_opts = {
		.struct_size = sizeof(inode_opts), .ops = &space_ops, .block_bits = 14,
		.flags = IOMAP_INODE_FRAMES, .owner = db,
	};
	int rc;

	db->flaky = (struct flaky){ .mem = db->disk, .size = sizeof(db->disk),
		.bad = (uint64_t)BAD_FRAME * FRAME + 4096, .on_write = on_write, .arg = db };
	db->backend_args[0] = &db->flaky;
	db->log.records = db->log_records;
	db->log.size = LOG_BYTES;
	rc = iomap_env_new(&opts, &db->env);
	if (!rc)
		pool_init(db);
	if (!rc)
		rc = iomap_ioq_new(db->env, NULL, &db->ioq);
	if (!rc)
		rc = log_open(&db->log, db->env, db->ioq, log_device);
	if (!rc)
		rc = iomap_bdev_open(db->ioq, "flaky:", NULL, &db->bdev);
	inode_opts.env = db->env;
	inode_opts.bdev = db->bdev;
	for (unsigned i = 0; !rc && i < NR_SPACES; i++) {
		rc = iomap_inode_init(&db->spaces[i], &inode_opts);
		if (!rc)
			rc = iomap_file_open(&db->checkpointers[i], &db->spaces[i], 0);
	}
	return rc;
}

/* Whatever was opened.  Nothing is under way: each cleaner has waited for its own. */
static void db_close(struct db *db)
{
	for (unsigned i = 0; i < NR_SPACES; i++) {
		iomap_file_close(&db->checkpointers[i]);
		if (db->spaces[i].env)
			iomap_inode_fini(&db->spaces[i]);
	}
	iomap_bdev_close(&db->bdev);
	iomap_bdev_close(&db->log.bdev);
	iomap_ioq_delete(&db->ioq);
	iomap_env_delete(&db->env);
}

int main(void)
{
	static struct db db;		/* large, but nothing is allocated */
	char path[] = "/tmp/page_writer-XXXXXX", log[64];
	int rc, fd = mkstemp(path);

	if (fd < 0) {
		perror(path);
		return 1;
	}
	close(fd);
	snprintf(log, sizeof(log), "file:%s,size=%u", path, LOG_BYTES);
	rc = db_open(&db, log);
	if (!rc)
		rc = run(&db);
	db_close(&db);
	unlink(path);
	if (rc) {
		fprintf(stderr, "page_writer: %s\n", strerror(-rc));
		return 1;
	}
	printf("page_writer: ok frames=%u ioends=%u bios=%u errors=%u\n", count(&db).frames,
	       count(&db).ioends, db.nr_bios, db.nr_errors);
	return 0;
}
