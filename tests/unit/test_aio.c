/* SPDX-License-Identifier: MIT */
/*
 * test_aio.c - what the kernel's asynchronous calls may answer, and a device that carries on.
 */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/thread.h"
#include "aio_kernel.h"
#include "wakeup.h"

#define KB 1024u
#define MS ((int64_t)1000000)

/* ---- what the stories share ---- */

/* False: this machine denies asynchronous I/O, so there is no story to tell. */
static bool start_with(struct t_device *d, unsigned flags)
{
	struct iomap_bdev_opts o = { .struct_size = sizeof(o), .flags = flags };
	char path[128], spec[192];
	int rc;

	memset(d, 0, sizeof(*d));
	t_env_start(&d->t, NULL);
	ck_assert_int_eq(iomap_ioq_new(d->t.env, NULL, &d->ioq), 0);
	t_temp_path(path, sizeof(path), "device");
	snprintf(spec, sizeof(spec), "aio:%s,size=2m,create", path);
	rc = iomap_bdev_open(d->ioq, spec, &o, &d->bdev);
	t_temp_remove();
	if (rc == -ENOTSUP)
		t_device_stop(d);
	else
		ck_assert_int_eq(rc, 0);
	return !rc;
}

#define START(d) \
	if (!start_with((d), 0)) \
		t_skip("asynchronous I/O is denied here")

/* nr writes of 8 KiB to blocks 0, 2, .. from one buffer, which differs in each */
static struct t_bio *writes(struct t_device *d, unsigned nr, uint8_t *mem)
{
	struct t_bio *b = calloc(nr, sizeof(*b));

	for (unsigned i = 0; i < nr; i++)
		t_bio_init(&b[i], d->bdev, IOMAP_BIO_WRITE, i * 8ull * KB, mem + i * 8 * KB,
			   8 * KB);
	return b;
}

static void submit_plugged(struct t_device *d, struct t_bio *b, unsigned nr)
{
	struct iomap_plug plug;

	iomap_plug_start(&plug, d->t.env);
	for (unsigned i = 0; i < nr; i++)
		iomap_bio_submit(&b[i].bio);
	iomap_plug_end(&plug);
}

/* A bio that is lost must fail the story, and not hang it. */
static void expect_ends(struct t_device *d, unsigned nr)
{
	int64_t limit = 3000 * MS * t_scale();

	ck_assert_int_eq(iomap_ioq_poll(d->ioq, nr, nr, limit), (int)nr);
}

static void expect_all_well(struct t_bio *b, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		ck_assert_uint_eq(b[i].nr_ends, 1);
		ck_assert_int_eq(b[i].status, 0);
	}
}

static void expect_data(struct t_device *d, const uint8_t *mem, size_t len)
{
	uint8_t *out = t_buffer(len, 0);

	ck_assert_int_eq(t_io(d->bdev, IOMAP_BIO_READ, 0, out, len, 0), 0);
	ck_assert_mem_eq(out, mem, len);
}

/* ---- submission ---- */

CASE(what_was_not_taken_is_sent_later, "O20", "io_submit takes three of twenty at a time")
{
	uint8_t *mem = t_buffer(160 * KB, 1);
	struct t_device d;
	struct t_bio *b;

	START(&d);
	b = writes(&d, 20, mem);
	kernel.most = 3;
	submit_plugged(&d, b, 20);
	ck_assert_uint_eq(kernel.nr_submits, 7);
	expect_ends(&d, 20);
	expect_all_well(b, 20);
	ck_assert_uint_eq(kernel.nr_requests, 20);
	expect_data(&d, mem, 160 * KB);
	free(b);
	t_device_stop(&d);
}

CASE(a_plug_is_one_submission, "", "Twenty requests go out with one io_submit")
{
	struct t_device d;
	struct t_bio *b;

	START(&d);
	b = writes(&d, 20, t_buffer(160 * KB, 1));
	submit_plugged(&d, b, 20);
	ck_assert_uint_eq(kernel.nr_submits, 1);
	expect_ends(&d, 20);
	expect_all_well(b, 20);
	free(b);
	t_device_stop(&d);
}

