/* SPDX-License-Identifier: MIT */
/*
 * roundtrip.c - one request down to a device and back: the lowest floor of the library alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"

#define REQUEST	(64u * KIB)

static int request(struct iomap_bdev *bdev, enum iomap_bio_op op, void *mem)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;
	int rc;

	iomap_bio_init(&bio, bdev, op, 0, &seg, 1);
	rc = iomap_bio_add(&bio, mem, REQUEST, NULL);
	if (rc)
		return rc;
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

static int there_and_back(struct demo *d, const struct device *dev, struct iomap_ioq *ioq,
			  struct iomap_bdev *bdev, char *mem)
{
	char *back = mem + REQUEST;
	int rc;

	for (unsigned i = 0; i < REQUEST; i++)
		mem[i] = (char)(i * 31 + (i >> 8));
	rc = request(bdev, IOMAP_BIO_WRITE, mem);
	if (!rc)
		rc = iomap_bdev_flush(bdev, iomap_bdev_write_seq(bdev));
	if (rc)
		return demo_error(d, rc, "writing %s", dev->given);
	rc = request(bdev, IOMAP_BIO_READ, back);
	if (rc)
		return demo_error(d, rc, "reading %s", dev->given);
	if (!dev->is_null && memcmp(mem, back, REQUEST))
		return demo_error(d, -EIO, "%s gives back other bytes", dev->given);
	fprintf(d->out, "  %-40s %u bytes written, flushed, read%s\n", dev->given, REQUEST,
		dev->is_null ? " (it keeps nothing: only counted)" : " back and equal");
	fprintf(d->out, "    by ");
	demo_wrap(d, iomap_ioq_reason(ioq), 7);
	return 0;
}

static int with_device(struct demo *d, struct device *dev)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	struct iomap_env_opts opts = d->env;
	struct iomap_bdev *bdev = NULL;
	struct iomap_env *env = NULL;
	struct iomap_ioq *ioq = NULL;
	char *mem = demo_alloc(d, 2 * REQUEST);
	int rc;

	opts.log = demo_log;
	opts.log_arg = d;
	device_env(dev, &opts);
	rc = mem ? iomap_env_new(&opts, &env) : -ENOMEM;
	if (!rc)
		rc = iomap_ioq_new(env, NULL, &ioq);
	if (rc) {
		demo_error(d, rc, "cannot start");
	} else {
		rc = iomap_bdev_open(ioq, dev->spec, NULL, &bdev);
		if (rc)
			device_open_error(d, rc, dev->given);
	}
	if (!rc) {
		iomap_bdev_limits(bdev, &limits);
		if (limits.size < REQUEST)
			rc = demo_error(d, -ENOSPC, "device %s has %llu bytes, %u are wanted",
					dev->given, (unsigned long long)limits.size, REQUEST);
		else
			rc = there_and_back(d, dev, ioq, bdev, mem);
	}
	if (bdev)
		iomap_bdev_close(&bdev);
	if (ioq)
		iomap_ioq_delete(&ioq);
	if (env)
		iomap_env_delete(&env);
	demo_free(d, mem, 2 * REQUEST);
	return rc;
}

static int one_device(struct demo *d, const char *given, const char *destroy)
{
	struct device dev;
	int rc = device_parse(d, given, destroy, &dev);

	if (!rc && dev.is_file && dev.was_there && (!destroy || strcmp(destroy, dev.path))) {
		demo_error(d, 0, "refused: %s is there already and would be overwritten; "
			   "if you mean that, add --destroy %s", dev.path, dev.path);
		return -EPERM;
	}
	if (rc)
		return rc;
	rc = device_start(d, &dev, REQUEST);
	if (!rc)
		rc = with_device(d, &dev);
	device_end(&dev);
	if (dev.is_file && !dev.was_there)
		unlink(dev.path);
	return rc;
}

/* null:, then a file of our own, which is gone afterwards. */
static int two_devices(struct demo *d)
{
	char dir[] = "/tmp/iomap-demo-XXXXXX", device[64];
	int rc = one_device(d, "null:", NULL);

	if (rc)
		return rc;
	if (!mkdtemp(dir))
		return demo_error(d, -errno, "no folder in /tmp");
	snprintf(device, sizeof(device), "file:%s/image", dir);
	rc = one_device(d, device, NULL);
	rmdir(dir);
	return rc;
}

int demo_roundtrip(struct demo *d, const struct roundtrip_opts *opts)
{
	int rc = opts->device ? one_device(d, opts->device, opts->destroy) : two_devices(d);

	if (rc)
		return 1;
	fprintf(d->out, "roundtrip: ok devices=%u bytes=%u\n", opts->device ? 1u : 2u, REQUEST);
	return 0;
}
