/* SPDX-License-Identifier: MIT */
/*
 * model_sum.c - checksums of blocks, from the submit hook to the read that asks for them.
 *
 *	m_sum_map	writeback: which ranges are to have one
 *	m_sum_sent	submit: of the memory that is sent, kept beside the tables
 *	m_sum_stored	completion: into the block of the data fork, with conversion and remapping
 *	m_fill_map	begin: a map of blocks that have one says F_INTEGRITY
 *	m_verify	a block was read: does it have the checksum that its extent says?
 *
 * Threads: a block is in one writeback at a time, so what was sent needs no lock; and a block that
 * is being read is not written, so neither does the look at its extent, which must not take one:
 * completions take leaf locks only.
 */
#include "model/model_priv.h"

/* FNV-1a, by words. */
static uint32_t sum_of(const void *mem, size_t len)
{
	const uint64_t *words = mem;
	uint64_t sum = 0xcbf29ce484222325;

	for (size_t i = 0; i < len / sizeof(*words); i++)
		sum = (sum ^ words[i]) * 0x100000001b3;
	return (uint32_t)(sum ^ sum >> 32);
}

static bool wanted(struct m_file *f, int64_t pos)
{
	struct m_model *m = f->m;

	return f->sent && !(m->hook_no_sum && m->hook_no_sum(f, pos));
}

void m_sum_map(struct m_file *f, struct iomap *map)
{
	unsigned size = f->m->block_size;
	bool first = wanted(f, map->offset);
	uint64_t len = size;

	while (len < map->length && wanted(f, map->offset + (int64_t)len) == first)
		len += size;
	if (len < map->length)
		map->length = len;
	map->flags = (uint16_t)(map->flags & ~IOMAP_F_INTEGRITY);
	if (first)
		map->flags |= IOMAP_F_INTEGRITY;
}

void m_sum_sent(struct m_file *f, struct iomap_ioend *ioend)
{
	unsigned size = f->m->block_size;
	int64_t pos = ioend->offset;
	struct iomap_folio *folio;
	struct iomap_bvec seg;

	if (!f->sent)
		return;
	for (folio = iomap_ioend_first(ioend, &seg); folio;
	     folio = iomap_ioend_next(ioend, folio, &seg)) {
		for (size_t at = 0; at < seg.len; at += size, pos += size) {
			struct m_sent *sent = &f->sent[m_block_nr(f->m, pos)];

			sent->summed = wanted(f, pos);
			if (sent->summed)
				sent->sum = sum_of((char *)seg.mem + at, size);
		}
	}
}

void m_sum_stored(struct m_file *f, unsigned b, unsigned stop)
{
	if (!f->sent)
		return;
	for (; b < stop; b++) {
		f->data[b].summed = f->sent[b].summed;
		f->data[b].sum = f->sent[b].sum;
	}
}

int m_verify(struct iomap_inode *inode, int64_t pos, const void *mem, size_t len)
{
	struct m_file *f = M_FILE(inode);
	struct m_model *m = f->m;
	const struct m_block *block = &f->data[m_block_nr(m, pos)];
	int rc = 0;

	ck_assert(block->summed);
	ck_assert_uint_eq(len, m->block_size);
	ck_assert_int_eq(pos % m->block_size, 0);
	m_count(m->nr_verified, 1u);
	if (sum_of(mem, len) != block->sum)
		rc = -EILSEQ;
	return m->hook_verify ? m->hook_verify(f, pos, rc) : rc;
}
