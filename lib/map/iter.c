/* SPDX-License-Identifier: MIT */
/*
 * map/iter.c - the loop of begin, body and end.
 *
 * One call of iomap_iter is one step: tell end how far the body came, decide whether to go on, ask
 * begin for the next map and check it.  What a step needs to remember lies in iter->opaque, so an
 * iterator is on its caller's stack and nothing is allocated.
 *
 *	iomap_iter	  end the last map -> go on? -> begin the next one
 *	the body	  works in [pos, pos + iomap_length), advances, sets status
 *
 * The public words pos and len are the truth about progress: a negative end takes them back to
 * where its map began (I9, H7), so that the caller's "bytes if any, else the error" (I13) is
 * simply how far pos moved.
 *
 * Threads: an iterator belongs to the thread that runs the operation; no lock is taken here.
 */
#include <string.h>

#include <iomap/volume.h>

#include "base/log.h"
#include "base/trace.h"
#include "map/map.h"

/* Lies right behind start_pos and batch, which lie right behind the two maps: what a client writes
 * past the end of a map hits start_pos first, then this (V12). */
struct state {
	uint64_t guard;
	uint64_t work;		/* bytes of this map's work; what end is told as len */
	uint32_t mapped;	/* begin succeeded: an end is due */
	uint32_t stale;		/* rounds without progress */
	struct iomapi_batch *room;	/* for a batch; NULL: none is wanted */
} __attribute__((may_alias));
_Static_assert(sizeof(struct state) <= sizeof(((struct iomap_iter *)0)->opaque),
	       "the state fits");
_Static_assert(offsetof(struct iomap_iter, srcmap) ==
	       offsetof(struct iomap_iter, iomap) + sizeof(struct iomap),
	       "the maps are neighbours");
_Static_assert(offsetof(struct iomap_iter, start_pos) ==
	       offsetof(struct iomap_iter, srcmap) + sizeof(struct iomap),
	       "start_pos is the first word behind the maps");

#define GUARD	0x6961f0a55a0f1669ull

static struct state *state_of(struct iomap_iter *iter)
{
	return (struct state *)(void *)iter->opaque;
}

static const struct state *const_state_of(const struct iomap_iter *iter)
{
	return (const struct state *)(const void *)iter->opaque;
}

void iomapi_iter_bring_batch(struct iomap_iter *iter, struct iomapi_batch *room)
{
	state_of(iter)->room = room;
}

struct iomapi_batch *iomapi_iter_batch_room(const struct iomap_iter *iter)
{
	return const_state_of(iter)->room;
}

/* ---- how far a map reaches ---- */

/* From pos to the end of the map; 0 when the map does not contain pos.  Also asked about maps that
 * were refused, so nothing here may wrap. */
static uint64_t reach(const struct iomap *map, int64_t pos)
{
	uint64_t into = (uint64_t)pos - (uint64_t)map->offset;

	if (map->offset < 0 || pos < map->offset || into >= map->length)
		return 0;
	return map->length - into;
}

IOMAP_API uint64_t iomap_length_trim(const struct iomap_iter *iter, int64_t pos, uint64_t len)
{
	uint64_t max = reach(&iter->iomap, pos);

	len = iomapi_min(len, max);
	if (iter->srcmap.type == IOMAP_HOLE)
		return len;
	max = reach(&iter->srcmap, pos);
	return iomapi_min(len, max);
}

IOMAP_API uint64_t iomap_length(const struct iomap_iter *iter)
{
	return iomap_length_trim(iter, iter->pos, iter->len);
}

IOMAP_API const struct iomap *iomap_iter_srcmap(const struct iomap_iter *iter)
{
	return iter->srcmap.type == IOMAP_HOLE ? &iter->iomap : &iter->srcmap;
}

IOMAP_API int64_t iomap_last_written_block(const struct iomap_inode *inode, int64_t pos,
					   int64_t written)
{
	uint64_t block = 1ull << inode->block_bits, end;

	if (written <= 0)
		return (int64_t)iomapi_round_down((uint64_t)pos, block);
	end = iomapi_round_up((uint64_t)iomapi_end(pos, (uint64_t)written), block);
	return end > IOMAP_MAX_POS ? IOMAP_MAX_POS : (int64_t)end;
}

/* ---- for the body ---- */

