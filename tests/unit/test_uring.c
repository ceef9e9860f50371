/* SPDX-License-Identifier: MIT */
/*
 * test_uring.c - io_uring, when its calls do less than was asked.
 */
#include <poll.h>

#include "backend/backend.h"
#include "harness/thread.h"
#include "uring_fixture.h"

#define NR 32

/* Write with the fault that the caller has set up, read back without. */
static void write_and_compare(struct t_device *d, unsigned nr, uint64_t len)
{
	uint8_t *in = t_buffer(nr * len, 7), *out = t_buffer(nr * len, 1);
	struct t_bio bios[NR];

	send_all(d, bios, nr, IOMAP_BIO_WRITE, in, len);
	all_end(d, bios, nr, 0);
	memset(&fault, 0, sizeof(fault));
	send_all(d, bios, nr, IOMAP_BIO_READ, out, len);
	all_end(d, bios, nr, 0);
	ck_assert_mem_eq(in, out, nr * len);
}

CASE(a_part_of_a_batch, "O20 O45",
     "What the kernel leaves in the ring of a batch goes with the next call")
{
	struct t_device d;

	START(&d);
	fault.hold_back = 20;
	write_and_compare(&d, NR, 4 * KB);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE], NR);
	t_device_stop(&d);
}

CASE(submission_refused_for_now, "O20 O44",
     "After -EAGAIN and -EBUSY the entries stay, and go when somebody waits")
{
	static const int errors[] = { -EAGAIN, -EBUSY, -EINTR };
	struct t_device d;

	START(&d);
	for (unsigned i = 0; i < 3; i++) {
		fault.submit_error = fault.wait_error = errors[i];
		fault.nr_submit = fault.nr_wait = 5;
		write_and_compare(&d, NR, 4 * KB);
	}
	t_device_stop(&d);
}

CASE(what_was_refused_is_an_event, "O44",
     "An event loop hears of entries that the kernel would not take, and takes them there again")
{
	uint8_t *mem = t_buffer(NR * 4 * KB, 7);
	struct pollfd event = { .events = POLLIN };
	struct t_bio bios[NR];
	struct t_device d;
	unsigned nr = 0;

	START(&d);
	event.fd = iomap_ioq_event_fd(d.ioq);
	ck_assert_int_ge(event.fd, 0);
	for (unsigned i = 0; i < 8 && poll(&event, 1, 0) == 1; i++)
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, NR, 0), 0);
	ck_assert_int_eq(poll(&event, 1, 0), 0);
	fault.submit_error = -EAGAIN;
	fault.nr_submit = 3;
	send_all(&d, bios, NR, IOMAP_BIO_WRITE, mem, 4 * KB);
	while (nr < NR) {
		ck_assert_int_eq(poll(&event, 1, 3000 * (int)t_scale()), 1);
		nr += (unsigned)iomap_ioq_poll(d.ioq, 0, NR, 0);
	}
	all_end(&d, bios, NR, 0);
	for (unsigned i = 0; i < 8 && poll(&event, 1, 0) == 1; i++)
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 0, NR, 0), 0);
	ck_assert_int_eq(poll(&event, 1, 0), 0);
	t_device_stop(&d);
}

CASE(interrupted_waits_go_on, "O44", "-EINTR out of a wait is no end of it")
{
	uint8_t *mem = t_buffer(4 * KB, 3);
	struct t_device d;

	START(&d);
	fault.wait_error = -EINTR;
	fault.nr_wait = 3;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), 0);
	t_device_stop(&d);
}

CASE(waits_may_be_long, "", "The longest there is ends with its completion, interrupted or not")
{
	struct t_device d;
	struct t_bio b;

	START(&d);
	fault.wait_error = -EINTR;
	fault.nr_wait = 3;
	t_bio_init(&b, d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0);
	iomap_bio_submit(&b.bio);
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, 1, INT64_MAX), 1);
	ck_assert_int_eq(b.status, 0);
	t_device_stop(&d);
}

CASE(short_transfers_go_on, "O45",
     "One run: each call moves 4 KiB of 64, and all of it arrives where it belongs")
{
	uint8_t *in = t_buffer(64 * KB, 8), *out = t_buffer(64 * KB, 1);
	struct t_device d;

	START(&d);
	fault.cut = 4 * KB;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 64 * KB, in, 64 * KB, 0), 0);
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE], 16);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 64 * KB, out, 64 * KB, IOMAP_BIO_NOWAIT), 0);
	ck_assert_uint_eq(seen.ops[IORING_OP_READ], 16);
	ck_assert_mem_eq(in, out, 64 * KB);
	t_device_stop(&d);
}