CASE(more_than_a_batch_of_large_vectors, "",
     "Vectors of a thousand segments and more bios than one call takes")
{
	uint8_t *mem = t_buffer(1024 * 512, 3), *out = t_buffer(1024 * 512, 0);
	struct iomap_bvec segs[2][1024];
	struct iomap_bio bio[200];
	struct iomap_plug plug;
	struct t_device d;

	START(&d);
	if (d.limits.memory_align > 512) {
		t_device_stop(&d);
		t_skip("the file system takes no segments of 512 bytes");
	}
	for (unsigned k = 0; k < 2; k++) {
		iomap_bio_init(&bio[k], d.bdev, k ? IOMAP_BIO_READ : IOMAP_BIO_WRITE, 0, segs[k],
			       1024);
		for (unsigned i = 0; i < 1024; i++)
			ck_assert_int_eq(iomap_bio_add(&bio[k], (k ? out : mem) + i * 512, 512,
						       &segs[k][i]), 0);
		iomap_bio_submit(&bio[k]);
		ck_assert_int_eq(iomap_bio_wait(&bio[k]), 0);
	}
	ck_assert_mem_eq(out, mem, 1024 * 512);
	iomap_plug_start(&plug, d.t.env);
	for (unsigned k = 0; k < 200; k++) {
		iomap_bio_init(&bio[k], d.bdev, IOMAP_BIO_READ, k * 4ull * KB % (512 * KB),
			       segs[0] + k, 1);
		iomap_bio_add(&bio[k], out + k * 4 * KB % (512 * KB), 4 * KB, NULL);
		iomap_bio_submit(&bio[k]);
	}
	iomap_plug_end(&plug);
	for (unsigned k = 0; k < 200; k++)
		ck_assert_int_eq(iomap_bio_wait(&bio[k]), 0);
	ck_assert_mem_eq(out, mem, 512 * KB);
	t_device_stop(&d);
}

CASE(interrupted_calls_are_made_again, "O20", "-EINTR from io_submit and io_getevents is nobody's")
{
	struct t_device d;
	struct t_bio *b;

	START(&d);
	b = writes(&d, 4, t_buffer(32 * KB, 1));
	kernel.nr_failing = 2;
	kernel.error = -EINTR;
	kernel.nr_interrupted = 3;
	submit_plugged(&d, b, 4);
	expect_ends(&d, 4);
	expect_all_well(b, 4);
	ck_assert_uint_eq(kernel.nr_interrupted, 0);
	ck_assert_uint_eq(d.t.nr_reports, 0);
	free(b);
	t_device_stop(&d);
}

CASE(no_memory_in_the_kernel_is_waited_for, "O44",
     "-EAGAIN with nothing under way: sent later, without turning round and round")
{
	struct t_device d;
	struct t_bio *b;

	START(&d);
	b = writes(&d, 3, t_buffer(24 * KB, 1));
	kernel.nr_failing = UINT32_MAX;
	kernel.error = -EAGAIN;
	submit_plugged(&d, b, 3);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 8, 20 * MS), 0);
	/* each sleep lasts a millisecond at least, so there cannot have been many */
	ck_assert_uint_lt(kernel.nr_submits, 200);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, 8, 0), 0);	/* and this one does not sleep */
	kernel.nr_failing = 0;
	expect_ends(&d, 3);
	expect_all_well(b, 3);
	ck_assert_uint_eq(kernel.nr_requests, 3);
	free(b);
	t_device_stop(&d);
}

