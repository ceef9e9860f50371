/* SPDX-License-Identifier: MIT */
/*
 * test_base_env.c - options of an environment, its memory, the user's memory, fork.
 */
#include "harness/harness.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/trace.h"

/* ---- options ---- */

CASE(defaults_are_resolved, "", "Without options every hook is there and every pool has a size")
{
	const struct iomap_env_opts *o;
	struct iomap_env *env;
	char buf[8] = "";
	int64_t before;

	ck_assert_int_eq(iomap_env_new(NULL, &env), 0);
	o = iomapi_env_opts(env);
	ck_assert_uint_eq(o->nr_ioends, 64);
	ck_assert_uint_eq(o->nr_bios, 256);
	ck_assert_uint_eq(o->nr_segs, 1024);
	ck_assert(o->alloc && o->dealloc && o->log && o->trace && o->now_ns);
	ck_assert(o->sync && o->sync->wait && o->sync->yield);
	ck_assert(!o->executor);
	ck_assert_uint_eq(o->copy->copy_in(o->copy_arg, buf, "abc", 4), 4);
	ck_assert_str_eq(buf, "abc");
	before = iomapi_now(env);
	ck_assert_int_gt(before, 0);
	ck_assert_int_ge(iomapi_now(env), before);
	iomapi_report(env, .rule = "V1", .callback = "iomap_begin", .field = "offset");
	iomapi_trace(env, .event = IOMAP_TRACE_MAP);
	iomap_env_delete(&env);
	ck_assert_ptr_null(env);
	iomap_env_delete(&env);		/* nothing there: nothing done */
}

CASE(pool_sizes_are_clamped, "", "Sizes beyond the limits are brought to them")
{
	struct iomap_env_opts o = { .struct_size = sizeof(o), .nr_ioends = 1, .nr_bios = 2,
				    .nr_segs = 3 };
	struct iomap_env *env;

	ck_assert_int_eq(iomap_env_new(&o, &env), 0);
	ck_assert_uint_eq(iomapi_env_opts(env)->nr_ioends, 8);
	ck_assert_uint_eq(iomapi_env_opts(env)->nr_bios, 8);
	ck_assert_uint_eq(iomapi_env_opts(env)->nr_segs, 16);
	iomap_env_delete(&env);
	o.nr_segs = 1 << 30;
	ck_assert_int_eq(iomap_env_new(&o, &env), 0);
	ck_assert_uint_eq(iomapi_env_opts(env)->nr_segs, 4096);
	iomap_env_delete(&env);
}

static int64_t now_7(void *arg)
{
	(void)arg;
	return 7;
}

CASE(shorter_options_are_an_older_callers, "", "What a shorter struct does not have is default")
{
	struct iomap_env_opts o = { .struct_size = offsetof(struct iomap_env_opts, now_ns),
				    .nr_bios = 100, .now_ns = now_7,
				    .executor = (const void *)(uintptr_t)1 };
	struct iomap_env *env;

	ck_assert_int_eq(iomap_env_new(&o, &env), 0);
	ck_assert_uint_eq(iomapi_env_opts(env)->nr_bios, 100);
	ck_assert_int_ne(iomapi_now(env), 7);
	iomap_env_delete(&env);
}

CASE(longer_options_are_read_as_far_as_known, "",
     "A newer caller's fields behind ours are not read")
{
	struct {
		struct iomap_env_opts known;
		uint64_t more[8];
	} o = { .known = { .struct_size = sizeof(o), .now_ns = now_7 } };
	struct iomap_env *env;

	memset(o.more, 0xff, sizeof(o.more));
	ck_assert_int_eq(iomap_env_new(&o.known, &env), 0);
	ck_assert_int_eq(iomapi_now(env), 7);
	ck_assert_uint_eq(iomapi_env_opts(env)->struct_size, sizeof(struct iomap_env_opts));
	iomap_env_delete(&env);
}

static void *no_alloc(void *arg, size_t size, size_t align)
{
	(void)arg;
	(void)size;
	(void)align;
	return NULL;
}

static void queue_nowhere(void *arg, struct iomap_work *work)
{
	(void)arg;
	(void)work;
}

static size_t copy_nothing(void *arg, void *dst, const void *user, size_t len)
{
	(void)arg;
	(void)dst;
	(void)user;
	(void)len;
	return 0;
}

