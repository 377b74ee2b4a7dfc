/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C: the vectors of RFC 3720 B.4, splits, and a sum made bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

#define BYTES 67u

static void vectors_of_the_rfc_give_their_sums(void **state)
{
	uint8_t data[32];

	(void)state;
	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x113fdb5c);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, data, 0), 0);
	assert_int_equal(crc32c(0x46dd794e, data, 0), 0x46dd794e);
}

static void fill(uint8_t data[BYTES])
{
	for (unsigned i = 0; i < BYTES; i++)
		data[i] = (uint8_t)(i * 37 + 11);
}

static void any_split_gives_the_same_sum(void **state)
{
	uint8_t data[BYTES];
	uint32_t whole;

	(void)state;
	fill(data);
	whole = crc32c(0, data, BYTES);
	for (size_t a = 0; a <= BYTES; a++) {
		for (size_t b = a; b <= BYTES; b++) {
			uint32_t sum = crc32c(0, data, a);

			sum = crc32c(sum, data + a, b - a);
			assert_int_equal(crc32c(sum, data + b, BYTES - b), whole);
		}
	}
}

static uint32_t by_bits(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return ~crc;
}

static void each_length_at_each_place_agrees_with_a_sum_bit_by_bit(void **state)
{
	uint8_t data[BYTES];

	(void)state;
	fill(data);
	for (size_t at = 0; at < 9; at++) {
		for (size_t len = 0; len <= BYTES - at; len++)
			assert_int_equal(crc32c(0, data + at, len), by_bits(data + at, len));
	}
}

static void each_bit_that_is_changed_changes_the_sum(void **state)
{
	uint8_t data[BYTES];
	uint32_t whole;

	(void)state;
	fill(data);
	whole = crc32c(0, data, BYTES);
	for (unsigned bit = 0; bit < BYTES * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(crc32c(0, data, BYTES), whole);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_rfc_give_their_sums),
		cmocka_unit_test(any_split_gives_the_same_sum),
		cmocka_unit_test(each_length_at_each_place_agrees_with_a_sum_bit_by_bit),
		cmocka_unit_test(each_bit_that_is_changed_changes_the_sum),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
