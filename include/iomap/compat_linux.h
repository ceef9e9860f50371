/* SPDX-License-Identifier: MIT */
/*
 * iomap/compat_linux.h - kernel spellings, for those who port code.
 *
 * Opt in by including it.  Names only: arguments are the library's, so each call wants a look.
 * It includes iomap.h and is included by nobody.
 * Units, locks, threads and errors are those of the name on the right.
 */
#ifndef IOMAP_COMPAT_LINUX_H
#define IOMAP_COMPAT_LINUX_H

#include "iomap.h"

#define i_size_read			iomap_inode_size
#define inode_dio_wait			iomap_inode_dio_wait
#define mapping_set_error		iomap_inode_set_error
#define file_check_and_advance_wb_err	iomap_file_check_error
#define filemap_write_and_wait_range	iomap_mapping_write_and_wait_range
#define iomap_dirty_folio		iomap_folio_mark_dirty
#define submit_bio			iomap_bio_submit

#endif
