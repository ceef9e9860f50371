/* SPDX-License-Identifier: MIT */
/*
 * test_restart.c - work that is stopped by something else than a loss of power.
 */
#include "harness/harness.h"

#include <iomap/sim.h>

#define BLOCK	4096u
#define NR	6u

static struct iomap_sim_dev devs[] = {
	{ .name = "data", .preset = "consumer", .size = 16 * BLOCK },
	{ .name = "log", .preset = "consumer", .size = 16 * BLOCK },
};

static int put(struct iomap_sim *sim, const char *dev, unsigned block, uint64_t number)
{
	static uint64_t mem[BLOCK / 8];
	int64_t n;

	for (unsigned i = 0; i < BLOCK / 8; i++)
		mem[i] = number;
	n = iomap_sim_pwrite(sim, dev, mem, BLOCK, block * BLOCK, 0);
	return n == BLOCK ? 0 : (int)n;
}

static uint64_t get(struct iomap_sim *sim, const char *dev, unsigned block)
{
	uint64_t mem[BLOCK / 8] = { 0 };

	iomap_sim_pread(sim, dev, mem, BLOCK, block * BLOCK);
	return mem[0];
}

static int format(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NR; i++)
		if (put(sim, "data", i, 0) || put(sim, "log", i, 0))
			return -EIO;
	return 0;
}

struct engine {
	bool no_flush;			/* work promises what may be lost */
	bool reads_and_trusts;		/* recovery promises what it has read */
	bool goes_on;			/* when a device is gone */
	unsigned done, lost;
	const char *gone;
	uint64_t number[2];
};

static struct iomap_sim_case case_of(int (*work)(struct iomap_sim *, void *),
				     int (*recover)(struct iomap_sim *, void *),
				     int (*check)(struct iomap_sim *, void *), struct engine *e)
{
	return (struct iomap_sim_case){
		.struct_size = sizeof(struct iomap_sim_case), .name = "restart", .devs = devs,
		.nr_devs = 2, .format = format, .work = work, .recover = recover, .check = check,
		.arg = e,
	};
}

static int run(const struct iomap_sim_case *c, uint32_t restarts, struct iomap_sim_report *r)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 60, .images = 2, .restarts = restarts,
	};

	memset(r, 0, sizeof(*r));
	r->struct_size = sizeof(*r);
	return iomap_sim_check(c, &cfg, r);
}

static void passes(const struct iomap_sim_case *c, uint32_t restarts)
{
	struct iomap_sim_report r;

	ck_assert_msg(!run(c, restarts, &r), "%.600s", r.text);
}

/* With that oracle and that text; its token says it again. */
static void fails(const struct iomap_sim_case *c, uint32_t restarts, const char *oracle,
		  const char *text)
{
	struct iomap_sim_report r, s = { .struct_size = sizeof(s) };

	ck_assert_int_eq(run(c, restarts, &r), 1);
	ck_assert_str_eq(r.oracle, oracle);
	ck_assert_msg(strstr(r.text, text) != NULL, "\"%s\" is not in %.600s", text, r.text);
	ck_assert_int_eq(iomap_sim_replay(c, r.token, &s), 1);
	ck_assert_str_eq(s.oracle, oracle);
	ck_assert_msg(strstr(s.text, text) != NULL, "\"%s\" is not in %.600s", text, s.text);
	iomap_sim_report_fini(&s);
	iomap_sim_report_fini(&r);
}

/* ---- what is in a cache ---- */

static int count_up(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	int rc = 0;

	for (unsigned i = 1; !rc && i <= NR && iomap_sim_choose(sim, "op", 8); i++) {
		rc = put(sim, "data", 0, i);
		if (!rc && iomap_sim_choose(sim, "sync", 2)) {
			rc = e->no_flush ? 0 : iomap_sim_flush(sim, "data");
			iomap_sim_ack(sim, 0, i);
		}
	}
	return rc;
}

static int is_kept(struct iomap_sim *sim, void *arg)
{
	uint64_t acked = 0, number = get(sim, "data", 0);

	(void)arg;
	if (iomap_sim_acked(sim, 0, &acked) && number < acked)
		return iomap_sim_fail(sim, "O1", "%u, promised %u", (unsigned)number,
				      (unsigned)acked);
	return 0;
}

/* What it finds is what it will answer from now on. */
static int read_it(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	uint64_t number = get(sim, "data", 0);

	if (is_kept(sim, arg))
		return 1;
	if (!e->reads_and_trusts && iomap_sim_flush(sim, "data"))
		return -EIO;
	iomap_sim_ack(sim, 0, number);
	get(sim, "data", 1);
	return 0;
}

