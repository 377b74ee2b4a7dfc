/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IOAPIC: registers, messages, and the handshake of level-triggered pins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/chipset/ioapic.h"
#include "tests/lib/statetest.h"

struct fixture {
	struct ioapic *ia;
	unsigned sent;
	uint64_t address;
	uint32_t data;
	unsigned changes;
	unsigned changed_pin;
};

static void on_msi(void *ctx, uint64_t address, uint32_t data)
{
	struct fixture *f = ctx;

	f->sent++;
	f->address = address;
	f->data = data;
}

static void on_route(void *ctx, unsigned pin)
{
	struct fixture *f = ctx;

	f->changes++;
	f->changed_pin = pin;
}

static const struct irq_ops irq_ops = {.msi = on_msi};

static int setup(void **state)
{
	static struct fixture f;
	struct ioapic_host host = {
		.irq = &irq_ops,
		.irq_ctx = &f,
		.route_changed = on_route,
		.ctx = &f,
	};

	memset(&f, 0, sizeof(f));
	assert_int_equal(ioapic_new(&host, &f.ia), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ioapic_free(f->ia);
	return 0;
}

static uint32_t get(struct fixture *f, uint8_t reg)
{
	ioapic_write(f->ia, 0x00, 4, reg);
	return (uint32_t)ioapic_read(f->ia, 0x10, 4);
}

static void put(struct fixture *f, uint8_t reg, uint32_t value)
{
	ioapic_write(f->ia, 0x00, 4, reg);
	ioapic_write(f->ia, 0x10, 4, value);
}

static void entry(struct fixture *f, unsigned pin, uint32_t high, uint32_t low)
{
	put(f, (uint8_t)(0x11 + 2 * pin), high);
	put(f, (uint8_t)(0x10 + 2 * pin), low);
}

static void registers_read_back(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, 0x01), 0x00170020);
	for (unsigned pin = 0; pin < 24; pin++)
		assert_int_equal(get(f, (uint8_t)(0x10 + 2 * pin)), 0x10000);
	put(f, 0x00, 0xFFFFFFFF);
	assert_int_equal(get(f, 0x00), 0x0F000000);
	entry(f, 23, 0xFFFFFFFF, 0xFFFFFFFF);
	assert_int_equal(get(f, 0x3E), 0x1AFFF); /* status bits are read-only */
	assert_int_equal(get(f, 0x3F), 0xFF000000);
	put(f, 0x40, 0xFFFFFFFF);
	assert_int_equal(get(f, 0x40), 0);
	assert_int_equal(get(f, 0xFF), 0);
	assert_int_equal(get(f, 0x05), 0);
}

static void edge_pin_sends_once_for_each_rise(void **state)
{
	struct fixture *f = *state;

	entry(f, 4, 0x03000000, 0x31);
	ioapic_set_irq(f->ia, 4, true);
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->address, 0xFEE03000);
	assert_int_equal(f->data, 0x4031);
	ioapic_set_irq(f->ia, 4, true);
	assert_int_equal(f->sent, 1);
	ioapic_set_irq(f->ia, 4, false);
	ioapic_set_irq(f->ia, 4, true);
	assert_int_equal(f->sent, 2);
}

static void message_carries_mode_destination_and_trigger(void **state)
{
	struct fixture *f = *state;
	uint64_t address;
	uint32_t data;

	entry(f, 0, 0xFF000000, 0x0955); /* logical, lowest priority */
	assert_true(ioapic_route(f->ia, 0, &address, &data));
	assert_int_equal(address, 0xFEEFF00C);
	assert_int_equal(data, 0x4155);
	entry(f, 0, 0x01000000, 0x8855); /* logical, fixed, level */
	assert_true(ioapic_route(f->ia, 0, &address, &data));
	assert_int_equal(address, 0xFEE01004);
	assert_int_equal(data, 0xC055);
	entry(f, 0, 0x01000000, 0x8400); /* NMI is an edge whatever the trigger bit */
	assert_true(ioapic_route(f->ia, 0, &address, &data));
	assert_int_equal(address, 0xFEE01000);
	assert_int_equal(data, 0x4400);
	entry(f, 0, 0, 0x0700);
	assert_true(ioapic_route(f->ia, 0, &address, &data));
	assert_int_equal(data, 0x4700);
}

