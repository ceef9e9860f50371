/* SPDX-License-Identifier: MIT */
/*
 * test_completion.c - what a completion may do: it runs in whoever reaps, who may hold anything.
 *
 * The environment's hooks see each lock that is about to be taken and each sleep; inside a callback
 * only locks of leaf rank may be taken, and nothing may sleep.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/env.h"
#include "harness/devices.h"
#include "model/flat.h"
#include "unit/one_thread.h"

static unsigned nr_locks;		/* taken in callbacks */

static bool in_callback(void)
{
	return ((struct iomapi_self *)only_self(NULL))->in_callback != 0;
}

static int wait_nowhere(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	ck_assert_msg(!in_callback(), "a completion sleeps");
	return no_wait(arg, word, seen, timeout_ns);
}

static void yield_nowhere(void *arg, const char *site)
{
	(void)arg;
	ck_assert_msg(!in_callback(), "a completion yields at %s", site);
}

static void look_at_lock(void *arg, const char *site, unsigned rank)
{
	(void)arg;
	if (!in_callback())
		return;
	nr_locks++;
	ck_assert_msg(rank >= IOMAP_RANK_LEAF, "a completion takes a lock of rank %u at %s", rank,
		      site);
}

static const struct iomap_sync_ops sync_ops = {
	.struct_size = sizeof(sync_ops), .wait = wait_nowhere, .wake = no_wake, .self = only_self,
	.spawn = no_spawn, .join = no_join, .yield = yield_nowhere, .lock = look_at_lock,
};

/* Read ahead over the first 64 KiB, and reap until nothing is under way. */
static void read_ahead(struct flat *f)
{
	uint64_t len = 64 * 1024;
	int64_t pos = 0;

	iomap_readahead(&f->inode, &pos, &len, &f->ops, NULL, NULL);
	ck_assert_uint_eq(len, 0);
	while (iomap_ioq_poll(f->ioq, 1, 64, IOMAP_FOREVER) > 0)
		;
}

static bool is_here(const char *spec)
{
	struct iomap_bdev *bdev = NULL;
	struct iomap_ioq *ioq;
	struct t_env t;
	int rc;

	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
	rc = iomap_bdev_open(ioq, spec, NULL, &bdev);
	iomap_bdev_close(&bdev);
	iomap_ioq_delete(&ioq);
	t_env_stop(&t);
	return !rc;
}

/* The file ends after its first page, behind the library's back: the rest cannot be read. */
static void failing_reads(const char *scheme)
{
	struct flat_opts opts = { .size = 64 * 1024 };
	char path[128], spec[192];
	struct flat *f;

	t_temp_path(path, sizeof(path), "device");
	snprintf(spec, sizeof(spec), "%s:%s,create,size=1m", scheme, path);
	if (!is_here(spec))
		return;
	opts.dev = spec;
	opts.env.struct_size = sizeof(opts.env);
	opts.env.sync = &sync_ops;
	f = flat_new(&opts);
	read_ahead(f);
	ck_assert_uint_gt(nr_locks, 0);
	ck_assert(flat_flags(f, 8192) & IOMAP_FOLIO_UPTODATE);
	ck_assert_int_ge(iomap_mapping_invalidate_range(&f->inode, 0, IOMAP_MAX_POS), 0);
	ck_assert_int_eq(truncate(path, 4096), 0);
	nr_locks = 0;
	read_ahead(f);
	ck_assert_uint_gt(nr_locks, 0);
	ck_assert_uint_gt(f->t.nr_reports, 0);
	ck_assert(!(flat_flags(f, 8192) & IOMAP_FOLIO_UPTODATE));
	flat_delete(&f);
	t_temp_remove();
}

CASE(failed_reads_take_leaf_locks, "R50",
     "Read-ahead succeeds and fails on real files: its completion neither sleeps nor locks more")
{
	static const char *const schemes[] = { "file", "aio", "uring" };

	for (unsigned i = 0; i < 3; i++)
		failing_reads(schemes[i]);
}

MAIN()
