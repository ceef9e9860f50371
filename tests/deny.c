/* SPDX-License-Identifier: MIT */
/*
 * deny - runs a command where the kernel refuses io_uring, libaio or both, as many containers do.
 *
 *	deny uring|uring-enter|aio|aio-submit [..] -- COMMAND [ARG..]
 *
 * A seccomp filter answers EPERM to the system calls that make rings and contexts, or only to those
 * that use them; it stays with the command and all that it starts.  IOMAP_TEST_WITHOUT holds the
 * words, so that a test can tell what must not work from what is broken.  125: the filter or the
 * command cannot be had.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAILED	125

static const struct word {
	const char *text;
	unsigned call;
} all_words[] = {
	{ "uring", __NR_io_uring_setup }, { "uring-enter", __NR_io_uring_enter },
	{ "aio", __NR_io_setup }, { "aio-submit", __NR_io_submit }, { NULL, 0 },
};

static int fail(const char *what)
{
	fprintf(stderr, "deny: %s: %s\n", what, strerror(errno));
	return FAILED;
}

/* Filters add up: the call is refused if one of them refuses it. */
static int deny(unsigned call)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int usage(void)
{
	fprintf(stderr, "usage: deny uring|uring-enter|aio|aio-submit [..] -- COMMAND [ARG..]\n");
	return FAILED;
}

int main(int argc, char **argv)
{
	char words[32] = "";
	int i = 1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return fail("no new privileges");
	for (; i < argc && i < 3 && strcmp(argv[i], "--"); i++) {
		const struct word *word = all_words;

		while (word->text && strcmp(argv[i], word->text))
			word++;
		if (!word->text)
			return usage();
		if (deny(word->call))
			return fail("seccomp");
		snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s ", argv[i]);
	}
	if (i < 2 || i + 1 >= argc || strcmp(argv[i], "--"))
		return usage();
	setenv("IOMAP_TEST_WITHOUT", words, 1);
	execv(argv[i + 1], argv + i + 1);
	return fail(argv[i + 1]);
}
