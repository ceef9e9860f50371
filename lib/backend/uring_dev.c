/* SPDX-License-Identifier: MIT */
/*
 * backend/uring_dev.c - devices on rings, and the table of all that the backend does.
 *
 * A device has a place in the table of files of each ring that it is on; where a ring has none to
 * give it goes by its descriptor.
 *
 * Threads: calls on a queue are serialised.
 */
#include "backend/uring.h"

static int uring_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			    void **queue, const char **reason)
{
	struct iomapi_uring *q;
	int rc = iomapi_uring_open(env, opts, &q, reason);

	(void)arg;
	if (rc)
		return rc;
	*queue = q;
	return 0;
}

static void uring_queue_close(void *queue)
{
	iomapi_uring_close(queue);
}

static void uring_queue_abandon(void *queue)
{
	iomapi_uring_abandon(queue);
}

/* Its other queues may be at work meanwhile, and look for theirs. */
static int uring_dev_attach(void *arg, void *queue)
{
	struct iomapi_uring_dev *dev = arg;
	uint32_t nr = dev->nr_queues;

	if (nr == IOMAPI_URING_QUEUES)
		return -ENOSPC;
	dev->on[nr].queue = queue;
	dev->on[nr].slot = iomapi_uring_file_add(queue, dev->file->fd);
	iomapi_store(&dev->nr_queues, nr + 1);
	return 0;
}

static void uring_dev_detach(void *arg, void *queue)
{
	struct iomapi_uring_dev *dev = arg;

	for (uint32_t i = 0; i < dev->nr_queues; i++) {
		if (dev->on[i].queue != queue)
			continue;
		iomapi_uring_file_del(queue, dev->on[i].slot);
		dev->on[i] = dev->on[--dev->nr_queues];
		return;
	}
}

static int uring_dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
			  void **result)
{
	struct iomapi_uring *q = queue;
	struct iomapi_uring_dev *dev = iomapi_zalloc(q->env, sizeof(*dev));
	int rc;

	if (!dev)
		return -ENOMEM;
	rc = iomapi_file_open(q->env, "uring", path, fd, opts->flags, q->depth, &dev->file);
	if (rc) {
		iomapi_free(q->env, dev, sizeof(*dev));
		return rc;
	}
	uring_dev_attach(dev, q);
	*result = dev;
	return 0;
}

static void uring_dev_close(void *arg)
{
	struct iomapi_uring_dev *dev = arg;
	struct iomap_env *env = dev->file->env;

	iomapi_file_close(dev->file);
	iomapi_free(env, dev, sizeof(*dev));
}

static void uring_limits(void *arg, struct iomap_bdev_limits *limits)
{
	struct iomapi_uring_dev *dev = arg;

	*limits = dev->file->limits;
	limits->size = iomapi_file_size(dev->file);
}

static int uring_register_memory(void *queue, void *base, size_t len)
{
	return iomapi_uring_memory_add(queue, base, len);
}

static int uring_unregister_memory(void *queue, void *base, size_t len)
{
	return iomapi_uring_memory_del(queue, base, len);
}

const struct iomap_backend_ops iomapi_uring_backend = {
	.struct_size = sizeof(iomapi_uring_backend),
	.scheme = "uring",
	.queue_open = uring_queue_open,
	.queue_close = uring_queue_close,
	.queue_abandon = uring_queue_abandon,
	.dev_open = uring_dev_open,
	.dev_close = uring_dev_close,
	.limits = uring_limits,
	.dev_attach = uring_dev_attach,
	.dev_detach = uring_dev_detach,
	.queue = iomapi_uring_queue,
	.commit = iomapi_uring_commit,
	.reap = iomapi_uring_reap,
	.wakeup = iomapi_uring_wakeup,
	.event_fd = iomapi_uring_event_fd,
	.register_memory = uring_register_memory,
	.unregister_memory = uring_unregister_memory,
};
