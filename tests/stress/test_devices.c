/* SPDX-License-Identifier: MIT */
/*
 * test_devices.c - one file, four threads that do everything, devices of the kernel's.
 *
 * The front of the file are records.  Each has one thread that changes it, through write or through
 * a mapping, so that neighbours in one block have different masters; each of its words says which
 * record and which version it is.  They are read without the I/O lock: a word may be of any version
 * between the last that was there before and the last that was begun meanwhile.  Their bytes are
 * copied in atomic words, for such a reader copies what a writer changes.
 *
 * The rest belongs to the model, which knows each byte: it is cut, extended, punched, zeroed.
 *
 * The cache is smaller than the file.  In the end the device has what all of them have left, and
 * the cache finds it there.
 */
#include "harness/devices.h"
#include "harness/thread.h"
#include "model/model.h"

#define NR_THREADS	4u
#define RECORD		256u
#define WORDS		(RECORD / 8)
#define NR_RECORDS	256u
#define RECORDS_BYTES	(NR_RECORDS * RECORD)
#define FILE_BYTES	(384u << 10)	/* as much as it may grow to */
#define ROUNDS		(t_sanitized() ? 150u : 400u)

struct record {
	uint32_t begun, done;		/* versions, atomic */
};
struct house {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct record records[NR_RECORDS];
	unsigned nr_again;		/* stores that had to read first; atomic */
	unsigned nr_stored, nr_seen;	/* atomic */
};
static struct house house;

struct worker {
	pthread_t thread;
	struct iomap_file file;
	uint64_t seed;
	unsigned me;
	_Alignas(8) uint8_t buf[FILE_BYTES];
};

static unsigned draw(struct worker *w, unsigned n)
{
	return (unsigned)(t_rand(&w->seed) % n);
}

static int64_t place(struct worker *w)
{
	return RECORDS_BYTES + draw(w, FILE_BYTES - RECORDS_BYTES);
}

static void count(unsigned *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_RELAXED);
}

/* ---- records ---- */

static uint64_t word_of(unsigned r, uint32_t version)
{
	return (uint64_t)r << 32 | version;
}

