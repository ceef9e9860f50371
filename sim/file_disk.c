/* SPDX-License-Identifier: MIT */
/*
 * file_disk.c - how files lie on a device.
 *
 *	block 0		what the device was formatted for
 *	pairs		of each name: which file it is, or that it is none
 *	pairs		of each inode: whose it is, its size, the blocks that its data are in
 *	the rest	data
 *
 * A block is a physical one, or several if those are small.  A record is the first logical block of
 * a block, so that it never tears and hurts no neighbour.  It has two copies, in two blocks; the
 * one with the larger number counts, and the other is written next, unless it is the last that a
 * flush has covered: whatever a power cut makes of the copy that is being written, that one stays.
 *
 * A name leads to an inode's record by the number of the file, its generation.  Those differ, so
 * that what an inode was used for before is nobody's.  A name whose inode has no such record is an
 * empty file: it was created, and not synced.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "file.h"

#define MAGIC		0x73656c6966000001u
#define MIN_FILES	4u
#define MAX_FILES	64u
#define MAX_BLOCKS	65535u

struct record {				/* little-endian; as much of it as a logical block */
	uint64_t check;			/* of what follows, and where */
	uint64_t seq;
	uint64_t gen;
	uint64_t value;			/* of a name its inode; of an inode its size */
	union {
		char text[IOMAPI_SIM_NAME_BYTES];
		uint16_t table[(IOMAPI_SIM_MAX_BLOCK - 32) / 2];
	} u;
};
_Static_assert(sizeof(struct record) == IOMAPI_SIM_MAX_BLOCK, "the largest logical block");

int iomapi_sim_fs_layout(const struct iomapi_sim_dev *dev, struct iomapi_sim_layout *l)
{
	uint32_t physical = dev->profile.physical_block;
	uint64_t nr;

	if (dev->profile.zone_size)
		return -EOPNOTSUPP;
	l->block = (IOMAPI_SIM_MAX_BLOCK + physical - 1) / physical * physical;
	nr = dev->size / l->block;
	l->nr_blocks = nr < MAX_BLOCKS ? (uint32_t)nr : MAX_BLOCKS;
	l->nr_files = l->nr_blocks / 16;
	if (l->nr_files < MIN_FILES)
		l->nr_files = MIN_FILES;
	if (l->nr_files > MAX_FILES)
		l->nr_files = MAX_FILES;
	l->first_data = 1 + 4 * l->nr_files;
	l->max_file_blocks = (dev->profile.logical_block - 32) / 2;
	return l->nr_blocks > l->first_data ? 0 : -ENOSPC;
}

void *iomapi_sim_fs_alloc(struct iomap_sim *sim, size_t size)
{
	void *mem = iomapi_sim_level_alloc(sim, size);

	return mem ? memset(mem, 0, size) : NULL;
}

/* ---- records ---- */

static uint64_t check_of(const struct iomapi_sim_dev *dev, const struct record *r, uint32_t block)
{
	size_t len = dev->profile.logical_block - sizeof(r->check);

	return htole64(iomapi_sim_fold(iomapi_sim_hash(&r->seq, len), block ^ MAGIC));
}

static void fill(const struct iomapi_sim_dev *dev, struct record *r, uint32_t block, uint64_t seq,
		 uint64_t gen, uint64_t value)
{
	r->seq = htole64(seq);
	r->gen = htole64(gen);
	r->value = htole64(value);
	r->check = check_of(dev, r, block);
}

/* Those of a transfer that were done, again and again until all are. */
static int write_all(struct iomap_sim *sim, const struct iomapi_sim_dev *dev, const void *mem,
		     size_t len, uint64_t addr)
{
	for (size_t done = 0; done < len;) {
		int64_t rc = iomap_sim_pwrite(sim, dev->name, (const uint8_t *)mem + done,
					      len - done, addr + done, 0);

		if (rc < 0)
			return (int)rc;
		done += (size_t)rc;
	}
	return 0;
}

int iomapi_sim_fs_read(const struct iomapi_sim_fs *fs, uint32_t block, uint32_t nr, void *mem)
{
	size_t len = (size_t)nr * fs->layout.block;
	uint64_t addr = (uint64_t)block * fs->layout.block;

	for (size_t done = 0; done < len;) {
		int64_t rc = iomap_sim_pread(fs->sim, fs->dev->name, (uint8_t *)mem + done,
					     len - done, addr + done);

		if (rc < 0)
			return (int)rc;
		done += (size_t)rc;
	}
	return 0;
}

/* A structure that power left unreadable is garbage, and its other copy counts.  An error that does
 * not come twice is another matter. */
