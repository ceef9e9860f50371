/* SPDX-License-Identifier: MIT */
/*
 * test_arena.c - runs of pages out of one piece of memory.
 */
#include "harness/harness.h"

#include "cache/cache.h"

#define PAGE 4096ul

static void start(struct t_env *t, struct iomapi_arena *arena, size_t bytes)
{
	t_env_start(t, NULL);
	ck_assert_int_eq(iomapi_arena_init(arena, t->env, bytes), 0);
}

static void stop(struct t_env *t, struct iomapi_arena *arena)
{
	ck_assert_uint_eq(arena->nr_free, arena->nr_pages);
	iomapi_arena_fini(arena, t->env);
	t_env_stop(t);
}

CASE(every_page_is_given_once, "",
     "Single pages: all of them, each once, then none; and all come back")
{
	struct iomapi_arena arena;
	unsigned nr = 1000;		/* the last word of the bitmap is a part */
	char *mem, seen[1000] = { 0 };
	struct t_env t;

	start(&t, &arena, nr * PAGE);
	for (unsigned i = 0; i < nr; i++) {
		mem = iomapi_arena_alloc(&arena, 1, NULL);
		ck_assert_ptr_nonnull(mem);
		ck_assert(mem >= arena.mem && mem < arena.mem + nr * PAGE);
		ck_assert_int_eq(seen[(mem - arena.mem) / (long)PAGE]++, 0);
	}
	ck_assert_ptr_null(iomapi_arena_alloc(&arena, 1, NULL));
	for (unsigned i = 0; i < nr; i++)
		iomapi_arena_free(&arena, arena.mem + i * PAGE, 1);
	stop(&t, &arena);
}

CASE(runs_are_aligned_to_themselves, "", "A run of 2^k pages begins at a multiple of 2^k pages")
{
	struct iomapi_arena arena;
	struct t_env t;
	char *single, *mem[10];

	start(&t, &arena, 8ul << 20);
	ck_assert_uint_eq((uintptr_t)arena.mem % (2ul << 20), 0);
	single = iomapi_arena_alloc(&arena, 1, NULL);
	for (unsigned k = 0; k < 10; k++) {
		mem[k] = iomapi_arena_alloc(&arena, 1u << k, NULL);
		ck_assert_ptr_nonnull(mem[k]);
		ck_assert_uint_eq((size_t)(mem[k] - arena.mem) % (PAGE << k), 0);
	}
	for (unsigned k = 0; k < 10; k++)
		iomapi_arena_free(&arena, mem[k], 1u << k);
	iomapi_arena_free(&arena, single, 1);
	stop(&t, &arena);
}

CASE(memory_follows_memory, "",
     "A stream gets the memory behind its last run, also when others come between")
{
	enum { N = 120 };
	struct iomapi_arena arena;
	char *a[N], *b[N];
	unsigned jumps = 0;
	struct t_env t;

	start(&t, &arena, 8ul << 20);
	for (unsigned i = 0; i < N; i++) {
		char *after_a = i ? a[i - 1] + PAGE : NULL;
		char *after_b = i ? b[i - 1] + 2 * PAGE : NULL;

		a[i] = iomapi_arena_alloc(&arena, 1, after_a);
		b[i] = iomapi_arena_alloc(&arena, 2, after_b);
		ck_assert(a[i] && b[i]);
		jumps += i && a[i] != after_a;
		jumps += i && b[i] != after_b;
	}
	/* One of the two had to move out of the other's way, and each when its word was full. */
	ck_assert_uint_le(jumps, 1 + N / 64 + 2 * N / 64 + 1);
	for (unsigned i = 0; i < N; i++) {
		iomapi_arena_free(&arena, a[i], 1);
		iomapi_arena_free(&arena, b[i], 2);
	}
	stop(&t, &arena);
}

CASE(the_last_page_has_no_next, "", "A stream at the very end of the arena goes on elsewhere")
{
	struct iomapi_arena arena;
	struct t_env t;
	char *mem;

	start(&t, &arena, 128 * PAGE);
	mem = iomapi_arena_alloc(&arena, 1, arena.mem + 128 * PAGE);
	ck_assert_ptr_nonnull(mem);
	iomapi_arena_free(&arena, mem, 1);
	stop(&t, &arena);
}

