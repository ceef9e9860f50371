/* SPDX-License-Identifier: MIT */
/*
 * map/check.c - the map validator: no map that a callback hands out is trusted (V1-V10, V15).
 *
 * A refusal is -EIO and one report naming rule, callback, field, what was found and what would have
 * been right; no I/O is ever done on a bad map.  Each group of rules is a column of ifs, one reason
 * each.  The order is that of dependence: what a later line computes with, an earlier one proved.
 *
 * Two doors.  iomapi_map_check judges what came out of begin, once a map.
 * iomapi_map_check_writeback judges the map in a writeback context, once a dirty range: one look
 * passes the common case, everything else goes down a column of its own.
 *
 * What the device kinds mean (V10): a DAX file or operation wants a byte-addressable device; a file
 * that has a device wants one in each map with an address; no device may have logical blocks larger
 * than the file's.  Which zone of a zoned device takes which write is the device's to judge, for
 * only it knows its write pointers; a FRAMES file is told apart in the table.
 *
 * Threads: any; reads the inode's size without a lock.  Two rules stand elsewhere: V12 for the
 * words around the maps and V14 in map/iter.c; V11 and V13 hold because no line of the library
 * looks at a cookie or follows private_data.
 */
#include <stdio.h>

#include "base/log.h"
#include "map/map.h"

/* ---- reports ---- */

struct ask {				/* who answered what, for the report */
	struct iomap_inode *inode;
	const char *callback;
	bool source;			/* it is about the source map */
	int64_t pos;
};

static __attribute__((noinline, cold)) int bad(const struct ask *ask, const char *rule,
					       const char *field, uint64_t value, uint64_t bound,
					       const char *text)
{
	char name[32];

	snprintf(name, sizeof(name), "%s%s", ask->source ? "srcmap." : "", field);
	iomapi_report(ask->inode->env, .rule = rule, .callback = ask->callback, .field = name,
		      .value = value, .bound = bound, .text = text, .inode = ask->inode,
		      .pos = ask->pos);
	return -EIO;
}

/* ---- who may return what (V8) ---- */

enum op {
	OP_READ, OP_WRITE, OP_ZERO, OP_UNSHARE, OP_WRITEBACK, OP_FRAMES, OP_DIO_READ, OP_DIO_WRITE,
	OP_DAX_READ, OP_DAX_WRITE, OP_DAX_EDIT, OP_REPORT, NR_OPS
};

enum verdict {
	NO,
	OK,
	COW,		/* only with F_SHARED: the data come from the source */
	TOP,		/* only at offset 0 of the file */
};

/* FRAMES: writeback of a frame, which always has a place.  DAX_EDIT: zero and unshare over DAX. */
/* clang-format off */
static const uint8_t verdicts[][NR_OPS] = {
/*			 READ WRITE ZERO UNSH WRBK FRAM DIOR DIOW DAXR DAXW DAXE REPORT */
	[IOMAP_HOLE]	  = { OK, OK,  OK,  OK,  OK,  NO,  OK,  NO,  OK,  COW, OK,  OK },
	[IOMAP_DELALLOC]  = { OK, OK,  OK,  OK,  NO,  NO,  NO,  NO,  NO,  NO,  NO,  OK },
	[IOMAP_MAPPED]	  = { OK, OK,  OK,  OK,  OK,  OK,  OK,  OK,  OK,  OK,  OK,  OK },
	[IOMAP_UNWRITTEN] = { OK, OK,  OK,  OK,  OK,  OK,  OK,  OK,  OK,  COW, OK,  OK },
	[IOMAP_INLINE]	  = { OK, TOP, TOP, OK,  NO,  NO,  OK,  OK,  NO,  NO,  NO,  OK },
};
/* clang-format on */
#define NR_TYPES (sizeof(verdicts) / sizeof(verdicts[0]))

