/* SPDX-License-Identifier: MIT */
/*
 * backend/aio.c - "aio:PATH[,size=N,create]": a file or block device through the kernel's
 * asynchronous calls, with libaio.
 *
 * queue keeps a bio, commit sends all that were kept with as few io_submit as may be.  The kernel
 * copies requests and vectors before io_submit returns, so one batch of each serves all.  A bio
 * that went only in part is sent again with the rest, from reap.
 *
 *	unsent -> the kernel -> done		what the kernel would not take now stays unsent
 *	       -> ended -> done			what it refuses
 *	slow -> done				what it has no asynchronous call for
 *
 * Slow are discard, write zeroes, and everything on a buffered file, where io_submit would block
 * until the data is there: reap carries them out.  A direct request may block in io_submit as well,
 * when it has to allocate blocks first or the device's queue is full.
 *
 * reap sleeps in io_getevents.  A wake-up is a write to an eventfd, and a request of our own that
 * polls it ends the sleep; the eventfd remembers it while nobody sleeps.  Kernels before 4.18 do
 * not poll so: there each completion is signalled to another eventfd, and reap sleeps on both.
 *
 * The same second eventfd is what event_fd gives out.  It is made when it is first asked for, and
 * stays readable while requests are under way that were sent before that.
 *
 * Threads: calls on a queue are serialised, but wakeup, which only writes to its eventfd.
 */
#include <libaio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "backend/file.h"

#define BATCH		64
#define NR_IOVS		(2 * IOMAPI_FILE_SEGS)	/* of a batch */
#define RETRY_NS	1000000		/* the kernel has no memory for a request */

/* Words of a bio, behind the link of its list. */
#define BIO_DEV		1
#define BIO_DONE	2		/* bytes transferred so far */
#define BIO_SILENT	3		/* 1: its completion does not reach the eventfd */

struct aio_queue {
	struct iomap_env *env;
	io_context_t ctx;
	uint32_t depth;
	uint32_t in_flight;		/* bios in the kernel */
	uint32_t nr_silent;		/* of these */
	int wake, event;		/* eventfds; event: -1 until there is a use for it */
	bool can_poll;			/* the kernel polls the eventfd.. */
	bool armed;			/* ..and does */
	bool woken;			/* it did, and no reap has returned for that */
	struct iomapi_fifo unsent, slow, ended;
	struct iocb iocbs[BATCH], *batch[BATCH];
	struct iovec iovs[NR_IOVS];
};

static struct iomapi_file_dev *dev_of(const struct iomap_bio *bio)
{
	return (struct iomapi_file_dev *)(uintptr_t)bio->backend[BIO_DEV];
}

/* ---- eventfds ---- */

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void drain(int fd)
{
	eventfd_t count;

	(void)eventfd_read(fd, &count);		/* there may be nothing */
}

/* Ask for a completion when somebody wakes us; its event has no bio. */
static int arm(struct aio_queue *q)
{
	struct iocb iocb, *one = &iocb;
	int rc;

	if (q->armed || !q->can_poll)
		return 0;
	io_prep_poll(&iocb, q->wake, POLLIN);
	do
		rc = io_submit(q->ctx, 1, &one);
	while (rc == -EINTR);
	q->armed = rc == 1;
	return rc;
}

/* Something is here that no completion will signal, so that the eventfd has to stay readable. */
static bool has_more(const struct aio_queue *q)
{
	return q->ended.nr || q->slow.nr || q->nr_silent || (q->unsent.nr && !q->in_flight);
}

/* Readable if there may be more.  Completions that were reaped may have been signalled since the
 * eventfd was last emptied: nobody should come for nothing when they were all. */
static void settle_event(struct aio_queue *q, bool more)
{
	if (q->event < 0)
		return;
	if (more || has_more(q))
		(void)eventfd_write(q->event, 1);	/* a full one is readable */
	else if (!q->in_flight)
		drain(q->event);
}

