/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GUIDs: comparison and text. Freestanding.
 */
#ifndef OYA_BASE_GUID_H
#define OYA_BASE_GUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "abi/guid.h"

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
