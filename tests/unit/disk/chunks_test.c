/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which chunks of a disk were written. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "disk/chunks.h"
#include "tests/lib/failheap.h"

static void assert_next(struct chunks *c, uint64_t at, uint64_t most, uint64_t from, uint64_t count)
{
	uint64_t got_from, got_count;

	assert_true(chunks_take(c, at, most, &got_from, &got_count));
	assert_int_equal(got_from, from);
	assert_int_equal(got_count, count);
}

static void marks_cover_what_a_write_touches(void **state)
{
	struct chunks c;
	uint64_t from, count;

	(void)state;
	assert_int_equal(chunks_init(&c, 200 * CHUNK_BYTES + 1), 0);
	assert_int_equal(c.count, 201);
	assert_false(chunks_take(&c, 0, 16, &from, &count));
	chunks_mark(&c, CHUNK_BYTES - 1, 2);
	chunks_mark(&c, 5 * CHUNK_BYTES, 0);
	chunks_mark(&c, 63 * CHUNK_BYTES, 2 * CHUNK_BYTES);
	chunks_mark(&c, 63 * CHUNK_BYTES, 1);
	assert_int_equal(chunks_marked(&c), 4);
	assert_next(&c, 0, 16, 0, 2);
	assert_next(&c, 0, 16, 63, 2);
	assert_false(chunks_take(&c, 0, 16, &from, &count));
	assert_int_equal(chunks_marked(&c), 0);
	chunks_done(&c);
}

static void marks_behind_the_end_are_left_out(void **state)
{
	struct chunks c;
	uint64_t from, count;

	(void)state;
	assert_int_equal(chunks_init(&c, 3 * CHUNK_BYTES), 0);
	chunks_mark(&c, 3 * CHUNK_BYTES, 512);
	chunks_mark(&c, UINT64_MAX, UINT64_MAX);
	assert_int_equal(chunks_marked(&c), 0);
	chunks_mark(&c, 2 * CHUNK_BYTES, UINT64_MAX);
	assert_next(&c, 1, 16, 2, 1);
	assert_false(chunks_take(&c, 3, 16, &from, &count));
	assert_false(chunks_take(&c, UINT64_MAX, 16, &from, &count));
	chunks_done(&c);
}

static void runs_are_no_longer_than_asked_for(void **state)
{
	struct chunks c;

	(void)state;
	assert_int_equal(chunks_init(&c, 300 * CHUNK_BYTES), 0);
	chunks_mark(&c, 0, 300 * CHUNK_BYTES);
	assert_next(&c, 0, 16, 0, 16);
	assert_next(&c, 100, 16, 100, 16);
	assert_next(&c, 0, 1000, 16, 84);
	assert_next(&c, 0, 1000, 116, 184);
	chunks_done(&c);
}

static void a_map_without_memory_is_told(void **state)
{
	struct chunks c;

	(void)state;
	failheap_arm(0);
	assert_int_equal(chunks_init(&c, CHUNK_BYTES), -ENOMEM);
	failheap_disarm();
	chunks_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_cover_what_a_write_touches),
		cmocka_unit_test(marks_behind_the_end_are_left_out),
		cmocka_unit_test(runs_are_no_longer_than_asked_for),
		cmocka_unit_test(a_map_without_memory_is_told),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
