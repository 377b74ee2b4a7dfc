/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The saved state of a PC's parts: on a host whose clock stands elsewhere, and hostile records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/chipset/pc.h"
#include "tests/lib/statetest.h"

#define SECOND UINT64_C(1000000000)
#define TICK_NS UINT64_C(9999849) /* of a counter that is loaded with 0x2E9C - 1 */

/* A host. */
struct world {
	struct timerq timers;
	uint64_t now_ns;
	unsigned interrupts, rises;
	bool pin_heard;
};

static struct world here, there;

static uint64_t now(void *ctx)
{
	return ((struct world *)ctx)->now_ns;
}

static void on_pin(void *ctx, unsigned pin, bool level)
{
	(void)pin;
	((struct world *)ctx)->rises += level;
}

static bool pin_masked(void *ctx, unsigned pin)
{
	(void)pin;
	return !((struct world *)ctx)->pin_heard;
}

static void on_interrupt(void *ctx)
{
	((struct world *)ctx)->interrupts++;
}

static void on_event(void *ctx, enum pc_event event)
{
	(void)ctx;
	(void)event;
}

static void on_debug(void *ctx, uint8_t byte)
{
	(void)ctx;
	(void)byte;
}

static const struct clock_ops clock_ops = {.monotonic_ns = now};

static struct pc *make_in(struct world *w, uint64_t now_ns)
{
	struct pc_host host = {
		.clock = &clock_ops,
		.clock_ctx = w,
		.timers = &w->timers,
		.pin = on_pin,
		.pin_masked = pin_masked,
		.interrupt = on_interrupt,
		.event = on_event,
		.debug = on_debug,
		.ctx = w,
	};

	*w = (struct world){.now_ns = now_ns};
	timerq_init(&w->timers);
	return pc_new(&host);
}

static void *make(void)
{
	return make_in(&there, 5);
}

static void drop(void *device)
{
	pc_free(device);
}

static void device_state(void *device, struct record *r)
{
	pc_state(device, r);
}

static uint32_t in(struct pc *pc, uint16_t port, unsigned bytes)
{
	uint32_t value = UINT32_MAX;

	assert_true(pc_in(pc, port, bytes, &value));
	return value;
}

static void out(struct pc *pc, uint16_t port, unsigned bytes, uint32_t value)
{
	assert_true(pc_out(pc, port, bytes, value));
}

static void drive(void *device)
{
	static const uint16_t ports[] = {0x20,  0x21,  0xA0,  0xA1,  0x4D0, 0x4D1, 0x40,
					 0x41,  0x42,  0x43,  0x61,  0x92,  0x402, 0x600,
					 0x602, 0x605, 0x608, 0xCFC, 0xCFF};
	struct pc *pc = device;
	uint32_t value;

	for (unsigned turn = 0; turn < 3; turn++) {
		for (unsigned i = 0; i < 40; i++)
			pc_in(pc, 0x511, 1, &value);
		for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
			pc_in(pc, ports[i], 1, &value);
			pc_out(pc, ports[i], 1, value ^ (turn & 1));
		}
		for (unsigned line = 0; line < 16; line++)
			pc_set_line(pc, line, turn & 1);
		while (pc_interrupts(pc) && pc_take_interrupt(pc) >= 0) {
			out(pc, 0xA0, 1, 0x20);
			out(pc, 0x20, 1, 0x20);
			out(pc, 0x21, 1, 0xFF);
		}
		there.now_ns += SECOND / 20;
		timerq_run(&there.timers, there.now_ns);
	}
	there.now_ns += 3600 * SECOND;
	timerq_run(&there.timers, there.now_ns);
	pc_reset(pc);
}

static void init_pic(struct pc *pc, uint16_t port, uint8_t vector)
{
	out(pc, port, 1, 0x11);
	out(pc, port + 1, 1, vector);
	out(pc, port + 1, 1, 4);
	out(pc, port + 1, 1, 1);
}

/* Ticks of 10 ms; a line of the second PIC in service, one that is asked for, a latched counter of
 * which one byte was read, an item of fw_cfg half read. */
