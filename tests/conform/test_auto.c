/* SPDX-License-Identifier: MIT */
/*
 * test_auto.c - auto: and borrowed descriptors choose a backend, and say in words why this one.
 *
 * The backends are stand-ins under the names of the real ones, each the memory device behind a
 * queue and a device that open as the test says.
 */
#include "harness/devices.h"

static struct stand_in {
	int queue_rc, dev_rc;
	const char *why;
	unsigned nr_queues, nr_devs, threads;	/* asked to open; the last with so many threads */
} uring, aio, file;

static int stand_in_queue(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			  void **queue, const char **reason)
{
	struct stand_in *s = arg;

	s->nr_queues++;
	s->threads = opts->threads;
	*reason = s->why;
	return s->queue_rc ? s->queue_rc
			   : t_mem_backend.queue_open(NULL, env, opts, queue, reason);
}

static int stand_in_dev(struct stand_in *s, void *queue, const struct iomap_bdev_opts *opts,
			void **dev)
{
	s->nr_devs++;
	return s->dev_rc ? s->dev_rc : t_mem_backend.dev_open(queue, "m", -1, opts, dev);
}

#define STAND_IN(name) \
	static int name##_dev(void *queue, const char *path, int fd, \
			      const struct iomap_bdev_opts *opts, void **dev) \
	{ \
		(void)path, (void)fd; \
		return stand_in_dev(&name, queue, opts, dev); \
	}
STAND_IN(uring)
STAND_IN(aio)
STAND_IN(file)

struct choice {
	struct t_env t;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdevs[2];
};

static void start(struct choice *c, const struct iomap_ioq_opts *opts)
{
	static struct iomap_backend_ops ops[3];
	static const struct iomap_backend_ops *const backends[] = { &ops[0], &ops[1], &ops[2],
								    NULL };
	static void *const args[] = { &uring, &aio, &file };
	const struct iomap_env_opts env_opts = { .struct_size = sizeof(env_opts),
						 .backends = backends, .backend_args = args };
	static const char *const schemes[] = { "uring", "aio", "file" };

	uring = aio = file = (struct stand_in){ 0 };
	for (unsigned i = 0; i < 3; i++) {
		ops[i] = t_mem_backend;
		ops[i].scheme = schemes[i];
		ops[i].queue_open = stand_in_queue;
	}
	ops[0].dev_open = uring_dev;
	ops[1].dev_open = aio_dev;
	ops[2].dev_open = file_dev;
	memset(c, 0, sizeof(*c));
	t_env_start(&c->t, &env_opts);
	ck_assert_int_eq(iomap_ioq_new(c->t.env, opts, &c->ioq), 0);
}

static void stop(struct choice *c)
{
	for (unsigned i = 0; i < 2; i++)
		iomap_bdev_close(&c->bdevs[i]);
	iomap_ioq_delete(&c->ioq);
	t_env_stop(&c->t);
}

static void deny(struct stand_in *s, const char *why)
{
	s->queue_rc = -ENOTSUP;
	s->why = why;
}

static int open_auto(struct choice *c)
{
	return iomap_bdev_open(c->ioq, "auto:x", NULL, &c->bdevs[0]);
}

CASE(auto_takes_the_best, "", "The first that works; the others are not asked")
{
	struct choice c;

	start(&c, NULL);
	ck_assert_int_eq(open_auto(&c), 0);
	ck_assert_str_eq(iomap_ioq_reason(c.ioq), "uring");
	ck_assert_uint_eq(aio.nr_queues + file.nr_queues, 0);
	stop(&c);
}

CASE(auto_passes_over_what_is_denied, "",
     "Once for all devices of an ioq, told in words, and no error to report")
{
	struct choice c;

	start(&c, NULL);
	deny(&uring, "denied here (EPERM)");
	ck_assert_int_eq(open_auto(&c), 0);
	ck_assert_str_eq(iomap_ioq_reason(c.ioq), "aio; not uring: denied here (EPERM)");
	ck_assert_int_eq(iomap_bdev_open_fd(c.ioq, 0, NULL, &c.bdevs[1]), 0);
	ck_assert_uint_eq(aio.nr_devs, 2);
	ck_assert_uint_eq(uring.nr_queues, 1);
	ck_assert_uint_eq(file.nr_queues, 0);
	ck_assert_uint_eq(c.t.nr_reports, 0);
	stop(&c);
}

CASE(auto_falls_back_to_threads, "", "Four, or as many as asked for; file: by its name has none")
{
	struct iomap_ioq_opts opts = { .struct_size = sizeof(opts) };
	struct iomap_ioq *second;
	struct choice c;

	for (opts.threads = 0; opts.threads < 4; opts.threads += 2) {
		const unsigned nr = opts.threads ? opts.threads : 4;

		start(&c, &opts);
		deny(&uring, "no");
		deny(&aio, NULL);
		file.why = "threads";
		ck_assert_int_eq(open_auto(&c), 0);
		ck_assert_uint_eq(file.threads, nr);
		ck_assert_str_eq(iomap_ioq_reason(c.ioq), "file: threads; not uring: no; "
				 "not aio: Operation not supported");
		ck_assert_int_eq(iomap_ioq_new(c.t.env, NULL, &second), 0);
		ck_assert_int_eq(iomap_bdev_attach(c.bdevs[0], second), 0);
		ck_assert_uint_eq(file.threads, 4);
		iomap_ioq_delete(&second);
		stop(&c);
		start(&c, &opts);
		ck_assert_int_eq(iomap_bdev_open(c.ioq, "file:x", NULL, &c.bdevs[0]), 0);
		ck_assert_uint_eq(file.threads, opts.threads);
		stop(&c);
	}
}

