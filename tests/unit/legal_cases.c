/* SPDX-License-Identifier: MIT */
/*
 * legal_cases.c - the cases of test_sim_legal.c without Check, for a program of their own.
 *
 * The test is included as it stands.  What it has of the harness is defined here instead: a case is
 * an entry of a list, in the order of the file, and an assertion that fails ends it.
 */
#define T_HARNESS_H		/* in place of harness/harness.h */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/legal_cases.h"

#define MAX_CASES	64u

static struct legal_cases *cases;	/* that are run now */
static jmp_buf out;
static char wrong[1024];
static struct {
	const char *name;
	void (*fn)(void);
} all_cases[MAX_CASES];
static unsigned nr_cases;

static void add_case(const char *name, void (*fn)(void))
{
	if (nr_cases == MAX_CASES)
		abort();
	all_cases[nr_cases].name = name;
	all_cases[nr_cases++].fn = fn;
}

__attribute__((format(printf, 1, 2), noreturn))
static void end_case(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(wrong, sizeof(wrong), format, args);
	va_end(args);
	longjmp(out, 1);
}

#define CASE_TIMEOUT(name, proves, what, seconds) CASE(name, proves, what)
#define CASE(name, proves, what) \
	static void case_##name(void); \
	__attribute__((constructor)) static void add_##name(void) \
	{ \
		add_case(#name, case_##name); \
	} \
	static void case_##name(void)
#define MAIN()

#define ck_assert(x) do { if (!(x)) end_case("%s:%d: %s", __FILE__, __LINE__, #x); } while (0)
#define ck_assert_msg(x, ...) do { if (!(x)) end_case(__VA_ARGS__); } while (0)
#define ck_assert_ptr_nonnull(x) ck_assert(x)
#define ck_assert_int_eq(a, b) ck_assert((a) == (b))
#define ck_assert_int_ge(a, b) ck_assert((a) >= (b))
#define ck_assert_uint_eq(a, b) ck_assert((a) == (b))
#define ck_assert_uint_gt(a, b) ck_assert((a) > (b))
#define t_sanitized() false
#define printf(...) ((void)snprintf(wrong, sizeof(wrong), __VA_ARGS__))

#define TRACES	(cases->traces)
#define LETTERS	(cases->letters)
#define FIRST	(cases->seed)

struct world;
static void ran(const struct world *w);
static void ends(const struct world *w);
static struct world *open_world;	/* of a case that fails somebody has to close it */
#define world_starts(w)	(open_world = (w))
#define world_ran(w)	ran(w)
#define world_ends(w)	ends(w)

#include "unit/test_sim_legal.c"

static void ran(const struct world *w)
{
	(void)w;
	if (cases->stop && cases->stop(cases->stop_arg))
		longjmp(out, 2);
}

static void ends(const struct world *w)
{
	open_world = NULL;
	cases->nr_traces += w->nr_traces;
	cases->nr_images += w->nr_images;
	cases->nr_generated += w->nr_generated;
	cases->nr_accepted += w->nr_accepted;
	cases->nr_alphabets += w->collects;
}

/* A trace was judged, and nothing runs. */
static void close_world(void)
{
	struct world *w = open_world;

	world_stop(w);
	free(w);
}

unsigned legal_cases_nr(void)
{
	return nr_cases;
}

const char *legal_cases_name(unsigned n)
{
	return n < nr_cases ? all_cases[n].name : NULL;
}

int legal_cases_run(struct legal_cases *c, unsigned n, const char **text)
{
	int how;

	*text = wrong;
	wrong[0] = 0;
	cases = c;
	how = setjmp(out);
	if (!how)
		all_cases[n].fn();
	else if (open_world && open_world->run && !open_world->run->depth)
		close_world();
	return how > 1 ? -ECANCELED : how;
}