static int try(const struct iomap_env_opts *o)
{
	struct iomap_env *env = (void *)(uintptr_t)16;
	int err = iomap_env_new(o, &env);

	ck_assert(err || env);
	if (err)
		ck_assert_ptr_null(env);
	iomap_env_delete(&env);
	return err;
}

CASE(nonsense_is_refused, "", "Half a table, an unknown value, a size too small: -EINVAL")
{
	const struct iomap_sync_ops no_sync = { .struct_size = sizeof(no_sync) };
	const struct iomap_executor_ops half = { .struct_size = sizeof(half),
						 .queue = queue_nowhere };
	const struct iomap_copy_ops one_way = { .struct_size = sizeof(one_way),
						.copy_in = copy_nothing };
	const struct iomap_executor_ops no_size = { .queue = queue_nowhere };
	const struct iomap_env_opts empty = { .struct_size = sizeof(empty) };
	struct iomap_env_opts o;
	void *arg = NULL;

	ck_assert_int_eq(try(&empty), 0);
	ck_assert_int_eq(iomap_env_new(&empty, NULL), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = 0 };
	ck_assert_int_eq(try(&o), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = sizeof(o), .callbacks = 2 };
	ck_assert_int_eq(try(&o), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = sizeof(o), .alloc = no_alloc };
	ck_assert_int_eq(try(&o), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = sizeof(o), .sync = &no_sync };
	ck_assert_int_eq(try(&o), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = sizeof(o), .executor = &half };
	ck_assert_int_eq(try(&o), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = sizeof(o), .executor = &no_size };
	ck_assert_int_eq(try(&o), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = sizeof(o), .copy = &one_way };
	ck_assert_int_eq(try(&o), -EINVAL);
	o = (struct iomap_env_opts){ .struct_size = sizeof(o), .backend_args = &arg };
	ck_assert_int_eq(try(&o), -EINVAL);
}

CASE(failed_allocation_leaves_nothing, "",
     "Each allocation of env_new fails once: -ENOMEM, all freed")
{
	struct t_env t;
	uint64_t k;
	int err = -ENOMEM;

	for (k = 1; err; k++) {
		ck_assert_uint_lt(k, 1000);
		memset(&t, 0, sizeof(t));
		t.fail_at = k;
		err = t_env_try_start(&t, NULL);
		ck_assert(!err || err == -ENOMEM);
		ck_assert(!err || !t.nr_live);
	}
	ck_assert_uint_gt(k, 2);
	t_env_stop(&t);
}

CASE(memory_is_zeroed_and_aligned, "",
     "zalloc gives zeroes on a cache line; freeing nothing is fine")
{
	struct t_env t;
	char *mem;

	t_env_start(&t, NULL);
	mem = iomapi_alloc(t.env, 200, 64);
	memset(mem, 0xee, 200);
	iomapi_free(t.env, mem, 200);
	mem = iomapi_zalloc(t.env, 200);
	ck_assert_uint_eq((uintptr_t)mem % 64, 0);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(mem[i], 0);
	iomapi_free(t.env, mem, 200);
	iomapi_free(t.env, NULL, 200);
	t.fail_at = 1;
	ck_assert_ptr_null(iomapi_zalloc(t.env, 1));
	t_env_stop(&t);
}

/* ---- log and trace ---- */

CASE(report_reaches_the_hook, "", "Rule, callback, field and values come out as they went in")
{
	struct t_env t;

	t_env_start(&t, NULL);
	iomapi_report(t.env, .rule = "V4", .callback = "iomap_begin", .field = "addr", .value = 5,
		      .bound = 4);
	ck_assert_uint_eq(t.nr_reports, 1);
	ck_assert_str_eq(t.last_rule, "V4");
	ck_assert_str_eq(t.last_callback, "iomap_begin");
	ck_assert_str_eq(t.last_field, "addr");
	ck_assert_uint_eq(t.last_value, 5);
	ck_assert_uint_eq(t.last_bound, 4);
	t_env_stop(&t);
}

