/* SPDX-License-Identifier: MIT */
/*
 * memdev_spec.c - the device string of a memory device: its name, and options that change limits.
 *
 * Threads: no state.
 */
#include "harness/memdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int parse_size(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	*value = strtoull(text, &end, 10);
	switch (*end) {
	case 'k': *value <<= 10; end++; break;
	case 'm': *value <<= 20; end++; break;
	case 'g': *value <<= 30; end++; break;
	}
	return *end ? -EINVAL : 0;
}

static int parse_value(struct iomap_bdev_limits *l, const char *key, uint64_t value)
{
	const struct {
		const char *key;
		uint32_t *to;
	} small[] = {
		{ "block", &l->logical_block }, { "align", &l->memory_align },
		{ "segs", &l->max_segs }, { "depth", &l->queue_depth },
		{ "atomic", &l->atomic_max },
	};

	for (unsigned i = 0; i < sizeof(small) / sizeof(small[0]); i++)
		if (!strcmp(key, small[i].key)) {
			*small[i].to = (uint32_t)value;
			return 0;
		}
	if (strcmp(key, "size") && strcmp(key, "max"))
		return -EINVAL;
	*(key[0] == 's' ? &l->size : &l->max_bytes) = value;
	return 0;
}

static int parse_option(struct iomap_bdev_limits *l, char *option)
{
	char *equals = strchr(option, '=');
	uint64_t value;

	if (equals) {
		*equals = '\0';
		return parse_size(equals + 1, &value) ? -EINVAL : parse_value(l, option, value);
	}
	if (!strcmp(option, "nocache"))
		l->caps &= ~(IOMAP_CAP_VOLATILE_CACHE | IOMAP_CAP_FUA);
	else if (!strcmp(option, "nofua"))
		l->caps &= ~IOMAP_CAP_FUA;
	else if (!strcmp(option, "nozeroes"))
		l->caps &= ~(IOMAP_CAP_WRITE_ZEROES | IOMAP_CAP_DISCARD);
	else if (!strcmp(option, "zoned"))
		l->caps |= IOMAP_CAP_ZONED | IOMAP_CAP_ZONE_APPEND;
	else
		return -EINVAL;
	return 0;
}

int t_mem_parse(const char *path, char *name, size_t name_size, struct iomap_bdev_limits *l)
{
	char copy[256], *save, *word;

	if (!path || strlen(path) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, path);
	word = strtok_r(copy, ",", &save);
	if (!word || strlen(word) >= name_size)
		return -EINVAL;
	strcpy(name, word);
	while ((word = strtok_r(NULL, ",", &save)))
		if (parse_option(l, word))
			return -EINVAL;
	l->physical_block = l->logical_block;
	if (l->atomic_max)
		l->atomic_min = l->logical_block;
	if (l->caps & IOMAP_CAP_ZONED) {
		l->zone_size = l->zone_capacity = T_MEM_ZONE;
		l->max_append = l->max_bytes;
		l->max_open_zones = 14;
	}
	return 0;
}
