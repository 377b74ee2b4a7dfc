/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Synthetic timers in virtual time: both modes, both kinds, slots that are taken, clocks that
 * drift apart, and values that make no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "tests/unit/devices/hv/hvguest.h"

#define SIMP 0x1000u
#define SINT 3u
#define SINT_VECTOR 0xF4u
#define VECTOR 0xEDu
#define VP 1u
#define NOW UINT64_C(1000000) /* reference time at the start of each test */
#define PERIOD UINT64_C(5000)

#define DIRECT (HV_STIMER_ENABLE | HV_STIMER_DIRECT | (uint64_t)VECTOR << HV_STIMER_VECTOR_SHIFT)
#define MESSAGE (HV_STIMER_ENABLE | (uint64_t)SINT << HV_STIMER_SINT_SHIFT)

static int set_up(void **state)
{
	struct hvguest *g = hvguest_new(true);

	hvguest_offer_stimers(g);
	g->reference_time = NOW;
	g->now_ns = 77000000;
	hv_msr_write(g->hv, VP, HV_MSR_SIMP, SIMP | HV_PAGE_ENABLE);
	hv_msr_write(g->hv, VP, HV_MSR_SINT0 + SINT, SINT_VECTOR);
	hv_msr_write(g->hv, VP, HV_MSR_SCONTROL, 1);
	*state = g;
	return 0;
}

static int tear_down(void **state)
{
	hvguest_free(*state);
	return 0;
}

static void set_config(struct hvguest *g, unsigned n, uint64_t value)
{
	assert_int_equal(hv_msr_write(g->hv, VP, HV_MSR_STIMER0_CONFIG + 2 * n, value), 0);
}

static void set_count(struct hvguest *g, unsigned n, uint64_t value)
{
	assert_int_equal(hv_msr_write(g->hv, VP, HV_MSR_STIMER0_COUNT + 2 * n, value), 0);
}

static uint64_t read_msr(struct hvguest *g, uint32_t msr)
{
	uint64_t value = 0;

	assert_int_equal(hv_msr_read(g->hv, VP, msr, &value), 0);
	return value;
}

static bool enabled(struct hvguest *g, unsigned n)
{
	return read_msr(g, HV_MSR_STIMER0_CONFIG + 2 * n) & HV_STIMER_ENABLE;
}

static bool nothing_runs(struct hvguest *g)
{
	return timerq_next(&g->timers) == TIMERQ_NEVER;
}

static struct hv_message_slot *slot(struct hvguest *g)
{
	return (struct hv_message_slot *)hvguest_at(g, SIMP + SINT * 256);
}

static void end_of_message(struct hvguest *g)
{
	slot(g)->type = 0;
	assert_int_equal(hv_msr_write(g->hv, VP, HV_MSR_EOM, 0), 0);
}

static void assert_message(struct hvguest *g, unsigned n, uint64_t expired, uint64_t delivered)
{
	struct hv_stimer_payload payload;

	assert_int_equal(slot(g)->type, HV_MESSAGE_TIMER_EXPIRED);
	assert_int_equal(slot(g)->payload_bytes, sizeof(payload));
	memcpy(&payload, slot(g)->payload, sizeof(payload));
	assert_int_equal(payload.timer, n);
	assert_int_equal(payload.reserved, 0);
	assert_int_equal(payload.expiration_time, expired);
	assert_int_equal(payload.delivery_time, delivered);
}

static void without_a_queue_or_a_clock_there_are_no_timers(void **state)
{
	struct hvguest *g = hvguest_new(true), *with = *state;
	struct hv_leaf leaf;
	uint64_t value = 5;

	for (uint32_t msr = HV_MSR_STIMER0_CONFIG; msr <= HV_MSR_STIMER3_COUNT; msr++) {
		assert_int_equal(hv_msr_read(g->hv, 0, msr, &value), -EPERM);
		assert_int_equal(hv_msr_write(g->hv, 0, msr, 0), -EPERM);
		assert_int_equal(hv_msr_read(with->hv, 0, msr, &value), 0);
		assert_int_equal(value, 0);
	}
	assert_int_equal(hv_msr_read(with->hv, 0, HV_MSR_STIMER3_COUNT + 1, &value), -EPERM);
	assert_true(hv_cpuid_leaf(g->hv, 3, &leaf));
	assert_int_equal(leaf.eax & HV_ACCESS_STIMERS, 0);
	assert_int_equal(leaf.edx & HV_DIRECT_STIMERS, 0);
	assert_true(hv_cpuid_leaf(with->hv, 3, &leaf));
	assert_int_equal(leaf.eax, 0xa6e);
	assert_int_equal(leaf.edx, 0x80500);
	hvguest_free(g);
}

