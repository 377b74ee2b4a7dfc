/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The UART: what drivers probe for, its FIFO, and the edges of its interrupt line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/chipset/serial.h"
#include "tests/lib/statetest.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct fixture {
	struct serial *s;
	uint8_t out[256];
	size_t out_len;
	bool line;
	unsigned rises;
	unsigned rooms;
	const uint8_t *more; /* given from within input_room */
	size_t more_len;
};

static void on_output(void *ctx, const uint8_t *bytes, size_t n)
{
	struct fixture *f = ctx;

	assert_true(f->out_len + n <= sizeof(f->out));
	memcpy(f->out + f->out_len, bytes, n);
	f->out_len += n;
}

static void on_irq(void *ctx, bool level)
{
	struct fixture *f = ctx;

	assert_true(f->line != level); /* changes only */
	f->line = level;
	f->rises += level;
}

static void on_room(void *ctx)
{
	struct fixture *f = ctx;
	size_t taken;

	f->rooms++;
	if (!f->more_len)
		return;
	taken = serial_input(f->s, f->more, f->more_len);
	f->more += taken;
	f->more_len -= taken;
}

static const struct serial_host host = {
	.output = on_output,
	.irq = on_irq,
	.input_room = on_room,
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	assert_int_equal(serial_new(&host, &f, &f.s), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	serial_free(f->s);
	return 0;
}

static void bytes_go_out_in_order(void **state)
{
	struct fixture *f = *state;

	for (const char *p = "oya\n"; *p; p++) {
		assert_int_equal(serial_read(f->s, LSR), 0x60);
		serial_write(f->s, DATA, (uint8_t)*p);
	}
	assert_int_equal(f->out_len, 4);
	assert_memory_equal(f->out, "oya\n", 4);
	assert_int_equal(f->rises, 0);
}

static void probe_finds_a_16550a(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, IER, 0);
	assert_int_equal(serial_read(f->s, IER), 0);
	serial_write(f->s, IER, 0xFF);
	assert_int_equal(serial_read(f->s, IER), 0x0F);
	serial_write(f->s, IER, 0);
	serial_write(f->s, SCR, 0xA5);
	assert_int_equal(serial_read(f->s, SCR), 0xA5);
	serial_write(f->s, MCR, 0x1A);
	assert_int_equal(serial_read(f->s, MSR) & 0xF0, 0x90);
	serial_write(f->s, MCR, 0);
	serial_write(f->s, IIR, 0x01);
	assert_int_equal(serial_read(f->s, IIR) >> 6, 3);
	serial_write(f->s, LCR, 0xBF); /* an enhanced register set would read 0 here */
	assert_int_not_equal(serial_read(f->s, IIR), 0);
	serial_write(f->s, LCR, 0);
	serial_write(f->s, IIR, 0);
	assert_int_equal(serial_read(f->s, IIR), 0x01);
}

static void loopback_measures_a_fifo_of_16_bytes(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	serial_write(f->s, IIR, 0x07);
	serial_write(f->s, MCR, 0x10);
	for (unsigned i = 0; i < 256; i++)
		serial_write(f->s, DATA, (uint8_t)i);
	assert_int_equal(serial_read(f->s, LSR), 0x63); /* data, overrun */
	while (serial_read(f->s, LSR) & 1)
		assert_int_equal(serial_read(f->s, DATA), n++);
	assert_int_equal(n, 16);
	assert_int_equal(f->out_len, 0);
}

static void enabling_the_transmit_interrupt_raises_it_each_time(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i <= 2; i++) {
		serial_write(f->s, IER, 0x02);
		assert_true(f->line);
		assert_int_equal(f->rises, i);
		assert_int_equal(serial_read(f->s, IIR), 0x02);
		assert_false(f->line);
		assert_int_equal(serial_read(f->s, IIR), 0x01);
		serial_write(f->s, IER, 0);
	}
}

static void transmit_interrupt_comes_again_after_a_burst(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, IIR, 0x01);
	serial_write(f->s, IER, 0x02);
	assert_int_equal(serial_read(f->s, IIR), 0xC2);
	for (unsigned i = 0; i < 16; i++)
		serial_write(f->s, DATA, 'x');
	assert_true(f->line);
	assert_int_equal(f->rises, 2); /* one edge for the burst */
	assert_int_equal(serial_read(f->s, IIR), 0xC2);
	assert_false(f->line);
}

static void each_byte_makes_an_edge_without_fifos(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, IER, 0x02);
	serial_write(f->s, DATA, 'x');
	serial_write(f->s, DATA, 'y');
	assert_int_equal(f->rises, 3);
}