IOMAP_API int iomap_iter_advance(struct iomap_iter *iter, uint64_t len)
{
	uint64_t max = iomap_length(iter);

	if (iomapi_unlikely(len > max)) {
		iomapi_report(iter->inode->env, .rule = "I5", .callback = "iomap_iter_advance",
			      .field = "len", .value = len, .bound = max, .inode = iter->inode,
			      .pos = iter->pos, .text = "advanced beyond the map");
		return -EIO;
	}
	iter->pos += (int64_t)len;
	iter->len -= len;
	return 0;
}

IOMAP_API int iomap_iter_advance_full(struct iomap_iter *iter)
{
	return iomap_iter_advance(iter, iomap_length(iter));
}

/* ---- end of a step ---- */

/* Folios collected under begin are let go on every way out of a step (I12). */
static void drop_batch(struct iomap_iter *iter)
{
	struct iomapi_batch *batch = iter->batch;

	iter->batch = NULL;
	if (batch)
		batch->release(batch);
}

/* A callback answers 0 or a negative errno; anything else is nonsense. */
static int answer(struct iomap_iter *iter, const char *rule, const char *callback, int rc)
{
	return iomapi_answer(iter->inode->env, rc, .rule = rule, .callback = callback,
			     .inode = iter->inode, .pos = iter->start_pos);
}

/* Every map that begin handed out gets here exactly once (I1), with the bytes that were really
 * advanced (I10). */
static int end_map(struct iomap_iter *iter, const struct iomap_ops *ops)
{
	struct state *st = state_of(iter);
	int64_t start = iter->start_pos, done = iter->pos - start;
	int rc = 0;

	iomapi_assert(done >= 0 && (uint64_t)done <= st->work);
	st->mapped = 0;
	if (ops->iomap_end)
		rc = ops->iomap_end(iter->inode, start, st->work, done, iter->flags,
				    &iter->iomap, &iter->srcmap, iter->private_data);
	rc = answer(iter, "I9", "iomap_end", rc);
	iomapi_trace(iter->inode->env, .event = IOMAP_TRACE_ITER_END, .result = rc,
		     .inode = iter->inode, .pos = start, .len = (uint64_t)done,
		     .flags = iter->flags);
	if (rc) {		/* H7: what was not committed was not done */
		iter->pos = start;
		iter->len += (uint64_t)done;
	}
	drop_batch(iter);
	return rc;
}

/* > 0 another map is wanted. */
static int go_on(struct iomap_iter *iter, uint64_t advanced, bool stale)
{
	struct state *st = state_of(iter);

	drop_batch(iter);
	if (iter->status)
		return answer(iter, "I8", "iomap_iter", iter->status);
	if (!iter->len)
		return 0;
	if (advanced) {
		st->stale = 0;
		return 1;
	}
	if (!stale)		/* I6: asking again would change nothing */
		return 0;
	if (++st->stale < IOMAPI_MAX_STALE)
		return 1;
	iomapi_report(iter->inode->env, .rule = "V14", .callback = "iomap_begin", .field = "flags",
		      .value = st->stale, .bound = IOMAPI_MAX_STALE, .inode = iter->inode,
		      .pos = iter->pos, .text = "each map is stale before it can be used");
	st->stale = 0;
	return -EIO;
}

static void clear_maps(struct iomap_iter *iter)
{
	memset(&iter->iomap, 0, sizeof(iter->iomap));
	memset(&iter->srcmap, 0, sizeof(iter->srcmap));
}

IOMAP_API int iomap_iter_continue(struct iomap_iter *iter, uint64_t advanced)
{
	int rc = go_on(iter, advanced, iter->iomap.flags & IOMAP_F_STALE);

	if (rc > 0)
		clear_maps(iter);
	return rc;
}

/* ---- begin of a step ---- */

static int bad_request(const struct iomap_iter *iter, const struct iomap_ops *ops)
{
	if (!ops || ops->struct_size < sizeof(*ops) || !ops->iomap_begin)
		return -EINVAL;		/* a table older than the first release */
	if (iter->pos < 0)
		return -EINVAL;
	if (iter->len > (uint64_t)(IOMAP_MAX_POS - iter->pos))
		return -EFBIG;		/* no map could reach so far */
	return 0;
}

/* The words around the two maps are as they were before begin; if not, put them right, for what
 * follows (the end that is due, the caller's loop) relies on them. */
