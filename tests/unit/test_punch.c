/* SPDX-License-Identifier: MIT */
/*
 * test_punch.c - what a short write gives back: the promises that no dirty block needs.
 */
#include "unit/one_thread.h"
#include "unit/read_table.h"

/* ---- the call by itself: the client's punch only takes note ---- */

static struct range {
	int64_t pos;
	uint64_t len;
} punched[16];
static unsigned nr_punched;

static void note(struct iomap_inode *inode, int64_t pos, uint64_t len, struct iomap *map)
{
	(void)inode;
	ck_assert_uint_eq(map->type, IOMAP_DELALLOC);
	ck_assert_uint_lt(nr_punched, 16);
	punched[nr_punched++] = (struct range){ pos, len };
}

/* In blocks; a map of [from, end). */
static void release(struct table *s, int64_t start, int64_t end, unsigned op_flags,
		    struct iomap *map)
{
	nr_punched = 0;
	iomap_inode_invalidate_lock(&s->f->inode, 0);
	iomap_write_delalloc_release(&s->f->inode, start * BLOCK, end * BLOCK, op_flags, map, note);
	iomap_inode_invalidate_unlock(&s->f->inode);
}

static struct iomap new_map(int64_t from, int64_t end)
{
	return (struct iomap){
		.type = IOMAP_DELALLOC, .flags = IOMAP_F_NEW, .addr = IOMAP_NULL_ADDR,
		.offset = from * BLOCK, .length = (uint64_t)(end - from) * BLOCK,
	};
}

static void was_punched(unsigned i, int64_t from, int64_t end)
{
	ck_assert_uint_lt(i, nr_punched);
	ck_assert_int_eq(punched[i].pos, from * BLOCK);
	ck_assert_uint_eq(punched[i].len, (uint64_t)(end - from) * BLOCK);
}

/* A file of nr folios that is one hole, and cached. */
static void holes(struct table *s, const struct m_opts *opts, unsigned nr)
{
	start(s, opts ? opts : &(struct m_opts){ .delalloc = true });
	iomap_inode_set_size(&s->f->inode, nr * FOLIO);
	s->f->ref_size = s->f->disk_size = nr * FOLIO;
	ck_assert(m_content_ok(s->f));
}

static void all_is_well(struct table *s)
{
	ck_assert(m_content_ok(s->f));
	ck_assert(m_balanced(s->m));
	ck_assert_int_eq(m_sync(s->f), 0);
	ck_assert_int_eq(s->m->nr_reserved, 0);
	ck_assert(m_device_equals_model(s->f));
	ck_assert(m_balanced(s->m));
	stop(s);
}

CASE(older_promises_are_not_touched, "I50",
     "Only a NEW map of promises is given back, and only as far as it reaches")
{
	struct iomap map = new_map(2, 6);
	struct table s;

	holes(&s, NULL, 4);
	map.flags = 0;
	release(&s, 0, 16, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 0);
	map.flags = IOMAP_F_NEW;
	map.type = IOMAP_MAPPED;
	release(&s, 0, 16, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 0);
	map.type = IOMAP_DELALLOC;
	release(&s, 0, 16, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 1);
	was_punched(0, 2, 6);
	release(&s, 6, 6, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 0);
	stop(&s);
}

CASE(dirty_blocks_keep_their_promise, "I52",
     "Every clean block of the range is punched, also between dirty ones of one folio")
{
	struct iomap map = new_map(0, 20);
	struct table s;

	holes(&s, NULL, 6);
	ck_assert_int_eq(m_fill(s.f, BLOCK, BLOCK, 1), BLOCK);
	ck_assert_int_eq(m_fill(s.f, 3 * BLOCK + 100, BLOCK, 2), BLOCK);
	ck_assert_int_eq(m_fill(s.f, 2 * FOLIO, FOLIO, 3), FOLIO);
	release(&s, 0, 18, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 4);
	was_punched(0, 0, 1);
	was_punched(1, 2, 3);
	was_punched(2, 5, 8);
	was_punched(3, 12, 18);
	release(&s, 2, 9, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 2);
	was_punched(0, 2, 3);
	was_punched(1, 5, 8);
	all_is_well(&s);
}