#define BIT(op) (1u << (op))
/* Nothing changes: no fresh blocks (V9). */
#define LOOKS	(BIT(OP_READ) | BIT(OP_DIO_READ) | BIT(OP_DAX_READ) | BIT(OP_REPORT))
/* No submit hook stands between these and the device that could still pick an address. */
#define DIRECT_ADDRESS (LOOKS | BIT(OP_DAX_WRITE) | BIT(OP_DAX_EDIT))
#define DAX_OPS (BIT(OP_DAX_READ) | BIT(OP_DAX_WRITE) | BIT(OP_DAX_EDIT))

static enum op operation(unsigned flags)
{
	bool edits = flags & (IOMAP_ZERO | IOMAP_UNSHARE);
	bool writes = flags & IOMAP_WRITE;

	if (flags & IOMAP_REPORT)
		return OP_REPORT;
	if (flags & IOMAP_DAX)
		return edits ? OP_DAX_EDIT : writes ? OP_DAX_WRITE : OP_DAX_READ;
	if (flags & IOMAP_UNSHARE)
		return OP_UNSHARE;
	if (flags & IOMAP_ZERO)
		return OP_ZERO;
	if (flags & IOMAP_DIRECT)
		return writes ? OP_DIO_WRITE : OP_DIO_READ;
	return writes ? OP_WRITE : OP_READ;
}

/* ---- flags ---- */

/* Known to both sides, the library's, and all that a client may set. */
#define FLAGS_BOTH (IOMAP_F_NEW | IOMAP_F_DIRTY | IOMAP_F_SHARED | IOMAP_F_MERGED | \
		      IOMAP_F_XATTR | IOMAP_F_BOUNDARY | IOMAP_F_ANON_WRITE | \
		      IOMAP_F_ATOMIC_BIO | IOMAP_F_INTEGRITY)
#define FLAGS_LIBRARY (IOMAP_F_FOLIO_BATCH | IOMAP_F_SIZE_CHANGED | IOMAP_F_STALE)
#define FLAGS_CLIENT (FLAGS_BOTH | IOMAP_F_PRIVATE)
_Static_assert(!(FLAGS_BOTH & IOMAP_F_PRIVATE), "the client's own bit is its own (R51)");
_Static_assert(!(FLAGS_CLIENT & FLAGS_LIBRARY), "the two sides share no bit (R51)");

/* FOLIO_BATCH may be there: the library's own collector sets it during begin. */
static int check_flags(const struct ask *ask, const struct iomap *map)
{
	unsigned flags = map->flags;

	if (map->type >= NR_TYPES)
		return bad(ask, "V3", "type", map->type, NR_TYPES - 1, "no such type");
	if (flags & IOMAP_F_STALE)
		return bad(ask, "I3", "flags", flags, FLAGS_CLIENT, "born stale");
	if (flags & IOMAP_F_SIZE_CHANGED)
		return bad(ask, "V3", "flags", flags, FLAGS_CLIENT, "a flag of the library");
	if (flags & ~(FLAGS_CLIENT | FLAGS_LIBRARY))
		return bad(ask, "V3", "flags", flags, FLAGS_CLIENT, "no such flag");
	return 0;
}

static uint64_t spare_words(const struct iomap *map)
{
	return map->spare32 | map->spare[0] | map->spare[1] | map->spare[2] | map->spare[3];
}

static int check_spare(const struct ask *map_ask, const struct iomap *map, bool source)
{
	struct ask ask = *map_ask;

	if (iomapi_likely(!spare_words(map)))
		return 0;
	ask.source = source;
	return bad(&ask, "V12", "spare", spare_words(map), 0, "spare words are not zero");
}

/* ---- the range in the file ---- */

static uint64_t block_mask(const struct iomap_inode *inode)
{
	return (1ull << inode->block_bits) - 1;
}