static int aio_event_fd(void *queue)
{
	struct aio_queue *q = queue;

	if (q->event < 0) {
		int fd = new_eventfd();

		if (fd < 0)
			return fd;
		q->event = fd;
		settle_event(q, q->in_flight);
	}
	return q->event;
}

/* ---- devices ---- */

static int aio_dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
			void **result)
{
	struct aio_queue *q = queue;
	struct iomapi_file_dev *dev;
	int rc = iomapi_file_open(q->env, "aio", path, fd, opts->flags, q->depth, &dev);

	if (!rc)
		*result = dev;
	return rc;
}

static void aio_dev_close(void *dev)
{
	iomapi_file_close(dev);
}

static void aio_limits(void *arg, struct iomap_bdev_limits *limits)
{
	struct iomapi_file_dev *dev = arg;

	*limits = dev->limits;
	limits->size = iomapi_file_size(dev);
}

static int aio_dev_attach(void *dev, void *queue)
{
	(void)dev;
	(void)queue;
	return 0;
}

/* ---- a queue ---- */

/* Everything but the context, which a forked child does not have. */
static void aio_queue_abandon(void *queue)
{
	struct aio_queue *q = queue;

	if (q->wake >= 0)
		close(q->wake);
	if (q->event >= 0)
		close(q->event);
	iomapi_free(q->env, q, sizeof(*q));
}

static void aio_queue_close(void *queue)
{
	struct aio_queue *q = queue;

	if (q->ctx)
		io_destroy(q->ctx);
	aio_queue_abandon(q);
}

static int no_context(int error, const char **reason)
{
	switch (error) {
	case -ENOMEM:
		*reason = "no memory for its queue";
		return error;
	case -EAGAIN:
		*reason = "no requests left: raise fs.aio-max-nr, or ask for less depth";
		break;
	case -ENOSYS:
		*reason = "this kernel has no asynchronous I/O (CONFIG_AIO)";
		break;
	default:
		*reason = "io_setup is denied here: allow it in the container's seccomp profile";
	}
	return -ENOTSUP;
}

static bool is_denied(int rc)
{
	return rc == -EPERM || rc == -EACCES || rc == -ENOSYS;
}

static int set_up(struct aio_queue *q, const char **reason)
{
	int rc;

	q->wake = new_eventfd();
	if (q->wake < 0) {
		*reason = "no descriptor for its wake-ups";
		return q->wake;
	}
	rc = io_setup((int)q->depth + 1, &q->ctx);	/* one polls */
	if (rc)
		return no_context(rc, reason);
	q->can_poll = true;
	rc = arm(q);
	if (is_denied(rc)) {	/* a filter may let a context be made and not be used */
		*reason = "io_submit is denied here: allow it in the container's seccomp profile";
		return -ENOTSUP;
	}
	if (rc != -EINVAL)
		return 0;
	q->can_poll = false;
	q->event = new_eventfd();
	if (q->event >= 0)
		return 0;
	*reason = "no descriptor for its completions";
	return q->event;
}

static int aio_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			  void **queue, const char **reason)
{
	struct aio_queue *q = iomapi_zalloc(env, sizeof(*q));
	int rc;

	(void)arg;
	if (!q) {
		*reason = "no memory for its queue";
		return -ENOMEM;
	}
	q->env = env;
	q->depth = opts->depth;
	q->wake = q->event = -1;
	for (unsigned i = 0; i < BATCH; i++)
		q->batch[i] = &q->iocbs[i];
	rc = set_up(q, reason);
	if (rc) {
		aio_queue_close(q);
		return rc;
	}
	*queue = q;
	return 0;
}

/* ---- to the kernel ---- */

/* How many iovs it took. */
static unsigned prepare(struct aio_queue *q, struct iocb *iocb, struct iomap_bio *bio,
			struct iovec *iovs)
{
	long long addr = (long long)(bio->addr + bio->backend[BIO_DONE]);
	int fd = dev_of(bio)->fd;
	unsigned nr = 0;

