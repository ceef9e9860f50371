/* SPDX-License-Identifier: MIT */
/*
 * model_priv.h - what the files of the model share.
 */
#ifndef T_MODEL_PRIV_H
#define T_MODEL_PRIV_H

#include "model/model.h"

#define M_LOG_BYTES	65536u		/* the journal, at the start of its device */

#define m_count(counter, n) __atomic_add_fetch(&(counter), (n), __ATOMIC_RELAXED)

/* model.c */
void m_event(struct m_model *m, enum m_event event, int64_t pos, uint64_t len, int64_t arg,
	     unsigned flags);
int m_fault(struct m_model *m, struct m_fault *fault);	/* 0, or the error that is due */
int m_writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc);

/* model_sync.c */
void m_touch(struct m_file *f);		/* written: its times change */
int m_sync_metadata(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
		    bool *flushed);
extern const struct iomap_volume_ops m_volume_ops;

/* model_fault.c: the user's memory is what hook_copy says it is */
void m_data_init(struct m_file *f, struct iomap_data *data, const struct iovec *iov);

/* model_check.c: one request, waited for */
int m_dev_io(struct iomap_bdev *bdev, enum iomap_bio_op op, unsigned flags, uint64_t addr,
	     void *buf, size_t len);

/* model_sum.c */
/* A map for writeback: are its blocks to have one?  It ends where the answer does. */
void m_sum_map(struct m_file *f, struct iomap *map);
void m_sum_sent(struct m_file *f, struct iomap_ioend *ioend);
/* extents held: blocks of the data fork have arrived where they are now. */
void m_sum_stored(struct m_file *f, unsigned b, unsigned stop);

/* model_map.c */
bool m_valid(struct iomap_inode *inode, const struct iomap *map);
struct iomap_bdev *m_bdev_of(const struct m_model *m, unsigned b);	/* of a file's block */
/* Up to nr blocks in a row: how many, at which address; 0: full. */
unsigned m_space_alloc(struct m_model *m, unsigned nr, uint64_t *addr);
void m_space_free(struct m_model *m, uint64_t addr, unsigned nr);
/* The same for nr blocks of a file from b on, where m_place said they lie. */
unsigned m_space_for(struct m_file *f, unsigned b, unsigned nr, uint64_t *addr);
/* extents held.  A block leaves a file: it is free, or the other's who shares it. */
void m_drop_block(struct m_file *f, struct m_block *block);
/* Promises in either fork of [pos, end) are given back. */
void m_unreserve(struct m_file *f, int64_t pos, int64_t end);
/* extents held */
void m_fill_map(struct m_file *f, const struct m_block *fork, unsigned b, unsigned stop,
		struct iomap *map);
unsigned m_block_end(const struct m_model *m, int64_t end);	/* rounded up, within the file */
void m_changed(struct m_file *f);		/* a fork did: cookie, journal */
bool m_has_space(const struct m_block *b);	/* MAPPED or UNWRITTEN */
/* All that the file has in [b, end) of both forks. */
void m_drop_blocks(struct m_file *f, unsigned b, unsigned end);

#endif
