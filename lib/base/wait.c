/* SPDX-License-Identifier: MIT */
/*
 * base/wait.c - object waits: whoever waits, drives.
 *
 * A waiter goes round: deferred work and queued callbacks that it may run, then all drivers without
 * blocking; only when nothing moved it blocks - in the one busy driver that nobody leads, in each
 * of several for a slice, or, if others lead all that is busy, asleep on its private word.
 *
 * No wake-up is lost, because a waiter stands in the list of sleepers before it looks:
 *
 *	waiter					waker
 *	add to list, nr_sleepers + 1		change the word, queue the work, leave the driver
 *	look at word, work and drivers		nr_sleepers?
 *	block					not 0: flag each sleeper it concerns, wake or kick
 *
 * Both sides touch nr_sleepers with a read-modify-write.  If the waker finds 0, the waiter's
 * addition came later and has seen what the waker did before; so wakes are free when nobody sleeps.
 *
 * The invariant of leadership: if anybody waits, each busy driver is led by someone, or some waiter
 * is awake and will look at all drivers before it blocks.  Hence who leaves after having led, or
 * after having been told to look, tells one other waiter (a handover); who only comes out of one
 * driver to look at the next need not.  A kick may be eaten by the leader before the one it was
 * meant for; so a driver asks iomapi_wait_over when it has the leadership, and the flag is up
 * before the kick.
 *
 * Threads: any.  sleeper->driver, the lists and a driver's users are under wait_lock, which is the
 * innermost lock of all; a sleeper's flag is atomic.  Wakes happen under wait_lock, for the sleeper
 * lives on its thread's stack; kicks after it was dropped, for a driver has locks of its own.
 */
#include "base/env_state.h"

#define WAIT_BATCH	64		/* completions per visit of a driver */
#define WAIT_SLICE_NS	1000000		/* in one of several drivers */

#define FLAG_WORD	1u		/* why a sleeper was raised: its word was changed */
#define FLAG_LOOK	2u		/* something is to be driven or run */

struct waiter {
	struct iomap_env *env;
	struct iomapi_self *self;
	const iomap_word *word;
	uint32_t seen;
	int64_t deadline;		/* < 0 never */
	bool handover;			/* has led, or was told to look, and told nobody since */
};

/* ---- drivers ---- */

void iomapi_driver_add(struct iomap_env *env, struct iomapi_driver *driver)
{
	iomap_mutex_lock(env, &env->wait_lock);
	driver->users = 0;
	driver->going = 0;
	iomap_list_add_tail(&env->drivers, &driver->node);
	iomap_mutex_unlock(env, &env->wait_lock);
	iomapi_env_event(env);
}

/* True: somebody waits for this, the last one.  Under wait_lock. */
static bool user_leaves(struct iomap_env *env, struct iomapi_driver *driver)
{
	iomapi_assert(driver->users);
	if (--driver->users || !driver->going)
		return false;
	iomapi_add(&env->driver_gone, 1);
	return true;
}

/* Let go of prev and take the one after it (NULL: the first); NULL: no more.  A driver with users
 * stays in the list, so prev still knows its neighbour. */
static struct iomapi_driver *driver_next(struct iomap_env *env, struct iomapi_driver *prev)
{
	struct iomapi_driver *driver = NULL;
	struct iomap_list *l;
	bool gone = false;

	iomap_mutex_lock(env, &env->wait_lock);
	l = prev ? prev->node.next : env->drivers.next;
	for (; l != &env->drivers && !driver; l = l->next) {
		driver = iomap_container_of(l, struct iomapi_driver, node);
		if (driver->going)
			driver = NULL;
	}
	if (driver)
		driver->users++;
	if (prev)
		gone = user_leaves(env, prev);
	iomap_mutex_unlock(env, &env->wait_lock);
	if (gone)
		iomapi_wake(env, &env->driver_gone, UINT32_MAX);
	return driver;
}

static void driver_put(struct iomap_env *env, struct iomapi_driver *driver)
{
	bool gone;

	iomap_mutex_lock(env, &env->wait_lock);
	gone = user_leaves(env, driver);
	iomap_mutex_unlock(env, &env->wait_lock);
	if (gone)
		iomapi_wake(env, &env->driver_gone, UINT32_MAX);
}

