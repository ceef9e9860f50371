/* SPDX-License-Identifier: MIT */
/*
 * version.c - which simulator runs.  Both libraries are released together.
 */
#include <iomap/iomap.h>
#include <iomap/sim.h>

unsigned iomap_sim_version(void)
{
	return IOMAP_VERSION_MAJOR << 16 | IOMAP_VERSION_MINOR;
}
