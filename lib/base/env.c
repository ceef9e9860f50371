/* SPDX-License-Identifier: MIT */
/*
 * base/env.c - an environment: its options, its memory, its rooms.
 *
 * Options are read once and resolved, so that nobody asks whether a hook is there; tables are
 * copied, for an older caller's are shorter.  A fork is noticed by a page that the kernel wipes in
 * the child, because a system call for each request is too dear; where it cannot wipe, pids are
 * compared.
 *
 * Threads: _new and _delete belong to one thread; between them everything here is read-only but
 * the count of what is open.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/copy.h"
#include "base/env_state.h"
#include "base/trace.h"
#include "base/work.h"

#define MIN_POOL 8u
#define MAX_POOL 65536u
#define MIN_SEGS 16u
#define MAX_SEGS 4096u

/* ---- defaults ---- */

static void *default_alloc(void *arg, size_t size, size_t align)
{
	void *mem;

	(void)arg;
	return posix_memalign(&mem, iomapi_max(align, sizeof(void *)), size) ? NULL : mem;
}

static void default_dealloc(void *arg, void *mem, size_t size)
{
	(void)arg;
	(void)size;
	free(mem);
}

static int64_t default_now(void *arg)
{
	struct timespec ts;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void default_log(void *arg, const struct iomap_log_record *record)
{
	(void)arg;
	(void)record;
}

static void default_trace(void *arg, const struct iomap_trace_record *record)
{
	(void)arg;
	(void)record;
}

/* ---- options ---- */

/* Copy as much of a struct as both sides know; false when it does not even hold its own size. */
static bool copy_sized(void *dst, size_t known, const void *src)
{
	size_t size;

	memcpy(&size, src, sizeof(size));
	if (size < sizeof(size))
		return false;
	memset(dst, 0, known);
	memcpy(dst, src, iomapi_min(size, known));
	memcpy(dst, &known, sizeof(known));
	return true;
}

static uint32_t clamp(uint32_t value, uint32_t preset, uint32_t min, uint32_t max)
{
	if (!value)
		value = preset;
	return iomapi_max(min, iomapi_min(value, max));
}

static bool options_make_sense(const struct iomap_env_opts *o)
{
	if (o->callbacks > IOMAP_CALLBACKS_MANUAL)
		return false;
	if (!o->alloc != !o->dealloc)
		return false;
	return o->backends || !o->backend_args;
}

static bool resolve_sync(struct iomap_env *env)
{
	const struct iomap_sync_ops *s = &env->sync;

	if (!env->opts.sync) {
		iomapi_sync_defaults(env);
		return true;
	}
	return copy_sized(&env->sync, sizeof(env->sync), env->opts.sync) &&
	       s->wait && s->wake && s->self && s->spawn && s->join && s->yield;
}

static bool resolve_copy(struct iomap_env *env)
{
	const struct iomap_copy_ops *from = env->opts.copy ? env->opts.copy : &iomapi_copy_plain;

	return copy_sized(&env->copy, sizeof(env->copy), from) &&
	       env->copy.copy_in && env->copy.copy_out;
}

static bool resolve_executor(struct iomap_env *env)
{
	if (!env->opts.executor)
		return true;
	return copy_sized(&env->executor, sizeof(env->executor), env->opts.executor) &&
	       env->executor.queue && env->executor.drain;
}

static int resolve(struct iomap_env *env, const struct iomap_env_opts *given)
{
	struct iomap_env_opts *o = &env->opts;

	*o = *given;
	env->trace_on = o->trace != NULL;
	o->nr_ioends = clamp(o->nr_ioends, 64, MIN_POOL, MAX_POOL);
	o->nr_bios = clamp(o->nr_bios, 256, MIN_POOL, MAX_POOL);
	o->nr_segs = clamp(o->nr_segs, 1024, MIN_SEGS, MAX_SEGS);
	o->log = o->log ? o->log : default_log;
	o->trace = o->trace ? o->trace : default_trace;
	o->now_ns = o->now_ns ? o->now_ns : default_now;
	if (!resolve_sync(env) || !resolve_copy(env) || !resolve_executor(env))
		return -EINVAL;
	env->lock_on = env->sync.lock != NULL;
	o->sync = &env->sync;
	o->copy = &env->copy;
	o->executor = o->executor ? &env->executor : NULL;
	return 0;
}

/* ---- fork ---- */

static void fork_watch(struct iomap_env *env)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t *alive = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

	env->pid = getpid();
	if (alive == MAP_FAILED)
		return;
	if (madvise(alive, page, MADV_WIPEONFORK)) {
		munmap(alive, page);
		return;
	}
	*alive = 1;
	env->alive = alive;
}

static void fork_unwatch(struct iomap_env *env)
{
	if (env->alive)
		munmap((void *)(uintptr_t)env->alive, (size_t)sysconf(_SC_PAGESIZE));
}

bool iomapi_forked(struct iomap_env *env)
{
	if (iomapi_likely(env->alive != NULL))
		return !*env->alive;
	return env->pid != getpid();
}

