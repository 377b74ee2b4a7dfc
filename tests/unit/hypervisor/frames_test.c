/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose pages are: no page has two owners. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "hypervisor/frames.h"
#include "hypervisor/x86.h"

#define END (16u << 20)
#define RAM_END (12u << 20)

static int set_up(void **state)
{
	*state = malloc(frames_bytes(END));
	if (!*state)
		return -1;
	frames_init(*state, END);
	frames_add(0, RAM_END);
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void taken_pages_are_nobody_elses(void **state)
{
	(void)state;
	assert_int_equal(frames_take(PAGE_2M, PAGE_2M), 0);
	assert_int_equal(frames_take(PAGE_2M, PAGE_2M), -EBUSY);
	assert_int_equal(frames_lend(PAGE_2M, PAGE_BYTES, 1), -EBUSY);
	frames_give_back(PAGE_2M, PAGE_2M);
	assert_int_equal(frames_lend(PAGE_2M, PAGE_BYTES, 1), 0);
}

static void taking_is_all_or_nothing(void **state)
{
	(void)state;
	assert_int_equal(frames_lend(PAGE_2M + 5 * PAGE_BYTES, PAGE_BYTES, 7), 0);
	assert_int_equal(frames_take(PAGE_2M, PAGE_2M), -EBUSY);
	assert_int_equal(frames_lend(PAGE_2M, PAGE_BYTES, 8), 0);
	frames_return(PAGE_2M, PAGE_BYTES);
	frames_return(PAGE_2M + 5 * PAGE_BYTES, PAGE_BYTES);
	assert_int_equal(frames_take(PAGE_2M, PAGE_2M), 0);
}

static void a_page_is_lent_to_one_partition_as_often_as_it_likes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < FRAMES_LENT_MAX; i++)
		assert_int_equal(frames_lend(0, PAGE_BYTES, 3), 0);
	assert_int_equal(frames_lend(0, PAGE_BYTES, 3), -EBUSY);
	assert_int_equal(frames_lend(0, PAGE_BYTES, 4), -EBUSY);
	for (unsigned i = 0; i < FRAMES_LENT_MAX; i++)
		frames_return(0, PAGE_BYTES);
	assert_int_equal(frames_lend(0, PAGE_BYTES, 4), 0);
}

static void a_large_page_is_lent_whole_or_not(void **state)
{
	(void)state;
	assert_int_equal(frames_lend(PAGE_2M + 511 * PAGE_BYTES, PAGE_BYTES, 2), 0);
	assert_int_equal(frames_lend(PAGE_2M, PAGE_2M, 1), -EBUSY);
	/* What was lent on the way has come back. */
	assert_int_equal(frames_take(PAGE_2M, 511 * PAGE_BYTES), 0);
}

static void what_is_no_memory_is_refused(void **state)
{
	(void)state;
	assert_int_equal(frames_lend(RAM_END, PAGE_BYTES, 1), -EBUSY);
	assert_int_equal(frames_lend(END, PAGE_BYTES, 1), -EINVAL);
	assert_int_equal(frames_lend(END - PAGE_BYTES, PAGE_2M, 1), -EINVAL);
	assert_int_equal(frames_lend(UINT64_MAX - PAGE_BYTES + 1, PAGE_BYTES, 1), -EINVAL);
	assert_int_equal(frames_lend(1, PAGE_BYTES, 1), -EINVAL);
	assert_int_equal(frames_take(RAM_END - PAGE_2M, 2 * PAGE_2M), -EBUSY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(taken_pages_are_nobody_elses),
		TEST(taking_is_all_or_nothing),
		TEST(a_page_is_lent_to_one_partition_as_often_as_it_likes),
		TEST(a_large_page_is_lent_whole_or_not),
		TEST(what_is_no_memory_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
