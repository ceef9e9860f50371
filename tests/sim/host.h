/* SPDX-License-Identifier: MIT */
/*
 * host.h - the model client on a device that will fail.
 *
 * It has written and synced a file of BASE pages; a test changes RUNS runs of it, each of which is
 * an ioend of its own, and the last one new.  When its story is over power goes, and the file must
 * be found as the last good sync left it.
 */
#ifndef HOST_H
#define HOST_H

#include "model/model.h"
#include "sim/failing.h"

#define DISK		(2u << 20)
#define LOG		65536u			/* the model's journal lies before this */
#define BASE		42u			/* pages that are there before the fault */
#define RUNS		7u			/* that are changed: of RUN pages, each in */
#define RUN		5u			/* an ioend of its own, the last one new */
#define EVERY		7u
#define ALL		(BASE + RUN)

enum {				/* how the model is opened */
	HOST_IN_PLACE	= 1 << 0,	/* a page stays where it was first written */
	HOST_CHECKSUMS	= 1 << 1,
};

struct host {
	struct failing d;
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct iomap_file other;		/* another handle on f */
	unsigned how;
	uint8_t base[BASE * PAGE];		/* what the first sync promised */
};
/* The content of one file, to be looked for after a power cut. */
struct image {
	uint8_t bytes[ALL * PAGE];
	uint64_t addr[ALL];
	unsigned nr_pages;
};

/* ---- life ---- */

static inline void open_model(struct host *h)
{
	uint32_t kind = failing_draw(&h->d, h->how & HOST_IN_PLACE ? 4 : 5);
	const struct m_opts opts = {
		.dev = "sim:disk", .max_folio = PAGE << failing_draw(&h->d, 3),
		.delalloc = kind & 1, .unwritten = kind & 2, .anon = kind == 4,
		.checksums = h->how & HOST_CHECKSUMS,
	};
	struct iomap_env_opts env = { 0 };

	failing_env(&h->d, &env);
	t_env_start(&h->t, &env);
	h->m = m_open(&h->t, &opts);
	h->f = m_file_new(h->m);
	ck_assert_int_eq(iomap_file_open(&h->other, &h->f->inode, 0), 0);
}

static inline struct host *host_start(uint64_t seed, unsigned nr_presets, uint64_t max_bytes,
				      unsigned how)
{
	static struct host host;
	struct host *h = &host;

	h->how = how;
	failing_new(&h->d, seed, nr_presets, DISK, max_bytes);
	open_model(h);
	ck_assert_int_eq(m_fill(h->f, 0, BASE * PAGE, (unsigned)seed), BASE * PAGE);
	ck_assert_int_eq(m_sync(h->f), 0);
	memcpy(h->base, h->f->ref, sizeof(h->base));
	return h;
}

static inline struct host *host_new(uint64_t seed)
{
	return host_start(seed, FAILING_PRESETS, DISK, 0);
}

static inline void host_delete(struct host *h)
{
	iomap_file_close(&h->other);
	m_file_free(&h->f);
	m_close(&h->m);
	t_env_stop(&h->t);
}

/* Not to the byte: blocks are written whole. */
static inline void change(struct host *h)
{
	for (unsigned i = 0; i < RUNS; i++) {
		int64_t pos = i * EVERY * PAGE, len = RUN * PAGE;

		if (i < RUNS - 1) {
			pos += failing_draw(&h->d, PAGE);
			len -= PAGE;
		}
		ck_assert_int_eq(m_fill(h->f, pos, (size_t)len, 1000 + i), len);
	}
}

static inline void image_of(const struct m_file *f, struct image *image)
{
	image->nr_pages = (unsigned)(f->ref_size / PAGE);
	ck_assert_uint_le(image->nr_pages, ALL);
	memcpy(image->bytes, f->ref, image->nr_pages * PAGE);
	for (unsigned i = 0; i < image->nr_pages; i++)
		image->addr[i] = f->data[i].addr;
}

