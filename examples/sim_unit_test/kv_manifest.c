/* SPDX-License-Identifier: MIT */
/*
 * kv_manifest.c - the file that says which area the roots are in.
 *
 * A new one is written under another name, synced and renamed, and then the directory is synced:
 * until then a crash may bring the old one back.
 */
#include <errno.h>
#include <string.h>

#include "kv_parts.h"

#define DEV	"files"

struct manifest {
	uint64_t magic, sum;
	uint32_t area, spare;
};
#define MAGIC	0x6d616e69666573ull

static uint64_t sum_of(const struct manifest *m)
{
	return iomap_sim_digest(&m->area, sizeof(m->area), MAGIC);
}

static int write_new(struct kv *kv, unsigned area)
{
	struct manifest m = { .magic = MAGIC, .area = area };
	int fd, rc;
	int64_t n;

	m.sum = sum_of(&m);
	/* Not over what is there: after a crash it may be the manifest, by its other name. */
	rc = iomap_sim_file_unlink(kv->sim, DEV, "MANIFEST.new");
	if (rc && rc != -ENOENT)
		return rc;
	fd = iomap_sim_file_open(kv->sim, DEV, "MANIFEST.new", true);
	if (fd < 0)
		return fd;
	n = iomap_sim_file_pwrite(kv->sim, fd, &m, sizeof(m), 0);
	rc = n < 0 ? (int)n : n < (int64_t)sizeof(m) ? -EIO : 0;
	if (!rc)
		rc = iomap_sim_file_sync(kv->sim, fd);
	iomap_sim_file_close(kv->sim, fd);
	return rc;
}

int kv_manifest_publish(struct kv *kv, unsigned area)
{
	int rc = write_new(kv, area);

	if (!rc)
		rc = iomap_sim_file_rename(kv->sim, DEV, "MANIFEST.new", "MANIFEST");
	if (!rc && kv->opts.bug != KV_BUG_DIR_SYNC)
		rc = iomap_sim_dir_sync(kv->sim, DEV);
	if (!rc)
		kv->area = area;
	return rc;
}

int kv_manifest_format(struct kv *kv)
{
	int rc = iomap_sim_file_format(kv->sim, DEV);

	return rc ? rc : kv_manifest_publish(kv, 0);
}

static int load(struct kv *kv, int fd)
{
	struct manifest m = { 0 };
	int64_t n = iomap_sim_file_pread(kv->sim, fd, &m, sizeof(m), 0);

	if (n < 0)
		return (int)n;
	if (n < (int64_t)sizeof(m) || m.magic != MAGIC || m.sum != sum_of(&m) || m.area > 1)
		return -EBADMSG;
	kv->area = m.area;
	return iomap_sim_file_sync(kv->sim, fd);
}

/* And made durable: a publish that failed may have left it so that it is only read. */
int kv_manifest_load(struct kv *kv)
{
	int fd = iomap_sim_file_open(kv->sim, DEV, "MANIFEST", false), rc;

	if (fd < 0)
		return fd == -ENOENT ? -EBADMSG : fd;
	rc = load(kv, fd);
	iomap_sim_file_close(kv->sim, fd);
	return rc ? rc : iomap_sim_dir_sync(kv->sim, DEV);
}
