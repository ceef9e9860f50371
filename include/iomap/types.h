/* SPDX-License-Identifier: MIT */
/*
 * iomap/types.h - the words that every other header uses.
 *
 * Rules that hold in all headers and are not repeated there:
 *   units    bytes; times are nanoseconds (_ns); a timeout < 0 waits for ever, 0 only looks.
 *   results  0, a count of bytes, or a negative errno; errno itself is never set.
 *   errors   -EINVAL: the caller's mistake, before any side effect; -EIO with a log record: a
 *            callback's nonsense; -ENOMEM from _new, _init, _open, or where said.
 *   threads  any thread may call anything unless a comment names one.
 *   names    _new/_delete heap and opaque; _init/_fini caller's memory; _open/_close something that
 *            exists outside; _get/_put a reference; _start/_end a bracket.  Teardown cannot fail.
 *   structs  ops and options begin with struct_size; zero means the default; fields are appended
 *            only.  Embeddable structs carry spare words: zero them, never use them.
 */
#ifndef IOMAP_TYPES_H
#define IOMAP_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define IOMAP_BEGIN_DECLS extern "C" {
#define IOMAP_END_DECLS }
#else
#define IOMAP_BEGIN_DECLS
#define IOMAP_END_DECLS
#endif
#define IOMAP_API __attribute__((visibility("default")))

IOMAP_BEGIN_DECLS

#define IOMAP_NULL_ADDR	UINT64_MAX	/* no place on the device */
#define IOMAP_MAX_POS	INT64_MAX	/* largest size of a file; "to the end" in a range */
#define IOMAP_FOREVER	((int64_t)-1)

/* A word the library changes atomically; a plain integer here, for C++17 has no stdatomic.h. */
typedef uint32_t iomap_word;

/* opened once */
struct iomap_env;	struct iomap_ioq;	struct iomap_bdev;	struct iomap_cache;
struct iomap_volume;	struct iomap_inode;	struct iomap_file;
/* per operation */
struct iomap;		struct iomap_iter;	struct iomap_req;	struct iomap_data;
struct iomap_folio;	struct iomap_bio;	struct iomap_ioend;
struct iomap_writeback_ctx;			/* always called wpc */
struct iomap_writeback_control;			/* always called wbc */
/* tables that clients and backends fill */
struct iomap_ops;	struct iomap_backend_ops;

/* A list head or node: embeddable.  The owner's lock protects it. */
struct iomap_list {
	struct iomap_list *next, *prev;
};
IOMAP_API void iomap_list_init(struct iomap_list *head);
IOMAP_API bool iomap_list_empty(const struct iomap_list *head);
IOMAP_API void iomap_list_add_tail(struct iomap_list *head, struct iomap_list *node);
IOMAP_API void iomap_list_del(struct iomap_list *node);
IOMAP_API struct iomap_list *iomap_list_pop(struct iomap_list *head);	/* NULL when empty */

/* From a member to the struct around it. */
#define iomap_container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

IOMAP_END_DECLS
#endif
