/* SPDX-License-Identifier: MIT */
/*
 * backend/file_spec.c - "PATH[,size=N,create]" into options.
 *
 * The path ends at the first comma.  What is wrong is said with the path, in the log.
 *
 * Threads: any, each with options of its own.
 */
#include <stdio.h>
#include <string.h>

#include "backend/file_spec.h"
#include "base/log.h"

int iomapi_file_refuse(const struct iomapi_file_dev *dev, const struct iomapi_file_opts *o,
		       int error, const char *field, uint64_t value, uint64_t bound,
		       const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "%s:%.150s: %s", dev->scheme, o->path, what);
	iomapi_report(dev->env, .rule = "device", .callback = dev->scheme, .field = field,
		      .value = value, .bound = bound, .text = text);
	return error;
}

static int parse_option(const struct iomapi_file_dev *dev, struct iomapi_file_opts *o,
			const char *word)
{
	char what[96];

	if (!strcmp(word, "create")) {
		o->create = true;
		return 0;
	}
	if (!strncmp(word, "size=", 5)) {
		o->has_size = true;
		if (!iomapi_parse_size(word + 5, &o->size))
			return 0;
		snprintf(what, sizeof(what), "size=%.40s is not a size", word + 5);
		return iomapi_file_refuse(dev, o, -EINVAL, "size", 0, 0, what);
	}
	snprintf(what, sizeof(what), "unknown option \"%.40s\"", word);
	return iomapi_file_refuse(dev, o, -EINVAL, "option", 0, 0, what);
}

int iomapi_file_parse(const struct iomapi_file_dev *dev, struct iomapi_file_opts *o,
		      const char *spec)
{
	char *word, *save;
	int rc = 0;

	if (!*spec || strlen(spec) >= sizeof(o->path))
		return iomapi_file_refuse(dev, o, -EINVAL, "path", strlen(spec),
					  sizeof(o->path) - 1, "path empty or too long");
	strcpy(o->path, spec);
	strtok_r(o->path, ",", &save);
	while (!rc && (word = strtok_r(NULL, ",", &save)))
		rc = parse_option(dev, o, word);
	if (!rc && o->create && o->flags & IOMAP_BDEV_RDONLY)
		rc = iomapi_file_refuse(dev, o, -EINVAL, "create", 0, 0,
					"create and read-only exclude each other");
	return rc;
}
