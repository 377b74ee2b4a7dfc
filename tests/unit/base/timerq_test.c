/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/timerq.h"

#define FIRED_MAX 16

struct record {
	struct timerq queue;
	unsigned fired[FIRED_MAX];
	unsigned count;
};

struct alarm {
	struct timer timer;
	struct record *record;
	unsigned number;
	uint64_t again_ns;  /* arms itself anew for this time; 0: not */
	struct alarm *stop; /* disarms this one; NULL: none */
};

static void on_alarm(void *owner)
{
	struct alarm *a = owner;
	uint64_t again_ns = a->again_ns;

	assert_true(a->record->count < FIRED_MAX);
	a->record->fired[a->record->count++] = a->number;
	a->again_ns = 0;
	if (again_ns)
		timerq_arm(&a->record->queue, &a->timer, again_ns);
	if (a->stop)
		timerq_disarm(&a->stop->timer);
}

static void set_up(struct record *r, struct alarm *alarm, unsigned count)
{
	*r = (struct record){.count = 0};
	timerq_init(&r->queue);
	for (unsigned i = 0; i < count; i++) {
		alarm[i] = (struct alarm){.record = r, .number = i};
		alarm[i].timer.fire = on_alarm;
		alarm[i].timer.owner = &alarm[i];
	}
}

static void empty_queue_is_never_due(void **state)
{
	struct record r;

	(void)state;
	set_up(&r, NULL, 0);
	assert_true(timerq_next(&r.queue) == TIMERQ_NEVER);
	timerq_run(&r.queue, 0);
	timerq_run(&r.queue, TIMERQ_NEVER);
	assert_int_equal(r.count, 0);
}

static void timers_fire_in_order_of_time_and_not_before(void **state)
{
	struct alarm alarm[3];
	struct record r;

	(void)state;
	set_up(&r, alarm, 3);
	timerq_arm(&r.queue, &alarm[0].timer, 300);
	timerq_arm(&r.queue, &alarm[1].timer, 100);
	timerq_arm(&r.queue, &alarm[2].timer, 200);
	assert_int_equal(timerq_next(&r.queue), 100);
	timerq_run(&r.queue, 99);
	assert_int_equal(r.count, 0);
	timerq_run(&r.queue, 200);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.fired[0], 1);
	assert_int_equal(r.fired[1], 2);
	assert_int_equal(timerq_next(&r.queue), 300);
	timerq_run(&r.queue, 1000);
	assert_int_equal(r.fired[2], 0);
	assert_true(timerq_next(&r.queue) == TIMERQ_NEVER);
}

static void timers_due_together_fire_in_order_of_arming(void **state)
{
	struct alarm alarm[3];
	struct record r;

	(void)state;
	set_up(&r, alarm, 3);
	for (unsigned i = 0; i < 3; i++)
		timerq_arm(&r.queue, &alarm[i].timer, 50);
	timerq_run(&r.queue, 50);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(r.fired[i], i);
}

static void arming_again_moves_the_timer(void **state)
{
	struct alarm alarm[2];
	struct record r;

	(void)state;
	set_up(&r, alarm, 2);
	timerq_arm(&r.queue, &alarm[0].timer, 100);
	timerq_arm(&r.queue, &alarm[1].timer, 200);
	timerq_arm(&r.queue, &alarm[0].timer, 300);
	timerq_run(&r.queue, 250);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.fired[0], 1);
	timerq_run(&r.queue, 300);
	assert_int_equal(r.count, 2);
}

static void disarmed_timer_does_not_fire(void **state)
{
	struct alarm alarm[1];
	struct record r;

	(void)state;
	set_up(&r, alarm, 1);
	timerq_disarm(&alarm[0].timer);
	timerq_arm(&r.queue, &alarm[0].timer, 100);
	timerq_disarm(&alarm[0].timer);
	timerq_disarm(&alarm[0].timer);
	timerq_run(&r.queue, 1000);
	assert_int_equal(r.count, 0);
}

static void timer_may_arm_itself_while_it_fires(void **state)
{
	struct alarm alarm[1];
	struct record r;

	(void)state;
	set_up(&r, alarm, 1);
	alarm[0].again_ns = 150; /* due within the same run */
	timerq_arm(&r.queue, &alarm[0].timer, 100);
	timerq_run(&r.queue, 200);
	assert_int_equal(r.count, 2);
	alarm[0].again_ns = 500;
	timerq_arm(&r.queue, &alarm[0].timer, 300);
	timerq_run(&r.queue, 300);
	assert_int_equal(r.count, 3);
	assert_int_equal(timerq_next(&r.queue), 500);
}

