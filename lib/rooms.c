/* SPDX-License-Identifier: MIT */
/*
 * rooms.c - the composition root: which rooms keep state in an environment, which backends are
 * built in.
 *
 * The only file that knows names from all floors; base sees them as tables.  Rooms are made in this
 * order and taken down in reverse.
 */
#include "base/env.h"

extern const struct iomapi_room iomapi_room_block, iomapi_room_inode, iomapi_room_writeback;
extern const struct iomapi_room iomapi_room_buffered;
extern const struct iomap_backend_ops iomapi_null_backend, iomapi_uring_backend;
extern const struct iomap_backend_ops iomapi_aio_backend, iomapi_file_backend;

const struct iomapi_room *const iomapi_rooms[IOMAPI_NR_ROOMS] = {
	[IOMAPI_ROOM_BLOCK] = &iomapi_room_block,
	[IOMAPI_ROOM_INODE] = &iomapi_room_inode,
	[IOMAPI_ROOM_WRITEBACK] = &iomapi_room_writeback,
	[IOMAPI_ROOM_BUFFERED] = &iomapi_room_buffered,
};

const struct iomap_backend_ops *const iomapi_backends[] = {
	&iomapi_null_backend,
	&iomapi_uring_backend,
	&iomapi_aio_backend,
	&iomapi_file_backend,
	NULL,
};
