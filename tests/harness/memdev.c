/* SPDX-License-Identifier: MIT */
/*
 * memdev.c - the memory device that a test holds in its hand.
 *
 * A request is logged and judged (does it fail?) when it arrives, and carried out when reap hands
 * it back.  In between it stands in one of two lists, linked through bio->backend: held by its
 * device, or ready in its queue.  Durability is not modelled: that is the simulator's business.
 *
 * Threads: one lock for everything, so that a test may steer from any thread; a queue's condition
 * lets reap sleep.  A wakeup is remembered until the next reap.
 */
#include "harness/memdev_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define UNUSED		__attribute__((unused))
#define MAX_LOG		(1u << 17)
#define ZONE_BYTES	T_MEM_ZONE
#define DEFAULT_BYTES	(16u << 20)

pthread_mutex_t t_mem_lock = PTHREAD_MUTEX_INITIALIZER;
struct t_mem *t_mem_devices;
struct t_mem_calls t_mem_seen;

/* ---- what a request carries in backend[]: link, log index, queue ---- */

static void push(struct list *list, struct iomap_bio *bio)
{
	bio->backend[0] = 0;
	if (list->head)
		list->tail->backend[0] = (uintptr_t)bio;
	else
		list->head = bio;
	list->tail = bio;
	list->nr++;
}

struct iomap_bio *t_mem_take(struct list *list, unsigned i)
{
	struct iomap_bio *bio = list->head, *before = NULL;

	for (; bio && i; i--) {
		before = bio;
		bio = (struct iomap_bio *)(uintptr_t)bio->backend[0];
	}
	if (!bio)
		return NULL;
	if (before)
		before->backend[0] = bio->backend[0];
	else
		list->head = (struct iomap_bio *)(uintptr_t)bio->backend[0];
	if (list->tail == bio)
		list->tail = before;
	list->nr--;
	return bio;
}

static struct t_mem_req *log_entry(struct t_mem *mem, const struct iomap_bio *bio)
{
	if (bio->backend[3] != mem->epoch || bio->backend[1] >= MAX_LOG)
		return NULL;
	return &mem->log[bio->backend[1]];
}

/* A call that only the owner of a SINGLE_ISSUER queue may make. */
static void called(const struct mem_queue *q)
{
	if (q->single && !pthread_equal(q->owner, pthread_self()))
		__atomic_add_fetch(&t_mem_seen.strange, 1, __ATOMIC_RELAXED);
}

/* ---- device life ---- */

static void free_device(struct t_mem *mem)
{
	free(mem->data);
	free(mem->log);
	free(mem->write_pointers);
	free(mem);
}

static int mem_open(void *queue, const char *path, UNUSED int fd,
		    UNUSED const struct iomap_bdev_opts *opts, void **dev)
{
	struct t_mem *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return -ENOMEM;
	mem->limits = (struct iomap_bdev_limits){
		.struct_size = sizeof(mem->limits), .size = DEFAULT_BYTES,
		.caps = IOMAP_CAP_VOLATILE_CACHE | IOMAP_CAP_FUA | IOMAP_CAP_DISCARD |
			IOMAP_CAP_WRITE_ZEROES,
		.logical_block = 512, .memory_align = 1, .max_segs = 1024,
		.max_bytes = 1ull << 30, .queue_depth = 1u << 20,
	};
	if (t_mem_parse(path, mem->name, sizeof(mem->name), &mem->limits)) {
		free_device(mem);
		return -EINVAL;
	}
	mem->data = calloc(1, mem->limits.size);
	mem->log = calloc(MAX_LOG, sizeof(*mem->log));
	mem->write_pointers = calloc(mem->limits.size / ZONE_BYTES + 1, sizeof(uint64_t));
	if (!mem->data || !mem->log || !mem->write_pointers) {
		free_device(mem);
		return -ENOMEM;
	}
	mem->epoch = 1;
	mem->home = queue;
	called(queue);
	pthread_mutex_lock(&t_mem_lock);
	mem->next = t_mem_devices;
	t_mem_devices = mem;
	pthread_mutex_unlock(&t_mem_lock);
	*dev = mem;
	return 0;
}

static void mem_close(void *dev)
{
	struct t_mem *mem = dev, **link;

	called(mem->home);
	pthread_mutex_lock(&t_mem_lock);
	for (link = &t_mem_devices; *link; link = &(*link)->next)
		if (*link == mem) {
			*link = mem->next;
			break;
		}
	pthread_mutex_unlock(&t_mem_lock);
	free_device(mem);
}

static void mem_limits(void *dev, struct iomap_bdev_limits *limits)
{
	*limits = ((struct t_mem *)dev)->limits;
}

static int mem_attach(UNUSED void *dev, void *queue)
{
	called(queue);
	__atomic_add_fetch(&t_mem_seen.attached, 1, __ATOMIC_RELAXED);
	return 0;
}

static void mem_detach(UNUSED void *dev, void *queue)
{
	called(queue);
	__atomic_add_fetch(&t_mem_seen.detached, 1, __ATOMIC_RELAXED);
}

