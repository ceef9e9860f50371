/* SPDX-License-Identifier: MIT */
/*
 * model.c - what may be found of a file after a crash: O1 to O5.
 *
 * Of each file that work tells about: its bytes as of the last sync, which of them were ever
 * written, and what was done since, oldest first.  A byte that was found is held against the synced
 * one; only where it differs does it matter what was done since.
 *
 *	nothing was done there		it must be the synced one	O1, or O3 in a hole
 *	it was cut off			or zero				O4
 *	it was written			or one of what was written	O2, or O3 where nothing was
 */
#include <errno.h>
#include <string.h>

#include "explore.h"
#include "oracle.h"

#define MAX_SIZE	((uint64_t)64 << 20)
#define PIECE		4096u

typedef unsigned long long ull;

struct done {			/* a write, or a new size */
	uint64_t pos, len, at;	/* at: of its bytes, in the pool */
	bool size;
};
struct iomapi_sim_model {
	struct iomapi_sim_model *next;
	uint64_t file;
	uint8_t *synced, *written;	/* max bytes each */
	uint64_t synced_size, size, max;
	struct done *done;
	size_t nr, max_nr;
	uint8_t *pool;
	size_t pool_len, pool_max;
};

static struct iomapi_sim_model *find(const struct iomap_sim *sim, uint64_t file)
{
	struct iomapi_sim_model *m = sim->models;

	while (m && m->file != file)
		m = m->next;
	return m;
}

/* Of work alone, or of whoever has no case. */
static bool ignores(const struct iomap_sim *sim)
{
	return sim->run && sim->run->depth != 1;
}

/* Twice as much as before, at least; what it was is the level's to free. */
static void *more(struct iomap_sim *sim, const void *old, size_t used, size_t size)
{
	void *mem = iomap_sim_alloc(sim, size);

	if (mem && used)
		memcpy(mem, old, used);
	return mem;
}

static int reach(struct iomap_sim *sim, struct iomapi_sim_model *m, uint64_t size)
{
	uint64_t max = m->max ? m->max : 2 * PIECE;
	uint8_t *synced, *written;

	if (size <= m->max)
		return 0;
	while (max < size)
		max *= 2;
	synced = more(sim, m->synced, m->max, max);
	written = more(sim, m->written, m->max, max);
	if (!synced || !written)
		return -ENOMEM;
	m->synced = synced;
	m->written = written;
	m->max = max;
	return 0;
}

static int note(struct iomap_sim *sim, struct iomapi_sim_model *m, const struct done *done,
		const void *mem)
{
	size_t len = mem ? done->len : 0;

	if (m->nr == m->max_nr) {
		size_t max = m->max_nr ? 2 * m->max_nr : 32;
		struct done *all = more(sim, m->done, m->nr * sizeof(*all), max * sizeof(*all));

		if (!all)
			return -ENOMEM;
		m->done = all;
		m->max_nr = max;
	}
	if (m->pool_max - m->pool_len < len) {
		size_t max = 2 * m->pool_max + len + 2 * PIECE;
		uint8_t *pool = more(sim, m->pool, m->pool_len, max);

		if (!pool)
			return -ENOMEM;
		m->pool = pool;
		m->pool_max = max;
	}
	m->done[m->nr] = *done;
	m->done[m->nr++].at = m->pool_len;
	if (len)
		memcpy(m->pool + m->pool_len, mem, len);
	m->pool_len += len;
	return 0;
}

static int tell(struct iomap_sim *sim, uint64_t file, const struct done *done, const void *mem)
{
	struct iomapi_sim_model *m = find(sim, file);
	uint64_t end = done->size ? done->len : done->pos + done->len;
	int rc;

	if (ignores(sim))
		return 0;
	if (done->pos > MAX_SIZE || done->len > MAX_SIZE || end > MAX_SIZE)
		return -EFBIG;
	if (!m) {
		m = iomap_sim_alloc(sim, sizeof(*m));
		if (!m)
			return -ENOMEM;
		m->file = file;
		m->next = sim->models;
		sim->models = m;
	}
	rc = reach(sim, m, end);
	if (!rc)
		rc = note(sim, m, done, mem);
	if (!rc)
		m->size = done->size || end > m->size ? end : m->size;
	return rc;
}

IOMAP_API int iomap_sim_model_write(struct iomap_sim *sim, uint64_t file, const void *mem,
				    size_t len, uint64_t pos)
{
	const struct done done = { .pos = pos, .len = len };

	return len ? tell(sim, file, &done, mem) : 0;
}

IOMAP_API int iomap_sim_model_truncate(struct iomap_sim *sim, uint64_t file, uint64_t size)
{
	const struct done done = { .pos = size, .len = size, .size = true };

	return tell(sim, file, &done, NULL);
}

static void apply(struct iomapi_sim_model *m, const struct done *d)
{
	if (d->size) {
		if (d->pos < m->max) {
			memset(m->synced + d->pos, 0, m->max - d->pos);
			memset(m->written + d->pos, 0, m->max - d->pos);
		}
		m->synced_size = d->pos;
		return;
	}
	memcpy(m->synced + d->pos, m->pool + d->at, d->len);
	memset(m->written + d->pos, 1, d->len);
	if (d->pos + d->len > m->synced_size)
		m->synced_size = d->pos + d->len;
}

