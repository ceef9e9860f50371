/* SPDX-License-Identifier: MIT */
/*
 * peer_ring.c - a bare ring, as somebody writes it who knows it well and needs nothing else.
 *
 * O_DIRECT, a registered file, a ring of this thread alone whose completions run when it waits.  It
 * is filled, one system call submits all and waits until some completed, these are taken in one go.
 *
 *	sqe-per-page	a write from registered memory each
 *	writev		what follows in the file goes into the same request, a segment each, up to
 *			1024 of them and to what the device takes at once
 *
 * Threads: one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peer.h"

#define MAX_SEGS	1024u
#define MAX_CHUNK	((size_t)1 << 30)	/* of registered memory: the kernel's limit */
#define MAX_CHUNKS	64u

struct request {
	uint32_t len;
	struct iovec *iov;
};
struct peer {
	struct peer_job job;
	struct io_uring ring;
	bool has_ring, coalesce, registered, deferred;
	int fd;
	uint64_t max_bytes;
	uint64_t next;			/* of the job */
	struct request *requests;	/* depth of them */
	struct iovec *iov;
	uint32_t *idle, nr_idle;
	char how[160];
};

/* ---- one pass ---- */

static char *memory_of(const struct peer_job *job, uint64_t i)
{
	return job->memory + (size_t)(job->slot ? job->slot[i] : i) * job->size;
}

static void prepare_one(struct peer *p, struct io_uring_sqe *sqe, struct request *r)
{
	const struct peer_job *job = &p->job;
	char *mem = memory_of(job, p->next);
	uint64_t pos = (uint64_t)job->pos[p->next++];

	r->len = job->size;
	if (!p->registered && job->read)
		io_uring_prep_read(sqe, 0, mem, job->size, pos);
	else if (!p->registered)
		io_uring_prep_write(sqe, 0, mem, job->size, pos);
	else if (job->read)
		io_uring_prep_read_fixed(sqe, 0, mem, job->size, pos,
					 (int)((size_t)(mem - job->memory) / MAX_CHUNK));
	else
		io_uring_prep_write_fixed(sqe, 0, mem, job->size, pos,
					  (int)((size_t)(mem - job->memory) / MAX_CHUNK));
}

static void prepare_run(struct peer *p, struct io_uring_sqe *sqe, struct request *r)
{
	const struct peer_job *job = &p->job;
	int64_t pos = job->pos[p->next];
	unsigned n = 0;

	r->len = 0;
	while (p->next < job->nr && n < MAX_SEGS && job->pos[p->next] == pos + r->len &&
	       (!n || r->len + job->size <= p->max_bytes)) {
		r->iov[n++] = (struct iovec){ memory_of(job, p->next++), job->size };
		r->len += job->size;
	}
	io_uring_prep_writev(sqe, 0, r->iov, n, (uint64_t)pos);
}

static void fill(struct peer *p)
{
	while (p->nr_idle && p->next < p->job.nr) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
		uint32_t i = p->idle[--p->nr_idle];

		if (p->coalesce)
			prepare_run(p, sqe, &p->requests[i]);
		else
			prepare_one(p, sqe, &p->requests[i]);
		io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
		io_uring_sqe_set_data64(sqe, i);
	}
}

static int take(struct peer *p)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;
	int rc = 0;

	io_uring_for_each_cqe(&p->ring, head, cqe) {
		uint32_t i = (uint32_t)io_uring_cqe_get_data64(cqe);

		if (cqe->res != (int)p->requests[i].len)
			rc = cqe->res < 0 ? cqe->res : -EIO;
		p->idle[p->nr_idle++] = i;
		n++;
	}
	io_uring_cq_advance(&p->ring, n);
	return rc;
}

