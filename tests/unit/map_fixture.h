/* SPDX-License-Identifier: MIT */
/*
 * map_fixture.h - a file on a device whose limits the test makes up, and a client that answers
 * begin and end from a script and remembers what it was asked.
 *
 * The device does no I/O: it counts requests, and none of these tests may make one.
 */
#ifndef T_MAP_FIXTURE_H
#define T_MAP_FIXTURE_H

#include <iomap/backend.h>

#include "harness/harness.h"

#define BLK	4096
#define DEV_SIZE (1ull << 20)

/* ---- the device ---- */

static struct iomap_bdev_limits made_up;	/* what the next look at the limits finds */
static unsigned nr_limits, nr_queued;

static int mu_queue_open(void *arg, struct iomap_env *env, const struct iomap_ioq_opts *opts,
			 void **queue, const char **reason)
{
	(void)arg, (void)env, (void)opts, (void)reason;
	*queue = &nr_queued;
	return 0;
}

static void mu_nothing(void *queue)
{
	(void)queue;
}

static int mu_dev_open(void *queue, const char *path, int fd, const struct iomap_bdev_opts *opts,
		       void **dev)
{
	(void)queue, (void)path, (void)fd, (void)opts;
	*dev = &made_up;
	return 0;
}

static void mu_limits(void *dev, struct iomap_bdev_limits *limits)
{
	(void)dev;
	nr_limits++;
	*limits = made_up;
}

static enum iomap_queued mu_queue(void *queue, void *dev, struct iomap_bio *bio)
{
	(void)queue, (void)dev;
	nr_queued++;
	bio->status = -EIO;
	return IOMAP_QUEUE_DONE;
}

static int mu_commit(void *queue)
{
	(void)queue;
	return 0;
}

static int mu_reap(void *queue, struct iomap_bio **done, unsigned min, unsigned max,
		   int64_t timeout_ns)
{
	(void)queue, (void)done, (void)min, (void)max, (void)timeout_ns;
	return 0;
}

static int mu_direct_access(void *dev, uint64_t addr, uint64_t len, void **mem, uint64_t *got)
{
	(void)dev, (void)addr, (void)len, (void)mem, (void)got;
	nr_queued++;
	return -EIO;
}

static int64_t mu_copy(void *dev, void *dst, const void *src, size_t len)
{
	(void)dev, (void)dst, (void)src, (void)len;
	nr_queued++;
	return -EIO;
}

static int mu_zero(void *dev, void *dst, size_t len)
{
	(void)dev, (void)dst, (void)len;
	nr_queued++;
	return -EIO;
}

static int mu_persist(void *dev, const void *mem, size_t len)
{
	(void)dev, (void)mem, (void)len;
	nr_queued++;
	return -EIO;
}

static const struct iomap_backend_ops made_up_backend = {
	.struct_size = sizeof(made_up_backend), .scheme = "madeup",
	.queue_open = mu_queue_open, .queue_close = mu_nothing, .queue_abandon = mu_nothing,
	.dev_open = mu_dev_open, .dev_close = mu_nothing, .limits = mu_limits,
	.queue = mu_queue, .commit = mu_commit, .reap = mu_reap, .wakeup = mu_nothing,
	.direct_access = mu_direct_access, .copy = mu_copy, .zero = mu_zero,
	.persist = mu_persist, .fence = mu_nothing,
};

/* ---- the client ---- */

#define MAX_CALLS 8192
struct call {
	bool end;
	int64_t pos, written;
	uint64_t len;
	unsigned flags;
	uint16_t map_flags;	/* at end */
};

struct fix {
	struct t_env t;
	struct iomap_ioq *ioq;
	struct iomap_bdev *bdev;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct iomap_inode inode;	/* with blocks of BLK bytes, on bdev */
	int64_t size;			/* of it, at the start */
	struct iomap_ops ops;		/* begin and end below; a test may change it */

	/* The script. */
	struct iomap map, src;		/* what begin answers when fill is NULL */
	void (*fill)(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
		     struct iomap *src);
	int begin_rc, end_rc;
	void *arg;

