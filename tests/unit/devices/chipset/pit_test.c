/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The timer: counts, latches, the interrupt of counter 0, gate and output of counter 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/chipset/pit.h"

#define SECOND UINT64_C(1000000000)

static struct {
	struct pit pit;
	struct timerq timers;
	uint64_t now_ns;
	unsigned ticks;
} f;

static uint64_t now(void *ctx)
{
	(void)ctx;
	return f.now_ns;
}

static void tick(void *ctx)
{
	(void)ctx;
	f.ticks++;
}

static bool heard(void *ctx)
{
	(void)ctx;
	return true;
}

static const struct clock_ops clock_ops = {.monotonic_ns = now};

static int setup(void **state)
{
	struct pit_host host = {
		.clock = &clock_ops, .timers = &f.timers, .tick = tick, .heard = heard};

	(void)state;
	memset(&f, 0, sizeof(f));
	f.now_ns = 77;
	timerq_init(&f.timers);
	pit_init(&f.pit, &host);
	return 0;
}

static void load(unsigned counter, uint8_t mode, uint16_t count)
{
	pit_write(&f.pit, 3, (uint8_t)(counter << 6 | 0x30u | (unsigned)mode << 1));
	pit_write(&f.pit, counter, (uint8_t)count);
	pit_write(&f.pit, counter, (uint8_t)(count >> 8));
}

static void pass(uint64_t ns)
{
	f.now_ns += ns;
	timerq_run(&f.timers, f.now_ns);
}

static void counter_0_ticks_as_often_as_it_is_told(void **state)
{
	(void)state;
	load(0, 2, 11932);
	for (unsigned i = 0; i < 1000; i++)
		pass(SECOND / 1000);
	assert_in_range(f.ticks, 99, 101);
	load(0, 3, 0); /* 65536: 18.2 Hz */
	f.ticks = 0;
	for (unsigned i = 0; i < 1000; i++)
		pass(SECOND / 1000);
	assert_in_range(f.ticks, 18, 19);
}

static void ticks_that_were_missed_are_skipped(void **state)
{
	(void)state;
	load(0, 2, 11932);
	pass(10 * SECOND);
	assert_int_equal(f.ticks, 1);
	pass(SECOND / 50);
	assert_int_equal(f.ticks, 2);
}

static void a_short_period_costs_the_host_no_more_than_the_limit(void **state)
{
	(void)state;
	load(0, 2, 2);
	for (unsigned i = 0; i < 1000; i++)
		pass(10000);
	assert_in_range(f.ticks, 1, 100);
}

static void one_shot_ticks_once(void **state)
{
	(void)state;
	load(0, 0, 11932);
	pass(SECOND / 200);
	assert_int_equal(f.ticks, 0);
	pass(SECOND);
	pass(SECOND);
	assert_int_equal(f.ticks, 1);
}

static void a_new_mode_stops_the_ticks(void **state)
{
	(void)state;
	load(0, 2, 11932);
	pit_write(&f.pit, 3, 0x34);
	pass(SECOND);
	assert_int_equal(f.ticks, 0);
	pit_done(&f.pit);
}

static void a_latched_count_stays_until_it_is_read(void **state)
{
	(void)state;
	load(0, 2, 60000);
	pass(SECOND / 100); /* 11931 pulses */
	pit_write(&f.pit, 3, 0x00);
	pass(SECOND / 100);
	assert_int_equal(pit_read(&f.pit, 0), (60000 - 11931) & 0xFF);
	assert_int_equal(pit_read(&f.pit, 0), (60000 - 11931) >> 8);
	assert_int_not_equal(pit_read(&f.pit, 0) | pit_read(&f.pit, 0) << 8, 60000 - 11931);
}

static void read_back_tells_of_mode_and_output(void **state)
{
	(void)state;
	pit_write(&f.pit, 3, 0xB0);
	pit_write(&f.pit, 3, 0xE8);
	assert_int_equal(pit_read(&f.pit, 2), 0x70); /* mode 0, both bytes, not loaded */
	load(2, 0, 100);
	pass(SECOND);
	pit_write(&f.pit, 3, 0xE8);
	assert_int_equal(pit_read(&f.pit, 2), 0xB0);
}

static void counter_2_measures_time_by_its_gate(void **state)
{
	(void)state;
	load(2, 0, 11932);
	pass(SECOND);
	pit_write_speaker(&f.pit, 0);
	pit_write_speaker(&f.pit, 1);
	assert_int_equal(pit_read_speaker(&f.pit) & 0x21, 0x01);
	pass(SECOND / 101);
	assert_int_equal(pit_read_speaker(&f.pit) & 0x20, 0);
	pass(SECOND / 1000);
	assert_int_equal(pit_read_speaker(&f.pit) & 0x20, 0x20);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(counter_0_ticks_as_often_as_it_is_told),
		CASE(ticks_that_were_missed_are_skipped),
		CASE(a_short_period_costs_the_host_no_more_than_the_limit),
		CASE(one_shot_ticks_once),
		CASE(a_new_mode_stops_the_ticks),
		CASE(a_latched_count_stays_until_it_is_read),
		CASE(read_back_tells_of_mode_and_output),
		CASE(counter_2_measures_time_by_its_gate),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