static void copy_words(uint64_t *to, const uint64_t *from, size_t len)
{
	ck_assert_uint_eq(((uintptr_t)to | (uintptr_t)from | len) % 8, 0);
	for (size_t i = 0; i < len / 8; i++)
		__atomic_store_n(&to[i], __atomic_load_n(&from[i], __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
}

static size_t copy_atomic(struct iomap_data *data, void *mem, size_t len, bool to_user)
{
	char *user = (char *)data->iov->iov_base + (data->total - data->left);

	if (to_user)
		copy_words((uint64_t *)(void *)user, mem, len);
	else
		copy_words(mem, (uint64_t *)(void *)user, len);
	return len;
}

static const struct iomap_data_ops atomic_words = {
	.struct_size = sizeof(atomic_words), .copy = copy_atomic,
};

static void begin_data(struct worker *w, unsigned r, size_t len, struct iovec *iov,
		       struct iomap_req *req, struct iomap_data *data)
{
	*iov = (struct iovec){ w->buf, len };
	*req = (struct iomap_req){ .file = &w->file, .pos = (int64_t)r * RECORD };
	iomap_data_init(data, iov, 1);
	data->ops = &atomic_words;
}

/* Whoever changes them goes on.  Kept out is who takes space away, for what is read ahead may be
 * anyone's, and, where new space is not zeros, who brings some. */
static void lock_for_read(bool lock)
{
	const struct m_opts *o = &house.m->opts;
	struct iomap_inode *inode = &house.f->inode;
	bool zeros = o->delalloc || o->unwritten || o->anon;

	if (lock && zeros)
		iomap_inode_invalidate_lock(inode, IOMAP_LOCK_SHARED);
	else if (lock)
		iomap_inode_lock(inode, IOMAP_LOCK_SHARED);
	else if (zeros)
		iomap_inode_invalidate_unlock(inode);
	else
		iomap_inode_unlock(inode);
}

static void read_records(struct worker *w, unsigned r, unsigned nr)
{
	uint32_t least[NR_RECORDS];
	struct iomap_data data;
	struct iomap_req req;
	struct iovec iov;

	for (unsigned i = 0; i < nr; i++)
		least[i] = __atomic_load_n(&house.records[r + i].done, __ATOMIC_ACQUIRE);
	begin_data(w, r, nr * RECORD, &iov, &req, &data);
	lock_for_read(true);
	ck_assert_int_eq(iomap_file_buffered_read(&req, &data, &house.m->ops, NULL, NULL),
			 nr * RECORD);
	lock_for_read(false);
	for (unsigned i = 0; i < nr * WORDS; i++) {
		uint64_t word = ((const uint64_t *)(const void *)w->buf)[i];
		unsigned at = r + i / WORDS;
		uint32_t most = __atomic_load_n(&house.records[at].begun, __ATOMIC_ACQUIRE);

		ck_assert_msg(word >> 32 == at && (uint32_t)word >= least[i / WORDS] &&
			      (uint32_t)word <= most,
			      "record %u, word %u: %#llx, must be version %u to %u", at, i % WORDS,
			      (unsigned long long)word, least[i / WORDS], most);
	}
	count(&house.nr_seen);
}

static void fill_record(uint64_t *words, unsigned r, uint32_t version)
{
	for (unsigned i = 0; i < WORDS; i++)
		words[i] = word_of(r, version);
}

static void write_record(struct worker *w, unsigned r, uint32_t version)
{
	struct iomap_data data;
	struct iomap_req req;
	struct iovec iov;
	int64_t n;

	fill_record((uint64_t *)(void *)w->buf, r, version);
	begin_data(w, r, RECORD, &iov, &req, &data);
	req.flags = draw(w, 4) ? 0 : IOMAP_REQ_DONTCACHE;
	iomap_inode_lock(&house.f->inode, 0);
	n = iomap_file_buffered_write(&req, &data, &house.m->ops, &house.m->write_ops, NULL);
	iomap_inode_unlock(&house.f->inode);
	ck_assert_int_eq(n, RECORD);
}

/* As a fault and the stores after it; before the folio is unlocked nothing takes it away. */
static int store_record(unsigned r, uint32_t version)
{
	struct iomap_inode *inode = &house.f->inode;
	int64_t pos = (int64_t)r * RECORD;
	struct iomap_folio *folio;
	uint64_t words[WORDS];
	int rc;

	fill_record(words, r, version);
	iomap_inode_invalidate_lock(inode, IOMAP_LOCK_SHARED);
	rc = iomap_page_mkwrite(inode, pos, &house.m->ops, &house.m->write_ops, NULL, &folio);
	if (!rc) {
		copy_words((uint64_t *)(void *)((char *)folio->mem + (pos - folio->pos)), words,
			   RECORD);
		iomap_folio_unlock(folio);
		iomap_folio_put(folio);
	}
	iomap_inode_invalidate_unlock(inode);
	return rc;
}

static void change_record(struct worker *w)
{
	unsigned r = draw(w, NR_RECORDS / NR_THREADS) * NR_THREADS + w->me;
	uint32_t version = __atomic_add_fetch(&house.records[r].begun, 1, __ATOMIC_RELEASE);
	int rc;

	if (draw(w, 2)) {
		write_record(w, r, version);
	} else {
		while ((rc = store_record(r, version)) == -EAGAIN) {
			count(&house.nr_again);
			read_records(w, r, 1);
		}
		ck_assert_int_eq(rc, 0);
		count(&house.nr_stored);
	}
	__atomic_store_n(&house.records[r].done, version, __ATOMIC_RELEASE);
}

/* ---- what a thread does ---- */

static void look_at_records(struct worker *w)
{
	unsigned r = draw(w, NR_RECORDS), nr = 1 + draw(w, 64);

	read_records(w, r, nr < NR_RECORDS - r ? nr : NR_RECORDS - r);
}

static void write_some(struct worker *w)
{
	size_t len = 1 + draw(w, 20000);
	int64_t pos = place(w), n;

	if (len > (size_t)(FILE_BYTES - pos))
		len = (size_t)(FILE_BYTES - pos);
	if (draw(w, 3)) {
		ck_assert_int_eq(m_fill(house.f, pos, len, (unsigned)w->seed), (int64_t)len);
		return;
	}
	memset(w->buf, (int)draw(w, 256), len);
	if (draw(w, 2)) {
		ck_assert_int_eq(m_write_flags(house.f, pos, w->buf, len, IOMAP_REQ_DONTCACHE),
				 (int64_t)len);
		return;
	}
	n = m_write_flags(house.f, pos, w->buf, len, IOMAP_REQ_NOWAIT);
	ck_assert_msg(n == -EAGAIN || n > 0, "%lld", (long long)n);
}

static void read_some(struct worker *w)
{
	ck_assert_int_ge(m_read(house.f, place(w), w->buf, 1 + draw(w, 40000)), 0);
}

static void read_ahead(struct worker *w)
{
	int64_t pos = place(w) & ~(int64_t)4095;
	uint64_t len = 16384;

	iomap_inode_lock(&house.f->inode, IOMAP_LOCK_SHARED);
	iomap_readahead(&house.f->inode, &pos, &len, &house.m->ops, NULL, NULL);
	iomap_inode_unlock(&house.f->inode);
}

static void cut_or_extend(struct worker *w)
{
	ck_assert_int_eq(m_truncate(house.f, place(w)), 0);
}

static void punch(struct worker *w)
{
	ck_assert_int_eq(m_hole(house.f, place(w), 1 + draw(w, 40000)), 0);
}

static void zero(struct worker *w)
{
	ck_assert_int_eq(m_zero(house.f, place(w), draw(w, 40000), NULL), 0);
}

static void share_or_unshare(struct worker *w)
{
	if (house.m->opts.cow && !draw(w, 4))
		m_share(house.f);
	else
		ck_assert_int_eq(m_unshare(house.f, draw(w, FILE_BYTES), 1 + draw(w, 60000)), 0);
}

static void write_back(struct worker *w)
{
	struct iomap_writeback_control wbc = {
		.struct_size = sizeof(wbc), .bytes_to_write = 4096 + draw(w, 65536),
		.sync_mode = IOMAP_WB_SYNC_NONE, .flags = draw(w, 2) ? IOMAP_WB_CYCLIC : 0,
	};
	struct iomap_inode *inode = &house.f->inode;
	int64_t pos = draw(w, FILE_BYTES);

	if (draw(w, 3))
		ck_assert_int_eq(inode->ops->writepages(inode, &wbc), 0);
	else
		ck_assert_int_eq(iomap_mapping_write_and_wait_range(inode, pos, pos + 30000), 0);
}

static void sync_file(struct worker *w)
{
	if (draw(w, 4))
		ck_assert_int_eq(iomap_file_sync(&w->file, 0, IOMAP_MAX_POS, draw(w, 2)), 0);
	else
		ck_assert_int_eq(iomap_volume_sync(house.m->volume), 0);
}

static void reclaim(struct worker *w)
{
	struct iomap_inode *inode = &house.f->inode;
	int rc;

	if (draw(w, 2)) {
		iomap_cache_reclaim(house.m->cache, 4096 + draw(w, 65536));
		return;
	}
	iomap_inode_invalidate_lock(inode, 0);
	rc = iomap_mapping_invalidate_range(inode, draw(w, FILE_BYTES), IOMAP_MAX_POS);
	iomap_inode_invalidate_unlock(inode);
	ck_assert(!rc || rc == -EBUSY);
}

static void ask(struct worker *w)
{
	struct m_extents all = { .max = 0 };

	ck_assert_int_eq(m_fiemap(house.f, 0, FILE_BYTES, draw(w, 2), &all), 0);
	/* the model forgets a promise before what is written in its place is there */
	if (!house.m->opts.anon)
		ck_assert_int_ge(m_seek_data(house.f, draw(w, RECORDS_BYTES)), 0);
	ck_assert_int_ge(m_seek_hole(house.f, draw(w, RECORDS_BYTES)), 0);
}

/* As often as they stand here. */
static void (*const deeds[])(struct worker *w) = {
	change_record, change_record, change_record, change_record, look_at_records,
	look_at_records, write_some, write_some, read_some, read_ahead, cut_or_extend, punch,
	zero, share_or_unshare, write_back, write_back, sync_file, reclaim, reclaim, ask,
};
#define NR_DEEDS (sizeof(deeds) / sizeof(deeds[0]))

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < ROUNDS; i++)
		deeds[draw(w, NR_DEEDS)](w);
	return NULL;
}

