/* SPDX-License-Identifier: MIT */
/*
 * test_tasks.c - tasks: spawned, waiting, woken, joined; bugs that need an order of them.
 */
#include "sim/tasks.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- one after the other ---- */

struct order {
	char text[64];
	unsigned len;
	iomap_word go;
};

static void say(struct order *o, char letter)
{
	o->text[o->len++] = letter;
	o->text[o->len] = 0;
}

static int sleep_and_say(struct iomap_sim *sim, void *arg)
{
	struct order *o = arg;

	say(o, 'a');
	if (iomap_sim_wait(sim, &o->go, 0, IOMAP_FOREVER))
		return 1;
	say(o, 'c');
	return 0;
}

CASE(a_wait_ends_with_a_wake, "", "Not before, whatever the word is meanwhile; then join returns")
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct iomap_sim *sim = tasks_sim(seed);
		struct order o = { .len = 0 };

		ck_assert_int_eq(iomap_sim_spawn(sim, sleep_and_say, &o), 0);
		while (!o.len)
			iomap_sim_yield(sim, "test");
		for (unsigned i = 0; i < 20; i++)
			iomap_sim_yield(sim, "test");
		o.go = 1;
		for (unsigned i = 0; i < 20; i++)
			iomap_sim_yield(sim, "test");
		if (o.len == 1) {	/* else it looked at the word behind the change */
			say(&o, 'b');
			iomap_sim_wake(sim, &o.go, 1);
		}
		ck_assert_int_eq(iomap_sim_join(sim), 0);
		ck_assert(!strcmp(o.text, "abc") || !strcmp(o.text, "ac"));
		ck_assert_int_eq(iomap_sim_now_ns(sim), 0);
		iomap_sim_delete(&sim);
	}
}

struct sleeper {
	int64_t ns;
	struct order *order;
	char letter;
	int rc;
};

static int doze(struct iomap_sim *sim, void *arg)
{
	struct sleeper *s = arg;
	int64_t start = iomap_sim_now_ns(sim);

	s->rc = iomap_sim_wait(sim, &s->order->go, 0, s->ns);
	if (s->rc == -ETIMEDOUT && iomap_sim_now_ns(sim) < start + s->ns)
		return 1;
	say(s->order, s->letter);
	return 0;
}

CASE(waits_end_in_time, "O44", "Each at its own, the earlier one first, when nobody wakes them")
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct iomap_sim *sim = tasks_sim(seed);
		struct order o = { .len = 0 };
		struct sleeper s[3] = {
			{ 3000, &o, 'c', 0 }, { 1000, &o, 'a', 0 }, { 2000, &o, 'b', 0 },
		};

		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(iomap_sim_spawn(sim, doze, &s[i]), 0);
		ck_assert_int_eq(iomap_sim_join(sim), 0);
		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(s[i].rc, -ETIMEDOUT);
		ck_assert_uint_eq(o.len, 3);
		ck_assert_int_ge(iomap_sim_now_ns(sim), 3000);
		iomap_sim_delete(&sim);
	}
}

CASE(wakes_are_counted, "", "A wake of two gets two of three up, those that have slept longest")
{
	struct iomap_sim *sim = tasks_sim(1);
	struct order o = { .len = 0 };
	struct sleeper s[3];

	for (unsigned i = 0; i < 3; i++) {
		s[i] = (struct sleeper){ IOMAP_FOREVER, &o, (char)('a' + i), 1 };
		ck_assert_int_eq(iomap_sim_spawn(sim, doze, &s[i]), 0);
		for (unsigned n = 0; n < 300; n++)
			iomap_sim_yield(sim, "test");
	}
	o.go = 1;
	iomap_sim_wake(sim, &o.go, 2);
	ck_assert_int_eq(iomap_sim_join(sim), -EDEADLK);	/* the third sleeps on */
	ck_assert(!strcmp(o.text, "ab") || !strcmp(o.text, "ba"));
	iomap_sim_wake(sim, &o.go, 2);
	ck_assert_int_eq(iomap_sim_join(sim), 0);
	ck_assert_int_eq(o.text[2], 'c');
	iomap_sim_delete(&sim);
}

static int count_one(struct iomap_sim *sim, void *arg)
{
	iomap_sim_yield(sim, "count");
	++*(unsigned *)arg;
	return 0;
}

