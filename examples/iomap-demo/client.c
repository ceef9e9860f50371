/* SPDX-License-Identifier: MIT */
/*
 * client.c - one file on one device, its extents in memory.
 *
 * Reading   begin hands out the extent that holds the position.
 * Writing   begin hands out the extent as NEW (whatever stood there is not needed), or with
 *           delalloc one promise of space without an address: writeback_range finds the place.
 * Writeback UNWRITTEN and SHARED extents become plain ones when their data are written: such an
 *           ioend gets our end_io, which defers it, and complete_ioends does the change.
 */
#include <errno.h>
#include <string.h>

#include "client.h"

#define CLIENT(i)	iomap_container_of(i, struct client, inode)

/* ---- extents ---- */

static struct extent *find(struct client *c, int64_t pos)
{
	unsigned low = 0, high = c->nr_extents;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (c->extents[mid].pos + (int64_t)c->extents[mid].len <= pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low < c->nr_extents ? &c->extents[low] : NULL;
}

static int lookup(struct client *c, int64_t pos, struct iomap *map)
{
	const struct extent *x = find(c, pos);

	if (!x)
		return -EIO;
	map->type = x->type;
	map->flags = x->flags;
	map->bdev = c->bdev;
	map->offset = x->pos;
	map->length = x->len;
	map->addr = x->type == IOMAP_HOLE ? IOMAP_NULL_ADDR : x->addr;
	return 0;
}

/* Cut the extent at pos, so that one begins there. */
static int cut(struct client *c, int64_t pos)
{
	struct extent *x = find(c, pos);
	uint64_t front;

	if (!x || x->pos == pos)
		return 0;
	if (c->nr_extents == c->max_extents)
		return -ENOSPC;
	front = (uint64_t)(pos - x->pos);
	memmove(x + 1, x, (size_t)(c->extents + c->nr_extents++ - x) * sizeof(*x));
	x[0].len = front;
	x[1].pos = pos;
	x[1].len -= front;
	x[1].addr += front;
	x[1].flags &= (uint16_t)~IOMAP_F_BOUNDARY;
	return 0;
}

/* The data are there: what was unwritten or shared is plain from now on. */
static int convert(struct client *c, int64_t pos, uint64_t len)
{
	int64_t end = (pos + (int64_t)len + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	int rc = cut(c, pos);
	struct extent *x;

	if (!rc)
		rc = cut(c, end);
	if (rc)
		return rc;
	for (x = find(c, pos); x && x < c->extents + c->nr_extents && x->pos < end; x++) {
		x->type = IOMAP_MAPPED;
		x->flags &= (uint16_t)~IOMAP_F_SHARED;
	}
	c->converted += len;
	return 0;
}

/* ---- begin and end ---- */

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct client *c = CLIENT(inode);
	const struct extent *last = &c->extents[c->nr_extents - 1];
	int rc;

	(void)len, (void)srcmap, (void)priv;
	if (!(flags & IOMAP_WRITE))
		return lookup(c, pos, map);
	if (!c->delalloc) {
		rc = lookup(c, pos, map);
		map->flags |= IOMAP_F_NEW;
		return rc;
	}
	map->type = IOMAP_DELALLOC;
	map->flags = IOMAP_F_NEW;
	map->addr = IOMAP_NULL_ADDR;
	map->length = (uint64_t)last->pos + last->len;
	return 0;
}

/* No end: nothing was reserved that would have to be given back. */
const struct iomap_ops client_iomap_ops = {
	.struct_size = sizeof(client_iomap_ops), .iomap_begin = begin,
};

/* ---- writeback ---- */

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	struct iomap *map = &wpc->iomap;

	if (pos < map->offset || pos >= map->offset + (int64_t)map->length) {
		int rc;

		memset(map, 0, sizeof(*map));
		rc = lookup(CLIENT(wpc->inode), pos, map);
		if (rc)
			return rc;
	}
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

static void deferred_end_io(struct iomap_bio *bio)
{
	iomap_ioend_defer(iomap_ioend_from_bio(bio));
}

static int submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = wb_ctx;

	CLIENT(wpc->inode)->nr_ioends++;
	if (ioend->flags & (IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_SHARED))
		ioend->bio.end_io = deferred_end_io;
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = range, .writeback_submit = submit,
};

static void complete_ioends(struct iomap_inode *inode, struct iomap_list *ioends)
{
	struct iomap_list *l;

	iomap_sort_ioends(ioends);
	while ((l = iomap_list_pop(ioends))) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);
		int rc;

		iomap_ioend_try_merge(ioend, ioends);
		rc = ioend->error;
		if (!rc && ioend->flags & (IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_SHARED))
			rc = convert(CLIENT(inode), ioend->offset, ioend->size);
		iomap_finish_ioends(ioend, rc);
	}
}

/* ---- the inode's table ---- */

static int writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &wb_ops };

	if (CLIENT(inode)->max_ioend_bytes)
		wbc->max_ioend_bytes = CLIENT(inode)->max_ioend_bytes;
	return iomap_writepages(&wpc);
}

/* The extents live in memory only: there is no metadata to commit. */
static int sync_metadata(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
			 bool *flushed)
{
	(void)inode, (void)start, (void)end, (void)datasync;
	*flushed = false;
	return 0;
}

static int volume_sync_metadata(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	*flushed = false;
	return 0;
}

/* The inode lives as long as the cache. */
static bool tryget(struct iomap_inode *inode)
{
	(void)inode;
	return true;
}