CASE(nothing_counts_behind_the_end, "I53",
     "Blocks behind the end of the file are punched although their folios are dirty")
{
	struct iomap map = new_map(0, 12);
	struct table s;

	holes(&s, NULL, 3);
	ck_assert_int_eq(m_fill(s.f, 0, 3 * FOLIO, 1), 3 * FOLIO);
	iomap_inode_set_size(&s.f->inode, BLOCK + 1);
	release(&s, 0, 12, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 1);
	was_punched(0, 2, 12);
	iomap_inode_set_size(&s.f->inode, FOLIO);
	release(&s, 0, 12, IOMAP_WRITE, &map);
	was_punched(0, 4, 12);
	iomap_inode_set_size(&s.f->inode, 3 * FOLIO);
	release(&s, 0, 12, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 0);
	all_is_well(&s);
}

/* ---- folios that go while they are looked at ---- */

static struct table *racing;
static unsigned nr_gone;

/* About to lock the first folio that was found: it and the next leave the mapping. */
static void lock_hook(void *arg, const char *site, unsigned rank)
{
	struct table *s = racing;

	(void)arg;
	if (!s || rank != IOMAP_RANK_FOLIO || strcmp(site, "folio"))
		return;
	racing = NULL;
	nr_gone++;
	iomap_mapping_punch(&s->f->inode, 0, 2 * FOLIO);
}

static void unlock_hook(void *arg, unsigned rank)
{
	(void)arg, (void)rank;
}

static void yield_hook(void *arg, const char *site)
{
	(void)arg, (void)site;
}

CASE(folios_that_go_meanwhile, "I56",
     "A folio that was found and is gone when it is locked has nothing dirty: on with the next")
{
	const struct iomap_sync_ops sync = {
		.struct_size = sizeof(sync), .wait = no_wait, .wake = no_wake, .self = only_self,
		.spawn = no_spawn, .join = no_join, .yield = yield_hook, .lock = lock_hook,
		.unlock = unlock_hook,
	};
	const struct iomap_env_opts env = { .struct_size = sizeof(env), .sync = &sync };
	const struct m_opts opts = { .delalloc = true, .block_bits = 10, .max_folio = FOLIO };
	struct iomap map = new_map(0, 16);
	struct table s;

	t_env_start(&s.t, &env);
	s.m = m_open(&s.t, &opts);
	s.f = m_file_new(s.m);
	s.dev = t_mem_find("model");
	ck_assert_int_eq(m_fill(s.f, 0, 3 * FOLIO, 1), 3 * FOLIO);
	nr_gone = 0;
	racing = &s;
	release(&s, 0, 16, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_gone, 1);
	ck_assert_uint_eq(nr_punched, 2);
	was_punched(0, 0, 8);
	was_punched(1, 12, 16);
	stop(&s);
}

CASE(nothing_cached_is_nothing_dirty, "I56",
     "Where no folio is, at the end or in between, the look goes on and all is punched")
{
	struct iomap map = new_map(0, 16);
	struct table s;

	holes(&s, NULL, 4);
	ck_assert_int_eq(m_drop_cache(s.f), 0);
	release(&s, 0, 16, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 1);
	was_punched(0, 0, 16);
	ck_assert_int_eq(m_fill(s.f, FOLIO, BLOCK, 1), BLOCK);
	ck_assert_int_eq(m_fill(s.f, 12 * BLOCK, BLOCK, 2), BLOCK);
	release(&s, 0, 16, IOMAP_WRITE, &map);
	ck_assert_uint_eq(nr_punched, 3);
	was_punched(0, 0, 4);
	was_punched(1, 5, 12);
	was_punched(2, 13, 16);
	all_is_well(&s);
}

/* ---- from end, by the model ---- */

/* So many bytes of the user's memory are there. */
static size_t there;

static size_t some_come(struct m_file *f, size_t at, size_t len)
{
	(void)f;
	return at >= there ? 0 : there - at < len ? there - at : len;
}

static int64_t write_short(struct table *s, int64_t pos, size_t len, size_t come)
{
	int64_t n;

	there = come;
	s->m->hook_copy = some_come;
	n = m_fill(s->f, pos, len, 99);
	s->m->hook_copy = NULL;
	return n;
}