CASE(a_cache_that_stays, "O9", "What is read after a kill may be lost; after a loss of power not")
{
	struct engine e = { .reads_and_trusts = true };
	struct iomap_sim_case c = case_of(count_up, read_it, is_kept, &e);

	passes(&c, 0);
	passes(&c, IOMAP_SIM_POWER_LOSS);
	fails(&c, IOMAP_SIM_PROCESS_KILL, "O1", ", the process is killed before event");
	fails(&c, IOMAP_SIM_PROCESS_KILL, "O1", ", and power goes before event");
	fails(&c, IOMAP_SIM_DEVICE_RESET, "O1", ", the devices are reset before event");
	fails(&c, IOMAP_SIM_POWER_LOSS | IOMAP_SIM_PROCESS_KILL, "O1", "the process is killed");
	e.reads_and_trusts = false;
	for (unsigned i = 0; i < 4; i++) {
		static const char *const presets[] = { "consumer", "plp", "fifo", "multiqueue" };

		devs[0].preset = presets[i];
		passes(&c, IOMAP_SIM_POWER_LOSS | IOMAP_SIM_DEVICE_RESET | IOMAP_SIM_PROCESS_KILL);
	}
}

CASE(shrunk_to_a_loss_of_power, "O9", "Where that fails, too")
{
	struct engine e = { .no_flush = true };
	struct iomap_sim_case c = case_of(count_up, NULL, is_kept, &e);

	passes(&c, IOMAP_SIM_PROCESS_KILL);	/* nothing is lost */
	c.recover = read_it;
	e.reads_and_trusts = true;
	fails(&c, IOMAP_SIM_PROCESS_KILL, "O1", ", power goes before event");
}

/* ---- what was in flight ---- */

static int send_all(struct iomap_sim *sim, void *arg)
{
	static uint64_t mem[BLOCK / 8];
	struct engine *e = arg;
	int rc = 0;

	for (e->done = 0; !rc && e->done < NR; e->done++) {
		for (unsigned i = 0; i < BLOCK / 8; i++)
			mem[i] = 7;
		rc = iomap_sim_start_write(sim, "data", mem, BLOCK, e->done * BLOCK, 0);
	}
	return rc ? rc : iomap_sim_wait_writes(sim);
}

static int all_are_there(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;

	for (unsigned i = 0; i < e->done; i++)
		if (get(sim, "data", i) != 7) {
			e->lost++;
			return iomap_sim_fail(sim, "lost", "%u of %u", i, e->done);
		}
	return 0;
}

CASE(what_was_accepted, "O9", "Happens when the process is killed; a reset aborts it, or a part")
{
	static const char *const presets[] = { "consumer", "plp", "fifo", "multiqueue" };
	struct engine e = { .lost = 0 };
	struct iomap_sim_case c = case_of(send_all, NULL, all_are_there, &e);

	for (unsigned i = 0; i < 4; i++) {
		devs[0].preset = presets[i];
		passes(&c, IOMAP_SIM_PROCESS_KILL);
		fails(&c, IOMAP_SIM_DEVICE_RESET, "lost", " of ");
		fails(&c, IOMAP_SIM_POWER_LOSS, "lost", ", power goes before event");
	}
}

static int done_are_there(struct iomap_sim *sim, void *arg)
{
	return iomap_sim_is_off(sim) || all_are_there(sim, arg);
}

static int write_one_by_one(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	int rc = 0;

	for (e->done = 0; !rc && e->done < NR; e->done++)
		rc = put(sim, "data", e->done, 7);
	return rc;
}

CASE(what_completed, "O9", "Is read after a reset without a flush; not after a loss of power")
{
	struct engine e = { .lost = 0 };
	struct iomap_sim_case c = case_of(write_one_by_one, NULL, done_are_there, &e);

	passes(&c, IOMAP_SIM_DEVICE_RESET);
	passes(&c, IOMAP_SIM_PROCESS_KILL);
	fails(&c, IOMAP_SIM_POWER_LOSS, "lost", " of ");
}

/* ---- a device that goes ---- */

static const char *const names[] = { "data", "log" };

/* Both, one after the other; who goes on has not looked at the log's error. */
static int log_and_write(struct iomap_sim *sim, void *arg)
{
	const struct engine *e = arg;
	int rc = 0;

	for (unsigned i = 1; !rc && i <= NR; i++) {
		int logged = put(sim, "log", 0, i);

		logged = logged ? logged : iomap_sim_flush(sim, "log");
		rc = e->goes_on ? put(sim, "data", 0, i) : logged;
		if (!rc)
			iomap_sim_ack(sim, 0, i);
	}
	return rc;
}

