/* SPDX-License-Identifier: MIT */
/*
 * flaky.h - "flaky:", a device in the program's memory, one sector of which can go bad.
 *
 * Hand both to the environment, in opts.backends and opts.backend_args.
 */
#ifndef FLAKY_H
#define FLAKY_H

#include <iomap/backend.h>

struct flaky {
	char *mem;
	uint64_t size;
	uint64_t bad;		/* writes that touch this byte end with -EIO */
	iomap_word broken;	/* while this is set; atomic */
	/* Sees each write as it arrives.  Library locks are held: atomics only. */
	void (*on_write)(void *arg, const struct iomap_bio *bio);
	void *arg;
};
extern const struct iomap_backend_ops flaky_backend;

#endif
