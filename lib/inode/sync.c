/* SPDX-License-Identifier: MIT */
/*
 * inode/sync.c - the user's wish for durability, in the order of H10.
 *
 *	1 write		what is dirty in the range, by ops->writepages
 *	2 wait		for it: conversion and size are in the log before writeback ends (I105)
 *	3 metadata	ops->sync_metadata: flush a separate data device, then the commit record
 *	4 flush		the data's devices, unless the client said that it did
 *	5 error		the handle's cursor moves: each error once per handle
 *
 * A step that fails ends the way there, but for the last one, which always runs.  The sticky error
 * is the older one and wins: an error seen here and in step 1 is one error.
 *
 * Threads: any.  Neither the I/O nor the invalidate lock is taken: a sync must not wait for a
 * writer that waits for memory, and a client may hold either around it.
 */
#include "inode/inode.h"

#include <iomap/bdev.h>
#include <iomap/req.h>

#include "base/log.h"
#include "base/trace.h"

int iomapi_inode_write_range(struct iomap_inode *inode, int64_t start, int64_t end)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .range_start = start, .range_end = end,
		.sync_mode = IOMAP_WB_SYNC_ALL, .priority = 7,
	};
	int rc = inode->ops->writepages(inode, &wbc);

	return iomapi_answer(inode->env, rc, .rule = "H10", .callback = "writepages",
			     .inode = inode);
}

/* The usual device up to now: an earlier life of the inode may have written to it.  A ticket costs
 * nothing when a flush has covered it since. */
unsigned iomapi_inode_written(struct iomap_inode *inode,
			      struct iomapi_written written[IOMAPI_INODE_DEVICES + 1])
{
	struct iomapi_inode *in = iomapi_inode(inode);
	unsigned nr = 0;

	if (inode->bdev)
		written[nr++] = (struct iomapi_written){
			.bdev = inode->bdev, .seq = iomap_bdev_write_seq(inode->bdev),
		};
	iomap_mutex_lock(inode->env, &in->wb_lock);
	for (unsigned i = 0; i < IOMAPI_INODE_DEVICES; i++)
		if (in->written.to[i].bdev && in->written.to[i].bdev != inode->bdev)
			written[nr++] = in->written.to[i];
	iomap_mutex_unlock(inode->env, &in->wb_lock);
	return nr;
}

/* It wrote to more devices than it can remember: no sync of ours may say that it is durable. */
int iomapi_inode_all_known(struct iomap_inode *inode)
{
	struct iomapi_inode *in = iomapi_inode(inode);
	bool known;

	iomap_mutex_lock(inode->env, &in->wb_lock);
	known = !in->written.elsewhere;
	iomap_mutex_unlock(inode->env, &in->wb_lock);
	if (known)
		return 0;
	iomapi_report(inode->env, .rule = "H10", .callback = "sync_metadata", .field = "flushed",
		      .bound = IOMAPI_INODE_DEVICES, .inode = inode,
		      .text = "written to more devices than are remembered: flush them yourself");
	return -EIO;
}

int iomapi_inode_flush_devices(struct iomap_inode *inode)
{
	struct iomapi_written written[IOMAPI_INODE_DEVICES + 1];
	unsigned nr = iomapi_inode_written(inode, written);
	int first = iomapi_inode_all_known(inode);

	for (unsigned i = 0; i < nr; i++) {
		int rc = iomap_bdev_flush(written[i].bdev, written[i].seq);

		if (!first)
			first = rc;
	}
	return first;
}

static int sync_cached(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync)
{
	/* before the first write: it may be over, and have failed, when the walk is through */
	iomap_word failures = iomapi_load(&iomapi_mapping(inode)->failures);
	bool flushed = false;
	int rc = 0, waited;

	if (start < end) {	/* for writepages an end of 0 would be the end of the file */
		rc = iomapi_inode_write_range(inode, start, end);
		waited = iomapi_mapping_wait_since(inode, start, end, failures);
		if (!rc)
			rc = waited;
	}
	if (!rc)
		rc = iomap_volume_error(inode->volume);
	if (rc)
		return rc;
	rc = inode->ops->sync_metadata(inode, start, end, datasync, &flushed);
	rc = iomapi_answer(inode->env, rc, .rule = "H10", .callback = "sync_metadata",
			   .inode = inode);
	return rc || flushed ? rc : iomapi_inode_flush_devices(inode);
}

/* The client has handed its frames over before it asks. */
static int sync_frames(struct iomap_inode *inode)
{
	int rc = iomap_inode_wait_wb(inode, iomap_inode_wb_seq(inode), IOMAP_FOREVER);

	return rc ? rc : iomapi_inode_flush_devices(inode);
}

IOMAP_API int iomap_file_sync(struct iomap_file *file, int64_t start, int64_t end, bool datasync)
{
	struct iomap_inode *inode = file ? file->inode : NULL;
	int rc, seen;

	if (!inode || start < 0 || end < start)
		return -EINVAL;
	if (iomapi_inode_killed(inode))
		return -ESTALE;
	rc = iomap_volume_error(inode->volume);
	if (!rc && (inode->flags & IOMAP_INODE_FRAMES))
		rc = sync_frames(inode);
	else if (!rc)
		rc = sync_cached(inode, start, end, datasync);
	seen = iomap_file_check_error(file);
	if (seen)
		rc = seen;
	iomapi_trace(inode->env, .event = IOMAP_TRACE_FILE_SYNC, .result = rc, .inode = inode,
		     .bdev = inode->bdev, .pos = start, .len = (uint64_t)(end - start),
		     .flags = datasync);
	return rc;
}

IOMAP_API int64_t iomap_req_sync(struct iomap_req *req, int64_t done)
{
	uint32_t flags = req->flags & (IOMAP_REQ_DSYNC | IOMAP_REQ_SYNC);
	int rc;

	/* the file's flags have other numbers */
	if (req->file->flags & IOMAP_FILE_DSYNC)
		flags |= IOMAP_REQ_DSYNC;
	if (req->file->flags & IOMAP_FILE_SYNC)
		flags |= IOMAP_REQ_SYNC;
	if (done <= 0 || !flags)
		return done;
	rc = iomap_file_sync(req->file, req->pos - done, req->pos, !(flags & IOMAP_REQ_SYNC));
	if (!rc)
		return done;
	req->pos -= done;
	return rc;
}
