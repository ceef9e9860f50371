/* SPDX-License-Identifier: MIT */
/*
 * watchdog.c - says so when a task sleeps where no other task can wake it.
 *
 * A task that waits for a mutex of pthreads which another task has puts the thread to sleep that
 * both share: the process would hang, and nobody would know why.  So while there are tasks a second
 * thread looks, each second, whether that one sleeps in a futex; after five looks at which nothing
 * had moved it tells which task that is and ends the process.
 *
 * This is the one place where real time passes, and it decides nothing: a run that ends is not
 * touched, and one that does not would not have.  Where the kernel does not tell about threads
 * (/proc) nobody looks.
 *
 * Threads: the second one reads what the first wrote before it fell asleep.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "task.h"

#define LOOK_MS	1000
#define LOOKS	5u

struct iomapi_sim_watchdog {
	struct iomap_sim *sim;
	pthread_t thread;
	int stop;			/* an event ends it */
	pid_t pid;
	long tid;			/* whom it watches */
	char was[2][256];
};

/* false: it cannot be read. */
static bool read_proc(long tid, const char *name, char *mem, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/%s", tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, mem, size - 1);
	close(fd);
	mem[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* It is in the same sleep as at the last look: where it is, and how long it has ever run. */
static bool sleeps(struct iomapi_sim_watchdog *w)
{
	char now[2][256], futex[16];
	bool same;

	if (!read_proc(w->tid, "syscall", now[0], sizeof(now[0])) ||
	    !read_proc(w->tid, "schedstat", now[1], sizeof(now[1])))
		return false;
	snprintf(futex, sizeof(futex), "%d ", SYS_futex);
	same = !strncmp(now[0], futex, strlen(futex)) && !strcmp(now[0], w->was[0]) &&
	       !strcmp(now[1], w->was[1]);
	memcpy(w->was, now, sizeof(now));
	return same;
}

/* The thread sleeps, so nothing of this changes. */
__attribute__((no_sanitize("thread")))
static bool is_task(const struct iomapi_sim_watchdog *w)
{
	const struct iomapi_sim_tasks *t = w->sim->tasks;

	return t && t->alive & (t->alive - 1);
}

__attribute__((no_sanitize("thread")))
static void tell(const struct iomapi_sim_watchdog *w)
{
	const struct iomapi_sim_task *task = w->sim->tasks->now;
	char text[400];
	int n = snprintf(text, sizeof(text),
			 "iomap-sim: task %u sleeps where no other task can wake it; last seen at "
			 "%s.\nTasks share one thread: use the locks of <iomap/sync.h>, or "
			 "iomap_sim_wait and iomap_sim_wake, not those of pthreads.\n", task->id,
			 task->site ? task->site : "its start");

	while (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0 && errno == EINTR)
		;
	abort();
}

static void *watch(void *arg)
{
	struct iomapi_sim_watchdog *w = arg;
	struct pollfd stop = { .fd = w->stop, .events = POLLIN };
	unsigned looks = 0;

	while (poll(&stop, 1, LOOK_MS) <= 0) {
		looks = sleeps(w) ? looks + 1 : 0;
		if (looks == LOOKS && is_task(w))
			tell(w);
	}
	return NULL;
}

/* ---- life ---- */

/* Signals are for threads of the program. */
static int start(struct iomapi_sim_watchdog *w)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, watch, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

void iomapi_sim_watch(struct iomap_sim *sim)
{
	struct iomapi_sim_watchdog *w;

	if (sim->watchdog)
		return;
	w = iomapi_sim_zalloc(sizeof(*w));
	if (!w)
		return;
	w->sim = sim;
	w->pid = getpid();
	w->tid = syscall(SYS_gettid);
	w->stop = eventfd(0, EFD_CLOEXEC);
	if (w->stop < 0 || start(w)) {
		if (w->stop >= 0)
			close(w->stop);
		iomapi_sim_free(w);
		return;
	}
	sim->watchdog = w;
}

void iomapi_sim_unwatch(struct iomap_sim *sim)
{
	struct iomapi_sim_watchdog *w = sim->watchdog;

	if (!w)
		return;
	sim->watchdog = NULL;
	if (w->pid == getpid()) {	/* in a child of the process it is not there */
		eventfd_write(w->stop, 1);
		pthread_join(w->thread, NULL);
	}
	close(w->stop);
	iomapi_sim_free(w);
}
