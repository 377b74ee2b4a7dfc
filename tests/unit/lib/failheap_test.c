/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The failing heap itself, or a sweep that finds nothing would prove nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/failheap.h"

/* What a compiler knows of an allocation ends here, or it leaves out a malloc whose block nobody
 * uses. */
static void *hide(void *block)
{
	__asm__ volatile("" : "+r"(block) : : "memory");
	return block;
}

static void armed_heap_fails_the_nth_allocation_only(void **state)
{
	void *first, *second, *third;

	(void)state;
	failheap_arm(1);
	first = hide(malloc(16));
	errno = 0;
	second = hide(malloc(16));
	assert_int_equal(errno, ENOMEM);
	third = hide(malloc(16));
	assert_true(failheap_failed());
	assert_non_null(first);
	assert_null(second);
	assert_non_null(third);
	free(first);
	free(third);
	assert_int_equal(failheap_disarm(), 0);
}

static void disarmed_heap_never_fails(void **state)
{
	void *block;

	(void)state;
	failheap_arm(0);
	assert_int_equal(failheap_disarm(), 0);
	block = hide(malloc(16));
	assert_non_null(block);
	assert_false(failheap_failed());
	free(block);
}

static void failed_realloc_keeps_the_block(void **state)
{
	char *block, *before, *grown;

	(void)state;
	failheap_arm(1);
	block = hide(malloc(4));
	assert_non_null(block);
	strcpy(block, "abc");
	before = hide(block);
	grown = hide(realloc(block, 4096));
	assert_null(grown);
	assert_string_equal(before, "abc");
	grown = hide(realloc(before, 4096));
	assert_non_null(grown);
	assert_string_equal(grown, "abc");
	free(grown);
	assert_int_equal(failheap_disarm(), 0);
}

static void each_kind_of_allocation_fails_and_is_followed(void **state)
{
	(void)state;
	for (unsigned long n = 0; n < 7; n++) {
		void *block[7] = {NULL};
		char *text = NULL;

		failheap_arm(n);
		block[0] = calloc(2, 8);
		block[1] = reallocarray(NULL, 2, 8);
		block[2] = strdup("text");
		block[3] = strndup("text", 2);
		if (posix_memalign(&block[4], 64, 64) != 0)
			block[4] = NULL;
		block[5] = aligned_alloc(64, 64);
		block[6] = asprintf(&text, "%lu", n) < 0 ? NULL : text;
		for (unsigned long i = 0; i < 7; i++)
			assert_true((hide(block[i]) == NULL) == (i == n));
		assert_int_equal(failheap_disarm(), 6);
		for (unsigned long i = 0; i < 7; i++)
			free(block[i]);
	}
}

static void blocks_older_than_the_arming_are_not_counted(void **state)
{
	void *old = hide(malloc(8)), *new;

	(void)state;
	failheap_arm(FAILHEAP_NEVER);
	free(old);
	new = hide(malloc(8));
	assert_int_equal(failheap_disarm(), 1);
	free(new);
}

static int two_blocks(void *ctx)
{
	unsigned *runs = ctx;
	void *first = hide(malloc(8)), *second = hide(malloc(8));
	int r = first && second ? 0 : -ENOMEM;

	(*runs)++;
	free(first);
	free(second);
	return r;
}

static void sweep_fails_each_allocation_once(void **state)
{
	unsigned runs = 0;

	(void)state;
	assert_int_equal(failheap_sweep(two_blocks, &runs), 2);
	assert_int_equal(runs, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(armed_heap_fails_the_nth_allocation_only),
		cmocka_unit_test(disarmed_heap_never_fails),
		cmocka_unit_test(failed_realloc_keeps_the_block),
		cmocka_unit_test(each_kind_of_allocation_fails_and_is_followed),
		cmocka_unit_test(blocks_older_than_the_arming_are_not_counted),
		cmocka_unit_test(sweep_fails_each_allocation_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
