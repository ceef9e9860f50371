/* SPDX-License-Identifier: MIT */
/*
 * The map validator: what an operation and a device allow (V8, V9, V10, V15), with every type in
 * every operation.
 */
#include "map_judge.h"

/* ---- what the operation allows ---- */

struct column {
	const char *name;
	unsigned op;
	/* hole, delalloc, mapped, unwritten, inline: y yes, n no, s only with F_SHARED, 0 only at
	 * the start of the file */
	const char *rows;
};

static const struct column columns[] = {
	{ "read", 0, "yyyyy" },
	{ "write", IOMAP_WRITE, "yyyy0" },
	{ "page fault", IOMAP_WRITE | IOMAP_FAULT, "yyyy0" },
	{ "write around the cache", IOMAP_WRITE | IOMAP_DONTCACHE, "yyyy0" },
	{ "zero", IOMAP_ZERO, "yyyy0" },
	{ "zero as a write", IOMAP_ZERO | IOMAP_WRITE, "yyyy0" },
	{ "unshare", IOMAP_WRITE | IOMAP_UNSHARE, "yyyyy" },
	{ "direct read", IOMAP_DIRECT, "ynyyy" },
	{ "direct read, no wait", IOMAP_DIRECT | IOMAP_NOWAIT, "ynyyy" },
	{ "direct write", IOMAP_DIRECT | IOMAP_WRITE, "nnyyy" },
	{ "DAX read", IOMAP_DAX, "ynyyn" },
	{ "DAX read fault", IOMAP_DAX | IOMAP_FAULT, "ynyyn" },
	{ "DAX write", IOMAP_DAX | IOMAP_WRITE, "snysn" },
	{ "DAX write fault", IOMAP_DAX | IOMAP_WRITE | IOMAP_FAULT, "snysn" },
	{ "DAX zero", IOMAP_DAX | IOMAP_ZERO, "ynyyn" },
	{ "DAX unshare", IOMAP_DAX | IOMAP_WRITE | IOMAP_UNSHARE, "ynyyn" },
	{ "report", IOMAP_REPORT, "yyyyy" },
	{ "report before direct I/O", IOMAP_REPORT | IOMAP_DIRECT, "yyyyy" },
	{ "report of a DAX file", IOMAP_REPORT | IOMAP_DAX, "yyyyy" },
};
#define NR_COLUMNS (sizeof(columns) / sizeof(columns[0]))

static char table_buffer[16 * BLK];

static void of_type(struct fix *f, unsigned type, unsigned flags, int64_t offset)
{
	f->map = (struct iomap){ .type = (uint16_t)type, .flags = (uint16_t)flags,
				 .offset = offset, .length = 16 * BLK, .bdev = f->bdev };
	if (type == IOMAP_HOLE || type == IOMAP_DELALLOC)
		f->map.addr = IOMAP_NULL_ADDR;
	if (type == IOMAP_INLINE) {
		f->map.inline_data = table_buffer;
		f->map.inline_len = sizeof(table_buffer);
	}
}

static void check_cell(struct fix *f, const struct column *column, unsigned type)
{
	char cell = column->rows[type];

	of_type(f, type, IOMAP_F_SHARED, 0);
	if (cell == 'n')
		refused(f, column->op, "V8", "type", type);
	else
		accepted(f, column->op);
	of_type(f, type, 0, 0);
	if (cell == 'n' || cell == 's')
		refused(f, column->op, "V8", "type", type);
	else
		accepted(f, column->op);
	of_type(f, type, 0, BLK);
	if (cell == '0')
		refused(f, column->op, "V8", "offset", BLK);
	else if (cell == 'y')
		accepted(f, column->op);
}

CASE(v8_every_type_in_every_operation, "V8", "The table of types and operations, cell by cell")
{
	struct fix *f;

	fix_limits();
	made_up.caps |= IOMAP_CAP_DAX;
	f = fix_open_limits(0, SIZE);
	for (unsigned c = 0; c < NR_COLUMNS; c++)
		for (unsigned type = 0; type < 5; type++)
			check_cell(f, &columns[c], type);
	fix_close(f);
}