/* ---- all together ---- */

/* A file of records, and room for the rest; more space than the file and what a snapshot keeps. */
static void open_all(const char *spec, const struct m_opts *opts, unsigned threads)
{
	const struct iomap_ioq_opts ioq = {
		.struct_size = sizeof(ioq), .threads = (uint16_t)threads,
	};
	struct m_opts o = *opts;

	o.dev = spec;
	o.ioq = &ioq;
	o.cache_bytes = 256 << 10;
	o.max_folio = 16384;
#ifdef __SANITIZE_THREAD__	/* else the device copies what a writer changes */
	o.inode_flags |= IOMAP_INODE_STABLE;
#endif
	memset(&house, 0, sizeof(house));
	t_env_start(&house.t, NULL);
	house.m = m_open(&house.t, &o);
	house.m->opts.ioq = NULL;
	house.f = m_file_new(house.m);
	for (unsigned r = 0; r < NR_RECORDS; r++) {
		uint64_t words[WORDS];

		fill_record(words, r, 0);
		ck_assert_int_eq(m_write(house.f, (int64_t)r * RECORD, words, RECORD), RECORD);
	}
}

/* The model knows of the records only now. */
static void learn_records(void)
{
	for (unsigned r = 0; r < NR_RECORDS; r++) {
		ck_assert_uint_eq(house.records[r].begun, house.records[r].done);
		fill_record((uint64_t *)(void *)(house.f->ref + r * RECORD), r,
			    house.records[r].done);
	}
}

