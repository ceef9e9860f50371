/* SPDX-License-Identifier: MIT */
/*
 * test_base_lead.c - object waits of several threads: who leads, who follows, who is woken.
 */
#include "fake_driver.h"

/* ---- leader and followers ---- */

CASE(foreign_wake_reaches_sleeper_and_leader, "",
     "A word changed outside wakes who sleeps or leads")
{
	struct waiter sleeper = { .word = 0 }, leader = { .word = 0 };
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	waiter_start(&sleeper, &t);
	t_settle();
	iomapi_store(&sleeper.word, 1);
	iomap_env_wake(t.env, &sleeper.word, 1);
	waiter_join(&sleeper);

	fake_submit(&f);
	waiter_start(&leader, &t);
	until_blocked(&f, 1);
	iomapi_store(&leader.word, 1);
	iomap_env_wake(t.env, &leader.word, 1);
	waiter_join(&leader);
	fake_del(&f);
	t_env_stop(&t);
}

static unsigned kicks;

static void counting_kick(struct iomapi_driver *driver)
{
	kicks++;
	fake_kick(driver);
}

CASE(a_wake_waits_for_the_end_of_callbacks, "O44",
     "Put off in a callback, a wake comes once, when the outermost ends; elsewhere at once")
{
	struct waiter a = { .word = 0 }, b = { .word = 0 };
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	f.driver.kick = counting_kick;
	fake_submit(&f);
	waiter_start(&a, &t);
	until_blocked(&f, 1);
	iomapi_callback_start(t.env);
	iomapi_callback_start(t.env);
	iomapi_store(&a.word, 1);
	iomapi_wake_after(t.env, &a.word);
	iomapi_wake_after(t.env, &a.word);
	iomapi_callback_end(t.env);
	ck_assert_uint_eq(kicks, 0);
	iomapi_callback_end(t.env);
	ck_assert_uint_eq(kicks, 1);
	waiter_join(&a);

	waiter_start(&b, &t);
	until_blocked(&f, 2);
	iomapi_store(&b.word, 1);
	iomapi_wake_after(t.env, &b.word);
	ck_assert_uint_eq(kicks, 2);
	waiter_join(&b);
	fake_del(&f);
	t_env_stop(&t);
}

CASE(a_callback_puts_off_no_wake_of_others, "O44",
     "In a callback a wake of another environment, which may go before that ends, comes at once")
{
	struct waiter a = { .word = 0 };
	struct t_env t, other;
	struct fake f;

	t_env_start(&t, NULL);
	t_env_start(&other, NULL);
	fake_add(&f, &other);
	f.driver.kick = counting_kick;
	fake_submit(&f);
	waiter_start(&a, &other);
	until_blocked(&f, 1);
	iomapi_callback_start(t.env);
	iomapi_store(&a.word, 1);
	iomapi_wake_after(other.env, &a.word);
	ck_assert_uint_eq(kicks, 1);
	waiter_join(&a);
	iomapi_callback_end(t.env);
	fake_del(&f);
	t_env_stop(&other);
	t_env_stop(&t);
}

CASE(follower_takes_over, "", "When the leader's wait is over a follower reaps for itself")
{
	struct waiter a = { .word = 0 }, b = { .word = 0 };
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	fake_submit(&f);
	fake_submit(&f);
	waiter_start(&a, &t);
	until_blocked(&f, 1);
	waiter_start(&b, &t);
	until(&f, &f.drives, 3);
	t_settle();
	ck_assert_uint_eq(fake_read(&f, &f.blocked), 1);	/* b follows */
	fake_complete(&f, &a.word);
	waiter_join(&a);
	until_blocked(&f, 2);			/* b leads */
	fake_complete(&f, &b.word);
	waiter_join(&b);
	fake_del(&f);
	t_env_stop(&t);
}

