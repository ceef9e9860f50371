/* SPDX-License-Identifier: MIT */
/*
 * harness.c - runs the cases of one test program and watches the environments they open.
 *
 * Each case runs in a child (Check forks), so nothing it breaks reaches the next.  What a child has
 * to say beyond pass or fail, the reason of a skip, stands in memory shared with it.  A case that
 * passed leaves a file with the numbers it proves in the ledger; whatever stood there before goes
 * away first, so that a file always speaks of the latest run.
 *
 * Threads: counters of struct t_env are atomic, the last report has a lock; all else is the main
 * thread's.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "new_backend/ram.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iomap/trace.h>

#define EXIT_SKIPPED	77
#define DEFAULT_SECONDS	20		/* a hang, on a busy machine too */
#define MAX_REASON	200

/* ---- cases ---- */

static struct t_case *cases, **cases_end = &cases;
static char *skip_reason;		/* shared with the children; empty: not skipped */

void t_case_add(struct t_case *c)
{
	*cases_end = c;
	cases_end = &c->next;
}

void t_skip_(const char *reason)
{
	snprintf(skip_reason, MAX_REASON, "%s", reason);
}

bool t_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
	return true;
#endif
#endif
	return false;
}

unsigned t_scale(void)
{
	const char *preload = getenv("LD_PRELOAD");

	if (preload && strstr(preload, "vgpreload"))
		return 50;
	return t_sanitized() ? 10 : 1;
}

uint64_t t_rand(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;	/* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* <ledger>/<label>.<file>.<case><suffix> for tests/<label>/test_<file>.c; false: no ledger. */
static bool ledger_path(const struct t_case *c, const char *suffix, char *path, size_t size)
{
	const char *dir = getenv("T_LEDGER_DIR") ? getenv("T_LEDGER_DIR") : T_LEDGER_DIR;
	const char *base = strrchr(c->file, '/'), *label = base;

	if (!*dir || !base || strncmp(base, "/test_", 6))
		return false;
	while (label > c->file && label[-1] != '/')
		label--;
	mkdir(dir, 0777);
	snprintf(path, size, "%s/%.*s.%.*s.%s%s", dir, (int)(base - label), label,
		 (int)(strlen(base + 6) - 2), base + 6, c->name, suffix);
	return true;
}

static void ledger_forget(const struct t_case *c)
{
	char path[4096];

	if (ledger_path(c, "", path, sizeof(path)))
		unlink(path);
	if (ledger_path(c, ".skip", path, sizeof(path)))
		unlink(path);
}

static int ledger_write(const struct t_case *c, const char *suffix, const char *text)
{
	char path[4096];
	FILE *f;

	if (!ledger_path(c, suffix, path, sizeof(path)))
		return 0;
	f = fopen(path, "w");
	if (!f || fprintf(f, "%s\n", text) < 0 || fclose(f)) {
		fprintf(stderr, "%s: cannot write the ledger\n", path);
		return 1;
	}
	return 0;
}

static void print_failure(const struct t_case *c, SRunner *runner)
{
	TestResult **failures = srunner_failures(runner);

	for (int i = 0; i < srunner_ntests_failed(runner); i++)
		printf("%s:%d:%c:%s: %s\n", tr_lfile(failures[i]), tr_lno(failures[i]),
		       tr_rtype(failures[i]) == CK_FAILURE ? 'F' : 'E', c->name,
		       tr_msg(failures[i]));
	free(failures);
}

/* 0 passed, EXIT_SKIPPED, 1 failed. */
static int run_case(const struct t_case *c)
{
	unsigned seconds = c->timeout_s ? (unsigned)c->timeout_s : DEFAULT_SECONDS;
	Suite *suite = suite_create(c->file);
	TCase *tcase = tcase_create(c->name);
	SRunner *runner;
	int failed;

	ledger_forget(c);
	skip_reason[0] = '\0';
	_tcase_add_test(tcase, c->ttest, 0, 0, 0, 1);
	tcase_set_timeout(tcase, seconds * t_scale());
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner) || srunner_ntests_run(runner) != 1;
	print_failure(c, runner);
	srunner_free(runner);
	if (failed)
		return 1;
	if (skip_reason[0]) {
		printf("skipped: %s: %s\n", c->name, skip_reason);
		return ledger_write(c, ".skip", skip_reason) ? 1 : EXIT_SKIPPED;
	}
	return ledger_write(c, "", c->proves);
}