static void judge(void)
{
	struct m_file *f = house.f;

	learn_records();
	ck_assert_uint_gt(house.nr_stored, 0);
	ck_assert_uint_gt(house.nr_again, 0);
	ck_assert_uint_gt(house.nr_seen, 0);
	ck_assert(m_content_ok(f));
	ck_assert_int_eq(m_evict(f), 0);
	ck_assert_int_eq(house.m->nr_reserved, 0);
	ck_assert(m_content_ok(f));
	ck_assert(m_balanced(house.m));
	ck_assert_int_eq(m_sync(f), 0);
	ck_assert(m_device_equals_model(f));
	ck_assert_uint_eq(house.t.nr_reports, 0);
}

static void run_one(const char *spec, const struct m_opts *opts, unsigned threads)
{
	struct worker *workers = calloc(NR_THREADS, sizeof(*workers));

	ck_assert_ptr_nonnull(workers);
	open_all(spec, opts, threads);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		workers[i].me = i;
		workers[i].seed = i + 1;
		ck_assert_int_eq(iomap_file_open(&workers[i].file, &house.f->inode, 0), 0);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		workers[i].thread = t_thread(work, &workers[i]);
	for (unsigned i = 0; i < NR_THREADS; i++)
		t_join_within(workers[i].thread, 50);
	for (unsigned i = 0; i < NR_THREADS; i++)
		iomap_file_close(&workers[i].file);
	judge();
	m_file_free(&house.f);
	ck_assert_int_eq(house.m->nr_allocated, house.m->nr_snapshot);
	m_close(&house.m);
	t_env_stop(&house.t);
	free(workers);
}

/* Blocks smaller than the device's are left out. */
static void run_all(const char *spec, unsigned threads, unsigned least_bits)
{
	static const struct m_opts clients[] = {
		{ .block_bits = 9, .delalloc = true, .unwritten = true, .batch = true },
		{ .block_bits = 12, .delalloc = true, .unwritten = true },
		{ .block_bits = 12, .delalloc = true, .cow = true },
		{ .block_bits = 10, .unwritten = true, .cow = true, .chunk = 8192, .gap = 1 },
		{ .block_bits = 12, .anon = true, .inode_flags = IOMAP_INODE_STABLE },
		{ .block_bits = 13 },
	};

	for (unsigned i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		if (clients[i].block_bits >= least_bits)
			run_one(spec, &clients[i], threads);
}

static void over(enum t_device_kind kind, unsigned threads)
{
	char spec[256];

	if (t_device_spec(kind, spec, sizeof(spec)))
		run_all(spec, threads, 9);
	t_temp_remove();
}

CASE_TIMEOUT(over_file, "I164",
	     "Four threads do everything to one file, its device is read and written in place", 60)
{
	over(T_FILE, 0);
}

CASE_TIMEOUT(over_file_by_threads, "I164", "The same by three threads of the device's own", 60)
{
	over(T_THREAD, 3);
}

CASE_TIMEOUT(over_aio, "I164", "The same by asynchronous I/O of the kernel", 60)
{
	over(T_AIO, 0);
}

CASE_TIMEOUT(over_uring, "I164", "The same by a ring", 60)
{
	over(T_URING, 0);
}

CASE_TIMEOUT(over_a_block_device, "I164", "The same by a ring over a block device", 60)
{
	struct t_loop loop;
	struct t_device d;
	char spec[64];

	if (t_loop_start(&loop, T_DEVICE_BYTES, 4096))
		return;
	snprintf(spec, sizeof(spec), "uring:%s", loop.path);
	if (!t_device_try(&d, T_URING, loop.path, 0)) {
		t_device_stop(&d);
		run_all(spec, 0, 12);
	} else {
		t_device_stop(&d);
	}
	t_loop_stop(&loop);
}

MAIN()
