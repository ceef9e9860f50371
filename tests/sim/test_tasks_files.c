/* SPDX-License-Identifier: MIT */
/*
 * test_tasks_files.c - tasks that use the files of one device at once.
 */
#include "sim/tasks.h"

#define WRITERS		3u
#define ROUNDS		3u
#define PIECE		3000u		/* two of them are not in blocks of their own */

/* Each writer has a file, which it replaces the safe way. */
struct writer {
	struct engine *e;
	unsigned me;
};
struct engine {
	bool early;			/* a name is promised before it is durable */
	uint64_t nr_looks;
};

static int fill(struct iomap_sim *sim, int fd, unsigned me, unsigned round)
{
	uint8_t mem[PIECE], got[PIECE];

	memset(mem, (int)(16 * me + round), PIECE);
	for (unsigned i = 0; i < 3; i++)
		if (iomap_sim_file_pwrite(sim, fd, mem, PIECE, i * PIECE) != PIECE)
			return 1;
	for (unsigned i = 0; i < 3; i++) {
		if (iomap_sim_file_pread(sim, fd, got, PIECE, i * PIECE) != PIECE)
			return 1;
		if (memcmp(mem, got, PIECE))
			return iomap_sim_fail(sim, "read", "file %u is another's", me);
	}
	return iomap_sim_file_size(sim, fd) == 3 * PIECE ? 0 : 1;
}

static int replace(struct iomap_sim *sim, struct writer *w, unsigned round)
{
	char name[8], temp[8];
	int fd, rc;

	snprintf(name, sizeof(name), "%u", w->me);
	snprintf(temp, sizeof(temp), "%u.new", w->me);
	fd = iomap_sim_file_open(sim, "disk", temp, true);
	if (fd < 0)
		return fd;
	rc = fill(sim, fd, w->me, round);
	if (!rc)
		rc = iomap_sim_file_sync(sim, fd);
	iomap_sim_file_close(sim, fd);
	if (!rc)
		rc = iomap_sim_file_rename(sim, "disk", temp, name);
	if (!rc && w->e->early)
		iomap_sim_ack(sim, w->me, round);
	if (!rc)
		rc = iomap_sim_dir_sync(sim, "disk");
	if (!rc)
		iomap_sim_ack(sim, w->me, round);
	return rc;
}

static int write_file(struct iomap_sim *sim, void *arg)
{
	int rc = 0;

	for (unsigned round = 1; !rc && round <= ROUNDS; round++)
		rc = replace(sim, arg, round);
	return rc;
}

/* Its names come and go, and take the places that others leave. */
static int come_and_go(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 2 * ROUNDS; i++) {
		int fd = iomap_sim_file_open(sim, "disk", "scratch", true);

		if (fd < 0 || iomap_sim_file_pwrite(sim, fd, "x", 1, 5000) != 1)
			return 1;
		if (i % 2 && iomap_sim_file_truncate(sim, fd, 100))
			return 1;
		iomap_sim_file_close(sim, fd);
		if (iomap_sim_file_unlink(sim, "disk", "scratch"))
			return 1;
	}
	return 0;
}

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return iomap_sim_file_format(sim, "disk");
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct writer writers[WRITERS];

	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ arg, i };
		if (iomap_sim_spawn(sim, write_file, &writers[i]))
			return 1;
	}
	return iomap_sim_spawn(sim, come_and_go, NULL) || iomap_sim_join(sim);
}

static int look(struct iomap_sim *sim, unsigned me, uint64_t acked)
{
	char name[8];
	uint8_t mem[3 * PIECE];
	int fd;

	snprintf(name, sizeof(name), "%u", me);
	fd = iomap_sim_file_open(sim, "disk", name, false);
	if (fd < 0 && !acked)
		return 0;
	if (fd < 0 || iomap_sim_file_pread(sim, fd, mem, sizeof(mem), 0) != sizeof(mem))
		return iomap_sim_fail(sim, "O1", "file %u is not there", me);
	iomap_sim_file_close(sim, fd);
	for (unsigned i = 0; i < sizeof(mem); i++)
		if (mem[i] != mem[0] || mem[0] / 16 != me || mem[0] % 16 < acked)
			return iomap_sim_fail(sim, "O1", "file %u has %02x", me, mem[i]);
	return 0;
}

static int check(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	int rc = 0;

	e->nr_looks++;
	for (unsigned i = 0; !rc && i < WRITERS; i++) {
		uint64_t acked = 0;

		iomap_sim_acked(sim, i, &acked);
		rc = look(sim, i, acked);
	}
	return rc;
}

static struct iomap_sim_case files(struct engine *e)
{
	static const struct iomap_sim_dev disk = {
		.name = "disk", .preset = "consumer", .size = 1 << 20,
	};
	struct iomap_sim_case c = tasks_case("task-files", work, e);

	c.devs = &disk;
	c.format = format;
	c.check = check;
	return c;
}

CASE_TIMEOUT(files_of_several_tasks, "O1",
	     "Each reads what it wrote; what was synced is there after each crash", 60)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = t_sanitized() ? 20 : 200, .twice = true,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct engine e = { .early = false };
	const struct iomap_sim_case c = files(&e);

	ck_assert_msg(!iomap_sim_check(&c, &cfg, &r), "%s\n%s", r.oracle, r.text);
	ck_assert_uint_gt(e.nr_looks, 10 * cfg.nr_seeds);
}

CASE(a_name_that_is_promised_early, "O1", "Is found among the calls of other tasks, too")
{
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 200 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };
	struct engine e = { .early = true };
	const struct iomap_sim_case c = files(&e);

	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O1");
	ck_assert_int_eq(iomap_sim_replay(&c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, "O1");
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

MAIN()
