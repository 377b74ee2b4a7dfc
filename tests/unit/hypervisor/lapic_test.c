/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC of a child: priorities, destinations, its timer, and what a guest may not write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/lapic.h"

enum {
	ID = 2,
	TPR = 8,
	PPR = 0xA,
	EOI = 0xB,
	LDR = 0xD,
	DFR = 0xE,
	SVR = 0xF,
	ISR = 0x10,
	TMR = 0x18,
	IRR = 0x20,
	ESR = 0x28,
	ICR = 0x30,
	ICR2 = 0x31,
	LVT_TIMER = 0x32,
	LVT_LINT0 = 0x35,
	COUNT = 0x38,
	COUNT_NOW = 0x39,
	DIVIDE = 0x3E,
	SELF = 0x3F
};

#define ENABLED (1u << 11)
#define X2 (1u << 10)
#define MASKED (1u << 16)
#define KHZ 2000000u /* two ticks of the TSC are a nanosecond */

static struct lapic make(uint32_t id, bool x2)
{
	struct lapic a = {.id = id, .khz = KHZ, .base = LAPIC_PAGE | ENABLED};
	uint8_t vector;

	lapic_reset(&a);
	if (x2)
		assert_true(lapic_set_base(&a, LAPIC_PAGE | ENABLED | X2));
	assert_int_equal(lapic_write(&a, SVR, 0x1FF, 0, &vector), LAPIC_NOTHING);
	return a;
}

static uint64_t read(const struct lapic *a, uint32_t reg)
{
	uint64_t value = 0;

	assert_true(lapic_read(a, reg, 0, &value));
	return value;
}

static enum lapic_effect write(struct lapic *a, uint32_t reg, uint64_t value)
{
	uint8_t vector;

	return lapic_write(a, reg, value, 0, &vector);
}

static void the_highest_class_is_served_first_and_holds_the_others_back(void **state)
{
	struct lapic a = make(0, false);
	uint8_t ended = 0;

	(void)state;
	assert_int_equal(lapic_next(&a), -1);
	assert_true(lapic_post(&a, 0x31, false));
	assert_true(lapic_post(&a, 0x52, true));
	assert_int_equal(lapic_next(&a), 0x52);
	lapic_serve(&a, 0x52);
	assert_int_equal(read(&a, ISR + 2), 1u << 18);
	assert_int_equal(read(&a, TMR + 2), 1u << 18);
	assert_int_equal(read(&a, IRR + 1), 1u << 17);
	assert_int_equal(read(&a, PPR), 0x50);
	assert_int_equal(lapic_next(&a), -1);
	assert_true(lapic_post(&a, 0x5F, false)); /* the same class */
	assert_int_equal(lapic_next(&a), -1);
	assert_true(lapic_post(&a, 0x60, false));
	assert_int_equal(lapic_next(&a), 0x60);
	/* The end of one that is triggered by level is told. */
	assert_int_equal(lapic_write(&a, EOI, 0, 0, &ended), LAPIC_ENDED);
	assert_int_equal(ended, 0x52);
	lapic_serve(&a, 0x60);
	assert_int_equal(write(&a, EOI, 0), LAPIC_NOTHING);
	assert_int_equal(write(&a, EOI, 0), LAPIC_NOTHING); /* nothing is served */
	assert_int_equal(lapic_next(&a), 0x5F);
}

static void one_that_is_off_takes_nothing(void **state)
{
	struct lapic a = make(0, false);

	(void)state;
	assert_false(lapic_post(&a, 15, false));
	assert_int_equal(write(&a, SVR, 0xFF), LAPIC_NOTHING);
	assert_false(lapic_post(&a, 0x31, false));
	assert_int_equal(write(&a, LVT_TIMER, 0x40), LAPIC_NOTHING);
	assert_int_equal(read(&a, LVT_TIMER), 0x40 | MASKED);
	a = make(0, false);
	assert_true(lapic_post(&a, 0x31, false));
	assert_true(lapic_set_base(&a, LAPIC_PAGE));
	assert_false(lapic_post(&a, 0x31, false));
	assert_int_equal(lapic_next(&a), -1);
	assert_int_equal(read(&a, IRR + 1), 0);
}