CASE(there_are_only_so_many, "", "-EAGAIN; the places of those that ended are used again")
{
	struct iomap_sim *sim = tasks_sim(1);
	iomap_word never = 0;
	unsigned nr = 0, refused = 0;

	ck_assert_int_eq(iomap_sim_join(sim), 0);
	ck_assert_int_eq(iomap_sim_wait(sim, &never, 1, IOMAP_FOREVER), 0);
	ck_assert_int_eq(iomap_sim_wait(sim, &never, 0, 500), -ETIMEDOUT);
	ck_assert_int_eq(iomap_sim_wait(sim, &never, 0, IOMAP_FOREVER), -EDEADLK);
	for (unsigned i = 0; i < 10 * IOMAP_SIM_TASKS; i++) {
		int rc = iomap_sim_spawn(sim, count_one, &nr);

		ck_assert(!rc || rc == -EAGAIN);
		refused += rc == -EAGAIN;
		if (rc)
			ck_assert_int_eq(iomap_sim_join(sim), 0);
	}
	ck_assert_int_eq(iomap_sim_join(sim), 0);
	ck_assert_uint_gt(refused, 0);
	ck_assert_uint_eq(nr + refused, 10 * IOMAP_SIM_TASKS);
	iomap_sim_delete(&sim);
}

static int join_others(struct iomap_sim *sim, void *arg)
{
	*(int *)arg = iomap_sim_join(sim);
	return 0;
}

static int sleep_for_ever(struct iomap_sim *sim, void *arg)
{
	iomap_word never = 0;

	(void)arg;
	return iomap_sim_wait(sim, &never, 0, IOMAP_FOREVER);
}

CASE(what_cannot_end, "O44", "Only task 0 joins; without a case it hears that nobody can go on")
{
	struct iomap_sim *sim = tasks_sim(1);
	int rc = 0;

	ck_assert_int_eq(iomap_sim_spawn(sim, join_others, &rc), 0);
	ck_assert_int_eq(iomap_sim_join(sim), 0);
	ck_assert_int_eq(rc, -EDEADLK);
	ck_assert_int_eq(iomap_sim_spawn(sim, sleep_for_ever, NULL), 0);
	ck_assert_int_eq(iomap_sim_join(sim), -EDEADLK);
	iomap_sim_delete(&sim);
}

/* ---- devices ---- */

struct writer {
	unsigned block;
	unsigned good;
	int error;
};

static int write_and_read(struct iomap_sim *sim, void *arg)
{
	struct writer *w = arg;
	uint8_t mem[BLOCK], got[BLOCK];

	for (unsigned i = 1; i <= 5; i++) {
		memset(mem, (int)(w->block * 16 + i), BLOCK);
		if (iomap_sim_pwrite(sim, "disk", mem, BLOCK, w->block * BLOCK, 0) != BLOCK ||
		    iomap_sim_pread(sim, "disk", got, BLOCK, w->block * BLOCK) != BLOCK)
			return 1;
		w->good += !memcmp(mem, got, BLOCK);
	}
	w->error = iomap_sim_start_write(sim, "disk", mem, BLOCK, w->block * BLOCK, 0);
	if (!w->error)
		w->error = iomap_sim_wait_writes(sim);
	return iomap_sim_flush(sim, "disk");
}

CASE(each_hears_of_its_own_commands, "",
     "Plain calls of four tasks at once: their data, and only their errors")
{
	unsigned shorter = 0;

	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct iomap_sim *sim = tasks_sim(seed);
		struct writer w[4];
		int64_t alone;

		w[0] = (struct writer){ .block = 5 };
		ck_assert_int_eq(write_and_read(sim, &w[0]), 0);
		alone = iomap_sim_now_ns(sim);
		ck_assert_int_eq(iomap_sim_fault(sim, "at write addr=8192 nth=6 kind=eio_write"),
				 0);
		for (unsigned i = 0; i < 4; i++) {
			w[i] = (struct writer){ .block = i };
			ck_assert_int_eq(iomap_sim_spawn(sim, write_and_read, &w[i]), 0);
		}
		ck_assert_int_eq(iomap_sim_join(sim), 0);
		for (unsigned i = 0; i < 4; i++) {
			ck_assert_uint_eq(w[i].good, 5);
			ck_assert_int_eq(w[i].error, i == 2 ? -EIO : 0);
		}
		shorter += iomap_sim_now_ns(sim) < 3 * alone;
		iomap_sim_delete(&sim);
	}
	ck_assert_uint_gt(shorter, 80);		/* they did not wait for each other */
}