CASE(a_refused_request_stands_alone, "O20", "Its error ends that bio; those behind it are sent")
{
	struct t_device d;
	struct t_bio *b;

	START(&d);
	b = writes(&d, 5, t_buffer(40 * KB, 1));
	for (unsigned k = 0; k < 3; k++) {
		unsigned which = k * 2;

		kernel.refused_error = -ENODEV;
		kernel.refused_addr = which * 8ll * KB;
		submit_plugged(&d, b, 5);
		expect_ends(&d, 5);
		for (unsigned i = 0; i < 5; i++) {
			ck_assert_uint_eq(b[i].nr_ends, k + 1);
			ck_assert_int_eq(b[i].status, i == which ? -ENODEV : 0);
		}
		ck_assert_uint_eq(d.t.nr_reports, k + 1);
		ck_assert_str_eq(d.t.last_callback, "aio");
		ck_assert_uint_eq(d.t.last_value, which * 8ull * KB);
	}
	free(b);
	t_device_stop(&d);
}

/* ---- transfers ---- */

/* The same writes and reads, with room between some: what each gave, and what is there at last. */
static void run_trace(struct iomap_bdev *bdev, int *statuses, uint8_t *image)
{
	uint64_t seed = 45;

	for (unsigned i = 0; i < 40; i++) {
		uint64_t r = t_rand(&seed);
		uint64_t addr = r % 100 * 4 * KB, len = (r >> 8) % 16 * 4 * KB + 4 * KB;
		uint8_t *mem = t_buffer(64 * KB, (uint8_t)i);
		bool write = r >> 16 & 1;

		statuses[i] = t_io(bdev, write ? IOMAP_BIO_WRITE : IOMAP_BIO_READ, addr, mem, len,
				   write && r >> 17 & 1 ? IOMAP_BIO_FUA : 0);
	}
	statuses[40] = t_io(bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0);
	statuses[41] = t_io(bdev, IOMAP_BIO_READ, 0, image, 512 * KB, 0);
}

CASE(short_transfers_are_the_same_device, "O45",
     "A trace with each transfer cut short gives the results and the image of plain calls")
{
	int statuses[2][42];
	uint8_t *images[2] = { t_buffer(512 * KB, 0), t_buffer(512 * KB, 9) };
	struct t_device d;

	t_device_start(&d, T_FILE);
	run_trace(d.bdev, statuses[0], images[0]);
	t_device_stop(&d);
	START(&d);
	kernel.cut = 8 * KB;
	run_trace(d.bdev, statuses[1], images[1]);
	ck_assert_uint_gt(kernel.nr_requests, 2 * 42);
	ck_assert_mem_eq(statuses[0], statuses[1], sizeof(statuses[0]));
	ck_assert_mem_eq(images[0], images[1], 512 * KB);
	t_device_stop(&d);
}

CASE(short_transfers_of_vectors_go_on, "O45",
     "From the middle of a segment, at the address behind what was transferred")
{
	uint8_t *mem = t_buffer(48 * KB, 5), *out = t_buffer(28 * KB, 0);
	struct t_device d;
	struct t_bio b;

	START(&d);
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 4 * KB, mem, 4 * KB);
	ck_assert_int_eq(iomap_bio_add(&b.bio, mem + 16 * KB, 16 * KB, NULL), 0);
	ck_assert_int_eq(iomap_bio_add(&b.bio, mem + 40 * KB, 8 * KB, NULL), 0);
	kernel.cut = 4 * KB;
	iomap_bio_submit(&b.bio);
	expect_ends(&d, 1);
	ck_assert_int_eq(b.status, 0);
	ck_assert_uint_eq(kernel.nr_requests, 7);
	kernel.cut = 0;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 4 * KB, out, 28 * KB, 0), 0);
	ck_assert_mem_eq(out, mem, 4 * KB);
	ck_assert_mem_eq(out + 4 * KB, mem + 16 * KB, 16 * KB);
	ck_assert_mem_eq(out + 20 * KB, mem + 40 * KB, 8 * KB);
	t_device_stop(&d);
}