CASE(short_vectored_transfers_go_on, "O45",
     "Several runs: a call ends inside one of them, the next begins there")
{
	uint8_t *in = t_buffer(64 * KB, 8), *out = t_buffer(64 * KB, 1);
	struct t_device d;
	struct t_bio w, r;

	START(&d);
	fault.cut = 4 * KB;
	t_bio_init(&w, d.bdev, IOMAP_BIO_WRITE, 0, in, 12 * KB);
	iomap_bio_add(&w.bio, in + 20 * KB, 16 * KB, NULL);
	iomap_bio_add(&w.bio, in + 40 * KB, 4 * KB, NULL);
	iomap_bio_submit(&w.bio);
	all_end(&d, &w, 1, 0);
	t_bio_init(&r, d.bdev, IOMAP_BIO_READ, 0, out, 4 * KB);
	iomap_bio_add(&r.bio, out + 8 * KB, 28 * KB, NULL);
	iomap_bio_submit(&r.bio);
	all_end(&d, &r, 1, 0);
	memmove(out + 4 * KB, out + 8 * KB, 28 * KB);
	ck_assert_mem_eq(out, in, 12 * KB);
	ck_assert_mem_eq(out + 12 * KB, in + 20 * KB, 16 * KB);
	ck_assert_mem_eq(out + 28 * KB, in + 40 * KB, 4 * KB);
	t_device_stop(&d);
}

CASE(nothing_transferred_is_an_error, "O44", "A completion with nothing in it is -EIO, once")
{
	uint8_t *mem = t_buffer(4 * KB, 3);
	struct t_device d;

	START(&d);
	fault.nr_res = 1;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), -EIO);
	ck_assert_uint_eq(d.t.nr_reports, 1);
	ck_assert_str_eq(d.t.last_callback, "uring");
	t_device_stop(&d);
}

CASE(interrupted_requests_are_sent_again, "O20",
     "-EINTR, and -ECANCELED of a thread that has ended, are nobody's errors")
{
	static const int errors[] = { -EINTR, -ECANCELED };
	uint8_t *mem = t_buffer(4 * KB, 3);
	struct t_device d;

	START(&d);
	for (unsigned i = 0; i < 2; i++) {
		fault.res = errors[i];
		fault.nr_res = 2;
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), 0);
		fault.nr_res = 2;
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_FLUSH, 0, NULL, 0, 0), 0);
		ck_assert_uint_eq(fault.nr_res, 0);
	}
	ck_assert_uint_eq(seen.ops[IORING_OP_WRITE], 6);
	ck_assert_uint_eq(seen.ops[IORING_OP_FSYNC], 6);
	t_device_stop(&d);
}

struct leaver {
	struct t_device *d;
	struct t_bio bios[NR];
};

/* What goes through workers of the kernel, which go with the thread. */
static void *submit_and_leave(void *arg)
{
	struct leaver *l = arg;

	for (unsigned i = 0; i < NR; i++) {
		t_bio_init(&l->bios[i], l->d->bdev,
			   i % 2 ? IOMAP_BIO_FLUSH : IOMAP_BIO_WRITE_ZEROES, 0, NULL, 0);
		if (i % 2 == 0) {
			l->bios[i].bio.addr = i * 64 * KB;
			l->bios[i].bio.len = 64 * KB;
		}
		iomap_bio_submit(&l->bios[i].bio);
	}
	return NULL;
}

CASE(the_submitter_leaves, "O20", "What a thread has submitted does not end with the thread")
{
	struct leaver l;
	struct t_device d;

	START(&d);
	l.d = &d;
	for (unsigned round = 0; round < 20; round++) {
		t_join(t_thread(submit_and_leave, &l));
		all_end(&d, l.bios, NR, 0);
	}
	t_device_stop(&d);
}

/* Background writes on a ring of a single issuer, waited for in one poll after the other. */
static unsigned wait_for_background(uint8_t priority, int64_t timeout_ns)
{
	uint8_t *mem = t_buffer(NR * 4 * KB, 5);
	struct t_bio bios[NR];
	struct iomap_plug plug;
	struct t_device d;
	unsigned nr = 0;

	seen.most_waited_for = 0;
	t_device_start(&d, T_URING_SINGLE);
	iomap_plug_start(&plug, d.t.env);
	for (unsigned i = 0; i < NR; i++) {
		t_bio_init(&bios[i], d.bdev, IOMAP_BIO_WRITE, i * 4 * KB, mem, 4 * KB);
		bios[i].bio.priority = priority;
		iomap_bio_submit(&bios[i].bio);
	}
	iomap_plug_end(&plug);
	while (nr < NR) {
		int n = iomap_ioq_poll(d.ioq, 1, NR, timeout_ns);

		ck_assert_int_ge(n, 1);
		nr += (unsigned)n;
	}
	ck_assert_int_eq(iomap_ioq_poll(d.ioq, 1, NR, timeout_ns), 0);
	all_end(&d, bios, NR, 0);
	t_device_stop(&d);
	return seen.most_waited_for;
}