static void timer_may_disarm_another_that_is_due_too(void **state)
{
	struct alarm alarm[2];
	struct record r;

	(void)state;
	set_up(&r, alarm, 2);
	alarm[0].stop = &alarm[1];
	timerq_arm(&r.queue, &alarm[0].timer, 100);
	timerq_arm(&r.queue, &alarm[1].timer, 100);
	timerq_run(&r.queue, 100);
	assert_int_equal(r.count, 1);
	assert_true(timerq_next(&r.queue) == TIMERQ_NEVER);
}

static void timer_due_at_the_end_of_time_ends_the_run(void **state)
{
	struct alarm alarm[1];
	struct record r;

	(void)state;
	set_up(&r, alarm, 1);
	timerq_arm(&r.queue, &alarm[0].timer, UINT64_MAX);
	timerq_run(&r.queue, UINT64_MAX - 1);
	assert_int_equal(r.count, 0);
	timerq_run(&r.queue, UINT64_MAX);
	assert_int_equal(r.count, 1);
}

static void what_is_left_is_told_and_armed_again(void **state)
{
	struct alarm alarm[1];
	struct record r;

	(void)state;
	set_up(&r, alarm, 1);
	assert_true(timerq_left(&alarm[0].timer, 100) == TIMERQ_NEVER);
	timerq_arm(&r.queue, &alarm[0].timer, 300);
	assert_int_equal(timerq_left(&alarm[0].timer, 100), 200);
	assert_int_equal(timerq_left(&alarm[0].timer, 300), 0);
	assert_int_equal(timerq_left(&alarm[0].timer, 301), 0); /* late */
	timerq_arm_left(&r.queue, &alarm[0].timer, 1000, 200);
	assert_int_equal(timerq_next(&r.queue), 1200);
	assert_int_equal(timerq_left(&alarm[0].timer, 1000), 200);
	timerq_arm_left(&r.queue, &alarm[0].timer, 1000, 0);
	timerq_run(&r.queue, 1000);
	assert_int_equal(r.count, 1);
}

static void what_is_never_left_disarms(void **state)
{
	struct alarm alarm[1];
	struct record r;

	(void)state;
	set_up(&r, alarm, 1);
	timerq_arm_left(&r.queue, &alarm[0].timer, 5, TIMERQ_NEVER);
	timerq_arm(&r.queue, &alarm[0].timer, 300);
	timerq_arm_left(&r.queue, &alarm[0].timer, 5, TIMERQ_NEVER);
	assert_true(timerq_next(&r.queue) == TIMERQ_NEVER);
	timerq_run(&r.queue, TIMERQ_NEVER);
	assert_int_equal(r.count, 0);
}

/* What a hostile state says: still armed, still told, and not due before the end of time. */
static void what_is_left_for_longer_than_time_lasts_stays_armed(void **state)
{
	static const uint64_t left[] = {TIMERQ_NEVER - 1, TIMERQ_NEVER - 2, TIMERQ_NEVER - 1000,
					TIMERQ_NEVER - 1001, TIMERQ_NEVER - 1002};
	struct alarm alarm[1];
	struct record r;

	(void)state;
	set_up(&r, alarm, 1);
	for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		timerq_arm_left(&r.queue, &alarm[0].timer, 1000, left[i]);
		assert_true(timerq_next(&r.queue) >= TIMERQ_NEVER - 2);
		assert_true(timerq_next(&r.queue) < TIMERQ_NEVER);
		assert_true(timerq_left(&alarm[0].timer, 1000) <= left[i]);
		timerq_run(&r.queue, TIMERQ_NEVER - 3);
		assert_int_equal(r.count, 0);
	}
	timerq_arm_left(&r.queue, &alarm[0].timer, TIMERQ_NEVER - 1, 7);
	timerq_run(&r.queue, TIMERQ_NEVER - 1);
	assert_int_equal(r.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_queue_is_never_due),
		cmocka_unit_test(timers_fire_in_order_of_time_and_not_before),
		cmocka_unit_test(timers_due_together_fire_in_order_of_arming),
		cmocka_unit_test(arming_again_moves_the_timer),
		cmocka_unit_test(disarmed_timer_does_not_fire),
		cmocka_unit_test(timer_may_arm_itself_while_it_fires),
		cmocka_unit_test(timer_may_disarm_another_that_is_due_too),
		cmocka_unit_test(timer_due_at_the_end_of_time_ends_the_run),
		cmocka_unit_test(what_is_left_is_told_and_armed_again),
		cmocka_unit_test(what_is_never_left_disarms),
		cmocka_unit_test(what_is_left_for_longer_than_time_lasts_stays_armed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
