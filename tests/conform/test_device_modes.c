/* SPDX-License-Identifier: MIT */
/*
 * test_device_modes.c - devices under other circumstances: manual callbacks, several queues, what
 * no backend has, a fork.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "harness/devices.h"
#include "harness/thread.h"

#define KB 1024u

/* ---- manual callbacks ---- */

static const char *const manual_specs[] = { "null:16m", "mem:m" };

static void start_manual(struct t_device *d, const char *spec)
{
	const struct iomap_env_opts opts = { .struct_size = sizeof(opts),
					     .callbacks = IOMAP_CALLBACKS_MANUAL };

	memset(d, 0, sizeof(*d));
	t_env_start(&d->t, &opts);
	ck_assert_int_eq(iomap_ioq_new(d->t.env, NULL, &d->ioq), 0);
	ck_assert_int_eq(iomap_bdev_open(d->ioq, spec, NULL, &d->bdev), 0);
}

CASE(manual_callbacks_wait_to_be_run, "",
     "Reaping queues them; run_callbacks runs them, a few at a time")
{
	for (unsigned k = 0; k < 2; k++) {
		struct t_device d;
		struct t_bio *b;

		start_manual(&d, manual_specs[k]);
		b = t_writes(&d, 8);
		t_submit(b, 6);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 6, 8, IOMAP_FOREVER), 6);
		for (unsigned i = 0; i < 6; i++)
			ck_assert_uint_eq(b[i].nr_ends, 0);
		ck_assert_int_eq(iomap_env_run_callbacks(d.t.env, 4), 4);
		ck_assert_int_eq(iomap_env_run_callbacks(d.t.env, 9), 2);
		ck_assert_int_eq(iomap_env_run_callbacks(d.t.env, 9), 0);
		for (unsigned i = 0; i < 6; i++)
			ck_assert_uint_eq(b[i].nr_ends, 1);
		b[6].bio.end_io = NULL;			/* nobody's callback: done at once */
		t_submit(b + 6, 2);
		ck_assert_int_eq(iomap_bio_wait(&b[6].bio), 0);
		ck_assert_int_eq(iomap_ioq_drain(d.ioq, IOMAP_FOREVER), 0);	/* runs the rest */
		ck_assert_uint_eq(b[7].nr_ends, 1);
		free(b);
		t_device_stop(&d);
	}
}

/* Two threads, each waiting for its word.  Whoever runs the first callback has its word changed
 * there; the other one's changes when the bio ends that the callback has submitted. */
struct pair {
	struct t_device d;
	struct t_bio *b;
	iomap_word words[2];
	unsigned other;			/* who is waited for last */
};
static struct pair pair;
static _Thread_local unsigned me;

static void change_word(unsigned i)
{
	__atomic_store_n(&pair.words[i], 1, __ATOMIC_RELEASE);
	iomap_env_wake(pair.d.t.env, &pair.words[i], 1);
}

static void end_second(struct iomap_bio *bio)
{
	(void)bio;
	change_word(pair.other);
}

static void submit_second(struct iomap_bio *bio)
{
	(void)bio;
	for (unsigned i = 0; i < 20; i++)
		t_settle();		/* the other looks, finds nothing and sleeps again */
	pair.other = !me;
	pair.b[1].bio.end_io = end_second;
	iomap_bio_submit(&pair.b[1].bio);
	change_word(me);
}

static void *wait_for_own_word(void *arg)
{
	me = (unsigned)(uintptr_t)arg;
	ck_assert_int_eq(iomap_env_wait(pair.d.t.env, &pair.words[me], 0, IOMAP_FOREVER), 0);
	return NULL;
}

CASE(a_wait_hands_on_what_its_callbacks_submitted, "",
     "A callback run in a wait submits and ends the wait; another waiter drives what it left")
{
	for (unsigned k = 0; k < 2; k++) {
		pthread_t threads[2];

		memset(&pair, 0, sizeof(pair));
		start_manual(&pair.d, manual_specs[k]);
		pair.b = t_writes(&pair.d, 2);
		pair.b[0].bio.end_io = submit_second;
		t_submit(pair.b, 1);
		ck_assert_int_eq(iomap_ioq_poll(pair.d.ioq, 1, 1, IOMAP_FOREVER), 1);
		for (uintptr_t i = 0; i < 2; i++)
			threads[i] = t_thread(wait_for_own_word, (void *)i);
		for (unsigned i = 0; i < 2; i++)
			t_join(threads[i]);
		free(pair.b);
		t_device_stop(&pair.d);
	}
}