/* ---- bugs of order ---- */

struct shared {
	unsigned nr_tasks, rounds;
	bool broken;
	unsigned counter;
	iomap_word lock[2], word;
	bool ready;
};

static void forget(struct shared *s)
{
	s->counter = 0;
	s->lock[0] = s->lock[1] = s->word = 0;
	s->ready = false;
}

static int add_one(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	for (unsigned i = 0; i < s->rounds; i++) {
		unsigned value;

		if (!s->broken)
			tasks_lock(sim, &s->lock[0]);
		value = s->counter;
		iomap_sim_yield(sim, "between");
		s->counter = value + 1;
		if (!s->broken)
			tasks_unlock(sim, &s->lock[0]);
	}
	return 0;
}

static int add_all(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	forget(s);
	if (tasks_spawn(sim, s->nr_tasks, add_one, s))
		return 1;
	if (s->counter != s->nr_tasks * s->rounds)
		return iomap_sim_fail(sim, "lost", "%u", s->counter);
	return 0;
}

CASE(a_lost_update_is_found, "", "By chance; the schedule is one switch when it is shrunk")
{
	struct shared s = { .nr_tasks = 2, .rounds = 1, .broken = true };
	const struct iomap_sim_case c = tasks_case("lost-update", add_all, &s);
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 100 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	ck_assert_uint_le(tasks_find(&c, IOMAP_SIM_RANDOM, 0, 100, "lost"), 20);
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_ptr_nonnull(strstr(r.token, "1::::"));	/* zeros, and one switch */
	ck_assert_ptr_nonnull(strstr(r.text, "task 1 has to stop at between, task 2 goes on"));
	iomap_sim_report_fini(&r);
	s.broken = false;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, 500);
	s.nr_tasks = 5;
	s.rounds = 4;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, 300);
}

static int consume(struct iomap_sim *sim, struct shared *s)
{
	uint32_t seen = s->word;

	if (s->ready)
		return 0;
	if (s->broken) {	/* the word is looked at behind what it stands for */
		iomap_sim_yield(sim, "between");
		seen = s->word;
	}
	return iomap_sim_wait(sim, &s->word, seen, IOMAP_FOREVER);
}

static int produce(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	s->ready = true;
	s->word++;
	iomap_sim_wake(sim, &s->word, 1);
	return 0;
}

static int hand_over(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	forget(s);
	return iomap_sim_spawn(sim, produce, s) ? 1 : consume(sim, s);
}

CASE(a_lost_wake_up_is_found, "O44", "As a deadlock, which says who waits for what")
{
	struct shared s = { .broken = true };
	const struct iomap_sim_case c = tasks_case("wake-up", hand_over, &s);
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 100 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	tasks_find(&c, IOMAP_SIM_RANDOM, 0, 100, "O44");
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_ptr_nonnull(strstr(r.text, "deadlock"));
	ck_assert_ptr_nonnull(strstr(r.text, "task 0 waits for a word, and there is nobody"));
	iomap_sim_report_fini(&r);
	s.broken = false;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, 500);
}

static int take_both(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;
	unsigned first = s->broken ? s->counter++ % 2 : 0;

	tasks_lock(sim, &s->lock[first]);
	tasks_lock(sim, &s->lock[!first]);
	tasks_unlock(sim, &s->lock[!first]);
	tasks_unlock(sim, &s->lock[first]);
	return 0;
}

static int take_all(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	forget(s);
	return tasks_spawn(sim, s->nr_tasks, take_both, s);
}

CASE(two_orders_of_two_locks, "O44", "Found as a deadlock; one order has none")
{
	struct shared s = { .nr_tasks = 2, .broken = true };
	const struct iomap_sim_case c = tasks_case("lock-order", take_all, &s);
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 200 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };

	tasks_find(&c, IOMAP_SIM_RANDOM, 0, 200, "O44");
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_ptr_nonnull(strstr(r.text, "deadlock: task 0 waits for its tasks"));
	ck_assert_ptr_nonnull(strstr(r.text, "task 1 waits for a word (2) at wait"));
	iomap_sim_report_fini(&r);
	s.broken = false;
	s.nr_tasks = 4;
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, 500);
}

