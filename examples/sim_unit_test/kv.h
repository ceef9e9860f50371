/* SPDX-License-Identifier: MIT */
/*
 * kv.h - a small key-value store with a write-ahead log: what the simulator is to find bugs in.
 *
 * It lives on three devices, "log", "data" and "files", and is never closed: who has done with it
 * drops it, and the next one that opens it recovers.
 *   memory   comes from the simulation and goes with its run.
 *   errors   negative; -EBADMSG: what is on the devices is no store.  After a sync, checkpoint or
 *            compact that failed the store is broken: every change says so, and only a new open
 *            tells what is there.  A block that cannot be read where the log may end is taken for
 *            one that was being written when power went.
 */
#ifndef KV_H
#define KV_H

#include <iomap/sim.h>

#define KV_KEYS		16u		/* keys are 0..15 */
#define KV_VALUE	504u		/* bytes at most */
#define KV_LOG_SIZE	(64u << 10)
#define KV_DATA_SIZE	(128u << 10)
#define KV_FILES_SIZE	(128u << 10)

/* Mistakes that stores were shipped with, each of a line or two. */
enum kv_bug {
	KV_CORRECT,
	KV_BUG_NO_FLUSH,		/* none between the table and the root */
	KV_BUG_PUBLISH_FIRST,		/* the root before the table */
	KV_BUG_TORN_HEADER,		/* a root of two sectors without a checksum */
	KV_BUG_LOG_TAIL,		/* a log without checksums */
	KV_BUG_SYNC_RETRY,		/* flush again, and believe that */
	KV_BUG_DIR_SYNC,		/* none after a rename */
	KV_BUG_IN_PLACE,		/* one place for the root */
	KV_BUG_WRITE_ORDER,		/* what is sent first is there first */
	KV_BUG_SHORT_WRITE,		/* some bytes were written, so all were */
	KV_BUG_FUA,			/* not there, and no flush instead */
	KV_BUG_RECOVERY_TWICE,		/* a crash in recovery, and records are applied again */
	KV_BUG_OLD_LOG,			/* records from before the log was emptied */
	KV_NR_BUGS,
};
struct kv_opts {
	unsigned bug;
};
struct kv;

int kv_format(struct iomap_sim *sim);
/* What it finds is durable when it returns. */
int kv_open(struct iomap_sim *sim, const struct kv_opts *opts, struct kv **kv);

/* Seen at once, durable with the next sync; -EINVAL: no such key, or too long. */
int kv_put(struct kv *kv, uint32_t key, const void *value, size_t len);
int kv_append(struct kv *kv, uint32_t key, const void *more, size_t len);
int kv_delete(struct kv *kv, uint32_t key);
/* 0: all changes so far are durable.  By the log, by a new table, by a table in the other area. */
int kv_sync(struct kv *kv);
int kv_checkpoint(struct kv *kv);
int kv_compact(struct kv *kv);

int kv_get(const struct kv *kv, uint32_t key, void *value);	/* its length, or -ENOENT */
uint32_t kv_next(const struct kv *kv, uint32_t key);	/* that is there, from key on; or KV_KEYS */

#endif