static inline void check_image(struct iomap_bdev *bdev, const struct image *image)
{
	uint8_t *mem = t_buffer(PAGE, 0);

	for (unsigned i = 0; i < image->nr_pages; i++) {
		ck_assert_int_eq(m_dev_read(bdev, image->addr[i], mem, PAGE), 0);
		ck_assert_msg(!memcmp(mem, image->bytes + i * PAGE, PAGE), "page %u is lost", i);
	}
}

/* All that the host had in memory is gone, and somebody else looks at the device. */
static inline void host_dies(struct host *h)
{
	failing_cut(&h->d, h->m->bdev);
	host_delete(h);
	failing_power_on(&h->d);
}

/* After a sync that was good: nothing of the file is lost, and the run is over. */
static inline void host_survives(struct host *h)
{
	static struct image image;

	ck_assert(m_device_equals_model(h->f));
	ck_assert(m_balanced(h->m));
	image_of(h->f, &image);
	host_dies(h);
	check_image(h->d.w.bdev, &image);
	failing_delete(&h->d);
}

/* ---- what it looks at ---- */

static inline struct iomap_cache_stats stats_of(struct host *h)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	iomap_cache_stats(h->m->cache, &stats);
	return stats;
}

/* f was told by the sync that failed; the other handle is told, nobody twice, and nobody who comes
 * later. */
static inline void told_once(struct host *h, int error)
{
	struct iomap_file later;

	ck_assert_int_eq(m_sync(h->f), 0);
	ck_assert_int_eq(iomap_file_open(&later, &h->f->inode, 0), 0);
	ck_assert_int_eq(iomap_file_sync(&h->other, 0, IOMAP_MAX_POS, false), error);
	ck_assert_int_eq(iomap_file_sync(&h->other, 0, IOMAP_MAX_POS, false), 0);
	ck_assert_int_eq(iomap_file_sync(&later, 0, IOMAP_MAX_POS, false), 0);
	iomap_file_close(&later);
}

/* Where a sync would hit the same wall again. */
static inline void told_once_by_check(struct host *h, int error)
{
	ck_assert_int_eq(iomap_file_check_error(&h->f->file), 0);
	ck_assert_int_eq(iomap_file_check_error(&h->other), error);
	ck_assert_int_eq(iomap_file_check_error(&h->other), 0);
}

static inline unsigned nr_missing(struct host *h)
{
	uint8_t *mem = t_buffer(PAGE, 0);
	unsigned nr = 0;

	for (unsigned i = 0; i < ALL; i++) {
		const struct m_block *b = &h->f->data[i];

		if (b->type == IOMAP_MAPPED && !m_dev_read(h->m->bdev, b->addr, mem, PAGE))
			nr += !!memcmp(mem, h->f->ref + i * PAGE, PAGE);
		else
			nr++;
	}
	return nr;
}

/* All that is clean is dropped and read again: what the device has not must still be there. */
static inline void keeps_what_failed(struct host *h)
{
	struct iomap_cache_stats stats = stats_of(h);
	uint64_t failed = stats.failed;

	ck_assert_uint_gt(failed, 0);
	ck_assert_uint_eq(stats.dirty, 0);
	ck_assert_uint_eq(stats.writeback, 0);
	iomap_cache_reclaim(h->m->cache, stats.bytes);
	stats = stats_of(h);
	ck_assert_uint_eq(stats.failed, failed);
	ck_assert_uint_eq(stats.bytes, failed);
	ck_assert(m_content_ok(h->f));
}

static inline int64_t redirty(struct host *h)
{
	int64_t n;

	iomap_inode_lock(&h->f->inode, 0);
	n = iomap_mapping_redirty_failed(&h->f->inode, 0, IOMAP_MAX_POS, &h->m->ops, NULL);
	iomap_inode_unlock(&h->f->inode);
	return n;
}

static inline void try_again(struct host *h, int error)
{
	ck_assert_int_gt(redirty(h), 0);
	ck_assert_uint_eq(stats_of(h).failed, 0);
	ck_assert_int_eq(m_sync(h->f), error);
}

#endif