static void modes_change_in_their_order_only(void **state)
{
	struct lapic a = make(3, false);

	(void)state;
	assert_int_equal(read(&a, ID), 3u << 24);
	assert_false(lapic_set_base(&a, 0xFEC00000u | ENABLED));
	assert_false(lapic_set_base(&a, LAPIC_PAGE | X2));
	assert_false(lapic_set_base(&a, UINT64_C(1) << 52 | LAPIC_PAGE | ENABLED));
	assert_true(lapic_set_base(&a, LAPIC_PAGE | ENABLED | X2));
	assert_true(lapic_is_x2(&a));
	assert_int_equal(read(&a, ID), 3);
	assert_false(lapic_set_base(&a, LAPIC_PAGE | ENABLED));
	assert_true(lapic_set_base(&a, LAPIC_PAGE));
	assert_false(lapic_set_base(&a, LAPIC_PAGE | ENABLED | X2));
	assert_true(lapic_set_base(&a, LAPIC_PAGE | ENABLED));
}

static void what_a_guest_may_not_write_is_refused(void **state)
{
	struct lapic a = make(0, true);
	uint64_t value;

	(void)state;
	assert_int_equal(write(&a, TPR, UINT64_C(1) << 32), LAPIC_REFUSED);
	assert_int_equal(write(&a, ID, 1), LAPIC_REFUSED);
	assert_int_equal(write(&a, LDR, 1), LAPIC_REFUSED);
	assert_int_equal(write(&a, ICR2, 1), LAPIC_REFUSED);
	for (uint32_t reg = LAPIC_MSR_COUNT; reg-- > 0;)
		(void)write(&a, reg, UINT32_MAX);
	assert_false(lapic_read(&a, DFR, 0, &value));
	assert_false(lapic_read(&a, ICR2, 0, &value));
	assert_false(lapic_read(&a, 0, 0, &value));
	a = make(0, false);
	assert_int_equal(write(&a, SELF, 0x40), LAPIC_REFUSED);
}

static void commands_are_kept_as_they_were_written(void **state)
{
	struct lapic a = make(0, false);
	struct lapic_message m;

	(void)state;
	assert_int_equal(write(&a, ICR2, 2u << 24), LAPIC_NOTHING);
	assert_int_equal(write(&a, ICR, 0x4500), LAPIC_SEND);
	m = lapic_message_of_icr(a.icr);
	assert_int_equal(m.to, 2);
	assert_int_equal(m.mode, LAPIC_INIT);
	assert_true(m.assert);
	assert_int_equal(write(&a, ICR, 0x8500), LAPIC_SEND);
	assert_false(lapic_message_of_icr(a.icr).assert);
	assert_int_equal(write(&a, ICR, 0x08), LAPIC_NOTHING); /* no such vector */
	assert_int_equal(read(&a, ESR), 1u << 5);
	a = make(0, true);
	assert_int_equal(write(&a, ICR, UINT64_C(7) << 32 | 0xC0031), LAPIC_SEND);
	assert_int_equal(lapic_message_of_icr(a.icr).to, 7);
	assert_int_equal(lapic_shorthand(a.icr), LAPIC_OTHERS);
	assert_int_equal(write(&a, SELF, 0x44), LAPIC_SEND);
	assert_int_equal(lapic_shorthand(a.icr), LAPIC_SELF);
	assert_int_equal(lapic_message_of_icr(a.icr).vector, 0x44);
}

static bool is_for(const struct lapic *a, uint32_t to, bool logical)
{
	return lapic_is_for(a, &(struct lapic_message){.to = to, .logical = logical});
}