static void divisor_hides_data_and_enable_registers(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, LCR, 0x83);
	serial_write(f->s, DATA, 0x01);
	serial_write(f->s, IER, 0x02);
	assert_int_equal(serial_read(f->s, DATA), 0x01);
	assert_int_equal(serial_read(f->s, IER), 0x02);
	serial_write(f->s, LCR, 0x03);
	assert_int_equal(serial_read(f->s, IER), 0);
	assert_int_equal(f->out_len, 0);
}

static void input_is_bounded_and_room_is_told_once_all_is_read(void **state)
{
	static const uint8_t text[20] = "0123456789abcdefghi";
	struct fixture *f = *state;
	size_t taken;

	serial_write(f->s, IIR, 0x01);
	taken = serial_input(f->s, text, sizeof(text));
	assert_int_equal(taken, 16);
	f->more = text + taken;
	f->more_len = sizeof(text) - taken;
	for (unsigned i = 0; i < sizeof(text); i++) {
		assert_int_equal(f->rooms, i < 16 ? 0 : 1);
		assert_int_equal(serial_read(f->s, DATA), text[i]);
	}
	assert_int_equal(f->rooms, 1);
	assert_int_equal(serial_read(f->s, LSR), 0x60);
}

static void input_without_fifos_is_one_byte_at_a_time(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(serial_input(f->s, (const uint8_t *)"ab", 2), 1);
	assert_int_equal(serial_read(f->s, DATA), 'a');
	assert_int_equal(f->rooms, 1);
}

static void input_is_refused_in_loopback(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, MCR, 0x10);
	assert_int_equal(serial_input(f->s, (const uint8_t *)"a", 1), 0);
	assert_int_equal(f->rooms, 0);
	serial_write(f->s, MCR, 0);
	assert_int_equal(f->rooms, 1);
}

static void receive_interrupt_tells_trigger_level_from_timeout(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, IIR, 0x41); /* trigger at 4 */
	serial_write(f->s, IER, 0x01);
	serial_input(f->s, (const uint8_t *)"abc", 3);
	assert_true(f->line);
	assert_int_equal(serial_read(f->s, IIR), 0xCC);
	serial_input(f->s, (const uint8_t *)"d", 1);
	assert_int_equal(serial_read(f->s, IIR), 0xC4);
	assert_int_equal(f->rises, 2); /* a new edge for the new cause */
	for (unsigned i = 0; i < 4; i++)
		serial_read(f->s, DATA);
	assert_false(f->line);
	assert_int_equal(serial_read(f->s, IIR), 0xC1);
}

static void causes_come_by_priority_each_with_an_edge(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, IIR, 0x01);
	serial_write(f->s, MCR, 0x10); /* modem lines fall: a change */
	for (unsigned i = 0; i < 17; i++)
		serial_write(f->s, DATA, 'z');
	serial_write(f->s, IER, 0x0F);
	assert_int_equal(serial_read(f->s, IIR), 0xC6);
	serial_read(f->s, LSR);
	assert_int_equal(serial_read(f->s, IIR), 0xC4);
	for (unsigned i = 0; i < 16; i++)
		serial_read(f->s, DATA);
	assert_int_equal(serial_read(f->s, IIR), 0xC2);
	assert_int_equal(serial_read(f->s, IIR), 0xC0);
	assert_int_equal(serial_read(f->s, MSR), 0x0B);
	assert_int_equal(serial_read(f->s, IIR), 0xC1);
	assert_false(f->line);
	assert_int_equal(f->rises, 4);
}

static void reset_lowers_the_line(void **state)
{
	struct fixture *f = *state;

	serial_write(f->s, IER, 0x02);
	assert_true(f->line);
	serial_reset(f->s);
	assert_false(f->line);
	assert_int_equal(serial_read(f->s, IER), 0);
}

/* ---- saved state ---- */

static struct fixture ignored;

static void device_state(void *device, struct record *r)
{
	serial_state(device, r);
}

static void *make(void)
{
	struct serial *s;

	memset(&ignored, 0, sizeof(ignored));
	return serial_new(&host, &ignored, &s) == 0 ? s : NULL;
}

static void drop(void *device)
{
	serial_free(device);
}

static void drive(void *device)
{
	struct serial *s = device;

	for (unsigned i = 0; i < 20; i++)
		serial_read(s, DATA);
	serial_input(s, (const uint8_t *)"0123456789abcdefgh", 18);
	for (unsigned reg = 0; reg < 8; reg++)
		serial_read(s, reg);
	serial_write(s, LCR, 0);
	for (unsigned i = 0; i < 20; i++)
		serial_write(s, DATA, 'x');
	serial_write(s, MCR, 0x10);
	serial_write(s, DATA, 'y');
	serial_write(s, IIR, 0xC7);
	serial_write(s, IER, 0x0F);
	serial_reset(s);
}