/* eof: no file ends before it. */
static int check_range(const struct ask *ask, const struct iomap *map, int64_t eof)
{
	const char *cover = ask->source ? "V7" : "V1";
	uint64_t pos = (uint64_t)ask->pos, offset = (uint64_t)map->offset;
	uint64_t mask = block_mask(ask->inode), end;

	if (!map->length)
		return bad(ask, "V2", "length", 0, 1, "an empty map");
	if (offset > pos)		/* a negative offset is a large number here */
		return bad(ask, cover, "offset", offset, pos, "begins behind the position");
	if (map->length > (uint64_t)IOMAP_MAX_POS - offset)
		return bad(ask, cover, "length", map->length, (uint64_t)IOMAP_MAX_POS - offset,
			   "reaches beyond the largest file");
	end = offset + map->length;
	if (pos >= end)
		return bad(ask, cover, "length", map->length, pos - offset + 1,
			   "ends before the position");
	if (offset & mask)
		return bad(ask, "V6", "offset", offset, mask + 1, "begins inside a block");
	if ((end & mask) && ((ask->inode->flags & IOMAP_INODE_FRAMES) || end < (uint64_t)eof))
		return bad(ask, "V6", "length", map->length, mask + 1,
			   "ends inside a block, before the end of the file");
	return 0;
}

/* ---- the place on the device, or in memory ---- */

static int check_inline(const struct ask *ask, const struct iomap *map)
{
	uintptr_t mem = (uintptr_t)map->inline_data;

	if (!mem)
		return bad(ask, "V5", "inline_data", 0, 1, "inline without memory");
	if (map->inline_len > UINTPTR_MAX - mem)
		return bad(ask, "V5", "inline_len", map->inline_len, UINTPTR_MAX - mem,
			   "a buffer beyond the address space");
	if (map->length > map->inline_len)
		return bad(ask, "V5", "length", map->length, map->inline_len,
			   "more bytes than the buffer has");
	return 0;
}

static bool fits(const struct iomap *map, uint64_t len, uint64_t size)
{
	return map->addr <= size && len <= size - map->addr;
}

/* len: from the map's start to the last byte that is used. */
static int check_inside(const struct ask *ask, const struct iomap *map, uint64_t len,
			const struct iomap_bdev_limits *limits)
{
	struct iomap_bdev_limits fresh = { .struct_size = sizeof(fresh) };
	uint64_t size = iomapi_load_relaxed(&limits->size);	/* may be refreshed just now */

	if (fits(map, len, size))
		return 0;
	if (map->bdev && (limits->caps & IOMAP_CAP_GROWS)) {	/* a file: perhaps it has grown */
		(void)iomap_bdev_refresh_size(map->bdev);
		iomap_bdev_limits(map->bdev, &fresh);
		size = fresh.size;
	}
	if (map->addr > size)
		return bad(ask, "V4", "addr", map->addr, size, "behind the end of the device");
	if (!fits(map, len, size))
		return bad(ask, "V4", "length", len, size - map->addr,
			   "reaches beyond the end of the device");
	return 0;
}

static int check_device(const struct ask *ask, const struct iomap *map, enum op op,
			struct iomap_bdev_limits *limits)
{
	bool anon = map->flags & IOMAP_F_ANON_WRITE;
	bool dax = (ask->inode->flags & IOMAP_INODE_DAX) || (BIT(op) & DAX_OPS);
	struct iomap_bdev *bdev = map->bdev;
	uint64_t block = block_mask(ask->inode) + 1;

	if (!bdev && anon)
		bdev = ask->inode->bdev;	/* where the submit hook is going to send it */
	else if (!bdev && (ask->inode->bdev || dax))
		return bad(ask, "V10", "bdev", 0, 1, "a device is wanted, and there is none");
	if (!bdev)
		return 0;
	iomap_bdev_limits(bdev, limits);
	if (dax && !(limits->caps & IOMAP_CAP_DAX))
		return bad(ask, "V10", "bdev", limits->caps, IOMAP_CAP_DAX,
			   "not byte-addressable");
	if (limits->logical_block > block)
		return bad(ask, "V10", "bdev", limits->logical_block, block,
			   "logical blocks larger than the file's");
	return 0;
}

/* used: behind the last byte of the file that is reached for; at or before the map's offset when
 * none is.  limits: of the device where there is one, else zero. */
static int check_place(const struct ask *ask, const struct iomap *map, enum op op, int64_t used,
		       struct iomap_bdev_limits *limits)
{
	int rc;

