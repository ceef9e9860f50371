/* SPDX-License-Identifier: MIT */
/*
 * test_files_model.c - files on a device against a model that knows what may be found.
 *
 * Random operations, power cuts and faults.  The model keeps all that a file and a name have been
 * since they were last synced.  After a cut a size has to be one of those, each logical block has
 * to be one of those, and a name has to be one of the files that it was, or gone if it was that.
 * No two writes leave the same bytes, so that each block found tells where it comes from.
 *
 * Shorn sectors: a block that was perhaps being written may be anything.  So it may where a write
 * is cut in two and each half can hurt its neighbours.
 */
#include "sim/files.h"

#define NR_NAMES	5u
#define MAX_LEN		(6u * BLOCK)
#define MAX_FILES	256u
#define NONE		(-1)
#define UNSURE		(-2)

struct state {
	uint32_t size;
	uint8_t mem[MAX_LEN];		/* zeros behind the size */
};
struct file {
	struct state *states;		/* since it was synced; the last one is now */
	unsigned nr, max;
	int fd;
};
struct name {
	int was[64];			/* since the directory was synced; the last one is now */
	unsigned nr;
};
struct model {
	struct disk d;
	const char *preset;
	uint64_t seed;
	uint32_t unit, nr_writes;
	bool shorn, faults;
	struct file files[MAX_FILES];
	unsigned nr_files;
	struct name names[NR_NAMES];
};

static const char *const texts[NR_NAMES] = { "a", "b", "c", "d", "e" };