	/* What happened. */
	struct call calls[MAX_CALLS];
	unsigned nr_calls, nr_begin, nr_begun, nr_end;	/* begun: begin said 0 */
	bool not_zero;			/* a map that begin was given was not all zero */
	bool out_of_turn;		/* begin before the end of the last map, or end without */
	bool other_priv;
};

static inline bool all_zero(const void *mem, size_t len)
{
	const unsigned char *p = mem;

	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static void remember(struct fix *f, struct call call, void *priv)
{
	if (f->nr_calls < MAX_CALLS)
		f->calls[f->nr_calls] = call;
	f->nr_calls++;
	if (priv != f)
		f->other_priv = true;
}

static struct fix *fix_of(struct iomap_inode *inode)
{
	return iomap_container_of(inode, struct fix, inode);
}

static int fix_begin(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		     struct iomap *map, struct iomap *src, void *priv)
{
	struct fix *f = fix_of(inode);

	remember(f, (struct call){ .pos = pos, .len = len, .flags = flags }, priv);
	f->nr_begin++;
	if (!all_zero(map, sizeof(*map)) || !all_zero(src, sizeof(*src)))
		f->not_zero = true;
	if (f->nr_begun != f->nr_end)
		f->out_of_turn = true;
	if (f->fill) {
		f->fill(f, pos, len, map, src);
	} else {
		*map = f->map;
		*src = f->src;
	}
	if (!f->begin_rc)
		f->nr_begun++;
	return f->begin_rc;
}

static int fix_end(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
		   unsigned flags, struct iomap *map, struct iomap *src, void *priv)
{
	struct fix *f = fix_of(inode);

	(void)src;
	remember(f, (struct call){ .end = true, .pos = pos, .len = len, .written = written,
				   .flags = flags, .map_flags = map->flags }, priv);
	f->nr_end++;
	if (f->nr_end != f->nr_begun)
		f->out_of_turn = true;
	return f->end_rc;
}

static int fix_sync_metadata(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	*flushed = false;
	return 0;
}

static int fix_inode_sync(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
			  bool *flushed)
{
	(void)inode, (void)start, (void)end, (void)datasync;
	*flushed = false;
	return 0;
}

static int fix_writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	(void)inode, (void)wbc;
	return 0;
}

static bool fix_tryget(struct iomap_inode *inode)
{
	(void)inode;
	return true;
}

static void fix_put(struct iomap_inode *inode)
{
	(void)inode;
}

static void fix_folio_written(struct iomap_folio *folio, int error)
{
	(void)folio, (void)error;
}

static const struct iomap_volume_ops fix_volume_ops = {
	.struct_size = sizeof(fix_volume_ops), .sync_metadata = fix_sync_metadata,
};
static const struct iomap_inode_ops fix_inode_ops = {
	.struct_size = sizeof(fix_inode_ops), .writepages = fix_writepages,
	.sync_metadata = fix_inode_sync, .tryget = fix_tryget, .put = fix_put,
	.folio_written = fix_folio_written,
};

/* ---- life ---- */

static struct fix *fix_open_limits(uint32_t inode_flags, int64_t size)
{
	static const struct iomap_backend_ops *const backends[] = { &made_up_backend, NULL };
	struct iomap_env_opts env_opts = { .backends = backends };
	struct iomap_cache_opts cache_opts = {
		.struct_size = sizeof(cache_opts), .bytes = 4u << 20,
	};
	struct iomap_inode_opts opts = {
		.struct_size = sizeof(opts), .ops = &fix_inode_ops, .flags = inode_flags,
		.block_bits = 12, .size = size,
	};
	struct fix *f = calloc(1, sizeof(*f));