CASE(nothing_transferred_is_an_error, "O45", "Zero bytes are -EIO, at once and behind a part")
{
	uint8_t *mem = t_buffer(64 * KB, 5);
	struct t_device d;
	char path[128];
	int fd;

	START(&d);
	kernel.transfers_nothing = true;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), -EIO);
	ck_assert_str_eq(d.t.last_field, "write");
	kernel.transfers_nothing = false;
	iomap_bdev_close(&d.bdev);
	iomap_ioq_delete(&d.ioq);
	ck_assert_int_eq(iomap_ioq_new(d.t.env, &(struct iomap_ioq_opts){
					       .struct_size = sizeof(struct iomap_ioq_opts),
					       .backend = "aio" }, &d.ioq), 0);
	t_temp_path(path, sizeof(path), "short");
	fd = open(path, O_CREAT | O_RDWR | O_DIRECT, 0600);
	t_temp_remove();
	if (fd < 0) {
		t_device_stop(&d);
		t_skip("no direct I/O here");
	}
	ck_assert_int_eq(ftruncate(fd, 64 * KB), 0);
	ck_assert_int_eq(iomap_bdev_open_fd(d.ioq, fd, NULL, &d.bdev), 0);
	ck_assert_int_eq(ftruncate(fd, 16 * KB), 0);	/* behind its back */
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 0, mem, 64 * KB, 0), -EIO);
	ck_assert_str_eq(d.t.last_field, "read");
	ck_assert(t_is_zero(mem, 16 * KB));
	t_device_stop(&d);
	close(fd);
}

CASE(promises_are_asked_of_the_kernel, "", "FUA and atomic writes go out with their flags")
{
	static const struct {
		unsigned flags, rw_flags;
	} table[] = { { 0, 0 }, { IOMAP_BIO_FUA, 0x02 }, { IOMAP_BIO_ATOMIC, 0x40 },
		      { IOMAP_BIO_FUA | IOMAP_BIO_ATOMIC, 0x42 } };
	const struct iomap_backend_ops *ops = &iomapi_aio_backend;
	const struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .depth = 4 };
	struct iomap_bdev_opts o = { .struct_size = sizeof(o) };
	char path[128], spec[192];
	struct t_device d;
	void *queue, *dev;
	const char *reason;

	START(&d);
	t_temp_path(path, sizeof(path), "other");
	snprintf(spec, sizeof(spec), "%s,size=64k,create", path);
	ck_assert_int_eq(ops->queue_open(NULL, d.t.env, &opts, &queue, &reason), 0);
	ck_assert_int_eq(ops->dev_open(queue, spec, -1, &o, &dev), 0);
	t_temp_remove();
	for (unsigned i = 0; i < 4; i++) {
		struct iomap_bio *done = NULL;
		struct t_bio b;

		t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(4 * KB, 1), 4 * KB);
		b.bio.flags = (uint16_t)table[i].flags;
		ck_assert_int_eq(ops->queue(queue, dev, &b.bio), IOMAP_QUEUE_QUEUED);
		ops->commit(queue);
		while (ops->reap(queue, &done, 1, 1, IOMAP_FOREVER) != 1)
			;
		ck_assert_ptr_eq(done, &b.bio);		/* it may not be able to: another matter */
		ck_assert_uint_eq(kernel.rw_flags, table[i].rw_flags);
	}
	ops->dev_close(dev);
	ops->queue_close(queue);
	t_device_stop(&d);
}

