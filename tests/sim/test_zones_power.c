/* SPDX-License-Identifier: MIT */
/*
 * test_zones_power.c - what is in zones when power comes back: without a case, where it is chosen
 * for good; in cases, where it is chosen when somebody looks; and after a second cut.
 */
#include "sim/zones.h"

#define SEEDS	300u

/* ---- for good ---- */

/* "ab" is durable, the rest is not; what is found, and goes on being found. */
static const char *after_cut(uint64_t seed, struct iomap_sim **result)
{
	struct iomap_sim *sim = zones_new(seed);
	static char found[CAPACITY + 1];

	ck_assert_int_eq(zones_append(sim, 1, "ab", NULL), 0);
	ck_assert_int_eq(iomap_sim_flush(sim, "disk"), 0);
	ck_assert_int_eq(zones_append(sim, 1, "cde", NULL), 0);
	ck_assert_int_eq(zones_write(sim, 8 + 5, "f"), 1);
	zones_cut(sim);
	strcpy(found, zones_word(sim, 1));
	for (unsigned i = 0; i < 2; i++)
		ck_assert_str_eq(zones_word(sim, 1), found);
	*result = sim;
	return found;
}

CASE(a_prefix_survives, "O1", "Every length from what was flushed, no hole; then it stays so")
{
	unsigned lengths[CAPACITY + 1] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim;
		const char *found = after_cut(seed, &sim);
		size_t len = strlen(found);

		ck_assert(len >= 2 && !strncmp("abcdef", found, len));
		lengths[len]++;
		ck_assert_uint_eq(zones_report(sim, 1).state,
				  len == CAPACITY ? IOMAP_ZONE_FULL : IOMAP_ZONE_CLOSED);
		ck_assert_uint_eq(zones_report(sim, 0).state, IOMAP_ZONE_EMPTY);
		if (len < CAPACITY) {
			ck_assert_int_eq(zones_append(sim, 1, "g", NULL), 0);
			ck_assert_int_eq(zones_word(sim, 1)[len], 'g');
		}
		zones_cut(sim);		/* what was found once is durable */
		ck_assert(!strncmp(zones_word(sim, 1), "abcdef", len));
		iomap_sim_delete(&sim);
	}
	for (unsigned i = 2; i <= CAPACITY; i++)
		ck_assert_uint_gt(lengths[i], 0);
}

/* A story of one letter a command: a letter appends it, R resets, E finishes, ! flushes. */
static void tell(struct iomap_sim *sim, unsigned zone, const char *story)
{
	for (; *story; story++) {
		const char word[2] = { *story, 0 };

		if (*story == 'R')
			ck_assert_int_eq(iomap_sim_zone_reset(sim, "disk", zone * ZONE), 0);
		else if (*story == 'E')
			ck_assert_int_eq(iomap_sim_zone_finish(sim, "disk", zone * ZONE), 0);
		else if (*story == '!')
			ck_assert_int_eq(iomap_sim_flush(sim, "disk"), 0);
		else
			ck_assert_int_eq(zones_append(sim, zone, word, NULL), 0);
	}
}

/* Of the words, all are found at some seed, and no others. */
static void ends(const char *preset, const char *story, const char *const *words)
{
	struct iomap_sim_profile p = zones_profile();
	unsigned found[8] = { 0 }, nr = 0;

	p.volatile_cache = strcmp(preset, "plp") != 0;
	while (words[nr])
		nr++;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim = zones_sim(&p, seed);
		const char *word;
		unsigned i = 0;

		tell(sim, 3, story);
		zones_cut(sim);
		word = zones_word(sim, 3);
		while (i < nr && strcmp(words[i], word))
			i++;
		ck_assert_msg(i < nr, "'%s' is found after %s", word, story);
		found[i]++;
		iomap_sim_delete(&sim);
	}
	for (unsigned i = 0; i < nr; i++)
		ck_assert_msg(found[i], "'%s' is never found after %s", words[i], story);
}

CASE(old_or_new_pointer, "O1", "A reset or finish happened or not; what is behind needs it")
{
	static const struct {
		const char *preset, *story, *words[8];
	} stories[] = {
		{ "zoned", "ab!R", { "ab", "" } },
		{ "zoned", "ab!R!", { "" } },
		{ "zoned", "ab!Rc", { "ab", "", "c" } },
		{ "zoned", "ab!Rc!", { "c" } },
		{ "zoned", "ab!Rc!R", { "c", "" } },
		{ "zoned", "ab!RcR!", { "" } },
		{ "zoned", "ab!E", { "ab", "ab...." } },
		{ "zoned", "ab!E!", { "ab...." } },
		{ "zoned", "ab!ER", { "ab", "ab....", "" } },
		{ "zoned", "abE!Rc", { "ab....", "", "c" } },
		{ "zoned", "a!R!b", { "", "b" } },
		{ "zoned", "abR", { "", "a", "ab" } },
		{ "plp", "abR", { "" } },
		{ "plp", "abRcE", { "c....." } },
	};

	for (size_t i = 0; i < sizeof(stories) / sizeof(*stories); i++)
		ends(stories[i].preset, stories[i].story, stories[i].words);
}