static void a_one_shot_in_direct_mode_interrupts_once_at_its_time(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT);
	assert_true(nothing_runs(g)); /* no count yet */
	set_count(g, 0, NOW + 123);
	assert_int_equal(timerq_next(&g->timers), g->now_ns + 12300);
	hvguest_pass(g, 122);
	assert_int_equal(g->interrupts, 0);
	assert_true(enabled(g, 0));
	hvguest_pass(g, 1);
	assert_int_equal(g->interrupts, 1);
	assert_int_equal(g->msi_address, 0xfee01000);
	assert_int_equal(g->msi_data, VECTOR);
	assert_false(enabled(g, 0));
	assert_int_equal(read_msr(g, HV_MSR_STIMER0_COUNT), NOW + 123);
	hvguest_pass(g, 100000);
	assert_int_equal(g->interrupts, 1);
}

static void a_one_shot_in_message_mode_fills_the_slot(void **state)
{
	struct hvguest *g = *state;

	set_count(g, 2, NOW + 50);
	set_config(g, 2, MESSAGE);
	hvguest_pass(g, 60);
	assert_message(g, 2, NOW + 50, NOW + 50);
	assert_int_equal(g->interrupts, 1);
	assert_int_equal(g->msi_data, SINT_VECTOR);
	assert_false(enabled(g, 2));
}

static void an_expiry_in_the_past_fires_at_once(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT);
	set_count(g, 0, NOW);
	assert_int_equal(g->interrupts, 1);
	assert_false(enabled(g, 0));
	assert_true(nothing_runs(g));
	set_config(g, 1, MESSAGE);
	set_count(g, 1, 1);
	assert_message(g, 1, 1, NOW);
}

static void a_count_enables_by_itself_when_asked_to(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT | HV_STIMER_AUTO_ENABLE);
	for (unsigned i = 1; i <= 5; i++) {
		set_count(g, 0, g->reference_time + 10);
		assert_true(enabled(g, 0));
		hvguest_pass(g, 10);
		assert_int_equal(g->interrupts, i);
		assert_false(enabled(g, 0));
	}
	set_config(g, 1, DIRECT & ~HV_STIMER_ENABLE);
	set_count(g, 1, g->reference_time + 10);
	assert_false(enabled(g, 1));
	assert_true(nothing_runs(g));
}

static void a_count_of_zero_disables(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT | HV_STIMER_AUTO_ENABLE);
	set_count(g, 0, NOW + 10);
	set_count(g, 0, 0);
	assert_false(enabled(g, 0));
	assert_true(nothing_runs(g));
	hvguest_pass(g, 20);
	assert_int_equal(g->interrupts, 0);
}

static void a_write_begins_anew(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT);
	set_count(g, 0, NOW + 10);
	set_count(g, 0, NOW + 30);
	hvguest_pass(g, 20);
	assert_int_equal(g->interrupts, 0);
	set_config(g, 0, DIRECT | (UINT64_C(1) << HV_STIMER_VECTOR_SHIFT));
	hvguest_pass(g, 10);
	assert_int_equal(g->interrupts, 1);
	set_count(g, 0, g->reference_time + 10);
	assert_true(nothing_runs(g)); /* not enabled again by itself */
	set_config(g, 0, DIRECT);
	set_config(g, 0, 0);
	assert_true(nothing_runs(g));
}

static void a_periodic_timer_goes_on(void **state)
{
	struct hvguest *g = *state;

	set_count(g, 0, PERIOD);
	set_config(g, 0, DIRECT | HV_STIMER_PERIODIC);
	hvguest_pass(g, PERIOD * 10);
	assert_int_equal(g->interrupts, 10);
	assert_true(enabled(g, 0));
	set_config(g, 0, 0);
	hvguest_pass(g, PERIOD * 10);
	assert_int_equal(g->interrupts, 10);
}