void iomapi_driver_del(struct iomap_env *env, struct iomapi_driver *driver)
{
	/* Users and lock of a child's copy belong to threads that it does not have. */
	if (iomapi_forked(env)) {
		iomap_list_del(&driver->node);
		return;
	}
	for (;;) {
		uint32_t gone = iomapi_load(&env->driver_gone);
		bool idle;

		iomap_mutex_lock(env, &env->wait_lock);
		driver->going = 1;
		idle = !driver->users;
		if (idle)
			iomap_list_del(&driver->node);
		iomap_mutex_unlock(env, &env->wait_lock);
		if (idle)
			return;
		driver->kick(driver);
		/* Some other leader may have eaten the kick: again after a while. */
		iomapi_sleep(env, &env->driver_gone, gone, WAIT_SLICE_NS);
	}
}

/* ---- events ---- */

static uint32_t nr_sleepers(struct iomap_env *env)
{
	return __atomic_fetch_add(&env->nr_sleepers, 0, __ATOMIC_SEQ_CST);
}

static bool nobody_sleeps(struct iomap_env *env)
{
	return !nr_sleepers(env);
}

/*
 * There is no sleeper, or only this thread, for another word: it drives, and wakes for each thing
 * that ends.  Who comes after the count was read looks at its word after it has counted itself.
 */
static bool nobody_waits(struct iomap_env *env, const iomap_word *word)
{
	uint32_t nr = nr_sleepers(env);
	const struct iomapi_sleeper *s;

	if (iomapi_likely(!nr))
		return true;
	if (nr > 1)
		return false;
	s = iomapi_self(env)->sleeper;
	return s && s->env == env && s->word != word;
}

/* Drivers to be kicked once wait_lock is dropped; each held. */
struct kicks {
	struct iomapi_driver *drivers[8];
	unsigned nr;
};

static bool kicks_full(const struct kicks *k)
{
	return k->nr == sizeof(k->drivers) / sizeof(k->drivers[0]);
}

static void kick_all(struct iomap_env *env, struct kicks *k)
{
	for (unsigned i = 0; i < k->nr; i++) {
		k->drivers[i]->kick(k->drivers[i]);
		driver_put(env, k->drivers[i]);
	}
}

/* Get a sleeper up; under wait_lock.  A thread that does it to itself is not blocked. */
static void sleeper_raise(struct iomap_env *env, struct iomapi_sleeper *s, uint32_t why,
			  const struct iomapi_self *caller, struct kicks *kicks)
{
	if (iomapi_or(&s->flag, why) || s->self == caller)
		return;
	if (s->driver) {
		s->driver->users++;
		kicks->drivers[kicks->nr++] = s->driver;
	} else {
		iomapi_wake(env, &s->flag, 1);
	}
}

/* All but this thread, which is in a driver now if it waits, and looks when it comes out.  False:
 * there are more. */
static bool raise_some(struct iomap_env *env)
{
	struct iomapi_self *self = iomapi_self(env);
	struct kicks kicks = { .nr = 0 };
	struct iomap_list *l;

	iomap_mutex_lock(env, &env->wait_lock);
	iomapi_list_for_each(l, &env->sleepers) {
		struct iomapi_sleeper *s = iomap_container_of(l, struct iomapi_sleeper, node);

		if (kicks_full(&kicks))
			break;
		if (s->self != self)
			sleeper_raise(env, s, FLAG_LOOK, self, &kicks);
	}
	iomap_mutex_unlock(env, &env->wait_lock);
	kick_all(env, &kicks);
	return !kicks_full(&kicks);
}

void iomapi_env_event(struct iomap_env *env)
{
	if (nobody_sleeps(env))
		return;
	while (!raise_some(env))
		;	/* those raised by now are flagged, and passed over */
}

/* Whom to tell that a driver has no leader: rather who sleeps than who blocks in another driver.
 * NULL: nobody is there, or one has been told to look and has not yet.  Under wait_lock. */
static struct iomapi_sleeper *successor(struct iomap_env *env, const struct iomapi_self *self)
{
	struct iomapi_sleeper *found = NULL;
	struct iomap_list *l;

	iomapi_list_for_each(l, &env->sleepers) {
		struct iomapi_sleeper *s = iomap_container_of(l, struct iomapi_sleeper, node);

		if (s->self == self)
			continue;
		if (iomapi_load(&s->flag) & FLAG_LOOK)
			return NULL;
		if (!found || (found->driver && !s->driver))
			found = s;
	}
	return found;
}

static void raise_successor(struct iomap_env *env)
{
	struct kicks kicks = { .nr = 0 };
	struct iomapi_sleeper *s;
	struct iomapi_self *self;

	if (nobody_sleeps(env))
		return;
	self = iomapi_self(env);
	iomap_mutex_lock(env, &env->wait_lock);
	s = successor(env, self);
	if (s)
		sleeper_raise(env, s, FLAG_LOOK, self, &kicks);
	iomap_mutex_unlock(env, &env->wait_lock);
	kick_all(env, &kicks);
}

