/* SPDX-License-Identifier: MIT */
/*
 * test_misuse.c - engines that ask for what cannot be, and engines that do not end.
 */
#include "sim/world.h"

static struct iomap_sim_dev disk = { .name = "disk", .preset = "consumer", .size = 16 * PAGE };

static int write_one(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	return iomap_sim_pwrite(sim, "disk", t_buffer(PAGE, 1), PAGE, 0, 0) == PAGE ? 0 : -EIO;
}

static struct iomap_sim_case case_of(int (*work)(struct iomap_sim *, void *),
				     int (*recover)(struct iomap_sim *, void *), void *arg)
{
	return (struct iomap_sim_case){
		.struct_size = sizeof(struct iomap_sim_case), .name = "misuse", .devs = &disk,
		.nr_devs = 1, .work = work, .recover = recover, .arg = arg,
	};
}

/* One seed that fails so, and says so; its token says it again. */
static void fails(const struct iomap_sim_case *c, const char *oracle, const char *text)
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, s = { .struct_size = sizeof(s) };
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 1 };

	ck_assert_int_eq(iomap_sim_check(c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, oracle);
	ck_assert_msg(strstr(r.text, text) != NULL, "\"%s\" is not in %.600s", text, r.text);
	ck_assert_int_eq(iomap_sim_replay(c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, oracle);
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

/* ---- what cannot be ---- */

struct call {
	const char *dev;
	uint64_t addr, len;
	unsigned flags;
	bool write, start, discard;
};

static int do_call(struct iomap_sim *sim, void *arg)
{
	const struct call *c = arg;
	static uint8_t mem[2 * PAGE];
	int64_t n;

	if (c->discard)
		return iomap_sim_discard(sim, c->dev, c->len, c->addr);
	if (c->start)
		return iomap_sim_start_write(sim, c->dev, mem, c->len, c->addr, c->flags);
	n = c->write ? iomap_sim_pwrite(sim, c->dev, mem, c->len, c->addr, c->flags)
		     : iomap_sim_pread(sim, c->dev, mem, c->len, c->addr);
	return n < 0 ? (int)n : 0;
}

static void refused(struct call call, const char *text)
{
	struct iomap_sim_case c = case_of(write_one, do_call, &call);
	char whole[160];

	snprintf(whole, sizeof(whole), "recover returned %s", text);
	fails(&c, "recover", whole);
}

CASE(calls_outside_a_device, "O27", "Which call, of what device, where, how much, and its size")
{
	refused((struct call){ "disk", 99 * PAGE, PAGE, .flags = 0 },
		"-22; refused: pread of disk, 4096 bytes at 405504: it has only 65536 bytes");
	refused((struct call){ "disk", 15 * PAGE, 2 * PAGE, .write = true },
		"-22; refused: pwrite of disk, 8192 bytes at 61440: it has only 65536 bytes");
	refused((struct call){ "disk", UINT64_MAX - PAGE + 1, PAGE, .start = true },
		"-22; refused: start_write of disk, 4096 bytes at 18446744073709547520: it has");
	refused((struct call){ "disk", 0, 1 << 20, .discard = true },
		"-22; refused: discard of disk, 1048576 bytes at 0: it has only 65536 bytes");
	refused((struct call){ "disk", 100, PAGE, .flags = 0 },
		"-22; refused: pread of disk, 4096 bytes at 100: not in blocks of 4096");
	refused((struct call){ "disk", 0, PAGE, .flags = 0x4000, .write = true },
		"-22; refused: pwrite of disk, 4096 bytes at 0: flags 0x4000");
	refused((struct call){ "log", 0, PAGE, .flags = 0 },
		"-2; refused: pread of log: there is no such device");
}

static int forgive(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[PAGE];

	(void)arg;
	return iomap_sim_pread(sim, "disk", mem, PAGE, 99 * PAGE) == -EINVAL ? 0 : 1;
}

CASE(an_engine_may_ask, "", "A call that is refused is no failure by itself, nor is it told later")
{
	struct iomap_sim_case c = case_of(forgive, forgive, NULL);
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 9 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct call call = { "disk", 0, PAGE, .flags = 0 };

	ck_assert_msg(iomap_sim_check(&c, &cfg, &r) == 0, "%s", r.text);
	c = case_of(forgive, do_call, &call);
	call.addr = 50;		/* the world of recovery has heard of nothing else */
	fails(&c, "recover", "pread of disk, 4096 bytes at 50: not in blocks");
}

static int (*file_story)(struct iomap_sim *sim, int fd);

static int on_file(struct iomap_sim *sim, void *arg)
{
	int fd;

	(void)arg;
	if (file_story)
		ck_assert_int_eq(iomap_sim_file_format(sim, "disk"), 0);
	fd = iomap_sim_file_open(sim, "disk", "file", true);
	return fd < 0 ? fd : file_story(sim, fd);
}

static int read_before(struct iomap_sim *sim, int fd)
{
	uint8_t byte;

	return (int)iomap_sim_file_pread(sim, fd, &byte, 1, -5);
}

static int write_far(struct iomap_sim *sim, int fd)
{
	return (int)iomap_sim_file_pwrite(sim, fd, "x", 1, INT64_MAX);
}

static int grow_too_much(struct iomap_sim *sim, int fd)
{
	return iomap_sim_file_truncate(sim, fd, (int64_t)1 << 40);
}

static int sync_another(struct iomap_sim *sim, int fd)
{
	return iomap_sim_file_sync(sim, fd + 7);
}

static int open_nothing(struct iomap_sim *sim, int fd)
{
	(void)fd;
	return iomap_sim_file_open(sim, "disk", "", false);
}

CASE(files_that_cannot_be, "O27", "A place, a size, a descriptor, a name")
{
	static const struct {
		int (*story)(struct iomap_sim *sim, int fd);
		const char *text;
	} stories[] = {
		{ read_before, "work returned -22; refused: file_pread of file 0, 1 bytes at -5: a"
			       " negative place" },
		{ write_far, "work returned -27; refused: file_pwrite of a file of disk, 1 bytes at"
			     " 9223372036854775807: a file has at most 8323072" },
		{ grow_too_much, "work returned -27; refused: file_truncate of a file of disk, 0" },
		{ sync_another, "work returned -9; refused: file_sync: 7 is no open file" },
		{ open_nothing, "work returned -22; refused: file_open: names have 1 to 47 bytes" },
	};
	struct iomap_sim_case c = case_of(on_file, NULL, NULL);

	disk.size = 64 * PAGE;
	for (size_t i = 0; i < sizeof(stories) / sizeof(*stories); i++) {
		file_story = stories[i].story;
		fails(&c, "work", stories[i].text);
	}
	file_story = NULL;
	fails(&c, "work", "work returned -22; refused: file_open of disk: it is not formatted");
}

static int read_by_bio(struct iomap_sim *sim, void *arg)
{
	struct iomap_env_opts opts = { .struct_size = sizeof(opts) };
	const struct call *c = arg;
	struct world w = { .sim = sim };
	int rc;

	iomap_sim_env_opts(sim, &opts);
	ck_assert_int_eq(iomap_env_new(&opts, &w.env), 0);
	ck_assert_int_eq(iomap_ioq_new(w.env, NULL, &w.ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(w.ioq, "sim:disk", NULL, &w.bdev), 0);
	rc = t_io(w.bdev, IOMAP_BIO_READ, c->addr, t_buffer(2 * PAGE, 1), (size_t)c->len, 0);
	world_unplug(&w);
	return rc;
}

CASE(bios_outside_a_device, "O27", "What libiomap has to say of them is in the report")
{
	struct call call = { "disk", 17 * PAGE, PAGE, .flags = 0 };
	struct iomap_sim_case c = case_of(write_one, read_by_bio, &call);

	fails(&c, "recover", "recover returned -22; refused: iomap_bio_submit at 69632: addr is"
			     " 69632, bound 65536: address beyond the device");
	call = (struct call){ "disk", 15 * PAGE, 2 * PAGE, .flags = 0 };
	fails(&c, "recover", "iomap_bio_submit at 61440: len is 8192, bound 4096: reaches beyond");
}

/* ---- what does not end ---- */

static int wait_for_the_clock(struct iomap_sim *sim, void *arg)
{
	int64_t until = iomap_sim_now_ns(sim) + 1000000;

	(void)arg;
	while (iomap_sim_now_ns(sim) < until)
		;
	return 0;
}

static int throw_until_it_comes(struct iomap_sim *sim, void *arg)
{
	while (iomap_sim_choose(sim, "die", 6) != *(unsigned *)arg)
		;
	return 0;
}

static int never_seven(struct iomap_sim *sim, void *arg)
{
	unsigned *tries = arg;

	for (*tries = 0; !iomap_sim_is_off(sim); ++*tries)
		iomap_sim_choose(sim, "die", 6);
	return -ETIME;
}

static int read_until_it_fails(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[PAGE];

	(void)arg;
	while (iomap_sim_pread(sim, "disk", mem, PAGE, 16 * PAGE) != -ENODEV)
		if (iomap_sim_pread(sim, "disk", mem, PAGE, 0) == -ENODEV)
			break;
	return -ETIME;
}

static int poll_for_ever(struct iomap_sim *sim, void *arg)
{
	struct world w = { .sim = sim };
	int64_t first = iomap_sim_now_ns(sim);

	(void)arg;
	world_plug_in(&w);
	while (iomap_sim_now_ns(sim) < first + ((int64_t)1 << 60))
		iomap_ioq_poll(w.ioq, 1, 1, 1000);
	world_unplug(&w);
	return 0;
}

static void does_not_end(int (*fn)(struct iomap_sim *, void *), void *arg, const char *text)
{
	struct iomap_sim_case c = case_of(fn, NULL, arg);
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 1, .no_shrink = true,
	};

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
		ck_assert_str_eq(r.oracle, "O44");
		ck_assert_msg(strstr(r.text, text) != NULL, "\"%s\" is not in %.600s", text,
			      r.text);
		iomap_sim_report_fini(&r);
		c = case_of(write_one, fn, arg);
	}
}

CASE_TIMEOUT(waits_without_an_event, "O44", "A look at the clock, a wait, in work or in recovery",
	     60)
{
	does_not_end(wait_for_the_clock, NULL, "no end after 4000000 calls without an event");
	does_not_end(poll_for_ever, NULL, "no end after 4000000 calls without an event");
	does_not_end(read_until_it_fails, NULL, "no end after 4000000 events");
}

static int flush_for_ever(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	while (iomap_sim_flush(sim, "disk") <= 0)
		;
	return 0;
}

static int look_for_ever(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	while (iomap_sim_now_ns(sim) >= 0)
		;
	return 0;
}

CASE_TIMEOUT(whatever_it_is_told, "O44", "It goes on for ever: it is left, and made small, too",
	     100)
{
	int (*const fns[])(struct iomap_sim *, void *) = { flush_for_ever, look_for_ever };

	for (unsigned i = 0; i < 2; i++) {
		struct iomap_sim_case c = case_of(fns[i], NULL, NULL);
		struct iomap_sim_report r = { .struct_size = sizeof(r) };
		const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 1 };

		ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
		ck_assert_str_eq(r.oracle, "O44");
		iomap_sim_report_fini(&r);
	}
}

CASE_TIMEOUT(choices_without_an_event, "O44", "They have all their values in the end", 60)
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	unsigned tries = 0, five = 5;
	struct iomap_sim_case c = case_of(throw_until_it_comes, NULL, &five);

	does_not_end(never_seven, &tries, "no end after 4000000 calls without an event");
	ck_assert_uint_ge(tries, 3999990);
	/* With a record that is used up each throw is a 0. */
	ck_assert_int_eq(iomap_sim_fuzz_one(&c, NULL, 0), 1);
	ck_assert_msg(iomap_sim_check(&c, NULL, &r) == 0, "%s", r.text);
}

MAIN()