	*limits = (struct iomap_bdev_limits){ .struct_size = sizeof(*limits) };
	if (map->type == IOMAP_INLINE)
		return check_inline(ask, map);
	if (map->type == IOMAP_HOLE || map->type == IOMAP_DELALLOC) {
		if (map->addr != IOMAP_NULL_ADDR)
			return bad(ask, "V4", "addr", map->addr, IOMAP_NULL_ADDR,
				   "an address for what has none");
		return 0;
	}
	rc = check_device(ask, map, op, limits);
	if (rc || !map->bdev || (map->flags & IOMAP_F_ANON_WRITE))
		return rc;			/* no address, or one that only the client reads */
	if (map->addr == IOMAP_NULL_ADDR)
		return bad(ask, "V4", "addr", map->addr, limits->size, "has no address");
	if (map->addr & (limits->logical_block - 1))
		return bad(ask, "V4", "addr", map->addr, limits->logical_block,
			   "not aligned to the device's block");
	if (used <= map->offset)
		return 0;
	return check_inside(ask, map, (uint64_t)(used - map->offset), limits);
}

static bool has_addr(const struct iomap *map)
{
	return map->type == IOMAP_MAPPED || map->type == IOMAP_UNWRITTEN;
}

/* ---- what the operation allows ---- */

static int check_kind(const struct ask *ask, const struct iomap *map, const struct iomap *source,
		      enum op op)
{
	uint8_t verdict = verdicts[map->type][op];

	if (verdict == NO)
		return bad(ask, "V8", "type", map->type, op, "not for this operation");
	if (verdict == COW && !(map->flags & IOMAP_F_SHARED))
		return bad(ask, "V8", "type", map->type, op, "only for copy-on-write");
	if (verdict == TOP && map->offset)
		return bad(ask, "V8", "offset", (uint64_t)map->offset, 0,
			   "inline data are written at the start of a file only");
	if ((map->flags & IOMAP_F_ANON_WRITE) && (BIT(op) & DIRECT_ADDRESS))
		return bad(ask, "V8", "flags", map->flags, op, "nobody could pick the address");
	if ((map->flags & IOMAP_F_ATOMIC_BIO) && (BIT(op) & LOOKS))
		return bad(ask, "V8", "flags", map->flags, op, "atomic, but not a write");
	if ((map->flags & IOMAP_F_NEW) && (BIT(op) & LOOKS))
		return bad(ask, "V9", "flags", map->flags, op, "fresh blocks for who only looks");
	if ((map->flags & IOMAP_F_FOLIO_BATCH) &&
	    (op != OP_ZERO || source->type != IOMAP_UNWRITTEN))
		return bad(ask, "I63", "flags", source->type, IOMAP_UNWRITTEN,
			   "a batch of dirty folios is for zeroing over unwritten");
	return 0;
}

/* The rest of a block that is written in part is read where the old data are: an anonymous map that
 * is neither fresh nor has a source gives no such place. */
static int check_anon(const struct ask *ask, const struct iomap *map, const struct iomap *source,
		      int64_t used, int64_t size)
{
	uint64_t mask = block_mask(ask->inode);
	bool head = ((uint64_t)ask->pos & mask) && (int64_t)((uint64_t)ask->pos & ~mask) < size;
	bool tail = ((uint64_t)used & mask) && used < size;

	if (!(map->flags & IOMAP_F_ANON_WRITE) || (map->flags & IOMAP_F_NEW) ||
	    source->type != IOMAP_MAPPED || source != map)
		return 0;
	if (head || tail)
		return bad(ask, "V8", "flags", map->flags, mask + 1,
			   "a part of a block, and nowhere to read the rest from");
	return 0;
}

/* ---- copy-on-write (V7) ---- */

/* Do the blocks from pos to used lie in the same place in both? */
static bool overlap(const struct iomap *a, const struct iomap *b, uint64_t mask, int64_t pos,
		    int64_t used)
{
	uint64_t from = (uint64_t)pos & ~mask, n = (((uint64_t)used + mask) & ~mask) - from;
	uint64_t at = a->addr + (from - (uint64_t)a->offset);
	uint64_t bt = b->addr + (from - (uint64_t)b->offset);

	return at < bt ? bt - at < n : at - bt < n;
}