CASE(leader_reaps_for_followers, "O44",
     "What a leader reaps ends the wait of the thread it belongs to")
{
	struct waiter a = { .word = 0 }, b = { .word = 0 };
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	fake_submit(&f);
	fake_submit(&f);
	waiter_start(&a, &t);
	until_blocked(&f, 1);
	waiter_start(&b, &t);
	until(&f, &f.drives, 3);
	t_settle();
	fake_complete(&f, &b.word);
	waiter_join(&b);
	until_blocked(&f, 2);			/* a goes on */
	fake_complete(&f, &a.word);
	waiter_join(&a);
	fake_del(&f);
	t_env_stop(&t);
}

CASE(leader_notices_another_driver, "",
     "Blocked in one driver, a leader serves another that gets busy")
{
	struct waiter a = { .word = 0 };
	struct fake f, g;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	fake_add(&g, &t);
	fake_submit(&f);
	waiter_start(&a, &t);
	until_blocked(&f, 1);
	fake_submit(&g);
	fake_complete(&g, &a.word);
	waiter_join(&a);
	fake_del(&f);
	fake_del(&g);
	t_env_stop(&t);
}

CASE(leader_notices_deferred_work, "", "Blocked in a driver, a leader runs work that is queued")
{
	struct late_job job = { .work = { .fn = bump, .work_class = IOMAP_WORK_IOEND } };
	struct waiter a = { .word = 0 };
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	fake_submit(&f);
	waiter_start(&a, &t);
	until_blocked(&f, 1);
	job.env = t.env;
	job.word = &a.word;
	iomapi_work_queue(t.env, &job.work);
	waiter_join(&a);
	fake_del(&f);
	t_env_stop(&t);
}

CASE(work_finds_a_thread_that_may_run_it, "", "A waiter in a txn scope leaves work to one outside")
{
	struct late_job job = { .work = { .fn = bump, .work_class = IOMAP_WORK_IOEND } };
	struct waiter in = { .word = 0, .in_txn = true }, out = { .word = 0 };
	struct t_env t;

	t_env_start(&t, NULL);
	waiter_start(&in, &t);
	waiter_start(&out, &t);
	t_settle();
	job.env = t.env;
	job.word = &in.word;
	iomapi_work_queue(t.env, &job.work);
	waiter_join(&in);
	iomapi_store(&out.word, 1);
	iomap_env_wake(t.env, &out.word, 1);
	waiter_join(&out);
	t_env_stop(&t);
}

CASE(private_driver_is_left_alone, "",
     "A driver that is never this thread's does not keep it awake")
{
	struct waiter a = { .word = 0 };
	struct fake f;
	struct t_env t;
	unsigned drives;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	f.owner = &t;
	fake_submit(&f);
	waiter_start(&a, &t);
	until(&f, &f.drives, 1);
	t_settle();
	drives = fake_read(&f, &f.drives);
	t_settle();
	ck_assert_uint_le(fake_read(&f, &f.drives), drives + 1);
	iomapi_store(&a.word, 1);
	iomap_env_wake(t.env, &a.word, 1);
	waiter_join(&a);
	fake_del(&f);
	t_env_stop(&t);
}

static struct waiter *victim;
static pthread_t thief;

static void *wake_victim(void *arg)
{
	(void)arg;
	iomapi_store(&victim->word, 1);
	iomap_env_wake(victim->env, &victim->word, 1);
	return NULL;
}

/* The leader is inside but does not block yet; its wake comes now, and the kick is eaten. */
static void eat_the_kick(struct fake *f)
{
	f->before_blocking = NULL;
	thief = t_thread(wake_victim, NULL);
	while (!f->kicked)
		fake_sleep(f, (int64_t)t_scale() * 2000000000);
	f->kicked = false;
	ck_assert(iomapi_wait_over(f->env));
}

CASE(eaten_kick_is_no_lost_wake, "", "A leader whose kick another one consumed still comes out")
{
	struct waiter a = { .word = 0 };
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	ck_assert(!iomapi_wait_over(t.env));
	f.before_blocking = eat_the_kick;
	fake_submit(&f);
	victim = &a;
	waiter_start(&a, &t);
	waiter_join(&a);
	t_join(thief);
	ck_assert_uint_eq(f.blocked, 0);
	fake_del(&f);
	t_env_stop(&t);
}

