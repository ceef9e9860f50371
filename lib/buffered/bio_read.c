/* SPDX-License-Identifier: MIT */
/*
 * buffered/bio_read.c - reading folios from a device: the default of those who have one.
 *
 * Ranges gather in one pending bio as long as they follow each other on the device (I32); a segment
 * is a range of a folio, which is its owner.  Bios come from a pool made with the environment; when
 * it is empty the range goes alone, in a request on the stack that is waited for (I33): slow, but
 * it always works and no folio is left half asked for.
 *
 *	ctx->read_ctx	the pending bio, this thread's until it is submitted
 *	end_io		whoever reaps: each segment finishes its range, the last one of a folio
 *			unlocks it; a failed piece fails its own blocks only (I30)
 */
#include "buffered/buffered.h"
#include "block/block.h"

#include <string.h>

#include <iomap/bdev.h>
#include <iomap/folio.h>
#include <iomap/inode.h>

#include "base/log.h"
#include "cache/cache.h"

#define READ_BYTES	(1u << 20)	/* a request is not made larger */
#define READ_SEGS	64
#define READ_BIOS_MIN	8u
#define READ_BIOS_MAX	64u

#define MAX_BLOCKS	(IOMAPI_MAX_FOLIO >> 9)	/* a range is in one folio */
_Static_assert(READ_BYTES >> 9 <= MAX_BLOCKS, "a bit for each block of a request");

struct read_bio {			/* in front of each bio of the pool */
	int error;			/* the first; 0: none, and no bit means a thing */
	uint64_t bad[IOMAPI_BITMAP_WORDS(MAX_BLOCKS)];	/* blocks that failed */
};
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

/* ---- completion ---- */

static void piece_end(struct iomap_bio *bio, uint64_t off, uint64_t len, int status)
{
	struct read_bio *rb = read_bio_of(bio);
	uint64_t first = off / bio->grain, end = (off + len - 1) / bio->grain + 1;

	if (!status || !len)
		return;
	if (!rb->error)
		memset(rb->bad, 0, sizeof(rb->bad));
	rb->error = rb->error ? rb->error : status;
	iomapi_bits_set(rb->bad, (unsigned)first, (unsigned)(end - first));
}

/* One segment, whose first block is the one of that number in its bio: runs of good blocks and of
 * bad ones.  The folio is ours while one of them is due. */
static void finish_segment(const struct iomap_bvec *seg, unsigned at, uint32_t block,
			   const struct read_bio *rb)
{
	struct iomap_folio *folio = seg->owner;
	size_t off = (size_t)((char *)seg->mem - (char *)folio->mem);
	unsigned end = at + (unsigned)(seg->len / block);

	if (!rb->error) {
		iomap_finish_folio_read(folio, off, seg->len, 0);
		return;
	}
	while (at < end) {
		bool bad = iomapi_bit_test(rb->bad, at);
		unsigned to = iomapi_bits_next(rb->bad, at, end, !bad);
		size_t len = (size_t)(to - at) * block;

		iomap_finish_folio_read(folio, off, len, bad ? rb->error : 0);
		off += len;
		at = to;
	}
}

static void end_io(struct iomap_bio *bio)
{
	struct iomap_env *env = bio->owner;
	struct iomap_bvec segs[READ_SEGS];
	unsigned nr = bio->nr_segs, at = 0;
	uint32_t block = bio->grain;
	struct read_bio rb;

	if (bio->status && !read_bio_of(bio)->error)
		piece_end(bio, 0, bio->len, bio->status);
	rb.error = read_bio_of(bio)->error;
	if (rb.error)
		rb = *read_bio_of(bio);
	memcpy(segs, bio->segs, nr * sizeof(segs[0]));
	/* first: with the last folio everything may go */
	iomap_bio_pool_put(pool_of(env), bio);
	for (unsigned i = 0; i < nr; i++) {
		finish_segment(&segs[i], at, block, &rb);
		at += (unsigned)(segs[i].len / block);
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

static int no_place(const struct iomap *src, const struct iomap_folio *folio, int64_t pos)
{
	if (src->bdev && !(src->flags & IOMAP_F_ANON_WRITE))
		return 0;
	if (src->bdev) {
		iomapi_report(folio->inode->env, .rule = "V8", .callback = "iomap_begin",
			      .field = "flags", .value = src->flags, .inode = folio->inode,
			      .pos = pos, .text = "blocks are missing, and nowhere to read from");
		return -EIO;
	}
	iomapi_report(folio->inode->env, .rule = "V10", .callback = "iomap_begin", .field = "bdev",
		      .inode = folio->inode, .pos = pos,
		      .text = "nothing to read from: such a client brings its own operations");
	return -EIO;
}

int iomapi_bio_read_sync(const struct iomap *src, struct iomap_folio *folio, int64_t pos,
			 size_t len)
{
	int rc = no_place(src, folio, pos);

	if (rc)
		return rc;
	return read_alone(src->bdev, src->addr + (uint64_t)(pos - src->offset),
			  (char *)folio->mem + (pos - folio->pos), len, folio);
}

/* ---- gathering ---- */

static void submit(struct iomap_read_ctx *ctx)
{
	struct iomap_bio *bio = ctx->read_ctx;

	ctx->read_ctx = NULL;
	if (bio)
		iomap_bio_submit(bio);
}

static bool follows(const struct iomap_bio *bio, const struct iomap_bdev *bdev, uint64_t addr,
		    size_t len)
{
	if (bio->bdev != bdev || bio->addr + bio->len != addr)
		return false;
	if (bio->len + len > READ_BYTES)
		return false;
	return bio->nr_segs < bio->max_segs;
}

static struct iomap_bio *new_bio(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t addr,
				 uint32_t block)
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
	return bio;
}

static int read_folio_range(const struct iomap_iter *iter, struct iomap_read_ctx *ctx, size_t len)
{
	const struct iomap *src = iomap_iter_srcmap(iter);
	struct iomap_folio *folio = ctx->cur_folio;
	size_t off = (size_t)(iter->pos - folio->pos);
	void *mem = (char *)folio->mem + off;
	struct iomap_bio *bio = ctx->read_ctx;
	uint64_t addr;
	int rc = no_place(src, folio, iter->pos);

	if (rc)
		return rc;
	addr = src->addr + (uint64_t)(iter->pos - src->offset);
	if (bio && !follows(bio, src->bdev, addr, len)) {
		submit(ctx);
		bio = NULL;
	}
	if (!bio)
		bio = new_bio(iter->inode->env, src->bdev, addr, 1u << iter->inode->block_bits);
	if (!bio) {
		rc = read_alone(src->bdev, addr, mem, len, folio);
		iomap_finish_folio_read(folio, off, len, rc);
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
