/* SPDX-License-Identifier: MIT */
/*
 * block/split.c - cut a bio into the pieces that its device takes.
 *
 * A piece has segments of its own, in which segments that are adjacent in memory become one; so a
 * bio of a thousand pages from one arena is one piece with one segment.  Cuts fall on multiples of
 * the bio's grain from its address; where not even one grain fits, on multiples of what the device
 * asks for.  With atomic_bytes each natural chunk is a piece.
 *
 * Pieces are made when the queue is: as many small ones as it has requests in flight, and a few big
 * ones.  A bio that finds none parks, and pieces come back as they complete.
 *
 * Threads: the leader of the ioq.
 */
#include <string.h>

#include "block/block.h"

/* ---- the stock ---- */

static size_t piece_size(unsigned nr_segs)
{
	return iomapi_round_up(sizeof(struct iomapi_piece) + nr_segs * sizeof(struct iomap_bvec),
			       (size_t)64);
}

static void *make_pieces(struct iomap_ioq *ioq, unsigned nr, unsigned nr_segs, bool big)
{
	char *slab = iomapi_alloc(ioq->env, nr * piece_size(nr_segs), 64);

	for (unsigned i = 0; slab && i < nr; i++) {
		struct iomapi_piece *piece = (void *)(slab + i * piece_size(nr_segs));

		piece->big = big;
		iomapi_piece_free(ioq, piece);
	}
	return slab;
}

int iomapi_pieces_init(struct iomap_ioq *ioq)
{
	ioq->small_slab = make_pieces(ioq, ioq->opts.depth, IOMAPI_SMALL_SEGS, false);
	ioq->big_slab = make_pieces(ioq, IOMAPI_NR_BIG, IOMAPI_BIG_SEGS, true);
	if (ioq->small_slab && ioq->big_slab)
		return 0;
	iomapi_pieces_fini(ioq);
	return -ENOMEM;
}

void iomapi_pieces_fini(struct iomap_ioq *ioq)
{
	iomapi_free(ioq->env, ioq->small_slab, ioq->opts.depth * piece_size(IOMAPI_SMALL_SEGS));
	iomapi_free(ioq->env, ioq->big_slab, IOMAPI_NR_BIG * piece_size(IOMAPI_BIG_SEGS));
}

void iomapi_piece_free(struct iomap_ioq *ioq, struct iomapi_piece *piece)
{
	struct iomapi_piece **list = piece->big ? &ioq->free_big : &ioq->free_small;

	piece->next = *list;
	*list = piece;
}

static struct iomapi_piece *piece_get(struct iomap_ioq *ioq, struct iomap_bio *bio, unsigned op,
				      bool big)
{
	struct iomapi_piece **list = big ? &ioq->free_big : &ioq->free_small;
	struct iomapi_piece *piece = *list;

	if (!piece)
		return NULL;
	*list = piece->next;
	piece->parent = bio;
	iomap_bio_init(&piece->bio, bio->bdev, (enum iomap_bio_op)op, bio->addr, piece->segs,
		       big ? IOMAPI_BIG_SEGS : IOMAPI_SMALL_SEGS);
	piece->bio.priority = bio->priority;
	piece->bio.ioq = bio->ioq;
	piece->bio.owner = bio->owner;
	iomapi_track(&piece->bio)->how = IOMAPI_HOW_PIECE;
	iomapi_track(&piece->bio)->dev = iomapi_track(bio)->dev;
	return piece;
}

struct iomapi_piece *iomapi_piece_flush(struct iomap_ioq *ioq, struct iomap_bio *bio)
{
	struct iomapi_piece *piece = piece_get(ioq, bio, IOMAP_BIO_FLUSH, false);

	if (piece) {
		piece->bio.addr = 0;
		piece->off = 0;
	}
	return piece;
}

/* ---- where to cut ---- */

struct cut {
	uint64_t len;
	unsigned nr_runs;
};

/* From the cursor at most max bytes in at most max_runs runs of adjacent memory. */
static struct cut measure(struct iomap_bio *bio, uint64_t max, unsigned max_runs)
{
	const struct iomapi_track *t = iomapi_track(bio);
	struct cut cut = { 0, 0 };
	const char *end = NULL;
	uint64_t skip = t->seg_off;

	for (uint32_t i = t->seg; cut.len < max && i < bio->nr_segs; i++, skip = 0) {
		const char *mem = (const char *)bio->segs[i].mem + skip;
		uint64_t len = bio->segs[i].len - skip;

		if (mem != end && cut.nr_runs++ == max_runs) {
			cut.nr_runs = max_runs;
			break;
		}
		end = mem + len;
		cut.len += len;
	}
	cut.len = iomapi_min(cut.len, max);
	return cut;
}

