/* SPDX-License-Identifier: MIT */
/*
 * devices.h - one story, every kind of device.
 *
 *	each_device(&d, kind) {
 *		...
 *		t_device_stop(&d);
 *	}
 *
 * A file has lost its name by the time the story begins, so a failing story leaves nothing behind.
 */
#ifndef T_DEVICES_H
#define T_DEVICES_H

#include "harness/harness.h"
#include "harness/loop.h"
#include "harness/memdev.h"

#include <iomap/sim.h>

enum t_device_kind {
	T_MEM, T_NULL, T_FILE, T_FILE_BUFFERED, T_THREAD, T_AIO, T_URING, T_URING_SINGLE, T_AUTO,
	T_LOOP_FILE, T_LOOP_AIO, T_LOOP_URING,	/* block devices of 4 KiB blocks; root only */
	T_SIM, T_NEW, T_NR_DEVICES
};
#define T_DEVICE_BYTES	(16u << 20)

struct t_device {
	struct t_env t;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct t_mem *mem;		/* T_MEM only */
	struct iomap_sim *sim;		/* T_SIM only; it is this thread's alone */
	struct t_loop loop;		/* T_LOOP_* only */
	struct iomap_bdev_limits limits;
	bool keeps;			/* gives back what was written */
};
/* A kind that may be missing here (no io_uring, no libaio) must not be, where it is named alone. */
void t_device_start(struct t_device *d, enum t_device_kind kind);
/* The same on an ioq with these options; only for kinds that are files of the kernel's. */
void t_device_start_with(struct t_device *d, enum t_device_kind kind,
			 const struct iomap_ioq_opts *opts);
const char *t_device_scheme(enum t_device_kind kind);
/* Open what is there already, as the kind does it: "uring:" and the rest.  Kinds T_FILE to T_AUTO;
 * the first error, -ENOTSUP: not here; stop it in any case. */
int t_device_try(struct t_device *d, enum t_device_kind kind, const char *rest, unsigned flags);
/* What a fresh file of that kind, T_FILE to T_AUTO, is opened by: it lies in this test's directory
 * until t_temp_remove.  False: the kind is not here. */
bool t_device_spec(enum t_device_kind kind, char *spec, size_t size);
/* "mem:m" with more options, on an ioq with those */
void t_device_start_mem(struct t_device *d, const char *options, const struct iomap_ioq_opts *opts);
void t_device_stop(struct t_device *d);

/* Whichever kinds are here: conform/test_backends.c says which have to be. */
#define each_device(d, kind) \
	for ((kind) = t_device_next((d), T_MEM); (kind) < T_NR_DEVICES; \
	     (kind) = t_device_next((d), (kind) + 1))
/* Starts the first kind from there on that is here; T_NR_DEVICES: none. */
int t_device_next(struct t_device *d, int kind);

/* A directory of this test's own, made when first asked for; remove is harmless at any time. */
const char *t_temp_dir(void);
void t_temp_path(char *path, size_t size, const char *name);
void t_temp_remove(void);

/* Memory for direct I/O, for the life of the process; filled so that each seed differs. */
uint8_t *t_buffer(size_t len, uint8_t seed);
bool t_is_filled(const uint8_t *mem, size_t len, uint8_t seed);
bool t_is_zero(const uint8_t *mem, size_t len);

/* One bio of one segment, submitted and waited for: its status. */
int t_io(struct iomap_bdev *bdev, enum iomap_bio_op op, uint64_t addr, void *mem, uint64_t len,
	 unsigned flags);

/* A bio that counts its ends. */
struct t_bio {
	struct iomap_bio bio;
	struct iomap_bvec segs[8];
	unsigned nr_ends;		/* atomic */
	int status;
	unsigned order;			/* the how manieth end of all, from 1 */
};
void t_bio_init(struct t_bio *b, struct iomap_bdev *bdev, enum iomap_bio_op op, uint64_t addr,
		void *mem, uint64_t len);
/* nr writes of 4 KiB each, to blocks 0.., from the same memory; to be freed. */
struct t_bio *t_writes(struct t_device *d, unsigned nr);
void t_submit(struct t_bio *b, unsigned nr);

#endif