static void count_piece(struct iomap_bio *bio, uint64_t off, uint64_t len, int status)
{
	(void)off, (void)len, (void)status;
	++*(unsigned *)bio->owner;
}

static void *wait_for_bio(void *bio)
{
	ck_assert_int_eq(iomap_bio_wait(bio), 0);
	return NULL;
}

CASE(a_bio_wait_runs_the_ends_of_pieces, "",
     "Manual callbacks that it waits for itself are nobody else's to run")
{
	struct t_device d;
	unsigned nr = 0;
	struct t_bio b;

	start_manual(&d, "mem:m,max=4k");
	t_bio_init(&b, d.bdev, IOMAP_BIO_WRITE, 0, t_buffer(12 * KB, 1), 12 * KB);
	b.bio.end_io = NULL;
	b.bio.piece_end = count_piece;
	b.bio.owner = &nr;
	iomap_bio_submit(&b.bio);
	t_join(t_thread(wait_for_bio, &b.bio));
	ck_assert_uint_eq(nr, 3);
	t_device_stop(&d);
}

/* ---- queues ---- */

CASE(a_device_on_two_queues, "", "Each bio ends from the queue it was sent on; no other will do")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct iomap_ioq *second, *stranger;
		struct t_bio *b = t_writes(&d, 3);

		ck_assert_int_eq(iomap_ioq_new(d.t.env, NULL, &second), 0);
		ck_assert_int_eq(iomap_ioq_new(d.t.env, NULL, &stranger), 0);
		ck_assert_int_eq(iomap_bdev_attach(d.bdev, second), 0);
		ck_assert_int_eq(iomap_bdev_attach(d.bdev, second), 0);
		b[1].bio.ioq = second;
		b[2].bio.ioq = stranger;
		t_submit(b, 3);
		ck_assert_int_eq(iomap_ioq_poll(stranger, 1, 8, IOMAP_FOREVER), 0);
		ck_assert_int_eq(iomap_ioq_poll(second, 1, 8, IOMAP_FOREVER), 1);
		ck_assert_uint_eq(b[1].nr_ends, 1);
		ck_assert_uint_eq(b[0].nr_ends, 0);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 2, 8, IOMAP_FOREVER), 2);
		ck_assert_int_eq(b[0].status, 0);
		ck_assert_int_eq(b[2].status, -EINVAL);
		ck_assert_str_eq(d.t.last_field, "ioq");
		iomap_ioq_delete(&stranger);
		t_submit(b + 1, 1);
		iomap_bdev_close(&d.bdev);		/* drains both */
		ck_assert_uint_eq(b[1].nr_ends, 2);
		iomap_ioq_delete(&second);
		free(b);
		t_device_stop(&d);
	}
}

CASE(a_closed_device_leaves_its_queues, "", "All that it is on, each once, before it is closed")
{
	struct t_mem_calls before = t_mem_calls();
	struct iomap_ioq *second;
	struct t_device d;

	t_device_start_mem(&d, "", NULL);
	ck_assert_int_eq(iomap_ioq_new(d.t.env, NULL, &second), 0);
	ck_assert_int_eq(iomap_bdev_attach(d.bdev, second), 0);
	ck_assert_uint_eq(t_mem_calls().attached, before.attached + 1);
	iomap_bdev_close(&d.bdev);
	ck_assert_uint_eq(t_mem_calls().detached, before.detached + 2);
	iomap_ioq_delete(&second);
	t_device_stop(&d);
}

CASE(memory_that_cannot_be_registered, "",
     "-ENOTSUP where the backend has nothing like it; what is in use is named")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		if (!strncmp(iomap_ioq_reason(d.ioq), "uring", 5)) {	/* has it */
			t_device_stop(&d);
			continue;
		}
		ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, &d, sizeof(d)), -ENOTSUP);
		ck_assert_int_eq(iomap_ioq_unregister_memory(d.ioq, &d, sizeof(d)), -ENOTSUP);
		ck_assert_int_eq(iomap_ioq_register_memory(d.ioq, NULL, 1), -EINVAL);
		if (kind != T_AUTO)	/* whose device has the name of what it fell back to */
			ck_assert_ptr_nonnull(strstr(iomap_ioq_reason(d.ioq),
						     t_device_scheme((enum t_device_kind)kind)));
		t_device_stop(&d);
	}
}

