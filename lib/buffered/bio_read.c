/* SPDX-License-Identifier: MIT */
/*
 * buffered/bio_read.c - reading folios from a device: the default of those who have one.
 *
 * Ranges gather in one pending bio as long as they follow each other on the device (I32); a segment
 * is a range of a folio, which is its owner.  Bios come from a pool made with the environment; when
 * it is empty the range goes alone, in a request on the stack that is waited for (I33): slow, but
 * it always works and no folio is left half asked for.
 *
 * What an F_INTEGRITY map says is read is verified by the client before it counts, block by block
 * and wherever it arrives: at the end of a bio, or of a request that was waited for.  Ranges that
 * are verified and others share no bio.
 *
 *	ctx->read_ctx	the pending bio, this thread's until it is submitted
 *	end_io		whoever reaps: each segment finishes its range, the last one of a folio
 *			unlocks it; a failed piece fails its own ranges only, and a block that does
 *			not pass itself only (I30)
 */
#include "buffered/buffered.h"
#include "block/block.h"

#include <string.h>

#include <iomap/bdev.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/bitmap.h"
#include "base/log.h"
#include "cache/cache.h"
#include "inode/inode.h"

#define READ_BYTES	(1u << 20)	/* a request is not made larger */
#define READ_SEGS	64
#define READ_BIOS_MIN	8u
#define READ_BIOS_MAX	64u

#define MAX_BLOCKS	(IOMAPI_MAX_FOLIO >> 9)

/* What is known of the bytes of a request, in blocks; in front of each bio of the pool. */
struct read_bio {
	int error;			/* the first of its pieces that failed.. */
	bool verify;			/* ask about those that arrived */
	uint64_t failed[IOMAPI_BITMAP_WORDS(MAX_BLOCKS)];	/* ..and all of these; if any did */
};
_Static_assert(READ_BYTES <= IOMAPI_MAX_FOLIO, "a request is one folio's range, or READ_BYTES");
#define FRONT_PAD ((sizeof(struct read_bio) + 63) & ~(size_t)63)

static struct read_bio *read_bio_of(struct iomap_bio *bio)
{
	return (struct read_bio *)(void *)((char *)bio - FRONT_PAD);
}

static struct iomap_bio_pool *pool_of(struct iomap_env *env)
{
	return iomapi_room(env, IOMAPI_ROOM_BUFFERED);
}

static int room_init(struct iomap_env *env, void **state)
{
	uint32_t nr = iomapi_env_opts(env)->nr_bios / 4;
	struct iomap_bio_pool *pool;
	int rc;

	nr = iomapi_max(READ_BIOS_MIN, iomapi_min(nr, READ_BIOS_MAX));
	rc = iomapi_bio_pool_new(env, FRONT_PAD, nr, READ_SEGS, 0, &pool);
	if (!rc)
		*state = pool;
	return rc;
}

static void room_fini(struct iomap_env *env, void *state)
{
	struct iomap_bio_pool *pool = state;

	(void)env;
	iomap_bio_pool_delete(&pool);
}

const struct iomapi_room iomapi_room_buffered = { .init = room_init, .fini = room_fini };

/* ---- verifying ---- */

/* The block at off has arrived: is it what was written? */
static int verify_block(struct iomap_folio *folio, size_t off)
{
	struct iomap_inode *inode = folio->inode;
	int64_t pos = folio->pos + (int64_t)off;
	int rc = inode->ops->verify_read(inode, pos, (const char *)folio->mem + off,
					 (size_t)1 << inode->block_bits);

	return iomapi_answer(inode->env, rc, .rule = "I30", .callback = "verify_read",
			     .inode = inode, .pos = pos);
}

static int verify_blocks(struct iomap_folio *folio, size_t off, size_t len)
{
	size_t block = (size_t)1 << folio->inode->block_bits;
	int rc = 0;

	for (size_t at = off; !rc && at < off + len; at += block)
		rc = verify_block(folio, at);
	return rc;
}

/* ---- completion ---- */

