/* SPDX-License-Identifier: MIT */
/*
 * backend/uring.c - "uring:PATH[,size=N,create]": a file or block device through io_uring.
 *
 *	queue	prepares an entry		commit	one system call for all of them
 *	reap	takes what is complete, waits if there is nothing, and prepares again what came
 *		back before it was whole
 *
 * How a bio is presented, the best that applies: one run of registered memory is a fixed read or
 * write; several runs in one registered chunk a vectored fixed one, where the kernel has it; one
 * run a plain read or write; else readv or writev.  FUA is a flag of the write.  An atomic write is
 * never a fixed one: kernels say -EINVAL to that (seen on 6.18, xfs).
 *
 * What comes back:
 *	short		the rest is prepared again; nothing at all is -EIO
 *	interrupted	-EINTR, and -ECANCELED when the thread that submitted has ended meanwhile
 *			and took its part of the ring's workers with it: prepared again
 *	-EAGAIN		once more, by a worker of the kernel that may block; then it is an error
 *	-EOPNOTSUPP	of a discard or of zeroes: by hand, as file: does it
 * What the kernel does not take at once (-EAGAIN, -EBUSY, a part of a batch) stays in the ring and
 * goes with the next call; a reap that has nothing to wait for sleeps shortly and tries again.
 *
 * Threads: calls on a queue are serialised; wakeup from any.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/uring.h"

#define REAP_BATCH	64
#define STARVED_MS	1		/* until the kernel is asked again */
#define LONG_SECONDS	3600		/* no time-out */
#define PATIENT_USEC	400		/* how late a write may be told of that nobody waits for */
#define WAKE_DATA	1		/* user data of the wake-up's poll; bios are aligned */

/* The words of a bio that are ours from queue to reap; the first links it into a fifo. */
enum { W_LINK, W_DEV, W_DONE, W_CHUNK, W_ASYNC };

static struct iomapi_uring_dev *dev_of(const struct iomap_bio *bio)
{
	return (struct iomapi_uring_dev *)(uintptr_t)bio->backend[W_DEV];
}

static bool is_patient(const struct iomap_bio *bio)
{
	return bio->op == IOMAP_BIO_WRITE && !bio->priority;
}

/* ---- to the kernel ---- */

static bool all_sent(const struct iomapi_uring *q)
{
	return !io_uring_sq_ready(&q->ring);
}

/* After an answer to a submission: may another one follow at once? */
static bool settle(struct iomapi_uring *q, int rc)
{
	if (all_sent(q))
		q->nr_iovs = 0;		/* the kernel has read them */
	q->starved = rc < 0 && rc != -EINTR && rc != -ETIME;
	return !q->starved;
}

static void submit(struct iomapi_uring *q)
{
	if (q->sqpoll) {
		settle(q, io_uring_submit(&q->ring));
		return;
	}
	while (!all_sent(q) && settle(q, io_uring_submit(&q->ring)))
		;
}

/* Room for an entry.  What was prepared may have been sent meanwhile, and its vectors are free. */
static bool has_room(struct iomapi_uring *q)
{
	if (!io_uring_sq_space_left(&q->ring))
		submit(q);
	return io_uring_sq_space_left(&q->ring);
}

static struct io_uring_sqe *get_sqe(struct iomapi_uring *q)
{
	return has_room(q) ? io_uring_get_sqe(&q->ring) : NULL;
}

/* ---- preparing ---- */

/* What is left of the segments, in iov; NULL: there is no room until all that is prepared has been
 * sent. */
static struct iovec *rest_of(struct iomapi_uring *q, const struct iomap_bio *bio, unsigned *nr)
{
	struct iovec *iov;

	if (q->nr_iovs + bio->nr_segs > IOMAPI_URING_IOVS)
		submit(q);
	if (q->nr_iovs + bio->nr_segs > IOMAPI_URING_IOVS)
		return NULL;
	iov = q->iovs + q->nr_iovs;
	*nr = iomapi_file_rest(bio, bio->backend[W_DONE], iov);
	return iov;
}

/* The chunk of registered memory that all of it lies in, or -1. */
static int chunk_of(struct iomapi_uring *q, const struct iovec *iov, unsigned nr)
{
	int chunk = iomapi_uring_memory_find(q, iov[0].iov_base, iov[0].iov_len);

	if (nr > 1 && !q->has_vectored_fixed)
		return -1;
	for (unsigned i = 1; i < nr && chunk >= 0; i++)
		if (iomapi_uring_memory_find(q, iov[i].iov_base, iov[i].iov_len) != chunk)
			chunk = -1;
	return chunk;
}

