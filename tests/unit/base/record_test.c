/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields of a saved state: there and back, and everything that a hostile record may hold. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "abi/state.h"
#include "base/record.h"

#define ROOM 512u

struct all {
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	bool yes, no;
	unsigned index;
	uint8_t bytes[5];
	uint8_t some[8];
	size_t some_len;
	uint32_t u32s[3];
	uint64_t u64s[2];
	uint8_t newer;
};

static const struct all filled = {
	.u8 = 0x12,
	.u16 = 0x3456,
	.u32 = 0x789ABCDE,
	.u64 = UINT64_C(0xFEDCBA9876543210),
	.yes = true,
	.index = 9,
	.bytes = {1, 2, 3, 4, 5},
	.some = {6, 7, 8},
	.some_len = 3,
	.u32s = {1, UINT32_MAX, 3},
	.u64s = {UINT64_MAX, 5},
	.newer = 0x77,
};

static void fields(struct record *r, struct all *a)
{
	record_u8(r, "u8", &a->u8);
	record_u16(r, "u16", &a->u16);
	record_u32(r, "u32", &a->u32);
	record_u64(r, "u64", &a->u64);
	record_bool(r, "yes", &a->yes);
	record_bool(r, "no", &a->no);
	record_limited(r, "index", &a->index, 9);
	record_bytes(r, "bytes", a->bytes, sizeof(a->bytes));
	record_some_bytes(r, "some", a->some, &a->some_len, sizeof(a->some));
	record_u32s(r, "u32s", a->u32s, 3);
	record_u64s(r, "u64s", a->u64s, 2);
	if (record_since(r, 2))
		record_u8(r, "newer", &a->newer);
}

static size_t write_all(uint16_t version, uint8_t to[ROOM])
{
	struct all a = filled;
	struct record r = record_writer(version, to, ROOM);

	fields(&r, &a);
	assert_int_equal(record_end(&r), 0);
	assert_true(r.used <= ROOM);
	return r.used;
}

static void assert_all(const struct all *a, const struct all *expected)
{
	assert_int_equal(a->u8, expected->u8);
	assert_int_equal(a->u16, expected->u16);
	assert_int_equal(a->u32, expected->u32);
	assert_true(a->u64 == expected->u64);
	assert_int_equal(a->yes, expected->yes);
	assert_int_equal(a->no, expected->no);
	assert_int_equal(a->index, expected->index);
	assert_memory_equal(a->bytes, expected->bytes, sizeof(a->bytes));
	assert_int_equal(a->some_len, expected->some_len);
	assert_memory_equal(a->some, expected->some, sizeof(a->some));
	assert_memory_equal(a->u32s, expected->u32s, sizeof(a->u32s));
	assert_memory_equal(a->u64s, expected->u64s, sizeof(a->u64s));
}

static void fields_of_each_type_come_back(void **state)
{
	uint8_t bytes[ROOM];
	size_t len = write_all(1, bytes);
	struct all a = {.no = true};
	struct record r = record_reader(1, bytes, len);

	(void)state;
	fields(&r, &a);
	assert_int_equal(record_end(&r), 0);
	assert_all(&a, &filled);
	assert_int_equal(a.newer, 0);
}

static void a_newer_version_has_fields_that_an_older_one_has_not(void **state)
{
	uint8_t bytes[ROOM];
	size_t old = write_all(1, bytes), len = write_all(2, bytes);
	struct all a = {0};
	struct record r = record_reader(2, bytes, len);

	(void)state;
	assert_int_equal(len - old, 1 + 5 + 1 + 1);
	fields(&r, &a);
	assert_int_equal(record_end(&r), 0);
	assert_int_equal(a.newer, 0x77);
	r = record_reader(1, bytes, len);
	fields(&r, &a);
	assert_int_equal(record_end(&r), -EBADMSG);
	r = record_reader(2, bytes, old);
	fields(&r, &a);
	assert_int_equal(record_end(&r), -EBADMSG);
	assert_string_equal(r.wrong, "the field 'newer' is missing");
}