static void piece_end(struct iomap_bio *bio, uint64_t off, uint64_t len, int status)
{
	struct read_bio *rb = read_bio_of(bio);
	uint64_t block = bio->grain, first = off / block, end = (off + len + block - 1) / block;

	if (!status)
		return;
	iomapi_assert(end <= MAX_BLOCKS);
	if (!rb->error)
		memset(rb->failed, 0, sizeof(rb->failed));
	rb->error = rb->error ? rb->error : status;
	iomapi_bits_set(rb->failed, (unsigned)first, (unsigned)(end - first));
}

/* The block at off of a folio, which lies at byte at of its request. */
static int block_status(struct iomap_folio *folio, size_t off, const struct read_bio *rb,
			uint64_t at)
{
	if (rb->error && iomapi_bit_test(rb->failed, (unsigned)(at >> folio->inode->block_bits)))
		return rb->error;
	return rb->verify ? verify_block(folio, off) : 0;
}

/* A range of a folio, bytes [at, at + len) of its request.  The folio is ours until the last of it
 * is finished: blocks that are alike go as one, once the next is known to be another. */
static void finish_range(struct iomap_folio *folio, size_t off, size_t len,
			 const struct read_bio *rb, uint64_t at)
{
	size_t block = (size_t)1 << folio->inode->block_bits, end = off + len, from = off;
	int status, next;

	if (!rb->error && !rb->verify) {
		iomap_finish_folio_read(folio, off, len, 0);
		return;
	}
	status = block_status(folio, off, rb, at);
	while ((off += block) < end) {
		at += block;
		next = block_status(folio, off, rb, at);
		if (next == status)
			continue;
		iomap_finish_folio_read(folio, from, off - from, status);
		from = off;
		status = next;
	}
	iomap_finish_folio_read(folio, from, end - from, status);
}

static void end_io(struct iomap_bio *bio)
{
	struct iomap_env *env = bio->owner;
	struct read_bio rb = *read_bio_of(bio);
	struct iomap_bvec segs[READ_SEGS];
	unsigned nr = bio->nr_segs;
	uint64_t at = 0;

	if (bio->status && !rb.error) {
		rb.error = bio->status;
		memset(rb.failed, 0xff, sizeof(rb.failed));
	}
	memcpy(segs, bio->segs, nr * sizeof(segs[0]));
	/* first: with the last folio everything may go */
	iomap_bio_pool_put(pool_of(env), bio);
	for (unsigned i = 0; i < nr; i++) {
		struct iomap_folio *folio = segs[i].owner;

		finish_range(folio, (size_t)((char *)segs[i].mem - (char *)folio->mem),
			     segs[i].len, &rb, at);
		at += segs[i].len;
	}
}

/* ---- one request, waited for ---- */

static int read_alone(struct iomap_bdev *bdev, uint64_t addr, void *mem, size_t len,
		      struct iomap_folio *folio)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;
	int rc;

	iomap_bio_init(&bio, bdev, IOMAP_BIO_READ, addr, &seg, 1);
	rc = iomap_bio_add(&bio, mem, len, folio);
	if (rc)
		return rc;
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

static int no_device(const struct iomap_folio *folio, int64_t pos)
{
	iomapi_report(folio->inode->env, .rule = "V10", .callback = "iomap_begin", .field = "bdev",
		      .inode = folio->inode, .pos = pos,
		      .text = "nothing to read from: such a client brings its own operations");
	return -EIO;
}

static int no_address(const struct iomap *src, const struct iomap_folio *folio, int64_t pos)
{
	iomapi_report(folio->inode->env, .rule = "V8", .callback = "iomap_begin", .field = "flags",
		      .value = src->flags, .inode = folio->inode, .pos = pos,
		      .text = "blocks are missing, and nowhere to read from");
	return -EIO;
}

static int nobody_verifies(const struct iomap *src, const struct iomap_folio *folio, int64_t pos)
{
	iomapi_report(folio->inode->env, .rule = "V8", .callback = "iomap_begin", .field = "flags",
		      .value = src->flags, .inode = folio->inode, .pos = pos,
		      .text = "to be verified, and the inode has no verify_read");
	return -EIO;
}