/* How many promises the punches gave back since the log began; each was of what is asked for. */
static int64_t given_back(struct table *s)
{
	int64_t nr = 0;

	for (unsigned i = 0; i < s->m->nr_log; i++)
		if (s->m->log[i].event == M_PUNCH)
			nr += s->m->log[i].arg;
	return nr;
}

CASE(short_write_keeps_what_it_wrote, "I55 I164",
     "Given back is from the first block that nothing was written to: the next whole one")
{
	struct table s;

	holes(&s, NULL, 4);
	m_log_start(s.m);
	ck_assert_int_eq(iomap_last_written_block(&s.f->inode, 100, 2 * BLOCK), 3 * BLOCK);
	ck_assert_int_eq(iomap_last_written_block(&s.f->inode, BLOCK + 100, 0), BLOCK);
	ck_assert_int_eq(write_short(&s, 100, 2 * FOLIO, 2 * BLOCK), 2 * BLOCK);
	ck_assert_int_eq(s.m->nr_reserved, 3);
	ck_assert_int_eq(given_back(&s), 6);
	ck_assert_int_eq(write_short(&s, FOLIO + 100, 2 * FOLIO, 0), -EFAULT);
	ck_assert_int_eq(s.m->nr_reserved, 3);
	ck_assert_int_eq(given_back(&s), 15);
	all_is_well(&s);
}

/* NEW says that each promise of the map is of this begin. */
static unsigned nr_new;
static int64_t reserved_before;

static void new_is_new(struct m_file *f, int64_t pos, uint64_t len, unsigned flags,
		       struct iomap *map, struct iomap *srcmap)
{
	int64_t fresh = f->m->nr_reserved - reserved_before;

	(void)pos, (void)len, (void)srcmap;
	if (!(flags & IOMAP_WRITE))
		return;
	reserved_before = f->m->nr_reserved;
	ck_assert_int_eq(fresh * BLOCK, map->flags & IOMAP_F_NEW ? (int64_t)map->length : 0);
	nr_new += (map->flags & IOMAP_F_NEW) != 0;
}

CASE(new_and_old_are_never_one_map, "I51",
     "Over promises old and new alternately each map is of one kind")
{
	struct table s;

	holes(&s, NULL, 4);
	for (unsigned i = 1; i < 12; i += 4)
		ck_assert_int_eq(m_fill(s.f, i * BLOCK, 2 * BLOCK, i), 2 * BLOCK);
	reserved_before = s.m->nr_reserved;
	nr_new = 0;
	s.m->hook_map = new_is_new;
	ck_assert_int_eq(m_fill(s.f, 0, 3 * FOLIO, 4), 3 * FOLIO);
	ck_assert_uint_eq(nr_new, 4);
	ck_assert_int_eq(s.m->nr_reserved, 12);
	s.m->hook_map = NULL;
	all_is_well(&s);
}

/* Before end hears of it: a cleaner has allocated the whole promise, what is clean of it too. */
static int end_after_cleaner(struct iomap_inode *inode, int64_t pos, uint64_t len, int64_t written,
			     unsigned flags, struct iomap *map, struct iomap *srcmap, void *priv)
{
	ck_assert_int_eq(m_writeback(M_FILE(inode), IOMAP_WB_SYNC_ALL, 0, 0), 0);
	return m_end(inode, pos, len, written, flags, map, srcmap, priv);
}

CASE(punch_takes_promises_only, "I54",
     "What was allocated before the punch came is not its to free")
{
	struct table s;

	holes(&s, &(struct m_opts){ .delalloc = true, .unwritten = true }, 4);
	m_log_start(s.m);
	s.m->ops.iomap_end = end_after_cleaner;
	ck_assert_int_eq(write_short(&s, 0, 2 * FOLIO, 2 * BLOCK), 2 * BLOCK);
	ck_assert_uint_lt(m_log_find(s.m, M_PUNCH, 0), M_MAX_LOG);
	ck_assert_int_eq(given_back(&s), 0);
	ck_assert_int_eq(s.m->nr_allocated, 8);
	ck_assert_uint_eq(s.f->data[7].type, IOMAP_UNWRITTEN);
	s.m->ops.iomap_end = m_end;
	all_is_well(&s);
}

