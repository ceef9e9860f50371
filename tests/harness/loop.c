/* SPDX-License-Identifier: MIT */
/*
 * loop.c - loop devices for stories.
 *
 * Between asking for a free one and taking it another process may be faster: ask again.  A close
 * does not end in the device being gone: the file of a ring that was closed is given up by the
 * kernel some time later.  So stop looks until it is.
 *
 * Threads: the test's main one.
 */
#include "harness/loop.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES	32
#define WAIT_MS	10
#define WAITS	1000		/* ten seconds, and more under sanitizers */

static int read_attribute(const struct t_loop *l, const char *name, char *value, size_t size)
{
	char path[128];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/sys/block/loop%u/queue/%s", l->nr, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, value, size - 1);
	close(fd);
	value[len > 0 ? len : 0] = '\0';
	return len > 0 ? 0 : -EIO;
}

int t_loop_set(const struct t_loop *l, const char *name, const char *value)
{
	ssize_t len = (ssize_t)strlen(value);
	char path[128];
	int fd, rc;

	snprintf(path, sizeof(path), "/sys/block/loop%u/queue/%s", l->nr, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = write(fd, value, (size_t)len) == len ? 0 : -errno;
	close(fd);
	return rc;
}

/* A loop device keeps what was set when its file goes, for whoever is next.  Where /sys cannot be
 * read or written, nothing was.  A write stops the queue for some milliseconds: only if need be. */
static void set_back(const struct t_loop *l)
{
	char now[64], value[64];
	int no = 0;

	ioctl(l->fd, BLKROSET, &no);
	if (!read_attribute(l, "max_hw_sectors_kb", value, sizeof(value)) &&
	    !read_attribute(l, "max_sectors_kb", now, sizeof(now)) && strcmp(now, value))
		t_loop_set(l, "max_sectors_kb", value);
	if (!read_attribute(l, "write_cache", now, sizeof(now)) && strcmp(now, "write back\n"))
		t_loop_set(l, "write_cache", "write back");
}

static int open_free(struct t_loop *l)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), nr, rc;

	if (control < 0)
		return -errno;
	nr = ioctl(control, LOOP_CTL_GET_FREE);
	rc = nr < 0 ? -errno : 0;
	close(control);
	if (rc)
		return rc;
	l->nr = (unsigned)nr;
	snprintf(l->path, sizeof(l->path), "/dev/loop%d", nr);
	l->fd = open(l->path, O_RDWR | O_CLOEXEC);
	return l->fd < 0 ? -errno : 0;
}

static int start_once(struct t_loop *l, int backing, uint32_t block)
{
	const struct loop_config config = {
		.fd = (uint32_t)backing, .block_size = block,
		.info = { .lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO },
	};
	int rc = open_free(l);

	if (rc)
		return rc;
	if (!ioctl(l->fd, LOOP_CONFIGURE, &config)) {
		set_back(l);		/* a story before this one may have crashed */
		return 0;
	}
	rc = -errno;
	close(l->fd);
	return rc;
}

int t_loop_start_on(struct t_loop *l, int backing, uint32_t block)
{
	struct stat st;
	int rc = -EBUSY;

	memset(l, 0, sizeof(*l));
	if (fstat(backing, &st))
		return -errno;
	l->device = st.st_dev;
	l->inode = st.st_ino;
	for (unsigned i = 0; i < TRIES && rc == -EBUSY; i++)
		rc = start_once(l, backing, block);
	return rc;
}

int t_loop_start(struct t_loop *l, uint64_t size, uint32_t block)
{
	int backing = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int rc = backing < 0 ? -errno : 0;

	if (rc)
		return rc;
	if (ftruncate(backing, (off_t)size))
		rc = -errno;
	if (!rc)
		rc = t_loop_start_on(l, backing, block);
	close(backing);
	return rc;
}

/* Its number may be somebody else's by now. */
static bool is_gone(const struct t_loop *l)
{
	int fd = open(l->path, O_RDONLY | O_CLOEXEC);
	struct loop_info64 info;
	bool gone;

	if (fd < 0)
		return true;
	gone = ioctl(fd, LOOP_GET_STATUS64, &info) || info.lo_device != l->device ||
	       info.lo_inode != l->inode;
	close(fd);
	return gone;
}

void t_loop_stop(struct t_loop *l)
{
	const struct timespec wait = { 0, WAIT_MS * 1000000 };
	unsigned left = WAITS * t_scale();

	set_back(l);
	close(l->fd);
	while (!is_gone(l)) {
		ck_assert_msg(left--, "%s is still in use", l->path);
		nanosleep(&wait, NULL);
	}
}
