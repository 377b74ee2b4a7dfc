/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GUIDs in the mixed-endian wire form that VMBus and SMBIOS use.
 */
#ifndef OYA_ABI_GUID_H
#define OYA_ABI_GUID_H

#include <stdint.h>

struct guid {
	uint8_t b[16];
};

/* A GUID constant from its textual groups: aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee. */
#define GUID_INIT(a, b_, c, d, e)                  \
	{                                          \
		.b = {                             \
			(uint8_t)(a),              \
			(uint8_t)((a) >> 8),       \
			(uint8_t)((a) >> 16),      \
			(uint8_t)((a) >> 24),      \
			(uint8_t)(b_),             \
			(uint8_t)((b_) >> 8),      \
			(uint8_t)(c),              \
			(uint8_t)((c) >> 8),       \
			(uint8_t)((d) >> 8),       \
			(uint8_t)(d),              \
			(uint8_t)((e##ULL) >> 40), \
			(uint8_t)((e##ULL) >> 32), \
			(uint8_t)((e##ULL) >> 24), \
			(uint8_t)((e##ULL) >> 16), \
			(uint8_t)((e##ULL) >> 8),  \
			(uint8_t)(e##ULL),         \
		},                                 \
	}

#endif
