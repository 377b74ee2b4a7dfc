/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keyboard: its agreement on a version, the order and bounds of keystrokes, hostile guests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "devices/input/keyboard.h"
#include "tests/lib/statetest.h"
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

/* ---- saved states ---- */

/* The one whose record others read. */
static struct fixture *saved;

static void record(void *device, struct record *r)
{
	keyboard_record(((struct fixture *)device)->k, r);
}

static void *make(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->g = vmguest_new(UINT64_C(1) << 20, 0);
	assert_int_equal(keyboard_new(f->g->bus, &f->k), 0);
	return f;
}

static void drop(void *device)
{
	struct fixture *f = device;

	keyboard_free(f->k);
	vmguest_free(f->g);
	free(f);
}

static void go_on(struct fixture *to, const struct fixture *from)
{
	to->relid = from->relid;
	to->ch = from->ch;
	to->ch.guest = to->g;
	vmguest_go_on(to->g, from->g);
}

static void connect(struct fixture *f)
{
	static const struct guid type = KEYBOARD_TYPE;

	vmguest_connect(f->g);
	f->relid = vmguest_find_offer(f->g, &type, 0);
	assert_true(vmguest_open(f->g, f->relid, 3, &f->ch));
}

static unsigned take_all(struct fixture *f)
{
	unsigned count = 0;

	while (vmguest_receive(&f->ch, &f->packet)) {
		vmguest_kick(&f->ch);
		vmguest_run(f->g);
		count++;
	}
	return count;
}

static void drive(void *device)
{
	static const struct keystroke strokes[4] = {{0x1e, 0}};
	static unsigned turn;
	struct fixture *f = device;

	(void)keyboard_press(f->k, strokes, 4);
	if (turn++ % 2)
		go_on(f, saved);
	else
		connect(f);
	(void)keyboard_press(f->k, strokes, 4);
	take_all(f);
	vmguest_close(&f->ch);
	assert_int_equal(state_of(f).waiting, 0);
	assert_true(vmguest_open(f->g, f->relid, 3, &f->ch));
	assert_int_equal(ask(f, KEYBOARD_VERSION(1, 0)), KEYBOARD_ACCEPTED);
	assert_int_equal(keyboard_press(f->k, strokes, 4), 0);
	assert_int_equal(take_all(f), 4);
}

/* The ring is full, and `more` keystrokes wait; how many have gone before. */
static unsigned make_rich(struct fixture *f, unsigned more)
{
	struct keyboard_leds leds = {.type = KEYBOARD_LEDS, .leds = KEYBOARD_LED_CAPS};
	struct keystroke s = {.flags = KEYBOARD_E0};
	unsigned sent = 0;

	saved = f;
	ask(f, KEYBOARD_VERSION(1, 0));
	vmguest_send_inband(&f->ch, 0, &leds, sizeof(leds));
	vmguest_run(f->g);
	vmguest_receive(&f->ch, &f->packet); /* its completion */
	while (state_of(f).waiting < more) {
		s.code = (uint16_t)sent++;
		assert_int_equal(keyboard_press(f->k, &s, 1), 0);
	}
	return sent;
}

static void what_is_typed_goes_on_after_a_restore(void **state)
{
	struct fixture *f = *state, *to = make();
	unsigned sent = make_rich(f, 300);
	uint16_t code;
	uint32_t flags;

	for (unsigned i = 0; i < 200;
	     i++) { /* so that the queue does not begin at its first place */
		assert_true(take_event(f, &code, &flags));
		assert_int_equal(code, i);
		vmguest_kick(&f->ch);
		vmguest_run(f->g);
	}
	assert_in_range(state_of(f).waiting, 1, 299);
	statetest_same(record, f, to);
	go_on(to, f);
	assert_string_equal(state_of(to).label, "ready");
	assert_int_equal(state_of(to).leds, KEYBOARD_LED_CAPS);
	for (unsigned i = 200; i < sent; i++) {
		assert_true(take_event(to, &code, &flags));
		assert_int_equal(code, i);
		assert_int_equal(flags, KEYBOARD_E0);
		vmguest_kick(&to->ch);
		vmguest_run(to->g);
	}
	assert_false(take_event(to, &code, &flags));
	assert_int_equal(to->g->faults, 0);
	drop(to);
}

static void a_full_queue_comes_back(void **state)
{
	static const struct keystroke stroke = {0x1e, 0};
	struct fixture *f = *state, *to = make();

	make_rich(f, KEYBOARD_QUEUE);
	statetest_same(record, f, to);
	go_on(to, f);
	assert_int_equal(keyboard_press(to->k, &stroke, 1), -ENOSPC);
	assert_true(take_all(to) > KEYBOARD_QUEUE);
	assert_int_equal(keyboard_press(to->k, &stroke, 1), 0);
	drop(to);
}

