/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages are there, and which run has those that are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail /* lib/fail.h has one of its own */
#include <errno.h>

#include "base/util.h"
#include "tests/lib/failheap.h"
#include "worker/lazy_map.h"

#define P ((uint64_t)STATE_PAGE)
#define PAGES 1000u

static int add(struct lazy_map *map, uint64_t page, uint64_t pages)
{
	return lazy_map_add(map, page * P, &(struct state_rest){.left = pages * P});
}

static void a_page_is_found_in_its_run_or_in_none(void **state)
{
	static const uint64_t places[][2] = {{0, 1}, {1, 3}, {5, 1}, {100, 64}, {999, 1}};
	struct lazy_map map;

	(void)state;
	assert_int_equal(lazy_map_init(&map, PAGES * P), 0);
	assert_null(lazy_map_find(&map, 0));
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		assert_int_equal(add(&map, places[i][0], places[i][1]), 0);
	assert_true(map.total == 70 * P);
	for (uint64_t page = 0; page < PAGES; page++) {
		const struct lazy_run *found = lazy_map_find(&map, page * P), *expected = NULL;

		for (size_t i = 0; i < ARRAY_LEN(places); i++) {
			if (page >= places[i][0] && page < places[i][0] + places[i][1])
				expected = &map.run[i];
		}
		assert_ptr_equal(found, expected);
	}
	lazy_map_done(&map);
	lazy_map_done(&map);
}

static void runs_that_overlap_or_lie_outside_are_refused(void **state)
{
	struct lazy_map map;

	(void)state;
	assert_int_equal(lazy_map_init(&map, PAGES * P), 0);
	assert_int_equal(add(&map, 10, 10), 0);
	assert_int_equal(add(&map, 19, 1), -EINVAL);
	assert_int_equal(add(&map, 5, 1), -EINVAL);
	assert_int_equal(add(&map, 30, 0), -EINVAL);
	assert_int_equal(add(&map, PAGES - 1, 2), -EINVAL);
	assert_int_equal(add(&map, UINT64_MAX / P, 1), -EINVAL);
	assert_int_equal(add(&map, 20, PAGES - 20), 0);
	assert_int_equal(map.count, 2);
	lazy_map_done(&map);
}

static void pages_that_are_missing_are_told_in_one_piece(void **state)
{
	struct memory_piece p;
	struct lazy_map map;

	(void)state;
	assert_int_equal(lazy_map_init(&map, PAGES * P), 0);
	lazy_map_put(&map, 3 * P, 4 * P);
	lazy_map_put(&map, 60 * P, 130 * P);
	p = lazy_map_absent(&map, 0, PAGES * P);
	assert_true(p.begin == 0 && p.end == 3 * P);
	p = lazy_map_absent(&map, 3 * P, PAGES * P);
	assert_true(p.begin == 4 * P && p.end == 60 * P);
	p = lazy_map_absent(&map, 62 * P, 131 * P);
	assert_true(p.begin == 130 * P && p.end == 131 * P);
	p = lazy_map_absent(&map, 62 * P, 100 * P);
	assert_true(p.begin == p.end && p.end == 100 * P);
	p = lazy_map_absent(&map, 130 * P, PAGES * P);
	assert_true(p.begin == 130 * P && p.end == PAGES * P);
	lazy_map_done(&map);
}

static int without_memory(void *ctx)
{
	struct lazy_map map;
	int r = lazy_map_init(&map, PAGES * P);

	(void)ctx;
	if (r < 0)
		return r;
	for (unsigned i = 0; r == 0 && i < 200; i++)
		r = add(&map, i * 2, 1);
	lazy_map_done(&map);
	return r;
}

static void a_map_without_memory_is_none(void **state)
{
	(void)state;
	assert_true(failheap_sweep(without_memory, NULL) >= 3);
}

static void pages_that_are_expected_are_missing_and_counted_once(void **state)
{
	uint64_t bits[2] = {UINT64_C(1) << 63, 1};
	struct memory_piece p;
	struct lazy_map map;

	(void)state;
	assert_int_equal(lazy_map_init(&map, 256 * P), 0);
	lazy_map_put(&map, 0, 256 * P);
	assert_int_equal(lazy_map_expect(&map, 64 * P, bits, 128), 0);
	assert_int_equal(lazy_map_expect(&map, 64 * P, bits, 64), 0);
	assert_true(map.total == 2 * P);
	p = lazy_map_absent(&map, 0, 256 * P);
	assert_true(p.begin == 127 * P && p.end == 129 * P);
	assert_int_equal(lazy_map_expect(&map, P, bits, 64), -EINVAL);
	assert_int_equal(lazy_map_expect(&map, 192 * P, bits, 128), -EINVAL);
	assert_int_equal(lazy_map_expect(&map, 0, bits, 63), -EINVAL);
	assert_int_equal(lazy_map_expect(&map, UINT64_MAX & ~(64 * P - 1), bits, 64), -EINVAL);
	lazy_map_done(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_found_in_its_run_or_in_none),
		cmocka_unit_test(runs_that_overlap_or_lie_outside_are_refused),
		cmocka_unit_test(pages_that_are_missing_are_told_in_one_piece),
		cmocka_unit_test(a_map_without_memory_is_none),
		cmocka_unit_test(pages_that_are_expected_are_missing_and_counted_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