CASE(trace_stamps_the_time, "", "An event reaches the hook with size and time; each has a name")
{
	struct t_env t;

	t_env_start(&t, NULL);
	t_env_trace(&t);
	iomapi_trace(t.env, .event = IOMAP_TRACE_FLUSH, .pos = 3, .len = 4, .result = -5);
	ck_assert_uint_eq(t.nr_trace, 1);
	ck_assert_uint_eq(t.trace[0].struct_size, sizeof(struct iomap_trace_record));
	ck_assert_uint_eq(t.trace[0].event, IOMAP_TRACE_FLUSH);
	ck_assert_int_eq(t.trace[0].pos, 3);
	ck_assert_uint_eq(t.trace[0].len, 4);
	ck_assert_int_eq(t.trace[0].result, -5);
	ck_assert_int_gt(t.trace[0].time_ns, 0);
	for (int i = IOMAP_TRACE_ITER_BEGIN; i <= IOMAP_TRACE_ZERO; i++) {
		const char *name = iomap_trace_name((enum iomap_trace_event)i);

		ck_assert_ptr_nonnull(name);
		ck_assert_str_ne(name, "unknown");
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(name, iomap_trace_name((enum iomap_trace_event)j));
	}
	ck_assert_str_eq(iomap_trace_name((enum iomap_trace_event)1000), "unknown");
	t_env_stop(&t);
}

/* ---- user memory ---- */

#define PAGE 4096
#define GOOD 100		/* pages; more than one batch of segments */

CASE(bad_memory_gives_a_short_count, "", "copy_vm stops at the page that is not there, both ways")
{
	const struct iomap_copy_ops *vm = iomap_copy_vm();
	size_t len = (GOOD + 1) * PAGE;
	char *user = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *mine = calloc(1, len);

	ck_assert(user != MAP_FAILED && mine);
	for (size_t i = 0; i < len; i++)
		user[i] = (char)(i * 7 + i / PAGE);
	ck_assert_int_eq(mprotect(user + GOOD * PAGE, PAGE, PROT_NONE), 0);

	errno = 77;
	ck_assert_uint_eq(vm->copy_in(NULL, mine, user + 5, len - 5), GOOD * PAGE - 5);
	ck_assert_mem_eq(mine, user + 5, GOOD * PAGE - 5);
	ck_assert_uint_eq(vm->copy_in(NULL, mine, user + GOOD * PAGE, 1), 0);
	ck_assert_uint_eq(vm->copy_in(NULL, mine, user + 1, 9), 9);
	ck_assert_uint_eq(vm->copy_in(NULL, mine, user, 0), 0);

	memset(mine, 0x55, len);
	ck_assert_uint_eq(vm->copy_out(NULL, user + 3, mine, len - 3), GOOD * PAGE - 3);
	ck_assert_mem_eq(mine, user + 3, GOOD * PAGE - 3);
	ck_assert_uint_eq(vm->copy_out(NULL, NULL, mine, 1), 0);
	ck_assert_int_eq(errno, 77);
	munmap(user, len);
	free(mine);
}

CASE(copy_out_stops_at_read_only_memory, "",
     "A page that may be read but not written ends the copy")
{
	const struct iomap_copy_ops *vm = iomap_copy_vm();
	char *user = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	char mine[2 * PAGE];

	ck_assert(user != MAP_FAILED);
	memset(mine, 1, sizeof(mine));
	ck_assert_int_eq(mprotect(user + PAGE, PAGE, PROT_READ), 0);
	ck_assert_uint_eq(vm->copy_out(NULL, user, mine, sizeof(mine)), PAGE);
	ck_assert_int_eq(user[PAGE - 1], 1);
	ck_assert_int_eq(user[PAGE], 0);
	ck_assert_uint_eq(vm->copy_in(NULL, mine, user, sizeof(mine)), 2 * PAGE);
	munmap(user, 2 * PAGE);
}

/* ---- fork ---- */

CASE(child_knows_that_it_is_one, "", "In a forked child waits are -ECHILD, and delete only frees")
{
	iomap_word word = 0;
	struct t_env t;
	int status;
	pid_t pid;

	t_env_start(&t, NULL);
	ck_assert(!iomapi_forked(t.env));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		bool ok = iomapi_forked(t.env) &&
			  iomap_env_wait(t.env, &word, 0, IOMAP_FOREVER) == -ECHILD &&
			  iomap_env_run_callbacks(t.env, 1) == -ECHILD;

		iomap_env_delete(&t.env);
		ok = ok && !t.nr_live;
		_exit(ok ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	ck_assert(!iomapi_forked(t.env));
	t_env_stop(&t);
}

MAIN()
