/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts between UTF-16LE and UTF-8. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/ic/utf16.h"

static void texts_survive_both_ways(void **state)
{
	static const char text[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";
	static const uint8_t wide[] = {'a',  0,    0xE4, 0,   0xAC, 0x20, 0x3D,
				       0xD8, 0x00, 0xDE, 'z', 0,    0,    0};
	uint8_t buf[64];
	char back[64];

	(void)state;
	assert_int_equal(utf16_from_utf8(text, buf, sizeof(buf)), sizeof(wide));
	assert_memory_equal(buf, wide, sizeof(wide));
	assert_int_equal(utf8_from_utf16(wide, sizeof(wide), back, sizeof(back)), strlen(text));
	assert_string_equal(back, text);
}

static void broken_surrogates_become_replacements(void **state)
{
	static const uint8_t cases[][6] = {
		{0x00, 0xD8, 'x', 0, 0, 0},       /* high alone */
		{0x00, 0xDC, 'x', 0, 0, 0},       /* low alone */
		{0x00, 0xD8, 0x00, 0xD8, 'x', 0}, /* high twice */
	};
	char text[32];

	(void)state;
	assert_int_equal(utf8_from_utf16(cases[0], 6, text, sizeof(text)), 4);
	assert_string_equal(text, "\xEF\xBF\xBDx");
	utf8_from_utf16(cases[1], 6, text, sizeof(text));
	assert_string_equal(text, "\xEF\xBF\xBDx");
	utf8_from_utf16(cases[2], 6, text, sizeof(text));
	assert_string_equal(text, "\xEF\xBF\xBD\xEF\xBF\xBDx");
	utf8_from_utf16(cases[0], 2, text, sizeof(text)); /* cut in the middle of a pair */
	assert_string_equal(text, "\xEF\xBF\xBD");
	utf8_from_utf16(cases[0], 3, text, sizeof(text));
	assert_string_equal(text, "\xEF\xBF\xBD");
}

static void broken_utf8_becomes_replacements(void **state)
{
	static const char *const cases[] = {
		"\x80",             /* continuation alone */
		"\xC3",             /* cut */
		"\xE2\x82",         /* cut */
		"\xC0\x80",         /* too long a form */
		"\xED\xA0\x80",     /* surrogate */
		"\xF4\x90\x80\x80", /* past the last character */
		"\xFF",
	};
	uint8_t buf[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = utf16_from_utf8(cases[i], buf, sizeof(buf));

		assert_true(len >= 4 && len <= 6);
		assert_int_equal(buf[0] | buf[1] << 8, 0xFFFD);
	}
}

static void small_buffers_are_respected(void **state)
{
	static const uint8_t euro[] = {0xAC, 0x20, 0xAC, 0x20};
	uint8_t buf[6] = {9, 9, 9, 9, 9, 9};
	char text[7];

	(void)state;
	assert_int_equal(utf8_from_utf16(euro, 4, text, 6), -ENOSPC);
	assert_string_equal(text, "");
	assert_int_equal(utf8_from_utf16(euro, 4, text, 7), 6);
	assert_int_equal(utf8_from_utf16(euro, 4, text, 0), -ENOSPC);
	assert_int_equal(utf16_from_utf8("ab", buf, 1), 0);
	assert_int_equal(utf16_from_utf8("ab", buf, 4), 4);
	assert_memory_equal(buf, "a\0\0\0\x09", 5);
	assert_int_equal(utf16_from_utf8("\xF0\x9F\x98\x80", buf, 5), 2); /* no half pairs */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_survive_both_ways),
		cmocka_unit_test(broken_surrogates_become_replacements),
		cmocka_unit_test(broken_utf8_becomes_replacements),
		cmocka_unit_test(small_buffers_are_respected),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