CASE(a_bad_path_is_final, "", "What is wrong with the file is not cured by another backend")
{
	static const int errors[] = { -ENOENT, -EISDIR, -EACCES, -EBUSY, -EINVAL, -EOPNOTSUPP };
	struct choice c;

	start(&c, NULL);
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		uring.dev_rc = errors[i];
		ck_assert_int_eq(open_auto(&c), errors[i]);
		ck_assert_ptr_null(c.bdevs[0]);
	}
	ck_assert_uint_eq(aio.nr_queues, 0);
	ck_assert_uint_eq(c.t.nr_reports, 0);	/* the backend has told what is wrong */
	stop(&c);
}

CASE(a_queue_that_fails_is_final, "", "No memory is not a reason to take another backend")
{
	struct choice c;

	start(&c, NULL);
	uring.queue_rc = -ENOMEM;
	ck_assert_int_eq(open_auto(&c), -ENOMEM);
	ck_assert_uint_eq(c.t.nr_reports, 1);
	ck_assert_uint_eq(aio.nr_queues, 0);
	stop(&c);
}

CASE(auto_with_nothing_left_says_so, "", "One report names all reasons; nothing stays half-open")
{
	struct choice c;

	start(&c, NULL);
	deny(&uring, "no rings");
	deny(&aio, "no contexts");
	deny(&file, "left out");
	ck_assert_int_eq(open_auto(&c), -ENOTSUP);
	ck_assert_uint_eq(c.t.nr_reports, 1);
	ck_assert_str_eq(c.t.last_field, "scheme");
	ck_assert_str_eq(iomap_ioq_reason(c.ioq),
			 "not uring: no rings; not aio: no contexts; not file: left out");
	file.queue_rc = 0;
	ck_assert_int_eq(iomap_bdev_open(c.ioq, "file:x", NULL, &c.bdevs[0]), 0);
	ck_assert(!strncmp(iomap_ioq_reason(c.ioq), "file: left out; not uring", 25));
	stop(&c);
}

CASE(a_backend_asked_for_by_name_reports, "", "Denied is an error there, each time")
{
	struct choice c;

	start(&c, NULL);
	deny(&uring, "no rings");
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(iomap_bdev_open(c.ioq, "uring:x", NULL, &c.bdevs[0]), -ENOTSUP);
		ck_assert_uint_eq(c.t.nr_reports, i + 1);
		ck_assert_str_eq(c.t.last_callback, "uring");
		ck_assert_str_eq(iomap_ioq_reason(c.ioq), "not uring: no rings");
	}
	stop(&c);
}

CASE(the_backend_of_an_ioq_is_the_only_one, "", "Its options name it for auto: and descriptors")
{
	struct iomap_ioq_opts opts = { .struct_size = sizeof(opts), .backend = "aio" };
	struct choice c;

	start(&c, &opts);
	ck_assert_int_eq(open_auto(&c), 0);
	ck_assert_int_eq(iomap_bdev_open_fd(c.ioq, 0, NULL, &c.bdevs[1]), 0);
	ck_assert_uint_eq(aio.nr_devs, 2);
	ck_assert_uint_eq(uring.nr_queues, 0);
	stop(&c);
	start(&c, &opts);
	deny(&aio, "no contexts");
	ck_assert_int_eq(open_auto(&c), -ENOTSUP);
	ck_assert_uint_eq(c.t.nr_reports, 1);
	ck_assert_uint_eq(file.nr_queues, 0);
	stop(&c);
	opts.backend = "floppy";
	start(&c, &opts);
	ck_assert_int_eq(open_auto(&c), -ENOTSUP);
	ck_assert_str_eq(c.t.last_field, "scheme");
	stop(&c);
}

CASE(long_reasons_are_cut, "", "What is in use stands in front and is named in any case")
{
	struct choice c;
	char why[1000];

	memset(why, 'y', sizeof(why) - 1);
	why[sizeof(why) - 1] = '\0';
	start(&c, NULL);
	deny(&uring, why);
	deny(&aio, why);
	file.why = why;
	ck_assert_int_eq(open_auto(&c), 0);
	ck_assert_int_eq(iomap_bdev_open(c.ioq, "null:", NULL, &c.bdevs[1]), 0);
	ck_assert(!strncmp(iomap_ioq_reason(c.ioq), "file: yyy", 9));
	ck_assert_ptr_nonnull(strstr(iomap_ioq_reason(c.ioq), "; null; not uring: yyy"));
	ck_assert_ptr_nonnull(strstr(iomap_ioq_reason(c.ioq), "; not aio: yyy"));
	ck_assert_uint_lt(strlen(iomap_ioq_reason(c.ioq)), 512);
	stop(&c);
}

MAIN()
