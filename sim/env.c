/* SPDX-License-Identifier: MIT */
/*
 * env.c - an environment in simulated time: its clock, its waits, its memory, its devices.
 *
 * Its threads are tasks.  While there is only one, a wait that finds its word unchanged lets events
 * pass until it changes, or until its time is over.  When nothing can happen any more, nobody would
 * ever wake it: that is -EDEADLK, or the end of a case's callback.
 */
#include <errno.h>
#include <string.h>

#include "oracle.h"
#include "task.h"

static int64_t now_ns(void *arg)
{
	return iomap_sim_now_ns(arg);
}

static int sim_wait(void *arg, const iomap_word *word, uint32_t seen, int64_t timeout_ns)
{
	struct iomap_sim *sim = arg;
	int64_t until = iomapi_sim_until(sim, timeout_ns);

	if (iomapi_sim_has_tasks(sim))
		return iomap_sim_wait(sim, word, seen, timeout_ns);
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == seen) {
		if (!sim->nr_events && timeout_ns < 0) {
			iomapi_sim_stuck(sim);
			return -EDEADLK;
		}
		if (!sim->nr_events || sim->events[0].time > until) {
			iomapi_sim_pass_time(sim, until);
			return -ETIMEDOUT;
		}
		iomapi_sim_step(sim);
		return 0;	/* what it brought is in a queue: who waits has to reap */
	}
	return 0;
}

static void sim_wake(void *arg, const iomap_word *word, unsigned nr)
{
	iomap_sim_wake(arg, word, nr);
}

static void *sim_self(void *arg)
{
	return iomapi_sim_self(arg);
}

static int sim_spawn(void *arg, void (*fn)(void *arg), void *fn_arg, void **handle)
{
	return iomapi_sim_spawn_thread(arg, fn, fn_arg, handle);
}

static void sim_join(void *arg, void *handle)
{
	iomapi_sim_join_thread(arg, handle);
}

static void sim_yield(void *arg, const char *site)
{
	iomapi_sim_give_way(arg, site);
}

/* Those above the client's are the library's own: held for a moment, by one task. */
static void sim_lock(void *arg, const char *site, unsigned rank)
{
	iomapi_sim_point(arg, site);
	if (rank > IOMAP_RANK_LEAF)
		++*iomapi_sim_held(arg);
}

static void sim_unlock(void *arg, unsigned rank)
{
	if (rank > IOMAP_RANK_LEAF)
		--*iomapi_sim_held(arg);
}

const struct iomap_sync_ops iomapi_sim_sync = {
	.struct_size = sizeof(iomapi_sim_sync), .wait = sim_wait, .wake = sim_wake,
	.self = sim_self, .spawn = sim_spawn, .join = sim_join, .yield = sim_yield,
	.lock = sim_lock, .unlock = sim_unlock,
};

/* ---- memory: the environment's, and its user's ---- */

static void *env_alloc(void *arg, size_t size, size_t align)
{
	struct iomapi_sim_host *host = arg;

	if (!iomapi_sim_host(host->sim, IOMAPI_SIM_ALLOC_FAILS, 1))
		return NULL;
	return iomapi_sim_host_alloc(host, size, align);
}

static void env_dealloc(void *arg, void *mem, size_t size)
{
	iomapi_sim_host_free(arg, mem, size);
}

/* There is none to open it in. */
static void *no_alloc(void *arg, size_t size, size_t align)
{
	(void)arg;
	(void)size;
	(void)align;
	return NULL;
}

/* What is ours serves one environment, even if the options serve again. */
static void set_host(struct iomap_sim *sim, struct iomap_env_opts *opts)
{
	bool memory = !opts->alloc || opts->alloc == env_alloc || opts->alloc == no_alloc;
	bool trace = (!opts->trace || opts->trace == iomapi_sim_trace) &&
		     sim->watched & IOMAPI_SIM_HEARD;
	struct iomapi_sim_host *host = memory || trace ? iomapi_sim_host_new(sim) : NULL;

	if (memory) {
		opts->alloc = host ? env_alloc : no_alloc;
		opts->dealloc = env_dealloc;
		opts->alloc_arg = host;
	}
	if (opts->trace == iomapi_sim_trace)
		opts->trace = NULL;
	if (trace && host && iomapi_sim_listen(host)) {
		opts->trace = iomapi_sim_trace;
		opts->trace_arg = host;
	}
}

static size_t copy_in(void *arg, void *dst, const void *user, size_t len)
{
	len = iomapi_sim_host(arg, IOMAPI_SIM_SHORT_COPY, len);
	memcpy(dst, user, len);
	return len;
}

static size_t copy_out(void *arg, void *user, const void *src, size_t len)
{
	len = iomapi_sim_host(arg, IOMAPI_SIM_SHORT_COPY, len);
	memcpy(user, src, len);
	return len;
}

/* It is there, and the next try will find it. */
static size_t prefault(void *arg, const void *user, size_t len, bool write)
{
	(void)arg;
	(void)user;
	(void)write;
	return len;
}

static const struct iomap_copy_ops copy_ops = {
	.struct_size = sizeof(copy_ops), .copy_in = copy_in, .copy_out = copy_out,
	.prefault = prefault,
};

IOMAP_API void iomap_sim_env_opts(struct iomap_sim *sim, struct iomap_env_opts *opts)
{
	opts->now_ns = now_ns;
	opts->now_arg = sim;
	opts->sync = &iomapi_sim_sync;
	opts->sync_arg = sim;
	set_host(sim, opts);
	if (!opts->copy) {
		opts->copy = &copy_ops;
		opts->copy_arg = sim;
	}
	if (!opts->log) {
		opts->log = iomapi_sim_env_log;
		opts->log_arg = sim;
	}
	opts->executor = NULL;
	opts->executor_arg = NULL;
	opts->backends = sim->backends;
	opts->backend_args = (void *const *)sim->backend_args;
}
