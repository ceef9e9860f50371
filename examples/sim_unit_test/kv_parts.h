/* SPDX-License-Identifier: MIT */
/*
 * kv_parts.h - what the files of the store share.
 *
 *	kv.c		the table in memory, and what a user calls
 *	kv_log.c	changes as records, a block of them for each sync; replayed by open
 *	kv_root.c	tables on the device, and the roots that make them valid
 *	kv_manifest.c	the file that says which area the roots are in
 *	kv_io.c		reads and writes that are whole, and durable
 *
 *	log	block 0 .. 15, each written once between two checkpoints
 *	data	area 0: root 0 .. 4, table 0 .. 4; area 1: the same
 *
 * Each block is written alone and whole, so that a write that power interrupts can hurt nothing
 * that was promised: neither by tearing nor by what a device does to its neighbours.
 */
#ifndef KV_PARTS_H
#define KV_PARTS_H

#include "kv.h"

#define KV_BLOCK	4096u		/* no device here has a larger physical block */
#define KV_LOG_BLOCKS	(KV_LOG_SIZE / KV_BLOCK)
#define KV_PAGES	2u		/* of a table */
#define KV_PAGE_KEYS	(KV_KEYS / KV_PAGES)
/*
 * Two would do if nothing ever failed.  But a root whose flush failed may be readable and yet not
 * durable, or come to light only after a crash.  An open leaves one number out, and so writes
 * neither where such a root may be, nor where the one before it is.
 */
#define KV_SLOTS	5u
#define KV_AREA_BLOCKS	(KV_SLOTS + KV_SLOTS * KV_PAGES)

struct kv_page {
	struct {
		uint32_t key;
		uint16_t len, used;
		uint8_t value[KV_VALUE];
	} slots[KV_PAGE_KEYS];
};
struct kv_root {
	uint64_t sum;			/* of all that follows */
	uint64_t magic, number;		/* the largest number is the one in use */
	char label[512];		/* a name for people; so the root has more than a sector */
	uint64_t generation;		/* of log blocks that are newer than the table */
	uint64_t page_sums[KV_PAGES];
	uint8_t spare[KV_BLOCK - 544 - 8 * KV_PAGES];
};
struct kv_batch {			/* a block of the log */
	uint64_t sum;			/* of all that follows */
	uint64_t generation;
	uint32_t index, len;
	uint8_t records[KV_BLOCK - 24];
};
_Static_assert(sizeof(struct kv_page) == KV_BLOCK && sizeof(struct kv_root) == KV_BLOCK &&
	       sizeof(struct kv_batch) == KV_BLOCK, "a block each");

struct kv {
	struct iomap_sim *sim;
	struct kv_opts opts;
	int error;			/* it is broken */
	unsigned area;			/* of data, by the manifest */
	uint32_t log_end;		/* blocks in use */
	struct kv_root root;		/* the one in use; durable */
	struct kv_page table[KV_PAGES];	/* all changes so far */
	struct kv_batch batch;		/* those since the last sync */
};

/* ---- kv.c ---- */
enum kv_op { KV_PUT = 1, KV_APPEND, KV_DELETE };
int kv_apply(struct kv *kv, enum kv_op op, uint32_t key, const void *value, size_t len);

/* ---- kv_log.c ---- */
int kv_log_add(struct kv *kv, enum kv_op op, uint32_t key, const void *value, size_t len);
int kv_log_write(struct kv *kv);		/* the batch; it is durable */
int kv_log_replay(struct kv *kv);
void kv_log_empty(struct kv *kv);

/* ---- kv_root.c ---- */
/* The table becomes durable, as number; the log is that of generation. */
int kv_root_publish(struct kv *kv, unsigned area, uint64_t number, uint64_t generation);
int kv_root_load(struct kv *kv);

/* ---- kv_manifest.c ---- */
int kv_manifest_format(struct kv *kv);
int kv_manifest_publish(struct kv *kv, unsigned area);
int kv_manifest_load(struct kv *kv);

/* ---- kv_io.c ---- */
uint64_t kv_sum(const void *block);	/* of a block that begins with its sum */
int kv_read(struct kv *kv, const char *dev, void *mem, size_t len, uint64_t addr);
int kv_write(struct kv *kv, const char *dev, const void *mem, size_t len, uint64_t addr,
	     unsigned flags);
int kv_write_durable(struct kv *kv, const char *dev, const void *mem, size_t len, uint64_t addr);

#endif
