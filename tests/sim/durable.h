/* SPDX-License-Identifier: MIT */
/*
 * durable.h - the model client in each of the ways to make a file durable, on one device or two.
 *
 * What a test does to the file it does by steps, and the judge of the simulation is told of each;
 * of a sync only when it was good.  Power goes, somebody else reads the journal or the table, and
 * what the blocks hold that are named there is judged: each byte is what the last good sync
 * promised, or what was done to it since, and no other (O1 to O5).
 */
#ifndef DURABLE_H
#define DURABLE_H

#include "model/model.h"
#include "sim/failing.h"

#define DURABLE_DISK	(2u << 20)
#define DURABLE_BLOCKS	8u			/* of the file */
#define DURABLE_BYTES	(DURABLE_BLOCKS * PAGE)
#define DURABLE_SLOTS	16u			/* of the journal */
#define DURABLE_COMMITS	64u

struct durable_way {
	const char *name;
	bool log, no_journal, striped;
};
static const struct durable_way
	durable_one = { "one device", false, false, false },
	durable_log = { "journal elsewhere", true, false, false },
	durable_table = { "no journal", false, true, false },
	durable_striped = { "journal elsewhere, data on both", true, false, true },
	durable_striped_table = { "no journal, data on two", true, true, true };

struct durable_record {			/* what a commit says */
	int64_t size;
	struct m_block data[DURABLE_BLOCKS];
};
struct durable {
	struct failing d;
	struct iomap_sim_profile log_profile;
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	const struct durable_way *way;
	struct durable_record records[DURABLE_COMMITS];
	char what[96];			/* for who reads a failure */
	bool hurt;			/* a device may be gone: any call may fail */
	bool lost;			/* one did */
	unsigned nr_ops, nr_promises;
};

/* ---- life ---- */

static inline void durable_remember(struct m_model *m, unsigned seq)
{
	struct durable *u = m->hook_arg;

	ck_assert_uint_lt(seq, DURABLE_COMMITS);
	u->records[seq].size = u->f->disk_size;
	memcpy(u->records[seq].data, u->f->data, sizeof(u->records[seq].data));
}

/* A table that is written in place promises nothing where sectors may be shorn. */
static inline struct iomap_sim_profile durable_profile(const struct durable_way *way,
						       const char *preset)
{
	struct iomap_sim_profile profile = *iomap_sim_preset(preset);

	profile.shorn_sectors &= !way->no_journal;
	return profile;
}

/* opts: how the file works; devices and what becomes durable how are the way's. */
static inline void durable_start(struct durable *u, const struct durable_way *way, uint64_t seed,
				 const char *disk, const char *log, const struct m_opts *opts)
{
	struct iomap_sim_profile profile = durable_profile(way, disk);
	struct iomap_env_opts env = { 0 };
	struct m_opts o = *opts;

	memset(u, 0, sizeof(*u));
	u->way = way;
	u->log_profile = durable_profile(way, log);
	failing_new_of(&u->d, seed, DURABLE_DISK, &profile, way->log ? &u->log_profile : NULL);
	failing_env(&u->d, &env);
	t_env_start(&u->t, &env);
	o.dev = "sim:disk";
	o.log_dev = way->log ? "sim:log" : NULL;
	o.no_journal = way->no_journal;
	o.striped = way->striped;
	u->m = m_open(&u->t, &o);
	u->m->hook_commit = durable_remember;
	u->m->hook_arg = u;
	u->f = m_file_new(u->m);
}

static inline bool durable_off(const struct durable *u)
{
	return iomap_sim_is_off(u->d.w.sim);
}

/* ---- steps ---- */

enum durable_op { D_END, D_WRITE, D_SIZE, D_HOLE, D_ZERO, D_SPACE, D_SHARE, D_GARBAGE, D_BACK,
		  D_SYNC };
struct durable_step {
	enum durable_op op;
	int64_t pos, len;		/* SIZE: pos is the new one */
};
enum durable_kind { D_FSYNC, D_FDATASYNC, D_VOLUME, D_EVICT, D_EACH, D_KINDS };

static inline void durable_promise(struct durable *u)
{
	iomap_sim_model_sync(u->d.w.sim, 0);
	u->nr_promises++;
}

