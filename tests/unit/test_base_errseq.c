/* SPDX-License-Identifier: MIT */
/*
 * test_base_errseq.c - an error that many watchers each see once.
 */
#include "harness/harness.h"

#include "base/errseq.h"

CASE(each_watcher_sees_an_error_once, "", "Two watchers, one error: each is told once")
{
	iomap_word word = 0, a, b;

	a = iomapi_errseq_sample(&word);
	b = iomapi_errseq_sample(&word);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), 0);
	iomapi_errseq_set(&word, -EIO);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -EIO);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), 0);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &b), -EIO);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &b), 0);
}

CASE(first_unseen_error_wins, "", "While nobody looked a later error does not hide the first")
{
	iomap_word word = 0, a = iomapi_errseq_sample(&word);

	iomapi_errseq_set(&word, -ENOSPC);
	iomapi_errseq_set(&word, -EIO);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -ENOSPC);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), 0);
}

CASE(seen_error_makes_room, "", "After somebody looked the next error is new to all")
{
	iomap_word word = 0, a = 0, b = 0;

	iomapi_errseq_set(&word, -EIO);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -EIO);
	iomapi_errseq_set(&word, -ENOSPC);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -ENOSPC);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &b), -ENOSPC);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &b), 0);
}

CASE(same_error_again_is_news, "", "The same number twice, seen between, is reported twice")
{
	iomap_word word = 0, a = 0;

	for (int i = 0; i < 3; i++) {
		iomapi_errseq_set(&word, -EIO);
		ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -EIO);
		ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), 0);
	}
}

CASE(late_opener_sees_unseen_only, "",
     "Who samples late learns of an unseen error, not of a seen one")
{
	iomap_word word = 0, early = 0, late;

	iomapi_errseq_set(&word, -EIO);
	late = iomapi_errseq_sample(&word);
	ck_assert_int_eq(iomapi_errseq_check(&word, late), -EIO);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &early), -EIO);
	late = iomapi_errseq_sample(&word);
	ck_assert_int_eq(iomapi_errseq_check(&word, late), 0);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &late), 0);
}

CASE(check_changes_nothing, "", "A look leaves the error unseen and the cursor where it was")
{
	iomap_word word = 0, a = 0;

	iomapi_errseq_set(&word, -EIO);
	ck_assert_int_eq(iomapi_errseq_check(&word, a), -EIO);
	ck_assert_int_eq(iomapi_errseq_check(&word, a), -EIO);
	iomapi_errseq_set(&word, -ENOSPC);		/* still unseen: dropped */
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -EIO);
	ck_assert_int_eq(iomapi_errseq_check(&word, a), 0);
}

CASE(odd_numbers_do_not_spoil_the_word, "", "Zero sets nothing; what is no errno becomes EIO")
{
	iomap_word word = 0, a = 0;

	iomapi_errseq_set(&word, 0);
	ck_assert_uint_eq(word, 0);
	iomapi_errseq_set(&word, -4095);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -4095);
	iomapi_errseq_set(&word, -4096);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -EIO);
	iomapi_errseq_set(&word, 5);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), -EIO);
}

CASE(count_wraps_quietly, "", "After more errors than the count holds each is still seen once")
{
	iomap_word word = 0, a = 0;
	int nr = 0;

	for (int i = 0; i < (1 << 19) + 3; i++) {
		iomapi_errseq_set(&word, -EIO);
		nr += iomapi_errseq_check_and_advance(&word, &a) == -EIO;
	}
	ck_assert_int_eq(nr, (1 << 19) + 3);
	ck_assert_int_eq(iomapi_errseq_check_and_advance(&word, &a), 0);
}

MAIN()
