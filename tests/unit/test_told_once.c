/* SPDX-License-Identifier: MIT */
/*
 * test_told_once.c - an error and its readers: handles that are shared, that outlive an eviction or
 * come after it, and the volume, which has a cursor of its own through all lives of its inodes.
 */
#include "harness/harness.h"
#include "harness/memdev.h"
#include "harness/thread.h"
#include "model/model.h"

#define BLOCK	4096u
#define ROUNDS	100u

struct story {
	struct t_env t;
	struct m_model *m;
	struct m_file *f;
	struct iomap_file other;
};

static void start(struct story *s)
{
	t_env_start(&s->t, NULL);
	s->m = m_open(&s->t, &(struct m_opts){ .delalloc = true });
	s->f = m_file_new(s->m);
	ck_assert_int_eq(iomap_file_open(&s->other, &s->f->inode, 0), 0);
}

static void stop(struct story *s)
{
	iomap_file_close(&s->other);
	m_file_free(&s->f);
	m_close(&s->m);
	t_env_stop(&s->t);
}

/* In the background, and nobody has looked yet. */
static void fail_a_write(struct story *s, int error)
{
	ck_assert_int_eq(m_fill(s->f, 0, 3 * BLOCK, 1), 3 * BLOCK);
	t_mem_fail(t_mem_find("model"), IOMAP_BIO_WRITE, 1, 1, error, UINT64_MAX);
	ck_assert_int_eq(m_writeback(s->f, IOMAP_WB_SYNC_NONE, 0, 0), 0);
	ck_assert_int_eq(iomap_inode_wait_wb(&s->f->inode, UINT64_MAX, IOMAP_FOREVER), 0);
}

/* As an engine does that cannot write it anywhere: the bytes are given up, the error is not. */
static void leave_and_come_back(struct story *s)
{
	iomap_mapping_forget_failed(&s->f->inode, 0, IOMAP_MAX_POS);
	ck_assert_int_eq(m_evict(s->f), 0);
}

static int check(struct iomap_file *file)
{
	return iomap_file_check_error(file);
}

CASE(a_handle_that_two_users_share, "O12",
     "As after dup: one of them is told, the other not; who has a handle of his own is told too")
{
	struct story s;

	start(&s);
	fail_a_write(&s, -EIO);
	ck_assert_int_eq(m_sync(s.f), -EIO);
	ck_assert_int_eq(m_sync(s.f), 0);
	ck_assert_int_eq(iomap_file_sync(&s.other, 0, IOMAP_MAX_POS, false), -EIO);
	ck_assert_int_eq(iomap_file_sync(&s.other, 0, IOMAP_MAX_POS, false), 0);
	stop(&s);
}

static struct iomap_file *shared;
static unsigned nr_told, nr_looked;	/* atomic */
static iomap_word round_nr;		/* atomic; of the error that is there to be seen */

static void *look(void *arg)
{
	unsigned seen = 0;

	(void)arg;
	while (seen < ROUNDS) {
		if (__atomic_load_n(&round_nr, __ATOMIC_ACQUIRE) == seen)
			continue;
		seen++;
		if (check(shared))
			__atomic_add_fetch(&nr_told, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&nr_looked, 1, __ATOMIC_RELEASE);
		while (__atomic_load_n(&nr_looked, __ATOMIC_ACQUIRE) < 2 * seen)
			t_settle();
	}
	return NULL;
}

CASE(two_threads_look_at_once, "O12", "A shared handle tells each error to exactly one of them")
{
	pthread_t threads[2];
	struct story s;

	start(&s);
	shared = &s.other;
	for (unsigned i = 0; i < 2; i++)
		threads[i] = t_thread(look, NULL);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		iomap_inode_set_error(&s.f->inode, -EIO);
		__atomic_store_n(&round_nr, i, __ATOMIC_RELEASE);
		while (__atomic_load_n(&nr_looked, __ATOMIC_ACQUIRE) < 2 * i)
			t_settle();
		ck_assert_uint_eq(__atomic_load_n(&nr_told, __ATOMIC_RELAXED), i);
	}
	for (unsigned i = 0; i < 2; i++)
		t_join(threads[i]);
	stop(&s);
}

CASE(handles_outlive_an_eviction, "O12 O13 O14",
     "Who saw the error before is not told again; who did not is; who comes later is not")
{
	struct iomap_file later;
	struct story s;

	start(&s);
	fail_a_write(&s, -EIO);
	ck_assert_int_eq(check(&s.f->file), -EIO);
	leave_and_come_back(&s);
	ck_assert_int_eq(check(&s.f->file), 0);
	ck_assert_int_eq(iomap_file_open(&later, &s.f->inode, 0), 0);
	ck_assert_int_eq(check(&later), 0);
	ck_assert_int_eq(check(&s.other), -EIO);
	leave_and_come_back(&s);
	ck_assert_int_eq(check(&s.other), 0);
	fail_a_write(&s, -ENOSPC);
	ck_assert_int_eq(check(&later), -ENOSPC);
	ck_assert_int_eq(check(&s.other), -ENOSPC);
	ck_assert_int_eq(check(&s.f->file), -ENOSPC);
	iomap_file_close(&later);
	stop(&s);
}

CASE(nobody_saw_it_before_the_eviction, "O13",
     "The first handle of the next life is told, though opened after it; the one behind that not")
{
	struct iomap_file first, second;
	struct story s;

	start(&s);
	fail_a_write(&s, -EIO);
	leave_and_come_back(&s);
	ck_assert_int_eq(iomap_file_open(&first, &s.f->inode, 0), 0);
	ck_assert_int_eq(check(&first), -EIO);
	ck_assert_int_eq(check(&first), 0);
	ck_assert_int_eq(iomap_file_open(&second, &s.f->inode, 0), 0);
	ck_assert_int_eq(check(&second), 0);
	iomap_file_close(&first);
	iomap_file_close(&second);
	stop(&s);
}

CASE(the_volume_is_told_once_of_all_lives, "O15",
     "By no handle's look, by no eviction before or after: once, and again of the next error only")
{
	struct story s;

	start(&s);
	fail_a_write(&s, -EIO);
	leave_and_come_back(&s);
	ck_assert_int_eq(iomap_volume_sync(s.m->volume), -EIO);
	ck_assert_int_eq(iomap_volume_sync(s.m->volume), 0);
	leave_and_come_back(&s);
	ck_assert_int_eq(iomap_volume_sync(s.m->volume), 0);
	ck_assert_int_eq(check(&s.f->file), -EIO);	/* the volume's look is not ours */
	ck_assert_int_eq(iomap_volume_sync(s.m->volume), 0);
	fail_a_write(&s, -ENOSPC);
	ck_assert_int_eq(check(&s.f->file), -ENOSPC);
	ck_assert_int_eq(iomap_volume_sync(s.m->volume), -ENOSPC);
	ck_assert_int_eq(iomap_volume_sync(s.m->volume), 0);
	stop(&s);
}

MAIN()
