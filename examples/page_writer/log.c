/* SPDX-License-Identifier: MIT */
/*
 * log.c - a log whose thread makes records durable when somebody asks, and not before.
 *
 * Nobody waits for it: an ioend that is ahead of the log is left here (log_hold) and goes out from
 * the log's thread.  An ioend belongs to its holder, so its list member is free to queue it.
 * The tail block is rewritten until it is full; the staged copy keeps appends away from the write.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page_writer.h"

#define BLOCK	4096u
#define STAGED	(256u << 10)

struct record {
	uint64_t lsn, version;
	uint32_t space, frame;
	uint64_t spare[5];
};

uint64_t log_durable(const struct log *log)
{
	return __atomic_load_n(&log->durable, __ATOMIC_ACQUIRE);
}

uint64_t log_append(struct log *log, uint32_t space, uint32_t frame, uint64_t version)
{
	struct record record = { .space = space, .frame = frame, .version = version };
	uint64_t lsn = 0;

	iomap_mutex_lock(log->env, &log->lock);
	if (log->end + sizeof(record) <= LOG_BYTES) {
		lsn = log->end + sizeof(record);
		record.lsn = lsn;
		memcpy(log->records + log->end, &record, sizeof(record));
		log->end = lsn;
	}
	iomap_mutex_unlock(log->env, &log->lock);
	return lsn;
}

/* durable may pass the ioend between the caller's look and ours: then nobody would come for it. */
void log_hold(struct log *log, struct iomap_ioend *ioend)
{
	bool ready;
	int error;

	iomap_mutex_lock(log->env, &log->lock);
	error = log->error;
	ready = error || ioend->client_max <= log_durable(log);
	if (!ready) {
		iomap_list_add_tail(&log->held, &ioend->list);
		log->nr_held++;
		if (log->wanted < ioend->client_max)
			log->wanted = ioend->client_max;
		iomap_cond_broadcast(log->env, &log->work);
	}
	iomap_mutex_unlock(log->env, &log->lock);
	if (ready)
		iomap_ioend_submit(ioend, error);
}

/* Move those that may go, or all when the log is broken.  lock held. */
static void take_ready(struct log *log, struct iomap_list *ready)
{
	struct iomap_list *l = log->held.next, *next;

	for (; l != &log->held; l = next) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		next = l->next;
		if (!log->error && ioend->client_max > log_durable(log))
			continue;
		iomap_list_del(l);
		iomap_list_add_tail(ready, l);
	}
}

static int write_staged(struct log *log, uint64_t addr, size_t len)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;
	int rc;

	iomap_bio_init(&bio, log->bdev, IOMAP_BIO_WRITE, addr, &seg, 1);
	rc = iomap_bio_add(&bio, log->staged, len, NULL);
	if (rc)
		return rc;
	iomap_bio_submit(&bio);
	rc = iomap_bio_wait(&bio);
	if (!rc)
		rc = iomap_bdev_flush(log->bdev, iomap_bdev_write_seq(log->bdev));
	return rc;
}

/* One write and one flush for everybody who asked so far.  lock held, dropped meanwhile. */
static void make_durable(struct log *log)
{
	uint64_t from = log_durable(log) / BLOCK * BLOCK;
	uint64_t to = log->end < from + STAGED ? log->end : from + STAGED;
	size_t len = (to - from + BLOCK - 1) / BLOCK * BLOCK;
	struct iomap_list ready, *l;
	int rc;

	memcpy(log->staged, log->records + from, len);
	iomap_mutex_unlock(log->env, &log->lock);
	rc = write_staged(log, from, len);
	iomap_mutex_lock(log->env, &log->lock);
	if (rc)
		log->error = rc;
	else
		__atomic_store_n(&log->durable, to, __ATOMIC_RELEASE);
	log->nr_flushes++;
	iomap_list_init(&ready);
	take_ready(log, &ready);
	iomap_mutex_unlock(log->env, &log->lock);
	while ((l = iomap_list_pop(&ready)))
		iomap_ioend_submit(iomap_container_of(l, struct iomap_ioend, list), rc);
	__atomic_add_fetch(&log->moved, 1, __ATOMIC_RELEASE);
	iomap_env_wake(log->env, &log->moved, NR_CLEANERS);
	iomap_mutex_lock(log->env, &log->lock);
}

static void *log_thread(void *arg)
{
	struct log *log = arg;

	iomap_mutex_lock(log->env, &log->lock);
	for (;;) {
		if (!log->error && log_durable(log) < log->wanted)
			make_durable(log);
		else if (log->stop)
			break;
		else
			iomap_cond_wait(log->env, &log->work, &log->lock, IOMAP_FOREVER);
	}
	iomap_mutex_unlock(log->env, &log->lock);
	return NULL;
}

int log_open(struct log *log, struct iomap_env *env, const char *device)
{
	int rc = iomap_ioq_new(env, NULL, &log->ioq);

	log->env = env;
	if (rc)
		return rc;
	rc = iomap_bdev_open(log->ioq, device, NULL, &log->bdev);
	if (rc)
		return rc;
	log->records = calloc(1, LOG_BYTES);
	log->staged = aligned_alloc(BLOCK, STAGED);
	if (!log->records || !log->staged)
		return -ENOMEM;
	iomap_mutex_init(&log->lock, IOMAP_RANK_LEAF);
	iomap_list_init(&log->held);
	rc = pthread_create(&log->thread, NULL, log_thread, log);
	log->started = !rc;
	return -rc;
}

void log_close(struct log *log)
{
	if (log->started) {
		iomap_mutex_lock(log->env, &log->lock);
		log->stop = true;
		iomap_cond_broadcast(log->env, &log->work);
		iomap_mutex_unlock(log->env, &log->lock);
		pthread_join(log->thread, NULL);
	}
	if (log->bdev)
		iomap_bdev_close(&log->bdev);
	if (log->ioq)
		iomap_ioq_delete(&log->ioq);
	free(log->records);
	free(log->staged);
}