void iomapi_env_handover(struct iomap_env *env)
{
	struct iomapi_sleeper *s = iomapi_self(env)->sleeper;

	if (!s || s->env != env)	/* else struct waiter remembers it */
		raise_successor(env);
}

bool iomapi_wait_over(struct iomap_env *env)
{
	struct iomapi_sleeper *s = iomapi_self(env)->sleeper;

	return s && s->env == env && iomapi_load(&s->flag);
}

/* At most *nr of the waiters for this word that nobody has woken yet.  False: there are more. */
static bool wake_some(struct iomap_env *env, const iomap_word *word, unsigned *nr)
{
	struct iomapi_self *self = iomapi_self(env);
	struct kicks kicks = { .nr = 0 };
	struct iomap_list *l;

	iomap_mutex_lock(env, &env->wait_lock);
	iomapi_list_for_each(l, &env->sleepers) {
		struct iomapi_sleeper *s = iomap_container_of(l, struct iomapi_sleeper, node);

		if (!*nr || kicks_full(&kicks))
			break;
		if (s->word != word || s->woken)
			continue;
		--*nr;
		s->woken = true;
		sleeper_raise(env, s, FLAG_WORD, self, &kicks);
	}
	iomap_mutex_unlock(env, &env->wait_lock);
	kick_all(env, &kicks);
	return !kicks_full(&kicks);
}

IOMAP_API void iomap_env_wake(struct iomap_env *env, const iomap_word *word, unsigned nr)
{
	if (nobody_waits(env, word))
		return;
	while (!wake_some(env, word, &nr))
		;
}

void iomapi_wake_after(struct iomap_env *env, const iomap_word *word)
{
	struct iomapi_self *self = iomapi_self(env);
	bool here = self->in_callback && self->wakes_of == env;

	for (uint32_t i = 0; here && i < self->nr_wakes; i++)
		if (self->wakes[i] == word)
			return;
	if (here && self->nr_wakes < IOMAPI_MAX_WAKES)
		self->wakes[self->nr_wakes++] = word;
	else
		iomap_env_wake(env, word, UINT32_MAX);
}

void iomapi_wake_put_off(struct iomapi_self *self)
{
	while (self->nr_wakes)
		iomap_env_wake(self->wakes_of, self->wakes[--self->nr_wakes], UINT32_MAX);
}

/* ---- a waiter ---- */

static void sleeper_add(struct waiter *w, struct iomapi_sleeper *s)
{
	*s = (struct iomapi_sleeper){ .env = w->env, .self = w->self, .word = w->word };
	iomap_mutex_lock(w->env, &w->env->wait_lock);
	iomap_list_add_tail(&w->env->sleepers, &s->node);
	__atomic_fetch_add(&w->env->nr_sleepers, 1, __ATOMIC_SEQ_CST);
	iomap_mutex_unlock(w->env, &w->env->wait_lock);
	w->self->sleeper = s;
}

static void sleeper_del(struct waiter *w, struct iomapi_sleeper *s)
{
	w->self->sleeper = NULL;
	iomap_mutex_lock(w->env, &w->env->wait_lock);
	iomap_list_del(&s->node);
	__atomic_fetch_sub(&w->env->nr_sleepers, 1, __ATOMIC_SEQ_CST);
	iomap_mutex_unlock(w->env, &w->env->wait_lock);
}

static bool word_changed(const struct waiter *w)
{
	return iomapi_load(w->word) != w->seen;
}

static int64_t time_left(const struct waiter *w)
{
	int64_t now;

	if (w->deadline < 0)
		return IOMAP_FOREVER;
	now = iomapi_now(w->env);
	return now < w->deadline ? w->deadline - now : 0;
}

static void hand_over(struct waiter *w)
{
	if (w->handover)
		raise_successor(w->env);
	w->handover = false;
}

static void flush_plug(struct waiter *w)
{
	struct iomapi_driver *driver;

	if (!w->self->plug)
		return;
	driver = driver_next(w->env, NULL);
	if (!driver)
		return;
	driver->flush_plug(w->self->plug);
	driver_put(w->env, driver);
}

static int run_callbacks(struct iomap_env *env, unsigned max)
{
	struct iomapi_driver *driver = NULL;
	unsigned nr = 0;

	while ((driver = driver_next(env, driver))) {
		int n = nr < max ? driver->callbacks(driver, max - nr) : 0;

		nr += n > 0 ? (unsigned)n : 0;
	}
	return (int)nr;
}