CASE(events_of_a_request, "", "Submit, queue and end are traced, each once, with its status")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		uint8_t *mem = t_buffer(4 * KB, 1);

		t_env_trace(&d.t);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 8 * KB, mem, 4 * KB, 0), 0);
		ck_assert_int_eq(t_io(d.bdev, IOMAP_BIO_WRITE, 1, mem, 4 * KB, 0), -EINVAL);
		ck_assert_uint_eq(t_env_count(&d.t, IOMAP_TRACE_BIO_SUBMIT), 2);
		ck_assert_uint_eq(t_env_count(&d.t, IOMAP_TRACE_BIO_QUEUE), 1);
		ck_assert_uint_eq(t_env_count(&d.t, IOMAP_TRACE_BIO_END), 2);
		ck_assert_uint_eq(d.t.trace[0].addr, 8 * KB);
		ck_assert_uint_eq(d.t.trace[0].len, 4 * KB);
		ck_assert_uint_eq(d.t.trace[0].type, IOMAP_BIO_WRITE);
		ck_assert_int_eq(d.t.trace[d.t.nr_trace - 1].result, -EINVAL);
		t_device_stop(&d);
	}
}

/* ---- fork ---- */

/* What the child found wrong, 0 nothing.  b[3] is in the plug. */
static int in_child(struct t_device *d, struct iomap_ioq *second, struct t_bio *b,
		    struct iomap_plug *plug)
{
	const unsigned detached = t_mem_calls().detached;
	struct iomap_bdev *bdev = NULL;
	uint8_t mem[512];

	if (iomap_ioq_poll(d->ioq, 0, 1, 0) != -ECHILD)
		return 1;
	if (iomap_ioq_drain(d->ioq, 0) != -ECHILD)
		return 2;
	if (iomap_bdev_flush(d->bdev, 1) != -ECHILD)
		return 3;
	if (t_io(d->bdev, IOMAP_BIO_READ, 0, mem, 512, 0) != -ECHILD)
		return 4;
	if (iomap_bdev_open(d->ioq, "null:", NULL, &bdev) != -ECHILD || bdev)
		return 5;
	if (iomap_ioq_event_fd(d->ioq) != -ECHILD || iomap_bdev_refresh_size(d->bdev) != -ECHILD)
		return 6;
	if (iomap_ioq_register_memory(d->ioq, mem, 512) != -ECHILD ||
	    iomap_bdev_attach(d->bdev, d->ioq) != -ECHILD)
		return 9;
	iomap_bio_cancel(&b[0].bio);
	iomap_plug_end(plug);
	if (b[3].nr_ends || b[3].bio.status != -ECHILD)
		return 10;
	iomap_ioq_abandon(&d->ioq);
	iomap_ioq_abandon(&second);
	iomap_bdev_close(&d->bdev);
	if (d->ioq || d->bdev || second)
		return 7;
	if (t_mem_calls().detached != detached)
		return 11;
	iomap_env_delete(&d->t.env);
	return d->t.nr_live ? 8 : 0;
}

CASE(a_forked_child_is_told, "O20",
     "Every call is -ECHILD there, abandon frees; the parent goes on")
{
	struct t_device d;
	int kind;

	each_device(&d, kind) {
		struct t_bio *b = t_writes(&d, 4);
		struct iomap_ioq *second;
		struct iomap_plug plug;
		int status;
		pid_t pid;

		ck_assert_int_eq(iomap_ioq_new(d.t.env, NULL, &second), 0);
		ck_assert_int_eq(iomap_bdev_attach(d.bdev, second), 0);
		t_submit(b, 3);
		iomap_plug_start(&plug, d.t.env);
		t_submit(b + 3, 1);
		pid = fork();
		if (!pid)
			_exit(in_child(&d, second, b, &plug));
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFEXITED(status));
		ck_assert_int_eq(WEXITSTATUS(status), 0);
		iomap_plug_end(&plug);
		ck_assert_int_eq(iomap_ioq_poll(d.ioq, 4, 4, IOMAP_FOREVER), 4);
		ck_assert_int_eq(b[3].status, 0);
		iomap_ioq_delete(&second);
		free(b);
		t_device_stop(&d);
	}
}

MAIN()
