/* SPDX-License-Identifier: MIT */
/*
 * iomap/sim.h - the simulator's public face.
 *
 * For those who test a storage engine.  The simulator is a library of its own, libiomap-sim, which
 * sits on libiomap's public headers like any other outside backend.
 */
#ifndef IOMAP_SIM_H
#define IOMAP_SIM_H

#include "types.h"

IOMAP_BEGIN_DECLS

IOMAP_API unsigned iomap_sim_version(void);	/* major << 16 | minor, of the library that runs */

IOMAP_END_DECLS
#endif