static unsigned op_of(bool write, bool vectored, bool fixed)
{
	if (fixed && vectored)
		return write ? IOMAPI_OP_WRITEV_FIXED : IOMAPI_OP_READV_FIXED;
	if (fixed)
		return write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
	if (vectored)
		return write ? IORING_OP_WRITEV : IORING_OP_READV;
	return write ? IORING_OP_WRITE : IORING_OP_READ;
}

static struct io_uring_sqe *prepare_transfer(struct iomapi_uring *q, struct iomap_bio *bio, int fd)
{
	uint64_t done = bio->backend[W_DONE];
	bool write = bio->op == IOMAP_BIO_WRITE;
	struct iovec one = { (char *)bio->segs[0].mem + done, bio->segs[0].len - done };
	struct iovec *iov = &one;
	struct io_uring_sqe *sqe;
	unsigned nr = 1, op;
	int chunk;

	if (!has_room(q))
		return NULL;
	if (bio->nr_segs > 1)
		iov = rest_of(q, bio, &nr);
	sqe = iov ? io_uring_get_sqe(&q->ring) : NULL;
	if (!sqe)
		return NULL;
	chunk = bio->flags & IOMAP_BIO_ATOMIC ? -1 : chunk_of(q, iov, nr);
	op = op_of(write, nr > 1, chunk >= 0);
	if (nr == 1) {
		io_uring_prep_rw((int)op, sqe, fd, iov->iov_base, (unsigned)iov->iov_len,
				 bio->addr + done);
	} else {
		io_uring_prep_rw((int)op, sqe, fd, iov, nr, bio->addr + done);
		q->nr_iovs += nr;
	}
	if (write)
		sqe->rw_flags = iomapi_file_rw_flags(bio);
	if (chunk >= 0) {
		sqe->buf_index = (uint16_t)chunk;
		q->chunks[chunk].in_flight++;
	}
	bio->backend[W_CHUNK] = (uint64_t)(chunk + 1);
	return sqe;
}

static struct io_uring_sqe *prepare_other(struct iomapi_uring *q, const struct iomap_bio *bio,
					  int fd)
{
	struct io_uring_sqe *sqe = get_sqe(q);
	int mode = FALLOC_FL_KEEP_SIZE;

	if (!sqe)
		return NULL;
	mode |= bio->op == IOMAP_BIO_DISCARD ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	if (bio->op == IOMAP_BIO_FLUSH)
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	else
		io_uring_prep_fallocate(sqe, fd, mode, (off_t)bio->addr, (off_t)bio->len);
	return sqe;
}

/* False: there is no room now. */
static bool prepare(struct iomapi_uring *q, struct iomap_bio *bio)
{
	const struct iomapi_uring_dev *dev = dev_of(bio);
	struct io_uring_sqe *sqe;
	int32_t slot = -1;
	int fd;

	for (uint32_t i = 0, nr = iomapi_load(&dev->nr_queues); i < nr; i++)
		if (dev->on[i].queue == q)
			slot = dev->on[i].slot;
	fd = slot >= 0 ? slot : dev->file->fd;
	sqe = bio->op <= IOMAP_BIO_WRITE ? prepare_transfer(q, bio, fd) : prepare_other(q, bio, fd);
	if (!sqe)
		return false;
	io_uring_sqe_set_data(sqe, bio);
	sqe->flags |= (uint8_t)((slot >= 0 ? IOSQE_FIXED_FILE : 0) |
				(bio->backend[W_ASYNC] ? IOSQE_ASYNC : 0));
	return true;
}

/* What came back before it was whole, and the wake-up's poll, as far as there is room. */
static void prepare_again(struct iomapi_uring *q)
{
	struct io_uring_sqe *sqe;

	while (q->again.nr) {
		struct iomap_bio *bio = iomapi_fifo_pop(&q->again);

		if (!prepare(q, bio)) {
			iomapi_fifo_push(&q->again, bio);
			break;
		}
	}
	if (q->wake_armed)
		return;
	sqe = get_sqe(q);
	if (!sqe)
		return;
	io_uring_prep_poll_add(sqe, q->wake_fd, POLLIN);
	io_uring_sqe_set_data64(sqe, WAKE_DATA);
	q->wake_armed = true;
}

/* ---- from the kernel ---- */

enum verdict { WHOLE, AGAIN, BY_HAND };

