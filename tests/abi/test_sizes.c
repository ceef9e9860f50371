/* SPDX-License-Identifier: MIT */
/*
 * test_sizes.c - what a program compiled yesterday relies on today, x86-64.
 *
 * Structs that clients embed keep their size within a SOVERSION: a new member takes a spare
 * word.  Tables and options may grow, behind struct_size.
 */
#include "harness/harness.h"

#include <iomap/backend.h>

struct size {
	const char *name;
	size_t is, was;
};
#define SIZE(name, was) { #name, sizeof(struct name), was }

CASE(embeddable_structs_keep_their_size, "", "Sizes of what clients embed, in bytes")
{
	const struct size sizes[] = {
		SIZE(iomap_list, 16), SIZE(iomap_mutex, 8), SIZE(iomap_rwlock, 8),
		SIZE(iomap_cond, 8), SIZE(iomap_work, 48), SIZE(iomap_plug, 64),
		SIZE(iomap_bvec, 24), SIZE(iomap_bio, 224), SIZE(iomap_zone, 40),
		SIZE(iomap, 104), SIZE(iomap_iter, 360), SIZE(iomap_inode, 560),
		SIZE(iomap_file, 48), SIZE(iomap_folio, 64), SIZE(iomap_req, 88),
		SIZE(iomap_data, 88), SIZE(iomap_read_ctx, 56), SIZE(iomap_ioend, 384),
		SIZE(iomap_writeback_ctx, 240), SIZE(iomap_extent, 40),
	};

	if (sizeof(void *) != 8)
		t_skip("the numbers are those of 64-bit machines");
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		ck_assert_msg(sizes[i].is == sizes[i].was, "struct %s has %zu bytes, had %zu",
			      sizes[i].name, sizes[i].is, sizes[i].was);
}

#define SIZED(name) { #name, offsetof(struct name, struct_size), 0 }

CASE(tables_and_options_begin_with_their_size, "", "An older caller's table is recognised")
{
	const struct size tables[] = {
		SIZED(iomap_backend_ops), SIZED(iomap_bdev_limits), SIZED(iomap_bdev_opts),
		SIZED(iomap_cache_opts), SIZED(iomap_cache_stats), SIZED(iomap_copy_ops),
		SIZED(iomap_data_ops), SIZED(iomap_env_opts), SIZED(iomap_executor_ops),
		SIZED(iomap_inode_ops), SIZED(iomap_inode_opts), SIZED(iomap_ioq_opts),
		SIZED(iomap_ioq_stats), SIZED(iomap_log_record), SIZED(iomap_ops),
		SIZED(iomap_read_ops), SIZED(iomap_sync_ops), SIZED(iomap_trace_record),
		SIZED(iomap_volume_ops), SIZED(iomap_write_ops), SIZED(iomap_writeback_control),
		SIZED(iomap_writeback_ops),
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		ck_assert_msg(tables[i].is == 0, "struct %s: struct_size is not first",
			      tables[i].name);
}

/* All flags of a set are single bits, and none is used twice. */
static void check_disjoint(const char *set, const unsigned *flags, size_t nr)
{
	unsigned seen = 0;

	for (size_t i = 0; i < nr; i++) {
		ck_assert_msg(flags[i] && !(flags[i] & (flags[i] - 1)), "%s: %#x is no single bit",
			      set, flags[i]);
		ck_assert_msg(!(seen & flags[i]), "%s: %#x has two meanings", set, flags[i]);
		seen |= flags[i];
	}
}
#define DISJOINT(set, ...) do { \
	const unsigned flags_[] = { __VA_ARGS__ }; \
	check_disjoint(set, flags_, sizeof(flags_) / sizeof(*flags_)); \
} while (0)

CASE(flags_never_share_a_bit, "R51", "The client's private flag collides with none of the core's")
{
	DISJOINT("map flags", IOMAP_F_NEW, IOMAP_F_DIRTY, IOMAP_F_SHARED, IOMAP_F_MERGED,
		 IOMAP_F_XATTR, IOMAP_F_BOUNDARY, IOMAP_F_ANON_WRITE, IOMAP_F_ATOMIC_BIO,
		 IOMAP_F_INTEGRITY, IOMAP_F_PRIVATE, IOMAP_F_FOLIO_BATCH, IOMAP_F_SIZE_CHANGED,
		 IOMAP_F_STALE);
	ck_assert_uint_eq(IOMAP_F_PRIVATE, 1u << 12);
	DISJOINT("operations", IOMAP_WRITE, IOMAP_ZERO, IOMAP_REPORT, IOMAP_FAULT, IOMAP_DIRECT,
		 IOMAP_NOWAIT, IOMAP_OVERWRITE_ONLY, IOMAP_UNSHARE, IOMAP_DAX, IOMAP_ATOMIC,
		 IOMAP_DONTCACHE);
	DISJOINT("folio flags", IOMAP_FOLIO_LOCKED, IOMAP_FOLIO_UPTODATE, IOMAP_FOLIO_DIRTY,
		 IOMAP_FOLIO_WRITEBACK, IOMAP_FOLIO_FAILED, IOMAP_FOLIO_DONTCACHE,
		 IOMAP_FOLIO_FRAME);
	DISJOINT("ioend flags", IOMAP_IOEND_SHARED, IOMAP_IOEND_UNWRITTEN, IOMAP_IOEND_DIRECT,
		 IOMAP_IOEND_DONTCACHE, IOMAP_IOEND_BOUNDARY, IOMAP_IOEND_ANON);
	DISJOINT("bio flags", IOMAP_BIO_PREFLUSH, IOMAP_BIO_FUA, IOMAP_BIO_ATOMIC,
		 IOMAP_BIO_NOWAIT, IOMAP_BIO_POLLED);
	DISJOINT("capabilities", IOMAP_CAP_VOLATILE_CACHE, IOMAP_CAP_FUA, IOMAP_CAP_DISCARD,
		 IOMAP_CAP_WRITE_ZEROES, IOMAP_CAP_ZONED, IOMAP_CAP_ZONE_APPEND, IOMAP_CAP_DAX,
		 IOMAP_CAP_DAX_SYNC, IOMAP_CAP_GROWS);
}
MAIN()
