/* SPDX-License-Identifier: MIT */
/*
 * backend/uring_setup.c - a ring is made, or it is said in words why not.
 *
 * Containers deny io_uring, kernels lack features: each of that is -ENOTSUP with a reason, and who
 * asked for auto: goes on with something else.  What a newer kernel does better is asked for first
 * and given up one by one.
 *
 * Threads: the one that opens the first device; with SINGLE_ISSUER the ring is then that thread's.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/uring.h"

/* What uring.c takes for granted: nothing is dropped, arguments are read at submission, waits have
 * time-outs, a read of the wake-up descriptor costs no thread. */
#define NEEDED (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG | \
		IORING_FEAT_FAST_POLL)
#define SQPOLL_IDLE_MS	50

/* ---- why not ---- */

static char sysctl_says(void)
{
	int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
	char c = '0';

	if (fd < 0)
		return c;
	if (read(fd, &c, 1) != 1)
		c = '0';
	close(fd);
	return c;
}

static const char *why_denied(void)
{
	switch (sysctl_says()) {
	case '1':
		return "io_uring is for privileged processes only (kernel.io_uring_disabled=1)";
	case '2':
		return "io_uring is switched off (kernel.io_uring_disabled=2)";
	}
	return "io_uring is denied (EPERM), as the seccomp filters of containers do";
}

static int cannot(int error, const char **reason)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		*reason = why_denied();
		return -ENOTSUP;
	case -ENOSYS:
		*reason = "this kernel has no io_uring, or a filter says so (ENOSYS)";
		return -ENOTSUP;
	case -EINVAL:
		*reason = "this kernel's io_uring is too old";
		return -ENOTSUP;
	case -ENOMEM:
		*reason = "no memory for a ring: more of it, or a higher RLIMIT_MEMLOCK, helps";
		return -ENOTSUP;
	case -EMFILE:
	case -ENFILE:
		*reason = "too many open files for a ring: raise RLIMIT_NOFILE";
		return error;
	}
	*reason = strerror(-error);
	return error;
}

/* ---- the ring ---- */

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static int try_ring(struct iomapi_uring *q, unsigned flags)
{
	/* Room for each bio, the wake-up, and what is prepared again. */
	struct io_uring_params p = {
		.flags = flags | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
		.cq_entries = power_of_two(q->depth + 64) * 2,
		.sq_thread_idle = SQPOLL_IDLE_MS,
	};
	int rc = io_uring_queue_init_params(power_of_two(q->depth + 1), &q->ring, &p);

	if (rc)
		return rc;
	if ((p.features & NEEDED) == NEEDED)
		return 0;
	io_uring_queue_exit(&q->ring);
	return -EINVAL;
}

static int make_ring(struct iomapi_uring *q, unsigned ioq_flags, const char **reason)
{
	/* A completion that needs its submitter's thread must not wait until that thread enters the
	 * kernel by itself: another one may reap.  So the cheaper ways are for single issuers. */
	static const unsigned shared[] = { IORING_SETUP_SUBMIT_ALL, 0 };
	static const unsigned single[] = {
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_SUBMIT_ALL, 0,
	};
	const unsigned *flags = ioq_flags & IOMAP_IOQ_SINGLE_ISSUER ? single : shared;
	int rc;

	if (ioq_flags & IOMAP_IOQ_SQPOLL) {
		rc = try_ring(q, IORING_SETUP_SQPOLL);
		q->sqpoll = !rc;
		if (!rc)
			return 0;
		*reason = "without SQPOLL, which the kernel refuses";
	}
	do
		rc = try_ring(q, *flags);
	while (rc == -EINVAL && *flags++);
	return rc;
}

static bool supports(const struct io_uring_probe *probe, const int *ops)
{
	for (; *ops >= 0; ops++)
		if (!io_uring_opcode_supported(probe, *ops))
			return false;
	return true;
}

