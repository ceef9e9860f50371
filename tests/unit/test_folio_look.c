/* SPDX-License-Identifier: MIT */
/*
 * test_folio_look.c - a look at a folio's blocks without its lock, while the state goes away.
 *
 * One thread plays both: the looker finds the state lock taken and yields, and in that moment its
 * holder drops the state and lets go.  Whoever reads the state all the same meets a signal, which
 * becomes a failed assertion.
 */
#include "unit/cache_fixture.h"
#include "unit/one_thread.h"

#include <setjmp.h>
#include <signal.h>

#define BLOCK	1024u
#define NR	4u
#define SIZE	(NR * BLOCK)

/* ---- what the environment stands on ---- */

static struct iomap_folio *contended;
static unsigned nr_yields;

static void drop_the_state(void *arg, const char *site)
{
	(void)arg;
	if (!contended || strcmp(site, "folio_state"))
		return;
	nr_yields++;
	contended->state = NULL;
	iomapi_and(&contended->flags, ~IOMAPI_FOLIO_STATE_LOCK);
	contended = NULL;
}

static const struct iomap_sync_ops sync_ops = {
	.struct_size = sizeof(sync_ops), .wait = no_wait, .wake = no_wake, .self = only_self,
	.spawn = no_spawn, .join = no_join, .yield = drop_the_state,
};

static void start(struct cf *c)
{
	const struct iomap_env_opts env_opts = {
		.struct_size = sizeof(env_opts), .sync = &sync_ops,
	};
	const struct iomap_cache_opts opts = {
		.struct_size = sizeof(opts), .bytes = 1 << 20,
	};

	memset(c, 0, sizeof(*c));
	t_env_start(&c->t, &env_opts);
	ck_assert_int_eq(iomap_cache_new(c->t.env, &opts, &c->cache), 0);
	ck_assert_int_eq(iomap_volume_new(c->t.env, c->cache, &cf_volume_ops, NULL, &c->volume), 0);
	cf_add_inode(c, c, 10);
}

/* ---- the look ---- */

static sigjmp_buf back;

static void meet_signal(int nr)
{
	(void)nr;
	siglongjmp(back, 1);
}

static bool look(struct iomap_folio *folio, bool (*fn)(const struct iomap_folio *folio))
{
	struct sigaction catch = { .sa_handler = meet_signal }, old;
	volatile bool answer = false, lost = false;

	ck_assert_ptr_nonnull(folio->state);
	nr_yields = 0;
	contended = folio;
	iomapi_or(&folio->flags, IOMAPI_FOLIO_STATE_LOCK);
	sigaction(SIGSEGV, &catch, &old);
	if (!sigsetjmp(back, 1))
		answer = fn(folio);
	else
		lost = true;
	sigaction(SIGSEGV, &old, NULL);
	ck_assert_msg(!lost, "the state was read after it had been dropped");
	ck_assert_uint_eq(nr_yields, 1);
	ck_assert_ptr_null(folio->state);
	return answer;
}

static bool from_outside(const struct iomap_folio *folio)
{
	return iomap_folio_is_partially_uptodate(folio, 0, BLOCK);
}

static bool from_inside(const struct iomap_folio *folio)
{
	return iomapi_folio_block_uptodate(folio, 0);
}

static bool (*const looks[])(const struct iomap_folio *folio) = { from_outside, from_inside };

CASE(state_lost_of_a_part, "I16",
     "A part was uptodate; the state goes between look and lock: nothing is known to be there")
{
	struct iomap_folio *folio;
	struct cf c;

	start(&c);
	folio = cf_get(&c, 0, SIZE);
	for (unsigned i = 0; i < 2; i++) {
		iomapi_folio_set_uptodate(folio, 0, BLOCK);
		ck_assert(looks[i](folio));
		ck_assert(!look(folio, looks[i]));
	}
	cf_release(folio);
	cf_close(&c);
}

CASE(state_lost_of_the_whole, "I16",
     "All of it was uptodate: the flag says so after the state has gone")
{
	struct iomap_folio *folio;
	struct cf c;

	start(&c);
	for (unsigned i = 0; i < 2; i++) {
		folio = cf_get(&c, i * SIZE, SIZE);
		for (unsigned block = 0; block < NR; block++)
			iomapi_folio_set_uptodate(folio, block * BLOCK, BLOCK);
		ck_assert(look(folio, looks[i]));
		cf_release(folio);
	}
	cf_close(&c);
}

MAIN()
