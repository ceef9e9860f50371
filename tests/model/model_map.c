/* SPDX-License-Identifier: MIT */
/*
 * model_map.c - the model's mapping: space on the device, begin and end.
 *
 * A block of a file has an entry in the data fork and one in the CoW fork.  A write goes to the CoW
 * fork where the data must not be overwritten; there it is a promise until writeback.  What begin
 * made and end hears was not used is given back, and nothing else: hence NEW only where each block
 * of the map is fresh (I51).
 *
 * Locks: file->extents around the tables, m->lock around space.
 */
#include "model/model_priv.h"

/* ---- space ---- */

unsigned m_space_alloc(struct m_model *m, unsigned nr, uint64_t *addr)
{
	unsigned got = 0;
	uint64_t at;

	iomap_mutex_lock(m->env, &m->lock);
	at = m->cursor;
	for (uint64_t i = 0; i < m->nr_blocks && m->used[at % m->nr_blocks]; i++)
		at++;
	at %= m->nr_blocks;
	while (m->nr_free && got < nr && at + got < m->nr_blocks && !m->used[at + got])
		got++;
	memset(m->used + at, 1, got);
	m->nr_free -= got;
	if (got)
		m->cursor = (at + got + m->opts.gap) % m->nr_blocks;
	iomap_mutex_unlock(m->env, &m->lock);
	*addr = at * m->block_size;
	m_count(m->nr_allocated, (int64_t)got);
	return got;
}

void m_space_free(struct m_model *m, uint64_t addr, unsigned nr)
{
	uint64_t at = addr / m->block_size;

	iomap_mutex_lock(m->env, &m->lock);
	for (unsigned i = 0; i < nr; i++)
		ck_assert_msg(m->used[at + i], "block %u freed twice", (unsigned)(at + i));
	for (unsigned i = 0; i < nr; i++)
		m->nr_free += !--m->used[at + i];
	iomap_mutex_unlock(m->env, &m->lock);
	m_count(m->nr_allocated, -(int64_t)nr);
}

/* Promise up to nr blocks: how many can be kept. */
static unsigned reserve(struct m_model *m, unsigned nr)
{
	int64_t left;

	iomap_mutex_lock(m->env, &m->lock);
	left = (int64_t)m->nr_free - m->nr_reserved;
	if (left < (int64_t)nr)
		nr = left > 0 ? (unsigned)left : 0;
	m->nr_reserved += nr;
	iomap_mutex_unlock(m->env, &m->lock);
	return nr;
}

static void unreserve(struct m_model *m, unsigned nr)
{
	iomap_mutex_lock(m->env, &m->lock);
	m->nr_reserved -= nr;
	iomap_mutex_unlock(m->env, &m->lock);
}

/* ---- tables ---- */

unsigned m_block_nr(const struct m_model *m, int64_t pos)
{
	return (unsigned)(pos >> m->opts.block_bits);
}

unsigned m_block_end(const struct m_model *m, int64_t end)
{
	int64_t max = M_MAX_FILE;

	return m_block_nr(m, (end < max ? end : max) + m->block_size - 1);
}

void m_changed(struct m_file *f)
{
	__atomic_add_fetch(&f->seq, 1, __ATOMIC_RELEASE);
	f->dirty_meta = true;
}

bool m_has_space(const struct m_block *b)
{
	return b->type == IOMAP_MAPPED || b->type == IOMAP_UNWRITTEN;
}

static bool follows(const struct m_model *m, const struct m_block *a, const struct m_block *b)
{
	if (a->type != b->type || a->shared != b->shared || a->summed != b->summed)
		return false;
	return !m_has_space(a) || b->addr == a->addr + m->block_size;
}

/* No map crosses a multiple of the chunk. */
static unsigned chunk_stop(const struct m_model *m, unsigned b, unsigned stop)
{
	unsigned chunk = (unsigned)(m->opts.chunk / m->block_size), end;

	if (!chunk)
		return stop;
	end = (b / chunk + 1) * chunk;
	return end < stop ? end : stop;
}

struct iomap_bdev *m_bdev_of(const struct m_model *m, unsigned b)
{
	return m->opts.striped && b % 2 ? m->log_bdev : m->bdev;
}