static void the_bytes_are_those_of_the_format(void **state)
{
	static const uint8_t expected[] = {1, 'a', 2,   0x34, 0x12, 2,    'b',  '_',  16,  3, 0,
					   0, 0,   'x', 'y',  'z',  1,    'c',  20,   8,   0, 0,
					   0, 1,   0,   0,    0,    0xFF, 0xFF, 0xFF, 0xFF};
	uint8_t bytes[ROOM];
	struct record r = record_writer(1, bytes, sizeof(bytes));
	uint32_t numbers[2] = {1, UINT32_MAX};
	uint16_t number = 0x1234;

	(void)state;
	record_u16(&r, "a", &number);
	record_bytes(&r, "b_", (uint8_t[]){'x', 'y', 'z'}, 3);
	record_u32s(&r, "c", numbers, 2);
	assert_int_equal(record_end(&r), 0);
	assert_int_equal(r.used, sizeof(expected));
	assert_memory_equal(bytes, expected, sizeof(expected));
}

static void counting_tells_the_length_and_writes_nothing(void **state)
{
	uint8_t bytes[ROOM];
	struct all a = filled;
	struct record r = record_writer(1, NULL, 0);

	(void)state;
	fields(&r, &a);
	assert_int_equal(record_end(&r), 0);
	assert_int_equal(r.used, write_all(1, bytes));
}

static void room_that_does_not_suffice_is_told_and_kept_to(void **state)
{
	uint8_t bytes[ROOM], whole[ROOM];
	size_t len = write_all(1, whole);

	(void)state;
	for (size_t room = 0; room <= len; room++) {
		struct record r = record_writer(1, bytes, room);
		struct all a = filled;

		memset(bytes, 0xEE, sizeof(bytes));
		fields(&r, &a);
		assert_int_equal(record_end(&r), room < len ? -ENOSPC : 0);
		assert_int_equal(r.used, len);
		for (size_t i = room; i < ROOM; i++)
			assert_int_equal(bytes[i], 0xEE);
	}
	assert_memory_equal(bytes, whole, len);
}

static void a_record_cut_anywhere_is_refused(void **state)
{
	uint8_t bytes[ROOM];
	size_t len = write_all(1, bytes);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		struct record r = record_reader(1, bytes, cut);
		struct all a = {0};

		fields(&r, &a);
		assert_false(record_ok(&r));
		assert_int_equal(record_end(&r), -EBADMSG);
		assert_true(r.wrong[0] != '\0');
	}
}

static void bytes_behind_the_last_field_are_refused(void **state)
{
	uint8_t bytes[ROOM];
	size_t len = write_all(1, bytes);
	struct record r = record_reader(1, bytes, len + 1);
	struct all a = {0};

	(void)state;
	fields(&r, &a);
	assert_true(record_ok(&r));
	assert_int_equal(record_end(&r), -EBADMSG);
	assert_string_equal(r.wrong, "1 bytes follow its last field");
}

static void another_name_type_or_order_leaves_the_value_and_all_behind_it(void **state)
{
	uint8_t bytes[ROOM], one = 1, two = 2, value = 9;
	uint16_t wide = 9;
	struct record r = record_writer(1, bytes, sizeof(bytes));
	size_t len;

	(void)state;
	record_u8(&r, "one", &one);
	record_u8(&r, "two", &two);
	len = r.used;
	r = record_reader(1, bytes, len);
	record_u8(&r, "on", &value);
	assert_string_equal(r.wrong, "there is a field 'one' where 'on' is expected");
	r = record_reader(1, bytes, len);
	record_u16(&r, "one", &wide);
	assert_int_equal(record_end(&r), -EBADMSG);
	r = record_reader(1, bytes, len);
	record_u8(&r, "two", &value);
	record_u8(&r, "one", &value); /* what failed stays so */
	assert_int_equal(record_end(&r), -EBADMSG);
	assert_string_equal(r.wrong, "there is a field 'one' where 'two' is expected");
	assert_int_equal(value, 9);
	assert_int_equal(wide, 9);
}

