/* SPDX-License-Identifier: MIT */
/*
 * test_cache.c - one small cache, two files, four threads that do everything at once.
 *
 * The client has no device: begin says HOLE, so what is read is zeros, and its writeback hands each
 * range to a fifth thread, which ends it a little later, now and then with an error.  Each page
 * that a thread makes dirty is stamped with its file and number, so memory that two folios believe
 * to be theirs shows; and TSan watches.
 */
#include "harness/harness.h"
#include "harness/thread.h"

#define PAGE		4096
#define FILE_PAGES	512
#define CACHE_PAGES	160
#define NR_THREADS	4
#define NR_FILES	2
#define OPS		20000
#define RING		4096

struct range {
	struct iomap_inode *inode;
	struct iomap_folio *folio;
	uint64_t len;
};

/* Ranges on their way to the fifth thread. */
struct device {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct range ring[RING];
	unsigned head, tail;
	bool stop;
};

struct file {
	struct iomap_inode inode;
	struct stress *stress;
	uint64_t number;
	uint64_t refs;			/* atomic */
};

struct stress {
	struct t_env t;
	struct iomap_cache *cache;
	struct iomap_volume *volume;
	struct device device;
	struct file files[NR_FILES];
	unsigned nr_strange, nr_dirtied, nr_enomem;	/* atomic */
};

static struct file *file_of(struct iomap_inode *inode)
{
	return iomap_container_of(inode, struct file, inode);
}

/* ---- the client ---- */

static int begin_hole(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		      struct iomap *map, struct iomap *srcmap, void *priv)
{
	(void)inode;
	(void)flags;
	(void)srcmap;
	(void)priv;
	map->type = IOMAP_HOLE;
	map->addr = IOMAP_NULL_ADDR;
	map->offset = pos & ~(int64_t)(PAGE - 1);
	map->length = (len + 2 * PAGE) & ~(uint64_t)(PAGE - 1);
	return 0;
}

static const struct iomap_ops read_ops = {
	.struct_size = sizeof(read_ops), .iomap_begin = begin_hole,
};

static int64_t hand_over(struct iomap_writeback_ctx *wpc, struct iomap_folio *folio, int64_t pos,
			 uint64_t len, int64_t end_pos)
{
	struct device *d = &file_of(wpc->inode)->stress->device;

	(void)pos;
	(void)end_pos;
	wpc->iomap.type = IOMAP_MAPPED;
	pthread_mutex_lock(&d->lock);
	while (d->tail - d->head == RING)
		pthread_cond_wait(&d->changed, &d->lock);
	d->ring[d->tail++ % RING] = (struct range){ wpc->inode, folio, len };
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return (int64_t)len;
}

static int no_context(struct iomap_writeback_ctx *wpc, void *wb_ctx, int error)
{
	(void)wpc;
	(void)wb_ctx;
	return error;
}

static const struct iomap_writeback_ops wb_ops = {
	.struct_size = sizeof(wb_ops), .writeback_range = hand_over,
	.writeback_submit = no_context,
};

static int writepages(struct iomap_inode *inode, struct iomap_writeback_control *wbc)
{
	struct iomap_writeback_ctx wpc = { .inode = inode, .wbc = wbc, .ops = &wb_ops };

	return iomap_writepages(&wpc);
}

static int sync_metadata(struct iomap_inode *inode, int64_t start, int64_t end, bool datasync,
			 bool *flushed)
{
	(void)inode;
	(void)start;
	(void)end;
	(void)datasync;
	*flushed = true;
	return 0;
}

static int sync_volume(struct iomap_volume *volume, bool *flushed)
{
	(void)volume;
	*flushed = true;
	return 0;
}

static bool tryget(struct iomap_inode *inode)
{
	__atomic_add_fetch(&file_of(inode)->refs, 1, __ATOMIC_RELAXED);
	return true;
}

static void put(struct iomap_inode *inode)
{
	__atomic_sub_fetch(&file_of(inode)->refs, 1, __ATOMIC_RELAXED);
}

static const struct iomap_inode_ops inode_ops = {
	.struct_size = sizeof(inode_ops), .writepages = writepages,
	.sync_metadata = sync_metadata, .tryget = tryget, .put = put,
};
static const struct iomap_volume_ops volume_ops = {
	.struct_size = sizeof(volume_ops), .sync_metadata = sync_volume,
};

