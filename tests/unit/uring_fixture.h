/* SPDX-License-Identifier: MIT */
/*
 * uring_fixture.h - the calls of liburing, each of which can be made to do worse than it would.
 *
 * A test program that defines a function of liburing gets the library's calls of it; behind it
 * stands the real one, and a real ring.  fault says what goes wrong; all of it is off at first.
 *
 * Threads: one.
 */
#ifndef T_URING_FIXTURE_H
#define T_URING_FIXTURE_H

#include <dlfcn.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness/devices.h"

#define KB 1024u
#define NR_OPS 64

static struct {
	/* a call answers this, so many times */
	int init_error, enter_error, submit_error, wait_error;
	int files_error, buffers_error, memory_error;
	unsigned nr_submit, nr_wait;
	unsigned memory_after;		/* memory_error only after so many parts */
	unsigned hold_back;		/* entries that the next submission leaves in the ring */
	unsigned most_peeked;		/* completions that one look finds; 0: all */
	uint32_t features_missing;	/* of the ring */
	unsigned flags_refused;		/* a ring with one of these is -EINVAL */
	unsigned entries;		/* of a small ring; 0: as asked */
	int op_missing;			/* the probe does not know it; 0: knows all */
	uint32_t cut;			/* transfers are made so long; 0: as they are */
	int res;			/* completions of bios say this, nr_res of them */
	unsigned nr_res;
} fault;
static struct {
	unsigned nr_submits, ops[NR_OPS], nr_fixed_files, nr_async;
	int nr_buffers;			/* registered now */
	unsigned wake_op;		/* what watches the wake-up descriptor */
	unsigned most_waited_for;	/* completions, in one wait of io_uring_enter2 */
} seen;

#define real(name) \
	__typeof__(&name) real_##name = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name)

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p)
{
	real(io_uring_queue_init_params);
	int rc;

	if (fault.init_error)
		return fault.init_error;
	if (p->flags & fault.flags_refused)
		return -EINVAL;
	if (fault.entries)
		entries = p->cq_entries = fault.entries;
	rc = real_io_uring_queue_init_params(entries, ring, p);
	p->features &= ~fault.features_missing;
	if (!rc)
		ring->features = p->features;
	return rc;
}

int io_uring_enter(unsigned fd, unsigned nr, unsigned min, unsigned flags, sigset_t *mask)
{
	real(io_uring_enter);

	return fault.enter_error ? fault.enter_error
				 : real_io_uring_enter(fd, nr, min, flags, mask);
}

/* What is about to be sent: count it, and cut it short. */
static void look_at_entries(struct io_uring *ring, unsigned tail)
{
	for (unsigned i = *ring->sq.khead; i != tail; i++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];
		bool mine = sqe->user_data > 1;

		if (!mine) {
			seen.wake_op = sqe->opcode;
			continue;
		}
		seen.ops[sqe->opcode % NR_OPS]++;
		seen.nr_fixed_files += (sqe->flags & IOSQE_FIXED_FILE) != 0;
		seen.nr_async += (sqe->flags & IOSQE_ASYNC) != 0;
		if (!fault.cut)
			continue;
		if (sqe->opcode == IORING_OP_READV || sqe->opcode == IORING_OP_WRITEV) {
			struct iovec *iov = (struct iovec *)(uintptr_t)sqe->addr;

			sqe->len = 1;
			if (iov->iov_len > fault.cut)
				iov->iov_len = fault.cut;
		} else if (sqe->len > fault.cut && sqe->opcode != IORING_OP_FSYNC) {
			sqe->len = fault.cut;
		}
	}
}

int io_uring_submit(struct io_uring *ring)
{
	real(io_uring_submit);
	unsigned tail = ring->sq.sqe_tail, held = 0;
	int rc;

	if (fault.nr_submit) {
		fault.nr_submit--;
		return fault.submit_error;
	}
	if (fault.hold_back && tail - *ring->sq.khead > fault.hold_back) {
		held = fault.hold_back;
		fault.hold_back = 0;
	}
	seen.nr_submits++;
	look_at_entries(ring, tail - held);
	ring->sq.sqe_tail = tail - held;
	rc = real_io_uring_submit(ring);
	ring->sq.sqe_tail = tail;
	return rc;
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned nr,
				     struct __kernel_timespec *ts, sigset_t *mask)
{
	real(io_uring_submit_and_wait_timeout);

