/* SPDX-License-Identifier: MIT */
/*
 * test_base_work.c - deferred work: once per queueing, by whom it may be run.
 */
#include "harness/harness.h"
#include "harness/thread.h"

#include "base/work.h"

#define BOTH (IOMAP_WORK_IOEND | IOMAP_WORK_DIO)

struct job {
	struct iomap_work work;
	struct iomap_env *env;
	unsigned ran, again;
	int result;
	char *story;
	char name;
};

static struct job *job_of(struct iomap_work *work)
{
	return iomap_container_of(work, struct job, work);
}

static void run(struct iomap_work *work)
{
	struct job *job = job_of(work);
	size_t n;

	job->ran++;
	if (job->story) {
		n = strlen(job->story);
		job->story[n] = job->name;
		job->story[n + 1] = 0;
	}
	if (job->again && job->again--)
		ck_assert(iomapi_work_queue(job->env, work));
}

static void job_init(struct job *job, struct t_env *t, unsigned work_class)
{
	*job = (struct job){ .work = { .fn = run, .work_class = work_class }, .env = t->env };
}

CASE(queued_twice_runs_once, "", "Work that is queued already is not queued again; later it may be")
{
	struct t_env t;
	struct job job;

	t_env_start(&t, NULL);
	job_init(&job, &t, IOMAP_WORK_IOEND);
	ck_assert(!iomapi_work_pending(t.env));
	ck_assert(iomapi_work_queue(t.env, &job.work));
	ck_assert(!iomapi_work_queue(t.env, &job.work));
	ck_assert(iomapi_work_pending(t.env));
	ck_assert_uint_eq(job.ran, 0);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 10), 1);
	ck_assert_uint_eq(job.ran, 1);
	ck_assert(!iomapi_work_pending(t.env));
	ck_assert(iomapi_work_queue(t.env, &job.work));
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 10), 1);
	ck_assert_uint_eq(job.ran, 2);
	t_env_stop(&t);
}

CASE(work_may_queue_itself, "", "fn queues its own work again; max bounds how often it runs")
{
	struct t_env t;
	struct job job;

	t_env_start(&t, NULL);
	job_init(&job, &t, IOMAP_WORK_IOEND);
	job.again = 2;
	iomapi_work_queue(t.env, &job.work);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 0), 0);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 1), 1);
	ck_assert_uint_eq(job.ran, 1);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 10), 2);
	ck_assert_uint_eq(job.ran, 3);
	t_env_stop(&t);
}

static void free_self(struct iomap_work *work)
{
	struct job *job = job_of(work);

	memset(job, 0xdd, sizeof(*job));
	free(job);
}

CASE(work_is_not_touched_after_fn, "", "fn may free its work")
{
	struct job *job = malloc(sizeof(*job));
	struct t_env t;

	t_env_start(&t, NULL);
	job_init(job, &t, IOMAP_WORK_DIO);
	job->work.fn = free_self;
	iomapi_work_queue(t.env, &job->work);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 10), 1);
	t_env_stop(&t);
}

CASE(classes_are_run_as_asked, "", "Only the classes named run, oldest first across classes")
{
	char story[16] = "";
	struct job jobs[4];
	struct t_env t;

	t_env_start(&t, NULL);
	for (int i = 0; i < 4; i++) {
		job_init(&jobs[i], &t, i % 2 ? IOMAP_WORK_DIO : IOMAP_WORK_IOEND);
		jobs[i].story = story;
		jobs[i].name = (char)('a' + i);
		iomapi_work_queue(t.env, &jobs[i].work);
	}
	ck_assert_int_eq(iomap_env_run_work(t.env, IOMAP_WORK_DIO, 1), 1);
	ck_assert_str_eq(story, "b");
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 10), 3);
	ck_assert_str_eq(story, "bacd");
	ck_assert_int_eq(iomap_env_run_work(t.env, 0, 1), -EINVAL);
	ck_assert_int_eq(iomap_env_run_work(t.env, 4, 1), -EINVAL);
	t_env_stop(&t);
}