static void make_rich(struct pc *pc)
{
	init_pic(pc, 0x20, 0x08);
	init_pic(pc, 0xA0, 0x70);
	out(pc, 0x4D1, 1, 0x08);
	pc_set_line(pc, 14, true);
	assert_int_equal(pc_take_interrupt(pc), 0x76);
	pc_set_line(pc, 11, true);
	out(pc, 0x20, 1, 0x20);
	out(pc, 0x43, 1, 0x34);
	out(pc, 0x40, 1, 0x9B);
	out(pc, 0x40, 1, 0x2E);
	out(pc, 0x43, 1, 0xB0);
	out(pc, 0x42, 1, 0xFF);
	out(pc, 0x42, 1, 0xFF);
	out(pc, 0x61, 1, 0x01);
	here.now_ns += 3000000;
	out(pc, 0x43, 1, 0x80);
	in(pc, 0x42, 1);
	out(pc, 0x43, 1, 0x36 | 0x40);
	out(pc, 0x41, 1, 0x12);
	out(pc, 0xCF8, 4, 0x80003940);
	out(pc, 0xCFC, 1, 0xA5);
	out(pc, 0x510, 2, 0);
	in(pc, 0x511, 1);
	out(pc, 0x602, 2, 0x0120);
	out(pc, 0x604, 2, 0x1400);
}

struct pair {
	struct pc *saved, *fresh;
};

static int setup(void **state)
{
	static struct pair p;

	p.saved = make_in(&here, 1000 * SECOND);
	p.fresh = make();
	assert_non_null(p.saved);
	assert_non_null(p.fresh);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	pc_free(p->saved);
	pc_free(p->fresh);
	return 0;
}

static void a_restored_pc_reads_as_the_saved_one(void **state)
{
	static const uint16_t ports[] = {0x20,  0x21,  0xA0,  0xA1,  0x4D0, 0x4D1, 0x40,
					 0x41,  0x42,  0x42,  0x61,  0x92,  0x511, 0x511,
					 0x600, 0x602, 0x603, 0x605, 0xCFC, 0xCFD};
	struct pair *p = *state;

	make_rich(p->saved);
	statetest_same(device_state, p->saved, p->fresh);
	assert_true(pc_interrupts(p->fresh));
	assert_int_equal(there.interrupts, 1);
	assert_int_equal(in(p->fresh, 0xCF8, 4), 0x80003940);
	assert_int_equal(in(p->fresh, 0x608, 4), in(p->saved, 0x608, 4));
	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		uint32_t mask = ports[i] == 0x61 ? 0xEF : 0xFF; /* the refresh bit is the clock's */

		assert_int_equal(in(p->fresh, ports[i], 1) & mask,
				 in(p->saved, ports[i], 1) & mask);
	}
	assert_int_equal(pc_take_interrupt(p->fresh), 0x73);
	assert_int_equal(pc_take_interrupt(p->saved), 0x73);
}

static void timers_go_on_from_where_they_stood(void **state)
{
	struct pair *p = *state;
	uint32_t before;

	make_rich(p->saved);
	statetest_same(device_state, p->saved, p->fresh);
	before = in(p->fresh, 0x608, 4);
	assert_int_equal(timerq_next(&there.timers) - there.now_ns,
			 timerq_next(&here.timers) - here.now_ns);
	there.now_ns += TICK_NS - 3000000 - 1000;
	timerq_run(&there.timers, there.now_ns);
	assert_int_equal(there.rises, 0);
	assert_int_equal(in(p->fresh, 0x608, 4) - before, 25053);
	there.now_ns += 1000;
	timerq_run(&there.timers, there.now_ns);
	assert_int_equal(there.rises, 1);
	there.now_ns += TICK_NS;
	timerq_run(&there.timers, there.now_ns);
	assert_int_equal(there.rises, 2);
}

