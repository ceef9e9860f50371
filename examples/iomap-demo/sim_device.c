/* SPDX-License-Identifier: MIT */
/*
 * sim_device.c - a simulated device that is named by its preset, sim:PRESET[,size=N][,seed=N].
 *
 * The simulation has one device, "disk"; it lives as long as the command works on it, and its
 * content can be left in a file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"

#define UNREADABLE	0xee
#define DISK		"disk"
#define MAX_SIZE	((uint64_t)1 << 40)
#define LL(x)		((unsigned long long)(x))

/* ---- what the user named ---- */

/* Digits and, of a size, k m g t behind them. */
static bool number(const char *text, size_t len, bool is_size, uint64_t *n)
{
	static const char units[] = "kmgt";
	const char *unit;
	char digits[32], *end;
	unsigned shift;

	if (!len || len >= sizeof(digits) || *text < '0' || *text > '9')
		return false;
	memcpy(digits, text, len);
	digits[len] = 0;
	errno = 0;
	*n = strtoull(digits, &end, 0);
	if (errno || !*end)
		return !errno;
	unit = strchr(units, *end);
	if (!is_size || !unit || end[1])
		return false;
	shift = (unsigned)(unit - units + 1) * 10;
	if (*n > UINT64_MAX >> shift)
		return false;
	*n <<= shift;
	return true;
}

static int bad(struct demo *d, const struct device *dev, const char *what, const char *text,
	       size_t len)
{
	demo_error(d, 0, "device '%s': %s '%.*s'", dev->given, what, (int)len, text);
	return -EINVAL;
}

static int parse_option(struct demo *d, struct device *dev, const char *text, size_t len)
{
	if (len >= 5 && !memcmp(text, "size=", 5)) {
		dev->has_size = true;
		return number(text + 5, len - 5, true, &dev->size)
			? 0 : bad(d, dev, "not a size:", text, len);
	}
	if (len >= 5 && !memcmp(text, "seed=", 5)) {
		dev->has_seed = true;
		return number(text + 5, len - 5, false, &dev->seed)
			? 0 : bad(d, dev, "not a seed:", text, len);
	}
	return bad(d, dev, "unknown option (there are size= and seed=)", text, len);
}

static int check_size(struct demo *d, const struct device *dev)
{
	uint32_t block = iomap_sim_preset(dev->path)->physical_block;

	if (dev->size && !(dev->size % block) && dev->size <= MAX_SIZE)
		return 0;
	demo_error(d, 0, "device '%s': size %llu does not fit: a multiple of %u, up to %llu",
		   dev->given, LL(dev->size), block, LL(MAX_SIZE));
	return -EINVAL;
}

int sim_parse(struct demo *d, struct device *dev)
{
	const char *at = strchr(dev->given, ':') + 1 + strlen(dev->path);
	int rc = 0;

	if (!iomap_sim_preset(dev->path)) {
		demo_error(d, 0, "device '%s': unknown preset '%s' (there are plp consumer "
			   "atomic16k sata512e multiqueue cruel fifo)", dev->given, dev->path);
		return -EINVAL;
	}
	dev->has_size = false;
	dev->seed = 1;
	while (!rc && *at == ',') {
		size_t len = strcspn(++at, ",");

		rc = parse_option(d, dev, at, len);
		at += len;
	}
	return !rc && dev->has_size ? check_size(d, dev) : rc;
}

/* ---- its life ---- */

int sim_start(struct demo *d, struct device *dev, uint64_t bytes)
{
	const struct iomap_sim_dev disk = {
		.name = DISK, .preset = dev->path,
		.size = dev->has_size ? dev->size : bytes ? bytes : PAGE_BYTES,
	};
	const struct iomap_sim_opts opts = {
		.struct_size = sizeof(opts), .seed = dev->seed, .devs = &disk, .nr_devs = 1,
	};
	int rc;

	if (disk.size > MAX_SIZE)
		return demo_error(d, -EFBIG, "device '%s'", dev->given);
	strcpy(dev->spec, "sim:" DISK);
	rc = iomap_sim_new(&opts, &dev->sim);
	return rc ? demo_error(d, rc, "device '%s'", dev->given) : 0;
}

static int read_some(struct iomap_bdev *bdev, uint64_t addr, void *mem, size_t len)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;
	int rc;

	iomap_bio_init(&bio, bdev, IOMAP_BIO_READ, addr, &seg, 1);
	rc = iomap_bio_add(&bio, mem, len, NULL);
	if (rc)
		return rc;
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

/* A power cut may leave blocks that cannot be read: they are as nobody's. */
static int read_bdev(struct iomap_bdev *bdev, uint8_t *mem, size_t len)
{
	struct iomap_bdev_limits limits = { .struct_size = sizeof(limits) };
	int rc = read_some(bdev, 0, mem, len);

	if (rc != -EIO)
		return rc;
	iomap_bdev_limits(bdev, &limits);
	for (size_t at = 0; at < len; at += limits.logical_block) {
		rc = read_some(bdev, at, mem + at, limits.logical_block);
		if (rc == -EIO)
			memset(mem + at, UNREADABLE, limits.logical_block);
		else if (rc)
			return rc;
	}
	return 0;
}

/* With an environment of its own: there may be no other at that time. */
int sim_read(struct demo *d, const struct device *dev, void *mem, size_t len)
{
	struct iomap_env_opts opts = d->env;
	struct iomap_bdev *bdev = NULL;
	struct iomap_env *env = NULL;
	struct iomap_ioq *ioq = NULL;
	int rc;

	opts.log = demo_log;
	opts.log_arg = d;
	device_env(dev, &opts);
	rc = iomap_env_new(&opts, &env);
	if (!rc)
		rc = iomap_ioq_new(env, NULL, &ioq);
	if (!rc)
		rc = iomap_bdev_open(ioq, dev->spec, NULL, &bdev);
	if (!rc)
		rc = read_bdev(bdev, mem, len);
	if (bdev)
		iomap_bdev_close(&bdev);
	if (ioq)
		iomap_ioq_delete(&ioq);
	if (env)
		iomap_env_delete(&env);
	return rc ? demo_error(d, rc, "reading %s", dev->given) : 0;
}

/* ---- its content in a file ---- */

int sim_image_check(struct demo *d, const struct device *dev, const char *image, int source)
{
	struct stat a, b;

	if (!dev->is_sim) {
		demo_error(d, 0, "image '%s': only of a simulated device, not of %s", image,
			   dev->given);
		return -EINVAL;
	}
	if (stat(image, &a))
		return errno == ENOENT ? 0 : demo_error(d, -errno, "image '%s'", image);
	if (S_ISDIR(a.st_mode))
		return demo_error(d, -EISDIR, "image '%s'", image);
	if (!S_ISREG(a.st_mode)) {
		demo_error(d, 0, "image '%s': not a regular file", image);
		return -EINVAL;
	}
	if (!fstat(source, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
		demo_error(d, 0, "source and image '%s' are the same file", image);
		return -EINVAL;
	}
	return 0;
}

/* What a failed one leaves goes away, unless it was there before. */
int sim_image(struct demo *d, const struct device *dev, const char *image)
{
	bool was_there = !access(image, F_OK);
	int64_t rc = iomap_sim_dump(dev->sim, DISK, image);

	if (rc >= 0)
		return 0;
	if (!was_there)
		unlink(image);
	return demo_error(d, (int)rc, "image '%s'", image);
}