static int check_guards(struct iomap_iter *iter, int64_t pos, void *priv)
{
	struct state *st = state_of(iter);
	const char *field = NULL;

	if (iomapi_likely(iter->start_pos == pos && st->guard == GUARD &&
			  iter->private_data == priv))
		return 0;
	if (iter->private_data != priv)
		field = "before map";
	if (iter->start_pos != pos || st->guard != GUARD) {
		field = "behind srcmap";
		iter->batch = NULL;	/* between the two: not to be trusted */
	}
	iomapi_report(iter->inode->env, .rule = "V12", .callback = "iomap_begin", .field = field,
		      .value = st->guard, .bound = GUARD, .inode = iter->inode, .pos = pos,
		      .text = "wrote outside the maps");
	iter->start_pos = pos;
	iter->private_data = priv;
	*st = (struct state){ .guard = GUARD };
	return -EIO;
}

static int check_map(struct iomap_iter *iter, int64_t size)
{
	if (iomapi_unlikely((iter->iomap.flags & IOMAP_F_FOLIO_BATCH) && !iter->batch)) {
		iomapi_report(iter->inode->env, .rule = "V3", .callback = "iomap_begin",
			      .field = "flags", .value = iter->iomap.flags,
			      .bound = IOMAP_F_FOLIO_BATCH, .inode = iter->inode,
			      .pos = iter->pos, .text = "a flag of the library, and no batch");
		return -EIO;
	}
	return iomapi_map_check(iter->inode, &iter->iomap, &iter->srcmap, iter->pos, iter->len,
				iter->flags, size);
}

/* begin reserved something and then described it badly: it must still hear of an end, with nothing
 * written.  What it was asked for stands in for a length that its maps do not give. */
static int refuse_map(struct iomap_iter *iter, const struct iomap_ops *ops, int error)
{
	struct state *st = state_of(iter);

	st->work = iomap_length(iter);
	if (!st->work)
		st->work = iter->len;
	(void)end_map(iter, ops);
	return error;
}

static int begin_map(struct iomap_iter *iter, const struct iomap_ops *ops)
{
	struct iomap_inode *inode = iter->inode;
	struct state *st = state_of(iter);
	uint32_t stale = st->stale;
	void *priv = iter->private_data;
	int64_t pos = iter->pos;
	/* before begin: the map may end where the file ended then, and it may have grown since */
	int64_t size = iomap_inode_size(inode);
	int rc, wrong;

	clear_maps(iter);
	iter->start_pos = pos;
	iter->status = 0;
	st->guard = GUARD;
	rc = ops->iomap_begin(inode, pos, iter->len, iter->flags, &iter->iomap, &iter->srcmap,
			      priv);
	wrong = check_guards(iter, pos, priv);
	rc = answer(iter, "I1", "iomap_begin", rc);
	iomapi_trace(inode->env, .event = IOMAP_TRACE_ITER_BEGIN, .result = rc, .inode = inode,
		     .pos = pos, .len = iter->len, .flags = iter->flags);
	if (rc) {
		drop_batch(iter);
		return rc;
	}
	st->mapped = 1;
	st->stale = stale;
	if (!wrong)
		wrong = check_map(iter, size);
	if (wrong)
		return refuse_map(iter, ops, wrong);
	st->work = iomap_length(iter);
	iomapi_trace(inode->env, .event = IOMAP_TRACE_MAP, .inode = inode,
		     .bdev = iter->iomap.bdev, .pos = iter->iomap.offset,
		     .len = iter->iomap.length, .addr = iter->iomap.addr,
		     .type = iter->iomap.type, .flags = iter->iomap.flags);
	if (iter->srcmap.type != IOMAP_HOLE)
		iomapi_trace(inode->env, .event = IOMAP_TRACE_SRCMAP, .inode = inode,
			     .bdev = iter->srcmap.bdev, .pos = iter->srcmap.offset,
			     .len = iter->srcmap.length, .addr = iter->srcmap.addr,
			     .type = iter->srcmap.type, .flags = iter->srcmap.flags);
	return 1;
}

IOMAP_API int iomap_iter(struct iomap_iter *iter, const struct iomap_ops *ops)
{
	int rc;

	if (state_of(iter)->mapped) {
		uint64_t advanced = (uint64_t)(iter->pos - iter->start_pos);
		bool stale = iter->iomap.flags & IOMAP_F_STALE;	/* end may write to the map */

		rc = end_map(iter, ops);
		if (!rc)
			rc = go_on(iter, advanced, stale);
		if (rc <= 0)
			return rc;
	}
	if (!iter->len)
		return 0;
	rc = bad_request(iter, ops);
	if (!rc)
		rc = iomap_volume_error(iter->inode->volume);
	return rc ? rc : begin_map(iter, ops);
}
