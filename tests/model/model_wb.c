/* SPDX-License-Identifier: MIT */
/*
 * model_wb.c - the model's half of writeback: from a dirty range to a durable size.
 *
 *	m_range			promises become blocks (anon: the promise is used up)
 *	m_submit		anon: now the address is picked, in pieces where space is
 *	m_end_io		nothing to record: the end; else deferred
 *	m_complete_ioends	convert or remap, then the size, then writeback ends (I105)
 *
 * A failed ioend gives back what it had in the CoW fork; blocks of the data fork stay as they are,
 * for the folio that failed is still in the cache.
 */
#include "model/model_priv.h"

#include <sched.h>

/* ---- from range to map ---- */

/* extents held; the run of promises at b gets space, as much as lies together.  Only with an
 * unwritten state beyond what is written now: else a reader would meet what was there before. */
static int allocate(struct m_file *f, struct m_block *fork, unsigned b, unsigned stop)
{
	struct m_model *m = f->m;
	unsigned max = m->opts.unwritten ? m_block_end(m, M_MAX_FILE) : stop, nr = 0, got;
	uint64_t addr;
	int rc = m_fault(m, &m->fail_alloc);

	if (rc)
		return rc;
	while (b + nr < max && fork[b + nr].type == IOMAP_DELALLOC)
		nr++;
	if (m->opts.chunk && nr > m->opts.chunk / m->block_size)
		nr = (unsigned)(m->opts.chunk / m->block_size);
	got = m_space_for(f, b, nr, &addr);
	if (!got)
		return -ENOSPC;
	for (unsigned i = 0; i < got; i++)
		fork[b + i] = (struct m_block){
			.type = m->opts.unwritten ? IOMAP_UNWRITTEN : IOMAP_MAPPED,
			.addr = addr + (uint64_t)i * m->block_size,
		};
	iomap_mutex_lock(m->env, &m->lock);
	m->nr_reserved -= got;
	iomap_mutex_unlock(m->env, &m->lock);
	m_changed(f);
	return 0;
}

static int wb_map(struct m_file *f, int64_t pos, uint64_t len, struct iomap *map)
{
	struct m_model *m = f->m;
	unsigned b = m_block_nr(m, pos), max = m_block_end(m, M_MAX_FILE);
	bool cow = f->cow[b].type != IOMAP_HOLE;
	struct m_block *fork = cow ? f->cow : f->data;
	int rc = 0;

	if (fork[b].type == IOMAP_DELALLOC)
		rc = allocate(f, fork, b, m_block_end(m, pos + (int64_t)len));
	if (rc)
		return rc;
	memset(map, 0, sizeof(*map));
	m_fill_map(f, fork, b, max, map);
	m_sum_map(f, map);
	if (cow)
		map->flags |= IOMAP_F_SHARED;
	return 0;
}

static void anon_map(struct m_file *f, int64_t pos, uint64_t len, struct iomap *map)
{
	struct m_model *m = f->m;
	unsigned nr = 0;

	for (unsigned b = m_block_nr(m, pos); b < m_block_end(m, pos + (int64_t)len); b++) {
		nr += f->cow[b].type == IOMAP_DELALLOC;
		f->cow[b].type = IOMAP_HOLE;
	}
	iomap_mutex_lock(m->env, &m->lock);
	m->nr_reserved -= nr;
	iomap_mutex_unlock(m->env, &m->lock);
	m_changed(f);
	*map = (struct iomap){
		.type = IOMAP_MAPPED, .flags = IOMAP_F_ANON_WRITE | IOMAP_F_SHARED,
		.addr = IOMAP_NULL_ADDR, .offset = pos, .length = len, .bdev = m->bdev,
	};
	m_sum_map(f, map);
}

static bool still_holds(const struct m_file *f, const struct iomap *map, int64_t pos)
{
	if (pos < map->offset || pos >= map->offset + (int64_t)map->length)
		return false;
	return map->validity_cookie == f->seq;
}

static int map_range(struct m_file *f, int64_t pos, uint64_t len, struct iomap *map)
{
	struct m_model *m = f->m;
	int rc = m_fault(m, &m->fail_map);

	if (rc)
		return rc;
	iomap_mutex_lock(m->env, &f->extents);
	if (m->opts.anon)
		anon_map(f, pos, len, map);
	else if (!still_holds(f, map, pos))
		rc = wb_map(f, pos, len, map);
	iomap_mutex_unlock(m->env, &f->extents);
	if (!rc && m->hook_wb_map)
		m->hook_wb_map(f, pos, len, map);
	return rc;
}

