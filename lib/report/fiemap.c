/* SPDX-License-Identifier: MIT */
/*
 * report/fiemap.c - where the extents lie: the list of them, one block, the pages of a swap file.
 *
 * A list stays one extent behind: which one is the last is known when the range is walked through,
 * and only then LAST is told (I140).  Pages of a swap file are gathered the same way: extents that
 * follow each other on the device are one run, and a run is told when the next one begins.
 *
 * Threads: any; no lock is taken here.
 */
#include <iomap/cache.h>
#include <iomap/inode.h>
#include <iomap/report.h>

#include "base/log.h"
#include "cache/cache.h"
#include "inode/inode.h"

/* The caller's functions answer 0 or negative, fill also max. */
static int answer(const struct iomap_iter *iter, const char *callback, int rc, int max)
{
	if (rc <= max)
		return rc;
	iomapi_report(iter->inode->env, .rule = max ? "I140" : "I142", .callback = callback,
		      .field = "return", .value = (uint64_t)rc, .bound = (uint64_t)max,
		      .inode = iter->inode, .pos = iter->pos, .text = "no such answer");
	return -EIO;
}

/* ---- the list ---- */

struct list {
	int (*fill)(void *arg, const struct iomap_extent *extent);
	void *arg;
	struct iomap_extent behind;	/* not told yet; empty: none */
	int64_t told_to;		/* where it ends */
	bool full;
};

static int tell(struct list *list, const struct iomap_iter *iter, uint32_t flags)
{
	int rc;

	if (!list->behind.len)
		return 0;
	list->behind.flags |= flags;
	rc = answer(iter, "fill", list->fill(list->arg, &list->behind), 1);
	list->behind.len = 0;
	list->full = rc > 0;
	return iomapi_min(rc, 0);
}

static uint32_t extent_flags(const struct iomap *map)
{
	uint32_t flags = 0;

	if (map->type == IOMAP_DELALLOC)
		flags |= IOMAP_EXTENT_DELALLOC | IOMAP_EXTENT_UNKNOWN;
	if (map->type == IOMAP_UNWRITTEN)
		flags |= IOMAP_EXTENT_UNWRITTEN;
	if (map->type == IOMAP_INLINE)
		flags |= IOMAP_EXTENT_INLINE;
	if (map->flags & IOMAP_F_SHARED)
		flags |= IOMAP_EXTENT_SHARED;
	if (map->flags & IOMAP_F_MERGED)
		flags |= IOMAP_EXTENT_MERGED;
	return flags;
}

/* A map may reach back over what was listed: it grew meanwhile, or its source cut the step. */
static void take(struct list *list, const struct iomap *map)
{
	int64_t start = iomapi_max(map->offset, list->told_to);
	uint64_t cut = (uint64_t)(start - map->offset);

	if (cut >= map->length)
		return;
	list->behind = (struct iomap_extent){
		.pos = start, .len = map->length - cut, .flags = extent_flags(map),
		.addr = map->addr == IOMAP_NULL_ADDR ? IOMAP_NULL_ADDR : map->addr + cut,
		.bdev = map->bdev,
	};
	list->told_to = start + (int64_t)list->behind.len;
}

static int list_map(struct list *list, struct iomap_iter *iter)
{
	const struct iomap *map = &iter->iomap;
	int rc = 0;

	if (map->type != IOMAP_HOLE && map->offset + (int64_t)map->length > list->told_to) {
		rc = tell(list, iter, 0);
		if (!rc && !list->full)
			take(list, map);
	}
	if (rc || list->full)
		return rc;		/* full: no progress, the loop ends */
	return iomap_iter_advance_full(iter);
}

IOMAP_API int iomap_fiemap(struct iomap_inode *inode, int64_t pos, uint64_t len, bool sync_first,
			   const struct iomap_ops *ops, void *priv,
			   int (*fill)(void *arg, const struct iomap_extent *extent), void *arg)
{
	struct iomap_iter iter = { .inode = inode, .pos = pos, .flags = IOMAP_REPORT,
				   .private_data = priv };
	struct list list = { .fill = fill, .arg = arg };
	bool stopped = false;
	int rc = 0;

	if (pos < 0 || !fill)
		return -EINVAL;
	if (iomapi_inode_killed(inode))
		return -ESTALE;
	iter.len = (uint64_t)(iomapi_end(pos, len) - pos);
	if (sync_first)
		rc = iomap_mapping_write_and_wait_range(inode, pos, pos + (int64_t)iter.len);
	if (rc)
		return rc;
	while ((rc = iomap_iter(&iter, ops)) > 0) {
		iter.status = list_map(&list, &iter);
		stopped = iter.status || list.full;
	}
	if (rc == -ENOENT && !stopped)
		rc = 0;			/* begin: there is nothing more */
	if (rc || list.full)
		return rc;
	return tell(&list, &iter, IOMAP_EXTENT_LAST);
}

