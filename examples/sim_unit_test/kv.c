/* SPDX-License-Identifier: MIT */
/*
 * kv.c - the table in memory, and what a user calls.
 */
#include <errno.h>
#include <string.h>

#include "kv_parts.h"

static int broken(struct kv *kv, int rc)
{
	if (rc)
		kv->error = rc;
	return rc;
}

/* ---- the table ---- */

/* Redo: recovery comes here too. */
int kv_apply(struct kv *kv, enum kv_op op, uint32_t key, const void *value, size_t len)
{
	struct kv_page *page = &kv->table[key / KV_PAGE_KEYS % KV_PAGES];
	uint32_t i = key % KV_PAGE_KEYS;
	size_t old = op == KV_APPEND && page->slots[i].used ? page->slots[i].len : 0;

	if (key >= KV_KEYS || op < KV_PUT || op > KV_DELETE || len > KV_VALUE - old)
		return -EINVAL;
	if (op != KV_APPEND)
		memset(&page->slots[i], 0, sizeof(page->slots[i]));
	if (op == KV_DELETE)
		return 0;
	page->slots[i].key = key;
	page->slots[i].used = 1;
	page->slots[i].len = (uint16_t)(old + len);
	memcpy(page->slots[i].value + old, value, len);
	return 0;
}

static int change(struct kv *kv, enum kv_op op, uint32_t key, const void *value, size_t len)
{
	int old = op == KV_APPEND ? kv_get(kv, key, NULL) : 0;
	int rc = kv->error;

	if (!rc && (key >= KV_KEYS || len > KV_VALUE - (size_t)(old < 0 ? 0 : old)))
		rc = -EINVAL;
	if (!rc)
		rc = kv_log_add(kv, op, key, value, len);
	return rc ? rc : kv_apply(kv, op, key, value, len);
}

int kv_put(struct kv *kv, uint32_t key, const void *value, size_t len)
{
	return change(kv, KV_PUT, key, value, len);
}

int kv_append(struct kv *kv, uint32_t key, const void *more, size_t len)
{
	return change(kv, KV_APPEND, key, more, len);
}

int kv_delete(struct kv *kv, uint32_t key)
{
	return change(kv, KV_DELETE, key, NULL, 0);
}

int kv_get(const struct kv *kv, uint32_t key, void *value)
{
	const struct kv_page *page = &kv->table[key / KV_PAGE_KEYS % KV_PAGES];
	uint32_t i = key % KV_PAGE_KEYS;

	if (key >= KV_KEYS || !page->slots[i].used)
		return -ENOENT;
	if (value)
		memcpy(value, page->slots[i].value, page->slots[i].len);
	return page->slots[i].len;
}

uint32_t kv_next(const struct kv *kv, uint32_t key)
{
	while (key < KV_KEYS && kv_get(kv, key, NULL) < 0)
		key++;
	return key;
}

/* ---- durable ---- */

int kv_sync(struct kv *kv)
{
	if (kv->error || !kv->batch.len)
		return kv->error;
	if (kv->log_end == KV_LOG_BLOCKS)
		return kv_checkpoint(kv);
	return broken(kv, kv_log_write(kv));
}

/* A root with a generation of its own: all blocks of the log are older. */
static int checkpoint(struct kv *kv, unsigned area, uint64_t number)
{
	int rc = kv_root_publish(kv, area, number, number);

	if (!rc)
		kv_log_empty(kv);
	return rc;
}

int kv_checkpoint(struct kv *kv)
{
	return kv->error ? kv->error : broken(kv, checkpoint(kv, kv->area, kv->root.number + 1));
}

int kv_compact(struct kv *kv)
{
	unsigned area = !kv->area;
	int rc = kv->error;

	if (!rc)
		rc = checkpoint(kv, area, kv->root.number + 1);
	if (!rc)
		rc = kv_manifest_publish(kv, area);
	return broken(kv, rc);
}

/* ---- from nothing, and from what is there ---- */

static struct kv *new(struct iomap_sim *sim, const struct kv_opts *opts)
{
	struct kv *kv = iomap_sim_alloc(sim, sizeof(*kv));

	if (!kv)
		return NULL;
	memset(kv, 0, sizeof(*kv));
	kv->sim = sim;
	kv->opts = *opts;
	return kv;
}

int kv_format(struct iomap_sim *sim)
{
	struct kv *kv = new(sim, &(struct kv_opts){ KV_CORRECT });
	int rc = kv ? 0 : -ENOMEM;

	if (!rc)
		rc = kv_manifest_format(kv);
	return rc ? rc : checkpoint(kv, 0, 1);
}

/*
 * All that recovery relies on is written anew, for what can be read need not be durable: power may
 * have stayed on when a store was dropped because of an error.  One root makes the table with the
 * changes of the log valid and the log empty: what is appended twice is there twice.
 */
static int recover(struct kv *kv)
{
	int rc = kv_manifest_load(kv);

	if (!rc)
		rc = kv_root_load(kv);
	if (!rc)
		rc = kv_log_replay(kv);
	if (!rc && kv->opts.bug == KV_BUG_RECOVERY_TWICE)
		rc = kv_root_publish(kv, kv->area, kv->root.number + 1, kv->root.generation);
	return rc ? rc : checkpoint(kv, kv->area, kv->root.number + 2);
}

int kv_open(struct iomap_sim *sim, const struct kv_opts *opts, struct kv **kv)
{
	struct kv *opened = new(sim, opts);
	int rc = opened ? recover(opened) : -ENOMEM;

	*kv = rc ? NULL : opened;
	return rc;
}
