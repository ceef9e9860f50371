/* SPDX-License-Identifier: MIT */
/*
 * backend/uring.h - one io_uring: uring_setup.c makes it, uring_table.c fills its tables of files
 * and memory, uring.c is the way of a bio through it, uring_dev.c has the devices.
 *
 * Threads: calls on a queue are serialised (with SINGLE_ISSUER they all come from its owner); only
 * wakeup may come from anywhere, and it touches nothing but wake_fd.
 */
#ifndef IOMAPI_URING_H
#define IOMAPI_URING_H

#include <liburing.h>

#include "backend/file.h"

#define IOMAPI_URING_IOVS	4096	/* of vectored requests between two submissions */
#define IOMAPI_URING_REGIONS	256	/* registered ranges of memory */
#define IOMAPI_URING_CHUNK	((size_t)1 << 30)	/* the kernel's limit for one buffer */
#define IOMAPI_URING_CHUNKS	4096	/* in all regions together */
#define IOMAPI_URING_QUEUES	16	/* of one device */

/* Newer than the headers we build with; asked for at run time. */
#define IOMAPI_OP_READV_FIXED	60
#define IOMAPI_OP_WRITEV_FIXED	61
#define IOMAPI_FEAT_MIN_TIMEOUT	(1u << 15)

struct iomapi_uring_region {		/* of memory, in the kernel's table of buffers */
	char *base;
	size_t len;
	uint32_t first;			/* its chunks stand there one after the other */
};

struct iomapi_uring {
	struct iomap_env *env;
	struct io_uring ring;
	uint32_t depth;
	bool sqpoll, has_vectored_fixed;
	bool starved;			/* the kernel did not take all that was prepared */

	/* wakeup: a poll of wake_fd is always under way; what it finds ends a reap.  A read would
	 * save a call, but the kernel may finish it in memory that close has freed. */
	int wake_fd;
	bool wake_armed;

	int event_fd;			/* -1: nobody asked for one */

	uint32_t nr_bios;		/* taken and not given back.. */
	uint32_t nr_patient;		/* ..writes in the background among them */
	struct iomapi_fifo again;	/* to be prepared once more: short, interrupted */
	struct iovec *iovs;		/* of what was prepared since all was last submitted */
	uint32_t nr_iovs;
	struct iovec by_hand[IOMAPI_FILE_SEGS];	/* for what has no asynchronous call */

	/* the kernel's tables of files and buffers */
	uint32_t max_files, nr_free_files;	/* none free where the kernel has no such table */
	int32_t *free_files;
	bool has_buffers;
	struct {
		uint32_t in_flight;
		bool taken;
	} chunks[IOMAPI_URING_CHUNKS];
	struct iomapi_uring_region *regions;	/* ascending by base */
	uint32_t nr_regions;
	struct iomapi_uring_region *last;	/* where the last one was found */
};

struct iomapi_uring_dev {
	struct iomapi_file_dev *file;
	uint32_t nr_queues;
	struct {
		struct iomapi_uring *queue;
		int32_t slot;			/* in its table of files; -1: none */
	} on[IOMAPI_URING_QUEUES];
};

/* uring.c: as in iomap_backend_ops. */
enum iomap_queued iomapi_uring_queue(void *queue, void *dev, struct iomap_bio *bio);
int iomapi_uring_commit(void *queue);
int iomapi_uring_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		      int64_t timeout_ns);
void iomapi_uring_wakeup(void *queue);
int iomapi_uring_event_fd(void *queue);

/* uring_setup.c.  *reason says why not, or what is missing. */
int iomapi_uring_open(struct iomap_env *env, const struct iomap_ioq_opts *opts,
		      struct iomapi_uring **result, const char **reason);
void iomapi_uring_close(struct iomapi_uring *q);
void iomapi_uring_abandon(struct iomapi_uring *q);	/* in a forked child */

/* uring_table.c.  A slot for a descriptor, -1: none is to be had, and it works without. */
int32_t iomapi_uring_file_add(struct iomapi_uring *q, int fd);
void iomapi_uring_file_del(struct iomapi_uring *q, int32_t slot);
int iomapi_uring_memory_add(struct iomapi_uring *q, void *base, size_t len);
int iomapi_uring_memory_del(struct iomapi_uring *q, void *base, size_t len);
/* The place of the chunk that holds all of it; -1: none does. */
int iomapi_uring_memory_find(struct iomapi_uring *q, const void *mem, size_t len);

#endif