static int alone(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	forget(s);
	return sleep_for_ever(sim, NULL);
}

static int turn(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	while (!s->ready)
		iomap_sim_yield(sim, "turn");
	return 0;
}

static int turn_for_ever(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	forget(s);
	return tasks_spawn(sim, s->nr_tasks, turn, s);
}

static int answer(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	iomap_sim_yield(sim, "answer");
	s->ready = true;
	return s->broken ? 77 : 0;
}

static int turn_a_while(struct iomap_sim *sim, void *arg)
{
	struct shared *s = arg;

	forget(s);
	return iomap_sim_spawn(sim, answer, s) ? 1 : turn(sim, s);
}

CASE(a_run_that_does_not_end, "O44", "Alone, or turning round; but who turns is not on for ever")
{
	const struct iomap_sim_cfg cfg = {
		.struct_size = sizeof(cfg), .nr_seeds = 1, .no_shrink = true,
	};
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct shared s = { .nr_tasks = 2 };
	struct iomap_sim_case c = tasks_case("alone", alone, &s);

	tasks_find(&c, IOMAP_SIM_RANDOM, 0, 1, "O44");
	c = tasks_case("turning", turn_for_ever, &s);
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_str_eq(r.oracle, "O44");
	ck_assert_ptr_nonnull(strstr(r.text, "no end"));
	iomap_sim_report_fini(&r);
	c = tasks_case("a-while", turn_a_while, &s);
	tasks_pass(&c, IOMAP_SIM_RANDOM, 0, 100);
}

CASE(a_task_that_fails, "", "What it returns is the failure of the run, and which one it was")
{
	const struct iomap_sim_cfg cfg = { .struct_size = sizeof(cfg), .nr_seeds = 5 };
	struct iomap_sim_report r = { .struct_size = sizeof(r) };
	struct shared s = { .broken = true };
	const struct iomap_sim_case c = tasks_case("fails", turn_a_while, &s);

	tasks_find(&c, IOMAP_SIM_RANDOM, 0, 1, "task");
	ck_assert_int_eq(iomap_sim_check(&c, &cfg, &r), 1);
	ck_assert_ptr_nonnull(strstr(r.text, "task 1 returned 77"));
	iomap_sim_report_fini(&r);
}

/* ---- what no task may do ---- */

static int lock_and_yield(struct iomap_sim *sim, void *arg)
{
	pthread_mutex_t *mutex = arg;

	pthread_mutex_lock(mutex);
	for (unsigned i = 0; i < 10; i++)
		iomap_sim_yield(sim, "the middle");
	pthread_mutex_unlock(mutex);
	return 0;
}

static void hang(int out)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	dup2(out, STDERR_FILENO);
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct iomap_sim *sim = tasks_sim(seed);

		for (unsigned i = 0; i < 2; i++)
			iomap_sim_spawn(sim, lock_and_yield, &mutex);
		iomap_sim_join(sim);
		iomap_sim_delete(&sim);
	}
	_exit(0);
}

/* What it says until it ends; it is given a minute. */
static void listen_to(int in, char *text, size_t size)
{
	struct pollfd fd = { .fd = in, .events = POLLIN };
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < size - 1 && poll(&fd, 1, 60000) == 1) {
		n = read(in, text + len, size - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	text[len] = 0;
}

CASE_TIMEOUT(a_lock_of_pthreads, "",
	     "Between two tasks it would hang: the process says so, and ends", 90)
{
	int fds[2], status = 0;
	char text[4096];
	pid_t child;

	if (access("/proc/self/syscall", R_OK) || access("/proc/self/schedstat", R_OK))
		t_skip("the kernel does not tell where a thread sleeps");
	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (!child)
		hang(fds[1]);
	close(fds[1]);
	listen_to(fds[0], text, sizeof(text));
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%d %s", status, text);
	ck_assert_msg(strstr(text, "sleeps where no other task can wake it; last seen at"), "%s",
		      text);
	ck_assert_ptr_nonnull(strstr(text, "iomap_sim_wait"));
	close(fds[0]);
}

MAIN()