CASE(v8_every_type_in_writeback, "V8 H12", "What can be written; a frame has no hole")
{
	static const char *const rows[2] = { "ynyyn", "nnyyn" };
	struct fix *f;

	for (unsigned frames = 0; frames < 2; frames++) {
		fix_limits();
		f = fix_open_limits(frames ? IOMAP_INODE_FRAMES : 0, frames ? 0 : SIZE);
		for (unsigned type = 0; type < 5; type++) {
			of_type(f, type, 0, 0);
			if (rows[frames][type] == 'y')
				wb_accepted(f);
			else
				wb_refused(f, "V8", "type", type);
		}
		fix_close(f);
	}
}

CASE(v8_flags_and_operations, "V8", "Anonymous and atomic maps belong to writes")
{
	struct fix *f;

	fix_limits();
	made_up.caps |= IOMAP_CAP_DAX;
	made_up.atomic_min = 512;
	made_up.atomic_max = 64 * 1024;
	f = fix_open_limits(0, SIZE);
	f->map.flags = IOMAP_F_ANON_WRITE;
	accepted(f, IOMAP_WRITE);
	accepted(f, IOMAP_WRITE | IOMAP_DIRECT);
	refused(f, 0, "V8", "flags", IOMAP_F_ANON_WRITE);
	refused(f, IOMAP_DIRECT, "V8", "flags", IOMAP_F_ANON_WRITE);
	refused(f, IOMAP_REPORT, "V8", "flags", IOMAP_F_ANON_WRITE);
	refused(f, IOMAP_DAX | IOMAP_WRITE, "V8", "flags", IOMAP_F_ANON_WRITE);
	f->map.flags = IOMAP_F_ATOMIC_BIO;
	accepted(f, IOMAP_WRITE | IOMAP_DIRECT);
	refused(f, 0, "V8", "flags", IOMAP_F_ATOMIC_BIO);
	refused(f, IOMAP_REPORT, "V8", "flags", IOMAP_F_ATOMIC_BIO);
	fix_close(f);
}

CASE(v8_checksums_of_what_may_change, "V8 R39",
     "What is sent with F_INTEGRITY must not change: a STABLE inode, or frames")
{
	static const uint32_t kinds[] = { 0, IOMAP_INODE_STABLE, IOMAP_INODE_FRAMES };
	const uint16_t flags[] = { IOMAP_F_INTEGRITY, IOMAP_F_INTEGRITY | IOMAP_F_ANON_WRITE,
				   IOMAP_F_INTEGRITY | IOMAP_F_SHARED };

	for (unsigned k = 0; k < 3; k++) {
		struct fix *f;

		fix_limits();
		f = fix_open_limits(kinds[k], kinds[k] & IOMAP_INODE_FRAMES ? 0 : SIZE);
		for (unsigned i = 0; i < 3; i++) {
			f->map.flags = flags[i];
			if (kinds[k])
				wb_accepted(f);
			else
				wb_refused(f, "V8", "flags", flags[i]);
		}
		f->map.type = IOMAP_UNWRITTEN;
		f->map.flags = IOMAP_F_INTEGRITY;
		if (kinds[k])
			wb_accepted(f);
		else
			wb_refused(f, "V8", "flags", IOMAP_F_INTEGRITY);
		fix_close(f);
	}
}

CASE(v8_anonymous_parts_of_blocks, "V8", "A part of a block needs a place to read the rest from")
{
	struct fix *f = fix_open(6 * BLK + 100);
	const unsigned op = IOMAP_WRITE;

	f->map.flags = IOMAP_F_ANON_WRITE;
	f->map.addr = 0;			/* a trap: it looks like an address */
	accepted_at(f, POS, BLK, op);
	refused_at(f, POS + 1, BLK - 1, op, "V8", "flags", IOMAP_F_ANON_WRITE);
	refused_at(f, POS, 100, op, "V8", "flags", IOMAP_F_ANON_WRITE);
	accepted_at(f, 6 * BLK, 100, op);	/* to the end of the file */
	accepted_at(f, 7 * BLK + 5, 100, op);	/* a block behind it is zeros */
	WITH(f, f->map.flags |= IOMAP_F_NEW, accepted_at(f, POS, 100, op));
	WITH(f, f->map.type = IOMAP_UNWRITTEN, accepted_at(f, POS, 100, op));
	WITH(f, (f->src = f->map, f->src.flags = 0, f->src.addr = 32 * BLK),
	     accepted_at(f, POS, 100, op));
	fix_close(f);
}