int64_t m_range(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
		uint64_t len, int64_t end_pos)
{
	struct m_file *f = M_FILE(wpc->inode);
	struct m_model *m = f->m;
	int64_t done = map_range(f, pos, len, &wpc->iomap);

	m_event(m, M_RANGE, pos, len, done, 0);
	m_count(m->nr_ranges, 1u);
	if (!done)
		done = iomap_add_to_ioend(wpc, folio, pos, len, end_pos, NULL);
	if (m->hook_range)
		done = m->hook_range(f, pos, len, done);
	if (done < 0)		/* no promise may be left under a clean cache (I90) */
		m_unreserve(f, pos, folio->pos + folio->size);
	return done;
}

/* ---- submission ---- */

static uint64_t whole_blocks(const struct m_model *m, uint64_t len)
{
	return (len + m->block_size - 1) / m->block_size * m->block_size;
}

static void send(struct m_model *m, struct iomap_ioend *ioend, uint64_t addr)
{
	ioend->bio.bdev = m->bdev;
	ioend->bio.addr = ioend->addr = addr;
	iomap_ioend_submit(ioend, 0);
}

/* No ioend left for another piece: a hook may wait, for it is called with nothing locked. */
static bool wait_for_ioends(struct m_model *m)
{
	int n = iomap_ioq_poll(m->ioq, 1, 64, IOMAP_FOREVER);

	if (n >= 0)
		n += iomap_env_run_work(m->env, IOMAP_WORK_IOEND, 64);
	if (!n)			/* another thread has them */
		sched_yield();
	return n >= 0;
}

static int split(struct m_model *m, struct iomap_ioend *ioend, uint64_t max,
		 struct iomap_ioend **front)
{
	int rc = -ENOMEM;

	for (unsigned i = 0; rc == -ENOMEM && i < 10000; i++) {
		rc = iomap_split_ioend(ioend, max, false, front);
		if (rc == -ENOMEM && !wait_for_ioends(m))
			break;
	}
	return rc;
}

/* The address is known only here; where space lies in pieces the ioend is cut to them. */
static int submit_anon(struct m_model *m, struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct iomap_ioend *ioend = iomap_ioend_take(wpc, wb_ctx), *front;

	ioend->bio.end_io = m_end_io;
	ioend->addr = IOMAP_NULL_ADDR;
	if (!error)
		error = m_fault(m, &m->fail_alloc);
	while (!error) {
		uint64_t bytes = whole_blocks(m, ioend->size), addr;
		unsigned nr = (unsigned)(bytes / m->block_size), got;

		if (m->opts.chunk && nr > m->opts.chunk / m->block_size)
			nr = (unsigned)(m->opts.chunk / m->block_size);
		got = m_space_alloc(m, nr, &addr);
		if (!got) {
			error = -ENOSPC;
			break;
		}
		error = split(m, ioend, (uint64_t)got * m->block_size, &front);
		if (error) {
			m_space_free(m, addr, got);
			break;
		}
		send(m, front ? front : ioend, addr);
		if (!front)
			return 0;
		ioend->addr = IOMAP_NULL_ADDR;
	}
	iomap_ioend_submit(ioend, error);
	return error;
}

int m_submit(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	struct m_file *f = M_FILE(wpc->inode);
	struct iomap_ioend *ioend = wb_ctx;
	struct m_model *m = f->m;

	m_event(m, M_SUBMIT, ioend->offset, ioend->size, error, ioend->flags);
	m_count(m->nr_submits, 1u);
	m_sum_sent(f, ioend);
	if (m->hook_submit)
		return m->hook_submit(f, wpc, wb_ctx, error);
	if (!error)
		error = m_fault(m, &m->fail_submit);
	if (m->opts.anon)
		return submit_anon(m, wpc, wb_ctx, error);
	if (!m->opts.no_complete)
		ioend->bio.end_io = m_end_io;
	return iomap_ioend_writeback_submit(wpc, wb_ctx, error);
}

/* ---- completion ---- */

static bool needs_record(const struct iomap_ioend *ioend)
{
	const struct m_file *f = M_FILE(ioend->inode);
	int64_t end = ioend->offset + (int64_t)ioend->size;

	return (ioend->flags & (IOMAP_IOEND_UNWRITTEN | IOMAP_IOEND_SHARED)) ||
	       ioend->bio.status || f->sent ||
	       end > __atomic_load_n(&f->disk_size, __ATOMIC_RELAXED);
}

void m_end_io(struct iomap_bio *bio)
{
	struct iomap_ioend *ioend = iomap_ioend_from_bio(bio);
	struct m_model *m = M_FILE(ioend->inode)->m;

	m_event(m, M_END_IO, ioend->offset, ioend->size, bio->status, ioend->flags);
	if (needs_record(ioend)) {
		m_count(m->nr_deferred, 1u);
		iomap_ioend_defer(ioend);
	} else {
		m_event(m, M_FINISH, ioend->offset, ioend->size, 0, ioend->flags);
		m_count(m->nr_finished, 1u);
		iomap_finish_ioends(ioend, 0);
	}
}