/* ---- one block ---- */

IOMAP_API uint64_t iomap_bmap(struct iomap_inode *inode, uint64_t block,
			      const struct iomap_ops *ops, void *priv)
{
	struct iomap_iter iter = { .inode = inode, .flags = IOMAP_REPORT, .private_data = priv };
	uint64_t size = 1ull << inode->block_bits, addr = 0;
	int rc;

	if (iomapi_inode_killed(inode) || block >= (uint64_t)IOMAP_MAX_POS >> inode->block_bits)
		return 0;
	iter.pos = (int64_t)(block << inode->block_bits);
	iter.len = size;
	if (iomap_mapping_write_and_wait_range(inode, iter.pos, iter.pos + (int64_t)size))
		return 0;
	while ((rc = iomap_iter(&iter, ops)) > 0)	/* once: it makes no progress */
		if (iter.iomap.type == IOMAP_MAPPED)
			addr = iter.iomap.addr + (uint64_t)(iter.pos - iter.iomap.offset);
	return rc || addr & (size - 1) ? 0 : addr >> inode->block_bits;
}

/* ---- the pages of a swap file ---- */

struct pages {
	int (*add)(void *arg, uint64_t page, uint64_t nr_pages, uint64_t addr);
	void *arg;
	uint64_t addr, len;	/* of the run; len 0: none yet */
	uint64_t nr;		/* pages told */
};

static int tell_run(struct pages *pages, const struct iomap_iter *iter)
{
	uint64_t start = iomapi_round_up(pages->addr, (uint64_t)IOMAPI_PAGE);
	uint64_t end = iomapi_round_down(pages->addr + pages->len, (uint64_t)IOMAPI_PAGE), nr;
	int rc;

	pages->len = 0;
	if (start >= end)
		return 0;
	nr = (end - start) / IOMAPI_PAGE;
	rc = answer(iter, "add", pages->add(pages->arg, pages->nr, nr, start), 0);
	pages->nr += nr;
	return rc;
}

static bool can_swap(const struct iomap_iter *iter)
{
	const struct iomap *map = &iter->iomap;

	if (map->type != IOMAP_MAPPED && map->type != IOMAP_UNWRITTEN)
		return false;		/* no place of its own */
	if (map->flags & IOMAP_F_DIRTY)
		return false;		/* a crash would forget whose these blocks are */
	if (map->flags & IOMAP_F_SHARED)
		return false;		/* written in place, it would be another file's content */
	return map->bdev && map->bdev == iter->inode->bdev;
}

static int add_map(struct pages *pages, struct iomap_iter *iter)
{
	uint64_t addr = iter->iomap.addr + (uint64_t)(iter->pos - iter->iomap.offset);
	uint64_t len = iomap_length(iter);
	int rc = 0;

	if (!can_swap(iter))
		return -EINVAL;
	if (pages->len && addr != pages->addr + pages->len)
		rc = tell_run(pages, iter);
	if (rc)
		return rc;
	if (!pages->len)
		pages->addr = addr;
	pages->len += len;
	return iomap_iter_advance(iter, len);
}

IOMAP_API int iomap_swapfile_activate(struct iomap_file *file, const struct iomap_ops *ops,
				      void *priv,
				      int (*add)(void *arg, uint64_t page,
						 uint64_t nr_pages, uint64_t addr),
				      void *arg)
{
	struct iomap_iter iter = { .inode = file->inode, .flags = IOMAP_REPORT,
				   .private_data = priv };
	struct pages pages = { .add = add, .arg = arg };
	int rc;

	if (!add)
		return -EINVAL;
	rc = iomap_file_sync(file, 0, IOMAP_MAX_POS, false);
	if (rc)
		return rc;
	iter.len = (uint64_t)iomapi_round_down(iomap_inode_size(file->inode), IOMAPI_PAGE);
	while ((rc = iomap_iter(&iter, ops)) > 0)
		iter.status = add_map(&pages, &iter);
	if (!rc)
		rc = tell_run(&pages, &iter);
	if (rc)
		return rc;
	return pages.nr > 1 ? 0 : -EINVAL;
}
