/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keyboard: its agreement on a version, the order and bounds of keystrokes, hostile guests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/input/keyboard.h"
#include "tests/lib/vmguest.h"

struct fixture {
	struct vmguest *g;
	struct keyboard *k;
	uint32_t relid;
	struct vmguest_channel ch;
	struct vmguest_packet packet;
};

static int setup(void **state)
{
	static const struct guid type = KEYBOARD_TYPE;
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	f.g = vmguest_new(UINT64_C(1) << 20, 0);
	assert_int_equal(keyboard_new(f.g->bus, &f.k), 0);
	vmguest_connect(f.g);
	f.relid = vmguest_find_offer(f.g, &type, 0);
	assert_int_not_equal(f.relid, 0);
	assert_true(vmguest_open(f.g, f.relid, 3, &f.ch));
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	keyboard_free(f->k);
	vmguest_free(f->g);
	return 0;
}

static struct keyboard_state state_of(const struct fixture *f)
{
	struct keyboard_state s;

	keyboard_state(f->k, &s);
	return s;
}

/* Asks for a version; the status of the answer. */
static uint32_t ask(struct fixture *f, uint32_t version)
{
	struct keyboard_request request = {.type = KEYBOARD_REQUEST, .version = version};
	bool completed = false;

	vmguest_send_inband(&f->ch, 7, &request, sizeof(request));
	vmguest_run(f->g);
	while (vmguest_receive(&f->ch, &f->packet)) {
		if (f->packet.type == VMBUS_PACKET_COMPLETION) {
			assert_int_equal(f->packet.transaction, 7);
			completed = true;
			continue;
		}
		assert_int_equal(f->packet.type, VMBUS_PACKET_INBAND);
		if (le32_load(f->packet.payload) != KEYBOARD_RESPONSE)
			continue;
		assert_true(completed);
		return le32_load(f->packet.payload + 4);
	}
	return UINT32_MAX;
}

static bool take_event(struct fixture *f, uint16_t *ret_code, uint32_t *ret_flags)
{
	if (!vmguest_receive(&f->ch, &f->packet))
		return false;
	assert_int_equal(f->packet.type, VMBUS_PACKET_INBAND);
	assert_int_equal(le32_load(f->packet.payload), KEYBOARD_EVENT);
	*ret_code = le16_load(f->packet.payload + 4);
	*ret_flags = le32_load(f->packet.payload + 8);
	return true;
}

static void version_1_0_is_accepted_and_no_other(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(state_of(f).label, "opened");
	assert_int_equal(ask(f, KEYBOARD_VERSION(2, 0)), 0);
	assert_string_equal(state_of(f).label, "opened");
	assert_int_equal(ask(f, KEYBOARD_VERSION(1, 0)), KEYBOARD_ACCEPTED);
	assert_string_equal(state_of(f).label, "ready");
	assert_int_equal(ask(f, 0), 0);
	assert_string_equal(state_of(f).label, "opened");
}

static void keystrokes_arrive_in_order(void **state)
{
	static const struct keystroke strokes[] = {
		{0x1d, 0}, {0x53, KEYBOARD_E0}, {0x53, KEYBOARD_E0 | KEYBOARD_BREAK}};
	struct fixture *f = *state;
	uint64_t signals = f->g->signals[f->relid];
	uint16_t code;
	uint32_t flags;

	ask(f, KEYBOARD_VERSION(1, 0));
	signals = f->g->signals[f->relid];
	assert_int_equal(keyboard_press(f->k, strokes, 3), 0);
	assert_int_equal(f->g->signals[f->relid], signals + 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(take_event(f, &code, &flags));
		assert_int_equal(code, strokes[i].code);
		assert_int_equal(flags, strokes[i].flags);
	}
	assert_false(take_event(f, &code, &flags));
	assert_int_equal(state_of(f).sent, 3);
}

static void nothing_is_pressed_before_a_version_is_agreed_on(void **state)
{
	static const struct keystroke stroke = {0x1e, 0};
	struct fixture *f = *state;

	assert_int_equal(keyboard_press(f->k, &stroke, 1), -ENOTCONN);
	vmguest_close(&f->ch);
	assert_int_equal(keyboard_press(f->k, &stroke, 1), -ENOTCONN);
	assert_string_equal(state_of(f).label, "closed");
}

