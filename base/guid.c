/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/guid.h"

#include <errno.h>
#include <stddef.h>

/* Position in the wire form of each byte of the textual form, left to right. */
static const uint8_t text_order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

static bool dash_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void guid_format(const struct guid *g, char text[GUID_TEXT_LEN])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < 16; i++) {
		uint8_t v = g->b[text_order[i]];

		if (dash_before(i))
			*text++ = '-';
		*text++ = digits[v >> 4];
		*text++ = digits[v & 15];
	}
	*text = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int guid_parse(const char *text, struct guid *ret_guid)
{
	struct guid g;

	for (size_t i = 0; i < 16; i++) {
		int high, low;

		if (dash_before(i) && *text++ != '-')
			return -EINVAL;
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return -EINVAL;
		g.b[text_order[i]] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text != '\0')
		return -EINVAL;
	*ret_guid = g;
	return 0;
}