	if (bio->op == IOMAP_BIO_FLUSH) {
		io_prep_fdsync(iocb, fd);
	} else {
		nr = iomapi_file_rest(bio, bio->backend[BIO_DONE], iovs);
		if (bio->op == IOMAP_BIO_READ)
			io_prep_preadv(iocb, fd, iovs, (int)nr, addr);
		else
			io_prep_pwritev2(iocb, fd, iovs, (int)nr, addr,
					 iomapi_file_rw_flags(bio));
	}
	iocb->data = bio;
	bio->backend[BIO_SILENT] = q->event < 0;
	if (q->event >= 0)
		io_set_eventfd(iocb, q->event);
	return nr;
}

/* Requests for as many of the unsent, from the first, as fit a batch. */
static unsigned fill_batch(struct aio_queue *q)
{
	struct iomap_bio *bio = q->unsent.head;
	unsigned nr = 0, nr_iovs = 0;

	while (nr < BATCH && nr < q->unsent.nr && nr_iovs + bio->nr_segs <= NR_IOVS) {
		nr_iovs += prepare(q, &q->iocbs[nr++], bio, q->iovs + nr_iovs);
		bio = (struct iomap_bio *)(uintptr_t)bio->backend[0];
	}
	return nr;
}

static void end(struct aio_queue *q, struct iomap_bio *bio, int status)
{
	bio->status = status;
	if (status)
		iomapi_file_report(dev_of(bio), bio);
	iomapi_fifo_push(&q->ended, bio);
}

/* An error of io_submit is that of its first request. */
static void refused(struct aio_queue *q, int error)
{
	struct iomap_bio *bio = iomapi_fifo_pop(&q->unsent);

	if (bio->op == IOMAP_BIO_FLUSH && error == -EINVAL)
		iomapi_fifo_push(&q->slow, bio);	/* Linux 4.18 has learned it */
	else
		end(q, bio, error);
}

/* Send all; what the kernel has no room for waits for the next reap. */
static unsigned send_unsent(struct aio_queue *q)
{
	unsigned nr_sent = 0;

	while (q->unsent.nr) {
		int n = io_submit(q->ctx, (long)fill_batch(q), q->batch);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN || !n)
			break;
		if (n < 0) {
			refused(q, n);
			continue;
		}
		nr_sent += (unsigned)n;
		q->in_flight += (uint32_t)n;
		while (n--)
			q->nr_silent += (uint32_t)iomapi_fifo_pop(&q->unsent)->backend[BIO_SILENT];
	}
	return nr_sent;
}

static enum iomap_queued aio_queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct aio_queue *q = queue;
	struct iomapi_file_dev *file = dev;
	bool slow = !file->direct || bio->op > IOMAP_BIO_FLUSH;

	if (q->unsent.nr + q->slow.nr + q->ended.nr + q->in_flight == q->depth)
		return IOMAP_QUEUE_BUSY;
	bio->backend[BIO_DEV] = (uintptr_t)dev;
	bio->backend[BIO_DONE] = 0;
	iomapi_fifo_push(slow ? &q->slow : &q->unsent, bio);
	return IOMAP_QUEUE_QUEUED;
}

static int aio_commit(void *queue)
{
	struct aio_queue *q = queue;
	unsigned nr = send_unsent(q);

	settle_event(q, false);
	return (int)nr;
}

/* ---- back ---- */

/* What a completion makes of its bio: ended, or unsent again with what it left. */
static void completed(struct aio_queue *q, struct iomap_bio *bio, int64_t res)
{
	q->in_flight--;
	q->nr_silent -= (uint32_t)bio->backend[BIO_SILENT];
	if (res > 0)
		bio->backend[BIO_DONE] += (uint64_t)res;
	if (res == -EINTR)
		iomapi_fifo_push(&q->unsent, bio);
	else if (res < 0)
		end(q, bio, (int)res);
	else if (bio->op == IOMAP_BIO_FLUSH || bio->backend[BIO_DONE] == bio->len)
		end(q, bio, 0);
	else if (!res || bio->flags & IOMAP_BIO_ATOMIC)
		end(q, bio, -EIO);	/* the file ends, the device takes nothing; torn already */
	else
		iomapi_fifo_push(&q->unsent, bio);
}

