/* SPDX-License-Identifier: MIT */
/*
 * pool.c - frames, their content, and the table spaces on which they live.
 *
 * A frame's latch guards its memory; newest_lsn and written_lsn are read without it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page_writer.h"

#define WORDS	(FRAME / sizeof(uint64_t))

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
	return x ^ x >> 29;
}

uint64_t page_sum(const struct page *page)
{
	const uint64_t *word = (const uint64_t *)(const void *)page;
	uint64_t sum = 0;

	for (size_t i = 1; i < WORDS; i++)	/* the first word is the sum itself */
		sum = mix(sum ^ word[i]);
	return sum;
}

static void page_fill(struct page *page, uint64_t lsn, uint64_t version)
{
	uint64_t *word = (uint64_t *)(void *)page;

	page->lsn = lsn;
	page->version = version;
	for (size_t i = sizeof(*page) / sizeof(*word); i < WORDS; i++)
		word[i] = mix(version << 32 ^ (uint64_t)page->number << 16 ^ i);
}

bool frame_is_dirty(const struct frame *frame)
{
	return __atomic_load_n(&frame->newest_lsn, __ATOMIC_ACQUIRE) !=
	       __atomic_load_n(&frame->written_lsn, __ATOMIC_ACQUIRE);
}

/* Log first, then change: nobody may see the change with an older number on it. */
int frame_change(struct pool *pool, struct frame *frame)
{
	struct page *page = frame->mem;
	uint64_t lsn;

	iomap_mutex_lock(pool->env, &frame->latch);
	lsn = log_append(&pool->log, page->space, page->number, page->version + 1);
	if (lsn) {
		page_fill(page, lsn, page->version + 1);
		__atomic_store_n(&frame->newest_lsn, lsn, __ATOMIC_RELEASE);
	}
	iomap_mutex_unlock(pool->env, &frame->latch);
	return lsn ? 0 : -ENOSPC;
}

int pool_init(struct pool *pool)
{
	char *mem;

	pool->bytes = (size_t)NR_SPACES * SPACE_FRAMES * FRAME;
	pool->memory = aligned_alloc(FRAME, pool->bytes);
	if (!pool->memory)
		return -ENOMEM;
	memset(pool->memory, 0, pool->bytes);
	mem = pool->memory;
	for (unsigned s = 0; s < NR_SPACES; s++) {
		for (unsigned i = 0; i < SPACE_FRAMES; i++, mem += FRAME) {
			struct frame *frame = &pool->spaces[s].frames[i];
			struct page *page = (struct page *)(void *)mem;

			iomap_mutex_init(&frame->latch, IOMAP_RANK_EXTENT);
			frame->space = &pool->spaces[s];
			frame->number = i;
			frame->mem = mem;
			page->space = s;
			page->number = i;
		}
	}
	return 0;
}

void pool_fini(struct pool *pool)
{
	free(pool->memory);
}

/* One device, one inode, and both cleaners may write it on rings of their own. */
int space_open(struct pool *pool, unsigned nr, struct iomap_ioq *ioqs[NR_CLEANERS],
	       const char *device)
{
	struct space *space = &pool->spaces[nr];
	struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &space_ops, .env = pool->env,
		.flags = IOMAP_INODE_FRAMES, .block_bits = 14, .owner = space,
	};
	int rc = iomap_bdev_open(ioqs[0], device, NULL, &space->bdev);

	for (unsigned i = 1; !rc && i < NR_CLEANERS; i++)
		rc = iomap_bdev_attach(space->bdev, ioqs[i]);
	opts.bdev = space->bdev;
	if (!rc)
		rc = iomap_inode_init(&space->inode, &opts);
	if (rc)
		return rc;
	return iomap_file_open(&space->checkpointer, &space->inode, 0);
}

void space_close(struct space *space)
{
	if (space->checkpointer.inode)
		iomap_file_close(&space->checkpointer);
	if (space->inode.env)
		iomap_inode_fini(&space->inode);
	if (space->bdev)
		iomap_bdev_close(&space->bdev);
}

static int frame_verify(struct space *space, const struct frame *frame, struct page *read)
{
	const struct page *page = frame->mem;
	struct iomap_bvec seg;
	struct iomap_bio bio;
	int rc;

	if (!page->version)
		return 0;		/* never changed, never written */
	iomap_bio_init(&bio, space->bdev, IOMAP_BIO_READ, (uint64_t)frame->number * FRAME, &seg, 1);
	rc = iomap_bio_add(&bio, read, FRAME, NULL);
	if (rc)
		return rc;
	iomap_bio_submit(&bio);
	rc = iomap_bio_wait(&bio);
	if (rc)
		return rc;
	if (read->sum != page_sum(read) || page_sum(read) != page_sum(page)) {
		fprintf(stderr, "page_writer: space %u frame %u: device and pool differ\n",
			page->space, page->number);
		return -EIO;
	}
	return 0;
}

int space_verify(struct space *space)
{
	struct page *read = aligned_alloc(FRAME, FRAME);
	int rc = read ? 0 : -ENOMEM;

	for (unsigned i = 0; !rc && i < SPACE_FRAMES; i++)
		rc = frame_verify(space, &space->frames[i], read);
	free(read);
	return rc;
}
