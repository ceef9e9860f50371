/* SPDX-License-Identifier: MIT */
/*
 * test_oracle_files.c - files that are judged by what work has told about them.
 *
 * Two files, random writes, new sizes and syncs, power that goes anywhere.  The engine is the file
 * layer; with a bug it does something else than it was told, in one way that one oracle has to see.
 */
#include "sim/files.h"

enum bug { NONE, NO_SYNC, WRONG_BYTES, DIRTY_HOLE, DIRTY_TAIL, TOO_LONG, LOST_FILE };

#define NR_FILES	2u
#define MAX_BYTES	(5u * BLOCK)

struct engine {
	enum bug bug;
	bool shorn;
	uint32_t nr_writes;
	uint64_t size[NR_FILES];
};
struct found {
	struct iomap_sim *sim;
	int fd;
};

static const char *const names[NR_FILES] = { "a", "b" };

/* ---- the engine ---- */

static int put(struct iomap_sim *sim, int fd, uint8_t byte, uint64_t pos, size_t len)
{
	uint8_t mem[MAX_BYTES];
	int64_t n;

	memset(mem, byte, len);
	n = iomap_sim_file_pwrite(sim, fd, mem, len, (int64_t)pos);
	return n == (int64_t)len ? 0 : n < 0 ? (int)n : -EIO;
}

static int engine_write(struct iomap_sim *sim, struct engine *e, int fd, const uint8_t *mem,
			size_t len, uint64_t pos, uint64_t size)
{
	int64_t n;
	int rc = 0;

	if (e->bug == DIRTY_HOLE && pos > size)
		rc = put(sim, fd, 0xbd, size, (size_t)(pos - size));
	if (!rc && e->bug == WRONG_BYTES && pos + len <= size)
		return put(sim, fd, 0xbd, pos, len);
	if (rc)
		return rc;
	n = iomap_sim_file_pwrite(sim, fd, mem, len, (int64_t)pos);
	if (n != (int64_t)len)
		return n < 0 ? (int)n : -EIO;
	return e->bug == TOO_LONG ? put(sim, fd, 0, pos + len, 3) : 0;
}

static int engine_resize(struct iomap_sim *sim, struct engine *e, int fd, uint64_t to,
			 uint64_t size)
{
	if (e->bug == DIRTY_TAIL && to > size)
		return put(sim, fd, 0xbd, size, (size_t)(to - size));
	return iomap_sim_file_truncate(sim, fd, (int64_t)to);
}

static int engine_sync(struct iomap_sim *sim, struct engine *e, int fd)
{
	return e->bug == NO_SYNC ? 0 : iomap_sim_file_sync(sim, fd);
}

/* ---- the case ---- */

static int format(struct iomap_sim *sim, void *arg)
{
	int rc = iomap_sim_file_format(sim, "disk");

	(void)arg;
	for (unsigned i = 0; !rc && i < NR_FILES; i++) {
		int fd = iomap_sim_file_open(sim, "disk", names[i], true);

		rc = fd < 0 ? fd : iomap_sim_file_sync(sim, fd);
		iomap_sim_file_close(sim, fd);
	}
	return rc ? rc : iomap_sim_dir_sync(sim, "disk");
}

static int do_write(struct iomap_sim *sim, struct engine *e, unsigned i, int fd)
{
	uint64_t pos = iomap_sim_choose(sim, "pos", MAX_BYTES - 1);
	size_t len = 1 + iomap_sim_choose(sim, "len", 2 * BLOCK);
	uint8_t mem[MAX_BYTES];
	int rc;

	if (len > MAX_BYTES - pos)
		len = (size_t)(MAX_BYTES - pos);
	memset(mem, 1 + (int)(++e->nr_writes % 100), len);
	rc = iomap_sim_model_write(sim, i, mem, len, pos);
	if (!rc)
		rc = engine_write(sim, e, fd, mem, len, pos, e->size[i]);
	if (pos + len > e->size[i])
		e->size[i] = pos + len;
	return rc;
}