	if (fault.nr_wait) {
		fault.nr_wait--;
		return fault.wait_error;
	}
	look_at_entries(ring, ring->sq.sqe_tail);
	return real_io_uring_submit_and_wait_timeout(ring, cqe, nr, ts, mask);
}

unsigned io_uring_peek_batch_cqe(struct io_uring *ring, struct io_uring_cqe **cqes, unsigned max)
{
	real(io_uring_peek_batch_cqe);
	unsigned n = real_io_uring_peek_batch_cqe(
		ring, cqes, fault.most_peeked && max > fault.most_peeked ? fault.most_peeked : max);

	for (unsigned i = 0; i < n; i++) {
		if (cqes[i]->user_data <= 1 || !fault.nr_res)
			continue;
		cqes[i]->res = fault.res;
		fault.nr_res--;
	}
	return n;
}

int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min, unsigned flags, sigset_t *arg,
		    size_t size)
{
	real(io_uring_enter2);

	seen.most_waited_for = min > seen.most_waited_for ? min : seen.most_waited_for;
	return real_io_uring_enter2(fd, to_submit, min, flags, arg, size);
}

struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *ring)
{
	real(io_uring_get_probe_ring);
	struct io_uring_probe *probe = real_io_uring_get_probe_ring(ring);

	if (probe && fault.op_missing)
		probe->ops[fault.op_missing].flags = 0;
	return probe;
}

int io_uring_register_files_sparse(struct io_uring *ring, unsigned nr)
{
	real(io_uring_register_files_sparse);

	return fault.files_error ? fault.files_error
				 : real_io_uring_register_files_sparse(ring, nr);
}

int io_uring_register_buffers_sparse(struct io_uring *ring, unsigned nr)
{
	real(io_uring_register_buffers_sparse);

	return fault.buffers_error ? fault.buffers_error
				   : real_io_uring_register_buffers_sparse(ring, nr);
}

int io_uring_register_buffers_update_tag(struct io_uring *ring, unsigned off,
					 const struct iovec *iovs, const __u64 *tags, unsigned nr)
{
	real(io_uring_register_buffers_update_tag);
	int rc;

	if (iovs->iov_base && fault.memory_error && !fault.memory_after--)
		return fault.memory_error;
	rc = real_io_uring_register_buffers_update_tag(ring, off, iovs, tags, nr);
	if (rc > 0)
		seen.nr_buffers += iovs->iov_base ? rc : -rc;
	return rc;
}

/* ---- stories ---- */

/* A device of its own; false, and the case is skipped: there is no io_uring here. */
static inline bool start_uring(struct t_device *d)
{
	struct io_uring ring;
	bool here = !io_uring_queue_init(2, &ring, 0);

	if (!here)
		return false;
	io_uring_queue_exit(&ring);
	t_device_start(d, T_URING);
	return true;
}
#define START(d) \
	do { \
		if (!start_uring(d)) \
			t_skip("io_uring is denied here"); \
	} while (0)

/* nr bios of len bytes each, side by side from 0 on. */
static inline void send_all(struct t_device *d, struct t_bio *bios, unsigned nr,
			    enum iomap_bio_op op, uint8_t *mem, uint64_t len)
{
	struct iomap_plug plug;

	iomap_plug_start(&plug, d->t.env);
	for (unsigned i = 0; i < nr; i++) {
		t_bio_init(&bios[i], d->bdev, op, i * len, mem + i * len, len);
		iomap_bio_submit(&bios[i].bio);
	}
	iomap_plug_end(&plug);
}

/* All have ended, once, with this, in bounded time. */
static inline void all_end(struct t_device *d, struct t_bio *bios, unsigned nr, int status)
{
	ck_assert_int_eq(iomap_ioq_drain(d->ioq, 5000000000ll), 0);
	for (unsigned i = 0; i < nr; i++) {
		ck_assert_uint_eq(bios[i].nr_ends, 1);
		ck_assert_int_eq(bios[i].status, status);
	}
}

#endif
