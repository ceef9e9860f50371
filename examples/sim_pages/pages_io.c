/* SPDX-License-Identifier: MIT */
/*
 * pages_io.c - requests that are waited for.
 */
#include <errno.h>
#include <string.h>

#include "pages_parts.h"

#define MAX_READS	3u		/* of what could not be read */

static int io_once(struct iomap_bdev *bdev, enum iomap_bio_op op, void *mem, size_t len,
		   uint64_t addr, unsigned flags)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;

	iomap_bio_init(&bio, bdev, op, addr, &seg, 1);
	iomap_bio_add(&bio, mem, len, NULL);
	bio.flags = (uint16_t)flags;
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

int pages_io(struct pages *db, struct iomap_bdev *bdev, enum iomap_bio_op op, void *mem,
	     size_t len, uint64_t addr, unsigned flags)
{
	int rc = io_once(bdev, op, mem, len, addr, flags);

	for (unsigned i = 1; rc == -EIO && op == IOMAP_BIO_READ && i < MAX_READS; i++)
		rc = io_once(bdev, op, mem, len, addr, flags);
	if (rc && op != IOMAP_BIO_READ)
		db->error = rc;
	return rc;
}

int pages_read_pieces(struct pages *db, struct iomap_bdev *bdev, void *mem, size_t len,
		      size_t piece, uint64_t addr)
{
	int rc = pages_io(db, bdev, IOMAP_BIO_READ, mem, len, addr, 0);

	if (rc != -EIO)
		return rc;
	rc = 0;
	for (size_t at = 0; !rc && at < len; at += piece) {
		rc = pages_io(db, bdev, IOMAP_BIO_READ, (char *)mem + at, piece, addr + at, 0);
		if (rc == -EIO) {
			memset((char *)mem + at, 0, piece);
			rc = 0;
		}
	}
	return rc;
}

/*
 * A flush that failed may have dropped what it was to make durable, and the next one knows nothing
 * of that: pages that were marked written are not.  The log has all of it, so the database is
 * broken and recovers.
 */
int pages_flush(struct pages *db)
{
	int rc = iomap_bdev_flush(db->data, iomap_bdev_write_seq(db->data));

	if (rc)
		db->error = rc;
	return rc;
}