static void *run_device(void *arg)
{
	struct device *d = arg;
	uint64_t nr = 0;

	pthread_mutex_lock(&d->lock);
	while (!d->stop || d->head != d->tail) {
		struct range r;

		if (d->head == d->tail) {
			pthread_cond_wait(&d->changed, &d->lock);
			continue;
		}
		r = d->ring[d->head++ % RING];
		pthread_cond_broadcast(&d->changed);
		pthread_mutex_unlock(&d->lock);
		iomap_finish_folio_write(r.inode, r.folio, r.len, ++nr % 50 ? 0 : -EIO);
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* ---- what the threads do ---- */

static uint64_t stamp_of(const struct file *file, int64_t pos)
{
	return file->number << 32 | (uint64_t)pos / PAGE;
}

/* Locked: each page is zero, or carries its own stamp at both ends. */
static bool is_sane(const struct file *file, const struct iomap_folio *folio)
{
	for (uint32_t off = 0; off < folio->size; off += PAGE) {
		const char *mem = (const char *)folio->mem + off;
		uint64_t first, last, want = stamp_of(file, folio->pos + off);

		memcpy(&first, mem, 8);
		memcpy(&last, mem + PAGE - 8, 8);
		if (first != last || (first && first != want))
			return false;
	}
	return true;
}

static void stamp(const struct file *file, struct iomap_folio *folio, uint32_t off)
{
	uint64_t value = stamp_of(file, folio->pos + off);

	memcpy((char *)folio->mem + off, &value, 8);
	memcpy((char *)folio->mem + off + PAGE - 8, &value, 8);
}

/* Locked, uptodate and still in the file; NULL: not this time. */
static struct iomap_folio *get_uptodate(struct file *file, int64_t pos, uint64_t len,
					unsigned flags)
{
	struct iomap_folio *folio;
	int rc = iomap_mapping_get_folio(&file->inode, pos, len, flags, &folio);

	if (rc) {
		if (rc == -ENOMEM)
			__atomic_add_fetch(&file->stress->nr_enomem, 1, __ATOMIC_RELAXED);
		else if (rc != -EAGAIN && rc != -ENOENT)
			__atomic_add_fetch(&file->stress->nr_strange, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	if (!(iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE)) {
		iomap_read_folio(folio, &read_ops, NULL, NULL);
		iomap_folio_lock(folio);
	}
	if (folio->inode == &file->inode && iomap_folio_flags(folio) & IOMAP_FOLIO_UPTODATE)
		return folio;
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
	return NULL;
}

static void look_or_dirty(struct file *file, uint64_t r, bool dirty)
{
	int64_t pos = (int64_t)(r % FILE_PAGES * PAGE);
	uint64_t len = (1 + (r >> 16) % 16) * PAGE;
	unsigned flags = dirty ? IOMAP_WRITE : (r >> 24) % 4 ? IOMAP_WRITE : 0;
	struct iomap_folio *folio;

	flags |= (r >> 28) % 8 ? 0 : IOMAP_NOWAIT;
	flags |= (r >> 32) % 8 ? 0 : IOMAP_DONTCACHE;
	if (dirty && iomap_cache_balance(file->stress->cache, len, flags & IOMAP_NOWAIT))
		return;
	folio = get_uptodate(file, pos, len, flags);
	if (!folio)
		return;
	if (!is_sane(file, folio))
		__atomic_add_fetch(&file->stress->nr_strange, 1, __ATOMIC_RELAXED);
	if (dirty) {
		uint32_t off = (uint32_t)(r >> 36) % (folio->size / PAGE) * PAGE;

		stamp(file, folio, off);
		iomap_folio_mark_dirty(folio, off, PAGE);
		__atomic_add_fetch(&file->stress->nr_dirtied, 1, __ATOMIC_RELAXED);
	}
	iomap_folio_unlock(folio);
	iomap_folio_put(folio);
}

static void drop_some(struct file *file, uint64_t r)
{
	int64_t start = (int64_t)(r % FILE_PAGES * PAGE);
	int64_t end = start + (int64_t)((r >> 16) % 64 * PAGE);

	iomap_inode_invalidate_lock(&file->inode, 0);
	switch ((r >> 24) % 4) {
	case 0:
		iomap_mapping_truncate(&file->inode, start);
		break;
	case 1:
		iomap_mapping_punch(&file->inode, start, end);
		break;
	case 2:
		iomap_mapping_invalidate_range(&file->inode, start, end);
		break;
	default:
		iomap_mapping_forget_failed(&file->inode, 0, IOMAP_MAX_POS);
	}
	iomap_inode_invalidate_unlock(&file->inode);
}

struct worker {
	struct stress *stress;
	uint64_t seed;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < OPS; i++) {
		uint64_t r = t_rand(&w->seed);
		struct file *file = &w->stress->files[r % NR_FILES];
		int64_t start = (int64_t)((r >> 40) % FILE_PAGES * PAGE);

		r >>= 1;
		switch (r % 64) {
		case 0: case 1:
			drop_some(file, r >> 6);
			break;
		case 2:
			iomap_mapping_write_and_wait_range(&file->inode, start,
							   start + 32 * PAGE);
			break;
		case 3:
			iomap_mapping_wait_range(&file->inode, start, IOMAP_MAX_POS);
			break;
		case 4:
			iomap_cache_reclaim(w->stress->cache, 8 * PAGE);
			break;
		default:
			look_or_dirty(file, r >> 6, r % 64 < 36);
		}
	}
	return NULL;
}

static void start(struct stress *s)
{
	struct iomap_cache_opts opts = {
		.struct_size = sizeof(opts), .bytes = CACHE_PAGES * PAGE,
		.dirty_limit = 48 * PAGE, .background_limit = 24 * PAGE,
	};

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->device.lock, NULL);
	pthread_cond_init(&s->device.changed, NULL);
	t_env_start(&s->t, NULL);
	ck_assert_int_eq(iomap_cache_new(s->t.env, &opts, &s->cache), 0);
	ck_assert_int_eq(iomap_volume_new(s->t.env, s->cache, &volume_ops, NULL, &s->volume), 0);
	for (unsigned i = 0; i < NR_FILES; i++) {
		struct iomap_inode_opts inode_opts = {
			.struct_size = sizeof(inode_opts), .ops = &inode_ops, .volume = s->volume,
			.block_bits = 12, .size = FILE_PAGES * PAGE,
		};

		s->files[i].stress = s;
		s->files[i].number = i + 1;
		ck_assert_int_eq(iomap_inode_init(&s->files[i].inode, &inode_opts), 0);
	}
}

static void stop(struct stress *s)
{
	struct iomap_cache_stats stats = { .struct_size = sizeof(stats) };

	for (unsigned i = 0; i < NR_FILES; i++) {
		ck_assert_int_eq(iomap_inode_evict(&s->files[i].inode, IOMAP_EVICT_DISCARD, NULL),
				 0);
		ck_assert_uint_eq(s->files[i].refs, 0);
		iomap_inode_fini(&s->files[i].inode);
	}
	iomap_cache_stats(s->cache, &stats);
	ck_assert_uint_eq(stats.bytes, 0);
	ck_assert_uint_eq(stats.dirty, 0);
	ck_assert_uint_eq(stats.writeback, 0);
	ck_assert_uint_eq(stats.failed, 0);
	ck_assert_uint_gt(stats.reclaimed, 0);
	iomap_volume_delete(&s->volume);
	iomap_cache_delete(&s->cache);
	t_env_stop(&s->t);
}

CASE_TIMEOUT(everything_at_once, "",
     "Get, dirty, write, wait, reclaim, truncate and invalidate on four threads: no folio's "
     "memory is another's", 20)
{
	static struct stress s;
	struct worker workers[NR_THREADS];
	pthread_t threads[NR_THREADS], device;

	start(&s);
	device = t_thread(run_device, &s.device);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		workers[i] = (struct worker){ &s, i };
		threads[i] = t_thread(work, &workers[i]);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		t_join_within(threads[i], 15);
	pthread_mutex_lock(&s.device.lock);
	s.device.stop = true;
	pthread_cond_broadcast(&s.device.changed);
	pthread_mutex_unlock(&s.device.lock);
	t_join(device);
	ck_assert_uint_eq(s.nr_strange, 0);
	ck_assert_uint_gt(s.nr_dirtied, 100);
	stop(&s);
}
MAIN()
