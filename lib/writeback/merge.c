/* SPDX-License-Identifier: MIT */
/*
 * writeback/merge.c - which ranges and ioends belong together.
 *
 * One column of reasons serves both ends of an ioend's life: a range that is appended while it is
 * being built, and a neighbour that is absorbed once both have been written.  Addresses are
 * compared by where an ioend started, for the cursors in its bio move.
 *
 * Merging needs a sorted list and sorting is stable: of two ioends at the same offset the older one
 * stays in front.
 *
 * Threads: whoever owns the ioends.
 */
#include "base/trace.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

/* Equal on both sides, or they complete in different ways. */
#define KIND (IOMAP_IOEND_SHARED | IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_DIRECT | \
	      IOMAP_IOEND_DONTCACHE | IOMAP_IOEND_ANON)

enum iomap_trace_why iomapi_cannot_follow(const struct iomap_ioend *ioend,
					  const struct iomapi_span *next)
{
	const struct iomapi_ioend *px =
		iomap_container_of(ioend, const struct iomapi_ioend, ioend);
	uint64_t end = ioend->addr == IOMAP_NULL_ADDR ? IOMAP_NULL_ADDR : ioend->addr + ioend->size;

	/* The file ended here when it was built: its size on disk may follow it, to the byte. */
	if (px->state & IOMAPI_IOEND_CLIPPED)
		return IOMAP_WHY_EOF;
	if (ioend->offset + (int64_t)ioend->size != next->offset)
		return IOMAP_WHY_FILE;
	if ((ioend->flags ^ next->flags) & KIND)
		return IOMAP_WHY_KIND;
	/* One way: what begins at a boundary may absorb what follows it. */
	if (next->flags & IOMAP_IOEND_BOUNDARY)
		return IOMAP_WHY_BOUNDARY;
	if (ioend->bio.bdev != next->bdev)
		return IOMAP_WHY_DEVICE;
	/* Without an address on both sides the submit hook finds one place for all. */
	if (end != next->addr)
		return IOMAP_WHY_DEVICE;
	return IOMAP_WHY_FIRST;
}

static bool can_merge(const struct iomap_ioend *ioend, const struct iomap_ioend *next)
{
	const struct iomapi_span span = {
		.offset = next->offset, .addr = next->addr, .bdev = next->bio.bdev,
		.flags = next->flags,
	};

	if (ioend->inode != next->inode)
		return false;
	if (ioend->bio.op == IOMAP_BIO_READ)
		return false;
	if (ioend->bio.op != next->bio.op)
		return false;
	/* A merged ioend is finished with one error. */
	if (ioend->error != next->error)
		return false;
	/* A zone, a transaction: the client knows why. */
	if (ioend->client_key != next->client_key)
		return false;
	return iomapi_cannot_follow(ioend, &span) == IOMAP_WHY_FIRST;
}

static void absorb(struct iomap_ioend *ioend, struct iomap_ioend *next)
{
	struct iomap_list *l;

	iomapi_trace(ioend->inode->env, .event = IOMAP_TRACE_IOEND_MERGE, .inode = next->inode,
		     .bdev = next->bio.bdev, .pos = next->offset, .len = next->size,
		     .addr = next->addr, .flags = next->flags, .id = next->wb_seq,
		     .result = next->error, .into = ioend->wb_seq);
	iomap_list_add_tail(&ioend->merged, &next->list);
	while ((l = iomap_list_pop(&next->merged)))
		iomap_list_add_tail(&ioend->merged, l);
	ioend->size += next->size;
	ioend->client_max = iomapi_max(ioend->client_max, next->client_max);
	iomapi_ioend(ioend)->state |= iomapi_ioend(next)->state & IOMAPI_IOEND_CLIPPED;
}

IOMAP_API void iomap_ioend_try_merge(struct iomap_ioend *ioend, struct iomap_list *ioends)
{
	while (!iomap_list_empty(ioends)) {
		struct iomap_ioend *next =
			iomap_container_of(ioends->next, struct iomap_ioend, list);

		if (!can_merge(ioend, next))
			return;
		iomap_list_del(&next->list);
		absorb(ioend, next);
	}
}

/* ---- sort: runs are merged bottom up, run k holds 2^k ioends or nothing ---- */

#define MAX_RUNS 32

static int64_t offset_of(const struct iomap_list *node)
{
	return iomap_container_of(node, const struct iomap_ioend, list)->offset;
}

/* Two chains through next, older in front of younger where offsets are equal. */
static struct iomap_list *merge_chains(struct iomap_list *older, struct iomap_list *younger)
{
	struct iomap_list head, *tail = &head;

	while (older && younger) {
		bool in_front = offset_of(younger) < offset_of(older);
		struct iomap_list **from = in_front ? &younger : &older;

		tail->next = *from;
		tail = *from;
		*from = tail->next;
	}
	tail->next = older ? older : younger;
	return head.next;
}

IOMAP_API void iomap_sort_ioends(struct iomap_list *ioends)
{
	struct iomap_list *runs[MAX_RUNS] = { NULL }, *chain, *l;
	unsigned k;

	while ((l = iomap_list_pop(ioends))) {
		l->next = NULL;
		for (k = 0; k < MAX_RUNS - 1 && runs[k]; k++) {
			l = merge_chains(runs[k], l);
			runs[k] = NULL;
		}
		runs[k] = runs[k] ? merge_chains(runs[k], l) : l;
	}
	for (chain = NULL, k = 0; k < MAX_RUNS; k++)
		if (runs[k])
			chain = chain ? merge_chains(runs[k], chain) : runs[k];
	while (chain) {
		l = chain;
		chain = chain->next;
		iomap_list_add_tail(ioends, l);
	}
}
