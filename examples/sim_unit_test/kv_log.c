/* SPDX-License-Identifier: MIT */
/*
 * kv_log.c - changes as records, a block of them for each sync.
 *
 * The log begins at block 0 after each checkpoint, over what was there.  A block belongs to it if
 * it is whole, in its place, and of the generation that the root names; the first one that does
 * not is the end, and so is one that cannot be read: it was being written when power went.  Blocks
 * are written one after the other, each durable before the next: there is nothing of this
 * generation behind the end.
 */
#include <errno.h>
#include <string.h>

#include "kv_parts.h"

struct record {			/* its value follows; as long as len says, and then up to 8 */
	uint32_t key;
	uint16_t len, op;
};

static size_t size_of(size_t len)
{
	return sizeof(struct record) + (len + 7) / 8 * 8;
}

int kv_log_add(struct kv *kv, enum kv_op op, uint32_t key, const void *value, size_t len)
{
	struct record r = { key, (uint16_t)len, (uint16_t)op };
	struct kv_batch *b = &kv->batch;

	if (b->len + size_of(len) > sizeof(b->records)) {
		int rc = kv_sync(kv);

		if (rc)
			return rc;
	}
	memcpy(b->records + b->len, &r, sizeof(r));
	if (len)
		memcpy(b->records + b->len + sizeof(r), value, len);
	b->len += (uint32_t)size_of(len);
	return 0;
}

int kv_log_write(struct kv *kv)
{
	struct kv_batch *b = &kv->batch;
	int rc;

	b->generation = kv->root.generation;
	b->index = kv->log_end;
	b->sum = kv_sum(b);
	rc = kv_write_durable(kv, "log", b, KV_BLOCK, (uint64_t)b->index * KV_BLOCK);
	if (rc)
		return rc;
	kv->log_end++;
	memset(b, 0, sizeof(*b));
	return 0;
}

void kv_log_empty(struct kv *kv)
{
	kv->log_end = 0;
	memset(&kv->batch, 0, sizeof(kv->batch));
}

/* ---- recovery ---- */

static bool belongs(const struct kv *kv, const struct kv_batch *b, uint32_t index)
{
	if (b->index != index || b->len > sizeof(b->records))
		return false;
	if (b->generation != kv->root.generation && kv->opts.bug != KV_BUG_OLD_LOG)
		return false;
	return b->sum == kv_sum(b) || kv->opts.bug == KV_BUG_LOG_TAIL;
}

static int apply_batch(struct kv *kv, const struct kv_batch *b)
{
	struct record r;

	for (size_t at = 0; at < b->len; at += size_of(r.len)) {
		if (b->len - at < sizeof(r))
			return -EBADMSG;
		memcpy(&r, b->records + at, sizeof(r));
		if (b->len - at < size_of(r.len) ||
		    kv_apply(kv, r.op, r.key, b->records + at + sizeof(r), r.len))
			return -EBADMSG;
	}
	return 0;
}

int kv_log_replay(struct kv *kv)
{
	struct kv_batch *b = &kv->batch;

	for (uint32_t i = 0; i < KV_LOG_BLOCKS; i++) {
		int rc = kv_read(kv, "log", b, KV_BLOCK, (uint64_t)i * KV_BLOCK);

		if (rc == -EIO || (!rc && !belongs(kv, b, i)))
			return 0;
		rc = rc ? rc : apply_batch(kv, b);
		if (rc)
			return rc;
	}
	return 0;
}
