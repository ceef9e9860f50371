/* SPDX-License-Identifier: MIT */
/*
 * base/copy.h - the default way to the user's memory.
 */
#ifndef IOMAPI_COPY_H
#define IOMAPI_COPY_H

#include <iomap/env.h>

#include "base/base.h"

extern const struct iomap_copy_ops iomapi_copy_plain;	/* memcpy */

#endif
