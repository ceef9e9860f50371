/* SPDX-License-Identifier: MIT */
/*
 * test_base_wait.c - object waits of one thread.
 */
#include "fake_driver.h"

/* ---- one thread ---- */

CASE(waiter_drives, "", "A thread alone reaps its own completion, without blocking if it is there")
{
	iomap_word word = 0;
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 1, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(f.drives, 0);
	fake_submit(&f);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	ck_assert_uint_eq(f.drives, 1);
	ck_assert_uint_eq(f.blocked, 0);
	fake_complete(&f, &word);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, IOMAP_FOREVER), 0);
	ck_assert_uint_eq(word, 1);
	ck_assert_uint_eq(f.blocked, 0);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 1, 1000), -ETIMEDOUT);
	fake_del(&f);
	t_env_stop(&t);
}

CASE(timeout_ends_a_blocking_drive, "", "With something in flight that never comes: -ETIMEDOUT")
{
	iomap_word word = 0;
	struct fake f, g;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	fake_submit(&f);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 1000000), -ETIMEDOUT);
	ck_assert_uint_ge(f.blocked, 1);
	fake_add(&g, &t);
	fake_submit(&g);
	/* Each of several gets its slice, unless this thread was kept from running. */
	for (int i = 0; i < 100 && !g.blocked; i++)
		ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 3000000), -ETIMEDOUT);
	ck_assert_uint_ge(g.blocked, 1);
	fake_del(&f);
	fake_del(&g);
	t_env_stop(&t);
}

CASE(wait_flushes_the_plug_first, "", "A wait with a plug open hands it to the transport")
{
	iomap_word word = 0;
	struct iomapi_self *self;
	struct fake f;
	struct t_env t;

	t_env_start(&t, NULL);
	fake_add(&f, &t);
	self = iomapi_self(t.env);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	ck_assert_uint_eq(flushed_plugs, 0);
	self->plug = (struct iomap_plug *)(uintptr_t)64;
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, 0), -ETIMEDOUT);
	ck_assert_uint_eq(flushed_plugs, 1);
	self->plug = NULL;
	fake_del(&f);
	t_env_stop(&t);
}

CASE(manual_callbacks_run_in_object_waits, "",
     "In MANUAL mode a wait lends its thread to callbacks")
{
	const struct iomap_env_opts o = { .struct_size = sizeof(o),
					  .callbacks = IOMAP_CALLBACKS_MANUAL };
	iomap_word word = 0, other = 0;
	struct fake f;
	struct t_env t;

	t_env_start(&t, &o);
	fake_add(&f, &t);
	f.manual = true;
	fake_submit(&f);
	fake_complete(&f, &word);
	ck_assert_int_eq(f.driver.drive(&f.driver, 1, 0), 1);
	ck_assert_uint_eq(word, 0);
	ck_assert_int_eq(iomap_env_run_callbacks(t.env, 0), 0);
	ck_assert_uint_eq(word, 0);
	ck_assert_int_eq(iomap_env_run_callbacks(t.env, 5), 1);
	ck_assert_uint_eq(word, 1);
	fake_submit(&f);
	fake_complete(&f, &other);
	ck_assert_int_eq(iomap_env_wait(t.env, &other, 0, IOMAP_FOREVER), 0);
	fake_del(&f);
	t_env_stop(&t);
}

CASE(wait_runs_deferred_work, "", "A wait for what only deferred work does runs it itself")
{
	struct late_job job = { .work = { .fn = bump, .work_class = IOMAP_WORK_IOEND } };
	iomap_word word = 0;
	struct t_env t;

	t_env_start(&t, NULL);
	job.env = t.env;
	job.word = &word;
	iomapi_work_queue(t.env, &job.work);
	ck_assert_int_eq(iomap_env_wait(t.env, &word, 0, IOMAP_FOREVER), 0);
	t_env_stop(&t);
}

MAIN()