IOMAP_API void iomap_sim_model_sync(struct iomap_sim *sim, uint64_t file)
{
	struct iomapi_sim_model *m = find(sim, file);

	if (!m || ignores(sim))
		return;
	for (size_t i = 0; i < m->nr; i++)
		apply(m, &m->done[i]);
	m->nr = 0;
	m->pool_len = 0;
}

/* ---- the judge ---- */

struct judged {
	struct iomap_sim *sim;
	const struct iomapi_sim_model *m;
	const struct iomap_sim_found *found;
};

static int wrong(const struct judged *j, unsigned oracle, const char *what, uint64_t a, uint64_t b)
{
	iomapi_sim_found(j->sim, oracle, "file %llu: %s (%llu, %llu)", (ull)j->m->file, what,
			 (ull)a, (ull)b);
	return 1;
}

/* O5, and that there is a file at all. */
static int judge_size(const struct judged *j, uint64_t size)
{
	const struct iomapi_sim_model *m = j->m;
	uint64_t least = m->synced_size, most = least, now = least;

	for (size_t i = 0; i < m->nr; i++) {
		uint64_t end = m->done[i].pos + (m->done[i].size ? 0 : m->done[i].len);

		now = m->done[i].size || end > now ? end : now;
		least = now < least ? now : least;
		most = now > most ? now : most;
	}
	if (size < least)
		return wrong(j, 5, "it is shorter than it ever was since its sync: is, least",
			     size, least);
	if (size > most)
		return wrong(j, 5, "it is longer than it ever was since its sync: is, most",
			     size, most);
	return 0;
}

/* A block in which anything was done may be garbage where sectors are shorn. */
static bool may_be_shorn(const struct judged *j, uint64_t pos)
{
	uint64_t unit = j->found->shorn, first = unit ? pos - pos % unit : 0;

	for (size_t i = 0; unit && i < j->m->nr; i++) {
		const struct done *d = &j->m->done[i];

		if (d->pos < first + unit && (d->size || first < d->pos + d->len))
			return true;
	}
	return false;
}

/* One byte that is not the synced one. */
static int judge_byte(const struct judged *j, uint64_t pos, uint8_t byte)
{
	const struct iomapi_sim_model *m = j->m;
	bool hole = pos >= m->max || !m->written[pos], cut = false, written = false;

	for (size_t i = 0; i < m->nr; i++) {
		const struct done *d = &m->done[i];

		if (pos < d->pos)
			continue;
		if (d->size) {
			cut = true;
			continue;
		}
		if (pos >= d->pos + d->len)
			continue;
		if (m->pool[d->at + pos - d->pos] == byte)
			return 0;
		written = true;
	}
	if ((cut && !byte) || may_be_shorn(j, pos))
		return 0;
	if (written)
		return wrong(j, hole ? 3 : 2, "nobody wrote what is there: place, byte", pos, byte);
	if (cut || pos >= m->synced_size)
		return wrong(j, 4, "behind an end of it are no zeros: place, byte", pos, byte);
	return wrong(j, hole ? 3 : 1, hole ? "a hole is not empty: place, byte"
					   : "synced bytes are lost: place, byte", pos, byte);
}

static int judge_bytes(const struct judged *j, const uint8_t *mem, uint64_t pos, size_t len)
{
	const struct iomapi_sim_model *m = j->m;
	size_t known = pos >= m->max ? 0 : m->max - pos < len ? m->max - pos : len;
	int rc = 0;

	if (known == len && !memcmp(mem, m->synced + pos, len))
		return 0;
	for (size_t i = 0; !rc && i < len; i++)
		if (mem[i] != (i < known ? m->synced[pos + i] : 0))
			rc = judge_byte(j, pos + i, mem[i]);
	return rc;
}

static int judge_content(const struct judged *j)
{
	uint8_t mem[PIECE];
	int64_t n = 0;
	int rc = 0;

	for (uint64_t pos = 0; !rc && pos < j->found->size; pos += (uint64_t)n) {
		uint64_t left = j->found->size - pos;
		size_t len = left < PIECE ? left : PIECE;

		n = j->found->read(j->found->arg, mem, len, pos);
		if (n != (int64_t)len)
			return wrong(j, 1, "it cannot be read: place, answer", pos, (uint64_t)n);
		rc = judge_bytes(j, mem, pos, len);
	}
	if (!rc && j->found->read(j->found->arg, mem, PIECE, j->found->size) > 0)
		rc = wrong(j, 4, "there is something to read behind its end: end", j->found->size,
			   0);
	return rc;
}

IOMAP_API int iomap_sim_judge_file(struct iomap_sim *sim, uint64_t file,
				   const struct iomap_sim_found *found)
{
	static const struct iomapi_sim_model nothing;
	const struct iomapi_sim_model *m = find(sim, file);
	const struct judged j = { sim, m ? m : &nothing, found };
	int rc;

	if (found && (found->struct_size < sizeof(*found) || !found->read))
		return -EINVAL;
	for (unsigned oracle = 1; oracle <= 5; oracle++)
		iomapi_sim_looked(sim, oracle);
	rc = judge_size(&j, found ? found->size : 0);
	return rc || !found ? rc : judge_content(&j);
}