CASE(each_fork_gives_back_its_own, "I58",
     "A write elsewhere that fails returns the promises in the CoW fork; a hole's in the other")
{
	struct table s;

	start(&s, &(struct m_opts){ .delalloc = true, .cow = true });
	make_file(&s, 2 * FOLIO);
	m_share(s.f);
	ck_assert_int_eq(write_short(&s, BLOCK, 5 * BLOCK, BLOCK), BLOCK);
	ck_assert_int_eq(s.m->nr_reserved, 1);
	ck_assert_uint_eq(s.f->cow[1].type, IOMAP_DELALLOC);
	for (unsigned b = 2; b < 8; b++)
		ck_assert_uint_eq(s.f->cow[b].type, IOMAP_HOLE);
	ck_assert_int_eq(write_short(&s, 2 * FOLIO, 5 * BLOCK, BLOCK), BLOCK);
	ck_assert_int_eq(s.m->nr_reserved, 2);
	all_is_well(&s);
}

/* ---- under a fault ---- */

/* The fault is promised more than it asked for: two folios behind its own too. */
static int begin_ahead(struct iomap_inode *inode, int64_t pos, uint64_t len, unsigned flags,
		       struct iomap *map, struct iomap *srcmap, void *priv)
{
	if (flags & IOMAP_FAULT)
		len += 2 * FOLIO;
	return m_begin(inode, pos, len, flags, map, srcmap, priv);
}

static bool stale_once(struct iomap_inode *inode, const struct iomap *map)
{
	static unsigned asked;

	(void)inode, (void)map;
	return asked++;
}

static void inside_folio_1(struct table *s, int64_t nr)
{
	ck_assert_int_eq(given_back(s), nr);
	for (unsigned i = 0; i < s->m->nr_log; i++) {
		const struct m_log *l = &s->m->log[i];

		if (l->event != M_PUNCH)
			continue;
		ck_assert_int_ge(l->pos, FOLIO);
		ck_assert_int_le(l->pos + (int64_t)l->len, 2 * FOLIO);
	}
}

CASE(fault_gives_back_in_its_folio, "I57",
     "Promises of a fault that reach over other folios: only those of the locked one are punched")
{
	struct table s;

	holes(&s, NULL, 4);
	s.m->ops.iomap_begin = begin_ahead;
	s.m->write_ops.iomap_valid = stale_once;
	m_log_start(s.m);
	ck_assert_int_eq(m_store(s.f, FOLIO + 100, "fault", 5), 0);
	inside_folio_1(&s, 4);			/* of the stale map; of the good one nothing */
	ck_assert_int_eq(s.m->nr_reserved, 12);
	/* and in no fault there is no folio to be inside of */
	ck_assert_int_eq(m_fill(s.f, 2 * FOLIO, 2 * FOLIO, 1), 2 * FOLIO);
	nr_punched = 0;
	iomap_write_delalloc_release(&s.f->inode, 0, 4 * FOLIO, IOMAP_WRITE | IOMAP_FAULT,
				     &(struct iomap){ .type = IOMAP_DELALLOC, .length = 4 * FOLIO,
						      .flags = IOMAP_F_NEW }, note);
	ck_assert_uint_eq(nr_punched, 0);
	all_is_well(&s);
}

CASE(fault_that_fails_later, "O36",
     "The third end of a fault fails: each promise is under a dirty block, and none is lost")
{
	struct table s;

	holes(&s, &(struct m_opts){ .delalloc = true, .chunk = BLOCK }, 1);
	ck_assert_int_eq(m_fill(s.f, BLOCK, BLOCK, 1), BLOCK);
	s.m->fail_end = (struct m_fault){ .nth = 3, .error = -EIO };
	ck_assert_int_eq(m_store(s.f, 10, "fault", 5), -EIO);
	ck_assert_int_eq(s.m->nr_reserved, 3);	/* each under a dirty block */
	all_is_well(&s);
}

MAIN()