/* extents held.  The new block takes the place of the old, which is freed unless a snapshot has
 * it. */
static void replace(struct m_file *f, unsigned b, uint64_t addr)
{
	m_drop_block(f, &f->data[b]);
	f->data[b] = (struct m_block){ .type = IOMAP_MAPPED, .addr = addr };
}

static void remap(struct m_file *f, const struct iomap_ioend *ioend, unsigned b, unsigned stop)
{
	struct m_model *m = f->m;

	for (unsigned i = b; i < stop; i++) {
		if (m->opts.anon) {
			replace(f, i, ioend->addr + (uint64_t)(i - b) * m->block_size);
		} else if (m_has_space(&f->cow[i])) {
			replace(f, i, f->cow[i].addr);
			f->cow[i] = (struct m_block){ .type = IOMAP_HOLE };
		}
	}
	m_event(m, M_REMAP, ioend->offset, ioend->size, 0, ioend->flags);
	m_count(m->nr_remaps, 1u);
}

static void convert(struct m_file *f, const struct iomap_ioend *ioend, unsigned b, unsigned stop)
{
	for (unsigned i = b; i < stop; i++)
		if (f->data[i].type == IOMAP_UNWRITTEN)
			f->data[i].type = IOMAP_MAPPED;
	m_event(f->m, M_CONVERT, ioend->offset, ioend->size, 0, ioend->flags);
	m_count(f->m->nr_converts, 1u);
}

/* extents held: a truncate would take it too, so the size read here is the size (I108). */
static void raise_disk_size(struct m_file *f, const struct iomap_ioend *ioend)
{
	int64_t end = ioend->offset + (int64_t)ioend->size;
	int64_t size = iomap_inode_size(&f->inode);

	if (end > size)
		end = size;
	if (end <= f->disk_size)
		return;
	__atomic_store_n(&f->disk_size, end, __ATOMIC_RELAXED);
	f->dirty_meta = true;
	m_event(f->m, M_SIZE, ioend->offset, ioend->size, end, ioend->flags);
	m_count(f->m->nr_sizes, 1u);
}

static void cancel(struct m_file *f, const struct iomap_ioend *ioend, unsigned b, unsigned stop)
{
	struct m_model *m = f->m;

	if (m->opts.anon && ioend->addr != IOMAP_NULL_ADDR)
		m_space_free(m, ioend->addr, stop - b);
	for (unsigned i = b; i < stop && !m->opts.anon; i++) {
		if (!m_has_space(&f->cow[i]))
			continue;
		m_space_free(m, f->cow[i].addr, 1);
		f->cow[i] = (struct m_block){ .type = IOMAP_HOLE };
	}
}

static void complete(struct m_file *f, struct iomap_ioend *ioend)
{
	struct m_model *m = f->m;
	unsigned b = m_block_nr(m, ioend->offset);
	unsigned stop = m_block_end(m, ioend->offset + (int64_t)ioend->size);
	unsigned scope = iomap_txn_scope_begin(m->env);
	int rc = ioend->error ? ioend->error : m_fault(m, &m->fail_convert);

	m_event(m, M_COMPLETE, ioend->offset, ioend->size, rc, ioend->flags);
	iomap_mutex_lock(m->env, &f->extents);
	if (rc && (ioend->flags & IOMAP_IOEND_SHARED))
		cancel(f, ioend, b, stop);
	else if (!rc && (ioend->flags & IOMAP_IOEND_SHARED))
		remap(f, ioend, b, stop);
	else if (!rc && (ioend->flags & IOMAP_IOEND_UNWRITTEN))
		convert(f, ioend, b, stop);
	if (!rc) {
		m_sum_stored(f, b, stop);
		raise_disk_size(f, ioend);
	}
	m_changed(f);
	iomap_mutex_unlock(m->env, &f->extents);
	iomap_txn_scope_end(m->env, scope);
	if (m->hook_complete)
		m->hook_complete(f, ioend);
	m_event(m, M_FINISH, ioend->offset, ioend->size, rc, ioend->flags);
	m_count(m->nr_finished, 1u);
	iomap_finish_ioends(ioend, rc);
}

void m_complete_ioends(struct iomap_inode *inode, struct iomap_list *ioends)
{
	struct m_file *f = M_FILE(inode);
	struct iomap_list *l;

	iomap_sort_ioends(ioends);
	while ((l = iomap_list_pop(ioends))) {
		struct iomap_ioend *ioend = iomap_container_of(l, struct iomap_ioend, list);

		iomap_ioend_try_merge(ioend, ioends);
		complete(f, ioend);
	}
}