static void put(struct iomap_inode *inode)
{
	(void)inode;
}

static const struct iomap_inode_ops inode_ops = {
	.struct_size = sizeof(inode_ops), .writepages = writepages, .sync_metadata = sync_metadata,
	.tryget = tryget, .put = put, .complete_ioends = complete_ioends,
};
static const struct iomap_volume_ops volume_ops = {
	.struct_size = sizeof(volume_ops), .sync_metadata = volume_sync_metadata,
};

/* ---- open and close ---- */

static int open_inode(struct client *c, const struct client_opts *opts)
{
	struct iomap_cache_opts cache = {
		.struct_size = sizeof(cache), .bytes = opts->cache_bytes,
		.max_folio = opts->max_folio,
		/* the more may be dirty, the more finds its neighbours before it is sent */
		.dirty_limit = opts->cache_bytes / 4 * 3,
		.background_limit = opts->cache_bytes / 2,
	};
	struct iomap_inode_opts inode = {
		.struct_size = sizeof(inode), .ops = &inode_ops, .bdev = c->bdev, .block_bits = 12,
	};
	int rc = iomap_cache_new(c->env, &cache, &c->cache);

	if (!rc)
		rc = iomap_volume_new(c->env, c->cache, &volume_ops, c, &c->volume);
	inode.volume = c->volume;
	inode.env = c->env;
	if (!rc)
		rc = iomap_inode_init(&c->inode, &inode);
	c->inode_open = !rc;
	if (!rc) {
		rc = iomap_file_open(&c->file, &c->inode, 0);
		c->file_open = !rc;
	}
	return rc;
}

int client_open(struct client *c, struct demo *d, const struct client_opts *opts)
{
	struct iomap_env_opts env = d->env;
	int rc;

	memset(c, 0, sizeof(*c));
	c->demo = d;
	env.struct_size = sizeof(env);
	env.log = demo_log;
	env.log_arg = d;
	env.trace = opts->trace;
	env.trace_arg = opts->trace_arg;
	device_env(opts->device, &env);
	rc = iomap_env_new(&env, &c->env);
	if (!rc)
		rc = iomap_ioq_new(c->env, NULL, &c->ioq);
	if (rc)
		return demo_error(d, rc, "cannot start");
	rc = iomap_bdev_open(c->ioq, opts->device->spec, NULL, &c->bdev);
	if (rc)
		return device_open_error(d, rc, opts->device->given);
	rc = open_inode(c, opts);
	if (!rc) {
		c->max_extents = opts->max_extents;
		c->extents = demo_alloc(d, c->max_extents * sizeof(*c->extents));
		rc = c->extents ? 0 : -ENOMEM;
	}
	return rc ? demo_error(d, rc, "cannot start") : 0;
}

/* What is still dirty after an error is given up here; after a good sync there is nothing. */
void client_close(struct client *c)
{
	uint64_t errseq;

	if (c->file_open)
		iomap_file_close(&c->file);
	if (c->inode_open) {
		iomap_inode_evict(&c->inode, IOMAP_EVICT_DISCARD, &errseq);
		iomap_inode_fini(&c->inode);
	}
	if (c->volume)
		iomap_volume_delete(&c->volume);
	if (c->cache)
		iomap_cache_delete(&c->cache);
	if (c->bdev)
		iomap_bdev_close(&c->bdev);
	if (c->ioq)
		iomap_ioq_delete(&c->ioq);
	if (c->env)
		iomap_env_delete(&c->env);
	demo_free(c->demo, c->extents, c->max_extents * sizeof(*c->extents));
	c->extents = NULL;
}

/* ---- the user's side ---- */

int client_write(struct client *c, int64_t pos, const void *mem, size_t len)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)mem, .iov_len = len };
	struct iomap_req req = { .file = &c->file, .pos = pos };
	struct iomap_data data;
	int64_t done = 0;

	iomap_data_init(&data, &iov, 1);
	iomap_inode_lock(&c->inode, 0);
	while (data.left && done >= 0) {
		done = iomap_file_buffered_write(&req, &data, &client_iomap_ops, NULL, NULL);
		if (!done)
			done = -EIO;
	}
	iomap_inode_unlock(&c->inode);
	return done < 0 ? (int)done : 0;
}

int client_read(struct client *c, int64_t pos, void *mem, size_t len)
{
	struct iovec iov = { .iov_base = mem, .iov_len = len };
	struct iomap_req req = { .file = &c->file, .pos = pos };
	struct iomap_data data;
	int64_t done = 0;

	iomap_data_init(&data, &iov, 1);
	while (data.left && done >= 0) {
		done = iomap_file_buffered_read(&req, &data, &client_iomap_ops, NULL, NULL);
		if (!done)
			done = -EIO;		/* shorter than its size says */
	}
	return done < 0 ? (int)done : 0;
}

int client_write_out(struct client *c)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .range_end = IOMAP_MAX_POS,
		.sync_mode = IOMAP_WB_SYNC_NONE,
	};

	return writepages(&c->inode, &wbc);
}

int client_drop_cache(struct client *c)
{
	int rc;

	iomap_inode_lock(&c->inode, 0);
	iomap_inode_invalidate_lock(&c->inode, 0);
	rc = iomap_mapping_invalidate_range(&c->inode, 0, IOMAP_MAX_POS);
	iomap_inode_invalidate_unlock(&c->inode);
	iomap_inode_unlock(&c->inode);
	return rc;
}