/* Behind the end, in its block: whoever had the block before. */
static inline void durable_garbage(struct durable *u)
{
	unsigned b = (unsigned)(u->f->ref_size / PAGE), at = (unsigned)(u->f->ref_size % PAGE);
	struct iomap_bdev *bdev = u->way->striped && b % 2 ? u->m->log_bdev : u->m->bdev;
	uint8_t *mem = t_buffer(PAGE, 0);

	ck_assert_int_eq(m_drop_cache(u->f), 0);
	ck_assert_int_eq(m_dev_read(bdev, u->f->data[b].addr, mem, PAGE), 0);
	memset(mem + at, 0xee, PAGE - at);
	ck_assert_int_eq(m_dev_write(bdev, u->f->data[b].addr, mem, PAGE), 0);
	ck_assert_int_eq(iomap_bdev_flush(bdev, UINT64_MAX), 0);
}

static inline int durable_write(struct durable *u, int64_t pos, int64_t len, bool zero)
{
	static uint8_t mem[DURABLE_BYTES];
	uint64_t state = ++u->nr_ops;
	int64_t n;

	ck_assert_int_le(pos + len, DURABLE_BYTES);
	for (int64_t i = 0; i < len; i++)
		mem[i] = zero ? 0 : (uint8_t)t_rand(&state);
	if (zero && pos + len > u->f->ref_size)
		len = u->f->ref_size - pos;
	ck_assert_int_eq(iomap_sim_model_write(u->d.w.sim, 0, mem, (size_t)len, (uint64_t)pos), 0);
	if (zero)
		return 0;
	n = m_write(u->f, pos, mem, (size_t)len);
	return n == len ? 0 : n < 0 ? (int)n : -EIO;
}

/* 0, or why it failed. */
static inline int durable_op(struct durable *u, const struct durable_step *s)
{
	int rc = 0;

	switch (s->op) {
	case D_WRITE:
		return durable_write(u, s->pos, s->len, false);
	case D_SIZE:
		if (s->pos > u->f->ref_size)	/* the block at the old end is written too */
			iomap_sim_model_truncate(u->d.w.sim, 0, (uint64_t)u->f->ref_size);
		rc = iomap_sim_model_truncate(u->d.w.sim, 0, (uint64_t)s->pos);
		return rc ? rc : m_truncate(u->f, s->pos);
	case D_HOLE:
		durable_write(u, s->pos, s->len, true);
		return m_hole(u->f, s->pos, s->len);
	case D_ZERO:
		durable_write(u, s->pos, s->len, true);
		return m_zero(u->f, s->pos, (uint64_t)s->len, NULL);
	case D_SPACE:
		m_preallocate(u->f, s->pos, (uint64_t)s->len, false);
		return 0;
	case D_SHARE:
		m_share(u->f);
		return 0;
	case D_GARBAGE:
		durable_garbage(u);
		return 0;
	case D_BACK:
		return m_writeback(u->f, IOMAP_WB_SYNC_NONE, 0, 0);
	default:
		return 0;
	}
}

/* The sync of that kind; of EACH the one behind each write. */
static inline int durable_sync(struct durable *u, enum durable_kind kind,
			       const struct durable_step *s)
{
	struct iomap_file *file = &u->f->file;
	int rc;

	switch (kind) {
	case D_FSYNC:
	case D_FDATASYNC:
		return iomap_file_sync(file, 0, IOMAP_MAX_POS, kind == D_FDATASYNC);
	case D_EACH:
		return iomap_file_sync(file, s->pos, s->op == D_SIZE ? IOMAP_MAX_POS :
				       s->pos + s->len, true);
	case D_EVICT:
		rc = m_evict(u->f);
		return rc ? rc : iomap_volume_sync(u->m->volume);
	default:
		return iomap_volume_sync(u->m->volume);
	}
}

/* One step, with its sync where one is due.  Where one failed nobody knows what a later sync would
 * promise. */
static inline int durable_step(struct durable *u, const struct durable_step *s,
			       enum durable_kind kind)
{
	bool sync = kind == D_EACH ? s->op <= D_ZERO : s->op == D_SYNC;
	int rc = durable_op(u, s);

	if (!rc && sync)
		rc = durable_sync(u, kind, s);
	u->lost |= rc != 0;
	if (!u->lost && sync)
		durable_promise(u);
	return rc;
}