static enum verdict judge_transfer(struct iomap_bio *bio, int res)
{
	if (!res || (bio->flags & IOMAP_BIO_ATOMIC && (uint64_t)res != bio->len)) {
		bio->status = -EIO;	/* the file ends here, or the device takes nothing */
		return WHOLE;
	}
	bio->backend[W_DONE] += (uint64_t)res;
	return bio->backend[W_DONE] == bio->len ? WHOLE : AGAIN;
}

static enum verdict judge(struct iomap_bio *bio, int res)
{
	bool transfer = bio->op <= IOMAP_BIO_WRITE;

	if (res >= 0)
		return transfer ? judge_transfer(bio, res) : WHOLE;
	if (res == -EINTR || res == -ECANCELED)
		return AGAIN;
	if (res == -EAGAIN && !bio->backend[W_ASYNC]) {
		bio->backend[W_ASYNC] = 1;
		return AGAIN;
	}
	if (res == -EOPNOTSUPP && !transfer && bio->op != IOMAP_BIO_FLUSH)
		return BY_HAND;
	bio->status = res;
	return WHOLE;
}

/* True: it is the library's again. */
static bool take(struct iomapi_uring *q, struct iomap_bio *bio, int res)
{
	if (bio->backend[W_CHUNK])
		q->chunks[bio->backend[W_CHUNK] - 1].in_flight--;
	bio->backend[W_CHUNK] = 0;
	switch (judge(bio, res)) {
	case AGAIN:
		iomapi_fifo_push(&q->again, bio);
		return false;
	case BY_HAND:
		iomapi_file_carry_out(dev_of(bio)->file, bio, q->by_hand);
		return true;
	case WHOLE:
		break;
	}
	if (bio->status)
		iomapi_file_report(dev_of(bio)->file, bio);
	return true;
}

/* The wake-up's poll has ended: by a wake-up, or with the thread that submitted it. */
static bool take_wakeup(struct iomapi_uring *q, int res)
{
	eventfd_t count;

	q->wake_armed = false;
	return res > 0 && !eventfd_read(q->wake_fd, &count);
}

/* How many bios are done; *woken: somebody wants the reaper out. */
static unsigned take_all(struct iomapi_uring *q, struct iomap_bio **done, unsigned max, bool *woken)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	unsigned n = 0, nr;

	do {
		nr = io_uring_peek_batch_cqe(&q->ring, cqes, iomapi_min(max - n, REAP_BATCH));
		for (unsigned i = 0; i < nr; i++) {
			if (cqes[i]->user_data == WAKE_DATA) {
				*woken |= take_wakeup(q, cqes[i]->res);
				continue;
			}
			done[n] = io_uring_cqe_get_data(cqes[i]);
			if (take(q, done[n], cqes[i]->res))
				q->nr_patient -= is_patient(done[n++]);
		}
		io_uring_cq_advance(&q->ring, nr);
	} while (nr && n < max);
	q->nr_bios -= n;
	return n;
}

/* ---- waiting ---- */

/* The kernel did not take it all, and may have nothing of ours that would end a wait.  True: it is
 * the wake-up that ended this one; its poll may be among what was not taken. */
static bool wait_starved(struct iomapi_uring *q)
{
	struct pollfd fds[] = { { .fd = q->wake_fd, .events = POLLIN },
				{ .fd = q->ring.ring_fd, .events = POLLIN } };

	return poll(fds, 2, STARVED_MS) > 0 && fds[0].revents;
}

/*
 * To be woken for each completion costs more than it does.  While nothing but writes in the
 * background is under way on a ring of a single issuer, the kernel collects half of them first, or
 * what comes in a short time; after that it waits for one.  Without a time-out the short time would
 * be all it waits.  The price: a guest's wake-up is one completion among the others.
 */
static bool may_be_patient(const struct iomapi_uring *q, int64_t left)
{
	return q->ring.flags & IORING_SETUP_DEFER_TASKRUN &&
	       q->ring.features & IOMAPI_FEAT_MIN_TIMEOUT && q->nr_bios > 2 &&
	       q->nr_patient == q->nr_bios && (left < 0 || left > PATIENT_USEC * 1000ll);
}

static int wait_patiently(struct iomapi_uring *q, int64_t left)
{
	const struct __kernel_timespec ts = {
		left < 0 ? LONG_SECONDS : left / 1000000000, left < 0 ? 0 : left % 1000000000,
	};
	struct io_uring_getevents_arg arg = {
		.sigmask_sz = _NSIG / 8, .pad = PATIENT_USEC,	/* min_wait_usec in newer headers */
		.ts = (uintptr_t)&ts,
	};

	submit(q);
	if (!all_sent(q))
		return -EAGAIN;
	return io_uring_enter2((unsigned)q->ring.ring_fd, 0, q->nr_bios / 2,
			       IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (sigset_t *)&arg,
			       sizeof(arg));
}