CASE(a_torn_atomic_write_is_an_error, "", "A part of it is -EIO; the rest is not sent after it")
{
	const struct iomap_backend_ops *ops = &iomapi_aio_backend;
	const struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .depth = 4 };
	struct iomap_bdev_opts o = { .struct_size = sizeof(o) };
	struct iomap_bio *done = NULL;
	char path[128], spec[192];
	struct t_device d;
	void *queue, *dev;
	const char *reason;
	struct t_bio b;

	START(&d);
	t_temp_path(path, sizeof(path), "other");
	snprintf(spec, sizeof(spec), "%s,size=64k,create", path);
	ck_assert_int_eq(ops->queue_open(NULL, d.t.env, &opts, &queue, &reason), 0);
	ck_assert_int_eq(ops->dev_open(queue, spec, -1, &o, &dev), 0);
	t_temp_remove();
	kernel.cut = 4 * KB;
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(8 * KB, 1), 8 * KB);
	b.bio.flags = IOMAP_BIO_ATOMIC;
	ck_assert_int_eq(ops->queue(queue, dev, &b.bio), IOMAP_QUEUE_QUEUED);
	ops->commit(queue);
	while (ops->reap(queue, &done, 1, 1, IOMAP_FOREVER) != 1)
		;
	ck_assert_ptr_eq(done, &b.bio);
	ck_assert_int_eq(b.bio.status, -EIO);
	ck_assert_uint_eq(kernel.nr_requests, 1);
	ops->dev_close(dev);
	ops->queue_close(queue);
	t_device_stop(&d);
}

/* ---- what a kernel may lack ---- */

CASE(a_kernel_without_asynchronous_flushes, "", "The flush is carried out by a plain call")
{
	uint8_t *mem = t_buffer(8 * KB, 5);
	struct t_device d;

	START(&d);
	kernel.refused_op = IO_CMD_FDSYNC;
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 8 * KB, 0), 0);
		ck_assert_int_eq(iomap_bdev_flush(d.bdev, UINT64_MAX), 0);
		ck_assert_uint_eq(kernel.nr_fdatasyncs, i);
	}
	kernel.refused_op = 0;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
	ck_assert_uint_eq(kernel.nr_fdatasyncs, 3);
	ck_assert_uint_eq(d.t.nr_reports, 0);
	t_device_stop(&d);
}

CASE(a_buffered_file_is_not_sent, "", "io_submit would block, so reap carries its requests out")
{
	uint8_t *mem = t_buffer(64 * KB, 5);
	struct t_device d;

	if (!start_with(&d, IOMAP_BDEV_BUFFERED))
		t_skip("asynchronous I/O is denied here");
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 64 * KB, 0), 0);
	expect_data(&d, mem, 64 * KB);
	ck_assert_uint_eq(kernel.nr_requests, 0);
	t_device_stop(&d);
}

CASE(denied_contexts_say_what_to_do, "", "-ENOTSUP with the reason in words, and nothing half-open")
{
	static const struct {
		int setup, submit, rc;
		const char *word;
	} table[] = {
		{ -EAGAIN, 0, -ENOTSUP, "fs.aio-max-nr" },
		{ -ENOSYS, 0, -ENOTSUP, "CONFIG_AIO" },
		{ -EPERM, 0, -ENOTSUP, "seccomp" },
		{ -EACCES, 0, -ENOTSUP, "seccomp" },
		{ -ENOMEM, 0, -ENOMEM, "memory" },
		{ 0, -EPERM, -ENOTSUP, "io_submit" },
		{ 0, -ENOSYS, -ENOTSUP, "io_submit" },
	};

	for (unsigned i = 0; i < 7; i++) {
		struct iomap_bdev *bdev;
		struct iomap_ioq *ioq;
		struct t_env t;

		kernel.setup_error = table[i].setup;
		kernel.poll_error = table[i].submit;
		t_env_start(&t, NULL);
		ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
		ck_assert_int_eq(iomap_bdev_open(ioq, "aio:/dev/zero", NULL, &bdev), table[i].rc);
		ck_assert_ptr_null(bdev);
		if (table[i].rc == -ENOTSUP)	/* for good: auto: goes on without it */
			ck_assert_ptr_nonnull(strstr(iomap_ioq_reason(ioq), table[i].word));
		ck_assert_uint_eq(t.nr_reports, 1);
		iomap_ioq_delete(&ioq);
		t_env_stop(&t);
	}
}

