/* SPDX-License-Identifier: MIT */
/*
 * client.c - a client that writes back: one file that lies on its device as it is.
 *
 * Threads: one, so the queue is bound to it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "flat.h"
#include "measure.h"

#define CLIENT(i) iomap_container_of(i, struct client, inode)

/* ---- callbacks ---- */

static void map_all(const struct iomap_inode *inode, struct iomap *map)
{
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .bdev = inode->bdev, .addr = CLIENT(inode)->base,
		.length = (uint64_t)iomap_inode_size(inode),
	};
}

static int begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		 struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)pos, (void)len, (void)srcmap, (void)priv;
	map_all(inode, map);
	if (flags & IOMAP_WRITE)	/* what a write does not cover need not be read first */
		map->flags = IOMAP_F_NEW;
	return 0;
}

const struct iomap_ops client_ops = { .struct_size = sizeof(client_ops), .iomap_begin = begin };

/* Out of line, so that the callback costs next to nothing when the map is there. */
static __attribute__((noinline)) int64_t range_and_map(struct iomap_writeback_ctx *wpc,
						       struct iomap_folio *folio, int64_t pos,
						       uint64_t len, int64_t end_pos)
{
	map_all(wpc->inode, &wpc->iomap);
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

static int64_t range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		     uint64_t len, int64_t end_pos)
{
	if (!wpc->iomap.length)
		return range_and_map(wpc, folio, pos, len, end_pos);
	return iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
}

static int submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	const struct iomap_ioend *ioend = wb_ctx;

	CLIENT(wpc->inode)->sent += ioend->bio.len;
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

static void folio_written(struct iomap_folio *folio, int error)
{
	struct client *c = CLIENT(folio->inode);

	c->nr_written++;
	if (error)
		c->error = error;
}

static const struct iomap_inode_ops inode_ops = {
	.struct_size = sizeof(inode_ops), .writepages = writepages,
	.sync_metadata = flat_metadata, .tryget = flat_tryget, .put = flat_put,
	.folio_written = folio_written,
};
const struct iomap_volume_ops client_volume_ops = {
	.struct_size = sizeof(client_volume_ops), .sync_metadata = flat_volume_metadata,
};

/* ---- passes ---- */

int client_writepages(struct client *c)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .sync_mode = IOMAP_WB_SYNC_ALL,
	};
	struct iomap_plug plug;
	int rc;

	iomap_plug_start(&plug, c->env);
	rc = writepages(&c->inode, &wbc);
	iomap_plug_end(&plug);
	return rc ? rc : iomap_inode_wait_wb(&c->inode, UINT64_MAX, IOMAP_FOREVER);
}

int client_write_frames(struct client *c, struct iomap_folio *folios, uint64_t nr)
{
	struct iomap_writeback_control wbc = { .struct_size = sizeof(wbc) };
	struct iomap_writeback_ctx wpc = { .inode = &c->inode, .wbc = &wbc, .ops = &wb_ops };
	struct iomap_plug plug;
	int rc = 0, last;

	iomap_plug_start(&plug, c->env);
	c->nr_written = 0;
	for (uint64_t i = 0; i < nr && !rc; i++) {
		rc = iomap_writeback_reserve(&wpc, 1);
		if (!rc)
			rc = iomap_writeback_folio(&wpc, &folios[i]);
	}
	last = iomap_writeback_finish(&wpc, 0);
	iomap_plug_end(&plug);
	rc = rc ? rc : last;
	if (!rc)
		rc = iomap_inode_wait_wb(&c->inode, UINT64_MAX, IOMAP_FOREVER);
	if (!rc)
		rc = c->error;
	return !rc && c->nr_written != nr ? -EIO : rc;
}

uint64_t client_nr_bios(const struct client *c)
{
	struct iomap_ioq_stats stats = { .struct_size = sizeof(stats) };

	iomap_ioq_stats(c->ioq, &stats);
	return stats.completed;
}

/* ---- life ---- */

int client_open(struct client *c, const char *device)
{
	const uint32_t depth = device_depth(device);
	const struct iomap_env_opts env = { .struct_size = sizeof(env), .nr_ioends = depth };
	const struct iomap_ioq_opts opts = {
		.struct_size = sizeof(opts), .flags = IOMAP_IOQ_SINGLE_ISSUER, .depth = depth,
	};
	int rc = iomap_env_new(&env, &c->env);

	if (!rc)
		rc = iomap_ioq_new(c->env, &opts, &c->ioq);
	return rc ? rc : iomap_bdev_open(c->ioq, device, NULL, &c->bdev);
}

int client_file(struct client *c, uint32_t flags, int64_t size)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &inode_ops, .flags = flags, .block_bits = 12,
		.env = c->env, .volume = c->volume, .bdev = c->bdev, .size = size,
	};

	iomap_bdev_limits(c->bdev, &limits);
	if (limits.size < c->base + (uint64_t)size) {
		fprintf(stderr, "the device has %" PRIu64 " bytes, %" PRIu64 " are needed\n",
			limits.size, c->base + (uint64_t)size);
		return -ENOSPC;
	}
	return iomap_inode_init(&c->inode, &opts);
}

void client_register(struct client *c, void *base, size_t len)
{
	int rc = iomap_ioq_register_memory(c->ioq, base, len);

	if (rc && rc != -ENOTSUP)
		fprintf(stderr, "memory is not registered: error %d\n", -rc);
}

void client_close_file(struct client *c)
{
	if (!c->inode.env)
		return;
	iomap_inode_evict(&c->inode, IOMAP_EVICT_DISCARD, NULL);
	iomap_inode_fini(&c->inode);
}

void client_close(struct client *c)
{
	if (c->bdev)
		iomap_bdev_close(&c->bdev);
	if (c->ioq)
		iomap_ioq_delete(&c->ioq);
	if (c->env)
		iomap_env_delete(&c->env);
}
