/* SPDX-License-Identifier: MIT */
/*
 * backend/backend.h - what the built-in backends share: a list of bios, sizes and options in device
 * strings.
 */
#ifndef IOMAPI_BACKEND_H
#define IOMAPI_BACKEND_H

#include <iomap/backend.h>

#include "base/env.h"

extern const struct iomap_backend_ops iomapi_null_backend, iomapi_uring_backend;
extern const struct iomap_backend_ops iomapi_aio_backend, iomapi_file_backend;

/* First in, first out, linked through bio->backend[0]: a backend's from queue to reap. */
struct iomapi_fifo {
	struct iomap_bio *head, *tail;
	uint32_t nr;
};

static inline void iomapi_fifo_push(struct iomapi_fifo *fifo, struct iomap_bio *bio)
{
	bio->backend[0] = 0;
	if (fifo->nr++)
		fifo->tail->backend[0] = (uintptr_t)bio;
	else
		fifo->head = bio;
	fifo->tail = bio;
}

static inline struct iomap_bio *iomapi_fifo_pop(struct iomapi_fifo *fifo)
{
	struct iomap_bio *bio = fifo->head;

	fifo->head = (struct iomap_bio *)(uintptr_t)bio->backend[0];
	fifo->nr--;
	return bio;
}

/* "4096", "64k", "16m", "1g", "2t"; -EINVAL for anything else, and what does not fit an address. */
static inline int iomapi_parse_size(const char *text, uint64_t *size)
{
	uint64_t n = 0;
	unsigned shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (n > (uint64_t)INT64_MAX / 10 - 1)
			return -EINVAL;
		n = n * 10 + (uint64_t)(*text - '0');
	}
	switch (*text | 0x20) {
	case 'k':
		shift = 10;
		break;
	case 'm':
		shift = 20;
		break;
	case 'g':
		shift = 30;
		break;
	case 't':
		shift = 40;
		break;
	}
	text += shift != 0;
	if (*text || n > (uint64_t)INT64_MAX >> shift)
		return -EINVAL;
	*size = n << shift;
	return 0;
}

#endif