static int check_source(const struct ask *map_ask, const struct iomap *map,
			const struct iomap *src, enum op op, int64_t used, int64_t eof)
{
	struct ask ask = *map_ask;
	struct iomap_bdev_limits limits;
	int rc;

	ask.source = true;
	rc = check_flags(&ask, src);
	if (rc)
		return rc;
	if (src->type == IOMAP_DELALLOC || src->type == IOMAP_INLINE)
		return bad(&ask, "V7", "type", src->type, IOMAP_MAPPED, "cannot be copied from");
	if (src->flags & IOMAP_F_FOLIO_BATCH)
		return bad(&ask, "V3", "flags", src->flags, FLAGS_CLIENT, "a flag of the library");
	if (src->flags & IOMAP_F_ANON_WRITE)
		return bad(&ask, "V7", "flags", src->flags, 0, "a source without an address");
	rc = check_range(&ask, src, eof);
	if (rc)
		return rc;
	used = iomapi_min(used, src->offset + (int64_t)src->length);
	rc = check_place(&ask, src, op, used, &limits);
	if (rc)
		return rc;
	if (map->bdev && map->bdev == src->bdev && has_addr(map) && has_addr(src) &&
	    !(map->flags & IOMAP_F_ANON_WRITE) && used > ask.pos &&
	    overlap(map, src, block_mask(ask.inode), ask.pos, used))
		return bad(&ask, "V7", "addr", src->addr, map->addr,
			   "source and target are the same blocks");
	return 0;
}

/* ---- all or nothing (V15) ---- */

static int check_atomic(const struct ask *ask, const struct iomap *map, uint64_t len,
			const struct iomap_bdev_limits *limits)
{
	uint64_t into = (uint64_t)(ask->pos - map->offset), addr = map->addr + into;

	if (!has_addr(map))
		return bad(ask, "V15", "type", map->type, IOMAP_MAPPED, "no place of its own");
	if (!iomapi_is_pow2(len))
		return bad(ask, "V15", "len", len, 0, "not a power of two");
	if ((uint64_t)ask->pos & (len - 1))
		return bad(ask, "V15", "pos", (uint64_t)ask->pos, len, "not naturally aligned");
	if (map->length - into < len)
		return bad(ask, "V15", "length", map->length - into, len, "more than one extent");
	if (!(map->flags & IOMAP_F_ATOMIC_BIO) || !limits->logical_block)
		return 0;		/* made atomic by the client, by copy-on-write say */
	if (len < limits->atomic_min || len > limits->atomic_max)
		return bad(ask, "V15", "bdev", limits->atomic_max, len,
			   "no such atomic write on this device");
	if (map->flags & IOMAP_F_ANON_WRITE)
		return 0;
	if (addr & (len - 1))
		return bad(ask, "V15", "addr", addr, len, "not naturally aligned on the device");
	if (limits->atomic_boundary && len > limits->atomic_boundary)
		return bad(ask, "V15", "addr", addr, limits->atomic_boundary,
			   "crosses an atomic boundary");
	return 0;
}

/* ---- what came out of begin ---- */

/* Behind the last byte that the operation may touch through a map that ends at end.  Who only
 * looks never goes behind the end of the file: blocks there are zeros in memory. */
static int64_t used_end(const struct ask *ask, uint64_t len, enum op op, int64_t end, int64_t eof)
{
	int64_t used = iomapi_min(iomapi_end(ask->pos, len), end);

	if ((BIT(op) & LOOKS) && !(ask->inode->flags & IOMAP_INODE_FRAMES))
		used = iomapi_min(used, eof);
	return used;
}

