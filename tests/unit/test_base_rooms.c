/* SPDX-License-Identifier: MIT */
/*
 * test_base_rooms.c - rooms of an environment: made in order, taken down in reverse.
 *
 * Brings its own table of rooms in place of lib/rooms.c.
 */
#include "harness/harness.h"

#include "base/env.h"

static char story[128];
static int fail_room = -1, flush_error;
static uint64_t flush_since;

static void tell(const char *what, int room)
{
	size_t n = strlen(story);

	ck_assert_uint_lt(n + 4, sizeof(story));
	story[n] = what[0];
	story[n + 1] = (char)('0' + room);
	story[n + 2] = 0;
}

static int init(struct iomap_env *env, void **state, int room)
{
	tell("i", room);
	if (room == fail_room)
		return -ENXIO;
	*state = iomapi_zalloc(env, 16);
	if (!*state)
		return -ENOMEM;
	*(int *)*state = room;
	return 0;
}

static void fini(struct iomap_env *env, void *state)
{
	tell("f", *(int *)state);
	iomapi_free(env, state, 16);
}

static int init0(struct iomap_env *env, void **state)
{
	return init(env, state, 0);
}

static int init2(struct iomap_env *env, void **state)
{
	return init(env, state, 2);
}

static void flush_failed(struct iomap_env *env, struct iomap_bdev *bdev, uint64_t since, int error)
{
	ck_assert_ptr_nonnull(env);
	ck_assert_ptr_null(bdev);
	flush_since = since;
	flush_error = error;
}

static const struct iomapi_room room0 = { .init = init0, .fini = fini };
static const struct iomapi_room room2 = {
	.init = init2, .fini = fini, .flush_failed = flush_failed,
};
const struct iomapi_room *const iomapi_rooms[IOMAPI_NR_ROOMS] = { &room0, NULL, &room2 };
const struct iomap_backend_ops *const iomapi_backends[] = { NULL };

CASE(rooms_go_in_reverse, "", "Rooms are made in order and taken down in reverse; a gap is fine")
{
	struct t_env t;

	t_env_start(&t, NULL);
	ck_assert_str_eq(story, "i0i2");
	ck_assert_int_eq(*(int *)iomapi_room(t.env, IOMAPI_ROOM_BLOCK), 0);
	ck_assert_ptr_null(iomapi_room(t.env, IOMAPI_ROOM_INODE));
	ck_assert_int_eq(*(int *)iomapi_room(t.env, IOMAPI_ROOM_WRITEBACK), 2);
	t_env_stop(&t);
	ck_assert_str_eq(story, "i0i2f2f0");
}

CASE(failed_room_undoes_the_earlier, "",
     "A room that cannot be made: its error, the earlier undone")
{
	struct t_env t = { 0 };

	fail_room = 2;
	ck_assert_int_eq(t_env_try_start(&t, NULL), -ENXIO);
	ck_assert_ptr_null(t.env);
	ck_assert_str_eq(story, "i0i2f0");
	ck_assert_uint_eq(t.nr_live, 0);
}

CASE(failed_flush_is_told_to_rooms, "", "Rooms that want it learn of a failed flush")
{
	struct t_env t;

	t_env_start(&t, NULL);
	iomapi_flush_failed(t.env, NULL, 42, -EIO);
	ck_assert_uint_eq(flush_since, 42);
	ck_assert_int_eq(flush_error, -EIO);
	t_env_stop(&t);
}

MAIN()