#define must(m, condition) \
	ck_assert_msg(condition, "%s, seed %u: %s", (m)->preset, (unsigned)(m)->seed, #condition)

static uint32_t choose(struct model *m, uint32_t n)
{
	return iomap_sim_choose(m->d.sim, "op", n);
}

/* ---- what there is and was ---- */

static struct state *now(struct file *f)
{
	return &f->states[f->nr - 1];
}

static struct state *push(struct file *f)
{
	if (f->nr == f->max) {
		f->max = f->max ? 2 * f->max : 4;
		f->states = realloc(f->states, f->max * sizeof(*f->states));
	}
	if (f->nr)
		f->states[f->nr] = f->states[f->nr - 1];
	else
		memset(f->states, 0, sizeof(*f->states));
	f->nr++;
	return now(f);
}

static void only_now(struct file *f)
{
	f->states[0] = *now(f);
	f->nr = 1;
}

static int file_of(const struct name *n)
{
	return n->was[n->nr - 1];
}

static void set_name(struct model *m, struct name *n, int file)
{
	must(m, n->nr < 64);
	n->was[n->nr++] = file;
}

static void names_only_now(struct model *m)
{
	for (unsigned i = 0; i < NR_NAMES; i++) {
		m->names[i].was[0] = file_of(&m->names[i]);
		m->names[i].nr = 1;
	}
}

static int new_file(struct model *m)
{
	struct file *f = &m->files[m->nr_files];

	must(m, m->nr_files < MAX_FILES);
	*f = (struct file){ .fd = -1 };
	push(f);
	return (int)m->nr_files++;
}

static void forget_all(struct model *m)
{
	while (m->nr_files)
		free(m->files[--m->nr_files].states);
	for (unsigned i = 0; i < NR_NAMES; i++)
		m->names[i] = (struct name){ .was = { NONE }, .nr = 1 };
}

/* A file that can be reached, with a descriptor; NULL: there is none. */
static struct file *some_file(struct model *m)
{
	unsigned first = choose(m, NR_NAMES);

	if (m->nr_files && !choose(m, 4)) {		/* perhaps it has no name any more */
		struct file *f = &m->files[choose(m, m->nr_files)];

		if (f->fd >= 0)
			return f;
	}
	for (unsigned i = 0; i < NR_NAMES; i++) {
		struct name *n = &m->names[(first + i) % NR_NAMES];
		struct file *f;

		if (file_of(n) == NONE)
			continue;
		f = &m->files[file_of(n)];
		if (f->fd < 0)
			f->fd = iomap_sim_file_open(m->d.sim, "disk", texts[n - m->names], false);
		must(m, f->fd >= 0);
		return f;
	}
	return NULL;
}

/* ---- operations; power may go in any ---- */

static bool is_off(const struct model *m)
{
	return iomap_sim_is_off(m->d.sim);
}

static bool is_excused(const struct model *m, int64_t rc)
{
	return rc == -ENOSPC || m->faults;
}

static void do_create(struct model *m)
{
	struct name *n = &m->names[choose(m, NR_NAMES)];
	bool there = file_of(n) != NONE;
	int fd = iomap_sim_file_open(m->d.sim, "disk", texts[n - m->names], true);

	if (there) {
		must(m, fd == -EEXIST);
	} else if (fd >= 0 || is_off(m)) {
		set_name(m, n, new_file(m));
		m->files[file_of(n)].fd = fd;
	} else {
		must(m, is_excused(m, fd));
	}
}

static uint8_t pattern(uint32_t write, uint32_t pos)
{
	return (uint8_t)(1 + (write * 2654435761u >> 8 * (pos & 3)) % 255);
}

/* Each step may be what is found. */
static void write_model(struct model *m, struct file *f, uint32_t pos, uint32_t len)
{
	for (uint32_t at = pos; at < pos + len; at++) {
		struct state *s = at == pos || !(at % BLOCK) ? push(f) : now(f);

		s->mem[at] = pattern(m->nr_writes, at);
		if (at >= s->size)
			s->size = at + 1;
	}
}

static void do_write(struct model *m)
{
	struct file *f = some_file(m);
	uint32_t pos = choose(m, MAX_LEN), len = 1 + choose(m, 5 * BLOCK / 2);
	static uint8_t mem[MAX_LEN];
	int64_t rc;

	if (!f)
		return;
	if (!choose(m, 3))
		pos = now(f)->size;
	if (!choose(m, 3))
		pos -= pos % BLOCK;
	if (pos >= MAX_LEN)
		pos = 0;
	if (len > MAX_LEN - pos)
		len = MAX_LEN - pos;
	m->nr_writes++;
	for (uint32_t i = 0; i < len; i++)
		mem[i] = pattern(m->nr_writes, pos + i);
	rc = iomap_sim_file_pwrite(m->d.sim, f->fd, mem, len, pos);
	must(m, rc == (int64_t)len || is_off(m) || is_excused(m, rc < 0 ? rc : -ENOSPC));
	write_model(m, f, pos, is_off(m) ? len : rc < 0 ? 0 : (uint32_t)rc);
}

static void do_truncate(struct model *m)
{
	struct file *f = some_file(m);
	uint32_t size = choose(m, 3) ? choose(m, MAX_LEN) : choose(m, 6) * BLOCK;
	struct state *s;
	int rc;

	if (!f)
		return;
	rc = iomap_sim_file_truncate(m->d.sim, f->fd, size);
	must(m, !rc || is_off(m) || is_excused(m, rc));
	if (rc && !is_off(m))
		return;
	s = push(f);
	if (size < s->size)
		memset(s->mem + size, 0, MAX_LEN - size);
	s->size = size;
}

static void do_rename(struct model *m)
{
	struct name *from = &m->names[choose(m, NR_NAMES)], *to = &m->names[choose(m, NR_NAMES)];
	int file = file_of(from);
	int rc = iomap_sim_file_rename(m->d.sim, "disk", texts[from - m->names],
				       texts[to - m->names]);

	if (file == NONE) {
		must(m, rc == -ENOENT || is_off(m));
	} else if ((!rc || is_off(m)) && from != to) {
		set_name(m, to, file);
		set_name(m, from, NONE);
	} else {
		must(m, !rc || is_off(m) || is_excused(m, rc));
	}
}

static void do_unlink(struct model *m)
{
	struct name *n = &m->names[choose(m, NR_NAMES)];
	int rc = iomap_sim_file_unlink(m->d.sim, "disk", texts[n - m->names]);

	must(m, is_off(m) || rc == (file_of(n) == NONE ? -ENOENT : 0));
	if (file_of(n) != NONE)
		set_name(m, n, NONE);
}

static void do_sync(struct model *m)
{
	struct file *f = some_file(m);
	int rc = f ? iomap_sim_file_sync(m->d.sim, f->fd) : 0;

	must(m, !rc || is_off(m) || m->faults);
	if (f && !rc)
		only_now(f);
}

static void do_dir_sync(struct model *m)
{
	int rc = iomap_sim_dir_sync(m->d.sim, "disk");

	must(m, !rc || is_off(m) || m->faults);
	if (!rc)
		names_only_now(m);
}

static void do_close(struct model *m)
{
	struct file *f = some_file(m);

	if (!f)
		return;
	iomap_sim_file_close(m->d.sim, f->fd);
	f->fd = -1;
}

static void do_read(struct model *m)
{
	struct file *f = some_file(m);
	uint32_t pos = choose(m, MAX_LEN), len = choose(m, MAX_LEN), left;
	static uint8_t mem[MAX_LEN];
	int64_t rc;

	if (!f)
		return;
	left = now(f)->size > pos ? now(f)->size - pos : 0;
	rc = iomap_sim_file_pread(m->d.sim, f->fd, mem, len, pos);
	if (is_off(m))
		return;
	must(m, rc == (len < left ? len : left) || (m->faults && rc < left));
	must(m, rc < 0 || !memcmp(mem, now(f)->mem + pos, (size_t)rc));
	must(m, iomap_sim_file_size(m->d.sim, f->fd) == now(f)->size);
}

static void do_something(struct model *m)
{
	static void (*const what[])(struct model *) = {
		do_create, do_create, do_create, do_write, do_write, do_write, do_write, do_write,
		do_truncate, do_truncate, do_rename, do_unlink, do_sync, do_sync, do_dir_sync,
		do_close, do_read, do_read,
	};

	what[choose(m, sizeof(what) / sizeof(*what))](m);
}

/* ---- after a power cut ---- */

static bool had_size(const struct file *f, uint32_t size)
{
	for (unsigned i = 0; i < f->nr; i++)
		if (f->states[i].size == size)
			return true;
	return false;
}

static bool had_bytes(const struct file *f, const struct state *found, uint32_t pos, uint32_t len)
{
	for (unsigned i = 0; i < f->nr; i++)
		if (!memcmp(f->states[i].mem + pos, found->mem + pos, len))
			return true;
	return false;
}

/* A write of that block may have been on its way: it changed, or the file ended in it. */
static bool may_be_shorn(const struct model *m, const struct file *f, uint32_t pos)
{
	bool resized = false;

	if (!m->shorn)
		return false;
	pos -= pos % BLOCK;
	for (unsigned i = 1; i < f->nr; i++) {
		if (memcmp(f->states[i].mem + pos, f->states[0].mem + pos, BLOCK))
			return true;
		resized |= f->states[i].size != f->states[0].size;
	}
	for (unsigned i = 0; resized && i < f->nr; i++)
		if (f->states[i].size / BLOCK == pos / BLOCK)
			return true;
	return false;
}

static bool may_be(const struct model *m, const struct file *f, const struct state *found)
{
	if (!had_size(f, found->size))
		return false;
	for (uint32_t pos = 0; pos < found->size; pos += m->unit) {
		uint32_t left = found->size - pos, len = left < m->unit ? left : m->unit;

		if (!had_bytes(f, found, pos, len) && !may_be_shorn(m, f, pos))
			return false;
	}
	return true;
}

/* What cannot be read is as garbage. */
static void read_what_is_left(struct model *m, int fd, struct state *found)
{
	uint32_t len;

	must(m, m->shorn);
	for (uint32_t pos = 0; pos < found->size; pos += len) {
		int64_t rc;

		len = found->size - pos < m->unit ? found->size - pos : m->unit;
		rc = iomap_sim_file_pread(m->d.sim, fd, found->mem + pos, len, pos);
		must(m, rc == len || rc == -EIO);
		if (rc == -EIO)
			memset(found->mem + pos, 0xee, len);
	}
}

static void read_all(struct model *m, int fd, struct state *found)
{
	int64_t rc;

	memset(found, 0, sizeof(*found));
	if (fd == -ENOENT)
		return;
	must(m, fd >= 0);
	found->size = (uint32_t)iomap_sim_file_size(m->d.sim, fd);
	rc = iomap_sim_file_pread(m->d.sim, fd, found->mem, MAX_LEN, 0);
	if (rc != found->size)
		read_what_is_left(m, fd, found);
	iomap_sim_file_close(m->d.sim, fd);
}

/* Which file a name leads to, or NONE, or UNSURE; what was found is one that the name has been. */
static int look(struct model *m, const struct name *n, struct state *found)
{
	int fd = iomap_sim_file_open(m->d.sim, "disk", texts[n - m->names], false);
	int file = NONE;
	bool any = false;

	read_all(m, fd, found);
	for (unsigned i = 0; i < n->nr; i++) {
		int was = n->was[i];

		if (was == NONE ? fd >= 0 : fd < 0 || !may_be(m, &m->files[was], found))
			continue;
		file = any && file != was ? UNSURE : was;
		any = true;
	}
	ck_assert_msg(any, "%s, seed %u: %s is nothing that it has been", m->preset,
		      (unsigned)m->seed, texts[n - m->names]);
	return file;
}

static void power_on(struct model *m)
{
	if (!is_off(m)) {
		ck_assert_int_eq(iomap_sim_cut_at(m->d.sim, 1), 0);
		ck_assert_int_eq(iomap_sim_flush(m->d.sim, "disk"), -ENODEV);
	}
	ck_assert_int_eq(iomap_sim_fault(m->d.sim, NULL), 0);
	ck_assert_int_eq(iomap_sim_power_on(m->d.sim), 0);
}

/*
 * One file under two names, or one that is not known by its bytes, loses names until each is known;
 * from there on what was found is what there is.
 */
static void recover(struct model *m)
{
	static struct state found[NR_NAMES];
	int files[NR_NAMES];

	for (unsigned i = 0; i < NR_NAMES; i++)
		files[i] = look(m, &m->names[i], &found[i]);
	forget_all(m);
	for (unsigned i = 0; i < NR_NAMES; i++) {
		bool known = files[i] != UNSURE && !is_filled(found[i].mem, MAX_LEN, 0);
		int file;

		for (unsigned k = 0; k < i; k++)
			known &= files[k] != files[i];
		if (files[i] == NONE)
			continue;
		if (!known) {
			must(m, !iomap_sim_file_unlink(m->d.sim, "disk", texts[i]));
			continue;
		}
		file = new_file(m);
		*now(&m->files[file]) = found[i];
		set_name(m, &m->names[i], file);
	}
	must(m, !iomap_sim_dir_sync(m->d.sim, "disk"));
	names_only_now(m);
}

/* Power may go while the files are read again: that changes nothing. */
static void recover_from_cut(struct model *m)
{
	power_on(m);
	if (!choose(m, 3)) {
		ck_assert_int_eq(iomap_sim_cut_at(m->d.sim, 1 + choose(m, 6)), 0);
		iomap_sim_file_open(m->d.sim, "disk", "a", false);
		power_on(m);
	}
	recover(m);
}

static void arm_faults(struct model *m)
{
	static const char *const kinds[] = {
		"eio_write", "landed", "torn", "enospc", "lost", "flush_error", "flush_error_drops",
		"short_write", "busy", "timeout", "reordered",
	};
	char script[64];

	for (unsigned i = 0; i < 6; i++) {
		snprintf(script, sizeof(script), "at nth=%u kind=%s", 1 + choose(m, 40),
			 kinds[choose(m, 11)]);
		ck_assert_int_eq(iomap_sim_fault(m->d.sim, script), 0);
	}
}

static uint64_t story(const char *preset, uint64_t seed, bool faults)
{
	const struct iomap_sim_profile *p = iomap_sim_preset(preset);
	static struct model m;
	uint64_t digest;

	m = (struct model){ .preset = preset, .seed = seed, .unit = p->logical_block,
			    .shorn = p->shorn_sectors || (faults && !p->power_safe_overwrite),
			    .faults = faults };
	disk_new(&m.d, preset, seed, seed % 2 ? 64 : 128);
	forget_all(&m);
	ck_assert_int_eq(iomap_sim_dir_sync(m.d.sim, "disk"), 0);
	for (unsigned life = 0; life < 4; life++) {
		if (faults)
			arm_faults(&m);
		ck_assert_int_eq(iomap_sim_cut_at(m.d.sim, 1 + choose(&m, 400)), 0);
		for (unsigned i = 0; i < 40 && !is_off(&m); i++)
			do_something(&m);
		recover_from_cut(&m);
	}
	forget_all(&m);
	digest = iomap_sim_run_digest(m.d.sim);
	disk_delete(&m.d);
	return digest;
}

CASE(only_what_has_been, "O3", "Random operations, power cuts: nothing but what the model allows")
{
	for (unsigned p = 0; p < NR_PRESETS; p++)
		for (uint64_t seed = 0; seed < 40; seed++)
			story(presets[p], seed, false);
}

CASE(nor_when_writes_fail, "O3", "The same with commands that fail")
{
	for (unsigned p = 0; p < NR_PRESETS; p++)
		for (uint64_t seed = 0; seed < 40; seed++)
			story(presets[p], seed, true);
}

CASE(equal_runs_are_equal, "", "The same seed and calls: the same events, with the same data")
{
	for (uint64_t seed = 0; seed < 10; seed++)
		ck_assert_uint_eq(story("cruel", seed, seed % 2), story("cruel", seed, seed % 2));
}

MAIN()
