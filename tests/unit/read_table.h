/* SPDX-License-Identifier: MIT */
/*
 * read_table.h - a model file with blocks of 1 KiB in folios of 4 KiB, for tests of reading.
 */
#ifndef T_READ_TABLE_H
#define T_READ_TABLE_H

#include "harness/harness.h"
#include "harness/memdev.h"
#include "model/model.h"

#include "buffered/buffered.h"
#include "cache/cache.h"

#define BLOCK 1024u
#define FOLIO 4096u

struct table {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct t_mem *dev;
};

/* Blocks of 1 KiB in folios of 4 KiB; allocated at once, so that maps are MAPPED. */
static inline void start(struct table *s, const struct m_opts *more)
{
	struct m_opts opts = more ? *more : (struct m_opts){ .block_bits = 0 };

	opts.block_bits = opts.block_bits ? opts.block_bits : 10;
	opts.max_folio = opts.max_folio ? opts.max_folio : FOLIO;
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, &opts);
	s->f = m_file_new(s->m);
	s->dev = t_mem_find("model");
}

/* A file of len bytes that is on the device and not in the cache. */
static inline void make_file(struct table *s, size_t len)
{
	ck_assert_int_eq(m_fill(s->f, 0, len, 7), len);
	ck_assert_int_eq(m_drop_cache(s->f), 0);
	t_mem_log_reset(s->dev);
}

static inline void stop(struct table *s)
{
	t_mem_hold(s->dev, false);
	m_file_free(&s->f);
	m_close(&s->m);
	t_env_stop(&s->t);
}

static inline unsigned nr_reads(struct table *s, uint64_t *bytes)
{
	const struct t_mem_req *log;
	unsigned nr, found = 0;
	uint64_t sum = 0;

	log = t_mem_log(s->dev, &nr);
	for (unsigned i = 0; i < nr; i++) {
		if (log[i].op != IOMAP_BIO_READ)
			continue;
		found++;
		sum += log[i].len;
	}
	if (bytes)
		*bytes = sum;
	return found;
}

/* A new folio, locked and referenced. */
static inline struct iomap_folio *new_folio(struct table *s, int64_t pos)
{
	struct iomap_folio *folio;

	ck_assert_int_eq(iomap_mapping_get_folio(&s->f->inode, pos, FOLIO, IOMAP_WRITE, &folio), 0);
	return folio;
}

static inline void wait_read(struct iomap_folio *folio)
{
	iomap_folio_lock(folio);
	iomap_folio_unlock(folio);
}

static inline bool zeros(const struct iomap_folio *folio, size_t from)
{
	for (size_t i = from; i < folio->size; i++)
		if (((const char *)folio->mem)[i])
			return false;
	return true;
}

static inline bool uptodate(struct iomap_folio *folio)
{
	return iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE;
}

#endif