CASE(v9_looking_makes_nothing_new, "V9", "Fresh blocks for a read or a report")
{
	static const unsigned looks[] = { 0, IOMAP_DIRECT, IOMAP_DAX, IOMAP_DAX | IOMAP_FAULT,
					  IOMAP_REPORT };
	static const unsigned works[] = { IOMAP_WRITE, IOMAP_ZERO, IOMAP_WRITE | IOMAP_UNSHARE,
					  IOMAP_WRITE | IOMAP_DIRECT, IOMAP_WRITE | IOMAP_DAX };
	struct fix *f;

	fix_limits();
	made_up.caps |= IOMAP_CAP_DAX;
	f = fix_open_limits(0, SIZE);
	f->map.flags = IOMAP_F_NEW;
	for (unsigned i = 0; i < 5; i++) {
		accepted(f, works[i]);
		refused(f, looks[i], "V9", "flags", IOMAP_F_NEW);
	}
	wb_accepted(f);
	fix_close(f);
}

struct no_batch {
	struct iomapi_batch batch;
	unsigned nr_released;
};

static void count_release(struct iomapi_batch *batch)
{
	iomap_container_of(batch, struct no_batch, batch)->nr_released++;
}

static void with_batch(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
		       struct iomap *src)
{
	struct iomap_iter *it = iomap_container_of(map, struct iomap_iter, iomap);

	(void)pos, (void)len, (void)src;
	*map = f->map;
	map->flags |= IOMAP_F_FOLIO_BATCH;
	it->batch = f->arg;
}

CASE(batches_are_for_zeroing_unwritten, "", "A batch over anything else is refused and let go")
{
	struct fix *f = fix_open(SIZE);
	struct no_batch b = { .batch.release = count_release };

	f->fill = with_batch;
	f->arg = &b;
	f->map.type = IOMAP_UNWRITTEN;
	accepted(f, IOMAP_ZERO);
	refused(f, IOMAP_WRITE, "I63", "flags", IOMAP_UNWRITTEN);
	f->map.type = IOMAP_MAPPED;
	refused(f, IOMAP_ZERO, "I63", "flags", IOMAP_MAPPED);
	ck_assert_uint_eq(b.nr_released, 3);
	fix_close(f);
}

/* ---- kinds of device ---- */

CASE(v10_device_fits_the_file, "V10", "No device, not byte-addressable, blocks too large")
{
	struct fix *f = fix_open(SIZE);

	WITH(f, f->map.bdev = NULL, refused(f, 0, "V10", "bdev", 0));
	WITH(f, f->map.bdev = NULL, wb_refused(f, "V10", "bdev", 0));
	refused(f, IOMAP_DAX, "V10", "bdev", IOMAP_CAP_FUA);
	f->src = f->map;
	f->src.addr = 32 * BLK;
	WITH(f, f->src.bdev = NULL, refused(f, IOMAP_WRITE, "V10", "srcmap.bdev", 0));
	fix_close(f);

	f = fix_open(SIZE);
	made_up.logical_block = 2 * BLK;
	ck_assert_int_eq(iomap_bdev_open(f->ioq, "madeup:coarse", NULL, &f->map.bdev), 0);
	refused(f, 0, "V10", "bdev", 2 * BLK);
	wb_refused(f, "V10", "bdev", 2 * BLK);
	/* an anonymous map ends up on the file's device */
	f->inode.bdev = f->map.bdev;
	WITH(f, (f->map.flags = IOMAP_F_ANON_WRITE, f->map.bdev = NULL),
	     refused(f, IOMAP_WRITE, "V10", "bdev", 2 * BLK));
	WITH(f, (f->map.flags = IOMAP_F_ANON_WRITE, f->map.bdev = NULL),
	     wb_refused(f, "V10", "bdev", 2 * BLK));
	f->inode.bdev = f->bdev;
	iomap_bdev_close(&f->map.bdev);
	fix_close(f);
}