/* For one completion at least.  False: time is up. */
static bool wait_once(struct iomapi_uring *q, int64_t left)
{
	struct __kernel_timespec ts = { left / 1000000000, left % 1000000000 };
	struct io_uring_cqe *cqe;
	int rc;

	if (may_be_patient(q, left))
		rc = wait_patiently(q, left);
	else
		rc = io_uring_submit_and_wait_timeout(&q->ring, &cqe, 1, left < 0 ? NULL : &ts,
						      NULL);
	settle(q, rc);
	return left < 0 || rc != -ETIME;
}

static unsigned wait_some(struct iomapi_uring *q, struct iomap_bio **done, unsigned max,
			  int64_t timeout_ns)
{
	int64_t end = timeout_ns < 0 ? 0 : iomapi_end(iomapi_now(q->env), (uint64_t)timeout_ns);
	int64_t left = timeout_ns;
	bool woken = false, more = true;
	unsigned n = 0;

	while (!n && !woken && more) {
		prepare_again(q);
		more = wait_once(q, left);
		n = take_all(q, done, max, &woken);
		if (q->starved && !n)
			woken |= wait_starved(q);
		if (timeout_ns >= 0) {
			left = iomapi_max(end - iomapi_now(q->env), 0);
			more &= left > 0;
		}
	}
	return n;
}

/*
 * The ring itself could be polled, but one of a single issuer does not wake who does that for what
 * it has not run yet.  A registered eventfd hears of it; each reap empties it first, and sets it
 * again for what it leaves, and for what the kernel did not take.
 */
int iomapi_uring_event_fd(void *queue)
{
	struct iomapi_uring *q = queue;
	int rc;

	if (q->event_fd >= 0)
		return q->event_fd;
	q->event_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);	/* there may be something already */
	if (q->event_fd < 0)
		return -errno;
	rc = io_uring_register_eventfd(&q->ring, q->event_fd);
	if (!rc)
		return q->event_fd;
	close(q->event_fd);
	q->event_fd = -1;
	return rc;
}

static void empty_event(struct iomapi_uring *q)
{
	eventfd_t ignored;

	if (q->event_fd >= 0)
		eventfd_read(q->event_fd, &ignored);
}

/* In the ring, or about to be when the kernel is next entered. */
static bool has_more(const struct iomapi_uring *q)
{
	unsigned flags = __atomic_load_n(q->ring.sq.kflags, __ATOMIC_RELAXED);

	return io_uring_cq_ready(&q->ring) || flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* The kernel has taken none of the bios that are here: nothing will complete until it is asked
 * again. */
static bool is_stuck(const struct iomapi_uring *q)
{
	return q->starved && q->nr_bios &&
	       q->nr_bios <= q->again.nr + io_uring_sq_ready(&q->ring);
}

static void refill_event(struct iomapi_uring *q, bool more)
{
	if (q->event_fd >= 0 && (more || is_stuck(q)))
		eventfd_write(q->event_fd, 1);
}

int iomapi_uring_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		      int64_t timeout_ns)
{
	struct iomapi_uring *q = queue;
	bool woken = false;
	unsigned n;

	empty_event(q);
	n = take_all(q, done, max, &woken);
	if (!n && !woken && min && timeout_ns)
		n = wait_some(q, done, max, timeout_ns);
	prepare_again(q);
	submit(q);
	refill_event(q, has_more(q));
	return (int)n;
}

void iomapi_uring_wakeup(void *queue)
{
	struct iomapi_uring *q = queue;

	eventfd_write(q->wake_fd, 1);
}

/* ---- the way of a bio ---- */

enum iomap_queued iomapi_uring_queue(void *queue, void *dev, struct iomap_bio *bio)
{
	struct iomapi_uring *q = queue;

	if (q->nr_bios == q->depth)
		return IOMAP_QUEUE_BUSY;
	bio->backend[W_DEV] = (uintptr_t)dev;
	bio->backend[W_DONE] = bio->backend[W_CHUNK] = bio->backend[W_ASYNC] = 0;
	if (!prepare(q, bio))
		return IOMAP_QUEUE_BUSY;
	q->nr_bios++;
	q->nr_patient += is_patient(bio);
	return IOMAP_QUEUE_QUEUED;
}

int iomapi_uring_commit(void *queue)
{
	struct iomapi_uring *q = queue;

	submit(q);
	refill_event(q, false);
	return (int)q->nr_bios;
}