/* ---- rooms ---- */

static void rooms_fini(struct iomap_env *env, int nr)
{
	while (nr--) {
		if (iomapi_rooms[nr])
			iomapi_rooms[nr]->fini(env, env->room_state[nr]);
		env->room_state[nr] = NULL;
	}
}

static int rooms_init(struct iomap_env *env)
{
	for (int i = 0; i < IOMAPI_NR_ROOMS; i++) {
		int err = iomapi_rooms[i] ? iomapi_rooms[i]->init(env, &env->room_state[i]) : 0;

		if (err) {
			rooms_fini(env, i);
			return err;
		}
	}
	return 0;
}

void *iomapi_room(struct iomap_env *env, enum iomapi_room_id id)
{
	return env->room_state[id];
}

void iomapi_flush_failed(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t since, int error)
{
	for (int i = 0; i < IOMAPI_NR_ROOMS; i++)
		if (iomapi_rooms[i] && iomapi_rooms[i]->flush_failed)
			iomapi_rooms[i]->flush_failed(env, bdev, since, error);
}

void iomapi_bdev_gone(struct iomap_env *env, struct iomap_bdev *bdev)
{
	for (int i = 0; i < IOMAPI_NR_ROOMS; i++)
		if (iomapi_rooms[i] && iomapi_rooms[i]->bdev_gone)
			iomapi_rooms[i]->bdev_gone(env, bdev);
}

/* ---- life ---- */

IOMAP_API int iomap_env_new(const struct iomap_env_opts *opts, struct iomap_env **env)
{
	struct iomap_env_opts o = { .struct_size = sizeof(o) };
	struct iomap_env *e;
	int err;

	if (!env)
		return -EINVAL;
	*env = NULL;
	if ((opts && !copy_sized(&o, sizeof(o), opts)) || !options_make_sense(&o))
		return -EINVAL;
	if (!o.alloc) {
		o.alloc = default_alloc;
		o.dealloc = default_dealloc;
	}
	e = o.alloc(o.alloc_arg, sizeof(*e), _Alignof(struct iomap_env));
	if (!e)
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	iomap_mutex_init(&e->wait_lock, IOMAPI_RANK_WAIT);
	iomap_list_init(&e->sleepers);
	iomap_list_init(&e->drivers);
	iomapi_work_init(e);
	err = resolve(e, &o);
	if (err) {
		o.dealloc(o.alloc_arg, e, sizeof(*e));
		return err;
	}
	fork_watch(e);
	err = rooms_init(e);
	if (err) {
		fork_unwatch(e);
		o.dealloc(o.alloc_arg, e, sizeof(*e));
		return err;
	}
	*env = e;
	return 0;
}

IOMAP_API void iomap_env_delete(struct iomap_env **env)
{
	struct iomap_env *e = *env;

	if (!e)
		return;
	*env = NULL;
	if (!iomapi_forked(e))
		iomapi_work_drain(e);
	iomapi_assert(iomapi_forked(e) || !iomapi_load(&e->held));
	rooms_fini(e, IOMAPI_NR_ROOMS);
	iomapi_assert(iomapi_forked(e) || iomap_list_empty(&e->sleepers));
	iomapi_assert(iomapi_forked(e) || iomap_list_empty(&e->drivers));
	fork_unwatch(e);
	e->opts.dealloc(e->opts.alloc_arg, e, sizeof(*e));
}

void iomapi_env_hold(struct iomap_env *env)
{
	iomapi_add(&env->held, 1);
}

void iomapi_env_release(struct iomap_env *env)
{
	uint32_t left = iomapi_sub(&env->held, 1);

	iomapi_assert(left != UINT32_MAX);
	(void)left;
}

/* ---- what the rooms ask for ---- */

void *iomapi_alloc(struct iomap_env *env, size_t size, size_t align)
{
	return env->opts.alloc(env->opts.alloc_arg, size, align);
}

void *iomapi_zalloc(struct iomap_env *env, size_t size)
{
	void *mem = iomapi_alloc(env, size, 64);

	return mem ? memset(mem, 0, size) : NULL;
}

void iomapi_free(struct iomap_env *env, void *mem, size_t size)
{
	if (mem)
		env->opts.dealloc(env->opts.alloc_arg, mem, size);
}

int64_t iomapi_now(struct iomap_env *env)
{
	return env->opts.now_ns(env->opts.now_arg);
}

const struct iomap_env_opts *iomapi_env_opts(struct iomap_env *env)
{
	return &env->opts;
}

void iomapi_callback_start(struct iomap_env *env)
{
	struct iomapi_self *self = iomapi_self(env);

	if (!self->in_callback++)
		self->wakes_of = env;
	iomapi_trace(env, .event = IOMAP_TRACE_CALLBACK, .result = (int32_t)self->in_callback);
}

void iomapi_callback_end(struct iomap_env *env)
{
	struct iomapi_self *self = iomapi_self(env);

	iomapi_assert(self->in_callback);
	if (!--self->in_callback && self->nr_wakes)
		iomapi_wake_put_off(self);
}