static void a_short_period_is_taken_for_the_shortest(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT | HV_STIMER_PERIODIC);
	set_count(g, 0, 1);
	hvguest_pass(g, 100000); /* 10 ms */
	assert_int_equal(g->interrupts, 100);
	assert_int_equal(read_msr(g, HV_MSR_STIMER0_COUNT), 1);
}

static void missed_periods_are_skipped_on_the_grid_of_the_first(void **state)
{
	struct hvguest *g = *state;

	for (unsigned lazy = 0; lazy < 2; lazy++) {
		uint64_t start = g->reference_time;

		g->interrupts = 0;
		set_config(g, 0, 0);
		set_count(g, 0, PERIOD);
		set_config(g, 0, DIRECT | HV_STIMER_PERIODIC | (lazy ? HV_STIMER_LAZY : 0));
		g->reference_time += PERIOD * 7 + 1;
		g->now_ns += (PERIOD * 7 + 1) * 100;
		timerq_run(&g->timers, g->now_ns);
		assert_int_equal(g->interrupts, 1);
		hvguest_pass(g, PERIOD - 2);
		assert_int_equal(g->interrupts, 1);
		hvguest_pass(g, 1);
		assert_int_equal(g->interrupts, 2);
		assert_int_equal(g->reference_time, start + PERIOD * 8);
	}
}

static void a_message_waits_for_its_slot(void **state)
{
	struct hvguest *g = *state;

	slot(g)->type = 1;
	set_config(g, 0, MESSAGE);
	set_count(g, 0, NOW + 10);
	hvguest_pass(g, 100);
	assert_int_equal(slot(g)->type, 1);
	assert_int_equal(slot(g)->flags, HV_MESSAGE_PENDING);
	assert_int_equal(g->interrupts, 0);
	assert_false(enabled(g, 0)); /* it has expired */
	end_of_message(g);
	assert_message(g, 0, NOW + 10, NOW + 100);
	assert_int_equal(g->interrupts, 1);
	end_of_message(g);
	assert_int_equal(slot(g)->type, 0); /* once */
}

static void timers_that_share_a_slot_take_turns(void **state)
{
	struct hvguest *g = *state;

	for (unsigned n = 0; n < HV_STIMERS; n++) {
		set_config(g, n, MESSAGE);
		set_count(g, n, NOW + 10);
	}
	hvguest_pass(g, 10);
	for (unsigned n = 0; n < HV_STIMERS; n++) {
		assert_message(g, n, NOW + 10, NOW + 10);
		end_of_message(g);
	}
	assert_int_equal(slot(g)->type, 0);
	assert_int_equal(g->interrupts, HV_STIMERS);
}

static void an_end_of_message_elsewhere_delivers_nothing_twice(void **state)
{
	struct hvguest *g = *state;

	slot(g)->type = 1;
	set_config(g, 0, MESSAGE);
	set_count(g, 0, NOW);
	assert_int_equal(hv_msr_write(g->hv, 0, HV_MSR_EOM, 0), 0);
	assert_int_equal(hv_msr_write(g->hv, VP, HV_MSR_EOM, 0), 0);
	assert_int_equal(slot(g)->type, 1);
	end_of_message(g);
	assert_message(g, 0, NOW, NOW);
}

static void a_periodic_timer_stands_still_until_its_message_is_taken(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, MESSAGE | HV_STIMER_PERIODIC);
	set_count(g, 0, PERIOD);
	hvguest_pass(g, PERIOD * 5 + 1); /* the first fills the slot, the second waits */
	assert_message(g, 0, NOW + PERIOD, NOW + PERIOD);
	assert_true(nothing_runs(g));
	end_of_message(g);
	assert_message(g, 0, NOW + PERIOD * 2, NOW + PERIOD * 5 + 1);
	end_of_message(g);
	hvguest_pass(g, PERIOD - 1);
	assert_message(g, 0, NOW + PERIOD * 6, NOW + PERIOD * 6);
	assert_int_equal(g->interrupts, 3);
}