CASE(background_writes_are_collected, "O44",
     "All end, one poll after the other; a kernel that cannot collect, and whoever waits, does not")
{
	struct t_device d;

	START(&d);
	t_device_stop(&d);
	wait_for_background(0, IOMAP_FOREVER);
	wait_for_background(0, 3000000000);
	ck_assert_uint_eq(wait_for_background(1, IOMAP_FOREVER), 0);
	fault.features_missing = 1u << 15;
	ck_assert_uint_eq(wait_for_background(0, IOMAP_FOREVER), 0);
}

/* Wakes that nobody is asleep for yet are remembered, each until it has ended one reap. */
static void *wake_and_reap(void *arg)
{
	struct iomap_bio *done[1];

	for (unsigned i = 0; i < 3; i++) {
		iomapi_uring_backend.wakeup(arg);
		ck_assert_int_eq(iomapi_uring_backend.reap(arg, done, 1, 1, IOMAP_FOREVER), 0);
	}
	return NULL;
}

CASE(wakes_are_remembered, "O44", "A wake-up ends the next reap, and the one after another wake-up")
{
	const struct iomap_ioq_opts opts = {
		.struct_size = sizeof(opts), .depth = 4, .max_devices = 4,
	};
	const char *reason = NULL;
	struct t_device d;
	void *queue;

	START(&d);
	ck_assert_int_eq(iomapi_uring_backend.queue_open(NULL, d.t.env, &opts, &queue, &reason), 0);
	t_join(t_thread(wake_and_reap, queue));
	iomapi_uring_backend.queue_close(queue);
	t_device_stop(&d);
}

CASE(a_wakeup_has_no_memory, "",
     "What the kernel may still finish when the queue has gone writes nowhere")
{
	struct t_device d;

	START(&d);
	write_and_compare(&d, NR, 4 * KB);
	ck_assert_uint_eq(seen.wake_op, IORING_OP_POLL_ADD);
	t_device_stop(&d);
}

CASE(again_by_a_worker, "O44", "-EAGAIN is sent once more so that it may block; then it is told")
{
	uint8_t *mem = t_buffer(4 * KB, 3);
	struct t_device d;

	START(&d);
	fault.res = -EAGAIN;
	fault.nr_res = 1;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), 0);
	ck_assert_uint_eq(seen.nr_async, 1);
	fault.nr_res = 2;
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 4 * KB, 0), -EAGAIN);
	t_device_stop(&d);
}

CASE(no_asynchronous_call, "", "A discard that the ring does not do is done by hand")
{
	uint8_t *mem = t_buffer(16 * KB, 3);
	struct t_device d;

	START(&d);
	for (int op = IOMAP_BIO_DISCARD; op <= IOMAP_BIO_WRITE_ZEROES; op++) {
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 0, mem, 16 * KB, 0), 0);
		fault.res = -EOPNOTSUPP;
		fault.nr_res = 1;
		ck_assert_int_eq(t_io(d.bdev, (enum iomap_bio_op)op, 4 * KB, NULL, 8 * KB, 0), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 4 * KB, mem, 8 * KB, 0), 0);
		ck_assert(t_is_zero(mem, 8 * KB));
	}
	t_device_stop(&d);
}

CASE(the_completion_ring_overflows, "O20",
     "More completions than the ring of four has room for, some at a time: each bio ends once")
{
	struct t_device d;

	fault.entries = 4;
	fault.most_peeked = 3;
	START(&d);
	write_and_compare(&d, NR, 4 * KB);
	t_device_stop(&d);
}

