/* SPDX-License-Identifier: MIT */
/*
 * aio_kernel.h - the calls of libaio once more, in front of the real ones.
 *
 * For one test program: each does what a kernel may do by the book, when it is asked to, and leaves
 * the rest to the real kernel.
 */
#ifndef AIO_KERNEL_H
#define AIO_KERNEL_H

#include <dlfcn.h>
#include <libaio.h>

#include "harness/harness.h"

#define NR_HELD 8

/* What is asked of the next calls, and what was seen.  Each case begins with zeros, in a process of
 * its own; where two threads call, they take turns. */
static struct {
	int setup_error, poll_error;	/* poll: of the wake-up's request */
	unsigned most;			/* requests that one io_submit takes; 0: all */
	unsigned nr_failing;		/* io_submits that fail with.. */
	int error;
	int refused_error;		/* for the request at this address */
	long long refused_addr;
	int refused_op;			/* -EINVAL for this one, 0: none */
	size_t cut;			/* bytes that a request transfers at most; 0: all */
	bool transfers_nothing;
	unsigned nr_interrupted;	/* io_getevents that fail with -EINTR */
	bool holds;			/* requests are taken, and not sent before release() */

	unsigned nr_submits, nr_requests, nr_fdatasyncs;
	unsigned rw_flags;		/* of the last one */
	io_context_t ctx;
	struct iocb held[NR_HELD];
	struct iovec held_iovs[NR_HELD];
	unsigned nr_held;
} kernel;

static void *real(const char *name)
{
	void *fn = dlsym(RTLD_NEXT, name);

	ck_assert_ptr_nonnull(fn);
	return fn;
}

int io_setup(int maxevents, io_context_t *ctxp)
{
	int (*fn)(int, io_context_t *) = (int (*)(int, io_context_t *))real("io_setup");

	return kernel.setup_error ? kernel.setup_error : fn(maxevents, ctxp);
}

static int real_submit(io_context_t ctx, long nr, struct iocb **iocbs)
{
	int (*fn)(io_context_t, long, struct iocb **) =
		(int (*)(io_context_t, long, struct iocb **))real("io_submit");

	return fn(ctx, nr, iocbs);
}

static bool has_vector(const struct iocb *iocb)
{
	return iocb->aio_lio_opcode == IO_CMD_PREADV || iocb->aio_lio_opcode == IO_CMD_PWRITEV;
}

/* The request with a vector that outlives the call, of one segment that may be cut short. */
static void copy_request(struct iocb *to, struct iovec *iov, const struct iocb *from)
{
	*to = *from;
	to->aio_rw_flags &= ~0x40;	/* RWF_ATOMIC, which the file may not have */
	if (!has_vector(from))
		return;
	*iov = *(const struct iovec *)from->u.c.buf;
	if (kernel.cut && iov->iov_len > kernel.cut)
		iov->iov_len = kernel.cut;
	to->u.c.buf = iov;
	to->u.c.nbytes = 1;
}

static int submit_one(io_context_t ctx, struct iocb *iocb)
{
	struct iocb copy, *one = &copy;
	struct iovec iov;

	kernel.rw_flags = iocb->aio_rw_flags;
	if (kernel.refused_error && iocb->u.c.offset == kernel.refused_addr)
		return kernel.refused_error;
	if (kernel.refused_op && iocb->aio_lio_opcode == kernel.refused_op)
		return -EINVAL;
	if (kernel.holds) {
		ck_assert_uint_lt(kernel.nr_held, NR_HELD);
		copy_request(&kernel.held[kernel.nr_held], &kernel.held_iovs[kernel.nr_held],
			     iocb);
		kernel.nr_held++;
		return 1;
	}
	if (!kernel.cut)
		return real_submit(ctx, 1, &iocb);
	copy_request(&copy, &iov, iocb);
	return real_submit(ctx, 1, &one);
}

/* Request by request, as the kernel does it: the first that fails ends the call. */
int io_submit(io_context_t ctx, long nr, struct iocb **iocbs)
{
	if (iocbs[0]->aio_lio_opcode == IO_CMD_POLL)
		return kernel.poll_error ? kernel.poll_error : real_submit(ctx, nr, iocbs);
	kernel.nr_submits++;
	kernel.ctx = ctx;
	if (kernel.nr_failing) {
		kernel.nr_failing--;
		return kernel.error;
	}
	if (kernel.most && nr > (long)kernel.most)
		nr = (long)kernel.most;
	for (long i = 0; i < nr; i++) {
		int rc = submit_one(ctx, iocbs[i]);

		if (rc != 1)
			return i ? (int)i : rc;
		kernel.nr_requests++;
	}
	return (int)nr;
}

/* Any thread; what was held is sent now. */
static void release(void)
{
	for (unsigned i = 0; i < kernel.nr_held; i++) {
		struct iocb *one = &kernel.held[i];

		ck_assert_int_eq(real_submit(kernel.ctx, 1, &one), 1);
	}
	kernel.nr_held = 0;
}

int io_getevents(io_context_t ctx, long min, long nr, struct io_event *events,
		 struct timespec *timeout)
{
	int (*fn)(io_context_t, long, long, struct io_event *, struct timespec *) =
		(int (*)(io_context_t, long, long, struct io_event *, struct timespec *))
		real("io_getevents");
	int n;

	if (kernel.nr_interrupted) {
		kernel.nr_interrupted--;
		return -EINTR;
	}
	n = fn(ctx, min, nr, events, timeout);
	for (int i = 0; i < n && kernel.transfers_nothing; i++)
		if (events[i].data)
			events[i].res = 0;
	return n;
}

int fdatasync(int fd)
{
	int (*fn)(int) = (int (*)(int))real("fdatasync");

	kernel.nr_fdatasyncs++;
	return fn(fd);
}

#endif
