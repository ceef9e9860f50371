/* SPDX-License-Identifier: MIT */
/*
 * inode/file.c - an open handle: a cursor into the inode's errors.
 *
 * An error that nobody has seen yet is new to whoever opens later; one that was seen is not (O13).
 * Several threads may share a handle: the one that moves the cursor reports.
 */
#include "inode/inode.h"

#include <string.h>

IOMAP_API int iomap_file_open(struct iomap_file *file, struct iomap_inode *inode, unsigned flags)
{
	if (!file || !inode || (flags & ~(unsigned)(IOMAP_FILE_DSYNC | IOMAP_FILE_SYNC)))
		return -EINVAL;
	if (iomapi_inode_killed(inode))
		return -ESTALE;
	memset(file, 0, sizeof(*file));
	file->inode = inode;
	file->flags = flags;
	file->error_seen = iomapi_errseq_sample(&iomapi_inode(inode)->errseq);
	return 0;
}

IOMAP_API void iomap_file_close(struct iomap_file *file)
{
	file->inode = NULL;
}

IOMAP_API int iomap_file_check_error(struct iomap_file *file)
{
	iomap_word *word = &iomapi_inode(file->inode)->errseq;
	iomap_word old, new;
	int rc;

	do {
		old = new = iomapi_load(&file->error_seen);
		rc = iomapi_errseq_check_and_advance(word, &new);
	} while (new != old && !iomapi_cas(&file->error_seen, &old, new));
	return rc;
}