/* The same without a walk where all the runs there are would do anyway. */
static struct cut fit(struct iomap_bio *bio, uint64_t rest, uint64_t max, unsigned max_runs)
{
	uint32_t nr_runs = iomapi_track(bio)->nr_runs;

	if (nr_runs > max_runs || (nr_runs > IOMAPI_SMALL_SEGS && max < rest))
		return measure(bio, max, max_runs);
	return (struct cut){ max, nr_runs };
}

/* The length of the next piece; 0: the device cannot take even the smallest. */
static struct cut next_cut(struct iomap_bio *bio)
{
	uint32_t max_segs = bio->atomic_bytes ? iomapi_atomic_segs(bio->bdev)
					      : bio->bdev->limits.max_segs;
	uint64_t rest = bio->len - iomapi_track(bio)->off;
	uint64_t max = iomapi_min(rest, iomapi_max_bytes(bio->bdev, bio->op));
	uint32_t grain = bio->grain ? bio->grain : bio->bdev->unit;
	struct cut cut = { max, 0 };

	if (bio->atomic_bytes)
		cut.len = max = iomapi_min(rest, bio->atomic_bytes);
	if (bio->nr_segs)
		cut = fit(bio, rest, max, iomapi_min(max_segs, IOMAPI_BIG_SEGS));
	if (cut.len == rest)
		return cut;
	if (bio->atomic_bytes) {
		if (cut.len < max)
			cut.len = 0;
		return cut;
	}
	if (cut.len >= grain)
		cut.len -= cut.len % grain;
	else
		cut.len -= cut.len % bio->bdev->unit;
	return cut;
}

/* ---- the piece ---- */

/* One run: its start and the offset say all, nobody needs a cursor. */
static bool is_one_run(struct iomap_bio *bio)
{
	return iomapi_track(bio)->nr_runs == 1;
}

static void fill_segs(struct iomapi_piece *piece, struct iomap_bio *bio, uint64_t len)
{
	const struct iomapi_track *t = iomapi_track(bio);
	struct iomap_bvec *segs = piece->segs;
	uint64_t skip = t->seg_off;
	unsigned n = 0;

	if (is_one_run(bio)) {
		segs[0] = (struct iomap_bvec){ (char *)bio->segs[0].mem + t->off, len,
					       bio->segs[0].owner };
		piece->bio.nr_segs = 1;
		return;
	}
	for (uint32_t i = t->seg; len; i++, skip = 0) {
		const struct iomap_bvec *from = &bio->segs[i];
		char *mem = (char *)from->mem + skip;
		size_t part = iomapi_min(from->len - skip, len);

		len -= part;
		if (n && (char *)segs[n - 1].mem + segs[n - 1].len == mem)
			segs[n - 1].len += part;
		else if (part)
			segs[n++] = (struct iomap_bvec){ mem, part, from->owner };
	}
	piece->bio.nr_segs = n;
}

static uint16_t piece_flags(const struct iomap_bio *bio)
{
	unsigned flags = bio->flags & ~(unsigned)IOMAP_BIO_PREFLUSH;

	if (!iomapi_has_cache(bio->bdev) || !(bio->bdev->limits.caps & IOMAP_CAP_FUA))
		flags &= ~(unsigned)IOMAP_BIO_FUA;
	if (bio->atomic_bytes)
		flags |= IOMAP_BIO_ATOMIC;
	return (uint16_t)flags;
}

struct iomapi_piece *iomapi_piece_next(struct iomap_ioq *ioq, struct iomap_bio *bio)
{
	const struct iomapi_track *t = iomapi_track(bio);
	struct cut cut = next_cut(bio);
	struct iomapi_piece *piece = piece_get(ioq, bio, bio->op, cut.nr_runs > IOMAPI_SMALL_SEGS);

	if (!piece)
		return NULL;
	piece->off = t->off;
	if (bio->op != IOMAP_BIO_ZONE_APPEND)
		piece->bio.addr += t->off;
	piece->bio.flags = piece_flags(bio);
	piece->bio.grain = bio->grain;
	piece->bio.atomic_bytes = bio->atomic_bytes;
	piece->bio.len = cut.len;
	if (!cut.len) {			/* the rest of the bio fails as one piece */
		piece->bio.len = bio->len - t->off;
		piece->bio.status = -EINVAL;
	} else if (bio->nr_segs) {
		fill_segs(piece, bio, cut.len);
	}
	return piece;
}

void iomapi_piece_sent(struct iomap_bio *bio, uint64_t len)
{
	struct iomapi_track *t = iomapi_track(bio);

	t->off += len;
	if (!bio->nr_segs || is_one_run(bio) || t->off == bio->len)
		return;
	len += t->seg_off;
	while (t->seg < bio->nr_segs && len >= bio->segs[t->seg].len)
		len -= bio->segs[t->seg++].len;
	t->seg_off = len;
}