CASE(pieces_make_a_run_again, "", "What was freed piece by piece can be had as one run of 2 MiB")
{
	struct iomapi_arena arena;
	struct t_env t;
	void *mem;

	start(&t, &arena, 2ul << 20);
	for (unsigned i = 0; i < 512; i++)
		ck_assert_ptr_nonnull(iomapi_arena_alloc(&arena, 1, NULL));
	for (unsigned i = 0; i < 511; i++)
		iomapi_arena_free(&arena, arena.mem + i * PAGE, 1);
	ck_assert_ptr_null(iomapi_arena_alloc(&arena, 512, NULL));
	iomapi_arena_free(&arena, arena.mem + 511 * PAGE, 1);
	mem = iomapi_arena_alloc(&arena, 512, NULL);
	ck_assert_ptr_eq(mem, arena.mem);
	iomapi_arena_free(&arena, mem, 512);
	stop(&t, &arena);
}

struct run {
	uint32_t page;
	unsigned nr;
};

static bool model_free(const bool *used, uint32_t page, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		if (used[page + i])
			return false;
	return true;
}

/* Is there an aligned run of nr free pages? */
static bool model_has(const bool *used, unsigned pages, unsigned nr)
{
	for (uint32_t page = 0; page + nr <= pages; page += nr)
		if (model_free(used, page, nr))
			return true;
	return false;
}

static void mark(bool *used, struct run run, bool value)
{
	for (unsigned i = 0; i < run.nr; i++)
		used[run.page + i] = value;
}

CASE(random_runs_against_an_array, "",
     "Random runs: never two in one place, and found whenever there is one")
{
	enum { PAGES = 1024 + 40 };
	static bool used[PAGES];
	static struct run runs[PAGES];
	uint64_t seed = 1;
	struct iomapi_arena arena;
	unsigned nr_runs = 0;
	struct t_env t;

	start(&t, &arena, PAGES * PAGE);
	for (unsigned i = 0; i < 30000; i++) {
		uint64_t r = t_rand(&seed);

		if (r % 5 < 3) {
			unsigned nr = 1u << (r >> 8) % 10;
			void *next = r >> 20 & 1 ? arena.mem + (r >> 32) % PAGES * PAGE : NULL;
			char *mem = iomapi_arena_alloc(&arena, nr, next);

			ck_assert(mem || !model_has(used, PAGES, nr));
			if (!mem)
				continue;
			runs[nr_runs] = (struct run){ (uint32_t)((mem - arena.mem) / (long)PAGE),
						      nr };
			ck_assert_uint_le(runs[nr_runs].page + nr, PAGES);
			ck_assert(model_free(used, runs[nr_runs].page, nr));
			mark(used, runs[nr_runs++], true);
		} else if (nr_runs) {
			unsigned at = (r >> 8) % nr_runs;

			iomapi_arena_free(&arena, arena.mem + runs[at].page * PAGE, runs[at].nr);
			mark(used, runs[at], false);
			runs[at] = runs[--nr_runs];
		}
	}
	while (nr_runs--)
		iomapi_arena_free(&arena, arena.mem + runs[nr_runs].page * PAGE, runs[nr_runs].nr);
	stop(&t, &arena);
}

CASE(no_memory_no_arena, "", "Each allocation of init can fail: -ENOMEM and nothing is left")
{
	struct iomapi_arena arena;
	struct t_env t;
	unsigned failed;
	int rc = -ENOMEM;

	t_env_start(&t, NULL);
	for (failed = 0; rc; failed++) {
		uint64_t live = t.nr_live;

		t.fail_at = failed + 1;
		rc = iomapi_arena_init(&arena, t.env, 1 << 20);
		ck_assert(rc == 0 || rc == -ENOMEM);
		if (rc)
			ck_assert_uint_eq(t.nr_live, live);
	}
	ck_assert_uint_eq(failed, 4);	/* three allocations, then none fails */
	t.fail_at = 0;
	iomapi_arena_fini(&arena, t.env);
	t_env_stop(&t);
}
MAIN()
