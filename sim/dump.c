/* SPDX-License-Identifier: MIT */
/*
 * dump.c - a device's content in a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

static int write_all(int fd, const uint8_t *mem, size_t len)
{
	while (len) {
		ssize_t n = write(fd, mem, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		mem += n;
		len -= (size_t)n;
	}
	return 0;
}

IOMAP_API int64_t iomap_sim_dump(const struct iomap_sim *sim, const char *name, const char *path)
{
	struct iomapi_sim_dev *dev = iomapi_sim_find(sim, name);
	uint8_t unit[IOMAPI_SIM_MAX_BLOCK];
	uint64_t hash;
	int fd, rc = 0;

	if (!dev)
		return -ENOENT;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	for (uint64_t i = 0; !rc && i < dev->nr_units; i++) {
		if (iomapi_sim_read_unit(dev, i, unit, &hash))
			memset(unit, 0, sizeof(unit));	/* what cannot be read */
		rc = write_all(fd, unit, dev->profile.logical_block);
	}
	if (close(fd) && !rc)
		rc = -errno;
	return rc ? rc : (int64_t)dev->size;
}
