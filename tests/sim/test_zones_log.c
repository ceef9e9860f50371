/* SPDX-License-Identifier: MIT */
/*
 * test_zones_log.c - a small log-structured engine on appends, and its two classic mistakes.
 *
 * Keys have values; a put appends a record, several at once, and is acknowledged when all have
 * completed and a flush has.  Where a record lies says nothing of its age, for appends that are in
 * flight together land in any order: so it has a number.  When zones run out what still counts of
 * the oldest is appended again, flushed, and the zone reset.  Recovery reads each zone up to its
 * pointer, resets those in which nothing counts, and takes the newest record of each key.
 */
#include "sim/zones.h"

#define KEYS		5u
#define BATCH		3u
#define LOG_ZONES	6u
#define MAGIC		UINT64_C(0x6c6f672d7a6f6e65)

/* At the start of a page; all of it is filled with what they say. */
struct record {
	uint64_t magic, key, number, check;
};
struct log {
	struct iomap_sim *sim;
	uint64_t number[KEYS];		/* of the newest record; 0: none */
	uint32_t zone[KEYS];		/* in which it is */
	uint64_t next;
	uint32_t active;
	uint64_t order[LOG_ZONES];	/* when it was last begun; 0: it is empty */
	uint64_t nr_begun;
	uint64_t addr[BATCH];
};
/* Put in on purpose; and: the first error is the end, but none of the test. */
static bool no_flush, trusts_order, resets_early, gives_up;
static unsigned resets_seen;

static uint64_t check_of(const struct record *r)
{
	return iomap_sim_digest(&r->key, 2 * sizeof(r->key), MAGIC);
}

static void fill(uint64_t *page, uint64_t key, uint64_t number)
{
	struct record r = { MAGIC, key, number, 0 };

	r.check = check_of(&r);
	for (size_t i = 0; i < PAGE / sizeof(r); i++)
		memcpy(page + i * sizeof(r) / 8, &r, sizeof(r));
}

static bool is_record(const uint64_t *page, struct record *r)
{
	memcpy(r, page, sizeof(*r));
	for (size_t i = 0; i < PAGE / sizeof(*r); i++)
		if (memcmp(page + i * sizeof(*r) / 8, r, sizeof(*r)))
			return false;
	return r->magic == MAGIC && r->key < KEYS && r->check == check_of(r);
}

/* ---- zones ---- */

static uint32_t room(struct log *log, uint32_t zone)
{
	struct iomap_zone z;

	if (iomap_sim_report_zones(log->sim, "disk", zone * ZONE, &z, 1) != 1)
		return 0;
	return (uint32_t)((z.start + z.capacity - z.write_pointer) / PAGE);
}

static int nr_empty(const struct log *log, uint32_t *one)
{
	int nr = 0;

	for (uint32_t z = LOG_ZONES; z--;)
		if (!log->order[z]) {
			*one = z;
			nr++;
		}
	return nr;
}

static void begin(struct log *log, uint32_t zone)
{
	log->active = zone;
	log->order[zone] = ++log->nr_begun;
}

/* Room for that many records in the active zone. */
static void make_room(struct log *log, uint32_t nr)
{
	uint32_t zone;

	if (room(log, log->active) < nr && nr_empty(log, &zone))
		begin(log, zone);
}

static bool counts(const struct log *log, uint32_t zone)
{
	for (uint32_t k = 0; k < KEYS; k++)
		if (log->number[k] && log->zone[k] == zone)
			return true;
	return false;
}

static int reset(struct log *log, uint32_t zone)
{
	resets_seen++;
	log->order[zone] = 0;
	return iomap_sim_zone_reset(log->sim, "disk", zone * ZONE);
}

/* ---- puts ---- */

