/* SPDX-License-Identifier: MIT */
/*
 * env.c - an environment in simulated time: its clock, its waits, its devices.
 *
 * One thread: a wait that finds its word unchanged lets events pass until it changes, or until its
 * time is over.  When nothing can happen any more, nobody would ever wake it: that is -EDEADLK.
 */
#include <errno.h>
#include <string.h>

#include "sim.h"

static int64_t now_ns(void *arg)
{
	return iomap_sim_now_ns(arg);
}

static int sim_wait(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	struct iomap_sim *sim = arg;
	int64_t until = timeout_ns < 0 ? INT64_MAX : sim->now + timeout_ns;

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == seen) {
		if (!sim->nr_events && timeout_ns < 0)
			return -EDEADLK;
		if (!sim->nr_events || sim->events[0].time > until) {
			sim->now = until;
			return -ETIMEDOUT;
		}
		iomapi_sim_step(sim);
		return 0;	/* what it brought is in a queue: who waits has to reap */
	}
	return 0;
}

static void sim_wake(void *arg, const iomap_word *word, unsigned nr)
{
	(void)arg;
	(void)word;
	(void)nr;		/* there is nobody else */
}

static void *sim_self(void *arg)
{
	return ((struct iomap_sim *)arg)->self;
}

static int sim_spawn(void *arg, void (*fn)(void *arg), void *fn_arg, void **handle)
{
	(void)arg;
	(void)fn;
	(void)fn_arg;
	(void)handle;
	return -ENOTSUP;
}

static void sim_join(void *arg, void *handle)
{
	(void)arg;
	(void)handle;
}

static void sim_yield(void *arg, const char *site)
{
	(void)arg;
	(void)site;
}

const struct iomap_sync_ops iomapi_sim_sync = {
	.struct_size = sizeof(iomapi_sim_sync), .wait = sim_wait, .wake = sim_wake,
	.self = sim_self, .spawn = sim_spawn, .join = sim_join, .yield = sim_yield,
};

IOMAP_API void iomap_sim_env_opts(struct iomap_sim *sim, struct iomap_env_opts *opts)
{
	memset(sim->self, 0, sizeof(sim->self));
	opts->now_ns = now_ns;
	opts->now_arg = sim;
	opts->sync = &iomapi_sim_sync;
	opts->sync_arg = sim;
	opts->backends = sim->backends;
	opts->backend_args = (void *const *)sim->backend_args;
}