/* Input in a FIFO that has turned, an overrun, a modem line that has changed. */
static void make_rich(struct fixture *f)
{
	serial_write(f->s, LCR, 0x83);
	serial_write(f->s, DATA, 3);
	serial_write(f->s, IER, 1);
	serial_write(f->s, LCR, 0x03);
	serial_write(f->s, IIR, 0x81);
	serial_input(f->s, (const uint8_t *)"0123456789", 10);
	for (unsigned i = 0; i < 9; i++)
		serial_read(f->s, DATA);
	serial_input(f->s, (const uint8_t *)"abcdefghijklmnopq", 17);
	serial_write(f->s, MCR, 0x1B);
	serial_write(f->s, DATA, 'l');
	serial_write(f->s, MCR, 0x03);
	serial_write(f->s, SCR, 0x77);
	serial_write(f->s, IER, 0x07);
}

static void a_restored_port_goes_on_as_the_saved_one(void **state)
{
	struct fixture *f = *state;
	struct serial *saved = f->s;
	struct fixture fresh = {0};

	make_rich(f);
	assert_int_equal(serial_new(&host, &fresh, &fresh.s), 0);
	statetest_same(device_state, saved, fresh.s);
	serial_free(saved);
	f->s = fresh.s;
	assert_true(fresh.line);
	assert_int_equal(serial_read(f->s, IIR), 0xC6);
	assert_int_equal(serial_read(f->s, LSR), 0x63);
	assert_int_equal(serial_read(f->s, IIR), 0xC4);
	assert_int_equal(serial_read(f->s, SCR), 0x77);
	assert_int_equal(serial_read(f->s, MSR) & 0xF0, 0xB0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(serial_read(f->s, DATA), "9abcdefghijklmno"[i]);
	assert_int_equal(serial_read(f->s, IIR), 0xC2);
	assert_false(fresh.line);
	assert_int_equal(fresh.rooms, 0); /* who waited was the other host's console */
	assert_int_equal(fresh.out_len, 0);
}

static void a_restored_port_tells_of_room_that_its_host_waits_for(void **state)
{
	struct fixture *f = *state;
	struct serial *fresh = make();
	uint8_t bytes[512];
	size_t len = statetest_write(device_state, f->s, bytes, sizeof(bytes));

	ignored.s = fresh;
	ignored.more = (const uint8_t *)"b";
	ignored.more_len = 1;
	assert_int_equal(serial_input(fresh, (const uint8_t *)"ab", 2), 1);
	assert_int_equal(statetest_read(device_state, fresh, bytes, len - 1, NULL), -EBADMSG);
	assert_int_equal(ignored.rooms, 0);
	assert_int_equal(statetest_read(device_state, fresh, bytes, len, NULL), 0);
	assert_int_equal(ignored.rooms, 1);
	assert_int_equal(serial_read(fresh, DATA), 'b');
	serial_free(fresh);
}

static void a_wrong_record_of_a_port_is_refused(void **state)
{
	struct fixture *f = *state;

	make_rich(f);
	statetest_cut(device_state, f->s, make, drop);
	statetest_more(device_state, f->s, make, drop);
	statetest_flip(device_state, f->s, make, drop, drive);
	statetest_refuses(device_state, f->s, make, drop, "ier", 0, "\x10", 1, "enable");
	statetest_refuses(device_state, f->s, make, drop, "fcr", 0, "\x80", 1, "FIFO control");
	statetest_refuses(device_state, f->s, make, drop, "fcr", 0, "\x00", 1,
			  "more than the FIFO");
	statetest_refuses(device_state, f->s, make, drop, "mcr", 0, "\x23", 1, "modem control");
	statetest_refuses(device_state, f->s, make, drop, "msr", 0, "\x00", 1, "modem lines");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bytes_go_out_in_order),
		CASE(probe_finds_a_16550a),
		CASE(loopback_measures_a_fifo_of_16_bytes),
		CASE(enabling_the_transmit_interrupt_raises_it_each_time),
		CASE(transmit_interrupt_comes_again_after_a_burst),
		CASE(each_byte_makes_an_edge_without_fifos),
		CASE(divisor_hides_data_and_enable_registers),
		CASE(input_is_bounded_and_room_is_told_once_all_is_read),
		CASE(input_without_fifos_is_one_byte_at_a_time),
		CASE(input_is_refused_in_loopback),
		CASE(receive_interrupt_tells_trigger_level_from_timeout),
		CASE(causes_come_by_priority_each_with_an_edge),
		CASE(reset_lowers_the_line),
		CASE(a_restored_port_goes_on_as_the_saved_one),
		CASE(a_restored_port_tells_of_room_that_its_host_waits_for),
		CASE(a_wrong_record_of_a_port_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