int iomapi_map_check(struct iomap_inode *inode, const struct iomap *map, const struct iomap *src,
		     int64_t pos, uint64_t len, unsigned op_flags, int64_t size)
{
	const struct ask ask = { .inode = inode, .callback = "iomap_begin", .pos = pos };
	const struct iomap *source = src && src->type != IOMAP_HOLE ? src : map;
	int64_t now = iomap_inode_size(inode), eof = iomapi_min(size, now), used;
	struct iomap_bdev_limits limits;
	enum op op = operation(op_flags);
	int rc;

	rc = check_spare(&ask, map, false);
	if (!rc && src)
		rc = check_spare(&ask, src, true);
	if (!rc)
		rc = check_flags(&ask, map);
	if (!rc)
		rc = check_range(&ask, map, eof);
	if (!rc)
		rc = check_kind(&ask, map, source, op);
	if (rc)
		return rc;
	used = used_end(&ask, len, op, map->offset + (int64_t)map->length, now);
	rc = check_anon(&ask, map, source, used, now);
	if (!rc)
		rc = check_place(&ask, map, op, used, &limits);
	/* a source map that begin left alone is a hole of no length */
	if (!rc && src && (src->length || src->type != IOMAP_HOLE))
		rc = check_source(&ask, map, src, op, used, eof);
	if (!rc && ((op_flags & IOMAP_ATOMIC) || (map->flags & IOMAP_F_ATOMIC_BIO)))
		rc = check_atomic(&ask, map, len, &limits);
	return rc;
}

/* ---- what writeback_range left in the context ---- */

static __attribute__((noinline, cold)) int bad_wb(struct iomap_inode *inode, int64_t pos,
						  const char *rule, const char *field,
						  uint64_t value, uint64_t bound,
						  const char *text)
{
	const struct ask ask = { .inode = inode, .callback = "writeback_range", .pos = pos };

	return bad(&ask, rule, field, value, bound, text);
}

#define FLAGS_WRITEBACK (FLAGS_CLIENT & ~IOMAP_F_ATOMIC_BIO)
#define FLAGS_COMMON (FLAGS_WRITEBACK & ~(IOMAP_F_ANON_WRITE | IOMAP_F_INTEGRITY))

static __attribute__((noinline, cold)) int bad_wb_flags(struct iomap_inode *inode,
							const struct iomap *map, int64_t pos)
{
	const struct ask ask = { .inode = inode, .callback = "writeback_range", .pos = pos };
	int rc = check_flags(&ask, map);

	if (rc)
		return rc;
	if (map->flags & IOMAP_F_FOLIO_BATCH)
		return bad(&ask, "V3", "flags", map->flags, FLAGS_WRITEBACK,
			   "a flag of the library");
	return bad(&ask, "V15", "flags", map->flags, FLAGS_WRITEBACK,
		   "writeback gathers and splits: ask by wbc->atomic_bytes");
}

/* No address to look at: mostly a hole. */
static int check_wb_other(struct iomap_inode *inode, const struct iomap *map, int64_t pos)
{
	const struct ask ask = { .inode = inode, .callback = "writeback_range", .pos = pos };
	enum op op = inode->flags & IOMAP_INODE_FRAMES ? OP_FRAMES : OP_WRITEBACK;
	struct iomap_bdev_limits limits;
	int rc;

	if (map->type >= NR_TYPES)
		return bad(&ask, "V3", "type", map->type, NR_TYPES - 1, "no such type");
	rc = check_kind(&ask, map, map, op);
	return rc ? rc : check_place(&ask, map, op, 0, &limits);
}

/* used: from the map's start to the end of what is sent. */
static int check_wb_inside(struct iomap_inode *inode, const struct iomap *map, int64_t pos,
			   uint64_t used, const struct iomap_bdev_limits *limits)
{
	const struct ask ask = { .inode = inode, .callback = "writeback_range", .pos = pos };

	if (map->addr == IOMAP_NULL_ADDR)
		return bad(&ask, "V4", "addr", map->addr,
			   iomapi_load_relaxed(&limits->size), "has no address");
	if (map->addr & (limits->logical_block - 1))
		return bad(&ask, "V4", "addr", map->addr, limits->logical_block,
			   "not aligned to the device's block");
	return check_inside(&ask, map, used, limits);
}

/* The file may have grown since its end was looked at, or shrunk: either end will do. */
static bool cuts_block(struct iomap_inode *inode, const struct iomap *map, int64_t end_pos)
{
	int64_t size = iomap_inode_size(inode), end = map->offset + (int64_t)map->length;

	if (inode->flags & IOMAP_INODE_FRAMES)
		return true;
	return end < iomapi_min(size, end_pos);
}

