/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock: its formats, its calendar, and setting it. Virtual time throughout. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "devices/chipset/rtc.h"
#include "tests/lib/statetest.h"

#define NS UINT64_C(1000000000)

struct fixture {
	struct rtc *r;
	uint64_t wall_ns;
};

static uint64_t wall(void *ctx)
{
	struct fixture *f = ctx;

	return f->wall_ns;
}

static const struct clock_ops clock_ops = {.wall_ns = wall};

static int setup(void **state)
{
	static struct fixture f;

	f.wall_ns = UINT64_C(1709210096) * NS; /* Thursday 2024-02-29 12:34:56 */
	assert_int_equal(rtc_new(&clock_ops, &f, &f.r), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rtc_free(f->r);
	return 0;
}

static uint8_t get(struct fixture *f, uint8_t index)
{
	rtc_write(f->r, 0, index);
	return rtc_read(f->r, 1);
}

static void put(struct fixture *f, uint8_t index, uint8_t value)
{
	rtc_write(f->r, 0, index);
	rtc_write(f->r, 1, value);
}

static void time_reads_as_bcd_in_24_hours(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 0x0B), 0x02);
	assert_int_equal(get(f, 0x0D), 0x80);
	assert_int_equal(get(f, 0x00), 0x56);
	assert_int_equal(get(f, 0x02), 0x34);
	assert_int_equal(get(f, 0x04), 0x12);
	assert_int_equal(get(f, 0x06), 0x05);
	assert_int_equal(get(f, 0x07), 0x29);
	assert_int_equal(get(f, 0x08), 0x02);
	assert_int_equal(get(f, 0x09), 0x24);
	assert_int_equal(get(f, 0x32), 0x20);
}

static void time_reads_as_binary_when_asked(void **state)
{
	struct fixture *f = *state;

	put(f, 0x0B, 0x04); /* the 24-hour bit cannot be cleared */
	assert_int_equal(get(f, 0x0B), 0x06);
	assert_int_equal(get(f, 0x00), 56);
	assert_int_equal(get(f, 0x09), 24);
	assert_int_equal(get(f, 0x32), 20);
}

static void calendar_agrees_with_the_c_library(void **state)
{
	struct fixture *f = *state;

	put(f, 0x0B, 0x06);
	for (int64_t s = 0; s < INT64_C(9000000000); s += 86399 * 11) {
		time_t at = (time_t)s;
		struct tm tm;

		f->wall_ns = (uint64_t)s * NS;
		gmtime_r(&at, &tm);
		assert_int_equal(get(f, 0x00), tm.tm_sec);
		assert_int_equal(get(f, 0x02), tm.tm_min);
		assert_int_equal(get(f, 0x04), tm.tm_hour);
		assert_int_equal(get(f, 0x06), tm.tm_wday + 1);
		assert_int_equal(get(f, 0x07), tm.tm_mday);
		assert_int_equal(get(f, 0x08), tm.tm_mon + 1);
		assert_int_equal(get(f, 0x32) * 100 + get(f, 0x09), tm.tm_year + 1900);
	}
}

static void update_bit_is_set_only_just_before_the_second_turns(void **state)
{
	struct fixture *f = *state;
	uint64_t base = f->wall_ns;

	for (uint64_t us = 0; us < 1000000; us += 100) {
		f->wall_ns = base + us * 1000;
		assert_int_equal(get(f, 0x0A), us >= 999756 ? 0xA6 : 0x26);
	}
}

static void set_time(struct fixture *f)
{
	uint8_t b = get(f, 0x0B);

	put(f, 0x0B, b | 0x80);
	put(f, 0x0A, 0x76);
	put(f, 0x09, 0x99);
	put(f, 0x08, 0x12);
	put(f, 0x07, 0x31);
	put(f, 0x04, 0x23);
	put(f, 0x02, 0x59);
	put(f, 0x00, 0x58);
	put(f, 0x32, 0x19);
	put(f, 0x0B, b);
	put(f, 0x0A, 0x26);
}

static void a_time_set_by_the_guest_runs_on(void **state)
{
	struct fixture *f = *state;

	set_time(f);
	assert_int_equal(get(f, 0x00), 0x58);
	f->wall_ns += 2 * NS;
	assert_int_equal(get(f, 0x00), 0x00);
	assert_int_equal(get(f, 0x07), 0x01);
	assert_int_equal(get(f, 0x08), 0x01);
	assert_int_equal(get(f, 0x09), 0x00);
	assert_int_equal(get(f, 0x32), 0x20);
	assert_int_equal(rtc_offset_s(f->r), 946684800 - 1709210098);
}

static void time_stands_still_while_it_is_set(void **state)
{
	struct fixture *f = *state;

	put(f, 0x0B, 0x82);
	f->wall_ns += 5 * NS - 1;
	assert_int_equal(get(f, 0x00), 0x56);
	assert_int_equal(get(f, 0x0A), 0x26); /* no update in progress */
	put(f, 0x0B, 0x02);
	assert_int_equal(get(f, 0x00), 0x00); /* nothing was written: no time is lost */
	assert_int_equal(rtc_offset_s(f->r), 0);
}

static void a_single_register_can_be_set(void **state)
{
	struct fixture *f = *state;

	put(f, 0x04, 0x13);
	assert_int_equal(rtc_offset_s(f->r), 3600);
	assert_int_equal(get(f, 0x00), 0x56);
}

