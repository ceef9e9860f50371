/* SPDX-License-Identifier: MIT */
/*
 * kv_root.c - tables on the device, and the roots that make them valid.
 *
 * A table is written whole, to the slot of its number, and flushed; then its root is, which is
 * durable before anything that an older root needs is written over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kv_parts.h"

#define MAGIC	0x746f6f722d766bull	/* "kv-root" */

static uint64_t root_addr(unsigned area, uint64_t slot)
{
	return (area * KV_AREA_BLOCKS + slot) * KV_BLOCK;
}

static uint64_t page_addr(unsigned area, uint64_t number, unsigned page)
{
	return root_addr(area, KV_SLOTS + number % KV_SLOTS * KV_PAGES + page);
}

static void make_root(const struct kv *kv, struct kv_root *root, uint64_t number,
		      uint64_t generation)
{
	memset(root, 0, sizeof(*root));
	root->magic = MAGIC;
	root->number = number;
	snprintf(root->label, sizeof(root->label), "a key-value store");
	root->generation = generation;
	for (unsigned i = 0; i < KV_PAGES; i++)
		root->page_sums[i] = iomap_sim_digest(&kv->table[i], KV_BLOCK, 0);
	root->sum = kv_sum(root);
}

/* ---- write ---- */

static int write_table(struct kv *kv, unsigned area, uint64_t number)
{
	int rc = 0, failed;

	for (unsigned i = 0; !rc && i < KV_PAGES; i++)
		rc = iomap_sim_start_write(kv->sim, "data", &kv->table[i], KV_BLOCK,
					   page_addr(area, number, i), 0);
	if (kv->opts.bug == KV_BUG_WRITE_ORDER)
		return rc;
	failed = iomap_sim_wait_writes(kv->sim);
	if (rc || failed)
		return rc ? rc : failed;
	return kv->opts.bug == KV_BUG_NO_FLUSH ? 0 : iomap_sim_flush(kv->sim, "data");
}

static int write_root(struct kv *kv, unsigned area, const struct kv_root *root)
{
	uint64_t slot = kv->opts.bug == KV_BUG_IN_PLACE ? 0 : root->number % KV_SLOTS;
	uint64_t addr = root_addr(area, slot);
	int rc;

	if (kv->opts.bug != KV_BUG_WRITE_ORDER)
		return kv_write_durable(kv, "data", root, KV_BLOCK, addr);
	rc = iomap_sim_start_write(kv->sim, "data", root, KV_BLOCK, addr, 0);
	rc = rc ? rc : iomap_sim_wait_writes(kv->sim);
	return rc ? rc : iomap_sim_flush(kv->sim, "data");
}

int kv_root_publish(struct kv *kv, unsigned area, uint64_t number, uint64_t generation)
{
	struct kv_root root;
	int rc;

	make_root(kv, &root, number, generation);
	rc = kv->opts.bug == KV_BUG_PUBLISH_FIRST ? write_root(kv, area, &root)
						  : write_table(kv, area, number);
	if (rc)
		return rc;
	rc = kv->opts.bug == KV_BUG_PUBLISH_FIRST ? write_table(kv, area, number)
						  : write_root(kv, area, &root);
	if (rc)
		return rc;
	kv->root = root;
	return 0;
}

/* ---- read ---- */

static bool is_root(const struct kv *kv, const struct kv_root *root)
{
	if (root->magic != MAGIC)
		return false;
	return root->sum == kv_sum(root) || kv->opts.bug == KV_BUG_TORN_HEADER;
}

static int load_table(struct kv *kv)
{
	int rc = kv_read(kv, "data", kv->table, sizeof(kv->table),
			 page_addr(kv->area, kv->root.number, 0));

	for (unsigned i = 0; !rc && i < KV_PAGES; i++)
		if (iomap_sim_digest(&kv->table[i], KV_BLOCK, 0) != kv->root.page_sums[i])
			rc = -EBADMSG;
	return rc;
}

/* All of them, or each that can be read: one cannot be if it was being written when power went. */
static int read_roots(struct kv *kv, struct kv_root *roots)
{
	int rc = kv_read(kv, "data", roots, KV_SLOTS * sizeof(*roots), root_addr(kv->area, 0));

	for (unsigned i = 0, alone = rc == -EIO; alone && i < KV_SLOTS; i++) {
		rc = kv_read(kv, "data", &roots[i], sizeof(*roots), root_addr(kv->area, i));
		if (rc == -EIO) {
			memset(&roots[i], 0, sizeof(*roots));
			rc = 0;
		}
		if (rc)
			break;
	}
	return rc;
}

int kv_root_load(struct kv *kv)
{
	struct kv_root roots[KV_SLOTS];
	const struct kv_root *newest = NULL;
	int rc = read_roots(kv, roots);

	if (rc)
		return rc;
	for (unsigned i = 0; i < KV_SLOTS; i++)
		if (is_root(kv, &roots[i]) && (!newest || roots[i].number > newest->number))
			newest = &roots[i];
	if (!newest)
		return -EBADMSG;
	kv->root = *newest;
	return load_table(kv);
}
