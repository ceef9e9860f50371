/* SPDX-License-Identifier: MIT */
/*
 * map/map.h - the map validator, for whoever is handed a map, and what a step of the loop lets go.
 */
#ifndef IOMAPI_MAP_H
#define IOMAPI_MAP_H

#include <iomap/bdev.h>
#include <iomap/inode.h>
#include <iomap/map.h>

#include "base/env.h"

/* Stale rounds without progress before the loop gives up (V14). */
#define IOMAPI_MAX_STALE 1000

/*
 * What a map came out of begin for: 0, or -EIO after a report naming rule, callback and field.
 * src: NULL or the source map.  size: of the file before begin was called; a map may end inside a
 * block where the file ended then or ends now, for it may grow meanwhile.  Refreshes the device's
 * size once where the map lies beyond it.
 */
int iomapi_map_check(struct iomap_inode *inode, const struct iomap *map, const struct iomap *src,
		     int64_t pos, uint64_t len, unsigned op_flags, int64_t size);
/*
 * The same for a map that writeback_range left in the wpc and that covers [pos, pos + len) only in
 * part, perhaps: checked before each use, so it is short.  len: what was offered, before any
 * trimming.  end_pos: the file's end as seen for this folio; a map may end inside a block there.
 * limits: of the map's device, or of the inode's for an anonymous map; NULL: a client without a
 * device.
 */
int iomapi_map_check_writeback(struct iomap_inode *inode, const struct iomap *map, int64_t pos,
			       uint64_t len, int64_t end_pos,
			       const struct iomap_bdev_limits *limits);

/* What iter->batch points to: whoever collects folios under begin puts this first.  The iterator
 * calls release exactly once, after the step or when a callback failed (I12). */
struct iomapi_batch {
	void (*release)(struct iomapi_batch *batch);
};
/* An operation that can use a batch brings the memory for it, before its loop; who collects under
 * begin finds it here.  NULL: this operation has no use for one. */
void iomapi_iter_bring_batch(struct iomap_iter *iter, struct iomapi_batch *room);
struct iomapi_batch *iomapi_iter_batch_room(const struct iomap_iter *iter);

#endif
