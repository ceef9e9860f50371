/* SPDX-License-Identifier: MIT */
/*
 * peer_kernel.c - the page cache of the kernel: a file on XFS, and what its fdatasync costs.
 *
 * The file is written once in full, so that its blocks are allocated and no longer unwritten, and
 * drops out of the cache.  Before each pass the pages are written again, 4 KiB a call: XFS makes
 * folios as large as the call that first touches them, so they are small and stay it; with
 * large_folios calls and folios are of 1 MiB.  What the cache is made of is read from the kernel
 * (/proc/kpageflags) and said.  Only the fdatasync is the pass.
 *
 * The file system takes the first half of the device and is mounted in a mount namespace of this
 * process: however the process ends, nothing stays mounted.  The second half stays writable beside
 * it, if the kernel allows writes to a device that is mounted (CONFIG_BLK_DEV_WRITE_MOUNTED).
 *
 * Threads: one.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

#define MOUNT_POINT	"/mnt"		/* of our namespace only */
#define FILE_NAME	MOUNT_POINT "/file"
#define LARGE		((size_t)1 << 20)
#define KPF_COMPOUND	(3ull << 15)	/* head or tail of a large folio */

struct peer {
	struct peer_job job;
	bool mounted;
	int fd;
	char how[160];
};

/* ---- the file system ---- */

static int run(char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execvp(argv[0], argv);
		fprintf(stderr, "%s: %s (apt-get install xfsprogs)\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

static int64_t device_size(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t size = fd < 0 ? -errno : lseek(fd, 0, SEEK_END);

	if (fd >= 0)
		close(fd);
	return size;
}

static int mount_xfs(struct peer *p)
{
	char size[64], *path = strdup(p->job.path);
	char *const argv[] = { "mkfs.xfs", "-q", "-f", "-d", size, path, NULL };
	int64_t bytes = device_size(p->job.path);
	int rc = path ? 0 : -ENOMEM;

	if (bytes < 0)
		rc = (int)bytes;
	snprintf(size, sizeof(size), "size=%lld", (long long)(bytes / 2) & ~0xfffffll);
	if (!rc)
		rc = run(argv);
	free(path);
	if (rc)
		return rc;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	if (mount(p->job.path, MOUNT_POINT, "xfs", 0, NULL))
		return -errno;
	p->mounted = true;
	return 0;
}

/* ---- the file ---- */

static int write_at(int fd, const char *mem, size_t len, int64_t pos)
{
	ssize_t n = pwrite(fd, mem, len, pos);

	if (n < 0)
		return -errno;
	return n == (ssize_t)len ? 0 : -EIO;
}

/* All of it, straight to the disk; then no page of it is cached. */
static int write_file(struct peer *p)
{
	int64_t end = p->job.pos[p->job.nr - 1] + (int64_t)p->job.size;
	int rc = -posix_fallocate(p->fd, 0, end);

	for (int64_t pos = 0; pos < end && !rc; pos += (int64_t)LARGE)
		rc = write_at(p->fd, p->job.memory,
			      end - pos < (int64_t)LARGE ? (size_t)(end - pos) : LARGE, pos);
	if (!rc && fsync(p->fd))
		rc = -errno;
	if (!rc)
		rc = -posix_fadvise(p->fd, 0, 0, POSIX_FADV_DONTNEED);
	return rc;
}

static int kernel_prepare(void *arg)
{
	struct peer *p = arg;
	const struct peer_job *job = &p->job;
	int rc = 0;

	if (job->large_folios) {	/* the positions are all there are */
		int64_t end = job->pos[job->nr - 1] + (int64_t)job->size;

		for (int64_t pos = 0; pos < end && !rc; pos += (int64_t)LARGE)
			rc = write_at(p->fd, job->memory, LARGE, pos);
		return rc;
	}
	for (uint64_t i = 0; i < job->nr && !rc; i++)
		rc = write_at(p->fd, job->memory, job->size, job->pos[i]);
	return rc;
}

static int kernel_pass(void *arg)
{
	return fdatasync(((struct peer *)arg)->fd) ? -errno : 0;
}

/* ---- what the cache is made of ---- */

/* Of the file's pages, every 97th that is written: how many are part of a large folio. */
static int count_folios(struct peer *p, unsigned *nr, unsigned *nr_large)
{
	const struct peer_job *job = &p->job;
	size_t len = (size_t)job->pos[job->nr - 1] + job->size;
	int maps = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	char *mem = mmap(NULL, len, PROT_READ, MAP_SHARED, p->fd, 0);
	int rc = maps < 0 || flags < 0 || mem == MAP_FAILED ? -errno : 0;

	*nr = *nr_large = 0;
	for (uint64_t i = 0; i < job->nr && !rc; i += 97) {
		const volatile char *page = mem + job->pos[i];
		uint64_t entry, flag;

		(void)*page;
		if (pread(maps, &entry, 8, (off_t)((uintptr_t)page / 4096 * 8)) != 8 ||
		    pread(flags, &flag, 8, (off_t)((entry & ((1ull << 55) - 1)) * 8)) != 8)
			rc = -EIO;
		++*nr;
		*nr_large += !rc && flag & KPF_COMPOUND;
	}
	if (mem != MAP_FAILED)
		munmap(mem, len);
	if (maps >= 0)
		close(maps);
	if (flags >= 0)
		close(flags);
	return rc;
}

static void describe(struct peer *p)
{
	unsigned nr, nr_large;
	int n = snprintf(p->how, sizeof(p->how), "XFS, dirtied by pwrites of %s, only fdatasync "
			 "timed; ", p->job.large_folios ? "1 MiB" : "one page");

	if (count_folios(p, &nr, &nr_large))
		snprintf(p->how + n, sizeof(p->how) - (size_t)n, "folios unknown");
	else
		snprintf(p->how + n, sizeof(p->how) - (size_t)n,
			 "of %u pages looked at %u are in large folios", nr, nr_large);
}

/* ---- life ---- */

static void kernel_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->mounted && umount(MOUNT_POINT))
		fprintf(stderr, "umount of the peer's file system: %s\n", strerror(errno));
	free(p);
}

static int kernel_open(const struct peer_job *job, struct peer **result)
{
	struct peer *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->job = *job;
	p->fd = -1;
	rc = mount_xfs(p);
	if (!rc) {
		p->fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		rc = p->fd < 0 ? -errno : write_file(p);
	}
	if (!rc)
		rc = kernel_prepare(p);
	if (!rc)
		rc = kernel_pass(p);
	if (rc) {
		kernel_close(p);
		return rc;
	}
	describe(p);
	*result = p;
	return 0;
}

static const char *kernel_how(void *arg)
{
	return ((struct peer *)arg)->how;
}

const struct peer_ops peer_kernel = {
	.name = "kernel", .open = kernel_open, .prepare = kernel_prepare, .pass = kernel_pass,
	.how = kernel_how, .close = kernel_close,
};
