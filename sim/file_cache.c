/* SPDX-License-Identifier: MIT */
/*
 * file_cache.c - what of files is not durable yet, and when it becomes so.
 *
 * Names, inodes and blocks of data are items.  One that is changed is dirty; it is written at once
 * if that is so chosen, else when it is synced, and durable when a flush went well behind that.
 * What a power cut takes is what was not.  An item whose write or flush failed is dirty again.
 *
 * Whatever was written, in whatever order:
 *	a durable record leads only to blocks with durable bytes of that file: see ready
 *	a block is given to another file only when no record leads to it that a power cut can bring
 *	back: see trimmed, and iomapi_sim_fs_reap
 *	bytes behind the end of a file are zeros before a larger size is durable: see cleared
 *	a name's record is one item, so that a name is as it was or as it became, and never between
 */
#include <errno.h>
#include <string.h>

#include "file.h"
#include "task.h"

enum event { WRITTEN, FAILED, FLUSHED, FORGOTTEN };

/* true: a written one is durable now. */
static bool tell(struct iomapi_sim_item *item, enum event event)
{
	bool hit = event == WRITTEN || event == FAILED ? item->sent : item->written;

	if (!hit)
		return false;
	item->sent = false;
	item->written = event == WRITTEN;
	if (event == FAILED || event == FORGOTTEN)
		item->dirty = true;
	return event == FLUSHED;
}

static void tell_slot(struct iomapi_sim_slot *slot, enum event event)
{
	if (tell(&slot->item, event))
		slot->durable = !slot->durable;
}

static void uncache(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode,
		    struct iomapi_sim_block *b)
{
	if (!b->mem)
		return;
	iomapi_sim_level_free(fs->sim, b->mem);
	b->mem = NULL;
	inode->nr_cached--;
}

static void tell_block(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode,
		       struct iomapi_sim_block *b, enum event event)
{
	if (tell(&b->item, event))
		b->ready = true;
	if (event != FLUSHED || b->item.dirty)
		return;
	b->cleared = false;
	uncache(fs, inode, b);
}

static void tell_all(struct iomapi_sim_fs *fs, enum event event)
{
	for (uint32_t i = 0; i < fs->layout.nr_files; i++) {
		struct iomapi_sim_inode *inode = &fs->inodes[i];

		tell_slot(&fs->names[i].slot, event);
		tell_slot(&inode->slot, event);
		for (uint32_t k = 0; inode->nr_cached && k < inode->nr_blocks; k++)
			tell_block(fs, inode, &inode->blocks[k], event);
	}
	if (event == FLUSHED)
		iomapi_sim_fs_reap(fs);
}

static int end(struct iomapi_sim_fs *fs)
{
	int rc = iomap_sim_wait_writes(fs->sim);

	iomapi_sim_started(fs->sim)->error = fs->theirs;
	if (!fs->error)
		fs->error = rc;
	tell_all(fs, fs->error ? FAILED : WRITTEN);
	if (!fs->error && !fs->dev->profile.volatile_cache)
		tell_all(fs, FLUSHED);
	return fs->error;
}

static int flush(struct iomapi_sim_fs *fs)
{
	int rc = iomap_sim_flush(fs->sim, fs->dev->name);

	tell_all(fs, rc ? FORGOTTEN : FLUSHED);
	return rc;
}

/* ---- what nothing leads to ---- */

static bool is_clean(const struct iomapi_sim_slot *slot)
{
	return !slot->item.dirty && !slot->item.written;
}

static void give_back(struct iomapi_sim_fs *fs, uint32_t block)
{
	fs->owners[block] = 0;
	if (block < fs->lowest)
		fs->lowest = block;
}

/* All that it owns but does not use. */
static void give_trimmed_back(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode)
{
	for (uint32_t i = fs->layout.first_data; i < fs->layout.nr_blocks; i++)
		if (fs->owners[i] == inode->index + 1)
			give_back(fs, i);
	for (uint32_t i = 0; i < inode->nr_blocks; i++)
		if (inode->blocks[i].at)
			fs->owners[inode->blocks[i].at] = (uint16_t)(inode->index + 1);
	inode->trimmed = false;
}

static void free_blocks(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode)
{
	for (uint32_t i = 0; i < inode->nr_blocks; i++)
		uncache(fs, inode, &inode->blocks[i]);
	iomapi_sim_level_free(fs->sim, inode->blocks);
	inode->blocks = NULL;
	inode->nr_blocks = 0;
}

static void free_inode(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode)
{
	free_blocks(fs, inode);
	give_trimmed_back(fs, inode);
	inode->slot.item = (struct iomapi_sim_item){ 0 };
	inode->gen = inode->size = inode->size_sent = 0;
}