void m_fill_map(struct m_file *f, const struct m_block *fork, unsigned b, unsigned stop,
		struct iomap *map)
{
	struct m_model *m = f->m;
	unsigned end = b + 1;

	stop = chunk_stop(m, b, stop);
	while (end < stop && follows(m, &fork[end - 1], &fork[end]))
		end++;
	map->type = fork[b].type;
	map->addr = m_has_space(&fork[b]) ? fork[b].addr : IOMAP_NULL_ADDR;
	map->offset = (int64_t)b * m->block_size;
	map->length = (uint64_t)(end - b) * m->block_size;
	map->bdev = m_bdev_of(m, b);
	map->flags = fork[b].summed ? IOMAP_F_INTEGRITY : 0;
	map->validity_cookie = f->seq;
}

static bool drop_promise(struct m_block *b)
{
	if (b->type != IOMAP_DELALLOC)
		return false;
	b->type = IOMAP_HOLE;
	return true;
}

void m_unreserve(struct m_file *f, int64_t pos, int64_t end)
{
	struct m_model *m = f->m;
	unsigned nr = 0;

	iomap_mutex_lock(m->env, &f->extents);
	for (unsigned b = m_block_nr(m, pos); b < m_block_end(m, end); b++)
		nr += drop_promise(&f->data[b]) + drop_promise(&f->cow[b]);
	unreserve(m, nr);
	if (nr)
		m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
}

void m_drop_blocks(struct m_file *f, unsigned b, unsigned end)
{
	struct m_model *m = f->m;

	m_unreserve(f, (int64_t)b * m->block_size, (int64_t)end * m->block_size);
	iomap_mutex_lock(m->env, &f->extents);
	for (; b < end; b++) {
		if (m_has_space(&f->cow[b]))
			m_space_free(m, f->cow[b].addr, 1);
		f->cow[b] = (struct m_block){ .type = IOMAP_HOLE };
		m_drop_block(f, &f->data[b]);
	}
	m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
}

/* ---- begin ---- */

/* A source map that is a hole says nothing about where it ends: no target map reaches from blocks
 * that have no source to one that has. */
static unsigned source_stop(const struct m_file *f, unsigned b, unsigned stop)
{
	bool hole = f->data[b].type == IOMAP_HOLE;
	unsigned end = b + 1;

	while (end < stop && (f->data[end].type == IOMAP_HOLE) == hole)
		end++;
	return end;
}

/* Blocks from b that are as fresh as b: nothing in the fork that the write goes to. */
static unsigned fresh_run(struct m_file *f, const struct m_block *fork, unsigned b, unsigned stop)
{
	unsigned end = b;
	bool shared = f->data[b].shared;

	stop = chunk_stop(f->m, b, stop);
	while (end < stop && fork[end].type == IOMAP_HOLE && f->cow[end].type == IOMAP_HOLE &&
	       (fork == f->data || f->m->opts.anon || f->data[end].shared == shared))
		end++;
	return end - b;
}

static int promise(struct m_file *f, struct m_block *fork, unsigned b, unsigned stop,
		   struct iomap *map)
{
	unsigned nr = reserve(f->m, fresh_run(f, fork, b, stop));

	if (!nr)
		return -ENOSPC;
	for (unsigned i = 0; i < nr; i++)
		fork[b + i] = (struct m_block){ .type = IOMAP_DELALLOC };
	m_changed(f);
	m_fill_map(f, fork, b, b + nr, map);
	map->flags = IOMAP_F_NEW;
	return 0;
}

static int allocate_now(struct m_file *f, unsigned b, unsigned stop, struct iomap *map)
{
	struct m_model *m = f->m;
	unsigned nr = fresh_run(f, f->data, b, stop), got;
	uint64_t addr;

	got = m_space_for(f, b, nr, &addr);
	if (!got)
		return -ENOSPC;
	for (unsigned i = 0; i < got; i++)
		f->data[b + i] = (struct m_block){
			.type = m->opts.unwritten ? IOMAP_UNWRITTEN : IOMAP_MAPPED,
			.addr = addr + (uint64_t)i * m->block_size,
		};
	m_changed(f);
	m_fill_map(f, f->data, b, b + got, map);
	map->flags = IOMAP_F_NEW;
	return 0;
}