static void pins_that_deliver_nothing_have_no_route(void **state)
{
	struct fixture *f = *state;
	uint64_t address;
	uint32_t data;

	assert_false(ioapic_route(f->ia, 0, &address, &data));
	entry(f, 0, 0, 0x0F); /* vector below 16 */
	assert_false(ioapic_route(f->ia, 0, &address, &data));
	entry(f, 0, 0, 0x0230); /* SMI */
	assert_false(ioapic_route(f->ia, 0, &address, &data));
	entry(f, 0, 0, 0x0330); /* reserved */
	assert_false(ioapic_route(f->ia, 0, &address, &data));
	assert_false(ioapic_route(f->ia, 24, &address, &data));
	ioapic_set_irq(f->ia, 24, true);
	ioapic_set_irq(f->ia, 0, true);
	assert_int_equal(f->sent, 0);
}

static void edge_on_a_masked_pin_is_lost(void **state)
{
	struct fixture *f = *state;

	entry(f, 4, 0, 0x10031);
	ioapic_set_irq(f->ia, 4, true);
	entry(f, 4, 0, 0x31);
	assert_int_equal(f->sent, 0);
}

static void level_pin_waits_for_the_end_of_interrupt(void **state)
{
	struct fixture *f = *state;

	entry(f, 9, 0, 0x8040);
	ioapic_set_irq(f->ia, 9, true);
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->data, 0xC040);
	assert_int_equal(get(f, 0x22), 0xC040); /* remote IRR */
	ioapic_set_irq(f->ia, 9, false);
	ioapic_set_irq(f->ia, 9, true);
	assert_int_equal(f->sent, 1);
	ioapic_eoi(f->ia, 0x41);
	assert_int_equal(f->sent, 1);
	ioapic_eoi(f->ia, 0x40);
	assert_int_equal(f->sent, 2); /* still asserted */
	ioapic_set_irq(f->ia, 9, false);
	ioapic_write(f->ia, 0x40, 4, 0x40); /* the EOI register does the same */
	assert_int_equal(f->sent, 2);
	assert_int_equal(get(f, 0x22), 0x8040);
}

static void level_pin_asserted_while_masked_fires_when_unmasked(void **state)
{
	struct fixture *f = *state;

	entry(f, 9, 0, 0x18040);
	ioapic_set_irq(f->ia, 9, true);
	assert_int_equal(f->sent, 0);
	entry(f, 9, 0, 0x8040);
	assert_int_equal(f->sent, 1);
	entry(f, 9, 0, 0x18040);
	ioapic_eoi(f->ia, 0x40);
	assert_int_equal(f->sent, 1);
	assert_int_equal(get(f, 0x22), 0x18040);
}

static void turn_to_edge_mode_ends_an_interrupt(void **state)
{
	struct fixture *f = *state;

	entry(f, 9, 0, 0x8040);
	ioapic_set_irq(f->ia, 9, true);
	entry(f, 9, 0, 0x10040);
	assert_int_equal(get(f, 0x22), 0x10040);
	entry(f, 9, 0, 0x8040);
	assert_int_equal(f->sent, 2);
}

static void route_changes_are_told_once(void **state)
{
	struct fixture *f = *state;

	put(f, 0x10 + 2 * 7, 0x31);
	assert_int_equal(f->changes, 1);
	assert_int_equal(f->changed_pin, 7);
	put(f, 0x10 + 2 * 7, 0x31);
	assert_int_equal(f->changes, 1);
	ioapic_reset(f->ia);
	assert_int_equal(f->changes, 25);
	assert_int_equal(get(f, 0x10 + 2 * 7), 0x10000);
}

static void odd_accesses_do_nothing(void **state)
{
	struct fixture *f = *state;

	ioapic_write(f->ia, 0x00, 1, 0x01);
	assert_int_equal(ioapic_read(f->ia, 0x10, 1), 0x20);
	assert_int_equal(ioapic_read(f->ia, 0x10, 2), 0x0020);
	assert_int_equal(ioapic_read(f->ia, 0x10, 8), 0x00170020);
	assert_int_equal(ioapic_read(f->ia, 0x11, 4), 0);
	ioapic_write(f->ia, 0x00, 4, 0x10);
	ioapic_write(f->ia, 0x10, 2, 0x31);
	ioapic_write(f->ia, 0x12, 4, 0x31);
	ioapic_write(f->ia, 0xFFC, 4, 0x31);
	assert_int_equal(get(f, 0x10), 0x10000);
}

/* ---- saved state ---- */

static void device_state(void *device, struct record *r)
{
	ioapic_state(device, r);
}