static bool is_dead(const struct iomapi_sim_inode *inode)
{
	return inode->gen && !inode->nr_names && !inode->nr_fds;
}

void iomapi_sim_fs_reap(struct iomapi_sim_fs *fs)
{
	bool clean = true;

	for (uint32_t i = 0; i < fs->layout.nr_files; i++) {
		struct iomapi_sim_name *name = &fs->names[i];

		if (!is_clean(&name->slot))
			clean = false;	/* any file may come back under it */
		else if (!name->inode)
			name->text[0] = '\0';
	}
	for (uint32_t i = 0; i < fs->layout.nr_files; i++) {
		struct iomapi_sim_inode *inode = &fs->inodes[i];

		if (clean && is_dead(inode))
			free_inode(fs, inode);
		else if (inode->trimmed && is_clean(&inode->slot))
			give_trimmed_back(fs, inode);
	}
}

int iomapi_sim_fs_reclaim(struct iomapi_sim_fs *fs)
{
	int rc = -ENOSPC;

	for (uint32_t i = 0; i < fs->layout.nr_files; i++) {
		const struct iomapi_sim_name *name = &fs->names[i];

		if (is_dead(&fs->inodes[i]) || (name->text[0] && !name->inode))
			rc = 0;
	}
	if (!rc)
		rc = iomapi_sim_fs_sync_dir(fs);
	for (uint32_t i = 0; i < fs->layout.nr_files && (!rc || rc == -ENOSPC); i++)
		if (fs->inodes[i].trimmed && !is_dead(&fs->inodes[i]))
			rc = iomapi_sim_fs_sync_inode(fs, &fs->inodes[i]);
	return rc;
}

void iomapi_sim_fs_delete(struct iomapi_sim_fs *fs)
{
	for (uint32_t i = 0; fs->inodes && i < fs->layout.nr_files; i++)
		free_blocks(fs, &fs->inodes[i]);
	iomapi_sim_level_free(fs->sim, fs->owners);
	iomapi_sim_level_free(fs->sim, fs->inodes);
	iomapi_sim_level_free(fs->sim, fs->names);
	iomapi_sim_level_free(fs->sim, fs);
}

/* ---- blocks of a file ---- */

int iomapi_sim_fs_grow(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t nr)
{
	struct iomapi_sim_block *more;

	if (nr <= inode->nr_blocks)
		return 0;
	if (nr < 2 * inode->nr_blocks)
		nr = 2 * inode->nr_blocks;
	if (nr > fs->layout.max_file_blocks)
		nr = fs->layout.max_file_blocks;
	more = iomapi_sim_fs_alloc(fs->sim, nr * sizeof(*more));
	if (!more)
		return -ENOMEM;
	if (inode->blocks)
		memcpy(more, inode->blocks, inode->nr_blocks * sizeof(*more));
	iomapi_sim_level_free(fs->sim, inode->blocks);
	inode->blocks = more;
	inode->nr_blocks = nr;
	return 0;
}

static uint16_t take(struct iomapi_sim_fs *fs, const struct iomapi_sim_inode *inode)
{
	for (; fs->lowest < fs->layout.nr_blocks; fs->lowest++) {
		if (fs->owners[fs->lowest])
			continue;
		fs->owners[fs->lowest] = (uint16_t)(inode->index + 1);
		return (uint16_t)fs->lowest++;
	}
	return 0;
}

/* A place for a hole. */
static int place(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode,
		 struct iomapi_sim_block *b)
{
	uint16_t at = take(fs, inode);
	int rc = at ? 0 : iomapi_sim_fs_reclaim(fs);

	if (rc)
		return rc;
	if (!at)
		at = take(fs, inode);
	if (!at)
		return -ENOSPC;
	b->at = at;
	inode->slot.item.dirty = true;
	return 0;
}

int iomapi_sim_fs_cache(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t index)
{
	int rc = iomapi_sim_fs_grow(fs, inode, index + 1);
	struct iomapi_sim_block *b;
	uint8_t *mem;

	if (rc)
		return rc;
	b = &inode->blocks[index];
	if (b->mem)
		return 0;
	mem = iomapi_sim_fs_alloc(fs->sim, fs->layout.block);
	if (!mem)
		return -ENOMEM;
	rc = b->at ? iomapi_sim_fs_read(fs, b->at, 1, mem) : place(fs, inode, b);
	if (rc) {
		iomapi_sim_level_free(fs->sim, mem);
		return rc;
	}
	b->mem = mem;
	inode->nr_cached++;
	return 0;
}