CASE(v10_dax_files_want_dax_devices, "V10", "Every map of such a file, but for holes")
{
	struct fix *f = fix_open(SIZE);

	f->inode.flags = IOMAP_INODE_DAX;
	refused(f, 0, "V10", "bdev", IOMAP_CAP_FUA);
	f->inode.bdev = NULL;
	WITH(f, f->map.bdev = NULL, refused(f, IOMAP_DAX, "V10", "bdev", 0));
	f->inode.bdev = f->bdev;
	of_type(f, IOMAP_HOLE, 0, 0);
	accepted(f, 0);			/* a hole needs no device */
	f->inode.flags = 0;
	fix_close(f);
}

/* ---- all or nothing ---- */

static struct fix *open_atomic(void)
{
	fix_limits();
	made_up.atomic_min = 1024;
	made_up.atomic_max = 8 * BLK;
	made_up.atomic_boundary = 4 * BLK;
	return fix_open_limits(0, SIZE);
}

CASE(v15_atomic_writes_are_whole, "V15", "One extent, a power of two, aligned in file and device")
{
	struct fix *f = open_atomic();
	const unsigned op = IOMAP_WRITE | IOMAP_DIRECT | IOMAP_ATOMIC;

	accepted(f, op);
	f->map.flags = IOMAP_F_ATOMIC_BIO;
	accepted(f, op);
	accepted_at(f, POS, 4 * BLK, op);
	WITH(f, f->map.length = POS + BLK,
	     refused_at(f, POS, 2 * BLK, op, "V15", "length", BLK));
	refused_at(f, POS, 3 * BLK, op, "V15", "len", 3 * BLK);
	refused_at(f, POS + BLK, 2 * BLK, op, "V15", "pos", POS + BLK);
	WITH(f, f->map.addr = BLK, refused_at(f, POS, 2 * BLK, op, "V15", "addr", POS + BLK));
	refused_at(f, 0, 8 * BLK, op, "V15", "addr", 0);		/* the boundary */
	refused_at(f, 0, 16 * BLK, op, "V15", "bdev", 8 * BLK);	/* too large */
	refused_at(f, POS, 512, op, "V15", "bdev", 8 * BLK);		/* too small */
	WITH(f, (f->map.type = IOMAP_DELALLOC, f->map.addr = IOMAP_NULL_ADDR),
	     refused(f, IOMAP_WRITE | IOMAP_ATOMIC, "V15", "type", IOMAP_DELALLOC));
	/* the flag of the map asks for it just as well */
	refused_at(f, POS, 3 * BLK, IOMAP_WRITE | IOMAP_DIRECT, "V15", "len", 3 * BLK);
	/* made atomic by the client: the device need not be able to */
	f->map.flags = IOMAP_F_SHARED;
	accepted_at(f, 0, 16 * BLK, op);
	/* an address that is picked later cannot be judged, the size can */
	f->map.flags = IOMAP_F_ATOMIC_BIO | IOMAP_F_ANON_WRITE;
	f->map.addr = 7;
	accepted(f, op);
	WITH(f, f->map.bdev = NULL, refused_at(f, 0, 16 * BLK, op, "V15", "bdev", 8 * BLK));
	fix_close(f);
}

CASE(v15_not_on_any_device, "V15", "A device without atomic writes; writeback asks another way")
{
	struct fix *f = fix_open(SIZE);

	f->map.flags = IOMAP_F_ATOMIC_BIO;
	refused(f, IOMAP_WRITE | IOMAP_DIRECT, "V15", "bdev", 0);
	wb_refused(f, "V15", "flags", IOMAP_F_ATOMIC_BIO);
	fix_close(f);
}

MAIN()