static int do_something(struct iomap_sim *sim, struct engine *e, unsigned op, unsigned i, int fd)
{
	uint64_t size;
	int rc;

	if (op % 8 == 1) {
		rc = engine_sync(sim, e, fd);
		if (!rc)
			iomap_sim_model_sync(sim, i);
		return rc;
	}
	if (op % 8 > 2)
		return do_write(sim, e, i, fd);
	size = iomap_sim_choose(sim, "size", MAX_BYTES);
	rc = iomap_sim_model_truncate(sim, i, size);
	if (!rc)
		rc = engine_resize(sim, e, fd, size, e->size[i]);
	e->size[i] = size;
	return rc;
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	int fds[NR_FILES], rc = 0;

	e->nr_writes = 0;
	memset(e->size, 0, sizeof(e->size));
	for (unsigned i = 0; i < NR_FILES; i++) {
		fds[i] = iomap_sim_file_open(sim, "disk", names[i], false);
		if (fds[i] < 0)
			return fds[i];
	}
	for (unsigned n = 0; !rc && n < 20; n++) {
		unsigned op = iomap_sim_choose(sim, "op", 32);
		unsigned i = iomap_sim_choose(sim, "file", NR_FILES);

		if (!op)
			break;
		rc = do_something(sim, e, op, i, fds[i]);
	}
	if (!rc && e->bug == LOST_FILE) {
		rc = iomap_sim_file_unlink(sim, "disk", names[0]);
		if (!rc)
			rc = iomap_sim_dir_sync(sim, "disk");
	}
	return rc;
}

static int64_t read_found(void *arg, void *mem, size_t len, uint64_t pos)
{
	struct found *f = arg;

	return iomap_sim_file_pread(f->sim, f->fd, mem, len, (int64_t)pos);
}

static int check(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	int rc = 0;

	for (unsigned i = 0; !rc && i < NR_FILES; i++) {
		struct found f = { sim, iomap_sim_file_open(sim, "disk", names[i], false) };
		struct iomap_sim_found found = {
			.struct_size = sizeof(found), .read = read_found, .arg = &f,
			.shorn = e->shorn ? BLOCK : 0,
		};

		if (f.fd >= 0)
			found.size = (uint64_t)iomap_sim_file_size(sim, f.fd);
		rc = iomap_sim_judge_file(sim, i, f.fd < 0 ? NULL : &found);
		iomap_sim_file_close(sim, f.fd);
	}
	return rc;
}

static int run(const char *preset, enum bug bug, uint64_t seeds, struct iomap_sim_report *r)
{
	const struct iomap_sim_dev disk = {
		.name = "disk", .preset = preset, .size = 64 * BLOCK,
	};
	static struct engine engine;
	const struct iomap_sim_case c = {
		.struct_size = sizeof(c), .name = "files", .devs = &disk, .nr_devs = 1,
		.format = format, .work = work, .check = check, .arg = &engine,
	};
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = seeds };

	engine = (struct engine){ .bug = bug };
	*r = (struct iomap_sim_report){ .struct_size = sizeof(*r) };
	return iomap_sim_check(&c, &cfg, r);
}

CASE_TIMEOUT(a_sound_engine_is_judged, "O1 O2 O3 O4 O5",
	     "Whenever power goes, on drives that do not shear sectors: nothing is wrong", 60)
{
	static const char *const whole[] = {
		"consumer", "plp", "atomic16k", "sata512e", "multiqueue", "fifo",
	};
	struct iomap_sim_report r;

	for (unsigned i = 0; i < 6; i++) {
		ck_assert_msg(run(whole[i], NONE, 60, &r) == 0, "%s: %s", whole[i], r.text);
		for (unsigned oracle = 1; oracle <= 5; oracle++)
			ck_assert_uint_gt(r.evaluated[oracle], 500);
	}
}