static int check_source(const struct iomap *src, const struct iomap_folio *folio, int64_t pos)
{
	if (!src->bdev)
		return no_device(folio, pos);
	if (src->flags & IOMAP_F_ANON_WRITE)
		return no_address(src, folio, pos);
	if ((src->flags & IOMAP_F_INTEGRITY) && !iomapi_inode_verifies(folio->inode))
		return nobody_verifies(src, folio, pos);
	return 0;
}

int iomapi_bio_read_sync(const struct iomap *src, struct iomap_folio *folio, int64_t pos,
			 size_t len)
{
	size_t off = (size_t)(pos - folio->pos);
	int rc = check_source(src, folio, pos);

	if (!rc)
		rc = read_alone(src->bdev, src->addr + (uint64_t)(pos - src->offset),
				(char *)folio->mem + off, len, folio);
	if (!rc && (src->flags & IOMAP_F_INTEGRITY))
		rc = verify_blocks(folio, off, len);
	return rc;
}

/* ---- gathering ---- */

static void submit(struct iomap_read_ctx *ctx)
{
	struct iomap_bio *bio = ctx->read_ctx;

	ctx->read_ctx = NULL;
	if (bio)
		iomap_bio_submit(bio);
}

static bool follows(struct iomap_bio *bio, const struct iomap_bdev *bdev, uint64_t addr,
		    size_t len, bool verify)
{
	if (read_bio_of(bio)->verify != verify)
		return false;
	if (bio->bdev != bdev || bio->addr + bio->len != addr)
		return false;
	if (bio->len + len > READ_BYTES)
		return false;
	return bio->nr_segs < bio->max_segs;
}

static struct iomap_bio *new_bio(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t addr,
				 uint32_t block, bool verify)
{
	struct iomap_bio *bio = iomap_bio_pool_get(pool_of(env));

	if (!bio)
		return NULL;
	iomap_bio_init(bio, bdev, IOMAP_BIO_READ, addr, bio->segs, READ_SEGS);
	bio->end_io = end_io;
	bio->piece_end = piece_end;
	bio->owner = env;
	bio->grain = block;
	read_bio_of(bio)->error = 0;
	read_bio_of(bio)->verify = verify;
	return bio;
}

static int read_folio_range(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	const struct iomap *src = iomap_iter_srcmap(iter);
	struct iomap_folio *folio = ctx->cur_folio;
	size_t off = (size_t)(iter->pos - folio->pos);
	void *mem = (char *)folio->mem + off;
	struct iomap_bio *bio = ctx->read_ctx;
	bool verify = src->flags & IOMAP_F_INTEGRITY;
	int rc = check_source(src, folio, iter->pos);
	uint64_t addr;

	if (rc)
		return rc;
	addr = src->addr + (uint64_t)(iter->pos - src->offset);
	if (bio && !follows(bio, src->bdev, addr, len, verify)) {
		submit(ctx);
		bio = NULL;
	}
	if (!bio)
		bio = new_bio(iter->inode->env, src->bdev, addr, 1u << iter->inode->block_bits,
			      verify);
	if (!bio) {
		rc = read_alone(src->bdev, addr, mem, len, folio);
		if (rc)
			iomap_finish_folio_read(folio, off, len, rc);
		else
			finish_range(folio, off, len, &(struct read_bio){ .verify = verify }, 0);
		return 0;
	}
	ctx->read_ctx = bio;
	rc = iomap_bio_add(bio, mem, len, folio);
	iomapi_assert(!rc);	/* follows() saw a free segment, or the bio is new */
	return rc;
}

static void submit_read(const struct iomap_iter *iter, struct iomap_read_ctx *ctx)
{
	(void)iter;
	submit(ctx);
}

IOMAP_API const struct iomap_read_ops *iomap_bio_read_ops(void)
{
	static const struct iomap_read_ops ops = {
		.struct_size = sizeof(ops),
		.read_folio_range = read_folio_range,
		.submit_read = submit_read,
	};

	return &ops;
}
