/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts of guests made harmless, sizes, tables. */
#include "cli/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static void clean(const char *text, const char *expected)
{
	char *got = format_clean(text);

	assert_string_equal(got, expected);
	free(got);
}

static void controls_are_escaped_and_signs_are_not(void **state)
{
	(void)state;
	clean("plain, caf\xc3\xa9, \xe8\xa6\xaa \xf0\x9f\x98\x80",
	      "plain, caf\xc3\xa9, \xe8\xa6\xaa \xf0\x9f\x98\x80");
	clean("\033[2Jgone\r\n\ttab\x7f", "\\x1b[2Jgone\\x0d\\x0a\\x09tab\\x7f");
	clean("a\\x1b", "a\\\\x1b");
	clean("\xc2\x9b"
	      "31m",
	      "\\u{9b}31m"); /* CSI as one character */
	clean("\xe2\x80\xae"
	      "txt",
	      "\\u{202e}txt");                                     /* writes from right to left */
	clean("\xe2\x80\x8b|\xef\xbb\xbf", "\\u{200b}|\\u{feff}"); /* cannot be seen */
	clean("\xf3\xa0\x80\x81", "\\u{e0001}");
}

static void what_is_no_utf8_is_escaped_byte_by_byte(void **state)
{
	(void)state;
	clean("\xff"
	      "a\xc3",
	      "\\xffa\\xc3");
	clean("\xc0\x80", "\\xc0\\x80"); /* longer than it need be */
	clean("\xe0\x80\x9b", "\\xe0\\x80\\x9b");
	clean("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* half of a pair */
	clean("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above the last */
	clean("\x9b", "\\x9b");
}

static void bytes(uint64_t n, const char *expected)
{
	char text[FORMAT_SIZE_MAX];

	format_bytes(n, text);
	assert_string_equal(text, expected);
}

static void sizes_have_the_unit_that_fits(void **state)
{
	(void)state;
	bytes(0, "0 B");
	bytes(1023, "1023 B");
	bytes(1024, "1 KiB");
	bytes(UINT64_C(512) << 20, "512 MiB");
	bytes(UINT64_C(1536) << 20, "1.5 GiB");
	bytes((UINT64_C(1) << 30) + 1, "1 GiB");
	bytes(UINT64_C(4) << 40, "4 TiB");
	bytes(UINT64_MAX, "15.9 EiB");
}

static void columns_are_aligned(void **state)
{
	static const char *const titles[] = {"NAME", ">CPUS", "STATE", NULL};
	struct table t;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	table_init(&t, titles);
	table_add(&t, "web");
	table_add_json(&t, NULL);
	table_add(&t, "running");
	table_add(&t, "a-long-name\n");
	table_add(&t, "16");
	table_add(&t, "caf\xc3\xa9");
	table_end(&t, f);
	fclose(f);
	assert_string_equal(text, "NAME             CPUS  STATE\n"
				  "web                 -  running\n"
				  "a-long-name\\x0a    16  caf\xc3\xa9\n");
	free(text);
}

static void a_table_without_rows_is_its_titles(void **state)
{
	static const char *const titles[] = {"NAME", ">CPUS", NULL};
	struct table t;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	table_init(&t, titles);
	table_end(&t, f);
	fclose(f);
	assert_string_equal(text, "NAME  CPUS\n");
	free(text);
}

static void values_of_json_become_cells(void **state)
{
	static const char *const titles[] = {"V", NULL};
	json_t *values = json_pack("[s, i, b, s, n]", "text", 42, 1, "");
	struct table t;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	table_init(&t, titles);
	for (size_t i = 0; i < json_array_size(values); i++)
		table_add_json(&t, json_array_get(values, i));
	table_end(&t, f);
	fclose(f);
	assert_string_equal(text, "V\ntext\n42\nyes\n-\n-\n");
	free(text);
	json_decref(values);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controls_are_escaped_and_signs_are_not),
		cmocka_unit_test(what_is_no_utf8_is_escaped_byte_by_byte),
		cmocka_unit_test(sizes_have_the_unit_that_fits),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(a_table_without_rows_is_its_titles),
		cmocka_unit_test(values_of_json_become_cells),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
