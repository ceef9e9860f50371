/* SPDX-License-Identifier: MIT */
/*
 * mount.c - file systems for stories.
 *
 * Threads: the test's main one, while there are no others.
 */
#include "harness/mount.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "harness/devices.h"

#define SHUTDOWN	_IOR('X', 125, uint32_t)	/* of ext4 and xfs; in no header */
#define NO_LOG_FLUSH	2u
#define WAIT_MS		10
#define WAITS		1000		/* ten seconds, and more under sanitizers */

static const struct {
	const char *type, *make;
} on_disk[] = {
	{ "ext4", "mkfs.ext4 -q -F -m 0 -E nodiscard,lazy_itable_init=0" },
	{ "xfs", "mkfs.xfs -q -f -K" },
};

static int make_fs(const char *make, const char *path)
{
	char command[256];

	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin %s %s >/dev/null 2>&1", make,
		 path);
	return system(command) ? -ENOSYS : 0;
}

/* From here on nobody else sees what is mounted, or unmounted. */
static int leave_name_space(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	return 0;
}

static int mount_disk(struct t_mount *m, const char *type, const char *make, uint64_t size)
{
	int rc = t_loop_start(&m->loop, size, 4096);

	if (rc)
		return rc;
	rc = make_fs(make, m->loop.path);
	if (!rc && mount(m->loop.path, m->dir, type, 0, NULL))
		rc = -errno;
	if (rc)
		t_loop_stop(&m->loop);
	return rc;
}

static int mount_memory(struct t_mount *m, const char *type, uint64_t size)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%llu", (unsigned long long)size);
	return mount("none", m->dir, type, 0, options) ? -errno : 0;
}

static int mount_any(struct t_mount *m, const char *type, uint64_t size)
{
	for (unsigned i = 0; i < sizeof(on_disk) / sizeof(on_disk[0]); i++)
		if (!strcmp(type, on_disk[i].type))
			return mount_disk(m, type, on_disk[i].make, size);
	return mount_memory(m, type, size);
}

int t_mount_start(struct t_mount *m, const char *type, uint64_t size)
{
	int rc;

	memset(m, 0, sizeof(*m));
	/* Before: whoever cleans up stays outside, and finds the bare directory. */
	snprintf(m->dir, sizeof(m->dir), "%s", t_temp_dir());
	rc = leave_name_space();
	if (!rc)
		rc = mount_any(m, type, size);
	if (rc)
		t_temp_remove();
	return rc;
}

int t_mount_shut_down(struct t_mount *m)
{
	uint32_t how = NO_LOG_FLUSH;
	int fd = open(m->dir, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = ioctl(fd, SHUTDOWN, &how) ? -errno : 0;
	close(fd);
	return rc;
}

/* Rings give up their files some time after they were closed. */
void t_mount_stop(struct t_mount *m)
{
	const struct timespec wait = { 0, WAIT_MS * 1000000 };
	unsigned left = WAITS * t_scale();

	while (umount2(m->dir, 0)) {
		ck_assert_int_eq(errno, EBUSY);
		ck_assert_msg(left--, "%s is still in use", m->dir);
		nanosleep(&wait, NULL);
	}
	t_temp_remove();
	if (m->loop.path[0])
		t_loop_stop(&m->loop);
}
