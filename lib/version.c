/* SPDX-License-Identifier: MIT */
/*
 * version.c - which library runs, as opposed to which header was compiled against.
 */
#include <iomap/iomap.h>

unsigned iomap_version(void)
{
	return IOMAP_VERSION_MAJOR << 16 | IOMAP_VERSION_MINOR;
}
