/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GUIDs in the mixed-endian wire form that VMBus and SMBIOS use. Freestanding.
 */
#ifndef OYA_BASE_GUID_H
#define OYA_BASE_GUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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

#define GUID_TEXT_LEN 37 /* with the closing NUL */

static inline bool guid_equal(const struct guid *a, const struct guid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Writes the 36 lower-case characters and a NUL to text. */
void guid_format(const struct guid *g, char text[GUID_TEXT_LEN]);

/* Reads exactly the textual form; 0, or -EINVAL with *ret_guid untouched. */
int guid_parse(const char *text, struct guid *ret_guid);

#endif
