/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Role, trust: see keys.h. Spec: scan codes of set 1, as those of the PC/XT keyboard. */
#include "devices/input/keys.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/util.h"

#define SHIFT 0x2au

struct row {
	uint16_t first; /* code of the first character; the others follow */
	const char *plain, *shifted;
};

static const struct row rows[] = {
	{0x02, "1234567890-=", "!@#$%^&*()_+"},
	{0x10, "qwertyuiop[]", "QWERTYUIOP{}"},
	{0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
	{0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
	{0x39, " ", " "},
	{0x0f, "\t", "\t"},
	{0x1c, "\n", "\n"},
};

static const struct {
	const char *name;
	struct keystroke key;
} names[] = {
	{"esc", {0x01, 0}},
	{"backspace", {0x0e, 0}},
	{"tab", {0x0f, 0}},
	{"enter", {0x1c, 0}},
	{"ctrl", {0x1d, 0}},
	{"shift", {SHIFT, 0}},
	{"alt", {0x38, 0}},
	{"space", {0x39, 0}},
	{"minus", {0x0c, 0}},
	{"caps", {0x3a, 0}},
	{"f1", {0x3b, 0}},
	{"f2", {0x3c, 0}},
	{"f3", {0x3d, 0}},
	{"f4", {0x3e, 0}},
	{"f5", {0x3f, 0}},
	{"f6", {0x40, 0}},
	{"f7", {0x41, 0}},
	{"f8", {0x42, 0}},
	{"f9", {0x43, 0}},
	{"f10", {0x44, 0}},
	{"num", {0x45, 0}},
	{"scroll", {0x46, 0}},
	{"f11", {0x57, 0}},
	{"f12", {0x58, 0}},
	{"altgr", {0x38, KEYBOARD_E0}},
	{"print", {0x37, KEYBOARD_E0}},
	{"home", {0x47, KEYBOARD_E0}},
	{"up", {0x48, KEYBOARD_E0}},
	{"pageup", {0x49, KEYBOARD_E0}},
	{"left", {0x4b, KEYBOARD_E0}},
	{"right", {0x4d, KEYBOARD_E0}},
	{"end", {0x4f, KEYBOARD_E0}},
	{"down", {0x50, KEYBOARD_E0}},
	{"pagedown", {0x51, KEYBOARD_E0}},
	{"insert", {0x52, KEYBOARD_E0}},
	{"del", {0x53, KEYBOARD_E0}},
	{"super", {0x5b, KEYBOARD_E0}},
	{"menu", {0x5d, KEYBOARD_E0}},
};

static bool find_char(char c, uint16_t *ret_code, bool *ret_shift)
{
	for (size_t i = 0; c && i < ARRAY_LEN(rows); i++) {
		const char *at = strchr(rows[i].plain, c);

		*ret_shift = !at;
		if (!at)
			at = strchr(rows[i].shifted, c);
		if (!at)
			continue;
		*ret_code = (uint16_t)(rows[i].first +
				       (at - (*ret_shift ? rows[i].shifted : rows[i].plain)));
		return true;
	}
	return false;
}

int keys_from_text(const char *text, struct keystroke *strokes, unsigned *ret_count,
		   unsigned *ret_at)
{
	size_t len = strnlen(text, KEYS_TEXT_MAX + 1);
	unsigned count = 0;

	if (len > KEYS_TEXT_MAX)
		return -E2BIG;
	if (!len)
		return -EINVAL;
	for (unsigned i = 0; i < len; i++) {
		uint16_t code;
		bool shift;

		if (!find_char(text[i], &code, &shift)) {
			*ret_at = i;
			return -EILSEQ;
		}
		if (shift)
			strokes[count++] = (struct keystroke){SHIFT, 0};
		strokes[count++] = (struct keystroke){code, 0};
		strokes[count++] = (struct keystroke){code, KEYBOARD_BREAK};
		if (shift)
			strokes[count++] = (struct keystroke){SHIFT, KEYBOARD_BREAK};
	}
	*ret_count = count;
	return 0;
}

/* One key of a chord: a name, or a character that needs no shift. */
static int find_name(const char *name, size_t len, struct keystroke *ret_key)
{
	uint16_t code;
	bool shift;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strlen(names[i].name) == len && memcmp(names[i].name, name, len) == 0) {
			*ret_key = names[i].key;
			return 0;
		}
	}
	if (len != 1 || !find_char(*name, &code, &shift) || shift)
		return -ENOENT;
	*ret_key = (struct keystroke){code, 0};
	return 0;
}

int keys_from_chord(const char *chord, struct keystroke *strokes, unsigned *ret_count)
{
	unsigned count = 0;

	for (;;) {
		size_t len = strcspn(chord, "-");

		if (count == KEYS_CHORD_MAX)
			return -E2BIG;
		if (find_name(chord, len, &strokes[count]) < 0)
			return -ENOENT;
		count++;
		chord += len;
		if (!*chord)
			break;
		chord++;
	}
	for (unsigned i = 0; i < count; i++) {
		strokes[count + i] = strokes[count - 1 - i];
		strokes[count + i].flags |= KEYBOARD_BREAK;
	}
	*ret_count = 2 * count;
	return 0;
}