CASE(fua_carries_its_zone, "O7", "All before it in that zone; nothing of another")
{
	unsigned lost = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim = zones_new(seed);
		uint64_t addr;

		tell(sim, 0, "ab");
		tell(sim, 1, "xy");
		ck_assert_int_eq(iomap_sim_zone_append(sim, "disk", zones_pages("c"), PAGE, 0,
						       IOMAP_BIO_FUA, &addr), 0);
		tell(sim, 0, "d");
		zones_cut(sim);
		ck_assert(!strncmp(zones_word(sim, 0), "abcd", 3));
		lost += strlen(zones_word(sim, 1)) < 2;
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(lost, 0);
}

CASE(cut_at_every_event, "O1", "Appends in flight land in any order, or not; what was known stays")
{
	unsigned second_first = 0;

	for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
		static const char *const words[] = { "bb", "c", "dd" };
		struct iomap_sim *sim = zones_new(seed);
		uint64_t addr[3] = { 0 };
		const char *found;
		int rc = 0;

		tell(sim, 0, "a!");
		iomap_sim_cut_at(sim, 1 + seed % 13);
		for (unsigned i = 0; !rc && i < 3; i++)
			rc = iomap_sim_start_append(sim, "disk", zones_pages(words[i]),
						    strlen(words[i]) * PAGE, 0, 0, &addr[i]);
		zones_cut(sim);
		found = zones_word(sim, 0);
		ck_assert_int_eq(found[0], 'a');
		second_first += found[1] == 'c' || found[1] == 'd';
		for (unsigned i = 1; found[i]; i++)	/* each once */
			ck_assert(found[i] == found[i - 1] || !memchr(found, found[i], i));
		for (unsigned i = 0; i < 3; i++)	/* who was told was told right */
			ck_assert(!addr[i] || addr[i] / PAGE >= strlen(found) ||
				  found[addr[i] / PAGE] == words[i][0]);
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(second_first, 0);
}

CASE(a_failed_append_is_open_again, "O1",
     "Any length of it where nothing is behind it; else what reads found")
{
	unsigned lengths[5] = { 0 };

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim = zones_new(seed);
		size_t len;

		tell(sim, 2, "a");
		ck_assert_int_eq(iomap_sim_fault(sim, "at append kind=torn units=1"), 0);
		ck_assert_int_eq(zones_append(sim, 2, "bcd", NULL), -EIO);
		ck_assert_str_eq(zones_word(sim, 2), "ab");
		ck_assert_int_eq(iomap_sim_flush(sim, "disk"), 0);
		if (seed % 2)
			tell(sim, 2, "e!");
		zones_cut(sim);
		len = strlen(zones_word(sim, 2));
		if (seed % 2)
			ck_assert_str_eq(zones_word(sim, 2), "abe");
		else
			ck_assert(!strncmp(zones_word(sim, 2), "abcd", len) && len);
		lengths[len] += !(seed % 2);
		iomap_sim_delete(&sim);
	}
	for (unsigned i = 1; i <= 4; i++)
		ck_assert_uint_gt(lengths[i], 0);
}

CASE(a_device_that_goes_away, "O1", "What was on its way may be there after power-on, in one piece")
{
	unsigned there = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct iomap_sim *sim = zones_new(seed);
		uint64_t addr[2];

		tell(sim, 0, "a!");
		ck_assert_int_eq(iomap_sim_start_append(sim, "disk", zones_pages("b"), PAGE, 0, 0,
							&addr[0]), 0);
		ck_assert_int_eq(iomap_sim_fault(sim, "at append kind=removed"), 0);
		ck_assert_int_eq(iomap_sim_start_append(sim, "disk", zones_pages("c"), PAGE, 0, 0,
							&addr[1]), 0);
		ck_assert_int_eq(iomap_sim_wait_writes(sim), -ENODEV);
		zones_cut(sim);
		ck_assert(!strncmp(zones_word(sim, 0), "ab", strlen(zones_word(sim, 0))));
		there += strlen(zones_word(sim, 0)) == 2;
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(there, 0);
	ck_assert_uint_lt(there, SEEDS);
}

/* ---- in a case ---- */

static struct iomap_sim_profile profile;
static const struct iomap_sim_dev disk = {
	.name = "disk", .profile = &profile, .size = NR_ZONES * ZONE,
};
static unsigned candidates;		/* a bit for each letter, bit 0: nothing */
static unsigned read_letters, twice;

