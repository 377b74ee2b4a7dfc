/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The synthetic keyboard: plain packets on a VMBus channel. The guest asks for a version, the host
 * answers and then sends keystrokes.
 * Spec: the layouts are public in Linux drivers/input/serio/hyperv-keyboard.c and in
 * microsoft/openvmm (vm/devices/uidevices); all integers little endian.
 */
#ifndef OYA_ABI_KEYBOARD_H
#define OYA_ABI_KEYBOARD_H

#include "abi/guid.h"
#include "abi/packed.h"

#define KEYBOARD_TYPE GUID_INIT(0xf912ad6d, 0x2b17, 0x48ea, 0xbd65, 0xf927a61c7684)
#define KEYBOARD_INSTANCE GUID_INIT(0xd34b2567, 0xb9b6, 0x42b9, 0x8778, 0x0a4ec0b955bf)
#define KEYBOARD_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))

enum keyboard_message_type {
	KEYBOARD_REQUEST = 1,
	KEYBOARD_RESPONSE = 2,
	KEYBOARD_EVENT = 3,
	KEYBOARD_LEDS = 4, /* from the guest */
};

struct keyboard_request {
	uint32_t type;
	uint32_t version;
} OYA_PACKED;
OYA_SIZE(struct keyboard_request, 8);

#define KEYBOARD_ACCEPTED 1u

struct keyboard_response {
	uint32_t type;
	uint32_t status; /* KEYBOARD_ACCEPTED or 0 */
} OYA_PACKED;
OYA_SIZE(struct keyboard_response, 8);

#define KEYBOARD_UNICODE 1u /* the code is a character, not a key */
#define KEYBOARD_BREAK 2u   /* the key goes up */
#define KEYBOARD_E0 4u      /* a key of the extended set */
#define KEYBOARD_E1 8u

struct keyboard_event {
	uint32_t type;
	uint16_t code; /* scan code of set 1 */
	uint16_t reserved;
	uint32_t flags;
} OYA_PACKED;
OYA_SIZE(struct keyboard_event, 12);

#define KEYBOARD_LED_SCROLL 1u
#define KEYBOARD_LED_NUM 2u
#define KEYBOARD_LED_CAPS 4u

struct keyboard_leds {
	uint32_t type;
	uint16_t leds;
	uint16_t reserved;
} OYA_PACKED;
OYA_SIZE(struct keyboard_leds, 8);

#endif
