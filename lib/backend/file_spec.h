/* SPDX-License-Identifier: MIT */
/*
 * backend/file_spec.h - the words behind a scheme: "PATH[,size=N,create]".
 */
#ifndef IOMAPI_FILE_SPEC_H
#define IOMAPI_FILE_SPEC_H

#include <limits.h>

#include "backend/file.h"

struct iomapi_file_opts {
	char path[PATH_MAX];
	uint64_t size;
	bool has_size, create;
	bool made;			/* it was not there before */
	uint32_t flags;			/* IOMAP_BDEV_* */
};

/* Fills all but flags, which are the caller's, and made. */
int iomapi_file_parse(const struct iomapi_file_dev *dev, struct iomapi_file_opts *o,
		      const char *spec);
/* Says what is wrong, with the path, and returns the error. */
int iomapi_file_refuse(const struct iomapi_file_dev *dev, const struct iomapi_file_opts *o,
		       int error, const char *field, uint64_t value, uint64_t bound,
		       const char *what);

#endif