static int begin_write(struct m_file *f, unsigned b, unsigned stop, struct iomap *map,
		       struct iomap *srcmap)
{
	struct m_model *m = f->m;
	struct m_block *data = &f->data[b];
	bool elsewhere = m->opts.anon || data->shared || f->cow[b].type != IOMAP_HOLE;
	int rc = m_fault(m, &m->fail_alloc);

	if (rc)
		return rc;
	if (elsewhere) {
		stop = source_stop(f, b, stop);
		if (f->cow[b].type == IOMAP_HOLE)
			rc = promise(f, f->cow, b, stop, map);
		else
			m_fill_map(f, f->cow, b, stop, map);
		map->flags |= IOMAP_F_SHARED;
		if (!rc && data->type != IOMAP_HOLE)
			m_fill_map(f, f->data, b, stop, srcmap);
	} else if (data->type != IOMAP_HOLE) {
		m_fill_map(f, f->data, b, stop, map);
	} else if (m->opts.delalloc) {
		rc = promise(f, f->data, b, stop, map);
	} else {
		rc = allocate_now(f, b, stop, map);
	}
	return rc;
}

/* What a user would be told: space promised for a hole in the CoW fork is data too. */
static void begin_report(struct m_file *f, int64_t pos, uint64_t len, struct iomap *map)
{
	unsigned b = m_block_nr(f->m, pos), stop = m_block_end(f->m, pos + (int64_t)len);
	unsigned end = b + 1;

	if (pos >= M_MAX_FILE) {
		*map = (struct iomap){ .type = IOMAP_HOLE, .addr = IOMAP_NULL_ADDR,
				       .offset = M_MAX_FILE,
				       .length = (uint64_t)(IOMAP_MAX_POS - M_MAX_FILE) };
		return;
	}
	if (f->data[b].type != IOMAP_HOLE || f->cow[b].type == IOMAP_HOLE) {
		while (end < stop && (f->data[b].type != IOMAP_HOLE ||
				      f->cow[end].type == IOMAP_HOLE))
			end++;
		m_fill_map(f, f->data, b, end, map);
	} else {
		while (end < stop && f->data[end].type == IOMAP_HOLE)
			end++;
		m_fill_map(f, f->cow, b, end, map);
	}
	if (f->data[b].shared)
		map->flags |= IOMAP_F_SHARED;
}

/* Zeros need a place only where something is; they take it as a write does, elsewhere if what is
 * there may not be overwritten.  What is on its way to the CoW fork is there. */
static int begin_zero(struct m_file *f, unsigned b, unsigned stop, struct iomap *map,
		      struct iomap *srcmap)
{
	struct m_model *m = f->m;
	bool elsewhere = f->cow[b].type != IOMAP_HOLE || f->data[b].shared || m->opts.anon;
	int64_t start = 0;
	int rc = 0;

	if (elsewhere && (f->data[b].type == IOMAP_MAPPED || f->cow[b].type != IOMAP_HOLE))
		rc = begin_write(f, b, stop, map, srcmap);
	else
		m_fill_map(f, f->data, b, stop, map);
	if (!rc && m->opts.batch && map->type == IOMAP_UNWRITTEN && srcmap->type == IOMAP_HOLE)
		iomap_fill_dirty_folios(map, &start, map->offset + (int64_t)map->length);
	return rc;
}

static int begin_any(struct m_file *f, unsigned b, unsigned stop, unsigned flags,
		     struct iomap *map, struct iomap *srcmap)
{
	if (flags & IOMAP_ZERO)
		return begin_zero(f, b, stop, map, srcmap);
	if (flags & IOMAP_UNSHARE ? f->data[b].shared : flags & IOMAP_WRITE)
		return begin_write(f, b, stop, map, srcmap);
	m_fill_map(f, f->data, b, stop, map);
	return 0;
}