IOMAP_API int iomap_env_run_callbacks(struct iomap_env *env, unsigned max)
{
	if (iomapi_self(env)->in_callback)
		return -EDEADLK;
	if (iomapi_forked(env))
		return -ECHILD;
	return run_callbacks(env, iomapi_min(max, (unsigned)INT32_MAX));
}

static void set_driver(struct waiter *w, struct iomapi_sleeper *s, struct iomapi_driver *driver)
{
	iomap_mutex_lock(w->env, &w->env->wait_lock);
	s->driver = driver;
	iomap_mutex_unlock(w->env, &w->env->wait_lock);
}

/* Visit one driver: < 0 it is another thread's, 0 nothing came, > 0 something moved. */
static int drive(struct waiter *w, struct iomapi_driver *driver, int64_t timeout_ns)
{
	int n = driver->drive(driver, WAIT_BATCH, timeout_ns);

	if (n != -EBUSY && n != -EPERM)
		w->handover = true;
	return n;
}

/* Visit all busy drivers without blocking.  True: something moved; else *nr want a leader. */
static bool drive_all(struct waiter *w, unsigned *nr)
{
	struct iomapi_driver *driver = NULL;
	bool moved = false;

	*nr = 0;
	while ((driver = driver_next(w->env, driver))) {
		int n = driver->busy(driver) ? drive(w, driver, 0) : -EBUSY;

		moved |= n > 0;
		*nr += n >= 0;
	}
	return moved;
}

/* Lead: the one driver that wants a leader, or each of several for a slice. */
static void lead(struct waiter *w, struct iomapi_sleeper *s, unsigned nr)
{
	struct iomapi_driver *driver = NULL;
	bool moved = false;

	while ((driver = driver_next(w->env, driver))) {
		int64_t left = time_left(w);

		if (nr > 1 && (left < 0 || left > WAIT_SLICE_NS))
			left = WAIT_SLICE_NS;
		if (moved || word_changed(w) || !driver->busy(driver))
			continue;
		set_driver(w, s, driver);
		if (!iomapi_load(&s->flag))
			moved = drive(w, driver, left) > 0;
		set_driver(w, s, NULL);
	}
}

/*
 * Look at everything, as one who stands in the list, and block if nothing moved.  In MANUAL mode
 * queued callbacks are looked for here and not before: who queued them may have looked for sleepers
 * before this one was there.  -EDEADLK: nobody is left who could wake, the simulator says so.
 */
static int look_and_block(struct waiter *w, struct iomapi_sleeper *s, bool may_block)
{
	unsigned nr;

	if (word_changed(w) || iomapi_work_waiting(w->env, iomapi_work_allowed(w->self)))
		return 0;
	may_block &= !drive_all(w, &nr);
	if (w->env->opts.callbacks == IOMAP_CALLBACKS_MANUAL && !word_changed(w) &&
	    run_callbacks(w->env, WAIT_BATCH)) {
		w->handover = true;	/* they may have submitted, and that was put off */
		may_block = false;
	}
	if (!may_block || word_changed(w))
		return 0;
	if (!nr)
		return iomapi_sleep(w->env, &s->flag, 0, time_left(w));
	lead(w, s, nr);
	return 0;
}

static int go_round(struct waiter *w, bool may_block)
{
	unsigned classes = iomapi_work_allowed(w->self);
	struct iomapi_sleeper s;
	int rc;

	if (iomapi_work_waiting(w->env, classes)) {
		hand_over(w);
		iomapi_work_run(w->env, classes, WAIT_BATCH);
	}
	sleeper_add(w, &s);
	rc = look_and_block(w, &s, may_block);
	sleeper_del(w, &s);
	w->handover |= (s.flag & FLAG_LOOK) != 0;
	return rc;
}

IOMAP_API int iomap_env_wait(struct iomap_env *env, const iomap_word *word, uint32_t seen,
			     int64_t timeout_ns)
{
	struct waiter w = { .env = env, .word = word, .seen = seen, .deadline = -1 };
	bool changed;
	int rc;

	if (word_changed(&w))
		return 0;
	w.self = iomapi_self(env);
	if (w.self->in_callback)
		return -EDEADLK;
	if (iomapi_forked(env))
		return -ECHILD;
	if (timeout_ns >= 0)
		w.deadline = iomapi_end(iomapi_now(env), (uint64_t)timeout_ns);
	flush_plug(&w);
	do {
		rc = go_round(&w, timeout_ns != 0);
		changed = word_changed(&w);	/* once: it may change back at any time */
	} while (!changed && rc != -EDEADLK && time_left(&w));
	hand_over(&w);
	return changed ? 0 : rc == -EDEADLK ? rc : -ETIMEDOUT;
}
