/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GUIDs between their text and the mixed-endian wire form. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/guid.h"

static const struct guid sample = GUID_INIT(0x01234567, 0x89ab, 0xcdef, 0xfedc, 0xba9876543210);
static const uint8_t sample_wire[16] = {0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd,
					0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
#define SAMPLE_TEXT "01234567-89ab-cdef-fedc-ba9876543210"

static void constant_has_the_wire_order(void **state)
{
	(void)state;
	assert_memory_equal(sample.b, sample_wire, 16);
}

static void format_writes_the_textual_groups(void **state)
{
	char text[GUID_TEXT_LEN];

	(void)state;
	guid_format(&sample, text);
	assert_string_equal(text, SAMPLE_TEXT);
}

static void parse_reads_lower_and_upper_case(void **state)
{
	struct guid g;

	(void)state;
	assert_int_equal(guid_parse(SAMPLE_TEXT, &g), 0);
	assert_true(guid_equal(&g, &sample));
	memset(&g, 0, sizeof(g));
	assert_int_equal(guid_parse("01234567-89AB-CDEF-FEDC-BA9876543210", &g), 0);
	assert_true(guid_equal(&g, &sample));
}

static void parse_refuses_all_but_the_exact_form(void **state)
{
	static const char *const wrong[] = {
		"",
		"0",
		"01234567",
		"01234567-",
		"{01234567-89ab-cdef-fedc-ba9876543210}",
		"01234567-89ab-cdef-fedc-ba987654321",
		"01234567-89ab-cdef-fedc-ba98765432100",
		"01234567-89ab-cdef-fedc-ba9876543210 ",
		"0123456789abcdeffedcba9876543210",
		"01234567-89ab-cdef-fedcba-9876543210",
		"01234567-89ab-cdef-fedc-ba987654321g",
		"0x234567-89ab-cdef-fedc-ba9876543210",
		" 1234567-89ab-cdef-fedc-ba9876543210",
		"01234567_89ab_cdef_fedc_ba9876543210",
	};
	struct guid g = sample;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(guid_parse(wrong[i], &g), -EINVAL);
		assert_true(guid_equal(&g, &sample));
	}
}

static void each_prefix_of_a_guid_is_refused_within_its_bytes(void **state)
{
	struct guid g;

	(void)state;
	for (size_t len = 0; len < GUID_TEXT_LEN - 1; len++) {
		char text[GUID_TEXT_LEN] = {0};

		memcpy(text, SAMPLE_TEXT, len);
		assert_int_equal(guid_parse(text, &g), -EINVAL);
	}
}

static void guids_differ_by_any_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < 16; i++) {
		struct guid other = sample;

		other.b[i] ^= 1;
		assert_false(guid_equal(&other, &sample));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constant_has_the_wire_order),
		cmocka_unit_test(format_writes_the_textual_groups),
		cmocka_unit_test(parse_reads_lower_and_upper_case),
		cmocka_unit_test(parse_refuses_all_but_the_exact_form),
		cmocka_unit_test(each_prefix_of_a_guid_is_refused_within_its_bytes),
		cmocka_unit_test(guids_differ_by_any_byte),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