	ck_assert_ptr_nonnull(f);
	t_env_start(&f->t, &env_opts);
	ck_assert_int_eq(iomap_ioq_new(f->t.env, NULL, &f->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(f->ioq, "madeup:", NULL, &f->bdev), 0);
	ck_assert_int_eq(iomap_cache_new(f->t.env, &cache_opts, &f->cache), 0);
	ck_assert_int_eq(iomap_volume_new(f->t.env, f->cache, &fix_volume_ops, f, &f->volume), 0);
	opts.env = f->t.env;
	opts.volume = f->volume;
	opts.bdev = f->bdev;
	ck_assert_int_eq(iomap_inode_init(&f->inode, &opts), 0);
	f->ops = (struct iomap_ops){ .struct_size = sizeof(f->ops), .iomap_begin = fix_begin,
				     .iomap_end = fix_end };
	f->map = (struct iomap){ .type = IOMAP_MAPPED, .length = 16 * BLK, .bdev = f->bdev };
	f->size = size;
	nr_limits = 0;
	return f;
}

/* What a test may change before fix_open_limits. */
static inline void fix_limits(void)
{
	made_up = (struct iomap_bdev_limits){
		.struct_size = sizeof(made_up), .size = DEV_SIZE, .caps = IOMAP_CAP_FUA,
		.logical_block = 512, .physical_block = 4096, .memory_align = 512,
		.max_segs = 64, .queue_depth = 8, .max_bytes = 1 << 20,
	};
}

static inline struct fix *fix_open(int64_t size)
{
	fix_limits();
	return fix_open_limits(0, size);
}

static void fix_close(struct fix *f)
{
	ck_assert_msg(!f->out_of_turn, "begin and end did not alternate");
	ck_assert_msg(!f->not_zero, "begin was given a map with something in it (I11)");
	ck_assert_msg(!f->other_priv, "a callback got another private pointer");
	ck_assert_uint_eq(f->nr_begun, f->nr_end);
	ck_assert_uint_eq(nr_queued, 0);
	iomap_inode_fini(&f->inode);
	iomap_volume_delete(&f->volume);
	iomap_cache_delete(&f->cache);
	iomap_bdev_close(&f->bdev);
	iomap_ioq_delete(&f->ioq);
	t_env_stop(&f->t);
	free(f);
}

static inline struct iomap_iter fix_iter(struct fix *f, int64_t pos, uint64_t len, unsigned flags)
{
	return (struct iomap_iter){ .inode = &f->inode, .pos = pos, .len = len, .flags = flags,
				    .private_data = f };
}

static inline const struct call *fix_last_end(const struct fix *f)
{
	for (unsigned i = f->nr_calls; i-- > 0;)
		if (f->calls[i].end)
			return &f->calls[i];
	ck_abort_msg("end was never called");
	return NULL;
}

/* ---- a body that does what the test tells it ---- */

struct step {			/* what the body does in its n-th run */
	uint64_t take;		/* FULL: all there is */
	int status;
	bool stale;
	int end_rc;		/* and what end will say */
};
#define FULL UINT64_MAX

static unsigned nr_bodies;

static inline void body(struct fix *f, struct iomap_iter *it, const struct step *step)
{
	nr_bodies++;
	f->end_rc = step->end_rc;
	if (step->take == FULL)
		ck_assert_int_eq(iomap_iter_advance_full(it), 0);
	else
		ck_assert_int_eq(iomap_iter_advance(it, step->take), 0);
	if (step->stale)
		it->iomap.flags |= IOMAP_F_STALE;
	it->status = step->status;
}

/* Steps, the last one for ever; the result as every operation reports it (I13). */
static inline int64_t run(struct fix *f, struct iomap_iter *it, const struct step *steps,
			  unsigned nr)
{
	int64_t start = it->pos;
	unsigned i = 0;
	int rc;

	nr_bodies = 0;
	while ((rc = iomap_iter(it, &f->ops)) > 0) {
		body(f, it, &steps[i]);
		if (i + 1 < nr)
			i++;
	}
	return it->pos > start ? it->pos - start : rc;
}

#define RUN(f, it, ...) \
	run(f, it, (const struct step[]){ __VA_ARGS__ }, \
	    sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step))

/* Maps of four blocks each, in order on the device. */
#define CHUNK (4 * BLK)
static inline void chunks(struct fix *f, int64_t pos, uint64_t len, struct iomap *map,
			  struct iomap *src)
{
	(void)len, (void)src;
	*map = f->map;
	map->offset = pos / CHUNK * CHUNK;
	map->addr = (uint64_t)map->offset % DEV_SIZE;
	map->length = CHUNK;
}

static inline struct fix *open_chunks(void)
{
	struct fix *f = fix_open(1 << 24);

	f->fill = chunks;
	return f;
}

#endif
