/* SPDX-License-Identifier: MIT */
/*
 * test_sync_faults.c - a write, a flush or a commit fails, in each way to make a file durable and
 * each kind of sync: who is told, what may be found if power goes then, and what heals.
 *
 *	what fails		sticky: a handle and the volume are told once each
 *	a write of data		yes, and the folios have failed
 *	a flush of data		yes, if the inode has written to that device since a good flush
 *	a flush of the log	no: the call fails, and the next one tries again
 *	the record, the table	no: the same
 */
#include "sim/durable.h"

static const struct durable_way *const ways[] = {
	&durable_one, &durable_log, &durable_table, &durable_striped, &durable_striped_table,
};
#define WAYS	(sizeof(ways) / sizeof(*ways))
#define SEEDS	(t_sanitized() ? 5u : 20u)	/* each preset with a cache, and more */
#define LOG	65536u				/* journal and table lie before this */

static const char *const presets[] = { "consumer", "sata512e", "multiqueue", "atomic16k", "fifo" };
#define PRESETS	5u

static const struct durable_step before[] = { { D_WRITE, 0, 4 * PAGE }, { D_SYNC, 0, 0 }, { 0 } };
/* In place, on both devices where there are two; and something to be committed. */
static const struct durable_step change[] = {
	{ D_WRITE, 100, PAGE }, { D_WRITE, 4 * PAGE, 2 * PAGE }, { D_SYNC, 0, 0 }, { 0 },
};
static const struct durable_step in_place[] = { { D_WRITE, 100, PAGE }, { D_SYNC, 0, 0 }, { 0 } };

struct story {
	struct durable u;
	struct iomap_file other;
	enum durable_kind kind;
	const char *fault;			/* the kind that struck */
};
static struct story story;

/* ---- until it fails ---- */

static struct story *story_start(unsigned way, unsigned kind, uint64_t seed)
{
	const struct m_opts opts = {
		.delalloc = seed & 1, .unwritten = seed & 2, .max_folio = PAGE << seed % 3,
	};
	struct story *s = &story;

	s->kind = kind;
	durable_start(&s->u, ways[way], seed, presets[seed % PRESETS],
		      presets[(seed + 1) % PRESETS], &opts);
	snprintf(s->u.what, sizeof(s->u.what), "%s, kind %u, seed %u", ways[way]->name, kind,
		 (unsigned)seed);
	ck_assert_int_eq(iomap_file_open(&s->other, &s->u.f->inode, 0), 0);
	durable_steps(&s->u, before, D_FSYNC);
	return s;
}

/* The first sync that fails, and it has to. */
static void strike(struct story *s, const struct durable_step *step, const char *where,
		 const char *kind)
{
	int rc = 0;

	failing_arm(&s->u.d, "at %s kind=%s", where, kind);
	for (; step->op && !rc; step++)
		rc = durable_step(&s->u, step, s->kind);
	ck_assert_msg(rc == -EIO, "%s: %d", s->u.what, rc);
	ck_assert_uint_eq(failing_fired(&s->u.d, kind), 1);
}

/* ---- who is told ---- */

static bool told_volume(const struct story *s)
{
	return s->kind == D_VOLUME || s->kind == D_EVICT;
}

static void check_once(struct story *s, struct iomap_file *file, int error)
{
	int rc = iomap_file_check_error(file);

	ck_assert_msg(rc == error, "%s: a handle is told %d", s->u.what, rc);
	ck_assert_int_eq(iomap_file_check_error(file), 0);
}

/* Each handle and the volume, once; of what sticks not even that which was told by its sync.  An
 * evict that failed has told nobody. */
static void everybody_is_told(struct story *s, bool sticky, bool by_evict)
{
	int error = sticky ? -EIO : 0, rc;
	struct iomap_file later;

	check_once(s, &s->u.f->file, told_volume(s) ? error : 0);
	check_once(s, &s->other, error);
	ck_assert_int_eq(iomap_file_open(&later, &s->u.f->inode, 0), 0);
	check_once(s, &later, 0);
	rc = iomap_volume_sync(s->u.m->volume);
	if (told_volume(s) && !(by_evict && s->kind == D_EVICT))
		error = 0;
	ck_assert_msg(rc == error, "%s: the volume is told %d", s->u.what, rc);
	ck_assert_int_eq(iomap_volume_sync(s->u.m->volume), 0);
	ck_assert_int_eq(m_sync(s->u.f), 0);	/* tells nothing, and promises nothing */
}

/* ---- and then ---- */

static void end(struct story *s)
{
	iomap_file_close(&s->other);
	durable_end(&s->u);
}