static void messages_find_their_processor(void **state)
{
	struct lapic a = make(5, false);
	struct lapic_message m = lapic_message_of_msi(0xFEE05000u, 0x8131);

	(void)state;
	assert_true(lapic_is_for(&a, &m));
	assert_int_equal(m.vector, 0x31);
	assert_int_equal(m.mode, LAPIC_LOWEST);
	assert_true(m.level);
	assert_true(lapic_message_of_msi(0xFEE05004u, 0).logical);
	assert_false(is_for(&a, 4, false));
	assert_true(is_for(&a, 0xFF, false));
	/* Flat: a bit each. */
	(void)write(&a, LDR, 0x24000000);
	assert_true(is_for(&a, 0x06, true));
	assert_false(is_for(&a, 0x18, true));
	/* Clusters of four. */
	(void)write(&a, DFR, 0x0FFFFFFF);
	assert_true(is_for(&a, 0x26, true));
	assert_false(is_for(&a, 0x16, true));
	assert_false(is_for(&a, 0x23, true));
	a = make(0x25, true);
	assert_int_equal(read(&a, LDR), 2u << 16 | 1u << 5);
	assert_true(is_for(&a, 2u << 16 | 0x30, true));
	assert_false(is_for(&a, 1u << 16 | 0x30, true));
	assert_true(is_for(&a, UINT32_MAX, false));
	assert_true(lapic_set_base(&a, LAPIC_PAGE));
	assert_false(is_for(&a, 0x25, false));
}

static void the_timer_ends_once_or_again_and_again(void **state)
{
	struct lapic a = make(0, false);
	uint64_t left = 0;

	(void)state;
	(void)write(&a, LVT_TIMER, 0x40);
	(void)write(&a, DIVIDE, 0xB); /* by 1 */
	(void)write(&a, COUNT, 1000);
	assert_true(lapic_read(&a, COUNT_NOW, 1000, &left));
	assert_in_range(left, 500, 501);
	lapic_expire(&a, 1999);
	assert_int_equal(lapic_next(&a), -1);
	lapic_expire(&a, 2001);
	assert_int_equal(lapic_next(&a), 0x40);
	assert_int_equal(a.deadline, 0);
	lapic_serve(&a, 0x40);
	(void)write(&a, EOI, 0);
	/* Periods that were missed are one interrupt, and the beat is kept. */
	(void)write(&a, LVT_TIMER, 0x40 | 1u << 17);
	(void)write(&a, COUNT, 1000000);
	lapic_expire(&a, 2000001 * 5 + 1000);
	assert_int_equal(a.deadline, 2000001 * 6);
	lapic_serve(&a, 0x40);
	assert_int_equal(lapic_next(&a), -1);
	/* Five a millisecond at most. */
	(void)write(&a, COUNT, 1);
	assert_int_equal(a.period, 400000);
	(void)write(&a, COUNT, 0);
	assert_int_equal(a.deadline, 0);
	/* Divided by 2: twice as long. */
	(void)write(&a, DIVIDE, 0);
	(void)write(&a, COUNT, 1000);
	assert_int_equal(a.deadline, 4001);
	/* Masked, it ends without a word. */
	(void)write(&a, EOI, 0);
	(void)write(&a, LVT_TIMER, 0x40 | MASKED);
	lapic_expire(&a, UINT64_MAX);
	assert_int_equal(lapic_next(&a), -1);
}

static void a_deadline_counts_in_its_mode_alone(void **state)
{
	struct lapic a = make(0, true);

	(void)state;
	lapic_set_deadline(&a, 5000);
	assert_int_equal(lapic_deadline(&a), 0);
	(void)write(&a, LVT_TIMER, 0x41 | 2u << 17);
	lapic_set_deadline(&a, 5000);
	assert_int_equal(lapic_deadline(&a), 5000);
	(void)write(&a, COUNT, 7);
	assert_int_equal(lapic_deadline(&a), 5000);
	lapic_expire(&a, 5000);
	assert_int_equal(lapic_next(&a), 0x41);
	assert_int_equal(lapic_deadline(&a), 0);
	lapic_set_deadline(&a, 9000);
	(void)write(&a, LVT_TIMER, 0x41);
	assert_int_equal(a.deadline, 0);
}