/* What is sent stays as it is until it has arrived: a frame by its client's latch or copy. */
static bool keeps_still(const struct iomap_inode *inode)
{
	return inode->flags & (IOMAP_INODE_STABLE | IOMAP_INODE_FRAMES);
}

/* The column itself: says why, or finds a rare map good. */
static __attribute__((noinline)) int judge_wb(struct iomap_inode *inode, const struct iomap *map,
					      int64_t pos, uint64_t len, int64_t end_pos,
					      const struct iomap_bdev_limits *limits)
{
	uint64_t offset = (uint64_t)map->offset, into = (uint64_t)pos - offset;
	uint64_t mask = block_mask(inode);

	if (offset > (uint64_t)pos)	/* or negative */
		return bad_wb(inode, pos, "V1", "offset", offset, (uint64_t)pos,
			      "begins behind the position");
	if (into >= map->length)
		return bad_wb(inode, pos, map->length ? "V1" : "V2", "length", map->length,
			      into + 1, "ends before the position");
	if (map->length > (uint64_t)IOMAP_MAX_POS - offset)
		return bad_wb(inode, pos, "V1", "length", map->length,
			      (uint64_t)IOMAP_MAX_POS - offset, "reaches beyond the largest file");
	if (map->flags & ~FLAGS_WRITEBACK)
		return bad_wb_flags(inode, map, pos);
	if (spare_words(map))
		return bad_wb(inode, pos, "V12", "spare", spare_words(map), 0,
			      "spare words are not zero");
	if (offset & mask)
		return bad_wb(inode, pos, "V6", "offset", offset, mask + 1,
			      "begins inside a block");
	if (((offset + map->length) & mask) && cuts_block(inode, map, end_pos))
		return bad_wb(inode, pos, "V6", "length", map->length, mask + 1,
			      "ends inside a block, before the end of the file");
	if (!has_addr(map))
		return check_wb_other(inode, map, pos);
	if ((map->flags & IOMAP_F_INTEGRITY) && !keeps_still(inode))
		return bad_wb(inode, pos, "V8", "flags", map->flags, IOMAP_INODE_STABLE,
			      "a checksum of what may change: the inode is not STABLE");
	if (!map->bdev && inode->bdev && !(map->flags & IOMAP_F_ANON_WRITE))
		return bad_wb(inode, pos, "V10", "bdev", 0, 1,
			      "no device, though the file has one");
	if (!limits)
		return 0;
	if (limits->logical_block > mask + 1)
		return bad_wb(inode, pos, "V10", "bdev", limits->logical_block, mask + 1,
			      "logical blocks larger than the file's");
	if (map->flags & IOMAP_F_ANON_WRITE)
		return 0;
	return check_wb_inside(inode, map, pos, iomapi_min(map->length, into + len), limits);
}

/* The common case in one breath, for it comes once a dirty range: a mapped or unwritten extent of
 * whole blocks on a device, and the range inside it. */
int iomapi_map_check_writeback(struct iomap_inode *inode, const struct iomap *map, int64_t pos,
			       uint64_t len, int64_t end_pos,
			       const struct iomap_bdev_limits *limits)
{
	uint64_t offset = (uint64_t)map->offset, into = (uint64_t)pos - offset;
	uint64_t end = offset + map->length, mask = block_mask(inode), size;

	if (offset > (uint64_t)pos || into >= map->length || ((end | map->length) >> 63) ||
	    (map->flags & ~FLAGS_COMMON) || spare_words(map) ||
	    ((offset | end) & mask) || !has_addr(map) || !map->bdev || !limits)
		return judge_wb(inode, map, pos, len, end_pos, limits);
	size = iomapi_load_relaxed(&limits->size);
	if (limits->logical_block > mask + 1 || (map->addr & (limits->logical_block - 1)) ||
	    map->addr > size || into + len > size - map->addr)
		return judge_wb(inode, map, pos, len, end_pos, limits);
	return 0;
}
