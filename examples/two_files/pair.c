/* SPDX-License-Identifier: MIT */
/*
 * pair.c - what a user calls, and the environment that it goes through.
 */
#include <errno.h>
#include <string.h>

#include "pair_parts.h"

#define CACHE	(32u * PAIR_BLOCK)

/* ---- open and close ---- */

/* The library has seen something that must not be. */
static void report(void *arg, const struct iomap_log_record *record)
{
	iomap_sim_fail(arg, record->rule, "%s of %s: %s", record->field, record->callback,
		       record->text);
}

static int open_device(struct pair *p)
{
	struct iomap_env_opts opts = {
		.struct_size = sizeof(opts), .nr_ioends = 8, .nr_bios = 16, .nr_segs = 16,
		.log = report, .log_arg = p->sim,
	};
	const struct iomap_ioq_opts ioq = { .struct_size = sizeof(ioq), .depth = 16 };
	const struct iomap_cache_opts cache = {
		.struct_size = sizeof(cache), .bytes = CACHE, .max_folio = 2 * PAIR_BLOCK,
		.dirty_limit = CACHE, .background_limit = CACHE,
	};
	int rc;

	iomap_sim_env_opts(p->sim, &opts);
	rc = iomap_env_new(&opts, &p->env);
	if (!rc)
		rc = iomap_ioq_new(p->env, &ioq, &p->ioq);
	if (!rc)
		rc = iomap_bdev_open(p->ioq, "sim:" PAIR_DEV, NULL, &p->bdev);
	if (!rc)
		rc = iomap_cache_new(p->env, &cache, &p->cache);
	return rc ? rc : iomap_volume_new(p->env, p->cache, &pair_volume_ops, p, &p->volume);
}

static int open_file(struct pair *p, unsigned nr)
{
	struct pair_file *f = &p->files[nr];
	const struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &pair_inode_ops, .env = p->env,
		.volume = p->volume, .bdev = p->bdev, .block_bits = 12, .size = p->root->size[nr],
	};
	int rc;

	f->pair = p;
	f->nr = nr;
	rc = iomap_inode_init(&f->inode, &opts);
	f->init = !rc;
	if (!rc) {
		rc = iomap_file_open(&f->file, &f->inode, 0);
		f->open = !rc;
	}
	return rc;
}

int pair_open(struct iomap_sim *sim, unsigned bug, struct pair **pair)
{
	struct pair *p = iomap_sim_alloc(sim, sizeof(*p));
	uint8_t *root = iomap_sim_alloc(sim, 2 * PAIR_BLOCK);
	int rc;

	*pair = NULL;
	if (!p || !root)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	p->sim = sim;
	p->bug = bug;
	p->root = (struct pair_root *)(root + PAIR_BLOCK - (uintptr_t)root % PAIR_BLOCK);
	rc = open_device(p);
	if (!rc)
		rc = pair_root_load(p);
	for (unsigned nr = 0; !rc && nr < PAIR_FILES; nr++)
		rc = open_file(p, nr);
	if (rc)
		pair_close(&p);
	*pair = p;
	return rc;
}

static void close_file(struct pair_file *f)
{
	uint64_t errseq;

	if (f->open)
		iomap_file_close(&f->file);
	if (!f->init)
		return;
	iomap_inode_evict(&f->inode, IOMAP_EVICT_DISCARD, &errseq);
	iomap_inode_fini(&f->inode);
}

void pair_close(struct pair **pair)
{
	struct pair *p = *pair;

	*pair = NULL;
	if (!p)
		return;
	for (unsigned nr = 0; nr < PAIR_FILES; nr++)
		close_file(&p->files[nr]);
	if (p->volume)
		iomap_volume_delete(&p->volume);
	if (p->cache)
		iomap_cache_delete(&p->cache);
	if (p->bdev)
		iomap_bdev_close(&p->bdev);
	if (p->ioq)
		iomap_ioq_delete(&p->ioq);
	if (p->env)
		iomap_env_delete(&p->env);
}

/* ---- the user's side ---- */

int pair_write(struct pair *p, unsigned file, int64_t pos, const void *mem, size_t len)
{
	struct pair_file *f = &p->files[file];
	struct iovec iov = { .iov_base = (void *)(uintptr_t)mem, .iov_len = len };
	struct iomap_req req = { .file = &f->file, .pos = pos };
	struct iomap_data data;
	int64_t done = 0;

	iomap_data_init(&data, &iov, 1);
	iomap_inode_lock(&f->inode, 0);
	while (data.left && done >= 0)
		done = iomap_file_buffered_write(&req, &data, &pair_map_ops, NULL, NULL);
	iomap_inode_unlock(&f->inode);
	return done < 0 ? (int)done : 0;
}

int64_t pair_read(struct pair *p, unsigned file, int64_t pos, void *mem, size_t len)
{
	struct iovec iov = { .iov_base = mem, .iov_len = len };
	struct iomap_req req = { .file = &p->files[file].file, .pos = pos };
	struct iomap_data data;
	int64_t done = 0, n;

	iomap_data_init(&data, &iov, 1);
	do {
		n = iomap_file_buffered_read(&req, &data, &pair_map_ops, NULL, NULL);
		done += n > 0 ? n : 0;
	} while (n > 0 && data.left);
	return n < 0 ? n : done;
}

int64_t pair_size(const struct pair *p, unsigned file)
{
	return iomap_inode_size(&p->files[file].inode);
}

int pair_sync(struct pair *p, unsigned file, bool datasync)
{
	return iomap_file_sync(&p->files[file].file, 0, IOMAP_MAX_POS, datasync);
}

int pair_sync_all(struct pair *p)
{
	return iomap_volume_sync(p->volume);
}

int pair_write_out(struct pair *p, unsigned file)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .range_end = IOMAP_MAX_POS,
		.sync_mode = IOMAP_WB_SYNC_NONE,
	};

	return pair_inode_ops.writepages(&p->files[file].inode, &wbc);
}

int pair_drop_cache(struct pair *p, unsigned file)
{
	struct iomap_inode *inode = &p->files[file].inode;
	int rc;

	iomap_mapping_wait_range(inode, 0, IOMAP_MAX_POS);
	iomap_inode_lock(inode, 0);
	iomap_inode_invalidate_lock(inode, 0);
	rc = iomap_mapping_invalidate_range(inode, 0, IOMAP_MAX_POS);
	iomap_inode_invalidate_unlock(inode);
	iomap_inode_unlock(inode);
	return rc;
}

uint64_t pair_addr(const struct pair *p, unsigned file, unsigned block)
{
	return p->root->state[file][block] == PAIR_WRITTEN ? pair_place(file, block) : 0;
}