/* Asks for a version while the ring is full. */
static void ask_in_vain(struct fixture *f, uint32_t version)
{
	struct keyboard_request request = {.type = KEYBOARD_REQUEST, .version = version};

	vmguest_send_inband(&f->ch, 7, &request, sizeof(request));
	vmguest_run(f->g);
	assert_string_equal(state_of(f).label, "opened");
}

static void an_answer_that_waits_for_room_comes_after_a_restore(void **state)
{
	static const struct keystroke stroke = {0x1e, 0};
	struct fixture *f = *state;

	for (unsigned n = 0; n < 2; n++) {
		struct fixture *to = make();

		make_rich(f, 8);
		ask_in_vain(f, KEYBOARD_VERSION(n ? 2 : 1, 0));
		statetest_same(record, f, to);
		go_on(to, f);
		take_all(to);
		assert_int_equal(le32_load(to->packet.payload), KEYBOARD_RESPONSE);
		assert_int_equal(le32_load(to->packet.payload + 4), n ? 0 : KEYBOARD_ACCEPTED);
		assert_int_equal(keyboard_press(to->k, &stroke, 1), n ? -ENOTCONN : 0);
		drop(to);
		take_all(f);
	}
}

static void a_closed_keyboard_comes_back(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f, 8);
	vmguest_close(&f->ch);
	statetest_same(record, f, to);
	go_on(to, f);
	assert_true(vmguest_open(to->g, to->relid, 3, &to->ch));
	assert_int_equal(ask(to, KEYBOARD_VERSION(1, 0)), KEYBOARD_ACCEPTED);
	assert_int_equal(to->g->faults, 0);
	drop(to);
}

static void a_record_that_is_wrong_changes_nothing(void **state)
{
	struct fixture *f = *state;

	make_rich(f, 8);
	statetest_cut(record, f, make, drop);
	statetest_more(record, f, make, drop);
	statetest_flip(record, f, make, drop, drive);
	ask_in_vain(f, KEYBOARD_VERSION(1, 0));
	statetest_cut(record, f, make, drop);
	statetest_flip(record, f, make, drop, drive);
}

static void refuses(const char *field, const char *bytes, size_t len, const char *why)
{
	statetest_refuses(record, saved, make, drop, field, 0, bytes, len, why);
}

static void a_record_that_cannot_be_is_refused(void **state)
{
	struct fixture *f = *state;

	make_rich(f, 8);
	refuses("phase", "\3", 1, "'phase' is 3");
	refuses("phase", "\1", 1, "phase 'opened'");
	refuses("phase", "\0", 1, "phase 'closed'");
	refuses("response_type", "\3", 1, "phase 'ready'");
	refuses("response_status", "\1", 1, "phase 'ready'");
	refuses("keystrokes", "\1\4", 2, "'keystrokes' is 1025");
	ask_in_vain(f, KEYBOARD_VERSION(1, 0));
	refuses("response_type", "\4", 1, "phase 'opened'");
	refuses("response_status", "\2", 1, "phase 'opened'");
	vmguest_close(&f->ch);
	refuses("leds", "\1", 1, "phase 'closed'");
}

static void an_open_channel_of_a_closed_keyboard_is_dead_until_it_is_closed(void **state)
{
	struct fixture *f = *state, *to = make();

	make_rich(f, 8);
	go_on(to, f); /* and no record is read */
	assert_int_equal(to->g->faults, 1);
	vmguest_close(&to->ch);
	assert_true(vmguest_open(to->g, to->relid, 3, &to->ch));
	assert_int_equal(ask(to, KEYBOARD_VERSION(1, 0)), KEYBOARD_ACCEPTED);
	drop(to);
}

static void a_keyboard_whose_channel_was_not_open_begins_anew(void **state)
{
	static const struct keystroke stroke = {0x1e, 0};
	struct fixture *f = *state, *to = make();

	make_rich(f, 8);
	statetest_same(record, f, to);
	assert_int_equal(keyboard_press(to->k, &stroke, 1), -ENOTCONN);
	connect(to);
	assert_int_equal(ask(to, KEYBOARD_VERSION(1, 0)), KEYBOARD_ACCEPTED);
	assert_false(vmguest_receive(&to->ch, &to->packet)); /* keys for another system */
	assert_int_equal(state_of(to).leds, 0);
	drop(to);
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
		CASE(what_is_typed_goes_on_after_a_restore),
		CASE(a_full_queue_comes_back),
		CASE(an_answer_that_waits_for_room_comes_after_a_restore),
		CASE(a_closed_keyboard_comes_back),
		CASE(a_record_that_is_wrong_changes_nothing),
		CASE(a_record_that_cannot_be_is_refused),
		CASE(an_open_channel_of_a_closed_keyboard_is_dead_until_it_is_closed),
		CASE(a_keyboard_whose_channel_was_not_open_begins_anew),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
