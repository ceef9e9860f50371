/* SPDX-License-Identifier: MIT */
/*
 * writeback/stock.c - where ioends come from and go back to, and as what each begins.
 *
 * All ioends of an environment are made when it is, as bios with front padding: the private half,
 * the public struct with the bio last, the segments.  A wpc keeps those it has reserved in a chain
 * of its own.
 *
 * Threads: an ioend belongs to one thread at a time; the pool and the counts to all.
 */
#include <string.h>

#include "block/block.h"
#include "inode/inode.h"
#include "writeback/writeback.h"

/* ---- the pool ---- */

static int room_init(struct iomap_env *env, void **state)
{
	const struct iomap_env_opts *opts = iomapi_env_opts(env);
	struct iomapi_writeback *room = iomapi_zalloc(env, sizeof(*room));
	uint32_t nr = opts->nr_ioends, segs = iomapi_min(opts->nr_segs, IOMAPI_IOEND_FOLIOS);
	int rc;

	if (!room)
		return -ENOMEM;
	rc = iomapi_bio_pool_new(env, offsetof(struct iomapi_ioend, ioend.bio), nr, segs, nr / 8,
				 &room->pool);
	if (rc) {
		iomapi_free(env, room, sizeof(*room));
		return rc;
	}
	room->env = env;
	room->nr_ioends = nr;
	*state = room;
	return 0;
}

static void room_fini(struct iomap_env *env, void *state)
{
	struct iomapi_writeback *room = state;

	iomap_bio_pool_delete(&room->pool);
	iomapi_free(env, room, sizeof(*room));
}

const struct iomapi_room iomapi_room_writeback = { .init = room_init, .fini = room_fini };

struct iomapi_writeback *iomapi_writeback(struct iomap_env *env)
{
	return iomapi_room(env, IOMAPI_ROOM_WRITEBACK);
}

IOMAP_API struct iomap_bio_pool *iomap_ioend_bio_pool(struct iomap_env *env)
{
	return iomapi_writeback(env)->pool;
}

IOMAP_API struct iomap_ioend *iomap_ioend_from_bio(struct iomap_bio *bio)
{
	return iomap_container_of(bio, struct iomap_ioend, bio);
}

static struct iomapi_ioend *from_bio(struct iomap_bio *bio)
{
	return iomapi_ioend(iomap_ioend_from_bio(bio));
}

bool iomapi_ioend_reserve_one(struct iomap_writeback_ctx *wpc)
{
	struct iomapi_writeback *room = iomapi_writeback(wpc->inode->env);
	struct iomapi_wpc *st = iomapi_wpc(wpc);
	struct iomap_bio *bio = iomapi_bio_pool_get(room->pool, true);
	struct iomapi_ioend *px;

	if (!bio)
		return false;
	px = from_bio(bio);
	px->room = room;
	px->next = st->reserved;
	st->reserved = px;
	st->nr_reserved++;
	return true;
}

struct iomapi_ioend *iomapi_ioend_take_reserved(struct iomap_writeback_ctx *wpc)
{
	struct iomapi_wpc *st = iomapi_wpc(wpc);
	struct iomapi_ioend *px;

	if (!st->reserved && !iomapi_ioend_reserve_one(wpc))
		return NULL;
	px = st->reserved;
	st->reserved = px->next;
	st->nr_reserved--;
	return px;
}

/* Counts first: the pool's word, bumped last, is what sends a waiter to look at them. */
static void to_pool(struct iomapi_ioend *px, uint32_t state)
{
	struct iomapi_writeback *room = px->room;

	if (state & IOMAPI_IOEND_SENT)
		iomapi_sub(&room->nr_sent, 1);
	if (state & IOMAPI_IOEND_HELD)
		iomapi_sub(&room->nr_held, 1);
	iomap_bio_pool_put(room->pool, &px->ioend.bio);
}

void iomapi_ioend_free(struct iomapi_ioend *px)
{
	to_pool(px, px->state);
}

