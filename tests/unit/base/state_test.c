/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State tables: moves that are allowed, and all others. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/state.h"

enum door { OPEN, CLOSED, LOCKED, DOOR_STATES };

static const char *const labels[] = {[OPEN] = "open", [CLOSED] = "closed", [LOCKED] = "locked"};
static const uint32_t next[] = {
	[OPEN] = STATE_BIT(CLOSED),
	[CLOSED] = STATE_BIT(OPEN) | STATE_BIT(LOCKED),
	[LOCKED] = 0,
};
static const struct state_table door = {
	.name = "door", .count = DOOR_STATES, .labels = labels, .next = next};

static void allowed_move_changes_the_state(void **state)
{
	unsigned at = OPEN;

	(void)state;
	assert_int_equal(state_move(&door, &at, CLOSED), 0);
	assert_int_equal(at, CLOSED);
	assert_int_equal(state_move(&door, &at, LOCKED), 0);
	assert_int_equal(at, LOCKED);
}

static void move_outside_the_table_is_refused_and_changes_nothing(void **state)
{
	static const bool allowed[DOOR_STATES][DOOR_STATES] = {
		[OPEN][CLOSED] = true, [CLOSED][OPEN] = true, [CLOSED][LOCKED] = true};

	(void)state;
	for (unsigned from = 0; from < DOOR_STATES; from++) {
		for (unsigned to = 0; to < DOOR_STATES; to++) {
			unsigned at = from;
			int r = state_move(&door, &at, to);

			assert_int_equal(r, allowed[from][to] ? 0 : -EPROTO);
			assert_int_equal(at, allowed[from][to] ? to : from);
		}
	}
}

static void numbers_past_the_table_are_refused(void **state)
{
	unsigned at = CLOSED;

	(void)state;
	assert_int_equal(state_move(&door, &at, DOOR_STATES), -EPROTO);
	assert_int_equal(state_move(&door, &at, STATE_MAX), -EPROTO);
	assert_int_equal(state_move(&door, &at, ~0u), -EPROTO);
	assert_int_equal(at, CLOSED);
	at = 99;
	assert_int_equal(state_move(&door, &at, OPEN), -EPROTO);
	assert_int_equal(at, 99);
}

static void label_of_an_unknown_state_is_a_question_mark(void **state)
{
	(void)state;
	assert_string_equal(state_label(&door, LOCKED), "locked");
	assert_string_equal(state_label(&door, DOOR_STATES), "?");
	assert_string_equal(state_label(&door, ~0u), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allowed_move_changes_the_state),
		cmocka_unit_test(move_outside_the_table_is_refused_and_changes_nothing),
		cmocka_unit_test(numbers_past_the_table_are_refused),
		cmocka_unit_test(label_of_an_unknown_state_is_a_question_mark),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