static int probe_ring(struct iomapi_uring *q)
{
	static const int needed[] = {
		IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_READ, IORING_OP_WRITE,
		IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
		IORING_OP_POLL_ADD, -1,
	};
	static const int vectored[] = { IOMAPI_OP_READV_FIXED, IOMAPI_OP_WRITEV_FIXED, -1 };
	struct io_uring_probe *probe = io_uring_get_probe_ring(&q->ring);
	bool enough;

	if (!probe)
		return -EINVAL;
	enough = supports(probe, needed);
	q->has_vectored_fixed = supports(probe, vectored);
	io_uring_free_probe(probe);
	return enough ? 0 : -EINVAL;
}

/* Registered files save the look-up of each request's descriptor; without them it works too. */
static void make_file_table(struct iomapi_uring *q)
{
	if (io_uring_register_files_sparse(&q->ring, q->max_files))
		return;
	q->nr_free_files = q->max_files;
	for (uint32_t i = 0; i < q->max_files; i++)
		q->free_files[i] = (int32_t)(q->max_files - 1 - i);
}

/* ---- life ---- */

static void free_all(struct iomapi_uring *q)
{
	iomapi_free(q->env, q->regions, IOMAPI_URING_REGIONS * sizeof(*q->regions));
	iomapi_free(q->env, q->iovs, IOMAPI_URING_IOVS * sizeof(*q->iovs));
	iomapi_free(q->env, q->free_files, q->max_files * sizeof(*q->free_files));
	iomapi_free(q->env, q, sizeof(*q));
}

static struct iomapi_uring *alloc_all(struct iomap_env *env, const struct iomap_ioq_opts *opts)
{
	struct iomapi_uring *q = iomapi_zalloc(env, sizeof(*q));

	if (!q)
		return NULL;
	q->env = env;
	q->depth = opts->depth;
	q->event_fd = -1;
	q->max_files = opts->max_devices;
	q->free_files = iomapi_zalloc(env, q->max_files * sizeof(*q->free_files));
	q->iovs = iomapi_zalloc(env, IOMAPI_URING_IOVS * sizeof(*q->iovs));
	q->regions = iomapi_zalloc(env, IOMAPI_URING_REGIONS * sizeof(*q->regions));
	if (q->free_files && q->iovs && q->regions)
		return q;
	free_all(q);
	return NULL;
}

static int open_ring(struct iomapi_uring *q, unsigned ioq_flags, const char **reason)
{
	int rc = make_ring(q, ioq_flags, reason);

	if (rc)
		return rc;
	rc = probe_ring(q);
	/* A filter may let a ring be made and not be used: what went in would never come out. */
	if (!rc)
		rc = io_uring_enter((unsigned)q->ring.ring_fd, 0, 0, 0, NULL);
	if (rc) {
		io_uring_queue_exit(&q->ring);
		return rc;
	}
	io_uring_ring_dontfork(&q->ring);	/* a child must not touch it, even by mistake */
	make_file_table(q);
	return 0;
}

int iomapi_uring_open(struct iomap_env *env, const struct iomap_ioq_opts *opts,
		      struct iomapi_uring **result, const char **reason)
{
	struct iomapi_uring *q = alloc_all(env, opts);
	int rc;

	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	q->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = q->wake_fd < 0 ? -errno : open_ring(q, opts->flags, reason);
	if (!rc) {
		*result = q;
		return 0;
	}
	if (q->wake_fd >= 0)
		close(q->wake_fd);
	free_all(q);
	return cannot(rc, reason);
}

static void close_events(struct iomapi_uring *q)
{
	close(q->wake_fd);
	if (q->event_fd >= 0)
		close(q->event_fd);
}

void iomapi_uring_close(struct iomapi_uring *q)
{
	io_uring_queue_exit(&q->ring);
	close_events(q);
	free_all(q);
}

void iomapi_uring_abandon(struct iomapi_uring *q)
{
	close(q->ring.ring_fd);		/* what it maps is not here, and it is not ours to drain */
	close_events(q);
	free_all(q);
}