static void another_length_is_refused(void **state)
{
	uint8_t bytes[ROOM], data[4] = {1, 2, 3, 4}, to[8] = {0};
	uint32_t numbers[2] = {7, 7};
	size_t some = 77, len;
	struct record r = record_writer(1, bytes, sizeof(bytes));

	(void)state;
	record_bytes(&r, "data", data, sizeof(data));
	len = r.used;
	for (size_t n = 0; n < sizeof(to); n++) {
		r = record_reader(1, bytes, len);
		record_bytes(&r, "data", to, n);
		assert_int_equal(record_end(&r), n == 4 ? 0 : -EBADMSG);
	}
	memset(to, 0, sizeof(to));
	r = record_reader(1, bytes, len);
	record_some_bytes(&r, "data", to, &some, 3);
	assert_string_equal(r.wrong, "the field 'data' has 4 bytes, more than 3");
	assert_int_equal(some, 77);
	assert_int_equal(to[0], 0);
	r = record_writer(1, bytes, sizeof(bytes));
	record_u32s(&r, "data", numbers, 2);
	len = r.used;
	r = record_reader(1, bytes, len);
	record_u32s(&r, "data", numbers, 1);
	assert_int_equal(record_end(&r), -EBADMSG);
}

static void numbers_beyond_their_limit_are_refused(void **state)
{
	uint8_t bytes[ROOM], two = 2;
	uint32_t ten = 10;
	unsigned index = 3;
	bool flag = true;
	struct record r = record_writer(1, bytes, sizeof(bytes));
	size_t len;

	(void)state;
	record_u32(&r, "index", &ten);
	len = r.used;
	r = record_reader(1, bytes, len);
	record_limited(&r, "index", &index, 9);
	assert_string_equal(r.wrong, "the field 'index' is 10, more than 9");
	assert_int_equal(index, 3);
	r = record_reader(1, bytes, len);
	record_limited(&r, "index", &index, 10);
	assert_int_equal(record_end(&r), 0);
	assert_int_equal(index, 10);
	r = record_writer(1, bytes, sizeof(bytes));
	record_u8(&r, "flag", &two);
	len = r.used;
	r = record_reader(1, bytes, len);
	record_bool(&r, "flag", &flag);
	assert_int_equal(record_end(&r), -EBADMSG);
	assert_true(flag);
}

static void nothing_is_a_record_without_fields(void **state)
{
	struct record r = record_reader(1, NULL, 0);
	uint8_t value = 3, to[4];
	size_t len = 1;

	(void)state;
	assert_int_equal(record_end(&r), 0);
	record_u8(&r, "value", &value);
	assert_string_equal(r.wrong, "the field 'value' is missing");
	r = record_writer(1, to, 0);
	assert_int_equal(record_end(&r), 0);
	r = record_writer(1, NULL, 0);
	len = 0;
	record_some_bytes(&r, "none", to, &len, sizeof(to));
	assert_int_equal(record_end(&r), 0);
}

static void names_that_are_none_are_refused(void **state)
{
	static const struct {
		size_t len;
		uint8_t bytes[8];
	} wrong[] = {
		{3, {0, 1, 5}},                     /* no name */
		{4, {1, 'A', 1, 5}},                /* upper case */
		{5, {2, 'a', 0, 1, 5}},             /* ends early */
		{5, {2, 'a', ' ', 1, 5}},           /* a space */
		{4, {1, 0xC3, 1, 5}},               /* no ASCII */
		{8, {32, 'a', 'a', 'a', 'a', 'a'}}, /* too long */
		{2, {31, 'a'}},                     /* ends amid it */
		{1, {1}},
	};
	struct record_field field = {.len = 77};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct record r = record_reader(1, wrong[i].bytes, wrong[i].len);
		uint8_t value = 9;

		record_u8(&r, "a", &value);
		assert_int_equal(record_end(&r), -EBADMSG);
		assert_int_equal(value, 9);
		r = record_reader(1, wrong[i].bytes, wrong[i].len);
		assert_int_equal(record_next(&r, &field), -EBADMSG);
		assert_int_equal(field.len, 77);
	}
}