static int ring_pass(void *arg)
{
	struct peer *p = arg;
	uint32_t depth = p->job.depth;
	int rc = 0, error;

	p->next = 0;
	while (p->next < p->job.nr || p->nr_idle < depth) {
		unsigned in_flight, wait;

		fill(p);
		in_flight = depth - p->nr_idle;
		wait = p->next < p->job.nr && p->job.wait < in_flight ? p->job.wait : in_flight;
		error = io_uring_submit_and_wait(&p->ring, wait);
		if (error < 0 && error != -EINTR)
			return error;
		error = take(p);
		rc = rc ? rc : error;
	}
	return rc;
}

/* ---- life ---- */

static uint64_t max_bytes_of(int fd)
{
	unsigned short sectors = 0;
	struct stat st;

	if (!fstat(fd, &st) && S_ISBLK(st.st_mode) && !ioctl(fd, BLKSECTGET, &sectors) && sectors)
		return (uint64_t)sectors * 512;
	return UINT32_MAX / 2;
}

static int open_ring(struct peer *p)
{
	unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	int rc = io_uring_queue_init(p->job.depth, &p->ring, flags);

	p->deferred = !rc;
	if (rc == -EINVAL)		/* before Linux 6.1 */
		rc = io_uring_queue_init(p->job.depth, &p->ring, 0);
	p->has_ring = !rc;
	return rc ? rc : io_uring_register_files(&p->ring, &p->fd, 1);
}

static bool register_memory(struct peer *p)
{
	struct iovec iov[MAX_CHUNKS];
	size_t len = p->job.memory_len;
	unsigned n = 0;

	for (size_t at = 0; at < len && n < MAX_CHUNKS; at += MAX_CHUNK)
		iov[n++] = (struct iovec){ p->job.memory + at,
					   len - at < MAX_CHUNK ? len - at : MAX_CHUNK };
	return !io_uring_register_buffers(&p->ring, iov, n);
}

static int make_requests(struct peer *p)
{
	uint32_t depth = p->job.depth;

	p->requests = calloc(depth, sizeof(*p->requests));
	p->idle = calloc(depth, sizeof(*p->idle));
	if (p->coalesce)
		p->iov = calloc((size_t)depth * MAX_SEGS, sizeof(*p->iov));
	if (!p->requests || !p->idle || (p->coalesce && !p->iov))
		return -ENOMEM;
	for (uint32_t i = 0; i < depth; i++) {
		p->idle[p->nr_idle++] = i;
		if (p->coalesce)
			p->requests[i].iov = p->iov + (size_t)i * MAX_SEGS;
	}
	return 0;
}

static void ring_close(struct peer *p)
{
	if (p->has_ring)
		io_uring_queue_exit(&p->ring);
	if (p->fd >= 0)
		close(p->fd);
	free(p->requests);
	free(p->idle);
	free(p->iov);
	free(p);
}

static int ring_open(const struct peer_job *job, struct peer **result, bool coalesce)
{
	struct peer *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->job = *job;
	p->coalesce = coalesce;
	p->fd = open(job->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	rc = p->fd < 0 ? -errno : open_ring(p);
	if (!rc)
		rc = make_requests(p);
	if (rc) {
		ring_close(p);
		return rc;
	}
	p->max_bytes = max_bytes_of(p->fd);
	p->registered = !coalesce && register_memory(p);
	snprintf(p->how, sizeof(p->how), "a bare ring of %u, waits for %u: O_DIRECT, registered "
		 "file, %s, %s", job->depth, job->wait,
		 p->registered ? "registered memory" : "memory not registered",
		 p->deferred ? "deferred completions" : "no deferred completions");
	*result = p;
	return 0;
}

static const char *ring_how(void *arg)
{
	return ((struct peer *)arg)->how;
}

static int open_per_page(const struct peer_job *job, struct peer **peer)
{
	return ring_open(job, peer, false);
}

static int open_writev(const struct peer_job *job, struct peer **peer)
{
	return ring_open(job, peer, true);
}

const struct peer_ops peer_sqe = {
	.name = "sqe-per-page", .open = open_per_page, .pass = ring_pass, .how = ring_how,
	.close = ring_close,
};
const struct peer_ops peer_writev = {
	.name = "writev", .open = open_writev, .pass = ring_pass, .how = ring_how,
	.close = ring_close,
};
