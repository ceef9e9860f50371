/* SPDX-License-Identifier: MIT */
/*
 * test_exhaust.c - all works of two letters on two files of libiomap, with every crash and all that
 * may be found after it; and mistakes of the client, which show that it can fail.
 */
#include "harness/harness.h"
#include "two_files/alphabet.h"

/* What the devices did until then is told in its order. */
static void check_timeline(const char *text)
{
	unsigned long long ns, last = 0;
	unsigned nr = 0;

	text = strstr(text, "devices, until then:\n");
	ck_assert_ptr_nonnull(text);
	while ((text = strchr(text, '\n')) && sscanf(++text, "  %llu ns", &ns) == 1) {
		ck_assert_msg(ns >= last, "%.60s", text);
		last = ns;
		nr++;
	}
	ck_assert_uint_gt(nr, 10);
}

/* What it was found with; the report says the rest. */
static char *fails(unsigned bug, unsigned length, struct iomap_sim_report *report)
{
	struct alphabet a = { .bug = bug, .length = length };
	const struct iomap_sim_case *c = alphabet_init(&a);
	static char token[256];

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(iomap_sim_exhaust(c, 0, report), 1);
	check_timeline(report->text);
	strcpy(token, report->token);
	iomap_sim_report_fini(report);
	ck_assert_int_eq(iomap_sim_replay(c, token, report), 1);
	iomap_sim_report_fini(report);
	alphabet_fini(&a);
	return token;
}

CASE_TIMEOUT(all_words_of_two_letters, "O1 O2 O5",
	     "Nothing that was synced is lost, nothing else is found", 100)
{
	struct alphabet a = { .length = 2 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	const struct iomap_sim_case *c = alphabet_init(&a);
	int rc = iomap_sim_exhaust(c, 0, &r);

	ck_assert_msg(!rc, "%s", r.text ? r.text : "it cannot be run");
	ck_assert(r.exhaustive);
	ck_assert_uint_eq(a.nr_words, alphabet_words(2));
	ck_assert_uint_eq(a.nr_works, 1 + ALPHABET + ALPHABET * ALPHABET);
	ck_assert_uint_eq(r.runs, a.nr_works);
	/* It would prove little if each crash left one image, or work had few events. */
	ck_assert_uint_gt(r.crash_points, 8 * a.nr_works);
	ck_assert_uint_gt(r.images, 3 * r.crash_points / 2);
	printf("%llu words, %llu crashes, %llu images\n", (unsigned long long)a.nr_works,
	       (unsigned long long)r.crash_points, (unsigned long long)r.images);
	iomap_sim_report_fini(&r);
	alphabet_fini(&a);
}

CASE_TIMEOUT(all_words_on_other_devices, "O1",
	     "Without a cache, with an order, and where four blocks do not tear", 100)
{
	static const char *const presets[] = { "plp", "atomic16k", "multiqueue", "fifo" };

	for (unsigned i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
		struct alphabet a = { .length = 2, .preset = presets[i] };
		struct iomap_sim_report r = { .struct_size = sizeof(r) };
		int rc = iomap_sim_exhaust(alphabet_init(&a), 0, &r);

		ck_assert_msg(!rc, "%s: %s", presets[i], r.text ? r.text : "cannot be run");
		ck_assert(r.exhaustive);
		ck_assert_uint_eq(a.nr_words, alphabet_words(2));
		ck_assert_uint_gt(a.nr_images, r.crash_points);
		iomap_sim_report_fini(&r);
		alphabet_fini(&a);
	}
}

CASE(a_bound_is_no_proof, "", "Fewer images than there are: it is not called exhaustive")
{
	struct alphabet a = { .length = 2 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_int_eq(iomap_sim_exhaust(alphabet_init(&a), 100, &r), 0);
	ck_assert(!r.exhaustive);
	ck_assert_uint_lt(a.nr_words, alphabet_words(2));
	iomap_sim_report_fini(&r);
	alphabet_fini(&a);
}

CASE(words_can_be_left_out, "", "Those from one on are the ones that the others are not")
{
	struct alphabet all = { .length = 2 }, some = { .length = 2, .from = 77 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_int_eq(iomap_sim_exhaust(alphabet_init(&all), 0, &r), 0);
	iomap_sim_report_fini(&r);
	ck_assert_int_eq(iomap_sim_exhaust(alphabet_init(&some), 0, &r), 0);
	iomap_sim_report_fini(&r);
	ck_assert_uint_gt(some.nr_words, 0);
	ck_assert_uint_lt(some.nr_words, all.nr_words);
	ck_assert_uint_eq(some.next, all.next);
	alphabet_fini(&all);
	alphabet_fini(&some);
}

CASE(mistakes_are_found, "", "Each mistake of the client fails, by the oracle that it breaks")
{
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	fails(PAIR_BUG_EARLY, 2, &r);
	ck_assert_str_eq(r.oracle, "O3");	/* a block that nobody wrote yet */
	fails(PAIR_BUG_NO_FLUSH, 1, &r);
	ck_assert_str_eq(r.oracle, "O3");
	fails(PAIR_BUG_SIZE, 1, &r);
	ck_assert_str_eq(r.oracle, "O5");
}

CASE(mistakes_of_the_caller, "", "No such length, bug or device: there is no case")
{
	const struct alphabet wrong[] = {
		{ .length = 0 }, { .length = ALPHABET_MAX + 1 },
		{ .length = 1, .bug = PAIR_NR_BUGS },
		{ .length = 1, .preset = "cruel" }, { .length = 1, .preset = "tape" },
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct alphabet a = wrong[i];

		ck_assert_ptr_null(alphabet_init(&a));
	}
}

MAIN()