static int list_cases(void)
{
	for (const struct t_case *c = cases; c; c = c->next)
		printf("%s\t%s\t%s\n", c->name, c->proves, c->what);
	return 0;
}

static int usage(const char *program)
{
	fprintf(stderr, "usage: %s [--list | --case NAME]\n", program);
	return 2;
}

int t_main(int argc, char **argv)
{
	unsigned nr[3] = { 0 };			/* passed, failed, skipped */
	const char *only = NULL;

	if (argc == 2 && !strcmp(argv[1], "--list"))
		return list_cases();
	if (argc == 3 && !strcmp(argv[1], "--case"))
		only = argv[2];
	else if (argc != 1)
		return usage(argv[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	skip_reason = mmap(NULL, MAX_REASON, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	if (skip_reason == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (const struct t_case *c = cases; c; c = c->next) {
		int rc;

		if (only && strcmp(only, c->name))
			continue;
		rc = run_case(c);
		nr[rc == EXIT_SKIPPED ? 2 : rc]++;
	}
	printf("%s: %u passed, %u failed, %u skipped\n", argv[0], nr[0], nr[1], nr[2]);
	if (nr[1] || nr[0] + nr[2] == 0)
		return 1;
	return nr[0] ? 0 : EXIT_SKIPPED;
}

/* ---- the watched environment ---- */

/* Stands right before each allocation; its size is a multiple of any alignment asked for. */
struct header {
	uint64_t magic;
	size_t size, pad;
};
#define HEADER_MAGIC	0x6c69766520616c6cull
#define MIN_ALIGN	64

/* Is it this allocation's turn to fail?  fail_at counts down to it. */
static bool must_fail(struct t_env *t)
{
	uint64_t left = __atomic_load_n(&t->fail_at, __ATOMIC_RELAXED);

	while (left)
		if (__atomic_compare_exchange_n(&t->fail_at, &left, left - 1, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return left == 1;
	return false;
}

static void *counting_alloc(void *arg, size_t size, size_t align)
{
	size_t pad = align > MIN_ALIGN ? align : MIN_ALIGN;
	struct t_env *t = arg;
	struct header *header;
	void *raw;

	__atomic_add_fetch(&t->nr_allocs, 1, __ATOMIC_RELAXED);
	if (must_fail(t) || size > SIZE_MAX - pad || posix_memalign(&raw, pad, pad + size))
		return NULL;
	__atomic_add_fetch(&t->nr_live, 1, __ATOMIC_RELAXED);
	header = (struct header *)((char *)raw + pad) - 1;
	*header = (struct header){ HEADER_MAGIC, size, pad };
	return header + 1;
}

static void counting_dealloc(void *arg, void *mem, size_t size)
{
	struct header *header = (struct header *)mem - 1;
	struct t_env *t = arg;

	if (!mem)
		return;
	ck_assert_msg(header->magic == HEADER_MAGIC, "freed what was never allocated, or twice");
	ck_assert_msg(header->size == size, "allocated %zu bytes, freed as %zu", header->size,
		      size);
	header->magic = 0;
	__atomic_sub_fetch(&t->nr_live, 1, __ATOMIC_RELAXED);
	free((char *)mem - header->pad);
}

static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;

static void copy_word(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

static void record_log(void *arg, const struct iomap_log_record *record)
{
	struct t_env *t = arg;

	pthread_mutex_lock(&report_lock);
	t->nr_reports++;
	copy_word(t->last_rule, sizeof(t->last_rule), record->rule);
	copy_word(t->last_callback, sizeof(t->last_callback), record->callback);
	copy_word(t->last_field, sizeof(t->last_field), record->field);
	t->last_value = record->value;
	t->last_bound = record->bound;
	pthread_mutex_unlock(&report_lock);
}

/* The slot is taken before it is filled: read the records when the threads are done. */
static void record_trace(void *arg, const struct iomap_trace_record *record)
{
	struct t_env *t = arg;
	struct iomap_trace_record *trace = __atomic_load_n(&t->trace, __ATOMIC_ACQUIRE);
	unsigned i;

	if (!trace)
		return;
	i = __atomic_fetch_add(&t->nr_trace, 1, __ATOMIC_RELAXED);
	if (i < T_MAX_TRACE)
		trace[i] = *record;
	else
		__atomic_store_n(&t->nr_trace, T_MAX_TRACE, __ATOMIC_RELAXED);
}

void t_env_trace(struct t_env *t)
{
	t->nr_trace = 0;
	if (!t->trace) {
		struct iomap_trace_record *trace = calloc(T_MAX_TRACE, sizeof(*trace));

		ck_assert_ptr_nonnull(trace);
		__atomic_store_n(&t->trace, trace, __ATOMIC_RELEASE);
	}
}

unsigned t_env_count(const struct t_env *t, enum iomap_trace_event event)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->nr_trace; i++)
		n += t->trace[i].event == (uint32_t)event;
	return n;
}

/* What the test asked for, behind it mem: and the ram: of examples/new_backend. */
static void list_backends(struct t_env *t, const struct iomap_env_opts *opts)
{
	unsigned n = 0;

	while (opts && opts->backends && opts->backends[n])
		n++;
	t->backends = calloc(n + 3, sizeof(*t->backends));
	t->backend_args = calloc(n + 3, sizeof(*t->backend_args));
	ck_assert(t->backends && t->backend_args);
	for (unsigned i = 0; i < n; i++) {
		t->backends[i] = opts->backends[i];
		t->backend_args[i] = opts->backend_args ? opts->backend_args[i] : NULL;
	}
	t->backends[n] = &t_mem_backend;
	t->backends[n + 1] = &ram_backend;
}

static void forget(struct t_env *t)
{
	free(t->backends);
	free(t->backend_args);
	free(t->trace);
	t->backends = NULL;
	t->backend_args = NULL;
	t->trace = NULL;
	t->nr_trace = 0;
}

int t_env_try_start(struct t_env *t, const struct iomap_env_opts *opts)
{
	struct iomap_env_opts o = { 0 };
	int rc;

	if (opts)
		o = *opts;
	o.struct_size = sizeof(o);
	list_backends(t, opts);
	o.alloc = counting_alloc;
	o.dealloc = counting_dealloc;
	o.alloc_arg = t;
	o.log = record_log;
	o.log_arg = t;
	o.trace = record_trace;
	o.trace_arg = t;
	o.backends = t->backends;
	o.backend_args = t->backend_args;
	rc = iomap_env_new(&o, &t->env);
	if (rc) {
		ck_assert_msg(t->nr_live == 0, "iomap_env_new failed and left %llu allocations",
			      (unsigned long long)t->nr_live);
		forget(t);
	}
	return rc;
}

void t_env_start(struct t_env *t, const struct iomap_env_opts *opts)
{
	memset(t, 0, sizeof(*t));
	ck_assert_int_eq(t_env_try_start(t, opts), 0);
}

void t_env_stop(struct t_env *t)
{
	iomap_env_delete(&t->env);
	ck_assert_ptr_null(t->env);
	ck_assert_msg(t->nr_live == 0, "%llu allocations left after iomap_env_delete",
		      (unsigned long long)t->nr_live);
	forget(t);
}