static void a_message_waits_for_the_controller(void **state)
{
	struct hvguest *g = *state;

	hv_msr_write(g->hv, VP, HV_MSR_SCONTROL, 0);
	set_config(g, 0, MESSAGE);
	set_count(g, 0, NOW);
	assert_int_equal(slot(g)->type, 0);
	hv_msr_write(g->hv, VP, HV_MSR_SIMP, 0);
	hv_msr_write(g->hv, VP, HV_MSR_SCONTROL, 1);
	assert_int_equal(slot(g)->type, 0);
	hv_msr_write(g->hv, VP, HV_MSR_SIMP, SIMP | HV_PAGE_ENABLE);
	assert_message(g, 0, NOW, NOW);
}

static void a_masked_source_gets_its_message_and_no_interrupt(void **state)
{
	struct hvguest *g = *state;

	hv_msr_write(g->hv, VP, HV_MSR_SINT0 + SINT, SINT_VECTOR | HV_SINT_MASKED);
	set_config(g, 0, MESSAGE);
	set_count(g, 0, NOW);
	assert_message(g, 0, NOW, NOW);
	assert_int_equal(g->interrupts, 0);
}

static void a_write_drops_a_message_that_waits(void **state)
{
	struct hvguest *g = *state;

	for (unsigned by_count = 0; by_count < 2; by_count++) {
		slot(g)->type = 1;
		set_config(g, 0, MESSAGE);
		set_count(g, 0, NOW);
		if (by_count)
			set_count(g, 0, 0);
		else
			set_config(g, 0, 0);
		end_of_message(g);
		assert_int_equal(slot(g)->type, 0);
		set_count(g, 0, 0);
	}
	assert_int_equal(g->interrupts, 0);
}

static void a_timer_without_a_target_cannot_be_enabled(void **state)
{
	static const uint64_t nowhere[] = {
		HV_STIMER_ENABLE,
		HV_STIMER_ENABLE | HV_STIMER_PERIODIC | (uint64_t)VECTOR << HV_STIMER_VECTOR_SHIFT,
		HV_STIMER_ENABLE | HV_STIMER_DIRECT | HV_STIMER_SINT_MASK,
		HV_STIMER_ENABLE | HV_STIMER_DIRECT | UINT64_C(15) << HV_STIMER_VECTOR_SHIFT,
	};
	struct hvguest *g = *state;

	for (size_t i = 0; i < ARRAY_LEN(nowhere); i++) {
		set_count(g, 0, 1);
		set_config(g, 0, nowhere[i]);
		assert_false(enabled(g, 0));
		set_config(g, 0, nowhere[i] | HV_STIMER_AUTO_ENABLE);
		set_count(g, 0, 1);
		assert_false(enabled(g, 0));
	}
	assert_true(nothing_runs(g));
	assert_int_equal(g->interrupts, 0);
}

static void without_direct_mode_its_bit_is_not_held(void **state)
{
	struct hvguest *g = *state;
	struct hv_leaf leaf;

	hvguest_offer_stimers_by_message(g);
	for (unsigned n = 0; hv_cpuid_leaf(g->hv, n, &leaf); n++) {
		if (leaf.function == HV_CPUID_FEATURES)
			assert_int_equal(leaf.edx & HV_DIRECT_STIMERS, 0);
	}
	set_config(g, 0, DIRECT);
	assert_false(enabled(g, 0)); /* nor has it a SINT */
	set_config(g, 0, DIRECT | MESSAGE);
	assert_true(enabled(g, 0));
	assert_int_equal(read_msr(g, HV_MSR_STIMER0_CONFIG) & HV_STIMER_DIRECT, 0);
}

static void wild_values_do_no_harm(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, UINT64_MAX);
	assert_int_equal(read_msr(g, HV_MSR_STIMER0_CONFIG), 0xf1fff);
	set_count(g, 0, UINT64_MAX); /* a period without end */
	hvguest_pass(g, 50000000);
	set_config(g, 1, DIRECT);
	set_count(g, 1, UINT64_MAX);
	hvguest_pass(g, 50000000);
	assert_true(enabled(g, 0) && enabled(g, 1));
	assert_int_equal(g->interrupts, 0);
}