static void *delete_driver(void *arg)
{
	fake_del(arg);
	return NULL;
}

CASE(driver_stays_while_a_waiter_is_inside, "",
     "Deletion gets the waiter out and waits until it is")
{
	struct waiter a = { .word = 0 };
	struct fake *f = malloc(sizeof(*f));
	pthread_t thread;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(f, &t);
	fake_submit(f);
	waiter_start(&a, &t);
	until_blocked(f, 1);
	thread = t_thread(delete_driver, f);
	t_join(thread);
	memset(f, 0xdd, sizeof(*f));
	free(f);
	iomapi_store(&a.word, 1);
	iomap_env_wake(t.env, &a.word, 1);
	waiter_join(&a);
	t_env_stop(&t);
}

/* ---- wakes are counted ---- */

static iomap_word stuck, unstick;

/* The leader neither blocks nor comes out for a while. */
static void stick(struct fake *f)
{
	f->before_blocking = NULL;
	pthread_mutex_unlock(&f->lock);
	iomapi_store(&stuck, 1);
	while (!iomapi_load(&unstick))
		iomapi_yield(f->env, "test");
	pthread_mutex_lock(&f->lock);
}

struct shared_wait {
	struct iomap_env *env;
	const iomap_word *word;
	int result;
};

static void *wait_shared(void *arg)
{
	struct shared_wait *w = arg;

	w->result = iomap_env_wait(w->env, w->word, 0, IOMAP_FOREVER);
	return NULL;
}

CASE(second_wake_passes_over_the_woken, "", "A wake of one goes to who has not been woken yet")
{
	struct shared_wait a, b;
	pthread_t first, second;
	iomap_word word = 0;
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	a = b = (struct shared_wait){ t.env, &word, 1 };
	fake_add(&f, &t);
	f.before_blocking = stick;
	fake_submit(&f);
	first = t_thread(wait_shared, &a);
	while (!iomapi_load(&stuck))
		iomapi_yield(t.env, "test");
	second = t_thread(wait_shared, &b);
	until(&f, &f.drives, 3);	/* second has found the driver led */
	t_settle();
	iomapi_store(&word, 1);
	iomap_env_wake(t.env, &word, 1);	/* first, who is slow to get up */
	iomap_env_wake(t.env, &word, 1);
	t_join(second);
	iomapi_store(&unstick, 1);
	t_join(first);
	ck_assert_int_eq(b.result, 0);
	ck_assert_int_eq(a.result, 0);
	fake_del(&f);
	t_env_stop(&t);
}

/*
 * a leads f, b sleeps, c blocks in h, its own.  When a leaves, b is told to look after f, but what
 * b waits for has come by then, and it leaves without a look.
 */
CASE(successor_that_leaves_passes_it_on, "",
     "A driver without leader is not forgotten by who leaves too")
{
	struct waiter a = { .word = 0 }, b = { .word = 0 }, c = { .word = 0 };
	struct fake f, h;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	fake_add(&h, &t);
	h.owner = &t;
	c.owns = &h;
	fake_submit(&f);
	fake_submit(&f);
	fake_submit(&h);
	waiter_start(&a, &t);
	until_blocked(&f, 1);
	waiter_start(&b, &t);
	until(&f, &f.drives, 3);		/* a twice, and b */
	waiter_start(&c, &t);
	until_blocked(&h, 1);
	t_settle();
	iomapi_store(&b.word, 1);		/* its wake is still to come */
	fake_complete(&f, &a.word);
	waiter_join(&a);
	waiter_join(&b);
	iomap_env_wake(t.env, &b.word, 1);
	until_blocked(&f, 2);			/* c leads f now */
	fake_complete(&f, &c.word);
	waiter_join(&c);
	fake_del(&f);
	fake_del(&h);
	t_env_stop(&t);
}

struct tokens {
	struct iomap_env *env;
	iomap_word nr;
	unsigned rounds;
	int err;
};

