/* SPDX-License-Identifier: MIT */
/*
 * block/event.c - one descriptor for all of an ioq: readable when a poll with min 0 has work.
 *
 * It is an epoll descriptor over those of the backends' queues and over an eventfd of the library,
 * which stands for all that no backend knows of: bios that end without one, callbacks that wait to
 * be run, the inbox of a SINGLE_ISSUER queue.  The eventfd is a level: with the ioq's lock held,
 * after each change of what it stands for, it is compared with what it should say, and set or
 * cleared.  While somebody leads only the bios at hand count; who leads looks again when it leaves.
 *
 * A backend without a descriptor completes at its next reap whatever it has; so as long as it has
 * something, the eventfd is up.
 *
 * Nothing of this exists, and an update is one branch, until somebody asks for the descriptor.
 *
 * Threads: update from any, under the lock; the rest from one that has claimed the ioq.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/block.h"

/* A bio that only another try can bring further: nothing of its backend will complete. */
static bool waits_for_nothing(const struct iomapi_queue *q)
{
	return !q->in_flight && (q->parked[0].head || q->parked[1].head);
}

static bool has_work(const struct iomap_ioq *ioq)
{
	if (ioq->done.head || ioq->manual.head)
		return true;
	if (ioq->leading)
		return false;
	if (!iomapi_ioq_inbox_empty(ioq))
		return true;
	for (uint32_t i = 0; i < ioq->nr_queues; i++) {
		const struct iomapi_queue *q = &ioq->queues[i];

		if ((q->at_once && q->in_flight) || waits_for_nothing(q))
			return true;
	}
	return false;
}

void iomapi_event_refresh(struct iomap_ioq *ioq)
{
	bool up = has_work(ioq);
	eventfd_t ignored;

	if (up == ioq->event_up)
		return;
	ioq->event_up = up;
	if (up)
		eventfd_write(ioq->event_own, 1);
	else
		eventfd_read(ioq->event_own, &ignored);
}

static int watch(struct iomap_ioq *ioq, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(ioq->event_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int watch_queue(struct iomap_ioq *ioq, struct iomapi_queue *q)
{
	int fd = q->ops->event_fd ? q->ops->event_fd(q->queue) : -ENOTSUP;

	q->at_once = fd == -ENOTSUP;
	if (q->at_once)
		return 0;
	return fd < 0 ? fd : watch(ioq, fd);
}

int iomapi_event_add(struct iomap_ioq *ioq, struct iomapi_queue *q)
{
	return ioq->has_event ? watch_queue(ioq, q) : 0;
}

static void close_both(struct iomap_ioq *ioq)
{
	if (ioq->event_fd >= 0)
		close(ioq->event_fd);
	if (ioq->event_own >= 0)
		close(ioq->event_own);
}

void iomapi_event_close(struct iomap_ioq *ioq)
{
	if (ioq->has_event)
		close_both(ioq);
}

static int make_event(struct iomap_ioq *ioq)
{
	int rc;

	ioq->event_fd = epoll_create1(EPOLL_CLOEXEC);
	ioq->event_own = ioq->event_fd < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = ioq->event_own < 0 ? -errno : watch(ioq, ioq->event_own);
	for (uint32_t i = 0; i < ioq->nr_queues && !rc; i++)
		rc = watch_queue(ioq, &ioq->queues[i]);
	if (rc) {
		close_both(ioq);
		return rc;
	}
	iomap_mutex_lock(ioq->env, &ioq->lock);
	ioq->has_event = true;
	iomap_mutex_unlock(ioq->env, &ioq->lock);
	return 0;
}

IOMAP_API int iomap_ioq_event_fd(struct iomap_ioq *ioq)
{
	int rc = 0;

	if (iomapi_forked(ioq->env))
		return -ECHILD;
	if (!iomapi_ioq_is_owner(ioq))
		return -EPERM;
	iomapi_ioq_claim(ioq);
	if (!ioq->has_event)
		rc = make_event(ioq);
	iomapi_ioq_unclaim(ioq);
	return rc ? rc : ioq->event_fd;
}