static void a_far_expiry_follows_the_reference_clock(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT);
	set_count(g, 0, NOW + UINT64_C(100000000)); /* 10 s */
	for (unsigned i = 0; i < 9; i++) {
		g->now_ns += 1000000000; /* which runs 1 per mille faster */
		g->reference_time += 10010000;
		timerq_run(&g->timers, g->now_ns);
	}
	assert_int_equal(timerq_next(&g->timers), g->now_ns + (10000000 - 90000) * 100);
	hvguest_pass(g, 10000000 - 90000 - 1);
	assert_int_equal(g->interrupts, 0);
	hvguest_pass(g, 1);
	assert_int_equal(g->interrupts, 1);
}

static void no_timer_expires_before_its_reference_time(void **state)
{
	struct hvguest *g = *state;

	set_config(g, 0, DIRECT);
	set_count(g, 0, NOW + 1000);
	g->now_ns += 100000;
	g->reference_time += 998; /* slower than the other clock */
	timerq_run(&g->timers, g->now_ns);
	assert_int_equal(g->interrupts, 0);
	assert_int_equal(timerq_next(&g->timers), g->now_ns + 200);
	hvguest_pass(g, 2);
	assert_int_equal(g->interrupts, 1);
}

static void reset_and_free_leave_no_timer_behind(void **state)
{
	struct hvguest *g = *state;

	slot(g)->type = 1;
	set_config(g, 0, DIRECT | HV_STIMER_PERIODIC);
	set_count(g, 0, PERIOD);
	set_config(g, 1, MESSAGE);
	set_count(g, 1, NOW);
	hv_reset(g->hv);
	assert_true(nothing_runs(g));
	for (uint32_t msr = HV_MSR_STIMER0_CONFIG; msr <= HV_MSR_STIMER3_COUNT; msr++)
		assert_int_equal(read_msr(g, msr), 0);
	hv_msr_write(g->hv, VP, HV_MSR_SIMP, SIMP | HV_PAGE_ENABLE);
	hv_msr_write(g->hv, VP, HV_MSR_SCONTROL, 1);
	assert_int_equal(slot(g)->type, 0);
	set_config(g, 3, DIRECT | HV_STIMER_PERIODIC);
	set_count(g, 3, PERIOD);
	assert_false(nothing_runs(g));
	hv_free(g->hv);
	g->hv = NULL;
	assert_true(nothing_runs(g));
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_GUEST(without_a_queue_or_a_clock_there_are_no_timers),
		WITH_GUEST(a_one_shot_in_direct_mode_interrupts_once_at_its_time),
		WITH_GUEST(a_one_shot_in_message_mode_fills_the_slot),
		WITH_GUEST(an_expiry_in_the_past_fires_at_once),
		WITH_GUEST(a_count_enables_by_itself_when_asked_to),
		WITH_GUEST(a_count_of_zero_disables),
		WITH_GUEST(a_write_begins_anew),
		WITH_GUEST(a_periodic_timer_goes_on),
		WITH_GUEST(a_short_period_is_taken_for_the_shortest),
		WITH_GUEST(missed_periods_are_skipped_on_the_grid_of_the_first),
		WITH_GUEST(a_message_waits_for_its_slot),
		WITH_GUEST(timers_that_share_a_slot_take_turns),
		WITH_GUEST(an_end_of_message_elsewhere_delivers_nothing_twice),
		WITH_GUEST(a_periodic_timer_stands_still_until_its_message_is_taken),
		WITH_GUEST(a_message_waits_for_the_controller),
		WITH_GUEST(a_masked_source_gets_its_message_and_no_interrupt),
		WITH_GUEST(a_write_drops_a_message_that_waits),
		WITH_GUEST(a_timer_without_a_target_cannot_be_enabled),
		WITH_GUEST(without_direct_mode_its_bit_is_not_held),
		WITH_GUEST(wild_values_do_no_harm),
		WITH_GUEST(a_far_expiry_follows_the_reference_clock),
		WITH_GUEST(no_timer_expires_before_its_reference_time),
		WITH_GUEST(reset_and_free_leave_no_timer_behind),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
