/* SPDX-License-Identifier: MIT */
/*
 * iomap/iomap.h - all of libiomap for a client, in reading order.
 *
 * Concepts   An inode is a file.  A map says where a range of it lives; the client hands maps out
 *            in iomap_begin and hears in iomap_end how far the library came.  Folios cache file
 *            blocks and know which blocks are dirty; writeback groups them into ioends; bios carry
 *            bytes to a bdev on an ioq.  Everything hangs on one env.
 * Threads    Whoever waits, drives: an object wait reaps all queues, runs deferred work and
 *            callbacks. The library starts no thread.  Submitting never blocks and never calls
 *            back.
 * Errors     0, bytes, or a negative errno.  An I/O has one error path: its completion.  Writeback
 *            errors are sticky per inode and reported once per open handle.
 * Words      flush: the device's cache.  persist: CPU stores.  sync: the user's wish.  clean: no
 *            dirty bit.  durable: survives a crash.  Never the same thing.
 * Caveats    After a failed writeback a folio is clean but failed, and stays.  After fork the child
 *            abandons.  A lock held across an object wait must not be one that completions need.
 *
 * Not included: backend.h (for implementers), sim.h (another library), compat_linux.h.
 */
#ifndef IOMAP_IOMAP_H
#define IOMAP_IOMAP_H

#include "types.h"
#include "env.h"
#include "sync.h"
#include "bio.h"
#include "bdev.h"
#include "map.h"
#include "inode.h"
#include "volume.h"
#include "folio.h"
#include "cache.h"
#include "req.h"
#include "buffered.h"
#include "writeback.h"
#include "ioend.h"
#include "report.h"
#include "trace.h"

IOMAP_BEGIN_DECLS

#define IOMAP_VERSION_MAJOR	0
#define IOMAP_VERSION_MINOR	1
IOMAP_API unsigned iomap_version(void);		/* major << 16 | minor, of the library that runs */

IOMAP_END_DECLS
#endif