/* Look for at most max completions, or sleep for one with min.  0, -errno; a signal ends it too. */
static int get_events(struct aio_queue *q, unsigned min, unsigned max, int64_t timeout_ns)
{
	struct timespec ts = { (time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000) };
	struct io_event events[BATCH];
	int n = io_getevents(q->ctx, (long)min, (long)iomapi_min(max, BATCH), events,
			     timeout_ns < 0 ? NULL : &ts);

	for (int i = 0; i < n; i++) {
		if (events[i].data) {
			completed(q, events[i].data, (int64_t)events[i].res);
			continue;
		}
		q->armed = false;
		q->woken = true;
		drain(q->wake);
	}
	return n < 0 && n != -EINTR ? n : 0;
}

/* Sleep outside of io_getevents, where no poll of ours could end it; not for long while only time
 * brings us on. */
static void nap(struct aio_queue *q, int64_t timeout_ns)
{
	struct pollfd fds[2] = { { .fd = q->wake, .events = POLLIN },
				 { .fd = q->event, .events = POLLIN } };
	struct timespec ts;

	if ((q->can_poll || q->unsent.nr) && (timeout_ns < 0 || timeout_ns > RETRY_NS))
		timeout_ns = RETRY_NS;
	ts = (struct timespec){ (time_t)(timeout_ns / 1000000000),
				(long)(timeout_ns % 1000000000) };
	if (ppoll(fds, 2, timeout_ns < 0 ? NULL : &ts, NULL) > 0 && fds[0].revents)
		drain(q->wake);
}

static int sleep_for_one(struct aio_queue *q, unsigned max, int64_t timeout_ns)
{
	arm(q);
	if (q->armed && (q->in_flight || !q->unsent.nr))
		return get_events(q, 1, max, timeout_ns);
	nap(q, timeout_ns);
	return get_events(q, 0, max, 0);
}

/* Hand out what has ended, and carry out what is slow. */
static unsigned hand_out(struct aio_queue *q, struct iomap_bio **done, unsigned max)
{
	unsigned n = 0;

	for (; n < max && q->ended.nr; n++)
		done[n] = iomapi_fifo_pop(&q->ended);
	for (; n < max && q->slow.nr; n++) {
		done[n] = iomapi_fifo_pop(&q->slow);
		iomapi_file_carry_out(dev_of(done[n]), done[n], q->iovs);
	}
	return n;
}

/* The eventfd is emptied before the look at what it stands for. */
static int aio_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		    int64_t timeout_ns)
{
	struct aio_queue *q = queue;
	unsigned n;
	int rc;

	if (q->event >= 0)
		drain(q->event);
	rc = get_events(q, 0, max, 0);
	send_unsent(q);
	n = hand_out(q, done, max);
	if (!n && !rc && min && timeout_ns && !q->woken) {
		rc = sleep_for_one(q, max, timeout_ns);
		send_unsent(q);
		n = hand_out(q, done, max);
	}
	if (min)
		q->woken = false;
	settle_event(q, n == max);
	return n ? (int)n : rc;
}

static void aio_wakeup(void *queue)
{
	struct aio_queue *q = queue;

	(void)eventfd_write(q->wake, 1);	/* a full one wakes as well */
}

const struct iomap_backend_ops iomapi_aio_backend = {
	.struct_size = sizeof(iomapi_aio_backend),
	.scheme = "aio",
	.queue_open = aio_queue_open,
	.queue_close = aio_queue_close,
	.queue_abandon = aio_queue_abandon,
	.dev_open = aio_dev_open,
	.dev_close = aio_dev_close,
	.limits = aio_limits,
	.dev_attach = aio_dev_attach,
	.queue = aio_queue_bio,
	.commit = aio_commit,
	.reap = aio_reap,
	.wakeup = aio_wakeup,
	.event_fd = aio_event_fd,
};
