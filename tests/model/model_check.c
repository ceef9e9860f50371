/* SPDX-License-Identifier: MIT */
/*
 * model_check.c - what must be true of a model, and the way to its device past the cache.
 */
#include "model/model_priv.h"

#include <stdio.h>

/* ---- the device, past the cache ---- */

int m_dev_io(struct iomap_bdev *bdev, enum iomap_bio_op op, unsigned flags, uint64_t addr,
		  void *buf, size_t len)
{
	struct iomap_bvec seg;
	struct iomap_bio bio;
	int rc;

	iomap_bio_init(&bio, bdev, op, addr, &seg, 1);
	bio.flags = (uint16_t)flags;
	rc = iomap_bio_add(&bio, buf, len, NULL);
	if (rc)
		return rc;
	iomap_bio_submit(&bio);
	return iomap_bio_wait(&bio);
}

int m_dev_read(struct iomap_bdev *bdev, uint64_t addr, void *buf, size_t len)
{
	return m_dev_io(bdev, IOMAP_BIO_READ, 0, addr, buf, len);
}

int m_dev_write(struct iomap_bdev *bdev, uint64_t addr, const void *buf, size_t len)
{
	return m_dev_io(bdev, IOMAP_BIO_WRITE, 0, addr, (void *)(uintptr_t)buf, len);
}

/* ---- what must be true ---- */

static bool block_equals(struct m_file *f, unsigned b, uint8_t *buf)
{
	struct m_model *m = f->m;
	int64_t pos = (int64_t)b * m->block_size;
	size_t len = (size_t)(f->ref_size - pos < m->block_size ? f->ref_size - pos :
				      m->block_size);

	if (f->data[b].type == IOMAP_DELALLOC)
		return false;
	if (f->data[b].type != IOMAP_MAPPED)
		memset(buf, 0, m->block_size);
	else if (m_dev_read(m_bdev_of(m, b), f->data[b].addr, buf, m->block_size))
		return false;
	if (!memcmp(buf, f->ref + pos, len))
		return true;
	fprintf(stderr, "block %u, type %u, differs on the device\n", b, f->data[b].type);
	return false;
}

bool m_device_equals_model(struct m_file *f)
{
	struct m_model *m = f->m;
	uint8_t *buf = aligned_alloc(4096, m->block_size < 4096 ? 4096 : m->block_size);
	bool same = f->disk_size == f->ref_size;

	ck_assert_ptr_nonnull(buf);
	if (!same)
		fprintf(stderr, "size on disk is %lld, must be %lld\n", (long long)f->disk_size,
			(long long)f->ref_size);
	for (unsigned b = 0; b < m_block_end(m, f->ref_size); b++)
		same &= block_equals(f, b, buf);
	free(buf);
	return same;
}

bool m_balanced(struct m_model *m)
{
	int64_t reserved = 0, allocated = m->nr_snapshot;

	for (struct m_file *f = m->files; f; f = f->next) {
		for (unsigned b = 0; b < M_MAX_FILE / m->block_size; b++) {
			reserved += f->data[b].type == IOMAP_DELALLOC;
			reserved += f->cow[b].type == IOMAP_DELALLOC;
			allocated += m_has_space(&f->data[b]) + m_has_space(&f->cow[b]);
		}
	}
	if (m->nr_begin == m->nr_end && reserved == m->nr_reserved && allocated == m->nr_allocated)
		return true;
	fprintf(stderr, "begin %u end %u, reserved %lld of %lld, allocated %lld of %lld\n",
		m->nr_begin, m->nr_end, (long long)reserved, (long long)m->nr_reserved,
		(long long)allocated, (long long)m->nr_allocated);
	return false;
}
