/* SPDX-License-Identifier: MIT */
/*
 * flaky.h - "flaky:SIZE", a device in memory with one bad sector.
 *
 * Hand both to the environment, in opts.backends and opts.backend_args; the program that owns the
 * struct breaks and heals the device while it runs.
 */
#ifndef FLAKY_H
#define FLAKY_H

#include <iomap/backend.h>

struct flaky {
	/* Optional.  Each write as it arrives; two queues may call it at once. */
	void (*on_write)(void *arg, const struct iomap_bio *bio);
	void *arg;
	uint64_t bad_addr;	/* set before broken */
	iomap_word broken;	/* while it is set, writes that touch bad_addr end with -EIO */
	iomap_word nr_failed;	/* counted by the device */
};
extern const struct iomap_backend_ops flaky_backend;

#endif
