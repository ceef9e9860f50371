/* SPDX-License-Identifier: MIT */
/*
 * device.c - which device a command may write to.
 *
 * A block device is somebody's disk: it is touched only when the user says its name twice.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "demo.h"

static bool is_scheme(const char *scheme)
{
	static const char *const schemes[] = { "auto", "uring", "aio", "file", "null", "sim" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (!strcmp(scheme, schemes[i]))
			return true;
	return false;
}

static int split(struct demo *d, const char *given, struct device *dev)
{
	const char *colon = strchr(given, ':');
	size_t scheme = colon ? (size_t)(colon - given) : 0;
	size_t path;

	memset(dev, 0, sizeof(*dev));
	dev->given = given;
	if (!colon || !scheme || scheme >= sizeof(dev->scheme)) {
		demo_error(d, 0, "device '%s': not a device string; try auto:%s, null: or "
			   "sim:cruel", given, *given ? given : "PATH");
		return -EINVAL;
	}
	path = strcspn(colon + 1, ",");
	if (path >= sizeof(dev->path) || strlen(given) + 32 > sizeof(dev->spec))
		return demo_error(d, -ENAMETOOLONG, "device '%s'", given);
	memcpy(dev->scheme, given, scheme);
	if (!is_scheme(dev->scheme)) {
		demo_error(d, 0, "no backend for device %s (there are auto:, uring:, aio:, file:, "
			   "null: and sim:)", given);
		return -ENOTSUP;
	}
	dev->is_null = !strcmp(dev->scheme, "null");
	dev->is_sim = !strcmp(dev->scheme, "sim");
	if (!dev->is_null)
		memcpy(dev->path, colon + 1, path);
	dev->has_size = strstr(colon + 1 + path, "size=");
	strcpy(dev->spec, given);
	return 0;
}

int device_parse(struct demo *d, const char *given, const char *destroy, struct device *dev)
{
	int rc = split(d, given, dev);
	struct stat st;

	if (rc || dev->is_null)
		return rc;
	if (dev->is_sim)
		return sim_parse(d, dev);
	if (!*dev->path) {
		demo_error(d, 0, "device '%s': no path after the colon", given);
		return -EINVAL;
	}
	if (stat(dev->path, &st)) {
		if (errno != ENOENT)
			return demo_error(d, -errno, "device '%s'", given);
		dev->is_file = true;
		return 0;
	}
	dev->was_there = true;
	dev->is_file = S_ISREG(st.st_mode);
	if (S_ISDIR(st.st_mode))
		return demo_error(d, -EISDIR, "device '%s'", given);
	if (!S_ISBLK(st.st_mode) && !dev->is_file) {
		demo_error(d, 0, "device '%s': neither a file nor a block device", given);
		return -EINVAL;
	}
	if (S_ISBLK(st.st_mode) && (!destroy || strcmp(destroy, dev->path))) {
		demo_error(d, 0, "refused: %s is a block device and would be overwritten; "
			   "if you mean that, add --destroy %s", dev->path, dev->path);
		return -EPERM;
	}
	return 0;
}

int device_start(struct demo *d, struct device *dev, uint64_t bytes)
{
	size_t used = strlen(dev->spec);

	if (dev->is_sim)
		return sim_start(d, dev, bytes);
	if (dev->is_file && !dev->has_size)
		snprintf(dev->spec + used, sizeof(dev->spec) - used, ",create,size=%llu",
			 (unsigned long long)bytes);
	return 0;
}

void device_end(struct device *dev)
{
	iomap_sim_delete(&dev->sim);
}

/* A simulated device is opened in an environment that lives in its time. */
void device_env(const struct device *dev, struct iomap_env_opts *opts)
{
	if (dev->sim)
		iomap_sim_env_opts(dev->sim, opts);
}

int device_open_error(struct demo *d, int rc, const char *given)
{
	if (*d->report)
		return demo_error(d, rc, "cannot open device %s: %s", given, d->report);
	return demo_error(d, rc, "cannot open device %s", given);
}

bool device_is_source(const struct device *dev, int fd)
{
	struct stat a, b;

	return dev->was_there && !stat(dev->path, &a) && !fstat(fd, &b) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
