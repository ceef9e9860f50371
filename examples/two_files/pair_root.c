/* SPDX-License-Identifier: MIT */
/*
 * pair_root.c - the root on the device: two places in turn, so that one of them is always whole.
 */
#include <errno.h>
#include <string.h>

#include "pair_parts.h"

#define MAGIC	0x746f6f722d726170ull
#define CANARY	0xc5

static uint64_t sum_of(const struct pair_root *root)
{
	return iomap_sim_digest((const uint8_t *)root + 8, sizeof(*root) - 8, MAGIC);
}

static int transfer(struct pair *p, enum iomap_bio_op op, unsigned flags, uint64_t addr)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;

	iomap_bio_init(&bio, p->bdev, op, addr, &seg, 1);
	iomap_bio_add(&bio, p->root, sizeof(*p->root), NULL);
	bio.flags = (uint16_t)flags;
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

int pair_root_load(struct pair *p)
{
	struct pair_root newest = { .number = 0 };

	for (unsigned slot = 0; slot < 2; slot++) {
		int rc = transfer(p, IOMAP_BIO_READ, 0, slot * PAIR_BLOCK);

		if (rc)
			return rc;
		if (p->root->magic == MAGIC && p->root->sum == sum_of(p->root) &&
		    p->root->number > newest.number)
			newest = *p->root;
	}
	*p->root = newest;
	return newest.number ? 0 : -EBADMSG;
}

/* The next root goes where the one before this is.  After an error nobody knows which of the two is
 * there, so it is written again, with the same number. */
int pair_root_commit(struct pair *p, bool *flushed)
{
	unsigned flush = p->bug == PAIR_BUG_NO_FLUSH ? 0 : IOMAP_BIO_PREFLUSH;
	int rc;

	*flushed = false;
	if (!p->changed)
		return 0;
	p->root->number++;
	p->root->sum = sum_of(p->root);
	rc = transfer(p, IOMAP_BIO_WRITE, flush | IOMAP_BIO_FUA,
		      p->root->number % 2 * PAIR_BLOCK);
	if (rc) {
		p->root->number--;
		return rc;
	}
	p->changed = false;
	*flushed = true;
	return 0;
}

/* ---- a new device ---- */

/* What belongs to a file, version after version: each byte is another. */
uint8_t pair_byte(unsigned file, unsigned version, int64_t pos)
{
	return (uint8_t)(1 + (file * 101 + version * 37 + (unsigned)pos * 7 +
			      (unsigned)(pos / PAIR_BLOCK) * 13) % 191);
}

static int write_block(struct iomap_sim *sim, const void *mem, uint64_t addr)
{
	int64_t n = iomap_sim_pwrite(sim, PAIR_DEV, mem, PAIR_BLOCK, addr, 0);

	return n < 0 ? (int)n : n < (int64_t)PAIR_BLOCK ? -EIO : 0;
}

int pair_format(struct iomap_sim *sim)
{
	struct pair_root root = { .magic = MAGIC, .number = 1, .size = { PAIR_FIRST, 0 } };
	uint8_t block[PAIR_BLOCK];
	int rc = 0;

	memset(block, CANARY, sizeof(block));
	for (uint64_t at = 0; !rc && at < PAIR_DEVICE; at += PAIR_BLOCK)
		rc = write_block(sim, block, at);
	for (unsigned b = 0; !rc && b * PAIR_BLOCK < PAIR_FIRST; b++) {
		for (unsigned i = 0; i < PAIR_BLOCK; i++) {
			int64_t pos = (int64_t)b * PAIR_BLOCK + i;

			block[i] = pos < PAIR_FIRST ? pair_byte(0, 0, pos) : 0;
		}
		root.state[0][b] = PAIR_WRITTEN;
		rc = write_block(sim, block, pair_place(0, b));
	}
	root.sum = sum_of(&root);
	return rc ? rc : write_block(sim, &root, PAIR_BLOCK);
}
