/* SPDX-License-Identifier: MIT */
/*
 * iomap/sim_file.h - files on a simulated device, with the weakest crash semantics that POSIX
 * allows.
 *
 * For engines that use files.  sim.h includes it; what it says of threads, time and errors holds
 * here, too.
 */
#ifndef IOMAP_SIM_FILE_H
#define IOMAP_SIM_FILE_H

#include "types.h"

IOMAP_BEGIN_DECLS

struct iomap_sim;

/*
 * A device that is used so belongs to the layer as a whole.  One directory; names of 1 to 47 bytes.
 * What was written, and the size, is durable after iomap_sim_file_sync of that file; that a name
 * exists, was renamed or removed, after iomap_sim_dir_sync.  Until then each block of data, each
 * size and each name may be the old or the new one after a power cut, in any combination: a file
 * that was renamed is found under either name, both or none; but a name that another was renamed to
 * refers to one of the two.  A name that is durable before its file was synced may lead to an empty
 * one.  What was never written, or was cut off, reads as zeros.
 * A block of data is a physical block, and 4096 bytes at least; one that is being written when
 * power goes is what the device leaves of it: torn at logical blocks, or shorn.
 * Any call may write something back, and then waits for all writes that its task started before;
 * the calls of other tasks wait for its end.
 * A sync that failed has lost nothing: what it was to write is still read, and the next sync writes
 * it.  A file that was removed is there until its last descriptor is closed.
 * There are at most 64 files, one for 16 blocks on a small device but 4 at least; a file has at
 * most 240 blocks, or 2032 where a logical block has 4096 bytes; 256 descriptors.
 * Descriptors count from 0, the lowest free one first, and are gone with a crash.  Errors are
 * negative: -ENOENT: no such device or file; -EEXIST: by create of a name that there is; -ENOSPC;
 * -EFBIG; -EMFILE; -EBADF; -EINVAL: no such name can be, a negative place, or the device is not
 * formatted; -EIO: it holds what the layer has not written; -ENOMEM; -ENODEV after a power cut, for
 * what would be found in memory too; or the device's.
 */
/* -ENOSPC: the device is too small; -EOPNOTSUPP: it has zones; -EBUSY: a file of it is open. */
IOMAP_API int iomap_sim_file_format(struct iomap_sim *sim, const char *dev);
IOMAP_API int iomap_sim_file_open(struct iomap_sim *sim, const char *dev, const char *name,
				  bool create);
IOMAP_API void iomap_sim_file_close(struct iomap_sim *sim, int fd);
IOMAP_API int64_t iomap_sim_file_size(struct iomap_sim *sim, int fd);
/* Bytes; fewer when an error came behind the first of them. */
IOMAP_API int64_t iomap_sim_file_pread(struct iomap_sim *sim, int fd, void *mem, size_t len,
				       int64_t pos);	/* fewer at the end of the file */
IOMAP_API int64_t iomap_sim_file_pwrite(struct iomap_sim *sim, int fd, const void *mem, size_t len,
					int64_t pos);
IOMAP_API int iomap_sim_file_truncate(struct iomap_sim *sim, int fd, int64_t size);
IOMAP_API int iomap_sim_file_sync(struct iomap_sim *sim, int fd);
/* One file that has both names keeps them. */
IOMAP_API int iomap_sim_file_rename(struct iomap_sim *sim, const char *dev, const char *from,
				    const char *to);
IOMAP_API int iomap_sim_file_unlink(struct iomap_sim *sim, const char *dev, const char *name);
IOMAP_API int iomap_sim_dir_sync(struct iomap_sim *sim, const char *dev);

IOMAP_END_DECLS
#endif