CASE(txn_scope_leaves_work_to_others, "", "Inside a scope nothing is run, by name or by a wait")
{
	iomap_word word = 0;
	struct t_env t;
	struct job job;
	unsigned a, b;

	t_env_start(&t, NULL);
	job_init(&job, &t, IOMAP_WORK_IOEND);
	a = iomap_txn_scope_begin(t.env);
	b = iomap_txn_scope_begin(t.env);
	iomapi_work_queue(t.env, &job.work);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 1), -EDEADLK);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	iomap_txn_scope_end(t.env, b);
	ck_assert_int_eq(iomapi_work_run_allowed(t.env), 0);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 1000), -ETIMEDOUT);
	ck_assert_uint_eq(job.ran, 0);
	iomap_txn_scope_end(t.env, a);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	ck_assert_uint_eq(job.ran, 1);
	t_env_stop(&t);
}

CASE(dio_work_waits_for_folio_locks, "", "With a folio lock held DIO work stays, IOEND work runs")
{
	struct iomapi_self *self;
	struct job dio, ioend;
	iomap_word word = 0;
	struct t_env t;

	t_env_start(&t, NULL);
	self = iomapi_self(t.env);
	job_init(&dio, &t, IOMAP_WORK_DIO);
	job_init(&ioend, &t, IOMAP_WORK_IOEND);
	iomapi_work_queue(t.env, &dio.work);
	iomapi_work_queue(t.env, &ioend.work);
	self->nr_folio_locks++;
	ck_assert_int_eq(iomap_env_run_work(t.env, IOMAP_WORK_DIO, 1), 0);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	ck_assert_uint_eq(dio.ran, 0);
	ck_assert_uint_eq(ioend.ran, 1);
	self->nr_folio_locks--;
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	ck_assert_uint_eq(dio.ran, 1);
	t_env_stop(&t);
}

static void run_nested(struct iomap_work *work)
{
	struct job *job = job_of(work);
	iomap_word word = 0;

	job->ran++;
	job->result = iomap_env_run_work(job->env, BOTH, 1);
	ck_assert_int_eq(iomap_env_wait(job->env, &word, 0, 0), -ETIMEDOUT);
}

CASE(work_does_not_nest, "", "A wait inside deferred work runs no other work")
{
	struct job outer, inner;
	struct t_env t;

	t_env_start(&t, NULL);
	job_init(&outer, &t, IOMAP_WORK_IOEND);
	job_init(&inner, &t, IOMAP_WORK_IOEND);
	outer.work.fn = run_nested;
	iomapi_work_queue(t.env, &outer.work);
	iomapi_work_queue(t.env, &inner.work);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 1), 1);
	ck_assert_uint_eq(outer.ran, 1);
	ck_assert_int_eq(outer.result, -EDEADLK);
	ck_assert_uint_eq(inner.ran, 0);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 1), 1);
	ck_assert_uint_eq(inner.ran, 1);
	t_env_stop(&t);
}

CASE(callbacks_may_not_lend_their_thread, "", "Inside a callback waits and lending are -EDEADLK")
{
	iomap_word word = 0;
	struct t_env t;
	struct job job;

	t_env_start(&t, NULL);
	job_init(&job, &t, IOMAP_WORK_IOEND);
	iomapi_callback_start(t.env);
	iomapi_work_queue(t.env, &job.work);
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 1), -EDEADLK);
	ck_assert_int_eq(iomap_env_run_callbacks(t.env, 1), -EDEADLK);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, IOMAP_FOREVER), -EDEADLK);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 1, IOMAP_FOREVER), 0);
	iomapi_callback_end(t.env);
	ck_assert_int_eq(iomap_env_run_callbacks(t.env, 1), 0);
	iomapi_work_drain(t.env);
	ck_assert_uint_eq(job.ran, 1);
	t_env_stop(&t);
}

/* ---- drain ---- */

struct slow {
	struct job job;
	iomap_word started, go;
};

static void run_slowly(struct iomap_work *work)
{
	struct slow *s = iomap_container_of(work, struct slow, job.work);

	iomapi_store(&s->started, 1);
	while (!iomapi_load(&s->go))
		iomapi_yield(s->job.env, "test");
	s->job.ran++;
}

