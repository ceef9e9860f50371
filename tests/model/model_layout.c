/* SPDX-License-Identifier: MIT */
/*
 * model_layout.c - blocks that lie where a test wants them, and blocks that two files share.
 *
 * Locks: the tables' own, as in model_map.c; m_reflink and what becomes of a shared block look at
 * the other file without its lock, so only one thread may be at work then.
 */
#include "model/model_priv.h"

/* ---- places ---- */

void m_place(struct m_file *f, int64_t pos, uint64_t len, uint64_t addr)
{
	unsigned b = m_block_nr(f->m, pos), end = m_block_end(f->m, pos + (int64_t)len);

	if (!f->place)
		f->place = calloc(M_MAX_FILE / f->m->block_size, sizeof(*f->place));
	ck_assert_ptr_nonnull(f->place);
	for (unsigned i = b; i < end; i++)
		f->place[i] = addr + (uint64_t)(i - b) * f->m->block_size;
}

/* Up to nr free blocks from addr on become ours. */
static unsigned take_space(struct m_model *m, uint64_t addr, unsigned nr)
{
	uint64_t at = addr / m->block_size;
	unsigned got = 0;

	iomap_mutex_lock(m->env, &m->lock);
	while (got < nr && at + got < m->nr_blocks && !m->used[at + got])
		m->used[at + got++] = 1;
	m->nr_free -= got;
	iomap_mutex_unlock(m->env, &m->lock);
	m_count(m->nr_allocated, (int64_t)got);
	return got;
}

unsigned m_space_for(struct m_file *f, unsigned b, unsigned nr, uint64_t *addr)
{
	struct m_model *m = f->m;
	unsigned run = 1, got = 0;

	if (!f->place)
		return m_space_alloc(m, nr, addr);
	while (run < nr && (f->place[b] ? f->place[b + run] == f->place[b + run - 1] + m->block_size
					: !f->place[b + run]))
		run++;
	*addr = f->place[b];
	if (*addr)
		got = take_space(m, *addr, run);
	return got ? got : m_space_alloc(m, run, addr);
}

static void change_promises(struct m_model *m, int64_t change)
{
	iomap_mutex_lock(m->env, &m->lock);
	m->nr_reserved += change;
	iomap_mutex_unlock(m->env, &m->lock);
}

void m_set_block(struct m_file *f, unsigned b, enum iomap_type type, uint64_t addr)
{
	struct m_block *block = &f->data[b], new = { .type = (uint8_t)type };

	iomap_mutex_lock(f->m->env, &f->extents);
	if (m_has_space(&new))
		new.addr = addr;
	if (block->type != new.type || block->addr != new.addr) {
		change_promises(f->m, (type == IOMAP_DELALLOC) -
					      (block->type == IOMAP_DELALLOC));
		m_drop_block(f, block);
		if (m_has_space(&new))
			ck_assert_uint_eq(take_space(f->m, addr, 1), 1);
		*block = new;
		m_changed(f);
	}
	iomap_mutex_unlock(f->m->env, &f->extents);
}

/* ---- sharing ---- */

/* The block of another file that lies in the same place; NULL: a snapshot has it. */
static struct m_block *sharer(const struct m_file *f, uint64_t addr)
{
	for (struct m_file *o = f->m->files; o; o = o->next)
		for (unsigned b = 0; o != f && b < M_MAX_FILE / f->m->block_size; b++)
			if (o->data[b].shared && o->data[b].addr == addr)
				return &o->data[b];
	return NULL;
}

void m_drop_block(struct m_file *f, struct m_block *block)
{
	struct m_block *other = block->shared ? sharer(f, block->addr) : NULL;

	if (other)
		other->shared = false;
	if (block->shared && !other)
		m_count(f->m->nr_snapshot, 1);
	else if (m_has_space(block))
		m_space_free(f->m, block->addr, 1);
	*block = (struct m_block){ .type = IOMAP_HOLE };
}

void m_reflink(struct m_file *f, struct m_file *to)
{
	struct m_model *m = f->m;

	ck_assert(m->opts.cow);
	for (unsigned b = 0; b < M_MAX_FILE / m->block_size; b++) {
		if (f->data[b].type != IOMAP_MAPPED)
			continue;
		f->data[b].shared = true;
		to->data[b] = f->data[b];
		m->used[f->data[b].addr / m->block_size]++;
		m_count(m->nr_allocated, 1);
	}
	memcpy(to->ref, f->ref, (size_t)f->ref_size);
	to->ref_size = to->disk_size = f->ref_size;
	iomap_inode_set_size(&to->inode, f->ref_size);
	m_changed(f);
	m_changed(to);
}