void iomapi_ioend_unreserve(struct iomap_writeback_ctx *wpc)
{
	struct iomapi_wpc *st = iomapi_wpc(wpc);

	while (st->reserved) {
		struct iomapi_ioend *px = st->reserved;

		st->reserved = px->next;
		to_pool(px, 0);
	}
	st->nr_reserved = 0;
}

/* ---- a new one ---- */

/* The public fields up to the bio. */
static void reset_public(struct iomap_ioend *ioend, struct iomap_inode *inode, int64_t offset,
			 uint32_t flags)
{
	iomapi_list_init(&ioend->list);
	ioend->inode = inode;
	ioend->parent = NULL;
	ioend->offset = offset;
	ioend->size = 0;
	ioend->addr = 0;
	ioend->flags = flags;
	ioend->nr_folios = 0;
	ioend->remaining = 1;
	ioend->error = 0;
	ioend->client_key = 0;
	ioend->client_max = 0;
	ioend->wb_seq = 0;
	iomapi_list_init(&ioend->inflight);
	iomapi_list_init(&ioend->merged);
	memset(ioend->opaque, 0, sizeof(ioend->opaque));
	memset(ioend->spare, 0, sizeof(ioend->spare));
}

/* The private half but its place in the pool, and the map, which says nothing while map_end is
 * not behind the last range. */
void iomapi_ioend_reset(struct iomapi_ioend *px, struct iomap_inode *inode, int64_t offset,
			uint32_t flags)
{
	px->state = 0;
	px->why = 0;
	px->nr_runs = 0;
	px->max_runs = 0;
	px->last = NULL;
	px->mem_end = NULL;
	px->next_pos = 0;
	px->dontcache_mask = 0;
	px->dontcache = 0;
	px->map_end = 0;
	px->max_bytes = 0;
	px->unit = 0;
	px->unsent = 1;
	px->walk = 0;
	px->first = 0;
	px->cut = 0;
	px->resend = 0;
	px->nr_resend = 0;
	px->resend_status = 0;
	px->end_io = NULL;
	px->piece_end = NULL;
	reset_public(&px->ioend, inode, offset, flags);
}

struct iomapi_ioend *iomapi_ioend_new_piece(struct iomapi_ioend *px)
{
	struct iomap_bio *bio = iomapi_bio_pool_get(px->room->pool, true), *from = &px->ioend.bio;
	struct iomapi_ioend *front;

	if (!bio)
		return NULL;
	front = from_bio(bio);
	front->room = px->room;
	iomapi_ioend_reset(front, px->ioend.inode, px->ioend.offset, px->ioend.flags);
	bio->bdev = from->bdev;
	bio->op = from->op;
	bio->addr = from->addr;
	bio->ioq = from->ioq;
	bio->priority = from->priority;
	bio->flags = from->flags;
	bio->grain = from->grain;
	bio->atomic_bytes = from->atomic_bytes;
	bio->end_io = from->end_io;
	bio->piece_end = from->piece_end;
	bio->owner = from->owner;
	front->why = IOMAP_WHY_SIZE;
	front->state = IOMAPI_IOEND_HELD;
	iomapi_add(&px->room->nr_held, 1);
	front->unit = px->unit;
	front->ioend.addr = px->ioend.addr;
	front->ioend.client_key = px->ioend.client_key;
	front->ioend.client_max = px->ioend.client_max;
	front->ioend.wb_seq = px->ioend.wb_seq;
	return front;
}

IOMAP_API struct iomap_ioend *iomap_init_ioend(struct iomap_inode *inode, struct iomap_bio *bio,
					       int64_t offset, unsigned ioend_flags)
{
	struct iomapi_ioend *px = from_bio(bio);

	px->room = iomapi_writeback(inode->env);
	iomapi_ioend_reset(px, inode, offset, ioend_flags);
	px->ioend.size = bio->len;
	px->ioend.addr = bio->addr;
	px->unit = 1ull << inode->block_bits;
	/* Of a killed inode: submit ends it, there is nothing to wait for. */
	if (!iomapi_inode_ioend_start(inode, &px->ioend))
		px->state |= IOMAPI_IOEND_COUNTED;
	return &px->ioend;
}
