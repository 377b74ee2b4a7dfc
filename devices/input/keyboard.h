/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic keyboard: keys that a user of the host presses reach the guest as scan codes.
 *
 * Role: owned by the worker, whose control socket names keys and texts (keys.h makes codes of
 * them).
 *
 * Trust: the guest's packets are hostile; keyboard_decode() is pure and checks their length. What
 * no honest driver sends faults this channel only. What the guest tells of its lights is shown,
 * never acted on.
 *
 * Threads: all calls with the lock of the devices held.
 *
 * Invariants:
 *  1. keystrokes go out in the order in which they were pressed, and only after a version was
 *     agreed on;
 *  2. at most KEYBOARD_QUEUE wait for room in the ring; a press is taken whole or not at all;
 *  3. a channel that closes drops what waits: its keys were meant for that system.
 *
 * Spec: abi/keyboard.h.
 */
#ifndef OYA_DEVICES_INPUT_KEYBOARD_H
#define OYA_DEVICES_INPUT_KEYBOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/keyboard.h"
#include "base/record.h"
#include "devices/vmbus/vmbus.h"

#define KEYBOARD_QUEUE 1024u

struct keyboard;

struct keystroke {
	uint16_t code;
	uint16_t flags; /* KEYBOARD_BREAK, _E0, _E1 */
};

struct keyboard_message {
	enum keyboard_message_type type; /* KEYBOARD_REQUEST or KEYBOARD_LEDS */
	uint32_t version;
	uint16_t leds;
};

struct keyboard_state {
	const char *label;
	uint64_t sent; /* keystrokes since the channel was opened */
	unsigned waiting;
	uint16_t leds; /* KEYBOARD_LED_... that the guest wants lit */
};

/* 0, -ENOMEM or -ENOSPC. */
int keyboard_new(struct vmbus *bus, struct keyboard **ret_keyboard);
void keyboard_free(struct keyboard *k);

/* Sends keystrokes, all or none. 0; -ENOTCONN while the guest drives no keyboard; -ENOSPC when
 * too many wait. */
int keyboard_press(struct keyboard *k, const struct keystroke *strokes, unsigned count);

void keyboard_state(const struct keyboard *k, struct keyboard_state *ret_state);

/* What a guest sends. 0; -EPROTO for a length that does not fit; -ENOTSUP for a type that is not
 * a guest's. Pure. */
int keyboard_decode(const uint8_t *payload, size_t len, struct keyboard_message *ret_message);

/* In a saved state, with the keystrokes that wait for room in the ring; read into one whose channel
 * no guest has opened. */
void keyboard_record(struct keyboard *keyboard, struct record *r);

#endif