static int mem_report_zones(void *dev, uint64_t from, struct iomap_zone *zones, unsigned nr_zones)
{
	struct t_mem *mem = dev;
	uint64_t end = mem->limits.size / ZONE_BYTES;
	unsigned n = 0;

	if (!(mem->limits.caps & IOMAP_CAP_ZONED))
		return -ENOTSUP;
	pthread_mutex_lock(&t_mem_lock);
	for (uint64_t z = from / ZONE_BYTES; z < end && n < nr_zones; z++) {
		uint64_t used = mem->write_pointers[z];

		zones[n++] = (struct iomap_zone){
			.start = z * ZONE_BYTES, .len = ZONE_BYTES, .capacity = ZONE_BYTES,
			.write_pointer = z * ZONE_BYTES + used,
			.state = !used ? IOMAP_ZONE_EMPTY
				 : used == ZONE_BYTES ? IOMAP_ZONE_FULL : IOMAP_ZONE_OPEN,
		};
	}
	pthread_mutex_unlock(&t_mem_lock);
	return (int)n;
}

/* ---- carrying a request out ---- */

static void move_data(struct t_mem *mem, struct iomap_bio *bio)
{
	uint8_t *at = mem->data + bio->addr;

	for (unsigned i = 0; i < bio->nr_segs; i++) {
		const struct iomap_bvec *seg = &bio->segs[i];

		if (bio->op == IOMAP_BIO_READ)
			memcpy(seg->mem, at, seg->len);
		else
			memcpy(at, seg->mem, seg->len);
		at += seg->len;
	}
}

/* Writes to a zone go to its write pointer and nowhere else. */
static int zone_write(struct t_mem *mem, struct iomap_bio *bio)
{
	uint64_t *used = &mem->write_pointers[bio->addr / ZONE_BYTES];

	if (bio->op == IOMAP_BIO_ZONE_APPEND)
		bio->addr = bio->addr / ZONE_BYTES * ZONE_BYTES + *used;
	if (bio->addr % ZONE_BYTES != *used || *used + bio->len > ZONE_BYTES)
		return -EIO;
	*used += bio->len;
	move_data(mem, bio);
	return 0;
}

static int carry_out(struct t_mem *mem, struct iomap_bio *bio)
{
	uint64_t zone = bio->addr / ZONE_BYTES;

	switch (bio->op) {
	case IOMAP_BIO_WRITE:
	case IOMAP_BIO_ZONE_APPEND:
		if (mem->limits.caps & IOMAP_CAP_ZONED)
			return zone_write(mem, bio);
		move_data(mem, bio);
		return 0;
	case IOMAP_BIO_READ:
		move_data(mem, bio);
		return 0;
	case IOMAP_BIO_DISCARD:
	case IOMAP_BIO_WRITE_ZEROES:
		memset(mem->data + bio->addr, 0, bio->len);
		return 0;
	case IOMAP_BIO_ZONE_RESET:
		memset(mem->data + zone * ZONE_BYTES, 0, ZONE_BYTES);
		mem->write_pointers[zone] = 0;
		return 0;
	case IOMAP_BIO_ZONE_FINISH:
		mem->write_pointers[zone] = ZONE_BYTES;
		return 0;
	}
	return 0;
}

/* ---- the way of a bio; the names of backend.h ---- */

static int judge(struct t_mem *mem, const struct iomap_bio *bio)
{
	for (unsigned i = 0; i < mem->nr_faults; i++) {
		struct fault *f = &mem->faults[i];

		if (f->op != bio->op || !f->count)
			continue;
		if (f->addr != UINT64_MAX &&
		    (f->addr < bio->addr || f->addr - bio->addr >= bio->len))
			continue;
		if (f->skip) {
			f->skip--;
			continue;
		}
		f->count--;
		return f->error;
	}
	return 0;
}

static void log_request(struct t_mem *mem, struct iomap_bio *bio)
{
	bio->backend[1] = mem->nr_log;
	bio->backend[3] = mem->epoch;
	if (mem->nr_log == MAX_LOG)
		return;
	mem->log[mem->nr_log++] = (struct t_mem_req){
		.op = bio->op, .flags = bio->flags, .addr = bio->addr, .len = bio->len,
		.nr_segs = bio->nr_segs, .status = bio->status, .bio = bio,
	};
}

void t_mem_make_ready(struct mem_queue *q, struct iomap_bio *bio)
{
	push(&q->ready, bio);
	pthread_cond_broadcast(&q->cond);
	if (q->fd >= 0)
		eventfd_write(q->fd, 1);
}

static enum iomap_queued mem_queue_bio(void *queue, void *dev, struct iomap_bio *bio)
{
	struct t_mem *mem = dev;

	called(queue);
	pthread_mutex_lock(&t_mem_lock);
	if (mem->busy || mem->outstanding >= mem->limits.queue_depth) {
		if (mem->busy)
			mem->busy--;
		pthread_mutex_unlock(&t_mem_lock);
		return IOMAP_QUEUE_BUSY;
	}
	bio->status = judge(mem, bio);
	log_request(mem, bio);
	bio->backend[2] = (uintptr_t)queue;
	bio->backend[4] = (uintptr_t)mem;
	mem->outstanding++;
	if (mem->hold)
		push(&mem->held, bio);
	else
		t_mem_make_ready(queue, bio);
	pthread_mutex_unlock(&t_mem_lock);
	return IOMAP_QUEUE_QUEUED;
}