static void a_page_of_registers_is_put_back_as_it_was(void **state)
{
	uint32_t page[LAPIC_PAGE_WORDS], again[LAPIC_PAGE_WORDS];
	struct lapic a = make(3, false), b = {.id = 3, .khz = KHZ, .base = LAPIC_PAGE | ENABLED};

	(void)state;
	(void)write(&a, TPR, 0x20);
	(void)write(&a, LVT_TIMER, 0x40);
	(void)write(&a, DIVIDE, 0xB);
	(void)write(&a, COUNT, 1000);
	(void)write(&a, ICR2, 5u << 24);
	assert_true(lapic_post(&a, 0x51, true));
	lapic_get_page(&a, 0, page);
	assert_int_equal(page[ID * LAPIC_WORDS_BETWEEN], 3u << 24);
	assert_int_equal(page[COUNT_NOW * LAPIC_WORDS_BETWEEN], 1000);
	lapic_reset(&b);
	assert_true(lapic_set_page(&b, page, 500));
	lapic_get_page(&b, 500, again);
	assert_memory_equal(page, again, sizeof(page));
	assert_int_equal(lapic_next(&b), 0x51);
	/* What a processor may not have is taken out; another's is refused. */
	memset(page, 0xFF, sizeof(page));
	assert_false(lapic_set_page(&b, page, 0));
	page[ID * LAPIC_WORDS_BETWEEN] = 3u << 24;
	assert_true(lapic_set_page(&b, page, 0));
	lapic_get_page(&b, 0, again);
	assert_int_equal(again[TPR * LAPIC_WORDS_BETWEEN], 0xFF);
	assert_int_equal(again[SVR * LAPIC_WORDS_BETWEEN], 0x1FF);
	assert_int_equal(again[IRR * LAPIC_WORDS_BETWEEN], 0xFFFF0000);
}

static void from_x_to_x2_all_registers_stay(void **state)
{
	struct lapic a = make(0, false);

	(void)state;
	assert_true(lapic_set_base(&a, LAPIC_PAGE | ENABLED | X2));
	assert_int_equal(read(&a, SVR), 0x1FF);
}

static void vectors_from_outside_come_by_the_first_pin_or_past_an_apic_that_is_off(void **state)
{
	struct lapic a = make(0, false);

	(void)state;
	assert_false(lapic_takes_outside(&a));
	(void)write(&a, LVT_LINT0, 0x700);
	assert_true(lapic_takes_outside(&a));
	(void)write(&a, LVT_LINT0, 0x700 | MASKED);
	assert_false(lapic_takes_outside(&a));
	assert_true(lapic_set_base(&a, LAPIC_PAGE));
	assert_true(lapic_takes_outside(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_highest_class_is_served_first_and_holds_the_others_back),
		cmocka_unit_test(one_that_is_off_takes_nothing),
		cmocka_unit_test(modes_change_in_their_order_only),
		cmocka_unit_test(what_a_guest_may_not_write_is_refused),
		cmocka_unit_test(commands_are_kept_as_they_were_written),
		cmocka_unit_test(messages_find_their_processor),
		cmocka_unit_test(the_timer_ends_once_or_again_and_again),
		cmocka_unit_test(a_deadline_counts_in_its_mode_alone),
		cmocka_unit_test(a_page_of_registers_is_put_back_as_it_was),
		cmocka_unit_test(from_x_to_x2_all_registers_stay),
		cmocka_unit_test(
			vectors_from_outside_come_by_the_first_pin_or_past_an_apic_that_is_off),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