static unsigned bit_of(const uint8_t *mem)
{
	return mem[0] ? 1u << (mem[0] - 'a' + 1) : 1;
}

static int in_flight(struct iomap_sim *sim, void *arg)
{
	static uint64_t addr[3];
	int rc;

	(void)arg;
	tell(sim, 0, "a!b");
	rc = iomap_sim_start_append(sim, "disk", zones_pages("cd"), 2 * PAGE, 0, 0, &addr[0]);
	if (!rc)
		rc = iomap_sim_start_append(sim, "disk", zones_pages("e"), PAGE, 0, 0, &addr[1]);
	return rc ? rc : iomap_sim_wait_writes(sim);
}

static int note(void *arg, const void *mem, size_t len)
{
	ck_assert_uint_eq(len, PAGE);
	*(unsigned *)arg |= bit_of(mem);
	return 0;
}

/* What is read is one of the candidates; and once it was read, the only one. */
static int judge(struct iomap_sim *sim, void *arg)
{
	uint8_t mem[PAGE];
	unsigned before = 0, after = 0;

	(void)arg;
	ck_assert_int_eq(iomap_sim_each_candidate(sim, "disk", 2 * PAGE, note, &before), 0);
	ck_assert_int_eq(iomap_sim_pread(sim, "disk", mem, PAGE, 2 * PAGE), PAGE);
	ck_assert_int_eq(iomap_sim_each_candidate(sim, "disk", 2 * PAGE, note, &after), 0);
	ck_assert_uint_eq(after, bit_of(mem));
	ck_assert_uint_eq(before & after, after);
	candidates |= before;
	read_letters |= after;
	twice += (before & (before - 1)) != 0;
	return 0;
}

CASE(each_candidate_of_a_zone, "O1", "All that may be read in a block, and nothing else")
{
	static const struct iomap_sim_case looks = {
		.struct_size = sizeof(looks), .name = "looks", .devs = &disk, .nr_devs = 1,
		.work = in_flight, .check = judge,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	profile = zones_profile();
	ck_assert_msg(iomap_sim_exhaust(&looks, 0, &r) == 0, "%s", r.text);
	ck_assert(r.exhaustive);
	ck_assert_uint_eq(read_letters, candidates);
	ck_assert_uint_eq(candidates, 1u | 1u << 3 | 1u << 5);	/* nothing, c, e */
	ck_assert_uint_gt(twice, 0);
}

/* Recovery appends and flushes; power may go in it, and again it must find what there was. */
static char first_found[CAPACITY + 1];
static unsigned again, lengths_again[CAPACITY + 1];

static int three(struct iomap_sim *sim, void *arg)
{
	(void)arg;
	tell(sim, 1, "a!bR");
	tell(sim, 1, "c");
	return 0;
}

static int recover(struct iomap_sim *sim, void *arg)
{
	const char *found = zones_word(sim, 1);
	char mine = (char)('x' + again);
	const char word[2] = { mine, 0 };
	uint64_t addr;

	(void)arg;
	if (again++)	/* of recovery all, in parts, or nothing */
		lengths_again[strlen(found)]++;
	if (again > 1)
		ck_assert_msg(!strncmp(found, first_found, strlen(first_found)) &&
			      (!found[strlen(first_found)] || found[strlen(first_found)] == 'x'),
			      "'%s' after '%s'", found, first_found);
	else
		strcpy(first_found, found);
	return iomap_sim_zone_append(sim, "disk", zones_pages(word), PAGE, ZONE, 0, &addr) ||
	       iomap_sim_flush(sim, "disk") ? iomap_sim_is_off(sim) ? 0 : -EIO : 0;
}

static int done(struct iomap_sim *sim, void *arg)
{
	const char *found = zones_word(sim, 1);
	size_t len = strlen(found);

	(void)arg;
	if (!len || (found[len - 1] != 'x' && found[len - 1] != 'y'))
		return iomap_sim_fail(sim, "O9", "'%s' after recovery", found);
	again = 0;
	return 0;
}

CASE(a_second_cut, "O1 O9", "What recovery found it finds again, and then what it appended itself")
{
	static const struct iomap_sim_case nested = {
		.struct_size = sizeof(nested), .name = "nested", .devs = &disk, .nr_devs = 1,
		.work = three, .recover = recover, .check = done,
	};
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 400 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	unsigned seen = 0;

	profile = zones_profile();
	ck_assert_msg(iomap_sim_check(&nested, &cfg, &r) == 0, "%s", r.text);
	for (unsigned i = 0; i <= CAPACITY; i++)
		seen += lengths_again[i] != 0;
	ck_assert_uint_ge(seen, 3);
}

MAIN()