CASE(vectors_stay_until_they_are_sent, "O45",
     "In a ring that is full in the midst of a batch each request has the memory of its own")
{
	uint8_t *in = t_buffer(NR * 16 * KB, 7), *out = t_buffer(NR * 8 * KB, 1);
	struct iomap_plug plug;
	struct t_bio bios[NR];
	struct t_device d;

	fault.entries = 8;
	START(&d);
	iomap_plug_start(&plug, d.t.env);
	for (unsigned i = 0; i < NR; i++) {
		memset(in + i * 16 * KB, (int)i + 1, 16 * KB);
		t_bio_init(&bios[i], d.bdev, IOMAP_BIO_WRITE, i * 8 * KB, in + i * 16 * KB, 4 * KB);
		iomap_bio_add(&bios[i].bio, in + i * 16 * KB + 8 * KB, 4 * KB, NULL);
		iomap_bio_submit(&bios[i].bio);
	}
	iomap_plug_end(&plug);
	all_end(&d, bios, NR, 0);
	ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_READ, 0, out, NR * 8 * KB, 0), 0);
	for (unsigned i = 0; i < NR * 8 * KB; i++)
		ck_assert_uint_eq(out[i], i / (8 * KB) + 1);
	t_device_stop(&d);
}

/* ---- kernels and containers that have less ---- */

/* Opening says -ENOTSUP, and why. */
static void denied(const char *why)
{
	struct iomap_bdev *bdev;
	struct iomap_ioq *ioq;
	char spec[160], path[128];
	struct t_env t;

	t_temp_path(path, sizeof(path), "device");
	snprintf(spec, sizeof(spec), "uring:%s,size=1m,create", path);
	t_env_start(&t, NULL);
	ck_assert_int_eq(iomap_ioq_new(t.env, NULL, &ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(ioq, spec, NULL, &bdev), -ENOTSUP);
	ck_assert_uint_ge(t.nr_reports, 1);
	ck_assert_msg(strstr(iomap_ioq_reason(ioq), why), "%s", iomap_ioq_reason(ioq));
	ck_assert_int_ne(access(path, F_OK), 0);	/* nothing half-open */
	iomap_ioq_delete(&ioq);
	t_env_stop(&t);
	memset(&fault, 0, sizeof(fault));
}

CASE(why_there_is_no_ring, "", "Each way to be denied a ring has its own words")
{
	static const struct { int error; const char *why; } rows[] = {
		{ -EPERM, "denied (EPERM)" }, { -ENOSYS, "no io_uring" }, { -EINVAL, "too old" },
		{ -ENOMEM, "RLIMIT_MEMLOCK" },
	};
	struct t_device d;

	for (unsigned i = 0; i < 4; i++) {
		fault.init_error = rows[i].error;
		denied(rows[i].why);
	}
	START(&d);
	t_device_stop(&d);
	fault.enter_error = -EPERM;	/* a ring can be made here, and not used */
	denied("denied (EPERM)");
	fault.features_missing = IORING_FEAT_EXT_ARG;
	denied("too old");
	fault.op_missing = IORING_OP_FALLOCATE;
	denied("too old");
}

CASE(flags_that_a_kernel_does_not_know, "", "They are given up one by one, and it works without")
{
	struct t_device d;

	START(&d);
	t_device_stop(&d);
	fault.flags_refused = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_DEFER_TASKRUN;
	t_device_start(&d, T_URING_SINGLE);
	write_and_compare(&d, NR, 4 * KB);
	t_device_stop(&d);
}

CASE(tables_that_a_kernel_does_not_have, "", "Without registered files it works by descriptor")
{
	struct t_device d;

	START(&d);
	write_and_compare(&d, NR, 4 * KB);
	ck_assert_uint_eq(seen.nr_fixed_files, 2 * NR);
	t_device_stop(&d);
	fault.files_error = fault.buffers_error = -EINVAL;
	t_device_start(&d, T_URING);
	ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, &d, sizeof(d)), -ENOTSUP);
	write_and_compare(&d, NR, 4 * KB);
	ck_assert_uint_eq(seen.nr_fixed_files, 2 * NR);
	t_device_stop(&d);
}

CASE(a_thread_of_the_kernel_submits, "",
     "SQPOLL: the same results, or words why it is not to be had")
{
	struct iomap_ioq_opts opts = {
		.struct_size = sizeof(opts), .flags = IOMAP_IOQ_SQPOLL,
	};
	struct t_device d;

	START(&d);
	t_device_stop(&d);
	t_device_start_with(&d, T_URING, &opts);
	ck_assert_ptr_null(strstr(iomap_ioq_reason(d.ioq), "without"));
	for (unsigned i = 0; i < 8; i++)
		write_and_compare(&d, NR, 4 * KB);
	t_device_stop(&d);
	fault.flags_refused = IORING_SETUP_SQPOLL;
	t_device_start_with(&d, T_URING, &opts);
	ck_assert_ptr_nonnull(strstr(iomap_ioq_reason(d.ioq), "without SQPOLL"));
	write_and_compare(&d, NR, 4 * KB);
	t_device_stop(&d);
}

MAIN()
