/* SPDX-License-Identifier: MIT */
/*
 * log.c - an asynchronous log: nobody waits for it, and it has no thread.
 *
 * An ioend that is ahead of the log stays here (an ioend belongs to its holder, so its list member
 * is free) and starts a write of all records so far.  At the end of a write the ioends that may go
 * are sent, and the next write starts if some are left: one write serves all who came meanwhile.
 * Each write pads the log to a block: no block is written twice, or changed while it is written.
 *
 * Threads  any.  The end of a write runs in whoever reaps, and may take leaf locks only.
 */
#include <errno.h>
#include <string.h>

#include "page_writer.h"

#define BLOCK		4096u

int log_append(struct log *log, const void *record, size_t len, uint64_t *lsn)
{
	int rc = -ENOSPC;

	iomap_mutex_lock(log->env, &log->lock);
	if (log->end + len <= LOG_BYTES) {
		memcpy(log->records + log->end, record, len);
		log->end += len;
		*lsn = log->end;
		rc = 0;
	}
	iomap_mutex_unlock(log->env, &log->lock);
	return rc;
}

static void written(struct iomap_bio *bio);

/* Send what may go, or all when the log is broken; write if some are left.  lock held, dropped. */
static void go_on(struct log *log)
{
	struct iomap_bio *bio = &log->bio;
	struct iomap_list ready, *l, *next;
	int error = log->error;
	bool start;

	iomap_list_init(&ready);
	for (l = log->held.next; l != &log->held; l = next) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		next = l->next;
		if (!error && ioend->client_max > log->durable)
			continue;
		iomap_list_del(l);
		iomap_list_add_tail(&ready, l);
	}
	start = !log->writing && !iomap_list_empty(&log->held);
	if (start) {			/* not empty, for what is held is not durable yet */
		log->writing = true;
		log->end = (log->end + BLOCK - 1) / BLOCK * BLOCK;
		iomap_bio_init(bio, log->bdev, IOMAP_BIO_WRITE, log->durable, &log->seg, 1);
		iomap_bio_add(bio, log->records + log->durable, log->end - log->durable, NULL);
		bio->flags = IOMAP_BIO_FUA;	/* durable at its end */
		bio->end_io = written;
		bio->owner = log;
	}
	iomap_mutex_unlock(log->env, &log->lock);
	if (start)
		iomap_bio_submit(bio);
	while ((l = iomap_list_pop(&ready)))
		iomap_ioend_submit(iomap_container_of(l, struct iomap_ioend, list), error);
}

static void written(struct iomap_bio *bio)
{
	struct log *log = bio->owner;

	iomap_mutex_lock(log->env, &log->lock);
	log->writing = false;
	log->error = bio->status;
	if (!log->error)
		__atomic_store_n(&log->durable, bio->addr + bio->len, __ATOMIC_RELEASE);
	go_on(log);
}

void log_submit(struct log *log, struct iomap_ioend *ioend)
{
	iomap_mutex_lock(log->env, &log->lock);
	iomap_list_add_tail(&log->held, &ioend->list);
	log->nr_held += ioend->client_max > log->durable;
	go_on(log);
}

int log_open(struct log *log, struct iomap_env *env, struct iomap_ioq *ioq, const char *device)
{
	log->env = env;
	iomap_mutex_init(&log->lock, IOMAP_RANK_LEAF);
	iomap_list_init(&log->held);
	return iomap_bdev_open(ioq, device, NULL, &log->bdev);
}