static void *take_tokens(void *arg)
{
	struct tokens *s = arg;

	for (unsigned i = 0; i < s->rounds && !__atomic_load_n(&s->err, __ATOMIC_RELAXED); i++) {
		for (;;) {
			uint32_t nr = iomapi_load(&s->nr);
			int err;

			if (nr && iomapi_cas(&s->nr, &nr, nr - 1))
				break;
			err = nr ? 0 : iomap_env_wait(s->env, &s->nr, 0, IOMAP_FOREVER);
			if (err) {
				__atomic_store_n(&s->err, err, __ATOMIC_RELAXED);
				return NULL;
			}
		}
	}
	return NULL;
}

CASE(each_wake_of_one_wakes_another, "", "As many single wakes as tokens: every taker gets one")
{
	struct tokens s = { .rounds = 500 };
	pthread_t threads[3];
	struct t_env t;

	t_env_start(&t, NULL);
	s.env = t.env;
	for (int i = 0; i < 3; i++)
		threads[i] = t_thread(take_tokens, &s);
	for (unsigned i = 0; i < 3 * s.rounds; i++) {
		iomapi_add(&s.nr, 1);
		iomap_env_wake(t.env, &s.nr, 1);
		if (i % 16 == 0)
			iomapi_yield(t.env, "test");
	}
	for (int i = 0; i < 3; i++)
		t_join(threads[i]);
	ck_assert_int_eq(s.err, 0);
	ck_assert_uint_eq(s.nr, 0);
	t_env_stop(&t);
}

/* ---- hand-overs ---- */

#define NR_HANDS 3

struct hands {
	struct iomap_env *env;
	struct fake *drivers;
	unsigned rounds;
	iomap_word words[NR_HANDS];
	int err;
};
struct hand {
	struct hands *all;
	unsigned me;
};

/* Wait for my word, then submit and complete the next one's: it moves only when somebody reaps,
 * and this thread, which may have been leading, does not. */
static void *pass_on(void *arg)
{
	struct hand *h = arg;
	struct hands *s = h->all;
	unsigned next = (h->me + 1) % NR_HANDS;

	for (uint32_t i = 0; i < s->rounds && !__atomic_load_n(&s->err, __ATOMIC_RELAXED); i++) {
		struct fake *f = &s->drivers[i % 2];
		int err = iomap_env_wait(s->env, &s->words[h->me], i, IOMAP_FOREVER);

		if (err) {
			__atomic_store_n(&s->err, err, __ATOMIC_RELAXED);
			break;
		}
		if (i % 3 == 2) {		/* from outside, past all drivers */
			iomapi_add(&s->words[next], 1);
			iomap_env_wake(s->env, &s->words[next], 1);
		} else {
			fake_submit(f);
			fake_complete(f, &s->words[next]);
		}
	}
	return NULL;
}

CASE_TIMEOUT(no_wake_is_lost_in_many_hand_overs, "",
     "10^5 words passed round by reaping and wakes", 30)
{
	struct hands s = { .rounds = 34000 / (t_scale() > 1 ? 5 : 1) };
	struct fake drivers[2];
	struct hand hands[NR_HANDS];
	pthread_t threads[NR_HANDS];
	struct t_env t;

	t_env_start(&t, NULL);
	s.env = t.env;
	s.drivers = drivers;
	fake_add(&drivers[0], &t);
	fake_add(&drivers[1], &t);
	for (unsigned i = 0; i < NR_HANDS; i++) {
		hands[i] = (struct hand){ &s, i };
		threads[i] = t_thread(pass_on, &hands[i]);
	}
	iomapi_add(&s.words[0], 1);
	iomap_env_wake(t.env, &s.words[0], 1);
	for (int i = 0; i < NR_HANDS; i++)
		t_join_within(threads[i], 25);
	ck_assert_int_eq(s.err, 0);
	/* The last one passed to the first lies in a driver, or has been counted. */
	ck_assert_uint_ge(s.words[0] + drivers[0].nr_done + drivers[1].nr_done, s.rounds);
	ck_assert_uint_eq(s.words[1], s.rounds);
	ck_assert_uint_eq(s.words[2], s.rounds);
	fake_del(&drivers[0]);
	fake_del(&drivers[1]);
	t_env_stop(&t);
}

MAIN()