static int mem_commit(void *queue)
{
	unsigned nr;

	called(queue);
	pthread_mutex_lock(&t_mem_lock);
	nr = ((struct mem_queue *)queue)->ready.nr;
	pthread_mutex_unlock(&t_mem_lock);
	return (int)nr;
}

static struct t_mem *mem_of(struct iomap_bio *bio)
{
	return (struct t_mem *)(uintptr_t)bio->backend[4];
}

static void finish(struct iomap_bio *bio)
{
	struct t_mem *mem = mem_of(bio);
	struct t_mem_req *entry = log_entry(mem, bio);

	if (!bio->status)
		bio->status = carry_out(mem, bio);
	mem->outstanding--;
	if (entry) {
		entry->done = true;
		entry->status = bio->status;
		entry->bio = NULL;
		if (bio->op == IOMAP_BIO_ZONE_APPEND)
			entry->addr = bio->addr;
	}
}

static void deadline(struct timespec *until, int64_t timeout_ns)
{
	clock_gettime(CLOCK_MONOTONIC, until);
	until->tv_sec += timeout_ns / 1000000000;
	until->tv_nsec += timeout_ns % 1000000000;
	if (until->tv_nsec >= 1000000000) {
		until->tv_nsec -= 1000000000;
		until->tv_sec++;
	}
}

static int mem_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		    int64_t timeout_ns)
{
	struct mem_queue *q = queue;
	struct timespec until;
	unsigned n = 0;
	int rc = timeout_ns ? 0 : ETIMEDOUT;

	called(q);
	if (timeout_ns > 0)
		deadline(&until, timeout_ns);
	pthread_mutex_lock(&t_mem_lock);
	while (q->ready.nr < min && !q->woken && rc != ETIMEDOUT)
		rc = timeout_ns < 0 ? pthread_cond_wait(&q->cond, &t_mem_lock)
				    : pthread_cond_timedwait(&q->cond, &t_mem_lock, &until);
	q->woken = false;
	while (n < max && q->ready.nr) {
		struct iomap_bio *bio = t_mem_take(&q->ready, 0);
		bool twice = mem_of(bio)->repeat && n + 1 < max;

		mem_of(bio)->repeat &= !twice;
		finish(bio);
		done[n++] = bio;
		if (twice)
			done[n++] = bio;
	}
	if (q->fd >= 0 && !q->ready.nr) {
		eventfd_t ignored;

		eventfd_read(q->fd, &ignored);
	}
	pthread_mutex_unlock(&t_mem_lock);
	return (int)n;
}

static void mem_wakeup(void *queue)
{
	struct mem_queue *q = queue;

	pthread_mutex_lock(&t_mem_lock);
	q->woken = true;
	pthread_cond_broadcast(&q->cond);
	pthread_mutex_unlock(&t_mem_lock);
}

static int mem_event_fd(void *queue)
{
	struct mem_queue *q = queue;

	called(q);
	pthread_mutex_lock(&t_mem_lock);
	if (q->fd < 0)
		q->fd = eventfd(q->ready.nr != 0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_unlock(&t_mem_lock);
	return q->fd < 0 ? -errno : q->fd;
}

static int mem_queue_open(UNUSED void *arg, UNUSED struct iomap_env *env,
			  const struct iomap_ioq_opts *opts, void **queue, const char **reason)
{
	struct mem_queue *q = calloc(1, sizeof(*q));
	pthread_condattr_t attr;

	if (!q) {
		*reason = "out of memory";
		return -ENOMEM;
	}
	q->single = opts->flags & IOMAP_IOQ_SINGLE_ISSUER;
	q->owner = pthread_self();
	q->fd = -1;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->cond, &attr);
	pthread_condattr_destroy(&attr);
	*queue = q;
	return 0;
}

static void mem_queue_close(void *queue)
{
	struct mem_queue *q = queue;

	pthread_cond_destroy(&q->cond);
	if (q->fd >= 0)
		close(q->fd);
	free(q);
}

static void mem_queue_abandon(void *queue)
{
	struct mem_queue *q = queue;

	if (q->fd >= 0)
		close(q->fd);
	free(q);		/* a waiter of the parent may stand in the condition: leave it be */
}

const struct iomap_backend_ops t_mem_backend = {
	.struct_size = sizeof(t_mem_backend),
	.scheme = "mem",
	.queue_open = mem_queue_open,
	.queue_close = mem_queue_close,
	.queue_abandon = mem_queue_abandon,
	.dev_open = mem_open,
	.dev_close = mem_close,
	.limits = mem_limits,
	.dev_attach = mem_attach,
	.dev_detach = mem_detach,
	.queue = mem_queue_bio,
	.commit = mem_commit,
	.reap = mem_reap,
	.wakeup = mem_wakeup,
	.event_fd = mem_event_fd,
	.report_zones = mem_report_zones,
};