/* Until the end, or until power goes. */
static inline void durable_steps(struct durable *u, const struct durable_step *s,
				 enum durable_kind kind)
{
	for (; s->op && !durable_off(u); s++) {
		int rc = durable_step(u, s, kind);

		ck_assert_msg(!rc || u->hurt || durable_off(u), "%s: step %d: %d", u->what,
			      s->op, rc);
	}
}

/* ---- what is found ---- */

static inline unsigned durable_last_commit(struct iomap_bdev *bdev)
{
	char *mem = (char *)t_buffer(PAGE, 0);
	unsigned last = 0, seq;

	for (unsigned i = 0; i < DURABLE_SLOTS; i++) {
		if (m_dev_read(bdev, (uint64_t)i * PAGE, mem, PAGE))
			continue;	/* it was being written */
		if (sscanf(mem, "commit %u", &seq) == 1 && seq > last && seq < DURABLE_COMMITS)
			last = seq;
	}
	return last;
}

struct durable_image {
	struct durable_record r;
	uint8_t *bytes;
};

static inline int64_t durable_read(void *arg, void *mem, size_t len, uint64_t pos)
{
	const struct durable_image *image = arg;

	if (pos >= (uint64_t)image->r.size)
		return 0;
	memcpy(mem, image->bytes + pos, len);
	return (int64_t)len;
}

static inline void durable_image_of(struct durable *u, struct durable_image *image)
{
	struct iomap_bdev *disk = u->d.w.bdev, *log = disk;
	struct durable_record *r = &image->r;

	if (u->way->log)
		ck_assert_int_eq(iomap_bdev_open(u->d.w.ioq, "sim:log", NULL, &log), 0);
	if (u->way->no_journal)
		r->size = m_table_read(disk, r->data, DURABLE_BLOCKS);
	else
		*r = u->records[durable_last_commit(log)];
	ck_assert_int_le(r->size, DURABLE_BYTES);
	memset(image->bytes, 0, DURABLE_BYTES);
	for (unsigned b = 0; b < DURABLE_BLOCKS; b++) {
		bool odd = u->way->striped && b % 2;

		if (r->data[b].type == IOMAP_MAPPED)
			world_read_what_is_left(odd ? log : disk, r->data[b].addr,
						image->bytes + b * PAGE, PAGE,
						odd ? &u->log_profile : &u->d.profile);
	}
	if (log != disk)
		iomap_bdev_close(&log);
}

/* The host is gone and power is back: what does the file hold? */
static inline void durable_judge(struct durable *u)
{
	static struct durable_image image;
	struct iomap_sim_found found = {
		.struct_size = sizeof(found), .read = durable_read, .arg = &image,
		.shorn = u->d.profile.shorn_sectors ||
			 (u->way->striped && u->log_profile.shorn_sectors) ? PAGE : 0,
	};
	int rc;

	if (!image.bytes)
		image.bytes = t_buffer(DURABLE_BYTES, 0);
	durable_image_of(u, &image);
	found.size = (uint64_t)image.r.size;
	rc = iomap_sim_judge_file(u->d.w.sim, 0, &found);
	ck_assert_msg(!rc, "%s: %s", u->what, iomap_sim_violation(u->d.w.sim));
}

/* Power goes now, if it has not gone before, and the host with it; then power is back. */
static inline void durable_cut(struct durable *u)
{
	failing_disarm(&u->d);		/* nobody fails any more but for power */
	if (!durable_off(u)) {
		ck_assert_int_eq(iomap_sim_cut_at(u->d.w.sim, 1), 0);
		t_io(u->m->bdev, IOMAP_BIO_READ, 0, t_buffer(PAGE, 0), PAGE, 0);
		if (!durable_off(u))	/* that one is gone already */
			t_io(u->m->log_bdev, IOMAP_BIO_READ, 0, t_buffer(PAGE, 0), PAGE, 0);
		ck_assert(durable_off(u));
	}
	m_file_free(&u->f);
	m_close(&u->m);
	t_env_stop(&u->t);
	failing_power_on(&u->d);
}

static inline void durable_delete(struct durable *u)
{
	if (u->way->log)
		ck_assert_int_eq(iomap_sim_hazards(u->d.w.sim, "log"), 0);
	failing_delete(&u->d);
}

static inline void durable_end(struct durable *u)
{
	durable_cut(u);
	durable_judge(u);
	durable_delete(u);
}

#endif