int iomapi_sim_fs_clear_tail(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode,
			     uint64_t size)
{
	uint32_t index = (uint32_t)(size / fs->layout.block), off = size % fs->layout.block;
	struct iomapi_sim_block *b;
	int rc;

	if (!off || index >= inode->nr_blocks || !inode->blocks[index].at)
		return 0;
	rc = iomapi_sim_fs_cache(fs, inode, index);
	if (rc)
		return rc;
	b = &inode->blocks[index];
	while (off < fs->layout.block && !b->mem[off])
		off++;
	if (off == fs->layout.block)
		return 0;
	memset(b->mem + off, 0, fs->layout.block - off);
	b->item.dirty = b->cleared = true;
	return 0;
}

/* No record has led to a block that is not ready, so that one is free at once. */
void iomapi_sim_fs_trim(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t first)
{
	for (uint32_t i = first; i < inode->nr_blocks; i++) {
		struct iomapi_sim_block *b = &inode->blocks[i];

		uncache(fs, inode, b);
		if (b->ready)
			inode->trimmed = true;
		else if (b->at)
			give_back(fs, b->at);
		*b = (struct iomapi_sim_block){ 0 };
	}
}

/* ---- before it must be ---- */

static void early_blocks(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t first,
			 uint32_t nr)
{
	bool any = false;

	for (uint32_t i = first; i < nr && i < inode->nr_blocks; i++) {
		struct iomapi_sim_block *b = &inode->blocks[i];

		if (!b->item.dirty || !iomap_sim_choose(fs->sim, "writeback", 2))
			continue;
		if (!any)
			iomapi_sim_fs_begin(fs);
		any = true;
		iomapi_sim_fs_send_block(fs, b);
	}
	if (any)
		end(fs);	/* what failed is dirty, and written again when it is synced */
}

static bool has_cleared(const struct iomapi_sim_inode *inode)
{
	for (uint32_t i = 0; inode->nr_cached && i < inode->nr_blocks; i++)
		if (inode->blocks[i].cleared)
			return true;
	return false;
}

/* As it is, or behind the data that were written so far, perhaps with the size that it had. */
static void early_inode(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode)
{
	enum { NOT, NOW, BEHIND, SIZE_LATER, NR };
	uint64_t size = inode->size;
	uint32_t how;

	if (!inode->slot.item.dirty)
		return;
	how = iomap_sim_choose(fs->sim, "writeback", NR);
	if (how == NOT || (how != NOW && flush(fs)) || has_cleared(inode))
		return;
	if (how == SIZE_LATER && inode->size_sent < size)
		size = inode->size_sent;
	iomapi_sim_fs_begin(fs);
	iomapi_sim_fs_send_inode(fs, inode, size);
	end(fs);
}

void iomapi_sim_fs_early(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint64_t pos,
			 uint64_t until)
{
	uint32_t block = fs->layout.block;

	early_blocks(fs, inode, (uint32_t)(pos / block), (uint32_t)((until + block - 1) / block));
	early_inode(fs, inode);
}

void iomapi_sim_fs_early_name(struct iomapi_sim_fs *fs, struct iomapi_sim_name *name)
{
	if (!name->slot.item.dirty || !iomap_sim_choose(fs->sim, "writeback", 2))
		return;
	iomapi_sim_fs_begin(fs);
	iomapi_sim_fs_send_name(fs, name);
	end(fs);
}

/* ---- synced ---- */

static int sync_blocks(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode)
{
	iomapi_sim_fs_begin(fs);
	for (uint32_t i = 0; i < inode->nr_blocks; i++)
		if (inode->blocks[i].item.dirty)
			iomapi_sim_fs_send_block(fs, &inode->blocks[i]);
	return end(fs);
}

/* The record leads to data, so they come first. */
int iomapi_sim_fs_sync_inode(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode)
{
	int rc = sync_blocks(fs, inode);

	if (!rc && inode->slot.item.dirty) {
		if (inode->nr_cached)
			rc = flush(fs);
		if (rc)
			return rc;
		iomapi_sim_fs_begin(fs);
		iomapi_sim_fs_send_inode(fs, inode, inode->size);
		rc = end(fs);
	}
	return rc ? rc : flush(fs);
}

int iomapi_sim_fs_sync_dir(struct iomapi_sim_fs *fs)
{
	int rc;

	iomapi_sim_fs_begin(fs);
	for (uint32_t i = 0; i < fs->layout.nr_files; i++)
		if (fs->names[i].slot.item.dirty)
			iomapi_sim_fs_send_name(fs, &fs->names[i]);
	rc = end(fs);
	return rc ? rc : flush(fs);
}