static void write_all_again(struct story *s)
{
	size_t len = (size_t)s->u.f->ref_size;
	static uint8_t mem[DURABLE_BYTES];

	memcpy(mem, s->u.f->ref, len);
	ck_assert_int_eq(m_write(s->u.f, 0, mem, len), (int64_t)len);
}

static void redirty(struct story *s)
{
	struct m_file *f = s->u.f;

	iomap_inode_lock(&f->inode, 0);
	ck_assert_int_gt(iomap_mapping_redirty_failed(&f->inode, 0, IOMAP_MAX_POS, &s->u.m->ops,
						      NULL), 0);
	iomap_inode_unlock(&f->inode);
}

/* What was written again is as good as what never failed. */
static void heal(struct story *s)
{
	ck_assert_int_eq(durable_sync(&s->u, s->kind == D_EACH ? D_FDATASYNC : s->kind, NULL), 0);
	durable_promise(&s->u);
}

static void each(void (*run)(struct story *s, uint64_t seed))
{
	for (unsigned way = 0; way < WAYS; way++)
		for (unsigned kind = 0; kind < D_KINDS; kind++)
			for (uint64_t seed = 0; seed < SEEDS; seed++)
				run(story_start(way, kind, seed), seed);
}

static void fail_write(struct story *s, uint64_t seed)
{
	char where[64];

	snprintf(where, sizeof(where), "write dev=disk addr=%u..%u", LOG, DURABLE_DISK - 1);
	strike(s, change, where, "eio_write");
	everybody_is_told(s, true, true);
	if (seed % 2) {
		redirty(s);
		heal(s);
	}
	end(s);
}

CASE(a_write_fails, "H8 H10 I165 I166 O12 O14 O15 O17 O19",
     "Told once to each; a good sync afterwards promises nothing; redirty and sync do")
{
	each(fail_write);
}

static void fail_flush(struct story *s, uint64_t seed)
{
	bool drops = seed / PRESETS % 2;

	strike(s, drops && seed % 2 == 0 ? in_place : change, "flush dev=disk",
	     drops ? "flush_error_drops" : "flush_error");
	everybody_is_told(s, true, false);
	if (seed % 2) {
		write_all_again(s);
		heal(s);
	}
	end(s);
}

CASE(a_flush_fails, "H9 H10 I165 I166 O12 O14 O15 O17",
     "The data's device: told once to each; no flush heals, writing again does")
{
	each(fail_flush);
}

static void fail_second_flush(struct story *s, uint64_t seed)
{
	if (s->u.way->striped) {
		strike(s, change, "flush dev=log", "flush_error");
		everybody_is_told(s, true, false);
		if (seed % 2) {
			write_all_again(s);
			heal(s);
		}
	}
	end(s);
}

CASE(a_flush_of_the_second_device_fails, "H9 H10 I165 I166 O12 O14 O15 O17",
     "Half of the data is there: the same")
{
	each(fail_second_flush);
}

static void fail_log(struct story *s, const char *where, const char *kind, uint64_t seed)
{
	strike(s, change, where, kind);
	everybody_is_told(s, false, false);	/* and the commit is tried again */
	if (seed % 2)
		heal(s);
	end(s);
}

static void fail_log_flush(struct story *s, uint64_t seed)
{
	if (s->u.way == &durable_log)
		fail_log(s, "flush dev=log", "flush_error", seed);
	else
		end(s);
}

CASE(a_flush_of_the_log_fails, "H9 H10 I165 I166 O12 O17",
     "No data was in its cache: the sync fails, nobody else hears of it, the next one commits")
{
	each(fail_log_flush);
}

static void fail_commit(struct story *s, uint64_t seed)
{
	char where[64];

	snprintf(where, sizeof(where), "write dev=%s addr=0..%u",
		 s->u.way->log && !s->u.way->no_journal ? "log" : "disk", LOG - 1);
	fail_log(s, where, "eio_write", seed);
}

CASE(a_commit_fails, "H10 I165 I166 O12 O17",
     "Record or table: the sync fails, the data are good, and the next sync tries it again")
{
	each(fail_commit);
}

/* ---- a client that gives up ---- */

static void shut_down(struct story *s, uint64_t seed)
{
	(void)seed;
	strike(s, change, "flush dev=disk", "flush_error_drops");
	iomap_volume_shutdown(s->u.m->volume, -EIO);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(m_sync(s->u.f), -EIO);
		ck_assert_int_eq(iomap_volume_sync(s->u.m->volume), -EIO);
	}
	ck_assert(s->kind == D_EVICT || m_content_ok(s->u.f));	/* all is cached yet */
	end(s);
}

CASE(who_gives_up_shows_nothing_foreign, "H9 I165",
     "The device forgot new blocks: no later sync commits what names them")
{
	each(shut_down);
}

MAIN()