static void *make(void)
{
	static const struct ioapic_host silent = {.irq = &irq_ops};
	static struct fixture ignored;
	struct ioapic_host host = silent;
	struct ioapic *ia;

	host.irq_ctx = &ignored;
	return ioapic_new(&host, &ia) == 0 ? ia : NULL;
}

static void drop(void *device)
{
	ioapic_free(device);
}

static void drive(void *device)
{
	struct ioapic *ia = device;

	ioapic_read(ia, 0x10, 4);
	ioapic_write(ia, 0x10, 4, 0x8031);
	for (unsigned pin = 0; pin < 24; pin++) {
		ioapic_set_irq(ia, pin, pin & 1);
		ioapic_set_irq(ia, pin, !(pin & 1));
	}
	for (unsigned vector = 0; vector < 256; vector++)
		ioapic_eoi(ia, (uint8_t)vector);
	for (unsigned reg = 0; reg < 256; reg++) {
		ioapic_write(ia, 0, 4, reg);
		ioapic_write(ia, 0x10, 4, ioapic_read(ia, 0x10, 4) ^ 0x10000);
	}
}

/* Pin 3 waits for an end of interrupt and is still asserted, pin 4 is an edge that is high, pin 5
 * is asserted and masked. */
static void make_rich(struct fixture *f)
{
	put(f, 0x00, 0x05000000);
	put(f, 0x17, 0x02000000);
	put(f, 0x16, 0x8033);
	ioapic_set_irq(f->ia, 3, true);
	put(f, 0x18, 0x34);
	ioapic_set_irq(f->ia, 4, true);
	put(f, 0x1A, 0x18035);
	ioapic_set_irq(f->ia, 5, true);
	put(f, 0x3E, 0x0700);
	ioapic_write(f->ia, 0x00, 4, 0x1A);
}

static void a_restored_ioapic_goes_on_as_the_saved_one(void **state)
{
	struct fixture *f = *state;
	struct ioapic *saved = f->ia;
	struct ioapic_host host = {
		.irq = &irq_ops, .irq_ctx = f, .route_changed = on_route, .ctx = f};

	make_rich(f);
	assert_int_equal(ioapic_new(&host, &f->ia), 0);
	f->sent = f->changes = 0;
	statetest_same(device_state, saved, f->ia);
	ioapic_free(saved);
	assert_int_equal(f->changes, 24);
	assert_int_equal(f->sent, 0);
	assert_int_equal(ioapic_read(f->ia, 0x10, 4), 0x18035);
	ioapic_set_irq(f->ia, 3, true);
	ioapic_set_irq(f->ia, 4, true); /* no edge */
	assert_int_equal(f->sent, 0);
	ioapic_eoi(f->ia, 0x33);
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->data & 0xFF, 0x33);
	put(f, 0x1A, 0x8035);
	assert_int_equal(f->sent, 2);
}

static void a_wrong_record_of_an_ioapic_is_refused(void **state)
{
	struct fixture *f = *state;

	make_rich(f);
	statetest_cut(device_state, f->ia, make, drop);
	statetest_more(device_state, f->ia, make, drop);
	statetest_flip(device_state, f->ia, make, drop, drive);
	statetest_refuses(device_state, f->ia, make, drop, "id", 3, "\x10", 1, "id is");
	statetest_refuses(device_state, f->ia, make, drop, "lines", 3, "\x01", 1, "no such pins");
	statetest_refuses(device_state, f->ia, make, drop, "entries", 3 * 8 + 1, "\xD0", 1, "bits");
	statetest_refuses(device_state, f->ia, make, drop, "entries", 3 * 8 + 1, "\x40", 1,
			  "is an edge");
	statetest_refuses(device_state, f->ia, make, drop, "entries", 3 * 8 + 1, "\x80", 1,
			  "has sent nothing");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(registers_read_back),
		CASE(edge_pin_sends_once_for_each_rise),
		CASE(message_carries_mode_destination_and_trigger),
		CASE(pins_that_deliver_nothing_have_no_route),
		CASE(edge_on_a_masked_pin_is_lost),
		CASE(level_pin_waits_for_the_end_of_interrupt),
		CASE(level_pin_asserted_while_masked_fires_when_unmasked),
		CASE(turn_to_edge_mode_ends_an_interrupt),
		CASE(route_changes_are_told_once),
		CASE(odd_accesses_do_nothing),
		CASE(a_restored_ioapic_goes_on_as_the_saved_one),
		CASE(a_wrong_record_of_an_ioapic_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
