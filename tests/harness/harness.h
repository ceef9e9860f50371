/* SPDX-License-Identifier: MIT */
/*
 * harness.h - what every test file is written with.
 *
 *	CASE(stale_map_is_asked_for_again, "I7 R1", "A map found stale is fetched again")
 *	{
 *		struct t_env t;
 *
 *		t_env_start(&t, NULL);
 *		ck_assert_int_eq(..);
 *		t_env_stop(&t);
 *	}
 *	MAIN()
 *
 * A case is one small story: name (lower case), the numbers it proves (may be ""), one line of
 * description.  The build finds the cases by this shape, one a line start, and gives each its own
 * ctest entry; each runs in a process of its own (Check forks).
 */
#ifndef T_HARNESS_H
#define T_HARNESS_H

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <iomap/iomap.h>

struct t_case {
	const char *name, *proves, *what, *file;
	const TTest *ttest;
	struct t_case *next;
	int timeout_s;		/* 0: the default of 20, scaled under sanitizers */
};
void t_case_add(struct t_case *c);
int t_main(int argc, char **argv);

#define CASE(name, proves, what) CASE_TIMEOUT(name, proves, what, 0)
/* The same with seconds of its own, for stories that count more than they wait. */
#define CASE_TIMEOUT(name, proves, what, seconds) \
	static void t_fn_##name(int _i); \
	static const TTest t_test_##name = { #name, t_fn_##name, __FILE__, __LINE__ }; \
	static struct t_case t_case_##name = { #name, proves, what, __FILE__, &t_test_##name, \
					       NULL, seconds }; \
	__attribute__((constructor)) static void t_add_##name(void) \
	{ \
		t_case_add(&t_case_##name); \
	} \
	static void t_fn_##name(int _i CK_ATTRIBUTE_UNUSED)
#define MAIN() int main(int argc, char **argv) { return t_main(argc, argv); }

/* Say why and leave the case; CI compares with tests/skips.txt. */
#define t_skip(reason) do { t_skip_(reason); return; } while (0)
void t_skip_(const char *reason);

/*
 * An environment that counts: allocations (stop asserts all came back), log reports, trace events.
 * fail_at: the k-th allocation from now fails (1: the next; 0: none).  Zero the struct or use
 * t_env_start, which does.
 */
#define T_MAX_TRACE 65536
struct t_env {
	struct iomap_env *env;
	uint64_t nr_allocs, nr_live, fail_at;
	unsigned nr_reports;
	char last_rule[16], last_callback[32], last_field[32];
	uint64_t last_value, last_bound;
	struct iomap_trace_record *trace;	/* recorded only after t_env_trace */
	unsigned nr_trace;
	const struct iomap_backend_ops **backends;	/* the harness's */
	void **backend_args;
};
/* opts may be NULL; allocator, log and trace hooks in it are replaced.  Device schemes "mem:",
 * "ram:" and whatever is built in are there. */
void t_env_start(struct t_env *t, const struct iomap_env_opts *opts);
/* The same, but t is zeroed by the caller, who may have set fail_at, and looks at the result. */
int t_env_try_start(struct t_env *t, const struct iomap_env_opts *opts);
void t_env_stop(struct t_env *t);
void t_env_trace(struct t_env *t);		/* record events from here on */
unsigned t_env_count(const struct t_env *t, enum iomap_trace_event event);

/* Deterministic pseudo-random numbers: no libc randomness in tests. */
uint64_t t_rand(uint64_t *state);
unsigned t_scale(void);		/* 1; more under sanitizers and valgrind, for time-outs only */
bool t_sanitized(void);

#endif