static void lend(void *arg)
{
	struct slow *s = arg;

	s->job.result = iomap_env_run_work(s->job.env, BOTH, 1);
}

static void let_go(void *arg)
{
	struct slow *s = arg;

	t_settle();
	iomapi_store(&s->go, 1);
}

CASE(drain_waits_for_running_work, "", "Drain returns after the work that another thread runs now")
{
	void *runner, *other, *arg;
	const struct iomap_sync_ops *sync;
	struct job queued;
	struct slow slow;
	struct t_env t;

	t_env_start(&t, NULL);
	sync = iomapi_env_opts(t.env)->sync;
	arg = iomapi_env_opts(t.env)->sync_arg;
	memset(&slow, 0, sizeof(slow));
	job_init(&slow.job, &t, IOMAP_WORK_IOEND);
	slow.job.work.fn = run_slowly;
	job_init(&queued, &t, IOMAP_WORK_DIO);
	iomapi_work_queue(t.env, &slow.job.work);
	ck_assert_int_eq(sync->spawn(arg, lend, &slow, &runner), 0);
	while (!iomapi_load(&slow.started))
		iomapi_yield(t.env, "test");
	iomapi_work_queue(t.env, &queued.work);
	ck_assert_int_eq(sync->spawn(arg, let_go, &slow, &other), 0);
	iomapi_work_drain(t.env);
	ck_assert_uint_eq(slow.job.ran, 1);
	ck_assert_uint_eq(queued.ran, 1);
	sync->join(arg, runner);
	sync->join(arg, other);
	ck_assert_int_eq(slow.job.result, 1);
	t_env_stop(&t);
}

CASE(delete_runs_what_is_left, "", "Work still queued when the environment goes has run")
{
	struct t_env t;
	struct job job;

	t_env_start(&t, NULL);
	job_init(&job, &t, IOMAP_WORK_DIO);
	iomapi_work_queue(t.env, &job.work);
	t_env_stop(&t);
	ck_assert_uint_eq(job.ran, 1);
}

/* ---- executor ---- */

struct executor {
	struct iomap_list list;
	unsigned queued, drained;
};

static void executor_queue(void *arg, struct iomap_work *work)
{
	struct executor *x = arg;

	x->queued++;
	iomap_list_add_tail(&x->list, &work->node);
}

static void executor_drain(void *arg)
{
	struct executor *x = arg;
	struct iomap_list *l;

	x->drained++;
	while ((l = iomap_list_pop(&x->list))) {
		struct iomap_work *work = iomap_container_of(l, struct iomap_work, node);

		work->fn(work);
	}
}

CASE(executor_gets_all_work, "", "With an executor waits run nothing; it runs each work once")
{
	const struct iomap_executor_ops ops = {
		.struct_size = sizeof(ops), .queue = executor_queue, .drain = executor_drain,
	};
	struct executor x = { .queued = 0 };
	const struct iomap_env_opts o = { .struct_size = sizeof(o), .executor = &ops,
					  .executor_arg = &x };
	iomap_word word = 0;
	struct t_env t;
	struct job job;

	iomap_list_init(&x.list);
	t_env_start(&t, &o);
	job_init(&job, &t, IOMAP_WORK_IOEND);
	job.again = 1;
	ck_assert(iomapi_work_queue(t.env, &job.work));
	ck_assert(!iomapi_work_queue(t.env, &job.work));
	ck_assert_uint_eq(x.queued, 1);
	ck_assert(!iomapi_work_pending(t.env));
	ck_assert_int_eq(iomap_env_run_work(t.env, BOTH, 10), 0);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	ck_assert_uint_eq(job.ran, 0);
	iomapi_work_drain(t.env);
	ck_assert_uint_eq(x.drained, 1);
	ck_assert_uint_eq(x.queued, 2);		/* it queued itself again from fn */
	ck_assert_uint_eq(job.ran, 2);
	ck_assert_ptr_eq(job.work.fn, run);
	t_env_stop(&t);
}

MAIN()
