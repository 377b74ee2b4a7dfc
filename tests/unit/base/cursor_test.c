/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bounded reader at its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cursor.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void cursor_reads_little_endian_in_order(void **state)
{
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_u16(&c), 0x0302);
	assert_int_equal(cursor_u32(&c), 0x07060504);
	assert_int_equal(cursor_u64(&c), UINT64_C(0x0f0e0d0c0b0a0908));
	assert_int_equal(c.left, 0);
	assert_true(cursor_ok(&c));
}

static void cursor_gives_zero_and_fails_past_the_end(void **state)
{
	struct cursor c = cursor_of(bytes, 3);

	(void)state;
	assert_int_equal(cursor_u32(&c), 0);
	assert_false(cursor_ok(&c));
	c = cursor_of(bytes, 7);
	assert_int_equal(cursor_u64(&c), 0);
	assert_false(cursor_ok(&c));
	c = cursor_of(bytes, 1);
	assert_int_equal(cursor_u16(&c), 0);
	assert_false(cursor_ok(&c));
	c = cursor_of(NULL, 0);
	assert_int_equal(cursor_u8(&c), 0);
	assert_false(cursor_ok(&c));
}

static void failed_cursor_stays_failed_though_bytes_are_left(void **state)
{
	struct cursor c = cursor_of(bytes, 3);

	(void)state;
	assert_null(cursor_take(&c, 4));
	assert_int_equal(cursor_u8(&c), 0);
	assert_null(cursor_take(&c, 1));
	assert_false(cursor_ok(&c));
}

static void cursor_refuses_a_length_near_the_largest(void **state)
{
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_ptr_equal(cursor_take(&c, 1), bytes);
	assert_null(cursor_take(&c, SIZE_MAX));
	assert_false(cursor_ok(&c));
}

static void cursor_takes_nothing_at_its_end_without_failing(void **state)
{
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	(void)state;
	assert_ptr_equal(cursor_take(&c, sizeof(bytes)), bytes);
	assert_ptr_equal(cursor_take(&c, 0), bytes + sizeof(bytes));
	assert_true(cursor_ok(&c));
}

static void padded_copy_zeroes_what_is_missing(void **state)
{
	struct cursor c = cursor_of(bytes, 3);
	uint8_t out[5];

	(void)state;
	memset(out, 0xff, sizeof(out));
	assert_int_equal(cursor_copy_padded(&c, out, sizeof(out)), 3);
	assert_memory_equal(out, "\1\2\3\0\0", 5);
	assert_true(cursor_ok(&c));
	assert_int_equal(c.left, 0);
}

static void padded_copy_takes_no_more_than_asked(void **state)
{
	struct cursor c = cursor_of(bytes, sizeof(bytes));
	uint8_t out[4];

	(void)state;
	assert_int_equal(cursor_copy_padded(&c, out, sizeof(out)), 4);
	assert_memory_equal(out, bytes, 4);
	assert_int_equal(cursor_u8(&c), 5);
}

static void padded_copy_of_a_failed_cursor_is_all_zero(void **state)
{
	struct cursor c = cursor_of(bytes, 3);
	uint8_t out[2] = {0xff, 0xff};

	(void)state;
	assert_int_equal(cursor_u32(&c), 0);
	assert_int_equal(cursor_copy_padded(&c, out, sizeof(out)), 0);
	assert_memory_equal(out, "\0\0", 2);
	assert_false(cursor_ok(&c));
}

/* The bytes stand in a block of exactly their length: a sanitizer sees a read outside. */
static void cursor_never_leaves_its_bytes(void **state)
{
	(void)state;
	for (size_t len = 0; len < 12; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		struct cursor c = cursor_of(exact, len);
		uint8_t out[16];

		assert_non_null(exact);
		memset(exact, 0x5a, len);
		cursor_u8(&c);
		cursor_u16(&c);
		cursor_u32(&c);
		cursor_u64(&c);
		cursor_copy_padded(&c, out, sizeof(out));
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_reads_little_endian_in_order),
		cmocka_unit_test(cursor_gives_zero_and_fails_past_the_end),
		cmocka_unit_test(failed_cursor_stays_failed_though_bytes_are_left),
		cmocka_unit_test(cursor_refuses_a_length_near_the_largest),
		cmocka_unit_test(cursor_takes_nothing_at_its_end_without_failing),
		cmocka_unit_test(padded_copy_zeroes_what_is_missing),
		cmocka_unit_test(padded_copy_takes_no_more_than_asked),
		cmocka_unit_test(padded_copy_of_a_failed_cursor_is_all_zero),
		cmocka_unit_test(cursor_never_leaves_its_bytes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
