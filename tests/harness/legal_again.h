/* SPDX-License-Identifier: MIT */
/*
 * legal_again.h - which contents are legal after a second power cut, in recovery.
 *
 * What the first cut left is one of all that it may have left, and stays so: recovery has seen some
 * units of it, and its own commands lie above it.  So the second is judged with that as the initial
 * content, for each that agrees with what was seen.
 */
#ifndef T_LEGAL_AGAIN_H
#define T_LEGAL_AGAIN_H

#include "harness/legal.h"

#define LEGAL_NOT_SEEN	252u

/*
 * first: the commands of work, when power went.  seen: of each unit what recovery has read before
 * it wrote there, or LEGAL_NOT_SEEN.  second: the commands of recovery, whose tokens no command of
 * work has, when power went again.  Not for devices that leave garbage.
 */
bool legal_again(const struct legal *first, const uint8_t *seen, const struct legal *second,
		 const uint8_t *image);

#endif
