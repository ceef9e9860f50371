/* SPDX-License-Identifier: MIT */
/*
 * mount.h - a file system of a story's own, to be filled or shut down; needs root.
 *
 * Only this process sees it (a mount name space of its own), so that it goes with it.
 */
#ifndef T_MOUNT_H
#define T_MOUNT_H

#include "harness/loop.h"

struct t_mount {
	char dir[64];			/* where it is mounted: t_temp_dir() */
	struct t_loop loop;		/* ext4 and xfs only */
};
/* type: "tmpfs", "ramfs"; "ext4" and "xfs" (300 MiB at least) on a loop device.  -errno: it cannot
 * be had here. */
int t_mount_start(struct t_mount *m, const char *type, uint64_t size);
/* All I/O fails from now on, as if the device were gone; ext4 and xfs only. */
int t_mount_shut_down(struct t_mount *m);
/* Close what is on it first.  Returns once it and its device are gone. */
void t_mount_stop(struct t_mount *m);

#endif
