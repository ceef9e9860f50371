/* SPDX-License-Identifier: MIT */
/*
 * pair_map.c - the callbacks of the library.
 *
 * Begin gives what is a hole its place at once, unwritten; a completion makes it written and moves
 * the size.  Both are in the root in memory, which the next sync of either file makes durable.
 */
#include <errno.h>
#include <string.h>

#include "pair_parts.h"

static struct pair_file *file_of(struct iomap_inode *inode)
{
	return iomap_container_of(inode, struct pair_file, inode);
}

/* ---- maps ---- */

uint64_t pair_place(unsigned file, unsigned block)
{
	return (uint64_t)(2 + file * 10 + block + (block >= PAIR_BLOCKS / 2)) * PAIR_BLOCK;
}

static void fill_map(struct pair_file *f, int64_t pos, struct iomap *map)
{
	static const uint16_t types[] = {
		[PAIR_HOLE] = IOMAP_HOLE, [PAIR_UNWRITTEN] = IOMAP_UNWRITTEN,
		[PAIR_WRITTEN] = IOMAP_MAPPED,
	};
	const uint8_t *state = f->pair->root->state[f->nr];
	unsigned first = (unsigned)(pos / PAIR_BLOCK), end = first + 1;
	bool beyond = first >= PAIR_BLOCKS;

	map->type = beyond ? IOMAP_HOLE : types[state[first]];
	map->bdev = f->pair->bdev;
	map->offset = (int64_t)first * PAIR_BLOCK;
	map->addr = IOMAP_NULL_ADDR;
	map->length = (uint64_t)(IOMAP_MAX_POS / PAIR_BLOCK - first) * PAIR_BLOCK;
	if (beyond)
		return;
	while (end < PAIR_BLOCKS && state[end] == state[first] &&
	       pair_place(f->nr, end) == pair_place(f->nr, end - 1) + PAIR_BLOCK)
		end++;
	map->length = (uint64_t)(end - first) * PAIR_BLOCK;
	if (state[first] != PAIR_HOLE)
		map->addr = pair_place(f->nr, first);
}

static void allocate(struct pair_file *f, unsigned first, unsigned end)
{
	uint8_t *state = f->pair->root->state[f->nr];

	for (unsigned b = first; b < end; b++) {
		if (state[b] != PAIR_HOLE)
			continue;
		state[b] = f->pair->bug == PAIR_BUG_EARLY ? PAIR_WRITTEN : PAIR_UNWRITTEN;
		f->pair->changed = true;
	}
}

static int give(struct pair_file *f, int64_t pos, uint64_t len, unsigned flags, struct iomap *map)
{
	bool fresh;

	if ((flags & IOMAP_WRITE) && (pos >= PAIR_BYTES || len > (uint64_t)(PAIR_BYTES - pos)))
		return -ENOSPC;
	fill_map(f, pos, map);
	if (!(flags & IOMAP_WRITE))
		return 0;
	fresh = map->type == IOMAP_HOLE;
	if (fresh) {
		allocate(f, (unsigned)(map->offset / PAIR_BLOCK),
			 (unsigned)((pos + (int64_t)len + PAIR_BLOCK - 1) / PAIR_BLOCK));
		fill_map(f, pos, map);
		map->flags = IOMAP_F_NEW;
	}
	if (f->pair->bug == PAIR_BUG_EARLY && pos + (int64_t)len > f->pair->root->size[f->nr])
		f->pair->root->size[f->nr] = pos + (int64_t)len;
	return 0;
}

/* With the faults that the simulator has for callbacks. */
static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct pair_file *f = file_of(inode);
	int rc = (int)iomap_sim_answer(f->pair->sim, NULL, 0);

	(void)srcmap, (void)priv;
	if (!rc)
		rc = give(f, pos, len, flags, map);
	return (int)iomap_sim_answer(f->pair->sim, map, rc);
}

/* No end: a block that stays unwritten does no harm. */
const struct iomap_ops pair_map_ops = {
	.struct_size = sizeof(pair_map_ops), .iomap_begin = begin,
};

/* ---- writeback ---- */

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	struct iomap *map = &wpc->iomap;

	if (pos < map->offset || pos >= map->offset + (int64_t)map->length) {
		memset(map, 0, sizeof(*map));
		fill_map(file_of(wpc->inode), pos, map);
	}
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

static void defer(struct iomap_bio *bio)
{
	iomap_ioend_defer(iomap_ioend_from_bio(bio));
}

static int submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = wb_ctx;

	ioend->bio.end_io = defer;
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = range, .writeback_submit = submit,
};

static int writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &wb_ops };

	return iomap_writepages(&wpc);
}

/* The data are there: they count from now on. */
static void written(struct pair_file *f, const struct iomap_ioend *ioend)
{
	struct pair_root *root = f->pair->root;
	int64_t end = ioend->offset + (int64_t)ioend->size;

	for (int64_t b = ioend->offset / PAIR_BLOCK; b * PAIR_BLOCK < end; b++) {
		f->pair->changed |= root->state[f->nr][b] != PAIR_WRITTEN;
		root->state[f->nr][b] = PAIR_WRITTEN;
	}
	if (end > root->size[f->nr]) {
		root->size[f->nr] = end;
		f->pair->changed = true;
	}
}

static void complete_ioends(struct iomap_inode *inode, struct iomap_list *ioends)
{
	struct iomap_list *l;

	iomap_sort_ioends(ioends);
	while ((l = iomap_list_pop(ioends))) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		iomap_ioend_try_merge(ioend, ioends);
		if (!ioend->error)
			written(file_of(inode), ioend);
		iomap_finish_ioends(ioend, ioend->error);
	}
}

/* ---- the tables ---- */

static int sync_metadata(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
			 bool *flushed)
{
	struct pair *p = file_of(inode)->pair;

	(void)start, (void)end;
	*flushed = false;
	return datasync && p->bug == PAIR_BUG_SIZE ? 0 : pair_root_commit(p, flushed);
}

static int volume_sync_metadata(struct iomap_volume *volume, bool *flushed)
{
	return pair_root_commit(iomap_volume_owner(volume), flushed);
}

/* The inodes live as long as the cache. */
static bool tryget(struct iomap_inode *inode)
{
	(void)inode;
	return true;
}

static void put(struct iomap_inode *inode)
{
	(void)inode;
}

const struct iomap_inode_ops pair_inode_ops = {
	.struct_size = sizeof(pair_inode_ops), .writepages = writepages,
	.sync_metadata = sync_metadata, .tryget = tryget, .put = put,
	.complete_ioends = complete_ioends,
};
const struct iomap_volume_ops pair_volume_ops = {
	.struct_size = sizeof(pair_volume_ops), .sync_metadata = volume_sync_metadata,
};