static int read_the_log(struct iomap_sim *sim, void *arg)
{
	uint64_t acked = 0, number = get(sim, "log", 0);

	(void)arg;
	if (iomap_sim_acked(sim, 0, &acked) && number < acked)
		return iomap_sim_fail(sim, "O1", "%u, promised %u", (unsigned)number,
				      (unsigned)acked);
	return 0;
}

CASE(a_device_is_removed, "O18", "An engine that does not look at an error of its log is found")
{
	struct engine e = { .goes_on = true };
	struct iomap_sim_case c = case_of(log_and_write, NULL, read_the_log, &e);

	passes(&c, IOMAP_SIM_POWER_LOSS | IOMAP_SIM_DEVICE_RESET | IOMAP_SIM_PROCESS_KILL);
	fails(&c, IOMAP_SIM_REMOVAL, "O1", ", a device is removed before event");
	fails(&c, IOMAP_SIM_REMOVAL, "O1", "removed: log");
	e.goes_on = false;
	passes(&c, IOMAP_SIM_REMOVAL);
}

static int write_both(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;

	memset(e->number, 0, sizeof(e->number));
	e->gone = NULL;
	for (unsigned i = 1; i <= NR; i++)
		for (unsigned d = 0; d < 2; d++) {
			int rc = put(sim, names[d], 0, i);

			if (rc == -ENODEV)
				e->gone = names[d];
			else if (rc)
				return rc;
			else
				e->number[d] = i;
		}
	return e->gone ? -ENODEV : 0;
}

static int only_one_has_lost(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;

	for (unsigned d = 0; e->gone && d < 2; d++) {
		uint64_t number = get(sim, names[d], 0);

		/* What failed may be there all the same. */
		if (strcmp(names[d], e->gone) && number != e->number[d])
			return iomap_sim_fail(sim, "kept", "%s was not removed", names[d]);
		if (!strcmp(names[d], e->gone) && number > e->number[d] + 1)
			return iomap_sim_fail(sim, "gone", "%s: it was not there", names[d]);
		e->lost += number < e->number[d];
	}
	return 0;
}

CASE(what_it_had_in_its_cache, "O18", "May be lost with it; the other device has lost nothing")
{
	struct engine e = { .lost = 0 };
	struct iomap_sim_case c = case_of(write_both, NULL, only_one_has_lost, &e);

	devs[0].preset = "consumer";
	passes(&c, IOMAP_SIM_REMOVAL);
	ck_assert_uint_gt(e.lost, 5);
}

/* ---- a device that goes, and comes back ---- */

/* Again and again while it is away; who rewrites does not trust what it had before. */
static int write_until_it_is_back(struct iomap_sim *sim, void *arg)
{
	struct engine *e = arg;
	unsigned first = 1;
	int rc = 0;

	for (unsigned i = 1; !rc && i <= NR; i++) {
		rc = put(sim, "data", i, i);
		for (unsigned tries = 0; rc == -ENODEV && tries < 100; tries++) {
			rc = put(sim, "data", i, i);
			if (!rc && !e->reads_and_trusts && i > first) {
				i = first - 1;		/* all that was not flushed */
				break;
			}
		}
		if (rc || i % 3)
			continue;
		rc = iomap_sim_flush(sim, "data");
		for (unsigned k = first; !rc && k <= i; k++)
			iomap_sim_ack(sim, k, k);
		if (!rc)
			first = i + 1;
	}
	e->done += rc == 0;
	return rc;
}

static int all_acked_are_there(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	for (unsigned i = 1; i <= NR; i++) {
		uint64_t acked = 0;

		if (iomap_sim_acked(sim, i, &acked) && get(sim, "data", i) != acked)
			return iomap_sim_fail(sim, "O1", "block %u is not what was promised", i);
	}
	return 0;
}

CASE(a_device_comes_back, "O18", "Without what only its cache had: who goes on as before is found")
{
	struct engine e = { .reads_and_trusts = true };
	struct iomap_sim_case c =
		case_of(write_until_it_is_back, NULL, all_acked_are_there, &e);

	devs[0].preset = "consumer";
	passes(&c, IOMAP_SIM_POWER_LOSS | IOMAP_SIM_DEVICE_RESET | IOMAP_SIM_PROCESS_KILL);
	passes(&c, IOMAP_SIM_REMOVAL);
	fails(&c, IOMAP_SIM_RETURN, "O1", ", a device is removed, to come back later, before");
	fails(&c, IOMAP_SIM_RETURN, "O1", "removed: data");
	e.reads_and_trusts = false;
	for (unsigned i = 0; i < 5; i++) {
		static const char *const presets[] = {
			"consumer", "plp", "fifo", "multiqueue", "sata512e",
		};

		devs[0].preset = presets[i];
		passes(&c, IOMAP_SIM_RETURN);
	}
}

MAIN()