static void wild_values_do_no_harm(void **state)
{
	struct fixture *f = *state;

	for (unsigned b = 0; b <= 4; b += 4) {
		for (unsigned v = 0; v < 256; v++) {
			put(f, 0x0B, (uint8_t)(0x80 | b));
			for (uint8_t i = 0; i < 10; i++)
				put(f, i, (uint8_t)v);
			put(f, 0x32, (uint8_t)v);
			put(f, 0x0B, (uint8_t)b);
			for (uint8_t i = 0; i < 128; i++)
				get(f, i);
			put(f, 0x00, (uint8_t)v);
		}
	}
	rtc_set_offset_s(f->r, INT64_MIN);
	get(f, 0x00);
	rtc_set_offset_s(f->r, INT64_MAX);
	get(f, 0x00);
}

static void memory_and_alarm_hold_what_was_written(void **state)
{
	struct fixture *f = *state;

	put(f, 0x01, 0x11);
	put(f, 0x0E, 0x42);
	put(f, 0xFF, 0x43); /* bit 7 of the index masks NMIs */
	assert_int_equal(get(f, 0x01), 0x11);
	assert_int_equal(get(f, 0x0E), 0x42);
	assert_int_equal(get(f, 0x7F), 0x43);
	assert_int_equal(get(f, 0x0C), 0);
	put(f, 0x0D, 0x00);
	assert_int_equal(get(f, 0x0D), 0x80);
	assert_int_equal(rtc_read(f->r, 0), 0xFF);
}

static void host_sets_memory_but_not_the_clock(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rtc_set_cmos(f->r, 0x34, 0x99), 0);
	assert_int_equal(get(f, 0x34), 0x99);
	assert_int_equal(rtc_set_cmos(f->r, 0x00, 1), -EINVAL);
	assert_int_equal(rtc_set_cmos(f->r, 0x32, 1), -EINVAL);
	assert_int_equal(rtc_set_cmos(f->r, 128, 1), -EINVAL);
}

/* ---- saved state ---- */

static void device_state(void *device, struct record *r)
{
	rtc_state(device, r);
}

static struct fixture other;

static void *make(void)
{
	struct rtc *r;

	other.wall_ns = UINT64_C(1709213696) * NS; /* an hour later */
	return rtc_new(&clock_ops, &other, &r) == 0 ? r : NULL;
}

static void drop(void *device)
{
	rtc_free(device);
}

static void drive(void *device)
{
	struct rtc *r = device;

	for (unsigned turn = 0; turn < 2; turn++) {
		rtc_read(r, 1);
		for (unsigned i = 0; i < 128; i++) {
			rtc_write(r, 0, (uint8_t)i);
			rtc_write(r, 1, rtc_read(r, 1) ^ 0x80);
		}
		rtc_write(r, 0, 0x0B);
		rtc_write(r, 1, turn ? 0x02 : 0x86);
	}
}

static void a_restored_clock_has_gone_on_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct rtc *fresh = make();

	put(f, 0x04, 0x20); /* 20:34:56 */
	put(f, 0x5A, 0x99);
	put(f, 0x0A, 0x25);
	rtc_write(f->r, 0, 0x5A);
	statetest_same(device_state, f->r, fresh);
	rtc_free(f->r);
	f->r = fresh;
	assert_int_equal(rtc_read(fresh, 1), 0x99);
	assert_int_equal(get(f, 0x04), 0x21);
	assert_int_equal(get(f, 0x00), 0x56);
	assert_int_equal(get(f, 0x0A), 0x25);
}

static void a_clock_that_is_being_set_stands_in_its_state(void **state)
{
	struct fixture *f = *state;
	struct rtc *fresh = make();

	put(f, 0x0B, 0x82);
	put(f, 0x00, 0x11);
	statetest_same(device_state, f->r, fresh);
	rtc_free(f->r);
	f->r = fresh;
	assert_int_equal(get(f, 0x00), 0x11);
	assert_int_equal(get(f, 0x04), 0x12);
	put(f, 0x0B, 0x02);
	assert_int_equal(get(f, 0x00), 0x11);
	assert_int_equal(rtc_offset_s(fresh), 11 - 56 - 3600);
}

static void a_wrong_record_of_a_clock_is_refused(void **state)
{
	struct fixture *f = *state;

	put(f, 0x0B, 0x82);
	put(f, 0x00, 0x11);
	statetest_cut(device_state, f->r, make, drop);
	statetest_more(device_state, f->r, make, drop);
	statetest_flip(device_state, f->r, make, drop, drive);
	statetest_refuses(device_state, f->r, make, drop, "offset_s", 7, "\x7f", 1, "away from");
	statetest_refuses(device_state, f->r, make, drop, "offset_s", 7, "\x80", 1, "away from");
	statetest_refuses(device_state, f->r, make, drop, "index", 0, "\x80", 1, "no byte");
	statetest_refuses(device_state, f->r, make, drop, "cmos", 10, "\xA6", 1,
			  "registers A and B");
	statetest_refuses(device_state, f->r, make, drop, "cmos", 11, "\x00", 1,
			  "registers A and B");
	statetest_refuses(device_state, f->r, make, drop, "time_written", 0, "\x02", 1, "neither");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(time_reads_as_bcd_in_24_hours),
		CASE(time_reads_as_binary_when_asked),
		CASE(calendar_agrees_with_the_c_library),
		CASE(update_bit_is_set_only_just_before_the_second_turns),
		CASE(a_time_set_by_the_guest_runs_on),
		CASE(time_stands_still_while_it_is_set),
		CASE(a_single_register_can_be_set),
		CASE(wild_values_do_no_harm),
		CASE(memory_and_alarm_hold_what_was_written),
		CASE(host_sets_memory_but_not_the_clock),
		CASE(a_restored_clock_has_gone_on_meanwhile),
		CASE(a_clock_that_is_being_set_stands_in_its_state),
		CASE(a_wrong_record_of_a_clock_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