static int read_structures(const struct iomapi_sim_fs *fs, uint32_t nr, uint8_t *mem)
{
	size_t len = fs->layout.block;
	int rc = iomapi_sim_fs_read(fs, 0, nr, mem);

	if (rc != -EIO)
		return rc;
	for (uint32_t i = 0; i < nr; i++) {
		rc = iomapi_sim_fs_read(fs, i, 1, mem + i * len);
		if (rc == -EIO)
			rc = iomapi_sim_fs_read(fs, i, 1, mem + i * len);
		if (rc == -EIO)
			memset(mem + i * len, 0, len);
		else if (rc)
			return rc;
	}
	return 0;
}

/* ---- format ---- */

static void fill_super(const struct iomapi_sim_dev *dev, const struct iomapi_sim_layout *l,
		       struct record *r)
{
	memset(r, 0, sizeof(*r));
	fill(dev, r, 0, MAGIC, l->block, l->nr_files);
}

/* No record of an earlier use stays; it is formatted when all of them are gone. */
int iomapi_sim_fs_format(struct iomap_sim *sim, const struct iomapi_sim_dev *dev,
			 const struct iomapi_sim_layout *l)
{
	size_t len = (size_t)l->first_data * l->block;
	void *zeros = iomapi_sim_fs_alloc(sim, len);
	struct record super;
	int rc;

	if (!zeros)
		return -ENOMEM;
	rc = write_all(sim, dev, zeros, len, 0);
	iomapi_sim_level_free(sim, zeros);
	if (!rc)
		rc = iomap_sim_flush(sim, dev->name);
	fill_super(dev, l, &super);
	if (!rc)
		rc = write_all(sim, dev, &super, dev->profile.logical_block, 0);
	return rc ? rc : iomap_sim_flush(sim, dev->name);
}

/* ---- sent ---- */

void iomapi_sim_fs_begin(struct iomapi_sim_fs *fs)
{
	/* an engine may have some of its own on the way, and will ask for their error */
	fs->theirs = iomap_sim_wait_writes(fs->sim);
	fs->error = 0;
}

static void start(struct iomapi_sim_fs *fs, const void *mem, size_t len, uint32_t block)
{
	int rc = iomap_sim_start_write(fs->sim, fs->dev->name, mem, len,
				       (uint64_t)block * fs->layout.block, 0);

	if (!fs->error)
		fs->error = rc;
}

void iomapi_sim_fs_send_block(struct iomapi_sim_fs *fs, struct iomapi_sim_block *block)
{
	block->item.sent = true;
	block->item.dirty = false;
	start(fs, block->mem, fs->layout.block, block->at);
}

static void send_record(struct iomapi_sim_fs *fs, struct iomapi_sim_slot *slot, struct record *r,
			uint64_t gen, uint64_t value)
{
	uint32_t block = slot->place + !slot->durable;

	slot->item.sent = true;
	fill(fs->dev, r, block, ++slot->seq, gen, value);
	start(fs, r, fs->dev->profile.logical_block, block);
}

/* Blocks that are not ready are holes to who reads this; then it stays dirty. */
void iomapi_sim_fs_send_inode(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode,
			      uint64_t size)
{
	bool whole = size == inode->size;
	struct record r;

	memset(&r, 0, sizeof(r));
	for (uint32_t i = 0; i < inode->nr_blocks; i++) {
		const struct iomapi_sim_block *b = &inode->blocks[i];

		if (b->at && b->ready && (uint64_t)i * fs->layout.block < size)
			r.u.table[i] = htole16(b->at);
		else if (b->at)
			whole = false;
	}
	inode->slot.item.dirty = !whole;
	inode->size_sent = size;
	send_record(fs, &inode->slot, &r, inode->gen, size);
}

void iomapi_sim_fs_send_name(struct iomapi_sim_fs *fs, struct iomapi_sim_name *name)
{
	const struct iomapi_sim_inode *inode = name->inode;
	struct record r;

	memset(&r, 0, sizeof(r));
	memcpy(r.u.text, name->text, sizeof(r.u.text));
	name->slot.item.dirty = false;
	send_record(fs, &name->slot, &r, inode ? inode->gen : 0, inode ? inode->index : 0);
}

/* ---- loaded ---- */

/* NULL: it is none. */
static const struct record *record_at(const struct iomapi_sim_fs *fs, const uint8_t *mem,
				      uint32_t block)
{
	const void *at = mem + (size_t)block * fs->layout.block;
	const struct record *r = at;

	return r->check == check_of(fs->dev, r, block) ? r : NULL;
}