/* All at once; then each is where it says. */
static int append(struct log *log, const uint64_t *keys, const uint64_t *numbers, uint32_t nr)
{
	uint64_t page[PAGE / 8];
	int rc = 0;

	make_room(log, nr);
	for (uint32_t i = 0; !rc && i < nr; i++) {
		fill(page, keys[i], numbers[i]);
		rc = iomap_sim_start_append(log->sim, "disk", page, PAGE, log->active * ZONE, 0,
					    &log->addr[i]);
	}
	if (!rc)
		rc = iomap_sim_wait_writes(log->sim);
	for (uint32_t i = 0; !rc && i < nr; i++)
		if (numbers[i] >= log->number[keys[i]]) {
			log->number[keys[i]] = numbers[i];
			log->zone[keys[i]] = (uint32_t)(log->addr[i] / ZONE);
		}
	return rc;
}

/* The oldest zone is made empty: what counts in it is elsewhere, durably, before it goes. */
static int clean(struct log *log)
{
	uint32_t oldest = log->active;
	int rc = 0;

	for (uint32_t z = 0; z < LOG_ZONES; z++)
		if (log->order[z] && log->order[z] < log->order[oldest])
			oldest = z;
	if (resets_early)
		rc = reset(log, oldest);
	for (uint64_t k = 0; !rc && k < KEYS; k++)
		if (log->number[k] && log->zone[k] == oldest)
			rc = append(log, &k, &log->number[k], 1);
	if (!rc)
		rc = iomap_sim_flush(log->sim, "disk");
	return rc || resets_early ? rc : reset(log, oldest);
}

static int put(struct log *log, const uint64_t *keys, uint32_t nr)
{
	uint64_t numbers[BATCH];
	uint32_t one;
	int rc = 0;

	while (!rc && nr_empty(log, &one) < 2 && room(log, log->active) < nr)
		rc = clean(log);
	for (uint32_t i = 0; i < nr; i++)
		numbers[i] = log->next++;
	if (!rc)
		rc = append(log, keys, numbers, nr);
	if (!rc && !no_flush)
		rc = iomap_sim_flush(log->sim, "disk");
	for (uint32_t i = 0; !rc && i < nr; i++)
		iomap_sim_ack(log->sim, keys[i], numbers[i]);
	return rc;
}

/* ---- recovery ---- */

static void take(struct log *log, const struct record *r, uint32_t zone)
{
	if (r->number >= log->next)
		log->next = r->number + 1;
	if (!trusts_order && r->number <= log->number[r->key])
		return;
	log->number[r->key] = r->number;
	log->zone[r->key] = zone;
}

static int read_zone(struct log *log, uint32_t zone)
{
	uint64_t page[PAGE / 8];
	struct iomap_zone z;
	struct record r;

	if (iomap_sim_report_zones(log->sim, "disk", zone * ZONE, &z, 1) != 1)
		return -EIO;
	for (uint64_t addr = z.start; addr < z.write_pointer; addr += PAGE) {
		if (iomap_sim_pread(log->sim, "disk", page, PAGE, addr) != PAGE)
			return -EIO;
		if (!is_record(page, &r))
			return iomap_sim_fail(log->sim, "O3", "no record at %llu, below a pointer",
					      (unsigned long long)addr);
		take(log, &r, zone);
		log->order[zone] = r.number;	/* the later it was begun, the higher */
	}
	return 0;
}

static struct log *open_log(struct iomap_sim *sim)
{
	struct log *log = iomap_sim_alloc(sim, sizeof(*log));

	ck_assert_ptr_nonnull(log);
	log->sim = sim;
	log->next = 1;
	return log;
}

static int recover(struct iomap_sim *sim, void *arg)
{
	struct log *log = open_log(sim);
	int rc = 0;

	(void)arg;
	for (uint32_t z = 0; !rc && z < LOG_ZONES; z++)
		rc = read_zone(log, z);
	for (uint32_t z = 0; !rc && z < LOG_ZONES; z++)
		if (log->order[z] && !counts(log, z))
			rc = reset(log, z);
	if (!rc)
		rc = iomap_sim_flush(sim, "disk");
	iomap_sim_set_engine(sim, log);
	return rc;
}