int m_begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
	    struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct m_file *f = M_FILE(inode);
	struct m_model *m = f->m;
	unsigned b = m_block_nr(m, pos), stop = m_block_end(m, pos + (int64_t)len);
	int rc = m_fault(m, &m->fail_begin);

	(void)priv;
	m_event(m, M_BEGIN, pos, len, rc, flags);
	if (rc)
		return rc;
	if (b >= stop && !(flags & IOMAP_REPORT))
		return -EFBIG;
	iomap_mutex_lock(m->env, &f->extents);
	if (flags & IOMAP_REPORT)
		begin_report(f, pos, len, map);
	else
		rc = begin_any(f, b, stop, flags, map, srcmap);
	map->validity_cookie = f->seq;
	if (f->dirty_meta)
		map->flags |= IOMAP_F_DIRTY;
	iomap_mutex_unlock(m->env, &f->extents);
	if (rc)
		return rc;
	if (m->hook_map)
		m->hook_map(f, pos, len, flags, map, srcmap);
	m_count(m->nr_begin, 1u);
	return 0;
}

/* ---- end ---- */

/* Space that begin allocated for this map and nobody wrote to. */
static void give_back(struct m_file *f, unsigned from, unsigned to, const struct iomap *map)
{
	struct m_block *fork = map->flags & IOMAP_F_SHARED ? f->cow : f->data;
	struct m_model *m = f->m;

	iomap_mutex_lock(m->env, &f->extents);
	for (unsigned b = from; b < to; b++) {
		if (!m_has_space(&fork[b]))
			continue;
		m_space_free(m, fork[b].addr, 1);
		fork[b] = (struct m_block){ .type = IOMAP_HOLE };
	}
	m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
}

void m_punch(struct iomap_inode *inode, int64_t pos, uint64_t len, struct iomap *map)
{
	struct m_file *f = M_FILE(inode);
	struct m_block *fork = map->flags & IOMAP_F_SHARED ? f->cow : f->data;
	struct m_model *m = f->m;
	unsigned nr = 0;

	iomap_mutex_lock(m->env, &f->extents);
	for (unsigned b = m_block_nr(m, pos); b < m_block_end(m, pos + (int64_t)len); b++)
		nr += drop_promise(&fork[b]);
	unreserve(m, nr);
	if (nr)
		m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
	m_event(m, M_PUNCH, pos, len, nr, map->flags);
}

/* Promises: a fault may have come to need them.  zero_range and a fault hold the lock already. */
static void release(struct m_file *f, int64_t start, int64_t end, unsigned flags,
		    struct iomap *map)
{
	bool lock = !(flags & (IOMAP_ZERO | IOMAP_FAULT));

	if (lock)
		iomap_inode_invalidate_lock(&f->inode, 0);
	iomap_write_delalloc_release(&f->inode, start, end, flags, map, m_punch);
	if (lock)
		iomap_inode_invalidate_unlock(&f->inode);
}

int m_end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written, unsigned flags,
	  struct iomap *map, struct iomap *srcmap, void *priv)
{
	struct m_file *f = M_FILE(inode);
	struct m_model *m = f->m;
	int64_t from = iomap_last_written_block(inode, pos, written);
	int64_t to = map->offset + (int64_t)map->length;

	(void)srcmap;
	(void)priv;
	m_event(m, M_END, pos, len, written, flags);
	m_count(m->nr_end, 1u);
	ck_assert_msg(written >= 0 && (uint64_t)written <= len, "end: %lld of %llu written",
		      (long long)written, (unsigned long long)len);
	if (!(flags & (IOMAP_WRITE | IOMAP_ZERO)) || from >= to)
		return m_fault(m, &m->fail_end);
	if (map->type == IOMAP_DELALLOC)
		release(f, from, to, flags, map);
	else if (map->flags & IOMAP_F_NEW)
		give_back(f, m_block_nr(m, from), m_block_end(m, to), map);
	return m_fault(m, &m->fail_end);
}

bool m_valid(struct iomap_inode *inode, const struct iomap *map)
{
	struct m_file *f = M_FILE(inode);

	if (f->m->hook_valid)
		f->m->hook_valid(f, map);
	return map->validity_cookie == __atomic_load_n(&f->seq, __ATOMIC_ACQUIRE);
}
