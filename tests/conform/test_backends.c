/* SPDX-License-Identifier: MIT */
/*
 * test_backends.c - which backends have to be here, and which of them auto: takes.
 *
 * Elsewhere a backend that cannot be had is left out of a story.  Here the kernel itself is asked
 * by a bare system call: where it makes a ring, the backend has to work, and where it does not, the
 * backend has to say so.  IOMAP_TEST_WITHOUT (deny.c) names what is denied on purpose.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/devices.h"

#define KB 1024u
#define DEPTH 256		/* of a queue that is not told */

struct fixture {
	struct t_env t;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
};

static int start(struct fixture *f, const char *scheme)
{
	char path[128], spec[192];
	int rc;

	f->bdev = NULL;
	t_env_start(&f->t, NULL);
	ck_assert_int_eq(iomap_ioq_new(f->t.env, NULL, &f->ioq), 0);
	t_temp_path(path, sizeof(path), "device");
	snprintf(spec, sizeof(spec), "%s:%s,create,size=1m", scheme, path);
	rc = iomap_bdev_open(f->ioq, spec, NULL, &f->bdev);
	t_temp_remove();
	return rc;
}

static void stop(struct fixture *f)
{
	iomap_bdev_close(&f->bdev);
	iomap_ioq_delete(&f->ioq);
	t_env_stop(&f->t);
}

static void writes_and_reads(struct fixture *f)
{
	uint8_t *in = t_buffer(64 * KB, 7), *out = t_buffer(64 * KB, 0);

	ck_assert_int_eq(t_io(f->bdev, IOMAP_BIO_WRITE, 4 * KB, in, 64 * KB, 0), 0);
	ck_assert_int_eq(t_io(f->bdev, IOMAP_BIO_READ, 4 * KB, out, 64 * KB, 0), 0);
	ck_assert(t_is_filled(out, 64 * KB, 7));
}

static bool denied_on_purpose(const char *scheme)
{
	const char *without = getenv("IOMAP_TEST_WITHOUT");

	return without && strstr(without, scheme);
}

/* 0, or why the kernel has none for us. */
static int ask_kernel_for_uring(void)
{
	uint64_t params[32] = { 0 };	/* larger than the kernel's struct */
	long fd = syscall(__NR_io_uring_setup, DEPTH, params);

	if (fd < 0)
		return errno;
	close((int)fd);
	return 0;
}

static int ask_kernel_for_aio(void)
{
	unsigned long context = 0;

	if (syscall(__NR_io_setup, DEPTH + 1, &context))
		return errno;
	syscall(__NR_io_destroy, context);
	return 0;
}

/* NULL, or why there is nothing to see: the story is skipped. */
static const char *is_here_or_says_why(const char *scheme, int error)
{
	const char *reason, *skip = NULL;
	struct fixture f;
	int rc = start(&f, scheme);

	reason = iomap_ioq_reason(f.ioq);
	ck_assert(error || !denied_on_purpose(scheme));
	if (strstr(reason, "left out when this library was built")) {
		ck_assert_int_eq(rc, -ENOTSUP);
		skip = "left out when this library was built";
	} else if (!error) {
		ck_assert_msg(!rc, "%s: %d: %s", scheme, rc, reason);
		writes_and_reads(&f);
	} else {
		ck_assert_int_eq(rc, -ENOTSUP);
		ck_assert_ptr_null(f.bdev);
		if (!denied_on_purpose(scheme))
			skip = strerror(error);
		else
			ck_assert_msg(strstr(reason, "denied") != NULL, "%s", reason);
	}
	stop(&f);
	return skip;
}

CASE(uring_is_here_or_says_why, "", "It works wherever the kernel makes a ring; else -ENOTSUP")
{
	const char *skip = is_here_or_says_why("uring", ask_kernel_for_uring());

	if (skip)
		t_skip(skip);
}

CASE(aio_is_here_or_says_why, "", "It works wherever the kernel makes a context; else -ENOTSUP")
{
	const char *skip = is_here_or_says_why("aio", ask_kernel_for_aio());

	if (skip)
		t_skip(skip);
}

CASE(auto_takes_the_best_that_is_here, "", "And says of each better one that it is not, and why")
{
	static const char *const schemes[] = { "uring", "aio", "file" };
	const char *reason;
	struct fixture f;
	char words[16];
	unsigned best = 0;
	int rc;

	while ((rc = start(&f, schemes[best])) == -ENOTSUP) {
		stop(&f);
		best++;
		ck_assert_uint_lt(best, 3);
	}
	ck_assert_int_eq(rc, 0);
	stop(&f);
	ck_assert_int_eq(start(&f, "auto"), 0);
	writes_and_reads(&f);
	reason = iomap_ioq_reason(f.ioq);
	ck_assert_msg(!strncmp(reason, schemes[best], strlen(schemes[best])), "%s", reason);
	ck_assert_msg(best < 2 || strstr(reason, "4 threads"), "%s", reason);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(words, sizeof(words), "not %s", schemes[i]);
		ck_assert_msg((strstr(reason, words) != NULL) == (i < best), "%s", reason);
	}
	stop(&f);
}

MAIN()