static void lengths_that_lie_are_refused(void **state)
{
	static const struct {
		size_t len;
		uint8_t bytes[12];
	} wrong[] = {
		{4, {1, 'a', 3, 0}}, /* no such type */
		{4, {1, 'a', 0, 0}},
		{4, {1, 'a', 0xFF, 0}},
		{7, {1, 'a', 16, 0xFF, 0xFF, 0xFF, 0xFF}}, /* behind the end */
		{8, {1, 'a', 16, 2, 0, 0, 0, 9}},
		{6, {1, 'a', 16, 0, 0, 0}},                    /* no length */
		{12, {1, 'a', 20, 5, 0, 0, 0, 1, 2, 3, 4, 5}}, /* no whole numbers */
		{11, {1, 'a', 24, 4, 0, 0, 0, 1, 2, 3, 4}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct record r = record_reader(1, wrong[i].bytes, wrong[i].len);
		struct record_field field;

		assert_int_equal(record_next(&r, &field), -EBADMSG);
		assert_int_equal(record_next(&r, &field), -EBADMSG);
	}
}

static void who_knows_no_names_sees_each_field(void **state)
{
	static const char *const names[] = {"u8",    "u16",   "u32",  "u64",  "yes", "no",
					    "index", "bytes", "some", "u32s", "u64s"};
	static const struct {
		uint8_t type;
		size_t len;
	} expected[] = {
		{RECORD_U8, 1},    {RECORD_U16, 2},   {RECORD_U32, 4},   {RECORD_U64, 8},
		{RECORD_U8, 1},    {RECORD_U8, 1},    {RECORD_U32, 4},   {RECORD_BYTES, 5},
		{RECORD_BYTES, 3}, {RECORD_U32S, 12}, {RECORD_U64S, 16},
	};
	uint8_t bytes[ROOM];
	size_t len = write_all(1, bytes);
	struct record r = record_reader(1, bytes, len);
	struct record_field field;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(record_next(&r, &field), 0);
		assert_string_equal(field.name, names[i]);
		assert_int_equal(field.type, expected[i].type);
		assert_int_equal(field.len, expected[i].len);
	}
	assert_int_equal(record_next(&r, &field), -ENODATA);
	assert_int_equal(record_next(&r, &field), -ENODATA);
	assert_int_equal(record_end(&r), 0);
}

static void the_first_reason_is_kept_and_cut_to_its_room(void **state)
{
	struct record r = record_reader(1, NULL, 0);
	char text[200];

	(void)state;
	record_refuse(&r, "%s has %u", "it", 7u);
	record_refuse(&r, "another");
	assert_string_equal(r.wrong, "it has 7");
	r = record_reader(1, NULL, 0);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	record_refuse(&r, "%s", text);
	assert_int_equal(strlen(r.wrong), RECORD_WRONG_MAX - 1);
}

static void names_of_parts_have_their_number(void **state)
{
	char text[100];

	(void)state;
	assert_string_equal(record_name_of("pit", 0, "load").text, "pit0_load");
	assert_string_equal(record_name_of("place", 12, "kind").text, "place12_kind");
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(strlen(record_name_of(text, 1, "b").text), RECORD_NAME_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_of_each_type_come_back),
		cmocka_unit_test(a_newer_version_has_fields_that_an_older_one_has_not),
		cmocka_unit_test(the_bytes_are_those_of_the_format),
		cmocka_unit_test(counting_tells_the_length_and_writes_nothing),
		cmocka_unit_test(room_that_does_not_suffice_is_told_and_kept_to),
		cmocka_unit_test(a_record_cut_anywhere_is_refused),
		cmocka_unit_test(bytes_behind_the_last_field_are_refused),
		cmocka_unit_test(another_name_type_or_order_leaves_the_value_and_all_behind_it),
		cmocka_unit_test(another_length_is_refused),
		cmocka_unit_test(numbers_beyond_their_limit_are_refused),
		cmocka_unit_test(nothing_is_a_record_without_fields),
		cmocka_unit_test(names_that_are_none_are_refused),
		cmocka_unit_test(lengths_that_lie_are_refused),
		cmocka_unit_test(who_knows_no_names_sees_each_field),
		cmocka_unit_test(the_first_reason_is_kept_and_cut_to_its_room),
		cmocka_unit_test(names_of_parts_have_their_number),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