/* What was acknowledged is there, or something newer. */
static int check(struct iomap_sim *sim, void *arg)
{
	const struct log *log = iomap_sim_engine(sim);
	uint64_t number;

	(void)arg;
	for (uint64_t k = 0; k < KEYS; k++)
		if (iomap_sim_acked(sim, k, &number) && log->number[k] < number)
			return iomap_sim_fail(sim, "O1", "key %llu has %llu, promised %llu",
					      (unsigned long long)k,
					      (unsigned long long)log->number[k],
					      (unsigned long long)number);
	return 0;
}

static int work(struct iomap_sim *sim, void *arg)
{
	struct log *log = open_log(sim);
	int rc = 0;

	(void)arg;
	begin(log, 0);
	for (unsigned i = 0; !rc && i < 24; i++) {
		uint32_t nr = iomap_sim_choose(sim, "op", BATCH + 1);
		uint64_t keys[BATCH];

		if (!nr)
			break;
		for (uint32_t k = 0; k < nr; k++)
			keys[k] = iomap_sim_choose(sim, "key", KEYS);
		rc = put(log, keys, nr);
	}
	return gives_up ? 0 : rc;
}

/* ---- stories ---- */

static struct iomap_sim_profile profile;
static const struct iomap_sim_dev disk = {
	.name = "disk", .profile = &profile, .size = LOG_ZONES * ZONE,
};
static const struct iomap_sim_case the_log = {
	.struct_size = sizeof(the_log), .name = "zone-log", .devs = &disk, .nr_devs = 1,
	.work = work, .recover = recover, .check = check,
};

static int run_with(struct iomap_sim_report *r, const struct iomap_sim_cfg *cfg)
{
	profile = zones_profile();
	profile.max_open_zones = 2;
	return iomap_sim_check(&the_log, cfg, r);
}

static int run(struct iomap_sim_report *r, uint64_t nr_seeds)
{
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = nr_seeds };

	return run_with(r, &cfg);
}

CASE_TIMEOUT(a_sound_log_passes, "O1 O9",
	     "2,000 seeds of appends, cleaning and recovery: nothing promised is lost", 100)
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_msg(run(&r, t_sanitized() ? 300 : 2000) == 0, "%s", r.text);
	ck_assert_uint_gt(r.images, 10 * r.seeds);
	ck_assert_uint_gt(resets_seen, r.seeds);
	printf("%llu seeds, %llu crashes, %llu images\n", (unsigned long long)r.seeds,
	       (unsigned long long)r.crash_points, (unsigned long long)r.images);
	iomap_sim_report_fini(&r);
}

CASE_TIMEOUT(faults_on_the_way, "O1 O46",
	     "Commands fail or come late: what was promised is there; the same twice", 100)
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 500, .twice = true,
		.fault_kinds = "eio_write landed lost enospc flush_error flush_error_drops "
			       "timeout slow reordered busy removed",
		.max_faults = 2,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	gives_up = true;
	ck_assert_msg(run_with(&r, &cfg) == 0, "%s %s", r.oracle, r.text ? r.text : "");
	ck_assert_str_eq(r.unfired, "");
	iomap_sim_report_fini(&r);
}

/* Found, shrunk to so many operations, and found again by the token. */
static void is_found(bool *mistake, uint32_t max_ops)
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) }, again = r;

	*mistake = true;
	ck_assert_int_eq(run(&r, 2000), 1);
	ck_assert_str_eq(r.oracle, "O1");
	ck_assert_uint_le(r.ops, max_ops);
	ck_assert_int_eq(iomap_sim_replay(&the_log, r.token, &again), 1);
	ck_assert_str_eq(again.oracle, "O1");
	iomap_sim_report_fini(&again);
	*mistake = false;
	ck_assert_int_eq(iomap_sim_replay(&the_log, r.token, &again), 0);
	iomap_sim_report_fini(&again);
	iomap_sim_report_fini(&r);
}

CASE(acknowledged_before_the_flush, "", "Found in one put")
{
	is_found(&no_flush, 1);
}

CASE(trusting_the_order_of_appends, "", "Two puts of a key at once: the later one lies first")
{
	is_found(&trusts_order, 1);
}

CASE(a_zone_reset_too_early, "", "Before its records are durable elsewhere")
{
	is_found(&resets_early, 24);
}

MAIN()
