/* SPDX-License-Identifier: MIT */
/*
 * log.c - an asynchronous log: it has no thread, and pages do not wait for it.
 *
 * An ioend that is ahead of the log stays here (an ioend belongs to its holder, so its list member
 * is free) and starts a write of all records so far.  At the end of a write the ioends that may go
 * are sent, and the next write starts if some are left: one write serves all who came meanwhile.
 * Each write pads the log to a block: no block is written twice, or changed while it is written.
 * A write ends where the ring does; the next one has the rest.
 *
 * Threads  any.  The end of a write runs in whoever reaps, and may take leaf locks only.
 */
#include <errno.h>
#include <string.h>

#include "log.h"

int log_append(struct log *log, const void *record, size_t len, uint64_t *lsn)
{
	int rc = -ENOSPC;

	iomap_mutex_lock(log->env, &log->lock);
	if (log->end + len <= log->start / LOG_BLOCK * LOG_BLOCK + log->size) {
		memcpy(log->records + log->end % log->size, record, len);
		log->end += len;
		*lsn = log->end;
		rc = 0;
	}
	iomap_mutex_unlock(log->env, &log->lock);
	return rc;
}

static void written(struct iomap_bio *bio);

/* What is not durable yet, or as much of it as lies before the end of the ring. */
static void prepare(struct log *log)
{
	uint64_t at = log->durable % log->size, len;
	struct iomap_bio *bio = &log->bio;

	log->writing = true;
	log->end = (log->end + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
	len = log->end - log->durable;
	len = len < log->size - at ? len : log->size - at;
	iomap_bio_init(bio, log->bdev, IOMAP_BIO_WRITE, at, &log->seg, 1);
	iomap_bio_add(bio, log->records + at, len, NULL);
	bio->flags = IOMAP_BIO_FUA;	/* durable at its end */
	bio->end_io = written;
	bio->owner = log;
}

/* Send what may go, or all when the log is broken; write if some are left.  lock held, dropped. */
static void go_on(struct log *log)
{
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
	/* Not empty, for what is held or wanted is not durable yet. */
	start = !log->writing && !error &&
		(!iomap_list_empty(&log->held) || log->wanted > log->durable);
	if (start)
		prepare(log);
	iomap_mutex_unlock(log->env, &log->lock);
	if (start)
		iomap_bio_submit(&log->bio);
	while ((l = iomap_list_pop(&ready)))
		log->send(log, iomap_container_of(l, struct iomap_ioend, list), error);
}

static void written(struct iomap_bio *bio)
{
	struct log *log = bio->owner;

	iomap_mutex_lock(log->env, &log->lock);
	log->writing = false;
	log->error = bio->status;
	if (!log->error)
		__atomic_store_n(&log->durable, log->durable + bio->len, __ATOMIC_RELEASE);
	__atomic_add_fetch(&log->nr_writes, 1, __ATOMIC_RELEASE);
	go_on(log);
	iomap_env_wake(log->env, &log->nr_writes, 64);
}

void log_submit(struct log *log, struct iomap_ioend *ioend)
{
	iomap_mutex_lock(log->env, &log->lock);
	iomap_list_add_tail(&log->held, &ioend->list);
	log->nr_held += ioend->client_max > log->durable;
	go_on(log);
}

int log_wait(struct log *log, uint64_t lsn)
{
	int rc = 0;

	iomap_mutex_lock(log->env, &log->lock);
	if (log->wanted < lsn)
		log->wanted = lsn;
	go_on(log);
	while (!rc) {
		uint32_t seen = __atomic_load_n(&log->nr_writes, __ATOMIC_ACQUIRE);
		bool there;

		iomap_mutex_lock(log->env, &log->lock);
		there = log->durable >= lsn;
		rc = there ? 0 : log->error;
		iomap_mutex_unlock(log->env, &log->lock);
		if (there)
			return 0;
		if (!rc)
			rc = iomap_env_wait(log->env, &log->nr_writes, seen, IOMAP_FOREVER);
	}
	return rc;
}

static void send(struct log *log, struct iomap_ioend *ioend, int error)
{
	(void)log;
	iomap_ioend_submit(ioend, error);
}

int log_open(struct log *log, struct iomap_env *env, struct iomap_ioq *ioq, const char *device)
{
	log->env = env;
	log->send = send;
	iomap_mutex_init(&log->lock, IOMAP_RANK_LEAF);
	iomap_list_init(&log->held);
	return iomap_bdev_open(ioq, device, NULL, &log->bdev);
}