/* The copy that counts, of those with a generation if one is given; NULL: none does. */
static const struct record *load_slot(struct iomapi_sim_fs *fs, struct iomapi_sim_slot *slot,
				      const uint8_t *mem, uint64_t gen)
{
	const struct record *found = NULL;

	for (uint32_t i = 0; i < 2; i++) {
		const struct record *r = record_at(fs, mem, slot->place + i);

		if (!r)
			continue;
		if (le64toh(r->seq) > slot->seq)
			slot->seq = le64toh(r->seq);
		if (le64toh(r->gen) >= fs->next_gen)
			fs->next_gen = le64toh(r->gen) + 1;
		if (gen && le64toh(r->gen) != gen)
			continue;
		if (found && le64toh(found->seq) > le64toh(r->seq))
			continue;
		found = r;
		slot->durable = i;
	}
	return found;
}

static int load_name(struct iomapi_sim_fs *fs, struct iomapi_sim_name *name, const uint8_t *mem)
{
	const struct record *r = load_slot(fs, &name->slot, mem, 0);
	struct iomapi_sim_inode *inode;

	if (!r || !r->gen)
		return 0;
	if (le64toh(r->value) >= fs->layout.nr_files)
		return -EIO;
	inode = &fs->inodes[le64toh(r->value)];
	if (inode->gen && inode->gen != le64toh(r->gen))
		return -EIO;
	inode->gen = le64toh(r->gen);
	inode->nr_names++;
	name->inode = inode;
	memcpy(name->text, r->u.text, sizeof(name->text) - 1);
	return 0;
}

static int load_block(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, uint32_t i,
		      uint16_t at)
{
	if (!at)
		return 0;
	if (at < fs->layout.first_data || at >= fs->layout.nr_blocks || fs->owners[at])
		return -EIO;
	fs->owners[at] = (uint16_t)(inode->index + 1);
	inode->blocks[i].at = at;
	inode->blocks[i].ready = true;
	return 0;
}

static int load_inode(struct iomapi_sim_fs *fs, struct iomapi_sim_inode *inode, const uint8_t *mem)
{
	const struct record *r = load_slot(fs, &inode->slot, mem, inode->gen);
	uint64_t nr;
	int rc;

	if (!r || !inode->gen)
		return 0;
	inode->size = inode->size_sent = le64toh(r->value);
	nr = (inode->size + fs->layout.block - 1) / fs->layout.block;
	if (nr > fs->layout.max_file_blocks)
		return -EIO;
	rc = iomapi_sim_fs_grow(fs, inode, (uint32_t)nr);
	for (uint32_t i = 0; !rc && i < nr; i++)
		rc = load_block(fs, inode, i, le16toh(r->u.table[i]));
	return rc;
}

static int load_all(struct iomapi_sim_fs *fs, const uint8_t *mem)
{
	const struct iomapi_sim_layout *l = &fs->layout;
	struct record super;
	int rc = 0;

	fill_super(fs->dev, l, &super);
	if (memcmp(mem, &super, fs->dev->profile.logical_block))
		return -EINVAL;
	for (uint32_t i = 0; i < l->nr_files; i++) {
		fs->names[i].slot.place = 1 + 2 * i;
		fs->inodes[i].slot.place = 1 + 2 * (l->nr_files + i);
		fs->inodes[i].index = i;
	}
	fs->lowest = l->first_data;
	fs->next_gen = 1;
	for (uint32_t i = 0; !rc && i < l->nr_files; i++)
		rc = load_name(fs, &fs->names[i], mem);
	for (uint32_t i = 0; !rc && i < l->nr_files; i++)
		rc = load_inode(fs, &fs->inodes[i], mem);
	return rc;
}

/* What is found has to be durable, or a copy that is not could be taken for one that is. */
int iomapi_sim_fs_load(struct iomapi_sim_fs *fs)
{
	const struct iomapi_sim_layout *l = &fs->layout;
	uint8_t *mem;
	int rc;

	fs->names = iomapi_sim_fs_alloc(fs->sim, l->nr_files * sizeof(*fs->names));
	fs->inodes = iomapi_sim_fs_alloc(fs->sim, l->nr_files * sizeof(*fs->inodes));
	fs->owners = iomapi_sim_fs_alloc(fs->sim, l->nr_blocks * sizeof(*fs->owners));
	mem = iomapi_sim_level_alloc(fs->sim, (size_t)l->first_data * l->block);
	rc = fs->names && fs->inodes && fs->owners && mem ? 0 : -ENOMEM;
	if (!rc)
		rc = iomap_sim_flush(fs->sim, fs->dev->name);
	if (!rc)
		rc = read_structures(fs, l->first_data, mem);
	if (!rc)
		rc = load_all(fs, mem);
	iomapi_sim_level_free(fs->sim, mem);
	return rc;
}
