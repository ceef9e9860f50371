/* SPDX-License-Identifier: MIT */
/*
 * kv_io.c - reads and writes that are whole, and durable.
 */
#include <errno.h>

#include <iomap/bio.h>

#include "kv_parts.h"

#define MAX_EMPTY	8u	/* transfers of nothing */
#define MAX_EIO		3u	/* reads that failed */

uint64_t kv_sum(const void *block)
{
	return iomap_sim_digest((const uint8_t *)block + 8, KV_BLOCK - 8, 0);
}

/* -EIO: the device cannot read it, and asking again does not help. */
int kv_read(struct kv *kv, const char *dev, void *mem, size_t len, uint64_t addr)
{
	unsigned empty = 0, failed = 0;

	for (size_t done = 0; done < len;) {
		int64_t n = iomap_sim_pread(kv->sim, dev, (uint8_t *)mem + done, len - done,
					    addr + done);

		if (n == -EIO && ++failed < MAX_EIO)
			continue;
		if (n < 0)
			return (int)n;
		if (!n && ++empty > MAX_EMPTY)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

int kv_write(struct kv *kv, const char *dev, const void *mem, size_t len, uint64_t addr,
	     unsigned flags)
{
	unsigned empty = 0;

	for (size_t done = 0; done < len;) {
		int64_t n = iomap_sim_pwrite(kv->sim, dev, (const uint8_t *)mem + done, len - done,
					     addr + done, flags);

		if (n < 0)
			return (int)n;
		if (kv->opts.bug == KV_BUG_SHORT_WRITE)
			return 0;
		if (!n && ++empty > MAX_EMPTY)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int write_once(struct kv *kv, const char *dev, const void *mem, size_t len, uint64_t addr)
{
	int rc = kv_write(kv, dev, mem, len, addr, IOMAP_BIO_FUA);

	if (rc != -EOPNOTSUPP)
		return rc;
	rc = kv_write(kv, dev, mem, len, addr, 0);
	if (rc || kv->opts.bug == KV_BUG_FUA)
		return rc;
	rc = iomap_sim_flush(kv->sim, dev);
	if (rc && kv->opts.bug == KV_BUG_SYNC_RETRY)
		rc = iomap_sim_flush(kv->sim, dev);
	return rc;
}

/* Again after an error, from the start: the device may have dropped what it could not flush, and
 * the next flush, which knows nothing of that, would succeed. */
int kv_write_durable(struct kv *kv, const char *dev, const void *mem, size_t len, uint64_t addr)
{
	int rc = write_once(kv, dev, mem, len, addr);

	return rc ? write_once(kv, dev, mem, len, addr) : 0;
}
