/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a PC behind their ports: interrupts of the PIC, power management, what is nobody's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "abi/machine.h"
#include "devices/chipset/pc.h"
#include "tests/lib/failheap.h"

static struct {
	struct pc *pc;
	struct timerq timers;
	uint64_t now_ns;
	unsigned interrupts, rises, power_offs, resets;
	char debug[8];
} f;

static uint64_t now(void *ctx)
{
	(void)ctx;
	return f.now_ns;
}

static void on_pin(void *ctx, unsigned pin, bool level)
{
	(void)ctx;
	assert_int_equal(pin, MACHINE_PIT_GSI);
	f.rises += level;
}

static bool pin_masked(void *ctx, unsigned pin)
{
	(void)ctx;
	(void)pin;
	return true;
}

static void on_interrupt(void *ctx)
{
	(void)ctx;
	f.interrupts++;
}

static void on_event(void *ctx, enum pc_event event)
{
	(void)ctx;
	if (event == PC_RESET)
		f.resets++;
	else
		f.power_offs++;
}

static void on_debug(void *ctx, uint8_t byte)
{
	(void)ctx;
	f.debug[strlen(f.debug)] = (char)byte;
}

static const struct clock_ops clock_ops = {.monotonic_ns = now};

static int setup(void **state)
{
	struct pc_host host = {
		.clock = &clock_ops,
		.timers = &f.timers,
		.pin = on_pin,
		.pin_masked = pin_masked,
		.interrupt = on_interrupt,
		.event = on_event,
		.debug = on_debug,
	};

	(void)state;
	memset(&f, 0, sizeof(f));
	timerq_init(&f.timers);
	f.pc = pc_new(&host);
	assert_non_null(f.pc);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pc_free(f.pc);
	return 0;
}

static uint32_t in(uint16_t port, unsigned bytes)
{
	uint32_t value = UINT32_MAX;

	assert_true(pc_in(f.pc, port, bytes, &value));
	return value;
}

static void out(uint16_t port, unsigned bytes, uint32_t value)
{
	assert_true(pc_out(f.pc, port, bytes, value));
}

static void the_timer_interrupts_through_the_pic(void **state)
{
	static const uint8_t words[] = {0x11, 0x08, 0x04, 0x01};

	(void)state;
	out(0x20, 1, words[0]);
	for (unsigned i = 1; i < 4; i++)
		out(0x21, 1, words[i]);
	out(0x43, 1, 0x34);
	out(0x40, 1, 0x9C);
	out(0x40, 1, 0x2E);
	f.now_ns += 20000000;
	timerq_run(&f.timers, f.now_ns);
	assert_int_equal(f.interrupts, 1);
	assert_int_equal(f.rises, 1);
	assert_true(pc_interrupts(f.pc));
	assert_int_equal(pc_take_interrupt(f.pc), 8);
	assert_false(pc_interrupts(f.pc));
	assert_int_equal(pc_take_interrupt(f.pc), -1);
	out(0x21, 1, 0x01); /* nobody hears it: after one look no timer is left */
	f.now_ns += 20000000;
	timerq_run(&f.timers, f.now_ns);
	assert_true(timerq_next(&f.timers) == TIMERQ_NEVER);
	out(0x21, 1, 0x00);
	assert_true(timerq_next(&f.timers) <= f.now_ns + 11000000);
	pc_reset(f.pc);
	f.now_ns += 1000000000;
	timerq_run(&f.timers, f.now_ns);
	assert_int_equal(f.rises, 1);
}

static void the_guest_powers_off_by_either_width(void **state)
{
	(void)state;
	out(0x604, 2, 0x1400); /* the type alone */
	assert_int_equal(f.power_offs, 0);
	assert_int_equal(in(0x604, 2), 0x1401);
	out(0x604, 2, 0x3400);
	out(0x605, 1, 0x34);
	assert_int_equal(f.power_offs, 2);
}

static void the_pm_timer_counts(void **state)
{
	uint32_t before = in(0x608, 4);

	(void)state;
	f.now_ns += 1000000000;
	assert_int_equal(in(0x608, 4) - before, 3579545);
	f.now_ns += UINT64_C(10000000000);
	assert_true(in(0x608, 4) <= 0xFFFFFF);
	out(0x602, 2, 0x0120);
	assert_int_equal(in(0x600, 4), 0x01200000);
}

static void firmware_reads_and_writes_its_ports(void **state)
{
	(void)state;
	out(0x510, 2, 0);
	assert_int_equal(in(0x511, 1), 'Q');
	assert_int_equal(in(0x511, 1), 'E');
	out(0x402, 1, 'h');
	out(0x402, 1, 'i');
	assert_string_equal(f.debug, "hi");
	assert_int_equal(in(0x402, 1), 0xE9);
	out(0xCF8, 4, 0x80000000);
	assert_int_equal(in(0xCFE, 2), 0x7192);
	out(0x92, 1, 2);
	assert_int_equal(f.resets, 0);
	out(0x92, 1, 3);
	assert_int_equal(f.resets, 1);
}

static void other_ports_are_nobodys(void **state)
{
	static const uint16_t ports[] = {0x22, 0x3F8, 0x1F0, 0x3F6, 0x606, 0x60C, 0xCFB, 0xFFFF};
	uint32_t value = 7;

	(void)state;
	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		assert_false(pc_in(f.pc, ports[i], 1, &value));
		assert_false(pc_out(f.pc, ports[i], 1, 0));
	}
	assert_false(pc_in(f.pc, 0x40, 2, &value));
	assert_int_equal(value, 7);
}

static int make(void *ctx)
{
	struct pc_host host = {.clock = &clock_ops, .timers = &f.timers, .interrupt = on_interrupt};
	struct pc *pc = pc_new(&host);

	(void)ctx;
	pc_free(pc);
	return pc ? 0 : -ENOMEM;
}

static void memory_may_be_short(void **state)
{
	(void)state;
	assert_int_equal(failheap_sweep(make, NULL), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_timer_interrupts_through_the_pic),
		CASE(the_guest_powers_off_by_either_width),
		CASE(the_pm_timer_counts),
		CASE(firmware_reads_and_writes_its_ports),
		CASE(other_ports_are_nobodys),
		cmocka_unit_test(memory_may_be_short),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