static void a_guest_that_does_not_read_gets_a_bounded_number(void **state)
{
	struct fixture *f = *state;
	struct keystroke strokes[64] = {{0}};
	uint16_t code;
	uint32_t flags;
	unsigned pressed = 0, taken = 0;

	ask(f, KEYBOARD_VERSION(1, 0));
	for (;;) {
		for (unsigned i = 0; i < 64; i++)
			strokes[i].code = (uint16_t)(pressed + i);
		if (keyboard_press(f->k, strokes, 64) < 0)
			break;
		pressed += 64;
	}
	assert_int_equal(state_of(f).waiting + state_of(f).sent, pressed);
	assert_true(state_of(f).waiting > KEYBOARD_QUEUE - 64);
	while (take_event(f, &code, &flags)) {
		assert_int_equal(code, (uint16_t)taken++);
		if (taken % 16 == 0) {
			vmguest_kick(&f->ch);
			vmguest_run(f->g);
		}
	}
	assert_int_equal(taken, pressed);
}

static void closing_drops_what_waits(void **state)
{
	static const struct keystroke strokes[1000] = {{0}};
	struct fixture *f = *state;

	ask(f, KEYBOARD_VERSION(1, 0));
	assert_int_equal(keyboard_press(f->k, strokes, 1000), 0);
	assert_true(state_of(f).waiting > 0);
	vmguest_close(&f->ch);
	assert_int_equal(state_of(f).waiting, 0);
	assert_true(vmguest_open(f->g, f->relid, 3, &f->ch));
	assert_int_equal(ask(f, KEYBOARD_VERSION(1, 0)), KEYBOARD_ACCEPTED);
	assert_false(vmguest_receive(&f->ch, &f->packet));
}

static void lights_are_noted(void **state)
{
	struct keyboard_leds leds = {.type = KEYBOARD_LEDS, .leds = KEYBOARD_LED_CAPS};
	struct fixture *f = *state;

	vmguest_send_inband(&f->ch, 0, &leds, sizeof(leds));
	vmguest_run(f->g);
	assert_int_equal(state_of(f).leds, KEYBOARD_LED_CAPS);
}

static void strange_messages_fault_the_channel_until_it_is_opened_anew(void **state)
{
	static const uint32_t types[] = {0, KEYBOARD_RESPONSE, KEYBOARD_EVENT, 5, UINT32_MAX};
	struct fixture *f = *state;

	for (unsigned i = 0; i < 5; i++) {
		uint32_t message[2] = {types[i], 0};

		vmguest_send_inband(&f->ch, 0, message, sizeof(message));
		vmguest_run(f->g);
		assert_int_equal(f->g->faults, i + 1);
		vmguest_close(&f->ch);
		assert_true(vmguest_open(f->g, f->relid, 3, &f->ch));
		assert_int_equal(ask(f, KEYBOARD_VERSION(1, 0)), KEYBOARD_ACCEPTED);
	}
}

static void decoder_checks_each_length(void **state)
{
	static const uint8_t request[8] = {1, 0, 0, 0, 0, 0, 1, 0};
	static const uint8_t leds[6] = {4, 0, 0, 0, 7, 0};
	struct keyboard_message m;

	(void)state;
	for (size_t len = 0; len < sizeof(request); len++)
		assert_int_equal(keyboard_decode(request, len, &m), -EPROTO);
	assert_int_equal(keyboard_decode(request, sizeof(request), &m), 0);
	assert_int_equal(m.version, KEYBOARD_VERSION(1, 0));
	for (size_t len = 0; len < sizeof(leds); len++)
		assert_int_equal(keyboard_decode(leds, len, &m), -EPROTO);
	assert_int_equal(keyboard_decode(leds, sizeof(leds), &m), 0);
	assert_int_equal(m.leds, 7);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(version_1_0_is_accepted_and_no_other),
		CASE(keystrokes_arrive_in_order),
		CASE(nothing_is_pressed_before_a_version_is_agreed_on),
		CASE(a_guest_that_does_not_read_gets_a_bounded_number),
		CASE(closing_drops_what_waits),
		CASE(lights_are_noted),
		CASE(strange_messages_fault_the_channel_until_it_is_opened_anew),
		cmocka_unit_test(decoder_checks_each_length),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