static void a_timer_that_sleeps_is_woken_by_who_hears_it(void **state)
{
	struct pair *p = *state;

	make_rich(p->saved);
	out(p->saved, 0x21, 1, 0xFF);
	here.now_ns += TICK_NS;
	timerq_run(&here.timers, here.now_ns);
	assert_true(timerq_next(&here.timers) == TIMERQ_NEVER);
	statetest_same(device_state, p->saved, p->fresh);
	assert_true(timerq_next(&there.timers) == TIMERQ_NEVER);
	there.pin_heard = true;
	pc_pin_changed(p->fresh);
	assert_true(timerq_next(&there.timers) - there.now_ns <= TICK_NS);
}

static void a_pc_that_was_just_made_comes_back(void **state)
{
	struct pair *p = *state;

	statetest_same(device_state, p->saved, p->fresh);
	assert_int_equal(there.interrupts, 0);
	assert_true(timerq_next(&there.timers) == TIMERQ_NEVER);
}

static void a_wrong_record_of_a_pc_changes_nothing(void **state)
{
	struct pair *p = *state;

	make_rich(p->saved);
	statetest_cut(device_state, p->saved, make, drop);
	statetest_more(device_state, p->saved, make, drop);
	assert_int_equal(there.interrupts, 0);
	assert_true(timerq_next(&there.timers) == TIMERQ_NEVER);
	statetest_flip(device_state, p->saved, make, drop, drive);
}

static void refuses(struct pc *pc, const char *field, size_t at, const char *bytes, size_t len,
		    const char *why)
{
	statetest_refuses(device_state, pc, make, drop, field, at, bytes, len, why);
}

static void parts_refuse_what_they_cannot_be(void **state)
{
	struct pc *pc = ((struct pair *)*state)->saved;

	make_rich(pc);
	refuses(pc, "pic0_vector", 0, "\x09", 1, "vectors of PIC 0");
	refuses(pc, "pic1_edge_level", 0, "\x01", 1, "level lines of PIC 1");
	refuses(pc, "pic0_step", 0, "\x01", 1, "waits for word 1");
	refuses(pc, "pic0_step", 0, "\x05", 1, "waits for word 5");
	refuses(pc, "pic1_requested", 0, "\x80", 1, "lines that are low");
	refuses(pc, "pic0_requested", 0, "\x00", 1, "do not agree");
	refuses(pc, "pci_address", 0, "\x41", 1, "PCI address");
	refuses(pc, "pci_config", 0, "\x00", 1, "register 0x0 of PCI function 0");
	refuses(pc, "pci_config", 3 * 256 + 0x40, "\x03", 1, "register 0x40 of PCI function 3");
	refuses(pc, "pm_control", 1, "\x34", 1, "power management");
	refuses(pc, "pm_control", 0, "\x01", 1, "power management");
}

static void the_timer_refuses_what_it_cannot_be(void **state)
{
	struct pc *pc = ((struct pair *)*state)->saved;

	make_rich(pc);
	refuses(pc, "pit0_mode", 0, "\x06", 1, "mode 6");
	refuses(pc, "pit1_access", 0, "\x00", 1, "the way 0");
	refuses(pc, "pit2_access", 0, "\x04", 1, "the way 4");
	refuses(pc, "pit2_load", 0, "\x01\x00\x01", 3, "counts from 65537");
	refuses(pc, "pit0_load", 0, "\x00\x00", 2, "without a count");
	refuses(pc, "pit0_mode", 0, "\x01", 1, "interrupts in the mode 1");
	refuses(pc, "pit_left_ns", 3, "\x01", 1, "later than it could");
	refuses(pc, "pit_left_ns", 0, "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8, "later than");
	refuses(pc, "pit_asleep", 0, "\x01", 1, "sleeps");
	refuses(pc, "pit_speaker", 0, "\x04", 1, "speaker");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_restored_pc_reads_as_the_saved_one),
		CASE(timers_go_on_from_where_they_stood),
		CASE(a_timer_that_sleeps_is_woken_by_who_hears_it),
		CASE(a_pc_that_was_just_made_comes_back),
		CASE(a_wrong_record_of_a_pc_changes_nothing),
		CASE(parts_refuse_what_they_cannot_be),
		CASE(the_timer_refuses_what_it_cannot_be),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