/* ---- sleeping ---- */

static void *poll_for_one(void *arg)
{
	struct t_device *d = arg;

	ck_assert_int_eq(iomap_ioq_poll(d->ioq, 1, 1, IOMAP_FOREVER), 1);
	return NULL;
}

/* Twice, for a wake-up that works once only. */
static void wake_twice(struct t_device *d)
{
	struct t_bio *b = writes(d, 4, t_buffer(32 * KB, 1));

	for (unsigned k = 0; k < 4; k += 2) {
		pthread_t sleeper;

		kernel.holds = true;
		iomap_bio_submit(&b[k].bio);
		kernel.holds = false;
		sleeper = t_thread(poll_for_one, d);
		for (unsigned i = 0; i < 10; i++)
			t_settle();
		iomap_bio_submit(&b[k + 1].bio);	/* through the sleeper */
		t_join(sleeper);
		ck_assert_uint_eq(b[k + 1].nr_ends, 1);
		ck_assert_uint_eq(b[k].nr_ends, 0);
		release();
		expect_ends(d, 1);
	}
	expect_all_well(b, 4);
	free(b);
}

CASE(a_sleeping_reaper_is_woken, "O44", "By what another thread submits, again and again")
{
	struct t_device d;

	START(&d);
	wake_twice(&d);
	t_device_stop(&d);
}

CASE(a_wakeup_is_remembered, "O44", "One that came before the reap ends it all the same")
{
	struct t_device d;

	START(&d);
	wake_before_reap(&iomapi_aio_backend, d.t.env, 0);
	t_device_stop(&d);
}

CASE(a_kernel_that_cannot_poll, "O44", "Sleep and wake-ups go by eventfds alone")
{
	struct t_device d;

	kernel.poll_error = -EINVAL;
	START(&d);
	wake_twice(&d);
	wake_before_reap(&iomapi_aio_backend, d.t.env, 0);
	t_device_stop(&d);
}

/* Poll whenever the descriptor says so, and only then. */
static void reap_by_event(struct t_device *d, int fd, unsigned nr)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (unsigned ended = 0; ended < nr;) {
		int n;

		ck_assert_msg(poll(&p, 1, 3000 * (int)t_scale()) == 1, "%u of %u ended, and nothing"
			      " tells of the rest", ended, nr);
		n = iomap_ioq_poll(d->ioq, 0, 3, 0);
		ck_assert_int_ge(n, 0);
		ended += (unsigned)n;
	}
}

CASE(an_event_fd_misses_nothing, "O44",
     "Readable for what was sent before it was asked for, what failed, what is slow, what is left")
{
	struct t_device d;
	struct t_bio *b;
	int fd;

	START(&d);
	b = writes(&d, 40, t_buffer(320 * KB, 1));
	t_bio_init(&b[30], d.bdev, IOMAP_BIO_DISCARD, 0, NULL, 8 * KB);
	kernel.refused_error = -ENODEV;
	kernel.refused_addr = 20 * 8ll * KB;
	kernel.holds = true;
	submit_plugged(&d, b, 2);
	kernel.holds = false;
	fd = iomap_ioq_event_fd(d.ioq);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(iomap_ioq_event_fd(d.ioq), fd);
	for (unsigned i = 2; i < 40; i++)
		iomap_bio_submit(&b[i].bio);
	reap_by_event(&d, fd, 38);
	release();
	reap_by_event(&d, fd, 2);
	submit_plugged(&d, b, 40);		/* and all again, none from before */
	reap_by_event(&d, fd, 40);
	for (unsigned i = 0; i < 40; i++) {
		ck_assert_uint_eq(b[i].nr_ends, 2);
		ck_assert_int_eq(b[i].status, i == 20 ? -ENODEV : 0);
	}
	free(b);
	t_device_stop(&d);
}

MAIN()
