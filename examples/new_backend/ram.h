/* SPDX-License-Identifier: MIT */
/*
 * ram.h - "ram:SIZE", a device in memory: the backend of ram.c.
 *
 * It is put into iomap_env_opts.backends; nothing else has to be known of it.
 */
#ifndef RAM_H
#define RAM_H

#include <iomap/backend.h>

extern const struct iomap_backend_ops ram_backend;

#endif