static void found_as(enum bug bug, const char *oracle)
{
	struct iomap_sim_report r;

	ck_assert_int_eq(run("consumer", bug, 200, &r), 1);
	ck_assert_msg(!strcmp(r.oracle, oracle), "%s", r.text);
	iomap_sim_report_fini(&r);
}

CASE(synced_bytes_are_judged, "O1", "An engine that does not sync, and one that loses a file")
{
	struct iomap_sim_report r;

	ck_assert_int_eq(run("consumer", NO_SYNC, 200, &r), 1);
	ck_assert_msg(!strcmp(r.oracle, "O1") || !strcmp(r.oracle, "O5"), "%s", r.text);
	iomap_sim_report_fini(&r);
	found_as(LOST_FILE, "O5");
}

CASE(unsynced_bytes_are_judged, "O2", "An engine that writes what it was not given")
{
	struct iomap_sim_report r;

	ck_assert_int_eq(run("consumer", WRONG_BYTES, 200, &r), 1);
	ck_assert_msg(!strcmp(r.oracle, "O2") || !strcmp(r.oracle, "O3") ||
		      !strcmp(r.oracle, "O1"), "%s", r.text);
	iomap_sim_report_fini(&r);
}

CASE(new_bytes_are_judged, "O3 O4", "An engine that leaves something in a hole")
{
	struct iomap_sim_report r;

	ck_assert_int_eq(run("consumer", DIRTY_HOLE, 200, &r), 1);
	ck_assert_msg(!strcmp(r.oracle, "O3") || !strcmp(r.oracle, "O4"), "%s", r.text);
	iomap_sim_report_fini(&r);
}

CASE(ends_are_judged, "O4 O5", "An engine that leaves something behind an end, or moves it")
{
	found_as(DIRTY_TAIL, "O4");
	found_as(TOO_LONG, "O5");
}

/* ---- without a case: each word of the judge ---- */

struct image {
	uint8_t mem[64];
	uint64_t size, readable;
};

static int64_t read_image(void *arg, void *mem, size_t len, uint64_t pos)
{
	const struct image *image = arg;
	uint64_t left = pos < image->readable ? image->readable - pos : 0;
	size_t n = left < len ? (size_t)left : len;

	memcpy(mem, image->mem + pos, n);
	return (int64_t)n;
}

/* "ab.." with zeros for dots; "O3", or "" for one that may be found. */
static void judged(struct iomap_sim *sim, const char *text, const char *oracle, uint32_t shorn)
{
	struct image image = { .size = strlen(text), .readable = strlen(text) };
	const struct iomap_sim_found found = {
		.struct_size = sizeof(found), .size = image.size, .read = read_image,
		.arg = &image, .shorn = shorn,
	};
	static const char *const all[] = { "O1", "O2", "O3", "O4", "O5" };
	struct iomap_sim_verdict before[5];
	int rc;

	for (size_t i = 0; i < image.size; i++)
		image.mem[i] = text[i] == '.' ? 0 : (uint8_t)text[i];
	for (unsigned i = 0; i < 5; i++) {
		before[i].struct_size = sizeof(before[i]);
		ck_assert_int_eq(iomap_sim_oracle(sim, all[i], &before[i]), 0);
	}
	rc = iomap_sim_judge_file(sim, 7, &found);
	ck_assert_msg(rc == (*oracle != 0), "%s: %d", text, rc);
	for (unsigned i = 0; i < 5; i++) {
		struct iomap_sim_verdict v = { .struct_size = sizeof(v) };

		ck_assert_int_eq(iomap_sim_oracle(sim, all[i], &v), 0);
		ck_assert_uint_eq(v.evaluated, before[i].evaluated + 1);
		ck_assert_msg(v.violated - before[i].violated == !strcmp(oracle, all[i]),
			      "%s: %s, not %s", text, all[i], oracle);
	}
}

CASE(each_word_of_the_judge, "O1 O2 O3 O4 O5", "Small files, and what may be found of them")
{
	struct image image = { .size = 4, .readable = 6 };
	struct iomap_sim_found found = {
		.struct_size = sizeof(found), .size = 4, .read = read_image, .arg = &image,
	};
	struct disk d;

	disk_new(&d, "consumer", 1, 64);
	ck_assert_int_eq(iomap_sim_judge_file(d.sim, 7, NULL), 0);
	judged(d.sim, "", "", 0);
	judged(d.sim, "a", "O5", 0);
	ck_assert_int_eq(iomap_sim_model_write(d.sim, 7, "abcd", 4, 2), 0);
	judged(d.sim, "", "", 0);			/* nothing is synced yet */
	judged(d.sim, "...b", "", 0);
	judged(d.sim, "..abcd", "", 0);
	judged(d.sim, "x.abcd", "O4", 0);
	judged(d.sim, "..xbcd", "O3", 0);
	judged(d.sim, "..abcd.", "O5", 0);
	iomap_sim_model_sync(d.sim, 7);
	judged(d.sim, "..abcd", "", 0);
	judged(d.sim, "..abc", "O5", 0);
	judged(d.sim, "..abcx", "O1", 0);
	judged(d.sim, "..abc.", "O1", 0);
	judged(d.sim, "x.abcd", "O3", 0);
	ck_assert_int_eq(iomap_sim_judge_file(d.sim, 7, NULL), 1);
	ck_assert_int_eq(iomap_sim_model_write(d.sim, 7, "BC", 2, 3), 0);
	ck_assert_int_eq(iomap_sim_model_write(d.sim, 7, "C", 1, 3), 0);
	judged(d.sim, "..aBCd", "", 0);
	judged(d.sim, "..abCd", "", 0);
	judged(d.sim, "..aCcd", "", 0);
	judged(d.sim, "..axcd", "O2", 0);
	judged(d.sim, "..a.cd", "O2", 0);
	judged(d.sim, "..abcx", "O1", 0);
	judged(d.sim, "..axcx", "", 8);			/* all of it may be garbage */
	judged(d.sim, "..abcx", "O1", 1);
	judged(d.sim, "..axxd", "", 1);
	ck_assert_int_eq(iomap_sim_model_truncate(d.sim, 7, 4), 0);
	ck_assert_int_eq(iomap_sim_model_truncate(d.sim, 7, 8), 0);
	judged(d.sim, "..aB", "", 0);
	judged(d.sim, "..aBCd..", "", 0);
	judged(d.sim, "..aB....", "", 0);
	judged(d.sim, "..aB...x", "O4", 0);
	judged(d.sim, "..aB.x..", "O4", 0);
	judged(d.sim, "..a", "O5", 0);
	iomap_sim_model_sync(d.sim, 7);
	judged(d.sim, "..aC....", "", 0);		/* of both writes the later one counts */
	judged(d.sim, "..aB....", "O1", 0);
	judged(d.sim, "..aCCd..", "O3", 0);
	ck_assert_int_eq(iomap_sim_model_truncate(d.sim, 7, 4), 0);
	memcpy(image.mem, "\0\0aC!!", 6);
	ck_assert_int_eq(iomap_sim_judge_file(d.sim, 7, &found), 1);	/* it goes on */
	image.readable = 3;
	ck_assert_int_eq(iomap_sim_judge_file(d.sim, 7, &found), 1);
	image.readable = 4;
	ck_assert_int_eq(iomap_sim_judge_file(d.sim, 7, &found), 0);
	found.struct_size = 1;
	ck_assert_int_eq(iomap_sim_judge_file(d.sim, 7, &found), -EINVAL);
	ck_assert_int_eq(iomap_sim_model_write(d.sim, 7, "x", 1, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(iomap_sim_model_truncate(d.sim, 7, (64 << 20) + 1), -EFBIG);
	disk_delete(&d);
}

MAIN()
